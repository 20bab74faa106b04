"""What the page costs on top of the model: first words, whole answer, memory, start-up.

    python tests/benchmarks/page.py [--model preview] [--rounds 10]

Starts `app.py` as a process of its own and asks it over HTTP as the browser does; the engine's own time for the
same photos is taken in between, in this process, in the same run.
"""

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import httpx
from PIL import Image

from qinsight.assess import ask, assessment
from qinsight.engines.local import LocalEngine
from qinsight.page.desk import HEAD
from qinsight.page.loupe import CSS as LOUPE_CSS
from qinsight.page.pictures import CSS
from qinsight.page.shoot import CSS as SHOOT_CSS
from qinsight.photos import load_photo

ROOT = Path(__file__).parents[2]
PHOTOS = sorted((ROOT / "examples" / "photos").glob("*.jpg"))[:4]
WORDS = (
    5,
    6,
    8,
)  # the places of the two reasonings, and of the cues that begin them, among the outputs of the Assess tab
SESSION = "bench"  # of one visitor, who has the page open


def engine_alone(engine: LocalEngine, path: Path) -> tuple[float, float]:
    """Seconds to the first words and to the whole answer, the photo decoded in this process."""
    started, first = time.perf_counter(), None
    for state in ask(engine, assessment(load_photo(path))):
        if first is None and any(one.reply.thinking for one in state):
            first = time.perf_counter() - started
    return first or float("nan"), time.perf_counter() - started


def through_the_page(
    client: httpx.Client, url: str, targets: tuple[int, int], path: Path, number: int
) -> tuple[float, float]:
    """The same, from the moment the upload has arrived to the message that carries the words.

    As the browser does: the photo is put on the table, then its question joins the queue.
    """
    with path.open("rb") as file:
        (stored,) = client.post(f"{url}/gradio_api/upload", files={"files": (path.name, file)}).json()
    data = {"path": stored, "meta": {"_type": "gradio.FileData"}}
    started, first = time.perf_counter(), None
    table, question = targets
    body = {
        "data": [{"number": number}, data],
        "fn_index": table,
        "session_hash": SESSION,
        "trigger_id": None,
    }
    client.post(f"{url}/gradio_api/run/predict", json=body).raise_for_status()
    body |= {"data": [], "fn_index": question}
    client.post(f"{url}/gradio_api/queue/join", json=body).raise_for_status()
    with client.stream("GET", f"{url}/gradio_api/queue/data", params={"session_hash": SESSION}) as events:
        for event in events.iter_lines():
            message = json.loads(event.removeprefix("data: ")) if event else {}
            if message.get("msg") == "process_generating" and first is None and _has_words(message):
                first = time.perf_counter() - started
            if message.get("msg") == "process_completed":
                if not message["success"]:
                    raise RuntimeError(message)
                return first or float("nan"), time.perf_counter() - started
    raise RuntimeError("the page never finished")


def _has_words(message: dict[str, Any]) -> bool:
    values = message["output"]["data"]
    return any(_words_in(values[place]) for place in WORDS)


def _words_in(value: Any) -> bool:
    """Whether a whole value, or a list of what is different from the last one, has words."""
    if isinstance(value, dict):
        return bool(value["shown"])
    return any(path[:1] == ["shown"] and new for _, path, new in value)


def upload_targets(client: httpx.Client, url: str) -> tuple[int, int]:
    """What a photo uploaded to the Assess tab starts: it is put on the table, then asked about."""
    config = client.get(f"{url}/config").json()
    photo = next(c["id"] for c in config["components"] if c["props"].get("elem_id") == "photo")
    known = config["dependencies"]
    table = next(d["id"] for d in known if [photo, "upload"] in [list(t) for t in d["targets"]])
    return table, next(d["id"] for d in known if d["trigger_after"] == table and d["backend_fn"])


def peak_megabytes(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return float(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1000


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="preview")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--port", type=int, default=7991)
    options = parser.parse_args()
    url = f"http://127.0.0.1:{options.port}"
    command = [
        sys.executable,
        "app.py",
        "--no-browser",
        "--port",
        str(options.port),
        "--model",
        options.model,
    ]
    with tempfile.TemporaryFile() as log:
        started = time.perf_counter()
        page = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        try:
            as_the_page = {"x-gradio-user": "app", "origin": url}
            client = httpx.Client(timeout=120, trust_env=False, headers=as_the_page)
            while True:
                try:
                    client.get(url)
                    break
                except httpx.TransportError:
                    time.sleep(0.05)
            print(f"start-up to the first page {time.perf_counter() - started:.1f} s")
            print(f"JavaScript and CSS of our own {len(HEAD + CSS + LOUPE_CSS + SHOOT_CSS) / 1000:.1f} kB")
            engine = LocalEngine.open(options.model)
            with tempfile.TemporaryDirectory() as folder:
                for name, photos in (
                    ("example size", saved_again(PHOTOS, Path(folder))),
                    ("1 megapixel", enlarged(PHOTOS, Path(folder))),
                ):
                    print(name)
                    measure(client, url, engine, photos, options.rounds)
            print(f"peak memory of the page's process {peak_megabytes(page.pid):.0f} MB")
        finally:
            page.terminate()
            page.wait()


def saved_again(photos: list[Path], folder: Path) -> list[Path]:
    """The photos as other JPEGs of their size: the replies to our own are on record, and are replayed."""
    for path in photos:
        Image.open(path).save(folder / f"again-{path.name}", quality=92)
    return [folder / f"again-{path.name}" for path in photos]


def enlarged(photos: list[Path], folder: Path) -> list[Path]:
    """The photos as JPEGs of 1148 x 868 pixels."""
    for path in photos:
        Image.open(path).resize((1148, 868), Image.Resampling.BICUBIC).save(folder / path.name, quality=92)
    return [folder / path.name for path in photos]


def measure(client: httpx.Client, url: str, engine: LocalEngine, photos: list[Path], rounds: int) -> None:
    targets = upload_targets(client, url)
    alone, page, numbers = [], [], itertools.count(time.time_ns() // 1000)  # questions of a visitor only grow
    for turn in range(rounds + 1):
        for path in photos:
            pair = engine_alone(engine, path), through_the_page(client, url, targets, path, next(numbers))
            if turn:  # the first round warms up
                alone.append(pair[0])
                page.append(pair[1])
    for place, name in enumerate(("first words", "whole answer")):
        ours = statistics.median(one[place] for one in page)
        bare = statistics.median(one[place] for one in alone)
        ratio = statistics.median(p[place] / a[place] for p, a in zip(page, alone, strict=True))
        extra = statistics.median(p[place] - a[place] for p, a in zip(page, alone, strict=True))
        print(
            f"  {name:13} page {ours:.3f} s   engine {bare:.3f} s   extra {extra:+.3f} s   ratio {ratio:.2f}"
        )


if __name__ == "__main__":
    main()
