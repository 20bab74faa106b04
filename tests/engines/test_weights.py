"""Weights are held as asked, written whole or not at all, and what is broken is one sentence."""

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file

from qinsight.engines import kept as kept_module
from qinsight.engines import weights as weights_module
from qinsight.engines.checkpoint import PARTS, Device, Precision, locate
from qinsight.engines.conversation import Conversation
from qinsight.engines.local import LocalEngine, prepare
from qinsight.engines.weights import (
    Weights,
    choose_device,
    choose_model,
    choose_precision,
    idle_gpu,
    load,
    quantize,
)
from qinsight.errors import EngineError
from qinsight.page.about_tab import about_text, headline
from qinsight.page.host import Host
from qinsight.requests import Request, Sampling

CPU, FP32, NF4 = Device.CPU, Precision.FP32, Precision.NF4
GIGABYTE = 10**9


def loaded(folder: Path | str, precision: Precision = FP32) -> Weights:
    (part,) = locate(str(folder)).parts.values()
    return load(part.fetch(), CPU, precision)


def refusal(act: Callable[[], object]) -> str:
    with pytest.raises(EngineError) as caught:
        act()
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert len(sentence) < 400
    return sentence


def first_logits(weights: Weights, request: Request) -> torch.Tensor:
    return Conversation(weights, prepare(weights, [request], 12_845_056), [0], Sampling()).logits[0]


def said(engine: LocalEngine, requests: list[Request], tokens: int = 24) -> dict[int, str]:
    found: dict[int, str] = {}
    for delta in engine.stream(requests, Sampling(max_new_tokens=tokens)):
        found[delta.request] = found.get(delta.request, "") + delta.text
    return found


@pytest.fixture(scope="module")
def quantized(official: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fixture model written in 4 bits."""
    out = tmp_path_factory.mktemp("nf4") / "small"
    assert quantize(str(official), out, CPU) == [out / name for name in PARTS]
    return out


# --- precision ----------------------------------------------------------------------------------------------------


def test_nf4_quantises_the_language_model_and_leaves_the_vision_tower_and_the_head_alone(
    official: Path,
) -> None:
    weights = loaded(official / "score_degradation", NF4)
    kinds = Counter(
        (name.split(".")[1] if "." in name else name, type(module).__name__)
        for name, module in weights.model.named_modules()
        if isinstance(module, torch.nn.Linear)
    )
    # three layers of seven: q, k, v, o, gate, up, down; five in each of three blocks, two in the merger
    assert kinds == {("language_model", "Linear4bit"): 21, ("visual", "Linear"): 17, ("lm_head", "Linear"): 1}


def test_the_weights_are_held_in_the_precision_asked_for(official: Path) -> None:
    for precision, dtype in ((FP32, torch.float32), (Precision.BF16, torch.bfloat16)):
        weights = loaded(official / "score_degradation", precision)
        assert {weight.dtype for weight in weights.model.parameters()} == {dtype}
        assert weights.precision is precision
        assert not any(weight.requires_grad for weight in weights.model.parameters())


@pytest.mark.parametrize(
    ("device", "products", "free", "chosen"),
    [
        ("cpu", False, 100 * GIGABYTE, "fp32"),
        ("cpu", False, 30 * GIGABYTE, "bf16"),
        ("cpu", False, 15 * GIGABYTE, "nf4"),
        ("cpu", True, 100 * GIGABYTE, "bf16"),
        ("cpu", True, 30 * GIGABYTE, "bf16"),
        ("cpu", True, 15 * GIGABYTE, "nf4"),
        ("cuda", True, 80 * GIGABYTE, "bf16"),
        ("cuda", True, 20 * GIGABYTE, "bf16"),
        ("cuda", True, 16 * GIGABYTE, "nf4"),
        ("cuda", True, 10 * GIGABYTE, "nf4"),
        ("mps", False, 40 * GIGABYTE, "bf16"),
    ],
)
def test_the_precision_of_the_published_weights_is_the_best_that_fits(
    official: Path, monkeypatch: pytest.MonkeyPatch, device: str, products: bool, free: int, chosen: str
) -> None:
    """bf16, as they are published, on a processor with bf16 products: fp32 would be twice as slow and no better."""
    monkeypatch.setattr(weights_module, "has_kernel", lambda: products)
    checkpoint = locate(str(official)).parts["score_degradation"].fetch()
    monkeypatch.setattr(weights_module, "free_memory", lambda _: free)
    monkeypatch.setattr(weights_module, "parameter_count", lambda _: weights_module.PUBLISHED_PARAMETERS)
    place = torch.device(device)
    assert choose_precision(checkpoint, place, Precision.AUTO) == chosen


def test_small_weights_are_held_in_fp32_on_any_cpu(official: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = locate(str(official)).parts["score_degradation"].fetch()
    for products in (True, False):
        monkeypatch.setattr(weights_module, "has_kernel", lambda products=products: products)
        assert choose_precision(checkpoint, torch.device("cpu"), Precision.AUTO) is FP32


def test_a_processor_without_bf16_products_is_told_and_what_would_be_sooner(
    official: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights_module, "has_kernel", lambda: False)
    assert LocalEngine.open(str(official), CPU).about.advice == "", "small weights are fast anyway"
    monkeypatch.setattr(weights_module, "WORTH", 1)
    engine = LocalEngine.open(str(official), CPU)
    assert "`python -m qinsight convert MODEL --out DIR`" in str(engine.about.advice)
    host = Host(lambda progress: engine)
    host.load()
    assert "llama.cpp is made for such processors" in about_text(host)
    monkeypatch.setattr(weights_module, "has_kernel", lambda: True)
    assert LocalEngine.open(str(official), CPU).about.advice == ""


@pytest.mark.parametrize("precision", Precision)
def test_too_little_memory_is_refused_before_a_weight_is_read(
    official: Path, monkeypatch: pytest.MonkeyPatch, precision: Precision
) -> None:
    monkeypatch.setattr(weights_module, "free_memory", lambda _: 1000)
    sentence = refusal(lambda: loaded(official / "score_degradation", precision))
    assert "GB of free memory on the cpu device for score_degradation" in sentence
    assert "there are 0.0 GB" in sentence


def test_weights_stored_in_four_bits_are_refused_too_or_take_the_place_of_the_others(
    quantized: Path, monkeypatch: pytest.MonkeyPatch, fixture_requests: dict[str, Request]
) -> None:
    size = sum(file.stat().st_size for file in (quantized / "score_degradation").glob("*.safetensors"))
    monkeypatch.setattr(weights_module, "free_memory", lambda _: size - 1)
    assert "GB of free memory on the cpu device" in refusal(lambda: LocalEngine.open(str(quantized), CPU))

    engines: list[LocalEngine] = []  # with room for one part and a half
    monkeypatch.setattr(
        weights_module,
        "free_memory",
        lambda _: int(size * (1.5 - sum(len(engine._loaded) for engine in engines))),
    )
    engines.append(LocalEngine.open(str(quantized), CPU))
    said(engines[0], [fixture_requests["comparison"]], 2)
    assert list(engines[0]._loaded) == ["comparison"]


@pytest.mark.skipif(not weights_module.MAPS.exists(), reason="only Linux tells")
def test_weights_that_lie_in_their_file_still_are_not_taken_for_free_memory(
    quantized: Path, monkeypatch: pytest.MonkeyPatch, fixture_requests: dict[str, Request]
) -> None:
    """Linux counts them as available: two parts were loaded where one has room, and read from the disk at each word."""
    size = sum(file.stat().st_size for file in (quantized / "score_degradation").glob("*.safetensors"))
    monkeypatch.setattr(weights_module, "free_memory", lambda _: int(size * 1.5))
    engine = LocalEngine.open(str(quantized), CPU)
    assert 0.8 * size < weights_module.mapped_bytes(engine._weights("score_degradation")) <= size
    said(engine, [fixture_requests["comparison"]], 2)
    assert list(engine._loaded) == ["comparison"]


def test_a_device_that_is_not_here_is_refused() -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    assert "Expected a cuda device" in refusal(lambda: choose_device(Device.CUDA))
    assert choose_device(Device.AUTO).type in {"cpu", "mps"}
    assert choose_model(Device.AUTO) == "preview"


# --- writing 4 bits -------------------------------------------------------------------------------------------------


def test_a_written_nf4_checkpoint_is_loaded_as_such_and_answers_as_quantised_at_load(
    official: Path, quantized: Path, fixture_requests: dict[str, Request]
) -> None:
    requests = list(fixture_requests.values())
    at_load = LocalEngine.open(str(official), CPU, NF4)
    written = LocalEngine.open(str(quantized), CPU)
    assert written.about.precision == "nf4"
    assert said(written, requests) == said(at_load, requests)
    assert set(written.about.details) == set(PARTS), "both parts were asked"
    for name, request in (("score_degradation", requests[0]), ("comparison", requests[2])):
        logits = [first_logits(engine._weights(name), request) for engine in (at_load, written)]
        assert torch.equal(*logits)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, for weights that are large enough to be kept there."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(weights_module, "WORTH", 1)
    return tmp_path / "cache" / "qinsight" / "nf4"


def test_weights_are_quantised_once_and_kept(
    part: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, fixture_requests: dict[str, Request]
) -> None:
    request = fixture_requests["score"]
    made: list[int] = []
    config = weights_module.nf4_config
    monkeypatch.setattr(weights_module, "nf4_config", lambda: made.append(1) or config())
    told: list[str] = []
    (found,) = locate(str(part)).parts.values()
    first = load(found.fetch(), CPU, NF4, lambda words, done: told.append(str(words)))
    assert "Keeping the 4-bit weights of checkpoint for the next start" in told
    (kept,) = cache.iterdir()
    again = loaded(part, NF4)
    assert len(made) == 1
    assert torch.equal(first_logits(first, request), first_logits(again, request))
    assert again.checkpoint.folder == part

    (kept / "model.safetensors").unlink()  # the models in memory read it
    (kept / "model.safetensors").write_bytes(b"broken")
    assert torch.equal(first_logits(loaded(part, NF4), request), first_logits(again, request))
    assert len(made) == 2, "made again"

    file = next(file for file in part.glob("*.safetensors") if "model.norm.weight" in load_file(file))
    tensors = load_file(file)
    file.unlink()
    save_file(tensors | {"model.norm.weight": tensors["model.norm.weight"] * 2}, file, {"format": "pt"})
    other = first_logits(loaded(part, NF4), request)
    assert len(made) == 3, "other weights"
    assert not torch.equal(other, first_logits(again, request))
    (newer,) = cache.iterdir()
    assert newer != kept, "the older copy is gone"


def test_where_nothing_can_be_kept_weights_are_quantised_at_each_start(
    part: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.parent.parent.write_text("a file, where a folder is wanted")
    assert loaded(part, NF4).precision is NF4
    cache.parent.parent.unlink()
    full = shutil.disk_usage(part)._replace(free=10)
    monkeypatch.setattr(kept_module.shutil, "disk_usage", lambda _: full)
    assert loaded(part, NF4).precision is NF4
    assert not list(cache.iterdir())


def test_small_weights_and_those_in_full_are_not_kept(
    part: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded(part, Precision.BF16)
    monkeypatch.setattr(weights_module, "WORTH", 10**9)
    loaded(part, NF4)
    assert not cache.exists()


def test_a_written_nf4_checkpoint_keeps_what_stood_beside_the_weights(
    official: Path, quantized: Path
) -> None:
    for name in PARTS:
        for file in ("tokenizer.json", "preprocessor_config.json", "chat_template.json"):
            assert (quantized / name / file).read_bytes() == (official / name / file).read_bytes()
        settings = json.loads((quantized / name / "generation_config.json").read_text())
        assert settings["repetition_penalty"] == 1.05
        size = sum(file.stat().st_size for file in (quantized / name).glob("*.safetensors"))
        assert size < sum(file.stat().st_size for file in (official / name).glob("*.safetensors"))


def test_a_training_runs_leftovers_are_not_copied_and_its_card_is(part: Path, tmp_path: Path) -> None:
    (part / "optimizer.pt").write_bytes(b"large")
    (part / "qinsight.json").write_text('{"order": "photo_first"}')
    (folder,) = quantize(str(part), tmp_path / "out", CPU)
    assert not (folder / "optimizer.pt").exists()
    assert (folder / "qinsight.json").read_text() == '{"order": "photo_first"}'
    assert not (folder / "model.safetensors.index.json").exists()


@pytest.mark.parametrize("precision", [FP32, Precision.BF16])
def test_full_weights_cannot_be_had_from_4_bits(quantized: Path, precision: Precision) -> None:
    sentence = refusal(lambda: loaded(quantized / "comparison", precision))
    assert sentence == (
        f"comparison is stored in 4 bits (nf4); expected --precision auto or nf4, got {precision}."
    )


def test_another_quantisation_than_ours_is_refused(part: Path) -> None:
    config = json.loads((part / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "awq", "bits": 4}
    (part / "config.json").write_text(json.dumps(config))
    assert "quantised by 'awq'" in refusal(lambda: loaded(part))


def test_quantising_onto_something_is_refused_and_leaves_it_alone(part: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious").write_text("x")
    assert "does not exist yet" in refusal(lambda: quantize(str(part), tmp_path / "out", CPU))
    assert (tmp_path / "out" / "precious").read_text() == "x"


def test_quantising_to_an_impossible_place_is_one_sentence(part: Path) -> None:
    for out in (part / "config.json" / "out", part / "config.json" / "deeper" / "out"):
        assert f"cannot be written to {out}" in refusal(lambda out=out: quantize(str(part), out, CPU))


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_an_interrupted_quantisation_leaves_nothing(
    official: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    """The first part is written, the second fails half way."""
    copies = 0
    real = shutil.copyfile

    def fail_late(*args: Any) -> object:
        nonlocal copies
        copies += 1
        if copies > 10:
            raise failure
        return real(*args)

    monkeypatch.setattr(weights_module.shutil, "copyfile", fail_late)
    out = tmp_path / "there" / "out"
    expected = EngineError if isinstance(failure, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        quantize(str(official), out, CPU)
    assert copies == 11
    assert list(out.parent.iterdir()) == []


def test_an_out_that_appears_meanwhile_is_not_overwritten(
    part: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"

    def squat(words: str, done: float | None) -> None:
        if words.startswith("Writing"):
            out.mkdir()
            (out / "precious").write_text("x")

    assert "cannot be written" in refusal(lambda: quantize(str(part), out, CPU, squat))
    assert [file.name for file in out.iterdir()] == ["precious"]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["checkpoint", "out"]


# --- adapters -----------------------------------------------------------------------------------------------------


@pytest.fixture
def adapter(part: Path, tmp_path: Path) -> Path:
    """A LoRA adapter of the fixture model, as peft writes it, that changes what the model says."""
    torch.manual_seed(0)
    config = LoraConfig(r=4, target_modules=r".*language_model.*\.(q_proj|v_proj|down_proj)")
    model = get_peft_model(loaded(part).model, config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_(0, 0.2)
    model.save_pretrained(tmp_path / "adapter")
    settings = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    settings["base_model_name_or_path"] = str(part)
    (tmp_path / "adapter" / "adapter_config.json").write_text(json.dumps(settings))
    return tmp_path / "adapter"


def test_an_adapter_merged_into_its_base_gives_the_logits_of_peft(
    adapter: Path, part: Path, fixture_requests: dict[str, Request]
) -> None:
    request = fixture_requests["score"]
    base = loaded(part)
    plain = first_logits(base, request)
    merged = first_logits(loaded(adapter), request)
    PeftModel.from_pretrained(base.model, adapter).eval()  # puts its layers inside the base
    beside = first_logits(base, request)
    assert (merged - beside).abs().max() < 1e-4
    assert (merged - plain).abs().max() > 0.1


def test_an_adapter_is_asked_like_any_model_also_on_4_bits(
    adapter: Path, part: Path, fixture_requests: dict[str, Request]
) -> None:
    request = fixture_requests["score"]
    for precision in (FP32, NF4):
        with_adapter = LocalEngine.open(str(adapter), CPU, precision)
        without = LocalEngine.open(str(part), CPU, precision)
        assert with_adapter.about.name == "adapter"
        assert said(with_adapter, [request]) != said(without, [request])


def test_an_adapter_cannot_be_quantised(adapter: Path, tmp_path: Path) -> None:
    assert "adapter is an adapter" in refusal(lambda: quantize(str(adapter), tmp_path / "out", CPU))
    assert not (tmp_path / "out").exists()


def truncated(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def of_another_rank(file: Path) -> None:
    save_file({name: weight[:2] for name, weight in load_file(file).items()}, file)


def of_other_names(file: Path) -> None:
    save_file({name.replace("layers", "stories"): w for name, w in load_file(file).items()}, file)


def of_fewer_layers(file: Path) -> None:
    save_file({name: weight for name, weight in load_file(file).items() if "layers.0" not in name}, file)


def emptied(file: Path) -> None:
    save_file({}, file)


@pytest.mark.parametrize("damage", [truncated, of_another_rank, of_other_names, of_fewer_layers, emptied])
def test_a_broken_adapter_is_one_sentence_and_never_the_base_in_its_name(
    adapter: Path, damage: Callable[[Path], None]
) -> None:
    damage(adapter / "adapter_model.safetensors")
    assert refusal(lambda: loaded(adapter)).startswith("The adapter adapter ")


# --- broken checkpoints -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 7, 1000, -100])
def test_a_truncated_weight_file_is_one_sentence(part: Path, size: int) -> None:
    file = part / "model-00002-of-00004.safetensors"
    file.write_bytes(file.read_bytes()[:size])
    sentence = refusal(lambda: loaded(part))
    assert "model-00002-of-00004.safetensors of checkpoint is damaged or incomplete" in sentence


def test_a_truncated_nf4_file_is_one_sentence(quantized: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(quantized / "comparison", tmp_path / "cut")
    (file,) = folder.glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:3000])
    assert refusal(lambda: loaded(folder, Precision.AUTO)).startswith(
        "The file model.safetensors of cut is damaged"
    )


def changed(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_weights_that_are_not_all_there_are_refused_and_never_made_up(part: Path) -> None:
    changed(part / "config.json", num_hidden_layers=4)
    assert "12 are missing, the first model.language_model.layers.3" in refusal(lambda: loaded(part))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"hidden_size": 128}, "The weights of checkpoint cannot be loaded"),
        ({"hidden_size": "wide"}, "The weights of checkpoint cannot be loaded"),
        ({"vision_config": 5}, "The file config.json of checkpoint is damaged"),
    ],
)
def test_a_config_that_does_not_belong_to_the_weights_is_one_sentence(
    part: Path, changes: dict[str, Any], told: str
) -> None:
    changed(part / "config.json", **changes)
    assert refusal(lambda: loaded(part)).startswith(told)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("tokenizer.json", "{}"),
        ("tokenizer.json", '{"model": 5}'),
        ("tokenizer.json", "[]"),
        ("preprocessor_config.json", "[]"),
        ("preprocessor_config.json", "{"),
    ],
)
def test_a_broken_tokenizer_or_processor_is_one_sentence(part: Path, file: str, content: str) -> None:
    (part / file).write_text(content)
    assert "checkpoint" in refusal(lambda: loaded(part))


def test_a_chat_template_may_stand_in_a_file_of_its_own_and_must_stand_somewhere(
    part: Path, fixture_requests: dict[str, Request]
) -> None:
    settings = json.loads((part / "tokenizer_config.json").read_text())
    template = settings.pop("chat_template")
    (part / "tokenizer_config.json").write_text(json.dumps(settings))
    assert json.loads((part / "chat_template.json").read_text())["chat_template"] == template
    assert loaded(part).chat_template == template
    (part / "chat_template.json").write_text("{")
    assert "chat_template.json of checkpoint" in refusal(lambda: loaded(part))
    (part / "chat_template.json").unlink()
    assert "Expected a chat template in checkpoint" in refusal(lambda: loaded(part))
    (part / "chat_template.jinja").write_text(template)
    assert loaded(part).chat_template == template


def test_the_progress_of_loading_is_told(official: Path) -> None:
    told: list[tuple[str, float | None]] = []
    checkpoint = locate(str(official)).parts["comparison"].fetch()
    load(checkpoint, CPU, FP32, lambda words, done: told.append((words, done)))
    assert {words for words, _ in told} == {"Loading official_layout/comparison"}
    shares = [done for _, done in told if done is not None]
    assert shares == sorted(shares)
    assert len(shares) > 3
    assert all(0 <= done <= 1 for done in shares)


@pytest.mark.parametrize(
    ("cuda", "error", "reason"),
    [
        (None, None, "this torch (2.0.0+cpu) is one without CUDA"),
        (
            "13.0",
            RuntimeError("The NVIDIA driver on your system is too old\nand more"),
            "driver on your system",
        ),
        ("13.0", None, "CUDA finds none"),
    ],
)
def test_a_gpu_that_is_there_and_cannot_be_used_is_told_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cuda: str | None, error: Exception | None, reason: str
) -> None:
    def init() -> None:
        if error:
            raise error

    monkeypatch.setattr("qinsight.engines.weights.NVIDIA", ())
    assert idle_gpu() == ""  # as on a machine that has none
    monkeypatch.setattr("qinsight.engines.weights.NVIDIA", (tmp_path,))
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torch, "__version__", "2.0.0+cpu")
    monkeypatch.setattr(torch.cuda, "init", init)
    assert reason in idle_gpu()
    assert "\n" not in idle_gpu()
    assert idle_gpu(Device.CPU) == ""
    engine = LocalEngine.open("auto")
    host = Host(lambda progress: engine)
    host.load()
    assert headline(host).startswith(
        f"A GPU was expected and could not be used because {idle_gpu()}. Preview"
    )
