"""Eight samples of one question against eight runs of `generate`, side by side on the same weights and photo.

    python tests/benchmarks/samples.py [--model preview] [--samples 8] [--rounds 5] [--photos FILE ...]

Prints medians and the ratio of each photo; both ways sample with the published temperature, top-k and top-p, to as
many new tokens each.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import torch
from PIL import Image
from transformers import GenerationConfig

from qinsight.assess import ask, last, samples
from qinsight.engines.checkpoint import Device
from qinsight.engines.local import LocalEngine
from qinsight.engines.weights import Weights, load, load_processor
from qinsight.photos import load_photo
from qinsight.photos.view import view
from qinsight.prompts import Task, build_messages
from qinsight.requests import Sampling

PHOTOS = Path(__file__).parents[2] / "examples" / "photos"


def published(weights: Weights, processor: Any, photo: Image.Image, sampling: Sampling, limit: int) -> int:
    """One sample as the published scripts take it; the number of new tokens."""
    messages = build_messages(Task.SCORE, reference=False, order=weights.checkpoint.order)
    text = processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    inputs = processor(text=[text], images=[view(photo, limit)], return_tensors="pt").to(weights.device)
    how = GenerationConfig.from_dict(weights.model.generation_config.to_dict())
    how.update(do_sample=True, temperature=sampling.temperature, top_k=sampling.top_k, top_p=sampling.top_p)
    how.update(max_new_tokens=sampling.max_new_tokens)
    with torch.inference_mode():
        ids = weights.model.generate(**inputs, generation_config=how)
    processor.batch_decode(ids, skip_special_tokens=True)
    return int(ids.shape[1] - inputs["input_ids"].shape[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="preview")
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--photos", nargs="+", default=[str(PHOTOS / "cat.jpg")])
    asked = parser.parse_args()
    engine = LocalEngine.open(asked.model)
    ours = engine._weights(engine._model.part_for(samples(load_photo(asked.photos[0]), Task.SCORE, 1)[0]))
    stock = load(ours.checkpoint, Device(ours.device.type), ours.precision)  # without what we changed in it
    processor = load_processor(stock.checkpoint.folder)
    limit, dice = engine.about.max_pixels, Sampling(temperature=1.0)
    for name in asked.photos:
        photo = load_photo(name)
        ratios, together, apart, tokens = [], [], [], [0, 0]
        for turn in range(asked.rounds + 1):
            started = time.perf_counter()
            replies = last(ask(engine, samples(photo, Task.SCORE, asked.samples), dice))
            middle = time.perf_counter()
            new = [published(stock, processor, photo, dice, limit) for _ in range(asked.samples)]
            end = time.perf_counter()
            if turn:  # the first warms up
                together.append(middle - started)
                apart.append(end - middle)
                ratios.append(apart[-1] / together[-1])
                tokens = [tokens[0] + sum(one.tokens for one in replies), tokens[1] + sum(new)]
        print(
            f"{Path(name).name} {view(photo, limit).size}: {asked.samples} samples {statistics.median(together):.2f} s, "
            f"as many runs of generate {statistics.median(apart):.2f} s, ratio {statistics.median(ratios):.2f} "
            f"({min(ratios):.2f} to {max(ratios):.2f}); tokens {tokens[0]} and {tokens[1]}"
        )


if __name__ == "__main__":
    main()
