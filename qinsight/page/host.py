"""The model behind the page: loaded while the page already shows, asked by one visitor at a time."""

import sys
import threading
from collections.abc import Callable, Iterator

from qinsight.checkpoint import Progress
from qinsight.errors import EngineError, QInsightError, Stopped
from qinsight.requests import Engine


class Host:
    """Loads an engine in the background and lets visitors wait for it."""

    def __init__(self, open_engine: Callable[[Progress], Engine]) -> None:
        self._open = open_engine
        self._ready = threading.Event()
        self._engine: Engine | None = None
        self._error: str | None = None
        self.words = "Looking for the model"
        self.done: float | None = None

    def start(self) -> None:
        """Begin to load; returns at once."""
        threading.Thread(target=self._load, name="qinsight-load", daemon=True).start()

    def _load(self) -> None:
        try:
            self._engine = self._open(self._progress)
        except QInsightError as error:
            self._error = str(error)
            print(f"The model cannot answer: {error}", file=sys.stderr, flush=True)  # noqa: T201
        except BaseException as error:  # raised again: visitors must not wait for a model that never comes
            self._error = f"The model could not be loaded ({type(error).__name__}). The terminal says more."
            raise
        finally:
            self._ready.set()

    def _progress(self, words: str, done: float | None) -> None:
        self.words, self.done = words, done

    @property
    def loading(self) -> bool:
        return not self._ready.is_set()

    @property
    def status(self) -> str:
        """What to tell a visitor while the model loads, or why it did not; empty when it is ready."""
        if self._error:
            return self._error
        if self.loading:
            return self.words + (f", {self.done:.0%}" if self.done is not None else "") + " …"
        return ""

    @property
    def engine(self) -> Engine | None:
        """The engine, once it is there."""
        return self._engine

    def wait(self, stop: threading.Event) -> Iterator[str]:
        """Yields the status until the engine is ready; `EngineError` if it could not be loaded."""
        while not self._ready.wait(0.1):
            if stop.is_set():
                raise Stopped("Stopped.")
            yield self.status
        if self._engine is None:
            raise EngineError(self._error or "The model could not be loaded.")
