"""The order meter counts whose place decided, and says what it cannot tell."""

from collections.abc import Sequence

import pytest
from PIL import Image

from qinsight.assess import Asked, comparison
from qinsight.requests import Finish
from qinsight.trust.order import Orders
from qinsight.trust.shares import Share

PHOTO = Image.new("RGB", (28, 28))
A, B, SIMILAR, HM = "Image A", "Image B", "Similar", "hm"


def replies(*pairs: tuple[str, str]) -> list[Asked]:
    requests = comparison(PHOTO, PHOTO)
    return [
        Asked(request, f"<answer>{word}</answer>", finish=Finish.STOP)
        for pair in pairs
        for request, word in zip(requests, pair, strict=True)
    ]


@pytest.mark.parametrize(
    ("pair", "counted"),
    [
        ((A, B), Orders(agree=1)),
        ((B, A), Orders(agree=1)),
        ((SIMILAR, SIMILAR), Orders(agree=1)),
        ((A, A), Orders(first=1)),
        ((B, B), Orders(second=1)),
        ((SIMILAR, A), Orders(mixed=1)),
        ((B, SIMILAR), Orders(mixed=1)),
        ((HM, A), Orders(unread=1)),
    ],
)
def test_a_pair_is_counted_by_what_its_two_orders_say(pair: tuple[str, str], counted: Orders) -> None:
    assert Orders.of(replies(pair)) == counted


@pytest.mark.parametrize(
    ("pairs", "preference"),
    [
        ([(A, A)] * 20, "first"),
        ([(B, B)] * 20, "second"),
        ([(A, B)] * 20, None),
        ([(A, A)] * 10 + [(B, B)] * 10, None),
        ([(A, A)] * 3, None),  # as a coin does one time in four
        ([], None),
    ],
)
def test_a_preference_is_named_only_where_the_interval_leaves_out_a_half(
    pairs: Sequence[tuple[str, str]], preference: str | None
) -> None:
    orders = Orders.of(replies(*pairs))
    assert orders.preference == preference
    assert ("prefers" in orders.sentence()) == (preference is not None)
    assert orders.as_json()["preference"] == preference
    assert "\n" not in orders.sentence()


def test_meters_of_several_runs_add_up_and_unreadable_ones_are_said() -> None:
    whole = Orders.of(replies((A, B), (A, A))) + Orders.of(replies((B, B), (HM, HM)))
    assert whole == Orders(agree=1, first=1, second=1, unread=1)
    assert "1 could not be read" in whole.sentence()


@pytest.mark.parametrize(("count", "of"), [(0, 9), (3, 9), (9, 9), (50, 200), (1, 1)])
def test_the_interval_is_the_one_that_scipy_gives(count: int, of: int) -> None:
    from scipy.stats import binomtest

    theirs = binomtest(count, of).proportion_ci(method="wilson")
    assert (Share(count, of).low, Share(count, of).high) == pytest.approx((theirs.low, theirs.high), abs=1e-6)


def test_of_no_cases_nothing_is_known() -> None:
    assert (Share(0, 0).value, Share(0, 0).low, Share(0, 0).high) == (None, 0.0, 1.0)
