"""A photo's answer as one reads it: a sentence, the number on its scale, the fault, the reasons, what to do.

Rating, fault and severity are the model's words and are never changed; what the app adds is marked as the app's.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import gradio as gr
from PIL import Image

from qinsight.answers import Answer, Clean, Degradation, Distortion, Score, Severity
from qinsight.assess import Asked, assessment
from qinsight.engines.made_by import as_shown
from qinsight.page.pictures import drawn, words_of
from qinsight.page.table import FIRST
from qinsight.page.words import ENGLISH, PHRASES, Words, label
from qinsight.photos import Photo
from qinsight.photos.view import TOKEN, view_size
from qinsight.prompts import Task
from qinsight.trust.claims import Checked, Found, Reasons, check_reasons
from qinsight.trust.pixels import measure

TOO_SMALL = 16 * TOKEN**2  # pixels: on smaller views the preview was never examined (its card)
MUCH_SMALLER = 4  # so many pixels of the photo in one that was seen: noise of one pixel is averaged away
MILD = (Severity.SLIGHT, Severity.MODERATE)


@dataclass(frozen=True)
class Frame:
    """A photo's own size in pixels and that at which the model saw it."""

    size: tuple[int, int]
    seen: tuple[int, int]

    @classmethod
    def of(cls, photo: Photo, max_pixels: int) -> "Frame":
        """The frame of a photo that is shown at no more than so many pixels."""
        return cls(photo.size, view_size(*photo.image.size, max_pixels))

    @property
    def too_small(self) -> bool:
        """Whether nothing can be said of so few pixels."""
        return self.size[0] * self.size[1] < TOO_SMALL

    @property
    def much_smaller(self) -> bool:
        """Whether fine faults may have vanished before the model looked."""
        return self.size[0] * self.size[1] > MUCH_SMALLER * self.seen[0] * self.seen[1]


def answers_of(asked: Sequence[Asked]) -> tuple[Score | None, Degradation | Clean | None]:
    """The rating and the diagnosis, as far as they are there and can be read."""
    found: list[Answer | None] = [one.answer for one in asked]
    rating = next((one for one in found if isinstance(one, Score)), None)
    fault = next((one for one in found if isinstance(one, Degradation | Clean)), None)
    return rating, fault


def grade(rating: float) -> str:
    """The key of a rating's word on the scale of ITU-T P.800."""
    return f"rating_{min(5, max(1, round(rating)))}"


def of_five(rating: float, words: Words) -> str:
    """A rating in the word of ITU-T P.800's rating scale."""
    return words("of_five", word=words(grade(rating)))


def fault_of(answer: Degradation | Clean, words: Words) -> str:
    """A diagnosis inside a sentence, such as "obvious blur"."""
    if isinstance(answer, Clean):
        return words("no_fault")
    if answer.distortion is Distortion.DARKEN:
        return words(f"{answer.severity}_dark")
    return words("degraded", severity=words(f"{answer.severity}_"), distortion=words(str(answer.distortion)))


def diagnosis(answer: Degradation | Clean, words: Words) -> str:
    """A diagnosis in words, such as "Obvious blur"."""
    return words("clean") if isinstance(answer, Clean) else _capital(fault_of(answer, words))


def sentence(rating: Score | None, fault: Degradation | Clean | None, words: Words) -> str:
    """The answer in one sentence, of the model's words only: "Poor: serious blur." """
    graded = _capital(words(grade(rating.rating))) if rating else ""
    if rating and fault:
        return words("verdict", rating=graded, fault=fault_of(fault, words))
    said = graded or (_capital(fault_of(fault, words)) if fault else words("no_answer"))
    return words("verdict_half", said=said)


def notes(
    rating: Score | None, fault: Degradation | Clean | None, frame: Frame | None, words: Words = ENGLISH
) -> list[str]:
    """What the app has to say about the answer."""
    said = []
    if frame and frame.too_small:
        said.append(words("too_small", width=frame.size[0], height=frame.size[1]))
    if frame and frame.much_smaller:
        said.append(words("much_smaller", seen=_megapixels(frame.seen), size=_megapixels(frame.size)))
    if rating and fault and _contradict(rating, fault):
        graded = words(grade(rating.rating))
        said.append(words("contradiction", rating=graded, fault=fault_of(fault, words)))
    return said


def _contradict(rating: Score, fault: Degradation | Clean) -> bool:
    """Excellent beside any fault, good beside a strong one, poor or worse beside none."""
    level = int(grade(rating.rating)[-1])
    if isinstance(fault, Clean):
        return level <= 2
    return level == 5 or (level == 4 and fault.severity in (Severity.SERIOUS, Severity.CATASTROPHIC))


def _megapixels(size: tuple[int, int]) -> float:
    return size[0] * size[1] / 1e6


# --- what is drawn: values that result.js draws, and the elements they are drawn in -----------------------------------


def answer_part(kind: str, name: str = "", tab: str = "assess") -> gr.HTML:
    """An element that shows one part of the answer to a tab's question."""
    return gr.HTML(
        FIRST.part(None),
        html_template=drawn(f"{kind}('{tab}', '{kind}', label, value)"),
        label=label(name) if name else "",
        elem_id=kind,
    )


def say_value(
    asked: Sequence[Asked], frame: Frame | None, words: Words, stage: str = "", share: float | None = None
) -> dict[str, Any]:
    """The sentence, or while it is not there the stage, how much of it is done, if known; and the app's notes."""
    rating, fault = answers_of(asked)
    if stage:
        return {"stage": stage, "share": share}
    if not asked or any(one.finish is None for one in asked):
        return {}
    model, added = sentence(rating, fault, words), notes(rating, fault, frame, words)
    said = {"said": model, "notes": added, "app": words("app_says")}
    if frame and frame.too_small:
        said |= {"said": added[0], "notes": [words("model_said", said=model), *added[1:]]}
    return said


Sure = dict[str, Any] | None
"""The app's word beside an answer, as `qinsight.trust.confidence` has it; None where nothing is known."""


def between(sure: Sure, words: Words = ENGLISH) -> str:
    """Where ratings of photos like this lie, in a line of the app's; empty where nobody knows."""
    return words("between", low=sure["interval"][0], high=sure["interval"][1]) if sure else ""


def _called(sure: Sure, answer: Degradation | Clean, words: Words) -> list[str]:
    """How often the class was right when it was named, in a line of the app's."""
    named = words("no_fault") if isinstance(answer, Clean) else words(str(answer.distortion))
    return [words("called", times=sure["named"], right=sure["right"], fault=named)] if sure else []


def _holds_for(sure: Sure, words: Words) -> list[str]:
    return [words("holds_for", photos=sure["holds_for"])] if sure else []


def gauge_value(
    asked: Asked | None, words: Words = ENGLISH, running: bool = True, sure: Sure = None
) -> dict[str, Any]:
    """What the scale shows for a score's reply: nothing, the rating, or that there is none."""
    answer = asked.answer if asked else None
    if isinstance(answer, Score):
        rating = answer.rating
        explained = [words("what_rating"), *([words("what_between")] if sure else [])]
        return {
            "rating": rating,
            "words": f"{rating:.2f}",
            "percent": (rating - 1) * 25,
            "hue": round((rating - 1) * 30),
            "label": of_five(rating, words) + _repaired(answer.repairs, words),
            "ends": [words("rating_1"), words("rating_5")],
            "why": _why(explained, words),
            "interval": sure["interval"] if sure else [],
            "sure": [between(sure, words), *_holds_for(sure, words)] if sure else [],
        }
    said, under = _nothing_yet(asked, words, running)
    return {"rating": 1, "words": said, "percent": 0, "hue": 0, "label": under}


def band_value(
    asked: Asked | None, words: Words = ENGLISH, running: bool = True, sure: Sure = None
) -> dict[str, Any]:
    """What stands for a diagnosis: the class in words and the model's own odds of each severity."""
    answer = asked.answer if asked else None
    if isinstance(answer, Clean):
        under = words("clean_of") + _repaired(answer.repairs, words)
        why = _why([words("what_clean"), *_holds_for(sure, words)], words)
        called = _called(sure, answer, words)
        return {"words": words("clean"), "levels": [], "label": under, "why": why, "sure": called}
    if isinstance(answer, Degradation):
        odds = asked.severity_odds if asked else None
        under = words("chances" if odds else "no_chances") + _repaired(answer.repairs, words)
        explained = [words(f"what_{answer.distortion}"), *([words("what_odds")] if odds else [])]
        explained += _holds_for(sure, words)
        return {
            "words": diagnosis(answer, words),
            "levels": [_level(level, answer, odds, words) for level in Severity],
            "label": under,
            "why": _why(explained, words),
            "sure": _called(sure, answer, words),
        }
    said, under = _nothing_yet(asked, words, running)
    return {"words": said, "levels": [], "label": under}


def _level(
    level: Severity, answer: Degradation, odds: dict[str, float] | None, words: Words
) -> dict[str, Any]:
    chance = odds[str(level)] if odds else float(level is answer.severity)
    return {
        "name": words(str(level)),
        "odds": round(chance, 3),
        "percent": f"{chance:.0%}" if odds else "",
        "chosen": level is answer.severity,
    }


def _nothing_yet(asked: Asked | None, words: Words, running: bool) -> tuple[str, str]:
    if not running and (asked is None or asked.finish is None):
        return "–", words("unfinished")
    if asked is None:
        return "–", ""
    if asked.error:
        return words("no_answer"), words("unreadable_reply")
    return "…", words("thinking")


_MEASURED = re.compile(r"\A\s*Measured cues: ?([^.<\n]*)(?:\. *|$|(?=\n))")
_CUE = re.compile(r"([a-z]\w*) (\d)(?=,|$)")


def cues_value(
    asked: Sequence[Asked], words: Words = ENGLISH, checked: Sequence[Reasons] = ()
) -> dict[str, Any]:
    """The digits with which the preview begins its thinking, each with its name and what it stands for.

    Those that could be `checked` have the app's sign, and what it measured.
    """
    found = [_MEASURED.match(one.reply.thinking) for one in asked]
    place = next((place for place, one in enumerate(found) if one), 0)
    read = _CUE.findall(one[1].strip()) if found and (one := found[place]) else []
    signs = _signed_cues(checked[place], words) if checked else {}
    cues = [
        {
            "name": " ".join([_cue(name, words), *signs.get(name, [])[:1]]),
            "digit": int(digit),
            "what": " ".join([_what(name, words), *signs.get(name, [])[1:]]),
        }
        for name, digit in read
    ]
    return (
        {"title": words("measured"), "cues": cues, "why": _why([words("what_cues")], words)} if cues else {}
    )


def _signed_cues(checked: Reasons, words: Words) -> dict[str, list[str]]:
    """By the name of a digit the sign of what the pixels say of it, and what was measured."""
    claims = {checked.text[one.claim.start : one.claim.end].split()[0]: one for one in checked.checked}
    return {
        name: [SIGNS[one.found], words("named", name=words("app_says"), problem=_measured(one, words))]
        for name, one in claims.items()
    }


def _cue(name: str, words: Words) -> str:
    return words(f"cue_{name}") if f"cue_{name}" in PHRASES else name


def _what(name: str, words: Words) -> str:
    return words(f"what_cue_{name}") if f"what_cue_{name}" in PHRASES else ""


def advice_value(fault: Degradation | Clean | None, words: Words = ENGLISH) -> dict[str, Any]:
    """What to do about a fault: now, and the next time."""
    if fault is None:
        return {}
    if isinstance(fault, Clean):
        return {"rows": [[words("now"), words("now_clean")]]}
    how = f"{fault.distortion}_{'mild' if fault.severity in MILD else 'strong'}"
    return {"rows": [[words("now"), words(f"now_{how}")], [words("next_time"), words(f"next_{how}")]]}


def without_cues(thinking: str) -> str:
    """The thinking without the digits that it begins with."""
    return _MEASURED.sub("", thinking, count=1)


def reasons_of(asked: Asked | None, words: Words = ENGLISH, running: bool = True) -> str:
    """The thinking so far without the cues, which are drawn; what ended or spoilt it stands beneath."""
    return without_cues(words_of(asked, words, running))


SIGNS = {Found.SUPPORTED: "✓", Found.CONTRADICTED: "✗", Found.NOT_CHECKABLE: "?"}
_KEYS = {
    Found.SUPPORTED: "supported",
    Found.CONTRADICTED: "contradicted",
    Found.NOT_CHECKABLE: "not_checkable",
}


def reasons_checked(asked: Sequence[Asked], photo: Image.Image, max_pixels: int) -> tuple[Reasons, ...]:
    """What the pixels that the model saw say of its reasons."""
    (shown,) = as_shown(assessment(photo, [Task.SCORE]), max_pixels)
    seen = measure(shown.photos[0])
    return tuple(check_reasons(one.reply.thinking, seen) for one in asked)


def reasons_value(asked: Asked | None, checked: Reasons | None, words: Words, running: bool) -> Any:
    """The thinking; once it was checked, in pieces with the app's sign behind each sentence that claims something."""
    text = reasons_of(asked, words, running)
    return text if asked is None or checked is None or not checked.checked else signed(text, checked, words)


def signed(text: str, checked: Reasons, words: Words) -> dict[str, Any]:
    """A reasoning without its cues, in pieces, and the app's line beneath: for result.js."""
    start = len(checked.text) - len(without_cues(checked.text))
    pieces, done = [], 0
    for (begins, ends), claims in groupby(checked.checked, lambda one: (one.claim.start, one.claim.end)):
        if begins >= start:
            pieces += [
                [text[done : begins - start]],
                [text[begins - start : ends - start], *_sign([*claims], words)],
            ]
            done = ends - start
    return {"pieces": [*pieces, [text[done:]]], "line": checked_line(checked, words)}


def checked_line(checked: Reasons, words: Words) -> str:
    """How much of a reasoning the pixels bear out, as a line of the app's."""
    said = words("named", name=words("app_says"), problem=words.sentence(checked.sentence))
    part = checked.faithfulness
    return said if part is None else f"{said} {words('faithful', part=part)}"


def _sign(claims: Sequence[Checked], words: Words) -> list[Any]:
    """What the pixels say of one sentence: of several claims in it, the worst counts."""
    found = {one.found for one in claims}
    worst = next(kind for kind in (Found.CONTRADICTED, Found.SUPPORTED, Found.NOT_CHECKABLE) if kind in found)
    return [SIGNS[worst], words(_KEYS[worst]), [_measured(one, words) for one in claims]]


def _measured(one: Checked, words: Words) -> str:
    return words("measured_so", found=words(_KEYS[one.found]), measured=words.remark(one.measured))


def raw_of(asked: Sequence[Asked]) -> str:
    """Both replies to the last letter, once they have ended."""
    return "\n\n".join(one.text for one in asked if one.finish)


def answer_values(
    asked: Sequence[Asked],
    frame: Frame | None,
    words: Words,
    stage: str,
    share: float | None,
    running: bool,
    sure: Sequence[Sure] = (None, None),
    checked: Sequence[Reasons] = (),
) -> list[Any]:
    """The values of everything that shows the answer, in the order in which `AssessTab` lists them."""
    score, degradation = asked if len(asked) == 2 else (None, None)
    ended = not stage and bool(asked) and all(one.finish for one in asked)
    unfit = bool(frame and frame.too_small)
    known = (None, None) if unfit else sure
    told = checked or (None, None)
    return [
        gauge_value(score, words, running, known[0]),
        band_value(degradation, words, running, known[1]),
        reasons_value(score, told[0], words, running),
        reasons_value(degradation, told[1], words, running),
        say_value(asked, frame, words, stage, share),
        cues_value(asked, words, checked),
        advice_value(answers_of(asked)[1] if ended and not unfit else None, words),
        raw_of(asked),
    ]


def _why(explained: list[str], words: Words) -> dict[str, Any]:
    return {"term": words("what"), "lines": explained}


def _repaired(repairs: tuple[str, ...], words: Words) -> str:
    return words("repaired", repairs=", ".join(repairs)) if repairs else ""


def _capital(said: str) -> str:
    return said[:1].upper() + said[1:]
