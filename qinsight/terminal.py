"""What a person at a terminal sees of a command: its words, how far it is, no warnings meant for developers, no broken pipes."""

import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

from qinsight.stopping import STOPPED, stop_with_an_exception

LOGGED = 30.0  # seconds between two lines of a log
STEP = 10.0  # the same of one step, for somebody who waits for it


def at_a_terminal(run: Callable[[], int]) -> int:
    """Run a command line to its exit code. A pipe that is closed, as by `| head`, has seen enough."""
    stop_with_an_exception()
    quiet()
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started it
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 (to the end of the process)
    try:
        try:
            return run()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
    except BrokenPipeError:
        drop_output()
        return 0
    except KeyboardInterrupt:
        say("qinsight: stopped.")
        return STOPPED


def drop_output() -> None:
    """Nobody listens any more: what is still to be said goes nowhere, instead of failing once more at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            os.dup2(nowhere, stream.fileno())


def quiet() -> None:
    """Leave out what libraries tell those who call them; `python -W default` brings it back."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
        os.environ["PYTHONWARNINGS"] = "ignore"  # of the processes that read photos, too
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")


# --- how far it is ----------------------------------------------------------------------------------------


def say(words: str, *, result: bool = False) -> None:
    """A line of what was asked for, or of what is said beside it; a bar stays below both."""
    file = sys.stdout if result else sys.stderr
    tqdm.write(words, file=file)
    file.flush()


def show_step(words: str, done: float | None, step: str = "") -> None:
    """A step of something long, such as a model that is loaded, in a line of a terminal that is written over.

    Where nobody watches, a line each ten seconds, the first of them after ten. With the name of a `step` whose
    words change, its first is told at once.
    """
    if not sys.stderr.isatty():
        line = words + (f" {done:.0%}" if done is not None else "")
        _LINES.show(step or words, line, done or 0.0, 0 if step else STEP)
    else:
        sys.stderr.write(f"\r{words}" + (f" {done:4.0%}" if done is not None else "") + "\033[K")
        sys.stderr.write("\n" if done is None or done >= 1 else "")
        sys.stderr.flush()


def end_step() -> None:
    """The line that was written over is empty again."""
    if sys.stderr.isatty():
        sys.stderr.write("\r\033[K")
        sys.stderr.flush()


class _Lines:
    """Steps as lines of a log."""

    def __init__(self) -> None:
        self._step, self._done, self._due = "", 0.0, 0.0

    def show(self, step: str, line: str, done: float, wait: float) -> None:
        now = time.monotonic()
        if step != self._step or done < self._done:  # another one, or the same from its beginning
            self._step, self._due = step, now + wait
        self._done = done
        if now >= self._due:
            say(line)
            self._due = now + STEP


_LINES = _Lines()


@contextmanager
def counted(words: str, unit: str, *, logged: bool = False) -> Iterator[Callable[..., None]]:
    """A bar with rate and time left for what hears `(done, whole)`, and how many were done before; from the first on.

    Where nobody watches there is none, or if `logged` a line every half minute.
    """
    watched = sys.stderr.isatty()
    how = size() if watched else {"file": _Log(), "mininterval": LOGGED, "maxinterval": LOGGED}
    bars: list[Any] = []

    def show(done: int, whole: int, before: int = 0) -> None:
        if not bars:
            shown = watched or logged
            bars.append(tqdm(total=whole, desc=words, unit=f" {unit}", smoothing=0, disable=not shown, **how))
        bars[0].initial = before  # these say nothing about the rate
        bars[0].update(done - bars[0].n)

    try:
        yield show
    finally:
        for bar in bars:
            bar.close()


def size() -> dict[str, Any]:
    """Of the terminal, as it is drawn wider and narrower; one that tells no size would show nothing."""
    try:
        told = all(os.get_terminal_size(sys.stderr.fileno()))
    except (OSError, ValueError):
        told = False
    return {"dynamic_ncols": True} if told else {"ncols": 100, "nrows": 20}


class _Log:
    """Takes a bar and writes it as lines."""

    def write(self, text: str) -> None:
        if words := text.strip():
            say(words)

    def flush(self) -> None:
        pass
