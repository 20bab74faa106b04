"""The Compare tab: two photos side by side, which is better, and whether the model means it."""

import functools
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image, ImageOps

from qinsight.answers import Comparison, Winner
from qinsight.assess import Asked, Verdict, comparison, reading_of, verdict
from qinsight.engines.made_by import MadeBy, made_by_all
from qinsight.errors import PhotoError, QInsightError
from qinsight.page.assess_tab import EXAMPLES
from qinsight.page.host import Host
from qinsight.page.line import Job
from qinsight.page.loupe import Loupes, look
from qinsight.page.pictures import examples, facts, film, line, loupe, pair, running_text, words_of
from qinsight.page.record import Record, compared, finished, on_the_table
from qinsight.page.recordings import answers
from qinsight.page.tab import (
    AT_ONCE,
    DRAWN,
    Said,
    Tab,
    Turn,
    how_far,
    nothing_said,
    phrase,
    remark,
    turn_of,
    until_words,
)
from qinsight.page.table import Question, Seen
from qinsight.page.uploads import Darkroom, name_of, names_of, photo_input
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
NAMES = ("photo_a", "photo_b", "the_reference")


@dataclass(frozen=True)
class _State:
    """What the page knows so far; `read`: the photos have been read for the model."""

    status: Said
    asked: tuple[Asked, ...] = ()
    read: bool = False
    made: MadeBy | None = None


class _OfPhoto(PhotoError):
    """Which of the photos cannot be read."""

    def __init__(self, problem: Sentence, name: str) -> None:
        super().__init__(problem)
        self.name = name


class CompareTab(Tab):
    """Builds the tab and wires it; `host` answers, `darkroom` decodes."""

    name = "compare"

    def __init__(
        self, host: Host, darkroom: Darkroom, sampling: Sampling, spoken: Spoken, loupes: Loupes
    ) -> None:
        self.darkroom, self.loupes = darkroom, loupes
        super().__init__(host, sampling, spoken)

    def _lay_out(self) -> None:
        with gr.Row(equal_height=False, elem_id="compare-photos"):
            with gr.Column(min_width=280):
                self.a = photo_input(label("photo_a"), "photo-a", 280)
            with gr.Column(min_width=280):
                self.b = photo_input(label("photo_b"), "photo-b", 280)
        film("film-photo-b")
        with gr.Row():
            self.button = gr.Button(label("compare"), variant="primary", elem_id="compare", min_width=100)
            self.stop = gr.Button(label("stop"), elem_id="compare-stop", min_width=100)
            self.swap = gr.Button(label("swap"), elem_id="swap", min_width=100)
        self.problem = line("compare", "compare-problem", "now")
        self.verdict = line("compare", "verdict", "never", "qi-verdict")
        self.orders = line("compare", "orders", "never")
        self.loupe = loupe("compare", "pair")
        pair()
        self.status = line("compare", "compare-status")
        with gr.Accordion(label("reference_optional"), open=False):
            self.reference = photo_input(label("reference"), "photo-reference", 280)
        with gr.Row(equal_height=False):
            with (
                gr.Column(min_width=280),
                gr.Accordion(label("first_reasoning"), open=True, elem_id="first-why"),
            ):
                self.first_words = running_text("compare", "first-words", "first_words")
            with (
                gr.Column(min_width=280, elem_id="second-panel"),
                gr.Accordion(label("second_reasoning"), open=True, elem_id="second-why"),
            ):
                self.second_words = running_text("compare", "second-words", "second_words")
        self.record = Record("compare")
        self.pairs = [pair for pair in PAIRS if all(path in EXAMPLES for path in pair)]
        self.examples = examples(self._gallery(ENGLISH), "pairs", columns=3)
        self.outputs = [
            self.record.table,
            self.status,
            self.problem,
            self.verdict,
            self.first_words,
            self.second_words,
            self.orders,
            self.loupe,
        ]

    def _wire(self) -> None:
        table, photos = self.record.table, [self.a, self.b, self.reference]
        run: dict[str, Any] = {"concurrency_id": "model", "concurrency_limit": None}
        ask = "(_, ...photos) => [qi.again('compare'), ...photos]"
        turn = self.button.click(self.turn_to, [table, *photos], self.outputs, js=ask, **DRAWN)
        self.then_ask([turn], self.run, **run)
        self.stop.click(self.stop_it, [table], None, js="() => [qi.stop('compare')]", **AT_ONCE)
        # a new photo, a removed one: the old verdict must not stay beside it
        lay = "(_, ...photos) => [qi.put('compare', photos), ...photos]"
        laid = [
            event(self.lay, [table, *photos], self.outputs, js=lay, **DRAWN)
            for photo in photos
            for event in (photo.upload, photo.clear)
        ]
        pair = "() => [qi.turn('compare', true)]"
        paired = self.examples.select(self.lay_pair, [table], self.outputs, js=pair, **DRAWN)
        exchange = {"fn": None, "js": "(a, b) => [b, a]", "queue": False}
        self.swap.click(inputs=[self.a, self.b], outputs=[self.a, self.b], **exchange)
        swap = "(_, ...photos) => [qi.swap('compare', photos), ...photos]"
        swapped = self.swap.click(self.exchange, [table, *photos], self.outputs, js=swap, **DRAWN)
        self.then_ask([*laid, paired, swapped], self.run, **run)
        shown = {"js": "table => qi.pictures('compare', table)", "queue": False}
        table.change(None, [table], [self.a, self.b, self.reference], **shown)

    def worded(self, words: Words) -> list[tuple[Any, Any]]:
        return [(self.examples, gr.update(value=self._gallery(words)))]

    def _gallery(self, words: Words) -> list[tuple[Image.Image, str]]:
        """Our own pairs, each as one picture with both names."""
        return [(_beside(pair), " | ".join(words.name(path.stem) for path in pair)) for pair in self.pairs]

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
        """Other photos: the old verdict goes, and two of them are compared at once."""
        return self._turned(request, turn_of(told), (a, b, reference), bool(a and b))

    def exchange(
        self, told: Any, a: str | None, b: str | None, reference: str | None, request: gr.Request
    ) -> list[Any]:
        """A and B have changed places. So have both replies; nobody is asked what was answered already."""
        turn, old = turn_of(told), self.tables.newest(request.session_hash)
        if not old or old.laid != turn.of or not old.said or len(old.said.asked) != 2:
            return self.lay(told, a, b, reference, request)
        state, photos = replace(old.said, asked=old.said.asked[::-1]), old.photos
        return self._turned(request, turn, (photos[1], photos[0], photos[2]), state=state)

    def lay_pair(self, told: Any, event: gr.SelectData, request: gr.Request) -> list[Any]:
        """Two of our own photos are on the table, without a reference."""
        if not 0 <= event.index < len(self.pairs):
            return [gr.skip()] * len(self.outputs)
        a, b = (str(path) for path in self.pairs[event.index])
        pictures = [self.a.shown(a), self.b.shown(b), None]
        return self._turned(request, turn_of(told), (a, b, None), True, pictures=pictures)

    def take_from(self, button: Any, pair: Callable[[Any], list[str]]) -> None:
        """Photos come from the light table, too: the frames that the browser names, as `pair` finds them."""

        def lay(told: Any, numbers: Any, request: gr.Request) -> list[Any]:
            try:
                a, b = pair(numbers)
            except QInsightError as error:
                problem = self.told(self.spoken.words(request), error)
                return self._turned(request, turn_of(told), (None, None, None), problem=problem)
            pictures = [self.a.shown(a), self.b.shown(b), None]
            return self._turned(request, turn_of(told), (a, b, None), True, pictures=pictures)

        inputs = [self.record.table, self.record.table]
        js = "() => [qi.turn('compare', true), qi.shoot.compared()]"
        laid = button.click(lay, inputs, self.outputs, js=js, **DRAWN)
        self.then_ask([laid], self.run, concurrency_id="model", concurrency_limit=None)

    def _turned(
        self,
        request: gr.Request,
        turn: Turn,
        photos: Photos,
        asked: bool = False,
        problem: str = "",
        laid: int | None = None,
        pictures: list[Any] | None = None,
        state: _State | None = None,
    ) -> list[Any]:
        subject = photos if asked else None
        if not self.tables.turn_to(request.session_hash, turn.number, subject, photos, laid):
            return [gr.skip()] * len(self.outputs)
        question = self.tables.newest(request.session_hash)
        if state and question and question.number == turn.number:
            question.said = state
        state = state or _State(phrase("waiting") if asked else nothing_said)
        seen = Seen(turn.number, self.spoken.words(request), running=asked, problem=problem)
        return self._values(state, seen, photos, self._record(photos, state, seen), pictures)

    def run(self, request: gr.Request) -> Iterator[Any]:
        """Compare the photos; yields the values of `outputs`."""
        yield from self.follow(request, _State(phrase("reading_two")), self._work, self._show, until_words)

    def _work(self, photos: Photos, job: Job) -> Iterator[_State]:
        paths = [path for path in photos if path]
        engine = yield from self.host.wait(job, lambda status: _State(remark(status), read=True))
        decoded = self._decoded(paths, engine.about.max_pixels, job.stopped)
        yield _State(phrase("looking"), read=True)
        asked: tuple[Asked, ...] = ()
        requests = comparison(*(photo.image for photo in decoded))
        recorded, states = answers(self.host.recordings, engine, requests, self.sampling, paths, job.stopped)
        thinking = phrase("replaying" if recorded else "thinking_status")
        for asked in states:
            far = reading_of(asked)
            yield _State(how_far(far) if far else thinking, () if far else asked, read=True)
        seconds, model = max((one.seconds for one in asked), default=0.0), engine.about.name
        sizes = [facts(photo, engine.about.max_pixels) for photo in decoded]
        ending = "recorded" if recorded else "done"
        made = made_by_all(engine.about, requests, self.sampling)
        yield _State(partial(_ended, sizes, ending, seconds, model), asked, read=True, made=made)

    def _decoded(self, paths: list[str], max_pixels: int, stop: threading.Event | None) -> list[Photo]:
        photos = []
        for name, path in zip(NAMES, paths, strict=False):
            try:
                photos.append(self.darkroom.decode(path, max_pixels, stop))
            except PhotoError as error:
                raise _OfPhoto(error.sentence, name) from error
        return photos

    def _show(self, question: Question, state: _State, seen: Seen) -> list[Any]:
        if not seen.running and finished(state.asked):
            question.said = state
        return self._values(state, seen, question.subject, self._record(question.subject, state, seen))

    def _record(self, photos: Photos, state: _State, seen: Seen) -> Any:
        """What there is to take home; None before the end."""
        about = self.host.about
        if seen.running or about is None or not finished(state.asked):
            return None
        names = names_of((name_of(path), path) for path in photos if path)
        return compared(seen.words, names, state.asked, about.name, state.made)

    def _values(
        self,
        state: _State,
        seen: Seen,
        photos: Photos,
        record: Any = None,
        pictures: list[Any] | None = None,
    ) -> list[Any]:
        """Values of `outputs`."""
        words = seen.words
        found = verdict(state.asked) if state.asked else None
        unread = any(one.error for one in state.asked)
        said = words.remark(found.sentence) if found else words("no_verdict") if unread else ""
        if seen.stopped and not found:
            said = words("unfinished").capitalize()
        first, second = (*state.asked, None, None)[:2]
        undecided = (
            len(state.asked) == 2 and not seen.running and (unread or (found and found.winner is None))
        )
        return [
            on_the_table(seen, record, pictures),
            seen.part(state.status(words)),
            seen.part(seen.problem),
            seen.part(said),
            seen.part(words_of(first, words, seen.running)),
            seen.part(_exchanged(words_of(second, words, seen.running), words)),
            seen.part(_each_order(state.asked, words) if undecided else ""),
            seen.part(self._looks(photos, seen, found) if state.read or not seen.running else None),
        ]

    def _looks(self, photos: Photos, seen: Seen, found: Verdict | None) -> dict[str, Any]:
        """What table.js shows of the photos: a loupe for each, and which is better."""
        looks = [look(self.loupes, path, seen, name) for name, path in zip(NAMES, photos, strict=True)]
        place = {Winner.A: 0, Winner.B: 1}.get(found.winner) if found and found.winner else None
        if place is None:
            return {"photos": looks}
        better = seen.words("better" if photos[2] else "clearly_better")
        name = name_of(photos[place] or "")
        return {
            "photos": looks,
            "winner": "AB"[place],
            "badge": seen.words("named", name=better, problem=name),
        }

    def told(self, words: Words, error: QInsightError) -> str:
        if isinstance(error, _OfPhoto):
            return words("named", name=words(error.name), problem=words.remark(error.sentence))
        return super().told(words, error)

    def refused(self, error: QInsightError) -> str:
        return error.name if isinstance(error, _OfPhoto) else ""


def _exchanged(said: str, words: Words) -> Any:
    """The reply to the question that showed B first, with whom its names mean, for table.js to say beside them."""
    if not said:
        return said
    yours = [words("your_photo", letter=letter) for letter in "BA"]
    return {"text": said, "yours": yours, "note": words("exchanged"), "as_it_is": words("as_it_is")}


def _each_order(asked: Sequence[Asked], words: Words) -> str:
    """What each order answered, in one line, by the person's names."""
    winners = [one.answer.winner if isinstance(one.answer, Comparison) else None for one in asked]
    winners[1] = winners[1].swapped if winners[1] else None
    first, second = (
        words({Winner.A: "a_better", Winner.B: "b_better", Winner.SIMILAR: "alike", None: "no_answer"}[one])
        for one in winners
    )
    return words("each_order", first=first, second=second)


def _ended(sizes: Sequence[Said], ending: str, seconds: float, model: str, words: Words) -> str:
    facts_of_all = " | ".join(size(words) for size in sizes)
    return words(ending, facts=facts_of_all, seconds=seconds, model=model)


@functools.cache
def _beside(pair: tuple[Path, ...]) -> Image.Image:
    """Two photos as one small picture, each in its half."""
    both = Image.new("RGB", (360, 120))
    for place, path in enumerate(pair):
        with Image.open(path) as photo:
            both.paste(ImageOps.fit(photo.convert("RGB"), (179, 120)), (181 * place, 0))
    return both
