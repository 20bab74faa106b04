"""Labels are a person's, from 1 to 5, one of each photo; what is none is refused with its line."""

import json
from pathlib import Path

import pytest
from PIL import Image

from qinsight.errors import QInsightError
from qinsight.trust.labels import Label, read_labels


def written(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def test_lines_of_the_training_are_read_and_those_about_one_photo_joined(tmp_path: Path) -> None:
    rows = [
        {
            "id": "a",
            "set": "s",
            "task": "score",
            "photos": ["1.png"],
            "mos": 3.5,
            "label": 62.0,
            "source": "o",
        },
        {
            "id": "b",
            "task": "degradation",
            "photos": ["1.png"],
            "distortion_class": "null",
            "severity": "null",
        },
        {"id": "c", "task": "comparison", "photos": ["1.png", "2.png"], "winner": "Image A"},
        {
            "id": "d",
            "task": "degradation",
            "photos": ["2.png"],
            "distortion_class": "blur",
            "severity": "slight",
        },
    ]
    file = written(tmp_path, "l.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    one, two = tmp_path / "1.png", tmp_path / "2.png"
    assert read_labels(file) == [Label(one, 3.5, "null", "o"), Label(two, None, "blur")]
    assert read_labels(file, Path("elsewhere"))[0].photo == Path("elsewhere/1.png")


@pytest.mark.parametrize(
    "text",
    [
        "photo,stars\n1.jpg,4\n2.jpg,\n",
        "\ufeffPhoto;Stars\r\n1.jpg;4\r\n",
        "photo\tmos\n1.jpg\t4,0\n",
        "photo,rating\n1.jpg,4.0\n",
        "rank,photo,model,rating,distortion_class,mos\n1,1.jpg,preview,2.2,noise,4\n",
    ],
)
def test_a_table_of_ones_own_is_read_and_never_the_models_answers(tmp_path: Path, text: str) -> None:
    assert read_labels(written(tmp_path, "l.csv", text)) == [Label(tmp_path / "1.jpg", 4.0)]


def test_an_export_without_a_persons_opinion_has_no_labels(tmp_path: Path) -> None:
    file = written(tmp_path, "l.csv", "photo,model,rating,distortion_class\n1.jpg,preview,2.2,noise\n")
    with pytest.raises(QInsightError, match="are the model's own answers"):
        read_labels(file)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "photo,mos\n1.jpg,3\n2.jpg,72.5\n",
            r":3: expected a label from 1 to 5, got 72.5; `python -m training",
        ),
        ("photo,mos\n1.jpg,0.4\n", "from 1 to 5, got 0.4"),
        ("photo,mos\n1.jpg,good\n", "from 1 to 5, got good"),
        ("photo,mos\n1.jpg,nan\n", "from 1 to 5, got nan"),
        ("name,mos\n1.jpg,3\n", "expected a column photo, got the columns name, mos"),
        ("photo,mos\n1.jpg,3\n1.jpg,4\n", r"expected one label of 1.jpg, got 4.0 after 3.0"),
        ("photo,distortion_class\n1.jpg,fog\n", "expected a distortion_class of noise.*got 'fog'"),
        ("photo,mos\n", "Expected labels in"),
        ("", "Expected labels in"),
    ],
)
def test_what_is_no_label_is_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(QInsightError, match=words):
        read_labels(written(tmp_path, "l.csv", text))


@pytest.mark.parametrize("name", ["nowhere.jsonl", "nowhere.csv"])
def test_a_file_that_is_not_there_is_told(tmp_path: Path, name: str) -> None:
    with pytest.raises(QInsightError, match="cannot be read"):
        read_labels(tmp_path / name)


def test_rubbish_in_place_of_json_lines_is_told(tmp_path: Path) -> None:
    with pytest.raises(QInsightError, match="as JSON lines or as a CSV"):
        read_labels(written(tmp_path, "l.jsonl", "photo,mos\n"))


SIDECAR = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="{stars}"/></rdf:RDF></x:xmpmeta>"""


def test_stars_of_a_persons_own_are_read_from_xmp_and_rejected_photos_have_none(tmp_path: Path) -> None:
    for name, stars in (("a", 4), ("b", -1), ("c", 0), ("d", 1)):
        Image.new("RGB", (60, 60)).save(tmp_path / f"{name}.png")
        written(tmp_path, f"{name}.png.xmp", SIDECAR.format(stars=stars))
    Image.new("RGB", (60, 60)).save(tmp_path / "e.png")
    assert read_labels(tmp_path) == [Label(tmp_path / "a.png", 4), Label(tmp_path / "d.png", 1)]


def test_a_folder_without_stars_is_told(tmp_path: Path) -> None:
    Image.new("RGB", (60, 60)).save(tmp_path / "e.png")
    with pytest.raises(QInsightError, match="Expected photos with stars of yours"):
        read_labels(tmp_path)
