"""Worker processes that the server talks to: bounded in memory and time, replaced when they die."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import resource
import signal
import time
import traceback
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from typing import Any

from ecgvlm.errors import EcgError
from ecgvlm.processes import computed_too_long, receive, send, worker_context
from ecgvlm.serve.turns import Turns

_PRELOAD = ("ecgvlm.serve.work", "ecgvlm.files.image", "pypdfium2", "pillow_heif")
_LOOK = signal.SIGUSR1  # tells a worker to look whether its job has been called off


class WorkerLost(Exception):
    """The worker died over a job, or took longer than it may; another one has taken its place."""


class Workers:
    """`count` processes that each hold what `make()` gives and call its methods, one job at a time.

    make: importable function without arguments, called in each process. memory: bytes of address space that a
    process may use. most: of the processes that one client may have at work.
    """

    def __init__(self, make: Callable[[], Any], count: int, memory: int, most: int | None = None):
        self.count = count
        self._make, self._memory = make, memory
        self._context = worker_context(*_PRELOAD)
        self._turns = Turns(count, most)
        self._idle: list[_Worker] = []
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="pool")
        self._busy: set[_Worker] = set()
        self._tasks: set[asyncio.Task] = set()
        self._numbers = itertools.count(1)  # of jobs
        self.closed = False
        self.lost = 0

    async def start(self) -> None:
        """Starts the processes; returns when all are ready. Raises WorkerLost where one cannot start."""
        for worker in await asyncio.gather(*(self._hire() for _ in range(self.count))):
            self._idle.append(worker)

    @property
    def idle(self) -> int:
        return len(self._idle)

    async def run(self, method: str, *args: Any, seconds: float) -> Any:
        """What a method returns or raises; WorkerLost where its process dies, or it takes too long.

        Cancelling the caller cuts the method short, wherever it is.
        """
        async for item in self._talk(method, args, seconds):
            result = item
        return result

    def stream(self, method: str, *args: Any, seconds: float) -> AsyncGenerator[Any]:
        """What a method yields, as it comes. Leaving the loop cuts the method short."""
        return self._talk(method, args, seconds)

    async def _talk(self, method: str, args: tuple, seconds: float) -> AsyncGenerator[Any]:
        client = await self._turns.take()
        worker = self._idle.pop()
        self._busy.add(worker)
        number = next(self._numbers)
        loop = asyncio.get_running_loop()
        items: asyncio.Queue = asyncio.Queue()

        def emit(item: tuple[str, Any]) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has closed, nobody waits any more
                loop.call_soon_threadsafe(items.put_nowait, item)

        talk = loop.run_in_executor(self._threads, worker.talk, (number, method, args), seconds, emit)
        self._keep(self._return(worker, talk, client))
        finished = False
        try:
            while True:
                kind, value = await items.get()
                if kind == "item":
                    yield value
                    continue
                finished = True
                if kind == "error":
                    raise value
                return
        finally:
            if not finished:
                worker.call_off(number)

    async def _return(self, worker: _Worker, talk: asyncio.Future, client: str) -> None:
        """Puts a worker back to the idle ones once its job is over, or another one in its place."""
        alive = await talk
        self._busy.discard(worker)
        while not alive and not self.closed:
            self.lost += 1
            try:
                worker, alive = await self._hire(), True
            except WorkerLost:
                await asyncio.sleep(1.0)
        if not self.closed:
            self._idle.append(worker)
            self._turns.give_back(client)

    async def _hire(self) -> _Worker:
        def start() -> _Worker:
            worker = _Worker(self._context, self._make, self._memory)
            worker.await_ready()
            return worker

        return await asyncio.get_running_loop().run_in_executor(self._threads, start)

    def _keep(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Ends all processes, also those at work."""
        self.closed = True
        while self._idle:
            self._idle.pop().kill()
        for worker in list(self._busy):
            worker.kill()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._threads.shutdown(wait=False, cancel_futures=True)


class _Worker:
    """One process, and the pipe to it."""

    def __init__(self, context: Any, make: Callable[[], Any], memory: int):
        self._pipe, theirs = context.Pipe()
        # Not through the pipe: a job may be on its way in it, and only one thread may write.
        self._called_off = context.RawValue("q", 0)
        self._process = context.Process(
            target=_work, args=(theirs, self._called_off, make, memory), daemon=True
        )
        self._process.start()
        theirs.close()

    def await_ready(self) -> None:
        try:
            if self._pipe.poll(120) and receive(self._pipe) == ("ready", None):
                return
        except (EOFError, OSError):
            pass
        self.kill()
        raise WorkerLost("a worker process could not start")

    def talk(self, job: tuple, seconds: float, emit: Callable[[tuple[str, Any]], None]) -> bool:
        """Gives a job and passes on what comes back, whether the worker is still fit for the next. Blocks."""
        end = time.monotonic() + seconds
        try:
            send(self._pipe, job)
            while self._pipe.poll(max(0.0, end - time.monotonic())):
                kind, value = receive(self._pipe)
                emit((kind, value))
                if kind == "error" and getattr(value, "code", "") == "too_large":
                    break  # what such a file leaves in its process would meet the next one
                if kind in ("done", "error"):
                    return True
            else:
                emit(("error", WorkerLost(f"took longer than {seconds:g} s")))
        except (EOFError, OSError):
            long = computed_too_long(self._process)
            said = "took too much computing" if long else "the worker process died"
            emit(("error", WorkerLost(said)))
        except Exception as error:  # what came back cannot be unpickled, or the job not be pickled
            emit(("error", error))
        self.kill()
        return False

    def call_off(self, number: int) -> None:
        """Ends a job wherever it is; nothing happens where it is over, or the worker at another one."""
        self._called_off.value = number
        if self._process.is_alive() and (process := self._process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, _LOOK)

    def kill(self) -> None:
        self._process.kill()
        self._process.join()
        self._pipe.close()


class _CalledOff(BaseException):
    """Nobody waits for the job at work: no Exception, so that no job takes it for a fault of its own."""


def _work(pipe: Connection, called_off: Any, make: Callable[[], Any], memory: int) -> None:
    """What a worker process does: jobs from the pipe, until it closes. called_off: number of one to drop."""
    os.setsid()  # Ctrl+C in the terminal is for the server, which lets its requests finish
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    at_work = 0  # number of the job that may be cut short now

    def look(*_: object) -> None:
        if at_work and at_work == called_off.value:
            raise _CalledOff

    def answer(number: int, method: str, args: tuple) -> tuple[str, Any]:
        nonlocal at_work
        try:
            result = getattr(holder, method)(*args)
            for item in result if isinstance(result, Iterator) else (result,):
                at_work = 0  # half an item in the pipe would be the end of it
                send(pipe, ("item", item))
                at_work = number
                look()
            return "done", None
        except EcgError as error:
            return "error", EcgError(error.code, error.message)  # not its traceback, which holds the page
        except Exception:  # a fault of ours: its traceback is for the server's log
            return "error", RuntimeError(f"in a worker process: {traceback.format_exc()}")

    signal.signal(_LOOK, look)
    holder = make()
    send(pipe, ("ready", None))
    while True:
        try:
            number, method, args = receive(pipe)
        except EOFError:
            return
        try:
            at_work = number
            look()
            last = answer(number, method, args)
            at_work = 0
        except _CalledOff:  # there is one signal a job, so that it is raised once
            at_work = 0
            last = "done", None
        send(pipe, last)
