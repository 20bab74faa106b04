"""Every question put to the model: its exact words, and the order of question and photo.

The words are those of Q-Insight (arXiv 2503.22679, Table A, and the published demo scripts,
Apache-2.0), letter for letter: the weights have never seen others. `tests/test_prompts.py` pins them.
"""

from enum import StrEnum
from typing import Any

SYSTEM = (
    "A conversation between User and Assistant. The user asks a question, and the Assistant solves it. "
    "The assistant first thinks about the reasoning process in the mind and then provides the user with "
    "the answer. The reasoning process and answer are enclosed within <think> </think> and "
    "<answer> </answer> tags, respectively, i.e., <think> reasoning process here </think>"
    "<answer> answer here </answer>"
)

SCORE = (
    "What is your overall rating on the quality of this picture? The rating should be a float between "
    "1 and 5, rounded to two decimal places, with 1 representing very poor quality and 5 representing "
    "excellent quality. Return the final answer in JSON format with the following keys: "
    '"rating": The score.'
)

DEGRADATION = (
    "Analyze the given image and determine if it contains any of the following distortions: "
    '"noise", "compression", "blur", or "darken". If a distortion is present, classify its severity as '
    '"slight", "moderate", "obvious", "serious", or "catastrophic". Return the result in JSON format '
    'with the following keys: "distortion_class": The detected distortion (or "null" if none). and '
    '"severity": The severity level (or "null" if none).'
)

COMPARISON = (
    "Given Image A: ",
    " and Image B: ",
    ", assess the visual quality of both the Image A and the Image B, explain and justify which one is "
    'better considering composition and degradation. Your answer should be "Image A" or "Image B".',
)

COMPARISON_WITH_REFERENCE = (
    "Given a low-quality reference image and two enhanced outputs. Reference Image:",
    "Image A:",
    "Image B:",
    "Decide which enhanced image is superior or if they are comparable. Evaluate based on: "
    "1) fidelity and consistency with the reference image; 2) overall perceptual quality. "
    "Return **exactly one** of: Image A, Image B, or Similar.",
)


class Task(StrEnum):
    """What can be asked about photos; also the value in data files, JSON lines and file names."""

    SCORE = "score"
    DEGRADATION = "degradation"
    COMPARISON = "comparison"


ABOUT_ONE_PHOTO = {Task.SCORE: SCORE, Task.DEGRADATION: DEGRADATION}
KNOWN_BEFORE = frozenset({Task.SCORE, Task.DEGRADATION, Task.COMPARISON})
"""What a model that does not say its tasks was taught: a later task is asked only of models that name it."""


class Order(StrEnum):
    """Whether a question about one photo stands before the photo or after it.

    The published demo scripts ask the question first; the published training code shows the photo
    first, and so do checkpoints trained here, which say so in their `qinsight.json`.
    """

    QUESTION_FIRST = "question_first"
    PHOTO_FIRST = "photo_first"

    @property
    def other(self) -> "Order":
        """The other one."""
        return Order.PHOTO_FIRST if self is Order.QUESTION_FIRST else Order.QUESTION_FIRST


Message = dict[str, Any]


def build_messages(
    task: Task, *, reference: bool = False, order: Order = Order.QUESTION_FIRST
) -> list[Message]:
    """The conversation for one question, with `{"type": "image"}` where each photo goes.

    Photos fill the placeholders in order: one for `score` and `degradation`; A, B for `comparison`;
    reference, A, B for `comparison` with `reference=True`. `order` matters only for one-photo
    questions, because the words of a comparison say where its photos go.
    """
    if task is Task.COMPARISON:
        captions = COMPARISON_WITH_REFERENCE if reference else COMPARISON
        content = [_text(captions[0])]
        for caption in captions[1:]:
            content += [{"type": "image"}, _text(caption)]
    elif reference:
        raise ValueError(f"expected a reference only for a comparison, got one for {task}")
    else:
        content = [_text(ABOUT_ONE_PHOTO[task]), {"type": "image"}]
        if order is Order.PHOTO_FIRST:
            content.reverse()
    return [{"role": "system", "content": [_text(SYSTEM)]}, {"role": "user", "content": content}]


def _text(words: str) -> Message:
    return {"type": "text", "text": words}
