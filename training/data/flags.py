"""The command line of `python -m training.data`: what each subcommand expects, in words."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path

from qinsight.prompts import Task
from training.command_line import Parser
from training.data.crops import MAX_TOKENS, MIN_TOKENS
from training.data.degraded_set import SetSettings
from training.data.metas import DIFFIQA_PHOTOS, Sample, Swap

DEQA = """Ratings in the form of Data-DeQA-Score (KonIQ-10k, SPAQ, KADID-10k, PIPAL, LIVE-Wild, AGIQA-3K, CSIQ).

A JSON list of rows with id, image, gt_score (the set's own unit) and gt_score_norm (1 to 5). `image` is below
the folder that holds KONIQ, SPAQ, ...; the photos themselves come from each set's own page. Sets made from
originals (KADID-10k, PIPAL, CSIQ) keep the original's name, so that a split holds originals out whole."""

DQ495K = """Distortion class and severity from the metas of DataDepictQA (KADIS700K/refA_sd_brief).

Of the twelve classes, noise, compression, blur and darken are kept, and clean photos (severity 0). Training and
test share no reference photo. The rows that Q-Insight trained on are published (train_dist.json, see `official`), the
1,000 that it was tested on are not. Here rows are drawn anew: by default the rows come as frequent as they are in the file (clean: one in
twenty), with --even each class and clean equally often. Where photos are listed as missing, look how the folder
is spelt: both KADIS700K and KADIS-700K are in use."""

OFFICIAL = """The label files of Q-Insight's own trainer, as its repository has them (src/open-r1-multimodal/data).

A JSON list or JSONL of rows in any of three shapes, also mixed:

    image, gt_score_norm                        a rating from 1 to 5 (--range LOW HIGH where it is on another scale)
    image, distortion_class, severity           train_dist.json: words, "null" twice for a clean photo
    ref_image, ImageA, ImageB, result           train_comparison.json: Image A, Image B, Similar

Paths are below --root: for ratings the folder that holds KONIQ, for degradations the one that holds KADIS-700K. Rows
whose photo is missing are left out and counted, folder by folder; where all are missing, nothing is written. A row
that repeats another is left out, two that contradict each other are refused. Half of the pairs are swapped, as by
`diffiqa`; --swap-pairs none is the published run. The rows do not name the original of a degraded photo: take care
with --test-out."""

DIFFIQA = """Comparisons of two enhanced photos beside their low-quality reference, as Q-Insight publishes them.

A JSON list of rows with ref_image, ImageA, ImageB and result (Image A, Image B, Similar). In the published file
ImageA always comes from a method with a lower number than ImageB, so a model could learn the slot instead of the
photo: by default, half of the pairs are swapped and their answers with them. `--swap-pairs none` is the published
run, `both` shows every pair in both orders (twice the rows)."""

LIST = """Plain lists: a line `photo mos [std]`, or `reference photo mos [std]`, with spaces between.

Labels are mapped to 1..5 by a straight line from --range LOW HIGH. For a known set (KonIQ-10k, KADID-10k, SPAQ,
LIVE-Wild or LIVEC, AGIQA-3K, BID, Deblur, Dehaze, CSIQ, TID2013, SRIQA-Bench) its published scale is used where the labels fit
exactly one, and told. `--range auto` maps the lowest label of the file to 1 and the highest to 5, as Data-DeQA-Score
does: the same photo then gets another MOS in another file. A label that is off the scale is refused with its line.

With --pairs, a list with references becomes comparisons of photos of one reference (SRIQA-Bench), in random order.
Closer than --least-difference, two photos are Similar; with --hide-reference, they are left out."""

JSONL = """Ratings in the form of VisualQuality-R1 (conversations).

A JSONL whose rows have image (a list of one path), dataset_name and conversations, of which the turn of gpt holds the
MOS on 1 to 5."""

RATINGS = """Your own opinions, from a CSV or JSONL; also the app's export with a column of yours.

One row per photo or pair, any of these columns:

    photo, mos (or rating)                      1 to 5, or any --range LOW HIGH such as stars 0 to 10
    photo, distortion_class, severity           noise compression blur darken null; slight .. catastrophic null
    a, b, winner  [reference]                   Image A, Image B (and Similar beside a reference)

Empty cells are left out and counted. The ranking that the app exports (ranking.csv, ranking.jsonl, results.jsonl) is
such a table, but its rating, distortion_class and severity are the model's answers. So:

    add a column mos and rate some photos       those are taken, nothing else
    ... --corrected                             also distortion_class and severity: you went through all of them
    ... --trust-model                           also the model's ratings where mos is empty: self-training

Photos are below --root: for an export, the folder that was ranked. Names that the export led by an apostrophe, so
that no spreadsheet program runs them as a formula, are read as they were."""

DEGRADE = """A degradation set from any folder of good photos: noise, compression, blur and darken in five levels, and clean.

Every class and clean come equally often, every level of a class too. Views are written without loss at the size
that the model reads (multiples of 28 pixels). The folder's photos are first shrunk to 60 % of their size (80 % where
the file is lossless) and to 1.3 megapixels at most, which removes their own noise and compression; --keep-size
leaves that out. A folder written by `python -m training.preview.collect` is taken as it is, with the split it lists.

Photos are held out whole: no view of a test photo is trained on. Frames of one burst are different photos to this
program; keep one of them. The MOS of score and comparison rows is a pseudo-MOS: KADID-10k's mean opinion of the like
degradation at that strength. The JSONL files are written last; run the command again after it was stopped."""

CHECK = """Read the files, decode each of their photos once, and list what is wrong.

What was seen is remembered in FILE.checked.json, by size and time of change: the next check takes a moment. With
--test, photos that are both trained on and tested on are refused: the same path, the same original, or the same
bytes under another name."""


def parser_of(about: str) -> argparse.ArgumentParser:
    """The whole command line; `options.command` names the subcommand."""
    shape = argparse.RawDescriptionHelpFormatter
    parser = Parser(prog="python -m training.data", description=about, formatter_class=shape)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")

    def add(name: str, about: str) -> argparse.ArgumentParser:
        return commands.add_parser(
            name, help=about.split("\n")[0].rstrip(":"), description=about, formatter_class=shape
        )

    deqa = add("deqa", DEQA)
    _files(deqa)
    _root(deqa, "the folder that holds the set's own folder (default: three above FILE)", required=False)
    deqa.add_argument("--set", metavar="NAME", help="of the set (default: from the folder in `image`)")
    _outputs(deqa)

    official = add("official", OFFICIAL)
    _files(official)
    _root(official, "the folder that the paths in FILE are below")
    official.add_argument("--set", metavar="NAME", help="of the set (default: from the folders in the paths)")
    official.add_argument("--range", nargs=2, metavar=("LOW", "HIGH"), action=_Range, help="default: 1 5")
    official.add_argument("--swap-pairs", choices=[*Swap], default=str(Swap.RANDOM))
    _outputs(official)

    _add_dq495k(add("dq495k", DQ495K))

    diffiqa = add("diffiqa", DIFFIQA)
    _files(diffiqa)
    _root(diffiqa, f"the folder that holds Original, 01, 02 ... ({DIFFIQA_PHOTOS})")
    diffiqa.add_argument("--set", default="DiffIQA", metavar="NAME")
    diffiqa.add_argument("--swap-pairs", choices=[*Swap], default=str(Swap.RANDOM))
    _outputs(diffiqa)

    _add_list(add("list", LIST))

    jsonl = add("jsonl", JSONL)
    _files(jsonl)
    _root(jsonl, "the folder of the photos")
    _outputs(jsonl)

    ratings = add("ratings", RATINGS)
    ratings.add_argument("file", type=Path, metavar="FILE")
    _root(ratings, "the folder that the photos are below (default: FILE's own)", required=False)
    ratings.add_argument("--set", default="own", metavar="NAME", help="of the set (default: own)")
    ratings.add_argument("--range", nargs=2, type=float, metavar=("LOW", "HIGH"), action=_Range)
    ratings.add_argument("--corrected", action="store_true", help="the diagnoses are yours")
    ratings.add_argument("--trust-model", action="store_true", help="take the model's answers for the truth")
    _outputs(ratings)

    _add_degrade(add("degrade", DEGRADE))

    check = add("check", CHECK)
    _files(check)
    check.add_argument(
        "--test", type=Path, nargs="+", default=[], metavar="FILE", help="data files to test on"
    )
    _root(check, "the folder that the files' paths are below (default: each file's own)", required=False)
    return parser


def _add_dq495k(parser: argparse.ArgumentParser) -> None:
    _files(parser)
    _root(parser, "the folder of DataDepictQA that the paths in the metas are below")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="for two JSONL files")
    parser.add_argument("--train", type=_at_least(1), default=Sample.train, metavar="N")
    parser.add_argument("--test", type=_at_least(1), default=Sample.test, metavar="N")
    parser.add_argument("--seed", type=int, default=Sample.seed)
    parser.add_argument("--even", action="store_true", help="each class and clean equally often")
    parser.add_argument("--set", default="DQ-495K", metavar="NAME")
    _paths(parser)


def _add_list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE")
    _root(parser, "the folder of the photos")
    parser.add_argument("--set", required=True, metavar="NAME", help="of the set, such as SPAQ")
    parser.add_argument(
        "--range", nargs="+", metavar="LOW HIGH | auto", action=_Range, help="the lowest and highest label"
    )
    parser.add_argument(
        "--higher-is-worse", action="store_true", help="the labels are DMOS: the lowest becomes 5"
    )
    parser.add_argument(
        "--pairs", type=_all_or_number, metavar="all|N", help="comparisons: all, or N of each reference"
    )
    parser.add_argument("--references", type=Path, metavar="DIR", help="of the references (default: --root)")
    parser.add_argument("--hide-reference", action="store_true", help="compare two photos alone")
    parser.add_argument("--least-difference", type=float, default=0.1, metavar="MOS", help="default: 0.1")
    _outputs(parser)


def _add_degrade(parser: argparse.ArgumentParser) -> None:
    low, high = SetSettings.tokens
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="of good photos")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--views", type=_at_least(1), required=True, metavar="N", help="in both splits")
    parser.add_argument("--test-share", type=_share, default=SetSettings.test_share, help="default: 0.1")
    parser.add_argument("--seed", type=int, default=SetSettings.seed)
    parser.add_argument(
        "--tasks", type=_tasks, default=SetSettings.tasks, metavar="TASK,TASK", help=f"of {', '.join(Task)}"
    )
    parser.add_argument(
        "--with-reference", action="store_true", help="also compare two views beside a third, worse one"
    )
    parser.add_argument(
        "--tokens",
        type=_tokens,
        nargs=2,
        default=SetSettings.tokens,
        metavar=("LOW", "HIGH"),
        help=f"size of a view, in squares of 28 x 28 pixels (default: {low} {high}, at most {MAX_TOKENS})",
    )
    parser.add_argument(
        "--crop",
        action="store_true",
        help="random crops, as in the warm-up of the preview; else whole photos",
    )
    parser.add_argument("--keep-size", action="store_true", help="do not shrink the photos first")
    parser.add_argument("--workers", type=_at_least(1), default=os.cpu_count() or 1, metavar="N")
    parser.add_argument("--name", default=SetSettings.name, help="of the set (default: degraded)")


def _files(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE")


def _root(parser: argparse.ArgumentParser, about: str, *, required: bool = True) -> None:
    parser.add_argument("--root", type=Path, required=required, metavar="DIR", help=about)


def _outputs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the JSONL to write")
    parser.add_argument(
        "--test-out", type=Path, metavar="FILE", help="keep a share to test on, no original in both"
    )
    parser.add_argument("--test-share", type=_share, default=0.1, metavar="SHARE", help="default: 0.1")
    parser.add_argument("--seed", type=int, default=1, help="of every random choice (default: 1)")
    _paths(parser)


def _paths(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--no-photos", action="store_true", help="convert without having the photos")
    parser.add_argument(
        "--paths-below",
        type=Path,
        metavar="DIR",
        help="write the photos' paths below DIR, so that the JSONL travels without it (default: below the JSONL's "
        "own folder where they are, whole paths elsewhere)",
    )


class _Range(argparse.Action):
    """Two numbers, the lower first, or the word auto."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        words = [str(value) for value in values] if isinstance(values, list) else []
        try:
            found: object = "auto" if words == ["auto"] else tuple(map(float, words))
        except ValueError:
            found = ()
        if found != "auto" and not (isinstance(found, tuple) and len(found) == 2 and found[0] < found[1]):
            parser.error(f"expected {option_string} LOW HIGH with LOW below HIGH, got {' '.join(words)}")
        setattr(namespace, self.dest, found)


def _at_least(least: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"expected a whole number of at least {least}, got {text}")
        return int(text)

    return read


def _all_or_number(text: str) -> str | int:
    return text if text == "all" else _at_least(1)(text)


def _tokens(text: str) -> int:
    if not text.isdecimal() or not MIN_TOKENS <= int(text) <= MAX_TOKENS:
        raise argparse.ArgumentTypeError(
            f"expected a whole number from {MIN_TOKENS} to {MAX_TOKENS}, got {text}"
        )
    return int(text)


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1
    if not 0 <= share < 1:
        raise argparse.ArgumentTypeError(f"expected a share from 0 to below 1, got {text}")
    return share


def _tasks(text: str) -> tuple[Task, ...]:
    try:
        return tuple(Task(name) for name in dict.fromkeys(text.split(",")))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected tasks out of {', '.join(Task)}, with commas between; got {text}"
        ) from None
