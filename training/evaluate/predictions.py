"""A JSONL of answers beside what is true, one question a line: read for the tables, written so that a kill loses nothing.

    {"prediction": 3.42, "target": 3.91, "set": "KonIQ", "id": "koniq/1.jpg"}
    {"prediction": {"distortion_class": "noise", "severity": "slight"}, "target": {... the same ...}}
    {"prediction": "Image A", "target": "Image B"}

The type of the target tells the task. `set` and `id` may be missing, and so may `prediction`: null, missing or
NaN is an unreadable answer, and so are words that answer nothing. A line with a `fault` of "photo" or "model" was
never answered; it is counted and not scored.
"""

import json
import math
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from qinsight.answers import Answer, Comparison, Score, Winner
from qinsight.json_lines import json_object
from qinsight.ledger import Ledger
from qinsight.prompts import Task
from training.data.examples import Rated, Target, read_target
from training.data.lines import line_in, read_each, text_lines

PREDICTIONS = "predictions.jsonl"


class Fault(StrEnum):
    """Why a question has no answer: words that answer nothing, a photo or a model that could not be had."""

    ANSWER = "answer"
    PHOTO = "photo"
    MODEL = "model"


@dataclass(frozen=True)
class Prediction:
    """An answer and what is true. A number may be on any scale; `target` holds it as the `mos`.

    `swapped` is what was said of a pair when its photos changed places, in the names of the first order;
    None is unreadable where `both_orders`. `words` is what stood in place of a readable answer.
    """

    target: Target
    answer: Answer | None
    set: str = ""
    id: str | None = None
    expected_rating: float | None = None
    both_orders: bool = False
    swapped: Comparison | None = None
    repairs: tuple[str, ...] = ()
    fault: Fault | None = None
    words: str = ""
    line: int = 0

    @property
    def task(self) -> Task:
        if isinstance(self.target, Rated):
            return Task.SCORE
        return Task.COMPARISON if isinstance(self.target, Comparison) else Task.DEGRADATION

    @property
    def answered(self) -> bool:
        """Whether the model was heard at all, readable or not."""
        return self.fault in (None, Fault.ANSWER)


def read_predictions(file: Path) -> list[Prediction]:
    """All lines of a file; `LabelError` names file and line of each that is not one, and what was expected."""
    found: dict[object, Prediction] = {}

    def read(place: str, text: str) -> None:
        one = read_prediction(json_object(text), number := line_in(place))
        name = number if one.id is None else (one.set, one.task, one.id)
        before = found.get(name)
        if before and before.answered:  # unless a photo could not be read, and then could
            raise ValueError(f'expected every id once in a set; "{one.id}" stands in line {before.line} too')
        found[name] = one

    read_each(text_lines(file, "JSONL"), read)
    return [*found.values()]


def read_prediction(line: dict[str, Any], number: int = 0) -> Prediction:
    """One line; `ValueError` says what was expected where it is none."""
    target = _target(line)
    fault = Fault(line["fault"]) if line.get("fault") in [*Fault] else None
    answer = None if fault else _answer(target, line.get("prediction"))
    expected: Any = line.get("expected_rating")
    swapped: Any = line.get("swapped")
    return Prediction(
        target=target,
        answer=answer,
        set=_text(line, "set") or "",
        id=_text(line, "id"),
        expected_rating=float(expected) if _is_number(expected) else None,
        both_orders="swapped" in line,
        swapped=Comparison(Winner(swapped)) if swapped in [*Winner] else None,
        repairs=tuple(line.get("repairs") or ()),
        fault=fault or (Fault.ANSWER if answer is None else None),
        words=""
        if answer
        else str(line.get("error") or json.dumps(line.get("prediction"), ensure_ascii=False)),
        line=number,
    )


def _target(line: dict[str, Any]) -> Target:
    target: Any = line.get("target")
    if _is_number(target):
        return Rated(float(target), float(target))
    if isinstance(target, dict):
        return read_target(Task.DEGRADATION, target)
    if isinstance(target, str) and target in [*Winner]:
        return Comparison(Winner(target))
    came = json.dumps(target) if "target" in line else "nothing"
    winners = ", ".join(f'"{winner}"' for winner in Winner)
    raise ValueError(
        f'expected "target" as a number, a distortion_class with its severity, or one of {winners}; got {came}'
    )


def _answer(target: Target, said: Any) -> Answer | None:
    """The answer in the type of the target, None for an unreadable one; `ValueError` for one of another kind."""
    if said is None or (isinstance(said, float) and not math.isfinite(said)):
        return None
    if isinstance(target, Rated):
        if _is_number(said):
            return Score(float(said))
        if isinstance(said, str):
            _refuse_number(said)
            return None
        raise ValueError(
            f'expected "prediction" as a number like its target, or null; got {json.dumps(said)}'
        )
    if isinstance(target, Comparison):
        if isinstance(said, str):
            return Comparison(Winner(said)) if said in [*Winner] else None
        raise ValueError(
            f'expected "prediction" as a verdict like its target, or null; got {json.dumps(said)}'
        )
    if isinstance(said, str):
        return None
    if not isinstance(said, dict) or None in (said.get("distortion_class"), said.get("severity")):
        raise ValueError(
            'expected "prediction" with distortion_class and severity, both "null" (a word) for a clean photo, '
            f"or null in its place for an unreadable answer; got {json.dumps(said)}"
        )
    try:
        degradation = read_target(Task.DEGRADATION, said)
    except ValueError:  # a word that is no class, a class without its severity
        return None
    assert not isinstance(degradation, Rated)
    return degradation


def _refuse_number(said: str) -> None:
    """A number in quotes is a mistake of whoever wrote the file; other words are the model's."""
    try:
        number = float(said)
    except ValueError:
        return
    if math.isfinite(number):
        raise ValueError(f'expected "prediction" as a number, got one in quotes: {json.dumps(said)}')


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")


def _text(line: dict[str, Any], name: str) -> str | None:
    value = line.get(name)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if value is not None and not isinstance(value, str):
        raise ValueError(f'expected "{name}" as text, got {json.dumps(value)}')
    return value


# --- the memory of a run ----------------------------------------------------------------------------------


def memory(out: Path) -> Ledger:
    """`predictions.jsonl` in a folder: a line per question, by its id."""
    return Ledger(out / PREDICTIONS, own_line, name="id", key="id")


def own_line(line: dict[str, Any]) -> dict[str, Any]:
    """A line as a run wrote it; `ValueError` where none did."""
    read_prediction(line)
    if not isinstance(line.get("id"), str):
        raise ValueError('expected "id" as text')
    return line
