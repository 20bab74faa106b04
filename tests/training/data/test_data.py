"""Published label files become the one data format, whole or not at all, and every problem has its line.

The rows below are made up in the shape in which the sets are published.
"""

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from qinsight.answers import Comparison, Degradation, Winner
from qinsight.prompts import Task
from shared.labels import converted, mos, refused, write
from training.data.convert import main
from training.data.examples import Example, Rated, read_examples, refuse_leaks

LIST = "x 1.jpg 60 5.5\nx2.jpg 20 7\nx3.jpg 100.00000000001 0\n"
FULL = """r1.png r1_a.png 4.5 0.7
r1.png r1_b.png 3.0 0.6
r1.png r1_c.png 2.95 0.6
r2.png r2_a.png 1.5 0.5
r2.png r2_b.png 4.0 0.9
"""


def photo(path: Path, grey: int = 100) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (32, 32), (grey, grey, grey)).save(path)
    return path


def winners(examples: list[Example]) -> list[Winner]:
    return [example.target.winner for example in examples if isinstance(example.target, Comparison)]


# --- DeQA: KonIQ, KADID ... ------------------------------------------------------------------------------


def deqa(name: str, image: str, norm: object = 3.5, score: object = 62.0) -> dict[str, object]:
    return {"id": f"{name}->MOS", "image": image, "gt_score": score, "gt_score_norm": norm, "std": 0.5}


def test_a_deqa_rating_keeps_its_own_unit_beside_the_mos(tmp_path: Path) -> None:
    file = write(tmp_path / "KONIQ/metas/train.json", [deqa("1.jpg", "KONIQ/images/1.jpg")])
    photo(tmp_path / "KONIQ/images/1.jpg")
    (one,) = converted(tmp_path, "deqa", file, photos=True)
    assert one == Example(
        "KonIQ/1.jpg", "KonIQ", Task.SCORE, (tmp_path / "KONIQ/images/1.jpg",), Rated(3.5, 62.0)
    )


@pytest.mark.parametrize(
    ("image", "source"),
    [
        ("KADID10K/images/I07_21_03.png", "I07"),
        ("PIPAL/images/Distortion_1/A0012_03_01.bmp", "A0012"),
        ("CSIQ/dst_imgs/AWGN/sunset.AWGN.3.png", "sunset"),
        ("TID2013/distorted_images/i09_24_5.bmp", "i09"),
        ("KONIQ/images/10004473376.jpg", None),
        ("SPAQ/images/00001.jpg", None),
    ],
)
def test_a_photo_that_was_made_from_an_original_names_it(
    tmp_path: Path, image: str, source: str | None
) -> None:
    file = write(tmp_path / "metas.json", [deqa("1", image)])
    (one,) = converted(tmp_path, "deqa", file, "--root", tmp_path)
    assert one.source == source


def test_all_problems_of_a_file_are_told_at_once_with_their_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows: list[Any] = [deqa(str(number), f"KONIQ/images/{number}.jpg") for number in range(5)]
    rows[1]["gt_score_norm"] = 5.3
    del rows[2]["gt_score"]
    rows[3]["image"] = None
    rows[4]["gt_score_norm"] = "good"
    file = write(tmp_path / "metas.json", rows)
    assert refused(capsys, tmp_path, "deqa", file, "--root", tmp_path, "--no-photos").splitlines() == [
        f'{file}: row 2: expected "gt_score_norm" from 1 to 5, got 5.3',
        f'{file}: row 3: expected "gt_score" as a number, got nothing',
        f'{file}: row 4: expected "image" as text, got null',
        f'{file}: row 5: expected "gt_score_norm" as a number, got "good"',
    ]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{", "Expected a readable JSON file"),
        ("{}", "Expected a JSON list of rows"),
        ("[]", "Expected a JSON list of rows"),
        ("[1]", "row 1: expected an object, got 1"),
    ],
)
def test_a_file_that_is_no_list_of_rows_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, told: str
) -> None:
    assert told in refused(capsys, tmp_path, "deqa", write(tmp_path / "m.json", content), "--no-photos")
    assert "Expected a readable JSON file" in refused(capsys, tmp_path, "deqa", tmp_path / "gone.json")


def test_a_row_that_comes_twice_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path / "metas.json", [deqa("1", "KONIQ/1.jpg"), deqa("1", "KONIQ/1.jpg")])
    assert f'row 2: expected every row once; "KonIQ/1" stands at {file}: row 1 too' in refused(
        capsys, tmp_path, "deqa", file, "--no-photos"
    )
    write(tmp_path / "other.json", [deqa("1", "KONIQ/1.jpg")])
    write(file, [deqa("1", "KONIQ/1.jpg")])
    assert 'Expected every row once; "KonIQ/1" comes twice' in refused(
        capsys, tmp_path, "deqa", file, tmp_path / "other.json", "--no-photos"
    )


def test_photos_that_are_not_there_are_listed_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo(tmp_path / "KONIQ/0.png")
    file = write(tmp_path / "m.json", [deqa(str(number), f"KONIQ/{number}.png") for number in range(3)])
    told = refused(capsys, tmp_path, "deqa", file, "--root", tmp_path)
    assert f'expected the photo {tmp_path}/KONIQ/1.png of "KonIQ/1"; there is none' in told
    assert "KONIQ/2.png" in told
    assert "KONIQ/0.png" not in told


def test_a_part_to_test_on_shares_no_original_with_the_rest(tmp_path: Path) -> None:
    rows = [
        deqa(f"I{one:02}_{two:02}_01.png", f"KADID10K/images/I{one:02}_{two:02}_01.png")
        for one in range(10)
        for two in range(5)
    ]
    file, test = write(tmp_path / "metas.json", rows), tmp_path / "test.jsonl"
    train = converted(tmp_path, "deqa", file, "--test-out", test, "--test-share", 0.2)
    tested = read_examples(test)
    assert (len(train), len(tested)) == (40, 10)
    assert {row.source for row in train}.isdisjoint(row.source for row in tested)


def test_rows_that_share_no_original_cannot_be_split_if_all_are_tied(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [deqa(f"I01_{two:02}_01.png", f"KADID10K/I01_{two:02}_01.png") for two in range(5)]
    file = write(tmp_path / "metas.json", rows)
    told = refused(capsys, tmp_path, "deqa", file, "--no-photos", "--test-out", tmp_path / "test.jsonl")
    assert "all 5 belong together" in told
    assert not (tmp_path / "test.jsonl").exists()


def test_paths_can_be_written_so_that_the_file_travels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path / "metas.json", [deqa("1", "KONIQ/images/1.jpg")])
    out = tmp_path / "elsewhere/rows.jsonl"
    common = ["deqa", str(file), "--root", str(tmp_path / "sets"), "--no-photos", "--out", str(out)]
    assert main([*common, "--paths-below", str(tmp_path / "sets")]) == 0
    assert json.loads(out.read_text())["photos"] == ["KONIQ/images/1.jpg"]
    assert main([*common, "--paths-below", str(tmp_path / "other")]) == 2
    assert "Expected photos below" in capsys.readouterr().err


# --- DQ-495K ---------------------------------------------------------------------------------------------


def dq(number: int, kind: object, severity: object, reference: int) -> dict[str, object]:
    return {
        "id": number,
        "image_ref": f"ref/{reference}.png",
        "image_A": f"dist/{number}.png",
        "image_B": None,
        "distortion_class": kind,
        "severity": severity,
    }


def dq_rows() -> list[dict[str, object]]:
    kinds = ["noise", "compression", "blur", "darken", "brighten", None]
    return [
        dq(number, kinds[number % 6], 0 if kinds[number % 6] is None else number % 5 + 1, number // 6)
        for number in range(300)
    ]


def run_dq(tmp_path: Path, *more: object, rows: list[dict[str, object]] | None = None) -> int:
    file = write(tmp_path / "dq.json", dq_rows() if rows is None else rows)
    out = tmp_path / "out"
    common = ["dq495k", file, "--root", tmp_path, "--out", out, "--no-photos", *more]
    return main(list(map(str, common)))


def parts(tmp_path: Path) -> list[list[Example]]:
    return [read_examples(tmp_path / f"out/dq495k_{part}.jsonl") for part in ("train", "test")]


def test_four_classes_and_clean_are_kept_and_the_rest_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_dq(tmp_path, "--train", 100, "--test", 20) == 0
    train, test = parts(tmp_path)
    assert (len(train), len(test)) == (100, 20)
    told = capsys.readouterr().out
    assert "left out: 50 rows of class brighten" in told
    assert "left out: 130 rows not drawn" in told
    by_id = {row["id"]: row for row in dq_rows()}
    for example in train + test:
        row = by_id[int(example.id.split("/")[1])]
        if isinstance(example.target, Degradation):
            levels = ["slight", "moderate", "obvious", "serious", "catastrophic"]
            assert str(example.target.distortion) == row["distortion_class"]
            assert levels.index(str(example.target.severity)) + 1 == row["severity"]
        else:
            assert row["severity"] == 0


def test_degradations_of_one_reference_photo_are_in_one_part(tmp_path: Path) -> None:
    run_dq(tmp_path, "--train", 100, "--test", 20)
    train, test = parts(tmp_path)
    refuse_leaks(train, test)
    assert {row.source for row in train}.isdisjoint(row.source for row in test)


def test_the_seed_decides_what_is_drawn(tmp_path: Path) -> None:
    drawn = []
    for seed in (1, 1, 2):
        run_dq(tmp_path, "--train", 100, "--test", 20, "--seed", seed)
        drawn.append(parts(tmp_path))
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]


def test_each_class_and_clean_can_be_drawn_equally_often(tmp_path: Path) -> None:
    run_dq(tmp_path, "--train", 52, "--test", 10, "--even")
    told = Counter(
        str(row.target.distortion) if isinstance(row.target, Degradation) else "clean"
        for row in parts(tmp_path)[0]
    )
    assert sorted(told.values()) == [10, 10, 10, 11, 11]


@pytest.mark.parametrize(
    ("kind", "severity", "told"),
    [
        ("noise", 6, 'expected "severity" as a whole number from 0 to 5, got 6'),
        ("noise", "3", "expected \"severity\" as a whole number from 0 to 5, got '3'"),
        ("noise", 0, "expected a class with its severity or neither, got 'noise' and 0"),
        (None, 2, "expected a class with its severity or neither, got None and 2"),
        (["noise", "blur"], 2, "expected \"distortion_class\" as text or null, got ['noise', 'blur']"),
    ],
)
def test_a_degradation_that_makes_no_sense_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: object, severity: object, told: str
) -> None:
    assert run_dq(tmp_path, rows=[dq(1, "noise", 1, 1), dq(2, kind, severity, 2)]) == 2
    assert f"dq.json: row 2: {told}" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_fewer_rows_than_asked_for_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_dq(tmp_path) == 2
    assert "Expected 7000 rows to train on, got 2" in capsys.readouterr().err


# --- DiffIQA ---------------------------------------------------------------------------------------------


def triplets(results: list[str]) -> list[dict[str, str]]:
    return [
        {
            "ref_image": f"Original/{number}.png",
            "ImageA": f"01/{number}_01.png",
            "ImageB": f"04/{number}_04.png",
            "result": result,
        }
        for number, result in enumerate(results)
    ]


def test_a_triplet_shows_its_reference_first(tmp_path: Path) -> None:
    file = write(tmp_path / "d.json", triplets(["Image B"]))
    (one,) = converted(tmp_path, "diffiqa", file, "--root", tmp_path, "--swap-pairs", "none")
    assert [path.relative_to(tmp_path).as_posix() for path in one.photos] == [
        "Original/0.png",
        "01/0_01.png",
        "04/0_04.png",
    ]
    assert (one.target, one.source, one.reference) == (Comparison(Winner.B), "Original/0.png", True)


def test_a_swapped_pair_keeps_its_winner(tmp_path: Path) -> None:
    file = write(tmp_path / "d.json", triplets(["Image A", "Image B", "Similar"]))
    rows = converted(tmp_path, "diffiqa", file, "--root", tmp_path, "--swap-pairs", "both")
    assert len(rows) == 6
    for plain, swapped in zip(rows[::2], rows[1::2], strict=True):
        assert swapped.photos == (plain.photos[0], plain.photos[2], plain.photos[1])
    assert winners(rows) == [Winner.A, Winner.B, Winner.B, Winner.A, Winner.SIMILAR, Winner.SIMILAR]


def test_by_default_the_lower_numbered_method_is_in_either_slot(tmp_path: Path) -> None:
    file = write(tmp_path / "d.json", triplets(["Image A"] * 100))
    rows = converted(tmp_path, "diffiqa", file, "--root", tmp_path)
    assert len(rows) == 100
    assert 35 < sum("/01/" in str(row.photos[1]) for row in rows) < 65
    for row in rows:
        assert row.target == Comparison(Winner.A if "/01/" in str(row.photos[1]) else Winner.B)


def test_an_unknown_result_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path / "d.json", triplets(["Image A", "A"]))
    told = refused(capsys, tmp_path, "diffiqa", file, "--root", tmp_path)
    assert 'row 2: expected "result" as one of Image A, Image B, Similar; got "A"' in told


# --- plain lists -----------------------------------------------------------------------------------------


def from_list(tmp_path: Path, content: str, *more: object, name: str = "mine") -> list[Example]:
    file = write(tmp_path / "list.txt", content)
    return converted(tmp_path, "list", file, "--root", tmp_path, "--set", name, *more)


def refused_list(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, content: str, *more: object, name: str = "mine"
) -> str:
    file = write(tmp_path / "list.txt", content)
    common = ("list", file, "--root", tmp_path, "--no-photos", "--set", name)
    return refused(capsys, tmp_path, *common, *more)


def test_a_label_moves_to_one_to_five_by_a_straight_line(tmp_path: Path) -> None:
    rows = from_list(tmp_path, LIST, "--range", 0, 100)
    assert mos(rows) == pytest.approx([3.4, 1.8, 5.0])
    assert [row.target.label for row in rows if isinstance(row.target, Rated)][:2] == [60, 20]
    assert rows[0].photos == (tmp_path / "x 1.jpg",)


def test_where_higher_is_worse_the_lowest_is_the_best(tmp_path: Path) -> None:
    assert mos(from_list(tmp_path, LIST, "--range", 0, 100, "--higher-is-worse")) == pytest.approx(
        [2.6, 4.2, 1.0]
    )


def test_the_ends_of_the_file_can_be_the_scale_and_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert mos(from_list(tmp_path, "a.png 20\nb.png 40\nc.png 30", "--range", "auto")) == [1, 5, 3]
    assert "mine: labels from 20 to 40 become MOS 1 to 5" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "labels", "expected"),
    [
        ("KonIQ-10k", [2, 3, 4], [2, 3, 4]),
        ("SPAQ", [2, 3, 4], [2, 3, 4]),
        ("spaq", [25, 50, 75], [2, 3, 4]),
        ("LIVEC", [25, 50, 75], [2, 3, 4]),
        ("AGIQA-3K", [1.25, 2.5, 3.75], [2, 3, 4]),
        ("AGIQA-3K", [25, 50, 75], [2, 3, 4]),
        ("CSIQ", [0.25, 0.5, 0.75], [4, 3, 2]),
    ],
)
def test_the_scale_of_a_known_set_is_known(
    tmp_path: Path, name: str, labels: list[float], expected: list[float]
) -> None:
    content = "\n".join(f"{number}.png {label}" for number, label in enumerate(labels))
    assert mos(from_list(tmp_path, content, name=name)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("name", "labels", "told"),
    [
        ("mine", "2 3", "Expected --range LOW HIGH or --range auto: the scale of mine is not known here"),
        ("LIVEC", "1.5 4.8", "Expected labels of LIVEC on 0 to 100, got 1.5"),
        ("KADID-10k", "1.5 40", "Expected labels of KADID-10k on 1 to 5, got 1.5"),
    ],
)
def test_labels_on_another_scale_than_the_published_one_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, labels: str, told: str
) -> None:
    content = "\n".join(f"{number}.png {label}" for number, label in enumerate(labels.split()))
    assert told in refused_list(capsys, tmp_path, content, name=name)


def test_a_label_off_the_scale_and_a_line_that_is_none_are_refused_with_their_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = refused_list(capsys, tmp_path, "a.png 3\nb.png 5.1\n\nc.png 0.9", "--range", 1, 5)
    assert "list.txt:2: expected a label from 1 to 5, got 5.1" in told
    assert "list.txt:4: expected a label from 1 to 5, got 0.9" in told
    told = refused_list(capsys, tmp_path, "a.png 3\nb 4\nc.png\nd.png nan", "--range", 1, 5)
    for line in (2, 3, 4):
        assert f"list.txt:{line}: expected a photo (or reference and photo) and its label" in told


def test_a_reference_becomes_the_source_of_its_photos(tmp_path: Path) -> None:
    rows = from_list(tmp_path, FULL, "--range", 1, 5)
    assert [row.source for row in rows] == ["r1.png"] * 3 + ["r2.png"] * 2
    assert mos(rows) == pytest.approx([4.5, 3.0, 2.95, 1.5, 4.0])


def test_lines_with_and_without_reference_in_one_file_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = refused_list(capsys, tmp_path, FULL + "lonely.png 3", "--range", 1, 5)
    assert "list.txt:6: expected reference and photo, as on most lines, got lonely.png" in told


def test_photos_of_one_reference_become_pairs(tmp_path: Path) -> None:
    rows = from_list(tmp_path, FULL, "--range", 1, 5, "--pairs", "all", "--references", tmp_path / "refs")
    assert len(rows) == 4
    opinions = {"r1_a": 4.5, "r1_b": 3.0, "r1_c": 2.95, "r2_a": 1.5, "r2_b": 4.0}
    for row in rows:
        reference, a, b = row.photos
        assert reference == tmp_path / "refs" / f"{a.stem[:2]}.png"
        difference = opinions[a.stem] - opinions[b.stem]
        better = Winner.A if difference > 0 else Winner.B
        assert row.target == Comparison(better if abs(difference) > 0.1 else Winner.SIMILAR)
    assert winners(rows).count(Winner.SIMILAR) == 1


def test_without_the_reference_a_tie_is_left_out_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = from_list(tmp_path, FULL, "--range", 1, 5, "--pairs", "all", "--hide-reference")
    assert [len(row.photos) for row in rows] == [2, 2, 2]
    assert "left out: 1 pairs less than 0.1 MOS apart" in capsys.readouterr().out


def test_the_best_of_a_sorted_list_is_shown_in_either_slot(tmp_path: Path) -> None:
    content = "\n".join(f"r.png p{number}.png {number}" for number in range(20, 0, -1))
    rows = from_list(tmp_path, content, "--range", 0, 20, "--pairs", 100)
    assert len(rows) == 100
    assert 30 < winners(rows).count(Winner.A) < 70


def test_a_list_without_references_makes_no_pairs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = refused_list(capsys, tmp_path, "a.png 3\nb.png 4", "--range", 1, 5, "--pairs", "all")
    assert "list.txt:1: expected reference and photo to make pairs, got one photo" in told


@pytest.mark.parametrize("words", [["5", "1"], ["1"], ["1", "2", "3"], ["low", "high"]])
def test_a_range_that_is_none_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    told = refused_list(capsys, tmp_path, LIST, "--range", *words)
    assert "expected --range LOW HIGH with LOW below HIGH, got " + " ".join(words) in told


# --- VisualQuality-R1 ------------------------------------------------------------------------------------


def test_a_conversation_ends_in_its_mos(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row: dict[str, Any] = {
        "id": 1,
        "dataset_name": "KADID-10K",
        "image": ["I02_01_01.png"],
        "conversations": [{"from": "human", "value": "How good is it?"}, {"from": "gpt", "value": 4.25}],
    }
    (one,) = converted(tmp_path, "jsonl", write(tmp_path / "a.jsonl", row), "--root", tmp_path)
    assert (one.target, one.source, one.set) == (Rated(4.25, 4.25), "I02", "KADID-10K")
    row["conversations"][1]["value"] = 70
    told = refused(capsys, tmp_path, "jsonl", write(tmp_path / "a.jsonl", row), "--root", tmp_path)
    assert 'a.jsonl:1: expected "the value of gpt" from 1 to 5, got 70' in told
    row["conversations"].pop()
    told = refused(capsys, tmp_path, "jsonl", write(tmp_path / "a.jsonl", row), "--root", tmp_path)
    assert 'a.jsonl:1: expected "conversations" with one turn from gpt, got 0' in told


# --- one's own photos ------------------------------------------------------------------------------------


def test_a_made_set_passes_its_own_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(4):
        photo(tmp_path / f"photos/{number}.png", 40 * number + 20)
    made = ["degrade", str(tmp_path / "photos"), "--out", str(tmp_path / "out"), "--views", "12"]
    assert main([*made, "--tokens", "4", "6", "--workers", "1"]) == 0
    train, test = (str(tmp_path / f"out/{part}.jsonl") for part in ("train", "test"))
    assert f"python -m training.grpo --train {train} --test {test}" in capsys.readouterr().out
    assert main(["check", train, "--test", test]) == 0
    assert "all of their 11 photos can be read" in capsys.readouterr().out
    assert main(made) == 2
    assert "Expected a folder without a finished set" in capsys.readouterr().err


def test_a_check_refuses_a_photo_that_is_trained_and_tested_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, grey in (("a", 10), ("b", 20), ("copy", 10)):
        photo(tmp_path / f"{name}.png", grey)
    files = []
    for part, names in (("train", "a"), ("test", "b"), ("copies", "copy"), ("same", "a")):
        listed = write(tmp_path / f"{part}.txt", f"{names}.png 3\n")
        files.append(tmp_path / f"{part}.jsonl")
        common = ["list", listed, "--set", "s", "--root", tmp_path, "--range", 1, 5, "--out", files[-1]]
        assert main(list(map(str, common))) == 0
    train, test, copies, same = map(str, files)
    assert main(["check", train, "--test", test]) == 0
    assert main(["check", train, "--test", copies]) == 2
    assert "which is the same file as" in capsys.readouterr().err
    assert main(["check", train, "--test", same]) == 2
    assert f'"s/a.png" is tested on {tmp_path / "a.png"}, and "s/a.png" is trained on it' in (
        capsys.readouterr().err
    )


def test_a_check_lists_a_broken_photo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.png").write_bytes(b"no photo")
    listed = write(tmp_path / "list.txt", "a.png 3\n")
    common = ["list", listed, "--set", "s", "--root", tmp_path, "--range", 1, 5]
    assert main([*map(str, common), "--out", str(tmp_path / "rows.jsonl")]) == 0
    assert main(["check", str(tmp_path / "rows.jsonl")]) == 2
    assert f'"s/a.png": {tmp_path / "a.png"}: expected a photo' in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--views", "0"], "expected a whole number of at least 1, got 0"),
        (["--views", "9", "--tasks", "rate"], "expected tasks out of score, degradation, comparison"),
        (["--views", "9", "--tokens", "1", "9"], "expected a whole number from 4 to 1280, got 1"),
        (["--views", "9", "--tokens", "9", "5"], "Expected --tokens LOW HIGH with LOW not above HIGH"),
        (["--views", "9", "--test-share", "1"], "expected a share from 0 to below 1, got 1"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    photo(tmp_path / "a.png")
    assert told in refused(capsys, tmp_path, "degrade", tmp_path, *words)


# --- one's own opinions ----------------------------------------------------------------------------------


def test_own_opinions_become_rows(tmp_path: Path) -> None:
    table = "photo,mos,distortion_class,severity\na.jpg,4.5,,\nb.jpg,,noise,slight\nc.jpg,2,null,null\n"
    rows = converted(tmp_path, "ratings", write(tmp_path / "own.csv", table))
    assert [(row.task, row.photos[0].name) for row in rows] == [
        (Task.SCORE, "a.jpg"),
        (Task.DEGRADATION, "b.jpg"),
        (Task.SCORE, "c.jpg"),
        (Task.DEGRADATION, "c.jpg"),
    ]


def test_own_winners_become_rows(tmp_path: Path) -> None:
    table = "a,b,winner,reference\n1.jpg,2.jpg,Image B,\n1.jpg,3.jpg,a,r.jpg\n2.jpg,3.jpg,similar,r.jpg\n"
    rows = converted(tmp_path, "ratings", write(tmp_path / "own.csv", table))
    assert winners(rows) == [Winner.B, Winner.A, Winner.SIMILAR]
    assert [len(row.photos) for row in rows] == [2, 3, 3]


def test_stars_and_a_table_as_a_german_spreadsheet_saves_it_are_read(tmp_path: Path) -> None:
    file = tmp_path / "own.csv"
    file.write_text("\ufeffPhoto;Rating\nä.jpg;7,5\nb.jpg;10\n", encoding="utf-8")
    rows = converted(tmp_path, "ratings", file, "--range", 0, 10)
    assert mos(rows) == [4, 5]
    assert rows[0].photos[0].name == "ä.jpg"


@pytest.fixture
def ranking(tmp_path: Path) -> Path:
    """Two photos and an error, as the app exports them, and a person's column on the right."""
    from qinsight.ranking.rows import Row
    from qinsight.ranking.tables import write_csv

    rows = [
        Row("=a.jpg", "0" * 64, "preview", 4.1, 4.2, "blur", "slight"),
        Row("b.jpg", "1" * 64, "preview", 2.0, 2.1, "null", "null"),
        Row("c.jpg", "2" * 64, "preview", error="The answer cannot be read."),
    ]
    write_csv(rows, tmp_path / "ranking.csv")
    with (tmp_path / "ranking.csv").open(encoding="utf-8-sig", newline="") as file:
        head, *lines = csv.reader(file)
    with (tmp_path / "ranking.csv").open("w", encoding="utf-8-sig", newline="") as file:
        told = zip(lines, ["1.5", "", ""], strict=True)
        csv.writer(file).writerows([[*head, "mos"], *([*line, mine] for line, mine in told)])
    return tmp_path / "ranking.csv"


def test_of_an_export_only_the_persons_column_is_taken(
    tmp_path: Path, ranking: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (one,) = converted(tmp_path, "ratings", ranking)
    assert one.target == Rated(1.5, 1.5)
    told = capsys.readouterr().out
    assert "left out: 1 rows without an opinion of yours" in told
    assert "left out: 1 rows with an error" in told


def test_a_name_that_the_export_led_by_an_apostrophe_is_the_photos_again(
    tmp_path: Path, ranking: Path
) -> None:
    assert "'=a.jpg" in ranking.read_text(encoding="utf-8-sig")
    (one,) = converted(tmp_path, "ratings", ranking)
    assert one.photos == (tmp_path / "=a.jpg",)
    photo(tmp_path / "real.png").rename(tmp_path / "'=a.jpg")  # a photo that has the apostrophe of its own
    (one,) = converted(tmp_path, "ratings", ranking)
    assert one.photos == (tmp_path / "'=a.jpg",)


def test_corrected_diagnoses_are_taken_where_the_person_says_so(tmp_path: Path, ranking: Path) -> None:
    rows = converted(tmp_path, "ratings", ranking, "--corrected")
    assert Counter(row.task for row in rows) == {Task.SCORE: 1, Task.DEGRADATION: 2}
    assert mos(rows) == [1.5]


def test_a_models_own_answers_are_learnt_only_on_demand_and_it_is_said(
    tmp_path: Path, ranking: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = converted(tmp_path, "ratings", ranking, "--trust-model", "--range", 0, 10)
    assert mos(rows) == pytest.approx([1.6, 2.0])  # the person's on 0 to 10, the model's on 1 to 5
    assert "a model's own answers" in capsys.readouterr().out


def test_a_line_ends_where_json_lines_end(tmp_path: Path) -> None:
    line = json.dumps({"photo": "a.jpg", "mos": 3, "thinking": "one\u2028two\x85three"}, ensure_ascii=False)
    assert mos(converted(tmp_path, "ratings", write(tmp_path / "own.jsonl", line + "\n"))) == [3]


def test_a_person_may_rate_what_the_model_could_not(tmp_path: Path) -> None:
    line = {"photo": "c.jpg", "model": "preview", "rating": None, "error": "No answer.", "mos": 2}
    (one,) = converted(tmp_path, "ratings", write(tmp_path / "results.jsonl", line))
    assert one.target == Rated(2, 2)


def test_an_export_that_nobody_edited_is_refused_with_the_way_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = {"photo": "a.jpg", "model": "preview", "rating": 4.2, "distortion_class": "null", "error": None}
    told = refused(capsys, tmp_path, "ratings", write(tmp_path / "results.jsonl", line))
    assert "expected your own opinions in a column mos" in told
    assert "--trust-model" in told


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("photo,mos\na.jpg,6", 'own.csv:2: expected "mos" from 1 to 5, got 6'),
        ("photo,mos\na.jpg,good", "own.csv:2: expected \"mos\" as a number, got 'good'"),
        ("photo,mos\na.jpg,3,9", "own.csv:2: expected as many cells as the head has columns"),
        ("photo,mos\na.jpg,3\na.jpg,4", 'own.csv:3: expected every row once; "own/a.jpg:score"'),
        ("photo,distortion_class\na.jpg,noise", 'own.csv:2: expected "severity" as one of'),
        (
            "a,b,winner\n1.jpg,2.jpg,C",
            "own.csv:2: expected \"winner\" as Image A, Image B or Similar, got 'C'",
        ),
        ("a,b,winner\n1.jpg,2.jpg,similar", 'own.csv:2: expected "winner" as Image A or Image B'),
        ("file,score\na.jpg,3", "expected a column photo with mos"),
        ("photo,mos\n", "Expected at least one row below the head"),
    ],
)
def test_an_opinion_that_cannot_be_read_is_refused_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], table: str, told: str
) -> None:
    assert told in refused(capsys, tmp_path, "ratings", write(tmp_path / "own.csv", table))


def test_a_table_that_is_not_utf_8_is_refused_with_the_way_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own.csv").write_bytes("photo,mos\nä.jpg,3".encode("latin-1"))
    assert "save it as 'CSV UTF-8'" in refused(capsys, tmp_path, "ratings", tmp_path / "own.csv")
