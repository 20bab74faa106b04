"""Tables of one's own as spreadsheet programs save them: what is said twice is refused, what is equal is one opinion."""

from pathlib import Path

import pytest

from shared.labels import converted, mos, refused, write
from training.data.examples import read_examples
from training.data.lines import LabelError


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("photo,mos,mos\na.jpg,4.5,1", "own.csv:1: expected every column once, got mos 2 times"),
        ("photo,MOS, mos \na.jpg,4.5,1", "own.csv:1: expected every column once, got mos 2 times"),
        ("photo,Photo,mos\na.jpg,b.jpg,1", "got photo 2 times"),
        ("sep=;\n\nphoto;mos;mos;mos\na.jpg;4;4;4", "own.csv:3: expected every column once, got mos 3 times"),
        ('"photo"\t"mos"\t"mos"\na.jpg\t4\t4', "got mos 2 times"),
    ],
)  # fmt: skip
def test_two_columns_of_one_name_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], table: str, told: str
) -> None:
    assert told in refused(capsys, tmp_path, "ratings", write(tmp_path / "own.csv", table))


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"photo": "a.jpg", "mos": 4.5, "mos": 1}', "own.jsonl:1: expected one JSON object a line: expected every key once, got mos 2 times"),
        ('{"photo": "a.jpg", "mos": 4.5, "MOS": 4.5}', "got mos 2 times"),
        ('{"photo": "a.jpg", "mos": 4.5, " mos": 4.5}', "got mos 2 times"),
        ('{"photo": "a.jpg", "mos": 4.5, "camera": {"iso": 1, "iso": 2}}', "got iso 2 times"),
    ],
)  # fmt: skip
def test_two_keys_of_one_name_are_refused_at_any_depth(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str, told: str
) -> None:
    assert told in refused(capsys, tmp_path, "ratings", write(tmp_path / "own.jsonl", line + "\n"))


def test_two_keys_of_one_name_are_refused_in_a_data_file_too(tmp_path: Path) -> None:
    line = '{"id": "x", "set": "own", "task": "score", "photos": ["a.jpg"], "mos": 4, "mos": 2}\n'
    with pytest.raises(LabelError, match="expected every key once, got mos 2 times"):
        read_examples(write(tmp_path / "data.jsonl", line))


def test_keys_of_json_lines_may_be_written_as_columns_may(tmp_path: Path) -> None:
    assert mos(
        converted(tmp_path, "ratings", write(tmp_path / "own.jsonl", '{"Photo": "a.jpg", " MOS ": 3}\n'))
    ) == [3]


@pytest.mark.parametrize(
    "table",
    [
        "sep=;\nphoto;mos\na.jpg;4,5\nb.jpg;3,5\n",
        "SEP=;\r\nphoto;mos\r\na.jpg;4,5\r\nb.jpg;3,5\r\n",
        '"sep=;"\nphoto;mos\na.jpg;4,5\nb.jpg;3,5\n',
        "\ufeffsep=|\nphoto|mos\na.jpg|4,5\nb.jpg|3,5\n",
        "sep=\t\nphoto\tmos\na.jpg\t4.5\nb.jpg\t 3.50 \n",
        "sep=,\nphoto,mos,a;b;c;d\na.jpg,4.5,\nb.jpg,3.5,\n",
        "\n\nphoto,mos\na.jpg,4.5\nb.jpg,3.5\n",
        "photo\tmos\na.jpg\t4.5\nb.jpg\t3.5\n",
        'photo,mos\na.jpg,"4,5"\nb.jpg,"3,5"\n',
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_table_is_read_as_spreadsheet_programs_save_it(tmp_path: Path, table: str, encoding: str) -> None:
    file = tmp_path / "own.csv"
    file.write_bytes(table.encode(encoding))
    if table.startswith("\ufeff") and encoding in ("utf-8-sig", "utf-16"):
        file.write_bytes(table[1:].encode(encoding))
    assert mos(converted(tmp_path, "ratings", file)) == [4.5, 3.5]


@pytest.mark.parametrize("named", ["sep=", "sep=;;", "sep=ab"])
def test_a_first_line_that_names_no_delimiter_is_refused_with_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], named: str
) -> None:
    told = refused(capsys, tmp_path, "ratings", write(tmp_path / "own.csv", f"{named}\nphoto;mos\na.jpg;4"))
    assert "names no delimiter of one character; delete it" in told


def test_a_table_of_another_suffix_is_a_table(tmp_path: Path) -> None:
    for suffix in ("tsv", "txt"):
        file = tmp_path / f"own.{suffix}"
        file.write_text("photo\tmos\na.jpg\t4\n", encoding="utf-16")
        assert mos(converted(tmp_path, "ratings", file)) == [4]


def test_a_problem_below_a_separator_line_is_told_with_its_own_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = refused(
        capsys, tmp_path, "ratings", write(tmp_path / "own.csv", "sep=;\nphoto;mos\na.jpg;4\nb.jpg;9")
    )
    assert 'own.csv:4: expected "mos" from 1 to 5, got 9' in told


def test_ratings_that_are_the_same_number_are_one_opinion(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = 'photo;mos\na.jpg;4\na.jpg;4.0\na.jpg;"4,00"\na.jpg; 4 \na.jpg;+4\nb.jpg;2\n'
    assert mos(converted(tmp_path, "ratings", write(tmp_path / "own.csv", table))) == [4, 2]
    assert "left out: 4 rows that say the same again" in capsys.readouterr().out
    lines = '{"photo": "a.jpg", "mos": 4}\n{"photo": "a.jpg", "mos": "4.00"}\n'
    assert mos(converted(tmp_path, "ratings", write(tmp_path / "own.jsonl", lines))) == [4]


def test_ratings_that_differ_are_a_conflict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = refused(
        capsys, tmp_path, "ratings", write(tmp_path / "own.csv", "photo,mos\na.jpg,4\na.jpg,4.0\na.jpg,4.01")
    )
    assert 'own.csv:4: expected every row once; "own/a.jpg:score" stands at' in told


@pytest.mark.parametrize("value", ["4_0", "4;", "4,5,6", "four", "nan", "0x4", "1e", "--4"])
def test_what_is_no_number_is_no_rating(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], value: str
) -> None:
    told = refused(capsys, tmp_path, "ratings", write(tmp_path / "own.csv", f'photo,mos\na.jpg,"{value}"\n'))
    assert 'expected "mos" as a number' in told
