# /// script
# requires-python = ">=3.10,<3.12"
# dependencies = [
#   "torch==2.1.2", "torchvision==0.16.2", "transformers==4.40.0", "numpy==1.24.4", "pillow==10.1.0",
#   "sentencepiece==0.1.99", "accelerate==0.30.1",
# ]
# ///
"""MiniCPM-V 2.6 behind OpenAI's chat API, in an environment of its own.

    uv run examples/minicpmv_server.py --model openbmb/MiniCPM-V-2_6 --port 8100

The repository brings code (`modeling_minicpmv.py`) of 2024, and the versions above are those that its authors
publish with it (OpenBMB/MiniCPM-V, requirements.txt). `uv` makes their environment from the lines on top, and
so does `pip install` of what they list. Needs nothing of ecgvlm. Decoding is greedy, one question at a time.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Model:
    """The model by its published interface: `chat(image=None, msgs=..., tokenizer=...)`."""

    def __init__(self, folder: str):
        import torch
        from transformers import AutoModel, AutoTokenizer

        cuda = torch.cuda.is_available()
        net, info = AutoModel.from_pretrained(
            folder, trust_remote_code=True, attn_implementation="sdpa", output_loading_info=True,
            torch_dtype=torch.bfloat16 if cuda else torch.float32,
        )  # fmt: skip
        for what in ("missing_keys", "unexpected_keys", "mismatched_keys"):
            if info.get(what):
                raise SystemExit(f"{folder}: {what}: {sorted(map(str, info[what]))[:3]} ...")
        self.net = net.eval().to("cuda" if cuda else "cpu")
        self.tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
        self.lock = threading.Lock()

    def answer(self, messages: list[dict[str, Any]], max_tokens: int) -> tuple[str, int]:
        """The answer to a conversation, and how many tokens it has."""
        turns = [{"role": m["role"], "content": parts_of(m["content"])} for m in messages]
        with self.lock:
            # Without sampling, its code searches with three beams and a penalty unless told otherwise.
            said = self.net.chat(
                image=None, msgs=turns, tokenizer=self.tokenizer, sampling=False, num_beams=1,
                repetition_penalty=1.0, max_new_tokens=max_tokens,
            )  # fmt: skip
        return str(said), len(self.tokenizer(str(said))["input_ids"])


def parts_of(content: Any) -> list[Any]:
    """A message's content as `chat` wants it: pictures and texts in their order."""
    from PIL import Image

    if isinstance(content, str):
        return [content]
    parts: list[Any] = []
    for part in content:
        if part["type"] == "text":
            parts.append(part["text"])
        else:
            data = part["image_url"]["url"].split(",", 1)[1]
            parts.append(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))
    return parts


def server(model: Any, name: str, host: str, port: int) -> ThreadingHTTPServer:
    """An HTTP server that answers POST /v1/chat/completions."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            try:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                limit = int(body.get("max_tokens") or body.get("max_completion_tokens") or 256)
                said, written = model.answer(body["messages"], limit)
            # The model's own code asserts what it wants of a conversation.
            except (KeyError, TypeError, ValueError, IndexError, OSError, AssertionError) as error:
                self.reply(400, {"error": {"message": f"{type(error).__name__}: {error}"}})
                return
            except RuntimeError as error:  # out of memory, above all
                self.reply(500, {"error": {"message": str(error)}})
                return
            message = {"role": "assistant", "content": said}
            finish = "length" if written >= limit else "stop"
            self.reply(200, {
                "id": "0", "object": "chat.completion", "created": 0, "model": name,
                "choices": [{"index": 0, "message": message, "finish_reason": finish}],
                "usage": {"prompt_tokens": 0, "completion_tokens": written, "total_tokens": written},
            })  # fmt: skip

        def reply(self, status: int, value: dict[str, Any]) -> None:
            data = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    return ThreadingHTTPServer((host, port), Handler)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="openbmb/MiniCPM-V-2_6")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8100)
    arguments = parser.parse_args()
    name = arguments.model.rstrip("/").split("/")[-1]
    server(Model(arguments.model), name, arguments.host, arguments.port).serve_forever()


if __name__ == "__main__":
    main()
