"""How long the model works on for somebody who has left or turned to another photo, by every way to do so.

    python tests/load/leaving.py [--rounds 10]

The seconds from the act to the moment in which the engine is told, median and worst, of a page in this process; Stop,
another photo and the closed tab in Debian's Chromium.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path[:0] = [str(ROOT := Path(__file__).parents[2]), str(ROOT / "tests")]
os.environ["NO_PROXY"] = os.environ["no_proxy"] = "localhost,127.0.0.1"

from gradio_client import Client, handle_file
from playwright.sync_api import Browser, sync_playwright

from shared.api import served
from shared.engines import ENDLESS, PatientEngine
from shared.pages import eventually
from shared.places import CHROMIUM

PHOTO = ROOT / "examples" / "photos" / "cat.jpg"
Act = Callable[[], object]


@contextmanager
def tab(browser: Browser, url: str, way: str) -> Iterator[Act]:
    """Somebody reads the first words on the page; then presses Stop, chooses an example, or closes the tab."""
    page = browser.new_page()
    page.goto(url)
    page.wait_for_selector("#headline p:has-text('scripted')")
    page.locator("#photo input[type=file]").first.set_input_files(str(PHOTO))
    page.locator("#score-words", has_text="and on").first.wait_for()
    acts = {"closed tab": page.close, "Stop": page.locator("#stop").click}
    yield acts.get(way, page.locator("#examples .thumbnail-item").last.click)
    page.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    times: dict[str, list[float]] = {}

    def leave(name: str, engine: PatientEngine, act: Act) -> None:
        started = time.perf_counter()
        act()
        if not engine.stopped.wait(30):
            sys.exit(f"{name}: the model works on after 30 seconds")
        times.setdefault(name, []).append(time.perf_counter() - started)
        engine.stopped.clear()

    engine = PatientEngine(ENDLESS, pause=0.02)
    with (
        tempfile.TemporaryDirectory() as uploads,
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"]) as browser,
    ):
        os.environ["GRADIO_TEMP_DIR"] = uploads
        with served(engine) as page:
            for _ in range(rounds):
                for name in ("Stop", "another photo", "closed tab"):
                    with tab(browser, page.url, name) as act:
                        leave(name, engine, act)
                    eventually(lambda: not page.host.line)  # the other photo's question has ended too
                    engine.stopped.clear()
                event = page.call("score", page.upload(PHOTO)).json()["event_id"]
                with page.http.stream("GET", f"call/score/{event}") as stream:
                    next(line for line in stream.iter_lines() if '"thinking"' in line and "and on" in line)
                    leave("dropped connection", engine, stream.close)
                client = Client(page.url, verbose=False)
                job = client.submit(photo=handle_file(str(PHOTO)), api_name="/score")
                eventually(lambda job=job: len(job.outputs()) > 1)
                leave("cancelled job", engine, job.cancel)
                client.close()
    for name, seconds in times.items():
        print(
            f"{name:20} median {statistics.median(seconds):.2f} s, worst {max(seconds):.2f} s, of {len(seconds)}"
        )


if __name__ == "__main__":
    main()
