"""Compiles `ecgvlm/compiled.c` into the wheel where there is a C compiler: `cc`, or what `CC` names.

Without one the wheel is the same but for that: NumPy does it then, in more time. The library is called by
ctypes, so that one wheel serves every Python of a platform. Its name tells the source that it was built from,
as `ecgvlm.compiled` looks for it: one of another source is never loaded.
"""

import os
import shlex
import subprocess
import sys
import sysconfig
import zlib
from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_SOURCE = Path("src/ecgvlm/compiled.c")


class CompiledHook(BuildHookInterface):
    def initialize(self, version: str, build_data: dict) -> None:
        source = Path(self.root) / _SOURCE
        library = source.with_name(f"_compiled-{zlib.crc32(source.read_bytes()):08x}.so")
        new = library.with_suffix(".tmp")
        for old in set(source.parent.glob("_compiled*.so")) - {library}:
            old.unlink()
        compiler = shlex.split(os.environ.get("CC", "cc"))
        try:
            subprocess.run([*compiler, "-O3", "-shared", "-fPIC", "-o", new, source, "-lm"], check=True)
            new.replace(library)  # as a whole: it may be in use
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"{_SOURCE} is left to NumPy ({error})", file=sys.stderr)
            library.unlink(missing_ok=True)
            return
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data |= {"pure_python": False, "tag": f"py3-none-{platform}"}
        build_data["artifacts"].append(str(library.relative_to(self.root)))
