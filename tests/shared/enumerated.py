"""The mean of every rating a model might write, by asking it for each beginning of a number."""

import re

import torch
from PIL import Image
from torch import Tensor

from qinsight.assess import ask, last
from qinsight.engines.decoding import Growing
from qinsight.engines.local import LocalEngine, prepare
from qinsight.engines.weights import Weights
from qinsight.prompts import Task
from qinsight.requests import Request

BEFORE = re.compile(r'"rating": ')


def expected_and_mean(engine: LocalEngine, photo: Image.Image) -> tuple[float, float]:
    """The expected rating that the engine's one way through the digits gives, and the mean over all ways, to the hundredth."""
    request = Request(Task.SCORE, (photo,))
    [asked] = last(ask(engine, [request]))
    found = BEFORE.search(asked.text)
    if found is None or asked.expected_rating is None:
        raise ValueError(f"expected a rating with its odds, got {asked.text!r}")
    [weights] = engine._loaded.values()
    return asked.expected_rating, _mean(weights, request, asked.text[: found.end()])


@torch.inference_mode()
def _mean(weights: Weights, request: Request, written: str) -> float:
    [prompt] = prepare(weights, [request], weights.checkpoint.max_pixels)
    words = torch.tensor(_ids(weights, written))
    spoken = weights.model.get_input_embeddings()(words)
    at = int(prompt.positions.max()) + 1
    places = (at + torch.arange(len(words)))[None].expand(3, -1)
    embeddings = torch.cat([prompt.embeddings, spoken])[None]
    positions = torch.cat([prompt.positions, places], 1)[:, None]
    rows = Growing(weights.model)
    mask = torch.ones(embeddings.shape[:2], dtype=torch.long)
    first = rows.prompt(embeddings, positions, mask).softmax(-1)[0]
    return _over_all(weights, rows, first, at + len(words))


def _over_all(weights: Weights, rows: Growing, first: Tensor, at: int) -> float:
    """One digit, a point, a tenth, and a hundredth or none."""
    digits = torch.tensor([_ids(weights, str(digit))[0] for digit in range(10)])
    point = torch.tensor(_ids(weights, "."))
    rows.keep([0] * 5)
    rows.read(digits[1:6], torch.full((5,), at))
    tenths = rows.read(point.expand(5), torch.full((5,), at + 1)).softmax(-1)[:, digits]
    rows.keep([row for row in range(5) for _ in range(10)])
    hundredths = rows.read(digits.repeat(5), torch.full((50,), at + 2)).softmax(-1)[:, digits].view(5, 10, 10)
    begun = first[digits[1:6], None] * tenths
    number = torch.arange(1.0, 6)[:, None] + torch.arange(10) / 10
    more = hundredths @ (torch.arange(10) / 100)  # a number that ends at the tenth has none
    return float((begun * (number + more)).sum() / begun.sum())


def _ids(weights: Weights, text: str) -> list[int]:
    return list(weights.tokenizer(text, add_special_tokens=False)["input_ids"])
