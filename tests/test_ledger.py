"""A run's memory: every line is on the disk, found by its key, and survives a kill, an odd name, an older version."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from qinsight.errors import QInsightError
from qinsight.json_lines import as_bytes, json_object, whole_lines
from qinsight.ledger import Ledger

ODD = os.fsdecode(b"IMG_\xff.jpg")  # a file name that is not UTF-8


def opened(path: Path, **settings: Any) -> Ledger:
    return Ledger(path, dict, **({"name": "photo", "key": "hash"} | settings))


def line(photo: str, digest: str = "1", **more: Any) -> dict[str, Any]:
    return {"photo": photo, "hash": digest, **more}


def lines(path: Path) -> list[dict[str, Any]]:
    return list(whole_lines(path, dict))


def test_a_line_is_on_the_disk_and_found_as_soon_as_it_is_added(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.jsonl"
    with opened(path) as ledger:
        ledger.add(line("a.jpg", rating=3))
        assert lines(path) == [line("a.jpg", rating=3)]
        assert ledger.get("1") == line("a.jpg", rating=3)
        assert ledger.get("2") is None
    with opened(path) as ledger:
        assert (len(ledger), ledger.get("1")) == (1, line("a.jpg", rating=3))


@pytest.mark.parametrize("cut", [1, 5])
def test_a_line_that_a_kill_tore_is_dropped_and_the_next_is_whole(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(as_bytes(line("a.jpg")) + as_bytes(line("b.jpg", "2"))[:-cut])
    with opened(path) as ledger:
        assert ledger.get("2") is None
        ledger.add(line("c.jpg", "3"))
    assert [one["photo"] for one in lines(path)] == ["a.jpg", "c.jpg"]


def test_a_name_that_comes_twice_has_one_line_in_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with opened(path) as ledger:
        for digest in ("1", "2"):
            ledger.add(line("a.jpg", digest))
        ledger.add(line("b.jpg", "3"))
        assert len(lines(path)) == 3
    assert lines(path) == [line("a.jpg", "2"), line("b.jpg", "3")]
    assert path.read_bytes().count(b"\n") == 2


def test_what_is_not_kept_stays_to_be_read_until_the_next_run(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    settings = {"kept": lambda line: "error" not in line}
    with opened(path, **settings) as ledger:
        ledger.add(line("a.jpg", error="unreadable"))
        assert ledger.get("1") is None
    assert len(lines(path)) == 1
    with opened(path, **settings) as ledger:
        assert len(ledger) == len(lines(path)) == 0


@pytest.mark.skipif(os.name == "nt", reason="file names that are not UTF-8")
def test_a_name_that_is_not_utf_8_comes_back_from_a_file_that_is(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with opened(path) as ledger:
        ledger.add(line(ODD))
    assert json.loads(path.read_text(encoding="utf-8"))["photo"] == ODD
    assert lines(path) == [line(ODD)]


@pytest.mark.skipif(os.name == "nt", reason="file names that are not UTF-8")
@pytest.mark.parametrize("errors", ["surrogatepass", "backslashreplace"])
def test_a_name_that_an_earlier_version_wrote_in_its_way_is_read(tmp_path: Path, errors: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(json.dumps(line(ODD), ensure_ascii=False).encode("utf-8", errors) + b"\n")
    with opened(path) as ledger:
        assert ledger.get("1") == line(ODD)
    assert json.loads(path.read_text(encoding="utf-8"))["photo"] == ODD


@pytest.mark.parametrize("text", ["notes", "[1]", '"a"', "null", '{"a": 1, "A": 2}', "\0\0\0"])
def test_a_file_of_something_else_is_refused_with_its_line_and_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(f'{{"photo": "a", "hash": "1"}}\n{text}\n')
    before = path.read_bytes()
    with pytest.raises(QInsightError, match=r"line 2 of .*a\.jsonl; .*Move the file away"), opened(path):
        pass
    assert path.read_bytes() == before
    path.unlink()
    with opened(path):  # and the lock is free again
        pass


def test_two_runs_do_not_write_to_one_folder(tmp_path: Path) -> None:
    with (
        opened(tmp_path / "a.jsonl"),
        pytest.raises(QInsightError, match="Another run is writing"),
        opened(tmp_path / "a.jsonl"),
    ):
        pass


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(QInsightError, match="Results cannot be written to"),
        opened(tmp_path / "file/a.jsonl"),
    ):
        pass


ADDING = """
import itertools, pathlib, sys
from qinsight.ledger import Ledger
with Ledger(pathlib.Path(sys.argv[1]), dict, name="photo", key="hash") as ledger:
    for number in itertools.count():
        ledger.add({"photo": str(number), "hash": str(number)})
        print(number, flush=True)
"""


def test_what_was_told_as_added_before_a_kill_is_there_after_it(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with subprocess.Popen([sys.executable, "-c", ADDING, path], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = [process.stdout.readline().strip() for _ in range(20)]
        process.kill()
    with opened(path) as ledger:
        assert all(ledger.get(number) == line(number, number) for number in told)


@pytest.mark.parametrize("text", ["{", b"\xff\xfe", "[1]", ""])
def test_a_text_that_is_no_object_says_what_was_expected(text: str | bytes) -> None:
    with pytest.raises(ValueError, match=r"expected (one|a) JSON object"):
        json_object(text)
