"""The Assess tab: one photo in, its score and its diagnosis thought out side by side."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from qinsight.assess import Asked, assessment
from qinsight.page.host import Host
from qinsight.page.line import Job
from qinsight.page.loupe import Loupes, look
from qinsight.page.pictures import (
    band,
    band_value,
    facts,
    gauge,
    gauge_value,
    line,
    loupe,
    running_text,
    words_of,
)
from qinsight.page.record import Record, assessed, finished, on_the_table
from qinsight.page.recordings import answers
from qinsight.page.tab import AT_ONCE, Said, Tab, Turn, nothing_said, phrase, remark, turn_of
from qinsight.page.table import Question, Seen
from qinsight.page.uploads import BROWSER_FORMATS, Darkroom, photo_input, preview
from qinsight.page.words import ENGLISH, Spoken, Words, label
from qinsight.photos.listing import RAW_SUFFIXES
from qinsight.requests import Sampling

NOT_SHOWN = {
    *RAW_SUFFIXES,
    ".heic",
    ".heif",
    ".hif",
    ".tif",
    ".tiff",
}  # by the file's name: until it is decoded
EXAMPLES = sorted((Path(__file__).parents[2] / "examples" / "photos").glob("*.jpg"))


@dataclass(frozen=True)
class _State:
    """What the page knows so far; `picture` is what it shows of a photo that no browser can.

    `read`: the photo has been read for the model, so that a loupe may have it read for itself.
    """

    status: Said
    asked: tuple[Asked, ...] = ()
    picture: str | None = None
    read: bool = False


class AssessTab(Tab):
    """Builds the tab and wires it; `host` answers, `darkroom` decodes."""

    name = "assess"

    def __init__(
        self, host: Host, darkroom: Darkroom, sampling: Sampling, spoken: Spoken, loupes: Loupes
    ) -> None:
        self.darkroom, self.loupes = darkroom, loupes
        super().__init__(host, sampling, spoken)

    def _lay_out(self) -> None:
        with gr.Row(equal_height=False):
            with gr.Column(min_width=320):
                self.photo = photo_input(label("photo"), "photo", 380)
                self.restore = gr.Button("", visible="hidden", elem_id="restore")
                self.recall = gr.Button("", visible="hidden", elem_id="film-recall")
                with gr.Row():
                    self.button = gr.Button(
                        label("assess"), variant="primary", elem_id="assess", min_width=100
                    )
                    self.stop = gr.Button(label("stop"), elem_id="stop", min_width=100)
                    gr.Button(label("choose"), elem_id="choose", min_width=100)  # film.js opens the field
                self.loupe = loupe("assess", "photo-loupe")
            with gr.Column(min_width=320):
                self.status = line("assess", "status")
                self.problem = line("assess", "problem", "now")
                with gr.Row():
                    with gr.Column(min_width=250):
                        self.gauge = gauge()
                    with gr.Column(min_width=250):
                        self.band = band()
                with gr.Row(equal_height=False):
                    with gr.Column(min_width=240), gr.Accordion(label("rating_reasoning"), open=True):
                        self.score_words = running_text("assess", "score-words", "rating_words")
                    with gr.Column(min_width=240), gr.Accordion(label("diagnosis_reasoning"), open=True):
                        self.diagnosis_words = running_text("assess", "diagnosis-words", "diagnosis_words")
                self.record = Record("assess")
        self.examples = gr.Gallery(
            _gallery(ENGLISH),
            label=label("examples"),
            columns=4,
            height="auto",
            allow_preview=False,
            object_fit="cover",
            buttons=[],
            format="png",
            interactive=False,
            elem_id="examples",
            visible=bool(EXAMPLES),
        )
        self.outputs = [
            self.record.table,
            self.status,
            self.problem,
            self.gauge,
            self.band,
            self.score_words,
            self.diagnosis_words,
            self.loupe,
        ]

    def _wire(self) -> None:
        table = self.record.table
        turns = []
        chosen = "(_, photo) => qi.lay('photo', photo)"
        for event in (self.photo.upload, self.photo.clear):
            turns.append(event(self.turn_to, [table, self.photo], self.outputs, js=chosen, **AT_ONCE))
        example = "() => [qi.lay('examples', true)[0]]"
        turns.append(self.examples.select(self.turn_to_example, [table], self.outputs, js=example, **AT_ONCE))
        again = "(_, photo) => [qi.again('assess'), photo]"
        turns.append(
            self.button.click(self.ask_again, [table, self.photo], self.outputs, js=again, **AT_ONCE)
        )
        self.then_ask(turns, self.run, concurrency_id="model", concurrency_limit=None)
        self.stop.click(self.stop_it, [table], None, js="() => [qi.stop('assess')]", **AT_ONCE)
        self.restore.click(None, None, [self.photo], js="() => qi.restored()", queue=False)
        held = f"() => qi.filmed({json.dumps([one.elem_id for one in self.outputs])})"
        shown = self.recall.click(None, None, [*self.outputs, self.photo], js=held, queue=False)
        shown.then(self.shown_again, [table, self.photo], None, js="() => qi.told()", **AT_ONCE)
        table.change(None, [table], [self.photo], js="table => qi.pictures('assess', table)", queue=False)

    def worded(self, words: Words) -> list[tuple[Any, Any]]:
        return [(self.examples, gr.update(value=_gallery(words)))]

    def turn_to(self, told: Any, path: str | None, request: gr.Request) -> list[Any]:
        """Another photo, or none, is on the table: nothing of the old answer stays, whoever is waiting in line."""
        pictures = [None] if path and Path(path).suffix.lower() in NOT_SHOWN else None
        return self._turned(request, turn_of(told), path, pictures=pictures)

    def turn_to_example(self, told: Any, event: gr.SelectData, request: gr.Request) -> list[Any]:
        """One of our own photos is on the table."""
        if not 0 <= event.index < len(EXAMPLES):
            return [gr.skip()] * len(self.outputs)
        path = str(EXAMPLES[event.index])
        return self._turned(request, turn_of(told), path, pictures=[self.photo.shown(path)])

    def ask_again(self, told: Any, shown: str | None, request: gr.Request) -> list[Any]:
        """The photo on the table is asked about once more; `shown` is what the browser shows of it."""
        turn, old = turn_of(told), self.tables.newest(request.session_hash)
        known = old is not None and old.laid == turn.of
        path = old.photos if old and known else shown
        problem = "" if path else self.spoken.words(request)("photo_first")
        return self._turned(request, turn, path, turn.of, problem, seen_before=known)

    def shown_again(self, told: Any, path: str | None, request: gr.Request) -> None:
        """A photo is on the table whose answer the browser has kept: nothing is asked."""
        number = turn_of(told).number
        self.tables.turn_to(request.session_hash, number, None, path, number)

    def _turned(
        self,
        request: gr.Request,
        turn: Turn,
        path: str | None,
        laid: int | None = None,
        problem: str = "",
        pictures: list[Any] | None = None,
        seen_before: bool = False,
    ) -> list[Any]:
        if not self.tables.turn_to(request.session_hash, turn.number, path, path, laid):
            return [gr.skip()] * len(self.outputs)
        seen = Seen(turn.number, self.spoken.words(request), running=bool(path), problem=problem)
        state = _State(phrase("waiting") if path else nothing_said, read=seen_before)
        return self._values(state, seen, path, opened=not path, pictures=pictures)

    def run(self, request: gr.Request) -> Iterator[Any]:
        """Assess the photo on the table; yields the values of `outputs`."""
        yield from self.follow(request, _State(phrase("reading")), self._work, self._show)

    def _work(self, path: str, job: Job) -> Iterator[_State]:
        engine = yield from self.host.wait(job, lambda status: _State(remark(status), read=True))
        photo = self.darkroom.decode(path, engine.about.max_pixels, job.stopped)
        about = facts(photo, engine.about.max_pixels)
        picture = preview(photo) if photo.format not in BROWSER_FORMATS else None
        yield _State(_and_then(about, "looking"), picture=picture, read=True)
        recorded, states = answers(
            self.host.recordings, engine, assessment(photo.image), self.sampling, [path], job.stopped
        )
        thinking = _and_then(about, "replaying" if recorded else "thinking_status")
        asked: tuple[Asked, ...] = ()
        for asked in states:
            yield _State(thinking, asked, picture, read=True)
        seconds, model = max((one.seconds for one in asked), default=0.0), engine.about.name
        ending = "recorded" if recorded else "done"
        yield _State(partial(_ended, about, ending, seconds, model), asked, picture, read=True)

    def _show(self, question: Question, state: _State, seen: Seen) -> list[Any]:
        record, about = None, self.host.about
        if not seen.running and about and finished(state.asked):
            record = assessed(seen.words, Path(question.subject).name, state.asked, about.name)
        pictures = [self.photo.shown(state.picture)] if state.picture else None
        return self._values(state, seen, question.subject, record, pictures=pictures)

    def _values(
        self,
        state: _State,
        seen: Seen,
        path: str | None,
        record: Any = None,
        *,
        opened: bool = False,
        pictures: list[Any] | None = None,
    ) -> list[Any]:
        """Values of `outputs` for the photo at `path`; `opened` as when the page is, with nothing on the table."""
        score, diagnosis = state.asked if len(state.asked) == 2 else (None, None)
        words = seen.words
        goes_on = seen.running or opened or bool(seen.problem and not state.asked)
        return [
            on_the_table(seen, record, pictures),
            seen.part(state.status(words)),
            seen.part(seen.problem),
            seen.part(gauge_value(score, words, goes_on)),
            seen.part(band_value(diagnosis, words, goes_on)),
            seen.part(words_of(score, words, goes_on)),
            seen.part(words_of(diagnosis, words, goes_on)),
            seen.part(look(self.loupes, path, seen) if state.read or not seen.running else None),
        ]


def _and_then(about: Said, doing: str) -> Said:
    return lambda words: words("and_then", facts=about(words), doing=words(doing))


def _ended(about: Said, ending: str, seconds: float, model: str, words: Words) -> str:
    return words(ending, facts=about(words), seconds=seconds, model=model)


def _gallery(words: Words) -> list[tuple[str, str]]:
    """Our own photos with their names."""
    return [(str(path), words.name(path.stem)) for path in EXAMPLES]
