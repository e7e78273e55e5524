"""PNG of every depth: pixels by imagecodecs (libpng), the chunks beside them by hand.

Pillow opens a 16-bit colour PNG as 8-bit without a word, so it is not used here.
Source: PNG specification, third edition (W3C 2025), sections 5, 11.
"""

from __future__ import annotations

import struct
import zlib
from typing import BinaryIO

from retouch.image.exif import settle
from retouch.image.image import Image, Metadata
from retouch.image.raster import Canvas, Info, admit, planes_of, strip_rows

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_LARGEST_CHUNK = 1 << 24  # bytes of metadata, unpacked; a compressed text of kilobytes can hold gigabytes
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_MODES = {0: "grey", 2: "RGB", 3: "palette", 4: "grey+alpha", 6: "RGBA"}
_XMP_KEY = b"XML:com.adobe.xmp"
_METRE = 0.0254  # of an inch


class PngFile:
    """An open PNG: its header is read, its pixels are not.

    Palette pictures come out as RGB, with alpha if any entry is transparent; a transparent colour (tRNS) becomes alpha.
    """

    def __init__(self, file: BinaryIO, limit: int | None) -> None:
        self._file = file
        file.seek(0)
        head = file.read(33)
        if len(head) < 33 or head[12:16] != b"IHDR" or head[:8] != SIGNATURE:
            raise ValueError("its header is cut off")
        self._width, self._height, depth, colour, *_ = struct.unpack(">IIBBBBB", head[16:29])
        admit(self._width, self._height, limit)
        if depth not in _DEPTHS.get(colour, ()):
            raise ValueError(f"colour type {colour} with {depth} bits does not exist")
        self._depth, self._colour = depth, colour
        self._critical = [(0, 33)]  # (offset, size) of the chunks that make the pixels
        self._chunks: dict[bytes, list[tuple[int, int]]] = {}
        self._walk()
        frames = 1
        for offset, size in self._chunks.get(b"acTL", []):
            if size >= 4:
                frames = max(1, struct.unpack(">I", self._bytes(offset, 4))[0])
        self.info = Info("PNG", self._width, self._height, frames, depth, _MODES[colour])

    def _walk(self) -> None:
        """Note where every chunk lies; ``ValueError`` if the file ends before the IEND chunk."""
        end = self._file.seek(0, 2)
        position = 33
        seen: dict[bytes, int] = {}  # sizes of the chunks that make the pixels
        while True:
            self._file.seek(position)
            head = self._file.read(8)
            if len(head) < 8:
                raise ValueError("the file is truncated")
            size, kind = struct.unpack(">I4s", head)
            if position + 12 + size > end:
                raise ValueError("the file is truncated")
            if kind == b"IEND":
                self._critical.append((position, 12 + size))
                break
            if kind == b"IDAT" or (kind in (b"PLTE", b"tRNS") and self._wants(kind, size, seen)):
                self._critical.append((position, 12 + size))
                seen[kind] = size
            elif not kind[0] & 0x20 and kind != b"PLTE":  # a capital: without this chunk the pixels cannot be told
                raise ValueError(f"holds an unknown critical chunk {kind!r}")
            else:
                self._chunks.setdefault(kind, []).append((position + 8, size))
            position += 12 + size
        if b"IDAT" not in seen:
            raise ValueError("holds no pixel data")

    def _wants(self, kind: bytes, size: int, seen: dict[bytes, int]) -> bool:
        """Whether the palette or transparency chunk at hand goes to libpng, which only prints a warning for a bad one.

        A palette that colour does not need is skipped. Raises ``ValueError`` for a damaged or misplaced chunk.
        """
        if kind == b"PLTE":
            if self._colour != 3:
                return False
            fits = size % 3 == 0 and 0 < size <= 768 and b"tRNS" not in seen
        else:
            sizes = {0: (2, 2), 2: (6, 6), 3: (1, seen.get(b"PLTE", 0) // 3)}
            low, high = sizes.get(self._colour, (1, 0))
            fits = low <= size <= high
        if not fits or kind in seen or b"IDAT" in seen:
            raise ValueError(f"its {kind.decode()} chunk is malformed or out of place")
        payload = self._file.read(size)
        if self._file.read(4) != struct.pack(">I", zlib.crc32(kind + payload)):
            raise ValueError(f"its {kind.decode()} chunk is damaged")
        return True

    def _bytes(self, offset: int, size: int) -> bytes:
        self._file.seek(offset)
        return self._file.read(size)

    def _payloads(self, kind: bytes, notes: list[str]) -> list[bytes]:
        found = []
        for offset, size in self._chunks.get(kind, []):
            if size > _LARGEST_CHUNK:
                notes.append(f"its {kind.decode('latin-1')} chunk of {size} bytes is dropped")
            else:
                found.append(self._bytes(offset, size))
        return found

    def read(self, notes: list[str], side: int | None = None) -> tuple[Canvas, Metadata]:
        """Decode; all of it, whatever the ``side`` asked for. What could not be kept is named in ``notes``."""
        import imagecodecs

        exif, xmp, orientation = settle(*self._exif_xmp(notes), notes)
        metadata = Metadata(
            "PNG", 16 if self._depth == 16 else 8, self._profile(notes), exif, xmp, self._resolution(notes)
        )
        stream = bytearray()  # libpng gets the chunks that make the pixels and nothing that it might stumble over
        for offset, size in self._critical:
            stream += self._bytes(offset, size)
        array = imagecodecs.png_decode(stream)
        del stream
        planes = planes_of(array)
        alpha = len(planes) in (2, 4)
        if array.shape[:2] != (self._height, self._width):
            raise ValueError(f"decodes to {array.shape}, the header says {self._height} x {self._width}")
        canvas = Canvas(self._height, self._width, len(planes) - alpha, alpha=alpha, orientation=orientation)
        rows = strip_rows(self._width)
        for top in range(0, self._height, rows):
            canvas.put(top, [p[top : top + rows] for p in planes], 65535.0 if array.dtype.itemsize == 2 else 255.0)
        return canvas, metadata

    def _profile(self, notes: list[str]) -> bytes | None:
        for payload in self._payloads(b"iCCP", notes):
            _, _, rest = payload.partition(b"\0")
            profile = _inflate(rest[1:])
            if profile is None or rest[:1] != b"\0":
                notes.append("its ICC profile is damaged or too large and dropped")
                return None
            return profile
        for payload in self._payloads(b"gAMA", notes):
            gamma = struct.unpack(">I", payload[:4])[0] / 1e5 if len(payload) >= 4 else 0.45455
            if abs(gamma - 0.45455) > 0.01 and b"sRGB" not in self._chunks:
                notes.append(f"its gamma of {gamma:g} is not applied and not kept: the values are taken as sRGB")
        if b"cICP" in self._chunks:
            notes.append("its cICP colour space is not kept: the values are taken as sRGB")
        return None

    def _resolution(self, notes: list[str]) -> tuple[float, float] | None:
        for payload in self._payloads(b"pHYs", notes):
            if len(payload) == 9:
                across, down, unit = struct.unpack(">IIB", payload)
                if unit == 1 and across and down:
                    return across * _METRE, down * _METRE
        return None

    def _exif_xmp(self, notes: list[str]) -> tuple[bytes | None, bytes | None]:
        exif = xmp = None
        for payload in self._payloads(b"eXIf", notes):
            exif = payload
        for payload in self._payloads(b"iTXt", notes):
            if payload.startswith(_XMP_KEY + b"\0"):
                packed = payload[len(_XMP_KEY) + 1 :][:1] == b"\1"
                _, _, rest = payload[len(_XMP_KEY) + 3 :].partition(b"\0")  # language
                _, _, rest = rest.partition(b"\0")  # translated keyword
                xmp = _inflate(rest) if packed else rest
                if xmp is None:
                    notes.append("its XMP packet is damaged or too large and dropped")
        if exif is None:  # ImageMagick wrote EXIF as text before the eXIf chunk existed (2017)
            for kind in (b"zTXt", b"tEXt"):
                for payload in self._payloads(kind, notes):
                    key, _, rest = payload.partition(b"\0")
                    if key in (b"Raw profile type exif", b"Raw profile type APP1"):
                        exif = _raw_profile(_inflate(rest[1:]) if kind == b"zTXt" else rest)
                        if exif is None:
                            notes.append("its EXIF block is damaged and dropped")
        return exif, xmp


def _inflate(packed: bytes) -> bytes | None:
    """Unpacked, or None if damaged or larger than metadata may be."""
    unpacker = zlib.decompressobj()
    try:
        out = unpacker.decompress(packed, _LARGEST_CHUNK)
    except zlib.error:
        return None
    return out if unpacker.eof else None


def _raw_profile(text: bytes | None) -> bytes | None:
    lines = (text or b"").strip().split(b"\n", 2)  # name, length, hexadecimal digits
    try:
        return bytes.fromhex(lines[2].decode("ascii")) if len(lines) == 3 else None
    except ValueError:
        return None


def _chunk(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))


def write_png(image: Image, file: BinaryIO, notes: list[str]) -> None:
    """Write 8 or 16 bits, grey or RGB, with or without alpha, and ICC, resolution, EXIF and XMP."""
    import imagecodecs

    metadata = image.metadata
    depth = metadata.bit_depth
    if depth > 16:
        notes.append("floating point is written as 16-bit: PNG holds no more")
        depth = 16
    chunks = []
    if metadata.icc:
        chunks.append(_chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(metadata.icc)))
    if metadata.dpi:
        across, down = (min(round(value / _METRE), 0x7FFFFFFF) for value in metadata.dpi)
        chunks.append(_chunk(b"pHYs", struct.pack(">IIB", across, down, 1)))
    if metadata.exif:
        chunks.append(_chunk(b"eXIf", metadata.exif))
    if metadata.xmp:
        chunks.append(_chunk(b"iTXt", _XMP_KEY + b"\0\0\0\0\0" + metadata.xmp))
    # Level 3: within a few percent of the size of level 6 on photographs, in half its time.
    encoded = memoryview(imagecodecs.png_encode(image.to_array(depth), level=3))
    file.write(encoded[:33])
    for chunk in chunks:
        file.write(chunk)
    file.write(encoded[33:])
