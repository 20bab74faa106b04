"""Examples as TRL wants them: a conversation with the photos' paths in it, and the answer beside it."""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from statistics import median
from typing import Any

from datasets import Dataset
from PIL import Image

from qinsight.engines.weights import ImageOnlyProcessor
from qinsight.photos import load_photo
from qinsight.photos.view import image_tokens, view
from qinsight.prompts import Order, Task, build_messages
from training.data.examples import Example, target_json

REMEMBERED = 64  # opened views that are kept: those of a batch, not those of an epoch


@dataclass(frozen=True)
class Asking:
    """Turns rows of a data set into questions, when they are asked for.

    `opened` puts the photo itself into the conversation instead of its path: vLLM wants it so. Otherwise the
    path travels, which costs nothing to copy for every rollout, and the processor opens it once.
    """

    order: Order
    max_pixels: int
    opened: bool = False

    def __call__(self, rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
        asked = [
            self._conversation(Task(task), photos)
            for task, photos in zip(rows["task"], rows["photos"], strict=True)
        ]
        return {"prompt": asked, **{name: rows[name] for name in ("id", "task", "target", "set")}}

    def _conversation(self, task: Task, photos: list[str]) -> list[dict[str, Any]]:
        messages = build_messages(task, reference=len(photos) == 3, order=self.order)
        paths = iter(photos)
        for message in messages:
            for part in message["content"]:
                if part["type"] == "image":
                    path = next(paths)
                    part["image"] = _opened(path, self.max_pixels) if self.opened else path
        return messages


class Shared(Image.Image):
    """A picture that stays one object for all its rollouts: TRL copies conversations with all that is in them."""

    def __deepcopy__(self, _: Any) -> "Shared":
        return self


@lru_cache(maxsize=REMEMBERED)
def _opened(path: str, max_pixels: int) -> Image.Image:
    """The view of a photo, decoded once for the rows of a batch that show it."""
    picture = view(load_photo(Path(path)), max_pixels)
    picture.load()
    picture.__class__ = Shared
    return picture


def as_dataset(examples: list[Example], asking: Asking) -> Dataset:
    """What TRL trains on: columns `prompt`, `id`, `task`, `target` (JSON) and `set`, made row by row."""
    rows = [
        {
            "id": one.id,
            "task": str(one.task),
            "photos": [str(photo) for photo in one.photos],
            "target": json.dumps(target_json(one.target)),
            "set": one.set,
        }
        for one in examples
    ]
    return Dataset.from_list(rows).with_transform(asking)


@dataclass(frozen=True)
class Lengths:
    """Tokens of the prompts of one kind of question, photos included."""

    kind: str
    number: int
    shortest: int
    median: int
    longest: int
    longest_id: str


def prompt_lengths(
    examples: list[Example], processor: ImageOnlyProcessor, max_pixels: int, order: Order
) -> list[Lengths]:
    """How long the prompts are, from the sizes in the photos' headers: nothing is ever cut off a prompt."""
    words: dict[tuple[Task, bool], int] = {}
    sizes: dict[Path, int] = {}
    found: dict[tuple[Task, bool], list[tuple[int, str]]] = {}
    for one in examples:
        kind = (one.task, one.reference)
        if kind not in words:
            messages = build_messages(one.task, reference=one.reference, order=order)
            text = processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
            words[kind] = len(processor.tokenizer(text).input_ids) - len(one.photos)
        for photo in one.photos:
            if photo not in sizes:
                sizes[photo] = _image_tokens(photo, max_pixels)
        total = words[kind] + sum(sizes[photo] for photo in one.photos)
        found.setdefault(kind, []).append((total, one.id))
    return [
        Lengths(
            kind=f"{task} with a reference" if reference else str(task),
            number=len(rows),
            shortest=min(rows)[0],
            median=round(median(length for length, _ in rows)),
            longest=max(rows)[0],
            longest_id=max(rows)[1],
        )
        for (task, reference), rows in found.items()
    ]


@lru_cache(maxsize=1 << 18)
def _image_tokens(photo: Path, max_pixels: int) -> int:
    try:
        with Image.open(photo) as opened:
            size = opened.size
    except OSError:  # HEIC and RAW, which Pillow does not know
        size = load_photo(photo).size
    return image_tokens(*size, max_pixels)
