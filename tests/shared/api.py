"""A served page, asked as programs ask it."""

import base64
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from qinsight.page import build_page, launch
from qinsight.page.host import Host
from qinsight.page.line import Line
from qinsight.requests import Engine


class Page:
    """A served page, and the ways to talk to it."""

    def __init__(self, url: str, host: Host, blocks: Any) -> None:
        self.url, self.host, self.blocks = url.rstrip("/"), host, blocks
        self.http = httpx.Client(base_url=self.url + "/gradio_api/", timeout=30, trust_env=False)

    def upload(self, path: str | Path, name: str | None = None) -> dict[str, Any]:
        with open(path, "rb") as file:
            answer = self.http.post("upload", files={"files": (name or Path(path).name, file)})
        answer.raise_for_status()
        return {"path": answer.json()[0], "meta": {"_type": "gradio.FileData"}}

    def call(self, name: str, *data: Any) -> httpx.Response:
        return self.http.post(f"call/{name}", json={"data": list(data)})

    def answers(self, name: str, *data: Any) -> list[Any]:
        """Every state that a call gives, the last one complete."""
        called = self.call(name, *data)
        assert called.status_code == 200, called.text
        return [
            state for event, state in self.events(name, called.json()["event_id"]) if event != "heartbeat"
        ]

    def events(self, name: str, event: str) -> Iterator[tuple[str, Any]]:
        with self.http.stream("GET", f"call/{name}/{event}") as stream:
            assert stream.status_code == 200
            kind = ""
            for line in stream.iter_lines():
                if line.startswith("event:"):
                    kind = line[7:]
                elif line.startswith("data:"):
                    found = json.loads(line[6:])
                    yield kind, found[0] if isinstance(found, list) else found


@contextlib.contextmanager
def served(engine: Engine, line: Line | None = None, **options: Any) -> Iterator[Page]:
    host = Host(lambda progress: engine, line)
    host.load()
    page = build_page(host)
    _, url, _ = launch(page, host, prevent_thread_lock=True, quiet=True, **options)
    try:
        yield Page(url, host, page)
    finally:
        page.close(verbose=False)


def page_functions(page: Page) -> list[Any]:
    return [*page.blocks.fns.values()]


def data_uri(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
