"""Photos go in, growing assessments come out; nothing counts before it is finished."""

from collections.abc import Callable

import pytest
from PIL import Image

from qinsight.answers import Answer, Clean, Comparison, Degradation, Distortion, Score, Severity, Winner
from qinsight.assess import Asked, ask, assessment, comparison, described, last, summary, verdict
from qinsight.errors import EngineError
from qinsight.prompts import Task
from qinsight.requests import Delta, Finish, Request, Sampling
from shared.engines import ScriptedEngine

PHOTO, OTHER, REFERENCE = (Image.new("RGB", (56, 56), colour) for colour in ("red", "green", "blue"))
SCORE = ["<think>so", "ft</think><an", 'swer>{"rating": 3.', "95}</answer>"]
DEGRADATION = ["<think>soft</think>", '<answer>{"distortion_class": "blur", "severity": "slight"}</answer>']


def says(words: str) -> list[str]:
    return [f"<think>x</think><answer>{words}</answer>"]


def asked(*scripts: list[str], requests: list[Request], finish: Finish = Finish.STOP) -> tuple[Asked, ...]:
    return last(ask(ScriptedEngine(*scripts, finish=finish), requests))


def test_states_grow_with_the_words_and_only_the_finished_one_has_an_answer() -> None:
    states = list(ask(ScriptedEngine(SCORE), assessment(PHOTO, [Task.SCORE])))
    assert [state[0].text for state in states] == ["".join(SCORE[: n + 1]) for n in range(4)]
    assert [state[0].tokens for state in states] == [1, 2, 3, 4]
    assert [state[0].answer for state in states] == [None, None, None, Score(3.95)]
    assert [state[0].error for state in states] == [None] * 4
    assert [state[0].reply.thinking for state in states] == ["so", "soft", "soft", "soft"]
    seconds = [state[0].seconds for state in states]
    assert seconds == sorted(seconds)


def test_score_and_diagnosis_of_a_photo_are_asked_together_of_the_same_photo() -> None:
    engine = ScriptedEngine(SCORE, DEGRADATION)
    score, degradation = last(ask(engine, assessment(PHOTO), Sampling(seed=7), max_pixels=50_000))
    assert score.answer == Score(3.95)
    assert degradation.answer == Degradation(Distortion.BLUR, Severity.SLIGHT)
    ((requests, sampling, max_pixels),) = engine.asked
    assert requests[0].photos[0] is requests[1].photos[0]
    assert (sampling.seed, max_pixels) == (7, 50_000)


def test_one_reply_may_be_finished_while_another_still_grows() -> None:
    states = list(ask(ScriptedEngine(SCORE, DEGRADATION), assessment(PHOTO)))
    middle = next(state for state in states if state[1].finish)
    assert middle[1].answer is not None
    assert middle[0].answer is None


def test_a_reply_cut_by_the_token_limit_is_an_error_and_no_answer() -> None:
    (one,) = asked(SCORE[:3], requests=assessment(PHOTO, [Task.SCORE]), finish=Finish.LENGTH)
    assert one.answer is None
    assert one.error is not None
    assert one.error.startswith("The reply was cut after 3 tokens, before its answer.")


def test_a_reply_that_rambles_after_its_answer_until_it_is_cut_has_answered() -> None:
    (one,) = asked([*SCORE, " And"], requests=assessment(PHOTO, [Task.SCORE]), finish=Finish.LENGTH)
    assert isinstance(one.answer, Score)
    assert one.answer.rating == 3.95
    assert one.error is None


def test_an_unreadable_reply_says_why() -> None:
    (one,) = asked(says("four"), requests=assessment(PHOTO, [Task.SCORE]))
    assert one.answer is None
    assert one.error == "Expected one rating from 1 to 5; the model said 'four'."


def test_closing_the_question_stops_the_model() -> None:
    engine = ScriptedEngine(SCORE)
    stream = engine.stream(assessment(PHOTO, [Task.SCORE]))
    engine.stream = lambda *_, **__: stream  # type: ignore[method-assign]  # held here, so no accident closes it
    states = ask(engine, assessment(PHOTO, [Task.SCORE]))
    next(states)
    assert engine.closed == 0
    states.close()  # type: ignore[attr-defined]
    assert engine.closed == 1


def test_a_failing_engine_is_closed_and_its_reason_reaches_the_caller() -> None:
    engine = ScriptedEngine([Delta(5, "for a request nobody made")])
    with pytest.raises(IndexError):
        last(ask(engine, assessment(PHOTO, [Task.SCORE])))
    assert engine.closed == 1


def test_a_model_that_falls_silent_is_an_error_and_no_answer() -> None:
    script = [Delta(0, "<think>so"), Delta(0, "ft")]
    with pytest.raises(EngineError, match="fell silent before its reply was finished"):
        last(ask(ScriptedEngine(script), assessment(PHOTO, [Task.SCORE])))


def test_a_late_delta_does_not_reopen_a_finished_reply() -> None:
    script = [Delta(0, says('{"rating": 3}')[0], finish=Finish.STOP), Delta(0, "", tokens=0)]
    (one,) = last(ask(ScriptedEngine(script), assessment(PHOTO, [Task.SCORE])))
    assert one.answer == Score(3)


def test_the_chances_beside_the_answers_tokens_become_odds() -> None:
    script = [
        Delta(0, '<think>x</think><answer>{"distortion_class": "'),
        Delta(0, "blur", alternatives=(("blur", 0.75), ("noise", 0.25))),
        Delta(0, '", "severity": "'),
        Delta(0, "slight", alternatives=(("slight", 0.5), ("obvious", 0.5))),
        Delta(0, '"}</answer>', finish=Finish.STOP),
    ]
    (one,) = last(ask(ScriptedEngine(script), assessment(PHOTO, [Task.DEGRADATION])))
    assert one.distortion_odds is not None
    assert one.severity_odds is not None
    assert one.distortion_odds["blur"] == 0.75
    assert one.severity_odds["obvious"] == 0.5


# --- verdicts ----------------------------------------------------------------------------------------------------


def test_without_a_reference_both_orders_are_asked() -> None:
    first, second = comparison(PHOTO, OTHER)
    assert first.photos == (PHOTO, OTHER)
    assert second.photos == (OTHER, PHOTO)
    (only,) = comparison(PHOTO, OTHER, REFERENCE)
    assert only.photos == (REFERENCE, PHOTO, OTHER)
    assert only.reference


@pytest.mark.parametrize(
    ("first", "second", "winner", "words"),
    [
        ("Image A", "Image B", Winner.A, "Photo A is better, in both orders."),
        ("Image B", "Image A", Winner.B, "Photo B is better, in both orders."),
        ("Image A", "Image A", None, "Too close, or order-dependent"),
        ("Image B", "Image B", None, "Too close, or order-dependent"),
        ("Similar", "Similar", Winner.SIMILAR, "About equally good, in both orders."),
        ("Image A", "Similar", None, "Too close, or order-dependent"),
    ],
)
def test_a_winner_is_named_only_where_both_orders_agree(
    first: str, second: str, winner: Winner | None, words: str
) -> None:
    found = verdict(asked(says(first), says(second), requests=comparison(PHOTO, OTHER)))
    assert found is not None
    assert found.winner is winner
    assert found.sentence.startswith(words)


def test_against_a_reference_one_order_decides() -> None:
    found = verdict(asked(says("Image B"), requests=comparison(PHOTO, OTHER, REFERENCE)))
    assert found is not None
    assert found.sentence == "Photo B is better, against the reference."


@pytest.mark.parametrize("words", [("Image A", "both"), ("both", "Image B")])
def test_an_unreadable_order_leaves_no_verdict(words: tuple[str, str]) -> None:
    assert verdict(asked(says(words[0]), says(words[1]), requests=comparison(PHOTO, OTHER))) is None


# --- samples ------------------------------------------------------------------------------------------------------


def test_samples_of_a_score_come_to_mean_and_spread_and_the_unreadable_are_counted() -> None:
    requests = assessment(PHOTO, [Task.SCORE]) * 4
    ratings = [says(words) for words in ('{"rating": 3}', '{"rating": 4}', "four", '{"rating": 5}')]
    found = summary(asked(*ratings, requests=requests))
    assert (found.readable, found.asked, found.rating) == (3, 4, 4.0)
    assert found.spread == pytest.approx((2 / 3) ** 0.5)
    assert found.answer is None


def test_samples_of_a_diagnosis_come_to_the_most_frequent_one_whatever_its_layout() -> None:
    requests = assessment(PHOTO, [Task.DEGRADATION]) * 4
    words = [
        '{"distortion_class": "blur", "severity": "slight"}',
        '{"distortion_class": "Blur", "severity": "slight"}',
        '{"distortion_class": "null", "severity": "null"}',
        "no idea",
    ]
    found = summary(asked(*map(says, words), requests=requests))
    assert found.answer == Degradation(Distortion.BLUR, Severity.SLIGHT)
    assert (found.readable, found.asked) == (3, 4)
    assert found.agreement == pytest.approx(2 / 3)


def test_samples_that_cannot_be_read_come_to_nothing() -> None:
    found = summary(asked(says("four"), requests=assessment(PHOTO, [Task.SCORE]) * 3))
    assert (found.readable, found.asked, found.rating, found.spread, found.answer) == (0, 3, None, None, None)


@pytest.mark.parametrize(
    ("answer", "fields"),
    [
        (Score(4.25), {"rating": 4.25}),
        (
            Degradation(Distortion.NOISE, Severity.SERIOUS),
            {"distortion_class": "noise", "severity": "serious"},
        ),
        (Clean(), {"distortion_class": "null", "severity": "null"}),
        (Comparison(Winner.SIMILAR), {"winner": "Similar"}),
        (None, {}),
    ],
)
def test_an_answer_is_described_in_the_words_of_the_question(
    answer: Answer | None, fields: dict[str, object]
) -> None:
    assert described(answer) == fields


@pytest.mark.parametrize(
    "build",
    [
        lambda: Request(Task.SCORE, ()),
        lambda: Request(Task.SCORE, (PHOTO, OTHER)),
        lambda: Request(Task.COMPARISON, (PHOTO,)),
        lambda: Request(Task.COMPARISON, (PHOTO, OTHER), reference=True),
        lambda: Request(Task.DEGRADATION, (PHOTO,), reference=True),
        lambda: Sampling(max_new_tokens=0),
        lambda: Sampling(temperature=-1),
        lambda: Sampling(temperature=float("nan")),
        lambda: Sampling(temperature=1e-30),
        lambda: Sampling(seed=-1),
        lambda: Sampling(top_p=0),
        lambda: Sampling(repetition_penalty=0),
    ],
)
def test_a_question_that_makes_no_sense_is_a_mistake_of_the_caller(build: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match="expected"):
        build()
