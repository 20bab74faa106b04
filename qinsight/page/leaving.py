"""How a page ends: nobody new is taken on, those who were have some seconds, then everything of it is gone."""

import multiprocessing
import signal
import sys
import threading
import time
from types import FrameType
from typing import Any

import gradio as gr

from qinsight.page.line import Line
from qinsight.photos.child import kill_children

PATIENCE = 10.0  # seconds for the questions that run
GRACE = 2.0  # seconds for those that were stopped to say so


class Ending:
    """Whether somebody has told this process to end (SIGTERM, Ctrl-C), and how often; the line closes at once."""

    def __init__(self, line: Line) -> None:
        self.times, self.line = 0, line
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Ending":
        names = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
        for number in (getattr(signal, name) for name in names if hasattr(signal, name)):
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
                self._before[number] = signal.signal(number, self._told)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _told(self, number: int, frame: FrameType | None) -> None:
        self.times += 1
        self.line.close()

    def wait(self, page: gr.Blocks) -> None:
        """Return when it is time to end."""
        while not self.times and page.is_running:
            time.sleep(0.1)


def leave(page: gr.Blocks, ending: Ending, patience: float = PATIENCE) -> None:
    """Let those who are being answered have their answers, within bounds; a second signal ends that too."""
    line = ending.line
    line.close()
    if len(line):
        print(  # noqa: T201
            f"Ending: {len(line)} questions have {patience:g} seconds left; once more ends them now.",
            file=sys.stderr,
            flush=True,
        )
    _until_empty(line, patience, ending)
    line.stop_all()
    _until_empty(line, GRACE)
    time.sleep(0.2)  # for the last words on their way
    closing = threading.Thread(target=page.close, kwargs={"verbose": False}, daemon=True)
    closing.start()
    closing.join(GRACE)
    end_children()


def _until_empty(line: Line, seconds: float, ending: Ending | None = None) -> None:
    deadline, told = time.monotonic() + seconds, ending.times if ending else 0
    while len(line) and time.monotonic() < deadline and not (ending and ending.times > told):
        time.sleep(0.05)


def end_children() -> None:
    """End every process that this one has started: decoders of photos, workers on a lent GPU."""
    kill_children()
    for worker in multiprocessing.active_children():
        worker.kill()
