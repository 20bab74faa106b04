"""From a camera's raw file to the picture its maker would show: the full-size preview, or a development."""

import io
from dataclasses import dataclass
from typing import Any

from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from qinsight.errors import PhotoError

PREVIEW_SHARE = 0.8  # of the sensor's pixels; a smaller preview hides focus and noise
FLIPS = {3: 3, 5: 8, 6: 6}  # how LibRaw says the camera was held -> how EXIF says it


@dataclass(frozen=True)
class Preview:
    """A JPEG the camera made of the whole photo, and the EXIF orientation it needs if it tells none."""

    jpeg: bytes
    orientation: int


@dataclass(frozen=True)
class Development:
    """Pixels computed from the sensor's, upright and sRGB, and the photo's full size."""

    image: Image.Image
    size: tuple[int, int]


def open_raw(data: bytes, *, most_pixels: int, wanted: int | None) -> Preview | Development:
    """The embedded preview where it is (almost) as large as the sensor, else developed pixels, upright sRGB."""
    import rawpy

    try:
        with rawpy.imread(io.BytesIO(data)) as raw:
            width, height, flip = raw.sizes.width, raw.sizes.height, raw.sizes.flip
            if raw.sizes.raw_width * raw.sizes.raw_height > most_pixels:
                raise PhotoError(
                    "expected at most {most} megapixels, got {width} x {height}; export the photo as a smaller JPEG",
                    most=most_pixels // 10**6,
                    width=width,
                    height=height,
                )
            if preview := _full_size_preview(raw):
                return preview
            half = wanted is not None and width * height >= 16 * wanted  # still twice the wanted sides
            pixels = raw.postprocess(use_camera_wb=True, half_size=half, output_bps=8)
            return Development(
                Image.fromarray(pixels), (height, width) if flip in (5, 6) else (width, height)
            )
    except (rawpy.LibRawError, rawpy.NotSupportedError) as error:
        raise PhotoError(
            "expected a camera RAW file that LibRaw can read, got one it cannot; export the photo as a JPEG"
        ) from error


def _full_size_preview(raw: Any) -> Preview | None:
    import rawpy

    try:
        found = raw.extract_thumb()
        if found.format is not rawpy.ThumbFormat.JPEG:
            return None
        width, height = JpegImageFile(io.BytesIO(found.data)).size
    except (rawpy.LibRawError, rawpy.NotSupportedError, OSError, SyntaxError, ValueError):
        return None
    if width * height < PREVIEW_SHARE * raw.sizes.width * raw.sizes.height:
        return None
    upright_already = raw.sizes.flip in (5, 6) and (width > height) != (raw.sizes.width > raw.sizes.height)
    return Preview(bytes(found.data), 1 if upright_already else FLIPS.get(raw.sizes.flip, 1))
