"""How well claims are checked: `python tests/benchmarks/claims.py PHOTOS [--preview COUNT] [--real SHOTS] [--clean PHOTOS]`.

Every second photograph, by name, is one on which the bounds in `qinsight.trust.claims` were set; here are the others.
Each is damaged at level 3 to 5, and a true and a false claim are planted. Then: crops without a flat place, which must
never support "noise"; and with `--preview` the preview's own reasonings against those of other photos. What is said of noise:
where there is noise as cameras make it; with `--real` of shots at a high ISO and the means of many such (`*_real.*`,
`*_mean.*`), and with `--clean` of what `training.preview.collect` keeps to judge by.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
from PIL import Image

from qinsight.assess import ask, assessment, last
from qinsight.prompts import Task
from qinsight.trust.claims import Found, check_reasons
from qinsight.trust.harms import jpeg
from qinsight.trust.pixels import measure
from training.data.degrade import DISTORTIONS, degrade
from training.data.faults import afflict
from training.data.originals import open_photos

TRUE = {
    "noise": ("Heavy noise is visible across the picture.", "The image is grainy.", "Grain lies over the whole frame."),
    "compression": ("There are blocky compression artifacts.", "Block edges stand out.", "The photo shows JPEG artifacts."),
    "blur": ("The image is very blurry.", "The picture lacks sharpness.", "Edges are smeared wide."),
    "darken": ("The photo is underexposed.", "The image is too dark.", "The frame is underexposed."),
}  # fmt: skip
ABSENT = {
    "noise": ("There is no visible noise.", "The image is clean and free of grain."),
    "compression": ("There are no compression artifacts.", "The photo is free of blocking."),
    "blur": ("The image is sharp and clear.", "Edges are crisp."),
    "darken": ("The image is well lit.", "The exposure is good."),
}
OTHERS = {
    "noise": ("blur", "compression", "darken"),
    "compression": ("noise", "darken"),
    "blur": ("noise", "compression", "darken"),
    "darken": ("noise", "blur", "compression"),
}  # what is surely not there; a photo after JPEG 2000 is soft too
NOISE_CLAIMS = ("There is no noise.", "The image is grainy.", "There is heavy noise.")


def planted(paths: list[Path], rng: np.random.Generator) -> Iterator[tuple[bool, str, Image.Image, str]]:
    """Whether a claim is true, the claim, its photo, and how that was damaged."""
    for number, path in enumerate(paths):
        named = DISTORTIONS[number % len(DISTORTIONS)]
        made = degrade(Image.open(path).convert("RGB"), named, int(rng.integers(3, 6)), rng)
        yield True, str(rng.choice(TRUE[named])), made.image, made.kind
        other = str(rng.choice(OTHERS[named]))
        false = TRUE[other] if rng.random() < 0.5 else ABSENT[named]
        yield False, str(rng.choice(false)), made.image, made.kind


def show_planted(paths: list[Path]) -> None:
    counts = {(truth, found): 0 for truth in (True, False) for found in Found}
    for truth, claim, image, kind in planted(paths, np.random.default_rng(7)):
        (one,) = check_reasons(claim, image).checked
        counts[truth, one.found] += 1
        if one.found is not (Found.SUPPORTED if truth else Found.CONTRADICTED):
            print(f"  {'true' if truth else 'false'}, {kind}: {claim} {one.found}: {one.measured}")
    yes, wrong = counts[True, Found.SUPPORTED], counts[False, Found.SUPPORTED]
    no, denied = counts[False, Found.CONTRADICTED], counts[True, Found.CONTRADICTED]
    print(f"supported: precision {yes / (yes + wrong):.3f}, recall {yes / len(paths):.3f}")
    print(f"contradicted: precision {no / (no + denied):.3f}, recall {no / len(paths):.3f}")


def show_textures(paths: list[Path], count: int = 20) -> None:
    """The sharpest crops without flat places."""
    crops = []
    for path in paths:
        photo = Image.open(path).convert("RGB")
        for left in (0, 256):
            for top in (0, 256):
                crop = photo.crop((left, top, left + 256, top + 256))
                luma = np.asarray(crop.convert("L"), np.float32)
                fine = np.abs(np.diff(np.diff(luma, axis=0), axis=1))
                cells = fine[:248, :248].reshape(31, 8, 31, 8).mean((1, 3))
                crops.append((float(np.quantile(cells, 0.05)), path.name, crop))
    crops.sort(key=lambda one: -one[0])
    wrong = 0
    for _, name, crop in crops[:count]:
        (one,) = check_reasons("The image is noisy.", crop).checked
        wrong += one.found is Found.SUPPORTED
        if one.found is Found.SUPPORTED:
            print(f"  {name}: {one.measured}")
    print(f"noise supported on {wrong} of {count} crops of texture")


def show_noise(photos: Mapping[str, Sequence[Image.Image]]) -> None:
    """For every set what becomes of three claims: how often they are supported, contradicted and not checkable."""
    print(f"{'':32}" + "".join(f"{said:>32}" for said in NOISE_CLAIMS))
    for name, some in photos.items():
        seen = [measure(photo) for photo in some]
        verdicts = [[check_reasons(said, one).checked[0].found for one in seen] for said in NOISE_CLAIMS]
        counts = [", ".join(str(column.count(found)) for found in Found) for column in verdicts]
        print(f"{name:26}{len(seen):6}" + "".join(f"{count:>32}" for count in counts))


def with_noise(paths: list[Path]) -> Iterator[tuple[str, list[Image.Image]]]:
    """Photographs with noise as cameras make it, as they are and through a JPEG."""
    for kind in ("sensor_noise", "grain", "chroma_blotches"):
        for position in (1, 2, 3, 4):
            rng = np.random.default_rng(5)
            some = [afflict(Image.open(path).convert("RGB"), kind, position, rng).image for path in paths]
            yield f"{kind} {position}", some
            yield f"{kind} {position}, JPEG 85", [jpeg(photo, 85) for photo in some]


def show_shuffled(paths: list[Path]) -> None:
    from qinsight.engines.local import LocalEngine

    engine, rng = LocalEngine.open("preview"), np.random.default_rng(3)
    told: list[tuple[Any, str]] = []
    for number, path in enumerate(paths):
        named = DISTORTIONS[number % len(DISTORTIONS)]
        image = degrade(Image.open(path).convert("RGB"), named, int(rng.integers(3, 6)), rng).image
        (asked,) = last(ask(engine, assessment(image, [Task.DEGRADATION])))
        told.append((measure(image), asked.reply.thinking))
    own = [check_reasons(text, seen).faithfulness for seen, text in told]
    other = [check_reasons(told[number - 1][1], seen).faithfulness for number, (seen, _) in enumerate(told)]
    pairs = [(a, b) for a in own for b in other if a is not None and b is not None]
    area = np.mean([(a > b) + 0.5 * (a == b) for a, b in pairs])
    means = [np.mean([one for one in some if one is not None]) for some in (own, other)]
    print(f"faithfulness {means[0]:.3f} own, {means[1]:.3f} of another photo; AUC {area:.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("photos", type=Path)
    parser.add_argument("--preview", type=int, default=0, metavar="COUNT")
    parser.add_argument("--real", type=Path, metavar="SHOTS")
    parser.add_argument("--clean", type=Path, metavar="PHOTOS")
    options = parser.parse_args()
    held_out = sorted(options.photos.glob("*.png"))[1::2]
    show_planted(held_out[:100])
    show_textures(held_out)
    kinds = ("real", "mean") if options.real else ()
    shots = {
        kind: [Image.open(path).convert("RGB") for path in sorted(options.real.glob(f"*_{kind}.*"))]
        for kind in kinds
    }
    kept = {"kept to judge by": open_photos(options.clean, held_out=True)} if options.clean else {}
    pristine = {"as they are": [Image.open(path).convert("RGB") for path in held_out]}
    show_noise({**shots, **kept, **pristine, **dict(with_noise(held_out[::4]))})
    if options.preview:
        show_shuffled(held_out[: options.preview])
