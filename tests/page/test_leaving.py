"""A page that ends leaves nobody half-told, no process and, after the next start, no file."""

import contextlib
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from qinsight.errors import QInsightError
from qinsight.keeping import LOCK, PREFIX, Keep, sweep
from shared.pages import eventually
from shared.program import App

POSIX = pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    return folder


@pytest.fixture
def app(temporary: Path) -> Iterator[App]:
    page = App(temporary)
    yield page.ready()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(page.process.pid, signal.SIGKILL)
    page.process.wait(10)


@POSIX
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_who_is_being_answered_has_the_answer_nobody_else_is_taken_on_and_all_is_gone(
    app: App, number: int
) -> None:
    path = app.upload()
    assert Path(path).is_file()
    event = app.ask(path).json()["event_id"]
    with app.http.stream("GET", f"/gradio_api/call/score/{event}") as stream:
        lines = stream.iter_lines()
        next(line for line in lines if line.startswith("data:"))
        app.process.send_signal(number)
        eventually(lambda: app.http.get("/healthz").status_code == 503, 2)
        refused = app.ask(path)
        assert refused.status_code == 503
        assert refused.json()["detail"] == "The page is closing. Please ask again when it is back."
        rest = [*lines]
    assert any('"rating": 4.25' in line for line in rest)
    said = app.process.communicate(timeout=30)[0]
    assert app.process.returncode == 0
    assert "Traceback" not in said
    assert app.family() == []
    assert app.left() == []


@POSIX
def test_a_second_signal_waits_for_nobody(app: App) -> None:
    event = app.ask(app.upload(), "diagnose").json()["event_id"]
    with app.http.stream("GET", f"/gradio_api/call/diagnose/{event}"):
        app.process.send_signal(signal.SIGTERM)
        app.process.send_signal(signal.SIGTERM)
        started = time.monotonic()
        app.process.wait(20)
        assert time.monotonic() - started < 8
    assert app.left() == []


@POSIX
def test_a_dozen_kills_at_random_moments_leave_no_process_and_after_the_next_start_no_file(
    temporary: Path,
) -> None:
    chosen = random.Random(20)
    families = []
    for kill in range(12):  # every signal at every kind of moment
        page = App(temporary)
        number = (signal.SIGTERM, signal.SIGINT, signal.SIGKILL)[kill % 3]
        if kill % 4:  # else in the middle of starting
            page.ready()
            for _ in range(chosen.randrange(4)):
                page.ask(page.upload())
        time.sleep(chosen.uniform(0, 1.5))
        families.append(page)
        page.end(number)
    time.sleep(1.5)  # a decoder looks after its parent twice a second
    assert [one for page in families for one in page.family()] == []
    last = App(temporary).ready()
    mine = {path.name for path in last.left()}
    assert len(mine) == 1, mine
    last.end(signal.SIGTERM)
    assert last.left() == []


def test_a_start_sweeps_what_is_left_and_spares_the_living_the_young_and_strangers_things(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    living = Keep()
    dead, young, old, alien = (tmp_path / f"{PREFIX}{name}" for name in ("dead", "young", "old", "alien"))
    for folder in (dead, young, old):
        (folder / "uploads").mkdir(parents=True)
    (dead / LOCK).touch()
    os.utime(old, (0, 0))
    other = tmp_path / "holiday.jpg"
    other.touch()
    alien.symlink_to(tmp_path.parent)
    sweep(tmp_path)
    assert {*tmp_path.iterdir()} == {living.folder, young, other, alien}
    living.delete()
    assert not living.folder.exists()
    assert other.exists()


@pytest.mark.parametrize("kind", ["a file", "not writable", "below a file"])
def test_a_temporary_folder_that_cannot_be_used_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    import app as page

    place = tmp_path / "place"
    place.touch()
    named = {"a file": place, "not writable": Path("/proc/none"), "below a file": place / "deeper"}[kind]
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(named))
    with pytest.raises(QInsightError, match="Expected a folder for uploads"):
        Keep()
    assert page.main(["--model", "preview", "--no-browser"]) == 1
    assert "Name another with the variable GRADIO_TEMP_DIR" in capsys.readouterr().err


@POSIX
def test_a_folder_of_other_peoples_files_is_never_cleaned(temporary: Path) -> None:
    mine = temporary / "holiday.jpg"
    mine.touch()
    os.utime(mine, (0, 0))
    page = App(temporary, GRADIO_TEMP_DIR=str(temporary)).ready()
    time.sleep(1)
    page.end(signal.SIGTERM)
    assert mine.exists()
    assert page.left() == []
