"""The vendors' SDKs against local servers that speak their formats, faults included; trivial systems; our
own.
"""

import json

import pytest
from servers import PNG, serving

from ecgvlm.bench.backends import Ask, Failure, make_backend
from ecgvlm.bench.backends.base import http_failure, media_type, scrub
from ecgvlm.bench.backends.ours import label_scores
from ecgvlm.bench.gold import Item
from ecgvlm.bench.runner import Limits, run_task
from ecgvlm.bench.task import load_task
from ecgvlm.errors import EcgError

SECRET = "sk-SecretSecret0123456789"
VENDORS = {"openai": "openai", "openai-compatible": "openai", "anthropic": "anthropic", "gemini": "gemini"}
TASK = load_task("code15-test")
PICTURE = PNG + b"pixels"
ASK = Ask("Which?", PICTURE, max_tokens=16)


@pytest.fixture(autouse=True)
def keys(monkeypatch):
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "OPENAI_COMPATIBLE_API_KEY"):
        monkeypatch.setenv(name, SECRET)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.delenv("GOOGLE_API_KEY", raising=False)


def backend_for(name, server, timeout=20.0):
    return make_backend(name, TASK, [], model="some-model", base_url=server.url, timeout=timeout)


@pytest.mark.parametrize("name", VENDORS)
def test_answer_and_request(name):
    with serving(VENDORS[name]) as server:
        reply = backend_for(name, server).ask(ASK)
        follow = Ask("And now?", PICTURE, (("Which?", "AF"),), 16)
        backend_for(name, server).ask(follow)
    assert reply.text == "AF(atrial fibrillation)"
    assert (reply.input_tokens, reply.output_tokens, reply.finish) == (1000, 10, "stop")
    [(kind, data)] = server.images[0]
    assert "image/png" in kind
    assert data == PICTURE
    assert "Which?" in server.prompts[0]
    assert ("medical exam" in server.prompts[0]) == (name != "openai-compatible")
    assert [w in server.prompts[1] for w in ("Which?", "AF", "And now?")] == [True] * 3
    assert len(server.images[1]) == 1


@pytest.mark.parametrize("name", VENDORS)
@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ((429, {"Retry-After": "7"}), "rate_limit"), ((500, {}), "server"), ((503, {}), "server"),
        ((401, {}), "auth"), ((404, {}), "not_found"), ((400, {}), "bad_request"),
        ("truncated", "connection"), ("not json", "connection"), ("filter", "content_filter"),
        ("blocked", "content_filter"),
    ],
    ids=str,
)  # fmt: skip
def test_faults(name, fault, kind):
    with serving(VENDORS[name], faults=[fault]) as server, pytest.raises(Failure) as caught:
        backend_for(name, server).ask(ASK)
    assert caught.value.kind == kind
    assert len(server.prompts) == 1, "the SDK must not retry by itself"
    assert SECRET not in str(caught.value)
    assert caught.value.after == (7.0 if kind == "rate_limit" else None)


@pytest.mark.parametrize("name", VENDORS)
def test_timeout(name):
    with serving(VENDORS[name], faults=["slow"]) as server, pytest.raises(Failure) as caught:
        backend_for(name, server, timeout=0.3).ask(ASK)
    assert caught.value.kind == "timeout"
    assert caught.value.retryable


@pytest.mark.parametrize("name", VENDORS)
def test_cut_answers_are_marked(name):
    with serving(VENDORS[name], faults=["length"]) as server:
        assert backend_for(name, server).ask(ASK).finish == "length"


@pytest.mark.parametrize("name", VENDORS)
def test_nobody_listens(name):
    with serving(VENDORS[name]) as server:
        backend = backend_for(name, server)
    with pytest.raises(Failure) as caught:
        backend.ask(ASK)
    assert caught.value.kind in {"connection", "timeout"}


@pytest.mark.parametrize("name", VENDORS)
def test_the_key_appears_nowhere(name, tmp_path, capfd):
    items = [Item(str(i), (f"Question {i}",), ("AF",), PICTURE) for i in range(4)]
    faults = [(400, {}), (500, {}), (429, {"Retry-After": "0"}), "truncated"]
    with serving(VENDORS[name], faults=faults) as server:
        run_task(
            TASK, items, backend_for(name, server), tmp_path, Limits(workers=1, attempts=3, longest_wait=0.01)
        )
    for file in tmp_path.iterdir():
        assert SECRET.encode() not in file.read_bytes(), file
    rows = [json.loads(line) for line in (tmp_path / "predictions.jsonl").read_text().splitlines()]
    assert sum("error" in row for row in rows) >= 1
    assert SECRET not in "".join(capfd.readouterr())


def test_a_missing_key_is_named(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(EcgError, match="OPENAI_API_KEY"):
        make_backend("openai", TASK, [])
    with pytest.raises(EcgError, match="--base-url"):
        make_backend("openai-compatible", TASK, [], model="m")
    with pytest.raises(EcgError, match="no backend"):
        make_backend("clever", TASK, [])


def test_scrubbing():
    assert SECRET not in scrub(f"wrong key {SECRET}", SECRET)
    assert "sk-other" not in scrub("wrong key sk-other****1234", SECRET)
    assert "AIzaSy" not in scrub("API key AIzaSyA1234567890 not valid", SECRET)


def test_http_failures():
    assert http_failure(429, "x", "Thu, 01 Jan 1970 00:00:00 GMT").after == 0
    assert http_failure(429, "x", "soon").after is None
    assert http_failure(400, "blocked by content_filter policy").kind == "content_filter"


def test_media_types():
    assert media_type(b"\xff\xd8\xff") == "image/jpeg"
    assert media_type(b"RIFF1234WEBPVP8 ") == "image/webp"
    with pytest.raises(EcgError):
        media_type(b"%PDF")


def test_trivial_systems():
    items = [Item(str(i), ("q",), ("AF" if i % 4 else "NORM",)) for i in range(400)]
    assert make_backend("trivial", TASK, items).ask(ASK).text == ""
    assert make_backend("trivial", TASK, items, model="norm").ask(ASK).text == "NORM"
    assert make_backend("trivial", load_task("mmmu-ecg"), items, model="norm").ask(ASK).text == "A"
    drawn = make_backend("trivial", TASK, items, model="random")
    answers = [drawn.ask(Ask("q", id=i.id)).text for i in items]
    assert answers == [drawn.ask(Ask("q", id=i.id)).text for i in items]
    assert 0.6 < answers.count("AF") / 400 < 0.9
    with pytest.raises(EcgError):
        make_backend("trivial", TASK, items, model="best")


def test_our_probabilities_in_a_tasks_spelling():
    ours = {"NORM": 0.1, "AF": 0.7, "1dAVb": 0.2}
    scores = label_scores(ours, ("NORM", "ABNORMAL", "AF"))
    assert scores == pytest.approx({"NORM": 0.1, "AF": 0.7, "ABNORMAL": 0.2})
    assert label_scores(ours, ("I-AVB", "STE")) == {"I-AVB": 0.2}
