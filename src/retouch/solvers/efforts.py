"""What quick, normal and paper mean for methods that iterate. No torch here: interfaces ask what a method will take."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class ZeroShotEffort:
    """What one level of ``effort`` means for Zero-Shot Noise2Noise: network, steps, rate, training crop, precision.

    ``schedule``: 'step' halves the rate every 1000 steps, 'cosine' warms up for 50 steps and falls to 0.
    ``crop``: side of the random crop that a step learns from. ``faithful``: as published: a picture that has no more
    pixels than a crop is used whole, in float32, and the result is one pass. Otherwise crops start at odd places too,
    so that every pixel meets all its diagonal neighbours, and the result is the mean over the picture turned and
    mirrored in all 8 ways.
    """

    width: int
    steps: int
    learning_rate: float
    schedule: Literal["step", "cosine"]
    crop: int
    faithful: bool = False

    def rate(self, index: int) -> float:
        """Learning rate of step ``index``."""
        if self.schedule == "step":
            return self.learning_rate * 0.5 ** (index // 1000)
        return self.learning_rate * min(1.0, (index + 1) / 50) * (1 + math.cos(math.pi * index / self.steps)) / 2


ZERO_SHOT: dict[str, ZeroShotEffort] = {
    "quick": ZeroShotEffort(48, 500, 1e-2, "cosine", 96),
    "normal": ZeroShotEffort(48, 1000, 1e-2, "cosine", 128),
    "paper": ZeroShotEffort(48, 2000, 1e-3, "step", 512, faithful=True),
}
"""The published settings, and cheaper ones held against them.

On three 256x256 crops of training photographs with sigma 25: paper 28.83 dB (run in bfloat16), normal 28.80 with an
eighth of the work, quick 28.36 with a thirtieth.
"""


@dataclass(frozen=True)
class StyleEffort:
    """What one level of ``effort`` means for style transfer.

    ``side``: the longer side of the last size. ``levels``: (share of that side, steps) of each size, coarse to fine.
    ``rate``: of Adam; it falls to a twentieth over each size. ``start``, ``pooling``: see ``style.StyleTransfer``.
    ``faithful``: as published, and in float32.
    """

    side: int
    levels: tuple[tuple[float, int], ...]
    optimizer: Literal["lbfgs", "adam"] = "lbfgs"
    rate: float = 0.06
    start: Literal["picture", "noise"] = "picture"
    pooling: Literal["max", "average"] = "average"
    faithful: bool = False

    @property
    def steps(self) -> int:
        """Of all sizes together."""
        return sum(steps for _, steps in self.levels)


STYLE: dict[str, StyleEffort] = {
    "quick": StyleEffort(256, ((0.5, 80), (1.0, 50))),
    "normal": StyleEffort(384, ((0.5, 140), (1.0, 100))),
    "paper": StyleEffort(512, ((1.0, 1000),), start="noise", faithful=True),
}
"""The published procedure, and shorter ones from the photograph on, the second size beginning with the first.

After 200 steps on 160 x 160 pixels Adam's loss is 9 % above that of L-BFGS at its best rate, 0.06, and 56 % at 0.01;
150 steps of L-BFGS over two sizes come to 8 % above it in half the time. Bfloat16 costs L-BFGS nothing: -0.1 %.
"""
