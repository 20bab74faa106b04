"""Our scripts and styles as they are sent: what is there for who reads them is left out."""

import re
from pathlib import Path

_COMMENT = re.compile(r"(^|\s)// [^\"'`]*$")  # to the end of a line, where no text of the script has one


def script(name: str) -> str:
    """A script of this folder without its indentation, its comments, and line ends where no statement ends."""
    told = (_COMMENT.sub("", line.strip()) for line in _read(name).splitlines())
    lines = "".join(f"{line}\n" for line in told if line and not line.startswith("// "))
    return re.sub(r"(?<=[,;{(])\n", "", lines)


def style(name: str) -> str:
    """A style sheet of this folder, a rule a line."""
    told = re.sub(r"\s+", " ", _read(name))
    close = re.sub(r" ?([{};:,]) ", r"\1", told).replace(" {", "{").replace(";}", "}")
    return close.replace("}", "}\n").strip()


def _read(name: str) -> str:
    return (Path(__file__).parent / name).read_text(encoding="utf-8")
