"""What a run was: model, weights, settings and machine. It is kept beside the answers, and heads the report."""

import argparse
import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from qinsight.errors import QInsightError
from qinsight.ranking.tables import replacing
from qinsight.requests import About
from training.data.lines import LabelError
from training.evaluate.measures import Measures
from training.evaluate.tables import sizes


def head_of(run: dict[str, Any], rows: list[dict[str, Any]], found: list[Measures]) -> dict[str, str]:
    """The head of a report, name by name: what was asked of whom, where and when, and what came of it."""
    settings = dict(run["settings"])
    seconds = [row["seconds"] for row in rows if row.get("seconds")]
    tokens = [row["tokens"] for row in rows if row.get("tokens")]
    head = {"model": str(settings.pop("model", "unknown"))}
    if run.get("preview"):
        head["model"] += " (a preview, not the Q-Insight weights)"
    head |= {
        "date": str(run["date"]),
        "hardware": str(run["hardware"]),
        "commit": str(run["commit"]),
        "command": f"`{run['command']}`",
        "asked": ", ".join(f"{name} {value}" for name, value in settings.items() if value is not None),
        "questions": f"{sum(one['n'] for one in found)} answered, "
        f"{sum(one['unreadable'] for one in found)} of them unreadable, "
        f"{sum(one['missing'] for one in found)} could not be asked",
        "sets": sizes(found),
    }
    if seconds and tokens:
        head["replies"] = (
            f"{sum(tokens) / len(tokens):.0f} tokens, {sum(seconds) / len(seconds):.1f} s in their batch"
        )
    return head


def check_run(options: argparse.Namespace, about: About, *, begun: bool) -> None:
    """Write `run.json`; answers of two models, or to questions put in two ways, are never mixed in one folder."""
    now: dict[str, Any] = {
        "model": about.name,
        "weights": about.weights or None,
        "precision": about.precision,
        "order": str(options.order) if options.order else "as the model was trained",
        "max_pixels": about.at(options.max_pixels).max_pixels,
        "max_new_tokens": options.max_new_tokens,
        "samples": options.samples,
        "temperature": options.temperature,
        "seed": options.seed if options.temperature else None,
        "repetition_penalty": options.repetition_penalty,
        "both_orders": options.both_orders,
    }
    if begun:
        before = read_run(options.out)["settings"]
        changed = [
            f"{name} {before.get(name)!r}, now {value!r}"
            for name, value in now.items()
            if before.get(name) != value
        ]
        if changed:
            raise QInsightError(
                f"Expected the settings with which {options.out} was begun, got another: {'; '.join(changed)}. "
                "Go back to them, or choose another --out."
            )
    run = {
        "settings": now,
        "preview": about.preview,
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "hardware": _hardware(about),
        "commit": _commit(),
        "command": options.command,
    }
    with replacing(options.out / "run.json") as text:
        json.dump(run, text, indent=1, ensure_ascii=False)


def read_run(out: Path) -> dict[str, Any]:
    """`run.json` of a folder with answers; `LabelError` where it is not there."""
    try:
        found = json.loads((out / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LabelError(
            f"Expected {out / 'run.json'}, which says how the answers there were asked for: {error}"
        ) from error
    return {"settings": {}} | dict.fromkeys(("date", "hardware", "commit", "command"), "unknown") | found


def _hardware(about: About) -> str:
    if about.precision == "server":
        return f"server {about.device}"
    if about.device == "cuda":
        import torch

        return str(torch.cuda.get_device_name())
    name = platform.processor() or platform.machine()
    try:
        cpu = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        name = next(
            line.split(":", 1)[1].strip() for line in cpu.splitlines() if line.startswith("model name")
        )
    except (OSError, StopIteration):
        pass
    return f"{about.device}: {name}, {os.cpu_count()} cores"


def _commit() -> str:
    """The commit of this code, where it is in a git repository."""
    here = Path(__file__).parent
    try:
        told = subprocess.run(
            ["git", "describe", "--always", "--dirty"], cwd=here, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return told.stdout.strip()
