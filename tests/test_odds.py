"""The chance of each word is what the model gave it where it wrote one, or nothing is shown."""

import math

import pytest

from qinsight.answers import Distortion, Severity
from qinsight.engines.checkpoint import Device
from qinsight.engines.local import LocalEngine
from qinsight.odds import Place, distortion_odds, expected_rating, rating_odds, severity_odds, spread_of
from qinsight.photos import load_photo
from shared.cameras import EXAMPLES
from shared.enumerated import expected_and_mean


def said(*pieces: str | tuple[str, dict[str, float]]) -> tuple[str, list[Place]]:
    """A reply from its tokens; a token with alternatives is a pair."""
    text, places = "", []
    for piece in pieces:
        token, others = (piece, {}) if isinstance(piece, str) else piece
        if others:
            places.append(Place(len(text), len(token), tuple(others.items())))
        text += token
    return text, places


def test_the_chances_of_whole_words_are_the_models_own_and_sum_to_one() -> None:
    text, places = said(
        '<think>a</think><answer>{"severity": "',
        ("slight", {"slight": 0.6, "moderate": 0.2, "obvious": 0.1, "serious": 0.06, "catastrophic": 0.04}),
        '"}</answer>',
    )
    odds = severity_odds(text, places)
    assert odds is not None
    assert list(odds) == list(Severity)
    assert odds["slight"] == pytest.approx(0.6)
    assert odds["catastrophic"] == pytest.approx(0.04)
    assert sum(odds.values()) == pytest.approx(1)


def test_what_is_no_severity_is_left_out_of_the_sum() -> None:
    text, places = said('{"severity": "', ("slight", {"slight": 0.6, "moderate": 0.2, "bad": 0.2}), '"}')
    odds = severity_odds(text, places)
    assert odds is not None
    assert odds["slight"] == pytest.approx(0.75)
    assert sum(odds.values()) == pytest.approx(1)


def test_words_that_begin_alike_are_told_apart_by_the_token_after() -> None:
    text, places = said(
        '{"severity": "',
        ("s", {"s": 0.8, "mod": 0.15, "obvious": 0.05}),
        ("erious", {"erious": 0.7, "light": 0.3}),
        '"}',
    )
    odds = severity_odds(text, places)
    assert odds is not None
    assert odds["serious"] == pytest.approx(0.8 * 0.7)
    assert odds["slight"] == pytest.approx(0.8 * 0.3)
    assert odds["moderate"] == pytest.approx(0.15)
    assert sum(odds.values()) == pytest.approx(1)


def test_a_shared_piece_on_a_path_not_taken_is_not_given_to_either_word() -> None:
    text, places = said('{"severity": "', ("mod", {"mod": 0.9, "s": 0.1}), 'erate"}')
    odds = severity_odds(text, places)
    assert odds is not None
    assert odds["slight"] == odds["serious"] == 0
    text, places = said('{"severity": "', ("mod", {"mod": 0.4, "s": 0.6}), 'erate"}')
    assert severity_odds(text, places) is None, "too little is known to be honest"


def test_one_letter_tokens_lead_to_the_same_chances() -> None:
    text, places = said(
        '{"distortion_class": "',
        ("n", {"n": 0.9, "b": 0.1}),
        ("o", {"o": 0.5, "u": 0.5}),
        'ise"}',
    )
    odds = distortion_odds(text, places)
    assert odds is not None
    assert list(odds) == [*Distortion, "null"]
    assert odds == pytest.approx({"noise": 0.45, "null": 0.45, "blur": 0.1, "compression": 0, "darken": 0})


@pytest.mark.parametrize(
    ("before", "token", "others"),
    [
        ('{"severity": ', '"slight', {'"slight': 0.7, '"moderate': 0.3, " null": 0.0}),
        ('{"severity"', ': "slight', {': "slight': 0.7, ': "moderate': 0.3}),
        ('{"severity": "', 'slight"', {'slight"': 0.7, 'moderate"': 0.3}),
        ('{"severity": "', 'slight"}</', {'slight"}</': 0.7, 'moderate",': 0.3}),
    ],
)
def test_quotes_glued_to_a_token_do_not_hide_the_word(
    before: str, token: str, others: dict[str, float]
) -> None:
    text, places = said(before, (token, others), '"' if '"' not in token[1:] else "")
    odds = severity_odds(text, places)
    assert odds is not None
    assert odds["slight"] == pytest.approx(0.7)
    assert odds["moderate"] == pytest.approx(0.3)


def test_a_word_without_the_quote_of_the_token_is_another_layout_and_does_not_count() -> None:
    others = {'"slight': 0.6, '"serious': 0.2, " serious": 0.2}
    odds = severity_odds(
        *said('{"severity":', (' "slight', {f" {token}": p for token, p in others.items()}), '"}')
    )
    assert odds is not None
    assert odds["serious"] == pytest.approx(0.25)


@pytest.mark.parametrize(
    "pieces",
    [
        (),
        ("no such field",),
        ('{"severity": "slight"}',),
        ('{"severity": ', ("null", {"null": 1.0}), "}"),
        ('{"severity": "', ("slight", {"bad": 0.6, "slight": 0.4}), '"}'),
        ('{"severity": "',),
        (("<think>", {"<think>": 1.0}), '{"severity": "slight"}'),
    ],
)
def test_without_alternatives_at_the_word_nothing_is_shown(pieces: tuple[str, ...]) -> None:
    assert severity_odds(*said(*pieces)) is None


def test_the_last_severity_counts_where_the_thinking_mentions_another() -> None:
    text, places = said(
        '<think>Perhaps {"severity": "serious"}.</think><answer>{"severity": "',
        ("slight", {"slight": 1.0}),
        '"}</answer>',
    )
    odds = severity_odds(text, places)
    assert odds is not None
    assert odds["slight"] == 1


# --- the rating the model might have written ----------------------------------------------------------------


def number(*tokens: tuple[str, dict[str, float]]) -> tuple[str, list[Place]]:
    """A score reply whose number is written by these tokens, each with its alternatives."""
    text, places = '<answer>{"rating": ', []
    for token, alternatives in tokens:
        places.append(Place(len(text), len(token), tuple(alternatives.items())))
        text += token
    return text + "}</answer>", places


def test_the_expected_rating_weighs_every_digit_the_model_might_have_written() -> None:
    text, places = number(
        ("3", {"3": 0.7, "4": 0.3}),
        (".", {".": 1.0}),
        ("9", {"9": 1.0}),
        ("8", {"8": 0.5, "6": 0.5}),
    )
    odds = rating_odds(text, places)
    assert odds is not None
    *written, other = odds
    assert written == [3.96, 3.98]
    assert odds[other] == pytest.approx(0.3)
    assert 4.0 < other < 4.1, "what follows a 4 beside 3.98 is hardly 98"


def test_a_number_of_one_token_counts_as_it_stands_in_each_alternative() -> None:
    text, places = number(("3.42", {"3.42": 0.5, "2.00": 0.3, "5": 0.2}))
    assert expected_rating(text, places) == pytest.approx(0.5 * 3.42 + 0.3 * 2 + 0.2 * 5)


def test_a_rating_beyond_the_scale_counts_as_its_end() -> None:
    text, places = number(("4", {"4": 0.5, "5": 0.3, "9": 0.2}), (".", {".": 1.0}), ("5", {"5": 1.0}))
    assert expected_rating(text, places) == pytest.approx(0.5 * 4.5 + 0.3 * 5 + 0.2 * 5)


def test_an_alternative_that_ends_the_number_ends_it() -> None:
    text, places = number(
        ("3", {"3": 1.0}), (".", {".": 1.0}), ("4", {"4": 1.0}), ("2", {"2": 0.5, "}": 0.5})
    )
    assert expected_rating(text, places) == pytest.approx(0.5 * 3.42 + 0.5 * 3.4)


def test_a_quote_glued_to_the_first_digit_is_looked_through() -> None:
    text = '<answer>{"rating": "3.5"}</answer>'
    start = text.index('"3')
    places = [
        Place(start, 2, (('"3', 0.5), ('"4', 0.5))),
        Place(start + 2, 1, ((".", 1.0),)),
        Place(start + 3, 1, (("5", 1.0),)),
    ]
    assert expected_rating(text, places) == pytest.approx(4.0)


@pytest.mark.parametrize(
    "alternatives",
    [{}, {"3": 0.2, "x": 0.1}, {"good": 0.9, "3": 0.1}],
    ids=["none", "little known", "no numbers"],
)
def test_where_little_is_known_no_expected_rating_is_made_up(alternatives: dict[str, float]) -> None:
    text, places = number(("3", alternatives))
    assert expected_rating(text, places) is None


def test_without_a_rating_there_is_no_expected_one() -> None:
    assert expected_rating("<answer>good</answer>", []) is None


# --- the odds of every rating -------------------------------------------------------------------------------


def digits_of(model: dict[str, float]) -> list[tuple[str, dict[str, float]]]:
    """The greedy tokens of a model that writes each of these numbers so often, digit by digit, with their alternatives."""
    tokens: list[tuple[str, dict[str, float]]] = []
    written = ""
    for place in range(4):
        left = {word: chance for word, chance in model.items() if word.startswith(written)}
        chances: dict[str, float] = {}
        for word, chance in left.items():
            chances[word[place]] = chances.get(word[place], 0.0) + chance / sum(left.values())
        best = max(chances, key=lambda token: chances[token])
        tokens.append((best, chances))
        written += best
    return tokens


@pytest.mark.parametrize(
    ("middle", "spread"), [(3.98, 0.2), (2.05, 0.3), (3.5, 0.45), (4.6, 0.15), (1.9, 0.7)]
)
def test_the_odds_are_near_those_of_the_model_though_one_way_through_its_digits_is_known(
    middle: float, spread: float
) -> None:
    numbers = [rating / 100 for rating in range(100, 500)]
    weights = [math.exp(-((number - middle) ** 2) / (2 * spread**2)) for number in numbers]
    model = {f"{one:.2f}": weight / sum(weights) for one, weight in zip(numbers, weights, strict=True)}
    tokens = digits_of(model)
    odds = rating_odds(*number(*tokens))
    assert odds is not None
    assert sum(odds.values()) == pytest.approx(1, abs=1e-9)
    assert list(odds) == sorted(odds)
    for digit, chance in tokens[0][1].items():
        known = sum(share for rating, share in odds.items() if int(rating) == int(digit))
        assert known == pytest.approx(chance, abs=1e-6)
    mean = sum(float(word) * chance for word, chance in model.items())
    assert expected_rating(*number(*tokens)) == pytest.approx(mean, abs=0.03)
    assert spread_of(odds) == pytest.approx(spread, rel=0.25)


def test_chances_of_the_last_digit_give_the_ratings_themselves() -> None:
    odds = rating_odds(*number(("3", {"3": 1.0}), (".", {".": 1.0}), ("4", {"4": 0.5, "5": 0.3, "1": 0.2})))
    assert odds == pytest.approx({3.1: 0.2, 3.4: 0.5, 3.5: 0.3})


def test_one_rating_written_in_two_ways_is_one_and_what_is_beyond_the_scale_its_end() -> None:
    odds = rating_odds(
        *number(("3", {"3": 0.5, "9": 0.3, "0": 0.2}), (".", {".": 0.6, "}": 0.4}), ("0", {"0": 1.0}))
    )
    assert odds == pytest.approx({1.0: 0.2, 3.0: 0.5, 5.0: 0.3})


def test_where_little_is_known_there_are_no_odds() -> None:
    assert rating_odds(*number(("3", {"3": 0.2, "x": 0.1}))) is None
    assert rating_odds("<answer>good</answer>", []) is None


def test_what_one_way_through_the_digits_tells_is_near_the_mean_over_every_rating_the_model_might_write() -> (
    None
):
    engine = LocalEngine.open("preview", Device.CPU)
    for photo in sorted(EXAMPLES.glob("*.jpg"))[:4]:
        expected, mean = expected_and_mean(engine, load_photo(photo))
        assert expected == pytest.approx(mean, abs=0.06)
