"""A photograph painted anew in the style of other pictures, by fitting its pixels to what a network sees in them.

Gatys, Ecker, Bethge, "Image Style Transfer Using Convolutional Neural Networks", CVPR 2016. Regions, and coarse sizes
before fine ones: Gatys, Ecker, Bethge, Hertzmann, Shechtman, "Controlling Perceptual Factors in Neural Style Transfer",
CVPR 2017, sections 4 and 6. Colours that stay: Gatys, Bethge, Hertzmann, Shechtman, "Preserving Color in Neural
Artistic Style Transfer", 2016.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from retouch.image.color import grey
from retouch.image.errors import OptionError, unknown
from retouch.image.image import Image
from retouch.image.resize import area, bicubic
from retouch.losses.style import GATYS, StyleLoss, Target
from retouch.models.device import autocast, fast_bfloat16, pick_device
from retouch.models.features import Progress, feature_network
from retouch.solvers.chroma import chroma_of, with_chroma
from retouch.solvers.colour_match import match_colours, match_luma
from retouch.solvers.efforts import STYLE as EFFORTS
from retouch.solvers.efforts import StyleEffort as Effort
from retouch.solvers.steps import Listener, Loop, Solution, Step

Preserve = Literal["off", "luminance", "histogram"]
STYLE_WEIGHT = 1e6
"""What ``StyleTransfer.style_weight`` is a factor on."""

_SMALLEST = 32  # of a side that the network looks at; shorter ones are continued by their edge


@dataclass(frozen=True)
class Style:
    """A picture whose style is wanted, how much it counts beside others, and where.

    ``mask``: ``(1, H, W)`` of the photograph's size, in [0, 1]; None is everywhere.
    """

    picture: Image
    weight: float = 1.0
    mask: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class StyleTransfer:
    """Neural style transfer as a solver.

    ``effort`` gives what is None here: ``side``, the longer side in pixels at which the picture is fitted (a smaller
    picture is fitted at its own size, 0 takes any at its own); ``sizes``, how many there are, each half the next;
    ``steps`` of all sizes together; ``optimizer``, 'lbfgs' or 'adam', and Adam's ``rate``; ``start``, 'picture' or
    'noise'; ``pooling`` of the network, 'max' or 'average'.
    ``features``: 'vgg16' or 'vgg19'. ``content_layers``, ``style_layers``: of it. ``style_weight``: of the style over
    the content, 1 being 1e6 of ``losses.style``. ``variation``: weight of the total variation. ``style_scale``: how
    large a style's picture is beside the photograph; its strokes grow with it. ``preserve``: 'luminance' fits the luma
    alone and leaves the photograph its colours; 'histogram' gives the style the mean and covariance of the
    photograph's colours. ``detail``: share of what the photograph has beyond the fitted size that is put back onto the
    enlarged result. ``precision``: of the network, 'fp32', 'bf16' or 'auto' (bfloat16 where the device is faster at it,
    but for 'paper'). ``state_file``: resume a killed run (see ``Loop``). ``seed``: of the noise.

    Cost: a step takes 1.2 MFLOP a pixel of the fitted size, and about 2 kB of memory.
    """

    effort: str = "normal"
    device: str = "auto"
    seed: int = 0
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    side: int | None = None
    sizes: int | None = None
    steps: int | None = None
    optimizer: Literal["lbfgs", "adam"] | None = None
    rate: float | None = None
    start: Literal["picture", "noise"] | None = None
    pooling: Literal["max", "average"] | None = None
    features: str = "vgg16"
    content_layers: tuple[str, ...] = ("relu4_2",)
    style_layers: tuple[str, ...] = GATYS
    style_weight: float = 1.0
    variation: float = 1.0
    style_scale: float = 1.0
    preserve: Preserve = "off"
    detail: float = 1.0
    state_file: Path | None = None

    def __post_init__(self) -> None:
        known: dict[str, tuple[str, ...]] = {
            "effort": tuple(EFFORTS),
            "precision": ("auto", "fp32", "bf16"),
            "optimizer": ("lbfgs", "adam"),
            "start": ("picture", "noise"),
            "pooling": ("max", "average"),
            "preserve": ("off", "luminance", "histogram"),
        }
        for name, values in known.items():
            given = getattr(self, name)
            if given is not None and given not in values:
                raise OptionError(unknown(name, str(given), values))
        if self.side is not None and self.side != 0 and self.side < _SMALLEST:
            raise OptionError(f"side is at least {_SMALLEST}, or 0, not {self.side}")
        if (self.steps is not None and self.steps < 1) or (self.sizes is not None and not 1 <= self.sizes <= 8):
            raise OptionError(f"steps is at least 1 and sizes 1 to 8, not {self.steps} and {self.sizes}")
        weights = (self.style_weight, self.variation, self.detail)
        if not all(0 <= weight < math.inf for weight in weights) or not 0 < self.style_scale < math.inf:
            raise OptionError("style_weight, variation and detail are at least 0, style_scale above 0")

    def resolved(self) -> Effort:
        """The effort with this solver's overrides; ``steps`` keep the shares that the sizes have of them.

        Steps over ``sizes`` are the same for each.
        """
        effort = EFFORTS[self.effort]
        if self.sizes is not None:
            ends = [round(effort.steps * n / self.sizes) for n in range(self.sizes + 1)]
            shares = [0.5**n for n in reversed(range(self.sizes))]
            counts = [end - start for start, end in itertools.pairwise(ends)]
            effort = replace(effort, levels=tuple(zip(shares, counts, strict=True)))
        given = {name: getattr(self, name) for name in ("side", "optimizer", "rate", "start", "pooling")}
        effort = replace(effort, **{name: value for name, value in given.items() if value is not None})
        if self.steps is None:
            return effort
        ends = [0]
        for steps in itertools.accumulate(steps for _, steps in effort.levels):
            ends.append(round(self.steps * steps / effort.steps))
        counts = [end - start for start, end in itertools.pairwise(ends)]
        kept = zip(effort.levels, counts, strict=True)
        return replace(effort, levels=tuple((share, count) for (share, _), count in kept if count))

    def solve(self, content: Image, styles: Sequence[Style], *, on_step: Listener | None = None) -> Solution:
        """Paint ``content`` in the style of ``styles``; outside all their masks, not a bit of it changes.

        Masks split the picture into regions, each with the Gram matrices of its own style; several styles without masks
        mix by their weights. A grey picture stays grey. Raises ``OptionError`` without a style, for a mask of another
        size or one that marks nothing, and for weights below 0.
        """
        _check(content, styles)
        effort = self.resolved()
        device = pick_device(self.device)
        precision: str = self.precision
        if precision == "auto":
            precision = "bf16" if fast_bfloat16(device) and not effort.faithful else "fp32"
        process = self._fit(content, styles, effort, device, precision, on_step)
        where, flat = process.where, self.preserve == "luminance"

        def picture(output: Tensor) -> Image:
            made = enlarged(output[0].clamp(0, 1), process.content, self.detail)
            if flat and content.channels == 3:
                made = with_chroma(made, chroma_of(content.pixels))
            if where is not None:
                made = torch.where(where > 0, content.pixels.lerp(made, where), content.pixels)
            return content.with_pixels(made)

        loop = Loop(
            total=effort.steps,
            average=0.0,
            state_file=self.state_file,
            identity=self._identity(content, styles, precision),
            on_step=on_step,
            preview=picture,
            inspect=lambda index, output, average: process.parts,
        )
        output, steps, reason, history = loop.run(process)
        return Solution(picture(output), steps, reason, history)

    def losses_of(self, made: Image, content: Image, styles: Sequence[Style]) -> dict[str, float]:
        """The parts of the loss of a picture, and ``loss``, as the last size has them, in float32."""
        device = pick_device(self.device)
        effort = replace(self.resolved(), levels=((1.0, 1),))
        process = self._fit(content, styles, effort, device, "fp32", None)
        return process.losses_of(grey(made.pixels) if self.preserve == "luminance" else made.pixels)

    def _fit(
        self,
        content: Image,
        styles: Sequence[Style],
        effort: Effort,
        device: torch.device,
        precision: str,
        on_step: Listener | None,
    ) -> Fit:
        network = feature_network(self.features, effort.pooling, _download(self.features, on_step))
        losses = StyleLoss(
            network,
            content=self.content_layers,
            style=self.style_layers,
            style_weight=STYLE_WEIGHT * self.style_weight,
            variation=self.variation,
        )
        masks = [style.mask for style in styles if style.mask is not None]
        where = torch.stack(masks).float().sum(0).clamp(0, 1) if len(masks) == len(styles) else None
        pictures = [Image(self._as_seen(style.picture.pixels, content.pixels)) for style in styles]
        return Fit(
            grey(content.pixels) if self.preserve == "luminance" else content.pixels,
            [replace(style, picture=picture) for style, picture in zip(styles, pictures, strict=True)],
            where,
            losses,
            effort,
            style_scale=self.style_scale,
            device=device,
            precision=precision,
            seed=self.seed,
        )

    def _as_seen(self, style: Tensor, content: Tensor) -> Tensor:
        """A style's picture with the colours that it is to give."""
        if content.shape[0] == 1:
            return match_luma(grey(style), content) if self.preserve != "off" else grey(style)
        if self.preserve == "luminance":
            return match_luma(grey(style), grey(content))
        style = style.expand(3, -1, -1)
        return match_colours(style, content) if self.preserve == "histogram" else style

    def _identity(self, content: Image, styles: Sequence[Style], precision: str) -> str:
        digest = hashlib.sha256(content.pixels.numpy().tobytes())
        for style in styles:
            digest.update(style.picture.pixels.numpy().tobytes())
            digest.update(f"{tuple(style.picture.pixels.shape)} {style.weight}".encode())
            if style.mask is not None:
                digest.update(style.mask.float().numpy().tobytes())
        return f"style {digest.hexdigest()} {replace(self, state_file=None, device='', precision='auto')} {precision}"


def _check(content: Image, styles: Sequence[Style]) -> None:
    if not styles:
        raise OptionError("style transfer needs at least one style")
    for style in styles:
        if not 0 <= style.weight < math.inf:
            raise OptionError(f"the weight of a style is at least 0, not {style.weight}")
        if style.mask is None:
            continue
        if tuple(style.mask.shape) != (1, content.height, content.width):
            raise OptionError(
                f"the mask of a style is {style.mask.shape[-1]}x{style.mask.shape[-2]} pixels, the picture "
                f"{content.width}x{content.height}; they must be of one size"
            )
        if not bool((style.mask > 0).any()):
            raise OptionError("the mask of a style marks nothing")


def _download(name: str, on_step: Listener | None) -> Progress | None:
    """What hears of a download of the features: megabytes as steps."""
    if on_step is None:
        return None
    return lambda done, total: on_step(Step(done >> 20, total >> 20, stage=f"download of {name}"))


def fitted(pixels: Tensor, longest: int) -> tuple[int, int]:
    """Height and width with the longer side of ``longest`` pixels; those of ``pixels`` where that is less, or 0."""
    height, width = pixels.shape[-2:]
    scale = min(1.0, longest / max(height, width)) if longest else 1.0
    return max(1, round(height * scale)), max(1, round(width * scale))


def enlarged(small: Tensor, photograph: Tensor, detail: float) -> Tensor:
    """``small`` in the size of ``photograph``, with a share of what that has beyond the small size.

    Both ``(C, H, W)``; enlarged by bicubic interpolation, to which ``detail`` times the photograph's difference to its
    own reduction and enlargement is added. In [0, 1].
    """
    size = (int(photograph.shape[1]), int(photograph.shape[2]))
    low = (int(small.shape[1]), int(small.shape[2]))
    if low == size:
        return small
    large = bicubic(small[None], size)
    if detail:
        large = large + detail * (photograph[None] - bicubic(area(photograph[None], low), size))
    return large[0].clamp(0, 1)


class Fit:
    """The fitting itself, as a ``Process``: the pixels, their optimiser, and what they are fitted to at each size.

    ``content``: ``(C, H, W)``, C = 1 or 3; ``styles`` of as many channels; ``where``: ``(1, H, W)``, None everywhere:
    what the network is shown is the photograph where that is 0. ``parts``: the losses of the last step.
    """

    def __init__(
        self,
        content: Tensor,
        styles: Sequence[Style],
        where: Tensor | None,
        losses: StyleLoss,
        effort: Effort,
        *,
        style_scale: float = 1.0,
        device: torch.device,
        precision: str = "fp32",
        seed: int = 0,
    ) -> None:
        self.content, self.styles, self.where = content, styles, where
        self.effort, self.style_scale = effort, style_scale
        self.device, self.precision, self.seed = device, precision, seed
        self.losses = losses.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in its stub
        self.parts: dict[str, float] = {}
        self.level = -1
        self._begin(0, None)

    def _begin(self, level: int, pixels: Tensor | None) -> None:
        """Go to a size, with the pixels of the one before it."""
        longest = max(fitted(self.content, self.effort.side))
        size = fitted(self.content, max(1, round(longest * self.effort.levels[level][0])))
        canvas = (max(_SMALLEST, size[0]), max(_SMALLEST, size[1]))
        self.crop = (..., slice(size[0]), slice(size[1]))
        self.photograph = self._at(self.content, size, canvas)
        self.kept = None if self.where is None else self._at(self.where, size, canvas)
        with torch.no_grad(), autocast(self.device, self.precision):
            self.wanted = self.losses.activations(self.photograph)
            self.targets = [self._target(style, size, canvas) for style in self.styles]
        if pixels is None and self.effort.start == "noise":
            generator = torch.Generator().manual_seed(self.seed)
            start = torch.rand(self.photograph.shape, generator=generator).to(self.device)
        else:
            start = self.photograph if pixels is None else bicubic(pixels, canvas).clamp(0, 1)
        self.pixels = nn.Parameter(start.clone().contiguous())
        self.level = level
        self.optimizer: torch.optim.Optimizer
        if self.effort.optimizer == "lbfgs":
            # one evaluation a step and no line search, as in the released codes; the tolerances are of larger losses
            self.optimizer = torch.optim.LBFGS(
                [self.pixels], lr=1, max_iter=1, history_size=10, tolerance_grad=0, tolerance_change=0
            )
        else:
            self.optimizer = torch.optim.Adam([self.pixels], lr=self.effort.rate)

    def _at(self, planes: Tensor, size: tuple[int, int], canvas: tuple[int, int]) -> Tensor:
        """``(C, H, W)`` reduced to ``size``, continued to ``canvas`` by its last row and column: ``(1, C, h, w)``."""
        small = area(planes[None].float(), size) if tuple(planes.shape[1:]) != size else planes[None].float()
        rows, columns = (torch.arange(whole).clamp(max=own - 1) for whole, own in zip(canvas, size, strict=True))
        return small[:, :, rows][:, :, :, columns].to(self.device)

    def _target(self, style: Style, size: tuple[int, int], canvas: tuple[int, int]) -> Target:
        pixels = style.picture.pixels
        scale = max(size) * self.style_scale / max(pixels.shape[1:])
        shape = tuple(max(_SMALLEST, round(side * scale)) for side in pixels.shape[1:])
        small = bicubic(pixels[None], (shape[0], shape[1])).clamp(0, 1).to(self.device)
        guide = None if style.mask is None else self._at(style.mask, size, canvas)
        return Target(self.losses.grams(small), style.weight, guide)

    def _place(self, index: int) -> tuple[int, float]:
        """The size that step ``index`` belongs to, and how much of its steps are done."""
        before = 0
        for level, (_, steps) in enumerate(self.effort.levels):
            if index < before + steps:
                return level, (index - before) / steps
            before += steps
        raise IndexError(index)

    def step(self, index: int) -> tuple[float, Tensor]:
        level, done = self._place(index)
        if level != self.level:
            self._begin(level, self.pixels.detach())
        if self.effort.optimizer == "adam":
            falling = 0.05 + 0.95 * (1 + math.cos(math.pi * done)) / 2
            for group in self.optimizer.param_groups:
                group["lr"] = self.effort.rate * falling
        loss = float(self.optimizer.step(self._losses))
        return loss, self.pixels.detach()[self.crop].to("cpu", copy=True)

    def _losses(self) -> float:
        """The loss as it stands; its gradient is left on the pixels."""
        self.optimizer.zero_grad(set_to_none=True)
        shown: Tensor = self.pixels
        if self.kept is not None:
            shown = self.photograph.lerp(shown, self.kept)
        with autocast(self.device, self.precision):
            parts = self.losses(shown, self.wanted, self.targets)
        # by pixel, not by mean: no optimiser meets gradients as small as its tolerances
        (parts["loss"] * self.pixels.numel()).backward()
        self.parts = {name: float(value.detach()) for name, value in parts.items() if name != "loss"}
        return float(parts["loss"].detach())

    def losses_of(self, pixels: Tensor) -> dict[str, float]:
        """The parts of the loss of ``(C, H, W)`` in place of the pixels, at the present size."""
        canvas = (int(self.photograph.shape[2]), int(self.photograph.shape[3]))
        size = (self.crop[1].stop, self.crop[2].stop)
        with torch.no_grad():
            self.pixels.copy_(self._at(pixels, size, canvas))
        loss = self._losses()
        return self.parts | {"loss": loss}

    def state_dict(self) -> dict[str, Any]:
        return {"level": self.level, "pixels": self.pixels.detach().cpu(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._begin(state["level"], state["pixels"].to(self.device))
        with torch.no_grad():
            self.pixels.copy_(state["pixels"])
        self.optimizer.load_state_dict(state["optimizer"])
