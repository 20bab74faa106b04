"""A flag, a setting or a file that is not what it should be is told with what was probably meant."""

from pathlib import Path
from typing import Any

import pytest

from training.command_line import did_you_mean
from training.data import convert as data
from training.evaluate import run as evaluate
from training.grpo import run as grpo
from training.grpo.recipe import Recipe, RecipeError, Settings, parse

PATHS = ["--train", "a.jsonl", "--output_dir", "out"]


@pytest.mark.parametrize(
    ("flag", "meant"),
    [
        ("--learning_rat", "--learning_rate"),
        ("--learning-rat=3", "--learning_rate"),
        ("--Beta", "--beta"),
        ("--lr", "--learning_rate"),
        ("--epochs", "--num_train_epochs"),
        ("--rollouts", "--num_generations"),
        ("--model_name_or_path", "--model"),
        ("--traindata", "--train"),
        ("--max_new_tokens", "--max_completion_length"),
        ("--score-rewards", "--score_reward"),
    ],
)
def test_a_mistyped_flag_of_a_run_gets_a_suggestion(flag: str, meant: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse([*PATHS, flag, "1"])
    assert f"did you mean {meant}?" in str(caught.value)


@pytest.mark.parametrize("meant", ["--train", "--output_dir"])
def test_a_mistyped_flag_that_a_run_cannot_do_without_gets_a_suggestion_too(meant: str) -> None:
    with pytest.raises(RecipeError, match=rf"did you mean {meant}\?"):
        parse([word if word != meant else meant[:-1] for word in PATHS])


@pytest.mark.parametrize("name", [*Recipe.__annotations__, *Settings.__annotations__])
def test_every_setting_is_suggested_where_a_letter_of_it_is_lost(tmp_path: Path, name: str) -> None:
    mistyped = name[:-1] if len(name) > 5 else name + "x"
    file = tmp_path / "mine.yaml"
    file.write_text(f"{mistyped}: 1\n")
    for words in ([f"--{mistyped}", "1"], ["--config", str(file)]):
        with pytest.raises(RecipeError, match=r"did you mean (--)?" + name + r"\?"):
            parse([*PATHS, *words])


def test_a_wrong_value_is_a_sentence_without_pages_of_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert grpo.main([*PATHS, "--adapt", "lorax"]) == 2
    told = capsys.readouterr().err
    assert "invalid choice: 'lorax'" in told
    assert "did you mean lora?" in told
    assert grpo.main([*PATHS, "--total_batch", "eight"]) == 2
    assert len((told + capsys.readouterr().err).splitlines()) < 5


def test_help_is_short_and_says_where_the_rest_is(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--help"])
    told = capsys.readouterr().out
    assert len(told.splitlines()) < 80
    assert "--score_reward" in told
    assert "--help_all" in told


@pytest.mark.parametrize(
    ("command", "words", "meant"),
    [
        (data.main, ["offical", "x"], "official"),
        (data.main, ["deqa", "x", "--out", "y", "--rooot", "z"], "--root"),
        (data.main, ["list", "x", "--rot", "y", "--set", "SPAQ", "--out", "z"], "--root"),
        (evaluate.main, ["--dat", "x", "--out", "y"], "--data"),
    ],
)
def test_the_other_commands_suggest_too(
    capsys: pytest.CaptureFixture[str], command: Any, words: list[str], meant: str
) -> None:
    with pytest.raises(SystemExit):
        command(words)
    assert f"did you mean {meant}?" in capsys.readouterr().err


def test_a_word_that_is_near_nothing_gets_no_suggestion() -> None:
    assert did_you_mean("zzz", ["beta", "seed"]) == ""


@pytest.mark.parametrize(
    ("content", "command"),
    [
        ("a.jpg 3.4 0.5\nb.jpg 2.2 0.4\n", "training.data list "),
        ('[{"image": "a.jpg", "gt_score_norm": 3.1}]', "training.data official "),
        ('{"image": ["a.jpg"], "dataset_name": "x", "conversations": []}\n', "training.data jsonl "),
        ("photo,mos\na.jpg,3\n", "training.data ratings "),
    ],
)
def test_a_label_file_given_to_a_run_is_pointed_to_its_converter(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, command: str
) -> None:
    file = tmp_path / "labels.txt"
    file.write_text(content)
    assert grpo.main(["--model", "preview", "--train", str(file), "--output_dir", str(tmp_path / "run")]) == 2
    told = capsys.readouterr().err
    assert f"{command}{file}" in told
    assert len(told.splitlines()) < 4
    assert evaluate.main(["--data", str(file), "--out", str(tmp_path / "out"), "--model", "preview"]) == 1
    assert f"{command}{file}" in capsys.readouterr().err
