"""Asking a model behind an OpenAI-compatible chat server: vLLM, SGLang, llama.cpp, LM Studio, `transformers serve`.

Failures. A server that is busy, broken or gone is asked again, with growing pauses. When a reply was cut after
some of it was given out, the second try must begin with the same words, which are then skipped, or the
request fails: nobody is told two stories. One failed request costs the others nothing: they are answered to the
end, and only then `RequestsFailed` says which failed and why. What would meet every request alike (nobody
there, a wrong key, no such model) ends the stream at once.
"""

import asyncio
import contextlib
import json
import os
import queue
import random
import re
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, NoReturn, cast

import httpx2
from PIL import Image

from qinsight.engines.checkpoint import read_json
from qinsight.engines.png import encode
from qinsight.engines.server_dialect import Dialect
from qinsight.engines.server_events import LONGEST_EVENT, Body, Garbage, GaveUp, Kind, Told, events
from qinsight.engines.server_link import (
    BUSY,
    MOST_MOVES,
    WHOLE_TEXT,
    Hopeless,
    Patience,
    Served,
    Server,
    choose,
    said_in,
)
from qinsight.engines.server_reply import LONGEST_REPLY, Incoming
from qinsight.engines.server_turns import Turn, Turns
from qinsight.errors import EngineError, RequestFailed, Stopped
from qinsight.photos.view import view_size
from qinsight.prompts import KNOWN_BEFORE, Order, build_messages
from qinsight.requests import GREEDY, MAX_PIXELS, About, Delta, Request, Sampling
from qinsight.sentence import Sentence

PATIENCE = Patience()
CHAT = "/chat/completions"
LONGEST_WAIT = 60.0  # seconds; more than that is a refusal
AFTER_THE_END = 1.0  # seconds a server may take to close a finished reply
PIECE = 2**20  # bytes handed to a connection at a time; what it cannot send at once it copies
PHOTO = "@@photo@@"  # where the bytes of a photo go in a request already written as JSON


class RequestsFailed(RequestFailed):
    """Some requests failed, all others were answered; `failures` says why, by the request's number."""

    def __init__(self, failures: Mapping[int, EngineError], asked: int) -> None:
        first = failures[min(failures)].sentence
        if asked > 1:
            first = Sentence(
                "{count} of {asked} replies failed: {first}", count=len(failures), asked=asked, first=first
            )
        super().__init__(first)
        self.failures = dict(failures)


class EndpointEngine:
    """One model of one server. Streams may run side by side, each with `concurrency` requests at a time."""

    def __init__(
        self,
        server: Server,
        concurrency: int,
        order: Order,
        max_pixels: int,
        repetition_penalty: float | None,
    ) -> None:
        self.server = server
        self.concurrency = concurrency
        self.order = order
        self.repetition_penalty = repetition_penalty
        self.slots = 0  # questions the server answers at a time, 0 where it does not say
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
        patience: Patience = PATIENCE,
        order: Order = Order.QUESTION_FIRST,
        max_pixels: int = MAX_PIXELS,
        repetition_penalty: float | None = None,
    ) -> "EndpointEngine":
        """Ask the server what it serves; `EngineError` if it is not there or wants another key.

        `model` may be left out where there is only one. `api_key` comes from QINSIGHT_API_KEY, else
        OPENAI_API_KEY. `order` cannot be read from a server: checkpoints trained here want PHOTO_FIRST.
        `repetition_penalty` None is the checkpoint's own where we see its folder, and else left to the server.
        """
        if concurrency < 1:
            raise ValueError(f"expected at least 1 request at a time, got {concurrency}")
        server = Server(url, api_key, patience)
        with server.client() as client:
            models = server.served(client, model is not None)
            server.model = choose(models, model, server.host)
            chosen = next((served for served in models if server.model in served.names), Served(("",)))
            slots = 0 if chosen.owner in WHOLE_TEXT else server.slots(client)
        if repetition_penalty is None:
            repetition_penalty = _penalty_of(model, chosen.root if server.is_here else None)
        engine = cls(server, concurrency, order, max_pixels, repetition_penalty)
        engine.dialect = Dialect(whole_text=chosen.owner in WHOLE_TEXT)
        engine.slots = slots
        return engine

    @property
    def address(self) -> httpx2.URL:
        return self.server.address

    @property
    def about(self) -> About:
        refused = ", ".join(sorted(self.dialect.refused))
        return About(
            name=self.server.model,
            tasks=KNOWN_BEFORE,
            precision="server",
            device=self.server.host,
            max_pixels=self._max_pixels,
            in_flight=min(self.concurrency, self.slots or self.concurrency),
            details={"refused by the server": refused} if refused else {},
            made_with={"engine": "server", "order": str(self.order)},
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
            line = self._line = self._line or _Line(self.server.connection(), self.slots)
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


class _Again(Exception):
    """A failure that may pass: the sentence for when it does not, and how long the server asked us to wait."""

    def __init__(self, sentence: EngineError, wait: float | None = None) -> None:
        super().__init__(str(sentence))
        self.sentence = sentence
        self.wait = wait


class _Learnt(Exception):
    """The server does not take a field; the next try goes without it."""


class _Moved(Exception):
    """The server wants to be asked elsewhere."""


class _Line:
    """An event loop in a thread of its own and connections to one server, while any stream needs them."""

    def __init__(self, connection: dict[str, Any], slots: int) -> None:
        self.turns = Turns(slots)
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
                except Hopeless:
                    raise
                except EngineError as error:
                    self.failures[number] = error
                self._forget_photos(number)

    async def _answer(self, client: httpx2.AsyncClient, reply: Incoming) -> None:
        """One request, asked until it is answered or out of tries."""
        patience = self.engine.server.patience
        failed = 0
        while True:
            reply.begin()
            try:
                # a proxy may have hung up on a reply that was long in coming: the next try is a stream
                return await self._try(client, reply, streamed=self.watched or failed > 0)
            except _Learnt:
                continue
            except _Moved:
                reply.moves += 1
                if reply.moves > MOST_MOVES:
                    raise self.engine.server.circle() from None
            except _Again as trouble:
                failed += 1
                if failed >= patience.tries:
                    raise trouble.sentence from trouble
                wait = trouble.wait
                if wait is None:
                    wait = patience.pause * 2 ** (failed - 1) * random.uniform(0.5, 1.5)
                await asyncio.sleep(min(wait, LONGEST_WAIT))

    async def _try(self, client: httpx2.AsyncClient, reply: Incoming, streamed: bool) -> None:
        engine, request = self.engine, self.requests[reply.number]
        server, patience = engine.server, engine.server.patience
        penalty = self.sampling.repetition_penalty or engine.repetition_penalty
        seed = self.sampling.seed + reply.number
        async with self.line.turns.take() as turn:
            fields = engine.dialect.fields(self.sampling, seed, penalty, request.odds)
            body = await self._body(request, {"stream": streamed, **fields})
            if streamed:
                turn.owes(patience.first_token, Sentence("begin its reply"))
            else:
                turn.owes(patience.whole_reply, Sentence("answer"))
            try:
                async with turn.limit, self._post(client, body) as answer:
                    del body
                    if answer.status_code != 200:
                        await self._refused(answer, fields, reply.moves)
                    await self._read(answer, reply, turn)
            except TimeoutError as error:
                if not reply.finished:
                    raise EngineError(
                        "The server at {host} took longer than {seconds:g} seconds to {what}.",
                        host=server.host,
                        seconds=turn.wait,
                        what=turn.what,
                    ) from error
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                raise _Again(server.nobody_there()) from error
            except httpx2.RequestError as error:
                if not reply.finished:
                    raise _Again(self._cut(server.cause(error))) from error
            except Told as told:
                self._refuse(_status(told.said), json.dumps(told.said).encode(), fields)
            except GaveUp as reason:
                raise EngineError(
                    "The server at {host} gave the reply up ({reason}).", host=server.host, reason=reason
                ) from reason
            except Garbage as error:
                if not reply.finished:
                    raise _Again(self._cut(str(error))) from error
        if not reply.finished:
            raise _Again(
                self._cut(server.words(reply.remark.encode(), 100) or Sentence("the reply has no end"))
            )

    def _post(
        self, client: httpx2.AsyncClient, body: list[bytes]
    ) -> contextlib.AbstractAsyncContextManager[httpx2.Response]:
        headers = {"Content-Type": "application/json", "Content-Length": str(sum(map(len, body)))}
        return client.stream("POST", self.engine.server.url(CHAT), content=_pieces(body), headers=headers)

    async def _read(self, answer: httpx2.Response, reply: Incoming, turn: Turn) -> None:
        """The reply as it comes, in a stream or in one piece, whatever we asked for."""
        body = Body(answer.aiter_bytes())
        kind = await body.kind()
        if kind is Kind.PAGE:
            raise self.engine.server.not_a_server()
        if kind is Kind.WHOLE:
            self.deltas.put(reply.take_whole(await body.read(LONGEST_REPLY)))
            turn.heard()
            return
        between = self.engine.server.patience.between_tokens
        async for event in events(body.pieces()):
            if reply.finished:
                continue  # read to the end, so that the connection can be used again
            before = reply.tokens
            if deltas := reply.take(event):
                self.deltas.put(deltas)
            if deltas or reply.tokens > before:  # or words that were given out in a try before
                turn.heard()
            if reply.tokens > self.sampling.max_new_tokens:
                break  # hang up on a server that does not stop
            if reply.begun:
                turn.owes(AFTER_THE_END if reply.finished else between, Sentence("go on with its reply"))

    def _cut(self, cause: str) -> EngineError:
        return EngineError(
            "The server at {host} broke off in the middle of a reply ({cause}).",
            host=self.engine.server.host,
            cause=cause,
        )

    async def _refused(self, answer: httpx2.Response, fields: Mapping[str, Any], moves: int) -> NoReturn:
        if self.engine.server.moved(CHAT, answer, moves):
            raise _Moved
        words = await Body(answer.aiter_bytes()).read(LONGEST_EVENT)
        self._refuse(answer.status_code, words, fields, _retry_after(answer))

    def _refuse(
        self, status: int, body: bytes, fields: Mapping[str, Any], wait: float | None = None
    ) -> NoReturn:
        """Raise what a refusal means: another try, now or later, or the end of the request."""
        refusal = self.engine.server.refusal(status, body)
        if status in (400, 422, 500, 501) and self.engine.dialect.learn(fields, said_in(body)):
            raise _Learnt
        if status in BUSY:
            raise _Again(refusal, wait)
        raise refusal

    async def _body(self, request: Request, fields: Mapping[str, Any]) -> list[bytes]:
        """The request as JSON, in pieces: the photos, megabytes of base64, are neither escaped nor copied."""
        order = self.engine.order.other if request.other_order else self.engine.order
        messages = build_messages(request.task, reference=request.reference, order=order)
        system, user = messages
        parts = [
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PHOTO}"}}
            if part["type"] == "image"
            else part
            for part in user["content"]
        ]
        asked = {
            "model": self.engine.server.model,
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
            near = self.engine.server.is_near
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


def _status(said: dict[str, Any]) -> int:
    """The status of an error told inside a reply, where vLLM 0.32 tells all it finds after it said 200."""
    places = [place for place in (said["error"], said) if isinstance(place, dict)]
    codes = [place.get(name) for place in places for name in ("code", "status", "status_code", "error_code")]
    told = next((str(code) for code in codes if re.fullmatch("[45][0-9]{2}", str(code))), None)
    if told:
        return int(told)
    return 400 if any(_WRONG.search(f"{place.get('code')} {place.get('type')}") for place in places) else 500


_WRONG = re.compile(
    "invalid|bad_?request|not_?found|unsupported|context_length|content_|polic", re.IGNORECASE
)


def _penalty_of(*folders: str | None) -> float | None:
    """The repetition penalty of a checkpoint, where its folder is on this disk."""
    for folder in folders:
        if folder and (file := Path(folder) / "generation_config.json").is_file():
            penalty = read_json(file).get("repetition_penalty") or 1.0
            return float(penalty) if isinstance(penalty, int | float) else None
    return None


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
