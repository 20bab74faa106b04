"""Groups without signal: found by being right, not by layout; left out of the mean, or asked anew."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from shared.labels import score_questions
from training.grpo import run as grpo
from training.grpo.groups import draw, put_in_place, without_signal
from training.grpo.recipe import RecipeError, check, parse

NAN = float("nan")
SMALL = (
    "--total_batch 16 --per_device_train_batch_size 8 --num_generations 4 --max_completion_length 5 --max_steps 2 "
    "--save_strategy no --disable_tqdm true --gradient_checkpointing false --max_pixels 25088 --logging_steps 1"
)


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return score_questions(tmp_path_factory.mktemp("data"), 8)


@pytest.fixture
def command(official: Path, train: Path, tmp_path: Path) -> Callable[..., list[str]]:
    def line(*more: str) -> list[str]:
        start = f"--model {official / 'score_degradation'} --train {train} --output_dir {tmp_path / 'run'}"
        return f"{start} {SMALL} {' '.join(more)}".split()

    return line


def test_a_group_is_judged_by_being_right_and_not_by_its_layout() -> None:
    names = ["format", "score", "severity"]
    rewards = torch.tensor(
        [
            *([0.0, 1.0, NAN], [1.0, 1.0, NAN]),  # only the layout differs
            *([1.0, 1.0, NAN], [1.0, 0.0, NAN]),
            *([1.0, NAN, 0.0], [1.0, NAN, 0.0]),
            *([1.0, NAN, 0.0], [1.0, NAN, 1.0]),
        ]
    )
    assert without_signal(rewards, names, 2).tolist() == [True, False, True, False]


def by_photo(empty: set[str]) -> Callable[..., list[float]]:
    """A reward for being right that is the same for all rollouts about some photos."""

    def right(completions: Any, id: list[str], **_: Any) -> list[float]:
        said = [len(set(one[0]["content"])) / 10 for one in completions]
        return [
            0.5 if name in empty else earned + place
            for place, (name, earned) in enumerate(zip(id, said, strict=True))
        ]

    return right


def made(arguments: list[str], empty: set[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(grpo, "reward_functions", lambda *_: ([by_photo(empty)], [1.0]))
    recipe, settings = parse(arguments)
    trainer = grpo.build(recipe, settings, *grpo.read_data(recipe))
    trainer.model.train()
    return trainer


def pulled(trainer: Any, ids: list[int]) -> dict[str, Tensor]:
    torch.manual_seed(0)
    trainer.model.zero_grad()
    passes = trainer.args.steps_per_generation
    trainer.current_gradient_accumulation_steps = passes
    rows = [trainer.train_dataset[n] for n in ids for _ in range(4)]
    for trainer._step in range(passes):
        trainer.compute_loss(trainer.model, trainer._prepare_inputs(rows)).backward()
    return {name: weight.grad.clone() for name, weight in trainer.model.named_parameters()}


@pytest.mark.parametrize("loss", ["grpo", "dapo", "dr_grpo"])
def test_what_is_left_out_leaves_the_mean_of_the_others(
    command: Any, monkeypatch: pytest.MonkeyPatch, loss: str
) -> None:
    """Two groups of four have no signal: the update is the mean over the other two, KL and all."""
    given = command(f"--no_signal filter --beta 0.04 --temperature 0.01 --loss_type {loss}")
    four = made(given, {"1", "2"}, monkeypatch)
    found = pulled(four, [0, 1, 2, 3])
    assert four._metrics["train"]["no_signal"] == [0.5]
    assert four._metrics["train"]["groups/left_out"] == [2]
    two = made(
        command(f"--total_batch 8 --beta 0.04 --temperature 0.01 --loss_type {loss}"), set(), monkeypatch
    )
    expected = pulled(two, [0, 3])
    for name, value in expected.items():
        if value.norm() > 1e-6:
            assert (found[name] - value).norm() <= 1e-3 * value.norm(), name


def test_an_update_without_any_signal_moves_nothing(command: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = made(command("--no_signal filter --beta 0.04"), {str(n) for n in range(8)}, monkeypatch)
    assert all(not value.any() for value in pulled(trainer, [0, 1, 2, 3]).values())


def test_groups_without_signal_are_asked_anew_and_the_same_ones_in_a_run_that_is_resumed(
    command: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = made(command("--no_signal resample --beta 0.04"), {"0", "1"}, monkeypatch)
    first = pulled(trainer, [0, 1, 2, 3])
    logged = trainer._metrics["train"]
    assert logged["no_signal"] == [0.5]
    assert logged["groups/asked_anew"][0] + logged["groups/left_out"][0] == 2
    assert logged["groups/asked_anew"][0] > 0
    again = made(command("--no_signal resample --beta 0.04"), {"0", "1"}, monkeypatch)
    second = pulled(again, [0, 1, 2, 3])
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert draw(3, 100, (1, 2)) == draw(3, 100, (1, 2)) != draw(3, 100, (1, 3))


def test_a_group_takes_the_place_of_another_with_all_that_belongs_to_it() -> None:
    def batch(prompt: int, reply: int, start: int, patches: list[int]) -> dict[str, Any]:
        rows = len(patches)
        return {
            "prompt_ids": torch.full((rows, prompt), start),
            "prompt_mask": torch.ones(rows, prompt, dtype=torch.long),
            "completion_ids": torch.full((rows, reply), start + 1),
            "completion_mask": torch.ones(rows, reply, dtype=torch.long),
            "ref_per_token_logps": torch.full((rows, reply), -1.0),
            "mm_token_type_ids": torch.ones(rows, prompt + reply, dtype=torch.long),
            "advantages": torch.arange(rows) + float(start),
            "num_items_in_batch": torch.tensor(9),
            "pixel_values": torch.cat([torch.full((n, 3), float(start + i)) for i, n in enumerate(patches)]),
            "image_grid_thw": torch.tensor([[1, 1, n] for n in patches]),
            "num_images": [1] * rows,
        }

    merged = put_in_place(batch(3, 2, 10, [4, 4, 2, 2]), batch(5, 4, 50, [6, 6]), [(1, 0)], 2, pad=7)
    assert merged["advantages"].tolist() == [10, 11, 50, 51]
    assert merged["prompt_ids"][0].tolist() == [7, 7, 10, 10, 10]
    assert merged["prompt_mask"].sum(1).tolist() == [3, 3, 5, 5]
    assert merged["completion_ids"][0].tolist() == [11, 11, 7, 7]
    assert merged["completion_mask"].sum(1).tolist() == [2, 2, 4, 4]
    assert merged["ref_per_token_logps"].shape == (4, 4)
    assert merged["mm_token_type_ids"][0].tolist() == [0, 0, 1, 1, 1, 1, 1, 0, 0]
    assert merged["image_grid_thw"][:, 2].tolist() == [4, 4, 6, 6]
    assert merged["pixel_values"][:, 0].tolist() == [10.0] * 4 + [11.0] * 4 + [50.0] * 6 + [51.0] * 6


def test_groups_that_are_cut_between_processes_cannot_be_left_out() -> None:
    recipe, settings = parse(["--train", "x", "--output_dir", "o", "--no_signal", "filter"])
    settings.per_device_train_batch_size, settings.steps_per_generation = 4, 1  # as on two processes
    with pytest.raises(
        RecipeError, match="whole groups of 8 rollouts on each process for --no_signal filter"
    ):
        check(recipe, settings)
    with pytest.raises(RecipeError, match="another loss_type than bnpo"):
        parse(["--train", "x", "--output_dir", "o", "--no_signal", "resample", "--loss_type", "bnpo"])
