"""Degradations do what their names say, in the order of their levels, the same for the same seed."""

import numpy as np
import pytest
from PIL import Image

from training.data.degrade import CLEAN_MOS, DISTORTIONS, KINDS, SEVERITIES, degrade, leave_clean, opinion


@pytest.fixture
def photo() -> Image.Image:
    """Overlapping discs of many sizes and tones: edges, flat parts and texture, as in a photo."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[:168, :224]
    pixels = np.full((168, 224, 3), 128.0)
    for _ in range(150):
        inside = (x - rng.uniform(0, 224)) ** 2 + (y - rng.uniform(0, 168)) ** 2 < rng.uniform(3, 40) ** 2
        pixels[inside] = rng.uniform(30, 225, 3)
    return Image.fromarray(pixels.astype(np.uint8))


def _pixels(photo: Image.Image) -> np.ndarray:
    return np.asarray(photo, np.float32)


@pytest.mark.parametrize("kind", KINDS)
def test_a_higher_level_has_a_lower_mos_and_does_more_harm(photo: Image.Image, kind: str) -> None:
    degraded = [
        degrade(photo, KINDS[kind].distortion, level, np.random.default_rng(3), kind=kind)
        for level in range(1, 6)
    ]
    opinions = [one.mos for one in degraded]
    assert opinions == sorted(opinions, reverse=True)
    assert opinions[-1] < opinions[0] - 0.5
    harm = [float(np.abs(_pixels(one.image) - _pixels(photo)).mean()) for one in degraded]
    assert harm[0] > 0
    assert harm[-1] > 1.3 * harm[0]


def test_stronger_noise_has_a_lower_mos() -> None:
    assert 1 <= opinion("white_noise", 0.25) < opinion("white_noise", 0.1) < opinion("white_noise", 0.05)


@pytest.mark.parametrize(
    ("kind", "strength", "mos"),
    [
        ("gaussian_blur", 1, 2.911),
        ("gaussian_blur", 5, 1.303),
        ("jpeg", 24, 3.866),
        ("white_noise", 0.1, 2.301),
    ],
)
def test_a_strength_that_kadid_showed_has_the_opinion_that_kadid_measured(
    kind: str, strength: float, mos: float
) -> None:
    assert opinion(kind, strength) == pytest.approx(mos, abs=0.01)


@pytest.mark.parametrize("distortion", DISTORTIONS)
def test_the_labels_are_those_the_question_offers(photo: Image.Image, distortion: str) -> None:
    one = degrade(photo, distortion, 4, np.random.default_rng(0))
    assert (one.distortion_class, one.severity) == (distortion, "serious")
    assert KINDS[one.kind].distortion == distortion
    assert one.image.size == photo.size
    assert one.image.mode == "RGB"


def test_the_same_seed_gives_the_same_pixels(photo: Image.Image) -> None:
    for distortion in DISTORTIONS:
        first, again = (degrade(photo, distortion, 3, np.random.default_rng(11)) for _ in range(2))
        assert first.kind == again.kind
        assert first.image.tobytes() == again.image.tobytes()


@pytest.mark.parametrize("level", [1, 3, 5])
def test_no_two_views_of_a_level_share_their_strength_and_opinion(photo: Image.Image, level: int) -> None:
    rng = np.random.default_rng(0)
    drawn = [degrade(photo, "darken", level, rng, kind="gamma") for _ in range(30)]
    assert {view.severity for view in drawn} == {SEVERITIES[level - 1]}
    assert len({view.strength for view in drawn}) == len({view.mos for view in drawn}) == 30


def test_darkening_lowers_the_light_and_blur_the_sharpness(photo: Image.Image) -> None:
    dark = degrade(photo, "darken", 5, np.random.default_rng(0))
    assert _pixels(dark.image).mean() < 0.6 * _pixels(photo).mean()
    soft = degrade(photo, "blur", 5, np.random.default_rng(0))
    assert (
        np.abs(np.diff(_pixels(soft.image), axis=1)).mean() < np.abs(np.diff(_pixels(photo), axis=1)).mean()
    )


def test_a_clean_photo_is_untouched_and_has_the_best_opinion(photo: Image.Image) -> None:
    clean = leave_clean(photo)
    assert clean.image.tobytes() == photo.tobytes()
    assert (clean.distortion_class, clean.severity, clean.mos) == ("null", "null", CLEAN_MOS)
    assert all(opinion(name, kind.strengths[0]) <= CLEAN_MOS for name, kind in KINDS.items())


def test_a_grey_photo_with_transparency_is_degraded_too(photo: Image.Image) -> None:
    for mode in ("L", "RGBA"):
        assert degrade(photo.convert(mode), "compression", 5, np.random.default_rng(0)).image.mode == "RGB"


def test_an_unknown_distortion_level_or_kind_is_refused_in_a_sentence(photo: Image.Image) -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="expected one of noise, compression, blur, darken; got 'sharpen'"):
        degrade(photo, "sharpen", 1, rng)
    with pytest.raises(ValueError, match="expected a level from 1 to 5, got 6"):
        degrade(photo, "noise", 6, rng)
    with pytest.raises(ValueError, match=r"expected a kind of noise .* got 'jpeg'"):
        degrade(photo, "noise", 1, rng, kind="jpeg")
    assert len(SEVERITIES) == 5
