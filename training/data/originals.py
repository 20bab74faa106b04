"""A folder of good photographs with a list of them: which are learnt from, and which are kept to judge."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

MASTER_PIXELS = 1_300_000
SHRINK = 0.6  # a JPEG from a camera, at 60 % of its size, no longer shows its compression
SHRINK_LOSSLESS = 0.8  # scikit-image keeps PNG files: only the lens is a little soft


@dataclass(frozen=True)
class CreditedPhoto:
    """One photograph of the set; `file` is relative to the folder that holds `photos.json`."""

    name: str
    file: str
    held_out: bool
    package: str
    original: str
    author: str
    licence: str
    check: bool = (
        False  # of the held-out photos, those that validate on real material, not by textbook degradations
    )


def list_photos(folder: Path) -> list[CreditedPhoto]:
    """The set that `collect` wrote into `folder`."""
    listing = folder / "photos.json"
    if not listing.exists():
        raise SystemExit(f"expected {listing}; run: python -m training.preview.collect --out {folder}")
    return [CreditedPhoto(**entry) for entry in json.loads(listing.read_text())]


def open_photo(folder: Path, photo: CreditedPhoto) -> np.ndarray:
    """The pixels of one photo as (height, width, 3) bytes."""
    with Image.open(folder / photo.file) as image:
        return np.asarray(image.convert("RGB"))


def open_photos(folder: Path, *, held_out: bool, check: bool = False, at_least: int = 1) -> list[Image.Image]:
    """All photos of one split; SystemExit with the list where some cannot be read or there are too few.

    With `check` those of the held-out photos that are kept for the validation on real material.
    """
    images, broken = [], []
    listed = list_photos(folder)
    wanted = [photo for photo in listed if (photo.held_out, photo.check) == (held_out, check)]
    for photo in wanted:
        try:
            images.append(Image.fromarray(open_photo(folder, photo)))
        except (OSError, ValueError) as error:
            broken.append(f"  {folder / photo.file}: {error}")
    if broken:
        raise SystemExit("\n".join([f"{len(broken)} of {len(wanted)} photos cannot be read:", *broken]))
    if len(images) < at_least:
        split = "held-out" if held_out else "training"
        names = ", ".join(photo.file for photo in wanted) or "none"
        raise SystemExit(
            f"expected at least {at_least} {split} photos in {folder}, got {len(wanted)}: {names}"
        )
    return images
