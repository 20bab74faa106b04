"""Faults as cameras, phones and editors make them, and the file that a photo travels in.

`degrade` has the textbook kinds, this module the kinds that people bring: sensor noise after demosaicing, denoising and a
tone curve, grain, focus and shake in linear light, underexposure with its noise; and what is wrong with a photo without
being one of the four classes (oversharpened, washed out, bleeding colours ...), rated as KADID-10k's people rated its like.
Strengths stand at positions 1 to 5, as in `degrade`; below 1 a fault fades, and at position 0 nobody sees it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from io import BytesIO

import numpy as np
from PIL import Image, ImageFilter
from scipy import ndimage

from qinsight.trust.harms import convolve, disc
from training.data.degrade import CLEAN_MOS, KADID, SEVERITIES, Degraded

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
GAMMA = 2.2
OTHER = "other"  # a fault that the four classes do not name: it lowers the rating and is never asked for
BAYER = ((0, 0), (0, 1), (1, 0), (1, 1))


@dataclass(frozen=True)
class Fault:
    """One way in which photographs fail: strengths at positions 1 to 5, and the KADID-10k type nearest to it.

    `levels` are the levels of that type which look like our positions; `words` say what a class does not.
    """

    distortion: str
    strengths: tuple[float, ...]
    kadid: str
    apply: Callable[[np.ndarray, float, np.random.Generator], np.ndarray]
    levels: tuple[float, ...] = (1, 2, 3, 4, 5)
    words: str = ""


def afflict(photo: Image.Image, kind: str, position: float, rng: np.random.Generator) -> Degraded:
    """A photo with fault `kind` at `position` (0 invisible, 1 slight ... 5 catastrophic)."""
    fault = FAULTS[kind]
    strength = strength_at(fault.strengths, position)
    pixels = np.asarray(photo.convert("RGB"), np.float32) / 255
    image = to_image(fault.apply(pixels, strength, rng))
    severity = SEVERITIES[int(np.clip(round(position), 1, 5)) - 1]
    mos = opinion_at(fault, position)
    return Degraded(image, fault.distortion, severity, mos, kind, strength)


def opinion_at(fault: Fault, position: float) -> float:
    """KADID-10k's mean opinion, 1 to 5, of the fault at a position; at 0 that of an untouched photo."""
    scores = np.minimum.accumulate([CLEAN_MOS, *KADID[fault.kadid]["mos"]])
    level = np.interp(position, range(6), (0, *fault.levels))
    return float(np.interp(level, range(6), scores))


def strength_at(strengths: tuple[float, ...], position: float) -> float:
    """The strength at a position; outside of 1 to 5 the nearest step goes on."""
    logs = np.log(strengths)
    if position < 1:
        return float(np.exp(logs[0] + (position - 1) * (logs[1] - logs[0])))
    return float(np.exp(np.interp(position, range(1, 6), logs)))


def carry(degraded: Degraded, rng: np.random.Generator) -> Degraded:
    """The same photo in the file that people bring: a little smaller, JPEG of quality 75 to 98 or WebP, sometimes twice."""
    image = degraded.image
    if rng.random() < 0.3:
        scale = rng.uniform(0.8, 1)
        size = max(28, round(image.width * scale)), max(28, round(image.height * scale))
        image = image.resize(
            size, Image.Resampling.LANCZOS if rng.random() < 0.6 else Image.Resampling.BICUBIC
        )
    for _ in range(2 if rng.random() < 0.2 else 1):
        image = _in_a_file(image, rng)
    return replace(degraded, image=image)


def to_image(pixels: np.ndarray) -> Image.Image:
    """Pixels of 0 to 1 as an image of bytes."""
    return Image.fromarray((np.clip(pixels, 0, 1) * 255 + 0.5).astype(np.uint8))


def shallow_focus(photo: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A sharp subject before a soft background: no fault."""
    pixels = np.asarray(photo.convert("RGB"), np.float32) / 255
    height, width = pixels.shape[:2]
    radius = float(rng.uniform(0.008, 0.03) * max(height, width) + 1)
    behind = _tone(convolve(_light(pixels), disc(radius)))
    y, x = np.mgrid[:height, :width].astype(np.float32)
    down, across = rng.uniform(0.3, 0.7, 2) * (height, width)
    tall, wide = rng.uniform(0.22, 0.45, 2) * (height, width)
    distance = np.hypot((y - down) / tall, (x - across) / wide)
    subject = np.clip((1.25 - distance) * 4, 0, 1)[..., None]
    return to_image(subject * pixels + (1 - subject) * behind)


def dim(photo: Image.Image, stops: float) -> Image.Image:
    """A darker photo, `stops` less of light."""
    return to_image(_tone(_light(np.asarray(photo.convert("RGB"), np.float32) / 255) * np.float32(2**-stops)))


def soften(photo: Image.Image, sigma: float, rng: np.random.Generator) -> Image.Image:
    """As soft from pixel to pixel as a camera's own resolution is: optics, demosaicing, denoising, often sharpened after."""
    pixels = np.asarray(photo.convert("RGB"), np.float32) / 255
    if rng.random() < 0.3:
        pixels = _enlarged(pixels, 1 + sigma, rng)
    else:
        pixels = ndimage.gaussian_filter(pixels, (sigma, sigma, 0), truncate=3)
    if rng.random() < 0.25:  # denoised until it is waxy
        pixels = np.asarray(to_image(pixels).filter(ImageFilter.MedianFilter(3)), np.float32) / 255
    if rng.random() < 0.4:
        wide = rng.uniform(1, 2)
        pixels = pixels + rng.uniform(0.2, 0.8) * (
            pixels - ndimage.gaussian_filter(pixels, (wide, wide, 0), truncate=2)
        )
    return to_image(pixels)


def grainy_shadow(photo: Image.Image, sigma: float, rng: np.random.Generator) -> Image.Image:
    """The little noise that a good photo has, of a standard deviation of `sigma` in luma (0 to 1)."""
    return to_image(_sensor(np.asarray(photo.convert("RGB"), np.float32) / 255, sigma, rng))


def _in_a_file(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    file = BytesIO()
    if rng.random() < 0.12:
        image.save(file, "WEBP", quality=int(rng.integers(80, 97)), method=0)
    else:
        chroma = 2 if rng.random() < 0.6 else 0
        image.save(file, "JPEG", quality=int(rng.integers(75, 99)), subsampling=chroma)
    with Image.open(file) as read:
        return read.convert("RGB")


def _light(pixels: np.ndarray) -> np.ndarray:
    return np.clip(pixels, 0, None) ** np.float32(GAMMA)


def _tone(light: np.ndarray) -> np.ndarray:
    return np.clip(light, 0, 1) ** np.float32(1 / GAMMA)


# --- noise ------------------------------------------------------------------------------------------------


def _sensor(photo: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Shot and read noise of a Bayer sensor, demosaiced, denoised more or less, behind the tone curve; sigma is that of luma."""
    if rng.random() < 0.3:  # denoising took detail with it
        soft = rng.uniform(0.4, 0.8)
        photo = ndimage.gaussian_filter(photo, (soft, soft, 0), truncate=3)
    light = np.clip(photo, 0.004, 1) ** np.float32(GAMMA)
    shot = rng.uniform(0.2, 1)
    gains = np.array([rng.uniform(1, 2), 1, rng.uniform(1, 2.2)], np.float32)
    raw = rng.standard_normal(photo.shape, np.float32) * np.sqrt(shot * light + (1 - shot) * 0.1) * gains
    if rng.random() < 0.75:
        raw = _demosaiced(raw)
    mixed = raw + rng.uniform(0, 0.5) * (raw - raw.mean(-1, keepdims=True))
    shown = mixed * np.minimum(light ** np.float32(1 / GAMMA - 1), 12)
    luma = shown @ LUMA
    # cameras take colour noise out first
    colour = (shown - luma[..., None]) * np.float32(0.02 + 0.98 * rng.random() ** 2)
    if rng.random() < 0.6:
        wide = rng.uniform(0.6, 3)
        colour = ndimage.gaussian_filter(colour, (wide, wide, 0), truncate=2) * rng.uniform(1, wide + 0.5)
    if rng.random() < 0.5:
        luma = ndimage.gaussian_filter(luma, rng.uniform(0.3, 1.3), truncate=2)
    if rng.random() < 0.3:  # sharpened in the camera
        luma = luma + rng.uniform(0.3, 1) * (luma - ndimage.gaussian_filter(luma, 1.0, truncate=2))
    return photo + (luma[..., None] + colour) * np.float32(sigma / (luma.std() + 1e-6))


def _demosaiced(raw: np.ndarray) -> np.ndarray:
    """Noise that was measured at every second (green) or fourth (red, blue) pixel and interpolated between."""
    out = np.empty_like(raw)
    wide = np.array([0.5, 1, 0.5], np.float32)
    for channel, sites in ((0, BAYER[:1]), (1, BAYER[1:3]), (2, BAYER[3:])):
        plane = np.zeros(raw.shape[:2], np.float32)
        for down, across in sites:
            plane[down::2, across::2] = raw[down::2, across::2, channel]
        if channel == 1:
            cross = np.array([[0, 0.25, 0], [0.25, 1, 0.25], [0, 0.25, 0]], np.float32)
            out[..., 1] = ndimage.convolve(plane, cross, mode="mirror")
        else:
            down = ndimage.convolve1d(plane, wide, 0, mode="mirror")
            out[..., channel] = ndimage.convolve1d(down, wide, 1, mode="mirror")
    return out


def _grain(photo: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Film: grain in luma alone, strongest in the middle tones, often in black and white."""
    luma = photo @ LUMA
    if rng.random() < 0.6:
        photo = np.repeat(luma[..., None], 3, -1)
    size = rng.uniform(0.3, 1.4)
    grain = ndimage.gaussian_filter(rng.standard_normal(luma.shape, np.float32), size, truncate=2)
    grain *= 0.35 + 2.6 * luma * (1 - luma)
    return photo + (grain * np.float32(sigma / (grain.std() + 1e-6)))[..., None]


def _chroma_blotches(photo: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Colour noise at the scale of some pixels, as small sensors leave it at night, over a little luma noise."""
    wide = rng.uniform(1, 4)
    colour = ndimage.gaussian_filter(
        rng.standard_normal(photo.shape, np.float32), (wide, wide, 0), truncate=2
    )
    colour -= (colour @ LUMA)[..., None]
    colour *= np.float32(2.2 * sigma / (colour.std() + 1e-6))
    return _sensor(photo, sigma * 0.6, rng) + colour


# --- blur -------------------------------------------------------------------------------------------------


def _focus(photo: np.ndarray, radius: float, rng: np.random.Generator) -> np.ndarray:
    return _in_light(photo, disc(radius), rng)


def _shake(photo: np.ndarray, length: float, rng: np.random.Generator) -> np.ndarray:
    """The path of an unsteady hand, `length` pixels from end to end."""
    steps = 60
    turn = np.cumsum(rng.normal(0, 0.25, steps)) + rng.uniform(0, 2 * np.pi)
    path = np.cumsum(np.stack([np.sin(turn), np.cos(turn)]), 1)
    path -= path.mean(1, keepdims=True)
    extent = np.ptp(path, 1).max() + 1e-6
    path *= length / extent
    reach = int(np.ceil(np.abs(path).max())) + 1
    kernel: np.ndarray = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    fine = np.stack([np.interp(np.linspace(0, steps - 1, 600), range(steps), line) for line in path])
    rows, columns = np.rint(reach + fine).astype(int)
    np.add.at(kernel, (rows, columns), 1)
    return _in_light(photo, ndimage.gaussian_filter(kernel, 0.4), rng)


def _in_light(photo: np.ndarray, kernel: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Blurred as light is: lamps that were clipped are brighter than white and draw shapes."""
    light = _light(photo)
    lamps = (light > 0.93).all(-1, keepdims=True)
    return _tone(convolve(light * (1 + lamps * np.float32(rng.uniform(0, 6))), kernel))


def _enlarged(photo: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Digital zoom: 1 / `share` times fewer pixels, enlarged again, a little sharpened."""
    image = to_image(photo)
    small = image.resize(
        (max(8, round(image.width / share)), max(8, round(image.height / share))), Image.Resampling.LANCZOS
    )
    large = np.asarray(small.resize(image.size, Image.Resampling.BICUBIC), np.float32) / 255
    sharper = rng.uniform(0, 0.6)
    return large + sharper * (large - ndimage.gaussian_filter(large, (share, share, 0), truncate=2))


# --- darkness ---------------------------------------------------------------------------------------------


def _underexposed(photo: np.ndarray, stops: float, rng: np.random.Generator) -> np.ndarray:
    dark = _tone(_light(photo) * np.float32(2**-stops))
    if rng.random() < 0.4:  # blacks crushed
        dark = np.clip((dark - 0.03) / 0.97, 0, 1) ** np.float32(rng.uniform(1, 1.2))
    return _sensor(dark, rng.uniform(0.0003, 0.0018) * stops, rng) if rng.random() < 0.5 else dark


def _against_light(photo: np.ndarray, stops: float, rng: np.random.Generator) -> np.ndarray:
    """The larger part of the frame lies in the dark, a window or a sky does not."""
    height, width = photo.shape[:2]
    coarse = ndimage.gaussian_filter(rng.standard_normal((9, 9)), 1.5)
    coarse += np.linspace(-1, 1, 9)[:, None] * rng.uniform(0.1, 0.5)
    mask = np.asarray(
        Image.fromarray(coarse.astype(np.float32)).resize((width, height), Image.Resampling.BICUBIC)
    )
    luma = ndimage.gaussian_filter(photo @ LUMA, max(height, width) / 60)
    mask = mask - 1.2 * (luma - luma.mean())  # what is bright stays bright
    shade = np.clip((mask - np.quantile(mask, rng.uniform(0.15, 0.4))) * 2.5 + 0.5, 0, 1)[..., None]
    dark = _tone(_light(photo) * np.float32(2.0) ** (-stops * shade))
    return _sensor(dark, rng.uniform(0.0003, 0.0018) * stops, rng) if rng.random() < 0.5 else dark


# --- what is wrong without being one of the four classes ---------------------------------------------------


def _sharpened(photo: np.ndarray, amount: float, rng: np.random.Generator) -> np.ndarray:
    wide = rng.uniform(0.8, 1.6)
    return photo + amount * (photo - ndimage.gaussian_filter(photo, (wide, wide, 0), truncate=3))


def _colours(photo: np.ndarray, change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    luma = (photo @ LUMA)[..., None]
    return luma + change(photo - luma)


def _bleeding(photo: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    return _colours(
        photo, lambda colour: ndimage.gaussian_filter(1.1 * colour, (sigma, sigma, 0), truncate=3)
    )


def _shifted_colours(photo: np.ndarray, pixels: float, rng: np.random.Generator) -> np.ndarray:
    turn = rng.uniform(0, 2 * np.pi)
    move = round(pixels * np.sin(turn)), round(pixels * np.cos(turn))
    return _colours(photo, lambda colour: np.roll(colour, move, (0, 1)))


def _garish(photo: np.ndarray, gain: float, rng: np.random.Generator) -> np.ndarray:
    return _colours(photo, lambda colour: gain * colour)


def _pale(photo: np.ndarray, loss: float, rng: np.random.Generator) -> np.ndarray:
    return _colours(photo, lambda colour: (1 - loss) * colour)


def _overexposed(photo: np.ndarray, stops: float, rng: np.random.Generator) -> np.ndarray:
    return _tone(_light(photo) * np.float32(2**stops))


def _washed_out(photo: np.ndarray, loss: float, rng: np.random.Generator) -> np.ndarray:
    haze = rng.uniform(0.35, 0.85)
    return photo * (1 - loss) + loss * haze


def _hard(photo: np.ndarray, gain: float, rng: np.random.Generator) -> np.ndarray:
    middle = photo.mean()
    return middle + gain * (photo - middle)


def _jitter(photo: np.ndarray, pixels: float, rng: np.random.Generator) -> np.ndarray:
    height, width = photo.shape[:2]
    moved = rng.normal(0, pixels, (2, height, width))
    y = np.clip(np.rint(np.arange(height)[:, None] + moved[0]).astype(int), 0, height - 1)
    x = np.clip(np.rint(np.arange(width)[None] + moved[1]).astype(int), 0, width - 1)
    return photo[y, x]


def _posterised(photo: np.ndarray, coarseness: float, rng: np.random.Generator) -> np.ndarray:
    levels = 256 / coarseness
    return np.rint(photo * levels) / levels


def _pixelated(photo: np.ndarray, size: float, rng: np.random.Generator) -> np.ndarray:
    image = to_image(photo)
    small = image.resize(
        (max(4, round(image.width / size)), max(4, round(image.height / size))), Image.Resampling.BOX
    )
    return np.asarray(small.resize(image.size, Image.Resampling.NEAREST), np.float32) / 255


# Luma noise as a standard deviation of 0 to 1; blur in pixels; darkness in stops. KADID-10k has no such kinds: the type named
# beside each is the nearest, level for level.
FAULTS = {
    "sensor_noise": Fault("noise", (0.014, 0.03, 0.055, 0.085, 0.13), "11", _sensor),
    "grain": Fault("noise", (0.016, 0.035, 0.06, 0.09, 0.14), "11", _grain),
    "chroma_blotches": Fault("noise", (0.014, 0.028, 0.048, 0.075, 0.11), "11", _chroma_blotches),
    "focus": Fault("blur", (1.6, 2.7, 4.2, 6, 8.5), "02", _focus, (1.7, 2.45, 3.1, 4, 5)),
    "shake": Fault("blur", (5, 9, 14, 20, 30), "03", _shake, (2, 3, 4.1, 4.9, 5)),
    "enlarged": Fault("blur", (2.0, 3.2, 4.6, 6.5, 9.5), "01", _enlarged, (2.8, 3.5, 4.05, 4.5, 5)),
    "low_light": Fault("darken", (1.0, 1.7, 2.5, 3.5, 5.0), "17", _underexposed, (2, 3, 3.7, 4.3, 5)),
    "against_light": Fault("darken", (1.5, 2.2, 3.0, 4.0, 5.5), "17", _against_light, (2, 3, 3.7, 4.3, 5)),
    "sharpened": Fault(OTHER, (1, 2, 3, 6, 12), "24", _sharpened, words="edges wear halos"),
    "bleeding_colours": Fault(OTHER, (1.5, 3, 6, 8, 12), "04", _bleeding, words="colours bleed"),
    "shifted_colours": Fault(
        OTHER, (1, 3, 6, 8, 12), "05", _shifted_colours, words="colours are out of place"
    ),
    "garish": Fault(
        OTHER, (1.6, 2.2, 3, 4.5, 7), "08", _garish, (1.6, 2.2, 3, 3.5, 4.2), "colours are garish"
    ),
    "pale": Fault(OTHER, (0.4, 0.55, 0.65, 0.75, 0.85), "16", _pale, (1, 2, 2.5, 3, 3), "colours are pale"),
    "overexposed": Fault(
        OTHER, (0.35, 0.8, 1.3, 1.9, 2.7), "16", _overexposed, words="highlights are blown out"
    ),
    "washed_out": Fault(OTHER, (0.2, 0.35, 0.5, 0.62, 0.75), "22", _washed_out, words="contrast is flat"),
    "hard_contrast": Fault(OTHER, (1.35, 1.7, 2.2, 3, 4.5), "22", _hard, words="contrast is hard"),
    "jitter": Fault(OTHER, (0.35, 0.7, 1.2, 2, 3.2), "19", _jitter, words="pixels are scattered"),
    "posterised": Fault(OTHER, (8, 13, 20, 30, 45), "22", _posterised, words="tones come in bands"),
    "pixelated": Fault(OTHER, (1.8, 2.5, 3.3, 4.5, 7), "21", _pixelated, words="pixels are large"),
}
