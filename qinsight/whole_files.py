"""Files and folders that are whole or not there, and a lock on a file that ends with its process.

A file is written beside its place, flushed to the disk, and then takes the place: a full disk or a kill leaves what
was there before. `OSError` flies.
"""

import contextlib
import io
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO

_LEFT = ".q-insight-"  # short: the file's own name may have 255 bytes


@contextmanager
def whole_file(
    path: Path, *, like: os.stat_result | None = None, source: Path | None = None
) -> Iterator[BinaryIO]:
    """A new file that takes the place of `path` once it is whole and on the disk, and is gone otherwise.

    It has the permissions of the file it replaces. With `like`, how a file stood before it was read, it has that
    file's owner and times as well, and the permissions and attributes of `source`, which is `path` if not said.
    """
    temporary = path.with_name(f"{_LEFT}{secrets.token_hex(8)}.part")
    try:
        with temporary.open("xb") as file:
            hold(file)
            yield file
            file.flush()
            if like is not None:
                _made_like(temporary, source or path, like)
            else:
                with contextlib.suppress(OSError):  # nothing there before, or a memory card
                    shutil.copymode(path, temporary)
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def whole_text(path: Path, *, encoding: str = "utf-8") -> Iterator[TextIO]:
    """The same for a text. Half surrogates, as which a file name that is not UTF-8 comes, are written as JSON does."""
    with whole_file(path) as file:
        text = io.TextIOWrapper(file, encoding, errors="backslashreplace", newline="")
        yield text
        text.detach()  # which flushes it


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A folder to fill, which stands at `path`, where nothing is yet, once it is whole, and is gone otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        yield draft
        draft.chmod(0o755)
        draft.rename(path)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Delete the unfinished files of killed processes; those that are being written stay."""
    for path in folder.glob(f"{_LEFT}*.part"):
        with contextlib.suppress(OSError), path.open("r+b") as file:
            if hold(file):
                path.unlink()


def hold(file: BinaryIO) -> bool:
    """Lock the file for this process, or say that another has it; closing it lets go."""
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        except OSError:
            return False
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _made_like(path: Path, source: Path, like: os.stat_result) -> None:
    with contextlib.suppress(OSError, AttributeError):  # only root may give a file away, on Windows nobody
        os.chown(path, like.st_uid, like.st_gid)
    with contextlib.suppress(OSError):  # a memory card knows no permissions
        shutil.copystat(source, path)
    os.utime(path, ns=(like.st_atime_ns, like.st_mtime_ns))
