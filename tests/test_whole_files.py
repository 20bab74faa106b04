"""A file or a folder takes its place when it is whole; until then, and after a failure, what was there stays."""

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Any

import pytest

from qinsight.whole_files import hold, sweep, whole_file, whole_folder, whole_text

WAYS: list[tuple[Callable[[Path], AbstractContextManager[IO[Any]]], Any]] = [
    (whole_file, b"new"),
    (whole_text, "new"),
]


@pytest.mark.parametrize(("way", "content"), WAYS)
def test_a_file_takes_its_place_only_when_it_is_whole(way: Any, content: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with way(path) as file:
        file.write(content)
        file.flush()
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize(("way", "content"), WAYS)
def test_what_was_there_stays_where_writing_fails(way: Any, content: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), way(path) as file:
        file.write(content * (1 // 0))
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no device that is always full")
@pytest.mark.parametrize(("way", "content"), WAYS)
def test_a_full_disk_is_an_error_of_the_system(
    way: Any, content: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    real = Path.open
    monkeypatch.setattr(Path, "open", lambda self, mode: real(Path("/dev/full"), mode.replace("x", "w")))
    with pytest.raises(OSError, match="No space left"), way(path) as file:
        file.write(content)
    monkeypatch.undo()
    assert path.read_text() == "old"


@pytest.mark.skipif(os.name == "nt", reason="permissions of POSIX")
def test_a_file_that_is_replaced_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "secret.txt"
    path.write_text("old")
    path.chmod(0o600)
    with whole_text(path) as file:
        file.write("new")
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(os.name == "nt", reason="file names that are not UTF-8")
def test_a_name_that_is_not_utf_8_is_written_as_json_writes_it(tmp_path: Path) -> None:
    with whole_text(tmp_path / "a.txt") as file:
        file.write(os.fsdecode(b"\xff.jpg"))
    assert (tmp_path / "a.txt").read_bytes() == rb"\udcff.jpg"


def test_a_folder_takes_its_place_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "out"
    with whole_folder(path) as draft:
        (draft / "a.txt").write_text("new")
        assert not path.exists()
    assert (path / "a.txt").read_text() == "new"
    assert os.listdir(tmp_path / "runs") == ["out"]


def test_a_folder_that_was_not_finished_is_gone(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), whole_folder(tmp_path / "out") as draft:
        (draft / "a.txt").write_text("half" * (1 // 0))
    assert os.listdir(tmp_path) == []


KILLED = """
import os, sys, pathlib
from qinsight.whole_files import whole_file
with whole_file(pathlib.Path(sys.argv[1])) as file:
    file.write(b"half")
    file.flush()
    os._exit(9)
"""


def test_what_a_killed_process_left_is_swept_and_what_is_being_written_is_not(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("old")
    assert subprocess.run([sys.executable, "-c", KILLED, tmp_path / "a.txt"]).returncode == 9
    assert (tmp_path / "a.txt").read_text() == "old"
    with whole_text(tmp_path / "b.txt") as file:
        assert len(os.listdir(tmp_path)) == 3
        sweep(tmp_path)
        file.write("new")
    assert sorted(os.listdir(tmp_path)) == ["a.txt", "b.txt"]


def test_a_lock_is_held_by_one_and_ends_with_its_file(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("wb") as first, (tmp_path / "lock").open("wb") as second:
        assert hold(first)
        assert not hold(second)
        first.close()
        assert hold(second)
