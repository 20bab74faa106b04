"""A folder of photos, rated one batch after the other, resumable at any moment, ranked at the end.

`results.jsonl` in the output folder is the memory of a run: a line per photo, on disk before the next batch
begins. Killed and started again, a run keeps every line that is whole and whose photo has not changed. The XMP
packet of a JPEG does not count: what programs write into it, ours too, changes no pixel.

A server has no batches: it is asked about many photos side by side, and about the next as soon as one is done.
"""

import itertools
import math
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from qinsight.ahead import ahead
from qinsight.answers import Score
from qinsight.assess import Asked, ask_each, assessment, described
from qinsight.engines.made_by import MadeBy, made_by
from qinsight.errors import PhotoError, RequestFailed, Stopped
from qinsight.json_lines import whole_lines
from qinsight.ledger import Ledger
from qinsight.odds import spread_of
from qinsight.photos import Photo, read_photo
from qinsight.photos.jpeg import fingerprints
from qinsight.photos.listing import Found, Frame, look
from qinsight.photos.shot import Shot
from qinsight.photos.view import view
from qinsight.prompts import Task
from qinsight.ranking.alike import grouped, tones_of
from qinsight.ranking.rows import BESIDE, Row
from qinsight.requests import About, Engine, Sampling
from qinsight.sentence import Sentence

RESULTS = "results.jsonl"
QUESTIONS = (Task.SCORE, Task.DEGRADATION)  # of each photo
LEAST_STRUCTURE = (
    100  # of low frequencies; noise and smooth gradients have up to 51, photos in fog 200, others 1400
)

Decoder = Callable[[Path, bytes], Photo]
"""Reads a photo, given its path and its bytes; `PhotoError` where it cannot."""


def decode_here(path: Path, content: bytes) -> Photo:
    """The decoder for one's own photos: in this process. A served page has a more careful one."""
    return read_photo(content)


@dataclass(frozen=True)
class Progress:
    """How far a run is: `row` is the line just written, or else `kept` the one from an earlier run.

    `timed` photos, of those `asked` in this run, took `seconds`: whole rounds only, since the photos of a batch
    come all at once and the first of many side by side says little about the rest.
    """

    done: int
    total: int
    failed: int
    seconds: float
    asked: int
    timed: int = 0
    row: Row | None = None
    kept: Row | None = None

    @property
    def rate(self) -> float | None:
        """Photos per second; None before a first round is over."""
        return self.timed / self.seconds if self.timed and self.seconds > 0 else None

    @property
    def seconds_left(self) -> float | None:
        return (self.total - self.done) / self.rate if self.rate else None


def rank_folder(
    engine: Engine,
    folder: Path,
    out: Path,
    *,
    sampling: Sampling | None = None,
    max_pixels: int | None = None,
    batch: int | None = None,
    decode: Decoder = decode_here,
    stop: threading.Event | None = None,
    found: Found | None = None,
) -> Iterator[Progress]:
    """Rate every frame below `folder`, or those `found` in it, into `out/results.jsonl`; yields after each.

    `batch` photos are asked together (`About.batch`), or of a server side by side (as many as it is to have at a time);
    the next are decoded meanwhile. Photos that cannot be read, and answers that cannot, become rows with
    their reason; they are tried again by the next run. Raises `QInsightError` for a folder without photos, an
    output that cannot be written, or a model that cannot be asked.
    """
    frames = (found or look(folder, out)).frames
    stop = stop or threading.Event()
    limit = engine.about.at(max_pixels).max_pixels
    sampling = sampling or Sampling()
    model = model_signature(engine.about, limit, sampling.repetition_penalty)
    rated = partial(_rated, engine, model, sampling, limit)
    at_once = math.ceil(engine.about.in_flight / len(QUESTIONS))
    size = 1 if at_once else batch or engine.about.batch
    with _memory(out, model) as ledger:
        decoding = _Decoding(folder, ledger, limit, decode)
        with closing(ahead(decoding, frames, 2 * size + 1, stop=stop)) as coming:
            if at_once:
                outcomes = _side_by_side(rated, coming, batch or at_once, stop)
            else:
                outcomes = _in_batches(rated, coming, size, stop)
            with closing(outcomes):
                yield from _written(ledger, outcomes, frames)


def _written(ledger: Ledger, outcomes: "_Outcomes", frames: Sequence[Frame]) -> Iterator[Progress]:
    frame_of = {name: frame for frame in frames for name in frame}
    total = len(frames)
    state = Progress(0, total, 0, 0.0, 0)
    started = time.monotonic()
    for outcome in outcomes:
        row = None if outcome.kept else outcome.row
        if row is not None:
            ledger.add(row.kept())
        asked = state.asked + outcome.asked
        state = Progress(
            done=state.done + 1,
            total=total,
            failed=state.failed + bool(row and row.error),
            seconds=time.monotonic() - started if outcome.round_over else state.seconds,
            asked=asked,
            timed=asked if outcome.round_over else state.timed,
        )
        told = _beside(frame_of[outcome.row.photo], outcome.row)
        yield replace(state, row=None if outcome.kept else told, kept=told if outcome.kept else None)


def model_signature(about: About, max_pixels: int, penalty: float | None) -> str:
    """What a result depends on beside the photo; a change of it means asking again."""
    weights = f", weights {about.weights}" if about.weights else ""
    asked = f", penalty {penalty:g}" if penalty else ""
    return f"{about.name} ({about.precision}, {max_pixels} px{weights}{asked})"


def ranking(out: Path, names: Iterable[str | Frame] | None = None) -> list[Row]:
    """The rows of a run, best expected rating first, bursts grouped, unreadable ones last.

    `names` limits it to the photos, or frames, that are there now; a frame has one row.
    """
    rows = {row.photo: row for row in whole_lines(out / RESULTS, Row.from_json)}
    frames = [(name,) if isinstance(name, str) else name for name in (rows if names is None else names)]
    return folded([row for frame in frames for row in _row_of(frame, rows)])


def folded(rows: Sequence[Row]) -> list[Row]:
    """The rows, best expected rating first, bursts grouped, unreadable ones last."""
    return sorted(grouped(rows, _standing), key=_standing)


def _row_of(frame: Frame, rows: Mapping[str, Row]) -> list[Row]:
    """The row of the first file of a frame that was read, else of the first that was tried."""
    tried = [rows[name] for name in frame if name in rows]
    return [_beside(frame, row) for row in sorted(tried, key=lambda row: row.error is not None)[:1]]


def _beside(frame: Frame, row: Row) -> Row:
    """The row with the names of the frame's other files."""
    return replace(row, also=BESIDE.join(name for name in frame if name != row.photo) or None)


def _standing(row: Row) -> tuple[bool, float, float, str]:
    return (row.expected_rating is None, -(row.expected_rating or 0), -(row.rating or 0), row.photo)


def _memory(out: Path, model: str) -> Ledger:
    """`results.jsonl`: of earlier runs what this model answered. A content may come back under another name."""
    return Ledger(
        out / RESULTS,
        lambda line: Row.from_json(line).kept(),
        name="photo",
        key="sha256",
        kept=lambda line: line["model"] == model and line["error"] is None,
    )


# --- decoding ahead --------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Photo:
    name: str
    sha256: str
    image: Image.Image
    phash: str | None
    size: tuple[int, int]
    remarks: tuple[Sentence, ...]
    shot: Shot


@dataclass(frozen=True)
class _Decoding:
    """Of each frame what is to be asked, or the line that needs no asking."""

    folder: Path
    ledger: Ledger
    limit: int
    decode: Decoder

    def __call__(self, frame: Frame) -> "_Photo | _Outcome":
        """The frame's first file; where that is damaged, another of the same shutter."""
        unreadable: list[_Outcome] = []
        for name in frame:
            found = self._decoded(name)
            if isinstance(found, _Photo):
                problems = [
                    Sentence("{photo}: {error}", photo=one.row.photo, error=one.row.error)
                    for one in unreadable
                ]
                return replace(found, remarks=(*found.remarks, *problems))
            if found.row.error is None:
                return found
            unreadable.append(found)
        return unreadable[0]

    def _decoded(self, name: str) -> "_Photo | _Outcome":
        sha256 = ""
        try:
            content = (self.folder / name).read_bytes()
            sha256, *before = fingerprints(content)
            for digest in (sha256, *before):  # as this version counts, and as earlier ones, with the packet
                if known := self.ledger.get(digest):
                    row = replace(Row.from_json(known), photo=name, sha256=sha256)
                    return _Outcome(row, kept=(known["photo"], known["sha256"]) == (name, sha256))
            photo = self.decode(self.folder / name, content)
            shown = view(photo.image, self.limit)
        except PhotoError as error:
            return _Outcome(Row(name, sha256, "", error=error.sentence))
        except OSError as error:
            problem = Sentence("the file cannot be read: {cause}", cause=error.strerror or error)
            return _Outcome(Row(name, sha256, "", error=problem))
        return _Photo(name, sha256, shown, _phash(shown), photo.size, photo.notes, photo.shot)


def _phash(image: Image.Image) -> str | None:
    """imagehash's perceptual hash; None for a picture without structure: a sky, a lens cap, a white wall.

    The hash tells which of the low frequencies are stronger than the middle one. Where they hardly differ, noise
    decides, and any two such pictures would be frames of a burst.
    """
    import imagehash
    import numpy as np
    from scipy.fftpack import dct

    grey = np.asarray(image.convert("L").resize((32, 32), Image.Resampling.LANCZOS))
    low = dct(dct(grey, axis=0), axis=1)[:8, :8]
    middle = np.median(low)
    if np.median(abs(low - middle)) < LEAST_STRUCTURE:
        return None
    return str(imagehash.ImageHash(low > middle))


# --- asking ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Outcome:
    """The line of a photo: `kept` from an earlier run, `asked` of the model, the last of a round or not."""

    row: Row
    asked: bool = False
    kept: bool = False
    round_over: bool = False


_Outcomes = Generator[_Outcome, None, None]
_Coming = Iterable[_Photo | _Outcome | None]
_Rated = Callable[[Sequence[_Photo], threading.Event], Iterator[Row]]


def _in_batches(rated: _Rated, coming: _Coming, size: int, stop: threading.Event) -> _Outcomes:
    batch: list[_Photo] = []
    for one in coming:
        if isinstance(one, _Outcome):
            yield one
        elif one:
            batch.append(one)
        if len(batch) == size:
            yield from _round(rated, batch, stop)
            batch = []
    yield from _round(rated, batch, stop)


def _round(rated: _Rated, batch: Sequence[_Photo], stop: threading.Event) -> _Outcomes:
    for count, row in enumerate(rated(batch, stop), start=1):
        yield _Outcome(row, asked=True, round_over=count == len(batch))


def _side_by_side(rated: _Rated, coming: _Coming, width: int, stop: threading.Event) -> _Outcomes:
    """Each photo asked on its own, `width` at a time, rows as they come; no photo waits for the slowest."""
    halt = threading.Event()
    running: set[Future[list[Row]]] = set()
    counted = itertools.count(1)

    def finished(most: int) -> Iterator[_Outcome]:
        for row in _finished(running, most, stop):
            yield _Outcome(row, asked=True, round_over=next(counted) >= width)

    with ThreadPoolExecutor(width, "qinsight-ask") as pool:
        try:
            for one in coming:
                if isinstance(one, _Outcome):
                    yield one
                elif one:
                    running.add(pool.submit(lambda photo: list(rated([photo], halt)), one))
                    yield from finished(width - 1)
                yield from finished(len(running))
            yield from finished(0)
        finally:
            halt.set()
            pool.shutdown(cancel_futures=True)


def _finished(running: set[Future[list[Row]]], most: int, stop: threading.Event) -> Iterator[Row]:
    """The rows of all that is done; waits until at most `most` are left. What went well comes before a failure."""
    while True:
        if stop.is_set():
            raise Stopped("Stopped.")
        done, _ = wait(running, 0.1 if len(running) > most else 0, FIRST_COMPLETED)
        running -= done
        for future in sorted(done, key=lambda future: future.exception() is not None):
            yield from future.result()
        if len(running) <= most:
            return


def _rated(
    engine: Engine,
    model: str,
    sampling: Sampling,
    limit: int,
    photos: Sequence[_Photo],
    stop: threading.Event,
) -> Iterator[Row]:
    """Rows for photos asked together, as they come."""
    questions = {
        photo: [
            replace(request, odds=request.task is Task.SCORE)  # for the expected rating
            for request in assessment(photo.image, QUESTIONS)
        ]
        for photo in photos
    }
    together: dict[str, Any] = {"together": QUESTIONS, "photos": len(photos)}
    for photo, asked in ask_each(engine, questions, sampling, max_pixels=limit, stop=stop):
        if isinstance(asked, RequestFailed):
            yield Row(photo.name, photo.sha256, model, error=asked.sentence)
        else:
            made = made_by(engine.about, asked[0].request, sampling, limit, **together)
            yield _rated_row(photo, model, made, *asked)


def _rated_row(photo: _Photo, model: str, made: MadeBy, score: Asked, diagnosis: Asked) -> Row:
    found: dict[str, Any] = described(diagnosis.answer)
    return Row(
        photo=photo.name,
        sha256=photo.sha256,
        model=model,
        rating=score.answer.rating if isinstance(score.answer, Score) else None,
        expected_rating=score.expected_rating,
        odds_spread=round(spread_of(odds), 4) if (odds := score.rating_odds) else None,
        distortion_class=found.get("distortion_class"),
        severity=found.get("severity"),
        thinking=score.reply.thinking,
        diagnosis=diagnosis.reply.thinking,
        width=photo.size[0],
        height=photo.size[1],
        seconds=round(max(score.seconds, diagnosis.seconds), 3),
        phash=photo.phash,
        remarks=Sentence.joined(photo.remarks),
        taken=photo.shot.taken,
        exposure=photo.shot.exposure,
        bias=photo.shot.bias,
        bracketing=photo.shot.bracketing,
        tones=tones_of(photo.image),
        error=score.error or diagnosis.error,
        made_by=made,
    )
