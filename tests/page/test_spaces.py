"""The real `spaces` package against a stand-in of its scheduler: it lends, refuses, expires, fails and is gone."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from qinsight.page.zerogpu import EXPIRED, NONE_FREE, UNREACHED
from shared.places import REPOSITORY


def test_whatever_the_scheduler_does_a_visitor_reads_a_sentence_and_the_model_stays(tmp_path: Path) -> None:
    pytest.importorskip("spaces")
    script = REPOSITORY / "tests" / "shared" / "lent_page.py"
    environment = {**os.environ, "GRADIO_TEMP_DIR": str(tmp_path), "no_proxy": "127.0.0.1,localhost"}
    run = subprocess.run(
        [sys.executable, script], env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    lines = [line for line in run.stdout.splitlines() if line.startswith("FOUND ")]
    assert lines, run.stderr
    found = json.loads(lines[0].removeprefix("FOUND "))
    assert found == {
        "free 0": 4.25,
        "quota 1": "Your time on Hugging Face's GPUs is used up for now. Try again in 0:41:07.",
        "expired 2": EXPIRED,
        "outage 3": UNREACHED,
        "none free 4": NONE_FREE,
        "cut 5": UNREACHED,
        "free 6": 4.25,
        "in line after four hung up": 0,
        "after them": 4.25,
        "loads": 1,
    }
    assert "The model crashed" not in run.stderr
