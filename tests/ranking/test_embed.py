"""XMP inside JPEGs: every other byte stays, the file is whole or untouched, and other programs read it."""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
from PIL import Image

from qinsight import __main__ as command_line
from qinsight.__main__ import main
from qinsight.photos import load_photo
from qinsight.photos.jpeg import fingerprints
from qinsight.ranking.embedding import Embedded, embed, packet_of, with_row
from shared import jpegs
from shared.engines import PixelEngine
from shared.foreign_sidecars import DARKTABLE, DIGIKAM, LIGHTROOM
from shared.jpegs import MOTION, SAMSUNG, camera, exif, icc, packet, photo, picture, segment, without_packet
from shared.places import REPOSITORY
from shared.xmp_witnesses import EXIFTOOL, exiftool, exiv2, foreign, needs_exiftool, needs_exiv2, row, sidecar

PADDED = LIGHTROOM.encode().split(b"<?xpacket end")[0] + b" " * 4000 + b'\n<?xpacket end="w"?>'
GUID, PARTS = jpegs.extended(
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf='
    b'"http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description xmlns:d="urn:depth" d:map="'
    + b"QUJD" * 9000
    + b'"/></rdf:RDF></x:xmpmeta>'
)
EXTENDED = sidecar(
    "", f'xmlns:xmpNote="http://ns.adobe.com/xmp/note/" xmpNote:HasExtendedXMP="{GUID.decode()}"'
)
SECOND = picture("olive", (48, 32))
KINDS = {
    "plain": picture(),
    "from a camera": camera(),
    "with JFIF and EXIF": photo(exif() + icc(), jfif=True),
    "ICC before EXIF": photo(icc() + exif()),
    "a comment and an unknown segment": photo(segment(0xFE, b"hand made") + segment(0xEB, b"HDR\0" * 9)),
    "fill bytes before a marker": photo(exif() + b"\xff\xff" + icc()),
    "progressive": camera(progressive=True),
    "grey": camera(quality=30, subsampling=2),
    "restart markers": camera(restart_marker_blocks=2),
    "empty rating of a camera": photo(exif() + packet(sidecar('<xmp:Rating>0</xmp:Rating>'))),
    "a packet of Lightroom": photo(exif() + packet(LIGHTROOM.encode())),
    "a padded packet": photo(exif() + packet(PADDED) + icc()),
    "a packet that ends like a C string": photo(exif() + packet(LIGHTROOM.encode() + b"\0")),
    "a packet before EXIF": photo(packet(DIGIKAM.split("\n", 1)[1].encode()) + exif()),
    "extended XMP": photo(exif() + packet(EXTENDED) + PARTS),
    "two pictures": camera(second=SECOND),
    "two pictures and a packet": photo(exif() + packet(LIGHTROOM.encode()), second=SECOND),
    "two pictures and a padded packet behind their list": photo(exif(), behind=packet(PADDED), second=SECOND),
    "a film behind it": camera(trailer=MOTION),
    "a phone's notes behind it": camera(second=SECOND, trailer=SAMSUNG),
}  # fmt: skip


def placed(tmp_path, data, name="IMG_1.jpg"):
    path = tmp_path / name
    path.write_bytes(data)
    os.utime(path, ns=(1_500_000_000_123_456_789, 1_400_000_000_987_654_321))
    return path


def left_alone(tmp_path, data, reason, name="IMG_1.jpg"):
    path = placed(tmp_path, data, name)
    before = path.stat()
    other = placed(tmp_path, camera(), "other.jpg")
    written, [failure] = embed([row(name), row("other.jpg")], tmp_path)
    assert written == [other]
    assert failure.startswith(f"{name}: expected ")
    assert failure.endswith("; it is unchanged")
    assert "\n" not in failure
    assert reason in failure
    assert path.read_bytes() == data
    after = path.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert sorted(os.listdir(tmp_path)) == sorted([name, "other.jpg"])


# ---- what stays


@pytest.mark.parametrize("kind", KINDS)
def test_every_byte_but_the_packet_stays(kind):
    before = KINDS[kind]
    after = with_row(before, row(), stars=4)
    assert after != before
    assert hashlib.sha256(jpegs.scan(after)).digest() == hashlib.sha256(jpegs.scan(before)).digest()
    assert without_packet(after) == without_packet(before)
    assert jpegs.pictures(after) == jpegs.pictures(before)
    assert packet_of(after) == jpegs.packet_in(after)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_again_changes_nothing(kind):
    once = with_row(KINDS[kind], row(), stars=4)
    assert with_row(once, row(), stars=4) == once
    again = with_row(once, row(thinking="Other words. " * 50), stars=5)
    assert without_packet(again) == without_packet(once)


@pytest.mark.parametrize("xmp", [LIGHTROOM, DARKTABLE.split("\n", 1)[1], DIGIKAM.split("\n", 1)[1]])
def test_a_packet_keeps_everything_it_had(xmp):
    after = packet_of(with_row(photo(exif() + packet(xmp.encode())), row(), stars=4, keep_ratings=False))
    assert foreign(after.decode()) == foreign(xmp)


def test_a_padded_packet_keeps_its_room_so_that_nothing_moves():
    before = photo(exif() + packet(PADDED) + icc(), second=SECOND)
    after = with_row(before, row(), stars=4)
    assert len(after) == len(before)


@needs_exiftool
@pytest.mark.parametrize("kind", KINDS)
def test_exiftool_finds_all_it_found_before_and_the_stars(tmp_path, kind):
    before = exiftool(placed(tmp_path, KINDS[kind], "before.jpg"), "all")
    path = placed(tmp_path, KINDS[kind])
    assert embed([row("IMG_1.jpg")], tmp_path, keep_ratings=False) == Embedded([path], [])
    after = exiftool(path, "all")
    assert after["XMP-xmp:Rating"] == 4
    assert "q-insight:blur" in after["XMP-dc:Subject"]
    moves = re.compile("ExifTool:|System:|File:|XMP-xmp:Rating|XMP-x:|MP.*Start|Composite:|MPF0:")
    for name in before:
        if (
            not moves.match(name)
            and "ubject" not in name
            and "TagsList" not in name
            and "KeywordXMP" not in name
        ):
            assert after[name] == before[name], name
    if "fill bytes" not in kind:  # which it warns of, and no longer behind EXIF
        assert after.get("ExifTool:Warning") == before.get("ExifTool:Warning")


@needs_exiv2
@pytest.mark.parametrize("kind", KINDS)
def test_exiv2_reads_the_stars_and_the_keywords(tmp_path, kind):
    path = placed(tmp_path, KINDS[kind])
    embed([row("IMG_1.jpg")], tmp_path, keep_ratings=False)
    told = exiv2(path)
    assert told["Xmp.xmp.Rating"] == ["4"]
    assert told["Xmp.dc.subject"][-2:] == ["q-insight:blur", "q-insight:serious"]


@needs_exiftool
@pytest.mark.parametrize("kind", [kind for kind in KINDS if "two pictures" in kind or "notes" in kind])
def test_the_second_picture_of_a_phone_is_still_found(tmp_path, kind):
    path = placed(tmp_path, KINDS[kind])
    embed([row("IMG_1.jpg")], tmp_path)
    found = subprocess.run([EXIFTOOL, "-b", "-MPImage2", path], capture_output=True, check=True).stdout
    assert found == SECOND
    with Image.open(path) as opened:
        opened.seek(1)
        assert opened.size == (48, 32)


@needs_exiftool
def test_maker_notes_stay_byte_for_byte(tmp_path):
    path = placed(tmp_path, camera())
    embed([row("IMG_1.jpg")], tmp_path)
    assert jpegs.MAKER_NOTE in path.read_bytes()
    assert without_packet(path.read_bytes()) == camera()


def test_a_caption_is_written_into_a_jpeg_only_when_asked():
    for caption in (False, True):
        found = packet_of(with_row(camera(), row(), stars=4, caption=caption))
        assert (b"dc:description>" in found) == caption


def test_a_caption_in_exif_or_iptc_is_a_caption_too():
    words = Image.Exif()
    words[270] = "The Matterhorn at dawn"
    blank = Image.Exif()
    blank[270] = "   "
    iptc = b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\x0a\x1c\x02\x78\0\x05words"
    for segments, written in (
        (segment(0xE1, words.tobytes()), False),
        (exif() + segment(0xED, iptc), False),
        (segment(0xE1, blank.tobytes()), True),
    ):
        found = packet_of(with_row(photo(segments), row(), stars=4, caption=True))
        assert (b"dc:description>" in found) == written


@pytest.mark.parametrize(
    ("given", "after"), [("2", b">2<"), ("-1.0", b">-1.0<"), ("0.0", b">4<"), ("", b">4<")]
)
def test_stars_that_a_person_gave_stay_in_a_jpeg(given, after):
    before = photo(packet(sidecar(f"<xmp:Rating>{given}</xmp:Rating>")))
    found = packet_of(with_row(before, row(), stars=4))
    assert b"<xmp:Rating" + after in found
    assert packet_of(with_row(before, row(), stars=4, keep_ratings=False)).count(b"<xmp:Rating>4<") == 1


def test_times_permissions_and_attributes_stay(tmp_path):
    path = placed(tmp_path, camera())
    path.chmod(0o640)
    if hasattr(os, "setxattr"):
        try:
            os.setxattr(path, "user.label", b"red")
        except OSError:
            pytest.skip("this file system has no extended attributes")
    before = path.stat()
    embed([row("IMG_1.jpg")], tmp_path)
    after = path.stat()
    assert after.st_ino != before.st_ino
    for name in ("st_atime_ns", "st_mtime_ns", "st_mode", "st_uid", "st_gid"):
        assert getattr(after, name) == getattr(before, name), name
    if hasattr(os, "getxattr"):
        assert os.getxattr(path, "user.label") == b"red"


def test_other_photos_and_photos_with_an_error_are_not_for_embedding(tmp_path):
    placed(tmp_path, camera())
    rows = [row("IMG_1.CR2"), row("a.png"), row("IMG_1.jpg", error="no answer")]
    assert embed(rows, tmp_path) == Embedded([], [])


# ---- what is refused

CUT = camera()
BROKEN = {
    "an empty file": (b"", "empty"),
    "a PNG": (b"\x89PNG\r\n\x1a\n" + bytes(99), "another kind"),
    "a picture without an end": (CUT[:-2], "without an end"),
    "a picture cut short": (CUT[:-99], "without an end"),
    "a head cut short": (CUT[:200], "at byte"),
    "only a beginning": (b"\xff\xd8\xff\xe1", "at byte"),
    "no picture": (b"\xff\xd8" + exif() + b"\xff\xd9", "at byte"),
    "a segment longer than the file": (CUT[:2] + b"\xff\xe1\xff\xff" + CUT[2:], "ends in the file"),
    "a segment of length 0": (CUT[:2] + b"\xff\xe1\0\0" + CUT[2:], "ends in the file"),
    "a segment that is too short": (photo(b"\xff\xe1\0\x09Exif\0\0" + exif()), "at byte"),
    "words between segments": (photo(exif() + b"junk"), "at byte"),
    "two packets": (photo(packet(LIGHTROOM.encode()) + packet(LIGHTROOM.encode())), "one XMP packet, got 2"),
    "a packet that is no XML": (photo(packet(b"<x:xmpmeta")), "an XMP packet in XML"),
    "a packet that is cut": (photo(packet(LIGHTROOM.encode()[:900])), "an XMP packet in XML"),
    "an empty packet": (photo(packet(b"")), "an XMP packet in XML"),
    "a packet of spaces": (photo(packet(b" " * 99)), "an XMP packet in XML"),
    "a packet without RDF": (photo(packet(b"<a/>")), "holds rdf:RDF"),
    "a packet with a DOCTYPE": (photo(packet(b"<!DOCTYPE a><a/>")), "without a DOCTYPE"),
    "a packet in two encodings": (photo(packet(LIGHTROOM.encode() + b"\xe9")), "an XMP packet in XML"),
    "EXIF that is no TIFF": (photo(segment(0xE1, b"Exif\0\0nonsense")), "begins as TIFF does"),
    "EXIF that is cut": (photo(segment(0xE1, b"Exif\0\0II*\0\x08\0\0\0\x20\0")), "ends behind it"),
    "EXIF that begins nowhere": (photo(segment(0xE1, b"Exif\0\0II*\0\xff\xff\0\0")), "ends behind it"),
    "half an extension": (photo(packet(EXTENDED) + PARTS[: len(PARTS) // 2 + 38]), ""),
    "an extension that is not there": (photo(packet(EXTENDED)), "the whole of an extended"),
    "a packet with no room left": (
        photo(packet(sidecar("", f'xmlns:e="urn:e" e:e="{"x" * 64800}"'))),
        "at most 65502 bytes",
    ),
    "a growing packet behind the list of pictures": (
        photo(exif(), behind=packet(LIGHTROOM.encode()), second=SECOND),
        "before the list",
    ),
    "notes that count from the beginning": (camera(trailer=b"AXS!notes" + b"AXS!" + bytes(8)), "got AFCP"),
    "a growing packet between list and second picture": (
        photo(exif(), behind=packet(sidecar("")), second=SECOND),
        "before the list",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", BROKEN)
def test_a_jpeg_with_broken_metadata_is_left_alone_and_others_go_on(tmp_path, kind):
    left_alone(tmp_path, *BROKEN[kind])


def test_stars_in_an_extension_are_not_said_twice(tmp_path):
    name, parts = jpegs.extended(sidecar("<xmp:Rating>3</xmp:Rating>") + b" " * 500)
    main = EXTENDED.replace(GUID, name)
    left_alone(tmp_path, photo(packet(main) + parts), "got them in its extension")


def test_a_preview_that_exif_points_at_behind_the_picture_is_not_moved(tmp_path):
    before = len(photo(exif(0)))
    pointing = photo(exif(before - 12), trailer=SECOND)  # counted from the head of EXIF
    assert pointing[before:] == SECOND
    left_alone(tmp_path, pointing, "got a preview behind the picture")


def test_a_photo_that_is_gone_or_outside_is_named(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    outside = placed(tmp_path, camera(), "out.jpg")
    (folder / "link.jpg").symlink_to(outside)
    (folder / "day").symlink_to(tmp_path)
    (folder / "loop.jpg").symlink_to("loop.jpg")
    (folder / "folder.jpg").mkdir()
    names = ["gone.jpg", "../out.jpg", "link.jpg", "day/out.jpg", "loop.jpg", "folder.jpg", "a\0.jpg"]
    written, failures = embed([row(name) for name in names], folder)
    assert (written, len(failures)) == ([], len(names))
    assert all("expected a" in failure for failure in failures)
    assert outside.read_bytes() == camera()


def test_a_file_with_two_names_is_left_alone(tmp_path):
    (tmp_path / "backup").mkdir()
    path = placed(tmp_path, camera())
    os.link(path, tmp_path / "backup" / "IMG_1.jpg")
    written, [failure] = embed([row("IMG_1.jpg")], tmp_path)
    assert written == []
    assert "hard links" in failure
    assert path.read_bytes() == camera()


@pytest.mark.parametrize("what", ["photo", "folder"])
def test_what_is_read_only_is_a_sentence(tmp_path, what):
    place = tmp_path / "day"
    place.mkdir()
    path = placed(place, camera())
    locked = path if what == "photo" else place
    locked.chmod(0o444 if what == "photo" else 0o555)
    written, [failure] = embed([row("day/IMG_1.jpg")], tmp_path)
    locked.chmod(0o755)
    assert written == []
    assert f"expected a {what} that may be written, got a read-only one" in failure
    assert path.read_bytes() == camera()


def test_a_photo_that_another_program_changes_meanwhile_is_left_to_it(tmp_path, monkeypatch):
    path = placed(tmp_path, camera())
    from qinsight.ranking import embedding

    whole = embedding.with_row

    def slow(*asked, **how):
        new = whole(*asked, **how)
        path.write_bytes(picture("red"))
        return new

    monkeypatch.setattr(embedding, "with_row", slow)
    written, [failure] = embed([row("IMG_1.jpg")], tmp_path)
    assert written == []
    assert "another program is changing" in failure
    assert path.read_bytes() == picture("red")
    assert os.listdir(tmp_path) == ["IMG_1.jpg"]


# ---- disks and kills

IN_LITTLE_ROOM = """
import resource, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from shared.xmp_witnesses import row
from qinsight.ranking.embedding import embed
from qinsight.errors import QInsightError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))
try:
    embed([row("a.jpg"), row("b.jpg"), row("c.jpg")], Path(sys.argv[2]))
except QInsightError as error:
    print(error)
"""


def test_a_full_disk_is_one_sentence_and_every_photo_is_whole(tmp_path):
    small, large = picture(), picture(quality=100, subsampling=0, size=(256, 256)) + bytes(6000)
    for name, data in (("a.jpg", small), ("b.jpg", large), ("c.jpg", small)):
        placed(tmp_path, data, name)
    done = subprocess.run(
        [sys.executable, "-c", IN_LITTLE_ROOM, REPOSITORY / "tests", tmp_path],
        cwd=REPOSITORY, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert re.fullmatch(
        r"expected to write .*b.jpg, got 'File too large'; it is unchanged, the 1 .*\n", done.stdout
    )
    assert sorted(os.listdir(tmp_path)) == ["a.jpg", "b.jpg", "c.jpg"]
    assert packet_of((tmp_path / "a.jpg").read_bytes())
    assert (tmp_path / "b.jpg").read_bytes() == large
    assert (tmp_path / "c.jpg").read_bytes() == small


FOR_EVER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from shared.xmp_witnesses import row
from qinsight.ranking.embedding import embed
folder = Path(sys.argv[2])
print("ready", flush=True)
for turn in range(10**6):
    embed([row(path.name, thinking=f"{turn} " * 500) for path in folder.glob("*.jpg")], folder)
"""


def test_a_kill_at_any_moment_leaves_whole_photos_and_the_next_run_tidies_up(tmp_path):
    data = camera(second=SECOND, trailer=bytes(3_000_000))
    for number in range(4):
        placed(tmp_path, data, f"{number}.jpg")
    for wait in (0.05, 0.11, 0.17, 0.23, 0.31):
        process = subprocess.Popen(
            [sys.executable, "-c", FOR_EVER, REPOSITORY / "tests", tmp_path],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
        )
        assert process.stdout.readline() == b"ready\n"
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        for number in range(4):
            found = (tmp_path / f"{number}.jpg").read_bytes()
            assert without_packet(found) == without_packet(data)
            assert (tmp_path / f"{number}.jpg").stat().st_mtime_ns == 1_400_000_000_987_654_321
    (tmp_path / ".q-insight-0123456789abcdef.part").write_bytes(b"half")  # whatever the kills above left
    assert len(embed([row(f"{number}.jpg") for number in range(4)], tmp_path).written) == 4
    assert sorted(os.listdir(tmp_path)) == [f"{number}.jpg" for number in range(4)]


# ---- the ranking's memory


def shoot(folder):
    folder.mkdir()
    for number in range(6):
        first = exif() + (packet(LIGHTROOM.encode()) if number % 2 else b"")
        placed(folder, photo(first, colour=(40 * number, 40 * number, 40 * number)), f"IMG_{number}.jpg")
    Image.new("RGB", (64, 64), "red").save(folder / "other.png")
    return folder


@pytest.fixture
def engine(monkeypatch):
    found = PixelEngine()
    monkeypatch.setattr(command_line, "_engine", lambda options: found)
    return found


def test_after_embedding_nothing_is_asked_anew(tmp_path, engine, capsys):
    folder, out = shoot(tmp_path / "shoot"), tmp_path / "out"
    arguments = ["rank", str(folder), "--out", str(out), "--xmp", "embed"]
    assert main(arguments) == 0
    assert engine.photos == 7
    told = capsys.readouterr().err
    assert "Written: 6 XMP packets in JPEGs" in told
    assert "Written: 1 XMP sidecars" in told
    files = {path: (path.read_bytes(), path.stat().st_ino) for path in folder.iterdir()}
    assert sorted(path.name for path in files) == [
        *(f"IMG_{n}.jpg" for n in range(6)),
        "other.png",
        "other.png.xmp",
    ]
    assert all(packet_of(data) for path, (data, _) in files.items() if path.suffix == ".jpg")
    assert main(arguments) == 0
    assert engine.photos == 7
    assert {path: (path.read_bytes(), path.stat().st_ino) for path in folder.iterdir()} == files


def test_a_memory_that_was_written_before_the_embedding_was_killed_still_knows(tmp_path, engine):
    folder, out = shoot(tmp_path / "shoot"), tmp_path / "out"
    assert main(["rank", str(folder), "--out", str(out)]) == 0
    memory = (out / "results.jsonl").read_bytes()
    embed([row(f"IMG_{number}.jpg") for number in (0, 1, 2)], folder)
    (out / "results.jsonl").write_bytes(memory)
    assert main(["rank", str(folder), "--out", str(out), "--xmp", "embed"]) == 0
    assert engine.photos == 7


def test_a_memory_of_an_earlier_version_that_counted_the_packet_is_known_and_brought_up_to_date(
    tmp_path, engine
):
    folder, out = shoot(tmp_path / "shoot"), tmp_path / "out"
    arguments = ["rank", str(folder), "--out", str(out)]
    assert main(arguments) == 0
    lines = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    for line in lines:
        line["sha256"] = hashlib.sha256((folder / line["photo"]).read_bytes()).hexdigest()
    (out / "results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for _ in range(2):
        assert main([*arguments, "--xmp", "embed"]) == 0
    assert engine.photos == 7


def test_a_picture_that_changed_is_asked_about_even_if_its_packet_is_ours(tmp_path, engine):
    folder, out = shoot(tmp_path / "shoot"), tmp_path / "out"
    arguments = ["rank", str(folder), "--out", str(out), "--xmp", "embed"]
    assert main(arguments) == 0
    ours = packet_of((folder / "IMG_0.jpg").read_bytes())
    placed(folder, photo(packet(ours), colour="white"), "IMG_0.jpg")
    assert main(arguments) == 0
    assert engine.photos == 8


def test_the_packet_does_not_count_in_a_photos_fingerprint():
    for data in KINDS.values():
        assert fingerprints(with_row(data, row(), stars=4))[0] == fingerprints(data)[0]
    endless = b"\xff\xd8" + b"\xff" * 20_000_000, b"\xff\xd8" + b"\xff\xfe\0\2" * 5_000_000  # at once, too
    for data in (*endless, b"", b"\xff\xd8\xff", picture(), BROKEN["two packets"][0][:50]):
        assert fingerprints(data) == (hashlib.sha256(data).hexdigest(),)


def test_a_jpeg_that_has_a_sidecar_keeps_it_up_to_date(tmp_path, engine):
    folder = shoot(tmp_path / "shoot")
    arguments = ["rank", str(folder), "--out", str(tmp_path / "out")]
    (folder / "IMG_3.jpg.xmp").write_bytes(sidecar(""))
    assert main([*arguments, "--xmp", "embed"]) == 0
    assert b"q-insight:darken" in (folder / "IMG_3.jpg.xmp").read_bytes()
    assert sorted(path.name for path in folder.glob("*.xmp")) == ["IMG_3.jpg.xmp", "other.png.xmp"]


def test_without_being_asked_no_photo_is_touched(tmp_path, engine):
    folder = shoot(tmp_path / "shoot")
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}
    for xmp in ("beside", str(tmp_path / "sidecars")):
        assert main(["rank", str(folder), "--out", str(tmp_path / "out"), "--xmp", xmp]) == 0
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in before} == before


@pytest.mark.parametrize(
    "photo", sorted((REPOSITORY / "examples/photos").glob("*.jpg")), ids=lambda path: path.stem
)
def test_the_example_photos_keep_their_pixels(tmp_path, photo):
    shutil.copy(photo, tmp_path)
    assert embed([row(photo.name)], tmp_path).failures == []
    assert load_photo(tmp_path / photo.name).tobytes() == load_photo(photo).tobytes()
