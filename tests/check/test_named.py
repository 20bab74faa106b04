"""A passport is named by About and by a ranking, where it is of the engine that answers, and nowhere else."""

import argparse
import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qinsight.__main__ import main
from qinsight.check.evidence import State, Verdict
from qinsight.check.named import chosen_passport
from qinsight.check.passport import Passport, engine_of
from qinsight.errors import QInsightError
from qinsight.page.about_tab import about_text
from qinsight.page.host import Host
from qinsight.page.words import Language, Words
from qinsight.requests import About
from shared.engines import ScriptedEngine
from shared.places import REPOSITORY

FINE, ALARMED = Verdict("orders", State.OK, "both"), Verdict("orders", State.ALARM, "always the first")
EXAMPLES = REPOSITORY / "examples" / "photos"


def written(about: About, folder: Path, *verdicts: Verdict, penalty: float | None = None) -> Path:
    """A passport as a check of this engine would have left it."""
    folder.mkdir(parents=True, exist_ok=True)
    engine = engine_of(about, penalty=penalty)
    return Passport(engine, {}, "2026-11-26T12:00:00+00:00", 100, verdicts).write(folder)


def flags(**chosen: Any) -> argparse.Namespace:
    usual = {"passport": None, "model": "nowhere", "max_pixels": None, "repetition_penalty": None}
    return argparse.Namespace(**usual | chosen)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def about() -> About:
    return replace(ScriptedEngine().about, made_with={"engine": "scripted", "order": "photo_first"})


def test_a_passport_is_found_where_check_puts_it_and_beside_the_model(about: About, tmp_path: Path) -> None:
    assert chosen_passport(flags(), about) is None
    beside = written(about, tmp_path / "model", ALARMED)
    found = chosen_passport(flags(model=str(beside.parent)), about)
    assert found is not None
    assert found.sentence == "alarm: orders; checked on 2026-11-26"
    written(about, tmp_path / "passport", FINE)
    found = chosen_passport(flags(model=str(beside.parent)), about)
    assert found is not None
    assert found.sentence == "handled as it should be, checked on 2026-11-26"


@pytest.mark.parametrize(
    "other",
    [
        {"name": "another"},
        {"weights": "ffff"},
        {"precision": "bf16"},
        {"device": "cuda"},
        {"max_pixels": 200_000},
        {"made_with": {"engine": "scripted", "order": "question_first"}},
        {"made_with": {"engine": "scripted", "order": "photo_first", "settings": "changed"}},
    ],
)
def test_another_model_precision_size_order_or_template_is_not_described_by_it(
    about: About, tmp_path: Path, other: dict[str, Any]
) -> None:
    path = written(about, tmp_path / "passport", FINE)
    assert chosen_passport(flags(), about) is not None
    changed = replace(about, **other)
    assert chosen_passport(flags(), changed) is None
    with pytest.raises(QInsightError, match="is not of what answers here"):
        chosen_passport(flags(passport=path), changed)


def test_a_penalty_or_a_size_of_ones_own_is_another_way_to_be_served(about: About, tmp_path: Path) -> None:
    written(about, tmp_path / "passport", FINE)
    assert chosen_passport(flags(repetition_penalty=1.2), about) is None
    assert chosen_passport(flags(max_pixels=200_000), about) is None


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"date": 1, "engine": {}, "alarms": 3}', "\xff"])
def test_a_file_that_is_no_passport_is_refused_where_it_was_named_and_left_where_not(
    about: About, tmp_path: Path, content: str
) -> None:
    path = tmp_path / "passport" / "passport.json"
    path.parent.mkdir()
    path.write_text(content, "latin-1")
    assert chosen_passport(flags(), about) is None
    with pytest.raises(QInsightError, match="Expected a passport written by `check`"):
        chosen_passport(flags(passport=path), about)


def test_about_says_what_it_says_in_every_language(about: About, tmp_path: Path) -> None:
    for verdict, english in (
        (FINE, "handled as it should be"),
        (ALARMED, "the same place always wins (orders)"),
    ):
        written(about, tmp_path / "passport", verdict)
        host = Host(lambda progress: ScriptedEngine(), passport=lambda _: chosen_passport(flags(), about))
        host.load()
        for language in Language:
            text = about_text(host, Words(language))
            assert "2026-11-26" in text
            assert (english in text) is (language is Language.ENGLISH)
            assert ("orders" in text) is (verdict is ALARMED)
    host = Host(lambda progress: ScriptedEngine())
    host.load()
    assert "passport" not in about_text(host)


def ranked(tmp_path: Path, *more: str) -> tuple[list[dict[str, str]], list[dict[str, Any]], str]:
    """The exports of a ranking of one photo by the preview."""
    shoot, out = tmp_path / "shoot", tmp_path / "ranked"
    shoot.mkdir(exist_ok=True)
    (shoot / "cat.jpg").write_bytes((EXAMPLES / "cat.jpg").read_bytes())
    command = ["rank", str(shoot), "--out", str(out), "--model", "preview", "--device", "cpu", *more]
    assert main(command) == 0
    with (out / "ranking.csv").open(encoding="utf-8-sig", newline="") as file:
        table = list(csv.DictReader(file))
    lines = [json.loads(line) for line in (out / "ranking.jsonl").read_text("utf-8").splitlines()]
    return table, lines, (out / "contact-sheet.html").read_text("utf-8")


def test_every_export_of_a_ranking_names_the_passport_of_the_engine_that_rated_and_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, lines, sheet = ranked(tmp_path)
    assert table[0]["app_passport"] == ""
    assert lines[0]["app_passport"] is None
    assert "is served" not in sheet
    from qinsight.engines.checkpoint import Device
    from qinsight.engines.local import LocalEngine

    about = LocalEngine.open("preview", Device.CPU).about
    written(about, tmp_path / "passport", ALARMED)
    table, lines, sheet = ranked(tmp_path)  # nothing is asked again
    said = "alarm: orders; checked on 2026-11-26"
    assert table[0]["app_passport"] == lines[0]["app_passport"] == said
    assert f"How the model is served: {said}" in sheet
    assert f"by its passport: {said}" in capsys.readouterr().err
    table, *_ = ranked(tmp_path, "--max-pixels", "200000")
    assert table[0]["app_passport"] == ""
