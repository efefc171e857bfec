"""A card that says what a model is, and an upload to a server that speaks the hub's protocol."""

import json
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import HfApi, ModelCard
from train.tiny import recipe

from ecgvlm.errors import EcgError
from ecgvlm.train.export import export
from ecgvlm.train.finetune import finetune
from ecgvlm.train.hub import push


class Hub(BaseHTTPRequestHandler):
    """What of the hub an upload of small files meets; the server's `commits` keeps what was sent."""

    def do_POST(self):
        data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        assert self.headers["Authorization"] == "Bearer hf_secret"
        if self.path == "/api/repos/create":
            said = json.loads(data)
            private = said.get("private") or said.get("visibility") == "private"
            self.server.created.append((said["name"], said["organization"], private))
            self.reply({"url": f"http://{self.headers['Host']}/{said['organization']}/{said['name']}"})
        elif "/preupload/" in self.path:
            whole = {"uploadMode": "regular", "shouldIgnore": False}
            files = [{"path": file["path"], **whole} for file in json.loads(data)["files"]]
            self.reply({"files": files})
        elif "/commit/" in self.path:
            lines = [json.loads(line) for line in data.splitlines()]
            self.server.commits.append([line["value"]["path"] for line in lines if line["key"] == "file"])
            self.reply(
                {
                    "success": True,
                    "commitUrl": f"http://{self.headers['Host']}/me/tiny-ecg/commit/1",
                    "commitOid": "1",
                }
            )
        else:
            self.reply({"warnings": [], "errors": []})

    def reply(self, value, status=200):
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def hub(monkeypatch):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.created, server.commits = [], []
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    here = partial(HfApi, endpoint=endpoint, token="hf_secret")
    monkeypatch.setattr(huggingface_hub, "HfApi", here)
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def run(tmp_path_factory, model_folder, rows):
    one = recipe(
        tmp_path_factory.mktemp("hub"), model_folder, rows,
        data={"valid": str(rows)}, loop={"steps": 2}, evaluation={"every": 2},
    )  # fmt: skip
    finetune(one)
    return one.out


def test_a_card_says_what_the_model_is(run, tmp_path):
    files = export(run, tmp_path / "out", repo="me/tiny-ecg")
    card = ModelCard.load(tmp_path / "out/README.md")
    assert tmp_path / "out/README.md" in files
    assert card.data.library_name == "transformers"
    assert "ecg" in card.data.tags
    base = json.loads((run / "recipe.json").read_text())["recipe"]["base"]
    assert card.data.base_model is None, "the hub refuses folders"
    assert base not in card.text
    assert f"from {Path(base).name}." in card.text
    assert "2 steps of 4 pages (full) on rows.json" in card.text
    assert 'from_pretrained("me/tiny-ecg")' in card.text
    with (run / "kinds.csv").open() as file:
        figures = [line.strip().split(",") for line in file][1:]
    assert figures
    for _, kind, figure in figures:
        assert f"| {kind} | {float(figure):.3f} |" in card.text


def test_an_export_is_uploaded(run, tmp_path, hub):
    files = export(run, tmp_path / "out", repo="me/tiny-ecg")
    (tmp_path / "out/private.txt").write_text("not of the export")
    assert push(files, "me/tiny-ecg").startswith("http://")
    assert hub.created == [("tiny-ecg", "me", True)]
    sent = {name for names in hub.commits for name in names}
    assert {"README.md", "config.json", "model.safetensors", "page_form.py"} <= sent
    assert "private.txt" not in sent


def test_what_the_hub_refuses_is_one_line(tmp_path, hub, monkeypatch):
    (tmp_path / "a.txt").write_text("a")
    monkeypatch.setattr(Hub, "do_POST", lambda self: self.reply({"error": "no such namespace"}, 403))
    with pytest.raises(EcgError, match=r"me/tiny: not uploaded \(.*403.*\); .* is whole") as refused:
        push([tmp_path / "a.txt"], "me/tiny")
    assert "\n" not in refused.value.message
    with pytest.raises(EcgError, match="not uploaded"):
        push([tmp_path / "a.txt"], "not/a/name")
