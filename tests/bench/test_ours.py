"""Our own backend: pages read by processes are answered as they are here."""

import json
from importlib.resources import files

import cv2
import numpy as np
import pytest

from ecgvlm.bench.backends import Ask, Setup, make_backend, ours
from ecgvlm.bench.backends.ours import Ecgvlm
from ecgvlm.bench.runner import run_task
from ecgvlm.bench.task import load_task
from ecgvlm.errors import EcgError
from ecgvlm.instruct.row import Row
from ecgvlm.paper.render import render
from ecgvlm.paper.style import page_style
from ecgvlm.sessions import seal
from ecgvlm.simulate import random_simulation, simulate

TASK = load_task("code15-test")


@pytest.fixture(scope="module")
def page():
    record, _ = simulate(random_simulation(np.random.default_rng(1), "af"), 1)
    image = render(record, page_style("classic"), 1).image
    return cv2.imencode(".png", image[..., ::-1])[1].tobytes()


def test_processes_answer_as_one_does(reader, page):
    here, there = Ecgvlm(Setup(TASK), reader), make_backend("ecgvlm", TASK, [], workers=2)
    assert (there.name, there.model, there.parameters) == (here.name, here.model, here.parameters)
    for ask in (
        Ask("Which rhythm is this?", (page,)),
        Ask("Is it normal?", (b"no picture",)),
        Ask("Normal?"),
    ):
        one, other = here.ask(ask), there.ask(ask)
        assert other.text == one.text
        assert other.scores == pytest.approx(one.scores, abs=1e-4)
    assert there.ask(Ask("Is it normal?", (b"no picture",))).text.startswith("Not readable")


def test_a_page_is_read_once_for_all_its_questions(page, tmp_path, monkeypatch):
    """Every question read its page anew, and one after the other where they came in a row."""
    image = tmp_path / "page.png"
    image.write_bytes(page)
    questions = "Which rhythm is this?", "Is there atrial fibrillation?", "What is the heart rate?"
    rows = [Row(str(k), image, ((question, ""),)) for k, question in enumerate(questions)]
    there = make_backend("ecgvlm", TASK, rows, workers=2)
    asked, submit = [], there._pool.submit
    monkeypatch.setattr(there._pool, "submit", lambda work, *args: asked.append(work) or submit(work, *args))
    run_task(TASK, rows, there, tmp_path / "out")
    answers = [
        json.loads(line)["text"] for line in (tmp_path / "out/predictions.jsonl").read_text().splitlines()
    ]
    assert len(set(answers)) == 3
    assert asked.count(ours._look) == 1


def test_a_row_of_several_pictures_is_refused(reader, page):
    with pytest.raises(EcgError, match="the row has 2 pictures"):
        Ecgvlm(Setup(TASK), reader).ask(Ask("Which is newer?", (page, page)))


def test_a_model_of_ones_own_answers(tmp_path, page):
    """--model was passed over in silence, and the model that ships was scored."""
    with pytest.raises(EcgError, match=r"encoder.json: a file of the model cannot be read"):
        make_backend("ecgvlm", TASK, [], model=str(tmp_path))
    for file in (files("ecgvlm") / "data").iterdir():
        if file.is_file():
            (tmp_path / file.name).write_bytes(file.read_bytes())
    encoder = json.loads((tmp_path / "encoder.json").read_text())
    (tmp_path / "encoder.json").write_text(json.dumps(encoder | {"name": "mine"}))
    seal(tmp_path)
    assert make_backend("ecgvlm", TASK, [], model=str(tmp_path)).model.startswith("mine")
