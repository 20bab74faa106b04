"""Whether the token that was taken is the likeliest, as far as no repetition penalty explains another."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from qinsight.assess import Asked
from qinsight.prompts import DEGRADATION, SCORE, SYSTEM

LOOKED_BACK = 60  # letters: some penalties look at the last 64 tokens only
QUESTIONS = SYSTEM + SCORE + DEGRADATION


@dataclass(frozen=True)
class Taken:
    """A token of an answer, what else might have stood there, and what stood before it."""

    token: str
    chances: Mapping[str, float]
    before: str

    @property
    def share(self) -> float:
        """Its chance as a share of the likeliest one's."""
        return self.chances[self.token] / (max(self.chances.values()) or 1)

    @cached_property
    def is_odd(self) -> bool:
        """Whether a likelier token was passed over for it, which no repetition penalty explains.

        A penalty lowers what was there before, and keeps the order among that: only a token that is new wins by it, and
        only over one that is not. The words of the question count for the latter alone, since not every engine counts them.
        """
        if self.share >= 1:
            return False
        likeliest = max(self.chances, key=lambda token: self.chances[token])
        is_known = likeliest in self.before or likeliest in QUESTIONS
        return not is_known or self.token in self.before[-LOOKED_BACK:]


def taken(one: Asked) -> Iterator[Taken]:
    """The tokens of an answer that are among their alternatives: an end marker, or half a character, is not in the text."""
    for place in one.places:
        token = one.text[place.offset : place.offset + place.length]
        chances: dict[str, float] = {}
        for word, chance in place.alternatives:  # two markers may have one text, none
            chances[word] = chances.get(word, 0.0) + chance
        if token and token in chances:
            yield Taken(token, chances, one.text[: place.offset])
