"""HEIC and RAW photos, where their packages are installed."""

import base64
import sys
import zlib

import pytest
from PIL import Image

from qinsight.errors import PhotoError
from qinsight.photos import load_photo, read_photo
from shared.photo_files import corners, noise, patches, saved
from shared.tiffs import raw_photo

HEIC = zlib.decompress(
    base64.b64decode(
        """
eNpjYGCQSSupLMhIzaxgAILczDRDEDs3MzGNgYFxQW5qSSIDBChmpOQUQdkMBZnJJQxowCQzJz8ZxHBxYGBiYASxGI9AaCB4CRQD
Aqa1cBEVILbIzMxLA/NAsqJATipYGVBNRlmyIQOSICNIiWtFJlg5X0FmSS4DVCXD/cyCogIgvT+zIDkfSJcD9TozsnAAmfMsQIrk
PjD8+f/jBwMDP3MCUIe4AyMP4///IAXMYBXMQCW7mBwSgXJaToyMqBIT2AQUNt31VDU9e8DZsREkJgkiGDmSgMo5XBgPFrXxMIE8
I5ycn1OUl5xTARTnZWBrAAqJZBYXpEL9mwDEDkAsUJBZkQkSYObgADmRM7MovwRoEYNEZkEuLLQZGRhZG5mYWVqBbKnMotQ0qDhf
ckpxMjh4gR5nFM1NSQTFw1MNxvUsP25/emn19v+Tw////wtf92b/yfYffi9Lvz+e7P9/2an6/4uEGmU/pfq+uD6/MLje+1HGFQF7
Lp+5q4Szzz7/9UBxV+jslJXl0zdtZ57XcF97TZnq92uNRw6b1jxIVJfLr3Qu0NZxl+xedfHj63V6P3fNcZr934et4/5lHfP/X4/d
SY85Pb+ce9MNlW3Xn/905Z2sdDN4skfApSJHpgrbncGJFrbT9I/dMncuvy95LJZVV31haEjfFLe/SfHiD5y+b//6/xNT/z8O+9D9
D65M/T35ZI7kWS+7XRfVmyUt5zaY3XH8NWuZpL2l99+ZKR+AHmWDJABfXwYtII+DgZFRCBRHwMBgg4QPADGqyjE=
        """
    )
)  # `patches()`, turned by 90 degrees in the file


def test_a_heic_photo_comes_upright():
    pytest.importorskip("pi_heif")
    photo = read_photo(HEIC)
    assert (photo.size, photo.format, photo.notes) == ((64, 96), "HEIC", ())
    assert corners(photo.image) == ["blue", "red", "white", "lime"]


def test_a_heic_that_crashes_its_decoder_is_refused():
    pytest.importorskip("pi_heif")
    for seed in range(3):
        at = HEIC.index(b"ipco") + 10 + 17 * seed
        with pytest.raises(PhotoError):
            load_photo(HEIC[:at] + noise(120, seed=seed).tobytes() + HEIC[at + 120 :])


@pytest.mark.parametrize(("module", "package"), [("pi_heif", "pi-heif"), ("rawpy", "rawpy")])
def test_a_missing_extra_is_named(monkeypatch, module, package):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(PhotoError, match=f"pip install {package}"):
        load_photo(HEIC if module == "pi_heif" else raw_photo())


def test_a_raw_photo_is_developed_and_never_its_thumbnail():
    pytest.importorskip("rawpy")
    photo = read_photo(raw_photo(), max_pixels=10_000)
    assert (photo.size, photo.format) == ((256, 192), "RAW")
    assert photo.notes == ("RAW: developed, with automatic brightness",)
    assert photo.image.width * photo.image.height <= 10_000
    left, right = (photo.image.resize((2, 1), Image.Resampling.BOX).getpixel((x, 0)) for x in (0, 1))
    assert right[1] > left[1] + 60


def test_a_raw_photo_with_a_full_size_preview_shows_it():
    pytest.importorskip("rawpy")
    photo = read_photo(raw_photo(preview=saved(patches(256, 192), "JPEG", quality=95)))
    assert (photo.size, photo.format, photo.notes) == ((256, 192), "RAW", ("RAW: embedded preview rated",))
    assert corners(photo.image) == ["red", "lime", "blue", "white"]


def test_a_raw_photo_taken_upright_comes_upright():
    pytest.importorskip("rawpy")
    photo = read_photo(raw_photo(preview=saved(patches(256, 192), "JPEG", quality=95), orientation=6))
    assert photo.size == photo.image.size == (192, 256)
    assert corners(photo.image) == ["blue", "red", "white", "lime"]


@pytest.mark.parametrize(
    "photo",
    [
        b"II*\0\x10\0\0\0CR\2\0" + bytes(50),
        b"FUJIFILMCCD-RAW 0201" + bytes(50),
        b"\0\0\0\x18ftypcrx \0\0\0\1crx isom" + bytes(50),
        b"IIRO\x08\0\0\0" + bytes(50),
        b"IIU\0\x18\0\0\0" + bytes(50),
    ],
    ids=["CR2", "RAF", "CR3", "ORF", "RW2"],
)
def test_a_raw_file_that_cannot_be_read_is_refused(photo):
    pytest.importorskip("rawpy")
    with pytest.raises(PhotoError, match="RAW"):
        load_photo(photo)
