"""The weights of a checkpoint, read from its files piece by piece, under the names that llama.cpp gives them.

No torch: a file is mapped, and a few rows at a time are turned into numbers.
"""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from operator import index
from pathlib import Path
from typing import Any

import numpy as np

from qinsight.engines.checkpoint import Checkpoint, damaged
from qinsight.errors import EngineError

AT_ONCE = 2**24  # weights in numbers at a time: 64 MB, and a few times that while they are rounded
_BYTES = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": np.dtype("<u2")}
_LAYER = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_BLOCK = {
    "norm1": "ln1",
    "norm2": "ln2",
    "attn.proj": "attn_out",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_WORDS = {"embed_tokens": "token_embd", "norm": "output_norm", "lm_head": "output"}
_VISION = {"merger.ln_q": "v.post_ln", "merger.mlp.0": "mm.0", "merger.mlp.2": "mm.2"}


@dataclass(frozen=True)
class Stored:
    """One tensor of the checkpoint, where it lies."""

    file: Path
    kind: str
    shape: tuple[int, ...]
    start: int

    def numbers(self) -> Any:
        """Mapped, not read; of BF16 the bits."""
        return np.memmap(self.file, _BYTES[self.kind], "r", self.start, self.shape)


@dataclass(frozen=True)
class Tensor:
    """One tensor as llama.cpp wants it: a stored one, or a slice of it."""

    name: str
    stored: Stored
    shape: tuple[int, ...]
    first: int = 0  # row of what is stored
    frame: int | None = None  # of the two that a patch is seen in

    @property
    def vision(self) -> bool:
        return self.name.startswith(("v.", "mm."))

    def pieces(self) -> Iterator[Any]:
        """Some rows after the other, as float32."""
        numbers = self.stored.numbers()[self.first : self.first + self.shape[0]]
        if self.frame is not None:
            numbers = numbers[:, :, self.frame]
        step = max(1, AT_ONCE // max(1, math.prod(self.shape[1:])))
        for first in range(0, len(numbers), step):
            yield _float32(numbers[first : first + step], self.stored.kind)


def _float32(numbers: Any, kind: str) -> Any:
    if kind == "BF16":  # the upper half of a float32
        return (numbers.astype(np.uint32) << 16).view(np.float32)
    return np.ascontiguousarray(numbers, dtype=np.float32)


def tensors(checkpoint: Checkpoint, shapes: dict[str, tuple[int, ...]]) -> list[Tensor]:
    """All tensors that `shapes` tells of, by the names of the checkpoint, in the order of the file to be written."""
    found: dict[str, Stored] = {}
    for file in checkpoint.weight_files:
        found |= {plain_name(name): stored for name, stored in _listed(file, checkpoint.name)}
    if missing := sorted(shapes.keys() - found.keys()):
        raise EngineError(
            "Expected all weights that config.json describes in {name}; {count} are missing, the first {first}.",
            name=checkpoint.name,
            count=len(missing),
            first=missing[0],
        )
    for name, shape in shapes.items():
        if found[name].shape != shape:
            raise EngineError(
                "Expected {tensor} of {name} in the shape {shape}, as config.json describes; it has {found}.",
                tensor=name,
                name=checkpoint.name,
                shape=shape,
                found=found[name].shape,
            )
    return [tensor for name in shapes for tensor in _renamed(name, found[name])]


def plain_name(name: str) -> str:
    """A tensor's name without what one or the other version of transformers puts before it."""
    name = re.sub(r"^(model\.)?visual\.", "visual.", name)
    name = re.sub(r"^(model\.language_model|language_model\.model)\.", "model.", name)
    return name.removeprefix("language_model.")


def _listed(file: Path, name: str) -> Iterator[tuple[str, Stored]]:
    """The tensors of a safetensors file: a length of eight bytes, that many of JSON, then the weights."""
    try:
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            size = file.stat().st_size
            if length + 8 > size:
                raise ValueError("its header is cut short")
            header = json.loads(opened.read(length))
        last = (0, "")  # where the tensors before end
        header.pop("__metadata__", None)
        spans = [(*map(index, told["data_offsets"]), name) for name, told in header.items()]
        for start, end, tensor in sorted(spans):
            told = header[tensor]
            if 8 + length + end > size:
                raise ValueError(f"{tensor} is cut short")
            if start < last[0]:
                raise ValueError(f"{last[1] or 'its header'} and {tensor} lie at the same place")
            last = (end, tensor)
            if told["dtype"] not in _BYTES:
                raise EngineError(
                    "Expected full weights in {name}; {tensor} is stored as {kind}. Convert the weights that it was made from.",
                    name=name,
                    tensor=tensor,
                    kind=told["dtype"],
                )
            if end - start != math.prod(told["shape"]) * _BYTES[told["dtype"]].itemsize:
                raise ValueError(f"{tensor} has {end - start} bytes, which is not its shape")
            yield tensor, Stored(file, told["dtype"], tuple(map(index, told["shape"])), 8 + length + start)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise damaged(file.name, name, error) from error


def _renamed(name: str, stored: Stored) -> Iterator[Tensor]:
    """The one to three tensors that llama.cpp makes of it."""
    body, kind = name.rpartition(".")[::2]
    shape = stored.shape
    if name == "visual.patch_embed.proj.weight":  # the same patch in two frames of a film
        for frame, end in enumerate(("", ".1")):
            yield Tensor(f"v.patch_embd.weight{end}", stored, shape[:2] + shape[3:], frame=frame)
        return
    if layer := re.fullmatch(r"model\.layers\.(\d+)\.(.+)", body):
        yield Tensor(f"blk.{layer[1]}.{_LAYER[layer[2]]}.{kind}", stored, shape)
    elif block := re.fullmatch(r"visual\.blocks\.(\d+)\.(.+)", body):
        if block[2] == "attn.qkv":
            third = shape[0] // 3
            for number, letter in enumerate("qkv"):
                name = f"v.blk.{block[1]}.attn_{letter}.{kind}"
                yield Tensor(name, stored, (third, *shape[1:]), number * third)
        else:
            yield Tensor(f"v.blk.{block[1]}.{_BLOCK[block[2]]}.{kind}", stored, shape)
    elif body.startswith("visual."):
        yield Tensor(f"{_VISION[body.removeprefix('visual.')]}.{kind}", stored, shape)
    else:
        yield Tensor(f"{_WORDS[body.removeprefix('model.')]}.{kind}", stored, shape)
