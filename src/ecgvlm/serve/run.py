"""Runs the server: what `ecgvlm serve` does."""

from __future__ import annotations

import ipaddress
import logging
import signal
import socket
import sys
from pathlib import Path

import uvicorn

from ecgvlm.errors import UsageError
from ecgvlm.processes import check_temporary_folder
from ecgvlm.serve.access import Keys
from ecgvlm.serve.app import create_app
from ecgvlm.serve.connection import HEAD_SECONDS, SPARE, Connection, Seldom, raise_limits
from ecgvlm.serve.service import Settings
from ecgvlm.serve.store import Store
from ecgvlm.sessions import check_shipped

_GRACE = 30  # s that requests at work may take to end


def run(
    host: str,
    port: int,
    keys: Path | None = None,
    store: str | None = None,
    days: float | None = None,
    redact: bool = False,
    workers: int | None = None,
) -> None:
    """Serves until SIGTERM or SIGINT, which let requests at work end first.

    Raises UsageError where other machines could reach the server without a key, the port cannot be used, what
    is kept is spoken of where nothing is, or the temporary folder's path is too long; EcgError where a file
    of the model is missing or damaged.
    """
    check_shipped()
    check_temporary_folder()
    local = is_loopback(host)
    if not local and keys is None:
        raise UsageError(
            f"{host} can be reached by others: give --keys FILE (make a key with --new-key NAME --keys FILE)",
        )
    if store is None and (redact or days is not None):
        raise UsageError("--redact and --days are about what is kept: name a --store, too")
    settings = Settings(
        **({} if workers is None else {"workers": workers}),
        keys=None if keys is None else Keys.load(keys),
        local=local,
        store=None if store is None else Store(store),
        days=days,
        redact=redact,
    )
    listener = _listen(host, port)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    address = listener.getsockname()
    print(f"http://{f'[{address[0]}]' if ':' in address[0] else address[0]}:{address[1]}/", flush=True)
    for noisy in ("asyncio", "uvicorn.error"):
        logging.getLogger(noisy).addFilter(Seldom())
    raise_limits()
    # When all has ended uvicorn raises the signal again, which by itself would leave the workers' folder.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    config = uvicorn.Config(
        create_app(settings),
        access_log=False,  # ours tells no paths
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=_GRACE,
        timeout_keep_alive=HEAD_SECONDS,
        backlog=SPARE // 2,  # so many come at a time, before any can give way
        http=Connection,
        ws="none",
    )
    uvicorn.Server(config).run(sockets=[listener])


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address; a name counts as what it stands for."""
    try:
        found = socket.getaddrinfo(host, None)
    except OSError as error:
        raise UsageError(f"{host}: no such address") from error
    return all(ipaddress.ip_address(str(entry[4][0]).split("%")[0]).is_loopback for entry in found)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port)[0][0]
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        raise UsageError(f"cannot serve at {host}, port {port} ({error})") from error
