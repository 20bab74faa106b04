"""Photos arrive in many shapes; `load_photo` promises one: upright, sRGB, RGB, 8 bit."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from qinsight.errors import PhotoError
from qinsight.photos import load_photo, read_photo
from shared.icc_profiles import P3, ink_profile, matrix_profile, to_srgb_by_hand
from shared.photo_files import LOSSLESS, SRGB, corners, differ, exif, grey, noise, patches, saved, turned_away
from shared.tiffs import long, picture_tags, short, tiff

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
