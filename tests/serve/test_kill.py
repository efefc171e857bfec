"""A server killed under load has kept every read that it acknowledged, whole."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
from sqlalchemy import create_engine, text
from test_app import ECG

from ecgvlm.serve.store import Store

SERVER = """
import socket, sys
sys.path.insert(0, {folder!r})
import fakes, uvicorn
from ecgvlm.serve.app import create_app
from ecgvlm.serve.service import Settings
from ecgvlm.serve.store import Store

if __name__ == "__main__":
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    app = create_app(Settings(workers=2, queue=20, store=Store({url!r})), reader=fakes.make)
    uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/store.db"
        return
    from postgres import running

    with running(tmp_path / "postgres") as url:
        if url is None:
            pytest.skip("needs PostgreSQL's server programs")
        yield url


@pytest.mark.slow
def test_kill_9_loses_nothing_acknowledged(url, tmp_path):
    script = tmp_path / "serve.py"
    script.write_text(SERVER.format(folder=str(Path(__file__).parent), url=url))
    server = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, start_new_session=True)
    port = int(server.stdout.readline())
    acknowledged: list[str] = []

    def load() -> None:
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=300) as client:
                while True:
                    answer = client.post("/v1/read", files={"image": ("a.png", ECG)}).json()
                    acknowledged.append(answer["id"])
        except httpx.HTTPError:
            return  # killed

    try:
        wait_until_ready(port)
        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        end = time.monotonic() + 400
        while len(acknowledged) < 12 and time.monotonic() < end:
            time.sleep(0.01)
    finally:
        os.kill(server.pid, signal.SIGKILL)
        server.wait()
        server.stdout.close()
    for thread in threads:
        thread.join()
    assert len(acknowledged) >= 12

    store = Store(url)
    for key in acknowledged:
        read = store.get(key, "")
        assert read is not None, f"{key} was acknowledged and is lost"
        assert read["answer"]["ok"] is True
        assert store.image(key, "")[-2:] == b"\xff\xd9"
    store.close()
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect() as connection:  # nothing half either, of those that were being written
        for answer, size in connection.execute(text("SELECT answer, length(image) FROM reads")):
            assert size > 1000
            assert (json.loads(answer) if isinstance(answer, str) else answer)["ok"] is True
    engine.dispose()


def wait_until_ready(port: int) -> None:
    end = time.monotonic() + 180
    while time.monotonic() < end:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.1)
    pytest.fail("the server did not start")
