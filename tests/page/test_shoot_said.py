"""What a person said of a frame belongs to that photo: it stays when others come, and goes with every export."""

import json
import threading
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from qinsight.ranking.xmp import by_hand
from shared.engines import PixelEngine
from shared.pages import drop, eventually, served, shows, upload

pytestmark = pytest.mark.browser


def shades(folder: Path, *tones: int, name: str = "{}.jpg") -> list[str]:
    folder.mkdir(exist_ok=True)
    paths = [folder / name.format(number) for number in range(len(tones))]
    for path, tone in zip(paths, tones, strict=True):
        Image.new("RGB", (120, 80), (tone, tone, tone)).save(path)
    return [*map(str, paths)]


def card(page: Any, name: str) -> Any:
    return page.locator(f".qi-card:has(small:text-is('{name}'))")


def says(page: Any, name: str, *keys: str) -> None:
    card(page, name).click()
    for key in keys:
        page.keyboard.press(key)


def shoot(page: Any, photos: list[str]) -> None:
    page.get_by_role("tab", name="Shoot").click()
    upload(page, photos, "rank-files")
    page.wait_for_function("count => document.querySelectorAll('.qi-card').length === count", arg=len(photos))


def home(browser: Any, url: str, folder: Path) -> Any:
    """The Shoot tab of the person at this computer, with that folder on the table."""
    page = browser.new_context(viewport={"width": 1360, "height": 900}).new_page()
    page.goto(url)
    page.wait_for_selector("#headline p:has-text('scripted')")
    page.get_by_role("tab", name="Shoot").click()
    folders(page, str(folder))
    page.wait_for_selector(".qi-card")
    return page


def folders(page: Any, path: str) -> None:
    field = page.locator("#rank-path textarea, #rank-path input").first
    field.fill(path)
    field.press("Enter")


def test_picks_stay_when_a_photo_is_added_and_can_still_be_taken_back(
    visit: Callable[..., Any], tmp_path: Path
) -> None:
    photos = shades(tmp_path, 40, 90, 140, 190)
    with served(PixelEngine()) as url:
        page = visit(url)
        shoot(page, photos[:3])
        says(page, "0.jpg", "p")
        says(page, "1.jpg", "5")
        says(page, "2.jpg", "x")
        drop(page, [photos[3]], "#rank-files")
        page.wait_for_function("document.querySelectorAll('.qi-card').length === 4")
        page.locator(".qi-counts", has_text="1 picked · 1 rejected").wait_for()
        assert "★★★★★" in card(page, "1.jpg").inner_text()
        says(page, "3.jpg", "Control+z")
        page.locator(".qi-counts", has_text="1 picked · 0 rejected").wait_for()


def test_what_was_said_of_an_upload_is_not_said_of_another_of_its_name(
    visit: Callable[..., Any], tmp_path: Path
) -> None:
    with served(PixelEngine()) as url:
        page = visit(url)
        shoot(page, shades(tmp_path / "one", 40, 90))
        says(page, "0.jpg", "p", "5")
        page.locator("#rank-files button[aria-label*='lear' i]").first.click()
        shoot(page, shades(tmp_path / "other", 60, 200))
        page.locator(".qi-counts", has_text="0 picked").wait_for()
        page.locator("#rank").click()
        shows(page, "rank-status", "2 photos rated.")
        assert "★" not in card(page, "0.jpg").inner_text()


def test_what_was_said_before_the_model_came_is_in_every_export_and_picks_are_all_that_is_copied(
    browser: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "shoot"
    shades(folder, 40, 90, 140)
    with served(PixelEngine(), local=True) as url:
        page = home(browser, url, folder)
        says(page, "2.jpg", "p", "4")
        with page.expect_download() as download:
            page.locator("#download-xmp").click()
        with zipfile.ZipFile(download.value.path()) as archive:
            assert archive.namelist() == ["2.jpg.xmp"]
            assert by_hand(archive.read("2.jpg.xmp")) == 4
        with page.expect_download() as download:
            page.locator("#download-csv").click()
        head, *lines = Path(download.value.path()).read_text("utf-8-sig").splitlines()
        assert head.startswith("rank,photo")
        assert [line.split(",")[:2] for line in lines] == [["", "2.jpg"]]
        page.locator("#rank-copies").click()
        shows(page, "rank-taken", "1 ")
        assert [path.name for path in (folder / "picks").glob("*.jpg")] == ["2.jpg"]
        page.context.close()


def test_uploads_keep_the_names_they_had_and_nothing_is_said_of_another_one(
    visit: Callable[..., Any], tmp_path: Path
) -> None:
    names = ["best!.jpg", "best.jpg", "a$1.jpg", "a1.jpg", "{x}`y'.jpg", "猫 😀.jpg", "w" * 230 + ".jpg"]
    tones = dict(zip(names, (20, 50, 80, 110, 140, 170, 200), strict=True))
    for name, tone in tones.items():
        Image.new("RGB", (120, 80), (tone, tone, tone)).save(tmp_path / name)
    with served(PixelEngine()) as url:
        page = visit(url)
        shoot(page, [str(tmp_path / name) for name in names])
        page.locator("#rank").click()
        shows(page, "rank-status", "7 photos rated.")
        rows = exported(page, "jsonl")
        hashes = {row["photo"]: row["sha256"] for row in rows}
        assert hashes == {name: sha256((tmp_path / name).read_bytes()).hexdigest() for name in names}


def exported(page: Any, kind: str) -> list[Any]:
    with page.expect_download() as download:
        page.locator(f"#download-{kind}").click()
    return [json.loads(line) for line in Path(download.value.path()).read_text("utf-8").splitlines()]


def test_what_the_sliders_say_is_counted_and_exported_alike(
    visit: Callable[..., Any], tmp_path: Path
) -> None:
    with served(PixelEngine()) as url:
        page = visit(url)
        shoot(page, shades(tmp_path, 20, 60, 130, 220))
        says(page, "0.jpg", "p")
        says(page, "1.jpg", "4")
        page.locator("#rank").click()
        shows(page, "rank-status", "4 photos rated.")
        page.locator("[data-slider=low]").fill("3.5")
        page.locator("[data-slider=high]").fill("4")
        page.locator(".qi-counts", has_text="2 picked · 1 rejected").wait_for()
        picks = {row["photo"]: row["pick"] for row in exported(page, "jsonl")}
        assert picks == {"0.jpg": "picked", "1.jpg": None, "2.jpg": "rejected", "3.jpg": "picked"}
        with page.expect_download() as download:
            page.locator("#download-xmp").click()
        with zipfile.ZipFile(download.value.path()) as archive:
            told = {name: archive.read(name).decode() for name in archive.namelist()}
        assert {name for name, text in told.items() if "q-insight:picked" in text} == {
            "0.jpg.xmp",
            "3.jpg.xmp",
        }


def test_photos_that_come_while_others_are_rated_are_rated_too(
    visit: Callable[..., Any], tmp_path: Path
) -> None:
    engine = PixelEngine()
    goes_on = threading.Event()
    ask = engine.stream

    def held_up(*given: Any, **how: Any) -> Any:
        goes_on.wait(20)
        return ask(*given, **how)

    engine.stream = held_up  # type: ignore[method-assign]
    with served(engine) as url:
        page = visit(url)
        photos = shades(tmp_path, 40, 90, 140, 190)
        shoot(page, photos[:2])
        page.locator("#rank").click()
        page.locator("#rank-stop:enabled").wait_for()
        drop(page, photos[2:], "#rank-files")
        page.wait_for_function("document.querySelectorAll('.qi-card').length === 4")
        goes_on.set()
        shows(page, "rank-status", "4 photos rated.")


def test_a_slider_that_picks_nothing_copies_nothing(browser: Any, tmp_path: Path) -> None:
    folder = tmp_path / "shoot"
    shades(folder, 40, 90)
    with served(PixelEngine(), local=True) as url:
        page = home(browser, url, folder)
        page.locator("#rank").click()
        shows(page, "rank-status", "2 photos rated.")
        slider = page.locator("[data-slider=high]")
        slider.fill("5")
        page.locator(".qi-counts", has_text="0 picked").wait_for()
        page.locator("#rank-copies").click()
        shows(page, "rank-taken", "0 ")
        assert not [*(folder / "picks").glob("*.jpg")]
        page.context.close()


def test_a_wrong_folder_is_told_at_once_the_table_stays_and_the_last_choice_counts(
    browser: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "shoot"
    shades(folder, 40, 90)
    with served(PixelEngine(), local=True) as url:
        page = home(browser, url, folder)
        folders(page, str(tmp_path / "missing"))
        shows(page, "rank-problem", "there is no folder")
        assert page.locator(".qi-card").count() == 2
        upload(page, shades(tmp_path / "uploads", 10, 20, 30), "rank-files")
        page.wait_for_function("document.querySelectorAll('.qi-card').length === 3")
        folders(page, f'"{folder}"')  # as a file manager copies it
        page.wait_for_function("document.querySelectorAll('.qi-card').length === 2")
        shades(folder, 40, 90, 200)
        folders(page, f'"{folder}"')
        page.wait_for_function("document.querySelectorAll('.qi-card').length === 3")
        page.locator("#rank").click()
        shows(page, "rank-status", "3 photos rated.")
        assert (folder / "q-insight").is_dir()
        page.context.close()


def test_a_filter_is_for_the_photos_that_it_was_chosen_for(visit: Callable[..., Any], tmp_path: Path) -> None:
    with served(PixelEngine()) as url:
        page = visit(url)
        shoot(page, shades(tmp_path / "one", 40, 90))
        says(page, "0.jpg", "p")
        page.locator("[data-one=rejected]").click()
        page.locator("[data-fault=noise]").click()
        page.wait_for_function("!document.querySelector('.qi-card')")
        other = page.context.new_page()
        other.goto(url)
        other.wait_for_selector("#headline p:has-text('scripted')")
        shoot(other, shades(tmp_path / "other", 60, 200))
        other.close()


def test_a_picture_that_the_network_lost_is_asked_for_again(
    visit: Callable[..., Any], tmp_path: Path
) -> None:
    with served(PixelEngine()) as url:
        page = visit(url)
        page.route("**/gradio_api/photo/**", lambda route: route.abort())
        shoot(page, shades(tmp_path, 40, 90))
        page.wait_for_function("document.querySelectorAll('.qi-card [data-broken]').length === 2")
        page.unroute_all()
        page.evaluate("dispatchEvent(new Event('online'))")
        page.wait_for_function("!document.querySelector('.qi-card [data-broken]')")
        eventually(lambda: page.evaluate("document.querySelector('.qi-card img').naturalWidth") > 0)


def test_files_that_are_heard_of_after_they_were_rated_are_no_other_files(visit: Callable[..., Any]) -> None:
    numbers = """() => {
        const those = [[{ path: "a" }], ""], other = [[{ path: "b" }], ""], folder = [null, "here"];
        qi.cull.rate(those);
        const late = [those, other, those].map(given => qi.cull.others(given)[0].number > 0);
        qi.cull.rate(folder);
        return [...late, qi.cull.others(folder)[0].number > 0];
    }"""
    with served(PixelEngine()) as url:
        assert visit(url).evaluate(numbers) == [False, True, True, True]
