"""Two steps at the same time, where there is a thread to spare."""

import threading

import cv2
import pytest

from ecgvlm.together import together


@pytest.fixture(params=[1, 2])
def threads(request):
    before = cv2.getNumThreads()
    cv2.setNumThreads(request.param)
    yield request.param
    cv2.setNumThreads(before)


def test_steps_run_at_once_where_there_are_threads(threads):
    begun = threading.Event()

    def first():
        assert begun.wait(5 if threads > 1 else 0) == (threads > 1)
        return threading.get_ident()

    def second():
        begun.set()
        return threading.get_ident()

    here, there = together(first, second)
    assert here == threading.get_ident()
    assert (there != here) == (threads > 1)


def test_steps_within_steps_do_not_wait_for_each_other(threads):
    def both(number):
        return lambda: together(lambda: number, lambda: number + 1)

    assert together(both(1), both(3)) == ((1, 2), (3, 4))


def test_a_step_that_fails_says_so(threads):
    with pytest.raises(ZeroDivisionError):
        together(lambda: 1, lambda: 1 / 0)


def test_what_waits_for_a_busy_thread_is_done_here(threads):
    if threads < 2:
        pytest.skip("all is done here")
    begun, done = threading.Event(), threading.Event()

    def steps():
        begun.wait(5)
        return together(lambda: 1, done.set)

    def other():
        begun.set()
        return done.wait(1)

    assert together(steps, other) == ((1, None), True)
