"""Local servers that speak the vendors' formats, with faults on order."""

import base64
import json
import threading
import time
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PNG = b"\x89PNG\r\n\x1a\n"


class Server(ThreadingHTTPServer):
    """faults: taken one a request, before answers are given. images, prompts: what requests held."""

    daemon_threads = True

    def __init__(self, vendor, answer="AF(atrial fibrillation)", faults=()):
        super().__init__(("127.0.0.1", 0), Handler)
        self.vendor, self.answer, self.faults = vendor, answer, list(faults)
        self.images, self.prompts, self.paths, self.times, self.bodies = [], [], [], [], []
        self.lock = threading.Lock()

    @property
    def url(self):
        root = f"http://127.0.0.1:{self.server_address[1]}"
        return f"{root}/v1" if self.vendor == "openai" else root


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server = self.server
        images, prompt = READ[server.vendor](body)
        with server.lock:
            server.times.append(time.monotonic())
            server.paths.append(self.path)
            server.bodies.append(body)
            server.images.append(images)
            server.prompts.append(prompt)
            fault = server.faults.pop(0) if server.faults else None
            fault = fault(body) if callable(fault) else fault
        if fault is None:
            self.send(
                200,
                REPLY[server.vendor](
                    server.answer(prompt) if callable(server.answer) else server.answer, "stop"
                ),
            )
        elif fault == "truncated":
            data = json.dumps(REPLY[server.vendor]("half an answ", "stop")).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2])
            self.close_connection = True
        elif fault == "silent":  # until nobody listens any more
            self.rfile.read(1)
        elif fault in ("filter", "length", "blocked"):
            self.send(200, REPLY[server.vendor]("cut", fault))
        elif isinstance(fault, dict):  # a reply as it is
            self.send(fault.get("status", 200), fault["reply"])
        elif isinstance(fault, tuple):
            status, headers = fault
            self.send(status, ERROR[server.vendor](status, self.headers), headers)
        else:
            self.send(200, None, raw=str(fault).encode())

    def send(self, status, value, headers=None, raw=None):
        data = raw if raw is not None else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, content in (headers or {}).items():
            self.send_header(name, content)
        self.end_headers()
        with suppress(ConnectionError):  # a client that timed out is gone
            self.wfile.write(data)


def read_openai(body):
    assert body["model"]
    images, words = [], []
    for message in body["messages"]:
        parts = message["content"]
        for part in [{"type": "text", "text": parts}] if isinstance(parts, str) else parts:
            if part["type"] == "image_url":
                head, data = part["image_url"]["url"].split(",", 1)
                images.append((head, base64.b64decode(data, validate=True)))
            else:
                words.append(part["text"])
    return images, "\n".join(words)


def read_anthropic(body):
    assert body["max_tokens"] > 0
    images, words = [], []
    for part in [
        p
        for m in body["messages"]
        for p in ([{"type": "text", "text": m["content"]}] if isinstance(m["content"], str) else m["content"])
    ]:
        if part["type"] == "image":
            assert part["source"]["type"] == "base64"
            images.append(
                (part["source"]["media_type"], base64.b64decode(part["source"]["data"], validate=True))
            )
        else:
            words.append(part["text"])
    return images, "\n".join(words)


def read_gemini(body):
    images, words = [], []
    for part in [p for c in body["contents"] for p in c["parts"]]:
        if "inlineData" in part:
            data = part["inlineData"]
            images.append((data.get("mimeType") or data["mime_type"], base64.urlsafe_b64decode(data["data"])))
        else:
            words.append(part["text"])
    return images, "\n".join(words)


def reply_openai(text, finish):
    reason = {"filter": "content_filter", "blocked": "content_filter"}.get(finish, finish)
    message = {"role": "assistant", "content": text}
    return {
        "id": "c", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": reason}],
        "usage": {"prompt_tokens": 1000, "completion_tokens": 10, "total_tokens": 1010},
    }  # fmt: skip


def reply_anthropic(text, finish):
    reason = {"filter": "refusal", "blocked": "refusal", "length": "max_tokens", "stop": "end_turn"}[finish]
    return {
        "id": "m", "type": "message", "role": "assistant", "model": "m", "stop_reason": reason,
        "stop_sequence": None,
        "content": [{"type": "text", "text": text}], "usage": {"input_tokens": 1000, "output_tokens": 10},
    }  # fmt: skip


def reply_gemini(text, finish):
    usage = {"promptTokenCount": 1000, "candidatesTokenCount": 10, "totalTokenCount": 1010}
    if finish == "blocked":
        return {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": usage}
    reason = {"filter": "SAFETY", "length": "MAX_TOKENS", "stop": "STOP"}[finish]
    content = {"role": "model", "parts": [{"text": text}]}
    return {"candidates": [{"content": content, "finishReason": reason}], "usageMetadata": usage}


def key_of(headers):
    return headers.get("Authorization") or headers.get("x-api-key") or headers.get("x-goog-api-key") or ""


READ = {"openai": read_openai, "anthropic": read_anthropic, "gemini": read_gemini}
REPLY = {"openai": reply_openai, "anthropic": reply_anthropic, "gemini": reply_gemini}
# Servers do echo keys in their errors.
ERROR = {
    "openai": lambda s, h: {"error": {"message": f"status {s}, key {key_of(h)}", "type": "x", "code": None}},
    "anthropic": lambda s, h: {
        "type": "error",
        "error": {"type": "x", "message": f"status {s}, key {key_of(h)}"},
    },
    "gemini": lambda s, h: {"error": {"code": s, "message": f"status {s}, key {key_of(h)}", "status": "X"}},
}


@contextmanager
def serving(vendor, **options):
    server = Server(vendor, **options)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
