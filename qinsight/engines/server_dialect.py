"""Which optional fields a chat server takes, learnt from what it refuses."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from qinsight.requests import NUM_ALTERNATIVES, Sampling

WINDOW = (
    65_536  # tokens that a penalty looks back over: more than a reply and its photos; llama.cpp refuses -1
)


class Dialect:
    """The fields of one server; it begins with all of them.

    Without a `penalty` the server takes the checkpoint's own, which vLLM and SGLang apply to the whole text and
    llama.cpp, Ollama and LM Studio to the last 64 tokens, unless told otherwise.
    """

    # `repeat_penalty` is how llama.cpp and LM Studio call a repetition penalty.
    OPTIONAL = (
        *("logprobs", "top_logprobs", "repetition_penalty", "repeat_penalty", "repeat_last_n"),
        *("top_k", "top_p", "min_p", "seed", "max_tokens"),
    )
    EXTRA = ("repetition_penalty", "repeat_penalty", "repeat_last_n", "top_k", "min_p")  # unknown to OpenAI
    OURS = ("repeat_last_n", "min_p", "top_k", "seed")  # where a value is not liked, the server's will do
    LEAST = MappingProxyType(  # below these a bound is of no use
        {"top_logprobs": 1, "top_k": 1, "seed": 1, "max_tokens": 64, "repeat_last_n": 65}
    )
    UNKNOWN = re.compile(
        r"un(known|recogni[sz]ed|expected|supported)|extra|additional|disabled|forbidden"
        r"|(not|n't) (be )?(support|permit|allow|accept|available|implement|enabled|recogni[sz]ed|a valid|known|used)",
        re.IGNORECASE,
    )
    FIELD = re.compile(
        r"\b(fields?|inputs|param(eter)?s?|arguments?|propert(y|ies)|keys?|options?)\b", re.IGNORECASE
    )
    PICTURES = re.compile(
        "image|picture|photo|vision|media|modal", re.IGNORECASE
    )  # it takes none, whatever else

    def __init__(self, whole_text: bool = False) -> None:
        self.whole_text = whole_text  # a server that is known to apply a penalty to everything
        self.refused: frozenset[str] = frozenset()
        self.most: dict[str, int] = {}  # the bounds that a server told of

    def fields(self, sampling: Sampling, seed: int, penalty: float | None, odds: bool) -> dict[str, Any]:
        """A sampling in the words this server knows; with `odds`, alternatives beside each token."""
        most = self._at_most("max_tokens", sampling.max_new_tokens)
        fields: dict[str, Any] = {"temperature": sampling.temperature, "max_tokens": most}
        if odds:
            fields |= {"logprobs": True, "top_logprobs": self._at_most("top_logprobs", NUM_ALTERNATIVES)}
        if sampling.temperature > 0:
            # what is left out, a server sets by itself: llama.cpp cuts at a min_p of 0.05, vLLM as a file says
            fields |= {"top_p": sampling.top_p, "min_p": 0, "seed": seed % (self.most.get("seed", seed) + 1)}
            fields["top_k"] = self._at_most("top_k", sampling.top_k) or -1  # -1: none is left out
        if penalty is not None:
            fields |= {"repetition_penalty": penalty, "repeat_penalty": penalty}
        if not self.whole_text:
            fields["repeat_last_n"] = self._at_most("repeat_last_n", WINDOW)
        if "max_tokens" in self.refused:  # OpenAI's newer name
            fields["max_completion_tokens"] = most
        return {name: value for name, value in fields.items() if name not in self.refused}

    def learn(self, sent: Mapping[str, Any], words: str) -> bool:
        """Whether another try can differ from what was `sent`, after a refusal in these words."""
        named = {name for name in self.OPTIONAL if name in sent and _names(name, words)}
        unknown = bool(self.UNKNOWN.search(words))
        about_chances = named & {"logprobs", "top_logprobs"}
        if about_chances:
            named |= {"logprobs", "top_logprobs"}  # neither means anything alone
        if (about_chances or not unknown) and self._bound(named, sent, words):
            return True
        unnamed = self.FIELD.search(words) and not self.PICTURES.search(words)
        if not named and unknown and unnamed:  # it does not say which
            named = set(self.EXTRA) & set(sent)
        if not about_chances and not unknown:
            named &= set(self.OURS)  # a value that is not liked is for the person to hear
        self.refused |= named
        return bool(named)

    def _at_most(self, name: str, value: int) -> int:
        return min(value, self.most.get(name, value))

    def _bound(self, named: set[str], sent: Mapping[str, Any], words: str) -> bool:
        """Whether the words tell the most that a named field may be; not where they tell how long a context is."""
        for name in sorted(named & set(self.LEAST) & set(sent)):
            fewer = [count for count in _numbers(words) if self.LEAST[name] <= count < sent[name]]
            if fewer and not (name == "max_tokens" and "context" in words):
                self.most[name] = max(fewer)
                return True
        return False


def _names(field: str, words: str) -> bool:
    return bool(re.search(rf"(?<![a-z_]){field}(?![a-z_])", words))


def _numbers(words: str) -> list[int]:
    plain = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", words)
    return [int(digits) for digits in re.findall(r"(?<![\w.-])\d+(?!\w)", plain)]
