"""Writing a checkpoint as llama.cpp reads it: GGUF for the language model, mmproj for the vision tower.

    python -m qinsight convert ByteDance/Q-Insight --out q-insight-q8_0 --type q8_0

Each part is written whole, and the folder stands at its place once all parts do. Parts that were finished before a run
was ended are kept beside that place, and the next run goes on after them.
"""

import importlib.util
import json
import math
import os
import shutil
import struct
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from qinsight.engines.checkpoint import (
    Checkpoint,
    Model,
    Part,
    Progress,
    holds_gguf,
    locate,
    read_json,
    silent,
)
from qinsight.engines.convert_settings import (
    Config,
    eye_settings,
    eye_shapes,
    read_config,
    word_settings,
    word_shapes,
)
from qinsight.engines.convert_tensors import Tensor, tensors
from qinsight.engines.gguf_header import Type
from qinsight.errors import EngineError
from qinsight.sentence import Sentence, told_bytes
from qinsight.whole_files import hold, whole_folder

MODEL, MMPROJ, CARD = "model.gguf", "mmproj.gguf", "qinsight.json"
LOCK, ONLY = ".lock", "whole"  # in the draft; the second is the one part of a model that has no others
SETTINGS = 32 * 2**20  # bytes of tokens, names and padding before the weights of both files, at most
_BLOCK = 32  # weights that share a scale


def convert(
    model: str,
    out: Path,
    kind: Type = Type.Q8_0,
    progress: Progress = silent,
    *,
    parts: Collection[str] | None = None,
) -> list[Path]:
    """Write every part of `model`, or those named, into `out`, which must not exist yet; `EngineError` says why it cannot be."""
    with _writing(out):
        _check(out, kind)
    if holds_gguf(model):
        raise EngineError(
            "{model} is converted already; expected the weights that it was made from.", model=model
        )
    found = locate(model, progress)
    chosen = {name: part for name, part in found.parts.items() if parts is None or name in parts}
    with _writing(out), _draft(out) as draft:
        plans = {
            draft / (subfolder or ONLY): _Plan(_fetched(part, progress), kind)
            for subfolder, part in chosen.items()
        }
        _write(plans, draft, progress)
        if ONLY in (place.name for place in plans):
            (draft / ONLY).rename(out)
        else:
            (draft / LOCK).unlink()
            draft.rename(out)
    return [out / subfolder for subfolder in chosen]


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    """What the disk refuses is a sentence. numpy tells no cause where fewer bytes were written than it had."""
    try:
        yield
    except OSError as error:
        raise EngineError(
            "The converted weights cannot be written to {out}: {cause}.",
            out=out,
            cause=error.strerror or "the disk is full, or a file may not be as large",
        ) from error


def _check(out: Path, kind: Type) -> None:
    if out.is_symlink() or out.exists():
        raise EngineError("Expected a folder that does not exist yet; {out} does.", out=out)
    check_type(kind)


def check_type(kind: Type) -> None:
    """`EngineError` where weights of this type cannot be written here."""
    if kind is Type.Q4_K_M:
        raise EngineError(
            "The type q4_k_m needs llama.cpp's own quantiser, which the packages gguf and xllamacpp do not offer; "
            "expected one of {types}.",
            types=", ".join(one for one in Type if one is not Type.Q4_K_M),
        )
    if importlib.util.find_spec("gguf") is None:
        raise EngineError(
            "Expected the package gguf, which is not installed. Run: {command}", command="pip install gguf"
        )


def converted_size(config: Config, kind: Type) -> int:
    """Bytes of both files of a checkpoint with this config, about: it need not be there yet."""
    words, eyes = word_shapes(config), eye_shapes(config)
    spoken = ("model.embed_tokens.weight", "lm_head.weight")
    return SETTINGS + sum(
        _size(shape, _holding(shape, kind, vision=name in eyes, spoken=name in spoken))
        for name, shape in (words | eyes).items()
    )


@contextmanager
def _draft(out: Path) -> Iterator[Path]:
    """The folder beside `out` in which parts are finished; gone afterwards, unless one part of several is."""
    draft = out.with_name(f".{out.name}.parts")
    draft.mkdir(parents=True, exist_ok=True)
    with (draft / LOCK).open("ab") as lock:
        if not hold(lock):
            raise EngineError("Another command is writing {out} now.", out=out)
        try:
            yield draft
        finally:
            if not any((place / CARD).exists() for place in draft.glob("*")):
                shutil.rmtree(draft, ignore_errors=True)


def _fetched(part: Part, progress: Progress) -> Checkpoint:
    checkpoint = part.fetch(progress)
    if checkpoint.base is not None:
        raise EngineError(
            "{name} is an adapter; fold it into its base first: python -m training.merge --model {folder} --out {merged}",
            name=checkpoint.name,
            folder=checkpoint.folder,
            merged=checkpoint.folder.with_name(f"{checkpoint.folder.name}-merged"),
        )
    return checkpoint


def _write(plans: dict[Path, "_Plan"], draft: Path, progress: Progress) -> None:
    """Write the parts that a run before did not finish."""
    left = {place: plan for place, plan in plans.items() if not plan.is_finished(place)}
    for place in draft.iterdir():  # what a killed run left, and parts of other weights
        if place.name != LOCK and (place in left or place not in plans):
            shutil.rmtree(place)
    size, free = sum(plan.size for plan in left.values()), shutil.disk_usage(draft).free
    if size > free:
        raise EngineError(
            "Expected {size} of free disk in {folder}; there are {free}. "
            "Make room, or choose a smaller --type.",
            size=told_bytes(size),
            folder=draft.parent.resolve(),
            free=told_bytes(free),
        )
    for place, plan in left.items():
        with whole_folder(place) as folder:
            plan.write(folder, progress)


@dataclass(frozen=True)
class _Plan:
    """One part: which tensors go into its two files, and how they are held there."""

    checkpoint: Checkpoint
    kind: Type

    @cached_property
    def config(self) -> Config:
        return read_config(self.checkpoint)

    @cached_property
    def files(self) -> dict[str, list[Tensor]]:
        shapes = {MODEL: word_shapes(self.config), MMPROJ: eye_shapes(self.config)}
        return {name: tensors(self.checkpoint, inside) for name, inside in shapes.items()}

    @property
    def size(self) -> int:
        return SETTINGS + sum(
            _bytes(tensor, self.kind) for inside in self.files.values() for tensor in inside
        )

    @cached_property
    def card(self) -> dict[str, Any]:
        """What `--model` must know of the weights, and the next run of those that this part was made of."""
        checkpoint = self.checkpoint
        source = Model(checkpoint.name, {"": Part(checkpoint.name, str(checkpoint.folder))})
        return {
            "name": checkpoint.name,
            "tasks": sorted(checkpoint.tasks),
            "order": str(checkpoint.order),
            "preview": checkpoint.preview,
            "max_pixels": checkpoint.max_pixels,
            "about": checkpoint.note,
            "type": str(self.kind),
            "weights": source.fingerprint,
        }

    def is_finished(self, folder: Path) -> bool:
        return (folder / CARD).exists() and read_json(folder / CARD) == self.card

    def write(self, folder: Path, progress: Progress) -> None:
        words = Sentence("Converting {name} to {kind}", name=self.checkpoint.name, kind=self.kind)
        whole, done = self.size, 0
        progress(words, 0.0)
        for name, inside in self.files.items():
            for size in self._write_file(folder / name, inside):
                done += size
                progress(words, min(1.0, done / whole))
        (folder / CARD).write_text(json.dumps(self.card, indent=2, ensure_ascii=False) + "\n", "utf-8")
        progress(words, 1.0)

    def _write_file(self, path: Path, inside: list[Tensor]) -> Iterator[int]:
        """Write one of the two files, tensor by tensor, and tell the bytes of each."""
        import gguf

        eyes = path.name == MMPROJ
        writer = gguf.GGUFWriter(path, "clip" if eyes else "qwen2vl")
        try:
            writer.add_type("mmproj" if eyes else "model")
            writer.add_name(self.checkpoint.name)
            writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
            writer.add_file_type(_file_type(_held(self.kind, vision=eyes)))
            (eye_settings if eyes else word_settings)(writer, self.checkpoint, self.config)
            for tensor in inside:
                held = _held_as(tensor, self.kind)
                size = _bytes(tensor, self.kind)
                writer.add_tensor_info(tensor.name, tensor.shape, None, size, _ggml(held))
            _write_settings(writer, self.checkpoint.name)
            for tensor in inside:
                writer.write_tensor_data(_encoded(tensor, self.kind, self.checkpoint.name))
                yield _bytes(tensor, self.kind)
        finally:
            writer.close()
        with path.open("rb+") as written:
            os.fsync(written.fileno())


def _write_settings(writer: Any, name: str) -> None:
    """Write what stands before the weights; the package packs it into bytes only now."""
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
    except (ValueError, TypeError, OverflowError, struct.error) as error:
        raise EngineError(
            "The settings of {name} cannot be written as llama.cpp has them: {cause}.",
            name=name,
            cause=error,
        ) from error


def _held(kind: Type, *, vision: bool) -> Type:
    return Type.F16 if vision and kind is not Type.F32 else kind


def _held_as(tensor: Tensor, kind: Type) -> Type:
    spoken = tensor.name in ("token_embd.weight", "output.weight")
    return _holding(tensor.shape, kind, vision=tensor.vision, spoken=spoken)


def _holding(shape: Sequence[int], kind: Type, *, vision: bool, spoken: bool) -> Type:
    """How a tensor is held: norms, biases and patches in full; what is `spoken` and spoken to in 8 bits at least."""
    if len(shape) != 2:
        return Type.F32
    held = _held(kind, vision=vision)
    if held in (Type.F32, Type.F16):
        return held
    if shape[1] % _BLOCK:
        return Type.F16
    return Type.Q8_0 if spoken else held


def _bytes(tensor: Tensor, kind: Type) -> int:
    return _size(tensor.shape, _held_as(tensor, kind))


def _size(shape: Sequence[int], held: Type) -> int:
    bits = {Type.F32: 32, Type.F16: 16, Type.Q8_0: 8.5, Type.Q5_1: 6, Type.Q4_0: 4.5}
    return int(math.prod(shape) * bits[held] / 8)


def _ggml(held: Type) -> Any:
    import gguf

    return gguf.GGMLQuantizationType[held.name]


def _file_type(held: Type) -> int:
    import gguf

    return int(gguf.LlamaFileType[f"{'ALL' if held is Type.F32 else 'MOSTLY'}_{held.name}"])


def _encoded(tensor: Tensor, kind: Type, name: str) -> Any:
    """The tensor's bytes, rounded a few rows at a time."""
    import gguf
    import numpy as np

    held = _held_as(tensor, kind)
    found: Any = np.empty(_bytes(tensor, kind), np.uint8)
    done = 0
    for piece in tensor.pieces():
        if not np.isfinite(piece).all():
            raise EngineError(
                "Expected numbers in the weights {tensor} of {name}; some are infinite or none (NaN).",
                tensor=tensor.name,
                name=name,
            )
        if held is Type.F16 and np.abs(piece).max(initial=0) > np.finfo(np.float16).max:
            raise EngineError(
                "The weights {tensor} of {name} are too large for f16; choose --type f32.",
                tensor=tensor.name,
                name=name,
            )
        part = np.ascontiguousarray(gguf.quants.quantize(piece, _ggml(held))).view(np.uint8).reshape(-1)
        found[done : done + len(part)] = part
        done += len(part)
    return found
