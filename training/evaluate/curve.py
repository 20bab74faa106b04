"""Curves as a PNG, with nothing but Pillow: one panel for each measure, one line for each series in it."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

Points = Sequence[tuple[float, float]]
WIDTH, HEIGHT = 640, 300
LEFT, TOP, BOTTOM, RIGHT = 64, 34, 40, 20
INKS = ("#1f5fa8", "#c44e2a", "#2f7d4a", "#7a4ea0", "#8a6d1d", "#3b7f8c", "#a83a63", "#555555")


def draw(panels: Mapping[str, Mapping[str, Points]], across: str, path: Path) -> bool:
    """Write the panels that have a point, below each other; False, and no file, where none has."""
    told = {
        title: {name: _finite(points) for name, points in lines.items() if _finite(points)}
        for title, lines in panels.items()
    }
    told = {title: lines for title, lines in told.items() if lines}
    if not told:
        return False
    picture = Image.new("RGB", (WIDTH, HEIGHT * len(told)), "white")
    for number, (title, lines) in enumerate(told.items()):
        panel = Image.new("RGB", (WIDTH, HEIGHT), "white")
        _panel(ImageDraw.Draw(panel), title, lines, across)
        picture.paste(panel, (0, HEIGHT * number))
    picture.save(path, format="PNG")
    return True


def _finite(points: Points) -> list[tuple[float, float]]:
    return sorted((x, y) for x, y in points if math.isfinite(x) and math.isfinite(y))


def _panel(pen: ImageDraw.ImageDraw, title: str, lines: Mapping[str, Points], across: str) -> None:
    xs = _range([x for points in lines.values() for x, _ in points])
    ys = _range([y for points in lines.values() for _, y in points])
    pen.text((LEFT, 8), title, fill="black", font=_font(15))
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        height = _place(share, 0, 1, HEIGHT - BOTTOM, TOP)
        pen.line((LEFT, height, WIDTH - RIGHT, height), fill="#dddddd")
        pen.text((6, height - 7), _short(ys[0] + share * (ys[1] - ys[0])), fill="#444444", font=_font(12))
        wide = _place(share, 0, 1, LEFT, WIDTH - RIGHT)
        pen.text(
            (wide - 8, HEIGHT - BOTTOM + 4),
            _short(xs[0] + share * (xs[1] - xs[0])),
            fill="#444444",
            font=_font(12),
        )
    pen.text((WIDTH // 2 - 20, HEIGHT - 18), across, fill="#444444", font=_font(12))
    for number, (name, points) in enumerate(lines.items()):
        ink = INKS[number % len(INKS)]
        places = [
            (_place(x, *xs, LEFT, WIDTH - RIGHT), _place(y, *ys, HEIGHT - BOTTOM, TOP)) for x, y in points
        ]
        if len(places) > 1:
            pen.line(places, fill=ink, width=2, joint="curve")
        for x, y in places if len(places) <= 40 else places[-1:]:
            pen.ellipse((x - 3, y - 3, x + 3, y + 3), fill=ink)
        pen.text(
            (LEFT + 150 + 150 * (number % 3), 8 + 14 * (number // 3)), name[:22], fill=ink, font=_font(12)
        )


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _place(value: float, low: float, high: float, start: float, end: float) -> float:
    return start + (value - low) / (high - low) * (end - start)


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or value == round(value) else f"{value:.3g}"


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
