"""What rollouts and labels tell of a run before it is begun: shares, and what is probably wrong, in sentences.

No model here. A threshold stands where five healthy variants of the preview's recipe stay clear of it and a planted
fault does not (`tests/test_preflight.py`).
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from scipy import stats

from qinsight.answers import Comparison, Severity, Winner, has_relaxed_format
from qinsight.prompts import Task
from training.data.examples import Example, Rated, target_json
from training.preflight.rollouts import (
    Rollout,
    answer_of,
    answer_words,
    by_id,
    is_cut,
    is_quoted,
    layout_of,
    mean_format,
    most_said,
    number_of,
    share,
    silent_groups,
    truth_of,
    unreadable,
)

ENOUGH = 8  # questions of a kind from which something is said of them
LOW_FORMAT = 0.5  # of the rollouts; below it something is said
CUT = 0.1  # of the replies
QUOTED = 0.1  # of the ratings
SILENT_GROUPS = 0.9  # of the groups of a task
HARDLY = 0.1  # of the accuracy: as good as none
NARROW = 0.8  # of the four points from 1 to 5
LEVELS = {str(level): place for place, level in enumerate(Severity)}


@dataclass(frozen=True)
class Finding:
    """Something to know before the run: what was seen and the likely cause. An alarm is worth stopping for."""

    name: str
    words: str
    alarm: bool = True

    def __str__(self) -> str:
        return f"{'!' if self.alarm else '-'} {self.name}: {self.words}"


# --- labels -----------------------------------------------------------------------------------------------


def of_labels(examples: Sequence[Example]) -> list[Finding]:
    """What the labels alone tell, without a model."""
    found: list[Finding] = []
    by_set: dict[tuple[str, Task], list[Example]] = defaultdict(list)
    for one in examples:
        by_set[one.set, one.task].append(one)
    for (name, task), mine in by_set.items():
        if len(mine) < ENOUGH:
            continue
        opinions = [one.target.mos for one in mine if isinstance(one.target, Rated)]
        if opinions and max(opinions) - min(opinions) < NARROW:
            words = (
                f"the {len(mine)} ratings of {name} lie between {min(opinions):.2f} and {max(opinions):.2f}, less than "
                f"{NARROW:g} of the scale's four points. "
            )
            words += (
                _cause_of_narrow(mine) or "All the same label, or converted from another scale (--range)?"
            )
            found.append(Finding("labels without variance", words))
        answers = Counter(" ".join(target_json(one.target).values()) for one in mine if not opinions)
        if answers and len(answers) == 1:
            only = next(iter(answers)).replace("null null", "clean")
            found.append(
                Finding(
                    "labels without variance",
                    f'all {len(mine)} {task} labels of {name} are "{only}": always saying it earns everything.',
                )
            )
    return found


def _cause_of_narrow(examples: Sequence[Example]) -> str | None:
    labels = [one.target.label for one in examples if isinstance(one.target, Rated)]
    if max(labels) - min(labels) > NARROW and len(set(labels)) > 1:
        return (
            f"Their own labels go from {min(labels):g} to {max(labels):g}: converted with the wrong --range?"
        )
    return None


def cause_of(words: str) -> Finding:
    """An error of data, recipe or checkpoint, with the kind of fault that it is."""
    causes = (
        (
            ('expected "mos" from 1 to 5, got',),
            "scale",
            "Labels are on another scale, such as 0 to 100; convert them with --range LOW HIGH (training.data).",
        ),
        (
            ('as a number, got "',),
            "quoted numbers",
            "Numbers stand in quotes in the data file; write them without.",
        ),
        (
            (
                "Expected a Qwen2.5-VL checkpoint",
                "weights that config.json describes",
                "do not fit config.json",
                "size mismatch",
            ),
            "architecture",
            "The checkpoint is of another architecture than the one trained here, Qwen2.5-VL.",
        ),
        (
            ("the model has room for",),
            "photo too large",
            "One photo makes a prompt that is too long; lower max_pixels, or leave it out.",
        ),
        (("pixels", "too large"), "photo too large", "A photo is too large to be opened."),
        (
            ("expected a photo, got", "there is none", "No such file"),
            "missing photos",
            "Photos are not where the data file says; --photos names the folder that its paths are below.",
        ),
        (
            ("in both training and test",),
            "test photos in training",
            "What is tested on must not be trained on.",
        ),
    )
    for marks, name, cause in causes:
        if any(mark in words for mark in marks):
            return Finding(name, f"{words}\n  {cause}")
    return Finding("cannot begin", words)


# --- rollouts ---------------------------------------------------------------------------------------------


def of_rollouts(rollouts: Sequence[Rollout], layout: str, limit: int) -> list[Finding]:
    """What the replies and their rewards tell; `layout` is the one rewarded, `limit` the tokens of a reply."""
    found = [*_of_words(rollouts, layout, limit), *_of_signal(rollouts)]
    for task, look in (
        (Task.SCORE, _of_ratings),
        (Task.DEGRADATION, _of_diagnoses),
        (Task.COMPARISON, _of_verdicts),
    ):
        found += look([group for group in by_id(rollouts) if group[0].task is task])
    return found


def _of_words(rollouts: Sequence[Rollout], layout: str, limit: int) -> Iterable[Finding]:
    cut = share(rollouts, is_cut)
    if cut > CUT:
        yield Finding(
            "replies cut",
            f"{cut:.0%} of the replies reach max_completion_length ({limit} tokens) and are cut: they earn nothing. Raise it, or look why the model does not end.",
        )
    whole = [one for one in rollouts if not one.cut] or rollouts
    paid = mean_format(whole)
    if paid < LOW_FORMAT:
        yield _format_finding(whole, layout, paid)
    lost = [one for one in whole if one.accuracy == 0 and is_quoted(one)]
    rated = [one for one in whole if one.task is Task.SCORE]
    if rated and len(lost) / len(rated) > QUOTED:
        yield Finding(
            "quoted numbers",
            f"{len(lost) / len(rated):.0%} of the ratings stand in quotes, such as {answer_words(lost[0])}: the reward reads a bare number only, and pays nothing for them.",
        )
    off = [one for one in rated if (value := number_of(one)) is not None and not 1 <= value <= 5]
    if rated and len(off) / len(rated) > CUT:
        yield Finding(
            "scale",
            f"{len(off) / len(rated):.0%} of the ratings are off the scale from 1 to 5, such as {number_of(off[0]):g}: the model rates on another scale, as 0 to 100.",
        )
    lost = [one for one in whole if unreadable(one)]
    if len(lost) / len(whole) > LOW_FORMAT and not off:
        yield Finding(
            "unreadable replies",
            f"in {len(lost) / len(whole):.0%} of the replies no answer is found, such as {lost[0].text[-80:]!r}: is this a checkpoint that was trained to answer questions?",
        )


def _format_finding(whole: Sequence[Rollout], layout: str, paid: float) -> Finding:
    line = fmean(has_relaxed_format(one.text, one.task) for one in whole)
    seen = Counter(layout_of(one) for one in whole).most_common(1)[0][0]
    words = f"the format reward is {paid:.2f} in the mean; layout: {layout} is rewarded, most replies have {seen}."
    if layout == "strict" and line - paid > LOW_FORMAT / 2:
        return Finding(
            "newline format",
            f"{words} Strict wants each tag on a line of its own; with layout: relaxed {line:.0%} would earn it.",
        )
    return Finding(
        "format",
        f"{words} A reward that is hardly ever earned is hardly ever learnt: start from a model that knows the layout.",
    )


def _of_signal(rollouts: Sequence[Rollout]) -> Iterable[Finding]:
    groups = by_id(rollouts)
    same = sum(len({one.text for one in group}) == 1 for group in groups)
    if len(groups) >= ENOUGH // 2 and same > len(groups) / 2:
        yield Finding(
            "no variance",
            f"in {same} of {len(groups)} groups all rollouts are the same words: temperature too low, or top_k 1? Without a difference nothing is learnt.",
        )
        return
    for task in Task:
        mine = [one for one in rollouts if one.task is task]
        silent, number = silent_groups(mine)
        if number < ENOUGH or silent <= SILENT_GROUPS * number:
            continue
        mean = fmean(one.accuracy for one in mine)
        words = f"{silent} of {number} groups of {task} earn the same accuracy in all rollouts, {mean:.2f} in the mean: "
        if mean < HARDLY:
            words += "all wrong. Are the labels wrong, or the questions too hard for this model?"
        else:
            words += "there is little left to learn here."
        few = len(mine) < 4 * number or number < 2 * ENOUGH  # two rollouts are often alike
        yield Finding("no variance", words, alarm=mean < HARDLY or not few)


def _of_ratings(groups: Sequence[list[Rollout]]) -> Iterable[Finding]:
    pairs = []
    for group in groups:
        said = [value for one in group if (value := number_of(one)) is not None and 1 <= value <= 5]
        if said and isinstance(group[0].target, Rated):
            pairs.append((fmean(said), group[0].target.mos))
    if len(pairs) < ENOUGH or np.ptp(np.array(pairs), axis=0).min() == 0:
        return
    srcc = float(stats.spearmanr(*np.array(pairs).T).statistic)
    spread = 1 / np.sqrt(len(pairs) - 1)  # of the SRCC where there is no relation
    if srcc < -0.8 * spread:
        words = f"ratings fall where the labels rise (SRCC {srcc:.2f} over {len(pairs)} photos): "
        yield Finding(
            "swapped labels", words + "are they DMOS (--higher-is-worse), or exchanged between photos?"
        )
    elif srcc < 1.7 * spread:
        words = f"ratings hardly follow the labels (SRCC {srcc:.2f} over {len(pairs)} photos): "
        words += "are labels exchanged between photos, or can the model not rate yet?"
        yield Finding("labels without relation", words, alarm=srcc < HARDLY and len(pairs) >= 2 * ENOUGH)


def _of_diagnoses(groups: Sequence[list[Rollout]]) -> Iterable[Finding]:
    said = [(pair, truth_of(group[0])) for group in groups if (pair := most_said(group))]
    if len(said) < ENOUGH:
        return
    yield from _exchanged_classes(said)
    levels = [
        (LEVELS[one[1]], LEVELS[true[1]])
        for one, true in said
        if one[1] in LEVELS and true[1] in LEVELS and one[0] == true[0]
    ]
    if len(levels) >= ENOUGH and np.ptp(np.array(levels), axis=0).min() > 0:
        srcc = float(stats.spearmanr(*np.array(levels).T).statistic)
        if srcc < -1.7 / np.sqrt(len(levels) - 1) / 2:
            yield Finding(
                "swapped labels",
                f"severities are told the milder, the worse the label is (SRCC {srcc:.2f} over {len(levels)} photos): are the five levels in the wrong order?",
            )


def _exchanged_classes(said: Sequence[tuple[tuple[str, str], tuple[str, str]]]) -> Iterable[Finding]:
    """Where most photos of a label are called by another name, and it is not one name for everything."""
    by_label: dict[str, Counter[str]] = defaultdict(Counter)
    for one, true in said:
        by_label[true[0]][one[0]] += 1
    often = {label: count for label, count in by_label.items() if count.total() >= 3}
    total = sum(count.total() for count in often.values())
    if total < ENOUGH:
        return
    right = sum(count[label] for label, count in often.items()) / total
    other = sum(max(count.values()) for count in often.values()) / total
    kinds = {count.most_common(1)[0][0] for count in often.values()}
    if right < 0.4 and other - right > 0.3 and len(kinds) > 1:
        label, count = max(often.items(), key=lambda one: one[1].total() - one[1][one[0]])
        name, times = count.most_common(1)[0]
        words = f'photos labelled "{label}" are called "{name}" in {times} of {count.total()} questions, and labels '
        yield Finding(
            "swapped labels", f"{words}agree with the replies in {right:.0%}: are the classes exchanged?"
        )


def _of_verdicts(groups: Sequence[list[Rollout]]) -> Iterable[Finding]:
    right = wrong = 0
    for group in groups:
        true = group[0].target
        for one in group:
            answer = answer_of(one)
            if (
                isinstance(answer, Comparison)
                and isinstance(true, Comparison)
                and true.winner is not Winner.SIMILAR
            ):
                right += answer.winner is true.winner
                wrong += answer.winner is true.winner.swapped
    agreed = right / (right + wrong) if right + wrong else 1.0
    if len(groups) >= ENOUGH and agreed < 0.5 - 0.8 / np.sqrt(len(groups)):
        yield Finding(
            "swapped labels",
            f"of the verdicts that name a winner, {1 - agreed:.0%} name the other photo than the label: are A and B exchanged?",
        )
