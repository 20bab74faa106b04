"""`rank` and `score` on a command line tell what was left out and what was done to read a photo."""

import csv
import json
from pathlib import Path

import pytest
from PIL import Image

from qinsight import __main__ as command_line
from qinsight.__main__ import main
from shared.engines import PixelEngine, ScriptedEngine
from shared.pngs import CICP_PQ, png


@pytest.fixture
def shoot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A photo with its RAW, an HDR photo, a thumbnail of a NAS, a link, a document."""
    monkeypatch.setattr(command_line, "_engine", lambda options: PixelEngine())
    folder = tmp_path / "shoot"
    (folder / "@eaDir").mkdir(parents=True)
    for name in ("IMG_1.JPG", "@eaDir/thumb.jpg"):
        Image.new("RGB", (64, 56), (90, 90, 90)).save(folder / name)
    (folder / "IMG_1.CR2").write_bytes(b"II*\0 not asked")
    (folder / "hdr.png").write_bytes(png(CICP_PQ))
    (folder / "link.jpg").symlink_to(folder / "IMG_1.JPG")
    (folder / "a.psd").write_bytes(b"8BPS")
    return folder


LEFT_OUT = "Left out: system folders: 1 (@eaDir); links: 1 (link.jpg); other kinds: 1 (a.psd)."


def test_what_is_left_out_is_said_and_a_frame_is_exported_with_both_names(
    shoot: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, xmp = tmp_path / "out", tmp_path / "xmp"
    assert main(["rank", str(shoot), "--out", str(out), "--xmp", str(xmp), "--json"]) == 0
    told = capsys.readouterr()
    assert LEFT_OUT in told.err
    assert LEFT_OUT in (out / "contact-sheet.html").read_text()
    lines = {row["photo"]: row for row in map(json.loads, told.out.splitlines())}
    assert {name: row["also"] for name, row in lines.items()} == {"IMG_1.JPG": "IMG_1.CR2", "hdr.png": None}
    with (out / "ranking.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = {row["photo"]: row for row in csv.DictReader(file)}
    assert (rows["IMG_1.JPG"]["also"], rows["hdr.png"]["remarks"]) == (
        "IMG_1.CR2",
        "HDR (PQ) colours are not converted",
    )
    sidecars = sorted(path.name for path in xmp.iterdir())
    assert sidecars == ["IMG_1.CR2.xmp", "IMG_1.JPG.xmp", "hdr.png.xmp"]


def test_a_sidecar_by_stem_is_the_raws_and_nothing_is_complained_about(
    shoot: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    xmp = tmp_path / "xmp"
    command = ["rank", str(shoot), "--out", str(tmp_path / "out"), "--xmp", str(xmp), "--xmp-names", "stem"]
    assert main(command) == 0
    assert sorted(path.name for path in xmp.iterdir()) == ["IMG_1.xmp", "hdr.xmp"]
    assert "expected a sidecar of its own" not in capsys.readouterr().err


def test_a_remark_about_a_photo_is_told_beside_its_score(
    shoot: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = ScriptedEngine(['<think>fine</think><answer>{"rating": 4.25}</answer>'])
    monkeypatch.setattr(command_line, "_engine", lambda options: engine)
    assert main(["score", str(shoot / "hdr.png")]) == 0
    assert "hdr.png: HDR (PQ) colours are not converted" in capsys.readouterr().err
