"""Rollouts by the app's own decoding say what transformers' sampling says."""

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from transformers import Qwen2_5_VLForConditionalGeneration

from qinsight.engines import decoding
from qinsight.engines.weights import load_processor
from qinsight.prompts import Task, build_messages
from training.grpo import speaking as speaking_module
from training.grpo.speaking import speaking


@pytest.fixture(scope="module")
def stock(official: Path) -> Any:
    return Qwen2_5_VLForConditionalGeneration.from_pretrained(
        official / "score_degradation", dtype=torch.float32
    )


@pytest.fixture(scope="module")
def inputs(official: Path) -> Any:
    """Six questions of three lengths about photos of three sizes, padded on the left."""
    processor = load_processor(official / "score_degradation")
    texts = [
        processor.apply_chat_template(build_messages(task), tokenize=False, add_generation_prompt=True)
        for task in (Task.SCORE, Task.DEGRADATION, Task.SCORE) * 2
    ]
    photo = Image.open(official / "images" / "score.png").convert("RGB")
    photos = [photo.resize((56 + 28 * (number % 3), 84)) for number in range(6)]
    return processor(text=texts, images=photos, return_tensors="pt", padding=True)


def said(model: Any, inputs: Any, **how: Any) -> Any:
    torch.manual_seed(3)
    return model.generate(**inputs, max_new_tokens=40, **how)


@pytest.mark.parametrize("fixed", [False, True], ids=["growing", "fixed_size"])
@pytest.mark.parametrize(
    "how", [{"do_sample": True, "top_k": 50}, {"do_sample": False}], ids=["drawn", "greedy"]
)
def test_rollouts_are_those_of_transformers_from_the_same_seed_token_for_token(
    stock: Any, inputs: Any, how: dict[str, Any], fixed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = said(stock, inputs, **how)
    passes: list[str] = []
    for name in ("Growing", "Replayed"):
        kind = getattr(decoding, name)
        monkeypatch.setattr(
            kind,
            "read",
            lambda self, *given, name=name, read=kind.read: (passes.append(name), read(self, *given))[1],
        )
    monkeypatch.setattr(speaking_module, "replayable", lambda _: fixed)
    with speaking(stock):
        ours = said(stock, inputs, **how)
    assert type(stock) is Qwen2_5_VLForConditionalGeneration
    assert torch.equal(ours, theirs)
    assert set(passes) == {"Replayed" if fixed else "Growing"}
