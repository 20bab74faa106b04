"""What lies on each visitor's table, and the one question about it; what is asked of an older one ends."""

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from qinsight.page.line import Job
from qinsight.page.words import ENGLISH, Words


@dataclass(eq=False)
class Question:
    """One question of one visitor: `number` is the browser's and only grows, `subject` None asks nothing.

    `photos` is what lies on the table, `laid` the number of the question that came with it. `ended` is set once
    nothing more is said about this question, `before` the one that was asked before it, if any. `said` is for the
    tab: what it answered.
    """

    number: int
    subject: Any = None
    photos: Any = None
    laid: int = 0
    job: Job | None = None
    stopped: bool = False
    said: Any = None
    before: "Question | None" = None
    ended: threading.Event = field(default_factory=threading.Event)

    def end(self) -> None:
        """The model need not go on."""
        if self.job is not None:
            self.job.stop()


@dataclass(frozen=True)
class Seen:
    """How a question stands when its state is shown: its number, the language, an error in words.

    `refused`: the key of the name of the photo that the error is about, if it is about one.
    """

    number: int
    words: Words
    running: bool = False
    stopped: bool = False
    problem: str = ""
    refused: str = ""

    def part(self, shown: Any) -> dict[str, Any]:
        """The value of an element that belongs to this question, as table.js reads it."""
        return {"question": self.number, "shown": shown}


FIRST = Seen(0, ENGLISH)
"""How it stands when a page is opened."""


class Tables:
    """The newest question of each visitor of a tab, by Gradio's session."""

    MOST = 10_000  # visitors who left without a word are forgotten in the end

    def __init__(self) -> None:
        self._newest: OrderedDict[str, Question] = OrderedDict()
        self._lock = threading.Lock()

    def turn_to(
        self, session: str | None, number: int, subject: Any, photos: Any = None, laid: int | None = None
    ) -> bool:
        """The visitor turns to this question; the old one ends. False where a later one is known: it came late."""
        with self._lock:
            old = self._newest.get(session or "")
            if number <= (old.number if old is not None else 0):
                return False
            new = Question(number, subject, photos, number if laid is None else laid)
            new.before = old if old is None or old.job is not None else old.before
            self._newest[session or ""] = new
            self._newest.move_to_end(session or "")
            gone = [old] if old is not None else []
            while len(self._newest) > self.MOST:
                gone.append(self._newest.popitem(last=False)[1])
        for question in gone:
            question.end()
        return True

    def newest(self, session: str | None) -> Question | None:
        """What the visitor turned to last."""
        return self._newest.get(session or "")

    def begin(self, session: str | None, address: str = "") -> Question | None:
        """The newest question, to be asked from now on; None where there is none, or somebody asks it already."""
        with self._lock:
            question = self._newest.get(session or "")
            if question is None or question.subject is None or question.job is not None:
                return None
            question.job = Job(session or "", address)
            if question.stopped:
                question.job.stop()
        return question

    def stop(self, session: str | None, number: int) -> None:
        """Stop was pressed while the visitor saw this question."""
        with self._lock:
            question = self._newest.get(session or "")
            if question is None or question.number != number:
                return
            question.stopped = True
        question.end()

    def forget(self, session: str | None) -> None:
        """The visitor left."""
        with self._lock:
            question = self._newest.pop(session or "", None)
        if question is not None:
            question.end()
