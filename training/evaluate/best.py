"""The best weights of a run, by a number of its evaluation on the way, kept beside it: full ones and adapters."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from qinsight.prompts import Task

FALLING = {"unreadable", "score/absolute_error"}  # the lower the better
RISING = {
    *("reward", "score/plcc", "score/srcc", "degradation/class", "degradation/level"),
    *(f"{task}/reward" for task in Task),
}
FOLDER, TOLD = "best", "best.json"


class KeepBest(TrainerCallback):
    """Saves the weights into `best/` whenever `name` was never so good; `best.json` there says where it stands."""

    def __init__(self, name: str, out: Path, save: Callable[[str], None]) -> None:
        self.name, self.out, self.save = name, out, save
        told = read_best(out)
        self.best = told["value"] if told and told["name"] == name else None

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: dict[str, float] | None = None, **rest: Any
    ) -> None:
        value = (metrics or {}).get(f"eval_{self.name}")
        if value is None or value != value or not self._better(value):
            return
        self.best = value
        draft = self.out / f".{FOLDER}"
        if args.should_save:
            shutil.rmtree(draft, ignore_errors=True)
        self.save(str(draft))  # every process takes part in it where weights are shared out
        if args.should_save:
            told = {"name": self.name, "value": value, "update": state.global_step}
            (draft / TOLD).write_text(json.dumps(told) + "\n", encoding="utf-8")
            shutil.rmtree(self.out / FOLDER, ignore_errors=True)
            draft.rename(self.out / FOLDER)

    def _better(self, value: float) -> bool:
        if self.best is None:
            return True
        return value < self.best if self.name in FALLING else value > self.best


def read_best(out: Path) -> dict[str, Any] | None:
    """What is kept in the folder of a run, if anything is."""
    try:
        told = json.loads((out / FOLDER / TOLD).read_text(encoding="utf-8"))
        return {"name": str(told["name"]), "value": float(told["value"]), "update": int(told["update"])}
    except (OSError, ValueError, KeyError, TypeError):
        return None
