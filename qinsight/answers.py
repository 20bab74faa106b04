"""The model's words, finished or still arriving, read as thinking and a typed answer, or refused with a reason.

One reader for the page, the command line, the rewards and the evaluation. It is tolerant of the layouts
that real fine-tunes produce and names each one it had to repair, so that nobody mistakes a repaired answer
for a clean one. It never guesses: what cannot be read is an `AnswerError` that says why.
"""

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from qinsight.errors import AnswerError
from qinsight.prompts import Task


class Distortion(StrEnum):
    """The four degradations the model is asked about (paper section 4.1)."""

    NOISE = "noise"
    COMPRESSION = "compression"
    BLUR = "blur"
    DARKEN = "darken"


class Severity(StrEnum):
    """Five levels, mildest first."""

    SLIGHT = "slight"
    MODERATE = "moderate"
    OBVIOUS = "obvious"
    SERIOUS = "serious"
    CATASTROPHIC = "catastrophic"


class Winner(StrEnum):
    """The better of two photos. `SIMILAR` is offered by the question with a reference only."""

    A = "Image A"
    B = "Image B"
    SIMILAR = "Similar"


@dataclass(frozen=True)
class Reply:
    """The words so far, told apart. `answer` is None until its closing tag, or until `finished`.

    `repairs` names what was missing or out of place in the frame of tags.
    """

    thinking: str
    answer: str | None
    text: str
    repairs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Score:
    """A rating from 1 (very poor) to 5 (excellent), as the model wrote it."""

    rating: float
    repairs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Degradation:
    """A distortion and how bad it is."""

    distortion: Distortion
    severity: Severity
    repairs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Clean:
    """The model found none of the four distortions: a finding, not a gap."""

    repairs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """Which photo the model prefers."""

    winner: Winner
    repairs: tuple[str, ...] = ()


Answer = Score | Degradation | Clean | Comparison


# --- the frame: <think> ... </think> <answer> ... </answer> -------------------------------------------

_TAGS = ("<think>", "</think>", "<answer>", "</answer>")
_TAG = re.compile(r"<\s*(/?)\s*(think|answer)\s*>", re.IGNORECASE)
_SPECIAL = re.compile(r"<\|[a-z_]+\|>")  # <|im_end|> and its like, left in by some servers
_STRICT = re.compile(r"<think>\s*\n(.*?)\n</think>\s*\n<answer>\s*\n(\{[^{}]*\})\s*\n</answer>", re.DOTALL)
_RELAXED = re.compile(r"\s*<think>(.*?)</think>\s*<answer>\s*(\{[^{}]*\})\s*</answer>\s*", re.DOTALL)


def read_reply(text: str, *, finished: bool = True) -> Reply:
    """Tell thinking and answer apart in a reply, also in one cut after any character.

    While it is not `finished`, a trailing piece that may become a tag is held back, so that a reader
    never sees half a tag, and `answer` stays None until `</answer>` has come.
    """
    shown = text if finished else _without_half_tag(text)
    shown = _SPECIAL.sub("", shown)
    repairs: list[str] = []
    tags = [(match.start(), match.end(), match[1] + match[2].lower()) for match in _TAG.finditer(shown)]
    opened = next((tag for tag in tags if tag[2] == "answer"), None)
    if opened is None:
        answer = _answer_without_tags(shown, tags, repairs) if finished else None
        thinking = _strip_tags(shown[: len(shown) - len(answer)] if answer else shown)
        return Reply(thinking, answer.strip() if answer is not None else None, text, tuple(repairs))
    # A model that corrects itself answers last; what stands before is thinking.
    opened = next(tag for tag in reversed(tags) if tag[2] == "answer")
    closed = next((tag for tag in tags if tag[2] == "/answer" and tag[0] >= opened[1]), None)
    if sum(tag[2] == "answer" for tag in tags) > 1:
        repairs.append("several <answer> tags, the last one read")
    if closed is None and not finished:
        return Reply(_strip_tags(shown[: opened[0]]), None, text, tuple(repairs))
    if closed is None:
        repairs.append("no </answer>")
    elif shown[closed[1] :].strip():
        repairs.append("text after </answer>")
    names = [tag[2] for tag in tags if tag[1] <= opened[0]]
    if finished and (names.count("think"), names.count("/think")) != (1, 1):
        repairs.append("<think> tags missing or repeated")
    answer = shown[opened[1] : closed[0] if closed else len(shown)]
    return Reply(_strip_tags(shown[: opened[0]]), _strip_tags(answer), text, tuple(repairs))


def has_strict_format(text: str) -> bool:
    """Whether the reply has the layout that the published training rewarded: each tag on its own line.

    The prompt's own one-line example does not have it; see `has_relaxed_format`.
    """
    match = _STRICT.fullmatch(text.strip())
    return match is not None and not _TAG.search(match[1])


def has_relaxed_format(text: str) -> bool:
    """Whether the reply has the layout the paper describes: thinking and a brace-free object, each in its tags."""
    match = _RELAXED.fullmatch(text)
    return match is not None and not _TAG.search(match[1])


def _without_half_tag(text: str) -> str:
    """Drop a trailing `<`, `</thi`, `<|im_e` and the like that may still grow into a tag."""
    start = text.rfind("<")
    if start < 0 or ">" in text[start:]:
        return text
    piece = re.sub(r"\s+", "", text[start:]).lower()
    grows = any(tag.startswith(piece) for tag in _TAGS) or piece.startswith("<|")
    return text[:start] if grows else text


def _answer_without_tags(shown: str, tags: list[tuple[int, int, str]], repairs: list[str]) -> str | None:
    """What follows `</think>`, or a trailing JSON object: the two tagless layouts seen in fine-tunes."""
    thought = next((tag for tag in reversed(tags) if tag[2] == "/think"), None)
    if thought is not None and _strip_tags(shown[thought[1] :]):
        repairs.append("no <answer> tag, the text after </think> read")
        return shown[thought[1] :]
    if match := re.search(r"\{[^{}]*\}\s*(?:```)?\s*(?:</answer>)?\s*$", shown):
        repairs.append("no <answer> tag, the closing JSON object read")
        return match[0]
    if not tags and len(shown.split()) <= 6 and shown.strip():
        repairs.append("no tags at all, the bare words read")
        return shown
    return None


def _strip_tags(text: str) -> str:
    return _TAG.sub("", text).strip()


# --- the answers ----------------------------------------------------------------------------------------


def read_answer(task: Task, reply: Reply) -> Answer:
    """The typed answer to `task`; `AnswerError` says why where there is none."""
    readers: dict[Task, Callable[[Reply], Answer]] = {
        Task.SCORE: read_score,
        Task.DEGRADATION: read_degradation,
        Task.COMPARISON: read_comparison,
    }
    return readers[task](reply)


_NUMBER = r"(?<![\w.,+-])[+-]?\d+(?:[.,]\d+)?(?![\d]|[.,]\d)"


def read_score(reply: Reply) -> Score:
    """The rating, 1 to 5 inclusive. Outside is refused, not clamped."""
    answer, repairs = _answer_of(reply)
    found, layout = _object_in(answer)
    if found is not None:
        repairs += layout
        value = _only(found, ("rating", "score", "overall_rating", "quality"), "rating", repairs)
        return Score(_rating(value, repairs), tuple(repairs))
    if match := re.search(r'"?rating"?\s*[:=]\s*"?(' + _NUMBER + ")", answer, re.IGNORECASE):
        repairs.append("broken JSON, the number after 'rating' read")
        return Score(_rating(match[1], repairs), tuple(repairs))
    numbers = re.findall(
        _NUMBER, re.sub(r"(?:/|out of|from 1 to|between 1 and|1 to)\s*5(?:\.0+)?\b", "", answer)
    )
    if len(numbers) != 1:
        raise AnswerError(f"Expected one rating from 1 to 5; the model said {_quoted(answer)}.")
    repairs.append("not JSON, the only number read")
    return Score(_rating(numbers[0], repairs), tuple(repairs))


def read_degradation(reply: Reply) -> Degradation | Clean:
    """The distortion class and its severity, or `Clean` where both are null in any spelling."""
    answer, repairs = _answer_of(reply)
    found, layout = _object_in(answer)
    if found is not None:
        repairs += layout
        kind = _only(found, ("distortion_class", "distortion", "class"), "distortion_class", repairs)
        severity = _only(found, ("severity", "level"), "severity", repairs, default=None)
    else:
        pair = _fields_in(answer)
        if pair is None:
            raise AnswerError(
                f'Expected "distortion_class" and "severity"; the model said {_quoted(answer)}.'
            )
        repairs.append("broken JSON, the two fields read")
        kind, severity = pair
    distortion = _member(Distortion, kind, "distortion class", repairs)
    level = _member(Severity, severity, "severity", repairs)
    if distortion is None and level is None:
        return Clean(tuple(repairs))
    if distortion is None or level is None:
        raise AnswerError(
            "Expected a distortion with its severity, or null for both; "
            f"the model said {_quoted(str(kind))} with severity {_quoted(str(severity))}."
        )
    return Degradation(distortion, level, tuple(repairs))


def read_comparison(reply: Reply) -> Comparison:
    """Image A, Image B or Similar; two different verdicts in one answer are refused."""
    answer, repairs = _answer_of(reply)
    bare = answer.strip().strip('"*`. ').casefold()
    exact = {str(winner).casefold(): winner for winner in Winner}
    if bare in exact:
        if answer.strip().strip('"') not in set(Winner):
            repairs.append("spelling")
        return Comparison(exact[bare], tuple(repairs))
    if bare in {"a", "b"}:
        repairs.append("the letter alone")
        return Comparison(Winner(f"Image {bare.upper()}"), tuple(repairs))
    if not re.search(r"\b(?:not|neither|nor|n't|than|worse|inferior)\b", bare):
        named = {
            f"image {letter.lower()}" for letter in re.findall(r"\bimage\s+([AB])\b", bare, re.IGNORECASE)
        }
        if re.search(r"\bsimilar\b|\bcomparable\b", bare):
            named.add("similar")
        if len(named) == 1:
            repairs.append("words around the verdict")
            return Comparison(exact[named.pop()], tuple(repairs))
    raise AnswerError(f'Expected "Image A", "Image B" or "Similar"; the model said {_quoted(answer)}.')


def _answer_of(reply: Reply) -> tuple[str, list[str]]:
    if reply.answer is None:
        end = reply.text.strip()[-60:]
        raise AnswerError(f"Expected an answer inside <answer> tags; the reply ends with {_quoted(end)}.")
    if not reply.answer:
        raise AnswerError("Expected an answer inside the <answer> tags; they are empty.")
    return reply.answer, list(reply.repairs)


def _object_in(answer: str) -> tuple[dict[str, Any] | None, list[str]]:
    """The one JSON object in the answer, with the layouts that had to be looked through."""
    repairs: list[str] = []
    text = answer.strip()
    if fenced := re.fullmatch(r"```(?:json)?\s*(.*?)\s*```", text, re.DOTALL | re.IGNORECASE):
        repairs.append("code fence")
        text = fenced[1]
    value = _parsed(text)
    if value is None and (inner := re.findall(r"\{[^{}]*\}", text)):
        objects = [parsed for piece in inner if isinstance(parsed := _parsed(piece), dict)]
        if any(other != objects[0] for other in objects[1:]):
            raise AnswerError(f"Expected one answer; the model gave several: {_quoted(answer)}.")
        if objects:
            value = objects[0]
            repairs.append("text around the JSON" if len(objects) == 1 else "the JSON repeated")
    return (value, repairs) if isinstance(value, dict) else (None, [])


def _parsed(text: str) -> Any:
    """JSON, also with single quotes, Python's None, bare keys' usual trailing comma; None where it is not."""
    try:
        return json.loads(text, object_pairs_hook=_no_contradiction)
    except json.JSONDecodeError:
        pass
    mended = re.sub(r"\bNone\b", "null", text)
    mended = re.sub(r",\s*}", "}", mended)
    if '"' not in mended:
        mended = mended.replace("'", '"')
    try:
        return json.loads(mended, object_pairs_hook=_no_contradiction)
    except json.JSONDecodeError:
        return None


def _no_contradiction(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found and found[key] != value:
            raise AnswerError(f'Expected one "{key}"; the model gave {found[key]!r} and {value!r}.')
        found[key] = value
    return found


_MISSING = object()


def _only(
    found: dict[str, Any], names: tuple[str, ...], wanted: str, repairs: list[str], default: Any = _MISSING
) -> Any:
    """The value under the wanted key, or under a known other name of it."""
    keys = {key.strip().lower().replace(" ", "_"): key for key in found}
    for name in names:
        if name in keys:
            if keys[name] != wanted:
                repairs.append(f'key "{keys[name]}" for "{wanted}"')
            return found[keys[name]]
    if default is _MISSING:
        raise AnswerError(f'Expected the key "{wanted}"; the model gave {_quoted(json.dumps(found))}.')
    repairs.append(f'no key "{wanted}"')
    return default


def _rating(value: Any, repairs: list[str]) -> float:
    if isinstance(value, str):
        text = re.sub(r"\s*(?:/|out of)\s*5(?:\.0+)?\s*$", "", value.strip())
        if not re.fullmatch(r"[+-]?\d+(?:[.,]\d+)?", text):
            raise AnswerError(f"Expected a rating from 1 to 5; the model said {_quoted(value)}.")
        repairs.append("the rating quoted as text")
        value = float(text.replace(",", "."))
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise AnswerError(f"Expected a rating from 1 to 5; the model said {_quoted(json.dumps(value))}.")
    if not 1 <= value <= 5:
        raise AnswerError(f"Expected a rating from 1 to 5; the model said {value:g}.")
    return float(value)


_NOTHING = {"null", "none", "nil", "n/a", "na", "clean", "no distortion", "no distortions", ""}
_OTHER_WORDS = {
    "jpeg": Distortion.COMPRESSION,
    "jpeg compression": Distortion.COMPRESSION,
    "compressed": Distortion.COMPRESSION,
    "noisy": Distortion.NOISE,
    "blurry": Distortion.BLUR,
    "blurred": Distortion.BLUR,
    "dark": Distortion.DARKEN,
    "darkened": Distortion.DARKEN,
    "darkness": Distortion.DARKEN,
}


E = TypeVar("E", bound=StrEnum)


def _member(kind: type[E], value: Any, name: str, repairs: list[str]) -> E | None:
    """The enum member that the word means; None where it means nothing is wrong."""
    if value is None:
        repairs.append(f"null unquoted for the {name}")
        return None
    if isinstance(value, str):
        word = value.strip().strip(".").lower()
        if word in _NOTHING:
            if word != "null":
                repairs.append(f"{value!r} for null as the {name}")
            return None
        if word in set(kind):
            if value != word:
                repairs.append(f"spelling of the {name}")
            return kind(word)
        if kind is Distortion and word in _OTHER_WORDS:
            repairs.append(f'"{value}" for "{_OTHER_WORDS[word]}"')
            return kind(_OTHER_WORDS[word])
    expected = ", ".join(kind)
    raise AnswerError(f"Expected a {name} out of {expected} or null; the model said {_quoted(str(value))}.")


def _fields_in(answer: str) -> tuple[str, str] | None:
    """`distortion_class: x, severity: y` in JSON too broken to parse."""
    kind = re.findall(r'distortion_class["\']?\s*[:=]\s*["\']?([a-z/ ]+?)["\']?\s*(?=[,}\n]|$)', answer, re.I)
    level = re.findall(r'severity["\']?\s*[:=]\s*["\']?([a-z/ ]+?)["\']?\s*(?=[,}\n.]|$)', answer, re.I)
    return (kind[0], level[0]) if len(kind) == 1 and len(level) == 1 else None


def _quoted(words: str) -> str:
    """The model's words, short enough for a sentence; the page escapes them."""
    words = " ".join(words.split())
    return f"'{words if len(words) <= 80 else words[:79] + '…'}'"
