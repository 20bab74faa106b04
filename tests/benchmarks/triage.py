"""How many photos are left to look at, by what decides: the calibrated distance, the top probability, or samples.

    python tests/benchmarks/triage.py VIEWS/labels.jsonl --answers ANSWERS.jsonl [--model preview] [--samples 8] [--every 2]

VIEWS is what `python -m training.preview.views` writes. Answers are kept in ANSWERS.jsonl, and asked only once; every
other photo is sampled. Ten halves, photos of one original together; each way gets its own least distance for each
side of the bar from one half and is judged on the other.
"""

import argparse
import json
import random
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from qinsight.answers import Score
from qinsight.assess import ask, assessment, described, last, samples
from qinsight.engines.local import LocalEngine
from qinsight.odds import mean_of, spread_of
from qinsight.photos import load_photo
from qinsight.prompts import Task
from qinsight.requests import Sampling
from qinsight.trust.calibration import Point, scale_of
from qinsight.trust.labels import Label, read_labels
from qinsight.trust.triage import _distance, _least, _units

Line = dict[str, Any]
BARS = (2.5, 3.0, 3.5, 4.0)


def answer(engine: LocalEngine, label: Label, number: int) -> Line:
    """What is to be known of a photo for every way."""
    photo = load_photo(label.photo)
    score, diagnosis = last(ask(engine, assessment(photo)))
    odds = score.rating_odds or {}
    line = {"photo": label.photo.name, "source": label.source, "label": label.rating}
    line |= {"named": described(diagnosis.answer).get("distortion_class", "")}
    line |= {"expected": mean_of(odds), "spread": spread_of(odds), "top": max(odds.values(), default=0.0)}
    line["samples"] = None
    if number:
        asked = last(ask(engine, samples(photo, Task.SCORE, number), Sampling(temperature=1.0)))
        line["samples"] = [one.answer.rating for one in asked if isinstance(one.answer, Score)]
    return line


def ways(lines: Sequence[Line]) -> Iterator[tuple[str, Callable[[Line, float], float], str]]:
    """Each way to decide: how far a photo is from the bar, and what is compared with the bar."""
    units = _units([point(line) for line in lines])
    yield "calibrated distance (ours)", lambda line, bar: _distance(point(line), bar, units), "expected"
    yield (
        "the same without the class",
        lambda line, bar: abs(line["expected"] - bar) / scale_of(line["spread"]),
        "expected",
    )
    yield "top probability", lambda line, bar: line["top"], "expected"
    if all(line["samples"] for line in lines):
        yield "spread of the samples", lambda line, bar: -statistics.pstdev(line["samples"]), "mean"
        yield (
            "mean of the samples, by their spread",
            lambda line, bar: abs(line["mean"] - bar) / scale_of(statistics.pstdev(line["samples"])),
            "mean",
        )


def point(line: Line) -> Point:
    return Point(line["expected"], line["spread"], line["label"], line["named"])


def judged(lines: Sequence[Line], bound: float, halves: int = 10) -> dict[str, list[tuple[float, float]]]:
    """By way, over all bars and halves: the share left to look at, and of the decided ones the share that is wrong."""
    found: dict[str, list[tuple[float, float]]] = {}
    sources = sorted({line["source"] for line in lines})
    dice = random.Random(1)
    for _ in range(halves):
        held = set(dice.sample(sources, len(sources) // 2))
        ours, others = ([one for one in lines if (one["source"] in held) is kept] for kept in (False, True))
        for name, far, by in ways(ours):
            for bar in BARS:
                least = {good: _least(_told(ours, far, by, bar, good), bound) for good in (True, False)}
                wrong = [
                    (one["label"] >= bar) != (one[by] >= bar)
                    for one in others
                    if far(one, bar) >= least[one[by] >= bar]
                ]
                share = statistics.fmean(wrong) if wrong else 0.0
                found.setdefault(name, []).append((1 - len(wrong) / len(others), share))
    return found


def _told(
    lines: Sequence[Line], far: Callable[[Line, float], float], by: str, bar: float, good: bool
) -> list[tuple[float, bool]]:
    return [(far(one, bar), (one["label"] >= bar) != good) for one in lines if (one[by] >= bar) is good]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("labels", type=Path)
    parser.add_argument("--answers", type=Path, required=True)
    parser.add_argument("--model", default="preview")
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--every", type=int, default=2, help="every how many photos are sampled")
    parser.add_argument("--no-asking", action="store_true", help="go by the answers that are there")
    asked = parser.parse_args()
    kept = asked.answers.read_text().splitlines() if asked.answers.exists() else []
    lines = [json.loads(line) for line in kept]
    if not asked.no_asking:
        engine = LocalEngine.open(asked.model)
        known = {line["photo"] for line in lines}
        with asked.answers.open("a") as file:
            for number, label in enumerate(read_labels(asked.labels)):
                if label.photo.name not in known:
                    lines.append(answer(engine, label, 0 if number % asked.every else asked.samples))
                    file.write(json.dumps(lines[-1]) + "\n")
    for line in lines:
        line["mean"] = statistics.fmean(line["samples"]) if line["samples"] else None
    for title, some in (("all", lines), ("sampled", [line for line in lines if line["samples"]])):
        for bound in (0.05, 0.1):
            for name, found in judged(some, bound).items():
                look, wrong = (statistics.fmean(values) for values in zip(*found, strict=True))
                print(f"| {len(some)} ({title}) | {bound} | {name} | {look:.3f} | {wrong:.3f} |")


if __name__ == "__main__":
    main()
