"""Rollouts by the app's own decoding: transformers' draws, over keys and values that need not be copied for each token."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import Qwen2_5_VLForConditionalGeneration

from qinsight.engines.decoding import CACHE_WORD, Decoder, Growing, Replayed, replayable


class Speaker(Qwen2_5_VLForConditionalGeneration):
    """The model whose `generate` decodes by `Growing`, or by `Replayed` where a GPU can."""

    def _sample(
        self,
        input_ids: Tensor,
        logits_processor: Any,
        stopping_criteria: Any,
        generation_config: Any,
        synced_gpus: bool = False,
        streamer: Any = None,
        **model_kwargs: Any,
    ) -> Any:
        """transformers' own, token for token from the same seed; (B, T) and what is said, finished rows padded.

        Where processes must pass through the weights at the same time it is transformers' own altogether.
        """
        if synced_gpus or streamer is not None or generation_config.return_dict_in_generate:
            return super()._sample(
                input_ids,
                logits_processor,
                stopping_criteria,
                generation_config,
                synced_gpus=synced_gpus,
                streamer=streamer,
                **model_kwargs,
            )
        mask = model_kwargs.get("attention_mask")
        mask = torch.ones_like(input_ids) if mask is None else mask
        read = self._prefill(input_ids, generation_config, model_kwargs, is_first_iteration=True)
        logits, length = read.logits[:, -1].float(), input_ids.shape[1]
        grown = Growing.after(self, read[CACHE_WORD], mask)
        decoder: Decoder = grown
        if replayable(self):
            decoder = Replayed(grown)
        del read, grown
        first = mask.sum(1) + self.model.rope_deltas.view(-1)
        going = torch.ones(len(input_ids), dtype=torch.bool, device=input_ids.device)
        while True:
            scores = logits_processor(input_ids, logits)
            tokens = _drawn(scores) if generation_config.do_sample else scores.argmax(-1)
            tokens = torch.where(going, tokens, generation_config._pad_token_tensor)
            input_ids = torch.cat([input_ids, tokens[:, None]], dim=1)
            going &= ~stopping_criteria(input_ids, None)
            if not bool(going.any()):
                return input_ids
            logits = decoder.read(tokens, first + input_ids.shape[1] - 1 - length)


@contextmanager
def speaking(model: Any) -> Iterator[None]:
    """Inside, `model` generates as a `Speaker`; not longer, since transformers reads and writes weights by a model's class."""
    kind = model.__class__
    model.__class__ = Speaker
    try:
        yield
    finally:
        model.__class__ = kind


def _drawn(scores: Tensor) -> Tensor:
    return torch.multinomial(scores.softmax(-1), 1).squeeze(1)
