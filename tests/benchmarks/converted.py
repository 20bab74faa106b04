"""What a smaller type of converted weights changes: replies counted against the local engine's in fp32.

    python tests/benchmarks/converted.py [--model preview] [--types f32 f16 q8_0 q5_1 q4_0]

Asked are score and diagnosis of each example photo, whole, at half its width and as a JPEG of quality 20, and which of two
neighbours among them is better, in both orders. Printed are, by type: megabytes, replies that are the same word for
word, answers that are the same, the mean and the largest difference of the expected ratings, seconds a reply. The local
engine answers all questions of a kind together, llama.cpp one after the other.
"""

import argparse
import io
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from PIL import Image

from qinsight.assess import Asked, ask, last
from qinsight.engines.checkpoint import Device, Precision
from qinsight.engines.convert import convert
from qinsight.engines.gguf_header import Type
from qinsight.engines.llama_engine import LlamaEngine
from qinsight.engines.local import LocalEngine
from qinsight.photos import load_photo
from qinsight.prompts import Task
from qinsight.requests import Engine, Request, Sampling

EXAMPLES = Path(__file__).parents[2] / "examples" / "photos"


def views(photo: Image.Image) -> list[Image.Image]:
    """The photo, half of its width, and a strong compression of it."""
    squeezed = io.BytesIO()
    photo.save(squeezed, "JPEG", quality=20)
    return [photo, photo.resize((photo.width // 2, photo.height // 2)), Image.open(squeezed).convert("RGB")]


def questions() -> list[Request]:
    """Those of the counting."""
    photos = [view for path in sorted(EXAMPLES.glob("*.jpg")) for view in views(load_photo(path))]
    alone = [Request(task, (photo,)) for photo in photos for task in (Task.SCORE, Task.DEGRADATION)]
    pairs = [pair for one, other in pairwise(photos) for pair in ((one, other), (other, one))]
    return alone + [Request(Task.COMPARISON, pair) for pair in pairs]


def told(engine: Engine, requests: Sequence[Request]) -> tuple[list[Asked], float]:
    """All replies, eight questions at a time, and the seconds each took."""
    begun, found = time.perf_counter(), []
    for first in range(0, len(requests), 8):
        found += last(ask(engine, requests[first : first + 8], Sampling(300), watched=False))
    return found, (time.perf_counter() - begun) / len(requests)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--model", default="preview")
    parser.add_argument("--types", nargs="+", type=Type, default=[kind for kind in Type if kind != "q4_k_m"])
    options = parser.parse_args()
    requests = questions()
    ours, seconds = told(LocalEngine.open(options.model, Device.CPU, Precision.FP32), requests)
    print(f"{len(requests)} questions; local fp32: {seconds:.2f} s each")
    with tempfile.TemporaryDirectory() as folder:
        for kind in options.types:
            out = Path(folder) / kind
            convert(options.model, out, kind)
            engine = LlamaEngine.open(str(out), Device.CPU)
            size = engine.about.memory_bytes / 1e6
            found, seconds = told(engine, requests)
            engine.close()
            same = sum(one.text == other.text for one, other in zip(ours, found, strict=True))
            alike = sum(one.answer == other.answer for one, other in zip(ours, found, strict=True))
            apart = [
                abs(one.expected_rating - other.expected_rating)
                for one, other in zip(ours, found, strict=True)
                if one.expected_rating is not None and other.expected_rating is not None
            ]
            print(
                f"{kind}: {size:.1f} MB, {same} replies and {alike} answers of {len(requests)} the same, expected "
                f"ratings {sum(apart) / len(apart):.4f} apart, at most {max(apart):.4f}, {seconds:.2f} s each",
                flush=True,
            )


if __name__ == "__main__":
    main()
