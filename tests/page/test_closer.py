"""Look closer: tiles at 100 % over the photo in the loupe, a list that leads there, and the app's lines."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from qinsight.page.places_tab import places_value
from qinsight.page.words import Language, Words
from qinsight.trust.places import map_places, measured_only
from shared.axe import violations
from shared.engines import ENDLESS, SCORE, PatientEngine, PixelEngine
from shared.pages import served, shows, upload
from shared.pictures import photo_file
from shared.places import REPOSITORY

CAT = REPOSITORY / "examples" / "photos" / "cat.jpg"


def half_dark(folder: Path, side: int = 448) -> str:
    """A photo whose right half is darker: a judge of brightness rates it lower."""
    image = Image.new("RGB", (side, side), (220, 220, 220))
    image.paste((60, 60, 60), (side // 2, 0, side, side))
    return photo_file(folder, f"half{side}.png", image)


@pytest.mark.parametrize("language", [*Language])
def test_the_map_is_told_in_every_language_with_the_apps_word_marked(language: Language) -> None:
    words, photo = Words(language), Image.open(CAT).convert("RGB")
    *_, found = map_places(PixelEngine(), photo)
    shown = places_value("number", found, words)
    assert len(shown["tiles"]) == len(found.tiles) == 8
    assert all(line.startswith(words("app_says")) for line in shown["lines"])
    named = ",".join(tile[5] for tile in shown["tiles"])
    assert words("sharpest") in named
    assert words("lowest") in named
    if language is not Language.ENGLISH:
        assert not any("here:" in line or "upper" in line for line in shown["lines"])
        assert not any("upper" in tile[6] or "lower" in tile[6] for tile in shown["tiles"])


def test_before_anything_was_asked_nothing_is_claimed() -> None:
    nothing = measured_only(Image.open(CAT).convert("RGB"))
    assert places_value("number", nothing, Words())["lines"] == []
    assert places_value("number", nothing, Words())["tiles"] == []


@pytest.mark.browser
def test_tiles_come_over_the_photo_and_a_key_leads_to_one_at_100_percent(
    visit: Callable[..., Any], tmp_path: Path
) -> None:
    with served(PixelEngine()) as url:
        page = visit(url)
        assert page.locator("#closer").is_disabled()  # nothing lies there
        upload(page, half_dark(tmp_path, side=1000))
        page.wait_for_function("qi.looked() && !document.querySelector('#closer').disabled")
        page.locator("#closer").click()
        shows(page, "places-status", "42 of 42 places")
        assert page.locator(".qi-places button").count() == 42
        assert "rated lowest here: " in page.locator("#places").inner_text()
        assert "left" not in page.locator(".qi-places button", has_text="lowest").inner_text()
        assert violations(page) == []
        page.locator(".qi-places button", has_text="lowest").focus()
        page.keyboard.press("Enter")
        page.locator("#photo .qi-line", has_text="· 100 % ·").wait_for()
        glass = page.evaluate("document.querySelector('#photo .qi-over').qiView.glass")
        assert glass["x"] >= 0.5
        upload(page, str(CAT))  # another photo: what was found of the old one is gone
        page.wait_for_function("document.querySelector('#places').checkVisibility() === false")


@pytest.mark.browser
def test_stop_and_another_photo_end_the_closer_look_and_assess_keeps_its_answer(
    visit: Callable[..., Any], tmp_path: Path
) -> None:
    for how in ("closer-stop", "escape", "photo"):
        engine = PatientEngine(SCORE, ENDLESS, SCORE)
        with served(engine) as url:
            page = visit(url)
            upload(page, half_dark(tmp_path))
            shows(page, "gauge", "4.25")
            page.wait_for_function("!document.querySelector('#assess').disabled")
            page.locator("#closer").click()
            page.wait_for_function("!document.querySelector('#closer-stop').disabled")
            if how == "photo":
                upload(page, str(CAT))
            elif how == "escape":
                page.keyboard.press("Escape")
            else:
                page.locator("#closer-stop").click()
            assert engine.stopped.wait(10)
            page.wait_for_function("document.querySelector('#closer-stop').disabled")
            shows(page, "gauge", "4.25")


@pytest.mark.browser
def test_a_photo_too_small_for_tiles_is_told_in_a_sentence(visit: Callable[..., Any], tmp_path: Path) -> None:
    with served(PixelEngine()) as url:
        page = visit(url, locale="zh-CN")
        upload(page, half_dark(tmp_path, side=120))
        page.wait_for_function("qi.looked() && !document.querySelector('#closer').disabled")
        page.locator("#closer").click()
        shows(page, "places-problem", "照片至少需 224 × 224 像素")
        assert page.locator(".qi-places").count() == 0
