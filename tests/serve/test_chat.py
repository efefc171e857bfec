"""OpenAI's own client against the running server."""

import base64

import fakes
import pytest
from live import running
from test_app import ECG, NOT_ECG

from ecgvlm.serve.service import Settings

openai = pytest.importorskip("openai", reason="needs openai (extra dev)")


@pytest.fixture(scope="module")
def client():
    with running(Settings(workers=1)) as server:
        yield openai.OpenAI(base_url=f"{server.base_url}/v1", api_key="none", max_retries=0, timeout=120)


def messages(image: bytes, text: str = "What is the rhythm?") -> list:
    url = f"data:image/png;base64,{base64.b64encode(image).decode()}"
    parts = [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": url}}]
    return [{"role": "system", "content": "Be brief."}, {"role": "user", "content": parts}]


def test_models(client):
    (model,) = client.models.list().data
    assert model.id == "fake@0"


def test_completion(client):
    answer = client.chat.completions.create(model="any", messages=messages(ECG), temperature=0, max_tokens=99)
    assert answer.choices[0].message.content == fakes.WORDS
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == "fake@0"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0


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
    assert fakes.WORDS in backend.ask(Ask("Rhythm?", ECG)).text
