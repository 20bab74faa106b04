"""`python -m qinsight check`: its plan, its table, its files, its exit codes, and going on where it was killed."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from qinsight.__main__ import main
from qinsight.check import check, command, plan_for
from qinsight.check.asking import MEMORY
from qinsight.check.evidence import Verdict
from qinsight.check.identity import SHIPPED, read_record
from qinsight.engines.checkpoint import PREVIEW, Device, Precision, locate
from qinsight.engines.local import LocalEngine
from qinsight.engines.server import EndpointEngine
from qinsight.errors import EngineError, QInsightError
from qinsight.requests import Engine
from shared import harm
from shared.engines import SCORE, ScriptedEngine
from shared.harm import Harmful, Pictures, Remembered, Words
from shared.preview_server import Change, serving


@pytest.fixture(scope="module")
def preview() -> Remembered:
    torch.set_num_threads(1)
    return Remembered(LocalEngine.open("preview", Device.CPU, Precision.FP32))


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, preview: Remembered) -> dict[str, Engine]:
    """The engine that the command opens, to be exchanged for a harmful one."""
    chosen: dict[str, Engine] = {"": preview}
    monkeypatch.setattr(command, "open_engine", lambda options, progress: chosen[""])
    return chosen


def passport(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "passport.json").read_text(encoding="utf-8"))
    return found


def states(folder: Path) -> dict[str, str]:
    return {verdict["name"]: verdict["state"] for verdict in passport(folder)["verdicts"]}


def figures(folder: Path, name: str) -> dict[str, float]:
    (found,) = [one["figures"] for one in passport(folder)["verdicts"] if one["name"] == name]
    return dict(found)


# --- what is said and written -----------------------------------------------------------------------------------------


def test_it_says_its_plan_and_its_time_and_leaves_a_table_and_a_passport(
    engine: dict[str, Engine], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["check", "--out", str(out)]) == 0
    told = capsys.readouterr()
    plan, time, *_ = told.err.splitlines()
    assert plan.startswith("Q-Insight preview: 101 questions, 117 replies")
    assert "that are left take about" in time
    assert told.err.splitlines()[-1] == f"Written: {out / 'passport.json'}"
    lines = told.out.splitlines()
    assert all(line.startswith("ok ") for line in lines[:-1])
    assert lines[-1].startswith("Handled as it should be")
    found = passport(out)
    assert found["engine"]["weights"] == locate("preview").fingerprint
    assert found["engine"]["precision"] == "fp32"
    assert {"python", "torch", "pillow"} <= found["versions"].keys()
    assert found["alarms"] == []
    assert [path.name for path in out.iterdir() if not path.name.startswith(".")] == ["passport.json"]


def test_an_alarm_is_named_in_the_last_line_and_is_exit_code_1(
    engine: dict[str, Engine], tmp_path: Path, capsys: pytest.CaptureFixture[str], preview: Remembered
) -> None:
    engine[""] = Words(preview, harm.always_a)
    assert main(["check", "--out", str(tmp_path)]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "Alarm: orders, identity."
    assert passport(tmp_path)["alarms"] == ["orders", "identity"]


@pytest.mark.parametrize(
    "flags",
    [
        ["--model", "nowhere"],
        ["--endpoint", "http://127.0.0.1:9/v1"],
        ["--model", "preview", "--against", "nowhere.json"],
        ["--model", "preview", "--out", "/proc/nowhere"],
    ],
)
def test_what_cannot_begin_is_one_sentence_and_exit_code_2(
    flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = flags if "--out" in flags else [*flags, "--out", str(tmp_path / "out")]
    assert main(["check", *given]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines()[-1].startswith("qinsight: ")
    assert not (tmp_path / "out" / "passport.json").exists()


# --- going on ---------------------------------------------------------------------------------------------------------


class Dies(Harmful):
    """Its process is killed at a question."""

    def __init__(self, engine: Engine, at: int) -> None:
        super().__init__(engine)
        self.at = at

    def requests(self, requests: Any) -> Any:
        if self.asked == self.at:
            raise KeyboardInterrupt
        return super().requests(requests)


def test_a_check_that_was_killed_goes_on_and_a_finished_one_begins_anew(
    engine: dict[str, Engine], tmp_path: Path, capsys: pytest.CaptureFixture[str], preview: Remembered
) -> None:
    engine[""] = Dies(preview, at=31)
    with pytest.raises(KeyboardInterrupt):
        main(["check", "--out", str(tmp_path)])
    assert len((tmp_path / MEMORY).read_bytes().splitlines()) == 30
    engine[""] = counting = Harmful(preview)
    assert main(["check", "--out", str(tmp_path)]) == 0
    assert "30 questions were answered by an earlier run." in capsys.readouterr().err
    assert counting.asked == 101 - 30
    assert not (tmp_path / MEMORY).exists()
    assert main(["check", "--out", str(tmp_path)]) == 0
    assert counting.asked == 101 - 30 + 101


def test_a_memory_that_was_torn_or_of_another_model_costs_only_its_lines(
    tmp_path: Path, preview: Remembered
) -> None:
    with pytest.raises(KeyboardInterrupt):
        check(Dies(preview, at=6), tmp_path)
    memory = tmp_path / MEMORY
    lines = memory.read_bytes().splitlines(keepends=True)
    lines[0] = lines[0].replace(b'"replies": [{', b'"replies": [{"tokens": "x", "no": 1}, {', 1)
    lines[1] = lines[1].replace(b"Q-Insight preview", b"Another")
    memory.write_bytes(b"".join(lines)[:-20])
    counting = Harmful(preview)
    assert check(counting, tmp_path).alarms == []
    assert counting.asked == 101 - 2


def test_a_server_that_goes_away_leaves_what_was_answered(
    preview: Remembered, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from qinsight.engines.server_link import Hopeless

    class Away(Harmful):
        def requests(self, requests: Any) -> Any:
            if self.asked == 4:
                raise Hopeless("Nobody answers at host; is the server running, and is the address right?")
            return super().requests(requests)

    with pytest.raises(EngineError, match="Nobody answers"):
        check(Away(preview), tmp_path)
    assert len((tmp_path / MEMORY).read_bytes().splitlines()) == 3
    assert not (tmp_path / "passport.json").exists()


# --- identity ---------------------------------------------------------------------------------------------------------


def test_the_shipped_record_is_of_the_shipped_preview() -> None:
    """Where this fails: `python -m qinsight check --model preview --precision fp32 --record FILE`, and put it there."""
    recorded = read_record(SHIPPED)
    assert recorded.weights == locate(str(PREVIEW)).fingerprint
    assert recorded.precision == "fp32"
    assert SHIPPED.stat().st_size < 30_000


def test_replies_are_recorded_and_compared_with(
    engine: dict[str, Engine], tmp_path: Path, preview: Remembered
) -> None:
    record = tmp_path / "record.json"
    assert main(["check", "--out", str(tmp_path), "--record", str(record)]) == 0
    here, shipped = read_record(record), read_record(SHIPPED)
    assert replace(here, expected=shipped.expected) == shipped
    assert here.expected == pytest.approx(shipped.expected, abs=0.005)  # other threads, another sum
    assert main(["check", "--out", str(tmp_path), "--against", str(record)]) == 0
    assert states(tmp_path)["identity"] == "ok"
    engine[""] = Pictures(preview, harm.channels_swapped)
    assert main(["check", "--out", str(tmp_path), "--against", str(record)]) == 1
    assert states(tmp_path)["identity"] == "alarm"


def test_other_weights_than_the_recorded_are_an_alarm_and_unknown_ones_none(tmp_path: Path) -> None:
    stranger = ScriptedEngine(SCORE)
    unknown = check(stranger, tmp_path, plan=plan_for(stranger)[:2]).verdicts[-1]
    assert (unknown.name, unknown.state) == ("identity", "unknown")
    known = check(stranger, tmp_path, plan=plan_for(stranger)[:2], against=read_record(SHIPPED)).verdicts[-1]
    assert known.state == "alarm"


def test_a_conversion_of_the_preview_is_known_by_what_it_was_converted_from(
    preview: Remembered, tmp_path: Path
) -> None:
    shipped = read_record(SHIPPED)
    plan = [step for step in plan_for(preview) if step.name.startswith(("score", "diagnosis"))]
    converted = harm.Known(preview, weights="of the files", source=shipped.weights, precision="f32")
    for against in (None, shipped):
        assert check(converted, tmp_path, plan=plan, against=against).verdicts[-1].state == "ok"
    another = harm.Known(preview, weights="of the files", precision="f32")
    told = check(another, tmp_path, plan=plan, against=shipped).verdicts[-1]
    assert (told.state, "of other weights" in told.words) == ("note", True)


def test_other_words_in_another_precision_are_a_note_and_other_diagnoses_an_alarm(
    preview: Remembered, tmp_path: Path
) -> None:
    plan = [step for step in plan_for(preview) if step.name.startswith(("score", "diagnosis"))]

    def said(change: Callable[[str], str], precision: str) -> str:
        engine = harm.Known(Words(preview, change), precision=precision)
        return str(check(engine, tmp_path, plan=plan).verdicts[-1].state)

    def reworded(text: str) -> str:
        return text.replace("The ", "This ")

    def misnamed(text: str) -> str:
        return text.replace('_class": "', '_class": "null", "was": "').replace(
            '"severity": "', '"severity": "null", "as": "'
        )

    assert said(reworded, "nf4") == "note"
    assert said(reworded, "fp32") == "alarm"
    assert said(misnamed, "nf4") == "alarm"


def test_where_nothing_recorded_is_at_hand_the_last_line_says_what_was_not_looked_at(tmp_path: Path) -> None:
    stranger = ScriptedEngine(SCORE)
    passport = check(stranger, tmp_path, plan=plan_for(stranger)[:1])
    assert passport.verdicts[-1].state == "unknown"
    assert "Not looked at was" in passport.summary
    assert "--against" in passport.summary


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"plan": 0, "texts": {}}', '{"plan": 1, "texts": 3}'])
def test_a_record_that_is_none_is_a_sentence(tmp_path: Path, content: str) -> None:
    file = tmp_path / "record.json"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(QInsightError, match="Expected replies recorded by"):
        read_record(file)


# --- a server ---------------------------------------------------------------------------------------------------------


def test_a_server_is_checked_too_and_known_by_its_replies(preview: Remembered, tmp_path: Path) -> None:
    with serving(preview) as server:
        code = main(["check", "--endpoint", server.url, "--order", "photo_first", "--out", str(tmp_path)])
    found = states(tmp_path)
    assert code == 0, found
    assert found["identity"] == "ok"
    assert (
        passport(tmp_path)["engine"] | {"precision": "server", "version": "preview-1"}
        == (passport(tmp_path)["engine"])
    )
    assert figures(tmp_path, "size") == {"small": 50 + 140, "usual": 50 + 192, "large": 50 + 1260}


def test_a_server_that_is_asked_in_the_wrong_order_is_told(preview: Remembered, tmp_path: Path) -> None:
    with serving(preview) as server:
        assert main(["check", "--endpoint", server.url, "--out", str(tmp_path)]) == 1
    assert "question" in passport(tmp_path)["alarms"]


def test_a_server_that_reencodes_pictures_is_told(preview: Remembered, tmp_path: Path) -> None:
    with serving(preview, harm.reencoded(85), counts=False) as server:
        assert (
            main(["check", "--endpoint", server.url, "--order", "photo_first", "--out", str(tmp_path)]) == 1
        )
    assert passport(tmp_path)["alarms"] == ["lossless"]
    assert figures(tmp_path, "size") == {}


def size_of(preview: Remembered, change: Change, out: Path) -> Verdict:
    """The verdict on the size of pictures, of a server that does this to them."""
    with serving(preview, change) as server:
        engine = EndpointEngine.open(server.url)
        plan = [step for step in plan_for(engine) if step.name.startswith(("score large", "score small"))]
        found = check(engine, out, plan=plan)
    return next(verdict for verdict in found.verdicts if verdict.name == "size")


@pytest.mark.parametrize("side", [1148, 896, 448])
def test_a_server_that_shrinks_by_a_little_is_told_by_its_tokens(
    preview: Remembered, tmp_path: Path, side: int
) -> None:
    size = size_of(preview, harm.to_at_most(side), tmp_path)
    assert size.state == "alarm"
    assert "by its size it has 1120" in size.words


def test_a_server_that_brings_every_picture_to_one_size_is_told_by_its_tokens(
    preview: Remembered, tmp_path: Path
) -> None:
    size = size_of(preview, lambda photo: photo.resize((1024, 768)), tmp_path)
    assert size.state == "alarm"
    assert "brought to one size" in size.words


def test_a_server_of_the_preview_is_known_although_it_changes_every_tone(
    preview: Remembered, tmp_path: Path
) -> None:
    plan = [step for step in plan_for(preview) if step.name.startswith("score")][:16]
    served = harm.behind_a_server(Pictures(preview, harm.darker))
    assert check(served, tmp_path, plan=plan).verdicts[-1].state == "alarm"
