"""The Assess tab: one photo in, its score and its diagnosis thought out side by side."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from qinsight.assess import Asked, assessment, reading_of
from qinsight.engines.made_by import MadeBy, made_by_all
from qinsight.errors import QInsightError
from qinsight.page.card import card, file_name
from qinsight.page.card import told as read_told
from qinsight.page.host import Host
from qinsight.page.line import Job
from qinsight.page.loupe import Loupes, look
from qinsight.page.pictures import examples, facts, film, line, loupe, running_text
from qinsight.page.places_tab import PlacesTab
from qinsight.page.record import Record, assessed, finished, on_the_table
from qinsight.page.recordings import answers
from qinsight.page.result import Frame, Sure, answer_part, answer_values, reasons_checked
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
from qinsight.page.uploads import BROWSER_FORMATS, Darkroom, name_of, photo_input, preview, scratch_folder
from qinsight.page.words import ENGLISH, Spoken, Words, label
from qinsight.photos.listing import RAW_SUFFIXES
from qinsight.requests import Sampling
from qinsight.trust.claims import Reasons

NOT_SHOWN = {
    *RAW_SUFFIXES,
    ".heic",
    ".heif",
    ".hif",
    ".tif",
    ".tiff",
}  # by the file's name: until it is decoded
EXAMPLES = sorted((Path(__file__).parents[2] / "examples" / "photos").glob("*.jpg"))
SAMPLE = Path(__file__).parents[2] / "examples" / "photos" / "cat_blurred.jpg"


@dataclass(frozen=True)
class _State:
    """What the page knows so far; `picture` is what it shows of a photo that no browser can.

    `read`: the photo has been read for the model, so that a loupe may have it read for itself. `checked`: what the
    pixels say of each reasoning.
    """

    status: Said
    asked: tuple[Asked, ...] = ()
    picture: str | None = None
    frame: Frame | None = None
    made: MadeBy | None = None
    read: bool = False
    checked: tuple[Reasons, ...] = ()


@dataclass(frozen=True)
class _Doing:
    """A status of what is known of the photo and what happens to it now; `share` is how much of that is done."""

    facts: Said
    doing: Said
    share: float | None = None

    def __call__(self, words: Words) -> str:
        return words("and_then", facts=self.facts(words), doing=self.doing(words))


class AssessTab(Tab):
    """Builds the tab and wires it; `host` answers, `darkroom` decodes."""

    name = "assess"

    def __init__(
        self, host: Host, darkroom: Darkroom, sampling: Sampling, spoken: Spoken, loupes: Loupes
    ) -> None:
        self.darkroom, self.loupes = darkroom, loupes
        super().__init__(host, sampling, spoken)

    def _lay_out(self) -> None:
        with gr.Row(equal_height=False, elem_id="assess-table"):
            with gr.Column(min_width=320, scale=3):
                self.photo = photo_input(label("photo"), "photo", 380)
                self.restore = gr.Button("", visible="hidden", elem_id="restore")
                self.recall = gr.Button("", visible="hidden", elem_id="recall")
                with gr.Row():
                    self.button = gr.Button(
                        label("assess"), variant="primary", elem_id="assess", min_width=100
                    )
                    self.stop = gr.Button(label("stop"), elem_id="stop", min_width=100)
                    gr.Button(label("choose"), elem_id="choose", min_width=100)  # film.js opens the field
                self.loupe = loupe("assess", "photo-loupe")
                self.places = PlacesTab(self.host, self.sampling, self.spoken, self.loupes)
            with gr.Column(min_width=320, scale=2, elem_id="answer"):
                self.say = answer_part("say")
                self.status = line("assess", "status")
                self.problem = line("assess", "problem", "now")
                self.gauge = answer_part("gauge", "quality_rating")
                self.band = answer_part("band", "severity_chances")
                self.advice = answer_part("advice")
                with gr.Accordion(label("rating_reasoning"), open=True, elem_id="score-why"):
                    self.score_words = running_text("assess", "score-words", "rating_words")
                with gr.Accordion(label("diagnosis_reasoning"), open=True, elem_id="diagnosis-why"):
                    self.diagnosis_words = running_text("assess", "diagnosis-words", "diagnosis_words")
                self.cues = answer_part("cues")
                with gr.Accordion(label("raw_reply"), open=False, elem_id="raw-why"):
                    self.raw_words = running_text("assess", "raw-words", "raw_words")
                self.record = Record("assess", carded=True)
        film("strip-place")
        self.examples = examples(_gallery(ENGLISH), "examples", columns=4)
        self.card = gr.File(visible="hidden", elem_id="card-file")
        self.outputs = [
            self.record.table,
            self.status,
            self.problem,
            self.gauge,
            self.band,
            self.score_words,
            self.diagnosis_words,
            self.say,
            self.cues,
            self.advice,
            self.raw_words,
            self.loupe,
        ]

    def _wire(self) -> None:
        table = self.record.table
        turns = []
        chosen = "(_, photo) => qi.lay('photo', photo)"
        for event in (self.photo.upload, self.photo.clear):
            turns.append(event(self.turn_to, [table, self.photo], self.outputs, js=chosen, **DRAWN))
        example = "() => [qi.lay('examples', true)[0]]"
        turns.append(self.examples.select(self.turn_to_example, [table], self.outputs, js=example, **DRAWN))
        again = "(_, photo) => [qi.again('assess'), photo]"
        turns.append(self.button.click(self.ask_again, [table, self.photo], self.outputs, js=again, **DRAWN))
        self.then_ask(turns, self.run, concurrency_id="model", concurrency_limit=None)
        self.stop.click(self.stop_it, [table], None, js="() => [qi.stop('assess')]", **AT_ONCE)
        self.restore.click(None, None, [self.photo], js="() => qi.restored()", queue=False)
        held = f"() => qi.recalled({json.dumps([one.elem_id for one in self.outputs])})"
        shown = self.recall.click(None, None, [*self.outputs, self.photo], js=held, queue=False)
        shown.then(self.shown_again, [table, self.photo], None, js="() => qi.told()", **AT_ONCE)
        table.change(None, [table], [self.photo], js="table => qi.pictures('assess', table)", queue=False)
        asked_for = "(_, photo) => [{ record: qi.record('assess'), number: qi.number('assess') }, photo]"
        self.record.card.click(
            self.save_card, [table, self.photo], [self.card, self.problem], js=asked_for, **AT_ONCE
        ).success(None, [self.card], None, js="file => qi.download(file)", **AT_ONCE)

    def left(self, request: gr.Request) -> None:
        super().left(request)
        self.places.left(request)

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

    def sampled(self, request: gr.Request) -> list[Any]:
        """An example with its recorded answer, for who has just opened the page and has nothing on the table."""
        if self.tables.newest(request.session_hash) is not None or (state := self._sample()) is None:
            return [gr.skip()] * len(self.outputs)
        seen = Seen(0, self.spoken.words(request))
        return self._show(Question(0, str(SAMPLE)), state, seen, [self.photo.shown(str(SAMPLE))])

    def _sample(self) -> _State | None:
        """The example's answer; None where the model that answers here has none on record, or is not there yet."""
        about, recordings = self.host.about, self.host.recordings
        if about is None or recordings is None or not SAMPLE.exists():
            return None
        photo = self.darkroom.decode(str(SAMPLE), about.max_pixels)
        asked = recordings.find(about, self.sampling, assessment(photo.image), [str(SAMPLE)])
        if asked is None:
            return None
        facts_, frame = facts(photo, about.max_pixels), Frame.of(photo, about.max_pixels)
        seconds = max(one.seconds for one in asked)
        status = partial(_ended, facts_, "recorded", seconds, about.name)
        checked = reasons_checked(asked, photo.image, about.max_pixels)
        return _State(status, tuple(asked), None, frame, checked=checked)

    def save_card(self, told: Any, shown: str | None, request: gr.Request) -> list[Any]:
        """One picture of the photo and its answer, of what the browser has on the table."""
        words = self.spoken.words(request)
        given = told if isinstance(told, dict) else {}
        found = given.get("record")
        record: dict[str, Any] = found if isinstance(found, dict) else {}
        seen = Seen(turn_of(given).number, words)
        try:
            photo = self.darkroom.decode(shown or "", self.host.max_pixels)
            noted = record.get("notes")
            notes = [str(note)[:400] for note in noted[:9]] if isinstance(noted, list) else []
            what = read_told(record.get("json"))
            picture = card(what, photo.image, words, notes, date.today())
        except QInsightError as error:
            return [None, seen.part(words.sentence(error))]
        path = scratch_folder() / file_name(what)
        picture.save(path)
        return [str(path), seen.part("")]

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
        yield from self.follow(request, _State(phrase("reading")), self._work, self._show, until_words)

    def _work(self, path: str, job: Job) -> Iterator[_State]:
        engine = yield from self.host.wait(job, lambda status: _State(remark(status), read=True))
        photo = self.darkroom.decode(path, engine.about.max_pixels, job.stopped)
        about, frame = facts(photo, engine.about.max_pixels), Frame.of(photo, engine.about.max_pixels)
        picture = preview(photo) if photo.format not in BROWSER_FORMATS else None
        yield _State(_Doing(about, phrase("looking")), picture=picture, frame=frame, read=True)
        questions = assessment(photo.image)
        recorded, states = answers(
            self.host.recordings, engine, questions, self.sampling, [path], job.stopped
        )
        thinking = _Doing(about, phrase("replaying" if recorded else "thinking_status"))
        asked: tuple[Asked, ...] = ()
        for asked in states:
            far = reading_of(asked)
            doing = _Doing(about, how_far(far), far.share) if far else thinking
            yield _State(doing, () if far else asked, picture, frame, read=True)
        seconds, model = max((one.seconds for one in asked), default=0.0), engine.about.name
        ending = "recorded" if recorded else "done"
        made = made_by_all(engine.about, questions, self.sampling)
        checked = reasons_checked(asked, photo.image, engine.about.max_pixels)
        status = partial(_ended, about, ending, seconds, model)
        yield _State(status, asked, picture, frame, made, read=True, checked=checked)

    def _show(
        self, question: Question, state: _State, seen: Seen, pictures: list[Any] | None = None
    ) -> list[Any]:
        record, about = None, self.host.about
        if not seen.running and about and finished(state.asked):
            name = name_of(question.subject)
            sure = self._sure(state)
            record = assessed(
                seen.words, name, state.asked, about.name, state.frame, state.made, sure, state.checked
            )
        if state.picture:
            pictures = [self.photo.shown(state.picture)]
        return self._values(state, seen, question.subject, record, pictures=pictures)

    def _sure(self, state: _State) -> list[Sure]:
        return [self.host.sure(one, self.sampling) for one in state.asked] or [None, None]

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
        words, status = seen.words, state.status(seen.words)
        goes_on = seen.running or opened or bool(seen.problem and not state.asked)
        doing = state.status if isinstance(state.status, _Doing) else None
        stage = (doing.doing(words) if doing else status) if seen.running else ""
        share = doing.share if doing else self.host.done if self.host.loading else None
        return [
            on_the_table(seen, record, pictures),
            seen.part(status),
            seen.part(seen.problem),
            *(
                seen.part(value)
                for value in answer_values(
                    state.asked, state.frame, words, stage, share, goes_on, self._sure(state), state.checked
                )
            ),
            seen.part(look(self.loupes, path, seen) if state.read or not seen.running else None),
        ]


def _ended(about: Said, ending: str, seconds: float, model: str, words: Words) -> str:
    return words(ending, facts=about(words), seconds=seconds, model=model)


def _gallery(words: Words) -> list[tuple[str, str]]:
    """Our own photos with their names."""
    return [(str(path), words.name(path.stem)) for path in EXAMPLES]
