"""Photos decoded in a child process: the same pixels, the same words, and an end to what takes too long."""

import subprocess
import sys
import threading

import numpy as np
import pytest
from PIL import Image

from qinsight.errors import PhotoError, Stopped
from qinsight.photos import decode_in_child, read_photo
from qinsight.photos.view import view
from shared.icc_profiles import P3, matrix_profile
from shared.photo_files import exif, patches, saved
from shared.places import REPOSITORY


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(saved(patches(960, 640), "JPEG", exif=exif(6), icc_profile=matrix_profile(P3, 2.2)))
    return path


@pytest.mark.parametrize("most", [None, 50_000])
def test_a_child_gives_what_the_model_would_be_shown_of_the_same_photo(path, most):
    here, there = read_photo(path), decode_in_child(path, view_pixels=most)
    assert np.array_equal(here.image if most is None else view(here.image, most), there.image)
    assert (here.size, here.format, here.notes) == (there.size, there.format, there.notes)


def test_a_child_refuses_in_the_same_words(tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"%PDF-1.7")
    with pytest.raises(PhotoError, match="got a PDF"):
        decode_in_child(path, view_pixels=5000)


def test_a_child_is_killed_when_its_time_is_up(path):
    with pytest.raises(PhotoError, match=r"within 0\.001 seconds"):
        decode_in_child(path, view_pixels=5000, seconds=0.001)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not limit the memory of a process")
def test_a_child_that_needs_too_much_memory_is_refused(tmp_path):
    path = tmp_path / "photo.png"
    Image.new("1", (12_000, 12_000)).save(path)  # 144 MB once decoded
    with pytest.raises(PhotoError, match="memory"):
        decode_in_child(path, view_pixels=5000, memory_mb=200)


def test_a_child_is_killed_when_the_person_stops(path):
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        decode_in_child(path, view_pixels=5000, stop=stop)


def test_reading_photos_loads_no_model_library():
    names = "torch", "transformers", "gradio", "numpy", "rawpy", "pi_heif"
    program = f"import sys, qinsight.photos; print([name for name in {names} if name in sys.modules])"
    root = REPOSITORY
    answer = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True
    )
    assert answer.stdout == "[]\n"
