"""How sure the model was: from the alternatives beside its answer's tokens to the chance of each value."""

import re
from collections.abc import Sequence
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


def expected_rating(text: str, places: Sequence[Place]) -> float | None:
    """The mean over the ratings the model might have written where it wrote one, 1 to 5; None if unknown.

    Each token of the number stands beside its alternatives. Another digit in its place changes the number by
    that digit; what follows it is taken from the path the model went, the only one whose chances are known
    (design 4.6). Ratings beyond 1 to 5 count as the nearer end; alternatives that end the number end it.
    """
    found = list(_RATING.finditer(text))
    if not found:
        return None
    start, end = found[-1].span(1)
    tokens = [p for p in places if p.offset < end and p.offset + p.length > start and p.alternatives]
    if not tokens or tokens[0].offset > start:
        return None
    written = text[start:end]
    expected: float | None = _clamped(written)
    for place in reversed(tokens):
        if expected is None:
            return None
        beyond = expected - _clamped(written)  # what the later tokens are expected to change
        expected = _mean_at(place, start, end, text, expected, beyond)
    return expected


def _mean_at(place: Place, start: int, end: int, text: str, expected: float, beyond: float) -> float | None:
    """The mean over one token's alternatives, if the written one is worth `expected`."""
    lead = text[place.offset : start]  # characters of this token before the number: a quote, a space
    before = text[start : max(start, place.offset)]
    taken = text[place.offset : place.offset + place.length]
    rest = text[place.offset + place.length : end]
    total = mass = 0.0
    for token, chance in place.alternatives:
        if token == taken:
            value = expected
        elif not token.startswith(lead):
            continue
        else:
            digits = _DIGITS.match(token[len(lead) :])
            piece = digits[0] if digits else ""
            goes_on = piece == token[len(lead) :]
            number = before + piece + (rest if goes_on and piece else "")
            if not re.fullmatch(r"\d+\.?\d*", number):
                continue
            value = min(5.0, max(1.0, _clamped(number) + (beyond if goes_on else 0.0)))
        total += chance * value
        mass += chance
    return total / mass if mass >= ENOUGH else None


def _clamped(number: str) -> float:
    return min(5.0, max(1.0, float(number)))
