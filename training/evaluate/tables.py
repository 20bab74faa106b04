"""The numbers as Markdown: the paper's tables with our rows below the printed ones, then every set in detail."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from training.evaluate.bootstrap import DRAWS
from training.evaluate.measures import Measures
from training.evaluate.paper import (
    CLASSES,
    MISPRINTS,
    SCORE_SETS,
    SOURCE,
    TABLE_1,
    TABLE_2,
    TABLE_6,
    TABLE_6_CORRELATIONS,
    TEST_SIZES,
    PrintedRow,
    known_set,
)

NONE = "–"
COLUMNS = {
    "plcc": "PLCC raw",
    "plcc_4p": "PLCC 4-param.",
    "plcc_5p": "PLCC 5-param.",
    "srcc": "SRCC",
    "krcc": "KRCC",
    "rmse": "RMSE raw",
    "rmse_4p": "RMSE 4-param.",
    "rmse_5p": "RMSE 5-param.",
}


def report(head: dict[str, str], found: Sequence[Measures], pairs: Sequence[Measures] = ()) -> str:
    """The whole report: what was run, the paper's tables for the sets that are there, each set, two models."""
    parts = [
        f"# {head.get('model', 'A model')}, evaluated",
        _table(["", ""], [[k, v] for k, v in head.items()]),
    ]
    parts += [table for table in (_table_1(found), _table_2(found), _table_6(found)) if table]
    parts += ["## Each set", *details(found)]
    if pairs:
        parts += ["## Two models on the same questions", paired_table(pairs)]
    return "\n\n".join(parts) + "\n"


def sizes(found: Iterable[Measures]) -> str:
    """How many questions of each set, and whether that is the whole published test."""
    said = []
    for one in found:
        full = TEST_SIZES.get(known_set(one["set"]) or "")
        asked = one["n"] + one["missing"]
        words = f"{one['set'] or 'no set'} ({one['task']}): {asked}"
        if full is not None and full != asked:
            words += (
                f", a subset of {full:,}"
                if asked < full
                else f", more than the {full:,} of the published test"
            )
        said.append(words)
    return "; ".join(said)


# --- the paper's tables -----------------------------------------------------------------------------------


def _table_1(found: Sequence[Measures]) -> str | None:
    mine = {known_set(one["set"]): one for one in found if one["task"] == "score"}
    sets = [name for name in SCORE_SETS if name in mine]
    if not sets:
        return None
    expected = {name: mine[name].get("expected_rating", {}) for name in sets}
    rows = [_printed(row, sets, SCORE_SETS, 3) for row in TABLE_1]
    rows += [
        _ours("**ours, PLCC 4-param.: compare this row**", [mine[name] for name in sets], "plcc_4p", "srcc"),
        _ours("ours, PLCC raw", [mine[name] for name in sets], "plcc", "srcc"),
        _ours("ours, expected rating, PLCC 4-param.", list(expected.values()), "plcc_4p", "srcc"),
        ["ours, readable of asked", *(f"{mine[name]['readable']}/{mine[name]['n']}" for name in sets), ""],
    ]
    words = (
        f"Printed rows: {SOURCE}, trained on KonIQ. The paper follows earlier work whose code (DeQA-Score) "
        "computes PLCC after a 4-parameter logistic, so that is the row to compare; the raw one stands beside it. "
        f"Correlations are over readable answers.{_partial(sets, SCORE_SETS)}{_subsets(mine, sets)} {_misprint(0)}"
    )
    return f"## Table 1: PLCC/SRCC\n\n{_table(['method', *sets, 'average'], rows)}\n\n{words}"


def _table_2(found: Sequence[Measures]) -> str | None:
    mine = [one for one in found if one["task"] == "degradation" and "classes" in one]
    if not mine:
        return None
    rows = [_printed(row, CLASSES, CLASSES, 4) for row in TABLE_2]
    for one in mine:
        cells = [
            _both(one["classes"].get(name, {}), "class_accuracy", "level_accuracy", 4) for name in CLASSES
        ]
        average = _both(one, "class_accuracy", "level_accuracy", 4)
        rows.append([f"**ours** ({one['set'] or 'no set'}, n = {one['n']})", *cells, average])
    words = (
        f"Printed rows: {SOURCE}, on 1,000 photos of DQ-495K; which ones is not published (train_dist.json holds those trained on). Photos of another set or "
        "another draw are not the same test. The average is the plain mean of the classes; a level is right where "
        f"class and level are; an unreadable answer is wrong. {_misprint(1)}"
    )
    return f"## Table 2: class/level accuracy\n\n{_table(['method', *CLASSES, 'average'], rows)}\n\n{words}"


def _table_6(found: Sequence[Measures]) -> str | None:
    mine = {one["task"]: one for one in found if known_set(one["set"]) == "SRIQA-Bench"}
    if "comparison" not in mine and "score" not in mine:
        return None
    rows = []
    for row in TABLE_6:
        pair = TABLE_6_CORRELATIONS.get(row.method)
        shares = [f"{share:.2%}" for share in (row.regression, row.generation, row.all)]
        rows.append([row.method, *shares, *(_number(value, 4) for value in pair or (None, None))])
    accuracy = mine.get("comparison", {}).get("accuracy")
    score = mine.get("score", {})
    ours = [NONE, NONE, NONE if accuracy is None else f"{accuracy:.2%}"]
    rows.append(["**ours**", *ours, _number(score.get("plcc_4p"), 4), _number(score.get("srcc"), 4)])
    words = (
        f"Printed rows: {SOURCE}. Data files do not say which outputs are regression-based: ours is over all."
    )
    columns = ["method", "regression-based", "generation-based", "all", "PLCC", "SRCC"]
    return f"## Table 6: SRIQA-Bench, pair accuracy\n\n{_table(columns, rows)}\n\n{words}"


def _printed(row: PrintedRow, columns: Sequence[str], whole: Sequence[str], digits: int) -> list[str]:
    """A printed row for some columns; the average is the printed one where none is missing, else recomputed."""
    cells = [row.cells[name] for name in columns]
    average = row.average
    if len(columns) < len(whole):
        firsts, seconds = zip(*cells, strict=True)
        average = _mean(firsts) or 0.0, _mean(seconds)
    shown = [f"{_number(one, digits)}/{_number(two, digits)}" for one, two in [*cells, average]]
    return [row.method, *shown]


def _ours(name: str, cells: Sequence[Measures], first: str, second: str) -> list[str]:
    average = {key: _mean([one.get(key) for one in cells]) for key in (first, second)}
    return [name, *(_both(one, first, second, 3) for one in [*cells, average])]


def _partial(sets: Sequence[str], whole: Sequence[str]) -> str:
    if len(sets) == len(whole):
        return ""
    return f" Averages, also of printed rows, are over the {len(sets)} of {len(whole)} sets that are here."


def _subsets(mine: dict[str | None, Measures], sets: Sequence[str]) -> str:
    small = [name for name in sets if mine[name]["n"] < (TEST_SIZES[name] or 0)]
    return (
        f" **Not the whole published test here, so not the same test: {', '.join(small)}.**" if small else ""
    )


def _misprint(number: int) -> str:
    return f"As printed: {MISPRINTS[number]}."


# --- each set ---------------------------------------------------------------------------------------------


def details(found: Iterable[Measures]) -> list[str]:
    """A section for each set and task, with the counts, the intervals and whatever has to be said."""
    tables: dict[str, Callable[[Measures], str]] = {
        "score": _scores,
        "degradation": _degradations,
        "comparison": _comparisons,
    }
    sections = []
    for one in found:
        body = [f"### {one['set'] or 'No set'}, {one['task']}", _readable(one)]
        if one["n"]:
            body.append(tables[one["task"]](one))
        body += ["\n".join(f"- {note}" for note in notes)] if (notes := _notes(one)) else []
        sections.append("\n\n".join(body))
    return sections


def _readable(one: Measures) -> str:
    score = one["task"] == "score"
    words = f"{one['readable']} of {one['n']} answers readable"
    if one["unreadable"]:
        words += f", **{one['unreadable']} unreadable**"
        words += ", left out of the correlations" if score else ", counted as wrong"
    if one["repaired"]:
        kinds = "; ".join(f"{repair}: {count}" for repair, count in one["repairs"].items())
        words += f"; {one['repaired']} read after a repair ({kinds})"
    if one["missing"]:
        words += f"; **{one['missing']} not asked** ({one['missing_photos']} photos unreadable), not scored"
    return (
        words
        + f". In brackets: 95 % intervals, {DRAWS:,} resamples{' (curves fitted once)' if score else ''}."
    )


def _notes(one: Measures) -> list[str]:
    found = list(one.get("notes", []))
    return found + [f"expected rating, {note}" for note in one.get("expected_rating", {}).get("notes", [])]


def _scores(one: Measures) -> str:
    rows = [["written rating", *(_spanned(one, name) for name in COLUMNS), str(one["distinct"])]]
    if expected := one.get("expected_rating"):
        shown = [_spanned(expected, name) for name in COLUMNS]
        rows.append([f"expected rating (n = {expected['n']})", *shown, str(expected["distinct"])])
    return _table(["", *COLUMNS.values(), "distinct values"], rows)


def _degradations(one: Measures) -> str:
    rows = []
    for name in CLASSES:
        if mine := one["classes"].get(name):
            said = ", ".join(f"{word} {count}" for word, count in mine["said"].items())
            shares = [_number(mine[key], 4) for key in ("class_accuracy", "level_accuracy", "within_one")]
            rows.append([name, str(mine["n"]), str(mine["unreadable"]), *shares, said])
    average = [_spanned(one, "class_accuracy", 4), _spanned(one, "level_accuracy", 4), ""]
    rows.append(["average of the classes", str(one["n"]), str(one["unreadable"]), *average, ""])
    table = _table(["true class", "n", "unreadable", "class", "level", "level within one", "said"], rows)
    return (
        f"{table}\n\nOver all photos: class and level exactly right {_spanned(one, 'exact', 4)}, "
        f"right class with the level within one {_spanned(one, 'within_one', 4)}."
    )


def _comparisons(one: Measures) -> str:
    rows = [["all pairs", str(one["n"]), _spanned(one, "accuracy", 4)]]
    for label, mine in one["labels"].items():
        rows.append([f"labelled {label}", str(mine["n"]), _number(mine["accuracy"], 4)])
    if pairs := one.get("both_orders"):
        rows += [
            ["photos in the other order", str(pairs), _number(one["swapped_accuracy"], 4)],
            ["right in both orders", str(pairs), _number(one["right_in_both_orders"], 4)],
            ["same winner in both orders", str(pairs), _spanned(one, "order_consistency", 4)],
            ["chose the photo shown first (of verdicts for A or B)", "", _number(one["first_place"], 4)],
        ]
    return _table(["", "n", "share"], rows)


def paired_table(pairs: Iterable[Measures]) -> str:
    """Two models on the same questions."""
    rows = [
        [
            one["task"],
            str(one["n"]),
            _number(one["ours"], 4),
            _number(one["theirs"], 4),
            f"{one['difference']:+.4f} {_span(one['difference_95'], 4, '+')}",
            f"{one['p']:.4f}",
        ]
        for one in pairs
    ]
    first = next(iter(pairs))
    words = (
        "Mean task reward, 0 to 1: a rating within 0.35 of the MOS; 0.25 for the class and 0.75 for class and level; "
        "the right winner. Unreadable answers earn 0. Brackets: 95 % interval of the difference, 10,000 paired "
        f"resamples; p is two-sided. {first['only_in_one']} questions stand in one file only, {first['missing']} "
        "could not be asked of both; neither are counted."
    )
    return f"{_table(['task', 'n', 'ours', 'theirs', 'difference', 'p'], rows)}\n\n{words}"


# --- cells ------------------------------------------------------------------------------------------------


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _number(value: float | None, digits: int = 3) -> str:
    return NONE if value is None else f"{value:.{digits}f}"


def _both(one: dict[str, Any], first: str, second: str, digits: int) -> str:
    return f"{_number(one.get(first), digits)}/{_number(one.get(second), digits)}"


def _spanned(one: Measures, name: str, digits: int = 3) -> str:
    return f"{_number(one.get(name), digits)} {_span(one.get(f'{name}_95'), digits)}".strip()


def _span(ends: list[float] | None, digits: int, sign: str = "") -> str:
    return "" if ends is None else f"[{ends[0]:{sign}.{digits}f}, {ends[1]:{sign}.{digits}f}]"


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None
