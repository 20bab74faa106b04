"""A PNG's colours come as its chunks mean them, the first of PNG's own order; what cannot be is a remark."""

import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qinsight.page.sentences import translated
from qinsight.photos import decode_in_child, load_photo, read_photo
from shared.places import FIXTURES
from shared.pngs import (
    CICP_P3,
    CICP_PQ,
    GAMMA_22,
    ICC_SRGB,
    LINEAR,
    P3,
    PIXELS,
    SAYS_SRGB,
    SRGB_POINTS,
    chunk,
    png,
)

FIELD = FIXTURES / "field" / "png-colour-chunks"


def differ(image: Image.Image, other: Image.Image | np.ndarray) -> int:
    return int(
        np.abs(
            np.asarray(image).astype(int)
            - np.asarray(other.convert("RGB") if isinstance(other, Image.Image) else other)
        ).max()
    )


@pytest.mark.parametrize("name", ["cicp_p3", "gama045_p3", "gama055", "gama10", "gama10_with_srgb"])
def test_colours_are_those_that_chromium_draws(name: str) -> None:
    photo = read_photo(FIELD / f"{name}.png")
    assert differ(photo.image, Image.open(FIELD / f"expected_{name}.png")) <= 3
    assert bool(photo.notes) == (name != "gama10_with_srgb")


@pytest.mark.parametrize(
    ("chunks", "counts"),
    [
        ((CICP_P3, ICC_SRGB, SAYS_SRGB, LINEAR), CICP_P3),
        ((LINEAR, SAYS_SRGB, ICC_SRGB, CICP_P3), CICP_P3),
        ((ICC_SRGB, LINEAR), None),
        ((LINEAR, chunk(b"cHRM", P3), SAYS_SRGB), None),
        ((CICP_PQ, LINEAR), LINEAR),
        ((CICP_PQ, CICP_P3), None),  # the first of a kind is the one
        ((chunk(b"iCCP", b"x\0\0rubbish"), LINEAR), LINEAR),
        ((chunk(b"iCCP", b"x\0\0" + zlib.compress(b"rubbish")), LINEAR), LINEAR),
        ((chunk(b"sRGB", b"\7"), LINEAR), LINEAR),
        ((LINEAR, chunk(b"cHRM", bytes(32))), LINEAR),
        ((LINEAR, chunk(b"cHRM", SRGB_POINTS)), LINEAR),
    ],
)
def test_the_first_chunk_that_means_something_counts(chunks: Iterable[bytes], counts: bytes | None) -> None:
    expected = load_photo(png(counts)) if counts else PIXELS
    assert differ(load_photo(png(*chunks)), expected) == 0


@pytest.mark.parametrize(
    "chunks",
    [
        (SAYS_SRGB,),
        (GAMMA_22,),
        (GAMMA_22, chunk(b"cHRM", SRGB_POINTS)),
        (chunk(b"cICP", bytes([1, 13, 0, 1])),),
        (ICC_SRGB,),
    ],
)
def test_what_is_srgb_in_any_words_stays_as_it_is_without_a_remark(chunks: Iterable[bytes]) -> None:
    photo = read_photo(png(*chunks))
    assert differ(photo.image, PIXELS) == 0
    assert photo.notes == ()


@pytest.mark.parametrize(
    ("chunks", "remark"),
    [
        (CICP_PQ, "HDR (PQ) colours are not converted"),
        (chunk(b"cICP", bytes([9, 18, 0, 1])), "HDR (HLG) colours are not converted"),
        (chunk(b"cICP", bytes([1, 13, 0, 0])), "narrow-range colours are not converted"),
        (chunk(b"cICP", bytes([2, 2, 0, 1])), "cICP 2, 2, 0, 1 colours are not converted"),
        (chunk(b"cICP", bytes([12, 13, 9, 1])), "cICP 12, 13, 9, 1 colours are not converted"),
        (chunk(b"cICP", b"\1"), "colour chunk cICP damaged, ignored"),
        (chunk(b"cHRM", P3), "cHRM-only colours are not converted"),
        (chunk(b"gAMA", bytes(4)), "colour chunk gAMA damaged, ignored"),
        (chunk(b"gAMA", b"\0"), "colour chunk gAMA damaged, ignored"),
        (chunk(b"cHRM", b"short"), "colour chunk cHRM damaged, ignored"),
        (LINEAR[:-1] + b"?", "colour chunk gAMA damaged, ignored"),
        (chunk(b"iCCP", b"none\0\0rubbish"), "colour chunk iCCP damaged, ignored"),
        (chunk(b"iCCP", b"bomb\0\0" + zlib.compress(bytes(50_000_000))), "colour chunk iCCP damaged, ignored"),
    ],
)  # fmt: skip
def test_what_cannot_be_converted_is_a_remark_in_every_language(chunks: bytes, remark: str) -> None:
    photo = read_photo(png(chunks))
    assert differ(photo.image, PIXELS) == 0
    assert photo.notes == (remark,)
    assert all(translated(photo.notes[0], place) for place in (0, 1))


def test_a_colour_chunk_behind_the_pixels_says_nothing() -> None:
    content = png()
    assert differ(load_photo(content[:-12] + LINEAR + content[-12:]), PIXELS) == 0


@pytest.mark.parametrize("mode", ["P", "L", "LA", "RGBA", "1", "I;16"])
def test_every_kind_of_png_is_converted(mode: str) -> None:
    grey = Image.fromarray(PIXELS[:, :, 0])
    image = Image.fromarray(PIXELS[:, :, 0].astype(np.uint16) * 257) if mode == "I;16" else grey.convert(mode)
    plain = load_photo(png(image=image))
    light = np.asarray(plain) / 255
    curved = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055) * 255
    assert differ(load_photo(png(LINEAR, image=image)), curved.round().astype(int)) <= 2


def test_the_first_frame_of_an_animation_is_converted() -> None:
    frames = [Image.new("RGB", (32, 24), "red")]
    photo = read_photo(png(LINEAR, save_all=True, append_images=frames))
    assert differ(photo.image, load_photo(png(LINEAR))) == 0
    assert photo.notes == ("first of 2 frames", "colour profile gamma 1 converted")


def test_a_child_process_tells_the_same_remarks(tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(png(CICP_PQ, LINEAR))
    here, there = read_photo(tmp_path / "photo.png"), decode_in_child(tmp_path / "photo.png")
    assert (
        here.notes
        == there.notes
        == ("colour profile gamma 1 converted", "HDR (PQ) colours are not converted")
    )
    assert differ(here.image, there.image) == 0
