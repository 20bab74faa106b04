"""A run that goes on is the same run: what it is made of is written into its folder, and compared.

Everything that is not named in `MAY_CHANGE` is compared, a setting that nobody here has heard of too.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import fields
from enum import Enum
from pathlib import Path
from typing import Any

from training.data.examples import Example, as_json

WATCHED = "what is printed, drawn or written on the way; nothing of it reaches the weights"
SAVED = "when and where checkpoints go; the run between them is the same"
MEASURED = "measured on other photos, greedily, with a random state of its own"
LOADED = "how rows and weights reach the device; the same rows in the same order"
NAMED = "the names of the result, and where it is sent"
SPEED = "the same numbers, up to rounding, in another time or memory"
INSTEAD = "says the same as another setting, which is compared, or as the data, whose digest is"

MAY_CHANGE: dict[str, str] = {
    **dict.fromkeys(("logging_steps", "logging_strategy", "logging_first_step", "logging_dir"), WATCHED),
    **dict.fromkeys(
        ("logging_nan_inf_filter", "log_on_each_node", "log_level", "log_level_replica"), WATCHED
    ),
    **dict.fromkeys(("log_completions", "log_multimodal", "log_unique_prompts"), WATCHED),
    **dict.fromkeys(("num_completions_to_print", "log_completions_hub_repo", "disable_tqdm"), WATCHED),
    **dict.fromkeys(("report_to", "run_name", "project", "trackio_space_id", "trackio_bucket_id"), WATCHED),
    **dict.fromkeys(("trackio_static_space_id", "include_num_input_tokens_seen", "debug"), WATCHED),
    **dict.fromkeys(("skip_memory_metrics", "preflight"), WATCHED),
    **dict.fromkeys(("output_dir", "resume", "save_strategy", "save_steps", "save_total_limit"), SAVED),
    **dict.fromkeys(("save_on_each_node", "enable_jit_checkpoint", "resume_from_checkpoint"), SAVED),
    **dict.fromkeys(("restore_callback_states_from_checkpoint", "keep_best"), SAVED),
    **dict.fromkeys(("test", "eval_photos", "eval_strategy", "eval_steps", "eval_delay"), MEASURED),
    **dict.fromkeys(("eval_on_start", "per_device_eval_batch_size", "num_generations_eval"), MEASURED),
    **dict.fromkeys(("bf16_full_eval", "fp16_full_eval", "eval_accumulation_steps", "do_eval"), MEASURED),
    **dict.fromkeys(("eval_do_concat_batches", "eval_use_gather_object", "batch_eval_metrics"), MEASURED),
    **dict.fromkeys(("prediction_loss_only", "include_for_metrics", "do_predict"), MEASURED),
    **dict.fromkeys(("metric_for_best_model", "greater_is_better"), MEASURED),
    **dict.fromkeys(("dataloader_num_workers", "dataloader_pin_memory"), LOADED),
    **dict.fromkeys(("dataloader_persistent_workers", "dataloader_prefetch_factor"), LOADED),
    **dict.fromkeys(("dataloader_multiprocessing_context", "dataloader_in_order", "local_rank"), LOADED),
    **dict.fromkeys(("ddp_timeout", "ddp_backend", "ddp_bucket_cap_mb", "ds3_gather_for_generation"), LOADED),
    **dict.fromkeys(("vllm_server_base_url", "vllm_server_host", "vllm_server_port"), LOADED),
    **dict.fromkeys(("vllm_server_timeout", "vllm_group_port", "vllm_gpu_memory_utilization"), LOADED),
    **dict.fromkeys(("vllm_enable_sleep_mode", "vllm_tensor_parallel_size"), LOADED),
    **dict.fromkeys(("name", "about", "push_to_hub", "hub_token", "hub_private_repo"), NAMED),
    **dict.fromkeys(("hub_model_id", "hub_strategy", "hub_always_push", "hub_revision"), NAMED),
    **dict.fromkeys(("gradient_checkpointing", "gradient_checkpointing_kwargs"), SPEED),
    **dict.fromkeys(("activation_checkpointing", "activation_checkpointing_kwargs"), SPEED),
    **dict.fromkeys(("looks_memory", "torch_empty_cache_steps"), SPEED),
    **dict.fromkeys(("train", "photos", "do_train"), INSTEAD),
}


def told(recipe: Any, settings: Any) -> dict[str, Any]:
    """All of the recipe and the settings that decides the result of a run, as it is written beside it."""
    named = [(field.name, source) for source in (recipe, settings) for field in fields(source)]
    chosen = {name: plain(getattr(source, name, None)) for name, source in named if name not in MAY_CHANGE}
    return {**chosen, "processes": settings.world_size}


def data_digests(
    files: Sequence[tuple[Path, Sequence[Example]]], photos: dict[Path, str]
) -> list[dict[str, Any]]:
    """What each file trains on: its name, how many examples, and a digest of labels and of photos, in order."""
    return [
        {"file": file.name, "examples": len(examples), "digest": _digest(file, examples, photos)}
        for file, examples in files
    ]


def _digest(file: Path, examples: Sequence[Example], photos: dict[Path, str]) -> str:
    seen = hashlib.sha256()
    for one in examples:
        row = {**as_json(one, file.parent), "photos": [photos.get(photo, "") for photo in one.photos]}
        seen.update(json.dumps(row, sort_keys=True).encode())
    return seen.hexdigest()[:16]


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What was another in the run that stands there, each with its name; where it was not noted, nothing."""
    now = json.loads(json.dumps(now))
    moved = {"data"} | (
        {"model"} if before.get("weights") and before["weights"] == now.get("weights") else set()
    )
    found = [
        f"{name} was {before[name]!r} and is {now[name]!r}"
        for name in sorted((before.keys() & now.keys()) - moved)
        if before[name] != now[name]
    ]
    return found + _other_data(before.get("data"), now.get("data"))


def not_noted(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What cannot be compared, because the run was begun by an older version, which noted less."""
    return sorted(now.keys() - before.keys())


def _other_data(before: list[dict[str, Any]] | None, now: list[dict[str, Any]] | None) -> list[str]:
    if before is None or now is None or [one["digest"] for one in before] == [one["digest"] for one in now]:
        return []
    words = [
        " + ".join(f"{one['file']} ({one['examples']} examples, {one['digest']})" for one in data)
        for data in (before, now)
    ]
    return [f"the data of --train was {words[0]} and is {words[1]}"]


def plain(value: Any) -> Any:
    """A setting as JSON has it, the same in every process and on every day."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, dict):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple | set):
        return [plain(one) for one in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return plain(vars(value)) if hasattr(value, "__dict__") else str(value)
