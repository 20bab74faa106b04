"""Collect the free photographs that the preview checkpoint learns from, on any Debian machine.

    python -m training.photos --out DIR

Photographs come out of Debian packages (`apt-get download`, nothing is installed) and out of the two
Python packages that carry a few. Each is shrunk until its pixels are sharp and clean again, because the
warm-up adds the only degradations it wants to see, and saved without loss beside `photos.json`.
"""

import argparse
import json
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

MASTER_PIXELS = 1_300_000
SHRINK = 0.6  # a JPEG from a camera, at 60 % of its size, no longer shows its compression
SHRINK_LOSSLESS = 0.8  # scikit-image keeps PNG files: only the lens is a little soft

HELD_OUT = {
    *("astronaut", "chelsea", "coffee", "rocket", "flower", "Dragonfly_by_Bolly", "Wine_by_Jakkub_Mede"),
    *("picosdeeuropa_by_Aitzol_Berasategi", "seeding_by_Clements_Engelhardt", "LadyBird", "Dune", "Grey"),
    *("european-honey-bee", "castle-maintenon", "FallenLeaf", "gorilla", "kingfisher", "cheetah", "squirrel"),
    *("camels", "toucan", "petra", "machuPicchu", "charminar", "mountRushmore", "colosseum", "hawaMahal"),
    *("berlinCathedral", "pontduGard", "panda", "crocodile", "scarlet_macaw", "cow", "america", "orchestra"),
}


@dataclass(frozen=True)
class Source:
    """Photographs of one package under one licence: `names` under `folder`, or inside a Qt resource file."""

    package: str
    folder: str
    names: str
    licence: str
    author: str = "see the package's copyright file"


@dataclass(frozen=True)
class Photo:
    """One photograph of the set; `file` is relative to the folder that holds `photos.json`."""

    name: str
    file: str
    held_out: bool
    package: str
    original: str
    author: str
    licence: str


BACKGROUNDS = "usr/share/backgrounds"
GCOMPRIS = "usr/share/gcompris-qt/rcc"
PLASMA = "usr/share/wallpapers"
PALAPELI = "usr/share/palapeli/collection"

SOURCES = (
    Source(
        "lomiri-wallpapers-16.04",
        BACKGROUNDS,
        "aitzgorri_by_Aitzol_Berasategi.jpg friends_by_Aitzol_Berasategi.jpg life_by_Aitzol_Berasategi.jpg "
        "picosdeeuropa_by_Aitzol_Berasategi.jpg sunset_by_Aitzol_Berasategi.jpg",
        "CC-BY-4.0",
        "Aitzol Berasategi",
    ),
    Source(
        "lomiri-wallpapers-16.04",
        BACKGROUNDS,
        "Picture_0B_by_freespace.jpg Picture_1A_by_freespace.jpg",
        "CC-BY-4.0",
        "Trevor Freespace",
    ),
    Source("lomiri-wallpapers-16.04", BACKGROUNDS, "Wine_by_Jakkub_Mede.jpg", "CC-BY-4.0", "Jakub Mede"),
    Source(
        "lomiri-wallpapers-16.04",
        BACKGROUNDS,
        "Bridge_by_Sander_Klootwijk.jpg",
        "CC-BY-SA-4.0",
        "Sander Klootwijk",
    ),
    Source("lomiri-wallpapers-16.04", BACKGROUNDS, "Dragonfly_by_Bolly.jpg", "CC-BY-SA-4.0", "Bolly"),
    Source(
        "lomiri-wallpapers-16.04",
        BACKGROUNDS,
        "free_by_Peter_Nerlich.jpg greentock_by_Peter_Nerlich.jpg",
        "CC-BY-SA-4.0",
        "Peter Nerlich",
    ),
    Source(
        "lomiri-wallpapers-16.04",
        BACKGROUNDS,
        "seeding_by_Clements_Engelhardt.jpg",
        "CC0-1.0",
        "Clemens Engelhardt",
    ),
    Source(
        "lomiri-wallpapers-20.04",
        BACKGROUNDS,
        "Kleiber_by_Lukas_Baubkus.jpg",
        "CC-BY-SA-3.0",
        "Lukas Baubkus",
    ),
    Source(
        "mate-backgrounds",
        f"{BACKGROUNDS}/mate/nature",
        "Aqua.jpg Blinds.jpg Dune.jpg FreshFlower.jpg Garden.jpg GreenMeadow.jpg LadyBird.jpg RainDrops.jpg "
        "Storm.jpg TwoWings.jpg Wood.jpg YellowFlower.jpg",
        "GPL-2+",
    ),
    Source("palapeli-data", PALAPELI, "castle-maintenon.jpg", "GFDL", "Eric Pouhier"),
    Source("palapeli-data", PALAPELI, "panther-chameleon-female.jpg", "GFDL", "B. Navez and others"),
    Source("palapeli-data", PALAPELI, "cincinnati-bridge.jpg", "public domain", "Derek Jensen"),
    Source("palapeli-data", PALAPELI, "citrus-fruits.jpg", "public domain", "US Department of Agriculture"),
    Source("palapeli-data", PALAPELI, "european-honey-bee.jpg", "public domain", "John Severns"),
    Source("plasma-workspace-wallpapers", PLASMA, "BytheWater", "LGPL-3", "Maciej Wiklo"),
    Source("plasma-workspace-wallpapers", PLASMA, "ColorfulCups", "LGPL-3", "Dmitri Popov"),
    Source("plasma-workspace-wallpapers", PLASMA, "EveningGlow", "LGPL-3", "Ian Hex"),
    Source("plasma-workspace-wallpapers", PLASMA, "FallenLeaf", "LGPL-3", "Martin Klapetek"),
    Source("plasma-workspace-wallpapers", PLASMA, "Grey", "LGPL-3", "Sigi Sagi"),
    Source(
        "plasma-workspace-wallpapers",
        PLASMA,
        "ColdRipple DarkestHour Kite OneStandsOut Path summer_1am",
        "LGPL-3",
        "Risto Saukonpää",
    ),
    Source(
        "gcompris-qt-data",
        f"{GCOMPRIS}/erase.rcc",
        "gorilla northern_harrier pika caterpillar giraffe calf penguin nubian_ibex camels macaque swans dolphin "
        "long_nosed_monkey kingfisher heron chamaeleon flying_fox gibbon rhinoceros crab goat toucan gosling horse "
        "alpaca cheetah butterfly bee meerkats kitten red_panda squirrel spoonbills",
        "GPL-3+",
    ),
    Source(
        "gcompris-qt-data",
        f"{GCOMPRIS}/explore_monuments.rcc",
        "canyondeChelly georgeWashingtonBirthplace lincolnMemorial navajo cabrillo mountRushmore statueofLiberty "
        "castillodeSanMarcos fortSumter meidumPyramid greatPyramidOfGiza bentPyramid greatStupa gatewayofIndia "
        "konarkSunTemple charminar hawaMahal rangGhar victoriaMemorial mysorePalace goldenTemple ajantaCave "
        "qutubMinar chateaudeChambord pontduGard palaisdesPapes reimsCathedral eiffelTower citedeCarcassonne "
        "arlesAmphitheater chateaudeChenonceau montStMichel rocamadour berlinCathedral schwerinPalace "
        "trierImperialBaths aulaPalatina brandenburgGate neuschwansteinCastle wormsCathedral machuPicchu tajMahal "
        "chichenItza colosseum petra greatWallofChina christTheRedeemer",
        "GPL-3+",
    ),
    Source(
        "gcompris-qt-data",
        f"{GCOMPRIS}/explore_world_animals.rcc",
        "crocodile koala bison dragon jaguar hedgehog kangaroo narwhal moose panda chameleon lemur polar_bear "
        "scarlet_macaw",
        "GPL-3+",
    ),
    Source(
        "gcompris-qt-data",
        f"{GCOMPRIS}/explore_farm_animals.rcc",
        "dog cow cat chicken sheep pig",
        "GPL-3+",
    ),
    Source(
        "gcompris-qt-data",
        f"{GCOMPRIS}/explore_world_music.rcc",
        "italy america australia japan orchestra africa ireland mexico",
        "GPL-3+",
    ),
    Source(
        "gcompris-qt-data",
        f"{GCOMPRIS}/details.rcc",
        "Louvre_2007_02_24_c_background FanoeWindmill_background EgeskovSlotSpejling_background "
        "EilanDonanCastle_background TowerBridgeLondon_background NDP_background Nagoya_background "
        "OperaSidney_background",
        "GPL-3+",
    ),
    Source("gcompris-qt-data", f"{GCOMPRIS}/clickgame.rcc", "sea1 sea3 sea4 sea6", "GPL-3+"),
    Source(
        "skimage",
        "data",
        "astronaut.png brick.png camera.png chelsea.png coffee.png coins.png grass.png gravel.png ihc.png "
        "motorcycle_left.png rocket.jpg",
        "public domain or CC0, as documented upstream",
        "see skimage.data",
    ),
    Source("sklearn", "datasets/images", "china.jpg flower.jpg", "CC-BY-2.0", "see its README.txt"),
)


def collect(out: Path) -> list[Photo]:
    """Write every photograph of SOURCES into `out` and list them in `out/photos.json`."""
    out.mkdir(parents=True, exist_ok=True)
    photos = []
    with tempfile.TemporaryDirectory() as scratch:
        for source in SOURCES:
            root = _unpack(source.package, Path(scratch))
            for original, data in _read(root, source):
                name = original.split("/")[-1].split(".")[0]
                file = f"{name}.png"
                _clean(data).save(out / file, compress_level=1)
                held = name in HELD_OUT
                photos.append(
                    Photo(name, file, held, source.package, original, source.author, source.licence)
                )
    missing = HELD_OUT - {photo.name for photo in photos}
    if missing:
        raise SystemExit(f"expected every held-out photo, these are missing: {sorted(missing)}")
    (out / "photos.json").write_text(json.dumps([asdict(photo) for photo in photos], indent=1))
    return photos


def list_photos(folder: Path) -> list[Photo]:
    """The set that `collect` wrote into `folder`."""
    listing = folder / "photos.json"
    if not listing.exists():
        raise SystemExit(f"expected {listing}; run: python -m training.photos --out {folder}")
    return [Photo(**entry) for entry in json.loads(listing.read_text())]


def open_photo(folder: Path, photo: Photo) -> np.ndarray:
    """The pixels of one photo as (height, width, 3) bytes."""
    with Image.open(folder / photo.file) as image:
        return np.asarray(image.convert("RGB"))


def open_photos(folder: Path, *, held_out: bool, at_least: int = 1) -> list[Image.Image]:
    """All photos of one split; SystemExit with the list where some cannot be read or there are too few."""
    images, broken = [], []
    wanted = [photo for photo in list_photos(folder) if photo.held_out == held_out]
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


def credit(photos: list[Photo]) -> str:
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
this folder. `python -m training.photos --out DIR` collects them again, and `--credits` writes this page. In
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


def _clean(data: bytes) -> Image.Image:
    with Image.open(BytesIO(data)) as image:
        shrink = SHRINK_LOSSLESS if image.format == "PNG" else SHRINK
        photo = image.convert("RGB")
    scale = min(shrink, (MASTER_PIXELS / (photo.width * photo.height)) ** 0.5)
    return photo.resize((round(photo.width * scale), round(photo.height * scale)), Image.Resampling.LANCZOS)


def main() -> None:
    parser = argparse.ArgumentParser(description="collect the photographs of the preview checkpoint")
    parser.add_argument("--out", type=Path, required=True, help="folder for the photos and photos.json")
    parser.add_argument("--credits", type=Path, help="also write who made the photos to this Markdown file")
    asked = parser.parse_args()
    photos = collect(asked.out)
    if asked.credits:
        asked.credits.write_text(credit(photos))
    print(f"{len(photos)} photos, {sum(photo.held_out for photo in photos)} of them held out")


if __name__ == "__main__":
    main()
