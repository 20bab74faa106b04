"""An answer never stands beside another photo: every way to choose one, at every moment, on a busy machine."""

import base64
import contextlib
import io
import json
import random
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from qinsight.errors import Stopped
from qinsight.page.assess_tab import EXAMPLES
from qinsight.page.compare_tab import PAIRS
from qinsight.photos import read_photo
from qinsight.photos.view import view
from qinsight.prompts import Task
from qinsight.requests import About, Delta, Finish, Request, Sampling
from shared.engines import PixelEngine, ScriptedEngine
from shared.pages import choose_folder, drop, eventually, served, shows, upload
from shared.pictures import photo_file

pytestmark = pytest.mark.browser
SIZES = ((224, 168), (112, 168), (140, 140), (196, 84), (84, 196), (168, 168))


def sum_of(image: Image.Image) -> int:
    """What tells one photo from another, for the engine and for what the page shows."""
    return zlib.crc32(view(image, 1_003_520).tobytes()) % 401


def rating_of(image: Image.Image) -> float:
    return 1 + sum_of(image) / 100


class SeeingEngine(ScriptedEngine):
    """Says of each photo what only this photo has, slowly; `close` is set when its last words are due."""

    def __init__(self, pause: float, steps: int = 8) -> None:
        super().__init__([""])
        self.pause, self.steps = pause, steps
        self.begun, self.close = threading.Event(), threading.Event()
        self.working = 0

    def stream(
        self,
        requests: Sequence[Request],
        sampling: Sampling = Sampling(),  # noqa: B008 (frozen)
        *,
        max_pixels: int | None = None,
        stop: threading.Event | None = None,
        watched: bool = True,
    ) -> Iterator[Delta]:
        self.asked.append((list(requests), sampling, max_pixels))
        self.working += 1
        try:
            steps = self.steps
            for step in range(steps):
                last = step == steps - 1
                if last:
                    self.close.set()
                if stop is not None and stop.wait(self.pause):
                    raise Stopped("Stopped.")
                for number, request in enumerate(requests):
                    words = self._last(request) if last else self._thought(request, step)
                    yield Delta(number, words, finish=Finish.STOP if last else None)
                self.begun.set()
        finally:
            self.working -= 1

    def _thought(self, request: Request, step: int) -> str:
        seen = " ".join(f"photo{sum_of(photo)}" for photo in request.photos)
        return f"<think>{seen} " if step == 0 else "and "

    def _last(self, request: Request) -> str:
        if request.task is Task.SCORE:
            answer = json.dumps({"rating": rating_of(request.photos[0])})
        elif request.task is Task.DEGRADATION:
            level = ("slight", "obvious", "serious")[sum_of(request.photos[0]) % 3]
            answer = json.dumps({"distortion_class": "blur", "severity": level})
        else:
            a, b = (sum_of(photo) for photo in request.photos[-2:])
            answer = "Image A" if a > b else "Image B"
        return f"</think><answer>{answer}</answer>"


@dataclass
class Table:
    """A page with the Assess tab open, and what should lie on its table."""

    page: Any
    folder: Path
    example: int | None = None  # opened last, as the keys N and P count
    count: int = 0
    photo: Image.Image | None = None
    file: str = ""
    problems: list[str] = field(default_factory=list)

    def watch(self) -> None:
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on(
            "console", lambda told: self.problems.append(told.text) if "template" in told.text else None
        )

    def _new(self, name: str, **options: Any) -> str:
        """A photo that was never shown."""
        self.count += 1
        size = SIZES[self.count % len(SIZES)]
        colour = (self.count * 37 % 256, self.count * 101 % 256, self.count * 59 % 256)
        path = self.folder / f"{self.count}{name}"
        Image.new("RGB", size, colour).save(path, **options)
        self.photo, self.file = read_photo(path.read_bytes()).image, path.name
        return str(path)

    def by_upload(self) -> None:
        upload(self.page, self._new(".jpg", quality=95))

    def by_raw(self) -> None:
        """A photo that no browser shows."""
        upload(self.page, self._new(".tif"))

    def by_drop(self) -> None:
        content = base64.b64encode(Path(self._new(".png")).read_bytes()).decode()
        self.page.evaluate(DROP, [content, self.file])

    def by_paste(self) -> None:
        content = base64.b64encode(Path(self._new(".png")).read_bytes()).decode()
        self.page.evaluate(PASTE, [content, self.file])

    def by_example(self, place: int | None = None) -> None:
        place = self.count % len(EXAMPLES) if place is None else place
        self.count += 1
        self._turn_to(place)
        self.page.locator("#examples .thumbnail-item").nth(place).click()

    def by_next(self) -> None:
        self._turn_to(0 if self.example is None else (self.example + 1) % len(EXAMPLES))
        self.page.keyboard.press("n")

    def by_previous(self) -> None:
        self._turn_to((0 if self.example is None else self.example) - 1)
        self.page.keyboard.press("p")

    def _turn_to(self, place: int) -> None:
        self.example = place % len(EXAMPLES)
        path = EXAMPLES[self.example]
        self.photo, self.file = read_photo(path.read_bytes()).image, path.name

    def by_clearing(self) -> None:
        if self.page.evaluate(CLEAR):  # while the first upload is under way there is nothing to remove
            self.photo = None

    def settled(self) -> None:
        """Nothing runs any more: the answer, the picture and the record are the last photo's."""
        if self.photo is None:
            self.page.wait_for_function("!document.querySelector('#photo img')")
            shows(self.page, "gauge", "–")
            self.page.wait_for_function("!document.querySelector('#assess').disabled")
            assert self.words("status") == ""
            assert self.words("score-words") == ""
            assert self.page.evaluate("qi.record('assess')") is None
            return
        rating = f"{rating_of(self.photo):.2f}"
        try:
            self.page.wait_for_function(
                "rating => document.querySelector('#gauge').innerText.includes(rating)"
                " && !document.querySelector('#assess-copy').disabled",
                arg=rating,
                timeout=30_000,
            )
        except Exception as error:  # playwright's own, imported only where it is installed
            shown = self.page.locator("body").inner_text()
            raise AssertionError(f"expected {rating} for {self.file}, got {shown!r}") from error
        self.is_true()

    def is_true(self) -> None:
        """What is shown, copied and saved is this photo's."""
        assert self.photo is not None
        mark, width, height = f"photo{sum_of(self.photo)}", *self.photo.size
        assert self.words("score-words").startswith(mark)
        assert self.words("diagnosis-words").startswith(mark)
        assert f"{width} × {height}" in self.words("status")
        assert "scripted" in self.words("status")
        assert self.words("problem") == ""
        record = self.page.evaluate("qi.record('assess')")
        score, diagnosis = json.loads(record["json"])
        assert Path(score["photo"]).stem == Path(diagnosis["photo"]).stem == Path(self.file).stem
        assert score["rating"] == pytest.approx(rating_of(self.photo))
        assert mark in record["text"]
        assert self.file.rpartition(".")[0] in record["text"]
        source = self.page.locator("#photo img").first.get_attribute("src")
        picture = Image.open(io.BytesIO(self.page.request.get(source).body()))
        assert sum_of(picture.convert("RGB")) == sum_of(self.photo)
        assert self.page.locator("#stop").is_disabled()
        names = ("assess", "stop", "assess-copy", "assess-save")
        assert all(self.words(name) for name in names)

    def words(self, name: str) -> str:
        found = self.page.locator(f"#{name} [data-say], #{name} .qi-words, button#{name}")
        return str(found.first.inner_text()).strip()


WAYS: dict[str, Callable[[Table], None]] = {
    "upload": Table.by_upload,
    "raw": Table.by_raw,
    "drop": Table.by_drop,
    "paste": Table.by_paste,
    "example": Table.by_example,
    "next": Table.by_next,
    "previous": Table.by_previous,
    "clear": Table.by_clearing,
}
FILE = """
  const bytes = Uint8Array.from(atob(content), one => one.charCodeAt(0));
  const brought = new DataTransfer();
  brought.items.add(new File([bytes], name, { type: "image/png" }));
"""
DROP = f"""([content, name]) => {{ {FILE}
  const target = document.querySelector("#photo img") ?? document.querySelector("#photo");
  const options = {{ bubbles: true, cancelable: true, dataTransfer: brought }};
  for (const type of ["dragenter", "dragover", "drop"]) target.dispatchEvent(new DragEvent(type, options));
}}"""
CLEAR = """() => {
  const button = document.querySelector('#photo [aria-label="Remove Image"]');
  button?.click();
  return Boolean(button);
}"""
PASTE = f"""([content, name]) => {{ {FILE}
  document.body.dispatchEvent(new ClipboardEvent("paste", {{ bubbles: true, cancelable: true, clipboardData: brought }}));
}}"""


@contextlib.contextmanager
def heavy_work() -> Iterator[None]:
    """Something else keeps both cores busy."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


@pytest.mark.parametrize("moment", ["in mid-thought", "in the moment of finishing"])
def test_whatever_way_after_whatever_other_the_last_photo_is_the_one_that_is_answered(
    visit: Callable[..., Any],
    tmp_path: Path,
    moment: str,
) -> None:
    engine = SeeingEngine(0.03)
    with served(engine) as url:
        table = Table(visit(url), tmp_path)
        table.watch()
        for first in WAYS:
            for second in WAYS:
                engine.begun.clear()
                engine.close.clear()
                WAYS[first](table)
                if table.photo is not None:
                    assert (engine.begun if moment == "in mid-thought" else engine.close).wait(20), first
                WAYS[second](table)
                try:
                    table.settled()
                except AssertionError as error:
                    raise AssertionError(f"{second} after {first}") from error
        assert table.problems == []
        eventually(lambda: engine.working == 0)


def test_two_hundred_hasty_choices_on_a_busy_machine_never_leave_another_photos_answer(
    visit: Callable[..., Any],
    tmp_path: Path,
) -> None:
    chosen = random.Random(20261125)
    engine = SeeingEngine(0.02, steps=6)
    with served(engine) as url, heavy_work():
        table = Table(visit(url), tmp_path)
        table.watch()
        for change in range(200):
            WAYS[chosen.choice([*WAYS])](table)
            time.sleep(chosen.choice((0, 0.01, 0.05, 0.15, 0.3)))
            if change % 5 == 4:
                table.settled()
        table.settled()
        assert table.problems == []
        eventually(lambda: engine.working == 0)


@pytest.mark.parametrize(("box", "tab"), [("photo", "Assess"), ("photo-a", "Compare")])
def test_a_photo_that_falls_on_a_box_whose_upload_is_on_its_way_takes_its_place(
    visit: Callable[..., Any], tmp_path: Path, box: str, tab: str
) -> None:
    first, second = (
        photo_file(tmp_path, f"{tone}.png", Image.new("RGB", (140, 112), (tone,) * 3)) for tone in (200, 30)
    )
    with served(PixelEngine()) as url:
        page = visit(url)
        page.get_by_role("tab", name=tab).click()
        held = []
        page.route("**/upload*", lambda route: held.append(route) if not held else route.continue_())
        drop(page, [first], f"#{box}")
        eventually(lambda: page.evaluate("1") and bool(held))
        drop(page, [second], f"#{box}")
        held[0].continue_()
        page.wait_for_function(
            "box => document.querySelector(`#${box} img`)?.src.endsWith('30.png')", arg=box
        )


def test_stop_leaves_a_state_that_says_everywhere_that_it_is_unfinished(
    visit: Callable[..., Any],
    tmp_path: Path,
) -> None:
    engine = SeeingEngine(0.05, steps=200)
    with served(engine) as url:
        table = Table(visit(url), tmp_path)
        table.watch()
        table.by_upload()
        shows(table.page, "score-words", "and and")
        table.page.locator("#stop").click()
        shows(table.page, "status", "Stopped.")
        for part in ("gauge", "band"):
            shows(table.page, part, "stopped before an answer")
        for part in ("score-words", "diagnosis-words"):
            shows(table.page, part, "unfinished")
        for button, enabled in {"assess": True, "stop": False, "assess-copy": False}.items():
            assert table.page.locator(f"#{button}").is_enabled() is enabled
        engine.steps = 3
        table.page.locator("#assess").click()
        table.settled()
        table.by_raw()  # shown as a PNG of our making: what is asked about again is the file that came
        table.settled()
        asked = len(engine.asked)
        table.page.locator("#assess").click()
        eventually(lambda: len(engine.asked) == asked + 1)
        table.settled()
        assert table.problems == []


def test_another_tab_and_another_language_end_nothing_and_what_comes_then_is_in_the_new_language(
    visit: Callable[..., Any],
    tmp_path: Path,
) -> None:
    engine = SeeingEngine(0.05, steps=600)
    with served(engine) as url:
        table = Table(visit(url), tmp_path)
        table.watch()
        table.by_upload()
        shows(table.page, "score-words", "and")
        table.page.get_by_role("tab").nth(1).click()
        table.page.locator("#language input").click()
        table.page.get_by_role("option", name="日本語").click()
        table.page.get_by_role("tab").nth(0).click()
        shows(table.page, "status", "考えています")
        engine.pause = 0
        shows(table.page, "gauge", "5 点満点")
        shows(table.page, "status", "モデル scripted")
        table.is_true()
        assert len(engine.asked) == 1
        assert table.problems == []


COMPARE_WAYS = ("photo-a", "photo-b", "clear", "pair", "next", "swap")


def test_in_compare_no_way_to_change_the_photos_leaves_the_verdict_of_others(
    visit: Callable[..., Any],
    tmp_path: Path,
) -> None:
    engine = SeeingEngine(0.03, steps=12)
    with served(engine) as url:
        table = Table(visit(url), tmp_path)
        table.watch()
        page = table.page
        page.get_by_role("tab").nth(1).click()
        photos: dict[str, Image.Image] = {}
        place = -1

        def laid(where: str) -> None:
            path = table._new(".png")
            photos[where] = Image.open(path).convert("RGB")
            upload(page, path, where)
            page.wait_for_function(
                "([where, name]) => document.querySelector(`#${where} img`)?.src.endsWith(name)",
                arg=[where, table.file],
            )

        def change(way: str) -> None:
            nonlocal place
            if way.startswith("photo"):
                laid(way)
            elif way == "clear":
                page.evaluate("document.querySelector('#photo-b [aria-label=\"Remove Image\"]').click()")
                laid("photo-b")
            elif way == "swap":
                photos["photo-a"], photos["photo-b"] = photos["photo-b"], photos["photo-a"]
                page.locator("#swap").click()
            else:
                place = (place + 1) % len(PAIRS)
                for where, path in zip(("photo-a", "photo-b"), PAIRS[place], strict=True):
                    photos[where] = read_photo(path.read_bytes()).image
                if way == "next":
                    page.keyboard.press("n")
                else:
                    page.locator("#pairs button").nth(place).click()
                name = PAIRS[place][1].name
                page.wait_for_function(
                    "name => document.querySelector('#photo-b img')?.src.endsWith(name)", arg=name
                )

        laid("photo-a")
        laid("photo-b")
        for way in COMPARE_WAYS * 2:
            engine.begun.clear()
            page.wait_for_function("!document.querySelector('#compare').disabled")
            page.locator("#compare").click()
            assert engine.begun.wait(20)
            change(way)
            if way != "swap":
                marks = " ".join(f"photo{sum_of(photos[where])}" for where in ("photo-a", "photo-b"))
                assert table.words("verdict") == ""
                assert table.words("first-words")[: len(marks)] in ("", marks)  # asked about by itself
                assert "Stopped" not in table.words("compare-status")
                page.locator("#compare").click()
            a, b = (sum_of(photos[where]) for where in ("photo-a", "photo-b"))
            page.wait_for_function(  # asked once more, the answer goes and comes again
                "words => !document.querySelector('#compare-copy').disabled"
                " && document.querySelector('#first-words').innerText.trim().startsWith(words)",
                arg=f"photo{a} photo{b}",
            )
            assert table.words("verdict").startswith("Photo A" if a > b else "Photo B"), way
        assert table.problems == []
        page.wait_for_function("!document.querySelector('#slider').hasAttribute('data-old')")


class SideBySideEngine(SeeingEngine):
    """A server that is asked about two photos at a time, and is `slow` from the fifth photo on."""

    slow = True

    def stream(self, requests: Sequence[Request], *others: Any, **more: Any) -> Iterator[Delta]:
        self.steps = 100 if self.slow and sum(len(asked) for asked, _, _ in self.asked) >= 8 else 6
        return super().stream(requests, *others, **more)

    @property
    def about(self) -> About:
        return replace(super().about, in_flight=4)


def rows_of(page: Any) -> int:
    """The cards that are rated."""
    return int(page.locator("#rank-table .qi-card:not([data-waiting])").count())


def test_a_ranking_tells_how_far_it_is_from_the_first_second_and_never_backwards(
    visit: Callable[..., Any],
    tmp_path: Path,
) -> None:
    engine = SideBySideEngine(0.1)
    with served(engine) as url:
        table = Table(visit(url, viewport={"width": 1200, "height": 2400}), tmp_path)
        table.watch()
        page = table.page
        page.get_by_role("tab").nth(2).click()
        page.locator("#rank").click()
        shows(page, "rank-problem", "Choose photos or a folder first.")
        upload(page, [table._new(".png") for _ in range(8)], "rank-files")
        page.wait_for_function("!document.querySelector('#rank-problem p').innerText")
        page.evaluate("""() => {
            window.told = [];
            new MutationObserver(() => {
                const said = document.querySelector("#rank-status p")?.innerText;
                if (said && said !== window.told.at(-1)) window.told.push(said);
            }).observe(document.body, { subtree: true, childList: true, characterData: true });
        }""")
        page.locator("#rank").click()
        eventually(lambda: rows_of(page) == 4)
        page.locator("#rank-stop").click()
        shows(page, "rank-status", "of 8 photos are done.")
        stopped_at = int(table.words("rank-status").split()[1])
        assert 4 <= stopped_at < 8
        engine.slow = False
        asked = len(engine.asked)
        page.locator("#rank").click()
        shows(page, "rank-status", "8 photos rated.")
        eventually(lambda: rows_of(page) == 8)
        assert sum(len(requests) for requests, _, _ in engine.asked[asked:]) == 2 * (8 - stopped_at)
        told = page.evaluate("window.told")
        assert table.problems == []
    (stopped,) = (place for place, said in enumerate(told) if "Stopped" in said)
    first, again = (
        [int(said.split()[0]) for said in run if " of 8" in said]
        for run in (told[:stopped], told[stopped + 1 :])
    )
    assert first[0] == 0
    assert first == sorted(first)
    assert again == sorted(again)
    timed = [said for said in told if "a second" in said]
    assert timed
    assert all(int(said.split()[0]) > 1 for said in timed)


def test_other_photos_chosen_while_a_ranking_runs_end_it_without_a_word_of_stop(
    visit: Callable[..., Any],
    tmp_path: Path,
) -> None:
    engine = SeeingEngine(0.1, steps=30)
    with served(engine) as url:
        table = Table(visit(url), tmp_path)
        table.watch()
        page = table.page
        page.get_by_role("tab").nth(2).click()
        upload(page, [table._new(".png") for _ in range(3)], "rank-files")
        page.wait_for_function("document.querySelectorAll('#rank-files tr').length >= 3")
        page.locator("#rank").click()
        assert engine.begun.wait(20)
        (table.folder / "shoot").mkdir()
        Image.new("RGB", (56, 84), (9, 99, 200)).save(table.folder / "shoot" / "other.png")
        choose_folder(page, table.folder / "shoot")
        eventually(lambda: engine.working == 0)
        page.wait_for_function("!document.querySelector('#rank').disabled")
        assert "Stopped" not in table.words("rank-status")
        engine.steps = 3
        page.locator("#rank").click()
        shows(page, "rank-status", "photos rated.")
        assert table.problems == []
