"""Every example put to a model, in batches, each answer a line as soon as it is there.

The photos of the next batch are decoded while the model works on this one. A photo that cannot be read is a line
with its reason; so is a question for which the model lacks memory or time.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache, partial
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import Any

from PIL import Image

from qinsight.ahead import ahead
from qinsight.answers import Answer, Comparison, Score
from qinsight.assess import Asked, ask, ask_each, comparison, described, last, summary
from qinsight.errors import PhotoError, RequestFailed
from qinsight.photos import load_photo
from qinsight.photos.view import view
from qinsight.prompts import Task
from qinsight.requests import GREEDY, Engine, Request, Sampling
from training.data.examples import Example, Target, as_json, target_json
from training.evaluate.predictions import Fault
from training.rewards import read_plainly

BATCH = 16  # asked together
AHEAD = 2  # batches whose photos are decoded before they are asked about
DECODERS = 2  # threads


@dataclass(frozen=True)
class Questions:
    """How everything is asked: `samples` times, and comparisons with a reference in both orders if so told.

    Without a reference a comparison is always asked in both orders.
    """

    sampling: Sampling = GREEDY
    samples: int = 1
    both_orders: bool = False
    max_pixels: int | None = None
    batch: int = BATCH


@dataclass(frozen=True)
class _Ready:
    example: Example
    photos: tuple[Image.Image, ...] = ()
    error: str | None = None


def ask_all(
    engine: Engine, examples: Sequence[Example], root: Path, questions: Questions = Questions()
) -> Iterator[dict[str, Any]]:
    """A line (see `training.evaluate.predictions`) for each example, as it is answered; photos named below `root`.

    Raises `EngineError` where the model cannot be asked at all. Closing the iterator stops the model.
    """
    limit = engine.about.at(questions.max_pixels).max_pixels
    size = questions.batch
    batches = [examples[start : start + size] for start in range(0, len(examples), size)]
    with closing(ahead(partial(_decoded, limit), batches, AHEAD, threads=DECODERS)) as decoded:
        for batch in filter(None, decoded):
            for one in batch:
                if one.error is not None:
                    yield _line(one.example, root, engine, fault=Fault.PHOTO, error=one.error)
            mine = {one.example: _requests(one, questions) for one in batch if one.error is None}
            for example, asked in ask_each(engine, mine, questions.sampling, max_pixels=limit):
                if isinstance(asked, RequestFailed):
                    yield _line(example, root, engine, fault=Fault.MODEL, error=str(asked))
                else:
                    yield _answered(example, root, engine, asked, questions.samples)


def plain_answers(engine: Engine, requests: Iterable[Request], most_tokens: int) -> list[Answer | None]:
    """Greedy answers in order; None where a reply is not an answer to its question in its plain form."""
    found: list[Answer | None] = []
    left = iter(requests)
    while batch := list(islice(left, BATCH)):
        replies = last(ask(engine, batch, Sampling(max_new_tokens=most_tokens), watched=False))
        found += [read_plainly(one.request.task, one.text) for one in replies]
    return found


def _decoded(limit: int, batch: Sequence[Example]) -> list[_Ready]:
    """The examples with their photos, each photo read once."""

    @cache
    def photo(path: Path) -> Image.Image:
        return view(load_photo(path), limit)

    found = []
    for example in batch:
        try:
            found.append(_Ready(example, tuple(map(photo, example.photos))))
        except PhotoError as error:
            found.append(_Ready(example, error=str(error)))
        except OSError as error:
            found.append(_Ready(example, error=f"the file cannot be read: {error.strerror or error}"))
    return found


def _requests(one: _Ready, questions: Questions) -> list[Request]:
    """The first order as often as samples are drawn, then the second where there is one."""
    if one.example.task is not Task.COMPARISON:
        odds = one.example.task is Task.SCORE  # for the expected rating
        return [Request(one.example.task, one.photos, odds=odds)] * questions.samples
    *reference, a, b = one.photos
    orders = comparison(a, b, *reference)
    if reference and questions.both_orders:
        orders += comparison(b, a, *reference)
    return [request for request in orders for _ in range(questions.samples)]


# --- lines ------------------------------------------------------------------------------------------------


def _line(example: Example, root: Path, engine: Engine, **fields: Any) -> dict[str, Any]:
    """What is asked and what is true, then what came; the answer's fields are null where none did."""
    shown = as_json(example, root)
    line = {name: shown[name] for name in ("id", "set", "task", "photos")}
    line |= {"target": target_value(example.target), "prediction": None}
    if "label" in shown:
        line["label"] = shown["label"]
    return line | fields | {"model": engine.about.name}


def target_value(target: Target) -> Any:
    """The target as `--predictions` reads it: a number on 1 to 5, class and severity, or the winner."""
    fields = target_json(target)
    return fields.get("mos", fields.get("winner", fields))


def _answered(
    example: Example, root: Path, engine: Engine, asked: Sequence[Asked], samples: int
) -> dict[str, Any]:
    first, second = asked[:samples], asked[samples:]
    answer, error = _verdict(first)
    ratings = [one.expected_rating for one in first if one.expected_rating is not None]
    fields: dict[str, Any] = {"prediction": _value(answer)}
    if example.task is Task.SCORE:
        fields["expected_rating"] = fmean(ratings) if ratings else None
    if second:
        other, other_error = _verdict(second)
        fields["swapped"] = str(other.winner.swapped) if isinstance(other, Comparison) else None
        fields |= {"swapped_reply": second[0].text, "swapped_error": other_error}
    if samples > 1:
        fields["samples"] = [
            {"reply": one.text, "prediction": _value(one.answer), "error": one.error} for one in first
        ]
    return _line(
        example,
        root,
        engine,
        **fields,
        fault=None if answer else Fault.ANSWER,
        error=error,
        repairs=list(first[0].answer.repairs) if first[0].answer else [],
        thinking=first[0].reply.thinking,
        reply=first[0].text,
        tokens=sum(one.tokens for one in asked),
        seconds=round(max(one.seconds for one in asked), 3),
    )


def _verdict(asked: Sequence[Asked]) -> tuple[Answer | None, str | None]:
    """The answer, of several samples the mean rating or the most frequent one; else why there is none."""
    if len(asked) == 1:
        return asked[0].answer, asked[0].error
    found = summary(asked)
    answer = Score(found.rating) if found.rating is not None else found.answer
    return answer, None if answer else asked[0].error


def _value(answer: Answer | None) -> Any:
    fields = described(answer)
    return fields.get("rating", fields.get("winner", fields)) if fields else None
