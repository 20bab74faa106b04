"""What a reply earns: for its layout, and for being right about a rating, a degradation or a comparison.

The paper's rewards (section 3.2) with the constants of the published run. Layout and accuracy are paid independently,
as the paper and its code do (`training/published.py`); with `Accuracy.CLEAN` only an answer earns that the app's own
reader takes without mending.
"""

import json
import math
from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import lru_cache
from statistics import fmean, variance
from typing import Any

from qinsight.answers import (
    Answer,
    Clean,
    Comparison,
    Degradation,
    Score,
    has_relaxed_format,
    has_strict_format,
    read_answer,
    read_reply,
)
from qinsight.errors import AnswerError
from qinsight.prompts import Task
from training.data.examples import Rated, Target, read_target, target_json
from training.published import Found, Named, find_answer, has_layout

SCORE_TOLERANCE = 0.35  # in MOS; the value of the released run, strictly below it earns
CLASS_WEIGHT, LEVEL_WEIGHT = 0.25, 0.75  # alpha_1 and alpha_2 of the paper


Said = Answer | Found


class Layout(StrEnum):
    """What the format reward demands."""

    STRICT = "strict"  # each tag on a line of its own, as the published training code
    RELAXED = "relaxed"  # thinking and answer in their tags, as the paper describes and its prompt shows


class Accuracy(StrEnum):
    """Which replies can be right, whatever their layout."""

    PUBLISHED = "published"  # those that Q-Insight's published code finds an answer in
    CLEAN = "clean"  # those that the app reads without mending anything


class ScoreReward(StrEnum):
    """How a rating earns."""

    THRESHOLD = "threshold"  # 1 less than 0.35 from the MOS, else 0: Q-Insight (arXiv 2503.22679, equation 3)
    GAUSSIAN = "gaussian"  # the nearer the more: after OmniQuality-R (arXiv 2510.10609), the width is ours
    RANKING = "ranking"  # on the right side of the batch's other photos: VisualQuality-R1 (arXiv 2505.14460)


def read_plainly(task: Task, text: str) -> Answer | None:
    """The answer in a finished reply; None where it is unreadable or had to be mended."""
    try:
        answer = read_answer(task, read_reply(text))
    except AnswerError:
        return None
    return None if answer.repairs else answer


def reader(accuracy: Accuracy) -> Callable[[Task, str], Said | None]:
    """What looks for the answer in a finished reply."""
    return find_answer if accuracy is Accuracy.PUBLISHED else read_plainly


def format_reward(
    text: str, task: Task, layout: Layout = Layout.STRICT, accuracy: Accuracy = Accuracy.PUBLISHED
) -> float:
    """1 for the layout that is asked for, else 0. `Accuracy.CLEAN` also wants each tag only once."""
    strict = has_layout if accuracy is Accuracy.PUBLISHED else has_strict_format
    asked = strict if layout is Layout.STRICT else has_relaxed_format
    return float(asked(text, task))


def score_reward(rated: Rated, answer: Said | None) -> float:
    """1 where the rating is less than 0.35 from the MOS, else 0."""
    return float(isinstance(answer, Score) and abs(answer.rating - rated.mos) < SCORE_TOLERANCE)


def gaussian_reward(rated: Rated, answer: Said | None) -> float:
    """1 at the MOS, a half where the threshold lies (0.35 away), and less the farther the rating is."""
    if not isinstance(answer, Score):
        return 0.0
    away = min(100.0, abs(answer.rating - rated.mos))  # farther is nothing, and its square no number
    return float(0.5 ** ((away / SCORE_TOLERANCE) ** 2))


def class_reward(true: Degradation | Clean, answer: Said | None) -> float:
    """1 for the right distortion class, or for finding a clean photo clean; else 0."""
    return float(_diagnosis(answer)[:1] == _diagnosis(true)[:1])


def level_reward(true: Degradation | Clean, answer: Said | None) -> float:
    """1 for the right severity of the right class; a clean photo found clean earns it too."""
    return float(_diagnosis(answer) == _diagnosis(true))


def comparison_reward(true: Comparison, answer: Said | None) -> float:
    """1 for the right verdict, else 0."""
    return float(isinstance(answer, Comparison) and answer.winner is true.winner)


def _diagnosis(said: Said | None) -> tuple[str, ...]:
    """Class and severity in words; nothing where the answer is no diagnosis."""
    if isinstance(said, Named):
        return said.distortion, said.severity
    return tuple(target_json(said).values()) if isinstance(said, Degradation | Clean) else ()


def task_reward(target: Target, answer: Said | None) -> float:
    """All that an answer earns beside its layout, 0 to 1 (paper, equation 6)."""
    match target:
        case Rated():
            return score_reward(target, answer)
        case Comparison():
            return comparison_reward(target, answer)
        case _:
            return CLASS_WEIGHT * class_reward(target, answer) + LEVEL_WEIGHT * level_reward(target, answer)


def ranking_rewards(ratings: Sequence[Sequence[float | None]], mos: Sequence[float]) -> list[list[float]]:
    """The fidelity of every rating to the order of the photos, 0 to 1; 0 for an unreadable one.

    `ratings[i]` are the rollouts of photo i, `mos[i]` its mean opinion. A rollout is compared with the mean of
    each other photo's rollouts under Thurstone's model: p is the probability that photo i is the better one, and
    sqrt(p g) + sqrt((1 - p)(1 - g)) its fidelity to g, which is 1, 0.5 or 0 by the order of the opinions.
    """
    readable = [[rating for rating in group if rating is not None] for group in ratings]
    spread = [variance(group) if len(group) > 1 else 0.0 for group in readable]
    rewards = []
    for place, group in enumerate(ratings):
        others = [other for other in range(len(mos)) if other != place and readable[other]]
        row = []
        for rating in group:
            if rating is None or not others:
                row.append(0.0)
                continue
            row.append(
                fmean(
                    _fidelity(
                        (rating - fmean(readable[other])) / math.sqrt(spread[place] + spread[other] + 1e-6),
                        0.5 + 0.5 * ((mos[place] > mos[other]) - (mos[place] < mos[other])),
                    )
                    for other in others
                )
            )
        rewards.append(row)
    return rewards


def _fidelity(difference: float, truth: float) -> float:
    p = 0.5 * (1 + math.erf(difference / math.sqrt(2)))
    return math.sqrt(p * truth) + math.sqrt((1 - p) * (1 - truth))


# --- as TRL asks for them ---------------------------------------------------------------------------------

Reward = Callable[..., list[float | None]]


def reward_functions(
    layout: Layout, score: ScoreReward, rollouts: int, accuracy: Accuracy = Accuracy.PUBLISHED
) -> tuple[list[Reward], list[float]]:
    """TRL's reward functions and their weights: a row of another task earns None, which TRL leaves out.

    Class and level are rewards of their own, weighted 0.25 and 0.75, so that their curves in the log are
    accuracies. The functions take the columns `task`, `target` (JSON) and `set`.
    """
    read = reader(accuracy)

    def format(completions: Any, task: list[str], log_metric: Any, **_: Any) -> list[float | None]:
        texts = _texts(completions)
        for text, one in zip(texts, task, strict=True):
            log_metric("unreadable", float(read(Task(one), text) is None))
        return [
            format_reward(text, Task(one), layout, accuracy) for text, one in zip(texts, task, strict=True)
        ]

    def rating(completions: Any, target: list[str], task: list[str], **rest: Any) -> list[float | None]:
        texts = _texts(completions)
        answers = [
            read(Task.SCORE, text) if one == Task.SCORE else None
            for text, one in zip(texts, task, strict=True)
        ]
        for one, answer in zip(target, answers, strict=True):
            if (said := _on_scale(answer)) is not None:
                rest["log_metric"]("score/absolute_error", abs(said - _opinion(one)))
        if score is ScoreReward.RANKING:
            return _ranked(answers, target, task, rest["set"], rollouts, rest["log_metric"])
        pays = gaussian_reward if score is ScoreReward.GAUSSIAN else score_reward
        return _each(Task.SCORE, answers, target, task, pays)

    def reward(wanted: Task, name: str, pays: Callable[[Any, Said | None], float]) -> Reward:
        def earned(completions: Any, target: list[str], task: list[str], **_: Any) -> list[float | None]:
            return _each(wanted, [read(wanted, text) for text in _texts(completions)], target, task, pays)

        earned.__name__ = name
        return earned

    rating.__name__ = "score"
    functions: list[Reward] = [
        format,
        rating,
        reward(Task.DEGRADATION, "distortion_class", class_reward),
        reward(Task.DEGRADATION, "severity", level_reward),
        reward(Task.COMPARISON, "comparison", comparison_reward),
    ]
    return functions, [1.0, 1.0, CLASS_WEIGHT, LEVEL_WEIGHT, 1.0]


def _each(
    wanted: Task,
    answers: Sequence[Said | None],
    targets: list[str],
    tasks: list[str],
    pays: Callable[[Any, Said | None], float],
) -> list[float | None]:
    return [
        pays(_target(task, target), answer) if task == wanted else None
        for answer, target, task in zip(answers, targets, tasks, strict=True)
    ]


def _ranked(
    answers: Sequence[Said | None],
    targets: list[str],
    tasks: list[str],
    sets: list[str],
    rollouts: int,
    log_metric: Any,
) -> list[float | None]:
    """Photos are ranked within their data set; one that is alone of its set in the batch earns None.

    How many are alone is logged as `score/without_partner`: their rollouts learn their layout only.
    """
    earned: list[float | None] = [None] * len(answers)
    groups: dict[str, list[int]] = {}
    for start in range(0, len(answers), rollouts):
        if tasks[start] == Task.SCORE:
            groups.setdefault(sets[start], []).append(start)
    for starts in groups.values():
        for _ in starts:
            log_metric("score/without_partner", float(len(starts) < 2))
        if len(starts) < 2:
            continue
        ratings = [[_on_scale(answer) for answer in answers[start : start + rollouts]] for start in starts]
        rewards = ranking_rewards(ratings, [_opinion(targets[start]) for start in starts])
        for start, row in zip(starts, rewards, strict=True):
            earned[start : start + rollouts] = row
    return earned


def _on_scale(answer: Said | None) -> float | None:
    """The rating of an answer; None where there is none from 1 to 5, as a number like 4000 would drown the rest."""
    return answer.rating if isinstance(answer, Score) and 1 <= answer.rating <= 5 else None


def _opinion(target: str) -> float:
    rated = _target(Task.SCORE, target)
    assert isinstance(rated, Rated)
    return rated.mos


def _texts(completions: Any) -> list[str]:
    return [completion[0]["content"] for completion in completions]


@lru_cache(maxsize=4096)
def _target(task: str, target: str) -> Target:
    return read_target(Task(task), json.loads(target))
