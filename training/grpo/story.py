"""What a checkpoint is, told in its README: base, data, recipe, curves, evaluation, licence, and how to serve it."""

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from qinsight.engines.checkpoint import Checkpoint
from training.evaluate.best import read_best
from training.evaluate.curve import draw
from training.grpo.progress import MEASURED, SHARES, shares
from training.grpo.recipe import Adapt, Recipe, Settings
from training.grpo.resume import MAY_CHANGE, plain

ROWS = 12  # of the table of the curves
CURVES = "curves.png"
PANELS = {
    "reward": (("reward", "reward"),),
    "rewards": tuple((name, words) for name, words, _ in SHARES if name.startswith("rewards/")),
    "held out": tuple((name, words) for name, words, _ in MEASURED if "reward" not in name),
    "shares": tuple(
        (name, words) for name, words, _ in SHARES if words in ("unreadable", "cut", "no signal")
    ),
}


DERIVED = {  # of other settings, and of the machine
    *("gradient_accumulation_steps", "steps_per_generation", "generation_batch_size", "accelerator_config"),
    *("bf16", "use_cpu", "pad_to_multiple_of", "optim"),
}


@dataclass(frozen=True)
class Story:
    """What is known of a run before it begins. `made` is what `recipe.json` notes of it."""

    recipe: Recipe
    settings: Settings
    checkpoint: Checkpoint
    made: dict[str, Any]

    def write(self, folder: Path, log: list[dict[str, Any]], update: int) -> None:
        """README.md, and the curves beside it, into a folder with weights."""
        drawn = draw(_panels(log), "update", folder / CURVES)
        (folder / "README.md").write_text(self.words(log, update, drawn=drawn), encoding="utf-8")

    def words(self, log: list[dict[str, Any]], update: int, *, drawn: bool) -> str:
        parts = [
            self._head(),
            f"# {self.recipe.name or f'{self.checkpoint.name}, trained here'}",
            self.recipe.about or "",
            self._base(update),
            "## Data\n\n" + self._data(),
            "## Recipe\n\n" + self._chosen(),
            "## Curves\n\n" + _curves(log) + (f"\n\n![curves]({CURVES})" if drawn else ""),
            "## Evaluation on the way\n\n" + self._evaluation(log),
            "## Licence\n\n" + self._licence(),
            "## Use\n\n" + self._use(),
        ]
        return "\n\n".join(part for part in parts if part) + "\n"

    def _head(self) -> str:
        adapters = self.recipe.adapt is not Adapt.FULL
        lines = [
            f"library_name: {'peft' if adapters else 'transformers'}",
            "pipeline_tag: image-text-to-text",
            *([f"base_model: {self.recipe.model}"] if self._on_hub() else []),
            *([f"license: {found}"] if (found := licence_of(self.checkpoint.folder)) else []),
            "tags: [image-quality-assessment, q-insight, grpo, trl]",
        ]
        return "---\n" + "\n".join(lines) + "\n---"

    def _on_hub(self) -> bool:
        return not Path(self.recipe.model).exists() and self.recipe.model.count("/") == 1

    def _base(self, update: int) -> str:
        how = {
            Adapt.FULL: "A full fine-tune",
            Adapt.LORA: "LoRA adapters",
            Adapt.QLORA: "LoRA adapters trained over 4-bit weights",
        }
        base = (
            self.recipe.model
            if self._on_hub()
            else f"{self.checkpoint.name} (`{Path(self.recipe.model).name}`)"
        )
        weights = f", weights {self.made['weights']}" if self.made.get("weights") else ""
        vision = "" if self.recipe.train_vision else "; the vision tower did not learn"
        return f"{how[self.recipe.adapt]} of {base}{weights}, after {update:,} updates of GRPO (TRL){vision}."

    def _data(self) -> str:
        told = self.made.get("data") or [{"file": Path(file).name} for file in self.recipe.train]
        lines = [
            f"| {one['file']} | {one.get('examples', '')} | {one.get('digest', 'not computed here')} |"
            for one in told
        ]
        held = ", ".join(Path(file).name for file in self.recipe.test) or "nothing"
        return "\n".join(
            [
                "| trained on | examples | digest of labels and photos |",
                "| --- | --- | --- |",
                *lines,
                "",
                f"Held out: {held}. A photo larger than {self.recipe.max_pixels:,} pixels was shrunk to as many.",
            ]
        )

    def _chosen(self) -> str:
        plainly = {**_defaults(Recipe), **_defaults(Settings)}
        hidden = {"model", "data", "weights", *MAY_CHANGE, *DERIVED}
        chosen = {
            name: value
            for name, value in self.made.items()
            if name not in hidden and (name not in plainly or plain(plainly[name]) != value)
        }
        lines = [f"- `{name}`: {json.dumps(value)}" for name, value in chosen.items()]
        return (
            "What differs from the defaults, which are the paper's; `recipe.json` of the run has all of it.\n\n"
            + ("\n".join(lines) or "Nothing.")
        )

    def _evaluation(self, log: list[dict[str, Any]]) -> str:
        rows = [line for line in log if any(name.startswith("eval_") for name in line)]
        if not rows:
            return "None. `python -m training.evaluate --model HERE --data FILE --out DIR` makes one."
        told = [
            f"- after update {line['step']}: " + ", ".join(shares(line, MEASURED)) for line in _thinned(rows)
        ]
        best = read_best(Path(str(self.settings.output_dir)))
        if best:
            told.append(f"- the best of {best['name']}: {best['value']:.4f}, after update {best['update']}")
        return f"Greedy answers to at most {self.recipe.eval_photos} held-out questions.\n\n" + "\n".join(
            told
        )

    def _licence(self) -> str:
        found = licence_of(self.checkpoint.folder)
        base = (
            f"Its base is under {found}" if found else "The folder of its base names no licence: look there"
        )
        return f"{base}; the data sets have terms of their own, which hold for what is learnt from them too."

    def _use(self) -> str:
        words = (
            "```sh\npython app.py --model HERE\npython -m training.evaluate --model HERE --data FILE --out DIR\n"
            + (
                "python -m training.merge --model HERE --out DIR   # adapters folded into full weights\n"
                if self.recipe.adapt is not Adapt.FULL
                else ""
            )
            + "```"
        )
        order = (
            "the photo before the question"
            if str(self.recipe.order) == "photo_first"
            else "the question first"
        )
        return f"{words}\n\nAsked with {order}; `qinsight.json` tells the app."


def licence_of(folder: Path) -> str:
    """The licence that the README of a checkpoint declares, in the hub's spelling; nothing where it does not."""
    try:
        text = (folder / "README.md").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
    head = text.split("---", 2)[1] if text.startswith("---") and text.count("---") > 1 else ""
    return next(
        (line.split(":", 1)[1].strip() for line in head.splitlines() if line.startswith("license:")), ""
    )


def _defaults(kind: Any) -> dict[str, Any]:
    return {field.name: field.default for field in fields(kind)}


def _panels(log: list[dict[str, Any]]) -> dict[str, dict[str, list[tuple[float, float]]]]:
    return {
        title: {
            words: [
                (line["step"], float(line[name])) for line in log if isinstance(line.get(name), int | float)
            ]
            for name, words in chosen
        }
        for title, chosen in PANELS.items()
    }


def _curves(log: list[dict[str, Any]]) -> str:
    rows = _thinned([line for line in log if "loss" in line])
    lines = [f"- update {line['step']}: " + ", ".join(shares(line, SHARES)) for line in rows]
    return "\n".join(lines) or "No update was logged yet."


def _thinned(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """At most `ROWS` of them, evenly, with the first and the last."""
    if len(rows) <= ROWS:
        return rows
    return [rows[round(place * (len(rows) - 1) / (ROWS - 1))] for place in range(ROWS)]
