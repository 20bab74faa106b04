"""What the tabs share: one question at a time per visitor, followed until it ends, is stopped or fails."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Protocol, TypeVar

import gradio as gr

from qinsight.errors import QInsightError, Stopped
from qinsight.page.background import Visits, address_of, in_background
from qinsight.page.line import Job
from qinsight.page.steady import AS_IT_IS
from qinsight.page.words import Spoken, Words


class HasStatus(Protocol):
    """A state of a tab: a frozen dataclass that begins with what to tell the visitor."""

    @property
    def status(self) -> str: ...


State = TypeVar("State", bound=HasStatus)

PRIVATE: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
AT_ONCE: dict[str, Any] = {"queue": False, **PRIVATE}


class Tab:
    """The base of the tabs that ask the model."""

    def __init__(self, spoken: Spoken) -> None:
        self.visits, self.spoken = Visits(), spoken

    def worded(self, words: Words) -> list[tuple[Any, Any]]:
        """What the browser cannot translate: components with their values in the visitor's language."""
        return []

    def follow(
        self,
        request: gr.Request,
        nothing: State,
        work: Callable[[Job], Iterator[State]],
        show: Callable[[State, str, bool | None], list[Any]],
    ) -> Iterator[Any]:
        """Values of the tab's outputs while `work` goes on, and when it has ended in one way or another.

        `show(state, problem, running)` makes them; `running` None leaves the buttons alone, which a click may
        just be pressing. `nothing` is the state before any news.
        """
        words = self.spoken.words(request)
        stop, state = self.visits.begin(request.session_hash, address_of(request)), nothing
        yield show(state, "", True)
        try:
            for news in in_background(work, stop):
                if stop.is_set():
                    return
                state = news or state
                yield show(state, "", None)
        except Stopped:
            yield show(replace(state, status=words("stopped")), "", False)  # type: ignore[type-var]
        except QInsightError as error:
            yield show(replace(state, status=""), words.sentence(error), False)  # type: ignore[type-var]
        else:
            yield show(state, "", False)

    def left(self, request: gr.Request) -> None:
        """The visitor closed the page."""
        self.visits.forget(request.session_hash)

    def stopped(self, request: gr.Request) -> list[Any]:
        """Stop was pressed; what has come so far stays. Values for the status and the two buttons."""
        self.visits.end(request.session_hash)
        return [self.spoken.words(request)("stopped"), *buttons(False)]


def buttons(running: bool | None) -> list[Any]:
    """The states of the ask button and the stop button; None leaves them as they are."""
    if running is None:
        return [AS_IT_IS, AS_IT_IS]
    return [gr.Button(interactive=not running), gr.Button(interactive=running)]
