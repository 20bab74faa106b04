"""Fold a LoRA adapter into the weights it was trained on.

    python -m training.merge --model runs/lora --out runs/lora-merged

The result is an ordinary checkpoint: any server can load it, and a new training can start from it. An adapter of
4-bit weights is folded into the full-precision ones it was quantised from.
"""

from qinsight.stopping import stop_with_a_line

if __name__ == "__main__":
    stop_with_a_line()  # before what takes long is imported

import argparse
import json
import shutil
import sys
from pathlib import Path

import torch

from qinsight.engines.checkpoint import Device, Precision, locate, read_json
from qinsight.engines.weights import load, stored_precision
from qinsight.errors import EngineError, QInsightError
from qinsight.terminal import at_a_terminal
from qinsight.whole_files import whole_folder

DTYPES = ("float32", "bfloat16")


def merge(model: str, out: Path, dtype: str | None = None) -> Path:
    """Write the merged checkpoint into `out`, which must not exist yet; `dtype` None keeps the base's own.

    The folding itself is done in float32: a delta added in bfloat16 loses most of its bits.
    """
    if out.exists():
        raise EngineError(f"Expected a folder that does not exist yet; {out} does.")
    part = next(iter(locate(model).parts.values()))
    checkpoint = part.fetch()
    if checkpoint.base is None:
        raise EngineError(f"Expected an adapter; {model} holds full weights already.")
    weights = load(checkpoint, Device.CPU, Precision.FP32)
    if dtype is None:
        dtype = "float32" if stored_precision(checkpoint) is Precision.FP32 else "bfloat16"
    with whole_folder(out) as draft:
        weights.model.to(getattr(torch, dtype)).save_pretrained(draft)
        for folder in (checkpoint.folder, checkpoint.base.folder):
            _copy_what_is_beside(folder, draft)
        card = draft / "qinsight.json"
        told = {**read_json(card), "name": f"{checkpoint.name}, merged"} if card.exists() else {}
        told.pop("base", None)
        card.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return out


def _copy_what_is_beside(folder: Path, out: Path) -> None:
    """Tokenizer, processor, template and card: whatever is not weights, nor of the adapter or its training."""
    left = {
        "adapter_config.json",
        "recipe.json",
        "trainer_state.json",
        "README.md",
        "model.safetensors.index.json",
    }
    for file in folder.iterdir():
        kept = file.suffix in {".json", ".txt", ".jinja"} and file.name not in left
        if file.is_file() and kept and not (out / file.name).exists():
            shutil.copyfile(file, out / file.name)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.merge", description=__doc__.split("\n\n")[0])
    parser.add_argument("--model", required=True, metavar="DIR", help="the adapter, as the training wrote it")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR")
    parser.add_argument("--dtype", choices=DTYPES, help="of the result; default: that of the base")
    asked = parser.parse_args(arguments)
    try:
        print(f"Written to {merge(asked.model, asked.out, asked.dtype)}")
    except QInsightError as error:
        print(f"training.merge: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(at_a_terminal(main))
