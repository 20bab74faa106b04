"""One photo's line in a ranking: what every export writes and what a resumed run reads back."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from qinsight.engines.made_by import MadeBy
from qinsight.sentence import Sentence

BESIDE = " | "  # between the names of a frame's other files
COMPARED_BY = ("bracketing", "tones")


@dataclass(frozen=True)
class Row:
    """A photo of a folder as it was rated, or why it was not.

    `photo` is its path below the folder, with forward slashes, `sha256` of its file, of a JPEG without its XMP
    packet, which programs rewrite as they like. `rating` is the one the model wrote (1 to 5),
    `expected_rating` the mean over those it might have written, by which photos are ranked. A clean photo has
    "null" as `distortion_class` and `severity` here, and nothing in JSON and CSV. `error` says in a sentence why
    answers are None. `group` numbers the frames of a burst or a bracket (None: alone), `best` marks the highest expected
    rating of a burst, `bracket` every frame of a bracket. `taken`, `exposure` and `bias` are the camera's. `also` names the other files of the same shutter, such as the RAW beside a JPEG. `remarks` says what was done
    to read the photo, `made_by` what the answers depend on (rows of earlier versions do not say).
    `odds_spread` is how far the model's own odds of a rating spread around `expected_rating`. What begins with `app_` is the
    app's word: where the label of a photo like this lies nine times in ten, and the heap into which it falls (accept,
    reject, look), nothing where there is no calibration; `app_passport` is what a passport says of how the model is served. `pick` and `stars` are a
    person's, by key or by slider, kept apart from the model's.
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
    also: str | None = None
    remarks: str | None = None
    made_by: MadeBy | None = None
    taken: str | None = None
    exposure: float | None = None
    bias: float | None = None
    bracket: bool = False
    bracketing: bool = False
    tones: str | None = None
    odds_spread: float | None = None
    app_low: float | None = None
    app_high: float | None = None
    app_heap: str | None = None
    app_passport: str | None = None
    pick: Literal["picked", "rejected"] | None = None
    stars: int | None = None

    @property
    def by_person(self) -> int | None:
        """The stars that a person gave, -1 where a person rejected it; None where neither."""
        return -1 if self.pick == "rejected" else self.stars

    @property
    def was_asked_about(self) -> bool:
        """Whether a model was to rate it; a person may have spoken of it before."""
        return any(part is not None for part in (self.error, self.rating, self.thinking, self.diagnosis))

    def as_json(self) -> dict[str, Any]:
        """As other programs read it: a clean photo has no class and no severity; what frames are compared by is left out."""
        told = {name: value for name, value in asdict(self).items() if name not in COMPARED_BY}
        return told | {name: None for name in ("distortion_class", "severity") if told[name] == "null"}

    def kept(self) -> dict[str, Any]:
        """As a later run reads it back: what is said keeps its templates."""
        texts = {"error": self.error, "remarks": self.remarks}
        said = {name: text.as_json() for name, text in texts.items() if isinstance(text, Sentence)}
        compared_by = {name: getattr(self, name) for name in COMPARED_BY}
        return self.as_json() | compared_by | ({"said": said} if said else {})

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> "Row":
        """The row again; earlier versions wrote "null" as a word, and what is said without its templates."""
        said = {name: Sentence.from_json(text) for name, text in told.get("said", {}).items()}
        told = {name: text for name, text in told.items() if name != "said"}
        row = cls(**told | {name: text for name, text in said.items() if text == told.get(name)})
        clean = row.error is None and row.diagnosis is not None and row.distortion_class is None
        return replace(row, distortion_class="null", severity="null") if clean else row


def of_each_file(rows: Iterable[Row], *, raw_only: bool = False) -> Iterator[Row]:
    """A row for each file of a frame, all with the same answers; with `raw_only` for the RAW where there is one."""
    for row in rows:
        others = row.also.split(BESIDE) if row.also else []
        if not (raw_only and others):
            yield row
        yield from (replace(row, photo=name, also=None) for name in others)
