"""What strangers bring to the page's API: forms that are whole or not, data URIs as anything writes them, names alike."""

import base64
import io
import os
from pathlib import Path
from urllib.parse import quote

import pytest
from PIL import Image

from shared.api import served
from shared.engines import A_FIRST, B_FIRST, SCORE, PixelEngine, ScriptedEngine

PART = b'--edge\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
END = b"--edge--\r\n"
WHOLE = PART % (b"files", b'; filename="a.jpg"', b"x" * 1000)
FORM = "multipart/form-data; boundary=edge"


def jpeg(shade: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 56), (shade,) * 3).save(file, "JPEG")
    return file.getvalue()


@pytest.mark.parametrize("query", ["", "?upload_id=abc"])
def test_a_form_that_is_not_whole_is_refused_in_a_sentence(
    query: str, capfd: pytest.CaptureFixture[str]
) -> None:
    cut = "The upload was cut short."
    cases: list[tuple[str, bytes, int, str]] = [
        (FORM, WHOLE, 400, cut),
        (FORM, (WHOLE + END)[:500], 400, cut),
        (FORM, (WHOLE + WHOLE)[:-400], 400, cut),
        (FORM, WHOLE[:30], 400, cut),
        (FORM, b"", 400, cut),
        (FORM, END, 400, "at least one file"),
        (FORM + "x", WHOLE + END, 400, "as browsers send it"),
        (FORM, b"rubbish" * 50, 400, "as browsers send it"),
        ("multipart/form-data", WHOLE + END, 400, "with its boundary"),
        ("multipart/form-data; boundary=", WHOLE + END, 400, "with its boundary"),
        ("multipart/form-data; boundary=" + "e" * 300, WHOLE + END, 400, "shorter boundary"),
        ("application/json", b"{}", 400, "Expected a form of files"),
        (FORM, PART % (b"files", b"", b"text") + END, 400, "each with its file name"),
        (FORM, PART % (b"photo", b'; filename="a.jpg"', b"x") + END, 400, "in the field files"),
    ]  # fmt: skip
    with served(ScriptedEngine(SCORE)) as page:
        for kind, body, status, words in cases:
            answer = page.http.post("upload" + query, content=body, headers={"content-type": kind})
            assert (answer.status_code, words in answer.json()["detail"]) == (status, True), (
                kind,
                body[:80],
                answer.text,
            )
        good = page.http.post("upload" + query, content=WHOLE + WHOLE + END, headers={"content-type": FORM})
        assert (good.status_code, len(good.json())) == (200, 2)
        left = [name for _, _, names in os.walk(os.environ["GRADIO_TEMP_DIR"]) for name in names]
        assert [name for name in left if name.startswith("tmp")] == []
    assert "Traceback" not in capfd.readouterr().err


def test_a_text_field_of_48_mb_is_refused_before_it_is_kept() -> None:
    with served(ScriptedEngine(SCORE)) as page:
        for parts in ([b"x" * (48 << 20)], [b"x" * 1000] * 900):
            body = b"".join(PART % (b"note", b"", part) for part in parts) + WHOLE + END
            answer = page.http.post("upload", content=body, headers={"content-type": FORM})
            assert answer.status_code == 413
            assert "64 kB of text" in answer.json()["detail"]
        small = PART % (b"note", b"", b"a few words") + WHOLE + END
        assert page.http.post("upload", content=small, headers={"content-type": FORM}).status_code == 200


@pytest.mark.parametrize(
    ("told", "name"),
    [
        (b"../../etc/a.jpg", "a.jpg"),
        (b"C:\\photos\\a.jpg", "a.jpg"),
        (rb"my \"best\" a.jpg", "my best a.jpg"),
        ("夏.jpg".encode(), "夏.jpg"),
        (b"\xfe\xff.jpg", "þÿ.jpg"),
        (b"a" * 400 + b".jpg", "a" * 196 + ".jpg"),
    ],
)
def test_the_name_of_an_upload_may_be_anything(told: bytes, name: str) -> None:
    body = PART % (b"files", b'; filename="%s"' % told, jpeg(90)) + END
    with served(ScriptedEngine(SCORE)) as page:
        answer = page.http.post("upload", content=body, headers={"content-type": FORM})
        assert Path(answer.json()[0]).name == name
        assert page.answers("score", answer.json()[0])[-1]["photo"] == name


# --- data URIs ----------------------------------------------------------------------------------------------------

PHOTO = jpeg(90)
IN_BASE64 = base64.b64encode(PHOTO).decode()


@pytest.mark.parametrize(
    "uri",
    [
        "data:image/jpeg;base64," + base64.encodebytes(PHOTO).decode(),
        "data:image/jpeg;base64,\r\n" + base64.encodebytes(PHOTO).decode().replace("\n", "\r\n"),
        f"data:image/jpeg;base64, {IN_BASE64}\t\f\n",
        f" \nDATA:IMAGE/JPEG;BASE64,{IN_BASE64}",
        f"data:image/jpeg;name=a,b.jpg;charset=utf-8; base64 ,{IN_BASE64}".replace("a,b", "ab"),
        f"data:image/jpeg;base64,{quote(IN_BASE64, safe='')}",
        f"data:image/jpeg;base64,{IN_BASE64.rstrip('=')}",
        f"data:image/jpeg,{quote(PHOTO)}",
        f"data:;base64,{IN_BASE64}",
        f"data:application/octet-stream;base64,{IN_BASE64}",
    ],
    ids=[
        "lines",
        "CR LF",
        "spaces",
        "capitals",
        "parameters",
        "in percents",
        "no padding",
        "no base64",
        "no kind",
        "bytes",
    ],
)
def test_a_data_uri_is_read_as_browsers_read_it(uri: str) -> None:
    with served(ScriptedEngine(SCORE)) as page:
        assert page.answers("score", uri)[-1]["rating"] == 4.25
        assert page.answers("score", {"path": uri})[-1]["rating"] == 4.25


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        (f"data:image/jpeg;base64,{IN_BASE64[:401]}", "damaged or cut short"),
        (f"data:image/jpeg;base64,{IN_BASE64[:400]}", "Photo: expected a complete JPEG"),
        (f"data:image/jpeg;base64,{IN_BASE64[:100]}*{IN_BASE64[100:]}", "damaged or cut short"),
        ("data:image/jpeg;base64,", "empty file"),
    ],
)
def test_a_data_uri_that_is_damaged_is_refused(uri: str, words: str) -> None:
    with served(engine := ScriptedEngine(SCORE)) as page:
        assert words in page.answers("score", uri)[-1]["error"]
    assert engine.asked == []


# --- names alike --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["a.jpg", "3 a.jpg", "a.jpg"], ["a.jpg", "3 a.jpg", "a (2).jpg"]),
        (["a.jpg", "a (2).jpg", "a.jpg"], ["a.jpg", "a (2).jpg", "a (3).jpg"]),
        (["a.jpg", "A.JPG"], ["a.jpg", "A (2).JPG"]),
        (["IMG", "3 IMG.jpg", "IMG"], ["IMG.jpg", "3 IMG.jpg", "IMG (2).jpg"]),
        (["..jpg", ".a.jpg", "a.jpg"], ["jpg.jpg", "a.jpg", "a (2).jpg"]),
    ],
)  # fmt: skip
def test_uploads_of_one_name_are_all_ranked(tmp_path: Path, names: list[str], told: list[str]) -> None:
    with served(PixelEngine()) as page:
        files = []
        for shade, name in zip((200, 120, 40), names, strict=False):
            (tmp_path / "photo").write_bytes(jpeg(shade))
            files.append(page.upload(tmp_path / "photo", name))
        last = page.answers("rank", files)[-1]
    assert [row["photo"] for row in last["photos"]] == told
    assert [row["error"] for row in last["photos"]] == [None] * len(names)
    assert last["total"] == len(names)


def test_a_comparison_tells_two_photos_of_one_name_apart(tmp_path: Path) -> None:
    with served(ScriptedEngine(A_FIRST, B_FIRST)) as page:
        files = []
        for shade in (200, 40):
            (tmp_path / "photo").write_bytes(jpeg(shade))
            files.append(page.upload(tmp_path / "photo", "a.jpg"))
        last = page.answers("compare", *files)[-1]
    assert (last["photo"], last["other"]) == ("a.jpg", "a (2).jpg")


def test_a_raw_and_its_jpeg_are_one_photo_of_a_ranking(tmp_path: Path) -> None:
    with served(PixelEngine()) as page:
        files = []
        for name in ("IMG_1.CR2", "IMG_1.JPG"):
            (tmp_path / name).write_bytes(jpeg(90))
            files.append(page.upload(tmp_path / name))
        last = page.answers("rank", files)[-1]
    assert [(row["photo"], row["also"]) for row in last["photos"]] == [("IMG_1.JPG", "IMG_1.CR2")]
    assert last["total"] == 1
