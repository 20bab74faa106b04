"""Predictions made elsewhere are measured as they are, and what cannot be trusted is refused or counted."""

import json
from pathlib import Path

import numpy as np
import pytest

from shared.labels import write_rows
from training.data.lines import LabelError
from training.evaluate import run as evaluate
from training.evaluate.metrics import plcc, srcc
from training.evaluate.predictions import read_predictions


def test_predictions_on_one_to_five_meet_targets_on_a_hundred(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    target = rng.uniform(0, 100, 60)
    prediction = (1 + target / 25 + rng.normal(0, 0.4, 60)).clip(1, 5)
    rows = [{"prediction": a, "target": b} for a, b in zip(prediction, target, strict=True)]
    file = write_rows(tmp_path / "p.jsonl", *rows)
    assert evaluate.main(["--predictions", str(file), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["plcc"] == pytest.approx(plcc(prediction, target), abs=1e-12)
    assert found["srcc"] == pytest.approx(srcc(prediction, target), abs=1e-12)
    for name in ("plcc", "plcc_4p", "plcc_5p", "srcc", "krcc", "rmse_4p", "rmse_5p"):
        low, high = found[f"{name}_95"]
        assert low < found[name] < high
    assert (found["n"], found["readable"]) == (60, 60)
    assert found["rmse"] is None
    assert any("in one unit" in note for note in found["notes"])


def test_rmse_is_raw_where_both_are_on_the_rating_scale(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"prediction": p, "target": t} for p, t in zip([1, 2, 3, 4], [1, 3, 2, 4], strict=True)]
    evaluate.main(["--predictions", str(write_rows(tmp_path / "p.jsonl", *rows)), "--json"])
    assert json.loads(capsys.readouterr().out)["rmse"] == pytest.approx(0.5**0.5)


def test_unreadable_predictions_are_counted_and_listed_and_not_guessed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "p.jsonl"
    readable = [{"prediction": p, "target": t} for p, t in zip([1, 2, 3, 4], [1, 3, 2, 4], strict=True)]
    write_rows(
        file, *readable, {"prediction": None, "target": 5}, {"target": 5}, {"prediction": "fine", "target": 5}
    )
    with file.open("a") as text:
        text.write('{"prediction": NaN, "target": 5}\n{"prediction": 1e999, "target": 5}\n')
    evaluate.main(["--predictions", str(file), "--json"])
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert (found["n"], found["readable"], found["unreadable"]) == (9, 4, 5)
    assert found["plcc"] == pytest.approx(0.8)
    assert "5 of 9 unreadable answers" in said.err
    assert 'line 7: "fine"' in said.err


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"prediction": 3, "target": "70"}', 'expected "target" as a number'),
        ('{"prediction": 3, "target": null}', 'expected "target" as a number.*got null'),
        ('{"prediction": 3, "target": NaN}', 'expected "target" as a number.*got NaN'),
        ('{"prediction": 3, "target": true}', 'expected "target" as a number.*got true'),
        ('{"prediction": 3}', 'expected "target" as a number.*got nothing'),
        ('{"prediction": "3.2", "target": 3}', 'got one in quotes: "3.2"'),
        ('{"prediction": true, "target": 3}', "a number like its target, or null; got true"),
        ('{"prediction": [3], "target": 3}', "a number like its target"),
        ('{"prediction": 3, "target": "Image A"}', "a verdict like its target"),
        ('{"prediction": 3, "target": {"distortion_class": "fog", "severity": "slight"}}', "as one of noise"),
        (
            '{"prediction": {"distortion_class": null, "severity": null},'
            ' "target": {"distortion_class": "null", "severity": "null"}}',
            'both "null" .a word. for a clean photo',
        ),
        ("rubbish", "expected one JSON object a line"),
        ("[1]", "expected a JSON object"),
        ('{"prediction": 3, "target": 3, "set": ["x"]}', 'expected "set" as text'),
    ],
)
def test_a_line_that_cannot_be_trusted_is_refused_by_file_and_number(
    tmp_path: Path, line: str, expected: str
) -> None:
    file = tmp_path / "p.jsonl"
    file.write_text('{"prediction": 3, "target": 3}\n\n' + line + "\n")
    with pytest.raises(LabelError, match=rf"p\.jsonl:3: .*{expected}"):
        read_predictions(file)


@pytest.mark.parametrize("content", [None, b"", b"\xff{}"])
def test_a_file_without_predictions_is_one_sentence(
    tmp_path: Path, content: bytes | None, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "p.jsonl"
    if content is not None:
        file.write_bytes(content)
    assert evaluate.main(["--predictions", str(file)]) == 1
    assert capsys.readouterr().err.startswith("evaluate: Expected")


def test_an_id_that_comes_twice_is_refused_and_one_never_answered_is_replaced(tmp_path: Path) -> None:
    missing = {"id": "a", "target": 3, "prediction": None, "fault": "photo", "error": "gone"}
    answered = {"id": "a", "target": 3, "prediction": 4}
    found = read_predictions(write_rows(tmp_path / "p.jsonl", missing, answered))
    assert [one.fault for one in found] == [None]
    with pytest.raises(
        LabelError, match=r'p\.jsonl:2: expected every id once in a set; "a" stands in line 1'
    ):
        read_predictions(write_rows(tmp_path / "p.jsonl", answered, answered))
    other = answered | {"set": "other"}
    assert len(read_predictions(write_rows(tmp_path / "p.jsonl", answered, other))) == 2


def test_degradations_and_comparisons_are_told_by_their_targets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def seen(kind: str, level: str) -> dict[str, str]:
        return {"distortion_class": kind, "severity": level}

    rows = [
        {"prediction": seen("noise", "slight"), "target": seen("noise", "slight")},
        {"prediction": seen("noise", "serious"), "target": seen("noise", "slight")},
        {"prediction": seen("fog", "serious"), "target": seen("blur", "slight")},
        {"prediction": None, "target": seen("null", "null")},
        {"prediction": "Image A", "target": "Image A"},
        {"prediction": "Similar", "target": "Image B"},
        {"prediction": "the left one", "target": "Similar"},
    ]
    evaluate.main(["--predictions", str(write_rows(tmp_path / "p.jsonl", *rows)), "--json"])
    degradation, comparison = map(json.loads, capsys.readouterr().out.splitlines())
    assert (degradation["n"], degradation["unreadable"]) == (4, 2)
    assert degradation["class_accuracy"] == pytest.approx(1 / 3)  # 2/2, 0/1, 0/1
    assert degradation["level_accuracy"] == pytest.approx(1 / 4)  # 1/2, 0/1
    assert degradation["exact"] == 0.25
    assert (comparison["n"], comparison["unreadable"]) == (3, 1)
    assert comparison["accuracy"] == pytest.approx(1 / 3)
    assert comparison["labels"]["Similar"] == {"n": 1, "accuracy": 0}


def test_what_does_not_exist_is_null_with_its_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"prediction": 3.25, "target": t} for t in range(8)]
    assert evaluate.main(["--predictions", str(write_rows(tmp_path / "p.jsonl", *rows)), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    for name in ("plcc", "plcc_4p", "plcc_5p", "srcc", "krcc", "rmse_4p"):
        assert (found[name], found[f"{name}_95"]) == (None, None)
    assert "srcc: expected predictions that differ, got 8 times 3.25" in found["notes"]


def test_a_model_that_is_wrong_way_round_is_said_to_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"prediction": 1 + t / 25, "target": 100 - t + t % 7} for t in range(100)]
    evaluate.main(["--predictions", str(write_rows(tmp_path / "p.jsonl", *rows))])
    said = capsys.readouterr().out
    assert "plcc_4p: the curve falls, higher predictions mean lower labels" in said
