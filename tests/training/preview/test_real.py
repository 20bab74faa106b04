"""The numbers on real material: every judge beside the others, and pairs that are not there are told."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qinsight.engines.checkpoint import Device
from qinsight.engines.local import LocalEngine
from shared.pictures import discs
from training.data.degrade import leave_clean
from training.data.faults import afflict
from training.preview import real


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two pairs of a clean picture and the same under heavy noise, named as PolyU names them."""
    folder = tmp_path_factory.mktemp("pairs")
    for number in range(2):
        photo = discs(number, 168, 112)
        photo.save(folder / f"camera_{number}_mean.png")
        afflict(photo, "sensor_noise", 5, np.random.default_rng(number)).image.save(
            folder / f"camera_{number}_real.png"
        )
    return folder


def test_every_row_has_the_model_beside_the_laplacian(pairs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(real, "LADDERS", ("jpeg", "sharpened"))
    engine = LocalEngine.open("preview", Device.CPU)
    rows = real.on_real_photos(engine, [discs(7, 140, 112)], pairs, None, 1)
    names = [name for name, *_ in rows]
    assert names[0] == "2 real pairs: the clean one rated higher"
    assert sum(name.startswith("ladder of growing") for name in names) == 2
    assert all(0 <= float(model.split(",")[0]) <= 1 for _, model, _, _ in rows[:5])
    assert rows[0][2] == "0.000"  # noise is detail to the Laplacian: it prefers the noisy one
    assert rows[1][2] == ""  # and names nothing
    assert not any(trees for *_, trees in rows)


def test_a_folder_without_pairs_is_told(tmp_path: Path) -> None:
    engine = LocalEngine.open("preview", Device.CPU)
    with pytest.raises(SystemExit, match=r"expected pairs NAME_mean\.\* and NAME_real\.\* in "):
        real.on_real_photos(engine, [], tmp_path, None, 1)


def test_ratings_that_rise_along_a_ladder_are_told_from_ratings_that_fall() -> None:
    assert real.fall([4.5, 4.0, 3.0, 2.0]) == pytest.approx(1)
    assert real.fall([2.0, 3.0, 4.0, 4.5]) == pytest.approx(-1)
    assert real.fall([3.0, 3.0, None, 3.0]) == 0


def test_the_laplacian_falls_with_blur() -> None:
    photo = discs(3)
    soft = afflict(leave_clean(photo).image, "focus", 3, np.random.default_rng(0)).image
    assert real.laplacian(soft) < real.laplacian(photo)
    assert real.laplacian(Image.new("RGB", (64, 64))) < 0
