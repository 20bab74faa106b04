"""A run that goes on is the same run: what is learnt from, and how, is noted and compared, and what may change is named."""

import json
import shutil
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from training.grpo import run as grpo
from training.grpo.recipe import Recipe, RecipeError, Settings, parse, told
from training.grpo.resume import MAY_CHANGE, differences

PATHS = "--train a.jsonl --output_dir out"


@pytest.fixture
def stands(tmp_path: Path) -> Callable[[dict[str, Any]], Path]:
    """The folder of a run that was killed after its first checkpoint."""

    def made(now: dict[str, Any]) -> Path:
        out = tmp_path / "run"
        (out / "checkpoint-5").mkdir(parents=True, exist_ok=True)
        (out / "checkpoint-5" / "trainer_state.json").write_text("{}")
        grpo.note(out, now)
        return out

    return made


def of(*words: str) -> dict[str, Any]:
    return told(*parse(f"{PATHS} {' '.join(words)}".split()))


CHANGED = [
    ("reward_weights", "--reward_weights 1 1 0.5 0.5 1"),
    ("optim", "--optim sgd"),
    ("epsilon_high", "--epsilon_high 0.28"),
    ("shuffle_dataset", "--shuffle_dataset false"),
    ("bf16", "--bf16 true"),
    ("learning_rate", "--learning_rate 1e-5"),
    ("beta", "--beta 0.04"),
    ("seed", "--seed 7"),
    ("data_seed", "--data_seed 7"),
    ("adam_beta2", "--adam_beta2 0.95"),
    ("weight_decay", "--weight_decay 0.1"),
    ("mask_truncated_completions", "--mask_truncated_completions true"),
    ("importance_sampling_level", "--importance_sampling_level sequence"),
    ("top_entropy_quantile", "--top_entropy_quantile 0.2"),
    ("repetition_penalty", "--repetition_penalty 1.05"),
    ("min_p", "--min_p 0.1"),
    ("delta", "--delta 4"),
    ("multi_objective_aggregation", "--multi_objective_aggregation normalize_then_sum"),
    ("lora_r", "--lora_r 32"),
    ("order", "--order question_first"),
    ("max_pixels", "--max_pixels 100352"),
    ("layout", "--layout relaxed"),
    ("sync_ref_model", "--sync_ref_model true"),
    ("disable_dropout", "--disable_dropout true"),
    ("generation_kwargs", '--generation_kwargs {"num_beams":2}'),
    ("rollouts_at_once", "--rollouts_at_once 16"),
    ("steps_per_generation", "--steps_per_generation 8"),
    ("lr_scheduler_type", "--lr_scheduler_type linear"),
    ("warmup_steps", "--warmup_steps 9"),
    ("max_grad_norm", "--max_grad_norm 0.5"),
    ("no_signal", "--no_signal filter"),
]


@pytest.mark.parametrize(("name", "words"), CHANGED, ids=[name for name, _ in CHANGED])
def test_a_setting_that_changes_what_is_learnt_is_refused_with_its_name(
    name: str, words: str, stands: Any
) -> None:
    out = stands(of())
    with pytest.raises(RecipeError, match=rf"\b{name} was "):
        grpo.where_it_stood(out, of(words), resume=True)
    assert grpo.where_it_stood(out, of(), resume=True) == out / "checkpoint-5"


@pytest.mark.parametrize(
    "words",
    [
        "--save_steps 25",
        "--save_total_limit 9",
        "--logging_steps 7",
        "--run_name other",
        "--ddp_timeout 9000",
        "--dataloader_num_workers 2",
        "--log_completions true",
        "--name other",
        "--gradient_checkpointing false",
        "--looks_memory 1",
        "--test t.jsonl --eval_steps 10 --keep_best score/srcc",
        "--hub_model_id me/mine",
        "--disable_tqdm true",
        "--eval_photos 9",
    ],
)
def test_what_changes_nothing_that_is_learnt_may_change(words: str, stands: Any) -> None:
    out = stands(of())
    assert grpo.where_it_stood(out, of(words), resume=True) == out / "checkpoint-5"


def test_whatever_is_not_declared_harmless_is_compared_and_what_is_has_a_reason() -> None:
    named = {field.name for kind in (Recipe, Settings) for field in fields(kind)}
    noted = of().keys()
    assert named - noted == named & MAY_CHANGE.keys()
    assert all(reason for reason in MAY_CHANGE.values())


def test_a_run_with_another_number_of_processes_is_another_run(stands: Any) -> None:
    out = stands({**of(), "processes": 2})
    with pytest.raises(RecipeError, match="processes was 2 and is 1"):
        grpo.where_it_stood(out, of(), resume=True)


def test_what_an_older_version_did_not_note_is_said_not_guessed(
    stands: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    few = {name: value for name, value in of().items() if name in ("learning_rate", "seed", "beta")}
    assert grpo.where_it_stood(stands(few), of(), resume=True)
    assert "not compared" in capsys.readouterr().out


# --- data -------------------------------------------------------------------------------------------------


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    lines = []
    for number in range(3):
        Image.new("RGB", (56, 56), (number, 9, 9)).save(folder / f"{number}.png")
        lines.append(
            {"id": f"{number}", "set": "x", "task": "score", "photos": [f"{number}.png"], "mos": 2.0 + number}
        )
    (folder / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder / "a.jsonl"


def digests(file: Path) -> list[dict[str, Any]] | None:
    recipe, _ = parse(["--train", str(file), "--output_dir", "out"])
    return grpo.checked_data(recipe).digests


def test_data_changed_behind_the_same_path_is_refused_and_data_that_only_moved_is_not(data: Path) -> None:
    before = {"data": digests(data)}

    def refused() -> str:
        return "; ".join(differences(before, {"data": digests(data)}))

    assert refused() == ""
    text = data.read_text()
    data.write_text(text.replace('"mos": 3.0', '"mos": 3.1'))
    assert "the data of --train was a.jsonl (3 examples" in refused()
    data.write_text(text.splitlines()[0] + "\n")
    assert "and is a.jsonl (1 examples" in refused()
    data.write_text("\n".join(reversed(text.splitlines())))
    assert refused(), "in another order every batch is another"
    data.write_text(text)
    Image.new("RGB", (56, 56), (200, 9, 9)).save(data.parent / "1.png")
    assert refused(), "a photo with other pixels under the same name"
    Image.new("RGB", (56, 56), (1, 9, 9)).save(data.parent / "1.png")
    moved = shutil.copytree(data.parent, data.parent.with_name("elsewhere")) / "b.jsonl"
    (moved.parent / "a.jsonl").rename(moved)
    assert differences(before, {"data": digests(moved)}) == []


def test_a_model_that_only_moved_is_the_same_and_one_that_was_trained_on_is_not() -> None:
    before = {"model": "a", "weights": "12ab"}
    assert differences(before, {"model": "b", "weights": "12ab"}) == []
    assert differences(before, {"model": "a", "weights": "ffff"}) == ["weights was '12ab' and is 'ffff'"]
    assert differences({"model": "x/a", "weights": ""}, {"model": "x/b", "weights": ""})


def test_only_the_first_process_of_a_node_looks_at_the_photos(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[int] = []
    real = grpo.read_photos
    monkeypatch.setattr(grpo, "read_photos", lambda *given: looked.append(1) or real(*given))
    recipe, _ = parse(["--train", str(data), "--output_dir", "out"])
    for rank, local, looks in ((0, 0, 1), (1, 1, 0), (8, 0, 1), (9, 1, 0)):
        looked.clear()
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("LOCAL_RANK", str(local))
        assert (grpo.checked_data(recipe).digests is None) == (looks == 0)
        assert len(looked) == looks
