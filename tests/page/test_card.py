"""The card: one picture of a photo and its answer, whatever is sent to be drawn and whatever fonts there are."""

import json
from datetime import date
from typing import Any

import pytest
from PIL import Image, ImageChops

from qinsight.errors import QInsightError
from qinsight.page import card as cards
from qinsight.page.card import PHOTO, WIDTH, Told, card, told
from qinsight.page.words import ENGLISH, Language, Words

DAY = date(2026, 11, 26)
SCORED: dict[str, Any] = {
    "photo": "cat.jpg",
    "rating": 1.61,
    "thinking": "Soft.",
    "model": "scripted",
    "error": None,
}
FOUND: dict[str, Any] = {
    "distortion_class": "blur",
    "severity": "serious",
    "thinking": "Wide edges.",
    "error": None,
}


def drawn(
    answer: list[dict[str, Any]], size: tuple[int, int] = (300, 200), words: Words = ENGLISH
) -> Image.Image:
    return card(told(json.dumps(answer)), Image.new("RGB", size, (200, 10, 30)), words, [], DAY)


def test_a_card_has_the_whole_photo_and_writes_below_it() -> None:
    for size in ((300, 200), (4000, 300), (300, 4000), (9, 9)):
        made = drawn([SCORED, FOUND], size)
        assert made.width == WIDTH
        assert 500 < made.height <= PHOTO + 700
        red = made.crop((0, 0, WIDTH, PHOTO)).getcolors(WIDTH * PHOTO)
        shown = min(1, WIDTH / size[0], PHOTO / size[1])
        area = round(size[0] * shown) * round(size[1] * shown)
        assert red is not None
        assert sum(n for n, colour in red if colour == (200, 10, 30)) == pytest.approx(area, rel=0.05)
    different = drawn([{**SCORED, "rating": 4.2}, FOUND])
    assert ImageChops.difference(drawn([SCORED, FOUND]), different).getbbox() is not None


def test_a_card_of_what_could_not_be_read_says_what_there_is() -> None:
    mumbled = {**SCORED, "rating": None, "error": "Expected a rating."}
    assert told(json.dumps([mumbled, FOUND])).rating is None
    assert drawn([mumbled, {**FOUND, "error": "Expected a class.", "thinking": None}]).width == WIDTH


def test_no_name_and_no_thinking_makes_a_card_without_end() -> None:
    endless = {**SCORED, "photo": "n" * 20_000, "thinking": "many words " * 3000, "model": "m" * 9000}
    assert drawn([endless, {**FOUND, "thinking": "W" * 30_000}]).height <= PHOTO + 900


@pytest.mark.parametrize(
    "answer",
    [
        None,
        7,
        "",
        "rubbish",
        "[]",
        "{}",
        "[1, 2]",
        "[" * 50_000,
        json.dumps([SCORED]),
        json.dumps([{**SCORED, "rating": 9}, FOUND]),
        json.dumps([{**SCORED, "rating": True}, FOUND]),
        json.dumps([{**SCORED, "rating": "4"}, FOUND]),
        json.dumps([{**SCORED, "rating": float("nan")}, FOUND]),
        json.dumps([SCORED, {**FOUND, "distortion_class": "haze"}]),
        json.dumps([SCORED, {**FOUND, "severity": ["serious"]}]),
        json.dumps([SCORED, {**FOUND, "thinking": "x" * 200_000}]),
    ],
    ids=lambda answer: str(answer)[:30],
)
def test_anything_else_than_an_answer_is_refused_in_a_sentence(answer: Any) -> None:
    with pytest.raises(QInsightError, match="Expected a finished answer on the table"):
        told(answer)


def test_where_no_font_has_the_letters_a_sentence_says_so_and_no_box_is_drawn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cards, "FONTS", ())  # Pillow's own is left, which is Latin
    written: list[str] = []
    real = cards._lines
    monkeypatch.setattr(cards, "_lines", lambda text, *a: written.append(text) or real(text, *a))
    what = Told(
        "猫.jpg", told(json.dumps([SCORED, FOUND])).rating, None, ("ぼけています。",), ("Small.",), "scripted"
    )
    card(what, Image.new("RGB", (30, 20)), Words(Language.JAPANESE), ["小さい"], DAY)
    assert written[0] == "Poor."
    assert "The app notes: Small." in written
    assert "In English, as this computer has no font for Japanese." in written
    assert written.count("(in letters for which this computer has no font)") == 1
    assert written[-1] == "(in letters for which this computer has no font) · scripted · 2026-11-26"
    assert all(text.isascii() or "·" in text for text in written)
