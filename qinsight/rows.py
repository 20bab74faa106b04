"""One photo's line in a ranking: what every export writes and what a resumed run reads back."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """A photo of a folder as it was rated, or why it was not.

    `photo` is its path below the folder, with forward slashes. `rating` is the one the model wrote (1 to 5),
    `expected_rating` the mean over those it might have written, by which photos are ranked. A clean photo has
    "null" as `distortion_class` and `severity`. `error` says in a sentence why answers are None. `group` numbers
    near-identical frames (None: alone), `best` marks the highest expected rating of a group.
    """

    photo: str
    sha256: str
    model: str
    rating: float | None = None
    expected_rating: float | None = None
    distortion_class: str | None = None
    severity: str | None = None
    thinking: str | None = None
    diagnosis: str | None = None
    width: int | None = None
    height: int | None = None
    seconds: float | None = None
    phash: str | None = None
    error: str | None = None
    group: int | None = None
    best: bool = False

    def as_json(self) -> dict[str, Any]:
        return asdict(self)
