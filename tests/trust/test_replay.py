"""An answer says what made it, and asked again it is identical, or what differs is named."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from qinsight import prompts
from qinsight.__main__ import main
from qinsight.assess import ask, assessment, last
from qinsight.engines import made_by as making
from qinsight.engines.checkpoint import PREVIEW, Device
from qinsight.engines.local import LocalEngine
from qinsight.page.record import assessed
from qinsight.page.words import ENGLISH
from qinsight.photos import load_photo
from qinsight.prompts import Task
from qinsight.report import report
from qinsight.requests import GREEDY
from qinsight.trust import replay as replaying
from shared.places import REPOSITORY
from shared.preview_server import serving

CAT, BLURRED = (str(REPOSITORY / "examples" / "photos" / f"cat{end}.jpg") for end in ("", "_blurred"))

Said = Callable[..., tuple[int, str]]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    """The exit code of a command, and what it said."""

    def run(*words: str) -> tuple[int, str]:
        code = main([*words, "--device", "cpu"])
        told = capsys.readouterr()
        return code, told.out + told.err

    return run


@pytest.fixture(scope="module")
def preview() -> LocalEngine:
    return LocalEngine.open("preview", Device.CPU)


@pytest.fixture
def kept(preview: LocalEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The preview is loaded once for all that asks it as it is."""
    monkeypatch.setattr(replaying, "open_engine", lambda *_: preview)


@pytest.fixture(scope="module")
def answer(preview: LocalEngine) -> dict[str, Any]:
    """What the preview says about a photo, as `--json` prints it."""
    requests = assessment(load_photo(CAT), [Task.DEGRADATION])
    made = making.made_by_all(preview.about, requests, GREEDY)
    return report(
        Task.DEGRADATION, {"photo": CAT}, last(ask(preview, requests)), "Q-Insight preview", made=made
    )


def written(folder: Path, answer: Any) -> str:
    path = folder / "answer.json"
    path.write_text(json.dumps(answer), encoding="utf-8")
    return str(path)


def changed(answer: dict[str, Any], **parts: Any) -> dict[str, Any]:
    return answer | {"made_by": answer["made_by"] | parts}


@pytest.mark.usefixtures("kept")
def test_an_answer_comes_again_on_the_same_computer(
    answer: dict[str, Any], tmp_path: Path, said: Said
) -> None:
    assert said("replay", written(tmp_path, answer), CAT) == (0, "degradation: identical\n")


@pytest.mark.usefixtures("kept")
def test_one_changed_pixel_is_named(answer: dict[str, Any], tmp_path: Path, said: Said) -> None:
    photo = Image.open(CAT).convert("RGB")
    photo = photo.resize(tuple(answer["made_by"]["sizes"][0]), Image.Resampling.BICUBIC)
    photo.save(tmp_path / "same.png")
    red, green, blue = photo.getpixel((200, 100))
    photo.putpixel((200, 100), (red, green, blue ^ 1))
    photo.save(tmp_path / "other.png")
    assert said("replay", written(tmp_path, answer), str(tmp_path / "same.png"))[0] == 0
    code, words = said("replay", written(tmp_path, answer), str(tmp_path / "other.png"))
    assert (code, words.count("The pixels differ: ")) == (5, 1)
    assert "The size" not in words


@pytest.mark.parametrize("place", [1_234_567, -1])
def test_one_changed_weight_is_named(answer: dict[str, Any], tmp_path: Path, said: Said, place: int) -> None:
    model = shutil.copytree(PREVIEW, tmp_path / "model")
    content = bytearray((model / "model.safetensors").read_bytes())
    begin = 8 + int.from_bytes(content[:8], "little")  # behind the header
    content[begin + place if place >= 0 else place] ^= 1
    (model / "model.safetensors").write_bytes(content)
    code, words = said("replay", written(tmp_path, answer), CAT, "--model", str(model))
    assert code == 5
    assert "The weights differ: " in words


@pytest.mark.parametrize("name", ["chat_template.jinja", "tokenizer.json"])
def test_another_template_or_setting_is_named(
    answer: dict[str, Any], tmp_path: Path, said: Said, name: str
) -> None:
    model = shutil.copytree(PREVIEW, tmp_path / "model")
    path = model / name
    path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    code, words = said("replay", written(tmp_path, answer), CAT, "--model", str(model))
    assert code == 5
    assert "The settings, template or vocabulary beside the weights differ: " in words
    assert "The weights differ" not in words


@pytest.mark.usefixtures("kept")
def test_another_prompt_is_named(
    answer: dict[str, Any], tmp_path: Path, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = prompts.DEGRADATION + " "
    monkeypatch.setitem(prompts.ABOUT_ONE_PHOTO, prompts.Task.DEGRADATION, words)
    code, told = said("replay", written(tmp_path, answer), CAT)
    assert code == 5
    assert "The prompt differs: " in told


def test_another_order_of_question_and_photo_is_another_prompt(
    answer: dict[str, Any], tmp_path: Path, said: Said
) -> None:
    code, told = said("replay", written(tmp_path, answer), CAT, "--order", "question_first")
    assert code == 5
    assert "The prompt differs: " in told


@pytest.mark.usefixtures("kept")
def test_every_part_that_differs_is_named_with_what_it_was(
    answer: dict[str, Any], tmp_path: Path, said: Said
) -> None:
    names = ("qinsight", "python", "torch", "transformers", "pillow")
    old = changed(
        answer,
        versions=dict.fromkeys(names, "0.1"),
        threads=63,
        engine="llama.cpp",
        device="cuda",
        precision="bf16",
        weights=None,
    )
    code, words = said("replay", written(tmp_path, old), CAT)
    assert code == 5
    for name in names:
        assert f"degradation: The version of {name} differs: 0.1 then, " in words
    for part in (
        "The number of threads differs: 63 then, ",
        "The engine differs: llama.cpp then, transformers now.",
        "The device differs: cuda then, cpu now.",
        "The precision differs: bf16 then, fp32 now.",
        "The weights differ: not known then, ",
        "The reply is the same nevertheless.",
    ):
        assert part in words
    assert words.count("\n") == 11


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize("name", ["qinsight", "torch", "a package that is not here"])
def test_one_version_that_differs_is_the_only_part_named(
    answer: dict[str, Any], tmp_path: Path, said: Said, name: str
) -> None:
    old = changed(answer, versions=answer["made_by"]["versions"] | {name: "0.1"})
    code, words = said("replay", written(tmp_path, old), CAT)
    assert (code, words.count("\n")) == (5, 2)
    assert f"The version of {name} differs: 0.1 then, " in words


@pytest.mark.usefixtures("kept")
def test_a_reply_that_was_changed_by_hand_is_told_with_the_place(
    answer: dict[str, Any], tmp_path: Path, said: Said
) -> None:
    other = answer | {"reply": answer["reply"].replace("</think>", "!</think>")}
    code, words = said("replay", written(tmp_path, other), CAT)
    assert code == 5
    assert "The reply differs: " in words
    assert "Every part that the answer names is the same." in words


@pytest.mark.usefixtures("kept")
def test_both_answers_that_the_page_saves_come_again(
    preview: LocalEngine, tmp_path: Path, said: Said
) -> None:
    requests = assessment(load_photo(CAT))
    made = making.made_by_all(preview.about, requests, GREEDY)
    saved = assessed(ENGLISH, "cat.jpg", last(ask(preview, requests)), preview.about.name, made=made)
    (tmp_path / "saved.json").write_text(saved["json"], encoding="utf-8")
    told = said("replay", str(tmp_path / "saved.json"), CAT)
    assert told == (0, "score: identical\ndegradation: identical\n")


def test_samples_come_again_by_their_seed(tmp_path: Path, said: Said) -> None:
    code, words = said("score", CAT, "--model", "preview", "--json", "--samples", "2", "--seed", "7")
    assert code == 0
    assert said("replay", written(tmp_path, json.loads(words.splitlines()[0])), CAT) == (
        0,
        "score: identical\n",
    )


def test_a_comparison_comes_again_with_its_photos_in_their_order(tmp_path: Path, said: Said) -> None:
    code, words = said("compare", CAT, BLURRED, "--model", "preview", "--json")
    assert code == 0
    path = written(tmp_path, json.loads(words.splitlines()[0]))
    assert said("replay", path, CAT, BLURRED) == (0, "comparison: identical\n")
    code, told = said("replay", path, BLURRED, CAT)
    assert (code, "The pixels differ: " in told) == (5, True)
    assert said("replay", path, CAT)[0] == 1


@pytest.mark.usefixtures("kept")
def test_a_row_of_a_ranking_comes_again(tmp_path: Path, said: Said) -> None:
    for path in (CAT, BLURRED):
        shutil.copy(path, tmp_path)
    out = tmp_path / "ranked"
    assert said("rank", str(tmp_path), "--out", str(out), "--model", "preview")[0] == 0
    assert "made_by" not in (out / "ranking.csv").read_text(encoding="utf-8-sig").splitlines()[0]
    for path in (CAT, BLURRED):
        code, words = said("replay", str(out / "results.jsonl"), path)
        assert (code, words) == (0, "rank: identical\n")


@pytest.mark.usefixtures("kept")
def test_a_file_of_many_answers_is_searched_for_the_photo(
    answer: dict[str, Any], tmp_path: Path, said: Said
) -> None:
    other = changed(answer, pixels=["0"]) | {"photo": "other.jpg"}
    failed = {"photo": "broken.jpg", "task": "score", "made_by": None, "error": "not a photo"}
    path = tmp_path / "many.jsonl"
    path.write_text("\n".join(map(json.dumps, [failed, other, answer])), encoding="utf-8")
    assert said("replay", str(path), CAT) == (0, "degradation: identical\n")
    shutil.copy(BLURRED, tmp_path / "broken.jpg")
    code, told = said("replay", str(path), str(tmp_path / "broken.jpg"))
    assert (code, "this one is of an earlier version" in told) == (1, True)
    code, told = said("replay", str(path), BLURRED)
    assert (code, "Expected one of 3 answers about" in told) == (1, True)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "Expected an answer as --json prints it"),
        ("[1, 2]", "Expected an answer as --json prints it"),
        ("not json", "Expected an answer as --json prints it"),
        ('{"task": "score", "rating": 3.0}', "this one is of an earlier version"),
        ('{"task": "score", "made_by": null}', "this one is of an earlier version"),
        ('{"task": "score", "made_by": {}}', "it is missing. Ask again with --json."),
    ],
)
def test_what_is_no_answer_is_told_in_a_sentence(tmp_path: Path, said: Said, text: str, words: str) -> None:
    path = tmp_path / "answer.json"
    path.write_text(text, encoding="utf-8")
    code, told = said("replay", str(path), CAT)
    assert code == 1
    assert words in told
    assert told.count("\n") == 1


def test_a_part_that_is_missing_or_nonsense_is_named(
    answer: dict[str, Any], tmp_path: Path, said: Said
) -> None:
    for part in answer["made_by"]:
        less = {name: value for name, value in answer["made_by"].items() if name != part}
        code, told = said("replay", written(tmp_path, answer | {"made_by": less}), CAT)
        assert (code, f"Expected {part} in made_by of the answer" in told) == (1, True)
    for part, value in (("batch", 3), ("sampling", {"heat": 1}), ("max_pixels", "big"), ("sampling", None)):
        code, told = said("replay", written(tmp_path, changed(answer, **{part: value})), CAT)
        assert (code, f"Expected {part} in made_by as this version writes it" in told) == (1, True)


def test_a_replay_without_its_photo_says_what_is_missing(
    answer: dict[str, Any], tmp_path: Path, said: Said
) -> None:
    path = written(tmp_path, answer)
    assert said("replay", path) == (2, f"qinsight: Expected the photo of {path} as well, got none.\n")
    assert said("replay", path, str(tmp_path / "nowhere.jpg"))[0] == 4
    assert said("replay", str(tmp_path / "no.json"), CAT)[0] == 1


def test_weights_too_large_to_be_read_whole_say_that_pieces_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"x" * 100)
    whole = making.contents([tmp_path])["weights"]
    monkeypatch.setattr(making, "WHOLE", 99)
    assert making.contents([tmp_path])["weights"].startswith("pieces ")
    assert not whole.startswith("pieces ")


# --- a server -----------------------------------------------------------------------------------------------------------

UNSAID = "The server does not say its device, precision, threads, weights, settings: not compared."


@pytest.fixture(scope="module")
def server(preview: LocalEngine) -> Iterator[tuple[str, ...]]:
    """The flags that lead to it."""
    with serving(preview) as found:
        yield "--endpoint", found.url, "--order", "photo_first"


@pytest.fixture
def of_server(server: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """What the preview says of a photo through a server, as `--json` prints it."""
    assert main(["score", CAT, *server, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_an_answer_of_a_server_comes_again_and_what_it_does_not_say_is_said(
    of_server: dict[str, Any], server: tuple[str, ...], tmp_path: Path, said: Said
) -> None:
    told = said("replay", written(tmp_path, of_server), CAT, *server)
    assert told == (0, f"score: identical\nscore: {UNSAID}\n")


def test_another_pixel_model_and_prompt_of_a_server_are_named(
    of_server: dict[str, Any],
    server: tuple[str, ...],
    tmp_path: Path,
    said: Said,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Image.open(CAT) as opened:
        photo = opened.convert("RGB")
    photo.putpixel((3, 5), (1, 2, 3))
    photo.save(tmp_path / "other.png")
    code, words = said("replay", written(tmp_path, of_server), str(tmp_path / "other.png"), *server)
    assert (code, words.startswith("score: The pixels differ")) == (5, True)
    other = of_server | {"model": "qinsight-7b"}
    code, words = said("replay", written(tmp_path, other), CAT, *server)
    assert code == 5
    assert words.startswith(f"score: The model differs: qinsight-7b then, {of_server['model']} now.\n")
    monkeypatch.setitem(prompts.ABOUT_ONE_PHOTO, Task.SCORE, prompts.SCORE + " ")
    code, words = said("replay", written(tmp_path, of_server), CAT, *server)
    assert (code, words.startswith("score: The prompt differs")) == (5, True)


def test_other_weights_behind_the_same_name_show_in_the_reply_alone(
    of_server: dict[str, Any], server: tuple[str, ...], tmp_path: Path, said: Said
) -> None:
    other = of_server | {"reply": of_server["reply"].replace("quality", "overall quality")}
    code, words = said("replay", written(tmp_path, other), CAT, *server)
    assert code == 5
    assert "The reply differs" in words
    assert "Every part that the answer names is the same." in words
    assert UNSAID in words


def test_a_row_of_a_ranking_by_a_server_comes_again(
    server: tuple[str, ...], tmp_path: Path, said: Said
) -> None:
    shutil.copy(CAT, tmp_path / "cat.jpg")
    out = tmp_path / "out"
    assert said("rank", str(tmp_path), "--out", str(out), *server)[0] == 0
    told = said("replay", str(out / "results.jsonl"), str(tmp_path / "cat.jpg"), *server)
    assert told == (0, f"rank: identical\nrank: {UNSAID}\n")
