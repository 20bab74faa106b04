"""What is said keeps its template and its values wherever it travels, and is plain English to whoever reads it."""

import copy
import csv
import io
import json
import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from qinsight.engines.server import RequestsFailed
from qinsight.errors import EngineError, PhotoError, QInsightError, RequestFailed
from qinsight.page.line import Closing
from qinsight.page.sentences import SENTENCES
from qinsight.page.words import Language, Words
from qinsight.photos import decode_in_child
from qinsight.photos.listing import NoPhotos
from qinsight.ranking.folder import rank_folder, ranking
from qinsight.ranking.rows import COMPARED_BY, Row
from qinsight.ranking.tables import write_jsonl
from qinsight.sentence import Sentence
from shared.engines import ScriptedEngine

SMALLER = SENTENCES["The model ran out of memory on this photo. Try a smaller copy."][0]
INNER = PhotoError(
    "expected a file of at most {most} MB, got a larger one; save the photo as a JPEG", most=250
)
ADAPTER = EngineError(
    "The adapter {name} needs its base model {source}: {error}", name="mine", source=Path("base"), error=INNER
)
IN_ENGLISH = (
    "The adapter mine needs its base model base: "
    "expected a file of at most 250 MB, got a larger one; save the photo as a JPEG"
)


def test_an_error_says_finished_english() -> None:
    assert str(ADAPTER) == IN_ENGLISH
    assert f"{ADAPTER}" == IN_ENGLISH
    assert type(str(ADAPTER)) is str
    assert json.dumps({"error": ADAPTER.sentence}) == json.dumps({"error": IN_ENGLISH})
    table = io.StringIO()
    csv.writer(table).writerow([ADAPTER.sentence])
    assert table.getvalue() == f'"{IN_ENGLISH}"\r\n'


def test_words_without_values_are_taken_as_they_are() -> None:
    assert (
        str(QInsightError("a finished {sentence} with a brace } in it"))
        == "a finished {sentence} with a brace } in it"
    )
    assert Sentence("{said}", said="{0} {x!r} }") == "{0} {x!r} }"


def test_a_value_holds_on_to_no_error_and_no_object() -> None:
    values = ADAPTER.sentence.values
    assert {name: type(value) for name, value in values.items()} == {
        "name": str,
        "source": str,
        "error": Sentence,
    }


@pytest.mark.parametrize(
    "error",
    [
        ADAPTER,
        Closing("The page is closing. Please ask again when it is back."),
        NoPhotos("there", (Sentence("{reason}: {count} ({names})", reason="links", count=1, names="a"),)),
        RequestsFailed({1: EngineError("Stopped at {place}", place=1), 2: ADAPTER}, asked=4),
        PhotoError("finished English"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_is_the_same_after_pickling_and_copying(error: QInsightError) -> None:
    error.__cause__ = ValueError("that is lost, as with every exception")
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert (type(again), str(again)) == (type(error), str(error))
        assert (again.sentence.template, again.sentence.values) == (
            error.sentence.template,
            error.sentence.values,
        )
        assert {**vars(again)}.keys() == {**vars(error)}.keys()


def _fail() -> None:
    raise RequestFailed("The model ran out of memory on this photo. Try a smaller copy.") from INNER


def test_an_error_comes_out_of_another_process_with_its_template() -> None:
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        error = pool.submit(_fail).exception(timeout=60)
    assert isinstance(error, RequestFailed)
    assert Words(Language.CHINESE).sentence(error) == SMALLER


def test_json_gives_a_sentence_back_with_the_sentences_in_it() -> None:
    again = Sentence.from_json(json.loads(json.dumps(ADAPTER.sentence.as_json())))
    assert again == IN_ENGLISH
    assert again.as_json() == ADAPTER.sentence.as_json()
    assert isinstance(again.values["error"], Sentence)


@pytest.mark.parametrize(
    "told",
    [
        ["{a}", {}],
        ["{a.__class__}", {"a": "x"}],
        ["{a[0]}", {"a": "x"}],
        ["{}", {"": 1}],
        ["{a:>9999999999}", {"a": "x"}],
        ["{a:.1f}", {"a": "x"}],
        ["{a", {"a": "x"}],
        ["{a}", {"a": {"other": 1}}],
        ["{a}", None],
        [3, {}],
        "words",
        7,
        None,
        {},
    ],
    ids=str,
)
def test_json_that_is_no_sentence_is_refused(told: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        Sentence.from_json(told)


def test_a_refusal_and_its_values_come_back_from_the_photos_process(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"%PDF-1.7 \n")
    with pytest.raises(
        PhotoError, match=r"^expected a photo, got a PDF; export it as JPEG, PNG or WebP$"
    ) as caught:
        decode_in_child(path)
    assert caught.value.sentence.values == {"name": "a PDF"}
    assert Words(Language.JAPANESE).sentence(caught.value).startswith("写真ではなく PDF です。")


def test_a_row_read_back_is_still_said_in_other_languages() -> None:
    remarks = Sentence.joined([Sentence("first of {count} frames", count=3), Sentence("narrow-range")])
    row = Row("a.jpg", "", "m", error=INNER.sentence, remarks=remarks)
    again = Row.from_json(json.loads(json.dumps(row.kept())))
    assert again == row
    words = Words(Language.CHINESE)
    assert words.remark(again.error or "").startswith("文件超过 250 MB")
    assert words.remark(again.remarks or "").startswith("共 3 帧")
    assert words.remark(again.remarks or "").endswith("窄范围")
    assert row.as_json().keys() == {*Row.__dataclass_fields__} - {*COMPARED_BY}
    assert row.as_json()["remarks"] == "first of 3 frames; narrow-range"


def test_a_row_of_an_earlier_version_or_edited_by_hand_is_shown_as_it_is_written() -> None:
    kept = json.loads(json.dumps(Row("a.jpg", "", "m", error=INNER.sentence).kept()))
    edited = Row.from_json({**kept, "error": "by hand"})
    earlier = Row.from_json({name: value for name, value in kept.items() if name != "said"})
    for row, said in ((edited, "by hand"), (earlier, str(INNER))):
        assert (row.error, type(row.error)) == (said, str)
        assert Words(Language.JAPANESE).remark(row.error or "") == said


def test_a_finished_ranking_still_says_in_other_languages_why_a_photo_was_not_rated(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("just a text\n")
    (tmp_path / "b.jpg").write_bytes(b"")
    [*rank_folder(ScriptedEngine([]), tmp_path, tmp_path / "out")]
    rows = ranking(tmp_path / "out")
    assert [Words(Language.JAPANESE).remark(row.error or "")[:13] for row in rows] == [
        "写真のファイルではありません。"[:13],
        "空のファイルです。もう一度コピ"[:13],
    ]
    write_jsonl(rows, tmp_path / "ranking.jsonl")
    assert "said" not in (tmp_path / "ranking.jsonl").read_text(encoding="utf-8")
