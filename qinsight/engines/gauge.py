"""How far a model is with what it reads before its first word: the layers done, of the photos and of the prompt."""

import time
from collections.abc import Sequence
from typing import Any

from torch import nn

from qinsight.photos.view import TOKEN
from qinsight.requests import Reading, Request, Stage

QUESTION = 256  # tokens of a question and its frame, about
PATCHES = 4  # that the vision tower reads for a token


class Gauge:
    """Counts layers as they begin. What is done is a share of the multiplications that are expected in all."""

    def __init__(self, expected: float) -> None:
        self.expected = expected
        self._started = time.monotonic()
        self._begun: tuple[Stage, int, int] | None = None  # the stage, the layer, of how many
        self._done = self._running = self._share = 0.0

    def begins(self, stage: Stage, layer: int, layers: int, work: float) -> None:
        """A layer begins, so the one before it is done."""
        self._done += self._running
        self._begun, self._running = (stage, layer, layers), work

    def now(self) -> Reading | None:
        """How far it is; None before the first layer. The share never shrinks, and is whole only afterwards."""
        if self._begun is None:
            return None
        stage, layer, layers = self._begun
        self._share = max(self._share, min(self._done / self.expected, 0.99))
        spent = time.monotonic() - self._started
        left = spent * (1 - self._share) / self._share if self._share and spent > 1 else None
        return Reading(stage, layer, layers, self._share, left)


def weights_of(layer: nn.Module) -> int:
    """Multiplications that a layer's products take for a row."""
    linear = (part for part in layer.modules() if isinstance(part, nn.Linear))
    return sum(part.in_features * part.out_features for part in linear)


def expected(model: Any, requests: Sequence[Request], max_pixels: int, *, shared: bool) -> float:
    """Multiplications until the first word. `shared`: questions about the same photos read them once."""
    inner = model.model
    tokens = {
        id(photo): min(photo.width * photo.height, max_pixels) / TOKEN**2
        for request in requests
        for photo in request.photos
    }
    read = {
        tuple(map(id, one.photos)) + (() if shared else (number,)): one for number, one in enumerate(requests)
    }
    prompt = sum(tokens[id(photo)] for one in read.values() for photo in one.photos) + QUESTION * len(
        requests
    )
    seen = PATCHES * sum(tokens.values())
    return prompt * sum(map(weights_of, inner.language_model.layers)) + seen * sum(
        map(weights_of, inner.visual.blocks)
    )
