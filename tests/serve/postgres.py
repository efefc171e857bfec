"""A PostgreSQL server for the tests, from Debian's packages: its own folder, socket and user."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def running(folder: Path) -> Iterator[str | None]:
    """The URL of an empty database while the server runs, None where there are no server programs."""
    programs = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), None)
    if programs is None or not (programs / "initdb").exists():
        yield None
        return
    user = _other_user()
    if os.geteuid() == 0 and user is None:  # PostgreSQL refuses to run as root
        yield None
        return
    data, sockets = folder / "data", folder / "s"
    sockets.mkdir(parents=True)
    if user is not None:
        for path in (folder, sockets):
            shutil.chown(path, user)
        for parent in folder.parents:
            if parent.owner() == "root" and not parent.stat().st_mode & 0o001:
                parent.chmod(parent.stat().st_mode | 0o011)

    def run(*command: object) -> None:
        subprocess.run(list(map(str, command)), check=True, capture_output=True, user=user, cwd="/")

    run(programs / "initdb", "-D", data, "-U", "ecgvlm", "--auth=trust", "--no-sync")
    options = f"-k {sockets} -c listen_addresses= -c max_connections=30"
    run(programs / "pg_ctl", "-D", data, "-o", options, "-l", data / "log", "-w", "-t", 300, "start")
    try:
        yield f"postgresql://ecgvlm@/postgres?host={sockets}"
    finally:
        run(programs / "pg_ctl", "-D", data, "-m", "immediate", "stop")


def _other_user() -> str | None:
    """A user who is not root, where the tests run as root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    return None
