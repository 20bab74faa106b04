"""The real shapes on a CUDA GPU: load, memory, looking, reading and decoding, ours beside plain `generate`.

    python tests/benchmarks/gpu.py --model DIR [--precisions bf16 nf4] [--megapixels 0.2 1 12] [--tokens 128]

Both ways on the same weights in one run; the words of random weights mean nothing, their sizes and times do. The
limit is what reading all weights of the language model once takes, at the speed of a copy on this very GPU.
"""

import argparse
import gc
import statistics
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import torch
from PIL import Image

from qinsight.engines.checkpoint import Device, Precision, locate
from qinsight.engines.conversation import Conversation
from qinsight.engines.eyes import quicken
from qinsight.engines.local import prepare
from qinsight.engines.weights import Weights, load, load_processor
from qinsight.photos import load_photo
from qinsight.photos.view import view
from qinsight.prompts import Task, build_messages
from qinsight.requests import Request, Sampling

PHOTO = Path(__file__).parents[2] / "examples" / "photos" / "coffee.jpg"
MOST = 12_845_056  # pixels


def clock() -> float:
    torch.cuda.synchronize()
    return time.perf_counter()


def photo_of(megapixels: float) -> Image.Image:
    height = round((megapixels * 1e6 * 3 / 4) ** 0.5)
    return load_photo(PHOTO).resize((height * 4 // 3, height), Image.Resampling.BICUBIC)


def copy_speed() -> float:
    """Bytes a second read, of a copy within the GPU, which writes as many."""
    block = torch.empty(2**31, dtype=torch.uint8, device=str(Device.CUDA)).random_()
    other = torch.empty_like(block)
    times = []
    for _ in range(6):
        started = clock()
        other.copy_(block)
        times.append(clock() - started)
    return 2 * len(block) / min(times)


def read_bytes(weights: Weights) -> int:
    """What a token reads: the language model's layers and the head."""
    words = weights.model.model.language_model
    parts = [*words.layers.parameters(), *weights.model.lm_head.parameters()]
    return sum(part.numel() * part.element_size() for part in parts)


@torch.inference_mode()
def plain(weights: Weights, processor: Any, photo: Image.Image, tokens: int) -> tuple[float, float]:
    """Seconds until the first token, and for each of the rest, of `generate`."""
    messages = build_messages(Task.SCORE, order=weights.checkpoint.order)
    text = processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    times = []
    for most in (1, tokens):
        started = clock()
        inputs = processor(text=[text], images=[view(photo, MOST)], return_tensors="pt").to(weights.device)
        weights.model.generate(**inputs, min_new_tokens=most, max_new_tokens=most, do_sample=False)
        times.append(clock() - started)
    return times[0], (times[1] - times[0]) / (tokens - 1)


def ours(
    weights: Weights, requests: list[Request], tokens: int, *, replay: bool
) -> tuple[float, float, float, float, list[list[int]]]:
    """Seconds of looking, of reading, of the first two passes of decoding (recorded), of each later one; the ids."""
    started = clock()
    prompts = prepare(weights, requests, MOST)
    looked = clock()
    conversation = Conversation(weights, prompts, range(len(requests)), Sampling(tokens), replay=replay)
    read, rows, ends = clock(), list(conversation.rows), []
    while conversation.rows:
        conversation.step()
        ends.append(clock())
    each = statistics.median(after - before for before, after in pairwise(ends[1:-1]))
    return looked - started, read - looked, ends[1] - read, each, [row.ids for row in rows]


def same(one: list[list[int]], other: list[list[int]]) -> str:
    """How many tokens agree before the first that does not: sums of another order part near ties of random weights."""
    first = [
        next((at for at, (a, b) in enumerate(zip(*pair, strict=False)) if a != b), len(pair[0]))
        for pair in zip(one, other, strict=True)
    ]
    return "/".join(map(str, first))


def table(weights: Weights, sizes: list[float], tokens: int, limit: float) -> None:
    processor = load_processor(weights.checkpoint.folder)
    stock = {}
    plain(weights, processor, photo_of(0.2), 4)  # warm-up
    for size in sizes:
        torch.cuda.reset_peak_memory_stats()
        stock[size] = (*plain(weights, processor, photo_of(size), tokens), torch.cuda.max_memory_allocated())
    quicken(weights.model.model.visual)
    ours(weights, [Request(Task.SCORE, (photo_of(0.2),))], 4, replay=True)
    for size in sizes:
        photo = photo_of(size)
        alone, both = (
            [Request(Task.SCORE, (photo,))],
            [Request(task, (photo,)) for task in (Task.SCORE, Task.DEGRADATION)],
        )
        first, each, peak = stock[size]
        print(
            f"{size:5} megapixels: generate    first token {first:6.3f} s, then {each * 1e3:6.2f} ms each, peak {peak / 1e9:.1f} GB"
        )
        ids: dict[Any, list[list[int]]] = {}
        for name, requests, replay in (
            ("eager", alone, False),
            ("graph", alone, True),
            ("eager, 2 rows", both, False),
            ("graph, 2 rows", both, True),
        ):
            torch.cuda.reset_peak_memory_stats()
            looked, read, first_two, step, ids[name] = ours(weights, requests, tokens, replay=replay)
            print(
                f"{'':17} {name:13} looking {looked:6.3f} s, reading {read:6.3f} s, {first_two:5.3f} s, then {step * 1e3:6.2f} ms a pass "
                f"(limit {limit * 1e3:.2f}), peak {torch.cuda.max_memory_allocated() / 1e9:.1f} GB, {each / step:.2f} times generate"
            )
        print(
            f"{'':17} tokens alike, eager and graph: {same(ids['eager'], ids['graph'])}; {same(ids['eager, 2 rows'], ids['graph, 2 rows'])}",
            flush=True,
        )


def batches(weights: Weights, tokens: int) -> None:
    for rows in (4, 16, 64):
        photos = [photo_of(0.4) for _ in range(rows // 2)]
        requests = [Request(task, (photo,)) for photo in photos for task in (Task.SCORE, Task.DEGRADATION)]
        torch.cuda.reset_peak_memory_stats()
        looked, read, first_two, step, _ = ours(weights, requests, tokens, replay=True)
        whole = looked + read + first_two + step * 148
        print(
            f"{rows // 2:3} photos of 0.4 megapixels, both questions: looking {looked:6.3f} s, reading {read:6.3f} s, {step * 1e3:6.2f} ms a pass, "
            f"{rows // 2 / whole:5.1f} photos a second at 150 tokens, peak {torch.cuda.max_memory_allocated() / 1e9:.1f} GB",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True)
    parser.add_argument("--precisions", nargs="+", default=[Precision.BF16, Precision.NF4], type=Precision)
    parser.add_argument("--megapixels", nargs="+", default=[0.2, 1, 12], type=float)
    parser.add_argument("--tokens", type=int, default=128)
    options = parser.parse_args()
    speed = copy_speed()
    print(
        f"{torch.cuda.get_device_name()}, torch {torch.__version__}, a copy reads and writes {speed / 1e12:.2f} TB/s",
        flush=True,
    )
    for precision in options.precisions:
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        started = clock()
        checkpoint = next(iter(locate(options.model).parts.values())).fetch(lambda *_: None)
        weights = load(checkpoint, Device.CUDA, precision)
        limit = read_bytes(weights) / speed
        print(
            f"{precision}: loaded in {clock() - started:.1f} s, {torch.cuda.memory_allocated() / 1e9:.2f} GB, "
            f"peak {torch.cuda.max_memory_allocated() / 1e9:.2f} GB; a token reads {read_bytes(weights) / 1e9:.2f} GB",
            flush=True,
        )
        table(weights, options.megapixels, options.tokens, limit)
        batches(weights, 48)
        del weights


if __name__ == "__main__":
    main()
