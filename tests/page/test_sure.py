"""How far an answer can be trusted, as people meet it in Assess, in its JSON, on its card and in the API."""

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from PIL import Image, ImageEnhance

from qinsight.assess import Asked, ask, assessment, last
from qinsight.engines.checkpoint import PREVIEW, Device
from qinsight.engines.local import LocalEngine
from qinsight.page import build_page
from qinsight.page.api import BadCall, checked
from qinsight.page.assess_tab import SAMPLE, AssessTab
from qinsight.page.card import card, told
from qinsight.page.host import Host
from qinsight.page.record import assessed
from qinsight.page.recordings import Recordings
from qinsight.page.result import (
    Frame,
    Sure,
    answer_values,
    between,
    cues_value,
    gauge_value,
    reasons_checked,
    reasons_value,
)
from qinsight.page.words import ENGLISH, Language, Words
from qinsight.photos import load_photo
from qinsight.prompts import Task
from qinsight.requests import About, Sampling
from qinsight.trust.calibration import Calibration
from qinsight.trust.claims import check_reasons
from qinsight.trust.confidence import calibration_for, confidence
from shared.api import Page
from shared.axe import violations
from shared.engines import DIAGNOSIS, SCORE, ScriptedEngine
from shared.pages import served
from shared.places import REPOSITORY

CAT = REPOSITORY / "examples" / "photos" / "cat.jpg"
ORDINARY = Frame((640, 480), (640, 476))


def known(about: About) -> Calibration | None:
    """As `app.py` finds it for the preview."""
    return calibration_for(about, "preview")


@pytest.fixture(scope="module")
def preview() -> LocalEngine:
    return LocalEngine.open("preview", Device.CPU)


@pytest.fixture(scope="module")
def asked(preview: LocalEngine) -> list[Asked]:
    """What the preview says of a blurred cat, as it is recorded."""
    photo = load_photo(SAMPLE)
    found = Recordings().find(preview.about, Sampling(), assessment(photo), [str(SAMPLE)])
    assert found is not None
    return found


@pytest.fixture(scope="module")
def sure(preview: LocalEngine, asked: list[Asked]) -> list[Sure]:
    return [confidence(known(preview.about), one) for one in asked]


# --- the interval beside the rating ----------------------------------------------------------------------------


BLUR = json.loads((PREVIEW / "calibration.json").read_text())["classes"]["blur"]


def shown(asked: list[Asked], frame: Frame | None, words: Words, sure: list[Sure]) -> tuple[Any, Any]:
    gauge, band, *_ = answer_values(asked, frame, words, "", None, running=False, sure=sure)
    return gauge, band


def test_the_interval_stands_at_the_scale_with_the_photographs_it_holds_for_in_every_language(
    asked: list[Asked], sure: list[Sure]
) -> None:
    assert sure[0] is not None
    low, high = sure[0]["interval"]
    for language in Language:
        gauge, band = shown(asked, ORDINARY, Words(language), sure)
        assert gauge["interval"] == [low, high]
        line, holds = gauge["sure"]
        assert f"{low:.1f}" in line
        assert f"{high:.1f}" in line
        assert "840 views of 35 held-out photographs" in holds
        assert all(str(count) in band["sure"][0] for count in BLUR)  # right, and named
        assert "840 views" in band["why"]["lines"][-1]


def test_without_a_calibration_nothing_is_called_confidence(asked: list[Asked]) -> None:
    gauge, band = shown(asked, ORDINARY, ENGLISH, [None, None])
    assert (gauge["interval"], gauge["sure"], band["sure"]) == ([], [], [])
    record = assessed(ENGLISH, "a.jpg", asked, "scripted", ORDINARY)
    assert "app_confidence" not in record["json"]
    assert "nine times" not in record["text"]


def test_of_a_photo_too_small_to_judge_no_interval_is_shown(asked: list[Asked], sure: list[Sure]) -> None:
    gauge, band = shown(asked, Frame((90, 90), (84, 84)), ENGLISH, sure)
    assert (gauge["interval"], gauge["sure"], band["sure"]) == ([], [], [])


def test_a_reply_that_is_sampled_or_cannot_be_read_has_no_interval(
    preview: LocalEngine, asked: list[Asked]
) -> None:
    host = Host(lambda progress: preview, calibration=known)
    host.load()
    assert host.sure(asked[0], Sampling()) is not None
    assert host.sure(asked[0], Sampling(temperature=1.0)) is None
    mumbled = last(ask(ScriptedEngine(["<answer>mumble</answer>"]), assessment(Image.new("RGB", (56, 56)))))
    assert [host.sure(one, Sampling()) for one in mumbled] == [None, None]
    assert gauge_value(mumbled[0])["words"] == "No answer"


def test_what_is_taken_home_has_the_field_of_the_command_line(asked: list[Asked], sure: list[Sure]) -> None:
    record = assessed(Words(Language.JAPANESE), "a.jpg", asked, "preview", ORDINARY, sure=sure)
    score, diagnosis = json.loads(record["json"])
    assert score["app_confidence"] == sure[0]
    assert diagnosis["app_confidence"] == sure[1]
    assert between(sure[0], Words(Language.JAPANESE)) in record["text"]


def test_the_card_draws_the_interval_and_says_for_which_photographs(
    asked: list[Asked], sure: list[Sure]
) -> None:
    plain, known = (
        told(assessed(ENGLISH, "a.jpg", asked, "preview", ORDINARY, sure=one)["json"])
        for one in ([None, None], sure)
    )
    assert sure[0] is not None
    assert (plain.interval, known.interval) == (None, tuple(sure[0]["interval"]))
    photo = Image.new("RGB", (300, 200))
    drawn = [card(what, photo, ENGLISH, [], date(2026, 11, 26)) for what in (plain, known)]
    assert drawn[1].height > drawn[0].height


@pytest.mark.parametrize(
    "rubbish",
    [
        7,
        [],
        {},
        {"interval": [1, 9], "holds_for": ""},
        {"interval": [4, 2], "holds_for": ""},
        {"interval": [2, 3]},
    ],
)
def test_a_card_with_an_interval_that_is_none_is_refused_in_a_sentence(
    asked: list[Asked], rubbish: Any
) -> None:
    lines = json.loads(assessed(ENGLISH, "a.jpg", asked, "preview", ORDINARY)["json"])
    lines[0]["app_confidence"] = rubbish
    with pytest.raises(Exception, match="Expected a finished answer on the table"):
        told(json.dumps(lines))


# --- reasons that are checked -----------------------------------------------------------------------------------

THOUGHT = "The image is noisy. It is 🙂 sharp, and very dark. I like cats."


def thought(words: str) -> Asked:
    script = [f"<think>{words}</think><answer>", '{"rating": 3}', "</answer>"]
    return last(ask(ScriptedEngine(script), assessment(Image.new("RGB", (56, 56)), [Task.SCORE])))[0]


def test_each_sentence_that_claims_something_has_the_apps_sign_and_the_models_words_stay() -> None:
    one, photo = thought(THOUGHT), ImageEnhance.Brightness(load_photo(CAT)).enhance(1.5)
    reasons = check_reasons(THOUGHT, photo)
    for language in Language:
        drawn = reasons_value(one, reasons, Words(language), False)
        assert "".join(piece[0] for piece in drawn["pieces"]) == THOUGHT
    drawn = reasons_value(one, reasons, ENGLISH, False)
    signed = {piece[0]: piece[1:] for piece in drawn["pieces"] if len(piece) > 1}
    assert [*signed] == ["The image is noisy.", "It is 🙂 sharp, and very dark."]
    sign, found, lines = signed["It is 🙂 sharp, and very dark."]
    assert (sign, found) == ("✗", "contradicted by the pixels")  # of two claims the worse one counts
    assert len(lines) == 2
    assert any(line.startswith("contradicted by the pixels: mean luminance ") for line in lines)
    assert drawn["line"].startswith("The app notes: Of 3 claims")
    assert "Faithfulness: " in drawn["line"]


def test_the_digits_of_the_preview_are_claims_too_and_their_sign_stands_at_their_bars(
    asked: list[Asked],
) -> None:
    photo = load_photo(SAMPLE)
    checked = [check_reasons(one.reply.thinking, photo) for one in asked]
    cues = {cue["name"]: cue["what"] for cue in cues_value(asked, ENGLISH, checked)["cues"]}
    assert "supported by the pixels: the strongest edges rise" in cues["sharpness ✓"]
    assert "grain" in cues  # nothing is claimed there
    drawn = reasons_value(asked[0], checked[0], ENGLISH, False)
    assert drawn["pieces"][1][0] == "Edges are smeared wide and no fine detail is left."


def test_a_reasoning_without_a_claim_and_one_that_was_stopped_are_plain_words() -> None:
    one = thought("I like cats.")
    assert (
        reasons_value(one, check_reasons("I like cats.", load_photo(CAT)), ENGLISH, False) == "I like cats."
    )
    assert reasons_value(thought(THOUGHT), None, ENGLISH, False) == THOUGHT


def test_what_was_checked_is_taken_home_beside_the_models_words(asked: list[Asked]) -> None:
    checked = [check_reasons(one.reply.thinking, load_photo(SAMPLE)) for one in asked]
    plain, noted = (
        assessed(ENGLISH, "a.jpg", asked, "preview", ORDINARY, checked=one) for one in ((), checked)
    )
    for before, line, reasons in zip(
        json.loads(plain["json"]), json.loads(noted["json"]), checked, strict=True
    ):
        assert line.pop("reasons") == json.loads(json.dumps(reasons.as_json()))
        assert line == before
    assert "The app notes: Of " in noted["text"]


# --- on a served page -------------------------------------------------------------------------------------------


def opened(preview: LocalEngine) -> list[Any]:
    """What the page shows when it is opened: a recorded answer of the preview."""
    host = Host(lambda progress: preview, recordings=Recordings(), calibration=known)
    host.load()
    page = build_page(host)
    tab: AssessTab = next(f.fn.__self__ for f in page.fns.values() if f.name == "sampled")
    return tab.sampled(gr.Request(session_hash="visitor", client=None, headers={}))


def test_the_page_opens_with_an_answer_that_says_how_sure_it_is(preview: LocalEngine) -> None:
    record, *parts = opened(preview)
    score, _ = json.loads(record["record"]["json"])
    assert score["app_confidence"]["holds_for"].startswith("840 views")
    assert score["reasons"]["faithfulness"] is not None
    gauge = next(
        part["shown"] for part in parts if isinstance(part["shown"], dict) and "interval" in part["shown"]
    )
    assert gauge["interval"] == score["app_confidence"]["interval"]


@pytest.fixture
def url(preview: LocalEngine) -> Iterator[str]:
    with served(preview, calibration=known) as address:
        yield address


def test_the_api_answers_with_the_field_of_the_command_line(url: str, preview: LocalEngine) -> None:
    page = Page(url, Host(lambda progress: preview), None)
    photo = page.upload(CAT)
    scored = page.answers("score", photo)[-1]
    asked = last(ask(preview, assessment(load_photo(CAT))))
    assert scored["app_confidence"] == confidence(known(preview.about), asked[0])
    assert page.answers("diagnose", photo)[-1]["app_confidence"]["named"] >= 10
    assert "reasons" not in scored
    told = page.answers("score", photo, 1, None, 42, None, True)[-1]["reasons"]
    assert told == json.loads(
        json.dumps(reasons_checked(asked, load_photo(CAT), preview.about.max_pixels)[0].as_json())
    )
    assert "app_confidence" not in page.answers("score", photo, 2)[-1]  # of samples nothing is known
    (row,) = page.answers("rank", [photo])[-1]["photos"]
    assert [row["app_low"], row["app_high"]] == scored["app_confidence"]["interval"]
    assert row["app_heap"] is None
    (row,) = page.answers("rank", [photo], None, 0.1, 3.5)[-1]["photos"]
    assert row["app_heap"] == "accept"


def test_check_reasons_is_true_or_false() -> None:
    with pytest.raises(BadCall, match="true or false"):
        checked("score", {"photo": "data:image/png;base64,AAAA", "check_reasons": 1})


@pytest.mark.parametrize(
    ("bound", "told"),
    [
        ((0.1, None), "together"),
        ((None, 3.5), "together"),
        ((0.7, 3.5), "below 0.5"),
        ((0.1, 6), "up to 5"),
        (("a", 3), "number"),
        ((True, 3), "number"),
    ],
)
def test_a_bound_that_makes_no_sense_is_told_before_anyone_waits(bound: tuple[Any, Any], told: str) -> None:
    with pytest.raises(BadCall, match=told):
        checked("rank", [["data:image/png;base64,AAAA"], None, *bound])


@pytest.mark.browser
def test_signs_open_by_key_and_axe_finds_no_fault(url: str, browser: Any) -> None:
    page = browser.new_context().new_page()
    page.set_default_timeout(30_000)
    page.goto(url)
    page.wait_for_selector("#headline p:has-text('Preview model')")
    page.locator("#examples button").nth(3).click()
    page.locator("#score-words summary").first.focus()
    assert page.locator("#gauge .qi-between").count() == 1
    assert "nine times in ten" in page.locator("#gauge").inner_text()
    page.keyboard.press("Enter")
    assert "supported by the pixels: the strongest edges rise" in page.locator("#score-words").inner_text()
    page.wait_for_selector("#assess:enabled")
    assert violations(page) == []
    page.context.close()


def test_a_page_without_a_calibration_answers_as_before(tmp_path: Path) -> None:
    host = Host(lambda progress: ScriptedEngine(SCORE, DIAGNOSIS))
    host.load()
    assert host.calibration is None
    found = last(ask(ScriptedEngine(SCORE, DIAGNOSIS), assessment(Image.new("RGB", (56, 56)))))
    assert host.sure(found[0], Sampling()) is None


def test_a_calibration_of_other_weights_is_told_instead_of_a_wrong_interval(tmp_path: Path) -> None:
    chosen = REPOSITORY / "qinsight" / "preview" / "calibration.json"
    host = Host(
        lambda progress: ScriptedEngine(SCORE), calibration=lambda about: calibration_for(about, "", chosen)
    )
    host.load()
    assert "This calibration is of other weights" in str(host.status)
    assert "校准" in Words(Language.CHINESE).remark(host.status)
