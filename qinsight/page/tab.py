"""What the tabs share: one question at a time per visitor, followed until it ends, is stopped or fails."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol, TypeVar

import gradio as gr

from qinsight.assess import Asked
from qinsight.errors import PhotoError, QInsightError, Stopped
from qinsight.page.background import PACE, PARTING, in_background
from qinsight.page.host import Host
from qinsight.page.line import Job
from qinsight.page.table import Question, Seen, Tables
from qinsight.page.visitors import address_of
from qinsight.page.words import Spoken, Words
from qinsight.requests import Reading, Sampling, Stage

Said = Callable[[Words], str]
"""A status in the language that its visitor reads when it is shown."""


class HasStatus(Protocol):
    """A state of a tab: a frozen dataclass with what to tell the visitor."""

    @property
    def status(self) -> Said: ...


class HasAsked(Protocol):
    """A state with what has come of the replies."""

    @property
    def asked(self) -> tuple[Asked, ...]: ...


State = TypeVar("State", bound=HasStatus)

PRIVATE: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "trigger_mode": "multiple"}
AT_ONCE: dict[str, Any] = {"queue": False, **PRIVATE}
DRAWN: dict[str, Any] = {**AT_ONCE, "postprocess": False}  # by our templates: no thread for each value
FIRST_WORDS = 16  # characters of a reply: its opening tag and a word or two
UNASKED = 2.0  # seconds that a question waits for the last word about the one before it


def until_words(state: HasAsked) -> float:
    """The pace of replies that are read while they come: nothing waits before the first words are there."""
    heard = max((len(one.text) for one in state.asked), default=0)
    return PACE if heard > FIRST_WORDS else 0.0


def nothing_said(words: Words) -> str:
    """The status of a tab that has none."""
    return ""


def phrase(key: str, **values: object) -> Said:
    """A phrase of the page as a status."""
    return lambda words: words(key, **values)


def how_far(reading: Reading) -> Said:
    """What a slow model does before its first word, as a status."""

    def said(words: Words) -> str:
        seconds = reading.seconds_left
        left = "" if seconds is None else words("time_left", seconds=max(1, seconds))
        doing = "layer_looking" if reading.stage is Stage.LOOKING else "layer_reading"
        return words(doing, layer=reading.layer, layers=reading.layers, left=left)

    return said


def remark(said: str) -> Said:
    """What was said in English elsewhere, as a status."""
    return lambda words: words.remark(said)


@dataclass(frozen=True)
class Turn:
    """What table.js tells of a turn: the question's number, that of the photos on the table, whether one ran."""

    number: int
    of: int = 0
    running: bool = False


def turn_of(told: Any) -> Turn:
    """The turn that was sent; anything else is one without a number, which comes too late for every table."""
    given = told if isinstance(told, dict) else {}
    number, of = (
        one if type(one) is int and 0 < one < 2**53 else 0 for one in (given.get("number"), given.get("of"))
    )
    return Turn(number, of, given.get("running") is True)


class Tab:
    """The base of the tabs that ask the model, each laid out and then wired. `name` is what table.js calls the tab."""

    name: str
    outputs: list[Any]
    parting = PARTING  # seconds that a question which was stopped has for its last words

    def __init__(self, host: Host, sampling: Sampling, spoken: Spoken) -> None:
        self.host, self.sampling, self.spoken, self.tables = host, sampling, spoken, Tables()
        self._lay_out()
        self._wire()

    def _lay_out(self) -> None:
        raise NotImplementedError

    def _wire(self) -> None:
        raise NotImplementedError

    def worded(self, words: Words) -> list[tuple[Any, Any]]:
        """What the browser cannot translate: components with their values in the visitor's language."""
        return []

    def then_ask(self, turns: list[Any], run: Callable[..., Any], **queue: Any) -> None:
        """Ask about what lies on the table after each of these turns; tell the browser if nobody does."""
        failed: dict[str, Any] = {"fn": None, "js": f"() => qi.failed('{self.name}')", **AT_ONCE}
        for turn in turns:
            turn.success(run, None, self.outputs, **queue, **PRIVATE, postprocess=False).failure(**failed)
            turn.failure(**failed)

    def follow(
        self,
        request: gr.Request,
        nothing: State,
        work: Callable[[Any, Job], Iterator[State]],
        show: Callable[[Question, State, Seen], list[Any]],
        pace: Callable[[State], float] | None = None,
    ) -> Iterator[Any]:
        """Values of the tab's outputs while the newest question is asked, and when it has ended in some way.

        `work(subject, job)` gives the states, of which `nothing` is the first; `show` makes values of them. What
        belongs to a question that is no longer the newest is not shown; `overtaken` has the last word about it.
        """
        session = request.session_hash
        question = self.tables.begin(session, address_of(request))
        if question is None or question.job is None:
            return
        try:
            if question.before is not None:
                question.before.ended.wait(UNASKED)
                question.before = None
            yield from self._followed(request, question, nothing, work, show, pace)
            if self.tables.newest(session) is not question:
                yield from self.overtaken(question, request)
        finally:
            question.end()
            question.ended.set()

    def _followed(
        self,
        request: gr.Request,
        question: Question,
        nothing: State,
        work: Callable[[Any, Job], Iterator[State]],
        show: Callable[[Question, State, Seen], list[Any]],
        pace: Callable[[State], float] | None,
    ) -> Iterator[Any]:
        state, job = nothing, question.job
        assert job is not None

        def seen(**how: Any) -> Iterator[list[Any]]:
            if self.tables.newest(request.session_hash) is question:
                yield show(question, state, Seen(question.number, self.spoken.words(request), **how))

        yield from seen(running=True)
        try:
            for news in in_background(partial(work, question.subject), job, _in_line, pace, self.parting):
                if self.tables.newest(request.session_hash) is not question:
                    return
                state = news or state
                yield from seen(running=True)
        except Stopped:
            state = replace(state, status=self.stopped_at(state))  # type: ignore[type-var]
            yield from seen(stopped=True)
        except QInsightError as error:
            state = replace(state, status=nothing_said)  # type: ignore[type-var]
            told = self.told(self.spoken.words(request), error)
            yield from seen(problem=told, refused=self.refused(error))
        else:
            yield from seen()

    def told(self, words: Words, error: QInsightError) -> str:
        """An error in the visitor's language."""
        return words.sentence(error)

    def refused(self, error: QInsightError) -> str:
        """The key of the name of the photo that the error is about, if it is about one."""
        return "photo" if isinstance(error, PhotoError) else ""

    def stopped_at(self, state: Any) -> Said:
        """The status of a question that somebody stopped."""
        return phrase("stopped")

    def overtaken(self, question: Question, request: gr.Request) -> Iterator[list[Any]]:
        """The last word of a question that another one took the place of: Gradio says it again at the very end.

        Values of `outputs` where some of them carry no number, by which the browser would know them.
        """
        yield from ()

    def left(self, request: gr.Request) -> None:
        """The visitor closed the page."""
        self.tables.forget(request.session_hash)

    def stop_it(self, told: Any, request: gr.Request) -> None:
        """Stop was pressed; what has come so far stays, and says so."""
        self.tables.stop(request.session_hash, turn_of(told).number)


def _in_line(state: State, before: int) -> State:
    """The state with the place in line as its status."""
    return replace(state, status=phrase("in_line", before=before))  # type: ignore[type-var]
