"""The page's API, asked of a served page as scripts, `gradio_client` and strangers ask it."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio_client import Client, handle_file
from PIL import Image

from qinsight.requests import Delta, Reading, Stage
from shared.api import Page, data_uri, page_functions, served
from shared.engines import (
    A_FIRST,
    B_FIRST,
    DIAGNOSIS,
    SCORE,
    PatientEngine,
    PixelEngine,
    ScriptedEngine,
)
from shared.pages import eventually
from shared.places import REPOSITORY

# --- the four questions ------------------------------------------------------------------------------------


def test_a_score_arrives_with_its_thinking_growing(photo: Path) -> None:
    with served(PatientEngine(SCORE)) as page:
        states = page.answers("score", page.upload(photo))
    thoughts = [state["thinking"] for state in states]
    assert {None, "Fine de", "Fine detail and little grain."} <= set(thoughts)
    last = states[-1]
    assert last.pop("made_by")["batch"] == {"questions": ["score"], "photos": 1}
    assert last | {"seconds": 0} == {
        "photo": "photo.png",
        "task": "score",
        "rating": 4.25,
        "thinking": "Fine detail and little grain.",
        "reply": "".join(SCORE),
        "tokens": 5,
        "seconds": 0,
        "model": "scripted",
        "error": None,
        "reading": None,
        "status": "done",
        "before": 0,
    }
    assert all(state["rating"] is None for state in states if state["tokens"] < 5)  # before its last word


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
        assert found == expected | {"reading": None, "status": "done", "before": 0}


@pytest.mark.parametrize("name", ["score", "compare"])
def test_a_slow_model_says_how_far_it_is_before_its_first_word(photo: Path, name: str) -> None:
    class Slow(PatientEngine):
        """Tells two layers before its words."""

        def stream(self, *asked: Any, stop: Any = None, **how: Any) -> Iterator[Delta]:
            for number, stage in enumerate(Stage):
                yield Delta(0, "", 0, reading=Reading(stage, 7, 28, number / 2, 40.0 if number else None))
                stop.wait(0.3)
            yield from super().stream(*asked, stop=stop, **how)

    with served(Slow(SCORE if name == "score" else A_FIRST)) as page:
        file = page.upload(photo)
        states = page.answers(name, *[file] * (1 if name == "score" else 2))
    far = [state["reading"] for state in states if state["status"] == "reading"]
    assert {"stage": "looking", "layer": 7, "layers": 28, "share": 0.0, "seconds_left": None} in far
    assert {"stage": "reading", "layer": 7, "layers": 28, "share": 0.5, "seconds_left": 40.0} in far
    assert all(state["reading"] is None for state in states if state["status"] != "reading")
    told = list(dict.fromkeys(state["status"] for state in states))
    assert told == [one for one in ("waiting", "reading", "thinking", "done") if one in told]
    assert states[-1]["tokens"]


def test_with_a_reference_the_comparison_is_asked_once_with_it(photo: Path) -> None:
    engine = ScriptedEngine(["<think>alike</think><answer>Similar</answer>"])
    with served(engine) as page:
        file = page.upload(photo)
        last = page.answers("compare", file, file, file)[-1]
    assert last["winner"] == "Similar"
    assert last["reference"] == "photo.png"
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
