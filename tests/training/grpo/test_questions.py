"""Examples as TRL is given them, and how long their prompts are."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qinsight.answers import Clean, Comparison, Winner
from qinsight.engines.weights import load_processor
from qinsight.photos import load_photo
from qinsight.photos.view import view
from qinsight.prompts import Order, Task, build_messages
from training.data.examples import Example, Rated
from training.grpo.questions import Asking, as_dataset, prompt_lengths
from training.grpo.trainer import PhotoReader

PIXELS = 40 * 784


@pytest.fixture
def examples(tmp_path: Path) -> list[Example]:
    photos = []
    for number, size in enumerate([(56, 56), (150, 90), (600, 300)]):
        photos.append(tmp_path / f"{number}.png")
        Image.fromarray(np.full((size[1], size[0], 3), 40 * number, np.uint8)).save(photos[-1])
    return [
        Example("s", "x", Task.SCORE, (photos[1],), Rated(3.5, 70.0)),
        Example("d", "x", Task.DEGRADATION, (photos[2],), Clean()),
        Example("c", "x", Task.COMPARISON, (photos[0], photos[1]), Comparison(Winner.B)),
        Example("r", "x", Task.COMPARISON, tuple(photos), Comparison(Winner.SIMILAR)),
    ]


@pytest.mark.parametrize("order", Order)
def test_a_question_is_the_one_voice_s_with_the_photos_in_their_places(
    examples: list[Example], order: Order
) -> None:
    for example, row in zip(examples, as_dataset(examples, Asking(order, PIXELS)), strict=True):
        shown = [part["image"] for message in row["prompt"] for part in message["content"] if "image" in part]
        assert shown == [str(photo) for photo in example.photos]
        for message in row["prompt"]:
            for part in message["content"]:
                part.pop("image", None)
        assert row["prompt"] == build_messages(example.task, reference=example.reference, order=order)
        assert (row["id"], row["set"], row["task"]) == (example.id, "x", str(example.task))


def test_the_answer_travels_beside_its_question(examples: list[Example]) -> None:
    targets = [json.loads(row["target"]) for row in as_dataset(examples, Asking(Order.PHOTO_FIRST, PIXELS))]
    assert targets == [
        {"mos": 3.5, "label": 70.0},
        {"distortion_class": "null", "severity": "null"},
        {"winner": "Image B"},
        {"winner": "Similar"},
    ]


def test_vllm_is_given_the_view_itself(examples: list[Example]) -> None:
    row = as_dataset(examples, Asking(Order.PHOTO_FIRST, PIXELS, opened=True))[1]
    [shown] = [part["image"] for part in row["prompt"][1]["content"] if part["type"] == "image"]
    assert shown.tobytes() == view(load_photo(examples[1].photos[0]), PIXELS).tobytes()
    assert shown.width * shown.height <= PIXELS


def test_prompt_lengths_are_those_the_processor_makes(examples: list[Example], official: Path) -> None:
    plain = load_processor(official / "score_degradation")
    lengths = prompt_lengths(examples, plain, PIXELS, Order.PHOTO_FIRST)
    processor = load_processor(official / "score_degradation")
    processor.image_processor = PhotoReader.around(plain.image_processor, PIXELS)
    rows = as_dataset(examples, Asking(Order.PHOTO_FIRST, PIXELS))
    for row, told in zip(rows, lengths, strict=True):
        ids = processor.apply_chat_template(
            [row["prompt"]], tokenize=True, return_dict=True, add_generation_prompt=True
        )["input_ids"]
        assert told.shortest == told.median == told.longest == len(ids[0]), told.kind
        assert told.longest_id == row["id"]
    assert [one.kind for one in lengths] == [
        "score",
        "degradation",
        "comparison",
        "comparison with a reference",
    ]


def test_vllm_is_given_one_picture_for_all_rollouts_of_a_photo(examples: list[Example]) -> None:
    rows = as_dataset([examples[1]] * 4, Asking(Order.PHOTO_FIRST, PIXELS, opened=True))[:]
    shown = [
        part["image"]
        for prompt in copy.deepcopy(rows["prompt"])  # as TRL does before it generates
        for part in prompt[1]["content"]
        if part["type"] == "image"
    ]
    assert len(shown) == 4
    assert len({id(picture) for picture in shown}) == 1
