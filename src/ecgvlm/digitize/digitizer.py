"""`Digitizer`: picture in, `Page` out."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import cv2
import numpy as np

from ecgvlm.digitize.arrangement import FEWEST, PLAIN, Name
from ecgvlm.digitize.assembly import SLOW, assembled, later, sped_up
from ecgvlm.digitize.contrast import FAINT, contrast_of, with_plain_ink
from ecgvlm.digitize.drawn import drawn_page
from ecgvlm.digitize.grid import GridFinder
from ecgvlm.digitize.layout import Found, Placed, find_layout, find_nameless, row_pitch
from ecgvlm.digitize.lettering import Lettering, Notes, same_place
from ecgvlm.digitize.negative import dark_on_bright
from ecgvlm.digitize.page import Page, Strip, are_silent, as_given
from ecgvlm.digitize.pagenet import PX_PER_MM, NetMaps, PageNet
from ecgvlm.digitize.plates import without_plates
from ecgvlm.digitize.quality import limbs_db, relations_db
from ecgvlm.digitize.rectify import flat_paper, rectify, skew
from ecgvlm.digitize.scale import find_scale
from ecgvlm.digitize.separators import between_separators
from ecgvlm.digitize.several import Part, as_one, beside, in_picture, parted, unnamed_beside
from ecgvlm.digitize.sheet import bent_sheet, name_ends
from ecgvlm.digitize.spikes import with_spikes
from ecgvlm.digitize.straight import straightened
from ecgvlm.digitize.surface import PaperMap, projected
from ecgvlm.digitize.timing import delays, same_time
from ecgvlm.digitize.trace import follow, paths_of
from ecgvlm.errors import EcgError
from ecgvlm.files.drawing import Drawing
from ecgvlm.memory import keep_freed_memory
from ecgvlm.paper.layouts import CABRERA
from ecgvlm.quantile import median
from ecgvlm.record import LEADS
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
_ROW_SLIGHTLY_OFF = 0.004  # part by which such rows may be longer or shorter
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
_ABOUT = 6.0 * PX_PER_MM  # above and below a row's line, that show the paper it stands on
# Grey levels of detail that a grid has at most, and its share on paper that something lies on.
_MOST_DETAIL, _LEAST_DETAIL = 12, 0.35
_SAME_LEAD = 0.9  # likeness from which on a rhythm strip is taken for a lead
_PLAINLY = 0.2  # by which the likeness must exceed that with the lead whose name was read
_USUAL_RHYTHM, _AS_LIKE = ("II", "V1", "V5"), 0.05  # leads that are taken of two that are about as like
# Mean probability of ink along a strip below which nothing is printed there, its name seen or not.
_NO_TRACE, _NO_TRACE_NO_NAME = 0.2, 0.6
_NO_INK = 3e-4  # share of a picture's px that are a trace, upright or on its side, below which it is no ECG
_SAME_TRACE, _ALONG = 0.5, 4.0  # mm: curves this close run along one trace, when they do so for this long
_STRAY_NAMES = 2  # that the net may see on a page without any
# Leads that a page without any grid must name, and mm of its rows.
_PLAINLY_NAMED, _BARE_ROW = 9, 80.0
_RELATED_DB = (
    8.0  # by which the limb leads of a page without names must stand out above what contradicts them
)
# Which lead of the usual order stands in the place of one in Cabrera's.
_USUAL_ORDER = dict(zip(CABRERA, LEADS))
_ORDER_DB = 6.0  # by which the limb leads must agree better in the usual order
_OTHER_NAMED = 8  # leads whose names make it another ECG
_HARDLY_LIT = " where ink hardly stands out from paper; take the picture in more light"
# Quarter turns clockwise, and whether to mirror first, that set a picture upright which is not.
_WAYS_UP = ((1, False), (3, False), (2, False), (0, True))


@dataclass(frozen=True)
class View:
    """A rectified page with what the net and the layout search saw on it."""

    image: np.ndarray
    origin: tuple[float, float]
    paper: PaperMap
    maps: NetMaps
    names: list[Name]
    notes: Notes
    found: Found | None

    def to_px(self, px: np.ndarray) -> np.ndarray:
        """[..., 2] px of the rectified page -> px of the picture, upright."""
        return self.paper.to_px(px / PX_PER_MM + self.origin)

    def sides(self, y: float, width: int) -> tuple[float, float]:
        """px of the rectified page at which a picture of this width begins and ends, at the height y."""
        xs = np.arange(self.image.shape[1])
        px = self.to_px(np.stack([xs, np.full(len(xs), y)], 1))[:, 0]
        inside = xs[(px >= 0) & (px < width)]
        return (float(inside[0]), float(inside[-1])) if len(inside) else (0.0, float(xs[-1]))


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
            raise _not_an_ecg(_HARDLY_LIT) from error

    def _seen(self, image: np.ndarray) -> Page:
        """What a picture of dark ink shows, see `__call__`."""
        view = self.look(image)
        if view is not None and view.found is not None:
            plain = view.found.named >= _PLAINLY_NAMED and _row_mm(view.found) >= _BARE_ROW
            if view.paper.fit == 0 and not plain:
                raise _not_an_ecg()  # curves beside words are on many a page, words in rows of a table
            return self._read(view, view.found, image)
        if view is None:
            raise _not_an_ecg()
        for turns, mirrored in self._ways_up(view):
            again = self.look(_turned(image, turns, mirrored))
            if again is not None and again.found is not None:
                return self._read(again, again.found, image, turns, mirrored)
        unnamed = sum(name.p > PLAIN for name in view.names) <= _STRAY_NAMES
        nameless = find_nameless(view.maps) if view.paper.fit > 0 and unnamed else None
        if nameless is None:
            raise _not_an_ecg()
        page = _page(view, nameless, image)
        if relations_db(page.strips) < _RELATED_DB:
            raise _not_an_ecg()  # rows of something else, or the order is another one
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
                raise _not_an_ecg()
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
        page = _page(view, found, _turned(image, turns, mirrored), turns, mirrored)
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
        return view is not None and view.found is not None and view.found.named >= _OTHER_NAMED

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
        if paper is not None and (unseen or _score(view) < _DOUBTFUL):
            coarser = (self._of_scale(image, grid, times * paper.scale(), paper) for times in _COARSER)
            view = max((view, *coarser), key=_score)
        if view is None or view.found is None:
            bare = self._without_grid(image)
            return bare if view is None or (bare is not None and bare.found is not None) else view
        found = view.found
        if _ends_too_soon(view, found, image.shape):
            wider = self._view(image, grid.farther(view.paper))
            if wider is not None and wider.found and wider.found.score > _AS_GOOD * found.score:
                view, found = wider, wider.found
        zoom = _off_scale(found, view.notes)
        far_off = abs(np.log(zoom)) > _ROW_FAR_OFF
        if abs(zoom - 1) > _ROW_OFF and (far_off or not found.apart):
            # Lines may be taken for finer or coarser ones than they are: is there a grid of rows of 10 s?
            again = self._of_scale(image, grid, view.paper.scale() * zoom, view.paper)
            if _score(again) > _AS_GOOD * found.score:
                return again
            if far_off and view.paper.fit < _HARDLY_SEEN:
                bare = self._without_grid(image)
                return bare if _score(bare) > _AS_GOOD * found.score else view
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
            if _score(usual) > _DOUBTFUL:
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
        maps = self.net(rectified)
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
            best = max(best, guess, key=_score)
            if _score(best) > _NO_DOUBT:
                break
        if best is None or best.found is None:
            return best
        for _ in range(_LOOKS):
            assert best.found is not None
            zoom = _off_scale(best.found, best.notes)
            paper = _set_straight(best, zoom, image.shape) if _LEAST_ZOOM < zoom < _MOST_ZOOM else None
            again = None if paper is None else self._view(image, paper)
            if again is not None and _score(again) < best.found.score:
                again = _with_names_of(best, again)
            if again is None or _score(again) <= _GUESSED * best.found.score:
                break
            best = again
        paper = _as_it_lies(best, image.shape)
        again = None if paper is None else self._view(image, paper)
        if again is not None and _score(again) > _GUESSED * _score(best):
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
    if straight is None and abs(zoom - 1) < _ROW_SLIGHTLY_OFF:
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


def _score(view: View | None) -> float:
    """How well an ECG is seen in a view, 0 for none."""
    return view.found.score if view is not None and view.found is not None else 0.0


def _row_mm(found: Found) -> float:
    """mm of printed time in a row. A rhythm strip runs through, whatever stands between the columns."""
    through = [s.x1 - s.x0 for s in found.strips if s.rhythm]
    if through:
        return median(through) / PX_PER_MM
    return sum(b - a for a, b in {(s.x0, s.x1) for s in found.strips}) / PX_PER_MM


def _off_scale(found: Found, notes: Notes) -> float:
    """Times by which the rows are longer than 10 s are, at 25 mm/s or at the speed that is printed."""
    zooms = [_row_mm(found) / 10 / speed for speed in {SLOW, *notes.speeds}]
    return min(zooms, key=lambda zoom: abs(np.log(zoom)))


def _inked(maps: NetMaps) -> float:
    """The share of a page's px that are a trace."""
    return float((maps.trace > 0.5).mean())


def _turned(image: np.ndarray, turns: int, mirrored: bool) -> np.ndarray:
    return np.ascontiguousarray(np.rot90(image[:, ::-1] if mirrored else image, -turns))


def _not_an_ecg(advice: str = "") -> EcgError:
    return EcgError(
        "not_an_ecg",
        f"no twelve named leads found{advice}; show the whole ECG page, flat and sharp, and nothing else",
    )


def _page(view: View, found: Found, picture: np.ndarray, turns: int = 0, mirrored: bool = False) -> Page:
    """picture: [h, w, 3] RGB, upright."""
    between = between_separators(found.strips, view.maps.trace)
    found = replace(found, strips=tuple(sorted(between, key=lambda p: (p.rhythm, p.column, p.y))))
    columns = [p for p in found.strips if not p.rhythm]
    column_mm = median([p.x1 - p.x0 for p in columns]) / PX_PER_MM
    rows = sorted({p.y for p in found.strips})
    sides = view.sides(float(np.mean(rows)), picture.shape[1])
    ends = min(p.x0 for p in columns), max(p.x1 for p in columns)
    curves, scale = together(
        lambda: _curves(view, found, picture),
        lambda: find_scale(
            view.image, view.maps, view.notes, column_mm, len({p.column for p in columns}), rows, sides, ends
        ),
    )
    scale = scale.of_heights([_height(curve) / PX_PER_MM for curve, _ in curves])
    spiked = with_spikes(view.image, found.strips, [curve for curve, _ in curves])
    followed = [
        (placed, _strip(placed, curve, sure, scale.gain_of(placed.lead)))
        for placed, curve, (_, sure) in zip(found.strips, spiked, curves)
    ]
    printed = [
        (placed, strip)
        for placed, strip in followed
        if strip.sure >= (_NO_TRACE if placed.named else _NO_TRACE_NO_NAME)
    ]
    silent = are_silent([strip for _, strip in printed])
    if silent:
        # Of a line that nothing rises from the net sees only parts: whatever is named is one, too.
        printed = [(placed, strip) for placed, strip in followed if placed.named]
    printed = _uncovered(view.image, [(p, s) for (p, _), s in zip(printed, _without_neighbours(printed))])
    if len({strip.lead for _, strip in printed} & set(LEADS)) < FEWEST:
        raise _not_an_ecg()
    placed, strips = [p for p, _ in printed], [s for _, s in printed]
    same = not silent and same_time(strips, [None if p.rhythm else p.column for p in placed])
    if same:
        strips = [later(s, -p.since / PX_PER_MM / SLOW) for p, s in zip(placed, strips)]
    zoom = _off_scale(found, view.notes)
    if view.paper.fit == 0 and abs(zoom - 1) < _ROW_SLIGHTLY_OFF:
        strips = [sped_up(s, zoom) for s in strips]  # the rows are all the ruler that there is
    strips = _in_time(placed, strips, view.paper.fit > 0)
    order = found.order
    if order == "cabrera":
        signs = [p.sign for p in placed]
        if limbs_db(usual := _in_usual_order(strips, signs)) > limbs_db(strips) + _ORDER_DB:
            strips, order = usual, "standard"  # names were misread
    strips = [_named_by_shape(s, strips) if s.rhythm else s for s in strips]
    return assembled(
        strips,
        scale,
        same,
        layout=found.layout,
        order=order,
        named=found.named,
        image=view.image,
        origin=view.origin,
        paper=view.paper,
        picture=picture.shape[:2],
        turns=turns,
        mirrored=mirrored,
        several=found.several,
    )


def _curves(view: View, found: Found, picture: np.ndarray) -> list[tuple[np.ndarray, float]]:
    """The trace of every strip that the layout has, see `follow`."""
    curves = follow(view.maps.trace, view.image, picture, view.to_px, found.strips)
    return [(_shown(curve, view.to_px, picture.shape), sure) for curve, sure in curves]


def _shown(
    curve: np.ndarray, to_px: Callable[[np.ndarray], np.ndarray], shape: tuple[int, ...]
) -> np.ndarray:
    """The curve with NaN where it runs on beyond the edges of the picture: its last px are repeated there."""
    known = np.flatnonzero(np.isfinite(curve[:, 1]))
    px = to_px(curve[known])
    beyond = ((px < 0) | (px > (shape[1] - 1, shape[0] - 1))).any(axis=1)
    if not beyond.any():
        return curve
    shown = curve.copy()
    shown[known[beyond], 1] = np.nan
    return shown


def _height(curve: np.ndarray) -> float:
    """px from the top of a curve to its bottom."""
    y = curve[np.isfinite(curve[:, 1]), 1]
    return float(np.ptp(y)) if len(y) else 0.0


def _strip(placed: Placed, curve: np.ndarray, sure: float, gain: float) -> Strip:
    """A strip at `SLOW` mm/s. curve: [n, 2] px of the rectified page."""
    x, y = curve.T / PX_PER_MM
    x0, x1 = placed.x0 / PX_PER_MM, placed.x1 / PX_PER_MM
    known = y[np.isfinite(y)]
    zero = median(known) if len(known) else placed.y / PX_PER_MM
    t0 = placed.since / PX_PER_MM / SLOW
    return Strip(
        lead=placed.lead,
        rhythm=placed.rhythm,
        x0=x0,
        x1=x1,
        y=zero,
        t0=t0,
        t1=t0 + (x1 - x0) / SLOW,
        t=t0 + (x - x0) / SLOW,
        curve=np.stack([x, y], 1),
        mv=(placed.sign * (zero - y) / gain).astype(np.float32),
        sure=sure,
    )


def _without_neighbours(printed: Sequence[tuple[Placed, Strip]]) -> list[Strip]:
    """The strips without the parts in which they run along a trace that lies nearer another row."""
    own = []
    tops = [np.fmin.reduce(strip.curve[:, 1], initial=np.inf) for _, strip in printed]
    bottoms = [np.fmax.reduce(strip.curve[:, 1], initial=-np.inf) for _, strip in printed]
    for (placed, strip), top, bottom in zip(printed, tops, bottoms):
        away = np.zeros(len(strip.mv), bool)
        for (other_placed, other), highest, lowest in zip(printed, tops, bottoms):
            if other_placed.row == placed.row or other.x1 < strip.x0 or other.x0 > strip.x1:
                continue
            if highest > bottom + _SAME_TRACE or lowest < top - _SAME_TRACE:
                continue
            known = np.isfinite(other.curve[:, 1])
            if known.sum() < 2:
                continue
            x, y = strip.curve.T
            there = np.interp(x, other.curve[known, 0], other.curve[known, 1], left=np.nan, right=np.nan)
            nearer = abs(y - other_placed.y / PX_PER_MM) < abs(y - placed.y / PX_PER_MM)
            away |= (np.abs(y - there) < _SAME_TRACE) & nearer
        x, others = strip.curve[:, 0], np.zeros(len(away), bool)
        edges = np.flatnonzero(np.diff(np.concatenate([[0], away.astype(np.int8), [0]])))
        for a, b in zip(edges[::2], edges[1::2]):
            if x[b - 1] - x[a] >= _ALONG:  # shorter than that, traces only cross
                others |= (x > x[a] - _ALONG) & (x < x[b - 1] + _ALONG)
        own.append(replace(strip, mv=np.where(others, np.nan, strip.mv).astype(np.float32)))
    return own


def _uncovered(page: np.ndarray, printed: list[tuple[Placed, Strip]]) -> list[tuple[Placed, Strip]]:
    """The strips without those that something lies on: neither a trace nor the paper's own print is seen."""
    dark = [not np.isfinite(strip.mv).any() for _, strip in printed]
    if not any(dark):
        return printed

    def detail(placed: Placed) -> float:
        """Grey levels between a px and the next where a strip stands, ink counted no more than a grid."""
        top, bottom = int(max(0.0, placed.y - _ABOUT)), int(placed.y + _ABOUT)
        part = page[top:bottom, int(max(0.0, placed.x0)) : int(placed.x1), 1]
        return float(np.minimum(cv2.absdiff(part[:, 1:], part[:, :-1]), _MOST_DETAIL).mean())

    details = [detail(placed) for placed, _ in printed]
    least = _LEAST_DETAIL * median(details)
    return [one for one, unseen, own in zip(printed, dark, details) if not unseen or own > least]


def _in_time(placed: Sequence[Placed], strips: Sequence[Strip], ruled: bool) -> list[Strip]:
    """The strips without the delays that their beats show. ruled: whether a grid set the page straight."""
    late = delays(
        [(s.t, s.mv) for s in strips],
        [s.lead for s in strips],
        [None if p.rhythm else p.column for p in placed],
        [p.row for p in placed],
        ruled,
    )
    return [later(strip, -delay) for strip, delay in zip(strips, late.tolist())]


def _in_usual_order(strips: Sequence[Strip], signs: Sequence[float]) -> list[Strip]:
    """Strips of Cabrera's order as if they stood in the usual one. signs: -1 of those taken for negative."""
    return [
        s if s.rhythm else replace(s, lead=_USUAL_ORDER.get(s.lead, s.lead), mv=sign * s.mv)
        for s, sign in zip(strips, signs)
    ]


def _named_by_shape(rhythm: Strip, strips: list[Strip]) -> Strip:
    """A rhythm strip repeats one of the twelve leads: one that matches far better gives it its name."""
    matches: dict[str, float] = {}
    known = np.isfinite(rhythm.mv)
    own_names = {strip.lead for strip in strips if not strip.rhythm}
    if known.sum() < 2 or (rhythm.lead in LEADS and rhythm.lead not in own_names):
        return rhythm  # a lead that is cut off elsewhere cannot be compared
    shifts = np.array([-0.016, -0.008, 0.0, 0.008, 0.016])
    for strip in strips:
        own = np.isfinite(strip.mv)
        if strip.rhythm or own.sum() < 50:
            continue
        t = np.arange(strip.t0 + 0.05, strip.t1 - 0.05, 0.008)
        a = np.interp(t, strip.t[own], strip.mv[own])
        b = np.interp(t + shifts[:, None], rhythm.t[known], rhythm.mv[known])
        a, b = a - a.mean(), b - b.mean(1, keepdims=True)
        # Same shape at the same size: leads often look alike but for their size.
        largest = np.maximum((b**2).mean(1), (a**2).mean()) + 1e-9
        matches[strip.lead] = max(matches.get(strip.lead, -1.0), float(((a * b).mean(1) / largest).max()))
    best = max(
        matches, key=lambda lead: matches[lead] + _AS_LIKE * (lead in _USUAL_RHYTHM), default=rhythm.lead
    )
    plain = matches.get(best, 0.0) > max(_SAME_LEAD, matches.get(rhythm.lead, 0.0) + _PLAINLY)
    return replace(rhythm, lead=best) if plain else rhythm
