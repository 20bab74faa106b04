"""A result that one understands: a sentence of the model's words, the app's notes beside it, what to do about it."""

import json
import re
from typing import Any

import gradio as gr
import pytest
from PIL import Image

from qinsight.answers import Clean, Degradation, Distortion, Score, Severity
from qinsight.assess import Asked, ask, assessment, last
from qinsight.page import build_page
from qinsight.page.assess_tab import SAMPLE, AssessTab
from qinsight.page.host import Host
from qinsight.page.line import Job
from qinsight.page.meanings import MEANINGS
from qinsight.page.record import assessed
from qinsight.page.recordings import Recordings
from qinsight.page.result import (
    Frame,
    advice_value,
    answer_values,
    band_value,
    cues_value,
    notes,
    reasons_of,
    say_value,
    sentence,
)
from qinsight.page.table import Seen
from qinsight.page.words import ENGLISH, Language, Words
from qinsight.photos import load_photo
from qinsight.requests import Delta, Reading, Sampling, Stage
from shared.engines import DIAGNOSIS, SCORE, ScriptedEngine

ORDINARY = Frame((640, 480), (640, 476))
DARK = Degradation(Distortion.DARKEN, Severity.SERIOUS)
BLURRED = Degradation(Distortion.BLUR, Severity.MODERATE)
FAULTS = [Degradation(kind, level) for kind in Distortion for level in Severity]


def heard(*thinking: str, rating: float = 4.25, kind: str = "blur", severity: str = "obvious") -> list[Asked]:
    """What a model answers that thinks so of a photo."""
    said = [
        json.dumps({"rating": rating}),
        json.dumps({"distortion_class": kind, "severity": severity}),
    ]
    scripts = [
        [f"<think>{one}</think><answer>{answer}</answer>"]
        for one, answer in zip(thinking or ("hm", "hm"), said, strict=True)
    ]
    return [*last(ask(ScriptedEngine(*scripts), assessment(Image.new("RGB", (56, 56)))))]


@pytest.mark.parametrize(
    ("rating", "fault", "language", "said"),
    [
        (1.61, Degradation(Distortion.BLUR, Severity.SERIOUS), "en", "Poor: serious blur."),
        (4.6, Clean(), "en", "Excellent: no fault found."),
        (2.2, DARK, "en", "Poor: seriously underexposed."),
        (2.2, DARK, "zh-CN", "较差：严重曝光不足。"),
        (2.2, DARK, "ja", "悪い：深刻な露出不足。"),
        (3.0, None, "en", "Fair."),
        (None, BLURRED, "en", "Moderate blur."),
        (None, None, "en", "No answer."),
    ],
)
def test_an_answer_is_one_sentence_of_the_models_words(
    rating: float | None, fault: Degradation | Clean | None, language: str, said: str
) -> None:
    assert sentence(Score(rating) if rating else None, fault, Words(Language(language))) == said


def test_people_read_underexposed_and_programs_read_darken() -> None:
    found = heard(kind="darken", severity="slight")
    assert band_value(found[1])["words"] == "Slightly underexposed"
    assert "darken" not in say_value(found, ORDINARY, ENGLISH)["said"]
    record = assessed(ENGLISH, "a.jpg", found, "scripted", ORDINARY)
    assert json.loads(record["json"])[1]["distortion_class"] == "darken"
    for language in Language:
        assert "darken" not in Words(language)("darken")


@pytest.mark.parametrize(
    ("rating", "fault", "contradicts"),
    [
        (4.59, BLURRED, True),
        (4.5, DARK, True),
        (4.3, DARK, True),
        (4.3, BLURRED, False),
        (1.4, Clean(), True),
        (2.4, Clean(), True),
        (2.6, Clean(), False),
        (4.9, Clean(), False),
        (1.2, DARK, False),
    ],
)
def test_a_rating_that_contradicts_the_diagnosis_is_told_by_the_app(
    rating: float, fault: Degradation | Clean, contradicts: bool
) -> None:
    for language in Language:
        assert len(notes(Score(rating), fault, ORDINARY, Words(language))) == contradicts


def test_a_large_photo_rated_small_and_a_tiny_one_are_told_by_the_app_and_the_models_word_stays() -> None:
    found = heard(kind="null", severity="null")
    large = say_value(found, Frame((6000, 4000), (1204, 812)), ENGLISH)
    assert large["said"] == "Good: no fault found."
    assert "1.0 of its 24.0 megapixels" in large["notes"][0]
    assert "100 %" in large["notes"][0]
    assert say_value(found, Frame((1600, 1200), (1148, 868)), ENGLISH)["notes"] == []
    tiny = say_value(found, Frame((9, 9), (56, 56)), ENGLISH)
    assert tiny["said"] == "Too small to judge: 9 × 9 pixels."
    assert tiny["notes"] == ["The model said: Good: no fault found."]
    assert say_value(found, Frame((112, 112), (112, 112)), ENGLISH)["notes"] == []


def test_there_is_no_advice_about_a_photo_too_small_to_judge() -> None:
    found = heard(kind="blur", severity="serious")
    for size, advised in (((9, 9), False), ((600, 400), True)):
        values = answer_values(found, Frame(size, size), ENGLISH, "", None, running=False)
        assert bool(values[6]) is advised


def test_what_the_app_notes_stands_apart_in_what_is_taken_home_and_the_answer_is_as_it_was() -> None:
    found = heard(rating=4.7)
    plain, noted = (
        assessed(Words(Language.CHINESE), "a.jpg", found, "scripted", frame)
        for frame in (None, Frame((9, 9), (56, 56)))
    )
    for before, line in zip(json.loads(plain["json"]), json.loads(noted["json"]), strict=True):
        assert line.pop("app_notes")[0] == "Too small to judge: 9 × 9 pixels."
        before.pop("app_notes")  # that rating and diagnosis contradict each other
        assert line == before
    assert "尺寸太小" in noted["text"]


def test_the_digits_that_the_preview_reads_are_drawn_and_leave_the_reasons() -> None:
    found = heard(
        "Measured cues: noise 8, chroma 0, wobble 3. Grain everywhere.", "Measured cues: noise 8. Grain."
    )
    shown = cues_value(found)
    assert [(cue["name"], cue["digit"]) for cue in shown["cues"]] == [
        ("noise", 8),
        ("colour noise", 0),
        ("wobble", 3),
    ]
    assert [bool(cue["what"]) for cue in shown["cues"]] == [True, True, False]
    assert [reasons_of(one) for one in found] == ["Grain everywhere.", "Grain."]
    assert cues_value(heard()) == {}


@pytest.mark.parametrize(
    ("thinking", "reasons"),
    [
        ("Measured cues: noise 8, gr", ""),
        ("Measured cues: noise 8", ""),
        ("Measured cues: ", ""),
        ("Measured", "Measured"),
        ("I see. Measured cues: noise 8. Grain.", "I see. Measured cues: noise 8. Grain."),
        ("Measured cues: <b>1</b>. Grain.", "Measured cues: <b>1</b>. Grain."),
    ],
)
def test_cues_that_have_only_begun_or_stand_elsewhere_do_no_harm(thinking: str, reasons: str) -> None:
    request = assessment(Image.new("RGB", (56, 56)))[0]
    begun = Asked(request, f"<think>{thinking}")
    assert reasons_of(begun).strip() == reasons
    assert reasons_of(begun, running=False).endswith(ENGLISH("unfinished_words"))
    assert all(0 <= cue["digit"] <= 9 for cue in cues_value([begun]).get("cues", []))


def test_every_fault_has_advice_for_now_and_for_the_next_time_in_every_language() -> None:
    for language in Language:
        words = Words(language)
        said = [advice_value(fault, words)["rows"] for fault in FAULTS]
        assert all(len(rows) == 2 and all(words for _, words in rows) for rows in said)
        assert len({json.dumps(rows) for rows in said}) == 2 * len(Distortion)  # mild, and strong
        assert len(advice_value(Clean(), words)["rows"]) == 1
    assert advice_value(None) == {}


def test_what_is_explained_fits_two_lines() -> None:
    for key, texts in MEANINGS.items():
        if re.match(r"what_|now_|next_", key):
            assert len(texts[0]) <= 165, key
            assert all(len(text) <= 85 for text in texts[1:]), key


# --- the sample with which the page opens ------------------------------------------------------------------------


def opened(recordings: Recordings | None, session: str = "visitor") -> tuple[AssessTab, list[Any]]:
    """The Assess tab of a page that was just opened, and what it shows."""
    host = Host(lambda progress: ScriptedEngine(SCORE, DIAGNOSIS), recordings=recordings)
    page = build_page(host)
    tab = next(f.fn.__self__ for f in page.fns.values() if f.name == "sampled")
    request = gr.Request(session_hash=session, client=None, headers={})
    before = tab.sampled(request)
    assert all(
        value.get("__type__") == "update" and len(value) == 1 for value in before
    )  # nothing answers yet
    host.load()
    return tab, tab.sampled(request)


def test_the_page_opens_with_a_recorded_answer_where_its_model_has_one_and_nothing_lies_there() -> None:
    recordings, engine = Recordings(), ScriptedEngine(SCORE, DIAGNOSIS)
    tab, nothing = opened(recordings)  # what ships was said by another model
    assert all(len(value) == 1 for value in nothing)
    asked = last(ask(engine, assessment(load_photo(SAMPLE))))
    recordings.keep(engine.about, Sampling(), [str(SAMPLE)], asked)
    tab, shown = opened(recordings)
    table, status = shown[0], shown[1]["shown"]
    assert "a recorded reply of scripted" in status
    assert table["question"] == 0
    assert table["record"]["name"] == "cat_blurred.jpg"
    assert [picture["orig_name"] for picture in table["pictures"]] == ["cat_blurred.jpg"]
    tab.tables.turn_to("visitor", 1, "photo")
    request = gr.Request(session_hash="visitor", client=None, headers={})
    assert all(len(value) == 1 for value in tab.sampled(request))


def test_a_model_of_ones_own_is_asked_about_what_is_not_on_record() -> None:
    recordings, engine = Recordings(listens=False), ScriptedEngine(SCORE, DIAGNOSIS)
    asked = last(ask(engine, assessment(load_photo(SAMPLE))))
    recordings.keep(engine.about, Sampling(), [str(SAMPLE)], asked)
    requests = assessment(load_photo(SAMPLE))
    assert recordings.find(engine.about, Sampling(), requests, [str(SAMPLE)]) is None


# --- before the first word of a slow model ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("language", "looking", "reading"),
    [
        ("en", "Looking: layer 7 of 32 …", "Reading: layer 2 of 28, about 21 s left …"),
        ("zh-CN", "正在查看：第 7 层，共 32 层……", "正在阅读：第 2 层，共 28 层，约剩 21 秒……"),
        ("ja", "写真を見ています：32 層中 7 層目…", "読んでいます：28 層中 2 層目、残り約 21 秒…"),
    ],
)
@pytest.mark.parametrize("name", ["assess", "compare"])
def test_the_layer_and_the_time_left_of_a_slow_model_are_told_and_leave_nothing_behind(
    language: Language, looking: str, reading: str, name: str
) -> None:
    far = [
        Delta(0, "", 0, reading=Reading(Stage.LOOKING, 7, 32, 0.06)),
        Delta(0, "", 0, reading=Reading(Stage.READING, 2, 28, 0.4, 21.3)),
    ]
    host = Host(lambda progress: ScriptedEngine([*far, *SCORE], ["", "", *DIAGNOSIS]))
    host.load()
    page = build_page(host)
    tabs = {f.fn.__self__.name: f.fn.__self__ for f in page.fns.values() if f.name == "run"}
    subject: Any = str(SAMPLE) if name == "assess" else (str(SAMPLE), str(SAMPLE), None)
    seen = Seen(1, Words(language), running=True)
    states = list(tabs[name]._work(subject, Job("visitor")))
    told = [state.status(seen.words) for state in states]
    before, after = (next(n for n, said in enumerate(told) if words in said) for words in (looking, reading))
    assert before < after
    assert states[after].asked == ()
    spoken = [said for said, state in zip(told, states, strict=True) if any(one.text for one in state.asked)]
    assert len(spoken) > 3
    assert not any(words in said for said in spoken for words in ("layer", "層", "层"))
    if name == "assess":
        values = tabs[name]._values(states[after], seen, subject)
        assert {"stage": reading, "share": 0.4} in [value.get("shown") for value in values]
