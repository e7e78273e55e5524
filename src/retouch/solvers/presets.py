"""The options of Deep Image Prior by task: the published ones, and leaner ones that were measured against them.

Published: Ulyanov et al. 2018/2020 and their released notebooks. ``param_noise``, which the notebooks set for the large
hole, is left out: there it rebinds a local variable and changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Preset:
    """One named set of options.

    ``network``: arguments of ``Hourglass`` (without channels), or of ``DeepDecoder`` if ``decoder``. ``code``: what
    the network is given: uniform noise in [0, .1), a mesh grid of coordinates, the guide picture, or noise beside a
    classical estimate (see ``warm_start``). ``code_noise``: standard deviation of the normal noise added to the code at
    each step. ``average``: weight of the running average of outputs, 0 for the last output. ``stop``: default stop rule
    ('wmv', 'emv' or 'off') with ``patience`` and ``delay``. ``networks``: how many networks, of other weights and
    codes, are fitted side by side; the output is their mean (the paper averages two runs). ``faithful``: float32 is
    kept even where bfloat16 is faster.
    """

    network: dict[str, Any] = field(default_factory=dict)
    code: Literal["noise", "grid", "guide", "estimate"] = "noise"
    steps: int = 3000
    learning_rate: float = 0.01
    code_noise: float = 1 / 30
    average: float = 0.99
    stop: Literal["wmv", "emv", "off"] = "off"
    patience: int = 1000
    delay: int = 0
    networks: int = 1
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
        _paper,
        network=_hourglass((16, 32, 64, 128, 128), 0, downsampling="avg"),
        steps=1000,
        code_noise=0.0,
        average=0.0,
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

Task = Literal["denoise", "deblur", "inpaint", "upscale", "dejpeg", "relight"]
Effort = Literal["quick", "normal", "paper"]


def _lean(width: int, skip: int, steps: int, **changes: Any) -> Preset:
    """A narrower network with zero padding, which bfloat16 suits, and a warm start instead of noise alone."""
    network = _hourglass(width, skip, padding="zeros", upsampling=changes.pop("upsampling", "bilinear"))
    return Preset(network=network, code="estimate", steps=steps, **changes)


def _hole(width: int, steps: int) -> Preset:
    """For large holes: no skip connections, which would copy the hole's blankness to the output."""
    network = _hourglass((width // 4, width // 2, width, width, width), 0, padding="zeros", upsampling="nearest")
    return Preset(network=network, code_noise=0.03, steps=steps)


_decoder = Preset(network={}, decoder=True, code_noise=0.0)

LEAN: dict[str, Preset] = {
    "denoise-normal": _lean(32, 4, 500, stop="wmv", patience=100, delay=50, networks=3),
    "denoise-quick": _lean(32, 4, 300, stop="wmv", patience=50, delay=50),
    "dejpeg-normal": _lean(32, 4, 500, stop="wmv", patience=100, networks=3),
    "dejpeg-quick": _lean(32, 4, 200, stop="wmv", patience=50),
    "deblur-paper": replace(_paper, steps=5000, average=0.0),
    "deblur-normal": _lean(64, 4, 1500, code_noise=0.03),
    "deblur-quick": _lean(32, 4, 400, code_noise=0.03),
    "upscale-normal": _lean(64, 4, 1500, code_noise=0.03),
    "upscale-quick": _lean(32, 4, 400, code_noise=0.03),
    "inpaint-normal": _lean(64, 64, 1500, code_noise=0.03, upsampling="nearest"),
    "inpaint-quick": _lean(32, 32, 400, code_noise=0.03, upsampling="nearest"),
    "inpaint-hole-normal": _hole(128, 2000),
    "inpaint-hole-quick": _hole(64, 800),
    "flash-normal": replace(PUBLISHED["flash"], faithful=False),
    "flash-quick": Preset(
        network=_hourglass(32, padding="zeros", input_depth=3), code="guide", steps=400, code_noise=0.0
    ),
    "decoder-quick": replace(_decoder, steps=1000),
    "decoder-normal": replace(_decoder, steps=3000, stop="wmv"),
    "decoder-paper": replace(_decoder, steps=10000, stop="wmv", faithful=True),
}
"""Narrower networks and shorter runs than the published ones, for a person who waits.

The paper shows no deblurring: "deblur-paper" is its network of denoising, fitted for longer, as there is no noise to
stop before.
"""

PRESETS: dict[str, Preset] = PUBLISHED | LEAN
"""Every preset by name."""


def choose(
    task: Task, effort: Effort, network: str = "hourglass", *, scale: int = 1, mask: Tensor | None = None
) -> str:
    """The preset for a task: by effort, the factor of super-resolution, and what the mask (1 = kept) hides.

    A hole that a square of side 32 fits into is large and wants a network without skip connections; nine tenths of the
    pixels missing want the pooled network that the paper used for 98 %.
    """
    if network == "decoder":
        return f"decoder-{effort}"
    if task == "relight":
        return "flash" if effort == "paper" else f"flash-{effort}"
    if task == "inpaint" and mask is not None and _largest_hole(mask) >= 32:
        return "inpaint-library" if effort == "paper" else f"inpaint-hole-{effort}"
    if effort != "paper" or task == "deblur":
        return f"{task}-{effort}"
    if task == "upscale":
        return "sr-x4" if scale <= 4 else "sr-x8"
    if task == "dejpeg":
        return "jpeg"
    if task == "inpaint":
        missing = 0.0 if mask is None else 1 - float(mask.float().mean())
        return "restore-2" if missing >= 0.9 else "restore-50" if missing >= 0.3 else "inpaint-text"
    return task


def _largest_hole(mask: Tensor) -> int:
    """Side of the largest square that lies in what the mask hides, to within a pixel."""
    import numpy as np
    from scipy.ndimage import distance_transform_cdt

    hidden = mask.reshape(mask.shape[-2:]).cpu().numpy() < 0.5
    depth = distance_transform_cdt(np.pad(hidden, 1), metric="chessboard")  # padded: a border is known too
    return 2 * int(depth.max())
