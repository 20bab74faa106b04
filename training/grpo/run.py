"""Train Q-Insight: GRPO on ratings, degradations and comparisons, from any Qwen2.5-VL checkpoint.

    python -m training.grpo --train data/train.jsonl --output_dir runs/first
    python -m training.grpo --config training/recipes/lora.yaml --train data/train.jsonl --output_dir runs/lora

With --preflight it first looks at the run (training/preflight/run.py), and begins it only where nothing is alarming.
The same command goes on where a killed run stood. What comes out is served at once by `python app.py --model`.
"""

import json
import os
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from transformers import Qwen2_5_VLForConditionalGeneration
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from qinsight.engines.checkpoint import Checkpoint, locate
from qinsight.engines.weights import load_processor, nf4_config
from qinsight.errors import QInsightError
from qinsight.prompts import Task
from qinsight.ranking.tables import replacing
from qinsight.terminal import counted, show_step
from training.data.examples import Example, refuse_leaks
from training.data.kinds import read_or_point
from training.data.lines import raise_all
from training.data.photo_check import read_photos, record_of, refuse_copies
from training.evaluate.best import KeepBest
from training.grpo.fits import check_fit
from training.grpo.greedy import Greedy
from training.grpo.hub import check_access
from training.grpo.partners import RankingTrainer
from training.grpo.plan import plan
from training.grpo.progress import Progress, Stop, Stopped
from training.grpo.questions import Asking, as_dataset
from training.grpo.recipe import Adapt, Recipe, RecipeError, Settings, parse, told, under_deepspeed
from training.grpo.resume import data_digests, differences, not_noted
from training.grpo.room import LORA_EYES, LORA_WORDS
from training.grpo.story import Story
from training.grpo.trainer import QInsightTrainer, TrainingProcessor
from training.rewards import ScoreReward, reward_functions

STOPPED = 143  # what a shell says of a command that SIGTERM ended


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0; 2 with a sentence where the run cannot be started as described; 143 where SIGTERM ended it, saved."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        recipe, settings = parse(arguments)
        run(recipe, settings)
    except Stopped as stopped:
        print(stopped, file=sys.stderr)
        return STOPPED
    except QInsightError as error:
        print(f"training.grpo: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nStopped. The same command goes on from the last checkpoint.", file=sys.stderr)
        return 130
    return 0


def run(recipe: Recipe, settings: Settings) -> QInsightTrainer:
    """Check everything, train, and leave the checkpoint in `settings.output_dir`."""
    first = settings.process_index == 0
    data = checked_data(recipe)
    out = Path(str(settings.output_dir))
    now = {**told(recipe, settings), "weights": locate(recipe.model, show_step).fingerprint}
    if data.digests is not None:
        now["data"] = data.digests
    last = where_it_stood(out, now, resume=settings.resume)
    if settings.push_to_hub and first:
        check_access(settings)
    if first:
        print(plan(recipe, settings, find(recipe), data.train, data.test), flush=True)
    trainer = build(recipe, settings, data.train, data.test)
    trainer.story = Story(recipe, settings, find(recipe), now)
    trainer.add_callback(Progress(out, quiet=bool(settings.disable_tqdm)))
    stop = Stop(trainer)
    trainer.add_callback(stop)
    if settings.keep_best:
        trainer.add_callback(KeepBest(settings.keep_best, out, trainer.save_model))
    if first:
        note(out, now)
        if last:
            print(f"Going on from {last.name}.", flush=True)
    with stop.listening(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # what transformers will rename under TRL's hands
        trainer.train(resume_from_checkpoint=str(last) if last else None)
    if stop.asked:
        raise Stopped(trainer.state.global_step)
    trainer.save_model(str(out))
    if first:
        print(f"\nDone. Look at it with: python app.py --model {out}", flush=True)
    return trainer


@dataclass(frozen=True)
class Data:
    """What is trained and measured on; `digests` of the former, where this process looked at its photos."""

    train: list[Example]
    test: list[Example]
    digests: list[dict[str, Any]] | None = None


def read_data(recipe: Recipe) -> tuple[list[Example], list[Example]]:
    """The examples to train and to measure on; see `checked_data`."""
    data = checked_data(recipe)
    return data.train, data.test


def checked_data(recipe: Recipe) -> Data:
    """Every line right, every photo there, no photo in both. The first process of each node looks at the photos."""
    root = Path(recipe.photos) if recipe.photos else None
    files = [(Path(file), read_or_point(Path(file), root)) for file in (*recipe.train, *recipe.test)]
    train = [one for _, examples in files[: len(recipe.train)] for one in examples]
    test = [one for _, examples in files[len(recipe.train) :] for one in examples]
    twice: dict[str, int] = {}
    for one in train:
        twice[one.id] = twice.get(one.id, 0) + 1
    raise_all(
        [
            f'Expected every id once in all of --train; "{id}" comes {n} times'
            for id, n in twice.items()
            if n > 1
        ]
    )
    refuse_leaks(train, test)
    if int(os.environ.get("LOCAL_RANK", "0")) != 0:
        return Data(train, test)
    digests: dict[Path, str] = {}
    for file, examples in files:
        with counted(f"photos of {file.name}", "photos") as progress:
            digests |= read_photos(examples, record_of(file), progress)
    refuse_copies(train, test, digests)
    return Data(train, test, data_digests(files[: len(recipe.train)], digests))


def where_it_stood(out: Path, now: dict[str, Any], *, resume: bool) -> Path | None:
    """The last whole checkpoint of a run, None for a new one; `RecipeError` where it was another run.

    The trainer's state is written last, so a folder without it was being written when the run was killed.
    """
    stands = [
        (int(folder.name.split("-")[1]), folder) for folder in out.glob(f"{PREFIX_CHECKPOINT_DIR}-*[0-9]")
    ]
    whole = [folder for _, folder in sorted(stands) if _is_json(folder / "trainer_state.json")]
    if not whole:
        return None
    if not resume:
        raise RecipeError(
            f"Expected an --output_dir without a run (--resume false); {out} holds {whole[-1].name}."
        )
    before = json.loads((out / "recipe.json").read_text()) if _is_json(out / "recipe.json") else {}
    changed = differences(before, now)
    if changed:
        raise RecipeError(
            f"Expected the recipe that the run in {out} was begun with; {'; '.join(changed)}. "
            "Give it back, or take another --output_dir; training/grpo/resume.py lists what may change."
        )
    if before and (unknown := not_noted(before, now)):
        print(f"The run was begun by an older version, which noted less; not compared: {', '.join(unknown)}.")
    return whole[-1]


def note(out: Path, now: dict[str, Any]) -> None:
    """What the run is made of, in its folder: whole, or as it was before."""
    out.mkdir(parents=True, exist_ok=True)
    with replacing(out / "recipe.json") as text:
        json.dump(now, text, indent=1)


def build(recipe: Recipe, settings: Settings, train: list[Example], test: list[Example]) -> QInsightTrainer:
    """The trainer, ready to go: model, processor, rewards, data."""
    checkpoint = find(recipe)
    plain = load_processor(checkpoint.folder)
    card = qinsight_card(recipe, checkpoint, train)
    processor = TrainingProcessor.around(plain, recipe.max_pixels, card)
    rollouts = settings.num_generations or 0
    functions, weights = reward_functions(recipe.layout, recipe.score_reward, rollouts, recipe.accuracy)
    if settings.reward_weights is None:
        settings.reward_weights = weights
    if len(settings.reward_weights) != len(functions):
        names = ", ".join(function.__name__ for function in functions)
        raise RecipeError(
            f"Expected {len(functions)} reward_weights ({names}); got {len(settings.reward_weights)}."
        )
    if settings.eval_strategy != "no" and not test:
        raise RecipeError(
            "Expected data files after --test for an evaluation every eval_steps; there are none."
        )
    check_fit(recipe, settings, checkpoint, plain, train)
    asking = Asking(recipe.order, recipe.max_pixels, opened=settings.use_vllm)
    model = load_model(recipe, settings, checkpoint)
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", FutureWarning
        )  # names of TRL's settings that transformers will rename
        kind = RankingTrainer if recipe.score_reward is ScoreReward.RANKING else QInsightTrainer
        trainer = kind(
            model=model,
            reward_funcs=functions,
            args=settings,
            train_dataset=as_dataset(train, asking),
            eval_dataset=as_dataset(test, asking) if test else None,
            processing_class=processor,
            peft_config=lora(recipe) if recipe.adapt is not Adapt.FULL else None,
            greedy=Greedy(test, checkpoint, plain, recipe) if test else None,
            train_vision=bool(recipe.train_vision),
        )
    return trainer


def find(recipe: Recipe) -> Checkpoint:
    """The checkpoint to start from, on this disk. Of the published two, the one that reads single photos."""
    checkpoint = next(iter(locate(recipe.model, show_step).parts.values())).fetch(show_step)
    if checkpoint.base is not None:
        raise RecipeError(
            f"Expected full weights to train from; {recipe.model} is an adapter. Fold it into its base first: "
            f"python -m training.merge --model {recipe.model} --out DIR"
        )
    return checkpoint


def load_model(recipe: Recipe, settings: Settings, checkpoint: Checkpoint) -> Any:
    """The weights in the precision they can learn in."""
    on_gpu = not settings.use_cpu
    dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16}.get(recipe.dtype)
    if dtype is None:  # fp32 masters: our own, or DeepSpeed's; frozen weights need none
        half = on_gpu and (recipe.adapt is not Adapt.FULL or under_deepspeed(settings))
        dtype = torch.bfloat16 if half else torch.float32
    options: dict[str, Any] = {"dtype": dtype, "attn_implementation": "sdpa"}
    if recipe.adapt is Adapt.QLORA:
        device = torch.device("cpu" if not on_gpu else f"cuda:{settings.local_process_index}")
        quantisation = nf4_config()
        quantisation.bnb_4bit_compute_dtype = torch.bfloat16 if on_gpu else torch.float32
        options |= {"quantization_config": quantisation, "device_map": {"": str(device)}}
    model, report = Qwen2_5_VLForConditionalGeneration.from_pretrained(
        checkpoint.folder, local_files_only=True, output_loading_info=True, **options
    )
    if missing := sorted(report["missing_keys"]):
        raise RecipeError(
            f"Expected all weights that config.json describes in {checkpoint.name}; {len(missing)} are missing, "
            f"the first {missing[0]}."
        )
    return model


def lora(recipe: Recipe) -> LoraConfig:
    """Adapters on every projection of the language model, and on the vision tower's if it learns."""
    return LoraConfig(
        r=recipe.lora_r,
        lora_alpha=recipe.lora_alpha,
        lora_dropout=recipe.lora_dropout,
        target_modules=f"({LORA_WORDS}|{LORA_EYES})" if recipe.train_vision else LORA_WORDS,
        task_type="CAUSAL_LM",
    )


def qinsight_card(recipe: Recipe, checkpoint: Checkpoint, train: list[Example]) -> dict[str, Any]:
    """What the app reads beside the weights: which tasks, in which order asked, at which size."""
    tasks = {one.task for one in train} | (checkpoint.tasks if _is_q_insight(checkpoint) else set())
    card: dict[str, Any] = {
        "name": recipe.name or f"{checkpoint.name}, trained here",
        "tasks": [str(task) for task in Task if task in tasks],
        "order": str(recipe.order),
        "preview": checkpoint.preview,
        "max_pixels": max(recipe.max_pixels, checkpoint.max_pixels)
        if checkpoint.preview
        else recipe.max_pixels,
        "about": recipe.about or checkpoint.note,
    }
    if recipe.adapt is not Adapt.FULL:
        here = Path(recipe.model)
        card["base"] = str(here.resolve()) if here.is_dir() else recipe.model
    return card


def _is_q_insight(checkpoint: Checkpoint) -> bool:
    """Whether it was trained for our tasks already, so that it keeps what it is not trained on again."""
    return (checkpoint.folder / "qinsight.json").exists() or checkpoint.folder.name == "score_degradation"


def _is_json(file: Path) -> bool:
    try:
        return isinstance(json.loads(file.read_text()), dict)
    except (OSError, ValueError):
        return False
