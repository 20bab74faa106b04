"""What can be measured of a picture without a model: noise, blocks, edges, tones. Plain statistics, each in a unit."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
CELL = 8  # pixels, of a block and of a place that may be flat
WHITE = 1.4  # times its finest part: the whole contrast of a cell where only noise is; texture has more
LEAST_SHARE = 0.45  # of the cells must look like noise and nothing else before noise is believed in
MOST_ABOVE = 1.6  # times the flattest tenth
QUIET = 3 / 255  # where the flattest tenth has no more than that, there is no noise to be seen
LEAST_NOISE = 2 / 255  # below it nothing is told from rounding
BAND = 64  # rows that are looked at of every so many as a megapixel allows
PIXELS = 250_000  # enough for a statistic of cells
REACH = 4  # pixels to each side across which an edge is measured
LEAST_STEP = 0.08  # of the whole range, across an edge
LEAST_EDGES = 60


@dataclass(frozen=True)
class Measured:
    """What a picture's pixels say. None: there is no place where it could be measured.

    `noise` is the deviation in flat places, `unrest` all that varies in the flattest tenth of them (of luminance, but for
    slopes), which noise that was smoothed hides in, and `specks` the share of single pixels that stand out, `blocking` how far
    the 8 x 8 grid stands out, `flatness` the share of cells without any texture, `sharpness` the part of an edge's
    height that one pixel rises, of the strongest edges, in the softer direction; `brightness`, `shadows`, `highlights`
    and `contrast` are of the luminance from 0 to 1.
    """

    noise: float | None
    unrest: float
    specks: float
    blocking: float
    flatness: float
    sharpness: float | None
    brightness: float
    light: float
    shadows: float
    highlights: float
    contrast: float


def measure(photo: Image.Image) -> Measured:
    """Measure an RGB picture of any size; a view of a megapixel takes some hundredths of a second."""
    pixels = np.asarray(photo, np.float32) * np.float32(1 / 255)
    luma = pixels @ LUMA
    bands = [*_bands(luma.shape[0], luma.size)]
    fine = [_cells_of(luma[band]) for band in bands]
    colour = [_cells_of(pixels[band, :, 0] - pixels[band, :, 2]) for band in bands]
    # of a noise of deviation 1 in each of three colours, luminance has 0.67 and the difference of two 1.41
    seen = _seen(np.concatenate([np.ravel(_tones(luma[band])) for band in bands]))
    known = [level for level in (_noise(fine, seen, 0.67), _noise(colour, seen, 1.41)) if level is not None]
    sample, colours = luma[::2, ::2], pixels[::2, ::2]
    brightest = np.maximum(np.maximum(colours[..., 0], colours[..., 1]), colours[..., 2])
    dark, light = np.quantile(sample[::2, ::2], (0.05, 0.95))
    return Measured(
        noise=max(known) if len(known) == 2 or max(known, default=0) > QUIET else None,
        unrest=_unrest(fine, seen),
        specks=float(np.mean([_specks(pixels[band, :, 1]) for band in bands])),
        blocking=max(_blocking(luma), _blocking(luma.T)),
        flatness=_share(np.concatenate([np.ravel(finest) for finest, _ in fine]) < 0.6 / 255),
        sharpness=_sharpness(luma),
        brightness=float(sample.mean()),
        light=float(light),
        shadows=float((sample < 0.06).mean()),
        highlights=float((brightest > 0.985).mean()),
        contrast=float(light - dark),
    )


def _bands(rows: int, size: int) -> Iterator[slice]:
    """Every band of rows, or of a large picture every second, third and so on."""
    every = BAND * max(1, round(size / PIXELS))
    return (slice(start, min(start + BAND + 2, rows)) for start in range(0, max(1, rows - CELL - 1), every))


def _noise(cells: list[tuple[np.ndarray, np.ndarray]], seen: np.ndarray, gain: float) -> float | None:
    """The deviation of the noise in the cells that are `seen`; None where fine texture is everywhere, which is no noise.

    A cell holds nothing but noise where its contrast, less its slope, is that of its finest part: noise is as strong
    from pixel to pixel as across a cell, and texture is not, however fine and sharp. And noise is everywhere: there is
    no more of it than in the flattest tenth of the picture.
    """
    finest, whole = (np.concatenate([np.ravel(band[which]) for band in cells])[seen] for which in (0, 1))
    if not finest.size:
        return None
    noisy = (whole < WHITE * finest) & (finest > LEAST_NOISE)
    flattest = float(np.quantile(finest, 0.1))
    if noisy.mean() >= LEAST_SHARE:
        return min(float(np.quantile(finest[noisy], 0.2)), MOST_ABOVE * flattest) / gain
    most = flattest / gain  # what looks flat may be texture: this much noise at most
    return most if most < QUIET else None


def _unrest(cells: list[tuple[np.ndarray, np.ndarray]], seen: np.ndarray) -> float:
    """The deviation, but for its slope, of the flattest tenth of the cells that are `seen`."""
    whole = np.concatenate([np.ravel(deviation) for _, deviation in cells])[seen]
    return float(np.quantile(whole, 0.1)) if whole.size else 0.0


def _seen(tones: np.ndarray) -> np.ndarray:
    """Which cells are neither nearly black, where some noise vanishes, nor clipped at white."""
    seen: np.ndarray = (tones > 0.12) & (tones < 0.96)
    return seen if _share(seen) > 0.05 else np.ones(seen.shape, bool)


def _cells_of(plane: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of every cell the deviation of its finest part, as if it were white noise, and of all but its slope."""
    fine = _second(_second(plane, 0), 1)
    down, across = fine.shape[0] // CELL, fine.shape[1] // CELL
    if not down or not across:
        return np.empty(0, np.float32), np.empty(0, np.float32)
    finest = np.sqrt(_cells(fine * fine, down, across)) / 6  # of white noise of deviation 1: 6
    inside = plane[1:-1, 1:-1]
    whole = _cells(inside * inside, down, across) - _cells(inside, down, across) ** 2
    return finest, np.sqrt(np.maximum(whole - _slope(inside, down, across), 0))


def _tones(plane: np.ndarray) -> np.ndarray:
    """The mean of every cell of `_cells_of`."""
    down, across = (plane.shape[0] - 2) // CELL, (plane.shape[1] - 2) // CELL
    return _cells(plane[1:-1, 1:-1], down, across) if down > 0 and across > 0 else np.empty(0)


def _second(plane: np.ndarray, axis: int) -> np.ndarray:
    if axis == 0:
        bent: np.ndarray = plane[:-2] - 2 * plane[1:-1] + plane[2:]
    else:
        bent = plane[:, :-2] - 2 * plane[:, 1:-1] + plane[:, 2:]
    return bent


def _cells(plane: np.ndarray, down: int, across: int) -> np.ndarray:
    """The mean of every cell."""
    rows = np.add.reduceat(plane[:, : across * CELL], np.arange(0, across * CELL, CELL), axis=1)
    cells = np.add.reduceat(rows[: down * CELL], np.arange(0, down * CELL, CELL), axis=0)
    means: np.ndarray = cells / np.float32(CELL**2)
    return means


def _slope(plane: np.ndarray, down: int, across: int) -> np.ndarray:
    """How much of every cell's variance is that of a plane laid through it."""
    ramp = np.arange(CELL, dtype=np.float32) - (CELL - 1) / 2
    weight = np.float32((ramp**2).mean())
    right = _cells(plane[:, : across * CELL] * np.tile(ramp, across), down, across)
    below = _cells(plane[: down * CELL] * np.tile(ramp, down)[:, None], down, across)
    sloped: np.ndarray = (right**2 + below**2) / weight
    return sloped


def _share(true: np.ndarray) -> float:
    return float(true.mean()) if true.size else 0.0


def _specks(plane: np.ndarray) -> float:
    """The share of pixels that are far above all four neighbours, or far below."""
    here = plane[1:-1, 1:-1]
    around = (plane[:-2, 1:-1], plane[2:, 1:-1], plane[1:-1, :-2], plane[1:-1, 2:])
    high = np.maximum(np.maximum(around[0], around[1]), np.maximum(around[2], around[3]))
    low = np.minimum(np.minimum(around[0], around[1]), np.minimum(around[2], around[3]))
    return _share((here - high > 0.25) | (low - here > 0.25))


def _blocking(luma: np.ndarray) -> float:
    """How far the steps at the strongest of the eight phases of columns exceed their neighbours', wherever the grid begins."""
    steps = np.abs(luma[:, 1:] - luma[:, :-1])
    steps = np.minimum(steps, np.float32(0.1)).mean(0)  # a strong edge is none of a block
    if len(steps) < 4 * CELL:
        return 0.0
    excess = steps[1:-1] - np.maximum(steps[:-2], steps[2:])
    whole = len(excess) // CELL * CELL
    phases = np.median(excess[:whole].reshape(-1, CELL), 0)
    strongest = int(phases.argmax())
    others: np.ndarray = np.delete(phases, strongest)
    return float((phases[strongest] - np.median(others)) / (steps.mean() + 1e-3))


def _sharpness(luma: np.ndarray) -> float | None:
    found = [rise for rise in (_rise(luma), _rise(luma.T)) if rise is not None]
    return min(found) if found else None


def _rise(luma: np.ndarray) -> float | None:
    """Of the strongest edges along the rows, the part of their height that they rise from a pixel to the next."""
    width = 2 * REACH
    if luma.shape[1] <= 2 * width:
        return None
    steps = luma[:, 1:] - luma[:, :-1]
    height = np.abs(luma[:, width:] - luma[:, :-width])
    least = max(LEAST_STEP, float(np.quantile(height[::3, ::3], 0.97)))
    rows, columns = np.nonzero(height >= least)
    if len(rows) < LEAST_EDGES:
        return None
    every = max(1, len(rows) // 4000)
    rows, columns = rows[::every], columns[::every]
    window = np.abs(steps[rows[:, None], columns[:, None] + np.arange(width)])
    high = height[rows, columns]
    straight = window.sum(1) < 1.25 * high  # one edge, nothing beside it
    if straight.sum() < LEAST_EDGES / 2:
        straight = np.ones_like(straight)
    return float(np.quantile((window.max(1) / high)[straight], 0.75))
