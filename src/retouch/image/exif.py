"""EXIF and XMP blocks: orientation, thumbnail, picture size, and tags moved between EXIF blocks and TIFF files.

Values are opaque bytes: a tag that nobody here knows, a MakerNote for one, comes out as it went in. Blocks are patched
in place wherever possible, because many MakerNotes hold offsets that a rewritten block would break.

Source: CIPA DC-008 (Exif 2.32) section 4.5 and 4.6; TIFF 6.0 section 2.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

ORIENTATION, SOFTWARE, ICC = 274, 305, 34675
EXIF_POINTER, GPS_POINTER, INTEROP_POINTER = 34665, 34853, 40965
_POINTERS = {EXIF_POINTER, GPS_POINTER, INTEROP_POINTER}
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}  # bytes a value, by type
_INTEGERS = {3: "H", 4: "I", 8: "h", 9: "i"}
_LARGEST_TAG = 1 << 20  # bytes; a description is never as large, embedded previews and editors' layers are
_JPEG_ROOM = 65527  # bytes of a block in a JPEG
_LARGEST_BLOCK = 1 << 24  # bytes; a forged directory can name the same megabyte thousands of times

# Tags of a TIFF directory that say how its pixels are laid out, or that hold what Metadata keeps in a field of its own
# (resolution, XMP, ICC), or that tie it to other parts of the file: they never travel with the EXIF tags.
STRUCTURAL = (
    frozenset(range(254, 269))
    | {273, *range(277, 285), 290, 291, 292, 293, 296, 297, 301, *range(317, 333), 334, 336, *range(338, 348)}
    | {400, 401, 402, 403, 404, 405, 433, 434, 435, *range(512, 522), 529, 530, 531, 532, 559, 700}
    | {32781, *range(32995, 33000), 33550, 33922, 34264, 34377, 34675, 34735, 34736, 34737, 37724}
    | {42112, 42113, 50838, 50839}
)


class MalformedError(ValueError):
    """The block is not an EXIF block."""


@dataclass(frozen=True)
class Tag:
    """One entry of a directory: TIFF type, number of values, and their bytes, or the directory that it points to."""

    code: int
    kind: int
    count: int
    data: bytes
    children: tuple[Tag, ...] | None = None


@dataclass(frozen=True)
class _Entry:
    """Where an entry lies: ``at`` is the offset of its 12 bytes, ``place`` that of its value."""

    at: int
    code: int
    kind: int
    count: int
    place: int

    @property
    def size(self) -> int:
        return _SIZES.get(self.kind, 0) * self.count


ByteOrder = Literal["<", ">"]
Fetch = Callable[[int, int], bytes]


def _head(block: bytes) -> tuple[ByteOrder, int]:
    if block[:4] not in (b"II*\0", b"MM\0*") or len(block) < 14:
        raise MalformedError("not an EXIF block")
    order: ByteOrder = "<" if block[:2] == b"II" else ">"
    return order, int(struct.unpack_from(order + "I", block, 4)[0])


def _directory(fetch: Fetch, offset: int, order: ByteOrder) -> tuple[list[_Entry], int]:
    """The entries of the directory at ``offset``, and where the pointer to the next directory lies."""
    count_bytes = fetch(offset, 2)
    if len(count_bytes) < 2:
        raise MalformedError("EXIF directory lies outside the block")
    (count,) = struct.unpack(order + "H", count_bytes)
    body = fetch(offset + 2, 12 * count)
    if count == 0 or len(body) < 12 * count:
        raise MalformedError("EXIF directory is cut off")
    entries = []
    for index in range(count):
        code, kind, values, place = struct.unpack_from(order + "HHII", body, 12 * index)
        at = offset + 2 + 12 * index
        if _SIZES.get(kind, 0) * values <= 4:
            place = at + 8
        entries.append(_Entry(at, code, kind, values, place))
    return entries, offset + 2 + 12 * count


def _slices(block: bytes | bytearray) -> Fetch:
    return lambda offset, size: bytes(block[offset : offset + size])


def clean(block: bytes) -> tuple[bytes, int]:
    """The block with orientation 1 and without its thumbnail, and the orientation (1..8) it had.

    The thumbnail goes because it shows the picture before it was worked on; its bytes are erased, not merely unlinked.
    Raises ``MalformedError``.
    """
    order, first = _head(block)
    out = bytearray(block)
    entries, following = _directory(_slices(out), first, order)
    orientation = 0
    for entry in entries:
        if entry.code == ORIENTATION and entry.kind in _INTEGERS and entry.count == 1:
            (value,) = struct.unpack_from(order + _INTEGERS[entry.kind], out, entry.place)
            orientation = orientation or (value if 1 <= value <= 8 else 1)  # of two, readers take the first
            struct.pack_into(order + _INTEGERS[entry.kind], out, entry.place, 1)
    if following + 4 <= len(out):
        (second,) = struct.unpack_from(order + "I", out, following)
        out[following : following + 4] = bytes(4)
        if second:
            _erase_thumbnail(out, second, order)
    return bytes(out), orientation or 1


def _erase_thumbnail(out: bytearray, second: int, order: ByteOrder) -> None:
    try:
        entries, following = _directory(_slices(out), second, order)
    except MalformedError:
        return
    single = {e.code: e for e in entries if e.kind in (3, 4) and e.count == 1}
    for start_code, length_code in ((513, 514), (273, 279)):  # JPEG thumbnail; uncompressed thumbnail of one strip
        if start_code not in single or length_code not in single:
            continue
        start, length = (
            struct.unpack_from(order + _INTEGERS[single[c].kind], out, single[c].place)[0]
            for c in (start_code, length_code)
        )
        if start < following:  # it would overlap the directories: a forged offset
            continue
        end = min(start + length, len(out))
        if end == len(out):
            del out[start:]
        else:
            out[start:end] = bytes(end - start)


def resized(block: bytes, width: int, height: int) -> bytes:
    """The block with the picture's size (ImageWidth, PixelXDimension and their like) set, where it states one."""
    order, first = _head(block)
    out = bytearray(block)
    sizes = {256: width, 257: height, 0xA002: width, 0xA003: height}
    entries, _ = _directory(_slices(out), first, order)
    for pointer in [e for e in entries if e.code == EXIF_POINTER and e.count == 1]:
        try:
            entries = entries + _directory(_slices(out), _offset(out, pointer, order), order)[0]
        except MalformedError:
            continue
    for entry in entries:
        if entry.code in sizes and entry.kind in (3, 4) and entry.count == 1:
            struct.pack_into(order + "HII", out, entry.at + 2, 4, 1, sizes[entry.code])
    return bytes(out)


def _offset(block: bytes | bytearray, pointer: _Entry, order: ByteOrder) -> int:
    return int(struct.unpack_from(order + "I", block, pointer.at + 8)[0])


def without_orientation(block: bytes) -> bytes | None:
    """The block without an orientation tag, its other bytes in their places; None if nothing else was in it."""
    order, first = _head(block)
    out = bytearray(block)
    entries, following = _directory(_slices(out), first, order)
    kept = [bytes(out[e.at : e.at + 12]) for e in entries if e.code != ORIENTATION]
    if not kept:
        return None
    if len(kept) < len(entries):
        tail = bytes(out[following : following + 4]).ljust(4, b"\0")
        directory = struct.pack(order + "H", len(kept)) + b"".join(kept) + tail
        out[first : following + 4] = directory.ljust(following + 4 - first, b"\0")
    return bytes(out)


def with_software(block: bytes, name: str) -> bytes:
    """The block with ``Software`` (Exif 2.32, tag 305) set to ``name``, unless it names one already.

    The first directory is written anew behind everything else, so that every other byte, and what offsets point to,
    stays in its place. A block that would no longer fit a JPEG stays as it is. Raises ``MalformedError``.
    """
    order, first = _head(block)
    entries, following = _directory(_slices(block), first, order)
    if any(entry.code == SOFTWARE for entry in entries):
        return block
    text = name.encode("ascii", "replace").ljust(4, b"\0") + b"\0"  # 5 bytes at least: it lies behind the directory
    out = block + b"\0" * (len(block) % 2)
    place = len(out) + 2 + 12 * (len(entries) + 1) + 4
    fields = [(entry.code, block[entry.at : entry.at + 12]) for entry in entries]
    fields.append((SOFTWARE, struct.pack(order + "HHII", SOFTWARE, 2, len(text), place)))
    body = b"".join(field for _, field in sorted(fields, key=lambda pair: pair[0]))
    head = out[:4] + struct.pack(order + "I", len(out)) + out[8:]
    after = block[following : following + 4].ljust(4, b"\0")
    made = head + struct.pack(order + "H", len(fields)) + body + after + text
    return block if len(block) <= _JPEG_ROOM < len(made) else made


def read_tags(fetch: Fetch, offset: int, order: ByteOrder, notes: list[str]) -> list[Tag]:
    """The tags of the directory at ``offset``, without the structural ones, and those of the directories below it.

    ``fetch(offset, size)`` gives bytes of the file or block. What cannot be read, or is too large to be a description,
    is named in ``notes``. Raises ``MalformedError`` if the directory itself cannot be read.
    """
    return _read_tags(fetch, offset, order, notes, depth=0, budget=[_LARGEST_BLOCK])


def _read_tags(
    fetch: Fetch, offset: int, order: ByteOrder, notes: list[str], depth: int, budget: list[int]
) -> list[Tag]:
    tags: dict[int, Tag] = {}
    for entry in _directory(fetch, offset, order)[0]:
        if entry.code in tags or entry.kind not in _SIZES or entry.count == 0:
            continue
        if entry.code in STRUCTURAL:
            if entry.code == 37724:
                notes.append("the layers that an editor kept in it (TIFF tag 37724) are dropped")
            continue
        if entry.size > min(_LARGEST_TAG, budget[0]):
            notes.append(f"tag {entry.code} of {entry.size} bytes is dropped")
            continue
        data = fetch(entry.place, entry.size)
        if len(data) < entry.size:
            notes.append(f"tag {entry.code} lies outside the file and is dropped")
            continue
        budget[0] -= entry.size
        children: tuple[Tag, ...] | None = None
        if entry.code in _POINTERS and entry.kind in (4, 13) and entry.count == 1:
            (below,) = struct.unpack(order + "I", data)
            try:  # Exif, then interoperability: nothing lies deeper, and a forged pointer may run in circles
                children = tuple(_read_tags(fetch, below, order, notes, depth + 1, budget)) if depth < 2 else ()
            except MalformedError:
                children = ()
            if not children:
                notes.append(f"the directory of tag {entry.code} cannot be read and is dropped")
                continue
        tags[entry.code] = Tag(entry.code, entry.kind, entry.count, data, children)
    return list(tags.values())


def raw_tags(fetch: Fetch, offset: int, order: ByteOrder) -> list[Tag]:
    """Every tag of one directory of a file that can be trusted, its pointers as plain numbers."""
    entries = _directory(fetch, offset, order)[0]
    return [Tag(e.code, e.kind, e.count, fetch(e.place, e.size)) for e in entries]


def structure_is_whole(fetch: Fetch, offset: int, order: ByteOrder, end: int) -> bool:
    """Whether the structural tags of the directory at ``offset`` have known types and values in front of ``end``."""
    entries = [e for e in _directory(fetch, offset, order)[0] if e.code in STRUCTURAL and e.code != ICC]
    return all(e.kind in _SIZES and e.place + e.size <= end for e in entries)


def pack(tags: Iterable[Tag], offset: int, order: ByteOrder) -> bytes:
    """A directory that starts at the even ``offset``, with its values and the directories below it."""
    entries = sorted({tag.code: tag for tag in tags}.values(), key=lambda tag: tag.code)
    place = offset + 2 + 12 * len(entries) + 4
    directory, values = struct.pack(order + "H", len(entries)), b""
    for tag in entries:
        data = tag.data if tag.children is None else pack(tag.children, place, order)
        kind, count = (tag.kind, tag.count) if tag.children is None else (4, 1)
        directory += struct.pack(order + "HHI", tag.code, kind, count)
        if tag.children is None and len(data) <= 4:
            directory += data.ljust(4, b"\0")
            continue
        directory += struct.pack(order + "I", place)
        data += b"\0" * (len(data) % 2)
        values += data
        place += len(data)
    return directory + bytes(4) + values


def make_block(tags: Iterable[Tag], order: ByteOrder) -> bytes:
    """An EXIF block of these tags."""
    return (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8) + pack(tags, 8, order)


def block_tags(block: bytes, notes: list[str]) -> tuple[ByteOrder, list[Tag]]:
    """Byte order ('<' or '>') and tags of an EXIF block, without the structural ones. Raises ``MalformedError``."""
    order, first = _head(block)
    return order, read_tags(_slices(block), first, order, notes)


_XMP_ORIENTATION = re.compile(rb"""(tiff:Orientation(?:\s*=\s*["']|\s*>\s*))([0-9]+)""")


def clean_xmp(packet: bytes) -> tuple[bytes, int]:
    """The XMP packet with ``tiff:Orientation`` 1, and the orientation it had (1 if none or not 1..8)."""
    found = _XMP_ORIENTATION.search(packet)
    orientation = int(found[2][:4]) if found else 1
    return _XMP_ORIENTATION.sub(rb"\g<1>1", packet), orientation if 1 <= orientation <= 8 else 1


def settle(exif: bytes | None, xmp: bytes | None, notes: list[str]) -> tuple[bytes | None, bytes | None, int]:
    """EXIF block and XMP packet as ``Metadata`` holds them, and the orientation to apply: EXIF's word before XMP's."""
    orientation = 1
    if xmp:
        xmp, orientation = clean_xmp(xmp)
    if exif:
        exif = re.sub(rb"^(?:Exif\0\0)+", b"", exif)
        try:
            stated = any(e.code == ORIENTATION for e in _directory(_slices(exif), _head(exif)[1], _head(exif)[0])[0])
            exif, from_exif = clean(exif)
            orientation = from_exif if stated else orientation
        except (MalformedError, struct.error) as error:
            notes.append(f"its EXIF block is damaged ({error}) and dropped")
            exif = None
    return exif or None, xmp or None, orientation
