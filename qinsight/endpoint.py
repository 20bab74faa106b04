"""Asking a model behind an OpenAI-compatible chat server: vLLM, SGLang, llama.cpp, LM Studio, `transformers serve`.

Failures. A server that is busy, broken or gone is asked again, with growing pauses. When a reply was cut after
some of it was given out, the second try must begin with the same words, which are then skipped, or the
request fails: nobody is told two stories. One failed request costs the others nothing: they are answered to the
end, and only then `RequestsFailed` says which failed and why. What would meet every request alike (nobody
there, a wrong key, no such model) ends the stream at once.
"""

import asyncio
import base64
import io
import ipaddress
import json
import math
import os
import queue
import random
import re
import ssl
import struct
import threading
import time
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any, NoReturn

import httpx2
from PIL import Image

from qinsight.errors import EngineError, RequestFailed, Stopped
from qinsight.prompts import Order, Task, build_messages
from qinsight.requests import MAX_PIXELS, About, Delta, Finish, Request, Sampling
from qinsight.views import view, view_size

GREEDY = Sampling()
NUM_ALTERNATIVES = 20  # the most that OpenAI allows, and vLLM unless told otherwise
KEY_VARIABLES = ("QINSIGHT_API_KEY", "OPENAI_API_KEY")
BUSY = {408, 409, 425, 429, 500, 502, 503, 504, 529}  # worth another try
LONGEST_WAIT = 60.0  # seconds; more than that is a refusal
LONGEST_EVENT = 2**20  # bytes; a token with 20 alternatives takes 2,000
AFTER_THE_END = 1.0  # seconds a server may take to close a finished reply
PHOTO = "@@photo@@"  # where the bytes of a photo go in a request already written as JSON


@dataclass(frozen=True)
class Patience:
    """How long to wait for a server, in seconds, and how often to ask it.

    `pause` is the wait before the second try; it doubles with each, and a server's own Retry-After goes first.
    """

    connect: float = 10.0
    first_token: float = 300.0  # a busy server reads other people's photos first
    between_tokens: float = 60.0
    tries: int = 5
    pause: float = 0.5


class RequestsFailed(RequestFailed):
    """Some requests failed, all others were answered; `failures` says why, by the request's number."""

    def __init__(self, failures: Mapping[int, EngineError], asked: int) -> None:
        first = str(failures[min(failures)])
        super().__init__(first if asked == 1 else f"{len(failures)} of {asked} replies failed: {first}")
        self.failures = dict(failures)


class EndpointEngine:
    """One model of one server. Streams may run side by side, each with `concurrency` requests at a time."""

    def __init__(
        self,
        address: httpx2.URL,
        model: str,
        api_key: str | None,
        concurrency: int,
        patience: Patience,
        order: Order,
        max_pixels: int,
        repetition_penalty: float | None,
    ) -> None:
        self.address = address
        self.model = model
        self.headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self.concurrency = concurrency
        self.patience = patience
        self.order = order
        self.repetition_penalty = repetition_penalty
        self.dialect = _Dialect()
        self._max_pixels = max_pixels

    @classmethod
    def open(
        cls,
        url: str,
        model: str | None = None,
        *,
        api_key: str | None = None,
        concurrency: int = 64,
        patience: Patience = Patience(),
        order: Order = Order.QUESTION_FIRST,
        max_pixels: int = MAX_PIXELS,
        repetition_penalty: float | None = None,
    ) -> "EndpointEngine":
        """Ask the server what it serves; `EngineError` if it is not there, wants another key or has no such model.

        `model` may be left out where there is only one. `api_key` comes from QINSIGHT_API_KEY, else
        OPENAI_API_KEY. `order` cannot be read from a server: checkpoints trained here want PHOTO_FIRST.
        `repetition_penalty` None leaves it to the server: vLLM and SGLang take the checkpoint's own.
        """
        if concurrency < 1:
            raise ValueError(f"expected at least 1 request at a time, got {concurrency}")
        engine = cls(
            _address(url), "", _key(api_key), concurrency, patience, order, max_pixels, repetition_penalty
        )
        engine.model = _choose(engine._served(), model, engine.host)
        return engine

    @property
    def host(self) -> str:
        return self.address.netloc.decode("ascii")  # without a name or password in the address

    @property
    def about(self) -> About:
        refused = ", ".join(sorted(self.dialect.refused))
        return About(
            name=self.model,
            tasks=frozenset(Task),
            precision="server",
            device=self.host,
            max_pixels=self._max_pixels,
            details={"refused by the server": refused} if refused else {},
        )

    def stream(
        self,
        requests: Sequence[Request],
        sampling: Sampling = GREEDY,
        *,
        max_pixels: int | None = None,
        stop: threading.Event | None = None,
    ) -> Iterator[Delta]:
        """See `qinsight.requests.Engine.stream`, and above for what happens to requests that fail."""
        stop = stop or threading.Event()
        limit = self._max_pixels if max_pixels is None else max_pixels
        for request in requests:  # a photo that cannot be shown is refused before anything is sent
            for photo in request.photos:
                view_size(*photo.size, limit)
        conversation = _Conversation(self, requests, sampling, limit)
        conversation.start()
        try:
            while True:
                if stop.is_set():
                    raise Stopped("Stopped.")
                try:
                    delta = conversation.deltas.get(timeout=0.05)
                except queue.Empty:
                    continue
                if delta is None:
                    break
                yield delta
        finally:
            conversation.close()
        conversation.raise_failures()

    def connection(self) -> dict[str, Any]:
        """What every HTTP client of this engine is made with. A proxy is not asked for this very machine."""
        return {
            "headers": self.headers,
            "verify": _certificates(),
            "timeout": httpx2.Timeout(None, connect=self.patience.connect),
            "trust_env": not _is_here(self.address.host),
        }

    def _served(self) -> list[str]:
        """The names of the models the server has."""
        patience = self.patience
        deadline = time.monotonic() + patience.between_tokens
        connection = self.connection() | {
            "timeout": httpx2.Timeout(patience.between_tokens, connect=patience.connect)
        }
        found = b""
        try:
            with (
                httpx2.Client(**connection) as client,
                client.stream("GET", f"{self.address}/models") as answer,
            ):
                for piece in answer.iter_bytes():
                    found += piece
                    if len(found) > LONGEST_EVENT or time.monotonic() > deadline:
                        break
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise self.nobody_there() from error
        except httpx2.RequestError as error:
            raise EngineError(
                f"The server at {self.host} did not say which models it has ({_cause(error)})."
            ) from error
        if answer.status_code != 200:
            raise self.refusal(answer.status_code, found)
        try:
            return [str(entry["id"]) for entry in json.loads(found)["data"]]
        except (ValueError, KeyError, TypeError) as error:
            raise self.not_a_server() from error

    def nobody_there(self) -> EngineError:
        return _Hopeless(f"Nobody answers at {self.host}; is the server running, and is the address right?")

    def not_a_server(self) -> EngineError:
        return _Hopeless(
            f"What answers at {self.address} is no OpenAI-compatible server; "
            "expected an address like http://host:8000/v1."
        )

    def refusal(self, status: int, body: bytes) -> EngineError:
        """The sentence for a status that is no success."""
        words = _words(body)
        said = f": {words}" if words else "."
        if status in (401, 403):
            return _Hopeless(
                f"The server at {self.host} wants another API key (status {status}); "
                f"set {KEY_VARIABLES[0]} to one it knows."
            )
        if status == 404 and words and self.model and self.model in words:
            return _Hopeless(f"The server at {self.host} has no model {self.model}: {words}")
        if status in (404, 405):
            return self.not_a_server()
        if status == 413:
            return EngineError(
                f"The photo is too large for the server at {self.host}; try a smaller --max-pixels."
            )
        if status in BUSY:
            return EngineError(f"The server at {self.host} is busy or broken (status {status}){said}")
        return EngineError(f"The server at {self.host} refused the request (status {status}){said}")


class _Hopeless(EngineError):
    """A failure that would meet every other request too."""


class _Again(Exception):
    """A failure that may pass: the sentence for when it does not, and how long the server asked us to wait."""

    def __init__(self, sentence: EngineError, wait: float | None = None) -> None:
        super().__init__(str(sentence))
        self.sentence = sentence
        self.wait = wait


class _Learnt(Exception):
    """The server does not take a field; the next try goes without it."""


class _Dialect:
    """Which optional fields this server takes, learnt from what it refuses."""

    # `repeat_penalty` over the whole text is how llama.cpp and LM Studio call a repetition penalty.
    OPTIONAL = ("logprobs", "top_logprobs", "repetition_penalty", "repeat_penalty", "repeat_last_n")
    OPTIONAL_SAMPLING = ("top_k", "top_p", "seed", "max_tokens")
    UNKNOWN = re.compile(
        r"un(known|recogni[sz]ed|expected|supported)|extra|disabled"
        r"|not (supported|permitted|allowed|available|implemented|enabled)",
        re.IGNORECASE,
    )

    def __init__(self) -> None:
        self.refused: frozenset[str] = frozenset()
        self.alternatives = NUM_ALTERNATIVES

    def fields(self, sampling: Sampling, number: int, penalty: float | None) -> dict[str, Any]:
        """The sampling of request `number`, in the words this server knows."""
        fields: dict[str, Any] = {
            "temperature": sampling.temperature,
            "max_tokens": sampling.max_new_tokens,
            "logprobs": True,
            "top_logprobs": self.alternatives,
        }
        if sampling.temperature > 0:
            fields |= {"top_p": sampling.top_p, "seed": sampling.seed + number}
            fields |= {"top_k": sampling.top_k} if sampling.top_k else {}
        if penalty is not None:
            fields |= {"repetition_penalty": penalty, "repeat_penalty": penalty, "repeat_last_n": -1}
        if "max_tokens" in self.refused:  # OpenAI's newer name
            fields["max_completion_tokens"] = sampling.max_new_tokens
        return {name: value for name, value in fields.items() if name not in self.refused}

    def learn(self, sent: Mapping[str, Any], words: str) -> bool:
        """Whether another try can differ from what was `sent`, after a refusal in these words."""
        named = {
            name
            for name in (*self.OPTIONAL, *self.OPTIONAL_SAMPLING)
            if name in sent and re.search(rf"(?<![a-z_]){name}(?![a-z_])", words)
        }
        about_chances = named & {"logprobs", "top_logprobs"}
        if about_chances:
            fewer = [int(digits) for digits in re.findall(r"(?<![\w.-])\d+(?!\w)", words)]
            fewer = [count for count in fewer if 0 < count < sent["top_logprobs"]]
            if fewer:
                self.alternatives = min(self.alternatives, max(fewer))
                return True
            named |= {"logprobs", "top_logprobs"}  # neither means anything alone
        if not about_chances and not self.UNKNOWN.search(words):
            return False  # the field is known, its value is not liked: that is for the person to hear
        self.refused |= named
        return bool(named)


class _Conversation:
    """All requests of one stream, on an event loop in a thread of their own; `deltas` ends with None."""

    def __init__(
        self, engine: EndpointEngine, requests: Sequence[Request], sampling: Sampling, max_pixels: int
    ) -> None:
        self.engine = engine
        self.requests = requests
        self.sampling = sampling
        self.max_pixels = max_pixels
        self.deltas: queue.SimpleQueue[Delta | None] = queue.SimpleQueue()
        self.failures: dict[int, EngineError] = {}
        self.photos: dict[int, asyncio.Future[bytes]] = {}  # by id: the same photo object is sent as it was
        self.waiting = Counter(id(photo) for request in requests for photo in request.photos)
        self.encoders = ThreadPoolExecutor(min(4, os.cpu_count() or 1))
        self.loop = asyncio.new_event_loop()
        self.task = self.loop.create_task(self._answer_all())
        self.task.add_done_callback(lambda _: self.deltas.put(None))
        self.thread = threading.Thread(target=self._run, name="qinsight-endpoint", daemon=True)

    def start(self) -> None:
        self.thread.start()

    def close(self) -> None:
        """Hang up on whatever is still being answered: a server then stops generating."""
        self.loop.call_soon_threadsafe(self.task.cancel)
        self.thread.join()
        self.encoders.shutdown(cancel_futures=True)
        self.loop.close()

    def raise_failures(self) -> None:
        error = self.task.exception()
        if error is not None:
            raise error
        if self.failures:
            raise RequestsFailed(self.failures, len(self.requests))

    def _run(self) -> None:
        self.loop.run_until_complete(asyncio.wait([self.task]))
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())

    async def _answer_all(self) -> None:
        size = min(self.engine.concurrency, len(self.requests))
        numbers = iter(range(len(self.requests)))
        limits = httpx2.Limits(max_connections=size, max_keepalive_connections=size)
        async with httpx2.AsyncClient(**self.engine.connection(), limits=limits) as client:
            workers = [asyncio.create_task(self._work(client, numbers)) for _ in range(size)]
            try:
                await asyncio.gather(*workers)
            finally:
                for worker in workers:
                    worker.cancel()
                await asyncio.gather(*workers, return_exceptions=True)

    async def _work(self, client: httpx2.AsyncClient, numbers: Iterator[int]) -> None:
        for number in numbers:
            try:
                await self._answer(client, _Reply(number, self.sampling.max_new_tokens))
            except _Hopeless:
                raise
            except EngineError as error:
                self.failures[number] = error
            self._forget_photos(number)

    async def _answer(self, client: httpx2.AsyncClient, reply: "_Reply") -> None:
        """One request, asked until it is answered or out of tries."""
        patience = self.engine.patience
        failed = 0
        while True:
            reply.begin()
            try:
                return await self._try(client, reply)
            except _Learnt:
                continue
            except _Again as trouble:
                failed += 1
                if failed >= patience.tries:
                    raise trouble.sentence from trouble
                wait = trouble.wait
                if wait is None:
                    wait = patience.pause * 2 ** (failed - 1) * random.uniform(0.5, 1.5)
                await asyncio.sleep(min(wait, LONGEST_WAIT))

    async def _try(self, client: httpx2.AsyncClient, reply: "_Reply") -> None:
        engine, patience = self.engine, self.engine.patience
        penalty = self.sampling.repetition_penalty or engine.repetition_penalty
        fields = engine.dialect.fields(self.sampling, reply.number, penalty)
        body = await self._body(self.requests[reply.number], fields)
        headers = {"Content-Type": "application/json", "Content-Length": str(sum(map(len, body)))}
        url = f"{engine.address}/chat/completions"
        try:
            async with (
                asyncio.timeout(patience.first_token) as clock,
                client.stream("POST", url, content=_pieces(body), headers=headers) as answer,
            ):
                del body
                if answer.status_code != 200:
                    self._refuse(answer.status_code, await _read(answer), fields, _retry_after(answer))
                if "text/html" in answer.headers.get("content-type", ""):
                    raise engine.not_a_server()
                async for event in _events(answer):
                    if reply.finished:
                        continue  # read to the end, so that the connection can be used again
                    if event.get("error"):
                        self._refuse(_status(event["error"]), json.dumps(event).encode(), fields)
                    for delta in reply.take(event):
                        self.deltas.put(delta)
                    if reply.tokens > self.sampling.max_new_tokens:
                        break  # hang up on a server that does not stop
                    if reply.begun:
                        wait = AFTER_THE_END if reply.finished else patience.between_tokens
                        clock.reschedule(self.loop.time() + wait)
        except TimeoutError as error:
            if not reply.finished:
                waited, what = patience.first_token, "begin its reply"
                if reply.begun:
                    waited, what = patience.between_tokens, "go on with its reply"
                raise EngineError(
                    f"The server at {engine.host} took longer than {waited:g} seconds to {what}."
                ) from error
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise _Again(engine.nobody_there()) from error
        except httpx2.RequestError as error:
            if not reply.finished:
                raise _Again(self._cut(_cause(error))) from error
        except _Garbage as error:
            if not reply.finished:
                raise _Again(self._cut(str(error))) from error
        if not reply.finished:
            raise _Again(self._cut("the reply has no end"))

    def _cut(self, cause: str) -> EngineError:
        return EngineError(f"The server at {self.engine.host} broke off in the middle of a reply ({cause}).")

    def _refuse(
        self, status: int, body: bytes, fields: Mapping[str, Any], wait: float | None = None
    ) -> NoReturn:
        """Raise what a refusal means: another try, now or later, or the end of the request."""
        refusal = self.engine.refusal(status, body)
        if status in BUSY:
            raise _Again(refusal, wait)
        if status in (400, 422) and self.engine.dialect.learn(fields, _words(body, math.inf)):
            raise _Learnt
        raise refusal

    async def _body(self, request: Request, fields: Mapping[str, Any]) -> list[bytes]:
        """The request as JSON, in pieces: the photos, megabytes of base64, are neither escaped nor copied."""
        messages = build_messages(request.task, reference=request.reference, order=self.engine.order)
        system, user = messages
        parts = [
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PHOTO}"}}
            if part["type"] == "image"
            else part
            for part in user["content"]
        ]
        asked = {
            "model": self.engine.model,
            "messages": [
                {"role": "system", "content": system["content"][0]["text"]},
                {"role": "user", "content": parts},
            ],
            "stream": True,
            **fields,
        }
        words = json.dumps(asked).encode("ascii").split(PHOTO.encode("ascii"))
        body = words[:1]
        for photo, piece in zip(request.photos, words[1:], strict=True):
            body += [await self._photo(photo), piece]
        return body

    async def _photo(self, photo: Image.Image) -> bytes:
        if id(photo) not in self.photos:
            near = _is_near(self.engine.address.host)
            self.photos[id(photo)] = self.loop.run_in_executor(
                self.encoders, encode, photo, self.max_pixels, near
            )
        return await self.photos[id(photo)]

    def _forget_photos(self, number: int) -> None:
        for photo in self.requests[number].photos:
            self.waiting[id(photo)] -= 1
            if not self.waiting[id(photo)]:
                self.photos.pop(id(photo), None)


class _Garbage(Exception):
    """What came is not what a chat server sends."""


class _Reply:
    """One reply as it grows, over several tries if need be: no word is given out twice."""

    def __init__(self, number: int, max_new_tokens: int) -> None:
        self.number = number
        self.max_new_tokens = max_new_tokens
        self.given = ""  # the words handed out, in this try or those before
        self.begin()

    def begin(self) -> None:
        """A new try, from the first word."""
        self.text = ""
        self.tokens = 0
        self.thinking = False
        self.begun = False
        self.finished = False

    def take(self, event: dict[str, Any]) -> list[Delta]:
        """What one event of the server adds."""
        try:
            return list(self._take(event))
        except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
            raise _Garbage(f"an event that is no part of a reply: {json.dumps(event)[:100]}") from error

    def _take(self, event: dict[str, Any]) -> Iterator[Delta]:
        if not event["choices"]:  # the count of tokens, at the end
            return
        choice = event["choices"][0]
        words = self._words_of(choice.get("delta") or {})
        finish = _finish(choice.get("finish_reason"))
        tokens = _tokens(words, (choice.get("logprobs") or {}).get("content") or [])
        if finish and not tokens:
            tokens = [("", 0, [])]
        self.begun = self.begun or bool(tokens)
        for place, (text, count, alternatives) in enumerate(tokens):
            self.tokens += count
            ends = finish if place == len(tokens) - 1 else None
            if self.tokens > self.max_new_tokens:  # the server was asked to stop here and did not
                ends = Finish.LENGTH
            yield from self._give(text, count, alternatives, ends)
            if ends:
                self.finished = True
                return

    def _words_of(self, delta: dict[str, Any]) -> str:
        """The new words; some servers cut the thinking out of the reply, and we put it back."""
        content = delta.get("content") or ""
        thought = delta.get("reasoning_content") or delta.get("reasoning") or ""
        if thought and not self.thinking:
            self.thinking = True
            thought = f"<think>{thought}"
        if content and self.thinking:
            self.thinking = False
            content = f"</think>{content}"
        return str(thought + content)

    def _give(
        self, text: str, count: int, alternatives: list[dict[str, Any]], finish: Finish | None
    ) -> Iterator[Delta]:
        inside = "<answer>" in self.text
        again = len(self.text) < len(self.given)
        self.text += text
        if again:
            self._compare(finish)
            text, count, inside = self.text[len(self.given) :], 0, False
            if not text and not finish:
                return
        self.given += text
        yield Delta(self.number, text, count, _chances(alternatives) if inside else (), finish)

    def _compare(self, finish: Finish | None) -> None:
        """The words of this try against those already given out."""
        known = min(len(self.text), len(self.given))
        if self.text[:known] != self.given[:known] or (finish and known < len(self.given)):
            raise EngineError(
                "The reply was cut, and when asked again the server began a different one; ask again."
            )


def encode(photo: Image.Image, max_pixels: int, near: bool = True) -> bytes:
    """The model's view of the photo as a PNG in base64: every pixel as prepared.

    For a server nearby the PNG is not compressed: at a megapixel that takes 6 ms instead of 75 here, and 2
    instead of 33 to open there, for 3 MB instead of 1.2 (tests/benchmarks/endpoint.py).
    """
    shown = view(photo, max_pixels)
    if shown.mode != "RGB":
        shown = shown.convert("RGB")
    if near:
        return base64.b64encode(_plain_png(shown))
    file = io.BytesIO()
    shown.save(file, "PNG", compress_level=1)
    return base64.b64encode(file.getbuffer())


def _plain_png(photo: Image.Image) -> bytes:
    """Pillow tries five filters on each row even where nothing is compressed; here the rows go as they are."""
    pixels, stride = photo.tobytes(), 3 * photo.width
    rows = b"".join(b"\0" + pixels[start : start + stride] for start in range(0, len(pixels), stride))
    header = struct.pack(">IIBBBBB", photo.width, photo.height, 8, 2, 0, 0, 0)  # 8 bits, RGB
    file = b"\x89PNG\r\n\x1a\n"
    for kind, data in ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 0)), (b"IEND", b"")):
        file += b"".join((struct.pack(">I", len(data)), kind, data))
        file += struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))
    return file


async def _pieces(body: list[bytes]) -> AsyncIterator[bytes]:
    for piece in body:
        yield piece


async def _read(answer: httpx2.Response) -> bytes:
    """The body of a refusal."""
    body = b""
    async for piece in answer.aiter_bytes():
        body += piece
        if len(body) > LONGEST_EVENT:
            break
    return body


async def _events(answer: httpx2.Response) -> AsyncIterator[dict[str, Any]]:
    """The events of a streamed reply. httpx2's own reader does it too, for a sixth more time."""
    rest = b""
    async for piece in answer.aiter_bytes():
        *lines, rest = (rest + piece).split(b"\n")
        if len(rest) > LONGEST_EVENT:
            raise _Garbage("an event without an end")
        for line in lines:
            if not line.startswith(b"data:"):
                continue  # a comment that keeps the connection open, an empty line
            data = line[5:].strip()
            if data == b"[DONE]":
                continue
            try:
                event = json.loads(data)
            except ValueError as error:
                raise _Garbage(f"no JSON: {data[:60].decode('utf-8', 'replace')!r}") from error
            if not isinstance(event, dict):
                raise _Garbage("an event that is no JSON object")
            yield event


def _tokens(words: str, entries: list[dict[str, Any]]) -> list[tuple[str, int, list[dict[str, Any]]]]:
    """(text, tokens, alternatives) of each token that came with one event; one piece where they cannot be told."""
    if not entries:
        return [(words, 1, [])] if words else []
    if len(entries) == 1:
        return [(words, 1, entries[0].get("top_logprobs") or [])]
    found, rest = [], words
    for entry in entries:
        token = str(entry["token"])
        text = token if rest.startswith(token) else ""  # an end marker is no part of the words
        rest = rest[len(text) :]
        found.append((text, 1, entry.get("top_logprobs") or []))
    return [(words, len(entries), [])] if rest else found


def _chances(alternatives: list[dict[str, Any]]) -> tuple[tuple[str, float], ...]:
    """Most likely first; vLLM puts the chosen token first, likely or not."""
    chances = [(str(other["token"]), math.exp(min(0.0, other["logprob"]))) for other in alternatives]
    return tuple(sorted(chances, key=lambda pair: -pair[1])[:NUM_ALTERNATIVES])


def _finish(reason: Any) -> Finish | None:
    if reason is None:
        return None
    if reason in ("stop", "length"):
        return Finish(reason)
    raise _Garbage(f"it ended with {reason!r}")  # "abort" and "error" where a server gives up


def _words(body: bytes, longest: float = 300) -> str:
    """What a server says about a failure, in one line; the ways of OpenAI, FastAPI and plain text."""
    try:
        found = json.loads(body)
    except ValueError:
        found = body.decode("utf-8", "replace")
        if "<html" in found.lower():
            return ""
    for name in ("error", "message", "detail"):
        if isinstance(found, dict):
            found = found.get(name) or found
    words = " ".join((found if isinstance(found, str) else json.dumps(found)).split())
    return words if len(words) <= longest else words[: int(longest) - 1] + "…"


def _status(error: Any) -> int:
    """The status of an error told inside a stream, where vLLM 0.32 tells all it finds after it said 200."""
    code = str(error.get("code")) if isinstance(error, dict) else ""
    return int(code) if re.fullmatch("[45][0-9]{2}", code) else 500


def _cause(error: httpx2.RequestError) -> str:
    return str(error) or type(error).__name__


def _retry_after(answer: httpx2.Response) -> float | None:
    said = answer.headers.get("retry-after", "")
    try:
        return max(0.0, float(said))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(said).timestamp() - time.time())
    except ValueError:
        return None


def _address(url: str) -> httpx2.URL:
    """The address as given, with /v1 where it ends at the host."""
    try:
        address = httpx2.URL(url.strip().rstrip("/"))
    except httpx2.InvalidURL as error:
        raise EngineError(f"Expected an address like http://host:8000/v1, got {url!r}.") from error
    if address.scheme not in ("http", "https") or not address.host:
        raise EngineError(f"Expected an address like http://host:8000/v1, got {url!r}.")
    return address.copy_with(path="/v1") if address.path in ("", "/") else address


def _key(api_key: str | None) -> str | None:
    found = [key for key in (api_key, *map(os.environ.get, KEY_VARIABLES)) if key and key.strip()]
    if not found:
        return None
    key = found[0].strip()
    if not key.isascii() or not key.isprintable():
        raise EngineError("Expected an API key of plain letters, digits and signs; this one has others.")
    return key


def _choose(served: list[str], model: str | None, host: str) -> str:
    names = ", ".join(served[:10]) + (f" and {len(served) - 10} more" if len(served) > 10 else "")
    if not served:
        raise EngineError(f"The server at {host} has no model loaded.")
    if model is None and len(served) > 1:
        raise EngineError(f"The server at {host} has several models, say which with --model: {names}.")
    if model is not None and model not in served:
        raise EngineError(f"The server at {host} has no model {model}; it has {names}.")
    return model or served[0]


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_near(host: str) -> bool:
    """This machine or its network, where megabytes cost less than the time to compress them."""
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return "." not in host


@cache
def _certificates() -> ssl.SSLContext:
    return httpx2.create_ssl_context()  # 20 ms; once is enough
