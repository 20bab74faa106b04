"""What a person at a terminal sees of a command: its words, no warnings meant for developers, no broken pipes."""

import os
import sys
import warnings
from collections.abc import Callable


def at_a_terminal(run: Callable[[], int]) -> int:
    """Run a command line to its exit code. A pipe that is closed, as by `| head`, has seen enough."""
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
