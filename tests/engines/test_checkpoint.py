"""What is named as a model is found, or a sentence says why not; no weight is read for that."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from qinsight.engines.checkpoint import (
    PARTS,
    PREVIEW,
    Checkpoint,
    Model,
    Part,
    holds_gguf,
    locate,
    read_checkpoint,
)
from qinsight.errors import EngineError
from qinsight.prompts import Order, Task
from qinsight.requests import MAX_PIXELS, Request

PHOTO = Image.new("RGB", (56, 56))


def fetched(model: Path | str) -> Checkpoint:
    (part,) = locate(str(model)).parts.values()
    return part.fetch()


def fetched_parts(model: Path | str) -> list[Checkpoint]:
    return [part.fetch() for part in locate(str(model)).parts.values()]


def refusal(model: Path | str) -> str:
    with pytest.raises(EngineError) as caught:
        fetched_parts(model)
    sentence = str(caught.value)
    assert sentence.endswith(".")
    assert "\n" not in sentence
    return sentence


def rewrite(file: Path, **changes: Any) -> None:
    content = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps(content | changes))


def test_a_folder_in_the_published_layout_has_two_parts(official: Path) -> None:
    model = locate(str(official))
    assert tuple(model.parts) == PARTS
    assert {name: part.fetch().folder for name, part in model.parts.items()} == {
        name: official / name for name in PARTS
    }


def test_a_folder_with_weights_is_one_part_asked_as_the_published_weights_are(part: Path) -> None:
    checkpoint = fetched(part)
    assert checkpoint.name == "checkpoint"
    assert checkpoint.tasks == frozenset(Task)
    assert checkpoint.order is Order.QUESTION_FIRST
    assert checkpoint.max_pixels == MAX_PIXELS
    assert not checkpoint.preview
    assert len(checkpoint.weight_files) == 4


def test_qinsight_json_is_honoured(part: Path) -> None:
    card = {
        "name": "Ours",
        "tasks": ["score"],
        "order": "photo_first",
        "max_pixels": 50_176,
        "preview": True,
        "about": "Small.",
    }
    rewrite(part / "qinsight.json", **card)
    checkpoint = fetched(part)
    assert (checkpoint.name, checkpoint.tasks) == ("Ours", {Task.SCORE})
    assert (checkpoint.order, checkpoint.max_pixels) == (Order.PHOTO_FIRST, 50_176)
    assert (checkpoint.preview, checkpoint.note) == (True, "Small.")


@pytest.mark.parametrize(
    "card",
    [
        {"tasks": ["score", "beauty"]},
        {"tasks": "score"},
        {"tasks": 5},
        {"order": "sideways"},
        {"order": 1},
        {"max_pixels": "many"},
        {"max_pixels": -5},
        {"max_pixels": float("inf")},
        {"max_pixels": float("nan")},
        {"max_pixels": None},
    ],
)
def test_a_qinsight_json_that_means_nothing_is_one_sentence(part: Path, card: dict[str, Any]) -> None:
    rewrite(part / "qinsight.json", **card)
    assert "in qinsight.json of checkpoint" in refusal(part)


def test_a_path_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    assert f"found no folder {tmp_path}/nowhere" in refusal(tmp_path / "nowhere")
    assert "found no folder ./nowhere" in refusal("./nowhere")
    assert "found no folder nowhere" in refusal("nowhere")


@pytest.mark.parametrize("name", ["x" * 5000, "~nobody-of-this-name/model", "nul\0byte", "a/b/c"])
def test_a_path_that_cannot_be_is_one_sentence(name: str) -> None:
    assert refusal(name).startswith("Expected a folder")


def test_a_file_instead_of_a_folder_is_one_sentence(part: Path) -> None:
    assert "config.json is a file" in refusal(part / "config.json")


def test_an_empty_folder_is_one_sentence(tmp_path: Path) -> None:
    assert "the folder is empty" in refusal(tmp_path)


def test_a_folder_of_something_else_is_one_sentence(official: Path) -> None:
    assert "with a config.json in images; found a.png, b.png" in refusal(official / "images")


@pytest.mark.parametrize("kind", ["qwen2_vl", "llava", None, 5])
def test_another_architecture_is_one_sentence(part: Path, kind: object) -> None:
    rewrite(part / "config.json", model_type=kind)
    assert f"(model_type qwen2_5_vl); checkpoint is {kind!r}" in refusal(part)


def test_a_missing_shard_is_named(part: Path) -> None:
    (part / "model-00002-of-00004.safetensors").unlink()
    assert "4 file(s) of weights in checkpoint; missing model-00002-of-00004.safetensors" in refusal(part)


def test_missing_weights_are_named(part: Path) -> None:
    for file in part.glob("model*"):
        file.unlink()
    assert "missing model.safetensors" in refusal(part)


def test_one_whole_file_counts_before_a_left_over_index(part: Path) -> None:
    for file in part.glob("model-*"):
        file.unlink()
    (part / "model.safetensors").write_bytes(b"")
    assert fetched(part).weight_files == [part / "model.safetensors"]


@pytest.mark.parametrize("index", [{}, {"weight_map": {}}, {"weight_map": ["a"]}, {"weight_map": {"a": 5}}])
def test_an_index_that_names_no_files_is_one_sentence(part: Path, index: dict[str, Any]) -> None:
    (part / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "Expected a weight_map" in refusal(part)


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json", "preprocessor_config.json"])
def test_a_missing_tokenizer_or_processor_is_named(part: Path, name: str) -> None:
    (part / name).unlink()
    assert f"Expected {name} beside the weights" in refusal(part)


@pytest.mark.parametrize(
    "name",
    [
        "config.json",
        "qinsight.json",
        "model.safetensors.index.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "generation_config.json",
    ],
)
@pytest.mark.parametrize("content", [b"{", b"", b"\xff\xfe", b"[]", b"[" * 100_000])
def test_broken_json_is_one_sentence_that_names_the_file(part: Path, name: str, content: bytes) -> None:
    (part / name).write_bytes(content)
    assert f"{name} of checkpoint" in refusal(part)


# --- adapters -----------------------------------------------------------------------------------------------------


def adapter(folder: Path, base: object, *, weights: bool = True) -> Path:
    folder.mkdir()
    rewrite(folder / "adapter_config.json", base_model_name_or_path=base, peft_type="LORA")
    if weights:
        (folder / "adapter_model.safetensors").write_bytes(b"")
    return folder


def test_an_adapter_brings_its_base_and_is_asked_as_its_base_is(part: Path, tmp_path: Path) -> None:
    rewrite(part / "qinsight.json", order="photo_first", max_pixels=50_176)
    checkpoint = fetched(adapter(tmp_path / "adapter", str(part)))
    assert checkpoint.base is not None
    assert checkpoint.base.folder == part
    assert (checkpoint.order, checkpoint.max_pixels) == (Order.PHOTO_FIRST, 50_176)
    assert checkpoint.name == "adapter"


def test_the_base_of_an_adapter_may_be_named_from_where_the_adapter_lies(part: Path, tmp_path: Path) -> None:
    checkpoint = fetched(adapter(tmp_path / "adapter", "../checkpoint"))
    assert checkpoint.base is not None
    assert checkpoint.base.folder.resolve() == part


def test_an_adapter_of_the_published_layout_takes_its_score_weights(official: Path, tmp_path: Path) -> None:
    checkpoint = fetched(adapter(tmp_path / "adapter", str(official)))
    assert checkpoint.base is not None
    assert checkpoint.base.folder == official / "score_degradation"


def test_an_adapter_without_weights_is_one_sentence(part: Path, tmp_path: Path) -> None:
    folder = adapter(tmp_path / "adapter", str(part), weights=False)
    assert "Expected adapter_model.safetensors in the adapter adapter" in refusal(folder)


@pytest.mark.parametrize("base", [None, "", "nowhere", "/nowhere/else", "org/none", 5])
def test_an_adapter_whose_base_is_missing_is_one_sentence(tmp_path: Path, base: object) -> None:
    sentence = refusal(adapter(tmp_path / "adapter", base))
    assert "adapter" in sentence
    assert str(base or "base_model_name_or_path") in sentence


def test_an_adapter_of_an_adapter_or_of_itself_is_one_sentence(part: Path, tmp_path: Path) -> None:
    first = adapter(tmp_path / "first", str(part))
    assert "is an adapter itself" in refusal(adapter(tmp_path / "second", str(first)))
    assert "is an adapter itself" in refusal(adapter(tmp_path / "loop", "."))


# --- which part answers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "part_name"),
    [
        (Request(Task.SCORE, (PHOTO,)), "score_degradation"),
        (Request(Task.DEGRADATION, (PHOTO,)), "score_degradation"),
        (Request(Task.COMPARISON, (PHOTO, PHOTO)), "score_degradation"),
        (Request(Task.COMPARISON, (PHOTO, PHOTO, PHOTO), reference=True), "comparison"),
    ],
)
def test_only_a_comparison_with_a_reference_asks_the_comparison_weights(
    official: Path, request_: Request, part_name: str
) -> None:
    assert locate(str(official)).part_for(request_) == part_name
    assert Model("one", {"": Part("one", "one")}).part_for(request_) == ""


@pytest.mark.parametrize(("there", "missing"), [(0, 1), (1, 0)])
def test_a_question_for_a_part_that_is_not_there_is_one_sentence(
    official: Path, tmp_path: Path, there: int, missing: int
) -> None:
    shutil.copytree(official / PARTS[there], tmp_path / PARTS[there])
    requests = [Request(Task.SCORE, (PHOTO,)), Request(Task.COMPARISON, (PHOTO,) * 3, reference=True)]
    model = locate(str(tmp_path))
    assert model.part_for(requests[there]) == PARTS[there]
    with pytest.raises(EngineError, match=f"Expected a subfolder '{PARTS[missing]}'"):
        model.part_for(requests[missing])


# --- the hub, without a network ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ByteDance/Q-Insight", "someone/some-model"])
def test_a_hub_id_without_network_or_cache_is_one_sentence(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    sentence = refusal(name)
    assert sentence.startswith(f"{name} is not on this disk and the hub cannot be reached")
    assert "--model preview" in sentence


@pytest.mark.parametrize("name", ["a/b c", "a/" + "b" * 300, "foo/"])
def test_a_name_that_no_hub_model_can_have_is_one_sentence(name: str) -> None:
    assert f"there is none called {name} that you may see" in refusal(name)


def test_a_model_in_the_hubs_cache_is_used_without_network(
    official: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    cache = tmp_path / "models--ByteDance--Q-Insight"
    shutil.copytree(official, cache / "snapshots" / "abc")
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text("abc")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    model = locate("ByteDance/Q-Insight")
    assert {name: part.fetch().folder.name for name, part in model.parts.items()} == {
        name: name for name in PARTS
    }


def test_a_folder_that_is_gone_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="Expected a folder with a checkpoint for preview; there is none"):
        read_checkpoint(tmp_path / "preview")


@pytest.mark.parametrize(
    ("files", "converted"),
    [
        ("model.gguf", True),
        ("model.gguf config.json", True),
        ("comparison/model.gguf comparison/config.json", True),
        ("model.gguf config.json model.safetensors", False),
        ("config.json model.safetensors", False),
        ("config.json", False),
    ],
)
def test_a_folder_with_gguf_files_and_no_others_is_one_of_converted_weights(
    tmp_path: Path, files: str, converted: bool
) -> None:
    for file in files.split():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    assert holds_gguf(str(tmp_path)) is converted


def test_weights_of_one_name_are_told_apart_by_their_fingerprint(tmp_path: Path) -> None:
    shutil.copytree(PREVIEW, copy := tmp_path / "copy")
    assert locate(str(copy)).fingerprint == locate("preview").fingerprint
    content = bytearray((copy / "model.safetensors").read_bytes())
    content[len(content) // 2] ^= 1
    (copy / "model.safetensors").write_bytes(content)
    assert locate(str(copy)).fingerprint != locate("preview").fingerprint


@pytest.mark.parametrize(
    ("file", "setting", "found"),
    [
        ("config.json", "text_config", None),
        ("config.json", "vision_config", [1]),
        ("generation_config.json", "repetition_penalty", "x"),
        ("generation_config.json", "repetition_penalty", [1]),
        ("preprocessor_config.json", "image_mean", ["a", "b", "c"]),
    ],
)
def test_a_setting_with_which_the_model_would_fail_at_a_photo_or_be_another_is_refused(
    part: Path, file: str, setting: str, found: object
) -> None:
    """Of a text_config that is null, transformers makes a model of 7B."""
    told = json.loads((part / file).read_text("utf-8"))
    (part / file).write_text(json.dumps({**told, setting: found}), "utf-8")
    with pytest.raises(EngineError, match=f"{file} of .* is damaged .*{setting} is "):
        read_checkpoint(part)
