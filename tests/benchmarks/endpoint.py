"""What talking to a server costs this machine: CPU time per photo with many requests in flight.

    python tests/benchmarks/endpoint.py [--photos 128] [--in-flight 64] [--tokens 150] [--seconds 3] [--rounds 3]

A small server in a process of its own takes each photo and answers with `--tokens` tokens over `--seconds`, 20
alternatives beside each where they are asked for, as vLLM does: in a stream, or in one piece. Printed are CPU
milliseconds of this process per photo, all its threads, the least of `--rounds`: what a folder is asked (score and
diagnosis of each photo), with a photo of 56 x 56 pixels (the asking itself) and of 1 megapixel (with encoding and
sending); the same requests sent and received by bare httpx2, nothing read; the parts of making a photo ready; and
`rank_folder` as a whole.
"""

import argparse
import asyncio
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import httpx2
from PIL import Image

from qinsight.engines.png import encode
from qinsight.engines.server import EndpointEngine
from qinsight.photos import load_photo
from qinsight.photos.view import view
from qinsight.prompts import Task
from qinsight.ranking.folder import QUESTIONS, rank_folder
from qinsight.requests import MAX_PIXELS, Request, Sampling

PHOTO = Path(__file__).parents[2] / "examples" / "photos" / "astronaut.jpg"
WORDS = {
    b"rating": ["<answer>", '{"', "rating", '":', " ", "3", ".", "4", "5", "}", "</answer>"],
    b"severity": ['<answer>{"distortion_class": "blur", "severity": "', "slight", '"}', "</answer>"],
}


def serve(tell: Connection, seconds: float) -> None:
    """An OpenAI-compatible server with one model that thinks until its answer just fits into `max_tokens`."""
    others = [{"token": f" word{n}", "logprob": -1.23456789 * n - 0.1, "bytes": [32] * 6} for n in range(19)]

    def entry(word: str) -> dict[str, object]:
        said = {"token": word, "logprob": -0.01, "bytes": list(word.encode())}
        return said | {"top_logprobs": [said, *others]}

    def choice(name: str, words: list[str], chances: bool, finish: str | None) -> bytes:
        found = {"index": 0, name: {"role": "assistant", "content": "".join(words)}, "finish_reason": finish}
        if chances:
            found["logprobs"] = {"content": [entry(word) for word in words]}
        whole = {"id": "chatcmpl-0", "created": 1, "model": "m", "choices": [found]}
        return json.dumps(
            whole | {"usage": {"completion_tokens": len(words)}}, separators=(",", ":")
        ).encode()

    def event(*said: object) -> bytes:
        data = choice("delta", *said)  # type: ignore[arg-type]
        return b"%x\r\ndata: %s\n\n\r\n" % (len(data) + 8, data)

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
                end = sent[-2000:]  # our fields stand last
                tokens = int(end.rsplit(b'"max_tokens": ', 1)[1].split(b",")[0].split(b"}")[0])
                chances = b'"top_logprobs"' in end
                answers = WORDS[b"severity" if b"severity" in sent[:5000] + end else b"rating"]
                words = [" word"] * (tokens - len(answers)) + answers
                if b'"stream": true' in end:
                    kind = b"Content-Type: text/event-stream\r\nTransfer-Encoding: chunked"
                    writer.write(b"HTTP/1.1 200 OK\r\n%s\r\n\r\n" % kind)
                    for word in words[:-1]:
                        writer.write(event([word], chances, None))
                        await asyncio.sleep(seconds / tokens)
                    writer.write(event(words[-1:], chances, "stop") + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
                else:
                    await asyncio.sleep(seconds)
                    body = choice("message", words, chances, "stop")
                    kind = b"Content-Type: application/json\r\nContent-Length: %d" % len(body)
                    writer.write(b"HTTP/1.1 200 OK\r\n%s\r\n\r\n%s" % (kind, body))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def run() -> None:
        listening = await asyncio.start_server(answer, "127.0.0.1", 0, limit=2**26)
        tell.send(listening.sockets[0].getsockname()[1])
        await listening.serve_forever()

    asyncio.run(run())


def cpu_of(work: Callable[[], object], rounds: int, photos: int = 1) -> float:
    """CPU milliseconds of this process per photo."""
    least = float("inf")
    for _ in range(rounds):
        started = time.process_time()
        work()
        least = min(least, time.process_time() - started)
    return 1000 * least / photos


def ask(engine: EndpointEngine, picture: Image.Image, photos: int, sampling: Sampling, watched: bool) -> None:
    """Score and diagnosis of each photo; a folder needs the odds of the first only, a page of both."""
    views = [picture.copy() for _ in range(photos)]
    requests = [
        Request(task, (shown,), odds=watched or task is Task.SCORE) for shown in views for task in QUESTIONS
    ]
    given = sum(delta.tokens for delta in engine.stream(requests, sampling, watched=watched))
    assert given == sampling.max_new_tokens * len(requests), given


def send_bare(
    engine: EndpointEngine, picture: Image.Image, photos: int, sampling: Sampling, at_once: int
) -> None:
    """As many requests of the same size with the same replies, by nothing but the HTTP client."""
    context = httpx2.create_ssl_context()
    url = f"data:image/png;base64,{encode(picture, MAX_PIXELS, near=True).decode()}"
    bodies = [
        json.dumps(
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}, task]}
                ],
                "max_tokens": sampling.max_new_tokens,
                **({"logprobs": True, "top_logprobs": 20} if task == "rating" else {}),
            }
        ).encode()
        for task in ("rating", "severity")
    ]
    waiting = iter(bodies * photos)

    async def one_by_one() -> None:
        async with httpx2.AsyncClient(verify=context, timeout=None) as client:
            for body in waiting:
                async with client.stream(
                    "POST", f"{engine.address}/chat/completions", content=body
                ) as answer:
                    async for _ in answer.aiter_bytes():
                        pass

    async def all_of_them() -> None:
        await asyncio.gather(*(one_by_one() for _ in range(at_once)))

    asyncio.run(all_of_them())


def rank(engine: EndpointEngine, shoot: Path, sampling: Sampling) -> None:
    with tempfile.TemporaryDirectory() as out:
        rows = [state.row for state in rank_folder(engine, shoot, Path(out), sampling=sampling)]
    assert all(row and row.expected_rating and row.severity and not row.error for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--photos", type=int, default=128)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=150)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    hear, tell = multiprocessing.Pipe(duplex=False)
    server = multiprocessing.get_context("spawn").Process(
        target=serve, args=(tell, options.seconds), daemon=True
    )
    server.start()
    count, rounds, sampling = options.photos, options.rounds, Sampling(options.tokens)
    try:
        engine = EndpointEngine.open(f"http://127.0.0.1:{hear.recv()}", concurrency=options.in_flight)
        large = Image.open(PHOTO).convert("RGB").resize((1600, 1200))
        shown = view(large, MAX_PIXELS)
        size = f"{shown.width} x {shown.height}"
        print(f"view of 1600 x 1200 at {size}: {cpu_of(lambda: view(large, MAX_PIXELS), 9):.1f} ms")
        for near, kind in ((True, "plain"), (False, "compressed")):
            spent = cpu_of(lambda near=near: encode(shown, MAX_PIXELS, near), 9)
            print(
                f"{kind} PNG in base64: {spent:.1f} ms, {len(encode(shown, MAX_PIXELS, near)) / 1e6:.2f} MB"
            )
        for name, picture in (("56 x 56", shown.resize((56, 56))), ("1 megapixel", shown)):
            for watched in (True, False):
                spent = cpu_of(lambda p=picture, w=watched: ask(engine, p, count, sampling, w), rounds, count)
                kind = "streamed" if watched else "whole replies"
                print(
                    f"{name}, two questions, {options.tokens} tokens, {kind}: {spent:.2f} ms of CPU a photo"
                )
            spent = cpu_of(
                lambda p=picture: send_bare(engine, p, count, sampling, options.in_flight), rounds, count
            )
            print(f"{name}, the same by bare httpx2, nothing read: {spent:.2f} ms of CPU a photo")
        with tempfile.TemporaryDirectory() as place:
            for number in range(count):  # a folder asks only once about the same bytes
                large.paste((number, number, number), (0, 0, 16, 16))
                large.save(Path(place) / f"{number}.jpg", quality=90)
            decoding = cpu_of(lambda: load_photo(Path(place) / "0.jpg"), 9)
            spent = cpu_of(lambda: rank(engine, Path(place), sampling), rounds, count)
        print(
            f"rank_folder, JPEG of 1600 x 1200: {spent:.1f} ms of CPU a photo, {decoding:.1f} of it decoding"
        )
    finally:
        server.terminate()
        server.join()


if __name__ == "__main__":
    main()
