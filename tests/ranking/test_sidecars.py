"""Sidecars are promises to other programs: they read what we wrote, and lose nothing of what they wrote."""

import subprocess
import xml.etree.ElementTree as ET

import pytest
from PIL import Image

from qinsight.errors import QInsightError
from qinsight.ranking.contact_sheet import write_html
from qinsight.ranking.sidecars import Sidecars, merged, write_sidecars
from qinsight.ranking.tables import write_csv
from shared.foreign_sidecars import DARKTABLE, DIGIKAM, LIGHTROOM
from shared.xmp_witnesses import (
    EXIFTOOL,
    aslist,
    exiftool,
    exiv2,
    foreign,
    instructions,
    items,
    needs_exiftool,
    needs_exiv2,
    prefixes,
    ratings,
    row,
    sidecar,
    values,
)

# ---- sidecars from nothing


def test_a_new_sidecar_says_everything(tmp_path):
    assert write_sidecars([row(group=2, best=True)], tmp_path) == Sidecars([tmp_path / "IMG_1.CR2.xmp"], [])
    tree = ET.parse(tmp_path / "IMG_1.CR2.xmp")
    assert values(tree, "xmp:Rating") == ["4"]
    assert items(tree, "dc:subject") == ["q-insight:blur", "q-insight:serious", "q-insight:best"]
    assert items(tree, "dc:description") == []
    assert values(tree, "qinsight:reasoning") == ["Q-Insight: The subject is soft.\n\nEdges are smeared."]
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
    [path] = write_sidecars([row(thinking=thinking, diagnosis=None)], tmp_path, caption=True).written
    told = exiftool(path)
    assert told["XMP-xmp:Rating"] == 4
    assert told["XMP-dc:Subject"] == ["q-insight:blur", "q-insight:serious"]
    assert told["XMP-dc:Description"] == f"Q-Insight: {thinking}"
    assert told["XMP-qinsight:ExpectedRating"] == 3.42
    assert told["XMP-qinsight:RatedBy"] == "ByteDance/Q-Insight bf16"
    assert not [name for name in told if name.startswith("ExifTool:Warn")]


@needs_exiv2
@pytest.mark.parametrize("caption", [True, False])
def test_exiv2_reads_a_new_sidecar(tmp_path, caption):
    [path] = write_sidecars([row()], tmp_path, caption=caption).written
    told = exiv2(path)
    assert told["Xmp.xmp.Rating"] == ["4"]
    assert told["Xmp.dc.subject"] == ["q-insight:blur", "q-insight:serious"]
    assert ("Xmp.dc.description" in told) == caption


@needs_exiv2
@pytest.mark.parametrize("program", ["darktable", "Lightroom", "digiKam"])
def test_exiv2_finds_all_it_found_before(tmp_path, program):
    path = tmp_path / "IMG_1.CR2.xmp"
    path.write_text(FOREIGN[program], encoding="utf-8")
    before = exiv2(path)
    write_sidecars([row()], tmp_path)
    after = exiv2(path)
    for name, told in before.items():
        assert [value for value in after[name] if not value.startswith("q-insight:")] == told


@needs_exiftool
def test_exiftool_asked_for_the_rating_gives_the_stars(tmp_path):
    [path] = write_sidecars([row()], tmp_path, caption=True).written
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
    rows = [row(thinking=thinking, diagnosis=None, model="m\x00")]
    [path] = write_sidecars(rows, tmp_path, caption=True).written
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


FOREIGN = {"darktable": DARKTABLE, "Lightroom": LIGHTROOM, "digiKam": DIGIKAM}


@pytest.mark.parametrize("program", FOREIGN)
def test_a_sidecar_keeps_everything_it_had(tmp_path, program):
    path = tmp_path / "IMG_1.CR2.xmp"
    path.write_text(FOREIGN[program], encoding="utf-8")
    assert write_sidecars([row()], tmp_path, keep_ratings=False) == Sidecars([path], [])
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
    write_sidecars([row()], tmp_path, keep_ratings=False)
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
    ours = merged(None, row(), stars=4, caption=True)
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
    tree = ET.ElementTree(ET.fromstring(merged(sidecar(empty), row(), stars=4, caption=True)))
    assert items(tree, "dc:description") == ["Q-Insight: The subject is soft.\n\nEdges are smeared."]


def test_a_description_in_another_language_alone_is_a_description_too():
    german = '<dc:description><rdf:Alt><rdf:li xml:lang="de">Matterhorn</rdf:li></rdf:Alt></dc:description>'
    tree = ET.ElementTree(ET.fromstring(merged(sidecar(german), row(), stars=4)))
    assert items(tree, "dc:description") == ["Matterhorn"]


def test_stars_that_a_person_gave_are_remembered_through_later_runs():
    once = merged(LIGHTROOM.encode(), row(), stars=4, keep_ratings=False)
    twice = merged(once, row(), stars=5, keep_ratings=False)
    tree = ET.ElementTree(ET.fromstring(twice))
    assert (values(tree, "xmp:Rating"), values(tree, "qinsight:formerRating")) == (["5"], ["2"])
    changed = twice.replace(b"<xmp:Rating>5<", b"<xmp:Rating>3<")
    tree = ET.ElementTree(ET.fromstring(merged(changed, row(), stars=5, keep_ratings=False)))
    assert (values(tree, "xmp:Rating"), values(tree, "qinsight:formerRating")) == (["5"], ["3"])


@pytest.mark.parametrize(("given", "after"), [("2", "2"), ("-1", "-1"), ("0", "4"), ("", "4"), (None, "4")])
def test_stars_that_a_person_gave_stay(tmp_path, given, after):
    path = tmp_path / "IMG_1.CR2.xmp"
    path.write_bytes(sidecar("" if given is None else f"<xmp:Rating>{given}</xmp:Rating>"))
    for _ in range(2):
        write_sidecars([row()], tmp_path)
        assert ratings(path) == [after]
    write_sidecars([row(expected_rating=5.0)], tmp_path)
    assert ratings(path) == ["5" if after == "4" else after]  # our own stars are ours to change


UNRATED = ("0", "0.0", "0.000000", "+0", "00", "-0", " 0 ")


@pytest.mark.parametrize("unrated", UNRATED)
@pytest.mark.parametrize("keep", [True, False])
def test_a_rating_that_is_the_number_0_is_no_rating(unrated, keep):
    for xmp in (sidecar(f"<xmp:Rating>{unrated}</xmp:Rating>"), sidecar("", f'xmp:Rating="{unrated}"')):
        tree = ET.ElementTree(ET.fromstring(merged(xmp, row(), stars=4, keep_ratings=keep)))
        assert (values(tree, "xmp:Rating"), values(tree, "qinsight:formerRating")) == (["4"], [])


@pytest.mark.parametrize("again", ["4.0", "4.000000", "+4", "04"])
def test_our_stars_saved_again_as_another_spelling_are_still_ours(again):
    saved = merged(None, row(), stars=4).replace(b"<xmp:Rating>4<", f"<xmp:Rating>{again}<".encode())
    tree = ET.ElementTree(ET.fromstring(merged(saved, row(), stars=5)))
    assert (values(tree, "xmp:Rating"), values(tree, "qinsight:formerRating")) == (["5"], [])


@pytest.mark.parametrize("given", ["2.0", "-1.0", "-1", "3", "five"])
def test_any_other_rating_is_a_persons(given):
    tree = ET.ElementTree(ET.fromstring(merged(sidecar(f"<xmp:Rating>{given}</xmp:Rating>"), row(), stars=4)))
    assert values(tree, "xmp:Rating") == [given]
    assert values(tree, "qinsight:stars") == []


def test_stars_that_windows_keeps_in_percent_are_a_persons():
    percent = sidecar('<m:Rating xmlns:m="http://ns.microsoft.com/photo/1.0/">75</m:Rating>')
    tree = ET.ElementTree(ET.fromstring(merged(percent, row(), stars=2)))
    assert values(tree, "xmp:Rating") == []
    tree = ET.ElementTree(ET.fromstring(merged(percent, row(), stars=2, keep_ratings=False)))
    assert (values(tree, "xmp:Rating"), values(tree, "qinsight:formerRating")) == (["2"], ["4"])


@pytest.mark.parametrize("program", [None, *FOREIGN])
def test_a_caption_is_left_alone_unless_it_is_asked_for(program):
    xmp = FOREIGN[program].encode() if program else None
    before = (
        items(ET.ElementTree(ET.fromstring(FOREIGN[program].replace("\ufeff", ""))), "dc:description")
        if program
        else []
    )
    tree = ET.ElementTree(ET.fromstring(merged(xmp, row(), stars=4)))
    assert items(tree, "dc:description") == before
    tree = ET.ElementTree(ET.fromstring(merged(xmp, row(), stars=4, caption=True)))
    asked = ["Q-Insight: The subject is soft.\n\nEdges are smeared."]
    assert items(tree, "dc:description") == (before or asked)


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
