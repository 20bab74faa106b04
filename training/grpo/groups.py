"""Groups without signal: rollouts of one question that are all as right, or all as wrong, as each other.

Whether a group has one is judged by the rewards for being right, never by the one for the layout: a group that only
differs in its layout would otherwise teach nothing but layout (verl-project/verl-recipe#125).
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from training.grpo.recipe import Settings

LAYOUT = "format"
ROUNDS = 2  # times that other questions are asked in place of groups without signal
TO_THE_LEFT = ("prompt_ids", "prompt_mask")
PHOTOS = ("pixel_values", "image_grid_thw")


def without_signal(rewards: Tensor, names: Sequence[str], rollouts: int) -> Tensor:
    """For each group, whether no reward but that of the layout differs in it. `rewards` is (rows, functions)."""
    chosen = [place for place, name in enumerate(names) if name != LAYOUT]
    grouped = rewards[:, chosen or range(len(names))].view(-1, rollouts, len(chosen) or len(names))
    spread = grouped.nan_to_num(nan=-1.0)
    return (spread == spread[:, :1]).all(1).all(1)


def draw(number: int, examples: int, seed: Sequence[int]) -> list[int]:
    """Questions to ask in place of others: the same ones in a run that is resumed."""
    generator = torch.Generator().manual_seed(hash(tuple(seed)) % 2**63)
    return torch.randint(examples, (number,), generator=generator).tolist()


def leave_out(batch: dict[str, Any], empty: Tensor, rollouts: int) -> None:
    """Rows of groups without signal count for nothing: no advantage, no token."""
    rows = empty.repeat_interleave(rollouts).to(batch["advantages"].device)
    batch["advantages"] = batch["advantages"].masked_fill(rows, 0.0)
    batch["completion_mask"] = batch["completion_mask"].masked_fill(rows[:, None], 0)


def put_in_place(
    batch: dict[str, Any], other: dict[str, Any], pairs: Sequence[tuple[int, int]], rollouts: int, pad: int
) -> dict[str, Any]:
    """`batch` with group i taken from group j of `other`, for each pair (i, j), padded to the longer of both."""
    rows = list(range(len(batch["completion_ids"])))
    for mine, theirs in pairs:
        start = len(rows) + theirs * rollouts
        rows[mine * rollouts : (mine + 1) * rollouts] = range(start, start + rollouts)
    merged = {}
    for name, value in batch.items():
        if name in PHOTOS or name == "num_images":
            continue
        if isinstance(value, Tensor) and value.ndim:
            both = _side_by_side(name, value, other[name], batch, other, pad)
            merged[name] = both[torch.tensor(rows, device=both.device)]
        else:
            merged[name] = value
    return {**merged, **_photos(batch, other, rows)}


def _side_by_side(
    name: str, one: Tensor, two: Tensor, batch: dict[str, Any], other: dict[str, Any], pad: int
) -> Tensor:
    """Rows of both below each other. Prompts are padded before their words, replies after them."""
    if one.ndim == 1 or (one.shape[1] == 1 and two.shape[1] == 1):
        return torch.cat([one, two])
    prompts = [each["prompt_ids"].shape[1] for each in (batch, other)]
    replies = [each["completion_ids"].shape[1] for each in (batch, other)]
    filling = pad if name.endswith("_ids") and not name.endswith("type_ids") else 0
    both = []
    for value, prompt, reply in zip((one, two), prompts, replies, strict=True):
        whole = name.endswith("type_ids")  # of prompt and reply in one row
        left = max(prompts) - prompt if whole or name in TO_THE_LEFT else 0
        right = max(replies) - reply if whole or name not in TO_THE_LEFT else 0
        both.append(torch.nn.functional.pad(value, (left, right), value=filling))
    return torch.cat(both)


def _photos(batch: dict[str, Any], other: dict[str, Any], rows: list[int]) -> dict[str, Any]:
    counts = [*batch["num_images"], *other["num_images"]]
    grids = torch.cat([batch["image_grid_thw"], other["image_grid_thw"]])
    sizes = grids.prod(-1).tolist()
    pieces = [*batch["pixel_values"].split(sizes[: len(batch["image_grid_thw"])])]
    pieces += other["pixel_values"].split(sizes[len(batch["image_grid_thw"]) :])
    starts = [sum(counts[:row]) for row in range(len(counts))]
    chosen = [place for row in rows for place in range(starts[row], starts[row] + counts[row])]
    return {
        "pixel_values": torch.cat([pieces[place] for place in chosen]),
        "image_grid_thw": grids[torch.tensor(chosen, device=grids.device)],
        "num_images": [counts[row] for row in rows],
    }


def share_left(kept: int, groups: int, settings: Settings) -> float:
    """What a loss that is a mean over all rows is multiplied by, to be the mean over those that are left in."""
    if settings.loss_type in ("dapo", "cispo", "vespo") or not kept:
        return 1.0  # divided by the tokens that are left in, or nothing is left in
    return groups / kept
