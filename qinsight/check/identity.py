"""Whether the replies are those of the weights they are said to be: compared with replies recorded from an engine
that is trusted."""

import json
import re
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from qinsight.answers import Score
from qinsight.assess import Asked
from qinsight.check import plan
from qinsight.check.evidence import DRIFT, EXACT_DRIFT, Evidence, State, Verdict, distance
from qinsight.errors import QInsightError
from qinsight.json_lines import parsed
from qinsight.prompts import Task
from qinsight.requests import About, Finish
from qinsight.whole_files import whole_text

SHIPPED = Path(__file__).with_name("preview.json")
MOST_OTHER = 0.5  # of the recorded diagnoses may name another distortion
SURELY = 0.8  # of the replies fp32 keeps, word for word, on another processor


@dataclass(frozen=True)
class Record:
    """Replies by the names of their steps, and whose they are.

    Of scores `said` are the ratings that were written, `expected` the means over those that might have been.
    """

    model: str
    weights: str
    precision: str
    texts: dict[str, str]
    said: dict[str, float]
    expected: dict[str, float]


def record(evidence: Evidence) -> Record:
    """What this check heard, to be compared with later."""
    heard = dict(_heard(evidence))
    texts = {name: one.text for name, one in heard.items()}
    said = {name: one.answer.rating for name, one in heard.items() if isinstance(one.answer, Score)}
    expected = {name: round(one.expected_rating, 4) for name, one in heard.items() if one.expected_rating}
    about = evidence.about
    return Record(about.name, about.weights, about.precision, texts, said, expected)


def write_record(found: Record, path: Path) -> None:
    """The record as a file; `QInsightError` where it cannot be written."""
    try:
        with whole_text(path) as file:
            json.dump({**vars(found), "plan": plan.VERSION}, file, indent=1)
            file.write("\n")
    except OSError as error:
        raise QInsightError(
            "The record cannot be written to {path}: {cause}.", path=path, cause=error.strerror or error
        ) from error


def read_record(path: Path) -> Record:
    """The record in a file; `QInsightError` where there is none."""
    try:
        found = parsed(path.read_text(encoding="utf-8"))
        if found["plan"] != plan.VERSION:
            raise ValueError(f"it is of plan {found['plan']}, this is {plan.VERSION}")
        texts = {str(name): str(text) for name, text in found["texts"].items()}
        model, weights, precision = (str(found[name]) for name in ("model", "weights", "precision"))
        said, expected = _numbers(found["said"]), _numbers(found["expected"])
        return Record(model, weights, precision, texts, said, expected)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise QInsightError(
            "Expected replies recorded by `check --record` in {path}; they cannot be read ({error}).",
            path=path,
            error=error,
        ) from error


def identity(evidence: Evidence, against: Record | None) -> Verdict:
    """Compare with the record that was named, else with the shipped one where it is of these weights."""
    if not evidence.as_usual:
        words = "not known: recorded replies are of whole pictures, without a penalty of one's own"
        return Verdict("identity", State.UNKNOWN, words)
    if against is not None:
        return _compared(evidence, against, _foreign(evidence.about, against))
    shipped = read_record(SHIPPED)
    weights = _weights(evidence.about)
    if weights == shipped.weights or (not weights and _begins_alike(evidence, shipped)):
        return _compared(evidence, shipped)
    words = "not known: no recorded replies of these weights are at hand (see --record and --against)"
    return Verdict("identity", State.UNKNOWN, words)


def _weights(about: About) -> str:
    """Of converted weights the fingerprint of those they were made of: every conversion has one of its own."""
    return about.source or about.weights


def _foreign(about: About, against: Record) -> str:
    differ = against.weights and _weights(about) not in ("", against.weights)
    return f"the record is of other weights ({against.model}, {against.weights}); " if differ else ""


def _compared(evidence: Evidence, recorded: Record, foreign: str = "") -> Verdict:
    heard = dict(_heard(evidence))
    common = [name for name in recorded.texts if name in heard]
    if not common:
        return Verdict("identity", State.UNKNOWN, "not known: none of the recorded replies came again")
    same = {name for name in common if heard[name].text == recorded.texts[name]}
    apart = [far for name in common if (far := _apart(heard[name], recorded, name)) is not None]
    mean = statistics.fmean(apart) if apart else 0.0
    exact = evidence.about.precision == recorded.precision == "fp32"
    tolerance = EXACT_DRIFT if exact else DRIFT
    figures = {
        "same words": len(same),
        "recorded": len(common),
        "mean": round(mean, 4),
        "tolerance": tolerance,
    }
    told = f"{foreign}{len(same)} of {len(common)} replies are word for word those of {recorded.model}, ratings differ by {mean:.3f}"
    named, others = _diagnoses(heard, recorded)
    if others:
        told += f", and {others} of {named} diagnoses name another distortion"
    pairs = {name for name in common if heard[name].request.task is Task.COMPARISON}
    reworded = any(len(kind & same) < SURELY * len(kind) for kind in (pairs, set(common) - pairs))
    differs = mean > tolerance or others > MOST_OTHER * named or (reworded and bool(exact or foreign))
    if differs or not apart:
        return Verdict("identity", State.ALARM, told, figures)
    if reworded:
        told += "; other words come of another precision, or of another prompt, penalty or sampling than was asked for"
    return Verdict("identity", State.NOTE if foreign or reworded else State.OK, told, figures)


def _diagnoses(heard: dict[str, Asked], recorded: Record) -> tuple[int, int]:
    """How many diagnoses can be compared, and how many of them name another distortion."""
    pairs = [
        (one, replace(one, text=recorded.texts[name], finish=Finish.STOP))
        for name, one in heard.items()
        if one.request.task is Task.DEGRADATION and name in recorded.texts
    ]
    apart = [far for pair in pairs if (far := distance(*pair)) is not None]
    return len(apart), sum(far > 0 for far in apart)


def _apart(one: Asked, recorded: Record, name: str) -> float | None:
    if one.expected_rating is not None and name in recorded.expected:
        return abs(one.expected_rating - recorded.expected[name])
    if isinstance(one.answer, Score) and name in recorded.said:
        return abs(one.answer.rating - recorded.said[name])
    return None


def _numbers(found: dict[str, float]) -> dict[str, float]:
    return {str(name): float(value) for name, value in found.items()}


def _begins_alike(evidence: Evidence, recorded: Record) -> bool:
    """Whether most replies begin as recorded ones but for their numbers: harm done to pictures changes these alone."""
    known = {_beginning(text) for text in recorded.texts.values()}
    heard = [_beginning(one.text) in known for _, one in _heard(evidence)]
    return sum(heard) > len(heard) / 2


def _beginning(text: str) -> str:
    """The first sentence without its numbers."""
    return re.sub(r"[0-9]+", "", text.partition(". ")[0])


def _heard(evidence: Evidence) -> Iterator[tuple[str, Asked]]:
    """Every greedy reply that is asked for word by word; of pairs both orders."""
    for name in evidence.answers:
        orders = 2 if name.startswith(("pair", "reference")) else 1
        if orders == 2 or name.startswith(("score", "diagnosis")):
            for place in range(orders):
                if (one := evidence.one(name, place)) is not None:
                    yield f"{name}, swapped" if place else name, one
