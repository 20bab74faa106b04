"""Every photo of a data file is read once before a run starts, and not once more."""

import json
import os
from pathlib import Path

import pytest
from PIL import Image

from qinsight.prompts import Task
from training.data import photo_check
from training.data.examples import Example, Rated
from training.data.lines import LabelError
from training.data.photo_check import check_photos, read_photos, record_of, refuse_copies


def photo(path: Path, grey: int = 128) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (32, 28), (grey, grey, grey)).save(path)
    return path


def about(*photos: Path) -> list[Example]:
    return [
        Example(f"set/{number}", "set", Task.SCORE, (photo,), Rated(3, 3))
        for number, photo in enumerate(photos)
    ]


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of all photos that were decoded."""
    sizes: list[int] = []

    def load(data: bytes, **options: int) -> None:
        sizes.append(len(data))
        original(data, **options)

    original = photo_check.load_photo
    monkeypatch.setattr(photo_check, "load_photo", load)
    return sizes


def test_photos_that_are_there_pass(tmp_path: Path) -> None:
    check_photos(about(photo(tmp_path / "a.png"), photo(tmp_path / "b.png")))


def test_a_missing_and_a_broken_photo_are_told_together_with_their_rows(tmp_path: Path) -> None:
    good, broken = photo(tmp_path / "good.png"), photo(tmp_path / "broken.png")
    broken.write_bytes(broken.read_bytes()[:60])
    (tmp_path / "text.jpg").write_text("no photo")
    rows = about(good, tmp_path / "gone.png", broken, tmp_path / "text.jpg", tmp_path)
    with pytest.raises(LabelError) as caught:
        check_photos(rows)
    told = str(caught.value).splitlines()
    assert len(told) == 4
    assert told[0] == f"\"set/1\": {tmp_path / 'gone.png'}: expected a photo, got 'No such file or directory'"
    assert told[1].startswith(f'"set/2": {broken}: expected a complete PNG file')
    assert told[2].startswith(
        f'"set/3": {tmp_path / "text.jpg"}: expected a photo, got a file of another kind'
    )


def test_many_missing_photos_are_counted_and_not_all_spelt_out(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match=r"\.\.\. and 30 more\.$"):
        check_photos(about(*(tmp_path / f"{number}.png" for number in range(40))))


def test_a_second_check_decodes_nothing(tmp_path: Path, decoded: list[int]) -> None:
    rows, record = about(*(photo(tmp_path / f"{number}.png") for number in range(5))), tmp_path / "record"
    check_photos(rows, record)
    assert len(decoded) == 5
    check_photos(rows, record)
    assert len(decoded) == 5


def test_a_photo_in_several_rows_is_decoded_once(tmp_path: Path, decoded: list[int]) -> None:
    one = photo(tmp_path / "a.png")
    check_photos(about(one, one, one))
    assert len(decoded) == 1
    one.unlink()
    with pytest.raises(LabelError, match=r'^"set/0": .*a\.png'):
        check_photos(about(one, one, one))


def test_a_photo_that_changed_is_read_again(tmp_path: Path, decoded: list[int]) -> None:
    one, other, record = photo(tmp_path / "a.png"), photo(tmp_path / "b.png"), tmp_path / "record"
    check_photos(about(one, other), record)
    os.utime(one, ns=(1, 1))
    check_photos(about(one, other), record)
    assert len(decoded) == 3
    other.unlink()
    with pytest.raises(LabelError, match=r"b\.png"):
        check_photos(about(one, other), record)


def test_good_photos_are_remembered_beside_a_broken_one(tmp_path: Path, decoded: list[int]) -> None:
    one, record = photo(tmp_path / "a.png"), tmp_path / "record"
    (tmp_path / "b.png").write_bytes(b"no photo")
    for _ in range(2):
        with pytest.raises(LabelError):
            check_photos(about(one, tmp_path / "b.png"), record)
    assert len(decoded) == 3  # the good one once


def test_the_record_moves_with_its_folder(tmp_path: Path, decoded: list[int]) -> None:
    before = tmp_path / "before"
    file = before / "train.jsonl"
    check_photos(about(photo(before / "photos/a.png")), record_of(file))
    assert list(json.loads((before / "train.jsonl.checked.json").read_text())) == ["photos/a.png"]
    before.rename(tmp_path / "after")
    check_photos(about(tmp_path / "after/photos/a.png"), record_of(tmp_path / "after/train.jsonl"))
    assert len(decoded) == 1


@pytest.mark.parametrize("content", ["", "[]", '{"a.png": 3}', '{"a.png": [1, 2]}', "\0"])
def test_a_record_that_cannot_be_understood_is_written_anew(
    tmp_path: Path, decoded: list[int], content: str
) -> None:
    rows, record = about(photo(tmp_path / "a.png")), tmp_path / "record"
    record.write_text(content)
    check_photos(rows, record)
    check_photos(rows, record)
    assert len(decoded) == 1


def test_a_folder_that_cannot_be_written_to_is_checked_all_the_same(tmp_path: Path) -> None:
    check_photos(about(photo(tmp_path / "a.png")), tmp_path / "no such folder" / "record")


def test_the_same_bytes_under_another_name_are_a_leak(tmp_path: Path) -> None:
    train, test = about(photo(tmp_path / "a.png", 7)), about(photo(tmp_path / "b.png", 8))
    refuse_copies(train, test, {**read_photos(train), **read_photos(test)})
    test = about(photo(tmp_path / "copy.png", 7))
    with pytest.raises(LabelError, match=r"copy\.png, which is the same file as .*a\.png"):
        refuse_copies(train, test, {**read_photos(train), **read_photos(test)})


def test_progress_counts_the_photos_that_are_looked_at(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    rows = about(*(photo(tmp_path / f"{number}.png") for number in range(3)))
    check_photos(rows, tmp_path / "record", lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]
    check_photos(rows, tmp_path / "record", lambda done, total: told.append((done, total)))
    assert len(told) == 3
