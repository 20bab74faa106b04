"""What only Linux has is not needed: photos are scored and a folder is ranked where it is missing."""

import json
import subprocess
import sys
from pathlib import Path

from shared.places import REPOSITORY

# To our modules as on Windows: no such modules, no such names in os; locks by msvcrt (a stand-in, which always gives them).
WITHOUT = """
import builtins, os, subprocess, sys, types
real = builtins.__import__
def elsewhere(name, globals=None, *rest, **more):
    if name in ("fcntl", "resource", "grp", "pwd", "termios") and (globals or {}).get("__name__", "").startswith("qinsight"):
        raise ImportError(name)
    return real(name, globals, *rest, **more)
builtins.__import__ = elsewhere
import qinsight.engines.local
for name in ("getuid", "geteuid", "chown", "O_NONBLOCK", "O_NOCTTY"):
    delattr(os, name)
sys.modules["msvcrt"] = types.SimpleNamespace(LK_NBLCK=2, locking=lambda *_: None)
from qinsight.__main__ import main
sys.exit(main(sys.argv[1:]))
"""
CAT = REPOSITORY / "examples" / "photos" / "cat.jpg"


def without_linux(*arguments: str) -> str:
    command = [sys.executable, "-c", WITHOUT, *arguments]
    told = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    return told.stdout


def test_a_photo_is_scored_where_there_is_no_fcntl_and_no_resource() -> None:
    told = json.loads(without_linux("score", "--model", "preview", "--json", str(CAT)))
    assert 1 <= told["rating"] <= 5


def test_a_folder_is_ranked_and_gone_on_with_where_there_is_no_fcntl_and_no_resource(tmp_path: Path) -> None:
    folder, out = tmp_path / "shoot", tmp_path / "ranked"
    folder.mkdir()
    (folder / "cat.jpg").write_bytes(CAT.read_bytes())
    command = ("rank", "--model", "preview", "--xmp", "beside", "--out", str(out), str(folder))
    without_linux(*command)
    first = (out / "results.jsonl").read_bytes()
    without_linux(*command)
    assert (out / "results.jsonl").read_bytes() == first
    assert (folder / "cat.jpg.xmp").exists()
