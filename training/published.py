"""What the published reward functions of Q-Insight find in a reply, followed rule by rule.

They look at accuracy and at format independently (bytedance/Q-Insight, src/open-r1-multimodal, `qinsight_multi_task`
and `qinsight_comparison`, Apache-2.0; paper, section 3.2). So a right number in a code fence, behind a missing `<think>`
or before idle words earns its accuracy, and a well laid out wrong answer earns its format. A number that is no
number, and a field in quotes that is not expected in quotes, earns nothing. The rules are theirs, the code is ours;
`tests/test_published.py` holds the values that theirs gave.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from qinsight.answers import Comparison, Score, Winner
from qinsight.prompts import Task

_RATING = re.compile(r'"rating"\s*:\s*([\d.]+)')
_FIELD = r'"{}"\s*:\s*"([^"]+)"'
_DIAGNOSIS = re.compile(_FIELD.format("distortion_class") + ".*?" + _FIELD.format("severity"), re.DOTALL)
_TURN = re.compile(r"</think>\s*\n<answer>")


@dataclass(frozen=True)
class Named:
    """A diagnosis in the reply's own words, which need not be words of the question."""

    distortion: str
    severity: str


Found = Score | Named | Comparison


def find_answer(task: Task, text: str) -> Found | None:
    """What earns accuracy in a finished reply; None where the published code finds nothing to pay for."""
    said = _first_answer(text)
    if said is None:
        return None
    return FINDERS[task](said)


def _winner(said: str) -> Comparison | None:
    return Comparison(Winner(said)) if said in set(Winner) else None


def _named(said: str) -> Named | None:
    found = _DIAGNOSIS.search(said)
    return Named(found[1].strip(), found[2].strip()) if found else None


def has_layout(text: str, task: Task) -> bool:
    """Whether each tag stands on a line of its own, and the answer (not of a comparison) is one flat object.

    Indented closing tags and tags inside the thinking are let through; words before `<think>` are not.
    """
    body = text.rstrip()
    if not (body.startswith("<think>") and body.endswith("</answer>")):
        return False
    holds = _framed if task is Task.COMPARISON else _holds_an_object
    return any(
        _framed(body[len("<think>") : turn.start()]) and holds(body[turn.end() : -len("</answer>")])
        for turn in _TURN.finditer(body)
    )


def _first_answer(text: str) -> str | None:
    _, opened, rest = text.partition("<answer>")
    said, closed, _ = rest.partition("</answer>")
    return said.strip() if opened and closed else None


def _rating(said: str) -> Score | None:
    found = _RATING.search(said)
    try:
        return Score(float(found[1])) if found else None
    except ValueError:  # 1.2.3
        return None


FINDERS: dict[Task, Callable[[str], Found | None]] = {
    Task.SCORE: _rating,
    Task.DEGRADATION: _named,
    Task.COMPARISON: _winner,
}


def _framed(inner: str) -> bool:
    """Whether the text begins on a new line and its closing tag stands on another."""
    head, tail = inner.find("\n"), inner.rfind("\n")
    return head < tail and not inner[:head].strip() and not inner[tail:].strip()


def _holds_an_object(inner: str) -> bool:
    start, end = inner.find("{"), inner.rfind("}")
    if not 0 < start < end or inner.count("{") + inner.count("}") != 2:
        return False
    before, after = inner[:start], inner[end + 1 :]
    return before.endswith("\n") and not before.strip() and "\n" in after and not after.strip()
