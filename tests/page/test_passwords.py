"""A page that others can reach asks for name and password, and tells nobody else anything."""

import base64
import contextlib
import io
import os
import signal
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest
from PIL import Image

import app
from qinsight.errors import QInsightError
from qinsight.page.passwords import (
    ADDRESSES,
    TRIES,
    WITHIN,
    Tries,
    is_open_to_others,
    read_passwords,
    who_may,
)
from shared.engines import DIAGNOSIS, SCORE, ScriptedEngine
from shared.pages import served_at_a_port, shows, upload
from shared.program import App

PAIRS = [("ann", "hush:1"), ("bo", "still")]
OWN = "x-gradio-user"


@pytest.fixture(scope="module")
def guarded() -> Iterator[tuple[int, Any]]:
    with served_at_a_port(ScriptedEngine(SCORE, DIAGNOSIS), auth=PAIRS, local=True) as (port, page, _):
        yield port, page


@pytest.fixture
def http(guarded: tuple[int, Any]) -> Iterator[httpx.Client]:
    port, _ = guarded
    address = f"http://127.0.0.1:{port}"
    with httpx.Client(base_url=address, timeout=30, headers={"origin": address, OWN: "app"}) as client:
        yield client


def photo() -> bytes:
    file = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").save(file, "PNG")
    return file.getvalue()


def log_in(http: httpx.Client, name: str = "ann", password: str = "hush:1") -> int:
    return http.post("/login", data={"username": name, "password": password}).status_code


# --- a stranger -------------------------------------------------------------------------------------------------------


def test_without_the_password_no_photo_can_be_sent(http: httpx.Client) -> None:
    assert http.post("/gradio_api/upload", files={"files": ("a.png", photo())}).status_code == 401
    data = {"data": ["data:image/png;base64,AAAA"]}
    assert http.post("/gradio_api/call/score", json=data).status_code == 401


def test_without_the_password_nothing_is_asked_read_or_listed(
    http: httpx.Client, guarded: tuple[int, Any], tmp_path: Path
) -> None:
    _, page = guarded
    assert http.get("/config").status_code == 401
    assert http.get("/gradio_api/info").status_code == 401
    assert http.get(f"/gradio_api/file={tmp_path}").status_code == 401
    assert http.get("/gradio_api/queue/data?session_hash=abc").status_code in (401, 404)
    for picture in (
        "loupe/aaaaaaaaaaaaaaaaaaaa",
        "loupe/alive/aaaaaaaaaaaaaaaaaaaa",
        "photo/1234567890/small",
    ):
        assert http.get(f"/gradio_api/{picture}").status_code == 401
    asked = 0
    for number, function in page.fns.items():
        if function.fn is None:
            continue
        values = [None] * len(function.inputs)
        body = {"fn_index": number, "data": values, "session_hash": "abc"}
        answer = http.post("/gradio_api/queue/join", json=body)
        assert answer.status_code in (401, 422), (number, answer.status_code)
        asked += answer.status_code == 401
    assert asked > 5


def test_a_stranger_sees_a_login_and_nothing_of_the_page(http: httpx.Client) -> None:
    answer = http.get("/")
    assert answer.status_code == 200
    assert "auth_required" in answer.text
    assert "gauge" not in answer.text


@pytest.mark.parametrize(("name", "password"), [("ann", "still"), ("ann", ""), ("", ""), ("eve", "hush:1")])
def test_a_wrong_pair_opens_nothing(http: httpx.Client, name: str, password: str) -> None:
    assert log_in(http, name, password) in (400, 422)
    assert http.post("/gradio_api/upload", files={"files": ("a.png", photo())}).status_code == 401


def test_a_login_of_megabytes_is_refused(http: httpx.Client) -> None:
    assert log_in(http, "ann", "x" * 100_000) == 413


def test_who_tries_password_after_password_is_made_to_wait_even_with_the_right_one() -> None:
    with (
        served_at_a_port(ScriptedEngine(SCORE), auth=PAIRS, local=True) as (port, _, _),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as http,
    ):
        assert {log_in(http, password=str(number)) for number in range(TRIES)} == {400}
        assert log_in(http) == 429
        assert http.get("/gradio_api/info").status_code == 401


def test_a_try_is_forgotten_after_its_time_and_nobody_waits_for_another_address() -> None:
    now = [0.0]
    tries = Tries(lambda: now[0])
    assert [tries.again_in("a") for _ in range(TRIES)] == [0.0] * TRIES
    assert tries.again_in("a") == WITHIN
    assert tries.again_in("b") == 0
    now[0] = WITHIN - 1
    assert tries.again_in("a") == 1
    now[0] = WITHIN
    assert tries.again_in("a") == 0


def test_who_knows_the_password_never_waits_for_his_own_logins_nor_for_others_of_his_address() -> None:
    with (
        served_at_a_port(ScriptedEngine(SCORE), auth=PAIRS, local=True) as (port, _, _),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as http,
    ):
        assert {log_in(http, *PAIRS[number % 2]) for number in range(TRIES + 5)} == {200}
        assert log_in(http, password="wrong") == 400
        assert {log_in(http) for _ in range(TRIES)} == {200}


def test_a_login_among_failed_ones_forgives_none_of_them() -> None:
    tries = Tries(lambda: 0.0)
    for _ in range(TRIES - 1):
        tries.again_in("a")
    assert tries.again_in("a") == 0
    tries.succeeded("a")
    assert [tries.again_in("a"), tries.again_in("a")] == [0, WITHIN]
    tries.succeeded("nobody")


@pytest.mark.parametrize("typed", ["NFC", "NFD"])
@pytest.mark.parametrize("stored", ["NFC", "NFD"])
def test_an_accent_opens_the_page_however_it_was_typed_or_stored(
    tmp_path: Path, stored: Literal["NFC", "NFD"], typed: Literal["NFC", "NFD"]
) -> None:
    file = tmp_path / "passwords"
    file.write_text(unicodedata.normalize(stored, "zoë:crème:1\n"), "utf-8")
    may = who_may(read_passwords(file))
    name, password = (unicodedata.normalize(typed, text) for text in ("zoë", "crème:1"))
    assert may(name, password)
    assert not may(name, "creme:1")
    assert not may("zoe", password)
    assert not may("eve", "")
    assert not may("\ud800", "\ud800")


def test_addresses_without_number_fill_no_memory() -> None:
    tries = Tries()
    for number in range(ADDRESSES + 50):
        tries.again_in(str(number))
    assert len(tries._tried) == ADDRESSES


# --- who has one ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "password"), PAIRS)
def test_with_the_password_a_photo_is_sent_and_answered(http: httpx.Client, name: str, password: str) -> None:
    assert log_in(http, name, password) == 200
    assert http.post("/gradio_api/upload", files={"files": ("a.png", photo())}).status_code == 200
    uri = "data:image/png;base64," + base64.b64encode(photo()).decode()
    event = http.post("/gradio_api/call/score", json={"data": [uri]}).json()["event_id"]
    assert '"rating": 4.25' in http.get(f"/gradio_api/call/score/{event}").text


def test_who_logs_out_is_a_stranger_again(http: httpx.Client) -> None:
    assert log_in(http) == 200
    http.get("/logout")
    assert http.post("/gradio_api/upload", files={"files": ("a.png", photo())}).status_code == 401


@pytest.mark.browser
def test_a_person_types_name_and_password_and_has_the_page(browser: Any, tmp_path: Path) -> None:
    picture = tmp_path / "photo.png"
    picture.write_bytes(photo())
    with served_at_a_port(ScriptedEngine(SCORE, DIAGNOSIS), auth=PAIRS) as (port, *_):
        context = browser.new_context()
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.goto(f"http://127.0.0.1:{port}")
        page.wait_for_selector("input[type=password]")
        assert page.locator("#photo").count() == 0
        page.locator("input").first.fill("ann")
        page.locator("input[type=password]").fill("hush:1")
        page.locator("button", has_text="Login").click()
        page.wait_for_selector("#headline p:has-text('scripted')")
        upload(page, picture)
        shows(page, "gauge", "4.25")
        context.close()


def test_a_page_without_passwords_has_no_login() -> None:
    with served_at_a_port(ScriptedEngine(SCORE)) as (port, *_):
        assert httpx.post(f"http://127.0.0.1:{port}/login", data={"username": "a"}).status_code == 404
        assert httpx.get(f"http://127.0.0.1:{port}/logout").status_code == 404


# --- the file and the flags -------------------------------------------------------------------------------------------


def test_a_comment_is_nobodys_name(tmp_path: Path) -> None:
    file = tmp_path / "passwords"
    file.write_text("# users: x\nann:hush:1\n  # bo:gone\nbo:still\n", "utf-8")
    assert read_passwords(file) == PAIRS


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_a_pipe_that_nobody_writes_to_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert app.main(["--model", "preview", "--no-browser", "--auth", str(tmp_path / "pipe")]) == 1
    assert "it is no regular file" in capsys.readouterr().err


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_a_file_has_a_pair_on_each_line(tmp_path: Path, ending: str) -> None:
    file = tmp_path / "passwords"
    file.write_bytes(b"\xef\xbb\xbf" + ending.join(["ann:hush:1", "", " bo :still", "äöü:ñ"]).encode())
    assert read_passwords(file) == [*PAIRS, ("äöü", "ñ")]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is empty"),
        (b"\n \n", "it is empty"),
        (b"ann:x\nbo secret", "line 2"),
        (b"ann:", "line 1"),
        (b":secret", "line 1"),
        (b" :secret", "line 1"),
        (b"ann:secret\nbo:y\nann:secret", "line 3"),
        (b"ann:\xff\xfe", "not one"),
        (b"a:" + b"x" * (1 << 20), "larger"),
    ],
)
def test_a_broken_file_is_a_sentence_that_tells_no_password(
    tmp_path: Path, content: bytes, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "passwords"
    file.write_bytes(content)
    with pytest.raises(QInsightError, match=said) as error:
        read_passwords(file)
    assert "secret" not in str(error.value)
    assert app.main(["--model", "preview", "--no-browser", "--auth", str(file)]) == 1
    told = capsys.readouterr().err
    assert said in told
    assert len(told.splitlines()) == 1


@pytest.mark.parametrize("name", ["nowhere", "."])
def test_a_file_that_cannot_be_read_is_a_sentence(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.main(["--model", "preview", "--no-browser", "--auth", str(tmp_path / name)]) == 1
    assert "Expected a readable file of lines name:password" in capsys.readouterr().err


def test_agents_who_would_not_be_asked_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    assert app.main(["--model", "preview", "--mcp", "--auth", str(tmp_path / "x")]) == 1
    assert "Expected --auth without --mcp" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("address", "share", "reachable"),
    [
        ("127.0.0.1", False, False),
        ("localhost", False, False),
        ("::1", False, False),
        ("0.0.0.0", False, True),
        ("::", False, True),
        ("192.168.1.5", False, True),
        ("127.0.0.1", True, True),
    ],
)
def test_a_page_that_others_can_reach_is_known(address: str, share: bool, reachable: bool) -> None:
    assert is_open_to_others(address, share) is reachable


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., App]]:
    pages = []

    def start(*flags: str) -> App:
        folder = tmp_path / f"temporary{len(pages)}"
        folder.mkdir()
        pages.append(App(folder, *flags))
        return pages[-1].ready()

    yield start
    for page in pages:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(page.process.pid, signal.SIGKILL)
        page.process.wait(10)


@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
def test_the_program_says_in_a_line_that_everybody_may_and_is_silent_where_a_password_is_asked_for(
    started: Callable[..., App], tmp_path: Path
) -> None:
    file = tmp_path / "passwords"
    file.write_text("ann:hush:1\n", encoding="utf-8")
    line = "Whoever can reach this page may use it; --auth FILE asks for a name and a password."
    guarded = started("--host", "0.0.0.0", "--auth", str(file))
    assert guarded.http.post("/gradio_api/upload", files={"files": photo()}).status_code == 401
    assert log_in(guarded.http) == 200
    assert guarded.upload()
    assert line not in guarded.end(signal.SIGTERM)
    assert line in started("--host", "0.0.0.0").end(signal.SIGTERM)
    assert line not in started().end(signal.SIGTERM)
