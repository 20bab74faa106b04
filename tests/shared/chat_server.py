"""A chat server for tests that does as it is told, and what they ask it."""

import asyncio
import json
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from PIL import Image

from qinsight.engines.server import EndpointEngine, Patience
from qinsight.prompts import Task
from qinsight.requests import Delta, Request

QUICK = Patience(connect=2, first_token=5, between_tokens=5, tries=4, pause=0.01)
SCORED = ["<think>", "soft", "</think>", "<answer>", '{"rating": ', "3.5", "}", "</answer>"]

Act = Callable[["Answering"], Awaitable[None]]


class Answering:
    """One chat request on its way: what was asked, and the ways to answer it."""

    def __init__(self, server: "Server", body: dict[str, Any], reader: Any, writer: Any) -> None:
        self.server, self.body, self.reader, self.writer = server, body, reader, writer

    async def status(self, status: int, body: str, headers: str = "") -> None:
        head = f"HTTP/1.1 {status} Said\r\nContent-Length: {len(body.encode())}\r\n{headers}\r\n"
        self.writer.write((head + body).encode())
        await self.writer.drain()

    async def begin(self, kind: str = "text/event-stream") -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n"
        self.writer.write(head.encode())
        await self.event({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]})

    async def event(self, event: Any) -> None:
        await self.raw(b"data: " + json.dumps(event).encode() + b"\n\n")

    async def raw(self, data: bytes) -> None:
        self.writer.write(b"%x\r\n%s\r\n" % (len(data), data))
        await self.writer.drain()

    async def word(self, *words: str, finish: str | None = None, **delta: str) -> None:
        choice = {"delta": delta or {"content": "".join(words)}, "finish_reason": finish}
        await self.event({"choices": [choice | self.chances(words)]})

    def chances(self, words: Sequence[str]) -> dict[str, Any]:
        """Alternatives beside each word, as many as were asked for; the word itself comes first."""
        if not (count := self.body.get("top_logprobs")):
            return {}
        other = [{"token": f"other{n}", "logprob": -2.0 - n} for n in range(count - 1)]
        entries = [
            {"token": word, "logprob": -2.5, "top_logprobs": [{"token": word, "logprob": -2.5}, *other]}
            for word in words
        ]
        return {"logprobs": {"content": entries}}

    def whole(
        self, *words: str, finish: str = "stop", end: str = "<|im_end|>", **said: str
    ) -> dict[str, Any]:
        """A reply in one piece, as vLLM gives it: the end marker is a token, but no word."""
        message = {"role": "assistant", "content": "".join(words)} | said
        choice = {"index": 0, "message": message, **self.chances([*words, end]), "finish_reason": finish}
        return {"choices": [choice], "usage": {"prompt_tokens": 99, "completion_tokens": len(words) + 1}}

    async def json(self, found: Any, layout: Callable[[Any], str] = json.dumps) -> None:
        await self.status(200, layout(found), "Content-Type: application/json\r\n")

    async def end(self) -> None:
        await self.raw(b"data: [DONE]\n\n")
        self.writer.write(b"0\r\n\r\n")
        await self.writer.drain()

    async def wait_for_the_client_to_hang_up(self) -> None:
        async with asyncio.timeout(10):
            if await self.reader.read(1) == b"":
                raise ConnectionResetError


def says(*words: str, finish: str = "stop") -> Act:
    """In a stream, a token per event and the end marker in the last, or in one piece, as it is asked."""

    async def act(answering: Answering) -> None:
        if not answering.body["stream"]:
            await answering.json(answering.whole(*words, finish=finish))
            return
        await answering.begin()
        for place, word in enumerate(words):
            await answering.word(word, finish=finish if place == len(words) - 1 else None)
        await answering.end()

    return act


def refuses(status: int, words: Any, headers: str = "") -> Act:
    body = words if isinstance(words, str) else json.dumps(words)
    return lambda answering: answering.status(status, body, headers)


def cut_after(*words: str) -> Act:
    async def act(answering: Answering) -> None:
        await answering.begin()
        for word in words:
            await answering.word(word)
        answering.writer.close()

    return act


def hangs_after(*words: str) -> Act:
    async def act(answering: Answering) -> None:
        if words:
            await answering.begin()
            await answering.word(*words)
        await answering.wait_for_the_client_to_hang_up()

    return act


def garbage(data: bytes) -> Act:
    async def act(answering: Answering) -> None:
        await answering.begin()
        await answering.raw(data)
        await answering.end()

    return act


class Server:
    """Answers the nth chat request with the nth act (the last one for all further), or as `choose` says.

    `route` may answer anything before; it is asked with the method and the path with its query.
    """

    def __init__(self, *acts: Act, choose: Callable[[dict[str, Any], int], Act] | None = None) -> None:
        self.choose = choose or (lambda _, times: acts[min(times, len(acts) - 1)])
        self.models: Act = refuses(200, {"object": "list", "data": [{"id": "qinsight"}]})
        self.props: Act = refuses(404, "")
        self.route: Callable[[str, str], Act | None] = lambda method, target: None
        self.targets: list[tuple[str, str]] = []
        self.bodies: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.hung_up: list[float] = []
        self.open = self.most_open = self.connections = 0
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            for _ in range(1000):
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if line)
                body = await reader.readexactly(int(fields.get("content-length", 0)))
                method, target, _ = head.split(" ", 2)
                self.targets.append((method, target))
                path = target.partition("?")[0]
                if path != "/props":
                    self.keys.append(fields.get("authorization"))
                elsewhere = self.route(method, target)
                if elsewhere or method == "GET":
                    known = {"/v1/models": self.models, "/props": self.props}
                    act = elsewhere or known.get(path, refuses(404, ""))
                    await act(Answering(self, {}, reader, writer))
                    continue
                asked = json.loads(body)
                self.bodies.append(asked)
                self.open += 1
                self.most_open = max(self.most_open, self.open)
                try:
                    act = self.choose(asked, len(self.bodies) - 1)
                    await act(Answering(self, asked, reader, writer))
                except ConnectionError:
                    self.hung_up.append(time.monotonic())
                    raise
                finally:
                    self.open -= 1
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@contextmanager
def running(*acts: Act, choose: Callable[[dict[str, Any], int], Act] | None = None) -> Iterator[Server]:
    server = Server(*acts, choose=choose)
    ready, over = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def run() -> None:
        listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, limit=2**26)
        server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"
        ready.set()
        await over.wait()
        listening.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
            await asyncio.wait([task])

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    assert ready.wait(5)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(10)
        loop.close()


def photo(width: int = 84, height: int = 56) -> Image.Image:
    noise = [Image.effect_noise((width, height), 90) for _ in range(3)]
    return Image.merge("RGB", noise)


def score(count: int = 1) -> list[Request]:
    return [Request(Task.SCORE, (photo(),)) for _ in range(count)]


def connect(server: Server, **options: Any) -> EndpointEngine:
    return EndpointEngine.open(server.url, **{"patience": QUICK} | options)


def texts(deltas: Iterator[Delta], found: dict[int, str] | None = None) -> dict[int, str]:
    """The words by request; `found` keeps those that came before a failure."""
    found = {} if found is None else found
    for delta in deltas:
        found[delta.request] = found.get(delta.request, "") + delta.text
    return found


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not true() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert true()
