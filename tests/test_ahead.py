"""What is made ahead comes in order, never too much of it, and ends when nobody wants it."""

import threading
from contextlib import closing

import pytest

from qinsight.ahead import ahead
from qinsight.errors import Stopped


def left_over() -> bool:
    return any(thread.name.startswith("qinsight-decode") for thread in threading.enumerate())


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("number", [0, 1, 20])
def test_everything_comes_in_its_order(threads: int, number: int) -> None:
    made = ahead(lambda item: [item], range(number), 4, threads=threads)
    assert [one for one in made if one] == [[item] for item in range(number)]
    assert not left_over()


def test_no_more_is_made_than_was_asked_for() -> None:
    taken: list[int] = []
    begun = threading.Semaphore(0)

    def make(item: int) -> list[int]:
        taken.append(item)
        begun.release()
        return [item]

    with closing(ahead(make, range(100), 5)) as made:
        next(made)
        for _ in range(5):
            assert begun.acquire(timeout=10)
        assert taken == [0, 1, 2, 3, 4]
    assert not left_over()


def test_who_waits_hears_that_there_is_nothing_yet() -> None:
    ready = threading.Event()
    with closing(ahead(lambda _: ready.wait(10), [1], 1)) as made:
        assert next(made) is None
        ready.set()
        assert next(filter(None, made)) is True


def test_a_failure_comes_in_its_turn() -> None:
    with closing(ahead(lambda item: [1 // item], [1, 1, 0, 1], 4)) as made:
        whole = filter(None, made)
        assert [next(whole), next(whole)] == [[1], [1]]
        with pytest.raises(ZeroDivisionError):
            next(whole)
    assert not left_over()


def test_stop_ends_it_although_the_next_is_being_made() -> None:
    stop = threading.Event()
    with closing(ahead(lambda _: stop.wait(10), range(9), 3, stop=stop)) as made:
        assert next(made) is None
        stop.set()
        with pytest.raises(Stopped):
            next(made)
    assert not left_over()
