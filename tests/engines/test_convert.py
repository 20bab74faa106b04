"""A converted folder holds every weight of its checkpoint, is whole or not there, and what cannot be converted is a sentence."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

from qinsight.__main__ import main
from qinsight.engines.checkpoint import PARTS, PREVIEW, Device, locate, read_checkpoint
from qinsight.engines.convert import convert
from qinsight.engines.gguf_header import Type, read_header
from qinsight.engines.weights import load, quantize
from qinsight.errors import EngineError
from qinsight.prompts import Order
from shared.places import REPOSITORY

gguf = pytest.importorskip("gguf")
WRITTEN = [kind for kind in Type if kind is not Type.Q4_K_M]


def refusal(act: Callable[[], object]) -> str:
    with pytest.raises(EngineError) as caught:
        act()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def inside(file: Path) -> dict[str, Any]:
    """The tensors of a GGUF file as numbers, read by the library of that format."""
    found = gguf.GGUFReader(file).tensors
    return {
        one.name: gguf.quants.dequantize(one.data, one.tensor_type).reshape(one.shape[::-1]) for one in found
    }


def change(file: Path, **settings: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text("utf-8")), **settings}), "utf-8")


# --- what is written ----------------------------------------------------------------------------------------------


def test_every_weight_is_in_one_of_the_two_files_to_the_last_bit(tmp_path: Path) -> None:
    (folder,) = convert("preview", tmp_path / "out", Type.F32)
    stored = {name: found.float().numpy() for name, found in load_file(PREVIEW / "model.safetensors").items()}
    written = inside(folder / "model.gguf") | inside(folder / "mmproj.gguf")
    assert sum(one.size for one in written.values()) == sum(one.size for one in stored.values())
    assert np.array_equal(written["token_embd.weight"], stored["model.embed_tokens.weight"])
    assert np.array_equal(written["blk.2.attn_k.bias"], stored["model.layers.2.self_attn.k_proj.bias"])
    looked = [written[f"v.blk.3.attn_{letter}.weight"] for letter in "qkv"]
    assert np.array_equal(np.concatenate(looked), stored["visual.blocks.3.attn.qkv.weight"])
    patches = [written[f"v.patch_embd.weight{end}"] for end in ("", ".1")]
    assert np.array_equal(np.stack(patches, 2), stored["visual.patch_embed.proj.weight"])


@pytest.mark.parametrize(
    ("kind", "most"), [(Type.F16, 0.0005), (Type.Q8_0, 0.005), (Type.Q5_1, 0.04), (Type.Q4_0, 0.13)]
)
def test_a_smaller_type_rounds_the_language_model_as_far_as_its_name_says(
    tmp_path: Path, kind: Type, most: float
) -> None:
    """Beside the largest of 32 weights; tokens in 8 bits at least, norms not at all, the vision tower in f16."""
    (folder,) = convert("preview", tmp_path / "out", kind)
    (full,) = convert("preview", tmp_path / "full", Type.F32)
    found, exact = inside(folder / "model.gguf"), inside(full / "model.gguf")

    def error(name: str) -> float:
        blocks = exact[name].reshape(-1, 32)
        return float(
            (np.abs(found[name].reshape(-1, 32) - blocks) / np.abs(blocks).max(1, keepdims=True)).max()
        )

    assert error("blk.0.ffn_up.weight") < most
    assert error("blk.0.ffn_up.weight") > most / 20 or kind is Type.F16  # which holds nearly all of bf16
    assert error("token_embd.weight") < 0.005
    assert np.array_equal(found["blk.0.attn_norm.weight"], exact["blk.0.attn_norm.weight"])
    eyes, whole = inside(folder / "mmproj.gguf"), inside(full / "mmproj.gguf")
    assert all(np.allclose(eyes[name], whole[name], rtol=0.001, atol=1e-6) for name in whole)
    assert read_header(folder / "model.gguf").type == kind


def test_both_parts_of_the_published_layout_stand_in_their_own_folders_and_say_what_they_are(
    official: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert convert(str(official), out) == [out / part for part in PARTS]
    assert sorted(path.name for path in out.iterdir()) == sorted(PARTS)
    assert list(tmp_path.iterdir()) == [out]
    for part in PARTS:
        names = {path.name for path in (out / part).iterdir()}
        assert names == {"model.gguf", "mmproj.gguf", "qinsight.json"}
        header = read_header(out / part / "model.gguf")
        assert (header.architecture, header.type) == ("qwen2vl", "q8_0")
        assert header.told["general.sampling.penalty_repeat"] == pytest.approx(1.05)
        assert json.loads((out / part / "qinsight.json").read_text("utf-8"))["order"] == Order.QUESTION_FIRST


def test_a_copy_of_other_weights_has_another_fingerprint(official: Path, tmp_path: Path) -> None:
    prints = set()
    for kind in (Type.Q8_0, Type.Q4_0):
        convert(str(official), tmp_path / kind, kind)
        prints.add(locate(str(tmp_path / kind)).fingerprint)
    assert len(prints | {locate(str(official)).fingerprint, ""}) == 4


def test_newer_savers_names_of_tensors_and_settings_give_the_same_files(part: Path, tmp_path: Path) -> None:
    """transformers 5 writes one file, `model.language_model.`, `model.visual.` and a text_config."""
    convert(str(part), tmp_path / "older", Type.F32)
    found: dict[str, Any] = {}
    for shard in sorted(part.glob("model-*.safetensors")):
        found |= load_file(shard)
        shard.unlink()
    (part / "model.safetensors.index.json").unlink()
    renamed = {}
    for name, weights in found.items():
        place = "model.visual." if name.startswith("visual.") else "model.language_model."
        renamed[name if name == "lm_head.weight" else place + name.partition(".")[2]] = weights
    save_file(renamed, part / "model.safetensors")
    config = json.loads((part / "config.json").read_text("utf-8"))
    words = {
        key: config.pop(key) for key in list(config) if key.startswith(("num_", "hidden", "inter", "rms"))
    }
    words["rope_parameters"] = {**config.pop("rope_scaling"), "rope_theta": config.pop("rope_theta")}
    (part / "config.json").write_text(json.dumps({**config, "text_config": words}), "utf-8")
    convert(str(part), tmp_path / "newer", Type.F32)
    for name in ("model.gguf", "mmproj.gguf"):
        assert (tmp_path / "newer" / name).read_bytes() == (tmp_path / "older" / name).read_bytes()


def test_the_command_writes_the_type_asked_for_and_prints_what_it_wrote(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "small"
    assert main(["convert", "preview", "--out", str(out), "--type", "q4_0"]) == 0
    assert capsys.readouterr().out.startswith(f"{out}  3.9 MB")
    assert main(["convert", "preview", "--out", str(out)]) == 1
    assert "does not exist yet" in capsys.readouterr().err


def test_how_far_it_is_is_told_from_nothing_to_all(official: Path, tmp_path: Path) -> None:
    told: list[tuple[str, float | None]] = []
    convert(str(official), tmp_path / "out", progress=lambda words, done: told.append((words, done)))
    for part in PARTS:
        done = [share for words, share in told if part in words]
        assert done[0] == 0
        assert done[-1] == 1
        assert done == sorted(done, key=float)


# --- whole, or not there ------------------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
from pathlib import Path
from qinsight.engines.convert import convert
def die(words, done):
    if "comparison" in words and done > 0.5:
        os.kill(os.getpid(), signal.SIGKILL)
convert(sys.argv[1], Path(sys.argv[2]), progress=die)
"""


def test_a_run_that_was_killed_left_nothing_at_its_place_and_the_next_goes_on_after_the_finished_part(
    official: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    code = subprocess.run(
        [sys.executable, "-c", KILLED, official, out], cwd=REPOSITORY, check=False
    ).returncode
    assert code == -signal.SIGKILL
    assert not out.exists()
    begun = []
    convert(str(official), out, progress=lambda words, done: begun.append(words))
    assert not any(PARTS[0] in words for words in begun)
    assert any(PARTS[1] in words for words in begun)
    assert list(tmp_path.iterdir()) == [out]
    convert(str(official), tmp_path / "at once")
    for file in ("model.gguf", "mmproj.gguf", "qinsight.json"):
        for part in PARTS:
            assert (out / part / file).read_bytes() == (tmp_path / "at once" / part / file).read_bytes()


def test_a_part_that_was_finished_in_another_type_is_written_anew(official: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    subprocess.run([sys.executable, "-c", KILLED, official, out], cwd=REPOSITORY, check=False)
    convert(str(official), out, Type.F16)
    assert {read_header(out / part / "model.gguf").type for part in PARTS} == {"f16"}


def test_a_disk_that_fills_up_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(gguf.GGUFWriter, "write_tensor_data", full)
    assert "No space left on device" in refusal(lambda: convert("preview", tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs a shell's ulimit")
def test_a_limit_to_the_size_of_a_file_is_told_though_numpy_knows_no_cause(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            "bash",
            "-c",
            f"ulimit -f 1000; exec '{sys.executable}' -m qinsight convert preview --out '{tmp_path}/out'",
        ],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    told = "the disk is full, or a file may not be as large."
    assert done.stderr == f"qinsight: The converted weights cannot be written to {tmp_path}/out: {told}\n"
    assert list(tmp_path.iterdir()) == []


def test_too_small_a_disk_is_told_before_anything_is_written(
    monkeypatch: pytest.MonkeyPatch, official: Path, tmp_path: Path
) -> None:
    free = shutil.disk_usage(tmp_path)._replace(free=10**6)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: free)
    sentence = refusal(lambda: convert(str(official), tmp_path / "out"))
    assert "of free disk" in sentence
    assert "there are 1.0 MB" in sentence
    assert "--type" in sentence
    assert list(tmp_path.iterdir()) == []


def test_two_commands_at_one_place_do_not_mix(tmp_path: Path) -> None:
    out, refused = tmp_path / "out", []

    def again(words: str, done: float | None) -> None:
        if not refused:
            refused.append(refusal(lambda: convert("preview", out)))

    convert("preview", out, progress=again)
    assert "Another command" in refused[0]
    assert (out / "model.gguf").exists()


# --- what cannot be converted -------------------------------------------------------------------------------------


def test_without_the_package_there_is_the_line_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "gguf", None)
    assert "pip install gguf" in refusal(lambda: convert("preview", tmp_path / "out"))


def test_the_type_that_needs_llama_cpps_own_quantiser_is_refused_with_those_that_do_not(
    tmp_path: Path,
) -> None:
    sentence = refusal(lambda: convert("preview", tmp_path / "out", Type.Q4_K_M))
    assert all(kind in sentence for kind in WRITTEN)


def test_what_is_converted_already_is_told_so(tmp_path: Path) -> None:
    (folder,) = convert("preview", tmp_path / "out")
    for _ in range(2):
        assert f"{folder} is converted already" in refusal(lambda: convert(str(folder), tmp_path / "again"))
        shutil.copy(PREVIEW / "config.json", folder)  # as foreign folders have it
    assert list(tmp_path.iterdir()) == [folder]


def test_an_adapter_is_sent_to_the_command_that_merges_it(part: Path, tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    model = load(read_checkpoint(part), Device.CPU).model
    get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj"])).save_pretrained(adapter)
    change(adapter / "adapter_config.json", base_model_name_or_path=str(part))
    assert "python -m training.merge --model" in refusal(lambda: convert(str(adapter), tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_4_bit_weights_are_refused(official: Path, tmp_path: Path) -> None:
    quantize(str(official / "comparison"), tmp_path / "nf4", Device.CPU)
    assert "Expected full weights" in refusal(lambda: convert(str(tmp_path / "nf4"), tmp_path / "out"))


@pytest.mark.parametrize("size", [4, 1000, 100_000])
def test_weights_that_were_cut_short_are_refused(part: Path, tmp_path: Path, size: int) -> None:
    shard = part / "model-00003-of-00004.safetensors"
    shard.write_bytes(shard.read_bytes()[:size])
    sentence = refusal(lambda: convert(str(part), tmp_path / "out"))
    assert "model-00003-of-00004.safetensors" in sentence
    assert "damaged or incomplete" in sentence
    assert not (tmp_path / "out").exists()


def test_a_tensor_that_is_missing_or_of_another_shape_is_named(part: Path, tmp_path: Path) -> None:
    shard = part / "model-00001-of-00004.safetensors"
    found = load_file(shard)
    name = next(iter(found))
    save_file({**found, name: found[name][:-1].clone()}, shard)
    assert f"Expected {name}" in refusal(lambda: convert(str(part), tmp_path / "out"))
    del found[name]
    save_file(found, shard)
    assert f"1 are missing, the first {name}" in refusal(lambda: convert(str(part), tmp_path / "out"))


@pytest.mark.parametrize(
    "settings",
    [
        {"fullatt_block_indexes": [0, 2]},
        {"window_size": 56},
        {"hidden_act": "gelu"},
        {"spatial_merge_size": 4},
        {"hidden_size": "wide"},
    ],
)
def test_a_vision_tower_that_llama_cpp_would_compute_otherwise_is_refused(
    part: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    config = json.loads((part / "config.json").read_text("utf-8"))
    change(part / "config.json", vision_config={**config["vision_config"], **settings})
    sentence = refusal(lambda: convert(str(part), tmp_path / "out"))
    assert next(iter(settings)) in sentence
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "settings", [{"pre_tokenizer": None}, {"model": {}}, {"added_tokens": [{"id": 9999, "content": "x"}]}]
)
def test_a_tokenizer_that_llama_cpp_does_not_know_is_refused(
    part: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    change(part / "tokenizer.json", **settings)
    assert "tokenizer" in refusal(lambda: convert(str(part), tmp_path / "out"))
    assert list(tmp_path.iterdir()) == [part]


# --- files that somebody else wrote -------------------------------------------------------------------------------


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return Path(shutil.copytree(PREVIEW, tmp_path / "copied"))


def refused(folder: Path) -> str:
    sentence = refusal(lambda: convert(str(folder), folder.with_name("out")))
    assert list(folder.parent.iterdir()) == [folder]
    assert sentence.endswith(".")
    return sentence


@pytest.mark.parametrize(
    ("file", "settings"),
    [
        *(("config.json", {"text_config": found}) for found in (None, [1], "x")),
        *(("config.json", {"vision_config": found}) for found in (None, [1])),
        *(("preprocessor_config.json", {"size": found}) for found in ([1, 2], "x")),
        *(
            ("preprocessor_config.json", {"size": {"longest_edge": found}})
            for found in (10**12, -5, 1.5, "x", True)
        ),
        ("preprocessor_config.json", {"image_processor": [1]}),
        *(
            ("preprocessor_config.json", {"image_mean": found})
            for found in (["a", "b", "c"], [1], [1e300] * 3, [float("nan")] * 3)
        ),
        *(
            ("generation_config.json", {"repetition_penalty": found})
            for found in ("x", [1], -1, 1e300, float("nan"))
        ),
        *(("generation_config.json", {"eos_token_id": found}) for found in (10**12, -1, "x")),
        *(("tokenizer_config.json", {"chat_template": found}) for found in ([1], {"a": "b"})),
    ],
)
def test_a_setting_that_is_no_such_thing_is_named_with_its_file(
    copied: Path, file: str, settings: dict[str, Any]
) -> None:
    change(copied / file, **settings)
    sentence = refused(copied)
    ((named, found),) = settings.items()
    assert ("longest_edge" if "longest_edge" in str(found) else named) in sentence
    assert file in sentence


@pytest.mark.parametrize(
    "settings",
    [
        *({"num_hidden_layers": found} for found in (10**9, True, "x", None)),
        *({"rms_norm_eps": found} for found in ("x", -1, [1])),
        *({"rope_parameters": found} for found in ([1], {"rope_theta": "x", "mrope_section": [1, 1, 1]})),
        {"rope_parameters": {"rope_theta": 1e6, "mrope_section": [10**12, 1, 1]}},
        {"num_attention_heads": 2**19},
        {"vocab_size": 10},
    ],
)
def test_a_language_model_that_cannot_be_is_a_sentence(copied: Path, settings: dict[str, Any]) -> None:
    config = json.loads((copied / "config.json").read_text("utf-8"))
    change(copied / "config.json", text_config={**config["text_config"], **settings})
    refused(copied)


def test_a_chat_template_that_is_no_text_is_named(copied: Path) -> None:
    change(copied / "tokenizer_config.json", chat_template=None)
    (copied / "chat_template.jinja").write_bytes(b"\xff\xfe")
    assert "chat_template.jinja" in refused(copied)


def test_a_token_that_no_file_can_hold_is_a_sentence(copied: Path) -> None:
    tokenizer = json.loads((copied / "tokenizer.json").read_text("utf-8"))
    tokenizer["added_tokens"][0]["content"] = "\ud800"  # half of a character
    (copied / "tokenizer.json").write_text(json.dumps(tokenizer), "utf-8")
    refused(copied)


def with_header(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    file = folder / "model.safetensors"
    content = file.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    edit(header)
    told = json.dumps(header).encode()
    file.write_bytes(len(told).to_bytes(8, "little") + told + content[end:])


FIRST, SECOND = "model.norm.weight", "visual.merger.ln_q.weight"


@pytest.mark.parametrize(
    "offsets",
    [[0, 2], [-100, -50], [2, 0], [0.0, 1.0], [0], "x", None],
)
def test_a_tensor_that_lies_where_it_cannot_is_refused(copied: Path, offsets: object) -> None:
    with_header(copied, lambda header: header[FIRST].update(data_offsets=offsets))
    assert "damaged or incomplete" in refused(copied)


def test_two_tensors_at_one_place_are_refused(copied: Path) -> None:
    with_header(copied, lambda header: header[FIRST].update(header[SECOND]))
    assert f"{FIRST} and {SECOND} lie at the same place" in refused(copied)


@pytest.mark.parametrize("kind", [Type.F32, Type.Q8_0])
@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused_with_their_name(
    copied: Path, kind: Type, broken: float
) -> None:
    found = load_file(copied / "model.safetensors")
    found["model.layers.1.mlp.up_proj.weight"][3, 5] = broken
    save_file(found, copied / "model.safetensors")
    sentence = refusal(lambda: convert(str(copied), copied.with_name("out"), kind))
    assert "blk.1.ffn_up.weight" in sentence
    assert list(copied.parent.iterdir()) == [copied]


@pytest.mark.parametrize("name", ["n" * 300, "n" * 250])
def test_a_place_whose_name_is_too_long_is_a_sentence(tmp_path: Path, name: str) -> None:
    assert "File name too long" in refusal(lambda: convert("preview", tmp_path / name))
    assert list(tmp_path.iterdir()) == []


def test_a_link_to_nowhere_is_no_place_to_write_to(tmp_path: Path) -> None:
    (tmp_path / "out").symlink_to("/nowhere/x")
    assert "does not exist yet" in refusal(lambda: convert("preview", tmp_path / "out"))
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


# --- a file that is opened ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 3, 4, 20, 300, 9000, 700_000, -1])
def test_a_gguf_that_was_cut_anywhere_is_told(tmp_path: Path, size: int) -> None:
    (folder,) = convert("preview", tmp_path / "out", Type.Q4_0)
    file = folder / "model.gguf"
    file.write_bytes(file.read_bytes()[:size])
    assert "model.gguf" in refusal(lambda: read_header(file))


def test_numbers_that_no_file_can_hold_are_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    for lengths in (b"\xff" * 16, b"\0" * 8 + b"\x01" + b"\0" * 7 + b"\xff" * 12):
        file.write_bytes(b"GGUF\x03\0\0\0" + lengths + b"\0" * 64)
        assert "damaged or was cut short" in refusal(lambda: read_header(file))


@pytest.mark.parametrize(
    "name", ["general.alignment", "qinsight.most_pixels", "general.sampling.penalty_repeat"]
)
@pytest.mark.parametrize("value", [b"\4\0\0\0" + b"\0" * 4, b"\x08\0\0\0" + b"\1" + b"\0" * 7 + b"x"])
def test_a_number_that_is_nothing_or_a_word_is_a_sentence(tmp_path: Path, name: str, value: bytes) -> None:
    file = tmp_path / "model.gguf"
    setting = len(name).to_bytes(8, "little") + name.encode() + value
    file.write_bytes(b"GGUF\3\0\0\0" + b"\0" * 8 + b"\1" + b"\0" * 7 + setting + b"\0" * 64)
    assert "damaged or was cut short" in refusal(lambda: read_header(file))
