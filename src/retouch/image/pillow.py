"""JPEG, WebP, AVIF, BMP and GIF: headers, metadata and writing by Pillow, which decodes them too where it decodes well.

WebP and AVIF are decoded by imagecodecs: Pillow would hold the WebP canvas three times, and cut 10-bit AVIF to 8 bits.
"""

from __future__ import annotations

import math
import re
import struct
import threading
import warnings
from typing import Any, BinaryIO

import numpy as np
import PIL.Image

from retouch.image.errors import PictureError
from retouch.image.exif import settle, without_orientation
from retouch.image.image import Image, JpegSettings, Metadata
from retouch.image.raster import Canvas, CmykConverter, Info, admit, planes_of, strip_rows, to_pillow

_LOCK = threading.Lock()
_MODES = {"1": "grey", "L": "grey", "LA": "grey+alpha", "P": "palette", "RGB": "RGB", "RGBA": "RGBA", "CMYK": "CMYK"}
_LARGEST_SIDE = {"JPEG": 65500, "WEBP": 16383, "AVIF": 65535}
_LARGEST_MARKER = 65533  # bytes a JPEG segment holds
_XMP_OVERHEAD = 29


class PillowFile:
    """An open JPEG, WebP, AVIF, BMP or GIF: its header is read, its pixels are not.

    BMP and GIF palettes come out as RGB, with alpha if a colour is transparent; grey ones as grey.
    """

    def __init__(self, file: BinaryIO, kind: str, limit: int | None) -> None:
        self._file, self._kind = file, kind
        file.seek(0)
        if kind == "WEBP":  # opening allocates the canvas
            admit(*_webp_size(file.read(30)), limit)
            file.seek(0)
        # Pillow's own limit is one for the whole process and names no option of ours: we check the size ourselves.
        with _LOCK, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            before, PIL.Image.MAX_IMAGE_PIXELS = PIL.Image.MAX_IMAGE_PIXELS, None
            try:
                self._picture = PIL.Image.open(file, formats=[kind])
            except PIL.UnidentifiedImageError as error:
                raise PictureError(f"is a damaged or unsupported {kind} file") from error
            finally:
                PIL.Image.MAX_IMAGE_PIXELS = before
        width, height = self._picture.size
        admit(width, height, limit)
        frames = 1 if kind == "JPEG" else int(getattr(self._picture, "n_frames", 1))
        depth = self._avif_depth() if kind == "AVIF" else 1 if self._picture.mode == "1" else 8
        mode = _MODES.get(self._picture.mode)
        if mode is None:
            raise PictureError(f"holds pixels of the kind '{self._picture.mode}', which is not read")
        self.info = Info(kind, width, height, frames, depth, mode)

    def _avif_depth(self) -> int:
        """Bits a channel by the AV1 configuration boxes (AV1-ISOBMFF section 2.3) in front of the pixels."""
        self._file.seek(0)
        head = self._file.read(1 << 16)
        depths = [8]
        for found in re.finditer(rb"av1C\x81.(.)", head, re.DOTALL):
            flags = found[1][0]
            depths.append(8 if not flags & 0x40 else 12 if flags & 0x20 else 10)
        return max(depths)

    def read(self, notes: list[str], side: int | None = None) -> tuple[Canvas, Metadata]:
        """Decode. What could not be kept is named in ``notes``.

        With a ``side``, a JPEG may come out a half, a quarter or an eighth as large, its longer side still at least
        that: the decoder leaves out the detail (a scaled inverse DCT), in a fraction of the time.
        """
        info = self._picture.info
        if info.get("mp"):
            notes.append("the further pictures in it (a preview, a depth or gain map) are dropped")
        exif, xmp, orientation = settle(_bytes(info.get("exif")), _bytes(info.get("xmp")), notes)
        if xmp and b"HasExtendedXMP" in xmp:
            notes.append("the extended part of its XMP is dropped")
        cmyk = self._picture.mode == "CMYK"
        metadata = Metadata(
            self._kind,
            16 if self.info.bit_depth > 8 else 8,
            None if cmyk else _bytes(info.get("icc_profile")),
            exif,
            xmp,
            _resolution(info.get("dpi")),
            _jpeg_settings(self._picture, turned=orientation >= 5) if self._kind == "JPEG" else None,
        )
        if self._kind in ("WEBP", "AVIF"):
            return self._read_array(orientation), metadata
        if self._kind == "JPEG" and side is not None:
            share = min(1.0, side / max(self.info.width, self.info.height))
            self._picture.draft(None, (math.ceil(share * self.info.width), math.ceil(share * self.info.height)))
        return self._read_pillow(orientation, notes), metadata

    def _read_array(self, orientation: int) -> Canvas:
        import imagecodecs

        self._file.seek(0)
        decode = imagecodecs.webp_decode if self._kind == "WEBP" else imagecodecs.avif_decode
        array = decode(self._file.read())
        width, height = self.info.width, self.info.height
        planes = planes_of(array) if array.ndim in (2, 3) else []
        if array.shape[:2] != (height, width) or not 1 <= len(planes) <= 4:
            raise PictureError(f"decodes to {array.shape}, its header says {height} x {width}")
        alpha = len(planes) in (2, 4)
        canvas = Canvas(height, width, len(planes) - alpha, alpha=alpha, orientation=orientation)
        peak = 255.0 if array.dtype == np.uint8 else float((1 << self.info.bit_depth) - 1)
        rows = strip_rows(width)
        for top in range(0, height, rows):
            canvas.put(top, [p[top : top + rows] for p in planes], peak)
        return canvas

    def _read_pillow(self, orientation: int, notes: list[str]) -> Canvas:
        picture = self._picture
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            picture.load()
        alpha = picture.has_transparency_data
        mode = "L" if picture.mode in ("1", "L", "LA") else "RGB"
        converter = None
        if picture.mode == "CMYK":
            converter = CmykConverter(_bytes(picture.info.get("icc_profile")), notes)
        # Pillow inverts every CMYK JPEG; only those with Adobe's marker are stored inverted.
        plain = converter is not None and "adobe" not in picture.info
        target = mode if not alpha else mode + "A"
        canvas = Canvas(picture.height, picture.width, len(mode), alpha=alpha, orientation=orientation)
        rows = strip_rows(picture.width)
        for top in range(0, picture.height, rows):
            strip = picture.crop((0, top, picture.width, min(top + rows, picture.height)))
            if plain:
                inverted = PIL.Image.frombytes("CMYK", strip.size, bytes(255 - np.asarray(strip)))
                strip = inverted
            if converter is not None:
                strip = converter(strip)
            if strip.mode != target:
                strip = strip.convert(target)
            canvas.put(top, planes_of(np.asarray(strip)), 255.0)
        return canvas


def _bytes(value: Any) -> bytes | None:
    if isinstance(value, str):
        return value.encode()
    return value if isinstance(value, bytes) and value else None


def _resolution(value: Any) -> tuple[float, float] | None:
    try:
        across, down = (float(v) for v in value)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return (across, down) if 0 < across < math.inf and 0 < down < math.inf else None


def _jpeg_settings(picture: Any, *, turned: bool) -> JpegSettings:
    """The settings; of a picture that is ``turned`` upright the tables are turned with it, rows for columns."""
    from PIL.JpegImagePlugin import get_sampling

    tables = {slot: tuple(table) for slot, table in picture.quantization.items()}
    if turned:
        tables = {slot: tuple(table[i % 8 * 8 + i // 8] for i in range(64)) for slot, table in tables.items()}
    return JpegSettings(tables, int(get_sampling(picture)), bool(picture.info.get("progressive")))


def _webp_size(head: bytes) -> tuple[int, int]:
    """Width and height by the first chunk (RFC 9649 section 2.5 to 2.7)."""
    if len(head) < 30:
        raise ValueError("the file is truncated")
    if head[12:16] == b"VP8X":
        return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
    if head[12:16] == b"VP8L":
        (bits,) = struct.unpack_from("<I", head, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", head, 26)
    return width & 0x3FFF, height & 0x3FFF


def write_pillow(image: Image, file: BinaryIO, kind: str, quality: int | None, notes: list[str]) -> None:
    """Write an 8-bit JPEG, WebP, AVIF or BMP with what metadata it holds."""
    side = _LARGEST_SIDE.get(kind)
    if side is not None and max(image.width, image.height) > side:
        raise PictureError(f"{image.width} x {image.height} pixels are too many: {kind} holds at most {side} a side")
    if image.metadata.bit_depth > 8:
        what = "floating point" if image.metadata.bit_depth == 32 else f"{image.metadata.bit_depth}-bit"
        notes.append(f"{what} is written as 8-bit: {kind} holds no more")
    flatten = image.alpha is not None and kind in ("JPEG", "BMP")
    if flatten and image.alpha is not None and float(image.alpha.min()) < 1:
        notes.append(f"the picture is composited over white: {kind} holds no alpha")
    picture = to_pillow(image, flatten=flatten)
    options = {"JPEG": _jpeg_options, "WEBP": _webp_options, "AVIF": _avif_options, "BMP": _bmp_options}[kind]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        picture.save(file, format=kind, **options(image, quality, notes))


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _jpeg_options(image: Image, quality: int | None, notes: list[str]) -> dict[str, Any]:
    metadata, settings = image.metadata, image.metadata.jpeg
    exif = None if metadata.exif is None else b"Exif\0\0" + metadata.exif
    xmp, icc = metadata.xmp, metadata.icc
    if exif and len(exif) > _LARGEST_MARKER:
        notes.append(f"EXIF of {len(exif)} bytes is dropped: JPEG holds at most {_LARGEST_MARKER}")
        exif = None
    if xmp and len(xmp) > _LARGEST_MARKER - _XMP_OVERHEAD:
        notes.append(f"XMP of {len(xmp)} bytes is dropped: JPEG holds at most {_LARGEST_MARKER - _XMP_OVERHEAD}")
        xmp = None
    if icc and len(icc) > 255 * (_LARGEST_MARKER - 14):
        notes.append(f"the ICC profile of {len(icc)} bytes is dropped: JPEG holds at most 255 segments")
        icc = None
    dpi = tuple(min(max(round(value), 1), 65535) for value in metadata.dpi) if metadata.dpi else None
    common = _given(exif=exif, xmp=xmp, icc_profile=icc, dpi=dpi)
    if quality is None and settings is not None and settings.tables:
        tables = [list(settings.tables[slot]) for slot in sorted(settings.tables)][:4]
        sampling = settings.subsampling if settings.subsampling in (0, 1, 2) else 0
        return {**common, "qtables": tables, "subsampling": sampling, "progressive": settings.progressive}
    quality = 95 if quality is None else quality
    return {**common, "quality": quality, "subsampling": 0 if quality >= 90 else 2}


def _webp_options(image: Image, quality: int | None, notes: list[str]) -> dict[str, Any]:
    del notes
    metadata = image.metadata
    common = _given(exif=metadata.exif, xmp=metadata.xmp, icc_profile=metadata.icc)
    if quality == 100:
        return {**common, "lossless": True, "exact": True}
    return {**common, "quality": 92 if quality is None else quality, "exact": True}


def _avif_options(image: Image, quality: int | None, notes: list[str]) -> dict[str, Any]:
    del notes
    metadata = image.metadata
    exif = without_orientation(metadata.exif) if metadata.exif else None  # or Pillow would rewrite the whole block
    common = _given(exif=exif, xmp=metadata.xmp, icc_profile=metadata.icc)
    sampling = "4:0:0" if image.channels == 1 and image.alpha is None else "4:4:4"
    return {**common, "quality": 85 if quality is None else quality, "subsampling": sampling}


def _bmp_options(image: Image, quality: int | None, notes: list[str]) -> dict[str, Any]:
    del quality
    metadata = image.metadata
    lost = [n for n, v in (("ICC profile", metadata.icc), ("EXIF", metadata.exif), ("XMP", metadata.xmp)) if v]
    if lost:
        notes.append(f"{', '.join(lost)} dropped: BMP holds no metadata")
    return _given(dpi=metadata.dpi)
