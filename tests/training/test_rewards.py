"""What a reply earns, as tables: the paper's rewards, the published code's examples, and the ranking reward."""

import json
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

from qinsight.answers import Clean, Comparison, Degradation, Distortion, Score, Severity, Winner
from qinsight.prompts import SYSTEM, Task
from training.data.examples import Rated, Target, target_json
from training.rewards import (
    Layout,
    ScoreReward,
    format_reward,
    gaussian_reward,
    ranking_rewards,
    read_plainly,
    reward_functions,
    score_reward,
    task_reward,
)

BLUR = Degradation(Distortion.BLUR, Severity.SERIOUS)


def reply(answer: str) -> str:
    return f"<think>\nIt is soft.\n</think>\n<answer>\n{answer}\n</answer>"


def earned(target: Target, answer: str) -> float:
    task = {Rated: Task.SCORE, Comparison: Task.COMPARISON}.get(type(target), Task.DEGRADATION)
    return task_reward(target, read_plainly(task, reply(answer)))


@pytest.mark.parametrize(
    ("answer", "reward"),
    [
        ('{"rating": 3.00}', 1),
        ('{"rating": 3.34}', 1),
        ('{"rating": 2.66}', 1),
        ('{"rating": 3.36}', 0),
        ('{"rating": 3}', 1),
        ('{"rating": "3.00"}', 0),  # quoted
        ('{"rating": -3.00}', 0),
        ('{"rating": 1.2.3}', 0),
        ('{"rating": 30}', 0),
        ('{"score": 3.00}', 0),
        ("3.00", 0),
        ("", 0),
    ],
)
def test_a_rating_earns_when_it_is_less_than_035_from_the_opinion(answer: str, reward: float) -> None:
    assert earned(Rated(3.0, 60.0), answer) == reward


def test_a_rating_exactly_035_away_earns_nothing() -> None:
    assert score_reward(Rated(0.0, 0.0), Score(0.35)) == 0
    assert score_reward(Rated(0.0, 0.0), Score(0.3499)) == 1


@pytest.mark.parametrize(
    ("answer", "reward"),
    [
        ('{"distortion_class": "blur", "severity": "serious"}', 1.0),
        ('{"distortion_class": "blur", "severity": "slight"}', 0.25),
        ('{"distortion_class": "noise", "severity": "serious"}', 0.0),  # a level without its class is nothing
        ('{"distortion_class": "null", "severity": "null"}', 0.0),
        ('{"distortion_class": "Blur", "severity": "serious"}', 0.0),
        ('{"distortion_class": "JPEG", "severity": "serious"}', 0.0),
        ('{"distortion_class": blur, "severity": serious}', 0.0),
    ],
)
def test_a_degradation_earns_a_quarter_for_its_class_and_the_rest_for_its_level(
    answer: str, reward: float
) -> None:
    assert earned(BLUR, answer) == reward


@pytest.mark.parametrize(
    ("answer", "reward"),
    [
        ('{"distortion_class": "null", "severity": "null"}', 1.0),
        ('{"distortion_class": null, "severity": null}', 0.0),  # the prompt asks for the word
        ('{"distortion_class": "none", "severity": "none"}', 0.0),
        ('{"distortion_class": "blur", "severity": "slight"}', 0.0),
    ],
)
def test_a_clean_photo_earns_all_or_nothing(answer: str, reward: float) -> None:
    assert earned(Clean(), answer) == reward


@pytest.mark.parametrize(
    ("answer", "reward"),
    [("Image A", 1), ("Image B", 0), ("Similar", 0), ("A", 0), ("I choose Image A", 0), ("image a", 0)],
)
def test_a_verdict_earns_only_as_the_whole_answer(answer: str, reward: float) -> None:
    assert earned(Comparison(Winner.A), answer) == reward


SPOKEN = "<think> soft edges </think><answer> {} </answer>"


@pytest.mark.parametrize(
    ("text", "strict", "relaxed"),
    [
        (reply('{"rating": 3.0}'), 1, 1),
        (SPOKEN.format('{"rating": 3.0}'), 0, 1),
        ('<think>\nsoft\n</think>\n<answer>{"rating": 3.0}</answer>', 0, 1),
        (reply("3.0"), 0, 0),
        (reply('{"rating": {"value": 3.0}}'), 0, 0),
        (reply('{"rating": 3.0}') + " so be it", 0, 0),
        ('<answer>\n{"rating": 3.0}\n</answer>', 0, 0),
        ('{"rating": 3.0}', 0, 0),
        ("", 0, 0),
    ],
)
def test_the_strict_layout_wants_each_tag_on_its_line_and_the_relaxed_one_only_the_tags(
    text: str, strict: float, relaxed: float
) -> None:
    assert format_reward(text, Task.SCORE, Layout.STRICT) == strict
    assert format_reward(text, Task.SCORE, Layout.RELAXED) == relaxed


def test_the_prompts_own_example_earns_the_relaxed_format_reward_and_not_the_strict_one() -> None:
    example = SYSTEM[SYSTEM.index("i.e., ") + len("i.e., ") :]
    as_asked = example.replace("answer here", '{"rating": 3.0}')
    assert format_reward(as_asked, Task.SCORE, Layout.RELAXED) == 1
    assert format_reward(as_asked, Task.SCORE, Layout.STRICT) == 0
    assert format_reward(example, Task.COMPARISON, Layout.RELAXED) == 1


def test_a_verdict_needs_no_json_for_its_format() -> None:
    assert format_reward(reply("Image A"), Task.COMPARISON) == 1
    assert format_reward(reply("Image A"), Task.SCORE) == 0


# --- the ranking reward -----------------------------------------------------------------------------------


def plainly(ratings: list[list[float]], mos: list[float]) -> np.ndarray:
    """VisualQuality-R1's equations with NumPy and SciPy, a photo at a time."""
    means, spread = np.mean(ratings, axis=1), np.var(ratings, axis=1, ddof=1)
    rewards = np.zeros(np.shape(ratings))
    for i, row in enumerate(ratings):
        for j, rating in enumerate(row):
            fidelity = []
            for z in range(len(mos)):
                if z == i:
                    continue
                p = norm.cdf((rating - means[z]) / np.sqrt(spread[i] + spread[z] + 1e-6))
                g = 0.5 + 0.5 * np.sign(mos[i] - mos[z])
                fidelity.append(np.sqrt(p * g) + np.sqrt((1 - p) * (1 - g)))
            rewards[i, j] = np.mean(fidelity)
    return rewards


def test_the_ranking_reward_is_the_published_formula() -> None:
    rng = np.random.default_rng(0)
    ratings = rng.uniform(1, 5, (5, 4)).round(2).tolist()
    mos = [1.5, 3.0, 3.0, 4.4, 2.0]
    np.testing.assert_allclose(ranking_rewards(ratings, mos), plainly(ratings, mos), atol=1e-9)


def test_the_right_order_earns_more_than_the_wrong_one_whatever_the_scale() -> None:
    right = ranking_rewards([[1.0, 1.2], [4.0, 4.1]], [20.0, 80.0])
    wrong = ranking_rewards([[4.0, 4.1], [1.0, 1.2]], [20.0, 80.0])
    assert min(min(row) for row in right) > 0.99
    assert max(max(row) for row in wrong) < 0.01


def test_an_unreadable_rating_earns_nothing_and_moves_no_other() -> None:
    with_it = ranking_rewards([[1.0, None, 1.2], [4.0, 4.1, 3.9]], [1.0, 5.0])
    without = ranking_rewards([[1.0, 1.2], [4.0, 4.1, 3.9]], [1.0, 5.0])
    assert with_it[0][1] == 0
    assert [with_it[0][0], with_it[0][2]] == without[0]
    assert with_it[1] == without[1]


# --- as TRL calls them ------------------------------------------------------------------------------------


def called(score: ScoreReward, rows: list[tuple[Task, Target, str]], rollouts: int) -> tuple[Any, Any]:
    functions, weights = reward_functions(Layout.STRICT, score, rollouts)
    logged: dict[str, list[float]] = {}
    columns = {
        "completions": [[{"role": "assistant", "content": reply(text)}] for _, _, text in rows],
        "task": [str(task) for task, _, _ in rows],
        "target": [json.dumps(target_json(target)) for _, target, _ in rows],
        "set": ["one"] * len(rows),
        "log_metric": lambda name, value: logged.setdefault(name, []).append(value),
    }
    earned = {function.__name__: function(**columns) for function in functions}
    earned["sum"] = [
        sum(
            weight * column[place]
            for weight, column in zip(weights, earned.values(), strict=True)
            if column[place] is not None
        )
        for place in range(len(rows))
    ]
    return earned, logged


MIXED: list[tuple[Task, Target, str]] = [
    (Task.SCORE, Rated(3.0, 3.0), '{"rating": 3.1}'),
    (Task.SCORE, Rated(3.0, 3.0), '{"rating": 4.0}'),
    (Task.DEGRADATION, BLUR, '{"distortion_class": "blur", "severity": "slight"}'),
    (Task.DEGRADATION, BLUR, "no idea"),
    (Task.COMPARISON, Comparison(Winner.B), "Image B"),
    (Task.COMPARISON, Comparison(Winner.B), "Image A"),
]


def test_a_row_of_another_task_earns_none_and_a_row_of_ours_the_sum_of_the_paper() -> None:
    earned, logged = called(ScoreReward.THRESHOLD, MIXED, 2)
    assert earned["score"] == [1, 0, None, None, None, None]
    assert earned["distortion_class"] == [None, None, 1, 0, None, None]
    assert earned["severity"] == [None, None, 0, 0, None, None]
    assert earned["comparison"] == [None, None, None, None, 1, 0]
    assert earned["format"] == [1, 1, 1, 0, 1, 1]
    assert earned["sum"] == [2, 1, 1.25, 0, 2, 1]
    assert logged["unreadable"] == [0, 0, 0, 1, 0, 0]
    assert logged["score/absolute_error"] == pytest.approx([0.1, 1.0])


def test_the_ranking_reward_compares_the_photos_of_one_batch_and_set() -> None:
    rows = [
        (Task.SCORE, Rated(2.0, 2.0), '{"rating": 1.5}'),
        (Task.SCORE, Rated(2.0, 2.0), '{"rating": 1.7}'),
        (Task.DEGRADATION, BLUR, "no idea"),
        (Task.DEGRADATION, BLUR, "no idea"),
        (Task.SCORE, Rated(4.0, 4.0), '{"rating": 4.5}'),
        (Task.SCORE, Rated(4.0, 4.0), "no idea"),
    ]
    earned, _ = called(ScoreReward.RANKING, rows, 2)
    expected = ranking_rewards([[1.5, 1.7], [4.5, None]], [2.0, 4.0])
    assert earned["score"] == [*expected[0], None, None, *expected[1]]


def test_a_photo_that_is_alone_in_its_batch_cannot_be_ranked_and_earns_none() -> None:
    earned, _ = called(ScoreReward.RANKING, MIXED, 2)
    assert earned["score"] == [None] * 6


def test_a_label_that_does_not_parse_stops_the_run() -> None:
    functions, _ = reward_functions(Layout.STRICT, ScoreReward.THRESHOLD, 2)
    said = [[{"role": "assistant", "content": reply('{"rating": 3.0}')}]]
    with pytest.raises(ValueError, match='expected "mos" from 1 to 5, got 7'):
        functions[1](completions=said, task=["score"], target=['{"mos": 7}'], set=["one"], log_metric=print)


def test_the_graded_reward_is_whole_at_the_opinion_and_a_half_where_the_threshold_lies() -> None:
    opinion = Rated(3.0, 3.0)
    assert gaussian_reward(opinion, Score(3.0)) == 1
    assert gaussian_reward(opinion, Score(3.35)) == pytest.approx(0.5)
    assert gaussian_reward(opinion, Score(2.65)) == pytest.approx(0.5)
    assert gaussian_reward(opinion, Score(3.1)) > gaussian_reward(opinion, Score(3.2)) > 0.7
    assert gaussian_reward(opinion, Score(5.0)) < 1e-9
    assert gaussian_reward(opinion, Score(1e300)) == 0
    assert gaussian_reward(opinion, None) == 0


def test_each_way_of_rewarding_a_rating_is_what_trl_is_handed() -> None:
    rows: list[tuple[Task, Target, str]] = [
        (Task.SCORE, Rated(3.0, 3.0), f'{{"rating": {rating}}}') for rating in (3.0, 3.35, 2.0, 9.0)
    ]
    assert called(ScoreReward.THRESHOLD, rows, 2)[0]["score"] == [1, 0, 0, 0]
    assert called(ScoreReward.GAUSSIAN, rows, 2)[0]["score"] == pytest.approx([1, 0.5, 0, 0], abs=0.01)


def test_a_number_off_the_scale_is_not_ranked_and_drowns_no_error() -> None:
    rows: list[tuple[Task, Target, str]] = [
        (Task.SCORE, Rated(2.0, 2.0), '{"rating": 1.5}'),
        (Task.SCORE, Rated(2.0, 2.0), '{"rating": 4000}'),
        (Task.SCORE, Rated(4.0, 4.0), '{"rating": 4.5}'),
        (Task.SCORE, Rated(4.0, 4.0), '{"rating": 4.4}'),
    ]
    earned, logged = called(ScoreReward.RANKING, rows, 2)
    expected = ranking_rewards([[1.5, None], [4.5, 4.4]], [2.0, 4.0])
    assert earned["score"] == [*expected[0], *expected[1]]
    assert max(logged["score/absolute_error"]) < 1
    assert logged["score/without_partner"] == [0, 0]


def test_photos_without_a_partner_are_counted() -> None:
    assert called(ScoreReward.RANKING, MIXED, 2)[1]["score/without_partner"] == [1]
