"""Label maps drawn in colours: which label each pixel of a picture has, and how well two maps agree."""

from __future__ import annotations

import torch
from torch import Tensor

RGB = tuple[int, int, int]

FACADES: dict[str, RGB] = {
    "background": (0, 0, 223),
    "facade": (0, 48, 255),
    "window": (0, 128, 255),
    "door": (0, 207, 255),
    "cornice": (32, 255, 223),
    "sill": (112, 255, 143),
    "balcony": (191, 255, 64),
    "blind": (255, 239, 0),
    "deco": (255, 159, 0),
    "molding": (255, 80, 0),
    "pillar": (255, 0, 0),
    "shop": (175, 0, 0),
}
"""The labels of facades as pix2pix published them: colours 6, 11, 16 ... 61 of MATLAB's ``jet(64)``.

Labels and their order: Tylecek, "The CMP Facade Database", report CTU-CMP-2012-24, 2013; its own files are drawn in
``jet(12)``, which is another palette. Checked against the 450 training pictures: where 5 x 5 pixels are of one colour,
JPEG aside, there are these twelve clusters and no others, their medians within 2 of 255 of these colours.
"""

PALETTES: dict[str, dict[str, RGB]] = {"facades": FACADES}
"""The palettes that ``--labels`` takes."""

_NEAR = 48  # distance in RGB of 0..255 up to which a pixel is of a label's colour; JPEG blurs the edges of labels


def colours_of(palette: dict[str, RGB]) -> Tensor:
    """``(N, 3)``, float32 on 0..255."""
    return torch.tensor(list(palette.values()), dtype=torch.float32)


def nearest_label(pixels: Tensor, colours: Tensor) -> tuple[Tensor, float]:
    """The label of each pixel, whose colour is the nearest in RGB: int64 ``(H, W)``, and the share that is near one.

    ``pixels``: ``(3, H, W)`` in [0, 1]; rounded to 8 bits first. ``colours``: as of ``colours_of``. Of two colours
    equally near it is the first. The share is that of pixels within 48 of their colour: .58 to .97 of the label maps of
    facades (JPEG blurs thin labels), .003 of their photographs at most.
    """
    x = (pixels * 255).round()
    squares = torch.stack([(x - colour.view(3, 1, 1)).square().sum(0) for colour in colours])
    least, label = squares.min(0)
    return label, float((least <= _NEAR**2).float().mean())


class Confusion:
    """How many pixels of each true label were given each label. ``counts``: int64 ``(N, N)``, a row for each true one.

    The numbers are those of Long, Shelhamer, Darrell, "Fully Convolutional Networks for Semantic Segmentation", CVPR
    2015, section 5, by which pix2pix and DualGAN compare label maps, over all pixels that were added.
    """

    def __init__(self, labels: int) -> None:
        self.counts = torch.zeros(labels, labels, dtype=torch.int64)

    def add(self, truth: Tensor, result: Tensor) -> float:
        """Count two label maps ``(H, W)`` of one size; the share of pixels on which they agree."""
        size = len(self.counts)
        self.counts += torch.bincount((truth * size + result).flatten(), minlength=size**2).view(size, size)
        return float((truth == result).double().mean())

    @property
    def accuracy(self) -> float:
        """The share of pixels that are right; NaN before the first, as the others."""
        return float(self.counts.diag().sum() / self.counts.sum())

    @property
    def class_accuracy(self) -> float:
        """The share of a label's pixels that are right, the mean over the labels that truly occur."""
        return _mean(self.counts.diag(), self.counts.sum(1))

    @property
    def iou(self) -> float:
        """A label's pixels that are right, of all that are it or are called it: the mean over labels that have any."""
        right = self.counts.diag()
        return _mean(right, self.counts.sum(1) + self.counts.sum(0) - right)


def _mean(parts: Tensor, wholes: Tensor) -> float:
    there = wholes > 0
    return float((parts[there].double() / wholes[there]).mean())
