"""The memory of a run: a file of JSON lines to which one process adds, and of which a kill loses nothing."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, Self

from qinsight.errors import QInsightError
from qinsight.json_lines import Line, as_bytes, json_object, whole_lines
from qinsight.whole_files import hold, sweep, whole_file


class Ledger:
    """Lines that are on the disk when `add` returns, found again by their `key`.

    Opened, the file keeps of earlier runs what is whole and `kept`, the last line of each `name`; closed, it has
    one line of each name too. `read` gives a line as it is kept, or `ValueError` where it is none.
    """

    def __init__(
        self,
        path: Path,
        read: Callable[[Line], Line],
        *,
        name: str,
        key: str,
        kept: Callable[[Line], bool] = lambda line: True,
    ) -> None:
        self.path = path
        self._read, self._name, self._key, self._kept = read, name, key, kept
        self._places: dict[str, int] = {}  # of the lines in the file, by their key
        self._names: set[str] = set()
        self._repeated = False

    def __enter__(self) -> Self:
        with ExitStack() as opened, self._told():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if not hold(opened.enter_context((self.path.parent / ".lock").open("wb"))):
                raise QInsightError(
                    "Another run is writing to {out}. Wait for it, or choose another folder.",
                    out=self.path.parent,
                )
            sweep(self.path.parent)
            self._rewrite(filter(self._kept, whole_lines(self.path, self._read)))
            self._file: BinaryIO = opened.enter_context(self.path.open("ab"))
            self._open = opened.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        with self._open, self._told():
            self._file.close()
            if self._repeated:
                self._rewrite(whole_lines(self.path, self._read))

    def _rewrite(self, lines: Iterable[Line]) -> None:
        last = {line[self._name]: line for line in lines}
        self._names = set(last)
        with whole_file(self.path) as file:
            for line in last.values():
                self._places[line[self._key]] = file.tell()
                file.write(as_bytes(line))

    def __len__(self) -> int:
        return len(self._places)

    def get(self, key: str) -> Line | None:
        """The last line with this key, unless it is not `kept`."""
        if key not in self._places:
            return None
        with self.path.open("rb") as file:
            file.seek(self._places[key])
            return self._read(json_object(file.readline()))

    def add(self, line: Line) -> None:
        """Add a line; `QInsightError` if the disk refuses it."""
        with self._told():
            place = self._file.seek(0, os.SEEK_END)
            self._file.write(as_bytes(line))
            self._file.flush()
            os.fsync(self._file.fileno())
        if self._kept(line):
            self._places[line[self._key]] = place
        self._repeated |= line[self._name] in self._names
        self._names.add(line[self._name])

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise QInsightError(
                "Results cannot be written to {place}: {cause}. What was finished is kept; run the same command again.",
                place=self.path.parent,
                cause=error.strerror or error,
            ) from error
