"""Whether the replies are those of the weights they are said to be: compared with replies recorded from an engine
that is trusted."""

import json
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from qinsight.answers import Score
from qinsight.assess import Asked
from qinsight.check import plan
from qinsight.check.verdicts import DRIFT, EXACT_DRIFT, Evidence, State, Verdict
from qinsight.errors import QInsightError
from qinsight.json_lines import parsed
from qinsight.requests import About
from qinsight.whole_files import whole_text

SHIPPED = Path(__file__).with_name("preview.json")
MOST_OTHER = 0.5  # of the recorded replies may have other words, in another precision
SURELY = 0.8  # of them, word for word, show which weights answer; fp32 keeps as many on another processor


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
    weights = evidence.about.weights
    if weights == shipped.weights or (not weights and _alike(evidence, shipped) >= SURELY):
        return _compared(evidence, shipped)
    words = "not known: no recorded replies of these weights are at hand (see --record and --against)"
    return Verdict("identity", State.UNKNOWN, words)


def _foreign(about: About, against: Record) -> str:
    differ = about.weights and against.weights and about.weights != against.weights
    return f"the record is of other weights ({against.model}, {against.weights}); " if differ else ""


def _compared(evidence: Evidence, recorded: Record, foreign: str = "") -> Verdict:
    heard = dict(_heard(evidence))
    common = [name for name in recorded.texts if name in heard]
    if not common:
        return Verdict("identity", State.UNKNOWN, "not known: none of the recorded replies came again")
    same = sum(heard[name].text == recorded.texts[name] for name in common)
    apart = [far for name in common if (far := _apart(heard[name], recorded, name)) is not None]
    mean = statistics.fmean(apart) if apart else 0.0
    exact = evidence.about.precision == recorded.precision == "fp32"
    tolerance = EXACT_DRIFT if exact else DRIFT
    figures = {"same words": same, "recorded": len(common), "mean": round(mean, 4), "tolerance": tolerance}
    told = f"{foreign}{same} of {len(common)} replies are word for word those of {recorded.model}, ratings differ by {mean:.3f}"
    least = SURELY if exact else 1 - MOST_OTHER
    differs = bool(foreign) or mean > tolerance or same < least * len(common) or not apart
    return Verdict("identity", State.ALARM if differs else State.OK, told, figures)


def _apart(one: Asked, recorded: Record, name: str) -> float | None:
    if one.expected_rating is not None and name in recorded.expected:
        return abs(one.expected_rating - recorded.expected[name])
    if isinstance(one.answer, Score) and name in recorded.said:
        return abs(one.answer.rating - recorded.said[name])
    return None


def _numbers(found: dict[str, float]) -> dict[str, float]:
    return {str(name): float(value) for name, value in found.items()}


def _alike(evidence: Evidence, recorded: Record) -> float:
    heard = dict(_heard(evidence))
    return sum(name in heard and heard[name].text == text for name, text in recorded.texts.items()) / len(
        recorded.texts
    )


def _heard(evidence: Evidence) -> Iterator[tuple[str, Asked]]:
    """Every greedy reply about one picture."""
    for name in evidence.answers:
        if name.startswith(("score", "diagnosis")) and (one := evidence.one(name)) is not None:
            yield name, one
