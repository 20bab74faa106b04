"""One line of a data file: which photos, what is asked about them, and what people (or the degradation) answered.

Every data set becomes this one JSONL before it is trained on or evaluated; `python -m training.data` writes it.

    {"id": "koniq/1.jpg", "set": "KonIQ", "task": "score", "photos": ["1.jpg"], "mos": 3.91, "label": 72.8}
    {"id": "dq/7", "set": "DQ-495K", "task": "degradation", "photos": ["7.png"],
     "distortion_class": "noise", "severity": "slight"}
    {"id": "diffiqa/3", "set": "DiffIQA", "task": "comparison", "photos": ["ref.png", "a.png", "b.png"],
     "winner": "Image A"}

Photos are paths below the file's own folder (or `root`). A clean photo has "null" twice. A comparison of three
photos has its reference first. `label` is the opinion in the set's own unit, `mos` the same on 1 to 5. `source`,
where given, names the original that a photo was made from, so that no crop of a test photo is trained on.
"""

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qinsight.answers import Clean, Comparison, Degradation, Distortion, Severity, Winner
from qinsight.json_lines import json_object
from qinsight.prompts import Task
from qinsight.whole_files import whole_text
from training.data.lines import line_in, raise_all, read_each, text_lines

NULL = "null"


@dataclass(frozen=True)
class Rated:
    """A photo's mean opinion score on 1 to 5, and the same in the unit its data set publishes."""

    mos: float
    label: float


Target = Rated | Degradation | Clean | Comparison


@dataclass(frozen=True)
class Example:
    """One question with its answer. `photos` are absolute; reference, A, B where a comparison has three."""

    id: str
    set: str
    task: Task
    photos: tuple[Path, ...]
    target: Target
    source: str | None = None

    @property
    def reference(self) -> bool:
        return self.task is Task.COMPARISON and len(self.photos) == 3


def read_examples(file: Path, root: Path | None = None) -> list[Example]:
    """All examples of a JSONL, photos below `root` (the file's folder where None).

    `LabelError` lists every line that is not an example, and every id that comes twice. Whether the photos
    are there is asked by `training.data.photo_check`.
    """
    below = (root or file.parent).resolve()
    first: dict[str, str] = {}

    def read(place: str, text: str) -> Example:
        example = _example(json_object(text), below)
        if (before := first.setdefault(example.id, place)) != place:
            raise ValueError(f'expected every id once; "{example.id}" stands in line {line_in(before)} too')
        return example

    return read_each(text_lines(file, "JSONL"), read)


def write_examples(file: Path, examples: Iterable[Example], root: Path | None = None) -> int:
    """Write the file whole or not at all; photos become paths relative to `root` (its folder where None)."""
    below = (root or file.parent).resolve()
    file.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with whole_text(file) as out:
        for count, example in enumerate(examples, 1):  # noqa: B007
            out.write(json.dumps(as_json(example, below), ensure_ascii=False) + "\n")
    return count


def as_json(example: Example, root: Path) -> dict[str, Any]:
    """The line of an example, photos relative to `root` where they are below it."""
    line: dict[str, Any] = {
        "id": example.id,
        "set": example.set,
        "task": str(example.task),
        "photos": [_relative(photo, root) for photo in example.photos],
        **target_json(example.target),
    }
    return line if example.source is None else {**line, "source": example.source}


def target_json(target: Target) -> dict[str, Any]:
    """The answer's fields as they stand in a data file."""
    match target:
        case Rated(mos, label):
            return {"mos": mos, "label": label}
        case Degradation(distortion, severity):
            return {"distortion_class": str(distortion), "severity": str(severity)}
        case Clean():
            return {"distortion_class": NULL, "severity": NULL}
        case Comparison(winner):
            return {"winner": str(winner)}


def read_target(task: Task, line: dict[str, Any]) -> Target:
    """The answer in a line; `ValueError` says which field was expected and what came."""
    readers = {Task.SCORE: _read_rated, Task.DEGRADATION: _read_named, Task.COMPARISON: _read_winner}
    return readers[task](line)


def _read_rated(line: dict[str, Any]) -> Rated:
    mos = number_of(line, "mos")
    if not 1 <= mos <= 5:
        raise ValueError(f'expected "mos" from 1 to 5, got {mos:g}')
    return Rated(mos, number_of(line, "label") if "label" in line else mos)


def _read_winner(line: dict[str, Any]) -> Comparison:
    return Comparison(Winner(word_of(line, "winner", [str(winner) for winner in Winner])))


def _read_named(line: dict[str, Any]) -> Degradation | Clean:
    kind = word_of(line, "distortion_class", [*map(str, Distortion), NULL])
    level = word_of(line, "severity", [*map(str, Severity), NULL])
    if (kind == NULL) != (level == NULL):
        raise ValueError(f'expected a class with its severity or "null" for both, got "{kind}", "{level}"')
    return Clean() if kind == NULL else Degradation(Distortion(kind), Severity(level))


def refuse_leaks(train: list[Example], test: list[Example]) -> None:
    """`LabelError` where a photo of `test`, or another photo made from the same source, is trained on."""
    trained = dict(origins(train))
    problems = [
        f'"{example.id}" is tested on {what}, and "{trained[key]}" is trained on it'
        for example in test
        for key, what in ((key, str(key)) for key, _ in origins([example]))
        if key in trained
    ]
    if problems:
        problems.insert(0, "Expected no photo in both training and test:")
    raise_all(problems)


def origins(examples: Iterable[Example]) -> Iterator[tuple[str | Path, str]]:
    """All that an example was made from, its photos and their source, each with the example's id."""
    for example in examples:
        if example.source is not None:
            yield f"{example.set}:{example.source}", example.id
        for photo in example.photos:
            yield photo, example.id


def _example(line: dict[str, Any], root: Path) -> Example:
    task = Task(word_of(line, "task", [str(task) for task in Task]))
    photos = line.get("photos")
    if not isinstance(photos, list) or not all(isinstance(photo, str) and photo for photo in photos):
        raise ValueError(f'expected "photos" as a list of paths, got {json.dumps(photos)}')
    several = task is Task.COMPARISON
    if len(photos) not in ((2, 3) if several else (1,)):
        wanted = "2 or 3 photos (A, B, or reference, A, B)" if several else "1 photo"
        raise ValueError(f"expected {wanted} for {task}, got {len(photos)}")
    target = read_target(task, line)
    if len(photos) == 2 and target == Comparison(Winner.SIMILAR):
        raise ValueError("expected Image A or Image B: without a reference, the question offers no Similar")
    source = line.get("source")
    if source is not None and not isinstance(source, str):
        raise ValueError(f'expected "source" as text, got {json.dumps(source)}')
    return Example(
        id=text_of(line, "id"),
        set=text_of(line, "set"),
        task=task,
        photos=tuple(Path(os.path.normpath(root / photo)) for photo in photos),
        target=target,
        source=source,
    )


def _relative(photo: Path, root: Path) -> str:
    return photo.relative_to(root).as_posix() if photo.is_relative_to(root) else photo.as_posix()


def text_of(line: dict[str, Any], name: str) -> str:
    """A field that must be words; `ValueError` says what came."""
    value = line.get(name)
    if not isinstance(value, str) or not value:
        raise ValueError(f'expected "{name}" as text, got {json.dumps(value) if name in line else "nothing"}')
    return value


def word_of(line: dict[str, Any], name: str, known: list[str]) -> str:
    """A field that must be one of `known`."""
    value = line.get(name)
    if value not in known:
        came = json.dumps(value) if name in line else "nothing"
        raise ValueError(f'expected "{name}" as one of {", ".join(known)}; got {came}')
    return str(value)


def number_of(line: dict[str, Any], name: str) -> float:
    """A field that must be a finite number."""
    value = line.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < float("inf"):
        came = json.dumps(value) if name in line else "nothing"
        raise ValueError(f'expected "{name}" as a number, got {came}')
    return float(value)
