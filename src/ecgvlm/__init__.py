"""ecgvlm reads a picture of a 12-lead ECG and answers questions about it.

from ecgvlm import read
read("page.jpg")["answer"]
"""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ecgvlm.reader import read

# Nothing leaves the machine: ONNX Runtime reports its use to Microsoft unless this is set before it loads.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

__all__ = ["read"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """`read` is imported when it is first used: importing the package itself costs nothing."""
    if name == "read":
        from ecgvlm.reader import read

        return read
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
