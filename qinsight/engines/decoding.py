"""Passes of the language model over what is new, beside the keys and values of what it has read."""

import inspect
import logging
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLTextModel

LOG = logging.getLogger(__name__)

# What a forward pass calls its cache: transformers 5.24 warns of the old word, 5.40 no longer knows it.
_PARAMETERS = inspect.signature(Qwen2_5_VLTextModel.forward).parameters
CACHE_WORD = "cache" if "cache" in _PARAMETERS else "past_key_values"


LONG = 1.5e11  # tokens squared times width: a layer's attention takes a CPU a second, and hears no Stop
SHORT = 256  # tokens of a part, at least


def _parts(embeddings: Tensor) -> Iterator[slice]:
    """A prompt (B, T, D) whole, or in parts that read one after the other where attention would take too long."""
    rows, length, width = embeddings.shape
    size = length
    if embeddings.device.type == "cpu" and rows * length**2 * width > LONG:
        size = max(SHORT, int(LONG / (rows * length * width)))
    for start in range(0, length, size):
        yield slice(start, min(length, start + size))


class Decoder(Protocol):
    """Rows that decode together, a token each at a time."""

    def keep(self, staying: Sequence[int]) -> None:
        """Only these of the rows go on, in this order."""
        ...

    def read(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """Read a token (B,) at its position (B,) into each row; logits (B, V) in float32."""
        ...


def forward(model: Any, cache: DynamicCache, embeddings: Tensor, positions: Tensor, mask: Any) -> Tensor:
    """One pass over (B, T, D) new embeddings at (3, B, T); logits (B, V) of the last place, in float32."""
    hidden = model.model.language_model(
        inputs_embeds=embeddings,
        position_ids=positions,
        attention_mask=mask,
        use_cache=True,
        **{CACHE_WORD: cache},
    ).last_hidden_state
    return model.lm_head(hidden[:, -1]).float()


class Growing:
    """Keys and values that grow by what is read; rows that are done leave at once."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.cache = DynamicCache(config=model.config.get_text_config())
        self.cache.layers = [_RoomyLayer() for _ in self.cache.layers]
        self.mask = torch.empty(0)  # (B, T) once something was read

    @classmethod
    def after(cls, model: Any, cache: DynamicCache, mask: Tensor) -> "Growing":
        """Goes on after a prompt that was read into `cache` already, of tokens where `mask` (B, T) is 1."""
        growing = cls(model)
        growing.cache.layers = [_RoomyLayer.after(layer) for layer in cache.layers]
        growing.mask = mask
        return growing

    def prompt(self, embeddings: Tensor, positions: Tensor, mask: Tensor) -> Tensor:
        """Read (B, T, D) embeddings, padded on the left where `mask` (B, T) is 0; logits (B, V)."""
        known = self.mask.shape[1] if self.mask.numel() else 0
        whole = torch.cat([self.mask, mask], dim=1) if known else mask
        logits = torch.empty(0)
        for part in _parts(embeddings):
            self.mask = whole[:, : known + part.stop]
            read = embeddings[:, part], positions[:, :, part], self._mask_if_padded()
            logits = forward(self.model, self.cache, *read)
        return logits

    def keep(self, staying: Sequence[int]) -> None:
        """Rows may come several times: a beginning that several share."""
        rows = torch.tensor(staying, device=self.mask.device)
        self.cache.batch_select_indices(rows)
        self.mask = self.mask[rows]

    def read(self, tokens: Tensor, positions: Tensor) -> Tensor:
        embeddings = self.model.get_input_embeddings()(tokens[:, None])
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(tokens), 1)], dim=1)
        at = positions.expand(3, -1)[:, :, None]
        return forward(self.model, self.cache, embeddings, at, self._mask_if_padded())

    def _mask_if_padded(self) -> Tensor | None:
        """None where nothing is padded: attention is faster without a mask."""
        return None if bool(self.mask.all()) else self.mask


def replayable(model: Any) -> bool:
    """Whether a pass can be replayed: on CUDA, where every layer attends to all that was read."""
    return model.device.type == "cuda" and set(model.config.get_text_config().layer_types) == {
        "full_attention"
    }


class Replayed:
    """The same over keys and values of a fixed size, so that CUDA can replay a pass as one graph.

    A token of a 7B model is more than a thousand kernels; launched from Python one by one, the GPU waits for
    them most of the time. Rows that are done stay in as ballast: a pass takes as long as reading the weights.
    """

    ROOM = 512  # tokens more, each time that there is none left

    def __init__(self, read: Growing) -> None:
        """Goes on where `read` is, which is empty afterwards."""
        rows, known = read.mask.shape
        device = read.mask.device
        self.model, self.cache = read.model, read.cache
        self._known = known
        self._at = torch.full((1,), known, device=device)
        self._mask = read.mask.bool()[:, None, None]  # (B, 1, 1, length)
        self._tokens = torch.zeros(rows, 1, dtype=torch.long, device=device)
        self._positions = torch.zeros(3, rows, 1, dtype=torch.long, device=device)
        self._slots = torch.arange(rows, device=device)
        self._logits = torch.empty(0)
        self._stretch()

    def keep(self, staying: Sequence[int]) -> None:
        self._slots = self._slots[torch.tensor(staying, device=self._slots.device)]

    def read(self, tokens: Tensor, positions: Tensor) -> Tensor:
        if self._known == self._mask.shape[-1]:
            self._stretch()
        self._tokens[self._slots, 0] = tokens
        self._positions[:, self._slots, 0] = positions
        self._known += 1
        self._passes += 1
        if self._passes == 2 and self._at.is_cuda:  # the first pass has set up what a graph cannot
            self._capture()
        if self._graph is None:
            self._logits = self._pass()
        else:
            self._graph.replay()
        return self._logits[self._slots]

    def _stretch(self) -> None:
        """Make room at other addresses, which ends what was recorded."""
        length = -(-(self._known + self.ROOM) // 64) * 64
        for number, layer in enumerate(self.cache.layers):  # one by one: all of them may not fit twice
            self.cache.layers[number] = _FixedLayer(layer, length, self._at)
        self._mask = torch.nn.functional.pad(self._mask, (0, length - self._known))
        self._passes = 0
        self._graph: torch.cuda.CUDAGraph | None = None

    def _pass(self) -> Tensor:
        self._mask.index_fill_(3, self._at, True)
        embeddings = self.model.get_input_embeddings()(self._tokens)
        masks = {"full_attention": self._mask}
        logits = forward(self.model, self.cache, embeddings, self._positions, masks)
        self._at += 1
        return logits

    def _capture(self) -> None:
        """Record a pass; what cannot be recorded is launched piece by piece, as before."""
        graph, stream = torch.cuda.CUDAGraph(), torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        try:
            with torch.cuda.stream(stream):
                graph.capture_begin(capture_error_mode="thread_local")
                try:
                    self._logits = self._pass()
                finally:
                    graph.capture_end()
            self._graph = graph
        except RuntimeError as error:
            LOG.warning("This GPU decodes without a graph, more slowly: %s", str(error).partition("\n")[0])
        torch.cuda.current_stream().wait_stream(stream)


class _RoomyLayer(DynamicLayer):
    """Keys and values with room to grow: the stock layer copies all of them for each new token."""

    ROOM = 64  # tokens
    keys: Any
    values: Any

    def __init__(self) -> None:
        super().__init__()
        self._buffers: dict[str, Tensor] = {}

    @classmethod
    def after(cls, read: Any) -> "_RoomyLayer":
        layer = cls()
        layer.lazy_initialization(read.keys, read.values)
        layer.keys, layer.values = read.keys, read.values
        return layer

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


class _FixedLayer(DynamicLayer):
    """Keys and values (B, heads, length, D) of which a new one goes where `at` (1,) says."""

    keys: Any
    values: Any

    def __init__(self, read: Any, length: int, at: Tensor) -> None:
        super().__init__()
        self.keys, self.values = _stretched(read.keys, length), _stretched(read.values, length)
        self._at = at
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        self.keys.index_copy_(2, self._at, key_states)
        self.values.index_copy_(2, self._at, value_states)
        return self.keys, self.values


def _stretched(old: Tensor, length: int) -> Tensor:
    """Zeros after what is there: a masked place still takes part, times nothing, in a sum."""
    new = old.new_zeros(*old.shape[:2], length, old.shape[-1])
    new[..., : old.shape[-2], :] = old
    return new
