"""What a run shows and leaves: a bar, a line an update, a plan, its best weights, a README; and how it is stopped."""

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from PIL import Image
from safetensors.torch import load_file
from transformers import TrainerControl, TrainerState
from transformers.integrations import deepspeed

from qinsight.engines.checkpoint import Device, read_checkpoint
from qinsight.engines.local import LocalEngine
from shared.places import REPOSITORY
from training.evaluate.best import KeepBest, read_best
from training.evaluate.curve import draw
from training.grpo import room
from training.grpo import run as grpo
from training.grpo.progress import LOG, Progress
from training.grpo.recipe import RecipeError, parse
from training.grpo.room import check_disk, config_of, count, memory_words

SMALL = (
    "--total_batch 8 --per_device_train_batch_size 8 --num_generations 4 --max_completion_length 4 "
    "--gradient_checkpointing false --max_pixels 25088"
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    lines = []
    for number in range(5):
        Image.effect_noise((84, 56), 20 + 9 * number).convert("RGB").save(folder / f"{number}.png")
        line = {
            "id": f"{number}",
            "set": "x",
            "task": "score",
            "photos": [f"{number}.png"],
            "mos": 2.0 + number % 3,
        }
        lines.append(json.dumps(line))
    (folder / "train.jsonl").write_text("\n".join(lines[:2]))
    (folder / "test.jsonl").write_text("\n".join(lines[2:]))
    return folder


@pytest.fixture
def command(official: Path, data: Path, tmp_path: Path) -> Callable[..., list[str]]:
    def line(*more: str) -> list[str]:
        start = f"--model {official / 'score_degradation'} --output_dir {tmp_path / 'run'}"
        return f"{start} --train {data / 'train.jsonl'} {SMALL} {' '.join(more)}".split()

    return line


# --- while it goes on -------------------------------------------------------------------------------------


def shown(arguments: list[str], until: str = "") -> tuple[int, str]:
    """Exit code and text of a run in a terminal; SIGTERM is sent when `until` is read."""
    parent, child = pty.openpty()
    environment = {
        **os.environ,
        "PYTHONPATH": str(REPOSITORY),
        "COLUMNS": "160",
        "LINES": "40",
        "TERM": "xterm",
    }
    running = subprocess.Popen(
        [sys.executable, "-m", "training.grpo", *arguments],
        stdout=child,
        stderr=child,
        env=environment,
        cwd=REPOSITORY,
    )
    os.close(child)
    text = ""
    while True:
        try:
            piece = os.read(parent, 4096)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        text += piece.decode(errors="replace")
        if until and until in text:
            running.send_signal(signal.SIGTERM)
            until = ""
    os.close(parent)
    return running.wait(), text


def test_a_terminal_shows_a_bar_and_one_line_an_update_and_sigterm_saves_and_says_so(
    command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = command("--max_steps 12 --save_steps 20 --learning_rate 1e-3 --logging_steps 1")
    code, text = shown(arguments, until="update  2 of 12")
    assert code == 143
    assert re.search(r"Training +\d+%\|.*\| \d+ of 12 updates, .* left", text), text[-2000:]
    assert "SIGTERM: this update is finished and saved, then the run stops." in text
    update = int(re.findall(r"Stopped after update (\d+), which is saved", text)[0])
    assert 2 <= update < 12
    assert (tmp_path / "run" / f"checkpoint-{update}" / "trainer_state.json").exists()
    lines = re.findall(r"update +(\d+) of 12  reward \d\.\d{3}  format \d\.\d\d", text)
    assert lines == [str(n) for n in range(1, update + 1)]
    assert "FutureWarning" not in text
    assert "{'" not in text, "no dictionary on the terminal"
    for line in ("Length     12 updates", "96 completions in all", "Memory     about", "Disk       "):
        assert line in text
    assert grpo.main([*arguments, "--disable_tqdm", "true"]) == 0
    updates = [json.loads(line)["update"] for line in (tmp_path / "run" / LOG).read_text().splitlines()]
    assert updates == sorted(updates), "a resumed run writes no update twice"
    assert set(range(1, 13)) <= set(updates)


def test_the_hours_of_the_run_are_told_after_the_first_updates(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter([0.0, 60.0, 70.0, 80.0, 90.0])
    shows = Progress(tmp_path, quiet=True, clock=lambda: next(clock))
    state = TrainerState(max_steps=363, is_world_process_zero=True)
    shows.on_train_begin(None, state, None)
    for state.global_step in range(1, 4):
        shows.on_step_end(None, state, None)
    told = capsys.readouterr().out
    assert "10.0 s an update at first: about 1:00:00 for the 360 updates that are left" in told, (
        "not the first's 60 s"
    )
    shows.on_log(
        None, state, None, {"loss": 0.1, "reward": 1.5, "kl": float("nan"), "rewards/score/mean": None}
    )
    told = capsys.readouterr().out
    assert told == "update   3 of 363  reward 1.500  1:00:00 left\n"
    assert json.loads((tmp_path / LOG).read_text())["rewards/score/mean"] is None


def test_an_evaluation_leaves_the_numbers_of_the_update_where_they_are(command: Any, data: Path) -> None:
    """With a line every two updates, the one before an evaluation was lost."""
    test = f"--test {data / 'test.jsonl'} --eval_steps 1 --logging_steps 2 --max_steps 2 --save_strategy no"
    trainer = grpo.run(*parse(command(test)))
    lines = [line for line in trainer.state.log_history if "looks" in line]
    assert len(lines) == 1
    assert lines[0]["num_tokens"] > 0
    assert lines[0]["reward"] is not None
    evaluated = [line for line in trainer.state.log_history if "eval_reward" in line]
    assert all("eval_looks" not in line and "looks" not in line for line in evaluated)


# --- what it needs ----------------------------------------------------------------------------------------


def test_a_run_without_room_for_its_checkpoints_is_refused_before_the_weights_are_read(
    command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(room.shutil, "disk_usage", lambda _: SimpleNamespace(free=10_000_000))
    monkeypatch.setattr(grpo, "load_model", lambda *_: pytest.fail("the weights were read"))
    assert grpo.main(command("--max_steps 100 --save_steps 10")) == 2
    told = capsys.readouterr().err
    assert "Expected room on the disk" in told
    assert "--save_total_limit 1" in told
    assert check_disk(9_000_000, tmp_path / "not" / "there")


def test_the_weights_of_a_checkpoint_are_counted_from_its_shapes_and_the_disk_is_as_estimated(
    command: Any, official: Path, tmp_path: Path
) -> None:
    for adapt in ("full", "lora"):
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        recipe, settings = parse(command(f"--adapt {adapt} --max_steps 1 --save_steps 1 --disable_tqdm true"))
        counts = count(config_of(official / "score_degradation"), recipe)
        trainer = grpo.run(recipe, settings)
        learn = [weight.numel() for weight in trainer.model.parameters() if weight.requires_grad]
        assert room.learning(counts, recipe) == sum(learn)
        saved = tmp_path / "run" / "checkpoint-1"
        heavy = sum(
            file.stat().st_size
            for file in saved.glob("*")
            if file.name.startswith(("model", "adapter_m", "opt"))
        )
        assert room.checkpoint_bytes(counts, recipe, settings) == pytest.approx(heavy, rel=0.15)


def seven_billion() -> Any:
    """The shapes of Qwen2.5-VL-7B-Instruct, from its published config.json."""
    from transformers import Qwen2_5_VLConfig

    return Qwen2_5_VLConfig(
        text_config={
            **{
                "hidden_size": 3584,
                "intermediate_size": 18944,
                "num_hidden_layers": 28,
                "vocab_size": 152064,
            },
            **{"num_attention_heads": 28, "num_key_value_heads": 4, "tie_word_embeddings": False},
        },
        vision_config={
            **{"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16},
            **{"out_hidden_size": 3584, "fullatt_block_indexes": [7, 15, 23, 31]},
        },
        tie_word_embeddings=False,
    )


RECIPE_OF = {
    name: [
        "--config",
        str(REPOSITORY / "training" / "recipes" / f"{name}.yaml"),
        "--train",
        "x",
        "--output_dir",
        "o",
    ]
    for name in ("qlora", "lora")
}


def test_weights_are_counted_under_zero_3_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where ZeRO-3 is on, transformers shares out a model as it is built, and asks for DeepSpeed to do so."""

    class Zero3:
        config: ClassVar[dict[str, Any]] = {}

        def is_zero3(self) -> bool:
            return True

    zero = Zero3()
    deepspeed.set_hf_deepspeed_config(zero)
    try:
        recipe, _ = parse(RECIPE_OF["lora"])
        assert count(seven_billion(), recipe).whole == 8_292_166_656
        assert deepspeed.is_deepspeed_zero3_enabled()
    finally:
        deepspeed.unset_hf_deepspeed_config()


@pytest.mark.parametrize(("name", "limit"), [("qlora", 24.0), ("lora", 48.0)])
def test_the_recipes_for_one_gpu_are_estimated_to_fit_the_card_they_name(name: str, limit: float) -> None:
    recipe, settings = parse(RECIPE_OF[name])
    settings.bf16, settings.use_cpu = True, False
    counts = count(seven_billion(), recipe)
    assert counts.whole == 8_292_166_656, "the parameters of the published 7B checkpoint"
    load = room.Load(
        rows=settings.per_device_train_batch_size,
        generated=settings.rollouts_at_once or 128,
        asked=180 + 252,
        tokens=180 + 252 + 256,
        photos=16,
        patches=4 * 252,
        batch=128,
    )
    parts = room.device_bytes(seven_billion(), counts, load, recipe, settings)
    assert sum(parts.values()) < limit * 1e9, memory_words(parts, limit * 1e9)
    assert "will probably not fit" in memory_words(parts, 8e9)


def test_the_estimate_is_what_an_h100_measured() -> None:
    """LoRA, 128 rollouts of up to 749 tokens of question side by side: 46.65 GiB at the peak (training/LOG.md)."""
    recipe, settings = parse([*RECIPE_OF["lora"], "--rollouts_at_once", "0"])
    settings.bf16, settings.use_cpu = True, False
    load = room.Load(
        rows=8, generated=128, asked=749, tokens=749 + 256, photos=32, patches=4 * 252, batch=128
    )
    parts = room.device_bytes(seven_billion(), count(seven_billion(), recipe), load, recipe, settings)
    assert sum(parts.values()) - room.SPARE == pytest.approx(46.65 * 2**30, rel=0.1)


# --- what it leaves ---------------------------------------------------------------------------------------


def chosen(keep: KeepBest, values: list[float], name: str) -> None:
    for update, value in enumerate(values, 1):
        state = TrainerState(global_step=update)
        keep.on_evaluate(SimpleNamespace(should_save=True), state, TrainerControl(), {f"eval_{name}": value})


@pytest.mark.parametrize(
    ("name", "values", "update"),
    [
        ("score/srcc", [0.1, 0.7, float("nan"), 0.6], 2),
        ("unreadable", [0.5, 0.2, 0.3], 2),
        ("score/absolute_error", [0.5, 0.6], 1),
    ],
)
def test_the_best_is_the_highest_of_a_correlation_and_the_lowest_of_an_error(
    tmp_path: Path, name: str, values: list[float], update: int
) -> None:
    saved: list[str] = []

    def save(folder: str) -> None:
        Path(folder).mkdir()
        saved.append(folder)

    chosen(KeepBest(name, tmp_path, save), values, name)
    best = read_best(tmp_path)
    assert best is not None
    assert best["update"] == update
    chosen(KeepBest(name, tmp_path, save), [values[update - 1]], name)
    assert read_best(tmp_path) == best, "a resumed run goes on from what is kept"


@pytest.mark.parametrize("adapt", ["full", "lora"])
def test_the_best_weights_are_kept_aside_and_served_with_a_readme_that_is_true(
    command: Any, data: Path, tmp_path: Path, official: Path, adapt: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = iter([0.2, 0.9, 0.4])
    variety = lambda completions, **_: [len(set(one[0]["content"])) / 10 for one in completions]  # noqa: E731
    variety.__name__ = "variety"
    monkeypatch.setattr(grpo, "reward_functions", lambda *_: ([variety], [1.0]))
    monkeypatch.setattr("training.grpo.greedy.measures", lambda *_: {"reward": next(told), "unreadable": 0.0})
    words = f"--test {data / 'test.jsonl'} --eval_steps 1 --keep_best reward --max_steps 3 --save_steps 1"
    given = command(
        f"{words} --adapt {adapt} --learning_rate 1e-3 --save_total_limit 1 --seed 3 --disable_tqdm true"
    )
    assert grpo.main(given) == 0
    run = tmp_path / "run"
    assert read_best(run) == {"name": "reward", "value": 0.9, "update": 2}
    assert LocalEngine.open(str(run / "best"), Device.CPU).about.name == "score_degradation, trained here"
    name = "model.safetensors" if adapt == "full" else "adapter_model.safetensors"
    assert any(
        (load_file(run / "best" / name)[key] != value).any() for key, value in load_file(run / name).items()
    )
    for folder, update in ((run, 3), (run / "best", 2), (run / "checkpoint-3", 3)):
        text = (folder / "README.md").read_text()
        assert f"after {update} updates of GRPO" in text
        assert "None" not in text.replace("None.", "")
        assert f"library_name: {'transformers' if adapt == 'full' else 'peft'}" in text
        digest = json.loads((run / "recipe.json").read_text())["data"][0]["digest"]
        assert f"| train.jsonl | 2 | {digest} |" in text
        assert "- `seed`: 3" in text
        assert "after update 1: reward 0.200" in text
        assert ("training.merge" in text) is (adapt == "lora")
        assert "python app.py --model" in text
        with Image.open(folder / "curves.png") as picture:
            assert picture.size[0] > 300
    assert read_checkpoint(run / "best").tasks


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ("--keep_best score/srcc", "Expected --test FILE and --eval_steps N"),
        ("--keep_best score/srrc --test x --eval_steps 5", "did you mean score/srcc?"),
        ("--rollouts_at_once 12", "Expected rollouts_at_once as a multiple of num_generations = 8"),
        ("--enable_jit_checkpoint true", "SIGTERM saves and stops a run anyway"),
    ],
)
def test_what_cannot_be_chosen_or_generated_is_refused(words: str, part: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse(f"--train a --output_dir o {words}".split())
    assert part in str(caught.value)


def test_curves_without_a_point_make_no_picture_and_one_point_makes_one(tmp_path: Path) -> None:
    file = tmp_path / "c.png"
    assert not draw({"reward": {"reward": [], "x": [(1.0, float("nan"))]}}, "update", file)
    assert not file.exists()
    assert draw({"reward": {"reward": [(1.0, 0.5)]}, "none": {}}, "update", file)
    with Image.open(file) as picture:
        assert picture.size == (640, 300)
