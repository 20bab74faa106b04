"""A question's outcome as one JSON object: what the command line prints and the page's API gives."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from qinsight.answers import Answer, Clean
from qinsight.assess import Asked, described, summary, verdict
from qinsight.engines.made_by import MadeBy
from qinsight.odds import mean_of
from qinsight.prompts import Task

FIELDS = {
    Task.SCORE: ("rating",),
    Task.DEGRADATION: ("distortion_class", "severity"),
    Task.COMPARISON: ("winner",),
}


def report(
    task: Task,
    names: Mapping[str, str],
    asked: Sequence[Asked],
    model: str | None,
    error: str | None = None,
    made: MadeBy | None = None,
) -> dict[str, Any]:
    """The line of one photo, or of the two that were compared, by their names; `made` is what made the answer.

    Where there is an `error` (given, or found in the replies) the answer's fields are None. Without one, None is
    the class and the severity of a clean photo.
    """
    result = _result(task, asked)
    error = error or result.pop("error", None)
    line: dict[str, Any] = {**names, "task": str(task), **dict.fromkeys(FIELDS[task])}
    line |= {"thinking": None, "reply": None, "tokens": 0, "seconds": 0.0, "model": model}
    line |= result | {"made_by": made, "error": error}
    if error:
        line |= dict.fromkeys(FIELDS[task])
    return line


def _result(task: Task, asked: Sequence[Asked]) -> dict[str, Any]:
    """The answer's fields and what stands beside them."""
    if not asked:
        return {}
    first = asked[0]
    fields: dict[str, Any] = {
        "thinking": first.reply.thinking,
        "reply": first.text,
        "tokens": sum(one.tokens for one in asked),
        "seconds": round(max(one.seconds for one in asked), 3),
    }
    error = next((one.error for one in asked if one.error), None)
    if task is Task.COMPARISON:
        return fields | _compared(asked, error)
    if len(asked) > 1:
        return fields | _sampled(asked)
    fields |= _odds(first)
    if first.answer is not None and first.answer.repairs:
        fields["repairs"] = list(first.answer.repairs)
    return fields | _told(first.answer) | {"error": error}


def _odds(asked: Asked) -> dict[str, Any]:
    """The model's own odds of what it might have written, where they are known; each sums to 1."""
    known: dict[str, Any] = {}
    if asked.request.task is Task.SCORE and asked.rating_odds:
        odds = {f"{rating:g}": round(chance, 6) for rating, chance in asked.rating_odds.items()}
        known["expected_rating"] = round(mean_of(asked.rating_odds), 4)
        known["rating_odds"] = {rating: chance for rating, chance in odds.items() if chance}
    if asked.request.task is Task.DEGRADATION:
        for name, words in (
            ("distortion_odds", asked.distortion_odds),
            ("severity_odds", asked.severity_odds),
        ):
            if words:
                known[name] = {word: round(chance, 4) for word, chance in words.items()}
    return known


def _told(answer: Answer | None) -> dict[str, float | str | None]:
    """The answer's fields; nothing is wrong with a clean photo, so its class and severity are None."""
    return dict.fromkeys(FIELDS[Task.DEGRADATION]) if isinstance(answer, Clean) else described(answer)


def _sampled(asked: Sequence[Asked]) -> dict[str, Any]:
    found = summary(asked)
    fields: dict[str, Any] = {
        "samples": [
            {
                "thinking": one.reply.thinking,
                "reply": one.text,
                **_told(one.answer),
                "error": one.error,
            }
            for one in asked
        ],
        "readable": found.readable,
        "unreadable": found.unreadable,
        "error": None if found.readable else asked[0].error,
    }
    if found.readable:
        counted = [{**_told(answer), "count": count} for answer, count in found.counts]
        fields |= {"histogram": counted, "agreement": found.agreement}
    if found.rating is not None:
        return fields | {"rating": round(found.rating, 4), "spread": round(found.spread or 0.0, 4)}
    return fields | _told(found.answer)


def _compared(asked: Sequence[Asked], error: str | None) -> dict[str, Any]:
    """One request with a reference; pairs of both orders without; each pair one sample."""
    size = 1 if asked[0].request.reference else 2
    groups = [asked[start : start + size] for start in range(0, len(asked), size)]
    verdicts = [verdict(group) for group in groups]
    fields: dict[str, Any] = {"replies": [one.text for one in asked]} if len(asked) > 1 else {}
    readable = [found for found in verdicts if found is not None]
    if not readable:
        return fields | {"error": error}
    winners = [found.winner for found in readable]
    most = Counter(winners).most_common(2)
    winner = None if len(most) > 1 and most[0][1] == most[1][1] else most[0][0]  # a tie is no verdict
    fields |= {"winner": str(winner) if winner else "undecided", "verdict": readable[0].sentence}
    if len(groups) > 1:
        fields |= {"readable": len(readable), "agreement": most[0][1] / len(winners)}
        del fields["verdict"]
    return fields | {"error": None}
