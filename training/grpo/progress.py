"""What a run shows while it goes on: a bar, one line an update, the rest in a file; and how it is stopped."""

import json
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm
from transformers import TrainerCallback

from qinsight.errors import QInsightError
from qinsight.terminal import say, size
from qinsight.whole_files import whole_text

LOG = "log.jsonl"
FIRST = 3  # updates after which the hours of the run are told; the first one is slower, and left out

SHARES = (  # what matters of an update: its name in the log, in the line, and how it is written
    ("reward", "reward", "{:.3f}"),
    ("rewards/format/mean", "format", "{:.2f}"),
    ("rewards/score/mean", "score", "{:.2f}"),
    ("rewards/distortion_class/mean", "class", "{:.2f}"),
    ("rewards/severity/mean", "severity", "{:.2f}"),
    ("rewards/comparison/mean", "comparison", "{:.2f}"),
    ("unreadable", "unreadable", "{:.0%}"),
    ("completions/clipped_ratio", "cut", "{:.0%}"),
    ("no_signal", "no signal", "{:.0%}"),
    ("kl", "kl", "{:.4f}"),
)
MEASURED = (  # of an evaluation on the way
    ("eval_reward", "reward", "{:.3f}"),
    ("eval_score/plcc", "PLCC", "{:.3f}"),
    ("eval_score/srcc", "SRCC", "{:.3f}"),
    ("eval_degradation/class", "class", "{:.3f}"),
    ("eval_degradation/level", "severity", "{:.3f}"),
    ("eval_comparison/reward", "comparison", "{:.3f}"),
    ("eval_unreadable", "unreadable", "{:.1%}"),
)


class Stopped(QInsightError):
    """The run was asked to end, and has saved where it stands."""

    def __init__(self, update: int) -> None:
        super().__init__(
            f"Stopped after update {update}, which is saved. The same command goes on from there."
        )


class Progress(TrainerCallback):
    """Takes the place of the bar and the printer of transformers, on the main process."""

    def __init__(
        self, out: Path, *, quiet: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.out, self.quiet, self.clock = out, quiet, clock
        self.bar: Any = None
        self.times: list[float] = []

    def on_train_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        if not state.is_world_process_zero:
            return
        self._forget_after(state.global_step)
        hidden = self.quiet or not sys.stderr.isatty()
        shown = "{desc} {percentage:3.0f}%|{bar}| {n_fmt} of {total_fmt} updates, {remaining} left{postfix}"
        self.bar = tqdm(
            total=state.max_steps,
            initial=state.global_step,
            desc="Training",
            disable=hidden,
            bar_format=shown,
            **size(),
        )
        self.times = [self.clock()]

    def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        if self.bar is None:
            return
        self.times.append(self.clock())
        self.bar.update(1)
        if len(self.times) == FIRST + 1 and state.max_steps > state.global_step:
            say(self._hours(state), result=True)

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **rest: Any
    ) -> None:
        if self.bar is None or not logs:
            return
        with (self.out / LOG).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"update": state.global_step, **logs}) + "\n")
        if "loss" in logs:
            say(self._line(state, logs), result=True)
            kept = [
                words for words in shares(logs, SHARES) if words.split()[0] in ("reward", "unreadable", "no")
            ]
            self.bar.set_postfix_str(", ".join(kept), refresh=True)
        elif any(name.startswith("eval_") for name in logs):
            say(f"  held out after {state.global_step}: " + "  ".join(shares(logs, MEASURED)), result=True)

    def on_save(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        if self.bar is not None:
            say(f"  saved: {self.out / f'checkpoint-{state.global_step}'}", result=True)

    def on_train_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None

    def _line(self, state: Any, logs: dict[str, Any]) -> str:
        words = [f"update {state.global_step:>{len(str(state.max_steps))}} of {state.max_steps}"]
        words += shares(logs, SHARES)
        if logs.get("step_time"):
            words.append(f"{logs['step_time']:.1f} s")
        if len(self.times) > 2:
            left = self._pace() * (state.max_steps - state.global_step)
            words.append(f"{timedelta(seconds=round(left))} left")
        return "  ".join(words)

    def _hours(self, state: Any) -> str:
        pace = self._pace()
        done = state.max_steps - state.global_step
        return (
            f"Pace       {pace:.1f} s an update at first: about {timedelta(seconds=round(pace * done))} "
            f"for the {done:,} updates that are left"
        )

    def _pace(self) -> float:
        """Seconds of an update: of the last ten, and never of the first, which warms up."""
        times = self.times[1:][-11:]
        return (times[-1] - times[0]) / (len(times) - 1)

    def _forget_after(self, update: int) -> None:
        """Lines of updates that a killed run made after its last checkpoint are made again."""
        file = self.out / LOG
        if not file.exists():
            return
        lines = file.read_text(encoding="utf-8").splitlines()
        kept = [line for line in lines if (told := _number(line)) is not None and told <= update]
        with whole_text(file) as text:
            text.writelines(f"{line}\n" for line in kept)


def shares(logs: dict[str, Any], chosen: tuple[tuple[str, str, str], ...]) -> list[str]:
    """The numbers of a log that there are, as words."""
    found = [(words, form, logs.get(name)) for name, words, form in chosen]
    return [
        f"{words} {form.format(value)}"
        for words, form, value in found
        if isinstance(value, int | float) and value == value
    ]


def _number(line: str) -> int | None:
    try:
        return int(json.loads(line)["update"])
    except (ValueError, KeyError, TypeError):
        return None


class Stop(TrainerCallback):
    """Ends a run that gets SIGTERM after the update it is in, saved, on every process after the same one."""

    def __init__(self, trainer: Any) -> None:
        self.accelerator, self.args = trainer.accelerator, trainer.args
        self.heard = self.asked = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():  # where nobody may listen
            yield
            return
        before = signal.signal(signal.SIGTERM, self._hear)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)

    def _hear(self, number: int, frame: Any) -> None:
        self.heard = True
        if self.args.process_index == 0:
            say("\nSIGTERM: this update is finished and saved, then the run stops.")

    def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        together = max(1, args.steps_per_generation * args.num_iterations // args.gradient_accumulation_steps)
        if state.global_step % together or not self._anywhere():
            return
        self.asked = True
        control.should_save = control.should_training_stop = True

    def _anywhere(self) -> bool:
        """Whether any process has heard it: they stop together, or wait for each other for ever."""
        if self.accelerator.num_processes == 1:
            return self.heard
        heard = torch.tensor([float(self.heard)], device=self.accelerator.device)
        return bool(self.accelerator.reduce(heard, reduction="sum").item())
