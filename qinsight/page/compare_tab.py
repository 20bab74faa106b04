"""The Compare tab: two photos side by side, which is better, and whether the model means it."""

import threading
from collections.abc import Callable, Iterator, Sequence
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
from qinsight.page.pictures import facts, line, looked, running_text, words_of
from qinsight.page.record import Record, compared, finished, on_the_table
from qinsight.page.recordings import answers
from qinsight.page.tab import AT_ONCE, PRIVATE, Said, Tab, Turn, nothing_said, phrase, remark, turn_of
from qinsight.page.table import Question, Seen
from qinsight.page.uploads import Darkroom, names_of, photo_input, side_by_side
from qinsight.page.words import ENGLISH, Spoken, Words, label
from qinsight.photos import Photo
from qinsight.requests import Sampling
from qinsight.sentence import Sentence

PAIRS = [
    tuple(EXAMPLES[0].with_name(name) for name in names) if EXAMPLES else ()
    for names in (
        ("cat.jpg", "cat_blurred.jpg"),
        ("coffee_noisy.jpg", "coffee.jpg"),
        ("astronaut.jpg", "astronaut_dark.jpg"),
    )
]


Photos = tuple[str | None, str | None, str | None]
"""The paths of A, B and the reference."""


@dataclass(frozen=True)
class _State:
    status: Said
    asked: tuple[Asked, ...] = ()


class _OfPhoto(PhotoError):
    """Which of the photos cannot be read."""

    def __init__(self, problem: Sentence, name: str) -> None:
        super().__init__(problem)
        self.name = name


class CompareTab(Tab):
    """Builds the tab and wires it; `host` answers, `darkroom` decodes."""

    name = "compare"

    def __init__(self, host: Host, darkroom: Darkroom, sampling: Sampling, spoken: Spoken) -> None:
        self.darkroom = darkroom
        super().__init__(host, sampling, spoken)

    def _lay_out(self) -> None:
        with gr.Row(equal_height=False):
            with gr.Column(min_width=280):
                self.a = photo_input(label("photo_a"), "photo-a", 280)
            with gr.Column(min_width=280):
                self.b = photo_input(label("photo_b"), "photo-b", 280)
        with gr.Accordion(label("reference_optional"), open=False):
            self.reference = photo_input(label("reference"), "photo-reference", 280)
        with gr.Row():
            self.button = gr.Button(label("compare"), variant="primary", elem_id="compare", min_width=100)
            self.stop = gr.Button(label("stop"), elem_id="compare-stop", min_width=100)
            self.swap = gr.Button(label("swap"), elem_id="swap", min_width=100)
        self.status = line("compare", "compare-status")
        self.problem = line("compare", "compare-problem", "now")
        self.verdict = line("compare", "verdict", "never", "qi-verdict")
        self.slider = gr.ImageSlider(
            label=label("slider"),
            interactive=False,
            format="png",
            elem_id="slider",
            height=420,
            visible=False,
        )
        self.looked = looked()
        with gr.Row(equal_height=False):
            with gr.Column(min_width=280), gr.Accordion(label("first_reasoning"), open=True):
                self.first_words = running_text("compare", "first-words", "first_words")
            with (
                gr.Column(min_width=280) as self.second_column,
                gr.Accordion(label("second_reasoning"), open=True),
            ):
                self.second_words = running_text("compare", "second-words", "second_words")
        self.record = Record("compare")
        self.pairs = [pair for pair in PAIRS if all(path in EXAMPLES for path in pair)]
        self.examples = gr.Dataset(
            components=[self.a, self.b],
            samples=[[str(path) for path in pair] for pair in self.pairs],
            sample_labels=self._names(ENGLISH),
            label=label("examples"),
            type="index",
            elem_id="pairs",
        )
        self.outputs = [
            self.record.table,
            self.status,
            self.problem,
            self.verdict,
            self.first_words,
            self.second_words,
        ]

    def _wire(self) -> None:
        table, photos = self.record.table, [self.a, self.b, self.reference]
        run: dict[str, Any] = {"concurrency_id": "model", "concurrency_limit": None}
        ask = "(_, ...photos) => [qi.again('compare'), ...photos]"
        turn = self.button.click(self.turn_to, [table, *photos], self.outputs, js=ask, **AT_ONCE)
        self.then_ask([turn], self.run, **run)
        self.stop.click(self.stop_it, [table], None, js="() => [qi.stop('compare')]", **AT_ONCE)
        # a new photo, a removed one, A and B exchanged: the old verdict must not stay beside it
        lay = "(_, ...photos) => [qi.put('compare'), ...photos]"
        laid = [
            event(self.lay, [table, *photos], self.outputs, js=lay, **AT_ONCE)
            for photo in photos
            for event in (photo.upload, photo.clear)
        ]
        pair = "(_, place) => [qi.turn('compare', false), place]"
        paired = self.examples.click(self.lay_pair, [table, self.examples], self.outputs, js=pair, **AT_ONCE)
        exchange = {"fn": None, "js": "(a, b) => [b, a]", "queue": False}
        self.swap.click(inputs=[self.a, self.b], outputs=[self.a, self.b], **exchange)
        swap = "(_, ...photos) => [qi.swap('compare'), ...photos]"
        swapped = self.swap.click(self.lay, [table, *photos], self.outputs, js=swap, **AT_ONCE)
        self.then_ask([*laid, swapped], self.run, **run)
        for event in (*laid, paired, swapped):
            event.success(self.look, None, [self.slider, self.looked, self.problem], **PRIVATE)
        shown = {"js": "table => qi.pictures('compare', table)", "queue": False}
        table.change(None, [table], [self.a, self.b, self.reference], **shown)

    def worded(self, words: Words) -> list[tuple[Any, Any]]:
        return [(self.examples, gr.update(sample_labels=self._names(words)))]

    def _names(self, words: Words) -> list[str]:
        return [" | ".join(words.name(path.stem) for path in pair) for pair in self.pairs]

    def turn_to(
        self, told: Any, a: str | None, b: str | None, reference: str | None, request: gr.Request
    ) -> list[Any]:
        """These photos are to be compared, whoever is waiting in line."""
        missing = "two_photos_first" if not a and not b else "photo_b_first" if a else "photo_a_first"
        problem = "" if a and b else self.spoken.words(request)(missing)
        turn = turn_of(told)
        return self._turned(request, turn, (a, b, reference), not problem, problem, turn.of)

    def lay(
        self, told: Any, a: str | None, b: str | None, reference: str | None, request: gr.Request
    ) -> list[Any]:
        """Other photos, or in another order: the old verdict goes. What was asked of them in the browser is asked anew."""
        turn = turn_of(told)
        return self._turned(request, turn, (a, b, reference), turn.running and bool(a and b))

    def lay_pair(self, told: Any, place: int, request: gr.Request) -> list[Any]:
        """Two of our own photos are on the table, without a reference."""
        if type(place) is not int or not 0 <= place < len(self.pairs):
            return [gr.skip()] * len(self.outputs)
        a, b = (str(path) for path in self.pairs[place])
        pictures = [self.a.shown(a), self.b.shown(b), None]
        return self._turned(request, turn_of(told), (a, b, None), pictures=pictures)

    def take_from(self, button: Any, pair: Callable[[Any], list[str]]) -> None:
        """Photos come from the light table, too: the frames that the browser names, as `pair` finds them."""

        def lay(told: Any, numbers: Any, request: gr.Request) -> list[Any]:
            try:
                a, b = pair(numbers)
            except QInsightError as error:
                problem = self.told(self.spoken.words(request), error)
                return self._turned(request, turn_of(told), (None, None, None), problem=problem)
            pictures = [self.a.shown(a), self.b.shown(b), None]
            return self._turned(request, turn_of(told), (a, b, None), pictures=pictures)

        inputs = [self.record.table, self.record.table]
        js = "() => [qi.turn('compare', false), qi.shoot.compared()]"
        laid = button.click(lay, inputs, self.outputs, js=js, **AT_ONCE)
        laid.success(self.look, None, [self.slider, self.looked, self.problem], **PRIVATE)

    def _turned(
        self,
        request: gr.Request,
        turn: Turn,
        photos: Photos,
        asked: bool = False,
        problem: str = "",
        laid: int | None = None,
        pictures: list[Any] | None = None,
    ) -> list[Any]:
        subject = photos if asked else None
        if not self.tables.turn_to(request.session_hash, turn.number, subject, photos, laid):
            return [gr.skip()] * len(self.outputs)
        state = _State(phrase("waiting") if asked else nothing_said)
        seen = Seen(turn.number, self.spoken.words(request), running=asked, problem=problem)
        return self._values(state, seen, pictures=pictures)

    def run(self, request: gr.Request) -> Iterator[Any]:
        """Compare the photos; yields the values of `outputs`."""
        yield from self.follow(request, _State(phrase("reading_two")), self._work, self._show)

    def _work(self, photos: Photos, job: Job) -> Iterator[_State]:
        paths = [path for path in photos if path]
        engine = yield from self.host.wait(job, lambda status: _State(remark(status)))
        decoded = self._decoded(paths, engine.about.max_pixels, job.stopped)
        yield _State(phrase("looking"))
        asked: tuple[Asked, ...] = ()
        requests = comparison(*(photo.image for photo in decoded))
        recorded, states = answers(self.host.recordings, engine, requests, self.sampling, paths, job.stopped)
        for asked in states:
            yield _State(phrase("replaying" if recorded else "thinking_status"), asked)
        seconds, model = max((one.seconds for one in asked), default=0.0), engine.about.name
        sizes = [facts(photo, engine.about.max_pixels) for photo in decoded]
        ending = "recorded" if recorded else "done"
        yield _State(partial(_ended, sizes, ending, seconds, model), asked)

    def _decoded(self, paths: list[str], max_pixels: int, stop: threading.Event | None) -> list[Photo]:
        photos = []
        for name, path in zip(("photo_a", "photo_b", "the_reference"), paths, strict=False):
            try:
                photos.append(self.darkroom.decode(path, max_pixels, stop))
            except PhotoError as error:
                raise _OfPhoto(error.sentence, name) from error
        return photos

    def _show(self, question: Question, state: _State, seen: Seen) -> list[Any]:
        record, about = None, self.host.about
        if not seen.running and about and finished(state.asked):
            names = names_of((Path(path).name, path) for path in question.subject if path)
            record = compared(seen.words, names, state.asked, about.name)
        return self._values(state, seen, record)

    def _values(
        self, state: _State, seen: Seen, record: Any = None, pictures: list[Any] | None = None
    ) -> list[Any]:
        """Values of `outputs`."""
        words = seen.words
        found = verdict(state.asked) if state.asked else None
        unread = any(one.error for one in state.asked)
        said = words.remark(found.sentence) if found else words("no_verdict") if unread else ""
        if seen.stopped and not found:
            said = words("unfinished").capitalize()
        first, second = (*state.asked, None, None)[:2]
        return [
            on_the_table(seen, record, pictures),
            seen.part(state.status(words)),
            seen.part(seen.problem),
            seen.part(said),
            seen.part(words_of(first, words, seen.running)),
            seen.part(words_of(second, words, seen.running)),
        ]

    def told(self, words: Words, error: QInsightError) -> str:
        if isinstance(error, _OfPhoto):
            return words("named", name=words(error.name), problem=words.remark(error.sentence))
        return super().told(words, error)

    def look(self, request: gr.Request) -> list[Any]:
        """Show both photos in the slider as soon as there are two."""
        question = self.tables.newest(request.session_hash)
        if question is None or question.photos is None:
            return [gr.skip()] * 3
        a, b, _ = question.photos
        words, number = self.spoken.words(request), question.laid
        nothing = [gr.ImageSlider(None, visible=False), {"question": number}, gr.skip()]
        if not a or not b:
            return nothing
        try:
            photos = self._decoded([a, b], self.host.max_pixels, None)
        except QInsightError as error:
            return [*nothing[:2], Seen(question.number, words).part(self.told(words, error))]
        if self.tables.newest(request.session_hash) is not question:
            return [gr.skip()] * 3
        return [
            gr.ImageSlider(side_by_side(photos[0], photos[1]), visible=True),
            {"question": number},
            gr.skip(),
        ]


def _ended(sizes: Sequence[Said], ending: str, seconds: float, model: str, words: Words) -> str:
    facts_of_all = " | ".join(size(words) for size in sizes)
    return words(ending, facts=facts_of_all, seconds=seconds, model=model)
