"""Faults as cameras make them: as strong as they say, worse by position, in the file that people bring."""

import numpy as np
import pytest
from PIL import Image

from qinsight.prompts import Task
from shared.pictures import discs
from training.data import crops
from training.data.degrade import CLEAN_MOS, leave_clean
from training.data.faults import (
    FAULTS,
    LUMA,
    OTHER,
    afflict,
    carry,
    grainy_shadow,
    opinion_at,
    shallow_focus,
)
from training.preview import lessons
from training.preview.warmup import Row, draw_rows


def _pixels(photo: Image.Image) -> np.ndarray:
    return np.asarray(photo, np.float32) / 255


@pytest.fixture(scope="module")
def grey() -> Image.Image:
    """A flat middle grey, where noise is all there is to see."""
    return Image.new("RGB", (256, 192), (110, 110, 110))


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_does_more_harm_and_is_rated_lower_the_further_it_goes(kind: str) -> None:
    photo = discs(4)
    if kind == "grain":  # often in black and white, which is no harm
        photo = photo.convert("L").convert("RGB")
    harmed = [afflict(photo, kind, at, np.random.default_rng(2)) for at in (0.5, 1, 2, 3, 4, 5)]
    opinions = [one.mos for one in harmed]
    assert opinions == sorted(opinions, reverse=True)
    assert CLEAN_MOS >= opinions[0] > opinions[-1] + 0.4
    harm = [float(np.abs(_pixels(one.image) - _pixels(photo)).mean()) for one in harmed]
    assert harm[-1] > 1.5 * harm[1] > 0
    assert opinion_at(FAULTS[kind], 0) == CLEAN_MOS


@pytest.mark.parametrize("kind", ["sensor_noise", "grain"])
def test_noise_is_as_strong_in_luma_as_it_says(grey: Image.Image, kind: str) -> None:
    for seed in range(4):
        noisy = afflict(grey, kind, 2, np.random.default_rng(seed))
        luma = (_pixels(noisy.image) - _pixels(grey)) @ LUMA
        assert luma.std() == pytest.approx(noisy.strength, rel=0.35), seed


def test_sensor_noise_is_correlated_between_neighbours_and_grain_has_no_colour(grey: Image.Image) -> None:
    def alike(kind: str, seed: int) -> float:
        luma = _pixels(afflict(grey, kind, 2, np.random.default_rng(seed)).image) @ LUMA
        luma = luma - luma.mean()
        return float((luma[:, 1:] * luma[:, :-1]).mean() / luma.var())

    assert np.mean([alike("sensor_noise", seed) for seed in range(12)]) > 0.2
    grain = _pixels(afflict(grey, "grain", 3, np.random.default_rng(1)).image)
    assert np.ptp(grain, axis=-1).max() <= 1 / 255 + 1e-6


def test_the_noise_of_a_good_photo_stays_below_what_is_called_noise(grey: Image.Image) -> None:
    good = _pixels(grainy_shadow(grey, crops.LOW, np.random.default_rng(0))) @ LUMA
    weakest = afflict(grey, "sensor_noise", 0.3, np.random.default_rng(0)).strength
    assert good.std() < 0.8 * weakest


def test_a_soft_background_leaves_the_subject_as_it_was() -> None:
    photo = discs(1)
    changed = np.abs(_pixels(shallow_focus(photo, np.random.default_rng(3))) - _pixels(photo)).max(-1)
    assert (changed < 1 / 255).mean() > 0.05
    assert (changed > 8 / 255).mean() > 0.2


def test_lamps_that_were_clipped_draw_the_path_of_a_shaken_camera() -> None:
    night = np.full((96, 96, 3), 12, np.uint8)
    night[40:44, 40:44] = 255
    shaken = _pixels(afflict(Image.fromarray(night), "shake", 4, np.random.default_rng(1)).image) @ LUMA
    assert (shaken > 0.3).sum() > 3 * 16


def test_what_lies_against_the_light_is_dark_and_the_light_is_not() -> None:
    photo = np.full((128, 128, 3), 90, np.uint8)
    photo[:40] = 240
    seen = [
        _pixels(afflict(Image.fromarray(photo), "against_light", 4, np.random.default_rng(seed)).image) @ LUMA
        for seed in range(5)
    ]
    assert np.mean([one[90:].mean() for one in seen]) < 0.5 * 90 / 255
    assert np.mean([one[:20].mean() for one in seen]) > 0.6 * 240 / 255


def test_the_file_that_people_bring_changes_little_and_keeps_the_labels() -> None:
    photo = discs(2)
    rng = np.random.default_rng(0)
    for _ in range(20):
        carried = carry(leave_clean(photo), rng)
        assert (carried.distortion_class, carried.mos) == ("null", CLEAN_MOS)
        same = carried.image.resize(photo.size, Image.Resampling.BICUBIC)
        assert np.abs(_pixels(same) - _pixels(photo)).mean() < 0.05
        assert carried.image.width >= 0.79 * photo.width


# --- the lessons made of them --------------------------------------------------------------------------------


def test_faults_that_no_class_names_are_rated_and_never_asked_for() -> None:
    rng = np.random.default_rng(6)
    photos = [discs(seed) for seed in range(3)]
    views = [view for _ in range(40) for view in lessons.draw_views(photos, 12, 3, rng)]
    unasked = {number for number, view in enumerate(views) if not view.degraded.diagnosed}
    other = {number for number, view in enumerate(views) if view.degraded.distortion_class == OTHER}
    assert len(other) >= 5
    assert other <= unasked
    rows: list[Row] = draw_rows(views, len(views) // 3, rng)
    asked = {row.views[0] for row in rows if row.task is Task.DEGRADATION}
    rated = {row.views[0] for row in rows if row.task is Task.SCORE}
    assert asked == set(range(len(views))) - unasked
    assert unasked <= rated


def test_two_faults_are_rated_below_the_worse_of_them() -> None:
    rng = np.random.default_rng(9)
    photo = discs(5)
    for _ in range(30):
        first = afflict(photo, "focus", float(rng.uniform(1, 4)), rng)
        both = crops._with_another(photo, first, rng)
        assert both.mos <= first.mos
        assert both.distortion_class in ("blur", "noise", "compression", "darken", OTHER)


def test_an_empty_sky_is_never_called_blurred_and_a_dark_scene_never_darkened() -> None:
    rng = np.random.default_rng(3)
    y = np.linspace(120, 200, 140)[:, None, None]
    sky = Image.fromarray(np.broadcast_to(y, (140, 168, 3)).astype(np.uint8))
    night = Image.fromarray((np.asarray(discs(1)) // 8).astype(np.uint8))
    for photo, never in ((sky, "blur"), (night, "darken")):
        drawn = {crops._family(photo, rng) for _ in range(200)}
        assert never not in drawn
        assert "null" in drawn


def test_detail_is_no_noise_and_noise_is_seen_in_flat_places() -> None:
    rng = np.random.default_rng(0)
    pixels = np.full((224, 224, 3), 128, np.uint8)
    pixels[:, 60:] = rng.integers(60, 200, (224, 164, 1))  # gravel beside a wall
    clean = Image.fromarray(pixels)
    noisy = afflict(clean, "sensor_noise", 1.5, rng).image
    assert lessons.measure(clean)["noise"] < 0.002
    assert lessons.measure(noisy)["grain"] > 3 * lessons.measure(clean)["grain"]
