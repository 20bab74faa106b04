"""The page, in a real browser where one is installed, around an engine that says what it is told."""

import csv
import hashlib
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gradio.data_classes import ImageData
from PIL import Image

from qinsight.errors import EngineError, Stopped
from qinsight.page import background
from qinsight.page.background import in_background
from qinsight.page.host import Host
from qinsight.page.line import Job
from qinsight.page.table import Tables
from qinsight.page.uploads import Darkroom, PhotoInput
from qinsight.photos import Photo
from qinsight.requests import Engine
from shared.api import page_functions
from shared.api import served as served_to_programs
from shared.engines import A_FIRST, B_FIRST, DIAGNOSIS, SCORE, PatientEngine, PixelEngine, ScriptedEngine
from shared.pages import eventually, served, shows, upload
from shared.pictures import photo_file
from shared.places import REPOSITORY


class RecordingDarkroom(Darkroom):
    """Decodes for real, and remembers the hash of every file it was handed."""

    def __init__(self) -> None:
        super().__init__()
        self.hashes: list[str] = []

    def decode(self, path: str, max_pixels: int, stop: threading.Event | None = None) -> Photo:
        self.hashes.append(hashlib.sha256(Path(path).read_bytes()).hexdigest())
        return super().decode(path, max_pixels, stop)


# --- in the browser ------------------------------------------------------------------------------------


@pytest.mark.browser
def test_an_uploaded_photo_is_rated_and_diagnosed_while_the_reasoning_can_be_read(
    visit: Callable[..., Any], photo: Path
) -> None:
    with served(ScriptedEngine(SCORE, DIAGNOSIS)) as url:
        page = visit(url)
        upload(page, photo)
        shows(page, "gauge", "4.25")
        shows(page, "band", "Obvious blur")
        shows(page, "score-words", "Fine detail and little grain.")
        shows(page, "diagnosis-words", "The edges are soft.")
        shows(page, "status", "PNG, 224 × 168; rated at 224 × 168")
        assert page.locator("#gauge [role=meter]").get_attribute("aria-valuenow") == "4.25"
        page.wait_for_function("!document.querySelector('#assess').disabled")
        assert not page.locator("#stop").is_enabled()


@pytest.mark.browser
def test_an_example_is_shown_and_assessed(visit: Callable[..., Any]) -> None:
    darkroom = RecordingDarkroom()
    with served(ScriptedEngine(SCORE, DIAGNOSIS), darkroom) as url:
        page = visit(url)
        page.locator("#examples button").nth(1).click()
        shows(page, "gauge", "4.25")
        page.locator("#photo img").wait_for()
    examples = sorted((REPOSITORY / "examples" / "photos").glob("*.jpg"))
    assert darkroom.hashes == [hashlib.sha256(examples[1].read_bytes()).hexdigest()]


@pytest.mark.browser
@pytest.mark.parametrize(
    ("name", "image", "options"),
    [
        ("gray.jpg", Image.linear_gradient("L"), {"quality": 95}),
        ("cmyk.jpg", Image.new("CMYK", (80, 60), (200, 10, 30, 5)), {"quality": 95}),
        ("sixteen.png", Image.new("I;16", (80, 60), 30_000), {}),
        ("alpha.png", Image.new("RGBA", (80, 60), (200, 10, 30, 90)), {}),
        ("print.tif", Image.new("RGB", (80, 60), (200, 10, 30)), {}),
        (
            "sideways.jpg",
            Image.new("RGB", (80, 60), (200, 10, 30)),
            {"exif": b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"},
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_uploaded_bytes_reach_the_decoder_unchanged(
    visit: Callable[..., Any], tmp_path: Path, name: str, image: Image.Image, options: dict[str, Any]
) -> None:
    file = photo_file(tmp_path, name, image, **options)
    darkroom = RecordingDarkroom()
    with served(ScriptedEngine(SCORE, DIAGNOSIS), darkroom) as url:
        page = visit(url)
        upload(page, file)
        shows(page, "gauge", "4.25")
        page.locator("#photo img").wait_for()
        page.locator("#assess").click()  # once more, now that the page shows a preview of a TIFF
        eventually(lambda: len(darkroom.hashes) == 2)
    assert darkroom.hashes == [hashlib.sha256(Path(file).read_bytes()).hexdigest()] * 2


@pytest.mark.browser
def test_tags_html_and_scripts_in_a_reply_are_shown_as_text(visit: Callable[..., Any], photo: Path) -> None:
    hostile = '<img src=x onerror="window.hacked=1"><script>window.hacked=2</script> **bold** ${window.hacked=3} ${alert(4)} `+alert(5)+` {{value}}'
    score = [f"<think>{hostile}</think><answer>", '{"rating": "<b>9${window.hacked=6}</b>"}</answer>']
    with served(ScriptedEngine(score, DIAGNOSIS)) as url:
        page = visit(url)
        dialogs: list[str] = []
        page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
        upload(page, photo)
        shows(page, "score-words", hostile)
        shows(page, "score-words", "the model said '<b>9${window.hacked=6}</b>'")
        shows(page, "gauge", "No answer")
        assert page.evaluate("window.hacked") is None
        assert dialogs == []


@pytest.mark.browser
def test_a_rubbish_file_with_a_hostile_name_gets_a_sentence_and_the_old_answer_goes(
    visit: Callable[..., Any], photo: Path
) -> None:
    with served(ScriptedEngine(SCORE, DIAGNOSIS)) as url:
        page = visit(url)
        upload(page, photo)
        shows(page, "gauge", "4.25")
        page.locator("#photo .icon-button-wrapper button").last.click()
        shows(page, "gauge", "–")
        name = "<img src=x onerror=window.hacked=1>.jpg"
        upload(page, {"name": name, "mimeType": "image/jpeg", "buffer": b"rubbish"})
        shows(page, "problem", "Expected a photo")
        assert page.locator("#gauge", has_text="4.25").count() == 0
        assert page.evaluate("window.hacked") is None


@pytest.mark.browser
def test_stop_stops_the_model_and_gives_the_buttons_back(visit: Callable[..., Any], photo: Path) -> None:
    engine = PatientEngine(["<think>on ", *["and on "] * 1000])
    with served(engine) as url:
        page = visit(url)
        upload(page, photo)
        shows(page, "score-words", "and on")
        page.locator("#stop").click()
        shows(page, "status", "Stopped.")
        assert engine.stopped.wait(5)
        assert page.locator("#assess").is_enabled()
        assert not page.locator("#stop").is_enabled()


@pytest.mark.browser
def test_closing_the_tab_frees_the_model(visit: Callable[..., Any], photo: Path) -> None:
    engine = PatientEngine(["<think>on ", *["and on "] * 1000])
    with served(engine) as url:
        page = visit(url)
        upload(page, photo)
        shows(page, "score-words", "and on")
        page.close()
        assert engine.stopped.wait(10)


@pytest.mark.browser
def test_a_second_photo_never_shows_the_first_ones_answer(
    visit: Callable[..., Any], photo: Path, tmp_path: Path
) -> None:
    first = ["<think>FIRST ", *["FIRST "] * 3000, '</think><answer>{"rating": 1.11}</answer>']
    second = ["<think>SECOND ", *["SECOND "] * 10, '</think><answer>{"rating": 4.44}</answer>']
    engine = PatientEngine(first, second, pause=0.05)
    other = photo_file(tmp_path, "other.png", Image.new("RGB", (112, 112), (10, 200, 30)))
    with served(engine) as url:
        page = visit(url)
        upload(page, photo)
        shows(page, "score-words", "FIRST")
        page.locator("#photo .icon-button-wrapper button").last.click()
        upload(page, other)
        page.wait_for_selector("#status p:has-text('112')")
        seen = set()
        for _ in range(100):
            words = page.locator("#score-words").inner_text()
            seen |= set(words.split())
            if "4.44" in page.locator("#gauge").inner_text():
                break
            time.sleep(0.03)
        shows(page, "gauge", "4.44")
        assert "FIRST" not in seen
        assert engine.stopped.is_set()


@pytest.mark.browser
@pytest.mark.parametrize(
    ("second", "sentence"),
    [(B_FIRST, "Photo A is better, in both orders."), (A_FIRST, "Too close, or order-dependent")],
    ids=["orders agree", "orders disagree"],
)
def test_a_winner_is_named_only_where_both_orders_agree(
    visit: Callable[..., Any], photo: Path, tmp_path: Path, second: list[str], sentence: str
) -> None:
    other = photo_file(tmp_path, "other.png", Image.new("RGB", (112, 168), (10, 200, 30)))
    engine = ScriptedEngine(A_FIRST, second)
    with served(engine) as url:
        page = visit(url)
        page.get_by_role("tab", name="Compare").click()
        upload(page, photo, "photo-a")
        upload(page, other, "photo-b")
        page.locator("#slider img").first.wait_for()
        shows(page, "verdict", sentence)
        shows(page, "first-words", "left")
        assert page.locator("#second-words").inner_text().strip()
        page.locator("#swap").click()
        shows(page, "verdict", sentence.replace("Photo A", "Photo B"))
    ((requests, _, _),) = engine.asked  # by itself, once there were two; exchanging them asks nothing
    sizes = [[photo.size for photo in request.photos] for request in requests]
    assert sizes == [[(224, 168), (112, 168)], [(112, 168), (224, 168)]]


@pytest.mark.browser
def test_with_a_reference_the_comparison_is_asked_once_with_it(
    visit: Callable[..., Any], photo: Path
) -> None:
    engine = ScriptedEngine(["<think>alike</think><answer>Similar</answer>"])
    with served(engine) as url:
        page = visit(url)
        page.get_by_role("tab", name="Compare").click()
        page.get_by_text("Reference (optional)").click()
        for where in ("photo-a", "photo-b", "photo-reference"):
            upload(page, photo, where)
            page.locator(f"#{where} img").first.wait_for()
        page.locator("#compare").click()
        shows(page, "verdict", "About equally good, against the reference.")
        assert not page.locator("#second-panel").is_visible()
    requests, _, _ = engine.asked[-1]
    assert [request.reference for request in requests] == [True]


@pytest.mark.browser
def test_many_photos_are_ranked_filtered_and_taken_home(visit: Callable[..., Any], tmp_path: Path) -> None:
    names = ["bright.png", "dim.png", "<img src=x onerror=window.hacked=1>.png"]
    for name, shade in zip(names, (250, 120, 20), strict=True):
        photo_file(tmp_path, name, Image.new("RGB", (64, 56), (shade,) * 3))
    (tmp_path / "rubbish.jpg").write_bytes(b"rubbish")
    with served(PixelEngine()) as url:
        page = visit(url)
        page.get_by_role("tab", name="Shoot").click()
        upload(page, [str(tmp_path / name) for name in (*names, "rubbish.jpg")], "rank-files")
        shows(page, "rank-status", "4 photos.")  # their cards have come and move nothing under the hand
        page.locator("#rank").click()
        shows(page, "rank-status", "3 photos rated, 1 could not be read.")
        shows(page, "rank-table", "Expected a photo".lower())
        assert page.evaluate("window.hacked") is None
        with page.expect_download() as download:
            page.locator("#download-csv").click()
        text = Path(download.value.path()).read_text(encoding="utf-8-sig")
        found = list(csv.DictReader(io.StringIO(text)))
        assert [row["photo"] for row in found][:2] == ["bright.png", "dim.png"]
        assert float(found[0]["expected_rating"]) > float(found[1]["expected_rating"])
        for kind in ("jsonl", "html", "xmp"):
            with page.expect_download() as download:
                page.locator(f"#download-{kind}").click()
            assert Path(download.value.path()).stat().st_size > 200
        page.locator("#rank-table [data-slider=high]").fill("4")
        page.locator("#rank-table [data-one=picked]").click()
        page.wait_for_function(
            "!document.querySelector('#rank-table .qi-cards').innerText.includes('dim.png')"
        )
        assert "bright.png" in page.locator("#rank-table .qi-cards").inner_text()


@pytest.mark.browser
def test_a_folder_of_this_computer_is_ranked_where_it_is_and_the_run_resumes(
    visit: Callable[..., Any], tmp_path: Path
) -> None:
    folder = tmp_path / "shoot"
    folder.mkdir()
    for shade in (10, 20, 30):
        photo_file(folder, f"{shade}.png", Image.new("RGB", (64, 56), (shade,) * 3))
    engine = PixelEngine()
    with served(engine, local=True) as url:
        page = visit(url)
        page.get_by_role("tab", name="Shoot").click()
        page.locator("#rank-path textarea, #rank-path input").first.fill(str(folder))
        for _ in range(2):
            page.locator("#rank").click()
            shows(page, "rank-status", "3 photos rated.")
            page.wait_for_function("document.querySelector('#rank').disabled === false")
    assert engine.photos == 3
    assert sorted(path.name for path in folder.iterdir()) == ["10.png", "20.png", "30.png", "q-insight"]
    with served(PixelEngine()) as url:
        assert not visit(url).locator("#rank-path").is_visible()


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_nothing_is_cut_off_and_no_request_leaves_the_machine(
    visit: Callable[..., Any], photo: Path, scheme: str
) -> None:
    with served(ScriptedEngine(SCORE, DIAGNOSIS)) as url:
        page = visit(
            url,
            viewport={"width": 390, "height": 844},
            color_scheme=scheme,
            is_mobile=True,
            has_touch=True,
        )
        elsewhere: list[str] = []
        page.on(
            "request",
            lambda r: elsewhere.append(r.url) if not r.url.startswith((url, "data:", "blob:")) else None,
        )
        page.reload()
        page.wait_for_selector("#headline p:has-text('scripted')")
        upload(page, photo)
        shows(page, "gauge", "4.25")
        for tab in ("Assess", "Compare", "Shoot", "About"):
            page.get_by_role("tab", name=tab).click()
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.get_by_role("tab", name="Assess").click()
        right = page.locator("#band li").last.evaluate("e => e.getBoundingClientRect().right")
        assert right <= 390
        assert elsewhere == []


@pytest.mark.browser
def test_a_photo_is_assessed_with_the_keyboard_alone(visit: Callable[..., Any], photo: Path) -> None:
    engine = ScriptedEngine(SCORE, DIAGNOSIS)
    with served(engine) as url:
        page = visit(url)
        upload(page, photo)  # a file chooser is the system's own
        shows(page, "gauge", "4.25")
        page.wait_for_function("document.querySelector('#assess').disabled === false")
        page.locator("body").press("Tab")
        for _ in range(40):
            if page.evaluate("document.activeElement.id") == "assess":
                break
            page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == "assess"
        page.keyboard.press("Enter")
        eventually(lambda: len(engine.asked) == 2)


@pytest.mark.browser
def test_the_page_can_be_installed_as_an_app(visit: Callable[..., Any]) -> None:
    with served(ScriptedEngine(SCORE, DIAGNOSIS)) as url:
        page = visit(url)
        manifest = page.request.get(f"{url}manifest.json").json()
        assert manifest["display"] == "standalone"
        icon = page.request.get(f"{url}{manifest['icons'][0]['src'].lstrip('./')}")
        assert Image.open(io.BytesIO(icon.body())).size[0] >= 192


# --- behind it -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["/etc/passwd", "secret.png", "link.png"])
def test_a_path_from_outside_the_upload_folder_is_refused(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "uploads"
    folder.mkdir()
    secret = tmp_path / "secret.png"
    Image.new("RGB", (8, 8)).save(secret)
    (folder / "link.png").symlink_to(secret)
    path = {"secret.png": secret, "link.png": folder / "link.png"}.get(name, Path(name))
    assert PhotoInput(type="filepath").preprocess(ImageData(path=str(path), orig_name="x.svg")) is None


@pytest.mark.parametrize(
    ("language", "told"),
    [
        ("en-GB", "upload has expired; please upload"),
        ("zh-CN", "照片已过期"),
        ("ja", "期限が切れました"),
    ],
)
@pytest.mark.parametrize("tab", ["AssessTab", "CompareTab", "RankTab"])
def test_an_upload_that_is_gone_is_explained_in_the_visitors_language_and_its_name_is_not_logged(
    tab: str, language: str, told: str, photo: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with served_to_programs(ScriptedEngine(SCORE, DIAGNOSIS)) as page:
        gone = page.upload(photo, "secret.png")
        Path(gone["path"]).unlink()
        given = {
            "AssessTab": [gone],
            "CompareTab": [gone] * 2 + [None],
            "RankTab": [[gone], ""],
        }
        turn, run = (
            next(f for f in page_functions(page) if f.name == name and type(f.fn.__self__).__name__ == tab)
            for name in ("turn_to", "run")
        )
        page.http.headers.update({"x-gradio-user": "app", "origin": page.url, "accept-language": language})
        call: dict[str, Any] = {"session_hash": "visitor", "trigger_id": 0}
        data = [{"number": 1}, *given[tab]]
        laid = page.http.post("run/predict", json=call | {"fn_index": turn._id, "data": data})
        laid.raise_for_status()
        page.http.post("queue/join", json=call | {"fn_index": run._id, "data": []}).raise_for_status()
        with page.http.stream("GET", "queue/data?session_hash=visitor") as events:
            messages = [json.loads(line[6:]) for line in events.iter_lines() if line]
    last = next(one["output"] for one in messages if one["msg"] == "process_completed")
    assert told in json.dumps(last, ensure_ascii=False)
    assert "secret" not in capfd.readouterr().err


def test_a_forged_path_sent_to_the_server_is_never_decoded(tmp_path: Path) -> None:
    import httpx

    secret = tmp_path / "secret.png"
    Image.new("RGB", (64, 64)).save(secret)
    darkroom = RecordingDarkroom()
    with served(ScriptedEngine(SCORE, DIAGNOSIS), darkroom) as url:
        config = httpx.get(f"{url}config").json()
        targets = [d["id"] for d in config["dependencies"] if any(t[1] == "upload" for t in d["targets"])]
        assert targets
        for target in targets:
            body = {
                "data": [{"path": str(secret)}] * 3,
                "fn_index": target,
                "session_hash": "s",
                "trigger_id": 0,
            }
            httpx.post(f"{url}gradio_api/queue/join", json=body)
            httpx.post(f"{url}gradio_api/run/predict", json=body)
        with httpx.stream("GET", f"{url}gradio_api/queue/data?session_hash=s", timeout=10) as events:
            for event in events.iter_lines():
                if "close_stream" in event:
                    break
                message = json.loads(event.removeprefix("data: ")) if event else {}
                assert "4.25" not in json.dumps(message)
    assert darkroom.hashes == []


def test_background_work_is_stopped_when_its_reader_goes_and_leaves_no_thread() -> None:
    job, ended = Job(), threading.Event()

    def work(job: Job) -> Iterator[int]:
        number = 0
        while not job.stopped.wait(0.01):
            yield (number := number + 1)
        ended.set()

    states = in_background(work, job)
    assert next(states) is not None
    states.close()
    assert ended.wait(2)
    eventually(lambda: not any(thread.name == "qinsight-work" for thread in threading.enumerate()))


def test_what_background_work_raises_reaches_its_reader_after_its_last_state() -> None:
    def work(job: Job) -> Iterator[str]:
        yield "half"
        raise EngineError("The model broke.")

    seen = []
    with pytest.raises(EngineError, match="The model broke"):
        seen.extend(in_background(work, Job()))
    assert seen[-1] == "half"


def test_silent_background_work_gives_a_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "HEARTBEAT", 0.2)
    go = threading.Event()

    def work(job: Job) -> Iterator[str]:
        go.wait(60)
        yield "late"

    states = in_background(work, Job())
    assert next(states) is None
    go.set()
    assert "late" in [*states]


def test_a_new_question_ends_the_visitors_old_one_and_nobody_elses() -> None:
    tables = Tables()
    asked = []
    for visitor in ("one", "two"):
        assert tables.turn_to(visitor, 1, "photo")
        question = tables.begin(visitor)
        assert question is not None
        asked.append(question)
    assert tables.turn_to("one", 2, "other photo")
    assert [bool(question.job and question.job.stopped.is_set()) for question in asked] == [True, False]


def test_what_arrives_late_of_an_older_choice_changes_nothing_and_nothing_is_asked_twice() -> None:
    tables = Tables()
    assert tables.turn_to("visitor", 2, "second")
    assert not tables.turn_to("visitor", 1, "first")
    question = tables.begin("visitor")
    assert question is not None
    assert question.subject == "second"
    assert tables.begin("visitor") is None
    tables.stop("visitor", 1)
    assert not question.job.stopped.is_set()  # type: ignore[union-attr]
    tables.stop("visitor", 2)
    assert question.job.stopped.is_set()  # type: ignore[union-attr]


def test_a_question_that_is_stopped_before_its_turn_is_never_asked_on() -> None:
    tables = Tables()
    tables.turn_to("visitor", 1, "photo")
    tables.stop("visitor", 1)
    question = tables.begin("visitor")
    assert question is not None
    assert question.job.stopped.is_set()  # type: ignore[union-attr]


def test_a_model_that_cannot_be_loaded_is_explained_to_every_visitor_and_on_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def broken(progress: Any) -> Engine:
        raise EngineError("Expected a folder with a checkpoint.")

    host = Host(broken)
    host.start()
    with pytest.raises(EngineError, match="Expected a folder"):
        list(host.wait(Job(), str))
    assert host.status == "Expected a folder with a checkpoint."
    assert "Expected a folder with a checkpoint." in capsys.readouterr().err


def test_a_port_that_is_taken_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    import socket

    import app

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert app.main(["--no-browser", "--model", "preview", "--port", str(port)]) == 1
    assert f"port {port} is taken" in capsys.readouterr().err


def test_visitors_see_how_far_the_model_has_loaded_and_may_leave() -> None:
    go = threading.Event()

    def slow(progress: Callable[[str, float | None], None]) -> Engine:
        progress("Downloading (16.6 GB, once)", 0.25)
        go.wait(5)
        return ScriptedEngine(SCORE)

    host = Host(slow)
    host.start()
    job = Job()
    waiting = host.wait(job, str)
    seen = [next(waiting), next(waiting)]
    assert "Downloading (16.6 GB, once), 25%" in seen[-1]
    job.stop()
    with pytest.raises(Stopped):
        list(waiting)
    go.set()
    list(host.wait(Job(), str))
    assert host.about is not None
