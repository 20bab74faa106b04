"""What is about to happen, in numbers that tell a wrong batch, a cut prompt or a full disk before anything is read."""

from pathlib import Path

from qinsight.engines.checkpoint import Checkpoint
from qinsight.engines.weights import load_processor
from qinsight.photos.view import TOKEN
from training.data.examples import Example
from training.grpo.fits import check_fit
from training.grpo.questions import Lengths
from training.grpo.recipe import Recipe, Settings
from training.grpo.room import (
    Load,
    check_disk,
    config_of,
    count,
    device_bytes,
    device_room,
    disk_bytes,
    learning,
    memory_words,
)


def plan(
    recipe: Recipe,
    settings: Settings,
    checkpoint: Checkpoint,
    train: list[Example],
    test: list[Example],
) -> str:
    """The first lines of a run; `RecipeError` where it cannot be as described."""
    config = config_of(checkpoint.folder)
    counts = count(config, recipe)
    lengths = check_fit(recipe, settings, checkpoint, load_processor(checkpoint.folder), train)
    longest = max(lengths, key=lambda one: one.longest)
    epoch, updates = _updates(len(train), settings)
    load = _load(recipe, settings, longest, train)
    memory = device_bytes(config, counts, load, recipe, settings)
    disk = disk_bytes(counts, recipe, settings, updates)
    completions = updates * settings.total_batch
    lines = [
        f"Model      {recipe.model}, {recipe.adapt}, {learning(counts, recipe):,} of {counts.whole:,} weights learn"
        + ("" if recipe.train_vision else ", vision tower frozen"),
        f"Update     {settings.total_batch} completions = {_prompts(settings)} prompts x {settings.num_generations} "
        f"rollouts ({settings.per_device_train_batch_size} per device x {settings.world_size} processes x "
        f"{settings.gradient_accumulation_steps} accumulation)",
        f"Length     {updates:,} updates, {epoch:,} in an epoch of {len(train):,} examples; "
        f"{completions:,} completions in all",
        *(
            f"Prompts    {one.kind}: {one.number:,}, {one.shortest} to {one.longest} tokens (median {one.median})"
            for one in lengths
        ),
        f"Held out   {len(test):,} examples" if test else "Held out   nothing (--test)",
        f"Memory     {memory_words(memory, device_room(settings))}",
        f"Disk       {check_disk(disk, Path(str(settings.output_dir)))}",
    ]
    return "\n".join(lines)


def _prompts(settings: Settings) -> int:
    return settings.total_batch // (settings.num_generations or 1)


def _updates(examples: int, settings: Settings) -> tuple[int, int]:
    """Of an epoch, and of the run."""
    epoch = examples // _prompts(settings)
    whole = settings.max_steps if settings.max_steps > 0 else int(epoch * settings.num_train_epochs)
    return epoch, whole


def _load(recipe: Recipe, settings: Settings, longest: Lengths, train: list[Example]) -> Load:
    batch = settings.per_device_train_batch_size * (settings.steps_per_generation or 1)
    photos = max(len(one.photos) for one in train)
    patches = 4 * recipe.max_pixels // TOKEN**2
    return Load(
        rows=settings.per_device_train_batch_size,
        generated=min(settings.rollouts_at_once or batch, batch),
        asked=longest.longest,
        tokens=longest.longest + (settings.max_completion_length or 0),
        photos=max(1, batch // (settings.num_generations or 1)),
        patches=photos * patches,
        batch=batch,
    )
