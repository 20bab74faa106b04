"""Data sets in the one checked form that training and evaluation read (`training/data/examples.py` shows a line of each).

    python -m training.data degrade PHOTOS --out DIR --views 7000
    python -m training.data official train_dist.json --root DATA --out dq495k.jsonl
    python -m training.data deqa Data-DeQA-Score/KONIQ/metas/train_koniq_7k.json --out koniq.jsonl
    python -m training.data check koniq.jsonl --test koniq_test.jsonl

Every problem of a label file is told with its line, what was expected and what came; then nothing is written.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from qinsight.errors import QInsightError
from qinsight.prompts import Task
from qinsight.terminal import counted
from training.data import lists as label_lists
from training.data import metas as label_metas
from training.data import official, own_ratings
from training.data.degraded_set import SetSettings, make_set
from training.data.examples import Example, Rated, read_examples, refuse_leaks, target_json, write_examples
from training.data.flags import parser_of
from training.data.kinds import converter_of
from training.data.lines import LabelError
from training.data.lists import Scale
from training.data.metas import Sample, Swap
from training.data.photo_check import read_photos, record_of, refuse_copies
from training.data.rows import refuse_missing, split_by_origin


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; 2 and sentences on the terminal where a file cannot be trusted."""
    options = parser_of(__doc__ or "").parse_args(arguments)
    try:
        COMMANDS[options.command](options)
    except QInsightError as error:
        print(error, file=sys.stderr)
        if told := _better_command(options):
            print(told, file=sys.stderr)
        return 2
    return 0


def _better_command(options: argparse.Namespace) -> str | None:
    """What would read the files, where another subcommand than the one that refused them does."""
    files = getattr(options, "files", None) or [getattr(options, "file", None)]
    reads = ("official", "deqa") if options.command == "official" else (options.command,)
    told = [converter_of(file) for file in files if isinstance(file, Path)]
    return next((one for one in told if one and not any(f"data {name} " in one for name in reads)), None)


def summary(examples: Sequence[Example]) -> str:
    """Rows per task, and per answer within it."""
    lines = []
    for task in Task:
        mine = [example for example in examples if example.task is task]
        if mine:
            photos = len({photo for example in mine for photo in example.photos})
            lines.append(f"  {task}: {len(mine)} rows about {photos} photos; {_answers(mine)}")
    return "\n".join(lines)


def _answers(examples: list[Example]) -> str:
    opinions = [example.target.mos for example in examples if isinstance(example.target, Rated)]
    if opinions:
        mean = sum(opinions) / len(opinions)
        return f"MOS {min(opinions):.2f} to {max(opinions):.2f}, mean {mean:.2f}"
    counts = Counter(" ".join(target_json(example.target).values()) for example in examples)
    return ", ".join(f"{answer.replace('null null', 'clean')} {n}" for answer, n in sorted(counts.items()))


# --- label files of others -------------------------------------------------------------------------------


def _deqa(options: argparse.Namespace) -> None:
    examples = [
        example
        for file in options.files
        for example in label_metas.read_deqa(file, options.root, options.set)
    ]
    _finish(examples, options)


def _official(options: argparse.Namespace) -> None:
    scale = Scale(*options.range) if options.range else own_ratings.ONE_TO_FIVE
    source = official.Source(options.root, options.set, scale, look=not options.no_photos)
    examples, tally = official.read_official(options.files, source)
    print(tally)
    pairs = [example for example in examples if example.task is Task.COMPARISON]
    rest = [example for example in examples if example.task is not Task.COMPARISON]
    _finish(rest + label_metas.swap_pairs(pairs, Swap(options.swap_pairs), options.seed), options)


def _jsonl(options: argparse.Namespace) -> None:
    examples = [
        example for file in options.files for example in label_metas.read_visualquality(file, options.root)
    ]
    _finish(examples, options)


def _diffiqa(options: argparse.Namespace) -> None:
    examples = [
        example
        for file in options.files
        for example in label_metas.read_diffiqa(file, options.root, options.set)
    ]
    _finish(label_metas.swap_pairs(examples, Swap(options.swap_pairs), options.seed), options)


def _dq495k(options: argparse.Namespace) -> None:
    sample = Sample(options.train, options.test, options.seed, options.even)
    train, test, left = label_metas.read_dq495k(options.files, options.root, sample, options.set)
    _tell_left_out(left)
    out: Path = options.out
    _write({out / "dq495k_train.jsonl": train, out / "dq495k_test.jsonl": test}, options)


def _list(options: argparse.Namespace) -> None:
    lines = label_lists.read_list(options.file)
    scale = _scale(options, lines)
    print(f"{options.set}: labels from {scale} become MOS 1 to 5")
    rated = label_lists.rate(lines, scale, options.root, options.set)
    if options.pairs is None:
        _finish(rated, options)
        return
    pairing = label_lists.Pairing(
        None if options.pairs == "all" else options.pairs,
        not options.hide_reference,
        options.least_difference,
        options.seed,
    )
    pairs, ties = label_lists.pair(lines, rated, options.references or options.root, pairing)
    _tell_left_out(Counter({f"pairs less than {options.least_difference:g} MOS apart": ties}))
    _finish(pairs, options)


def _scale(options: argparse.Namespace, lines: Sequence[label_lists.Line]) -> Scale:
    if options.range == "auto":
        return label_lists.own_scale(lines, options.higher_is_worse)
    if options.range is not None:
        low, high = options.range
        return Scale(low, high, options.higher_is_worse)
    scale = label_lists.known_scale(options.set, lines)
    if options.higher_is_worse and not scale.worse_upwards:
        raise LabelError(
            f"Expected --range with --higher-is-worse: the published labels of {options.set}, {scale}, are better upwards."
        )
    return scale


def _ratings(options: argparse.Namespace) -> None:
    root: Path = options.root or options.file.parent
    trust = own_ratings.Trust(options.corrected, options.trust_model)
    low, high = options.range or (1, 5)
    table = own_ratings.Table(root, options.set, Scale(low, high), trust)
    examples, left = own_ratings.read_ratings(options.file, table)
    _tell_left_out(left)
    if options.trust_model:
        print(
            "The labels below are a model's own answers: learning them teaches nothing that it did not say."
        )
    _finish(examples, options)


def _finish(examples: list[Example], options: argparse.Namespace) -> None:
    """Write the rows, in two files where a part of them shall be tested on."""
    if not examples:
        raise LabelError("Expected at least one row to write; all were left out.")
    ids = Counter(example.id for example in examples)
    doubled = [name for name, count in ids.items() if count > 1]
    if doubled:
        raise LabelError(
            f'Expected every row once; "{doubled[0]}" comes twice (and {len(doubled) - 1} more).'
        )
    if options.test_out is None:
        _write({options.out: examples}, options)
        return
    train, test = split_by_origin(examples, options.test_share, options.seed)
    _write({options.out: train, options.test_out: test}, options)


def _write(parts: dict[Path, list[Example]], options: argparse.Namespace) -> None:
    """Every file or none; then what is in them, and what to do next."""
    if not options.no_photos:
        refuse_missing(example for examples in parts.values() for example in examples)
    below: Path | None = options.paths_below and options.paths_below.resolve()
    for examples in parts.values():
        outside = [
            photo
            for example in examples
            for photo in example.photos
            if below and not photo.is_relative_to(below)
        ]
        if outside:
            raise LabelError(f"Expected photos below {below}, got {outside[0]}")
    for file, examples in parts.items():
        write_examples(file, examples, below)
        print(f"{file}: {len(examples)} rows\n{summary(examples)}")
    _tell_next(list(parts), below)


def _tell_left_out(left: Counter[str]) -> None:
    for what, count in sorted(left.items()):
        if count:
            print(f"left out: {count} {what}")


def _tell_next(files: list[Path], below: Path | None = None) -> None:
    train, *test = files
    tested = f" --test {test[0]}" if test else ""
    photos = f" --photos {below}" if below else ""
    root = f" --root {below}" if below else ""
    print(f"Check the photos:  python -m training.data check {train}{tested}{root}")
    print(f"Train on them:     python -m training.grpo --train {train}{tested}{photos} --output_dir RUN")


# --- photos of one's own ---------------------------------------------------------------------------------


def _degrade(options: argparse.Namespace) -> None:
    out: Path = options.out.resolve()
    files = {part: out / f"{part}.jsonl" for part in ("train", "test")}
    for file in files.values():
        if file.exists():
            raise LabelError(
                f"Expected a folder without a finished set, got one with {file}; choose another --out."
            )
    low, high = options.tokens
    if low > high:
        raise LabelError(f"Expected --tokens LOW HIGH with LOW not above HIGH, got {low} {high}.")
    settings = SetSettings(
        views=options.views,
        test_share=options.test_share,
        seed=options.seed,
        tasks=options.tasks,
        with_reference=options.with_reference,
        tokens=(low, high),
        crop=options.crop,
        shrink=not options.keep_size,
        name=options.name,
    )
    with counted("views drawn", "views") as progress:
        made = make_set(options.folder.resolve(), out, settings, workers=options.workers, progress=progress)
    refuse_leaks(made.train, made.test)
    for photo, reason in made.unreadable.items():
        print(f"left out: {photo}: {reason}")
    print(f"{made.views} views of {made.photos} photos; {len(made.unreadable)} photos could not be read")
    print("MOS is read off KADID-10k's table for the like of each degradation: nobody looked at these views.")
    parts = {files[part]: rows for part, rows in (("train", made.train), ("test", made.test)) if rows}
    for file, examples in parts.items():
        write_examples(file, examples)
        print(f"{file}: {len(examples)} rows\n{summary(examples)}")
    _tell_next(list(parts))


def _check(options: argparse.Namespace) -> None:
    train = _checked(options.files, options.root)
    test = _checked(options.test, options.root)
    refuse_leaks(train[0], test[0])
    refuse_copies(train[0], test[0], {**train[1], **test[1]})
    if options.test:
        print("No photo, and no original of one, is in both training and test.")


def _checked(files: Iterable[Path], root: Path | None) -> tuple[list[Example], dict[Path, str]]:
    examples: list[Example] = []
    digests: dict[Path, str] = {}
    for file in files:
        found = read_examples(file, root)
        with counted(f"photos of {file.name}", "photos") as progress:
            read = read_photos(found, record_of(file), progress)
        print(f"{file}: {len(found)} rows, all of their {len(read)} photos can be read\n{summary(found)}")
        examples += found
        digests |= read
    return examples, digests


COMMANDS: dict[str, Callable[[argparse.Namespace], None]] = {
    "official": _official,
    "deqa": _deqa,
    "dq495k": _dq495k,
    "diffiqa": _diffiqa,
    "list": _list,
    "jsonl": _jsonl,
    "ratings": _ratings,
    "degrade": _degrade,
    "check": _check,
}
