"""The model of a rehearsal as a judge: photos made worse, and questions asked in the other order."""

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

import torch

from qinsight.engines.checkpoint import Checkpoint, Precision
from qinsight.engines.local import LocalEngine
from qinsight.engines.weights import Weights, load_processor
from qinsight.photos import load_photo
from qinsight.prompts import Order, Task
from qinsight.requests import Request
from training.data.examples import Example, Rated
from training.preflight.audit import Withstood, audit, replies
from training.preflight.rehearsal import Run, Seen, drawn
from training.preflight.symptoms import Finding
from training.rewards import read_plainly, task_reward


def try_judge(
    run: Run, trainer: Any, checkpoint: Checkpoint, train: list[Example], number: int, seen: Seen
) -> list[Finding]:
    """Its ratings of photos made worse, and its answers with photo and question the other way round."""
    if not trainer.accelerator.is_main_process:
        return []
    asked = drawn([one for one in train if len(one.photos) == 1], number, run.settings.seed)
    if not asked:
        return []
    engines = {order: _engine_of(run, trainer, checkpoint, order) for order in Order}
    training = trainer.model.training
    trainer.model.eval()
    photos = [load_photo(one.photos[0]) for one in asked]
    if any(one.task is Task.SCORE for one in train):
        best = sorted(train, key=_goodness, reverse=True)[:number]
        fine = [load_photo(one.photos[0]) for one in best if len(one.photos) == 1]
        seen.withstood = audit(engines[run.recipe.order], fine, run.recipe.max_pixels)
    earned = {}
    for order, engine in engines.items():
        requests = [Request(one.task, (photo,)) for one, photo in zip(asked, photos, strict=True)]
        said = replies(engine, requests, run.recipe.max_pixels)
        earned[order] = [
            task_reward(one.target, read_plainly(one.task, text))
            for one, text in zip(asked, said, strict=True)
        ]
    trainer.model.train(training)
    return _of_orders(run.recipe.order, earned) + _of_judge(seen.withstood)


def _goodness(example: Example) -> float:
    """The opinion of one photo; one that is bad already can hardly be made worse."""
    return example.target.mos if isinstance(example.target, Rated) else 0.0


def _of_orders(asked: Order, earned: dict[Order, list[float]]) -> list[Finding]:
    other = next(order for order in Order if order is not asked)
    here, there = fmean(earned[asked]), fmean(earned[other])
    better = sum(b > a for a, b in zip(earned[asked], earned[other], strict=True))
    worse = sum(b < a for a, b in zip(earned[asked], earned[other], strict=True))
    if there - here < 0.15 or better < 2 * worse + 4:
        return []
    return [
        Finding(
            "order of photo and question",
            f"asked with order: {other} the same questions earn {there:.2f} instead of {here:.2f}: the checkpoint was trained that way.",
        )
    ]


def _of_judge(withstood: Sequence[Withstood]) -> list[Finding]:
    """A judge that is fooled is said, and no alarm: what is trained here may be the cure."""
    return [
        Finding(
            "judge",
            f"{one}: a model that is trained against these ratings would learn to do this.",
            alarm=False,
        )
        for one in withstood
        if one.share > 0.25
    ]


def _engine_of(run: Run, trainer: Any, checkpoint: Checkpoint, order: Order) -> LocalEngine:
    plain = load_processor(checkpoint.folder)
    model = trainer.accelerator.unwrap_model(trainer.model)
    model = model.get_base_model() if trainer.is_peft else model
    about = replace(checkpoint, tasks=frozenset(Task), order=order, max_pixels=run.recipe.max_pixels)
    return LocalEngine.around(
        Weights(
            checkpoint=about,
            model=model,
            tokenizer=plain.tokenizer,
            image_processor=plain.image_processor,
            chat_template=plain.chat_template,
            device=next(model.parameters()).device,
            precision=Precision.FP32 if model.dtype == torch.float32 else Precision.BF16,
        )
    )
