"""What the preview checkpoint is taught: a view of a photo, what can be measured in it, and a reply in words.

A lesson is drawn from nothing but the photos and a seed. Several degradations of one view come together,
so that the difference between them is the degradation and never the subject.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from training.degrade import DISTORTIONS, SEVERITIES, Degraded, degrade, leave_clean

UNIT = 28  # a token of the language model covers 28 x 28 pixels
MAX_TOKENS = 1280  # 1,003,520 pixels, the size at which the app rates a photo
MIN_TOKENS = 4

CLASSES = (*DISTORTIONS, "null")
CUES = (
    "noise",
    "chroma",
    "specks",
    "blocking",
    "flatness",
    "sharpness",
    "detail",
    "brightness",
    "shadows",
    "contrast",
)

# Where digits 0 and 9 begin for each cue: about the 2nd and the 98th percentile over degraded views.
CUE_RANGE = {
    "noise": (0.004, 0.4),
    "chroma": (0.003, 0.9),
    "specks": (0.03, 2.0),
    "blocking": (0.03, 4.0),
    "flatness": (0.0, 0.9),
    "sharpness": (0.015, 1.4),
    "detail": (0.5, 3.2),
    "brightness": (0.0, 0.7),
    "shadows": (0.0, 0.8),
    "contrast": (0.0, 0.3),
}
LOGARITHMIC = ("noise", "chroma", "specks", "blocking", "sharpness")

# How often a kind is drawn within its family. The three compressions look nothing alike, so each is shown as often.
KIND_SHARE = {
    "noise": {"white_noise": 4, "colour_noise": 2, "impulse_noise": 2, "multiplicative_noise": 2},
    "compression": {"jpeg": 1, "webp": 1, "jpeg2000": 1},
    "blur": {"gaussian_blur": 4, "lens_blur": 3, "motion_blur": 3},
    "darken": {"gamma": 1, "underexposure": 1, "shift": 1},
}


@dataclass(frozen=True)
class View:
    """One degraded view: what the model sees and everything there is to say about it."""

    degraded: Degraded
    cues: tuple[int, ...]

    @property
    def tokens(self) -> int:
        return self.degraded.image.width * self.degraded.image.height // UNIT**2


def draw_views(photos: list[Image.Image], tokens: int, number: int, rng: np.random.Generator) -> list[View]:
    """`number` degradations of one random view of a random photo, close to `tokens` tokens in size."""
    view = draw_crop(photos, tokens, rng)
    views = []
    for _ in range(number):
        degraded = draw_degradation(view, rng)
        views.append(look_at(fit(degraded)))
    return views


def draw_crop(photos: list[Image.Image], tokens: int, rng: np.random.Generator) -> Image.Image:
    """A random part of a random photo, at a random scale and about `tokens` tokens large, with something in it."""
    for _ in range(10):  # a sky or a wall: blur and compression could not be told, so draw again
        photo = photos[rng.integers(len(photos))]
        width, height = _shape(tokens, photo, rng)
        # Hardly a photo is a multiple of 28 in size: as on the page, it is resized after the damage is done.
        odd = rng.integers(-13, 14, 2) if rng.random() < 0.85 else (0, 0)
        view = _crop(photo, width + int(odd[0]), height + int(odd[1]), rng)
        if _has_texture(view):
            break
    return view


def draw_degradation(photo: Image.Image, rng: np.random.Generator) -> Degraded:
    """One of the four families at a random level, or the photo as it is, each one time in five."""
    distortion = CLASSES[rng.integers(len(CLASSES))]
    if distortion == "null":
        return leave_clean(photo)
    kinds = KIND_SHARE[distortion]
    share = np.array(list(kinds.values()), float)
    kind = str(rng.choice(list(kinds), p=share / share.sum()))
    return degrade(photo, distortion, int(rng.integers(1, 6)), rng, kind=kind)


def fit(degraded: Degraded) -> Degraded:
    """The same, with the image at the size the model reads: multiples of 28, at most one megapixel."""
    image = degraded.image
    width, height = fitting_size(image.width, image.height)
    if (width, height) == image.size:
        return degraded
    resized = image.resize((width, height), Image.Resampling.BICUBIC)
    return Degraded(
        resized, degraded.distortion_class, degraded.severity, degraded.mos, degraded.kind, degraded.strength
    )


def fitting_size(width: int, height: int) -> tuple[int, int]:
    """What Qwen's `smart_resize` makes of a size, for at most MAX_TOKENS and at least MIN_TOKENS tokens."""
    wide, high = max(1, round(width / UNIT)), max(1, round(height / UNIT))
    area = width * height / UNIT**2
    if wide * high > MAX_TOKENS:
        scale = (area / MAX_TOKENS) ** 0.5
        wide, high = max(1, int(width / scale / UNIT)), max(1, int(height / scale / UNIT))
    elif wide * high < MIN_TOKENS:
        scale = (MIN_TOKENS / area) ** 0.5
        wide, high = int(np.ceil(width * scale / UNIT)), int(np.ceil(height * scale / UNIT))
    return wide * UNIT, high * UNIT


def look_at(degraded: Degraded) -> View:
    """A view with its cues measured and put into words of one digit."""
    return View(degraded, tuple(_digit(name, value) for name, value in measure(degraded.image).items()))


def measure(photo: Image.Image) -> dict[str, float]:
    """The physical cues of a photo, each a plain statistic that anybody can compute again."""
    pixels = np.asarray(photo, np.float32) / 255
    luma = pixels @ np.array([0.299, 0.587, 0.114], np.float32)
    rough = roughness(luma)
    colours = roughness(pixels[..., 0] - pixels[..., 1])
    sample = rough.ravel()[:: max(1, rough.size // 40_000)]
    step = (float(np.abs(np.diff(luma, axis=0)).mean()) + float(np.abs(np.diff(luma, axis=1)).mean())) / 2
    middle, high, highest = np.quantile(sample, (0.5, 0.98, 0.997))
    return {
        "noise": float(middle),
        "chroma": float(np.median(colours.ravel()[:: max(1, colours.size // 40_000)])),
        "specks": float(highest),
        "blocking": (_blocking(luma) + _blocking(luma.T)) / 2,
        "flatness": float((sample < 1.5 / 255).mean()),
        "sharpness": float(high),
        "detail": float(sample.mean()) / (step + 1e-4),
        "brightness": float(luma.mean()),
        "shadows": float((luma < 0.1).mean()),
        "contrast": float(luma.std()),
    }


def roughness(plane: np.ndarray) -> np.ndarray:
    """How far each pixel but the outermost is from its four neighbours, in levels of the plane (Laplacian)."""
    inner = plane[1:-1, 1:-1]
    return np.abs(plane[:-2, 1:-1] + plane[2:, 1:-1] + plane[1:-1, :-2] + plane[1:-1, 2:] - 4 * inner)


def degradation_reply(view: View) -> str:
    """What to answer when asked for the distortion and its severity."""
    told = view.degraded
    answer = f'{{"distortion_class": "{told.distortion_class}", "severity": "{told.severity}"}}'
    return f"<think>{_evidence(view)} {_diagnosis(told)}</think><answer>{answer}</answer>"


def score_reply(view: View) -> str:
    """What to answer when asked for a rating."""
    grade = ("bad", "poor", "fair", "good", "excellent")[min(4, max(0, round(view.degraded.mos) - 1))]
    thinking = f"{_evidence(view)} The quality is {grade}."
    return f'<think>{thinking}</think><answer>{{"rating": {view.degraded.mos:.2f}}}</answer>'


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


def _shape(tokens: int, photo: Image.Image, rng: np.random.Generator) -> tuple[int, int]:
    """A width and a height of about `tokens` tokens: mostly the shapes of photos, sometimes up to 1:4."""
    shape = rng.uniform(-1.4, 1.4) if rng.random() < 0.2 else rng.normal(0, 0.4)
    if tokens > 300 and rng.random() < 0.7:  # few photos are large enough for another shape than their own
        shape = np.log(photo.width / photo.height)
    high = max(2, round((tokens / np.exp(shape)) ** 0.5))
    wide = max(2, round(tokens / high))
    return wide * UNIT, high * UNIT


def _crop(photo: Image.Image, width: int, height: int, rng: np.random.Generator) -> Image.Image:
    largest = min(photo.width / width, photo.height / height)
    if largest <= 1:
        scale = largest  # a little larger than life rather than no large view at all
    elif rng.random() < 0.5:
        scale = largest * rng.uniform(0.85, 1)
    else:
        scale = np.exp(rng.uniform(0, np.log(largest)))
    across, down = width * scale, height * scale
    left = rng.uniform(0, max(0.0, photo.width - across))
    top = rng.uniform(0, max(0.0, photo.height - down))
    box = (left, top, min(left + across, photo.width), min(top + down, photo.height))
    view = photo.resize((width, height), Image.Resampling.LANCZOS, box, reducing_gap=2)
    return view.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else view


def _has_texture(view: Image.Image) -> bool:
    luma = np.asarray(view.convert("L"), np.float32) / 255
    return bool((roughness(luma) > 0.03).mean() > 0.08)


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
            where = "Coloured grain" if cue["chroma"] > cue["noise"] else "Grain"
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
    return "Edges are crisp and tones are clean." if cue["sharpness"] > 4 else "Soft tones, but clean."


def _diagnosis(told: Degraded) -> str:
    if told.distortion_class == "null":
        return "No distortion stands out."
    return f"The main distortion is {told.distortion_class}, {told.severity}."


def _summary(view: View) -> str:
    told = view.degraded
    seen = "clean" if told.distortion_class == "null" else f"{told.severity} {told.distortion_class}"
    return f"{seen}, about {told.mos:.1f}."


def _level(told: Degraded) -> int:
    return 0 if told.severity == "null" else SEVERITIES.index(told.severity) + 1
