"""Look before eight GPUs are rented: a run's first rollouts and updates, with nothing learnt, and what is wrong with it.

    python -m training.preflight --config training/recipes/lora.yaml --train koniq.jsonl dq495k.jsonl
    accelerate launch --config_file training/accelerate/zero3.yaml -m training.preflight --config ...

It takes the flags of training.grpo, and these of its own:

    --prompts N        questions asked, all tasks alike (64)
    --rollouts N       replies to each (the run's num_generations)
    --audit_photos N   photos that the judge is tried with (16; 0: none)
    --keep FILE        write every reply with its rewards to a JSONL

Updates are real ones of the run's own trainer at a learning rate of zero, so seconds and memory are measured, the
optimiser's included, and no weight moves. Exit codes: 0 nothing alarming, 1 something is, 2 it cannot begin.
"""

import argparse
import json
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
import torch
import transformers
from accelerate.utils import broadcast_object_list, gather_object
from PIL import Image
from transformers import PrinterCallback, TrainerCallback
from transformers.trainer_utils import IntervalStrategy, SaveStrategy, SchedulerType

from qinsight.checkpoint import Checkpoint, Precision
from qinsight.engine import LocalEngine
from qinsight.errors import QInsightError
from qinsight.photos import load_photo
from qinsight.prompts import Order, Task
from qinsight.requests import Request
from qinsight.weights import Weights, load_processor
from training import grpo
from training.audit import Withstood, audit, replies
from training.fits import check_fit
from training.labels import Example, Rated, read_target
from training.recipe import Recipe, RecipeError, Settings, parse
from training.rewards import read_plainly, task_reward
from training.rollouts import Rollout, told
from training.symptoms import Finding, cause_of, of_labels, of_rollouts

FINE, ALARMED, REFUSED = 0, 1, 2
SHRUNK = 16  # times: from here on a photo is another one when the model sees it
LONG = 8  # times the usual prompt
GIGA = 2**30


@dataclass
class Seen:
    """What a preflight saw."""

    rollouts: list[Rollout] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    memory: float = 0.0
    withstood: list[Withstood] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)


def main(arguments: Sequence[str] | None = None) -> int:
    """Look at a run as its command line describes it; prints what was seen, and returns the exit code."""
    flags, rest = _flags(sys.argv[1:] if arguments is None else list(arguments))
    with tempfile.TemporaryDirectory() as scratch:
        if not any(one.split("=")[0] in ("--output_dir", "--output-dir") for one in rest):
            rest += ["--output_dir", scratch]
        try:
            recipe, settings = parse(rest)
            run = Run(recipe, settings)
            findings, seen = _look(run, flags, rest, Path(scratch))
        except QInsightError as error:
            findings, seen = [cause_of(str(error))], None
    first = int(os.environ.get("RANK", "0")) == 0
    if first and seen:
        print("\n".join(seen.lines))
    if first:
        print(_verdict(findings), flush=True)
    if any(one.alarm for one in findings):
        return ALARMED if seen else REFUSED
    return FINE


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


def _flags(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    if {"-h", "--help"} & set(arguments):
        print(__doc__)
        raise SystemExit(0)
    parser = argparse.ArgumentParser(prog="python -m training.preflight", allow_abbrev=False, add_help=False)
    add = parser.add_argument
    add("--prompts", type=int, default=64)
    add("--rollouts", type=int)
    add("--audit_photos", "--audit-photos", type=int, default=16)
    add("--keep", type=Path)
    flags, rest = parser.parse_known_args(arguments)
    if flags.prompts < 1 or flags.audit_photos < 0:
        parser.error("expected --prompts of 1 or more and --audit_photos of 0 or more")
    return flags, rest


def _look(
    run: Run, flags: argparse.Namespace, words: list[str], scratch: Path
) -> tuple[list[Finding], Seen | None]:
    """Everything in the order of what it costs: data, checkpoint, a few updates, the judge."""
    train, _ = grpo.read_data(run.recipe)
    findings = of_labels(train)
    checkpoint = grpo.find(run.recipe)
    findings += _of_checkpoint(run, checkpoint, train)
    sample = drawn(train, max(flags.prompts, 1), run.settings.seed)
    small = _scaled(run, words, flags, len(sample))
    updates = max(1, len(sample) // small.prompts)
    seen = Seen()
    try:
        trainer = _rehearse(small, sample, updates, seen, scratch)
    except (RuntimeError, KeyError, ValueError, TypeError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise RecipeError(f"The first update does not fit into the GPU's memory: {error}") from error
        raise RecipeError(
            f"The weights or the recipe do not fit config.json or each other: {error}"
        ) from error
    findings += of_rollouts(seen.rollouts, str(run.recipe.layout), run.settings.max_completion_length or 0)
    if flags.audit_photos and not trainer.is_deepspeed_enabled and not trainer.is_fsdp_enabled:
        findings += _try_judge(run, trainer, checkpoint, train, flags.audit_photos, seen)
    seen.lines = [*told(seen.rollouts), *_costs(run, small, len(train), seen), *_judge_lines(seen)]
    if flags.keep and trainer.accelerator.is_main_process:
        _keep(flags.keep, seen.rollouts)
    return _same_everywhere(findings), seen


def drawn(examples: Sequence[Example], number: int, seed: int) -> list[Example]:
    """At random, every task equally often where there are enough of it."""
    rng = np.random.default_rng(seed)
    shuffled = [examples[int(place)] for place in rng.permutation(len(examples))]
    by_task = [[one for one in shuffled if one.task is task] for task in Task]
    found: list[Example] = []
    for place in range(max(map(len, by_task), default=0)):
        found += [mine[place] for mine in by_task if place < len(mine)]
    return found[:number]


# --- before anything is loaded ----------------------------------------------------------------------------


def _of_checkpoint(run: Run, checkpoint: Checkpoint, train: list[Example]) -> list[Finding]:
    recipe = run.recipe
    found = []
    says = checkpoint.folder / "qinsight.json"
    if (
        says.exists()
        and "order" in json.loads(says.read_text(encoding="utf-8"))
        and checkpoint.order is not recipe.order
    ):
        found.append(
            Finding(
                "order of photo and question",
                f"{checkpoint.name} was trained with order: {checkpoint.order}, the recipe asks with {recipe.order}.",
            )
        )
    plain = load_processor(checkpoint.folder)
    for one in check_fit(recipe, run.settings, checkpoint, plain, train):
        if one.longest > LONG * one.median and one.longest - one.median > 512:
            words = f'the prompt of "{one.longest_id}" takes {one.longest} tokens, the usual one of {one.kind} {one.median}: its photo alone decides the memory that is needed. Lower max_pixels, or leave it out.'
            found.append(Finding("photo too large", words))
    return found + _of_sizes(recipe, train)


def _of_sizes(recipe: Recipe, train: list[Example]) -> list[Finding]:
    worst: tuple[float, Path] | None = None
    photos = list(dict.fromkeys(photo for one in train for photo in one.photos))
    shrunk = 0
    for photo in photos:
        try:
            with Image.open(photo) as opened:
                times = opened.width * opened.height / recipe.max_pixels
        except (OSError, Image.DecompressionBombError):  # HEIC and RAW, which Pillow does not know
            continue
        shrunk += times >= SHRUNK
        worst = max(worst or (0.0, photo), (times, photo))
    if not shrunk or worst is None:
        return []
    words = f"{shrunk} of {len(photos)} photos have {SHRUNK} times as many pixels as max_pixels = {recipe.max_pixels} or more, such as {worst[1]} ({worst[0]:.0f} times): noise and compression vanish when they are shrunk. Raise max_pixels, or train on smaller photos."
    return [Finding("photo too large", words)]


# --- a few updates ----------------------------------------------------------------------------------------


def _scaled(run: Run, words: list[str], flags: argparse.Namespace, examples: int) -> Run:
    """The run once more, with as many rollouts as asked for, and no larger an update than there are questions."""
    rollouts = flags.rollouts or run.settings.num_generations or 1
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


def _rehearse(run: Run, sample: list[Example], updates: int, seen: Seen, scratch: Path) -> Any:
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
    trainer.remove_callback(PrinterCallback)
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
    import resource

    return float(
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    )


def _costs(run: Run, small: Run, examples: int, seen: Seen) -> list[str]:
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


# --- the judge --------------------------------------------------------------------------------------------


def _try_judge(
    run: Run, trainer: Any, checkpoint: Checkpoint, train: list[Example], number: int, seen: Seen
) -> list[Finding]:
    """Its ratings of photos made worse, and its answers with photo and question the other way round."""
    if not trainer.accelerator.is_main_process:
        return []
    asked = drawn([one for one in train if len(one.photos) == 1], number, run.settings.seed)
    if not asked:
        return []
    engines = {order: _engine(run, trainer, checkpoint, order) for order in Order}
    training = trainer.model.training
    trainer.model.eval()
    photos = [load_photo(one.photos[0]) for one in asked]
    if any(one.task is Task.SCORE for one in train):
        best = sorted(train, key=_goodness, reverse=True)[:number]
        fine = [load_photo(one.photos[0]) for one in best if len(one.photos) == 1]
        seen.withstood = audit(engines[run.recipe.order], fine, run.recipe.max_pixels)
    earned = {}
    for order, engine in engines.items():
        requests = [Request(one.task, (photo,)) for one, photo in zip(asked, photos, strict=True)]
        said = replies(engine, requests, run.recipe.max_pixels)
        earned[order] = [
            task_reward(one.target, read_plainly(one.task, text))
            for one, text in zip(asked, said, strict=True)
        ]
    trainer.model.train(training)
    return _of_orders(run.recipe.order, earned) + _of_judge(seen.withstood)


def _goodness(example: Example) -> float:
    """The opinion of one photo; one that is bad already can hardly be made worse."""
    return example.target.mos if isinstance(example.target, Rated) else 0.0


def _of_orders(asked: Order, earned: dict[Order, list[float]]) -> list[Finding]:
    other = next(order for order in Order if order is not asked)
    here, there = fmean(earned[asked]), fmean(earned[other])
    better = sum(b > a for a, b in zip(earned[asked], earned[other], strict=True))
    worse = sum(b < a for a, b in zip(earned[asked], earned[other], strict=True))
    if there - here < 0.15 or better < 2 * worse + 4:
        return []
    return [
        Finding(
            "order of photo and question",
            f"asked with order: {other} the same questions earn {there:.2f} instead of {here:.2f}: the checkpoint was trained that way.",
        )
    ]


def _of_judge(withstood: Sequence[Withstood]) -> list[Finding]:
    """A judge that is fooled is said, and no alarm: what is trained here may be the cure."""
    return [
        Finding(
            "judge",
            f"{one}: a model that is trained against these ratings would learn to do this.",
            alarm=False,
        )
        for one in withstood
        if one.share > 0.25
    ]


def _engine(run: Run, trainer: Any, checkpoint: Checkpoint, order: Order) -> LocalEngine:
    plain = load_processor(checkpoint.folder)
    model = trainer.accelerator.unwrap_model(trainer.model)
    model = model.get_base_model() if trainer.is_peft else model
    about = replace(checkpoint, tasks=frozenset(Task), order=order, max_pixels=run.recipe.max_pixels)
    return LocalEngine.around(
        Weights(
            checkpoint=about,
            model=model,
            tokenizer=plain.tokenizer,
            image_processor=plain.image_processor,
            chat_template=plain.chat_template,
            device=next(model.parameters()).device,
            precision=Precision.FP32 if model.dtype == torch.float32 else Precision.BF16,
        )
    )


def _judge_lines(seen: Seen) -> list[str]:
    return [f"Judge      {one}" for one in seen.withstood]


# --- what is said -----------------------------------------------------------------------------------------


def _verdict(findings: Sequence[Finding]) -> str:
    alarms = sum(one.alarm for one in findings)
    lines = [str(one) for one in sorted(findings, key=lambda one: not one.alarm)]
    return "\n".join([*lines, f"Preflight: {alarms} alarms." if alarms else "Preflight: nothing alarming."])


def _same_everywhere(findings: list[Finding]) -> list[Finding]:
    """The first process's findings, so that all end alike."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return findings
    shared = [findings]
    broadcast_object_list(shared)
    return shared[0]


def _keep(file: Path, rollouts: Sequence[Rollout]) -> None:
    with open(file, "w", encoding="utf-8") as out:
        for one in rollouts:
            line = {
                "id": one.id,
                "task": str(one.task),
                "text": one.text,
                "tokens": one.tokens,
                "cut": one.cut,
                **one.rewards,
            }
            out.write(json.dumps(line, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    sys.exit(main())
