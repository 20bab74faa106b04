"""What is asked of a model and what comes back: the one contract between questions and engines.

No torch here: a laptop that only talks to a server needs none.
"""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Protocol

from PIL import Image

from qinsight.prompts import Task

MAX_PIXELS = 1_003_520  # 1,280 image tokens: near the sizes the ratings were learnt at
NUM_ALTERNATIVES = 20  # the most that OpenAI allows, and vLLM unless told otherwise


@dataclass(frozen=True)
class Request:
    """One question about one, two or three photos (reference, A, B), upright RGB as `load_photo` gives.

    The same photo object in several requests is looked at once. `odds`: whether the chances of other answers
    are wanted; an engine to which they are a burden is spared them where not. `other_order`: the question stands on the
    other side of the photo than this engine has it, which tells a check whether it stands where it should.
    """

    task: Task
    photos: tuple[Image.Image, ...]
    reference: bool = False
    odds: bool = True
    other_order: bool = False

    def __post_init__(self) -> None:
        expected = (3 if self.reference else 2) if self.task is Task.COMPARISON else 1
        if len(self.photos) != expected or (self.reference and self.task is not Task.COMPARISON):
            kind = f"{self.task} with a reference" if self.reference else str(self.task)
            photos = "1 photo" if expected == 1 else f"{expected} photos"
            raise ValueError(f"expected {photos} for {kind}, got {len(self.photos)}")


BATCH = 16  # photos


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen. Temperature 0 is greedy: the same photo, the same words.

    `top_k` and `top_p` are those of the published scripts and act only above temperature 0.
    `repetition_penalty` None means the checkpoint's own (1.05 in the published weights).
    """

    max_new_tokens: int = 1024
    temperature: float = 0.0
    top_k: int = 50
    top_p: float = 0.95
    seed: int = 42
    repetition_penalty: float | None = None

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise ValueError(f"expected at least 1 new token, got {self.max_new_tokens}")
        if self.temperature != 0 and not 1e-6 <= self.temperature <= 100:  # below, logits / T overflow
            raise ValueError(f"expected a temperature of 0, or from 1e-6 to 100, got {self.temperature}")
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"expected a seed from 0 to {2**32 - 1}, got {self.seed}")
        if self.repetition_penalty is not None and not self.repetition_penalty > 0:
            raise ValueError(f"expected a repetition penalty above 0, got {self.repetition_penalty}")
        if self.top_k < 0 or not 0 < self.top_p <= 1:
            raise ValueError(
                f"expected top_k of 0 or more and top_p in (0, 1], got {self.top_k}, {self.top_p}"
            )


GREEDY = Sampling()


class Finish(StrEnum):
    """Why a reply ended: the model said so, or it ran into `max_new_tokens`."""

    STOP = "stop"
    LENGTH = "length"


class Stage(StrEnum):
    """What a model does before its first word."""

    LOOKING = "looking"  # at the photos, one after the other
    READING = "reading"  # the photos and the question together


@dataclass(frozen=True, slots=True)
class Reading:
    """How far a model is before its first word: the layer at work of those of this stage, the share of everything
    that is done, and about how many seconds are left where that can be told."""

    stage: Stage
    layer: int
    layers: int
    share: float
    seconds_left: float | None = None


@dataclass(frozen=True, slots=True)
class Delta:
    """A few more words of one reply.

    `alternatives` are (token text, probability) pairs, most likely first, for the place where `text`
    begins; the untempered probabilities of the model. Engines give them inside the answer and may
    leave them out elsewhere. Where the first word is long in coming, deltas without words say in `reading` how far
    the model is.
    """

    request: int
    text: str
    tokens: int = 1
    alternatives: tuple[tuple[str, float], ...] = ()
    finish: Finish | None = None
    reading: Reading | None = None


@dataclass(frozen=True)
class About:
    """What a person should know about the model that answers."""

    name: str
    tasks: frozenset[Task]
    precision: str
    device: str
    preview: bool = False
    note: str = ""
    memory_bytes: int = 0
    max_pixels: int = MAX_PIXELS
    idle_gpu: str = ""  # why a GPU that is there does not answer
    advice: str = ""  # what would answer sooner on this computer
    weights: str = ""  # their fingerprint, where they lie in a folder: two may share a name
    source: str = ""  # the fingerprint of the weights that these were converted from
    in_flight: int = 0  # requests a server has at a time; 0 where those of one stream are answered together
    batch: int = BATCH  # photos that a ranking asks about together, where nobody says otherwise
    details: dict[str, str] = field(default_factory=dict)
    made_with: dict[str, Any] = field(
        default_factory=dict
    )  # what an answer depends on: see engines/made_by.py

    def at(self, max_pixels: int | None) -> "About":
        """The same model, shown photos at this size; at its own where none is chosen."""
        return replace(self, max_pixels=max_pixels or self.max_pixels)


class Engine(Protocol):
    """Anything that can be asked: weights in this process, or a server."""

    @property
    def about(self) -> About: ...

    def stream(
        self,
        requests: Sequence[Request],
        sampling: Sampling = ...,
        *,
        max_pixels: int | None = None,
        stop: threading.Event | None = None,
        watched: bool = True,
    ) -> Iterator[Delta]:
        """Answer all requests together; deltas say which request they belong to.

        Closing the iterator stops the model. Setting `stop` does so from another thread, even while
        photos are being read by the model; the iterator then raises `Stopped`. Where nobody has `watched`
        the words arrive, an engine may give a reply when it is finished.
        """
        ...
