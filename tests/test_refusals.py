"""What is no ECG page is refused with advice; turned, mirrored and cut-off pages are read as they are."""

from types import SimpleNamespace

import numpy as np
import pytest
from lookalikes import LOOKALIKES
from pages import NOT_ECGS, page

from ecgvlm.digitize.arrangement import Name
from ecgvlm.digitize.digitizer import Digitizer
from ecgvlm.digitize.lettering import Notes
from ecgvlm.digitize.pagenet import CLASSES, NetMaps
from ecgvlm.digitize.view import View
from ecgvlm.errors import EcgError
from ecgvlm.files.image import write_image
from ecgvlm.record import LEADS

# The others take half a minute and are left to the slow run.
QUICK = ("stock_charts_of_v", "eeg", "table_of_leads", "form_without_traces", "monitor_strip", "half_page")


def refused(digitizer, name: str) -> None:
    with pytest.raises(EcgError) as caught:
        digitizer(LOOKALIKES[name]())
    assert caught.value.code == "not_an_ecg"
    assert "whole ECG page" in caught.value.message


@pytest.mark.parametrize("name", QUICK)
def test_lookalikes_are_refused(digitizer, name):
    refused(digitizer, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(LOOKALIKES) - set(QUICK)))
def test_all_lookalikes_are_refused(digitizer, name):
    refused(digitizer, name)


def test_reader_answers_for_every_bad_file(reader, tmp_path):
    """Through `Reader`, as the command calls it: an answer with the contract's error, never an exception."""
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "letter.png").write_text("Dear colleague")
    write_image(tmp_path / "tiny.png", np.full((90, 120, 3), 255, np.uint8))
    write_image(tmp_path / "blank.png", NOT_ECGS["blank"]())
    write_image(tmp_path / "whole.png", page().image)
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:20_000])
    write_image(tmp_path / "huge.png", np.zeros((200, 20_001, 3), np.uint8))
    codes = {
        "empty.jpg": "unreadable_file",
        "letter.png": "unreadable_file",
        "missing.png": "unreadable_file",
        "tiny.png": "too_small",
        "blank.png": "not_an_ecg",
        "cut.png": "unreadable_file",
        "huge.png": "too_large",
    }
    for name, code in codes.items():
        answer = reader.read(tmp_path / name).to_dict()
        assert not answer["ok"]
        assert answer["error"]["code"] == code, name
        assert "\n" not in answer["error"]["message"]
        assert "labels" not in answer


def leads_of(found) -> list[str]:
    return [strip.lead for strip in found.strips if not strip.rhythm]


@pytest.mark.parametrize(
    ("turn", "turns", "mirrored"),
    [(1, 1, False), (2, 2, False), (3, 3, False), (0, 0, True)],
)
def test_turned_and_mirrored_pages_are_set_upright(digitizer, turn, turns, mirrored):
    """np.rot90 turns anticlockwise: as many turns clockwise undo it. Points go back to the picture given."""
    rendering = page()
    given = np.rot90(rendering.image, turn)
    found = digitizer(np.ascontiguousarray(given[:, ::-1] if mirrored else given))
    assert (found.turns, found.mirrored) == (turns, mirrored)
    assert leads_of(found) == list(LEADS)
    xy = next(t for t in rendering.truth.traces if t.lead == "V2").xy
    height, width = rendering.image.shape[:2]
    for _ in range(turn):
        xy = np.stack([xy[:, 1], width - 1 - xy[:, 0]], 1)
        height, width = width, height
    if mirrored:
        xy = np.stack([width - 1 - xy[:, 0], xy[:, 1]], 1)
    strip = next(s for s in found.strips if s.lead == "V2")
    back = found.to_source(strip.curve[np.isfinite(strip.curve).all(1)][::5])
    assert np.median([np.linalg.norm(xy - point, axis=1).min() for point in back]) < 1.5


def test_of_ways_up_that_show_names_the_plainest_is_tried_first():
    """A mirrored page upside down shows I, II and III as names, and others as something like names."""
    paper = np.zeros((960, 1360, 3), np.uint8)
    maps = NetMaps(np.zeros(paper.shape[:2], np.float32), np.zeros((CLASSES, 240, 340), np.float32))
    maps.trace[100:800:200] = 1
    seen = iter([0.0, 0.0, 0.45, 0.95])  # how plain the names are, way by way

    def names(page: np.ndarray, maps: NetMaps) -> list[Name]:
        plain = next(seen)
        places = [(100.0 + 300 * (k // 3), 100.0 + 200 * (k % 3)) for k in range(12)]
        return [Name(lead, x, y, plain) for lead, (x, y) in zip(LEADS, places) if plain]

    digitizer = Digitizer()
    vars(digitizer).update(net=lambda page: maps, lettering=SimpleNamespace(names=names))
    view = View(paper, (0.0, 0.0), None, maps, [], Notes(), None)  # type: ignore[arg-type]
    assert digitizer._ways_up(view) == [(0, True), (2, False)]


def test_a_page_upside_down_and_mirrored_is_not_misread(digitizer):
    with pytest.raises(EcgError):
        digitizer(np.ascontiguousarray(page().image[::-1]))


@pytest.mark.parametrize(
    ("layout", "part", "kept"),
    [
        ("3x4+1R", np.s_[:, :0.75], ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3"]),
        ("3x4+1R", np.s_[:, 0.25:], ["aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"]),
        ("6x2", np.s_[:, 0.25:], ["V1", "V2", "V3", "V4", "V5", "V6"]),
        ("6x2", np.s_[:, :0.5], ["I", "II", "III", "aVR", "aVL", "aVF"]),
        ("6x2", np.s_[:0.5], ["I", "II", "III", "V1", "V2", "V3"]),
    ],
)
def test_leads_that_are_cut_off_are_missing_and_the_others_right(digitizer, layout, part, kept):
    """Columns keep their places: no lead of a cropped page shows its neighbour's trace."""
    rendering = page(layout=layout)
    height, width = rendering.image.shape[:2]
    rows, columns = part if isinstance(part, tuple) else (part, np.s_[:])
    crop = [
        slice(int((side.start or 0) * size), int((side.stop or 1) * size))
        for side, size in ((rows, height), (columns, width))
    ]
    found = digitizer(np.ascontiguousarray(rendering.image[tuple(crop)]))
    assert sorted(leads_of(found)) == sorted(kept)
    offset = np.array([crop[1].start, crop[0].start])
    for strip in found.strips:
        (truth,) = (t.xy for t in rendering.truth.traces if (t.lead, t.rhythm) == (strip.lead, strip.rhythm))
        between = np.arange(0, len(truth) - 1, 0.02)  # flanks rise by many px from one sample to the next
        line = np.stack([np.interp(between, np.arange(len(truth)), truth[:, k]) for k in (0, 1)], 1)
        points = found.to_source(strip.curve[np.isfinite(strip.curve).all(1)]) + offset
        inner = points[20:-20:7]
        distance = [np.linalg.norm(line - point, axis=1).min() for point in inner]
        assert np.percentile(distance, 75) < 2, strip.lead
