"""A map asks a photo tile by tile in its own pixels, and names the places that stand out."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

from qinsight.__main__ import main
from qinsight.engines.checkpoint import Device
from qinsight.engines.local import LocalEngine
from qinsight.errors import PhotoError
from qinsight.photos import load_photo
from qinsight.photos.view import view
from qinsight.trust import places
from qinsight.trust.places import drawn, map_places, measured_only, tiles_of
from shared.engines import PixelEngine
from shared.places import REPOSITORY
from training.data.degrade import degrade

PHOTOS = REPOSITORY / "examples" / "photos"


@pytest.fixture(scope="module")
def astronaut() -> Image.Image:
    return load_photo(PHOTOS / "astronaut.jpg")


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> PixelEngine:
    """An engine that rates by brightness, in the place of the weights."""
    engine = PixelEngine()
    monkeypatch.setattr(places, "open_engine", lambda options, progress: engine)
    return engine


def quartered(photo: Image.Image, quarter: int, change: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """The photo with one of its quarters changed."""
    width, height = photo.width // 2, photo.height // 2
    left, top = quarter % 2 * width, quarter // 2 * height
    made = photo.copy()
    made.paste(change(photo).crop((left, top, left + width, top + height)), (left, top))
    return made


def in_quarter(tile: places.Tile, photo: Image.Image, quarter: int) -> bool:
    x, y = tile.centre
    return (2 * x // photo.width, 2 * y // photo.height) == (quarter % 2, quarter // 2)


# --- the tiles --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "most", "count"),
    [
        *[((6000, 4000), 48, 48), ((11656, 8742), 48, 48), ((512, 512), 48, 16), ((224, 224), 48, 4)],
        *[((6000, 4000), 12, 12), ((2000, 500), 48, 40), ((500, 2000), 48, 40), ((9000, 300), 48, 48)],
    ],
)
def test_a_photo_of_any_size_has_a_bounded_number_of_tiles(
    size: tuple[int, int], most: int, count: int
) -> None:
    _, tiles = tiles_of(size, most)
    assert len(tiles) <= most
    assert abs(len(tiles) - count) <= 8
    for tile in tiles:
        left, top, right, bottom = tile.box
        assert 0 <= left < right <= size[0]
        assert 0 <= top < bottom <= size[1]


@pytest.mark.parametrize("size", [(6000, 4000), (512, 512), (250, 300), (4032, 3024), (12000, 8000)])
def test_a_tile_is_shown_to_the_model_in_the_photos_own_pixels(size: tuple[int, int]) -> None:
    _, tiles = tiles_of(size)
    for tile in tiles:
        crop = Image.new("RGB", (tile.width, tile.height))
        assert view(crop, 1_003_520).size == crop.size


def test_tiles_do_not_overlap() -> None:
    _, tiles = tiles_of((4032, 3024))
    seen = np.zeros((3024, 4032), np.uint8)
    for tile in tiles:
        left, top, right, bottom = tile.box
        seen[top:bottom, left:right] += 1
    assert seen.max() == 1


@pytest.mark.parametrize("size", [(1, 1), (223, 500), (500, 223), (100, 9000)])
def test_a_photo_too_small_for_tiles_is_told_in_a_sentence(size: tuple[int, int]) -> None:
    with pytest.raises(PhotoError, match=rf"expected at least 224 x 224 pixels .* got {size[0]} x {size[1]}"):
        tiles_of(size)


# --- asking -----------------------------------------------------------------------------------------------------------


def test_the_map_grows_and_the_first_tiles_come_after_few_questions(astronaut: Image.Image) -> None:
    engine = PixelEngine()
    states = list(map_places(engine, astronaut))
    assert [state.done for state in states] == [0, 2, 6, 14, 16]
    assert [len(requests) for requests, _, _ in engine.asked] == [2, 4, 8, 2]
    assert all(tile.rating is not None for tile in states[-1].tiles)


def test_a_closed_map_asks_no_further(astronaut: Image.Image) -> None:
    engine = PixelEngine()
    states = map_places(engine, astronaut)
    next(states), next(states)
    states.close()  # type: ignore[attr-defined]
    assert len(engine.asked) == 1


def test_each_rating_belongs_to_its_tile() -> None:
    ramp = Image.linear_gradient("L").resize((512, 512)).convert("RGB")
    *_, found = map_places(PixelEngine(), ramp)
    ratings = [[tile.rating or 0 for tile in found.tiles[row * 4 : row * 4 + 4]] for row in range(4)]
    assert all(max(row) - min(row) < 0.1 for row in ratings)
    assert [row[0] for row in ratings] == sorted(row[0] for row in ratings)
    assert found.lowest is not None
    assert found.where(found.lowest).startswith("upper")


def test_the_extremes_of_detail_are_asked_first() -> None:
    photo = Image.new("RGB", (512, 512), (120, 120, 120))
    fine = np.random.default_rng(1).integers(0, 255, (128, 128, 3), np.uint8)
    photo.paste(Image.fromarray(fine), (256, 128))
    _, tiles = tiles_of(photo.size)
    first = places.telling_first(photo, tiles)
    assert sorted(first) == list(range(16))
    assert first[0] == 6


def test_a_tile_whose_reply_cannot_be_read_has_its_reason_and_the_others_their_rating() -> None:
    photo = Image.new("RGB", (512, 512), (200, 200, 200))
    photo.paste((40, 40, 40), (0, 0, 128, 128))
    *_, found = map_places(PixelEngine(mumble=40), photo)
    unread = [tile for tile in found.tiles if tile.error]
    assert [tile.box[:2] for tile in unread] == [(8, 8)]
    assert unread[0].rating is None
    assert found.done == 16


# --- which place ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("quarter", range(4))
@pytest.mark.parametrize("photo", ["astronaut", "coffee"])
def test_the_sharp_quarter_of_a_soft_photo_is_named(photo: str, quarter: int) -> None:
    sharp = load_photo(PHOTOS / f"{photo}.jpg").resize((672, 672))
    made = quartered(sharp.filter(ImageFilter.GaussianBlur(6)), quarter, lambda _: sharp)
    tile = measured_only(made).sharpest
    assert tile is not None
    assert in_quarter(tile, made, quarter)


@pytest.mark.parametrize("quarter", range(4))
def test_the_noisy_quarter_is_named_and_is_not_the_sharpest(astronaut: Image.Image, quarter: int) -> None:
    def noisy(photo: Image.Image) -> Image.Image:
        return degrade(photo, "noise", 3, np.random.default_rng(quarter), kind="white_noise").image

    made = quartered(astronaut, quarter, noisy)
    found = measured_only(made)
    assert found.noisiest is not None
    assert in_quarter(found.noisiest, made, quarter)
    assert found.sharpest is not None
    assert not in_quarter(found.sharpest, made, quarter)


def test_where_no_noise_can_be_seen_none_is_named(astronaut: Image.Image) -> None:
    found = measured_only(astronaut.filter(ImageFilter.GaussianBlur(2)))
    assert found.noisiest is None
    assert "no place where noise can be seen" in found.lines


@pytest.mark.parametrize("tone", [0, 128, 255])
def test_an_empty_picture_has_no_sharpest_place(tone: int) -> None:
    found = measured_only(Image.new("RGB", (400, 400), (tone, tone, tone)))
    assert (found.sharpest, found.noisiest, found.lowest) == (None, None, None)


def test_the_preview_rates_every_tile(astronaut: Image.Image) -> None:
    photo = astronaut.crop((100, 0, 400, 300))
    *_, found = map_places(LocalEngine.open("preview", Device.CPU), photo)
    assert found.done == 4
    assert all(tile.worth is not None for tile in found.tiles)


def test_a_map_is_drawn_over_a_small_copy() -> None:
    photo = Image.linear_gradient("L").resize((3000, 2000)).convert("RGB")
    *_, found = map_places(PixelEngine(), photo, tiles=12)
    picture = drawn(photo, found, 600)
    assert picture.size == (600, 400)
    assert picture.mode == "RGB"
    red, green, _ = picture.getpixel((60, 100))  # type: ignore[misc]
    assert red > green  # rated low
    red, green, _ = picture.getpixel((60, 380))  # type: ignore[misc]
    assert green > red


# --- the command line -------------------------------------------------------------------------------------------------


def test_the_command_line_names_the_places_and_draws_the_map(
    scripted: PixelEngine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "map.png"
    assert main(["places", str(PHOTOS / "astronaut.jpg"), "--out", str(out)]) == 0
    told = capsys.readouterr().out
    assert told.startswith("512 x 512: 16 tiles of 112 x 112, 77% of the photo, in ")
    assert "sharpest here: " in told
    assert "rated lowest here: " in told
    assert Image.open(out).size == (512, 512)
    before = out.read_bytes()
    assert main(["places", str(PHOTOS / "astronaut.jpg"), "--out", str(out)]) == 1
    assert "Expected the name of a new file for the map" in capsys.readouterr().err
    assert out.read_bytes() == before


def test_the_json_has_every_tile_and_what_the_app_says_in_a_field_of_its_own(
    scripted: PixelEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["places", str(PHOTOS / "astronaut.jpg"), "--json"]) == 0
    line: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert (line["task"], line["width"], line["height"], len(line["tiles"])) == ("places", 512, 512, 16)
    assert {"left", "top", "width", "height", "rating", "sharpness", "noise", "error"} <= set(
        line["tiles"][0]
    )
    assert set(line["places"]) == {"sharpest", "noisiest", "lowest", "said"}
    assert len(line["made_by"]["pixels"]) == 16


def test_a_replay_of_a_map_is_refused_in_a_sentence(
    scripted: PixelEngine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = str(PHOTOS / "astronaut.jpg")
    assert main(["places", photo, "--json"]) == 0
    (tmp_path / "map.json").write_text(capsys.readouterr().out, encoding="utf-8")
    assert main(["replay", str(tmp_path / "map.json"), photo]) == 1
    assert "Expected an answer of score, diagnose, compare or rank" in capsys.readouterr().err


@pytest.mark.parametrize("flag", [[], ["--json"]])
def test_a_photo_that_is_small_or_none_is_told_before_a_model_is_loaded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], flag: list[str]
) -> None:
    monkeypatch.setattr(places, "open_engine", lambda *_: pytest.fail("a model was loaded"))
    Image.new("RGB", (100, 100)).save(tmp_path / "small.png")
    (tmp_path / "none.jpg").write_bytes(b"none")
    for name in ("small.png", "none.jpg"):
        assert main(["places", str(tmp_path / name), *flag]) == 4
        told = capsys.readouterr()
        assert told.out == ""
        assert told.err.startswith(str(tmp_path / name))
        assert told.err.count("\n") == 1


def test_a_model_that_cannot_be_read_anywhere_is_an_error_of_the_answers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (300, 300), (40, 40, 40)).save(tmp_path / "grey.png")
    monkeypatch.setattr(places, "open_engine", lambda *_: PixelEngine(mumble=40))
    assert main(["places", str(tmp_path / "grey.png")]) == 3
