"""Shoot under the hand: what is pressed is where it was, and on a phone the photos have the room."""

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


def test_on_a_phone_the_cards_have_the_room_and_one_tap_shows_a_photo_large_and_another_all_of_them(
    browser: Any, tmp_path: Path, uploads: Path
) -> None:
    shoot = tmp_path / "shoot"
    shoot.mkdir()
    for shade in range(6):
        taken(shoot / f"{shade}.jpg", "", image=Image.new("RGB", (900, 600), (40 * shade,) * 3))
    (shoot / "rubbish.jpg").write_bytes(b"rubbish")
    phone = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
    with served(PixelEngine()) as url:
        page = browser.new_context(**phone).new_page()
        page.goto(url)
        page.wait_for_selector("#headline p:has-text('scripted')")
        page.get_by_role("tab", name="Shoot").tap()
        upload(page, sorted(map(str, shoot.iterdir())), "rank-files")
        page.locator("#rank").tap()
        shows(page, "rank-status", "6 photos rated, 1 could not be read.")
        page.locator(".qi-card").nth(1).tap()
        assert not page.locator(".qi-large").is_visible()
        assert page.locator(".qi-look").bounding_box()["height"] < 844 / 5
        page.locator(".qi-acts button").first.tap()
        page.wait_for_selector(".qi-large")
        assert page.locator(".qi-large").bounding_box()["width"] > 300
        acts = page.locator(".qi-acts").bounding_box()
        assert acts["y"] + acts["height"] <= 844
        page.locator(".qi-acts button").first.tap()
        page.wait_for_selector(".qi-large", state="hidden")
        page.get_by_role("button", name="100 %").tap()
        page.wait_for_selector(".qi-large.qi-there canvas")
        page.locator(".qi-acts button").first.tap()
        unread = page.locator(".qi-card", has_text="rubbish.jpg")
        assert unread.evaluate("card => getComputedStyle(card, '::before').content") == '"!"'
        page.context.close()


@pytest.mark.parametrize(("width", "height"), [(768, 1024), (844, 390), (1024, 768)])
def test_the_bar_lies_over_no_photo_however_many_rows_it_has(
    browser: Any, tmp_path: Path, uploads: Path, width: int, height: int
) -> None:
    for shade in range(40):
        Image.new("RGB", (90, 60), (5 * shade,) * 3).save(tmp_path / f"{shade}.jpg")
    with served(PixelEngine()) as url:
        page = browser.new_context(viewport={"width": width, "height": height}).new_page()
        page.goto(url)
        page.wait_for_selector("#headline p:has-text('scripted')")
        page.get_by_role("tab", name="Shoot").click()
        upload(page, sorted(map(str, tmp_path.glob("*.jpg"))), "rank-files")
        page.wait_for_function("document.querySelectorAll('.qi-card').length === 40")
        page.locator(".qi-card").nth(1).click()
        page.evaluate("scrollTo(0, 900)")
        page.wait_for_function(
            """() => {
                const [bar, photo] = [".qi-bar", ".qi-large"].map(one =>
                    document.querySelector(one).getBoundingClientRect());
                return scrollY > 500 && photo.top >= bar.bottom && photo.top < innerHeight / 2;
            }"""
        )
        page.context.close()


def test_in_forced_colours_what_is_on_looks_otherwise(browser: Any, tmp_path: Path, uploads: Path) -> None:
    Image.new("RGB", (90, 60)).save(tmp_path / "a.jpg")
    with served(PixelEngine()) as url:
        page = browser.new_context(forced_colors="active").new_page()
        page.goto(url)
        page.wait_for_selector("#headline p:has-text('scripted')")
        page.get_by_role("tab", name="Shoot").click()
        upload(page, str(tmp_path / "a.jpg"), "rank-files")
        page.wait_for_selector(".qi-card")
        shade = "one => getComputedStyle(one).backgroundColor"
        for on, off in (
            ("[data-one=grid]", "[data-one=film]"),
            ("[role=tab][aria-selected=true]", "[role=tab][aria-selected=false]"),
        ):
            assert page.locator(on).first.evaluate(shade) != page.locator(off).first.evaluate(shade)
        page.context.close()


def test_two_fingers_on_the_large_photo_come_closer_to_it_and_not_to_the_page(
    browser: Any, tmp_path: Path, uploads: Path
) -> None:
    Image.new("RGB", (900, 600), "grey").save(tmp_path / "a.jpg")
    with served(PixelEngine()) as url:
        context = browser.new_context(viewport={"width": 834, "height": 1194}, has_touch=True, is_mobile=True)
        page = context.new_page()
        page.goto(url)
        page.wait_for_selector("#headline p:has-text('scripted')")
        page.get_by_role("tab", name="Shoot").click()
        upload(page, str(tmp_path / "a.jpg"), "rank-files")
        page.locator(".qi-card").click()
        page.locator("[data-one=film]").click()
        page.locator(".qi-large img").scroll_into_view_if_needed()
        box = page.locator(".qi-large").bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        hand = context.new_cdp_session(page)
        for kind, apart in (("touchStart", 20), *(("touchMove", 20 + 10 * step) for step in range(1, 9))):
            points = [{"x": x - apart, "y": y, "id": 0}, {"x": x + apart, "y": y, "id": 1}]
            hand.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        hand.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        page.wait_for_selector(".qi-large.qi-loupe")
        assert page.evaluate("visualViewport.scale") == 1
        context.close()
