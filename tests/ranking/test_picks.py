"""The picked frames, copied: what belongs together stays together, and nothing anywhere is replaced."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest
from PIL import Image

from qinsight import __main__ as command_line
from qinsight.__main__ import main
from qinsight.errors import QInsightError
from qinsight.photos.listing import photos_in
from qinsight.ranking.picks import Picks, check_place, copy_picks
from qinsight.ranking.xmp import merged
from shared.engines import PixelEngine
from shared.jpegs import packet, photo
from shared.places import REPOSITORY
from shared.xmp_witnesses import row, sidecar

TIME = 1_400_000_000_987_654_321


def shoot(tmp_path, *names):
    """Files with their names as content."""
    folder = tmp_path / "shoot"
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"this is {name}")
        os.utime(path, ns=(TIME, TIME))
    return folder


def found(place):
    return sorted(path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file())


def test_the_best_of_each_burst_and_what_stands_alone_is_copied(tmp_path):
    folder = shoot(tmp_path, "a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg")
    rows = [
        row("a.jpg", group=1, best=True),
        row("b.jpg", group=1),
        row("c.jpg"),
        row("d.jpg", error="no answer"),
        row("e.jpg", expected_rating=1.9),
    ]
    picks = copy_picks(rows, folder, tmp_path / "picks", reject_below=2.0)
    assert picks == Picks(2, [tmp_path / "picks/a.jpg", tmp_path / "picks/c.jpg"], [])
    assert found(tmp_path / "picks") == ["a.jpg", "c.jpg"]


def test_raw_jpeg_and_sidecars_of_a_frame_travel_together_and_no_other_file(tmp_path):
    frame = ["IMG_1.CR2", "IMG_1.CR2.xmp", "IMG_1.JPG", "IMG_1.JPG.XMP", "IMG_1.xmp"]
    others = ["IMG_1.mov", "IMG_10.CR2", "IMG_10.xmp", "IMG_1 copy.jpg", "day/IMG_1.CR2"]
    folder = shoot(tmp_path, *frame, *others)
    for name, also in (("IMG_1.JPG", "IMG_1.CR2"), ("IMG_1.CR2", "IMG_1.JPG")):
        place = tmp_path / f"picks of {name}"
        assert copy_picks([row(name, also=also)], folder, place).failures == []
        assert found(place) == frame
    best = [row("IMG_1.JPG", group=1, best=True, also="IMG_1.CR2")]
    assert copy_picks(best, folder, tmp_path / "both").frames == 1
    assert found(tmp_path / "both") == frame


def test_two_photos_of_one_name_without_a_raw_are_two_frames(tmp_path):
    folder = shoot(tmp_path, "a.jpg", "a.png", "a.xmp")
    copy_picks([row("a.jpg")], folder, tmp_path / "picks")
    assert found(tmp_path / "picks") == ["a.jpg", "a.xmp"]


def test_same_names_of_subfolders_are_kept_apart_and_times_too(tmp_path):
    folder = shoot(tmp_path, "one/a[1]*.jpg", "two/a[1]*.jpg")
    copy_picks([row("one/a[1]*.jpg"), row("two/a[1]*.jpg")], folder, tmp_path / "picks")
    for name in ("one/a[1]*.jpg", "two/a[1]*.jpg"):
        copy = tmp_path / "picks" / name
        assert copy.read_text() == f"this is {name}"
        assert copy.stat().st_mtime_ns == TIME
        assert (folder / name).read_text() == f"this is {name}"


def test_nothing_that_is_there_is_replaced_and_the_same_again_copies_nothing(tmp_path):
    folder, place = shoot(tmp_path, "a.jpg", "b.jpg", "c.jpg", "d.jpg"), tmp_path / "picks"
    place.mkdir()
    (place / "a.jpg").write_text("another photo")
    (place / "b.jpg").mkdir()
    (place / "d.jpg").symlink_to(folder / "gone.jpg")
    rows = [row("a.jpg"), row("b.jpg"), row("c.jpg"), row("d.jpg")]
    for _ in range(2):
        picks = copy_picks(rows, folder, place)
        assert [failure.split(": ")[0] for failure in picks.failures] == ["a.jpg", "b.jpg", "d.jpg"]
        assert all("another file" in failure for failure in picks.failures)
        assert picks.copied == [place / "c.jpg"]
        assert (place / "a.jpg").read_text() == "another photo"
    number = (place / "c.jpg").stat().st_ino
    copy_picks(rows, folder, place)
    assert (place / "c.jpg").stat().st_ino == number


def test_a_photo_that_is_gone_is_named_and_others_go_on(tmp_path):
    folder = shoot(tmp_path, "a.jpg")
    picks = copy_picks([row("gone.jpg"), row("a.jpg")], folder, tmp_path / "picks")
    assert picks.copied == [tmp_path / "picks/a.jpg"]
    assert picks.failures == ["gone.jpg: expected to copy it, got 'No such file or directory'"]


@pytest.mark.parametrize("where", ["sidecar", "stem", "packet"])
@pytest.mark.parametrize(
    ("given", "rating", "picked"),
    [("-1", 4.5, False), ("-1.0", 4.5, False), ("3", 1.5, True), ("0.0", 1.5, False), ("0", 4.5, True)],
)
def test_what_a_person_said_of_a_frame_wins_over_the_model(tmp_path, where, given, rating, picked):
    folder = tmp_path / "shoot"
    folder.mkdir()
    xmp = sidecar(f"<xmp:Rating>{given}</xmp:Rating>")
    (folder / "a.jpg").write_bytes(photo(packet(xmp) if where == "packet" else b""))
    if where != "packet":
        (folder / ("a.jpg.xmp" if where == "sidecar" else "a.xmp")).write_bytes(xmp)
    picks = copy_picks([row("a.jpg", expected_rating=rating)], folder, tmp_path / "picks", reject_below=2)
    assert picks.frames == picked


def test_a_rejection_of_ours_from_an_earlier_run_is_not_a_persons(tmp_path):
    folder = shoot(tmp_path, "a.jpg")
    (folder / "a.jpg.xmp").write_bytes(merged(None, row("a.jpg"), stars=-1))
    assert copy_picks([row("a.jpg")], folder, tmp_path / "picks").frames == 1


def test_where_a_person_rejected_the_best_of_a_burst_the_next_is_picked(tmp_path):
    folder = shoot(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    (folder / "a.jpg.xmp").write_bytes(sidecar("<xmp:Rating>-1</xmp:Rating>"))
    rows = [row("a.jpg", group=1, best=True), row("b.jpg", group=1), row("c.jpg", group=1)]
    copy_picks(rows, folder, tmp_path / "picks")
    assert found(tmp_path / "picks") == ["b.jpg"]


# ---- where picks may go


def test_a_folder_of_picks_inside_the_ranked_one_is_not_ranked_the_next_time(tmp_path):
    folder = shoot(tmp_path, "a.jpg", "day/b.jpg")
    names = photos_in(folder)
    for place in (folder / "picks", folder / "day" / "best of", tmp_path / "elsewhere"):
        check_place(place, folder, names)
        copy_picks([row("a.jpg"), row("day/b.jpg")], folder, place)
        assert photos_in(folder) == names
        check_place(place, folder, names)
    assert photos_in(folder / "picks") == ["a.jpg", "day/b.jpg"]  # by its own name it is
    assert found(tmp_path / "elsewhere") == ["a.jpg", "day/b.jpg"]


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("file", "file is none"),
        ("file/picks", "file is none"),
        ("broken link", "broken link is none"),
        ("shoot", "not the ranked one"),
        (".", "nor around it"),
        ("shoot/../shoot/day", "holds photos that are ranked"),
        ("link", "not the ranked one"),
        ("shoot/a.jpg", "a.jpg is none"),
    ],
)
def test_a_place_that_cannot_hold_picks_is_refused_before_a_model_is_loaded(tmp_path, capsys, place, told):
    folder = shoot(tmp_path, "a.jpg", "day/b.jpg")
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(folder)
    (tmp_path / "broken link").symlink_to(tmp_path / "nowhere")
    before = found(tmp_path)
    arguments = ["rank", str(folder), "--out", str(tmp_path / "out"), "--model", "/nowhere"]
    assert main([*arguments, "--copy-picks", str(tmp_path / place)]) == 1
    said = capsys.readouterr().err
    assert told in said
    assert "/nowhere" not in said.replace(str(tmp_path), "")
    assert found(tmp_path) == before


@pytest.mark.parametrize(
    "wrong",
    [
        ["--copy-picks", ""],
        ["--xmp", ""],
        ["--xmp-caption"],
        ["--stars", "nan,nan,nan,nan"],
        ["--stars", "1,2,3,inf"],
        ["--reject-below", "nan"],
        ["--reject-below", "low"],
    ],
)
def test_flags_that_make_no_sense_are_refused_before_a_model_is_loaded(tmp_path, capsys, wrong):
    folder = shoot(tmp_path, "a.jpg")
    with pytest.raises(SystemExit) as left:
        main(["rank", str(folder), "--out", str(tmp_path / "out"), "--model", "/nowhere", *wrong])
    assert left.value.code == 2
    assert "expected" in capsys.readouterr().err


@pytest.mark.parametrize(("flag", "what"), [("--xmp", "sidecars"), ("--out", "results")])
def test_a_file_where_a_folder_is_wanted_is_refused_before_a_model_is_loaded(tmp_path, capsys, flag, what):
    folder = shoot(tmp_path, "a.jpg")
    (tmp_path / "file").write_text("")
    arguments = ["rank", str(folder), "--out", str(tmp_path / "out"), "--model", "/nowhere"]
    assert main([*arguments, flag, str(tmp_path / "file")]) == 1
    assert f"Expected a folder for {what}; {tmp_path / 'file'} is none." in capsys.readouterr().err


# ---- disks and kills

IN_LITTLE_ROOM = """
import resource, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from shared.xmp_witnesses import row
from qinsight.ranking.picks import copy_picks
from qinsight.errors import QInsightError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    copy_picks([row("a.jpg"), row("b.jpg"), row("c.jpg")], Path(sys.argv[2]) / "shoot", Path(sys.argv[2]) / "picks")
except QInsightError as error:
    print(error)
"""


def test_a_full_disk_is_one_sentence_and_the_same_again_goes_on(tmp_path):
    folder = shoot(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    (folder / "b.jpg").write_bytes(bytes(9000))
    done = subprocess.run(
        [sys.executable, "-c", IN_LITTLE_ROOM, REPOSITORY / "tests", tmp_path],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.fullmatch(
        r"Expected room for .*b.jpg, got 'File too large'. The 1 files before it .*\n", done.stdout
    )
    assert found(tmp_path / "picks") == ["a.jpg"]
    rows = [row("a.jpg"), row("b.jpg"), row("c.jpg")]
    assert len(copy_picks(rows, folder, tmp_path / "picks").copied) == 3
    assert found(tmp_path / "picks") == ["a.jpg", "b.jpg", "c.jpg"]


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from shared.xmp_witnesses import row
from qinsight.ranking.picks import copy_picks
folder = Path(sys.argv[2])
print("ready", flush=True)
copy_picks([row(f"{n:03}.jpg") for n in range(300)], folder / "shoot", folder / "picks")
"""


def test_a_kill_leaves_whole_copies_and_the_same_again_goes_on(tmp_path):
    names = [f"{number:03}.jpg" for number in range(300)]
    folder = shoot(tmp_path, *names)
    for name in names:
        (folder / name).write_bytes(name.encode() * 20_000)
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, REPOSITORY / "tests", tmp_path],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
    )
    assert process.stdout.readline() == b"ready\n"
    while not (tmp_path / "picks/003.jpg").exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    copied = found(tmp_path / "picks")
    assert len(copied) > 0
    for name in copied:
        assert name.endswith(".part") or (tmp_path / "picks" / name).read_bytes() == name.encode() * 20_000
    assert len(copy_picks([row(name) for name in names], folder, tmp_path / "picks").copied) == 300
    assert found(tmp_path / "picks") == names


@pytest.mark.parametrize("how", ["--xmp", "--copy-picks"])
def test_what_could_not_be_written_is_told_to_a_script_too(how, tmp_path, capsys, monkeypatch):
    folder, picks = tmp_path / "shoot", tmp_path / "picks"
    for place in (folder, picks):
        place.mkdir()
    Image.new("RGB", (64, 64), "white").save(folder / "a.jpg")
    (folder / "a.jpg.xmp").mkdir()
    (picks / "a.jpg").write_bytes(b"another photo")
    monkeypatch.setattr(command_line, "_engine", lambda options: PixelEngine())
    given = {"--xmp": "beside", "--copy-picks": str(picks)}[how]
    assert main(["rank", str(folder), "--out", str(tmp_path / "out"), how, given]) == 6
    assert "a.jpg" in capsys.readouterr().err.splitlines()[-1]


def test_the_command_line_says_what_was_picked(tmp_path, capsys, monkeypatch):
    folder = tmp_path / "shoot"
    folder.mkdir()
    for number in (10, 120, 250):
        Image.new("RGB", (64, 64), (number,) * 3).save(folder / f"{number}.jpg")
        (folder / f"{number}.NEF.xmp").write_bytes(sidecar(""))
    engine = PixelEngine()
    monkeypatch.setattr(command_line, "_engine", lambda options: engine)
    arguments = ["rank", str(folder), "--out", str(tmp_path / "out"), "--xmp", "embed", "--reject-below", "2"]
    for _ in range(2):
        assert main([*arguments, "--copy-picks", str(folder / "picks")]) == 0
        assert "picked frames" in capsys.readouterr().err
    assert engine.photos == 3
    picked = [name for name in found(folder / "picks") if not name.startswith(".")]
    assert picked
    assert "10.jpg" not in picked
    for name in picked:
        assert (folder / "picks" / name).read_bytes() == (folder / name).read_bytes()


def test_a_place_that_cannot_be_made_is_one_sentence(tmp_path):
    folder = shoot(tmp_path, "a.jpg")
    with pytest.raises(QInsightError, match=r"Expected to make the folder .*, got 'File name too long'."):
        copy_picks([row("a.jpg")], folder, tmp_path / ("x" * 300))
