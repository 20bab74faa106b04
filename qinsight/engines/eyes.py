"""The vision tower's work made short: the bytes of a photo as it wants them, and two of its layers."""

from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import linear, scaled_dot_product_attention
from torch.utils.weak import WeakTensorKeyDictionary
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import apply_rotary_pos_emb_vision

from qinsight.engines.pieces import Check, never, pieces

PATCH = 14  # of the vision tower; two by two are merged into one token


def pixels(
    image_processor: Any, photo: Image.Image, device: torch.device | None = None
) -> tuple[Tensor, Tensor]:
    """Normalised patches (patches, 3 * 2 * 14 * 14) and the patch grid (1, 3) of a photo already at its view size.

    The image processor's own values, bit for bit, looked up by byte: its numpy takes as long as the vision
    tower of the preview.
    """
    blocks = _patches(torch.from_numpy(np.array(photo)).to(device).permute(2, 0, 1))
    places = blocks.int() + torch.arange(0, 768, 256, dtype=torch.int32, device=device)[:, None]
    table = _table_of(image_processor).flatten().to(device)
    values = table.index_select(0, places.flatten()).view(-1, 3, 1, PATCH**2)
    twice = values.expand(-1, -1, 2, -1).flatten(1)  # the tower wants two frames, as of a film
    return twice, torch.tensor([[1, photo.height // PATCH, photo.width // PATCH]])


def quicken(visual: Any, check: Check = never) -> None:
    """Put the two layers below into a vision tower, over its own weights; long attention looks at `check`."""
    if isinstance(visual.patch_embed.proj, torch.nn.Conv3d):
        visual.patch_embed = PatchEmbed(visual.patch_embed.proj)
    plans = _Plans()
    for block in visual.blocks:
        block.attn = WindowAttention(block.attn, plans, check)


class PatchEmbed(torch.nn.Module):
    """The vision tower's first layer, a convolution whose stride is its kernel, as the matrix product it is.

    A CPU takes a seventh of the time for it, and comes closer to the exact sums (tests/test_engine.py).
    """

    def __init__(self, proj: torch.nn.Conv3d) -> None:
        super().__init__()
        self.proj = proj

    def forward(self, values: Tensor) -> Tensor:
        weight = self.proj.weight
        return linear(values.to(weight.dtype), weight.flatten(1))


class _Plans:
    """Which windows are of one size: worked out once for all layers, which hand in the same two tensors."""

    def __init__(self) -> None:
        self._known = WeakTensorKeyDictionary()

    def __call__(self, ends: Tensor) -> list[tuple[int, Tensor | None]]:
        """Of the windows that `ends` (windows + 1,) parts the patches into: each length, and (n * length,) places.

        None instead of the places where all windows are of one length.
        """
        if ends not in self._known:
            lengths = ends.diff().cpu()
            starts = ends[:-1].cpu()
            sizes = [int(size) for size in lengths.unique()]
            places = [
                (starts[lengths == size, None] + torch.arange(size)).flatten().to(ends.device)
                for size in sizes
            ]
            self._known[ends] = list(zip(sizes, places if len(sizes) > 1 else [None], strict=True))
        found: list[tuple[int, Tensor | None]] = self._known[ends]
        return found


class WindowAttention(torch.nn.Module):
    """The tower's attention with all windows of one size side by side; the stock one asks window after window.

    A photo of 12 megapixels has a thousand windows in each of 28 layers.
    """

    def __init__(self, stock: Any, plans: _Plans, check: Check) -> None:
        super().__init__()
        self.qkv, self.proj = stock.qkv, stock.proj
        self.heads, self.scaling = stock.num_heads, stock.scaling
        self._plans, self._check = plans, check

    def forward(
        self, hidden_states: Tensor, cu_seqlens: Tensor, position_embeddings: tuple[Tensor, Tensor], **_: Any
    ) -> Tensor:
        """(patches, D) to the same; `cu_seqlens` (windows + 1,) says where each window ends."""
        queries, keys, values = self.qkv(hidden_states).unflatten(-1, (3, self.heads, -1)).unbind(1)
        queries, keys = apply_rotary_pos_emb_vision(queries, keys, *position_embeddings)
        found = torch.empty_like(values)
        for size, places in self._plans(cu_seqlens):
            if places is None:
                found = self._attend(queries, keys, values, size)
            else:
                q, k, v = (one.index_select(0, places) for one in (queries, keys, values))
                found.index_copy_(0, places, self._attend(q, k, v, size))
        return self.proj(found.flatten(1))

    def _attend(self, queries: Tensor, keys: Tensor, values: Tensor, size: int) -> Tensor:
        """Windows of `size` patches, one after the other in (patches, heads, D), each within itself."""
        q, k, v = (one.unflatten(0, (-1, size)).transpose(1, 2) for one in (queries, keys, values))
        found = [
            scaled_dot_product_attention(q[:, :, part], k, v, scale=self.scaling).transpose(1, 2)
            for part in pieces(k.numel() * 2, size, self._check)
        ]
        return torch.cat(found, dim=1).flatten(0, 1) if len(found) > 1 else found[0].flatten(0, 1)


def _patches(planes: Tensor) -> Tensor:
    """(3, H, W) as Qwen2-VL's processor lays it out, (patches, 3, 14 * 14): the four of a token together."""
    height, width = planes.shape[1] // (2 * PATCH), planes.shape[2] // (2 * PATCH)
    blocks = planes.reshape(3, height, 2, PATCH, width, 2, PATCH).permute(1, 4, 2, 5, 0, 3, 6)
    return blocks.reshape(height * width * 4, 3, PATCH * PATCH)


def _table_of(image_processor: Any) -> Tensor:
    """What the image processor makes of each byte in each channel, (3, 256): asked of it once."""
    if image_processor not in _TABLES:
        bytes_: Any = (np.arange(56 * 56) % 256).astype(np.uint8).reshape(56, 56)
        sample = Image.fromarray(np.stack([bytes_] * 3, axis=-1))
        answer = image_processor(images=[sample], do_resize=False, return_tensors="pt")["pixel_values"]
        which = _patches(torch.from_numpy(bytes_).int().expand(3, -1, -1))
        channel = _patches(torch.arange(3)[:, None, None].expand(-1, 56, 56))
        table = torch.empty(3, 256)
        table[channel, which] = answer.view(-1, 3, 2, PATCH * PATCH)[:, :, 0]
        _TABLES[image_processor] = table
    return _TABLES[image_processor]


_TABLES: WeakKeyDictionary[Any, Tensor] = WeakKeyDictionary()  # by image processor
