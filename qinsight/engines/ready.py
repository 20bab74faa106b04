"""From the name of a model to weights that llama.cpp opens: downloaded, converted once, kept in this user's cache.

    python app.py --convert q4_0

Whether memory and disk are enough is said before anything is downloaded. A command that was killed goes on where it
was: in the middle of a file that it downloads, after the last part that it converted.
"""

import contextlib
import shutil
from pathlib import Path

from qinsight.engines.checkpoint import (
    PUBLISHED,
    WEIGHTS,
    Model,
    Part,
    Progress,
    existing,
    holds_gguf,
    hub_disk,
    locate,
    read_json,
    silent,
)
from qinsight.engines.convert import check_type, convert, converted_size
from qinsight.engines.convert_settings import Config
from qinsight.engines.gguf_header import Type
from qinsight.engines.kept import STATE, cache_folder, name_of
from qinsight.engines.llama_engine import check_memory, check_package
from qinsight.errors import EngineError
from qinsight.sentence import told_bytes


def ready(model: str, kind: Type, progress: Progress = silent) -> Path:
    """The folder of the converted weights of `model` (`auto`: the published ones), made first where it is not there.

    Of the published layout it is the part that answers about one photo and which of two is better, and not the one that
    wants a reference. `EngineError` says what is missing.
    """
    name = PUBLISHED if model == "auto" else model
    if holds_gguf(name):
        raise EngineError("{model} is converted already; leave out --convert.", model=name)
    found = None if _is_hub_id(name) else locate(name)
    place = _place(name, kind, found)
    if place.exists():
        return place
    check_type(kind)
    check_package()
    found = found or locate(name, progress)
    subfolder, part = next(iter(found.parts.items()))
    _check_room(part, kind, place)
    if found.folders:
        _forget_older(place)
    convert(name, place, kind, progress, parts=[subfolder])
    return place


def _is_hub_id(name: str) -> bool:
    return name == PUBLISHED or (name.count("/") == 1 and not Path(name).expanduser().exists())


def _place(name: str, kind: Type, found: Model | None) -> Path:
    """Another one for other weights: those of a folder change when it is trained on."""
    if found is None:
        return cache_folder("gguf") / f"{name.replace('/', '--')}-{kind}"
    folder = found.folders[0]
    files = sorted(file for file in folder.glob("*") if file.suffix in (".json", *WEIGHTS))
    return cache_folder("gguf") / f"{found.name}-{kind}-{name_of(files)}"


def _forget_older(place: Path) -> None:
    """Delete what was made of earlier weights of the same folder."""
    for old in place.parent.glob("*"):
        if old.name[:-STATE] == place.name[:-STATE]:
            with contextlib.suppress(OSError):
                shutil.rmtree(old)


def _check_room(part: Part, kind: Type, place: Path) -> None:
    settings = part.settings() / "config.json"
    config = read_json(settings) if settings.exists() else {}
    if config.get("model_type") != "qwen2_5_vl":
        return  # what it is instead, `convert` says
    size = converted_size(Config(part.name, config), kind)
    check_memory(size, part.name, kind)
    _check_disks(part, size, place)


def _check_disks(part: Part, size: int, place: Path) -> None:
    """What comes and what is made of it, on one disk or on two."""
    coming = part.to_come()
    needs: dict[int, int] = {}
    for folder, more in ((hub_disk(), coming), (existing(place), size)):
        disk = folder.stat().st_dev
        needs[disk] = needs.get(disk, 0) + more
        free = shutil.disk_usage(folder).free
        if needs[disk] > free:
            raise EngineError(
                "Expected {size} of free disk for {model}: {coming} to download, {converted} "
                "converted; there are {free}. Make room, or set HF_HOME and XDG_CACHE_HOME to a larger disk.",
                size=told_bytes(coming + size),
                model=part.name,
                coming=told_bytes(coming),
                converted=told_bytes(size),
                free=told_bytes(free),
            )
