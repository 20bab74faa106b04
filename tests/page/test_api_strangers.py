"""What strangers send to the API is refused in a sentence, reads no file, fetches no address and leaves no trace."""

import os
import shutil
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio_client import Client, handle_file
from PIL import Image

from qinsight.page.uploads import scratch_folder
from shared.api import page_functions, served
from shared.engines import (
    SCORE,
    ScriptedEngine,
)


def test_nothing_but_the_four_answers_to_a_script(photo: Path) -> None:
    with served(ScriptedEngine(SCORE)) as page:
        names = {f.api_name for f in page_functions(page)} - {"score", "diagnose", "compare", "rank"}
        assert len(names) > 10
        for name in names:
            assert page.http.post(f"call/{name}", json={"data": []}).status_code == 404
            assert page.http.post(f"run/{name}", json={"data": []}).status_code == 404
            assert page.http.post(f"api/{name}", json={"data": []}).status_code == 404
        for function in page_functions(page):
            body = {"data": [None] * len(function.inputs), "fn_index": function._id, "session_hash": "s"}
            wanted = 422 if function.api_name in ("score", "diagnose", "compare", "rank") else 403
            for route in ("queue/join", "run/predict"):
                refused = page.http.post(route, json=body)
                assert refused.status_code == wanted, (function.api_name, refused.text)
        assert page.http.post("queue/join", json={**body, "fn_index": 10_000}).status_code == 404


BAD_CALLS: list[tuple[Any, str]] = [
    ([], "Expected a value for photo of /score, got none."),
    ([None], "Expected a photo as photo"),
    ([7], "Expected a photo as photo"),
    ([{}], "Expected a photo as photo"),
    ([{"path": 7}], "Expected a photo as photo"),
    ([{"path": "/etc/passwd"}], "Links and other files are not read."),
    (["/proc/self/environ"], "Links and other files are not read."),
    (["http://127.0.0.1:9/x.jpg"], "Links and other files are not read."),
    ([{"path": "file:///etc/passwd", "meta": {"_type": "gradio.FileData"}}], "Links and other files"),
    ([{"url": "http://127.0.0.1:9/x.jpg"}], "Expected a photo as photo"),
    (["data:text/html;base64,AAAA"], "Expected a data URI that begins with"),
    (["data:image/png;base64"], "Expected a data URI that begins with"),
    (["PHOTO", 0], "Expected samples as a whole number from 1 to 8, got 0."),
    (["PHOTO", True], "Expected samples as a whole number from 1 to 8, got True."),
    (["PHOTO", "<b>many</b>" * 20], "Expected samples as a whole number from 1 to 8, got '&lt;b&gt;many"),
    (["PHOTO", 1, "hot"], "Expected temperature as 0, or a number from 0.001 to 2, got 'hot'."),
    (["PHOTO", 1, 1e300], "Expected temperature as 0, or a number from 0.001 to 2"),
    (["PHOTO", 2, 0], "Expected a temperature above 0 with several samples"),
    (["PHOTO", 1, None, -1], "Expected seed as a whole number from 0 to 4294967295, got -1."),
    (["PHOTO", 1, None, 42, 0], "Expected max_new_tokens as a whole number"),
    (["PHOTO", 1, None, 42, 1, 1], "Expected check_reasons as true or false, got 1."),
    (["PHOTO", 1, None, 42, 1, True, 1], "Expected at most 6 values for /score, got 7."),
]


def test_a_call_with_something_wrong_in_it_is_refused_in_a_sentence(photo: Path, tmp_path: Path) -> None:
    with served(engine := ScriptedEngine(SCORE)) as page:
        file = page.upload(photo)
        for data, expected in BAD_CALLS:
            refused = page.call("score", *(file if value == "PHOTO" else value for value in data))
            assert refused.status_code == 422, (data, refused.text)
            assert expected in refused.json()["detail"], (data, refused.text)
        for data in ([[]], [[file] * 21], [file], [[file, 7]]):
            assert page.call("rank", *data).status_code == 422
        refused = page.http.post("call/v2/score", json={"photo": file, "speed": 1})
        assert refused.json()["detail"].endswith("for /score, got 'speed'.")
        damaged = page.answers("score", "data:image/png;base64,%%%")[-1]
        assert damaged["error"].startswith("Expected a photo in base64")
    assert engine.asked == []


RUBBISH = [
    b"",
    b"{",
    b"[]",
    b"7",
    b'"x"',
    b"\xff\xfe",
    b'{"data": NaN}',
    b'{"data": [Infinity]}',
    b'{"data": "x"}',
    b'{"data": {"photo": 1}}',
    b"[" * 100_000,
    b'{"data": ' + b"[" * 100 + b"]" * 100 + b"}",
    b'{"data": ["\\ud800"]}',
    b'{"fn_index": true, "data": []}',
    b'{"fn_index": 1e99, "data": []}',
    b'{"fn_index": "0", "data": [], "session_hash": "s"}',
    b'{"session_hash": 5, "fn_index": 0, "event_id": []}',
    b'{"data": [], "session_hash": "../../etc", "fn_index": 0}',
]


def test_rubbish_is_refused_at_every_door(capsys: pytest.CaptureFixture[str]) -> None:
    doors = ["call/score", "call/v2/score", "queue/join", "run/predict", "cancel", "reset"]
    with served(ScriptedEngine(SCORE)) as page:
        for door in doors:
            for body in RUBBISH:
                headers = {"content-type": "application/json", "x-gradio-user": "app", "origin": page.url}
                refused = page.http.post(door, content=body, headers=headers)
                harmless = door in ("cancel", "reset") and refused.status_code in (200, 422)
                assert harmless or 400 <= refused.status_code < 500, (door, body, refused.text)
                assert "Traceback" not in refused.text
                assert str(Path.cwd()) not in refused.text
        huge = page.http.post("call/score", content=b" " * (65 << 20))
        assert huge.status_code == 413
        for path in ("queue/data", "queue/data?session_hash=nobody", "call/score/nobody"):
            assert page.http.get(path).status_code == 404
        for path in (
            "deep_link",
            "runs",
            "vibe-code",
            "stream/x/1/2/playlist.m3u8",
            "proxy=http://127.0.0.1",
        ):
            assert page.http.get(path).status_code == 404
        for path in ("vibe-edit", "component_server", "process_recording", "stream/x"):
            assert page.http.post(path, json={}).status_code == 404
        assert page.http.put("upload").status_code == 405
        assert httpx.get(f"{page.url}/monitoring", trust_env=False).status_code == 404
    assert "Traceback" not in capsys.readouterr().err


def test_no_file_outside_the_upload_folder_is_read(photo: Path, uploads: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    Image.new("RGB", (64, 64)).save(secret)
    with served(engine := ScriptedEngine(SCORE)) as page:
        uploads.mkdir(exist_ok=True)
        (uploads / "link.png").symlink_to(secret)
        (uploads / "inner").symlink_to(tmp_path)
        meta = {"_type": "gradio.FileData"}
        paths = [
            str(secret),
            f"{uploads}/../secret.png",
            f"{uploads}/link.png",
            f"{uploads}/inner/secret.png",
            f"file://{secret}",
            "secret.png",
            "/proc/self/cwd/README.md",
            f"{uploads}/a\0.png",
            "x" * 5000,
        ]
        for path in paths:
            for given in (
                path,
                {"path": path, "meta": meta},
                {"path": path},
                {"path": path, "orig_name": "x.svg"},
            ):
                assert page.call("score", given).status_code == 422, given
            found = page.http.get("file=" + path.replace("\0", "%00"))
            assert found.status_code in (403, 404), (path, found.status_code)
        headers = {"x-gradio-user": "app", "origin": page.url}
        for function in page_functions(page):
            if function.api_visibility == "private":
                data = [{"path": str(secret), "meta": meta}] * len(function.inputs)
                body = {"data": data, "fn_index": function._id, "session_hash": "s"}
                for route in ("queue/join", "run/predict"):
                    answer = page.http.post(route, json=body, headers=headers)
                    assert answer.status_code in (404, 422) or not data, function.api_name
    assert engine.asked == []


def test_no_url_is_ever_fetched(photo: Path) -> None:
    import http.server

    asked: list[str] = []

    class Listening(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Listening)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    link = f"http://127.0.0.1:{server.server_address[1]}/photo.png"
    with served(ScriptedEngine(SCORE)) as page:
        file = page.upload(photo)
        for given in (link, {"path": link}, {"path": link, "meta": file["meta"]}, {"url": link}):
            assert page.call("score", given).status_code == 422
        assert page.answers("score", {**file, "url": link})[-1]["rating"] == 4.25
        assert page.http.get(f"file={link}").status_code == 403
    server.shutdown()
    assert asked == []


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:7860", 200),
        ("localhost", 200),
        ("[::1]:7860", 200),
        ("evil.example:7860", 403),
        ("evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("lab.example", 200),
        ("", 403),
    ],
)
def test_a_page_of_this_computer_answers_to_its_own_names_only(host: str, status: int) -> None:
    with served(ScriptedEngine(SCORE), hosts=["lab.example"]) as page:
        for path in ("/", "/config", "/gradio_api/info"):
            assert httpx.get(page.url + path, headers={"host": host}, trust_env=False).status_code == status


def test_a_request_for_a_part_of_a_file_does_not_echo_its_headers(photo: Path) -> None:
    with served(ScriptedEngine(SCORE)) as page:
        path = page.upload(photo)["path"]
        headers = {"range": "bytes=0-1,3-4", "cookie": "secret=1", "authorization": "Bearer secret"}
        found = page.http.get(f"file={path}", headers=headers)
        assert found.status_code == 200
        assert "secret" not in str(found.headers)
        assert found.headers["x-content-type-options"] == "nosniff"
        assert found.headers["cache-control"] == "private, no-store"


def test_uploads_are_deleted_when_their_time_is_over_used_or_not(photo: Path, uploads: Path) -> None:
    from qinsight.page.uploads import Janitor

    with served(ScriptedEngine(SCORE)) as page:
        path = Path(page.upload(photo)["path"])
        (uploads / "tmp123").write_bytes(b"half an upload")
        (uploads / "empty").mkdir()
        old = time.time() - 3601
        for one in (path, path.parent, uploads / "tmp123", uploads / "empty"):
            os.utime(one, (old, old))
        fresh = Path(page.upload(photo, "fresh.png")["path"])
        Janitor(page.blocks, 3600).clean()
        assert not path.exists()
        assert not (uploads / "tmp123").exists()
        assert not (uploads / "empty").exists()
        assert fresh.exists()
        examples = [*uploads.rglob("*cat.jpg")]
        for one in examples:
            os.utime(one, (old, old))
        Janitor(page.blocks, 3600).clean()
        assert examples
        assert all(one.exists() for one in examples)


def test_folders_for_visitors_come_and_go_at_the_same_time() -> None:
    def come_and_go(_: int) -> None:
        for _ in range(300):
            shutil.rmtree(scratch_folder())

    with ThreadPoolExecutor(4) as visitors:
        assert [*visitors.map(come_and_go, range(4))] == [None] * 4


def test_an_upload_without_a_length_or_past_the_limit_is_refused() -> None:
    with served(ScriptedEngine(SCORE)) as page:
        parts = iter([b"x"])
        assert page.http.post("upload", content=parts).status_code == 411
        head = f"POST /gradio_api/upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: {5 << 30}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", httpx.URL(page.url).port or 80), 5) as stranger:
            stranger.sendall(head.encode())
            assert stranger.recv(100).startswith(b"HTTP/1.1 413")


def test_nothing_of_a_visitor_is_logged(
    photo: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "private-name.jpg").write_bytes(b"rubbish")
    with served(ScriptedEngine(SCORE)) as page:
        page.answers("score", page.upload(photo, "private-name.png"))
        page.answers("score", page.upload(tmp_path / "private-name.jpg"))
        page.call("score", "private-name")
    out, err = capfd.readouterr()
    assert "private" not in out + err
    assert "Fine" not in out + err


def test_gradio_client_is_told_what_is_wrong_with_a_call(photo: Path) -> None:
    with served(ScriptedEngine(SCORE)) as page:
        client = Client(page.url, verbose=False)
        with pytest.raises(Exception, match="Expected samples as a whole number from 1 to 8, got 99"):
            client.predict(photo=handle_file(str(photo)), samples=99, api_name="/score")
        (photo.parent / "rubbish.jpg").write_bytes(b"rubbish")
        with pytest.raises(Exception, match="expected a photo"):
            client.predict(photo=handle_file(str(photo.parent / "rubbish.jpg")), api_name="/score")
        with pytest.raises(ValueError, match=r"No endpoint|Cannot find a function|not found"):
            client.predict(api_name="/predict")
        client.close()
