"""A running server for tests."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import fakes
import httpx
import uvicorn

from ecgvlm.serve.app import create_app
from ecgvlm.serve.service import Service, Settings


class Client(httpx.Client):
    """Speaks to a server; `service` is what is behind it."""

    service: Service


@contextlib.contextmanager
def running(settings: Settings | None = None, make=fakes.make) -> Iterator[Client]:
    """The server on a free port, in a thread."""
    listener = socket.create_server(("127.0.0.1", 0))
    app = create_app(settings or Settings(workers=1), reader=make)
    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=300)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.02)
    try:
        with Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=300) as client:
            client.service = app.state.service
            yield client
    finally:
        server.should_exit = True
        thread.join()
