"""Label files made and converted, as `python -m training.data` converts them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from training.data.convert import main
from training.data.examples import Example, Rated, read_examples


def converted(tmp_path: Path, *arguments: object, photos: bool = False) -> list[Example]:
    """The rows that a subcommand writes into rows.jsonl."""
    out = tmp_path / "rows.jsonl"
    tail = [] if photos else ["--no-photos"]
    assert main([*map(str, arguments), "--out", str(out), *tail]) == 0
    return read_examples(out)


def refused(capsys: pytest.CaptureFixture[str], tmp_path: Path, *arguments: object) -> str:
    """What is told where nothing is written."""
    out = tmp_path / "refused.jsonl"
    try:
        code = main([*map(str, arguments), "--out", str(out)])
    except SystemExit as stopped:
        code = int(str(stopped.code))
    assert code == 2
    assert not out.exists()
    return capsys.readouterr().err


def write(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def mos(examples: list[Example]) -> list[float]:
    return [example.target.mos for example in examples if isinstance(example.target, Rated)]


def write_rows(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def score_questions(folder: Path, number: int) -> Path:
    """A data file of so many questions for a rating, about as many photos of noise in two sizes."""
    rng = np.random.default_rng(0)
    lines = []
    for place in range(number):
        size = (56 + 28 * (place % 2), 56, 3)
        Image.fromarray(rng.integers(0, 256, size, np.uint8)).save(folder / f"{place}.png")
        lines.append({"id": f"{place}", "set": "x", "task": "score", "photos": [f"{place}.png"], "mos": 3.0})
    return write_rows(folder / "train.jsonl", *lines)
