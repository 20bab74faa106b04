"""The numbers of the preview's card: every row is there, beside the same views seen by plain statistics."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qinsight.engines.checkpoint import PREVIEW
from shared.pictures import discs
from training.data.degrade import degrade, leave_clean
from training.data.originals import list_photos, open_photos
from training.preview import classical, examine, lessons


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven photos, as `python -m training.preview.collect` leaves them; two are held out, one more for real material."""
    place = tmp_path_factory.mktemp("photos")
    listing = []
    for seed in range(7):
        discs(seed).save(place / f"{seed}.png")
        about = {
            "name": str(seed),
            "file": f"{seed}.png",
            "package": "none",
            "licence": "CC0",
            "author": "nobody",
        }
        listing.append({**about, "original": f"{seed}.png", "held_out": seed > 3, "check": seed == 6})
    (place / "photos.json").write_text(json.dumps(listing))
    return place


def test_every_number_of_the_card_is_printed_beside_the_classical_ones(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("sklearn")
    monkeypatch.setattr(examine, "SIZES", ((56, 56), (224, 168)))
    told = examine.examine(PREVIEW, folder, 1, examine.Size(pairs=2, triples=2)).splitlines()
    assert told[0].startswith("2 held-out photos, 48 views")
    end = told.index("", 4)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in told[4:end]]
    assert told[end + 1].startswith("| what, on real material | ours | log Laplacian variance |")
    assert len(told) > end + 12
    values = {name.partition(" (")[0]: (ours, trees) for name, ours, trees, _ in rows}
    assert [name for name in values if name.startswith("ladder of growing")] == [
        f"ladder of growing {name}" for name in ("blur", "compression", "noise", "darken")
    ]
    for name, (ours, trees) in values.items():
        assert -1 <= float(ours) <= 60, name
        assert bool(trees) == name.startswith(("degradation", "recall", "rating")), name
    assert float(values["degradation: class"][0]) > 0.4
    assert float(values["ladder of growing noise"][0]) > 0.5


def test_plain_statistics_learn_to_name_what_was_done(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sklearn")
    monkeypatch.setattr(classical, "VIEWS_PER_PHOTO", 60)  # of very few photos
    trees = classical.Classical(open_photos(folder, held_out=False), 1)
    rng = np.random.default_rng(1)
    for original in open_photos(folder, held_out=True):
        views = [degrade(original, "noise", 5, rng), degrade(original, "blur", 5, rng), leave_clean(original)]
        named, opinions = trees.look(views)
        assert [name for name, _ in named] == ["noise", "blur", "null"]
        assert all(severity in (*lessons.SEVERITIES, "null") for _, severity in named)
        assert opinions[2] > max(opinions[:2])


def test_photos_that_cannot_be_read_are_listed_and_too_few_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"at least 9 training photos in .*, got 4: 0\.png, 1\.png"):
        open_photos(folder, held_out=False, at_least=9)
    (tmp_path / "photos.json").write_text((folder / "photos.json").read_text())
    for number in (0, 2):
        Image.new("RGB", (64, 64)).save(tmp_path / f"{number}.png")
    (tmp_path / "1.png").write_bytes(b"rubbish")
    with pytest.raises(SystemExit) as caught:
        open_photos(tmp_path, held_out=False)
    told = str(caught.value)
    assert told.startswith("2 of 4 photos cannot be read:\n")
    assert "1.png: cannot identify image file" in told
    assert "3.png: [Errno 2]" in told
    assert list_photos(tmp_path)[0].file == "0.png"
