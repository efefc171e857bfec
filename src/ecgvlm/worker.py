"""`ecgvlm read`: every page of every file, read by processes with a reader each."""

from __future__ import annotations

import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path

import cv2
import numpy as np

from ecgvlm.digitize.joined import is_half, join
from ecgvlm.errors import EcgError, Unloadable
from ecgvlm.files.bounded import BoundedDecoder
from ecgvlm.files.leaf import Content, Leaf, Spread
from ecgvlm.machine import workers
from ecgvlm.printed import picture_of
from ecgvlm.processes import end_with_parent, quick_context
from ecgvlm.reader import Answer, Reader
from ecgvlm.record import Record
from ecgvlm.sessions import check_shipped

_reader: Reader
_decoder: BoundedDecoder


@dataclass(frozen=True)
class Wanted:
    """What is asked of every page. sensitivity, criteria, language, spoken: as of `Reader.read`. overlay:
    whether what was found is to be drawn on it."""

    question: str | None = None
    sensitivity: float | None = None
    criteria: str = "definitions"
    overlay: bool = False
    language: str | None = None
    spoken: str = "en"


@dataclass(frozen=True)
class PageRead:
    """A page and its answer, without the rectified picture. overlay: [H, W, 3] uint8 RGB, where wanted."""

    page: str
    answer: Answer
    overlay: np.ndarray | None = None

    def called(self, page: str) -> PageRead:
        return replace(self, page=page, answer=replace(self.answer, image=page))


def read_files(files: Sequence[Path], wanted: Wanted, model: Path | None = None) -> Iterator[PageRead]:
    """Every page of every file, in order. A file that cannot be opened is one page with its error. Two pages
    after each other with one half of an ECG each are one page of it; where they are two files, both say it.

    One page is read here; several by a process on each core. model: as of `Reader`. Raises EcgError where
    such a process is killed.
    """
    with BoundedDecoder() as decoder:
        pages = _pages(decoder, files[0]) if len(files) == 1 else []
        if len(pages) == 1:
            yield _read_one(pages[0], wanted, model)
        else:
            yield from _read_many(chain.from_iterable(_jobs(decoder, file) for file in files), wanted, model)


def _pages(decoder: BoundedDecoder, file: Path) -> list[Leaf]:
    try:
        return decoder.open(file)
    except EcgError as error:
        return [Leaf(str(file), Unloadable.of(error))]


@dataclass(frozen=True)
class _Job:
    """A page of a file as it travels to a worker. refused: the file has none."""

    file: Path
    index: int
    page: str
    refused: Unloadable | None = None


def _jobs(decoder: BoundedDecoder, file: Path) -> list[_Job]:
    return [
        _Job(file, i, leaf.name, leaf.load if isinstance(leaf.load, Unloadable) else None)
        for i, leaf in enumerate(_pages(decoder, file))
    ]


def read_page(reader: Reader, page: str, load: Callable[[], Content], wanted: Wanted) -> PageRead:
    """Reads a page of this name, decoded once however much is wanted of it."""
    start = time.perf_counter()
    try:
        content = load()
    except EcgError as error:
        return PageRead(page, Answer.failed(page, wanted.question, error))
    answer = reader.read(
        content, wanted.question, page, wanted.sensitivity, wanted.criteria, wanted.language, wanted.spoken
    )
    overlay = None
    if wanted.overlay and answer.page is not None:
        from ecgvlm.show.overlay import draw_overlay  # with fonts and paper, for those who want it

        overlay = picture_of(content)
        for one in (answer, *answer.others):
            overlay = draw_overlay(overlay, one, reader.grounds(one))
    return PageRead(page, replace(_without_image(answer), seconds=time.perf_counter() - start), overlay)


def _without_image(answer: Answer) -> Answer:
    """The answer without the rectified pictures, which are large on their way to another process."""
    if answer.page is None:
        return answer
    page = replace(answer.page, image=answer.page.image[:0, :0], others=())
    return replace(answer, page=page, others=tuple(map(_without_image, answer.others)))


def _read_one(page: Leaf, wanted: Wanted, model: Path | None) -> PageRead:
    """While a process of its own decodes the page, the nets are loaded here."""
    with ThreadPoolExecutor(1) as aside:
        content = aside.submit(page.load)
        reader = Reader(model=model)
        if wanted.question:  # it is understood while the page is digitised
            aside.submit(reader.words.expect, wanted.question, wanted.spoken)
        return read_page(reader, page.name, content.result, wanted)


def check_model(model: Path | None) -> None:
    """Raises EcgError for what is wrong with the files of a model, here and once, before worker processes
    open it."""
    check_shipped()
    if model is not None:
        Reader(model=model)


def _read_many(jobs: Iterable[_Job], wanted: Wanted, model: Path | None) -> Iterator[PageRead]:
    check_model(model)
    jobs, count = iter(jobs), workers()
    begin = list(islice(jobs, count))  # forked processes start all at once, wanted or not
    context = quick_context("ecgvlm.worker")
    with ProcessPoolExecutor(max(1, len(begin)), context, start_worker, (model,)) as pool:
        try:
            reads = _ordered(pool, chain(begin, jobs), wanted, 4 * count)
            yield from _joined(reads, lambda *halves: pool.submit(_read_spread, halves, wanted).result())
        except BrokenProcessPool as error:
            raise EcgError(
                "too_large", "a reading process was killed, most likely for want of memory; read fewer"
            ) from error


def _ordered(
    pool: Executor, jobs: Iterable[_Job], wanted: Wanted, ahead: int
) -> Iterator[tuple[_Job, PageRead]]:
    """Results in order; no more than `ahead` are under way, however long the list."""
    waiting: deque[tuple[_Job, Future[PageRead]]] = deque()
    for job in jobs:
        waiting.append((job, pool.submit(_read_job, job, wanted)))
        if len(waiting) >= ahead:
            job, read = waiting.popleft()
            yield job, read.result()
    for job, read in waiting:
        yield job, read.result()


def _joined(
    reads: Iterable[tuple[_Job, PageRead]], whole: Callable[[_Job, _Job], PageRead]
) -> Iterator[PageRead]:
    """The reads, those of two halves of one ECG read again as a whole."""
    held: tuple[_Job, PageRead] | None = None  # a first half
    for job, read in reads:
        page = read.answer.page
        if held is not None:
            before, first = held
            held = None
            one_file = before.file == job.file
            if page is not None and first.answer.page and join(first.answer.page, page, one_file):
                spread = whole(before, job)
                yield from [spread] if one_file else [spread.called(half.page) for half in (before, job)]
                continue
            yield first
        if page is not None and is_half(page):
            held = job, read
        else:
            yield read
    if held is not None:
        yield held[1]


def start_worker(model: Path | None = None) -> None:
    """Makes this process's decoder and reader. Ctrl-C is the parent's to answer; when the parent ends, so
    does this."""
    global _reader, _decoder
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
    _decoder = BoundedDecoder()  # before there are threads
    end_with_parent()
    _reader = Reader(threads=1, model=model)


def _read_job(job: _Job, wanted: Wanted) -> PageRead:
    load = job.refused or (lambda: _decoder.load(job.file, None, job.index, job.page))
    return read_page(_reader, job.page, load, wanted)


def _read_spread(halves: Sequence[_Job], wanted: Wanted) -> PageRead:
    def load() -> Spread:
        first, second = (_decoder.load(job.file, None, job.index, job.page) for job in halves)
        assert not isinstance(first, Record)  # records are no halves
        assert not isinstance(second, Record)
        return Spread(first, second)

    numbers = " and ".join(str(job.index + 1) for job in halves)
    return read_page(_reader, f"{halves[0].file} (pages {numbers})", load, wanted)
