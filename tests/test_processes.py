"""Workers do not outlive the process they work for, and are sent what they are to have."""

import multiprocessing
import os
import select
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from ecgvlm import processes

PROGRAM = """
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import active_children
from ecgvlm import processes

if __name__ == "__main__":
    context = getattr(processes, sys.argv[1])("json")
    with ProcessPoolExecutor(2, context, initializer=processes.end_with_parent) as pool:
        list(pool.map(time.sleep, [0.2] * 2))
        print(context.get_start_method(), *(worker.pid for worker in active_children()), flush=True)
        time.sleep(60)
"""


@pytest.mark.parametrize(("context", "starts"), [("worker_context", "forkserver"), ("quick_context", "fork")])
def test_a_killed_process_takes_its_workers_with_it(tmp_path, context, starts):
    (tmp_path / "program.py").write_text(PROGRAM)
    program = [sys.executable, str(tmp_path / "program.py"), context]
    env = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}  # it would have threads
    with subprocess.Popen(program, stdout=subprocess.PIPE, env=env) as process:
        how, *workers = process.stdout.readline().decode().split()
        assert how == starts or sys.platform != "linux"
        assert len(workers) == 2
        process.kill()
        process.wait()
        # The workers hold the other end, too: there is no more to come once they have ended.
        ended, _, _ = select.select([process.stdout], [], [], 60)
        if not ended:
            for worker in workers:
                os.kill(int(worker), signal.SIGKILL)
        assert ended, "a worker lives on"
        assert process.stdout.read() == b""


@pytest.mark.parametrize("direct", [True, False])
def test_arrays_arrive_as_they_were_sent(monkeypatch, direct):
    monkeypatch.setattr(processes, "_DIRECT", direct and processes._DIRECT)
    picture = np.random.default_rng(0).integers(0, 255, (900, 1200, 3)).astype(np.uint8)
    ours, theirs = multiprocessing.Pipe()
    with ThreadPoolExecutor(1) as aside:
        for value in (("item", {"picture": picture, "part": picture[::2, :5]}), "done"):
            sent = aside.submit(processes.send, theirs, value)
            np.testing.assert_equal(processes.receive(ours), value)
            sent.result()
        theirs.send((b"", [10]))  # and no more
        theirs.close()
        with pytest.raises(EOFError):
            processes.receive(ours)
