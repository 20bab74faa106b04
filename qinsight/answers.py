"""The model's words, finished or still arriving, read as thinking and a typed answer, or refused with a reason.

One reader for the page, the command line, the rewards and the evaluation. It is tolerant of the layouts
that real fine-tunes produce and names each one it had to repair, so that nobody mistakes a repaired answer
for a clean one. It never guesses: what cannot be read is an `AnswerError` that says why.
"""

import json
import re
from collections.abc import Callable
from contextlib import suppress
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

    @property
    def swapped(self) -> "Winner":
        """The same photo by its name when the two have changed places."""
        return {Winner.A: Winner.B, Winner.B: Winner.A}.get(self, self)


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

# Every repetition below is bounded or stands before something it cannot match itself: a hostile model may
# write 100 kB of anything, and reading it takes milliseconds (tests/test_answers.py).
_TAGS = ("<think>", "</think>", "<answer>", "</answer>")
_TAG = re.compile(r"<\s{0,2}(/?)\s{0,2}(think|answer)\s{0,2}>", re.IGNORECASE)
_SPECIAL = re.compile(r"<\|[a-z_]{1,40}\|>")  # <|im_end|> and its like, left in by some servers
_STRICT = re.compile(r"<think>[^\S\n]*\n.*\n</think>\s*\n<answer>\s*\n(\{[^{}]*\})\s*\n</answer>", re.DOTALL)
_STRICT_WORDS = re.compile(r"<think>[^\S\n]*\n.*\n</think>\s*\n<answer>[^\S\n]*\n(.*)\n</answer>", re.DOTALL)
_RELAXED = re.compile(r"<think>.*</think>\s*<answer>\s*(\{[^{}]*\})\s*</answer>", re.DOTALL)
_RELAXED_WORDS = re.compile(r"<think>.*</think>\s*<answer>(.*)</answer>", re.DOTALL)


@dataclass(frozen=True)
class _Tag:
    start: int
    end: int
    name: str
    exact: bool


def read_reply(text: str, *, finished: bool = True) -> Reply:
    """Tell thinking and answer apart in a reply, also in one cut after any character.

    While it is not `finished`, a trailing piece that may become a tag is held back, so that a reader
    never sees half a tag, and `answer` stays None until `</answer>` has come.
    """
    shown = _SPECIAL.sub(" ", text)
    if not finished:
        shown = _without_half_tag(shown)
    tags = [
        _Tag(found.start(), found.end(), found[1] + found[2].lower(), found[0] in _TAGS)
        for found in _TAG.finditer(shown)
    ]
    openings = [tag for tag in tags if tag.name == "answer"]
    if not openings:
        return _read_without_answer_tag(text, shown, tags, finished)
    # A model that corrects itself answers last; what stands before is thinking.
    opening = openings[-1]
    closing = next((tag for tag in tags if tag.name == "/answer" and tag.start >= opening.end), None)
    if closing is None and not finished:
        return Reply(_strip_tags(shown[: opening.start]), None, text)
    repairs = []
    if closing is None and len(openings) > 1 and not _strip_tags(shown[opening.end :]):
        repairs.append("<answer> written for </answer>")
        opening, closing = openings[-2], opening
    end = closing.start if closing else len(shown)
    repairs += _repairs_of_frame(shown, tags, opening, closing)
    return Reply(
        _strip_tags(shown[: opening.start]), _strip_tags(shown[opening.end : end]), text, tuple(repairs)
    )


def _repairs_of_frame(shown: str, tags: list[_Tag], opening: _Tag, closing: _Tag | None) -> list[str]:
    repairs = []
    before = [tag for tag in tags if tag.end <= opening.start]
    if any(tag.name == "answer" for tag in before):
        repairs.append("several <answer> tags, the last one read")
    if closing is None:
        repairs.append("no </answer>")
    elif shown[closing.end :].strip():
        repairs.append("text after </answer>")
    if [tag.name for tag in before if tag.name.endswith("think")] != ["think", "/think"]:
        repairs.append("<think> tags missing or repeated")
    elif shown[: before[0].start].strip() or shown[before[-1].end : opening.start].strip():
        repairs.append("text outside the tags")
    if not all(tag.exact for tag in tags):
        repairs.append("spelling of the tags")
    return repairs


def has_strict_format(text: str, task: Task = Task.SCORE) -> bool:
    """Whether the reply has the layout that the published training rewarded: each tag on its own line.

    The prompt's own one-line example does not have it; see `has_relaxed_format`. The answer is one
    brace-free object, to a comparison any words.
    """
    return _has_format(text, _STRICT_WORDS if task is Task.COMPARISON else _STRICT)


def has_relaxed_format(text: str, task: Task = Task.SCORE) -> bool:
    """Whether the reply has the layout the paper describes: thinking and answer, each in its tags."""
    return _has_format(text, _RELAXED_WORDS if task is Task.COMPARISON else _RELAXED)


def _has_format(text: str, layout: re.Pattern[str]) -> bool:
    if [found[0] for found in _TAG.finditer(text)] != list(_TAGS):
        return False
    match = layout.fullmatch(text.strip())
    return match is not None and bool(match[1].strip())


def _without_half_tag(text: str) -> str:
    """Drop a trailing `<`, `</thi`, `<|im_e` and the like that may still grow into a tag."""
    start = text.rfind("<")
    if start < 0 or ">" in text[start:]:
        return text
    piece = re.sub(r"\s+", "", text[start:]).lower()
    grows = any(tag.startswith(piece) for tag in _TAGS) or re.fullmatch(r"<\|[a-z_]{0,40}\|?", piece)
    return text[:start] if grows else text


def _read_without_answer_tag(text: str, shown: str, tags: list[_Tag], finished: bool) -> Reply:
    """The tagless layouts seen in fine-tunes: an answer after `</think>`, a closing JSON object, bare words."""
    if not finished:
        return Reply(_strip_tags(shown), None, text)
    thought = next((tag for tag in reversed(tags) if tag.name == "/think"), None)
    opened = _start_of_closing_object(shown)
    if thought is not None and _strip_tags(shown[thought.end :]):
        start, repair = thought.end, "no <answer> tag, the text after </think> read"
    elif opened is not None:
        start, repair = opened, "no <answer> tag, the closing JSON object read"
    elif not tags and _is_bare_answer(shown):
        start, repair = 0, "no tags at all, the bare words read"
    else:
        return Reply(_strip_tags(shown), None, text)
    thinking = re.sub(r"```[a-z]{0,10}\s{0,3}\Z", "", shown[:start])
    return Reply(_strip_tags(thinking), _strip_tags(shown[start:]), text, (repair,))


def _start_of_closing_object(shown: str) -> int | None:
    """Where the brace-free object begins with which the reply ends, a code fence and tags aside."""
    body = shown.rstrip()
    if body.lower().endswith("</answer>"):
        body = body[: -len("</answer>")].rstrip()
    body = body.removesuffix("```").rstrip()
    start = body.rfind("{")
    return start if start >= 0 and body.find("}", start) == len(body) - 1 else None


def _words(text: str) -> set[str]:
    return set(re.findall(r"[^\W\d_]+", text.lower()))


_BARE = _words(
    "a answer are b best better both choice final i image images is it my of out overall photo picture pick "
    "prefer preferred quality rate rating result score similar superior the this verdict winner wins"
)


def _is_bare_answer(shown: str) -> bool:
    """Whether the reply is an answer and nothing else: `4.2`, `Rating: 4.2/5`, `Image A is better.`"""
    return len(shown) <= 80 and bool(shown.strip()) and _words(shown) <= _BARE and "?" not in shown


def _strip_tags(text: str) -> str:
    return _TAG.sub(" ", text).strip()


# --- the answers ----------------------------------------------------------------------------------------


def read_answer(task: Task, reply: Reply) -> Answer:
    """The typed answer to `task`; `AnswerError` says why where there is none."""
    readers: dict[Task, Callable[[Reply], Answer]] = {
        Task.SCORE: read_score,
        Task.DEGRADATION: read_degradation,
        Task.COMPARISON: read_comparison,
    }
    return readers[task](reply)


# What ends a field in JSON too broken to parse: a comma counts only where another field follows it.
_NEXT_FIELD = r"""(?=\s{0,5}(?:$|\n|[;})\]]|\.(?!\d)|,\s{0,5}(?:[}\]]|["']?[a-z_]{1,40}["']?\s{0,5}[:=])))"""
_LABELLED = re.compile(
    r"""rating["'*]{0,3}\s{0,5}[:=][\s"'*]{0,6}(\d+(?:\.\d+|,\d{1,2})?)["'*]{0,3}""" + _NEXT_FIELD,
    re.IGNORECASE,
)


def read_score(reply: Reply) -> Score:
    """The rating, 1 to 5 inclusive. Outside is refused, not clamped."""
    answer, repairs = _answer_of(reply)
    found, layout = _object_in(answer)
    if found is not None:
        repairs += layout
        value = _only(found, ("rating", "score", "overall_rating", "quality"), answer, repairs)
        return Score(_rating(value, repairs), tuple(repairs))
    labelled = {float(found.replace(",", ".")) for found in _LABELLED.findall(_SCALE.sub(" ", answer))}
    if len(labelled) == 1:
        repairs.append("broken JSON, the number after 'rating' read")
        return Score(_rating(labelled.pop(), repairs), tuple(repairs))
    repairs.append("not JSON, the only number read")
    return Score(_rating(_only_number(answer), repairs), tuple(repairs))


def read_degradation(reply: Reply) -> Degradation | Clean:
    """The distortion class and its severity, or `Clean` where both are null in any spelling."""
    answer, repairs = _answer_of(reply)
    found, layout = _object_in(answer)
    if found is not None:
        repairs += layout
        kind = _only(found, ("distortion_class", "distortion", "class"), answer, repairs)
        severity = _only(found, ("severity", "level"), answer, repairs, default="null")
    else:
        kind, severity = _field("distortion_class", answer), _field("severity", answer)
        if kind is None or severity is None:
            raise AnswerError(
                'Expected one "distortion_class" and one "severity"; the model said {said}.',
                said=_quoted(answer),
            )
        repairs.append("broken JSON, the two fields read")
    distortion = _member(Distortion, kind, "distortion class", repairs)
    level = _member(Severity, severity, "severity", repairs)
    if distortion is None and level is None:
        return Clean(tuple(repairs))
    if distortion is None or level is None:
        raise AnswerError(
            "Expected a distortion with its severity, or null for both; the model said {kind} with severity {severity}.",
            kind=_quoted(str(kind)),
            severity=_quoted(str(severity)),
        )
    return Degradation(distortion, level, tuple(repairs))


_NAMED = re.compile(r"""\bimage[\s_*"'`:-]{0,6}([ab])\b""", re.IGNORECASE)
_SIMILAR = re.compile(r"\b(?:similar|comparable)\b", re.IGNORECASE)
_AROUND_A_VERDICT = _BARE | _words(
    "about choose chosen clearly comparable equally has in one perceptual quite slightly very"
)
_REASONED = re.compile(
    r"\W{0,3}(?:the )?image \W{0,3}[ab]\W{0,3} "
    r"(?:(?:is|looks|appears|seems)(?: (?:clearly|slightly|much|the|overall)){0,3}"
    r" (?:better|best|superior|preferred|preferable|winner)"
    r"|(?:has|offers|shows|provides)(?: (?:clearly|slightly|much|the|a|overall)){0,3}"
    r" (?:better|best|superior|higher)(?: \w{1,20})? quality)\b",
    re.IGNORECASE,
)
_DOUBT = re.compile(
    r"\b(?:not|no|nor|neither|never|cannot|nobody|than|worse|inferior|but|although|though|however|while|whereas|"
    r"unless|if|other|former|latter|both|tie)\b|n['\u2019]t\b|\?",
    re.IGNORECASE,
)


def read_comparison(reply: Reply) -> Comparison:
    """Image A, Image B or Similar; anything that names two of them, or names one in doubt, is refused."""
    answer, repairs = _answer_of(reply)
    bare = answer.strip(" \n\t\"'*`.()[]").casefold()
    exact = {str(winner).casefold(): winner for winner in Winner}
    if bare in exact:
        if answer.strip().strip('"') not in set(Winner):
            repairs.append("spelling")
        return Comparison(exact[bare], tuple(repairs))
    if bare in {"a", "b"}:
        repairs.append("the letter alone")
        return Comparison(Winner(f"Image {bare.upper()}"), tuple(repairs))
    named = {f"image {letter.lower()}" for letter in _NAMED.findall(answer)}
    named |= {f"image {letter.lower()}" for letter in re.findall(r"\b[AB]\b", _NAMED.sub(" ", answer))}
    named |= {"similar"} if _SIMILAR.search(answer) else set()
    plain = _words(answer) <= _AROUND_A_VERDICT and not re.search(r"[?\d]", answer)
    if len(named) == 1 and (plain or (_REASONED.match(answer) and not _DOUBT.search(answer))):
        repairs.append("words around the verdict")
        return Comparison(exact[named.pop()], tuple(repairs))
    raise AnswerError(
        'Expected "Image A", "Image B" or "Similar"; the model said {said}.', said=_quoted(answer)
    )


def _answer_of(reply: Reply) -> tuple[str, list[str]]:
    if reply.answer is None:
        end = reply.text.strip()[-60:]
        raise AnswerError(
            "Expected an answer inside <answer> tags; the reply ends with {end}.", end=_quoted(end)
        )
    if not reply.answer:
        raise AnswerError("Expected an answer inside the <answer> tags; they are empty.")
    return reply.answer, list(reply.repairs)


def _object_in(answer: str) -> tuple[dict[str, Any] | None, list[str]]:
    """The one JSON object in the answer, with the layouts that had to be looked through."""
    repairs: list[str] = []
    text = answer.strip()
    if len(text) > 6 and text.startswith("```") and text.endswith("```"):
        repairs.append("code fence")
        text = re.sub(r"\A```(?:json)?", "", text[:-3], flags=re.IGNORECASE).strip()
    value, mended = _parsed(text)
    inner = re.findall(r"\{[^{}]*\}", text)
    if not isinstance(value, dict) and len(inner) <= 20:  # more are no answer, only work
        parsed = [_parsed(piece) for piece in inner]
        objects = [(found, how) for found, how in parsed if isinstance(found, dict)]
        if any(other != objects[0][0] for other, _ in objects[1:]):
            raise AnswerError("Expected one answer; the model gave several: {said}.", said=_quoted(answer))
        if objects:
            value, mended = objects[0]
            repairs.append("text around the JSON" if len(objects) == 1 else "the JSON repeated")
    return (value, repairs + mended) if isinstance(value, dict) else (None, [])


def _parsed(text: str) -> tuple[Any, list[str]]:
    """JSON, also with single or curly quotes, Python's None, a trailing comma; None where it is not."""
    if text.count("[") + text.count("{") > 50:  # an answer is flat; nested deep enough, JSON ends a process
        return None, []
    with suppress(ValueError):  # not JSONDecodeError: an integer of 5,000 digits is a ValueError
        return json.loads(text, object_pairs_hook=_no_contradiction), []
    mended = text.translate({ord("“"): '"', ord("”"): '"'})
    mended = re.sub(r"(?<![\"'\w])None(?![\"'\w])", "null", mended)
    mended = re.sub(r",\s*}", "}", mended)
    if '"' not in mended:
        mended = mended.replace("'", '"')
    with suppress(ValueError):
        return json.loads(mended, object_pairs_hook=_no_contradiction), ["JSON mended"]
    return None, []


def _no_contradiction(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for key, value in pairs:
        name = _plain_key(key)
        if name in plain and plain[name] != value:
            both = f"{_spelt(plain[name])} and {_spelt(value)}"
            raise AnswerError(
                'Expected one "{key}"; the model gave {said}.', key=name[:40], said=_quoted(both)
            )
        plain[name] = value
    return dict(pairs)


def _plain_key(key: str) -> str:
    return key.strip().lower().replace(" ", "_")


def _only(
    found: dict[str, Any], names: tuple[str, ...], answer: str, repairs: list[str], default: str | None = None
) -> Any:
    """The value under the first of `names`, or under one of its known other names."""
    wanted = names[0]
    keys = {_plain_key(key): key for key in found}
    for name in names:
        if name in keys:
            if keys[name] != wanted:
                repairs.append(f'key "{keys[name]}" for "{wanted}"')
            return found[keys[name]]
    if default is None:
        raise AnswerError(
            'Expected the key "{wanted}"; the model said {said}.', wanted=wanted, said=_quoted(answer)
        )
    repairs.append(f'no key "{wanted}"')
    return default


def _rating(value: Any, repairs: list[str]) -> float:
    if isinstance(value, str):
        repairs.append("the rating quoted as text")
        value = _only_number(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= 5:  # NaN too
        raise AnswerError(
            "Expected a rating from 1 to 5; the model said {said}.", said=_quoted(_spelt(value))
        )
    return float(value)


_SCALE = re.compile(  # "4.2/5", "out of 5", "on a scale from 1 to 5", "1-5": the 5 is no rating
    r"(?:/|\bout of\b|(?<![\d.,/])(?:from |between )?1 ?(?:to|and|-|\u2013) ?)"
    r"\s{0,3}5(?:[.,]0{1,3})?(?![\w%]|[.,/]\d)",
    re.IGNORECASE,
)
_BOUND = re.compile(
    r"(?:\b(?:not|above|below|under|over|than|least|most|exceeds?|minus)|n['\u2019]t|[<>\u2264\u2265])"
    r"\W{0,3}(?:an? )?\Z",
    re.IGNORECASE,
)


def _only_number(words: str) -> float:
    """The one number in a text; `AnswerError` where there is none, a range, a fraction, or a choice."""
    text = _SCALE.sub(" ", words)
    values = set()
    for number in re.finditer(r"\d+(?:[.,]\d+)*", text):
        before, after = (
            text[max(0, number.start() - 16) : number.start()],
            text[number.end() : number.end() + 1],
        )
        whole = re.fullmatch(r"\d+(?:\.\d+|,\d{1,2})?", number[0]) and not re.match(r"[\w%/]", after)
        if not whole or re.search(r"[\w/.,]\Z", before) or _BOUND.search(before):
            raise AnswerError("Expected a rating from 1 to 5; the model said {said}.", said=_quoted(words))
        sign = -1 if before[-1:] in {"-", "\u2212", "\u2013"} else 1
        values.add(sign * float(number[0].replace(",", ".")))
        if len(values) > 1:
            break
    if len(values) != 1:
        raise AnswerError("Expected one rating from 1 to 5; the model said {said}.", said=_quoted(words))
    return values.pop()


_NOTHING = {"null", "none", "nil", "n/a", "na", "clean", "no distortion", "no distortions", ""}
_OTHER_WORDS = {
    "jpeg": Distortion.COMPRESSION,
    "jpeg compression": Distortion.COMPRESSION,
    "jpeg artifacts": Distortion.COMPRESSION,
    "compression artifacts": Distortion.COMPRESSION,
    "compressed": Distortion.COMPRESSION,
    "noisy": Distortion.NOISE,
    "blurry": Distortion.BLUR,
    "blurred": Distortion.BLUR,
    "dark": Distortion.DARKEN,
    "darkened": Distortion.DARKEN,
    "darkening": Distortion.DARKEN,
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
            if value != "null":
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
    raise AnswerError(
        "Expected a {name} out of {expected} or null; the model said {said}.",
        name=name,
        expected=expected,
        said=_quoted(_spelt(value)),
    )


def _field(name: str, answer: str) -> str | None:
    """The word after `name` in JSON too broken to parse; None where there is none, or a choice."""
    layout = name + r"""["']?\s{0,5}[:=]\s{0,5}["']?([a-z/]{1,20}(?: [a-z/]{1,20}){0,2})["']?""" + _NEXT_FIELD
    words = set(re.findall(layout, answer, re.IGNORECASE))
    return words.pop() if len(words) == 1 and len(re.findall(name, answer, re.IGNORECASE)) == 1 else None


def _spelt(value: Any) -> str:
    """A JSON value in the model's spelling, as far as it is worth showing."""
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    return value if isinstance(value, str) else json.dumps(value)


def _quoted(words: str) -> str:
    """The model's words, short enough for a sentence; the page escapes them."""
    words = " ".join(words.split())
    return f"'{words if len(words) <= 80 else words[:79] + '…'}'"
