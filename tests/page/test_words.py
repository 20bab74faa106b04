"""The page's words: complete in every language, with nothing left in English by mistake."""

import ast
import json
import re
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qinsight.errors import AnswerError, PhotoError, QInsightError
from qinsight.page import build_page
from qinsight.page.host import Host
from qinsight.page.sentences import SENTENCES
from qinsight.page.words import I18N, LABELS, PHRASES, PREFIX, Language, Words, label, understood
from qinsight.sentence import Sentence
from shared.engines import ScriptedEngine
from shared.places import REPOSITORY

PACKAGE = REPOSITORY / "qinsight"


def trust_of_a_terminal() -> set[str]:
    """What stays in a terminal of how far an answer can be trusted; the rest is met on the page too."""
    met = {"calibration.py", "claims.py", "triage.py"}
    return {path.name for path in (PACKAGE / "trust").glob("*.py")} - met


# Met on a command line, when the page is started, or in the API only: that stays in English.
TECHNICAL = {
    *("__main__.py", "flags.py", "keeping.py", "library.py"),
    *("page/api.py", "page/gate.py", "page/form.py"),
    *("engines/convert.py", "engines/convert_settings.py", "engines/convert_tensors.py"),
    *("photos/jpeg.py", "ranking/embedding.py", "ranking/picks.py", "ranking/sidecars.py", "ranking/xmp.py"),
    "ranking/contact_sheet.py",
    *("check/identity.py", "check/pictures.py", "page/passwords.py"),  # a terminal's
    *(f"trust/{name}" for name in trust_of_a_terminal()),
}
SAME_EVERYWHERE = {
    "comma",
    "degraded",
    "loupe_full",
    "csv",
    "jsonl",
    "note",
    "and_then",
    "named",
    "end",
    "rated",
    "headline",
    "verdict",
    "verdict_half",
    "measured_so",
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
        assert all(fields(other) == fields(english) for other in others), english


def test_labels_hold_nothing_that_the_browsers_message_format_would_read_as_a_command() -> None:
    assert not [key for key, texts in LABELS.items() if re.search(r"[{}<>']", "".join(texts))]
    assert set(I18N.translations_dict) == {"en", "zh", "ja"}


def test_every_word_is_used_and_every_used_word_is_there() -> None:
    used: set[str] = set()
    for path in (PACKAGE / "page").glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if path.name not in ("words.py", "meanings.py", "sentences.py"):
            used |= {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}  # type: ignore[misc]
    for path in (PACKAGE / "page").glob("*.js"):
        used |= set(re.findall(r'"(\w+)"', path.read_text(encoding="utf-8")))
    made = re.compile(
        r"rating_\d|task_\w+|head_\w+|[a-z]+_?|(astronaut|cat|coffee|rocket)_\w+"
        r"|\w+_dark|(cue|what|now|next|loupe|pair|view|sort|state|do|names|xmp|heap|verdict)_\w+"
    )  # by an f-string, an enum or a file's name
    unused = [key for key in [*LABELS, *PHRASES] if key not in used and not made.fullmatch(key)]
    assert unused == []
    with pytest.raises(KeyError):
        label("nothing")


def test_no_label_of_the_page_is_written_in_one_language_only() -> None:
    page = build_page(Host(lambda progress: ScriptedEngine()), local=True)
    plain = {"", "# Q-Insight", "all", "en", "full"}
    strangers = []
    for component in page.get_config_file()["components"]:
        for prop in ("label", "value", "placeholder", "info"):
            words = component["props"].get(prop)
            ours = isinstance(words, str) and component["type"] not in ("state", "timer", "api")
            if ours and words not in plain and not words.startswith("__i18n__"):
                strangers.append((component["type"], prop, words))
    assert strangers == []


SOURCES = sorted(PACKAGE.rglob("*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in SOURCES}


def errors() -> set[str]:
    """The names of `QInsightError` and its children."""
    classes = [node for tree in TREES.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    found = {"QInsightError"}
    for _ in classes:
        found |= {one.name for one in classes if found & {ast.unparse(base) for base in one.bases}}
    return found


MADE = {"Sentence", "Error", "Warning", "Info", *errors()}  # gr.Error and the like are shown too


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """Where a file makes sentences and errors, with the name of what is made; in such a class, also its parent's."""
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.ClassDef) and node.name in MADE:
            inits = [call for call in ast.walk(node) if ast.unparse(call).startswith("super().__init__(")]
            yield from ((node.name, call) for call in inits if isinstance(call, ast.Call))
        if isinstance(node, ast.Call) and node.args:
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if name in MADE:
                yield name, node


def templates(said: ast.expr) -> Iterator[str]:
    """The template that is written there, or those of which one is taken."""
    if isinstance(said, ast.Constant) and isinstance(said.value, str) and said.value:
        yield said.value
    if isinstance(said, ast.IfExp):
        yield from (*templates(said.body), *templates(said.orelse))
    for value in said.values if isinstance(said, ast.BoolOp) else ():
        yield from templates(value)


MET = [path for path in SOURCES if path.relative_to(PACKAGE).as_posix() not in TECHNICAL]
ids = {"ids": lambda path: path.relative_to(PACKAGE).as_posix()}


@pytest.mark.parametrize("path", MET, **ids)
def test_every_sentence_a_visitor_may_meet_is_known_in_three_languages(path: Path) -> None:
    unknown = [
        template
        for _, call in calls(path)
        for template in templates(call.args[0])
        if template not in SENTENCES
    ]
    assert unknown == []


@pytest.mark.parametrize("path", MET, **ids)
def test_a_sentence_a_visitor_may_meet_is_made_of_a_template_and_its_values(path: Path) -> None:
    """No f-string, nothing added, no finished words of another error: those would be English for ever."""
    for kind, call in calls(path):
        for node in ast.walk(call):
            assert not isinstance(node, ast.JoinedStr), ast.unparse(call)
        for node in ast.walk(call.args[0]):
            assert not isinstance(node, ast.BinOp), ast.unparse(call)
        assert kind == "NoPhotos" or not ast.unparse(call.args[0]).startswith("str("), ast.unparse(call)
        given = {value.arg for value in call.keywords}
        assert all(fields(template) == given for template in templates(call.args[0])), (
            kind,
            ast.unparse(call),
        )


@pytest.mark.parametrize("path", MET, **ids)
def test_sentences_of_a_kind_begin_and_end_alike(path: Path) -> None:
    for kind, call in calls(path):
        for template in templates(call.args[0]) if kind != "Sentence" else ():
            begun, ended = template[0].islower(), template[-1] in ".?"
            beside_a_value = (template[0] == "{", template[-1] == "}")
            behind_a_name = kind == "PhotoError"
            assert begun == behind_a_name or beside_a_value[0], template
            assert ended != behind_a_name or beside_a_value[1], template


def test_no_sentence_is_translated_that_nobody_says() -> None:
    said = {template for path in SOURCES for _, call in calls(path) for template in templates(call.args[0])}
    assert sorted({*SENTENCES} - said) == []


PDF_IN_ENGLISH = "Expected a photo, got a PDF; export it as JPEG, PNG or WebP."
PDF = PhotoError("expected a photo, got {name}; export it as JPEG, PNG or WebP", name=Sentence("a PDF"))
CUT = Sentence(
    "The reply was cut after {tokens} tokens, before its answer. {error}",
    tokens=9,
    error=AnswerError("Expected an answer inside the <answer> tags; they are empty."),
)
DOWNLOADING = Sentence(
    "{doing}, {done:.0%} …",
    doing=Sentence("Downloading {model} ({size:.1f} GB, once)", model="ByteDance/Q-Insight", size=16.59),
    done=0.25,
)


@pytest.mark.parametrize(
    ("said", "chinese", "japanese"),
    [
        (
            PDF,
            "这不是照片，而是 PDF；请导出为 JPEG、PNG 或 WebP。",
            "写真ではなく PDF です。JPEG、PNG または WebP で書き出してください。",
        ),
        (
            CUT,
            "回答在 9 个词元后被截断，尚未给出答案。<answer> 标签内没有答案。",
            "返答は 9 トークンで打ち切られ、回答に届きませんでした。<answer> タグの中が空です。",
        ),
        (
            DOWNLOADING,
            "正在下载 ByteDance/Q-Insight（16.6 GB，仅一次），25% ……",
            "ByteDance/Q-Insight をダウンロード中（16.6 GB、初回のみ）、25% …",
        ),
        ("a sentence nobody translated", "A sentence nobody translated.", "A sentence nobody translated."),
        (str(PDF), PDF_IN_ENGLISH, PDF_IN_ENGLISH),
    ],
)
def test_sentences_of_the_package_are_told_in_the_visitors_language(
    said: QInsightError | str, chinese: str, japanese: str
) -> None:
    assert Words(Language.CHINESE).sentence(said) == chinese
    assert Words(Language.JAPANESE).sentence(said) == japanese


def test_the_place_in_line_is_told_in_the_visitors_language() -> None:
    assert Words(Language.JAPANESE)("in_line", before=3) == "モデルの順番待ちです：あと 3 件。"


def test_what_the_model_said_stays_as_it_is_inside_a_sentence() -> None:
    model = "'{0} {rating} {said} Stopped. <b>9</b>'"
    said = AnswerError("Expected a rating from 1 to 5; the model said {said}.", said=model)
    for language in Language:
        assert model in Words(language).sentence(said)


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
        str(label("film"))
        == f"__i18n__{json.dumps({'__type__': 'translation_metadata', 'key': PREFIX + 'film'})}"
    )
