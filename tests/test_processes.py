"""Workers do not outlive the process they work for."""

import os
import select
import signal
import subprocess
import sys

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
