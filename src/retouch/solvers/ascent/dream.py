"""DeepDream: a picture changed so that a layer of a trained network finds more of what it finds in it.

Mordvintsev, Olah, Tyka, "Inceptionism: Going Deeper into Neural Networks", Google research blog, 2015, and its
published notebook: octaves from coarse to fine, the detail of one carried to the next, jitter, and steps of a
normalised gradient.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from retouch.image.image import Image
from retouch.image.resize import resize
from retouch.models.device import autocast, fast_bfloat16, pick_device
from retouch.solvers.ascent.objectives import Guide, Wish, check_wishes, grown
from retouch.solvers.steps import Listener, Loop, Solution

if TYPE_CHECKING:
    from pathlib import Path

    from retouch.networks.layers import NamedLayers

_GUIDE_SIDE = 224  # what the networks were trained to see


@dataclass(frozen=True, kw_only=True)
class Dream:
    """DeepDream as a solver.

    ``network``: a feature network; ``wishes``: the layers (or single channels) that grow. ``octaves``: how many sizes,
    each ``octave_scale`` times smaller than the next; sizes too small for a layer are left out. ``steps``: of each
    octave. ``step``: mean change of a value in one, of 255. ``jitter``: the most pixels by which the picture is moved
    before a step, round its edges. ``smooth``: how strongly the coarse parts of a gradient are raised over the fine,
    0 for the plain one: the gradient is split into ``smooth`` + 1 bands by size, and each is brought to the same
    strength. ``side``: short side at which the last octave is worked on, at most, 0 for the picture's own; what was
    dreamt is enlarged onto the picture. ``tile``: gradients of larger pictures are taken tile by tile, of this side,
    moved at each step so that no seam stays; None: whole. ``guide``: a picture whose features are matched instead.
    ``precision``: as for ``DeepPrior``. ``seed`` fixes the jitter. Defaults are those of the published notebook.
    """

    network: NamedLayers
    wishes: tuple[Wish, ...]
    octaves: int = 4
    octave_scale: float = 1.4
    steps: int = 10
    step: float = 1.5
    jitter: int = 32
    smooth: int = 0
    side: int = 0
    tile: int | None = 1024
    guide: Image | None = None
    device: str = "auto"
    seed: int = 0
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    state_file: Path | None = None

    def solve(self, image: Image, *, on_step: Listener | None = None) -> Solution:
        """Dream into ``image``; its size, grey or colour, alpha and metadata stay. Cancelled: what was dreamt so far.

        Raises ``OptionError`` for a layer or a channel that the network does not have, and a picture too small.
        """
        process = DreamProcess(self, image.pixels[None])
        loop = Loop(
            total=process.total,
            average=0.0,
            state_file=self.state_file,
            identity=self._identity(image) if self.state_file is not None else "",
            on_step=on_step,
            preview=image.with_pixels,
        )
        output, steps, reason, history = loop.run(process)
        return Solution(image.with_pixels(output), steps, reason, history)

    def _identity(self, image: Image) -> str:
        digest = hashlib.sha256(image.pixels.numpy().tobytes())
        if self.guide is not None:
            digest.update(self.guide.pixels.numpy().tobytes())
        options = (self.octaves, self.octave_scale, self.steps, self.step, self.jitter, self.smooth, self.side)
        return f"{digest.hexdigest()} {self.network.title} {self.wishes} {options} {self.tile} {self.seed}"


class DreamProcess:
    """The ascent itself, as a ``Process``: the picture at the present octave, and what was dreamt into it."""

    def __init__(self, dream: Dream, pixels: Tensor) -> None:
        self.dream = dream
        check_wishes(dream.network, dream.wishes)
        self.names = list(dict.fromkeys(wish.layer for wish in dream.wishes))
        self.device = pick_device(dream.device)
        self.precision = dream.precision
        if self.precision == "auto":
            self.precision = "bf16" if fast_bfloat16(self.device) else "fp32"
        self.network = dream.network.to(self.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.picture = pixels
        self.sizes = self._octaves()
        self.total = len(self.sizes) * dream.steps
        self.generator = torch.Generator().manual_seed(dream.seed)
        self.guide = None if dream.guide is None else Guide(self._features_of(dream.guide))
        self.octave = -1
        self.base = self.x = pixels

    def _octaves(self) -> list[tuple[int, int]]:
        """Sizes from coarse to fine; a picture too small for the layers is worked on enlarged."""
        dream = self.dream
        height, width = self.picture.shape[-2:]
        shorter = min(height, width)
        least = max(self.network.smallest(name) for name in self.names)
        last = max(least, min(shorter, dream.side or shorter))
        sides = [last / dream.octave_scale**octave for octave in range(dream.octaves)]
        kept = [side for side in reversed(sides) if round(side) >= least] or [float(least)]
        return [(round(height * side / shorter), round(width * side / shorter)) for side in kept]

    def _features_of(self, guide: Image) -> dict[str, Tensor]:
        pixels = guide.pixels[None].to(self.device)
        least = max(self.network.smallest(name) for name in self.names)
        side = max(least, min(_GUIDE_SIDE, min(guide.height, guide.width)))
        scale = side / min(guide.height, guide.width)
        size = (max(least, round(guide.height * scale)), max(least, round(guide.width * scale)))
        with torch.no_grad():
            found: dict[str, Tensor] = self.network(resize(pixels, size).clamp(0, 1), self.names)
        return found

    def _objective(self, x: Tensor) -> Tensor:
        with autocast(self.device, self.precision):
            activations = self.network(x.contiguous(memory_format=torch.channels_last), self.names)
        if self.guide is not None:
            return self.guide.match(activations, self.dream.wishes)
        return grown(activations, self.dream.wishes)

    def _begin(self, octave: int) -> None:
        """Take the picture at the size of ``octave``, with what was dreamt so far enlarged onto it."""
        detail = self.x - self.base
        self.octave = octave
        size = self.sizes[octave]
        self.base = resize(self.picture.to(self.device), size).clamp(0, 1)
        self.x = self.base
        if octave > 0:
            self.x = (self.base + resize(detail, size)).clamp(0, 1)

    def step(self, index: int) -> tuple[float, Tensor]:
        octave = index // self.dream.steps
        if octave != self.octave:
            self._begin(octave)
        reach = self.dream.jitter if not self._tiled() else max(self.dream.jitter, self.dream.tile or 0)
        moves = [int(torch.randint(-reach, reach + 1, (), generator=self.generator)) for _ in range(2)]
        moved = self.x.roll(moves, (2, 3))
        value, gradient = self._gradient(moved)
        gradient = gradient.roll([-move for move in moves], (2, 3))
        if self.dream.smooth:
            gradient = even_bands(gradient, self.dream.smooth)
        change = self.dream.step / 255 * gradient / (gradient.abs().mean() + 1e-12)
        self.x = (self.x + change).clamp(0, 1)
        return -value, self._output()

    def _output(self) -> Tensor:
        """The picture at its own size, with what was dreamt so far."""
        detail = resize(self.x - self.base, (self.picture.shape[-2], self.picture.shape[-1]))
        return (self.picture + detail.to("cpu")).clamp(0, 1)

    def _tiled(self) -> bool:
        return self.dream.tile is not None and max(self.x.shape[-2:]) > self.dream.tile

    def _gradient(self, x: Tensor) -> tuple[float, Tensor]:
        """The objective and its gradient; of large pictures tile by tile, each counted by its area."""
        if not self._tiled():
            return self._whole_gradient(x)
        assert self.dream.tile is not None
        gradient = torch.zeros_like(x)
        total = 0.0
        for part in tiles(x.shape[-2], x.shape[-1], self.dream.tile):
            value, found = self._whole_gradient(x[part])
            share = found.numel() / x.numel()
            gradient[part] = share * found
            total += share * value
        return total, gradient

    def _whole_gradient(self, x: Tensor) -> tuple[float, Tensor]:
        x = x.detach().clone().requires_grad_()
        value = self._objective(x)
        (gradient,) = torch.autograd.grad(value, x)
        return float(value.detach()), gradient.float()

    def state_dict(self) -> dict[str, Any]:
        return {"octave": self.octave, "x": self.x, "generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.generator.set_state(state["generator"])
        if state["octave"] >= 0:
            self._begin(state["octave"])
            self.x = state["x"].to(self.device)


def tiles(height: int, width: int, side: int) -> Iterator[tuple[Any, ...]]:
    """Cut a picture into equal parts of at most ``side``: the indices of each, for ``(B, C, H, W)``."""
    for top, bottom in _cuts(height, side):
        for left, right in _cuts(width, side):
            yield (..., slice(top, bottom), slice(left, right))


def _cuts(length: int, side: int) -> list[tuple[int, int]]:
    count = math.ceil(length / side)
    edges = [round(length * index / count) for index in range(count + 1)]
    return list(itertools.pairwise(edges))


def even_bands(gradient: Tensor, bands: int) -> Tensor:
    """A gradient ``(B, C, H, W)`` whose coarse and fine parts are equally strong.

    It is split into a Laplacian pyramid of ``bands`` levels and a rest (Burt, Adelson 1983), each is divided by its
    standard deviation, and they are summed again. From the notebook that Mordvintsev published with TensorFlow in 2016.
    """
    parts: list[Tensor] = []
    low = gradient
    for _ in range(bands):
        if min(low.shape[-2:]) < 4:
            break
        smaller = resize(low, (-(-low.shape[-2] // 2), -(-low.shape[-1] // 2)))
        parts.append(low - resize(smaller, (low.shape[-2], low.shape[-1])))
        low = smaller
    made = _unit(low)
    for part in reversed(parts):
        made = resize(made, (part.shape[-2], part.shape[-1])) + _unit(part)
    return made


def _unit(x: Tensor) -> Tensor:
    return x / (x.square().mean().sqrt() + 1e-12)


def zoom(
    image: Image, make: Callable[[int], Dream], frames: int, *, scale: float = 1.05, on_step: Listener | None = None
) -> Iterator[Image]:
    """Dream into a picture, enlarge its middle, dream again: ``frames`` pictures of its size, as they are made.

    ``make``: the dream of frame N, from 0. ``scale``: how much each frame is enlarged. ``on_step`` hears the steps of
    all frames as one run; when it cancels, the frame at hand is the last.
    """
    from retouch.solvers.steps import Step

    stopped = False
    for number in range(frames):
        offset = number

        def tell(step: Step, offset: int = offset) -> bool | None:
            nonlocal stopped
            if on_step is None:
                return None
            done, total = offset * step.total + step.index, frames * step.total
            left = (
                None
                if step.seconds_left is None or not step.index
                else step.seconds_left
                + (
                    (frames - offset - 1) * step.seconds_left * step.total / max(1, step.total - step.index)
                    if step.index < step.total
                    else 0.0
                )
            )
            told = Step(done, total, left, step.loss, step.preview, stage=f"frame {offset + 1} of {frames}")
            stopped = on_step(told) is False
            return not stopped

        image = make(number).solve(image, on_step=tell).image
        yield image
        if stopped:
            return
        image = _nearer(image, scale)


def _nearer(image: Image, scale: float) -> Image:
    """The middle of a picture, enlarged to its size."""
    height, width = image.height, image.width
    axes = [((torch.arange(n) + 0.5) * 2 / n - 1) / scale for n in (height, width)]
    rows, columns = torch.meshgrid(*axes, indexing="ij")
    grid = torch.stack((columns, rows), -1)[None]

    def enlarged(planes: Tensor) -> Tensor:
        mode = "bicubic"
        return torch.nn.functional.grid_sample(
            planes[None], grid, mode=mode, padding_mode="reflection", align_corners=False
        ).clamp(0, 1)[0]

    alpha = None if image.alpha is None else enlarged(image.alpha)
    return image.with_pixels(enlarged(image.pixels), alpha)
