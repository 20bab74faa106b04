"""Whether an engine hands pictures, questions and replies on as they are: asked, judged, written into a passport."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from qinsight.check.asking import Asking, ask_all, forget
from qinsight.check.evidence import Evidence
from qinsight.check.identity import Record, identity, record, write_record
from qinsight.check.passport import Passport, engine_of, versions
from qinsight.check.plan import Step, steps
from qinsight.check.served import told
from qinsight.check.verdicts import verdicts
from qinsight.requests import GREEDY, Engine, Sampling

__all__ = ["check", "plan_for"]

Watch = Callable[[Asking], None]


def plan_for(engine: Engine, sampling: Sampling = GREEDY) -> list[Step]:
    """What the engine will be asked."""
    return steps(engine.about.tasks, sampling, engine.about.in_flight)


def check(
    engine: Engine,
    out: Path,
    *,
    plan: list[Step] | None = None,
    sampling: Sampling = GREEDY,
    max_pixels: int | None = None,
    against: Record | None = None,
    record_to: Path | None = None,
    watch: Watch = lambda asking: None,
) -> Passport:
    """Ask the engine everything and judge it; `watch` is told after each question.

    `against` are replies that were recorded from an engine that is trusted, `record_to` is where to write these.
    `passport.json` lies in `out` then. `QInsightError` where the check cannot be finished: what was answered is
    kept, and the next one goes on with it.
    """
    plan = plan_for(engine, sampling) if plan is None else plan
    asking = Asking()
    for asking in ask_all(engine, plan, out, max_pixels=max_pixels):
        watch(asking)
    served = told(engine, max_pixels)
    limit = max_pixels or engine.about.max_pixels
    evidence = Evidence(engine.about, asking.answers, sampling, limit, served)
    if record_to is not None:
        write_record(record(evidence), record_to)
    passport = Passport(
        engine_of(engine.about.at(max_pixels), served.version, sampling.repetition_penalty),
        versions(),
        datetime.now(UTC).isoformat(timespec="seconds"),
        sum(len(step.requests) for step in plan),
        (*verdicts(evidence), identity(evidence, against)),
    )
    passport.write(out)
    forget(out)
    return passport
