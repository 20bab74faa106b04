"""Four families of degradation in five levels, each with the opinion people gave to its like in KADID-10k.

Kinds and levels follow the generator behind Q-Insight's degradation data (DepictQA): a level is a physical
strength, and between two levels the strength moves on a logarithmic scale. The mean opinion score of a
strength is read off KADID-10k's table, averaged over photos: a pseudo-MOS, nobody looked at these photos.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from qinsight.answers import Distortion, Severity
from qinsight.trust.harms import convolve, disc, line
from training.data.examples import NULL

DISTORTIONS = tuple(map(str, Distortion))
SEVERITIES = tuple(map(str, Severity))

# KADID-10k's Gaussian blur of level 1 (sigma 0.1) cannot be seen: what people give to an untouched photo.
CLEAN_MOS = 4.6

JITTER = 0.25  # of a level: a severity is a band of strengths, not five fixed ones

KADID = json.loads((Path(__file__).parent / "kadid10k_mos_by_distortion.json").read_text())["types"]


@dataclass(frozen=True)
class Degraded:
    """A photo after one degradation (or none): what was done, how strongly, and what people think of that."""

    image: Image.Image
    distortion_class: str
    severity: str
    mos: float
    kind: str = "none"
    strength: float = 0.0
    diagnosed: bool = True  # False where the four classes and null do not say what is wrong


@dataclass(frozen=True)
class Kind:
    """One way to degrade: its strengths at levels 1 to 5, and the KADID-10k type that tells what people think.

    `kadid_strengths` are KADID-10k's own five strengths on the same scale. Without them the scales differ
    (or are not published) and level is matched with level.
    """

    distortion: str
    strengths: tuple[float, ...]
    kadid: str
    apply: Callable[[np.ndarray, float, np.random.Generator], np.ndarray]
    kadid_strengths: tuple[float, ...] | None = None


def degrade(
    photo: Image.Image, distortion: str, level: int, rng: np.random.Generator, *, kind: str | None = None
) -> Degraded:
    """Degrade a photo by `distortion` at `level` 1 (slight) to 5 (catastrophic), by a random or a named kind."""
    if distortion not in DISTORTIONS:
        raise ValueError(f"expected one of {', '.join(DISTORTIONS)}; got {distortion!r}")
    if not 1 <= level <= 5:
        raise ValueError(f"expected a level from 1 to 5, got {level}")
    kinds = [name for name, known in KINDS.items() if known.distortion == distortion]
    if kind is None:
        kind = str(rng.choice(kinds))
    elif kind not in kinds:
        raise ValueError(f"expected a kind of {distortion} ({', '.join(kinds)}); got {kind!r}")
    # Within the scale: cut off at its ends, half of all slight views would share one strength and one opinion.
    at = level + rng.uniform(max(-JITTER, 1 - level), min(JITTER, 5 - level))
    return degrade_at(photo, kind, float(at), rng)


def degrade_at(photo: Image.Image, kind: str, position: float, rng: np.random.Generator) -> Degraded:
    """Degrade a photo by `kind` with the strength at `position`, 1 to 5 and between; the nearest level names it."""
    degraded = degrade_with(photo, kind, _strength_at(KINDS[kind], position), rng)
    return replace(degraded, severity=SEVERITIES[round(position) - 1])


def degrade_with(photo: Image.Image, kind: str, strength: float, rng: np.random.Generator) -> Degraded:
    """Degrade a photo by `kind` with a physical strength, on the scale of KINDS; named slight."""
    known = KINDS[kind]
    pixels = np.asarray(photo.convert("RGB"), np.float32) / 255
    changed = known.apply(pixels, strength, rng)
    image = Image.fromarray((np.clip(changed, 0, 1) * 255 + 0.5).astype(np.uint8))
    return Degraded(image, known.distortion, SEVERITIES[0], opinion(kind, strength), kind, strength)


def leave_clean(photo: Image.Image) -> Degraded:
    """The photo as it is, with the labels of an untouched photo."""
    return Degraded(photo.convert("RGB"), NULL, NULL, CLEAN_MOS)


def opinion(kind: str, strength: float) -> float:
    """The mean opinion score, 1 to 5, of a photo degraded by `kind` at `strength`."""
    known = KINDS[kind]
    scores = np.array(KADID[known.kadid]["mos"])
    own = known.kadid_strengths or known.strengths
    scale, at = np.log(np.array(own, float)), np.log(strength)
    if scale[0] > scale[-1]:
        scale, at = -scale, -at
    if at > scale[-1]:  # stronger than anything KADID-10k showed: go on along its last step
        score = scores[-1] + (scores[-1] - scores[-2]) / (scale[-1] - scale[-2]) * (at - scale[-1])
    else:
        score = np.interp(at, scale, scores)
    return float(np.clip(score, 1, CLEAN_MOS))


def _strength_at(kind: Kind, position: float) -> float:
    return float(np.exp(np.interp(position, range(1, 6), np.log(kind.strengths))))


def _white_noise(photo: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    return photo + sigma * rng.standard_normal(photo.shape, np.float32)


def _colour_noise(photo: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    blue, red = sigma * rng.standard_normal((2, *photo.shape[:2]), np.float32)
    return photo + np.stack([1.402 * red, -0.344 * blue - 0.714 * red, 1.772 * blue], -1)


def _multiplicative_noise(photo: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    return photo * (1 + sigma * rng.standard_normal(photo.shape, np.float32))


def _impulse_noise(photo: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    draw = rng.random(photo.shape, np.float32)
    return np.where(draw < share / 2, 0, np.where(draw < share, 1, photo))


def _jpeg(photo: np.ndarray, quality: float, rng: np.random.Generator) -> np.ndarray:
    return _through_file(photo, "JPEG", quality=round(quality))


def _jpeg2000(photo: np.ndarray, decibel: float, rng: np.random.Generator) -> np.ndarray:
    return _through_file(photo, "JPEG2000", quality_mode="dB", quality_layers=[decibel], irreversible=True)


def _webp(photo: np.ndarray, quality: float, rng: np.random.Generator) -> np.ndarray:
    return _through_file(photo, "WEBP", quality=round(quality) - 1, method=0)


def _through_file(photo: np.ndarray, file_format: str, **options: object) -> np.ndarray:
    file = BytesIO()
    Image.fromarray((photo * 255 + 0.5).astype(np.uint8)).save(file, file_format, **options)
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB"), np.float32) / 255


def _gaussian_blur(photo: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    return ndimage.gaussian_filter(photo, (sigma, sigma, 0), truncate=3)


def _lens_blur(photo: np.ndarray, radius: float, rng: np.random.Generator) -> np.ndarray:
    return convolve(photo, disc(radius))


def _motion_blur(photo: np.ndarray, length: float, rng: np.random.Generator) -> np.ndarray:
    return convolve(photo, line(length, rng.uniform(0, np.pi)))


def _gamma(photo: np.ndarray, exponent: float, rng: np.random.Generator) -> np.ndarray:
    return photo**exponent


def _underexpose(photo: np.ndarray, factor: float, rng: np.random.Generator) -> np.ndarray:
    return photo * factor


def _shift_down(photo: np.ndarray, amount: float, rng: np.random.Generator) -> np.ndarray:
    return photo - amount


# KADID-10k's noise is given as a variance; here it is its square root, a standard deviation.
KINDS = {
    "white_noise": Kind(
        "noise", (0.05, 0.1, 0.15, 0.2, 0.25), "11", _white_noise, (0.0316, 0.0447, 0.0548, 0.0707, 0.1)
    ),
    "colour_noise": Kind("noise", (0.05, 0.08, 0.12, 0.17, 0.22), "12", _colour_noise),
    "impulse_noise": Kind(
        "noise", (0.01, 0.02, 0.035, 0.06, 0.1), "13", _impulse_noise, (0.001, 0.005, 0.01, 0.02, 0.03)
    ),
    "multiplicative_noise": Kind(
        "noise",
        (0.14, 0.2, 0.27, 0.34, 0.42),
        "14",
        _multiplicative_noise,
        (0.0316, 0.0707, 0.1, 0.1414, 0.2236),
    ),
    "jpeg": Kind("compression", (25, 18, 12, 8, 5), "10", _jpeg, (43, 36, 24, 7, 4)),
    "jpeg2000": Kind("compression", (29, 27.5, 26, 24.5, 23), "09", _jpeg2000),
    "webp": Kind("compression", (15, 9, 5, 3, 1), "10", _webp),
    "gaussian_blur": Kind("blur", (1, 2, 3, 4, 5), "01", _gaussian_blur, (0.1, 0.5, 1, 2, 5)),
    "lens_blur": Kind("blur", (2, 3, 4.5, 6, 8), "02", _lens_blur, (1, 2, 4, 6, 8)),
    "motion_blur": Kind("blur", (5, 8, 12, 16, 22), "03", _motion_blur, (3, 5, 9, 13, 21)),
    "gamma": Kind("darken", (1.35, 1.7, 2.2, 3.0, 4.2), "17", _gamma),
    "underexposure": Kind("darken", (0.75, 0.6, 0.45, 0.32, 0.2), "17", _underexpose),
    "shift": Kind("darken", (0.1, 0.18, 0.26, 0.36, 0.48), "17", _shift_down),
}
