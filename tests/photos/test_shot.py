"""What a camera noted of a shot is read from the first bytes of any kind of file; what is no such note is none."""

from pathlib import Path

import pytest
from PIL import Image

from qinsight.photos.shot import Shot, shot_at_the_head, shot_in
from shared.cameras import taken


def test_time_exposure_and_settings_are_the_cameras(tmp_path: Path) -> None:
    shot = shot_in(taken(tmp_path / "a.jpg", "2026:11:26 10:00:01", seconds=250, fraction="25"))
    assert shot.taken == "2026-11-26T10:00:01.25"
    assert shot.exposure == pytest.approx(-8.937, abs=0.001)
    assert shot.settings == "1/250 s, f/2.8, ISO 400"


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"rubbish",
        b"Exif\0\0",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"II*\0\x08\0\0\0\xff\xff" + b"\xff" * 90,
    ],
)
def test_what_tells_nothing_is_an_empty_shot(head: bytes, tmp_path: Path) -> None:
    assert shot_at_the_head(head) == Shot()
    assert shot_in(tmp_path / "missing.jpg") == Shot()


@pytest.mark.parametrize("time", ["0000:00:00 00:00:00", "soon", "2026:13:45 10:00:00", ""])
def test_a_time_that_is_none_is_not_told(time: str, tmp_path: Path) -> None:
    assert shot_in(taken(tmp_path / "a.jpg", time, seconds=250)).taken is None


def test_a_photo_without_notes_tells_nothing(tmp_path: Path) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    assert shot_in(tmp_path / "a.png") == Shot()
