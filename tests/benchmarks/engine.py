"""Our engine against the published way: one question after the other with plain `generate`.

    python tests/benchmarks/engine.py [--model preview] [--photos FILE ...] [--rounds 5]

Prints medians and ratios of one run, both ways interleaved, greedy, on the same weights and photos; the
replies of both ways are compared and counted.
"""

import argparse
import statistics
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).parents[2]))

import torch
from PIL import Image

from qinsight.assess import ask, assessment, comparison, last
from qinsight.engines.checkpoint import Device, Precision
from qinsight.engines.local import LocalEngine
from qinsight.engines.weights import Weights, load, load_processor
from qinsight.photos import load_photo
from qinsight.photos.view import view
from qinsight.prompts import build_messages
from qinsight.requests import Request, Sampling

PHOTOS = Path(__file__).parents[2] / "examples" / "photos"


def published(engine: LocalEngine, request: Request, sampling: Sampling, max_pixels: int) -> str:
    """One request as the published scripts ask it: processor, `generate`, decode, a model of its own."""
    part = engine._model.part_for(request)
    if part not in STOCK:
        ours = engine._weights(part)
        weights = load(ours.checkpoint, Device(ours.device.type), ours.precision)
        STOCK[part] = weights, load_processor(ours.checkpoint.folder)
    weights, processor = STOCK[part]
    inputs = prompt(weights, processor, request, max_pixels)
    with torch.inference_mode():
        ids = weights.model.generate(**inputs, max_new_tokens=sampling.max_new_tokens, do_sample=False)
    new = ids[:, inputs["input_ids"].shape[1] :]
    return processor.batch_decode(new, skip_special_tokens=True, clean_up_tokenization_spaces=False)[0]


def prompt(weights: Weights, processor: Any, request: Request, max_pixels: int) -> Any:
    messages = build_messages(request.task, reference=request.reference, order=weights.checkpoint.order)
    text = processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    views = [view(photo, max_pixels) for photo in request.photos]
    return processor(text=[text], images=views, return_tensors="pt").to(weights.device)


STOCK: dict[str, tuple[Weights, Any]] = {}  # as transformers loads them


def first_words(engine: LocalEngine, requests: list[Request], sampling: Sampling, max_pixels: int) -> float:
    started = time.perf_counter()
    for state in ask(engine, requests, sampling, max_pixels=max_pixels, stop=threading.Event()):
        if any(one.reply.thinking for one in state):
            return time.perf_counter() - started
    return float("nan")


def compare(
    name: str, engine: LocalEngine, sets: list[list[Request]], sampling: Sampling, rounds: int
) -> None:
    max_pixels = engine.about.max_pixels
    ours, theirs, first, same, total, tokens = [], [], [], 0, 0, 0
    for turn in range(rounds + 1):
        for requests in sets:
            started = time.perf_counter()
            together = last(ask(engine, requests, sampling, max_pixels=max_pixels))
            middle = time.perf_counter()
            apart = [published(engine, request, sampling, max_pixels) for request in requests]
            end = time.perf_counter()
            if turn == 0:  # warm-up
                continue
            ours.append(middle - started)
            theirs.append(end - middle)
            tokens += sum(one.tokens for one in together)
            same += sum(one.text == text for one, text in zip(together, apart, strict=True))
            total += len(requests)
            first.append(first_words(engine, requests, sampling, max_pixels))
    ratio = statistics.median(their / our for their, our in zip(theirs, ours, strict=True))
    print(
        f"{name:34} ours {statistics.median(ours):6.3f} s   published {statistics.median(theirs):6.3f} s   "
        f"ratio {ratio:4.2f}   first words {statistics.median(first):5.3f} s   "
        f"{tokens / sum(ours):5.0f} tokens/s   same replies {same}/{total}"
    )


def speeds(engine: LocalEngine, request: Request, sampling: Sampling, rounds: int) -> None:
    """Tokens a second of one request alone: those of photo and question until the first of the reply, then the rest."""
    max_pixels = engine.about.max_pixels
    times: dict[str, list[tuple[float, float]]] = {"ours": [], "plain generate": []}
    for turn in range(rounds + 1):
        started = time.perf_counter()
        first, tokens = None, 0
        for delta in engine.stream([request], sampling, max_pixels=max_pixels):
            first = first or time.perf_counter()
            tokens += delta.tokens
        end = time.perf_counter()
        published(engine, request, Sampling(1), max_pixels)
        middle = time.perf_counter()
        published(engine, request, sampling, max_pixels)
        last_word = time.perf_counter()
        if turn and first:
            times["ours"].append((first - started, end - first))
            times["plain generate"].append((middle - end, last_word - middle - (middle - end)))
    weights, processor = STOCK[engine._model.part_for(request)]
    read = prompt(weights, processor, request, max_pixels)["input_ids"].shape[1]
    for name, pairs in times.items():
        prefill, decode = (statistics.median(part) for part in zip(*pairs, strict=True))
        print(
            f"{name:16} prefill {read / prefill:6.0f} tokens/s, decode {(tokens - 1) / decode:5.0f} tokens/s",
            end="; ",
        )
    print(f"{read} and {tokens} tokens, 1 megapixel, one question")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="preview")
    parser.add_argument("--device", default="auto", type=Device)
    parser.add_argument("--precision", default="auto", type=Precision)
    parser.add_argument("--photos", nargs="*", default=sorted(PHOTOS.glob("*.jpg"))[:4])
    parser.add_argument("--max-new-tokens", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    started = time.perf_counter()
    engine = LocalEngine.open(options.model, options.device, options.precision)
    about = engine.about
    print(
        f"{about.name}, {about.precision} on {about.device}, torch {torch.__version__}, "
        f"{torch.get_num_threads()} threads, loaded in {time.perf_counter() - started:.2f} s"
    )
    sampling = Sampling(options.max_new_tokens)
    photos = [load_photo(path) for path in options.photos]
    large = [photo.resize((1148, 868), Image.Resampling.BICUBIC) for photo in photos[:2]]
    for size, chosen in (("example size", photos), ("1 megapixel", large)):
        compare(
            f"score + diagnosis, {size}", engine, [assessment(p) for p in chosen], sampling, options.rounds
        )
        pairs = [comparison(a, b) for a, b in zip(chosen[::2], chosen[1::2], strict=True)]
        compare(f"both orders, {size}", engine, pairs, sampling, options.rounds)
    speeds(engine, assessment(large[0])[0], sampling, options.rounds)
    print(f"peak memory of this process {psutil.Process().memory_info().rss / 1e6:.0f} MB now")


if __name__ == "__main__":
    main()
