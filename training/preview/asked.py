"""What the preview says to questions about photos in memory, and how often that is true."""

import numpy as np
from PIL import Image

from qinsight.answers import Clean, Comparison, Degradation, Score
from qinsight.engines.local import LocalEngine
from qinsight.requests import Request, Sampling
from training.rewards import read_plainly

BATCH = 16

Answered = Score | Degradation | Clean | Comparison | None


def ask(engine: LocalEngine, requests: list[Request]) -> list[Answered]:
    """Greedy answers in order; None where the reply is not an answer to this question in its plain form."""
    answers: list[Answered] = [None] * len(requests)
    order = sorted(range(len(requests)), key=lambda number: sum(area(one) for one in requests[number].photos))
    for start in range(0, len(order), BATCH):
        batch = order[start : start + BATCH]
        words = [""] * len(batch)
        for delta in engine.stream([requests[number] for number in batch], Sampling(max_new_tokens=160)):
            words[delta.request] += delta.text
        for number, text in zip(batch, words, strict=True):
            answers[number] = read_plainly(requests[number].task, text)
    return answers


def named(answer: Answered) -> tuple[str, str]:
    """Class and severity as a diagnosis names them; `unreadable` where there is none."""
    if isinstance(answer, Degradation):
        return str(answer.distortion), str(answer.severity)
    return ("null", "null") if isinstance(answer, Clean) else ("unreadable", "")


def share(flags: list[bool]) -> str:
    """The share of what is true, to three decimals."""
    return f"{np.mean(flags):.3f}"


def area(photo: Image.Image) -> int:
    """Pixels."""
    return photo.width * photo.height
