"""The training command from its first check to a checkpoint that the app serves, on a tiny random model."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from qinsight.engines.checkpoint import Device, Precision
from qinsight.engines.local import LocalEngine
from qinsight.photos import load_photo
from qinsight.prompts import Task
from qinsight.requests import Request, Sampling
from shared.places import REPOSITORY
from training.grpo import run as grpo
from training.grpo.recipe import parse
from training.merge import main as merge

RECIPES = REPOSITORY / "training" / "recipes"
SMALL = (
    "--total_batch 8 --per_device_train_batch_size 8 --num_generations 4 --max_completion_length 6 "
    "--max_steps 2 --save_steps 2 --disable_tqdm true --gradient_checkpointing false --max_pixels 25088"
)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for number in range(4):
        Image.fromarray(rng.integers(0, 256, (56, 84, 3), np.uint8)).save(folder / f"{number}.png")
    return folder


def score(number: int, **more: Any) -> dict[str, Any]:
    return {"id": f"s{number}", "set": "x", "task": "score", "photos": [f"{number}.png"], "mos": 3.0, **more}


def degradation(number: int, **more: Any) -> dict[str, Any]:
    labels = {"distortion_class": "blur", "severity": "slight"}
    return {
        "id": f"d{number}",
        "set": "x",
        "task": "degradation",
        "photos": [f"{number}.png"],
        **labels,
        **more,
    }


def comparison(number: int) -> dict[str, Any]:
    photos = [f"{number}.png", "0.png", "1.png"]
    return {"id": f"c{number}", "set": "x", "task": "comparison", "photos": photos, "winner": "Image A"}


def write(folder: Path, name: str, *lines: dict[str, Any]) -> str:
    (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(folder / name)


@pytest.fixture
def command(official: Path, photos: Path, tmp_path: Path) -> Callable[..., list[str]]:
    """A command line that trains two steps on both tasks of one photo."""

    def line(*more: str, train: str | None = None, out: str = "run") -> list[str]:
        train = train or write(photos, "train.jsonl", score(0), score(1), degradation(0), degradation(1))
        start = f"--model {official / 'score_degradation'} --output_dir {tmp_path / out} {SMALL}"
        return [*start.split(), "--train", train, *" ".join(more).split()]

    return line


def variety(completions: Any, **_: Any) -> list[float]:
    """A reward that even a random model earns."""
    return [len(set(one[0]["content"])) / 10 for one in completions]


@pytest.fixture(autouse=True)
def rewarded(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if "real_rewards" not in request.fixturenames:
        monkeypatch.setattr(grpo, "reward_functions", lambda *_: ([variety], [1.0]))


@pytest.fixture
def real_rewards() -> None:
    """Asks for the rewards of the recipe."""


# --- refused before the first step ------------------------------------------------------------------------


@pytest.fixture
def refused(command: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., str]:
    def sentence(*more: str, **given: Any) -> str:
        assert grpo.main(command(*more, **given)) == 2
        assert not list((tmp_path / "run").glob("*.json")), "nothing is written before everything is checked"
        return capsys.readouterr().err

    return sentence


def test_a_label_out_of_range_is_refused_with_its_line(refused: Any, photos: Path) -> None:
    train = write(photos, "bad.jsonl", score(0), score(1, mos=7))
    assert f'{train}:2: expected "mos" from 1 to 5, got 7' in refused(train=train)


def test_a_missing_column_is_refused_with_its_line(refused: Any, photos: Path) -> None:
    line = degradation(0)
    del line["severity"]
    train = write(photos, "bad.jsonl", line)
    assert f'{train}:1: expected "severity" as one of' in refused(train=train)


def test_one_id_twice_is_refused_in_one_file_and_across_files(refused: Any, photos: Path) -> None:
    train = write(photos, "bad.jsonl", score(0), degradation(0, id="s0"))
    assert '"s0" stands in line 1 too' in refused(train=train)
    other = write(photos, "other.jsonl", score(0))
    assert '"s0" comes 2 times' in refused(f"{other}", train=write(photos, "bad.jsonl", score(0)))


def test_missing_and_unreadable_photos_are_listed(refused: Any, photos: Path) -> None:
    (photos / "torn.png").write_bytes((photos / "0.png").read_bytes()[:200])
    train = write(photos, "bad.jsonl", score(0), score(8), degradation(1, photos=["torn.png"]))
    told = refused(train=train)
    assert "8.png" in told
    assert "torn.png" in told
    assert "0.png" not in told


def test_a_photo_in_both_training_and_test_is_refused(refused: Any, photos: Path) -> None:
    test = write(photos, "test.jsonl", score(0, id="t"))
    assert '"t" is tested on' in refused(f"--test {test}")


def test_an_evaluation_without_data_is_refused(refused: Any) -> None:
    assert "--test" in refused("--eval_steps 1")


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ("--total_batch 64", "at least 16 examples"),
        ("--max_completion_length 1000000", "the model has room for"),
        ("--reward_weights 1 2", "Expected 5 reward_weights"),
    ],
)
def test_what_cannot_fit_is_told_before_the_weights_are_read(
    refused: Any, real_rewards: None, monkeypatch: pytest.MonkeyPatch, more: str, sentence: str
) -> None:
    def read(*_: Any) -> None:
        raise AssertionError("the weights were read")

    monkeypatch.setattr(grpo, "load_model", read)
    assert sentence in refused(more)


def test_fewer_examples_than_an_update_takes_are_refused(refused: Any, photos: Path) -> None:
    assert "at least 2 examples" in refused(train=write(photos, "bad.jsonl", score(0)))


# --- what a run leaves ------------------------------------------------------------------------------------


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}
    for file in sorted(folder.glob("*.safetensors")):
        found |= load_file(file)
    return found


def moved(before: Path, after: Path) -> set[str]:
    old, new = weights_of(before), weights_of(after)
    return {name for name in old if not torch.equal(old[name].float(), new[name].float())}


def words(folder: Path | str, photo: Path, precision: Precision = Precision.FP32) -> str:
    engine = LocalEngine.open(str(folder), Device.CPU, precision)
    request = Request(Task.SCORE, (load_photo(photo),))
    return "".join(delta.text for delta in engine.stream([request], Sampling(max_new_tokens=12)))


def test_a_full_fine_tune_moves_every_weight_and_the_app_serves_it(
    command: Any, official: Path, photos: Path, tmp_path: Path
) -> None:
    assert grpo.main(command("--learning_rate 1e-2 --name mine")) == 0
    run = tmp_path / "run"
    every = weights_of(official / "score_degradation").keys()
    assert moved(official / "score_degradation", run) == set(every)
    for folder in (run, run / "checkpoint-2"):
        engine = LocalEngine.open(str(folder), Device.CPU)
        assert engine.about.name == "mine"
        assert engine.about.max_pixels == 25088
        assert words(folder, photos / "0.png") != words(official, photos / "0.png")
    card = json.loads((run / "qinsight.json").read_text())
    assert card["order"] == "photo_first"
    assert card["tasks"] == ["score", "degradation", "comparison"], "it started from a Q-Insight checkpoint"


def test_the_processor_that_is_saved_is_the_checkpoints_own(
    command: Any, official: Path, tmp_path: Path
) -> None:
    assert grpo.main(command()) == 0
    saved = json.loads((tmp_path / "run" / "processor_config.json").read_text())
    assert saved["processor_class"] == "Qwen2_5_VLProcessor"
    image = saved["image_processor"]
    own = json.loads((official / "score_degradation" / "preprocessor_config.json").read_text())
    assert image["size"] == {"shortest_edge": own["min_pixels"], "longest_edge": own["max_pixels"]}
    assert "views" not in image


def test_a_frozen_vision_tower_does_not_move(command: Any, official: Path, tmp_path: Path) -> None:
    assert grpo.main(command("--train_vision false --learning_rate 1e-2")) == 0
    changed = moved(official / "score_degradation", tmp_path / "run")
    assert changed
    assert not any(name.startswith("visual") for name in changed)


@pytest.mark.parametrize("train_vision", [False, True])
def test_adapters_stand_in_the_vision_tower_only_where_it_is_asked_for(
    command: Any, train_vision: bool, tmp_path: Path
) -> None:
    assert grpo.main(command(f"--adapt lora --train_vision {train_vision}")) == 0
    names = weights_of(tmp_path / "run")
    in_words = [name for name in names if ".language_model.layers." in name]
    assert len(in_words) == 3 * 7 * 2, "7 projections of 3 layers, two matrices each"
    assert any("visual" in name for name in names) is train_vision


def test_an_adapter_is_served_with_its_base_and_folds_into_full_weights(
    command: Any, official: Path, photos: Path, tmp_path: Path
) -> None:
    assert grpo.main(command("--adapt lora --learning_rate 5e-2")) == 0
    run, merged = tmp_path / "run", tmp_path / "merged"
    said = words(run, photos / "0.png")
    assert said != words(official / "score_degradation", photos / "0.png")
    assert merge(["--model", str(run), "--out", str(merged), "--dtype", "float32"]) == 0
    shutil.rmtree(run)
    assert words(merged, photos / "0.png") == said
    assert not (merged / "adapter_config.json").exists()
    assert merge(["--model", str(merged), "--out", str(tmp_path / "again")]) == 1


def test_qlora_adapters_learn_in_fp32_and_leave_the_vision_tower_whole(command: Any) -> None:
    recipe, settings = parse(command("--adapt qlora"))
    trainer = grpo.build(recipe, settings, *grpo.read_data(recipe))
    learning = {name: weight for name, weight in trainer.model.named_parameters() if weight.requires_grad}
    assert len(learning) == 3 * 7 * 2
    assert {weight.dtype for weight in learning.values()} == {torch.float32}
    packed = {name for name, module in trainer.model.named_modules() if type(module).__name__ == "Linear4bit"}
    assert packed
    assert not any("visual" in name or "lm_head" in name for name in packed)


@pytest.mark.usefixtures("real_rewards")
@pytest.mark.parametrize("adapt", ["full", "lora", "qlora"])
@pytest.mark.parametrize("recipe", ["score_degradation", "comparison"])
def test_the_papers_recipes_run_in_every_way_of_adapting(
    command: Any, photos: Path, tmp_path: Path, recipe: str, adapt: str
) -> None:
    lines = [score(0), degradation(1)] if recipe == "score_degradation" else [comparison(2), comparison(3)]
    train = write(photos, f"{recipe}.jsonl", *lines)
    given = command(f"--adapt {adapt} --log_completions true", train=train)
    assert grpo.main(["--config", str(RECIPES / f"{recipe}.yaml"), *given]) == 0
    state = json.loads((tmp_path / "run" / "checkpoint-2" / "trainer_state.json").read_text())
    logged = state["log_history"][0]
    mine = {"score_degradation": ("score", "severity"), "comparison": ("comparison",)}[recipe]
    assert all(logged[f"rewards/{name}/mean"] is not None for name in ("format", *mine))
    other = "comparison" if recipe == "score_degradation" else "score"
    assert logged[f"rewards/{other}/mean"] is None or np.isnan(logged[f"rewards/{other}/mean"])
    assert logged["unreadable"] == 1.0, "a random model writes nothing readable"
    assert logged["frac_reward_zero_std"] == 1.0
    assert list((tmp_path / "run" / "completions").glob("*.parquet"))


def test_an_evaluation_on_the_way_is_greedy_and_repeatable(
    command: Any, photos: Path, tmp_path: Path
) -> None:
    shutil.copyfile(photos / "3.png", photos / "held.png")
    Image.open(photos / "3.png").rotate(180).save(photos / "held.png")
    lines = [score(0, id="t1", photos=["held.png"]), degradation(0, id="t2", photos=["held.png"])]
    test = write(photos, "test.jsonl", *lines)
    assert grpo.main(command(f"--test {test} --eval_steps 1 --learning_rate 1e-8")) == 0
    state = json.loads((tmp_path / "run" / "checkpoint-2" / "trainer_state.json").read_text())
    evaluations = [line for line in state["log_history"] if "eval_reward" in line]
    assert [line["step"] for line in evaluations] == [1, 2]
    assert evaluations[0]["eval_unreadable"] == evaluations[1]["eval_unreadable"] == 1.0
    assert evaluations[0]["eval_score/reward"] == 0.0


# --- going on ---------------------------------------------------------------------------------------------


def test_another_recipe_in_the_same_folder_is_refused_and_named(
    command: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert grpo.main(command()) == 0
    assert grpo.main(command("--learning_rate 1e-4")) == 2
    assert "learning_rate was 1e-06 and is 0.0001" in capsys.readouterr().err
    assert grpo.main(command("--resume false")) == 2
    assert "checkpoint-2" in capsys.readouterr().err


def test_a_checkpoint_that_was_being_written_when_the_run_was_killed_is_passed_over(
    command: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = command("--save_steps 1")
    assert grpo.main(arguments) == 0
    run = tmp_path / "run"
    expected = weights_of(run)
    (run / "checkpoint-2" / "trainer_state.json").write_text('{"epoch": 0.5, "glob')
    (run / "model.safetensors").unlink()
    capsys.readouterr()
    assert grpo.main(arguments) == 0
    assert "Going on from checkpoint-1." in capsys.readouterr().out
    assert all(torch.equal(expected[name], value) for name, value in weights_of(run).items())


def test_the_smoke_recipe_raises_a_dense_reward(official: Path, tmp_path: Path, monkeypatch: Any) -> None:
    """The shipped recipe and data, a tiny random model, and a reward that has a slope everywhere."""
    monkeypatch.chdir(RECIPES.parents[1])
    words = f"--model {official / 'score_degradation'} --output_dir {tmp_path / 'run'} --disable_tqdm true"
    faster = "--learning_rate 2e-3 --max_completion_length 24 --max_steps 12 --total_batch 64 --beta 0"
    given = ["--config", str(RECIPES / "smoke.yaml"), *words.split(), *faster.split()]
    recipe, settings = parse(given)
    trainer = grpo.run(recipe, settings)
    earned = [line["reward"] for line in trainer.state.log_history if "reward" in line]
    assert len(earned) == 12
    assert np.mean(earned[-3:]) > 1.1 * np.mean(earned[:3]), earned
