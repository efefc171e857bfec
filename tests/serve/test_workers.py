"""Worker processes: answers, streams, crashes, limits of time and memory."""

import asyncio
import os
import signal
import time
from contextlib import aclosing

import pytest

from ecgvlm.errors import EcgError
from ecgvlm.serve.turns import CLIENT
from ecgvlm.serve.workers import WorkerLost, Workers

MEMORY = 2_000_000_000


class Holder:
    """What the processes of these tests hold."""

    def double(self, x):
        return 2 * x

    def refuse(self):
        raise EcgError("too_small", "a: too small")

    def break_down(self):
        return 1 // 0

    def die(self):
        os.kill(os.getpid(), signal.SIGSEGV)

    def eat(self, size):
        return len(bytearray(size))

    def sleep(self, seconds):
        time.sleep(seconds)
        return seconds

    def work(self, path):
        """Works on in Python for five minutes, and writes down that it began and that it ended."""
        path.write_text("began")
        end = time.monotonic() + 300
        while time.monotonic() < end:
            try:
                sum(range(1000))
            except Exception:
                continue
        path.write_text("ended")

    def size(self, data):
        return len(data)

    def wait_for(self, path):
        while not path.exists():
            time.sleep(0.01)

    def count(self, path, n):
        """Yields numbers, and leaves a file as long as it came far: being cut short empties no file."""
        for i in range(n):
            with path.open("ab") as file:
                file.write(b".")
            yield i
            time.sleep(0.02)


@pytest.fixture
def inside():
    """Runs a coroutine function with a pool of one process, or of `count`."""

    def run(test, count=1, most=None):
        async def main():
            pool = Workers(Holder, count, MEMORY, most)
            await pool.start()
            try:
                return await test(pool)
            finally:
                await pool.close()

        return asyncio.run(main())

    return run


def test_errors_and_deaths(inside):
    async def test(pool):
        assert await pool.run("double", 21, seconds=300) == 42
        with pytest.raises(EcgError, match="too small") as error:
            await pool.run("refuse", seconds=300)
        assert error.value.code == "too_small"
        with pytest.raises(RuntimeError, match="ZeroDivisionError"):
            await pool.run("break_down", seconds=300)
        assert pool.lost == 0
        with pytest.raises(WorkerLost, match="died"):
            await pool.run("die", seconds=300)
        with pytest.raises(RuntimeError, match="MemoryError"):
            await pool.run("eat", 4 * MEMORY, seconds=300)
        with pytest.raises(WorkerLost, match=r"longer than 0\.2 s"):
            await pool.run("sleep", 60, seconds=0.2)
        assert await pool.run("double", 4, seconds=300) == 8
        assert pool.lost == 2

    inside(test)


def test_streams_can_be_left(inside, tmp_path):
    async def test(pool):
        numbers = [i async for i in pool.stream("count", tmp_path / "a", 5, seconds=300)]
        assert numbers == [0, 1, 2, 3, 4]
        async with aclosing(pool.stream("count", tmp_path / "b", 10_000, seconds=600)) as stream:
            async for i in stream:
                if i == 3:
                    break
        assert await pool.run("double", 1, seconds=300) == 2
        assert 4 <= (tmp_path / "b").stat().st_size < 5_000
        assert pool.lost == 0

    inside(test)


def test_a_job_called_off_is_cut_short(inside, tmp_path):
    async def test(pool):
        path = tmp_path / "a"
        task = asyncio.create_task(pool.run("work", path, seconds=600))
        while not path.exists() or path.read_text() != "began":
            await asyncio.sleep(0.01)
        task.cancel()
        assert await pool.run("double", 1, seconds=300) == 2
        assert path.read_text() == "began"
        assert pool.lost == 0

    inside(test)


def test_a_job_called_off_on_its_way_is_not_begun(inside, tmp_path):
    data = bytes(50_000_000)

    async def test(pool):
        for _ in range(5):
            task = asyncio.create_task(pool.run("size", data, seconds=300))
            await asyncio.sleep(0)  # its bytes are being written to the pipe from here on
            task.cancel()
            assert await pool.run("double", 3, seconds=300) == 6
        assert await pool.run("size", data, seconds=300) == len(data)
        assert pool.lost == 0

    inside(test)


def test_a_job_called_off_does_not_touch_the_next(inside):
    async def test(pool):
        for _ in range(20):
            task = asyncio.create_task(pool.run("sleep", 0.01, seconds=300))
            await asyncio.sleep(0.008)
            task.cancel()
            assert await pool.run("double", 3, seconds=300) == 6

    inside(test)


def test_one_client_leaves_a_process_to_others(inside, tmp_path):
    async def test(pool):
        CLIENT.set("hostile")
        slow = [asyncio.create_task(pool.run("wait_for", tmp_path / "a", seconds=300)) for _ in range(4)]
        CLIENT.set("other")
        assert await pool.run("double", 3, seconds=300) == 6
        assert not any(task.done() for task in slow)
        (tmp_path / "a").touch()
        await asyncio.gather(*slow)
        assert pool.lost == 0

    inside(test, count=2, most=1)
