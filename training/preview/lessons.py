"""What the preview checkpoint is taught: a view of a photo, what can be measured in it, and a reply in words.

A lesson is drawn from nothing but the photos and a seed. Several degradations of one view come together,
so that the difference between them is the degradation and never the subject.
"""

from dataclasses import dataclass, replace
from itertools import zip_longest

import numpy as np
from PIL import Image

from qinsight.photos.view import TOKEN
from training.data.crops import LUMA, draw_crop, draw_lesson, fit, has_texture, roughness
from training.data.degrade import (
    SEVERITIES,
    Degraded,
)
from training.data.faults import FAULTS, OTHER, dim, shallow_focus, soften

CUES = (
    "noise",
    "grain",
    "chroma",
    "specks",
    "blocking",
    "flatness",
    "sharpness",
    "detail",
    "brightness",
    "shadows",
    "highlights",
    "contrast",
)

# Where digits 0 and 9 begin for each cue: about the 2nd and the 98th percentile over degraded views.
CUE_RANGE = {
    "noise": (0.0006, 0.2),
    "grain": (0.0014, 0.18),
    "chroma": (0.0015, 0.25),
    "specks": (0.03, 1.6),
    "blocking": (0.033, 2.0),
    "flatness": (0.0, 0.8),
    "sharpness": (0.017, 1.1),
    "detail": (0.8, 3.0),
    "brightness": (0.08, 0.7),
    "shadows": (0.0, 0.65),
    "highlights": (0.0, 0.2),
    "contrast": (0.04, 0.3),
}
LOGARITHMIC = ("noise", "grain", "chroma", "specks", "blocking", "sharpness")


SOFTENED, SOFT = (
    0.4,
    (0.35, 1.5),
)  # share of views that are soft from pixel to pixel, as a camera's own are; sigma
SIDE_BY_SIDE, CLEAN_BESIDE_NOISE = ("null", "noise"), 0.55  # so often a view is shown without and with noise
QUIET = 0.85  # of these: views with flat places, as soft as a camera's own, where noise has nowhere to hide
LEAST_GRAIN = 0.002  # of luma; less is none


@dataclass(frozen=True)
class View:
    """One degraded view: what the model sees and everything there is to say about it."""

    degraded: Degraded
    cues: tuple[int, ...]
    grain: np.ndarray | None = None  # how strong the noise is in each token, 0 to 4; None where nobody knows

    @property
    def tokens(self) -> int:
        return self.degraded.image.width * self.degraded.image.height // TOKEN**2


def draw_views(photos: list[Image.Image], tokens: int, number: int, rng: np.random.Generator) -> list[View]:
    """`number` degradations of one random view of a random photo, close to `tokens` tokens in size."""
    families = SIDE_BY_SIDE if rng.random() < CLEAN_BESIDE_NOISE else ()
    quiet = bool(families) and rng.random() < QUIET
    view = draw_quiet(photos, tokens, rng) if quiet else draw_crop(photos, tokens, rng)
    softness = float(rng.uniform(*SOFT)) if quiet or rng.random() < SOFTENED else 0.0
    view, seen = _softened(view, softness, rng)
    views = []
    for family, _ in zip_longest(families[:number], range(number)):
        degraded = fit(draw_lesson(view, rng, seen, family))
        views.append(replace(look_at(degraded), grain=_grain_by_token(degraded, view)))
    return views


def draw_quiet(photos: list[Image.Image], tokens: int, rng: np.random.Generator) -> Image.Image:
    """A view with quiet flat places or a dark one, often before a soft ground: what a camera sees close by."""
    views = [draw_crop(photos, tokens, rng, textured=False) for _ in range(int(rng.integers(2, 6)))]
    view = min(views, key=_brightness if rng.random() < 0.45 else _unrest)
    if rng.random() < 0.3:
        view = dim(view, float(rng.uniform(0.2, 1)))  # less than what is called underexposed
    return shallow_focus(view, rng) if rng.random() < 0.5 else view


def _softened(view: Image.Image, softness: float, rng: np.random.Generator) -> tuple[Image.Image, float]:
    """The view as soft as that, and how soft it looks: nobody sees how soft a wall is."""
    if not softness:
        return view, softness
    if has_texture(view):
        return soften(view, softness, rng), softness
    return soften(view, softness * float(rng.uniform(1, 2)), rng), SOFT[0]


def look_at(degraded: Degraded) -> View:
    """A view with its cues measured and put into words of one digit."""
    return View(degraded, tuple(_digit(name, value) for name, value in measure(degraded.image).items()))


def measure(photo: Image.Image) -> dict[str, float]:
    """The physical cues of a photo, each a plain statistic that anybody can compute again.

    Noise, grain (the same at half the size) and chroma are those of the flattest tenth of the photo: detail is no noise.
    """
    pixels = np.asarray(photo, np.float32) / 255
    luma = pixels @ LUMA
    rough = roughness(luma)
    half = _halved(pixels)
    half_luma = half @ LUMA
    sample = rough.ravel()[:: max(1, rough.size // 40_000)]
    step = (float(np.abs(np.diff(luma, axis=0)).mean()) + float(np.abs(np.diff(luma, axis=1)).mean())) / 2
    high, highest = np.quantile(sample, (0.98, 0.997))
    return {
        "noise": _in_flat_places(rough, luma),
        "grain": _in_flat_places(roughness(half_luma), half_luma),
        "chroma": _in_flat_places(roughness(half[..., 0] - half[..., 2]), half_luma),
        "specks": float(highest),
        "blocking": (_blocking(luma) + _blocking(luma.T)) / 2,
        "flatness": float((sample < 1.5 / 255).mean()),
        "sharpness": float(high),
        "detail": float(sample.mean()) / (step + 1e-4),
        "brightness": float(luma.mean()),
        "shadows": float((luma < 0.1).mean()),
        "highlights": float((luma > 0.9).mean()),
        "contrast": float(luma.std()),
    }


def degradation_reply(view: View) -> str:
    """What to answer when asked for the distortion and its severity."""
    told = view.degraded
    answer = f'{{"distortion_class": "{told.distortion_class}", "severity": "{told.severity}"}}'
    return f"<think>{_evidence(view)} {_diagnosis(told)}</think><answer>{answer}</answer>"


def score_reply(view: View, rating: float) -> str:
    """What to answer when asked for a rating, where it is to be `rating` (1 to 5)."""
    grade = ("bad", "poor", "fair", "good", "excellent")[min(4, max(0, round(rating) - 1))]
    thinking = f"{_evidence(view)} The quality is {grade}."
    return f'<think>{thinking}</think><answer>{{"rating": {rating:.2f}}}</answer>'


def comparison_reply(a: View, b: View, *, reference: bool = False, similar_within: float = 0.3) -> str:
    """What to answer when asked which of two is better; `Similar` exists only with a reference."""
    difference = a.degraded.mos - b.degraded.mos
    if reference and abs(difference) < similar_within:
        verdict, answer = "They are about equal.", "Similar"
    else:
        answer = "Image A" if difference > 0 else "Image B"
        verdict = f"{answer} is better."
    thinking = f"Image A: {_summary(a)} Image B: {_summary(b)} {verdict}"
    return f"<think>{thinking}</think><answer>{answer}</answer>"


def _grain_by_token(degraded: Degraded, before: Image.Image) -> np.ndarray | None:
    """The noise that was added, token by token: 0 for none, 4 for a standard deviation of 0.2 in luma."""
    wide, high = degraded.image.width // TOKEN, degraded.image.height // TOKEN
    if degraded.distortion_class == "null":
        return np.zeros(wide * high, np.float32)
    if degraded.distortion_class != "noise":
        return None
    same = before.resize(degraded.image.size, Image.Resampling.BICUBIC)
    added = (np.asarray(degraded.image, np.float32) - np.asarray(same, np.float32)) / 255 @ LUMA
    blocks = added.reshape(high, TOKEN, wide, TOKEN).std((1, 3)).ravel()
    return np.asarray(4 * np.log(np.clip(blocks, LEAST_GRAIN, 0.2) / LEAST_GRAIN) / np.log(0.2 / LEAST_GRAIN))


def _brightness(view: Image.Image) -> float:
    return float(np.asarray(view.convert("L")).mean())


def _unrest(view: Image.Image) -> float:
    """The noise cue, from bytes of luma."""
    luma = np.asarray(view.convert("L"), np.float32) / 255
    return _in_flat_places(roughness(luma), luma)


def _halved(pixels: np.ndarray) -> np.ndarray:
    down, across = pixels.shape[0] // 2 * 2, pixels.shape[1] // 2 * 2
    even = pixels[:down, :across]
    return (even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]) / 4


def _in_flat_places(rough: np.ndarray, luma: np.ndarray) -> float:
    """The roughness of the flattest tenth of all 8 x 8 blocks that are neither black nor white."""
    down, across = rough.shape[0] // 8 * 8, rough.shape[1] // 8 * 8
    if not down or not across:
        return float(rough.mean()) if rough.size else 0.0
    blocks = rough[:down, :across].reshape(down // 8, 8, across // 8, 8).mean((1, 3)).ravel()
    tones = luma[1 : down + 1, 1 : across + 1].reshape(down // 8, 8, across // 8, 8).mean((1, 3)).ravel()
    seen = blocks[(tones > 0.04) & (tones < 0.96)]
    return float(np.quantile(seen if seen.size else blocks, 0.1))


def _blocking(luma: np.ndarray) -> float:
    """How far the strongest of the eight column phases stands out: 8 x 8 blocks leave one, nature none."""
    steps = np.abs(np.diff(luma, n=2, axis=1)).mean(0)
    whole = len(steps) // 8 * 8
    phases = np.sort(steps[:whole].reshape(-1, 8).mean(0))
    return float((phases[-2:].sum() - 2 * phases[:6].mean()) / (phases.mean() + 1e-4))


def _digit(name: str, value: float) -> int:
    low, high = CUE_RANGE[name]
    if name in LOGARITHMIC:
        low, high, value = np.log(low), np.log(high), np.log(max(value, 1e-6))
    return int(np.clip((value - low) / (high - low) * 10, 0, 9))


def _evidence(view: View) -> str:
    listing = ", ".join(f"{name} {digit}" for name, digit in zip(CUES, view.cues, strict=True))
    return f"Measured cues: {listing}. {_observation(view)}"


def _observation(view: View) -> str:
    cue = dict(zip(CUES, view.cues, strict=True))
    level = _level(view.degraded)
    match view.degraded.distortion_class:
        case "noise":
            where = "Coloured grain" if cue["chroma"] > cue["grain"] + 1 else "Grain"
            return f"{where} lies over the whole frame{' and hides fine detail' if level > 2 else ''}."
        case "compression":
            what = "Block edges stand out" if cue["blocking"] >= 4 else "Fine texture is wiped flat"
            return f"{what}{' and contours are ragged' if level > 2 else ''}."
        case "blur":
            what = "Edges are soft" if level < 3 else "Edges are smeared wide"
            return f"{what}{' and no fine detail is left' if cue['sharpness'] < 4 else ''}."
        case "darken":
            what = "Shadows have closed up" if cue["shadows"] > 4 else "The frame is underexposed"
            return f"{what}{' and little can be seen' if level > 3 else ''}."
        case "other":
            what = FAULTS[view.degraded.kind].words
            return f"{what[0].upper()}{what[1:]}{' all over the frame' if level > 2 else ''}."
    return "Edges are crisp and tones are clean." if cue["sharpness"] > 4 else "Soft tones, but clean."


def _diagnosis(told: Degraded) -> str:
    if told.distortion_class == "null":
        return "No distortion stands out."
    return f"The main distortion is {told.distortion_class}, {told.severity}."


def _summary(view: View) -> str:
    told = view.degraded
    if told.distortion_class == OTHER:
        seen = f"{told.severity}, {FAULTS[told.kind].words}"
    else:
        seen = "clean" if told.distortion_class == "null" else f"{told.severity} {told.distortion_class}"
    return f"{seen}, about {told.mos:.1f}."


def _level(told: Degraded) -> int:
    return 0 if told.severity == "null" else SEVERITIES.index(told.severity) + 1
