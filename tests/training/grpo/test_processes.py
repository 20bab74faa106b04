"""Two and four processes under gloo, as on as many GPUs: whole groups, one data order, shares, stops and numbers."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from shared.places import REPOSITORY

RUNS = """
import json, os, signal, sys
from pathlib import Path
from training.grpo import greedy
from training.grpo import run as grpo
from training.data import photo_check
from training.grpo.progress import Stop, Stopped
from training.grpo.recipe import parse
from training.grpo.trainer import QInsightTrainer

def variety(completions, id, **_):
    return [0.5 if name == "0" else len(set(one[0]["content"])) / 10 for one, name in zip(completions, id)]

grpo.reward_functions = lambda *_: ([variety], [1.0])
seen, real = [], QInsightTrainer._generate_and_score_completions
def noted(self, inputs):
    seen.append((self.state.global_step, [row["id"] for row in inputs]))
    return real(self, inputs)
QInsightTrainer._generate_and_score_completions = noted
asked, ask = [], greedy.Greedy._ask
def shared(self, model, mine):
    asked.append(list(mine))
    return ask(self, model, mine)
greedy.Greedy._ask = shared
looked, read = [], grpo.read_photos
def counted(*given):
    looked.append(str(given[1]))
    return read(*given)
grpo.read_photos = counted

rank, notes = int(os.environ["RANK"]), {}
folder, kill, arguments = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]

def go(name, at=0):
    seen.clear()
    recipe, settings = parse([*arguments, "--output_dir", str(folder / name)])
    heard = Stop.on_step_end
    def last_hears(self, args, state, control, **rest):
        if at and state.global_step == at and rank == int(os.environ["WORLD_SIZE"]) - 1:
            os.kill(os.getpid(), signal.SIGTERM)
        heard(self, args, state, control, **rest)
    Stop.on_step_end = last_hears
    try:
        trainer = grpo.run(recipe, settings)
        notes[name] = {"seen": list(seen), "log": trainer.state.log_history}
    except Stopped as stopped:
        notes[name + "-killed"] = {"seen": list(seen), "said": str(stopped)}
    finally:
        Stop.on_step_end = heard

go("whole")
go("broken", kill)
go("broken")
arguments += ["--no_signal", "resample"]
go("anew")
(folder / f"notes-{rank}.json").write_text(json.dumps({**notes, "asked": asked, "looked": looked}))
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    lines = []
    for number in range(13):
        photo = rng.integers(0, 256, (56, 84, 3), np.uint8)
        Image.fromarray(photo).save(folder / f"{number}.png")
        line = {"id": f"{number}", "set": "x", "task": "score", "photos": [f"{number}.png"], "mos": 3.0}
        lines.append(json.dumps(line))
    (folder / "train.jsonl").write_text("\n".join(lines[:8]))
    (folder / "test.jsonl").write_text("\n".join(lines[8:]))
    return folder


@pytest.mark.parametrize("processes", [2, 4])
def test_processes_share_whole_groups_and_stop_and_go_on_together(
    processes: int, official: Path, data: Path, tmp_path: Path
) -> None:
    """An epoch has two updates on four processes, four on two: a run of five sees several."""
    (tmp_path / "runs.py").write_text(RUNS)
    words = (
        f"--model {official / 'score_degradation'} --train {data / 'train.jsonl'} --test {data / 'test.jsonl'} "
        f"--total_batch {4 * processes} --per_device_train_batch_size 4 --num_generations 4 --max_steps 5 "
        "--max_completion_length 4 --save_steps 100 --eval_steps 4 --disable_tqdm true --ddp_backend gloo "
        "--gradient_checkpointing false --max_pixels 25088 --learning_rate 1e-3 --train_vision false"
    )
    start = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node",
        str(processes),
    ]
    done = subprocess.run(
        [*start, str(tmp_path / "runs.py"), str(tmp_path), "3", *words.split()],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    notes = [json.loads((tmp_path / f"notes-{rank}.json").read_text()) for rank in range(processes)]
    epoch = 8 // processes
    for update in range(5):
        batches = [note["whole"]["seen"][update][1] for note in notes]
        assert all(len(ids) == 4 and len(set(ids)) == 1 for ids in batches), "whole groups"
        assert len({ids[0] for ids in batches}) == processes, "and every process another"
    orders = [
        [note["whole"]["seen"][update][1][0] for note in notes for update in some] for some in _epochs(epoch)
    ]
    assert sorted(orders[0]) == [str(n) for n in range(8)]
    if processes == 4:
        assert orders[0] != orders[1], "each epoch has an order of its own"
    for note in notes:
        assert "after update 3" in note["broken-killed"]["said"], (
            "all stop where the last one heard the signal"
        )
        assert note["broken"]["seen"] == note["whole"]["seen"][3:], "and go on with what they would have had"
    same = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "broken")]
    assert same[0] == same[1]
    _check_shares(notes, processes)
    _check_numbers(notes, processes)


def _epochs(updates: int) -> list[range]:
    return [range(updates), range(updates, 2 * updates)] if 2 * updates <= 5 else [range(updates)]


def _check_shares(notes: list[dict[str, Any]], processes: int) -> None:
    """Five held-out questions, on two processes three and two, on four two and one each; photos looked at once."""
    for note in notes:
        assert note["asked"][0] == list(range(notes.index(note), 5, processes))
    files = [Path(one).name for one in notes[0]["looked"]]
    assert files == ["train.jsonl.checked.json", "test.jsonl.checked.json"] * 4
    assert all(note["looked"] == [] for note in notes[1:])


def _check_numbers(notes: list[dict[str, Any]], processes: int) -> None:
    """Every process knows the same evaluation; the log's numbers are of all of them together."""
    evaluated = [[line for line in note["whole"]["log"] if "eval_reward" in line] for note in notes]
    assert [line["step"] for line in evaluated[0]] == [4, 5]
    numbers = [
        [{k: v for k, v in line.items() if k.startswith("eval_")} for line in one] for one in evaluated
    ]
    assert all(one == numbers[0] for one in numbers)
    updates = [line for line in notes[0]["whole"]["log"] if "loss" in line]
    assert [line["looks"] for line in updates] == [processes] * 5, "a photo for each process"
    shares = {line["no_signal"] for line in updates}
    assert len(shares) == 2, "one photo has no signal, and comes once an epoch"
    assert max(shares) == 1 / processes
    anew = [line for line in notes[0]["anew"]["log"] if "loss" in line]
    assert sum(line["groups/asked_anew"] + line["groups/left_out"] for line in anew) >= 1
