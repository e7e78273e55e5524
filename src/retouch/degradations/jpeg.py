"""JPEG: real compression by libjpeg through Pillow, in memory."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor

from retouch.degradations.base import (
    Degradation,
    check_choice,
    check_flag,
    check_number,
    check_order,
    integer,
    per_picture,
    uniform,
)
from retouch.degradations.blur import mirror_index

_SUBSAMPLINGS = ("4:2:0", "4:4:4")
_BLOCK = 8  # side of the blocks that are transformed; 4:2:0 works in 16, and the shift still breaks those


@dataclass(frozen=True)
class Jpeg(Degradation):
    """Rounded to 8 bits, coded as JPEG and decoded again. Neither differentiable nor linear; the output is in [0, 1].

    ``quality``: libjpeg's, 1..100. ``subsampling``: of the colour planes, '4:2:0' (halved both ways) or '4:4:4'.
    ``grey``: code the luma only, so that colour is lost; a picture of one channel is always coded grey.
    Raises ``ValueError`` for other than 1 or 3 channels.
    """

    quality: int = 50
    subsampling: str = "4:2:0"
    grey: bool = False

    def __post_init__(self) -> None:
        check_number(self, "quality", 1, 100, whole=True)
        check_choice(self, "subsampling", _SUBSAMPLINGS)
        check_flag(self, "grey")

    def forward(self, x: Tensor, generator: Generator | None) -> Tensor:
        if x.shape[1] not in (1, 3):
            raise ValueError(f"{self!r}: takes 1 or 3 channels, got {x.shape[1]}")
        return per_picture(x, self._code)

    def _code(self, x: Tensor) -> Tensor:
        from PIL import Image

        pixels = (x[0].detach().clamp(0, 1) * 255).round().to(device="cpu", dtype=torch.uint8).permute(1, 2, 0).numpy()
        picture = Image.fromarray(pixels[:, :, 0] if x.shape[1] == 1 else np.ascontiguousarray(pixels))
        if self.grey:
            picture = picture.convert("L")
        with io.BytesIO() as buffer:
            if picture.mode == "L":
                picture.save(buffer, "JPEG", quality=self.quality)
            else:
                picture.save(buffer, "JPEG", quality=self.quality, subsampling=self.subsampling)
            buffer.seek(0)
            with Image.open(buffer) as coded:
                decoded = np.array(coded)
        planes = torch.from_numpy(decoded.reshape(*decoded.shape[:2], -1)).permute(2, 0, 1)
        return (planes.to(x) / 255).expand(x.shape[1], -1, -1)[None]


@dataclass(frozen=True)
class RandomJpeg(Degradation):
    """JPEG with a quality drawn for each picture uniformly from ``low`` to ``high``, both included.

    ``subsampling``: as of ``Jpeg``, or 'random' for either. ``twice``: how likely a second JPEG follows, with a quality
    of its own and its blocks not where the first had them, as when a picture is cropped and saved again.
    """

    low: int = 10
    high: int = 70
    subsampling: str = "4:2:0"
    twice: float = 0.0

    def __post_init__(self) -> None:
        check_number(self, "low", 1, 100, whole=True)
        check_number(self, "high", 1, 100, whole=True)
        check_order(self, "low", "high")
        check_choice(self, "subsampling", (*_SUBSAMPLINGS, "random"))
        check_number(self, "twice", 0, 1)

    def forward(self, x: Tensor, generator: Generator | None) -> Tensor:
        return per_picture(x, lambda one: self._code(one, generator))

    def _code(self, x: Tensor, generator: Generator | None) -> Tensor:
        once = self._draw(generator)(x)
        if not self.twice or uniform(generator, 0, 1) >= self.twice:
            return once
        down, right = integer(generator, 0, _BLOCK - 1), integer(generator, 0, _BLOCK - 1)
        rows, columns = (mirror_index(-by, side, side) for by, side in zip((down, right), x.shape[-2:], strict=True))
        moved = once.index_select(-2, rows.to(x.device)).index_select(-1, columns.to(x.device))
        return self._draw(generator)(moved)[..., down:, right:]

    def _draw(self, generator: Generator | None) -> Jpeg:
        quality = integer(generator, self.low, self.high)
        random = self.subsampling == "random"
        return Jpeg(quality, _SUBSAMPLINGS[integer(generator, 0, 1)] if random else self.subsampling)
