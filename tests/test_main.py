"""The command line says in words or in JSON what came, and in its exit code how it went."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from qinsight import __main__ as command_line
from qinsight import terminal
from qinsight.__main__ import main
from qinsight.engines import local
from qinsight.requests import Delta, Finish
from shared.engines import ScriptedEngine
from shared.places import OFFICIAL, REPOSITORY

PHOTOS = {name: str(OFFICIAL / "images" / f"{name}.png") for name in ("score", "dist", "ref", "a", "b")}
MODEL = ("--model", str(OFFICIAL), "--device", "cpu", "--precision", "fp32")
COMMON = ["photo", "task"]
BESIDE = ["thinking", "reply", "tokens", "seconds", "model", "made_by", "error"]


def replying(words: str, thinking: str = "soft") -> list[str]:
    return [f"<think>{thinking}</think>", f"<answer>{words}</answer>"]


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Put an engine that says the given scripts in the place of the weights."""

    def use(*scripts: Sequence[str | Delta], finish: Finish = Finish.STOP) -> ScriptedEngine:
        engine = ScriptedEngine(*scripts, finish=finish)
        monkeypatch.setattr(command_line, "_engine", lambda options: engine)
        return engine

    return use


@pytest.fixture
def rubbish(tmp_path: Path) -> str:
    file = tmp_path / "rubbish.jpg"
    file.write_bytes(b"not a photo")
    return str(file)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


# --- the fixture model ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "photo", "task", "fields"),
    [
        ("score", "score", "score", ["rating"]),
        ("diagnose", "dist", "degradation", ["distortion_class", "severity"]),
    ],
)
def test_the_weights_are_asked_and_gibberish_is_an_error_with_all_fields(
    capsys: pytest.CaptureFixture[str],
    expected: dict[str, Any],
    command: str,
    photo: str,
    task: str,
    fields: list[str],
) -> None:
    code = main([command, PHOTOS[photo], "--json", "--max-new-tokens", "48", *MODEL])
    (line,) = lines(capsys)
    assert list(line) == [*COMMON, *fields, *BESIDE]
    assert (line["photo"], line["task"], line["model"]) == (PHOTOS[photo], task, "official_layout")
    assert line["reply"] == expected[photo]["text"]
    assert (line["tokens"], [line[field] for field in fields]) == (48, [None] * len(fields))
    assert line["error"].startswith("The reply was cut after 48 tokens, before its answer.")
    assert line["seconds"] > 0
    assert code == 3


def test_a_comparison_with_a_reference_asks_the_comparison_weights(
    capsys: pytest.CaptureFixture[str], expected: dict[str, Any]
) -> None:
    arguments = ["compare", PHOTOS["a"], PHOTOS["b"], "--reference", PHOTOS["ref"], "--json"]
    assert main([*arguments, "--max-new-tokens", "48", *MODEL]) == 3
    (line,) = lines(capsys)
    assert list(line) == ["photo", "other", "reference", "task", "winner", *BESIDE]
    assert (line["photo"], line["other"], line["reference"]) == (PHOTOS["a"], PHOTOS["b"], PHOTOS["ref"])
    assert line["reply"] == expected["comparison"]["text"]


def test_a_four_bit_copy_is_written_and_asked(
    part: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "small")
    assert main(["quantize", str(part), "--out", out, "--device", "cpu"]) == 0
    assert capsys.readouterr().out.startswith(f"{out}  0.")
    asked = ["score", PHOTOS["score"], "--json", "--max-new-tokens", "4", "--device", "cpu"]
    assert main([*asked, "--model", out]) == 3
    assert lines(capsys)[0]["tokens"] == 4
    assert main([*asked, "--model", out, "--precision", "bf16"]) == 1
    assert main(["quantize", str(part), "--out", out]) == 1
    assert "qinsight: Expected a folder that does not exist yet" in capsys.readouterr().err


@pytest.mark.parametrize("model", ["/nowhere", "nowhere", "org/none", "x" * 5000])
def test_a_model_that_is_not_there_is_one_sentence_and_exit_code_1(
    capsys: pytest.CaptureFixture[str], model: str
) -> None:
    assert main(["score", PHOTOS["score"], "--model", model]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("qinsight: ")
    assert len(told.err.splitlines()) == 1


# --- answers ----------------------------------------------------------------------------------------------------------


def test_a_score_is_a_line_of_json_or_of_words(scripted: Any, capsys: pytest.CaptureFixture[str]) -> None:
    scripted(replying('{"rating": 3.95}'))
    assert main(["score", PHOTOS["score"], "--json"]) == 0
    (line,) = lines(capsys)
    seconds = line.pop("seconds")
    assert isinstance(seconds, float)
    assert line.pop("made_by")["batch"] == {"questions": ["score"], "photos": 1}
    assert line == {
        "photo": PHOTOS["score"],
        "task": "score",
        "rating": 3.95,
        "thinking": "soft",
        "reply": '<think>soft</think><answer>{"rating": 3.95}</answer>',
        "tokens": 2,
        "model": "scripted",
        "error": None,
    }
    assert main(["score", PHOTOS["score"]]) == 0
    assert capsys.readouterr().out == f"3.95  {PHOTOS['score']}\n"


@pytest.mark.parametrize(
    ("answer", "kind", "severity", "words"),
    [
        ('{"distortion_class": "blur", "severity": "slight"}', "blur", "slight", "slight blur"),
        ('{"distortion_class": "null", "severity": "null"}', None, None, "clean"),
    ],
)
def test_a_diagnosis_is_a_line_of_json_or_of_words(
    scripted: Any, capsys: pytest.CaptureFixture[str], answer: str, kind: str, severity: str, words: str
) -> None:
    scripted(replying(answer))
    assert main(["diagnose", PHOTOS["dist"], "--json"]) == 0
    (line,) = lines(capsys)
    assert (line["distortion_class"], line["severity"], line["error"]) == (kind, severity, None)
    assert main(["diagnose", PHOTOS["dist"]]) == 0
    assert capsys.readouterr().out == f"{words}  {PHOTOS['dist']}\n"


def test_samples_of_a_clean_photo_have_no_class(scripted: Any, capsys: pytest.CaptureFixture[str]) -> None:
    scripted(replying('{"distortion_class": null, "severity": "null"}'))
    assert main(["diagnose", PHOTOS["dist"], "--json", "--samples", "2"]) == 0
    (line,) = lines(capsys)
    for told in (line, *line["samples"]):
        assert (told["distortion_class"], told["severity"], told["error"]) == (None, None, None)
    assert main(["diagnose", PHOTOS["dist"], "--samples", "2"]) == 0
    assert capsys.readouterr().out == f"clean  {PHOTOS['dist']}\n"


def test_a_repaired_answer_says_so(scripted: Any, capsys: pytest.CaptureFixture[str]) -> None:
    scripted(replying("Rating: 3.95/5"))
    assert main(["score", PHOTOS["score"], "--json"]) == 0
    (line,) = lines(capsys)
    assert line["rating"] == 3.95
    assert line["repairs"] == ["broken JSON, the number after 'rating' read"]


@pytest.mark.parametrize(
    ("first", "second", "winner"),
    [
        ("Image A", "Image B", "Image A"),
        ("Image B", "Image A", "Image B"),
        ("Image A", "Image A", "undecided"),
        ("Similar", "Similar", "Similar"),
    ],
)
def test_a_comparison_asks_both_orders(
    scripted: Any, capsys: pytest.CaptureFixture[str], first: str, second: str, winner: str
) -> None:
    engine = scripted(replying(first), replying(second))
    assert main(["compare", PHOTOS["a"], PHOTOS["b"], "--json"]) == 0
    (line,) = lines(capsys)
    assert (line["winner"], line["error"], len(line["replies"])) == (winner, None, 2)
    ((requests, _, _),) = engine.asked
    assert requests[0].photos == requests[1].photos[::-1]


def test_an_unreadable_answer_is_exit_code_3_with_empty_fields(
    scripted: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    scripted(replying("four"))
    assert main(["score", PHOTOS["score"], "--json"]) == 3
    (line,) = lines(capsys)
    assert (line["rating"], line["thinking"]) == (None, "soft")
    assert line["error"] == "Expected one rating from 1 to 5; the model said 'four'."
    assert main(["score", PHOTOS["score"]]) == 3
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == f"{PHOTOS['score']}: Expected one rating from 1 to 5; the model said 'four'.\n"


# --- several photos, several samples --------------------------------------------------------------------------------


def test_a_photo_that_cannot_be_read_does_not_stop_the_others(
    scripted: Any, rubbish: str, capsys: pytest.CaptureFixture[str]
) -> None:
    scripted(replying('{"rating": 3}'))
    paths = [PHOTOS["score"], rubbish, "/no/such/photo.jpg", PHOTOS["dist"]]
    assert main(["score", *paths, "--json"]) == 4
    found = lines(capsys)
    assert [line["photo"] for line in found] == paths
    assert [line["rating"] for line in found] == [3, None, None, 3]
    assert [bool(line["error"]) for line in found] == [False, True, True, False]
    assert list(found[1]) == [*COMMON, "rating", *BESIDE]


def test_rubbish_alone_is_told_before_a_model_is_loaded(
    rubbish: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["score", rubbish, "--model", "/nowhere", "--json"]) == 4
    (line,) = lines(capsys)
    assert line["model"] is None
    assert main(["compare", PHOTOS["a"], rubbish, "--model", "/nowhere"]) == 4
    assert rubbish in capsys.readouterr().err


def test_an_unreadable_photo_weighs_more_than_an_unreadable_answer(scripted: Any, rubbish: str) -> None:
    scripted(replying("four"))
    assert main(["score", rubbish, PHOTOS["score"]]) == 4
    assert main(["score", PHOTOS["score"], rubbish]) == 4


def test_samples_come_to_mean_and_spread(scripted: Any, capsys: pytest.CaptureFixture[str]) -> None:
    engine = scripted(replying('{"rating": 3}'), replying('{"rating": 4}'), replying("four"))
    assert main(["score", PHOTOS["score"], "--json", "--samples", "3", "--seed", "7"]) == 0
    (line,) = lines(capsys)
    assert (line["rating"], line["spread"], line["readable"]) == (3.5, 0.5, 2)
    assert [sample.get("rating") for sample in line["samples"]] == [3, 4, None]
    ((requests, sampling, _),) = engine.asked
    assert (len(requests), sampling.temperature, sampling.seed) == (3, 1.0, 7)
    assert (sampling.top_k, sampling.top_p) == (50, 0.95)
    assert main(["score", PHOTOS["score"], "--samples", "3"]) == 0
    assert capsys.readouterr().out == f"3.50  (spread 0.50, 1 of 3 unreadable)  {PHOTOS['score']}\n"


def test_samples_of_a_diagnosis_come_to_the_most_frequent(
    scripted: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    blur, clean = (
        '{"distortion_class": "blur", "severity": "slight"}',
        '{"distortion_class": null, "severity": null}',
    )
    scripted(replying(blur), replying(clean), replying(blur))
    assert main(["diagnose", PHOTOS["dist"], "--json", "--samples", "3"]) == 0
    (line,) = lines(capsys)
    assert (line["distortion_class"], line["severity"]) == ("blur", "slight")
    assert line["agreement"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("pairs", "winner", "agreement"),
    [
        ([("Image A", "Image B"), ("Image A", "Image B"), ("Image B", "Image A")], "Image A", 2 / 3),
        ([("Image A", "Image B"), ("Image B", "Image A")], "undecided", 1 / 2),
        ([("Image A", "Image A"), ("four", "five")], "undecided", 1),
    ],
)
def test_samples_of_a_comparison_come_to_the_verdict_of_most_and_a_tie_to_none(
    scripted: Any,
    capsys: pytest.CaptureFixture[str],
    pairs: list[tuple[str, str]],
    winner: str,
    agreement: float,
) -> None:
    scripted(*(replying(words) for pair in pairs for words in pair))
    code = main(["compare", PHOTOS["a"], PHOTOS["b"], "--json", "--samples", str(len(pairs))])
    (line,) = lines(capsys)
    assert (code, line["winner"]) == (0, winner)
    assert line["agreement"] == pytest.approx(agreement)


def test_samples_that_cannot_be_read_are_an_error(scripted: Any, capsys: pytest.CaptureFixture[str]) -> None:
    scripted(replying("four"))
    for command, photos in (("score", ["score"]), ("diagnose", ["dist"]), ("compare", ["a", "b"])):
        assert main([command, *(PHOTOS[name] for name in photos), "--json", "--samples", "2"]) == 3
        (line,) = lines(capsys)
        assert line["error"]


# --- usage and surroundings ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["paint"],
        ["score"],
        ["compare", "a.png"],
        ["score", "a.png", "--samples", "0"],
        ["score", "a.png", "--samples", "2", "--temperature", "0"],
        ["score", "a.png", "--temperature", "nan"],
        ["score", "a.png", "--temperature", "-1"],
        ["score", "a.png", "--temperature", "1e-300"],
        ["score", "a.png", "--seed", "-1"],
        ["score", "a.png", "--seed", "99999999999999999999999"],
        ["score", "a.png", "--max-pixels", "10"],
        ["score", "a.png", "--max-new-tokens", "many"],
        ["score", "a.png", "--device", "toaster"],
        ["score", "a.png", "--precision", "int8"],
        ["score", "a.png", "--js"],
        ["quantize", "model"],
        ["convert", "model"],
        ["convert", "model", "--out", "small", "--type", "q9"],
    ],
)
def test_bad_usage_is_exit_code_2_and_a_sentence(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2
    assert capsys.readouterr().err


def test_flags_reach_the_engine(scripted: Any) -> None:
    engine = scripted(replying('{"rating": 3}'))
    flags = ["--max-pixels", "50000", "--max-new-tokens", "9", "--temperature", "0.5", "--seed", "3"]
    assert main(["score", PHOTOS["score"], *flags]) == 0
    ((_, sampling, max_pixels),) = engine.asked
    assert max_pixels == 50_000
    assert (sampling.max_new_tokens, sampling.temperature, sampling.seed) == (9, 0.5, 3)


def test_greedy_is_the_default(scripted: Any) -> None:
    engine = scripted(replying('{"rating": 3}'))
    assert main(["score", PHOTOS["score"]]) == 0
    ((_, sampling, max_pixels),) = engine.asked
    assert (sampling.temperature, sampling.max_new_tokens, max_pixels) == (0.0, 1024, None)


def test_a_file_name_that_is_no_text_is_printed_and_read_back(
    scripted: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = os.path.join(os.fsencode(tmp_path), b"caf\xe9.png")
    with open(name, "wb") as file:
        file.write(Path(PHOTOS["score"]).read_bytes())
    path = os.fsdecode(name)
    scripted(replying('{"rating": 3}', thinking="naïve"))
    assert main(["score", path, "--json"]) == 0
    (line,) = lines(capsys)
    assert os.fsencode(line["photo"]) == name
    assert line["thinking"] == "naïve"
    assert main(["score", path]) == 0
    assert "caf" in capsys.readouterr().out


def test_help_and_import_leave_torch_alone() -> None:
    """`python -m qinsight --help` runs the module as __main__; what it imported is asked at its end."""
    program = (
        "import sys, runpy\n"
        "import qinsight\n"
        "assert 'torch' not in sys.modules, 'import qinsight'\n"
        "sys.argv = ['qinsight', 'score', '--help']\n"
        "try: runpy.run_module('qinsight', run_name='__main__')\n"
        "except SystemExit as left: assert not left.code\n"
        "heavy = {'torch', 'transformers', 'gradio', 'huggingface_hub'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--samples" in done.stdout


def test_the_module_runs_and_tells_its_exit_code(rubbish: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "qinsight", "score", rubbish], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.returncode == 4
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["score", "compare"])
def test_how_far_a_slow_model_is_before_its_first_word_is_told_beside_the_answer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    monkeypatch.setattr(local, "SLOW", 0)
    monkeypatch.setattr(local, "PACE", 0)
    monkeypatch.setattr(terminal, "_LINES", terminal._Lines())
    photos = [PHOTOS["a"], PHOTOS["b"]] if command == "compare" else [PHOTOS["score"]]
    main([command, *photos, "--json", "--max-new-tokens", "4", *MODEL])
    told = capsys.readouterr()
    assert re.search(r"^(Looking at the photo|Reading): layer [123] of 3 \d+%$", told.err, re.M)
    assert json.loads(told.out)["tokens"]
