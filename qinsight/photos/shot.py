"""What a camera noted of a shot: when it was taken, and how much light it let in."""

import contextlib
import math
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from PIL import ExifTags, Image

from qinsight.errors import PhotoError
from qinsight.photos.decode import BROKEN
from qinsight.photos.files import open_regular
from qinsight.photos.listing import HEAD

EXIF = b"Exif\0\0"
TIFF = (b"II*\0", b"MM\0*")  # how most camera RAW begins


@dataclass(frozen=True)
class Shot:
    """`taken` as ISO 8601 without a zone, `exposure_value` at ISO 100; None where the camera does not tell."""

    taken: str | None = None
    exposure_value: float | None = None
    settings: str = ""

    @property
    def time(self) -> datetime | None:
        """When it was taken; a text that is no time tells none."""
        with contextlib.suppress(ValueError, TypeError):
            return datetime.fromisoformat(self.taken or "")
        return None


def shot_in(path: Path) -> Shot:
    """The shot of a file; an empty one where it cannot be opened."""
    try:
        with open_regular(path) as file:
            return shot_of(file.read(HEAD))
    except (PhotoError, OSError):
        return Shot()


def shot_of(head: bytes) -> Shot:
    """The shot that the first bytes of a photo tell."""
    tags = _tags(head[:HEAD])
    seconds, aperture = _number(tags.get(0x829A)), _number(tags.get(0x829D))
    speed = _number(tags.get(0x8827))
    value = None
    if seconds and aperture and speed:
        value = round(math.log2(aperture**2 / seconds * 100 / speed), 3)
    return Shot(_time(tags), value, _settings(seconds, aperture, speed))


def _tags(head: bytes) -> dict[int, Any]:
    at = head.find(EXIF)
    block = head if head.startswith(TIFF) else head[at:] if at >= 0 else b""
    exif = Image.Exif()
    with contextlib.suppress(*BROKEN):
        exif.load(block)
        return dict(exif.get_ifd(ExifTags.IFD.Exif))
    return {}


def _number(value: Any) -> float | None:
    """A positive number that a tag holds, alone or first of several."""
    with contextlib.suppress(*BROKEN):
        found = float(value[0] if isinstance(value, tuple) else value)
        return found if math.isfinite(found) and found > 0 else None
    return None


def _time(tags: dict[int, Any]) -> str | None:
    with contextlib.suppress(*BROKEN):
        taken = datetime.strptime(str(tags[0x9003]).strip("\0 "), "%Y:%m:%d %H:%M:%S")
        fraction = str(tags.get(0x9291, "")).strip("\0 ")[:6]
        part = int(fraction.ljust(6, "0")) if fraction.isdecimal() else 0
        return taken.replace(microsecond=part).isoformat()
    return None


def _settings(seconds: float | None, aperture: float | None, speed: float | None) -> str:
    """As photographers write it: 1/250 s, f/2.8, ISO 400."""
    told = []
    if seconds:
        told.append(f"1/{1 / seconds:.0f} s" if seconds < 0.4 else f"{seconds:g} s")
    if aperture:
        told.append(f"f/{aperture:g}")
    if speed:
        told.append(f"ISO {speed:.0f}")
    return ", ".join(told)
