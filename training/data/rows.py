"""What all readers of published label files share: no row twice, no photo missing, a fair split."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from training.data.examples import Example, origins
from training.data.lines import LabelError, raise_all

# Photos that were made from an original carry its name: KADID-10k, PIPAL, TID2013, CSIQ.
MADE_FROM = (
    re.compile(r"(I\d\d)_\d\d_\d\d\."),
    re.compile(r"(A\d{4})_\d\d_\d\d\."),
    re.compile(r"(I\d\d)_\d\d_\d\.", re.IGNORECASE),
    re.compile(r"(\w+)\.(?:awgn|blur|contrast|fnoise|jpeg|jpeg2000)\.\d\.", re.IGNORECASE),
)


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
