"""Downloads, from a hub of our own on this machine: the real client, the real command line, another address."""

import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared import places

REPOSITORY, COMMIT = "ByteDance/Q-Insight", "a" * 40


class Hub(http.server.BaseHTTPRequestHandler):
    """The few answers of a model hub that a download needs, for one repository in `root`."""

    protocol_version = "HTTP/1.1"
    root: Path
    fetched: list[str]

    def do_GET(self) -> None:
        self._answer(self.path.split("?")[0], with_body=True)

    def do_HEAD(self) -> None:
        self._answer(self.path.split("?")[0], with_body=False)

    def _answer(self, path: str, *, with_body: bool) -> None:
        names = [file.relative_to(self.root).as_posix() for file in self.root.rglob("*") if file.is_file()]
        if path.startswith(f"/api/models/{REPOSITORY}/tree"):
            files = [{"type": "file", "path": name, **self._facts(name)} for name in names]
            return self._send(json.dumps(files).encode(), with_body)
        if path.startswith(f"/api/models/{REPOSITORY}"):
            siblings = [{"rfilename": name} for name in names]
            return self._send(
                json.dumps({"id": REPOSITORY, "sha": COMMIT, "siblings": siblings}).encode(), with_body
            )
        name = path.removeprefix(f"/{REPOSITORY}/resolve/{COMMIT}/")
        if name in names:
            if with_body:
                self.fetched.append(name)
            headers = {"ETag": f'"{self._facts(name)["oid"]}"', "X-Repo-Commit": COMMIT}
            return self._send((self.root / name).read_bytes(), with_body, headers)
        return self._send(b"{}", with_body, {"X-Error-Code": "RepoNotFound"}, 404)

    def _facts(self, name: str) -> dict[str, Any]:
        content = (self.root / name).read_bytes()
        return {"size": len(content), "oid": hashlib.sha1(content).hexdigest()}

    def _send(
        self, body: bytes, with_body: bool, headers: dict[str, str] | None = None, code: int = 200
    ) -> None:
        self.send_response(code)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def hub(official: Path) -> Iterator[tuple[str, list[str]]]:
    """The address of a hub that has the fixture as ByteDance/Q-Insight, and what was fetched from it."""
    fetched: list[str] = []
    handler = type("FixtureHub", (Hub,), {"root": official, "fetched": fetched})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", fetched
    server.shutdown()
    server.server_close()


def score(model: str, photo: Path, home: Path, address: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HF_HOME": str(home), "HF_ENDPOINT": address, "no_proxy": "127.0.0.1"}
    environment.pop("HF_HUB_OFFLINE", None)
    command = [sys.executable, "-m", "qinsight", "score", str(photo), "--json"]
    command += ["--model", model, "--device", "cpu", "--max-new-tokens", "48"]
    return subprocess.run(
        command, env=environment, cwd=places.REPOSITORY, capture_output=True, text=True, check=False
    )


def test_published_weights_are_downloaded_once_and_only_the_part_that_is_asked(
    hub: tuple[str, list[str]], official: Path, expected: dict[str, Any], tmp_path: Path
) -> None:
    address, fetched = hub
    photo = official / "images" / "score.png"
    first = score(REPOSITORY, photo, tmp_path, address)
    assert json.loads(first.stdout)["reply"] == expected["score"]["text"], first.stderr
    assert {Path(name).parent.name for name in fetched} == {"score_degradation"}
    count = len(fetched)
    again = score(REPOSITORY, photo, tmp_path, address)
    assert json.loads(again.stdout)["reply"] == expected["score"]["text"], again.stderr
    assert len(fetched) == count
    without_network = score(REPOSITORY, photo, tmp_path, "http://127.0.0.1:9")
    assert json.loads(without_network.stdout)["reply"] == expected["score"]["text"], without_network.stderr
    assert len(fetched) == count


@pytest.mark.parametrize(
    ("model", "reachable", "sentence"),
    [
        ("nobody/nothing", True, "there is none called nobody/nothing"),
        (REPOSITORY, False, "the hub cannot be reached"),
    ],
)
def test_a_download_that_is_impossible_is_one_sentence(
    hub: tuple[str, list[str]], official: Path, tmp_path: Path, model: str, reachable: bool, sentence: str
) -> None:
    address = hub[0] if reachable else "http://127.0.0.1:9"
    result = score(model, official / "images" / "score.png", tmp_path, address)
    assert result.returncode == 1
    assert sentence in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
