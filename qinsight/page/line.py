"""The line before the model: fair between visitors, bounded, and everyone knows their place."""

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from qinsight.errors import QInsightError, Stopped
from qinsight.sentence import Sentence

LONGEST = 50  # questions, those being answered included
EACH = 3  # questions of one visitor: a page has three tabs
SHARE = 8  # turns in a round for all visitors of one network address, and its part of the line is one half
GLANCE = 0.1  # seconds between two looks at an event that nobody tells of


class LineFull(QInsightError):
    """Too many wait already."""


class Closing(LineFull):
    """The page is about to end."""


CLOSING = Sentence("The page is closing. Please ask again when it is back.")


class TooMany(QInsightError):
    """This visitor has too many questions waiting."""


class Job:
    """One visitor's question, or their ranking, which asks many; `stopped` is set once it is to end.

    `visitor` is whose it is, `address` where it comes from (empty: not known, or this computer), `names` by
    which it can be stopped: Gradio's of the session or the event. `before` says how many are asked before it
    while all that it asks waits in line, else it is None.
    """

    def __init__(self, visitor: str = "", address: str = "", names: Iterable[str] = ()) -> None:
        self.visitor, self.address, self.names = visitor, address, {visitor, *names}
        self.stopped = threading.Event()
        self.before: int | None = None
        self._watchers: list[Callable[[], None]] = []
        self._ends: list[Callable[[], None]] = []

    def stop(self) -> None:
        """It need not go on."""
        self.stopped.set()
        self.tell()

    def watch(self, watcher: Callable[[], None]) -> None:
        """Have `watcher` called, from any thread, when the job is stopped or its place changes."""
        self._watchers.append(watcher)

    def unwatch(self, watcher: Callable[[], None]) -> None:
        self._watchers.remove(watcher)

    def tell(self) -> None:
        for watcher in [*self._watchers]:
            watcher()

    def at_end(self, then: Callable[[], None]) -> None:
        """Have `then` called when the job is over, however it ends."""
        self._ends.append(then)

    def over(self) -> None:
        while self._ends:
            self._ends.pop()()


@dataclass(eq=False)
class _Ticket:
    """One wish for the model, asked for in `start`, a round of turns; lower standings go first."""

    job: Job
    start: float
    standing: float
    news: threading.Event = field(default_factory=threading.Event)
    called: bool = False


class Line:
    """Who may ask the model next: visitors take turns, each turn counting the same, and nobody waits for ever."""

    def __init__(self, longest: int = LONGEST, each: int = EACH) -> None:
        self.longest, self.each = longest, each
        self.at_once = 1  # more where a server answers
        self._lock = threading.Lock()
        self._jobs: set[Job] = set()
        self._waiting: list[_Ticket] = []
        self._running: set[_Ticket] = set()
        self._round = 0.0
        self._due: dict[str, float] = {}  # visitor or address -> the first round in which it is served again
        self._tickets = 0
        self.closed = False

    def __len__(self) -> int:
        return len(self._jobs)

    def refusal(self, job: Job) -> QInsightError | None:
        """Why this job could not be taken on now, in a sentence, or None."""
        if self.closed:
            return Closing(CLOSING)
        visitors = Counter(one.visitor for one in self._jobs)
        if visitors[job.visitor] >= self.each and job.visitor:
            return TooMany(
                "Expected at most {most} questions at a time from one visitor. Wait for one of yours to end.",
                most=self.each,
            )
        addresses = Counter(one.address for one in self._jobs)
        crowded = bool(job.address) and addresses[job.address] >= max(1, self.longest // 2)
        if len(self._jobs) >= self.longest or crowded:
            return LineFull(
                "{count} questions are waiting already. Please try again in a minute.", count=len(self._jobs)
            )
        return None

    def enter(self, job: Job) -> None:
        """Take the job on until it is over; `LineFull` or `TooMany` if there is no room for it."""
        with self._lock:
            if (refusal := self.refusal(job)) is not None:
                raise refusal
            self._jobs.add(job)
        job.at_end(lambda: self._leave(job))

    def close(self) -> None:
        """From now on nobody is taken on; who was, stays."""
        self.closed = True

    def stop_all(self) -> None:
        """Stop every job."""
        with self._lock:
            jobs = [*self._jobs]
        for job in jobs:
            job.stop()

    def _leave(self, job: Job) -> None:
        with self._lock:
            self._jobs.discard(job)

    def drop(self, name: str) -> None:
        """Stop the jobs of that name: their visitor left."""
        with self._lock:
            gone = [job for job in self._jobs if name in job.names]
        for job in gone:
            job.stop()

    @contextlib.contextmanager
    def turn(self, job: Job, stop: threading.Event | None = None) -> Iterator[None]:
        """The model is this job's while the context lasts; waits until it is.

        Raises `Stopped` where the job ends while it waits, or `stop` is set, by which one of its questions may end alone.
        """
        ticket = self._join(job)
        try:
            while not ticket.called:
                if job.stopped.is_set() or (stop is not None and stop.is_set()):
                    raise Stopped("Stopped.")
                ticket.news.wait(None if stop in (None, job.stopped) else GLANCE)
                ticket.news.clear()
            yield
        finally:
            self._give_up(ticket)

    def _join(self, job: Job) -> _Ticket:
        with self._lock:
            known = [name for name in (job.visitor, job.address) if name]
            start = max([self._round, *(self._due.get(name, 0.0) for name in known)])
            # A visitor's later questions let others go first, but no more than a full line of them.
            ticket = _Ticket(job, start, self._tickets + LONGEST * (start - self._round))
            self._tickets += 1
            self._charge(job, +1)
            job.watch(ticket.news.set)
            self._waiting.append(ticket)
            self._call_next(job)
        return ticket

    def _give_up(self, ticket: _Ticket) -> None:
        ticket.job.unwatch(ticket.news.set)
        with self._lock:
            if ticket.called:
                self._running.remove(ticket)
            else:
                self._waiting.remove(ticket)
                self._charge(ticket.job, -1)  # a question taken back costs nothing
            self._call_next(ticket.job)

    def _charge(self, job: Job, turns: int) -> None:
        for name, price in ((job.visitor, 1.0), (job.address, 1 / SHARE)):
            if name:
                self._due[name] = max(self._round, self._due.get(name, 0.0)) + turns * price
        if len(self._due) > 1000:
            self._due = {name: due for name, due in self._due.items() if due > self._round}

    def _call_next(self, changed: Job) -> None:
        self._waiting.sort(key=lambda ticket: ticket.standing)
        while self._waiting and len(self._running) < self.at_once:
            ticket = self._waiting.pop(0)
            self._round = max(self._round, ticket.start)
            self._running.add(ticket)
            ticket.called = True
            ticket.news.set()
        places: dict[Job, int | None] = {ticket.job: None for ticket in self._running}
        for place, ticket in enumerate(self._waiting):
            places.setdefault(ticket.job, place + len(self._running))
        for job, before in ({changed: None} | places).items():
            if job.before != before:
                job.before = before
                job.tell()
