"""The command line with what people really type. The model is a fake; pages, records and files are real."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from pages import blank, digitized, page
from PIL import Image
from typer.testing import CliRunner

from ecgvlm import cli, reader, worker
from ecgvlm.digitize import FS
from ecgvlm.errors import EcgError, UsageError
from ecgvlm.files import bounded
from ecgvlm.files.image import load_image, open_pages, read_record, write_image
from ecgvlm.judge.evidence import Evidence
from ecgvlm.labels import LABELS
from ecgvlm.measure import MEASUREMENTS, measure
from ecgvlm.reader import QUESTION, Answer
from ecgvlm.record import LEADS


@pytest.fixture(scope="module")
def answer() -> Answer:
    found = digitized()
    measured = measure(found.leads(FS), FS)
    evidence = Evidence(
        probabilities=dict.fromkeys(LABELS, 0.01) | {"AF": 0.97},
        thresholds=dict.fromkeys(LABELS, 0.5),
        measurements={name: getattr(measured, name) for name in MEASUREMENTS},
        leads=measured.waves,
        layout=found.layout,
    )
    return Answer("", "", 0.1, None, "ABNORMAL", "A report.", evidence, found, "fake@1")


@pytest.fixture(scope="module")
def decoders():
    """One that lists the pages of files, and one for the thread that reads them."""
    with bounded.BoundedDecoder() as lists, bounded.BoundedDecoder() as reads:
        yield lists, reads


@pytest.fixture
def run(monkeypatch, answer, decoders):
    """Runs a command as `main` does, with a reader that knows one answer only; (status, stdout, stderr)."""

    class Knowing:
        judge, words = None, SimpleNamespace(expect=lambda *asked: None)

        def __init__(self, threads: int = 2, model: Path | None = None):
            if model is not None:
                raise EcgError("unreadable_file", f"{model}: holds no model")

        def read(
            self, content, question=None, name=None, sensitivity=None, criteria="", language=None, spoken="en"
        ) -> Answer:
            if content.std() < 1:
                error = EcgError("not_an_ecg", "no twelve named leads found")
                return Answer(name, question or QUESTION, 0.0, error=error)
            moved = answer
            if sensitivity is not None:
                lines = dict.fromkeys(LABELS, 1 - sensitivity)
                moved = replace(answer, evidence=replace(answer.evidence, thresholds=lines))
            said = {"answer": spoken} if question == "FC?" else {}
            return replace(moved, image=name, question=question or QUESTION, **said)

        def grounds(self, answer: Answer) -> tuple:
            return ()

    # Several pages are read by processes of their own, which would not know of this reader: threads here.
    monkeypatch.setattr(worker, "Reader", Knowing)
    monkeypatch.setattr(worker, "ProcessPoolExecutor", lambda count, *_: ThreadPoolExecutor(1))
    monkeypatch.setattr(worker, "_reader", Knowing(), raising=False)
    monkeypatch.setattr(worker, "_decoder", decoders[1], raising=False)
    for module in (worker, bounded):
        monkeypatch.setattr(module, "BoundedDecoder", lambda: nullcontext(decoders[0]))
    return caller


def caller(*words: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli.app, [str(word) for word in words])
    error = result.exception
    if isinstance(error, EcgError | UsageError):
        assert "\n" not in str(error)
        status = 2 if isinstance(error, UsageError) else 1
        return status, result.stdout, result.stderr + f"ecgvlm: {error}\n"
    if error is not None and not isinstance(error, SystemExit):
        raise error
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture(scope="module")
def picture(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "page.png"
    write_image(path, page().image)
    return path


@pytest.fixture(scope="module")
def csv(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("records") / "sinus.csv"
    assert CliRunner().invoke(cli.app, ["simulate", "normal", "-o", str(path)]).exit_code == 0
    return path


def pdf(path: Path, *pages: np.ndarray) -> Path:
    first, *others = (Image.fromarray(image) for image in pages)
    first.save(path, save_all=True, append_images=others)
    return path


def lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def read_only(path: Path) -> Path:
    """A folder that even root cannot write to: one in /proc."""
    return Path("/proc/self/task")


def test_read_for_a_person(run, picture):
    status, out, _ = run("read", picture)
    assert status == 0
    assert "ABNORMAL" in out
    assert "A report." in out
    assert "atrial fibrillation" in out
    assert "Read by software" in out  # the panel wraps


def test_read_for_a_person_in_a_language(run, picture):
    """All that stands beside the answer is in it, too; a report says the cautions, so the panel does not."""
    _, out, _ = run("read", picture, "--language", "de")
    assert "Vorhofflimmern" in out
    assert "Software gelesen" in out
    assert "atrial fibrillation" not in out


def test_read_json_keeps_the_order_and_tries_all(run, picture, tmp_path):
    """Missing, empty, text, folder, blank page: a line each, in the order given; status 1 at the end."""
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.jpg").write_text("not a picture")
    write_image(tmp_path / "blank.png", blank())
    bad = [tmp_path / name for name in ("no.png", "empty.png", "text.jpg", "", "blank.png")]
    images = [bad[0], picture, *bad[1:], picture]
    status, out, err = run("read", "--json", "-q", "Is it AF?", *images)
    found = lines(out)
    assert (status, err) == (1, "")
    assert [row["image"] for row in found] == [str(image) for image in images]
    assert [row["ok"] for row in found] == [False, True, False, False, False, False, True]
    assert {row["question"] for row in found} == {"Is it AF?"}
    codes = [row["error"]["code"] for row in found if not row["ok"]]
    assert codes == ["unreadable_file"] * 4 + ["not_an_ecg"]
    assert all("\n" not in row["error"]["message"] for row in found if not row["ok"])


@pytest.mark.slow
def test_processes_read_as_one_reader_does(reader, picture, tmp_path):
    """Several pages, in processes of their own: the order and the answers of one page after the other."""
    write_image(tmp_path / "blank.png", blank())
    images = [picture, tmp_path / "blank.png", picture]
    result = subprocess.run(
        [sys.executable, "-m", "ecgvlm.cli", "read", "--json", *map(str, images)],
        capture_output=True,
        text=True,
    )
    assert (result.returncode, result.stderr) == (1, "")
    alone = [reader.read(image).to_dict() for image in images]
    assert [row | {"seconds": 0} for row in lines(result.stdout)] == [row | {"seconds": 0} for row in alone]


def test_a_reading_process_that_dies_is_said(monkeypatch, picture):
    job = partial(worker._Job, picture, 0, "page.png", partial(os._exit, 1))
    monkeypatch.setattr(worker, "_jobs", lambda decoder, file: [job()])
    result = CliRunner().invoke(cli.app, ["read", "--json", str(picture), str(picture)])
    assert isinstance(result.exception, EcgError)
    assert "killed" in result.exception.message
    assert result.stdout == ""


def test_read_at_a_sensitivity(run, picture):
    for images in ([picture], [picture, picture]):
        status, out, _ = run("read", "--json", "--sensitivity", 0.9, *images)
        assert status == 0
        assert [json.loads(line)["thresholds"]["AF"] for line in out.splitlines()] == [0.1] * len(images)
    for wrong in (0.2, 1, "much"):
        status, out, err = run("read", "--sensitivity", wrong, picture)
        assert (status, out) == (2, "")
        assert "--sensitivity" in err


def test_read_by_a_model_of_ones_own(run, picture, tmp_path):
    for images in ([picture], [picture, picture]):
        status, _, err = run("read", "--model", tmp_path, *images)
        assert (status, err) == (1, f"ecgvlm: {tmp_path}: holds no model\n")


def test_what_is_no_file_is_not_waited_for(run, tmp_path):
    """Devices have no end, and a pipe that nobody writes to has no beginning."""
    os.mkfifo(tmp_path / "pipe")
    _, out, _ = run("read", "--json", "/dev/zero", "/dev/null", tmp_path / "pipe")
    assert {row["error"]["message"].partition(": ")[2] for row in lines(out)} == {"is not a regular file"}


def test_an_error_for_a_person_is_one_line_that_names_the_image_once(run, tmp_path):
    missing = tmp_path / ("long" * 40) / "no[red].png"
    status, out, err = run("read", missing)
    assert (status, out) == (1, "")
    assert err == f"{missing}: no such file\n"


def test_every_page_of_a_pdf(run, tmp_path):
    path = pdf(tmp_path / "drei Seiten.pdf", page().image, blank(), page().image)
    status, out, _ = run("read", "--json", path)
    assert status == 1
    assert [(row["image"], row["ok"]) for row in lines(out)] == [
        (f"{path} (page 1)", True),
        (f"{path} (page 2)", False),
        (f"{path} (page 3)", True),
    ]


@pytest.mark.parametrize("name", ["Größe ❤ .png", "-dash.png", "[bold]x.png", os.fsdecode(b"\xff\xfe.png")])
def test_odd_names(run, picture, tmp_path, name):
    path = tmp_path / name
    path.write_bytes(picture.read_bytes())
    status, out, _ = run("read", "--json", path)
    assert status == 0
    assert lines(out)[0]["image"] == str(path)
    status, out, _ = run("read", path)
    assert status == 0


def test_overlay_of_one_image(run, picture, tmp_path):
    target = tmp_path / "o.png"
    assert run("read", picture, "--overlay", target)[0] == 0
    assert load_image(target).shape == load_image(picture).shape
    assert run("read", picture, "--overlay", tmp_path)[0] == 0
    assert (tmp_path / "page.overlay.png").is_file()


def test_overlays_of_pictures_with_one_name(run, picture, tmp_path):
    """Pages of different folders share a name, and one of them is called like an overlay."""
    images = [tmp_path / "a/x.png", tmp_path / "b/x.png", tmp_path / "out/x.overlay.png", tmp_path / "p.pdf"]
    for image in images[:3]:
        image.parent.mkdir()
        image.write_bytes(picture.read_bytes())
    pdf(images[3], page().image, page().image)
    assert run("read", *images, "--overlay", tmp_path / "out")[0] == 0
    assert images[2].read_bytes() == picture.read_bytes()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "p.overlay-2.png", "p.overlay.png", "x.overlay-2.png", "x.overlay-3.png", "x.overlay.overlay.png",
        "x.overlay.png",
    ]  # fmt: skip


def test_overlay_that_cannot_be_written(run, picture, tmp_path):
    """All images are read all the same."""
    for target in (tmp_path / "no/o.png", tmp_path / "o.txt", read_only(tmp_path) / "o.png"):
        status, out, err = run("read", "--json", picture, "--overlay", target)
        assert (status, len(lines(out)), len(err.splitlines())) == (1, 1, 1)
        assert str(target) in err
    (tmp_path / "file").touch()
    status, _, err = run("read", picture, picture, "--overlay", tmp_path / "file")
    assert (status, err) == (1, f"ecgvlm: {tmp_path}/file: cannot be the overlays' folder (File exists)\n")


def test_overlay_never_replaces_the_picture(run, picture, tmp_path):
    own = tmp_path / "own.png"
    own.write_bytes(picture.read_bytes())
    assert run("read", own, "--overlay", own)[0] == 0
    assert own.read_bytes() == picture.read_bytes()
    assert (tmp_path / "own-2.png").is_file()


def test_digitize(run, picture, tmp_path):
    target = tmp_path / "leads.csv"
    status, out, _ = run("digitize", picture, "-o", target)
    assert status == 0
    assert "3x4+1R page, 25 mm/s, 10 mm/mV" in out
    assert target.read_text().splitlines()[0] == ",".join(("time_s", *LEADS))
    assert read_record(target).seconds == pytest.approx(10, abs=0.3)
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("ending", [".dcm", ".zip", ".CSV"])
def test_digitize_into_the_format_that_a_name_tells(run, picture, tmp_path, ending):
    target = tmp_path / f"leads{ending}"
    assert run("digitize", picture, "-o", target)[0] == 0
    found = open_pages(target)[0].load()
    assert found.seconds == pytest.approx(10, abs=0.3)


@pytest.mark.parametrize("command", ["digitize", "simulate"])
def test_leads_in_a_format_that_nobody_knows(run, picture, tmp_path, command):
    """CSV went under whatever name there was."""
    source = picture if command == "digitize" else "af"
    status, _, err = run(command, source, "-o", tmp_path / "leads.xyz")
    assert (status, len(err.splitlines())) == (1, 1)
    assert ".csv, .dcm" in err
    assert not list(tmp_path.iterdir())


def test_digitize_two_ecgs(run, tmp_path):
    write_image(tmp_path / "two.png", np.vstack([page().image] * 2))
    status, out, _ = run("digitize", tmp_path / "two.png", "-o", tmp_path / "leads.csv")
    assert status == 0
    assert len(out.splitlines()) == 2
    assert all(read_record(tmp_path / name).signal.shape[0] == 12 for name in ("leads.csv", "leads-2.csv"))


@pytest.mark.parametrize("target", ["", ".", "no/leads.csv", "sub", "x" * 300 + ".csv"])
def test_digitize_to_where_it_cannot(run, picture, tmp_path, target):
    (tmp_path / "sub").mkdir()
    status, _, err = run("digitize", picture, "-o", tmp_path / target)
    assert (status, len(err.splitlines())) == (1, 1)
    assert "cannot be written" in err
    assert [path.name for path in tmp_path.iterdir()] == ["sub"]


def test_digitize_does_not_replace_the_picture(run, picture):
    before = picture.read_bytes()
    status, _, err = run("digitize", picture, "-o", picture)
    assert (status, picture.read_bytes()) == (2, before)
    assert "is the picture itself" in err


def test_digitize_into_a_pipe_and_through_a_link(picture, tmp_path):
    """/dev/stdout stays what it is, and a link goes on pointing to its file."""
    command = [sys.executable, "-m", "ecgvlm.cli", "digitize", str(picture), "-o"]
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen([*command, pipe], stdout=subprocess.PIPE) as process:
        assert pipe.read_text().startswith("time_s,I,II")
        process.communicate()
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    link, file = tmp_path / "link.csv", tmp_path / "file.csv"
    link.symlink_to(file)
    CliRunner().invoke(cli.app, ["digitize", str(picture), "-o", str(link)])
    assert link.is_symlink()
    assert file.read_text().startswith("time_s,I,II")


def test_a_reader_that_goes_away(tmp_path):
    """`ecgvlm read ... | head -1` ends without a traceback."""
    names = [str(tmp_path / f"{i}.png") for i in range(3000)]
    reading = subprocess.Popen(
        [sys.executable, "-m", "ecgvlm.cli", "read", "--json", *names],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    reading.stdout.readline()
    reading.stdout.close()
    assert "Traceback" not in reading.stderr.read().decode()
    reading.stderr.close()
    assert reading.wait() != 0


@pytest.mark.parametrize("layout", ["3x4", "3x4+1R", "3x4+3R", "6x2", "6x2+1R", "12x1"])
def test_render_and_back(digitizer, run, csv, tmp_path, layout):
    target = tmp_path / "page.png"
    assert run("render", csv, "-o", target, "--layout", layout, "--seed", 3) == (0, "", "")
    once = target.read_bytes()
    assert digitizer(load_image(target)).layout == layout
    assert run("render", csv, "-o", target, "--layout", layout, "--seed", 3)[0] == 0
    assert target.read_bytes() == once


def test_render_degraded_pages_follow_the_seed(run, csv, tmp_path):
    made = {}
    for seed in (1, 1, 2):
        assert run("render", csv, "-o", tmp_path / "p.jpg", "--degrade", "photo", "--seed", seed)[0] == 0
        made.setdefault(seed, set()).add((tmp_path / "p.jpg").read_bytes())
    assert len(made[1]) == len(made[2]) == 1
    assert made[1] != made[2]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--layout", "4x3"], "3x4+1R"),
        (["--speed", "30"], "25"),
        (["--gain", "0"], "10"),
        (["--degrade", "fax"], "photo"),
        (["--seed", "-1"], "--seed"),
        (["--seed", "one"], "--seed"),
    ],
)
def test_render_options_that_are_none(run, csv, tmp_path, words, says):
    status, _, err = run("render", csv, "-o", tmp_path / "p.png", *words)
    assert status == 2
    assert says in err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("target", ["p.gif", "p", "no/p.png", ""])
def test_render_to_where_it_cannot(run, csv, tmp_path, target):
    status, _, err = run("render", csv, "-o", tmp_path / target)
    assert (status, len(err.splitlines())) == (1, 1)
    assert not list(tmp_path.iterdir())


def test_render_unknown_style(run, csv, tmp_path):
    status, _, err = run("render", csv, "-o", tmp_path / "p.png", "--style", "nosuch")
    assert status == 2
    assert "'nosuch' is unknown; choose from" in err


@pytest.mark.parametrize("record", ["nowhere", "nowhere.hdf5:3", "nowhere.hdf5", "nowhere.csv", "", "/dev"])
def test_render_records_that_are_none(run, tmp_path, record):
    status, _, err = run("render", record, "-o", tmp_path / "p.png")
    assert (status, len(err.splitlines())) == (1, 1)
    assert not list(tmp_path.iterdir())


def test_render_a_record_with_gaps(run, csv, tmp_path):
    """Cells that are empty are not drawn: here a second of every lead, and V3 as a whole."""
    header, *rows = [line.split(",") for line in csv.read_text().splitlines()]
    for row in rows:
        if 2 <= float(row[0]) < 3:
            row[1:] = [""] * 12
        row[header.index("V3")] = ""
    gaps = tmp_path / "gaps.csv"
    gaps.write_text("\n".join(",".join(row) for row in [header, *rows]))
    assert run("render", gaps, "-o", tmp_path / "gaps.png") == (0, "", "")
    assert run("render", csv, "-o", tmp_path / "whole.png") == (0, "", "")
    ink = [int((load_image(tmp_path / name) < 80).all(-1).sum()) for name in ("gaps.png", "whole.png")]
    assert 0.7 * ink[1] < ink[0] < 0.98 * ink[1]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("\n", "no line names the leads"),
        ("time_s,I,II\n", "holds no samples"),
        ("time_s,I\n0,0\n0.002,x\n", "line 3"),
        ("time_s,I\n0,0\n0.002\n", "line 3"),
        ("time_s,I\n0,0\n0,0\n", "equal steps"),
        ("time_s,I\n0,\n0.002,\n", "holds none"),
        ("time_s,temperature\n0,1\n0.002,1\n", "no line names the leads"),
    ],
)
def test_render_csv_files_that_are_none(run, tmp_path, text, says):
    path = tmp_path / "r.csv"
    path.write_text(text)
    status, _, err = run("render", path, "-o", tmp_path / "p.png")
    assert (status, len(err.splitlines())) == (1, 1)
    assert says in err


def test_simulate(run, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert run("simulate", "af", "-o", tmp_path / name, "--seed", seed) == (0, "", "")
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b != c
    assert read_record(tmp_path / "a").seconds == pytest.approx(10, abs=0.01)


def test_simulate_a_condition_that_is_none(run, tmp_path):
    status, _, err = run("simulate", "flu", "-o", tmp_path / "a.csv")
    assert status == 2
    assert "'flu' is unknown; choose from" in err
    assert "lbbb" in err


def test_help_and_version(run):
    status, out, _ = run("--help")
    assert status == 0
    assert "Not a medical" in out
    named = {words[1] for line in out.splitlines() if len(words := line.split()) > 1}
    assert {"read", "digitize", "render", "simulate", "serve", "batch", "bench", "instruct"} <= named
    assert run("--version")[1].startswith("ecgvlm ")
    assert run("nosuch")[0] == 2
    assert run("read")[0] == 2


def test_batch_without_its_extra(run, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "ecgvlm.batch", raising=False)
    status, _, err = run("batch", tmp_path, "-o", tmp_path / "out")
    assert (status, err) == (2, "ecgvlm: batches need pyarrow: pip install 'ecgvlm[batch]'\n")


def test_main_says_errors_in_one_line(tmp_path):
    command = [sys.executable, "-m", "ecgvlm.cli", "digitize", tmp_path / "no.png", "-o", tmp_path / "a.csv"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (
        1,
        "",
        f"ecgvlm: {tmp_path}/no.png: no such file\n",
    )


class OneFinding:
    """A reader that finds atrial fibrillation where the page's name says so, and answers a question a
    line."""

    def __init__(self, answer: Answer):
        self.evidence, self.words = answer.evidence, self

    def look(self, content, name: str):
        p = dict(self.evidence.probabilities) | {"AF": 0.97 if "af" in Path(name).stem else 0.01}
        seen = SimpleNamespace(evidence=replace(self.evidence, probabilities=p), others=())
        if "two" in Path(name).stem:
            seen.others = (self.look(content, "af"),)
        return seen

    def converse(self, evidence, question: str, before):
        return f"heard\n{question}", before


def test_compare(run, monkeypatch, answer, picture, tmp_path):
    monkeypatch.setattr(reader, "Reader", lambda: OneFinding(answer))
    later = tmp_path / "af.png"
    later.write_bytes(picture.read_bytes())
    status, out, _ = run("compare", "--json", picture, later)
    found = json.loads(out)
    assert (status, found["ok"], found["changed"], found["appeared"]) == (0, True, True, ["AF"])
    assert "atrial fibrillation" in found["text"]
    assert " ".join(run("compare", picture, later)[1].splitlines()) == found["text"]
    assert "Neu: Vorhofflimmern." in run("compare", picture, later, "--language", "de")[1]
    status, out, _ = run("compare", "--json", picture, tmp_path / "no.png")
    assert (status, json.loads(out)["error"]["code"]) == (1, "unreadable_file")


def test_chat_answers_a_line_with_a_line(run, monkeypatch, answer, picture):
    monkeypatch.setattr(reader, "Reader", lambda: OneFinding(answer))
    result = CliRunner().invoke(cli.app, ["chat", str(picture)], input=b"One?\n\nTwo?\nNa\xefve?\n")
    assert result.stdout.splitlines() == ["heard One?", "heard Two?", r"heard Na\xefve?"]


def test_which_of_several_ecgs_on_a_picture_is_meant_is_said(run, monkeypatch, answer, picture, tmp_path):
    """The first was spoken of in silence."""
    told = OneFinding(answer)
    monkeypatch.setattr(reader, "Reader", lambda: told)
    monkeypatch.setattr(
        told, "converse", lambda evidence, asked, before: (str("AF" in evidence.findings), before)
    )
    two = tmp_path / "two.png"
    two.write_bytes(picture.read_bytes())
    for number, found in ((1, "False"), (2, "True")):
        result = CliRunner().invoke(cli.app, ["chat", str(two), "--ecg", str(number)], input="AF?\n")
        assert result.stdout.strip() == found
        assert f"shows 2 ECGs; this is about ECG {number}" in result.stderr
    assert "shows 2 ECGs; this is about ECG 1" in run("compare", two, picture)[2]
    assert CliRunner().invoke(cli.app, ["chat", str(two), "--ecg", "3"], input="AF?\n").exit_code == 1


def test_chat_knows_an_earlier_ecg(run, monkeypatch, answer, picture, tmp_path):
    told = OneFinding(answer)
    monkeypatch.setattr(reader, "Reader", lambda: told)
    monkeypatch.setattr(
        told, "converse", lambda evidence, asked, before: (str(before.earlier is not None), before)
    )
    for options, known in (([], "False"), (["--earlier", str(picture)], "True")):
        result = CliRunner().invoke(cli.app, ["chat", str(picture), *options], input="changed?\n")
        assert result.stdout.strip() == known


def test_a_question_of_several_languages_is_one_in_that_of_the_terminal(run, picture, monkeypatch):
    for terminal, spoken in (("pt_BR.UTF-8", "pt"), ("C.UTF-8", "en")):
        monkeypatch.setenv("LC_ALL", terminal)
        assert json.loads(run("read", picture, "-q", "FC?", "--json")[1])["answer"] == spoken


@pytest.mark.parametrize(
    ("terminal", "spoken"), [("es_ES.UTF-8", "es"), ("C.UTF-8", "en"), ("sv_SE.UTF-8", "en")]
)
def test_chat_begins_in_the_language_of_the_terminal(monkeypatch, answer, picture, terminal, spoken):
    told = OneFinding(answer)
    monkeypatch.setattr(reader, "Reader", lambda: told)
    monkeypatch.setattr(told, "converse", lambda evidence, asked, before: (before.language, before))
    monkeypatch.setenv("LC_ALL", terminal)
    result = CliRunner().invoke(cli.app, ["chat", str(picture)], input="FC?\n")
    assert result.stdout.strip() == spoken


def test_as_a_module():
    done = subprocess.run([sys.executable, "-m", "ecgvlm", "--version"], capture_output=True, text=True)
    assert done.stdout.startswith("ecgvlm ")
