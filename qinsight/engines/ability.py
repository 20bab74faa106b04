"""What this computer can do with the published weights: how it would hold them, how long a photo takes, which command.

Times follow from what was measured: how long processors worked on a question, and how fast this one reads its memory.
They are told for processors of the kind on which that was measured, and of no others.
"""

import importlib.util
import platform
import shutil
import sys
import time
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import psutil

from qinsight.engines.checkpoint import PUBLISHED, PUBLISHED_PARAMETERS, existing, hub_disk
from qinsight.engines.gguf_header import Type
from qinsight.engines.kept import SIZE, cache_folder
from qinsight.engines.llama_engine import BESIDE, PACKAGE
from qinsight.sentence import Sentence

DOWNLOAD = 2 * PUBLISHED_PARAMETERS  # bytes: bf16
# Bytes of the two converted files, and those of them that are read for each word (without the vision tower and the words
# that are not said): a checkpoint of the published shapes, converted on 2026-11-26.
CONVERTED = {Type.Q8_0: 9_453_152_544, Type.Q4_0: 6_190_508_320}
VISION, EMBEDDING = 1_357_173_344, 579_059_712
SPARE = 1.1  # of memory, so that other programs go on
# A question about a photo of 1 megapixel, of the published shapes, in seconds of one core: llama.cpp (AVX2, 4 bits), 184.6 on
# two cores of a Sapphire Rapids; ours in NF4 with bf16 products, 30.4 for the tower and 73.4 for the prompt on an EPYC.
LLAMA_QUESTION, OUR_LOOK, OUR_QUESTION = 369.0, 30.4, 73.4
LLAMA_REACHES, WE_REACH = 0.72, 0.57  # of the memory's speed while words are said, there
WORDS = 150  # of a reply
QUESTIONS = 2  # about a photo: score and diagnosis
MEASURED_ON = ("x86_64", "amd64")  # machines, as Python calls them
_TRIED = 1 << 27  # bytes that are read to see how fast


class Lack(StrEnum):
    """What this computer has too little of."""

    MEMORY = "memory"
    DISK = "disk"


@dataclass(frozen=True)
class Computer:
    """What matters of a computer; `speed` is bytes a second that it reads, None where that was not measured.

    `python` is how a person calls ours, `missing` are the packages that converted weights want and that are not installed.
    """

    memory: float
    free: float
    disk: float
    cores: int
    machine: str
    bf16: bool = False
    speed: float | None = None
    python: str = "python"
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ability:
    """What a computer can do with the published weights, or what it `lacks`: it has `free` of the bytes `needed`.

    `how` names the type in which they are held, `seconds` are those of a photo, score and diagnosis, about; None where that
    is not known.
    """

    computer: Computer
    how: str
    needed: float
    free: float
    command: str
    lacks: Lack | None = None
    seconds: float | None = None

    @property
    def sentence(self) -> Sentence:
        """All of it, for the person at the page."""
        memory, cores = round(self.computer.memory / 2**30), self.computer.cores
        here = Sentence("This computer ({memory} GB, {cores} cores)", memory=memory, cores=cores)
        held = Sentence("{bits} bits ({how})", bits=8 if self.how == Type.Q8_0 else 4, how=self.how)
        if self.lacks is Lack.MEMORY:
            return Sentence(
                "{here} cannot run the published weights now: in {held} they want {needed:.1f} GB of free memory, and "
                "{free:.1f} GB are free.",
                here=here,
                held=held,
                needed=self.needed / 1e9,
                free=self.free / 1e9,
            )
        if self.lacks is Lack.DISK:
            return Sentence(
                "{here} could run the published weights in {held}, which want {needed:.1f} GB of free disk; {free:.1f} GB "
                "are free.",
                here=here,
                held=held,
                needed=self.needed / 1e9,
                free=self.free / 1e9,
            )
        return Sentence(
            "{here} can run the published weights in {held}: {time}. One command downloads {download:.1f} GB, prepares and "
            "opens them, and goes on where it was ended: `{command}`",
            here=here,
            held=held,
            time=_about(self.seconds),
            download=DOWNLOAD / 1e9,
            command=self.command,
        )


def _about(seconds: float | None) -> Sentence:
    """Roughly: processors of a kind differ by half as much."""
    if seconds is None:
        return Sentence("how long a photo takes is not known")
    if seconds < 50:
        return Sentence("about {seconds} seconds a photo", seconds=max(10, round(seconds, -1)))
    if seconds < 90:
        return Sentence("about a minute a photo")
    return Sentence("about {minutes} minutes a photo", minutes=round(seconds / 60))


def ability(computer: Computer) -> Ability:
    """The best way that fits."""
    ways = [_by_ourselves(computer)] if computer.bf16 else []
    ways += [_converted(kind, computer) for kind in CONVERTED]
    return next((way for way in ways if way.lacks is None), ways[-1])


def this_computer() -> Computer:
    """The one that runs this, with the speed of its memory, which takes a moment to measure."""
    memory = psutil.virtual_memory()
    disk = min(shutil.disk_usage(place).free for place in (hub_disk(), existing(cache_folder("gguf"))))
    cores = psutil.cpu_count(logical=False) or psutil.cpu_count() or 1
    machine = platform.machine().lower()
    known = machine in MEASURED_ON
    return Computer(
        memory.total,
        memory.available,
        disk,
        cores,
        machine,
        known and _has_bf16(),
        _speed() if known else None,
        _python(),
        tuple(name for name in ("gguf", PACKAGE) if importlib.util.find_spec(name) is None),
    )


def _python() -> str:
    """The interpreter that runs this, as one calls it from here: the environment is seldom the one that is active."""
    ours, here = Path(sys.executable), Path.cwd()
    return str(ours.relative_to(here)) if ours.is_relative_to(here) else "python"


def _has_bf16() -> bool:
    """As `products.has_kernel`, without the seconds in which bitsandbytes is imported."""
    import torch

    told = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(told and told())


def _by_ourselves(computer: Computer) -> Ability:
    """In NF4 by our own engine, where the processor multiplies it."""
    size = SIZE * PUBLISHED_PARAMETERS
    core_seconds = OUR_LOOK + QUESTIONS * OUR_QUESTION
    command = f"{computer.python} app.py --model {PUBLISHED} --precision nf4"
    seconds = _seconds(computer, core_seconds, WORDS * (size - VISION) / WE_REACH)
    return _checked(computer, "nf4", size, DOWNLOAD + size, command, seconds)


def _converted(kind: Type, computer: Computer) -> Ability:
    """By llama.cpp, which is asked one question after the other."""
    size = CONVERTED[kind]
    read = (size - VISION - EMBEDDING) / LLAMA_REACHES
    seconds = _seconds(computer, QUESTIONS * LLAMA_QUESTION, QUESTIONS * WORDS * read)
    command = f"{computer.python} app.py --convert {kind}"
    if computer.missing:
        command = f"{computer.python} -m pip install {' '.join(computer.missing)} && {command}"
    return _checked(computer, str(kind), size + BESIDE, DOWNLOAD + size, command, seconds)


def _checked(
    computer: Computer, how: str, memory: float, disk: float, command: str, seconds: float | None
) -> Ability:
    if memory * SPARE > computer.free:
        return Ability(computer, how, memory * SPARE, computer.free, command, Lack.MEMORY)
    if disk > computer.disk:
        return Ability(computer, how, disk, computer.disk, command, Lack.DISK)
    return Ability(computer, how, disk, computer.disk, command, seconds=seconds)


def _seconds(computer: Computer, core_seconds: float, read: float) -> float | None:
    if computer.speed is None:
        return None
    return core_seconds / computer.cores + read / computer.speed


def _speed() -> float:
    """Bytes a second that all cores read from memory together."""
    import torch

    numbers = torch.ones(_TRIED // 4)
    took = []
    for _ in range(3):
        started = time.perf_counter()
        numbers.sum()
        took.append(time.perf_counter() - started)
    return _TRIED / min(took)
