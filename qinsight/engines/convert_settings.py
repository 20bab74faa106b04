"""What llama.cpp must know beside the weights: sizes, tokens, the chat template; and which weights there are."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qinsight.engines.checkpoint import PROCESSOR_FILES, Checkpoint, damaged, read_json
from qinsight.engines.gguf_header import MOST_PIXELS, PENALTY
from qinsight.errors import EngineError

NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5  # what llama.cpp tells tokens apart by
LONGEST = 65_536  # tokens; to llama.cpp it is a bound and nothing else, and we have none
MOST, MOST_LAYERS = 2**20, 2**10  # of any size that config.json tells; no model has as many
# The one way in which llama.cpp cuts texts for models of this family.
_CUTS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
# What it computes in one way only; the names of config.json and of preprocessor_config.json.
_FIXED = {
    "hidden_act": "silu",
    "use_sliding_window": False,
    "window_size": 112,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
    "in_channels": 3,
}


@dataclass(frozen=True)
class Config:
    """The config.json of a checkpoint, in the layouts of older and newer savers."""

    name: str
    whole: dict[str, Any]

    def __post_init__(self) -> None:
        for part in ("text_config", "vision_config"):
            if not isinstance(found := self.whole.get(part, {}), dict):
                raise self.strange(part, "an object", found)

    def strange(self, setting: str, expected: str, found: object) -> EngineError:
        return _strange(setting, expected, "config.json", self.name, found)

    def words(self, setting: str, otherwise: Any = None) -> Any:
        """A setting of the language model."""
        return self.whole.get("text_config", {}).get(setting, self.whole.get(setting, otherwise))

    def eyes(self, setting: str, otherwise: Any = None) -> Any:
        """A setting of the vision tower."""
        return self.whole.get("vision_config", {}).get(setting, otherwise)

    def number(self, setting: str, *, eyes: bool = False) -> int:
        found = self.eyes(setting) if eyes else self.words(setting)
        most = MOST_LAYERS if setting in ("num_hidden_layers", "depth") else MOST
        if not _is_whole(found, 1, most):
            raise self.strange(setting, f"a whole number from 1 to {most}", found)
        return int(found)

    def size(self, setting: str, found: Any) -> float:
        """The number of any kind that is `found` there, above 0."""
        if not _is_number(found) or found <= 0:
            raise self.strange(setting, "a number above 0", found)
        return float(found)

    @property
    def rope(self) -> dict[str, Any]:
        found = self.words("rope_parameters") or self.words("rope_scaling") or {}
        if not isinstance(found, dict):
            raise self.strange("rope_scaling", "an object", found)
        return found

    @property
    def tied(self) -> bool:
        return bool(self.words("tie_word_embeddings", False))


def read_config(checkpoint: Checkpoint) -> Config:
    """The config of a checkpoint that llama.cpp computes as we do; `EngineError` if it would not."""
    config = Config(checkpoint.name, read_json(checkpoint.folder / "config.json"))
    for setting, only in _FIXED.items():
        for found in (config.whole.get("text_config", config.whole).get(setting), config.eyes(setting)):
            if found is not None and found != only:
                raise _cannot(config, setting, only, found)
    if window_pattern(config) is None:
        found = config.eyes("fullatt_block_indexes")
        raise _cannot(config, "fullatt_block_indexes", "every n-th block", found)
    return config


def _strange(setting: str, expected: str, file: str, name: str, found: object) -> EngineError:
    return EngineError(
        "Expected {setting} as {expected} in {file} of {name}, got {found}.",
        setting=setting,
        expected=expected,
        file=file,
        name=name,
        found=repr(found)[:60],
    )


def _is_whole(found: object, least: int, most: int) -> bool:
    return isinstance(found, int) and not isinstance(found, bool) and least <= found <= most


def _is_number(found: object) -> bool:
    """Whether llama.cpp can hold it: in 32 bits."""
    return isinstance(found, int | float) and not isinstance(found, bool) and math.fabs(found) < 3e38


def _cannot(config: Config, setting: str, only: Any, found: Any) -> EngineError:
    return EngineError(
        "Expected {setting} {only}, as llama.cpp computes with; {name} has {found}.",
        setting=setting,
        only=only,
        name=config.name,
        found=found,
    )


def window_pattern(config: Config) -> int | None:
    """Every how manyth block of the vision tower looks at the whole photo; None where they are not evenly spread."""
    depth = config.number("depth", eyes=True)
    whole = config.eyes("fullatt_block_indexes", [7, 15, 23, 31])
    if not isinstance(whole, list) or not all(_is_whole(block, 0, depth) for block in whole):
        return None
    whole = sorted(whole)
    every = whole[0] + 1 if whole else depth + 1
    return every if whole == [block for block in range(depth) if (block + 1) % every == 0] else None


def word_shapes(config: Config) -> dict[str, tuple[int, ...]]:
    """The tensors of the language model, by the names of the checkpoint."""
    width, inner = config.number("hidden_size"), config.number("intermediate_size")
    heads, shared = config.number("num_attention_heads"), config.number("num_key_value_heads")
    narrow = width // heads * shared
    vocabulary = config.number("vocab_size")
    found: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (vocabulary, width)}
    for layer in range(config.number("num_hidden_layers")):
        at = f"model.layers.{layer}"
        found |= {f"{at}.input_layernorm.weight": (width,), f"{at}.post_attention_layernorm.weight": (width,)}
        for letter, size in (("q", width), ("k", narrow), ("v", narrow)):
            found[f"{at}.self_attn.{letter}_proj.weight"] = (size, width)
            found[f"{at}.self_attn.{letter}_proj.bias"] = (size,)
        found[f"{at}.self_attn.o_proj.weight"] = (width, width)
        found |= {f"{at}.mlp.{name}_proj.weight": (inner, width) for name in ("gate", "up")}
        found[f"{at}.mlp.down_proj.weight"] = (width, inner)
    found["model.norm.weight"] = (width,)
    return found if config.tied else {**found, "lm_head.weight": (vocabulary, width)}


def eye_shapes(config: Config) -> dict[str, tuple[int, ...]]:
    """The tensors of the vision tower, by the names of the checkpoint."""
    width, inner = config.number("hidden_size", eyes=True), config.number("intermediate_size", eyes=True)
    patch, merged = config.number("patch_size", eyes=True), width * 4
    found: dict[str, tuple[int, ...]] = {"visual.patch_embed.proj.weight": (width, 3, 2, patch, patch)}
    for block in range(config.number("depth", eyes=True)):
        at = f"visual.blocks.{block}"
        found |= {f"{at}.norm{number}.weight": (width,) for number in (1, 2)}
        sizes = {
            "attn.qkv": (3 * width, width),
            "attn.proj": (width, width),
            "mlp.gate_proj": (inner, width),
            "mlp.up_proj": (inner, width),
            "mlp.down_proj": (width, inner),
        }
        for name, size in sizes.items():
            found |= {f"{at}.{name}.weight": size, f"{at}.{name}.bias": size[:1]}
    found["visual.merger.ln_q.weight"] = (width,)
    for number, size in ((0, (merged, merged)), (2, (config.number("hidden_size"), merged))):
        found |= {f"visual.merger.mlp.{number}.weight": size, f"visual.merger.mlp.{number}.bias": size[:1]}
    return found


def word_settings(writer: Any, checkpoint: Checkpoint, config: Config) -> None:
    """What the file of the language model says before its weights."""
    writer.add_block_count(config.number("num_hidden_layers"))
    writer.add_context_length(max(config.number("max_position_embeddings"), LONGEST))
    writer.add_embedding_length(config.number("hidden_size"))
    writer.add_feed_forward_length(config.number("intermediate_size"))
    writer.add_head_count(config.number("num_attention_heads"))
    writer.add_head_count_kv(config.number("num_key_value_heads"))
    writer.add_layer_norm_rms_eps(config.size("rms_norm_eps", config.words("rms_norm_eps", 1e-6)))
    theta = config.rope.get("rope_theta") or config.words("rope_theta", 1e6)
    writer.add_rope_freq_base(config.size("rope_theta", theta))
    sections = config.rope.get("mrope_section")
    if not isinstance(sections, list) or not all(_is_whole(size, 0, MOST) for size in sections):
        raise _cannot(config, "mrope_section", "a list of numbers", sections)
    writer.add_rope_dimension_sections([*sections, 0, 0, 0, 0][:4])
    _tokens(writer, checkpoint, config)
    # Not a setting of the model but of how it is asked; llama.cpp reads it, and so do we.
    writer.add_float32(PENALTY, _penalty(checkpoint))


def eye_settings(writer: Any, checkpoint: Checkpoint, config: Config) -> None:
    """What the file of the vision tower says before its weights."""
    processor = _processor(checkpoint)
    writer.add_clip_has_vision_encoder(True)
    writer.add_string("clip.projector_type", "qwen2.5vl_merger")
    writer.add_bool("clip.use_silu", True)
    writer.add_uint32("clip.vision.image_size", 560)  # it takes photos of any size, and wants a number
    writer.add_uint32("clip.vision.patch_size", config.number("patch_size", eyes=True))
    writer.add_uint32("clip.vision.embedding_length", config.number("hidden_size", eyes=True))
    writer.add_uint32("clip.vision.feed_forward_length", config.number("intermediate_size", eyes=True))
    writer.add_uint32("clip.vision.block_count", config.number("depth", eyes=True))
    writer.add_uint32("clip.vision.attention.head_count", config.number("num_heads", eyes=True))
    writer.add_float32("clip.vision.attention.layer_norm_epsilon", 1e-6)
    writer.add_uint32("clip.vision.projection_dim", config.number("hidden_size"))
    writer.add_uint32("clip.vision.n_wa_pattern", window_pattern(config) or 0)
    if processor.most_pixels is not None:
        writer.add_uint32(MOST_PIXELS, processor.most_pixels)
    for setting in ("image_mean", "image_std"):
        writer.add_array(f"clip.vision.{setting}", processor.colours(setting))


@dataclass(frozen=True)
class _Processor:
    """What the image processor does with a photo, as its file tells it."""

    file: str
    name: str
    told: dict[str, Any]

    @property
    def most_pixels(self) -> int | None:
        size = self.told.get("size") or {}
        if not isinstance(size, dict):
            raise _strange("size", "an object", self.file, self.name, size)
        most = size.get("longest_edge") or self.told.get("max_pixels")
        if most is not None and not _is_whole(most, 1, 2**32 - 1):
            raise _strange(
                "longest_edge", f"a whole number from 1 to {2**32 - 1}", self.file, self.name, most
            )
        return most

    def colours(self, setting: str) -> list[float]:
        found = self.told.get(setting)
        if not isinstance(found, list) or len(found) != 3 or not all(map(_is_number, found)):
            raise _strange(setting, "three numbers", self.file, self.name, found)
        return [float(one) for one in found]


def _processor(checkpoint: Checkpoint) -> _Processor:
    file = next(file for file in PROCESSOR_FILES if (checkpoint.folder / file).exists())
    told = read_json(checkpoint.folder / file)
    inner = told.get("image_processor", told)
    if not isinstance(inner, dict):
        raise _strange("image_processor", "an object", file, checkpoint.name, inner)
    return _Processor(file, checkpoint.name, inner)


def _tokens(writer: Any, checkpoint: Checkpoint, config: Config) -> None:
    tokenizer = read_json(checkpoint.folder / "tokenizer.json")
    generation = checkpoint.folder / "generation_config.json"
    ends = read_json(generation).get("eos_token_id") if generation.exists() else None
    told_by = generation.name if ends else "config.json"
    ends = ends or config.words("eos_token_id")
    try:
        steps = tokenizer["pre_tokenizer"]["pretokenizers"]
        if _CUTS not in [step.get("pattern", {}).get("Regex") for step in steps]:
            raise _cannot(config, "pre_tokenizer", "of Qwen2.5", "another")
        texts, kinds = _vocabulary(tokenizer, config.number("vocab_size"))
        merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in tokenizer["model"]["merges"]]
        end = ends[0] if isinstance(ends, list) else ends
        if not _is_whole(end, 0, len(texts) - 1):
            raise _strange("eos_token_id", "the number of a token", told_by, config.name, end)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise EngineError(
            "The tokenizer of {name} cannot be converted: {cause}.", name=config.name, cause=repr(error)
        ) from error
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(texts)
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    writer.add_eos_token_id(end)
    writer.add_add_bos_token(False)
    writer.add_chat_template(_template(checkpoint))


def _vocabulary(tokenizer: dict[str, Any], size: int) -> tuple[list[str], list[int]]:
    """Every token's text and kind, by its number; numbers without a token are unused."""
    texts, kinds = [f"[PAD{number}]" for number in range(size)], [UNUSED] * size
    for text, number in tokenizer["model"]["vocab"].items():
        texts[number], kinds[number] = text, NORMAL
    for added in tokenizer["added_tokens"]:
        texts[added["id"]] = added["content"]
        kinds[added["id"]] = CONTROL if added["special"] else USER_DEFINED
    return texts, kinds


def _template(checkpoint: Checkpoint) -> str:
    """The chat template, from where older and newer savers put it."""
    for file, found in _templates(checkpoint.folder):
        if not isinstance(found, str):
            raise _strange("chat_template", "a text", file, checkpoint.name, found)
        if found:
            return found
    raise EngineError("Expected a chat template in {folder}; there is none.", folder=checkpoint.folder.name)


def _templates(folder: Path) -> Iterator[tuple[str, Any]]:
    for file in ("tokenizer_config.json", "chat_template.jinja", "chat_template.json"):
        if file.endswith(".jinja") and (folder / file).exists():
            yield file, _text(folder / file)
        elif (folder / file).exists():
            yield file, read_json(folder / file).get("chat_template") or ""


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:  # ValueError: no UTF-8
        raise damaged(file.name, file.parent.name, error) from error


def _penalty(checkpoint: Checkpoint) -> float:
    file = checkpoint.folder / "generation_config.json"
    found = (read_json(file).get("repetition_penalty") if file.exists() else None) or 1.0
    if not _is_number(found) or found <= 0:
        raise _strange("repetition_penalty", "a number above 0", file.name, checkpoint.name, found)
    return float(found)
