"""A terminal sees the words of a command: no warnings of libraries, no traceback when a pipe is closed."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from qinsight import terminal
from shared.places import OFFICIAL, REPOSITORY

CAT, BLURRED = (str(REPOSITORY / "examples" / "photos" / name) for name in ("cat.jpg", "cat_blurred.jpg"))
PREVIEW = ["--model", "preview", "--device", "cpu", "--max-pixels", "60000"]
ASK = [sys.executable, "-m", "qinsight"]


@pytest.fixture
def shoot(tmp_path: Path) -> Path:
    folder = tmp_path / "shoot"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.jpg").write_bytes(Path(CAT).read_bytes() + bytes([number]))
    return folder


@pytest.fixture
def environment() -> dict[str, str]:
    found = {name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"}
    return found | {"GRADIO_SERVER_NAME": "127.0.0.1"}


def commands(shoot: Path) -> list[list[str]]:
    return [
        ["score", CAT, *PREVIEW],
        ["diagnose", CAT, "--samples", "2", *PREVIEW],
        ["compare", CAT, BLURRED, "--precision", "bf16", *PREVIEW],
        ["rank", str(shoot), "--out", str(shoot.parent / "ranked"), "--json", *PREVIEW],
        ["score", CAT, "--max-new-tokens", "4", "--model", str(OFFICIAL), "--precision", "nf4"],
    ]


STRICT = ["-W", "error::FutureWarning", "-W", "error::DeprecationWarning:qinsight"]


@pytest.mark.parametrize(("number", "option"), [(0, []), (3, []), (1, STRICT), (2, STRICT), (4, STRICT)])
def test_no_warning_of_a_library_is_shown_nor_left_for_us_to_mend(
    shoot: Path, environment: dict[str, str], number: int, option: list[str]
) -> None:
    command = [sys.executable, *option, "-m", "qinsight", *commands(shoot)[number]]
    run = subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=300
    )
    assert "Warning" not in run.stderr, run.stderr
    assert "Traceback" not in run.stderr, run.stderr
    assert run.returncode in ((0, 3) if number == 4 else (0,)), (
        run.stderr
    )  # the fixture's replies are gibberish


@pytest.mark.parametrize(
    ("arguments", "closed"),
    [
        (["--help"], "stdout"),
        (["score", "--help"], "both"),
        (["score", "no.jpg"], "stderr"),
        (["nonsense"], "stderr"),
        (["nonsense"], "both"),
    ],
)
def test_a_closed_pipe_is_no_traceback(
    environment: dict[str, str], arguments: list[str], closed: str
) -> None:
    shown = without_readers([*ASK, *arguments], environment, closed)
    assert "Traceback" not in shown, shown
    assert "BrokenPipe" not in shown, shown


@pytest.mark.parametrize("module", ["training.data", "training.evaluate"])
def test_a_closed_pipe_is_no_traceback_in_training(environment: dict[str, str], module: str) -> None:
    shown = without_readers([sys.executable, "-m", module, "--help"], environment, "stdout")
    assert "Traceback" not in shown, shown
    assert "BrokenPipe" not in shown, shown


def without_readers(command: list[str], environment: dict[str, str], closed: str) -> str:
    """What is said on a stream that is open while another has lost its reader."""
    reader, writer = os.pipe()
    os.close(reader)
    to = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | {
        name: writer for name in ("stdout", "stderr") if closed in (name, "both")
    }
    try:
        run = subprocess.run(command, cwd=REPOSITORY, env=environment, text=True, timeout=300, **to)  # type: ignore[call-overload]
    finally:
        os.close(writer)
    assert run.returncode in (0, 2, 4)
    return (run.stdout or "") + (run.stderr or "")


def test_a_terminal_that_was_never_open_is_no_traceback(environment: dict[str, str]) -> None:
    words = " ".join(map(repr, ["exec", *ASK, "score", "no.jpg"])).replace("'exec'", "exec")
    run = subprocess.run(["sh", "-c", f"{words} >&- 2>&-"], cwd=REPOSITORY, env=environment, timeout=300)
    assert run.returncode == 4


def test_head_ends_a_ranking_early_and_what_was_finished_is_kept(
    shoot: Path, environment: dict[str, str]
) -> None:
    words = " ".join(map(repr, [*ASK, *commands(shoot)[3]]))
    run = subprocess.run(
        ["sh", "-c", f"{words} | head -1"], cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=300
    )  # fmt: skip
    assert run.stdout.count("\n") == 1
    assert "Traceback" not in run.stderr
    assert (shoot.parent / "ranked" / "results.jsonl").read_text().count("\n") >= 1


def test_warnings_are_shown_to_those_who_ask_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "warnoptions", ["default"])
    monkeypatch.setattr(os, "environ", {})
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        terminal.quiet()
        warnings.warn("for developers", FutureWarning, stacklevel=1)
        assert len(found) == 1
        monkeypatch.setattr(sys, "warnoptions", [])
        terminal.quiet()
        warnings.warn("for developers", FutureWarning, stacklevel=1)
    assert len(found) == 1
    assert os.environ["PYTHONWARNINGS"] == "ignore"


class Clock:
    """The time of the terminal, moved by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(terminal.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(terminal, "_LINES", terminal._Lines())


def test_a_long_step_is_a_line_each_ten_seconds_where_nobody_watches(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = Clock(monkeypatch)
    for second in range(25):
        terminal.show_step("Loading preview", second / 25)
        clock.now += 1
    assert capsys.readouterr().err.splitlines() == ["Loading preview 40%", "Loading preview 80%"]
    for second in range(25):
        terminal.show_step(f"Reading: layer {second}", second / 25, "reading")
        clock.now += 1
    told = ["Reading: layer 0 0%", "Reading: layer 10 40%", "Reading: layer 20 80%"]
    assert capsys.readouterr().err.splitlines() == told
    terminal.show_step("Loading comparison", None)
    terminal.end_step()
    assert capsys.readouterr().err == ""


def test_a_step_that_begins_again_waits_again_before_its_first_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = Clock(monkeypatch)
    for _ in range(3):  # a model that is opened, used for half a minute, and opened once more
        for part in (0.03, 0.5, 1.0):
            terminal.show_step("Loading preview", part)
            clock.now += 1
        clock.now += 30
    assert capsys.readouterr().err == ""


def test_a_long_step_is_one_line_of_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    terminal.show_step("Reading: layer 3", 0.25, "reading")
    terminal.end_step()
    assert capsys.readouterr().err == "\rReading: layer 3  25%\033[K\r\033[K"
