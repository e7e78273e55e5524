"""What every picture format shares: the size limit, filling an ``Image`` strip by strip, CMYK, and the way out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from retouch.image.errors import PictureError
from retouch.image.image import Image, Metadata

if TYPE_CHECKING:
    import PIL.Image
    from numpy.typing import NDArray

STRIP_PIXELS = 1 << 20  # a strip's buffers stay near 12 MB however wide the picture
_OVERSHOOT = 1e-3  # a float file may pass 0 or 1 by this much (rounding of a resize) and is clipped


@dataclass(frozen=True)
class Info:
    """What the header of a picture file says.

    ``format``: "PNG", "JPEG", "TIFF", "WEBP", "AVIF", "BMP" or "GIF". ``width``, ``height``: pixels as stored, before
    the orientation is applied. ``frames``: pictures in the file, thumbnails not counted. ``bit_depth``: bits a channel
    (1..64). ``mode``: "grey", "grey+alpha", "RGB", "RGBA", "palette" or "CMYK".
    """

    format: str
    width: int
    height: int
    frames: int
    bit_depth: int
    mode: str


def admit(width: int, height: int, limit: int | None) -> None:
    """Raise ``PictureError`` for a picture without pixels, or with more than ``limit`` (None: no limit)."""
    if width <= 0 or height <= 0:
        raise PictureError(f"has no pixels ({width} x {height})")
    if limit is not None and width * height > limit:
        raise PictureError(
            f"{width} x {height} pixels ({width * height / 1e6:.1f} million) are more than the limit of "
            f"{limit / 1e6:g} million; --max-pixels raises it"
        )


def strip_rows(width: int) -> int:
    """Rows of a strip of about ``STRIP_PIXELS`` pixels, at least 1."""
    return max(1, STRIP_PIXELS // width)


class Canvas:
    """A float picture that is filled strip by strip in the order of the file and comes out upright.

    The strips are written through a turned view of the upright memory, so that neither the conversion to float nor the
    orientation costs a second full-size copy.
    """

    def __init__(self, height: int, width: int, channels: int, *, alpha: bool, orientation: int = 1) -> None:
        self.turned = orientation >= 5
        size = (width, height) if orientation >= 5 else (height, width)
        self._pixels = np.empty((channels, *size), dtype=np.float32)
        self._alpha = np.empty((1, *size), dtype=np.float32) if alpha else None
        self._views = [stored_view(plane, orientation) for plane in self._pixels]
        if self._alpha is not None:
            self._views.append(stored_view(self._alpha[0], orientation))

    def put(self, top: int, planes: Sequence[NDArray[Any]], peak: float) -> None:
        """Write rows from ``top`` on: one ``(rows, width)`` array a channel, alpha last, divided by ``peak``."""
        for view, plane in zip(self._views, planes, strict=True):
            np.divide(plane, np.float32(peak), out=view[top : top + plane.shape[0]], dtype=np.float32)

    def put_float(self, top: int, planes: Sequence[NDArray[Any]]) -> None:
        """Write rows of floating point values, which must be finite and in [0, 1]. Raises ``PictureError``."""
        for view, plane in zip(self._views, planes, strict=True):
            values = plane.astype(np.float32)
            low, high = float(values.min()), float(values.max())
            if not (np.isfinite(low) and np.isfinite(high)):
                raise PictureError("holds NaN or infinite values")
            if low < -_OVERSHOOT or high > 1 + _OVERSHOOT:
                raise PictureError(
                    f"floating point values must lie in 0..1, found {low:g}..{high:g}; rescale the file first"
                )
            np.clip(values, 0, 1, out=view[top : top + plane.shape[0]])

    def image(self, metadata: Metadata) -> Image:
        """The finished picture."""
        import torch

        alpha = torch.from_numpy(self._alpha) if self._alpha is not None else None
        return Image(torch.from_numpy(self._pixels), alpha, metadata)

    def picture(self) -> PIL.Image.Image:
        """The finished picture as 8-bit Pillow image of mode L, RGB or RGBA, as ``to_pillow``."""
        return _eight_bit(self._pixels, None if self._alpha is None else self._alpha[0], flatten=False)


def stored_view(upright: NDArray[Any], orientation: int) -> NDArray[Any]:
    """The ``(rows, columns)`` of the file as a view of the upright plane, for the eight values of EXIF orientation."""
    if orientation == 2:
        return upright[:, ::-1]
    if orientation == 3:
        return upright[::-1, ::-1]
    if orientation == 4:
        return upright[::-1]
    if orientation == 5:
        return upright.T
    if orientation == 6:
        return upright[:, ::-1].T
    if orientation == 7:
        return upright[::-1, ::-1].T
    if orientation == 8:
        return upright[::-1].T
    return upright


class CmykConverter:
    """CMYK (0 = no ink) to sRGB, by the profile in the file if it can be used, else by Pillow's plain formula."""

    def __init__(self, profile: bytes | None, notes: list[str]) -> None:
        import io

        from PIL import ImageCms

        self._transform: ImageCms.ImageCmsTransform | None = None
        how = "the plain formula, since the file has no profile"
        if profile:
            try:
                source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
                target = ImageCms.createProfile("sRGB")
                self._transform = ImageCms.buildTransform(source, target, "CMYK", "RGB")
                how = "its profile, which is dropped"
            except (OSError, ImageCms.PyCMSError):
                how = "the plain formula, since its profile cannot be used; the profile is dropped"
        notes.append(f"CMYK is converted to sRGB by {how}")

    def __call__(self, strip: PIL.Image.Image) -> PIL.Image.Image:
        """A strip of mode CMYK as RGB."""
        from PIL import ImageCms

        if self._transform is None:
            return strip.convert("RGB")
        converted = ImageCms.applyTransform(strip, self._transform)
        assert converted is not None  # it is None only where the transform works in place
        return converted


def planes_of(array: NDArray[Any]) -> list[NDArray[Any]]:
    """``(H, W)`` or ``(H, W, C)`` as a list of C planes ``(H, W)``, views."""
    return [array] if array.ndim == 2 else [array[:, :, index] for index in range(array.shape[2])]


def to_pillow(image: Image, *, flatten: bool) -> PIL.Image.Image:
    """The picture as 8-bit Pillow image of mode L, RGB or RGBA (grey with alpha becomes RGBA), built strip by strip.

    ``flatten``: the alpha is composited over white instead of kept.
    """
    return _eight_bit(image.pixels.numpy(), None if image.alpha is None else image.alpha[0].numpy(), flatten=flatten)


def _eight_bit(pixels: NDArray[Any], alpha: NDArray[Any] | None, *, flatten: bool) -> PIL.Image.Image:
    """``pixels`` ``(C, H, W)`` and ``alpha`` ``(H, W)`` of 0..1 as a Pillow image."""
    import PIL.Image

    channels, height, width = pixels.shape
    mode = "RGBA" if alpha is not None and not flatten else "RGB" if channels == 3 else "L"
    picture = PIL.Image.new(mode, (width, height))
    rows = strip_rows(width)
    for top in range(0, height, rows):
        block = pixels[:, top : top + rows]
        if alpha is not None:
            cover = alpha[top : top + rows]
            if flatten:
                block = block * cover + (1 - cover)
            else:
                block = np.concatenate([block] * (3 // channels) + [cover[None]])
        values = np.rint(np.clip(block, 0, 1) * np.float32(255)).astype(np.uint8)
        strip = values[0] if mode == "L" else np.ascontiguousarray(values.transpose(1, 2, 0))
        picture.paste(PIL.Image.fromarray(strip), (0, top))
    return picture
