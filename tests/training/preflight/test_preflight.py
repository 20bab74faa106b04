"""A preflight names what is wrong with a run, says nothing of healthy ones, and changes no weight."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from qinsight.answers import Clean, Comparison, Degradation, Distortion, Severity, Winner
from qinsight.prompts import Task
from shared.places import REPOSITORY
from training.data import convert as data
from training.data.examples import Example, Rated, Target
from training.grpo import run as grpo
from training.grpo.__main__ import command
from training.preflight import run as preflight
from training.preflight.audit import ATTACKS, audit
from training.preflight.rehearsal import drawn
from training.preflight.rollouts import Rollout, told
from training.preflight.symptoms import cause_of, of_labels, of_rollouts

PREVIEW = REPOSITORY / "qinsight" / "preview"
RECIPE = str(REPOSITORY / "training" / "recipes" / "preview.yaml")
FEW = ["--prompts", "24", "--rollouts", "2", "--audit_photos", "0"]


@pytest.fixture(scope="session")
def views(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small degraded set of the example photos."""
    out = tmp_path_factory.mktemp("views")
    words = f"degrade {REPOSITORY / 'examples/photos'} --out {out / 'set'} --views 160 --tokens 8 24 --with-reference"
    assert data.main([*words.split(), "--workers", "1"]) == 0
    return out / "set"


@pytest.fixture
def looked(views: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Exit code and words of a preflight of the preview's recipe, with changed flags."""
    torch.set_num_threads(1)

    def look(*more: str, train: Path | None = None, few: list[str] = FEW) -> tuple[int, str]:
        capsys.readouterr()
        words = ["--config", RECIPE, "--train", str(train or views / "train.jsonl"), *few, *more]
        code = preflight.main(words)
        return code, capsys.readouterr().out

    return look


def changed(views: Path, name: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Path:
    lines = [json.loads(line) for line in (views / "train.jsonl").read_text().splitlines()]
    (views / name).write_text("".join(json.dumps(change(line)) + "\n" for line in lines))
    return views / name


# --- healthy ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "more",
    [
        "",
        "--accuracy clean",
        "--score_reward gaussian",
        "--adapt lora --learning_rate 1e-3",
        "--loss_type dapo --beta 0 --epsilon_high 0.28 --max_completion_length 160",
    ],
)
def test_a_healthy_run_raises_no_alarm(looked: Any, more: str) -> None:
    code, words = looked(*more.split())
    assert "Preflight: nothing alarming." in words, words
    assert code == 0


def test_what_was_measured_is_told_and_no_weight_moves(looked: Any, tmp_path: Path) -> None:
    model = Path(shutil.copytree(PREVIEW, tmp_path / "model"))
    kept = tmp_path / "rollouts.jsonl"
    before = (model / "model.safetensors").read_bytes()
    few = ["--prompts", "6", "--rollouts", "2", "--audit_photos", "2", "--keep", str(kept)]
    code, words = looked("--model", str(model), few=few)
    assert code in (0, 1)
    assert (model / "model.safetensors").read_bytes() == before
    for part in (
        "Layout     tags in a line",
        "Replies",
        "Task       score: accuracy",
        "groups without signal",
    ):
        assert part in words
    for part in (
        "Update     ",
        "measured on 12 completions and scaled to 256",
        "GiB at the peak",
        "Run        130 updates",
    ):
        assert part in words
    for attack in ATTACKS:
        assert f"Judge      {attack}: the rating rises in " in words
    lines = [json.loads(line) for line in kept.read_text().splitlines()]
    assert len(lines) == 12
    assert {"id", "task", "text", "tokens", "cut", "format", "score"} <= set(lines[0])


def test_torchrun_starts_two_processes_that_look_together_and_tell_once(views: Path, tmp_path: Path) -> None:
    words = f"--ddp_backend gloo --config {RECIPE} --train {views / 'train.jsonl'} --output_dir {tmp_path / 'run'} "
    words += "--prompts 4 --rollouts 2 --audit_photos 0 --total_batch 8 --per_device_train_batch_size 4"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]
    done = subprocess.run(
        [*torchrun, "-m", "training.preflight", *words.split()],
        cwd=REPOSITORY,
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert "Traceback" not in done.stderr, done.stderr[-2000:]
    assert done.stdout.count("Preflight: ") == 1
    assert done.stdout.count("Update     ") == 1
    assert not (tmp_path / "run").exists()


def test_the_rehearsal_leaves_every_weight_as_it_was(views: Path, tmp_path: Path) -> None:
    from training.data.examples import read_examples
    from training.grpo.recipe import parse
    from training.preflight.rehearsal import Run, Seen, rehearse

    words = f"--config {RECIPE} --train {views / 'train.jsonl'} --output_dir {tmp_path} --total_batch 8 "
    words += "--per_device_train_batch_size 8 --num_generations 2"
    sample = drawn(read_examples(views / "train.jsonl"), 4, 1)
    trainer = rehearse(Run(*parse(words.split())), sample, 1, Seen(), tmp_path)
    first = grpo.load_model(*parse(words.split()), grpo.find(parse(words.split())[0])).state_dict()
    assert all(torch.equal(first[name], weight) for name, weight in trainer.model.state_dict().items())


def test_a_run_with_preflight_stops_where_something_is_alarming(
    views: Path, tmp_path: Path, capsys: Any
) -> None:
    words = ["--config", RECIPE, "--train", str(views / "train.jsonl"), "--output_dir", str(tmp_path / "run")]
    assert command([*words, *FEW, "--preflight", "--layout", "strict"]) == 1
    assert "newline format" in capsys.readouterr().out
    assert not (tmp_path / "run").exists()


# --- planted in the recipe, the data, the checkpoint --------------------------------------------------------


def test_a_newline_format_that_nobody_writes_is_named(looked: Any) -> None:
    code, words = looked("--layout", "strict")
    assert code == 1
    assert "! newline format: the format reward is 0.00" in words
    assert "with layout: relaxed" in words


def test_replies_that_are_cut_are_named(looked: Any) -> None:
    code, words = looked("--max_completion_length", "20")
    assert code == 1
    assert "! replies cut: 100% of the replies reach max_completion_length (20 tokens)" in words


def test_rollouts_without_variance_are_named(looked: Any) -> None:
    code, words = looked("--temperature", "0.001")
    assert code == 1
    assert "! no variance: in " in words


def test_photo_and_question_in_the_wrong_order_are_named(looked: Any) -> None:
    code, words = looked("--order", "question_first")
    assert code == 1
    assert "! order of photo and question: " in words
    assert "trained with order: photo_first, the recipe asks with question_first" in words


def test_swapped_labels_are_named(looked: Any, views: Path) -> None:
    other = {"Image A": "Image B", "Image B": "Image A", "Similar": "Similar"}

    def swap(line: dict[str, Any]) -> dict[str, Any]:
        if "mos" in line:
            return line | {"mos": 6 - line["mos"]}
        return line | {"winner": other[line["winner"]]} if "winner" in line else line

    code, words = looked(
        train=changed(views, "swapped.jsonl", swap),
        few=["--prompts", "120", "--rollouts", "2", "--audit_photos", "0"],
    )
    assert code == 1
    assert "! swapped labels: ratings fall where the labels rise" in words


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda line: line | {"mos": (line["mos"] - 1) * 25} if "mos" in line else line, "scale"),
        (lambda line: line | {"mos": str(line["mos"])} if "mos" in line else line, "quoted numbers"),
        (lambda line: line | {"photos": [f"gone/{one}" for one in line["photos"]]}, "missing photos"),
        (
            lambda line: line | {"mos": 1 + line["mos"] / 100} if "mos" in line else line,
            "labels without variance",
        ),
    ],
)
def test_faults_of_the_data_are_named(looked: Any, views: Path, change: Any, name: str) -> None:
    code, words = looked(
        train=changed(views, "changed.jsonl", change),
        few=["--prompts", "2", "--rollouts", "2", "--audit_photos", "0"],
    )
    assert code in (1, 2)
    assert f"! {name}: " in words


def test_a_photo_that_is_far_too_large_is_named(looked: Any, views: Path) -> None:
    Image.fromarray(np.zeros((4200, 4200, 3), np.uint8)).save(views / "huge.png")
    names = iter(range(10_000))
    change = lambda line: line | {"photos": ["huge.png"]} if next(names) == 0 else line  # noqa: E731
    file = changed(views, "huge.jsonl", lambda line: change(line) if "mos" in line else line)
    code, words = looked(train=file, few=["--prompts", "2", "--rollouts", "2", "--audit_photos", "0"])
    assert code == 1
    assert "! photo too large: " in words
    assert "huge.png" in words


def test_a_checkpoint_of_another_architecture_is_named(looked: Any, tmp_path: Path) -> None:
    model = Path(shutil.copytree(PREVIEW, tmp_path / "model"))
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"model_type": "qwen3_vl"}))
    code, words = looked("--model", str(model))
    assert code == 2
    assert "! architecture: Expected a Qwen2.5-VL checkpoint" in words
    text = config["text_config"] | {"intermediate_size": 2 * config["text_config"]["intermediate_size"]}
    (model / "config.json").write_text(json.dumps(config | {"text_config": text}))
    code, words = looked("--model", str(model))
    assert code == 2
    assert "! architecture: " in words


# --- planted in the replies -------------------------------------------------------------------------------


def rollouts(
    answers: Callable[[int, int], str],
    targets: Callable[[int], Target],
    task: Task,
    *,
    groups: int = 20,
    frame: str = "",
) -> list[Rollout]:
    """Four replies to each of many questions; `answers` and `targets` say what stands in them."""
    from training.rewards import Accuracy, Layout, format_reward, reader, task_reward

    frame = frame or "<think> it is soft </think><answer> {} </answer>"
    found = []
    for group in range(groups):
        for number in range(4):
            text = frame.replace("{}", answers(group, number))
            target = targets(group)
            earned = task_reward(target, reader(Accuracy.PUBLISHED)(task, text))
            paid = {"format": format_reward(text, task, Layout.RELAXED), "earned": earned}
            found.append(Rollout(f"{task}{group}", task, target, text, 40, False, paid))
    return found


def mos(group: int) -> Rated:
    return Rated(1 + group / 5, 1 + group / 5)


def names(found: list[Rollout]) -> set[str]:
    return {one.name for one in of_rollouts(found, "relaxed", 100) if one.alarm}


def test_good_replies_raise_nothing() -> None:
    assert names(rollouts(lambda g, n: f'{{"rating": {1 + g / 5 + n / 5:.2f}}}', mos, Task.SCORE)) == set()


def test_quoted_numbers_in_replies_are_named() -> None:
    assert "quoted numbers" in names(
        rollouts(lambda g, n: f'{{"rating": "{1 + g / 5 + n / 5:.2f}"}}', mos, Task.SCORE)
    )


def test_ratings_on_a_scale_of_a_hundred_are_named() -> None:
    assert "scale" in names(rollouts(lambda g, n: f'{{"rating": {20 + 4 * g + n}}}', mos, Task.SCORE))


def test_ratings_against_and_without_relation_to_the_labels_are_named() -> None:
    against = rollouts(lambda g, n: f'{{"rating": {5 - g / 5 + n / 50:.2f}}}', mos, Task.SCORE)
    assert "swapped labels" in names(against)
    dice = np.random.default_rng(5).permutation(20)
    apart = rollouts(lambda g, n: f'{{"rating": {1 + dice[g] / 5 + n / 50:.2f}}}', mos, Task.SCORE)
    assert names(apart) & {"swapped labels", "labels without relation"}


def test_exchanged_classes_and_levels_and_sides_are_named() -> None:
    kinds, levels = tuple(Distortion), tuple(Severity)
    said = lambda kind, level: f'{{"distortion_class": "{kind}", "severity": "{level}"}}'  # noqa: E731
    true = lambda g: Degradation(kinds[g % 4], levels[g % 5])  # noqa: E731
    shifted = rollouts(lambda g, n: said(kinds[(g + 1) % 4], levels[(g + n) % 5]), true, Task.DEGRADATION)
    assert "swapped labels" in names(shifted)
    reversed_ = rollouts(lambda g, n: said(kinds[g % 4], levels[4 - g % 5]), true, Task.DEGRADATION)
    assert "swapped labels" in names(reversed_)
    good = rollouts(lambda g, n: said(kinds[g % 4], levels[min(4, g % 5 + n % 2)]), true, Task.DEGRADATION)
    assert names(good) == set()
    sides = rollouts(
        lambda g, n: "Image A" if (g + (n == 0)) % 2 else "Image B",
        lambda g: Comparison(Winner.B if g % 2 else Winner.A),
        Task.COMPARISON,
    )
    assert "swapped labels" in names(sides)


def test_rewards_that_are_all_the_same_are_named() -> None:
    wrong = rollouts(
        lambda g, n: f'{{"rating": {4.9 - n / 10:.1f}}}', lambda g: Rated(1 + g / 20, 1), Task.SCORE
    )
    assert "no variance" in names(wrong)


def test_labels_of_one_class_and_of_one_side_are_named() -> None:
    def rows(task: Task, target: Target) -> list[Example]:
        return [Example(str(n), "x", task, (Path("a.png"),), target) for n in range(20)]

    for task, target in (
        (Task.DEGRADATION, Clean()),
        (Task.COMPARISON, Comparison(Winner.A)),
        (Task.SCORE, Rated(3.0, 3.0)),
    ):
        assert [one.name for one in of_labels(rows(task, target))] == ["labels without variance"]
    mixed = [Example(str(n), "x", Task.SCORE, (Path("a.png"),), mos(n)) for n in range(20)]
    assert of_labels(mixed) == []


def test_an_error_nobody_foresaw_is_told_as_it_is() -> None:
    assert str(cause_of("Something else.")) == "! cannot begin: Something else."


def test_shares_add_up_to_all_replies() -> None:
    mixture = rollouts(lambda g, n: '{"rating": 3}', mos, Task.SCORE, groups=1)
    fenced = rollouts(lambda g, n: '```json\n{"rating": 3}\n```', mos, Task.SCORE, groups=1)
    lines = told([*mixture, *fenced, *rollouts(lambda g, n: "3", mos, Task.SCORE, groups=2, frame="{}")])
    assert lines[:3] == [
        "Layout     no <think>: 50.0%",
        "Layout     tags in a line: 25.0%",
        "Layout     a code fence: 25.0%",
    ]


def test_tasks_are_drawn_alike() -> None:
    rows = [Example(f"s{n}", "x", Task.SCORE, (), mos(n % 20)) for n in range(100)]
    rows += [Example(f"d{n}", "x", Task.DEGRADATION, (), Clean()) for n in range(10)]
    found = drawn(rows, 20, 1)
    assert sum(one.task is Task.DEGRADATION for one in found) == 10
    assert [one.id for one in drawn(rows, 20, 1)] == [one.id for one in found]
    assert len(drawn(rows, 200, 1)) == 110


# --- the judge --------------------------------------------------------------------------------------------


def test_every_attack_makes_another_picture_of_the_same_size() -> None:
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8))
    for attack in ATTACKS.values():
        made = attack(photo)
        assert made.size == photo.size
        assert made.tobytes() != photo.tobytes()
        assert made.tobytes() == attack(photo).tobytes()


def test_a_rating_that_rises_is_counted_and_by_how_much() -> None:
    from shared.engines import ScriptedEngine

    class Judge(ScriptedEngine):
        """Rates a photo by the mean of its pixels, so that only black is worse than before."""

        def stream(self, requests: Any, *given: Any, **more: Any) -> Any:
            dark = [np.asarray(one.photos[0]).max() == 0 for one in requests]
            self.scripts = [[f'<answer>{{"rating": {1.0 if black else 3.0}}}</answer>'] for black in dark]
            return super().stream(requests, *given, **more)

    photos = [Image.fromarray(np.full((40, 40, 3), grey, np.uint8)) for grey in (100, 200)]
    found = {one.attack: one for one in audit(Judge([""]), photos)}
    assert (found["blacked out"].photos, found["blacked out"].rose, found["blacked out"].change) == (
        2,
        0,
        -2.0,
    )
    assert found["noise added"].change == 0
    assert str(found["blacked out"]) == "blacked out: the rating rises in 0 of 2 photos, by -2.00 in the mean"
