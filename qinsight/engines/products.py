"""Products with the weights of a large model on a CPU, cut into pieces between which one can stop.

4-bit weights are kept once. bitsandbytes has a kernel that multiplies them as they are, for processors with bf16
products: the best there is for a few rows, which is decoding. For the many rows of a prompt it takes each weight
apart again and again; here that is done once for all rows, a block of weights at a time.
"""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from qinsight.engines.pieces import Check, pieces

if TYPE_CHECKING:
    from bitsandbytes.nn import Linear4bit

LARGE = 1 << 20  # weights of a layer from which a product can take long
HELD = 1 << 21  # weights taken apart at a time: they stay in the processor's cache until they were multiplied
GROUP = 32  # output rows that the kernel wants side by side
# From how many rows taking apart costs less than the kernel: measured at the shapes of the published weights
# (tests/benchmarks/processor.py) on a core without AMX. With AMX, tiles that make bf16 products several times faster,
# it was not measured: the number follows from how long a prompt took on such a core.
MANY, MANY_WITH_AMX = 640, 32


def in_pieces(model: Any, check: Check) -> None:
    """Let the large layers of a model on a CPU look at `check` while they multiply."""
    for name, module in list(model.named_modules()):
        if _is_four_bits(module):
            model.set_submodule(name, FourBits(module, check))
        elif type(module) is torch.nn.Linear and module.weight.numel() >= LARGE:
            model.set_submodule(name, Whole(module, check))


def has_kernel() -> bool:
    """Whether this processor multiplies 4-bit weights, and bf16, without taking each number apart first."""
    from bitsandbytes.functional import has_avx512bf16  # seconds of a start, for large models only

    return bool(has_avx512bf16())


def many_rows() -> int:
    """The number of rows from which 4-bit weights are taken apart."""
    amx = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return MANY_WITH_AMX if amx and amx() else MANY


class Whole(torch.nn.Module):
    """A linear layer of plain weights. A short product is the stock one; of bf16 weights, where the processor has no
    products for them, they are taken apart as those of 4 bits are, for more than one row."""

    def __init__(self, stock: torch.nn.Linear, check: Check) -> None:
        super().__init__()
        self.stock, self._check = stock, check
        self._apart = stock.weight.dtype is torch.bfloat16 and not has_kernel()

    @property
    def weight(self) -> Tensor:
        return self.stock.weight

    def forward(self, values: Tensor) -> Tensor:
        """(..., K) to (..., N)."""
        weight, bias = self.stock.weight, self.stock.bias
        rows = values.numel() // values.shape[-1]
        apart = self._apart and rows > 1
        kind, most = (torch.float32, HELD // weight.shape[1]) if apart else (values.dtype, len(weight))
        given = values.to(kind)
        found = [
            linear(given, weight[part].to(kind), None if bias is None else bias[part].to(kind))
            for part in pieces(rows * weight.shape[1], len(weight), self._check, most=most)
        ]
        return (found[0] if len(found) == 1 else torch.cat(found, dim=-1)).to(values.dtype)


class FourBits(torch.nn.Module):
    """A linear layer of bitsandbytes' 4-bit weights (N, K), which stay the only ones."""

    def __init__(self, stock: "Linear4bit", check: Check) -> None:
        super().__init__()
        self.stock, self._check = stock, check
        self._many = many_rows()

    @property
    def weight(self) -> Tensor:
        return self.stock.weight

    def forward(self, values: Tensor) -> Tensor:
        """(..., K) to (..., N)."""
        rows = values.numel() // values.shape[-1]
        with_kernel = self.stock.support_avx512bf16_for_cpu
        if with_kernel and not _is_packed(self.stock):
            pack(self.stock)
        if with_kernel and rows < self._many:
            found: Tensor = self.stock(values)
            return found
        flat = values.reshape(rows, values.shape[-1])
        out = (self._packed if with_kernel else self._stored)(flat)
        if self.stock.bias is not None:
            out += self.stock.bias
        return out.view(*values.shape[:-1], out.shape[-1]).to(values.dtype)

    def _stored(self, values: Tensor) -> Tensor:
        """(M, K) to (M, N), of weights as they lie in a file: rows of two numbers a byte."""
        state = self.stock.weight.quant_state
        height, width = state.shape
        kind = torch.bfloat16 if has_kernel() else torch.float32
        values = values.to(kind)
        out = values.new_empty(len(values), height)
        packed = self.stock.weight.data.view(torch.uint8).view(height, -1)
        scales = _scales(state)
        step = state.blocksize if width % state.blocksize else 1  # whole blocks of a scale in each piece
        for part in pieces(values.numel(), height, self._check, step, HELD // width):
            first, last = part.start * width // state.blocksize, -(-part.stop * width // state.blocksize)
            weight = _apart(packed[part], scales[first:last], state.blocksize, width, state, kind)
            out[:, part] = linear(values, weight)
        return out

    def _packed(self, values: Tensor) -> Tensor:
        """(M, K) to (M, N), of weights as `pack` leaves them: a byte has a number of row b and one of row 16 + b.

        What the bytes give is (K, N) already, even K first, the columns of a group in their order in the bytes.
        """
        weight, state = self.stock.weight.data, self.stock.weight.quant_state
        height, width = state.shape
        values = torch.cat([values[:, ::2], values[:, 1::2]], dim=1).to(torch.bfloat16)
        out = values.new_empty(len(values), height)
        for part in pieces(values.numel(), height, self._check, GROUP, HELD // width):
            groups = (part.stop - part.start) // GROUP
            pairs = weight[part].view(torch.int16).view(groups, width // 2, GROUP // 2)
            byte = torch.stack([pairs, pairs >> 8]).to(torch.uint8)  # of even and of odd K
            ones = torch.ones(byte.numel() * 2 // GROUP)
            numbers = _apart(byte, ones, GROUP, GROUP, state, torch.bfloat16)
            # (parity, group, scales of K, K of a scale, b, high and low half)
            numbers = numbers.view(2, groups, -1, state.blocksize // 2, GROUP // 2, 2)
            low, high = state.absmax[:, part].view(-1, groups, 2, GROUP // 2).unbind(2)
            scales = torch.stack([high, low], dim=-1).transpose(0, 1)
            block = values.new_empty(2, *numbers.shape[2:4], groups, GROUP // 2, 2)
            torch.mul(numbers, scales[None, :, :, None], out=block.permute(0, 3, 1, 2, 4, 5))
            product = (values @ block.view(width, -1)).view(-1, groups, GROUP // 2, 2)
            for half, columns in enumerate(out[:, part].view(-1, groups, 2, GROUP // 2).unbind(2)):
                columns.copy_(product[..., 1 - half])
        return out


def _is_four_bits(module: torch.nn.Module) -> bool:
    kind = type(module)
    return kind.__name__ == "Linear4bit" and kind.__module__.startswith("bitsandbytes.")


def _is_packed(layer: "Linear4bit") -> bool:
    return bool(getattr(layer.weight.quant_state, "packing_format_for_cpu", False))


def _scales(state: Any) -> Tensor:
    """A scale for each block of weights, in float32; they may be quantised themselves."""
    if not state.nested:
        return state.absmax.float()
    from bitsandbytes.functional import dequantize_blockwise

    scales: Tensor = dequantize_blockwise(state.absmax, state.state2) + state.offset
    return scales.float()


def _apart(
    packed: Tensor, scales: Tensor, blocksize: int, width: int, state: Any, kind: torch.dtype
) -> Tensor:
    """Bytes of two 4-bit numbers as (rows, width) numbers, those of a block times its scale."""
    shape = [2 * packed.numel() // width, width]
    found: Tensor = torch.ops.bitsandbytes.dequantize_4bit.default(
        packed.flatten(), scales, blocksize, state.quant_type, shape, kind
    )
    return found


def pack(layer: "Linear4bit") -> None:
    """Put 4-bit weights into the order that bitsandbytes' kernel reads, in a thirtieth of the time that it takes itself.

    Bit for bit what it would make of them at their first product (tests/engines/test_products.py).
    """
    state = layer.weight.quant_state
    height, width = state.shape
    stored = layer.weight.data
    if stored.dtype != torch.uint8:
        state.original_storage_type = stored.dtype
        stored = stored.view(torch.uint8)
    state.original_dtype, state.original_nested, state.original_qshape = (
        state.dtype,
        state.nested,
        stored.shape,
    )
    halves = stored.view(height // GROUP, 2, GROUP // 2, width // 2)
    packed = torch.empty(height // GROUP, width // 2, GROUP // 2, dtype=torch.int16)
    for start in range(0, len(halves), 8):  # so many stay in the cache
        low, high = halves[start : start + 8].short().unbind(1)
        even, odd = (high & 0xF0) | (low >> 4), (high & 15) << 4 | (low & 15)
        packed[start : start + 8] = (even | odd << 8).transpose(1, 2)
    state.absmax = _scales(state).view(height, -1).T.to(torch.bfloat16).contiguous()
    if state.nested:
        state.nested = False
        del state.state2
    state.dtype, state.packing_format_for_cpu = torch.bfloat16, True
    layer.weight.data = packed.view(torch.uint8).view(height, width // 2)
