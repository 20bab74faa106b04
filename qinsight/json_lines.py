"""JSON lines: one object a line. Names of files that are not UTF-8 survive being written and read."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from qinsight.errors import QInsightError

Line = dict[str, Any]
Read = TypeVar("Read")


def as_bytes(line: Line) -> bytes:
    """The line in UTF-8, which holds no half surrogates: they are written as escapes."""
    return json.dumps(line, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"


def json_object(text: str | bytes) -> Line:
    """The object in a line; `ValueError` where there is none. Earlier versions wrote half surrogates as they are."""
    try:
        text = text.decode("utf-8", "surrogatepass") if isinstance(text, bytes) else text
        value = parsed(text)
    except ValueError as error:
        raise ValueError(f"expected one JSON object a line: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"expected a JSON object, got {text.strip()[:60]}")
    return value


def whole_lines(path: Path, read: Callable[[Line], Read]) -> Iterator[Read]:
    """The lines of a run's own file, as `read` reads them; a last one torn by a kill is passed over."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, text in enumerate(file, start=1):
            if not text.endswith(b"\n"):
                return
            try:
                line = read(json_object(text))
            except (ValueError, TypeError) as error:
                raise QInsightError(
                    "Expected a result in line {number} of {path}; it cannot be read ({error}). Move the file away to begin anew.",
                    number=number,
                    path=path,
                    error=error,
                ) from error
            yield line


def parsed(text: str) -> Any:
    """A JSON value; `ValueError` where an object says one thing twice, of which `json` would take the last."""
    return json.loads(text, object_pairs_hook=_said_once)


def _said_once(pairs: list[tuple[str, Any]]) -> Line:
    refuse_twice([name for name, _ in pairs], "key")
    return dict(pairs)


def refuse_twice(names: Sequence[str], kind: str) -> None:
    """`ValueError` where two names differ in capitals and spaces at most."""
    counted = Counter(name.strip().casefold() for name in names)
    if doubled := [name for name, count in counted.items() if count > 1]:
        raise ValueError(f"expected every {kind} once, got {', '.join(doubled)} {counted[doubled[0]]} times")
