"""A model is evaluated to the end, killed or not; what is printed is what was answered, and nothing else."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from qinsight.answers import Clean, Comparison, Degradation, Distortion, Severity, Winner
from qinsight.prompts import Task
from shared.engines import Judge, ScriptedEngine
from shared.labels import write_rows
from shared.places import REPOSITORY
from training.data.examples import Example, Rated, write_examples
from training.evaluate import run as evaluate
from training.evaluate.measures import paired
from training.evaluate.predictions import Fault, read_predictions


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Six photos, each rated and diagnosed, and two pairs, one of them with a reference."""
    folder = tmp_path / "photos"
    folder.mkdir()
    examples = []
    for light in (10, 60, 110, 140, 180, 230):
        photo = folder / f"{light}.png"
        Image.new("RGB", (64, 56), (light, light, light)).save(photo)
        mos = 1 + light / 64
        examples.append(Example(f"score/{light}", "KonIQ", Task.SCORE, (photo,), Rated(mos, 25 * mos)))
        seen = Degradation(Distortion.DARKEN, Severity.MODERATE) if light < 50 else Clean()
        examples.append(Example(f"deg/{light}", "DQ-495K", Task.DEGRADATION, (photo,), seen))
    low, middle, high = (folder / f"{light}.png" for light in (10, 110, 230))
    pair = Comparison(Winner.B)
    examples.append(Example("pair/plain", "pairs", Task.COMPARISON, (low, high), pair))
    examples.append(Example("pair/reference", "SRIQA-Bench", Task.COMPARISON, (middle, low, high), pair))
    write_examples(tmp_path / "test.jsonl", examples)
    return tmp_path / "test.jsonl"


@pytest.fixture
def run(data: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Evaluates an engine on `data` into a folder beside it; gives the exit code."""

    def evaluated(engine: ScriptedEngine, *flags: str, out: str = "out") -> int:
        monkeypatch.setattr(evaluate, "open_engine", lambda options, progress: engine)
        return evaluate.main(["--data", str(data), "--out", str(data.parent / out), *flags])

    return evaluated


def lines_of(data: Path, out: str = "out") -> dict[str, dict[str, Any]]:
    text = (data.parent / out / "predictions.jsonl").read_text(encoding="utf-8")
    found = [json.loads(line) for line in text.splitlines()]
    assert len({line["id"] for line in found}) == len(found)
    return {line["id"]: line for line in found}


def report_of(data: Path, out: str = "out") -> dict[tuple[str, str], dict[str, Any]]:
    found = json.loads((data.parent / out / "report.json").read_text(encoding="utf-8"))
    return {(one["set"], one["task"]): one for one in found["sets"]}


# --- asking a model ---------------------------------------------------------------------------------------


def test_every_example_is_asked_and_the_report_stands_beside_the_paper(run: Any, data: Path) -> None:
    assert run(Judge()) == 0
    rows = lines_of(data)
    assert len(rows) == 14
    one = rows["score/110"]
    assert (one["set"], one["task"], one["photos"]) == ("KonIQ", "score", ["photos/110.png"])
    assert (one["target"], one["label"], one["prediction"]) == (2.71875, 67.96875, 2.46)
    assert one["expected_rating"] not in (None, one["prediction"])
    assert (one["thinking"], one["model"], one["error"], one["fault"]) == ("light", "judge", None, None)
    assert one["reply"].startswith("<think>light")
    assert rows["deg/60"]["prediction"] == {"distortion_class": "darken", "severity": "slight"}
    found = report_of(data)
    assert found["KonIQ", "score"]["srcc"] == pytest.approx(1)
    assert found["DQ-495K", "degradation"]["classes"]["darken"]["class_accuracy"] == 1
    assert found["DQ-495K", "degradation"]["classes"]["darken"]["level_accuracy"] == 0
    assert found["DQ-495K", "degradation"]["classes"]["null"]["class_accuracy"] == 0.8
    text = (data.parent / "out" / "report.md").read_text(encoding="utf-8")
    for words in (
        "## Table 1",
        "## Table 2",
        "## Table 6",
        "| Q-Insight | 0.933/0.916 |",
        "| Q-Insight | 1.0000/0.5973 |",
        "| model | judge |",
        "KonIQ (score): 6, a subset of 2,010",
        "Not the whole published test here, so not the same test: KonIQ.",
        "14 answered, 0 of them unreadable, 0 could not be asked",
        "--data",
    ):
        assert words in text


def test_greedy_is_the_default_and_samples_are_averaged(run: Any, data: Path) -> None:
    engine = Judge()
    run(engine)
    assert {sampling.temperature for _, sampling, _ in engine.asked} == {0}
    engine = Judge()
    run(engine, "--samples", "3", "--seed", "7", out="sampled")
    assert {(one.temperature, one.seed) for _, one, _ in engine.asked} == {(1.0, 7)}
    row = lines_of(data, "sampled")["score/110"]
    assert len(row["samples"]) == 3
    assert row["prediction"] == pytest.approx(2.46)


def test_photos_that_stand_in_two_questions_are_read_once_a_batch(run: Any, data: Path) -> None:
    engine = Judge()
    run(engine, "--batch", "2")
    for requests, _, _ in engine.asked[:6]:
        assert [request.task for request in requests] == [Task.SCORE, Task.DEGRADATION]
        assert requests[0].photos[0] is requests[1].photos[0]


def test_a_second_run_asks_nothing_again(run: Any, data: Path) -> None:
    run(Judge())
    before = lines_of(data)
    engine = Judge()
    assert run(engine) == 0
    assert engine.asked == []
    assert lines_of(data) == before


def test_a_run_whose_model_dies_keeps_what_was_answered_and_goes_on(
    run: Any, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(Judge(dies=2), "--batch", "3") == 1
    assert "The model is gone." in capsys.readouterr().err
    assert len(lines_of(data)) == 6
    engine = Judge()
    assert run(engine, "--batch", "3") == 0
    assert (
        sum(len(requests) for requests, _, _ in engine.asked) == 8 + 1
    )  # a pair without reference: both orders
    assert len(lines_of(data)) == 14


def test_a_torn_last_line_is_asked_again(run: Any, data: Path) -> None:
    run(Judge())
    file = data.parent / "out" / "predictions.jsonl"
    file.write_bytes(file.read_bytes()[:-30])
    engine = Judge()
    assert run(engine) == 0
    assert [len(requests) for requests, _, _ in engine.asked] == [1]
    assert len(lines_of(data)) == 14


def test_a_file_that_is_no_run_is_refused_and_left_alone(
    run: Any, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = data.parent / "out"
    out.mkdir()
    (out / "predictions.jsonl").write_text("my notes\n")
    assert run(Judge()) == 1
    told = capsys.readouterr().err
    assert re.search(r"line 1 of .*predictions\.jsonl; it cannot be read \(expected one JSON object", told)
    assert (out / "predictions.jsonl").read_text() == "my notes\n"


@pytest.mark.parametrize(
    ("flags", "changed"),
    [
        (["--max-pixels", "50000"], "max_pixels 1003520, now 50000"),
        (["--both-orders"], "both_orders False, now True"),
        (["--samples", "2"], "samples 1, now 2"),
        (["--order", "photo_first"], "order 'as the model was trained', now 'photo_first'"),
    ],
)
def test_other_settings_are_refused_in_the_same_folder(
    run: Any, data: Path, flags: list[str], changed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run(Judge())
    engine = Judge()
    assert run(engine, *flags) == 1
    assert changed in capsys.readouterr().err
    assert engine.asked == []


def test_other_weights_under_the_same_name_are_refused(
    run: Any, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(Judge(weights="of one training"))
    assert run(Judge(weights="of one training")) == 0
    assert run(Judge(weights="of another")) == 1
    assert "weights" in capsys.readouterr().err


def test_a_corrected_label_is_asked_again_and_counts_once(run: Any, data: Path) -> None:
    run(Judge(), "--limit", "3")
    text = data.read_text().replace('"mos": 2.71875', '"mos": 3.5')
    data.write_text(text)
    engine = Judge()
    run(engine)
    assert sum(len(requests) for requests, _, _ in engine.asked) == 6 + 1
    assert lines_of(data)["score/110"]["target"] == 3.5


def test_a_photo_that_cannot_be_read_stops_nothing_and_is_not_scored(
    run: Any, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = data.parent / "photos" / "110.png"
    kept = photo.read_bytes()
    photo.write_bytes(b"no photo")
    assert run(Judge()) == 4
    said = capsys.readouterr().err
    assert "3 of 14 photos that could not be read, not scored" in said
    assert "score/110: expected a photo" in said
    rows = lines_of(data)
    assert (rows["score/110"]["fault"], rows["score/110"]["prediction"]) == (Fault.PHOTO, None)
    found = report_of(data)["KonIQ", "score"]
    assert (found["n"], found["missing"], found["missing_photos"], found["unreadable"]) == (5, 1, 1, 0)
    assert found["srcc"] == pytest.approx(1)
    assert report_of(data)["DQ-495K", "degradation"]["classes"]["null"]["n"] == 4
    photo.write_bytes(kept)
    engine = Judge()
    assert run(engine) == 0
    assert sum(len(requests) for requests, _, _ in engine.asked) == 3
    assert report_of(data)["KonIQ", "score"]["n"] == 6


def test_an_unreadable_answer_is_kept_counted_and_not_asked_again(run: Any, data: Path) -> None:
    run(Judge(mumble=180))
    row = lines_of(data)["score/180"]
    assert (row["prediction"], row["fault"]) == (None, Fault.ANSWER)
    assert "the model said 'hm'" in row["error"]
    found = report_of(data)
    assert (found["KonIQ", "score"]["readable"], found["KonIQ", "score"]["n"]) == (5, 6)
    assert found["DQ-495K", "degradation"]["unreadable"] == 1
    assert found["DQ-495K", "degradation"]["classes"]["null"]["class_accuracy"] == pytest.approx(3 / 5)
    text = (data.parent / "out" / "report.md").read_text(encoding="utf-8")
    assert "5 of 6 answers readable, **1 unreadable**, left out of the correlations" in text
    engine = Judge()
    run(engine)
    assert engine.asked == []


def test_a_question_too_large_for_the_memory_does_not_take_its_batch_along(run: Any, data: Path) -> None:
    engine = Judge(refuse=140)
    assert run(engine, "--batch", "5") == 4
    assert engine.replies == 13  # 14 less two, one of them in both orders: none asked twice
    rows = lines_of(data)
    assert {name for name, row in rows.items() if row["fault"]} == {"score/140", "deg/140"}
    assert rows["score/140"]["fault"] == Fault.MODEL
    assert report_of(data)["KonIQ", "score"]["missing"] == 1


def test_pairs_are_asked_in_both_orders_and_named_in_the_first(run: Any, data: Path) -> None:
    run(Judge())
    rows = lines_of(data)
    assert (rows["pair/plain"]["prediction"], rows["pair/plain"]["swapped"]) == ("Image B", "Image B")
    assert "swapped" not in rows["pair/reference"]
    assert report_of(data)["pairs", "comparison"]["order_consistency"] == 1
    run(Judge(first_place=True), "--both-orders", out="first")
    rows = lines_of(data, "first")
    assert (rows["pair/plain"]["prediction"], rows["pair/plain"]["swapped"]) == ("Image A", "Image B")
    assert (rows["pair/reference"]["prediction"], rows["pair/reference"]["swapped"]) == ("Image A", "Image B")
    found = report_of(data, "first")["SRIQA-Bench", "comparison"]
    assert (found["order_consistency"], found["first_place"], found["accuracy"]) == (0, 1, 0)
    assert (found["swapped_accuracy"], found["right_in_both_orders"]) == (1, 0)


def test_a_model_that_lacks_a_task_is_told_before_it_is_asked(
    run: Any, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = Judge(tasks=frozenset({Task.SCORE}))
    assert run(engine) == 1
    assert (
        "Expected a model that answers comparison, degradation; judge answers score."
        in capsys.readouterr().err
    )
    assert engine.asked == []


def test_a_limit_takes_the_first_of_each_set(run: Any, data: Path) -> None:
    run(Judge(), "--limit", "2")
    assert set(lines_of(data)) == {
        *("score/10", "score/60", "deg/10", "deg/60", "pair/plain", "pair/reference")
    }
    engine = Judge()
    run(engine)
    assert len(lines_of(data)) == 14
    assert sum(len(requests) for requests, _, _ in engine.asked) == 8


def test_lines_of_other_data_are_kept_and_left_out_of_the_report(
    run: Any, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(Judge())
    run(Judge(), "--limit", "1")
    assert "10 lines of" in capsys.readouterr().err
    assert report_of(data)["KonIQ", "score"]["n"] == 1
    assert len(lines_of(data)) == 14


def test_the_same_id_in_two_files_is_refused(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    again = data.with_name("again.jsonl")
    again.write_text(data.read_text())
    assert evaluate.main(["--data", str(data), str(again), "--out", str(data.parent / "out")]) == 1
    assert 'expected every id in one data file; "score/10" comes 2 times' in capsys.readouterr().err


def test_ctrl_c_ends_with_a_sentence_and_keeps_the_answers(
    run: Any, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(Judge(dies=2, failure=KeyboardInterrupt()), "--batch", "3") == 130
    said = capsys.readouterr().err
    assert "evaluate: stopped. What was answered is kept in" in said
    assert "Traceback" not in said
    assert len(lines_of(data)) == 6
    assert not any(thread.name.startswith("qinsight-decode") for thread in threading.enumerate())


def test_the_report_is_computed_again_without_a_model(
    run: Any, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(Judge())
    out = data.parent / "out"
    before = (out / "report.md").read_text(), (out / "report.json").read_text()
    (out / "report.md").unlink()
    (out / "report.json").unlink()
    assert evaluate.main(["--out", str(out), "--report-only"]) == 0
    assert ((out / "report.md").read_text(), (out / "report.json").read_text()) == before
    capsys.readouterr()
    assert evaluate.main(["--predictions", str(out / "predictions.jsonl"), "--json"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert found == list(report_of(data).values())


def test_a_folder_without_answers_has_no_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate.main(["--out", str(tmp_path), "--report-only"]) == 1
    assert "Expected answers in" in capsys.readouterr().err


@pytest.mark.parametrize(
    "flags",
    [
        [],
        ["--data", "x.jsonl"],
        ["--data", "x.jsonl", "--out", "o", "--predictions", "p"],
        ["--data", "x.jsonl", "--out", "o", "--samples", "2", "--temperature", "0"],
        ["--data", "x.jsonl", "--out", "o", "--temperature", "-1"],
    ],
)
def test_bad_usage_is_told_and_is_2(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        evaluate.main(flags)
    assert "expected" in capsys.readouterr().err


# --- two models -------------------------------------------------------------------------------------------


def test_two_models_are_compared_by_their_rewards_on_what_both_were_asked(run: Any, data: Path) -> None:
    run(Judge(mumble=180))
    run(Judge(), "--limit", "5", out="other")
    out = data.parent / "out"
    other = str(data.parent / "other" / "predictions.jsonl")
    assert evaluate.main(["--out", str(out), "--report-only", "--paired", other]) == 0
    pairs = {one["task"]: one for one in json.loads((out / "report.json").read_text())["paired"]}
    assert (pairs["score"]["n"], pairs["degradation"]["n"], pairs["comparison"]["n"]) == (5, 5, 2)
    assert pairs["all"]["n"] == 12
    # every rating is within 0.35 of its MOS, but the one that is unreadable
    assert (pairs["score"]["ours"], pairs["score"]["theirs"]) == pytest.approx((4 / 5, 1))
    # class without level, a clean photo called dark, two clean ones found clean, the last unreadable in ours
    assert (pairs["degradation"]["ours"], pairs["degradation"]["theirs"]) == pytest.approx(
        (2.25 / 5, 3.25 / 5)
    )
    assert pairs["comparison"]["difference"] == 0
    assert pairs["all"]["only_in_one"] == 2
    assert "## Two models on the same questions" in (out / "report.md").read_text()


def test_what_either_model_could_not_be_asked_is_not_held_against_it(tmp_path: Path) -> None:
    good = [{"id": name, "prediction": 3, "target": 3} for name in "abc"]
    missing = {"id": "b", "prediction": None, "target": 3, "fault": "photo", "error": "gone"}
    unreadable = {"id": "c", "prediction": None, "target": 3}
    ours = read_predictions(write_rows(tmp_path / "ours.jsonl", *good))
    theirs = read_predictions(write_rows(tmp_path / "theirs.jsonl", good[0], missing, unreadable))
    (found,) = paired(ours, theirs)
    assert (found["task"], found["n"], found["missing"]) == ("score", 2, 1)
    assert (found["ours"], found["theirs"]) == (1, 0.5)


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"id": "a", "prediction": 3, "target": 4}, 'Expected the same target for "a" in both files'),
        ({"id": "b", "prediction": 3, "target": 3}, "Expected questions that both were asked"),
        ({"prediction": 3, "target": 3}, "Expected an id in every line"),
    ],
)
def test_models_that_cannot_be_paired_are_refused(
    tmp_path: Path, other: dict[str, Any], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ours = write_rows(tmp_path / "ours.jsonl", {"id": "a", "prediction": 3, "target": 3})
    theirs = write_rows(tmp_path / "theirs.jsonl", other)
    assert evaluate.main(["--predictions", str(ours), "--paired", str(theirs)]) == 1
    assert why in capsys.readouterr().err


# --- for real ---------------------------------------------------------------------------------------------


def test_a_run_killed_half_way_is_finished_by_the_same_command(data: Path) -> None:
    out = data.parent / "out"
    command = [
        "--data",
        str(data),
        "--out",
        str(out),
        "--model",
        "preview",
        "--device",
        "cpu",
        "--batch",
        "1",
    ]
    going = subprocess.Popen(
        [sys.executable, "-m", "training.evaluate", *command],
        cwd=REPOSITORY,
        env=os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        stderr=subprocess.DEVNULL,
    )
    file = out / "predictions.jsonl"
    until = time.monotonic() + 60
    while not file.exists() or file.read_bytes().count(b"\n") < 3:
        assert going.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < until
        time.sleep(0.01)
    going.send_signal(signal.SIGKILL)
    going.wait()
    kept = [line for line in file.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
    assert len(kept) >= 3
    with file.open("ab") as torn:
        torn.write(kept[0][:50])
    assert evaluate.main(command) == 0
    assert file.read_bytes().startswith(b"".join(kept))
    assert len(lines_of(data)) == 14
    assert "a preview, not the Q-Insight weights" in (out / "report.md").read_text()
