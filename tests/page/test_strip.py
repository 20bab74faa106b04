"""What was answered stays in the tab of the browser; the first seconds of a visit; a wait, and a result in view."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from qinsight.assess import ask, assessment, last
from qinsight.page import build_page, launch
from qinsight.page.assess_tab import SAMPLE
from qinsight.page.host import Host
from qinsight.page.recordings import Recordings
from qinsight.photos import load_photo
from qinsight.requests import Delta, Sampling
from shared.engines import DIAGNOSIS, SCORE, PixelEngine, ScriptedEngine
from shared.pages import drop, eventually, served, shows, upload
from shared.pictures import photo_file

pytestmark = pytest.mark.browser
KEPT = "#strip-place .qi-kept"
STORED = "sessionStorage['q-insight-answered'] ?? ''"


class Unhurried(PixelEngine):
    """Takes its time, so that the wait can be seen."""

    pause = 0.3

    def stream(self, *asked: Any, **how: Any) -> Iterator[Delta]:
        for delta in super().stream(*asked, **how):
            time.sleep(self.pause)
            yield delta


def shades(folder: Path) -> list[str]:
    """Photos of which each has a rating of its own: 4.14, 1.47."""
    return [photo_file(folder, f"{n}.png", Image.new("RGB", (140, 112), (n, n, n))) for n in (200, 30)]


def answered(page: Any, photo: str, rating: str) -> None:
    upload(page, photo)
    shows(page, "gauge", rating)
    page.wait_for_function("!document.querySelector('#assess-copy').disabled")


def _emptied(uploads: Path) -> list[Path]:
    for folder in uploads.iterdir():
        shutil.rmtree(folder, ignore_errors=True)
    return [*uploads.iterdir()]


def test_what_was_answered_is_kept_looked_at_again_brought_back_and_cleared(
    visit: Callable[..., Any], tmp_path: Path, uploads: Path
) -> None:
    bright, dark = shades(tmp_path)
    engine = PixelEngine()
    with served(engine) as url:
        page = visit(url)
        answered(page, bright, "4.14")
        page.wait_for_selector(KEPT)
        page.locator("#photo .icon-button-wrapper button").last.click()
        answered(page, dark, "1.47")
        page.wait_for_function(f"document.querySelectorAll('{KEPT}').length === 2")
        assert page.locator(KEPT).first.get_attribute("aria-label") == "200.png, 4.14, good"
        assert len(page.evaluate(STORED)) < 20_000
        page.locator(KEPT).first.click()
        shows(page, "gauge", "4.14")
        shows(page, "say", "Good: slightly underexposed.")
        shows(page, "status", "140 × 112")
        page.wait_for_function("document.querySelector('#photo img')?.src.endsWith('200.png')")
        record = json.loads(page.evaluate("qi.record('assess').json"))
        assert record[0]["photo"] == "200.png"
        assert page.locator("#assess").is_enabled()
        assert len(engine.asked) == 2
        page.locator("#assess").click()  # asked about once more, it is the same photo
        page.wait_for_function("!document.querySelector('#assess-copy').disabled")
        shows(page, "gauge", "4.14")
        assert len(engine.asked) == 3
        page.wait_for_function(f"document.querySelectorAll('{KEPT}').length === 2")

        other = page.context.new_page()
        other.goto(url)
        other.wait_for_selector("#headline p:has-text('scripted')")
        assert other.locator("#strip-place button").count() == 0
        other.close()

        page.reload()
        page.get_by_role("button", name="Bring back").click()
        page.wait_for_function(f"document.querySelectorAll('{KEPT}').length === 2")
        eventually(lambda: not _emptied(uploads))  # an hour later; a picture may still be being written
        page.locator(f"{KEPT}[aria-label^='30']").click()
        shows(page, "gauge", "1.47")
        page.wait_for_function("document.querySelector('#photo img')?.src.startsWith('data:image/jpeg')")
        page.locator("#assess").click()  # the small picture is no photo to be rated
        shows(page, "problem", "This upload has expired")
        assert len(engine.asked) == 3
        page.locator("#strip-place").get_by_role("button", name="Clear").click()
        page.wait_for_function(f"!document.querySelector('{KEPT}')")
        assert page.evaluate(STORED) == ""


def test_photos_that_wait_are_asked_in_turn_rest_while_an_earlier_answer_is_looked_at_and_go_on(
    visit: Callable[..., Any], tmp_path: Path
) -> None:
    names = [f"{n}.png" for n in (200, 190, 180, 170, 30)]
    photos = [
        photo_file(tmp_path, name, Image.new("RGB", (140, 112), (int(name[:-4]),) * 3)) for name in names
    ]
    with served(Unhurried()) as url:
        page = visit(url)
        answers = f"document.querySelectorAll('{KEPT} b').length"
        upload(page, photos[:4])
        page.wait_for_function(f"{answers} >= 1")
        page.locator(KEPT).first.click()
        go_on = page.get_by_role("button", name="Go on with those that wait (3)")
        go_on.wait_for()
        shows(page, "gauge", "4.14")
        page.wait_for_timeout(1500)
        assert page.evaluate(answers) == 1
        assert page.locator(f"{KEPT}[aria-current]").get_attribute("title") == "200.png"
        go_on.click()
        page.wait_for_function(f"{answers} >= 2")
        drop(page, [photos[4]], "#photo")  # while the others are asked about
        page.wait_for_function(f"{answers} === 5", timeout=60_000)
        assert not go_on.is_visible()


FORBIDDEN = "Object.defineProperty(window, 'sessionStorage', { get() { throw new Error('forbidden'); } });"
FULL = "Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError'); };"
RUBBISH = (
    "sessionStorage['q-insight-answered'] ??= "
    """'[7, null, {"name": "a", "thumb": "javascript:window.hacked=1", "values": [null, []]}, {"name": 1}]';"""
)


@pytest.mark.parametrize("script", [FORBIDDEN, FULL, RUBBISH], ids=["forbidden", "full", "rubbish"])
def test_without_room_to_remember_the_page_works_and_says_so_once(
    visit: Callable[..., Any], tmp_path: Path, script: str
) -> None:
    bright, dark = shades(tmp_path)
    with served(PixelEngine()) as url:
        page = visit(url)
        page.add_init_script(script)
        page.reload()
        shows(page, "headline", "scripted")
        page.evaluate("""() => {
            window.noted = [];
            new MutationObserver(all => all.forEach(one => one.addedNodes.forEach(
                node => node.className === 'qi-note' && window.noted.push(node.textContent)
            ))).observe(document.body, { childList: true });
        }""")
        answered(page, bright, "4.14")
        page.wait_for_selector(KEPT)
        page.locator("#photo .icon-button-wrapper button").last.click()
        answered(page, dark, "1.47")
        page.wait_for_function(f"document.querySelectorAll('{KEPT}').length >= 2")
        page.locator(f"{KEPT}[aria-label^='200']").click()
        shows(page, "gauge", "4.14")
        noted = page.evaluate("window.noted")
        assert len([one for one in noted if "no room to remember" in one]) == (script != RUBBISH)
        assert page.evaluate("window.hacked") is None


def test_the_page_opens_with_an_answered_example_and_a_card_of_it_can_be_saved(
    visit: Callable[..., Any],
) -> None:
    engine = ScriptedEngine(SCORE, DIAGNOSIS)
    recordings = Recordings()
    asked = last(ask(engine, assessment(load_photo(SAMPLE))))
    recordings.keep(engine.about, Sampling(), [str(SAMPLE)], asked)
    engine.asked.clear()
    host = Host(lambda progress: engine, recordings=recordings)
    host.start()
    blocks = build_page(host)
    _, url, _ = launch(blocks, host, prevent_thread_lock=True, quiet=True)
    try:
        page = visit(url, viewport={"width": 1920, "height": 1080})
        shows(page, "purpose", "Drop in a photo")
        shows(page, "say", "Good: obvious blur.")
        shows(page, "status", "a recorded reply of scripted")
        shows(page, "advice", "Next time")
        page.locator("#photo img").wait_for()
        assert page.locator("#photo").evaluate("e => e.getBoundingClientRect().height") > 380
        names = page.locator("#examples button.thumbnail-item").evaluate_all(
            "all => all.map(e => e.ariaLabel)"
        )
        assert names[2:4] == ["cat", "cat blurred"]
        page.locator("#gauge summary").click()
        shows(page, "gauge", "mean opinion")
        with page.expect_download() as download:
            page.locator("#assess-card").click()
        assert download.value.suggested_filename == "cat_blurred.q-insight.png"
        assert Image.open(download.value.path()).size[0] == 1200
        assert engine.asked == []
        assert page.locator(KEPT).count() == 0  # nobody asked
    finally:
        blocks.close(verbose=False)


def test_on_a_phone_the_wait_tells_its_stage_and_time_and_the_result_comes_into_view(
    visit: Callable[..., Any],
) -> None:
    with served(Unhurried()) as url:
        phone = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
        page = visit(url, **phone)
        page.locator("#examples button.thumbnail-item").last.tap()
        page.wait_for_selector("#say progress")
        shows(page, "say", "Thinking")
        page.wait_for_function("/^[1-9]/.test(document.querySelector('.qi-clock')?.textContent)")
        page.wait_for_selector("#say .qi-sentence:has-text('underexposed')")
        page.wait_for_function("""() => {
            const { top, bottom } = document.querySelector("#say").getBoundingClientRect();
            return top >= 0 && bottom <= innerHeight;
        }""")
        small = page.evaluate("""() => [...document.querySelectorAll(
            "#assess, #stop, #answer summary, #strip-place button, [role=tab], #examples button.thumbnail-item, #answer button"
        )].filter(e => e.offsetParent).filter(e => {
            const { width, height } = e.getBoundingClientRect();
            return width < 44 || height < 44 - 0.5;
        }).map(e => e.outerHTML.slice(0, 80))""")
        assert small == []
