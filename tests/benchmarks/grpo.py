"""An update of GRPO, ours beside TRL's own way with photos, in the same run, on a tiny random model.

    python tests/benchmarks/grpo.py [--prompts 8] [--rollouts 8] [--passes 8] [--steps 5] [--tokens 32] [--trained]

TRL's examples/scripts/grpo_vlm.py keeps decoded images in the data set: each of the 8 rollouts decodes its photo,
cuts it into patches twice and looks at it three times (generation, reference, gradient), in a pass of any 8 rollouts
of the batch. Same photos of 512 x 384, same model, same batch, same completion length, same words, and the gradients
are compared. The tower is frozen; with `--trained` it learns.
"""

import argparse
import logging
import os
import statistics
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"
warnings.filterwarnings("ignore")
ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

import torch
from datasets import Dataset, Image, List
from trl import GRPOTrainer

from qinsight.engines.weights import load_processor
from qinsight.photos import load_photo
from qinsight.prompts import Order, Task, build_messages
from training.data.examples import Example, Rated
from training.grpo.questions import Asking, as_dataset
from training.grpo.recipe import parse
from training.grpo.run import load_model
from training.grpo.trainer import QInsightTrainer, TrainingProcessor

MODEL = ROOT / "tests" / "fixtures" / "official_layout" / "score_degradation"


def variety(completions: Any, **_: Any) -> list[float]:
    """A reward that a random model earns: how many different characters it writes."""
    return [len(set(one[0]["content"])) / 10 for one in completions]


def photographs(folder: Path, number: int) -> list[Path]:
    """As many photos of 512 x 384, no two alike."""
    whole = load_photo(ROOT / "examples" / "photos" / "coffee.jpg").resize((640, 480))
    paths = [folder / f"{place}.jpg" for place in range(number)]
    for place, path in enumerate(paths):
        left, top = 16 * (place % 8), 16 * (place // 8 % 6)
        whole.crop((left, top, left + 512, top + 384)).save(path, quality=90)
    return paths


def trainers(folder: Path, asked: argparse.Namespace) -> dict[str, Any]:
    photos = photographs(folder, asked.prompts)
    batch = asked.prompts * asked.rollouts
    words = f"--model {MODEL} --train x --output_dir {folder / 'out'} --total_batch {batch} "
    words += f"--per_device_train_batch_size {batch // asked.passes} --num_generations {asked.rollouts} "
    words += f"--max_completion_length {asked.tokens} --gradient_checkpointing false --disable_tqdm true"
    built = {}
    for name in ("TRL", "ours"):
        recipe, settings = parse(words.split())
        checkpoint = type("Checkpoint", (), {"folder": MODEL, "name": "tiny"})
        plain = load_processor(MODEL)
        plain.image_processor.size = {"shortest_edge": 3136, "longest_edge": recipe.max_pixels}
        model = load_model(recipe, settings, checkpoint)
        model.model.visual.requires_grad_(asked.trained)
        common = {"model": model, "reward_funcs": [variety], "args": settings}
        if name == "ours":
            examples = [
                Example(str(n), "x", Task.SCORE, (photo,), Rated(3, 3)) for n, photo in enumerate(photos)
            ]
            built[name] = QInsightTrainer(
                **common,
                train_dataset=as_dataset(examples, Asking(recipe.order, recipe.max_pixels)),
                processing_class=TrainingProcessor.around(plain, recipe.max_pixels, {}),
                train_vision=asked.trained,
            )
        else:
            prompt = build_messages(Task.SCORE, order=Order.PHOTO_FIRST)
            for message in prompt:  # as TRL's script has it: words, with the photo before them
                message["content"] = next(
                    part["text"] for part in message["content"] if part["type"] == "text"
                )
            rows = Dataset.from_list([{"prompt": prompt, "images": [str(photo)]} for photo in photos])
            rows = rows.cast_column("images", List(Image(mode="RGB")))
            built[name] = GRPOTrainer(**common, train_dataset=rows, processing_class=plain)
        built[name].current_gradient_accumulation_steps = asked.passes
        built[name].model.train()
    return built


def step(trainer: Any, asked: argparse.Namespace) -> tuple[float, list[list[int]], dict[str, torch.Tensor]]:
    """Seconds of one update, the words that were sampled, and the gradient."""
    trainer.model.zero_grad()
    torch.manual_seed(0)
    trainer._buffered_inputs, trainer._step = None, 0
    began = time.perf_counter()
    rows = [
        row for n in range(asked.prompts) for row in [trainer.train_dataset[n] for _ in range(asked.rollouts)]
    ]
    said = []
    for _ in range(asked.passes):
        batch = trainer._prepare_inputs(rows)
        trainer.compute_loss(trainer.model, batch).backward()
        trainer._step += 1
        said += batch["completion_ids"].tolist()
    seconds = time.perf_counter() - began
    learning = {name: weight for name, weight in trainer.model.named_parameters() if weight.requires_grad}
    return seconds, sorted(said), {name: weight.grad.clone() for name, weight in learning.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rollouts", type=int, default=8)
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--passes", type=int, default=8, help="that share an update: its micro-batches")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--trained", action="store_true", help="let the vision tower learn")
    parser.add_argument("--tokens", type=int, default=32)
    asked = parser.parse_args()
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        built = trainers(Path(folder), asked)
        took: dict[str, list[float]] = {name: [] for name in built}
        said: dict[str, Any] = {}
        pulled: dict[str, dict[str, torch.Tensor]] = {}
        looks: dict[str, tuple[int, int]] = {}
        for number in range(asked.steps + 1):
            for name, trainer in built.items():
                if name == "ours":  # a new photo in every step: nothing is remembered from the last one
                    trainer.processing_class.image_processor.views.kept.clear()
                    trainer.processing_class.image_processor.patches.kept.clear()
                seconds, said[name], pulled[name] = step(trainer, asked)
                if name == "ours":
                    looks[name] = (trainer.looks.taken(), trainer.reference_looks.taken())
                if number:
                    took[name].append(seconds)
    for name, seconds in took.items():
        print(f"{name:5} {statistics.median(seconds):.3f} s an update (median of {asked.steps})")
    ratios = [a / b for a, b in zip(took["TRL"], took["ours"], strict=True)]
    print(f"TRL / ours: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    print(f"looks of the tower at {asked.prompts} photos (and of the reference's own): {looks['ours']}")
    apart = max(
        float((pulled["ours"][name] - value).norm() / value.norm().clamp_min(1e-12))
        for name, value in pulled["TRL"].items()
        if value.norm() > 1e-7
    )
    print(f"same words sampled: {said['TRL'] == said['ours']}; gradients differ by {apart:.1e} at most")


if __name__ == "__main__":
    main()
