"""The page's API, asked of a served page as scripts, `gradio_client` and strangers ask it."""

import base64
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio_client import Client, handle_file
from PIL import Image

from qinsight.page.line import Line
from qinsight.page.uploads import scratch_folder
from shared.api import Page, served
from shared.engines import (
    A_FIRST,
    B_FIRST,
    DIAGNOSIS,
    ENDLESS,
    SCORE,
    PatientEngine,
    PixelEngine,
    ScriptedEngine,
)
from shared.pages import eventually
from shared.places import REPOSITORY


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "garden.png"
    Image.linear_gradient("L").resize((224, 168)).convert("RGB").save(path)
    return path


def data_uri(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


# --- the four questions ------------------------------------------------------------------------------------


def test_a_score_arrives_with_its_thinking_growing(photo: Path) -> None:
    with served(PatientEngine(SCORE)) as page:
        states = page.answers("score", page.upload(photo))
    thoughts = [state["thinking"] for state in states]
    assert {None, "Fine de", "Fine detail and little grain."} <= set(thoughts)
    last = states[-1]
    assert last | {"seconds": 0} == {
        "photo": "garden.png",
        "task": "score",
        "rating": 4.25,
        "thinking": "Fine detail and little grain.",
        "reply": "".join(SCORE),
        "tokens": 4,
        "seconds": 0,
        "model": "scripted",
        "error": None,
        "status": "done",
        "before": 0,
    }
    assert all(
        state["rating"] is None for state in states if state["status"] != "done" and state is not states[-2]
    )


def test_the_answers_are_those_of_the_command_line(
    photo: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from qinsight import __main__ as command_line

    def told(*argv: str) -> dict[str, Any]:
        command_line.main([*argv, "--json"])
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    scripts = {"score": [SCORE], "diagnose": [DIAGNOSIS], "compare": [A_FIRST, B_FIRST]}
    for name, script in scripts.items():
        monkeypatch.setattr(command_line, "open_engine", lambda *_, script=script: ScriptedEngine(*script))
        photos = [photo, photo] if name == "compare" else [photo]
        expected = told(name, *map(str, photos))
        with served(ScriptedEngine(*script)) as page:
            found = page.answers(name, *(page.upload(one) for one in photos))[-1]
        for line in (expected, found):
            line["seconds"] = 0
            for role in ("photo", "other"):
                if role in line:
                    line[role] = Path(line[role]).name
        assert found == expected | {"status": "done", "before": 0}


def test_with_a_reference_the_comparison_is_asked_once_with_it(photo: Path) -> None:
    engine = ScriptedEngine(["<think>alike</think><answer>Similar</answer>"])
    with served(engine) as page:
        file = page.upload(photo)
        last = page.answers("compare", file, file, file)[-1]
    assert last["winner"] == "Similar"
    assert last["reference"] == "garden.png"
    (requests, _, _), *_ = engine.asked
    assert [request.reference for request in requests] == [True]


def test_several_photos_are_ranked_by_their_expected_rating(tmp_path: Path) -> None:
    for name, shade in (("dim.png", 90), ("bright.png", 250), ("dark.png", 10)):
        Image.new("RGB", (64, 56), (shade,) * 3).save(tmp_path / name)
    (tmp_path / "rubbish.jpg").write_bytes(b"rubbish")
    with served(PixelEngine()) as page:
        files = [
            page.upload(tmp_path / name) for name in ("dim.png", "bright.png", "dark.png", "rubbish.jpg")
        ]
        states = page.answers("rank", [*files, data_uri(tmp_path / "bright.png")])
        left = [*page.http.get("info").json()["named_endpoints"]]
    last = states[-1]
    assert [row["photo"] for row in last["photos"]][2:] == ["dim.png", "dark.png", "rubbish.jpg"]
    assert last["photos"][0]["expected_rating"] > last["photos"][2]["expected_rating"]
    assert last["photos"][-1]["error"]
    assert last["total"] == 5
    assert sorted(left) == ["/compare", "/diagnose", "/rank", "/score"]


def test_a_photo_may_come_as_a_data_uri_and_leaves_no_file(photo: Path) -> None:
    from qinsight.page.uploads import _scratch

    with served(ScriptedEngine(SCORE)) as page:
        before = {*os.listdir(_scratch())}
        assert page.answers("score", data_uri(photo))[-1]["rating"] == 4.25
        eventually(lambda: {*os.listdir(_scratch())} <= before)


def test_samples_are_drawn_and_summed_up(photo: Path) -> None:
    engine = ScriptedEngine(SCORE)
    with served(engine) as page:
        last = page.answers("score", page.upload(photo), 3, None, 7, 99)[-1]
    assert (last["rating"], last["spread"], len(last["samples"])) == (4.25, 0.0, 3)
    (requests, sampling, _), *_ = engine.asked
    assert (len(requests), sampling.temperature, sampling.seed, sampling.max_new_tokens) == (3, 1.0, 7, 99)


def test_gradio_client_uploads_streams_and_names_its_arguments(photo: Path) -> None:
    with served(PatientEngine(SCORE)) as page:
        client = Client(page.url, verbose=False)
        job = client.submit(photo=handle_file(str(photo)), seed=7, api_name="/score")
        states = [*job]
        client.close()
    assert states[-1]["rating"] == 4.25
    assert "Fine de" in [state["thinking"] for state in states]


def test_arguments_may_be_given_by_name_over_http(photo: Path) -> None:
    with served(ScriptedEngine(SCORE)) as page:
        called = page.http.post("call/v2/score", json={"photo": page.upload(photo), "seed": 7})
        assert called.status_code == 200, called.text
        *_, (event, last) = page.events("score", called.json()["event_id"])
    assert (event, last["rating"]) == ("complete", 4.25)


def test_an_unreadable_photo_is_a_sentence_without_a_path(tmp_path: Path) -> None:
    (tmp_path / "rubbish.jpg").write_bytes(b"rubbish")
    with served(ScriptedEngine(SCORE)) as page:
        last = page.answers("score", page.upload(tmp_path / "rubbish.jpg"))[-1]
    assert last["error"].startswith("Photo: expected a photo")
    assert str(tmp_path) not in json.dumps(last)


def test_an_upload_that_is_gone_is_explained(photo: Path, uploads: Path) -> None:
    with served(ScriptedEngine(SCORE)) as page:
        file = page.upload(photo)
        os.remove(file["path"])
        last = page.answers("score", file)[-1]
    assert last["error"] == "This upload has expired. Please upload the photo again."


# --- who leaves, and who waits ------------------------------------------------------------------------------


def patient() -> PatientEngine:
    return PatientEngine(ENDLESS, pause=0.02)


def test_a_dropped_connection_frees_the_model(photo: Path) -> None:
    engine = patient()
    with served(engine) as page:
        event = page.call("score", page.upload(photo)).json()["event_id"]
        for _, state in page.events("score", event):
            if state and state["thinking"]:
                break
        page.http.close()
        assert engine.stopped.wait(10)
        eventually(lambda: len(page.host.line) == 0, 1)


def test_a_dropped_connection_gives_up_the_place_in_line(photo: Path) -> None:
    engine = patient()
    with served(engine) as page:
        file = page.upload(photo)
        first = page.call("score", file).json()["event_id"]
        with page.http.stream("GET", f"call/score/{first}"):
            assert engine.begun.wait(5)
            second = page.call("score", file).json()["event_id"]
            for _, state in page.events("score", second):
                if state and state["before"] == 1:
                    break
            eventually(lambda: len(page.host.line) == 1, 1)
        assert len(engine.asked) == 1


def test_a_cancelled_job_frees_the_model(photo: Path) -> None:
    engine = patient()
    with served(engine) as page:
        client = Client(page.url, verbose=False)
        job = client.submit(photo=handle_file(str(photo)), api_name="/score")
        eventually(lambda: len(job.outputs()) > 1)
        job.cancel()
        assert engine.stopped.wait(10)
        eventually(lambda: len(page.host.line) == 0, 1)
        client.close()


def test_a_job_is_cancelled_by_its_event_whatever_else_the_call_says(
    photo: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    engine = patient()
    with served(engine) as page:
        for number in range(5):
            event = page.call("score", page.upload(photo)).json()["event_id"]
            with page.http.stream("GET", f"call/score/{event}") as stream:
                eventually(lambda number=number: len(engine.asked) == number + 1)
                body = {"session_hash": "somebody", "fn_index": 0, "event_id": event}
                assert page.http.post("cancel", json=body).status_code == 200
                stream.read()
            eventually(lambda: len(page.host.line) == 0, 1)
        eventually(lambda: not page.blocks._queue.event_ids_to_events, 2)
    assert "Traceback" not in capfd.readouterr().err


def test_a_cancelled_job_that_still_waits_never_asks_the_model(photo: Path) -> None:
    engine = patient()
    with served(engine) as page:
        clients = [Client(page.url, verbose=False) for _ in range(2)]
        jobs = [clients[0].submit(photo=handle_file(str(photo)), api_name="/score")]
        assert engine.begun.wait(5)
        jobs.append(clients[1].submit(photo=handle_file(str(photo)), api_name="/score"))
        eventually(lambda: any(state["before"] == 1 for state in jobs[1].outputs()))
        jobs[1].cancel()
        eventually(lambda: len(page.host.line) == 1, 1)
        jobs[0].cancel()
        eventually(lambda: len(page.host.line) == 0, 1)
        assert len(engine.asked) == 1


def test_a_full_line_is_503_and_a_sentence(photo: Path) -> None:
    with served(patient(), Line(longest=2)) as page:
        file = page.upload(photo)
        for _ in range(2):
            assert page.call("score", file).status_code == 200
        eventually(lambda: len(page.host.line) == 2)
        refused = page.call("score", file)
        assert refused.status_code == 503
        assert refused.json()["detail"] == "2 questions are waiting already. Please try again in a minute."


def test_one_session_with_too_many_questions_is_429_and_a_sentence(photo: Path) -> None:
    with served(patient(), Line(each=2)) as page:
        file = page.upload(photo)
        number = next(f._id for f in page_functions(page) if f.api_name == "score")

        def join(session: str) -> httpx.Response:
            body = {"data": [file], "fn_index": number, "session_hash": session}
            return page.http.post("queue/join", json=body)

        assert [join("greedy").status_code for _ in range(2)] == [200, 200]
        eventually(lambda: len(page.host.line) == 2)
        refused = join("greedy")
        assert (refused.status_code, refused.json()["detail"][:31]) == (
            429,
            "Expected at most 2 questions at",
        )
        assert join("modest").status_code == 200


def page_functions(page: Page) -> list[Any]:
    return [*page.blocks.fns.values()]


# --- strangers ------------------------------------------------------------------------------------------------


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
    (["PHOTO", 1, None, 42, 1, 1], "Expected at most 5 values for /score, got 6."),
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


# --- agents ---------------------------------------------------------------------------------------------------


def test_agents_find_four_tools_and_get_answers(photo: Path) -> None:
    pytest.importorskip("mcp")
    import anyio
    from mcp import ClientSession
    from mcp.client.streamable_http import streamablehttp_client

    async def talk(url: str, call: str, given: dict[str, Any]) -> tuple[Any, Any]:
        async with (
            streamablehttp_client(f"{url}/gradio_api/mcp/") as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            return await session.list_tools(), await session.call_tool(call, given)

    with served(ScriptedEngine(SCORE), mcp_server=True) as page:
        tools, answer = anyio.run(talk, page.url, "score", {"photo": data_uri(photo)})
        found = {tool.name: tool for tool in tools.tools}
        assert sorted(found) == ["compare", "diagnose", "rank", "score"]
        assert "from 1 (very poor) to 5 (excellent)" in found["score"].description
        described = found["score"].inputSchema["properties"]
        assert "data URI" in described["photo"]["description"]
        assert "request" not in described
        assert "'rating': 4.25" in answer.content[0].text
        _, refused = anyio.run(talk, page.url, "score", {"photo": "http://127.0.0.1:9/x.png"})
        assert refused.isError
        assert "Links and other files are not read." in refused.content[0].text


# --- Spaces ---------------------------------------------------------------------------------------------------


def test_a_space_serves_the_page_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_SSR_MODE", "True")
    with served(ScriptedEngine(SCORE)) as page:
        assert page.blocks.ssr_mode is False
        assert "gradio_config" in httpx.get(page.url, trust_env=False).text


# --- what the README says -------------------------------------------------------------------------------------


def readme_example(language: str, url: str) -> str:
    """The code in the README of the page, asked of this one."""
    code = (
        (REPOSITORY / "qinsight" / "page" / "README.md")
        .read_text(encoding="utf-8")
        .split(f"```{language}\n")[1]
        .split("```")[0]
    )
    assert "http://127.0.0.1:7860" in code
    return code.replace("http://127.0.0.1:7860", url)


def ran(*command: str) -> str:
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on this machine")
def test_the_readmes_curl_example_streams_an_answer() -> None:
    with served(PatientEngine(SCORE)) as page:
        told = ran("bash", "-euc", readme_example("sh", page.url))
    events = [line.removeprefix("data: ") for line in told.splitlines() if line.startswith("data: ")]
    states = [json.loads(event)[0] for event in events if event != "null"]
    assert {"Fine de", "Fine detail and little grain."} <= {state["thinking"] for state in states}
    assert (states[-1]["photo"], states[-1]["rating"]) == ("cat_blurred.jpg", 4.25)


def test_the_readmes_python_example_prints_the_thinking_and_the_answer() -> None:
    with served(PatientEngine(DIAGNOSIS)) as page:
        told = ran(sys.executable, "-c", readme_example("python", page.url))
    assert "The edges are soft." in told
    assert told.splitlines()[-1] == "blur obvious"


# --- behind a proxy -------------------------------------------------------------------------------------------


@contextlib.contextmanager
def proxied(url: str, name: str) -> Iterator[str]:
    """A proxy that has the page at /q-insight, under a name of its own."""
    import http.server

    class Proxy(http.server.BaseHTTPRequestHandler):
        def forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            path = self.path.removeprefix("/q-insight") or "/"
            headers = {key: value for key, value in self.headers.items() if key.lower() != "host"} | {
                "host": name
            }
            with httpx.stream(
                self.command, url + path, headers=headers, content=body, trust_env=False, timeout=30
            ) as answer:
                self.send_response(answer.status_code)
                for key, value in answer.headers.items():
                    if key not in ("transfer-encoding", "content-length", "connection", "content-encoding"):
                        self.send_header(key, value)
                self.end_headers()
                with contextlib.suppress(OSError):
                    for part in answer.iter_bytes():
                        self.wfile.write(part)
                        self.wfile.flush()

        do_GET = do_POST = do_HEAD = forward

        def log_message(self, *_: Any) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/q-insight"
    finally:
        server.shutdown()


@pytest.mark.parametrize("full", [True, False])
def test_the_page_and_its_api_work_behind_a_proxy_with_a_path(photo: Path, full: bool) -> None:
    root = "https://lab.example/q-insight" if full else "/q-insight"
    with (
        served(PatientEngine(SCORE), root_path=root, hosts=["lab.example"]) as page,
        proxied(page.url, "lab.example") as url,
    ):
        html = httpx.get(url + "/", trust_env=False).text
        assert "/q-insight" in html
        assert f'"{page.url}' not in html
        through = Page(url, page.host, page.blocks)
        states = through.answers("score", through.upload(photo))
        assert states[-1]["rating"] == 4.25
        assert len(states) > 2


def test_forged_events_of_the_page_are_refused_and_leave_no_trace(
    uploads: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    values: list[Any] = [
        None,
        7,
        1e300,
        True,
        "secret",
        [],
        {},
        [["secret"]],
        {"path": 7},
        {"path": "secret"},
    ]
    values += [
        {"headers": [1], "data": [[{}]]},
        {"__type__": "update", "value": 1},
        {"path": f"{uploads}/none"},
    ]
    events: list[Any] = [
        None,
        7,
        "secret",
        {},
        {"index": 10**9, "value": 1},
        {"index": "secret", "value": []},
    ]
    answers = Counter[int]()
    with served(ScriptedEngine(SCORE)) as page:
        headers = {"x-gradio-user": "app", "origin": page.url}
        for function in page_functions(page):
            for value, event in [(value, None) for value in values] + [(None, event) for event in events]:
                data = [value] * len(function.inputs)
                body = {"data": data, "fn_index": function._id, "session_hash": "s", "event_data": event}
                answer = page.http.post("run/predict", json=body, headers=headers)
                answers[answer.status_code] += 1
                assert answer.status_code in (200, 400, 404, 422), (function.name, value, answer.text)
                if answer.status_code != 200:
                    assert len(answer.json().get("detail") or answer.json()["error"]) > 10, answer.text
    assert min(answers[200], answers[404], answers[422]) > 20
    told = "".join(capfd.readouterr())
    assert "secret" not in told
    assert "Traceback" not in told
