"""For the ranking reward, photos of one set stand side by side: in an order, in TRL's batches, and in a run."""

from pathlib import Path
from typing import Any

import pytest
import torch

from training.grpo.partners import Partnered, lonely, together
from training.grpo.trainer import EpochSampler


def mixed(scored: int, others: int, sets: int = 1) -> tuple[list[int], list[str | None]]:
    kinds: list[str | None] = [f"set {n % sets}" for n in range(scored)] + [None] * others
    order = torch.randperm(len(kinds), generator=torch.Generator().manual_seed(3)).tolist()
    return order, kinds


@pytest.mark.parametrize("block", [2, 3, 4, 5, 8])
@pytest.mark.parametrize(
    ("scored", "others", "sets"), [(700, 700, 1), (700, 700, 3), (300, 1500, 2), (900, 0, 3), (1500, 100, 4)]
)
def test_fewer_than_two_in_a_hundred_stand_alone_in_any_mixture(
    block: int, scored: int, others: int, sets: int
) -> None:
    order, kinds = mixed(scored, others, sets)
    arranged = together(order, kinds, block)
    assert sorted(arranged) == sorted(order), "every question once"
    assert lonely(arranged, kinds, block) < 0.02
    if block == 2 and others >= scored:
        assert lonely(order, kinds, block) > 0.3, "as they were drawn"


def test_the_order_stays_mixed() -> None:
    order, kinds = mixed(700, 700)
    arranged = together(order, kinds, 2)
    scored = [
        sum(kinds[index] is not None for index in arranged[start : start + 28])
        for start in range(0, 1400, 28)
    ]
    assert max(scored) < 24
    assert min(scored) > 4


def test_one_question_a_block_is_left_as_it_was() -> None:
    order, kinds = mixed(10, 10)
    assert together(order, kinds, 1) == order


@pytest.mark.parametrize("turns", [1, 3])
def test_the_sampler_gives_what_trl_asks_for_in_another_order(turns: int) -> None:
    _, kinds = mixed(40, 43)

    def inner(epoch: int) -> EpochSampler:
        return EpochSampler(
            data_source=kinds, mini_repeat_count=4, batch_size=6, repeat_count=turns, shuffle=True, seed=1,
            epoch=lambda: epoch,
        )  # fmt: skip

    given, arranged = list(inner(0)), list(Partnered(inner(0), kinds, 2))
    assert len(arranged) == len(given) == len(Partnered(inner(0), kinds, 2))
    assert sorted(arranged) == sorted(given)
    chunk = 6 * 4 * turns
    for start in range(0, len(arranged), chunk):
        turn = arranged[start : start + 24]
        assert turn * turns == arranged[start : start + chunk]
        assert all(len(set(turn[one : one + 4])) == 1 for one in range(0, 24, 4)), "whole groups"
    prompts = [one for start in range(0, len(arranged), chunk) for one in arranged[start : start + 24 : 4]]
    assert lonely(prompts, kinds, 2) < 0.05
    assert arranged == list(Partnered(inner(0), kinds, 2)), "a resumed epoch has the same order"
    assert arranged != list(Partnered(inner(1), kinds, 2))


def test_a_run_with_the_ranking_reward_puts_partners_together_and_counts_who_has_none(
    official: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    import json

    import numpy as np
    from PIL import Image

    from training.grpo import run as grpo
    from training.grpo.recipe import parse

    rng = np.random.default_rng(0)
    lines = []
    for number in range(8):
        Image.fromarray(rng.integers(0, 256, (56, 84, 3), np.uint8)).save(tmp_path / f"{number}.png")
        lines.append(
            {"id": f"s{number}", "set": "x", "task": "score", "photos": [f"{number}.png"], "mos": 2.0}
        )
        answer = {"distortion_class": "blur", "severity": "slight"}
        lines.append(
            {"id": f"d{number}", "set": "x", "task": "degradation", "photos": [f"{number}.png"], **answer}
        )
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    words = (
        f"--model {official / 'score_degradation'} --train {tmp_path / 'train.jsonl'} --output_dir {tmp_path / 'run'} "
        "--total_batch 4 --per_device_train_batch_size 4 --num_generations 2 --max_completion_length 4 --max_steps 8 "
        "--save_strategy no --disable_tqdm true --gradient_checkpointing false --max_pixels 25088 "
        "--score_reward ranking"
    )
    trainer = grpo.run(*parse(words.split()))
    counted = [
        line["score/without_partner"] for line in trainer.state.log_history if "score/without_partner" in line
    ]
    assert counted, "the log says it"
    assert max(counted) == 0
