"""Zero-Shot Noise2Noise: a small network learns to denoise one picture from that picture alone.

Mansour, Heckel, "Zero-Shot Noise2Noise: Efficient Image Denoising without any Data", CVPR 2023. The two diagonals of
each 2x2 block, averaged, make two half-size pictures of the same scene with independent noise, and either can be the
target for the other.
"""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from retouch.degradations.base import Degradation, Identity
from retouch.image.errors import OptionError, unknown
from retouch.image.image import Image
from retouch.models.device import autocast, fast_bfloat16, learning_layout, pick_device
from retouch.networks.zs_n2n import ZSN2N
from retouch.solvers.efforts import ZERO_SHOT as EFFORTS
from retouch.solvers.efforts import ZeroShotEffort as Effort
from retouch.solvers.noise_level import check_denoising
from retouch.solvers.steps import Listener, Loop, Solution
from retouch.solvers.windows import clip_in_place, map_windows


@dataclass(frozen=True, kw_only=True)
class ZeroShotNoise2Noise:
    """Zero-Shot Noise2Noise as a solver, for noise that is independent from pixel to pixel.

    ``effort``: 'paper' is the published network, loss, optimiser and 2000 steps in float32, on the whole picture up to
    512x512 pixels; 'normal' and 'quick' learn from random crops of 128x128 and 96x96 with a larger, falling rate.
    Larger pictures too are learned from by random crops and then denoised window by window, so that time and memory for
    learning do not grow with the picture. ``steps``: overrides the effort's. ``precision``: 'fp32', 'bf16' or 'auto'
    (bfloat16 where the device is faster at it, except for 'paper'). The last pass, which makes the result, is always
    float32. ``tile``: side of the windows of that pass; the result does not depend on it. ``state_file``: see ``Loop``.

    Raises ``OptionError`` for an unknown effort or precision.
    """

    effort: str = "normal"
    device: str = "auto"
    seed: int = 0
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    steps: int | None = None
    tile: int = 512
    state_file: Path | None = None

    def __post_init__(self) -> None:
        if self.effort not in EFFORTS:
            raise OptionError(unknown("effort", self.effort, list(EFFORTS)))
        if self.precision not in ("auto", "fp32", "bf16"):
            raise OptionError(unknown("precision", self.precision, ["auto", "fp32", "bf16"]))
        if (self.steps is not None and self.steps < 1) or self.tile < ZSN2N.halo:
            raise OptionError(f"steps must be at least 1 and tile at least {ZSN2N.halo}")

    def resolved(self) -> Effort:
        """The settings of the effort with this solver's steps."""
        effort = EFFORTS[self.effort]
        return effort if self.steps is None else replace(effort, steps=self.steps)

    def solve(
        self,
        measurement: Image,
        degradation: Degradation | None = None,
        *,
        on_step: Listener | None = None,
        in_place: bool = False,
    ) -> Solution:
        """Denoise ``measurement``; the noise itself needs no ``degradation``, and one that resizes or masks is refused.

        Previews show the picture with the part denoised that a step may learn from: all of it when it is small, else
        its centre. ``in_place`` overwrites the pixels of ``measurement`` to save a copy of a large picture.
        """
        check_denoising("Zero-Shot Noise2Noise", degradation or Identity())
        effort = self.resolved()
        device = pick_device(self.device)
        precision: str = self.precision
        if precision == "auto":
            precision = "bf16" if fast_bfloat16(device) and not effort.faithful else "fp32"
        process = ZeroShotFit(measurement.pixels, effort, device=device, seed=self.seed, precision=precision)
        digest = hashlib.sha256(measurement.pixels.numpy())  # type: ignore[arg-type]  # numpy has the buffer interface
        loop = Loop(
            total=effort.steps,
            average=0.0,
            state_file=self.state_file,
            identity=f"zero-shot {digest.hexdigest()} {effort} {self.seed} {precision}",
            on_step=on_step,
            preview=lambda _: measurement.with_pixels(process.preview()),
        )
        _, steps, reason, history = loop.run(process)
        # windows follow each other on one device, whose own threads are enough
        pixels, _, _ = map_windows(
            process.denoise, measurement.pixels, halo=ZSN2N.halo, side=self.tile, threads=1, in_place=in_place
        )
        return Solution(replace(measurement, pixels=clip_in_place(pixels)), steps, reason, history)


def split(x: Tensor) -> tuple[Tensor, Tensor]:
    """The pair downsampler: means of the two diagonals of each 2x2 block, ``(B, C, H, W)`` -> twice half the size.

    First [[0, .5], [.5, 0]], then [[.5, 0], [0, .5]]; H and W must be even.
    """
    return (
        (x[..., 0::2, 1::2] + x[..., 1::2, 0::2]) / 2,
        (x[..., 0::2, 0::2] + x[..., 1::2, 1::2]) / 2,
    )


class ZeroShotFit:
    """The learning itself, as a ``Process``; the output of a step is the denoised crop that it learned from."""

    def __init__(
        self, pixels: Tensor, effort: Effort, *, device: torch.device, seed: int = 0, precision: str = "fp32"
    ) -> None:
        self.pixels, self.effort, self.device, self.precision = pixels, effort, device, precision
        height, width = int(pixels.shape[1]), int(pixels.shape[2])
        self.shown = (min(height, effort.crop), min(width, effort.crop))
        if height * width <= effort.crop**2:
            self.shown = (height, width)
        self.crop = self.shown
        if not effort.faithful:  # room for a shift by one pixel
            self.crop = (min(self.shown[0], max(1, height - 1)), min(self.shown[1], max(1, width - 1)))
        self.layout = learning_layout(device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = ZSN2N(int(pixels.shape[0]), effort.width)
        self.network = network.to(device).to(memory_format=self.layout)  # type: ignore[call-overload]  # not in its stub
        self.generator = torch.Generator().manual_seed(seed + 1)
        fused = device.type in ("cpu", "cuda")
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=effort.learning_rate, fused=fused)
        self._whole = self._even(pixels).to(device) if self.crop == (height, width) else None

    def _even(self, crop: Tensor) -> Tensor:
        """``(1, C, h, w)`` of even sides: a last odd row or column is left out, a single one doubled."""
        for dim in (1, 2):
            side = crop.shape[dim]
            crop = crop.repeat_interleave(2, dim) if side == 1 else crop.narrow(dim, 0, side // 2 * 2)
        return crop.unsqueeze(0)

    def _draw(self) -> Tensor:
        if self._whole is not None:
            return self._whole
        corner = [
            int(torch.randint(0, side - kept + 1, (), generator=self.generator))
            for side, kept in zip(self.pixels.shape[1:], self.crop, strict=True)
        ]
        rows, columns = (slice(start, start + kept) for start, kept in zip(corner, self.crop, strict=True))
        return self._even(self.pixels[:, rows, columns]).to(self.device)

    def step(self, index: int) -> tuple[float, Tensor]:
        for group in self.optimizer.param_groups:
            group["lr"] = self.effort.rate(index)
        y = self._draw()
        first, second = split(y)
        halves = torch.cat([first, second]).contiguous(memory_format=self.layout)
        with autocast(self.device, self.precision):
            noise_of_halves = self.network(halves)
            noise = self.network(y.contiguous(memory_format=self.layout))
        clean_first, clean_second = (halves - noise_of_halves.float()).chunk(2)
        clean = y - noise.float()
        residual = F.mse_loss(clean_first, second) + F.mse_loss(clean_second, first)
        halves_of_clean = split(clean)
        consistency = F.mse_loss(clean_first, halves_of_clean[0]) + F.mse_loss(clean_second, halves_of_clean[1])
        loss = (residual + consistency) / 2
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return float(loss.detach()), clean.detach()

    @torch.no_grad()
    def denoise(self, pixels: Tensor) -> Tensor:
        """``y - f(y)`` for ``(C, H, W)``, float32 on the CPU, unclipped."""
        y = pixels.unsqueeze(0).to(self.device)
        noise = self._noise(y)
        if not self.effort.faithful:
            for turns, mirrored in list(itertools.product(range(4), (False, True)))[1:]:
                turned = torch.rot90(y.flip(3) if mirrored else y, turns, (2, 3))
                back = torch.rot90(self._noise(turned), -turns, (2, 3))
                noise += back.flip(3) if mirrored else back
            noise /= 8
        return (y - noise)[0].to("cpu")

    def _noise(self, y: Tensor) -> Tensor:
        noise: Tensor = self.network(y.contiguous(memory_format=self.layout))
        return noise

    def preview(self) -> Tensor:
        """The picture with its centre, about as large as what a step learns from, denoised as far as it is."""
        picture = self.pixels.clone()
        top, left = ((side - shown) // 2 for side, shown in zip(picture.shape[1:], self.shown, strict=True))
        window = (slice(None), slice(top, top + self.shown[0]), slice(left, left + self.shown[1]))
        picture[window] = self.denoise(picture[window]).clamp(0, 1)
        return picture

    def state_dict(self) -> dict[str, Any]:
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])
