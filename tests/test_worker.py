"""Pages that are read by several processes come in order; the halves of one ECG come as a whole."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from vectors import CHEST, LIMB, Sheet, drawn_pdf

from ecgvlm import worker
from ecgvlm.digitize import Page
from ecgvlm.digitize.drawn import drawn_page
from ecgvlm.errors import EcgError
from ecgvlm.files.image import open_pages
from ecgvlm.reader import Answer
from ecgvlm.simulate import Simulation, simulate
from ecgvlm.worker import PageRead, _Job, _joined


@pytest.fixture(scope="module")
def halves() -> list[Page]:
    record = simulate(Simulation(rate_bpm=71), 3)[0]
    sheets = [Sheet(columns=(leads,), rhythm=()) for leads in (LIMB, CHEST)]
    return [drawn_page(leaf.load(), lambda paper: []) for leaf in open_pages(drawn_pdf(record, *sheets))]


def read(file: str, page: Page | None, index: int = 0) -> tuple[_Job, PageRead]:
    return _Job(Path(file), index, f"{file} {index}"), PageRead(
        f"{file} {index}", Answer(file, "", 0.0, page=page)
    )


def whole(first: _Job, second: _Job) -> PageRead:
    return PageRead("whole", Answer("whole", "", 0.0))


def test_halves_in_a_file_are_one_page(halves):
    limb, chest = halves
    reads = [read("a", None), read("a", limb, 1), read("a", chest, 2), read("a", chest, 3)]
    assert [found.page for found in _joined(reads, whole)] == ["a 0", "whole", "a 3"]


def test_halves_in_two_files_both_say_the_whole(halves):
    limb, chest = halves
    found = list(_joined([read("a", chest), read("b", limb), read("c", limb)], whole))
    assert [(one.page, one.answer.image) for one in found] == [("a 0", "a 0"), ("b 0", "b 0"), ("c 0", "c")]


def test_halves_of_others_stay_apart(halves):
    limb, chest = halves
    other = replace(chest, picture=(1, 1), measurements=replace(chest.measurements, beats=np.array([0.5])))
    reads = [read("a", limb), read("b", other), read("b", None, 1)]
    assert [found.page for found in _joined(reads, whole)] == ["a 0", "b 0", "b 1"]


@pytest.mark.parametrize(("pages", "processes"), [(0, 1), (2, 2), (20, 8)])
def test_no_more_processes_start_than_there_are_pages(monkeypatch, pages, processes):
    started = []

    class Here(ThreadPoolExecutor):
        def __init__(self, count: int, *_: object):
            started.append(count)
            super().__init__(1)

    monkeypatch.setattr(worker, "ProcessPoolExecutor", Here)
    monkeypatch.setattr(worker, "workers", lambda: 8)
    monkeypatch.setattr(worker, "_read_job", lambda job, wanted: read("a", None, job.index)[1])
    jobs = [_Job(Path("a"), i, f"a {i}") for i in range(pages)]
    found = worker._read_many(jobs, worker.Wanted(), None)
    assert [one.page for one in found] == [job.page for job in jobs]
    assert started == [processes]


def test_a_damaged_model_is_one_error_before_any_process_starts(monkeypatch, tmp_path):
    """Each process told its traceback, and the command that memory was short."""

    def damaged() -> None:
        raise EcgError("unreadable_file", "encoder.json: this file of the model is damaged")

    monkeypatch.setattr(worker, "check_shipped", damaged)
    monkeypatch.setattr(worker, "ProcessPoolExecutor", None)
    with pytest.raises(EcgError, match=r"encoder\.json"):
        list(worker.read_files([tmp_path / "a.png", tmp_path / "b.png"], worker.Wanted()))
