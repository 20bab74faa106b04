"""From labels to an interval on the command line, with the real preview."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from qinsight.__main__ import main
from qinsight.engines.checkpoint import PREVIEW
from qinsight.trust.calibration import read
from shared.places import OFFICIAL, REPOSITORY

CAT = REPOSITORY / "examples" / "photos" / "cat.jpg"
MODEL = ("--model", "preview", "--device", "cpu")


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fifty small photos with stars, a label without its photo, and one that is none."""
    folder = tmp_path_factory.mktemp("labelled")
    cat = Image.open(CAT).convert("RGB")
    rows = ["photo,stars"]
    for number in range(50):
        cat.rotate(number).crop((60, 60, 116, 116)).save(folder / f"{number}.png")
        rows.append(f"{number}.png,{1 + number % 5}")
    (folder / "rubbish.png").write_bytes(b"no photo")
    (folder / "stars.csv").write_text("\n".join([*rows, "gone.png,3", "rubbish.png,2"]) + "\n")
    return folder


def test_labels_come_to_a_calibration_of_these_weights(
    labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "c.json"
    assert main(["calibrate", str(labelled / "stars.csv"), *MODEL, "--out", str(out)]) == 0
    told = capsys.readouterr()
    assert "50 photographs; nine times in ten" in told.out
    assert "gone.png: " in told.err
    assert "rubbish.png: " in told.err
    found = read(out)
    assert found.weights == read(PREVIEW / "calibration.json").weights
    assert found.holds_for == "52 photographs labelled in stars.csv"
    assert len(found.points) == 50
    assert all(point.named for point in found.points)
    assert main(["score", str(CAT), *MODEL, "--calibration", str(out), "--json"]) == 0
    (line,) = lines(capsys)
    beside = line["app_confidence"]
    assert beside["holds_for"] == found.holds_for
    low, high = beside["interval"]
    assert 1 <= low <= line["expected_rating"] <= high <= 5
    assert (beside["share"], beside["sentence"]) == (
        0.9,
        f"Between {low:.1f} and {high:.1f}, nine times in ten.",
    )
    assert main(["score", str(CAT), "--max-pixels", "50000", *MODEL, "--calibration", str(out)]) == 1
    assert "rated at up to 1003520 pixels, and they are rated at 50000 now" in capsys.readouterr().err


def test_the_preview_says_how_sure_it_is_and_for_which_photographs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["score", str(CAT), *MODEL]) == 0
    told = capsys.readouterr().out
    assert "nine times in ten. (Holds for " in told
    assert main(["diagnose", str(CAT), *MODEL, "--json"]) == 0
    (line,) = lines(capsys)
    assert line["app_confidence"]["named"] >= line["app_confidence"]["right"]
    assert sum(line["distortion_odds"].values()) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    "flags",
    [
        ["--max-pixels", "100000"],
        ["--order", "question_first"],
        ["--repetition-penalty", "1.2"],
        ["--samples", "2", "--max-pixels", "20000"],
    ],
)
def test_asked_in_another_way_than_it_was_calibrated_it_claims_nothing(
    flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    main(["score", str(CAT), *MODEL, "--json", *flags])
    (line,) = lines(capsys)
    assert "app_confidence" not in line


def test_weights_without_a_calibration_claim_nothing_and_refuse_a_bound(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = ("--model", str(OFFICIAL), "--device", "cpu", "--precision", "fp32", "--max-new-tokens", "4")
    shutil.copy(CAT, tmp_path)
    bound = ("--at-most-wrong", "0.05", "--good-from", "3")
    assert main(["rank", str(tmp_path), "--out", str(tmp_path / "out"), *tiny, *bound]) == 1
    assert "Expected a calibration of official_layout with --at-most-wrong" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    beside = ("--calibration", str(PREVIEW / "calibration.json"))
    assert main(["rank", str(tmp_path), "--out", str(tmp_path / "out"), *tiny, *beside]) == 1
    assert "This calibration is of other weights" in capsys.readouterr().err


@pytest.mark.parametrize(("share", "bar", "words"), [("5", "3", "got 5."), ("0.05", "72", "got 72.")])
def test_a_bound_off_the_scale_is_refused_before_a_model_is_loaded(
    share: str, bar: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--model", "/nowhere", "--at-most-wrong", share, "--good-from", bar]
    assert main(["rank", str(tmp_path), "--out", str(tmp_path / "out"), *flags]) == 1
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("flags", [["--at-most-wrong", "0.05"], ["--good-from", "3"]])
def test_half_a_bound_is_bad_usage(
    flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["rank", str(tmp_path), "--out", str(tmp_path / "out"), "--model", "/nowhere", *flags])
    assert ended.value.code == 2
    assert "together, got one of them" in capsys.readouterr().err


def test_a_ranked_folder_falls_into_three_heaps_beside_the_models_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cat = Image.open(CAT).convert("RGB").crop((0, 0, 168, 168))
    for level, name in ((1, "fine"), (28, "ruined")):
        small = cat.resize((168 // level, 168 // level)).resize((168, 168))
        small.save(tmp_path / f"{name}.png")
    out = tmp_path / "out"
    bound = ("--at-most-wrong", "0.1", "--good-from", "3.5")
    assert main(["rank", str(tmp_path), "--out", str(out), *MODEL, *bound]) == 0
    assert "To accept: " in capsys.readouterr().err
    with (out / "ranking.csv").open(encoding="utf-8-sig") as file:
        rows = {row["photo"]: row for row in csv.DictReader(file)}
    assert rows["ruined.png"]["app_heap"] == "reject"
    assert all(
        float(row["app_low"]) < float(row["expected_rating"]) < float(row["app_high"])
        for row in rows.values()
    )
    plain = tmp_path / "plain"
    assert main(["rank", str(tmp_path), "--out", str(plain), *MODEL]) == 0
    told = [json.loads(line) for line in (plain / "ranking.jsonl").read_text().splitlines()]
    assert {row["app_heap"] for row in told} == {None}
    assert {row["photo"]: str(row["rating"]) for row in told} == {
        name: row["rating"] for name, row in rows.items()
    }


@pytest.mark.parametrize("command", [["calibrate", "{labels}", "--model", "someone/weights"]])
def test_a_place_beside_weights_that_are_no_folder_is_asked_for(
    command: list[str], labelled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([part.format(labels=labelled / "stars.csv") for part in command]) == 1
    assert "Expected --out FILE: someone/weights is no folder" in capsys.readouterr().err


def test_too_few_labels_are_told_before_a_model_is_loaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "few.csv").write_text("photo,stars\na.jpg,3\n")
    assert main(["calibrate", str(tmp_path / "few.csv"), "--model", "/nowhere", "--out", "c.json"]) == 1
    assert "Expected at least 50 labelled photographs" in capsys.readouterr().err
