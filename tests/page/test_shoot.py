"""A cull by keyboard: cards at once, picks and stars by key, folding, filters, exports, and all of it after a reload."""

import json
import subprocess
import threading
import time
import zipfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageEnhance, ImageFilter

from shared.cameras import EXAMPLES, taken
from shared.engines import PixelEngine
from shared.pages import eventually, served, shows, upload

pytestmark = pytest.mark.browser
WIDE = {"width": 1360, "height": 900}


def make_shoot(folder: Path) -> None:
    """A burst of three, a bracket of three, a RAW with its JPEG, rubbish, and six photos more."""
    cat, rocket = (Image.open(EXAMPLES / f"{name}.jpg").resize((300, 200)) for name in ("cat", "rocket"))
    for number in range(3):
        blurred = cat.filter(ImageFilter.GaussianBlur(number / 2))
        taken(folder / f"burst{number}.jpg", f"2026:11:26 10:05:0{number}", image=blurred)
    for number, stops in enumerate((-2, 0, 2)):
        light = ImageEnhance.Brightness(rocket).enhance(2 ** (stops * 0.4))
        when, seconds = f"2026:11:26 09:00:0{number}", round(200 / 2**stops)
        taken(folder / f"bracket{number}.jpg", when, seconds=seconds, image=light)
    for number in range(6):
        photo = Image.new("RGB", (300, 200), (60 + 30 * number,) * 3)
        taken(folder / f"one{number}.jpg", f"2026:11:26 11:{number:02}:00", image=photo)
    taken(folder / "raw.jpg", "2026:11:26 12:00:00", image=Image.new("RGB", (300, 200), (255, 255, 255)))
    (folder / "raw.DNG").write_bytes((folder / "raw.jpg").read_bytes())
    (folder / "rubbish.jpg").write_bytes(b"rubbish")


@pytest.fixture(scope="module")
def table(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A shoot of this computer that is rated, in a page of its own; `folder` is where it lies."""
    folder = tmp_path_factory.mktemp("shoot")
    make_shoot(folder)
    with pytest.MonkeyPatch.context() as patched, served(PixelEngine(), local=True) as url:
        patched.setenv("no_proxy", "localhost,127.0.0.1")
        page = browser.new_context(viewport=WIDE).new_page()
        page.set_default_timeout(30_000)
        page.goto(url)
        page.wait_for_selector("#headline p:has-text('scripted')")
        page.get_by_role("tab", name="Shoot").click()
        path = page.locator("#rank-path textarea, #rank-path input").first
        path.fill(str(folder))
        path.press("Enter")
        page.wait_for_selector(".qi-card")
        assert page.locator(".qi-card[data-waiting]").count() == 14  # before any is rated
        page.locator("#rank").click()
        shows(page, "rank-status", "13 photos rated, 1 could not be read.")
        page.folder = folder
        yield page
        page.context.close()


@pytest.fixture(autouse=True)
def _nothing_said(table: Any) -> None:
    """Each promise begins with no pick, no filter, no open burst."""
    table.evaluate("""() => {
        for (const name of Object.keys(sessionStorage)) if (name !== "q-insight-run") sessionStorage.removeItem(name);
        localStorage.setItem("q-insight", '{"tab": "rank"}');
    }""")
    table.reload()
    table.get_by_role("tab", name="Shoot").click()
    table.wait_for_selector(".qi-card:not([data-waiting])")


def card(page: Any, name: str) -> Any:
    return page.locator(f".qi-card:has(small:text-is('{name}'))")


def press(page: Any, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def marks(page: Any) -> list[Any]:
    kept = page.evaluate(
        "Object.entries(sessionStorage).find(([name]) => name.startsWith('q-insight-picks'))?.[1]"
    )
    return sorted((mark for mark in json.loads(kept or "{}").values()), key=str)


def names(page: Any) -> list[str]:
    return [str(name) for name in page.locator(".qi-card small").all_text_contents()]


def test_bursts_and_brackets_fold_and_a_raw_is_one_with_its_jpeg(table: Any) -> None:
    assert len(names(table)) == 10
    assert "raw.jpg + raw.DNG" in names(table)
    assert table.locator(".qi-card", has_text="3 alike").count() == 1
    bracket = table.locator(".qi-card", has_text="bracket of 3")
    bracket.click()
    press(table, "x")
    assert marks(table) == [["rejected", None]] * 3  # a bracket stays whole
    press(table, "Control+z")
    assert marks(table) == []
    table.locator(".qi-card", has_text="3 alike").click()
    press(table, "b")
    assert len(names(table)) == 12
    press(table, "x")
    assert marks(table) == [["rejected", None]]


def test_keys_pick_reject_star_and_undo_the_frame_that_has_the_focus_and_no_other(table: Any) -> None:
    card(table, "one1.jpg").click()
    press(table, "4", "p")
    assert card(table, "one1.jpg").get_attribute("data-verdict") == "picked"
    press(table, "x", "Control+z")
    assert marks(table) == [["picked", 4]]
    card(table, "one1.jpg").focus()
    press(table, "u")
    assert card(table, "one1.jpg").get_attribute("data-verdict") == "undecided"
    card(table, "one1.jpg").focus()
    table.keyboard.down("p")
    table.keyboard.down("p")  # held: a repeated stroke says nothing
    table.keyboard.up("p")
    assert len([mark for mark in marks(table) if mark[0]]) == 1
    table.locator("#rank-path textarea, #rank-path input").first.focus()
    table.keyboard.type("pxu15 bc")
    table.locator("h1").click()
    press(table, "p", "x", "1")
    assert len([mark for mark in marks(table) if mark[0]]) == 1


def test_a_folded_burst_shows_what_a_person_picked_of_it(table: Any) -> None:
    table.locator(".qi-card", has_text="3 alike").click()
    best = table.locator(".qi-card:focus small").inner_text()
    table.keyboard.press("b")
    other = table.locator(
        f".qi-card:has(small:text-matches('burst')):not(:has(small:text-is('{best}')))"
    ).first
    name = other.locator("small").inner_text()
    other.click()
    table.keyboard.press("p")
    card(table, name).click()
    table.keyboard.press("b")
    card(table, best).wait_for(state="detached")
    assert card(table, name).locator("em").inner_text() == "P"
    card(table, name).click()
    table.keyboard.press("u")
    card(table, best).wait_for()


def test_sliders_count_as_they_move_a_bracket_is_free_of_them_and_a_filter_that_finds_nothing_says_so(
    table: Any,
) -> None:
    table.locator("[data-slider=low]").fill("5")
    counted = table.locator("[data-slider=low] + output").inner_text()
    assert counted == "5.00 · 10"  # of 13 but for the three of the bracket
    assert "10 rejected" in table.locator(".qi-counts").inner_text()
    card(table, "one2.jpg").click()
    press(table, "3")
    assert card(table, "one2.jpg").get_attribute("data-verdict") == "undecided"  # a person has looked
    table.locator("[data-fault=noise]").click()
    assert table.locator(".qi-none").inner_text().startswith("0 of 14 match.")
    table.get_by_role("button", name="Clear filter").click()
    assert len(names(table)) == 10
    table.locator("[data-one=name]").click()
    assert names(table) == sorted(names(table))
    table.locator("[data-one=time]").click()
    assert names(table)[0].startswith("bracket")


def test_the_large_view_shows_the_reasoning_and_is_a_place_for_a_loupe(table: Any) -> None:
    card(table, "one3.jpg").click()
    shows(table, "rank-table", "bright")
    assert "1/250 s, f/2.8, ISO 400" in table.locator(".qi-look").inner_text()
    table.wait_for_function("document.querySelector('.qi-large img').src.endsWith('/large')")
    number = table.locator(".qi-large").get_attribute("data-photo")
    assert number
    assert number.isdecimal()
    press(table, " ")
    assert table.locator(".qi-shoot").get_attribute("data-view") == "film"
    assert "/photo/" in table.locator(".qi-large img").get_attribute("src")


def looks_closely(page: Any) -> None:
    """Waits until the large view is a loupe of the frame in view, at 100 %."""
    line = page.locator(".qi-large.qi-there .qi-line")
    line.wait_for()
    eventually(lambda: " 100 % " in line.inner_text())
    number = page.locator(".qi-large").get_attribute("data-photo")
    assert page.evaluate("at => qi.cull.frames[at].number", view_at(page)) == number


def view_at(page: Any) -> int:
    return int(page.locator(".qi-card[tabindex='0']").get_attribute("data-at"))


def test_the_loupe_opens_at_the_pointer_by_key_wheel_and_button_and_stays_for_the_frames_that_follow(
    table: Any,
) -> None:
    large = table.locator(".qi-large")
    for opens in (
        lambda: press(table, "z"),
        lambda: table.get_by_role("button", name="100 %").first.click(),
        lambda: large.dblclick(position={"x": 60, "y": 50}),
    ):
        card(table, "one3.jpg").click()
        table.wait_for_function("document.querySelector('.qi-large img')?.src.endsWith('/large')")
        opens()
        looks_closely(table)
        card(table, "one3.jpg").focus()
        press(table, "ArrowRight")
        looks_closely(table)
        press(table, "z")
        table.wait_for_function(
            "!document.querySelector('.qi-large .qi-line').textContent.includes(' 100 % ')"
        )


def test_after_a_button_of_the_large_view_the_keys_still_cull(table: Any) -> None:
    card(table, "one1.jpg").click()
    table.get_by_role("button", name="Pick", exact=True).click()
    press(table, "Control+z")
    assert marks(table) == []
    press(table, "ArrowRight", "x", "ArrowLeft", "Meta+z")
    assert marks(table) == []
    pick = table.get_by_role("button", name="Pick", exact=True)
    pick.focus()
    press(table, "Enter", "Enter")
    assert marks(table) == [["picked", None]]
    assert pick.evaluate("button => button === document.activeElement")
    press(table, "5")
    assert marks(table) == [["picked", 5]]
    table.locator("[data-choice=state][data-one=picked]").click()
    table.locator(".qi-card").focus()
    press(table, "u", "x", "Control+z")
    assert marks(table) == [["picked", 5]], (
        "of an empty table nothing is rejected, and the last word is taken back"
    )


def test_two_frames_go_to_compare(table: Any) -> None:
    card(table, "one0.jpg").click()
    press(table, "c")
    card(table, "one5.jpg").click()
    press(table, "c", "c")
    for where, name in (("photo-a", "one0.jpg"), ("photo-b", "one5.jpg")):
        table.wait_for_function(
            "([where, name]) => document.querySelector(`#${where} img`)?.src.endsWith(name)",
            arg=[where, name],
        )
    table.get_by_role("tab", name="Shoot").click()


def test_of_four_frames_the_first_stays_in_compare_while_the_others_are_paged(table: Any) -> None:
    for name in ("one0.jpg", "one2.jpg", "one4.jpg", "one5.jpg"):
        card(table, name).click(modifiers=["Control"])
    press(table, "c")
    others = table.locator("#film-photo-b .qi-kept")
    for number, name in ((0, "one2.jpg"), (2, "one5.jpg"), (1, "one4.jpg")):
        others.nth(number).click()
        table.wait_for_function(
            "name => document.querySelector('#photo-b img')?.src.endsWith(name)", arg=name
        )
        table.wait_for_function("!document.querySelector('#compare').disabled")
        assert table.locator("#photo-a img").get_attribute("src").endswith("one0.jpg")
        assert others.nth(number).get_attribute("aria-current") == "true"
    table.get_by_role("tab", name="Shoot").click()


def test_exports_say_what_a_person_said_and_picks_are_there_after_a_reload(
    table: Any, tmp_path: Path
) -> None:
    for name, keys in (("one0.jpg", "x"), ("one1.jpg", "p"), ("one2.jpg", "5")):
        card(table, name).click()
        press(table, keys)
    table.reload()
    table.wait_for_selector(".qi-card:not([data-waiting])")
    assert "1 picked · 1 rejected" in table.locator(".qi-counts").inner_text()
    assert card(table, "one2.jpg").inner_text().count("★") == 5
    with table.expect_download() as download:
        table.locator("#download-xmp").click()
    zipfile.ZipFile(download.value.path()).extractall(tmp_path)
    tags = ("-Rating", "-PersonPick", "-ExpectedRating")
    told = json.loads(
        subprocess.run(["exiftool", "-j", *tags, str(tmp_path)], capture_output=True, check=True).stdout
    )
    found = {Path(one["SourceFile"]).name: one for one in told}
    assert found["one0.jpg.xmp"]["Rating"] == -1
    assert found["one1.jpg.xmp"]["PersonPick"] == "picked"
    assert found["one2.jpg.xmp"]["Rating"] == 5
    assert found["one2.jpg.xmp"]["ExpectedRating"] < 4  # the model's, apart
    table.locator("#rank-picks textarea, #rank-picks input").first.fill("chosen")
    table.locator("#rank-copies").click()
    shows(table, "rank-taken", "1 picked frames are in")
    assert [path.name for path in (table.folder / "chosen").glob("*.jpg")] == ["one1.jpg"]
    assert len(list(table.folder.glob("*.jpg"))) == 14


def test_without_a_memory_the_page_works_and_says_so_once(table: Any) -> None:
    full = "throw new DOMException('full', 'QuotaExceededError')"
    table.evaluate(f"() => {{ Storage.prototype.setItem = () => {{ {full}; }}; }}")
    card(table, "one0.jpg").click()
    press(table, "p", "p")
    table.locator(".qi-note", has_text="keeps nothing here").wait_for()
    assert "2 picked" in table.locator(".qi-counts").inner_text()
    time.sleep(3)
    press(table, "p")
    assert table.locator(".qi-note").count() == 0
    table.reload()


class SlowEngine(PixelEngine):
    """A server that is asked about a few photos at a time and answers slowly."""

    def __init__(self) -> None:
        super().__init__(in_flight=4)

    def stream(self, *given: Any, **named: Any) -> Iterator[Any]:
        time.sleep(0.3)
        yield from super().stream(*given, **named)


class HeldEngine(PixelEngine):
    """Rates six photos and then waits until it is let go."""

    def __init__(self) -> None:
        super().__init__(in_flight=2)
        self.go = threading.Event()

    def stream(self, *given: Any, **named: Any) -> Iterator[Any]:
        if self.photos >= 6:
            self.go.wait(60)
        yield from super().stream(*given, **named)


def test_a_burst_folds_and_a_bar_fills_while_later_photos_are_still_being_rated(
    browser: Any, tmp_path: Path, uploads: Path
) -> None:
    shoot = tmp_path / "shoot"
    shoot.mkdir()
    make_shoot(shoot)
    engine = HeldEngine()
    with served(engine) as url:
        page = browser.new_context(viewport=WIDE).new_page()
        page.goto(url)
        page.get_by_role("tab", name="Shoot").click()
        upload(page, sorted(map(str, shoot.iterdir())), "rank-files")
        page.wait_for_function("document.querySelectorAll('.qi-card').length === 14")
        page.locator("#rank").click()
        page.wait_for_function("document.querySelectorAll('.qi-card').length === 10")
        assert card(page, "burst0.jpg").locator("u").inner_text() == "3 alike"
        assert page.locator(".qi-card[data-waiting]").count() == 8
        assert page.locator(".qi-bar progress").evaluate("bar => [bar.value, bar.max]") == [6, 14]
        engine.go.set()
        shows(page, "rank-status", "13 photos rated, 1 could not be read.")
        page.locator(".qi-bar progress").wait_for(state="hidden")
        with page.expect_download() as download:
            page.locator("#download-html").click()
        sheet = Path(download.value.path()).read_text(encoding="utf-8")
        assert f"<h1>Uploaded on {date.today()}</h1>" in sheet
        page.context.close()


def test_a_page_that_is_loaded_again_in_mid_run_goes_on_and_another_tab_has_a_table_of_its_own(
    browser: Any, uploads: Path, tmp_path: Path
) -> None:
    engine, context = SlowEngine(), browser.new_context(viewport=WIDE)
    photos = [
        taken(tmp_path / f"{n}.jpg", "", image=Image.new("RGB", (90, 60), (20 * n,) * 3)) for n in range(10)
    ]
    with served(engine) as url:
        page = context.new_page()
        page.goto(url)
        page.get_by_role("tab", name="Shoot").click()
        upload(page, [str(path) for path in photos], "rank-files")
        page.wait_for_function("document.querySelectorAll('.qi-card').length === 10")
        page.locator("#rank").click()
        page.locator(".qi-card:not([data-waiting])").first.click()
        page.keyboard.press("p")
        page.reload()
        shows(page, "rank-status", "10 photos rated.")
        page.locator(".qi-counts", has_text="10 rated · 1 picked").wait_for()
        assert engine.photos <= 14  # only those that were under way are asked again
        other = context.new_page()
        other.goto(url)
        other.wait_for_selector("#headline p:has-text('scripted')")
        eventually(lambda: other.locator(".qi-shoot").count() == 1)
        assert other.locator(".qi-card").count() == 0
    context.close()
