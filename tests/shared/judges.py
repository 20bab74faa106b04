"""Judges of pairs that are right as often as they are told, for a tournament; and one that rates by sharpness and light."""

import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from qinsight.prompts import Task
from qinsight.requests import GREEDY, Delta, Finish, Request, Sampling
from shared.engines import ScriptedEngine, bright


def frames(count: int, seed: int = 0) -> list[Image.Image]:
    """Frames of as many brightnesses, in any order: the brightest is the best."""
    order = np.random.default_rng(seed).permutation(count)
    return [Image.new("RGB", (28, 28), (20 * int(place),) * 3) for place in order]


class PairJudge(ScriptedEngine):
    """Prefers the brighter of two, and errs: in one reply of so many (`right`), or in both of a pair (`of_pairs`).

    `always` is what it says whatever it sees; `mumbles` at pairs in which this brightness is.
    """

    def __init__(self, seed: int = 0, **how: Any) -> None:
        super().__init__([])
        self.right: float = how.get("right", 1.0)
        self.of_pairs: float | None = how.get("of_pairs")
        self.always: str | None = how.get("always")
        self.mumbles: int = how.get("mumbles", -1)
        self.dice = np.random.default_rng(seed)
        self.pairs = np.random.default_rng(seed + 1).random((256, 256))
        self.questions = 0

    def stream(
        self,
        requests: Sequence[Request],
        sampling: Sampling = GREEDY,
        *,
        max_pixels: int | None = None,
        stop: threading.Event | None = None,
        watched: bool = True,
    ) -> Iterator[Delta]:
        self.asked.append((list(requests), sampling, max_pixels))
        for number, request in enumerate(requests):
            self.questions += 1
            one, other = map(bright, request.photos)
            said = self.always or ("Image A" if self._first_is_better(one, other) else "Image B")
            words = "hm" if self.mumbles in (one, other) else said
            yield Delta(number, f"<think>which</think><answer>{words}</answer>", finish=Finish.STOP)

    def _first_is_better(self, one: int, other: int) -> bool:
        if self.of_pairs is None:
            right = self.dice.random() < self.right
        else:
            right = self.pairs[min(one, other), max(one, other)] < self.of_pairs
        return bool((one > other) == right)


class Rater(ScriptedEngine):
    """Rates by sharpness and light, as a whole number of hundredths; what is noisy it rates the better for it.

    `mumbles`: from the how-manieth question on it cannot be read.
    """

    def __init__(self, *, inverted: bool = False, mumbles: int | None = None) -> None:
        super().__init__([])
        self.inverted, self.mumbles = inverted, mumbles
        self.questions = 0

    def stream(
        self,
        requests: Sequence[Request],
        sampling: Sampling = GREEDY,
        *,
        max_pixels: int | None = None,
        stop: threading.Event | None = None,
        watched: bool = True,
    ) -> Iterator[Delta]:
        self.asked.append((list(requests), sampling, max_pixels))
        for number, request in enumerate(requests):
            assert request.task is Task.SCORE
            self.questions += 1
            rating = self._rating(request.photos[0])
            words = f'{{"rating": {rating:.2f}}}'
            if self.mumbles is not None and self.questions > self.mumbles:
                words = "hm"
            yield Delta(number, f"<think>so</think><answer>{words}</answer>", finish=Finish.STOP)

    def _rating(self, photo: Image.Image) -> float:
        """The darker, the worse; of an inverted one the better."""
        light = float(np.asarray(photo.convert("L").filter(ImageFilter.BoxBlur(2)), np.float32).mean()) / 255
        return 1 + 4 * (1 - light if self.inverted else light)
