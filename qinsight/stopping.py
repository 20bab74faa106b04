"""Ctrl-C while a command is being imported, which takes seconds: the same line and exit code as later, no traceback.

It imports nothing of ours, and is called before anything else is imported.
"""

import os
import signal
from types import FrameType
from typing import NoReturn

STOPPED = 130


def stop_with_a_line() -> None:
    """From now on Ctrl-C ends this process with a line. Where it is ignored (nohup) it stays so."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _stop)


def stop_with_an_exception() -> None:
    """Ctrl-C is a `KeyboardInterrupt` again: there is something to clear away now."""
    if signal.getsignal(signal.SIGINT) is _stop:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    os.write(2, b"qinsight: stopped.\n")
    os._exit(STOPPED)  # an exception would be caught, or changed, by whatever is being imported
