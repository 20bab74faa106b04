"""Beside a frame in Shoot's large view stands what the pixels say of its reasons, as in Assess."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from qinsight.engines.checkpoint import PREVIEW, Device
from qinsight.engines.local import LocalEngine
from qinsight.errors import PhotoError
from qinsight.page.lightbox import Lightbox
from qinsight.page.result import signed, without_cues
from qinsight.page.shoot import Shoot, reasoned, shown
from qinsight.page.words import ENGLISH, Language, Words
from qinsight.photos import load_photo
from qinsight.photos.listing import look
from qinsight.photos.view import view
from qinsight.ranking.folder import rank_folder, ranking
from qinsight.trust.claims import check_reasons
from shared.axe import violations
from shared.pages import eventually, rated_shoot, served
from shared.places import REPOSITORY

PHOTOS = ("cat_blurred.jpg", "coffee_noisy.jpg", "rocket.jpg")
LIMIT = 1 << 20


@pytest.fixture(scope="module")
def shoot(tmp_path_factory: pytest.TempPathFactory) -> Shoot:
    """Three photos that the preview has rated."""
    folder = tmp_path_factory.mktemp("photos")
    for name in PHOTOS:
        Image.open(REPOSITORY / "examples" / "photos" / name).resize((300, 200)).save(folder / name)
    out = folder / "q-insight"
    for _ in rank_folder(LocalEngine.open(PREVIEW, Device.CPU), folder, out):
        pass
    found = look(folder, out)
    rated = Shoot(folder, out, found, Lightbox(folder, found.frames, uploaded=False))
    rated.hold(ranking(out, found.frames), ranked=True)
    return rated


def place_of(shoot: Shoot, name: str) -> int:
    return shoot.box.place_of[name]


@pytest.mark.parametrize("language", Language)
def test_the_reasons_of_a_frame_are_checked_as_assess_checks_them(shoot: Shoot, language: Language) -> None:
    words = Words(language)
    for name in PHOTOS:
        place = place_of(shoot, name)
        row = shoot.rows[place]
        pixels = view(load_photo(shoot.folder / name), LIMIT)
        expected = [
            signed(without_cues(text), check_reasons(text, pixels), words)
            for text in (row.thinking, row.diagnosis)
            if text
        ]
        assert reasoned(shoot, place, words, LIMIT) == expected
        assert any(len(piece) > 1 for one in expected for piece in one["pieces"])


def test_the_models_words_and_the_rows_stay_as_they_are(shoot: Shoot) -> None:
    before = shown(shoot, "key", ENGLISH)
    place = place_of(shoot, "coffee_noisy.jpg")
    told = reasoned(shoot, place, ENGLISH, LIMIT)
    assert before == shown(shoot, "key", ENGLISH)
    words = "\n\n".join("".join(piece[0] for piece in one["pieces"]) for one in told)
    assert before is not None
    assert words == before["rows"][place]["text"]


def test_a_photo_that_changed_or_went_since_it_was_rated_is_not_held_against_its_reasons(
    shoot: Shoot, tmp_path: Path
) -> None:
    other = replace(shoot, folder=tmp_path, measured={})
    for name in PHOTOS[:2]:
        Image.new("RGB", (300, 200)).save(tmp_path / name)
        assert reasoned(other, place_of(shoot, name), ENGLISH, LIMIT) == []
    with pytest.raises(PhotoError):  # of which the page makes no sign either
        reasoned(other, place_of(shoot, PHOTOS[2]), ENGLISH, LIMIT)


def test_a_frame_that_is_not_rated_or_not_there_has_no_reasons(shoot: Shoot) -> None:
    other = replace(shoot, rows={})
    for place in (0, -1, 99):
        assert reasoned(other, place, ENGLISH, LIMIT) == []


@pytest.mark.browser
def test_the_large_view_signs_each_sentence_in_the_visitors_language(shoot: Shoot, browser: Any) -> None:
    with served(LocalEngine.open(PREVIEW, Device.CPU), local=True) as url:
        page = rated_shoot(browser, url, shoot.folder, 3)
        said = page.locator(".qi-look blockquote")
        for name in PHOTOS[:2]:
            page.locator(f".qi-card:has(small:text-is('{name}'))").click()
            told = reasoned(shoot, place_of(shoot, name), ENGLISH, LIMIT)
            signs = [piece[1] for one in told for piece in one["pieces"] if len(piece) > 1]
            page.wait_for_function(
                "signs => [...document.querySelectorAll('.qi-look summary')].map(one => one.textContent[0]).join() === signs",
                arg=",".join(signs),
            )
            assert told[0]["line"] in said.inner_text()
        said.locator("summary").first.click()
        assert "noise 3" in said.inner_text() or "specks" in said.inner_text()
        assert violations(page) == []
        page.locator("#language input").click()
        page.get_by_role("option", name="中文").click()
        line = reasoned(shoot, place_of(shoot, PHOTOS[1]), Words(Language.CHINESE), LIMIT)[0]["line"]
        eventually(lambda: line in said.inner_text())
        page.context.close()
