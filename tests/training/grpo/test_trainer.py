"""The trainer on a tiny random model: the paper's gradient, photos opened once, runs that go on where they stood."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor
from transformers import Qwen2_5_VLForConditionalGeneration, TrainerCallback
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VisionTransformerPretrainedModel

from qinsight.engines.weights import load_processor
from qinsight.photos import load_photo
from qinsight.photos.view import view
from training.grpo import run as grpo
from training.grpo import trainer as trainer_module
from training.grpo.recipe import parse
from training.grpo.trainer import PhotoReader, SharedEyes, distinct, look_once

QUIET = "--disable_tqdm true --logging_steps 100 --gradient_checkpointing false"
SMALL = "--total_batch 8 --per_device_train_batch_size 8 --num_generations 4 --max_completion_length 6"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten questions of all tasks about five small photos, some larger than others."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for number in range(5):
        size = (56 + 28 * (number % 2), 56, 3)
        Image.fromarray(rng.integers(0, 256, size, np.uint8)).save(folder / f"{number}.png")
    lines = [
        {"id": f"s{n}", "set": "x", "task": "score", "photos": [f"{n}.png"], "mos": 1.0 + n} for n in range(4)
    ]
    lines += [
        {"id": f"d{n}", "set": "x", "task": "degradation", "photos": [f"{n}.png"], **_degradation(n)}
        for n in range(4)
    ]
    lines += [
        {"id": "c", "set": "x", "task": "comparison", "photos": ["0.png", "1.png"], "winner": "Image A"},
        {
            "id": "r",
            "set": "x",
            "task": "comparison",
            "photos": ["4.png", "0.png", "1.png"],
            "winner": "Similar",
        },
    ]
    (folder / "train.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return folder / "train.jsonl"


def _degradation(number: int) -> dict[str, str]:
    word, level = ("null", "null") if number == 0 else ("blur", "slight")
    return {"distortion_class": word, "severity": level}


@pytest.fixture
def command(official: Path, data: Path, tmp_path: Path) -> Callable[..., list[str]]:
    """The command line of a small run, with more words after it."""

    def line(*more: str, out: str = "run") -> list[str]:
        start = f"--model {official / 'score_degradation'} --train {data} --output_dir {tmp_path / out}"
        return [*f"{start} {SMALL} {QUIET}".split(), *" ".join(more).split()]

    return line


def made(arguments: list[str]) -> Any:
    """The trainer of a command line, before its first step."""
    recipe, settings = parse(arguments)
    return grpo.build(recipe, settings, *grpo.read_data(recipe))


# --- the loss ---------------------------------------------------------------------------------------------


def published_loss(model: Any, reference: Any, batch: dict[str, Any], beta: float) -> Tensor:
    """The loss of the published trainer (open_r1/trainer/grpo_trainer.py), written down from its formula.

    L = mean over replies of the mean over their tokens of -(ratio * advantage - beta * k3), with
    k3 = exp(ref - log p) - (ref - log p) - 1, and a ratio whose value is 1.
    """

    def log_probabilities(which: Any) -> Tensor:
        ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], 1)
        mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], 1)
        extra = {name: batch[name] for name in ("pixel_values", "image_grid_thw", "mm_token_type_ids")}
        logits = which(input_ids=ids, attention_mask=mask, **extra).logits
        start = batch["prompt_ids"].shape[1]
        chosen = logits[:, start - 1 : -1].log_softmax(-1)
        return chosen.gather(-1, ids[:, start:, None]).squeeze(-1)

    said = log_probabilities(model)
    with torch.no_grad():
        before = log_probabilities(reference)
    k3 = torch.exp(before - said) - (before - said) - 1
    ratio = torch.exp(said - said.detach())
    each = -(ratio * batch["advantages"][:, None] - beta * k3)
    mask = batch["completion_mask"]
    return ((each * mask).sum(1) / mask.sum(1)).mean()


def gradients(model: Any) -> dict[str, Tensor]:
    return {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}


def test_the_gradient_is_that_of_the_published_loss(command: Any, official: Path) -> None:
    trainer = made(command("--beta 0.04 --total_batch 24 --per_device_train_batch_size 24"))
    plain = Qwen2_5_VLForConditionalGeneration.from_pretrained(
        official / "score_degradation", dtype=torch.float64
    )
    reference = Qwen2_5_VLForConditionalGeneration.from_pretrained(
        official / "score_degradation", dtype=torch.float64
    )
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in plain.parameters():  # away from the reference, so that the KL term pulls
            weight += 0.02 * torch.randn_like(weight)
    trainer.model.double().load_state_dict(plain.state_dict())
    trainer.ref_model.double()
    trainer.model.train()
    rows = [row for place in range(6) for row in [trainer.train_dataset[place * 9 % 10]] * 4]
    batch = trainer._prepare_inputs(rows)
    batch["advantages"] = torch.linspace(-1.5, 1.5, 24, dtype=torch.float64)  # a random model earns nothing
    batch["completion_mask"][::3, 2:] = 0  # replies of different lengths, as real ones are
    batch["num_items_in_batch"] = batch["completion_mask"].sum()
    trainer.current_gradient_accumulation_steps = 1
    trainer.compute_loss(trainer.model, batch).backward()
    ours = gradients(trainer.model)
    batch["mm_token_type_ids"] = batch["mm_token_type_ids"][
        :, : batch["prompt_ids"].shape[1] + batch["completion_ids"].shape[1]
    ]
    published_loss(plain.train(), reference, batch, beta=0.04).backward()
    theirs = gradients(plain)
    assert ours.keys() == theirs.keys()
    assert len(ours) > 50
    for name, expected in theirs.items():
        error = (ours[name] - expected).norm() / expected.norm().clamp_min(1e-12)
        assert error < 1e-6, f"{name}: {error:.1e}"


# --- photos -----------------------------------------------------------------------------------------------


def test_patches_are_those_of_the_checkpoints_own_processor(official: Path) -> None:
    plain = load_processor(official / "score_degradation")
    reader = PhotoReader.around(plain.image_processor, 200 * 784)
    paths = [str(official / "images" / name) for name in ("score.png", "a.png", "score.png")]
    ours = reader(reader.fetch_images([[paths[0]], paths[1:]]), return_tensors="pt")
    views = [view(load_photo(Path(path)), 200 * 784) for path in paths]
    theirs = plain.image_processor(views, return_tensors="pt")
    assert torch.equal(ours["pixel_values"], theirs["pixel_values"])
    assert torch.equal(ours["image_grid_thw"], theirs["image_grid_thw"])


def test_a_photo_is_opened_and_cut_once_for_all_its_rollouts(
    official: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Path] = []

    def counted(path: Path) -> Image.Image:
        opened.append(Path(path))
        return load_photo(path)

    monkeypatch.setattr(trainer_module, "load_photo", counted)
    reader = PhotoReader.around(load_processor(official / "score_degradation").image_processor, 100 * 784)
    paths = [str(official / "images" / name) for name in ("a.png", "b.png")] * 8
    reader.views.size = reader.patches.size = 1  # as for a batch of more photos than are remembered
    for _ in range(2):  # TRL asks twice
        found = reader(reader.fetch_images([[path] for path in paths]), return_tensors="pt")
    assert sorted(path.name for path in opened) == ["a.png", "b.png"]
    assert len(reader.patches.kept) == 2
    assert len(found["image_grid_thw"]) == 16


def test_more_photos_than_are_remembered_are_all_there(official: Path, tmp_path: Path) -> None:
    plain = load_processor(official / "score_degradation")
    reader = PhotoReader.around(plain.image_processor, 100 * 784)
    reader.views.size = reader.patches.size = 2
    paths = []
    for number in range(5):
        paths.append(str(tmp_path / f"{number}.png"))
        Image.new("RGB", (56, 56), (number, 0, 0)).save(paths[-1])
    found = reader(reader.fetch_images(paths * 2), return_tensors="pt")["pixel_values"].split(16)
    assert all(torch.equal(found[place], found[place + 5]) for place in range(5))
    assert not torch.equal(found[0], found[1])


def test_copies_of_a_photo_are_found_and_photos_that_only_resemble_each_other_are_not() -> None:
    one, other = torch.randn(16, 12), torch.randn(16, 12)
    turned = one.flip(0)  # the same sum
    grids = torch.tensor([[1, 4, 4]] * 5)
    first, copies = distinct(torch.cat([one, other, one, turned, other]), grids)
    assert first == [0, 1, 3]
    assert copies == [0, 1, 0, 2, 1]
    tall = torch.tensor([[1, 4, 4], [1, 8, 2]])
    assert distinct(torch.cat([one, one]), tall) == ([0, 1], [0, 1])


def test_looking_once_gives_the_features_and_gradients_of_looking_at_every_copy(official: Path) -> None:
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(
        official / "score_degradation", dtype=torch.float64
    )
    tower = model.model.visual
    small, large = torch.randn(16, 1176).double(), torch.randn(32, 1176).double()
    pixels = torch.cat([small, large, small, small, large])
    grids = torch.tensor([[1, 4, 4], [1, 4, 8], [1, 4, 4], [1, 4, 4], [1, 4, 8]])
    weights = torch.randn(28, 64).double()

    def looked() -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        model.zero_grad()
        seen = tower(pixels, grid_thw=grids)
        (seen.pooler_output * weights).sum().backward()
        return seen.pooler_output.detach(), seen.last_hidden_state.detach(), gradients(tower)

    assert type(tower) is Qwen2_5_VisionTransformerPretrainedModel
    plain = looked()
    look_once(model)
    assert type(tower) is SharedEyes
    shared = looked()
    torch.testing.assert_close(shared[0], plain[0], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(shared[1], plain[1], rtol=1e-9, atol=1e-9)
    for name, gradient in plain[2].items():
        assert (shared[2][name] - gradient).norm() <= 1e-6 * gradient.norm(), name  # norms are in float32


# --- going on ---------------------------------------------------------------------------------------------


class Killed(Exception):
    """Stands for kill -9: nothing runs after it."""


class KillAt(TrainerCallback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.step:
            raise Killed


def variety(completions: Any, **_: Any) -> list[float]:
    """A reward that even a random model earns: how many different characters it writes."""
    return [len(set(one[0]["content"])) / 10 for one in completions]


@pytest.fixture
def rewarded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grpo, "reward_functions", lambda *_: ([variety], [1.0]))


def killed_and_resumed(command: Any, *more: str) -> tuple[Path, Path]:
    """The folders of an uninterrupted run of 9 updates (5 to an epoch) and of one killed at 8, saved at 7."""
    words = ("--max_steps 9 --save_steps 7 --learning_rate 1e-3", *more)
    assert grpo.main(command(*words, out="whole")) == 0
    arguments = command(*words, out="broken")
    recipe, settings = parse(arguments)
    trainer = grpo.build(recipe, settings, *grpo.read_data(recipe))
    trainer.add_callback(KillAt(8))
    with pytest.raises(Killed):
        trainer.train()
    out = Path(settings.output_dir)
    assert [folder.name for folder in out.glob("checkpoint-*")] == ["checkpoint-7"]
    assert grpo.main(arguments) == 0
    return out.with_name("whole"), out


def weights_of(folder: Path) -> dict[str, Tensor]:
    return {
        name: value
        for file in sorted(folder.glob("*.safetensors"))
        for name, value in load_file(file).items()
    }


def equal(first: Path, second: Path) -> bool:
    one, two = weights_of(first), weights_of(second)
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.usefixtures("rewarded")
@pytest.mark.parametrize("adapt", ["full", "lora"])
def test_a_run_killed_in_its_second_epoch_ends_bit_for_bit_like_one_that_was_not(
    command: Any, adapt: str
) -> None:
    whole, broken = killed_and_resumed(command, f"--adapt {adapt}")
    assert equal(whole, broken)
    assert not equal(whole / "checkpoint-7", whole), "the last updates must have moved something"
    ends = [json.loads((out / "checkpoint-9" / "trainer_state.json").read_text()) for out in (whole, broken)]
    assert ends[0]["epoch"] == ends[1]["epoch"] > 1
