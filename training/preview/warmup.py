"""Train the preview checkpoint from nothing: the eyes first, then the words.

    python -m training.preview.collect --out PHOTOS
    python -m training.preview.warmup --photos PHOTOS --out RUN --minutes 170
    python -m training.preview.warmup --photos PHOTOS --evaluate RUN/checkpoint

1) Eyes: the vision tower alone, with throw-away heads that name class, severity, opinion and cues of
   small views. 2) Words: the whole model on written replies, from 56 x 56 pixels to one megapixel.
Every draw depends on (seed, step, worker) only, so a killed run goes on where its last state was saved.
"""

import argparse
import copy
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from transformers import Qwen2_5_VLForConditionalGeneration, Qwen2Tokenizer

from qinsight.photos.view import TOKEN
from qinsight.prompts import Order, Task, build_messages
from qinsight.whole_files import whole_file
from training.data import crops
from training.data.crops import CLASSES
from training.data.degrade import SEVERITIES
from training.data.originals import open_photos
from training.preview import lessons, tiny
from training.preview.lessons import CUES, View

LEAST_APART, SURE_APART = 0.08, 0.25  # of opinions: from here an order is taught, and until about there
OPINION_SPREAD = 1.2  # of a MOS, in which the eyes say theirs
AS_EXPECTED, DOUBT = (
    0.75,
    0.12,
)  # so often a reply writes the expected opinion; else the view's own, this far off
FEWEST_PHOTOS = 3  # of fewer, the degradation cannot be told from the subject


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what comes out, but for the clock."""

    minutes: float = 170
    seed: int = 1
    workers: int = 2
    eyes_share: float = 0.6  # of the minutes
    eyes_tokens: tuple[int, int] = (4, 36)
    words_tokens: tuple[int, int] = (crops.MIN_TOKENS, crops.MAX_TOKENS)
    eyes_rate: float = 2e-3
    rate: float = 2.5e-3
    tower_rate: float = 0.3  # of `rate`, while words are learnt
    warm_steps: int = 60
    eyes_tokens_per_step: int = 600  # for each worker
    words_tokens_per_step: int = 450
    most_groups: int = 7
    tower_learns_below: int = 200  # tokens; its windows are the same in a larger view, which costs more
    heads_weight: float = 0.3
    mean_from: float = 0.75  # of the run: from there on the mean of the weights is what is kept
    mean_decay: float = 0.995  # of a step
    save_minutes: float = 3
    steps: int = 0  # where not 0, the run is so many steps long instead of so many minutes
    first_views: int = 300  # drawn to build the tokenizer and to size the first filters


@dataclass(frozen=True)
class Row:
    """One conversation: the question with the views it shows (by number), and the reply to learn."""

    task: Task
    views: tuple[int, ...]
    reply: str


class Heads(nn.Module):
    """What is asked of the eyes alone; thrown away when the words are learnt."""

    sizes = (len(CLASSES), len(SEVERITIES) + 1, 1, len(CUES))

    def __init__(self, width: int) -> None:
        super().__init__()
        self.read = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 256), nn.GELU(), nn.Linear(256, sum(self.sizes))
        )
        self.local = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 1))

    @torch.no_grad()
    def rate(self, features: list[Tensor]) -> list[float]:
        """What the eyes expect each view's opinion to be, 1 to 5: its mean over all views that look like this one."""
        opinion = self._read(features)[2][:, 0]
        return (3 + OPINION_SPREAD * opinion).float().clip(1, 5).tolist()

    def forward(self, features: list[Tensor], views: list[View]) -> Tensor:
        """The loss over views of (tokens, width) features each: what a view is as a whole, and its noise token by token."""
        named, severe, opinion, cues = self._read(features)
        told = [view.degraded for view in views]
        asked = torch.tensor([one.diagnosed for one in told])
        named_in = [CLASSES.index(one.distortion_class) for one in told if one.diagnosed]
        level_of = [0 if one.severity == "null" else SEVERITIES.index(one.severity) + 1 for one in told]
        classes = torch.tensor(named_in, dtype=torch.long)  # of views that are not asked about: none
        levels = torch.tensor(level_of)[asked]
        scores = torch.tensor([[(one.mos - 3) / OPINION_SPREAD] for one in told])
        digits = (torch.tensor([view.cues for view in views]) - 4.5) / 2.5
        diagnosis = F.cross_entropy(named[asked], classes) + 0.5 * F.cross_entropy(severe[asked], levels)
        return (
            (diagnosis if asked.any() else torch.zeros(()))
            + F.mse_loss(opinion, scores)
            + F.mse_loss(cues, digits)
            + _in_order(opinion[:, 0], scores[:, 0])
            + self._of_grain(features, views)
        )

    def _read(self, features: list[Tensor]) -> tuple[Tensor, ...]:
        return self.read(torch.stack([one.mean(0) for one in features])).split(self.sizes, -1)

    def _of_grain(self, features: list[Tensor], views: list[View]) -> Tensor:
        known = [
            (one, view.grain) for one, view in zip(features, views, strict=True) if view.grain is not None
        ]
        if not known:  # nothing to learn, but every worker moves the same weights
            return 0 * self.local(features[0]).sum()
        found = torch.cat([self.local(one)[:, 0] for one, _ in known])
        return F.mse_loss(found, torch.from_numpy(np.concatenate([grain for _, grain in known])).float())


def _in_order(said: Tensor, true: Tensor) -> Tensor:
    """The worse of two views of one crop is to be rated lower, however small the difference: views come in threes."""
    groups = len(said) // 3
    said, true = said[: 3 * groups].view(groups, 3), true[: 3 * groups].view(groups, 3)
    apart = true[:, :, None] - true[:, None]
    above = apart > LEAST_APART
    if not above.any():
        return 0 * said.sum()
    return F.softplus(-(said[:, :, None] - said[:, None])[above] / SURE_APART).mean()


class Warmup:
    """One worker of the run: its model, its optimiser, and where it stands."""

    def __init__(self, photos: list[Image.Image], recipe: Recipe, rank: int = 0) -> None:
        self.photos, self.recipe, self.rank = photos, recipe, rank
        first = list(self._first_views())
        self.tokenizer = tiny.build_tokenizer(_all_replies(first))
        self.model = tiny.build_model(self.tokenizer)
        clean = [
            np.asarray(view.degraded.image) for view in first if view.degraded.distortion_class == "null"
        ]
        tiny.first_weights(self.model, torch.cat([tiny.to_patches(one) for one in clean]), recipe.seed)
        self.heads = Heads(self.model.config.vision_config.out_hidden_size)
        self.optimisers = self._optimisers()
        self.questions = Questions(self.tokenizer)
        self.step, self.eyes_steps, self.seconds = 0, 0, 0.0
        self.mean: dict[str, Tensor] = {}
        self.averaged = 0

    @property
    def progress(self) -> float:
        recipe = self.recipe
        return self.step / recipe.steps if recipe.steps else self.seconds / (60 * recipe.minutes)

    def learn(self) -> dict[str, float]:
        """One step: draw views, take the loss, average the gradients of all workers, move."""
        began = time.monotonic()
        eyes = self.progress < self.recipe.eyes_share
        shared = np.random.default_rng((self.recipe.seed, self.step))
        rng = np.random.default_rng((self.recipe.seed, self.step, self.rank + 1))
        losses = self._look(shared, rng) if eyes else self._speak(shared, rng)
        self.model.zero_grad(set_to_none=True)
        self.heads.zero_grad(set_to_none=True)
        losses["loss"].backward()
        self._average()
        nn.utils.clip_grad_norm_(self._weights(), 1.0)
        self._set_rates(eyes)
        for optimiser in self.optimisers:
            optimiser.step()
        self.step += 1
        self.eyes_steps += eyes
        self._tick(time.monotonic() - began)
        if self.progress > self.recipe.mean_from:
            self._keep_mean()
        return {name: float(value.detach()) for name, value in losses.items()}

    def state(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "heads": self.heads.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "clock": (self.step, self.eyes_steps, self.seconds),
            "mean": (self.mean, self.averaged),
        }

    def resume(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.heads.load_state_dict(state["heads"])
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        self.step, self.eyes_steps, self.seconds = state["clock"]
        self.mean, self.averaged = state["mean"]

    def learnt(self) -> Qwen2_5_VLForConditionalGeneration:
        """The model as it is kept: with the mean of the weights, once there is one."""
        kept = copy.deepcopy(self.model)
        kept.load_state_dict(self.mean or self.model.state_dict())
        return kept

    def _keep_mean(self) -> None:
        """Of all steps alike at first, later of the last ones."""
        now = {name: weight.detach() for name, weight in self.model.state_dict().items()}
        share = max(1 - self.recipe.mean_decay, 1 / (self.averaged + 1))
        self.averaged += 1
        before = self.mean or now
        self.mean = {name: torch.lerp(before[name], weight, share) for name, weight in now.items()}

    def _first_views(self) -> Iterator[View]:
        rng = np.random.default_rng((self.recipe.seed, 0))
        for _ in range(self.recipe.first_views):
            yield from lessons.draw_views(self.photos, 16, 3, rng)

    def _optimisers(self) -> list[torch.optim.Optimizer]:
        """Muon for the matrices inside the model, AdamW for its edges: first filters, token table, heads, norms."""
        core = self.model.model
        table = core.language_model.embed_tokens.weight
        inner: list[dict[str, Any]] = []
        outer: list[dict[str, Any]] = [{"part": "heads", "params": list(self.heads.parameters())}]
        for part, module in (("tower", core.visual), ("words", core.language_model)):
            weights = list(module.parameters())
            inner.append({"part": part, "params": [w for w in weights if w.ndim == 2 and w is not table]})
            outer.append({"part": part, "params": [w for w in weights if w.ndim != 2 or w is table]})
        return [
            torch.optim.Muon(inner, lr=0.0, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(outer, lr=0.0, betas=(0.9, 0.98), weight_decay=0.01),
        ]

    def _groups(self) -> Iterator[dict[str, Any]]:
        for optimiser in self.optimisers:
            yield from optimiser.param_groups

    def _weights(self) -> list[nn.Parameter]:
        return [weight for group in self._groups() for weight in group["params"]]

    def _look(self, shared: np.random.Generator, rng: np.random.Generator) -> dict[str, Tensor]:
        views: list[View] = []
        while sum(view.tokens for view in views) < self.recipe.eyes_tokens_per_step:
            tokens = _between(rng, *self.recipe.eyes_tokens)
            views += lessons.draw_views(self.photos, tokens, 3, rng)
        features = self._see(views)
        return {"loss": self.heads(features, views)}

    def _speak(self, shared: np.random.Generator, rng: np.random.Generator) -> dict[str, Tensor]:
        # Small views more often than large ones: they cost less and teach as much.
        low, high = self.recipe.words_tokens
        tokens = round(low * (high / low) ** (shared.random() ** 1.8))
        groups = int(np.clip(self.recipe.words_tokens_per_step / (3 * tokens), 1, self.recipe.most_groups))
        views: list[View] = []
        for _ in range(groups):
            views += lessons.draw_views(self.photos, tokens, 3, rng)
        rows = draw_rows(views, groups, rng)
        pairs = [row for row in rows if len(row.views) == 2]
        if pairs and shared.random() < 0.3:  # two photos of different sizes
            other = _between(shared, max(low, tokens // 5), min(high, tokens * 5))
            views += lessons.draw_views(self.photos, other, 1, rng)
            first, second = pairs[0].views[0], len(views) - 1
            rows = [row for row in rows if row not in pairs[:2]]
            rows += [_pair(views, first, second), _pair(views, second, first)]
        with torch.set_grad_enabled(tokens < self.recipe.tower_learns_below):
            features = self._see(views)
        rows = expected(rows, views, self.heads.rate(features), rng)
        spoken = [
            self._hear([row for row in rows if len(row.views) == n], views, features) for n in (1, 2, 3)
        ]
        total, count = sum(loss for loss, _ in spoken), sum(number for _, number in spoken)
        words = total / count
        seen = self.heads(features, views)
        sure = min(1.0, (len(rows) / 20) ** 0.5)  # a step of few rows is a noisy one
        return {"loss": sure * (words + self.recipe.heads_weight * seen), "words": words, "heads": seen}

    def _see(self, views: list[View]) -> list[Tensor]:
        pixels = torch.cat([tiny.to_patches(np.asarray(view.degraded.image)) for view in views])
        grids = torch.tensor([grid_of(view) for view in views])
        merged = self.model.model.visual(pixels, grid_thw=grids).pooler_output
        return list(merged.split([view.tokens for view in views]))

    def _hear(self, rows: list[Row], views: list[View], features: list[Tensor]) -> tuple[Tensor, int]:
        """The summed loss over the replies of rows with the same number of photos, and their tokens."""
        if not rows:
            return torch.zeros(()), 0
        written = [self.questions.write(row, views) for row in rows]
        length = max(len(ids) for ids, _ in written)
        pad = self.tokenizer.pad_token_id
        ids = torch.tensor([line + [pad] * (length - len(line)) for line, _ in written])
        real = torch.tensor([[1] * len(line) + [0] * (length - len(line)) for line, _ in written])
        core = self.model.model
        photo = ids == self.model.config.image_token_id
        grids = torch.tensor([grid_of(views[number]) for row in rows for number in row.views])
        places, _ = core.get_rope_index(ids, photo.int(), image_grid_thw=grids, attention_mask=real)
        shown = torch.cat([features[number] for row in rows for number in row.views])
        embedded = core.language_model.embed_tokens(ids).masked_scatter(photo[..., None], shown)
        # Padding stands on the right, where a causal model never looks: no mask, and a faster attention.
        hidden = core.language_model(inputs_embeds=embedded, position_ids=places, use_cache=False)[0]
        answer = torch.zeros_like(photo)
        for place, (line, start) in enumerate(written):
            answer[place, start : len(line)] = True
        logits = self.model.lm_head(hidden[:, :-1][answer[:, 1:]])
        return F.cross_entropy(logits, ids[:, 1:][answer[:, 1:]], reduction="sum"), int(answer.sum())

    def _average(self) -> None:
        """Over all workers, who learn with the same parts: what one of them leaves alone, all of them do."""
        if not dist.is_initialized():
            return
        moved = [weight.grad for weight in self._weights() if weight.grad is not None]
        flat = torch.cat([gradient.ravel() for gradient in moved])
        dist.all_reduce(flat)
        flat /= dist.get_world_size()
        for gradient, mean in zip(moved, flat.split([one.numel() for one in moved]), strict=True):
            gradient.copy_(mean.view_as(gradient))

    def _set_rates(self, eyes: bool) -> None:
        recipe = self.recipe
        since = self.step if eyes else self.step - self.eyes_steps
        warm = min(1.0, (since + 1) / recipe.warm_steps)
        share = recipe.eyes_share
        if eyes:
            tower = heads = warm * recipe.eyes_rate * (1 - 0.6 * self.progress / share)
            words = 0.0
        else:
            done = min(1.0, (self.progress - share) / (1 - share))
            words = warm * recipe.rate * (0.02 + 0.98 * 0.5 * (1 + np.cos(np.pi * done)))
            tower, heads = recipe.tower_rate * words, words
        rates = {"tower": tower, "words": words, "heads": heads}
        for group in self._groups():
            group["lr"] = float(rates[group["part"]])

    def _tick(self, seconds: float) -> None:
        """Worker 0 keeps the clock, so that all of them change stage and stop at the same step."""
        clock = torch.tensor([seconds], dtype=torch.float64)
        if dist.is_initialized():
            dist.broadcast(clock, 0)
        self.seconds += float(clock)


class Questions:
    """Prompts as the processor writes them, with as many image tokens as each photo takes."""

    def __init__(self, tokenizer: Qwen2Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.photo = int(tokenizer.convert_tokens_to_ids("<|image_pad|>"))
        self.prompts = {
            key: self._prompt(*key)
            for key in (
                (Task.SCORE, False),
                (Task.DEGRADATION, False),
                (Task.COMPARISON, False),
                (Task.COMPARISON, True),
            )
        }

    def write(self, row: Row, views: list[View]) -> tuple[list[int], int]:
        """The whole conversation as token ids, and where the reply begins."""
        sizes = iter([views[number].tokens for number in row.views])
        ids: list[int] = []
        for token in self.prompts[row.task, len(row.views) == 3]:
            ids += [token] * (next(sizes) if token == self.photo else 1)
        return ids + self.tokenizer.encode(row.reply + "<|im_end|>"), len(ids)

    def _prompt(self, task: Task, reference: bool) -> list[int]:
        messages = build_messages(task, reference=reference, order=Order.PHOTO_FIRST)
        text = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        return list(self.tokenizer.encode(text))


def draw_rows(views: list[View], groups: int, rng: np.random.Generator) -> list[Row]:
    """Questions about views that come in `groups` of three: each alone, some in pairs, some in threes.

    A pair is asked about in both orders: that is what teaches to tell A from B.
    """
    rows = []
    for number, view in enumerate(views):
        if view.degraded.diagnosed:
            rows.append(Row(Task.DEGRADATION, (number,), lessons.degradation_reply(view)))
        if not view.degraded.diagnosed or rng.random() < 0.5:
            rows.append(Row(Task.SCORE, (number,), lessons.score_reply(view, view.degraded.mos)))
    for group in range(groups):
        members = [3 * group + int(place) for place in rng.permutation(3)]
        other = members[1] if groups == 1 or rng.random() < 0.5 else int(rng.integers(len(views)))
        if abs(views[members[0]].degraded.mos - views[other].degraded.mos) > 0.1:
            rows += [_pair(views, members[0], other), _pair(views, other, members[0])]
        if rng.random() < 0.5:
            members.sort(key=lambda member: views[member].degraded.mos)
            a, b = (int(member) for member in rng.permutation(members[1:]))
            if rng.random() < 0.15:
                b = a
            reply = lessons.comparison_reply(views[a], views[b], reference=True)
            rows.append(Row(Task.COMPARISON, (members[0], a, b), reply))
    return rows


def expected(
    rows: list[Row], views: list[View], opinions: list[float], rng: np.random.Generator
) -> list[Row]:
    """The rows, with ratings that mostly are the expected `opinions` of `views` (1 to 5).

    Drawn opinions have favourites, as that of every photo without a fault. A reply of greedy words would say the likeliest of
    them, and one rating of photos that differ.
    """

    def rating(view: int) -> float:
        if rng.random() < AS_EXPECTED:
            return opinions[view]
        return float(np.clip(rng.normal(views[view].degraded.mos, DOUBT), 1, 5))

    return [
        replace(row, reply=lessons.score_reply(views[row.views[0]], rating(row.views[0])))
        if row.task is Task.SCORE
        else row
        for row in rows
    ]


def grid_of(view: View) -> list[int]:
    """Qwen's `image_grid_thw`: one frame, patches down, patches across."""
    image = view.degraded.image
    return [1, image.height // tiny.PATCH, image.width // tiny.PATCH]


def run(photos: Path, out: Path, recipe: Recipe) -> None:
    """Train in `recipe.workers` processes of one thread each, and leave the result in `out/checkpoint`."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "recipe.json").write_text(json.dumps(asdict(recipe), indent=1))
    if recipe.workers == 1:
        _work(0, photos, out, recipe)
    else:
        (out / "meeting").unlink(missing_ok=True)
        torch.multiprocessing.spawn(_work, (photos, out, recipe), nprocs=recipe.workers)


def export(worker: Warmup, folder: Path) -> None:
    """The checkpoint folder, complete."""
    tiny.save(worker.learnt(), worker.tokenizer, folder)
    card = {
        "name": "Q-Insight preview",
        "tasks": [str(task) for task in Task],
        "order": str(Order.PHOTO_FIRST),
        "preview": True,
        "max_pixels": crops.MAX_TOKENS * TOKEN**2,
        "about": "2.7 million parameters trained on synthetic degradations to show how the app works; "
        "not the Q-Insight weights, and often wrong.",
    }
    (folder / "qinsight.json").write_text(json.dumps(card, indent=2) + "\n")


def _work(rank: int, photos: Path, out: Path, recipe: Recipe) -> None:
    torch.set_num_threads(1)
    if recipe.workers > 1:
        meeting = f"file://{(out / 'meeting').resolve()}"
        dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=recipe.workers)
    worker = Warmup(open_photos(photos, held_out=False, at_least=FEWEST_PHOTOS), recipe, rank)
    if (out / "state.pt").exists():
        worker.resume(torch.load(out / "state.pt", weights_only=True))
    saved, recent = worker.seconds, []
    while worker.progress < 1:
        recent.append(worker.learn())
        if rank == 0 and worker.step % 20 == 0:
            _report(worker, recent)
            recent = []
        if worker.seconds - saved > 60 * recipe.save_minutes:
            saved = worker.seconds
            if rank == 0:
                _save(worker, out)
    if rank == 0:
        _save(worker, out)
    if dist.is_initialized():
        dist.destroy_process_group()


def _save(worker: Warmup, out: Path) -> None:
    with whole_file(out / "state.pt") as file:
        torch.save(worker.state(), file)
    export(worker, out / "checkpoint")


def _report(worker: Warmup, recent: list[dict[str, float]]) -> None:
    names = sorted({name for losses in recent for name in losses})
    means = {name: np.mean([losses[name] for losses in recent if name in losses]) for name in names}
    shown = "  ".join(f"{name} {mean:.3f}" for name, mean in means.items())
    print(f"step {worker.step}  {worker.seconds / 60:.1f} min  {shown}", flush=True)


def _pair(views: list[View], a: int, b: int) -> Row:
    return Row(Task.COMPARISON, (a, b), lessons.comparison_reply(views[a], views[b]))


def _between(rng: np.random.Generator, low: int, high: int) -> int:
    return round(float(np.exp(rng.uniform(np.log(low), np.log(high)))))


def _all_replies(views: list[View]) -> Iterator[str]:
    for a, b in zip(views, views[1:] + views[:1], strict=True):
        yield from (
            lessons.degradation_reply(a),
            lessons.score_reply(a, a.degraded.mos),
            lessons.comparison_reply(a, b),
        )
        yield lessons.comparison_reply(a, b, reference=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="train the preview checkpoint from nothing, or measure it")
    parser.add_argument(
        "--photos", type=Path, required=True, help="what `python -m training.preview.collect` wrote"
    )
    parser.add_argument("--out", type=Path, help="folder of the run; a run that is there goes on")
    parser.add_argument("--minutes", type=float, default=Recipe.minutes, help="of training, all workers")
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    parser.add_argument("--workers", type=int, default=Recipe.workers, help="processes of one thread each")
    parser.add_argument("--evaluate", type=Path, help="print the held-out numbers of this checkpoint")
    parser.add_argument(
        "--pairs",
        type=Path,
        help="with --evaluate: NAME_real.* and NAME_mean.* of real noise, as in PolyU's set",
    )
    asked = parser.parse_args()
    if asked.evaluate:
        from training.preview.examine import examine

        print(examine(asked.evaluate, asked.photos, asked.seed, pairs=asked.pairs))
    elif asked.out:
        recipe = replace(Recipe(), minutes=asked.minutes, seed=asked.seed, workers=asked.workers)
        run(asked.photos, asked.out, recipe)
    else:
        parser.error("expected --out to train or --evaluate to measure")


if __name__ == "__main__":
    main()
