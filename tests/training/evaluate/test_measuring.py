"""Somebody who measures a hundred thousand predictions sees what is being done."""

import json
from pathlib import Path

import pytest

from training.evaluate.run import LONG, main


def test_a_long_measurement_says_which_set_it_is_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [
        {"id": f"{name}{n}", "set": name, "task": "degradation", "target": {"distortion_class": "null", "severity": "null"},
         "prediction": {"distortion_class": "null", "severity": "null"}}
        for name in ("one", "two")
        for n in range(LONG // 2)
    ]  # fmt: skip
    file = tmp_path / "p.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert main(["--predictions", str(file)]) == 0
    told = capsys.readouterr().err
    assert f"evaluate: measuring 1 of 2: one, degradation, {LONG // 2:,} answers" in told
    assert "measuring 2 of 2: two" in told
