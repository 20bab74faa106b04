"""Products of a large model on a CPU: right for few rows and many, from one copy of the weights, with looks at Stop."""

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from bitsandbytes.functional import _convert_weight_packed_for_cpu, dequantize_4bit, has_avx512bf16
from bitsandbytes.nn import Linear4bit, Params4bit
from torch.nn.functional import linear

from qinsight.engines import pieces, products
from qinsight.engines.pieces import never
from qinsight.engines.products import FourBits, Whole, in_pieces, pack
from qinsight.errors import Stopped
from shared.places import REPOSITORY

needs_kernel = pytest.mark.skipif(not has_avx512bf16(), reason="this processor has no bf16 products")
SHAPES = [(96, 128), (32, 64), (160, 640)]


def four_bits(height: int, width: int, *, nested: bool = True, bias: bool = True) -> Linear4bit:
    torch.manual_seed(height)
    layer = Linear4bit(width, height, bias=bias, compute_dtype=torch.bfloat16, quant_type="nf4")
    weight = torch.randn(height, width, dtype=torch.bfloat16)
    layer.weight = Params4bit(weight, False, quant_type="nf4", compress_statistics=nested, module=layer)
    layer = layer.to("cpu").eval()
    if bias:
        layer.bias.data = torch.randn(height, dtype=torch.bfloat16)
    if width % 64 or height % 32:
        layer.support_avx512bf16_for_cpu = False  # as `load` does
    return layer


def exact(layer: Linear4bit, values: torch.Tensor) -> torch.Tensor:
    """The product in double precision, of the weights as bitsandbytes takes them apart."""
    weight = dequantize_4bit(layer.weight.data, layer.weight.quant_state).double()
    bias = None if layer.bias is None else layer.bias.double()
    return linear(values.double(), weight, bias)


def values_of(rows: int, width: int) -> torch.Tensor:
    torch.manual_seed(rows)
    return torch.randn(rows, width, dtype=torch.bfloat16)


def near(found: torch.Tensor, wanted: torch.Tensor) -> bool:
    """Within what bf16 loses of the number, of its scale and of the result."""
    return bool((found.double() - wanted).abs().max() <= 2**-6 * wanted.abs().max())


@torch.inference_mode()
@pytest.mark.parametrize("rows", [1, 3, 31, 32, 700])
@pytest.mark.parametrize("shape", [*SHAPES, (24, 80), (33, 62)])
@pytest.mark.parametrize("nested", [True, False])
def test_a_product_of_any_number_of_rows_is_that_of_the_weights_taken_apart(
    shape: tuple[int, int], rows: int, nested: bool
) -> None:
    layer = four_bits(*shape, nested=nested)
    values = values_of(rows, shape[1])
    wanted = exact(layer, values)
    found = FourBits(layer, never)(values[None])
    assert found.dtype is torch.bfloat16
    assert near(found[0], wanted)


@torch.inference_mode()
@needs_kernel
def test_few_rows_are_the_kernels_and_many_are_taken_apart_from_the_same_bytes() -> None:
    stock = four_bits(96, 128)
    ours = FourBits(copy.deepcopy(stock), never)
    few, many = values_of(ours._many - 1, 128), values_of(ours._many, 128)
    assert torch.equal(ours(few), stock(few)), "bitsandbytes' own words"
    bytes_ = ours.stock.weight.data
    assert bytes_.numel() == 96 * 128 / 2
    assert not torch.equal(ours(many), stock(many)), "other roundings"
    assert near(ours(many), stock(many).double())
    assert ours.stock.weight.data.data_ptr() == bytes_.data_ptr()
    assert torch.equal(ours(few), stock(few)), "and back"


@torch.inference_mode()
@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_packing_gives_bit_for_bit_what_bitsandbytes_makes(shape: tuple[int, int], nested: bool) -> None:
    layer = four_bits(*shape, nested=nested)
    bytes_, state = _convert_weight_packed_for_cpu(
        layer.weight.data.clone(), copy.deepcopy(layer.weight.quant_state)
    )
    pack(layer)
    ours = layer.weight.quant_state
    assert torch.equal(layer.weight.data, bytes_)
    assert torch.equal(ours.absmax, state.absmax)
    of_state = {name: value for name, value in vars(state).items() if not isinstance(value, torch.Tensor)}
    assert {name: vars(ours)[name] for name in of_state} == of_state


@torch.inference_mode()
def test_where_the_processor_has_no_kernel_products_are_of_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """bf16 products without instructions for them take a multiple of the time."""
    layer = four_bits(96, 128)
    layer.support_avx512bf16_for_cpu = False
    values = values_of(5, 128)
    wanted = exact(layer, values)
    monkeypatch.setattr(products, "has_kernel", lambda: False)
    kinds = []
    monkeypatch.setattr(products, "linear", lambda *parts: kinds.append(parts[1].dtype) or linear(*parts))
    found = FourBits(layer, never)(values)
    assert kinds == [torch.float32]
    assert near(found, wanted)


@torch.inference_mode()
@pytest.mark.parametrize("rows", [1, 2, 40])
def test_plain_weights_of_bf16_are_taken_apart_too_where_the_processor_has_no_products_for_them(
    rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    stock = torch.nn.Linear(128, 320, dtype=torch.bfloat16)
    values = values_of(rows, 128)
    monkeypatch.setattr(products, "has_kernel", lambda: False)
    monkeypatch.setattr(products, "HELD", 128 * 64)
    kinds = []
    monkeypatch.setattr(products, "linear", lambda *parts: kinds.append(parts[1].dtype) or linear(*parts))
    found = Whole(stock, never)(values)
    assert kinds == ([torch.bfloat16] if rows == 1 else [torch.float32] * 5)
    assert found.dtype is torch.bfloat16
    assert near(found, linear(values.double(), stock.weight.double(), stock.bias.double()))


class Looks:
    """Counts the looks at Stop; after so many of them somebody stopped."""

    def __init__(self, stop_at: int = 10**9) -> None:
        self.number, self.stop_at = 0, stop_at

    def __call__(self) -> None:
        self.number += 1
        if self.number >= self.stop_at:
            raise Stopped("Stopped.")


@torch.inference_mode()
@pytest.mark.parametrize("kind", ["plain", "packed", "stored"])
def test_a_long_product_looks_at_stop_between_its_pieces(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if kind == "packed" and not has_avx512bf16():
        pytest.skip("this processor has no bf16 products")
    stock: Any = torch.nn.Linear(128, 320, dtype=torch.bfloat16) if kind == "plain" else four_bits(320, 128)
    if kind == "stored":
        stock.support_avx512bf16_for_cpu = False
    values = values_of(700, 128)
    kind_of = Whole if kind == "plain" else FourBits
    whole = kind_of(copy.deepcopy(stock), never)(values)
    monkeypatch.setattr(pieces, "PIECE", 700 * 128 * 64)  # 64 columns at a time
    looks = Looks()
    assert torch.allclose(kind_of(copy.deepcopy(stock), looks)(values).float(), whole.float(), atol=0.07)
    assert looks.number == 5
    with pytest.raises(Stopped):
        kind_of(stock, Looks(3))(values)


def test_only_large_layers_are_put_into_pieces() -> None:
    model = torch.nn.Sequential(
        torch.nn.Linear(1024, 1024), torch.nn.Linear(64, 64), torch.nn.Sequential(four_bits(32, 64))
    )
    in_pieces(model, never)
    assert [type(layer) for layer in (model[0], model[1], model[2][0])] == [Whole, torch.nn.Linear, FourBits]


def test_small_models_do_without_bitsandbytes() -> None:
    """Its import takes a second of every start, and warns of a package that nobody needs."""
    words = "import sys; from qinsight.engines.local import LocalEngine; LocalEngine.open('preview', 'cpu'); "
    words += "print([name for name in sys.modules if name.startswith('bitsandbytes.')])"
    run = subprocess.run([sys.executable, "-c", words], cwd=REPOSITORY, capture_output=True, text=True)
    assert run.stdout == "[]\n", run.stderr


def test_four_bits_are_asked_without_a_warning_of_bitsandbytes(official: Path) -> None:
    words = "from qinsight.engines.local import LocalEngine; "
    words += f"LocalEngine.open({str(official)!r}, 'cpu', 'nf4')"
    run = subprocess.run([sys.executable, "-c", words], cwd=REPOSITORY, capture_output=True, text=True)
    assert "gemm_4bit" not in run.stderr
    assert run.returncode == 0, run.stderr
