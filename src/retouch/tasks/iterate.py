"""What the tasks share about the deep priors: how to run one, in tiles where memory asks for it, and how long it takes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from retouch.tasks.base import MethodOptions, parse_tile

if TYPE_CHECKING:
    from retouch.degradations.base import Degradation
    from retouch.image.image import Image
    from retouch.solvers.presets import Preset, Task
    from retouch.solvers.steps import Listener

Network = Literal["hourglass", "decoder"]


def note(on_step: Listener | None, text: str) -> None:
    """Tell the listener something that is no progress."""
    if on_step is not None:
        from retouch.solvers.steps import Step

        on_step(Step(0, 1, note=text))


def window_side(image: Image, options: MethodOptions) -> int:
    """Side of the windows for methods that give the same result at any: ``--tile``, 512 for 'auto'."""
    side = parse_tile(options.tile)
    return 512 if side == "auto" else max(image.height, image.width, 16) if side is None else side


def deep_prior(
    task: Task,
    image: Image,
    options: MethodOptions,
    on_step: Listener | None,
    *,
    network: Network = "hourglass",
    degradation: Degradation | None = None,
    guide: Image | None = None,
) -> Image:
    """Run Deep Image Prior or the Deep Decoder with the options of a task."""
    from retouch.solvers.deep_prior import DeepPrior

    solver = DeepPrior(
        task=task,
        effort=options.effort,
        network=network,
        device=options.device,
        seed=options.seed,
        state_file=options.state,
    )
    return solver.solve(image, degradation, guide=guide, on_step=on_step).image


def prior_seconds(task: Task, network: Network = "hourglass") -> Callable[[float, str, Any], float]:
    """The estimate of ``Method.seconds`` for a deep prior, from the operations of its network."""

    def seconds(megapixels: float, device: str, options: Any) -> float:
        from retouch.solvers.presets import PRESETS, choose

        scale = getattr(options, "scale", 1)
        preset = PRESETS[choose(task, options.effort, network, scale=scale)]
        step = _operations(preset) * megapixels * 1e6 * scale**2
        # measured: 65 GFLOP/s on two cores in float32, 2.4 times that in bfloat16, 30 TFLOP/s on a large GPU
        speed = {"cuda": 3e13, "mps": 1e12}.get(device, 3.3e10 * (os.cpu_count() or 1) * (1 if preset.faithful else 2))
        overhead = 0.02  # of a step on any device, whatever the size
        return preset.steps * (overhead + step / speed)

    return seconds


def _operations(preset: Preset) -> float:
    """Floating point operations of one step (forward and backward) per output pixel."""
    if preset.decoder:
        products = 128 * 128 * (1 + 1 / 4 + 1 / 16 + 1 / 64)
        return 6 * products
    down, up, skip = (preset.network[name] for name in ("down", "up", "skip"))
    below = float(preset.network.get("input_depth", 32))
    kernel = float(preset.network.get("kernel_down", 3)) ** 2
    products = 0.0
    for level, (narrow, wide, across) in enumerate(zip(down, up, skip, strict=True)):
        deeper = up[level + 1] if level + 1 < len(up) else down[-1]
        at_this_size = below * across + 9 * (across + deeper) * wide + wide * wide
        at_half_the_size = kernel * (below + narrow) * narrow / 4
        products += (at_this_size + at_half_the_size) / 4**level
        below = narrow
    return 6 * products
