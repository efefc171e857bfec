"""Compiles `ecgvlm/digitize/follow.c` into the wheel where there is a C compiler: `cc`, or what `CC` names.

Without one the wheel is the same but for that: NumPy does it then, in more time. The library is called by
ctypes, so that one wheel serves every Python of a platform.
"""

import os
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_SOURCE = Path("src/ecgvlm/digitize/follow.c")
_LIBRARY = _SOURCE.with_name("_follow.so")


class CompiledHook(BuildHookInterface):
    def initialize(self, version: str, build_data: dict) -> None:
        source, library = (Path(self.root) / path for path in (_SOURCE, _LIBRARY))
        new = library.with_suffix(".tmp")
        compiler = shlex.split(os.environ.get("CC", "cc"))
        try:
            subprocess.run([*compiler, "-O3", "-shared", "-fPIC", "-o", new, source], check=True)
            new.replace(library)  # as a whole: it may be in use
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"{_SOURCE} is left to NumPy ({error})", file=sys.stderr)
            library.unlink(missing_ok=True)
            return
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data |= {"pure_python": False, "tag": f"py3-none-{platform}"}
        build_data["artifacts"].append(str(_LIBRARY))
