"""What a model said about the example photos, kept to be said again at once; where a GPU is lent, it costs none of it."""

import filecmp
import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from qinsight.assess import Asked, ask
from qinsight.errors import Stopped
from qinsight.odds import Place
from qinsight.requests import About, Engine, Finish, Request, Sampling

EXAMPLES = Path(__file__).parents[2] / "examples"
PACE = 0.02  # seconds between two steps of a replay, so that it can be read as it comes
STEP = 6  # characters
RARE = 5e-5  # chances that a recording leaves out


@dataclass(frozen=True)
class _Told:
    """One finished reply, as `Asked` holds it."""

    text: str
    tokens: int
    seconds: float
    places: tuple[Place, ...]


class Recordings:
    """Replies to the example photos by the model that gave them: those in files and, if it `listens`, those heard since.

    Greedy and finished ones only: the model would say the same again.
    """

    def __init__(self, folder: Path = EXAMPLES, *, listens: bool = True) -> None:
        self._photos, self._listens = folder / "photos", listens
        self._known: dict[tuple[str, str, int, str], list[_Told]] = {}
        for file in sorted((folder / "replies").glob("*.json")):
            found = json.loads(file.read_text(encoding="utf-8"))
            for names, replies in found["replies"].items():
                self._known[found["model"], found["weights"], found["max_pixels"], names] = [
                    *map(_told, replies)
                ]

    def find(
        self,
        about: About,
        sampling: Sampling,
        requests: Sequence[Request],
        paths: Sequence[str],
    ) -> list[Asked] | None:
        """The model's finished replies; None where the photos are not ours, or it was never asked about them."""
        found = self._known.get((about.name, about.weights, about.max_pixels, self._names(paths)))
        if (
            found is None
            or sampling.temperature
            or any(one.tokens > sampling.max_new_tokens for one in found)
        ):
            return None
        return [
            Asked(request, told.text, told.tokens, told.seconds, Finish.STOP, told.places)
            for request, told in zip(requests, found, strict=True)
        ]

    def keep(self, about: About, sampling: Sampling, paths: Sequence[str], asked: Sequence[Asked]) -> None:
        """Remember what was just heard, if it was about examples of ours."""
        names = self._names(paths) if self._listens else ""
        if names and not sampling.temperature and all(one.finish is Finish.STOP for one in asked):
            told = [_Told(one.text, one.tokens, one.seconds, one.places) for one in asked]
            self._known[about.name, about.weights, about.max_pixels, names] = told

    def write(self, about: About, folder: Path) -> Path:
        """Write one model's replies to a file of its own, as they are read above."""
        mine = {
            names: told
            for (model, weights, _, names), told in self._known.items()
            if (model, weights) == (about.name, about.weights)
        }
        file = folder / (about.name.lower().replace("/", "-").replace(" ", "-") + ".json")
        head = {
            "model": about.name,
            "weights": about.weights,
            "precision": about.precision,
            "max_pixels": about.max_pixels,
        }
        lines = [
            f"{json.dumps(names)}: {json.dumps([*map(_as_json, mine[names])], ensure_ascii=False)}"
            for names in sorted(mine)
        ]
        replies = ",\n".join(lines)
        file.write_text(f'{json.dumps(head)[:-1]}, "replies": {{\n{replies}\n}}}}\n', encoding="utf-8")
        return file

    def _names(self, paths: Sequence[str]) -> str:
        """The photos' names, empty unless each is an example of ours to the last byte."""
        names = [Path(path).name for path in paths]
        ours = [self._photos / name for name in names]
        if all(
            one.is_file() and filecmp.cmp(one, path, shallow=False)
            for one, path in zip(ours, paths, strict=True)
        ):
            return " ".join(names)
        return ""


def answers(
    recordings: Recordings | None,
    engine: Engine,
    requests: Sequence[Request],
    sampling: Sampling,
    paths: Sequence[str],
    stop: threading.Event,
) -> tuple[bool, Iterator[tuple[Asked, ...]]]:
    """Whether there is a recording of these replies, and the states as `qinsight.assess.ask` gives them."""
    if recordings is None:
        return False, ask(engine, requests, sampling, stop=stop)
    about = engine.about
    known = recordings.find(about, sampling, requests, paths)
    if known is not None:
        return True, replay(known, stop)

    def heard() -> Iterator[tuple[Asked, ...]]:
        asked: tuple[Asked, ...] = ()
        for asked in ask(engine, requests, sampling, stop=stop):
            yield asked
        recordings.keep(about, sampling, paths, asked)

    return False, heard()


def replay(asked: Sequence[Asked], stop: threading.Event) -> Iterator[tuple[Asked, ...]]:
    """Finished replies growing again, side by side; the last state is `asked`."""
    for end in range(STEP, max(len(one.text) for one in asked), STEP):
        if stop.wait(PACE):
            raise Stopped("Stopped.")
        yield tuple(one if end >= len(one.text) else _begun(one, end) for one in asked)
    yield tuple(asked)


def _begun(asked: Asked, end: int) -> Asked:
    places = tuple(place for place in asked.places if place.offset + place.length <= end)
    return replace(asked, text=asked.text[:end], finish=None, places=places)


def _told(given: dict[str, Any]) -> _Told:
    places = tuple(
        Place(start, length, tuple((text, chance) for text, chance in alternatives))
        for start, length, alternatives in given["places"]
    )
    return _Told(given["text"], given["tokens"], given["seconds"], places)


def _as_json(told: _Told) -> dict[str, Any]:
    places = [
        [
            place.offset,
            place.length,
            [[text, round(chance, 4)] for text, chance in place.alternatives if chance >= RARE],
        ]
        for place in told.places
    ]
    return {"text": told.text, "tokens": told.tokens, "seconds": round(told.seconds, 3), "places": places}
