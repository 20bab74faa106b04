"""The Rank tab: many photos in, a table that grows, and every export to take home."""

import html
import shutil
import threading
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from pathlib import Path, PurePath
from typing import Any

import gradio as gr

from qinsight.ahead import held
from qinsight.answers import Distortion
from qinsight.errors import QInsightError
from qinsight.page.host import Host
from qinsight.page.line import Job
from qinsight.page.pictures import laid, line
from qinsight.page.record import on_the_table
from qinsight.page.tab import AT_ONCE, Said, Tab, nothing_said, phrase, remark, turn_of
from qinsight.page.table import Question, Seen
from qinsight.page.uploads import gathered, scratch_folder
from qinsight.page.visitors import is_local
from qinsight.page.words import ENGLISH, Spoken, Words, label
from qinsight.photos import Photo, decode_in_child, read_photo
from qinsight.photos.listing import READ, Found, NoPhotos, look
from qinsight.ranking.exports import write_exports
from qinsight.ranking.folder import Progress, rank_folder, ranking
from qinsight.ranking.rows import Row, of_each_file
from qinsight.ranking.sidecars import write_sidecars
from qinsight.requests import Sampling

HEADERS = ("preview", "photo", "expected", "written", "degradation", "severity", "burst", "remark")
MOST_DESKS = 1000
KINDS = ("all", "clean", *map(str, Distortion))


@dataclass(frozen=True)
class _State:
    """What the page knows so far: `rows` of `total` photos; `exports` are the files of a run that has ended.

    `left_out` says in English what was chosen and is not ranked.
    """

    status: Said
    rows: tuple[Row, ...] = ()
    total: int = 0
    exports: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


@dataclass
class _Shoot:
    """The photos of one run: where they are, whether a stranger sent them, where results go, thumbnails."""

    folder: Path
    out: Path
    uploaded: bool
    thumbnails: dict[str, str] = field(default_factory=dict)


Line = tuple[Row, list[Any]]
"""A row with its cells as the table shows them."""


@dataclass
class _Desk:
    """What a visitor has of the tab: the table as it is shown, its filter, the folder that gathers uploads.

    One run works at a time; what a stopped one has done, the next finds in the same folder.
    """

    lines: list[Line] = field(default_factory=list)
    kind: str = "all"
    least: float = 1.0
    root: Path | None = None
    working: threading.Lock = field(default_factory=threading.Lock)


class RankTab(Tab):
    """Builds the tab and wires it. `local` offers a folder of this computer by its path, to who is at it."""

    name = "rank"
    parting = 120.0  # the exports of what is done

    def __init__(self, host: Host, sampling: Sampling, spoken: Spoken, *, local: bool) -> None:
        self.local = local
        self._desks: OrderedDict[str, _Desk] = OrderedDict()
        super().__init__(host, sampling, spoken)

    def _lay_out(self) -> None:
        self.laid = laid("rank-record", "rank")
        with gr.Row(equal_height=False):
            with gr.Column(min_width=320):
                self.files = gr.File(
                    label=label("photos"),
                    file_count="multiple",
                    type="filepath",
                    height=180,
                    elem_id="rank-files",
                )
            with gr.Column(min_width=320):
                self.directory = gr.File(
                    label=label("folder"),
                    file_count="directory",
                    type="filepath",
                    height=180,
                    elem_id="rank-directory",
                )
        self.path = gr.Textbox(
            label=label("path"),
            elem_id="rank-path",
            visible=False,  # until it is known who asks
            max_lines=1,
        )
        self.elsewhere = gr.Markdown(label("elsewhere"), elem_id="rank-elsewhere", visible=False)
        with gr.Row():
            self.button = gr.Button(label("rank"), variant="primary", elem_id="rank", min_width=100)
            self.stop = gr.Button(label("stop"), elem_id="rank-stop", min_width=100)
        self.status = line("rank", "rank-status")
        self.left_out = line("rank", "rank-left-out")
        self.problem = line("rank", "rank-problem", "now")
        with gr.Row():
            self.kind = gr.Dropdown(
                _kinds(ENGLISH), value="all", label=label("degradation"), elem_id="rank-kind", min_width=160
            )
            self.least = gr.Slider(
                1, 5, value=1, step=0.05, label=label("least"), elem_id="rank-least", min_width=160
            )
        self.table = gr.Dataframe(
            label=label("ranking"),
            headers=_headers(ENGLISH),
            datatype=["html", "str", "number", "number", "str", "str", "str", "str"],
            column_widths=["92px", "240px", "90px", "90px", "120px", "110px", "80px", "260px"],
            interactive=False,
            wrap=False,
            max_height=620,
            show_search="search",
            elem_id="rank-table",
        )
        with gr.Row():
            self.downloads = [
                gr.DownloadButton(label(name), interactive=False, elem_id=f"download-{kind}", min_width=120)
                for name, kind in (
                    ("csv", "csv"),
                    ("jsonl", "jsonl"),
                    ("sheet", "html"),
                    ("xmp", "xmp"),
                )
            ]
        self.lines = [self.laid, self.status, self.left_out, self.problem]
        self.outputs = [*self.lines, self.table, *self.downloads]

    def _wire(self) -> None:
        given = [self.files, self.directory, self.path]
        rank = "(_, ...given) => [qi.turn('rank', true), ...given]"
        turn = self.button.click(
            self.turn_to, [self.laid, *given, self.kind, self.least], self.lines, js=rank, **AT_ONCE
        )
        self.then_ask([turn], self.run, concurrency_id="rank", concurrency_limit=8)
        self.stop.click(self.stop_it, [self.laid], None, js="() => [qi.stop('rank')]", **AT_ONCE)
        other = "() => [qi.turn('rank', false)]"
        for event in (self.files.change, self.directory.change, self.path.input):
            event(self.others, [self.laid], self.lines, js=other, **AT_ONCE)
        for control in (self.kind, self.least):
            control.change(self.filtered, [self.kind, self.least], [self.table], **AT_ONCE)

    def opened(self, request: gr.Request) -> list[Any]:
        """The field for a folder of this computer, for the person at it; how to get it, for anybody else here."""
        at_home = self.local and is_local(request)
        return [gr.Textbox(visible=at_home), gr.Markdown(visible=self.local and not at_home)]

    def worded(self, words: Words) -> list[tuple[Any, Any]]:
        return [(self.kind, gr.update(choices=_kinds(words)))]

    def headed(self, request: gr.Request) -> Any:
        """The table with its headers in the visitor's language; they travel with its values only."""
        return self._table(self._desk(request), self.spoken.words(request))

    def filtered(self, kind: str, least: float, request: gr.Request) -> Any:
        """The part of the table that was asked for."""
        desk = self._desk(request)
        desk.kind, desk.least = kind, least
        return self.headed(request) if desk.lines else gr.skip()

    def _table(self, desk: _Desk, words: Words) -> dict[str, Any]:
        return {"headers": _headers(words), "data": _chosen(desk.lines, desk.kind, desk.least)}

    def _desk(self, request: gr.Request) -> _Desk:
        """The visitor's own; those of visitors who left without a word are forgotten in the end."""
        desk = self._desks.setdefault(request.session_hash or "", _Desk())
        while len(self._desks) > MOST_DESKS:
            self._desks.popitem(last=False)
        return desk

    def left(self, request: gr.Request) -> None:
        super().left(request)
        self._desks.pop(request.session_hash or "", None)

    def turn_to(
        self,
        told: Any,
        files: list[str] | None,
        directory: list[str] | None,
        path: str,
        kind: str,
        least: float,
        request: gr.Request,
    ) -> list[Any]:
        """These photos are to be ranked."""
        desk, words = self._desk(request), self.spoken.words(request)
        desk.kind, desk.least = kind, least
        uploads = (*(files or []), *(directory or []))
        own = path.strip() if self.local and is_local(request) else ""
        if not uploads and not own:
            return self._turned(request, told, None, problem=words("photos_first"))
        desk.lines = []
        return self._turned(request, told, (uploads, own), phrase("gathering"), running=True)

    def others(self, told: Any, request: gr.Request) -> list[Any]:
        """Other photos were chosen: a run ends, and the table is of those before."""
        status = phrase("ranked_before") if self._desk(request).lines else nothing_said
        return self._turned(request, told, None, status)

    def _turned(
        self, request: gr.Request, told: Any, subject: Any, status: Said = nothing_said, **how: Any
    ) -> list[Any]:
        number = turn_of(told).number
        if not self.tables.turn_to(request.session_hash, number, subject):
            return [gr.skip()] * len(self.lines)
        return self._lines(_State(status), Seen(number, self.spoken.words(request), **how))

    def _lines(self, state: _State, seen: Seen) -> list[Any]:
        """Values of `lines`."""
        left_out = _left_out(state.left_out, seen.words)
        return [
            on_the_table(seen),
            seen.part(state.status(seen.words)),
            seen.part(left_out),
            seen.part(seen.problem),
        ]

    def run(self, request: gr.Request) -> Iterator[Any]:
        """Rank what was chosen; yields the values of `outputs`."""
        desk = self._desk(request)
        shoots: list[_Shoot] = []

        def work(subject: tuple[Sequence[str], str], job: Job) -> Iterator[_State]:
            with held(desk.working, job.stopped):  # the run before, which was stopped, may still be leaving
                shoots.append(self._shoot(desk, *subject))
                yield from self._work(shoots[0], job)

        def show(question: Question, state: _State, seen: Seen) -> list[Any]:
            thumbnails = shoots[0].thumbnails if shoots else {}
            desk.lines = [(row, _cells(row, thumbnails, seen.words)) for row in state.rows]
            return self._values(desk, state, seen)

        yield from self.follow(request, _State(phrase("gathering")), work, show, _seconds_to_show)

    def overtaken(self, question: Question, request: gr.Request) -> Iterator[list[Any]]:
        """The table as it should be by now."""
        seen = Seen(question.number, self.spoken.words(request))
        yield self._values(self._desk(request), _State(nothing_said), seen)

    def stopped_at(self, state: _State) -> Said:
        if not state.total:
            return phrase("stopped")
        return phrase("stopped_at", done=len(state.rows), total=state.total)

    def _shoot(self, desk: _Desk, uploads: Sequence[str], path: str) -> _Shoot:
        """The folder to rank: the one named, or one that gathers the uploads under their own names."""
        if not uploads:
            folder = Path(path).expanduser()
            return _Shoot(folder, folder / "q-insight", uploaded=False)
        if desk.root is None or not desk.root.is_dir():
            desk.root = scratch_folder()
        folder = desk.root / "photos"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        gathered(folder, ((Path(upload).name, upload) for upload in uploads))
        return _Shoot(folder, desk.root / "results", uploaded=True)

    def _work(self, shoot: _Shoot, job: Job) -> Iterator[_State]:
        found = look(shoot.folder, shoot.out)
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
                yield self._ended(shoot, found, {row.photo for row in rows})
            raise
        yield replace(begun, status=phrase("exporting"), rows=tuple(rows))
        yield self._ended(shoot, found)

    def _ended(self, shoot: _Shoot, found: Found, done: Set[str] | None = None) -> _State:
        """The ranking of the photos that are `done`, or of all, with its exports."""
        frames = [frame for frame in found.frames if done is None or done & {*frame}]
        rows = ranking(shoot.out, frames)
        for row in rows:
            if row.phash and row.photo not in shoot.thumbnails:  # kept from an earlier run
                _thumbnail(shoot, row.photo, None)
        unread = sum(row.error is not None for row in rows)
        status = phrase("ranked_but" if unread else "ranked", count=len(rows) - unread, unread=unread)
        exports = _exports(rows, shoot, found)
        return _State(status, tuple(rows), len(found.frames), exports, found.left_out)

    def told(self, words: Words, error: QInsightError) -> str:
        if isinstance(error, NoPhotos):
            return f"{words('no_photos', kinds=READ)} {_left_out(error.left_out, words)}".strip()
        return super().told(words, error)

    def _values(self, desk: _Desk, state: _State, seen: Seen) -> list[Any]:
        """Values of `outputs`."""
        downloads = [gr.DownloadButton(value=None, interactive=False)] * len(self.downloads)
        if state.exports:
            downloads = [gr.DownloadButton(value=path, interactive=True) for path in state.exports]
        return [*self._lines(state, seen), self._table(desk, seen.words), *downloads]


def _seconds_to_show(state: _State) -> float:
    """The whole table travels each time: the longer it is, the rarer."""
    return max(0.5, len(state.rows) / 150) if state.rows else 0.0


def _decoder(shoot: _Shoot, limit: int, stop: threading.Event) -> Callable[[Path, bytes], Photo]:
    """Reads uploads in a process of their own each, one's own photos here; makes thumbnails on the way."""

    def decode(path: Path, content: bytes) -> Photo:
        photo = decode_in_child(path, view_pixels=limit, stop=stop) if shoot.uploaded else read_photo(content)
        _thumbnail(shoot, path.relative_to(shoot.folder).as_posix(), photo)
        return photo

    return decode


def _thumbnail(shoot: _Shoot, name: str, photo: Photo | None) -> None:
    """A small JPEG in the upload folder, from where the page may show it."""
    from gradio.utils import get_upload_folder

    if photo is None:
        try:
            photo = decode_in_child(shoot.folder / name, view_pixels=100_000)
        except QInsightError:
            return
    place = Path(get_upload_folder()) / shoot.folder.parent.name
    place.mkdir(parents=True, exist_ok=True)
    small = photo.image.copy()
    small.thumbnail((128, 96))
    path = place / f"{len(shoot.thumbnails)}.jpg"
    small.save(path, quality=80)
    shoot.thumbnails[name] = str(path)


def _cells(row: Row, thumbnails: dict[str, str], words: Words) -> list[Any]:
    picture = thumbnails.get(row.photo)
    source = html.escape(f"gradio_api/file={picture}", quote=True)
    return [
        f'<img src="{source}" alt="" loading="lazy" height="48">' if picture else "",
        f"{row.photo} + {PurePath(row.also).name}" if row.also else row.photo,
        None if row.expected_rating is None else round(row.expected_rating, 3),
        row.rating,
        "" if row.distortion_class is None else words(_KEYS.get(row.distortion_class, row.distortion_class)),
        "" if row.severity in (None, "null") else words(str(row.severity)),
        _burst(row, words),
        words.remark(row.error or row.remarks or ""),
    ]


def _burst(row: Row, words: Words) -> str:
    """The number of its burst or bracket, and which of them it is."""
    if row.group is None:
        return ""
    if row.bracket:
        return words("bracket", group=row.group)
    return words("best", group=row.group) if row.best else str(row.group)


def _left_out(parts: Sequence[str], words: Words) -> str:
    """What was chosen and is not ranked, in a line."""
    return words("left_out", parts=words("comma").join(map(words.remark, parts))) if parts else ""


def _chosen(lines: Sequence[Line], kind: str, least: float) -> list[list[Any]]:
    """The cells of rows with the degradation and the least rating asked for; unreadable ones only with no filter."""
    wanted = "null" if kind == "clean" else kind
    return [
        cells
        for row, cells in lines
        if (kind == "all" or row.distortion_class == wanted)
        and (least <= 1 or (row.expected_rating is not None and row.expected_rating >= least))
    ]


def _exports(rows: Sequence[Row], shoot: _Shoot, found: Found) -> tuple[str, ...]:
    """Every export of a finished run, in a folder the page may hand out from."""
    place = scratch_folder()
    written = write_exports(rows, place, shoot.folder, found.sentence())
    sidecars, _ = write_sidecars(of_each_file(rows), shoot.folder, out=place / "xmp")
    packed = place / "xmp-sidecars.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sidecars:
            archive.write(path, path.relative_to(place / "xmp"))
    return tuple(map(str, (*written, packed)))


def _headers(words: Words) -> list[str]:
    return [words(f"head_{name}") for name in HEADERS]


_KEYS = {"null": "clean_photos", "clean": "clean_photos"}


def _kinds(words: Words) -> list[tuple[str, str]]:
    """The choices of the filter, in words, with what they stand for."""
    return [(words(_KEYS.get(kind, kind)), kind) for kind in KINDS]


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
