"""The model is shown the photo as the published scripts show it."""

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

from qinsight.errors import PhotoError
from qinsight.photos.view import MIN_PIXELS, TOKEN, view, view_size

MEAN = np.array([0.48145466, 0.4578275, 0.40821073])
STD = np.array([0.26862954, 0.26130258, 0.27577711])

SIDES = [28, 42, 55, 56, 57, 98, 224, 333, 511, 512, 640, 1000, 1024, 1999, 3024, 4032, 5600]


@pytest.mark.parametrize("max_pixels", [MIN_PIXELS, 50_176, 196_608, 1_003_520, 12_845_056])
def test_the_size_of_a_view_is_that_of_transformers_smart_resize(max_pixels: int) -> None:
    compared = 0
    for width in SIDES:
        for height in SIDES:
            size = view_size(width, height, max_pixels)
            down, across = smart_resize(height, width, TOKEN, MIN_PIXELS, max_pixels)
            assert size == (across, down), (width, height)
            compared += 1
    assert compared == len(SIDES) ** 2


def test_a_side_below_half_a_patch_does_not_shrink_the_other_as_in_transformers() -> None:
    """There 10 / 28 rounds to nothing, no pixels are fewer than 3,136, and 1,000 becomes 560."""
    assert smart_resize(10, 1000, TOKEN, MIN_PIXELS, 1_003_520) == (28, 560)
    assert view_size(1000, 10, 1_003_520) == (1008, 28)


@pytest.mark.parametrize("max_pixels", [12_544, 196_608, 1_003_520])
def test_a_view_is_whole_patches_within_its_budget_and_only_one_patch_row_may_exceed_it(
    max_pixels: int,
) -> None:
    for width in (1, 8, 30, 56, 300, 2000, 9000):
        for height in (1, 8, 30, 56, 300, 2000, 9000):
            if max(width, height) > 200 * min(width, height):
                continue
            across, down = view_size(width, height, max_pixels)
            assert across % TOKEN == 0
            assert down % TOKEN == 0
            assert across * down >= MIN_PIXELS
            assert across * down <= max_pixels or min(across, down) == TOKEN, (width, height)


def test_the_pixels_are_those_the_published_scripts_looked_at(
    expected: dict[str, Any], picture: Callable[[str], Image.Image]
) -> None:
    for script, names in (("score", ["score"]), ("dist", ["dist"]), ("comparison", ["ref", "a", "b"])):
        total = size = 0.0
        for name in names:
            shown = np.asarray(view(picture(name), 12_845_056), dtype=np.float64) / 255
            normal = (shown - MEAN) / STD
            total += 2 * normal.sum()  # a still photo is two equal frames to the model
            size += 2 * np.abs(normal).sum()
        assert total == pytest.approx(expected[script]["pixel_sum"], abs=0.05)
        assert size == pytest.approx(expected[script]["pixel_abs"], abs=0.05)


def test_a_photo_that_loses_more_height_is_resized_by_height_first_on_every_pillow(
    picture: Callable[[str], Image.Image],
) -> None:
    photo = picture("ref")
    assert (photo.size, view_size(*photo.size, 10**7)) == ((75, 70), (84, 56))
    height_first = _resized(_resized(photo, 75, 56), 84, 56)
    width_first = _resized(_resized(photo, 84, 70), 84, 56)
    assert _hash(height_first) != _hash(width_first)
    assert _hash(view(photo, 10**7)) == _hash(height_first)


def test_a_photo_that_loses_as_much_width_is_resized_in_one_call() -> None:
    photo = Image.radial_gradient("L").convert("RGB").resize((130, 130))
    assert _hash(view(photo, 120 * 120)) == _hash(_resized(photo, 112, 112))


def _resized(photo: Image.Image, width: int, height: int) -> Image.Image:
    return photo.resize((width, height), Image.Resampling.BICUBIC)


def _hash(photo: Image.Image) -> str:
    return hashlib.sha256(photo.tobytes()).hexdigest()


def test_a_photo_already_of_its_view_size_is_shown_untouched() -> None:
    photo = Image.effect_noise((112, 84), 60).convert("RGB")
    assert view(photo, 10**7) is photo


@pytest.mark.parametrize("size", [(201 * 30, 30), (30, 201 * 30), (28, 5601)])
def test_a_photo_more_than_200_times_as_long_as_wide_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(PhotoError, match=f"at most 200:1, got {size[0]} x {size[1]}"):
        view_size(*size, 1_003_520)


def test_a_photo_200_times_as_long_as_wide_is_shown() -> None:
    assert view_size(5600, 28, 1_003_520) == (5600, 28)


def test_a_budget_below_one_view_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="at least 3136 pixels"):
        view_size(100, 100, MIN_PIXELS - 1)
