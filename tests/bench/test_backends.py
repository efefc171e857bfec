"""The vendors' SDKs against local servers that speak their formats, faults included; trivial systems; our
own.
"""

import json

import pytest
from servers import PNG, reply_openai, serving

from ecgvlm.bench.backends import Ask, Failure, make_backend
from ecgvlm.bench.backends.base import http_failure, media_type, scrub
from ecgvlm.bench.backends.ours import label_scores
from ecgvlm.bench.retries import RequestLimits
from ecgvlm.bench.runner import run_task
from ecgvlm.bench.task import load_task
from ecgvlm.errors import EcgError, UsageError
from ecgvlm.instruct.row import Row

SECRET = "sk-SecretSecret0123456789"
VENDORS = {"openai": "openai", "openai-compatible": "openai", "anthropic": "anthropic", "gemini": "gemini"}
TASK = load_task("code15-test")
PICTURE = PNG + b"pixels"
ASK = Ask("Which?", (PICTURE,), max_tokens=16)


@pytest.fixture(autouse=True)
def keys(monkeypatch):
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "OPENAI_COMPATIBLE_API_KEY"):
        monkeypatch.setenv(name, SECRET)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.delenv("GOOGLE_API_KEY", raising=False)


def backend_for(name, server, timeout=300.0, **options):
    return make_backend(name, TASK, [], model="some-model", base_url=server.url, timeout=timeout, **options)


def refused(message):
    """An error 400 of OpenAI's and Anthropic's kind."""
    return {"status": 400, "reply": {"error": {"message": message, "type": "invalid_request_error"}}}


def no_temperature(body):
    config = body.get("generationConfig", body)
    return refused("'temperature' does not support 0 with this model") if "temperature" in config else None


def no_max_tokens(body):
    known = "max_tokens" not in body
    return None if known else refused("'max_tokens' is not supported. Use 'max_completion_tokens' instead.")


def said(text, finish="stop", **message):
    return {"reply": reply_openai(text, finish) | {"choices": [
        {"index": 0, "message": {"role": "assistant", "content": text, **message}, "finish_reason": finish}
    ]}}  # fmt: skip


@pytest.mark.parametrize("name", VENDORS)
def test_answer_and_request(name):
    with serving(VENDORS[name]) as server:
        reply = backend_for(name, server).ask(ASK)
        follow = Ask("And now?", (PICTURE,), (("Which?", "AF"),), 16)
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
def test_all_pictures_are_sent_in_their_order(name):
    other = PNG + b"newer"
    with serving(VENDORS[name]) as server:
        backend_for(name, server).ask(Ask("And now?", (PICTURE, other), (("Which?", "AF"),), 16))
    assert [data for _, data in server.images[0]] == [PICTURE, other]


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
    with serving(VENDORS[name], faults=["silent"]) as server, pytest.raises(Failure) as caught:
        backend_for(name, server, timeout=0.3).ask(ASK)
    assert caught.value.kind == "timeout"
    assert caught.value.retryable


@pytest.mark.parametrize("name", VENDORS)
def test_cut_answers_are_marked(name):
    with serving(VENDORS[name], faults=["length"]) as server:
        assert backend_for(name, server).ask(ASK).finish == "length"


@pytest.mark.parametrize("name", VENDORS)
def test_a_model_that_takes_no_temperature_is_asked_without_it(name):
    with serving(VENDORS[name], faults=[no_temperature] * 9) as server:
        backend = backend_for(name, server)
        assert backend.ask(ASK).text == backend.ask(ASK).text == "AF(atrial fibrillation)"
        assert len(server.bodies) == 3, "learned once"
        assert backend.left_out == {"temperature"}
        backend_for(name, server, temperature=None).ask(ASK)
    assert len(server.bodies) == 4


def test_the_name_of_the_token_limit_is_learned():
    with serving("openai", faults=[no_max_tokens] * 9) as server:
        backend = backend_for("openai-compatible", server)
        assert backend.ask(ASK).text
        assert backend.ask(ASK).text
    assert ["max_tokens" in body for body in server.bodies] == [True, False, False]
    assert server.bodies[-1]["max_completion_tokens"] == 16
    with serving("openai", faults=[refused("'max_tokens' must be less")] * 9) as server:
        with pytest.raises(Failure, match="must be less"):
            backend_for("openai-compatible", server).ask(ASK)
        assert len(server.bodies) < 5


def test_thinking_is_asked_for_in_each_vendors_way():
    with serving("openai") as server:
        backend_for("openai", server, thinking="high").ask(ASK)
        assert server.bodies[0]["reasoning_effort"] == "high"
        with pytest.raises(UsageError, match="not a token budget"):
            backend_for("openai", server, thinking="2048")
    with serving("anthropic") as server:
        backend_for("anthropic", server, thinking="2048", temperature=None).ask(ASK)
        backend_for("anthropic", server, thinking="high", temperature=None).ask(ASK)
    budget, effort = server.bodies
    assert budget["thinking"] == {"type": "enabled", "budget_tokens": 2048}
    assert budget["max_tokens"] == 16 + 2048
    assert (effort["thinking"]["type"], effort["output_config"]) == ("adaptive", {"effort": "high"})
    with serving("gemini") as server:
        backend_for("gemini", server, thinking="2048").ask(ASK)
        backend_for("gemini", server, thinking="low").ask(ASK)
    budget, effort = (body["generationConfig"] for body in server.bodies)
    assert (list(budget["thinkingConfig"].values()), budget["maxOutputTokens"]) == ([2048], 16 + 2048)
    assert list(effort["thinkingConfig"].values()) == ["LOW"]


def test_gemini_thinks_for_money():
    usage = {"promptTokenCount": 5, "candidatesTokenCount": 7, "thoughtsTokenCount": 100}
    parts = [{"text": "hm", "thought": True}, {"text": "AF"}]
    reply = {"candidates": [{"content": {"parts": parts}, "finishReason": "STOP"}], "usageMetadata": usage}
    with serving("gemini", faults=[{"reply": reply}]) as server:
        answer = backend_for("gemini", server).ask(ASK)
    assert (answer.text, answer.output_tokens) == ("AF", 107)


@pytest.mark.parametrize(
    "reply",
    [
        said("", "length"), said(None, "length"), said("", reasoning_content="It is AF, I think"),
        said(None, reasoning="It is AF"), said("<think>It is AF, or not, as", "length"),
    ],
    ids=["cut", "cut, null", "only thinking", "only thinking, null", "cut while thinking aloud"],
)  # fmt: skip
def test_an_empty_answer_is_a_failure_that_costs(reply):
    with serving("openai", faults=[reply]) as server, pytest.raises(Failure) as caught:
        backend_for("openai-compatible", server).ask(ASK)
    assert caught.value.kind == "no_answer"
    assert not caught.value.retryable
    assert caught.value.usage.output_tokens == 10


def test_an_answer_may_be_a_list_of_parts():
    """Mistral's reasoning models send one; it ended the run in a traceback, as half a count of tokens did."""
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "SB?"}]}
    parts = [thought, {"type": "text", "text": "AF("}, {"type": "text", "text": "atrial fibrillation)"}]
    counted = {"usage": {"prompt_tokens": 3, "completion_tokens": None}}
    replies = [said(parts), said([thought]), said([{"type": "text"}])]
    replies[0]["reply"] |= counted
    with serving("openai", faults=replies) as server:
        backend = backend_for("openai-compatible", server)
        answer = backend.ask(ASK)
        assert (answer.text, answer.input_tokens, answer.output_tokens) == ("AF(atrial fibrillation)", 3, 0)
        for kind in ("no_answer", "connection"):
            with pytest.raises(Failure) as caught:
                backend.ask(ASK)
            assert caught.value.kind == kind


def test_an_answer_that_a_gateways_provider_broke_off_is_none():
    """OpenRouter says so; the half of it was scored."""
    with (
        serving("openai", faults=[said("AF(atrial fi", "error")]) as server,
        pytest.raises(Failure) as caught,
    ):
        backend_for("openai-compatible", server).ask(ASK)
    assert (caught.value.kind, caught.value.usage.output_tokens) == ("server", 10)


def test_a_gateways_error_with_status_200():
    reply = {"reply": {"error": {"message": "Provider returned error", "code": 429}}}
    with serving("openai", faults=[reply]) as server, pytest.raises(Failure) as caught:
        backend_for("openai-compatible", server).ask(ASK)
    assert caught.value.kind == "rate_limit"


@pytest.mark.parametrize(
    "message", ["You exceeded your current quota. code: insufficient_quota", "Your credit balance is too low"]
)
def test_no_money_left_is_fatal(message):
    failure = http_failure(429, message)
    assert failure.kind == "quota"
    assert failure.fatal
    assert not failure.retryable


EXCEEDED = "You exceeded your current quota. " * 30


def gemini_error(code, message, **detail):
    return {"status": code, "reply": {"error": {"code": code, "message": message, "details": [detail]}}}


@pytest.mark.parametrize(
    ("fault", "kind", "after"),
    [
        (gemini_error(400, "API key not valid. Please pass a valid API key."), "auth", None),
        (gemini_error(429, EXCEEDED, retryDelay="34s"), "rate_limit", 34.0),
        (gemini_error(429, EXCEEDED, quotaId="GenerateRequestsPerDayPerProject"), "quota", None),
    ],
    ids=["key", "wait", "day"],
)  # fmt: skip
def test_what_gemini_says_in_its_body_alone(fault, kind, after):
    """A wrong key was asked with eight times, the wait passed over, a spent day waited for."""
    with serving("gemini", faults=[fault]) as server, pytest.raises(Failure) as caught:
        backend_for("gemini", server).ask(ASK)
    assert (caught.value.kind, caught.value.after) == (kind, after)


@pytest.mark.parametrize("name", VENDORS)
def test_nobody_listens(name):
    with serving(VENDORS[name]) as server:
        backend = backend_for(name, server)
    with pytest.raises(Failure) as caught:
        backend.ask(ASK)
    assert caught.value.kind in {"connection", "timeout"}


@pytest.mark.parametrize("name", VENDORS)
def test_the_key_appears_nowhere(name, tmp_path, capfd):
    items = [Row(str(i), PICTURE, ((f"Question {i}", "AF"),)) for i in range(4)]
    faults = [(400, {}), (500, {}), (429, {"Retry-After": "0"}), "truncated"]
    with serving(VENDORS[name], faults=faults) as server:
        run_task(
            TASK,
            items,
            backend_for(name, server),
            tmp_path,
            RequestLimits(workers=1, attempts=3, longest_wait=0.01),
        )
    for file in tmp_path.iterdir():
        assert SECRET.encode() not in file.read_bytes(), file
    rows = [json.loads(line) for line in (tmp_path / "predictions.jsonl").read_text().splitlines()]
    assert sum("error" in row for row in rows) >= 1
    assert SECRET not in "".join(capfd.readouterr())


def test_a_missing_key_is_named(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(UsageError, match="OPENAI_API_KEY"):
        make_backend("openai", TASK, [])
    with pytest.raises(UsageError, match="--base-url"):
        make_backend("openai-compatible", TASK, [], model="m")
    with pytest.raises(UsageError, match="no backend"):
        make_backend("clever", TASK, [])


def test_scrubbing():
    assert SECRET not in scrub(f"wrong key {SECRET}", SECRET)
    assert "sk-other" not in scrub("wrong key sk-other****1234", SECRET)
    assert scrub("Incorrect API key provided: ***", SECRET) == "Incorrect API key provided: ***"
    assert "AIzaSy" not in scrub("API key AIzaSyA1234567890 not valid", SECRET)


def test_http_failures():
    assert http_failure(429, "x", after="Thu, 01 Jan 1970 00:00:00 GMT").after == 0
    assert http_failure(429, "x", after="soon").after is None
    assert http_failure(400, "blocked by content_filter policy").kind == "content_filter"


def test_media_types():
    assert media_type(b"\xff\xd8\xff") == "image/jpeg"
    assert media_type(b"RIFF1234WEBPVP8 ") == "image/webp"
    with pytest.raises(EcgError):
        media_type(b"%PDF")


def test_trivial_systems():
    items = [Row(str(i), None, (("q", "AF" if i % 4 else "NORM"),)) for i in range(400)]
    assert make_backend("trivial", TASK, items).ask(ASK).text == ""
    assert make_backend("trivial", TASK, items, model="norm").ask(ASK).text == "NORM"
    assert make_backend("trivial", load_task("mmmu-ecg"), items, model="norm").ask(ASK).text == "A"
    drawn = make_backend("trivial", TASK, items, model="random")
    answers = [drawn.ask(Ask("q", id=i.id)).text for i in items]
    assert answers == [drawn.ask(Ask("q", id=i.id)).text for i in items]
    assert 0.6 < answers.count("AF") / 400 < 0.9
    with pytest.raises(UsageError):
        make_backend("trivial", TASK, items, model="best")


def test_our_probabilities_in_a_tasks_spelling():
    ours = {"NORM": 0.1, "AF": 0.7, "1dAVb": 0.2}
    scores = label_scores(ours, ("NORM", "ABNORMAL", "AF"))
    assert scores == pytest.approx({"NORM": 0.1, "AF": 0.7, "ABNORMAL": 0.2})
    assert label_scores(ours, ("I-AVB", "STE")) == {"I-AVB": 0.2}
