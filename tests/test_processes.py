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
import time
from concurrent.futures import ProcessPoolExecutor
import os
from ecgvlm.processes import end_with_parent, worker_context

if __name__ == "__main__":
    with ProcessPoolExecutor(1, worker_context("json"), initializer=end_with_parent) as pool:
        print(pool.submit(os.getpid).result(), flush=True)
        time.sleep(60)
"""


def test_a_killed_process_takes_its_workers_with_it(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    program = [sys.executable, str(tmp_path / "program.py")]
    with subprocess.Popen(program, stdout=subprocess.PIPE) as process:
        worker = int(process.stdout.readline())
        process.kill()
        process.wait()
        # The worker holds the other end, too: there is no more to come once it has ended.
        ended, _, _ = select.select([process.stdout], [], [], 60)
        if not ended:
            os.kill(worker, signal.SIGKILL)
        assert ended, "the worker lives on"
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
