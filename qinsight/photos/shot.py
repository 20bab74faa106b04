"""What a camera noted of a shot: when it was taken, and how much light it let in, as its EXIF says."""

import contextlib
import math
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from PIL import ExifTags, Image

from qinsight.errors import PhotoError
from qinsight.photos.files import BROKEN, open_regular
from qinsight.photos.listing import HEAD

AUTO_BRACKET = 2  # EXIF's ExposureMode of a camera that brackets by itself
EXIF = b"Exif\0\0"
TIFF = (b"II*\0", b"MM\0*")  # how most camera RAW begins


@dataclass(frozen=True)
class Shot:
    """What EXIF tells; None where it does not.

    `taken` is the camera's clock in ISO 8601, `exposure` how much was let in, in stops (more is brighter): of the time,
    the aperture and the sensitivity, which stand in `settings` as photographers write them. `bias` is the exposure
    compensation, `bracketing` whether the camera was at it.
    """

    taken: str | None = None
    exposure: float | None = None
    bias: float | None = None
    bracketing: bool = False
    settings: str = ""


def shot_in(path: Path) -> Shot:
    """The shot of a file, of its first bytes; an empty one where it cannot be opened."""
    try:
        with open_regular(path) as file:
            return shot_at_the_head(file.read(HEAD))
    except (PhotoError, OSError):
        return Shot()


def shot_at_the_head(head: bytes) -> Shot:
    """The shot that the first bytes of a photo tell."""
    head = head[:HEAD]
    at = head.find(EXIF)
    exif = Image.Exif()
    with contextlib.suppress(*BROKEN):
        exif.load(head if head.startswith(TIFF) else head[at:] if at >= 0 else b"")
        return shot_of(exif)
    return Shot()


def shot_of(exif: Image.Exif) -> Shot:
    """The shot, of EXIF that is loaded; what makes no sense in it is left out."""
    told = exif.get_ifd(ExifTags.IFD.Exif)
    seconds, aperture, speed = (
        _positive(told.get(tag))
        for tag in (ExifTags.Base.ExposureTime, ExifTags.Base.FNumber, ExifTags.Base.ISOSpeedRatings)
    )
    return Shot(
        taken=_time(told.get(ExifTags.Base.DateTimeOriginal), told.get(ExifTags.Base.SubsecTimeOriginal)),
        exposure=_exposure(seconds, aperture, speed),
        bias=_number(told.get(ExifTags.Base.ExposureBiasValue)),
        bracketing=told.get(ExifTags.Base.ExposureMode) == AUTO_BRACKET,
        settings=_settings(seconds, aperture, speed),
    )


def _time(clock: Any, fraction: Any) -> str | None:
    text = str(clock or "").strip("\0 ")
    parts = str(fraction or "").strip("\0 ")
    try:
        whole = datetime.strptime(text, "%Y:%m:%d %H:%M:%S")
    except ValueError:
        return None
    return whole.isoformat() + (f".{parts}" if parts.isdecimal() and parts.isascii() else "")


def _exposure(seconds: float | None, aperture: float | None, speed: float | None) -> float | None:
    if seconds is None:
        return None
    # A lens without contacts tells no aperture, a phone always the same one: what is left out is taken as equal.
    stops = math.log2(seconds)
    stops -= 2 * math.log2(aperture) if aperture else 0
    stops += math.log2(speed / 100) if speed else 0
    return round(stops, 3)


def _settings(seconds: float | None, aperture: float | None, speed: float | None) -> str:
    """1/250 s, f/2.8, ISO 400."""
    told = []
    if seconds:
        told.append(f"1/{1 / seconds:.0f} s" if seconds < 0.4 else f"{seconds:g} s")
    if aperture:
        told.append(f"f/{aperture:g}")
    if speed:
        told.append(f"ISO {speed:.0f}")
    return ", ".join(told)


def _positive(value: Any) -> float | None:
    number = _number(value[0] if isinstance(value, tuple) and value else value)
    return number if number is not None and number > 0 else None


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    return number if math.isfinite(number) else None
