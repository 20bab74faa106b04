"""The Rank tab: many photos in, a table that grows, and every export to take home."""

import html
import os
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import gradio as gr

from qinsight.answers import Distortion
from qinsight.contact_sheet import write_html
from qinsight.errors import QInsightError
from qinsight.export import write_csv, write_jsonl
from qinsight.folder import SUFFIXES, Progress, photos_in, rank_folder, ranking
from qinsight.page.host import Host
from qinsight.page.line import Job
from qinsight.page.pictures import line
from qinsight.page.steady import Button
from qinsight.page.tab import AT_ONCE, PRIVATE, Tab, buttons
from qinsight.page.uploads import scratch_folder
from qinsight.page.words import ENGLISH, Spoken, Words, label
from qinsight.photos import Photo, decode_in_child, read_photo
from qinsight.requests import Sampling
from qinsight.rows import Row
from qinsight.sidecars import write_sidecars

HEADERS = ("preview", "photo", "expected", "written", "degradation", "severity", "burst", "remark")
KINDS = ("all", "clean", *map(str, Distortion))


@dataclass(frozen=True)
class _State:
    """What the page knows so far; `rows` may still grow, `exports` are the files of a finished run."""

    status: str
    rows: Sequence[Row] = ()
    exports: tuple[str, ...] = ()


@dataclass
class _Shoot:
    """The photos of one run: where they are, whether a stranger sent them, where results go, thumbnails."""

    folder: Path
    out: Path
    uploaded: bool
    thumbnails: dict[str, str] = field(default_factory=dict)


class RankTab(Tab):
    """Builds the tab and wires it. `local` offers a folder of this computer by its path."""

    def __init__(
        self, host: Host, sampling: Sampling, max_pixels: int | None, spoken: Spoken, *, local: bool
    ) -> None:
        self.host, self.sampling, self.max_pixels, self.local = host, sampling, max_pixels, local
        super().__init__(spoken)
        self._lay_out()
        self._wire()

    def _lay_out(self) -> None:
        self.rows = gr.State([])
        with gr.Row(equal_height=False):
            with gr.Column(min_width=320):
                self.files = gr.File(
                    label=label("photos"),
                    file_count="multiple",
                    file_types=["image", *SUFFIXES],
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
            visible=self.local,
            max_lines=1,
        )
        with gr.Row():
            self.button = Button(label("rank"), variant="primary", elem_id="rank", min_width=100)
            self.stop = Button(label("stop"), elem_id="rank-stop", interactive=False, min_width=100)
        self.status = line("rank-status")
        self.problem = line("rank-problem", "now")
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
        self.outputs = [
            self.status,
            self.problem,
            self.table,
            self.rows,
            *self.downloads,
            self.button,
            self.stop,
        ]

    def _wire(self) -> None:
        running = self.button.click(
            self.run,
            [self.files, self.directory, self.path, self.kind, self.least],
            self.outputs,
            concurrency_id="rank",
            concurrency_limit=8,
            **PRIVATE,
        )
        self.stop.click(
            self.stopped, None, [self.status, self.button, self.stop], cancels=[running], **AT_ONCE
        )
        for control in (self.kind, self.least):
            control.change(self.filtered, [self.rows, self.kind, self.least], [self.table], **AT_ONCE)

    def worded(self, words: Words) -> list[tuple[Any, Any]]:
        return [(self.kind, gr.update(choices=_kinds(words)))]

    def headed(self, cells: list[tuple[Row, list[Any]]], kind: str, least: float, request: gr.Request) -> Any:
        """The table with its headers in the visitor's language; they travel with its values only."""
        return _table(_chosen(cells, kind, least), self.spoken.words(request))

    def run(
        self,
        files: list[str] | None,
        directory: list[str] | None,
        path: str,
        kind: str,
        least: float,
        request: gr.Request,
    ) -> Iterator[Any]:
        """Rank what was given; yields the values of `outputs`."""
        words = self.spoken.words(request)
        try:
            shoot = self._shoot([*(files or []), *(directory or [])], path, words)
        except QInsightError as error:
            yield self._values(words, _State(""), words.sentence(error))
            return
        sent_at, sent = 0.0, -1

        def show(state: _State, problem: str, running: bool | None) -> list[Any]:
            # The whole table travels each time: the longer it is, the rarer.
            nonlocal sent_at, sent
            due = time.monotonic() - sent_at > max(1.0, len(state.rows) / 150)
            fresh = bool(state.exports) or running is not None or (due and len(state.rows) != sent)
            if fresh:
                sent_at, sent = time.monotonic(), len(state.rows)
            cells = [(row, _cells(row, shoot.thumbnails, words)) for row in [*state.rows]] if fresh else None
            return self._values(words, state, problem, running, cells, kind, least)

        nothing = _State(words("gathering"))
        yield from self.follow(request, nothing, lambda stop: self._work(shoot, words, stop), show)

    def _shoot(self, uploads: Sequence[str], path: str, words: Words) -> _Shoot:
        """The folder to rank: the one named, or one that gathers the uploads under their own names."""
        if uploads:
            root = scratch_folder()
            folder = root / "photos"
            folder.mkdir()
            for number, upload in enumerate(uploads):
                name = Path(upload).name
                target = folder / name if not (folder / name).exists() else folder / f"{number} {name}"
                os.symlink(upload, target)
            return _Shoot(folder, root / "results", uploaded=True)
        if self.local and path.strip():
            folder = Path(path.strip()).expanduser()
            return _Shoot(folder, folder / "q-insight", uploaded=False)
        raise QInsightError(words("photos_first"))

    def _work(self, shoot: _Shoot, words: Words, stop: Job) -> Iterator[_State]:
        names = photos_in(shoot.folder, shoot.out)
        for status in self.host.wait(stop):
            yield _State(status)
        engine = self.host.engine
        assert engine is not None  # wait() raises otherwise
        limit = self.max_pixels or engine.about.max_pixels
        rows: list[Row] = []
        for progress in rank_folder(
            engine,
            shoot.folder,
            shoot.out,
            sampling=self.sampling,
            max_pixels=limit,
            decode=_decoder(shoot, limit, stop),
            stop=stop,
        ):
            if progress.row is not None:
                rows.append(progress.row)
            yield _State(_pace(progress, words), rows)
        found = ranking(shoot.out, names)
        yield _State(words("exporting"), found)
        for row in found:
            if row.phash and row.photo not in shoot.thumbnails:  # kept from an earlier run
                _thumbnail(shoot, row.photo, None)
        unread = sum(row.error is not None for row in found)
        status = words("ranked_but" if unread else "ranked", count=len(found), unread=unread)
        yield _State(status, found, _exports(found, shoot))

    def _values(
        self,
        words: Words,
        state: _State,
        problem: str = "",
        running: bool | None = False,
        cells: list[tuple[Row, list[Any]]] | None = None,
        kind: str = "all",
        least: float = 1.0,
    ) -> list[Any]:
        """Values of `outputs`; `cells` None leaves the table as it is."""
        downloads: list[Any] = [gr.skip()] * len(self.downloads)
        if state.exports:
            downloads = [gr.DownloadButton(value=path, interactive=True) for path in state.exports]
        elif running:
            downloads = [gr.DownloadButton(value=None, interactive=False)] * len(self.downloads)
        shown = gr.skip() if cells is None else _table(_chosen(cells, kind, least), words)
        kept = cells if state.exports else gr.skip()
        return [words.remark(state.status), problem, shown, kept, *downloads, *buttons(running)]

    def filtered(
        self, cells: list[tuple[Row, list[Any]]], kind: str, least: float, request: gr.Request
    ) -> Any:
        """The part of a finished table that was asked for."""
        return self.headed(cells, kind, least, request) if cells else gr.skip()


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
        row.photo,
        None if row.expected_rating is None else round(row.expected_rating, 3),
        row.rating,
        "" if row.distortion_class is None else words(_KEYS.get(row.distortion_class, row.distortion_class)),
        "" if row.severity in (None, "null") else words(str(row.severity)),
        "" if row.group is None else words("best", group=row.group) if row.best else str(row.group),
        words.remark(row.error) if row.error else "",
    ]


def _chosen(cells: Sequence[tuple[Row, list[Any]]], kind: str, least: float) -> list[list[Any]]:
    """The cells of rows with the degradation and the least rating asked for; unreadable ones only with no filter."""
    wanted = "null" if kind == "clean" else kind
    return [
        line
        for row, line in cells
        if (kind == "all" or row.distortion_class == wanted)
        and (least <= 1 or (row.expected_rating is not None and row.expected_rating >= least))
    ]


def _exports(rows: Sequence[Row], shoot: _Shoot) -> tuple[str, ...]:
    """Every export of a finished run, in a folder the page may hand out from."""
    place = scratch_folder()
    write_csv(rows, place / "ranking.csv")
    write_jsonl(rows, place / "ranking.jsonl")
    write_html(rows, place / "contact-sheet.html", shoot.folder)
    sidecars, _ = write_sidecars(rows, shoot.folder, out=place / "xmp")
    with zipfile.ZipFile(place / "xmp-sidecars.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sidecars:
            archive.write(path, path.relative_to(place / "xmp"))
    names = ("ranking.csv", "ranking.jsonl", "contact-sheet.html", "xmp-sidecars.zip")
    return tuple(str(place / name) for name in names)


def _table(rows: list[list[Any]], words: Words) -> dict[str, Any]:
    return {"headers": _headers(words), "data": rows}


def _headers(words: Words) -> list[str]:
    return [words(f"head_{name}") for name in HEADERS]


_KEYS = {"null": "clean_photos", "clean": "clean_photos"}


def _kinds(words: Words) -> list[tuple[str, str]]:
    """The choices of the filter, in words, with what they stand for."""
    return [(words(_KEYS.get(kind, kind)), kind) for kind in KINDS]


def _pace(progress: Progress, words: Words) -> str:
    left = timedelta(seconds=round(progress.seconds_left or 0))
    return words(
        "pace",
        done=progress.done,
        total=progress.total,
        rate=progress.rate,
        failed=words("pace_failed", failed=progress.failed) if progress.failed else "",
        left=words("pace_left", left=left) if progress.seconds_left else "",
    )
