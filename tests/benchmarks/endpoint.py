"""What talking to a server costs this machine: CPU time per photo with many requests in flight.

    python tests/benchmarks/endpoint.py [--photos 128] [--in-flight 64] [--tokens 150] [--every 0.02]

A small server in a process of its own takes each photo and streams a reply of `--tokens` tokens, one every
`--every` seconds, 20 alternatives beside each, as vLLM does. Printed are CPU milliseconds of this process per
photo: its PNG alone, compressed or not; a reply of one token (asking); the whole reply.
"""

import argparse
import asyncio
import json
import multiprocessing
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from PIL import Image

from qinsight.endpoint import EndpointEngine, encode
from qinsight.prompts import Task
from qinsight.requests import MAX_PIXELS, Request, Sampling
from qinsight.views import view

PHOTO = Path(__file__).parents[2] / "examples" / "photos" / "astronaut.jpg"


def serve(tell: Connection, every: float) -> None:
    """An OpenAI-compatible server with one model that says " word" until `max_tokens`."""
    others = [{"token": f" word{n}", "logprob": -0.123456789 * n, "bytes": [32] * 6} for n in range(20)]

    def event(finish: str | None) -> bytes:
        chances = {
            "content": [{"token": " word", "logprob": -0.5, "bytes": [32] * 5, "top_logprobs": others}]
        }
        choice = {"index": 0, "delta": {"content": " word"}, "logprobs": chances, "finish_reason": finish}
        data = json.dumps({"id": "chatcmpl-0", "created": 1, "model": "m", "choices": [choice]}).encode()
        return b"%x\r\ndata: %s\n\n\r\n" % (len(data) + 8, data)

    word, last = event(None), event("length")

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            for _ in range(1_000_000):
                head = await reader.readuntil(b"\r\n\r\n")
                if head.startswith(b"GET"):
                    body = b'{"data": [{"id": "m"}]}'
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
                    continue
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                sent = await reader.readexactly(length)
                tokens = int(sent.rsplit(b'"max_tokens": ', 1)[1].split(b",")[0])
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
                )
                for number in range(tokens):
                    writer.write(last if number == tokens - 1 else word)
                    await asyncio.sleep(every)
                writer.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def run() -> None:
        listening = await asyncio.start_server(answer, "127.0.0.1", 0, limit=2**26)
        tell.send(listening.sockets[0].getsockname()[1])
        await listening.serve_forever()

    asyncio.run(run())


def timed(engine: EndpointEngine, photos: list[Image.Image], tokens: int) -> tuple[float, float]:
    """CPU and wall milliseconds per photo, one question each."""
    requests = [Request(Task.SCORE, (photo,)) for photo in photos]
    wall, cpu = time.perf_counter(), time.process_time()
    given = sum(delta.tokens for delta in engine.stream(requests, Sampling(max_new_tokens=tokens)))
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    assert given == tokens * len(photos), given
    return 1000 * cpu / len(photos), 1000 * wall / len(photos)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--photos", type=int, default=128)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=150)
    parser.add_argument("--every", type=float, default=0.02)
    options = parser.parse_args()
    hear, tell = multiprocessing.Pipe(duplex=False)
    server = multiprocessing.get_context("spawn").Process(
        target=serve, args=(tell, options.every), daemon=True
    )
    server.start()
    try:
        engine = EndpointEngine.open(f"http://127.0.0.1:{hear.recv()}", concurrency=options.in_flight)
        shown = view(Image.open(PHOTO).convert("RGB").resize((1600, 1200)), MAX_PIXELS)
        for near in (True, False):
            started = time.process_time()
            size = max(len(encode(shown, MAX_PIXELS, near)) for _ in range(5))
            spent = 200 * (time.process_time() - started)
            kind = "plain" if near else "compressed"
            print(
                f"{kind} PNG in base64, {shown.width} x {shown.height}: {spent:.1f} ms, {size / 1e6:.2f} MB"
            )
        for name, picture in (("1 megapixel", shown), ("56 x 56", shown.resize((56, 56)))):
            for tokens in (1, options.tokens):
                photos = [picture.copy() for _ in range(options.photos)]
                cpu, wall = timed(engine, photos, tokens)
                print(f"{name}, {tokens} tokens: {cpu:.2f} ms CPU, {wall:.1f} ms by the clock per photo")
    finally:
        server.terminate()
        server.join()


if __name__ == "__main__":
    main()
