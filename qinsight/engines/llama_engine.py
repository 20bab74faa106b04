"""Asking converted weights: llama.cpp's server out of the `xllamacpp` wheel, one process for each part.

A process is started when its part is first asked, is asked like any other server, and ends with us. One that dies in
the middle of an answer costs the questions it had: they fail with a sentence, and the next one starts it again, once.
"""

import importlib.util
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from qinsight.ahead import held
from qinsight.engines.checkpoint import (
    PARTS,
    PUBLISHED,
    Checkpoint,
    Device,
    Model,
    Part,
    Precision,
    Progress,
    described,
    locate,
    read_json,
    silent,
)
from qinsight.engines.gguf_header import MOST_PIXELS, PENALTY, Header, read_header
from qinsight.engines.llama import LINE
from qinsight.engines.made_by import contents
from qinsight.engines.server import EndpointEngine, RequestsFailed
from qinsight.engines.server_link import Patience
from qinsight.errors import EngineError, RequestFailed, Stopped
from qinsight.photos.view import image_tokens
from qinsight.prompts import KNOWN_BEFORE, Order
from qinsight.requests import GREEDY, About, Delta, Finish, Request, Sampling
from qinsight.sentence import Sentence

PACKAGE = "xllamacpp"
INSTALL = "pip install xllamacpp"
BUILD = "pip install --force-reinstall --no-binary xllamacpp xllamacpp"
HOURS = 4 * 3600.0  # a photo may take minutes, three of them more, and nobody else is asked
PATIENCE = Patience(first_token=HOURS, between_tokens=HOURS, whole_reply=HOURS, tries=1)
QUESTION = 512  # tokens of a question and its frame, at most
CONTEXT = 8192  # tokens it has room for: three photos of the usual size, a question and its answer
BESIDE = 5e8  # bytes beside the weights: the context, what is computed
ILLEGAL = {
    -getattr(signal, "SIGILL", 4),
    0xC000001D,
}  # how a process ends whose processor lacks an instruction
# Threads that wait without spinning: where others compute too, spinning made 0.3 s of a reply up to 8 (two cores, load 8).
PATIENT = {"OMP_WAIT_POLICY": "passive"}
DEATHS = 2  # in a row, without an answer between them, after which it is not started again


@dataclass(frozen=True)
class Files:
    """One part on this disk: its two files, and what is known of it."""

    checkpoint: Checkpoint
    model: Header
    mmproj: Header

    @property
    def size(self) -> int:
        return self.model.file.stat().st_size + self.mmproj.file.stat().st_size

    @property
    def penalty(self) -> float | None:
        return self.model.told.get(PENALTY)

    def limit(self, max_pixels: int | None) -> int:
        """How large a photo is shown, if the largest asked for is this."""
        wanted = self.checkpoint.max_pixels if max_pixels is None else max_pixels
        return min(wanted, int(self.mmproj.told.get(MOST_PIXELS, wanted)))


def read_files(part: Part) -> Files:
    """The two files of a part, whole and of the kind we know; `EngineError` says what is wrong."""
    folder = part.folder()
    found = [read_header(file) for file in sorted(folder.glob("*.gguf"))]
    eyes = [header for header in found if header.architecture == "clip"]
    words = [header for header in found if header.architecture == "qwen2vl"]
    if not words:
        raise EngineError(
            "Expected a GGUF of Qwen2.5-VL (architecture qwen2vl) in {name}; found {kinds}.",
            name=part.name,
            kinds=", ".join(sorted({header.architecture for header in found})) or Sentence("none"),
        )
    if not eyes:
        raise EngineError(
            "Expected the file of the vision tower (mmproj) beside {file} in {name}; it is missing.",
            file=words[0].file.name,
            name=part.name,
        )
    if len(found) > 2:
        raise EngineError(
            "Expected one model and its mmproj in {name}; found {files}.",
            name=part.name,
            files=", ".join(header.file.name for header in found[:5]),
        )
    if (projector := eyes[0].told.get("clip.projector_type")) != "qwen2.5vl_merger":
        raise EngineError(
            "Expected the vision tower of Qwen2.5-VL in {file} of {name}; it is {kind}.",
            file=eyes[0].file.name,
            name=part.name,
            kind=projector,
        )
    card = folder / "qinsight.json"
    told = read_json(card) if card.exists() else {}
    return Files(described(folder, part.name, told), words[0], eyes[0])


def check_package() -> None:
    """`EngineError` where nothing is installed that runs converted weights."""
    if importlib.util.find_spec(PACKAGE) is None:
        raise EngineError(
            "Expected the package {package}, which runs converted weights and is not installed. Run: {command}",
            package=PACKAGE,
            command=INSTALL,
        )


class LlamaEngine:
    """The converted weights in a folder, asked one question at a time: the same alone and among others."""

    def __init__(self, model: Model, files: dict[str, Files], progress: Progress, gpu: bool) -> None:
        self._model, self._files, self._progress, self._gpu = model, files, progress, gpu
        self._fingerprint = model.fingerprint
        self._contents = contents(model.folders)
        self._order: Order | None = None
        self._children: dict[str, _Child] = {}
        self._deaths = dict.fromkeys(files, 0)
        self._busy = threading.Lock()
        self._close = weakref.finalize(self, _end_all, self._children)

    @classmethod
    def open(
        cls,
        model: str,
        device: Device = Device.AUTO,
        precision: Precision = Precision.AUTO,
        progress: Progress = silent,
        order: Order | None = None,
    ) -> "LlamaEngine":
        """Start llama.cpp with the part that answers about one photo; `EngineError` if that fails."""
        located = locate(model, progress)
        files = {name: read_files(part) for name, part in located.parts.items()}
        if precision is not Precision.AUTO:
            raise EngineError(
                "{name} is converted to {kind}; expected --precision auto, got {precision}.",
                name=located.name,
                kind=next(iter(files.values())).model.type,
                precision=precision,
            )
        check_package()
        engine = cls(located, files, progress, gpu=device is not Device.CPU)
        engine._order = order
        engine._ready(next(iter(files)), CONTEXT)
        return engine

    @property
    def about(self) -> About:
        files = next(iter(self._files.values()))
        checkpoint, alone = files.checkpoint, len(self._files) == 1
        return About(
            name=checkpoint.name if alone else self._model.name,
            tasks=checkpoint.tasks if alone else KNOWN_BEFORE,
            precision=files.model.type,
            device="llama.cpp",
            preview=checkpoint.preview,
            note=checkpoint.note,
            memory_bytes=sum(self._files[name].size for name in self._children),
            max_pixels=checkpoint.max_pixels,
            weights=self._fingerprint,
            source=checkpoint.source if alone else "",
            in_flight=1,
            made_with={
                "engine": "llama.cpp",
                "order": str(self._order or checkpoint.order),
                **self._contents,
            },
        )

    def stream(
        self,
        requests: Sequence[Request],
        sampling: Sampling = GREEDY,
        *,
        max_pixels: int | None = None,
        stop: threading.Event | None = None,
        watched: bool = True,
    ) -> Iterator[Delta]:
        """See `qinsight.requests.Engine.stream`. One stream runs at a time; others wait their turn."""
        with held(self._busy, stop):
            yield from self._answer_all(requests, sampling, max_pixels, stop, watched)

    def _answer_all(
        self,
        requests: Sequence[Request],
        sampling: Sampling,
        max_pixels: int | None,
        stop: threading.Event | None,
        watched: bool,
    ) -> Iterator[Delta]:
        failures: dict[int, EngineError] = {}
        self._check_parts(requests)
        for part, numbers in self._model.by_part(requests).items():
            chosen = [requests[number] for number in numbers]
            limit = self._files[part].limit(max_pixels)
            try:
                for delta in self._answer(part, chosen, sampling, limit, stop, watched):
                    yield replace(_with_end(delta), request=numbers[delta.request])
            except RequestsFailed as failed:
                failures |= {numbers[number]: cause for number, cause in failed.failures.items()}
        if failures:
            raise RequestsFailed(failures, len(requests))

    def _answer(
        self,
        part: str,
        requests: Sequence[Request],
        sampling: Sampling,
        max_pixels: int,
        stop: threading.Event | None,
        watched: bool,
    ) -> Iterator[Delta]:
        """The replies of one part. A server that dies before it said a word is started and asked once more."""
        room = _room(requests, max_pixels, sampling)
        for again in (False, True):
            child = self._ready(part, room, stop)
            unheard = True
            try:
                for delta in child.engine.stream(
                    requests, sampling, max_pixels=max_pixels, stop=stop, watched=watched
                ):
                    unheard = False
                    yield delta
                self._deaths[part] = 0
                return
            except EngineError as error:
                if not child.is_gone(within=0.5):
                    raise
                if again or not unheard:
                    raise RequestFailed(
                        "The server of llama.cpp ended in the middle of an answer ({how}). It starts again with the "
                        "next question; ask once more.",
                        how=child.end_in_words,
                    ) from error

    def _check_parts(self, requests: Sequence[Request]) -> None:
        if [*self._files] == [PARTS[0]] and any(request.reference for request in requests):
            raise EngineError(
                "With a reference the part {wanted!r} of the weights answers, and {name} holds only {here!r}. "
                "`python -m qinsight convert {source} --out {folder} --type {kind}` writes both.",
                wanted=PARTS[1],
                name=self._model.name,
                here=PARTS[0],
                source=PUBLISHED,
                folder="q-insight",
                kind=self._files[PARTS[0]].model.type,
            )

    def load_all(self) -> None:
        """Start every part now, those too that are seldom asked."""
        for part in self._files:
            self._ready(part, CONTEXT)

    def close(self) -> None:
        """End llama.cpp."""
        self._close()

    def _ready(self, part: str, room: int, stop: threading.Event | None = None) -> "_Child":
        """The process that answers for a part, started now if need be; in place of others where both do not fit."""
        child = self._children.get(part)
        if child and not child.is_gone() and child.context >= room:
            return child
        if child:
            self._deaths[part] += child.is_gone()
            child.end()
            del self._children[part]
        if self._deaths[part] >= DEATHS and child:
            self._deaths[part] = 0  # whoever asks again may have made room
            raise EngineError(
                "The server of llama.cpp ended again ({how}) before it could answer. Close what else uses the "
                "memory, or convert the weights to a smaller type.",
                how=child.end_in_words,
            )
        files = self._files[part]
        self._make_room(files)
        child = _Child(files, max(CONTEXT, room), self._gpu)
        child.start(self._order or files.checkpoint.order, self._progress, stop)
        self._children[part] = child
        return child

    def _make_room(self, files: Files) -> None:
        needed = files.size + BESIDE
        if needed > psutil.virtual_memory().available:
            _end_all(self._children)
        check_memory(files.size, files.checkpoint.name, files.model.type)


def _with_end(delta: Delta) -> Delta:
    """With the token that ended the reply counted, as other engines do: llama.cpp sends it only in whole replies."""
    unsent = delta.finish is Finish.STOP and not delta.text and not delta.tokens
    return replace(delta, tokens=1) if unsent else delta


def check_memory(size: float, name: str, kind: str) -> None:
    """`EngineError` where converted weights of so many bytes do not fit beside what uses the memory now."""
    needed, free = size + BESIDE, psutil.virtual_memory().available
    if needed > free:
        raise EngineError(
            "Expected about {size:.1f} GB of free memory for {name} in {kind}; there are {free:.1f} GB. Close what "
            "else uses it, or convert the weights to a smaller type.",
            size=needed / 1e9,
            name=name,
            kind=kind,
            free=free / 1e9,
        )


def _room(requests: Sequence[Request], max_pixels: int, sampling: Sampling) -> int:
    """Tokens that the longest of the questions and its answer may have."""
    photos = max(
        (sum(image_tokens(*photo.size, max_pixels) for photo in one.photos) for one in requests), default=0
    )
    return photos + QUESTION + sampling.max_new_tokens


def _end_all(children: "dict[str, _Child]") -> None:
    for child in children.values():
        child.end()
    children.clear()


class _Child:
    """One process of llama.cpp's server, watched by a thread that starts it and sees it end."""

    engine: EndpointEngine

    def __init__(self, files: Files, context: int, gpu: bool) -> None:
        self.files, self.context = files, context
        self._gpu = gpu
        self._key = secrets.token_urlsafe(24)
        self._process: subprocess.Popen[str] | None = None
        self._unwanted = False
        self._told: dict[str, str] = {}
        self._said: deque[str] = deque(maxlen=20)
        self._news = threading.Event()  # it told something, or ended
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="qinsight-llama", daemon=True)

    def start(self, order: Order, progress: Progress, stop: threading.Event | None) -> None:
        """Wait until it serves; `EngineError` says why it does not."""
        name = self.files.checkpoint.name
        words = Sentence("Starting llama.cpp with {name}", name=name)
        progress(words, None)
        with ExitStack() as unless_ready:
            unless_ready.callback(self.end)
            self._thread.start()
            while not self._news.wait(0.1):
                if stop is not None and stop.is_set():
                    raise Stopped("Stopped.")
                progress(words, self._loaded())
            if "address" not in self._told:
                self._ended.wait(10)
                raise self._refusal()
            self.engine = EndpointEngine.open(
                self._told["address"],
                api_key=self._key,
                patience=PATIENCE,
                order=order,
                max_pixels=self.files.checkpoint.max_pixels,
                repetition_penalty=self.files.penalty,
            )
            progress(words, 1.0)
            unless_ready.pop_all()

    def is_gone(self, within: float = 0) -> bool:
        return (self._process is not None and self._process.poll() is not None) or self._ended.wait(within)

    @property
    def end_in_words(self) -> Sentence:
        """How it ended."""
        code = self._process.returncode if self._process else None
        if code == -getattr(signal, "SIGKILL", 9):
            return Sentence("it was killed, perhaps for want of memory")
        return Sentence("exit code {code}", code=code)

    def end(self) -> None:
        """End it, and wait until it is gone."""
        self._unwanted = True  # if it is only about to be started
        if self._process is not None and self._process.poll() is None:
            self._process.kill()  # it keeps nothing
        if self._thread.is_alive():
            self._thread.join(10)

    def _watch(self) -> None:
        """Start it and read what it says, to its end: the system ends it if this very thread does before."""
        asked = {
            "parent": os.getpid(),
            "model": str(self.files.model.file.resolve()),
            "mmproj": str(self.files.mmproj.file.resolve()),
            "name": self.files.checkpoint.name,
            "key": self._key,
            "context": self.context,
            "exact": self.files.model.type == "f32",
            "gpu": self._gpu,
        }
        place = str(Path(__file__).parents[2])
        paths = os.pathsep.join(filter(None, (place, os.environ.get("PYTHONPATH"))))
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "qinsight.engines.llama"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={**PATIENT, **os.environ, "PYTHONPATH": paths, "PYTHONIOENCODING": "utf-8"},
                encoding="utf-8",
                errors="replace",
            )
            if self._unwanted:
                self._process.kill()
            self._talk(self._process, asked)
        except OSError as error:
            self._said.append(str(error))
        finally:
            self._ended.set()
            self._news.set()

    def _talk(self, process: "subprocess.Popen[str]", asked: dict[str, Any]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        with process:  # waits for it, too
            process.stdin.write(json.dumps(asked) + "\n")
            process.stdin.flush()
            for line in process.stdout:
                if line.startswith(LINE):
                    self._told = json.loads(line)["qinsight"]
                    self._news.set()
                elif line.strip():
                    self._said.append(line.strip())

    def _loaded(self) -> float | None:
        """How much of the weights is in memory, about."""
        if self._process is None:
            return None
        try:
            held = psutil.Process(self._process.pid).memory_info().rss
        except psutil.Error:
            return None
        return float(min(0.99, held / (self.files.size + BESIDE)))

    def _refusal(self) -> EngineError:
        code = self._process.returncode if self._process else None
        if code in ILLEGAL:
            return EngineError(
                "The installed {package} does not fit this processor, which lacks an instruction it needs. "
                "Build one that does: {command}",
                package=PACKAGE,
                command=BUILD,
            )
        # llama.cpp says the same several times; the line of the most colons goes furthest into it
        told = max(self._said, key=lambda line: line.count(": "), default="")
        told = told.partition(": ")[2] if told.count(": ") > 1 else ""
        causes = [told, self._told.get("error"), *reversed(self._said), self.end_in_words]
        cause = next(filter(None, causes))
        return EngineError(
            "The converted weights of {name} cannot be run: {cause}",
            name=self.files.checkpoint.name,
            cause=cause[:200],
        )
