"""The contact sheet: a ranking as one HTML file that asks for nothing else."""

import base64
import io
from collections.abc import Iterable
from datetime import date
from html import escape
from pathlib import Path

from PIL import Image

from qinsight.answers import Distortion
from qinsight.errors import PhotoError, QInsightError
from qinsight.photos import load_photo
from qinsight.ranking.rows import Row
from qinsight.ranking.tables import clean, inside, ranked, reasoning, replacing


def write_html(
    rows: Iterable[Row], path: Path, folder: Path, *, thumbnail: int = 240, note: str = ""
) -> None:
    """A contact sheet in one file that asks for nothing else: thumbnails, ratings, reasoning, then failures.

    `thumbnail` is the longest side in pixels, `note` a sentence about the whole at its end. A photo that can no longer be read is shown as the reason why.
    """
    if not 16 <= thumbnail <= 2048:
        raise QInsightError(f"expected thumbnails of 16 to 2048 pixels, got {thumbnail}")
    failed: list[Row] = []
    models: set[str] = set()
    passports: set[str] = set()
    with replacing(path) as file:
        file.write(_page_head(Path(folder).resolve().name, thumbnail))
        for rank, row in ranked(rows):
            models |= {row.model} if row.model else set()
            passports |= {row.app_passport} if row.app_passport else set()
            if rank is None:
                failed.append(row)
            else:
                file.write(_card(rank, row, folder, thumbnail))
        file.write(_page_foot(failed, models, passports, note))


_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882 }
* { box-sizing: border-box }
body { font: 16px/1.45 system-ui, sans-serif; margin: 0 auto; padding: 1rem; max-width: 110rem }
h1 { font-size: 1.4rem; margin: 0 0 1rem; overflow-wrap: anywhere }
main { display: grid; gap: 1rem; align-items: start;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, SIDEpx), 1fr)) }
article { border: 1px solid var(--line); border-radius: .6rem; overflow: hidden;
  content-visibility: auto; contain-intrinsic-size: auto 24rem }
article > :not(.photo) { margin: .4rem .7rem }
.photo { height: SIDEpx; background: var(--soft); display: grid; place-items: center }
.photo img { max-width: 100%; max-height: 100%; object-fit: contain; display: block }
.photo p { padding: 1rem; text-align: center; overflow-wrap: anywhere }
h2 { font-size: .95rem; font-weight: 600; overflow-wrap: anywhere; white-space: pre-wrap }
.score { font-size: 1.5rem; font-weight: 700; font-variant-numeric: tabular-nums }
.rank, small { opacity: .75 }
.best { display: inline-block; border: 1px solid; border-radius: 1rem; padding: 0 .6rem; font-size: .85rem }
details p, li { white-space: pre-wrap; overflow-wrap: anywhere }
summary { cursor: pointer; padding: .3rem 0 }
.filter { display: none }
body:has(.second) .filter { display: block; margin-bottom: 1rem }
body:has(#best:checked) .second { display: none }
footer { margin-top: 2rem; opacity: .75; overflow-wrap: anywhere }
@media print { .filter { display: none !important } article { break-inside: avoid; content-visibility: visible } }
"""


def _page_head(title: str, thumbnail: int) -> str:
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{_shown(title)} - Q-Insight</title>
<style>{_STYLE.replace("SIDE", str(thumbnail))}</style>
</head>
<body>
<h1>{_shown(title)}</h1>
<label class="filter"><input type="checkbox" id="best"> Only the best of each group</label>
<main>
"""


def _card(rank: int, row: Row, folder: Path, thumbnail: int) -> str:
    second = row.group is not None and not (row.best or row.bracket or row.pick == "picked")
    best = f'<p class="best">Best of group {row.group}</p>\n' if row.group is not None and row.best else ""
    if row.bracket:
        best = f'<p class="best">Bracket {row.group}</p>\n'
    details = f"<details><summary>Reasoning</summary><p>{_shown(reasoning(row))}</p></details>\n"
    return (
        f"<article{' class=second' if second else ''}>\n"
        f'<div class="photo">{_picture(row.photo, folder, thumbnail)}</div>\n'
        f"<h2><bdi>{_shown(row.photo)}</bdi></h2>\n"
        f'<p><span class="rank">{rank}.</span> {_rating(row)}</p>\n'
        f"<p>{_shown(_finding(row))}</p>\n{_said(row)}"
        f"{best}{_by_the_app(row)}{details if reasoning(row) else ''}</article>\n"
    )


def _said(row: Row) -> str:
    """What a person said of the photo, by key or by slider."""
    told = [str(row.pick or ""), "★" * (row.stars or 0)]
    return f"<p><strong>{' '.join(filter(None, told))}</strong></p>\n" if any(told) else ""


_SIGNS = {"accept": "▲", "reject": "▼", "look": "◆"}  # no colours


def _by_the_app(row: Row) -> str:
    """What the app adds, as its own: the interval and the heap."""
    told = []
    if row.app_low is not None:
        told.append(f"between {row.app_low:.1f} and {row.app_high:.1f}, nine times in ten")
    if row.app_heap:
        told.append(f"{_SIGNS.get(row.app_heap, '')} {row.app_heap}")
    return f"<p><small>The app: {_shown('; '.join(told))}</small></p>\n" if told else ""


def _picture(name: str, folder: Path, thumbnail: int) -> str:
    try:
        image = load_photo(inside(folder, name), max_pixels=4 * thumbnail**2)
    except (PhotoError, OSError) as error:
        return f'<p role="img" aria-label="{_shown(name)}">{_shown(str(error))}</p>'
    image.thumbnail((thumbnail, thumbnail), Image.Resampling.LANCZOS)
    jpeg = io.BytesIO()
    image.save(jpeg, "JPEG", quality=80, optimize=True)
    data = base64.b64encode(jpeg.getvalue()).decode()
    size = f'width="{image.width}" height="{image.height}"'
    return f'<img alt="{_shown(name)}" {size} decoding="async" src="data:image/jpeg;base64,{data}">'


def _rating(row: Row) -> str:
    expected, written = row.expected_rating, row.rating
    if expected is None and written is None:
        return "not rated"
    if expected is None:
        return f'<span class="score">{written:.2f}</span> <small>of 5, as written</small>'
    as_written = "" if written is None else f", written {written:.2f}"
    return f'<span class="score">{expected:.2f}</span> <small>of 5{as_written}</small>'


def _finding(row: Row) -> str:
    match row.distortion_class:
        case None:
            return "not diagnosed"
        case "null":
            return "no degradation"
        case fault:
            found = "underexposed" if fault == Distortion.DARKEN else fault
            return found if row.severity in (None, "null") else f"{found}, {row.severity}"


def _page_foot(failed: list[Row], models: set[str], passports: set[str], note: str) -> str:
    lines = (f"<li><b><bdi>{_shown(row.photo)}</bdi></b>: {_shown(row.error or '')}</li>\n" for row in failed)
    errors = f"<section>\n<h2>Not rated: {len(failed)}</h2>\n<ul>\n{''.join(lines)}</ul>\n</section>\n"
    rated_by = _shown(", ".join(sorted(models)) or "no model")
    told = f"<p>{_shown(note)}</p>\n" if note else ""
    served = "".join(f"<p>How the model is served: {_shown(words)}</p>\n" for words in sorted(passports))
    foot = f"<footer>Rated by {rated_by}. Made on {date.today()}.</footer>"
    return f"</main>\n{errors if failed else ''}{told}{served}{foot}\n</body>\n</html>\n"


def _shown(text: str) -> str:
    return escape(clean(text))
