"""The loupe: what is looked at is the photo as it is read, by whom it was shown to, for as long as it lives."""

import base64
import io
import json
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from qinsight.page import loupe
from qinsight.page.loupe import KEPT, TILE, WAITING, Loupes, levels
from qinsight.page.uploads import Darkroom, Janitor
from qinsight.photos import Photo, load_photo
from shared.api import served as served_to_programs
from shared.engines import A_FIRST, B_FIRST, DIAGNOSIS, SCORE, PixelEngine, ScriptedEngine
from shared.icc_profiles import matrix_profile
from shared.pages import eventually, served, shows, upload
from shared.photo_files import exif, noise

P3 = [(0.680, 0.320), (0.265, 0.690), (0.150, 0.060)]


def drawn(path: Path, width: int = 1100, height: int = 700, **options: Any) -> Path:
    """A photo of which no two pixels are alike by chance."""
    Image.fromarray(noise(height, width, 3, seed=7)).save(path, **options)
    return path


@pytest.fixture
def strangers(tmp_path: Path) -> dict[str, Path]:
    """A photo of each kind that could come to other pixels on its way."""
    deep = np.arange(700 * 1100, dtype=np.uint32).reshape(700, 1100) % 65_536
    Image.fromarray(deep.astype(np.uint16)).save(tmp_path / "sixteen.png")
    return {
        "plain": drawn(tmp_path / "plain.png"),
        "sixteen bits": tmp_path / "sixteen.png",
        "P3": drawn(tmp_path / "p3.png", icc_profile=matrix_profile(P3, 2.2)),
        "turned": drawn(tmp_path / "turned.jpg", quality=92, exif=exif(6)),
    }


def put_together(ask: Callable[[str], Any], width: int, height: int) -> Image.Image:
    """The whole photo from its tiles."""
    whole = Image.new("RGB", (width, height))
    for left in range(0, width, TILE):
        for top in range(0, height, TILE):
            answer = ask(f"/0/{left // TILE}/{top // TILE}.png")
            assert answer.headers["content-type"] == "image/png"
            assert "no-store" in answer.headers["cache-control"]
            whole.paste(Image.open(io.BytesIO(answer.content)), (left, top))
    return whole


def test_the_pixels_at_100_percent_are_those_of_load_photo_and_the_facts_are_of_all_of_them(
    strangers: dict[str, Path],
) -> None:
    with served_to_programs(ScriptedEngine(SCORE)) as page:
        for kind, path in strangers.items():
            number, photo = page.blocks.loupes.number(str(path)), load_photo(path)
            facts = page.http.get(f"loupe/{number}").json()
            assert (facts["width"], facts["height"]) == photo.size, kind
            found = put_together(
                lambda place, number=number: page.http.get(f"loupe/{number}{place}"), *photo.size
            )
            assert found.tobytes() == photo.tobytes(), kind
            pixels = np.asarray(photo)
            assert facts["blown"] == pytest.approx((pixels.max(axis=2) >= 254).mean())
            assert facts["blocked"] == pytest.approx((pixels.max(axis=2) <= 2).mean())
            assert [sum(one) for one in facts["histogram"]] == [photo.width * photo.height] * 3
            small = page.http.get(f"loupe/{number}/{facts['levels']}/0/0.png")
            assert max(Image.open(io.BytesIO(small.content)).size) <= TILE


def test_a_photo_is_asked_for_by_its_number_and_by_nothing_else(strangers: dict[str, Path]) -> None:
    path = strangers["plain"]
    with served_to_programs(ScriptedEngine(SCORE)) as page:
        number = page.blocks.loupes.number(str(path))
        assert len(number) >= 20
        assert str(path) not in number
        assert page.blocks.loupes.number(str(path)) == number
        wrong = (
            *(f"{path}", f"..{path}", f"%2e%2e/{path}", "A" * 22, number[:-1], "", "alive/"),
            *(f"{number}/0/9/9.png", f"{number}/0/-1/0.png", f"{number}/0/0/0.jpg", f"{number}/0/0/0.png/x"),
        )
        for one in wrong:
            answer = page.http.get(f"loupe/{one}")
            assert answer.status_code == 404, one
            assert str(path.parent) not in answer.text
        assert page.http.post(f"loupe/{number}").status_code == 404
        assert page.http.get(f"loupe/{number}", headers={"host": "evil.example"}).status_code == 403


def test_pixels_and_number_go_with_the_upload_and_a_sign_of_life_keeps_it(
    uploads: Path, tmp_path: Path
) -> None:
    with served_to_programs(ScriptedEngine(SCORE)) as page:
        path = Path(page.upload(drawn(tmp_path / "a.png"))["path"])
        loupes = page.blocks.loupes
        number = loupes.number(str(path))
        assert page.http.get(f"loupe/{number}").status_code == 200
        old = time.time() - 3500
        os.utime(path, (old, old))
        assert page.http.get(f"loupe/alive/{number},{'x' * 22}").status_code == 204
        assert path.stat().st_mtime > old + 3000
        os.utime(path, (old - 200, old - 200))
        Janitor(page.blocks, 3600).clean()
        assert not path.exists()
        loupes.sweep()
        assert loupes._originals == {}
        answer = page.http.get(f"loupe/{number}/0/0/0.png")
        assert answer.status_code == 404
        assert "expired" in answer.json()["detail"]
        other = tmp_path / "a.png"  # no upload: a sign of life leaves a person's own file as it is
        os.utime(other, (old, old))
        loupes.sign_of_life([loupes.number(str(other))])
        assert other.stat().st_mtime == pytest.approx(old)


class CountingDarkroom(Darkroom):
    """Decodes slowly, and counts."""

    def __init__(self) -> None:
        super().__init__()
        self.decoded: list[str] = []
        self.go_on = threading.Event()
        self.go_on.set()

    def whole(self, path: str) -> Photo:
        self.decoded.append(path)
        self.go_on.wait(20)
        return super().whole(path)


def test_a_photo_is_decoded_once_for_all_who_look_and_the_memory_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    darkroom = CountingDarkroom()
    loupes = Loupes(darkroom)
    paths = [str(drawn(tmp_path / f"{name}.png", 300, 200)) for name in "abc"]
    numbers = [loupes.number(path) for path in paths]
    with ThreadPoolExecutor(6) as many:
        told = [*many.map(lambda _: loupes.answer(f"loupe/{numbers[0]}/0/0/0.png", "", 1 << 20), range(6))]
    assert len({body for _, body in told}) == 1
    assert darkroom.decoded == paths[:1]
    assert KEPT == 600_000_000
    monkeypatch.setattr(loupe, "KEPT", 2 * 4 * 300 * 200)
    for number in numbers:
        loupes.answer(f"loupe/{number}", "", 1 << 20)
    assert [*loupes._originals] == numbers[1:]
    loupes.answer(f"loupe/{numbers[0]}", "", 1 << 20)
    assert darkroom.decoded == [*paths, paths[0]]


def test_one_visitor_who_asks_too_much_is_told_and_another_is_answered(tmp_path: Path) -> None:
    darkroom = CountingDarkroom()
    loupes = Loupes(darkroom)
    number = loupes.number(str(drawn(tmp_path / "a.png", 300, 200)))
    darkroom.go_on.clear()
    with ThreadPoolExecutor(WAITING) as many:
        asked = [many.submit(loupes.answer, f"loupe/{number}", "greedy", 1 << 20) for _ in range(WAITING)]
        eventually(lambda: loupes._asking["greedy"] == WAITING)
        with pytest.raises(loupe.Refused, match="fewer questions"):
            loupes.answer(f"loupe/{number}", "greedy", 1 << 20)
        darkroom.go_on.set()
        assert all(one.result() for one in asked)
    assert loupes.answer(f"loupe/{number}", "greedy", 1 << 20)
    assert not loupes._asking


def test_a_photo_is_halved_until_one_tile_shows_it() -> None:
    assert [levels(*size) for size in ((1, 1), (512, 512), (513, 8), (6000, 4000))] == [0, 0, 1, 4]


# --- in the browser ------------------------------------------------------------------------------------

DRAWN = "[...qiLoupe.views].length && [...qiLoupe.views].every(view => view.drawn)"
NEXT_FRAME = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
PIXELS = """view => {
  const { canvas, facts, glass } = view;
  const left = Math.round(canvas.width / 2 - glass.x * facts.width);
  const top = Math.round(canvas.height / 2 - glass.y * facts.height);
  const seen = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  return { left, top, width: canvas.width, height: canvas.height, seen: Array.from(seen) };
}"""


def at_full_size(page: Any, place: int = 0) -> tuple[np.ndarray, int, int]:
    """What the loupe shows at 100 %, and which pixel of the photo is at its left upper corner."""
    page.evaluate(NEXT_FRAME)  # a key moves the glass at once, and what it shows with the next picture
    page.wait_for_function(DRAWN)
    found = page.evaluate(f"({PIXELS})([...qiLoupe.views].filter(view => !view.still)[{place}])")
    seen = np.array(found["seen"], dtype=np.uint8).reshape(found["height"], found["width"], 4)
    return seen[..., :3], -found["left"], -found["top"]


def middle_of(page: Any, name: str, right: float = 0.5, down: float = 0.5) -> tuple[float, float]:
    box = page.locator(name).first.bounding_box()
    return box["x"] + box["width"] * right, box["y"] + box["height"] * down


@pytest.mark.browser
def test_in_assess_the_photos_own_pixels_are_looked_at_with_a_key_the_wheel_and_a_hand(
    visit: Callable[..., Any], tmp_path: Path
) -> None:
    path = drawn(tmp_path / "large.png", 2400, 1600)
    with served(ScriptedEngine(SCORE, DIAGNOSIS)) as url:
        page = visit(url, viewport={"width": 1360, "height": 860})
        upload(page, path)
        shows(page, "gauge", "4.25")
        page.locator(".qi-over.qi-there").wait_for()
        shows(page, "photo", "the model saw 1/4 of these pixels")
        line = page.locator("#photo .qi-line").evaluate("line => getComputedStyle(line).color")
        assert line == "rgb(255, 255, 255)"  # on its dark ground
        x, y = middle_of(page, ".qi-over canvas", 0.3, 0.6)
        page.mouse.move(x, y)
        before = page.evaluate(SPOT, [x, y])
        page.keyboard.press("z")
        shows(page, "photo", "100 %")
        assert page.evaluate(SPOT, [x, y]) == pytest.approx(before, abs=1)
        seen, left, top = at_full_size(page)
        original = np.asarray(load_photo(path))
        assert (seen == original[top : top + seen.shape[0], left : left + seen.shape[1]]).all()
        page.mouse.down()
        page.mouse.move(x - 40, y - 25, steps=3)
        page.mouse.up()
        page.wait_for_timeout(100)
        seen, moved, down = at_full_size(page)
        assert (moved, down) == (left + 40, top + 25)
        assert (seen == original[down : down + seen.shape[0], moved : moved + seen.shape[1]]).all()
        page.mouse.wheel(0, -120)
        page.wait_for_function("[...qiLoupe.views][0].glass.times > 1")
        for key, name in (("h", "blown"), ("s", "blocked"), ("g", "histogram")):
            page.keyboard.press(key)
            page.locator(f"[data-tool={name}][aria-pressed=true]").wait_for()
        page.keyboard.press("z")
        page.keyboard.press("z")
        page.wait_for_function("[...qiLoupe.views][0].glass.times === 1")
        page.evaluate(PINCH)
        page.wait_for_function("Math.abs([...qiLoupe.views][0].glass.times - 3) < 0.2")
        page.locator("#examples button").first.click()
        page.wait_for_function("document.querySelector('.qi-over')?.dataset.name === 'astronaut.jpg'")


PINCH = """() => {
  const { canvas } = [...qiLoupe.views][0], { left, top } = canvas.getBoundingClientRect();
  const tell = (kind, pointerId, x) => canvas.dispatchEvent(
    new PointerEvent(kind, { pointerId, pointerType: "touch", clientX: left + x, clientY: top + 200 }));
  tell("pointerdown", 1, 200), tell("pointerdown", 2, 250);
  tell("pointermove", 2, 350);
  tell("pointerup", 1, 200), tell("pointerup", 2, 350);
}"""
SPOT = """([x, y]) => {
  const { canvas, glass, facts } = [...qiLoupe.views][0], box = canvas.getBoundingClientRect();
  const by = Math.min(canvas.width / facts.width, canvas.height / facts.height) * glass.times;
  return [glass.x * facts.width + (x - box.left - canvas.width / 2) / by,
          glass.y * facts.height + (y - box.top - canvas.height / 2) / by];
}"""


@pytest.mark.browser
def test_two_photos_are_compared_by_themselves_in_step_and_change_places_while_space_is_held(
    visit: Callable[..., Any], tmp_path: Path
) -> None:
    a, b = drawn(tmp_path / "a.png"), drawn(tmp_path / "b!.jpg", quality=60)  # Gradio drops the sign
    thought = [["<think>Image A has the first image's grain.</think><answer>Image A</answer>"], B_FIRST]
    with served(ScriptedEngine(*thought[::-1])) as url:
        page = visit(url, viewport={"width": 1360, "height": 860})
        page.get_by_role("tab").nth(1).click()
        upload(page, a, "photo-a")
        page.locator("#photo-a img").wait_for()
        upload(page, b, "photo-b")
        shows(page, "verdict", "Photo B is better, in both orders.")
        shows(page, "slider", "Better, clearly: b!.jpg")
        shows(page, "second-words", "what it calls Image A is your photo B")
        assert "Image A" in page.locator("#second-words").inner_text()
        assert page.locator("#second-words .qi-app").all_inner_texts() == ["your B", "your B"]
        page.locator("[data-as-it-is]").click()
        assert not page.locator("#second-words .qi-app").first.is_visible()
        page.mouse.move(*middle_of(page, ".qi-pane canvas", 0.4, 0.4))
        page.keyboard.press("z")
        page.wait_for_function(
            "[...document.querySelectorAll('.qi-pane .qi-line')].every(one => one.innerText.includes('100 %'))"
        )
        for photo, place in ((a, 0), (b, 1)):
            seen, left, top = at_full_size(page, place)
            original = np.asarray(load_photo(photo))
            corner = (left, top) if not place else corner  # noqa: F821
            assert (left, top) == pytest.approx(corner, abs=1)
            part = original[max(0, top) : top + seen.shape[0], max(0, left) : left + seen.shape[1]]
            from_ = (max(0, -top), max(0, -left))
            assert (seen[from_[0] :, from_[1] :][: part.shape[0], : part.shape[1]] == part).all()
        side = "document.querySelectorAll('.qi-pane')[0].getBoundingClientRect().left"
        rest = page.evaluate(side)
        page.mouse.click(*middle_of(page, "#verdict"))
        page.keyboard.down(" ")
        page.wait_for_function(f"{side} > {rest} + 100")
        page.keyboard.up(" ")
        page.wait_for_function(f"{side} === {rest}")
        asked = page.evaluate("document.querySelector('#compare').disabled")
        page.locator("[data-mode=slider]").focus()
        page.keyboard.press(" ")  # presses the button, as contract and habit have it
        page.wait_for_function("document.querySelector('.qi-pair').dataset.mode === 'slider'")
        assert asked is False
        page.locator("[data-mode=side]").click()  # what the mouse pressed does not take the key
        page.keyboard.down(" ")
        page.wait_for_function("document.querySelector('.qi-pair').hasAttribute('data-flipped')")
        page.keyboard.up(" ")
        page.keyboard.press("z")
        page.locator(".qi-pane").first.click()
        page.mouse.move(*middle_of(page, ".qi-pane >> nth=1", 0.2, 0.2))
        page.keyboard.press("z")
        page.wait_for_function("[...qiLoupe.views].some(one => one.glass.times > 1 && one.glass.x < 0.45)")


@pytest.mark.browser
def test_undecided_says_what_each_order_answered_and_unlike_shapes_open_side_by_side(
    visit: Callable[..., Any], tmp_path: Path
) -> None:
    a, b, c = (
        drawn(tmp_path / name, *size)
        for name, size in (("a.png", (300, 200)), ("b.png", (200, 300)), ("c.png", (300, 200)))
    )
    with served(ScriptedEngine(A_FIRST, A_FIRST)) as url:
        page = visit(url, viewport={"width": 1360, "height": 860})
        page.get_by_role("tab").nth(1).click()
        upload(page, [a, b, c], "photo-a")  # A, and two to be paged in B
        shows(page, "orders", "Shown A first, the model answered: A is better. Shown B first: B is better.")
        page.wait_for_function("document.querySelector('.qi-pair').dataset.mode === 'side'")
        assert page.locator("[data-mode=slider]").is_disabled()
        pinned = page.locator("#photo-a img").get_attribute("src")
        page.locator("#film-photo-b button").nth(1).click()
        page.wait_for_function("document.querySelectorAll('.qi-pane')[1]?.dataset.name === 'c.png'")
        page.locator("[data-mode=slider]:enabled").wait_for()
        assert page.locator("#photo-a img").get_attribute("src") == pinned
        assert page.evaluate("document.querySelectorAll('.qi-pane')[0].dataset.name") == "a.png"


@pytest.mark.browser
def test_several_files_of_any_kind_are_assessed_in_turn_and_their_answers_are_kept(
    visit: Callable[..., Any], tmp_path: Path
) -> None:
    for name, shade in (("one.jpg", 200), ("two.tif", 120), ("three.png", 40)):
        Image.new("RGB", (112, 84), (shade,) * 3).save(tmp_path / name)
    (tmp_path / "two.tif").rename(tmp_path / "two.odd")  # as a browser sees a RAW: of no known kind
    (tmp_path / "paper.pdf").write_bytes(b"%PDF-1.4 hello")
    engine = PixelEngine()
    with served(engine) as url:
        page = visit(url)
        files = [tmp_path / name for name in ("one.jpg", "two.odd", "paper.pdf", "three.png")]
        upload(page, files)
        page.wait_for_function("document.querySelectorAll('#strip-place b').length === 4")
        assert page.locator("#strip-place b").all_inner_texts() == ["4.14", "2.88", "!", "1.63"]
        shows(page, "gauge", "1.63")
        asked = len(engine.asked)
        page.locator("#strip-place button.qi-kept").nth(1).click()
        shows(page, "gauge", "2.88")
        shows(page, "status", "TIFF, 112 × 84")
        score, _ = json.loads(page.evaluate("qi.record('assess').json"))
        assert score["photo"] == "two.odd"
        assert len(engine.asked) == asked
        page.locator("#assess").click()
        eventually(lambda: len(engine.asked) == asked + 1)
        photos = engine.asked[-1][0][0].photos
        assert photos[0].getpixel((0, 0)) == (120, 120, 120)
        page.locator("#strip-place button.qi-kept").nth(2).click()
        shows(page, "photo", "Expected a photo, got a PDF")
        assert page.locator(".toast-body").count() == 0
        assert not page.locator("#photo img").is_visible() or page.locator(".qi-over").is_visible()
        page.locator("#strip-place").get_by_role("button", name="Clear").click()
        page.wait_for_function("document.querySelector('#strip-place').hidden")


FRAMED = """<!doctype html><title>A Space</title>
<iframe src="{url}" width="1200" height="800"></iframe>"""
PASTE = """sent => {
  const brought = new DataTransfer(), bytes = Uint8Array.from(atob(sent), one => one.charCodeAt(0));
  brought.items.add(new File([bytes], "pasted.png", { type: "image/png" }));
  const told = { bubbles: true, cancelable: true, clipboardData: brought };
  document.body.dispatchEvent(new ClipboardEvent("paste", told));
}"""
FORBIDDEN = "for (const name of ['localStorage', 'sessionStorage'])" + (
    " Object.defineProperty(window, name, { get() { throw new Error('forbidden'); } });"
)


@pytest.mark.browser
def test_in_a_frame_that_may_store_nothing_a_pasted_photo_is_assessed_and_looked_at(
    visit: Callable[..., Any], tmp_path: Path
) -> None:
    path = drawn(tmp_path / "pasted.png", 900, 600)
    with served(ScriptedEngine(SCORE, DIAGNOSIS)) as url:
        page = visit(url, viewport={"width": 1300, "height": 860})
        page.add_init_script(FORBIDDEN)
        page.set_content(FRAMED.format(url=url))
        frame = page.frame_locator("iframe")
        frame.locator("#headline p", has_text="scripted").wait_for()
        frame.locator("h1").first.click()  # a frame has the keys once something in it was clicked
        inside = page.frames[1]
        inside.evaluate(PASTE, base64.b64encode(path.read_bytes()).decode())
        frame.locator("#gauge", has_text="4.25").wait_for()
        frame.locator("#status p", has_text="by scripted").wait_for()
        inside.wait_for_function("document.querySelector('#stop').disabled")
        frame.locator(".qi-over.qi-there").wait_for()
        page.keyboard.press("z")
        frame.locator(".qi-over .qi-line", has_text="100 %").wait_for()
        seen, left, top = at_full_size(inside)
        part = np.asarray(load_photo(path))[max(0, top) :, max(0, left) :][: seen.shape[0], : seen.shape[1]]
        height, width = part.shape[:2]
        assert (seen[max(0, -top) :, max(0, -left) :][:height, :width] == part).all()
