"""Pictures of a shoot: small and quick, upright, by a number that tells nothing and opens nothing else."""

import asyncio
import io
from pathlib import Path

import httpx
import pytest
from PIL import Image

from qinsight.page.lightbox import DIGITS, SIDES, Lightbox, Lightboxes, small
from qinsight.photos import read_photo
from shared.cameras import EXAMPLES, taken
from shared.engines import ScriptedEngine
from shared.pages import served


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


@pytest.mark.parametrize("uploaded", [True, False])
@pytest.mark.parametrize("turned", [1, 3, 6, 8])
def test_a_small_picture_is_upright_and_looks_like_the_photo(
    tmp_path: Path, turned: int, uploaded: bool
) -> None:
    big = Image.open(EXAMPLES / "coffee.jpg").resize((1800, 1200))
    path = taken(tmp_path / "a.jpg", "2026:11:26 10:00:00", image=big, turned=turned)
    picture = opened(small(path, SIDES["small"], uploaded=uploaded))
    whole = read_photo(path).image
    assert max(picture.size) == SIDES["small"]
    assert (picture.width > picture.height) == (whole.width > whole.height)
    pairs = zip(picture.resize((6, 6)).getdata(), whole.resize((6, 6)).getdata(), strict=True)
    assert max(abs(a - b) for one, other in pairs for a, b in zip(one, other, strict=True)) < 16


def test_a_number_opens_its_frame_and_no_other_number_opens_anything(tmp_path: Path) -> None:
    for name in "ab":
        taken(tmp_path / f"{name}.jpg", "2026:11:26 10:00:00")
    (tmp_path / "c.jpg").write_bytes(b"rubbish")
    box = Lightbox(tmp_path, [("a.jpg",), ("b.jpg",), ("c.jpg",)], uploaded=True)
    boxes = Lightboxes()
    boxes.add(box)

    wrong = ["0" * 20, str(box.key) + "9" * DIGITS, f"{box.key + 1}{'0' * DIGITS}", box.number(2)]

    async def handed() -> list[object]:
        asked = [(box.number(1), "small"), (box.number(0), "file"), *((number, "small") for number in wrong)]
        return [await boxes.handed(*one) for one in asked]

    found, *nothing = asyncio.run(handed())
    assert found is not None
    assert nothing == [None] * 5
    assert not any(name in box.number(0) + box.id_of(0) for name in ("a.jpg", str(tmp_path)))


def test_who_guesses_gets_nothing() -> None:
    asked = ("123456/small", "../../etc/passwd/small", "1/large", "123456/other", f"{'9' * 40}/file")
    with served(ScriptedEngine(["x"])) as url:
        assert {httpx.get(f"{url}gradio_api/photo/{one}").status_code for one in asked} == {404}
