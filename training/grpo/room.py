"""How much room a run needs, told from `config.json` before a weight is read: on the device, and on the disk.

An estimate, from the shapes of the tensors that are alive at the worst moment. What a kernel needs for itself and
what the allocator leaves unused is a flat part of it (`SPARE`).
"""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration
from transformers.integrations import deepspeed

from training.grpo.recipe import (
    Adapt,
    Recipe,
    RecipeError,
    Settings,
    under_deepspeed,
    zero_offload,
    zero_stage,
)

GB = 1e9
SPARE = 1.5e9  # of a CUDA context, its kernels' workspaces and fragments
NF4 = 0.516  # bytes a weight: 4 bits, a doubly quantised scale for each 64
LOGIT_ROWS = (
    2048  # tokens whose logits exist at once, in float32 (trl.kernels.chunked_logprob), twice on the way back
)
# A plain list of names would match the vision tower's layers too, whose names are the same.
LORA_WORDS = r"model\.language_model\.layers\.\d+\.(self_attn|mlp)\..*_proj"
LORA_EYES = r"model\.visual\.blocks\.\d+\.(attn\.(qkv|proj)|mlp\..*_proj)"


@dataclass(frozen=True)
class Counts:
    """Weights of a model, by what becomes of them."""

    whole: int
    vision: int
    packed: int
    adapters: int


@dataclass(frozen=True)
class Load:
    """What is on a device at once: rows of a pass, of a generation, of a batch; tokens asked, and with the reply; patches."""

    rows: int
    generated: int
    asked: int
    tokens: int
    photos: int
    patches: int
    batch: int


def count(config: Qwen2_5_VLConfig, recipe: Recipe) -> Counts:
    """From the shapes alone: the model is built without memory."""
    with torch.device("meta"), _outside_zero():
        model = Qwen2_5_VLForConditionalGeneration(config)
    linear = {name: module for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    target = f"({LORA_WORDS}|{LORA_EYES})" if recipe.train_vision else LORA_WORDS
    return Counts(
        whole=sum(weight.numel() for weight in model.parameters()),
        vision=sum(weight.numel() for weight in model.model.visual.parameters()),
        packed=sum(one.weight.numel() for name, one in linear.items() if re.fullmatch(LORA_WORDS, name)),
        adapters=recipe.lora_r
        * sum(
            one.in_features + one.out_features for name, one in linear.items() if re.fullmatch(target, name)
        ),
    )


@contextmanager
def _outside_zero() -> Iterator[None]:
    """Under ZeRO-3 a model that is built shares out its weights as it goes; these have none."""
    kept = deepspeed._hf_deepspeed_config_weak_ref
    deepspeed.unset_hf_deepspeed_config()
    try:
        yield
    finally:
        deepspeed._hf_deepspeed_config_weak_ref = kept


def learning(counts: Counts, recipe: Recipe) -> int:
    """How many weights learn."""
    if recipe.adapt is not Adapt.FULL:
        return counts.adapters
    return counts.whole if recipe.train_vision else counts.whole - counts.vision


def device_bytes(
    config: Qwen2_5_VLConfig, counts: Counts, load: Load, recipe: Recipe, settings: Settings
) -> dict[str, float]:
    """The parts of the peak on one device, in bytes."""
    words = config.get_text_config()
    half = 2 if settings.bf16 or settings.fp16 else 4
    tokens = load.rows * load.tokens
    layer = tokens * (words.hidden_size * 10 + words.intermediate_size * 3) * half
    layers = tokens * words.hidden_size * half * words.num_hidden_layers
    heads = words.hidden_size // words.num_attention_heads * words.num_key_value_heads
    # a question is read into all rows at once; adapters in float32 read a float32 copy of what they are given
    wide = words.intermediate_size * (3 * half + (0 if recipe.adapt is Adapt.FULL else 4))
    reading = load.generated * load.asked * (wide + words.hidden_size * 4 * half)
    kept = layer + layers if settings.gradient_checkpointing else layer * words.num_hidden_layers
    seen = load.photos * load.patches * (1176 + words.hidden_size // 4) * half
    moments = {  # one after the other: the larger counts
        "generation": load.generated * load.tokens * heads * 2 * words.num_hidden_layers * half + reading,
        "pass": kept + 3 * min(tokens, LOGIT_ROWS) * words.vocab_size * 4,
    }
    moment = max(moments, key=lambda name: moments[name])
    return {
        **_weights(counts, recipe, settings),
        moment: moments[moment],
        "photos": (load.generated + load.batch) * load.patches * 1176 * 4
        + min(seen, settings.looks_memory * 2**30),
        "spare": 0.0 if settings.use_cpu else SPARE,
    }


def _weights(counts: Counts, recipe: Recipe, settings: Settings) -> dict[str, float]:
    """Weights, reference, and what learning keeps of each: gradient, two moments, a master where one is needed."""
    stage, processes = zero_stage(settings), settings.world_size
    learn = learning(counts, recipe)
    kept = 0 if zero_offload(settings) else 12 / processes  # a master and two moments, in float32
    half = 4 if settings.use_cpu and not under_deepspeed(settings) else 2
    if recipe.adapt is Adapt.QLORA:
        return {
            "weights": counts.packed * NF4 + (counts.whole - counts.packed) * half,
            "learning": learn * 16,
        }
    if recipe.adapt is Adapt.LORA:
        return {"weights": counts.whole * half, "learning": learn * 16}
    copies = 2 if settings.beta else 1
    if stage == 3:  # everything shared out; gathered whole to generate
        shared = counts.whole * 2 * copies / processes
        return {"weights": shared + counts.whole * 2, "learning": learn * (2 / processes + kept)}
    if stage:
        return {"weights": counts.whole * 2 * copies, "learning": learn * (2 + kept)}
    return {"weights": counts.whole * 4 * copies, "learning": learn * 12}


def checkpoint_bytes(counts: Counts, recipe: Recipe, settings: Settings) -> float:
    """One checkpoint on the disk: weights, and the optimiser's two moments, with masters under DeepSpeed."""
    learn = learning(counts, recipe)
    if recipe.adapt is not Adapt.FULL:
        return learn * (4 + 8)
    return counts.whole * 2 + learn * 12 if under_deepspeed(settings) else counts.whole * 4 + learn * 8


def disk_bytes(counts: Counts, recipe: Recipe, settings: Settings, updates: int) -> float:
    """All that the run will hold on the disk at once: checkpoints, one being written, the best, and the result."""
    one = checkpoint_bytes(counts, recipe, settings)
    weights = checkpoint_bytes(counts, recipe, settings) - learning(counts, recipe) * 8
    results = weights * (2 if settings.keep_best else 1)
    if settings.save_strategy == "no":
        return results
    every = settings.save_steps if settings.save_steps >= 1 else max(1, settings.save_steps * updates)
    written = updates / every if settings.save_strategy == "steps" else settings.num_train_epochs
    most = (settings.save_total_limit or written) + 1
    return one * max(1, min(most, -(-written // 1))) + results


def check_disk(needed: float, out: Path) -> str:
    """How much the run takes of what is free; `RecipeError` where it is not there."""
    place = next(folder for folder in (out, *out.absolute().parents) if folder.exists())
    there = sum(file.stat().st_size for file in out.rglob("*") if file.is_file()) if out.exists() else 0
    free = shutil.disk_usage(place).free + there
    words = f"{_gb(needed)} for checkpoints and the result, of {_gb(free)} free in {place}"
    if needed > free:
        raise RecipeError(
            f"Expected room on the disk: {words}. Keep fewer (--save_total_limit 1), save adapters "
            "(--adapt lora), or take another --output_dir."
        )
    return words


def device_room(settings: Settings) -> float | None:
    """The bytes of the device, or of this computer; None where nobody tells."""
    if not settings.use_cpu and torch.cuda.is_available():
        return float(torch.cuda.get_device_properties(settings.local_process_index).total_memory)
    if hasattr(os, "sysconf") and settings.use_cpu:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return None


def memory_words(parts: dict[str, float], room: float | None) -> str:
    """The estimate as a line; where it is more than there is, what to lower."""
    whole = sum(parts.values())
    named = ", ".join(f"{name} {_gb(size)}" for name, size in parts.items() if size >= 0.05 * GB)
    words = f"about {_gb(whole)} on each device" + (f" ({named})" if named else "")
    if room is None:
        return words
    if whole <= room:
        return f"{words}, of {_gb(room)}"
    return (
        f"{words}, but it has {_gb(room)}: this will probably not fit. Lower rollouts_at_once, "
        "per_device_train_batch_size or max_pixels, keep gradient_checkpointing, or take --adapt qlora."
    )


def _gb(size: float) -> str:
    return f"{size / GB:.1f} GB" if size < 99.5 * GB else f"{size / GB:,.0f} GB"


def config_of(folder: Path) -> Any:
    """The shapes of a checkpoint, as it describes them."""
    return Qwen2_5_VLConfig.from_pretrained(folder, local_files_only=True)
