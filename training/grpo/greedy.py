"""How good the model is in the middle of its training: greedy answers to held-out questions, by the app's engine."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from accelerate.utils import gather_object
from trl.models import unwrap_model_for_generation

from qinsight.answers import Answer, Clean, Degradation, Score
from qinsight.engines.checkpoint import Checkpoint, Precision
from qinsight.engines.local import LocalEngine
from qinsight.engines.weights import ImageOnlyProcessor, Weights
from qinsight.photos import load_photo
from qinsight.prompts import Task
from qinsight.requests import Request
from training.data.examples import Example, Rated
from training.evaluate.asking import plain_answers
from training.evaluate.metrics import MetricError, plcc, srcc
from training.grpo.recipe import Recipe
from training.rewards import class_reward, level_reward, task_reward

Answered = tuple[int, Answer | None]


class Greedy:
    """Asks the model being trained about the first `recipe.eval_photos` of the held-out examples."""

    def __init__(
        self, examples: list[Example], checkpoint: Checkpoint, processor: ImageOnlyProcessor, recipe: Recipe
    ) -> None:
        self.examples = spread(examples, recipe.eval_photos)
        self.processor = processor
        self.checkpoint = replace(
            checkpoint, tasks=frozenset(Task), order=recipe.order, max_pixels=recipe.max_pixels
        )

    def __call__(self, trainer: Any) -> dict[str, float]:
        """The numbers of `measures`; every process asks its share and all get the same numbers."""
        process, processes = trainer.accelerator.process_index, trainer.accelerator.num_processes
        mine = list(range(process, len(self.examples), processes))
        with (
            unwrap_model_for_generation(
                trainer.model_wrapped,
                trainer.accelerator,
                gather_deepspeed3_params=trainer.args.ds3_gather_for_generation,
            ) as unwrapped,
            trainer.accelerator.autocast(),
        ):
            model = unwrapped.get_base_model() if trainer.is_peft else unwrapped
            was_training = model.training
            model.eval()
            answered = self._ask(model, mine)
            model.train(was_training)
        together: list[Answered] = sorted(gather_object(answered), key=lambda one: one[0])
        return measures(self.examples, [answer for _, answer in together])

    def _ask(self, model: Any, mine: Sequence[int]) -> list[Answered]:
        engine = LocalEngine.around(
            Weights(
                checkpoint=self.checkpoint,
                model=model,
                tokenizer=self.processor.tokenizer,
                image_processor=self.processor.image_processor,
                chat_template=self.processor.chat_template,
                device=next(model.parameters()).device,
                precision=Precision.FP32 if model.dtype == torch.float32 else Precision.BF16,
            )
        )
        requests = (_request(self.examples[number]) for number in mine)  # a batch of photos at a time
        return list(zip(mine, plain_answers(engine, requests, 512), strict=True))


def measures(examples: Sequence[Example], answers: Sequence[Answer | None]) -> dict[str, float]:
    """Mean task reward, share of unreadable answers, and per task what the paper's tables ask for.

    A number that does not exist (a correlation of one photo, of equal ratings) is left out.
    """
    pairs = list(zip(examples, answers, strict=True))
    found = {
        "reward": _mean([task_reward(one.target, answer) for one, answer in pairs]),
        "unreadable": _mean([float(answer is None) for _, answer in pairs]),
    }
    for task in Task:
        mine = [(one.target, answer) for one, answer in pairs if one.task is task]
        if mine:
            found[f"{task}/reward"] = _mean([task_reward(target, answer) for target, answer in mine])
    rated = [
        (answer.rating, one.target.mos)
        for one, answer in pairs
        if isinstance(one.target, Rated) and isinstance(answer, Score)
    ]
    if len(rated) > 2:
        said, true = np.array(rated).T
        found["score/absolute_error"] = float(np.abs(said - true).mean())
        with suppress(MetricError):
            found |= {"score/plcc": plcc(said, true), "score/srcc": srcc(said, true)}
    named = [(one.target, answer) for one, answer in pairs if isinstance(one.target, Degradation | Clean)]
    if named:
        found["degradation/class"] = _mean([class_reward(target, answer) for target, answer in named])
        found["degradation/level"] = _mean([level_reward(target, answer) for target, answer in named])
    return found


def spread(examples: list[Example], number: int) -> list[Example]:
    """At most `number` examples, evenly from the whole file and so from every task in it."""
    if len(examples) <= number:
        return examples
    return [examples[int(place)] for place in np.linspace(0, len(examples) - 1, number)]


def _request(example: Example) -> Request:
    return Request(example.task, tuple(load_photo(photo) for photo in example.photos), example.reference)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))
