"""Replies that grow together, word by word, from prompts that the weights have read."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from PIL import Image
from torch import Tensor
from transformers.generation import (
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from qinsight.engines.decoding import Decoder, Growing, Replayed, replayable
from qinsight.engines.weights import Weights
from qinsight.requests import NUM_ALTERNATIVES, Delta, Finish, Sampling

WORTH_SHARING = 64  # prompt tokens below which a shared prefix costs more than it saves


@dataclass(frozen=True)
class Prompt:
    """One request as the model reads it. `ids` is (T,); `embeddings` (T, D); `positions` (3, T)."""

    ids: Tensor
    views: tuple[Image.Image, ...]
    embeddings: Tensor
    positions: Tensor


@dataclass
class _Row:
    """One reply as it grows. `position` is where its next token stands."""

    number: int
    position: int
    dice: torch.Generator
    ids: list[int] = field(default_factory=list)
    shown: str = ""


class Conversation:
    """A batch of replies that decode together; rows leave when they are done."""

    def __init__(
        self,
        weights: Weights,
        prompts: Sequence[Prompt],
        numbers: Sequence[int],
        sampling: Sampling,
        *,
        replay: bool = False,
    ) -> None:
        """`replay`: decode by `Replayed` where that is possible; for weights that stay as they are."""
        self.weights = weights
        self.replay = replay
        self.sampling = sampling
        self.words: dict[int, str] = {}
        self.rows = [
            _Row(
                number, int(prompt.positions.max()) + 1, torch.Generator().manual_seed(sampling.seed + number)
            )
            for number, prompt in zip(numbers, prompts, strict=True)
        ]
        settings = weights.model.generation_config
        penalty = sampling.repetition_penalty
        self.penalty = float((settings.repetition_penalty or 1.0) if penalty is None else penalty)
        stops = settings.eos_token_id if settings.eos_token_id is not None else weights.tokenizer.eos_token_id
        self.stops = set(stops) if isinstance(stops, list) else {stops}
        self.warpers = LogitsProcessorList()
        if sampling.temperature > 0:
            self.warpers += [TemperatureLogitsWarper(sampling.temperature)]
            self.warpers += [TopKLogitsWarper(sampling.top_k)] if sampling.top_k else []
            self.warpers += [TopPLogitsWarper(sampling.top_p)] if sampling.top_p < 1 else []
        self.decoder: Decoder
        self.logits, self.used = self._read(prompts)

    @torch.inference_mode()
    def _read(self, prompts: Sequence[Prompt]) -> tuple[Tensor, Tensor]:
        """Read all prompts: what several share once, the rest side by side, padded on the left.

        Returns logits (B, V) and which tokens were used (B, V).
        """
        reading = Growing(self.weights.model)
        shared = [0] * len(prompts)
        found = groups(prompts)
        if len(found) < len(prompts):
            reading.prompt(*_padded([(prompts[group.rows[0]], 0, group.shared) for group in found]))
            reading.keep([number for number, group in enumerate(found) for _ in group.rows])
            shared = [group.shared for group in found for _ in group.rows]
        tails = [(prompt, start, len(prompt.ids)) for prompt, start in zip(prompts, shared, strict=True)]
        logits = reading.prompt(*_padded(tails))
        used = torch.zeros_like(logits, dtype=torch.bool)
        for row, prompt in enumerate(prompts):
            used[row, prompt.ids] = True
        self.decoder = reading
        if self.replay and replayable(self.weights.model):
            self.decoder = Replayed(reading)
        return logits, used

    @torch.inference_mode()
    def step(self) -> list[Delta]:
        """Choose a token for every row, say it, and read it back in for the rows that go on."""
        chosen = self._choose()
        others = self._alternatives([place for place, row in enumerate(self.rows) if "<answer>" in row.shown])
        deltas, staying = [], []
        for place, (row, token) in enumerate(zip(self.rows, chosen, strict=True)):
            alternatives = others.get(place, ())
            row.ids.append(token)
            finish = None
            if token in self.stops:
                finish = Finish.STOP
            elif len(row.ids) >= self.sampling.max_new_tokens:
                finish = Finish.LENGTH
            else:
                staying.append(place)
            deltas.append(Delta(row.number, self._new_words(row, finish), 1, alternatives, finish))
        self._keep(staying)
        if self.rows:
            self._read_back()
        return deltas

    def _choose(self) -> list[int]:
        scores = self.logits
        if self.penalty != 1.0:
            scores = torch.where(
                self.used, torch.where(scores < 0, scores * self.penalty, scores / self.penalty), scores
            )
        if not self.warpers:
            return list(scores.argmax(dim=-1).tolist())
        chances = self.warpers(None, scores).softmax(dim=-1).cpu()
        return [
            int(torch.multinomial(chance, 1, generator=row.dice))
            for chance, row in zip(chances, self.rows, strict=True)
        ]

    def _alternatives(self, places: list[int]) -> dict[int, tuple[tuple[str, float], ...]]:
        """The likeliest next tokens of these rows with the model's own chances, most likely first."""
        if not places:
            return {}
        top = self.logits[places].softmax(dim=-1).topk(min(NUM_ALTERNATIVES, self.logits.shape[-1]))
        words = [[self._word(token) for token in tokens] for tokens in top.indices.tolist()]
        chances = top.values.tolist()
        return {
            place: tuple(zip(*pair, strict=True)) for place, *pair in zip(places, words, chances, strict=True)
        }

    def _word(self, token: int) -> str:
        """The text of one token; the same few come again and again."""
        if token not in self.words:
            self.words[token] = str(self.weights.tokenizer.decode([token]))
        return self.words[token]

    def _new_words(self, row: _Row, finish: Finish | None) -> str:
        """What the last token adds to the text; a character still missing bytes waits for them."""
        text = self.weights.tokenizer.decode(
            row.ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        if finish is None and text.endswith("\N{REPLACEMENT CHARACTER}"):
            return ""
        new, row.shown = text[len(row.shown) :], text
        return str(new)

    def _keep(self, staying: list[int]) -> None:
        if len(staying) == len(self.rows):
            return
        self.rows = [self.rows[place] for place in staying]
        if not staying:
            return
        self.decoder.keep(staying)
        self.used = self.used[torch.tensor(staying, device=self.used.device)]

    def _read_back(self) -> None:
        device = self.used.device
        tokens = torch.tensor([row.ids[-1] for row in self.rows], device=device)
        positions = torch.tensor([row.position for row in self.rows], device=device)
        for row in self.rows:
            row.position += 1
        self.used.scatter_(1, tokens[:, None], True)
        self.logits = self.decoder.read(tokens, positions)


def _padded(parts: Sequence[tuple[Prompt, int, int]]) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens `start` to `end` of prompts as embeddings (B, T, D), positions (3, B, T), mask (B, T), padded left."""
    longest = max(end - start for _, start, end in parts)
    first = parts[0][0]
    embeddings = first.embeddings.new_zeros(len(parts), longest, first.embeddings.shape[-1])
    positions = first.positions.new_zeros(3, len(parts), longest)
    mask = torch.zeros(len(parts), longest, dtype=torch.long, device=embeddings.device)
    for row, (prompt, start, end) in enumerate(parts):
        gap = longest - (end - start)
        embeddings[row, gap:] = prompt.embeddings[start:end]
        positions[:, row, gap:] = prompt.positions[:, start:end]
        mask[row, gap:] = 1
    return embeddings, positions, mask


@dataclass
class _Group:
    """Neighbouring rows whose prompts begin alike, and for how many tokens."""

    rows: list[int]
    shared: int


def groups(prompts: Sequence[Prompt]) -> list[_Group]:
    """Rows that share at least half of their prompt, photos included: the questions about one photo, samples."""
    groups: list[_Group] = []
    for row, prompt in enumerate(prompts):
        # each row needs one token of its own to go on from
        alone = len(prompt.ids) - 1
        if groups:
            group = groups[-1]
            shared = min(group.shared, alike(prompts[group.rows[0]], prompt), alone)
            if shared >= max(WORTH_SHARING, alone // 2):
                group.rows.append(row)
                group.shared = shared
                continue
        groups.append(_Group([row], alone))
    return groups


def alike(one: Prompt, other: Prompt) -> int:
    """How many leading tokens are the same: their ids, what the photos look like, and where they stand."""
    length = min(len(one.ids), len(other.ids))
    same = (
        (one.ids[:length] == other.ids[:length])
        & (one.embeddings[:length] == other.embeddings[:length]).all(dim=-1)
        & (one.positions[:, :length] == other.positions[:, :length]).all(dim=0)
    )
    return int(same.long().cumprod(0).sum())
