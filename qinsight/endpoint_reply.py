"""What a chat server sends, read: a reply in a stream of events, or in one piece."""

import json
import math
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

from qinsight.errors import EngineError
from qinsight.requests import NUM_ALTERNATIVES, Delta, Finish

LONGEST_EVENT = 2**20  # bytes; a token with 20 alternatives takes 2,000
LONGEST_REPLY = 2**25  # bytes of one that comes in one piece
ANSWER = "<answer>"
TOKENS_OF_AN_ANSWER = 20  # a rating takes 14; a longer answer is read, too, for a few milliseconds more

_Token = tuple[str, int, list[dict[str, Any]]]  # text, how many tokens it is, alternatives


class Garbage(Exception):
    """What came is not what a chat server sends."""


class Told(Exception):
    """What came is not a reply but the server's word, after it said 200, that there will be none."""

    def __init__(self, said: dict[str, Any]) -> None:
        super().__init__("the server tells of an error")
        self.said = said


class Incoming:
    """One reply as it comes in, over several tries if need be: no word is given out twice."""

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
        """What one event of a stream adds."""
        if event.get("error"):
            raise Told(event)
        try:
            return list(self._take(event))
        except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
            raise Garbage(f"an event that is no part of a reply: {json.dumps(event)[:100]}") from error

    def take_whole(self, body: bytes) -> list[Delta]:
        """What a reply that came in one piece says: the answer token by token, in one delta what stands before."""
        try:
            for found, complete in _readings(body):
                if found.get("error"):
                    raise Told(found)
                choice = found["choices"][0]
                self.thinking = False
                words = self._words_of(choice["message"])
                finish = _finish(choice["finish_reason"])
                entries = (choice.get("logprobs") or {}).get("content") or []
                answer = _last_tokens(words, entries)
                before = words[: len(words) - sum(len(text) for text, _, _ in answer)]
                if complete or ANSWER not in words or len(before) <= words.find(ANSWER):
                    break
            count = (found.get("usage") or {}).get("completion_tokens") or body.count(b'"top_logprobs"') or 1
            tokens = [(before, max(0, count - len(answer)), []), *answer]
            return list(self._take_tokens(tokens, finish))
        except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
            raise Garbage(f"no reply: {_shown(body)}") from error

    def _take(self, event: dict[str, Any]) -> Iterator[Delta]:
        if not event["choices"]:  # the count of tokens, at the end
            return
        choice = event["choices"][0]
        words = self._words_of(choice.get("delta") or {})
        finish = _finish(choice.get("finish_reason"))
        tokens = _tokens(words, (choice.get("logprobs") or {}).get("content") or [])
        if finish and not tokens:
            tokens = [("", 0, [])]
        yield from self._take_tokens(tokens, finish)

    def _take_tokens(self, tokens: list[_Token], finish: Finish | None) -> Iterator[Delta]:
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
        inside = ANSWER in self.text
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


async def events(pieces: AsyncIterator[bytes]) -> AsyncIterator[dict[str, Any]]:
    """The events of a streamed reply. httpx2's own reader does it too, for a sixth more time."""
    rest = b""
    async for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        if len(rest) > LONGEST_EVENT:
            raise Garbage("an event without an end")
        for line in lines:
            if not line.startswith(b"data:"):
                continue  # a comment that keeps the connection open, an empty line
            data = line[5:].strip()
            if data != b"[DONE]":
                yield _object(data)


def _readings(body: bytes) -> Iterator[tuple[dict[str, Any], bool]]:
    """The JSON of a whole reply, and whether it is complete: once with its last tokens only, which most often
    are all of the answer, then complete. To read 20 alternatives beside each of 150 tokens takes 5 ms, beside
    the last 20 less than one. What looks like a key is one: inside a JSON string its quotes would be escaped.
    """
    keys = [key.start() for key in re.finditer(rb'"top_logprobs"\s*:', body)]
    tokens = re.search(rb'"content"\s*:\s*\[\s*', body)
    if tokens and len(keys) > TOKENS_OF_AN_ANSWER:
        cut = body.rfind(b'{"token"', tokens.end(), keys[-TOKENS_OF_AN_ANSWER])
        if cut > 0:
            with suppress(Garbage):  # a server that puts its keys in another order
                yield _object(body[: tokens.end()] + body[cut:]), False
    yield _object(body), True


def _object(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except ValueError as error:
        raise Garbage(f"no JSON: {_shown(data)}") from error
    if not isinstance(found, dict):
        raise Garbage(f"no JSON object: {_shown(data)}")
    return found


def _shown(data: bytes) -> str:
    return repr(data[:60].decode("utf-8", "replace"))


def _tokens(words: str, entries: list[dict[str, Any]]) -> list[_Token]:
    """Each token that came with one event; one piece where they cannot be told apart."""
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


def _last_tokens(words: str, entries: list[dict[str, Any]]) -> list[_Token]:
    """The tokens of the answer, the last of the words, matched from the end; fewer where they do not match."""
    found: list[_Token] = []
    begins = words.find(ANSWER)
    rest = words
    for entry in reversed(entries):
        token = str(entry["token"])
        if begins < 0 or len(rest) <= begins:
            break
        if not rest.endswith(token) and rest != words:
            break
        text = token if rest.endswith(token) else ""  # an end marker is no part of the words
        rest = rest[: len(rest) - len(text)]
        found.append((text, 1, entry.get("top_logprobs") or []))
    return found[::-1]


def _chances(alternatives: list[dict[str, Any]]) -> tuple[tuple[str, float], ...]:
    """Most likely first; vLLM puts the chosen token first, likely or not."""
    chances = [(str(other["token"]), math.exp(min(0.0, other["logprob"]))) for other in alternatives]
    return tuple(sorted(chances, key=lambda pair: -pair[1])[:NUM_ALTERNATIVES])


def _finish(reason: Any) -> Finish | None:
    if reason is None:
        return None
    if reason in ("stop", "length"):
        return Finish(reason)
    raise Garbage(f"it ended with {reason!r}")  # "abort" and "error" where a server gives up
