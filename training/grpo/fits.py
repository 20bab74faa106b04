"""Whether a run can begin at all: enough examples, prompts that the model has room for. Told before weights are read."""

import json

from qinsight.engines.checkpoint import Checkpoint
from qinsight.engines.weights import ImageOnlyProcessor
from training.data.examples import Example
from training.grpo.questions import Lengths, prompt_lengths
from training.grpo.recipe import Recipe, RecipeError, Settings


def check_fit(
    recipe: Recipe,
    settings: Settings,
    checkpoint: Checkpoint,
    plain: ImageOnlyProcessor,
    train: list[Example],
) -> list[Lengths]:
    """The lengths of the prompts; `RecipeError` for what could only fail later, when the weights are loaded."""
    prompts = settings.total_batch // (settings.num_generations or 1)
    if len(train) < prompts:
        raise RecipeError(f"Expected at least {prompts} examples for one update; got {len(train)}.")
    lengths = prompt_lengths(train, plain, recipe.max_pixels, recipe.order)
    longest, room = max(lengths, key=lambda one: one.longest), room_of(checkpoint)
    if room and longest.longest + (settings.max_completion_length or 0) > room:
        raise RecipeError(
            f'The prompt of "{longest.longest_id}" takes {longest.longest} tokens and a reply '
            f"{settings.max_completion_length}; the model has room for {room}. Lower max_pixels."
        )
    return lengths


def room_of(checkpoint: Checkpoint) -> int | None:
    """Tokens that the model's positions reach to; None where config.json does not say."""
    config = json.loads((checkpoint.folder / "config.json").read_text(encoding="utf-8"))
    for part in (config.get("text_config") or {}, config):
        if isinstance(part.get("max_position_embeddings"), int):
            return int(part["max_position_embeddings"])
    return None
