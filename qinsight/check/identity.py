"""Whether the replies are those of the weights they are said to be: compared with replies recorded from an engine
that is trusted."""

import json
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from qinsight.assess import Asked
from qinsight.check import plan
from qinsight.check.verdicts import DRIFT, EXACT_DRIFT, Evidence, State, Verdict, rating_of
from qinsight.errors import QInsightError
from qinsight.json_lines import parsed
from qinsight.requests import About
from qinsight.whole_files import whole_text

SHIPPED = Path(__file__).with_name("preview.json")
MOST_OTHER = 0.5  # of the recorded replies may have other words, on another processor or in another precision
SURELY = 0.8  # of them, word for word, show which weights answer where nobody says so


@dataclass(frozen=True)
class Record:
    """Replies by the names of their steps, and whose they are. `ratings` has those that were scores."""

    model: str
    weights: str
    precision: str
    texts: dict[str, str]
    ratings: dict[str, float]


def record(evidence: Evidence) -> Record:
    """What this check heard, to be compared with later."""
    heard = dict(_heard(evidence))
    ratings = {name: rating for name, one in heard.items() if (rating := rating_of(one)) is not None}
    about = evidence.about
    texts = {name: one.text for name, one in heard.items()}
    return Record(about.name, about.weights, about.precision, texts, ratings)


def write_record(found: Record, path: Path) -> None:
    """The record as a file; `QInsightError` where it cannot be written."""
    rounded = {name: round(rating, 4) for name, rating in found.ratings.items()}
    try:
        with whole_text(path) as file:
            json.dump({**vars(found), "plan": plan.VERSION, "ratings": rounded}, file, indent=1)
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
        ratings = {str(name): float(rating) for name, rating in found["ratings"].items()}
        return Record(str(found["model"]), str(found["weights"]), str(found["precision"]), texts, ratings)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise QInsightError(
            "Expected replies recorded by `check --record` in {path}; they cannot be read ({error}).",
            path=path,
            error=error,
        ) from error


def identity(evidence: Evidence, against: Record | None) -> Verdict:
    """Compare with the record that was named, else with the shipped one where it is of these weights."""
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
    apart = [
        abs(rating - recorded.ratings[name])
        for name in common
        if name in recorded.ratings and (rating := rating_of(heard[name])) is not None
    ]
    mean = statistics.fmean(apart) if apart else 0.0
    exact = evidence.about.precision == recorded.precision == "fp32"
    tolerance = EXACT_DRIFT if exact else DRIFT
    figures = {"same words": same, "recorded": len(common), "mean": round(mean, 4), "tolerance": tolerance}
    told = f"{foreign}{same} of {len(common)} replies are word for word those of {recorded.model}, ratings differ by {mean:.3f}"
    differs = bool(foreign) or mean > tolerance or same < (1 - MOST_OTHER) * len(common) or not apart
    return Verdict("identity", State.ALARM if differs else State.OK, told, figures)


def _alike(evidence: Evidence, recorded: Record) -> float:
    heard = dict(_heard(evidence))
    return sum(name in heard and heard[name].text == text for name, text in recorded.texts.items()) / len(
        recorded.texts
    )


def _heard(evidence: Evidence) -> Iterator[tuple[str, Asked]]:
    for name in plan.base_names():
        if (one := evidence.one(name)) is not None:
            yield name, one
