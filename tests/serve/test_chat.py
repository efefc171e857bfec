"""OpenAI's own client against the running server."""

import base64
import json

import fakes
import httpx
import numpy as np
import pytest
from live import running
from pages import page
from test_app import ECG, NOT_ECG, png

from ecgvlm.serve.service import Settings

openai = pytest.importorskip("openai", reason="needs openai (extra dev)")


@pytest.fixture(scope="module")
def client():
    with running(Settings(workers=1)) as server:
        yield openai.OpenAI(base_url=f"{server.base_url}/v1", api_key="none", max_retries=0, timeout=300)


def messages(image: bytes, text: str = "What is the rhythm?") -> list:
    url = f"data:image/png;base64,{base64.b64encode(image).decode()}"
    parts = [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": url}}]
    return [{"role": "system", "content": "Be brief."}, {"role": "user", "content": parts}]


def test_models(client):
    (model,) = client.models.list().data
    assert model.id == "fake@0"
    assert client.models.retrieve(model.id) == model
    with pytest.raises(openai.NotFoundError, match="the model here is fake@0"):
        client.models.retrieve("gpt-6")


def test_completion(client):
    answer = client.chat.completions.create(model="any", messages=messages(ECG), temperature=0, max_tokens=99)
    assert answer.choices[0].message.content == fakes.WORDS
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == "fake@0"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0


def test_of_a_picture_with_several_ecgs_each_is_answered_for(client):
    two = png(np.vstack([page().image] * 2))
    answer = client.chat.completions.create(model="any", messages=messages(two))
    assert answer.choices[0].message.content == f"ECG 1: {fakes.WORDS}\nECG 2: {fakes.WORDS}"


def test_stream_and_a_further_question(client):
    further = [{"role": "assistant", "content": "AF."}, {"role": "user", "content": "And the rate?"}]
    talk = [*messages(ECG), *further]
    with client.chat.completions.create(
        model="any", messages=talk, stream=True, stream_options={"include_usage": True}
    ) as stream:
        chunks = list(stream)
    text = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(text) == fakes.WORDS
    assert len(text) > 5
    assert chunks[-1].usage.completion_tokens == len(fakes.WORDS.split())


def test_what_was_asked_before_and_an_earlier_ecg_reach_the_answer(client):
    asked = [
        *messages(ECG, "Is there STEMI?"),
        {"role": "assistant", "content": "No."},
        *messages(ECG, "history")[1:],
    ]
    said = client.chat.completions.create(model="any", messages=asked).choices[0].message.content
    assert said.startswith("Is there STEMI?; earlier ")
    assert said.endswith(" bpm")


def test_the_language_that_a_system_message_wishes_for_reaches_the_answer(client):
    asked = [{"role": "system", "content": "Answer in German."}, *messages(ECG, "history")[1:]]
    said = client.chat.completions.create(model="any", messages=asked).choices[0].message.content
    assert said.startswith("Answer in German.")


def test_an_answer_ends_where_the_request_wants_it(client):
    def ask(**options):
        return client.chat.completions.create(model="any", messages=messages(ECG), **options).choices[0]

    for option in ("max_tokens", "max_completion_tokens"):
        cut = ask(**{option: 3})
        assert cut.message.content == "Atrial fibrillation at"
        assert cut.finish_reason == "length"
        cut = ask(**{option: 3}, response_format={"type": "json_object"})
        assert cut.message.content == '{"image": "page", "ok":'
        assert cut.finish_reason == "length"
    stopped = ask(stop=[" minute", " rate of"])
    assert stopped.message.content == "Atrial fibrillation at a"
    assert stopped.finish_reason == "stop"


def test_an_answer_as_json_is_that_of_a_read(client):
    wanted = {"type": "json_object"}
    said = client.chat.completions.create(model="any", messages=messages(ECG), response_format=wanted)
    answer = json.loads(said.choices[0].message.content)
    assert answer["findings"] == ["AF"]
    assert answer["question"] == "What is the rhythm?"


def test_an_answer_as_json_answers_the_question(client):
    """It was what a read without a question says."""
    asked, wanted = messages(ECG, "history"), {"type": "json_object"}
    plain = client.chat.completions.create(model="any", messages=asked)
    said = client.chat.completions.create(model="any", messages=asked, response_format=wanted)
    answer = json.loads(said.choices[0].message.content)
    assert answer["answer"] == plain.choices[0].message.content


def schema_of(**properties):
    schema = {"type": "object", "properties": properties}
    return {"type": "json_schema", "json_schema": {"name": "ecg", "schema": schema}}


def test_a_schema_names_the_fields_of_the_answer(client):
    wanted = schema_of(
        findings={"type": "array", "items": {"type": "string"}}, seconds={"type": ["number", "null"]}, page={}
    )
    said = client.chat.completions.create(model="any", messages=messages(ECG), response_format=wanted)
    answer = json.loads(said.choices[0].message.content)
    assert set(answer) == {"findings", "seconds", "page"}
    assert answer["findings"] == ["AF"]


def test_a_schema_picks_at_any_depth(client):
    """As OpenAI's client writes a pydantic model: all fields required, no others, parts by reference."""
    labels = {"type": "object", "properties": {"AF": {"type": "number"}}, "required": ["AF"]}
    numbers = {"type": "object", "properties": {"pr_ms": {"anyOf": [{"type": "number"}, {"type": "null"}]}}}
    wanted = schema_of(labels={"$ref": "#/$defs/Labels"}, measurements=numbers)
    schema = wanted["json_schema"]["schema"]
    schema |= {
        "$defs": {"Labels": labels},
        "required": ["labels", "measurements"],
        "additionalProperties": False,
    }
    said = client.chat.completions.create(model="any", messages=messages(ECG), response_format=wanted)
    answer = json.loads(said.choices[0].message.content)
    assert list(answer) == ["labels", "measurements"]
    assert list(answer["labels"]) == ["AF"]
    assert list(answer["measurements"]) == ["pr_ms"]


def test_a_schema_of_no_object_is_refused(client):
    for schema, cause in (({"type": "array"}, "the answer is object"), ("x", "not a JSON schema")):
        wanted = {"type": "json_schema", "json_schema": {"name": "ecg", "schema": schema}}
        with pytest.raises(openai.UnprocessableEntityError, match=cause):
            client.chat.completions.create(model="any", messages=messages(ECG), response_format=wanted)


@pytest.mark.parametrize(
    ("properties", "cause"),
    [
        ({"rhythm": {"type": "string"}}, "no 'rhythm', but with image, ok"),
        ({"findings": {"type": "string"}}, "findings is array"),
        ({"findings": {"type": "array", "items": {"type": "integer"}}}, r"findings\[\] is string"),
        ({"measurements": {"properties": {"pr_seconds": {}}}}, "no 'pr_seconds', but with heart_rate_bpm"),
        ({"measurements": {"properties": {"pr_ms": {"type": "number"}}}}, "measurements.pr_ms is null"),
        ({"page": {"$ref": "#/properties/page"}}, "too many forms"),
        ({"page": {"$ref": "https://elsewhere/page.json"}}, "not a JSON schema"),
        ({"answer": {"enum": ["yes", "no"]}}, "enum is not supported"),
        ({"answer": {"type": "string", "maxLength": 9}}, "maxLength is not supported"),
    ],
)
def test_a_schema_of_other_fields_is_refused(client, properties, cause):
    with pytest.raises(openai.UnprocessableEntityError, match=cause):
        client.chat.completions.create(
            model="any", messages=messages(ECG), response_format=schema_of(**properties)
        )


def test_what_is_not_honoured_is_refused_by_name(client):
    for options, cause in (
        ({"n": 2}, "n"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"response_format": {"type": "grammar"}}, "response_format"),
        ({"logprobs": True}, "logprobs"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
    ):
        with pytest.raises(openai.UnprocessableEntityError, match=f"422 - {cause}"):
            client.chat.completions.create(model="any", messages=messages(ECG), **options)


def test_odd_texts_are_answered(client):
    empty, half = messages(ECG, None), messages(ECG, "rhythm \ud83d?")
    with pytest.raises(openai.BadRequestError, match="asks nothing"):
        client.chat.completions.create(model="any", messages=empty)
    request = {"model": "any", "messages": half, "response_format": {"type": "json_object"}}
    said = httpx.post(f"{client.base_url}chat/completions", content=json.dumps(request), timeout=300,
                      headers={"Content-Type": "application/json"})  # fmt: skip
    assert json.loads(said.json()["choices"][0]["message"]["content"])["question"] == "rhythm ??"


def test_errors_are_the_client_s_own(client):
    with pytest.raises(openai.UnprocessableEntityError, match="twelve named leads") as error:
        client.chat.completions.create(model="any", messages=messages(NOT_ECG))
    assert error.value.code == "not_an_ecg"
    for wrong, cause in (
        ([{"role": "user", "content": "Hello?"}], "no image"),
        (messages(ECG, ""), "asks nothing"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://127.0.0.1/a.png"}}]}],
         "fetches nothing"),
    ):  # fmt: skip
        with pytest.raises(openai.BadRequestError, match=cause):
            client.chat.completions.create(model="any", messages=wrong)


def test_the_benchmark_s_backend_uses_it(client):
    """`ecgvlm bench run --backend openai-compatible` speaks to our own server."""
    from ecgvlm.bench.backends import make_backend
    from ecgvlm.bench.backends.base import Ask
    from ecgvlm.bench.task import load_task
    from ecgvlm.instruct.row import Row

    item = Row("a", ECG, (("Rhythm?", "AF"),))
    task, url = load_task("code15-test"), str(client.base_url)
    backend = make_backend("openai-compatible", task, [item], "m", base_url=url)
    assert fakes.WORDS in backend.ask(Ask("Rhythm?", (ECG,))).text
