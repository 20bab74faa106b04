"""The paper's tables as they are printed, beside what is measured here."""

from pathlib import Path

import numpy as np
import pytest

from shared.labels import write_rows
from training.evaluate import run as evaluate
from training.evaluate.measures import measure
from training.evaluate.paper import MISPRINTS, SCORE_SETS, TABLE_1, TABLE_2, known_set
from training.evaluate.predictions import read_predictions


def test_printed_averages_are_plain_means_but_for_the_misprints_named() -> None:
    wrong = []
    for table, digit in ((TABLE_1, 0.001), (TABLE_2, 0.0001)):
        for row in table:
            for side in (0, 1):
                values = [cell[side] for cell in row.cells.values() if cell[side] is not None]
                printed = row.average[side]
                assert printed is not None
                if abs(np.mean(np.array(values, float)) - printed) > 1.01 * digit:
                    wrong.append((row.method, side, round(float(np.mean(np.array(values, float))), 4)))
    assert wrong == [("Q-Align", 0, 0.7429), ("Q-Insight, degradation only (table 4)", 0, 0.8665)]
    assert len(MISPRINTS) == len(wrong)


@pytest.mark.parametrize(
    ("name", "known"),
    [
        *((name, name) for name in SCORE_SETS),
        *(
            ("KonIQ-10k", "KonIQ"),
            ("LIVE-C", "LIVE-Wild"),
            ("AGIQA-3K", "AGIQA"),
            ("sriqa_bench", "SRIQA-Bench"),
        ),
        *(("TID2013", None), ("", None)),
    ],
)
def test_a_set_is_known_however_it_is_spelt(name: str, known: str | None) -> None:
    assert known_set(name) == known


def test_all_seven_sets_have_the_printed_average_beside_ours(tmp_path: Path) -> None:
    rows = [
        {"set": name, "prediction": p, "target": p + place * (p % 2)}
        for place, name in enumerate(SCORE_SETS)
        for p in range(1, 9)
    ]
    found = measure(read_predictions(write_rows(tmp_path / "p.jsonl", *rows)))
    text = evaluate.report({"model": "m"}, found)
    assert "0.870/0.824 | 0.806/0.783 |" in text
    mean = np.mean([one["srcc"] for one in found])
    assert f"/{mean:.3f} |\n| ours, PLCC raw" in text
    fewer = evaluate.report({"model": "m"}, found[:3])
    assert "| Q-Insight | 0.933/0.916 | 0.907/0.905 | 0.742/0.736 | 0.861/0.852 |" in fewer
    assert "are over the 3 of 7 sets" in fewer
