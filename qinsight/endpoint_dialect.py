"""Which optional fields a chat server takes, learnt from what it refuses."""

import re
from collections.abc import Mapping
from typing import Any

from qinsight.requests import NUM_ALTERNATIVES, Sampling


class Dialect:
    """The fields of one server; it begins with all of them."""

    # `repeat_penalty` over the whole text is how llama.cpp and LM Studio call a repetition penalty.
    OPTIONAL = ("logprobs", "top_logprobs", "repetition_penalty", "repeat_penalty", "repeat_last_n")
    OPTIONAL_SAMPLING = ("top_k", "top_p", "seed", "max_tokens")
    UNKNOWN = re.compile(
        r"un(known|recogni[sz]ed|expected|supported)|extra|disabled"
        r"|not (supported|permitted|allowed|available|implemented|enabled)",
        re.IGNORECASE,
    )

    def __init__(self) -> None:
        self.refused: frozenset[str] = frozenset()
        self.alternatives = NUM_ALTERNATIVES

    def fields(self, sampling: Sampling, seed: int, penalty: float | None, odds: bool) -> dict[str, Any]:
        """A sampling in the words this server knows; with `odds`, alternatives beside each token."""
        fields: dict[str, Any] = {"temperature": sampling.temperature, "max_tokens": sampling.max_new_tokens}
        if odds:
            fields |= {"logprobs": True, "top_logprobs": self.alternatives}
        if sampling.temperature > 0:
            fields |= {"top_p": sampling.top_p, "seed": seed}
            fields |= {"top_k": sampling.top_k} if sampling.top_k else {}
        if penalty is not None:
            fields |= {"repetition_penalty": penalty, "repeat_penalty": penalty, "repeat_last_n": -1}
        if "max_tokens" in self.refused:  # OpenAI's newer name
            fields["max_completion_tokens"] = sampling.max_new_tokens
        return {name: value for name, value in fields.items() if name not in self.refused}

    def learn(self, sent: Mapping[str, Any], words: str) -> bool:
        """Whether another try can differ from what was `sent`, after a refusal in these words."""
        named = {
            name
            for name in (*self.OPTIONAL, *self.OPTIONAL_SAMPLING)
            if name in sent and re.search(rf"(?<![a-z_]){name}(?![a-z_])", words)
        }
        about_chances = named & {"logprobs", "top_logprobs"}
        if about_chances:
            fewer = [int(digits) for digits in re.findall(r"(?<![\w.-])\d+(?!\w)", words)]
            fewer = [count for count in fewer if 0 < count < sent["top_logprobs"]]
            if fewer:
                self.alternatives = min(self.alternatives, max(fewer))
                return True
            named |= {"logprobs", "top_logprobs"}  # neither means anything alone
        if not about_chances and not self.UNKNOWN.search(words):
            return False  # the field is known, its value is not liked: that is for the person to hear
        self.refused |= named
        return bool(named)
