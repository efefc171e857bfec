"""Runner overhead: requests a second against a local server that answers at once; the goal is 200.

    .venv/bin/python benchmarks/bench_runner.py

The server is a process of its own and the client is OpenAI's SDK, with an 80 kB picture in every request.
"""

import multiprocessing
import os
import socket
import tempfile
import time
from pathlib import Path

REQUESTS, WORKERS, PICTURE_BYTES, GOAL = 2000, 8, 80_000, 200

REPLY = (
    b'{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":'
    b'{"role":"assistant","content":"NORM"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}'
)


def serve(listener: socket.socket) -> None:
    """Reads requests and answers each at once, on as many connections as come."""
    import asyncio

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(REPLY)
        try:
            while True:
                request = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    int(line.split(b":")[1])
                    for line in request.lower().split(b"\r\n")
                    if line.startswith(b"content-length")
                )
                await reader.readexactly(length)
                writer.write(head + REPLY)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def main() -> None:
        server = await asyncio.start_server(handle, sock=listener, limit=1 << 20)
        await server.serve_forever()

    asyncio.run(main())


def main() -> None:
    from ecgvlm.bench.backends import make_backend
    from ecgvlm.bench.retries import RequestLimits
    from ecgvlm.bench.runner import run_task
    from ecgvlm.bench.task import load_task
    from ecgvlm.instruct.row import Row

    listener = socket.create_server(("127.0.0.1", 0))
    server = multiprocessing.get_context("fork").Process(target=serve, args=(listener,), daemon=True)
    server.start()
    task = load_task("code15-test")
    picture = b"\x89PNG" + os.urandom(PICTURE_BYTES)
    items = [Row(str(i), picture, ((f"Question {i}", "NORM"),)) for i in range(REQUESTS)]
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    backend = make_backend("openai-compatible", task, items, "m", base_url=url)
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        done = run_task(task, items, backend, Path(folder) / "run", RequestLimits(workers=WORKERS))
        seconds = time.perf_counter() - began
        assert done.failures == 0
        began = time.perf_counter()
        again = run_task(task, items, backend, Path(folder) / "run", RequestLimits(workers=WORKERS))
        resumed = time.perf_counter() - began
        assert again.cached == REQUESTS
    server.terminate()
    print(
        f"asked    {REQUESTS / seconds:7.0f} requests a second (goal {GOAL}), {seconds:.1f} s for {REQUESTS}"
    )
    print(f"resumed  {REQUESTS / resumed:7.0f} rows a second from the store")


if __name__ == "__main__":
    main()
