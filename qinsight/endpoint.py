"""Asking a model behind an OpenAI-compatible chat server: vLLM, SGLang, llama.cpp, LM Studio, `transformers serve`.

Failures. A server that is busy, broken or gone is asked again, with growing pauses. When a reply was cut after
some of it was given out, the second try must begin with the same words, which are then skipped, or the
request fails: nobody is told two stories. One failed request costs the others nothing: they are answered to the
end, and only then `RequestsFailed` says which failed and why. What would meet every request alike (nobody
there, a wrong key, no such model) ends the stream at once.
"""

import asyncio
import contextlib
import ipaddress
import json
import math
import os
import queue
import random
import re
import ssl
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any, NoReturn, cast

import httpx2
from PIL import Image

from qinsight.endpoint_dialect import Dialect
from qinsight.endpoint_reply import LONGEST_EVENT, LONGEST_REPLY, Garbage, Incoming, Told, events
from qinsight.errors import EngineError, RequestFailed, Stopped
from qinsight.png import encode
from qinsight.prompts import Order, Task, build_messages
from qinsight.requests import MAX_PIXELS, About, Delta, Request, Sampling
from qinsight.views import view_size

GREEDY = Sampling()
KEY_VARIABLES = ("QINSIGHT_API_KEY", "OPENAI_API_KEY")
BUSY = {408, 409, 425, 429, 500, 502, 503, 504, 529}  # worth another try
LONGEST_WAIT = 60.0  # seconds; more than that is a refusal
AFTER_THE_END = 1.0  # seconds a server may take to close a finished reply
PIECE = 2**20  # bytes handed to a connection at a time; what it cannot send at once it copies
PHOTO = "@@photo@@"  # where the bytes of a photo go in a request already written as JSON


@dataclass(frozen=True)
class Patience:
    """How long to wait for a server, in seconds, and how often to ask it.

    `pause` is the wait before the second try; it doubles with each, and a server's own Retry-After goes first.
    """

    connect: float = 10.0
    first_token: float = 300.0  # a busy server reads other people's photos first
    between_tokens: float = 60.0
    whole_reply: float = 900.0  # where it comes in one piece
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
        self.dialect = Dialect()
        self._max_pixels = max_pixels
        self._line: _Line | None = None
        self._streams = 0  # on the line
        self._lock = threading.Lock()

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
        engine.model = _choose(engine._served(model is not None), model, engine.host)
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
            in_flight=self.concurrency,
            details={"refused by the server": refused} if refused else {},
        )

    def stream(
        self,
        requests: Sequence[Request],
        sampling: Sampling = GREEDY,
        *,
        max_pixels: int | None = None,
        stop: threading.Event | None = None,
        watched: bool = True,
    ) -> Iterator[Delta]:
        """See `qinsight.requests.Engine.stream`, and above for what happens to requests that fail.

        A reply that nobody has `watched` comes in one piece, which costs this machine a tenth of reading 150
        tokens with their alternatives one by one (tests/benchmarks/endpoint.py).
        """
        stop = stop or threading.Event()
        limit = self._max_pixels if max_pixels is None else max_pixels
        for request in requests:  # a photo that cannot be shown is refused before anything is sent
            for photo in request.photos:
                view_size(*photo.size, limit)
        with self._open_line() as line:
            conversation = _Conversation(self, line, requests, sampling, limit, stop, watched)
            conversation.start()
            try:
                while (deltas := conversation.next_deltas()) is not None:
                    for delta in deltas:
                        if stop.is_set():
                            raise Stopped("Stopped.")
                        yield delta
            finally:
                conversation.close()
        if stop.is_set():
            raise Stopped("Stopped.")
        conversation.raise_failures()

    @contextlib.contextmanager
    def _open_line(self) -> Iterator["_Line"]:
        """The line that all streams of this moment share."""
        with self._lock:
            line = self._line = self._line or _Line(self.connection())
            self._streams += 1
        try:
            yield line
        finally:
            with self._lock:
                self._streams -= 1
                last = self._streams == 0
                if last:
                    self._line = None
            if last:
                line.close()

    def connection(self) -> dict[str, Any]:
        """What every HTTP client of this engine is made with. A proxy is not asked for this very machine."""
        return {
            "headers": self.headers,
            "verify": _certificates(),
            "timeout": httpx2.Timeout(None, connect=self.patience.connect),
            "trust_env": not _is_here(self.address.host),
        }

    def _served(self, named: bool) -> list[str]:
        """The names of the models the server tells of, which may be none where we have a name already."""
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
        if named and answer.status_code >= 500:
            return []  # `transformers serve` lists what was ever downloaded, and breaks where nothing was
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


class _Line:
    """An event loop in a thread of its own and connections to one server, while any stream needs them."""

    def __init__(self, connection: dict[str, Any]) -> None:
        self.loop = asyncio.new_event_loop()
        self.encoders = ThreadPoolExecutor(min(4, os.cpu_count() or 1))
        self.conversations: set[_Conversation] = set()
        self._connection = connection
        self._clients: list[httpx2.AsyncClient] = []  # those that nobody uses now
        self._over = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="qinsight-endpoint", daemon=True)
        self._thread.start()

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[httpx2.AsyncClient]:
        """A client with a connection of its own: one with 64 looks through all of them for each request."""
        client = self._clients.pop() if self._clients else httpx2.AsyncClient(**self._connection)
        try:
            yield client
        finally:
            self._clients.append(client)

    def close(self) -> None:
        """Hang up on whatever is still being answered."""
        self.loop.call_soon_threadsafe(self._over.set)
        self._thread.join()
        self.encoders.shutdown(cancel_futures=True)
        self.loop.close()

    def _run(self) -> None:
        self.loop.run_until_complete(self._watch())
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())

    async def _watch(self) -> None:
        """Cancel what is to stop, twenty times a second, until the line is closed."""
        while not self._over.is_set():
            for conversation in self.conversations:
                if conversation.stop.is_set() and not conversation.task.cancelling():
                    conversation.task.cancel()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.05):
                    await self._over.wait()
        tasks = [conversation.task for conversation in self.conversations]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for client in self._clients:
            await client.aclose()


class _Conversation:
    """All requests of one stream, answered on a line; `next_deltas` ends with None."""

    task: asyncio.Task[None]

    def __init__(
        self,
        engine: EndpointEngine,
        line: _Line,
        requests: Sequence[Request],
        sampling: Sampling,
        max_pixels: int,
        stop: threading.Event,
        watched: bool,
    ) -> None:
        self.engine = engine
        self.line = line
        self.requests = requests
        self.sampling = sampling
        self.max_pixels = max_pixels
        self.stop = stop
        self.watched = watched
        self.deltas: queue.SimpleQueue[list[Delta] | None] = queue.SimpleQueue()
        self.failures: dict[int, EngineError] = {}
        self.photos: dict[int, asyncio.Future[bytes]] = {}  # by id: the same photo object is sent as it was
        self.waiting = Counter(id(photo) for request in requests for photo in request.photos)

    def start(self) -> None:
        self.line.loop.call_soon_threadsafe(self._begin)

    def next_deltas(self) -> list[Delta] | None:
        while True:  # a wait without an end would not hear Ctrl-C on Windows
            with contextlib.suppress(queue.Empty):
                return self.deltas.get(timeout=0.5)

    def close(self) -> None:
        """Hang up on whatever is still being answered: a server then stops generating."""
        self.line.loop.call_soon_threadsafe(lambda: self.task.cancel())

    def raise_failures(self) -> None:
        error = self.task.exception()
        if error is not None:
            raise error
        if self.failures:
            raise RequestsFailed(self.failures, len(self.requests))

    def _begin(self) -> None:
        self.task = self.line.loop.create_task(self._answer_all())
        self.line.conversations.add(self)
        self.task.add_done_callback(self._end)

    def _end(self, _: asyncio.Task[None]) -> None:
        self.line.conversations.discard(self)
        self.deltas.put(None)

    async def _answer_all(self) -> None:
        numbers = iter(range(len(self.requests)))
        size = min(self.engine.concurrency, len(self.requests))
        workers = [asyncio.create_task(self._work(numbers)) for _ in range(size)]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    async def _work(self, numbers: Iterator[int]) -> None:
        async with self.line.client() as client:
            for number in numbers:
                try:
                    await self._answer(client, Incoming(number, self.sampling.max_new_tokens))
                except _Hopeless:
                    raise
                except EngineError as error:
                    self.failures[number] = error
                self._forget_photos(number)

    async def _answer(self, client: httpx2.AsyncClient, reply: Incoming) -> None:
        """One request, asked until it is answered or out of tries."""
        patience = self.engine.patience
        failed = 0
        while True:
            reply.begin()
            try:
                # a proxy may have hung up on a reply that was long in coming: the next try is a stream
                return await self._try(client, reply, streamed=self.watched or failed > 0)
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

    async def _try(self, client: httpx2.AsyncClient, reply: Incoming, streamed: bool) -> None:
        engine, patience, request = self.engine, self.engine.patience, self.requests[reply.number]
        penalty = self.sampling.repetition_penalty or engine.repetition_penalty
        seed = self.sampling.seed + reply.number
        fields = engine.dialect.fields(self.sampling, seed, penalty, request.odds)
        body = await self._body(request, {"stream": streamed, **fields})
        headers = {"Content-Type": "application/json", "Content-Length": str(sum(map(len, body)))}
        url = f"{engine.address}/chat/completions"
        wait, what = patience.whole_reply, "answer"
        if streamed:
            wait, what = patience.first_token, "begin its reply"
        try:
            async with (
                asyncio.timeout(wait) as clock,
                client.stream("POST", url, content=_pieces(body), headers=headers) as answer,
            ):
                del body
                kind = answer.headers.get("content-type", "")
                if answer.status_code != 200:
                    words = await _read(answer, LONGEST_EVENT)
                    self._refuse(answer.status_code, words, fields, _retry_after(answer))
                if "text/html" in kind:
                    raise engine.not_a_server()
                if "application/json" in kind:  # in one piece, whatever we asked for
                    self.deltas.put(reply.take_whole(await _read(answer, LONGEST_REPLY)))
                    return
                async for event in events(answer.aiter_bytes()):
                    if reply.finished:
                        continue  # read to the end, so that the connection can be used again
                    if deltas := reply.take(event):
                        self.deltas.put(deltas)
                    if reply.tokens > self.sampling.max_new_tokens:
                        break  # hang up on a server that does not stop
                    if reply.begun:
                        wait, what = patience.between_tokens, "go on with its reply"
                        clock.reschedule(self.line.loop.time() + (AFTER_THE_END if reply.finished else wait))
        except TimeoutError as error:
            if not reply.finished:
                raise EngineError(
                    f"The server at {engine.host} took longer than {wait:g} seconds to {what}."
                ) from error
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise _Again(engine.nobody_there()) from error
        except httpx2.RequestError as error:
            if not reply.finished:
                raise _Again(self._cut(_cause(error))) from error
        except Told as told:
            self._refuse(_status(told.said["error"]), json.dumps(told.said).encode(), fields)
        except Garbage as error:
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
            self.photos[id(photo)] = self.line.loop.run_in_executor(
                self.line.encoders, encode, photo, self.max_pixels, near
            )
        return await self.photos[id(photo)]

    def _forget_photos(self, number: int) -> None:
        for photo in self.requests[number].photos:
            self.waiting[id(photo)] -= 1
            if not self.waiting[id(photo)]:
                self.photos.pop(id(photo), None)


async def _pieces(body: list[bytes]) -> AsyncIterator[bytes]:
    for part in body:
        for start in range(0, len(part), PIECE):
            yield cast(bytes, memoryview(part)[start : start + PIECE])  # not copied


async def _read(answer: httpx2.Response, longest: int) -> bytes:
    """The body of a reply or a refusal that comes in one piece, no more than a little beyond `longest` bytes."""
    pieces, size = [], 0
    async for piece in answer.aiter_bytes():
        pieces.append(piece)
        size += len(piece)
        if size > longest:
            break
    return b"".join(pieces)


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
    """The one model to ask. A server that lists none, as `transformers serve` may, is asked for it by name."""
    names = ", ".join(served[:10]) + (f" and {len(served) - 10} more" if len(served) > 10 else "")
    if model is None and not served:
        raise EngineError(f"The server at {host} lists no model; say which one to ask with --model.")
    if model is None and len(served) > 1:
        raise EngineError(f"The server at {host} has several models, say which with --model: {names}.")
    if model is not None and served and model not in served:
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
