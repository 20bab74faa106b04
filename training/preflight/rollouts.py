"""Sampled replies with what they earned: their layouts, their answers, and shares of them in words. No model here."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import Any

from qinsight.answers import (
    Clean,
    Degradation,
    Score,
    has_relaxed_format,
    has_strict_format,
    read_answer,
    read_reply,
)
from qinsight.errors import AnswerError
from qinsight.prompts import Task
from training.data.examples import Target, target_json
from training.published import has_layout


@dataclass(frozen=True)
class Rollout:
    """One sampled reply, and what it earned under each reward's name."""

    id: str
    task: Task
    target: Target
    text: str
    tokens: int
    cut: bool
    rewards: dict[str, float | None] = field(default_factory=dict)

    @property
    def accuracy(self) -> float:
        """All that it earned beside its format, weighted as in training."""
        weights = {"distortion_class": 0.25, "severity": 0.75}
        earned = [
            weights.get(name, 1.0) * value
            for name, value in self.rewards.items()
            if name != "format" and value is not None
        ]
        return sum(earned)


def layout_of(rollout: Rollout) -> str:
    """The layout of a reply, in a few words."""
    text, task = rollout.text, rollout.task
    if rollout.cut:
        return "cut at the limit"
    if has_layout(text, task) or has_strict_format(text, task):
        return "each tag on its own line"
    if has_relaxed_format(text, task):
        return "tags in a line"
    for what, lacking in (
        ("no <think>", "<think>"),
        ("no </think>", "</think>"),
        ("no <answer>", "<answer>"),
    ):
        if lacking not in text:
            return what
    if "</answer>" not in text:
        return "no </answer>"
    if "```" in text:
        return "a code fence"
    if not text.rstrip().endswith("</answer>"):
        return "words after </answer>"
    return "another"


def told(rollouts: Sequence[Rollout]) -> list[str]:
    """The shares and rewards, a line each."""
    layouts = Counter(layout_of(one) for one in rollouts)
    lines = [f"Layout     {name}: {count / len(rollouts):.1%}" for name, count in layouts.most_common()]
    lines.append(
        f"Replies    {share(rollouts, is_cut):.0%} cut, {share(rollouts, unreadable):.0%} unreadable, "
        f"{median(one.tokens for one in rollouts):g} tokens in the middle, {max(one.tokens for one in rollouts)} at most"
    )
    for task in Task:
        mine = [one for one in rollouts if one.task is task]
        if mine:
            silent, groups = silent_groups(mine)
            lines.append(
                f"Task       {task}: accuracy {fmean(one.accuracy for one in mine):.3f}, "
                f"format {mean_format(mine):.3f}, {silent} of {groups} groups without signal"
            )
    return lines


def unreadable(rollout: Rollout) -> bool:
    """Whether even the app's patient reader finds no answer."""
    return answer_of(rollout) is None


def silent_groups(rollouts: Sequence[Rollout]) -> tuple[int, int]:
    """Groups whose replies all earned the same accuracy, and all groups."""
    groups = by_id(rollouts)
    return sum(len({round(one.accuracy, 6) for one in group}) == 1 for group in groups), len(groups)


# --- one reply --------------------------------------------------------------------------------------------


def by_id(rollouts: Iterable[Rollout]) -> list[list[Rollout]]:
    """The rollouts of each question."""
    groups: dict[str, list[Rollout]] = defaultdict(list)
    for one in rollouts:
        groups[one.id].append(one)
    return list(groups.values())


def answer_of(rollout: Rollout) -> Any:
    """What the app's patient reader finds; None where it finds nothing."""
    try:
        return read_answer(rollout.task, read_reply(rollout.text))
    except AnswerError:
        return None


def number_of(rollout: Rollout) -> float | None:
    """The rating as it stands in the reply, on whatever scale."""
    answer = answer_of(rollout)
    if isinstance(answer, Score):
        return answer.rating
    found = re.search(r'"rating"\s*:\s*"?(-?\d+(?:\.\d+)?)', rollout.text)
    return float(found[1]) if found else None


def is_quoted(rollout: Rollout) -> bool:
    """Whether the rating stands in quotes."""
    answer = answer_of(rollout)
    return isinstance(answer, Score) and "the rating quoted as text" in answer.repairs


def answer_words(rollout: Rollout) -> str:
    """The beginning of the answer, to be shown."""
    return (read_reply(rollout.text).answer or "")[:60]


def most_said(group: Sequence[Rollout]) -> tuple[str, str] | None:
    """The diagnosis that most rollouts of a photo give, in words."""
    answers = [answer for one in group if isinstance(answer := answer_of(one), Degradation | Clean)]
    if not answers:
        return None
    words = Counter(tuple(target_json(type(one)(*_parts(one))).values()) for one in answers).most_common(1)[
        0
    ][0]
    return words[0], words[1]


def _parts(answer: Degradation | Clean) -> tuple[Any, ...]:
    return (answer.distortion, answer.severity) if isinstance(answer, Degradation) else ()


def truth_of(rollout: Rollout) -> tuple[str, str]:
    """Class and severity of the label, in words."""
    kind, level = target_json(rollout.target).values()
    return kind, level


def is_cut(rollout: Rollout) -> bool:
    """Whether the reply was ended by its limit."""
    return rollout.cut


def share(rollouts: Sequence[Rollout], what: Callable[[Rollout], bool]) -> float:
    """How many of the rollouts it is true of."""
    return fmean(what(one) for one in rollouts)


def mean_format(rollouts: Sequence[Rollout]) -> float:
    """The format reward in the mean."""
    return fmean(one.rewards.get("format") or 0.0 for one in rollouts)
