"""A model hub of our own on this machine: the few answers that a download needs, files from any byte on, and stalls."""

import hashlib
import http.server
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REPOSITORY, COMMIT = "ByteDance/Q-Insight", "a" * 40


@dataclass
class Hub:
    """One repository, the files below `root`; what was fetched of it, and from which byte on.

    Weights stall after `stall_after` bytes, and have a wrong byte where `damaged`.
    """

    root: Path
    address: str = ""
    fetched: list[str] = field(default_factory=list)
    ranges: list[tuple[str, int]] = field(default_factory=list)
    stall_after: int | None = None
    damaged: bool = False
    stalled: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    ended: threading.Event = field(default_factory=threading.Event)

    def environment(self, home: Path) -> dict[str, str]:
        """Of a command that asks this hub and keeps what it gets in `home`."""
        told = {"HF_HOME": str(home), "HF_ENDPOINT": self.address, "no_proxy": "127.0.0.1"}
        told["XDG_CACHE_HOME"] = str(home / "cache")
        return {name: text for name, text in os.environ.items() if name != "HF_HUB_OFFLINE"} | told


@contextmanager
def hub_of(root: Path) -> Iterator[Hub]:
    """Serve the files as ByteDance/Q-Insight."""
    hub = Hub(root)
    handler = type("Answers", (_Answers,), {"hub": hub})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    hub.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        hub.ended.set()
        server.shutdown()
        server.server_close()


class _Answers(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def do_GET(self) -> None:
        self._answer(self.path.split("?")[0], with_body=True)

    def do_HEAD(self) -> None:
        self._answer(self.path.split("?")[0], with_body=False)

    def _answer(self, path: str, *, with_body: bool) -> None:
        root = self.hub.root
        names = [file.relative_to(root).as_posix() for file in root.rglob("*") if file.is_file()]
        if path.startswith(f"/api/models/{REPOSITORY}/tree"):
            files = [{"type": "file", "path": name, **self._facts(name)} for name in names]
            return self._send(json.dumps(files).encode(), with_body)
        if path.startswith(f"/api/models/{REPOSITORY}"):
            siblings = [{"rfilename": name} for name in names]
            told = {"id": REPOSITORY, "sha": COMMIT, "siblings": siblings}
            return self._send(json.dumps(told).encode(), with_body)
        name = path.removeprefix(f"/{REPOSITORY}/resolve/{COMMIT}/")
        if name in names:
            return self._send_file(name, with_body)
        return self._send(b"{}", with_body, {"X-Error-Code": "RepoNotFound"}, 404)

    def _facts(self, name: str) -> dict[str, Any]:
        """As the hub has it: weights are named by the SHA-256 of their content."""
        content = (self.hub.root / name).read_bytes()
        kind = hashlib.sha256 if name.endswith(".safetensors") else hashlib.sha1
        return {"size": len(content), "oid": kind(content).hexdigest()}

    def _send_file(self, name: str, with_body: bool) -> None:
        content = (self.hub.root / name).read_bytes()
        headers = {"ETag": f'"{self._facts(name)["oid"]}"', "X-Repo-Commit": COMMIT}
        if not with_body:
            return self._send(content, False, headers)
        self.hub.fetched.append(name)
        first = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
        weights = name.endswith(".safetensors")
        if weights:
            self.hub.ranges.append((name, first))
            content = content[:-1] + b"?" if self.hub.damaged else content
        part = {"Content-Range": f"bytes {first}-{len(content) - 1}/{len(content)}"} if first else {}
        self._send(content[first:], True, headers | part, 206 if first else 200, weights)

    def _send(
        self,
        body: bytes,
        with_body: bool,
        headers: dict[str, str] | None = None,
        code: int = 200,
        weights: bool = False,
    ) -> None:
        self.send_response(code)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        stall = self.hub.stall_after if weights else None
        if with_body:
            self.wfile.write(body[:stall])
        if stall is not None:
            self.wfile.flush()
            self.hub.stalled.release()
            self.hub.ended.wait(60)

    def log_message(self, *_: Any) -> None:
        pass
