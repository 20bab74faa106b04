"""From a folder of good photos to views whose degradation is known, and the questions that can be asked of them.

Every draw depends on the seed and the number of its group alone, so any number of processes writes the same
files. Views come three of one crop, so that a comparison is about the degradation and not about the subject.
"""

import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from qinsight.answers import Clean, Comparison, Degradation, Distortion, Severity, Winner
from qinsight.errors import PhotoError
from qinsight.photos import read_photo
from qinsight.photos.listing import photos_in
from qinsight.photos.view import TOKEN
from qinsight.prompts import Task
from training.data import crops
from training.data.degrade import DISTORTIONS
from training.data.examples import Example, Rated
from training.data.lines import LabelError
from training.data.originals import MASTER_PIXELS, SHRINK, SHRINK_LOSSLESS, list_photos

GROUP = 3  # views of one crop
LOSSLESS = ("PNG", "TIFF", "BMP", "GIF")
CLEAR = 0.1  # of a MOS: two views that differ by less have no winner
SIMILAR = 0.3  # of a MOS: with a reference, `Similar` is an answer
ANOTHER_PHOTO = 0.5  # of the pairs compare views of two groups
TWICE_THE_SAME = 0.15  # of the triples show one view as A and as B

Card = tuple[str, int]
"""A class with its level; ("null", 0) for a clean view."""

# A deck holds every class and level once, and clean as often as each class.
DECK: tuple[Card, ...] = (
    *((distortion, level) for distortion in DISTORTIONS for level in range(1, 6)),
    *[("null", 0)] * 5,
)


@dataclass(frozen=True)
class SetSettings:
    """Everything that decides what is drawn."""

    views: int
    test_share: float = 0.1
    seed: int = 1
    tasks: tuple[Task, ...] = (Task.DEGRADATION, Task.SCORE, Task.COMPARISON)
    with_reference: bool = False
    tokens: tuple[int, int] = (64, 256)
    crop: bool = False
    shrink: bool = True
    name: str = "degraded"


@dataclass(frozen=True)
class Original:
    """A photo to draw views of; `held_out` is None where nobody decided."""

    file: str
    held_out: bool | None = None


@dataclass(frozen=True)
class Drawn:
    """A view as it was written: its file, its group, its original, and what was done to it."""

    file: Path
    group: int
    source: str
    distortion_class: str
    severity: str
    mos: float


@dataclass(frozen=True)
class Group:
    """Views of one crop, still to be drawn: what becomes of each, and where it is written."""

    number: int
    cards: tuple[Card, ...]
    files: tuple[Path, ...]
    seed: tuple[int, ...]


@dataclass(frozen=True)
class DegradedSet:
    """What was made: the rows of both splits, how many views, and the photos that could not be read."""

    train: list[Example]
    test: list[Example]
    views: int
    photos: int
    unreadable: dict[str, str]


def make_set(
    folder: Path,
    out: Path,
    settings: SetSettings,
    *,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> DegradedSet:
    """Write the views below `out/train` and `out/test`, and give the rows about them.

    `progress` hears after each photo how many views of how many there are. Photos are held out whole. One that
    cannot be read is left out, and others take its views; `LabelError` where none is left.
    """
    listed = originals(folder, out)
    train, test = split(listed, settings)
    # A photo that was to be tested on and cannot be read is replaced; a split that somebody chose stays.
    spare = train if listed[0].held_out is None else []
    tested = round(settings.views * settings.test_share)
    unreadable: dict[str, str] = {}
    drawn: dict[str, list[Drawn]] = {}
    for name, photos, views in (("test", test, tested), ("train", train, settings.views - tested)):
        before = sum(map(len, drawn.values()))

        def told(number: int, before: int = before) -> None:
            if progress:
                progress(before + number, settings.views)

        (out / name).mkdir(parents=True, exist_ok=True)
        groups = _groups(out / name, views, (settings.seed, len(name)))
        draw = partial(draw_groups, folder, settings)
        found = _draw_all(draw, photos, spare if name == "test" else [], groups, workers, unreadable, told)
        drawn[name] = sorted(found, key=lambda view: view.file)
    train_rows, test_rows = (list(_rows(drawn[name], name, settings)) for name in ("train", "test"))
    made = [view for part in drawn.values() for view in part]
    return DegradedSet(train_rows, test_rows, len(made), len({view.source for view in made}), unreadable)


def originals(folder: Path, out: Path | None = None) -> list[Original]:
    """The photos of a folder; with the split of `training.preview.collect` where it wrote the folder."""
    if (folder / "photos.json").exists():
        return [Original(photo.file, photo.held_out) for photo in list_photos(folder)]
    return [Original(name) for name in photos_in(folder, out)]


def split(photos: list[Original], settings: SetSettings) -> tuple[list[str], list[str]]:
    """Photos to train on and photos to test on: as the folder's list says, or a random share from the seed."""
    held = {photo.file for photo in photos if photo.held_out}
    if settings.test_share and photos[0].held_out is None:
        if len(photos) < 2:
            raise LabelError(
                "Expected at least 2 photos, one of them to test on, got 1; or ask for --test-share 0."
            )
        number = min(len(photos) - 1, max(1, round(len(photos) * settings.test_share)))
        order = np.random.default_rng((settings.seed, 0)).permutation(len(photos))
        held = {photos[place].file for place in order[:number]}
    names = [photo.file for photo in photos]
    return [name for name in names if name not in held], [name for name in names if name in held]


def draw_groups(
    folder: Path, settings: SetSettings, photo: str, groups: Sequence[Group]
) -> list[Drawn] | str:
    """Write all views of one photo; or why it cannot be read."""
    try:
        image = clean_photo(folder / photo, shrink=settings.shrink and not (folder / "photos.json").exists())
    except (PhotoError, OSError) as error:
        return str(error)
    views: list[Drawn] = []
    for group in groups:
        rng = np.random.default_rng(group.seed)
        crop = _crop(image, settings, rng)
        for (distortion, level), file in zip(group.cards, group.files, strict=True):
            degraded = crops.fit(crops.draw_named(crop, distortion, level, rng))
            degraded.image.save(file, compress_level=1)
            labels = (degraded.distortion_class, degraded.severity, round(degraded.mos, 3))
            views.append(Drawn(file, group.number, photo, *labels))
    return views


def clean_photo(path: Path, *, shrink: bool) -> Image.Image:
    """The photo at 1.3 megapixels or less, small enough that its own compression and noise are gone."""
    photo = read_photo(path, max_pixels=MASTER_PIXELS)
    wanted = (SHRINK_LOSSLESS if photo.format in LOSSLESS else SHRINK) if shrink else 1.0
    scale = wanted * photo.size[0] / photo.image.width
    if scale >= 1:
        return photo.image
    size = (max(56, round(photo.image.width * scale)), max(56, round(photo.image.height * scale)))
    return photo.image.resize(size, Image.Resampling.LANCZOS)


def _crop(photo: Image.Image, settings: SetSettings, rng: np.random.Generator) -> Image.Image:
    low, high = settings.tokens
    tokens = round(float(np.exp(rng.uniform(np.log(low), np.log(high)))))
    if settings.crop:
        return crops.draw_crop([photo], tokens, rng)
    scale = min(1.0, (tokens * TOKEN**2 / (photo.width * photo.height)) ** 0.5)
    size = (max(TOKEN, round(photo.width * scale)), max(TOKEN, round(photo.height * scale)))
    return photo.resize(size, Image.Resampling.LANCZOS)


def _groups(folder: Path, views: int, seed: tuple[int, int]) -> list[Group]:
    rng = np.random.default_rng((*seed, 1))
    cards: list[Card] = []
    while len(cards) < views:
        cards += [DECK[place] for place in rng.permutation(len(DECK))]
    files = [folder / f"{number:06}.png" for number in range(views)]
    return [
        Group(number, tuple(cards[start:end]), tuple(files[start:end]), (*seed, 2, number))
        for number, start in enumerate(range(0, views, GROUP))
        for end in (min(start + GROUP, views),)
    ]


def _draw_all(
    draw: Callable[[str, Sequence[Group]], list[Drawn] | str],
    photos: list[str],
    spare: list[str],
    groups: list[Group],
    workers: int,
    unreadable: dict[str, str],
    told: Callable[[int], None],
) -> list[Drawn]:
    """Deal the groups over the photos in turn; those of a photo that cannot be read are dealt once more.

    A photo of `spare` takes the place of one that cannot be read, but for the last of them.
    """
    drawn: list[Drawn] = []
    while groups:
        readable = [photo for photo in photos if photo not in unreadable]
        if not readable:
            raise LabelError(_none_left(unreadable))
        hands = [(photo, groups[place :: len(readable)]) for place, photo in enumerate(readable)]
        hands = [(photo, hand) for photo, hand in hands if hand]
        groups = []
        for (photo, hand), result in zip(hands, _each(draw, hands, workers), strict=True):
            if isinstance(result, str):
                unreadable[photo] = result
                groups += hand
                photos += [spare.pop()] if len(spare) > 1 else []
            else:
                drawn += result
                told(len(drawn))
    return drawn


def _each(
    draw: Callable[[str, Sequence[Group]], list[Drawn] | str],
    hands: list[tuple[str, list[Group]]],
    workers: int,
) -> Iterator[list[Drawn] | str]:
    if workers == 1:
        yield from (draw(photo, hand) for photo, hand in hands)
        return
    # A forked process would inherit the locks of torch's threads, held for ever.
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(draw, *zip(*hands, strict=True))


def _none_left(unreadable: dict[str, str]) -> str:
    if not unreadable:
        return "Expected at least one photo of the folder to train on and one to test on; none was listed for one of them."
    listed = "\n".join(f"{photo}: {reason}" for photo, reason in list(unreadable.items())[:10])
    return f"Expected at least one readable photo to train on and one to test on; none is left:\n{listed}"


def _rows(views: list[Drawn], part: str, settings: SetSettings) -> Iterator[Example]:
    """What can be asked of the views: each alone, two in both orders, and two beside a reference."""
    row = partial(_row, f"{settings.name}/{part}", settings.name)
    for view in views:
        if Task.DEGRADATION in settings.tasks:
            yield row(Task.DEGRADATION, [view], _diagnosis(view))
        if Task.SCORE in settings.tasks:
            yield row(Task.SCORE, [view], Rated(view.mos, view.mos))
    if Task.COMPARISON not in settings.tasks:
        return
    rng = np.random.default_rng((settings.seed, len(part), 3))
    asked: set[tuple[Path, Path]] = set()
    for members in _by_group(views):
        for a, b in _pairs(members, views, rng):
            if (a.file, b.file) not in asked:  # two groups may draw the same pair
                yield row(Task.COMPARISON, [a, b], Comparison(better(a.mos, b.mos)))
            asked.add((a.file, b.file))
        if settings.with_reference and len(members) == GROUP:
            reference, a, b = _triple(members, rng)
            verdict = Comparison(better(a.mos, b.mos, similar=SIMILAR))
            yield row(Task.COMPARISON, [reference, a, b], verdict)


def better(a: float, b: float, *, similar: float = 0.0) -> Winner:
    """Who wins by opinion; nobody, where `similar` is given and the difference is less."""
    if abs(a - b) < similar:
        return Winner.SIMILAR
    return Winner.A if a > b else Winner.B


def _row(
    prefix: str, name: str, task: Task, views: list[Drawn], target: Rated | Degradation | Clean | Comparison
) -> Example:
    sources = {view.source for view in views}
    numbers = "-".join(view.file.stem for view in views)
    # Two photos have no common source; each of them stands in rows of its own split only.
    source = sources.pop() if len(sources) == 1 else None
    photos = tuple(view.file for view in views)
    return Example(f"{prefix}/{numbers}:{task}", name, task, photos, target, source)


def _diagnosis(view: Drawn) -> Degradation | Clean:
    if view.distortion_class == "null":
        return Clean()
    return Degradation(Distortion(view.distortion_class), Severity(view.severity))


def _by_group(views: Iterable[Drawn]) -> list[list[Drawn]]:
    groups: dict[int, list[Drawn]] = {}
    for view in views:
        groups.setdefault(view.group, []).append(view)
    return list(groups.values())


def _pairs(
    members: list[Drawn], views: list[Drawn], rng: np.random.Generator
) -> Iterator[tuple[Drawn, Drawn]]:
    """One pair in both orders: of this group, or of this group and any view; none where they are too alike."""
    first, *others = [members[place] for place in rng.permutation(len(members))]
    if not others or rng.random() < ANOTHER_PHOTO:
        others = [views[rng.integers(len(views))]]
    if abs(first.mos - others[0].mos) >= CLEAR:
        yield first, others[0]
        yield others[0], first


def _triple(members: list[Drawn], rng: np.random.Generator) -> tuple[Drawn, Drawn, Drawn]:
    """The worst view as the low-quality reference that the question speaks of, and the other two."""
    reference, *others = sorted(members, key=lambda view: view.mos)
    a, b = (others[place] for place in rng.permutation(2))
    return (reference, a, a) if rng.random() < TWICE_THE_SAME else (reference, a, b)
