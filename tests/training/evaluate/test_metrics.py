"""The numbers of the evaluation agree with SciPy and with what a person works out on paper."""

import time
import warnings
from collections.abc import Callable

import numpy as np
import pytest
from scipy import optimize, stats

from training.evaluate.bootstrap import (
    Interval,
    Statistic,
    class_mean_of,
    intervals,
    krcc_of,
    mean_of,
    paired_difference,
    plcc_of,
    resamples,
    rmse_of,
    srcc_of,
)
from training.evaluate.measures import correlations
from training.evaluate.metrics import (
    Curve,
    MetricError,
    degradation_accuracy,
    fit_logistic4,
    fit_logistic5,
    krcc,
    line,
    logistic4,
    logistic5,
    order_consistency,
    pair_accuracy,
    plcc,
    rmse,
    srcc,
)

COARSE = np.array(
    [2.0, 2.5, 2.75, 3.25, 3.5, 3.75]
)  # all that a public fine-tune wrote for 890 photos, nearly
Metric = Callable[[np.ndarray, np.ndarray], float]


def photos(seed: int, n: int = 150, values: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Predictions on 1 to 5, rounded to `values` or to two decimals, and labels on 0 to 100."""
    rng = np.random.default_rng(seed)
    label = rng.normal(55, 18, n).clip(0, 100)
    written = 1.8 + 2.2 / (1 + np.exp(-(label - 50) / 12)) + rng.normal(0, 0.3, n)
    if values is None:
        return written.round(2).clip(1, 5), label
    return values[np.abs(values[:, None] - written).argmin(0)], label


# --- correlations -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metric", "worked_out"), [(plcc, 0.8), (srcc, 0.8), (krcc, 4 / 6), (rmse, (2 / 4) ** 0.5)]
)
def test_four_photos_give_what_a_person_works_out(metric: Metric, worked_out: float) -> None:
    assert metric(np.array([1, 2, 3, 4]), np.array([1, 3, 2, 4])) == pytest.approx(worked_out, abs=1e-12)


@pytest.mark.parametrize(("metric", "worked_out"), [(srcc, 3.75 / 4.5), (krcc, 4 / 5)])
def test_ties_give_what_a_person_works_out(metric: Metric, worked_out: float) -> None:
    assert metric(np.array([1, 1, 2, 3]), np.array([1, 2, 2, 3])) == pytest.approx(worked_out, abs=1e-12)


@pytest.mark.parametrize("values", [None, COARSE], ids=["two decimals", "six values"])
@pytest.mark.parametrize(
    ("metric", "scipy"), [(plcc, stats.pearsonr), (srcc, stats.spearmanr), (krcc, stats.kendalltau)]
)
def test_correlations_are_those_of_scipy(metric: Metric, scipy: Metric, values: np.ndarray | None) -> None:
    x, y = photos(1, values=values)
    assert metric(x, y) == pytest.approx(scipy(x, y)[0], abs=1e-9)


@pytest.mark.parametrize("metric", [plcc, srcc, krcc, fit_logistic4, fit_logistic5])
@pytest.mark.parametrize(
    ("x", "y", "why"),
    [
        ([], [], "at least one readable answer, got none"),
        ([3.0], [3.0], "readable answers, got 1"),
        ([3.0] * 9, list(range(9)), "predictions that differ, got 9 times 3"),
        (list(range(9)), [3.0] * 9, "labels that differ, got 9 times 3"),
        ([1, 2, np.nan, 4, 5, 6], list(range(6)), "finite"),
        ([1, 2, 3], [1, 2], "a label for each prediction"),
    ],
)
def test_what_cannot_be_computed_is_refused_with_the_reason(
    metric: Metric, x: list[float], y: list[float], why: str
) -> None:
    with pytest.raises(MetricError, match=why):
        metric(np.array(x), np.array(y))


# --- fitted curves ----------------------------------------------------------------------------------------

FITS = [(fit_logistic4, logistic4, 4), (fit_logistic5, logistic5, 5)]
Fit = Callable[[np.ndarray, np.ndarray], Curve]


@pytest.mark.parametrize(
    ("fit", "formula", "parameters"),
    [
        (fit_logistic4, logistic4, (80.0, 20.0, 3.1, 0.4)),
        (fit_logistic4, logistic4, (10.0, 90.0, 3.0, 0.2)),  # falls
        (fit_logistic5, logistic5, (40.0, 3.0, 2.9, 5.0, 30.0)),
        (fit_logistic5, logistic5, (-40.0, 2.0, 3.2, -6.0, 70.0)),
    ],
)
def test_a_curve_without_noise_is_found_again(
    fit: Fit, formula: Callable[..., np.ndarray], parameters: tuple[float, ...]
) -> None:
    x = np.linspace(1, 5, 81)
    y = formula(x, *parameters)
    found = fit(x, y)
    assert found.formula is formula
    assert found(x) == pytest.approx(y, abs=1e-5)
    assert plcc(found(x), y) == pytest.approx(1, abs=1e-9)
    assert found.falls(x) == (y[-1] < y[0])


@pytest.mark.parametrize("values", [None, COARSE], ids=["two decimals", "six values"])
@pytest.mark.parametrize("seed", [1, 3])
@pytest.mark.parametrize("turned", [False, True], ids=["rising", "falling"])
def test_a_fit_is_at_least_as_good_as_scipys_and_as_a_straight_line(
    seed: int, turned: bool, values: np.ndarray | None
) -> None:
    x, y = photos(seed, values=values)
    y = 100 - y if turned else y
    starts = {
        logistic4: (y.max(), y.min(), x.mean(), 0.5),  # as DeQA-Score starts
        logistic5: (np.ptp(y), 1 / x.std(), x.mean(), 0.0, y.mean()),
    }
    straight = rmse(np.polyval(np.polyfit(x, y, 1), x), y)
    for fit, formula, _ in FITS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                by_scipy = optimize.curve_fit(formula, x, y, p0=starts[formula], maxfev=5000)[0]
                least = min(rmse(formula(x, *by_scipy), y), straight)
            except RuntimeError:  # it gives up on some coarse predictions
                least = straight
        ours = fit(x, y)(x)
        assert rmse(ours, y) <= least + 1e-6
        assert plcc(ours, y) >= abs(plcc(x, y)) - 1e-9


def test_the_four_parameter_fit_is_scipys_where_that_finds_it() -> None:
    rng = np.random.default_rng(3)
    x = rng.uniform(1, 5, 200).round(2)
    y = logistic4(x, 80, 20, 3.1, 0.4) + rng.normal(0, 8, 200)
    parameters, _ = optimize.curve_fit(
        logistic4, x, y, p0=(y.max(), y.min(), x.mean(), 0.5), maxfev=20000, xtol=1e-14, ftol=1e-14
    )
    assert plcc(fit_logistic4(x, y)(x), y) == pytest.approx(plcc(logistic4(x, *parameters), y), abs=1e-9)


def test_a_fit_is_not_lured_away_from_the_best_step() -> None:
    """A search from the middle alone ends 36 % above the least error here."""
    x = np.linspace(1, 5, 121)
    y = np.where(x > 2, 1, 0) - np.where(x > 3.07, 0.7, 0) + 0.01 * np.sin(7 * x)
    steps = [np.where(x > at, y[x > at].mean(), y[x <= at].mean()) for at in x[:-1]]
    assert rmse(fit_logistic4(x, y)(x), y) <= min(rmse(step, y) for step in steps) + 1e-6


def test_a_straight_line_is_taken_where_no_logistic_is_better() -> None:
    x = np.linspace(1, 5, 401)
    y = np.sinh(1.5 * (x - 3))  # steep at both ends: no logistic bends like that
    found = fit_logistic4(x, y)
    assert found.formula is line
    assert found.parameters == pytest.approx(tuple(np.polyfit(x, y, 1)), rel=1e-6)


@pytest.mark.parametrize("distinct", [2, 3, 6])
def test_few_distinct_predictions_are_mapped_to_no_worse_than_their_line(distinct: int) -> None:
    x, y = photos(5, values=COARSE[:distinct])
    for fit, _, _ in FITS:
        mapped = fit(x, y)(x)
        assert np.isfinite(mapped).all()
        assert plcc(mapped, y) >= plcc(x, y) - 1e-9
    if distinct == 2:
        assert plcc(mapped, y) == pytest.approx(plcc(x, y), abs=1e-9)


@pytest.mark.parametrize(("fit", "formula", "count"), FITS)
def test_as_many_points_as_parameters_are_no_fit(
    fit: Fit, formula: Callable[..., np.ndarray], count: int
) -> None:
    x = np.linspace(1, 5, count)
    with pytest.raises(MetricError, match=f"at least {count + 1} readable answers, got {count}"):
        fit(x, x**2)


def test_a_fit_does_not_depend_on_the_units() -> None:
    x, y = photos(2)
    for fit, _, _ in FITS:
        here, there = fit(x, y), fit(20 * x - 20, y / 25 + 1)
        assert plcc(here(x), y) == pytest.approx(plcc(there(20 * x - 20), y / 25 + 1), abs=1e-7)


def test_unrelated_predictions_do_not_become_related_by_a_fit() -> None:
    x, y = np.repeat([1.0, 2.0], 30), np.tile([1.0, 2.0, 3.0], 20)
    found = correlations(x, y)
    for name in ("plcc", "plcc_4p", "plcc_5p"):
        assert found[name] is None or abs(found[name]) < 1e-6


# --- intervals --------------------------------------------------------------------------------------------

STATISTICS = [(plcc_of, plcc), (srcc_of, srcc), (krcc_of, krcc), (rmse_of, rmse)]


@pytest.mark.parametrize("values", [None, COARSE], ids=["two decimals", "six values"])
@pytest.mark.parametrize(("of", "metric"), STATISTICS)
def test_a_statistic_of_counts_is_that_of_the_photos_drawn(
    of: Callable[..., Statistic], metric: Metric, values: np.ndarray | None
) -> None:
    x, y = photos(4, n=200, values=values)
    counts = np.concatenate([np.ones((1, 200)), *resamples(200, 5, 0)])
    drawn = [np.repeat(np.arange(200), row.astype(int)) for row in counts]
    assert of(x, y)(counts) == pytest.approx([metric(x[row], y[row]) for row in drawn], abs=1e-9)


def test_resamples_draw_n_photos_and_are_the_same_every_time() -> None:
    first, again = (np.concatenate(list(resamples(50, 400, 7))) for _ in range(2))
    assert first.shape == (400, 50)
    assert (first.sum(1) == 50).all()
    assert (first == again).all()
    assert first.mean(0) == pytest.approx(np.ones(50), abs=0.25)
    assert first.var() == pytest.approx(1 - 1 / 50, abs=0.05)


def test_resamples_in_pieces_count_the_same_photos(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.evaluate.bootstrap.CELLS", 170)
    pieces = list(resamples(50, 10, 7))
    assert [len(piece) for piece in pieces] == [3, 3, 3, 1]
    x, y = photos(4, n=50)
    assert krcc_of(x, y)(pieces[0]) == pytest.approx(
        [krcc(*(v[np.repeat(np.arange(50), row.astype(int))] for v in (x, y))) for row in pieces[0]]
    )


def test_the_interval_of_plcc_is_about_fishers() -> None:
    rng = np.random.default_rng(11)
    y = rng.normal(size=800)
    x = 0.8 * y + 0.6 * rng.normal(size=800)
    found = intervals([plcc_of(x, y)], 800)[0]
    assert found is not None
    fisher = np.tanh(np.arctanh(plcc(x, y)) + np.array([-1, 1]) * 1.96 / np.sqrt(797))
    assert (found.low, found.high) == pytest.approx(tuple(fisher), abs=0.006)


def test_the_interval_of_a_mean_is_about_the_binomials() -> None:
    hits = np.repeat([0.0, 1.0], [40, 60])
    found = intervals([mean_of(hits)], 100)[0]
    assert found is not None
    assert (found.low, found.high) == pytest.approx((0.5, 0.7), abs=0.021)


def test_there_is_no_interval_where_resamples_lack_the_statistic() -> None:
    x, y = np.array([1.0, 1, 1, 1, 2]), np.arange(5.0)  # a third of the resamples hold no 2
    assert intervals([plcc_of(x, y), srcc_of(x, y), krcc_of(x, y)], 5) == [None] * 3


def test_classes_weigh_the_same_however_often_they_are_drawn() -> None:
    statistic = class_mean_of(np.array([1.0, 0, 1, 1]), np.array(["a", "a", "b", "b"]))
    found = statistic(np.array([[1.0, 1, 1, 1], [3, 0, 1, 0], [1, 3, 0, 0]]))
    assert found[:2] == pytest.approx([0.75, 1.0])
    assert np.isnan(found[2])


def test_a_thousand_draws_of_three_thousand_photos_take_seconds() -> None:
    x, y = photos(6, n=3000)
    began = time.monotonic()
    assert None not in intervals([plcc_of(x, y), srcc_of(x, y)], 3000)
    assert time.monotonic() - began < 8  # 0.4 s alone on a core


# --- two models -------------------------------------------------------------------------------------------


def test_two_models_that_are_right_together_do_not_differ() -> None:
    same = np.array([0.0, 1, 1, 0.25])
    found = paired_difference(same, same, draws=200)
    assert (found.difference, found.p, found.interval) == (0, 1, Interval(0, 0))


def test_a_model_that_is_right_more_often_is_told_from_chance() -> None:
    first, second = np.repeat([1.0, 0, 1], [30, 10, 60]), np.repeat([0.0, 1, 1], [30, 10, 60])
    found = paired_difference(first, second)
    assert (found.first, found.second, found.difference) == pytest.approx((0.9, 0.7, 0.2))
    assert found.p == pytest.approx(2 * stats.norm.sf(0.2 / np.sqrt(0.36 / 100)), abs=3e-3)
    assert 0 < found.interval.low < 0.1
    close = paired_difference(np.repeat([1.0, 0, 1], [20, 10, 70]), np.repeat([0.0, 1, 1], [20, 10, 70]))
    assert close.p == pytest.approx(2 * stats.norm.sf(0.1 / np.sqrt(0.29 / 100)), abs=0.02)
    back = paired_difference(second, first)
    assert back.difference == pytest.approx(-0.2)
    assert back.p == pytest.approx(found.p, abs=1e-3)


# --- degradations -----------------------------------------------------------------------------------------


def test_class_and_level_are_counted_as_a_person_counts_them() -> None:
    true = [("noise", 1), ("noise", 2), ("noise", 5), ("noise", 3), ("blur", 2), ("null", 0), ("null", 0)]
    said = [("noise", 1), ("noise", 3), ("noise", 3), ("", 0), ("compression", 2), ("null", 0), ("darken", 1)]
    found = degradation_accuracy(said, true)
    noise, blur, clean = (found.classes[name] for name in ("noise", "blur", "null"))
    assert (noise.n, noise.unreadable, noise.right, noise.level, noise.within_one) == (4, 1, 3, 1, 2)
    assert (blur.n, blur.right, blur.level, blur.exact) == (1, 0, 0, 0)
    assert (clean.n, clean.right, clean.level, clean.exact, clean.within_one) == (2, 1, None, 1, 1)
    assert found.class_average == pytest.approx((3 / 4 + 0 + 1 / 2) / 3)
    assert found.level_average == pytest.approx((1 / 4 + 0) / 2)  # "null" has no level


def test_an_unreadable_answer_to_a_clean_photo_is_wrong() -> None:
    found = degradation_accuracy([("", 0)], [("null", 0)])
    assert (found.class_average, found.level_average) == (0, None)


def test_degradations_without_photos_are_refused() -> None:
    with pytest.raises(MetricError, match="an answer for each photo"):
        degradation_accuracy([], [])


# --- comparisons ------------------------------------------------------------------------------------------

A, B, SIMILAR = "Image A", "Image B", "Similar"


def test_pairs_are_counted_by_label_and_unreadable_verdicts_are_wrong() -> None:
    found = pair_accuracy([A, B, "", SIMILAR, A, SIMILAR], [A, A, A, SIMILAR, SIMILAR, B])
    assert (found.n, found.unreadable, found.right) == (6, 1, 2)
    assert found.labels == {A: (1, 3), B: (0, 1), SIMILAR: (1, 2)}


def test_a_verdict_that_follows_the_place_is_not_consistent() -> None:
    true = [A, B, SIMILAR, A, A]
    said = [A, A, SIMILAR, A, ""]
    swapped = [A, B, SIMILAR, B, ""]
    found = order_consistency(said, swapped, true)
    assert (found.n, found.readable, found.same, found.right_in_both) == (5, 4, 2, 2)
    assert (found.first_place, found.sided) == (
        5,
        6,
    )  # five of six chose what was shown first: A, or B swapped


def test_verdicts_of_other_pairs_are_refused() -> None:
    with pytest.raises(MetricError, match="two verdicts for each pair"):
        order_consistency([A], [A, B], [A])
