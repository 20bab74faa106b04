"""Slow work in a thread of its own, watched from the generator that feeds the page."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import TypeVar

State = TypeVar("State")

HEARTBEAT = 0.2  # seconds without news after which the page may notice that its visitor left
PACE = 0.07  # seconds between two updates: every one costs the server and the browser milliseconds


def in_background(
    work: Callable[[threading.Event], Iterator[State]], stop: threading.Event
) -> Iterator[State | None]:
    """The newest state of `work(stop)`, about 14 times a second; None where nothing is new.

    What `work` raises is raised here. Closing this iterator sets `stop` and returns at once: Gradio
    closes it on its event loop, where waiting for the thread would freeze every other visitor.
    """
    states: list[State] = []
    news = threading.Event()
    outcome: Future[None] = Future()
    ended = threading.Event()  # the last state does not wait for its turn

    def produce() -> None:
        try:
            for state in work(stop):
                states.append(state)
                news.set()
        except BaseException as error:  # noqa: BLE001 - carried over to the reader, whatever it is
            outcome.set_exception(error)
        else:
            outcome.set_result(None)
        ended.set()
        news.set()

    threading.Thread(target=produce, name="qinsight-work", daemon=True).start()
    try:
        while True:
            if not news.wait(HEARTBEAT):
                yield None
                continue
            news.clear()
            done = outcome.done()
            if states:
                newest = states[-1]
                states[:-1] = []
                yield newest
            if done:
                outcome.result()
                return
            ended.wait(PACE)
    finally:
        stop.set()


class Visits:
    """What each visitor looks at, and the question that runs about it; a new subject ends the old question."""

    def __init__(self) -> None:
        self._running: dict[str, threading.Event] = {}
        self._subject: dict[str, object] = {}

    def turn_to(self, session: str | None, subject: object) -> None:
        """The visitor looks at something else now, None for nothing: what was asked about the old ends."""
        self.end(session)
        self._subject[session or ""] = subject

    def looks_at(self, session: str | None, subject: object) -> bool:
        """Whether a question that waited in line is still about what the visitor looks at."""
        return self._subject.get(session or "") == subject

    def begin(self, session: str | None) -> threading.Event:
        """End the visitor's running question; returns the stop event for the next one."""
        self.end(session)
        stop = threading.Event()
        self._running[session or ""] = stop
        return stop

    def end(self, session: str | None) -> None:
        """Stop what the visitor asked, if anything runs."""
        stop = self._running.pop(session or "", None)
        if stop is not None:
            stop.set()

    def forget(self, session: str | None) -> None:
        """The visitor left."""
        self.end(session)
        self._subject.pop(session or "", None)
