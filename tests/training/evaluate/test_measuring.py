"""Somebody who measures a hundred thousand predictions sees what is being done."""

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from training.evaluate.bootstrap import CELLS, DRAWS
from training.evaluate.measures import Told, measure
from training.evaluate.predictions import read_predictions
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


def test_how_far_one_set_is_is_told_on_the_way_and_ends_with_all_of_it(tmp_path: Path) -> None:
    rng = random.Random(1)
    rated = [
        {"id": f"s{n}", "target": 1 + n / 100, "prediction": rng.uniform(1, 5), "expected_rating": 3 + n % 7 / 7}
        for n in range(300)
    ]  # fmt: skip
    clean = {"distortion_class": "null", "severity": "null"}
    named = [{"id": f"d{n}", "target": clean, "prediction": clean} for n in range(CELLS * 2 // DRAWS)]
    compared = [{"id": f"c{n}", "target": "Image A", "prediction": "Image B"} for n in range(3)]
    file = tmp_path / "p.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in [*rated, *named, *compared]))
    heard: list[tuple[int, list[int]]] = []

    @contextmanager
    def watch(words: str, whole: int) -> Iterator[Told]:
        heard.append((whole, []))
        yield heard[-1][1].append

    measure(read_predictions(file), watch)
    assert [whole for whole, _ in heard] == [2 * DRAWS, DRAWS, DRAWS]
    assert [sum(chunks) for _, chunks in heard] == [2 * DRAWS, DRAWS, DRAWS]
    assert len(heard[1][1]) == 2
