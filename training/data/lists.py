"""Plain label files: a photo, perhaps its reference, and an opinion a line, on whatever scale the set uses.

IMG_1.jpg 72.5 11.3                 name, mean opinion score, standard deviation
I01.png I01_01_01.png 4.57 0.70     reference, distorted photo, mean opinion score, standard deviation
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from qinsight.answers import Comparison, Winner
from qinsight.photos.listing import SUFFIXES
from qinsight.prompts import Task
from training.data.examples import Example, Rated
from training.data.lines import LabelError, read_each, text_lines
from training.data.rows import refuse_doubles, source_of

ROUNDING = 1e-9  # of the scale: SRIQA-Bench's best photos have 100.00000000000001
LEAST_COVERED = 0.2  # of a known scale; a file that covers less is on another one

_SUFFIX = "|".join(suffix[1:] for suffix in SUFFIXES)
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_LINE = re.compile(
    rf"\s*(?P<names>\S.*?\.(?:{_SUFFIX}))\s+(?P<label>{_NUMBER})(?:\s+(?P<spread>{_NUMBER}))?\s*",
    re.IGNORECASE,
)
_TWO = re.compile(rf"(?P<reference>.+?\.(?:{_SUFFIX}))\s+(?P<photo>.+)", re.IGNORECASE)


@dataclass(frozen=True)
class Scale:
    """The lowest and the highest opinion of a set; on a DMOS the lowest is the best."""

    low: float
    high: float
    worse_upwards: bool = False

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}{' (higher is worse)' if self.worse_upwards else ''}"

    def holds(self, label: float) -> bool:
        slack = ROUNDING * (self.high - self.low)
        return self.low - slack <= label <= self.high + slack

    def mos(self, label: float) -> float:
        """The label on 1 (bad) to 5 (excellent), by a straight line."""
        share = min(1.0, max(0.0, (label - self.low) / (self.high - self.low)))
        return 1 + 4 * (1 - share if self.worse_upwards else share)


# As published, and as the lists of VisualQuality-R1 carry them where those differ. PIPAL has none: Elo is open.
KNOWN = {
    **dict.fromkeys(("koniq10k", "koniq"), (Scale(1, 5), Scale(0, 100))),
    **dict.fromkeys(("kadid10k", "kadid"), (Scale(1, 5),)),
    "spaq": (Scale(0, 100), Scale(1, 5)),
    **dict.fromkeys(("livewild", "livec"), (Scale(0, 100),)),
    **dict.fromkeys(("agiqa3k", "agiqa"), (Scale(0, 5), Scale(0, 100))),
    "bid": (Scale(0, 5), Scale(0, 100)),
    **dict.fromkeys(("deblur", "dehaze"), (Scale(0, 100), Scale(1, 5))),
    "csiq": (Scale(0, 1, worse_upwards=True),),
    "tid2013": (Scale(0, 9),),
    "sriqabench": (Scale(0, 100),),
}


@dataclass(frozen=True)
class Line:
    """One line of a list, with its place."""

    place: str
    photo: str
    label: float
    reference: str | None = None


@dataclass(frozen=True)
class Pairing:
    """Which comparisons are made of the photos of one reference; all of them where `number` is None."""

    number: int | None = None
    show_reference: bool = True
    least_difference: float = 0.1
    seed: int = 1


def read_list(file: Path) -> list[Line]:
    """The lines of a list; the numbers are found from the right, so names may hold spaces."""
    lines = read_each(text_lines(file), _line)
    full = sum(line.reference is not None for line in lines)
    if full not in (0, len(lines)):
        odd = next(line for line in lines if (line.reference is None) == (full * 2 > len(lines)))
        usual = "reference and photo" if full * 2 > len(lines) else "one photo"
        raise LabelError(f"{odd.place}: expected {usual}, as on most lines, got {odd.reference or odd.photo}")
    return lines


def is_line(text: str) -> bool:
    """Whether a text is a line of such a list."""
    return _LINE.fullmatch(text.strip()) is not None


def known_scale(name: str, lines: Sequence[Line]) -> Scale:
    """The published scale of a set, where the labels fit exactly one; `LabelError` otherwise."""
    scales = KNOWN.get(re.sub(r"[^a-z0-9]", "", name.lower()))
    if scales is None:
        raise LabelError(
            f"Expected --range LOW HIGH or --range auto: the scale of {name} is not known here "
            f"(known are {', '.join(KNOWN)})."
        )
    low, high = _ends(lines)
    fitting = [
        scale
        for scale in scales
        if scale.holds(low.label)
        and scale.holds(high.label)
        and high.label - low.label >= LEAST_COVERED * (scale.high - scale.low)
    ]
    if len(fitting) == 1:
        return fitting[0]
    raise LabelError(
        f"Expected labels of {name} on {' or on '.join(map(str, scales))}, got {low.label:g} ({low.place}) to "
        f"{high.label:g} ({high.place}){', which fits each' if fitting else ''}. Say --range LOW HIGH."
    )


def own_scale(lines: Sequence[Line], worse_upwards: bool) -> Scale:
    """From the lowest label to the highest, as Data-DeQA-Score does it."""
    low, high = (end.label for end in _ends(lines))
    if low == high:
        raise LabelError(f"Expected labels that differ, got {low:g} on every line.")
    return Scale(low, high, worse_upwards)


def rate(lines: Sequence[Line], scale: Scale, root: Path, name: str) -> list[Example]:
    """A rating per line, on 1 to 5; `LabelError` lists every label that is off the scale."""

    def read(place: str, line: Line) -> tuple[str, Example]:
        if not scale.holds(line.label):
            raise ValueError(f"expected a label from {scale}, got {line.label:g}")
        source = source_of(line.photo) or line.reference  # the same name as in other files of the set
        target = Rated(round(scale.mos(line.label), 6), line.label)
        photo = root.resolve() / line.photo
        return place, Example(f"{name}/{line.photo}", name, Task.SCORE, (photo,), target, source)

    return refuse_doubles(read_each([(line.place, line) for line in lines], read))


def pair(
    lines: Sequence[Line], rated: Sequence[Example], references: Path, pairing: Pairing
) -> tuple[list[Example], int]:
    """Comparisons of photos of one reference, in random order; and how many ties had to be left out.

    Two photos closer than `least_difference` are Similar where the reference is shown. Without it the question
    has no such answer. `rated` are the examples of `lines`.
    """
    groups: dict[str, list[Example]] = {}
    for line, example in zip(lines, rated, strict=True):
        if line.reference is None:
            raise LabelError(f"{line.place}: expected reference and photo to make pairs, got one photo")
        groups.setdefault(line.reference, []).append(example)
    rng = np.random.default_rng(pairing.seed)
    found: list[Example] = []
    ties = 0
    for reference, members in groups.items():
        shown = (references.resolve() / reference,) if pairing.show_reference else ()
        pairs = [pair for pair in combinations(members, 2) if _differ(*pair, pairing)]
        ties += len(members) * (len(members) - 1) // 2 - len(pairs)
        for place in sorted(rng.permutation(len(pairs))[: pairing.number]):
            # A list is often sorted, best first.
            a, b = pairs[place] if rng.random() < 0.5 else pairs[place][::-1]
            target = Comparison(_winner(a, b, pairing.least_difference))
            told = f"{a.id}|{b.id.removeprefix(f'{b.set}/')}"
            photos = (*shown, *a.photos, *b.photos)
            found.append(Example(told, a.set, Task.COMPARISON, photos, target, a.source))
    return found, ties


def _line(place: str, text: str) -> Line:
    found = _LINE.fullmatch(text)
    if not found:
        raise ValueError(
            f"expected a photo (or reference and photo) and its label, got {text.strip()[:80]!r}"
        )
    two = _TWO.fullmatch(found["names"])
    photo = two["photo"] if two else found["names"]
    return Line(place, photo, float(found["label"]), two["reference"] if two else None)


def _ends(lines: Sequence[Line]) -> tuple[Line, Line]:
    return min(lines, key=lambda line: line.label), max(lines, key=lambda line: line.label)


def _differ(a: Example, b: Example, pairing: Pairing) -> bool:
    return pairing.show_reference or _winner(a, b, pairing.least_difference) is not Winner.SIMILAR


def _winner(a: Example, b: Example, least: float) -> Winner:
    difference = _opinion(a) - _opinion(b)
    if difference == 0 or abs(difference) < least:
        return Winner.SIMILAR
    return Winner.A if difference > 0 else Winner.B


def _opinion(example: Example) -> float:
    assert isinstance(example.target, Rated)
    return example.target.mos
