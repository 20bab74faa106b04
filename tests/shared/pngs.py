"""PNGs built chunk by chunk."""

import io
import struct
import zlib

import numpy as np
from PIL import Image, ImageCms

P3 = struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)
SRGB_POINTS = struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
SRGB_PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
PIXELS = np.random.default_rng(5).integers(0, 256, (24, 32, 3), dtype=np.uint8)


def chunk(kind: bytes, content: bytes) -> bytes:
    told = kind + content
    return struct.pack(">I", len(content)) + told + struct.pack(">I", zlib.crc32(told))


CICP_P3 = chunk(b"cICP", bytes([12, 13, 0, 1]))
CICP_PQ = chunk(b"cICP", bytes([9, 16, 0, 1]))
ICC_SRGB = chunk(b"iCCP", b"any name\0\0" + zlib.compress(SRGB_PROFILE))
SAYS_SRGB = chunk(b"sRGB", b"\0")
LINEAR = chunk(b"gAMA", struct.pack(">I", 100_000))
GAMMA_22 = chunk(b"gAMA", struct.pack(">I", 45_455))


def png(*chunks: bytes, image: Image.Image | None = None, at: int = 33, **options: object) -> bytes:
    """A PNG with these chunks right behind its header, or further on."""
    file = io.BytesIO()
    (image or Image.fromarray(PIXELS)).save(file, "PNG", **options)
    content = file.getvalue()
    return content[:at] + b"".join(chunks) + content[at:]
