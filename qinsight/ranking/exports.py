"""The files in which a ranking leaves: one table, which the command line and the page follow."""

from collections.abc import Callable, Sequence
from pathlib import Path

from qinsight.ranking.contact_sheet import write_html
from qinsight.ranking.rows import Row
from qinsight.ranking.tables import write_csv, write_jsonl

Writer = Callable[[Sequence[Row], Path, Path, str], None]
"""Writes rows to a file; the photos' folder and a note on what was left out are for those who show them."""

EXPORTS: dict[str, Writer] = {
    "ranking.csv": lambda rows, path, *_: write_csv(rows, path),
    "ranking.jsonl": lambda rows, path, *_: write_jsonl(rows, path),
    "contact-sheet.html": lambda rows, path, folder, note: write_html(rows, path, folder, note=note),
}


def write_exports(rows: Sequence[Row], out: Path, folder: Path, note: str) -> list[Path]:
    """Every export of the rows of `folder`, written into `out`."""
    for name, write in EXPORTS.items():
        write(rows, out / name, folder, note)
    return [out / name for name in EXPORTS]
