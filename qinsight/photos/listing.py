"""Which files below a folder are photos, which of them are one frame, and what is left out, and why.

A frame is one press of the shutter: a RAW with the JPEG or HEIC that the camera wrote beside it has the same stem
and the same time, and the JPEG is the one that is asked.
"""

import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from qinsight.errors import PhotoError, QInsightError
from qinsight.photos.files import open_regular, recognise
from qinsight.sentence import Sentence

Frame = tuple[str, ...]
"""The files of one shutter, the one that is asked first."""

RAW_SUFFIXES = (
    *(".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".sr2", ".srf", ".raf", ".orf", ".ori", ".rw2"),
    *(".rwl", ".raw", ".pef", ".ptx", ".srw", ".3fr", ".fff", ".iiq", ".cap", ".mrw", ".x3f", ".gpr", ".kdc"),
    *(".dcr", ".dcs", ".drf", ".k25", ".erf", ".mef", ".mos"),
)
JPEG_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".jfi", ".mpo")
HEIC_SUFFIXES = (".heic", ".heif", ".hif")
SUFFIXES = (
    *(*JPEG_SUFFIXES, ".png", ".apng", ".tif", ".tiff", ".webp", ".avif", ".gif", ".bmp", ".dib"),
    *(*HEIC_SUFFIXES, *RAW_SUFFIXES),
)
HEIC, RAW = 1, 2  # the order in which the files of a frame are asked; a JPEG is 0
PICKS = ".q-insight-picks"  # marks a folder of copies, which are not ranked again
READ = "jpg, png, tif, webp, avif, gif, bmp, heic and camera RAW"  # for people

# What lies beside photos and is none, told by its name: copies and thumbnails that would be taken for photos by
# their content, and the usual companions, which need not be opened.
COPIES = re.compile(r".*(~|_original|\.(bak|tmp|part|crdownload|download|thm|lrprev|cot|ithmb))", re.I | re.S)
COMPANIONS = (
    *(
        ".xmp",
        ".pp3",
        ".dop",
        ".aae",
        ".xml",
        ".json",
        ".csv",
        ".txt",
        ".html",
        ".ini",
        ".db",
        ".mov",
        ".mp4",
    ),
    *(".avi", ".wav"),
)
SYSTEM = {
    *(
        "@eadir",
        "#recycle",
        "#snapshot",
        "@recycle",
        "@recently-snapshot",
        "$recycle.bin",
        "recycle.bin",
        "recycler",
    ),
    *("system volume information", "lost+found", "__macosx", "captureone"),
}  # folders of a NAS, of Windows, of a file system, of a raw converter
LIBRARIES = (
    ".lrdata",
    ".lrcat-data",
    ".photoslibrary",
    ".photolibrary",
    ".aplibrary",
    ".migratedphotolibrary",
)

HEAD = 64 << 10  # bytes in which a camera tells the time
TIME = re.compile(rb"(?:19|20)\d\d:\d\d:\d\d \d\d:\d\d:\d\d")  # as EXIF writes it, in whatever file
NAMED = 5  # names in a sentence; more are counted by their suffix


@dataclass(frozen=True)
class Found:
    """The frames of a shoot, sorted by name, and what was left out of it, in a few words for each reason."""

    frames: tuple[Frame, ...]
    left_out: tuple[Sentence, ...] = ()

    def sentence(self) -> Sentence:
        """What was left out, in one line; empty where that is nothing."""
        parts = Sentence.joined(self.left_out)
        return Sentence("Left out: {parts}.", parts=parts) if parts else Sentence("")


class NoPhotos(QInsightError):
    """A folder without photos; `left_out` says what is there instead."""

    def __init__(self, place: str, left_out: tuple[Sentence, ...]) -> None:
        if left_out:
            super().__init__(
                "Expected photos ({kinds}) in {place}; there are none. {left_out}",
                kinds=READ,
                place=place,
                left_out=Found((), left_out).sentence(),
            )
        else:
            super().__init__("Expected photos ({kinds}) in {place}; there are none.", kinds=READ, place=place)
        self.left_out = left_out


def photos_in(folder: Path, out: Path | None = None) -> list[str]:
    """The photos below a folder that are asked, one of each frame, as sorted relative paths."""
    return [frame[0] for frame in look(folder, out).frames]


def look(folder: Path, out: Path | None = None) -> Found:
    """The frames below a folder, told by suffix, else by content; what is in `out`, or was copied as a pick, is no part of it.

    Left out are hidden files and folders, those of the system, links, and files of other kinds. Raises
    `NoPhotos` where nothing remains.
    """
    if not folder.is_dir():
        raise QInsightError("Expected a folder of photos; there is no folder {folder}.", folder=folder)
    names: list[str] = []
    left = _Left()
    waiting, own = [folder], out and out.resolve()
    while waiting:
        place = waiting.pop()
        try:
            entries = [*os.scandir(place)]
        except OSError:
            left.closed.append(place.relative_to(folder).as_posix())
            continue
        for entry in entries:
            path = place / entry.name
            if entry.is_dir(follow_symlinks=False) and (path.resolve() == own or (path / PICKS).exists()):
                continue
            reason = left.of(entry)
            if reason is not None:
                reason.append(entry.name)
            elif entry.is_dir():
                waiting.append(path)
            elif not entry.is_file():
                left.special.append(entry.name)
            elif is_photo(path):
                names.append(path.relative_to(folder).as_posix())
            elif path.suffix.lower() != ".xmp":  # a sidecar is no other kind, but part of a photo
                left.others.append(entry.name)
    if not names:
        raise NoPhotos(str(folder), left.told())
    return Found(tuple(frames_of(folder, names)), left.told())


def is_photo(path: Path) -> bool:
    """Whether a file is taken for a photo: by its suffix, or where that says nothing, by how it begins."""
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        return True
    if suffix in COMPANIONS or COPIES.fullmatch(path.name):
        return False
    try:
        with open_regular(path) as file:
            return recognise(file.read(2048)) != "BMP"  # two letters, with which a text may begin
    except (PhotoError, OSError):
        return False


def frames_of(folder: Path, names: Iterable[str]) -> list[Frame]:
    """The photos as frames, sorted by the name that is asked."""
    stems: dict[tuple[PurePath, str], list[str]] = {}
    for name in sorted(names):
        path = PurePath(name)
        stems.setdefault((path.parent, path.stem.casefold()), []).append(name)
    return sorted(frame for same in stems.values() for frame in _joined(folder, same))


def _joined(folder: Path, names: Sequence[str]) -> list[Frame]:
    """Files of one stem as frames: a RAW and what has its time belong to the JPEG, else the HEIC, else a RAW."""
    first, *others = sorted(names, key=_place)
    beside = [
        name
        for name in others
        if _place(name) in (HEIC, RAW)
        and PurePath(name).suffix.lower() != PurePath(first).suffix.lower()
        and _same_time(folder / first, folder / name)
    ]
    if not any(_place(name) == RAW for name in beside):
        return [(name,) for name in names]
    return [(first, *beside), *((name,) for name in others if name not in beside)]


def _place(name: str) -> int:
    """JPEG before HEIC before RAW; last what no camera writes beside a RAW."""
    suffix = PurePath(name).suffix.lower()
    kinds = (JPEG_SUFFIXES, HEIC_SUFFIXES, RAW_SUFFIXES)
    return next((place for place, suffixes in enumerate(kinds) if suffix in suffixes), len(kinds))


def _same_time(one: Path, other: Path) -> bool:
    """Whether two files of one stem tell a common time; where one tells none, the stem has to do."""
    times = [_times(path) for path in (one, other)]
    return not all(times) or bool(times[0] & times[1])


def _times(path: Path) -> set[bytes]:
    try:
        with open_regular(path) as file:
            return {*TIME.findall(file.read(HEAD))}
    except (PhotoError, OSError):
        return set()


class _Left:
    """Names of what is left out, by reason."""

    def __init__(self) -> None:
        self.hidden: list[str] = []
        self.system: list[str] = []
        self.links: list[str] = []
        self.closed: list[str] = []
        self.special: list[str] = []
        self.others: list[str] = []

    def of(self, entry: os.DirEntry[str]) -> list[str] | None:
        """Where the name of a file or folder belongs that is left out without a look into it."""
        name = entry.name.lower()
        if entry.is_symlink():
            return self.links
        if entry.is_dir() and (name in SYSTEM or name.endswith(LIBRARIES)):
            return self.system
        return self.hidden if name.startswith(".") else None

    def told(self) -> tuple[Sentence, ...]:
        reasons = {
            Sentence("system folders"): self.system,
            Sentence("hidden"): self.hidden,
            Sentence("links"): self.links,
            Sentence("folders that may not be opened"): self.closed,
            Sentence("pipes and devices"): self.special,
            Sentence("other kinds"): self.others,
        }
        return tuple(
            Sentence(
                "{reason}: {count} ({names})",
                reason=reason,
                count=len(names),
                names=_kinds(names) if names is self.others else _few(sorted({*names})),
            )
            for reason, names in reasons.items()
            if names
        )


def _few(words: Sequence[str]) -> str:
    return ", ".join([*words[:NAMED], *(["…"] if len(words) > NAMED else [])])


def _kinds(names: Sequence[str]) -> str:
    """The names of a few files; of more, how many have which suffix."""
    if len(names) <= NAMED:
        return _few(sorted(names))
    suffixes = Counter(PurePath(name).suffix.lower() or "no suffix" for name in names)
    return _few([f"{count} {suffix}" for suffix, count in suffixes.most_common()])
