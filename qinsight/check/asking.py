"""A plan asked, step by step; what was answered is remembered, so that a check that was killed goes on."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from qinsight.assess import Asked, ask
from qinsight.check.plan import VERSION, Step
from qinsight.errors import EngineError, Stopped
from qinsight.json_lines import Line
from qinsight.ledger import Ledger
from qinsight.odds import Place
from qinsight.ranking.folder import model_signature
from qinsight.requests import Engine, Finish, Request

HOPELESS = (
    3  # steps failed one after the other, from the first on: what answers nothing need not be asked more
)
MEMORY = "answers.jsonl"


@dataclass(frozen=True)
class Answered:
    """A step's replies; `failure` says why there are none.

    `first` is how long the first word took, `ended` how long the stream went on after Stop, where that was asked,
    `overrun` how many tokens came in it.
    """

    asked: tuple[Asked, ...] = ()
    first: float = 0.0
    failure: str = ""
    ended: float = 0.0
    overrun: int = 0


Answers = dict[str, Answered]


@dataclass
class Asking:
    """How far a check is. `before` counts the steps that an earlier run has answered."""

    answers: Answers = field(default_factory=dict)
    before: int = 0


def ask_all(
    engine: Engine, steps: Sequence[Step], out: Path, *, max_pixels: int | None = None
) -> Iterator[Asking]:
    """Ask every step; yields after each one. `QInsightError` where that cannot go on."""
    asking = Asking()
    with _memory(out, _signature(engine, max_pixels), steps) as memory:
        for step in steps:
            answered = _remembered(memory.get(step.name), step)
            asking.before += answered is not None
            if answered is None:
                answered = _ask(engine, step, max_pixels)
                if not answered.failure:  # what failed is asked again, if this run is killed
                    memory.add(_line(step, _signature(engine, max_pixels), answered))
            asking.answers[step.name] = answered
            yield asking
            if _hopeless(asking.answers):
                return


def forget(out: Path) -> None:
    """Let the next check of this folder begin anew."""
    (out / MEMORY).unlink(missing_ok=True)


def _hopeless(answers: Answers) -> bool:
    return len(answers) == HOPELESS and all(one.failure for one in answers.values())


def _ask(engine: Engine, step: Step, max_pixels: int | None) -> Answered:
    try:
        if step.name == "stop":
            return _ask_and_stop(engine, step, max_pixels)
        return _ask_to_the_end(engine, step, max_pixels)
    except EngineError as error:
        if _of_every_request(error):
            raise
        return Answered(failure=error.sentence)


def _of_every_request(error: EngineError) -> bool:
    from qinsight.engines.server_link import Hopeless  # only a server's client knows it

    return isinstance(error, Hopeless)


def _ask_to_the_end(engine: Engine, step: Step, max_pixels: int | None) -> Answered:
    started, first = time.monotonic(), 0.0
    state: tuple[Asked, ...] = ()
    asked = ask(engine, step.requests, step.sampling, max_pixels=max_pixels, watched=step.watched)
    with closing(asked) as states:
        for state in states:  # noqa: B007
            first = first or time.monotonic() - started
    return Answered(state, first)


def _ask_and_stop(engine: Engine, step: Step, max_pixels: int | None) -> Answered:
    """Stop at the first word, and see how long words still come."""
    stop = threading.Event()
    stopped, heard = 0.0, 0
    state: tuple[Asked, ...] = ()
    try:
        with closing(ask(engine, step.requests, step.sampling, max_pixels=max_pixels, stop=stop)) as states:
            for state in states:
                if not stop.is_set():
                    stopped, heard = time.monotonic(), state[0].tokens
                    stop.set()
    except Stopped:
        state = tuple(replace(one, finish=None) for one in state)
    return Answered(state, ended=time.monotonic() - stopped, overrun=state[0].tokens - heard if state else 0)


# --- remembered ---------------------------------------------------------------------------------------------------


def _memory(out: Path, signature: str, steps: Sequence[Step]) -> Ledger:
    names = {step.name for step in steps}
    return Ledger(
        out / MEMORY,
        _known,
        name="step",
        key="step",
        kept=lambda line: line["model"] == signature and line["step"] in names,
    )


def _known(line: Line) -> Line:
    if not {"step", "model", "replies"} <= line.keys():
        raise ValueError("expected a step, a model and replies")
    return line


def _signature(engine: Engine, max_pixels: int | None) -> str:
    """By which answers of an earlier run are known as this model's."""
    about = engine.about
    return f"{VERSION} {about.device} {model_signature(about, max_pixels or about.max_pixels, None)}"


def _line(step: Step, signature: str, answered: Answered) -> Line:
    replies = [
        {
            "text": one.text,
            "tokens": one.tokens,
            "seconds": round(one.seconds, 4),
            "finish": one.finish,
            "places": [[place.offset, place.length, place.alternatives] for place in one.places],
        }
        for one in answered.asked
    ]
    figures = {"first": answered.first, "ended": answered.ended, "overrun": answered.overrun}
    return {"step": step.name, "model": signature, "replies": replies, **figures}


def _remembered(line: Line | None, step: Step) -> Answered | None:
    """None where nothing is remembered, or nothing that can be read."""
    try:
        return None if line is None else _read(line, step)
    except (KeyError, TypeError, ValueError):
        return None


def _read(line: Line, step: Step) -> Answered:
    pairs = zip(step.requests, line["replies"], strict=True)
    asked = tuple(_asked(request, reply) for request, reply in pairs)
    return Answered(asked, float(line["first"]), "", float(line["ended"]), int(line["overrun"]))


def _asked(request: Request, reply: Line) -> Asked:
    return Asked(
        request,
        str(reply["text"]),
        int(reply["tokens"]),
        float(reply["seconds"]),
        None if reply["finish"] is None else Finish(reply["finish"]),
        tuple(_place(*place) for place in reply["places"]),
    )


def _place(offset: int, length: int, alternatives: list[Any]) -> Place:
    return Place(int(offset), int(length), tuple((str(word), float(chance)) for word, chance in alternatives))
