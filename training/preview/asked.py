"""What the preview says to questions about photos in memory, and how often that is true."""

from collections.abc import Sequence

import numpy as np
from PIL import Image
from scipy import stats

from qinsight.answers import Answer, Score
from qinsight.assess import described
from qinsight.engines.local import LocalEngine
from qinsight.requests import Request
from training.evaluate.asking import plain_answers


def ask(engine: LocalEngine, requests: list[Request]) -> list[Answer | None]:
    """Greedy answers in order, photos of like size asked together; None where the reply is none in its plain form."""
    order = sorted(range(len(requests)), key=lambda number: sum(area(one) for one in requests[number].photos))
    answers = plain_answers(engine, (requests[number] for number in order), 160)
    told = dict(zip(order, answers, strict=True))
    return [told[number] for number in range(len(requests))]


def named(answer: Answer | None) -> tuple[str, str]:
    """Class and severity as a diagnosis names them; `unreadable` where there is none."""
    fields = described(answer)
    return str(fields.get("distortion_class", "unreadable")), str(fields.get("severity", ""))


def rating(answer: Answer | None) -> float | None:
    """The rating; None where there is none."""
    return answer.rating if isinstance(answer, Score) else None


def fall(ratings: Sequence[float | None]) -> float:
    """How well ratings fall from first to last: SRCC, 1 where each is below the one before; 0 where all are equal."""
    read = [(step, -rating) for step, rating in enumerate(ratings) if rating is not None]
    if len({rating for _, rating in read}) < 2:
        return 0.0
    return float(stats.spearmanr(*zip(*read, strict=True)).statistic)


def share(flags: list[bool]) -> str:
    """The share of what is true, to three decimals."""
    return f"{np.mean(flags):.3f}"


def area(photo: Image.Image) -> int:
    """Pixels."""
    return photo.width * photo.height
