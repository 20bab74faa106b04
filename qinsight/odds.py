"""The model's own odds: from the alternatives beside its answer's tokens to the chance of each value."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qinsight.answers import Distortion, Severity

ENOUGH = 0.8  # below this share of recognised alternatives there is nothing honest to show


@dataclass(frozen=True)
class Place:
    """A token of the reply: where its text begins and what else might have stood there."""

    offset: int
    length: int
    alternatives: tuple[tuple[str, float], ...]


def severity_odds(text: str, places: Sequence[Place]) -> dict[str, float] | None:
    """The chance of each severity at the point where the model wrote one; sums to 1. None if unknown."""
    return _odds_of_field("severity", [str(level) for level in Severity], text, places)


def distortion_odds(text: str, places: Sequence[Place]) -> dict[str, float] | None:
    """The chance of each distortion class, and of "null", where the model wrote one; sums to 1."""
    return _odds_of_field("distortion_class", [*map(str, Distortion), "null"], text, places)


def _odds_of_field(
    field: str, words: list[str], text: str, places: Sequence[Place]
) -> dict[str, float] | None:
    found = list(re.finditer(rf'"{field}"\s*:\s*"', text))
    if not found:
        return None
    odds = _odds_at(found[-1].end(), "", words, text, places)
    known = sum(odds.values())
    return {word: odds[word] / known for word in words} if known >= ENOUGH else None


def _odds_at(
    start: int, written: str, words: list[str], text: str, places: Sequence[Place]
) -> dict[str, float]:
    """The chance of each word that begins with `written`, given that `written` stands at `start` already.

    A token may carry characters from before the word (a quote) and after it. Where one token leaves
    several words possible, the words are told apart by the token after it, known for the path taken.
    """
    here = start + len(written)
    place = next((p for p in places if p.offset <= here < p.offset + p.length), None)
    odds = dict.fromkeys(words, 0.0)
    if place is None or not place.alternatives:
        return odds
    lead = text[place.offset : here]
    taken = text[place.offset : place.offset + place.length]
    for token, chance in place.alternatives:
        if not token.startswith(lead):
            continue
        piece = written + token[len(lead) :]
        fitting = [word for word in words if word.startswith(piece) or piece.startswith(word)]
        if piece and len(fitting) == 1:
            odds[fitting[0]] += chance
        elif len(fitting) > 1 and token == taken and piece != written:
            for word, share in _odds_at(start, piece, fitting, text, places).items():
                odds[word] += chance * share
    return odds


_RATING = re.compile(r'"rating"\s*:\s*"?(\d+(?:\.\d+)?)')
_DIGITS = re.compile(r"\d*\.?\d*")
_NUMBER = re.compile(r"\d+\.?\d*")
_NEVER = 1e-7  # ways to write a number that are less likely are not followed: digits multiply


def rating_odds(text: str, places: Sequence[Place]) -> dict[float, float] | None:
    """The chance of each rating the model might have written where it wrote one, lowest first; sums to 1.

    Each token of the number stands beside its alternatives. Another digit in its place changes the number by
    that digit; what follows it is taken from the path the model went, the only one whose chances are known
    (design 4.6). Ratings beyond 1 to 5 count as the nearer end; alternatives that end the number end it.
    None if unknown.
    """
    found = list(_RATING.finditer(text))
    if not found:
        return None
    start, end = found[-1].span(1)
    tokens = [p for p in places if p.offset < end and p.offset + p.length > start and p.alternatives]
    if not tokens or tokens[0].offset > start:
        return None
    ways = {text[start:end]: 1.0}
    for place in reversed(tokens):
        ways = _ways_at(place, start, text, ways)
        if not ways:
            return None
    odds: dict[float, float] = {}
    for number, chance in ways.items():
        rating = min(5.0, max(1.0, float(number)))
        odds[rating] = odds.get(rating, 0.0) + chance
    return dict(sorted(odds.items()))


def expected_rating(text: str, places: Sequence[Place]) -> float | None:
    """The mean over the ratings the model might have written (`rating_odds`), 1 to 5; None if unknown."""
    odds = rating_odds(text, places)
    return None if odds is None else mean_of(odds)


def mean_of(odds: Mapping[float, float]) -> float:
    """The mean of ratings weighed by their chances."""
    return sum(rating * chance for rating, chance in odds.items())


def spread_of(odds: Mapping[float, float]) -> float:
    """The standard deviation of ratings weighed by their chances."""
    mean = mean_of(odds)
    return math.sqrt(sum(chance * (rating - mean) ** 2 for rating, chance in odds.items()))


def _ways_at(place: Place, start: int, text: str, after: Mapping[str, float]) -> dict[str, float]:
    """Each number with its chance, over one token's alternatives; `after` it where the written one was taken.

    None of them where too few alternatives are known.
    """
    lead = text[place.offset : start]  # characters of this token before the number: a quote, a space
    before = text[start : max(start, place.offset)]
    taken = text[place.offset : place.offset + place.length]
    known = max(
        0, place.offset + place.length - start
    )  # characters of the number up to the end of this token
    ways: dict[str, float] = {}
    mass = 0.0
    for token, chance in place.alternatives:
        numbers = after if token == taken else _others(token, lead, before, known, after)
        for number, share in numbers.items():
            if _NUMBER.fullmatch(number):
                mass += chance * share
                if chance * share > _NEVER:
                    ways[number] = ways.get(number, 0.0) + chance * share
    if mass < ENOUGH:
        return {}
    total = sum(ways.values())
    return {number: share / total for number, share in ways.items()}


def _others(
    token: str, lead: str, before: str, known: int, after: Mapping[str, float]
) -> Mapping[str, float]:
    """The numbers that another token than the written one leads to."""
    digits = _DIGITS.match(token[len(lead) :]) if token.startswith(lead) else None
    if digits is None:
        return {}
    if not digits[0] or digits[0] != token[len(lead) :]:
        return {before + digits[0]: 1.0}
    numbers: dict[str, float] = {}
    for number, share in after.items():
        other = before + digits[0] + number[known:]
        numbers[other] = numbers.get(other, 0.0) + share
    return numbers
