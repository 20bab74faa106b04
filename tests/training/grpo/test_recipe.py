"""A run as it is described: the paper's values without a word, and mistakes refused with their line."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from accelerate.commands.config.config_args import load_config_from_file

from shared.places import REPOSITORY
from training.grpo.recipe import RecipeError, check, parse, told, zero_stage
from training.rewards import Layout

TRAINING = REPOSITORY / "training"
RECIPES = sorted((TRAINING / "recipes").glob("*.yaml"))
PATHS = ["--train", "a.jsonl", "--output_dir", "out"]


def test_the_command_with_only_paths_is_the_papers_run() -> None:
    recipe, settings = parse(PATHS)
    assert recipe.model == "Qwen/Qwen2.5-VL-7B-Instruct"
    assert recipe.adapt == "full"
    assert recipe.train_vision is True
    assert recipe.layout is Layout.STRICT
    assert recipe.order == "photo_first"
    assert settings.num_generations == 8
    assert settings.total_batch == 128
    assert settings.per_device_train_batch_size * settings.gradient_accumulation_steps == 128
    assert settings.learning_rate == 1e-6
    assert settings.lr_scheduler_type == "polynomial"
    assert settings.lr_scheduler_kwargs == {"lr_end": 1e-9, "power": 1.0}
    assert settings.num_train_epochs == 10
    assert settings.beta == 1e-3
    assert settings.loss_type == "grpo"
    assert settings.use_bias_correction_kl is False
    assert settings.max_completion_length == 256
    assert (settings.temperature, settings.top_k, settings.top_p) == (1.0, 50, 1.0)
    assert settings.steps_per_generation == settings.gradient_accumulation_steps, "fully on-policy"


def test_an_evaluation_that_a_recipe_names_can_be_switched_off() -> None:
    preview = ["--config", str(TRAINING / "recipes" / "preview.yaml"), *PATHS]
    assert parse(preview)[1].eval_strategy == "steps"
    assert parse([*preview, "--eval_strategy", "no"])[1].eval_strategy == "no"
    assert parse(PATHS)[1].eval_strategy == "no"


@pytest.mark.parametrize("processes", [1, 2, 8])
def test_an_update_has_as_many_completions_however_many_processes_share_it(
    processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", str(processes))
    from training.grpo.recipe import Settings

    settings = object.__new__(Settings)
    settings.num_generations, settings.total_batch = 8, 128
    settings.per_device_train_batch_size, settings.gradient_accumulation_steps = 8, 0
    settings._share_the_batch()
    assert settings.gradient_accumulation_steps == 16 // processes


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: file.stem)
def test_every_recipe_is_read_by_the_real_parser_and_says_what_to_expect(file: Path) -> None:
    recipe, settings = parse(["--config", str(file), *PATHS])
    for name, value in yaml.safe_load(file.read_text()).items():
        if name not in ("train", "output_dir"):
            found = getattr(recipe, name) if hasattr(recipe, name) else getattr(settings, name)
            assert found == value, name
    head = file.read_text().split("\n\n")[0]
    for word in ("python -m training.grpo|-m training.grpo", "Hardware:", "Hours|Minutes", "To expect:"):
        assert re.search(word, head), f"{file.name} does not say {word}"


def test_the_promised_recipes_are_there() -> None:
    promised = {"score_degradation", "comparison", "score_only", "lora", "qlora", "preview", "smoke"}
    promised |= {"dapo", "dr_grpo"}
    assert promised <= {file.stem for file in RECIPES}


@pytest.mark.parametrize("file", sorted((TRAINING / "accelerate").glob("*.yaml")), ids=lambda file: file.stem)
def test_every_accelerate_file_is_read_by_accelerate(file: Path) -> None:
    assert load_config_from_file(str(file)).num_processes in (1, 8)


def refused(*words: str) -> str:
    with pytest.raises(RecipeError) as caught:
        parse(list(words))
    return str(caught.value)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (
            "learning_rat: 1e-6",
            "expected a setting of Recipe or GRPOConfig, got `learning_rat`; did you mean learning_rate?",
        ),
        ("total_batch: eight", "expected `total_batch` as int, got 'eight'"),
        ("beta: true", "expected `beta` as a number (float), got True"),
        ("train_vision: 3", "expected `train_vision` as true or false, got 3"),
        ("adapt: lorax", "expected `adapt` as one of full, lora, qlora, got 'lorax'"),
        ("layout: loose", "expected `layout` as one of strict, relaxed, got 'loose'"),
    ],
)
def test_a_mistake_in_a_recipe_is_refused_with_file_and_line(
    tmp_path: Path, line: str, sentence: str
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(f"# a recipe\nmodel: preview\n{line}\n")
    assert refused("--config", str(file), *PATHS) == f"{file}:3: {sentence}"


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("--dtype", "bfloat16"), "Expected dtype float32 for a full fine-tune without DeepSpeed"),
        (("--dtype", "float16"), "Expected dtype as auto, float32 or bfloat16; got float16"),
        (("--total_batch", "60"), "Expected total_batch as a multiple of"),
        (("--total_batch", "8", "--num_generations", "6"), "whole groups of num_generations = 6"),
        (("--num_generations", "1"), "whole groups of num_generations = 1 rollouts (2 or more)"),
        (("--load_best_model_at_end", "true", "--eval_steps", "50"), "Expected load_best_model_at_end false"),
        (("--save_only_model", "true"), "Expected save_only_model false"),
        (("--resume_from_checkpoint", "x"), "a run goes on by itself"),
        (("--max_pixels", "100"), "Expected max_pixels of at least 3136"),
        (("--score_reward", "ranking", "--total_batch", "8"), "at least two whole groups of 8 rollouts"),
        (("--steps_per_generation", "32", "--save_steps", "25"), "Expected save_steps as a multiple of 2"),
        (("--report_to", "trackio"), "pip install trackio"),
        (("--learning_rat", "1"), "--learning_rat"),
        (("--bet", "1"), "--bet"),  # no abbreviations: a typo must not set something else
    ],
)
def test_what_would_learn_nothing_or_something_else_is_refused(
    words: tuple[str, ...], part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "trackio", None)  # as where it is not installed
    assert part in refused(*PATHS, *words)


def test_bfloat16_weights_are_fine_under_deepspeed_which_keeps_masters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from training.grpo import recipe as module

    monkeypatch.setattr(module, "under_deepspeed", lambda settings: True)
    assert parse([*PATHS, "--dtype", "bfloat16"])[0].dtype == "bfloat16"


@pytest.mark.parametrize(
    ("sharing", "words", "part"),
    [
        ({"ACCELERATE_USE_FSDP": "true"}, (), "Expected --use_vllm true under FSDP"),
        (
            {"ACCELERATE_USE_FSDP": "true"},
            ("--use_vllm", "true", "--test", "x", "--eval_steps", "5"),
            "Expected no --eval_steps and no --eval_on_start under FSDP",
        ),
        ({"ACCELERATE_USE_FSDP": "true"}, ("--adapt", "qlora", "--use_vllm", "true"), "4-bit weights whole"),
        (
            {"ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_ZERO_STAGE": "3"},
            ("--adapt", "qlora"),
            "4-bit weights whole on every device",
        ),
        (
            {"ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_ZERO_STAGE": "3"},
            ("--ds3_gather_for_generation", "false", "--test", "x", "--eval_steps", "5"),
            "Expected ds3_gather_for_generation true",
        ),
    ],
)
def test_what_cannot_work_where_weights_are_shared_out_is_refused(
    sharing: dict[str, str], words: tuple[str, ...], part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, settings = parse([*PATHS, *words])
    for name, value in sharing.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(RecipeError) as caught:
        check(recipe, settings)
    assert part in str(caught.value)


def test_zero_2_takes_4_bit_weights_and_an_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, settings = parse([*PATHS, "--adapt", "qlora", "--test", "x", "--eval_steps", "5"])
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    monkeypatch.setenv("ACCELERATE_DEEPSPEED_ZERO_STAGE", "2")
    assert zero_stage(settings) == 2
    check(recipe, settings)


def test_a_run_without_data_or_folder_says_what_is_missing() -> None:
    assert "--train" in refused("--output_dir", "out")
    assert "--output_dir" in refused("--train", "a.jsonl")


def test_numbers_that_yaml_takes_for_words_are_numbers(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("learning_rate: 1e-5\nlr_scheduler_kwargs: {lr_end: 1e-8}\ntrain: one.jsonl\n")
    recipe, settings = parse(["--config", str(file), "--output_dir", "out"])
    assert settings.learning_rate == 1e-5
    assert settings.lr_scheduler_kwargs == {"lr_end": 1e-8}
    assert recipe.train == ["one.jsonl"]


def test_another_schedule_is_not_given_the_end_of_ours() -> None:
    assert parse([*PATHS, "--lr_scheduler_type", "constant"])[1].lr_scheduler_kwargs in (None, {})


def test_vllm_samples_from_the_whole_distribution() -> None:
    assert parse([*PATHS, "--use_vllm", "true"])[1].top_k == 0


def test_what_decides_a_result_is_told_and_what_does_not_is_not() -> None:
    def of(*words: str) -> dict[str, Any]:
        return told(*parse([*PATHS, *words]))

    assert of("--learning_rate", "1e-5") != of()
    assert of("--seed", "7") != of()
    assert of("--adapt", "lora") != of()
    assert of("--save_steps", "100", "--logging_steps", "5") == of()
