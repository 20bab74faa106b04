"""A shoot as the browser's light table reads it, and a person's word about its frames as the exports read it."""

import contextlib
import itertools
import shutil
import unicodedata
import zipfile
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import Any, Literal, NamedTuple

from qinsight.answers import Degradation, Distortion, Severity
from qinsight.errors import PhotoError, QInsightError
from qinsight.page.lean import style
from qinsight.page.lightbox import Lightbox, seen_by_model
from qinsight.page.result import fault_of, signed, without_cues
from qinsight.page.words import Words
from qinsight.photos.files import read_bytes
from qinsight.photos.jpeg import fingerprints
from qinsight.photos.listing import Found
from qinsight.ranking.embedding import embed, is_jpeg
from qinsight.ranking.exports import EXPORTS
from qinsight.ranking.picks import check_place, copy_picks
from qinsight.ranking.rows import BESIDE, Row, of_each_file
from qinsight.ranking.sidecars import Naming, has_sidecar, write_sidecars
from qinsight.ranking.tables import reasoning, thoughts
from qinsight.ranking.xmp import STARS, check_stars
from qinsight.trust.calibration import Calibration
from qinsight.trust.claims import check_reasons, claims_of
from qinsight.trust.confidence import noted, with_confidence
from qinsight.trust.pixels import Measured, measure
from qinsight.trust.triage import Heap, Triage, triage

CSS = style("shoot.css")
KINDS = ("all", "clean", *map(str, Distortion))
PLACES = ("beside", "embed")  # of XMP on a page of this computer
FILES = {Path(name).suffix.removeprefix("."): name for name in EXPORTS}  # each has a button


@dataclass
class Shoot:
    """The photos of one run: where they are, whether a stranger sent them, where results go, what was found."""

    folder: Path
    out: Path
    found: Found
    box: Lightbox
    rows: dict[int, Row] = field(default_factory=dict)
    ranked: bool = False  # whether it is known of the rows which frames belong together
    measured: dict[str, Measured] = field(default_factory=dict)  # of files by their hash

    @property
    def uploaded(self) -> bool:
        """Whether a stranger sent them."""
        return self.box.uploaded

    def hold(self, rows: Iterable[Row], *, ranked: bool) -> None:
        """What is known of the frames by now."""
        self.ranked = ranked
        self.rows |= {self.box.place_of[row.photo]: row for row in rows if row.photo in self.box.place_of}

    def measure(self, row: Row, max_pixels: int) -> Measured | None:
        """What the pixels of a row's photo say; None where the file is no longer the photo that was rated."""
        path = self.folder / row.photo
        if row.sha256 not in self.measured and row.sha256 in fingerprints(read_bytes(path)):
            self.measured[row.sha256] = measure(seen_by_model(path, max_pixels, uploaded=self.uploaded))
        return self.measured.get(row.sha256)

    def known(self, out: Sequence[Row], said: Container[str]) -> list[Row]:
        """The ranking so far, and a row without answers for each frame that a person spoke of before the model did."""
        rated = {row.photo for row in out}
        places = [place for place, frame in enumerate(self.box.frames) if not rated & {*frame}]
        spoken = [place for place in places if self.box.id_of(place) in said]
        return [*out, *itertools.chain.from_iterable(map(self._unrated, spoken))]

    def _unrated(self, place: int) -> Iterator[Row]:
        name, *others = self.box.frames[place]
        with contextlib.suppress(PhotoError, OSError):  # a file that is gone has nothing to be written to
            sha256 = fingerprints(read_bytes(self.folder / name))[0]
            yield Row(name, sha256, model="", also=BESIDE.join(others) or None)


class Bound(NamedTuple):
    """At most this share of what is accepted, and of what is rejected, may be wrong; good is what is rated from there.

    Zeros where nobody asked for heaps.
    """

    at_most_wrong: float = 0.0
    good_from: float = 0.0


NO_BOUND = Bound()


def bound_of(told: Any) -> Bound:
    """What a browser sent; anything that makes no sense asks for no heaps."""
    numbers = told if isinstance(told, list) and len(told) == 2 else [0, 0]
    share, rating = (float(one) if type(one) in (int, float) else 0.0 for one in numbers)
    return Bound(share, rating) if 0 < share < 0.5 and 1 < rating <= 5 else NO_BOUND


def heaps_of(calibration: Calibration | None, bound: Bound) -> Triage | None:
    """Where photos fall at this bound; None where nobody asked, or nothing is known of the model."""
    return triage(calibration, *bound) if calibration and bound.at_most_wrong else None


def shown(
    shoot: Shoot | None, key: str, words: Words, calibration: Calibration | None = None, asked: Any = None
) -> dict[str, Any] | None:
    """The light table: its frames at once, the rows as they come; each at its place, so that little travels again.

    `asked` is the bound that the browser asked for, as it sent it.
    """
    if shoot is None:
        return None
    heaps = heaps_of(calibration, bound_of(asked))
    rows = {place: _known(row, shoot.ranked, calibration, heaps) for place, row in shoot.rows.items()}
    holds = words("holds_for", photos=calibration.holds_for) if calibration else ""
    places = range(len(shoot.box.frames))
    return {
        "key": key,
        "frames": [_frame(shoot.box, place) for place in places],
        "rows": [_row(rows.get(place), words) for place in places],
        "sure": {"asked": asked, "holds": holds} if calibration else None,
        "kinds": [[kind, words(_KEYS.get(kind, kind))] for kind in KINDS],
    }


def reasoned(shoot: Shoot, place: int, words: Words, max_pixels: int) -> list[dict[str, Any]]:
    """Both reasonings of a frame in pieces, with the app's sign behind each sentence that the pixels were asked about."""
    row = shoot.rows.get(place)
    said = thoughts(row) if row else []
    seen = shoot.measure(row, max_pixels) if row and any(map(claims_of, said)) else None
    if seen is None:
        return []
    return [signed(without_cues(text), check_reasons(text, seen), words) for text in said]


_KEYS = {"clean": "clean_photos"}


def _frame(box: Lightbox, place: int) -> list[str]:
    name, *others = box.frames[place]
    shot = box.shots[place]
    also = "".join(f" + {PurePath(other).name}" for other in others)
    return [box.number(place), box.id_of(place), name + also, shot.taken or "", shot.settings]


def _row(row: Row | None, words: Words) -> dict[str, Any] | None:
    if row is None:
        return None
    remarks = [words.remark(row.remarks)] if row.remarks else []
    if row.app_low is not None:
        remarks.append(words("between", low=row.app_low, high=row.app_high))
    rating = row.rating if row.expected_rating is None else row.expected_rating
    return {
        "rating": rating,
        "fault": "clean" if row.distortion_class == "null" else row.distortion_class,
        "word": _word(row, words),
        "group": row.group,
        "best": row.best,
        "bracket": row.bracket,
        "text": "\n\n".join(map(without_cues, reasoning(row).split("\n\n"))),
        "error": words.remark(row.error) if row.error else "",
        "remark": " ".join(remarks),
        "heap": row.app_heap or "",
    }


def _word(row: Row, words: Words) -> str:
    """One plain word for the fault, with its severity."""
    if row.distortion_class is None:
        return ""
    if row.distortion_class == "null":
        return words("clean_photos")
    if row.severity in (None, "null"):
        return words(row.distortion_class)
    return fault_of(Degradation(Distortion(row.distortion_class), Severity(row.severity)), words)


Pick = Literal["picked", "rejected"] | None


@dataclass(frozen=True)
class Choices:
    """How a shoot is taken home, as on the command line; `said` is a person's word about frames, by their id."""

    said: dict[str, tuple[Pick, int | None]]
    reject_below: float | None = None
    pick_from: float | None = None
    stars: tuple[float, ...] = STARS
    naming: Naming = "full"
    caption: bool = False
    keep_ratings: bool = True
    bound: Bound = NO_BOUND


def choices(told: Any, names: str, stars: str, caption: bool, keep: bool) -> Choices:
    """What a browser sent: a malformed word about a frame is none; thresholds that make no sense are refused."""
    told = told if isinstance(told, dict) else {}
    marks = told.get("marks")
    said = {name: _mark(mark) for name, mark in (marks if isinstance(marks, dict) else {}).items()}
    naming: Naming = "stem" if names == "stem" else "full"
    low, high = _threshold(told.get("low")), _threshold(told.get("high"))
    bound = bound_of(told.get("sure"))
    return Choices(said, low, high, _stars(stars), naming, caption is True, keep is not False, bound)


def _mark(mark: Any) -> tuple[Pick, int | None]:
    flag, stars = mark if isinstance(mark, list) and len(mark) == 2 else (None, None)
    known: Pick = "picked" if flag == "picked" else "rejected" if flag == "rejected" else None
    return known, stars if type(stars) is int and 1 <= stars <= 5 else None


def _threshold(value: Any) -> float | None:
    """A rating that divides something; at the ends of the scale it divides nothing."""
    return float(value) if type(value) in (int, float) and 1 < value <= 5 else None


def _stars(text: str) -> tuple[float, ...]:
    try:
        plain = unicodedata.normalize("NFKC", text).replace("、", ",")  # as a Japanese keyboard writes it
        found = tuple(float(part) for part in plain.split(",")) if plain.strip() else STARS
        check_stars(found)
    except (ValueError, QInsightError) as error:
        raise QInsightError(
            "Expected four rising ratings at which 2, 3, 4 and 5 stars begin, such as {usual}; got {text}.",
            usual=", ".join(map(str, STARS)),
            text=repr(text),
        ) from error
    return found


def judged(rows: Sequence[Row], shoot: Shoot, chosen: Choices, calibration: Calibration | None) -> list[Row]:
    """The rows with what a person said of them, and with what the app knows, in fields of its own."""
    heaps = heaps_of(calibration, chosen.bound)
    return [_known(_judged(row, shoot.box, chosen), shoot.ranked, calibration, heaps) for row in rows]


def _known(row: Row, ranked: bool, calibration: Calibration | None, heaps: Triage | None) -> Row:
    """With the app's interval and heap; nothing is to be rejected that may yet prove to be of a bracket."""
    row = with_confidence(row, calibration, heaps)
    return replace(row, app_heap=str(Heap.LOOK)) if row.app_heap == Heap.REJECT and not ranked else row


def _judged(row: Row, box: Lightbox, chosen: Choices) -> Row:
    place = box.place_of.get(row.photo)
    pick, stars = chosen.said.get(box.id_of(place), (None, None)) if place is not None else (None, None)
    if pick is None and _by_slider(row, stars, chosen) == "picked":
        pick = "picked"
    return replace(row, pick=pick, stars=stars)


def _by_slider(row: Row, stars: int | None, chosen: Choices) -> Pick:
    """What the sliders say of a frame of which a person said nothing, as the page shows it."""
    rating = row.rating if row.expected_rating is None else row.expected_rating
    if rating is None:
        return None
    if chosen.reject_below is not None and rating < chosen.reject_below and not row.bracket and not stars:
        return "rejected"
    leads = row.group is None or row.best or row.bracket  # of a burst its best only
    return "picked" if leads and chosen.pick_from is not None and rating >= chosen.pick_from else None


def written(
    shoot: Shoot, rows: Sequence[Row], kind: str, chosen: Choices, place: Path, holds_for: str = ""
) -> Path:
    """One export in a folder the page may hand out from; `holds_for` are the photographs of the app's intervals."""
    if kind in FILES:
        path = place / FILES[kind]
        # XMP and copies have the threshold itself, which gives way to stars that a photo has already
        rows = [replace(row, pick=row.pick or _by_slider(row, row.stars, chosen)) for row in rows]
        EXPORTS[FILES[kind]](rows, path, shoot.folder, noted(shoot.found.sentence(), holds_for))
        return path
    files = of_each_file(rows, raw_only=chosen.naming == "stem")
    sidecars, _ = write_sidecars(files, shoot.folder, out=place / "xmp", naming=chosen.naming, **_how(chosen))
    path = place / "xmp-sidecars.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for sidecar in sidecars:
            archive.write(sidecar, sidecar.relative_to(place / "xmp"))
    shutil.rmtree(place / "xmp", ignore_errors=True)
    return path


def written_in_place(shoot: Shoot, rows: Sequence[Row], where: str, chosen: Choices) -> tuple[int, list[str]]:
    """XMP beside the photos of this computer, or inside JPEGs and beside others; how many, and what was left alone."""
    files = list(of_each_file(rows, raw_only=chosen.naming == "stem"))
    count, failures = 0, list[str]()
    if where == "embed":
        inside, failures = embed(of_each_file(rows), shoot.folder, **_how(chosen))
        count = len(inside)
        files = [row for row in files if not is_jpeg(row.photo) or has_sidecar(row, shoot.folder)]
    beside, more = write_sidecars(files, shoot.folder, naming=chosen.naming, **_how(chosen))
    return count + len(beside), [*failures, *more]


def copied(shoot: Shoot, rows: Sequence[Row], where: str, chosen: Choices) -> tuple[int, Path, list[str]]:
    """Copies of the picked frames in a folder of this computer: how many, where, and what was not copied."""
    place = Path(where.strip()).expanduser() if where.strip() else shoot.folder / "picks"
    place = place if place.is_absolute() else shoot.folder / place
    check_place(place, shoot.folder, shoot.box.place_of)
    picks = copy_picks(_picked(rows, chosen), shoot.folder, place, reject_below=chosen.reject_below)
    return picks.frames, place, picks.failures


def _picked(rows: Sequence[Row], chosen: Choices) -> list[Row]:
    """What a person picked, or the slider did; all, from which the best are copied, where neither was used."""
    if chosen.pick_from is None and all(row.pick != "picked" for row in rows):
        return [row for row in rows if row.was_asked_about]
    return [row for row in rows if row.pick == "picked"]


def _how(chosen: Choices) -> dict[str, Any]:
    return {
        "stars": chosen.stars,
        "reject_below": chosen.reject_below,
        "keep_ratings": chosen.keep_ratings,
        "caption": chosen.caption,
    }
