"""What a GGUF file says of itself before its weights, and whether all of them are there.

Read here rather than by the `gguf` package: whoever only opens a converted folder does not need that.
"""

import math
import struct
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO

from qinsight.errors import EngineError

MAGIC = b"GGUF"
ALIGNMENT = 32
MOST_PIXELS = (
    "qinsight.most_pixels"  # our own setting: what the checkpoint's image processor never goes beyond
)
PENALTY = "general.sampling.penalty_repeat"
# How the format numbers its plain values; 8 is a text, 9 a list.
_PLAIN = {
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    7: "<?",
    10: "<Q",
    11: "<q",
    12: "<d",
}
_TEXT, _LIST = 8, 9
# Bytes of so many weights, by the format's number of their type: f32, f16, q4_0, ..., q6_k, bf16.
_BLOCKS = {
    **{0: (1, 4), 1: (1, 2), 30: (1, 2)},
    **{2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34)},
    **{10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210)},
}
FILE_TYPES = {0: "f32", 1: "f16", 2: "q4_0", 7: "q8_0", 9: "q5_1", 15: "q4_k_m", 32: "bf16"}


class Type(StrEnum):
    """How the language model's weights are held; those of the vision tower in f16, or in f32 with them."""

    F32 = "f32"
    F16 = "f16"
    Q8_0 = "q8_0"
    Q5_1 = "q5_1"
    Q4_0 = "q4_0"
    Q4_K_M = "q4_k_m"


@dataclass(frozen=True)
class Header:
    """The settings of one file; a list is only told by its length."""

    file: Path
    told: dict[str, Any]

    @property
    def architecture(self) -> str:
        return str(self.told.get("general.architecture"))

    @property
    def type(self) -> str:
        """How most of its weights are held."""
        return FILE_TYPES.get(self.told.get("general.file_type", -1), "gguf")


class _Short(Exception):
    """The file ends before it should, or says what cannot be."""


def read_header(file: Path) -> Header:
    """The header of a GGUF file all of whose weights are there; `EngineError` if it is none or was cut."""
    try:
        size = file.stat().st_size
        with file.open("rb") as opened:
            if opened.read(4) != MAGIC:
                raise EngineError(
                    "Expected a GGUF file; {file} of {folder} is none.",
                    file=file.name,
                    folder=file.parent.name,
                )
            told, end = _read(opened, size)
    except OSError as error:
        raise EngineError(
            "The file {file} of {folder} cannot be read: {cause}.",
            file=file.name,
            folder=file.parent.name,
            cause=error.strerror or error,
        ) from error
    except (_Short, UnicodeDecodeError, struct.error) as error:
        raise _cut(file) from error
    if end > size:
        raise _cut(file)
    return Header(file, told)


def _cut(file: Path) -> EngineError:
    return EngineError(
        "The file {file} of {folder} is damaged or was cut short. Convert the weights again, or copy it again.",
        file=file.name,
        folder=file.parent.name,
    )


def _read(opened: BinaryIO, size: int) -> tuple[dict[str, Any], int]:
    """What it tells, and where its last weight ends."""
    _number(opened, "<I")  # the version
    tensors, settings = _number(opened, "<Q"), _number(opened, "<Q")
    if max(tensors, settings) > size:
        raise _Short
    told = {}
    for _ in range(settings):
        name = _text(opened, size)
        told[name] = _value(opened, _number(opened, "<I"), size)
    end = max((_end(opened, size) for _ in range(tensors)), default=0)
    _check(told)
    alignment = told.get("general.alignment", ALIGNMENT)
    return told, -(-opened.tell() // alignment) * alignment + end


def _check(told: dict[str, Any]) -> None:
    """`_Short` where a setting that we reckon with is no number above 0."""
    for name, kind in (("general.alignment", int), (MOST_PIXELS, int), (PENALTY, float)):
        if name in told and not (isinstance(told[name], kind) and 0 < told[name] < math.inf):
            raise _Short


def _end(opened: BinaryIO, size: int) -> int:
    """Where the next tensor of the list ends, counted from the first."""
    _text(opened, size)
    count = 1
    for _ in range(_number(opened, "<I")):
        count *= _number(opened, "<Q")
    weights, taken = _BLOCKS.get(_number(opened, "<I"), (1, 0))
    return int(_number(opened, "<Q")) + count // weights * taken


def _value(opened: BinaryIO, kind: int, size: int) -> Any:
    if kind == _TEXT:
        return _text(opened, size)
    if kind != _LIST:
        return _number(opened, _PLAIN.get(kind, "<B"))
    inside, length = _number(opened, "<I"), _number(opened, "<Q")
    if length > size or inside == _LIST:
        raise _Short
    if inside == _TEXT:
        for _ in range(length):
            _text(opened, size)
    else:
        opened.seek(length * struct.calcsize(_PLAIN.get(inside, "<B")), 1)
    return length


def _text(opened: BinaryIO, size: int) -> str:
    length = _number(opened, "<Q")
    if length > size:
        raise _Short
    return opened.read(length).decode("utf-8")


def _number(opened: BinaryIO, form: str) -> Any:
    return struct.unpack(form, opened.read(struct.calcsize(form)))[0]
