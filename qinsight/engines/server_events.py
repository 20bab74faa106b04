"""The bytes of a chat server, told apart: a stream of events, one JSON object, or a web page."""

import codecs
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from enum import Enum
from typing import Any

LONGEST_EVENT = 2**20  # bytes; a token with 20 alternatives takes 2,000
TOKENS_OF_AN_ANSWER = 20  # a rating takes 14; a longer answer is read, too, for a few milliseconds more


class Garbage(Exception):
    """What came is not what a chat server sends."""


class Told(Exception):
    """What came is not a reply but the server's word, after it said 200, that there will be none."""

    def __init__(self, said: dict[str, Any]) -> None:
        super().__init__("the server tells of an error")
        self.said = said


class GaveUp(Exception):
    """The server ended the reply itself, for a reason that asking again would meet once more."""


class Kind(Enum):
    """What a body is, told from its first byte: servers send events as JSON, as text and as nothing at all."""

    EVENTS = "events"
    WHOLE = "whole"
    PAGE = "page"


class Body:
    """The pieces of a body, the first of them looked at before the rest is read."""

    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self._pieces = pieces
        self._first = b""

    async def kind(self) -> Kind:
        """Read as far as the first byte that says something. White space keeps a slow reply alive."""
        async for piece in self._pieces:
            self._first += piece
            if len(self._first) < 3 and codecs.BOM_UTF8.startswith(self._first):
                continue
            self._first = self._first.removeprefix(codecs.BOM_UTF8)
            if self._first.strip():
                break
            self._first = self._first[-1:]
        first = self._first.lstrip()[:1]
        return Kind.WHOLE if first in (b"{", b"[") else Kind.PAGE if first == b"<" else Kind.EVENTS

    async def pieces(self) -> AsyncIterator[bytes]:
        """All of it, from the first."""
        yield self._first
        async for piece in self._pieces:
            yield piece

    async def read(self, longest: int) -> bytes:
        """All of it together, no more than a little beyond `longest` bytes."""
        pieces, size = [], 0
        async for piece in self.pieces():
            pieces.append(piece)
            size += len(piece)
            if size > longest:
                break
        return b"".join(pieces)


async def events(pieces: AsyncIterator[bytes]) -> AsyncIterator[dict[str, Any] | None]:
    """The events of a streamed reply, None for its [DONE].

    httpx2's own reader does it too, for a sixth more time, and hands on what is no JSON, or ends no event.
    """
    reader = _Reader()
    rest = b""
    after_return = False
    async for piece in pieces:
        if after_return and piece:  # CR and LF in two pieces are one end of a line
            piece = piece.removeprefix(b"\n")
            after_return = False
        if b"\r" in piece:
            after_return = piece.endswith(b"\r")
            piece = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, rest = (rest + piece).split(b"\n")
        if len(rest) > LONGEST_EVENT:
            raise Garbage("an event without an end")
        for line in lines:
            if (event := reader.quick(line)) is not None:
                yield event
            elif line.startswith((b"data:", b"event:")) or reader.unfinished:
                for event in reader.read(line):
                    yield event
    for line in (rest, b""):
        for event in reader.read(line):
            yield event
    if reader.aside:
        raise Garbage(f"no JSON: {shown(reader.aside)}")


class _Reader:
    """Lines of a stream put together to events. An event is mostly one line; one of several ends at an empty one."""

    def __init__(self) -> None:
        self.unfinished = b""  # lines of data that are no JSON yet
        self.aside = b""  # the last word that is no event: "ping", or why there will be no reply
        self._name = b""

    def quick(self, line: bytes) -> dict[str, Any] | None:
        """The event that one line is, as nearly all are; for any other, see `read`."""
        if self.unfinished or self._name or not line.startswith(b"data: {"):
            return None
        try:
            found: dict[str, Any] = json.loads(line[6:].decode("utf-8", "replace"))
        except (ValueError, RecursionError):
            return None
        return found

    def read(self, line: bytes) -> Iterator[dict[str, Any] | None]:
        if line.startswith(b"event:"):
            self._name = line[6:].strip().lower()
        elif line.startswith(b"data:"):
            yield from self._data(line[5:].strip())
        elif not line and self.unfinished:
            yield from self._event(_json(self.unfinished))
            self.unfinished = b""

    def _data(self, data: bytes) -> Iterator[dict[str, Any] | None]:
        if self.unfinished:
            self.unfinished += b"\n" + data
            if len(self.unfinished) > LONGEST_EVENT:
                raise Garbage("an event without an end")
        elif data[:1] in (b"{", b"["):
            if data.upper() == b"[DONE]":
                yield None
                return
            try:
                found = _json(data)
            except Garbage:
                self.unfinished = data
                return
            yield from self._event(found)
        elif data.strip(b'"').upper() == b"[DONE]":
            yield None
        elif self._name == b"error" and data:
            raise Told({"error": data.decode("utf-8", "replace")})
        else:
            self._name = b""
            self.aside = self.aside if _ALIVE.fullmatch(data) else data

    def _event(self, found: Any) -> Iterator[dict[str, Any]]:
        if not isinstance(found, dict):
            raise Garbage(f"no JSON object: {shown(json.dumps(found).encode())}")
        if self._name == b"error":
            raise Told(found if found.get("error") else {"error": found})
        self._name = b""
        yield found


_ALIVE = re.compile(rb'(?i)"?(ping|pong|keep[-_ ]?alive|heartbeat|null|:.*|)"?')


def readings(body: bytes) -> Iterator[tuple[dict[str, Any], bool]]:
    """The JSON of a whole reply, and whether it is complete: once with its last tokens only, which most often
    are all of the answer, then complete. To read 20 alternatives beside each of 150 tokens takes 5 ms, beside
    the last 20 less than one. What looks like a key is one: inside a JSON string its quotes would be escaped.
    """
    keys = [key.start() for key in re.finditer(rb'"top_logprobs"\s*:', body)]
    tokens = re.search(rb'"content"\s*:\s*\[\s*(?=\{\s*"token"\s*:)', body)
    if tokens and len(keys) > TOKENS_OF_AN_ANSWER:
        cut = body.rfind(b'{"token"', tokens.end(), keys[-TOKENS_OF_AN_ANSWER])
        if cut > 0:
            with suppress(Garbage):  # a server that puts its keys in another order
                yield _object(body[: tokens.end()] + body[cut:]), False
    yield _object(body), True


def _object(data: bytes) -> dict[str, Any]:
    found = _json(data)
    if not isinstance(found, dict):
        raise Garbage(f"no JSON object: {shown(data)}")
    return found


def _json(data: bytes) -> Any:
    """What is no UTF-8 is half a character of a token, for the answer of no account."""
    try:
        return json.loads(data.decode("utf-8", "replace"))
    except (ValueError, RecursionError) as error:
        raise Garbage(f"no JSON: {shown(data)}") from error


def shown(data: bytes) -> str:
    """The beginning of what is no reply, for a sentence."""
    return repr(data[:60].decode("utf-8", "replace"))
