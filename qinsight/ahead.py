"""Threads beside the model: what is needed next is made ready, and not much more; a place is waited for that may be given up."""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

from qinsight.errors import Stopped

Item = TypeVar("Item")
Made = TypeVar("Made")
TICK = 0.1  # seconds


@contextmanager
def held(place: "threading.Lock | threading.Semaphore", stop: threading.Event | None) -> Iterator[None]:
    """The place is one's own while the context lasts; waits until it is, or raises `Stopped` once `stop` is set."""
    while not place.acquire(timeout=TICK):
        if stop is not None and stop.is_set():
            raise Stopped("Stopped.")
    try:
        yield
    finally:
        place.release()


def ahead(
    make: Callable[[Item], Made],
    items: Iterable[Item],
    most: int,
    *,
    threads: int = 1,
    stop: threading.Event | None = None,
) -> Generator[Made | None]:
    """`make` of every item, in order, at most `most` of them before they are taken; None while the next is not there.

    What `make` raises is raised in its turn; `stop` raises `Stopped`. Closed, it waits for what is being made.
    """
    left = iter(items)
    coming: deque[Future[Made]] = deque()
    pool = ThreadPoolExecutor(threads, "qinsight-decode")
    try:
        while True:
            if stop and stop.is_set():
                raise Stopped("Stopped.")
            coming.extend(pool.submit(make, item) for item in islice(left, most - len(coming)))
            if not coming:
                return
            yield coming.popleft().result() if wait([coming[0]], TICK).done else None
    finally:
        pool.shutdown(cancel_futures=True)
