"""The label files of the published trainer, in all the spellings that people hand on, and what is said of others.

The rows below are made up in the published shapes.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from qinsight.answers import Clean, Comparison, Degradation, Distortion, Severity, Winner
from training.data.convert import main
from training.data.examples import Example, Rated, read_examples
from training.data.kinds import converter_of

NOISY = {
    "image": "KADIS-700K/refA_sd_brief/dist_imgs/7.jpg",
    "distortion_class": "noise",
    "severity": "slight",
}
FINE = {"image": "KADIS-700K/refA_sd_brief/dist_imgs/8.jpg", "distortion_class": "null", "severity": "null"}
GOOD = {"image": "KONIQ/images/a.jpg", "gt_score_norm": 4.25}
PAIR = {"ref_image": "Original/x.png", "ImageA": "01/x_01.png", "ImageB": "02/x_02.png", "result": "Image A"}


def write(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def photo(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (32, 32)).save(path)


def converted(tmp_path: Path, content: object, *more: str, look: bool = False) -> list[Example]:
    out = tmp_path / "out.jsonl"
    file = write(tmp_path / "in.json", content)
    flags = [] if look else ["--no-photos"]
    assert main(["official", str(file), "--root", str(tmp_path), "--out", str(out), *flags, *more]) == 0
    return read_examples(out)


def refused(capsys: pytest.CaptureFixture[str], tmp_path: Path, content: object, *more: str) -> str:
    out = tmp_path / "out.jsonl"
    file = write(tmp_path / "in.json", content)
    assert main(["official", str(file), "--root", str(tmp_path), "--out", str(out), *more]) == 2
    assert not out.exists()
    return capsys.readouterr().err


def test_the_three_published_shapes_become_examples(tmp_path: Path) -> None:
    rated, noisy, fine, pair = converted(tmp_path, [GOOD, NOISY, FINE, PAIR], "--swap-pairs", "none")
    assert rated.target == Rated(4.25, 4.25)
    assert (rated.set, rated.photos) == ("KonIQ", (tmp_path / "KONIQ/images/a.jpg",))
    assert noisy.target == Degradation(Distortion.NOISE, Severity.SLIGHT)
    assert noisy.set == "DQ-495K"
    assert fine.target == Clean()
    assert pair.target == Comparison(Winner.A)
    assert [one.name for one in pair.photos] == ["x.png", "x_01.png", "x_02.png"]
    assert (pair.set, pair.source) == ("DiffIQA", "Original/x.png")


@pytest.mark.parametrize(
    "row",
    [
        {"severity": "slight", "distortion_class": "noise", "image": NOISY["image"]},
        NOISY | {"image": [NOISY["image"]]},
        NOISY | {"image": "./" + str(NOISY["image"])},
        NOISY | {"image": str(NOISY["image"]).replace("/", "\\")},
        NOISY | {"severity": "Slight"},
        NOISY | {"severity": " SLIGHT ", "distortion_class": "Noise"},
        NOISY | {"severity": 1},
        NOISY | {"id": 7, "conversations": [{"from": "human"}], "image_B": None},
    ],
)
def test_a_degradation_is_read_in_every_spelling(tmp_path: Path, row: dict[str, Any]) -> None:
    (one,) = converted(tmp_path, [row])
    assert one.target == Degradation(Distortion.NOISE, Severity.SLIGHT)
    assert one.photos == (tmp_path / str(NOISY["image"]),)


@pytest.mark.parametrize("nothing", ["null", "Null", "", None, "None", "none"])
def test_a_clean_photo_is_clean_however_nothing_is_spelt(tmp_path: Path, nothing: str | None) -> None:
    (one,) = converted(tmp_path, [FINE | {"distortion_class": nothing, "severity": nothing}])
    assert one.target == Clean()


@pytest.mark.parametrize(
    "content",
    [
        json.dumps([GOOD, NOISY], indent=1),
        json.dumps(GOOD) + "\n" + json.dumps(NOISY) + "\n",
        "\ufeff" + json.dumps([GOOD, NOISY]),
        "\ufeff" + json.dumps(GOOD) + "\r\n\r\n" + json.dumps(NOISY),
    ],
    ids=["list", "jsonl", "list with a mark", "jsonl with a mark"],
)
def test_a_list_and_a_jsonl_are_read_with_and_without_a_byte_order_mark(tmp_path: Path, content: str) -> None:
    assert len(converted(tmp_path, content)) == 2


@pytest.mark.parametrize("result", ["Image A", "image a", "A"])
def test_a_verdict_is_read_in_every_spelling(tmp_path: Path, result: str) -> None:
    (one,) = converted(tmp_path, [PAIR | {"result": result}], "--swap-pairs", "none")
    assert one.target == Comparison(Winner.A)


def test_an_absolute_path_is_taken_as_it_is_and_names_no_set(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere" / "a.jpg"
    photo(elsewhere)
    (one,) = converted(tmp_path, [{"image": str(elsewhere), "gt_score_norm": "2.5"}], look=True)
    assert one.photos == (elsewhere,)
    assert one.target == Rated(2.5, 2.5)
    assert one.set == "in"


def test_a_score_keeps_the_unit_of_its_set_where_the_row_has_it(tmp_path: Path) -> None:
    (one,) = converted(tmp_path, [GOOD | {"gt_score": 81.3, "id": "a.jpg->MOS"}])
    assert one.target == Rated(4.25, 81.3)


def test_scores_on_another_scale_are_refused_with_the_flag_that_reads_them(
    tmp_path: Path, capsys: Any
) -> None:
    rows = [GOOD | {"gt_score_norm": 0.25}, GOOD | {"image": "b.jpg", "gt_score_norm": 0.75}]
    told = refused(capsys, tmp_path, rows, "--no-photos")
    assert "from 1 to 5, as the published files have it, got 0.25 to 0.75" in told
    assert "--range 0 1" in told
    assert [one.target for one in converted(tmp_path, rows, "--range", "0", "1")] == [
        Rated(2, 0.25),
        Rated(4, 0.75),
    ]


def test_rows_without_their_photo_are_left_out_and_counted_by_folder(tmp_path: Path, capsys: Any) -> None:
    photo(tmp_path / "KONIQ/images/a.jpg")
    rows = [GOOD, GOOD | {"image": "KONIQ/images/b.jpg"}, NOISY]
    assert len(converted(tmp_path, rows, look=True)) == 1
    told = capsys.readouterr().out
    assert "3 rows read" in told
    assert "missing: 2 of 3 photos" in told
    assert f"1 in {tmp_path / 'KONIQ/images'}" in told
    assert f"1 in {tmp_path / 'KADIS-700K/refA_sd_brief/dist_imgs'}" in told


def test_a_set_without_any_photo_is_refused_with_the_likely_reason(tmp_path: Path, capsys: Any) -> None:
    assert "not one row has its own" in refused(capsys, tmp_path, [GOOD])
    photo(tmp_path / "KADIS700K/refA_sd_brief/dist_imgs/7.jpg")
    told = refused(capsys, tmp_path, [NOISY])
    assert f"there is {tmp_path / 'KADIS700K'}: rename it" in told
    photo(tmp_path / "KONIQ/images/a.jpg")
    told = refused(capsys, tmp_path, [GOOD], "--root", str(tmp_path / "KONIQ" / "images"))
    assert f"They are there with --root {tmp_path}" in told


def test_other_classes_of_the_set_are_left_out_and_counted(tmp_path: Path, capsys: Any) -> None:
    rows = [NOISY, NOISY | {"image": "9.jpg", "distortion_class": "contrast_weaken"}]
    assert len(converted(tmp_path, rows)) == 1
    assert "left out: 1 rows of class contrast weaken" in capsys.readouterr().out


def test_a_row_that_repeats_another_is_left_out_and_one_that_contradicts_it_refused(
    tmp_path: Path, capsys: Any
) -> None:
    assert len(converted(tmp_path, [NOISY, NOISY, GOOD])) == 2
    assert "1 rows that repeat another" in capsys.readouterr().out
    (tmp_path / "out.jsonl").unlink()
    told = refused(capsys, tmp_path, [NOISY, NOISY | {"severity": "serious"}], "--no-photos")
    assert "row 2: expected one answer" in told


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        (NOISY | {"severity": "null"}, 'expected a class with its severity or "null" for both'),
        (NOISY | {"severity": "awful"}, 'expected "severity" as one of slight'),
        (NOISY | {"severity": 7}, 'expected "severity" as a word or null, got 7'),
        (NOISY | {"distortion_class": "nosie"}, 'expected "distortion_class" as one of noise'),
        (NOISY | {"image": ["a.jpg", "b.jpg"]}, 'expected "image" as the path of one photo'),
        (NOISY | {"image": ""}, 'expected "image" as the path of one photo'),
        (GOOD | {"gt_score_norm": "good"}, "expected \"gt_score_norm\" as a number, got 'good'"),
        (GOOD | {"gt_score_norm": None}, 'expected "gt_score_norm" as a number, got None'),
        (PAIR | {"result": "both"}, 'expected "result" as Image A, Image B or Similar'),
        (PAIR | {"ImageB": None}, 'expected "ImageB" as the path of one photo'),
        ({"image": "a.jpg"}, "expected image with gt_score_norm, or with distortion_class"),
    ],
)
def test_a_row_that_makes_no_sense_is_refused_with_its_place(
    tmp_path: Path, capsys: Any, row: dict[str, Any], sentence: str
) -> None:
    assert f"row 2: {sentence}" in refused(capsys, tmp_path, [GOOD, row], "--no-photos")


def test_a_file_of_another_kind_is_refused_once_with_the_command_that_reads_it(
    tmp_path: Path, capsys: Any
) -> None:
    rows = [{"image": ["a.png"], "dataset_name": "KADID-10K", "conversations": []}] * 3
    told = refused(capsys, tmp_path, rows)
    assert told.count("expected the keys") == 1
    assert "python -m training.data jsonl" in told
    assert "python -m training.data list" in refused(capsys, tmp_path, "a.jpg 3.4\nb.jpg 2.1\n")
    assert "nearest are" in refused(capsys, tmp_path, [{"image_path": "a.jpg", "gtScoreNorm": 3}])
    assert "gt_score_norm): python -m" in refused(
        capsys, tmp_path, [{"image_path": "a.jpg", "gtScoreNorm": 3}]
    )


def test_other_converters_point_to_this_one_for_its_files(tmp_path: Path, capsys: Any) -> None:
    file = write(tmp_path / "in.json", [NOISY])
    for command in ("deqa", "dq495k", "diffiqa", "jsonl"):
        assert main([command, str(file), "--root", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
        assert f"python -m training.data official {file}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "command"),
    [
        ("a b.jpg 60.5 3\n", "data list "),
        ("ref.png a.png 4.5\n", "data list "),
        ("photo;mos\na.jpg;3\n", "data ratings "),
        (json.dumps([GOOD]), "data official "),
        (json.dumps(GOOD | {"id": "a", "gt_score": 3}), "data deqa "),
        (json.dumps(PAIR) + "\n", "data official "),
        ("datasets:\n  - json_path: a.json\n    sampling_strategy: first:10\n", "each json_path"),
        ("nothing in particular\n", None),
        ("", None),
    ],
)
def test_a_label_file_is_known_by_its_first_rows(tmp_path: Path, content: str, command: str | None) -> None:
    told = converter_of(write(tmp_path / "in", content))
    assert (command in told) if told and command else told is None


@pytest.mark.parametrize(
    ("name", "labels", "scale"),
    [
        ("BID", (47.9, 87.1), "0 to 100"),
        ("BID", (0.4, 4.6), "0 to 5"),
        ("Deblur", (12.0, 88.0), "0 to 100"),
        ("dehaze", (1.2, 4.7), "1 to 5"),
    ],
)
def test_the_lists_of_blurred_and_hazy_photos_are_known(
    tmp_path: Path, capsys: Any, name: str, labels: tuple[float, float], scale: str
) -> None:
    file = write(tmp_path / "list.txt", "".join(f"{n}.JPG {label}\n" for n, label in enumerate(labels)))
    out = str(tmp_path / "out.jsonl")
    assert main(["list", str(file), "--set", name, "--root", str(tmp_path), "--no-photos", "--out", out]) == 0
    assert f"labels from {scale}" in capsys.readouterr().out
