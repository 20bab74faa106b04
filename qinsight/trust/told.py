"""A tournament's outcome as one JSON object, and as lines for a person."""

from collections.abc import Mapping, Sequence
from typing import Any

from qinsight.requests import About
from qinsight.sentence import Sentence
from qinsight.trust.tournament import Pair, Standing, most_pairs


def verdict(standing: Standing, names: Sequence[str]) -> Sentence:
    """Which frame is the best, or between which that cannot be told."""
    orders = standing.orders
    if not orders.read:
        return Sentence("Cannot tell: no pair has two replies that can be read.")
    if standing.winner is not None:
        return Sentence("{name} is the best.", name=names[standing.winner])
    if not any(pair.better is not None for pair in standing.pairs):
        return Sentence("Cannot tell: the model changed its mind whenever two photos changed places.")
    return Sentence(
        "Cannot tell which is the best of {names}.", names=", ".join(names[place] for place in standing.top)
    )


def lines(standing: Standing, names: Sequence[str]) -> list[str]:
    """The frames, strongest first, and below them what was asked and what came."""
    told = [
        f"{place}. {_strength(standing, frame)}  {names[frame]}"
        for place, frame in enumerate(by_strength(standing), start=1)
    ]
    return [*told, verdict(standing, names), *remarks(standing, names)]


def remarks(standing: Standing, names: Sequence[str]) -> list[Sentence]:
    """Below the verdict: what was asked, what goes in a circle, which pair failed, how often both orders agree."""
    failed = [pair for pair in standing.pairs if pair.error]
    return [
        _asked(standing),
        *(_circle(triple, names) for triple in standing.intransitive),
        *(
            Sentence(
                "{one} | {other}: {error}", one=names[pair.one], other=names[pair.other], error=pair.error
            )
            for pair in failed
        ),
        standing.orders.sentence(),
    ]


def report(
    standing: Standing, names: Sequence[str], about: About, unreadable: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """All of it for programs: frames as they were given, pairs in the order in which they were asked."""
    winner = standing.winner
    return {
        "task": "tournament",
        "winner": None if winner is None else names[winner],
        "top": [names[place] for place in standing.top],
        "verdict": verdict(standing, names),
        "frames": [
            {
                "photo": name,
                "strength": round(found.value, 3),
                "interval_95": [round(found.low, 3), round(found.high, 3)],
                "chance_of_best": round(found.chance, 3),
            }
            for name, found in zip(names, standing.strengths, strict=True)
        ],
        "pairs": [_told_pair(pair, names) for pair in standing.pairs],
        "questions": 2 * len(standing.pairs),
        "ordered_pairs": standing.frames * (standing.frames - 1),
        "intransitive": [[names[place] for place in triple] for triple in standing.intransitive],
        "order": standing.orders.as_json(),
        "unreadable": [{"photo": name, "error": error} for name, error in (unreadable or {}).items()],
        "model": about.name,
        "max_pixels": about.max_pixels,
    }


def _told_pair(pair: Pair, names: Sequence[str]) -> dict[str, Any]:
    return {
        "photo": names[pair.one],
        "other": names[pair.other],
        "answers": [None if winner is None else str(winner) for winner in pair.winners],
        "better": None if pair.better is None else names[pair.better],
        "asked_again": pair.again,
        "thinking": [one.reply.thinking for one in pair.asked],
        "replies": [one.text for one in pair.asked],
        "error": pair.error,
    }


def by_strength(standing: Standing) -> list[int]:
    """The places of the frames, the strongest first."""
    return sorted(range(standing.frames), key=lambda frame: -standing.strengths[frame].value)


def _strength(standing: Standing, frame: int) -> str:
    found = standing.strengths[frame]
    return f"{found.value:+6.1f} ({found.low:+.1f} to {found.high:+.1f}), best in {100 * found.chance:3.0f} of 100"


def _asked(standing: Standing) -> Sentence:
    return Sentence(
        "Asked {asked} pairs in both orders, of at most {most}; strengths are log-odds beside the mean frame, "
        "the intervals hold 95 in 100.",
        asked=len(standing.pairs),
        most=most_pairs(standing.frames),
    )


def _circle(triple: Sequence[int], names: Sequence[str]) -> Sentence:
    one, other, third = (names[place] for place in triple)
    return Sentence(
        "In a circle: {one} is better than {other}, that than {third}, and that than {one}.",
        one=one,
        other=other,
        third=third,
    )
