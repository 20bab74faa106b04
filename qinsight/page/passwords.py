"""Who may open the page: names and passwords from a file, asked for by Gradio's own login, which counts no tries."""

import hmac
import time
import unicodedata
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from pathlib import Path

from qinsight.errors import QInsightError
from qinsight.hosts import loopback

LONGEST = 1 << 20  # bytes of a file of passwords
TRIES, WITHIN = 20, 300.0  # failed logins of one address, in seconds
ADDRESSES = 10_000  # remembered at a time


class Tries:
    """How often each address tried in vain to log in of late."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._tried: OrderedDict[str, deque[float]] = OrderedDict()

    def again_in(self, address: str) -> float:
        """Count a try; the seconds to wait before another is heard, 0 where this one is."""
        now, tried = self._clock(), self._tried.setdefault(address, deque())
        self._tried.move_to_end(address)
        while tried and tried[0] <= now - WITHIN:
            tried.popleft()
        if len(tried) >= TRIES:
            return tried[0] + WITHIN - now
        tried.append(now)
        if len(self._tried) > ADDRESSES:
            self._tried.popitem(last=False)
        return 0.0

    def succeeded(self, address: str) -> None:
        """The try counted last was none in vain."""
        if tried := self._tried.get(address):
            tried.pop()


def who_may(pairs: Iterable[tuple[str, str]]) -> Callable[[str, str], bool]:
    """Whether a name and a password are one of the pairs, however their accents were typed."""
    known = {_composed(name): _composed(password).encode() for name, password in pairs}

    def may(name: str, password: str) -> bool:
        right = known.get(_composed(name))
        typed = _composed(password).encode(errors="replace")
        return hmac.compare_digest(typed, right or b"") and right is not None

    return may


def _composed(text: str) -> str:
    """With an accent and its letter in one, as most keyboards send them and macOS does not store them."""
    return unicodedata.normalize("NFC", text)


def read_passwords(path: Path) -> list[tuple[str, str]]:
    """The pairs of a file with `name:password` on each line; `QInsightError` says which line is none.

    Lines that begin with `#` are comments.
    """
    pairs: dict[str, str] = {}
    for number, line in enumerate(_text(path).splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, colon, password = line.partition(":")
        name = _composed(name.strip())  # as Gradio does with the name that is typed
        if not (name and colon and password):
            raise QInsightError(
                "Expected name:password in line {number} of {path}; it is no such pair.",
                number=number,
                path=path,
            )
        if name in pairs:
            raise QInsightError(
                "Expected every name once in {path}; line {number} has one a second time.",
                number=number,
                path=path,
            )
        pairs[name] = password
    if not pairs:
        raise QInsightError("Expected name:password on each line of {path}; it is empty.", path=path)
    return list(pairs.items())


def _text(path: Path) -> str:
    try:
        if path.exists() and not path.is_file():  # a pipe may never be written to
            raise ValueError("it is no regular file")
        with path.open("rb") as file:
            content = file.read(LONGEST + 1)
        if len(content) > LONGEST:
            raise QInsightError(
                "Expected a file of at most 1 MB with passwords; {path} is larger.", path=path
            )
        return content.decode("utf-8-sig")
    except (OSError, ValueError) as error:  # ValueError: no UTF-8
        cause = getattr(error, "strerror", None) or error
        raise QInsightError(
            "Expected a readable file of lines name:password; {path} is not one ({cause}).",
            path=path,
            cause=cause,
        ) from error


def is_open_to_others(address: str, share: bool) -> bool:
    """Whether a page at this address can be reached from elsewhere."""
    return share or not loopback(address)
