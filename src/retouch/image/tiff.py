"""TIFF: pixels by tifffile, EXIF directories copied byte for byte.

Source: TIFF 6.0; Adobe PageMaker 6.0 TIFF technical notes (extra samples, predictors).
"""

from __future__ import annotations

import logging
import math
import struct
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from retouch.image import exif as exif_blocks
from retouch.image.errors import PictureError
from retouch.image.image import Image, Metadata
from retouch.image.raster import Canvas, CmykConverter, Info, admit, planes_of, strip_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MODES = {0: "grey", 1: "grey", 2: "RGB", 3: "palette", 5: "CMYK", 6: "RGB"}
_COLOURS = {"grey": 1, "palette": 1, "RGB": 3, "CMYK": 4}
_JPEG = {6, 7, 34892, 33007}  # compressions whose decoder turns YCbCr into RGB itself
_UNITS = {2: 1.0, 3: 2.54}  # resolution unit: per inch, per centimetre
_CLASSIC_LIMIT = 0xFFFFFFFF - (1 << 26)  # bytes: offsets have 32 bits, and directories need some room


class TiffFile:
    """An open TIFF: its directories are read, its pixels are not.

    Reduced copies and transparency masks beside the picture are not counted as frames and not read.
    """

    def __init__(self, file: BinaryIO, limit: int | None) -> None:
        import tifffile

        log = logging.getLogger("tifffile")
        if not log.handlers:  # or the library's complaints about damaged files go to standard error beside ours
            log.addHandler(logging.NullHandler())
        self._file = file
        file.seek(0)
        self._tiff = tifffile.TiffFile(file)
        first = self._tiff.pages.first
        if 50706 in first.tags:
            raise PictureError("is a camera's raw file (DNG); develop it first")
        pages = list(self._tiff.pages)
        full = [p for p in pages if isinstance(p, tifffile.TiffPage) and not int(_number(p, 254, 0)) & 5]
        whole = len(full) + sum(not isinstance(p, tifffile.TiffPage) for p in pages)
        if not full and 330 in first.tags:  # as camera raw files are built
            raise PictureError("holds only a reduced copy where the picture should be; is it a camera's raw file?")
        self._page = page = full[0] if full else first
        depth = page.bitspersample
        if not isinstance(depth, int):
            raise PictureError(f"its channels have unequal depths {depth}")
        self._depth, self._format = depth, int(page.sampleformat)
        self._photometric = int(page.photometric)
        admit(page.imagewidth, page.imagelength, limit)
        if page.imagedepth != 1 or page.samplesperpixel > 32:
            raise PictureError("is a volume or has more than 32 channels; a picture is grey or RGB")
        if page.is_tiled and page.tilewidth * page.tilelength > max(1 << 24, 4 * page.imagewidth * page.imagelength):
            raise PictureError(f"has tiles of {page.tilewidth} x {page.tilelength}, far larger than itself")
        mode = _MODES.get(self._photometric, "other")
        self._extra = [int(sample) for sample in page.extrasamples]
        if mode in ("grey", "RGB") and any(kind in (1, 2) for kind in self._extra):
            mode = {"grey": "grey+alpha", "RGB": "RGBA"}[mode]
        self.info = Info("TIFF", page.imagewidth, page.imagelength, max(1, whole), depth, mode)

    def read(self, notes: list[str], side: int | None = None) -> tuple[Canvas, Metadata]:
        """Decode; all of it, whatever the ``side`` asked for. What could not be kept is named in ``notes``."""
        colours = self._admit_kind()
        page = self._page
        exif, xmp, orientation = exif_blocks.settle(self._exif(notes), _opaque(page, 700), notes)
        stated = _number(page, exif_blocks.ORIENTATION, 0)  # stated in the file even where no EXIF block came of it
        if 1 <= stated <= 8:
            orientation = int(stated)
        self._check_segments()
        array = page.asarray()
        separate = int(page.planarconfig) == 2 and page.samplesperpixel > 1
        planes = list(array) if separate else planes_of(array)
        size = (page.imagelength, page.imagewidth)
        if any(plane.shape != size for plane in planes) or len(planes) < colours:
            raise PictureError(f"decodes to {array.shape}, its header says {size}")
        alphas = [i for i, kind in enumerate(self._extra) if kind in (1, 2) and colours + i < len(planes)]
        cmyk = self._photometric == 5
        if len(planes) - colours > (len(alphas[:1]) if not cmyk else 0):
            notes.append("channels beside colour and alpha are dropped")
        premultiplied = bool(alphas) and self._extra[alphas[0]] == 1
        alpha = planes[colours + alphas[0]] if alphas and not cmyk else None
        icc = None if cmyk else _opaque(page, 34675)
        depth = 32 if self._format == 3 else 16 if self._depth > 8 and not cmyk else 8
        if self._depth == 64:
            notes.append("64-bit floating point is kept as 32-bit")
        if cmyk and self._depth == 16:
            notes.append("16-bit CMYK is converted at 8 bits")
        metadata = Metadata("TIFF", depth, icc, exif, xmp, self._resolution())
        channels = 3 if self._photometric in (2, 3, 5, 6) else 1
        canvas = Canvas(*size, channels, alpha=alpha is not None, orientation=orientation)
        converter = CmykConverter(_opaque(page, 34675), notes) if cmyk else None
        rows = strip_rows(size[1])
        for top in range(0, size[0], rows):
            strip = [plane[top : top + rows] for plane in planes[:colours]]
            cover = alpha[top : top + rows] if alpha is not None else None
            self._put(canvas, top, strip, cover, premultiplied, converter)
        return canvas, metadata

    def _check_segments(self) -> None:
        """Raise ``ValueError`` unless the structural tags and every strip or tile lie in the file.

        tifffile goes by a default for a tag that it cannot read, and fills missing strips with black.
        """
        page = self._page
        end = self._file.seek(0, 2)
        if any(code not in page.tags for code in (256, 257, 262)):
            raise ValueError("its size or colour space is missing")
        if not self._tiff.is_bigtiff and not exif_blocks.structure_is_whole(
            self._fetch, page.offset, self._tiff.byteorder, end
        ):
            raise ValueError("the file is truncated or its directory damaged")
        segments = list(zip(page.dataoffsets, page.databytecounts, strict=False))
        if len(segments) < math.prod(page.chunked) or any(not 0 < n <= end - at for at, n in segments):
            raise ValueError("the file is truncated or has strips missing")

    def _admit_kind(self) -> int:
        """Channels of colour in the file; ``PictureError`` for what is not a grey, RGB, palette or CMYK picture."""
        page = self._page
        mode = _MODES.get(self._photometric)
        if mode is None:
            raise PictureError(f"its colour space (TIFF photometric {self._photometric}) is not grey, RGB or CMYK")
        if self._photometric == 6 and int(page.compression) not in _JPEG:
            raise PictureError("is uncompressed YCbCr; convert it to RGB first")
        floating = self._format == 3 and self._depth in (16, 32, 64)
        if not floating and not (self._format in (1, 4) and self._depth <= 16):
            kind = {2: "signed ", 3: "floating point ", 5: "complex ", 6: "complex "}.get(self._format, "")
            raise PictureError(f"its values are {self._depth}-bit {kind}numbers; 1 to 16 bits or float are read")
        if mode == "CMYK" and (floating or self._depth not in (8, 16) or _number(page, 332, 1) != 1):
            raise PictureError("its inks are not CMYK of 8 or 16 bits")
        if mode == "palette" and (floating or page.colormap is None):
            raise PictureError("its palette is missing")
        colours = _COLOURS[mode]
        if page.samplesperpixel < colours:
            raise PictureError(f"has {page.samplesperpixel} channels, its colour space needs {colours}")
        return colours

    def _put(
        self,
        canvas: Canvas,
        top: int,
        strip: list[NDArray[Any]],
        cover: NDArray[Any] | None,
        premultiplied: bool,
        converter: CmykConverter | None,
    ) -> None:
        peak = float((1 << self._depth) - 1)
        if self._photometric == 3:
            table = np.asarray(self._page.colormap)
            indices = np.minimum(strip[0], table.shape[1] - 1)
            # Entries have 16 bits; some writers put 8-bit values there, which only shows in all of them being small.
            strip, peak = [entry[indices] for entry in table], 255.0 if table.max() < 256 else 65535.0
            if peak == 65535.0:
                strip, peak = [plane >> 8 for plane in strip], 255.0
            if cover is not None:
                cover = cover * np.float32(255 / ((1 << self._depth) - 1))
        elif converter is not None:
            import PIL.Image

            inks = np.stack(strip, axis=-1)
            inks = np.ascontiguousarray(inks if self._depth == 8 else inks >> 8, dtype=np.uint8)
            image = PIL.Image.frombuffer("CMYK", (inks.shape[1], inks.shape[0]), inks.tobytes(), "raw", "CMYK", 0, 1)
            strip, peak = planes_of(np.asarray(converter(image))), 255.0
        elif self._photometric == 0:
            strip = [~p if p.dtype == bool else (1 - p if self._format == 3 else int(peak) - p) for p in strip]
        if cover is not None and premultiplied:
            amount = np.maximum(cover.astype(np.float32), np.float32(1e-6 if self._format == 3 else 1))
            full = np.float32(1 if self._format == 3 else peak)
            # where the file is premultiplied colour never exceeds alpha; rounding and forgery may
            strip = [np.minimum(p / amount, 1) * full for p in strip]
        planes = [*strip, cover] if cover is not None else strip
        if self._format == 3:
            canvas.put_float(top, planes)
        else:
            canvas.put(top, planes, peak)

    def _exif(self, notes: list[str]) -> bytes | None:
        """The descriptive tags of the page and the directories below it, as an EXIF block."""
        order: exif_blocks.ByteOrder = self._tiff.byteorder
        if self._tiff.is_bigtiff:
            if any(code in self._page.tags for code in (exif_blocks.EXIF_POINTER, exif_blocks.GPS_POINTER)):
                notes.append("EXIF of a BigTIFF is dropped")
            return None
        try:
            tags = exif_blocks.read_tags(self._fetch, self._page.offset, order, notes)
        except exif_blocks.MalformedError as error:
            notes.append(f"its EXIF tags cannot be read ({error}) and are dropped")
            return None
        if all(tag.code == exif_blocks.ORIENTATION for tag in tags):
            return None
        return exif_blocks.make_block(tags, order)

    def _fetch(self, offset: int, size: int) -> bytes:
        self._file.seek(offset)
        return self._file.read(size)

    def _resolution(self) -> tuple[float, float] | None:
        unit = _UNITS.get(int(_number(self._page, 296, 2)))
        across, down = (_number(self._page, code, 0.0) for code in (282, 283))
        if unit is None or not (0 < across < math.inf and 0 < down < math.inf):
            return None
        return across * unit, down * unit


def _number(page: Any, code: int, default: float) -> float:
    """The first value of a tag as a number, rationals divided; the default if it is missing or no number."""
    tag = page.tags.get(code)
    value = default if tag is None else tag.value
    if isinstance(value, tuple):
        if len(value) == 2 and int(tag.dtype) in (5, 10):
            return value[0] / value[1] if value[1] else default
        value = value[0] if value else default
    return value if isinstance(value, (int, float)) else default


def _opaque(page: Any, code: int) -> bytes | None:
    """The bytes of an ICC or XMP tag, None if it is missing."""
    tag = page.tags.get(code)
    value = None if tag is None else tag.value
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, np.ndarray):
        value = value.tobytes()
    if isinstance(value, tuple) and all(isinstance(v, int) and 0 <= v < 256 for v in value):
        value = bytes(value)
    return value if isinstance(value, bytes) and value else None


def write_tiff(image: Image, file: BinaryIO, notes: list[str]) -> None:
    """Write 8 or 16 bits or 32-bit floating point, deflated, and ICC, resolution, XMP and EXIF."""
    import tifffile

    metadata = image.metadata
    order: exif_blocks.ByteOrder = "<"
    tags: list[exif_blocks.Tag] = []
    if metadata.exif:
        order, tags = exif_blocks.block_tags(metadata.exif, notes)
    array = image.to_array()
    big = array.nbytes > _CLASSIC_LIMIT
    with tifffile.TiffWriter(file, byteorder=order, bigtiff=big) as writer:
        writer.write(
            array,
            photometric="rgb" if image.channels == 3 else "minisblack",
            extrasamples=["unassalpha"] if image.alpha is not None else None,
            compression="adobe_deflate",
            predictor=True,
            metadata=None,
            software=False,
            iccprofile=metadata.icc,
            resolution=metadata.dpi,
            resolutionunit="inch" if metadata.dpi else None,
            extratags=[(700, 1, len(metadata.xmp), metadata.xmp, True)] if metadata.xmp else [],
        )
    if tags and big:
        notes.append("EXIF is dropped: the file needs more than 4 GB")
    elif tags:
        _add_tags(file, tags, order)


def _add_tags(file: BinaryIO, tags: list[exif_blocks.Tag], order: exif_blocks.ByteOrder) -> None:
    """Append a directory that holds the old one's tags and the new ones, and let the header point to it.

    tifffile refuses to write the EXIF and GPS directories; the file's byte order is the block's, so bytes stay as is.
    """

    def fetch(offset: int, size: int) -> bytes:
        file.seek(offset)
        return file.read(size)

    (first,) = struct.unpack(order + "I", fetch(4, 4))
    structure = exif_blocks.raw_tags(fetch, first, order)
    end = file.seek(0, 2)
    if end % 2:
        end += file.write(b"\0")
    file.write(exif_blocks.pack([*tags, *structure], end, order))
    file.seek(4)
    file.write(struct.pack(order + "I", end))
