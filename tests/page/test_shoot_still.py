"""Shoot stands still under the hand: what is pressed is where it was."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from shared.cameras import taken
from shared.engines import PixelEngine
from shared.pages import served, shows, upload

pytestmark = pytest.mark.browser

WATCHED = """() => {
    window.boxes = new Set();
    const look = () => {
        for (const id of ["rank", "rank-stop", "choose-folder"]) {
            const { x, y, width, height } = document.getElementById(id).getBoundingClientRect();
            window.boxes.add(JSON.stringify([id, x, y, width, height]));
        }
        requestAnimationFrame(look);
    };
    look();
}"""


@pytest.mark.parametrize("width", [390, 1360])
@pytest.mark.parametrize("local", [False, True])
def test_the_buttons_stay_in_place_while_files_cards_and_ratings_come(
    browser: Any, tmp_path: Path, uploads: Path, width: int, local: bool
) -> None:
    shoot = tmp_path / "shoot"
    shoot.mkdir()
    for shade in range(20):
        taken(shoot / f"{shade}.jpg", "", image=Image.new("RGB", (90, 60), (9 * shade,) * 3))
    (shoot / "rubbish.jpg").write_bytes(b"rubbish")
    with served(PixelEngine(), local=local) as url:
        page = browser.new_context(viewport={"width": width, "height": 844}).new_page()
        page.goto(url)
        page.wait_for_selector("#headline p:has-text('scripted')")
        page.get_by_role("tab", name="Shoot").click()
        page.wait_for_selector("#rank-path" if local else "#rank")
        page.evaluate(WATCHED)
        page.locator("#rank").click()  # too early: a sentence says so
        shows(page, "rank-problem", "Choose photos or a folder first.")
        upload(page, sorted(map(str, shoot.iterdir())), "rank-files")
        page.wait_for_function("document.querySelectorAll('.qi-card').length === 21")
        assert not page.locator("#rank-problem").is_visible()  # it goes with its cause
        page.locator("#rank").click()
        shows(page, "rank-status", "20 photos rated, 1 could not be read.")
        assert len(page.evaluate("[...window.boxes]")) == 3
        gutter = page.evaluate("getComputedStyle(document.documentElement).scrollbarGutter")
        assert gutter == ("stable" if width > 768 else "auto")  # nor does the bar to scroll with push them
        page.context.close()
