"""A process of its own for photos that may crash, fill or stall the one that decodes them."""

import contextlib
import json
import math
import os
import subprocess
import sys
import threading
import time
import weakref
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from qinsight.errors import PhotoError, Stopped
from qinsight.sentence import Sentence

START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]);"
    "from qinsight.photos.child import answer_on_stdout; answer_on_stdout(int(sys.argv[2]))"
)
GLANCE = 0.1  # seconds between two looks at the stop event
LULL = 1.0  # seconds after a photo before the next child is made ready: the model is busy now


def ask_child(
    content: bytes,
    *,
    max_pixels: int | None = None,
    view_pixels: int | None = None,
    seconds: float,
    memory_mb: int,
    stop: threading.Event | None = None,
) -> tuple[dict[str, Any], bytes]:
    """Facts and RGB pixels of a photo, from a child process that is killed at the limits or by `stop`.

    Memory and processor time are limited where the system can do so: on Linux both, on macOS
    time, on Windows neither; the wall clock counts everywhere.
    """
    limits = {
        "max_pixels": max_pixels,
        "view_pixels": view_pixels,
        "seconds": math.ceil(seconds),
        "memory_mb": memory_mb,
    }
    with _spare.take() as child:
        try:
            question = json.dumps(limits).encode() + b"\n" + content
            answer, complaints = _listen(child, question, seconds, stop)
        finally:
            child.kill()
    header, found, pixels = answer.partition(b"\n")
    if not found:
        raise _death(child.returncode, complaints, seconds, memory_mb)
    facts = json.loads(header)
    if "refused" in facts:
        raise PhotoError(Sentence.from_json(facts["refused"]))
    return facts, pixels


def keep_one_ready() -> None:
    """From now on have a child waiting for the next photo: a page answers a tenth of a second sooner."""
    _spare.keep()


def answer_on_stdout(parent: int) -> None:
    """The child's whole life: get ready, read limits and a photo from stdin, write one line of JSON and pixels."""
    end_with(parent)
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # decoders print; that must not end up among the pixels
    from qinsight.photos.decode import read_here
    from qinsight.photos.view import view

    question = sys.stdin.buffer.readline()
    if not question:
        return  # nobody needs it any more
    limits = json.loads(question)
    _limit_this_process(limits["seconds"], limits["memory_mb"])
    try:
        photo = read_here(sys.stdin.buffer, max_pixels=limits["max_pixels"])
        image, most = photo.image, limits["view_pixels"]
        if most is not None and image.width * image.height > most:
            image = view(image, most)
    except PhotoError as error:
        answer.write(json.dumps({"refused": error.sentence.as_json()}).encode() + b"\n")
    else:
        notes = [note.as_json() for note in photo.notes]
        facts = {
            "shape": image.size,
            "size": photo.size,
            "format": photo.format,
            "notes": notes,
            "shot": asdict(photo.shot),
        }
        answer.write(json.dumps(facts).encode() + b"\n")
        answer.write(image.tobytes())
    answer.flush()


def end_with(parent: int) -> None:
    """From now on end this process soon after its parent, which may be killed and say nothing."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, name="qinsight-parent", daemon=True).start()


def kill_children() -> None:
    """Kill every child: nobody waits for a photo any more."""
    for child in [*_children]:
        child.kill()


class _Spare:
    """A child started ahead, each for one photo only. It ends by itself when this process does."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._kept = False
        self._lock = threading.Lock()

    def keep(self) -> None:
        with self._lock:
            self._kept = True
            if self._child is None or self._child.poll() is not None:
                self._child = _start()

    def take(self) -> subprocess.Popen[bytes]:
        with self._lock:
            child, self._child = self._child, None
            if self._kept:
                later = threading.Timer(LULL, self.keep)
                later.daemon = True
                later.start()
        return child if child is not None and child.poll() is None else _start()


_spare = _Spare()
_children: weakref.WeakSet[subprocess.Popen[bytes]] = weakref.WeakSet()


def _start() -> subprocess.Popen[bytes]:
    # -I and -S keep startup files and variables out, so the child is told where to import from.
    command = [sys.executable, "-I", "-S", "-c", START, json.dumps(_import_paths()), str(os.getpid())]
    pipe = subprocess.PIPE
    child = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=_environment())
    _children.add(child)
    return child


def _listen(
    child: subprocess.Popen[bytes], question: bytes, seconds: float, stop: threading.Event | None
) -> tuple[bytes, bytes]:
    # In a thread: after a time-out `communicate` forgets what it had still to write (Python 3.11 to 3.13).
    ear, child.stdin = child.stdin, None
    assert ear is not None
    threading.Thread(target=_tell, args=(ear, question), daemon=True).start()
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        if stop is not None and stop.is_set():
            raise Stopped("Stopped while the photo was being read.")
        with contextlib.suppress(subprocess.TimeoutExpired):  # what came so far is kept for the next round
            return child.communicate(timeout=min(left, GLANCE))
    raise PhotoError(
        "expected a photo that can be read within {seconds:g} seconds, got one that needs more or is damaged; "
        "save it again as an ordinary JPEG",
        seconds=seconds,
    )


def _tell(ear: IO[bytes], question: bytes) -> None:
    with contextlib.suppress(OSError), ear:  # a child that was killed does not listen
        ear.write(question)


def _death(code: int, complaints: bytes, seconds: float, memory_mb: int) -> Exception:
    """A child killed by a limit or a crash was given a bad photo; any other death is our bug."""
    if code < 0 or code > 255:  # a signal; on Windows, an exception code
        return PhotoError(
            "expected a photo that can be read within {seconds:g} seconds and {memory} MB of memory, got one "
            "that needs more or is damaged; save it again as an ordinary JPEG",
            seconds=seconds,
            memory=memory_mb,
        )
    return RuntimeError(f"the photo decoder ended with code {code}:\n{complaints.decode(errors='replace')}")


def _limit_this_process(seconds: int, memory_mb: int) -> None:
    try:
        import resource
    except ImportError:  # Windows has no such limits
        return
    wanted = {
        resource.RLIMIT_AS: memory_mb << 20,
        resource.RLIMIT_CPU: seconds,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 0,  # nothing is written but the answer, and that goes through a pipe
    }
    for limit, most in wanted.items():
        with contextlib.suppress(ValueError, OSError):  # macOS refuses RLIMIT_AS
            resource.setrlimit(limit, (most, most))


def _import_paths() -> list[str]:
    return [str(Path(__file__).parents[2]), *(path for path in sys.path if Path(path).is_absolute())]


def _environment() -> dict[str, str]:
    """What a process needs to start, and none of the secrets of the one that starts it."""
    needed = ("PATH", "SYSTEMROOT", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LANG")
    one_thread = {"OPENBLAS_NUM_THREADS": "1"}  # numpy's would fill the address space
    return {name: os.environ[name] for name in needed if name in os.environ} | one_thread
