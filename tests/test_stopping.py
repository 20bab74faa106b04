"""Ctrl-C is a line and an exit code from the first moment on, while a command is still being imported."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from shared.places import REPOSITORY

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
CAT = str(REPOSITORY / "examples" / "photos" / "cat.jpg")


def stopped(command: list[str], imported: str, folder: Path, *, ignored: bool = False) -> tuple[int, str]:
    """How a command ends and what it says when Ctrl-C comes as it has just imported that module."""
    handler = signal.SIG_IGN if ignored else signal.SIG_DFL
    with subprocess.Popen(
        [sys.executable, "-X", "importtime", *command],
        cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "TMPDIR": str(folder)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, handler),
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.rpartition("|")[2].strip() == imported:
                os.killpg(process.pid, signal.SIGINT)
                break
        said = [line for line in process.stderr if not line.startswith("import time:")]
    return process.returncode, "".join(said)


@pytest.mark.parametrize(
    ("command", "imported"),
    [
        (["-m", "qinsight", "score", CAT, "--model", "preview"], "argparse"),
        (["-m", "qinsight", "rank", "nowhere", "--out", "x"], "PIL.Image"),
        (["-m", "qinsight", "check", "--help"], "PIL.Image"),
        (["-m", "qinsight", "score", CAT, "--model", "preview"], "torch._C"),
        (["app.py", "--no-browser"], "PIL.Image"),
        (["app.py", "--no-browser"], "fastapi"),
        (["-m", "training.grpo"], "numpy"),
        (["-m", "training.preflight"], "numpy"),
        (["-m", "training.data"], "argparse"),
        (["-m", "training.evaluate"], "argparse"),
        (["-m", "training.merge"], "numpy"),
    ],
)
def test_ctrl_c_while_a_command_is_imported_is_one_line(
    tmp_path: Path, command: list[str], imported: str
) -> None:
    assert stopped(command, imported, tmp_path) == (130, "qinsight: stopped.\n")
    assert not list(tmp_path.glob("qinsight-*"))


def test_a_command_of_a_shell_that_ignores_ctrl_c_goes_on(tmp_path: Path) -> None:
    command = ["-m", "qinsight", "score", "nowhere.jpg"]
    code, said = stopped(command, "PIL.Image", tmp_path, ignored=True)
    assert code == 4
    assert "stopped" not in said
