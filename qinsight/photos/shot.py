"""When a photo was taken and with which exposure, as its EXIF says."""

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from PIL import ExifTags, Image

AUTO_BRACKET = 2  # EXIF's ExposureMode of a camera that brackets by itself


@dataclass(frozen=True)
class Shot:
    """What EXIF tells; None where it does not.

    `taken` is the camera's clock in ISO 8601, `exposure` how much was let in, in stops (more is brighter): of the time,
    the aperture and the sensitivity. `bias` is the exposure compensation, `bracketing` whether the camera was at it.
    """

    taken: str | None = None
    exposure: float | None = None
    bias: float | None = None
    bracketing: bool = False


def shot_of(exif: Image.Exif) -> Shot:
    """The shot, of EXIF that is loaded; what makes no sense in it is left out."""
    told = exif.get_ifd(ExifTags.IFD.Exif)
    return Shot(
        taken=_time(told.get(ExifTags.Base.DateTimeOriginal), told.get(ExifTags.Base.SubsecTimeOriginal)),
        exposure=_exposure(told),
        bias=_number(told.get(ExifTags.Base.ExposureBiasValue)),
        bracketing=told.get(ExifTags.Base.ExposureMode) == AUTO_BRACKET,
    )


def _time(clock: Any, fraction: Any) -> str | None:
    text = str(clock or "").strip("\0 ")
    parts = str(fraction or "").strip("\0 ")
    try:
        whole = datetime.strptime(text, "%Y:%m:%d %H:%M:%S")
    except ValueError:
        return None
    return whole.isoformat() + (f".{parts}" if parts.isdecimal() and parts.isascii() else "")


def _exposure(told: Any) -> float | None:
    seconds, aperture = (
        _number(told.get(tag)) for tag in (ExifTags.Base.ExposureTime, ExifTags.Base.FNumber)
    )
    speed = told.get(ExifTags.Base.ISOSpeedRatings)
    speed = _number(speed[0] if isinstance(speed, tuple) and speed else speed)
    if seconds is None or seconds <= 0:
        return None
    # A lens without contacts tells no aperture, a phone always the same one: what is left out is taken as equal.
    stops = math.log2(seconds)
    stops -= 2 * math.log2(aperture) if aperture and aperture > 0 else 0
    stops += math.log2(speed / 100) if speed and speed > 0 else 0
    return round(stops, 3)


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    return number if math.isfinite(number) else None
