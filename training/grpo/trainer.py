"""TRL's GRPO trainer with the few things it lacks for Q-Insight.

What is changed, and why: a full fine-tune resumes from its own weights, the order of the data goes on where it
stood in any epoch, each photo is decoded once and looked at once for all its rollouts, and the evaluation is greedy.
"""

import hashlib
import json
import operator
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from PIL import Image
from torch import Tensor
from transformers import BatchFeature, PrinterCallback, ProgressCallback, Qwen2VLImageProcessorPil, Trainer
from transformers.integrations import is_deepspeed_zero3_enabled
from trl import GRPOTrainer
from trl.trainer.grpo_trainer import RepeatSampler

from qinsight.engines.weights import ImageOnlyProcessor
from qinsight.photos import load_photo
from qinsight.photos.view import MIN_PIXELS, view
from training.grpo.groups import ROUNDS, draw, leave_out, put_in_place, share_left, without_signal
from training.grpo.looks import GIB, Looks, SharedEyes, distinct, look_once
from training.grpo.recipe import NoSignal
from training.grpo.speaking import speaking

__all__ = ["PhotoReader", "QInsightTrainer", "SharedEyes", "TrainingProcessor", "distinct", "look_once"]

REMEMBERED = 64  # photos whose patches are kept: those of a batch, not those of an epoch


class EpochSampler(RepeatSampler):
    """TRL's sampler, shuffled anew in each epoch from nothing but the seed and the number of the epoch.

    TRL's own draws one order after another from one generator, so that a run resumed in a later epoch
    would begin with the order of the first (huggingface/trl, seen in 1.16).
    """

    def __init__(self, *args: Any, epoch: Callable[[], int], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        if self.shuffle:
            self.generator.manual_seed(self.seed + self.epoch())
        return super().__iter__()


class QInsightTrainer(GRPOTrainer):
    """GRPO on questions about photos. `greedy` measures the model in place, `(trainer) -> metrics`."""

    control: Any
    story: Any = None
    weight = 1.0
    _buffered_inputs: list[dict[str, Any]] | None

    def __init__(
        self,
        *args: Any,
        greedy: Callable[["QInsightTrainer"], dict[str, float]] | None = None,
        train_vision: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.greedy = greedy
        for shown in (ProgressCallback, PrinterCallback):  # a dictionary of forty numbers an update
            self.remove_callback(shown)
        if not train_vision:
            for weight in _visual(self.model).parameters():
                weight.requires_grad_(False)
        self._share_the_looks(train_vision)
        # TRL casts the adapters of a quantised model to bf16, in which steps of 1e-5 round to nothing.
        for weight in self.model.parameters():
            if weight.requires_grad and self.is_peft and not self.is_deepspeed_enabled:
                weight.data = weight.data.float()

    @property
    def is_peft(self) -> bool:
        return isinstance(self.model, PeftModel)

    def _share_the_looks(self, train_vision: bool) -> None:
        """One memory of looks for a tower that does not learn and its equal in the reference, two otherwise."""
        most = round(getattr(self.args, "looks_memory", 2.0) * GIB)
        sharded = self.is_fsdp_enabled or (self.is_deepspeed_enabled and is_deepspeed_zero3_enabled())
        anywhere = self._anywhere if sharded else None
        self.looks = Looks(most, anywhere)
        self.reference_looks = Looks(most, anywhere) if train_vision else self.looks
        look_once(self.model, self.looks)
        if self.ref_model is not None:
            look_once(self.ref_model, self.reference_looks)

    def _anywhere(self, here: bool) -> bool:
        """Whether it is so on any process; every process asks."""
        asked = torch.tensor([float(here)], device=self.accelerator.device)
        return bool(self.accelerator.reduce(asked, reduction="sum").item())

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        """The part of the rollouts that the next pass learns from: whole groups, in the order of the data.

        TRL shuffles the rollouts first, so that the 8 of a photo stand in up to 8 passes, each of which looks at it.
        """
        if not self.model.training:
            return super()._prepare_inputs(generation_batch)
        parts = self.args.steps_per_generation
        if self._step % (parts * self.num_iterations) == 0 or self._buffered_inputs is None:
            batch = self._generate_and_score_completions(generation_batch)
            self._buffered_inputs = in_parts(batch, parts)
        return self._buffered_inputs[self._step % parts]

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        """TRL's, and what becomes of groups without signal; the photos of the batch before are forgotten."""
        self.looks.forget()
        self.reference_looks.forget()
        batch = super()._generate_and_score_completions(inputs)
        if not self.model.training:
            return batch
        empty = without_signal(self.earned, self.reward_func_names, self.num_generations)
        self._metrics["train"]["no_signal"].append(empty.float().mean().item())
        self.weight = 1.0
        choice = getattr(self.args, "no_signal", NoSignal.KEEP)
        if choice is NoSignal.RESAMPLE:
            batch, empty = self._asked_anew(batch, empty)
        if choice is not NoSignal.KEEP:
            self._leave_out(batch, empty)
        return batch

    def _calculate_rewards(self, *args: Any, **kwargs: Any) -> Tensor:
        """TRL's, remembered: (rows of all processes, functions)."""
        self.earned: Tensor = super()._calculate_rewards(*args, **kwargs)
        return self.earned

    def _mine(self, groups: Tensor) -> Tensor:
        """Those of the groups of all processes that are this one's."""
        size = len(groups) // self.accelerator.num_processes
        return groups[self.accelerator.process_index * size :][:size]

    def _asked_anew(self, batch: dict[str, Any], empty: Tensor) -> tuple[dict[str, Any], Tensor]:
        """Groups with signal in place of those without, as far as `ROUNDS` of other questions go."""
        anew = 0
        for turn in range(ROUNDS):
            needed = max(part.sum().item() for part in empty.chunk(self.accelerator.num_processes))
            if not needed:
                break
            seed = (self.args.seed, self.state.global_step, turn, self.accelerator.process_index)
            chosen = draw(int(needed), len(self.train_dataset), seed)
            rows = [row for place in chosen for row in [self.train_dataset[place]] * self.num_generations]
            other = super()._generate_and_score_completions(rows)
            found = ~self._mine(without_signal(self.earned, self.reward_func_names, self.num_generations))
            mine = self._mine(empty)
            pairs = list(
                zip(mine.nonzero().flatten().tolist(), found.nonzero().flatten().tolist(), strict=False)
            )
            batch = put_in_place(batch, other, pairs, self.num_generations, self._tokenizer.pad_token_id)
            mine = mine.clone()
            mine[[place for place, _ in pairs]] = False
            empty = self.accelerator.gather(mine)
            anew += int(self.accelerator.gather(torch.tensor([len(pairs)], device=mine.device)).sum().item())
        self._metrics["train"]["groups/asked_anew"].append(anew)
        return batch, empty

    def _leave_out(self, batch: dict[str, Any], empty: Tensor) -> None:
        leave_out(batch, self._mine(empty), self.num_generations)
        left = batch["completion_mask"].sum()
        batch["num_items_in_batch"] = self.accelerator.gather(left).sum()
        self.weight = share_left(int((~empty).sum()), len(empty), self.args)
        self._metrics["train"]["groups/left_out"].append(int(empty.sum()))

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """A schedule that ends above zero asks for the rate it began at; DeepSpeed hides the optimiser that knows it."""
        wrapped: Any = getattr(optimizer or self.optimizer, "optimizer", None)
        if self.is_deepspeed_enabled and not hasattr(wrapped, "defaults"):
            wrapped.defaults = wrapped.optimizer.defaults
        return super().create_scheduler(num_training_steps, optimizer)

    def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
        return super().compute_loss(*args, **kwargs) * self.weight

    def training_step(self, *args: Any, **kwargs: Any) -> Any:
        """TRL's, and at the end of an update how many looks it took."""
        loss = super().training_step(*args, **kwargs)
        if self._step % self.current_gradient_accumulation_steps == 0:
            self._count_the_looks()
        return loss

    def _count_the_looks(self) -> None:
        taken = [self.looks.taken(), self.reference_looks.taken()]
        mine = torch.tensor([taken], dtype=torch.float32, device=self.accelerator.device)
        policy, reference = self.accelerator.gather(mine).sum(0).tolist()
        self._metrics["train"]["looks"].append(policy)
        if self.reference_looks is not self.looks and self.ref_model is not None:
            self._metrics["train"]["looks/reference"].append(reference)

    def _generate_single_turn(
        self, prompt_ids: Any, images: Any, multimodal_fields: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        """Replies to at most `rollouts_at_once` prompts side by side: keys and values of so many are held at once."""
        most = getattr(self.args, "rollouts_at_once", 0)
        if self.use_vllm or not most or len(prompt_ids) <= most:
            with self._rolling_out():
                return super()._generate_single_turn(prompt_ids, images, multimodal_fields, *args, **kwargs)
        said: list[Any] = []
        for start in range(0, len(prompt_ids), most):
            rows = slice(start, start + most)
            fields = rows_of(multimodal_fields, [len(one) for one in images], rows)
            with self._rolling_out():
                replies, _ = super()._generate_single_turn(
                    prompt_ids[rows], images[rows], fields, *args, **kwargs
                )
            said += replies
        return said, None

    @contextmanager
    def _rolling_out(self) -> Iterator[None]:
        """Our own decoding, below accelerate's pass, which reads weights in float32 that all learn in half precision."""
        if self.use_vllm:
            yield
            return
        model = self.accelerator.unwrap_model(self.model)
        halved = not self.is_peft and not self.is_deepspeed_enabled
        with (
            speaking(model.get_base_model() if self.is_peft else model),
            self.accelerator.autocast() if halved else nullcontext(),
        ):
            yield

    def _get_train_sampler(self, dataset: Any = None) -> EpochSampler:
        args = self.args
        return EpochSampler(
            data_source=self.train_dataset if dataset is None else dataset,
            mini_repeat_count=self.num_generations,
            batch_size=args.generation_batch_size // self.num_generations,
            repeat_count=self.num_iterations * args.steps_per_generation,
            shuffle=self.shuffle_dataset,
            seed=args.seed,
            epoch=lambda: int((self.state.epoch or 0) + 1e-6),
        )

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """Read a full fine-tune's weights through `from_pretrained`, which knows the names it saved under.

        transformers 5.23 feeds them to `load_state_dict(strict=False)`, where 56 of 57 names match nothing,
        and goes on from the base weights with a warning (huggingface/transformers#40187).
        """
        model = self.model if model is None else model
        if isinstance(model, PeftModel) or self.is_deepspeed_enabled or self.is_fsdp_enabled:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
            return
        source = type(model).from_pretrained(resume_from_checkpoint, dtype=model.dtype)
        model.load_state_dict(source.state_dict())

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Our own README, in place of TRL's, in the folder of the run."""
        self._tell(Path(str(self.args.output_dir)))

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        super()._save(output_dir, state_dict)
        self._tell(Path(str(output_dir or self.args.output_dir)))

    def _tell(self, folder: Path) -> None:
        if self.story is not None and self.is_world_process_zero():
            folder.mkdir(parents=True, exist_ok=True)
            self.story.write(folder, self.state.log_history, self.state.global_step)

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: list[str] | None = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Greedy answers to the held-out questions, instead of TRL's rewards of sampled ones."""
        if self.greedy is None:
            return {}
        found = {f"{metric_key_prefix}_{name}": value for name, value in self.greedy(self).items()}
        Trainer.log(self, found)  # TRL's would write down, and forget, what the update has gathered so far
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, found)
        return found


def in_parts(batch: dict[str, Any], parts: int) -> list[dict[str, Any]]:
    """A batch of rollouts cut into as many of equal size, without a copy of anything."""
    size = len(batch["completion_ids"]) // parts
    whole = {name: value for name, value in batch.items() if isinstance(value, Tensor) and value.ndim == 0}
    rows = {name: value for name, value in batch.items() if name not in whole and value is not None}
    cut = [rows_of(rows, batch["num_images"], slice(part * size, (part + 1) * size)) for part in range(parts)]
    return [{**whole, **one} for one in cut]


def rows_of(fields: dict[str, Any], counts: list[int], rows: slice) -> dict[str, Any]:
    """Some rows of a batch, of which row i asks about `counts[i]` photos, each cut into patches as its grid says."""
    first, last = sum(counts[: rows.start]), sum(counts[: rows.stop])
    sizes = fields["image_grid_thw"].prod(-1).tolist()
    cut = {
        "image_grid_thw": fields["image_grid_thw"][first:last],
        "pixel_values": fields["pixel_values"][sum(sizes[:first]) : sum(sizes[:last])],
    }
    return {name: cut[name] if name in cut else value[rows] for name, value in fields.items()}


def _visual(model: Any) -> Any:
    """The vision tower, wherever adapters or wrappers put it."""
    return next(
        module for name, module in model.named_modules() if name == "visual" or name.endswith(".visual")
    )


class TrainingProcessor(ImageOnlyProcessor):
    """A checkpoint's processor, with a `PhotoReader` for eyes. What it saves is the checkpoint's own.

    `card` becomes the `qinsight.json` of every checkpoint, so that the app serves each of them at once.
    """

    plain: ImageOnlyProcessor
    card: dict[str, Any]

    @classmethod
    def around(cls, plain: ImageOnlyProcessor, max_pixels: int, card: dict[str, Any]) -> "TrainingProcessor":
        """The same words and pixels, remembered; `max_pixels` bounds the view of every photo."""
        reader = PhotoReader.around(plain.image_processor, max_pixels)
        processor = cls(reader, plain.tokenizer, chat_template=plain.chat_template)
        processor.plain, processor.card = plain, card
        return processor

    def save_pretrained(self, save_directory: Any, **kwargs: Any) -> Any:
        saved = self.plain.save_pretrained(save_directory, **kwargs)
        card = json.dumps(self.card, indent=2, ensure_ascii=False) + "\n"
        (Path(save_directory) / "qinsight.json").write_text(card, encoding="utf-8")
        return saved


class PhotoReader(Qwen2VLImageProcessorPil):
    """A checkpoint's image processor that opens paths as the app does, and cuts each photo into patches once.

    A batch holds each photo once for every rollout, and TRL asks for its patches twice: 16 times the work
    for 8 rollouts. All resizing is done here, within `max_pixels`, so that any engine that is handed the same
    view sees the same pixels.
    """

    batch: tuple[list[BatchFeature], dict[str, Tensor]] | None

    @classmethod
    def around(cls, processor: Qwen2VLImageProcessorPil, max_pixels: int) -> "PhotoReader":
        """The same settings, with the memory of this class."""
        limits = {"shortest_edge": MIN_PIXELS, "longest_edge": max_pixels}
        reader = cls(**{**processor.to_dict(), "size": limits})
        reader.views = Memory(lambda path: view(load_photo(path), max_pixels))
        reader.patches = Memory(reader._cut)
        reader.batch = None
        return reader

    def fetch_images(self, source: Any) -> Any:
        """Paths become views, at any depth of lists; pictures stay as they are."""
        paths = [one for one in _flat(source) if isinstance(one, str)]
        self.views.learn(paths)
        return self._fetched(source)

    def preprocess(self, images: Any, **kwargs: Any) -> BatchFeature:
        """`pixel_values` (patches of all photos in order, 1176) and `image_grid_thw` (photos, 3)."""
        photos = _flat(images)
        alike = {id(one): one for one in photos}
        self.patches.size = max(self.patches.size, len(alike))
        marks = {place: _mark(one) for place, one in alike.items()}
        cut = [self.patches(marks[id(one)], one) for one in photos]
        before, self.batch = self.batch, None
        if before and len(before[0]) == len(cut) and all(map(operator.is_, before[0], cut)):
            data = before[1]  # TRL asks twice for the patches of a batch
        else:
            data = {
                name: torch.cat([one[name] for one in cut]) for name in ("pixel_values", "image_grid_thw")
            }
            self.batch = (cut, data)
        return BatchFeature(dict(data), tensor_type=kwargs.get("return_tensors"))

    def _cut(self, photo: Image.Image) -> BatchFeature:
        return super().preprocess([photo], return_tensors="pt")

    def _fetched(self, source: Any) -> Any:
        if isinstance(source, list | tuple):
            return [self._fetched(one) for one in source]
        return self.views(source, source) if isinstance(source, str) else source


class Memory:
    """What was made of the last few things, so that it is made once."""

    def __init__(self, make: Callable[[Any], Any], size: int = REMEMBERED) -> None:
        self.make, self.size = make, size
        self.kept: OrderedDict[Any, tuple[Any, Any]] = OrderedDict()

    def __call__(self, key: Any, thing: Any) -> Any:
        """What is made of `thing`, which is kept too: while it is, no other can have its `id`."""
        if key not in self.kept:
            self.kept[key] = (thing, self.make(thing))
        self.kept.move_to_end(key)
        while len(self.kept) > self.size:
            self.kept.popitem(last=False)
        return self.kept[key][1]

    def learn(self, things: Sequence[Any]) -> None:
        """Make what is new of all of them side by side; the memory grows to hold a whole batch."""
        new = [thing for thing in dict.fromkeys(things) if thing not in self.kept]
        self.size = max(self.size, len(set(things)))
        if len(new) > 1:
            with ThreadPoolExecutor() as pool:
                for thing, made in zip(new, pool.map(self.make, new), strict=True):
                    self.kept[thing] = (thing, made)


def _mark(photo: Image.Image) -> Any:
    """What equal pictures share: TRL copies those that it hands to vLLM."""
    return (photo.size, photo.mode, hashlib.sha256(photo.tobytes()).digest())


def _flat(source: Any) -> list[Any]:
    if isinstance(source, list | tuple):
        return [one for part in source for one in _flat(part)]
    return [source]
