"""The judge audited: how often it rates the worse of two pictures higher, on ladders made of a person's own photos.

`audit.jsonl` in the output folder is the memory of a run, a line per photo: killed and started again, it goes on.
"""

import itertools
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from PIL import Image

from qinsight.ahead import ahead
from qinsight.answers import Score
from qinsight.assess import Asked, ask_each
from qinsight.errors import EngineError, PhotoError, RequestFailed
from qinsight.json_lines import Line
from qinsight.ledger import Ledger
from qinsight.photos import read_photo
from qinsight.photos.jpeg import fingerprints
from qinsight.photos.view import view
from qinsight.prompts import Task
from qinsight.ranking.folder import model_signature
from qinsight.requests import GREEDY, Engine, Request, Sampling
from qinsight.sentence import Sentence
from qinsight.trust.harms import LADDERS, Ladder
from qinsight.trust.shares import Share

MEMORY = "audit.jsonl"
MODEL = "model"
SAME = 0.005  # ratings nearer than this are the same one, written with two decimals
FEWEST = 10  # photos; without an inverted pair the interval of nine still reaches to 300 of 1,000
TOO_WIDE = 0.3  # an interval wider than this says nothing

Rungs = Sequence[float | None]
"""What a judge says of a photo and of each step of its ladder, higher is better; None where that cannot be read."""

Judge = Callable[[Image.Image], float]


@dataclass(frozen=True)
class Rated:
    """A photo's ladders as every judge rates them, by judge and ladder; or in a sentence why they are not."""

    photo: str
    rungs: Mapping[str, Mapping[str, Rungs]]
    error: Sentence | None = None
    kept: bool = False
    written: int = 0  # ratings of the model that came without its odds, so that they are as it wrote them


@dataclass(frozen=True)
class Tally:
    """What one judge makes of one ladder: pairs of a picture and a worse one, over all photos.

    `counts` are of each photo the pairs with the worse one rated higher, those rated the same, and all that were read.
    """

    counts: tuple[tuple[int, int, int], ...]
    steps: int
    unread: int = 0

    @property
    def inverted(self) -> int:
        return sum(inverted for inverted, _, _ in self.counts)

    @property
    def tied(self) -> int:
        return sum(tied for _, tied, _ in self.counts)

    @property
    def pairs(self) -> int:
        return sum(pairs for _, _, pairs in self.counts)

    @cached_property
    def share(self) -> Share:
        """The inverted pairs, counted as so many cases as there are that do not depend on each other.

        The pairs of a photo share its pictures: they count for one case at least and for as many as there are steps at
        most, in between as the photos differ less or more from each other than chance has it. Where no pair is
        inverted, or every one, each photo counts for one.
        """
        read = [(inverted, pairs) for inverted, _, pairs in self.counts if pairs]
        if not read:
            return Share(0, 0)
        rate, cases = self.inverted / self.pairs, float(len(read))
        if 0 < rate < 1 and len(read) > 1:
            between = statistics.variance(inverted / pairs for inverted, pairs in read) / len(read)
            found = rate * (1 - rate) / between if between else float("inf")
            cases = min(max(found, cases), cases * self.steps)
        return Share(rate * cases, cases)

    @property
    def too_few(self) -> bool:
        """Whether the photos are too few to say anything."""
        return len(self.counts) < FEWEST or self.share.high - self.share.low > TOO_WIDE

    @property
    def photos_needed(self) -> int:
        """How many photos would say something, if they were like these."""
        share, photos = self.share, len(self.counts)
        each = share.of / photos if photos else 1.0
        rate = share.value or 0.0
        return next(n for n in itertools.count(FEWEST) if _width(rate, each * n) <= TOO_WIDE)

    def as_json(self) -> dict[str, Any]:
        """Counts, and the inverted pairs per 1,000 with their interval."""
        value = self.share.value
        return {
            "photos": len(self.counts),
            "pairs": self.pairs,
            "inverted": self.inverted,
            "tied": self.tied,
            "unread": self.unread,
            "per_1000": None if value is None else round(1000 * value, 1),
            "interval_95": [round(1000 * self.share.low, 1), round(1000 * self.share.high, 1)],
            "too_few": self.too_few,
            "photos_needed": self.photos_needed,
        }


def audit(
    engine: Engine,
    photos: Mapping[str, Path],
    out: Path,
    sampling: Sampling = GREEDY,
    *,
    max_pixels: int | None = None,
    beside: Mapping[str, Judge] | None = None,
    ladders: Mapping[str, Ladder] = LADDERS,
) -> Iterator[Rated]:
    """Rate the ladders of every photo, by its name; yields photo after photo. The same content counts once."""
    about = engine.about.at(max_pixels)
    model = model_signature(about, about.max_pixels, sampling.repetition_penalty)
    if not about.weights:  # two servers may call what they serve by one name
        model = f"{model} at {about.device}"
    signature = _signature(model, ladders)
    judges = dict(beside or {})
    memory = Ledger(
        out / MEMORY,
        _known,
        name="sha256",
        key="sha256",
        kept=lambda line: line["model"] == signature and {MODEL, *judges} <= line["rungs"].keys(),
    )
    with memory as ledger:
        making: Callable[[str], _Made | Rated] = _Making(photos, ledger, about.max_pixels, ladders)
        seen: set[str] = set()
        with closing(ahead(making, photos, 2)) as coming:
            for made in coming:
                if isinstance(made, Rated):
                    yield made
                elif made is not None and made.sha256 not in seen:
                    seen.add(made.sha256)
                    yield _rated(engine, made, sampling, about.max_pixels, judges, ledger, signature)


def tallies(rated: Sequence[Rated], ladders: Mapping[str, Ladder] = LADDERS) -> dict[str, dict[str, Tally]]:
    """By judge and ladder."""
    judges = list(dict.fromkeys(judge for one in rated for judge in one.rungs))
    return {
        judge: {
            name: _tally([one.rungs[judge][name] for one in rated if judge in one.rungs], judge, ladder)
            for name, ladder in ladders.items()
        }
        for judge in judges
    }


def questions(photos: int, ladders: Mapping[str, Ladder] = LADDERS) -> int:
    """How many questions that many photos take: each photo once, and every step."""
    return photos * (1 + sum(len(ladder.strengths) for ladder in ladders.values()))


# --- counted --------------------------------------------------------------------------------------------------------


def _tally(rungs: Sequence[Rungs], judge: str, ladder: Ladder) -> Tally:
    tolerance = SAME if judge == MODEL else 0.0
    counts = [_counted(one, tolerance) for one in rungs]
    unread = sum(value is None for one in rungs for value in one)
    return Tally(tuple(counts), len(ladder.strengths), unread)


def _counted(rungs: Rungs, tolerance: float) -> tuple[int, int, int]:
    pairs = [
        worse - better
        for better, worse in itertools.combinations(rungs, 2)
        if better is not None and worse is not None
    ]
    inverted = sum(more > tolerance for more in pairs)
    return inverted, sum(abs(more) <= tolerance for more in pairs), len(pairs)


def _width(rate: float, cases: float) -> float:
    share = Share(rate * cases, cases)
    return share.high - share.low


# --- made and asked -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Made:
    """A photo and its ladders, at the size at which the model is shown them; or what is known of them."""

    name: str
    sha256: str
    ladders: Mapping[str, Sequence[Image.Image]]
    known: Line | None = None


@dataclass(frozen=True)
class _Making:
    photos: Mapping[str, Path]
    ledger: Ledger
    limit: int
    ladders: Mapping[str, Ladder]

    def __call__(self, name: str) -> "_Made | Rated":
        try:
            content = self.photos[name].read_bytes()
            sha256 = fingerprints(content)[0]
            if known := self.ledger.get(sha256):
                return _Made(name, sha256, {}, known)
            photo = view(read_photo(content).image, self.limit)
        except PhotoError as error:
            return Rated(name, {}, error.sentence)
        except OSError as error:
            return Rated(
                name, {}, Sentence("the file cannot be read: {cause}", cause=error.strerror or error)
            )
        return _Made(name, sha256, {key: ladder.pictures(photo) for key, ladder in self.ladders.items()})


def _rated(
    engine: Engine,
    made: _Made,
    sampling: Sampling,
    limit: int,
    judges: Mapping[str, Judge],
    ledger: Ledger,
    signature: str,
) -> Rated:
    if made.known is not None:
        return Rated(made.name, made.known["rungs"], kept=True, written=made.known.get("written", 0))
    try:
        rated, written = _asked(engine, made, sampling, limit)
    except RequestFailed as failure:
        return Rated(made.name, {}, failure.sentence)
    rungs = {MODEL: rated}
    for judge, measure in judges.items():
        rungs[judge] = {key: [*map(measure, ladder)] for key, ladder in made.ladders.items()}
    line = {"photo": made.name, "sha256": made.sha256, "model": signature, "rungs": rungs, "written": written}
    ledger.add(line)
    return Rated(made.name, rungs, written=written)


def _asked(
    engine: Engine, made: _Made, sampling: Sampling, limit: int
) -> tuple[dict[str, list[float | None]], int]:
    """The model's ratings by ladder, and how many came without odds.

    Every picture is asked once, so many of them together as a ranking does.
    """
    pictures = {id(picture): picture for ladder in made.ladders.values() for picture in ladder}
    found: dict[int, float | None] = {}
    written = 0
    size, keys = max(engine.about.batch, engine.about.in_flight), [*pictures]
    for start in range(0, len(keys), size):
        requests = {key: [Request(Task.SCORE, (pictures[key],))] for key in keys[start : start + size]}
        for key, asked in ask_each(engine, requests, sampling, max_pixels=limit):
            if isinstance(asked, RequestFailed):
                raise asked
            found[key] = _rating(*asked)
            written += found[key] is not None and asked[0].expected_rating is None
    rated = {name: [found[id(picture)] for picture in ladder] for name, ladder in made.ladders.items()}
    return rated, written


def _rating(asked: Asked) -> float | None:
    """The expected rating, by which photos are ranked; where a server gives no odds, the written one."""
    if not isinstance(asked.answer, Score):
        return None
    return asked.answer.rating if asked.expected_rating is None else asked.expected_rating


def _signature(model: str, ladders: Mapping[str, Ladder]) -> str:
    told = "; ".join(f"{name} {' '.join(map('{:g}'.format, one.strengths))}" for name, one in ladders.items())
    return f"{model}, ladders {told}"


def _known(line: Line) -> Line:
    if not {"photo", "sha256", "model", "rungs"} <= line.keys():
        raise ValueError("expected a photo, its content, a model and its ratings")
    return line


def check_knows_ratings(engine: Engine) -> None:
    """Refuse a model that cannot be asked for a rating."""
    if Task.SCORE not in engine.about.tasks:
        raise EngineError("Expected a model that rates photos; {name} does not.", name=engine.about.name)
