"""Asking weights in this process: several requests decode together, word by word, until done or stopped.

The decoding loop is our own because `generate` cannot do what the page needs: look at a photo once for
several questions, read a shared prompt once, give the alternatives beside each token, and stop between two
layers. Greedy, it gives token for token what `generate` gives in the published scripts (see
tests/test_engine.py).
"""

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from qinsight.ahead import held
from qinsight.engines.checkpoint import Device, Model, Part, Precision, Progress, locate, silent
from qinsight.engines.conversation import Conversation, Prompt
from qinsight.engines.eyes import pixels, quicken
from qinsight.engines.gauge import Gauge, expected, weights_of
from qinsight.engines.made_by import contents
from qinsight.engines.products import in_pieces
from qinsight.engines.weights import (
    DoesNotFit,
    Weights,
    advice,
    batch_for,
    choose_model,
    free_cached_memory,
    idle_gpu,
    load,
    mapped_bytes,
)
from qinsight.errors import EngineError, RequestFailed, Stopped
from qinsight.photos.view import view
from qinsight.prompts import KNOWN_BEFORE, Order, build_messages
from qinsight.requests import GREEDY, About, Delta, Request, Sampling, Stage
from qinsight.sentence import Sentence

SLOW = 1e12  # multiplications before the first word, on a CPU: some two seconds, from which on it is told how far it is
PACE = 0.5  # seconds between two such words


class LocalEngine:
    """The weights behind a model name, loaded when first needed, asked one batch at a time."""

    def __init__(
        self,
        model: Model,
        device: Device = Device.AUTO,
        precision: Precision = Precision.AUTO,
        progress: Progress = silent,
        order: Order | None = None,
    ) -> None:
        self._model = model
        self._order = order
        self._device = device
        self._precision = precision
        self._progress = progress
        self._fingerprint = self._idle_gpu = ""
        self._advice = Sentence("")
        self._contents: dict[str, str] = {}
        self._frozen = True
        self._loaded: dict[str, Weights] = {}
        self._busy = threading.Lock()
        self._stop = threading.Event()  # of the stream that runs; read by the hooks in the layers
        self._left = False  # the stream that runs was closed
        self._gauge: Gauge | None = None  # of the stream that runs, until its first word

    @classmethod
    def open(
        cls,
        model: str = "auto",
        device: Device = Device.AUTO,
        precision: Precision = Precision.AUTO,
        progress: Progress = silent,
        order: Order | None = None,
    ) -> "LocalEngine":
        """Find the model and load the weights that answer about one photo; `EngineError` if that fails.

        `model`: `auto`, `preview`, a folder or a hub id. `order` overrides the checkpoint's own.
        """
        located = locate(choose_model(device) if model == "auto" else model, progress)
        engine = cls(located, device, precision, progress, order)
        weights = engine._weights(next(iter(located.parts)))
        engine._fingerprint = located.fingerprint
        engine._contents = contents(located.folders or weights.checkpoint.folders)
        if model == "auto":
            engine._idle_gpu = idle_gpu(device)
        return engine

    @classmethod
    def around(cls, weights: Weights) -> "LocalEngine":
        """An engine of weights that are in memory already, such as a model in training."""
        checkpoint = weights.checkpoint
        part = Part(checkpoint.name, str(checkpoint.folder))
        engine = cls(Model(checkpoint.name, {"": part}), precision=weights.precision)
        engine._loaded[""] = weights
        engine._frozen = False  # a step of training may come between two questions
        return engine

    @property
    def about(self) -> About:
        loaded = next(iter(self._loaded.values()), None)
        if loaded is None:  # a swap that failed
            return About(self._model.name, KNOWN_BEFORE, str(self._precision), str(self._device))
        checkpoint = loaded.checkpoint
        return About(
            name=self._model.name if len(self._model.parts) > 1 else checkpoint.name,
            tasks=KNOWN_BEFORE if len(self._model.parts) > 1 else checkpoint.tasks,
            precision=str(loaded.precision),
            device=loaded.device.type,
            preview=checkpoint.preview,
            note=checkpoint.note,
            memory_bytes=sum(weights.memory_bytes for weights in self._loaded.values()),
            max_pixels=checkpoint.max_pixels,
            idle_gpu=self._idle_gpu,
            advice=self._advice,
            weights=self._fingerprint,
            batch=batch_for(loaded),
            details={name or checkpoint.name: "loaded" for name in self._loaded},
            made_with={
                "engine": "transformers",
                "threads": torch.get_num_threads(),
                "order": str(self._order or checkpoint.order),
                **self._contents,
            },
        )

    def stream(
        self,
        requests: Sequence[Request],
        sampling: Sampling = GREEDY,
        *,
        max_pixels: int | None = None,
        stop: threading.Event | None = None,
        watched: bool = True,
    ) -> Iterator[Delta]:
        """See `qinsight.requests.Engine.stream`. One stream runs at a time; others wait their turn."""
        stop = stop or threading.Event()
        parts = self._model.by_part(requests)
        with held(self._busy, stop):
            self._stop = stop
            try:
                for part, numbers in parts.items():
                    chosen = [requests[number] for number in numbers]
                    yield from self._answer(self._weights(part), chosen, numbers, sampling, max_pixels)
            except RuntimeError as error:
                # on a CPU, torch says so in a plain RuntimeError
                if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in str(
                    error
                ):
                    raise
                free_cached_memory()
                raise RequestFailed(
                    "The model ran out of memory on this photo. Try a smaller --max-pixels or --precision nf4."
                ) from error
            finally:
                self._stop = threading.Event()

    def load_all(self) -> None:
        """Load every part now, those too that are seldom asked."""
        for part in self._model.parts:
            self._weights(part)

    def _weights(self, part: str) -> Weights:
        """The weights of a part, loaded now if need be, in place of the others where both do not fit."""
        if part in self._loaded:
            return self._loaded[part]
        checkpoint = self._model.parts[part].fetch(self._progress)
        precision = next((weights.precision for weights in self._loaded.values()), self._precision)
        held = sum(map(mapped_bytes, self._loaded.values()))
        try:
            weights = load(checkpoint, self._device, precision, self._progress, held)
        except DoesNotFit:
            if not self._loaded:
                raise
            self._loaded.clear()
            free_cached_memory()
            weights = load(checkpoint, self._device, precision, self._progress)
        self._advice = advice(weights)
        self._watch_layers(weights)
        quicken(weights.model.model.visual, self._check)
        if weights.device.type == "cpu":
            in_pieces(weights.model, self._check)
        self._loaded[part] = weights
        return weights

    def _check(self) -> None:
        """Refuse to go on once `stop` is set: reading a large photo can take long."""
        if self._stop.is_set() or self._left:
            raise Stopped("Stopped.")

    def _watch_layers(self, weights: Weights) -> None:
        """Let a layer look at `stop` before it starts, and tell the gauge that it does."""

        def watched(stage: Stage, number: int, layers: int, size: int) -> Callable[..., None]:
            def begins(_: Any, given: tuple[Any, ...]) -> None:
                self._check()
                if self._gauge is not None:
                    rows = given[0].numel() // given[0].shape[-1]
                    self._gauge.begins(stage, number, layers, rows * size)

            return begins

        inner = weights.model.model
        for stage, layers in (
            (Stage.LOOKING, inner.visual.blocks),
            (Stage.READING, inner.language_model.layers),
        ):
            for number, layer in enumerate(layers, start=1):
                layer.register_forward_pre_hook(watched(stage, number, len(layers), weights_of(layer)))

    def _answer(
        self,
        weights: Weights,
        requests: Sequence[Request],
        numbers: Sequence[int],
        sampling: Sampling,
        max_pixels: int | None,
    ) -> Iterator[Delta]:
        for request in requests:
            if request.task not in weights.checkpoint.tasks:
                known = ", ".join(sorted(weights.checkpoint.tasks))
                raise EngineError(
                    "{name} was not trained for {task}; it knows {known}.",
                    name=weights.checkpoint.name,
                    task=request.task,
                    known=known,
                )
        limit = weights.checkpoint.max_pixels if max_pixels is None else max_pixels
        order = self._order or weights.checkpoint.order

        def read() -> Conversation:
            prompts = prepare(weights, requests, limit, order)
            return Conversation(weights, prompts, numbers, sampling, replay=self._frozen)

        work = expected(weights.model, requests, limit, shared=order is Order.PHOTO_FIRST)
        slow = work > SLOW and weights.device.type == "cpu"
        conversation = (yield from self._told(read, Gauge(work), numbers[0])) if slow else read()
        while conversation.rows:
            self._check()
            yield from conversation.step()

    def _told(
        self, read: Callable[[], Conversation], gauge: Gauge, number: int
    ) -> Generator[Delta, None, Conversation]:
        """Read in a thread, telling meanwhile how far that is."""
        self._gauge = gauge
        with ThreadPoolExecutor(1, "qinsight-reading") as thread:
            try:
                future = thread.submit(read)
                while wait([future], PACE).not_done:
                    if (reading := gauge.now()) is not None:
                        yield Delta(number, "", 0, reading=reading)
                return future.result()
            finally:
                self._left, self._gauge = True, None  # nobody waits for the rest, if any
                wait([future])
                self._left = False


@dataclass(frozen=True)
class _Seen:
    """A photo as the vision tower left it: `features` is (image tokens, D), `grid` (1, 3) in patches."""

    view: Image.Image
    grid: Tensor
    features: Tensor


@torch.inference_mode()
def prepare(
    weights: Weights, requests: Sequence[Request], max_pixels: int, order: Order | None = None
) -> list[Prompt]:
    """Words and photos turned into what the language model reads; each photo object is looked at once."""
    seen: dict[int, _Seen] = {}
    for request in requests:
        for photo in request.photos:
            if id(photo) not in seen:
                seen[id(photo)] = _look(weights, photo, max_pixels)
    order = order or weights.checkpoint.order
    return [
        _prompt(
            weights,
            request,
            [seen[id(photo)] for photo in request.photos],
            order.other if request.other_order else order,
        )
        for request in requests
    ]


def _look(weights: Weights, photo: Image.Image, max_pixels: int) -> _Seen:
    limit = min(max_pixels, weights.image_processor.size["longest_edge"])
    shown = view(photo, limit)
    values, grid = pixels(weights.image_processor, shown, weights.device)
    grid = grid.to(weights.device)
    found = weights.model.model.get_image_features(values, grid).pooler_output
    return _Seen(shown, grid, torch.cat(list(found)))


def _prompt(weights: Weights, request: Request, seen: Sequence[_Seen], order: Order) -> Prompt:
    model, tokenizer = weights.model, weights.tokenizer
    messages = build_messages(request.task, reference=request.reference, order=order)
    text = weights.template(messages)
    short = tokenizer(text, return_tensors="pt", add_special_tokens=False)["input_ids"][0]
    times = torch.ones_like(short)  # one mark stands in the words for all tokens of a photo
    times[short == model.config.image_token_id] = torch.tensor([len(look.features) for look in seen])
    ids = short.repeat_interleave(times)[None].to(weights.device)
    is_photo = ids == model.config.image_token_id
    positions, _ = model.model.get_rope_index(
        ids, mm_token_type_ids=is_photo.int(), image_grid_thw=torch.cat([look.grid for look in seen])
    )
    embeddings = model.get_input_embeddings()(ids)
    features = torch.cat([look.features for look in seen]).to(embeddings.dtype)
    embeddings = embeddings.masked_scatter(is_photo.unsqueeze(-1), features)
    return Prompt(ids[0], tuple(look.view for look in seen), embeddings[0], positions[:, 0])
