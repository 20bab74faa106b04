"""The one folder in which a page keeps everything of its visitors: its process's own, gone when it ends.

What a killed page could not delete, the next one does.
"""

import contextlib
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import BinaryIO

from qinsight.errors import QInsightError
from qinsight.whole_files import hold

PREFIX = "qinsight-page-"
LOCK = ".held"  # by the process whose folder it is, as long as it lives
YOUNG = 60.0  # seconds in which a folder may still be without a lock


class Keep:
    """A folder below `base` (Gradio's, else the system's for temporary files), with all that this process makes."""

    def __init__(self, base: Path | None = None) -> None:
        self.base = base or Path(os.environ.get("GRADIO_TEMP_DIR") or tempfile.gettempdir())
        sweep(self.base)
        try:
            self.base.mkdir(parents=True, exist_ok=True)
            self.folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=self.base.resolve()))
            self._lock: BinaryIO | None = (self.folder / LOCK).open("wb")
        except OSError as error:
            raise QInsightError(
                f"Expected a folder for uploads that this user may write to; {self.base} is not one "
                f"({error.strerror or error}). Name another with the variable GRADIO_TEMP_DIR."
            ) from error
        hold(self._lock)
        self._before = os.environ.get("GRADIO_TEMP_DIR"), tempfile.tempdir
        os.environ["GRADIO_TEMP_DIR"] = str(self.folder / "uploads")
        tempfile.tempdir = str(self.folder)

    def delete(self) -> None:
        """Delete it all."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None
        named, tempfile.tempdir = self._before
        os.environ.pop("GRADIO_TEMP_DIR", None)
        if named is not None:
            os.environ["GRADIO_TEMP_DIR"] = named
        shutil.rmtree(self.folder, ignore_errors=True)


def sweep(base: Path) -> None:
    """Delete what pages that are no more have left below `base`; those that live and those of others stay."""
    with contextlib.suppress(OSError):
        for folder in base.glob(PREFIX + "*"):
            with contextlib.suppress(OSError):
                if folder.is_dir() and not folder.is_symlink() and _is_ours(folder) and _is_left(folder):
                    shutil.rmtree(folder, ignore_errors=True)


def _is_ours(folder: Path) -> bool:
    return not hasattr(os, "getuid") or folder.lstat().st_uid == os.getuid()


def _is_left(folder: Path) -> bool:
    try:
        with (folder / LOCK).open("r+b") as file:
            return hold(file)
    except FileNotFoundError:
        return time.time() - folder.stat().st_mtime > YOUNG
