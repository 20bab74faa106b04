"""Every photo is looked at once an update, counted at the vision tower itself, at the batch of every recipe."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from datasets import Dataset, List
from datasets import Image as ImageFeature
from torch import Tensor
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VisionTransformerPretrainedModel
from trl import GRPOTrainer

from qinsight.engines.weights import load_processor
from qinsight.prompts import Order, Task, build_messages
from shared.labels import score_questions
from shared.places import REPOSITORY
from training.grpo import questions
from training.grpo import run as grpo
from training.grpo.looks import Looks, SharedEyes, look_once, tower
from training.grpo.questions import Asking
from training.grpo.recipe import parse
from training.grpo.trainer import PhotoReader, QInsightTrainer

RECIPES = sorted((REPOSITORY / "training" / "recipes").glob("*.yaml"))
QUIET = "--disable_tqdm true --gradient_checkpointing false --save_strategy no --max_pixels 25088"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty-two questions about as many photos of two sizes."""
    return score_questions(tmp_path_factory.mktemp("data"), 32)


@pytest.fixture
def command(official: Path, data: Path, tmp_path: Path) -> Callable[..., list[str]]:
    def line(*more: str) -> list[str]:
        start = f"--model {official / 'score_degradation'} --train {data} --output_dir {tmp_path / 'run'}"
        return [*f"{start} {QUIET} --max_steps 1 --max_completion_length 3".split(), *" ".join(more).split()]

    return line


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many photos the tower was given in each of its passes: what is counted is the work itself."""
    photos: list[int] = []
    real = Qwen2_5_VisionTransformerPretrainedModel.forward

    def counted(self: Any, hidden_states: Tensor, grid_thw: Tensor, **kwargs: Any) -> Any:
        photos.append(len(grid_thw))
        return real(self, hidden_states, grid_thw, **kwargs)

    monkeypatch.setattr(Qwen2_5_VisionTransformerPretrainedModel, "forward", counted)
    return photos


def variety(completions: Any, **_: Any) -> list[float]:
    return [len(set(one[0]["content"])) / 10 for one in completions]


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: file.stem)
def test_a_frozen_tower_looks_at_each_photo_once_and_one_that_learns_twice(
    file: Path, command: Any, seen: list[int]
) -> None:
    """The batch of every shipped recipe; the reference of a tower that learns is another tower, and looks once."""
    recipe, settings = parse(["--config", str(file), *command("--eval_on_start false")])
    settings.eval_strategy = "no"
    trainer = grpo.run(recipe, settings)
    photos = settings.total_batch // (settings.num_generations or 1)
    logged = trainer.state.log_history[0]
    if recipe.train_vision:
        own = photos if trainer.ref_model is not None else 0
        assert (logged["looks"], logged.get("looks/reference", 0)) == (2 * photos, own)
        assert sum(seen) == 2 * photos + own
    else:
        assert logged["looks"] == sum(seen) == photos
        assert "looks/reference" not in logged


def test_what_does_not_fit_into_the_memory_is_looked_at_again(command: Any, seen: list[int]) -> None:
    few = "--train_vision false --total_batch 16 --looks_memory"
    grpo.run(*parse(command(few, "0")))
    assert sum(seen) == 2 + 2 + 2, "once for each of generation, reference and gradient"


def test_adapters_on_the_tower_and_the_reference_without_them_do_not_share_what_they_saw(
    command: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The KL of the second update tells: it is zero where the reference was handed the policy's features."""
    monkeypatch.setattr(grpo, "reward_functions", lambda *_: ([variety], [1.0]))
    given = command("--adapt lora --train_vision true --total_batch 16 --learning_rate 1e-2 --looks_memory")
    several = [name for name in given if name != "--max_steps"]
    several.remove("1")
    kl = []
    for memory in ("2", "0"):
        trainer = grpo.run(*parse([*several, memory, "--max_steps", "2", "--logging_steps", "1"]))
        kl.append([line["kl"] for line in trainer.state.log_history if "kl" in line])
        for file in Path(trainer.args.output_dir).glob("*"):
            file.unlink()
    assert kl[0] == pytest.approx(kl[1], rel=0.05)
    assert kl[0][1] > 0


def gradients(trainer: Any, rows: list[Any], passes: int) -> dict[str, Tensor]:
    torch.manual_seed(0)
    trainer.current_gradient_accumulation_steps = passes
    trainer.model.train()
    for trainer._step in range(passes):
        trainer.compute_loss(trainer.model, trainer._prepare_inputs(rows)).backward()
    return {name: one.grad for name, one in trainer.model.named_parameters() if one.grad is not None}


@pytest.mark.parametrize(
    ("train_vision", "loss"), [(False, "grpo"), (True, "grpo"), (False, "dapo"), (True, "dr_grpo")]
)
def test_the_gradients_are_those_of_trls_own_way_in_fp32(
    command: Any, official: Path, data: Path, train_vision: bool, loss: str
) -> None:
    """Four prompts of four rollouts in four passes; TRL cuts each copy of a photo and shuffles the rollouts."""
    small = (
        "--total_batch 16 --per_device_train_batch_size 4 --num_generations 4 --beta 0.04 --num_iterations 1"
    )
    given = command(f"{small} --train_vision {train_vision} --loss_type {loss}")
    recipe, settings = parse(given)
    examples, _ = grpo.read_data(recipe)
    ours = grpo.build(recipe, settings, examples, [])
    ours.reward_funcs, ours.reward_func_names = [variety] * 5, ["variety"] * 5

    recipe, settings = parse(given)
    settings.reward_weights = [1.0, 1.0, 0.25, 0.75, 1.0]
    plain = load_processor(official / "score_degradation")
    plain.image_processor.size = {"shortest_edge": 3136, "longest_edge": recipe.max_pixels}
    model = grpo.load_model(recipe, settings, grpo.find(recipe))
    model.model.visual.requires_grad_(train_vision)
    prompt = build_messages(Task.SCORE, order=Order.PHOTO_FIRST)
    for message in prompt:
        message["content"] = next(part["text"] for part in message["content"] if part["type"] == "text")
    rows = Dataset.from_list([{"prompt": prompt, "images": [str(one.photos[0])]} for one in examples])
    rows = rows.cast_column("images", List(ImageFeature(mode="RGB")))
    theirs = GRPOTrainer(
        model=model, reward_funcs=[variety] * 5, args=settings, train_dataset=rows, processing_class=plain
    )
    numbers = [n for n in range(4) for _ in range(4)]
    expected = gradients(theirs, [theirs.train_dataset[n] for n in numbers], 4)
    found = gradients(ours, [ours.train_dataset[n] for n in numbers], 4)
    assert found.keys() == expected.keys()
    assert len(found) > 30
    for name, value in expected.items():
        if value.norm() > 1e-7:
            assert (found[name] - value).norm() <= 1e-5 * value.norm(), name


def test_replies_generated_in_chunks_are_all_there_in_their_order(command: Any, seen: list[int]) -> None:
    trainer = made(command("--rollouts_at_once 8 --total_batch 32 --train_vision false --temperature 0.01"))
    rows = [trainer.train_dataset[n] for n in range(4) for _ in range(8)]
    trainer.model.train()
    batch = trainer._prepare_inputs(rows)
    assert len(batch["completion_ids"]) == 8
    assert seen == [1, 1, 1, 1], "a look for each chunk, and none for the reference"
    whole = made(command("--total_batch 32 --train_vision false --temperature 0.01"))
    whole.model.train()
    whole._prepare_inputs(rows)
    said = [[part["completion_ids"] for part in one._buffered_inputs] for one in (trainer, whole)]
    assert all(torch.equal(one, other) for one, other in zip(said[0], said[1], strict=True)), (
        "at a temperature of nearly zero the words do not depend on the dice"
    )


def made(arguments: list[str]) -> QInsightTrainer:
    recipe, settings = parse(arguments)
    return grpo.build(recipe, settings, *grpo.read_data(recipe))


def test_processes_that_hold_a_tower_together_look_together(official: Path) -> None:
    """One that has nothing new to look at looks along, where another must; its features stay what they were."""
    model = grpo.Qwen2_5_VLForConditionalGeneration.from_pretrained(official / "score_degradation")
    model.requires_grad_(False)
    asked: list[bool] = []

    def anywhere(here: bool) -> bool:
        asked.append(here)
        return True

    looks = Looks(10**9, anywhere)
    look_once(model, looks)
    eyes = tower(model)
    assert isinstance(eyes, SharedEyes)
    pixels, grids = torch.randn(16, 1176), torch.tensor([[1, 4, 4]])
    one = eyes(pixels, grids).pooler_output
    other = eyes(pixels, grids).pooler_output
    assert asked == [True, False]
    assert looks.taken() == 2
    assert torch.equal(one, other)


def test_with_vllm_a_photo_is_opened_once_and_cut_once_for_all_its_rollouts(
    official: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """vLLM is handed pictures; TRL copies the conversations before it asks for their patches, twice."""
    import copy

    opened: list[Path] = []
    real = questions.load_photo

    def counted(path: Path) -> Any:
        opened.append(path)
        return real(path)

    monkeypatch.setattr(questions, "load_photo", counted)
    questions._opened.cache_clear()
    photos = [[str(official / "images" / name)] for name in ("a.png", "b.png")]
    asking = Asking(Order.PHOTO_FIRST, 100 * 784, opened=True)
    rows = [
        asking({"task": ["score"], "photos": [one], "id": ["1"], "target": ["{}"], "set": ["x"]})
        for one in photos
        for _ in range(8)
    ]
    assert len(opened) == 2
    reader = PhotoReader.around(load_processor(official / "score_degradation").image_processor, 100 * 784)
    cut: list[Any] = []
    real_cut = reader.patches.make
    reader.patches.make = lambda photo: cut.append(photo) or real_cut(photo)
    prompts = copy.deepcopy([row["prompt"][0] for row in rows])
    pictures = [
        part["image"] for one in prompts for m in one for part in m["content"] if part["type"] == "image"
    ]
    for _ in range(2):
        reader([[one] for one in pictures], return_tensors="pt")
    reader([[one] for one in copy.deepcopy(pictures)], return_tensors="pt")
    assert len(cut) == 2


def test_the_shipped_recipe_for_a_small_gpu_bounds_what_is_generated_at_once() -> None:
    recipe = yaml.safe_load(next(file for file in RECIPES if file.stem == "qlora").read_text())
    assert 0 < recipe["rollouts_at_once"] <= 32
