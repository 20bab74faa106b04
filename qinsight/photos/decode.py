"""From any file a person may bring to the pixels the photographer sees: upright, sRGB, 8 bit.

This file tells the story. `files` knows kinds of files, `raw` camera RAW, `colour` what colours are meant, and
`child` decodes in a process that may be stopped or may crash without harm.
"""

import contextlib
import importlib
import io
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from PIL import ExifTags, Image, ImageCms
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from qinsight.errors import PhotoError
from qinsight.photos.colour import colours_of
from qinsight.photos.files import (
    BROKEN,
    Source,
    check_jpeg,
    full_size_tiff,
    read_bytes,
    recognise,
    strip_png,
)
from qinsight.photos.raw import Preview, open_raw
from qinsight.photos.shot import Shot, shot_of
from qinsight.sentence import Sentence

MOST_PIXELS = 178_956_970  # twice Pillow's own MAX_IMAGE_PIXELS; 0.7 GB once decoded
MOST_DRAFTED_PIXELS = 300_000_000  # for a JPEG that libjpeg shrinks while it decodes
LEAST_SIDE = 8  # the model sees at least 56 x 56 pixels: below 8, it would rate what enlarging invented
MOST_ASPECT = 200  # Qwen2.5-VL's own limit
EXTRAS = {"HEIC": "pi-heif", "RAW": "rawpy"}  # what pip installs to read them

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # EXIF orientation -> what makes it upright
SIDEWAYS = {TURNS[5], TURNS[6], TURNS[7], TURNS[8]}


@dataclass(frozen=True)
class Photo:
    """A photo ready for the model, and what a person may like to know about the file it came from."""

    image: Image.Image
    size: tuple[int, int]  # width and height of the original, upright
    format: str
    notes: tuple[Sentence, ...] = ()
    shot: Shot = field(default_factory=Shot)


def read_here(source: Source, *, max_pixels: int | None = None) -> Photo:
    """As `read_photo`, always in this process: a broken HEIC or RAW file may take it down."""
    if max_pixels is not None and max_pixels < 1:
        raise ValueError(f"expected max_pixels of at least 1, got {max_pixels}")
    try:
        data = read_bytes(source)
        kind = recognise(data)
        if kind in EXTRAS:
            require_extra(kind)
        if kind == "RAW":
            return _read_raw(data, max_pixels)
        return _decode(_open(data, kind), kind, max_pixels)
    except MemoryError as error:
        raise PhotoError(
            "expected a photo that fits in memory, got a larger one; save a smaller copy"
        ) from error


def quick_jpeg(data: bytes, max_pixels: int) -> Photo:
    """A JPEG to look at, not to judge: shrunk while it is decoded as far as that goes, in this process."""
    return _decode(_open(data, "JPEG"), "JPEG", max_pixels, margin=1)


def require_extra(kind: str) -> None:
    package = EXTRAS[kind]
    try:
        importlib.import_module(package.replace("-", "_"))
    except ImportError as error:
        raise PhotoError(
            "expected JPEG, PNG, WebP, TIFF, GIF, BMP or AVIF, got a {kind} photo; "
            "run `pip install {package}`, or export it as a JPEG",
            kind=kind,
            package=package,
        ) from error


def _open(data: bytes, kind: str) -> ImageFile:
    """Read the header only. Naming the plugin leaves `Image.open`, its 40 parsers and its messages out."""
    with _damage_refused(kind):
        match kind:
            case "JPEG":
                check_jpeg(data)
                return JpegImageFile(io.BytesIO(data))
            case "PNG":
                return _open_png(data)
            case "TIFF":
                return _open_tiff(data)
            case "HEIC":
                return _open_heic(data)
            case "WebP":
                return WebPImageFile(io.BytesIO(data))
            case "GIF":
                return GifImageFile(io.BytesIO(data))
            case "AVIF":
                return AvifImageFile(io.BytesIO(data))
            case _:
                return BmpImageFile(io.BytesIO(data))


def _decode(
    opened: ImageFile, kind: str, max_pixels: int | None, untold_orientation: int = 1, margin: int = 2
) -> Photo:
    stored = opened.size
    target = _fit(stored, max_pixels)
    # At twice the wanted size or more, what libjpeg shrinks differs by at most 1 level of 255.
    drafted = opened.draft(None, (margin * target[0], margin * target[1])) if target != stored else None
    _check_size(stored, opened.size)
    with _damage_refused(kind):
        opened.load()
    exif = _told_exif(opened)
    turn = TURNS.get(_told_orientation(exif) or untold_orientation)
    shot = _told_shot(exif)

    image: Image.Image = _eight_bit(opened)
    if target != stored:
        image = image.resize(target, Image.Resampling.BICUBIC, box=drafted[1] if drafted else None)
    alpha = image.getchannel("A") if image.mode in ("LA", "RGBA") else None
    image, colour_note = _to_srgb(image, opened.info.get("icc_profile"), opened.info.get("icc_name"))
    if alpha and alpha.getextrema() != (255, 255):
        image = Image.composite(image, Image.new("RGB", image.size, "white"), alpha)
    if turn is not None:
        image = image.transpose(turn)
    if image is opened:
        image = image.copy()  # without the file, its metadata and the plugin's methods
    image.info = {}
    size = stored[::-1] if turn in SIDEWAYS else stored
    remarks = opened.info.get("remarks", ()) if kind == "PNG" else ()
    return Photo(image, size, kind, (*_frame_notes(opened), *colour_note, *remarks), shot)


def _read_raw(data: bytes, max_pixels: int | None) -> Photo:
    found = open_raw(data, most_pixels=MOST_PIXELS, wanted=max_pixels)
    if isinstance(found, Preview):
        preview = _decode(_open(found.jpeg, "JPEG"), "JPEG", max_pixels, found.orientation)
        notes = (Sentence("RAW: embedded preview rated"), *preview.notes)
        return Photo(preview.image, preview.size, "RAW", notes, preview.shot)
    _check_size(found.image.size, found.image.size)
    target = _fit(found.image.size, max_pixels)
    image = (
        found.image if target == found.image.size else found.image.resize(target, Image.Resampling.BICUBIC)
    )
    return Photo(image, found.size, "RAW", (Sentence("RAW: developed, with automatic brightness"),))


def _open_png(data: bytes) -> ImageFile:
    stripped, chunks, frames = strip_png(data)
    opened = PngImageFile(io.BytesIO(stripped))
    opened.info["icc_profile"], opened.info["remarks"], opened.info["icc_name"] = colours_of(chunks)
    opened.info["frames"] = frames
    return opened


def _open_tiff(data: bytes) -> ImageFile:
    opened = TiffImageFile(io.BytesIO(full_size_tiff(data)))
    tags = opened.tag_v2
    bits, kinds = tags.get(258, (1,)), tags.get(339, (1,))  # BitsPerSample, SampleFormat
    if max(kinds) in (2, 3, 5, 6) or opened.mode == "F":
        raise PhotoError(
            "expected a TIFF of 8 or 16 bits, got one of signed or floating-point numbers; export it again"
        )
    if tags.get(284) == 2 and max(bits) > 8 and len(bits) > 1:  # PlanarConfiguration; Pillow would show noise
        raise PhotoError(
            "expected a TIFF with interleaved colours, got separate 16-bit planes; export it again"
        )
    opened.info["white"] = 2 ** max(bits) - 1
    opened.info["inverted"] = tags.get(262) == 0 and max(bits) > 8  # Pillow inverts up to 8 bits itself
    return opened


def _open_heic(data: bytes) -> ImageFile:
    from pi_heif import HeifImageFile

    opened: ImageFile = HeifImageFile(io.BytesIO(data))
    return opened


def _fit(size: tuple[int, int], max_pixels: int | None) -> tuple[int, int]:
    """The largest size of the same shape with at most `max_pixels`; never larger than it is."""
    if max_pixels is None or math.prod(size) <= max_pixels:
        return size
    scale = math.sqrt(max_pixels / math.prod(size))
    short = max(1, int(min(size) * scale))
    # Rounding must not push a 200:1 panorama over the limit.
    long = min(int(max(size) * scale), max_pixels // short, MOST_ASPECT * short)
    return (long, short) if size[0] > size[1] else (short, long)


def _check_size(stored: tuple[int, int], decoded: tuple[int, int]) -> None:
    width, height = stored
    if math.prod(decoded) > MOST_PIXELS or math.prod(stored) > MOST_DRAFTED_PIXELS:
        raise PhotoError(
            "expected at most {most} megapixels, got {width} x {height}; save a smaller copy",
            most=MOST_PIXELS // 10**6,
            width=width,
            height=height,
        )
    if min(stored) < LEAST_SIDE:
        raise PhotoError(
            "expected a photo of at least {least} x {least} pixels, got {width} x {height}",
            least=LEAST_SIDE,
            width=width,
            height=height,
        )
    if max(stored) > MOST_ASPECT * min(stored):
        raise PhotoError(
            "expected a shape of at most {most}:1, got {width} x {height}; crop it first",
            most=MOST_ASPECT,
            width=width,
            height=height,
        )


def _told_exif(opened: ImageFile) -> Image.Exif:
    """What the file says of the photo; empty where that is damaged."""
    exif = Image.Exif()
    with contextlib.suppress(*BROKEN):
        exif.load(opened.info.get("exif") or b"")
    return exif


def _told_orientation(exif: Image.Exif) -> int:
    """EXIF orientation 1 to 8, or 0 where the file does not say. XMP's is left out, as in browsers."""
    try:
        said = exif.get(ExifTags.Base.Orientation)
    except BROKEN:
        return 0
    return said if isinstance(said, int) and 1 <= said <= 8 else 0


def _told_shot(exif: Image.Exif) -> Shot:
    try:
        return shot_of(exif)
    except BROKEN:
        return Shot()


def _eight_bit(image: ImageFile) -> Image.Image:
    """The same picture in mode L, LA, RGB, RGBA, CMYK or LAB, in which colours can be computed."""
    match image.mode:
        case "L" | "RGB" if "transparency" in image.info:
            return image.convert("LA" if image.mode == "L" else "RGBA")
        case "L" | "LA" | "RGB" | "RGBA" | "CMYK" | "LAB":
            return image
        case "1" | "La" | "RGBa":
            return image.convert({"1": "L", "La": "LA", "RGBa": "RGBA"}[image.mode])
        case "I" | "I;16" | "I;16B" | "I;16L" | "I;16N":
            return _scaled_grey(image)
        case _:
            return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _scaled_grey(image: ImageFile) -> Image.Image:
    """Deep grey scaled to 8 bits; Pillow's own `convert` clips, which turns nearly every photo white."""
    import numpy as np

    values, white = np.asarray(image).astype(np.uint32), image.info.get("white", 0xFFFF)
    if white > 0xFFFF:
        values >>= 0 if values.max() <= 0xFFFF else 16  # 16-bit photos are often kept in 32-bit files
        white = 0xFFFF
    grey = ((values * 255 + white // 2) // white).astype(np.uint8)
    return Image.fromarray(255 - grey if image.info.get("inverted") else grey)


def _to_srgb(
    image: Image.Image, icc: bytes | None, told: Sentence | None
) -> tuple[Image.Image, tuple[Sentence, ...]]:
    """Colours as the file's profile means them; one that does not work is ignored, as viewers do."""
    if image.mode in ("LA", "RGBA"):
        image = image.convert(image.mode[:-1])
    if image.mode == "LAB":
        return _through_profile(image, ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))), ()
    if not icc:
        return image if image.mode == "RGB" else image.convert("RGB"), ()
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        space = profile.profile.xcolor_space.strip()
        if space == "RGB" and image.mode == "L":
            image = image.convert("RGB")
        if space == {"L": "GRAY"}.get(image.mode, image.mode):
            name = told or _printable(profile.profile.profile_description or "")
            note = (
                () if name.startswith("sRGB") else (Sentence("colour profile {name} converted", name=name),)
            )
            return _through_profile(image, profile), note
    except (OSError, ValueError, ImageCms.PyCMSError):
        pass
    return image.convert("RGB"), (Sentence("colour profile unusable, taken as sRGB"),)


def _through_profile(image: Image.Image, profile: ImageCms.ImageCmsProfile) -> Image.Image:
    converted = ImageCms.profileToProfile(
        image,
        profile,
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        outputMode="RGB",
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    assert converted is not None  # None is for inPlace=True
    return converted


def _printable(name: str) -> str:
    """A name from a stranger's file, fit to be shown: the page renders HTML."""
    return re.sub(r"[^\w .,()+-]", "", name).strip()[:40] or Sentence("without a name")


def _frame_notes(opened: ImageFile) -> tuple[Sentence, ...]:
    """Frames are counted only where the header says how many: a GIF or TIFF may hold millions of tiny ones."""
    try:
        if opened.format in ("GIF", "TIFF"):
            return (Sentence("first of several frames"),) if getattr(opened, "is_animated", False) else ()
    except BROKEN:  # the second frame is damaged; nobody asked for it
        return ()
    frames = opened.info["frames"] if opened.format == "PNG" else getattr(opened, "n_frames", 1)
    return (Sentence("first of {count} frames", count=frames),) if frames > 1 else ()


@contextmanager
def _damage_refused(kind: str) -> Iterator[None]:
    try:
        yield
    except Image.DecompressionBombError as error:
        raise PhotoError("expected a photo of fewer pixels; save a smaller copy") from error
    except BROKEN as error:
        raise PhotoError(
            "expected a complete {kind} file, got one that is damaged, cut short or of a rare kind; export it once more",
            kind=kind,
        ) from error
