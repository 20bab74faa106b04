"""Views of good photos with one known fault or none: the crop, the fault, and the file in which people bring it."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from PIL import Image

from qinsight.photos.view import TOKEN, view_size
from training.data.degrade import (
    CLEAN_MOS,
    DISTORTIONS,
    JITTER,
    KINDS,
    SEVERITIES,
    Degraded,
    degrade,
    degrade_with,
    leave_clean,
)
from training.data.faults import OTHER, afflict, carry, grainy_shadow, shallow_focus

MAX_TOKENS = 1280  # 1,003,520 pixels, the size at which the app rates a photo
MIN_TOKENS = 4
CLASSES = (*DISTORTIONS, "null")
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
# How often a kind is drawn within its family. The three compressions look nothing alike, so each is shown as often.
KIND_SHARE = {
    "noise": {"white_noise": 4, "colour_noise": 2, "impulse_noise": 2, "multiplicative_noise": 2},
    "compression": {"jpeg": 1, "webp": 1, "jpeg2000": 1},
    "blur": {"gaussian_blur": 4, "lens_blur": 3, "motion_blur": 3},
    "darken": {"gamma": 1, "underexposure": 1, "shift": 1},
}
# The same for faults as they come with cameras and phones, and the share of each family that they are.
REAL_SHARE = {
    "noise": {"sensor_noise": 6, "grain": 2, "chroma_blotches": 2},
    "blur": {"focus": 4, "shake": 3, "enlarged": 2},
    "darken": {"low_light": 5, "against_light": 3},
    OTHER: {
        **{"sharpened": 3, "bleeding_colours": 2, "shifted_colours": 1, "garish": 1, "pale": 1},
        **{
            "overexposed": 2,
            "washed_out": 3,
            "hard_contrast": 1,
            "jitter": 2,
            "posterised": 1,
            "pixelated": 1,
        },
    },
}
REAL = {"noise": 0.65, "blur": 0.5, "darken": 0.6, OTHER: 1.0}
FAMILIES = {"noise": 0.2, "compression": 0.18, "blur": 0.18, "darken": 0.19, "null": 0.14, OTHER: 0.11}
TWO_FAULTS = 0.12  # of the degraded views
CARRIED, CARRIED_PLAIN = 0.93, 0.55  # how often the result travels in a lossy file; textbook kinds less often
DARK = 0.2  # mean luma; what is darker cannot be told from a photo that was darkened
SOFT_AT, SOFT_MOS = (0.35, 0.7, 1.0, 1.5, 2.2), (CLEAN_MOS, CLEAN_MOS, 4.57, 4.45, 4.0)
NOISE_ON_SOFT = 1.2  # of a MOS
NAMELESS, BLURRED = 0.9, 1.5  # from here nobody knows, from there it is a slight blur
ENLARGED = 1.15  # in area: how much larger than life a clean view may be
FEWEST_LARGE = 12  # photos to draw large views from; of fewer, any
LOW = 0.004  # of luma; the noise that a good photo may have


def draw_crop(
    photos: list[Image.Image], tokens: int, rng: np.random.Generator, *, textured: bool = True
) -> Image.Image:
    """A random part of a random photo, at a random scale and about `tokens` tokens large; where `textured`, seldom an empty one."""
    tries = 1 if not textured or rng.random() < 0.2 else 6  # skies and walls are photographs, but teach less
    large = [photo for photo in photos if photo.width * photo.height * ENLARGED > tokens * TOKEN**2]
    photos = large if len(large) >= FEWEST_LARGE else photos
    for _ in range(tries):
        photo = photos[rng.integers(len(photos))]
        width, height = _shape(tokens, photo, rng)
        # Hardly a photo is a multiple of 28 in size: as on the page, it is resized after the damage is done.
        odd = rng.integers(-13, 14, 2) if rng.random() < 0.85 else (0, 0)
        view = _crop(photo, width + int(odd[0]), height + int(odd[1]), rng)
        if has_texture(view):
            break
    return view


def draw_lesson(
    photo: Image.Image, rng: np.random.Generator, softness: float = 0.0, family: str | None = None
) -> Degraded:
    """One lesson about a clean view: a fault (of `family`) or none, sometimes a second one, in the file that people bring."""
    family = family or _family(photo, rng)
    if family == "null":
        return _on_soft_pixels(_good(photo, rng), softness)
    first = _afflicted(photo, family, rng)
    if rng.random() < TWO_FAULTS:
        first = _with_another(photo, first, rng)
    first = _on_soft_pixels(first, softness)
    carried = rng.random() < (CARRIED_PLAIN if first.kind in KINDS else CARRIED)
    return carry(first, rng) if carried else first


def draw_named(photo: Image.Image, distortion: str, level: int, rng: np.random.Generator) -> Degraded:
    """A class at a level from 1 to 5 (0 for a photo without a fault), as the lessons draw its kinds and its file."""
    if not level:
        return _good(photo, rng)
    if rng.random() < REAL.get(distortion, 0):
        at = level + rng.uniform(max(-JITTER, 1 - level), min(JITTER, 5 - level))
        return carry(afflict(photo, _kind(REAL_SHARE[distortion], rng), float(at), rng), rng)
    degraded = degrade(photo, distortion, level, rng, kind=_kind(KIND_SHARE[distortion], rng))
    return carry(degraded, rng) if rng.random() < CARRIED_PLAIN else degraded


def draw_degradation(photo: Image.Image, rng: np.random.Generator) -> Degraded:
    """One of the four families in a textbook kind at a random level, or the photo as it is, each one time in five."""
    distortion = CLASSES[rng.integers(len(CLASSES))]
    if distortion == "null":
        return leave_clean(photo)
    return degrade(photo, distortion, int(rng.integers(1, 6)), rng, kind=_kind(KIND_SHARE[distortion], rng))


def fit(degraded: Degraded) -> Degraded:
    """The same, with the image at the size the model reads: multiples of 28, at most one megapixel."""
    image = degraded.image
    size = view_size(image.width, image.height, MAX_TOKENS * TOKEN**2)
    if size == image.size:
        return degraded
    return replace(degraded, image=image.resize(size, Image.Resampling.BICUBIC))


def roughness(plane: np.ndarray) -> np.ndarray:
    """How far each pixel but the outermost is from its four neighbours, in levels of the plane (Laplacian)."""
    inner = plane[1:-1, 1:-1]
    return np.abs(plane[:-2, 1:-1] + plane[2:, 1:-1] + plane[1:-1, :-2] + plane[1:-1, 2:] - 4 * inner)


def has_texture(view: Image.Image) -> bool:
    """Whether there is enough fine detail in a view for its blur to be seen."""
    luma = np.asarray(view.convert("L"), np.float32) / 255
    return bool((roughness(luma) > 0.03).mean() > 0.08)


def _family(photo: Image.Image, rng: np.random.Generator) -> str:
    """What to do to a view, but nothing that could not be seen in it."""
    family = str(rng.choice(list(FAMILIES), p=list(FAMILIES.values())))
    if family == "darken" and np.asarray(photo.convert("L")).mean() < 255 * DARK:
        return "null"
    if family == "blur" and not has_texture(photo):
        return "null"
    return family


def _good(photo: Image.Image, rng: np.random.Generator) -> Degraded:
    """A photo without a fault: as it is, before a soft background, or with the little noise that good photos have."""
    draw = rng.random()
    if draw < 0.2 and has_texture(photo):
        photo = shallow_focus(photo, rng)
    elif draw < 0.45:
        photo = grainy_shadow(photo, float(rng.uniform(0, LOW)), rng)
    clean = leave_clean(photo)
    return carry(clean, rng) if rng.random() < 0.75 else clean


def _afflicted(photo: Image.Image, family: str, rng: np.random.Generator) -> Degraded:
    if rng.random() < REAL.get(family, 0):
        position = 0.3 + 4.7 * rng.random() ** (2.2 if family == "noise" else 1.2)
        return _named_from(afflict(photo, _kind(REAL_SHARE[family], rng), float(position), rng), position)
    kind = _kind(KIND_SHARE[family], rng)
    if kind in ("gaussian_blur", "jpeg") and rng.random() < 0.3:  # where people begin to see it
        return _faint(photo, kind, rng)
    return degrade(photo, family, int(rng.integers(1, 6)), rng, kind=kind)


def _named_from(degraded: Degraded, position: float) -> Degraded:
    """Noise is named as soon as it is seen; other faults at about their first level."""
    threshold = {"noise": 0.3, "darken": 0.85}.get(degraded.distortion_class, 0.7)
    named = degraded.distortion_class != OTHER and position >= threshold
    return replace(degraded, diagnosed=named)


def _faint(photo: Image.Image, kind: str, rng: np.random.Generator) -> Degraded:
    """Weaker than the first level: it costs a little of the rating and is not asked for."""
    strength = float(rng.uniform(0.35, 0.95) if kind == "gaussian_blur" else rng.uniform(28, 70))
    faint = degrade_with(photo, kind, strength, rng)
    named = strength > 0.75 if kind == "gaussian_blur" else strength < 34
    if kind == "jpeg":  # KADID-10k ends at quality 43; at 75 nobody sees anything
        faint = replace(
            faint, mos=max(faint.mos, float(np.interp(strength, (43, 75), (faint.mos, CLEAN_MOS))))
        )
    return replace(faint, severity=SEVERITIES[0], diagnosed=named)


def _with_another(photo: Image.Image, first: Degraded, rng: np.random.Generator) -> Degraded:
    """A second fault over the first: rated below the worse of them, diagnosed where one of them dominates."""
    others = [name for name in FAMILIES if name not in ("null", first.distortion_class)]
    other = _afflicted(first.image, others[rng.integers(len(others))], rng)
    worse = first if first.mos < other.mos else other
    milder = other if worse is first else first
    mos = max(1.0, worse.mos - 0.3 * (CLEAN_MOS - milder.mos))
    clear = worse.diagnosed and abs(first.mos - other.mos) > 0.8
    return replace(worse, image=other.image, mos=mos, diagnosed=clear)


def _on_soft_pixels(told: Degraded, softness: float) -> Degraded:
    """The labels of a lesson about a view that was soft before: noise stays noise, and is worse than the softness alone."""
    if not softness:
        return told
    alone = float(np.interp(softness, SOFT_AT, SOFT_MOS))
    if told.distortion_class == "null":
        if softness >= BLURRED:
            return replace(told, distortion_class="blur", severity=SEVERITIES[0], mos=alone)
        return replace(told, mos=alone, diagnosed=softness < NAMELESS)
    mos = min(told.mos, alone) - 0.5 * (CLEAN_MOS - max(told.mos, alone))
    if told.distortion_class == "noise":
        mos -= NOISE_ON_SOFT  # noise hides how soft a photo is: without this it would seem the better one
    clear = told.distortion_class in ("noise", "blur") or told.mos < alone - 0.3
    return replace(told, mos=max(1.0, mos), diagnosed=told.diagnosed and clear)


def _kind(shares: Mapping[str, float], rng: np.random.Generator) -> str:
    share = np.array(list(shares.values()), float)
    return str(rng.choice(list(shares), p=share / share.sum()))


def _shape(tokens: int, photo: Image.Image, rng: np.random.Generator) -> tuple[int, int]:
    """A width and a height of about `tokens` tokens: mostly the shapes of photos, sometimes up to 1:4."""
    shape = rng.uniform(-1.4, 1.4) if rng.random() < 0.2 else rng.normal(0, 0.4)
    if tokens > 300 and rng.random() < 0.7:  # few photos are large enough for another shape than their own
        shape = np.log(photo.width / photo.height)
    high = max(2, round((tokens / np.exp(shape)) ** 0.5))
    wide = max(2, round(tokens / high))
    return wide * TOKEN, high * TOKEN


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
