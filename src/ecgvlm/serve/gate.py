"""What every request passes: keys and rates, bounds on size and time, a bounded queue, headers, the log."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ecgvlm.files.leaf import MAX_BYTES
from ecgvlm.machine import available_memory
from ecgvlm.serve.access import Keys
from ecgvlm.serve.connection import PACE_SECONDS, SLOWEST
from ecgvlm.serve.turns import CLIENT, Shared, network

log = logging.getLogger("ecgvlm.serve")

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob: data:; media-src 'self' blob:; connect-src 'self'; manifest-src 'self'; "
    "worker-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
}
OPEN_PATHS = ("/v1/about",)  # of those below /v1/, the ones that need no key
BATCH_PATH = "/v1/batches"
MAX_BODY = MAX_BYTES * 4 // 3 + 1_000_000  # a file as base64, and what stands around it
MAX_BATCH_BODY = 4 * MAX_BYTES
MOST_BYTES = 12 * MAX_BODY  # of bodies that may be in memory at a time, where there is memory enough
_COPIES = 4  # of a body while it is taken apart
_SMALL = 1_000_000  # bytes of a body that may be of many parts
_MANY_PARTS = 100_000
_RECEIVING = 8  # times as many requests as may be at work may be sending their bodies
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_LOCAL_HOSTS = ("127.0.0.1", "localhost", "[::1]")


@dataclass(frozen=True)
class Limits:
    """at_once: requests at work or waiting. seconds: for a body to arrive. local: only requests to this
    machine's own name, so that no web page elsewhere reaches the server through its visitor's browser.
    bytes: of all bodies that are in memory, also of those that are still coming.
    """

    at_once: int
    seconds: float
    local: bool
    bytes: int = MOST_BYTES


def body_bytes() -> int:
    """How many bytes of bodies fit this machine's memory, a largest one at least."""
    return max(MAX_BATCH_BODY, min(MOST_BYTES, available_memory() // (2 * _COPIES)))


class Metrics:
    """What Prometheus may know: counts and times, nothing about pages."""

    def __init__(self, idle: Callable[[], float], lost: Callable[[], float]):
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "ecgvlm_requests", "Requests answered", ["method", "route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "ecgvlm_request_seconds", "Time to the answer's end", ["route"], registry=self.registry,
            buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64),
        )  # fmt: skip
        self.at_work = Gauge("ecgvlm_requests_at_work", "Requests at work or waiting", registry=self.registry)
        self.pages = Counter("ecgvlm_pages", "Pages read, by outcome", ["outcome"], registry=self.registry)
        for name, text, value in (
            ("ecgvlm_readers_idle", "Reader processes without work", idle),
            ("ecgvlm_workers_lost", "Worker processes that died or were ended", lost),
        ):
            Gauge(name, text, registry=self.registry).set_function(value)


class Gate:
    """ASGI middleware. Requests that make work (POST below /v1/) are admitted only up to a number; their
    bodies are read here, bounded, and what they started is called off when their client goes away.
    """

    def __init__(self, app: ASGIApp, limits: Limits, keys: Keys | None, metrics: Metrics):
        self.app, self.limits, self.keys, self.metrics = app, limits, keys, metrics
        self.at_work = Shared(limits.at_once)
        self.receiving = Shared(_RECEIVING * limits.at_once)
        self.bytes = Shared(limits.bytes, max(MAX_BATCH_BODY, limits.bytes * 3 // 4))
        self.usual_seconds = 1.0  # of a request at work, a running mean

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        reply = _Reply(send, private=scope["path"].startswith("/v1/"))
        start = time.perf_counter()
        scope.setdefault("state", {})["owner"] = ""
        try:
            await self._answer(scope, receive, reply)
        except _Refusal as refusal:
            if refusal.drain:
                await _drain(receive, self._most(scope))
            await reply.refuse(refusal)
        except ClientDisconnect:
            reply.gone = True
        except Exception:
            log.exception("request %s failed", reply.id)
            if reply.status is None:
                await reply.refuse(
                    _Refusal(500, "internal_error", f"something went wrong (request {reply.id})")
                )
        finally:
            self._note(scope, reply, time.perf_counter() - start)

    async def _answer(self, scope: Scope, receive: Receive, reply: _Reply) -> None:
        headers = Headers(scope=scope)
        self._check_origin(headers)
        self._check_key(scope, headers)
        if scope["method"] != "POST" or not scope["path"].startswith("/v1/"):
            return await self.app(scope, receive, reply)
        client = scope["state"]["owner"] or _address(scope)
        CLIENT.set(client)
        if self.at_work.is_full(client) or self.receiving.is_full(client):
            raise self._busy(drain=True)
        body = _Body(self.bytes, client)
        try:
            # Only who has sent all of it takes a place: slow ones keep nobody from it.
            with self.receiving.one(client):
                await self._receive_in_time(scope, headers, receive, body)
            if self.at_work.is_full(client):
                raise self._busy(drain=False)
            whole = body.whole()
            _check_parts(headers, whole)
            with self.at_work.one(client):
                await self._work(scope, whole, receive, reply)
        finally:
            body.release()

    async def _receive_in_time(self, scope: Scope, headers: Headers, receive: Receive, body: _Body) -> None:
        try:
            async with asyncio.timeout(self.limits.seconds):
                await self._receive(scope, headers, receive, body)
        except TimeoutError as error:
            raise self._too_slow() from error

    async def _work(self, scope: Scope, body: bytes, receive: Receive, reply: _Reply) -> None:
        """Lets the application answer, in one of the places for requests at work."""
        self.metrics.at_work.inc()
        start = time.perf_counter()
        try:
            await self._until_gone(scope, body, receive, reply)
        finally:
            self.metrics.at_work.dec()
            self.usual_seconds += 0.1 * (time.perf_counter() - start - self.usual_seconds)

    def _busy(self, drain: bool) -> _Refusal:
        seconds = max(1, math.ceil(self.usual_seconds))
        return _Refusal(429, "overloaded", "the server is busy; try again", seconds, drain)

    def _too_slow(self) -> _Refusal:
        return _Refusal(
            408, "too_slow", f"the request took longer than {self.limits.seconds:g} s, or came too slowly"
        )

    def _check_origin(self, headers: Headers) -> None:
        host = headers.get("host", "")
        if self.limits.local and host.rsplit(":", 1)[0] not in _LOCAL_HOSTS and host not in _LOCAL_HOSTS:
            raise _Refusal(403, "forbidden", "this server is for its own machine only")
        origin = headers.get("origin")
        if origin is not None and origin.split("://", 1)[-1] != host:
            raise _Refusal(403, "forbidden", "requests from other web sites are not answered")

    def _check_key(self, scope: Scope, headers: Headers) -> None:
        path = scope["path"]
        guarded = path == "/metrics" or (path.startswith("/v1/") and path not in OPEN_PATHS)
        if self.keys is None or not guarded:
            return
        scheme, _, key = headers.get("authorization", "").partition(" ")
        owner = self.keys.owner(key.strip()) if scheme.lower() == "bearer" else None
        if owner is None:
            raise _Refusal(401, "unauthorized", "send an API key: Authorization: Bearer KEY", drain=True)
        scope["state"]["owner"] = owner.name
        if wait := owner.wait():
            message = f"this key may make {owner.per_minute} requests a minute"
            raise _Refusal(429, "rate_limited", message, math.ceil(wait), drain=True)

    def _most(self, scope: Scope) -> int:
        return MAX_BATCH_BODY if scope["path"] == BATCH_PATH else MAX_BODY

    async def _receive(self, scope: Scope, headers: Headers, receive: Receive, body: _Body) -> None:
        """Takes in a request's body, as far as its size, its pace and the server's memory allow."""
        most = self._most(scope)
        too_large = _Refusal(413, "too_large", f"the request is larger than {most / 1e6:.0f} MB", drain=True)
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length) > most:
            raise too_large
        start, more = time.monotonic(), True
        while more:
            message = await asyncio.wait_for(receive(), PACE_SECONDS)
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            body.add(message.get("body", b""))
            more = message.get("more_body", False)
            if body.size > most:
                raise too_large
            if self.bytes.is_full(body.client):
                raise self._busy(drain=more)
            waited = time.monotonic() - start
            if more and waited > PACE_SECONDS and body.size < waited * SLOWEST:
                raise self._too_slow()

    async def _until_gone(self, scope: Scope, body: bytes, receive: Receive, reply: _Reply) -> None:
        """Runs the application until it is done, or its client has gone."""
        gone = asyncio.ensure_future(_disconnected(receive))
        messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            if messages:
                return messages.pop()
            await asyncio.shield(gone)
            return {"type": "http.disconnect"}

        work = asyncio.ensure_future(self.app(scope, replay, reply))
        try:
            await asyncio.wait({gone, work}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            if not work.done():
                work.cancel()
                reply.gone = True
        try:
            await work
        except asyncio.CancelledError:
            if not reply.gone:
                raise

    def _note(self, scope: Scope, reply: _Reply, seconds: float) -> None:
        """One line a request: neither names of files nor ids of readings, which are as good as keys."""
        route = getattr(scope.get("route"), "path", None) or "other"
        status = reply.status or 499
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self.metrics.requests.labels(method, route, status).inc()
        self.metrics.seconds.labels(route).observe(seconds)
        owner = scope["state"]["owner"] or "-"
        log.info("%s %s %s %s %d %.3f s", reply.id, owner, method, route, status, seconds)


def _check_parts(headers: Headers, body: bytes) -> None:
    """Whatever is no form with files is taken apart on the event loop, an object for each part: a large one
    must be JSON around a picture. Raises _Refusal."""
    kind = headers.get("content-type", "").lower()
    if len(body) <= _SMALL or kind.startswith("multipart/form-data"):
        return
    if "json" not in kind or sum(map(body.count, (b",", b":", b"[", b"{"))) > _MANY_PARTS:
        message = "a large request must be multipart/form-data with files, or JSON with a picture in base64"
        raise _Refusal(413, "too_large", message)


class _Body:
    """A client's request body as it comes in; what it holds counts as `held` until it is released."""

    def __init__(self, held: Shared, client: str):
        self._held, self._parts, self.client, self.size = held, list[bytes](), client, 0

    def add(self, part: bytes) -> None:
        self._parts.append(part)
        self.size += len(part)
        self._held.add(self.client, len(part))

    def whole(self) -> bytes:
        """All of it, once: the parts go."""
        whole = b"".join(self._parts)
        self._parts.clear()
        return whole

    def release(self) -> None:
        self._parts.clear()
        self._held.add(self.client, -self.size)
        self.size = 0


class _Refusal(Exception):
    """A request that is not answered. drain: whether to read its body first, so that the client hears it."""

    def __init__(
        self, status: int, code: str, message: str, retry_after: int | None = None, drain: bool = False
    ):
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.retry_after, self.drain = retry_after, drain


class _Reply:
    """`send` with our headers on every response; remembers its status. private: what nobody may keep."""

    def __init__(self, send: Send, private: bool):
        self._send, self._private = send, private
        self.status: int | None = None
        self.id = secrets.token_hex(4)
        self.gone = False

    async def __call__(self, message: Message) -> None:
        if self.gone:
            return
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers.update(HEADERS)
            headers["X-Request-Id"] = self.id
            if "cache-control" not in headers:
                written = headers.get("content-type", "").startswith("application/json")
                headers["Cache-Control"] = "no-store" if self._private or written else "no-cache"
        await self._send(message)

    async def refuse(self, refusal: _Refusal) -> None:
        body = json.dumps(error_body(refusal.code, refusal.message)).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        if refusal.retry_after is not None:
            headers.append((b"retry-after", str(refusal.retry_after).encode()))
        if refusal.status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        await self({"type": "http.response.start", "status": refusal.status, "headers": headers})
        await self({"type": "http.response.body", "body": body})


def error_body(code: str, message: str) -> dict:
    """The one shape of errors; `type` is what OpenAI's clients look for."""
    return {"ok": False, "error": {"code": code, "message": message, "type": code}}


def _address(scope: Scope) -> str:
    """Where a request comes from."""
    return network(scope["client"][0] if scope.get("client") else "")


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _drain(receive: Receive, most: int) -> None:
    """Reads what a client still sends, some seconds at most, so that it reads our answer."""
    try:
        async with asyncio.timeout(10):
            while most > 0:
                message = await receive()
                most -= len(message.get("body", b""))
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return
    except TimeoutError:
        pass
