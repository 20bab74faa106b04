"""A burst has a best frame, a bracket has none and is kept whole; the one is not taken for the other."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image

from qinsight.photos import decode_in_child, read_photo
from qinsight.photos.shot import Shot
from qinsight.ranking.alike import grouped, tones_of
from qinsight.ranking.folder import _phash, _standing, rank_folder, ranking
from qinsight.ranking.picks import copy_picks
from qinsight.ranking.rows import Row
from qinsight.ranking.sidecars import write_sidecars
from qinsight.ranking.xmp import STARS, stars_of
from shared.engines import PixelEngine

EXAMPLES = Path(__file__).parents[2] / "examples" / "photos"
SCENES = ("astronaut", "cat", "coffee", "rocket")


def shown(scene: str, stops: float = 0.0, gamma: float = 1.0, seed: int = 0) -> Image.Image:
    """The scene once more, by hand: moved by some pixels, exposed otherwise, with noise of its own."""
    dice = np.random.default_rng((seed, *scene.encode()))
    with Image.open(EXAMPLES / f"{scene}.jpg") as opened:
        photo = opened.convert("RGB")
    photo.thumbnail((400, 400))
    right, down = dice.integers(0, 9, 2)
    box = int(right), int(down), int(right) + photo.width - 8, int(down) + photo.height - 8
    light = (np.asarray(photo.crop(box), np.float32) / 255) ** 2.2 * 2.0**stops
    pixels = np.clip(light, 0, 1) ** (gamma / 2.2) + dice.normal(0, 0.02, (*light.shape[:2], 3))
    return Image.fromarray((np.clip(pixels, 0, 1) * 255).astype(np.uint8))


def row(name: str, image: Image.Image, **told: Any) -> Row:
    return Row(
        name, "", "m", rating=3.0, expected_rating=3.0, phash=_phash(image), tones=tones_of(image), **told
    )


def told(images: Sequence[Image.Image], camera: Sequence[dict[str, Any]] | None = None) -> list[Row]:
    """The rows of a shoot with nothing else in it."""
    facts = camera or [{}] * len(images)
    pairs = zip(images, facts, strict=True)
    return grouped(
        [row(f"{number}.jpg", image, **fact) for number, (image, fact) in enumerate(pairs)], _standing
    )


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize(
    "steps",
    [
        [{}, {"stops": -1}, {"stops": 1}],
        [{}, {"stops": -2}, {"stops": 2}],
        [{"stops": -1.4}, {"stops": -0.7}, {}, {"stops": 0.7}, {"stops": 1.4}],
        [{}, {"gamma": 1.8}, {"gamma": 0.55}],
    ],
)
def test_a_bracket_without_exif_is_known_by_its_pictures_and_kept_whole(
    scene: str, steps: list[dict[str, float]]
) -> None:
    rows = told([shown(scene, seed=seed, **step) for seed, step in enumerate(steps)])
    assert [(one.group, one.bracket, one.best) for one in rows] == [(1, True, False)] * len(steps)


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize(
    ("stops", "camera"),
    [
        ([-1, 0, 1], [{"exposure": -7.0 + step} for step in (-1, 0, 1)]),
        ([-3, 0, 3], [{"exposure": -7.0 + step, "bias": step} for step in (-3.0, 0.0, 3.0)]),
        (
            [-0.3, 0, 0.3],
            [{"exposure": -7.0 + step, "bias": 0.0, "bracketing": True} for step in (-0.3, 0, 0.3)],
        ),
        ([0, 0, 0], [{"bias": step} for step in (-2.0, 0.0, 2.0)]),
    ],
)
def test_a_bracket_is_known_by_what_the_camera_tells(
    scene: str, stops: list[float], camera: list[dict[str, Any]]
) -> None:
    images = [shown(scene, stops=step, seed=seed) for seed, step in enumerate(stops)]
    assert [one.bracket for one in told(images, camera)] == [True] * 3


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize(
    ("stops", "camera"),
    [
        ([0, 0, 0, 0, 0], None),
        ([0.1, -0.15, 0, 0.15, -0.1], None),
        ([0, 0.1, 0, -0.1, 0], [{"exposure": -7.0 + drift, "bias": 0.0} for drift in (0, 0.3, 0, 0.7, 0.3)]),
        ([0, 0, 0, 0, 0], [{"exposure": -7.0, "bias": -0.7}] * 5),
    ],
)
def test_an_ordinary_burst_is_no_bracket_though_the_exposure_drifts(
    scene: str, stops: list[float], camera: list[dict[str, Any]] | None
) -> None:
    rows = told([shown(scene, stops=step, seed=seed) for seed, step in enumerate(stops)], camera)
    assert [(one.group, one.bracket) for one in rows] == [(1, False)] * 5
    assert sum(one.best for one in rows) == 1


def test_other_scenes_are_no_bracket_however_they_are_exposed() -> None:
    rows = told([shown(scene, stops=stops) for scene, stops in zip(SCENES, (0, -1.5, 1, -0.5), strict=True)])
    assert {one.group for one in rows} == {None}


def test_frames_far_apart_in_time_are_no_burst() -> None:
    images = [shown("cat", seed=seed) for seed in range(3)]
    minutes = [{"taken": f"2026-11-26T10:{minute}:00.25"} for minute in ("00", "00", "30")]
    assert [one.group for one in told(images, minutes)] == [1, 1, None]
    assert [one.group for one in told(images, [{}, *minutes[1:]])] == [1, 1, 1]  # where a clock is missing


def test_rows_of_an_earlier_version_are_grouped_by_their_hash_as_before() -> None:
    rows = [replace(row(f"{n}.jpg", shown("cat", seed=n)), tones=tones) for n, tones in ((0, None), (1, "?"))]
    assert [(one.group, one.bracket) for one in grouped(rows, _standing)] == [(1, False)] * 2


# --- what becomes of them ---------------------------------------------------------------------------------------------


def exif(exposure: float, bias: float, mode: int = 0) -> Image.Exif:
    told = Image.Exif()
    told[ExifTags.IFD.Exif] = {
        ExifTags.Base.DateTimeOriginal: "2026:11:26 10:00:01",
        ExifTags.Base.SubsecTimeOriginal: "25",
        ExifTags.Base.ExposureTime: exposure,
        ExifTags.Base.FNumber: 4.0,
        ExifTags.Base.ISOSpeedRatings: 200,
        ExifTags.Base.ExposureBiasValue: bias,
        ExifTags.Base.ExposureMode: mode,
    }
    return told


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_the_camera_is_read_in_this_process_and_in_a_child(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"photo.{suffix}"
    shown("cat").save(path, exif=exif(1 / 64, -2.0, 2))
    expected = Shot("2026-11-26T10:00:01.25", -9.0, -2.0, True, "1/64 s, f/4, ISO 200")
    assert read_photo(path).shot == decode_in_child(path).shot == expected


@pytest.mark.parametrize("damage", [b"", b"Exif\0\0rubbish", b"Exif\0\0II*\0\xff\xff\xff\xff"])
def test_exif_that_cannot_be_read_tells_nothing_and_loses_no_photo(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "photo.jpg"
    shown("cat").save(path, exif=damage)
    assert read_photo(path).shot == Shot()
    senseless = Image.Exif()
    senseless[ExifTags.IFD.Exif] = {
        ExifTags.Base.DateTimeOriginal: "0000:00:00 00:00:00",
        ExifTags.Base.ExposureTime: 0.0,
    }
    shown("cat").save(path, exif=senseless)
    assert read_photo(path).shot == Shot()


def test_a_threshold_rejects_no_frame_of_a_bracket_and_picks_take_all_of_them(tmp_path: Path) -> None:
    folder, out = tmp_path / "shoot", tmp_path / "out"
    folder.mkdir()
    for number, stops in enumerate((0, -2, 2)):
        shown("cat", stops=stops, seed=number).save(
            folder / f"a{number}.jpg", quality=95, exif=exif(2.0**stops / 64, 0.0)
        )
    for number in range(3):
        shown("coffee", seed=number).save(folder / f"b{number}.jpg", quality=95)
    list(rank_folder(PixelEngine(), folder, out))
    rows = ranking(out)
    bracket = [one for one in rows if one.photo.startswith("a")]
    assert all(one.bracket and not one.best for one in bracket)
    assert all(one.as_json()["bracket"] and "tones" not in one.as_json() for one in bracket)
    assert {stars_of(one, STARS, 5.0) for one in rows if one not in bracket} == {-1}
    assert all((stars_of(one, STARS, 5.0) or 0) > 0 for one in bracket)
    picks = copy_picks(rows, folder, tmp_path / "picks", reject_below=5.0)
    assert sorted(path.name for path in picks.copied) == ["a0.jpg", "a1.jpg", "a2.jpg"]
    every = copy_picks(rows, folder, tmp_path / "every")
    assert len(every.copied) == 4
    write_sidecars(rows, folder, reject_below=5.0)
    for one in bracket:
        sidecar = (folder / f"{one.photo}.xmp").read_text()
        assert "q-insight:bracket" in sidecar
        assert "<xmp:Rating>-1" not in sidecar
