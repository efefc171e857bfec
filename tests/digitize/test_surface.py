import subprocess
import sys

FRESH = """
import numpy as np
from threadpoolctl import ThreadpoolController
from ecgvlm.digitize import surface
from ecgvlm.digitize.surface import _threads, surfaces

surface.COMPILED = None

def libraries(controller):
    return {known.filepath for known in controller.select(user_api="blas").lib_controllers}

at = np.stack(np.meshgrid(np.arange(5.0), np.arange(4.0)), -1).reshape(-1, 2)
flat = at, np.zeros(len(at)), np.ones(len(at))
surfaces((5, 6), flat, flat, 0.1)
assert libraries(ThreadpoolController()) == libraries(_threads())
"""


def test_every_library_of_linear_algebra_keeps_to_one_thread():
    """SciPy's own was not loaded yet when they were looked for: its threads waited for each other, on a busy
    machine ten times as long as a photograph takes."""
    subprocess.run([sys.executable, "-c", FRESH], check=True)
