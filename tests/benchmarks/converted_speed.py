"""What weights cost on this computer: opening, memory, the first word, each word; and what asking llama.cpp through us adds.

    python tests/benchmarks/converted_speed.py DIR [--precision nf4] [--megapixels 1] [--tokens 24] [--rounds 3]

DIR holds converted weights, or others, which our own engine answers with (`--precision`). A photo of noise is rated, another
one each time: llama.cpp keeps what it read last.
Printed are medians over the rounds, seconds of the wall and of all processors (ours and llama.cpp's). Of converted
weights the same server is asked in turn by us (`through us`), by bare httpx2 with the request that we send (`directly`), and
by bare httpx2 with nothing asked for but words (`words only`); the picture of the latter two is encoded beforehand.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import httpx2
import psutil
from PIL import Image

from qinsight.check.served import _messages
from qinsight.engines.checkpoint import Device, Precision
from qinsight.engines.llama_engine import LlamaEngine
from qinsight.engines.server import CHAT
from qinsight.flags import open_here
from qinsight.prompts import Order, Task
from qinsight.requests import Engine, Request, Sampling

Asked = dict[str, float]
Ask = Callable[[Callable[[], None]], int]  # told of the first word, returns how many there were


def timed(processes: list[psutil.Process], ask: Ask) -> Asked:
    """Seconds to the first word, for each of the others, for all, and of the processors meanwhile."""
    before, started, first = processor(processes), time.perf_counter(), []
    words = ask(lambda: first.append(time.perf_counter()))
    ended = time.perf_counter()
    return {
        "first": first[0] - started,
        "each": (ended - first[0]) / max(1, words - 1),
        "whole": ended - started,
        "processor": processor(processes) - before,
        "words": words,
    }


def processor(processes: list[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def through_us(engine: Engine, sampling: Sampling, photo: Image.Image) -> Ask:
    def ask(heard: Callable[[], None]) -> int:
        words = 0
        for delta in engine.stream([Request(Task.SCORE, (photo,))], sampling):
            if delta.tokens:
                heard()
            words += delta.tokens
        return words

    return ask


def directly(engine: LlamaEngine, fields: dict[str, Any], photo: Image.Image) -> Ask:
    """One request by nothing but the HTTP client, read to its end."""
    server = next(iter(engine._children.values())).engine.server
    messages = _messages(photo, engine.about.max_pixels, Order(engine.about.made_with["order"]))
    body = {"model": server.model, "messages": messages, "temperature": 0, "stream": True}
    penalty = {"repeat_penalty": next(iter(engine._files.values())).penalty or 1.0, "repeat_last_n": 65536}
    content = json.dumps(body | penalty | fields).encode()
    settings = server.connection() | {"timeout": None}

    def ask(heard: Callable[[], None]) -> int:
        last = ""
        with (
            httpx2.Client(**settings) as client,
            client.stream("POST", server.url(CHAT), content=content) as answer,
        ):
            for line in answer.iter_lines():
                if line.startswith("data: {") and '"role"' not in line:
                    last = line
                    heard()
        return int(json.loads(last.removeprefix("data: "))["timings"]["predicted_n"])

    return ask


def peak(process: psutil.Process) -> float:
    """Bytes that were in memory at most, mapped files included."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def told(name: str, found: list[Asked]) -> Asked:
    """The medians, printed."""
    middle = {what: statistics.median(one[what] for one in found) for what in found[0]}
    print(
        f"{name:12} first word {middle['first']:8.3f} s, each {1000 * middle['each']:8.2f} ms, whole "
        f"{middle['whole']:8.3f} s, processor {middle['processor']:8.3f} s, {middle['words']:.0f} words",
        flush=True,
    )
    return middle


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", metavar="DIR")
    parser.add_argument("--precision", choices=[*Precision], type=Precision, default=Precision.AUTO)
    parser.add_argument("--megapixels", type=float, default=1.0)
    parser.add_argument("--tokens", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    side = int((options.megapixels * 1e6) ** 0.5) // 28 * 28
    sampling = Sampling(options.tokens)
    started = time.perf_counter()
    engine = open_here(options.model, Device.CPU, options.precision, lambda *_: None, None)
    print(
        f"{engine.about.name} in {engine.about.precision}: open after {time.perf_counter() - started:.1f} s"
    )
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    ways: dict[str, Callable[[Image.Image], Ask]] = {"through us": partial(through_us, engine, sampling)}
    if isinstance(engine, LlamaEngine):
        few = {"max_tokens": options.tokens}
        ways["directly"] = partial(directly, engine, {**few, "logprobs": True, "top_logprobs": 20})
        ways["words only"] = partial(directly, engine, few)
    found: dict[str, list[Asked]] = {name: [] for name in ways}
    for number in range(options.rounds):
        for name, way in sorted(ways.items(), reverse=bool(number % 2)):
            photo = Image.effect_noise((side, side), 60).convert("RGB")
            found[name].append(timed(processes, way(photo)))
    medians = {name: told(name, rounds) for name, rounds in found.items()}
    print("memory at most: " + ", ".join(f"{peak(one) / 1e9:.2f} GB" for one in processes))
    for name in [*medians][1:]:
        ratios = [
            one["whole"] / other["whole"] for one, other in zip(found["through us"], found[name], strict=True)
        ]
        cost = medians["through us"]["processor"] / medians[name]["processor"]
        print(
            f"through us / {name}: whole {statistics.median(ratios):.3f} ({min(ratios):.3f} to "
            f"{max(ratios):.3f}), processor {cost:.3f}"
        )


if __name__ == "__main__":
    main()
