"""Photos with the notes that a camera writes: when, how long, which aperture and speed."""

from pathlib import Path

from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from shared.places import REPOSITORY

EXAMPLES = REPOSITORY / "examples" / "photos"


def taken(
    path: Path,
    time: str,
    *,
    seconds: int = 250,
    fraction: str = "",
    image: Image.Image | None = None,
    turned: int = 1,
) -> Path:
    """A JPEG that a camera took then, in a `seconds`-th of a second at f/2.8 and ISO 400."""
    exif = Image.Exif()
    exif[0x112] = turned
    tags = {0x9003: time, 0x9291: fraction, 0x829A: IFDRational(1, seconds), 0x829D: IFDRational(28, 10)}
    exif.get_ifd(0x8769).update(tags | {0x8827: 400})
    picture = image or Image.open(EXAMPLES / "cat.jpg").resize((300, 200))
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, quality=90, exif=exif)
    return path
