"""Forty visitors for five minutes: does everyone get an answer, the right one, and does the page stay well?

    python tests/load/visitors.py [--visitors 40] [--minutes 5] [--seed 1] [--url http://127.0.0.1:7860] [--proxied]

Starts `app.py` with the preview on a free port, unless `--url` names a page with the preview that runs already (its
memory is then not seen). The visitors rate, diagnose, compare and rank photos through the API and through the page's
own events; send rubbish, files that would be enormous and calls that make no sense; cancel, and hang up. Every
answer is compared, word for word, with what the model says about that visitor's photo alone, asked before. Then the
cost of visitors who wait is taken at a page whose model is busy (`--waiting-only` does nothing else).

Exit code 1 if anything hung, broke, was somebody else's answer or grew.
"""

import argparse
import asyncio
import base64
import contextlib
import io
import json
import os
import random
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path[:0] = [str(ROOT := Path(__file__).parents[2]), str(ROOT / "tests")]
os.environ.setdefault("OMP_NUM_THREADS", "1")  # the visitors need the other core
os.environ["NO_PROXY"] = os.environ["no_proxy"] = "localhost,127.0.0.1"

import httpx
import psutil
from gradio_client.utils import apply_diff
from PIL import Image

from shared.proxies import free_port, proxied

HANGS_AFTER = 60.0  # seconds
GROWTH = 0.20  # of the memory after the first minute
WAITING_COST = 0.05  # of one core
RAW = 10  # the place of both replies, to the last letter, among the outputs of the Assess tab
JPEG = "image/jpeg"


# --- what is asked about ------------------------------------------------------------------------------------


def photos_in(folder: Path) -> list[Path]:
    """Two dozen photos that the model describes differently: parts of the examples, in several formats and sizes."""
    made = []
    for number, path in enumerate(sorted((ROOT / "examples" / "photos").glob("*.jpg"))):
        photo = Image.open(path).convert("RGB")
        width, height = photo.size
        parts = {
            "whole.png": photo,
            "left.jpg": photo.crop((0, 0, width * 2 // 3, height)),
            "large.webp": photo.crop((width // 4, height // 4, width, height)).resize((1200, 900)),
        }
        for kind, part in parts.items():
            part.save(file := folder / f"{number}-{kind}")
            made.append(file)
    return made


def answers_alone(photos: Sequence[Path]) -> dict[tuple[str, ...], str]:
    """What the command line's engine says, one question at a time, by question and photos."""
    from qinsight.assess import ask, assessment, comparison, last
    from qinsight.engines.local import LocalEngine
    from qinsight.photos import load_photo
    from qinsight.prompts import Task

    engine, alone = LocalEngine.open("preview"), {}
    images = {path.name: load_photo(path) for path in photos}
    for name, image in images.items():
        for question, task in (("score", Task.SCORE), ("diagnose", Task.DEGRADATION)):
            (asked,) = last(ask(engine, assessment(image, [task])))
            alone[question, name] = asked.text
    for a, b in zip(photos, [*photos[1:], photos[0]], strict=True):
        first = last(ask(engine, comparison(images[a.name], images[b.name])))[0]
        alone["compare", a.name, b.name] = first.text
    return alone


def too_large_when_opened() -> bytes:
    """A small file of 900 megapixels."""
    Image.new("1", (30_000, 30_000)).save(file := io.BytesIO(), "PNG")
    return file.getvalue()


# --- the visitors -------------------------------------------------------------------------------------------


class Wrong(Exception):
    """Something that must not happen."""


class Visitor:
    """Comes again and again until the time is over; `done` counts what happened, `waited` the seconds it took."""

    def __init__(
        self, url: str, photos: Sequence[Path], alone: dict[tuple[str, ...], str], seed: int
    ) -> None:
        self.url, self.photos, self.alone = url, photos, alone
        self.dice = random.Random(seed)
        self.done: Counter[str] = Counter()
        self.wrong: Counter[str] = Counter()
        self.waited: list[float] = []
        self.bomb = b""
        self.targets = (0, 0)

    async def come(self, until: float) -> None:
        """Do one thing after the other, pausing as people do."""
        acts: list[tuple[int, Callable[[httpx.AsyncClient], Awaitable[str]]]] = [
            (22, self.score_or_diagnose),
            (22, self.look_at_the_page),
            (10, self.switch),
            (8, self.compare),
            (4, self.rank),
            (8, self.rubbish),
            (4, self.enormous),
            (10, self.nonsense),
            (10, self.cancel),
            (12, self.hang_up),
        ]
        weights, chosen = [weight for weight, _ in acts], [act for _, act in acts]
        while time.monotonic() < until:
            (act,) = self.dice.choices(chosen, weights)
            async with httpx.AsyncClient(base_url=self.url + "/gradio_api/", timeout=HANGS_AFTER) as client:
                try:
                    self.done[await asyncio.wait_for(act(client), HANGS_AFTER)] += 1
                except Wrong as error:
                    self.wrong[f"{act.__name__}: {error}"] += 1
                except (TimeoutError, httpx.TimeoutException):
                    self.wrong[f"{act.__name__} hung"] += 1
                except httpx.TransportError as error:
                    self.wrong[f"{act.__name__}: {type(error).__name__}"] += 1
            await asyncio.sleep(self.dice.expovariate(1.0))

    # --- good questions ------------------------------------------------------------------------------

    async def score_or_diagnose(self, client: httpx.AsyncClient) -> str:
        question, photo = self.dice.choice(["score", "diagnose"]), self.dice.choice(self.photos)
        given = await self.upload(client, photo) if self.dice.random() < 0.7 else data_uri(photo)
        last = await self.answer(client, question, given)
        if last is None:
            return "told that the line is full"
        name = photo.name if isinstance(given, dict) else "photo"
        self.expect((last["photo"], last["reply"]), (name, self.alone[question, photo.name]))
        return "answered"

    async def compare(self, client: httpx.AsyncClient) -> str:
        place = self.dice.randrange(len(self.photos))
        pair = self.photos[place], self.photos[(place + 1) % len(self.photos)]
        last = await self.answer(client, "compare", *[await self.upload(client, photo) for photo in pair])
        if last is None:
            return "told that the line is full"
        expected = self.alone["compare", pair[0].name, pair[1].name]
        self.expect(last["samples"][0]["reply"] if "samples" in last else last["reply"], expected)
        return "answered"

    async def rank(self, client: httpx.AsyncClient) -> str:
        photos = self.dice.sample(self.photos, 3)
        last = await self.answer(client, "rank", [await self.upload(client, photo) for photo in photos])
        if last is None:
            return "told that the line is full"
        for row in last["photos"]:
            if row["thinking"] not in self.alone["score", row["photo"]] or row["error"]:
                raise Wrong("another photo's thinking in a ranking")
        self.expect(sorted(row["photo"] for row in last["photos"]), sorted(photo.name for photo in photos))
        return "answered"

    async def look_at_the_page(self, client: httpx.AsyncClient) -> str:
        """As the browser does: the photo is put on the table, then its question joins the queue."""
        photo, session = self.dice.choice(self.photos), self.session()
        question = self.targets[1]
        client.headers.update({"x-gradio-user": "app", "origin": self.url})
        await self.put(client, session, 1, photo)
        joined = await client.post("queue/join", json=asking(session, question))
        if self.full(joined):
            return "told that the line is full"
        started = time.monotonic()
        shown = (await self.shown(client, session, [joined.json()["event_id"]]))[-1]
        if "are waiting already" in json.dumps(shown):
            return "told that the line is full"
        self.waited.append(time.monotonic() - started)
        self.expect_answer(shown, 1, photo)
        return "answered on the page"

    async def switch(self, client: httpx.AsyncClient) -> str:
        """Another photo is chosen in mid-thought: its answer comes, and nothing of the first one under its number."""
        first, second = self.dice.sample(self.photos, 2)
        session, question = self.session(), self.targets[1]
        client.headers.update({"x-gradio-user": "app", "origin": self.url})
        events = []
        for number, photo in enumerate((first, second), start=1):
            await self.put(client, session, number, photo)
            joined = await client.post("queue/join", json=asking(session, question))
            if self.full(joined):
                return "told that the line is full"
            events.append(joined.json()["event_id"])
            await asyncio.sleep(self.dice.expovariate(4.0))
        late = await client.post(
            "run/predict", json=self.laying(session, 1, await self.upload(client, first))
        )
        self.check(late)  # this choice was made before the second, and arrives after it
        seen = [values for values in await self.shown(client, session, events) if values]
        if "are waiting already" in json.dumps(seen):
            return "told that the line is full"
        self.expect_answer(next(one for one in reversed(seen) if one[0]["question"] == 2), 2, second)
        return "answered after another choice"

    def laying(self, session: str, number: int, photo: dict[str, Any]) -> dict[str, Any]:
        return {"data": [{"number": number}, photo], "session_hash": session, "fn_index": self.targets[0]}

    async def put(self, client: httpx.AsyncClient, session: str, number: int, photo: Path) -> None:
        """Put a photo on the table, as the question of this number."""
        body = self.laying(session, number, await self.upload(client, photo))
        self.check(await client.post("run/predict", json=body))

    async def shown(self, client: httpx.AsyncClient, session: str, events: list[str]) -> list[list[Any]]:
        """All that the browser is told to show until these events have ended."""
        told: list[list[Any]] = []
        values: dict[str, list[Any]] = {}
        left = set(events)
        async for message in self.messages(client, session):
            data, event = message.get("output", {}).get("data"), message.get("event_id", "")
            if message["msg"] == "process_generating" and data:
                old = values.get(event)
                values[event] = [apply_diff(*pair) for pair in zip(old, data, strict=True)] if old else data
                told.append(json.loads(json.dumps(values[event])))
            if message["msg"] == "process_completed":
                if not message["success"]:
                    raise Wrong(f"the page failed: {str(message)[:200]}")
                left.discard(event)
                if not left:
                    break
        return told or [[]]

    def expect_answer(self, shown: list[Any], number: int, photo: Path) -> None:
        replies = "\n\n".join(self.alone[name, photo.name] for name in ("score", "diagnose"))
        self.expect((shown[RAW]["question"], shown[RAW]["shown"]), (number, replies))

    # --- bad ones ------------------------------------------------------------------------------------

    async def rubbish(self, client: httpx.AsyncClient) -> str:
        whole = self.dice.choice(self.photos).read_bytes()
        content = self.dice.choice(
            [
                self.dice.randbytes(5000),
                b"",
                b"<svg/>",
                whole[:300],
                whole[: len(whole) // 2],
                b"GIF89a" + bytes(99),
            ]
        )
        given = (
            await self.upload(client, ("holiday.jpg", content)) if content else "data:image/png;base64,AAAA"
        )
        last = await self.answer(client, "score", given, error=True)
        if last is None:
            return "told that the line is full"
        if content == whole[: len(whole) // 2] and "rating" in last:
            return "told what is wrong"  # half a JPEG is still a photo, with a note
        self.expect_sentence(last.get("error"))
        return "told what is wrong"

    async def enormous(self, client: httpx.AsyncClient) -> str:
        if self.dice.random() < 0.5:
            door = httpx.URL(self.url).path.rstrip("/") + "/gradio_api/upload"
            head = f"POST {door} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000000000\r\n\r\n"
            reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(self.url).port)
            writer.write(head.encode())
            status = (await reader.readline()).split()[1]
            writer.close()
            self.expect(status, b"413")
            return "refused"
        last = await self.answer(
            client, "score", await self.upload(client, ("sky.png", self.bomb)), error=True
        )
        if last is None:
            return "told that the line is full"
        self.expect_sentence(last.get("error"))
        return "told what is wrong"

    async def nonsense(self, client: httpx.AsyncClient) -> str:
        body = self.dice.choice(
            [
                b"{",
                b"[]",
                b"null",
                b'{"data": 7}',
                b'{"data": ["/etc/passwd"]}',
                b'{"data": ["http://127.0.0.1:9/a.jpg"]}',
            ]
        )
        door = self.dice.choice(["call/score", "call/rank", "call/nothing", "queue/join", "run/predict"])
        answer = await client.post(door, content=body)
        if not 400 <= answer.status_code < 500:
            raise Wrong(f"{door} answered {answer.status_code}")
        self.expect_sentence(answer.text)
        return "refused"

    # --- impatient ones ------------------------------------------------------------------------------

    async def cancel(self, client: httpx.AsyncClient) -> str:
        event = await self.begin(client, "score", await self.upload(client, self.dice.choice(self.photos)))
        if event is None:
            return "told that the line is full"

        async def later() -> None:
            await asyncio.sleep(self.dice.uniform(0, 2))
            self.check(
                await client.post("cancel", json={"session_hash": event, "fn_index": 0, "event_id": event})
            )

        cancelling = asyncio.create_task(later())
        async for _ in self.states(client, "score", event):
            pass
        await cancelling
        return "cancelled"

    async def hang_up(self, client: httpx.AsyncClient) -> str:
        photo = self.dice.choice(self.photos)
        event = await self.begin(client, "diagnose", await self.upload(client, photo))
        if event is None:
            return "told that the line is full"
        patience = self.dice.randrange(6)
        async with client.stream("GET", f"call/diagnose/{event}") as stream:
            async for _ in stream.aiter_lines():
                patience -= 1
                if patience < 0:
                    break
        return "hung up"

    # --- how ----------------------------------------------------------------------------------------

    def session(self) -> str:
        return f"{self.dice.getrandbits(48):x}"

    def check(self, answer: httpx.Response) -> None:
        if answer.status_code != 200:
            raise Wrong(f"{answer.request.url.path} answered {answer.status_code}: {answer.text[:200]}")

    def full(self, answer: httpx.Response) -> bool:
        """Whether the line is full, which is the one server's error there may be."""
        if answer.status_code == 503 and "are waiting already" in answer.text:
            return True
        self.check(answer)
        return False

    def expect(self, found: Any, expected: Any) -> None:
        if found != expected:
            raise Wrong(f"expected {str(expected)[:120]!r}, got {str(found)[:120]!r}")

    def expect_sentence(self, words: str | None) -> None:
        if not words or "Traceback" in words or "/tmp" in words or str(ROOT) in words:
            raise Wrong(f"expected a sentence, got {words!r}")

    async def upload(self, client: httpx.AsyncClient, photo: Path | tuple[str, bytes]) -> dict[str, Any]:
        name, content = (photo.name, photo.read_bytes()) if isinstance(photo, Path) else photo
        answer = await client.post("upload", files={"files": (name, content, JPEG)})
        self.check(answer)
        return {"path": answer.json()[0], "meta": {"_type": "gradio.FileData"}}

    async def begin(self, client: httpx.AsyncClient, question: str, *given: Any) -> str | None:
        """The event of a question, None if the line is full."""
        answer = await client.post(f"call/{question}", json={"data": [*given]})
        return None if self.full(answer) else str(answer.json()["event_id"])

    async def answer(
        self, client: httpx.AsyncClient, question: str, *given: Any, error: bool = False
    ) -> dict[str, Any] | None:
        started = time.monotonic()
        event = await self.begin(client, question, *given)
        if event is None:
            return None
        state: dict[str, Any] = {}
        async for _, newest in self.states(client, question, event):
            state = newest
        if "are waiting already" in str(state.get("error")):
            return None
        if not error:
            if state.get("status") != "done" or state.get("error"):
                raise Wrong(f"no answer: {str(state)[:200]}")
            self.waited.append(time.monotonic() - started)
        return state

    async def states(
        self, client: httpx.AsyncClient, question: str, event: str
    ) -> AsyncIterator[tuple[str, Any]]:
        async with client.stream("GET", f"call/{question}/{event}") as stream:
            if stream.status_code != 200 and stream.status_code != 404:  # 404: cancelled before it was read
                raise Wrong(f"the stream answered {stream.status_code}")
            kind = ""
            async for line in stream.aiter_lines():
                if line.startswith("event:"):
                    kind = line[7:]
                elif line.startswith("data:") and kind != "heartbeat":
                    found = json.loads(line[6:])
                    if found:
                        yield kind, found[0] if isinstance(found, list) else found

    async def messages(self, client: httpx.AsyncClient, session: str) -> AsyncIterator[dict[str, Any]]:
        async with client.stream("GET", "queue/data", params={"session_hash": session}) as stream:
            async for line in stream.aiter_lines():
                if line.startswith("data:"):
                    yield json.loads(line[6:])


def asking(session: str, question: int) -> dict[str, Any]:
    """The message that asks about what lies on the table."""
    return {"data": [], "session_hash": session, "fn_index": question}


def data_uri(photo: Path) -> str:
    return f"data:{JPEG};base64,{base64.b64encode(photo.read_bytes()).decode()}"


# --- the page -----------------------------------------------------------------------------------------------


class Served:
    """A page in a process of its own, and what it costs."""

    def __init__(self, *command: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - as long as the process
        self.process = psutil.Popen(
            [sys.executable, *command, str(port)], cwd=ROOT, stdout=self.log, stderr=self.log
        )
        while True:
            try:
                httpx.get(self.url, timeout=5)
                return
            except httpx.TransportError:
                if self.process.poll() is not None:
                    raise SystemExit("The page did not start.") from None
                time.sleep(0.1)

    def seconds_of_cpu(self) -> float:
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def memory(self) -> tuple[float, float]:
        """MB of the page's process, and with its decoders."""
        own = float(self.process.memory_info().rss) / 1e6
        inner = 0.0
        for child in self.process.children(recursive=True):
            try:
                inner += child.memory_info().rss / 1e6
            except psutil.Error:
                continue
        return own, own + inner

    def said(self) -> str:
        self.log.seek(0)
        return self.log.read()

    def end(self) -> None:
        self.process.terminate()
        self.process.wait()


def page_targets(url: str) -> tuple[int, int]:
    """What a photo uploaded to the Assess tab starts: it is put on the table, then asked about."""
    config = httpx.get(f"{url}/config").json()
    photo = next(c["id"] for c in config["components"] if c["props"].get("elem_id") == "photo")
    known = config["dependencies"]
    table = next(d["id"] for d in known if [photo, "upload"] in [list(t) for t in d["targets"]])
    return table, next(d["id"] for d in known if d["trigger_after"] == table and d["backend_fn"])


async def visit(visitors: Sequence[Visitor], seconds: float, page: Served | None) -> list[tuple[float, ...]]:
    """Let everyone come; returns (seconds, MB, MB with decoders) every five seconds."""
    started, seen = time.monotonic(), []

    async def watch() -> None:
        while page is not None:
            await asyncio.sleep(5)
            seen.append((time.monotonic() - started, *page.memory()))

    watching = asyncio.create_task(watch())
    await asyncio.gather(*(visitor.come(started + seconds) for visitor in visitors))
    watching.cancel()
    return seen


# --- what waiting costs -------------------------------------------------------------------------------------


def serve_busy(port: int) -> None:
    """A page whose model thinks, for nobody knows how long, and says nothing."""
    from qinsight.page import build_page, launch
    from qinsight.page.host import Host
    from qinsight.prompts import Task
    from qinsight.requests import About, Delta

    class Busy:
        about = About("busy", frozenset(Task), "fp32", "cpu")

        def stream(self, *_: Any, stop: threading.Event | None = None, **__: Any) -> Iterator[Delta]:
            (stop or threading.Event()).wait()
            yield from ()

    host = Host(lambda progress: Busy())
    host.load()
    launch(build_page(host), host, server_port=port, quiet=True)


async def waiting(
    url: str, page: Served, photos: Sequence[Path], count: int, seconds: float
) -> tuple[float, int]:
    """The share of a core that the page takes while so many visitors stand in line, and how many did."""
    visitors = [Visitor(url, photos, {}, seed) for seed in range(count + 1)]
    targets, places = page_targets(url), {}

    async def stand(number: int, visitor: Visitor) -> None:
        session = visitor.session()
        async with httpx.AsyncClient(
            base_url=url + "/gradio_api/",
            timeout=None,
            headers={"x-gradio-user": "app", "origin": url},
        ) as client:
            visitor.targets = targets
            await visitor.put(client, session, 1, photos[0])
            joined = await client.post("queue/join", json=asking(session, targets[1]))
            visitor.check(joined)

            async def open_page() -> None:  # every open page holds this line
                async with client.stream("GET", f"heartbeat/{session}") as stream:
                    async for _ in stream.aiter_bytes():
                        pass

            beating = asyncio.create_task(open_page())
            try:
                async for message in visitor.messages(client, session):
                    if "In line for the model" in json.dumps(message):
                        places[number] = True
            finally:
                beating.cancel()

    standing = [asyncio.create_task(stand(*pair)) for pair in enumerate(visitors)]
    await asyncio.sleep(15)
    before, started = page.seconds_of_cpu(), time.monotonic()
    await asyncio.sleep(seconds)
    share = (page.seconds_of_cpu() - before) / (time.monotonic() - started)
    for task in standing:
        task.cancel()
    await asyncio.gather(*standing, return_exceptions=True)
    return share, len(places)


# --- all of it ----------------------------------------------------------------------------------------------


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--visitors", type=int, default=40)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--url", help="a page that runs already, with the preview")
    parser.add_argument("--proxied", action="store_true", help="through nginx, below a path")
    parser.add_argument("--waiting-only", action="store_true")
    parser.add_argument("--serve-busy", type=int, metavar="PORT", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve_busy:
        serve_busy(options.serve_busy)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        photos = photos_in(Path(folder))
        well = options.waiting_only or crowd(options, photos)
        return 0 if wait(options.visitors, photos) and well else 1


def crowd(options: argparse.Namespace, photos: Sequence[Path]) -> bool:
    alone = answers_alone(photos)
    print(f"{len(photos)} photos, {len(set(alone.values()))} different replies out of {len(alone)}")
    front = free_port()
    below = [f"--root-path=http://127.0.0.1:{front}/below", "--trust-proxy=127.0.0.1"] * options.proxied
    command = ["app.py", "--no-browser", "--model", "preview", *below, "--port"]
    page = None if options.url else Served(*command)
    with contextlib.ExitStack() as stack:
        url = options.url.rstrip("/") if options.url else page.url if page else ""
        if page is not None:
            stack.callback(page.end)
        if page is not None and options.proxied:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            port = httpx.URL(page.url).port or 80
            url = stack.enter_context(proxied(port, folder, front, "/below", forwarded=True))
        visitors = [Visitor(url, photos, alone, options.seed + place) for place in range(options.visitors)]
        bomb, targets = too_large_when_opened(), page_targets(url)
        for visitor in visitors:
            visitor.bomb, visitor.targets = bomb, targets
        httpx.post(f"{url}/gradio_api/call/score", json={"data": [data_uri(photos[0])]}, timeout=60)  # loaded
        seen = asyncio.run(visit(visitors, options.minutes * 60, page))
        well = report(visitors, seen, options.minutes * 60)
        if page is not None and "Traceback" in page.said():
            print(page.said())
            well = False
        return well


def report(visitors: Sequence[Visitor], seen: Sequence[tuple[float, ...]], seconds: float) -> bool:
    done: Counter[str] = sum((visitor.done for visitor in visitors), Counter())
    wrong: Counter[str] = sum((visitor.wrong for visitor in visitors), Counter())
    waited = sorted(second for visitor in visitors for second in visitor.waited)
    print(f"{len(visitors)} visitors, {seconds / 60:g} minutes: {sum(done.values())} things done")
    for name, count in done.most_common():
        print(f"  {count:6} {name}")
    if waited:
        print(f"  an answer took {statistics.median(waited):.1f} s in the middle, {waited[-1]:.1f} s at most")
    for name, count in wrong.most_common():
        print(f"  WRONG {count} times: {name}")
    return memory_stays(seen) and not wrong


def memory_stays(seen: Sequence[tuple[float, ...]]) -> bool:
    """Whether the memory stays near its level after the first minute: medians of half a minute, for it breathes."""
    halves: dict[int, list[float]] = {}
    for at, memory, _ in seen:
        halves.setdefault(int(at // 30), []).append(memory)
    levels = [statistics.median(halves[half]) for half in sorted(halves) if half >= 2]
    if not levels:
        return True
    single = [memory for at, memory, _ in seen if at > 60]
    print(
        f"  memory after the first minute {levels[0]:.0f} MB; then "
        f"{', '.join(f'{level:.0f}' for level in levels[1:])} MB, one by one {min(single):.0f} to {max(single):.0f} MB; "
        f"with decoders {max(both for _, _, both in seen):.0f} MB at most"
    )
    return all(abs(level / levels[0] - 1) <= GROWTH for level in levels)


def wait(count: int, photos: Sequence[Path]) -> bool:
    page = Served(str(Path(__file__)), "--serve-busy")
    try:
        share, stood = asyncio.run(waiting(page.url, page, photos, count, 30))
    finally:
        page.end()
    print(f"{stood} visitors waiting in line cost {share:.1%} of a core")
    return share < WAITING_COST and stood >= count


if __name__ == "__main__":
    sys.exit(main())
