"""Two and four processes under gloo, as on as many GPUs: whole groups, one data order, shares, stops and numbers."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from shared.places import REPOSITORY

# Processes as torchrun sets them up, forked from one that has loaded the libraries.
RUNS = """
import json, os, signal, socket, sys, traceback
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

def go(folder, arguments, notes, name, at=0):
    seen.clear()
    recipe, settings = parse([*arguments, "--output_dir", str(folder / name)])
    heard = Stop.on_step_end
    def last_hears(self, args, state, control, **rest):
        if at and state.global_step == at and int(os.environ["RANK"]) == int(os.environ["WORLD_SIZE"]) - 1:
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

def work(folder, arguments):
    notes = {}
    go(folder, arguments, notes, "whole")
    go(folder, arguments, notes, "broken", 3)
    go(folder, arguments, notes, "broken")
    go(folder, [*arguments, "--no_signal", "resample"], notes, "anew")
    told = json.dumps({**notes, "asked": asked, "looked": looked})
    (folder / f"notes-{os.environ['RANK']}.json").write_text(told)

def start(rank, processes, *given):
    if not (child := os.fork()):
        ranks = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes}
        os.environ |= {name: str(value) for name, value in ranks.items()}
        code = 1
        try:
            work(*given)
            code = 0
        except BaseException:
            traceback.print_exc()
        os._exit(code)
    return child

for processes in (2, 4):
    folder = Path(sys.argv[1]) / str(processes)
    folder.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    arguments = [*sys.argv[2:], "--total_batch", str(4 * processes)]
    children = {start(rank, processes, folder, arguments) for rank in range(processes)}
    while children:
        ended, status = os.wait()
        children.remove(ended)
        if status:
            for child in children:
                os.kill(child, signal.SIGKILL)
            sys.exit(f"one of {processes} processes failed")
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


@dataclass(frozen=True)
class Told:
    """What the processes of one launch noted, by their rank, and the folder with their runs."""

    processes: int
    notes: list[dict[str, Any]]
    folder: Path

    def batches(self, update: int) -> list[list[str]]:
        """The ids that each process was given for an update."""
        return [note["whole"]["seen"][update][1] for note in self.notes]


@pytest.fixture(scope="module")
def launched(official: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs on two and then on four processes: whole, stopped after update 3, gone on, and asked anew.

    An epoch has two updates on four processes, four on two: a run of five sees several.
    """
    folder = tmp_path_factory.mktemp("processes")
    (folder / "runs.py").write_text(RUNS)
    words = (
        f"--model {official / 'score_degradation'} --train {data / 'train.jsonl'} --test {data / 'test.jsonl'} "
        "--per_device_train_batch_size 4 --num_generations 4 --max_steps 5 "
        "--max_completion_length 4 --save_steps 100 --eval_steps 4 --disable_tqdm true --ddp_backend gloo "
        "--gradient_checkpointing false --max_pixels 25088 --learning_rate 1e-3 --train_vision false"
    )
    done = subprocess.run(
        [sys.executable, str(folder / "runs.py"), str(folder), *words.split()],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.fixture(params=[2, 4])
def told(request: pytest.FixtureRequest, launched: Path) -> Told:
    folder = launched / str(request.param)
    notes = [json.loads((folder / f"notes-{rank}.json").read_text()) for rank in range(request.param)]
    return Told(request.param, notes, folder)


def test_each_process_has_whole_groups_and_every_one_another(told: Told) -> None:
    for batches in map(told.batches, range(5)):
        assert all(len(ids) == 4 and len(set(ids)) == 1 for ids in batches), "whole groups"
        assert len({ids[0] for ids in batches}) == told.processes, "and every process another"


def test_an_epoch_asks_every_question_once_and_the_next_in_an_order_of_its_own(told: Told) -> None:
    updates = 8 // told.processes
    first = [ids[0] for update in range(updates) for ids in told.batches(update)]
    assert sorted(first) == [str(number) for number in range(8)]
    if told.processes == 4:
        assert first != [ids[0] for update in range(updates, 2 * updates) for ids in told.batches(update)]


def test_processes_stop_and_go_on_together_to_the_same_weights(told: Told) -> None:
    for note in told.notes:
        assert "after update 3" in note["broken-killed"]["said"], (
            "all stop where the last one heard the signal"
        )
        assert note["broken"]["seen"] == note["whole"]["seen"][3:], "and go on with what they would have had"
    same = [(told.folder / name / "model.safetensors").read_bytes() for name in ("whole", "broken")]
    assert same[0] == same[1]


def test_held_out_questions_are_shared_out_and_photos_looked_at_once(told: Told) -> None:
    """Five held-out questions, on two processes three and two, on four two and one each."""
    for rank, note in enumerate(told.notes):
        assert note["asked"][0] == list(range(rank, 5, told.processes))
    files = [Path(one).name for one in told.notes[0]["looked"]]
    assert files == ["train.jsonl.checked.json", "test.jsonl.checked.json"] * 4
    assert all(note["looked"] == [] for note in told.notes[1:])


def test_every_process_knows_the_same_evaluation(told: Told) -> None:
    evaluated = [[line for line in note["whole"]["log"] if "eval_reward" in line] for note in told.notes]
    assert [line["step"] for line in evaluated[0]] == [4, 5]
    numbers = [
        [{k: v for k, v in line.items() if k.startswith("eval_")} for line in one] for one in evaluated
    ]
    assert all(one == numbers[0] for one in numbers)


def test_the_numbers_of_the_log_are_of_all_processes_together(told: Told) -> None:
    updates = [line for line in told.notes[0]["whole"]["log"] if "loss" in line]
    assert [line["looks"] for line in updates] == [told.processes] * 5, "a photo for each process"
    shares = {line["no_signal"] for line in updates}
    assert len(shares) == 2, "one photo has no signal, and comes once an epoch"
    assert max(shares) == 1 / told.processes
    anew = [line for line in told.notes[0]["anew"]["log"] if "loss" in line]
    assert sum(line["groups/asked_anew"] + line["groups/left_out"] for line in anew) >= 1
