"""What a unit, a channel or a class of a trained network looks for: a picture that makes it as active as can be.

Erhan et al., "Visualizing Higher-Layer Features of a Deep Network", 2009: the objective; Olah, Mordvintsev, Schubert,
"Feature Visualization", Distill, 2017: pictures as spectra with decorrelated colours, under random transformations;
Ulyanov, Vedaldi, Lempitsky, "Deep Image Prior", IJCV 2020, section 6 and its released notebook: pictures as what an
untrained network makes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from retouch.image.errors import OptionError
from retouch.image.image import Image
from retouch.models.device import autocast, fast_bfloat16, pick_device
from retouch.networks.hourglass import Hourglass
from retouch.solvers.ascent.objectives import check_channel, layer_widths
from retouch.solvers.steps import Listener, Loop

if TYPE_CHECKING:
    from retouch.networks.layers import NamedLayers

Parameters = Literal["fourier", "pixels", "deep-prior"]

# principal axes of the colours of 229 photographs (CID22 and CLIC), each as long as its standard deviation: brightness,
# red against blue, magenta against green
_COLOURS = ((0.2930, 0.1303, 0.0231), (0.3003, -0.0154, -0.0570), (0.2984, -0.1124, 0.0346))
_NOISE = 0.03  # added to the code of the hourglass at each step, as its notebook has it
_LEAK = 0.1
_TURN, _GROW = 10.0, 0.1  # degrees, share of the size


@dataclass(frozen=True, kw_only=True)
class Visualization:
    """Activation maximisation as a solver.

    ``network``: a feature network. ``layer``; ``channels``: one picture for each, made side by side. ``unit``: only the
    middle position of the channel's map instead of its mean (of a class there is one position). ``side``: of the
    pictures, in pixels. ``parameters``: what is optimised: the picture's spectrum, with every frequency scaled by its
    inverse and with decorrelated colours ('fourier'); its 'pixels' through the same colours and a sigmoid; or the
    weights of an hourglass ('deep-prior', one channel at a time). ``steps``, ``learning_rate``: of Adam; None: by the
    parameters. ``transform``: show the network the picture moved, turned by up to 10 degrees and scaled by up to 10 %,
    anew at each step. ``variation``: weight of the total variation, which calms pixels. ``precision``: as for
    ``DeepPrior``. ``seed`` fixes the start and every transformation.
    """

    network: NamedLayers
    layer: str
    channels: tuple[int, ...]
    unit: bool = False
    side: int = 224
    parameters: Parameters = "fourier"
    steps: int = 256
    learning_rate: float | None = None
    transform: bool = True
    variation: float = 0.0
    device: str = "auto"
    seed: int = 0
    precision: Literal["auto", "fp32", "bf16"] = "auto"

    def solve(self, *, on_step: Listener | None = None) -> list[Image]:
        """One picture for each of ``channels``. Cancelled: as they stand.

        The previews are the pictures side by side. Raises ``OptionError`` for a layer or a channel that the network
        does not have, and a side that the layer leaves nothing of.
        """
        width = layer_widths(self.network, [self.layer])[self.layer]
        for channel in self.channels:
            check_channel(self.network.title, self.layer, channel, width)
        if self.side < self.network.smallest(self.layer):
            raise OptionError(
                f"--side: {self.layer} of {self.network.title} needs at least {self.network.smallest(self.layer)} "
                f"pixels, not {self.side}"
            )
        if self.parameters != "deep-prior":
            output, *_ = self._loop(1, 0, on_step).run(Ascent(self, self.channels))
            return [Image(picture.contiguous()) for picture in torch.split(output[0], self.side, dim=-1)]
        made: list[Image] = []
        stopped = False
        for index, channel in enumerate(self.channels):

            def tell(step: Any) -> bool | None:
                nonlocal stopped
                stopped = on_step is not None and on_step(step) is False
                return not stopped

            output, *_ = self._loop(len(self.channels), index, tell).run(Ascent(self, (channel,)))
            made.append(Image(output[0].contiguous()))
            if stopped:
                break
        return made

    def _loop(self, runs: int, run: int, on_step: Listener | None) -> Loop:
        from retouch.solvers.steps import Step

        def tell(step: Step) -> bool | None:
            if on_step is None:
                return None
            left = (
                None
                if step.seconds_left is None
                else step.seconds_left
                + (runs - run - 1) * (step.seconds_left * step.total / max(1, step.total - step.index))
            )
            return on_step(Step(run * step.total + step.index, runs * step.total, left, step.loss, step.preview))

        return Loop(total=self.steps, average=0.0, on_step=tell, preview=lambda output: Image(output[0].contiguous()))


class Ascent:
    """The ascent itself, as a ``Process``; its output is the pictures side by side, ``(1, 3, S, N S)``."""

    def __init__(self, options: Visualization, channels: tuple[int, ...]) -> None:
        self.options, self.channels = options, channels
        # a channel that nothing excites at first has no gradient behind its ReLU: it is asked for before it
        place = options.network.place(options.layer)
        self.layer = options.network.layers[place - 1] if options.layer.startswith("relu") else options.layer
        self.device = pick_device(options.device)
        self.precision = options.precision
        if self.precision == "auto":
            self.precision = "bf16" if fast_bfloat16(self.device) else "fp32"
        self.network = options.network.to(self.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.generator = torch.Generator().manual_seed(options.seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(options.seed)
            self.picture = make_parameters(options.parameters, len(channels), options.side).to(self.device)
        rate = options.learning_rate
        if rate is None:
            rate = 0.005 if options.parameters == "deep-prior" else 0.05
        self.optimizer = torch.optim.Adam(self.picture.parameters(), lr=rate)

    def step(self, index: int) -> tuple[float, Tensor]:
        self.optimizer.zero_grad(set_to_none=True)
        with autocast(self.device, self.precision):
            pictures = self.picture().float()
        shown = transformed(pictures, self.generator) if self.options.transform else pictures
        with autocast(self.device, self.precision):
            found = self.network(shown.contiguous(memory_format=torch.channels_last), [self.layer])
        maps = found[self.layer].float()
        if self.layer != self.options.layer:
            maps = functional.leaky_relu(maps, _LEAK)
        chosen = maps[torch.arange(len(self.channels)), list(self.channels)]
        if self.options.unit:
            chosen = chosen[:, chosen.shape[1] // 2, chosen.shape[2] // 2]
        loss = -chosen.mean()
        if self.options.variation:
            down, across = pictures.diff(dim=2), pictures.diff(dim=3)
            loss = loss + self.options.variation * (down.abs().mean() + across.abs().mean())
        loss.backward()
        output = torch.cat(list(pictures.detach()), dim=-1)[None].cpu()
        self.optimizer.step()
        return float(loss.detach()), output

    def state_dict(self) -> dict[str, Any]:
        return {
            "picture": self.picture.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.picture.load_state_dict(state["picture"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])


def make_parameters(kind: Parameters, count: int, side: int) -> nn.Module:
    """A module without inputs that gives ``count`` pictures ``(count, 3, side, side)`` in (0, 1)."""
    if kind == "fourier":
        return Spectrum(count, side)
    return Pixels(count, side) if kind == "pixels" else Untrained(side)


class Spectrum(nn.Module):
    """Pictures by their Fourier coefficients, each times the inverse of its frequency, in decorrelated colours."""

    scale: Tensor

    def __init__(self, count: int, side: int, deviation: float = 0.01) -> None:
        super().__init__()
        self.side = side
        rows, columns = torch.fft.fftfreq(side)[:, None], torch.fft.rfftfreq(side)[None]
        frequency = (rows**2 + columns**2).sqrt().clamp_min(1 / side)
        self.register_buffer("scale", side / frequency, persistent=False)
        self.coefficients = nn.Parameter(deviation * torch.randn(count, 3, side, side // 2 + 1, 2))

    def forward(self) -> Tensor:
        spectrum = torch.view_as_complex(self.coefficients.float()) * self.scale
        waves = torch.fft.irfft2(spectrum, s=(self.side, self.side))
        return coloured(waves / 4)


class Pixels(nn.Module):
    """Pictures by their pixels, in decorrelated colours."""

    def __init__(self, count: int, side: int, deviation: float = 0.1) -> None:
        super().__init__()
        self.values = nn.Parameter(deviation * torch.randn(count, 3, side, side))

    def forward(self) -> Tensor:
        return coloured(self.values)


class Untrained(nn.Module):
    """One picture by the weights of an hourglass, with the options of Deep Image Prior's notebook for this task."""

    code: Tensor

    def __init__(self, side: int) -> None:
        super().__init__()
        self.network = Hourglass(
            down=(16, 32, 64, 128, 128, 128),
            up=(16, 32, 64, 128, 128, 128),
            skip=(0, 4, 4, 4, 4, 4),
            kernel_down=(5, 3, 5, 5, 3, 5),
            kernel_up=(5, 3, 5, 3, 5, 3),
            downsampling="avg",
        )
        self.side = side
        canvas = max(self.network.smallest, math.ceil(side / self.network.multiple) * self.network.multiple)
        self.register_buffer("code", torch.rand(1, 32, canvas, canvas) * 0.1)
        self.start = (canvas - side) // 2
        self.generator = torch.Generator().manual_seed(int(torch.randint(2**31, ())))

    def forward(self) -> Tensor:
        noise = _NOISE * torch.randn(self.code.shape, generator=self.generator)
        whole: Tensor = self.network(self.code + noise.to(self.code.device))
        return whole[..., self.start : self.start + self.side, self.start : self.start + self.side]


def coloured(x: Tensor) -> Tensor:
    """Decorrelated colours ``(B, 3, H, W)`` around 0 -> RGB in (0, 1)."""
    axes = torch.tensor(_COLOURS, device=x.device)
    axes = axes / axes.norm(dim=0).max()
    return torch.sigmoid(torch.einsum("ck,bkhw->bchw", axes, x))


def transformed(x: Tensor, generator: torch.Generator) -> Tensor:
    """Each picture moved by up to a sixteenth of its side, turned and scaled at random; grey comes in from outside."""
    count = x.shape[0]

    def between(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, generator=generator)

    angle, size = torch.deg2rad(between(-_TURN, _TURN)), between(1 - _GROW, 1 + _GROW)
    cosine, sine = angle.cos() / size, angle.sin() / size
    matrix = torch.stack(
        (
            torch.stack((cosine, -sine, between(-1 / 8, 1 / 8)), -1),
            torch.stack((sine, cosine, between(-1 / 8, 1 / 8)), -1),
        ),
        1,
    )
    grid = functional.affine_grid(matrix.to(x.device), list(x.shape), align_corners=False)
    return functional.grid_sample(x - 0.5, grid, mode="bilinear", padding_mode="zeros", align_corners=False) + 0.5
