"""From a checkpoint on disk to a model in memory: device, precision, quantisation, adapters."""

import gc
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import (
    AutoTokenizer,
    BitsAndBytesConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessorPil,
)
from transformers.processing_utils import ProcessorMixin
from transformers.utils import logging as transformers_logging

from qinsight.engines.checkpoint import (
    INDEX,
    PUBLISHED,
    PUBLISHED_PARAMETERS,
    Checkpoint,
    Device,
    Precision,
    Progress,
    damaged,
    locate,
    read_json,
    silent,
)
from qinsight.engines.gauge import QUESTION
from qinsight.engines.kept import SIZE, WORTH, keep, kept_folder
from qinsight.engines.products import has_kernel
from qinsight.errors import EngineError
from qinsight.photos.view import TOKEN
from qinsight.requests import BATCH, Sampling
from qinsight.sentence import Sentence
from qinsight.whole_files import whole_folder

BYTES_PER_PARAMETER = {
    Precision.FP32: 4.0,
    Precision.BF16: 2.0,
    # the language model's linear layers at half a byte and a bit, embeddings, head and vision tower in bf16
    Precision.NF4: SIZE,
}
HEADROOM = 1.5e9  # bytes on a GPU beside the weights: CUDA's own, activations, the cache of one conversation

# What transformers, peft and safetensors raise at files that are damaged or do not belong together.
_BROKEN = (
    OSError,
    ValueError,
    RuntimeError,
    KeyError,
    TypeError,
    AttributeError,
    SafetensorError,
    StrictDataclassError,
)

# The vision tower and the head stay in full precision. "visual" alone would match nothing: the names are
# compared from their start, and naming any module drops transformers' own protection of lm_head.
NF4_SKIP = ["model.visual", "lm_head"]


# where the system has its driver; on Linux only, where the wheel of torch may be one without CUDA
NVIDIA = (Path("/proc/driver/nvidia/version"), Path("/dev/nvidiactl"), Path("/dev/dxg"))
MAPS = Path("/proc/self/maps")  # which files are where in this process, on Linux


class DoesNotFit(EngineError):
    """There is not enough memory for these weights beside what is there already."""


@dataclass(frozen=True)
class Weights:
    """A model ready to be asked, with all that belongs to it."""

    checkpoint: Checkpoint
    model: Any
    tokenizer: Any
    image_processor: Any
    chat_template: str
    device: torch.device
    precision: Precision

    def template(self, messages: list[dict[str, Any]]) -> str:
        """The conversation as one text, up to where the model begins to speak."""
        return str(
            self.tokenizer.apply_chat_template(
                messages, chat_template=self.chat_template, tokenize=False, add_generation_prompt=True
            )
        )

    @property
    def memory_bytes(self) -> int:
        return int(self.model.get_memory_footprint())


def choose_model(device: Device = Device.AUTO) -> str:
    """What `--model auto` means here: the published weights where a GPU has room for them, else the preview."""
    if device in (Device.AUTO, Device.CUDA) and torch.cuda.is_available():
        needed = PUBLISHED_PARAMETERS * BYTES_PER_PARAMETER[Precision.NF4] + HEADROOM
        if free_memory(torch.device("cuda")) >= needed:
            return PUBLISHED
    return "preview"


def idle_gpu(device: Device = Device.AUTO) -> str:
    """Why an NVIDIA GPU of this machine cannot hold the published weights, in words; empty where it has none, or can."""
    if device not in (Device.AUTO, Device.CUDA) or not any(place.exists() for place in NVIDIA):
        return ""
    if torch.version.cuda is None:
        return f"this torch ({torch.__version__}) is one without CUDA"
    if not torch.cuda.is_available():
        try:
            torch.cuda.init()
        except (RuntimeError, AssertionError) as error:
            return str(error).partition("\n")[0]
        return "CUDA finds none"
    needed = PUBLISHED_PARAMETERS * BYTES_PER_PARAMETER[Precision.NF4] + HEADROOM
    free = free_memory(torch.device("cuda"))
    return (
        f"{free / 1e9:.1f} GB of its memory are free, {needed / 1e9:.1f} are needed" if free < needed else ""
    )


def advice(weights: "Weights") -> Sentence:
    """What would answer sooner than these weights on a processor that has no instructions for them."""
    if weights.device.type != "cpu" or parameter_count(weights.checkpoint) < WORTH or has_kernel():
        return Sentence("")
    return Sentence(
        "This processor has no bf16 products (AVX512-BF16), so {name} answers slowly on it. llama.cpp is made for such "
        "processors: `python -m qinsight convert MODEL --out DIR`, then --model DIR.",
        name=weights.checkpoint.name,
    )


def choose_device(device: Device) -> torch.device:
    """The torch device, `EngineError` where this machine has none of the kind."""
    found = {
        Device.CUDA: torch.cuda.is_available(),
        Device.MPS: torch.backends.mps.is_available(),
        Device.CPU: True,
    }
    if device is Device.AUTO:
        device = next(kind for kind, here in found.items() if here)
    if not found[device]:
        here = ", ".join(kind for kind, present in found.items() if present)
        raise EngineError(
            "Expected a {device} device; this machine and its torch offer {here}.", device=device, here=here
        )
    return torch.device(str(device))


def free_memory(device: torch.device) -> int:
    """Bytes that a model may still take on the device."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info()[0])
    return int(psutil.virtual_memory().available)


def mapped_bytes(weights: "Weights") -> int:
    """Bytes of weights that lie in their file still: the system counts them as free, since it can read them again."""
    if weights.device.type != "cpu" or not MAPS.exists():
        return 0
    lines = [line.split(maxsplit=5) for line in MAPS.read_text().splitlines()]
    files = [line[0].split("-") for line in lines if len(line) == 6 and line[5].endswith(".safetensors")]
    spans = [(int(first, 16), int(last, 16)) for first, last in files]
    return sum(
        int(weight.nbytes)
        for weight in weights.model.parameters()
        if any(first <= weight.data_ptr() < last for first, last in spans)
    )


def batch_for(weights: Weights) -> int:
    """How many photos, both questions about each, a GPU has room for beside the weights; elsewhere `BATCH`."""
    if weights.device.type != "cuda":
        return BATCH
    words = weights.model.config.get_text_config()
    size = 4 if weights.precision is Precision.FP32 else 2
    head = words.hidden_size // words.num_attention_heads
    read = weights.checkpoint.max_pixels // TOKEN**2 + QUESTION
    kept = (read + Sampling().max_new_tokens) * 2 * words.num_hidden_layers * words.num_key_value_heads * head
    alive = read * (words.hidden_size * 10 + words.intermediate_size * 3)
    # both twice: where they are copied, the old and the new; two questions
    room = free_memory(weights.device) + torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
    return max(1, min(2 * BATCH, int(room / (2 * size * (2 * kept + alive)))))


def load(
    checkpoint: Checkpoint,
    device: Device = Device.AUTO,
    precision: Precision = Precision.AUTO,
    progress: Progress = silent,
    held: int = 0,
) -> Weights:
    """Read the weights into memory; `EngineError` where they do not fit or are broken.

    `held`: bytes that are counted as free and are not, see `mapped_bytes`.
    """
    place = choose_device(device)
    stored = stored_precision(checkpoint)
    precision = choose_precision(checkpoint, place, precision, held)
    source = checkpoint.base or checkpoint
    making = precision is Precision.NF4 and stored is not Precision.NF4
    kept = None
    if making and place.type == "cpu" and parameter_count(checkpoint) >= WORTH:
        kept = kept_folder(source)
        making = not kept.is_dir()
    options: dict[str, Any] = {
        "dtype": torch.float32 if precision is Precision.FP32 else torch.bfloat16,
        "attn_implementation": "sdpa",
    }
    if place.type != "cpu" or precision is Precision.NF4:
        options["device_map"] = {"": str(place)}
    if making:
        options["quantization_config"] = nf4_config()
    folder = kept if kept and not making else source.folder
    try:
        with _watched(Sentence("Loading {name}", name=checkpoint.name), progress):
            model, report = Qwen2_5_VLForConditionalGeneration.from_pretrained(
                folder, local_files_only=True, output_loading_info=True, **options
            )
    except torch.OutOfMemoryError as error:
        raise DoesNotFit(
            "The {device} device ran out of memory while loading {name}. Close what else uses it, or try "
            "--precision nf4, --device cpu or --model preview.",
            device=place.type,
            name=checkpoint.name,
        ) from error
    except (*_BROKEN, ImportError) as error:
        if folder != source.folder:  # a copy that something has broken is made again
            shutil.rmtree(folder, ignore_errors=True)
            if not folder.exists():
                return load(checkpoint, device, precision, progress, held)
        raise EngineError(
            "The weights of {name} cannot be loaded: {cause}", name=checkpoint.name, cause=_first_line(error)
        ) from error
    if missing := sorted(report["missing_keys"]):  # transformers only warns, and makes them up
        raise EngineError(
            "Expected all weights that config.json describes in {name}; {count} are missing, the first {first}.",
            name=checkpoint.name,
            count=len(missing),
            first=missing[0],
        )
    if kept and making:
        doing = Sentence("Keeping the 4-bit weights of {name} for the next start", name=checkpoint.name)
        with _watched(doing, progress):
            keep(model, kept, SIZE * parameter_count(checkpoint))
    if precision is Precision.NF4 and place.type == "cpu":
        _pack_whole_blocks_only(model)
    if checkpoint.base is not None:
        model = _with_adapter(model, checkpoint, merge=precision is not Precision.NF4)
    model.eval().requires_grad_(False)
    processor = load_processor(checkpoint.folder if _has_tokenizer(checkpoint) else source.folder)
    return Weights(
        checkpoint=checkpoint,
        model=model,
        tokenizer=processor.tokenizer,
        image_processor=processor.image_processor,
        chat_template=processor.chat_template,
        device=place,
        precision=precision,
    )


def choose_precision(
    checkpoint: Checkpoint, place: torch.device, wanted: Precision, held: int = 0
) -> Precision:
    """The precision to load in, `EngineError` where it is impossible or does not fit."""
    stored = stored_precision(checkpoint)
    if stored is Precision.NF4:
        if wanted not in (Precision.AUTO, Precision.NF4):
            raise EngineError(
                "{name} is stored in 4 bits (nf4); expected --precision auto or nf4, got {wanted}.",
                name=checkpoint.name,
                wanted=wanted,
            )
        wanted = Precision.NF4
    count = parameter_count(checkpoint)
    free = free_memory(place) - held

    def needs(precision: Precision) -> float:
        size = count * BYTES_PER_PARAMETER[precision]
        if stored is Precision.NF4:  # counted in bytes that hold two weights each
            size = sum(file.stat().st_size for file in (checkpoint.base or checkpoint).weight_files)
        return size + (HEADROOM if place.type == "cuda" else 0)

    if wanted is Precision.AUTO:
        on_cpu: tuple[Precision, ...] = (Precision.FP32, Precision.BF16, Precision.NF4)
        if count >= WORTH and stored is Precision.BF16 and has_kernel():
            on_cpu = (Precision.BF16, Precision.NF4)  # exact, and twice as fast as in fp32
        order = {"cuda": (Precision.BF16, Precision.NF4), "cpu": on_cpu}.get(place.type, (Precision.BF16,))
        # a tenth to spare: generation needs room beside the weights
        wanted = next((choice for choice in order if needs(choice) * 1.1 <= free), order[-1])
    if needs(wanted) > free:
        raise DoesNotFit(
            "Expected about {size:.1f} GB of free memory on the {device} device for {name} in {wanted}; there are "
            "{free:.1f} GB. Close what else uses it, or try --precision nf4, --model preview, or --endpoint with a "
            "server that holds it.",
            size=needs(wanted) / 1e9,
            device=place.type,
            name=checkpoint.name,
            wanted=wanted,
            free=free / 1e9,
        )
    return wanted


def stored_precision(checkpoint: Checkpoint) -> Precision:
    """What the files hold; another quantisation than ours is refused."""
    folder = (checkpoint.base or checkpoint).folder
    config = read_json(folder / "config.json")
    quantisation = config.get("quantization_config")
    if isinstance(quantisation, dict):
        if quantisation.get("quant_method") == "bitsandbytes" and quantisation.get("load_in_4bit"):
            return Precision.NF4
        raise EngineError(
            "Expected full weights or 4-bit bitsandbytes in {name}; they are quantised by {method}.",
            name=checkpoint.name,
            method=repr(quantisation.get("quant_method")),
        )
    stored = str(config.get("dtype") or config.get("torch_dtype") or "float32")
    return Precision.FP32 if stored == "float32" else Precision.BF16


def parameter_count(checkpoint: Checkpoint) -> int:
    """How many weights the files hold, from the headers of the safetensors files."""
    from math import prod

    from safetensors import safe_open

    total = 0
    for file in (checkpoint.base or checkpoint).weight_files:
        try:
            with safe_open(file, framework="pt") as opened:
                total += sum(prod(opened.get_slice(name).get_shape()) for name in opened.keys())  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise damaged(file.name, checkpoint.name, _first_line(error)) from error
    return total


def nf4_config() -> BitsAndBytesConfig:
    """NF4 with double quantisation, computing in bf16; the same on every device."""
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
        llm_int8_skip_modules=NF4_SKIP,
    )


def _pack_whole_blocks_only(model: Any) -> None:
    """Spare layers of odd sizes the packing for AVX-512, in which bitsandbytes 0.50 fails at their first use."""
    from bitsandbytes.nn import Linear4bit

    for module in model.modules():
        if isinstance(module, Linear4bit) and (module.in_features % 64 or module.out_features % 32):
            module.support_avx512bf16_for_cpu = False


# It names an optional faster kernel for CPUs on every start; there is nothing a person has to do.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)


class ImageOnlyProcessor(Qwen2_5_VLProcessor):
    """Qwen2.5-VL's processor without its video half, which needs torchvision.

    Dropping the argument is what drops the half: the base class reads this signature.
    """

    def __init__(
        self, image_processor: Any = None, tokenizer: Any = None, chat_template: Any = None, **kwargs: Any
    ) -> None:
        self.image_token, self.video_token = "<|image_pad|>", "<|video_pad|>"
        self.image_token_id = tokenizer.convert_tokens_to_ids(self.image_token)
        self.video_token_id = tokenizer.convert_tokens_to_ids(self.video_token)
        ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template)


ImageOnlyProcessor.__name__ = "Qwen2_5_VLProcessor"  # what checkpoints written with it name as their class


def load_processor(folder: Path | str) -> ImageOnlyProcessor:
    """The tokenizer, chat template and image processor of a checkpoint, left-padding, without torchvision."""
    folder = Path(folder)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left", local_files_only=True)
        image_processor = Qwen2VLImageProcessorPil.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # the Rust of tokenizers raises bare Exceptions for a broken file
        raise EngineError(
            "The tokenizer or image processor of {folder} cannot be read: {cause}",
            folder=folder.name,
            cause=_first_line(error),
        ) from error
    template = tokenizer.chat_template or _chat_template(folder)
    return ImageOnlyProcessor(image_processor, tokenizer, chat_template=template)


def _chat_template(folder: Path) -> str:
    """The template from its own file, where older and newer savers put it."""
    if (folder / "chat_template.jinja").exists():
        return (folder / "chat_template.jinja").read_text(encoding="utf-8")
    if (folder / "chat_template.json").exists():
        return str(read_json(folder / "chat_template.json").get("chat_template", ""))
    raise EngineError("Expected a chat template in {folder}; there is none.", folder=folder.name)


def quantize(model: str, out: Path, device: Device = Device.AUTO, progress: Progress = silent) -> list[Path]:
    """Write an NF4 checkpoint of every part of `model` into `out`, which must not exist yet.

    It is written beside its place and moved there when it is whole, so that an interrupted run leaves
    nothing that looks like a checkpoint.
    """
    if out.exists():
        raise EngineError("Expected a folder that does not exist yet; {out} does.", out=out)
    found = locate(model, progress)
    try:
        with whole_folder(out) as draft:
            for subfolder, part in found.parts.items():
                checkpoint = part.fetch(progress)
                if checkpoint.base is not None:
                    raise EngineError(
                        "Expected full weights to quantise; {name} is an adapter. Merge it into its base first.",
                        name=part.name,
                    )
                weights = load(checkpoint, device, Precision.NF4, progress)
                _write(weights, draft / subfolder, progress)
                del weights
                free_cached_memory()
    except (OSError, SafetensorError) as error:
        raise EngineError(
            "The checkpoint cannot be written to {out}: {cause}", out=out, cause=_first_line(error)
        ) from error
    return [out / subfolder for subfolder in found.parts]


def _write(weights: Weights, folder: Path, progress: Progress) -> None:
    with _watched(Sentence("Writing {name}", name=weights.checkpoint.name), progress):
        weights.model.save_pretrained(folder)
    # tokenizer, processor, template, qinsight.json: byte for byte; not a training run's optimiser
    for file in weights.checkpoint.folder.iterdir():
        beside = file.suffix in {".json", ".txt", ".jinja", ".md", ""} and file.name != INDEX
        if file.is_file() and beside and not (folder / file.name).exists():
            shutil.copyfile(file, folder / file.name)


def free_cached_memory() -> None:
    """Give back what a dropped model held."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _with_adapter(model: Any, checkpoint: Checkpoint, *, merge: bool) -> Any:
    from peft import PeftModel, get_peft_model_state_dict
    from safetensors import safe_open

    try:
        with safe_open(checkpoint.folder / "adapter_model.safetensors", framework="pt") as opened:
            stored = set(opened.keys())
        adapted = PeftModel.from_pretrained(model, checkpoint.folder)
    except _BROKEN as error:
        raise EngineError(
            "The adapter {name} does not fit its base model: {cause}",
            name=checkpoint.name,
            cause=_first_line(error),
        ) from error
    # peft only warns, and the base model would answer in the adapter's name
    if missing := sorted(get_peft_model_state_dict(adapted, save_embedding_layers=False).keys() - stored):
        raise EngineError(
            "The adapter {name} lacks {count} of its tensors, the first {first}.",
            name=checkpoint.name,
            count=len(missing),
            first=missing[0],
        )
    # In 4 bits a merge would round the adapter away: it stays beside the weights, inside the same modules.
    return adapted.merge_and_unload() if merge else adapted.get_base_model()


def _has_tokenizer(checkpoint: Checkpoint) -> bool:
    names = ("tokenizer.json", "preprocessor_config.json")
    return all((checkpoint.folder / name).exists() for name in names) or (
        (checkpoint.folder / "tokenizer.json").exists()
        and (checkpoint.folder / "processor_config.json").exists()
    )


@contextmanager
def _watched(words: Sentence, progress: Progress) -> Iterator[None]:
    """Tell `progress` how many of the tensors are in place; transformers would draw a bar."""

    class Count:
        def __init__(self, items: Any, total: int) -> None:
            self.items, self.total = items, total

        def __iter__(self) -> Iterator[Any]:
            for number, item in enumerate(self.items):
                progress(words, number / max(1, self.total))
                yield item

    def hook(factory: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        items = args[0] if args else kwargs.get("iterable")
        if items is None or not hasattr(items, "__len__"):
            return factory(*args, **{**kwargs, "disable": True})
        return Count(items, len(items))

    progress(words, None)
    previous = transformers_logging.set_tqdm_hook(hook)
    try:
        yield
    finally:
        transformers_logging.set_tqdm_hook(previous)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
