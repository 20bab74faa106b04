"""Where in a photo: tiles at 100 % asked one after the other, with what is measured in each.

    python -m qinsight places PHOTO [--json] [--out MAP.png]

A rating is the model's. Which place is the sharpest and which the noisiest is measured, and is the app's word.
"""

import argparse
import json
import math
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from qinsight.answers import Score
from qinsight.assess import Asked, ask_each, assessment
from qinsight.engines.made_by import MadeBy, made_by_all, pixel_hash
from qinsight.errors import PhotoError, QInsightError, RequestFailed
from qinsight.flags import add_model_flags, open_engine, positive
from qinsight.photos import read_photo
from qinsight.photos.view import TOKEN
from qinsight.prompts import Task
from qinsight.requests import GREEDY, Engine, Sampling
from qinsight.sentence import Sentence
from qinsight.terminal import counted, say, show_step
from qinsight.trust.pixels import measure
from qinsight.whole_files import whole_file

ANSWERED, UNREADABLE_ANSWER, UNREADABLE_PHOTO = 0, 3, 4
TILES = 48  # at most, unless said otherwise; of a photo of any size, so that the time is bounded
LEAST_SIDE = 4 * TOKEN  # pixels of a tile; smaller ones tell a model nothing
MOST_SIDE = 26 * TOKEN  # half a megapixel: of a larger cell its middle is asked
FEWEST = 2  # tiles each way
FIRST, MOST_AT_ONCE = 2, 8  # tiles asked at once: few at first, so that there is something to see
NOISY = 0.03  # deviation from which detail may be noise
WORTH_NAMING = 0.012  # deviation of a noise that can be seen


@dataclass(frozen=True)
class Tile:
    """A part of the photo in its own pixels, with the model's rating and what was measured there.

    `rating` is None before it was asked and where the reply could not be read, for which `error` has the reason.
    """

    left: int
    top: int
    width: int
    height: int
    sharpness: float | None = None
    noise: float | None = None
    rating: float | None = None
    expected_rating: float | None = None
    error: Sentence | None = None
    asked: bool = False

    @property
    def box(self) -> tuple[int, int, int, int]:
        return self.left, self.top, self.left + self.width, self.top + self.height

    @property
    def centre(self) -> tuple[int, int]:
        return self.left + self.width // 2, self.top + self.height // 2

    @property
    def worth(self) -> float | None:
        """By which tiles are compared: the mean over the ratings that the model might have written."""
        return self.expected_rating if self.expected_rating is not None else self.rating


@dataclass(frozen=True)
class Places:
    """A map as far as it has come: the tiles in rows from the upper left."""

    size: tuple[int, int]
    columns: int
    tiles: tuple[Tile, ...]
    seconds: float = 0.0

    @property
    def done(self) -> int:
        return sum(tile.asked for tile in self.tiles)

    @property
    def covered(self) -> float:
        """The share of the photo that lies in a tile."""
        return sum(tile.width * tile.height for tile in self.tiles) / (self.size[0] * self.size[1])

    @property
    def sharpest(self) -> Tile | None:
        """The tile whose strongest edges are the steepest; noise is no sharpness."""
        known = [tile for tile in self.tiles if tile.sharpness is not None]
        quiet = [tile for tile in known if (tile.noise or 0.0) < NOISY]
        return max(quiet or known, key=lambda tile: tile.sharpness or 0.0, default=None)

    @property
    def noisiest(self) -> Tile | None:
        """The tile with the most noise in flat places; None where none of it can be seen."""
        known = [tile for tile in self.tiles if (tile.noise or 0.0) > WORTH_NAMING]
        return max(known, key=lambda tile: tile.noise or 0.0, default=None)

    @property
    def lowest(self) -> Tile | None:
        """The tile that the model rates lowest."""
        known = [tile for tile in self.tiles if tile.worth is not None]
        return min(known, key=lambda tile: tile.worth or 0.0, default=None)

    @property
    def lines(self) -> list[Sentence]:
        """What the app says of the map."""
        told = []
        if tile := self.sharpest:
            told.append(
                Sentence(
                    "sharpest here: {place}, {x},{y} (edges rise {value:.0%} in a pixel)",
                    **self._at(tile),
                    value=tile.sharpness,
                )
            )
        if tile := self.noisiest:
            told.append(
                Sentence(
                    "noisiest here: {place}, {x},{y} (noise {value:.1f} of 255)",
                    **self._at(tile),
                    value=255 * (tile.noise or 0),
                )
            )
        else:
            told.append(Sentence("no place where noise can be seen"))
        if tile := self.lowest:
            told.append(
                Sentence(
                    "rated lowest here: {place}, {x},{y} ({value:.2f})", **self._at(tile), value=tile.worth
                )
            )
        return told

    def _at(self, tile: Tile) -> dict[str, Any]:
        x, y = tile.centre
        return {"place": self.where(tile), "x": x, "y": y}

    def where(self, tile: Tile) -> Sentence:
        """The ninth of the photo in which a tile's centre lies, in words."""
        (x, y), (width, height) = tile.centre, self.size
        return NINTHS[min(2, 3 * y // height)][min(2, 3 * x // width)]


NINTHS = (
    (Sentence("upper left"), Sentence("upper middle"), Sentence("upper right")),
    (Sentence("middle left"), Sentence("centre"), Sentence("middle right")),
    (Sentence("lower left"), Sentence("lower middle"), Sentence("lower right")),
)


def tiles_of(size: tuple[int, int], most: int = TILES) -> tuple[int, list[Tile]]:
    """How many columns, and the tiles of a photo of this size; `PhotoError` where it is too small for four.

    A tile has whole patches and is never resized: the model sees the pixels of the file.
    """
    width, height = size
    columns = min(
        max(FEWEST, round(math.sqrt(most * width / height))), width // LEAST_SIDE, max(FEWEST, most // FEWEST)
    )
    rows = min(max(FEWEST, most // max(columns, 1)), height // LEAST_SIDE)
    if columns < FEWEST or rows < FEWEST:
        raise PhotoError(
            "expected at least {least} x {least} pixels for a map of places, got {width} x {height}",
            least=FEWEST * LEAST_SIDE,
            width=width,
            height=height,
        )
    across, down = (min(MOST_SIDE, side // TOKEN * TOKEN) for side in (width // columns, height // rows))
    return columns, [
        Tile(
            (2 * column + 1) * width // (2 * columns) - across // 2,
            (2 * row + 1) * height // (2 * rows) - down // 2,
            across,
            down,
        )
        for row in range(rows)
        for column in range(columns)
    ]


def map_places(
    engine: Engine,
    photo: Image.Image,
    sampling: Sampling = GREEDY,
    *,
    tiles: int = TILES,
    stop: threading.Event | None = None,
) -> Iterator[Places]:
    """The map of an upright RGB photo, growing: before anything was asked, and after every few tiles.

    Closing the iterator, or setting `stop`, ends it.
    """
    began = time.monotonic()
    columns, parts = tiles_of(photo.size, tiles)
    found = Places(photo.size, columns, tuple(parts))
    yield found
    waiting = telling_first(photo, parts)
    size = FIRST
    while waiting:
        batch, waiting = waiting[:size], waiting[size:]
        crops = {number: photo.crop(parts[number].box) for number in batch}
        measured = {number: _measured(parts[number], crop) for number, crop in crops.items()}
        questions = {number: assessment(crop, [Task.SCORE]) for number, crop in crops.items()}
        for number, asked in ask_each(engine, questions, sampling, stop=stop):
            changed = [*found.tiles]
            changed[number] = _rated(measured[number], asked)
            found = replace(found, tiles=tuple(changed), seconds=time.monotonic() - began)
        yield found
        size = min(MOST_AT_ONCE, 2 * size)


def measured_only(photo: Image.Image, tiles: int = TILES) -> Places:
    """The map without a model: only what is measured."""
    columns, parts = tiles_of(photo.size, tiles)
    return Places(photo.size, columns, tuple(_measured(tile, photo.crop(tile.box)) for tile in parts))


def telling_first(photo: Image.Image, tiles: Sequence[Tile]) -> list[int]:
    """The numbers of the tiles, from both ends of a cheap measure of their detail: the extremes tell the most."""
    detail = [_detail(photo, tile) for tile in tiles]
    rising = sorted(range(len(tiles)), key=lambda number: detail[number])
    ends = [number for pair in zip(reversed(rising), rising, strict=True) for number in pair]
    return list(dict.fromkeys(ends))


def _detail(photo: Image.Image, tile: Tile) -> float:
    """The mean step from pixel to pixel in the middle of a tile."""
    x, y = tile.centre
    middle = photo.crop((x - TOKEN * 2, y - TOKEN * 2, x + TOKEN * 2, y + TOKEN * 2)).convert("L")
    return float(np.abs(np.diff(np.asarray(middle, np.float32))).mean())


def _measured(tile: Tile, crop: Image.Image) -> Tile:
    seen = measure(crop)
    return replace(tile, sharpness=seen.sharpness, noise=seen.noise)


def _rated(tile: Tile, asked: tuple[Asked, ...] | RequestFailed) -> Tile:
    if isinstance(asked, RequestFailed):
        return replace(tile, error=asked.sentence, asked=True)
    (one,) = asked
    rating = one.answer.rating if isinstance(one.answer, Score) else None
    return replace(tile, rating=rating, expected_rating=one.expected_rating, error=one.error, asked=True)


# --- the command line ----------------------------------------------------------------------------------------


def add_command(commands: Any) -> None:
    """Its flags, for the parser of all commands."""
    command = commands.add_parser(
        "places",
        help="rate a photo tile by tile at 100 %%, and say where it is sharpest and noisiest",
        epilog="Exit codes: 0 answered, 1 the model could not be run, 2 bad usage, 3 no tile was rated, "
        "4 the photo could not be read or is too small.",
        allow_abbrev=False,
    )
    add = command.add_argument
    add("photo", metavar="PHOTO", help="an image file")
    add("--json", action="store_true", help="print one JSON object")
    add("--out", type=Path, metavar="MAP.png", help="draw the map over the photo, into a new file")
    add("--tiles", type=positive, default=TILES, metavar="N", help=f"at most; default: {TILES}")
    add_model_flags(command)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Map a photo, and say what came of it; the exit code is that of the epilog above."""
    if options.out and options.out.exists():
        raise QInsightError("Expected the name of a new file for the map; {path} is there.", path=options.out)
    try:
        photo = read_photo(options.photo).image
        tiles_of(photo.size, options.tiles)
    except PhotoError as error:
        say(f"{options.photo}: {error}")
        return UNREADABLE_PHOTO
    engine = open_engine(options, show_step)
    sampling = Sampling(options.max_new_tokens, repetition_penalty=options.repetition_penalty)
    found: Places | None = None
    with counted("places", "tiles") as progress:
        for found in map_places(engine, photo, sampling, tiles=options.tiles):
            progress(found.done, len(found.tiles))
    assert found is not None
    if options.json:
        say(json.dumps(report_places(options.photo, photo, found, engine, sampling)), result=True)
    else:
        say(_summary(found), result=True)
        for line in found.lines:
            say(line, result=True)
    if options.out:
        write_map(photo, found, options.out)
        say(f"Written: {options.out}")
    return ANSWERED if found.lowest else UNREADABLE_ANSWER


def _summary(places: Places) -> Sentence:
    tile = places.tiles[0]
    return Sentence(
        "{width} x {height}: {count} tiles of {across} x {down}, {covered:.0%} of the photo, in {seconds:.1f} s",
        width=places.size[0],
        height=places.size[1],
        count=len(places.tiles),
        across=tile.width,
        down=tile.height,
        covered=places.covered,
        seconds=places.seconds,
    )


def report_places(
    name: str, photo: Image.Image, places: Places, engine: Engine, sampling: Sampling
) -> dict[str, Any]:
    """The map as JSON; `places` is the app's word."""
    named = {"sharpest": places.sharpest, "noisiest": places.noisiest, "lowest": places.lowest}
    return {
        "photo": name,
        "task": "places",
        "width": places.size[0],
        "height": places.size[1],
        "columns": places.columns,
        "tiles": [_as_json(tile) for tile in places.tiles],
        "model": engine.about.name,
        "seconds": round(places.seconds, 3),
        "made_by": _made_by(photo, places, engine, sampling),
        "places": {
            **{key: tile and {"where": places.where(tile), **_as_json(tile)} for key, tile in named.items()},
            "said": places.lines,
        },
    }


def _as_json(tile: Tile) -> dict[str, Any]:
    told = {name: value for name, value in asdict(tile).items() if name != "asked"}
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in told.items()}


def _made_by(photo: Image.Image, places: Places, engine: Engine, sampling: Sampling) -> MadeBy:
    crops = [photo.crop(tile.box) for tile in places.tiles]
    made = made_by_all(engine.about, assessment(crops[0], [Task.SCORE]), sampling)
    batch = {"questions": [str(Task.SCORE)], "photos": MOST_AT_ONCE}
    return made | {"pixels": [pixel_hash(crop) for crop in crops], "batch": batch}


def write_map(photo: Image.Image, places: Places, path: Path, *, longest: int = 1600) -> None:
    """The ratings drawn over a small copy of the photo, as a PNG; `QInsightError` if it cannot be written."""
    try:
        with whole_file(path) as file:
            drawn(photo, places, longest).save(file, "PNG")
    except OSError as error:
        raise QInsightError(
            "The map cannot be written to {path}: {cause}.", path=path, cause=error.strerror or error
        ) from error


def drawn(photo: Image.Image, places: Places, longest: int = 1600) -> Image.Image:
    """A small copy of the photo with every tile from red (1) to green (5), and what the app names in white."""
    scale = min(1.0, longest / max(photo.size))
    small = photo.resize([max(1, round(side * scale)) for side in photo.size]).convert("RGBA")
    layer = Image.new("RGBA", small.size)
    pen = ImageDraw.Draw(layer)
    for tile in places.tiles:
        if tile.worth is not None:
            box = [round(edge * scale) for edge in tile.box]
            pen.rectangle(box, fill=(*_colour(tile.worth), 90))
            pen.text(
                (box[0] + 4, box[1] + 2),
                f"{tile.worth:.1f}",
                fill="white",
                stroke_width=1,
                stroke_fill="black",
            )
    for word, named in (("sharpest", places.sharpest), ("noisiest", places.noisiest)):
        if named is not None:
            box = [round(edge * scale) for edge in named.box]
            pen.rectangle(box, outline="white", width=3)
            pen.text((box[0] + 4, box[3] - 14), word, fill="white", stroke_width=1, stroke_fill="black")
    return Image.alpha_composite(small, layer).convert("RGB")


def _colour(rating: float) -> tuple[int, int, int]:
    part = min(1.0, max(0.0, (rating - 1) / 4))
    return round(255 * min(1.0, 2 - 2 * part)), round(255 * min(1.0, 2 * part)), 0
