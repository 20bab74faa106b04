"""A page around an engine, and what a visitor does on it in a browser."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from qinsight.page import build_page, launch
from qinsight.page.host import Host
from qinsight.page.line import Job, Line
from qinsight.page.uploads import Darkroom
from qinsight.page.visitors import Visitors
from qinsight.requests import About, Engine
from qinsight.trust.calibration import Calibration
from shared.engines import PatientEngine
from shared.proxies import free_port

TOKEN = "only-at-home"


@contextlib.contextmanager
def served(
    engine: Engine,
    darkroom: Darkroom | None = None,
    *,
    local: bool = False,
    calibration: Callable[[About], Calibration | None] = lambda about: None,
) -> Iterator[str]:
    host = Host(lambda progress: engine, calibration=calibration)
    host.start()
    page = build_page(host, darkroom=darkroom, local=local)
    visitors = Visitors(token="at-home") if local else None
    _, url, _ = launch(page, host, visitors=visitors, prevent_thread_lock=True, quiet=True)
    try:
        yield url + "?token=at-home" * local
    finally:
        page.close(verbose=False)


@contextlib.contextmanager
def served_at_a_port(
    engine: Engine, line: Line | None = None, **options: Any
) -> Iterator[tuple[int, Any, Host]]:
    host = Host(lambda progress: engine, line)
    host.load()
    page = build_page(host, local=options.pop("local", False))
    port = options.setdefault("server_port", free_port())
    launch(page, host, prevent_thread_lock=True, quiet=True, **options)
    try:
        yield port, page, host
    finally:
        page.close(verbose=False)


def engine_of(host: Host, job: Job) -> Engine:
    """The host's engine as that job has it, once it is there."""
    waiting = host.wait(job, str)
    while True:
        try:
            next(waiting)
        except StopIteration as ready:
            return ready.value  # type: ignore[no-any-return]


def upload(page: Any, photo: str | Path | dict[str, Any], where: str = "photo") -> None:
    page.locator(f"#{where} input[type=file]").first.set_input_files(photo)


def choose_folder(page: Any, folder: str | Path) -> None:
    with page.expect_file_chooser() as chooser:
        page.locator("#choose-folder").click()
    chooser.value.set_files(folder)


def drop(page: Any, paths: list[str], where: str) -> None:
    """Let files and folders of this computer fall on an element, as a hand would."""
    page.locator(where).first.scroll_into_view_if_needed()
    box = page.locator(where).first.bounding_box()
    dragged = {"items": [], "files": paths, "dragOperationsMask": 1}
    place = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2, "data": dragged}
    hand = page.context.new_cdp_session(page)
    for step in ("dragEnter", "dragOver", "dragOver", "dragOver", "drop"):  # a hand moves until it lets go
        hand.send("Input.dispatchDragEvent", {"type": step, **place})


def shows(page: Any, elem_id: str, words: str) -> None:
    """Wait until the element shows the words; fails with what it shows instead."""
    try:
        page.locator(f"#{elem_id}", has_text=words).first.wait_for(timeout=20_000)
    except Exception as error:  # playwright's own, imported only where it is installed
        shown = page.locator(f"#{elem_id}").inner_text()
        raise AssertionError(f"expected {words!r} in #{elem_id}, which shows {shown!r}") from error


def use(page: Any, photo: Path, engine: PatientEngine) -> None:
    """Upload a photo, read its answer; ask again, read words as they are thought, and stop."""
    upload(page, photo)
    shows(page, "gauge", "4.25")
    page.wait_for_function("!document.querySelector('#assess').disabled")
    page.locator("#assess").click()
    shows(page, "score-words", "and on and on")
    page.locator("#stop").click()
    assert engine.stopped.wait(5)


def eventually(holds: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def rated_shoot(browser: Any, url: str, folder: Path, photos: int) -> Any:
    """A page of this computer's own person with the folder opened in Shoot and all its photos rated."""
    page = browser.new_context(viewport={"width": 1360, "height": 900}).new_page()
    page.set_default_timeout(30_000)
    page.goto(url)
    page.wait_for_selector("#headline p:has-text('Preview model')")
    page.get_by_role("tab", name="Shoot").click()
    path = page.locator("#rank-path textarea, #rank-path input").first
    path.fill(str(folder))
    path.press("Enter")
    page.wait_for_selector(".qi-card")
    page.locator("#rank").click()
    shows(page, "rank-status", f"{photos} photos rated.")
    return page
