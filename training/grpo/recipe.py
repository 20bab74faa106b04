"""What a training run is made of, checked before anything is loaded.

The defaults are the paper's run (section 4.1): `python -m training.grpo --train FILE --output_dir DIR` needs no
recipe. A recipe is a YAML of the same names, given with `--config`; a flag on the command line overrides it.
Beside the names below, every setting of TRL's `GRPOConfig` can be set.
"""

import argparse
import ast
import importlib.util
import json
import os
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import torch
import yaml
from trl import GRPOConfig, TrlParser

from qinsight.errors import QInsightError
from qinsight.photos.view import MIN_PIXELS
from qinsight.prompts import Order
from training.command_line import did_you_mean, explained, flags_of, short_help, unknown_among, unknown_flags
from training.evaluate.best import FALLING, RISING
from training.grpo.resume import told
from training.rewards import Accuracy, Layout, ScoreReward

__all__ = ["Adapt", "Recipe", "RecipeError", "Settings", "parse", "told", "under_deepspeed"]

BASE = "Qwen/Qwen2.5-VL-7B-Instruct"
KONIQ_PIXELS = 504 * 392  # what 512 x 384, the smaller size of KonIQ-10k, becomes in multiples of 28


class RecipeError(QInsightError):
    """A run that cannot be started as it is described: where it says so, what was expected, what came."""


class NoSignal(StrEnum):
    """What becomes of a group whose rollouts all earn the same for being right."""

    KEEP = "keep"  # it is learnt from as the loss has it, which may be a pull of the format alone
    FILTER = "filter"  # left out of the update, which is the mean of the others
    RESAMPLE = "resample"  # another question is asked in its place, twice at most


class Adapt(StrEnum):
    """Which weights learn."""

    FULL = "full"
    LORA = "lora"
    QLORA = "qlora"


@dataclass
class Recipe:
    """Which model learns from which data, and what earns a reward."""

    model: str = field(default=BASE, metadata={"help": "a folder, a hub id, or the word preview"})
    train: list[str] = field(
        default_factory=list, metadata={"help": "data files to train on (training.data)"}
    )
    test: list[str] = field(default_factory=list, metadata={"help": "data files for the greedy evaluation"})
    photos: str | None = field(
        default=None,
        metadata={"help": "folder that the data files' paths are below; each file's own if left out"},
    )
    adapt: Adapt = field(default=Adapt.FULL, metadata={"help": "full, lora, or qlora (4-bit weights)"})
    train_vision: bool | None = field(
        default=None, metadata={"help": "let the vision tower learn; by default with full, not with adapters"}
    )
    lora_r: int = field(default=64, metadata={"help": "rank of the adapters"})
    lora_alpha: int = field(default=128, metadata={"help": "their scale is lora_alpha / lora_r"})
    lora_dropout: float = field(default=0.0, metadata={"help": "share of their inputs dropped"})
    dtype: str = field(
        default="auto",
        metadata={
            "help": "auto, float32 or bfloat16: how weights are held. A full fine-tune needs float32, or DeepSpeed, "
            "which keeps masters in it"
        },
    )
    layout: Layout = field(default=Layout.STRICT, metadata={"help": "of replies that earn the format reward"})
    score_reward: ScoreReward = field(
        default=ScoreReward.THRESHOLD,
        metadata={
            "help": "threshold (Q-Insight), gaussian (graded, after OmniQuality-R) or ranking (VisualQuality-R1)"
        },
    )
    accuracy: Accuracy = field(
        default=Accuracy.PUBLISHED,
        metadata={
            "help": "published: paid whatever the layout; clean: only for replies read without mending"
        },
    )
    order: Order = field(default=Order.PHOTO_FIRST, metadata={"help": "of question and photo"})
    max_pixels: int = field(default=KONIQ_PIXELS, metadata={"help": "larger photos are shrunk to as many"})
    name: str | None = field(default=None, metadata={"help": "of the result, in its qinsight.json"})
    about: str | None = field(
        default=None, metadata={"help": "a sentence on the result, in its qinsight.json"}
    )
    eval_photos: int = field(
        default=512, metadata={"help": "questions of each evaluation on the way, at most"}
    )

    def __post_init__(self) -> None:
        self.train, self.test = _listed(self.train), _listed(self.test)
        self.adapt, self.layout = Adapt(self.adapt), Layout(self.layout)
        self.score_reward, self.order = ScoreReward(self.score_reward), Order(self.order)
        self.accuracy = Accuracy(self.accuracy)
        if self.train_vision is None:
            self.train_vision = self.adapt is Adapt.FULL
        if self.dtype not in ("auto", "float32", "bfloat16"):
            raise RecipeError(f"Expected dtype as auto, float32 or bfloat16; got {self.dtype}.")
        if self.max_pixels < MIN_PIXELS:
            raise RecipeError(f"Expected max_pixels of at least {MIN_PIXELS}; got {self.max_pixels}.")
        if not self.train:
            raise RecipeError(
                "Expected at least one data file after --train; `python -m training.data` writes them."
            )


@dataclass
class Settings(GRPOConfig):
    """TRL's settings with the values of the paper and its published code where those differ from TRL's."""

    output_dir: str | None = field(
        default=None, metadata={"help": "folder of the run; a run that is there goes on"}
    )
    total_batch: int = field(
        default=128,
        metadata={
            "help": "completions of one update over all processes; decides gradient_accumulation_steps"
        },
    )
    gradient_accumulation_steps: int = field(default=0, metadata={"help": "0: as total_batch asks for"})
    learning_rate: float = field(default=1e-6, metadata={"help": "at the start; falls linearly to 1e-9"})
    lr_scheduler_type: str = field(default="polynomial", metadata={"help": "name of a transformers schedule"})
    lr_scheduler_kwargs: dict[str, Any] | str | None = field(
        default_factory=lambda: {"lr_end": 1e-9, "power": 1.0}, metadata={"help": "of the schedule"}
    )
    num_train_epochs: float = field(default=10.0, metadata={"help": "passes over the data"})
    per_device_train_batch_size: int = field(default=8, metadata={"help": "completions of one forward pass"})
    num_generations: int | None = field(default=8, metadata={"help": "rollouts of each question"})
    max_completion_length: int | None = field(default=256, metadata={"help": "tokens of a rollout"})
    beta: float = field(default=1e-3, metadata={"help": "weight of the KL term"})
    use_bias_correction_kl: bool = field(default=False, metadata={"help": "False: the KL of the paper"})
    loss_type: str = field(default="grpo", metadata={"help": "grpo: mean over each reply, then over replies"})
    top_k: int = field(default=50, metadata={"help": "as the published code samples; 0 with vLLM"})
    logging_steps: float = field(default=1, metadata={"help": "updates between two lines of the log"})
    save_strategy: str = field(default="steps", metadata={"help": "steps, epoch or no"})
    save_steps: float = field(default=50, metadata={"help": "updates between two checkpoints"})
    save_total_limit: int | None = field(default=2, metadata={"help": "checkpoints that are kept"})
    eval_steps: float | None = field(
        default=None, metadata={"help": "updates between two evaluations on --test"}
    )
    eval_strategy: str | None = field(
        default=None, metadata={"help": "no: none of the evaluations that the recipe names in eval_steps"}
    )
    no_signal: NoSignal = field(
        default=NoSignal.KEEP,
        metadata={"help": "groups whose rollouts are all as right: keep, filter or resample"},
    )
    rollouts_at_once: int = field(
        default=0, metadata={"help": "replies generated side by side on a device; 0: all of a batch"}
    )
    keep_best: str | None = field(
        default=None,
        metadata={
            "help": "a number of the evaluation, such as score/srcc: its best weights are kept in best/"
        },
    )
    looks_memory: float = field(
        default=2.0, metadata={"help": "GiB on a device for what the vision tower saw in this update"}
    )
    log_multimodal: bool = field(default=False, metadata={"help": "photos in the tables of completions"})
    num_completions_to_print: int | None = field(default=2, metadata={"help": "samples in the terminal"})
    disable_tqdm: bool | None = field(default=None, metadata={"help": "no bars; the lines stay"})
    bf16: bool | None = field(default=None, metadata={"help": "compute in bfloat16; by default on a GPU"})
    resume: bool = field(
        default=True, metadata={"help": "go on with the run in output_dir; refuse one if False"}
    )

    def __post_init__(self) -> None:
        if not self.output_dir:
            raise RecipeError("Expected a folder for the run after --output_dir.")
        _numbers_of_words(self.lr_scheduler_kwargs)
        if self.lr_scheduler_type != "polynomial" and self.lr_scheduler_kwargs == {
            "lr_end": 1e-9,
            "power": 1.0,
        }:
            self.lr_scheduler_kwargs = None
        if not torch.cuda.is_available() and not torch.backends.mps.is_available():
            self.use_cpu, self.bf16 = True, bool(self.bf16)
        if self.use_vllm and self.top_k == 50:
            self.top_k = 0  # a truncated distribution biases the correction for vLLM's own probabilities
        if self.eval_strategy is None:
            self.eval_strategy = "no" if self.eval_steps is None else "steps"
        self.no_signal = NoSignal(self.no_signal)
        if self.disable_tqdm is None:
            self.disable_tqdm = False  # transformers hides bars with its warnings
        self._share_the_batch()
        super().__post_init__()
        if self.resume_from_checkpoint is not None:
            raise RecipeError(
                "Expected no resume_from_checkpoint: a run goes on by itself when its command is given again."
            )

    def _share_the_batch(self) -> None:
        rollouts = self.num_generations or 0
        processes = int(os.environ.get("WORLD_SIZE", "1"))
        together = self.per_device_train_batch_size * processes
        if not self.gradient_accumulation_steps:
            if self.total_batch % together:
                raise RecipeError(
                    f"Expected total_batch as a multiple of per_device_train_batch_size x processes = "
                    f"{self.per_device_train_batch_size} x {processes} = {together}; got {self.total_batch}."
                )
            self.gradient_accumulation_steps = self.total_batch // together
        self.total_batch = together * self.gradient_accumulation_steps
        if rollouts < 2 or self.total_batch % rollouts:
            raise RecipeError(
                f"Expected a batch that holds whole groups of num_generations = {rollouts} rollouts (2 or more); "
                f"got {self.total_batch} completions = {self.per_device_train_batch_size} per device x {processes} "
                f"processes x {self.gradient_accumulation_steps} accumulation steps."
            )


def parse(arguments: list[str]) -> tuple[Recipe, Settings]:
    """The run that a command line describes, with its recipe; `RecipeError` names file and line of a mistake."""
    parser = TrlParser(
        (Recipe, Settings),
        prog="python -m training.grpo",
        description=__doc__.split("\n\n")[0],
        epilog="--config FILE reads a recipe; see training/recipes and training/README.md",
        allow_abbrev=False,
        exit_on_error=False,
    )
    if {"-h", "--help"} & set(arguments):
        print(short_help((Recipe, Settings), parser.prog, parser.description or ""))
        raise SystemExit(0)
    arguments = ["--help" if one in ("--help_all", "--help-all") else one for one in arguments]
    arguments = [
        part for one in arguments for part in (one.split("=", 1) if one.startswith("--config=") else [one])
    ]
    if unknown := unknown_among(arguments, ["--config", *flags_of(parser)]):
        raise RecipeError(unknown)  # before what a mistyped flag left out is missed
    if "--config" in arguments:
        place = arguments.index("--config") + 1
        if place == len(arguments):
            raise RecipeError(
                "Expected a recipe after --config, such as training/recipes/score_degradation.yaml."
            )
        _check_yaml(Path(arguments[place]), parser)
    try:
        with warnings.catch_warnings():  # names of TRL's settings that transformers will rename
            warnings.simplefilter("ignore", FutureWarning)
            recipe, settings = parser.parse_args_and_config(arguments)
    except (ValueError, argparse.ArgumentError) as error:  # a flag nobody knows, a batch that TRL refuses
        raise RecipeError(_explained(error, parser)) from error
    check(recipe, settings)
    return recipe, settings


def check(recipe: Recipe, settings: Settings) -> None:
    """Refuse what would run and silently learn nothing, or something else."""
    if recipe.adapt is Adapt.FULL and recipe.dtype == "bfloat16" and not under_deepspeed(settings):
        raise RecipeError(
            "Expected dtype float32 for a full fine-tune without DeepSpeed: steps of 1e-6 round to nothing in bfloat16 "
            "(98 % of the weights never move). The computation is in bfloat16 anyway (bf16: true)."
        )
    if recipe.adapt is Adapt.FULL and settings.load_best_model_at_end:
        raise RecipeError(
            "Expected load_best_model_at_end false for a full fine-tune: transformers 5.23 would load 1 of all "
            "weights (huggingface/transformers#40187). Evaluate the checkpoints and take the best."
        )
    if settings.save_only_model:
        raise RecipeError("Expected save_only_model false: a run saved without its optimiser cannot go on.")
    if recipe.score_reward is ScoreReward.RANKING:
        local = settings.per_device_train_batch_size * (settings.steps_per_generation or 1)
        rollouts = settings.num_generations or 0
        if local % rollouts or local // rollouts < 2:
            raise RecipeError(
                f"Expected at least two whole groups of {rollouts} rollouts on each process for the ranking reward; "
                f"got {local} completions = per_device_train_batch_size x steps_per_generation."
            )
    every = (settings.steps_per_generation or 1) * settings.num_iterations
    updates = max(1, every // settings.gradient_accumulation_steps)
    if settings.save_strategy == "steps" and settings.save_steps >= 1 and settings.save_steps % updates:
        raise RecipeError(
            f"Expected save_steps as a multiple of {updates}, the updates that share one generation; got "
            f"{settings.save_steps:g}. A run resumed between them would skip rollouts."
        )
    _check_generation(settings)
    _check_best(recipe, settings)
    _check_sharing(recipe, settings)
    for name in settings.report_to:
        if name in ("tensorboard", "trackio", "wandb") and importlib.util.find_spec(name) is None:
            raise RecipeError(f"Expected {name} to be installed for --report_to {name}: pip install {name}")
    if torch.cuda.device_count() > 1 and "LOCAL_RANK" not in os.environ:
        raise RecipeError(
            f"Expected one process per GPU; this one sees {torch.cuda.device_count()}. Start it with "
            "`accelerate launch --config_file training/accelerate/zero3.yaml -m training.grpo ...`, "
            "or set CUDA_VISIBLE_DEVICES=0."
        )


def _check_generation(settings: Settings) -> None:
    rollouts = settings.num_generations or 1
    if settings.rollouts_at_once % rollouts:
        raise RecipeError(
            f"Expected rollouts_at_once as a multiple of num_generations = {rollouts}, so that a photo is looked at "
            f"once to speak about it; got {settings.rollouts_at_once}."
        )
    whole = settings.per_device_train_batch_size * (settings.steps_per_generation or 1) % rollouts == 0
    if settings.no_signal is not NoSignal.KEEP and not whole:
        raise RecipeError(
            f"Expected whole groups of {rollouts} rollouts on each process for --no_signal {settings.no_signal}; got "
            f"{settings.per_device_train_batch_size} per device x {settings.steps_per_generation} passes."
        )
    if settings.no_signal is not NoSignal.KEEP and settings.loss_type == "bnpo":
        raise RecipeError(
            f"Expected another loss_type than bnpo for --no_signal {settings.no_signal}: it divides by the tokens of "
            "each pass, of which there may be none."
        )
    if settings.enable_jit_checkpoint:
        raise RecipeError("Expected enable_jit_checkpoint false: SIGTERM saves and stops a run anyway.")


def _check_best(recipe: Recipe, settings: Settings) -> None:
    if settings.keep_best is None:
        return
    known = sorted(FALLING | RISING)
    if settings.keep_best not in known:
        hint = did_you_mean(settings.keep_best, known)
        raise RecipeError(
            f"Expected keep_best as one of {', '.join(known)}; got {settings.keep_best!r}{hint}"
        )
    if not recipe.test or settings.eval_strategy == "no":
        raise RecipeError(
            f"Expected --test FILE and --eval_steps N for --keep_best {settings.keep_best}: the best is chosen by "
            "an evaluation on the way."
        )


def _check_sharing(recipe: Recipe, settings: Settings) -> None:
    """What cannot work where the weights are shared out over the processes."""
    if under_fsdp() and not settings.use_vllm:
        raise RecipeError(
            "Expected --use_vllm true under FSDP: `generate` would gather every layer for every token, and processes "
            "whose replies end at different tokens would wait for each other for ever. Or take "
            "training/accelerate/zero3.yaml."
        )
    if under_fsdp() and (settings.eval_strategy != "no" or settings.eval_on_start):
        raise RecipeError(
            "Expected no --eval_steps and no --eval_on_start under FSDP: the processes would run different numbers "
            "of passes and wait for each other for ever. Evaluate the checkpoints: python -m training.evaluate "
            "--checkpoints DIR."
        )
    if recipe.adapt is Adapt.QLORA and (under_fsdp() or zero_stage(settings) == 3):
        raise RecipeError(
            "Expected 4-bit weights whole on every device; ZeRO-3 and FSDP cut them into pieces that bitsandbytes "
            "cannot read. Take training/accelerate/many_gpus.yaml, or --adapt lora."
        )
    if (
        zero_stage(settings) == 3
        and not settings.ds3_gather_for_generation
        and settings.eval_strategy != "no"
    ):
        raise RecipeError(
            "Expected ds3_gather_for_generation true with an evaluation on the way: without it each process gathers "
            "weights for every token, and processes with shorter replies would be waited for for ever."
        )


def under_deepspeed(settings: Settings) -> bool:
    return settings.deepspeed is not None or os.environ.get("ACCELERATE_USE_DEEPSPEED", "") == "true"


def zero_stage(settings: Settings) -> int:
    """How much DeepSpeed shares out: 3 is everything, 0 where it does nothing."""
    if not under_deepspeed(settings):
        return 0
    stage = _zero(settings).get("stage")
    return int(stage if stage is not None else os.environ.get("ACCELERATE_DEEPSPEED_ZERO_STAGE", "2"))


def zero_offload(settings: Settings) -> bool:
    """Whether DeepSpeed keeps what the optimiser remembers in the computer's memory."""
    if not under_deepspeed(settings):
        return False
    told = _zero(settings).get("offload_optimizer")
    place = told.get("device") if isinstance(told, dict) else None
    return (place or os.environ.get("ACCELERATE_DEEPSPEED_OFFLOAD_OPTIMIZER_DEVICE", "none")) != "none"


def _zero(settings: Settings) -> dict[str, Any]:
    """What the run's own DeepSpeed file says of it; accelerate tells the rest in the environment."""
    told = settings.deepspeed
    if isinstance(told, str):
        told = (
            json.loads(Path(told).read_text(encoding="utf-8")) if Path(told).is_file() else json.loads(told)
        )
    found = told.get("zero_optimization", {}) if isinstance(told, dict) else {}
    return found if isinstance(found, dict) else {}


def under_fsdp() -> bool:
    return os.environ.get("ACCELERATE_USE_FSDP", "") == "true"


def _explained(error: Exception, parser: TrlParser) -> str:
    """What was wrong with the command line, with the setting or the choice that was probably meant."""
    unused = re.search(r"not used by the HfArgumentParser: (\[.*\])", str(error))
    if unused:
        return unknown_flags(ast.literal_eval(unused[1]), flags_of(parser))
    return explained(str(error), parser)


def _check_yaml(file: Path, parser: TrlParser) -> None:
    """Every key a setting, every value of its kind; or `RecipeError` with the line."""
    try:
        text = file.read_text(encoding="utf-8")
        content = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RecipeError(f"Expected a readable YAML recipe at {file}: {error}") from error
    if not isinstance(content, dict):
        raise RecipeError(f"{file}:1: expected settings as `name: value`, got {type(content).__name__}.")
    known = {action.dest: action for action in parser._actions}
    lines = {key.value: key.start_mark.line + 1 for key, _ in yaml.compose(text).value}
    for name, value in content.items():
        place = f"{file}:{lines.get(name, 1)}"
        if name == "env":
            continue
        if name not in known:
            hint = did_you_mean(str(name), known)
            raise RecipeError(f"{place}: expected a setting of Recipe or GRPOConfig, got `{name}`{hint}")
        for one in _scalars(value):
            _check_value(place, name, one, known[name])


def _check_value(place: str, name: str, value: Any, action: Any) -> None:
    kind = action.type
    wanted = getattr(kind, "__name__", "")
    if value is None or kind is None or isinstance(value, dict) or wanted == "str":
        return
    if isinstance(value, bool) != (wanted == "string_to_bool") and wanted in (
        "string_to_bool",
        "int",
        "float",
    ):
        what = "true or false" if wanted == "string_to_bool" else f"a number ({wanted})"
        raise RecipeError(f"{place}: expected `{name}` as {what}, got {value!r}")
    try:
        read = kind(str(value)) if not isinstance(value, bool) else value
    except (ValueError, TypeError, KeyError, argparse.ArgumentTypeError) as error:
        raise RecipeError(f"{place}: expected `{name}` as {_kind(action)}, got {value!r}") from error
    if action.choices and read not in action.choices:
        raise RecipeError(f"{place}: expected `{name}` as {_kind(action)}, got {value!r}")


def _kind(action: Any) -> str:
    if action.choices:
        return "one of " + ", ".join(str(choice) for choice in action.choices)
    return getattr(action.type, "__name__", "another kind of value")


def _scalars(value: Any) -> Iterator[Any]:
    yield from value if isinstance(value, list) else [value]


def _listed(value: Any) -> list[str]:
    """A YAML scalar where a list is expected is a list of one."""
    return [value] if isinstance(value, str) else list(value)


def _numbers_of_words(found: dict[str, Any] | str | None) -> None:
    """YAML reads 1e-9 as a word; inside a dictionary nobody would make a number of it."""
    if isinstance(found, dict):
        for name, value in found.items():
            if isinstance(value, str):
                try:
                    found[name] = float(value)
                except ValueError:
                    continue
