"""What a reply earns: for its layout, and for being right about a rating, a degradation or a comparison.

The paper's rewards (section 3.2) with the constants of the published run, on the one reader of replies. Only an
answer that could be read without mending earns anything, as only that has the layout the prompt asks for; the
published code pays in addition for a right class beside a severity that is no word of the scale. The ranking
reward is VisualQuality-R1's (arXiv 2505.14460), which asks for the right order instead of the right number.
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
from training.labels import Rated, Target, read_target

SCORE_TOLERANCE = 0.35  # in MOS; the value of the released run, strictly below it earns
CLASS_WEIGHT, LEVEL_WEIGHT = 0.25, 0.75  # alpha_1 and alpha_2 of the paper


class Layout(StrEnum):
    """What the format reward demands."""

    STRICT = "strict"  # each tag on a line of its own, as the published training code
    RELAXED = "relaxed"  # thinking and answer in their tags, as the paper describes and its prompt shows


class ScoreReward(StrEnum):
    """How a rating earns."""

    THRESHOLD = "threshold"  # Q-Insight: close enough to the MOS
    RANKING = "ranking"  # VisualQuality-R1: on the right side of the other photos of the batch


def read_plainly(task: Task, text: str) -> Answer | None:
    """The answer in a finished reply; None where it is unreadable or had to be mended."""
    try:
        answer = read_answer(task, read_reply(text))
    except AnswerError:
        return None
    return None if answer.repairs else answer


def format_reward(text: str, task: Task, layout: Layout = Layout.STRICT) -> float:
    """1 for the layout that is asked for, else 0."""
    asked = has_strict_format if layout is Layout.STRICT else has_relaxed_format
    return float(asked(text, task))


def score_reward(rated: Rated, answer: Answer | None) -> float:
    """1 where the rating is less than 0.35 from the MOS, else 0."""
    return float(isinstance(answer, Score) and abs(answer.rating - rated.mos) < SCORE_TOLERANCE)


def class_reward(true: Degradation | Clean, answer: Answer | None) -> float:
    """1 for the right distortion class, or for finding a clean photo clean; else 0."""
    if isinstance(true, Degradation):
        return float(isinstance(answer, Degradation) and answer.distortion is true.distortion)
    return float(isinstance(answer, Clean))


def level_reward(true: Degradation | Clean, answer: Answer | None) -> float:
    """1 for the right severity of the right class; a clean photo found clean earns it too."""
    if isinstance(true, Degradation) and isinstance(answer, Degradation):
        return class_reward(true, answer) * float(answer.severity is true.severity)
    return class_reward(true, answer)


def comparison_reward(true: Comparison, answer: Answer | None) -> float:
    """1 for the right verdict, else 0."""
    return float(isinstance(answer, Comparison) and answer.winner is true.winner)


def task_reward(target: Target, answer: Answer | None) -> float:
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


def reward_functions(layout: Layout, score: ScoreReward, rollouts: int) -> tuple[list[Reward], list[float]]:
    """TRL's reward functions and their weights: a row of another task earns None, which TRL leaves out.

    Class and level are rewards of their own, weighted 0.25 and 0.75, so that their curves in the log are the
    accuracies of the paper's table 2. The functions take the columns `task`, `target` (JSON) and `set`.
    """

    def format(completions: Any, task: list[str], log_metric: Any, **_: Any) -> list[float | None]:
        texts = _texts(completions)
        for text, one in zip(texts, task, strict=True):
            log_metric("unreadable", float(read_plainly(Task(one), text) is None))
        return [format_reward(text, Task(one), layout) for text, one in zip(texts, task, strict=True)]

    def threshold(completions: Any, target: list[str], task: list[str], **rest: Any) -> list[float | None]:
        return _each(Task.SCORE, completions, target, task, score_reward, rest["log_metric"])

    def ranking(completions: Any, target: list[str], task: list[str], **rest: Any) -> list[float | None]:
        _each(Task.SCORE, completions, target, task, score_reward, rest["log_metric"])
        return _ranked(_texts(completions), target, task, rest["set"], rollouts)

    def distortion_class(
        completions: Any, target: list[str], task: list[str], **_: Any
    ) -> list[float | None]:
        return _each(Task.DEGRADATION, completions, target, task, class_reward)

    def severity(completions: Any, target: list[str], task: list[str], **_: Any) -> list[float | None]:
        return _each(Task.DEGRADATION, completions, target, task, level_reward)

    def comparison(completions: Any, target: list[str], task: list[str], **_: Any) -> list[float | None]:
        return _each(Task.COMPARISON, completions, target, task, comparison_reward)

    rating = threshold if score is ScoreReward.THRESHOLD else ranking
    rating.__name__ = "score"
    functions: list[Reward] = [format, rating, distortion_class, severity, comparison]
    return functions, [1.0, 1.0, CLASS_WEIGHT, LEVEL_WEIGHT, 1.0]


def _each(
    wanted: Task,
    completions: Any,
    targets: list[str],
    tasks: list[str],
    reward: Callable[[Any, Answer | None], float],
    log_metric: Any = None,
) -> list[float | None]:
    earned: list[float | None] = []
    for text, target, task in zip(_texts(completions), targets, tasks, strict=True):
        if task != wanted:
            earned.append(None)
            continue
        true, answer = _target(task, target), read_plainly(wanted, text)
        if log_metric is not None and isinstance(true, Rated) and isinstance(answer, Score):
            log_metric("score/absolute_error", abs(answer.rating - true.mos))
        earned.append(reward(true, answer))
    return earned


def _ranked(
    texts: list[str], targets: list[str], tasks: list[str], sets: list[str], rollouts: int
) -> list[float | None]:
    """Photos are ranked within their data set; one that is alone of its set in the batch earns None."""
    earned: list[float | None] = [None] * len(texts)
    groups: dict[str, list[int]] = {}
    for start in range(0, len(texts), rollouts):
        if tasks[start] == Task.SCORE:
            groups.setdefault(sets[start], []).append(start)
    for starts in groups.values():
        if len(starts) < 2:
            continue
        answers = [
            [read_plainly(Task.SCORE, text) for text in texts[start : start + rollouts]] for start in starts
        ]
        ratings = [[one.rating if isinstance(one, Score) else None for one in group] for group in answers]
        opinions = [_target(Task.SCORE, targets[start]) for start in starts]
        rewards = ranking_rewards(ratings, [one.mos for one in opinions if isinstance(one, Rated)])
        for start, row in zip(starts, rewards, strict=True):
            earned[start : start + rollouts] = row
    return earned


def _texts(completions: Any) -> list[str]:
    return [completion[0]["content"] for completion in completions]


@lru_cache(maxsize=4096)
def _target(task: str, target: str) -> Target:
    return read_target(Task(task), json.loads(target))
