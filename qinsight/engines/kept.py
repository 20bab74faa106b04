"""4-bit weights that were made once, kept in this user's cache: making them takes minutes of a CPU at every start."""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qinsight.engines.checkpoint import Checkpoint
from qinsight.whole_files import whole_folder

WORTH = 10**9  # weights from which on it takes long
STATE = 16  # letters of a name that tell the state of files
SIZE = 0.87  # bytes a weight on the disk, at most


def kept_folder(checkpoint: Checkpoint) -> Path:
    """Where the 4-bit copy of these weights is, once there is one; others have another place, and so have newer ones."""
    return cache_folder("nf4") / name_of([checkpoint.folder / "config.json", *checkpoint.weight_files])


def name_of(files: Sequence[Path]) -> str:
    """What is made of these files is called so: a part for their places, and one for their state, each of 16 letters."""
    places = "\n".join(str(file.resolve()) for file in files)
    state = "\n".join(f"{file.stat().st_size} {file.stat().st_mtime_ns}" for file in files)
    return f"{_short(places)}-{_short(state)}"


def cache_folder(kind: str) -> Path:
    """Where weights of a kind are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "qinsight" / kind


def keep(model: Any, folder: Path, size: float) -> None:
    """Write a 4-bit model there where the disk has room for `size` bytes; an older one of the same files goes first."""
    with contextlib.suppress(OSError):  # it is made again at the next start
        folder.parent.mkdir(parents=True, exist_ok=True)
        for old in folder.parent.glob(folder.name.partition("-")[0] + "-*"):
            shutil.rmtree(old, ignore_errors=True)
        if shutil.disk_usage(folder.parent).free > size * 1.1:
            with whole_folder(folder) as draft:
                model.save_pretrained(draft)


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:STATE]
