"""Many checkpoints on many data sets: one table, one picture, and a report for each."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from shared.engines import Judge
from training.evaluate import run as evaluate
from training.evaluate.many import Place, curve, places, table


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Two sets of photos rated by how bright they are."""
    found = []
    for name in ("koniq", "spaq"):
        lines = []
        for number in range(6):
            level = 40 * number + (7 if name == "spaq" else 0)
            Image.fromarray(np.full((30, 40, 3), level, np.uint8)).save(tmp_path / f"{name}{number}.png")
            line = {"id": f"{name}{number}", "set": name, "task": "score", "photos": [f"{name}{number}.png"]}
            lines.append(json.dumps({**line, "mos": 1 + number * 0.7}))
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))
        found.append(tmp_path / f"{name}.jsonl")
    return found


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with two whole checkpoints, one that was being written, and the best of them."""
    out = tmp_path / "run"
    for update in (5, 20, 100):
        (out / f"checkpoint-{update}").mkdir(parents=True)
        if update != 100:
            (out / f"checkpoint-{update}" / "trainer_state.json").write_text("{}")
    (out / "best").mkdir()
    (out / "best" / "best.json").write_text('{"name": "reward", "value": 1, "update": 20}')
    return out


def test_a_run_stands_for_its_whole_checkpoints_in_order_and_its_best(run: Path, tmp_path: Path) -> None:
    found = places([run])
    assert [(one.name, one.update) for one in found] == [
        ("run-checkpoint-5", 5),
        ("run-checkpoint-20", 20),
        ("run-best", 20),
    ]
    lone = tmp_path / "merged"
    lone.mkdir()
    assert [(one.name, one.update) for one in places([lone])] == [("merged", None)]
    for given, words in (([run, run], "named twice"), ([tmp_path / "none"], "Expected a folder")):
        with pytest.raises(evaluate.QInsightError, match=words):
            places(given)


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Opens a judge for every checkpoint: a later one mumbles at nothing."""
    opened: list[str] = []

    def engine(options: Any, _: Any) -> Judge:
        opened.append(options.model)
        return Judge(mumble=80 if options.model.endswith("checkpoint-5") else -1, weights=options.model)

    monkeypatch.setattr(evaluate, "open_engine", engine)
    return opened


def test_checkpoints_are_evaluated_into_one_table_and_one_picture_and_the_same_command_goes_on(
    run: Path, files: list[Path], engines: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    command = ["--checkpoints", str(run), "--data", *map(str, files), "--out", str(out)]
    assert evaluate.main(command) == 0
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[0] == (
        "| checkpoint | updates | koniq PLCC | koniq SRCC | spaq PLCC | spaq SRCC | unreadable |"
    )
    assert lines[2].startswith("| run-checkpoint-5 | 5 | ")
    assert lines[2].endswith("| 1 of 12 |")
    assert lines[3].startswith("| run-checkpoint-20 | 20 | 0.995 | **1.000** | ")
    assert (out / "checkpoints.md").read_text() == said.out
    with Image.open(out / "checkpoints.png") as picture:
        assert picture.size == (640, 600), "PLCC and SRCC"
    for name in ("run-checkpoint-5", "run-checkpoint-20", "run-best"):
        assert (out / name / "report.md").exists()
    assert evaluate.main(command) == 0
    assert "12 of 12 are answered already" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [["--checkpoints", "x"], ["--checkpoints", "x", "--data", "d", "--model", "y", "--out", "o"]]
)
def test_checkpoints_want_data_and_no_other_model(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        evaluate.main([*words, "--out", "o"])
    assert "--checkpoints" in capsys.readouterr().err


def test_a_number_that_does_not_exist_is_a_dash_and_one_checkpoint_makes_no_curve(tmp_path: Path) -> None:
    place = Place("a", tmp_path, 5)
    sets = [
        {"set": "x", "task": "degradation", "n": 3, "unreadable": 1, "class_accuracy": 0.5},
        {"set": "y", "task": "comparison", "n": 2, "unreadable": 0, "accuracy": None},
    ]
    text = table([(place, sets)])
    assert "| a | 5 | 0.500 | – | – | 1 of 5 |" in text
    assert not curve([(place, sets)], tmp_path / "c.png")
