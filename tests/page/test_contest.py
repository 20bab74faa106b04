"""Which frame of a burst is best, asked on the light table: order with intervals, and "cannot tell" where it is so."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from PIL import Image, ImageEnhance

from qinsight.page import build_page
from qinsight.page.contest_tab import ContestTab
from qinsight.page.host import Host
from qinsight.page.lightbox import Lightbox
from qinsight.photos.listing import look
from qinsight.requests import Engine
from shared.axe import violations
from shared.cameras import EXAMPLES, taken
from shared.engines import ENDLESS, Judge, PatientEngine
from shared.judges import PairJudge, frames
from shared.pages import served, shows


def burst(folder: Path, light: tuple[float, ...] = (0.94, 0.97, 1.0)) -> None:
    """Frames of one second that differ a little in brightness."""
    cat = Image.open(EXAMPLES / "cat.jpg").resize((300, 200))
    for number, factor in enumerate(light):
        when = f"2026:11:26 10:05:0{number}"
        taken(folder / f"burst{number}.jpg", when, image=ImageEnhance.Brightness(cat).enhance(factor))


def contest(engine: Engine, folder: Path) -> tuple[ContestTab, list[str]]:
    """The tab of a page, and the numbers of the folder's photos on its light table."""
    host = Host(lambda progress: engine)
    host.load()
    page = build_page(host)
    tab: ContestTab = next(
        f.fn.__self__ for f in page.fns.values() if isinstance(getattr(f.fn, "__self__", None), ContestTab)
    )
    box = Lightbox(folder, look(folder).frames, uploaded=False)
    tab.lightboxes.add(box)
    return tab, [box.number(place) for place in range(len(box.frames))]


def asked(tab: ContestTab, numbers: Any, language: str = "en") -> list[Any]:
    """The last values of the tab's outputs: the table, the status, a problem, the result."""
    request = gr.Request(session_hash="visitor", client=None, headers={"accept-language": language})
    values = tab.turn_to({"number": time.monotonic_ns() % 2**53, "frames": numbers}, request)
    for values in tab.run(request):  # noqa: B007
        pass
    return values


def shades(place: Path, count: int) -> Path:
    folder = place / "shoot"
    folder.mkdir()
    for number, image in enumerate(frames(count)):
        image.resize((60, 60)).save(folder / f"{number}.png")
    return folder


def test_the_best_is_named_with_intervals_in_every_language(tmp_path: Path) -> None:
    tab, numbers = contest(PairJudge(), shades(tmp_path, 6))
    best = max(range(6), key=lambda place: Image.open(tmp_path / "shoot" / f"{place}.png").getpixel((0, 0)))
    for language, said in (
        ("en", f"{best}.png is the best."),
        ("zh", f"{best}.png 最好。"),
        ("ja", f"{best}.png が最も良い。"),
    ):
        *_, problem, result = asked(tab, numbers, language)
        assert problem["shown"] == ""
        shown = result["shown"]
        assert shown["said"] == said
        assert shown["rows"][0][0] == numbers[best]
        assert len(shown["rows"]) == 6
        if language != "en":
            assert not any("Asked" in line or "Order:" in line for line in shown["lines"])


def test_a_judge_that_prefers_a_place_names_nobody(tmp_path: Path) -> None:
    tab, numbers = contest(PairJudge(always="Image A"), shades(tmp_path, 4))
    shown = asked(tab, numbers)[-1]["shown"]
    assert shown["said"].startswith("Cannot tell: the model changed its mind")
    assert any("The model prefers the photo shown first" in line for line in shown["lines"])


def test_a_frame_that_cannot_be_read_is_left_out_and_said(tmp_path: Path) -> None:
    folder = shades(tmp_path, 3)
    (folder / "rubbish.png").write_bytes(b"rubbish")
    tab, numbers = contest(PairJudge(), folder)
    shown = asked(tab, numbers)[-1]["shown"]
    assert len(shown["rows"]) == 3
    assert any("rubbish.png: expected a photo" in line for line in shown["lines"])


@pytest.mark.parametrize(
    "numbers", [None, [], "abc", ["1"], [7, None], ["../../etc"], {"a": 1}, ["9" * 30, "8" * 30]]
)
def test_what_names_no_frames_is_refused_in_a_sentence(numbers: Any, tmp_path: Path) -> None:
    tab, _ = contest(PairJudge(), shades(tmp_path, 2))
    request = gr.Request(session_hash="visitor", client=None, headers={})
    values = tab.turn_to({"number": 1, "frames": numbers}, request)
    assert values[2]["shown"] == "Expected 2 to 12 frames for a tournament, got 0."
    assert [*tab.run(request)] == []


def test_more_frames_than_a_tournament_takes_are_refused(tmp_path: Path) -> None:
    tab, numbers = contest(PairJudge(), shades(tmp_path, 20))
    assert "got 20" in asked(tab, numbers)[2]["shown"]


@pytest.fixture
def table(browser: Any, tmp_path: Path) -> Iterator[Any]:
    """A burst that is rated, in a page of its own."""
    burst(tmp_path / "shoot")
    with served(Judge(), local=True) as url:
        page = browser.new_context(viewport={"width": 1360, "height": 900}).new_page()
        page.set_default_timeout(30_000)
        page.goto(url)
        page.wait_for_selector("#headline p:has-text('judge')")
        page.get_by_role("tab", name="Shoot").click()
        path = page.locator("#rank-path textarea, #rank-path input").first
        path.fill(str(tmp_path / "shoot"))
        path.press("Enter")
        page.wait_for_selector(".qi-card")
        page.locator("#rank").click()
        shows(page, "rank-status", "3 photos rated.")
        page.wait_for_function("document.querySelectorAll('.qi-card').length === 1")  # it lies folded
        yield page
        page.context.close()


@pytest.mark.browser
def test_a_burst_is_settled_from_the_large_view_and_a_persons_pick_stays(table: Any) -> None:
    page = table
    page.locator(".qi-card").first.focus()
    page.keyboard.press("x")  # a person rejects the one that will win
    page.locator(".qi-look button", has_text="Which is best").click()
    shows(page, "contest", "burst2.jpg is the best.")
    assert "of at most" in page.locator("#contest-status").inner_text()
    assert violations(page) == []
    page.locator("#contest [data-frame]").first.focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.querySelector('small').textContent") == "burst2.jpg"
    assert page.evaluate("document.activeElement.dataset.verdict") == "rejected"
    assert page.locator(".qi-card").count() == 3  # the burst lies open


def test_stop_ends_a_tournament(tmp_path: Path) -> None:
    engine = PatientEngine(ENDLESS)
    tab, numbers = contest(engine, shades(tmp_path, 3))
    request = gr.Request(session_hash="visitor", client=None, headers={})
    tab.turn_to({"number": 1, "frames": numbers}, request)

    def press_stop() -> None:
        engine.begun.wait(20)
        tab.stop_it({"number": 1}, request)

    hand = threading.Thread(target=press_stop)
    hand.start()
    running = [values[0]["running"] for values in tab.run(request)]
    hand.join()
    assert engine.stopped.is_set()
    assert not running[-1]
