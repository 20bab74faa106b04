"""Label files in JSON as their authors publish them, read into examples; nothing is invented or repaired."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from qinsight.answers import Clean, Comparison, Degradation, Distortion, Severity, Winner
from qinsight.json_lines import Line
from qinsight.prompts import Task
from training.data.examples import Example, Rated, number_of, text_of, word_of
from training.data.lines import LabelError, json_lines, json_rows, read_each
from training.data.rows import refuse_doubles, source_of

SEVERITIES = tuple(Severity)
DIFFIQA_PHOTOS = "DiffIQA/ValidationImage/images"

# DeQA's folders, and the names that the paper's tables have for the sets in them.
NAMES = {"KONIQ": "KonIQ", "KADID10K": "KADID", "AGIQA3K": "AGIQA", "LIVE-WILD": "LIVE-Wild"}


class Swap(StrEnum):
    """In which order the two photos of a comparison are shown."""

    NONE = "none"
    RANDOM = "random"
    BOTH = "both"


@dataclass(frozen=True)
class Sample:
    """How many rows of DQ-495K to take, and whether each class is taken equally often."""

    train: int = 7000
    test: int = 1000
    seed: int = 1
    even: bool = False


def read_deqa(file: Path, root: Path | None = None, name: str | None = None) -> list[Example]:
    """Ratings in the form of Data-DeQA-Score: KonIQ, SPAQ, KADID and others.

    `image` is below `root`, where None the folder that holds the set's own (`root/KONIQ/metas/file.json`).
    """
    below = (root or file.resolve().parent.parent.parent).resolve()

    def read(place: str, row: Line) -> tuple[str, Example]:
        photo, mos = text_of(row, "image"), _mos(row, "gt_score_norm")
        folder = photo.split("/")[0]
        known = name or NAMES.get(folder.upper(), folder)
        told = text_of(row, "id").removesuffix("->MOS")
        target = Rated(mos, number_of(row, "gt_score"))
        return place, Example(
            f"{known}/{told}", known, Task.SCORE, (below / photo,), target, source_of(photo)
        )

    return refuse_doubles(read_each(json_rows(file), read))


def read_visualquality(file: Path, root: Path) -> list[Example]:
    """Ratings in the form of VisualQuality-R1: a JSONL of conversations that end in the MOS, 1 to 5."""

    def read(place: str, row: Line) -> tuple[str, Example]:
        photos, name = row.get("image"), text_of(row, "dataset_name")
        if not isinstance(photos, list) or len(photos) != 1 or not isinstance(photos[0], str):
            raise ValueError(f'expected "image" as a list of one path, got {photos!r}')
        mos = _mos({"the value of gpt": _said(row)}, "the value of gpt")
        path, source = root.resolve() / photos[0], source_of(photos[0])
        return place, Example(f"{name}/{photos[0]}", name, Task.SCORE, (path,), Rated(mos, mos), source)

    return refuse_doubles(read_each(json_lines(file), read))


def read_diffiqa(file: Path, root: Path, name: str = "DiffIQA") -> list[Example]:
    """Comparisons with a reference, in the form that Q-Insight publishes."""

    def read(place: str, row: Line) -> tuple[str, Example]:
        photos = [text_of(row, key) for key in ("ref_image", "ImageA", "ImageB")]
        target = Comparison(Winner(word_of(row, "result", [str(winner) for winner in Winner])))
        paths = tuple(root.resolve() / photo for photo in photos)
        told = f"{name}/{'|'.join(photos[1:])}"
        return place, Example(told, name, Task.COMPARISON, paths, target, source=photos[0])

    return refuse_doubles(read_each(json_rows(file), read))


def swap_pairs(examples: Sequence[Example], swap: Swap, seed: int) -> list[Example]:
    """The comparisons in the order they stand, in a random one, or in both; the winner goes with its photo."""
    rng = np.random.default_rng(seed)
    found: list[Example] = []
    for example in examples:
        if swap is Swap.BOTH:
            found += [example, swapped(example)]
        elif swap is Swap.RANDOM and rng.random() < 0.5:
            found.append(swapped(example))
        else:
            found.append(example)
    return found


def swapped(example: Example) -> Example:
    """The same comparison with A and B exchanged."""
    if not isinstance(example.target, Comparison):
        raise ValueError(f'expected a comparison, got "{example.id}", a {example.task}')
    *reference, a, b = example.photos
    other = example.target.winner.swapped
    return replace(example, id=f"{example.id}:swapped", photos=(*reference, b, a), target=Comparison(other))


def read_dq495k(
    files: Iterable[Path], root: Path, sample: Sample, name: str = "DQ-495K"
) -> tuple[list[Example], list[Example], Counter[str]]:
    """Rows to train on and to test on, which share no reference photo, and what was left out and why.

    Of the twelve classes, the four that Q-Insight asks about are kept, and clean photos.
    """
    left: Counter[str] = Counter()

    def read(place: str, row: Line) -> tuple[str, Example] | None:
        target = _dq_target(row, left)
        if target is None:
            return None
        photo, source, told = text_of(row, "image_A"), text_of(row, "image_ref"), row.get("id")
        if isinstance(told, bool) or not isinstance(told, int | str):
            raise ValueError(f'expected "id" as text or a number, got {told!r}')
        path = root.resolve() / photo
        return place, Example(f"{name}/{told}", name, Task.DEGRADATION, (path,), target, source)

    rows = (row for file in files for row in json_rows(file))
    kept = refuse_doubles(found for found in read_each(rows, read) if found)
    train, test = _disjoint(kept, sample)
    left["rows not drawn"] = len(kept) - len(train) - len(test)
    return train, test, left


def _dq_target(row: Line, left: Counter[str]) -> Degradation | Clean | None:
    if row.get("image_B") is not None:
        left["rows that compare two photos"] += 1
        return None
    for name in ("distortion_class", "severity"):
        if name not in row:
            raise ValueError(f'expected "{name}", got nothing')
    kind, level = row["distortion_class"], row["severity"]
    if isinstance(level, bool) or not isinstance(level, int) or not 0 <= level <= 5:
        raise ValueError(f'expected "severity" as a whole number from 0 to 5, got {level!r}')
    if not (kind is None or isinstance(kind, str)):
        raise ValueError(f'expected "distortion_class" as text or null, got {kind!r}')
    if (kind in (None, "", "null")) != (level == 0):
        raise ValueError(f"expected a class with its severity or neither, got {kind!r} and {level}")
    if not level:
        return Clean()
    if kind not in list(Distortion):
        left[f"rows of class {kind}"] += 1
        return None
    return Degradation(Distortion(kind), SEVERITIES[level - 1])


def _disjoint(examples: list[Example], sample: Sample) -> tuple[list[Example], list[Example]]:
    rng = np.random.default_rng(sample.seed)
    sources = sorted({example.source or "" for example in examples})
    share = sample.test / (sample.train + sample.test)
    held = {sources[place] for place in rng.permutation(len(sources))[: round(len(sources) * share)]}
    train = [example for example in examples if example.source not in held]
    test = [example for example in examples if example.source in held]
    return (
        _draw(train, sample.train, "train on", sample.even, rng),
        _draw(test, sample.test, "test on", sample.even, rng),
    )


def _draw(
    examples: list[Example], number: int, what_for: str, even: bool, rng: np.random.Generator
) -> list[Example]:
    if even:
        kinds = [*map(str, Distortion), "clean"]
        drawn: list[Example] = []
        for place, kind in enumerate(kinds):
            mine = [example for example in examples if _class(example) == kind]
            wanted = number // len(kinds) + (place < number % len(kinds))
            drawn += _draw(mine, wanted, f"{what_for} ({kind})", False, rng)
        return drawn
    if len(examples) < number:
        raise LabelError(
            f"Expected {number} rows to {what_for}, got {len(examples)}; ask for fewer with --train and --test."
        )
    return [examples[place] for place in sorted(rng.permutation(len(examples))[:number])]


def _class(example: Example) -> str:
    return str(example.target.distortion) if isinstance(example.target, Degradation) else "clean"


def _mos(row: Line, name: str) -> float:
    mos = number_of(row, name)
    if not 1 <= mos <= 5:
        raise ValueError(f'expected "{name}" from 1 to 5, got {mos:g}')
    return mos


def _said(row: Line) -> Any:
    turns = row.get("conversations")
    said = [
        turn.get("value")
        for turn in (turns if isinstance(turns, list) else [])
        if isinstance(turn, dict) and turn.get("from") == "gpt"
    ]
    if len(said) != 1:
        raise ValueError(f'expected "conversations" with one turn from gpt, got {len(said)}')
    return said[0]
