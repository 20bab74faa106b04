"""The Compare tab: two photos side by side, which is better, and whether the model means it."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from qinsight.assess import Asked, comparison, verdict
from qinsight.errors import PhotoError, QInsightError
from qinsight.page.assess_tab import EXAMPLES
from qinsight.page.host import Host
from qinsight.page.line import Job
from qinsight.page.pictures import facts, line, running_text, words_of
from qinsight.page.record import Record, compared, nothing_new_to_take_home, nothing_to_take_home
from qinsight.page.recordings import answers
from qinsight.page.steady import Button
from qinsight.page.tab import AT_ONCE, PRIVATE, Tab, buttons
from qinsight.page.uploads import Darkroom, photo_input, side_by_side
from qinsight.page.words import ENGLISH, Spoken, Words, label
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

    def __init__(
        self, host: Host, darkroom: Darkroom, sampling: Sampling, max_pixels: int | None, spoken: Spoken
    ) -> None:
        self.host, self.darkroom = host, darkroom
        self.sampling, self.max_pixels = sampling, max_pixels
        super().__init__(spoken)
        self._lay_out()
        self._wire()

    def _lay_out(self) -> None:
        with gr.Row(equal_height=False):
            with gr.Column(min_width=280):
                self.a = photo_input(label("photo_a"), "photo-a", 280)
            with gr.Column(min_width=280):
                self.b = photo_input(label("photo_b"), "photo-b", 280)
        with gr.Accordion(label("reference_optional"), open=False):
            self.reference = photo_input(label("reference"), "photo-reference", 280)
        with gr.Row():
            self.button = Button(label("compare"), variant="primary", elem_id="compare", min_width=100)
            self.stop = Button(label("stop"), elem_id="compare-stop", interactive=False, min_width=100)
            self.swap = gr.Button(label("swap"), elem_id="swap", min_width=100)
        self.status = line("compare-status")
        self.problem = line("compare-problem", "now")
        self.verdict = line("verdict", "never", "qi-verdict")
        self.slider = gr.ImageSlider(
            label=label("slider"),
            interactive=False,
            format="png",
            elem_id="slider",
            height=420,
            visible=False,
        )
        with gr.Row(equal_height=False):
            with gr.Column(min_width=280), gr.Accordion(label("first_reasoning"), open=True):
                self.first_words = running_text("first-words", "first_words")
            with (
                gr.Column(min_width=280) as self.second_column,
                gr.Accordion(label("second_reasoning"), open=True),
            ):
                self.second_words = running_text("second-words", "second_words")
        self.record = Record("compare")
        self.pairs = [pair for pair in PAIRS if all(path in EXAMPLES for path in pair)]
        self.examples = gr.Examples(
            [[str(path) for path in pair] for pair in self.pairs],
            [self.a, self.b],
            label=label("examples"),
            elem_id="pairs",
            cache_examples=False,
            example_labels=self._names(ENGLISH),
            api_visibility="private",
        )
        self.outputs = [
            self.status,
            self.problem,
            self.verdict,
            self.first_words,
            self.second_words,
            *self.record.outputs,
            self.button,
            self.stop,
        ]

    def _wire(self) -> None:
        photos = [self.a, self.b, self.reference]
        running = self.button.click(self.turn_to, photos, self.outputs, **AT_ONCE).then(
            self.run, photos, self.outputs, concurrency_id="model", concurrency_limit=None, **PRIVATE
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

    def worded(self, words: Words) -> list[tuple[Any, Any]]:
        return [(self.examples.dataset, gr.update(sample_labels=self._names(words)))]

    def _names(self, words: Words) -> list[str]:
        return [" | ".join(words.name(path.stem) for path in pair) for pair in self.pairs]

    def turn_to(self, a: str | None, b: str | None, reference: str | None, request: gr.Request) -> list[Any]:
        """These photos are to be compared, whoever is waiting in line."""
        self.visits.turn_to(request.session_hash, (a, b, reference))
        words = self.spoken.words(request)
        return self._values(words, (), _State(words("waiting")), running=True)

    def run(self, a: str | None, b: str | None, reference: str | None, request: gr.Request) -> Iterator[Any]:
        """Compare the photos; yields the values of `outputs`."""
        words = self.spoken.words(request)
        if not a or not b:
            missing = "two_photos_first" if not a and not b else "photo_b_first" if a else "photo_a_first"
            yield self._values(words, (), _State(""), words(missing))
            return
        if not self.visits.looks_at(request.session_hash, (a, b, reference)):
            return
        paths = [path for path in (a, b, reference) if path]
        nothing = _State(words("reading_two"))
        show = partial(self._values, words, paths)
        yield from self.follow(request, nothing, lambda stop: self._work(paths, words, stop), show)

    def _work(self, paths: list[str], words: Words, stop: Job) -> Iterator[_State]:
        for status in self.host.wait(stop):
            yield _State(words.remark(status))
        engine = self.host.engine
        assert engine is not None  # wait() raises otherwise
        max_pixels = self.max_pixels or engine.about.max_pixels
        photos = self._decoded(paths, words, max_pixels, stop)
        yield _State(words("looking"))
        asked: tuple[Asked, ...] = ()
        requests = comparison(*(photo.image for photo in photos))
        recorded, states = answers(
            self.host.recordings, engine, requests, self.sampling, max_pixels, paths, stop
        )
        for asked in states:
            yield _State(words("replaying" if recorded else "thinking_status"), asked)
        seconds = max((one.seconds for one in asked), default=0.0)
        sizes = " | ".join(facts(photo, max_pixels, words) for photo in photos)
        ending = "recorded" if recorded else "done"
        yield _State(words(ending, facts=sizes, seconds=seconds, model=engine.about.name), asked)

    def _decoded(
        self, paths: list[str], words: Words, max_pixels: int, stop: threading.Event | None
    ) -> list[Photo]:
        photos = []
        for name, path in zip(("photo_a", "photo_b", "the_reference"), paths, strict=False):
            try:
                photos.append(self.darkroom.decode(path, max_pixels, stop))
            except PhotoError as error:
                problem = words.remark(str(error))
                raise PhotoError(words("named", name=words(name), problem=problem)) from error
        return photos

    def _values(
        self,
        words: Words,
        paths: Sequence[str],
        state: _State,
        problem: str = "",
        running: bool | None = False,
    ) -> list[Any]:
        """Values of `outputs`; `paths` are the photos that are compared."""
        take_home = nothing_new_to_take_home() if running is None else nothing_to_take_home()
        if running is False and paths and self.host.engine and state.asked:
            names = [Path(path).name for path in paths]
            take_home = compared(words, names, state.asked, self.host.engine.about.name)
        found = verdict(state.asked) if state.asked else None
        unread = any(one.error for one in state.asked)
        said = words.remark(found.sentence) if found else words("no_verdict") if unread else ""
        thinking = [words_of(one, words) for one in state.asked] + ["", ""]
        return [
            words.remark(state.status),
            problem,
            said,
            thinking[0],
            thinking[1],
            *take_home,
            *buttons(running),
        ]

    def look(self, a: str | None, b: str | None, request: gr.Request) -> list[Any]:
        """Show both photos in the slider as soon as there are two."""
        words = self.spoken.words(request)
        if not a or not b:
            return [gr.ImageSlider(None, visible=False), gr.skip()]
        try:
            photos = self._decoded([a, b], words, self.max_pixels or MAX_PIXELS, None)
        except QInsightError as error:
            return [gr.ImageSlider(None, visible=False), words.sentence(error)]
        return [gr.ImageSlider(side_by_side(photos[0], photos[1]), visible=True), ""]

    def swapped(self, a: str | None, b: str | None, request: gr.Request) -> list[Any]:
        """A and B change places; the old verdict goes."""
        return [b, a, *self.cleared(request)]

    def cleared(self, request: gr.Request) -> list[Any]:
        """A photo changed: nothing of the old answer stays."""
        self.visits.turn_to(request.session_hash, None)
        return self._values(self.spoken.words(request), (), _State(""))
