"""The page's words: complete in every language, with nothing left in English by mistake."""

import ast
import json
import re
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qinsight.page import build_page
from qinsight.page.host import Host
from qinsight.page.sentences import SENTENCES, translated
from qinsight.page.words import I18N, LABELS, PHRASES, PREFIX, Language, Words, label, understood
from shared.engines import ScriptedEngine
from shared.places import REPOSITORY

PACKAGE = REPOSITORY / "qinsight"
# What a visitor can do nothing about, or meets on a command line or in the API only, stays in English.
TECHNICAL = {"zerogpu.py", "api.py", "gate.py"}
SAME_EVERYWHERE = {
    "comma",
    "degraded",
    "raw",
    "slider",
    "csv",
    "jsonl",
    "note",
    "and_then",
    "named",
    "end",
    "rated",
    "headline",
}


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("catalogue", [LABELS, PHRASES, SENTENCES], ids=["labels", "phrases", "sentences"])
def test_no_word_is_missing_in_any_language(catalogue: dict[str, tuple[str, ...]]) -> None:
    for key, texts in catalogue.items():
        others = texts if catalogue is SENTENCES else texts[1:]
        assert len(others) == 2, key
        assert all(text.strip() for text in others), key
        if key not in SAME_EVERYWHERE and catalogue is not SENTENCES:
            assert all(re.search(r"[\u3040-\u9fff]", text) or "Apache" in text for text in others), key


def test_every_language_fills_in_the_same_figures() -> None:
    for key, texts in PHRASES.items():
        assert len({frozenset(fields(text)) for text in texts}) == 1, key
    for english, others in SENTENCES.items():
        known = {str(place) for place in range(english.count("{}") + english.count("{#}"))}
        assert all(fields(other) <= known for other in others), english


def test_labels_hold_nothing_that_the_browsers_message_format_would_read_as_a_command() -> None:
    assert not [key for key, texts in LABELS.items() if re.search(r"[{}<>']", "".join(texts))]
    assert set(I18N.translations_dict) == {"en", "zh", "ja"}


def test_every_word_is_used_and_every_used_word_is_there() -> None:
    used: set[str] = set()
    for path in (PACKAGE / "page").glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if path.name not in ("words.py", "sentences.py"):
            used |= {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}  # type: ignore[misc]
    used |= set(re.findall(r'"(\w+)"', (PACKAGE / "page" / "desk.js").read_text(encoding="utf-8")))
    made = re.compile(
        r"rating_\d|task_\w+|head_\w+|[a-z]+_?|(astronaut|cat|coffee|rocket)_\w+"
    )  # by an f-string, an enum or a file's name
    unused = [key for key in [*LABELS, *PHRASES] if key not in used and not made.fullmatch(key)]
    assert unused == []
    with pytest.raises(KeyError):
        label("nothing")


def test_no_label_of_the_page_is_written_in_one_language_only() -> None:
    page = build_page(Host(lambda progress: ScriptedEngine()), local=True)
    plain = {"", "# Q-Insight", "all", "en"}
    strangers = []
    for component in page.get_config_file()["components"]:
        for prop in ("label", "value", "placeholder", "info"):
            words = component["props"].get(prop)
            ours = isinstance(words, str) and component["type"] not in ("state", "timer", "api")
            if ours and words not in plain and not words.startswith("__i18n__"):
                strangers.append((component["type"], prop, words))
    assert strangers == []


def sentences_of(path: Path) -> Iterator[str]:
    """What the file's own errors say, {} standing for what differs."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        name = getattr(node, "func", None)
        kind = getattr(name, "id", getattr(name, "attr", ""))
        if isinstance(node, ast.Call) and kind in [
            "PhotoError",
            "AnswerError",
            "EngineError",
            "RequestFailed",
            "QInsightError",
            "LineFull",
            "TooMany",
            "Error",
        ]:
            text = words_of(node.args[0]) if node.args else None
            if text and re.search(r"[a-z]{3}", text.replace("{}", "")):
                yield text


def words_of(node: ast.expr) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)  # type: ignore[misc]
    return None


@pytest.mark.parametrize(
    "path",
    [
        *(
            PACKAGE / f"{name}.py"
            for name in ["photos", "photo_files", "photo_raw", "photo_child", "views", "answers", "assess"]
        ),
        *sorted(path for path in (PACKAGE / "page").glob("*.py") if path.name not in TECHNICAL),
    ],
    ids=lambda path: path.name,
)
def test_every_sentence_a_visitor_may_meet_is_known_in_three_languages(path: Path) -> None:
    unknown = [said for said in sentences_of(path) if translated(said.replace("{}", "7"), 0) is None]
    assert unknown == []


@pytest.mark.parametrize(
    ("said", "chinese", "japanese"),
    [
        (
            "expected a photo, got a PDF; export it as JPEG, PNG or WebP",
            "这不是照片，而是 PDF；请导出为 JPEG、PNG 或 WebP。",
            "写真ではなく PDF です。JPEG、PNG または WebP で書き出してください。",
        ),
        (
            "expected at most 300 megapixels, got 40000 x 9000; save a smaller copy",
            "照片为 40000 × 9000，超过 300 百万像素；请保存较小的副本。",
            "写真は 40000 × 9000 で、300 メガピクセルを超えています。小さくして保存してください。",
        ),
        (
            "The reply was cut after 9 tokens, before its answer. Expected an answer inside the <answer> tags; they are empty.",
            "回答在 9 个词元后被截断，尚未给出答案。<answer> 标签内没有答案。",
            "返答は 9 トークンで打ち切られ、回答に届きませんでした。<answer> タグの中が空です。",
        ),
        (
            "Downloading ByteDance/Q-Insight (16.6 GB, once), 25% …",
            "正在下载 ByteDance/Q-Insight（16.6 GB，仅一次），25% ……",
            "ByteDance/Q-Insight をダウンロード中（16.6 GB、初回のみ）、25% …",
        ),
        (
            "In line for the model: 3 before you.",
            "正在排队等待模型：前面还有 3 个。",
            "モデルの順番待ちです：あと 3 件。",
        ),
        ("a sentence nobody translated", "A sentence nobody translated.", "A sentence nobody translated."),
    ],
)
def test_sentences_of_the_package_are_told_in_the_visitors_language(
    said: str, chinese: str, japanese: str
) -> None:
    assert Words(Language.CHINESE).sentence(said) == chinese
    assert Words(Language.JAPANESE).sentence(said) == japanese


def test_what_the_model_said_stays_as_it_is_inside_a_sentence() -> None:
    said = "Expected a rating from 1 to 5; the model said '{0} {rating} Stopped. <b>9</b>'."
    for language in (Language.CHINESE, Language.JAPANESE):
        assert "'{0} {rating} Stopped. <b>9</b>'" in Words(language).sentence(said)


def test_a_very_long_sentence_is_no_work() -> None:
    import time

    started = time.monotonic()
    Words(Language.JAPANESE).sentence("expected at most " + "1 x ; got, " * 3000)
    assert time.monotonic() - started < 1


@pytest.mark.parametrize(
    ("tag", "language"),
    [
        ("zh-CN", "zh-CN"),
        ("zh-Hans-SG", "zh-CN"),
        ("zh-TW,zh;q=0.9,en;q=0.8", "zh-CN"),
        ("ja-JP", "ja"),
        ("fr-FR,ja;q=0.5,en;q=0.1", "ja"),
        ("de", "en"),
        ("", "en"),
        (None, "en"),
        ("<script>", "en"),
    ],
)
def test_the_browsers_wish_is_understood(tag: str | None, language: str) -> None:
    assert understood(tag) == language


def test_a_visitors_choice_goes_before_the_browsers_language_and_is_forgotten_with_the_visitor() -> None:
    from qinsight.page.words import Spoken

    class Visitor:
        session_hash = "one"
        headers = {"accept-language": "ja"}  # noqa: RUF012

    spoken, visitor = Spoken(), Visitor()
    request: Any = visitor
    assert spoken.words(request).language == "ja"
    assert spoken.choose(request, "zh-CN")("stopped") == "已停止。"
    assert spoken.words(request).language == "zh-CN"
    spoken.forget(request)
    assert spoken.words(request).language == "ja"


def test_the_labels_reach_the_browser_with_names_that_gradio_does_not_use() -> None:
    assert (
        str(label("slider"))
        == f"__i18n__{json.dumps({'__type__': 'translation_metadata', 'key': PREFIX + 'slider'})}"
    )
