"""The Assess tab: one photo in, its score and its diagnosis thought out side by side."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from qinsight.assess import Asked, assessment
from qinsight.folder import RAW_SUFFIXES
from qinsight.page.host import Host
from qinsight.page.line import Job
from qinsight.page.pictures import (
    band,
    band_value,
    facts,
    gauge,
    gauge_value,
    line,
    running_text,
    words_of,
)
from qinsight.page.record import Record, assessed, nothing_new_to_take_home, nothing_to_take_home
from qinsight.page.recordings import answers
from qinsight.page.steady import AS_IT_IS, Button
from qinsight.page.tab import AT_ONCE, PRIVATE, Tab, buttons
from qinsight.page.uploads import BROWSER_FORMATS, Darkroom, photo_input, preview
from qinsight.page.words import ENGLISH, Spoken, Words, label
from qinsight.photos import Photo
from qinsight.requests import MAX_PIXELS, Sampling

EXAMPLES = sorted((Path(__file__).parents[2] / "examples" / "photos").glob("*.jpg"))


@dataclass(frozen=True)
class _State:
    """What the page knows so far."""

    status: str
    photo: Photo | None = None
    max_pixels: int = MAX_PIXELS
    asked: tuple[Asked, ...] = ()


class AssessTab(Tab):
    """Builds the tab and wires it; `host` answers, `darkroom` decodes."""

    def __init__(
        self, host: Host, darkroom: Darkroom, sampling: Sampling, max_pixels: int | None, spoken: Spoken
    ) -> None:
        self.host, self.darkroom = host, darkroom
        self.sampling, self.max_pixels = sampling, max_pixels
        super().__init__(spoken)
        self._lay_out()
        self._wire()

    def _lay_out(self) -> None:
        self.source = gr.State(None)  # the path of the upload, also where the picture shows a preview of it
        with gr.Row(equal_height=False):
            with gr.Column(min_width=320):
                self.photo = photo_input(label("photo"), "photo", 380)
                with gr.Row():
                    self.button = Button(label("assess"), variant="primary", elem_id="assess", min_width=100)
                    self.stop = Button(label("stop"), elem_id="stop", interactive=False, min_width=100)
                    self.raw = gr.UploadButton(
                        label("raw"),
                        file_types=[*RAW_SUFFIXES, ".heic", ".heif", ".tif", ".tiff"],
                        elem_id="raw",
                        min_width=100,
                    )
            with gr.Column(min_width=320):
                self.status = line("status")
                self.problem = line("problem", "now")
                with gr.Row():
                    with gr.Column(min_width=250):
                        self.gauge = gauge()
                    with gr.Column(min_width=250):
                        self.band = band()
                with gr.Row(equal_height=False):
                    with gr.Column(min_width=240), gr.Accordion(label("rating_reasoning"), open=True):
                        self.score_words = running_text("score-words", "rating_words")
                    with gr.Column(min_width=240), gr.Accordion(label("diagnosis_reasoning"), open=True):
                        self.diagnosis_words = running_text("diagnosis-words", "diagnosis_words")
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
            self.source,
            self.photo,
            self.status,
            self.problem,
            self.gauge,
            self.band,
            self.score_words,
            self.diagnosis_words,
            *self.record.outputs,
            self.button,
            self.stop,
        ]

    def _wire(self) -> None:
        run: dict[str, Any] = {"concurrency_id": "model", "concurrency_limit": None, **PRIVATE}
        turns = [
            self.photo.upload(self.turn_to, [self.photo], self.outputs, **AT_ONCE),
            self.raw.upload(self.turn_to, [self.raw], self.outputs, **AT_ONCE),
            self.examples.select(self.turn_to_example, None, self.outputs, **AT_ONCE),
            self.button.click(self.turn_to, [self.source], self.outputs, **AT_ONCE),
        ]
        running = [turn.then(self.run, [self.source], self.outputs, **run) for turn in turns]
        self.stop.click(self.stopped, None, [self.status, self.button, self.stop], cancels=running, **AT_ONCE)
        self.photo.clear(self.turn_to, [gr.State(None)], self.outputs, **AT_ONCE)

    def worded(self, words: Words) -> list[tuple[Any, Any]]:
        return [(self.examples, gr.update(value=_gallery(words)))]

    def turn_to(self, path: str | None, request: gr.Request) -> list[Any]:
        """Another photo, or none, is on the table: nothing of the old answer stays, whoever is waiting in line."""
        self.visits.turn_to(request.session_hash, path)
        words = self.spoken.words(request)
        status = words("waiting") if path else ""
        return self._values(words, _State(status), source=path, running=bool(path))

    def turn_to_example(self, event: gr.SelectData, request: gr.Request) -> list[Any]:
        """One of our own photos is on the table."""
        if not 0 <= event.index < len(EXAMPLES):
            return [gr.skip()] * len(self.outputs)
        path = str(EXAMPLES[event.index])
        source, _, *others = self.turn_to(path, request)
        return [source, path, *others]

    def run(self, path: str | None, request: gr.Request) -> Iterator[Any]:
        """Assess the photo on the table; yields the values of `outputs`."""
        words = self.spoken.words(request)
        if not path:
            yield self._values(words, _State(""), problem=words("photo_first"))
            return
        if not self.visits.looks_at(request.session_hash, path):
            return
        previewed = False

        def show(state: _State, problem: str, running: bool | None) -> list[Any]:
            nonlocal previewed
            picture = None
            if state.photo and state.photo.format not in BROWSER_FORMATS and not previewed:
                picture, previewed = preview(state.photo), True
            return self._values(words, state, source=path, problem=problem, running=running, picture=picture)

        yield from self.follow(
            request, _State(words("reading")), lambda stop: self._work(path, words, stop), show
        )

    def _work(self, path: str, words: Words, stop: Job) -> Iterator[_State]:
        for status in self.host.wait(stop):
            yield _State(words.remark(status))
        engine = self.host.engine
        assert engine is not None  # wait() raises otherwise
        max_pixels = self.max_pixels or engine.about.max_pixels
        photo = self.darkroom.decode(path, max_pixels, stop)
        about = facts(photo, max_pixels, words)
        yield _State(words("and_then", facts=about, doing=words("looking")), photo, max_pixels)
        recorded, states = answers(
            self.host.recordings,
            engine,
            assessment(photo.image),
            self.sampling,
            max_pixels,
            [path],
            stop,
        )
        doing = words("replaying" if recorded else "thinking_status")
        thinking = words("and_then", facts=about, doing=doing)
        asked: tuple[Asked, ...] = ()
        for asked in states:
            yield _State(thinking, photo, max_pixels, asked)
        seconds = max((one.seconds for one in asked), default=0.0)
        ending = "recorded" if recorded else "done"
        status = words(ending, facts=about, seconds=seconds, model=engine.about.name)
        yield _State(status, photo, max_pixels, asked)

    def _values(
        self,
        words: Words,
        state: _State,
        *,
        source: str | None = None,
        problem: str = "",
        running: bool | None = False,
        picture: str | None = None,
    ) -> list[Any]:
        """Values of `outputs`."""
        score, diagnosis = state.asked if len(state.asked) == 2 else (None, None)
        take_home = nothing_new_to_take_home() if running is None else nothing_to_take_home()
        if running is False and source and self.host.engine and state.asked:
            take_home = assessed(words, Path(source).name, state.asked, self.host.engine.about.name)
        return [
            source,
            picture or AS_IT_IS,
            words.remark(state.status),
            problem,
            gauge_value(score, words),
            band_value(diagnosis, words),
            words_of(score, words) if score else "",
            words_of(diagnosis, words) if diagnosis else "",
            *take_home,
            *buttons(running),
        ]


def _gallery(words: Words) -> list[tuple[str, str]]:
    """Our own photos with their names."""
    return [(str(path), words.name(path.stem)) for path in EXAMPLES]
