"""Samples of one question: looked at once, read once, and what separate runs would have given."""

from collections import Counter
from typing import Any

import pytest
import torch
from PIL import Image

from qinsight.assess import MOST_SAMPLES, ask, last, samples
from qinsight.engines import conversation, local
from qinsight.engines.checkpoint import Device
from qinsight.engines.local import LocalEngine
from qinsight.photos import load_photo
from qinsight.prompts import Task
from qinsight.requests import Sampling
from shared.places import OFFICIAL

DICE = Sampling(12, 1.0, seed=5)
SMALL = 12_544  # pixels: the dice are the same, and the photo is soon looked at


@pytest.fixture(scope="module")
def engine() -> LocalEngine:
    return LocalEngine.open(str(OFFICIAL), Device.CPU)


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    return load_photo(OFFICIAL / "images" / "score.png")


def test_the_photo_is_looked_at_once_and_the_prompt_read_once(
    engine: LocalEngine, photo: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[Image.Image] = []
    read: list[tuple[int, int]] = []
    look, prompt = local._look, conversation.Growing.prompt

    def looking(weights: Any, seen: Image.Image, max_pixels: int) -> Any:
        looks.append(seen)
        return look(weights, seen, max_pixels)

    def reading(self: Any, embeddings: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
        read.append(tuple(embeddings.shape[:2]))
        return prompt(self, embeddings, *others)

    monkeypatch.setattr(local, "_look", looking)
    monkeypatch.setattr(conversation.Growing, "prompt", reading)
    last(ask(engine, samples(photo, Task.SCORE, 6), DICE, max_pixels=SMALL))
    assert len(looks) == 1
    (whole, each) = read
    assert whole[0] == 1  # all of the prompt but its last token, for one row
    assert whole[1] > 64
    assert each == (6, 1)


@pytest.mark.parametrize("task", [Task.SCORE, Task.DEGRADATION])
def test_samples_are_those_of_as_many_separate_runs(
    engine: LocalEngine, photo: Image.Image, task: Task
) -> None:
    together = last(ask(engine, samples(photo, task, 4), DICE, max_pixels=SMALL))
    apart = [
        last(ask(engine, samples(photo, task, 1), Sampling(12, 1.0, seed=5 + number), max_pixels=SMALL))[0]
        for number in range(4)
    ]
    assert [one.text for one in together] == [one.text for one in apart]


def test_first_words_come_as_often_as_the_models_own_chances_say(
    engine: LocalEngine, photo: Image.Image
) -> None:
    few = Sampling(1, 1.0, top_k=4, top_p=1.0, seed=1)
    counted: Counter[str] = Counter()
    for block in range(6):
        dice = Sampling(1, 1.0, top_k=4, top_p=1.0, seed=1 + block * MOST_SAMPLES)
        asked = last(ask(engine, samples(photo, Task.SCORE, MOST_SAMPLES), dice, max_pixels=SMALL))
        counted.update(one.text for one in asked)
    (request,) = samples(photo, Task.SCORE, 1)
    weights = engine._weights("score_degradation")
    prompts = local.prepare(weights, [request], SMALL)
    begun = conversation.Conversation(weights, prompts, [0], few)
    chances, tokens = begun.warpers(None, _penalised(begun)).softmax(-1)[0].topk(4)
    drawn = sum(counted.values())
    for chance, token in zip(chances.tolist(), tokens.tolist(), strict=True):
        seen = counted[weights.tokenizer.decode([token], skip_special_tokens=True)] / drawn
        assert seen == pytest.approx(chance, abs=4 * (0.25 / drawn) ** 0.5)


def _penalised(begun: conversation.Conversation) -> torch.Tensor:
    scores, penalty = begun.logits, begun.penalty
    return torch.where(begun.used, torch.where(scores < 0, scores * penalty, scores / penalty), scores)


@pytest.mark.parametrize("number", [0, -1, MOST_SAMPLES + 1])
def test_a_number_of_samples_beyond_the_limit_is_refused(photo: Image.Image, number: int) -> None:
    with pytest.raises(ValueError, match=f"1 to {MOST_SAMPLES} samples, got {number}"):
        samples(photo, Task.SCORE, number)
