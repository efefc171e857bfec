"""Calls of several threads become one, and each thread gets its own result."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ecgvlm.bench.backends.together import Together


def test_each_caller_gets_its_own_result_of_a_full_batch(monkeypatch):
    monkeypatch.setattr("ecgvlm.bench.backends.together._PATIENCE", 300)  # for threads that start late
    batches = []
    together = Together(lambda items: batches.append(len(items)) or [x * x for x in items], 4)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(together, range(20))) == [x * x for x in range(20)]
    assert batches == [4] * 5
    monkeypatch.undo()
    assert together(5) == 25, "one that comes alone is not kept waiting for others"


def test_an_error_reaches_those_whose_call_it_was_and_nobody_else():
    def work(items):
        if 3 in items:
            raise ValueError("three")
        return items

    together = Together(work, 2)
    with pytest.raises(ValueError, match="three"):
        together(3)
    assert together(4) == 4
    with ThreadPoolExecutor(2) as pool:  # also of one batch
        answers = [pool.submit(together, item) for item in (3, 4)]
    assert [answer.exception() is None for answer in answers] == [False, True]


def test_one_thread_works():
    names = set()
    together = Together(lambda items: names.add(threading.get_ident()) or items, 3)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(together, range(9)))
    assert len(names) == 1
