"""A whole cull by keyboard in headless Chromium, and how fast many cards scroll.

    python tests/benchmarks/cull.py PHOTOS [--photos 500] [--megapixels 12] [--cards 2000]

Of the photographs in PHOTOS it makes a shoot (bursts, brackets, RAW beside JPEG, one rubbish file) in a folder of this
computer, opens the page on it with a scripted engine, which answers at once, and culls: pick, reject, stars, undo, Stop, a
reload, a lost connection, Compare, exports that exiftool reads. Then it scrolls through `--cards` cards and through as many
plain pictures in turn.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]

from PIL import Image, ImageEnhance
from playwright.sync_api import sync_playwright

from shared.cameras import taken
from shared.engines import PixelEngine
from shared.pages import served

CHROMIUM = {"executable_path": "/usr/bin/chromium", "args": ["--no-sandbox"]}
SCROLL = """async () => {
  const times = [], far = document.documentElement.scrollHeight - innerHeight;
  let before = performance.now();
  for (let step = 0, y = 0; step < 240 && y < far; step++, y += 160) {
    scrollTo(0, y);
    await new Promise(requestAnimationFrame);
    times.push(performance.now() - before);
    before = performance.now();
  }
  scrollTo(0, 0);
  return times;
}"""
PLAIN = """addresses => {
  document.body.innerHTML = '<div style="display:grid;grid-template-columns:repeat(auto-fill,minmax(170px,1fr));gap:8px">'
    + addresses.map(one => `<img src="${one}" loading="lazy" decoding="async" style="width:100%;aspect-ratio:3/2">`).join("")
    + "</div>";
}"""
PRESS = """key => new Promise(done => {
  const before = performance.now(), card = document.querySelector(".qi-card[tabindex='0']");
  card.focus({ preventScroll: true });
  card.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
  requestAnimationFrame(() => setTimeout(() => done(performance.now() - before)));
})"""


def made(folder: Path, sources: list[Path], count: int, megapixels: float) -> None:
    """`count` files: a burst of five in every sixteen, a bracket of three, a RAW with its JPEG, and one that is rubbish."""
    size = round((megapixels * 1e6 * 4 / 3) ** 0.5), round((megapixels * 1e6 * 3 / 4) ** 0.5)
    number = seconds = 0

    def save(image: Image.Image, shutter: int = 250) -> Path:
        nonlocal number, seconds
        number, seconds = number + 1, seconds + 1
        when = f"2026:11:26 {10 + seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
        return taken(folder / f"IMG_{number:04}.jpg", when, seconds=shutter, image=image)

    while number < count - 1:
        with Image.open(sources[number % len(sources)]) as found:
            image = found.convert("RGB").resize(size, Image.Resampling.BILINEAR)
        place = number % 16
        if place == 0:
            for moved in range(5):
                save(image.transform(size, Image.Transform.AFFINE, (1, 0, 3 * moved, 0, 1, moved)))
        elif place == 6:
            for stops in (-2, 0, 2):
                save(ImageEnhance.Brightness(image).enhance(2 ** (0.4 * stops)), round(200 / 2**stops))
        else:
            path = save(image)
            if place == 9:
                path.with_suffix(".DNG").write_bytes(path.read_bytes())
        seconds += 70
    (folder / f"IMG_{number + 1:04}.jpg").write_bytes(b"rubbish")


def timed(what: str, act: Callable[[], Any]) -> Any:
    """Do it, and print the seconds."""
    before = time.perf_counter()
    found = act()
    print(f"{what}: {time.perf_counter() - before:.2f} s", flush=True)
    return found


def opened(page: Any, url: str, folder: Path) -> None:
    """Shoot, with a folder of this computer on the light table."""
    page.goto(url)
    page.wait_for_selector("#headline p:has-text('scripted')")
    page.get_by_role("tab", name="Shoot").click()
    field = page.locator("#rank-path textarea, #rank-path input").first
    field.fill(str(folder))
    count = len({path.stem for path in folder.iterdir() if path.is_file()})
    field.press("Enter")
    cards = f"document.querySelectorAll('.qi-card').length === {count}"
    timed(f"{count} cards are there", lambda: page.wait_for_function(cards))
    seen = "[...document.querySelectorAll('.qi-card img')].filter(one => one.getBoundingClientRect().top < innerHeight)"
    timed("the pictures in view", lambda: page.wait_for_function(f"{seen}.every(one => one.complete)"))


def cull(page: Any, folder: Path) -> None:
    """A person's word by key while the photos are rated, over Stop, a reload and a lost connection; then every export."""
    page.locator("#rank").click()
    timed("the first card is rated", lambda: page.wait_for_selector(".qi-card:not([data-waiting])"))
    keys = ["p", "x", "3", "ArrowRight", "5", "ArrowRight", "x", "p", "ArrowDown", "u"] * 8
    times = [page.evaluate(PRESS, key) for key in keys]
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+z")
    late = statistics.quantiles(times, n=20)[-1]
    print(
        f"a key until it is seen, while photos are rated: {statistics.median(times):.0f} ms, 19 of 20 in {late:.0f} ms"
    )
    page.locator("#rank-stop").click()
    page.wait_for_function("!document.querySelector('#rank').disabled")
    said, counts = page.evaluate("qi.cull.said().marks"), page.locator(".qi-counts").inner_text()
    print(f"stopped: {counts}; {page.locator('#rank-status').inner_text()}")
    page.reload()
    page.wait_for_selector(".qi-card:not([data-waiting])")
    page.wait_for_function("told => document.querySelector('.qi-counts').innerText === told", arg=counts)
    assert page.evaluate("qi.cull.said().marks") == said
    page.locator("#rank").click()
    page.wait_for_timeout(1500)
    page.context.set_offline(True)
    page.wait_for_timeout(4000)
    page.context.set_offline(False)
    status = page.locator("#rank-status")
    lost = time.perf_counter()
    while "photos rated" not in status.inner_text():
        if time.perf_counter() - lost > 900:
            raise SystemExit(f"not done: {status.inner_text()}")
        if page.locator("#rank").is_enabled():
            print("the connection was lost; Rank is pressed again")
            page.locator("#rank").click()
        page.wait_for_timeout(1000)
    print(f"after a lost connection: {status.inner_text()}; {page.locator('.qi-counts').inner_text()}")
    assert page.evaluate("qi.cull.said().marks") == said
    handed_on(page, folder, said)


def handed_on(page: Any, folder: Path, said: dict[str, Any]) -> None:
    """What a person said stands in the XMP, the JSON and the copies."""
    flags = Counter(flag for flag, _ in said.values() if flag)
    with tempfile.TemporaryDirectory() as out:
        with page.expect_download(timeout=120_000) as download:
            page.locator("#download-xmp").click()
        zipfile.ZipFile(download.value.path()).extractall(out)
        tags = ["exiftool", "-j", "-r", "-Rating", "-PersonPick", out]
        told = json.loads(subprocess.run(tags, capture_output=True, check=True).stdout)
    picks = Counter(one["PersonPick"] for one in told if "PersonPick" in one)
    stars = Counter(one["Rating"] for one in told if one.get("PersonPick") != "rejected")
    print(
        f"said {dict(flags)}; sidecars {len(told)}, picks in them {dict(picks)}, stars {dict(sorted(stars.items()))}"
    )
    page.locator("#rank-copies").click()
    page.locator("#rank-taken", has_text="picked frames are in").wait_for(timeout=60_000)
    print(
        page.locator("#rank-taken").inner_text(), "|", len([*(folder / "picks").glob("*.jpg")]), "JPEGs there"
    )
    page.locator(".qi-card").first.click()
    page.keyboard.press("c")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("c")
    page.keyboard.press("c")
    timed(
        "Compare shows both",
        lambda: page.wait_for_function("document.querySelectorAll('.qi-pane.qi-there').length === 2"),
    )


def scrolled(page: Any, rounds: int = 5) -> None:
    """Milliseconds a frame of the light table and of plain pictures, in turn."""
    page.get_by_role("tab", name="Shoot").click()
    addresses = page.evaluate("[...document.querySelectorAll('.qi-card img')].map(one => one.src)")
    plain = page.context.new_page()
    plain.goto(page.url)
    plain.evaluate(PLAIN, addresses)
    ratios = []
    for _ in range(rounds + 1):  # the first of each is not counted: nothing is loaded yet
        found = []
        for one in (page, plain):
            one.bring_to_front()
            found.append(statistics.fmean(one.evaluate(SCROLL)))
        ratios.append(found[0] / found[1])
        print(
            f"a frame: cards {found[0]:.1f} ms, plain pictures {found[1]:.1f} ms, ratio {ratios[-1]:.2f}",
            flush=True,
        )
    print(f"{len(addresses)} cards: ratio {statistics.median(ratios[1:]):.2f}")


def main() -> None:
    """Make the shoots, and run the cull and the scrolling."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sources", type=Path)
    parser.add_argument("--photos", type=int, default=500)
    parser.add_argument("--megapixels", type=float, default=12)
    parser.add_argument("--cards", type=int, default=2000)
    asked = parser.parse_args()
    sources = sorted(
        path for path in asked.sources.iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png")
    )
    with tempfile.TemporaryDirectory() as place, sync_playwright() as playwright:
        browser = playwright.chromium.launch(**CHROMIUM)
        for name, count, megapixels, then in (
            ("shoot", asked.photos, asked.megapixels, cull),
            ("cards", asked.cards, 0.1, lambda page, _: scrolled(page)),
        ):
            if not count:
                continue
            folder = Path(place) / name
            folder.mkdir()
            timed(
                f"{count} photos made",
                lambda folder=folder, n=count, mp=megapixels: made(folder, sources, n, mp),
            )
            with served(PixelEngine(), local=True) as url:
                page = browser.new_context(viewport={"width": 1360, "height": 900}).new_page()
                page.set_default_timeout(120_000)
                problems: list[str] = []
                page.on("pageerror", lambda error, problems=problems: problems.append(str(error)))
                opened(page, url, folder)
                then(page, folder)
                print("errors of the page:", problems)
                page.context.close()


if __name__ == "__main__":
    main()
