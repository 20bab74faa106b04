"""An answer to take home: as text for the clipboard, as the JSON that the command line prints."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from qinsight.answers import Clean, Degradation, Score
from qinsight.assess import Asked, verdict
from qinsight.engines.made_by import MadeBy
from qinsight.page.pictures import laid, words_of
from qinsight.page.result import (
    Frame,
    Sure,
    answers_of,
    between,
    checked_line,
    diagnosis,
    grade,
    notes,
    of_five,
)
from qinsight.page.table import Seen
from qinsight.page.words import Words, label
from qinsight.prompts import Task
from qinsight.report import report
from qinsight.trust.claims import Reasons
from qinsight.trust.confidence import FIELD
from qinsight.trust.order import in_both_orders


class Record:
    """The unseen half of a tab's table, and the buttons that take the answer home, also as a `card` where wanted.

    Copying and saving happen in the browser: nothing is kept here.
    """

    def __init__(self, name: str, *, carded: bool = False) -> None:
        self.table = laid(f"{name}-record", name)
        with gr.Row():
            if carded:
                self.card = gr.Button(label("card"), size="sm", elem_id=f"{name}-card", min_width=100)
            for what in ("copy", "save"):
                button = gr.Button(label(what), size="sm", elem_id=f"{name}-{what}", min_width=100)
                js = f"() => qi.{what}('{name}')"
                button.click(None, None, None, js=js, api_visibility="private")


def on_the_table(
    seen: Seen, record: Mapping[str, Any] | None = None, pictures: list[Any] | None = None
) -> dict[str, Any]:
    """The value of `Record.table`: how the question stands, and what may be taken home of its answer.

    `pictures` are files to be shown on the table from now on, None for those that are there.
    """
    return {"question": seen.number, "running": seen.running, "record": record, "pictures": pictures}


def finished(asked: Sequence[Asked]) -> bool:
    """Whether there is an answer to take home: something was asked, and every reply has ended."""
    return bool(asked) and all(one.finish for one in asked)


def assessed(
    words: Words,
    name: str,
    asked: Sequence[Asked],
    model: str,
    frame: Frame | None = None,
    made: MadeBy | None = None,
    sure: Sequence[Sure] = (None, None),
    checked: Sequence[Reasons] = (),
) -> dict[str, Any]:
    """What to take home of a photo's score and diagnosis; what the app notes stands apart from the model's words."""
    said = [_in_short(one, words) for one in asked]
    keys = ("rating_reasoning", "diagnosis_reasoning")
    thinking = [f"{words(key)}\n{words_of(one, words)}" for key, one in zip(keys, asked, strict=True)]
    tasks = (Task.SCORE, Task.DEGRADATION)
    lines = [
        report(task, {"photo": name}, [one], model, made=made) for task, one in zip(tasks, asked, strict=True)
    ]
    lines = [line | ({FIELD: known} if known else {}) for line, known in zip(lines, sure, strict=True)]
    if checked:
        lines = [line | {"reasons": one.as_json()} for line, one in zip(lines, checked, strict=True)]
        thinking = [
            f"{said}\n\n{checked_line(one, words)}" for said, one in zip(thinking, checked, strict=True)
        ]
    found = answers_of(asked)
    noted = notes(*found, frame, words)
    if noted:
        lines = [line | {"app_notes": notes(*found, frame)} for line in lines]
        thinking.append("\n".join([words("app_says"), *noted]))
    short = [f"{found[0].rating:.2f}", words(grade(found[0].rating))] if found[0] else said[1:]
    ready = _ready(
        [name, *said, *filter(None, [between(sure[0], words)]), model],
        thinking,
        words("end").join(said),
        lines,
        name,
    )
    return ready | {"name": name, "short": short, "notes": noted}


def compared(
    words: Words, names: Sequence[str], asked: Sequence[Asked], model: str, made: MadeBy | None
) -> dict[str, Any]:
    """What to take home of a comparison."""
    found = verdict(asked)
    said = words.remark(found.sentence) if found else words("no_verdict")
    titles = [words("named", name=words(key), problem=name) for key, name in zip(_ROLES, names, strict=False)]
    keys = ("first_reasoning", "second_reasoning")
    thinking = [f"{words(key)}\n{words_of(one, words)}" for key, one in zip(keys, asked, strict=False)]
    roles = dict(zip(("photo", "other", "reference"), names, strict=False))
    line = report(Task.COMPARISON, roles, asked, model, made=made)
    line |= in_both_orders(Task.COMPARISON, roles, asked)
    return _ready([*titles, said, model], thinking, said, line, names[0])


_ROLES = ("photo_a", "photo_b", "the_reference")


def _ready(head: list[str], thinking: list[str], said: str, report: Any, name: str) -> dict[str, Any]:
    return {
        "said": said,
        "text": "\n\n".join(["\n".join(head), *thinking]) + "\n",
        "json": json.dumps(report, ensure_ascii=False, indent=2) + "\n",
        "file": f"{Path(name).stem}.q-insight.json",
    }


def _in_short(asked: Asked, words: Words) -> str:
    match asked.answer:
        case Score(rating):
            return words("rated", rating=rating, of_five=of_five(rating, words))
        case Degradation() | Clean() as answer:
            return diagnosis(answer, words)
    return words("no_answer")
