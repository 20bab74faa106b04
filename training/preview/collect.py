"""Collect the free photographs that the preview checkpoint learns from, on any Debian machine.

    pip install scikit-image scikit-learn
    python -m training.preview.collect --out DIR [--cid22 FOLDER]

Photographs come out of Debian packages (`apt-get download`, nothing is installed), out of the two Python packages
that carry a few and, where it is at hand, out of CID22's training part. Each is shrunk until its pixels are sharp and clean again, because the
warm-up adds the only degradations it wants to see, and saved without loss beside `photos.json`.
"""

import argparse
import json
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from fnmatch import fnmatch
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from training.data.originals import MASTER_PIXELS, SHRINK, SHRINK_LOSSLESS, CreditedPhoto
from training.preview.photo_sources import (
    CID22,
    CID22_AUTHOR,
    CID22_CHECKED,
    CID22_LICENCE,
    HELD_OUT,
    LAND,
    PLASMA,
    SOURCES,
    Source,
)

SHRINK_MADE_SMALL = 0.8  # its maker has shrunk it before
DRAWN = 0.5  # of all neighbours are the same where something was drawn and not photographed


def collect(out: Path, cid22: Path | None = None) -> list[CreditedPhoto]:
    """Write every photograph of SOURCES (and of CID22's folder) into `out` and list them in `out/photos.json`."""
    lacking = [package for package in ("skimage", "sklearn") if not find_spec(package)]
    if lacking:
        raise SystemExit(
            f"expected the photographs inside {' and '.join(lacking)}; run: pip install scikit-image scikit-learn"
        )
    if cid22 and not any(cid22.glob("*.png")):
        raise SystemExit(f"expected PNG files of {CID22} in {cid22}, found none")
    out.mkdir(parents=True, exist_ok=True)
    photos: dict[str, CreditedPhoto] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for source in SOURCES:
            for original, data in _read(_unpack(source.package, Path(scratch)), source):
                name = original.split("/")[-1].split(".")[0].split("@")[0]
                if name in photos:
                    continue  # an earlier source names it, with its own licence
                held = name in HELD_OUT or source.check
                about = (source.package, original, source.author, source.licence, source.check)
                photos[name] = CreditedPhoto(name, f"{name}.png", held, *about)
                shrink = SHRINK_MADE_SMALL if source.folder == LAND else SHRINK
                _clean(data, shrink).save(out / photos[name].file, compress_level=1)
    missing = HELD_OUT - set(photos)
    if missing:
        raise SystemExit(f"expected every held-out photo, these are missing: {sorted(missing)}")
    listed = [*photos.values(), *(_cid22(cid22, out) if cid22 else ())]
    (out / "photos.json").write_text(json.dumps([asdict(photo) for photo in listed], indent=1))
    return listed


def credit(photos: list[CreditedPhoto]) -> str:
    """Who made the photographs of a training set, as a Markdown page: package, licence, author, names."""
    learnt = [photo for photo in photos if not photo.held_out]
    rows: dict[tuple[str, str, str], list[str]] = {}
    for photo in learnt:
        rows.setdefault((photo.package, photo.licence, photo.author), []).append(
            photo.original.split("/")[-1]
        )
    table = "\n".join(f"| {' | '.join(key)} | {', '.join(names)} |" for key, names in rows.items())
    return f"""# Photographs behind the preview checkpoint

The weights were trained on degraded views of these {len(learnt)} photographs, found in Debian packages (bookworm),
in scikit-image and in scikit-learn; {len(photos) - len(learnt)} more were kept aside to measure. No photograph is in
this folder. `python -m training.preview.collect --out DIR` collects them again, and `--credits` writes this page. In
gcompris-qt-data, GPL-3+ is what the package states for its files; where its copyright file names another
licence or author for one file, that applies.

| package | licence | author | files |
| --- | --- | --- | --- |
{table}
"""


def _unpack(package: str, scratch: Path) -> Path:
    spec = find_spec(package) if package in ("skimage", "sklearn") else None
    if spec and spec.submodule_search_locations:
        return Path(spec.submodule_search_locations[0])
    root = scratch / package
    if not root.exists():
        subprocess.run(["apt-get", "download", package], cwd=scratch, check=True)
        deb = next(scratch.glob(f"{package}_*.deb"))
        subprocess.run(["dpkg", "-x", deb, root], check=True)
    return root


def _read(root: Path, source: Source) -> Iterator[tuple[str, bytes]]:
    wanted = source.names.split()
    if any("*" in name for name in wanted):
        found = sorted((root / source.folder).iterdir())
        wanted = [file.name for file in found if any(fnmatch(file.name, name) for name in wanted)]
    if source.folder.endswith(".rcc"):
        entries = {Path(path).stem: (path, data) for path, data in _qt_resources(root / source.folder)}
        yield from (entries[name] for name in wanted)
    elif source.folder == PLASMA:
        for name in wanted:
            file = next((root / PLASMA / name).glob("contents/images/2560x1600.*"))
            yield f"{PLASMA}/{name}.jpg", file.read_bytes()
    else:
        for name in wanted:
            yield f"{source.folder}/{name}", (root / source.folder / name).read_bytes()


def _qt_resources(file: Path) -> Iterator[tuple[str, bytes]]:
    """The uncompressed files inside a Qt resource file (`qres`, format 2 or 3)."""
    blob = file.read_bytes()

    def number(at: int, size: int = 4) -> int:
        return int.from_bytes(blob[at : at + size], "big")

    tree, data, names = number(8), number(12), number(16)

    def walk(node: int, prefix: str) -> Iterator[tuple[str, bytes]]:
        at = tree + node * 22
        name = names + number(at)
        path = prefix + blob[name + 6 : name + 6 + 2 * number(name, 2)].decode("utf-16-be")
        if number(at + 4, 2) & 2:
            first = number(at + 10)
            for child in range(first, first + number(at + 6)):
                yield from walk(child, f"{path}/" if path else "")
        elif path.endswith((".webp", ".jpg")):
            start = data + number(at + 10)
            yield path, blob[start + 4 : start + 4 + number(start)]

    yield from walk(0, "")


def _cid22(folder: Path, out: Path) -> Iterator[CreditedPhoto]:
    """Its photographs as they are: they were chosen for being pristine. Its charts and drawings are left out."""
    number = 0
    for file in sorted(folder.glob("*.png")):
        with Image.open(file) as image:
            photo = image.convert("RGB")
        if _is_drawn(photo):
            continue
        check = number % CID22_CHECKED == 0
        number += 1
        name = f"cid22_{file.stem.removeprefix('training_')}"
        photo.save(out / f"{name}.png", compress_level=1)
        yield CreditedPhoto(name, f"{name}.png", check, CID22, file.name, CID22_AUTHOR, CID22_LICENCE, check)


def _is_drawn(photo: Image.Image) -> bool:
    pixels = np.asarray(photo, np.int16)
    return bool((np.abs(np.diff(pixels, axis=1)).max(-1) == 0).mean() > DRAWN)


def _clean(data: bytes, shrink: float) -> Image.Image:
    with Image.open(BytesIO(data)) as image:
        shrink = SHRINK_LOSSLESS if image.format == "PNG" else shrink
        photo = image.convert("RGB")
    scale = min(shrink, (MASTER_PIXELS / (photo.width * photo.height)) ** 0.5)
    return photo.resize((round(photo.width * scale), round(photo.height * scale)), Image.Resampling.LANCZOS)


def main() -> None:
    parser = argparse.ArgumentParser(description="collect the photographs of the preview checkpoint")
    parser.add_argument("--out", type=Path, required=True, help="folder for the photos and photos.json")
    parser.add_argument("--credits", type=Path, help="also write who made the photos to this Markdown file")
    parser.add_argument("--cid22", type=Path, help=f"folder with the PNG files of {CID22}'s training part")
    asked = parser.parse_args()
    photos = collect(asked.out, asked.cid22)
    if asked.credits:
        asked.credits.write_text(credit(photos))
    held = sum(photo.held_out for photo in photos)
    print(
        f"{len(photos)} photos, {held} of them held out ({sum(photo.check for photo in photos)} for real material)"
    )


if __name__ == "__main__":
    main()
