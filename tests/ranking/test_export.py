"""Tables and contact sheets: what other programs read of a ranking, whole or not there."""

import csv
import io
import json
import os
import re
import subprocess
import sys
from datetime import date
from html.parser import HTMLParser

import pytest
from PIL import Image

from qinsight.answers import Clean, Degradation, Distortion, Severity
from qinsight.errors import QInsightError
from qinsight.ranking.contact_sheet import write_html
from qinsight.ranking.rows import Row
from qinsight.ranking.sidecars import write_sidecars
from qinsight.ranking.tables import write_csv, write_jsonl
from shared.places import REPOSITORY
from shared.xmp_witnesses import ratings, row
from training.data.own_ratings import Table, Trust, read_ratings

AWKWARD = (
    "two \"quotes\" and 'one'.jpg",
    "first line\nsecond line.jpg",
    "Zürich – 東京 🌇.jpg",
    "a, b; c\td.jpg",
    "<img src=x onerror=alert(1)>&amp;.jpg",
    "=1+1.jpg",
    os.fsdecode(b"latin-1 caf\xe9.jpg"),
)


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
        assert [Row.from_json(json.loads(line)) for line in file] == rows


CLEAN = {"distortion_class": "null", "severity": "null"}


def test_a_clean_photo_has_no_class_in_tables_and_its_row_comes_back(tmp_path):
    rows = [row("clean.jpg", **CLEAN), row("unread.jpg", distortion_class=None, severity=None, error="no")]
    write_csv(rows, tmp_path / "r.csv")
    write_jsonl(rows, tmp_path / "r.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    for told, nothing in ((read_csv(tmp_path / "r.csv"), ""), (lines, None)):
        assert [(line["distortion_class"], line["severity"]) for line in told] == [(nothing, nothing)] * 2
    assert [Row.from_json(line) for line in lines] == rows


@pytest.mark.parametrize(("write", "name"), [(write_csv, "r.csv"), (write_jsonl, "r.jsonl")])
def test_a_clean_photo_of_an_export_is_a_clean_label_where_a_person_went_through(tmp_path, write, name):
    rows = [
        row("a.jpg", **CLEAN),
        row("b.jpg"),
        row("c.jpg", distortion_class=None, severity=None, error="no"),
    ]
    write(rows, tmp_path / name)
    table = Table(tmp_path, trust=Trust(diagnoses=True))
    examples, left = read_ratings(tmp_path / name, table)
    told = [one.target for one in examples]
    assert told == [Clean(), Degradation(Distortion.BLUR, Severity.SERIOUS)]
    assert left == {"rows with an error": 1}


def test_a_clean_row_of_an_earlier_version_is_still_read():
    before = {**row().as_json(), **CLEAN}
    assert Row.from_json(before) == row(**CLEAN)


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


def test_a_contact_sheet_says_what_a_person_said_and_hides_nothing_that_was_picked(tmp_path):
    rows = [
        row("a.jpg", group=1, pick=pick, stars=stars)
        for pick, stars in ((None, None), ("picked", 4), ("rejected", None))
    ]
    write_html(rows, tmp_path / "a.html", tmp_path)
    plain, picked, rejected = (tmp_path / "a.html").read_text("utf-8").split("<article")[1:]
    assert [one.startswith(" class=second") for one in (plain, picked, rejected)] == [True, False, True]
    assert ("<strong>picked ★★★★</strong>" in picked, "rejected</strong>" in rejected) == (True, True)
    assert "<strong>" not in plain


def test_a_contact_sheet_says_underexposed_and_a_csv_says_darken(tmp_path):
    rows = [row("a.jpg", distortion_class="darken", severity="serious")]
    write_html(rows, tmp_path / "sheet.html", tmp_path)
    write_csv(rows, tmp_path / "r.csv")
    assert "underexposed, serious" in words(tmp_path / "sheet.html")
    assert read_csv(tmp_path / "r.csv")[0]["distortion_class"] == "darken"


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


def test_a_contact_sheet_names_the_models_that_rated_and_its_day(tmp_path):
    rows = [row("a.jpg", model="m"), row("broken.jpg", model="", error="torn", rating=None)]
    write_html(rows, tmp_path / "sheet.html", tmp_path)
    assert words(tmp_path / "sheet.html").rstrip().endswith(f"Rated by m. Made on {date.today()}.")


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
    with pytest.raises(QInsightError, match=r"Expected to write .*table, got 'Not a directory'; [^\n]+$"):
        write([row()], tmp_path / "file" / "table")


def test_a_contact_sheet_that_cannot_be_written_is_one_sentence(tmp_path):
    with pytest.raises(QInsightError, match=r"Expected to write .*, got 'No such file or directory'"):
        write_html([row()], tmp_path / "missing" / "sheet.html", tmp_path)


def test_a_folder_is_not_written_over(tmp_path):
    with pytest.raises(QInsightError, match="Expected the name of a file to write, got a folder"):
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
from datetime import date
from pathlib import Path
from qinsight.ranking import contact_sheet
from qinsight.ranking import tables as export
from qinsight.ranking import sidecars
from qinsight.errors import QInsightError
from qinsight.ranking.rows import Row

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
    assert re.fullmatch(r"Expected to write .*/kept, got 'File too large'; .* unchanged\)\.\n", told)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (tmp_path / "kept").read_text() == "an earlier export"


def test_a_full_disk_keeps_the_sidecars_that_were_finished(tmp_path):
    told = with_little_disk("write_sidecars", tmp_path)
    assert re.fullmatch(
        r"Expected to write .*b.jpg.xmp, got 'File too large'; .* 1 sidecars .* stay\.\n", told
    )
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
