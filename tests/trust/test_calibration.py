"""An interval holds as often as it says, for the weights and photographs that it names, or there is none."""

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from qinsight.errors import QInsightError
from qinsight.prompts import Task
from qinsight.requests import About
from qinsight.trust.calibration import Calibration, Point, Reliability, coverage, read, write

ABOUT = About("tiny", frozenset(Task), "fp32", "cpu", weights="abc", max_pixels=1000)


def points(number: int, seed: int = 1) -> tuple[Point, ...]:
    """Ratings that miss their labels the more, the farther their odds spread."""
    dice = random.Random(seed)
    found = []
    for _ in range(number):
        expected, spread = dice.uniform(2, 4), dice.uniform(0.0, 0.4)
        label = min(5.0, max(1.0, expected + dice.gauss(0, 0.1 + spread)))
        found.append(Point(expected, spread, label, dice.choice(["noise", "null"])))
    return tuple(found)


def calibration(number: int = 400, seed: int = 1) -> Calibration:
    classes = {"noise": Reliability(45, 50), "blur": Reliability(2, 3)}
    return Calibration("tiny", "abc", "fp32", 1000, "made-up photographs", points(number, seed), classes)


def test_an_interval_covers_nine_in_ten_labels_that_it_has_not_seen() -> None:
    covered = [
        coverage(calibration(400, seed), points(400, seed + 100), share)[0] - share
        for seed in range(1, 11)
        for share in (0.8, 0.9)
    ]
    assert sum(covered) / len(covered) == pytest.approx(0, abs=0.02)


def test_the_surer_the_odds_the_narrower_the_interval_and_it_stays_on_the_scale() -> None:
    known = calibration()
    sure, unsure = (known.interval(3, spread) for spread in (0.0, 0.3))
    assert unsure[0] < sure[0] < 3 < sure[1] < unsure[1]
    assert known.interval(1.1, 0.4)[0] == 1
    assert known.interval(4.9, 0.4)[1] == 5
    assert known.around({3.0: 0.5, 4.0: 0.5}) == known.interval(3.5, 0.5)


def test_too_few_labels_for_a_share_cover_the_whole_scale() -> None:
    assert calibration(50).interval(3, 0.1, 0.99) == (1, 5)


def test_a_class_is_called_reliable_only_where_it_was_named_often() -> None:
    assert calibration().reliability("noise") == (45, 50)
    assert calibration().reliability("blur") is None
    assert calibration().reliability("darken") is None


def test_of_few_labels_nothing_is_made() -> None:
    with pytest.raises(QInsightError, match=r"Expected at least 50 labelled photographs .* got 49"):
        calibration(49)


def test_a_calibration_comes_back_from_its_file(tmp_path: Path) -> None:
    write(calibration(), tmp_path / "c.json")
    again = read(tmp_path / "c.json")
    assert again.classes == calibration().classes
    assert again.holds_for == "made-up photographs"
    assert [point.named for point in again.points] == [point.named for point in calibration().points]
    assert again.reach() == pytest.approx(calibration().reach(), abs=1e-2)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"version": 2}',
        json.dumps({"version": 1, "model": "a"}),
    ],
)
def test_what_is_no_calibration_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "c.json"
    file.write_text(text)
    with pytest.raises(QInsightError, match=r"Expected a calibration written by `calibrate` in .*c.json"):
        read(file)


@pytest.mark.parametrize(
    "point", [[9, 0.1, 3, ""], [3, -1, 3, ""], [3, 0.1, 72, ""], [3, 0.1], ["a", 1, 1, ""]]
)
def test_a_point_off_the_scale_is_refused(tmp_path: Path, point: list[object]) -> None:
    write(calibration(), tmp_path / "c.json")
    told = json.loads((tmp_path / "c.json").read_text())
    told["points"][7] = point
    (tmp_path / "c.json").write_text(json.dumps(told))
    with pytest.raises(QInsightError, match="cannot be read"):
        read(tmp_path / "c.json")


@pytest.mark.parametrize(
    ("about", "words"),
    [
        (replace(ABOUT, weights="def"), "is of other weights: tiny \\(abc\\), and tiny \\(def\\) answers"),
        (
            replace(ABOUT, weights="", name="served"),
            "is of other weights: tiny \\(abc\\), and served answers",
        ),
        (replace(ABOUT, max_pixels=2000), "up to 1000 pixels, and they are rated at 2000"),
        (replace(ABOUT, precision="nf4"), "held in fp32, and they are held in nf4"),
    ],
)
def test_other_weights_or_another_size_have_no_calibration(about: About, words: str) -> None:
    misfit = calibration().misfit(about)
    assert misfit is not None
    with pytest.raises(QInsightError, match=words):
        raise misfit


def test_the_same_weights_at_the_same_size_have_one_whatever_they_are_called() -> None:
    assert calibration().misfit(ABOUT) is None
    assert calibration().misfit(replace(ABOUT, name="a copy", precision="bf16")) is None
    converted = replace(ABOUT, weights="of the GGUF", source=ABOUT.weights, precision="f16")
    assert calibration().misfit(converted) is None
    assert calibration().misfit(replace(converted, source="")) is not None
    assert replace(calibration(), weights="").misfit(replace(converted, source="")) is not None


def test_weights_of_a_hub_are_known_by_their_name() -> None:
    hub = replace(calibration(), weights="", model="someone/weights")
    assert hub.misfit(replace(ABOUT, weights="", name="someone/weights")) is None
    assert hub.misfit(replace(ABOUT, weights="", name="someone/else")) is not None
