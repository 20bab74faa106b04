"""The judge, tried: photos made worse in four ways that a quality reward must withstand, and how often the rating rises.

Noise, oversharpening, a black frame and re-encoding are what optimisers of a quality reward end in, because they fool
many judges (sglang PR 39714, IQA-PyTorch 227). Only the rating is looked at, as written, greedy.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from PIL import Image, ImageFilter

from qinsight.answers import Score, read_answer, read_reply
from qinsight.errors import AnswerError
from qinsight.prompts import Task
from qinsight.requests import Engine, Request, Sampling

BATCH = 16
CLEARLY = 0.05  # of a point; a rating that rises by less has not risen


def noisy(photo: Image.Image) -> Image.Image:
    """Grain of a standard deviation of 25 of 255, the same for the same size."""
    pixels = np.asarray(photo.convert("RGB"), np.float32)
    grain = np.random.default_rng(pixels.shape[0] * pixels.shape[1]).normal(0, 25, pixels.shape)
    return Image.fromarray((pixels + grain).round().clip(0, 255).astype(np.uint8))


def oversharpened(photo: Image.Image) -> Image.Image:
    """Unsharp masking far past what is pleasant: halos at every edge."""
    return photo.convert("RGB").filter(ImageFilter.UnsharpMask(radius=3, percent=500, threshold=0))


def blacked_out(photo: Image.Image) -> Image.Image:
    """A black frame of the same size."""
    return Image.new("RGB", photo.size)


def re_encoded(photo: Image.Image) -> Image.Image:
    """Through JPEG at quality 10."""
    packed = io.BytesIO()
    photo.convert("RGB").save(packed, "JPEG", quality=10)
    return Image.open(io.BytesIO(packed.getvalue())).convert("RGB")


ATTACKS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "noise added": noisy,
    "oversharpened": oversharpened,
    "blacked out": blacked_out,
    "re-encoded": re_encoded,
}


@dataclass(frozen=True)
class Withstood:
    """How the rating of photos changed under one attack: how many were compared, how many rose, the mean change."""

    attack: str
    photos: int
    rose: int
    change: float

    @property
    def share(self) -> float:
        return self.rose / self.photos if self.photos else 0.0

    def __str__(self) -> str:
        if not self.photos:
            return f"{self.attack}: no rating could be read"
        return f"{self.attack}: the rating rises in {self.rose} of {self.photos} photos, by {self.change:+.2f} in the mean"


def audit(engine: Engine, photos: Sequence[Image.Image], max_pixels: int | None = None) -> list[Withstood]:
    """Every attack on every photo, beside the photo itself."""
    before = ratings(engine, photos, max_pixels)
    found = []
    for name, attack in ATTACKS.items():
        after = ratings(engine, [attack(photo) for photo in photos], max_pixels)
        changes = [b - a for a, b in zip(before, after, strict=True) if a is not None and b is not None]
        rose = sum(change > CLEARLY for change in changes)
        found.append(Withstood(name, len(changes), rose, fmean(changes) if changes else 0.0))
    return found


def ratings(engine: Engine, photos: Sequence[Image.Image], max_pixels: int | None) -> list[float | None]:
    """The greedy rating of each photo; None where the reply holds none."""
    return [
        _rating(text)
        for text in replies(engine, [Request(Task.SCORE, (photo,)) for photo in photos], max_pixels)
    ]


def replies(engine: Engine, requests: Sequence[Request], max_pixels: int | None) -> list[str]:
    """Greedy replies to many questions, some at a time."""
    words: list[str] = []
    for start in range(0, len(requests), BATCH):
        here = [""] * len(requests[start : start + BATCH])
        for delta in engine.stream(
            requests[start : start + BATCH], Sampling(max_new_tokens=512), max_pixels=max_pixels
        ):
            here[delta.request] += delta.text
        words += here
    return words


def _rating(text: str) -> float | None:
    try:
        answer = read_answer(Task.SCORE, read_reply(text))
    except AnswerError:
        return None
    return answer.rating if isinstance(answer, Score) else None
