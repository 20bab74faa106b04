"""What is no photo, or a damaged or monstrous one, is refused in a sentence that names it."""

import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from qinsight.errors import PhotoError
from qinsight.photos import decode_in_child, load_photo
from shared.photo_files import LOSSLESS, SRGB, corners, exif, noise, patches, saved
from shared.tiffs import picture_tags, tiff


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "AVIF", "BMP"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_half_a_photo_is_refused(kind, share):
    photo = saved(Image.fromarray(noise(200, 200, 3)), kind)
    with pytest.raises(PhotoError, match="damaged"):
        load_photo(photo[: int(len(photo) * share)])


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, about damaged TIFFs
@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"hello, this is only text", "another kind"),
        (b"\xff\xd8\xff", "damaged"),
        (b"\x89PNG\r\n\x1a\n", "damaged"),
        (b"II*\0\x08\0\0\0", "damaged"),
        (b"BM" + bytes(100), "damaged"),
        (b"%PDF-1.7 \n", "PDF"),
        (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg">', "SVG"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"8BPS\0\1", "Photoshop"),
        (b"\xff\x0a\xfa\x7f", "JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"\0\0\0\x20ftypisom\0\0\2\0isomiso2mp41", "video"),
        (b"PK\3\4" + bytes(40), "archive"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "PostScript"),
        (b"\x7fELF", "another kind"),
    ],
)
def test_what_is_not_a_photo_is_named(data, words):
    with pytest.raises(PhotoError, match=words):
        load_photo(data)


def test_no_refusal_tells_where_the_file_is(tmp_path):
    for name, data in {
        "text.jpg": b"text",
        "empty.jpg": b"",
        "cut.png": saved(patches(), "PNG")[:60],
    }.items():
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(PhotoError) as refused:
            load_photo(path)
        assert "/" not in str(refused.value)
        assert name not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing.jpg", "no such file"),
        ("", "folder"),
        ("a\0b", "cannot be opened"),
        ("x" * 5000, "cannot be opened"),
    ],
)
def test_what_cannot_be_opened_is_refused(tmp_path, name, words):
    with pytest.raises(PhotoError, match=words):
        load_photo(f"{tmp_path}/{name}")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_a_pipe_or_device_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "photo.jpg")
    for path in (tmp_path / "photo.jpg", "/dev/zero"):
        for read in (load_photo, lambda path: decode_in_child(path, view_pixels=5000)):
            with pytest.raises(PhotoError, match="pipe or a device"):
                read(path)


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP", "TIFF", "JPEG", "WEBP"])
def test_a_header_that_promises_too_many_pixels_is_refused(kind):
    photo = bytearray(saved(Image.new("RGB", (64, 48)), kind, **LOSSLESS.get(kind, {})))
    match kind:
        case "PNG":
            photo[16:24] = struct.pack(">II", 60_000, 60_000)
            photo[29:33] = struct.pack(">I", zlib.crc32(photo[12:29]))
        case "GIF":
            photo[6:10] = struct.pack("<HH", 65_000, 65_000)
        case "BMP":
            photo[18:26] = struct.pack("<ii", 60_000, 60_000)
        case "TIFF":
            photo = bytearray(tiff((picture_tags(60_000, 60_000), [b"..."])))
        case "JPEG":
            at = photo.index(b"\xff\xc0")
            photo[at + 5 : at + 9] = struct.pack(">HH", 60_000, 60_000)
        case "WEBP":
            photo[21:25] = struct.pack("<I", 16_382 | 16_382 << 14)
    with pytest.raises(PhotoError, match="megapixels, got"):
        load_photo(bytes(photo))


@pytest.mark.parametrize(("scans", "accepted"), [(150, True), (250, False)])
def test_a_jpeg_with_hundreds_of_scans_is_refused(scans, accepted):
    photo = saved(patches(), "JPEG", progressive=True)
    last = photo.rindex(b"\xff\xda")
    photo = photo[:-2] + photo[last:-2] * (scans - 10) + b"\xff\xd9"
    if accepted:
        load_photo(photo)
    else:
        with pytest.raises(PhotoError, match="at most 200 scans"):
            load_photo(photo)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, about damaged EXIF
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF"])
def test_any_damage_ends_in_a_photo_or_a_refusal(kind):
    frames = [patches().rotate(180)] if kind in ("GIF", "TIFF", "PNG") else []
    options = {"save_all": True, "append_images": frames} if frames else {}
    photo = np.frombuffer(saved(patches(), kind, exif=exif(6), icc_profile=SRGB, **options), np.uint8)
    numbers = np.random.default_rng(7)
    for _ in range(150):
        damaged = photo.copy()
        places = numbers.integers(0, numbers.choice([40, 400, len(photo)]), 6).clip(max=len(photo) - 1)
        damaged[places] = numbers.choice([0, 1, 127, 128, 255], 6)
        try:
            image = load_photo(damaged[: numbers.integers(len(photo) // 2, 2 * len(photo))].tobytes())
        except PhotoError:
            continue
        assert (image.mode, image.info) == ("RGB", {})


@pytest.mark.parametrize("junk", [bytes(30_000_000), b"\xff" * 30_000_000, b"\xff\xfe\0\2" * 7_000_000])
def test_junk_before_the_picture_is_refused_not_read_byte_by_byte(junk):
    photo = saved(patches(), "JPEG")
    with pytest.raises(PhotoError, match="damaged"):
        load_photo(photo[:20] + junk + photo[20:])  # after the JFIF segment


def test_a_megabyte_of_fill_bytes_is_read_in_one_pass():
    photo = saved(patches(), "JPEG", progressive=True)
    image = load_photo(photo[:-2] + b"\xff" * 1_000_000 + photo[-2:])
    assert corners(image) == ["red", "lime", "blue", "white"]
