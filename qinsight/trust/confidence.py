"""What the app may say beside an answer, where a calibration for these weights is at hand; without one, nothing."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from qinsight.answers import Clean, Degradation, Score
from qinsight.assess import Asked, described
from qinsight.engines.checkpoint import PREVIEW
from qinsight.ranking.rows import Row
from qinsight.requests import About
from qinsight.sentence import Sentence
from qinsight.trust.calibration import FILE, SHARE, Calibration, read
from qinsight.trust.triage import Heap, Triage

FIELD = "app_confidence"  # of an answer in JSON: the app's word, beside the model's


def calibration_for(about: About, model: str, chosen: Path | None = None) -> Calibration | None:
    """The calibration of what answers at its size: the chosen one, or one beside the model; None where there is none.

    `QInsightError` where the chosen one cannot be read, or is of something else.
    """
    if chosen is not None:
        found = read(chosen)
        if misfit := found.misfit(about):
            raise misfit
        return found
    for folder in (Path(model).expanduser(), PREVIEW):
        if (folder / FILE).is_file():
            found = read(folder / FILE)
            if found.misfit(about) is None:
                return found
    return None


def confidence(calibration: Calibration | None, asked: Asked) -> dict[str, Any] | None:
    """The app's field beside a greedy answer; None where nothing is known of it."""
    if calibration is None:
        return None
    match asked.answer:
        case Score() if asked.rating_odds:
            low, high = calibration.around(asked.rating_odds)
            told: dict[str, Any] = {"interval": [round(low, 2), round(high, 2)], "share": SHARE}
            said = Sentence("Between {low:.1f} and {high:.1f}, nine times in ten.", low=low, high=high)
        case Degradation() | Clean():
            named = str(described(asked.answer)["distortion_class"])
            known = calibration.reliability(named)
            if known is None:
                return None
            told = {"right": known.right, "named": known.named}
            said = _said_of_class(named, known.right, known.named)
        case _:
            return None
    return told | {"sentence": said, "holds_for": calibration.holds_for}


def with_confidence(row: Row, calibration: Calibration | None, triage: Triage | None = None) -> Row:
    """The row with the app's interval and heap in fields of their own; the model's answers stay as they are."""
    if calibration is None or row.error is not None:
        return row
    if row.expected_rating is None or row.odds_spread is None:
        return replace(row, app_heap=str(Heap.LOOK)) if triage else row
    low, high = calibration.interval(row.expected_rating, row.odds_spread)
    named = row.distortion_class
    heap = str(triage.heap(row.expected_rating, row.odds_spread, named)) if triage else None
    if heap == Heap.REJECT and row.bracket:  # its dark and bright frames are meant to be there
        heap = str(Heap.LOOK)
    return replace(row, app_low=round(low, 2), app_high=round(high, 2), app_heap=heap)


def noted(note: str, holds_for: str) -> str:
    """The note at the end of a contact sheet, with the photographs for which the app's intervals and heaps hold."""
    told = f"What the app says holds for photographs like: {holds_for}." if holds_for else ""
    return " ".join(filter(None, [note, told]))


def _said_of_class(named: str, right: int, times: int) -> Sentence:
    if named == "null":
        return Sentence("Of {times} photos that it called clean, {right} were.", times=times, right=right)
    return Sentence(
        "Of {times} photos that it called {named}, {right} were.", times=times, named=named, right=right
    )
