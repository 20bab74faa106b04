"""Bursts and brackets are told apart in one place; a bracket stays whole, and a person's word goes before the model's."""

import threading
from dataclasses import replace
from pathlib import Path

import imagehash
import pytest
from PIL import Image, ImageEnhance, ImageFilter

from qinsight.ranking.alike import NEAR
from qinsight.ranking.folder import rank_folder, ranking
from qinsight.ranking.picks import copy_picks
from qinsight.ranking.rows import Row
from qinsight.ranking.sidecars import write_sidecars
from qinsight.ranking.xmp import by_hand, merged, stars_of
from shared.cameras import EXAMPLES, taken
from shared.engines import PixelEngine


def rows_of(folder: Path) -> list[Row]:
    [*rank_folder(PixelEngine(), folder, folder / "out", stop=threading.Event())]
    return sorted(ranking(folder / "out"), key=lambda row: row.photo)


def rocket(stops: float) -> Image.Image:
    return ImageEnhance.Brightness(Image.open(EXAMPLES / "rocket.jpg").resize((360, 240))).enhance(
        2 ** (stops * 0.4)
    )


def test_frames_that_differ_in_exposure_are_a_bracket_and_alike_ones_a_burst(tmp_path: Path) -> None:
    for number, stops in enumerate((-2, 0, 2)):
        taken(
            tmp_path / f"a{number}.jpg",
            f"2026:11:26 10:00:0{number}",
            seconds=round(200 / 2**stops),
            image=rocket(stops),
        )
    cat = Image.open(EXAMPLES / "cat.jpg").resize((300, 200))
    for number, seconds in enumerate((250, 250, 320)):  # changing light is no bracket
        blurred = cat.filter(ImageFilter.GaussianBlur(number / 2))
        taken(tmp_path / f"b{number}.jpg", f"2026:11:26 10:05:0{number}", seconds=seconds, image=blurred)
    taken(tmp_path / "c.jpg", "2026:11:26 11:05:00", image=cat)  # alike, an hour later
    rows = rows_of(tmp_path)
    assert [row.bracket for row in rows] == [True] * 3 + [False] * 4
    assert [row.group for row in rows] == [1, 1, 1, 2, 2, 2, None]
    assert all(stars_of(row, (1.8, 2.6, 3.4, 4.2), 5.0) != -1 for row in rows[:3])
    assert all(stars_of(row, (1.8, 2.6, 3.4, 4.2), 5.0) == -1 for row in rows[3:])
    picks = copy_picks(rows, tmp_path, tmp_path / "picks", reject_below=5.0)
    assert sorted(path.name for path in picks.copied) == ["a0.jpg", "a1.jpg", "a2.jpg"]


def test_a_hand_that_moves_does_not_part_a_burst_and_another_photo_does_not_join_it(tmp_path: Path) -> None:
    cat, coffee = (
        Image.open(EXAMPLES / f"{name}.jpg").convert("RGB").resize((420, 300)) for name in ("cat", "coffee")
    )
    frames = [cat.crop((0, 0, 400, 280)), cat.crop((8, 5, 408, 285)), coffee.crop((0, 0, 400, 280))]
    here, moved, _ = (imagehash.phash(frame) for frame in frames)
    assert here - moved > NEAR
    for number, frame in enumerate(frames):
        taken(tmp_path / f"{number}.jpg", f"2026:11:26 10:00:0{number}", image=frame)
    assert [row.group for row in rows_of(tmp_path)] == [1, 1, None]


ROW = Row("a.jpg", "", "m", 3.0, 3.0, "blur", "slight", "soft", "")


@pytest.mark.parametrize(
    ("said", "stars"), [({"pick": "rejected"}, -1), ({"stars": 5}, 5), ({"pick": "rejected", "stars": 5}, -1)]
)
def test_a_persons_word_is_what_is_written_and_counts_as_a_persons_ever_after(
    said: dict[str, object], stars: int
) -> None:
    row = replace(ROW, **said)  # type: ignore[arg-type]
    xmp = merged(None, row, stars=3)
    assert by_hand(xmp) == stars
    again = merged(xmp, ROW, stars=2)
    assert by_hand(again) == stars
    assert b"<qinsight:expectedRating>3.0" in again
    assert merged(xmp, row, stars=3) == xmp


def test_a_person_who_changes_their_mind_here_replaces_what_they_said_elsewhere_and_it_is_remembered() -> (
    None
):
    before = merged(None, replace(ROW, stars=2), stars=3)
    after = merged(before, replace(ROW, stars=4), stars=3)
    assert by_hand(after) == 4
    assert b"<qinsight:formerRating>2" in after


def test_picked_frames_of_a_burst_are_all_copied_and_a_threshold_rejects_none_of_them(tmp_path: Path) -> None:
    rows = []
    for name in "abc":
        taken(tmp_path / f"{name}.jpg", "2026:11:26 10:00:00")
        rows.append(replace(ROW, photo=f"{name}.jpg", group=1, best=name == "a"))
    rows = [replace(rows[0], pick="rejected"), *(replace(row, pick="picked") for row in rows[1:])]
    picks = copy_picks(rows, tmp_path, tmp_path / "picks", reject_below=4.0)
    assert sorted(path.name for path in picks.copied) == ["b.jpg", "c.jpg"]
    write_sidecars(rows, tmp_path, reject_below=4.0)
    told = {path.name: path.read_text() for path in tmp_path.glob("*.xmp")}
    assert "<xmp:Rating>-1" in told["a.jpg.xmp"]
    assert "<xmp:Rating>3" in told["b.jpg.xmp"]
    assert "q-insight:picked" in told["b.jpg.xmp"]
