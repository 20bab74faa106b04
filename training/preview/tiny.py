"""Qwen2.5-VL with a few million parameters, before it has learnt anything: tokenizer, processor, first weights.

The first weights of the vision tower are not random: its patches begin as the filters of image-quality
measurement (a cosine transform, steps at every column and row where a block edge may fall, colour), and its
first block begins by squaring them. That is worth tens of thousands of examples (see LOG.md).
"""

import copy
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from tokenizers import AddedToken, Tokenizer, trainers
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from torch import Tensor, nn
from transformers import (
    GenerationConfig,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Tokenizer,
    Qwen2VLImageProcessorPil,
)

from qinsight import prompts
from qinsight.photos.view import TOKEN
from training.data.crops import MAX_TOKENS, MIN_TOKENS
from training.preview.lessons import CUES

SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|quad_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)

# A whole question is one token, and so is the name of a cue: a prompt of 20 tokens instead of 200 halves
# the cost of training. The price is that no other wording was ever seen.
PHRASES = (
    prompts.SYSTEM,
    prompts.SCORE,
    prompts.DEGRADATION,
    *prompts.COMPARISON,
    *prompts.COMPARISON_WITH_REFERENCE,
    *("<think>", "</think>", "<answer>", "</answer>"),
    f"Measured cues: {CUES[0]} ",
    *(f", {cue} " for cue in CUES[1:]),
)

# The template of the published checkpoints, which renders the same messages to the same text.
CHAT_TEMPLATE = (
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}<|im_start|>system\n"
    "You are a helpful assistant.<|im_end|>\n{% endif %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}<|im_end|>\n"
    "{% else %}{% for content in message['content'] %}{% if content['type'] == 'image' %}"
    "<|vision_start|><|image_pad|><|vision_end|>{% elif 'text' in content %}{{ content['text'] }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

PATCH = 14
COLOURS = 3
WIDTH = 128  # of the vision tower
ANCHORS = 4  # channels that hold a constant, so that RMSNorm keeps the absolute strength of the others
ANCHOR = 1.5  # its size; weak noise in flat places is felt the less, the larger it is
BANDS = 8  # of the cosine transform
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


def build_tokenizer(replies: Iterable[str]) -> Qwen2Tokenizer:
    """A byte-level BPE that has seen our replies: every word of an answer is one token, every digit too."""
    blank = Qwen2Tokenizer(vocab={}, merges=[])
    learner = Tokenizer(BPE())
    learner.pre_tokenizer = blank._tokenizer.pre_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=700, initial_alphabet=sorted(ByteLevel.alphabet()), show_progress=False, min_frequency=2
    )
    learner.train_from_iterator(replies, trainer)
    learnt = json.loads(learner.to_str())["model"]
    tokenizer = Qwen2Tokenizer(
        vocab=learnt["vocab"],
        merges=[tuple(pair) for pair in learnt["merges"]],
        unk_token="<|endoftext|>",
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=list(SPECIAL),
        chat_template=CHAT_TEMPLATE,
        padding_side="left",
    )
    tokenizer.add_tokens([AddedToken(phrase, normalized=False) for phrase in PHRASES])
    return tokenizer


def build_model(tokenizer: Qwen2Tokenizer) -> Qwen2_5_VLForConditionalGeneration:
    """The architecture of Qwen2.5-VL at 2.7 million parameters; attention heads of 32 suit every server."""

    def token(text: str) -> int:
        return int(tokenizer.convert_tokens_to_ids(text))

    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": 192,
        "intermediate_size": 512,
        "num_hidden_layers": 3,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "max_position_embeddings": 8192,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [4, 6, 6]},
        "bos_token_id": token("<|endoftext|>"),
        "eos_token_id": token("<|im_end|>"),
        "pad_token_id": token("<|endoftext|>"),
        "tie_word_embeddings": True,
    }
    vision = {
        "depth": 4,
        "hidden_size": WIDTH,
        "intermediate_size": 384,
        "num_heads": 2,
        "out_hidden_size": 192,
        "patch_size": PATCH,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "window_size": 112,
        "fullatt_block_indexes": [],
    }
    config = Qwen2_5_VLConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=token("<|image_pad|>"),
        video_token_id=token("<|video_pad|>"),
        vision_start_token_id=token("<|vision_start|>"),
        vision_end_token_id=token("<|vision_end|>"),
        tie_word_embeddings=True,
    )
    model = Qwen2_5_VLForConditionalGeneration(config)
    model.generation_config = GenerationConfig(
        eos_token_id=token("<|im_end|>"),
        pad_token_id=token("<|endoftext|>"),
        bos_token_id=token("<|endoftext|>"),
        do_sample=False,
        repetition_penalty=1.0,
    )
    return model


def first_weights(model: Qwen2_5_VLForConditionalGeneration, patches: Tensor, seed: int) -> None:
    """Random weights of the right size everywhere, and measuring filters at the start of the vision tower.

    `patches` (some thousands of flattened patches of clean photos) say how large each filter's answer is.
    """
    torch.manual_seed(seed)
    depth = len(model.model.language_model.layers) + len(model.model.visual.blocks)
    for name, weight in model.named_parameters():
        if weight.ndim == 2 and "embed_tokens" not in name:
            nn.init.normal_(weight, std=weight.shape[1] ** -0.5)
        elif name.endswith("bias"):
            nn.init.zeros_(weight)
        if name.endswith(("proj.weight", "down_proj.weight")) and weight.ndim == 2:
            weight.data *= (2 * depth) ** -0.5
    nn.init.normal_(model.model.language_model.embed_tokens.weight, std=0.05)
    with torch.no_grad():
        _see_filters(model.model.visual, patches)


def image_processor() -> Qwen2VLImageProcessorPil:
    """Qwen's own, at the size the app rates photos."""
    return Qwen2VLImageProcessorPil(
        size={"shortest_edge": MIN_TOKENS * TOKEN**2, "longest_edge": MAX_TOKENS * TOKEN**2},
        patch_size=PATCH,
        temporal_patch_size=2,
        merge_size=2,
        image_mean=list(MEAN),
        image_std=list(STD),
    )


def to_patches(pixels: np.ndarray) -> Tensor:
    """What the image processor makes of an image of (height, width, 3) bytes: one row of 1,176 per patch."""
    height, width = pixels.shape[0] // TOKEN, pixels.shape[1] // TOKEN
    scaled = (pixels.astype(np.float32) / 255 - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
    cells = scaled.reshape(height, 2, PATCH, width, 2, PATCH, COLOURS).transpose(0, 3, 1, 4, 6, 2, 5)
    still = cells.reshape(height * width * 4, COLOURS, 1, PATCH, PATCH)
    return torch.from_numpy(np.repeat(still, 2, axis=2).reshape(len(still), -1))


def save(model: Qwen2_5_VLForConditionalGeneration, tokenizer: Qwen2Tokenizer, folder: Path) -> None:
    """The checkpoint as it is shipped: bfloat16 weights and every file that a loader may look for."""
    folder.mkdir(parents=True, exist_ok=True)
    # A copy, because casting in place would round the rotary frequencies of the model that goes on learning.
    copy.deepcopy(model).to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    images = image_processor()
    images.save_pretrained(folder)
    written = json.loads((folder / "preprocessor_config.json").read_text())
    written |= {"processor_class": "Qwen2_5_VLProcessor", "image_processor_type": "Qwen2VLImageProcessor"}
    written |= {"min_pixels": MIN_TOKENS * TOKEN**2, "max_pixels": MAX_TOKENS * TOKEN**2}
    (folder / "preprocessor_config.json").write_text(json.dumps(written, indent=2) + "\n")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings |= {"processor_class": "Qwen2_5_VLProcessor"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")


def _see_filters(tower: nn.Module, patches: Tensor) -> None:
    filters, groups = _filters()
    single = patches.reshape(len(patches), COLOURS, 2, PATCH * PATCH)[:, :, 0].reshape(len(patches), -1)
    filters = filters / (single @ filters.T).std(0, keepdim=True).T.clamp_min(1e-3)
    first = len(groups) + ANCHORS  # channels: anchors, energies, then the filters themselves
    energies = max(groups) + 1
    start = ANCHORS + energies
    if start + len(filters) != WIDTH:
        raise ValueError(f"expected {WIDTH} channels, the filters need {start + len(filters)} ({first=})")
    kernel = tower.patch_embed.proj.weight.zero_()
    kernel[start:] = filters.reshape(-1, COLOURS, 1, PATCH, PATCH).expand(-1, -1, 2, -1, -1) / 2
    block = tower.blocks[0]
    block.attn.proj.bias[:ANCHORS] = ANCHOR
    for unit, group in enumerate(groups):
        for sign, row in ((1.0, 2 * unit), (-1.0, 2 * unit + 1)):
            # silu(x) x + silu(-x) (-x) = x * x: two hidden units of a SwiGLU make an energy
            block.mlp.gate_proj.weight[row] = 0
            block.mlp.up_proj.weight[row] = 0
            block.mlp.gate_proj.weight[row, start + unit] = sign
            block.mlp.up_proj.weight[row, start + unit] = sign
            block.mlp.down_proj.weight[:, row] = 0
            block.mlp.down_proj.weight[ANCHORS + group, row] = 1.0 / groups.count(group)


def _filters() -> tuple[Tensor, list[int]]:
    """The measuring filters over one patch (n, 3 * 14 * 14), and which energy each of them adds to."""
    place = np.arange(PATCH)
    cosine = np.array([np.cos(np.pi * (place + 0.5) * k / PATCH) for k in range(PATCH)])
    flat, luma = np.ones(PATCH), np.array(STD) * [0.299, 0.587, 0.114]
    blue, red = np.array(STD) * [-0.5, -0.5, 1.0], np.array(STD) * [1.0, -0.8, -0.2]
    rows: list[np.ndarray] = []
    groups: list[int] = []

    def add(colour: np.ndarray, down: np.ndarray, across: np.ndarray, group: int) -> None:
        rows.append(np.einsum("c,y,x->cyx", colour, down, across).ravel())
        groups.append(group)

    group = BANDS
    for edge in range(PATCH - 1):
        step = np.zeros(PATCH)
        step[edge], step[edge + 1] = -1, 1
        add(luma, flat, step, group)
        add(luma, step, flat, group + 1)
        group += 2
    for colour in (blue, red):
        add(colour, flat, flat, group)
        for k, m in ((1, 1), (6, 7), (12, 11)):
            add(colour, cosine[k], cosine[m], group + 1)
        group += 2
    add(luma, flat, flat, group)
    room = WIDTH - ANCHORS - (group + 1) - len(rows)
    pairs = [(k, m) for k in range(1, PATCH) for m in range(1, PATCH)]
    pairs.sort(key=lambda pair: np.hypot(*pair))
    for index, at in enumerate(np.linspace(0, len(pairs) - 1, room).round().astype(int)):
        add(luma, cosine[pairs[at][0]], cosine[pairs[at][1]], index * BANDS // room)
    return torch.tensor(np.array(rows), dtype=torch.float32), groups
