"""A model on labelled photos, beside the numbers of the paper; or the numbers of predictions made elsewhere.

    python -m training.evaluate --data koniq_test.jsonl spaq.jsonl --out RUN --model ByteDance/Q-Insight
    python -m training.evaluate --data koniq_test.jsonl spaq.jsonl --out RUN --checkpoints runs/first
    python -m training.evaluate --out RUN --report-only
    python -m training.evaluate --predictions predictions.jsonl --json
    python -m training.evaluate --out RUN --report-only --paired OTHER/predictions.jsonl

The first writes RUN/predictions.jsonl, a line per answer as it comes, and RUN/report.md and report.json. The same
command again asks only what has no answer yet. `--data` takes the format of `training/data/examples.py`, `--predictions`
that of `training/evaluate/predictions.py`, which RUN/predictions.jsonl has too.
"""

import argparse
import json
import shlex
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from qinsight.errors import QInsightError
from qinsight.flags import add_model_flags, open_engine, positive
from qinsight.json_lines import whole_lines
from qinsight.ledger import Ledger
from qinsight.ranking.tables import replacing
from qinsight.requests import About, Engine, Sampling
from qinsight.terminal import counted, say, show_step
from training.command_line import Parser
from training.data.examples import Example, as_json
from training.data.kinds import read_or_point
from training.data.lines import LabelError, raise_all
from training.evaluate.asking import Questions, ask_all, target_value
from training.evaluate.many import CURVE, TABLE, curve, places, read_report, table
from training.evaluate.measures import Measures, Told, Watch, measure, paired, unwatched
from training.evaluate.predictions import (
    PREDICTIONS,
    Fault,
    Prediction,
    memory,
    own_line,
    read_prediction,
    read_predictions,
)
from training.evaluate.run_card import check_run, head_of, read_run
from training.evaluate.tables import details, paired_table, report

DONE, FAILED, INCOMPLETE, STOPPED = 0, 1, 4, 130
LONG = 5000  # answers, whose intervals take seconds to minutes
MOST_LISTED = 20  # unreadable answers and photos that are spelt out


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command: 0, or 1 failed, 2 bad usage, 4 some photos could not be asked about, 130 stopped."""
    parser = _parser()
    options = parser.parse_args(argv)
    options.command = shlex.join(
        ["python", "-m", "training.evaluate", *(sys.argv[1:] if argv is None else argv)]
    )
    _check_usage(parser, options)
    try:
        if options.predictions:
            return _predictions(options)
        if options.checkpoints:
            return _evaluate_all(options)
        return _report(options) if options.report_only else _evaluate(options)
    except QInsightError as error:
        say(f"evaluate: {error}")
        return FAILED
    except KeyboardInterrupt:
        kept = (
            f" What was answered is kept in {options.out}; the same command goes on." if options.data else ""
        )
        say(f"\nevaluate: stopped.{kept}")
        return STOPPED


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m training.evaluate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Exit codes: 0 done, 1 failed, 2 bad usage, 4 some questions could not be asked, 130 stopped.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--predictions", type=Path, metavar="FILE", help="measure predictions that are there already")
    add("--data", type=Path, nargs="+", metavar="FILE", help="ask a model about the examples of these files")
    add("--out", type=Path, metavar="DIR", help="answers and report go here")
    add("--root", type=Path, metavar="DIR", help="photos are below it; default: the folder of each data file")
    add("--report-only", action="store_true", help="ask nothing, compute the report of --out again")
    add("--paired", type=Path, metavar="FILE", help="compare with another model's predictions.jsonl")
    add("--json", action="store_true", help="print one JSON object per set instead of Markdown")
    words = "a folder for each checkpoint, or for a run with several: a table and curves of all of them"
    add("--checkpoints", type=Path, nargs="+", metavar="DIR", help=words)
    add("--limit", type=positive, metavar="N", help="only the first N examples of each set and task")
    add("--both-orders", action="store_true", help="ask comparisons with a reference in both orders too")
    add("--batch", type=positive, default=16, metavar="N", help="examples asked together; default: 16")
    add("--samples", type=positive, default=1, metavar="K", help="mean rating or most frequent of K answers")
    add("--temperature", type=float, metavar="T", help="default: 0 (greedy), with --samples 1.0")
    add("--seed", type=int, default=42, metavar="N", help="of the samples; default: 42")
    add_model_flags(parser)
    return parser


def _check_usage(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    chosen = [bool(options.predictions), bool(options.data), options.report_only]
    if sum(chosen) != 1:
        parser.error("expected one of --predictions FILE, --data FILE, --report-only")
    if options.checkpoints and not options.data:
        parser.error("expected --data FILE with --checkpoints")
    if options.checkpoints and (options.model != "auto" or options.endpoint or options.paired):
        parser.error("expected either --checkpoints, or one of --model, --endpoint and --paired")
    if not options.predictions and options.out is None:
        parser.error("expected --out DIR")
    if options.temperature is None:
        options.temperature = 1.0 if options.samples > 1 else 0.0
    if options.samples > 1 and options.temperature == 0:
        parser.error("expected a --temperature above 0 with --samples; greedy samples are all the same")
    try:
        options.sampling = Sampling(
            options.max_new_tokens,
            options.temperature,
            seed=options.seed,
            repetition_penalty=options.repetition_penalty,
        )
    except ValueError as error:
        parser.error(str(error))


# --- predictions made elsewhere ---------------------------------------------------------------------------


def _predictions(options: argparse.Namespace) -> int:
    predictions = read_predictions(options.predictions)
    _print_all(options, predictions, measure(predictions, _watch(predictions)))
    _list_faults(predictions, str(options.predictions))
    return DONE


def _watch(predictions: Sequence[Prediction]) -> Watch:
    """Who hears how far a set is, where that takes long: its intervals come from thousands of resamples."""
    return _watched if len(predictions) >= LONG else unwatched


@contextmanager
def _watched(words: str, whole: int) -> Iterator[Told]:
    done = 0

    def told(more: int) -> None:
        nonlocal done
        done += more
        show(done, whole)

    say(f"evaluate: {words}")
    with counted("evaluate", "resamples", logged=True) as show:
        show(0, whole)
        yield told


def _print_all(options: argparse.Namespace, predictions: list[Prediction], found: list[Measures]) -> None:
    pairs = paired(predictions, read_predictions(options.paired)) if options.paired else []
    if options.json:
        for line in found:
            print(json.dumps(line, ensure_ascii=False))
        for line in pairs:
            print(json.dumps({"paired": str(options.paired)} | line, ensure_ascii=False))
        return
    print("\n\n".join([*details(found), *([paired_table(pairs)] if pairs else [])]))


def _list_faults(predictions: list[Prediction], place: str) -> None:
    """Say on the terminal what has no answer, and why."""
    for fault, words in (
        (Fault.ANSWER, "unreadable answers"),
        (Fault.PHOTO, "photos that could not be read, not scored"),
        (Fault.MODEL, "questions the model could not answer, not scored"),
    ):
        mine = [one for one in predictions if one.fault is fault]
        if mine:
            say(f"{place}: {len(mine)} of {len(predictions)} {words}:")
            for one in mine[:MOST_LISTED]:
                say(f"  {one.id or f'line {one.line}'}: {one.words[:200]}")
            if len(mine) > MOST_LISTED:
                say(f"  ... and {len(mine) - MOST_LISTED} more")


# --- asking a model ---------------------------------------------------------------------------------------


def _evaluate(options: argparse.Namespace) -> int:
    examples = _examples(options)
    engine = open_engine(options, show_step)
    _check_tasks(engine.about, {example.task for example, _ in examples})
    with memory(options.out) as ledger:
        check_run(options, engine.about, begun=len(ledger) > 0)
        _ask(options, engine, examples, ledger)
        rows = [row for example, _ in examples if (row := ledger.get(example.id))]
        others = len(ledger) - len(rows)
    if others:
        say(f"evaluate: {others} lines of {ledger.path} are of other data, and left out of this report.")
    return _write_report(options, rows)


def _evaluate_all(options: argparse.Namespace) -> int:
    """Each checkpoint into a folder of its own below --out; then one table and one picture of all of them."""
    found, codes = [], set()
    for place in places(options.checkpoints):
        say(f"evaluate: {place.name}")
        one = argparse.Namespace(
            **{**vars(options), "model": str(place.folder), "out": options.out / place.name}
        )
        with redirect_stdout(StringIO()):
            codes.add(_evaluate(one))
        found.append((place, read_report(one.out)))
    text = table(found)
    with replacing(options.out / TABLE) as file:
        file.write(text)
    drawn = f" and {CURVE}" if curve(found, options.out / CURVE) else ""
    print(text, end="")
    say(f"Written: {TABLE}{drawn} in {options.out}, and a report in a folder for each checkpoint")
    return INCOMPLETE if INCOMPLETE in codes else DONE


def _examples(options: argparse.Namespace) -> list[tuple[Example, Path]]:
    """All examples with the folder below which their photos are named."""
    found: list[tuple[Example, Path]] = []
    for file in options.data:
        root = (options.root or file.parent).resolve()
        found += [(example, root) for example in read_or_point(file, root)]
    times = Counter(example.id for example, _ in found)
    raise_all(
        [f'expected every id in one data file; "{i}" comes {n} times' for i, n in times.items() if n > 1]
    )
    if options.limit is None:
        return found
    seen: Counter[tuple[str, str]] = Counter()
    kept = []
    for example, root in found:
        seen[example.set, example.task] += 1
        if seen[example.set, example.task] <= options.limit:
            kept.append((example, root))
    return kept


def _ask(
    options: argparse.Namespace, engine: Engine, examples: list[tuple[Example, Path]], ledger: Ledger
) -> None:
    left = [(example, root) for example, root in examples if not _is_answered(example, root, ledger)]
    if len(left) < len(examples):
        say(f"evaluate: {len(examples) - len(left)} of {len(examples)} are answered already.")
    questions = Questions(
        options.sampling, options.samples, options.both_orders, options.max_pixels, options.batch
    )
    done = 0
    with counted("evaluate", "answers", logged=True) as progress:
        for root in dict.fromkeys(root for _, root in left):
            mine = [example for example, place in left if place == root]
            for line in ask_all(engine, mine, root, questions):
                ledger.add(line)
                done += 1
                progress(done, len(left))


def _is_answered(example: Example, root: Path, ledger: Ledger) -> bool:
    """Whether the ledger holds an answer, readable or not, to this question with these photos and this target."""
    line = ledger.get(example.id)
    if line is None or line.get("fault") in (Fault.PHOTO, Fault.MODEL):
        return False
    photos = as_json(example, root)["photos"]
    return line["photos"] == photos and line["target"] == target_value(example.target)


def _check_tasks(about: About, tasks: set[Any]) -> None:
    if lacking := sorted(tasks - about.tasks):
        raise QInsightError(
            f"Expected a model that answers {', '.join(lacking)}; {about.name} answers "
            f"{', '.join(sorted(about.tasks))}. Leave out those examples, or choose another --model."
        )


# --- the report -------------------------------------------------------------------------------------------


def _report(options: argparse.Namespace) -> int:
    file = options.out / PREDICTIONS
    rows = list({line["id"]: line for line in whole_lines(file, own_line)}.values())
    if not rows:
        raise LabelError(f"Expected answers in {file}, got none.")
    return _write_report(options, rows)


def _write_report(options: argparse.Namespace, rows: list[dict[str, Any]]) -> int:
    predictions = [read_prediction(row, number) for number, row in enumerate(rows, 1)]
    found = measure(predictions, _watch(predictions))
    pairs = paired(predictions, read_predictions(options.paired)) if options.paired else []
    run = read_run(options.out)
    head = head_of(run, rows, found)
    if options.paired:
        head["compared with"] = str(options.paired)
    with replacing(options.out / "report.md") as text:
        text.write(report(head, found, pairs))
    with replacing(options.out / "report.json") as text:
        json.dump(
            {"head": head, "run": run, "sets": found, "paired": pairs}, text, indent=1, ensure_ascii=False
        )
    if options.json:
        _print_all(options, predictions, found)
    else:
        print(report(head, found, pairs))
    _list_faults(predictions, str(options.out))
    say(f"Written: predictions.jsonl, report.md and report.json in {options.out}")
    return INCOMPLETE if any(one["missing"] for one in found) else DONE
