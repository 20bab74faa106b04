"""The model's own odds: from the alternatives beside its answer's tokens to the chance of each value."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

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
_BELL = NormalDist()
_LEAST = 1e-9  # of a bell curve, on either side of an edge


def rating_odds(text: str, places: Sequence[Place]) -> dict[float, float] | None:
    """The chance of each rating the model might have written where it wrote one, lowest first; sums to 1.

    Each token of the number stands beside its alternatives. What would have followed another digit is not known: 4 beside
    a written 3.98 is hardly 4.98. Such a number is taken to be where a bell curve lies that has its chance beyond that digit's edge and the
    numbers of the written digit before it; at most in the middle of what begins with the other digit.
    Ratings beyond 1 to 5 count as the nearer end; alternatives that end the number end it. None if unknown.
    """
    found = list(_RATING.finditer(text))
    if not found:
        return None
    start, end = found[-1].span(1)
    tokens = [p for p in places if p.offset < end and p.offset + p.length > start and p.alternatives]
    if not tokens or tokens[0].offset > start:
        return None
    ways = {float(text[start:end]): 1.0}
    for place in reversed(tokens):
        ways = _ways_at(place, start, end, text, ways)
        if not ways:
            return None
    odds: dict[float, float] = {}
    for number, chance in ways.items():
        rating = min(5.0, max(1.0, round(number, 4)))
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


def _ways_at(
    place: Place, start: int, end: int, text: str, after: Mapping[float, float]
) -> dict[float, float]:
    """Each number with its chance, over one token's alternatives; `after` it where the written one was taken.

    None of them where too few alternatives are known.
    """
    lead = text[place.offset : start]  # characters of this token before the number: a quote, a space
    before = text[start : max(start, place.offset)]
    taken = text[place.offset : place.offset + place.length]
    ends = place.offset + place.length >= end
    here, own = mean_of(after), 0.0
    others: list[tuple[_Span, float]] = []
    for token, chance in place.alternatives:
        span = _span(token, lead, before, ends)
        if token == taken or (span is not None and span.low <= here < span.high):
            own += chance
        elif span is not None:
            others.append((span, chance))
    mass = own + sum(chance for _, chance in others)
    if mass < ENOUGH:
        return {}
    ways = {number: own * share / mass for number, share in after.items()}
    for span, chance in others:
        beyond = sum(part for other, part in others if other.as_far_as(span, here))
        number = span.number(here, beyond / mass)
        ways[number] = ways.get(number, 0.0) + chance / mass
    return ways


class _Span(NamedTuple):
    """The numbers that begin alike: from `low` to below `high`, or `low` alone."""

    low: float
    high: float

    def as_far_as(self, other: "_Span", here: float) -> bool:
        """Whether all of it lies on the same side of `here`, and no nearer."""
        return self.low >= other.low if other.low > here else self.high <= other.high

    def number(self, here: float, beyond: float) -> float:
        """The mean of the part of a bell curve that lies here or farther, which is `beyond` of it; that of the rest is `here`."""
        gap = max(self.low - here, here - self.high, 0.0)
        share = min(1 - _LEAST, max(beyond, _LEAST))
        edge = _BELL.inv_cdf(1 - share)  # from the middle of the curve
        farther, nearer = _BELL.pdf(edge) / share - edge, _BELL.pdf(edge) / (1 - share) + edge
        inside = min((self.high - self.low) / 2, gap * farther / nearer)
        return self.low + inside if self.low > here else self.high - inside


def _span(token: str, lead: str, before: str, ends: bool) -> _Span | None:
    """What a token may begin, after what stands `before` it; None where that is no number."""
    digits = _DIGITS.match(token[len(lead) :]) if token.startswith(lead) else None
    if digits is None or not _NUMBER.fullmatch(before + digits[0]):
        return None
    low = float(before + digits[0])
    if ends or not digits[0] or digits[0] != token[len(lead) :]:
        return _Span(low, low)
    return _Span(low, low + 10.0 ** -len((before + digits[0]).partition(".")[2]))
