"""An answer as one picture: the photo, the sentence, the scale, the reasons, the model and the day."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import PurePath
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from qinsight.answers import Clean, Degradation, Distortion, Score, Severity
from qinsight.errors import QInsightError
from qinsight.page.result import sentence, without_cues
from qinsight.page.words import ENGLISH, Language, Words
from qinsight.trust.confidence import FIELD

WIDTH, PHOTO, MARGIN = 1200, 800, 60  # pixels; `PHOTO` is the most that the photo is high
LONGEST = 100_000  # characters of an answer that is sent to be drawn
PAPER, INK, GREY, STAGE = "#f6f6f4", "#1d1e20", "#62666e", "#d0d0ce"
# The systems' own; the first that has a text's every letter draws it.
FONTS = (
    *("DejaVuSans.ttf", "segoeui.ttf", "Arial.ttf", "Helvetica.ttc"),
    *(
        "NotoSansCJK-Regular.ttc",
        "NotoSansSC-Regular.otf",
        "NotoSansJP-Regular.otf",
        "NotoSansCJKjp-Regular.otf",
    ),
    *("msyh.ttc", "YuGothM.ttc", "meiryo.ttc", "msgothic.ttc", "simsun.ttc"),
    *("PingFang.ttc", "Hiragino Sans GB.ttc", "ヒラギノ角ゴシック W3.ttc", "Arial Unicode.ttf"),
    *("wqy-microhei.ttc", "wqy-zenhei.ttc", "DroidSansFallbackFull.ttf", "DroidSansFallback.ttf"),
    *("ipagp.ttf", "ipag.ttf", "TakaoPGothic.ttf", "VL-PGothic-Regular.ttf", "fonts-japanese-gothic.ttf"),
)
Font = ImageFont.FreeTypeFont


@dataclass(frozen=True)
class Told:
    """What the card says of a photo."""

    name: str
    rating: Score | None
    fault: Degradation | Clean | None
    thinking: tuple[str, ...]
    notes: tuple[str, ...]
    model: str
    interval: tuple[float, float] | None = None
    holds_for: str = ""


def told(answer: Any) -> Told:
    """What lies on the table, as "Save as JSON" has it; an error in a sentence where it is anything else."""
    try:
        if not isinstance(answer, str) or len(answer) > LONGEST:
            raise ValueError
        score, degradation = json.loads(answer)
        return Told(
            str(score["photo"]),
            Score(_rating(score["rating"])) if score["error"] is None else None,
            _fault(degradation) if degradation["error"] is None else None,
            tuple(without_cues(str(one["thinking"] or "")) for one in (score, degradation)),
            tuple(map(str, score.get("app_notes", ()))),
            str(score["model"]),
            *_sure(score.get(FIELD)),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise QInsightError("Expected a finished answer on the table; assess a photo first.") from error


def file_name(what: Told) -> str:
    """A name for the card's file that every system takes."""
    return re.sub(r'[<>:"/\\|?*\x00-\x1f]', "_", PurePath(what.name).stem)[:60] + ".q-insight.png"


def _rating(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= 5:
        raise ValueError
    return float(value)


def _sure(told: Any) -> tuple[tuple[float, float] | None, str]:
    """The app's interval around the rating, and for which photographs it holds."""
    if told is None:
        return None, ""
    low, high = map(_rating, told["interval"])
    if low > high:
        raise ValueError
    return (low, high), str(told["holds_for"])


def _fault(line: dict[str, Any]) -> Degradation | Clean:
    if line["distortion_class"] is None:
        return Clean()
    return Degradation(Distortion(line["distortion_class"]), Severity(line["severity"]))


def card(what: Told, photo: Image.Image, words: Words, notes: Sequence[str], day: date) -> Image.Image:
    """The picture, with the app's notes in these words' language. Letters for which this computer has no font become a sentence that says so, never boxes."""
    pen = _Pen(words)
    said = pen.words
    shown = photo.convert("RGB")
    shown.thumbnail((WIDTH, PHOTO), Image.Resampling.LANCZOS)
    stage = Image.new("RGB", (WIDTH, max(320, shown.height)), STAGE)
    stage.paste(shown, ((WIDTH - shown.width) // 2, (stage.height - shown.height) // 2))
    pen.write(sentence(what.rating, what.fault, said), 46, INK, most=3, bold=1)
    if what.rating:
        pen.scale(what.rating.rating, said, what.interval)
        if what.interval:
            low, high = what.interval
            known = [
                said("between", low=low, high=high),
                said("holds_for", photos=pen.legible(what.holds_for)),
            ]
            pen.write(" ".join(known), 21, GREY, most=4)
    for note in notes if said is words else what.notes:
        pen.write(f"{said('app_says')}: {note}", 25, INK, most=3)
    for thinking in what.thinking:
        pen.write(thinking, 25, INK, most=5)
    if said is not words:
        pen.write(_UNWRITTEN[words.language], 21, GREY, most=2)
    foot = " · ".join([pen.legible(what.name[:200]), pen.legible(what.model[:200]), day.isoformat()])
    pen.write(foot, 21, GREY, most=3)
    return pen.below(stage)


_UNWRITTEN = {
    Language.CHINESE: "In English, as this computer has no font for Chinese.",
    Language.JAPANESE: "In English, as this computer has no font for Japanese.",
}
_ILLEGIBLE = "(in letters for which this computer has no font)"


class _Pen:
    """Writes downwards: first everything is measured, then drawn below the photo."""

    def __init__(self, words: Words) -> None:
        known = sentence(Score(1), Degradation(Distortion.DARKEN, Severity.CATASTROPHIC), words)
        self.words = words if _font(known, 20) else ENGLISH
        self._strokes: list[tuple[int, Any]] = []
        self._at = 34

    def legible(self, text: str) -> str:
        """The text itself, or that it cannot be drawn here."""
        return text if _font(text, 20) else _ILLEGIBLE

    def write(self, text: str, size: int, colour: str, most: int, bold: int = 0) -> None:
        """A paragraph of no more than so many lines."""
        font = _font(text, size) or _default(size)
        for line in _lines(self.legible(text), font, WIDTH - 2 * MARGIN, most):
            self._strokes.append((self._at, (line, font, colour, bold)))
            self._at += round(size * 1.4)
        self._at += 14

    def scale(self, rating: float, words: Words, interval: tuple[float, float] | None) -> None:
        """The number, beside it the scale from 1 to 5 with its mark, and with the app's interval if there is one."""
        self._strokes.append((self._at, (rating, words, interval)))
        self._at += 92

    def below(self, stage: Image.Image) -> Image.Image:
        """Everything that was written, below the photo."""
        whole = Image.new("RGB", (WIDTH, stage.height + self._at + 22), PAPER)
        whole.paste(stage, (0, 0))
        draw = ImageDraw.Draw(whole)
        for at, stroke in self._strokes:
            if len(stroke) == 3:
                _scale(draw, stage.height + at, *stroke)
            else:
                line, font, colour, bold = stroke
                draw.text((MARGIN, stage.height + at), line, colour, font, stroke_width=bold)
        return whole


def _scale(
    draw: ImageDraw.ImageDraw, top: int, rating: float, words: Words, interval: tuple[float, float] | None
) -> None:
    small, ends = 20, {1: words("rating_1"), 5: words("rating_5")}
    draw.text((MARGIN, top), f"{rating:.2f}", INK, _font("0", 58) or _default(58), stroke_width=1)
    left, right = MARGIN + 210, WIDTH - MARGIN - 20
    place = {mark: left + (right - left) * (mark - 1) / 4 for mark in (1, 2, 3, 4, 5, rating)}
    for x in range(left, right, 4):
        hue = round(120 * (x - left) / (right - left))
        draw.rectangle((x, top + 16, x + 3, top + 26), f"hsl({hue}, 45%, 75%)")
    if interval:
        low, high = (left + (right - left) * (end - 1) / 4 for end in interval)
        draw.rectangle((low, top + 16, high, top + 26), f"hsl({round((rating - 1) * 30)}, 60%, 45%)")
    for mark in range(1, 6):
        name = f"{mark} {ends[mark]}" if mark in ends else str(mark)
        anchor = {1: "la", 5: "ra"}.get(mark, "ma")
        draw.text((place[mark], top + 42), name, GREY, _font(name, small) or _default(small), anchor=anchor)
    at, hue = place[rating], round((rating - 1) * 30)
    draw.ellipse((at - 15, top + 6, at + 15, top + 36), f"hsl({hue}, 70%, 40%)", "white", 4)


def _lines(text: str, font: Font, width: int, most: int) -> Iterator[str]:
    """The text in lines that fit; where there are more, the last ends in three dots."""
    left = " ".join(text.split())
    for number in range(most):
        if not left:
            return
        fits = _fitting(left, font, width)
        if fits < len(left) and number == most - 1:
            yield left[: _fitting(left, font, width - round(font.getlength("…")))].rstrip() + "…"
            return
        yield left[:fits].rstrip()
        left = left[fits:].lstrip()


def _fitting(text: str, font: Font, width: int) -> int:
    """How many letters stand in a line: whole words, where there are words."""
    low, high = 1, min(len(text), width)  # no letter is narrower than a pixel
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if font.getlength(text[:middle]) <= width else (low, middle - 1)
    if low == len(text) or text[low] == " ":
        return low
    space = text.rfind(" ", 0, low)
    return space if space > low // 2 else low


@cache
def _loaded(name: str, size: int) -> Font | None:
    try:
        return ImageFont.truetype(name, size)
    except OSError:
        return None


def _default(size: int) -> Font:
    return ImageFont.load_default(size)  # type: ignore[return-value]  # FreeType's, which the wheels of Pillow have


def _font(text: str, size: int) -> Font | None:
    """The first font that has every letter of the text."""
    letters = {letter for letter in text if not letter.isspace()}
    fonts = (_loaded(name, size) for name in FONTS)
    return next((font for font in (*fonts, _default(size)) if font and _has(font, letters)), None)


def _has(font: Font, letters: set[str]) -> bool:
    missing = bytes(font.getmask("\U0010ffff"))
    return all(bytes(font.getmask(letter)) != missing for letter in letters)
