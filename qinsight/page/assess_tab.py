"""The Assess tab: one photo in, its score and its diagnosis thought out side by side."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from qinsight.assess import Asked, ask, assessment
from qinsight.folder import RAW_SUFFIXES
from qinsight.page.host import Host
from qinsight.page.pictures import (
    band,
    band_value,
    gauge,
    gauge_value,
    line,
    running_text,
    words_of,
)
from qinsight.page.tab import AT_ONCE, PRIVATE, Tab, buttons
from qinsight.page.uploads import BROWSER_FORMATS, Darkroom, facts, photo_input, preview
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

    def __init__(self, host: Host, darkroom: Darkroom, sampling: Sampling, max_pixels: int | None) -> None:
        self.host, self.darkroom = host, darkroom
        self.sampling, self.max_pixels = sampling, max_pixels
        super().__init__()
        self._lay_out()
        self._wire()

    def _lay_out(self) -> None:
        self.source = gr.State(None)  # the path of the upload, also where the picture shows a preview of it
        with gr.Row(equal_height=False):
            with gr.Column(min_width=320):
                self.photo = photo_input("Photo", "photo", 380)
                with gr.Row():
                    self.button = gr.Button("Assess", variant="primary", elem_id="assess", min_width=100)
                    self.stop = gr.Button("Stop", elem_id="stop", interactive=False, min_width=100)
                    self.raw = gr.UploadButton(
                        "RAW, HEIC …",
                        file_types=[*RAW_SUFFIXES, ".heic", ".heif", ".tif", ".tiff"],
                        elem_id="raw",
                        min_width=100,
                    )
            with gr.Column(min_width=320):
                self.status = line("status", "status")
                self.problem = line("problem", "alert")
                with gr.Row():
                    with gr.Column(min_width=250):
                        self.gauge = gauge()
                    with gr.Column(min_width=250):
                        self.band = band()
                with gr.Row(equal_height=False):
                    with gr.Column(min_width=240), gr.Accordion("Reasoning: rating", open=True):
                        self.score_words = running_text("score-words", "Reasoning behind the rating")
                    with gr.Column(min_width=240), gr.Accordion("Reasoning: diagnosis", open=True):
                        self.diagnosis_words = running_text(
                            "diagnosis-words", "Reasoning behind the diagnosis"
                        )
        self.examples = gr.Gallery(
            [(str(path), caption(path)) for path in EXAMPLES],
            label="Examples",
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
            self.button,
            self.stop,
        ]

    def _wire(self) -> None:
        run: dict[str, Any] = {"concurrency_id": "model", "concurrency_limit": 1, **PRIVATE}
        turns = [
            self.photo.upload(self.turn_to, [self.photo], self.outputs, **AT_ONCE),
            self.raw.upload(self.turn_to, [self.raw], self.outputs, **AT_ONCE),
            self.examples.select(self.turn_to_example, None, self.outputs, **AT_ONCE),
            self.button.click(self.turn_to, [self.source], self.outputs, **AT_ONCE),
        ]
        running = [turn.then(self.run, [self.source], self.outputs, **run) for turn in turns]
        self.stop.click(self.stopped, None, [self.status, self.button, self.stop], cancels=running, **AT_ONCE)
        self.photo.clear(self.turn_to, [gr.State(None)], self.outputs, **AT_ONCE)

    def turn_to(self, path: str | None, request: gr.Request) -> list[Any]:
        """Another photo, or none, is on the table: nothing of the old answer stays, whoever is waiting in line."""
        self.visits.turn_to(request.session_hash, path)
        words = "Waiting for the model …" if path else ""
        return self._values(_State(words), source=path, running=bool(path))

    def turn_to_example(self, event: gr.SelectData, request: gr.Request) -> list[Any]:
        """One of our own photos is on the table."""
        path = str(EXAMPLES[event.index])
        source, _, *others = self.turn_to(path, request)
        return [source, path, *others]

    def run(self, path: str | None, request: gr.Request) -> Iterator[Any]:
        """Assess the photo on the table; yields the values of `outputs`."""
        if not path:
            yield self._values(_State(""), problem="Upload, paste or pick a photo first.")
            return
        if not self.visits.looks_at(request.session_hash, path):
            return
        previewed = False

        def show(state: _State, problem: str, running: bool | None) -> list[Any]:
            nonlocal previewed
            picture = None
            if state.photo and state.photo.format not in BROWSER_FORMATS and not previewed:
                picture, previewed = preview(state.photo), True
            return self._values(state, source=path, problem=problem, running=running, picture=picture)

        yield from self.follow(
            request, _State("Reading the photo …"), lambda stop: self._work(path, stop), show
        )

    def _work(self, path: str, stop: threading.Event) -> Iterator[_State]:
        for status in self.host.wait(stop):
            yield _State(status)
        engine = self.host.engine
        assert engine is not None  # wait() raises otherwise
        max_pixels = self.max_pixels or engine.about.max_pixels
        photo = self.darkroom.decode(path, max_pixels, stop)
        about = facts(photo, max_pixels)
        yield _State(f"{about}. Looking …", photo, max_pixels)
        asked: tuple[Asked, ...] = ()
        for asked in ask(engine, assessment(photo.image), self.sampling, max_pixels=max_pixels, stop=stop):
            yield _State(f"{about}. Thinking …", photo, max_pixels, asked)
        seconds = max((one.seconds for one in asked), default=0.0)
        yield _State(f"{about}; {seconds:.1f} s by {engine.about.name}", photo, max_pixels, asked)

    def _values(
        self,
        state: _State,
        *,
        source: str | None = None,
        problem: str = "",
        running: bool | None = False,
        picture: str | None = None,
    ) -> list[Any]:
        """Values of `outputs`."""
        score, diagnosis = state.asked if len(state.asked) == 2 else (None, None)
        return [
            source,
            picture or gr.skip(),
            state.status,
            problem,
            gauge_value(score),
            band_value(diagnosis),
            words_of(score) if score else "",
            words_of(diagnosis) if diagnosis else "",
            *buttons(running),
        ]


def caption(path: Path) -> str:
    """The name of an example, for people."""
    return path.stem.replace("_", " ")
