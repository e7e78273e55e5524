"""Open and save pictures: the only file room that reads or writes them.

A picture comes back as it went in: bit depth, alpha, grey, ICC profile, EXIF (GPS and MakerNote included), XMP, print
resolution and the settings of a JPEG are kept wherever the format can; where it cannot, a ``PictureWarning`` says so.

=====  =======================================  ==========================================================
PNG    8 and 16 bits                            every depth, alpha, palette and transparent colour is read
TIFF   8, 16 bits, 32-bit floating point        tiled, planar, compressed, palette, CMYK, 1..16 bits are read
JPEG   8 bits, no alpha                         grey, RGB, CMYK and YCCK are read
WebP   8 bits, no grey (comes back as RGB)      lossy and lossless
AVIF   8 bits; 10 and 12 bits are read          grey without alpha stays grey
BMP    8 bits, no alpha, no metadata            palette is read
GIF    is only read, and only if it holds one frame
=====  =======================================  ==========================================================

Colour values stay what they are in the file and the ICC profile stays with them. Only CMYK is converted, to sRGB. The
orientation (EXIF, or XMP where EXIF states none) is applied once on opening and written as 1. The EXIF thumbnail is
dropped, since it shows the picture before the work. PNG text other than XMP, JPEG comments and IPTC are not kept.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import secrets
import stat
import struct
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

from retouch.image.errors import OptionError, PictureError, PictureWarning, RetouchError, unknown
from retouch.image.exif import MalformedError, clean, clean_xmp, resized
from retouch.image.image import Image, Metadata
from retouch.image.raster import Canvas, Info

if TYPE_CHECKING:
    import PIL.Image
    from torch import Tensor

__all__ = [
    "DEFAULT_MAX_PIXELS",
    "READABLE",
    "WRITABLE",
    "Info",
    "PictureWarning",
    "Preview",
    "check_writable",
    "format_of",
    "identify",
    "open_image",
    "open_mask",
    "open_preview",
    "save",
]

DEFAULT_MAX_PIXELS = 200_000_000

_SUFFIXES = {
    "PNG": (".png",),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
    "AVIF": (".avif",),
    "BMP": (".bmp", ".dib"),
}
_FORMATS = {suffix: name for name, suffixes in _SUFFIXES.items() for suffix in suffixes}
WRITABLE = frozenset(_FORMATS)
READABLE = WRITABLE | {".gif"}

_LUMA = (0.299, 0.587, 0.114)  # BT.601, on encoded values


class _Source(Protocol):
    """An open file whose header is read."""

    info: Info

    def read(self, notes: list[str], side: int | None = None) -> tuple[Canvas, Metadata]: ...


@dataclasses.dataclass(frozen=True)
class Preview:
    """A small upright picture, what its file says, its full size, upright too, and its ICC profile."""

    picture: PIL.Image.Image
    info: Info
    width: int
    height: int
    icc: bytes | None


def open_image(path: str | Path, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Image:
    """Read a picture, upright, with its metadata. The content decides on the format, not the suffix.

    Palettes become RGB (with alpha if an entry is transparent); CMYK becomes sRGB by its profile, which is dropped.
    Floating point must be finite and in [0, 1]; 16- and 64-bit floats become 32-bit. Memory: 4 bytes a pixel and
    channel, and the decoded picture while it is converted.

    Raises ``PictureError`` ("path: reason", one line) for a file that is missing, no regular file, empty, truncated,
    damaged, of an unknown kind, with several frames, or of more than ``max_pixels`` (checked before decoding). Issues
    ``PictureWarning`` for what could not be kept.
    """
    notes: list[str] = []
    with _refusals(path), _opened(path) as file:
        source = _source(file, max_pixels)
        if source.info.frames > 1:
            raise PictureError(f"holds {source.info.frames} frames; a picture has one, so extract them first")
        canvas, metadata = source.read(notes)
        image = canvas.image(metadata)
        del canvas
    _issue(path, notes)
    return image


def open_preview(path: str | Path, side: int, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Preview:
    """The picture as ``open_image`` would give it, for a screen: 8 bits, upright, its longer side at most ``side``.

    Needs no torch, and of a large JPEG decodes no more detail than that. Raises as ``open_image``, warns of nothing.
    """
    with _refusals(path), _opened(path) as file:
        source = _source(file, max_pixels)
        info = source.info
        if info.frames > 1:
            raise PictureError(f"holds {info.frames} frames; a picture has one, so extract them first")
        canvas, metadata = source.read([], side)
        width, height = (info.height, info.width) if canvas.turned else (info.width, info.height)
        picture = canvas.picture()
    picture.thumbnail((side, side), reducing_gap=2.0)
    return Preview(picture, info, width, height, metadata.icc)


def open_mask(path: str | Path, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Tensor:
    """Read any picture as a mask: float32 ``(1, H, W)`` of 0 and 1.

    If the picture has an alpha that is opaque (>= 0.5) in some places and transparent in others, the shape was drawn
    into the alpha and the mask is 1 where it is opaque, whatever the colour. Otherwise it is 1 where the BT.601 luma is
    at least 0.5. Raises and warns as ``open_image``.
    """
    import torch

    image = open_image(path, max_pixels=max_pixels)
    if image.alpha is not None:
        opaque = image.alpha >= 0.5
        if bool(opaque.any()) and not bool(opaque.all()):
            return opaque.to(torch.float32)
    if image.channels == 1:
        luma = image.pixels
    else:
        luma = sum(weight * plane for weight, plane in zip(_LUMA, image.pixels, strict=True))[None]
    # Weights that sum to 1 may give a float just below 0.5 for a grey of exactly 0.5.
    return (luma >= 0.5 - 1e-6).to(torch.float32)


def identify(path: str | Path) -> Info:
    """What the header says; the pixels are not decoded. Raises ``PictureError`` as ``open_image``, but has no limit."""
    with _refusals(path), _opened(path) as file:
        return _source(file, None).info


def format_of(path: str | Path) -> str:
    """The format that a file of this suffix is written in: "PNG", "JPEG", "TIFF", "WEBP", "AVIF" or "BMP".

    Raises ``OptionError`` for any other suffix.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in _FORMATS:
        message = unknown("picture suffix", suffix, sorted(_FORMATS)) if suffix else "has no suffix to tell its format"
        raise OptionError(f"{_name(path)}: {message}")
    return _FORMATS[suffix]


def check_writable(path: str | Path, *, format: str | None = None) -> None:
    """Raise ``RetouchError`` if ``save`` could not write there, as far as that can be known before the work.

    That is: the folder is missing, no folder or not writable; the path is a folder or a device; the suffix is unknown
    (``OptionError``) and no ``format`` is given.
    """
    _target(path, format)


def save(
    image: Image,
    path: str | Path,
    *,
    format: str | None = None,
    quality: int | None = None,
    strip_metadata: bool = False,
    overwrite: bool = True,
) -> None:
    """Write a picture at its bit depth with its metadata, as far as the format holds them.

    ``format``: "png", "jpeg", ...; None goes by the suffix. ``quality``: 1..100 for JPEG, WebP and AVIF, else unused.
    None means: JPEG as the JPEG it came from (quantisation tables, subsampling, progressive), else 95 with 4:4:4; WebP
    92; AVIF 85 with 4:4:4. A JPEG has 4:4:4 from quality 90 on and 4:2:0 below; WebP of quality 100 is lossless. PNG
    and TIFF are always lossless. ``strip_metadata`` drops EXIF, XMP and print resolution; the ICC profile stays,
    because without it the colours would be others.

    The file appears whole or not at all: it is written beside its target under a hidden name with the process number,
    flushed to disk and renamed. A target that exists keeps its permissions, and a link to it stays a link.

    Raises ``RetouchError`` if it cannot be written (folder missing, disk full, exists and ``overwrite`` is False),
    ``OptionError`` for an unknown format or a quality out of range. Issues ``PictureWarning`` for what is lost.
    """
    if quality is not None and not 1 <= quality <= 100:
        raise OptionError(f"--quality must be in 1..100, not {quality}")
    target, kind = _target(path, format)
    if not overwrite and target.exists():
        raise RetouchError(f"{_name(path)}: exists already")
    notes: list[str] = []
    image = dataclasses.replace(image, metadata=_metadata_to_write(image, strip_metadata, notes))
    with _refusals(path, RetouchError), _beside(target) as file:
        _write(image, file, kind, quality, notes)
    _issue(path, notes)


def _write(image: Image, file: BinaryIO, kind: str, quality: int | None, notes: list[str]) -> None:
    if kind == "PNG":
        from retouch.image.png import write_png

        write_png(image, file, notes)
    elif kind == "TIFF":
        from retouch.image.tiff import write_tiff

        write_tiff(image, file, notes)
    else:
        from retouch.image.pillow import write_pillow

        write_pillow(image, file, kind, quality, notes)


def _metadata_to_write(image: Image, strip: bool, notes: list[str]) -> Metadata:
    """The picture's metadata without what is stripped or cannot be true of it; size and orientation set in EXIF."""
    metadata = image.metadata
    if strip:
        metadata = dataclasses.replace(metadata, exif=None, xmp=None, dpi=None)
    if metadata.exif:
        try:
            block = resized(clean(metadata.exif)[0], image.width, image.height)
        except (MalformedError, struct.error) as error:
            notes.append(f"its EXIF block is damaged ({error}) and dropped")
            block = None
        metadata = dataclasses.replace(metadata, exif=block)
    if metadata.xmp:
        metadata = dataclasses.replace(metadata, xmp=clean_xmp(metadata.xmp)[0])
    space = metadata.icc[16:20] if metadata.icc else b""
    if space == b"CMYK" or (space == b"GRAY" and image.channels == 3):
        notes.append(f"its ICC profile is for {space.decode()}, not for RGB, and is dropped")
        metadata = dataclasses.replace(metadata, icc=None)
    return metadata


def _name(path: str | Path) -> str:
    """The path for a message of one line."""
    name = str(path)
    return name if name.isprintable() else repr(name)


def _issue(path: str | Path, notes: list[str]) -> None:
    for note in dict.fromkeys(notes):
        warnings.warn(f"{_name(path)}: {note}", PictureWarning, stacklevel=3)


@contextlib.contextmanager
def _refusals(path: str | Path, kind: type[RetouchError] = PictureError) -> Iterator[None]:
    """Turn whatever goes wrong inside into one line that begins with the path.

    Everything that a decoder raises is caught, because what hostile bytes provoke in one cannot be listed
    (struct.error, zlib.error, IndexError, ...); only errors of Python's own kind, like KeyboardInterrupt, pass.
    """
    try:
        yield
    except MemoryError as error:
        raise kind(f"{_name(path)}: not enough memory for it") from error
    except OSError as error:
        raise kind(f"{_name(path)}: {_system_reason(error)}") from error
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        if isinstance(error, (LookupError, TypeError, AttributeError, struct.error)):  # whose texts say little alone
            reason = f"its structure is damaged ({type(error).__name__}: {reason})"
        if not isinstance(error, RetouchError):
            what = "cannot be read" if kind is PictureError else "cannot be written"
            reason = f"{what}: {reason}"
        raise kind(f"{_name(path)}: {reason}") from error


def _system_reason(error: OSError) -> str:
    known = {
        errno.ENOENT: "no such file",
        errno.EISDIR: "is a folder",
        errno.EACCES: "permission denied",
        errno.ENOSPC: "the disk is full",
        errno.EDQUOT: "the disk quota is used up",
    }
    text = " ".join(str(error.strerror or error).split())[:200]  # decoders raise OSError too, without a number
    return known.get(error.errno or 0, text or type(error).__name__)


@contextlib.contextmanager
def _opened(path: str | Path) -> Iterator[BinaryIO]:
    status = os.stat(path)  # noqa: PTH116  (Path("") is the current folder, "" is no file)
    if stat.S_ISDIR(status.st_mode):
        raise PictureError("is a folder")
    if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
        raise PictureError("is not a regular file")
    if status.st_size == 0:
        raise PictureError("is empty")
    with Path(path).open("rb") as file:
        yield file


def _source(file: BinaryIO, limit: int | None) -> _Source:
    head = file.read(64)
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        from retouch.image.png import PngFile

        return PngFile(file, limit)
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        from retouch.image.tiff import TiffFile

        return TiffFile(file, limit)
    kind = None
    if head.startswith(b"\xff\xd8\xff"):
        kind = "JPEG"
    elif head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        kind = "WEBP"
    elif head[4:8] == b"ftyp" and (b"avif" in head[8:] or b"avis" in head[8:]):
        kind = "AVIF"
    elif head.startswith((b"GIF87a", b"GIF89a")):
        kind = "GIF"
    elif head.startswith(b"BM"):
        kind = "BMP"
    if kind is None:
        raise PictureError("is not a picture of a known format (PNG, JPEG, TIFF, WebP, AVIF, BMP, GIF)")
    from retouch.image.pillow import PillowFile

    return PillowFile(file, kind, limit)


def _target(path: str | Path, format: str | None) -> tuple[Path, str]:
    """Where to write, links followed, and the format; raises as ``check_writable``."""
    if format is None:
        kind = format_of(path)
    else:
        names = {name.lower(): name for name in _SUFFIXES} | {s[1:]: name for s, name in _FORMATS.items()}
        key = format.lower().lstrip(".")
        if key not in names:
            raise OptionError(unknown("picture format", format, sorted(names)))
        kind = names[key]
    with _refusals(path, RetouchError):
        target = Path(os.path.realpath(path))
        folder = target.parent
        if target.is_dir():
            raise RetouchError("is a folder")
        if target.exists() and not target.is_file():
            raise RetouchError("is not a regular file")
        if not folder.is_dir():
            raise RetouchError(f"there is no folder {_name(folder)}")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise RetouchError(f"the folder {_name(folder)} is not writable")
    return target, kind


@contextlib.contextmanager
def _beside(target: Path) -> Iterator[BinaryIO]:
    """A new hidden file beside the target that takes its name at the end, or vanishes if anything goes wrong."""
    hidden = target.with_name(f".retouch-{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        with hidden.open("x+b") as file:
            if target.exists():
                hidden.chmod(stat.S_IMODE(target.stat().st_mode))
            yield file
            file.flush()
            os.fsync(file.fileno())
        hidden.replace(target)
    except BaseException:
        hidden.unlink(missing_ok=True)
        raise
