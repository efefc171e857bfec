"""Workers do not outlive the process they work for."""

import os
import signal
import subprocess
import sys
import time

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


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_killed_process_takes_its_workers_with_it(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    program = [sys.executable, str(tmp_path / "program.py")]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        worker = int(process.stdout.readline())
        assert alive(worker)
        process.send_signal(signal.SIGKILL)
        process.wait()
    deadline = time.monotonic() + 5
    while alive(worker) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not alive(worker)
