"""ZeroGPU on Hugging Face Spaces: a GPU lent for the seconds of one question; elsewhere nothing changes.

`get_ready` comes before torch is imported. A question runs in a process forked from this one: what goes over is
pickled, and stopping is closing the stream, which the worker sees at its next word.
"""

import contextlib
import contextvars
import functools
import importlib
import importlib.util
import os
import queue
import re
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

import gradio as gr

from qinsight.errors import NotLent, QInsightError, RequestFailed, Stopped
from qinsight.photos.child import end_with
from qinsight.photos.view import view_size
from qinsight.requests import GREEDY, About, Delta, Engine, Request, Sampling
from qinsight.sentence import Sentence

AT_ONCE = 4  # questions: each has a worker and a GPU of its own
SECONDS_AT_LEAST = 8.0  # to get the weights onto the GPU and to read the words of the question
SECONDS_PER_MEGAPIXEL = 3.0
SECONDS_PER_TOKEN = 0.04  # 25 tokens a second, of a batch
GLANCE = 0.1  # seconds between two looks at the stop event
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


@functools.cache
def _end_with_the_page() -> None:
    end_with(os.getppid())


def _on_gpu(
    requests: Sequence[Request], sampling: Sampling, max_pixels: int | None
) -> Iterator[Delta | QInsightError]:
    assert _engine is not None
    _end_with_the_page()
    try:
        yield from _engine.stream(requests, sampling, max_pixels=max_pixels)
    except QInsightError as error:
        yield error  # of one that is raised only the name of its class would come back


class LentGpu:
    """An engine whose questions run on a GPU that is lent for each of them."""

    def __init__(self, engine: Engine) -> None:
        import spaces

        from qinsight.engines.local import LocalEngine

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
        for found in self._borrowed((requests, sampling, max_pixels), stop):
            if isinstance(found, QInsightError):
                raise found
            if isinstance(found, Exception):  # whatever `spaces` raises, nothing of ours has crashed
                raise _told(found) from found
            yield found

    def _borrowed(
        self, question: tuple[Any, ...], stop: threading.Event | None
    ) -> Iterator[Delta | Exception]:
        """What comes of the question, asked in a thread: whoever waits for a GPU may leave at once."""
        come: queue.SimpleQueue[Delta | Exception | None] = queue.SimpleQueue()
        left = threading.Event()

        def borrow() -> None:
            try:
                with closing(self._ask(*question)) as deltas:
                    for delta in deltas:
                        if left.is_set():
                            return
                        come.put(delta)
            except Exception as error:  # noqa: BLE001 - `spaces` names no errors of its own; carried over to who asked
                come.put(error)
            come.put(None)

        inside = contextvars.copy_context().run  # where `spaces` finds the visitor
        threading.Thread(target=inside, args=(borrow,), name="qinsight-lent", daemon=True).start()
        try:
            while not (stop is not None and stop.is_set()):
                with contextlib.suppress(queue.Empty):
                    found = come.get(timeout=GLANCE)
                    if found is None:
                        return
                    yield found
            raise Stopped("Stopped.")
        finally:
            left.set()


CRASHED = Sentence("The model crashed on this question. Try another photo, or a smaller copy.")
UNREACHED = Sentence("No GPU can be had from Hugging Face at the moment. Ask again in a minute.")
NONE_FREE = Sentence("No GPU was free within a minute. Ask again in some minutes.")
EXPIRED = Sentence(
    "The permission to use a GPU has run out. Ask again; if that does not help, reload the page."
)
TOO_LONG = Sentence("The GPU was needed for longer than was asked for. Try a smaller copy of the photo.")
NEVER = Sentence("This photo needs a GPU for longer than it is lent. Try a smaller copy of the photo.")
TOO_MANY = Sentence("You have as many questions on GPUs as you may. Ask again when one of them has ended.")
USED_UP = Sentence("Your time on Hugging Face's GPUs is used up for now. Try again later.")


def _told(error: Exception) -> QInsightError:
    """Why there is no answer, for the visitor: hung up, refused, expired, out of reach, used up, or the worker broke."""
    words = re.sub(r"<[^>]*>", "", str(getattr(error, "message", error)))  # it may be HTML
    if not isinstance(error, gr.Error):
        if "closed by visitor" in words:
            return Stopped("Stopped.")
        print(f"No GPU was lent ({type(error).__name__}): {words}", file=sys.stderr, flush=True)  # noqa: T201
        return NotLent(UNREACHED)
    if error.title == "ZeroGPU worker error":
        return RequestFailed(TOO_LONG if words == "GPU task aborted" else CRASHED)
    if error.title == "ZeroGPU illegal duration":
        return RequestFailed(NEVER)
    return NotLent(_refusal(str(error.title), words))


def _refusal(title: str, words: str) -> Sentence:
    if "Expired" in words:
        return EXPIRED
    if "No GPU was available" in words:
        return NONE_FREE
    if title == "ZeroGPU pending credits exceeded":
        return TOO_MANY
    if title == "ZeroGPU quota exceeded":
        wait = re.search(r"Try again in ([\w:, ]*\w)", words)
        if wait is None:
            return USED_UP
        return Sentence(
            "Your time on Hugging Face's GPUs is used up for now. Try again in {wait}.", wait=wait[1]
        )
    return UNREACHED
