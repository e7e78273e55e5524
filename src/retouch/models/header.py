"""The header of a safetensors file, read without torch: eight bytes of length, then JSON.

The layout is that of the safetensors format, version 0.3 and later (Hugging Face, 2022).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from retouch.image.errors import RetouchError
from retouch.models.card import Card

HEADER = "retouch"
"""The key of the safetensors metadata that holds the card."""

_LARGEST_HEADER = 100_000_000  # bytes; the limit of the safetensors library
_WIDTHS = {"BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2,
           "I32": 4, "U32": 4, "F32": 4, "I64": 8, "U64": 8, "F64": 8}  # fmt: skip


@dataclass(frozen=True)
class Header:
    """``metadata``: free text by key. ``shapes``: of each tensor. ``size``: of the whole file in bytes."""

    metadata: Mapping[str, str]
    shapes: Mapping[str, tuple[int, ...]]
    size: int


def read_header(path: str | Path) -> Header:
    """The header of a safetensors file.

    Raises ``RetouchError`` for a file that cannot be read, a pickle, one that is no safetensors file, and one that is
    shorter or longer than its header says.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            start = file.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else _LARGEST_HEADER + 1
            if length > min(_LARGEST_HEADER, size - 8):
                raise RetouchError(f"{path}: {_not_safetensors(start)}")
            text = file.read(length)
    except OSError as error:
        raise RetouchError(f"{path}: cannot read the weight: {error.strerror or error}") from error
    try:
        table = json.loads(text)
        metadata = table.pop("__metadata__", {})
        if any(not isinstance(value, str) for value in metadata.values()):
            raise TypeError("metadata that is no text")
        shapes, end = {}, 0
        for name, about in table.items():
            shapes[name] = tuple(int(side) for side in about["shape"])
            first, last = about["data_offsets"]
            numbers = 1
            for side in shapes[name]:
                numbers *= side
            if first < 0 or last - first != numbers * _WIDTHS.get(about["dtype"], (last - first) / max(numbers, 1)):
                raise ValueError(f"'{name}' does not fill its place")
            end = max(end, last)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise RetouchError(f"{path}: {_not_safetensors(start)} ({error})") from error
    if 8 + length + end != size:
        raise RetouchError(f"{path}: truncated, or not a safetensors file: {size} bytes, not {8 + length + end}")
    return Header(metadata, shapes, size)


def _not_safetensors(start: bytes) -> str:
    """What a file that begins so is, rather than safetensors."""
    # a pickle names its protocol and goes on; the length of a header can begin with the same two bytes, but not three
    pickled = start[:1] == b"\x80" and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05") and start[2:3] > b"\x00"
    if start[:2] == b"PK" or pickled:
        return "a pickle, which could run code when opened, is refused; retouch models convert reads it safely"
    return "truncated, or not a safetensors file"


def read_card(path: str | Path) -> Card:
    """The card of a weight; only the header is read. Raises ``RetouchError`` for anything but a weight of Retouch."""
    metadata = read_header(path).metadata
    if HEADER not in metadata:
        raise RetouchError(
            f"{path}: no weight of Retouch: its header has no card (retouch models convert makes one of other weights)"
        )
    return Card.from_json(metadata[HEADER], str(path))
