"""The options of Deep Image Prior by task: the published ones, and leaner ones that were measured against them.

Published: Ulyanov et al. 2018/2020 and their released notebooks. ``param_noise``, which the notebooks set for the large
hole, is left out: there it rebinds a local variable and changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal


@dataclass(frozen=True)
class Preset:
    """One named set of options.

    ``network``: arguments of ``Hourglass`` (without channels), or of ``DeepDecoder`` if ``decoder``. ``code``: what the
    network is given: uniform noise in [0, .1), a mesh grid of coordinates, or the guide picture. ``code_noise``:
    standard deviation of the normal noise that is added to the code at each step. ``average``: weight of the running
    average of outputs, 0 for the last output. ``stop``: default stop rule ('wmv', 'emv' or 'off') with ``patience``.
    ``faithful``: float32 is kept even where bfloat16 is faster.
    """

    network: dict[str, Any] = field(default_factory=dict)
    code: Literal["noise", "grid", "guide"] = "noise"
    steps: int = 3000
    learning_rate: float = 0.01
    code_noise: float = 1 / 30
    average: float = 0.99
    stop: Literal["wmv", "emv", "off"] = "off"
    patience: int = 1000
    decoder: bool = False
    faithful: bool = False


def _hourglass(width: int | tuple[int, ...] = 128, skip: int | tuple[int, ...] = 4, **rest: Any) -> dict[str, Any]:
    widths = (width,) * 5 if isinstance(width, int) else width
    skips = (skip,) * len(widths) if isinstance(skip, int) else skip
    return {"down": widths, "up": widths, "skip": skips, **rest}


_paper = Preset(network=_hourglass(), faithful=True)

PUBLISHED: dict[str, Preset] = {
    "denoise": replace(_paper, stop="wmv"),
    "jpeg": replace(
        _paper, network=_hourglass((8, 16, 32, 64, 128), (0, 0, 0, 4, 4), input_depth=3), steps=2400, stop="wmv"
    ),
    "sr-x4": replace(_paper, steps=2000, code_noise=0.03, average=0.0),
    "sr-x8": replace(_paper, steps=4000, code_noise=0.05, average=0.0),
    "inpaint-text": replace(
        _paper, network=_hourglass(skip=128, upsampling="nearest"), steps=6001, code_noise=0.03, average=0.0
    ),
    "inpaint-vase": replace(
        _paper,
        network=_hourglass(skip=0, upsampling="nearest", input_depth=2),
        code="grid",
        steps=5001,
        code_noise=0.03,
        average=0.0,
    ),
    "inpaint-library": replace(
        _paper,
        network=_hourglass(
            (16, 32, 64, 128, 128, 128), 0, kernel_down=5, pointwise=False, upsampling="nearest", input_depth=1
        ),
        steps=3001,
        code_noise=0.0,
        average=0.0,
    ),
    "restore-50": replace(_paper, steps=11000, learning_rate=0.001, code_noise=0.03, average=0.0),
    "restore-2": replace(
        _paper, network=_hourglass((16, 32, 64, 128, 128), 0, downsampling="avg"), steps=1000, code_noise=0.0, average=0.0
    ),
    "flash": replace(
        _paper,
        network=_hourglass(input_depth=3, upsampling=("nearest", "nearest", "bilinear", "bilinear", "bilinear")),
        code="guide",
        steps=601,
        learning_rate=0.1,
        code_noise=0.0,
        average=0.0,
    ),
}
"""The published options, one entry for each experiment of the paper that Retouch has a task for."""

_lean = Preset(code_noise=1 / 30)

PRESETS: dict[str, Preset] = PUBLISHED | {
    "w64": replace(_lean, network=_hourglass(64)),
    "w64z": replace(_lean, network=_hourglass(64, padding="zeros")),
    "w64n": replace(_lean, network=_hourglass(64, upsampling="nearest")),
    "w32": replace(_lean, network=_hourglass(32)),
    "w32d": replace(_lean, network=_hourglass(32, input_depth=16)),
    "w128": replace(_lean, network=_hourglass(128)),
    "decoder": replace(_lean, network={}, decoder=True, code_noise=0.0),
}
"""Every preset by name."""
