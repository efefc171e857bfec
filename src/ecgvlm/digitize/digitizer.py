"""`Digitizer`: picture in, `Page` out."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property, partial

import cv2
import numpy as np

from ecgvlm.digitize.arrangement import PLAIN, Name
from ecgvlm.digitize.contrast import FAINT, contrast_of, with_plain_ink
from ecgvlm.digitize.drawn import drawn_page
from ecgvlm.digitize.grid import GridFinder
from ecgvlm.digitize.layout import Found, find_layout, row_pitch
from ecgvlm.digitize.lettering import Lettering, same_place
from ecgvlm.digitize.nameless import find_nameless
from ecgvlm.digitize.negative import dark_on_bright
from ecgvlm.digitize.page import Page, as_given
from ecgvlm.digitize.pagenet import PX_PER_MM, NetMaps, PageNet
from ecgvlm.digitize.parting import OTHER_NAMED
from ecgvlm.digitize.plates import without_plates
from ecgvlm.digitize.quality import relations_db
from ecgvlm.digitize.rectify import flat_paper, rectify, skew
from ecgvlm.digitize.several import Part, as_one, beside, in_picture, parted, unnamed_beside
from ecgvlm.digitize.sheet import bent_sheet, name_ends
from ecgvlm.digitize.straight import straightened
from ecgvlm.digitize.strips import not_an_ecg, page_of_view
from ecgvlm.digitize.surface import PaperMap, projected
from ecgvlm.digitize.trace import paths_of
from ecgvlm.digitize.view import ROW_SLIGHTLY_OFF, View, off_scale, row_mm, score
from ecgvlm.errors import EcgError
from ecgvlm.files.drawing import Drawing
from ecgvlm.memory import keep_freed_memory
from ecgvlm.quantile import median
from ecgvlm.together import together

# Times by which 5 mm may be more than was taken for them: dots repeat two or three times as often as the mm
# that they mark; of lines all alike every second, third or fifth one passes for a thick one.
_COARSER = (2.0, 3.0, 5.0, 5 / 3, 5 / 2)
_DOUBTFUL = 0.6  # score of a view below which its grid is doubted
_LARGEST = 700.0  # mm of a sheet's longer side; 30 s are 750, and are looked at once more
_NO_DOUBT = 0.95  # score of a view that needs no other guess of its scale
_SPANS = (285.0, 245.0, 340.0)  # mm that a picture without grid may show along its longer side
_LEAST_ZOOM, _MOST_ZOOM = 0.4, 1.6  # times by which rows may be longer than 10 s for the guess to be mended
_LOOKS = 3  # at paper without a grid, each by what rows and beats of the one before tell
_ROW_OFF = 0.04  # part by which rows may be longer or shorter before their grid is doubted
_ROW_FAR_OFF = 0.3  # the same (of its logarithm) where columns stand apart, whose gaps count in
_AS_GOOD = 0.8  # of a view's score that another one must reach to be preferred for its scale
_GUESSED = 0.6  # the same where the scale was a guess
_PLAINLY_SEEN = 0.8  # part of the page that shows a grid which is no doubt the page's
# Of paper without a grid no more differs by more than so many grey levels, so many px from any trace.
_BARE_PRINT, _BARE_LEVELS, _AROUND_INK = 0.03, 5.0, 11
_PRINT_SIZES = (1.25, 0.8)  # times its own, at which the page is looked at once more where names are not seen
_SEEN_AS_WELL = 0.7  # of a grid's fit that another one must reach to be preferred for its scale
_HARDLY_SEEN = 0.5  # part of the page that shows a grid, below which rows of 10 s know the scale better
_SMALL_PART, _FARTHER = 0.4, 2  # of a picture: a grid seen on less is followed farther, so many times
_AT_END = int(6.0 * PX_PER_MM)  # about a map's end, that traces reach
_GOES_ON = 10.0  # mm of the picture beyond it
_NO_INK = 3e-4  # share of a picture's px that are a trace, upright or on its side, below which it is no ECG
_COARSE = 16  # px of a rectified page, whose sides are multiples of it, within which it is as good as flat
_STRAY_NAMES = 2  # that the net may see on a page without any
# Leads that a page without any grid must name, and mm of its rows.
_PLAINLY_NAMED, _BARE_ROW = 9, 80.0
# By which the limb leads of a page without names must stand out above what contradicts them.
_RELATED_DB = 8.0
_HARDLY_LIT = " where ink hardly stands out from paper; take the picture in more light"
# Quarter turns clockwise, and whether to mirror first, that set a picture upright which is not.
_WAYS_UP = ((1, False), (3, False), (2, False), (0, True))


class Digitizer:
    """Digitises pages; holds the page net. threads: of ONNX Runtime."""

    def __init__(self, threads: int = 2):
        self.threads = threads
        keep_freed_memory()

    @cached_property
    def net(self) -> PageNet:
        return PageNet(self.threads)

    @cached_property
    def lettering(self) -> Lettering:
        return Lettering(self.threads)

    def __call__(self, image: np.ndarray | Drawing) -> Page:
        """image: [H, W, 3] uint8 RGB, upright, turned or mirrored; or a drawing, whose own lines count where
        they are plainly traces.

        Raises EcgError not_an_ecg where no page is found that shows at least six named leads.
        """
        if isinstance(image, Drawing):
            drawing, image = image, image.image
            if (page := drawn_page(drawing, partial(self._seen_names, drawing.image))) is not None:
                return page
        image = dark_on_bright(image)
        contrast = contrast_of(image)
        try:
            return self._seen(with_plain_ink(image, contrast))
        except EcgError as error:
            if contrast >= FAINT:
                raise
            raise not_an_ecg(_HARDLY_LIT) from error

    def _seen(self, image: np.ndarray) -> Page:
        """What a picture of dark ink shows, see `__call__`."""
        view = self.look(image)
        if view is not None and view.found is not None:
            plain = view.found.named >= _PLAINLY_NAMED and row_mm(view.found) >= _BARE_ROW
            if view.paper.fit == 0 and not plain:
                raise not_an_ecg()  # curves beside words are on many a page, words in rows of a table
            return self._read(view, view.found, image)
        if view is None:
            raise not_an_ecg()
        for turns, mirrored in self._ways_up(view):
            again = self.look(_turned(image, turns, mirrored))
            if again is not None and again.found is not None:
                return self._read(again, again.found, image, turns, mirrored)
        unnamed = sum(name.p > PLAIN for name in view.names) <= _STRAY_NAMES
        nameless = find_nameless(view.maps) if view.paper.fit > 0 and unnamed else None
        if nameless is None:
            raise not_an_ecg()
        page = page_of_view(view, nameless, image)
        if relations_db(page.strips) < _RELATED_DB:
            raise not_an_ecg()  # rows of something else, or the order is another one
        return page

    def _ways_up(self, view: View) -> list[tuple[int, bool]]:
        """Quarter turns clockwise, and whether to mirror first, that show names on a view without a layout.

        The plainest come first: in a mirror some names are what they are, and upside down there, too. The
        rectified page tells. Raises EcgError not_an_ecg where no way shows a trace.
        """
        ink = _inked(view.maps)
        ways: list[tuple[float, int, bool]] = []
        for turns, mirrored in _WAYS_UP:
            seen = _turned(view.image, turns, mirrored)
            maps = self.net(seen)
            ink = max(ink, _inked(maps))  # the first way shows a page on its side upright or upside down
            if ink < _NO_INK:
                raise not_an_ecg()
            found = find_layout(self.lettering.names(seen, maps), maps)
            if found is not None:
                ways.append((found.score, turns, mirrored))
                if found.score > _DOUBTFUL:
                    break
        return [(turns, mirrored) for _, turns, mirrored in sorted(ways, reverse=True)]

    def _seen_names(self, image: np.ndarray, paper: PaperMap) -> list[Name]:
        """The plain names on a picture of known scale, in px of it."""
        view = self._view(image, paper)
        if view is None:
            return []
        plain = [name for name in view.names if name.p > PLAIN]
        places = [paper.to_px(np.array([n.x, n.y]) / PX_PER_MM + view.origin) for n in plain]
        return [replace(n, x=float(x), y=float(y)) for n, (x, y) in zip(plain, places)]

    def _read(
        self, view: View, found: Found, image: np.ndarray, turns: int = 0, mirrored: bool = False
    ) -> Page:
        """The page of a view, with the other ECGs on its picture. image: as it was given, which the view
        shows upright."""
        parting = found.parting or unnamed_beside(found, view.maps.trace)
        if parting is not None:

            def to_px(px: np.ndarray) -> np.ndarray:
                return as_given(view.to_px(px), image.shape[:2], turns, mirrored)

            parts = parted(image, parting, view.image.shape, to_px)
            if found.parting is not None or all(self._shows_an_ecg(part.image) for part in parts):
                pages = self._pages(parts, image)
                if len(pages) > 1:
                    return as_one(pages)
        page = page_of_view(view, found, _turned(image, turns, mirrored), turns, mirrored)
        if page.several or turns or mirrored:
            return page
        around = [part for part in beside(page, image) if self._shows_an_ecg(part.image)]
        others = self._pages(around, image)
        return as_one([page, *others]) if others else replace(page, several=bool(around))

    def _pages(self, parts: Sequence[Part], image: np.ndarray) -> list[Page]:
        """What the parts of a picture show, but for those that cannot be read."""
        pages: list[Page] = []
        for part in parts:
            with contextlib.suppress(EcgError):
                pages.extend(in_picture(self(part.image), part, image.shape[:2]))
        return pages

    def _shows_an_ecg(self, image: np.ndarray) -> bool:
        """Whether a picture of something beside an ECG plainly is another one."""
        paper = GridFinder(image).find()
        view = None if paper is None else self._view(image, paper)
        return view is not None and view.found is not None and view.found.named >= OTHER_NAMED

    def look(self, image: np.ndarray) -> View | None:
        """What is seen on a picture [H, W, 3] as it stands; None where neither grid nor rows are found."""
        grid = GridFinder(image)
        paper = grid.find()
        view = None if paper is None else self._first_view(image, grid, paper)
        if view is not None and view.paper.fit < _PLAINLY_SEEN and _is_bare(view):
            return self._without_grid(image)
        unseen = view is not None and view.found is None
        if view is not None and unseen and view.paper.fit > _PLAINLY_SEEN:
            view = self._in_other_print(view)
        if view is not None and view.found is None and _seen_part(view.paper, image.shape) < _SMALL_PART:
            view = self._farther(image, grid, view)
        # Large print may be that of a coarser grid.
        if paper is not None and (unseen or score(view) < _DOUBTFUL):
            coarser = (self._of_scale(image, grid, times * paper.scale(), paper) for times in _COARSER)
            view = max((view, *coarser), key=score)
        if view is None or view.found is None:
            bare = self._without_grid(image)
            return bare if view is None or (bare is not None and bare.found is not None) else view
        if _ends_too_soon(view, view.found, image.shape):
            wider = self._view(image, grid.farther(view.paper))
            if wider is not None and score(wider) > _AS_GOOD * score(view):
                view = wider
        return self._by_its_rows(image, grid, view)

    def _by_its_rows(self, image: np.ndarray, grid: GridFinder, view: View) -> View | None:
        """The view, or another one of a scale that makes its rows 10 s long: lines of a grid may be taken for
        finer or coarser ones than they are."""
        assert view.found is not None
        zoom = off_scale(view.found, view.notes)
        far_off = abs(np.log(zoom)) > _ROW_FAR_OFF
        if abs(zoom - 1) <= _ROW_OFF or (view.found.apart and not far_off):
            return view
        again = self._of_scale(image, grid, view.paper.scale() * zoom, view.paper)
        if score(again) > _AS_GOOD * score(view):
            return again
        if far_off and view.paper.fit < _HARDLY_SEEN:
            bare = self._without_grid(image)
            return bare if score(bare) > _AS_GOOD * score(view) else view
        return view

    def _farther(self, image: np.ndarray, grid: GridFinder, view: View) -> View:
        """The view of more of the paper, where a grid that is seen on a part of it shows no layout."""
        paper = view.paper
        for _ in range(_FARTHER):
            paper = grid.farther(paper)
            wider = self._view(image, paper)
            if wider is not None and wider.found is not None:
                return wider
        return view

    def _first_view(self, image: np.ndarray, grid: GridFinder, paper: PaperMap) -> View | None:
        """The view by a grid; lines of 1 mm may pass for those of 5 mm, which makes a huge sheet."""
        if max(image.shape[:2]) > _LARGEST * paper.scale():
            usual = self._of_scale(image, grid, 5 * paper.scale(), paper)
            if score(usual) > _DOUBTFUL:
                return usual
        return self._view(image, paper)

    def _of_scale(self, image: np.ndarray, grid: GridFinder, scale: float, first: PaperMap) -> View | None:
        """The view by a grid of about so many px per mm, None where it is seen worse than the first one."""
        other = grid.find_about(scale)
        if other is None or other.fit <= _SEEN_AS_WELL * first.fit:
            return None
        return self._view(image, other)

    def _view(self, image: np.ndarray, paper: PaperMap, to_scale: bool = True) -> View | None:
        try:
            rectified, origin = rectify(image, paper)
        except ValueError:
            return None
        rectified = without_plates(rectified)
        maps = _shown(self.net(rectified), paper, origin, image.shape)
        names, notes = together(
            partial(self.lettering.names, rectified, maps), partial(self.lettering.notes, rectified, maps)
        )
        return View(rectified, origin, paper, maps, names, notes, find_layout(names, maps, to_scale))

    def _in_other_print(self, view: View) -> View:
        """A view without layout once more, with names that the net sees at another size of print."""
        rows, columns = view.image.shape[:2]
        plain = [name for name in view.names if name.p > PLAIN]
        for size in _PRINT_SIZES:
            height, width = (16 * round(side * size / 16) for side in (rows, columns))
            seen = cv2.resize(view.image, (width, height), interpolation=cv2.INTER_AREA)
            names = [
                replace(name, x=name.x * columns / width, y=name.y * rows / height)
                for name in self.lettering.names(seen, self.net(seen))
            ]
            names = plain + [n for n in names if not any(same_place(n, other) for other in plain)]
            found = find_layout(names, view.maps)
            if found is not None:
                return replace(view, names=names, found=found)
        return view

    def _without_grid(self, image: np.ndarray) -> View | None:
        """Paper without a grid: the skew from the lines of print, the scale from rows of 10 s at 25 mm/s."""
        angle = skew(image)
        best: View | None = None
        for span in _SPANS:
            guess = self._view(image, flat_paper(image, max(image.shape[:2]) / span, angle), False)
            best = max(best, guess, key=score)
            if score(best) > _NO_DOUBT:
                break
        if best is None or best.found is None:
            return best
        for _ in range(_LOOKS):
            assert best.found is not None
            zoom = off_scale(best.found, best.notes)
            paper = _set_straight(best, zoom, image.shape) if _LEAST_ZOOM < zoom < _MOST_ZOOM else None
            again = None if paper is None else self._view(image, paper)
            if again is not None and score(again) < best.found.score:
                again = _with_names_of(best, again)
            if again is None or score(again) <= _GUESSED * best.found.score:
                break
            best = again
        paper = _as_it_lies(best, image.shape)
        again = None if paper is None else self._view(image, paper)
        if again is not None and score(again) > _GUESSED * score(best):
            return replace(again, notes=best.notes.with_those_of(again.notes))
        return best


def _seen_part(paper: PaperMap, shape: Sequence[int]) -> float:
    """The part of a picture on which its grid is seen, 1 where there is none. shape: of the picture."""
    x0, y0, x1, y1 = paper.box
    part = (x1 - x0) * (y1 - y0) * paper.scale() ** 2 / (shape[0] * shape[1])
    return part if paper.fit > 0 else 1.0


def _ends_too_soon(view: View, found: Found, shape: Sequence[int]) -> bool:
    """Whether most rows' ink runs to an end of the map where the picture goes on. shape: of the picture."""
    ys = np.array(sorted({strip.y for strip in found.strips}))
    width, half = view.image.shape[1], 0.4 * row_pitch(found.strips)
    for x, part in ((0.0, slice(_AT_END)), (width - 1.0, slice(width - _AT_END, width))):
        ink = np.any(view.maps.trace[:, part] > 0.5, axis=1)
        shown = [ink[max(0, int(y - half)) : int(y + half)].any() for y in ys]
        px = view.to_px(np.stack([np.full(len(ys), x), ys], 1))
        goes_on = np.minimum(px, np.array(shape[1::-1]) - px).min(1) > _GOES_ON * view.paper.scale()
        if (goes_on & shown).mean() > 0.5:
            return True
    return False


def _set_straight(view: View, zoom: float, shape: Sequence[int]) -> PaperMap | None:
    """Flat paper as the rows and beats of a view of it tell, None where the view shows it so.

    zoom: times by which its rows are longer than they should be. shape: of the picture.
    """
    assert view.found is not None
    strips = view.found.strips
    begins, paths = paths_of(view.maps.trace, strips)
    straight = straightened(view.paper, view.origin, strips, list(zip(begins, paths)), shape)
    if straight is None and abs(zoom - 1) < ROW_SLIGHTLY_OFF:
        return None
    flat = view.paper.homography if straight is None else straight
    return PaperMap.covering(flat @ np.diag([zoom, zoom, 1.0]), shape)


def _as_it_lies(view: View, shape: Sequence[int]) -> PaperMap | None:
    """Paper that bends as the rows, beats and names of a view tell, None where it may as well be flat."""
    assert view.found is not None
    strips = view.found.strips
    begins, paths = paths_of(view.maps.trace, strips)
    names = name_ends(view.image, view.maps.trace, view.names, strips, row_pitch(strips))
    return bent_sheet(view.paper, view.origin, strips, list(zip(begins, paths)), names, shape)


def _with_names_of(other: View, view: View) -> View:
    """A view of flat paper with the names that another one sees, whose print is of another size."""
    back = np.linalg.inv(view.paper.homography)
    names = []
    for name in other.names:
        mm = projected(back, other.to_px(np.array([name.x, name.y])))
        x, y = ((mm - view.origin) * PX_PER_MM).tolist()
        names.append(replace(name, x=x, y=y))
    found = find_layout(names, view.maps)
    return view if found is None else replace(view, names=names, found=found)


def _is_bare(view: View) -> bool:
    """Whether the paper around the traces is blank, so that what passed for a grid was rows and beats."""
    around = cv2.dilate(
        (view.maps.trace > 0.1).astype(np.uint8), np.ones((_AROUND_INK, _AROUND_INK), np.uint8)
    )
    paper = view.image[:, :, 1][around == 0]
    if not len(paper):
        return False
    marked = np.abs(paper - np.float32(median(paper))) > _BARE_LEVELS
    return bool(marked.mean() < _BARE_PRINT)


def _shown(maps: NetMaps, paper: PaperMap, origin: tuple[float, float], shape: Sequence[int]) -> NetMaps:
    """The maps without ink beyond the edges of the picture, whose last px are repeated there: traces that run
    into an edge would seem to go on. shape: of the picture."""
    rows, columns = (side // _COARSE for side in maps.trace.shape)
    at = [(np.arange(n) + 0.5) * _COARSE - 0.5 for n in (columns, rows)]  # as cv2.resize has them
    px = paper.to_px(np.stack(np.meshgrid(*at), -1) / PX_PER_MM + origin)
    inside = np.minimum(px, np.array(shape[1::-1]) - 1.0 - px).min(-1).astype(np.float32)
    if inside.min() >= 0:
        return maps
    beyond = cv2.resize(inside, maps.trace.shape[::-1], interpolation=cv2.INTER_LINEAR) < 0
    return replace(maps, trace=np.where(beyond, np.float32(0), maps.trace))


def _inked(maps: NetMaps) -> float:
    """The share of a page's px that are a trace."""
    return float((maps.trace > 0.5).mean())


def _turned(image: np.ndarray, turns: int, mirrored: bool) -> np.ndarray:
    return np.ascontiguousarray(np.rot90(image[:, ::-1] if mirrored else image, -turns))
