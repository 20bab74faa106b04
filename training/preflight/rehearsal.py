"""A run's own trainer for a few updates at a learning rate of zero: what is sampled, earned, and spent on the way."""

import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psutil
import torch
from accelerate.utils import gather_object
from transformers import PrinterCallback, ProgressCallback, TrainerCallback
from transformers.trainer_utils import IntervalStrategy, SaveStrategy, SchedulerType

from qinsight.prompts import Task
from training.data.examples import Example, read_target
from training.grpo import run as grpo
from training.grpo.recipe import Recipe, Settings, parse
from training.preflight.audit import Withstood
from training.preflight.rollouts import Rollout

GIGA = 2**30


@dataclass
class Seen:
    """What a preflight saw."""

    rollouts: list[Rollout] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    memory: float = 0.0
    withstood: list[Withstood] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Run:
    """The run that shall follow."""

    recipe: Recipe
    settings: Settings

    @property
    def prompts(self) -> int:
        return self.settings.total_batch // (self.settings.num_generations or 1)

    def updates(self, examples: int) -> int:
        """How many updates it takes, as the trainer counts them."""
        if self.settings.max_steps > 0:
            return int(self.settings.max_steps)
        return int(examples // self.prompts * self.settings.num_train_epochs)


def drawn(examples: Sequence[Example], number: int, seed: int) -> list[Example]:
    """At random, every task equally often where there are enough of it."""
    rng = np.random.default_rng(seed)
    shuffled = [examples[int(place)] for place in rng.permutation(len(examples))]
    by_task = [[one for one in shuffled if one.task is task] for task in Task]
    found: list[Example] = []
    for place in range(max(map(len, by_task), default=0)):
        found += [mine[place] for mine in by_task if place < len(mine)]
    return found[:number]


def scaled(run: Run, words: list[str], rollouts: int | None, examples: int) -> Run:
    """The run once more, with as many rollouts as asked for, and no larger an update than there are questions."""
    rollouts = rollouts or run.settings.num_generations or 1
    prompts = min(run.prompts, examples)
    if rollouts == run.settings.num_generations and prompts == run.prompts:
        return Run(*parse(words))
    processes = max(1, run.settings.world_size)
    each = math.gcd(run.settings.per_device_train_batch_size, max(1, prompts * rollouts // processes))
    if each < rollouts and prompts * rollouts // processes >= rollouts:
        each = rollouts
    more = [
        "--num_generations",
        rollouts,
        "--per_device_train_batch_size",
        each,
        "--total_batch",
        prompts * rollouts,
        "--gradient_accumulation_steps",
        0,
    ]
    return Run(*parse([*words, *map(str, more)]))


class _Clock(TrainerCallback):
    """Seconds of every update, its rollouts included."""

    def __init__(self, seconds: list[float]) -> None:
        self.seconds, self.began = seconds, 0.0

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self.began = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.seconds.append(time.perf_counter() - self.began)


class _Bar(ProgressCallback):
    """The bar without the numbers, which are told in the end."""

    def on_log(self, *_: Any, **__: Any) -> None:
        return


def rehearse(run: Run, sample: list[Example], updates: int, seen: Seen, scratch: Path) -> Any:
    """The run's own trainer, for a few updates at a learning rate of zero; what it saw goes to `seen`."""
    settings = run.settings
    settings.learning_rate, settings.weight_decay, settings.warmup_steps = 0.0, 0.0, 0
    settings.lr_scheduler_type, settings.lr_scheduler_kwargs = SchedulerType.CONSTANT, {}
    settings.max_steps, settings.save_strategy = updates, SaveStrategy.NO
    settings.eval_strategy, settings.eval_on_start = IntervalStrategy.NO, False
    settings.report_to, settings.output_dir, settings.push_to_hub = [], str(scratch), False
    settings.log_completions, settings.logging_strategy = False, IntervalStrategy.NO
    trainer = grpo.build(run.recipe, settings, sample, [])
    mine: list[Rollout] = []
    trainer.reward_funcs = _watched(trainer, mine, settings.max_completion_length or 0)
    for loud in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(loud)
    if not settings.disable_tqdm:
        trainer.add_callback(_Bar())
    trainer.add_callback(_Clock(seen.seconds))
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    trainer.train()
    seen.rollouts = gather_object(mine)
    seen.memory = max(gather_object([_peak()]))
    return trainer


def _watched(trainer: Any, kept: list[Rollout], limit: int) -> list[Callable[..., Any]]:
    """The reward functions, which also write down what they were shown and what they paid."""
    ends = _ends(trainer)
    here: list[dict[str, float | None]] = []

    def watch(number: int, pays: Callable[..., Any]) -> Callable[..., Any]:
        def paid(*args: Any, **columns: Any) -> Any:
            earned = pays(*args, **columns)
            if number == 0:
                here[:] = [{} for _ in earned]
            for row, value in zip(here, earned, strict=True):
                row[pays.__name__] = value
            if number == len(trainer.reward_funcs) - 1:
                kept.extend(_rollouts(columns, here, limit, ends))
            return earned

        paid.__name__ = pays.__name__
        return paid

    return [watch(number, pays) for number, pays in enumerate(trainer.reward_funcs)]


def _rollouts(
    columns: dict[str, Any], earned: list[dict[str, float | None]], limit: int, ends: set[int]
) -> list[Rollout]:
    rows = zip(
        columns["id"],
        columns["task"],
        columns["target"],
        columns["completions"],
        columns["completion_ids"],
        earned,
        strict=True,
    )
    return [
        Rollout(
            id=name,
            task=Task(task),
            target=read_target(Task(task), json.loads(target)),
            text=said[0]["content"],
            tokens=len(ids),
            cut=len(ids) >= limit and int(ids[-1]) not in ends,
            rewards=dict(paid),
        )
        for name, task, target, said, ids, paid in rows
    ]


def _ends(trainer: Any) -> set[int]:
    """The tokens that end a reply."""
    ends = (
        trainer.model.generation_config.eos_token_id if hasattr(trainer.model, "generation_config") else None
    )
    tokenizer = trainer.processing_class.tokenizer
    found = ends if isinstance(ends, list) else [ends]
    return {int(one) for one in [*found, tokenizer.eos_token_id, tokenizer.pad_token_id] if one is not None}


def _peak() -> float:
    if torch.cuda.is_available():
        return float(torch.cuda.max_memory_allocated())
    try:
        import resource  # not on Windows
    except ImportError:
        return float(psutil.Process().memory_info().peak_wset)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(most * (1 if sys.platform == "darwin" else 1024))


def costs(run: Run, small: Run, examples: int, seen: Seen) -> list[str]:
    """Seconds and memory of an update, and hours of the run."""
    usual = median(seen.seconds[1:] or seen.seconds)  # the first warms everything up
    share = run.settings.total_batch / small.settings.total_batch
    updates = run.updates(examples)
    scaled = (
        ""
        if share == 1
        else f", measured on {small.settings.total_batch} completions and scaled to {run.settings.total_batch}"
    )
    kind = "GPU" if torch.cuda.is_available() else "process"
    return [
        f"Update     {usual * share:.1f} s{scaled} ({len(seen.seconds)} timed, rollouts included)",
        f"Memory     {seen.memory / GIGA:.2f} GiB at the peak of a {kind}, optimiser included",
        f"Run        {updates:,} updates, {updates * usual * share / 3600:.1f} hours at this rate",
    ]
