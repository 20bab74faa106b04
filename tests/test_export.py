"""Exports are promises to other programs: they read what we wrote, and lose nothing of what they wrote.

The independent witnesses are exiftool, where it is installed, and ElementTree; neither is used to write.
"""

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from qinsight.contact_sheet import write_html
from qinsight.errors import QInsightError
from qinsight.export import write_csv, write_jsonl
from qinsight.rows import Row
from qinsight.sidecars import Sidecars, merged, write_sidecars

EXIFTOOL = shutil.which("exiftool")
needs_exiftool = pytest.mark.skipif(EXIFTOOL is None, reason="exiftool is not installed")

REPOSITORY = Path(__file__).parent.parent
NS = {
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "dc": "http://purl.org/dc/elements/1.1/",
    "lr": "http://ns.adobe.com/lightroom/1.0/",
    "crs": "http://ns.adobe.com/camera-raw-settings/1.0/",
    "darktable": "http://darktable.sf.net/",
    "digiKam": "http://www.digikam.org/ns/1.0/",
    "MicrosoftPhoto": "http://ns.microsoft.com/photo/1.0/",
    "qinsight": "urn:q-insight:xmp:1.0/",
}
AWKWARD = (
    "two \"quotes\" and 'one'.jpg",
    "first line\nsecond line.jpg",
    "Zürich – 東京 🌇.jpg",
    "a, b; c\td.jpg",
    "<img src=x onerror=alert(1)>&amp;.jpg",
    "=1+1.jpg",
    os.fsdecode(b"latin-1 caf\xe9.jpg"),
)


def row(photo="IMG_1.CR2", **changes):
    values = {
        "sha256": "ab" * 32,
        "model": "ByteDance/Q-Insight bf16",
        "rating": 3.5,
        "expected_rating": 3.42,
        "distortion_class": "blur",
        "severity": "serious",
        "thinking": "The subject is soft.",
        "diagnosis": "Edges are smeared.",
    }
    return Row(photo, **{**values, **changes})


# ---- tables


@pytest.mark.parametrize("name", AWKWARD)
def test_a_file_name_survives_every_export(tmp_path, name):
    photo = tmp_path / name
    Image.new("RGB", (32, 32), "teal").save(photo, "JPEG")
    shown = name.encode(errors="backslashreplace").decode()
    write_csv([row(name)], tmp_path / "r.csv")
    assert read_csv(tmp_path / "r.csv")[0]["photo"] == ("'" + shown if name[0] == "=" else shown)
    write_jsonl([row(name)], tmp_path / "r.jsonl")
    assert [json.loads(line)["photo"] for line in (tmp_path / "r.jsonl").open(encoding="utf-8")] == [name]
    write_html([row(name)], tmp_path / "r.html", tmp_path)
    [image] = tags(tmp_path / "r.html", "img")
    assert image["alt"] == re.sub("[\ud800-\udfff]", "", name)
    assert write_sidecars([row(name)], tmp_path).written == [tmp_path / f"{name}.xmp"]
    assert (tmp_path / f"{name}.xmp").exists()


@pytest.mark.parametrize("start", [*"=+-@\t\r\n", "＝", "＋", "－", "＠"])  # noqa: RUF001
def test_no_text_in_a_csv_is_run_as_a_formula(tmp_path, start):
    write_csv([row(thinking=f'{start}HYPERLINK("x")')], tmp_path / "r.csv")
    assert read_csv(tmp_path / "r.csv")[0]["thinking"] == f'\'{start}HYPERLINK("x")'


def test_numbers_in_a_csv_stay_numbers_and_nothing_stays_empty(tmp_path):
    write_csv([row(expected_rating=-0.5, width=4000, seconds=None)], tmp_path / "r.csv")
    [line] = read_csv(tmp_path / "r.csv")
    assert (line["expected_rating"], line["width"], line["seconds"]) == ("-0.5", "4000", "")


def test_a_csv_says_that_it_is_utf_8_and_counts_ranks_over_rated_photos(tmp_path):
    write_csv([row("a.jpg"), row("b.jpg", error="expected a photo"), row("c.jpg")], tmp_path / "r.csv")
    assert (tmp_path / "r.csv").read_bytes().startswith(b"\xef\xbb\xbfrank,photo,sha256,")
    assert [line["rank"] for line in read_csv(tmp_path / "r.csv")] == ["1", "", "2"]


def test_a_line_of_jsonl_makes_the_row_again(tmp_path):
    rows = [row("a.jpg", group=1, best=True), row("b\u2028.jpg", thinking="half \ud83d", error="no")]
    write_jsonl(iter(rows), tmp_path / "r.jsonl")
    with (tmp_path / "r.jsonl").open(encoding="utf-8") as file:
        assert [Row(**json.loads(line)) for line in file] == rows


@pytest.mark.parametrize("write", [write_csv, write_jsonl])
def test_rows_are_written_as_they_come(tmp_path, write):
    def rows():
        for number in range(2000):
            if number == 1999:  # most of the earlier ones are on their way to the disk by now
                assert sum(path.stat().st_size for path in tmp_path.iterdir()) > 200_000
            yield row(f"{number}.jpg")

    write(rows(), tmp_path / "table")
    assert (tmp_path / "table").read_text(encoding="utf-8").count("\n") >= 2000


# ---- the contact sheet


def test_a_contact_sheet_holds_all_it_shows(tmp_path):
    for name, colour in (("a.jpg", "red"), ("b.png", "blue")):
        Image.new("RGB", (1200, 800), colour).save(tmp_path / name)
    write_html([row("a.jpg"), row("b.png")], tmp_path / "sheet.html", tmp_path, thumbnail=120)
    images = tags(tmp_path / "sheet.html", "img")
    assert [(image["alt"], image["width"], image["height"]) for image in images] == [
        ("a.jpg", "120", "80"),
        ("b.png", "120", "80"),
    ]
    assert all(image["src"].startswith("data:image/jpeg;base64,") for image in images)
    text = (tmp_path / "sheet.html").read_text(encoding="utf-8")
    assert not re.search(r"<script|<link|https?://|url\(|@import", text)
    assert "default-src 'none'" in text
    assert "prefers-color-scheme" in text or "color-scheme: light dark" in text
    assert "width=device-width" in text


def test_a_contact_sheet_tells_what_was_found(tmp_path):
    rows = [
        row("a.jpg", group=1, best=True),
        row("b.jpg", group=1, distortion_class="null", severity="null", expected_rating=None),
        row("broken.jpg", error="expected a photo, got a PDF", rating=None, expected_rating=None),
        row("c.jpg", distortion_class=None, severity=None, rating=None, expected_rating=None, best=True),
    ]
    write_html(rows, tmp_path / "sheet.html", tmp_path)
    first, second, third, failures = words(tmp_path / "sheet.html").split(".jpg")[1:5]
    assert "1. 3.42 of 5, written 3.50" in first
    assert "blur, serious" in first
    assert "Best of group 1" in first
    assert "The subject is soft. Edges are smeared." in first
    assert "2. 3.50 of 5, as written" in second
    assert "no degradation" in second
    assert "Best" not in second
    assert "3. not rated" in third
    assert "not diagnosed" in third
    assert "Best" not in third  # alone, it is better than nobody
    assert failures.startswith(": expected a photo, got a PDF")  # at the end, though it came third


def test_no_word_of_the_model_is_markup(tmp_path):
    hostile = '</details><script>alert(1)</script><img src="x">\x00\x1b &lt;'
    write_html(
        [row(hostile, thinking=hostile, distortion_class=hostile, model=hostile), row("b", error=hostile)],
        tmp_path / "sheet.html",
        tmp_path,
    )
    assert tags(tmp_path / "sheet.html", "script") == tags(tmp_path / "sheet.html", "img") == []
    assert words(tmp_path / "sheet.html").count("<script>alert(1)</script>") == 6
    assert not re.search(r"[\x00-\x08\x0b-\x1f]", (tmp_path / "sheet.html").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("gone.jpg", "there is no such file"),
        ("torn.jpg", "expected a complete JPEG file"),
        ("../outside.jpg", "expected a photo below"),
    ],
)
def test_a_photo_that_cannot_be_read_any_more_is_shown_as_the_reason(tmp_path, name, reason):
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.new("RGB", (64, 64)).save(tmp_path / "outside.jpg")
    (folder / "torn.jpg").write_bytes((tmp_path / "outside.jpg").read_bytes()[:400])
    write_html([row(name)], tmp_path / "sheet.html", folder)
    assert tags(tmp_path / "sheet.html", "img") == []
    assert reason in words(tmp_path / "sheet.html")


@pytest.mark.parametrize("size", [0, 15, 2049])
def test_an_absurd_thumbnail_is_refused_in_a_sentence(tmp_path, size):
    with pytest.raises(QInsightError, match=f"expected thumbnails of 16 to 2048 pixels, got {size}"):
        write_html([], tmp_path / "sheet.html", tmp_path, thumbnail=size)


# ---- what can go wrong with a disk


@pytest.mark.parametrize("write", [write_csv, write_jsonl])
def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path, write):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(QInsightError, match=r"expected to write .*table, got 'Not a directory'; [^\n]+$"):
        write([row()], tmp_path / "file" / "table")


def test_a_contact_sheet_that_cannot_be_written_is_one_sentence(tmp_path):
    with pytest.raises(QInsightError, match=r"expected to write .*, got 'No such file or directory'"):
        write_html([row()], tmp_path / "missing" / "sheet.html", tmp_path)


def test_a_folder_is_not_written_over(tmp_path):
    with pytest.raises(QInsightError, match="expected the name of a file to write, got a folder"):
        write_csv([row()], tmp_path)


def test_a_photo_is_never_written_over(tmp_path):
    photo = tmp_path / "IMG_1.jpg"
    Image.new("RGB", (32, 32)).save(photo)
    before = photo.read_bytes()
    with pytest.raises(QInsightError, match="got a JPEG photo"):
        write_csv([row()], photo)
    assert photo.read_bytes() == before


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from qinsight import contact_sheet, export, sidecars
from qinsight.errors import QInsightError
from qinsight.rows import Row

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
folder = Path(sys.argv[2])
row = lambda name, words: Row(name, "", "m", 3.0, 3.0, "blur", "slight", words, "")
try:
    if sys.argv[1] == "write_sidecars":
        sidecars.write_sidecars([row("a.jpg", "short"), row("b.jpg", "long " * 9999), row("c.jpg", "short")], folder)
    else:
        write = getattr(contact_sheet if sys.argv[1] == "write_html" else export, sys.argv[1])
        write([row(f"{n}.jpg", "word " * 99) for n in range(99)], folder / "kept", *[folder] * (sys.argv[1] == "write_html"))
except QInsightError as error:
    print(error)
"""


@pytest.mark.parametrize("write", ["write_csv", "write_jsonl", "write_html"])
def test_a_full_disk_is_one_sentence_and_leaves_what_was_there(tmp_path, write):
    (tmp_path / "kept").write_text("an earlier export")
    told = with_little_disk(write, tmp_path)
    assert re.fullmatch(r"expected to write .*/kept, got 'File too large'; .* unchanged\)\n", told)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (tmp_path / "kept").read_text() == "an earlier export"


def test_a_full_disk_keeps_the_sidecars_that_were_finished(tmp_path):
    told = with_little_disk("write_sidecars", tmp_path)
    assert re.fullmatch(r"expected to write .*b.jpg.xmp, got 'File too large'; .* 1 sidecars .* stay\n", told)
    assert [path.name for path in tmp_path.iterdir()] == ["a.jpg.xmp"]
    assert ratings(tmp_path / "a.jpg.xmp") == ["3"]


def test_an_export_that_is_stopped_leaves_nothing_behind(tmp_path):
    def rows():
        yield row()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_csv(rows(), tmp_path / "r.csv")
    assert list(tmp_path.iterdir()) == []


def test_a_new_file_has_the_usual_permissions_and_an_old_one_keeps_its_own(tmp_path):
    mask = os.umask(0o022)
    try:
        (tmp_path / "old.csv").touch()
        (tmp_path / "old.csv").chmod(0o600)
        for name in ("new.csv", "old.csv"):
            write_csv([row()], tmp_path / name)
    finally:
        os.umask(mask)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("new.csv", "old.csv")] == [0o644, 0o600]


# ---- sidecars from nothing


def test_a_new_sidecar_says_everything(tmp_path):
    assert write_sidecars([row(group=2, best=True)], tmp_path) == Sidecars([tmp_path / "IMG_1.CR2.xmp"], [])
    tree = ET.parse(tmp_path / "IMG_1.CR2.xmp")
    assert values(tree, "xmp:Rating") == ["4"]
    assert items(tree, "dc:subject") == ["q-insight:blur", "q-insight:serious", "q-insight:best"]
    assert items(tree, "dc:description") == ["Q-Insight: The subject is soft.\n\nEdges are smeared."]
    [item] = tree.iterfind(".//dc:description/rdf:Alt/rdf:li", NS)
    assert item.attrib == {"{http://www.w3.org/XML/1998/namespace}lang": "x-default"}
    ours = (
        "expectedRating",
        "writtenRating",
        "distortionClass",
        "distortionSeverity",
        "ratedBy",
        "photoSha256",
    )
    assert [values(tree, f"qinsight:{name}")[0] for name in ours] == [
        *("3.42", "3.5", "blur", "serious", "ByteDance/Q-Insight bf16", "ab" * 32)
    ]


@needs_exiftool
def test_exiftool_reads_a_new_sidecar(tmp_path):
    thinking = 'Sharp & "clear" <edges> – 東京 🌇\nSecond line'
    [path] = write_sidecars([row(thinking=thinking, diagnosis=None)], tmp_path).written
    told = exiftool(path)
    assert told["XMP-xmp:Rating"] == 4
    assert told["XMP-dc:Subject"] == ["q-insight:blur", "q-insight:serious"]
    assert told["XMP-dc:Description"] == f"Q-Insight: {thinking}"
    assert told["XMP-qinsight:ExpectedRating"] == 3.42
    assert told["XMP-qinsight:RatedBy"] == "ByteDance/Q-Insight bf16"
    assert not [name for name in told if name.startswith("ExifTool:Warn")]


@needs_exiftool
def test_exiftool_asked_for_the_rating_gives_the_stars(tmp_path):
    [path] = write_sidecars([row()], tmp_path).written
    told = subprocess.run(
        [EXIFTOOL, "-s3", "-Rating", "-Model", "-Description", path],
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout == "4\nQ-Insight: The subject is soft...Edges are smeared.\n"


@pytest.mark.parametrize(
    ("changes", "stars"),
    [
        ({"expected_rating": 1.0}, "1"),
        ({"expected_rating": 1.7999}, "1"),
        ({"expected_rating": 1.8}, "2"),
        ({"expected_rating": 3.4}, "4"),
        ({"expected_rating": 5.0}, "5"),
        ({"expected_rating": None, "rating": 2.7}, "3"),
        ({"expected_rating": None, "rating": None}, None),
        ({"expected_rating": float("nan")}, None),
    ],
)
def test_stars_are_counted_from_the_expected_rating(tmp_path, changes, stars):
    [path] = write_sidecars([row(**changes)], tmp_path).written
    assert ratings(path) == ([] if stars is None else [stars])


@pytest.mark.parametrize(("rating", "stars"), [(1.99, "-1"), (2.0, "1"), (4.9, "4")])
def test_thresholds_and_rejection_are_the_persons_choice(tmp_path, rating, stars):
    chosen = {"stars": (2.5, 3.0, 4.0, 4.95), "reject_below": 2.0}
    [path] = write_sidecars([row(expected_rating=rating)], tmp_path, **chosen).written
    assert ratings(path) == [stars]


@pytest.mark.parametrize("stars", [(1, 2, 3), (1, 3, 2, 4), (1, 2, 3, float("nan"))])
def test_thresholds_that_make_no_sense_are_refused(tmp_path, stars):
    with pytest.raises(QInsightError, match="expected four rising ratings"):
        write_sidecars([row()], tmp_path, stars=stars)


@pytest.mark.parametrize(
    ("changes", "keywords"),
    [
        ({"distortion_class": "null", "severity": "null"}, ["q-insight:clean"]),
        ({"distortion_class": None, "severity": None}, []),
        ({"group": 1, "best": False}, ["q-insight:blur", "q-insight:serious"]),
        ({"group": None, "best": True}, ["q-insight:blur", "q-insight:serious"]),
    ],
)
def test_keywords_say_what_was_found(tmp_path, changes, keywords):
    [path] = write_sidecars([row(**changes)], tmp_path).written
    assert items(ET.parse(path), "dc:subject") == keywords


def test_what_xml_cannot_hold_is_left_out_of_a_sidecar(tmp_path):
    thinking = "a\x00b\x0bc\x1bd\ud83de\ufffef\r\ng ]]> & <h>"
    [path] = write_sidecars([row(thinking=thinking, diagnosis=None, model="m\x00")], tmp_path).written
    assert items(ET.parse(path), "dc:description") == ["Q-Insight: abcdef\ng ]]> & <h>"]
    assert values(ET.parse(path), "qinsight:ratedBy") == ["m"]


def test_a_photo_that_was_not_rated_gets_no_sidecar(tmp_path):
    assert write_sidecars([row(error="expected a photo")], tmp_path) == Sidecars([], [])
    assert list(tmp_path.iterdir()) == []


# ---- where sidecars lie


def test_sidecars_are_named_for_the_program_that_reads_them(tmp_path):
    (tmp_path / "day 1").mkdir()
    for naming, name in (("full", "IMG.1.CR2.xmp"), ("stem", "IMG.1.xmp")):
        assert write_sidecars([row("day 1/IMG.1.CR2")], tmp_path, naming=naming).written == [
            tmp_path / "day 1" / name
        ]


@pytest.mark.parametrize("order", [("a/I.JPG", "a/I.nef", "b/I.jpg"), ("a/I.nef", "a/I.JPG", "b/I.jpg")])
def test_a_raw_and_its_jpeg_do_not_share_a_sidecar(tmp_path, order):
    rows = [row(name, expected_rating=5.0 if name.endswith("nef") else 1.0) for name in order]
    written, failures = write_sidecars(rows, tmp_path, out=tmp_path / "out", naming="stem")
    assert sorted(written) == [tmp_path / "out/a/I.xmp", tmp_path / "out/b/I.xmp"]
    assert ratings(tmp_path / "out/a/I.xmp") == ["5"]
    assert failures == [
        "a/I.JPG: expected a sidecar of its own, got a/I.xmp, which is for a/I.nef; use the naming 'full'"
    ]


def test_a_mirrored_sidecar_takes_along_what_lies_beside_the_photo(tmp_path):
    folder, out = tmp_path / "photos", tmp_path / "out"
    (folder / "day").mkdir(parents=True)
    (folder / "day/IMG_1.CR2.xmp").write_text(DARKTABLE)
    [path] = write_sidecars([row("day/IMG_1.CR2")], folder, out=out).written
    assert path == out / "day/IMG_1.CR2.xmp"
    assert b"darktable:history" in path.read_bytes()
    assert (folder / "day/IMG_1.CR2.xmp").read_text() == DARKTABLE
    assert len(list(folder.rglob("*"))) == 2


def test_a_mirrored_sidecar_is_written_where_the_one_beside_the_photo_says_it_all(tmp_path):
    write_sidecars([row()], tmp_path)
    [path] = write_sidecars([row()], tmp_path, out=tmp_path / "out").written
    assert path.read_bytes() == (tmp_path / "IMG_1.CR2.xmp").read_bytes()


def test_a_sidecar_in_capitals_is_the_sidecar(tmp_path):
    (tmp_path / "IMG_1.XMP").write_text(LIGHTROOM)
    assert write_sidecars([row()], tmp_path, naming="stem").written == [tmp_path / "IMG_1.XMP"]
    assert [path.name for path in tmp_path.iterdir()] == ["IMG_1.XMP"]


@pytest.mark.parametrize("name", ["../IMG_1.jpg", "/tmp/IMG_1.jpg", "a/../../b.jpg", "a\0b.jpg", ""])
def test_a_row_cannot_place_a_sidecar_outside_the_folder(tmp_path, name):
    folder = tmp_path / "photos"
    folder.mkdir()
    written, [failure] = write_sidecars([row(name)], folder)
    assert written == []
    assert "expected a photo below" in failure
    assert list(tmp_path.rglob("*.xmp")) == []


def test_photos_are_never_touched(tmp_path):
    Image.new("RGB", (64, 48), "olive").save(tmp_path / "IMG_1.jpg")
    before = (tmp_path / "IMG_1.jpg").read_bytes(), (tmp_path / "IMG_1.jpg").stat().st_mtime_ns
    rows = [row("IMG_1.jpg")]
    write_csv(rows, tmp_path / "r.csv")
    write_html(rows, tmp_path / "r.html", tmp_path)
    write_sidecars(rows, tmp_path)
    write_sidecars(rows, tmp_path, naming="stem")
    assert ((tmp_path / "IMG_1.jpg").read_bytes(), (tmp_path / "IMG_1.jpg").stat().st_mtime_ns) == before


# ---- sidecars of other programs

DARKTABLE = """<?xml version="1.0" encoding="UTF-8"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 4.4.0-Exiv2">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:exif="http://ns.adobe.com/exif/1.0/"
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/"
    xmlns:darktable="http://darktable.sf.net/"
    xmlns:dc="http://purl.org/dc/elements/1.1/"
    xmlns:lr="http://ns.adobe.com/lightroom/1.0/"
   exif:DateTimeOriginal="2024:05:01 10:11:12.000"
   xmp:Rating="1"
   xmpMM:DerivedFrom="IMG_1.CR2"
   darktable:import_timestamp="63850155072000000"
   darktable:xmp_version="5"
   darktable:raw_params="0"
   darktable:auto_presets_applied="1"
   darktable:history_end="2"
   darktable:iop_order_version="4"
   darktable:history_basic_hash="e5bd4d4c55a51d2f8f6f0d7ee9f3fd81">
   <darktable:masks_history>
    <rdf:Seq/>
   </darktable:masks_history>
   <darktable:history>
    <rdf:Seq>
     <rdf:li
      darktable:num="0"
      darktable:operation="rawprepare"
      darktable:enabled="1"
      darktable:modversion="2"
      darktable:params="000000000000000000000000008000800080008ff03f00000000000000000000"
      darktable:multi_name=""
      darktable:multi_priority="0"
      darktable:blendop_version="13"
      darktable:blendop_params="gz11eJxjYIAACQYYOOHEgAZY0QVwggZ7CB6pfNoAAEkgGQQ="/>
     <rdf:li
      darktable:num="1"
      darktable:operation="exposure"
      darktable:enabled="1"
      darktable:modversion="6"
      darktable:params="000000000000803f00004842000080c0010000000000"
      darktable:multi_name="base &quot;bright&quot; &lt;1&gt;&#10;two"
      darktable:multi_priority="0"
      darktable:blendop_version="13"
      darktable:blendop_params="gz11eJxjYIAACQYYOOHEgAZY0QVwggZ7CB6pfNoAAEkgGQQ="/>
    </rdf:Seq>
   </darktable:history>
   <dc:subject>
    <rdf:Bag>
     <rdf:li>alps</rdf:li>
     <rdf:li>summer</rdf:li>
    </rdf:Bag>
   </dc:subject>
   <lr:hierarchicalSubject>
    <rdf:Bag>
     <rdf:li>places|alps</rdf:li>
     <rdf:li>summer</rdf:li>
    </rdf:Bag>
   </lr:hierarchicalSubject>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
"""

LIGHTROOM = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="Adobe XMP Core 7.0-c000 1.000000, 0000/00/00-00:00:00        ">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:dc="http://purl.org/dc/elements/1.1/"
    xmlns:lr="http://ns.adobe.com/lightroom/1.0/"
    xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/"
    xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/"
    xmlns:stEvt="http://ns.adobe.com/xap/1.0/sType/ResourceEvent#"
    xmlns:crs="http://ns.adobe.com/camera-raw-settings/1.0/"
   xmp:ModifyDate="2024-05-01T10:11:12+02:00"
   xmp:Label="Red"
   photoshop:SidecarForExtension="CR2"
   crs:Version="16.2"
   crs:ProcessVersion="15.4"
   crs:Temperature="5350"
   crs:Exposure2012="+0.85"
   crs:HasSettings="True"
   crs:RawFileName="IMG_1.CR2">
   <!-- kept by hand -->
   <xmp:Rating>2</xmp:Rating>
   <dc:description>
    <rdf:Alt>
     <rdf:li xml:lang="x-default">The Matterhorn at dawn</rdf:li>
     <rdf:li xml:lang="de-CH">Das Matterhorn am Morgen</rdf:li>
    </rdf:Alt>
   </dc:description>
   <dc:subject>
    <rdf:Bag>
     <rdf:li>Matterhorn</rdf:li>
    </rdf:Bag>
   </dc:subject>
   <lr:hierarchicalSubject>
    <rdf:Bag>
     <rdf:li>Places|Switzerland|Matterhorn</rdf:li>
    </rdf:Bag>
   </lr:hierarchicalSubject>
   <xmpMM:History>
    <rdf:Seq>
     <rdf:li
      stEvt:action="saved"
      stEvt:instanceID="xmp.iid:5c4f"
      stEvt:changed="/metadata"/>
    </rdf:Seq>
   </xmpMM:History>
   <crs:ToneCurvePV2012>
    <rdf:Seq>
     <rdf:li>0, 0</rdf:li>
     <rdf:li>255, 255</rdf:li>
    </rdf:Seq>
   </crs:ToneCurvePV2012>
   <crs:Look>
    <rdf:Description
     crs:Name="Adobe Color"
     crs:Amount="1">
    <crs:Parameters>
     <rdf:Description crs:Version="16.2" crs:ConvertToGrayscale="False"/>
    </crs:Parameters>
    </rdf:Description>
   </crs:Look>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>
"""

DIGIKAM = """<?xml version="1.0" encoding="UTF-8"?>
<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 4.4.0-Exiv2">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about="uuid:1d4a"
    xmlns:digiKam="http://www.digikam.org/ns/1.0/"
    xmlns:MicrosoftPhoto="http://ns.microsoft.com/photo/1.0/"
    xmlns:mwg-rs="http://www.metadataworkinggroup.com/schemas/regions/"
    xmlns:stArea="http://ns.adobe.com/xmp/sType/Area#"
   digiKam:PickLabel="3"
   digiKam:ColorLabel="0"
   MicrosoftPhoto:Rating="75">
   <digiKam:TagsList>
    <rdf:Seq>
     <rdf:li>People/Ann</rdf:li>
    </rdf:Seq>
   </digiKam:TagsList>
   <MicrosoftPhoto:LastKeywordXMP>
    <rdf:Bag>
     <rdf:li>People/Ann</rdf:li>
    </rdf:Bag>
   </MicrosoftPhoto:LastKeywordXMP>
   <mwg-rs:Regions rdf:parseType="Resource">
    <mwg-rs:RegionList>
     <rdf:Bag>
      <rdf:li>
       <rdf:Description mwg-rs:Name="Ann" mwg-rs:Type="Face">
        <mwg-rs:Area stArea:x="0.5" stArea:y="0.25" stArea:w="0.1" stArea:h="0.1" stArea:unit="normalized"/>
       </rdf:Description>
      </rdf:li>
     </rdf:Bag>
    </mwg-rs:RegionList>
   </mwg-rs:Regions>
  </rdf:Description>
  <rdf:Description rdf:about="uuid:1d4a" xmlns:xap="http://ns.adobe.com/xap/1.0/" xmlns:d="http://purl.org/dc/elements/1.1/">
   <xap:Rating>4</xap:Rating>
   <d:subject>
    <rdf:Seq>
     <rdf:li>Ann</rdf:li>
    </rdf:Seq>
   </d:subject>
   <d:title><rdf:Alt><rdf:li xml:lang="x-default"><![CDATA[Ann & <friends>]]></rdf:li></rdf:Alt></d:title>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end='w'?>
"""

FOREIGN = {"darktable": DARKTABLE, "Lightroom": LIGHTROOM, "digiKam": DIGIKAM}


@pytest.mark.parametrize("program", FOREIGN)
def test_a_sidecar_keeps_everything_it_had(tmp_path, program):
    path = tmp_path / "IMG_1.CR2.xmp"
    path.write_text(FOREIGN[program], encoding="utf-8")
    assert write_sidecars([row()], tmp_path) == Sidecars([path], [])
    after = path.read_text(encoding="utf-8")
    assert foreign(after) == foreign(FOREIGN[program])
    assert prefixes(FOREIGN[program]) <= prefixes(after)
    assert instructions(after) == instructions(FOREIGN[program])
    assert ratings(path) == ["4"]


@needs_exiftool
@pytest.mark.parametrize("program", FOREIGN)
def test_exiftool_finds_all_it_found_before(tmp_path, program):
    path = tmp_path / "IMG_1.CR2.xmp"
    path.write_text(FOREIGN[program], encoding="utf-8")
    before = exiftool(path)
    write_sidecars([row()], tmp_path)
    after = exiftool(path)
    assert after["XMP-xmp:Rating"] == 4
    for name in before.keys() - {"XMP-xmp:Rating"}:
        if isinstance(before[name], list) or name.endswith(("Subject", "TagsList", "LastKeywordXMP")):
            kept = [item for item in aslist(after[name]) if not str(item).startswith("q-insight:")]
            assert kept == aslist(before[name])
        else:
            assert after[name] == before[name]


@pytest.mark.parametrize(
    ("program", "lists"),
    [
        ("darktable", ["dc:subject", "lr:hierarchicalSubject"]),
        ("digiKam", ["dc:subject", "digiKam:TagsList", "MicrosoftPhoto:LastKeywordXMP"]),
    ],
)
def test_keywords_go_into_each_list_that_the_program_reads_first(program, lists):
    tree = ET.ElementTree(ET.fromstring(merged(FOREIGN[program].encode(), row(), stars=4)))
    for name in lists:
        [*prior, first, second] = items(tree, name)
        assert prior
        assert (first, second) == ("q-insight:blur", "q-insight:serious")
    assert items(tree, "lr:hierarchicalSubject") == [] or "lr:hierarchicalSubject" in lists


@pytest.mark.parametrize("program", [None, *FOREIGN])
def test_the_same_export_again_changes_nothing_on_disk(tmp_path, program):
    path = tmp_path / "IMG_1.CR2.xmp"
    if program:
        path.write_text(FOREIGN[program], encoding="utf-8")
    write_sidecars([row()], tmp_path)
    before = path.read_bytes(), path.stat().st_ino
    assert write_sidecars([row()], tmp_path).written == [path]
    assert (path.read_bytes(), path.stat().st_ino) == before


@pytest.mark.parametrize("program", [None, *FOREIGN])
def test_a_later_run_replaces_what_an_earlier_one_said(program):
    old = FOREIGN[program].encode() if program else None
    better = row(
        expected_rating=4.9,
        rating=None,
        distortion_class="null",
        severity="null",
        thinking="It is now sharp.",
    )
    first = merged(old, row(), stars=4)
    second = merged(first, better, stars=5)
    assert b"q-insight:blur" in first
    assert b"is soft" in first
    for gone in (b"q-insight:blur", b"serious", b"is soft", b"3.42", b"writtenRating"):
        assert gone not in second
    assert b"q-insight:clean" in second
    if old:
        assert foreign(second.decode()) == foreign(old.decode())
    else:
        assert second == merged(None, better, stars=5)


def test_a_description_of_a_person_stays_and_ours_is_kept_apart(tmp_path):
    tree = ET.ElementTree(ET.fromstring(merged(LIGHTROOM.encode(), row(), stars=4)))
    assert items(tree, "dc:description") == ["The Matterhorn at dawn", "Das Matterhorn am Morgen"]
    assert values(tree, "qinsight:reasoning") == ["Q-Insight: The subject is soft.\n\nEdges are smeared."]


def test_our_description_becomes_a_persons_once_they_edit_it():
    ours = merged(None, row(), stars=4)
    edited = ours.replace(b'x-default">Q-Insight: The subject', b'x-default">I think the subject')
    assert edited != ours
    tree = ET.ElementTree(ET.fromstring(merged(edited, row(thinking="Other words."), stars=4)))
    assert items(tree, "dc:description") == ["I think the subject is soft.\n\nEdges are smeared."]


@pytest.mark.parametrize(
    "empty",
    [
        '<dc:description><rdf:Alt><rdf:li xml:lang="x-default"/></rdf:Alt></dc:description>',
        "<dc:description/>",
        "",
    ],
)
def test_an_empty_description_is_filled(empty):
    tree = ET.ElementTree(ET.fromstring(merged(sidecar(empty), row(), stars=4)))
    assert items(tree, "dc:description") == ["Q-Insight: The subject is soft.\n\nEdges are smeared."]


def test_a_description_in_another_language_alone_is_a_description_too():
    german = '<dc:description><rdf:Alt><rdf:li xml:lang="de">Matterhorn</rdf:li></rdf:Alt></dc:description>'
    tree = ET.ElementTree(ET.fromstring(merged(sidecar(german), row(), stars=4)))
    assert items(tree, "dc:description") == ["Matterhorn"]


def test_stars_that_a_person_gave_are_remembered_through_later_runs():
    once = merged(LIGHTROOM.encode(), row(), stars=4)
    twice = merged(once, row(), stars=5)
    tree = ET.ElementTree(ET.fromstring(twice))
    assert (values(tree, "xmp:Rating"), values(tree, "qinsight:formerRating")) == (["5"], ["2"])
    changed = twice.replace(b"<xmp:Rating>5<", b"<xmp:Rating>3<")
    tree = ET.ElementTree(ET.fromstring(merged(changed, row(), stars=5)))
    assert (values(tree, "xmp:Rating"), values(tree, "qinsight:formerRating")) == (["5"], ["3"])


@pytest.mark.parametrize(("given", "after"), [("2", "2"), ("-1", "-1"), ("0", "4"), ("", "4"), (None, "4")])
def test_stars_that_a_person_gave_stay_on_request(tmp_path, given, after):
    path = tmp_path / "IMG_1.CR2.xmp"
    path.write_bytes(sidecar("" if given is None else f"<xmp:Rating>{given}</xmp:Rating>"))
    for _ in range(2):
        write_sidecars([row()], tmp_path, keep_ratings=True)
        assert ratings(path) == [after]
    write_sidecars([row(expected_rating=5.0)], tmp_path, keep_ratings=True)
    assert ratings(path) == ["5" if after == "4" else after]  # our own stars are ours to change


@pytest.mark.parametrize("program", FOREIGN)
def test_a_namespace_keeps_to_one_prefix(program):
    """exiv2 0.28 reads no property of a sidecar in which one namespace has two."""
    pairs = prefixes(merged(FOREIGN[program].encode(), row(), stars=4).decode())
    assert len({uri for _, uri in pairs}) == len(pairs)


def test_what_another_program_wrote_in_its_own_form_is_still_recognised():
    """Lightroom writes our elements back as attributes, with its own prefixes and order."""
    rewritten = sidecar(
        "",
        attributes='xmp:Rating="4" xmlns:ns1="urn:q-insight:xmp:1.0/" ns1:stars="4" ns1:expectedRating="3.42" '
        'ns1:reasoning="Q-Insight: soft&#xA;words" dc:description="Q-Insight: soft words" dc:subject="sea"',
    )
    after = merged(rewritten, row(expected_rating=4.9), stars=5)
    tree = ET.ElementTree(ET.fromstring(after))
    assert values(tree, "xmp:Rating") == ["5"]
    assert values(tree, "qinsight:expectedRating") == ["4.9"]
    assert values(tree, "qinsight:formerRating") == []
    assert values(tree, "dc:description") == ["Q-Insight: The subject is soft.\n\nEdges are smeared."]
    assert items(tree, "dc:subject") == ["sea", "q-insight:blur", "q-insight:serious"]


def test_a_prefix_that_means_something_else_is_not_borrowed():
    strange = """<RDF xmlns="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:xmp="urn:other" xmlns:rdf="urn:mine">
    <Description><xmp:Rating>theirs</xmp:Rating><rdf:li>mine</rdf:li></Description></RDF>"""
    after = merged(strange.encode(), row(), stars=4)
    tree = ET.ElementTree(ET.fromstring(after))
    assert values(tree, "xmp:Rating") == ["4"]
    assert tree.find(".//{urn:other}Rating").text == "theirs"
    assert tree.find(".//{urn:mine}li").text == "mine"
    assert merged(after, row(), stars=4) == after


def test_line_breaks_and_special_characters_of_others_survive():
    text = '<e:a xmlns:e="urn:e" e:b="1&#10;2&#9;3&#13;4 &quot;&amp;&lt;"> x&#13;\n y <![CDATA[<&>]]><?pi some data?></e:a>'
    after = merged(sidecar(text), row(), stars=4).decode()
    assert foreign(after) == foreign(sidecar(text).decode())
    assert "<![CDATA[<&>]]><?pi some data?>" in after


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_sidecar_in_another_encoding_is_read_as_what_it_is(encoding):
    text = LIGHTROOM.replace("dawn", "dämmerung").replace("\ufeff", "")
    after = merged(text.encode(encoding), row(), stars=4).decode("utf-8")
    assert foreign(after) == foreign(text)


# ---- sidecars we cannot understand

DEEP = "<a>" * 200 + "</a>" * 200
REFUSED = {
    "cut short": (LIGHTROOM[:900], "expected a sidecar in XML, got"),
    "empty of meaning": ("\n", "expected a sidecar in XML, got"),
    "no XMP": ("<html><body/></html>", "got XML without rdf:RDF"),
    "a DOCTYPE": ("<!DOCTYPE a>" + LIGHTROOM.split("\n", 1)[1], "without a DOCTYPE"),
    "entities": ('<!DOCTYPE a [<!ENTITY b "bbb"><!ENTITY c "&b;&b;">]><a>&c;</a>', "without a DOCTYPE"),
    "a file of the disk": ('<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>', "DOCTYPE"),
    "an unknown encoding": ('<?xml version="1.0" encoding="klingon"?><a/>', "expected a sidecar in XML, got"),
    "an encoding of several bytes": (
        '<?xml version="1.0" encoding="big5"?><a/>',
        "expected a sidecar in XML, got",
    ),
    "deep": (DEEP, "at most 100 elements deep"),
    "spaces in a namespace": ('<a xmlns="a b"/>', "expected a sidecar in XML, got"),
    "an unbound prefix": ("<a:b/>", "expected a sidecar in XML, got"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_sidecar_we_cannot_read_is_left_as_it_is_and_others_go_on(tmp_path, kind):
    text, reason = REFUSED[kind]
    (tmp_path / "a.jpg.xmp").write_text(text, encoding="utf-8")
    written, [failure] = write_sidecars([row("a.jpg"), row("b.jpg")], tmp_path)
    assert written == [tmp_path / "b.jpg.xmp"]
    assert failure.startswith("a.jpg: expected ")
    assert reason in failure
    assert "\n" not in failure
    assert (tmp_path / "a.jpg.xmp").read_text(encoding="utf-8") == text
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("folder.jpg", "Is a directory"),
        ("missing/a.jpg", "expected the folder"),
        (f"{'x' * 249}.jpg", "File name too long"),
    ],
)
def test_a_photo_that_can_have_no_sidecar_is_named(tmp_path, name, reason):
    (tmp_path / "folder.jpg.xmp").mkdir()
    written, [failure] = write_sidecars([row(name), row("b.jpg")], tmp_path)
    assert written == [tmp_path / "b.jpg.xmp"]
    assert reason in failure


def test_a_sidecar_of_absurd_size_is_left_alone(tmp_path):
    with (tmp_path / "IMG_1.CR2.xmp").open("wb") as file:
        file.truncate(65 << 20)
    written, [failure] = write_sidecars([row()], tmp_path)
    assert written == []
    assert "expected a sidecar of at most 64 MB" in failure


# ---- helpers


def read_csv(path):
    return list(csv.DictReader(io.StringIO(path.read_bytes().decode("utf-8-sig"), newline="")))


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.words, self.inside = [], [], ""

    def handle_starttag(self, tag, attributes):
        self.inside = tag
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        if self.inside != "style":
            self.words.append(data)


def parsed(path):
    tags = Tags()
    tags.feed(path.read_text(encoding="utf-8"))
    return tags


def tags(path, name):
    return [attributes for tag, attributes in parsed(path).tags if tag == name]


def words(path):
    return " ".join("".join(parsed(path).words).split())


def with_little_disk(write, folder):
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, write, folder],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout


def exiftool(path):
    """What exiftool finds in the XMP, by group and name, lists as lists, structures whole."""
    done = subprocess.run(
        [EXIFTOOL, "-j", "-G1", "-struct", "-XMP:all", "-charset", "UTF8", path],
        capture_output=True,
        text=True,
        check=True,
    )
    [told] = json.loads(done.stdout)
    return {name: value for name, value in told.items() if name != "SourceFile"}


def aslist(value):
    return value if isinstance(value, list) else [value]


def qualified(name):
    prefix, local = name.split(":")
    return f"{{{NS[prefix]}}}{local}"


def values(tree, name):
    """A simple property's values, whichever way it is written."""
    found = (
        tree.iterfind(".//rdf:RDF/rdf:Description", NS)
        if tree.getroot().tag != qualified("rdf:RDF")
        else tree.getroot()
    )
    found = list(found)
    attributes = [each.get(qualified(name)) for each in found if each.get(qualified(name)) is not None]
    return attributes + [child.text for each in found for child in each if child.tag == qualified(name)]


def items(tree, name):
    return [item.text for item in tree.iterfind(f".//{name}//rdf:li", NS)]


def ratings(path):
    return values(ET.parse(path), "xmp:Rating")


def sidecar(content, attributes=""):
    return f"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{NS["rdf"]}"><rdf:Description rdf:about=""
    xmlns:xmp="{NS["xmp"]}" xmlns:dc="{NS["dc"]}" {attributes}>{content}</rdf:Description></rdf:RDF></x:xmpmeta>""".encode()


def foreign(text):
    """All of a sidecar that is not ours to change, by the W3C's canonical form: comments and attributes too."""
    tree = ET.fromstring(
        text.replace("\ufeff", ""), ET.XMLParser(target=ET.TreeBuilder(insert_comments=True, insert_pis=True))
    )
    for parent in list(tree.iter()):
        for name in list(parent.attrib):
            if name == qualified("xmp:Rating"):
                del parent.attrib[name]
        for child in list(parent):
            ours = isinstance(child.tag, str) and (
                child.tag.startswith(f"{{{NS['qinsight']}}}")
                or child.tag == qualified("xmp:Rating")
                or (child.tag == qualified("rdf:li") and (child.text or "").startswith("q-insight:"))
                or (child.tag == qualified("dc:description") and "Q-Insight: " in "".join(child.itertext()))
            )
            if ours:
                assert not (child.tail or "").strip()
                parent.remove(child)
    for parent in list(tree.iter()):  # a list we made, now empty
        for child in list(parent):
            if child.tag == qualified("dc:subject") and not "".join(child.itertext()).strip():
                parent.remove(child)
    return ET.canonicalize(ET.tostring(tree, encoding="unicode"), with_comments=True, strip_text=True)


def prefixes(text):
    return {pair for _, pair in ET.iterparse(io.BytesIO(text.encode()), events=["start-ns"])}


def instructions(text):
    return re.findall(r"<\?xpacket.*?\?>", text)
