"""Slow work in a thread of its own, watched from the generator that feeds the page."""

import contextvars
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import TypeVar

from qinsight.errors import RequestFailed, Stopped
from qinsight.page.line import Job

State = TypeVar("State")

HEARTBEAT = 30.0  # seconds without news after which Gradio may notice that a visitor left of whom nobody told
NEAR = 5  # places in line from which on each step forward is told at once
FAR = 5.0  # seconds between two such steps further back
PARTING = 1.0  # seconds that a job has to end by itself after it was stopped
PACE = 0.07  # seconds between two updates: every one costs the server and the browser milliseconds


def in_background(
    work: Callable[[Job], Iterator[State]],
    job: Job,
    in_line: Callable[[State, int], State] | None = None,
    pace: Callable[[State], float] | None = None,
    parting: float = PARTING,
) -> Iterator[State | None]:
    """The newest state of `work(job)`, the first at once and then at most once in `PACE`; None where nothing is new for long.

    While the job waits in line, `in_line(state, before)` is the state that says how many are before it, where that is to be said. `pace`
    gives the seconds until the next state where they are others; the newest is never left out. What `work`
    raises is raised here, and `Stopped` where it goes on `parting` seconds after its job was stopped. Closing this
    iterator stops `job` and returns at once: Gradio closes it on its event loop, where waiting for the thread would
    freeze every other visitor.
    """
    states: list[State] = []
    news = threading.Event()
    outcome: Future[None] = Future()
    # The last state does not wait for its turn, nor does the end of a job that was stopped.
    hurry = threading.Event()
    job.watch(news.set)
    job.watch(lambda: hurry.set() if job.stopped.is_set() else None)

    def produce() -> None:
        try:
            for state in work(job):
                states.append(state)
                news.set()
        except MemoryError:  # beside the model, which says so itself
            outcome.set_exception(
                RequestFailed("There is too little memory for this photo. Try a smaller copy.")
            )
        except BaseException as error:  # noqa: BLE001 - carried over to the reader, whatever it is
            outcome.set_exception(error)
        else:
            outcome.set_result(None)
        job.over()
        hurry.set()
        news.set()

    # With Gradio's notes about the visitor, which ZeroGPU reads.
    inside = contextvars.copy_context().run
    threading.Thread(target=inside, args=(produce,), name="qinsight-work", daemon=True).start()
    shown: tuple[State | None, int | None] = (None, None)
    shown_at, far = 0.0, False
    try:
        while True:
            fresh = news.wait(parting if job.stopped.is_set() else FAR if far else HEARTBEAT)
            news.clear()
            if job.stopped.is_set() and not fresh:
                raise Stopped("Stopped.")
            done = outcome.done()
            newest, before = states[-1] if states else None, None if done else job.before
            states[:-1] = []
            far = before is not None and before > NEAR and time.monotonic() - shown_at < FAR
            if newest is not None and not far and not (newest is shown[0] and before == shown[1]):
                shown, shown_at = (newest, before), time.monotonic()
                yield newest if before is None or in_line is None else in_line(newest, before)
            elif not fresh or job.stopped.is_set():  # its reader may know that nobody waits for the rest
                yield None
            if done:
                outcome.result()
                return
            hurry.wait(PACE if pace is None or newest is None else pace(newest))
    finally:
        job.stop()
