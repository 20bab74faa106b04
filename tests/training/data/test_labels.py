"""The data format: what is written is read back, and what cannot be trusted is refused with its line."""

import json
from pathlib import Path
from typing import Any

import pytest

from qinsight.answers import Clean, Comparison, Degradation, Distortion, Severity, Winner
from qinsight.prompts import Task
from training.data.examples import Example, Rated, Target, read_examples, refuse_leaks, write_examples
from training.data.lines import LabelError, raise_all

GOOD: dict[str, Any] = {"id": "1", "set": "own", "task": "score", "photos": ["a.png"], "mos": 3.5}


def example(number: int, photo: Path, *, source: str | None = None, name: str = "own") -> Example:
    return Example(f"{name}/{number}", name, Task.SCORE, (photo,), Rated(3, 3), source)


def write(folder: Path, *lines: object) -> Path:
    file = folder / "rows.jsonl"
    file.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return file


@pytest.mark.parametrize(
    ("task", "photos", "target"),
    [
        (Task.SCORE, 1, Rated(3.91, 72.8)),
        (Task.DEGRADATION, 1, Degradation(Distortion.NOISE, Severity.SLIGHT)),
        (Task.DEGRADATION, 1, Clean()),
        (Task.COMPARISON, 2, Comparison(Winner.B)),
        (Task.COMPARISON, 3, Comparison(Winner.SIMILAR)),
    ],
)
def test_what_is_written_is_read_back(tmp_path: Path, task: Task, photos: int, target: Target) -> None:
    paths = tuple(tmp_path / "photos" / f"{number} ä.png" for number in range(photos))
    one = Example("set/1", "set", task, paths, target, source="original.png")
    assert write_examples(tmp_path / "rows.jsonl", [one]) == 1
    assert read_examples(tmp_path / "rows.jsonl") == [one]
    assert str(tmp_path) not in (tmp_path / "rows.jsonl").read_text()


def test_a_file_moves_with_its_photos(tmp_path: Path) -> None:
    (tmp_path / "before").mkdir()
    write_examples(tmp_path / "before/rows.jsonl", [example(1, tmp_path / "before/a.png")])
    (tmp_path / "before").rename(tmp_path / "after")
    assert read_examples(tmp_path / "after/rows.jsonl")[0].photos == (tmp_path / "after/a.png",)
    elsewhere = read_examples(tmp_path / "after/rows.jsonl", tmp_path / "photos")
    assert elsewhere[0].photos == (tmp_path / "photos/a.png",)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"mos": 5.2}, 'expected "mos" from 1 to 5, got 5.2'),
        ({"mos": "3"}, 'expected "mos" as a number, got "3"'),
        ({"mos": True}, 'expected "mos" as a number, got true'),
        ({"mos": float("nan")}, 'expected "mos" as a number, got NaN'),
        ({"label": None}, 'expected "label" as a number, got null'),
        ({"id": 7}, 'expected "id" as text, got 7'),
        ({"set": ""}, 'expected "set" as text, got ""'),
        ({"task": "rate"}, 'expected "task" as one of score, degradation, comparison; got "rate"'),
        ({"photos": "a.png"}, 'expected "photos" as a list of paths, got "a.png"'),
        ({"photos": ["a.png", "b.png"]}, "expected 1 photo for score, got 2"),
        ({"source": 3}, 'expected "source" as text, got 3'),
        ({"task": "degradation"}, 'expected "distortion_class" as one of'),
        (
            {"task": "degradation", "distortion_class": "noise", "severity": "null"},
            'expected a class with its severity or "null" for both, got "noise", "null"',
        ),
        (
            {"task": "comparison", "winner": "Image A"},
            "expected 2 or 3 photos (A, B, or reference, A, B) for comparison, got 1",
        ),
        (
            {"task": "comparison", "photos": ["a.png", "b.png"], "winner": "Similar"},
            "expected Image A or Image B: without a reference, the question offers no Similar",
        ),
    ],
)
def test_a_line_that_is_no_example_is_refused_with_its_number(
    tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    file = write(tmp_path, GOOD, "", {**GOOD, "id": "2", **change})
    with pytest.raises(LabelError) as caught:
        read_examples(file)
    assert str(caught.value).startswith(f"{file}:3: {told}")


@pytest.mark.parametrize("line", ["[1]", "{", '"words"'])
def test_a_line_that_is_no_object_is_refused(tmp_path: Path, line: str) -> None:
    with pytest.raises(LabelError, match=r"rows\.jsonl:1: expected (a|one) JSON object"):
        read_examples(write(tmp_path, line))


def test_a_missing_field_is_named(tmp_path: Path) -> None:
    lines = [{name: value for name, value in GOOD.items() if name != gone} for gone in ("set", "mos")]
    with pytest.raises(LabelError) as caught:
        read_examples(write(tmp_path, *lines))
    assert 'expected "set" as text, got nothing' in str(caught.value)
    assert 'expected "mos" as a number, got nothing' in str(caught.value)


def test_an_id_that_comes_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match=r':2: expected every id once; "1" stands in line 1 too'):
        read_examples(write(tmp_path, GOOD, GOOD))


def test_a_file_that_is_gone_or_empty_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="Expected a readable JSONL at"):
        read_examples(tmp_path / "gone.jsonl")
    with pytest.raises(LabelError, match="Expected at least one line in"):
        read_examples(write(tmp_path, "", ""))


def test_ten_problems_are_spelt_out_and_the_rest_counted() -> None:
    raise_all([])
    with pytest.raises(LabelError) as caught:
        raise_all([f"problem {number}" for number in range(25)])
    assert str(caught.value).splitlines()[9:] == ["problem 9", "... and 15 more."]


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    write_examples(file, [example(1, tmp_path / "a.png")])
    before = file.read_bytes()

    def broken() -> Any:
        yield example(1, tmp_path / "b.png")
        raise KeyError("no more")

    with pytest.raises(KeyError):
        write_examples(file, broken())
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


def test_a_photo_or_an_original_in_both_parts_is_a_leak(tmp_path: Path) -> None:
    train = [example(1, tmp_path / "a.png", source="o.png")]
    refuse_leaks(train, [example(2, tmp_path / "b.png", source="p.png"), example(3, tmp_path / "c.png")])
    with pytest.raises(LabelError, match=r'"own/2" is tested on .*a\.png, and "own/1" is trained on it'):
        refuse_leaks(train, [example(2, tmp_path / "a.png")])
    with pytest.raises(LabelError, match=r'"own/2" is tested on own:o\.png, and "own/1" is trained on it'):
        refuse_leaks(train, [example(2, tmp_path / "b.png", source="o.png")])


def test_the_same_name_in_two_sets_is_no_leak(tmp_path: Path) -> None:
    train = [example(1, tmp_path / "a.png", source="I01")]
    refuse_leaks(train, [example(1, tmp_path / "b.png", source="I01", name="other")])
