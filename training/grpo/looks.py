"""Every photo looked at once: a vision tower that shares its work between the rollouts, and between the passes.

A tower that does not learn sees a photo the same way all through an update, so what it saw serves the generation,
the reference and the gradient. One that learns looks twice: to speak, and, with gradients, to learn; the reference
beside it has a tower of its own, which looks once.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VisionTransformerPretrainedModel

GIB = 1024**3
PLACES = 16  # numbers of a photo that are compared first; equal photos are then compared in every bit

Way = tuple[bool, bool]
"""How a tower looked: with autocast (which tells on one that learns), and with its adapters off."""


class Looks:
    """What one tower, or several with the same weights, saw in this update, in at most `most` bytes.

    What does not fit is looked at again. `sharded` towers hold a part of their weights on each process and must
    look at the same time: `anywhere` tells whether any process has something new to look at.
    """

    def __init__(self, most: int, anywhere: Callable[[bool], bool] | None = None) -> None:
        self.most, self.anywhere = most, anywhere
        self.count = 0
        self.forget()

    def forget(self) -> None:
        """Another batch begins."""
        self.kept: dict[tuple[Any, ...], list[tuple[Tensor, Tensor]]] = {}
        self.used = 0

    def find(self, way: Way, patches: Tensor, grid: tuple[int, ...]) -> Tensor | None:
        """The features of a photo that was seen before, every bit of it the same."""
        alike = self.kept.get((way, grid, *_mark(patches)), ())
        return next((features for known, features in alike if torch.equal(known, patches)), None)

    def keep(self, way: Way, patches: Tensor, grid: tuple[int, ...], features: Tensor) -> None:
        size = patches.nbytes + features.nbytes
        if self.used + size <= self.most:
            self.used += size
            mine = self.kept.setdefault((way, grid, *_mark(patches)), [])
            mine.append((patches.detach().clone(), features.detach().clone()))

    def taken(self) -> int:
        """The looks since this was asked last."""
        count, self.count = self.count, 0
        return count


class SharedEyes(Qwen2_5_VisionTransformerPretrainedModel):
    """The vision tower, which looks once at photos that stand several times in a batch, or come again.

    The features of each photo are handed to all its rollouts; on the way back their gradients add up, as they
    would have over the copies. Without `looks` nothing is remembered from one pass to the next.
    """

    looks: Looks | None = None

    def forward(self, hidden_states: Tensor, grid_thw: Tensor, **kwargs: Any) -> Any:
        first, copies = distinct(hidden_states, grid_thw)
        if self.looks is not None and not torch.is_inference_mode_enabled():
            return self._remembering(hidden_states, grid_thw, first, copies, **kwargs)
        if len(first) == len(grid_thw):
            return super().forward(hidden_states, grid_thw, **kwargs)
        sizes = grid_thw.prod(-1).tolist()
        patches = hidden_states.split(sizes)
        seen = super().forward(torch.cat([patches[one] for one in first]), grid_thw[first], **kwargs)
        merge = self.spatial_merge_size**2
        for name, share in (("last_hidden_state", 1), ("pooler_output", merge)):
            parts = seen[name].split([sizes[one] // share for one in first])
            seen[name] = torch.cat([parts[one] for one in copies])
        return seen

    def _remembering(
        self, hidden_states: Tensor, grid_thw: Tensor, first: list[int], copies: list[int], **kwargs: Any
    ) -> Any:
        """The same, with what `looks` holds taken from there; only `pooler_output`, which is what is read."""
        assert self.looks is not None
        frozen = not any(weight.requires_grad for weight in self.parameters())
        remembers = frozen or not torch.is_grad_enabled()
        off = any(getattr(module, "disable_adapters", False) for module in self.modules())
        way = (not frozen and torch.is_autocast_enabled(hidden_states.device.type), off)
        grids = [tuple(grid_thw[one].tolist()) for one in first]
        pieces = hidden_states.split(grid_thw.prod(-1).tolist())
        photos = [pieces[one] for one in first]
        known = [
            self.looks.find(way, photo, grid) if remembers else None
            for photo, grid in zip(photos, grids, strict=True)
        ]
        new = [place for place, features in enumerate(known) if features is None]
        asked = new
        if self.looks.anywhere is not None and self.looks.anywhere(bool(new)) and not new:
            asked = [0]  # another process needs the weights that this one holds: look with it, at anything
        if asked:
            places = [first[place] for place in asked]
            looked = super().forward(torch.cat([pieces[one] for one in places]), grid_thw[places], **kwargs)
            merge = self.spatial_merge_size**2
            parts = looked["pooler_output"].split([pieces[one].shape[0] // merge for one in places])
            self.looks.count += len(asked)
            for place, features in zip(asked, parts, strict=True):
                known[place] = features if place in new else known[place]
                if remembers and place in new:
                    self.looks.keep(way, photos[place], grids[place], features)
        features = [known[one] for one in copies]
        return BaseModelOutputWithPooling(
            pooler_output=torch.cat([one for one in features if one is not None])
        )


def distinct(patches: Tensor, grids: Tensor) -> tuple[list[int], list[int]]:
    """Which photos of a batch come first of their kind, and for each photo which of those it equals.

    `patches` is (all patches, 1176), `grids` (photos, 3). Equal means equal in every bit.
    """
    pieces = patches.split(grids.prod(-1).tolist())
    known: dict[tuple[Any, ...], list[int]] = {}
    first: list[int] = []
    copies: list[int] = []
    for place, (grid, mark) in enumerate(zip(grids.tolist(), _marks(pieces), strict=True)):
        alike = known.setdefault((*grid, *mark), [])
        same = next((one for one in alike if torch.equal(pieces[first[one]], pieces[place])), None)
        if same is None:
            same = len(first)
            first.append(place)
            alike.append(same)
        copies.append(same)
    return first, copies


def _marks(pieces: tuple[Tensor, ...]) -> list[tuple[float, ...]]:
    """A few numbers of each photo, in one transfer from the device; no sum of all, which MPS has no float64 for."""
    chosen = [piece[:: max(1, len(piece) // PLACES), 0][:PLACES] for piece in pieces]
    width = max(len(one) for one in chosen)
    padded = torch.stack([torch.nn.functional.pad(one, (0, width - len(one))) for one in chosen])
    return [tuple(row) for row in padded.float().tolist()]


def _mark(patches: Tensor) -> tuple[float, ...]:
    return _marks((patches,))[0]


def look_once(model: Any, looks: Looks | None = None) -> None:
    """Let a model's vision tower share its work between the rollouts of a photo, and remember it in `looks`."""
    for module in model.modules():
        if type(module) is Qwen2_5_VisionTransformerPretrainedModel:
            module.__class__ = SharedEyes
        if isinstance(module, SharedEyes):
            module.looks = looks


def tower(model: Any) -> SharedEyes | None:
    """The vision tower of a model that `look_once` has changed."""
    return next((module for module in model.modules() if isinstance(module, SharedEyes)), None)
