"""From the name of a model to a folder on this disk: local folders, the hub, adapters, the preview.

No torch here. What is found wrong is said before a single weight is read.
"""

import hashlib
import json
import math
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from qinsight.engines.fetch import fetch, large_files
from qinsight.errors import EngineError
from qinsight.photos.view import MIN_PIXELS
from qinsight.prompts import KNOWN_BEFORE, Order, Task
from qinsight.requests import MAX_PIXELS, Request
from qinsight.sentence import Sentence, told_bytes

PUBLISHED = "ByteDance/Q-Insight"
PUBLISHED_PARAMETERS = 8_292_166_656  # Qwen2.5-VL-7B with its vision tower
PREVIEW = Path(__file__).parents[1] / "preview"
PREVIEW_NAME = "Q-Insight preview"
PARTS = ("score_degradation", "comparison")  # the subfolders of the published repository
INDEX = "model.safetensors.index.json"
WEIGHTS = (".safetensors", ".gguf")
PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")  # older and newer savers

Progress = Callable[[Sentence, float | None], None]
"""Told what is going on in a few words, and how much of it is done (0..1) where that is known."""


def silent(words: Sentence, done: float | None) -> None:
    """The progress that nobody watches."""


class Precision(StrEnum):
    """How weights are held: `auto` takes the best that fits."""

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"
    NF4 = "nf4"


class Device(StrEnum):
    """Where the model runs: `auto` takes a GPU if there is one."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    MPS = "mps"


@dataclass(frozen=True)
class Checkpoint:
    """One set of weights on this disk, with what its `qinsight.json` says of it.

    `base` is set for a LoRA adapter: the checkpoint it was trained on.
    """

    folder: Path
    name: str
    tasks: frozenset[Task] = KNOWN_BEFORE
    order: Order = Order.QUESTION_FIRST
    preview: bool = False
    max_pixels: int = MAX_PIXELS
    note: str = ""
    base: "Checkpoint | None" = None
    source: str = ""  # the fingerprint of the weights that it was converted from

    @property
    def folders(self) -> list[Path]:
        """Where its files are: an adapter's own, and those of what it was trained on."""
        return [self.folder, *(self.base.folders if self.base else [])]

    @property
    def weight_files(self) -> list[Path]:
        return [self.folder / shard for shard in _shards(self.folder)]


@dataclass(frozen=True)
class Part:
    """One set of weights that may still have to be downloaded."""

    name: str
    source: str
    subfolder: str = ""
    local: bool = True

    def fetch(self, progress: Progress = silent) -> Checkpoint:
        """The checkpoint, downloaded first where it is not on this disk; `EngineError` if it cannot be had."""
        return read_checkpoint(self.folder(progress), name=self.name, progress=progress)

    def folder(self, progress: Progress = silent) -> Path:
        """Where it is on this disk, downloaded first where it is not."""
        return self._files("*", progress)

    def settings(self) -> Path:
        """Where its config.json is, downloaded without the weights where they are not here."""
        return self._files("config.json", silent)

    def _files(self, names: str, progress: Progress) -> Path:
        if self.local:
            return Path(self.source).expanduser() / self.subfolder
        pattern = f"{self.subfolder}/{names}" if self.subfolder else names
        return _download(self.source, pattern, progress) / self.subfolder

    def to_come(self) -> int:
        """Bytes that are still to be downloaded."""
        return 0 if self.local else _to_come(self.source, f"{self.subfolder}/*" if self.subfolder else "*")


@dataclass(frozen=True)
class Model:
    """What `--model` names: one checkpoint for everything, or the two of the published layout."""

    name: str
    parts: dict[str, Part]

    @property
    def fingerprint(self) -> str:
        """Sixteen pieces of every weight file, hashed: a checkpoint trained on has another one under the same name.

        Empty for weights of the hub, which are known by their name.
        """
        seen = hashlib.sha256()
        for part in self.parts.values():
            if not part.local:
                return ""
            files = (file for file in part.folder().rglob("*.*") if file.suffix in WEIGHTS)
            for file in sorted(files):
                size = file.stat().st_size
                seen.update(f"{file.name} {size} ".encode())
                with file.open("rb") as content:
                    for piece in range(16):
                        content.seek(size * piece // 16)
                        seen.update(content.read(1 << 16))
        return seen.hexdigest()[:16]

    @property
    def folders(self) -> list[Path]:
        """Where the files of all parts are, where none of them is the hub's."""
        parts = self.parts.values()
        return [part.folder() for part in parts] if all(part.local for part in parts) else []

    def by_part(self, requests: Sequence[Request]) -> dict[str, list[int]]:
        """The numbers of the requests that each of `parts` answers."""
        found: dict[str, list[int]] = {}
        for number, request in enumerate(requests):
            found.setdefault(self.part_for(request), []).append(number)
        return found

    def part_for(self, request: Request) -> str:
        """Which of `parts` answers the request.

        The published comparison weights were trained with a reference only; without one the paper asks
        the score weights, zero-shot, and so do we (design 4.2).
        """
        if len(self.parts) == 1 and "" in self.parts:
            return ""
        wanted = PARTS[1] if request.reference else PARTS[0]
        if wanted not in self.parts:
            raise EngineError(
                "Expected a subfolder {wanted!r} in {name}, which answers this question; it has none.",
                wanted=wanted,
                name=self.name,
            )
        return wanted


def locate(model: str, progress: Progress = silent) -> Model:
    """The model behind a folder, a hub id, or the word `preview`."""
    if model == "preview":
        return Model("preview", {"": Part(PREVIEW_NAME, str(PREVIEW))})
    try:
        path = Path(model).expanduser()
        is_folder, is_there = path.is_dir(), path.exists()
    except (OSError, RuntimeError) as error:  # a name too long, a folder without permission, no such ~user
        raise EngineError(
            "Expected a folder with a checkpoint; {model} cannot be opened ({error}).",
            model=model[:80],
            error=error,
        ) from error
    if is_folder:
        found = {
            part: Part(f"{path.name}/{part}", str(path), part) for part in PARTS if (path / part).is_dir()
        }
        return Model(path.name or str(path), found or {"": Part(path.resolve().name, str(path))})
    if is_there:
        raise EngineError("Expected a folder with a checkpoint; {model} is a file.", model=model)
    if model.count("/") != 1 or model.startswith((".", "/", "~")):
        raise EngineError(
            "Expected a folder, a hub id such as {published}, or the word preview; found no folder {model}.",
            published=PUBLISHED,
            model=model,
        )
    return _on_the_hub(model, progress)


def holds_gguf(model: str) -> bool:
    """Whether a model's name is that of a folder with converted weights, and no others to be asked."""
    try:
        folder = Path(model).expanduser()
        places = [folder / part for part in ("", *PARTS)]
        return any(any(place.glob("*.gguf")) and not _holds_others(place) for place in places)
    except (OSError, RuntimeError):  # a name too long, no such ~user
        return False


def _holds_others(place: Path) -> bool:
    return (place / "config.json").exists() and any(place.glob("*.safetensors"))


def read_checkpoint(folder: Path, *, name: str = "", progress: Progress = silent) -> Checkpoint:
    """The checkpoint in a folder, its architecture and files checked; `EngineError` says what is wrong."""
    name = name or folder.name
    if not folder.is_dir():
        raise EngineError("Expected a folder with a checkpoint for {name}; there is none.", name=name)
    card = read_json(folder / "qinsight.json") if (folder / "qinsight.json").exists() else {}
    base = _base_of_adapter(folder, name, card, progress)
    if base is None:
        _check_weights(folder, name)
    return described(folder, name, card, base)


def described(folder: Path, name: str, card: dict[str, Any], base: Checkpoint | None = None) -> Checkpoint:
    """The checkpoint in a folder, as its `qinsight.json` tells of it."""
    try:
        max_pixels = int(card.get("max_pixels", base.max_pixels if base else MAX_PIXELS))
        if max_pixels < MIN_PIXELS:
            raise ValueError(f"max_pixels is {max_pixels}, less than {MIN_PIXELS}")
        return Checkpoint(
            folder=folder,
            name=str(card.get("name", name)),
            tasks=frozenset(Task(task) for task in card["tasks"]) if "tasks" in card else KNOWN_BEFORE,
            order=Order(card["order"]) if "order" in card else (base.order if base else Order.QUESTION_FIRST),
            preview=bool(card.get("preview", False)),
            max_pixels=max_pixels,
            note=str(card.get("about", "")),
            base=base,
            source=str(card.get("weights", "")),
        )
    except (ValueError, TypeError, OverflowError) as error:
        raise EngineError(
            "Expected tasks out of {tasks} and an order out of {orders} in qinsight.json of {name}: {error}.",
            tasks=", ".join(Task),
            orders=", ".join(Order),
            name=name,
            error=error,
        ) from error


def _check_weights(folder: Path, name: str) -> None:
    if not (folder / "config.json").exists():
        inside = sorted(path.name for path in folder.iterdir())[:5]
        if not inside:
            raise EngineError(
                "Expected a checkpoint with a config.json in {name}; the folder is empty.", name=name
            )
        raise EngineError(
            "Expected a checkpoint with a config.json in {name}; found {files}.",
            name=name,
            files=", ".join(inside),
        )
    kind = read_json(folder / "config.json").get("model_type")
    if kind != "qwen2_5_vl":
        raise EngineError(
            "Expected a Qwen2.5-VL checkpoint (model_type qwen2_5_vl); {name} is {kind}.",
            name=name,
            kind=repr(kind),
        )
    shards = _shards(folder)
    if missing := [shard for shard in shards if not (folder / shard).exists()]:
        raise EngineError(
            "Expected {count} file(s) of weights in {name}; missing {missing}. Download or copy the folder again.",
            count=len(shards),
            name=name,
            missing=", ".join(missing[:3]),
        )
    for needed in ("tokenizer.json", "tokenizer_config.json"):
        if not (folder / needed).exists():
            raise EngineError(
                "Expected {needed} beside the weights in {name}; it is missing.", needed=needed, name=name
            )
        read_json(folder / needed)
    if (folder / "generation_config.json").exists():
        read_json(folder / "generation_config.json")  # transformers would go on without, and answer otherwise
    if not any((folder / file).exists() for file in PROCESSOR_FILES):
        raise EngineError(
            "Expected {needed} beside the weights in {name}; it is missing.",
            needed=PROCESSOR_FILES[0],
            name=name,
        )
    _check_settings(folder, name)


def _check_settings(folder: Path, name: str) -> None:
    """`EngineError` where a setting is of a kind with which transformers would fail later, or make up its own."""
    for file, setting, fits in _KINDS:
        told = read_json(folder / file) if (folder / file).exists() else {}
        if setting in told and not fits(told[setting]):
            cause = f"{setting} is {told[setting]!r}"[:80]
            raise damaged(file, name, cause)


def _is_object(found: object) -> bool:
    return isinstance(found, dict)


def _is_factor(found: object) -> bool:
    return found is None or (isinstance(found, int | float) and 0 < found < math.inf)


def _is_colour(found: object) -> bool:
    return isinstance(found, list) and all(isinstance(one, int | float) for one in found)


_KINDS: tuple[tuple[str, str, Callable[[object], bool]], ...] = (
    ("config.json", "text_config", _is_object),
    ("config.json", "vision_config", _is_object),
    ("generation_config.json", "repetition_penalty", _is_factor),
    ("preprocessor_config.json", "image_mean", _is_colour),
    ("preprocessor_config.json", "image_std", _is_colour),
)


def _shards(folder: Path) -> list[str]:
    """The names of the weight files, as transformers looks for them: one whole file before an index."""
    index = folder / INDEX
    if (folder / "model.safetensors").exists() or not index.exists():
        return ["model.safetensors"]
    files = read_json(index).get("weight_map")
    if not isinstance(files, dict) or not files or not all(isinstance(file, str) for file in files.values()):
        raise EngineError(
            "Expected a weight_map of tensors to files in {file} of {folder}.",
            file=index.name,
            folder=folder.name,
        )
    return sorted(set(files.values()))


def _base_of_adapter(folder: Path, name: str, card: dict[str, Any], progress: Progress) -> Checkpoint | None:
    """The checkpoint a LoRA adapter belongs to; None where the folder is no adapter."""
    if not (folder / "adapter_config.json").exists():
        return None
    if not (folder / "adapter_model.safetensors").exists():
        raise EngineError(
            "Expected adapter_model.safetensors in the adapter {name}; it is missing.", name=name
        )
    source = card.get("base") or read_json(folder / "adapter_config.json").get("base_model_name_or_path")
    if not source:
        raise EngineError(
            "Expected base_model_name_or_path in adapter_config.json of {name}; it is empty.", name=name
        )
    beside = folder / str(source)
    source = str(beside) if not os.path.isabs(str(source)) and beside.is_dir() else str(source)
    try:
        part = next(iter(locate(source, progress).parts.values()))
        place = part.folder(progress)
        if (place / "adapter_config.json").exists():
            raise EngineError(
                "{name} is an adapter itself; merge it into its own base first.", name=part.name
            )
        return read_checkpoint(place, name=part.name, progress=progress)
    except EngineError as error:
        raise EngineError(
            "The adapter {name} needs its base model {source}: {error}", name=name, source=source, error=error
        ) from error


def damaged(file: str, name: str, cause: object) -> EngineError:
    """What to say of a file of a checkpoint that is not what it should be."""
    return EngineError(
        "The file {file} of {name} is damaged or incomplete ({cause}). Download or copy it again.",
        file=file,
        name=name,
        cause=cause,
    )


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a checkpoint's file, `EngineError` where there is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # ValueError: no UTF-8, no JSON
        raise EngineError(
            "Expected readable JSON in {file} of {folder}: {error}.",
            file=path.name,
            folder=path.parent.name,
            error=error,
        ) from error
    if not isinstance(content, dict):
        raise EngineError(
            "Expected a JSON object in {file} of {folder}, got a list or value.",
            file=path.name,
            folder=path.parent.name,
        )
    return content


# --- the hub ----------------------------------------------------------------------------------------------

_WANTED = ("*.json", "*.safetensors", "*.txt", "*.jinja")


def _on_the_hub(model: str, progress: Progress) -> Model:
    if model == PUBLISHED:
        found = list(PARTS)
    else:
        progress(Sentence("Looking for {model} on the hub", model=model), None)
        files = _hub_files(model)
        found = [part for part in PARTS if any(file.startswith(f"{part}/") for file in files)]
    if found:
        return Model(model, {part: Part(f"{model}/{part}", model, part, local=False) for part in found})
    return Model(model, {"": Part(model, model, local=False)})


def _hub_files(model: str) -> list[str]:
    """File names of a hub repository, from the cache where the hub cannot be reached."""
    from huggingface_hub import HfApi

    try:
        return [file.rfilename for file in HfApi().model_info(model, timeout=10).siblings or []]
    except _hub_failures() as error:
        root = _cached(model, ["*"])
        if root is None:
            raise _refused(model, error) from error
        return [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]


def _planned(model: str, wanted: list[str]) -> list[Any]:
    """What a download of the files that match would do."""
    from huggingface_hub import snapshot_download

    bar = _bar(Sentence(""), 1, silent)
    return list(snapshot_download(model, allow_patterns=wanted, dry_run=True, tqdm_class=bar))


def _to_come(model: str, pattern: str) -> int:
    wanted = [pattern.replace("*", kind) for kind in _WANTED]
    try:
        planned = _planned(model, wanted)
        whole = sum(file.file_size or 0 for file in planned if file.will_download)
        return whole - sum(file.come for file in large_files(model, planned))
    except _hub_failures() as error:
        if _cached(model, wanted) is None:
            raise _refused(model, error) from error
        return 0


def _download(model: str, pattern: str, progress: Progress) -> Path:
    """A snapshot of the files that match, with the bytes told to `progress`; cached files are not fetched."""
    from huggingface_hub import snapshot_download

    wanted = [pattern.replace("*", kind) for kind in _WANTED]
    try:
        plan = _planned(model, wanted)
        size = sum(file.file_size or 0 for file in plan if file.will_download)
        if not size:
            return Path(snapshot_download(model, allow_patterns=wanted, local_files_only=True))
        large = large_files(model, plan)
        _check_disk(model, size - sum(file.come for file in large))
        words = Sentence("Downloading {model} ({size:.1f} GB, once)", model=model, size=size / 1e9)
        progress(words, 0.0)
        count = _Count(words, size, progress)
        fetch(large, count)
        return Path(
            snapshot_download(
                model, allow_patterns=wanted, tqdm_class=_bar(words, size, progress, count.come)
            )
        )
    except _hub_failures() as error:
        cached = _cached(model, wanted)
        if cached is None:
            raise _refused(model, error) from error
        return cached
    except OSError as error:
        raise EngineError(
            "The download of {model} stopped: {cause}. Start once more: it goes on where it was.",
            model=model,
            cause=error.strerror or error,
        ) from error


@dataclass
class _Count:
    """How many of the bytes have come, counted in several threads."""

    words: Sentence
    size: int
    progress: Progress
    come: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, more: int) -> None:
        with self._lock:
            self.come += more
            self.progress(self.words, min(1.0, self.come / self.size))


def _cached(model: str, wanted: list[str]) -> Path | None:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(model, allow_patterns=wanted, local_files_only=True))
    except _hub_failures():
        return None


def _check_disk(model: str, size: int) -> None:
    import shutil

    free = shutil.disk_usage(hub_disk()).free
    if free < size * 1.05:
        raise EngineError(
            "Expected {size} of free disk for {model}; there are {free}. "
            "Make room, or set HF_HOME to a larger disk.",
            size=told_bytes(size),
            model=model,
            free=told_bytes(free),
        )


def hub_disk() -> Path:
    """A folder that is there, on the disk to which the hub's files come."""
    from huggingface_hub.constants import HF_HUB_CACHE

    return existing(Path(HF_HUB_CACHE))


def existing(place: Path) -> Path:
    """The place, or the folder in which it would be made."""
    return next(folder for folder in (place, *place.parents) if folder.exists())


def _bar(words: Sentence, size: int, progress: Progress, before: int = 0) -> type:
    """A progress bar class that prints nothing and tells `progress` how many of the bytes have come, after those `before`."""
    from tqdm import tqdm

    class Bar(tqdm):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs.pop("name", None)
            self.counts_bytes = kwargs.get("unit") == "B"
            super().__init__(*args, **{**kwargs, "disable": False, "file": open(os.devnull, "w")})  # noqa: SIM115

        def update(self, n: float | None = 1) -> bool | None:
            result = super().update(n)
            if self.counts_bytes:
                progress(words, min(1.0, (before + self.n) / size))
            return result

    return Bar


def _hub_failures() -> tuple[type[Exception], ...]:
    """What the hub client raises when there is no network, no such model, or no permission."""
    from huggingface_hub import errors

    # errors.HTTPError is the base class of whichever HTTP client this version of the hub stands on
    return (
        errors.HTTPError,
        errors.HFValidationError,
        errors.LocalEntryNotFoundError,
        errors.DryRunError,
        ConnectionError,
    )


def _refused(model: str, error: Exception) -> EngineError:
    from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError

    if isinstance(error, GatedRepoError):
        return EngineError(
            "{model} asks for a permission on its hub page; log in with `hf auth login` first.", model=model
        )
    if isinstance(error, RepositoryNotFoundError | HFValidationError):
        return EngineError(
            "Expected a model on the hub; there is none called {model} that you may see.", model=model
        )
    return EngineError(
        "{model} is not on this disk and the hub cannot be reached to download it. "
        "Connect to the network, or use --model preview, or name a folder that has the weights.",
        model=model,
    )
