"""Asking weights in this process: several requests decode together, word by word, until done or stopped.

The decoding loop is our own because `generate` cannot do what the page needs: look at a photo once for
several questions, read a shared prompt once, give the alternatives beside each token, and stop between two
layers. Greedy, it gives token for token what `generate` gives in the published scripts (see
tests/test_engine.py).
"""

import inspect
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer
from transformers.generation import (
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLTextModel

from qinsight.engines.checkpoint import Device, Model, Part, Precision, Progress, locate, silent
from qinsight.engines.weights import DoesNotFit, Weights, choose_model, free_cached_memory, idle_gpu, load
from qinsight.errors import EngineError, RequestFailed, Stopped
from qinsight.photos.view import view
from qinsight.prompts import KNOWN_BEFORE, Order, build_messages
from qinsight.requests import GREEDY, NUM_ALTERNATIVES, About, Delta, Finish, Request, Sampling

# What a forward pass calls its cache: transformers 5.24 warns of the old word, 5.40 no longer knows it.
_PARAMETERS = inspect.signature(Qwen2_5_VLTextModel.forward).parameters
CACHE_WORD = "cache" if "cache" in _PARAMETERS else "past_key_values"

WORTH_SHARING = 64  # prompt tokens below which a shared prefix costs more than it saves


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
        self._loaded: dict[str, Weights] = {}
        self._busy = threading.Lock()
        self._stop = threading.Event()  # of the stream that runs; read by the hooks in the layers

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
        engine._weights(next(iter(located.parts)))
        engine._fingerprint = located.fingerprint
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
            weights=self._fingerprint,
            details={name or checkpoint.name: "loaded" for name in self._loaded},
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
        parts: dict[str, list[int]] = {}
        for number, request in enumerate(requests):
            parts.setdefault(self._model.part_for(request), []).append(number)
        while not self._busy.acquire(timeout=0.05):
            if stop.is_set():
                raise Stopped("Stopped before the model was free.")
        self._stop = stop
        try:
            for part, numbers in parts.items():
                chosen = [requests[number] for number in numbers]
                yield from self._answer(self._weights(part), chosen, numbers, sampling, max_pixels)
        except RuntimeError as error:
            # on a CPU, torch says so in a plain RuntimeError
            if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
                raise
            free_cached_memory()
            raise RequestFailed(
                "The model ran out of memory on this photo. Try a smaller --max-pixels or --precision nf4."
            ) from error
        finally:
            self._stop = threading.Event()
            self._busy.release()

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
        try:
            weights = load(checkpoint, self._device, precision, self._progress)
        except DoesNotFit:
            if not self._loaded:
                raise
            self._loaded.clear()
            free_cached_memory()
            weights = load(checkpoint, self._device, precision, self._progress)
        self._make_stoppable(weights)
        visual = weights.model.model.visual
        if isinstance(visual.patch_embed.proj, torch.nn.Conv3d):
            visual.patch_embed = _PatchEmbed(visual.patch_embed.proj)
        self._loaded[part] = weights
        return weights

    def _make_stoppable(self, weights: Weights) -> None:
        """Let a layer refuse to start once `stop` is set: reading a large photo can take long."""

        def refuse(*_: Any) -> None:
            if self._stop.is_set():
                raise Stopped("Stopped.")

        inner = weights.model.model
        for layer in (*inner.visual.blocks, *inner.language_model.layers):
            layer.register_forward_pre_hook(refuse)

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
        prompts = prepare(weights, requests, limit, self._order)
        conversation = _Conversation(weights, prompts, numbers, sampling)
        while conversation.rows:
            if self._stop.is_set():
                raise Stopped("Stopped.")
            yield from conversation.step()


class _PatchEmbed(torch.nn.Module):
    """The vision tower's first layer, a convolution whose stride is its kernel, as the matrix product it is.

    A CPU takes a seventh of the time for it, and comes closer to the exact sums (tests/test_engine.py).
    """

    def __init__(self, proj: torch.nn.Conv3d) -> None:
        super().__init__()
        self.proj = proj

    def forward(self, values: Tensor) -> Tensor:
        weight = self.proj.weight
        return torch.nn.functional.linear(values.to(weight.dtype), weight.flatten(1))


@dataclass(frozen=True)
class Prompt:
    """One request as the model reads it. `ids` is (T,); `embeddings` (T, D); `positions` (3, T)."""

    ids: Tensor
    views: tuple[Image.Image, ...]
    embeddings: Tensor
    positions: Tensor


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
    return [
        _prompt(weights, request, [seen[id(photo)] for photo in request.photos], order)
        for request in requests
    ]


def pixels(weights: Weights, photo: Image.Image) -> tuple[Tensor, Tensor]:
    """Normalised patches (patches, 3 * 2 * 14 * 14) and the patch grid (1, 3) of a photo already at its view size.

    The image processor's own values, bit for bit, looked up by byte: its numpy takes as long as the vision
    tower of the preview.
    """
    blocks = _patches(torch.from_numpy(np.array(photo)).permute(2, 0, 1))
    places = blocks.int() + torch.arange(0, 768, 256, dtype=torch.int32)[:, None]
    values = _table_of(weights).flatten().index_select(0, places.flatten()).view(-1, 3, 1, PATCH * PATCH)
    twice = values.expand(-1, -1, 2, -1).flatten(1)  # the tower wants two frames, as of a film
    return twice, torch.tensor([[1, photo.height // PATCH, photo.width // PATCH]])


PATCH = 14  # of the vision tower; two by two are merged into one token


def _patches(planes: Tensor) -> Tensor:
    """(3, H, W) as Qwen2-VL's processor lays it out, (patches, 3, 14 * 14): the four of a token together."""
    height, width = planes.shape[1] // (2 * PATCH), planes.shape[2] // (2 * PATCH)
    blocks = planes.reshape(3, height, 2, PATCH, width, 2, PATCH).permute(1, 4, 2, 5, 0, 3, 6)
    return blocks.reshape(height * width * 4, 3, PATCH * PATCH)


def _table_of(weights: Weights) -> Tensor:
    """What the image processor makes of each byte in each channel, (3, 256): asked of it once."""
    processor = weights.image_processor
    if processor not in _TABLES:
        bytes_: Any = (np.arange(56 * 56) % 256).astype(np.uint8).reshape(56, 56)
        sample = Image.fromarray(np.stack([bytes_] * 3, axis=-1))
        answer = processor(images=[sample], do_resize=False, return_tensors="pt")["pixel_values"]
        which = _patches(torch.from_numpy(bytes_).int().expand(3, -1, -1))
        channel = _patches(torch.arange(3)[:, None, None].expand(-1, 56, 56))
        table = torch.empty(3, 256)
        table[channel, which] = answer.view(-1, 3, 2, PATCH * PATCH)[:, :, 0]
        _TABLES[processor] = table
    return _TABLES[processor]


_TABLES: WeakKeyDictionary[Any, Tensor] = WeakKeyDictionary()  # by image processor


def _look(weights: Weights, photo: Image.Image, max_pixels: int) -> _Seen:
    limit = min(max_pixels, weights.image_processor.size["longest_edge"])
    shown = view(photo, limit)
    values, grid = pixels(weights, shown)
    grid = grid.to(weights.device)
    found = weights.model.model.get_image_features(values.to(weights.device), grid).pooler_output
    return _Seen(shown, grid, torch.cat(list(found)))


def _prompt(weights: Weights, request: Request, seen: Sequence[_Seen], order: Order | None) -> Prompt:
    model, tokenizer = weights.model, weights.tokenizer
    messages = build_messages(
        request.task, reference=request.reference, order=order or weights.checkpoint.order
    )
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


@dataclass
class _Row:
    """One reply as it grows. `position` is where its next token stands."""

    number: int
    position: int
    dice: torch.Generator
    ids: list[int] = field(default_factory=list)
    shown: str = ""


class _Conversation:
    """A batch of replies that decode together; rows leave when they are done."""

    def __init__(
        self, weights: Weights, prompts: Sequence[Prompt], numbers: Sequence[int], sampling: Sampling
    ) -> None:
        self.weights = weights
        self.sampling = sampling
        self.words: dict[int, str] = {}
        self.rows = [
            _Row(
                number, int(prompt.positions.max()) + 1, torch.Generator().manual_seed(sampling.seed + number)
            )
            for number, prompt in zip(numbers, prompts, strict=True)
        ]
        settings = weights.model.generation_config
        penalty = sampling.repetition_penalty
        self.penalty = float((settings.repetition_penalty or 1.0) if penalty is None else penalty)
        stops = settings.eos_token_id if settings.eos_token_id is not None else weights.tokenizer.eos_token_id
        self.stops = set(stops) if isinstance(stops, list) else {stops}
        self.warpers = LogitsProcessorList()
        if sampling.temperature > 0:
            self.warpers += [TemperatureLogitsWarper(sampling.temperature)]
            self.warpers += [TopKLogitsWarper(sampling.top_k)] if sampling.top_k else []
            self.warpers += [TopPLogitsWarper(sampling.top_p)] if sampling.top_p < 1 else []
        self.cache = DynamicCache(config=weights.model.config.get_text_config())
        self.cache.layers = [_RoomyLayer() for _ in self.cache.layers]
        self.logits, self.mask, self.used = self._read(prompts)

    @torch.inference_mode()
    def _read(self, prompts: Sequence[Prompt]) -> tuple[Tensor, Tensor, Tensor]:
        """Read all prompts: what several share once, the rest side by side, padded on the left.

        Returns logits (B, V), the attention mask (B, T) and which tokens were used (B, V).
        """
        groups = _groups(prompts)
        shared = [0] * len(prompts)
        before: Tensor | None = None
        if len(groups) < len(prompts):
            heads = [(prompts[group.rows[0]], 0, group.shared) for group in groups]
            embeddings, positions, mask = _padded(heads)
            self._forward(embeddings, positions, _unless_full(mask))
            owner = torch.tensor([number for number, group in enumerate(groups) for _ in group.rows])
            self.cache.batch_select_indices(owner.to(mask.device))
            before = mask[owner.to(mask.device)]
            shared = [group.shared for group in groups for _ in group.rows]
        tails = [(prompt, start, len(prompt.ids)) for prompt, start in zip(prompts, shared, strict=True)]
        embeddings, positions, mask = _padded(tails)
        if before is not None:
            mask = torch.cat([before, mask], dim=1)
        logits = self._forward(embeddings, positions, _unless_full(mask))
        used = torch.zeros_like(logits, dtype=torch.bool)
        for row, prompt in enumerate(prompts):
            used[row, prompt.ids] = True
        return logits, mask, used

    def _forward(self, embeddings: Tensor, positions: Tensor, mask: Tensor | None) -> Tensor:
        """One pass over (B, T, D) new embeddings; logits (B, V) of the last place, in float32."""
        model = self.weights.model
        hidden = model.model.language_model(
            inputs_embeds=embeddings,
            position_ids=positions,
            attention_mask=mask,
            use_cache=True,
            **{CACHE_WORD: self.cache},
        ).last_hidden_state
        return model.lm_head(hidden[:, -1]).float()

    @torch.inference_mode()
    def step(self) -> list[Delta]:
        """Choose a token for every row, say it, and read it back in for the rows that go on."""
        chosen = self._choose()
        others = self._alternatives([place for place, row in enumerate(self.rows) if "<answer>" in row.shown])
        deltas, staying = [], []
        for place, (row, token) in enumerate(zip(self.rows, chosen, strict=True)):
            alternatives = others.get(place, ())
            row.ids.append(token)
            finish = None
            if token in self.stops:
                finish = Finish.STOP
            elif len(row.ids) >= self.sampling.max_new_tokens:
                finish = Finish.LENGTH
            else:
                staying.append(place)
            deltas.append(Delta(row.number, self._new_words(row, finish), 1, alternatives, finish))
        self._keep(staying)
        if self.rows:
            self._read_back()
        return deltas

    def _choose(self) -> list[int]:
        scores = self.logits
        if self.penalty != 1.0:
            scores = torch.where(
                self.used, torch.where(scores < 0, scores * self.penalty, scores / self.penalty), scores
            )
        if not self.warpers:
            return list(scores.argmax(dim=-1).tolist())
        chances = self.warpers(None, scores).softmax(dim=-1).cpu()
        return [
            int(torch.multinomial(chance, 1, generator=row.dice))
            for chance, row in zip(chances, self.rows, strict=True)
        ]

    def _alternatives(self, places: list[int]) -> dict[int, tuple[tuple[str, float], ...]]:
        """The likeliest next tokens of these rows with the model's own chances, most likely first."""
        if not places:
            return {}
        top = self.logits[places].softmax(dim=-1).topk(min(NUM_ALTERNATIVES, self.logits.shape[-1]))
        words = [[self._word(token) for token in tokens] for tokens in top.indices.tolist()]
        chances = top.values.tolist()
        return {
            place: tuple(zip(*pair, strict=True)) for place, *pair in zip(places, words, chances, strict=True)
        }

    def _word(self, token: int) -> str:
        """The text of one token; the same few come again and again."""
        if token not in self.words:
            self.words[token] = str(self.weights.tokenizer.decode([token]))
        return self.words[token]

    def _new_words(self, row: _Row, finish: Finish | None) -> str:
        """What the last token adds to the text; a character still missing bytes waits for them."""
        text = self.weights.tokenizer.decode(
            row.ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        if finish is None and text.endswith("\N{REPLACEMENT CHARACTER}"):
            return ""
        new, row.shown = text[len(row.shown) :], text
        return str(new)

    def _keep(self, staying: list[int]) -> None:
        if len(staying) == len(self.rows):
            return
        self.rows = [self.rows[place] for place in staying]
        if not staying:
            return
        keep = torch.tensor(staying, device=self.mask.device)
        self.cache.batch_select_indices(keep)
        self.mask, self.used = self.mask[keep], self.used[keep]

    def _read_back(self) -> None:
        device = self.mask.device
        tokens = torch.tensor([row.ids[-1] for row in self.rows], device=device)
        positions = torch.tensor([row.position for row in self.rows], device=device)
        for row in self.rows:
            row.position += 1
        self.used.scatter_(1, tokens[:, None], True)
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(self.rows), 1)], dim=1)
        embeddings = self.weights.model.get_input_embeddings()(tokens[:, None])
        padded = not bool(self.mask.all())
        self.logits = self._forward(
            embeddings, positions.expand(3, -1)[:, :, None], self.mask if padded else None
        )


class _RoomyLayer(DynamicLayer):
    """Keys and values with room to grow: the stock layer copies all of them for each new token."""

    ROOM = 64  # tokens
    keys: Any
    values: Any

    def __init__(self) -> None:
        super().__init__()
        self._buffers: dict[str, Tensor] = {}

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        self.keys = self._grown("keys", self.keys, key_states)
        self.values = self._grown("values", self.values, value_states)
        return self.keys, self.values

    def _grown(self, name: str, old: Tensor, new: Tensor) -> Tensor:
        """`old` and `new` as one (B, heads, T, D), in the buffer where `old` is its beginning and has room."""
        known = old.shape[-2] if old.dim() == 4 else 0
        total = known + new.shape[-2]
        buffer = self._buffers.get(name)
        grown = buffer is not None and known and old.data_ptr() == buffer.data_ptr()
        if not grown or buffer is None or total > buffer.shape[-2] or len(buffer) != len(new):
            buffer = new.new_empty(*new.shape[:2], total + self.ROOM, new.shape[-1])
            if known:
                buffer[..., :known, :] = old
            self._buffers[name] = buffer
        buffer[..., known:total, :] = new
        return buffer[..., :total, :]


def _padded(parts: Sequence[tuple[Prompt, int, int]]) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens `start` to `end` of prompts as embeddings (B, T, D), positions (3, B, T), mask (B, T), padded left."""
    longest = max(end - start for _, start, end in parts)
    first = parts[0][0]
    embeddings = first.embeddings.new_zeros(len(parts), longest, first.embeddings.shape[-1])
    positions = first.positions.new_zeros(3, len(parts), longest)
    mask = torch.zeros(len(parts), longest, dtype=torch.long, device=embeddings.device)
    for row, (prompt, start, end) in enumerate(parts):
        gap = longest - (end - start)
        embeddings[row, gap:] = prompt.embeddings[start:end]
        positions[:, row, gap:] = prompt.positions[:, start:end]
        mask[row, gap:] = 1
    return embeddings, positions, mask


def _unless_full(mask: Tensor) -> Tensor | None:
    """None where nothing is padded: attention is faster without a mask."""
    return None if bool(mask.all()) else mask


@dataclass
class _Group:
    """Neighbouring rows whose prompts begin alike, and for how many tokens."""

    rows: list[int]
    shared: int


def _groups(prompts: Sequence[Prompt]) -> list[_Group]:
    """Rows that share at least half of their prompt, photos included: the questions about one photo, samples."""
    groups: list[_Group] = []
    for row, prompt in enumerate(prompts):
        # each row needs one token of its own to go on from
        alone = len(prompt.ids) - 1
        if groups:
            group = groups[-1]
            shared = min(group.shared, _alike(prompts[group.rows[0]], prompt), alone)
            if shared >= max(WORTH_SHARING, alone // 2):
                group.rows.append(row)
                group.shared = shared
                continue
        groups.append(_Group([row], alone))
    return groups


def _alike(one: Prompt, other: Prompt) -> int:
    """How many leading tokens are the same: their ids, what the photos look like, and where they stand."""
    length = min(len(one.ids), len(other.ids))
    same = (
        (one.ids[:length] == other.ids[:length])
        & (one.embeddings[:length] == other.embeddings[:length]).all(dim=-1)
        & (one.positions[:, :length] == other.positions[:, :length]).all(dim=0)
    )
    return int(same.long().cumprod(0).sum())
