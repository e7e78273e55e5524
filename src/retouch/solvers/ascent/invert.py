"""Feature inversion: a picture that a layer of a trained network cannot tell from a given one.

Mahendran, Vedaldi, "Understanding Deep Image Representations by Inverting Them", CVPR 2015, and "Visualizing Deep
Convolutional Neural Networks Using Natural Pre-Images", IJCV 2016: over pixels, with a bound of their values and total
variation. Ulyanov, Vedaldi, Lempitsky, "Deep Image Prior", CVPR 2018, IJCV 2020, section 5, and its released notebook:
over the weights of an untrained network. Both minimise ``||F(x) - F(x0)||^2 / ||F(x0)||^2``.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from retouch.image.image import Image
from retouch.image.resize import resize
from retouch.models.device import autocast, fast_bfloat16, pick_device
from retouch.networks.hourglass import Hourglass
from retouch.solvers.steps import Listener, Loop, Solution

if TYPE_CHECKING:
    from pathlib import Path

    from retouch.networks.layers import NamedLayers

_BOUND_POWER = 6  # alpha of the papers: nearly a box
_BOUND = 80 / 255  # of a pixel's distance from grey at which the bound counts 1, as in the papers
_VARIATION_POWER = 2.0  # beta of the papers
_BOUND_SHARE = 0.01  # of the variation's weight
_CALM = (
    0.3  # weight of the variation for each pixel of the layer's stride, by the looks of VGG16's and AlexNet's layers
)


@dataclass(frozen=True, kw_only=True)
class Inversion:
    """Feature inversion as a solver.

    ``network``: a feature network; ``layer``: the one to invert. ``prior``: 'tv', pixels with total variation of weight
    ``variation`` (None: by the layer's stride), or 'deep-prior', the weights of an hourglass. ``side``: short side at
    which the picture is shown, at most, 0 for its own. ``steps``, ``learning_rate``: of Adam, whose rate falls to
    nothing as a cosine for pixels (the papers take gradient descent with momentum); None: by the prior. ``wide``: the
    published hourglass, else one half as wide. ``precision``: as for ``DeepPrior``. ``seed`` fixes the start.
    """

    network: NamedLayers
    layer: str
    prior: Literal["tv", "deep-prior"] = "deep-prior"
    side: int = 224
    steps: int = 400
    learning_rate: float | None = None
    variation: float | None = None
    wide: bool = True
    device: str = "auto"
    seed: int = 0
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    state_file: Path | None = None

    def solve(self, image: Image, *, on_step: Listener | None = None) -> Solution:
        """What ``layer`` keeps of ``image``, as a picture of its size; cancelled: as it stands.

        A grey picture stays grey, and alpha and metadata stay. Raises ``OptionError`` for an unknown layer, and a
        picture too small for it.
        """
        process = Descent(self, image.pixels[None])
        grey = image.channels == 1

        def whole(output: Tensor) -> Image:
            made = output.mean(1, keepdim=True) if grey else output
            return image.with_pixels(resize(made, (image.height, image.width)).clamp(0, 1))

        loop = Loop(
            total=self.steps,
            average=0.0,
            state_file=self.state_file,
            identity=self._identity(image) if self.state_file is not None else "",
            on_step=on_step,
            preview=whole,
        )
        output, steps, reason, history = loop.run(process)
        return Solution(whole(output), steps, reason, history)

    def _identity(self, image: Image) -> str:
        digest = hashlib.sha256(image.pixels.numpy().tobytes()).hexdigest()
        options = (self.prior, self.side, self.steps, self.learning_rate, self.variation, self.wide, self.seed)
        return f"{digest} {self.network.title} {self.layer} {options}"


class Descent:
    """The descent itself, as a ``Process``."""

    def __init__(self, options: Inversion, pixels: Tensor) -> None:
        self.options = options
        self.device = pick_device(options.device)
        self.precision = options.precision
        if self.precision == "auto":
            self.precision = "bf16" if fast_bfloat16(self.device) else "fp32"
        self.network = options.network.to(self.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        least = self.network.smallest(options.layer)
        height, width = pixels.shape[-2:]
        shorter = max(least, min(height, width, options.side or max(height, width)))
        scale = shorter / min(height, width)
        size = (round(height * scale), round(width * scale))
        target = resize(pixels, size).clamp(0, 1).expand(-1, 3, -1, -1).to(self.device)
        with torch.no_grad():
            self.wanted = self._features(target)
        # a position of a late layer stands for many pixels, which it tells little about each
        stride = shorter / max(1, min(self.wanted.shape[-2:]))
        self.calm = _CALM * stride if options.variation is None else options.variation
        self.energy = self.wanted.square().sum().clamp_min(1e-12)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(options.seed)
            self.picture: nn.Module = (
                Values(size) if options.prior == "tv" else Hourglassed(size, wide=options.wide)
            ).to(self.device)
        rate = options.learning_rate
        if rate is None:
            rate = 0.03 if options.prior == "tv" else 0.005
        self.rate = rate
        self.optimizer = torch.optim.Adam(self.picture.parameters(), lr=rate)

    def _features(self, x: Tensor) -> Tensor:
        name = self.options.layer
        with autocast(self.device, self.precision):
            found: Tensor = self.network(x.contiguous(memory_format=torch.channels_last), [name])[name]
        return found.float()

    def step(self, index: int) -> tuple[float, Tensor]:
        options = self.options
        if options.prior == "tv":
            for group in self.optimizer.param_groups:
                group["lr"] = self.rate * 0.5 * (1 + math.cos(math.pi * index / options.steps))
        self.optimizer.zero_grad(set_to_none=True)
        with autocast(self.device, self.precision):
            x = self.picture()
        x = x.float()
        loss = (self._features(x) - self.wanted).square().sum() / self.energy
        told = float(loss.detach())
        if options.prior == "tv":
            loss = loss + self.calm * (variation(x) + _BOUND_SHARE * bound(x))
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return told, x.detach().clamp(0, 1).cpu()

    def state_dict(self) -> dict[str, Any]:
        return {"picture": self.picture.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.picture.load_state_dict(state["picture"])
        self.optimizer.load_state_dict(state["optimizer"])


def variation(x: Tensor) -> Tensor:
    """Mean over the pixels of ``(dx^2 + dy^2)^(beta / 2)``, in units of the papers' bound."""
    down = x[..., 1:, :-1] - x[..., :-1, :-1]
    across = x[..., :-1, 1:] - x[..., :-1, :-1]
    if down.numel() == 0:
        return x.new_zeros(())
    return ((down.square() + across.square()) / _BOUND**2 + 1e-8).pow(_VARIATION_POWER / 2).mean()


def bound(x: Tensor) -> Tensor:
    """Mean of the sixth power of the distance from grey, in units of the papers' bound."""
    return ((x - 0.5) / (1.6 * _BOUND)).pow(_BOUND_POWER).mean()


class Values(nn.Module):
    """A picture ``(1, 3, H, W)`` by its pixels; it starts from faint noise about grey."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.values = nn.Parameter(0.5 + 0.02 * torch.randn(1, 3, *size))

    def forward(self) -> Tensor:
        return self.values


class Hourglassed(nn.Module):
    """A picture by the weights of an hourglass, with the options of Deep Image Prior's notebook for inversion."""

    code: Tensor

    def __init__(self, size: tuple[int, int], *, wide: bool = True) -> None:
        super().__init__()
        widths = (16, 32, 64, 128, 128, 128) if wide else (16, 32, 48, 64, 64, 64)
        kernels = (7, 7, 5, 5, 3, 3)
        self.network = Hourglass(
            down=widths,
            up=widths,
            skip=(4,) * 6,
            kernel_down=kernels,
            kernel_up=kernels,
            upsampling="nearest",
            downsampling="avg",
            padding="zeros",
        )
        multiple = self.network.multiple
        canvas = [max(2, math.ceil(length / multiple)) * multiple for length in size]  # zero padding needs no more
        top, left = ((whole - part) // 2 for whole, part in zip(canvas, size, strict=True))
        self.part = (..., slice(top, top + size[0]), slice(left, left + size[1]))
        self.register_buffer("code", torch.rand(1, 32, canvas[0], canvas[1]) * 0.1)

    def forward(self) -> Tensor:
        whole: Tensor = self.network(self.code)
        return whole[self.part]
