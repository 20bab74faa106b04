"""What a chat server says, read: the words of a reply, why it ended, and the chances beside its tokens.

Whatever stands beside a complete reply never costs the reply: chances that are no numbers are left out, parts
and fields that nobody knows are passed over.
"""

import json
import math
import re
from collections.abc import Iterator
from typing import Any

from qinsight.engines.server_events import Garbage, GaveUp, Told, readings, shown
from qinsight.errors import EngineError
from qinsight.requests import NUM_ALTERNATIVES, Delta, Finish

LONGEST_REPLY = 2**25  # bytes of one that comes in one piece
ANSWER = "<answer>"

_Token = tuple[str, int, dict[str, Any]]  # text, how many tokens it is, the entry with its alternatives
_BROKEN = (KeyError, TypeError, AttributeError, ValueError, IndexError)


class Incoming:
    """One reply as it comes in, over several tries if need be: no word is given out twice."""

    def __init__(self, number: int, max_new_tokens: int) -> None:
        self.number = number
        self.max_new_tokens = max_new_tokens
        self.given = ""  # the words handed out, in this try or those before
        self.moves = 0  # how often the server sent the question on
        self.begin()

    def begin(self) -> None:
        """A new try, from the first word."""
        self.text = ""
        self.tokens = 0
        self.thinking = False
        self.begun = False
        self.finished = False
        self.remark = ""  # what the server said that was no part of the reply

    def take(self, event: dict[str, Any] | None) -> list[Delta]:
        """What one event of a stream adds; None is its [DONE], which ends a reply that nothing else has ended."""
        if event is None:
            return list(self._take_tokens([("", 0, {})], self._unexplained(self.text))) if self.begun else []
        _raise_error(event)
        try:
            return list(self._take(event))
        except _BROKEN as error:
            raise Garbage(f"an event that is no part of a reply: {json.dumps(event)[:100]}") from error

    def take_whole(self, body: bytes) -> list[Delta]:
        """What a reply that came in one piece says: the answer token by token, in one delta what stands before."""
        try:
            for found, complete in readings(body):
                _raise_error(found)
                if not found.get("choices") and (told := found.get("detail") or found.get("message")):
                    raise Told({"error": told})
                choice = found["choices"][0]
                _raise_error(choice)
                self.thinking = False
                words = self._words_of(_said(choice))
                entries = _entries(choice)
                answer = _last_tokens(words, entries)
                before = words[: len(words) - sum(len(text) for text, _, _ in answer)]
                if complete or ANSWER not in words or len(before) <= words.find(ANSWER):
                    break
            count = _count(found) or body.count(b'"top_logprobs"') or 1
            finish = self._finish(choice, words)
            if finish is None and not words:
                raise Garbage(f"no reply: {shown(body)}")
            tokens = [(before, max(0, count - len(answer)), {}), *answer]
            return list(self._take_tokens(tokens, finish or self._unexplained(words, count)))
        except _BROKEN as error:
            raise Garbage(f"no reply: {shown(body)}") from error

    def _take(self, event: dict[str, Any]) -> Iterator[Delta]:
        if not event.get("choices"):  # the count of tokens, at the end; a ping; how far it is
            self.remark = str(event.get("message") or event.get("detail") or self.remark)
            return
        choice = event["choices"][0]
        if choice is None:
            return
        _raise_error(choice)
        words = self._words_of(_said(choice))
        if choice.get("finish_reason") and not choice.get("delta") and self.text:
            words = words.removeprefix(self.text)  # all of it once more, at the end
        finish = self._finish(choice, self.text + words)
        tokens = _tokens(words, _entries(choice))
        if finish and not tokens:
            tokens = [("", 0, {})]
        yield from self._take_tokens(tokens, finish)

    def _take_tokens(self, tokens: list[_Token], finish: Finish | None) -> Iterator[Delta]:
        self.begun = self.begun or bool(tokens)
        for place, (text, count, entry) in enumerate(tokens):
            self.tokens += count
            ends = finish if place == len(tokens) - 1 else None
            if self.tokens > self.max_new_tokens:  # the server was asked to stop here and did not
                ends = Finish.LENGTH
            yield from self._give(text, count, entry, ends)
            if ends:
                self.finished = True
                return

    def _finish(self, choice: dict[str, Any], text: str) -> Finish | None:
        """Why the reply ended, None where it did not or nobody says so; `GaveUp` where that is no end."""
        if choice.get("finish_reason") is None and "finish_details" not in choice:
            return None
        reason = _reason(choice.get("finish_reason")) or _reason(choice.get("finish_details"))
        if reason in _GOES_ON:
            return None
        if _FAILED.search(reason):
            raise GaveUp(reason)
        if _CUT.search(reason):
            return Finish.LENGTH
        return Finish.STOP if _COMPLETE.search(reason) else self._unexplained(text)

    def _unexplained(self, text: str, tokens: int = 0) -> Finish:
        """For an end without a reason that we know: an answer that was begun must have been finished."""
        cut = text.rfind(ANSWER) > text.rfind("</answer>")
        full = max(self.tokens, tokens) >= self.max_new_tokens
        return Finish.LENGTH if cut or full else Finish.STOP

    def _words_of(self, said: Any) -> str:
        """The new words; some servers cut the thinking out of the reply, and we put it back."""
        if isinstance(said, str):
            said = {"content": said}
        content = said.get("content")
        if content and isinstance(content, str) and not self.thinking and said.keys() <= _PLAIN_MESSAGE:
            return content
        thought = next((found for name in _THOUGHT if (found := _plain(said.get(name)))), "")
        pieces = [(True, thought), *_parts(content)]
        if not any(text for _, text in pieces):
            pieces = [(False, _plain(said.get("refusal")))]
        words = ""
        for thinking, text in pieces:
            if text and thinking != self.thinking:
                self.thinking = thinking
                words += "<think>" if thinking else "</think>"
            words += text
        return words

    def _give(self, text: str, count: int, entry: dict[str, Any], finish: Finish | None) -> Iterator[Delta]:
        inside = ANSWER in self.text
        again = len(self.text) < len(self.given)
        self.text += text
        if again:
            self._compare(finish)
            text, count, inside = self.text[len(self.given) :], 0, False
            if not text and not finish:
                return
        self.given += text
        yield Delta(self.number, text, count, _chances(entry) if inside else (), finish)

    def _compare(self, finish: Finish | None) -> None:
        """The words of this try against those already given out."""
        known = min(len(self.text), len(self.given))
        if self.text[:known] != self.given[:known] or (finish and known < len(self.given)):
            raise EngineError(
                "The reply was cut, and when asked again the server began a different one; ask again."
            )


def _raise_error(said: dict[str, Any]) -> None:
    if said.get("error"):
        raise Told(said)
    if "error" in (said.get("object"), said.get("type")) or said.get("error_code"):
        raise Told({"error": said})


def _count(found: dict[str, Any]) -> int:
    usage = found.get("usage")
    count = usage.get("completion_tokens") if isinstance(usage, dict) else 0
    return count if isinstance(count, int) else 0


# --- the words ----------------------------------------------------------------------------------------------------

_THOUGHT = ("reasoning_content", "reasoning", "thinking", "reasoning_details")
_PLAIN_MESSAGE = {"role", "content"}  # nearly every one
_TEXT = ("text", "content", "thinking", "reasoning", "summary", "value", "refusal")


def _said(choice: dict[str, Any]) -> Any:
    return choice.get("delta") or choice.get("message") or choice.get("text") or {}


def _parts(content: Any) -> list[tuple[bool, str]]:
    """The pieces of a content, and whether each is thinking: a string, or parts of which some are texts."""
    if isinstance(content, str):
        return [(False, content)]
    parts = content if isinstance(content, list) else [content]
    return [(_is_thinking(part), _plain(part)) for part in parts if _is_words(part)]


def _is_thinking(part: Any) -> bool:
    return isinstance(part, dict) and (
        part.get("thought") is True or bool(re.search("think|reason", str(part.get("type"))))
    )


def _is_words(part: Any) -> bool:
    if not isinstance(part, dict):
        return isinstance(part, str)
    kind = str(part.get("type") or "text")
    return _is_thinking(part) or "text" in kind or kind == "refusal"


def _plain(said: Any) -> str:
    """The text of a string, of parts, or of what lies in a part."""
    if isinstance(said, str):
        return said
    if isinstance(said, list):
        return "".join(map(_plain, said))
    if isinstance(said, dict):
        return next((found for name in _TEXT if (found := _plain(said.get(name)))), "")
    return ""


# --- the end ------------------------------------------------------------------------------------------------------

# Spellings seen: vLLM, SGLang, llama.cpp, TGI, watsonx, Gemini, Mistral, Anthropic, DeepSeek, Zhipu and gateways.
_GOES_ON = {"", "0", "null", "none", "unspecified", "not_finished", "unfinished", "in_progress", "running"}
_FAILED = re.compile(
    r"abort|cancel|error|fail|filter|safety|refus|block|prohibit|sensitive|recitation|spii|moderat|policy"
    r"|time_?d?_?out|insufficient|interrupt|kill|exception|malformed|disconnect|unavailable|preempt|evict"
    r"|overload|shut_?down|rate_limit|quota|language|^other$"
)
_CUT = re.compile(r"length|max|limit|trunc|context|budget|incomplete|partial|cut_?off")
_COMPLETE = re.compile(r"stop|eos|eot|end|done|complete|finish|success|natural")


def _reason(said: Any) -> str:
    """A reason in one spelling: `FinishReason.MAX_TOKENS` and `maxTokens` are `max_tokens`."""
    if isinstance(said, list | tuple):
        return next((reason for reason in map(_reason, said) if reason), "")
    if isinstance(said, dict):
        return next(
            (reason for name in ("type", "reason", "name") if (reason := _reason(said.get(name)))), ""
        )
    if said is None or said is False or said == "":
        return ""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", str(said)[:60])
    return re.sub(r"[^a-z0-9]+", "_", apart.lower()).strip("_").removeprefix("finish_reason_")


# --- the chances --------------------------------------------------------------------------------------------------


def _entries(choice: dict[str, Any]) -> list[dict[str, Any]]:
    """What stands beside the tokens: of a chat, or of the older completions; nothing where it is neither."""
    found = choice.get("logprobs")
    entries = found.get("content") if isinstance(found, dict) else found
    if isinstance(found, dict) and not entries:
        entries = _older(found)
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def _older(found: dict[str, Any]) -> list[dict[str, Any]]:
    names = {"tokens": "token", "token_logprobs": "logprob", "top_logprobs": "top_logprobs"}
    lists = [found[name] for name in names if isinstance(found.get(name), list)]
    whole = len(lists) == len(names)
    return [dict(zip(names.values(), row, strict=True)) for row in zip(*lists, strict=False)] if whole else []


def _tokens(words: str, entries: list[dict[str, Any]]) -> list[_Token]:
    """Each token that came with one event; one piece where they cannot be told apart."""
    if not entries:
        return [(words, 1, {})] if words else []
    if len(entries) == 1:
        return [(words, 1, entries[0])]
    found, rest = [], words
    for entry in entries:
        token = str(entry.get("token"))
        text = token if rest.startswith(token) else ""  # an end marker is no part of the words
        rest = rest[len(text) :]
        found.append((text, 1, entry))
    return [(words, len(entries), {})] if rest else found


def _last_tokens(words: str, entries: list[dict[str, Any]]) -> list[_Token]:
    """The tokens of the answer, the last of the words, matched from the end; fewer where they do not match."""
    found: list[_Token] = []
    begins = words.find(ANSWER)
    rest = words
    for entry in reversed(entries):
        token = str(entry.get("token"))
        if begins < 0 or len(rest) <= begins:
            break
        if not rest.endswith(token) and rest != words:
            break
        text = token if rest.endswith(token) else ""  # an end marker is no part of the words
        rest = rest[: len(rest) - len(text)]
        found.append((text, 1, entry))
    return found[::-1]


def _chances(entry: dict[str, Any]) -> tuple[tuple[str, float], ...]:
    """Most likely first; vLLM puts the chosen token first, likely or not.

    Without a chance of the token that was said, the chances of the others would mislead.
    """
    found = [
        (token, chance)
        for token, logprob in _alternatives(entry.get("top_logprobs"))
        if isinstance(token, str) and (chance := _chance(logprob)) is not None
    ]
    said = entry.get("token")
    if found and isinstance(said, str) and all(token != said for token, _ in found):
        own = _chance(entry.get("logprob"))
        found = [] if own is None else [*found, (said, own)]
    return tuple(sorted(found, key=lambda pair: -pair[1])[:NUM_ALTERNATIVES])


def _alternatives(found: Any) -> Iterator[tuple[Any, Any]]:
    """Tokens with the logarithms of their chances: objects, pairs, or an object of them all."""
    for other in found if isinstance(found, list) else [found]:
        if isinstance(other, dict) and "logprob" in other:
            yield other.get("token"), other["logprob"]
        elif isinstance(other, dict):
            yield from other.items()
        elif isinstance(other, list) and len(other) == 2:
            yield other[0], other[1]


def _chance(logprob: Any) -> float | None:
    """None for what is no logarithm of a chance: null, "-inf", a number clearly above 0."""
    if not isinstance(logprob, int | float) or isinstance(logprob, bool) or not -math.inf < logprob < 0.01:
        return None
    return math.exp(min(0.0, logprob))
