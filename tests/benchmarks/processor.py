"""4-bit weights on a CPU: prompts whose weights are taken apart once, against bitsandbytes' kernel for everything.

    python tests/benchmarks/processor.py [--rows 1330] [--rounds 3]
    python tests/benchmarks/processor.py --model DIR [--megapixels 1] [--tokens 16] [--rounds 2]

The first measures one layer of the published shapes with random weights, product by product; the second a whole model
as `quantize` writes it. "Before" is what was done until commit a1a2276: packed at the first product by bitsandbytes,
then its kernel for any number of rows. Both ways in turn, in one run, with the seconds of the wall and of the processor.
"""

import argparse
import itertools
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import psutil
import torch
from bitsandbytes.nn import Linear4bit, Params4bit
from PIL import Image

from qinsight.engines.checkpoint import Device
from qinsight.engines.local import LocalEngine
from qinsight.engines.pieces import never
from qinsight.engines.products import FourBits, has_kernel, many_rows
from qinsight.errors import Stopped
from qinsight.prompts import Task
from qinsight.requests import Request, Sampling

HIDDEN, INSIDE, KEYS, LAYERS = 3584, 18944, 512, 28  # of the published weights
SHAPES = {  # (N, K) of the products of a layer
    "q": (HIDDEN, HIDDEN),
    "k": (KEYS, HIDDEN),
    "v": (KEYS, HIDDEN),
    "o": (HIDDEN, HIDDEN),
    "gate": (INSIDE, HIDDEN),
    "up": (INSIDE, HIDDEN),
    "down": (HIDDEN, INSIDE),
}
Times = tuple[float, float]  # of the wall, of the processor


def timed(act: Callable[[], object]) -> Times:
    wall, processor = time.perf_counter(), time.process_time()
    act()
    return time.perf_counter() - wall, time.process_time() - processor


def four_bits(height: int, width: int) -> Linear4bit:
    layer = Linear4bit(width, height, bias=False, compute_dtype=torch.bfloat16, quant_type="nf4")
    weight = torch.randn(height, width, dtype=torch.bfloat16) * 0.02
    layer.weight = Params4bit(weight, False, quant_type="nf4", compress_statistics=True, module=layer)
    return layer.to("cpu").eval()


def middle(times: list[Times]) -> Times:
    wall, processor = (statistics.median(column) for column in zip(*times, strict=True))
    return wall, processor


def told(what: str, before: Times, now: Times) -> None:
    print(
        f"{what:34} before {before[0]:8.3f} s ({before[1]:8.3f} of processor)   now {now[0]:8.3f} s "
        f"({now[1]:8.3f})   ratio {before[0] / now[0]:5.2f} ({before[1] / now[1]:5.2f})",
        flush=True,
    )


@torch.inference_mode()
def layer(rows: int, rounds: int) -> None:
    """One layer: its first product, in which its weights are packed, a prompt, and one word."""
    found: dict[str, list[tuple[Times, Times]]] = {"first": [], "prompt": [], "word": []}
    for name, (height, width) in SHAPES.items():
        torch.manual_seed(0)
        before = four_bits(height, width)
        torch.manual_seed(0)
        now = FourBits(four_bits(height, width), never)
        many, one = (torch.randn(number, width, dtype=torch.bfloat16) for number in (rows, 1))
        for kind, values, times in (("first", one, 1), ("prompt", many, rounds), ("word", one, 20 * rounds)):
            pairs = [(timed(lambda: before(values)), timed(lambda: now(values))) for _ in range(times)]  # noqa: B023
            sides = middle([pair[0] for pair in pairs]), middle([pair[1] for pair in pairs])
            found[kind].append(sides)
            told(f"{name} {height} x {width}, {kind}", *sides)
        worst = (before(many).float() - now(many).float()).abs().max() / before(many).float().std()
        print(f"{name:34} farthest apart {worst:.3f} standard deviations of the result")
    for kind, sides in found.items():
        before_, now_ = (
            (LAYERS * sum(side[way][0] for side in sides), LAYERS * sum(side[way][1] for side in sides))
            for way in (0, 1)
        )
        told(f"{LAYERS} layers, products alone, {kind}", before_, now_)


@contextmanager
def way(before: bool) -> Iterator[None]:
    """Products as they were before, or as they are now."""
    now = FourBits.forward
    if before:
        FourBits.forward = lambda self, values: self.stock(values)  # type: ignore[method-assign]
    try:
        yield
    finally:
        FourBits.forward = now  # type: ignore[method-assign]


def ask(engine: LocalEngine, photo: Image.Image, sampling: Sampling) -> dict[str, Times]:
    """Seconds of the vision tower, of the prompt, and of a word after the first."""
    marks: list[Times] = []

    def mark(*_: Any) -> None:
        marks.append((time.perf_counter(), time.process_time()))

    hook = next(iter(engine._loaded.values())).model.model.language_model.register_forward_pre_hook(
        lambda *_: mark() if len(marks) == 1 else None
    )
    mark()
    tokens = 0
    for delta in engine.stream([Request(Task.SCORE, (photo,))], sampling):
        if delta.tokens and not tokens:
            mark()
        tokens += delta.tokens
    mark()
    hook.remove()
    spans = [(b[0] - a[0], b[1] - a[1]) for a, b in itertools.pairwise(marks)]
    word = (spans[2][0] / max(1, tokens - 1), spans[2][1] / max(1, tokens - 1))
    return {"vision": spans[0], "prompt": spans[1], "word": word}


def whole(model: str, megapixels: float, tokens: int, rounds: int) -> None:
    side = int((megapixels * 1e6) ** 0.5) // 28 * 28
    photo = Image.effect_noise((side, side), 60).convert("RGB")
    sampling = Sampling(tokens)
    started = time.perf_counter()
    engine = LocalEngine.open(model, Device.CPU)
    print(f"{engine.about.name} in {engine.about.precision}, loaded in {time.perf_counter() - started:.1f} s")
    for part, times in ask(engine, photo, sampling).items():
        print(f"first question, {part:18} {times[0]:8.3f} s ({times[1]:8.3f} of processor)", flush=True)
    print(f"memory of this process {psutil.Process().memory_info().rss / 1e9:.1f} GB", flush=True)
    later: tuple[list[dict[str, Times]], ...] = ([], [])
    for _ in range(rounds):
        for number, before in enumerate((True, False)):
            with way(before):
                later[number].append(ask(engine, photo, sampling))
            print({part: times for part, times in later[number][-1].items()}, flush=True)
    for part in later[0][0]:
        told(f"later questions, {part}", *(middle([one[part] for one in side]) for side in later))
    stops(engine, photo)


def stops(engine: LocalEngine, photo: Image.Image) -> None:
    """Seconds from Stop to the end, at several moments of the prompt."""
    waited = []
    for moment in (5.0, 30.0, 60.0):
        stop, at = threading.Event(), []
        timer = threading.Timer(moment, lambda: (at.append(time.perf_counter()), stop.set()))  # noqa: B023
        timer.start()
        try:
            for _ in engine.stream([Request(Task.SCORE, (photo,))], Sampling(2), stop=stop):
                pass
        except Stopped:
            waited.append(time.perf_counter() - at[0])
        timer.cancel()
    print("from Stop to the end: " + ", ".join(f"{seconds:.2f} s" for seconds in waited))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", help="a folder in 4 bits; default: one layer with random weights")
    parser.add_argument(
        "--rows", type=int, default=1330, help="of the prompt; a photo of 1 megapixel by default"
    )
    parser.add_argument("--megapixels", type=float, default=1.0)
    parser.add_argument("--tokens", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, bf16 products {has_kernel()}, weights taken "
        f"apart from {many_rows()} rows"
    )
    if options.model:
        whole(options.model, options.megapixels, options.tokens, options.rounds)
    else:
        layer(options.rows, options.rounds)


if __name__ == "__main__":
    main()
