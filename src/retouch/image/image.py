"""What a picture is inside Retouch: pixels, alpha and everything a file says about them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from retouch.image.errors import PictureError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

_STRIP_ROWS = 128
_TOLERANCE = 1e-4  # rounding of a resize or a colour conversion; more than this is a bug of the caller


@dataclass(frozen=True)
class JpegSettings:
    """How a JPEG was coded, so that saving can code the result alike.

    ``tables``: quantisation tables by slot, 64 integers each in the order Pillow gives and takes them.
    ``subsampling``: Pillow's code: 0 = 4:4:4, 1 = 4:2:2, 2 = 4:2:0, -1 = unknown.
    ``progressive``: whether the scan was progressive.
    """

    tables: dict[int, tuple[int, ...]]
    subsampling: int
    progressive: bool = False


@dataclass(frozen=True)
class Metadata:
    """Everything of a picture file that is not its pixels.

    ``format``: Pillow's name of the file format ("PNG", "JPEG", "TIFF", "WEBP", "AVIF", "BMP"), None if made in memory.
    ``bit_depth``: bits a channel had in the file: 8, 16, or 32 for floating point.
    ``icc``: ICC profile; ``exif``: TIFF-structured EXIF block without the ``Exif\\0\\0`` prefix, its orientation
    already written as 1; ``xmp``: XMP packet. Each None where the file had none.
    ``dpi``: horizontal and vertical resolution in dots per inch.
    """

    format: str | None = None
    bit_depth: int = 8
    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    jpeg: JpegSettings | None = None


@dataclass(frozen=True, eq=False)
class Image:
    """A picture.

    ``pixels``: float32 tensor ``(C, H, W)`` on the CPU, C = 1 (grey) or 3 (RGB), sRGB-encoded, in [0, 1].
    ``alpha``: float32 ``(1, H, W)`` in [0, 1], not premultiplied, or None.

    Raises ``PictureError`` for NaN, and ``ValueError`` for any other shape, type or range.
    """

    pixels: Tensor
    alpha: Tensor | None = None
    metadata: Metadata = field(default_factory=Metadata)

    def __post_init__(self) -> None:
        _check(self.pixels, "pixels", (1, 3))
        if self.alpha is not None:
            _check(self.alpha, "alpha", (1,))
            if self.alpha.shape[1:] != self.pixels.shape[1:]:
                raise ValueError(f"alpha is {tuple(self.alpha.shape[1:])}, pixels are {tuple(self.pixels.shape[1:])}")

    @property
    def channels(self) -> int:
        """1 for grey, 3 for colour."""
        return int(self.pixels.shape[0])

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.pixels.shape[1])

    @property
    def width(self) -> int:
        """Columns."""
        return int(self.pixels.shape[2])

    @property
    def megapixels(self) -> float:
        """Height times width in millions."""
        return self.height * self.width / 1e6

    def with_pixels(self, pixels: Tensor, alpha: Tensor | None = None) -> Image:
        """The same picture with other pixels, clipped to [0, 1], taken to the CPU as float32.

        ``pixels``: ``(C, H, W)`` or ``(1, C, H, W)``. Of the same size as before, the alpha is kept; where the size
        changes, pass the resized ``alpha`` (``ValueError`` otherwise, if there is one).
        """
        import torch

        pixels = pixels.detach()
        if pixels.ndim == 4:
            pixels = pixels.squeeze(0)
        pixels = pixels.to(device="cpu", dtype=torch.float32).clamp(0, 1).contiguous()
        if alpha is None:
            alpha = self.alpha
        return replace(self, pixels=pixels, alpha=alpha)

    @classmethod
    def from_array(cls, array: NDArray[Any], metadata: Metadata | None = None) -> Image:
        """An Image from ``(H, W)`` or ``(H, W, C)``: C = 1 grey, 2 grey + alpha, 3 RGB, 4 RGB + alpha.

        uint8 is divided by 255 and uint16 by 65535; floating point is taken as it is and must lie in [0, 1].
        The bit depth is noted in the metadata. Raises ``ValueError`` for another type or shape.
        """
        import torch

        array = np.asarray(array)
        if array.ndim == 2:
            array = array[:, :, None]
        if array.ndim != 3 or array.shape[2] not in (1, 2, 3, 4):
            raise ValueError(f"a picture is (H, W) or (H, W, 1..4), not {array.shape}")
        if array.dtype == np.uint8:
            depth, peak = 8, 255.0
        elif array.dtype == np.uint16:
            depth, peak = 16, 65535.0
        elif array.dtype.kind == "f":
            depth, peak = 32, 1.0
        else:
            raise ValueError(f"a picture is uint8, uint16 or floating point, not {array.dtype}")
        planes = torch.empty((array.shape[2], *array.shape[:2]), dtype=torch.float32)
        for index in range(array.shape[2]):  # plane by plane, so that no second full-size float copy exists
            planes[index] = torch.from_numpy(np.ascontiguousarray(array[:, :, index], dtype=np.float32))
        planes /= peak
        colours = array.shape[2] - (array.shape[2] + 1) % 2
        metadata = metadata if metadata is not None else Metadata(bit_depth=depth)
        return cls(planes[:colours], planes[colours:] if colours < array.shape[2] else None, metadata)

    def to_array(self, bit_depth: int | None = None, *, alpha: bool = True) -> NDArray[Any]:
        """The picture as ``(H, W)`` for grey without alpha, else ``(H, W, C)``, rounded to its bit depth.

        ``bit_depth``: 8 -> uint8, 16 -> uint16, 32 -> float32; None takes the metadata's. ``alpha=False`` leaves
        the alpha out.
        """
        depth = self.metadata.bit_depth if bit_depth is None else bit_depth
        kinds: dict[int, tuple[type, float]] = {8: (np.uint8, 255.0), 16: (np.uint16, 65535.0), 32: (np.float32, 1.0)}
        if depth not in kinds:
            raise ValueError(f"bit_depth is 8, 16 or 32, not {depth}")
        kind, peak = kinds[depth]
        planes = list(self.pixels)
        if alpha and self.alpha is not None:
            planes.append(self.alpha[0])
        out: NDArray[Any] = np.empty((self.height, self.width, len(planes)), dtype=kind)
        for top in range(0, self.height, _STRIP_ROWS):  # in strips, so that no second full-size float copy exists
            rows = slice(top, top + _STRIP_ROWS)
            for index, plane in enumerate(planes):
                values = np.clip(plane[rows].numpy(), 0, 1)
                out[rows, :, index] = values if depth == 32 else np.rint(values * np.float32(peak))
        return out[:, :, 0] if len(planes) == 1 else out

    def save(self, path: str | Path, **options: Any) -> None:
        """Write the picture; see ``retouch.image.files.save`` for the options, warnings and errors."""
        from retouch.image.files import save

        save(self, path, **options)


def _check(tensor: Tensor, name: str, channels: tuple[int, ...]) -> None:
    import torch  # when a picture is made, not when a header is read

    if tensor.dtype != torch.float32 or tensor.ndim != 3 or tensor.shape[0] not in channels:
        allowed = " or ".join(map(str, channels))
        raise ValueError(f"{name}: float32 ({allowed}, H, W), not {tensor.dtype} {tuple(tensor.shape)}")
    if tensor.device.type != "cpu":
        raise ValueError(f"{name}: on the CPU, not on {tensor.device}")
    if tensor.numel() == 0:
        raise ValueError(f"{name}: has no pixels: {tuple(tensor.shape)}")
    low, high = (float(v) for v in torch.aminmax(tensor))  # both are NaN as soon as one value is
    if not low == low:
        raise PictureError(f"{name}: holds NaN")
    if low < -_TOLERANCE or high > 1 + _TOLERANCE:
        raise ValueError(f"{name}: must lie in [0, 1], found {low:g}..{high:g}")
