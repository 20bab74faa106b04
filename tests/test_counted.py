"""How far a command is: a bar with rate and time left where somebody watches, lines in a log, else nothing."""

import os
import subprocess
import sys

import pytest

from qinsight.terminal import counted, say, show_step

WATCHED = """
from qinsight.terminal import counted, say, show_step
show_step("Loading", 0.5)
show_step("Loading", 1.0)
with counted("rank", "photos") as progress:
    for done in range(5, 11):
        progress(done, 10, 4)
        say(f"photo {done}", result=done % 2 == 0)
"""


@pytest.mark.skipif(os.name == "nt", reason="a terminal of POSIX")
def test_a_terminal_shows_a_bar_with_rate_and_time_left_below_what_is_said() -> None:
    import pty

    ours, theirs = pty.openpty()
    with subprocess.Popen([sys.executable, "-c", WATCHED], stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        told = b""
        while True:
            try:
                told += os.read(ours, 1 << 16)
            except OSError:  # the other end is closed
                break
    os.close(ours)
    assert process.returncode == 0
    text = told.decode()
    assert "Loading  50%" in text
    assert "Loading 100%\x1b[K\r\n" in text
    assert "rank: 100%" in text
    assert "10/10" in text
    assert " photos/s" in text
    assert all(f"\rphoto {done}\r\n" in text for done in range(6, 11)), "on lines of their own"


def test_where_nobody_watches_only_what_is_said_is_seen(capsys: pytest.CaptureFixture[str]) -> None:
    show_step("Loading", 0.5)
    with counted("rank", "photos") as progress:
        for done in range(1, 11):
            progress(done, 10)
    say("one", result=True)
    say("other")
    told = capsys.readouterr()
    assert (told.out, told.err) == ("one\n", "other\n")


def test_a_log_gets_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with counted("evaluate", "answers", logged=True) as progress:
        for done in range(1, 11):
            progress(done, 10)
    lines = capsys.readouterr().err.splitlines()
    assert 1 <= len(lines) <= 2
    assert all(line.startswith("evaluate: ") for line in lines)
    assert "10/10" in lines[-1]


def test_what_never_begins_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with counted("evaluate", "answers", logged=True):
        pass
    assert capsys.readouterr().err == ""
