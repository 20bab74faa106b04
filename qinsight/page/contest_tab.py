"""Which frame of a burst is the best: a tournament of its frames, asked from Shoot's large view."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from qinsight.errors import PhotoError, QInsightError
from qinsight.page.host import Host
from qinsight.page.lightbox import Lightboxes, seen_by_model
from qinsight.page.line import Job
from qinsight.page.pictures import laid, line
from qinsight.page.record import on_the_table
from qinsight.page.result import answer_part
from qinsight.page.tab import AT_ONCE, DRAWN, Said, Tab, phrase, remark, turn_of
from qinsight.page.table import Question, Seen
from qinsight.page.uploads import apart
from qinsight.page.words import Spoken, Words, label
from qinsight.requests import Sampling
from qinsight.sentence import Sentence
from qinsight.trust.told import by_strength, remarks, verdict
from qinsight.trust.tournament import LEAST, Standing, check_frames, most_pairs, tournament


@dataclass(frozen=True)
class _Frame:
    """A frame of a shoot by its opaque number, and its file."""

    number: str
    path: Path
    uploaded: bool


@dataclass(frozen=True)
class _State:
    """What is known so far of the `frames` that could be read; `left` says which could not, and why."""

    status: Said
    frames: tuple[_Frame, ...] = ()
    standing: Standing | None = None
    left: tuple[Sentence, ...] = ()


class ContestTab(Tab):
    """What is asked by a button that shoot.js draws, and what came of it. A person's picks stay as they are."""

    name = "contest"

    def __init__(self, host: Host, sampling: Sampling, spoken: Spoken, lightboxes: Lightboxes) -> None:
        self.lightboxes = lightboxes
        super().__init__(host, sampling, spoken)

    def _lay_out(self) -> None:
        with gr.Column(elem_id="contest-place"):
            self.button = gr.Button("", visible="hidden", elem_id="contest-ask")
            self.stop = gr.Button(label("stop"), size="sm", elem_id="contest-stop", min_width=100)
            self.laid = laid("contest-record", "contest")
            self.status = line("contest", "contest-status")
            self.problem = line("contest", "contest-problem", "now")
            self.result = answer_part("contest", "which_best", "contest")
        self.outputs = [self.laid, self.status, self.problem, self.result]

    def _wire(self) -> None:
        asks = "() => [{ ...qi.turn('contest', true), frames: qi.shoot.alike() }]"
        turn = self.button.click(self.turn_to, [self.laid], self.outputs, js=asks, **DRAWN)
        self.then_ask([turn], self.run, concurrency_id="model", concurrency_limit=None)
        self.stop.click(self.stop_it, [self.laid], None, js="() => [qi.stop('contest')]", **AT_ONCE)

    def turn_to(self, told: Any, request: gr.Request) -> list[Any]:
        """These frames, by their numbers, are to meet."""
        frames = self._frames(told.get("frames") if isinstance(told, dict) else None)
        number, words, problem = turn_of(told).number, self.spoken.words(request), ""
        try:
            check_frames(len(frames))
        except QInsightError as error:
            problem = words.sentence(error)
        if not self.tables.turn_to(request.session_hash, number, None if problem else frames):
            return [gr.skip()] * len(self.outputs)
        seen = Seen(number, words, running=not problem, problem=problem)
        return self._values(_State(phrase("waiting")), seen)

    def _frames(self, numbers: Any) -> tuple[_Frame, ...]:
        asked = (
            dict.fromkeys(one for one in numbers[:1000] if isinstance(one, str) and one.isdecimal())
            if isinstance(numbers, list)
            else {}
        )
        found = {number: self.lightboxes.found(number) for number in asked}
        return tuple(
            _Frame(number, place[0].folder / place[0].frames[place[1]][0], place[0].uploaded)
            for number, place in found.items()
            if place
        )

    def run(self, request: gr.Request) -> Iterator[Any]:
        """Ask pair by pair; yields the values of `outputs`."""
        yield from self.follow(request, _State(phrase("reading_two")), self._work, self._show)

    def _work(self, frames: Sequence[_Frame], job: Job) -> Iterator[_State]:
        engine = yield from self.host.wait(job, lambda status: _State(remark(status)))
        limit = engine.about.max_pixels
        photos: dict[_Frame, Image.Image] = {}
        left: list[Sentence] = []
        for frame in frames:
            try:
                photos[frame] = seen_by_model(frame.path, limit, uploaded=frame.uploaded, stop=job.stopped)
            except PhotoError as error:
                left.append(Sentence("{name}: {error}", name=frame.path.name, error=error))
        if len(photos) < LEAST:
            raise QInsightError(
                "Expected at least {least} photos that can be read, got {count}.",
                least=LEAST,
                count=len(photos),
            )
        known, most = tuple(photos), most_pairs(len(photos))
        yield _State(phrase("pairs_pace", done=0, most=most), known, None, tuple(left))
        for standing in tournament(engine, [*photos.values()], self.sampling, stop=job.stopped):
            pace = phrase("pairs_pace", done=len(standing.pairs), most=most)
            yield _State(pace, known, standing, tuple(left))

    def _show(self, question: Question, state: _State, seen: Seen) -> list[Any]:
        return self._values(state, seen)

    def _values(self, state: _State, seen: Seen) -> list[Any]:
        told = "" if seen.problem else state.status(seen.words)
        shown = _result(state, seen) if state.standing else None
        return [on_the_table(seen), seen.part(told), seen.part(seen.problem), seen.part(shown)]


def _result(state: _State, seen: Seen) -> dict[str, Any]:
    """The order so far with its intervals; once all is asked the verdict, and below it the app's remarks."""
    standing, words = state.standing, seen.words
    assert standing is not None
    names = [*apart(frame.path.name for frame in state.frames)]
    ended = not (seen.running or seen.stopped or seen.problem)
    told = [verdict(standing, names), *remarks(standing, names)] if ended else []
    lines = [words.remark(line) for line in [*told, *state.left]]
    return {
        "said": lines.pop(0) if ended else "",
        "rows": [
            _row(standing, frame, state.frames[frame], names[frame], words) for frame in by_strength(standing)
        ],
        "lines": [words("named", name=words("app_says"), problem=line) for line in lines],
    }


def _row(standing: Standing, place: int, frame: _Frame, name: str, words: Words) -> list[str]:
    found = standing.strengths[place]
    strength = words("strength", value=found.value, low=found.low, high=found.high, chance=100 * found.chance)
    return [frame.number, name, strength]
