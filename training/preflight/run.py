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
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from accelerate.utils import broadcast_object_list
from PIL import Image

from qinsight.engines.checkpoint import Checkpoint
from qinsight.engines.weights import load_processor
from qinsight.errors import QInsightError
from training.data.examples import Example
from training.grpo import run as grpo
from training.grpo.fits import check_fit
from training.grpo.recipe import Recipe, RecipeError, parse
from training.preflight.judge import try_judge
from training.preflight.rehearsal import Run, Seen, costs, drawn, rehearse, scaled
from training.preflight.rollouts import Rollout, told
from training.preflight.symptoms import Finding, cause_of, of_labels, of_rollouts

FINE, ALARMED, REFUSED = 0, 1, 2
SHRUNK = 16  # times: from here on a photo is another one when the model sees it
LONG = 8  # times the usual prompt


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
    small = scaled(run, words, flags.rollouts, len(sample))
    updates = max(1, len(sample) // small.prompts)
    seen = Seen()
    try:
        trainer = rehearse(small, sample, updates, seen, scratch)
    except (RuntimeError, KeyError, ValueError, TypeError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise RecipeError(f"The first update does not fit into the GPU's memory: {error}") from error
        raise RecipeError(
            f"The weights or the recipe do not fit config.json or each other: {error}"
        ) from error
    findings += of_rollouts(seen.rollouts, str(run.recipe.layout), run.settings.max_completion_length or 0)
    if flags.audit_photos and not trainer.is_deepspeed_enabled and not trainer.is_fsdp_enabled:
        findings += try_judge(run, trainer, checkpoint, train, flags.audit_photos, seen)
    seen.lines = [
        *told(seen.rollouts),
        *costs(run, small, len(train), seen),
        *(f"Judge      {one}" for one in seen.withstood),
    ]
    if flags.keep and trainer.accelerator.is_main_process:
        _keep(flags.keep, seen.rollouts)
    return _same_everywhere(findings), seen


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
