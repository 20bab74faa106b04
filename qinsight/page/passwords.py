"""Who may open the page: names and passwords from a file, asked for by Gradio's own login."""

from pathlib import Path

from qinsight.errors import QInsightError
from qinsight.hosts import loopback

LONGEST = 1 << 20  # bytes of a file of passwords


def read_passwords(path: Path) -> list[tuple[str, str]]:
    """The pairs of a file with `name:password` on each line; `QInsightError` says which line is none."""
    pairs: dict[str, str] = {}
    for number, line in enumerate(_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        name, colon, password = line.partition(":")
        name = name.strip()  # as Gradio does with the name that is typed
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
