"""ZeroGPU on Hugging Face Spaces: a GPU lent for the seconds of one question; elsewhere nothing changes.

`get_ready` comes before torch is imported. A question runs in a process forked from this one: what goes over is
pickled, and stopping is closing the stream, which the worker sees at its next word.
"""

import importlib
import importlib.util
import os
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing

import gradio as gr

from qinsight.errors import QInsightError, RequestFailed, Stopped
from qinsight.requests import About, Delta, Engine, Request, Sampling
from qinsight.views import view_size

GREEDY = Sampling()
AT_ONCE = 4  # questions: each has a worker and a GPU of its own
SECONDS_AT_LEAST = 8.0  # to get the weights onto the GPU and to read the words of the question
SECONDS_PER_MEGAPIXEL = 3.0
SECONDS_PER_TOKEN = 0.04  # 25 tokens a second, of a batch
USUAL_TOKENS = 400  # a reply is seldom longer


def lent() -> bool:
    """Whether GPUs are lent here: the same words as the `spaces` package reads."""
    said = os.environ.get("SPACES_ZERO_GPU", "").lower()
    return said in ("1", "t", "true") and importlib.util.find_spec("spaces") is not None


def get_ready() -> None:
    """Let `spaces` put its own GPU in torch's place, which holds in this thread only."""
    # else transformers reads weights in threads, which reach for a GPU that is not there yet
    os.environ["HF_DEACTIVATE_ASYNC_LOAD"] = "1"
    importlib.import_module("spaces")


def seconds_needed(requests: Sequence[Request], sampling: Sampling, max_pixels: int | None) -> float:
    """How long the GPU is wanted, from the sizes of the photos: what is not used is not charged, the rest is cut."""
    photos = {id(photo): photo for request in requests for photo in request.photos}
    pixels = 0
    for photo in photos.values():
        width, height = photo.size if max_pixels is None else view_size(*photo.size, max_pixels)
        pixels += width * height
    tokens = min(sampling.max_new_tokens, USUAL_TOKENS)
    return SECONDS_AT_LEAST + pixels / 1e6 * SECONDS_PER_MEGAPIXEL + tokens * SECONDS_PER_TOKEN


_engine: Engine | None = None  # where the forked worker finds the weights


def _on_gpu(
    requests: Sequence[Request], sampling: Sampling, max_pixels: int | None
) -> Iterator[Delta | QInsightError]:
    assert _engine is not None
    try:
        yield from _engine.stream(requests, sampling, max_pixels=max_pixels)
    except QInsightError as error:
        yield error  # of one that is raised only the name of its class would come back


class LentGpu:
    """An engine whose questions run on a GPU that is lent for each of them."""

    def __init__(self, engine: Engine) -> None:
        import spaces

        from qinsight.engine import LocalEngine

        if isinstance(engine, LocalEngine):
            engine.load_all()  # what a worker loads is lost with it
        global _engine
        _engine = engine
        self._ask = spaces.GPU(_on_gpu, duration=seconds_needed)

    @property
    def about(self) -> About:
        assert _engine is not None
        return _engine.about

    def stream(
        self,
        requests: Sequence[Request],
        sampling: Sampling = GREEDY,
        *,
        max_pixels: int | None = None,
        stop: threading.Event | None = None,
        watched: bool = True,
    ) -> Iterator[Delta]:
        """See `qinsight.requests.Engine.stream`."""
        try:
            with closing(self._ask(requests, sampling, max_pixels)) as deltas:
                for delta in deltas:
                    if isinstance(delta, QInsightError):
                        raise delta
                    yield delta
                    if stop is not None and stop.is_set():
                        raise Stopped("Stopped.")
        except gr.Error as error:
            raise RequestFailed(_told(error)) from error


def _told(error: gr.Error) -> str:
    """Why there is no answer: no GPU is free, the visitor's time for today is used up, or the worker broke."""
    words = re.sub(r"<[^>]*>", "", str(error.message))  # it may be HTML
    if error.title != "ZeroGPU worker error":
        return words
    if words == "GPU task aborted":
        return "The GPU was needed for longer than was asked for. Try a smaller copy of the photo."
    return "The model crashed on this question. Try another photo, or a smaller copy."
