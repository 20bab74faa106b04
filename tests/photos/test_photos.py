"""Photos arrive in many shapes; `load_photo` promises one: upright, sRGB, RGB, 8 bit."""

import base64
import io
import os
import struct
import subprocess
import sys
import threading
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from qinsight.errors import PhotoError, Stopped
from qinsight.photos import decode_in_child, load_photo, read_photo
from qinsight.photos.view import view
from shared.places import REPOSITORY

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
LOSSLESS = {"PNG": {}, "TIFF": {}, "BMP": {}, "WEBP": {"lossless": True}, "AVIF": {"quality": 100}}
SIXTEEN_BIT_RAMP = np.linspace(0, 65535, 64 * 48).reshape(48, 64).astype(np.uint16)

# ---- what came, and what is promised


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "GIF", "WEBP", "AVIF", "JPEG"])
def test_an_ordinary_photo_comes_back_exactly(kind):
    photo = saved(Image.fromarray(noise(40, 60, 3)), kind, **LOSSLESS.get(kind, {}))
    image = load_photo(photo)
    assert type(image) is Image.Image
    assert (image.mode, image.info, dict(image.getexif())) == ("RGB", {}, {})
    assert np.array_equal(image, Image.open(io.BytesIO(photo)).convert("RGB"))


def test_a_photo_comes_from_a_path_bytes_or_an_open_file(tmp_path):
    photo = saved(patches(), "PNG")
    path = tmp_path / "photo.png"
    path.write_bytes(photo)
    link = tmp_path / "link"
    link.symlink_to(path)
    with path.open("rb") as file:
        file.read()
        sources = [str(path), path, link, photo, io.BytesIO(photo), file]
        assert all(np.array_equal(load_photo(source), patches()) for source in sources)


@pytest.mark.parametrize("source", [None, 3, ["photo.jpg"], io.StringIO("photo")])
def test_anything_else_is_a_mistake_in_the_program(source):
    with pytest.raises(TypeError, match="expected"):
        load_photo(source)


def test_the_content_decides_not_the_name(tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(saved(patches(), "PNG"))
    assert read_photo(path).format == "PNG"


def test_the_facts_tell_the_upright_size_the_format_and_the_frames():
    frames = [patches(), patches().rotate(180), patches().rotate(90, expand=True).resize((96, 64))]
    photo = read_photo(saved(frames[0], "WEBP", save_all=True, append_images=frames[1:]))
    assert (photo.size, photo.format, photo.notes) == ((96, 64), "WebP", ("first of 3 frames",))
    photo = read_photo(saved(patches(), "JPEG", exif=exif(6)), max_pixels=1000)
    assert (photo.size, photo.format, photo.notes) == ((64, 96), "JPEG", ())


# ---- size


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("most", [1, 50, 5_000, 99_999])
def test_a_large_photo_is_never_larger_than_asked(kind, most):
    image = load_photo(saved(patches(600, 400), kind), max_pixels=most)
    assert 0.9 * most - 20 < image.width * image.height <= most


def test_a_small_photo_keeps_its_pixels():
    assert np.array_equal(load_photo(saved(patches(), "PNG"), max_pixels=96 * 64), patches())


def test_a_photo_shrunk_by_libjpeg_looks_as_if_it_were_shrunk_afterwards():
    smooth = Image.fromarray(noise(12, 16, 3)).resize((1601, 1203), Image.Resampling.BICUBIC)
    photo = saved(smooth, "JPEG", quality=95)
    image = load_photo(photo, max_pixels=40_000)
    expected = Image.open(io.BytesIO(photo)).resize(image.size, Image.Resampling.BICUBIC)
    assert differ(image, expected) <= 3


def test_a_panorama_within_the_limit_stays_within_it_when_shrunk():
    image = load_photo(saved(Image.new("RGB", (6000, 30)), "PNG"), max_pixels=50_000)
    assert image.width <= 200 * image.height


@pytest.mark.parametrize(
    ("size", "words"), [((7, 40), "8 x 8"), ((4020, 20), "200:1"), ((20, 4020), "200:1"), ((1, 1), "1 x 1")]
)
def test_a_photo_too_small_or_too_narrow_to_judge_is_refused(size, words):
    with pytest.raises(PhotoError, match=words):
        load_photo(saved(Image.new("RGB", size), "PNG"))


# ---- orientation


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF", "MPO"])
@pytest.mark.parametrize("max_pixels", [None, 2000])
def test_every_orientation_comes_upright(kind, orientation, max_pixels):
    photo = read_photo(
        saved(turned_away(patches(), orientation), kind, exif=exif(orientation)), max_pixels=max_pixels
    )
    assert photo.size == (96, 64)
    assert corners(photo.image) == ["red", "lime", "blue", "white"]


@pytest.mark.parametrize("orientation", [0, 9, 255, 65535])
def test_an_orientation_that_means_nothing_is_ignored(orientation):
    assert corners(load_photo(saved(patches(), "PNG", exif=exif(orientation)))) == [
        "red",
        "lime",
        "blue",
        "white",
    ]


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, about damaged EXIF
@pytest.mark.parametrize(
    "data", [b"", b"Exif\0\0", b"Exif\0\0MM\0*\xff\xff\xff\xff", b"Exif\0\0rubbish rubbish"]
)
def test_broken_exif_does_no_harm(data):
    assert corners(load_photo(saved(patches(), "JPEG", exif=data))) == ["red", "lime", "blue", "white"]


# ---- bit depth


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_a_sixteen_bit_gray_photo_keeps_its_greys(kind):
    image = load_photo(saved(Image.fromarray(SIXTEEN_BIT_RAMP), kind))
    assert differ(image, grey(SIXTEEN_BIT_RAMP / 257)) <= 1


@pytest.mark.parametrize(
    ("bits", "inverted", "order"),
    [
        (8, False, "<"), (8, True, "<"), (8, False, ">"), (8, True, ">"),
        (16, False, "<"), (16, True, "<"), (16, False, ">"), (12, False, "<"), (32, False, "<"),
    ],
)  # fmt: skip
def test_deep_gray_tiffs_keep_their_greys(bits, inverted, order):
    white = 2**bits - 1
    shown = np.linspace(0, 1, 64 * 48).reshape(48, 64)
    stored = np.round((1 - shown if inverted else shown) * white).astype(np.uint64)
    if bits == 12:
        pairs = stored.reshape(-1, 2)
        strip = np.stack([pairs[:, 0] >> 4, (pairs[:, 0] & 15) << 4 | pairs[:, 1] >> 8, pairs[:, 1] & 255], 1)
        strip = strip.astype(np.uint8).tobytes()
    else:
        strip = stored.astype(f"{order}u{bits // 8}").tobytes()
    photo = tiff((picture_tags(64, 48, bits=(bits,), photometric=0 if inverted else 1), [strip]), order=order)
    assert differ(load_photo(photo), grey(shown * 255)) <= 1


def test_a_sixteen_bit_colour_photo_keeps_its_colours():
    deep = noise(48, 64, 3).astype(np.uint16) * 257
    photo = tiff((picture_tags(64, 48, bits=(16, 16, 16)), [deep.tobytes()]))
    assert differ(load_photo(photo), Image.fromarray(noise(48, 64, 3))) <= 1


def test_sixteen_bit_planes_are_refused_because_pillow_reads_noise():
    planes = [noise(48, 64).astype("<u2").tobytes() for _ in range(3)]
    with pytest.raises(PhotoError, match="separate 16-bit planes"):
        load_photo(tiff((picture_tags(64, 48, bits=(16, 16, 16)) | {284: short(2)}, planes)))


def test_floating_point_is_refused():
    with pytest.raises(PhotoError, match="floating-point"):
        load_photo(saved(Image.new("F", (64, 48), 0.5), "TIFF"))


def test_black_and_white_palette_and_lab_photos_are_shown():
    stripes = Image.fromarray(np.tile(np.array([[0, 255]], np.uint8), (48, 32)))
    assert np.array_equal(load_photo(saved(stripes.convert("1"), "PNG")), stripes.convert("RGB"))
    assert differ(load_photo(saved(patches().quantize(8), "GIF")), patches()) == 0
    lab = Image.new("LAB", (64, 48), (138, 209, 198))  # CIE Lab 54, 81, 70 under D50: sRGB red
    assert differ(load_photo(saved(lab, "TIFF")), Image.new("RGB", (64, 48), "red")) <= 6


# ---- transparency


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        ("PNG", "RGBA"),
        ("PNG", "LA"),
        ("PNG", "P"),
        ("TIFF", "RGBA"),
        ("TIFF", "LA"),
        ("WEBP", "RGBA"),
        ("AVIF", "RGBA"),
    ],
)
def test_what_is_transparent_is_shown_over_white(kind, mode):
    photo = Image.new("RGBA", (64, 48), (200, 0, 0, 0))
    photo.paste((100, 100, 100, 255), (0, 0, 32, 24))
    photo.paste((100, 100, 100, 128), (32, 24, 64, 48))
    if mode == "P":
        data = saved(photo.quantize(16, method=Image.Quantize.FASTOCTREE), kind)
    else:
        data = saved(photo.convert(mode), kind, **LOSSLESS[kind])
    image = load_photo(data)
    seen = [image.getpixel(place)[0] for place in [(5, 5), (60, 5), (60, 40)]]
    assert seen == pytest.approx([100, 255, 177], abs=6)


def test_colours_multiplied_with_their_transparency_are_restored():
    premultiplied = np.full((48, 64, 4), (50, 25, 0, 128), np.uint8)
    tags = picture_tags(64, 48, bits=(8, 8, 8, 8)) | {338: short(1)}
    image = load_photo(tiff((tags, [premultiplied.tobytes()])))
    assert image.getpixel((0, 0)) == pytest.approx((177, 152, 127), abs=2)


def test_a_colour_key_is_transparent():
    photo = Image.new("RGB", (64, 48), (1, 2, 3))
    photo.paste((9, 9, 9), (0, 0, 8, 8))
    image = load_photo(saved(photo, "PNG", transparency=(1, 2, 3)))
    assert (image.getpixel((4, 4)), image.getpixel((20, 20))) == ((9, 9, 9), (255, 255, 255))


def test_hidden_colours_do_not_bleed_when_shrunk():
    photo = Image.new("RGBA", (400, 400), (255, 0, 0, 0))
    photo.paste((255, 255, 255, 255), (100, 100, 300, 300))
    assert load_photo(saved(photo, "PNG"), max_pixels=1000).getextrema() == ((255, 255),) * 3


# ---- colour

P3 = [(0.680, 0.320), (0.265, 0.690), (0.150, 0.060)]
ADOBE = [(0.64, 0.33), (0.21, 0.71), (0.15, 0.06)]


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "JPEG"])
@pytest.mark.parametrize("primaries", [P3, ADOBE], ids=["P3", "Adobe"])
def test_colours_are_converted_as_the_profile_says(kind, primaries):
    stored = Image.fromarray(noise(6, 8, 3)).resize((64, 48), Image.Resampling.NEAREST)
    options = {"quality": 100, "subsampling": 0} if kind == "JPEG" else LOSSLESS[kind]
    photo = saved(stored, kind, icc_profile=matrix_profile(primaries, 2.2), **options)
    decoded = np.asarray(Image.open(io.BytesIO(photo)).convert("RGB"))
    assert differ(load_photo(photo), to_srgb_by_hand(decoded, primaries, 2.2)) <= 2
    assert read_photo(photo).notes == ("colour profile Test converted",)


def test_transparent_photos_are_converted_too():
    photo = Image.new("RGBA", (64, 48), (200, 100, 50, 128))
    opaque = to_srgb_by_hand(np.full((48, 64, 3), (200, 100, 50)), P3, 2.2)
    expected = Image.blend(Image.new("RGB", (64, 48), "white"), opaque, 128 / 255)
    assert differ(load_photo(saved(photo, "PNG", icc_profile=matrix_profile(P3, 2.2))), expected) <= 2


def test_an_srgb_profile_changes_nothing():
    assert np.array_equal(load_photo(saved(patches(), "PNG", icc_profile=SRGB)), patches())


def test_a_gray_profile_is_used():
    photo = saved(Image.new("L", (64, 48), 55), "PNG", icc_profile=matrix_profile(None, 1.0))
    assert load_photo(photo).getpixel((0, 0)) == pytest.approx((128, 128, 128), abs=2)


def test_a_gray_photo_with_a_colour_profile_stays_gray():
    image = load_photo(saved(Image.new("L", (64, 48), 55), "JPEG", icc_profile=SRGB))
    assert image.getpixel((0, 0)) == (55, 55, 55)


@pytest.mark.parametrize("profile", [b"rubbish", SRGB[:200], None], ids=["rubbish", "cut", "for gray photos"])
def test_a_profile_that_does_not_work_is_taken_as_srgb(profile):
    profile = profile or matrix_profile(None, 2.2)
    photo = read_photo(saved(patches(), "PNG", icc_profile=profile))
    assert np.array_equal(photo.image, patches())
    assert photo.notes == ("colour profile unusable, taken as sRGB",)


def test_print_colours_are_shown_with_and_without_a_profile():
    cyan = Image.new("CMYK", (64, 48), (255, 0, 0, 0))
    assert load_photo(saved(cyan, "JPEG")).getpixel((0, 0)) == pytest.approx((0, 255, 255), abs=2)
    inked = load_photo(saved(cyan, "TIFF", icc_profile=ink_profile(cyan_lab=(60, -30, -40)))).getpixel((0, 0))
    assert inked == pytest.approx((0, 159, 215), abs=12)  # Lab 60, -30, -40, by the CIE's formulas


# ---- several frames


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "AVIF", "TIFF", "MPO"])
def test_the_first_frame_is_shown(kind):
    others = [Image.new("RGB", (96, 64), colour) for colour in ("black", "yellow")]
    photo = read_photo(saved(patches(), kind, save_all=True, append_images=others))
    assert corners(photo.image) == ["red", "lime", "blue", "white"]
    assert bool(photo.notes) == (kind != "MPO")


def test_a_thumbnail_in_front_is_passed_over():
    small = (picture_tags(24, 16) | {254: long(1)}, [bytes(24 * 16 * 3)])
    large = (picture_tags(96, 64), [patches().tobytes()])
    assert np.array_equal(load_photo(tiff(small, large)), patches())
    assert np.array_equal(load_photo(tiff((*small, large))), patches())  # in a sub-directory
    with pytest.raises(PhotoError, match="preview"):
        load_photo(tiff(small))


# ---- odd, but photos


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@pytest.mark.parametrize(
    "chunk",
    [
        b"\0\0\0\4tIMEoops" + b"\0\0\0\0",
        png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(50_000_000))),
        png_chunk(b"iTXt", b"workflow\0\1\0\0\0" + zlib.compress(bytes(3_000_000))),
        png_chunk(b"iCCP", b"bomb\0\0" + zlib.compress(bytes(50_000_000))),
        png_chunk(b"iCCP", b"none\0\0rubbish"),
    ],
    ids=["wrong checksum", "text bomb", "long text", "profile bomb", "broken profile"],
)
def test_side_chunks_of_a_png_do_no_harm(chunk):
    photo = saved(patches(), "PNG")
    assert np.array_equal(load_photo(photo[:33] + chunk + photo[33:]), patches())


def test_a_large_profile_is_used():
    photo = saved(patches(), "PNG")
    profile = matrix_profile(P3, 2.2)
    profile = struct.pack(">I", 1_500_000) + profile[4:].ljust(1_500_000 - 4, b"\0")
    chunk = png_chunk(b"iCCP", b"large\0\0" + zlib.compress(profile))
    expected = to_srgb_by_hand(np.asarray(patches()), P3, 2.2)
    assert differ(load_photo(photo[:33] + chunk + photo[33:]), expected) <= 2


def test_what_follows_a_jpeg_is_ignored():
    photo = saved(patches(), "JPEG", progressive=True)
    tail = b"\xff\xda" * 500 + noise(5000).tobytes()
    assert np.array_equal(load_photo(photo + tail), load_photo(photo))


# ---- not photos


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


# ---- HEIC and RAW, where their packages are installed

HEIC = zlib.decompress(
    base64.b64decode(
        """
eNpjYGCQSSupLMhIzaxgAILczDRDEDs3MzGNgYFxQW5qSSIDBChmpOQUQdkMBZnJJQxowCQzJz8ZxHBxYGBiYASxGI9AaCB4CRQD
Aqa1cBEVILbIzMxLA/NAsqJATipYGVBNRlmyIQOSICNIiWtFJlg5X0FmSS4DVCXD/cyCogIgvT+zIDkfSJcD9TozsnAAmfMsQIrk
PjD8+f/jBwMDP3MCUIe4AyMP4///IAXMYBXMQCW7mBwSgXJaToyMqBIT2AQUNt31VDU9e8DZsREkJgkiGDmSgMo5XBgPFrXxMIE8
I5ycn1OUl5xTARTnZWBrAAqJZBYXpEL9mwDEDkAsUJBZkQkSYObgADmRM7MovwRoEYNEZkEuLLQZGRhZG5mYWVqBbKnMotQ0qDhf
ckpxMjh4gR5nFM1NSQTFw1MNxvUsP25/emn19v+Tw////wtf92b/yfYffi9Lvz+e7P9/2an6/4uEGmU/pfq+uD6/MLje+1HGFQF7
Lp+5q4Szzz7/9UBxV+jslJXl0zdtZ57XcF97TZnq92uNRw6b1jxIVJfLr3Qu0NZxl+xedfHj63V6P3fNcZr934et4/5lHfP/X4/d
SY85Pb+ce9MNlW3Xn/905Z2sdDN4skfApSJHpgrbncGJFrbT9I/dMncuvy95LJZVV31haEjfFLe/SfHiD5y+b//6/xNT/z8O+9D9
D65M/T35ZI7kWS+7XRfVmyUt5zaY3XH8NWuZpL2l99+ZKR+AHmWDJABfXwYtII+DgZFRCBRHwMBgg4QPADGqyjE=
        """
    )
)  # `patches()`, turned by 90 degrees in the file


def test_a_heic_photo_comes_upright():
    pytest.importorskip("pi_heif")
    photo = read_photo(HEIC)
    assert (photo.size, photo.format, photo.notes) == ((64, 96), "HEIC", ())
    assert corners(photo.image) == ["blue", "red", "white", "lime"]


def test_a_heic_that_crashes_its_decoder_is_refused():
    pytest.importorskip("pi_heif")
    for seed in range(3):
        at = HEIC.index(b"ipco") + 10 + 17 * seed
        with pytest.raises(PhotoError):
            load_photo(HEIC[:at] + noise(120, seed=seed).tobytes() + HEIC[at + 120 :])


@pytest.mark.parametrize(("module", "package"), [("pi_heif", "pi-heif"), ("rawpy", "rawpy")])
def test_a_missing_extra_is_named(monkeypatch, module, package):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(PhotoError, match=f"pip install {package}"):
        load_photo(HEIC if module == "pi_heif" else raw_photo())


def test_a_raw_photo_is_developed_and_never_its_thumbnail():
    pytest.importorskip("rawpy")
    photo = read_photo(raw_photo(), max_pixels=10_000)
    assert (photo.size, photo.format) == ((256, 192), "RAW")
    assert photo.notes == ("RAW: developed, with automatic brightness",)
    assert photo.image.width * photo.image.height <= 10_000
    left, right = (photo.image.resize((2, 1), Image.Resampling.BOX).getpixel((x, 0)) for x in (0, 1))
    assert right[1] > left[1] + 60


def test_a_raw_photo_with_a_full_size_preview_shows_it():
    pytest.importorskip("rawpy")
    photo = read_photo(raw_photo(preview=saved(patches(256, 192), "JPEG", quality=95)))
    assert (photo.size, photo.format, photo.notes) == ((256, 192), "RAW", ("RAW: embedded preview rated",))
    assert corners(photo.image) == ["red", "lime", "blue", "white"]


def test_a_raw_photo_taken_upright_comes_upright():
    pytest.importorskip("rawpy")
    photo = read_photo(raw_photo(preview=saved(patches(256, 192), "JPEG", quality=95), orientation=6))
    assert photo.size == photo.image.size == (192, 256)
    assert corners(photo.image) == ["blue", "red", "white", "lime"]


@pytest.mark.parametrize(
    "photo",
    [
        b"II*\0\x10\0\0\0CR\2\0" + bytes(50),
        b"FUJIFILMCCD-RAW 0201" + bytes(50),
        b"\0\0\0\x18ftypcrx \0\0\0\1crx isom" + bytes(50),
        b"IIRO\x08\0\0\0" + bytes(50),
        b"IIU\0\x18\0\0\0" + bytes(50),
    ],
    ids=["CR2", "RAF", "CR3", "ORF", "RW2"],
)
def test_a_raw_file_that_cannot_be_read_is_refused(photo):
    pytest.importorskip("rawpy")
    with pytest.raises(PhotoError, match="RAW"):
        load_photo(photo)


# ---- in a child process


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(saved(patches(960, 640), "JPEG", exif=exif(6), icc_profile=matrix_profile(P3, 2.2)))
    return path


@pytest.mark.parametrize("most", [None, 50_000])
def test_a_child_gives_what_the_model_would_be_shown_of_the_same_photo(path, most):
    here, there = read_photo(path), decode_in_child(path, view_pixels=most)
    assert np.array_equal(here.image if most is None else view(here.image, most), there.image)
    assert (here.size, here.format, here.notes) == (there.size, there.format, there.notes)


def test_a_child_refuses_in_the_same_words(tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"%PDF-1.7")
    with pytest.raises(PhotoError, match="got a PDF"):
        decode_in_child(path, view_pixels=5000)


def test_a_child_is_killed_when_its_time_is_up(path):
    with pytest.raises(PhotoError, match=r"within 0\.001 seconds"):
        decode_in_child(path, view_pixels=5000, seconds=0.001)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not limit the memory of a process")
def test_a_child_that_needs_too_much_memory_is_refused(tmp_path):
    path = tmp_path / "photo.png"
    Image.new("1", (12_000, 12_000)).save(path)  # 144 MB once decoded
    with pytest.raises(PhotoError, match="memory"):
        decode_in_child(path, view_pixels=5000, memory_mb=200)


def test_a_child_is_killed_when_the_person_stops(path):
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        decode_in_child(path, view_pixels=5000, stop=stop)


def test_reading_photos_loads_no_model_library():
    names = "torch", "transformers", "gradio", "numpy", "rawpy", "pi_heif"
    program = f"import sys, qinsight.photos; print([name for name in {names} if name in sys.modules])"
    root = REPOSITORY
    answer = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True
    )
    assert answer.stdout == "[]\n"


# ---- photos made here


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def patches(width: int = 96, height: int = 64) -> Image.Image:
    """Four quarters large enough for any codec, in colours that tell every turn from every other."""
    image = Image.new("RGB", (width, height), "red")
    image.paste("lime", (width // 2, 0, width, height // 2))
    image.paste("blue", (0, height // 2, width // 2, height))
    image.paste("white", (width // 2, height // 2, width, height))
    return image


def grey(values: np.ndarray) -> Image.Image:
    return Image.fromarray(np.round(values).astype(np.uint8)).convert("RGB")


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def exif(orientation: object) -> bytes:
    data = Image.Exif()
    data[0x0112] = orientation
    return data.tobytes()


# Which side of the scene the first row and the first column of the file are (EXIF 2.32, 4.6.4).
SIDES = dict(
    enumerate(
        [
            "top-left",
            "top-right",
            "bottom-right",
            "bottom-left",
            "left-top",
            "right-top",
            "right-bottom",
            "left-bottom",
        ],
        1,
    )
)


def turned_away(image: Image.Image, orientation: int) -> Image.Image:
    """The photo as a camera stores it that writes this orientation."""
    pixels = np.asarray(image)
    sides = SIDES[orientation].split("-")
    if "right" in sides:
        pixels = pixels[:, ::-1]
    if "bottom" in sides:
        pixels = pixels[::-1]
    if sides[0] in ("left", "right"):
        pixels = pixels.transpose(1, 0, 2)
    return Image.fromarray(pixels)


def corners(image: Image.Image) -> list[str]:
    """The colours of the four quarters' centres, row by row."""
    names = {(255, 0, 0): "red", (0, 255, 0): "lime", (0, 0, 255): "blue", (255, 255, 255): "white"}
    places = [(x * image.width // 4, y * image.height // 4) for y in (1, 3) for x in (1, 3)]
    return [
        names.get(tuple(round(v / 255) * 255 for v in image.getpixel(place)), "another") for place in places
    ]


def differ(one: Image.Image, other: Image.Image) -> int:
    return int(np.abs(np.asarray(one, np.int16) - np.asarray(other, np.int16)).max())


# ---- profiles made here, and what they mean by the CIE's own formulas


def matrix_profile(primaries: list[tuple[float, float]] | None, gamma: float) -> bytes:
    """An ICC profile: a colour space with these primaries and D65 white, or a gray one."""
    curve = b"curv" + struct.pack(">IIH2x", 0, 1, round(gamma * 256))
    name = b"desc" + struct.pack(">II", 0, 5) + b"Test\0" + bytes(78 + 3)
    tags = {b"desc": name, b"wtpt": _xyz(D50)}
    if primaries is None:
        tags[b"kTRC"] = curve
        return _profile(b"mntr", b"GRAY", b"XYZ ", tags)
    to_d50 = BRADFORD_D65_TO_D50 @ to_xyz(primaries)
    for letter, column in zip(b"rgb", to_d50.T, strict=True):
        tags |= {bytes([letter]) + b"XYZ": _xyz(column), bytes([letter]) + b"TRC": curve}
    return _profile(b"mntr", b"RGB ", b"XYZ ", tags)


def ink_profile(cyan_lab: tuple[float, float, float]) -> bytes:
    """An ICC profile for ink: paper is white, cyan alone is this colour, all else is black."""
    colours = [(100, 0, 0), *[(0, 0, 0)] * 15]  # C is the slowest of the four, so cyan alone is number 8
    colours[8] = cyan_lab
    ramp = bytes(range(256))
    table = bytes(value for L, a, b in colours for value in (round(L * 2.55), a + 128, b + 128))
    identity = struct.pack(">9i", *[65536, 0, 0, 0, 65536, 0, 0, 0, 65536])
    lut = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + identity + ramp * 4 + table + ramp * 3
    return _profile(b"prtr", b"CMYK", b"Lab ", {b"wtpt": _xyz(D50), b"A2B0": lut})


def to_srgb_by_hand(pixels: np.ndarray, primaries: list[tuple[float, float]], gamma: float) -> Image.Image:
    linear = (pixels / 255) ** gamma @ (np.linalg.inv(to_xyz(SRGB_PRIMARIES)) @ to_xyz(primaries)).T
    linear = linear.clip(0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return Image.fromarray(np.round(encoded * 255).astype(np.uint8))


def to_xyz(primaries: list[tuple[float, float]]) -> np.ndarray:
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in primaries]).T
    return columns * np.linalg.solve(columns, [0.3127 / 0.3290, 1, (1 - 0.3127 - 0.3290) / 0.3290])


SRGB_PRIMARIES = [(0.64, 0.33), (0.30, 0.60), (0.15, 0.06)]
D50 = (0.9642, 1.0, 0.8249)
BRADFORD_D65_TO_D50 = np.array(
    [[1.0479, 0.0229, -0.0502], [0.0296, 0.9904, -0.0171], [-0.0092, 0.0151, 0.7517]]
)  # www.brucelindbloom.com, "Chromatic Adaptation"


def _xyz(values: tuple[float, ...]) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *[round(value * 65536) for value in values])


def _profile(kind: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    at, table, body = 132 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        table += name + struct.pack(">II", at + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    head = struct.pack(">I4xI4s4s4s12x4s28x", at + len(body), 0x02400000, kind, space, connection, b"acsp")
    return (
        (head + struct.pack(">3i", *[round(value * 65536) for value in D50])).ljust(128, b"\0") + table + body
    )


# ---- TIFFs made here: no library writes the odd ones


def short(*values: int) -> tuple[int, str, tuple[int, ...]]:
    return 3, "H", values


def long(*values: int) -> tuple[int, str, tuple[int, ...]]:
    return 4, "I", values


def text(words: bytes) -> tuple[int, str, tuple[int, ...]]:
    return 2, "B", tuple(words + b"\0")


def octets(*values: int) -> tuple[int, str, tuple[int, ...]]:
    return 1, "B", values


def ratios(*values: float) -> tuple[int, str, tuple[int, ...]]:
    return 10, "ii", tuple(number for value in values for number in (round(value * 10_000), 10_000))


def picture_tags(width: int, height: int, *, bits: tuple[int, ...] = (8, 8, 8), photometric: int = 2) -> dict:
    return {
        256: long(width), 257: long(height), 258: short(*bits), 259: short(1),
        262: short(photometric), 277: short(len(bits)), 278: long(height),
    }  # fmt: skip


def tiff(*pages: tuple, order: str = "<") -> bytes:
    """Each page is its tags, its strips, and perhaps a page that belongs to it (tag 330)."""
    file = bytearray((b"II*\0" if order == "<" else b"MM\0*") + bytes(4))
    link = 4
    for page in pages:
        link = _append_page(file, order, link, *page)
    return bytes(file)


def _append_page(
    file: bytearray, order: str, link: int, tags: dict, strips: list[bytes], inner: tuple = ()
) -> int:
    """Let `link` point at the new page, and return where the next one is to be linked."""
    starts = []
    for strip in strips:
        starts.append(len(file))
        file += strip
    tags = tags | {273: long(*starts), 279: long(*map(len, strips))}
    if inner:
        link_inside = len(file)
        file += bytes(4)
        _append_page(file, order, link_inside, *inner)
        tags[330] = long(*struct.unpack_from(order + "I", file, link_inside))
    entries = b""
    for tag, (kind, layout, values) in sorted(tags.items()):
        raw = struct.pack(order + "".join(layout) * (len(values) // len(layout)), *values)
        entries += struct.pack(order + "HHI", tag, kind, len(values) // len(layout))
        if len(raw) > 4:
            entries += struct.pack(order + "I", len(file))
            file += raw
        else:
            entries += raw.ljust(4, b"\0")
    struct.pack_into(order + "I", file, link, len(file))
    file += struct.pack(order + "H", len(tags)) + entries + bytes(4)
    return len(file) - 4


def raw_photo(*, preview: bytes = b"", orientation: int = 1) -> bytes:
    """A 256 x 192 DNG, dark on the left and bright on the right, with a thumbnail in front."""
    sensor = np.full((192, 256), 2000, "<u2")
    sensor[:, 128:] = 30_000
    camera = {
        271: text(b"Q"), 272: text(b"Q1"), 274: short(orientation), 50706: octets(1, 4, 0, 0), 50708: text(b"Q Q1"),
        50721: ratios(1, 0, 0, 0, 1, 0, 0, 0, 1), 50778: short(21),
    }  # fmt: skip
    mosaic = picture_tags(256, 192, bits=(16,), photometric=32803) | {
        254: long(0), 33421: short(2, 2), 33422: octets(0, 1, 1, 2), 50717: long(65535),
    }  # fmt: skip
    pages = [
        (picture_tags(64, 48) | {254: long(1)} | camera, [bytes(64 * 48 * 3)], (mosaic, [sensor.tobytes()]))
    ]
    if preview:
        shown = picture_tags(256, 192, photometric=6) | {254: long(1), 259: short(7)}
        pages.append((shown, [preview]))
    return tiff(*pages)
