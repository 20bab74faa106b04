"""Photos made for the tests, and what is seen of them."""

import io

import numpy as np
from PIL import Image, ImageCms

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
LOSSLESS = {"PNG": {}, "TIFF": {}, "BMP": {}, "WEBP": {"lossless": True}, "AVIF": {"quality": 100}}


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def patches(width: int = 96, height: int = 64) -> Image.Image:
    """Four quarters large enough for any codec, in colours that tell every turn from every other."""
    image = Image.new("RGB", (width, height), "red")
    image.paste("lime", (width // 2, 0, width, height // 2))
    image.paste("blue", (0, height // 2, width // 2, height))
    image.paste("white", (width // 2, height // 2, width, height))
    return image


def grey(values: np.ndarray) -> Image.Image:
    return Image.fromarray(np.round(values).astype(np.uint8)).convert("RGB")


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def exif(orientation: object) -> bytes:
    data = Image.Exif()
    data[0x0112] = orientation
    return data.tobytes()


# Which side of the scene the first row and the first column of the file are (EXIF 2.32, 4.6.4).
SIDES = dict(
    enumerate(
        [
            "top-left",
            "top-right",
            "bottom-right",
            "bottom-left",
            "left-top",
            "right-top",
            "right-bottom",
            "left-bottom",
        ],
        1,
    )
)


def turned_away(image: Image.Image, orientation: int) -> Image.Image:
    """The photo as a camera stores it that writes this orientation."""
    pixels = np.asarray(image)
    sides = SIDES[orientation].split("-")
    if "right" in sides:
        pixels = pixels[:, ::-1]
    if "bottom" in sides:
        pixels = pixels[::-1]
    if sides[0] in ("left", "right"):
        pixels = pixels.transpose(1, 0, 2)
    return Image.fromarray(pixels)


def corners(image: Image.Image) -> list[str]:
    """The colours of the four quarters' centres, row by row."""
    names = {(255, 0, 0): "red", (0, 255, 0): "lime", (0, 0, 255): "blue", (255, 255, 255): "white"}
    places = [(x * image.width // 4, y * image.height // 4) for y in (1, 3) for x in (1, 3)]
    return [
        names.get(tuple(round(v / 255) * 255 for v in image.getpixel(place)), "another") for place in places
    ]


def differ(one: Image.Image, other: Image.Image) -> int:
    return int(np.abs(np.asarray(one, np.int16) - np.asarray(other, np.int16)).max())
