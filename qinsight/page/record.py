"""An answer to take home: as text for the clipboard, as the JSON that the command line prints."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from qinsight.answers import Clean, Degradation, Score
from qinsight.assess import Asked, verdict
from qinsight.page.pictures import diagnosis, of_five, take_home, words_of
from qinsight.page.steady import AS_IT_IS, Button
from qinsight.page.words import Words, label
from qinsight.prompts import Task
from qinsight.report import report


class Record:
    """The two buttons under an answer. Copying and saving happen in the browser: nothing is kept here."""

    def __init__(self, name: str) -> None:
        self.answer = take_home(f"{name}-record")
        with gr.Row():
            self.copy = Button(
                label("copy"), size="sm", interactive=False, elem_id=f"{name}-copy", min_width=100
            )
            self.save = Button(
                label("save"), size="sm", interactive=False, elem_id=f"{name}-save", min_width=100
            )
        self.outputs = [self.answer, self.copy, self.save]
        for button, act in ((self.copy, "copy"), (self.save, "save")):
            button.click(
                None, [self.answer], None, js=f"record => qi.{act}(record)", api_visibility="private"
            )


def nothing_to_take_home() -> list[Any]:
    """Values of `Record.outputs` while there is no answer."""
    return [None, gr.Button(interactive=False), gr.Button(interactive=False)]


def nothing_new_to_take_home() -> list[Any]:
    """The same while an answer is on its way, and the buttons are as they were."""
    return [None, AS_IT_IS, AS_IT_IS]


def assessed(words: Words, name: str, asked: Sequence[Asked], model: str) -> list[Any]:
    """Values of `Record.outputs` for a photo's score and diagnosis; nothing where they are not finished."""
    if any(one.finish is None for one in asked):
        return nothing_to_take_home()
    said = [_in_short(one, words) for one in asked]
    keys = ("rating_reasoning", "diagnosis_reasoning")
    thinking = [f"{words(key)}\n{words_of(one, words)}" for key, one in zip(keys, asked, strict=True)]
    tasks = (Task.SCORE, Task.DEGRADATION)
    lines = [report(task, {"photo": name}, [one], model) for task, one in zip(tasks, asked, strict=True)]
    return _ready([name, *said, model], thinking, words("end").join(said), lines, name)


def compared(words: Words, names: Sequence[str], asked: Sequence[Asked], model: str) -> list[Any]:
    """Values of `Record.outputs` for a comparison; nothing where it is not finished."""
    if any(one.finish is None for one in asked):
        return nothing_to_take_home()
    found = verdict(asked)
    said = words.remark(found.sentence) if found else words("no_verdict")
    titles = [words("named", name=words(key), problem=name) for key, name in zip(_ROLES, names, strict=False)]
    keys = ("first_reasoning", "second_reasoning")
    thinking = [f"{words(key)}\n{words_of(one, words)}" for key, one in zip(keys, asked, strict=False)]
    roles = dict(zip(("photo", "other", "reference"), names, strict=False))
    return _ready(
        [*titles, said, model], thinking, said, report(Task.COMPARISON, roles, asked, model), names[0]
    )


_ROLES = ("photo_a", "photo_b", "the_reference")


def _ready(head: list[str], thinking: list[str], said: str, report: Any, name: str) -> list[Any]:
    value = {
        "said": said,
        "text": "\n\n".join(["\n".join(head), *thinking]) + "\n",
        "json": json.dumps(report, ensure_ascii=False, indent=2) + "\n",
        "file": f"{Path(name).stem}.q-insight.json",
    }
    return [value, gr.Button(interactive=True), gr.Button(interactive=True)]


def _in_short(asked: Asked, words: Words) -> str:
    match asked.answer:
        case Score(rating):
            return words("rated", rating=rating, of_five=of_five(rating, words))
        case Degradation() | Clean() as answer:
            return diagnosis(answer, words)
    return words("no_answer")
