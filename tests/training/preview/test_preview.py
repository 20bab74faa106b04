"""The preview checkpoint as people meet it: readable and task-correct on whole photos, better than chance."""

from typing import Any

import pytest
from PIL import Image

from qinsight.answers import Clean, Comparison, Degradation, Score
from qinsight.assess import Asked, ask, assessment, comparison, last, verdict
from qinsight.engines.checkpoint import PREVIEW, Device, Precision, read_checkpoint
from qinsight.engines.weights import parameter_count
from qinsight.photos import load_photo
from qinsight.requests import Request
from shared.places import REPOSITORY

PHOTOS = REPOSITORY / "examples" / "photos"
CLEAN = ("astronaut", "cat", "coffee", "rocket")  # never trained on; see qinsight/preview/CREDITS.md
DEGRADED = {
    "astronaut_dark": "darken",
    "cat_blurred": "blur",
    "coffee_noisy": "noise",
    "rocket_compressed": "compression",
}


@pytest.fixture(scope="module")
def preview() -> Any:
    from qinsight.engines.local import LocalEngine

    return LocalEngine.open("preview", Device.CPU, Precision.FP32)


def answered(preview: Any, requests: list[Request]) -> tuple[Asked, ...]:
    asked = last(ask(preview, requests))
    assert [one.error for one in asked] == [None] * len(requests)
    return asked


@pytest.mark.parametrize(
    "size",
    [(56, 56), (56, 224), (224, 56), (300, 451), (640, 427), (1148, 840), (504, 2016), (2400, 1600)],
    ids=str,
)
def test_every_task_gets_its_own_kind_of_answer_at_every_size(preview: Any, size: tuple[int, int]) -> None:
    photo = load_photo(PHOTOS / "coffee.jpg").resize(size, Image.Resampling.BICUBIC)
    other = load_photo(PHOTOS / "astronaut.jpg")
    score, diagnosis = answered(preview, assessment(photo))
    assert isinstance(score.answer, Score)
    assert isinstance(diagnosis.answer, Degradation | Clean)
    for requests in (comparison(photo, other), comparison(photo, other, reference=other)):
        assert all(isinstance(one.answer, Comparison) for one in answered(preview, requests))
    assert all(one.reply.thinking and not one.reply.repairs for one in (score, diagnosis))


def test_degraded_photos_it_never_saw_rate_lower_than_their_originals(preview: Any) -> None:
    ratings = {}
    for name in (*CLEAN, *DEGRADED):
        score, _ = answered(preview, assessment(load_photo(PHOTOS / f"{name}.jpg")))
        assert isinstance(score.answer, Score)
        ratings[name] = score.answer.rating
    worse = [ratings[name] < ratings[name.partition("_")[0]] for name in DEGRADED]
    assert sum(worse) >= 3, ratings


def test_it_names_most_degradations_of_photos_it_never_saw(preview: Any) -> None:
    named = {}
    for name in DEGRADED:
        _, diagnosis = answered(preview, assessment(load_photo(PHOTOS / f"{name}.jpg")))
        answer = diagnosis.answer
        named[name] = str(answer.distortion) if isinstance(answer, Degradation) else "none"
        if isinstance(answer, Degradation):
            odds = diagnosis.severity_odds
            assert odds is not None
            assert odds[str(answer.severity)] == max(odds.values())
    assert sum(named[name] == kind for name, kind in DEGRADED.items()) >= 2, named


def test_it_never_prefers_a_degraded_copy(preview: Any) -> None:
    for name in DEGRADED:
        clean, copy = load_photo(PHOTOS / f"{name.partition('_')[0]}.jpg"), load_photo(PHOTOS / f"{name}.jpg")
        found = verdict(answered(preview, comparison(clean, copy)))
        assert found is not None
        assert found.winner is None or str(found.winner) == "Image A", name


def test_reasoning_differs_from_photo_to_photo(preview: Any) -> None:
    thoughts = {
        answered(preview, assessment(load_photo(PHOTOS / f"{name}.jpg")))[0].reply.thinking
        for name in (*CLEAN, *DEGRADED)
    }
    assert len(thoughts) >= 6


def test_it_is_small_and_says_what_it_is() -> None:
    assert sum(file.stat().st_size for file in PREVIEW.rglob("*") if file.is_file()) < 10_000_000
    checkpoint = read_checkpoint(PREVIEW)
    assert checkpoint.preview
    assert 1_000_000 < parameter_count(checkpoint) < 5_000_000
    card = (PREVIEW / "README.md").read_text(encoding="utf-8")
    assert "synthetic" in card
    assert "KADID" in card
    assert "not" in card
    assert (PREVIEW / "CREDITS.md").exists()
