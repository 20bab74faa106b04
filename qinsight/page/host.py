"""The model behind the page: loaded while the page already shows, asked by one visitor after the other."""

import gc
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from qinsight.assess import Asked
from qinsight.check.named import Named
from qinsight.engines.ability import Ability
from qinsight.engines.checkpoint import Progress
from qinsight.errors import EngineError, QInsightError, RequestFailed, Stopped
from qinsight.page.line import GLANCE, Job, Line
from qinsight.page.recordings import Recordings
from qinsight.requests import GREEDY, MAX_PIXELS, About, Delta, Engine, Request, Sampling
from qinsight.sentence import Sentence
from qinsight.trust.calibration import Calibration
from qinsight.trust.confidence import confidence

State = TypeVar("State")

RELOAD_AFTER = 600  # seconds after a reload in which a crash does not lead to another


class Host:
    """Loads an engine in the background, lets visitors wait for it, and stands them in line."""

    def __init__(
        self,
        open_engine: Callable[[Progress], Engine],
        line: Line | None = None,
        recordings: Recordings | None = None,
        at_once: int = 1,
        max_pixels: int | None = None,
        calibration: Callable[[About], Calibration | None] = lambda about: None,
        able: Callable[[About], Ability | None] = lambda about: None,
        passport: Callable[[About], Named | None] = lambda about: None,
    ) -> None:
        self._open = open_engine
        self._calibrated = calibration  # finds what is known of the model that answers
        self.calibration: Calibration | None = None
        self._able = able  # what could answer here instead
        self.ability: Ability | None = None
        self._checked = passport  # finds what a check has said of the model that answers
        self.passport: Named | None = None
        self.line = Line() if line is None else line
        self._at_once = at_once  # questions in this process
        self._max_pixels = max_pixels  # instead of the model's own
        self.recordings = recordings  # said again instead of asking
        self._ready = threading.Event()
        self._engine: Engine | None = None
        self._error: Sentence | None = None
        self._reloaded = -float(RELOAD_AFTER)
        self._crashes = threading.Lock()
        self.words = Sentence("Looking for the model")
        self.done: float | None = None

    def start(self) -> None:
        """Begin to load; returns at once."""
        threading.Thread(target=self.load, name="qinsight-load", daemon=True).start()

    def load(self) -> None:
        """Load the model; visitors wait meanwhile."""
        try:
            engine = self._open(self._progress)
            self.line.at_once = max(self._at_once, engine.about.in_flight // 2)  # a photo is two questions
            self.calibration = self._calibrated(engine.about.at(self._max_pixels))
            self.ability = self._able(engine.about)
            self.passport = self._checked(engine.about.at(self._max_pixels))
            self._engine = engine
            if engine.about.idle_gpu:
                print(  # noqa: T201
                    f"A GPU was expected and could not be used because {engine.about.idle_gpu}.",
                    file=sys.stderr,
                    flush=True,
                )
            if engine.about.advice:
                print(engine.about.advice, file=sys.stderr, flush=True)  # noqa: T201
        except QInsightError as error:
            self._error = error.sentence
            print(f"The model cannot answer: {error}", file=sys.stderr, flush=True)  # noqa: T201
        except BaseException as error:  # raised again: visitors must not wait for a model that never comes
            self._error = Sentence(
                "The model could not be loaded ({kind}). The terminal says more.", kind=type(error).__name__
            )
            raise
        finally:
            self._ready.set()

    def _progress(self, words: Sentence, done: float | None) -> None:
        self.words, self.done = words, done

    @property
    def loading(self) -> bool:
        return not self._ready.is_set()

    @property
    def status(self) -> Sentence:
        """What to tell a visitor while the model loads, or why it did not; empty when it is ready."""
        if self._error:
            return self._error
        if not self.loading:
            return Sentence("")
        if self.done is None:
            return Sentence("{doing} …", doing=self.words)
        return Sentence("{doing}, {done:.0%} …", doing=self.words, done=self.done)

    @property
    def about(self) -> About | None:
        """What answers, once it is there, with the size at which photos are shown to it here."""
        engine = self._engine
        return engine.about.at(self._max_pixels) if engine else None

    @property
    def max_pixels(self) -> int:
        """The size at which photos are shown to the model; while that is not known, the usual one."""
        about = self.about
        return about.max_pixels if about else self._max_pixels or MAX_PIXELS

    def sure(self, asked: Asked, sampling: Sampling) -> dict[str, Any] | None:
        """What the app may say beside a greedy answer; None where nothing is known of its model."""
        return None if sampling.temperature else confidence(self.calibration, asked)

    def wait(self, job: Job, told: Callable[[Sentence], State]) -> Generator[State, None, Engine]:
        """Take the job on, yield what is `told` of the status until the engine is ready, and return it as the job's.

        What is asked of that engine waits for the job's turn in line, and ends with the job.
        `LineFull` or `TooMany` if there is no room for the job, `EngineError` if there is no model.
        """
        self.line.enter(job)
        for status in self._loading(job.stopped):
            yield told(status)
        return _EngineOfJob(self, job, self.loaded(job.stopped).about.at(self._max_pixels))

    def loaded(self, stop: threading.Event) -> Engine:
        """The engine itself, waited for if it is being loaded; `EngineError` if there is none."""
        for _ in self._loading(stop):
            pass
        if self._engine is None:
            raise EngineError(self._error or "The model could not be loaded.")
        return self._engine

    def _loading(self, stop: threading.Event) -> Iterator[Sentence]:
        while not self._ready.wait(GLANCE):
            if stop.is_set():
                raise Stopped("Stopped.")
            yield self.status

    def crashed(self, broken: Engine, error: Exception) -> EngineError:
        """Report a crash of the model and load it again, once in a while; returns what to tell the visitor."""
        print(f"The model crashed ({type(error).__name__}):", file=sys.stderr)  # noqa: T201
        # Without the message, which may hold words about a visitor's photo.
        traceback.print_tb(error.__traceback__)
        with self._crashes:
            again = self.loading  # by another's crash; a reload may be over before this visitor is told
            if self._engine is broken and time.monotonic() - self._reloaded >= RELOAD_AFTER:
                self._reloaded = time.monotonic()
                self.words, self.done = Sentence("The model crashed and is being loaded again"), None
                self._engine = None
                self._ready.clear()
                again = True
                threading.Thread(target=self._reload, name="qinsight-load", daemon=True).start()
        if again:
            return EngineError(
                "The model crashed on this question and is being loaded again. Ask again in a minute."
            )
        return EngineError("The model crashed on this question. Try another photo, or a smaller copy.")

    def _reload(self) -> None:
        gc.collect()  # the broken one's memory, before the next needs it
        self.load()


@dataclass(frozen=True)
class _EngineOfJob:
    """The host's engine as one job has it: whatever the job asks waits for its turn in line."""

    host: Host
    job: Job
    about: About

    def stream(
        self,
        requests: Sequence[Request],
        sampling: Sampling = GREEDY,
        *,
        max_pixels: int | None = None,
        stop: threading.Event | None = None,
        watched: bool = True,
    ) -> Iterator[Delta]:
        """See `qinsight.requests.Engine.stream`; without a `stop` of its own a question ends with the job."""
        stop, limit = stop or self.job.stopped, self.about.at(max_pixels).max_pixels
        with self.host.line.turn(self.job, stop):
            engine = self.host.loaded(stop)
            try:
                yield from engine.stream(requests, sampling, max_pixels=limit, stop=stop, watched=watched)
            except QInsightError:
                raise
            except MemoryError as error:
                raise RequestFailed(
                    "The model ran out of memory on this photo. Try a smaller copy."
                ) from error
            except Exception as error:  # noqa: BLE001 - whatever it is, the next visitor is to be served
                problem = self.host.crashed(engine, error)
            else:
                return
        raise problem  # outside the except clause: the old traceback would keep the broken model in memory
