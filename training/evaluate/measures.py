"""From answers to the numbers of a set: one flat dictionary of JSON per set and task, intervals under `..._95`."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np

from qinsight.answers import Answer, Clean, Comparison, Degradation, Score
from qinsight.prompts import Task
from training.data.examples import NULL, Rated, Target
from training.data.lines import LabelError
from training.evaluate.bootstrap import (
    DRAWS,
    MOST_FOR_KRCC,
    Interval,
    Statistic,
    class_mean_of,
    intervals,
    krcc_of,
    mean_of,
    paired_difference,
    plcc_of,
    rmse_of,
    srcc_of,
)
from training.evaluate.metrics import (
    CLASSES,
    LEVELS,
    UNREADABLE,
    Curve,
    MetricError,
    degradation_accuracy,
    fit_logistic4,
    fit_logistic5,
    krcc,
    order_consistency,
    pair_accuracy,
    plcc,
    rmse,
    srcc,
)
from training.evaluate.predictions import Fault, Prediction
from training.rewards import task_reward

SCALE = (1.0, 5.0)  # of ratings: labels within it share their unit
Measures = dict[str, Any]
Told = Callable[[int], None]  # hears of resamples that were measured
Watch = Callable[
    [str, int], AbstractContextManager[Told]
]  # of a set in words, and how many resamples it takes


@contextmanager
def unwatched(words: str, whole: int) -> Iterator[Told]:
    """Nobody hears how far a set is."""
    yield lambda more: None


def measure(predictions: Sequence[Prediction], watch: Watch = unwatched) -> list[Measures]:
    """The numbers of each set and task that occurs, in the order of their first lines."""
    groups: dict[tuple[str, Task], list[Prediction]] = {}
    for one in predictions:
        groups.setdefault((one.set, one.task), []).append(one)
    how = {Task.SCORE: _score, Task.DEGRADATION: _degradation, Task.COMPARISON: _comparison}
    found = []
    for number, ((name, task), group) in enumerate(groups.items(), 1):
        answered = [one for one in group if one.answered]
        words = f"measuring {number} of {len(groups)}: {name or 'no set'}, {task}, {len(group):,} answers"
        with watch(words, _resamples(task, answered)) as told:
            found.append(_counts(name, task, group) | how[task](answered, told))
    return found


def _resamples(task: Task, answered: list[Prediction]) -> int:
    expected = any(one.expected_rating is not None for one in answered)
    return DRAWS * (1 + expected) if task is Task.SCORE else DRAWS


def _counts(name: str, task: Task, group: list[Prediction]) -> Measures:
    """`n` questions were answered, some of them unreadably; `missing` ones never were, and are not scored."""
    answered = [one for one in group if one.answered]
    repairs = Counter(repair for one in answered for repair in one.repairs)
    return {
        "set": name,
        "task": str(task),
        "n": len(answered),
        "readable": sum(one.answer is not None for one in answered),
        "unreadable": sum(one.answer is None for one in answered),
        "missing": len(group) - len(answered),
        "missing_photos": sum(one.fault is Fault.PHOTO for one in group),
        "repaired": sum(bool(one.repairs) for one in answered),
        "repairs": dict(repairs.most_common()),
    }


# --- scores -----------------------------------------------------------------------------------------------


def _score(answered: list[Prediction], told: Told) -> Measures:
    readable = [one for one in answered if isinstance(one.answer, Score)]
    written = np.array([_rating(one.answer) for one in readable])
    found = correlations(written, np.array([_mos(one.target) for one in readable]), told)
    expected = [one for one in readable if one.expected_rating is not None]
    if expected:
        ratings = np.array([one.expected_rating for one in expected], float)
        found["expected_rating"] = {"n": len(expected)} | correlations(
            ratings, np.array([_mos(one.target) for one in expected]), told
        )
    return found


def correlations(prediction: np.ndarray, label: np.ndarray, told: Told | None = None) -> Measures:
    """PLCC raw and after both logistics, SRCC, KRCC, RMSE in the unit of the labels; with intervals.

    Readable answers only. What does not exist is None, and `notes` say why. The curves are fitted once to all
    photos, and mapped photos resampled: the intervals leave out how much the curve itself would change.
    """
    values: dict[str, float | None] = {}
    notes: list[str] = []
    wanted: dict[str, Statistic] = {}

    def take(name: str, value: Callable[[], float], statistic: Callable[[], Statistic]) -> None:
        values[name] = None
        try:
            values[name] = value()
        except MetricError as error:
            notes.append(f"{name}: {error}")
        else:
            wanted[name] = statistic()

    take("plcc", lambda: plcc(prediction, label), lambda: plcc_of(prediction, label))
    curves: dict[str, np.ndarray] = {}
    for name, fit in (("4p", fit_logistic4), ("5p", fit_logistic5)):
        try:
            curve = fit(prediction, label)
        except MetricError as error:
            values[f"plcc_{name}"] = None
            notes.append(f"plcc_{name}: {error}")
            continue
        curves[name] = mapped = curve(prediction)
        take(f"plcc_{name}", lambda m=mapped: plcc(m, label), lambda m=mapped: plcc_of(m, label))  # type: ignore[misc]
        notes += _remarks(name, curve, prediction)
    take("srcc", lambda: srcc(prediction, label), lambda: srcc_of(prediction, label))
    take("krcc", lambda: krcc(prediction, label), lambda: krcc_of(prediction, label))
    if one_unit(prediction, label):
        take("rmse", lambda: rmse(prediction, label), lambda: rmse_of(prediction, label))
    else:
        values["rmse"] = None
        notes.append(
            "rmse: expected predictions and labels on 1 to 5, so in one unit; see those after the curves"
        )
    for name in ("4p", "5p"):
        values[f"rmse_{name}"] = None
        if name in curves:
            mapped = curves[name]
            take(f"rmse_{name}", lambda m=mapped: rmse(m, label), lambda m=mapped: rmse_of(m, label))  # type: ignore[misc]
    if len(prediction) > MOST_FOR_KRCC and "krcc" in wanted:
        del wanted["krcc"]
        notes.append(f"krcc: no interval beyond {MOST_FOR_KRCC} photos, it would take minutes")
    found = intervals(list(wanted.values()), len(prediction), told=told) if wanted else []
    spans: dict[str, Interval | None] = dict(zip(wanted, found, strict=True))
    lines: Measures = {}
    for name, value in values.items():
        lines |= {name: value, f"{name}_95": _ends(spans.get(name))}
    return lines | {"distinct": len(np.unique(prediction)), "notes": notes}


def one_unit(prediction: np.ndarray, label: np.ndarray) -> bool:
    """Whether both lie on the rating scale, so that their raw difference means something."""
    low, high = SCALE
    return all(
        values.size > 0 and low <= values.min() <= values.max() <= high for values in (prediction, label)
    )


def _remarks(name: str, curve: Curve, prediction: np.ndarray) -> list[str]:
    remarks = []
    if curve.formula.__name__ == "line":
        remarks.append(f"plcc_{name}: no logistic fits better than a straight line, which is used")
    if curve.falls(prediction):
        remarks.append(f"plcc_{name}: the curve falls, higher predictions mean lower labels; see plcc")
    return remarks


# --- degradations -----------------------------------------------------------------------------------------


def _degradation(answered: list[Prediction], told: Told) -> Measures:
    if not answered:
        return {"notes": ["expected at least one answer, got none"]}
    said = [_named(one.answer) for one in answered]
    true = [_named(one.target) for one in answered]
    found = degradation_accuracy(said, true)
    pairs = list(zip(said, true, strict=True))
    right = np.array([one[0] == other[0] for one, other in pairs], float)
    exact = np.array([one == other for one, other in pairs], float)
    near = right * np.array([abs(one[1] - other[1]) <= 1 for one, other in pairs])
    kinds = np.array([other[0] for other in true])
    levelled = kinds != NULL
    level = class_mean_of(exact[levelled], kinds[levelled])
    statistics = {
        "class_accuracy": class_mean_of(right, kinds),
        "exact": mean_of(exact),
        "within_one": mean_of(near),
    }
    values = {
        "class_accuracy": found.class_average,
        "exact": float(exact.mean()),
        "within_one": float(near.mean()),
    }
    if found.level_average is not None:
        statistics["level_accuracy"] = lambda counts: level(counts[:, levelled])
        values["level_accuracy"] = found.level_average
    spans = dict(zip(statistics, intervals(list(statistics.values()), len(true), told=told), strict=True))
    lines: Measures = {}
    for name in ("class_accuracy", "level_accuracy", "exact", "within_one"):
        lines |= {name: values.get(name), f"{name}_95": _ends(spans.get(name))}
    lines["classes"] = {
        name: {
            "n": one.n,
            "unreadable": one.unreadable,
            "class_accuracy": one.right / one.n,
            "level_accuracy": None if one.level is None else one.level / one.n,
            "within_one": one.within_one / one.n,
            "said": dict(Counter(a[0] or "unreadable" for a, b in pairs if b[0] == name).most_common()),
        }
        for name, one in found.classes.items()
    }
    absent = [name for name in CLASSES if name not in found.classes]
    return lines | {"notes": [f"averages leave out {', '.join(absent)}: no photo has it"] if absent else []}


# --- comparisons ------------------------------------------------------------------------------------------


def _comparison(answered: list[Prediction], told: Told) -> Measures:
    if not answered:
        return {"notes": ["expected at least one answer, got none"]}
    said = [_winner(one.answer) for one in answered]
    true = [_winner(one.target) for one in answered]
    found = pair_accuracy(said, true)
    hits = np.array([one == other for one, other in zip(said, true, strict=True)], float)
    lines: Measures = {"accuracy": found.right / found.n, "accuracy_95": _ends(_of_mean(hits, told))}
    lines["labels"] = {label: {"n": n, "accuracy": right / n} for label, (right, n) in found.labels.items()}
    lines["notes"] = []
    both = [one for one in answered if one.both_orders]
    if both:
        lines |= _both_orders(both)
    if 0 < len(both) < len(answered):
        lines["notes"].append(f"both orders were asked of {len(both)} pairs only")
    return lines


def _both_orders(asked: list[Prediction]) -> Measures:
    said, swapped = ([_winner(one.answer) for one in asked], [_winner(one.swapped) for one in asked])
    true = [_winner(one.target) for one in asked]
    found = order_consistency(said, swapped, true)
    same = np.array([one == other != UNREADABLE for one, other in zip(said, swapped, strict=True)], float)
    return {
        "both_orders": found.n,
        "unreadable_in_an_order": found.n - found.readable,
        "swapped_accuracy": sum(one == label for one, label in zip(swapped, true, strict=True)) / found.n,
        "order_consistency": found.same / found.n,
        "order_consistency_95": _ends(_of_mean(same)),
        "right_in_both_orders": found.right_in_both / found.n,
        "first_place": found.first_place / found.sided if found.sided else None,
    }


# --- two models -------------------------------------------------------------------------------------------


def paired(ours: Iterable[Prediction], theirs: Iterable[Prediction]) -> list[Measures]:
    """The difference in task reward, 0 to 1 (`training.rewards`), ours less theirs: per task and over all.

    On the questions that both were asked; an unreadable answer earns 0, a question that either could not be
    asked is left out. `LabelError` where a question has no id, or the same id two targets.
    """
    mine, other = _by_name(ours), _by_name(theirs)
    common = [name for name in mine if name in other]
    for name in common:
        if mine[name].target != other[name].target:
            raise LabelError(f'Expected the same target for "{name[1]}" in both files, got two.')
    heard = [name for name in common if mine[name].answered and other[name].answered]
    if not heard:
        raise LabelError(
            f"Expected questions that both were asked, got none of {len(mine)} and {len(other)}."
        )
    lines = []
    for task in [*Task, None]:
        names = [name for name in heard if task is None or mine[name].task is task]
        if not names or (task is not None and len(names) == len(heard)):
            continue
        first, second = (np.array([_reward(answers[name]) for name in names]) for answers in (mine, other))
        found = paired_difference(first, second)
        lines.append(
            {
                "task": str(
                    task or (mine[names[0]].task if len({mine[name].task for name in names}) == 1 else "all")
                ),
                "n": found.n,
                "ours": found.first,
                "theirs": found.second,
                "difference": found.difference,
                "difference_95": _ends(found.interval),
                "p": found.p,
                "only_in_one": len(mine) + len(other) - 2 * len(common),
                "missing": len(common) - len(heard),
            }
        )
    return lines


def _by_name(predictions: Iterable[Prediction]) -> dict[tuple[str, str], Prediction]:
    found = {}
    for one in predictions:
        if one.id is None:
            raise LabelError(f"Expected an id in every line to pair two models; line {one.line} has none.")
        found[one.set, one.id] = one
    return found


def _reward(one: Prediction) -> float:
    if isinstance(one.target, Rated) and not SCALE[0] <= one.target.mos <= SCALE[1]:
        raise LabelError(
            f"Expected targets from 1 to 5 to reward ratings, got {one.target.mos:g} in line {one.line}."
        )
    return task_reward(one.target, one.answer)


# --- values -----------------------------------------------------------------------------------------------


def _rating(answer: Answer | None) -> float:
    assert isinstance(answer, Score)
    return answer.rating


def _mos(target: Target) -> float:
    assert isinstance(target, Rated)
    return target.mos


def _named(answer: Answer | Target | None) -> tuple[str, int]:
    if isinstance(answer, Degradation):
        return str(answer.distortion), LEVELS.index(str(answer.severity)) + 1
    return (NULL, 0) if isinstance(answer, Clean) else (UNREADABLE, 0)


def _winner(answer: Answer | Target | None) -> str:
    return str(answer.winner) if isinstance(answer, Comparison) else UNREADABLE


def _of_mean(values: np.ndarray, told: Told | None = None) -> Interval | None:
    return intervals([mean_of(values)], len(values), told=told)[0]


def _ends(interval: Interval | None) -> list[float] | None:
    return None if interval is None else [interval.low, interval.high]
