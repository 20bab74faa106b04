"""What all readers of published label files share: rows with their place, all problems at once, a fair split."""

import json
import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from qinsight.json_lines import Read, json_object, parsed
from training.data.examples import Example, LabelError, origins, raise_all

Row = dict[str, Any]

# Photos that were made from an original carry its name: KADID-10k, PIPAL, TID2013, CSIQ.
MADE_FROM = (
    re.compile(r"(I\d\d)_\d\d_\d\d\."),
    re.compile(r"(A\d{4})_\d\d_\d\d\."),
    re.compile(r"(I\d\d)_\d\d_\d\.", re.IGNORECASE),
    re.compile(r"(\w+)\.(?:awgn|blur|contrast|fnoise|jpeg|jpeg2000)\.\d\.", re.IGNORECASE),
)


def json_rows(file: Path) -> Iterator[tuple[str, Row]]:
    """The objects of a JSON list, each with the file and its row number, counted from 1."""
    try:
        rows = parsed(text_of_file(file))
    except (OSError, ValueError) as error:
        raise LabelError(f"Expected a readable JSON file at {file}: {error}") from error
    if not isinstance(rows, list) or not rows:
        raise LabelError(f"Expected a JSON list of rows in {file}, got {json.dumps(rows)[:60]}")
    raise_all(
        [
            f"{file}: row {number}: expected an object, got {json.dumps(row)[:60]}"
            for number, row in enumerate(rows, 1)
            if not isinstance(row, dict)
        ]
    )
    yield from ((f"{file}: row {number}", row) for number, row in enumerate(rows, 1))


def text_of_file(file: Path) -> str:
    """A text in UTF-8, or in UTF-16 with the mark that Excel's "Unicode Text" begins with."""
    content = file.read_bytes()
    if content.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        return content.decode("utf-16")
    if b"\0" in content[:2]:  # the mark is missing; no text begins with NUL
        return content.decode("utf-16-be" if content.startswith(b"\0") else "utf-16-le")
    return content.decode("utf-8-sig")


def text_lines(file: Path) -> Iterator[tuple[str, str]]:
    """The lines of a text that are not empty, each with the file and its line number."""
    try:
        lines = text_of_file(file).split("\n")  # splitlines would split at U+2028 too
    except (OSError, UnicodeDecodeError) as error:
        raise LabelError(f"Expected a readable text in UTF-8 at {file}: {error}") from error
    if not any(line.strip() for line in lines):
        raise LabelError(f"Expected at least one line in {file}; it is empty.")
    yield from ((f"{file}:{number}", line) for number, line in enumerate(lines, 1) if line.strip())


def json_lines(file: Path) -> Iterator[tuple[str, Row]]:
    """The objects of a JSONL, each with the file and its line number."""
    return iter(read_each(text_lines(file), lambda place, line: (place, json_object(line))))


def any_rows(file: Path) -> Iterator[tuple[str, Row]]:
    """The objects of a JSON list or of a JSONL, each with its place."""
    first = next(text_lines(file))[1].lstrip()[:1]
    return json_rows(file) if first == "[" else json_lines(file)


def read_each(places: Iterable[tuple[str, Any]], read: Callable[[str, Any], Read]) -> list[Read]:
    """`read` called with every place and row; `LabelError` lists all places where it raised `ValueError`."""
    found: list[Read] = []
    problems: list[str] = []
    for place, row in places:
        try:
            found.append(read(place, row))
        except ValueError as error:
            problems.append(f"{place}: {error}")
    raise_all(problems)
    return found


def refuse_doubles(placed: Iterable[tuple[str, Example]]) -> list[Example]:
    """The examples; `LabelError` where two have the same id."""
    first: dict[str, str] = {}
    examples: list[Example] = []
    problems: list[str] = []
    for place, example in placed:
        if example.id in first:
            problems.append(
                f'{place}: expected every row once; "{example.id}" stands at {first[example.id]} too'
            )
        first.setdefault(example.id, place)
        examples.append(example)
    raise_all(problems)
    return examples


def source_of(photo: str) -> str | None:
    """The original's name in the name of a photo, where the set has such names."""
    name = photo.replace("\\", "/").rsplit("/", 1)[-1]
    found = next((found for pattern in MADE_FROM if (found := pattern.match(name))), None)
    return found[1] if found else None


def refuse_missing(examples: Iterable[Example]) -> None:
    """`LabelError` that lists the photos that are not there."""
    problems: dict[Path, str] = {}
    for example in examples:
        for photo in example.photos:
            if photo not in problems and not photo.is_file():
                problems[photo] = f'expected the photo {photo} of "{example.id}"; there is none'
    if problems:
        hint = (
            "Expected every photo to be there (--root names their folder, --no-photos converts without them):"
        )
        raise_all([hint, *problems.values()])


def split_by_origin(
    examples: Sequence[Example], share: float, seed: int
) -> tuple[list[Example], list[Example]]:
    """A random share to test on; rows that have a photo or a source in common stay together."""
    together = _families(examples)
    sizes = Counter(together)
    families = sorted(sizes)
    held: set[int] = set()
    rows = 0
    for place in np.random.default_rng(seed).permutation(len(families)):
        if rows < share * len(examples):
            held.add(families[place])
            rows += sizes[families[place]]
    parts = [
        [example for example, family in zip(examples, together, strict=True) if (family in held) is tested]
        for tested in (False, True)
    ]
    if not parts[0] or not parts[1]:
        raise LabelError(
            f"Expected rows to train on and rows to test on that share no photo or original; all "
            f"{len(examples)} belong together. Leave --test-out away."
        )
    return parts[0], parts[1]


def _families(examples: Sequence[Example]) -> list[int]:
    """For each example the number of the first one that it is tied to, over any number of steps."""
    leader = list(range(len(examples)))

    def find(number: int) -> int:
        while leader[number] != number:
            leader[number] = leader[leader[number]]
            number = leader[number]
        return number

    first: dict[str | Path, int] = {}
    for number, example in enumerate(examples):
        for key, _ in origins([example]):
            one, other = find(first.setdefault(key, number)), find(number)
            leader[max(one, other)] = min(one, other)
    return [find(number) for number in range(len(examples))]
