"""Every question is put in the words the weights have seen."""

from typing import Any

import pytest

from qinsight.prompts import Order, Task, build_messages

# Table A of the paper, as quoted in the project's notes; no published script asks this one.
TABLE_A = (
    "Given Image A: ",
    None,
    " and Image B: ",
    None,
    ", assess the visual quality of both the Image A and the Image B, explain and justify which one is better "
    'considering composition and degradation. Your answer should be "Image A" or "Image B".',
)


def _without_paths(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The scripts' messages name their photos; ours leave a place for them."""
    return [
        {
            "role": message["role"],
            "content": [
                {"type": "image"} if part["type"] == "image" else part for part in message["content"]
            ],
        }
        for message in messages
    ]


@pytest.mark.parametrize(
    ("script", "task", "reference"),
    [
        ("score", Task.SCORE, False),
        ("dist", Task.DEGRADATION, False),
        ("comparison", Task.COMPARISON, True),
    ],
)
def test_a_question_has_the_words_of_the_published_script(
    expected: dict[str, Any], script: str, task: Task, reference: bool
) -> None:
    assert build_messages(task, reference=reference) == _without_paths(expected[script]["messages"])


def test_a_comparison_without_reference_has_the_words_of_table_a(expected: dict[str, Any]) -> None:
    system, user = build_messages(Task.COMPARISON)
    assert system == expected["score"]["messages"][0]
    assert [part.get("text") for part in user["content"]] == list(TABLE_A)
    assert [part["type"] for part in user["content"]] == ["text", "image", "text", "image", "text"]


@pytest.mark.parametrize("task", [Task.SCORE, Task.DEGRADATION])
def test_a_checkpoint_of_ours_is_shown_the_photo_before_the_same_question(task: Task) -> None:
    published = build_messages(task)
    ours = build_messages(task, order=Order.PHOTO_FIRST)
    assert ours[0] == published[0]
    assert ours[1]["content"] == published[1]["content"][::-1]
    assert ours[1]["content"][0] == {"type": "image"}


@pytest.mark.parametrize("reference", [False, True])
def test_the_words_of_a_comparison_say_where_its_photos_go_so_the_order_changes_nothing(
    reference: bool,
) -> None:
    asked = [build_messages(Task.COMPARISON, reference=reference, order=order) for order in Order]
    assert asked[0] == asked[1]


@pytest.mark.parametrize("task", [Task.SCORE, Task.DEGRADATION])
def test_a_reference_is_refused_where_nothing_is_compared(task: Task) -> None:
    with pytest.raises(ValueError, match=f"reference only for a comparison, got one for {task}"):
        build_messages(task, reference=True)
