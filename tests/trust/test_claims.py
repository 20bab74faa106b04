"""A reasoning's claims are read as a person reads them, and the pixels say which of them hold."""

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter
from scipy import ndimage

from qinsight.__main__ import main
from qinsight.photos import load_photo
from qinsight.trust.claims import About, Claim, Found, check, check_reasons, claims_of
from qinsight.trust.harms import jpeg
from qinsight.trust.pixels import measure
from shared.places import REPOSITORY
from training.data.degrade import degrade
from training.data.faults import afflict

PHOTOS = REPOSITORY / "examples" / "photos"
CLEAN = ("astronaut", "coffee")
BY_HAND = [
    json.loads(line)
    for line in (REPOSITORY / "tests" / "fixtures" / "claims_by_hand.jsonl").read_text("utf-8").splitlines()
]


def told(text: str) -> list[tuple[str, bool]]:
    return [(str(claim.about), claim.there) for claim in claims_of(text)]


def found(text: str, photo: Image.Image) -> list[Found]:
    return [one.found for one in check_reasons(text, photo).checked]


def textured(seed: int, kind: str) -> Image.Image:
    """Grass, gravel or hair: sharp, in detail everywhere, without a flat place, and without noise."""
    rng = np.random.default_rng(seed)
    size = 256
    y, x = np.mgrid[:size, :size].astype(np.float32)
    plane = np.full((size, size), 0.15, np.float32)
    for _ in range(2600 if kind != "gravel" else 5200):
        at, tone = rng.uniform(0, size, 2), rng.uniform(0.15, 0.85)
        if kind == "gravel":
            radius = rng.uniform(2, 7)
            left, top = (int(max(0, place - radius - 1)) for place in at)
            part = np.s_[top : int(at[1] + radius + 2), left : int(at[0] + radius + 2)]
            near = np.hypot(x[part] - at[0], y[part] - at[1])
            plane[part] = np.where(near < radius, tone * (1 - 0.4 * near / radius), plane[part])
        else:
            angle = rng.normal(np.pi / 2, 0.6 if kind == "grass" else 0.15)
            steps = np.arange(0, rng.uniform(12, 40), 0.5)
            rows = (at[1] + steps * np.sin(angle)).astype(int) % size
            columns = (at[0] + steps * np.cos(angle)).astype(int) % size
            plane[rows, columns] = plane[rows, (columns + 1) % size] = tone
    grey = Image.fromarray((plane * 255).astype(np.uint8))
    return grey.filter(ImageFilter.GaussianBlur(0.5)).convert("RGB")


# --- the words --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", BY_HAND, ids=[line["sentence"][:40] for line in BY_HAND])
def test_a_sentence_is_read_as_it_was_labelled_by_hand(line: dict[str, Any]) -> None:
    assert sorted(told(line["sentence"])) == sorted((about, there) for about, there in line["claims"])


@pytest.mark.parametrize(
    ("text", "claims"),
    [
        ("Grain lies over the whole frame and hides fine detail.", [("noise", True)]),
        ("Coloured grain lies over the whole frame.", [("noise", True)]),
        ("Block edges stand out and contours are ragged.", [("compression", True)]),
        ("Fine texture is wiped flat.", [("compression", True)]),
        ("Edges are smeared wide and no fine detail is left.", [("blur", True)]),
        ("Shadows have closed up and little can be seen.", [("closed shadows", True)]),
        ("The frame is underexposed.", [("darkness", True)]),
        ("Edges are crisp and tones are clean.", [("blur", False), ("noise", False)]),
        ("Soft tones, but clean.", [("noise", False)]),
        ("No distortion stands out.", [("any distortion", False)]),
        ("The main distortion is compression, moderate.", [("compression", True)]),
    ],
)
def test_the_previews_own_sentences_are_read(text: str, claims: list[tuple[str, bool]]) -> None:
    assert told(text) == claims


@pytest.mark.parametrize(
    ("text", "claims"),
    [
        ("The lighting is poor, resulting in a dark image.", [("darkness", True)]),
        ("The brightness is too low.", [("darkness", True)]),
        ("The lighting conditions are adequate.", [("darkness", False)]),
        ("The highlights are not blown out.", [("clipped highlights", False)]),
        ("Details are lost due to compression.", [("compression", True)]),
        ("It is clear that the image is blurry.", [("blur", True)]),
        ("A sharp knife lies on the table.", []),
        ("The clear blue sky takes up most of the frame.", []),
        ("The focus is off.", [("blur", True)]),
        ("The overall sharpness is poor.", [("blur", True)]),
        ("The image has low sharpness.", [("blur", True)]),
        ("It is neither too dark nor too bright.", [("darkness", False), ("clipped highlights", False)]),
        ("Not noisy, not blurred.", [("noise", False), ("blur", False)]),
        ("The image is noisy, blurry and dark.", [("noise", True), ("blur", True), ("darkness", True)]),
        ("No noise and slight blur.", [("noise", False), ("blur", True)]),
        ("No noise and sharp edges.", [("noise", False), ("blur", False)]),
    ],
)
def test_poor_light_is_dark_and_little_blur_is_none(text: str, claims: list[tuple[str, bool]]) -> None:
    assert sorted(told(text)) == sorted(claims)


def test_the_previews_digits_are_claims_where_they_are_high_or_low() -> None:
    text = "Measured cues: noise 8, grain 8, chroma 2, blocking 0, sharpness 5, brightness 1. The quality is bad."
    claims = claims_of(text)
    assert [(str(one.about), one.there) for one in claims] == [
        ("noise", True),
        ("compression", False),
        ("darkness", True),
    ]
    assert [text[one.start : one.end] for one in claims] == ["noise 8", "blocking 0", "brightness 1"]


@pytest.mark.parametrize(
    "text",
    [
        "There is no noise.",
        "No visible or disturbing noise.",
        "The photo is free of noise.",
        "It is free from any noise.",
        "Without noticeable noise.",
        "Noise is absent.",
        "Noise is not visible.",
        "Noise isn't visible.",
        "There isn't any noise.",
        "The image lacks noise.",
        "It shows hardly any noise.",
        "A noise-free picture.",
        "Neither blur nor noise can be seen.",
        "No blur, compression or noise.",
        "Devoid of grain.",
        "The level of noise is negligible.",
    ],
)
def test_noise_that_is_denied_is_not_claimed(text: str) -> None:
    assert ("noise", False) in told(text)
    assert ("noise", True) not in told(text)


@pytest.mark.parametrize(
    ("text", "strength"),
    [
        ("The image is slightly noisy.", "slight"),
        ("There is a little noise.", "slight"),
        ("The image is severely noisy.", "strong"),
        ("Noise is very strong.", "strong"),
        ("There is noise.", ""),
    ],
)
def test_words_of_strength_are_read(text: str, strength: str) -> None:
    (claim,) = claims_of(text)
    assert (claim.there, claim.strength) == (True, strength)


def test_the_place_of_each_sentence_is_kept() -> None:
    text = "A cat.  The image is blurry.\nThere is no noise; it is dark."
    assert [text[one.start : one.end] for one in claims_of(text)] == [
        "The image is blurry.",
        "There is no noise;",
        "it is dark.",
    ]


@pytest.mark.parametrize("text", ["", "   ", "...", "?!", "42", "\n\n", "。", "no", "not", "noise" * 3])
def test_words_without_a_claim_have_none(text: str) -> None:
    assert claims_of(text) == []
    assert check_reasons(text, Image.new("RGB", (64, 64))).faithfulness is None


# --- the pixels -------------------------------------------------------------------------------------------------------

PLANTED = [
    ("noise", "white_noise", "There is heavy noise.", "The picture is clean and free of noise."),
    ("noise", "colour_noise", "The image is grainy.", "No grain is visible."),
    ("noise", "impulse_noise", "Noise lies over the whole frame.", "There is no noise."),
    ("compression", "jpeg", "Block edges stand out.", "There are no compression artifacts."),
    ("compression", "webp", "There are blocky artifacts.", "The photo is free of artifacts."),
    ("blur", "gaussian_blur", "The image is very blurry.", "The edges are sharp and crisp."),
    ("blur", "lens_blur", "The photo is out of focus.", "The image is sharp."),
    ("darken", "underexposure", "The photo is underexposed.", "The image is well lit."),
    ("darken", "shift", "The image is too dark.", "The exposure is good."),
]


@pytest.mark.parametrize(("named", "kind", "true", "false"), PLANTED, ids=[one[1] for one in PLANTED])
@pytest.mark.parametrize("photo", CLEAN)
@pytest.mark.parametrize("level", [3, 5])
def test_a_planted_damage_supports_what_is_true_and_contradicts_what_is_not(
    photo: str, level: int, named: str, kind: str, true: str, false: str
) -> None:
    image = degrade(
        load_photo(PHOTOS / f"{photo}.jpg"), named, level, np.random.default_rng(1), kind=kind
    ).image
    assert found(true, image) == [Found.SUPPORTED]
    assert set(found(false, image)) == {Found.CONTRADICTED}


@pytest.mark.parametrize("photo", [*CLEAN, "rocket"])
def test_a_photo_without_damage_contradicts_what_is_said_against_it(photo: str) -> None:
    seen = measure(load_photo(PHOTOS / f"{photo}.jpg"))
    for about in (About.NOISE, About.BLUR):
        assert check(Claim(about, True, "strong"), seen).found is Found.CONTRADICTED
    assert check(Claim(About.BLUR, False), seen).found is Found.SUPPORTED
    # the stillest places of the two from cameras and scans vary by more than 1 of 255, as in real shots with noise
    unknown = photo in CLEAN
    assert check(Claim(About.NOISE, False), seen).found is (
        Found.NOT_CHECKABLE if unknown else Found.SUPPORTED
    )


@pytest.mark.parametrize("kind", ["grass", "gravel", "hair"])
@pytest.mark.parametrize("seed", range(7))
def test_sharp_texture_is_never_noise(kind: str, seed: int) -> None:
    image = textured(seed, kind)
    assert found("The image is noisy.", image) != [Found.SUPPORTED]
    noisy = np.asarray(image, np.float32) + np.random.default_rng(seed).normal(0, 45, (256, 256, 3))
    assert found("The image is noisy.", Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))) == [
        Found.SUPPORTED
    ]


def test_grey_grain_is_noise_too() -> None:
    photo = np.asarray(load_photo(PHOTOS / "coffee.jpg"), np.float32)
    grain = np.random.default_rng(4).normal(0, 30, photo.shape[:2])[..., None]
    image = Image.fromarray(np.clip(photo + grain, 0, 255).astype(np.uint8))
    assert found("The image is grainy.", image) == [Found.SUPPORTED]


@pytest.mark.parametrize("shift", [(0, 0), (3, 0), (0, 5), (1, 7), (4, 4)])
def test_blocks_are_found_wherever_their_grid_begins(shift: tuple[int, int], tmp_path: Path) -> None:
    load_photo(PHOTOS / "astronaut.jpg").save(tmp_path / "blocks.jpg", quality=8)
    image = load_photo(tmp_path / "blocks.jpg")
    image = image.crop((*shift, image.width, image.height))
    assert found("Compression artifacts are visible.", image) == [Found.SUPPORTED]


def test_grain_that_a_camera_has_smoothed_is_not_contradicted_but_heavy_noise_is() -> None:
    """Real shots at a high ISO look like this: hardly any difference from pixel to pixel, more across a cell."""
    grain = ndimage.gaussian_filter(np.random.default_rng(1).normal(0, 1, (256, 256)), 1.3)
    picture = np.clip(128 + 3 * grain / grain.std(), 0, 255)[..., None].repeat(3, -1).astype(np.uint8)
    assert found("Grain lies over the whole frame.", Image.fromarray(picture)) == [Found.NOT_CHECKABLE]
    assert found("There is heavy noise.", Image.fromarray(picture)) == [Found.CONTRADICTED]
    assert found("There is no noise.", Image.fromarray(picture)) == [Found.NOT_CHECKABLE]
    assert found("No distortion stands out.", Image.fromarray(picture)) != [Found.SUPPORTED]
    still = Image.new("RGB", (256, 256), (128, 128, 128))
    assert found("Grain lies over the whole frame.", still) == [Found.CONTRADICTED]
    assert found("There is no noise.", still) == [Found.SUPPORTED]


SHOT_CLEAN = ("There is no noise.", "The photo is free of grain.", "No distortion stands out.")


def shot(name: str, kind: str, position: float) -> Image.Image:
    """A part of a photo with noise as cameras make it."""
    photo = load_photo(PHOTOS / f"{name}.jpg").crop((0, 0, 256, 256))
    return afflict(photo, kind, position, np.random.default_rng(5)).image


@pytest.mark.parametrize("kind", ["sensor_noise", "grain", "chroma_blotches"])
@pytest.mark.parametrize("quality", [None, 80])
@pytest.mark.parametrize("position", [1, 3])
def test_no_noise_is_never_borne_out_where_there_is_noise_as_cameras_make_it(
    kind: str, quality: int | None, position: int
) -> None:
    for name in ("cat", "rocket"):
        image = shot(name, kind, position)
        seen = measure(jpeg(image, quality) if quality else image)
        told = [one.found for said in SHOT_CLEAN for one in check_reasons(said, seen).checked]
        assert len(told) == len(SHOT_CLEAN)
        assert Found.SUPPORTED not in told


def test_heavy_noise_is_not_contradicted_where_so_much_varies_that_it_may_hide() -> None:
    for name in ("cat", "rocket"):
        assert found("There is heavy noise.", shot(name, "sensor_noise", 4)) != [Found.CONTRADICTED]


def test_slightly_is_contradicted_where_there_is_much() -> None:
    image = degrade(
        load_photo(PHOTOS / "coffee.jpg"), "noise", 4, np.random.default_rng(2), kind="white_noise"
    )
    assert found("There is slight noise.", image.image) == [Found.CONTRADICTED]
    assert found("There is heavy noise.", image.image) == [Found.SUPPORTED]


@pytest.mark.parametrize("size", [(1, 1), (2, 300), (28, 28), (9, 9), (300, 3), (65, 67)])
@pytest.mark.parametrize("tone", [0, 128, 255])
def test_a_tiny_or_empty_picture_is_measured_without_a_guess(size: tuple[int, int], tone: int) -> None:
    seen = measure(Image.new("RGB", size, (tone, tone, tone)))
    assert seen.sharpness is None
    assert all(value is None or math.isfinite(value) for value in asdict(seen).values())
    assert check(Claim(About.BLUR, True), seen).found is Found.NOT_CHECKABLE
    assert check(Claim(About.NOISE, True), seen).found is not Found.SUPPORTED


def test_the_figure_is_the_share_of_what_could_be_checked() -> None:
    image = load_photo(PHOTOS / "coffee.jpg").filter(ImageFilter.GaussianBlur(4))
    reasons = check_reasons("The image is blurry. There is heavy noise. A cup stands on a table.", image)
    assert reasons.faithfulness == 0.5
    assert reasons.sentence.startswith(
        "Of 2 claims that can be measured the pixels support 1 and contradict 1"
    )


def test_another_photos_reasoning_is_less_faithful() -> None:
    photo, rng = load_photo(PHOTOS / "coffee.jpg"), np.random.default_rng(3)
    seen = {kind: measure(degrade(photo, named, 4, rng, kind=kind).image) for named, kind, _, _ in PLANTED}
    own = [check_reasons(true, seen[kind]).faithfulness for _, kind, true, _ in PLANTED]
    other = [
        check_reasons(true, seen[kind]).faithfulness
        for named, _, true, _ in PLANTED
        for foreign, kind, _, _ in PLANTED
        if foreign != named
    ]
    assert own == [1.0] * len(own)
    assert other.count(0.0) >= 0.9 * len(other)


# --- the command line -------------------------------------------------------------------------------------------------


def test_the_command_line_says_what_the_pixels_say_in_a_field_of_the_apps_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    photo = str(PHOTOS / "cat_blurred.jpg")
    asked = ["diagnose", photo, "--model", "preview", "--device", "cpu"]
    assert main([*asked, "--json"]) == 0
    plain = json.loads(capsys.readouterr().out)
    assert "reasons" not in plain
    assert main([*asked, "--json", "--check-reasons"]) == 0
    line = json.loads(capsys.readouterr().out)
    reasons = line.pop("reasons")
    assert line | {"seconds": 0} == plain | {"seconds": 0}  # the model's words are never changed
    assert all(one["sentence"] in line["thinking"] for one in reasons["claims"])
    assert all(one["measured"] for one in reasons["claims"])
    assert main([*asked, "--check-reasons"]) == 0
    assert "claims that can be measured the pixels support" in capsys.readouterr().out
