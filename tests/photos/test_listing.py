"""A shoot's photos are found whatever they are called, one frame for one shutter, and what is left out is said."""

import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from qinsight.errors import QInsightError
from qinsight.page.sentences import translated
from qinsight.photos.listing import RAW_SUFFIXES, SUFFIXES, Found, NoPhotos, look, photos_in

NOON, LATER = "2024:05:01 12:00:00", "2024:05:02 18:30:00"
DATE_TIME_ORIGINAL = 0x9003


def jpeg(path: Path, taken: str | None = None) -> Path:
    """A small JPEG that tells when it was taken, as a camera writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    if taken:
        exif.get_ifd(0x8769)[DATE_TIME_ORIGINAL] = taken
    Image.new("RGB", (64, 56), "teal").save(path, "JPEG", exif=exif)
    return path


def raw(path: Path, taken: str = "") -> Path:
    """What is told of a RAW here: its suffix, and a time in its head."""
    path.write_bytes(b"II*\0" + bytes(100) + taken.encode() + b"\0")
    return path


@pytest.mark.parametrize(
    "name", ["IMG_1.jpg", "IMG_1.JPE", "a.b.JfIf", "x.jif", "DSCF0001.MPO", "x.HIF", "x.dib", "x.apng"]
)
def test_a_photo_is_known_by_any_suffix_that_is_read_in_any_case(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"whatever")
    assert photos_in(tmp_path) == [name]


@pytest.mark.parametrize("suffix", RAW_SUFFIXES)
def test_every_raw_is_a_photo(tmp_path: Path, suffix: str) -> None:
    raw(tmp_path / f"B0000001{suffix.upper()}")
    assert photos_in(tmp_path) == [f"B0000001{suffix.upper()}"]
    assert suffix in SUFFIXES


def test_a_photo_without_a_suffix_or_with_an_odd_one_is_known_by_its_content(tmp_path: Path) -> None:
    for name in ("IMG_0001", "photo.jpg_large", "photo.dat", "IMG.jpg "):
        jpeg(tmp_path / name)
    assert photos_in(tmp_path) == ["IMG.jpg ", "IMG_0001", "photo.dat", "photo.jpg_large"]


@pytest.mark.parametrize("name", ["a.jpg_original", "a.jpg~", "a.bak", "a.THM", "a.jpg.part", "a.mov"])
def test_copies_and_companions_of_photos_are_no_photos(tmp_path: Path, name: str) -> None:
    jpeg(tmp_path / "a.jpg")
    jpeg(tmp_path / name)
    found = look(tmp_path)
    assert found.frames == (("a.jpg",),)
    assert found.sentence() == f"Left out: other kinds: 1 ({name})."


def test_a_text_that_begins_like_a_bitmap_is_no_photo(tmp_path: Path) -> None:
    jpeg(tmp_path / "a.jpg")
    (tmp_path / "notes").write_text("BMW and others")
    assert photos_in(tmp_path) == ["a.jpg"]


@pytest.mark.parametrize(
    "name",
    [
        *("@eaDir", "#recycle", "$RECYCLE.BIN", "#snapshot", "System Volume Information", "lost+found"),
        *("Catalog Previews.lrdata", "Old.PHOTOSLIBRARY", "__MACOSX"),
    ],
)
def test_folders_of_the_system_are_left_out_and_said(tmp_path: Path, name: str) -> None:
    jpeg(tmp_path / "card" / "a.jpg")
    jpeg(tmp_path / "card" / name / "deeper" / "thumb.jpg")
    found = look(tmp_path)
    assert found.frames == (("card/a.jpg",),)
    assert found.left_out == (f"system folders: 1 ({name})",)


def test_hidden_files_and_folders_are_left_out_and_said(tmp_path: Path) -> None:
    for name in ("a.jpg", "._a.jpg", ".thumbnails/x.jpg", ".Trash-1000/y.jpg"):
        jpeg(tmp_path / name)
    found = look(tmp_path)
    assert found.frames == (("a.jpg",),)
    assert found.left_out == ("hidden: 3 (.Trash-1000, ._a.jpg, .thumbnails)",)


def test_links_are_left_out_and_said_wherever_they_lead(tmp_path: Path) -> None:
    shoot, outside = tmp_path / "shoot", jpeg(tmp_path / "outside" / "b.jpg")
    jpeg(shoot / "a.jpg")
    for name, target in {
        "loop": shoot,
        "up": tmp_path,
        "out": outside.parent,
        "b.jpg": outside,
        "gone.jpg": tmp_path / "nowhere",
        "itself.jpg": shoot / "itself.jpg",
    }.items():
        (shoot / name).symlink_to(target)
    found = look(shoot)
    assert found.frames == (("a.jpg",),)
    assert found.left_out == ("links: 6 (b.jpg, gone.jpg, itself.jpg, loop, out, …)",)


def test_a_shoot_may_itself_be_a_link(tmp_path: Path) -> None:
    jpeg(tmp_path / "shoot" / "a.jpg")
    (tmp_path / "link").symlink_to(tmp_path / "shoot")
    assert photos_in(tmp_path / "link") == ["a.jpg"]


def test_a_pipe_with_the_name_of_a_photo_is_left_out_and_not_waited_for(tmp_path: Path) -> None:
    jpeg(tmp_path / "a.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    found = look(tmp_path)
    assert found.frames == (("a.jpg",),)
    assert found.left_out == ("pipes and devices: 1 (pipe.jpg)",)


def test_many_files_of_other_kinds_are_counted_by_suffix(tmp_path: Path) -> None:
    jpeg(tmp_path / "a.jpg")
    for number in range(7):
        (tmp_path / f"{number}.pp3").write_text("")
    (tmp_path / "clip.MOV").write_text("")
    (tmp_path / "README").write_text("")
    assert look(tmp_path).left_out == ("other kinds: 9 (7 .pp3, 1 .mov, 1 no suffix)",)
    (tmp_path / "a.jpg.xmp").write_text("")  # part of a photo
    assert look(tmp_path).left_out == ("other kinds: 9 (7 .pp3, 1 .mov, 1 no suffix)",)


def test_results_are_no_part_of_the_shoot_however_their_folder_is_spelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jpeg(tmp_path / "a.jpg")
    jpeg(tmp_path / "out" / "b.jpg")
    monkeypatch.chdir(tmp_path)
    for folder, out in ((Path(), tmp_path / "out"), (tmp_path, Path("out")), (Path(), Path("x/../out"))):
        (tmp_path / "x").mkdir(exist_ok=True)
        assert look(folder, out) == Found((("a.jpg",),))


def test_a_folder_of_other_things_says_what_was_expected_and_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "a.psd").write_bytes(b"8BPS")
    (tmp_path / "link.jpg").symlink_to(tmp_path / "a.psd")
    with pytest.raises(
        NoPhotos, match=r"Expected photos \(jpg, .*RAW\) in .*; there are none. Left out: links: 1"
    ):
        look(tmp_path)
    with pytest.raises(QInsightError, match="Expected a folder of photos"):
        look(tmp_path / "a.psd")


def test_what_is_left_out_is_said_in_every_language(tmp_path: Path) -> None:
    for name in ("@eaDir/x.jpg", ".hidden.jpg", "a.jpg"):
        jpeg(tmp_path / name)
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "b.psd").write_bytes(b"8BPS")
    os.mkfifo(tmp_path / "pipe")
    left_out = look(tmp_path).left_out
    assert len(left_out) == 5
    for part in left_out:
        assert all(translated(part, place) for place in (0, 1)), part


# --- one shutter, one frame -------------------------------------------------------------------------------------


def test_a_jpeg_and_the_raw_of_its_shutter_are_one_frame_and_the_jpeg_is_asked(tmp_path: Path) -> None:
    jpeg(tmp_path / "IMG_1.JPG", NOON)
    raw(tmp_path / "IMG_1.CR2", NOON)
    jpeg(tmp_path / "IMG_2.jpeg")
    raw(tmp_path / "IMG_2.nef")
    assert look(tmp_path).frames == (("IMG_1.JPG", "IMG_1.CR2"), ("IMG_2.jpeg", "IMG_2.nef"))
    assert photos_in(tmp_path) == ["IMG_1.JPG", "IMG_2.jpeg"]


def test_the_same_stem_at_another_time_is_another_frame(tmp_path: Path) -> None:
    jpeg(tmp_path / "IMG_1.JPG", NOON)
    raw(tmp_path / "IMG_1.CR2", LATER)
    assert look(tmp_path).frames == (("IMG_1.CR2",), ("IMG_1.JPG",))


def test_the_same_stem_in_another_folder_is_another_frame(tmp_path: Path) -> None:
    jpeg(tmp_path / "one" / "IMG_1.JPG", NOON)
    (tmp_path / "two").mkdir()
    raw(tmp_path / "two" / "IMG_1.CR2", NOON)
    assert len(look(tmp_path).frames) == 2


def test_all_that_a_camera_and_its_converter_write_of_one_shutter_is_one_frame(tmp_path: Path) -> None:
    for name in ("IMG_1.DNG", "IMG_1.CR2"):
        raw(tmp_path / name, NOON)
    shutil.copy(jpeg(tmp_path / "IMG_1.JPG", NOON), tmp_path / "IMG_1.HIF")
    Image.new("RGB", (64, 56)).save(tmp_path / "IMG_1.png")
    raw(tmp_path / "IMG_2.CR2", NOON)
    raw(tmp_path / "IMG_2.DNG", NOON)
    raw(tmp_path / "IMG_3.DNG", NOON)
    shutil.copy(tmp_path / "IMG_1.HIF", tmp_path / "IMG_3.heic")
    assert look(tmp_path).frames == (
        ("IMG_1.JPG", "IMG_1.HIF", "IMG_1.CR2", "IMG_1.DNG"),
        ("IMG_1.png",),
        ("IMG_2.CR2", "IMG_2.DNG"),
        ("IMG_3.heic", "IMG_3.DNG"),
    )


def test_photos_that_only_share_a_stem_are_frames_of_their_own(tmp_path: Path) -> None:
    for name in ("a.jpg", "a.jpeg", "a.png", "a.heic"):
        jpeg(tmp_path / name, NOON)
    assert len(look(tmp_path).frames) == 4
