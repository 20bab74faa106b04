"""The Shoot tab: many photos in, a light table that fills while they are rated, a person's picks, every export."""

import contextlib
import secrets
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from qinsight.ahead import held
from qinsight.errors import PhotoError, QInsightError
from qinsight.page.background import PACE
from qinsight.page.contest_tab import ContestTab
from qinsight.page.host import Host
from qinsight.page.lightbox import Lightbox, Lightboxes
from qinsight.page.line import Job
from qinsight.page.pictures import laid, line
from qinsight.page.record import on_the_table
from qinsight.page.shoot import (
    FILES,
    PLACES,
    Shoot,
    choices,
    copied,
    judged,
    reasoned,
    shown,
    written,
    written_in_place,
)
from qinsight.page.tab import AT_ONCE, DRAWN, Said, Tab, nothing_said, phrase, remark, turn_of
from qinsight.page.table import Question, Seen
from qinsight.page.uploads import FilesInput, apart, gathered, scratch_folder, shared_folder
from qinsight.page.visitors import is_local
from qinsight.page.words import ENGLISH, Spoken, Words, label
from qinsight.photos import Photo, decode_in_child, read_photo
from qinsight.photos.listing import READ, NoPhotos, look
from qinsight.ranking.folder import Progress, folded, rank_folder, ranking
from qinsight.ranking.rows import Row
from qinsight.requests import Sampling

MOST_DESKS = 1000
NAMED = 5  # photos that were left alone, of however many
Files = list[tuple[str, str]]
Chosen = tuple[tuple[tuple[str, str], ...], str]
"""What is to be rated: uploads by name and path, or a folder of this computer by its path."""


@dataclass(frozen=True)
class _State:
    """What the page knows so far: `rows` of `total` photos. `left_out` says in English what was chosen and is not ranked."""

    status: Said
    rows: tuple[Row, ...] = ()
    total: int = 0
    left_out: tuple[str, ...] = ()
    ranked: bool = False


@dataclass
class _Desk:
    """What a visitor has of the tab: the shoot on the light table, and the folder that gathers uploads.

    One run works at a time; what a stopped one has done, the next finds in the same folder. Who reloads the page in
    mid-run finds it `going` on, by the `key`.
    """

    key: str = field(default_factory=lambda: secrets.token_urlsafe(18))
    chosen: Chosen | None = None
    shoot: Shoot | None = None
    going: bool = False
    root: Path | None = None
    bound: Any = None  # as the browser asked for it
    working: threading.Lock = field(default_factory=threading.Lock)


class RankTab(Tab):
    """Builds the tab and wires it. `local` offers a folder of this computer by its path, to who is at it."""

    name = "rank"
    parting = 120.0  # the ranking of what is done

    def __init__(self, host: Host, sampling: Sampling, spoken: Spoken, *, local: bool) -> None:
        self.local, self.lightboxes = local, Lightboxes()
        self._measuring = threading.Lock()  # the model works beside it
        self._desks: OrderedDict[str, _Desk] = OrderedDict()
        self._parted: OrderedDict[str, _Desk] = OrderedDict()
        super().__init__(host, sampling, spoken)

    def _lay_out(self) -> None:
        self.laid = laid("rank-record", "rank")
        with gr.Row():  # above all that grows and shrinks while photos come
            self.button = gr.Button(label("rank"), variant="primary", elem_id="rank", min_width=100)
            self.stop = gr.Button(label("stop"), elem_id="rank-stop", min_width=100)
            gr.Button(label("folder"), elem_id="choose-folder", min_width=100)  # folder.js opens the field
        self.files = FilesInput(
            label=label("photos"), file_count="multiple", type="filepath", height=150, elem_id="rank-files"
        )
        self.path = gr.Textbox(
            label=label("path"),
            elem_id="rank-path",
            visible=False,  # until it is known who asks
            max_lines=1,
        )
        self.elsewhere = gr.Markdown(label("elsewhere"), elem_id="rank-elsewhere", visible=False)
        self.status = line("rank", "rank-status")
        self.left_out = line("rank", "rank-left-out")
        self.problem = line("rank", "rank-problem", "now")
        self.news = gr.HTML(None, html_template="${qi.shoot.news(value)}", elem_id="rank-news")
        self.reasons = gr.HTML(None, html_template="${qi.shoot.reasons(value)}", elem_id="rank-reasons")
        self.contest = ContestTab(self.host, self.sampling, self.spoken, self.lightboxes)
        self.table = gr.HTML(None, html_template="<div></div>", elem_id="rank-table")
        self._lay_out_exports()
        self.lines = [self.laid, self.status, self.left_out, self.problem]
        self.outputs = [*self.lines, self.news]

    def _lay_out_exports(self) -> None:
        with gr.Column(elem_id="rank-exports"):
            with gr.Row():
                self.downloads = {
                    kind: gr.Button(label(kind), elem_id=f"download-{kind}", min_width=120)
                    for kind in (*FILES, "xmp")
                }
            self.taken = line("rank", "rank-taken")
            self.handed = gr.HTML(None, html_template="${qi.shoot.take(value)}", elem_id="rank-handed")
            with gr.Accordion(label("export_options"), open=False):
                self.names = gr.Radio(
                    _names(ENGLISH), value="full", label=label("sidecar_names"), elem_id="rank-names"
                )
                self.stars = gr.Textbox(label=label("star_ratings"), max_lines=1, elem_id="rank-stars")
                self.caption = gr.Checkbox(False, label=label("as_caption"), elem_id="rank-caption")
                self.keep = gr.Checkbox(True, label=label("keep_stars"), elem_id="rank-keep")
            with gr.Column(visible=False, elem_id="rank-own") as self.own:
                self.place = gr.Textbox(label=label("picks_place"), max_lines=1, elem_id="rank-picks")
                with gr.Row():
                    self.in_place = {
                        kind: gr.Button(label(f"xmp_{kind}"), elem_id=f"rank-{kind}", min_width=120)
                        for kind in (*PLACES, "copies")
                    }
            self.bounding = gr.Button("", visible="hidden", elem_id="rank-sure")
            self.to_compare = gr.Button("", visible="hidden", elem_id="rank-compare")
            self.why = gr.Button("", visible="hidden", elem_id="rank-why")

    def _wire(self) -> None:
        given = [self.files, self.path]
        rank = "(_, ...given) => qi.cull.rate(given)"
        turn = self.button.click(self.turn_to, [self.laid, *given], self.outputs, js=rank, **DRAWN)
        queue: dict[str, Any] = {"concurrency_id": "rank", "concurrency_limit": 8}
        self.then_ask([turn], self.run, **queue)
        self.stop.click(self.stop_it, [self.laid], None, js="() => [qi.stop('rank')]", **AT_ONCE)
        other = "(_, ...given) => qi.cull.others(given)"
        self.files.change(self.others, [self.laid, *given], self.outputs, js=other, **DRAWN)
        other = (
            "(_, files, path) => qi.cull.others([path.trim() ? null : files, path])"  # the last choice counts
        )
        self.path.submit(self.others, [self.laid, *given], self.outputs, js=other, **DRAWN)
        cleared = "(files, path) => path.trim() ? null : files"
        self.path.submit(None, given, [self.files], js=cleared, **AT_ONCE)
        wanted = "() => [qi.cull.wanted()]"
        self.bounding.click(self.bound, [self.laid], [self.news], js=wanted, **AT_ONCE)
        why = "() => [qi.shoot.wondered()]"
        self.why.click(self.reason, [self.laid], [self.reasons], js=why, **AT_ONCE)
        how = [self.laid, self.laid, self.names, self.stars, self.caption, self.keep, self.place]
        for kind, button in (self.downloads | self.in_place).items():
            js = f"(_, __, ...how) => ['{kind}', qi.cull.said(), ...how]"
            button.click(self.take, how, [self.handed, self.taken], js=js, **AT_ONCE)

    def resume_with(self, opened: Callable[..., Any]) -> None:
        """Who opens the page again in the same tab of a browser goes on where the run stood."""
        queue: dict[str, Any] = {"concurrency_id": "rank", "concurrency_limit": 8}
        js = "async () => [qi.turn('rank', false), await qi.cull.kept()]"
        back = opened(self.resume, [self.laid, self.laid], self.outputs, js=js, **DRAWN)
        self.then_ask([back], self.run, **queue)

    def opened(self, request: gr.Request) -> list[Any]:
        """The field for a folder of this computer, for the person at it; how to get it, for anybody else here."""
        at_home = self.local and is_local(request)
        return [
            gr.Textbox(visible=at_home),
            gr.Markdown(visible=self.local and not at_home),
            gr.Column(visible=at_home),
        ]

    def worded(self, words: Words) -> list[tuple[Any, Any]]:
        return [(self.names, gr.update(choices=_names(words)))]

    def headed(self, request: gr.Request) -> Any:
        """The light table in the visitor's language."""
        question = self.tables.newest(request.session_hash)
        if question is None:
            return gr.skip()
        return self._news(self._desk(request), Seen(question.number, self.spoken.words(request)))

    def bound(self, told: Any, request: gr.Request) -> Any:
        """The light table with the heaps of another bound."""
        self._desk(request).bound = told
        return self.headed(request)

    def reason(self, told: Any, request: gr.Request) -> Any:
        """What the pixels say of the reasons of a frame, which the browser names as it likes; nothing where they cannot."""
        place, name = told if isinstance(told, list) and len(told) == 2 else (None, None)
        shoot = self._desk(request).shoot
        if shoot is None or type(place) is not int or not isinstance(name, str):
            return gr.skip()
        with contextlib.suppress(PhotoError, OSError), self._measuring:
            both = reasoned(shoot, place, self.spoken.words(request), self.host.max_pixels)
            return {"of": name, "both": both} if both else gr.skip()
        return gr.skip()

    def _news(self, desk: _Desk, seen: Seen) -> dict[str, Any]:
        return seen.part(shown(desk.shoot, desk.key, seen.words, self.host.calibration, desk.bound))

    def _desk(self, request: gr.Request) -> _Desk:
        """The visitor's own; those of visitors who left without a word are forgotten in the end."""
        desk = self._desks.setdefault(request.session_hash or "", _Desk())
        while len(self._desks) > MOST_DESKS:
            self._desks.popitem(last=False)
        return desk

    def left(self, request: gr.Request) -> None:
        super().left(request)
        self.contest.left(request)
        desk = self._desks.pop(request.session_hash or "", None)
        if desk is not None and desk.shoot is not None:
            self._parted[desk.key] = desk
            while len(self._parted) > MOST_DESKS:
                self._parted.popitem(last=False)

    def stop_it(self, told: Any, request: gr.Request) -> None:
        self._desk(request).going = False
        super().stop_it(told, request)

    def resume(self, told: Any, key: Any, request: gr.Request) -> list[Any]:
        """The page was opened again: what lay on its table lies there again, and a run that was going on does so."""
        desk = self._claimed(key, request)
        if desk is None or desk.shoot is None:
            return [gr.skip()] * len(self.outputs)
        subject = desk.chosen if desk.going else None
        said = phrase("kept_table", count=len(desk.shoot.rows))
        status = phrase("gathering") if desk.going else said
        return self._turned(request, told, subject, status, running=desk.going)

    def _claimed(self, key: Any, request: gr.Request) -> _Desk | None:
        """The desk of that key, which is the visitor's from now on; a shoot of this computer is only its person's."""
        if not isinstance(key, str):
            return None
        known = {desk.key: session for session, desk in [*self._desks.items()]}
        desk = self._parted.pop(key, None) or self._desks.pop(known.get(key, "-"), None)
        if desk is None or desk.shoot is None or not (desk.shoot.uploaded or is_local(request)):
            return None
        self._desks[request.session_hash or ""] = desk
        return desk

    def _chosen(self, files: Files | None, path: str, request: gr.Request) -> Chosen | None:
        uploads = tuple(files or ())
        own = (
            path.strip().strip("\"'") if self.local and is_local(request) else ""
        )  # as a file manager copies it
        return (uploads, "" if uploads else own) if uploads or own else None

    def turn_to(self, told: Any, files: Files | None, path: str, request: gr.Request) -> list[Any]:
        """These photos are to be rated; where none are chosen, those that lie on the table."""
        chosen = self._chosen(files, path, request)
        desk = self._desk(request)
        chosen = chosen or (desk.chosen if desk.shoot else None)
        if chosen is None:
            restarted = self.local and path.strip() and not is_local(request)
            problem = self.spoken.words(request)("page_restarted" if restarted else "photos_first")
            return self._turned(request, told, None, problem=problem)
        desk.going = True
        return self._turned(request, told, chosen, phrase("gathering"), running=True)

    def others(self, told: Any, files: Files | None, path: str, request: gr.Request) -> list[Any]:
        """Other photos were chosen: a run ends, and their cards are there at once."""
        desk, chosen = self._desk(request), self._chosen(files, path, request)
        desk.going = False
        status: Said = nothing_said
        problem = ""
        try:
            if chosen is not None:
                self._lay(desk, chosen)
        except QInsightError as error:  # what lies on the table stays there
            problem = self.told(self.spoken.words(request), error)
        if desk.shoot is not None:
            said = "ready" if chosen == desk.chosen else "ranked_before"
            status = phrase(said, total=len(desk.shoot.box.frames))
        return self._turned(request, told, None, status, problem=problem)

    def _lay(self, desk: _Desk, chosen: Chosen) -> None:
        """These photos on the table; a folder that lies there is looked through again."""
        uploads, _ = chosen
        if uploads and chosen == desk.chosen:
            return
        shoot = self._opened(desk, chosen)
        if desk.shoot is None or chosen != desk.chosen or shoot.box.frames != desk.shoot.box.frames:
            desk.shoot, desk.chosen = shoot, chosen

    def _turned(
        self, request: gr.Request, told: Any, subject: Any, status: Said = nothing_said, **how: Any
    ) -> list[Any]:
        number = turn_of(told).number
        if not self.tables.turn_to(request.session_hash, number, subject):
            return [gr.skip()] * len(self.outputs)
        seen = Seen(number, self.spoken.words(request), **how)
        return self._values(self._desk(request), _State(status), seen)

    def run(self, request: gr.Request) -> Iterator[Any]:
        """Rate what was chosen; yields the values of `outputs`."""
        desk = self._desk(request)
        shoots: list[Shoot] = []

        def work(subject: Chosen, job: Job) -> Iterator[_State]:
            with held(desk.working, job.stopped):  # the run before, which was stopped, may still be leaving
                if desk.shoot is None or subject != desk.chosen or not desk.shoot.folder.is_dir():
                    desk.shoot = self._opened(desk, subject)
                    desk.chosen = subject
                shoots.append(desk.shoot)
                yield from self._work(desk.shoot, job)
                desk.going = False

        def show(question: Question, state: _State, seen: Seen) -> list[Any]:
            for shoot in shoots:
                shoot.hold(folded(state.rows), ranked=state.ranked)
            return self._values(desk, state, seen)

        yield from self.follow(request, _State(phrase("gathering")), work, show, _seconds_to_show)

    def stopped_at(self, state: _State) -> Said:
        if not state.total:
            return phrase("stopped")
        return phrase("stopped_at", done=len(state.rows), total=state.total)

    def _opened(self, desk: _Desk, chosen: Chosen) -> Shoot:
        """The shoot to rate: the folder named, or one that gathers the uploads under their own names."""
        uploads, path = chosen
        if uploads:
            if desk.root is None or not desk.root.is_dir():
                desk.root = scratch_folder()
            folder = Path(tempfile.mkdtemp(prefix="photos-", dir=desk.root), f"Uploaded on {date.today()}")
            gathered(folder, uploads)
            out = desk.root / "results"
        else:
            folder = Path(path).expanduser()
            out = folder / "q-insight"
        try:
            found = look(folder, out)
        except OSError as error:
            cause = error.strerror or error
            raise QInsightError(
                "Expected to read {path}, got '{cause}'.", path=folder, cause=cause
            ) from error
        box = Lightbox(folder, found.frames, uploaded=bool(uploads))
        self.lightboxes.add(box)
        return Shoot(folder, out, found, box)

    def _work(self, shoot: Shoot, job: Job) -> Iterator[_State]:
        found = shoot.found
        total = len(found.frames)
        begun = _State(phrase("pace_begun", total=total), total=total, left_out=found.left_out)
        yield begun
        engine = yield from self.host.wait(job, lambda status: replace(begun, status=remark(status)))
        rows: list[Row] = []
        try:
            for progress in rank_folder(
                engine,
                shoot.folder,
                shoot.out,
                sampling=self.sampling,
                decode=_decoder(shoot, engine.about.max_pixels, job.stopped),
                stop=job.stopped,
                found=found,
            ):
                if (row := progress.row or progress.kept) is not None:
                    rows.append(row)
                yield replace(begun, status=partial(_pace, progress), rows=tuple(rows))
        except QInsightError:  # stopped, or no model to ask any more: what is done is kept
            if rows:
                yield self._ended(shoot, {row.photo for row in rows})
            raise
        yield self._ended(shoot)

    def _ended(self, shoot: Shoot, done: Set[str] | None = None) -> _State:
        """The ranking of the photos that are `done`, or of all."""
        found = shoot.found
        frames = [frame for frame in found.frames if done is None or done & {*frame}]
        rows = ranking(shoot.out, frames)
        unread = sum(row.error is not None for row in rows)
        status = phrase("ranked_but" if unread else "ranked", count=len(rows) - unread, unread=unread)
        if done is not None:
            status = phrase("stopped_at", done=len(rows), total=len(found.frames))
        return _State(status, tuple(rows), len(found.frames), found.left_out, ranked=done is None)

    def take(
        self,
        kind: Any,
        said: Any,
        names: str,
        stars: str | None,  # of an empty field
        caption: bool,
        keep: bool,
        place: str | None,
        request: gr.Request,
    ) -> list[Any]:
        """Export what is rated so far, with a person's word about it; to the browser, or where the photos are."""
        words, desk = self.spoken.words(request), self._desk(request)
        question = self.tables.newest(request.session_hash)
        seen = Seen(question.number if question else 0, words)
        try:
            handed, told = self._taken(
                kind, said, (names, stars or "", caption, keep), place or "", desk.shoot, request
            )
        except QInsightError as error:
            return [gr.skip(), seen.part(self.told(words, error))]
        return [handed, seen.part(told(words))]

    def _taken(
        self,
        kind: Any,
        said: Any,
        how: tuple[str, str, bool, bool],
        place: str,
        shoot: Shoot | None,
        request: gr.Request,
    ) -> tuple[Any, Said]:
        chosen, calibration = choices(said, *how), self.host.calibration
        rows = shoot.known(self._ranked(shoot), chosen.said) if shoot else []
        if shoot is None or not rows:
            raise QInsightError("Expected a photo that is rated or picked, and there is none yet.")
        rows = judged(rows, shoot, chosen, calibration)
        if self.host.passport is not None:
            rows = list(self.host.passport.beside(rows))
        if kind in self.downloads:
            holds_for = calibration.holds_for if calibration else ""
            path = written(shoot, rows, kind, chosen, scratch_folder(), holds_for)
            return {"number": self.lightboxes.offer(path), "name": path.name}, nothing_said
        if kind not in self.in_place or shoot.uploaded or not is_local(request):
            raise QInsightError("Expected a folder of this computer, opened with the token of its page.")
        if kind in PLACES:
            count, failures = written_in_place(shoot, rows, kind, chosen)
            return gr.skip(), partial(_told, "written_xmp", count, "", failures)
        count, where, failures = copied(shoot, rows, place, chosen)
        by_hand = any(row.pick == "picked" for row in rows) or chosen.pick_from is not None
        key = "copied_picks" if by_hand else "copied_best"
        return gr.skip(), partial(_told, key, count, str(where), failures)

    def _ranked(self, shoot: Shoot) -> list[Row]:
        """The rows of the frames that are rated by now."""
        done = {row.photo for row in shoot.rows.values()}
        frames = [frame for frame in shoot.found.frames if done & {*frame}]
        return ranking(shoot.out, frames) if frames else []

    def pair(self, numbers: Any) -> list[str]:
        """Files of the upload folder with the first two of the frames that these numbers name."""
        asked = numbers if isinstance(numbers, list) else []
        found = [self.lightboxes.found(one) for one in asked[:2] if isinstance(one, str) and one.isdecimal()]
        paths = [box.folder / box.frames[place][0] for box, place in filter(None, found)]
        if len(paths) < 2:
            raise QInsightError("Expected two photos that are still here.")
        folder = shared_folder()
        gathered(folder, ((path.name, str(path)) for path in paths))
        return [str(folder / name) for name in apart(path.name for path in paths)]

    def told(self, words: Words, error: QInsightError) -> str:
        if isinstance(error, NoPhotos):
            return f"{words('no_photos', kinds=READ)} {_left_out(error.left_out, words)}".strip()
        return super().told(words, error)

    def _values(self, desk: _Desk, state: _State, seen: Seen) -> list[Any]:
        """Values of `outputs`."""
        left_out = _left_out(state.left_out, seen.words)
        return [
            on_the_table(seen),
            seen.part(state.status(seen.words)),
            seen.part(left_out),
            seen.part(seen.problem),
            self._news(desk, seen) if desk.shoot else gr.skip(),
        ]


def _seconds_to_show(state: _State) -> float:
    """What is new of the table is found by comparing all of it: the longer it is, the rarer."""
    return max(0.5, len(state.rows) / 500) if state.rows else PACE


def _decoder(shoot: Shoot, limit: int, stop: threading.Event) -> Callable[[Path, bytes], Photo]:
    """Reads uploads in a process of their own each, one's own photos here; their small pictures come on the way."""

    def decode(path: Path, content: bytes) -> Photo:
        photo = decode_in_child(path, view_pixels=limit, stop=stop) if shoot.uploaded else read_photo(content)
        shoot.box.put(shoot.box.place_of[path.relative_to(shoot.folder).as_posix()], photo.image)
        return photo

    return decode


def _left_out(parts: Sequence[str], words: Words) -> str:
    """What was chosen and is not ranked, in a line."""
    return words("left_out", parts=words("comma").join(map(words.remark, parts))) if parts else ""


def _names(words: Words) -> list[tuple[str, str]]:
    """How sidecars are named, in words, with what it stands for."""
    return [(words(f"names_{kind}"), kind) for kind in ("full", "stem")]


def _told(key: str, count: int, where: str, failures: Sequence[str], words: Words) -> str:
    """What was done, and what was left alone."""
    more = [words("and_more", count=len(failures) - NAMED)] if len(failures) > NAMED else []
    return " ".join([words(key, count=count, where=where), *map(words.remark, failures[:NAMED]), *more])


def _pace(progress: Progress, words: Words) -> str:
    left, rate = progress.seconds_left, progress.rate
    return words(
        "pace",
        done=progress.done,
        total=progress.total,
        failed=words("pace_failed", failed=progress.failed) if progress.failed else "",
        rate=words("pace_rate", rate=rate) if rate else "",
        left=words("pace_left", left=timedelta(seconds=round(left))) if left else "",
    )
