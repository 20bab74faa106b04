"""JPEGs as cameras and phones make them, built byte by byte: EXIF, ICC, further pictures, extended XMP, trailers."""

import hashlib
import io
import struct

from PIL import Image, ImageCms

XMP = b"http://ns.adobe.com/xap/1.0/\0"
EXTENSION = b"http://ns.adobe.com/xmp/extension/\0"
MAKER_NOTE = b"Maker\0" + bytes(range(256)) * 7
MOTION = struct.pack(">I", 24) + b"ftypmp42" + bytes(12) + b"film \xff\xd8\xff no picture"
SAMSUNG = b"\0\0\x01\x0aMotionPhoto_Data" + bytes(40) + b"SEFH" + bytes(8) + b"\x14\0\0\0SEFT"


def segment(marker, content):
    return bytes([255, marker]) + struct.pack(">H", len(content) + 2) + content


def picture(colour="teal", size=(96, 64), **options):
    """A baseline JPEG of some structure, without its JFIF segment."""
    image = Image.linear_gradient("L").resize(size).convert("RGB")
    image.paste(colour, (8, 8, 40, 40))
    file = io.BytesIO()
    image.save(file, "JPEG", **options)
    return file.getvalue()


def exif(pointing_at=None):
    """EXIF with a maker note, which may point at a preview."""
    told = Image.Exif()
    told[271], told[272], told[274] = "Maker", "Model 1", 1
    note = MAKER_NOTE + (struct.pack("<I", pointing_at) if pointing_at is not None else b"")
    told.get_ifd(34665)[37500] = note
    told.get_ifd(34665)[36867] = "2026:05:01 10:11:12"
    return segment(0xE1, told.tobytes())


def icc():
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return segment(0xE2, b"ICC_PROFILE\0\x01\x01" + profile)


def packet(xmp):
    return segment(0xE1, XMP + xmp)


def extended(text):
    """Segments with the rest of a packet in two parts, and the name that the main packet gives it."""
    name = hashlib.md5(text).hexdigest().upper().encode()
    half = len(text) // 2
    parts = [(0, text[:half]), (half, text[half:])]
    return name, b"".join(
        segment(0xE1, EXTENSION + name + struct.pack(">II", len(text), at) + part) for at, part in parts
    )


def mpf(first, others):
    """The list of a file's pictures: `others` as size and distance from the list's own head."""
    count = 1 + len(others)
    entries = struct.pack(">HHI4s", 0xB000, 7, 4, b"0100") + struct.pack(">HHII", 0xB001, 4, 1, count)
    entries += struct.pack(">HHII", 0xB002, 7, 16 * count, 50)
    body = b"MM\0*" + struct.pack(">IH", 8, 3) + entries + struct.pack(">I", 0)
    body += struct.pack(">IIIHH", 0x20030000, first, 0, 0, 0)
    body += b"".join(struct.pack(">IIIHH", 0, size, distance, 0, 0) for size, distance in others)
    return segment(0xE2, b"MPF\0" + body)


def photo(before=b"", *, behind=b"", second=None, trailer=b"", jfif=False, **options):
    """A JPEG with these segments first; with a `second` picture listed by MPF, with `behind` after that list."""
    plain = picture(**options)
    start = plain[:2] + (plain[2:20] if jfif else b"") + before
    rest = behind + plain[20:]
    if second is None:
        return start + rest + trailer
    size = len(mpf(0, [(0, 0)]))
    total = len(start) + size + len(rest)
    return start + mpf(total, [(len(second), total - len(start) - 8)]) + rest + second + trailer


def camera(**changes):
    return photo(exif() + icc(), **changes)


def walk(data):
    """Start, marker, content and end of everything before the picture, then of the head of its scan."""
    at, marker = 2, None
    while marker != 0xDA:
        start = at
        while data[at + 1] == 0xFF:
            at += 1
        marker, end = data[at + 1], at + 2 + int.from_bytes(data[at + 2 : at + 4])
        yield start, marker, data[at + 4 : end], end
        at = end


def scan(data):
    """The coded picture and all behind it."""
    return data[[start for start, *_ in walk(data)][-1] :]


def packet_in(data):
    return next(content[len(XMP) :] for _, _, content, _ in walk(data) if content.startswith(XMP))


def without_packet(data):
    """The whole file but for the segment of XMP."""
    for start, _, content, end in walk(data):
        if content.startswith(XMP):
            return data[:start] + data[end:]
    return data


def pictures(data):
    """The pixels of every picture in a file."""
    with Image.open(io.BytesIO(data)) as opened:
        found = []
        for number in range(getattr(opened, "n_frames", 1)):
            opened.seek(number)
            found.append(opened.convert("RGB").tobytes())
        return found
