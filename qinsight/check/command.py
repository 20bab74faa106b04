"""The command line: `python -m qinsight check`."""

import argparse
from pathlib import Path
from typing import Any

from qinsight.check import check, plan_for
from qinsight.check.asking import Asking
from qinsight.check.identity import read_record
from qinsight.check.passport import PASSPORT
from qinsight.check.plan import Step
from qinsight.errors import QInsightError
from qinsight.flags import add_model_flags, open_engine
from qinsight.requests import Sampling
from qinsight.terminal import counted, say, show_step

FINE, ALARMED, NOT_BEGUN = 0, 1, 2


def add_command(commands: Any) -> None:
    """Its flags, for the parser of all commands."""
    command = commands.add_parser(
        "check",
        help="check how a model is served, and write its passport; resumes",
        description="Asks about pictures of its own whether photos, questions and replies are handed on as they are.",
        epilog="Exit codes: 0 no alarm, 1 an alarm, 2 the check could not begin or not be finished.",
        allow_abbrev=False,
    )
    add_model_flags(command)
    add = command.add_argument
    words = f"{PASSPORT} goes here, and until it is there what was answered; default: passport"
    add("--out", type=Path, default=Path("passport"), metavar="DIR", help=words)
    add("--record", type=Path, metavar="FILE", help="write the replies, of an engine that is trusted")
    words = "compare with replies that were recorded from these weights"
    add("--against", type=Path, metavar="FILE", help=words)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Check, and say what came of it; the exit code is that of the epilog above."""
    try:
        return _run(options)
    except QInsightError as error:
        say(f"qinsight: {error}")
        return NOT_BEGUN


def _run(options: argparse.Namespace) -> int:
    against = None if options.against is None else read_record(options.against)
    engine = open_engine(options, show_step)
    sampling = Sampling(options.max_new_tokens, repetition_penalty=options.repetition_penalty)
    plan = plan_for(engine, sampling)
    replies = sum(len(step.requests) for step in plan)
    say(
        f"{engine.about.name}: {len(plan)} questions, {replies} replies, about pictures of up to 1 megapixel."
    )
    with counted("check", "questions", logged=True) as progress:
        passport = check(
            engine,
            options.out,
            plan=plan,
            sampling=sampling,
            max_pixels=options.max_pixels,
            against=against,
            record_to=options.record,
            watch=_Watch(plan, progress),
        )
    say(passport.table(), result=True)
    say(f"Written: {options.out / PASSPORT}")
    return ALARMED if passport.alarms else FINE


class _Watch:
    """Says after the first answer how long the rest will take, and then how far it is."""

    def __init__(self, plan: list[Step], progress: Any) -> None:
        self.plan, self.progress, self.estimated = plan, progress, False

    def __call__(self, asking: Asking) -> None:
        done = len(asking.answers)
        if not self.estimated and done > asking.before:
            self.estimated = True
            self._estimate(asking)
        self.progress(done, len(self.plan), asking.before)

    def _estimate(self, asking: Asking) -> None:
        answered = next(reversed(asking.answers.values()))
        one = max((one.seconds for one in answered.asked), default=0.0)
        left = sum(len(step.requests) for step in self.plan[len(asking.answers) :])
        kept = f"{asking.before} questions were answered by an earlier run. " if asking.before else ""
        if one:
            say(
                f"{kept}An answer took {one:.1f} seconds; the {left} that are left take about {_told(one * left)}."
            )


def _told(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
