"""What is needed next is made ready in threads of its own while the model works, and not much more than that."""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import TypeVar

from qinsight.errors import Stopped

Item = TypeVar("Item")
Made = TypeVar("Made")
TICK = 0.1  # seconds


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
