"""What the published reward functions pay, as a table of layouts, beside what only clean replies earn."""

import random

import pytest

from qinsight.answers import Clean, Comparison, Degradation, Distortion, Severity, Winner
from qinsight.prompts import Task
from training.data.examples import Rated, Target
from training.published import find_answer, has_layout
from training.rewards import Accuracy, Layout, format_reward, reader, task_reward

S, D, C = Task.SCORE, Task.DEGRADATION, Task.COMPARISON
R = '{"rating": 3.1}'
B = '{"distortion_class": "blur", "severity": "serious"}'


def framed(answer: str) -> str:
    return f"<think>\nsoft\n</think>\n<answer>\n{answer}\n</answer>"


# Name, task, truth, reply; then (accuracy, format) as the published functions gave them on 2026-11-26, run as they
# are, and the same with --accuracy clean.
LAYOUTS = [
    ("as asked", S, 3.0, framed(R), (1, 1), (1, 1)),
    ("one line", S, 3.0, f"<think> soft </think><answer> {R} </answer>", (1, 0), (1, 0)),
    ("closing tag indented", S, 3.0, f"<think>\nsoft\n</think>\n<answer>\n{R}\n  </answer>", (1, 1), (1, 0)),
    (
        "thinking's closing tag indented",
        S,
        3.0,
        f"<think>\nsoft\n  </think>\n<answer>\n{R}\n</answer>",
        (1, 1),
        (1, 0),
    ),
    ("object indented", S, 3.0, f"<think>\nsoft\n</think>\n<answer>\n  {R}\n</answer>", (1, 0), (1, 0)),
    (
        "blank lines",
        S,
        3.0,
        f"<think>\n\nsoft\n\n</think>\n\n<answer>\n\n{R}\n\n</answer>\n\n",
        (1, 1),
        (1, 1),
    ),
    ("words before <think>", S, 3.0, "Sure. " + framed(R), (1, 0), (0, 0)),
    ("a blank before <think>", S, 3.0, " " + framed(R), (1, 0), (1, 1)),
    ("words after </answer>", S, 3.0, framed(R) + " That is all.", (1, 0), (0, 0)),
    ("no <think>", S, 3.0, f"<answer>\n{R}\n</answer>", (1, 0), (0, 0)),
    ("no </think>", S, 3.0, f"<think>\nsoft\n<answer>\n{R}\n</answer>", (1, 0), (0, 0)),
    ("no <answer>", S, 3.0, f"<think>\nsoft\n</think>\n{R}", (0, 0), (0, 0)),
    ("no </answer>", S, 3.0, f"<think>\nsoft\n</think>\n<answer>\n{R}", (0, 0), (0, 0)),
    (
        "tags in capitals",
        S,
        3.0,
        framed(R).replace("think", "THINK").replace("answer", "ANSWER"),
        (0, 0),
        (0, 0),
    ),
    ("code fence", S, 3.0, framed(f"```json\n{R}\n```"), (1, 0), (0, 0)),
    ("words around the object", S, 3.0, framed(f"My rating is {R} today"), (1, 0), (0, 0)),
    ("trailing comma", S, 3.0, framed('{"rating": 3.1,}'), (1, 1), (0, 1)),
    ("single quotes", S, 3.0, framed("{'rating': 3.1}"), (0, 1), (0, 1)),
    ("no quotes", S, 3.0, framed("{rating: 3.1}"), (0, 1), (0, 1)),
    ("quoted number", S, 3.0, framed('{"rating": "3.1"}'), (0, 1), (0, 1)),
    ("number alone", S, 3.0, framed("3.1"), (0, 0), (0, 0)),
    ("out of five", S, 3.0, framed('{"rating": 3.1/5}'), (1, 1), (0, 1)),
    ("negative", S, 3.0, framed('{"rating": -3.1}'), (0, 1), (0, 1)),
    ("two points", S, 3.0, framed('{"rating": 3.1.2}'), (0, 1), (0, 1)),
    ("another key", S, 3.0, framed('{"score": 3.1}'), (0, 1), (0, 1)),
    ("a key beside it", S, 3.0, framed('{"rating": 3.1, "why": "soft"}'), (1, 1), (1, 1)),
    ("nested", S, 3.0, framed('{"answer": {"rating": 3.1}}'), (1, 0), (0, 0)),
    ("rated twice, first right", S, 3.0, framed('{"rating": 3.1}\n{"rating": 5.0}'), (1, 0), (0, 0)),
    (
        "two answers, first right",
        S,
        3.0,
        framed(R) + '\n<answer>\n{"rating": 5.0}\n</answer>',
        (1, 0),
        (0, 0),
    ),
    (
        "two answers, last right",
        S,
        3.0,
        framed('{"rating": 5.0}') + f"\n<answer>\n{R}\n</answer>",
        (0, 0),
        (0, 0),
    ),
    ("the whole reply twice", S, 3.0, framed(R) + "\n" + framed(R), (1, 1), (0, 0)),
    (
        "a tag named in the thinking",
        S,
        3.0,
        f"<think>\nin <answer> tags\n</think>\n<answer>\n{R}\n</answer>",
        (1, 1),
        (0, 0),
    ),
    ("above the scale, near the MOS", S, 5.0, framed('{"rating": 5.2}'), (1, 1), (0, 1)),
    ("on a scale of a hundred", S, 3.0, framed('{"rating": 52}'), (0, 1), (0, 1)),
    ("just too far", S, 3.0, framed('{"rating": 3.36}'), (0, 1), (0, 1)),
    ("wrong, well laid out", S, 3.0, framed('{"rating": 4.8}'), (0, 1), (0, 1)),
    ("empty answer", S, 3.0, "<think>\nsoft\n</think>\n<answer>\n\n</answer>", (0, 0), (0, 0)),
    ("nothing", S, 3.0, "", (0, 0), (0, 0)),
    ("diagnosis as asked", D, ("blur", "serious"), framed(B), (1, 1), (1, 1)),
    (
        "diagnosis on one line",
        D,
        ("blur", "serious"),
        f"<think> soft </think><answer> {B} </answer>",
        (1, 0),
        (1, 0),
    ),
    ("diagnosis in a code fence", D, ("blur", "serious"), framed(f"```json\n{B}\n```"), (1, 0), (0, 0)),
    (
        "severity first",
        D,
        ("blur", "serious"),
        framed('{"severity": "serious", "distortion_class": "blur"}'),
        (0, 1),
        (1, 1),
    ),
    (
        "class right, level wrong",
        D,
        ("blur", "serious"),
        framed('{"distortion_class": "blur", "severity": "slight"}'),
        (0.25, 1),
        (0.25, 1),
    ),
    (
        "class right, level no word of the scale",
        D,
        ("blur", "serious"),
        framed('{"distortion_class": "blur", "severity": "severe"}'),
        (0.25, 1),
        (0, 1),
    ),
    (
        "class in capitals",
        D,
        ("blur", "serious"),
        framed('{"distortion_class": "Blur", "severity": "serious"}'),
        (0, 1),
        (0, 1),
    ),
    (
        "level without its class",
        D,
        ("blur", "serious"),
        framed('{"distortion_class": "noise", "severity": "serious"}'),
        (0, 1),
        (0, 1),
    ),
    ("severity missing", D, ("blur", "serious"), framed('{"distortion_class": "blur"}'), (0, 1), (0, 1)),
    (
        "clean, quoted",
        D,
        ("null", "null"),
        framed('{"distortion_class": "null", "severity": "null"}'),
        (1, 1),
        (1, 1),
    ),
    (
        "clean, unquoted",
        D,
        ("null", "null"),
        framed('{"distortion_class": null, "severity": null}'),
        (0, 1),
        (0, 1),
    ),
    (
        "clean with a severity",
        D,
        ("null", "null"),
        framed('{"distortion_class": "null", "severity": "slight"}'),
        (0.25, 1),
        (0, 1),
    ),
    (
        "clean as none",
        D,
        ("null", "null"),
        framed('{"distortion_class": "none", "severity": "none"}'),
        (0, 1),
        (0, 1),
    ),
    ("verdict as asked", C, "Image A", framed("Image A"), (1, 1), (1, 1)),
    ("verdict on one line", C, "Image A", "<think> a </think><answer> Image A </answer>", (1, 0), (1, 0)),
    ("verdict without <think>", C, "Image A", "<answer>\nImage A\n</answer>", (1, 0), (0, 0)),
    ("verdict in a sentence", C, "Image A", framed("Image A is better."), (0, 1), (0, 1)),
    ("verdict with a full stop", C, "Image A", framed("Image A."), (0, 1), (0, 1)),
    ("letter alone", C, "Image A", framed("A"), (0, 1), (0, 1)),
    ("verdict in small letters", C, "Image A", framed("image a"), (0, 1), (0, 1)),
    ("verdict empty", C, "Image A", "<think>\na\n</think>\n<answer>\n\n</answer>", (0, 1), (0, 0)),
    ("verdict wrong", C, "Image A", framed("Similar"), (0, 1), (0, 1)),
]


def target_of(task: Task, true: object) -> Target:
    if task is S:
        return Rated(float(str(true)), float(str(true)))
    if task is C:
        return Comparison(Winner(str(true)))
    assert isinstance(true, tuple)
    return Clean() if true[0] == "null" else Degradation(Distortion(true[0]), Severity(true[1]))


@pytest.mark.parametrize(
    ("task", "true", "text", "published", "clean"),
    [row[1:] for row in LAYOUTS],
    ids=[str(row[0]) for row in LAYOUTS],
)
def test_accuracy_and_format_are_paid_as_in_the_published_code_or_for_clean_replies_only(
    task: Task, true: object, text: str, published: tuple[float, float], clean: tuple[float, float]
) -> None:
    for accuracy, expected in ((Accuracy.PUBLISHED, published), (Accuracy.CLEAN, clean)):
        earned = task_reward(target_of(task, true), reader(accuracy)(task, text))
        assert (earned, format_reward(text, task, Layout.STRICT, accuracy)) == expected, accuracy


def test_the_table_is_long_and_the_two_ways_differ_in_many_places() -> None:
    assert len(LAYOUTS) >= 35
    assert sum(row[4] != row[5] for row in LAYOUTS) >= 19


def test_no_text_is_too_odd_to_be_looked_at() -> None:
    dice = random.Random(1)
    bits = [
        "<think>",
        "</think>",
        "<answer>",
        "</answer>",
        "\n",
        " ",
        "{",
        "}",
        '"rating":',
        "3.1",
        ".",
        "x",
        B,
        R,
    ]
    for _ in range(5000):
        text = "".join(dice.choices(bits, k=dice.randrange(1, 16)))
        for task in Task:
            assert has_layout(text, task) in (True, False)
            find_answer(task, text)


def test_a_reply_of_a_hundred_thousand_line_breaks_is_judged_at_once() -> None:
    text = "<think>" + "\n" * 50_000 + "</think>" + "\n" * 50_000
    assert not has_layout(text, S)
    assert has_layout(text + "<answer>\n{}\n</answer>", S)
