"""A JPEG as its segments: where its XMP packet is, and where one may be put without moving what others point at."""

import hashlib
import itertools
import re
import struct
from dataclasses import dataclass

from qinsight.errors import PhotoError
from qinsight.photos.files import MOST_SEGMENTS

SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".jfi", ".mpo")
MOST_PACKET = 65_502  # bytes of XMP in one segment (XMP specification, part 3)
XMP = b"http://ns.adobe.com/xap/1.0/\0"
EXTENSION = b"http://ns.adobe.com/xmp/extension/\0"
EXIF = b"Exif\0"
MORE_PICTURES = b"MPF\0"
PHOTOSHOP = b"Photoshop 3.0\0"
_FILL = re.compile(rb"\xff+")
_MARKER = re.compile(rb"\xff[^\0\xff\x01\xd0-\xd7]")  # the others belong to the coded picture
_APP0, _APP1, _APP2, _APP13, _SCAN, _END = 0xE0, 0xE1, 0xE2, 0xED, 0xDA, 0xD9


@dataclass(frozen=True)
class Segment:
    """From its marker at `start` to `end`; what it holds begins at `body`."""

    marker: int
    start: int
    body: int
    end: int


@dataclass(frozen=True)
class Jpeg:
    """The file, and its segments before the picture."""

    data: bytes
    segments: tuple[Segment, ...]

    @classmethod
    def read(cls, data: bytes) -> "Jpeg":
        """Its segments up to the first scan; `PhotoError` where they do not follow one another."""
        if not data.startswith(b"\xff\xd8\xff"):
            raise PhotoError("expected a JPEG, got a file of another kind under its name")
        segments, at = list[Segment](), 2
        while len(segments) < MOST_SEGMENTS:
            segment = _segment(data, at)
            segments.append(segment)
            if segment.marker == _SCAN:
                return cls(data, tuple(segments))
            at = segment.end
        raise PhotoError(f"expected a JPEG of at most {MOST_SEGMENTS} parts, got one with more")

    def holding(self, head: bytes) -> list[Segment]:
        """The application segments that begin with `head`."""
        marker = {MORE_PICTURES: _APP2, PHOTOSHOP: _APP13}.get(head, _APP1)
        return [one for one in self.segments if one.marker == marker and self.data.startswith(head, one.body)]

    def content(self, segment: Segment) -> bytes:
        return self.data[segment.body : segment.end]

    def end(self) -> int:
        """Where the picture ends; second pictures, films and notes may follow. `PhotoError` where it has no end."""
        at = self.segments[-1].end
        while found := _MARKER.search(self.data, at):
            if self.data[found.start() + 1] == _END:
                return found.end()
            at = _segment(self.data, found.start()).end
        raise PhotoError("expected a complete JPEG, got one without an end")

    def without_xmp(self) -> list[memoryview]:
        """All bytes but those of its XMP packet, in pieces."""
        view, pieces, at = memoryview(self.data), [], 0
        for packet in self.holding(XMP):
            pieces.append(view[at : packet.start])
            at = packet.end
        return [*pieces, view[at:]]

    @property
    def place_for_xmp(self) -> int:
        """Behind JFIF and EXIF, which come first, and before the list of further pictures, which counts from itself."""
        at_first = itertools.takewhile(lambda one: one.marker == _APP0, self.segments)
        last = max((one.end for one in at_first), default=2)
        fixed = [one.start for one in self.holding(MORE_PICTURES)]
        behind = [one.end for one in self.holding(EXIF) if not fixed or one.start < fixed[0]]
        return max([last, *behind])


def _segment(data: bytes, at: int) -> Segment:
    """The segment whose marker is at `at`; any number of FF may stand before a marker."""
    start = at
    if fill := _FILL.match(data, at):
        at = fill.end() - 1
    if fill is None or at + 4 > len(data):
        raise PhotoError(f"expected the next part of a JPEG at byte {at}, got something else")
    marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4])
    if marker in (0, 1, _END, *range(0xD0, 0xD9)):
        raise PhotoError(f"expected the next part of a JPEG at byte {at}, got the marker {marker:02X}")
    if length < 2 or at + 2 + length > len(data):
        raise PhotoError(f"expected a part of a JPEG at byte {at} that ends in the file, got {length} bytes")
    return Segment(marker, start, at + 4, at + 2 + length)


def fingerprints(data: bytes) -> tuple[str, ...]:
    """SHA-256 of a photo's file, of a JPEG without its XMP packet; then of the whole file, where they differ.

    Programs write stars and words into a packet as they like, and the picture stays the same.
    """
    whole = hashlib.sha256(data).hexdigest()
    try:
        jpeg = Jpeg.read(data)
    except PhotoError:
        return (whole,)
    if not jpeg.holding(XMP):
        return (whole,)
    rest = hashlib.sha256()
    for piece in jpeg.without_xmp():
        rest.update(piece)
    return (rest.hexdigest(), whole)


def points_behind(exif: bytes, distances: set[int]) -> bool:
    """Whether EXIF names a place by one of these distances from its head: camera makers put previews behind pictures."""
    return any(struct.pack(order, distance) in exif for order in ("<I", ">I") for distance in distances)
