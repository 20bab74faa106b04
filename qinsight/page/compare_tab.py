"""The Compare tab: two photos side by side, which is better, and whether the model means it."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from qinsight.assess import Asked, ask, comparison, verdict
from qinsight.errors import PhotoError, QInsightError
from qinsight.page.assess_tab import EXAMPLES, caption
from qinsight.page.host import Host
from qinsight.page.pictures import line, running_text, sentence, words_of
from qinsight.page.tab import AT_ONCE, PRIVATE, Tab, buttons
from qinsight.page.uploads import Darkroom, facts, photo_input, side_by_side
from qinsight.photos import Photo
from qinsight.requests import MAX_PIXELS, Sampling

PAIRS = [
    tuple(EXAMPLES[0].with_name(name) for name in names) if EXAMPLES else ()
    for names in (
        ("cat.jpg", "cat_blurred.jpg"),
        ("coffee_noisy.jpg", "coffee.jpg"),
        ("astronaut.jpg", "astronaut_dark.jpg"),
    )
]


@dataclass(frozen=True)
class _State:
    status: str
    asked: tuple[Asked, ...] = ()


class CompareTab(Tab):
    """Builds the tab and wires it; `host` answers, `darkroom` decodes."""

    def __init__(self, host: Host, darkroom: Darkroom, sampling: Sampling, max_pixels: int | None) -> None:
        self.host, self.darkroom = host, darkroom
        self.sampling, self.max_pixels = sampling, max_pixels
        super().__init__()
        self._lay_out()
        self._wire()

    def _lay_out(self) -> None:
        with gr.Row(equal_height=False):
            with gr.Column(min_width=280):
                self.a = photo_input("Photo A", "photo-a", 280)
            with gr.Column(min_width=280):
                self.b = photo_input("Photo B", "photo-b", 280)
        with gr.Accordion("Reference (optional): the low-quality photo that A and B improve on", open=False):
            self.reference = photo_input("Reference", "photo-reference", 280)
        with gr.Row():
            self.button = gr.Button("Compare", variant="primary", elem_id="compare", min_width=100)
            self.stop = gr.Button("Stop", elem_id="compare-stop", interactive=False, min_width=100)
            self.swap = gr.Button("Swap A and B", elem_id="swap", min_width=100)
        self.status = line("compare-status", "status")
        self.problem = line("compare-problem", "alert")
        self.verdict = line("verdict", "status", "qi-verdict")
        self.slider = gr.ImageSlider(
            label="A | B", interactive=False, format="png", elem_id="slider", height=420, visible=False
        )
        with gr.Row(equal_height=False):
            with gr.Column(min_width=280), gr.Accordion("Reasoning: A shown first", open=True):
                self.first_words = running_text("first-words", "Reasoning with photo A first")
            with (
                gr.Column(min_width=280) as self.second_column,
                gr.Accordion("Reasoning: B shown first", open=True),
            ):
                self.second_words = running_text("second-words", "Reasoning with photo B first")
        pairs = [pair for pair in PAIRS if all(path in EXAMPLES for path in pair)]
        self.examples = gr.Examples(
            [[str(path) for path in pair] for pair in pairs],
            [self.a, self.b],
            label="Examples",
            cache_examples=False,
            example_labels=[" | ".join(caption(path) for path in pair) for pair in pairs],
            api_visibility="private",
        )
        self.outputs = [
            self.status,
            self.problem,
            self.verdict,
            self.first_words,
            self.second_words,
            self.button,
            self.stop,
        ]

    def _wire(self) -> None:
        photos = [self.a, self.b, self.reference]
        running = self.button.click(self.turn_to, photos, self.outputs, **AT_ONCE).then(
            self.run, photos, self.outputs, concurrency_id="model", concurrency_limit=1, **PRIVATE
        )
        self.stop.click(
            self.stopped, None, [self.status, self.button, self.stop], cancels=[running], **AT_ONCE
        )
        for photo in photos:
            # a new photo, a removed one: the old verdict must not stay beside it
            for event in (photo.upload, photo.clear):
                event(self.cleared, None, self.outputs, **AT_ONCE)
        self.examples.load_input_event.then(self.cleared, None, self.outputs, **AT_ONCE)
        for photo in (self.a, self.b):
            photo.change(self.look, [self.a, self.b], [self.slider, self.problem], **PRIVATE)
        self.swap.click(self.swapped, [self.a, self.b], [self.a, self.b, *self.outputs], **AT_ONCE)

    def turn_to(self, a: str | None, b: str | None, reference: str | None, request: gr.Request) -> list[Any]:
        """These photos are to be compared, whoever is waiting in line."""
        self.visits.turn_to(request.session_hash, (a, b, reference))
        return self._values(_State("Waiting for the model …"), running=True)

    def run(self, a: str | None, b: str | None, reference: str | None, request: gr.Request) -> Iterator[Any]:
        """Compare the photos; yields the values of `outputs`."""
        if not a or not b:
            missing = "two photos" if not a and not b else "photo A" if not a else "photo B"
            yield self._values(_State(""), f"Upload {missing} first.")
            return
        if not self.visits.looks_at(request.session_hash, (a, b, reference)):
            return
        paths = [path for path in (a, b, reference) if path]
        nothing = _State("Reading the photos …")
        yield from self.follow(request, nothing, lambda stop: self._work(paths, stop), self._values)

    def _work(self, paths: list[str], stop: threading.Event) -> Iterator[_State]:
        for status in self.host.wait(stop):
            yield _State(status)
        engine = self.host.engine
        assert engine is not None  # wait() raises otherwise
        max_pixels = self.max_pixels or engine.about.max_pixels
        photos = self._decoded(paths, max_pixels, stop)
        yield _State("Looking …")
        asked: tuple[Asked, ...] = ()
        requests = comparison(*(photo.image for photo in photos))
        for asked in ask(engine, requests, self.sampling, max_pixels=max_pixels, stop=stop):
            yield _State("Thinking …", asked)
        seconds = max((one.seconds for one in asked), default=0.0)
        sizes = " | ".join(facts(photo, max_pixels) for photo in photos)
        yield _State(f"{sizes}; {seconds:.1f} s by {engine.about.name}", asked)

    def _decoded(self, paths: list[str], max_pixels: int, stop: threading.Event | None) -> list[Photo]:
        photos = []
        for name, path in zip(("Photo A", "Photo B", "The reference"), paths, strict=False):
            try:
                photos.append(self.darkroom.decode(path, max_pixels, stop))
            except PhotoError as error:
                raise PhotoError(f"{name}: {error}") from error
        return photos

    def _values(self, state: _State, problem: str = "", running: bool | None = False) -> list[Any]:
        """Values of `outputs`."""
        found = verdict(state.asked) if state.asked else None
        unread = any(one.error for one in state.asked)
        sentence = found.sentence if found else "No verdict: a reply could not be read." if unread else ""
        words = [words_of(one) for one in state.asked] + ["", ""]
        return [
            state.status,
            problem,
            sentence,
            words[0],
            words[1],
            *buttons(running),
        ]

    def look(self, a: str | None, b: str | None) -> list[Any]:
        """Show both photos in the slider as soon as there are two."""
        if not a or not b:
            return [gr.ImageSlider(None, visible=False), gr.skip()]
        try:
            photos = self._decoded([a, b], self.max_pixels or MAX_PIXELS, None)
        except QInsightError as error:
            return [gr.ImageSlider(None, visible=False), sentence(error)]
        return [gr.ImageSlider(side_by_side(photos[0], photos[1]), visible=True), ""]

    def swapped(self, a: str | None, b: str | None, request: gr.Request) -> list[Any]:
        """A and B change places; the old verdict goes."""
        return [b, a, *self.cleared(request)]

    def cleared(self, request: gr.Request) -> list[Any]:
        """A photo changed: nothing of the old answer stays."""
        self.visits.turn_to(request.session_hash, None)
        return self._values(_State(""))
