"""Deep Image Prior: restore one picture by fitting an untrained network to it.

Ulyanov, Vedaldi, Lempitsky, "Deep Image Prior", CVPR 2018, IJCV 2020. The network ``f(z; w)`` starts at random weights
and is fitted so that its output, degraded like the picture was, matches the picture: ``min_w ||A f(z; w) - y||^2``.
It learns the picture before it learns the damage, so it must be stopped in between: see ``stopping``.
"""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from retouch.degradations.base import Degradation, Identity
from retouch.degradations.blur import KernelBlur
from retouch.degradations.mask import FixedMask
from retouch.image.errors import OptionError, unknown
from retouch.image.image import Image
from retouch.models.device import autocast, fast_bfloat16, learning_layout, pick_device
from retouch.networks.deep_decoder import DeepDecoder
from retouch.networks.hourglass import Hourglass
from retouch.solvers.presets import PRESETS, Effort, Preset, Task, choose
from retouch.solvers.steps import Listener, Loop, Process, Solution, StopRule
from retouch.solvers.stopping import MovingVariance, WindowedVariance
from retouch.solvers.warm_start import warm_start

_BACKTRACK_DB = 5.0  # a fall of the fit by more than this is divergence (threshold of the published code)
_SNAPSHOT_EVERY = 50
_NOISE_DEPTH = 32  # channels of noise in the code


@dataclass(frozen=True, kw_only=True)
class DeepPrior:
    """Deep Image Prior as a solver.

    ``task`` and ``effort`` choose the preset together with the degradation (see ``presets.choose``), unless ``preset``
    names one of ``PRESETS``. ``network``: 'hourglass', or 'decoder' for the Deep Decoder, the lighter prior.
    ``steps``, ``stop``, ``patience`` override the preset where not None.
    ``precision``: 'fp32', 'bf16', or 'auto': bfloat16 convolutions with float32 weights where the device is faster at
    them and the preset does not ask for float32. ``sigma``: noise level on 0..255 for presets that start from an
    estimate, None to estimate it too. ``state_file``: resume a killed run (see ``Loop``).
    ``seed`` fixes weights, code and noise; results repeat on one machine.

    Cost: a step of the published network is 115 GFLOP at 256x256 (1.8 s on 2 CPU cores in float32).
    Memory: about 3 kB a pixel for the published network.
    """

    task: Task = "denoise"
    effort: Effort = "normal"
    network: Literal["hourglass", "decoder"] = "hourglass"
    preset: str | None = None
    device: str = "auto"
    seed: int = 0
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    steps: int | None = None
    stop: Literal["wmv", "emv", "off"] | None = None
    patience: int | None = None
    sigma: float | None = None
    state_file: Path | None = None

    def __post_init__(self) -> None:
        if self.preset is not None and self.preset not in PRESETS:
            raise OptionError(unknown("preset", self.preset, list(PRESETS)))

    def resolved(self, degradation: Degradation | None = None) -> Preset:
        """The options of a run against ``degradation``: the preset with this solver's overrides."""
        name = self.preset
        if name is None:
            mask = degradation.mask if isinstance(degradation, FixedMask) else None
            scale = 1 if degradation is None else round(1 / degradation.scale)
            name = choose(self.task, self.effort, self.network, scale=scale, mask=mask)
        preset = PRESETS[name]
        overrides: dict[str, Any] = {"steps": self.steps, "stop": self.stop, "patience": self.patience}
        return replace(preset, **{name: value for name, value in overrides.items() if value is not None})

    def solve(
        self,
        measurement: Image,
        degradation: Degradation | None = None,
        *,
        guide: Image | None = None,
        on_step: Listener | None = None,
        inspect: Callable[[int, Tensor, Tensor], dict[str, float]] | None = None,
    ) -> Solution:
        """Restore ``measurement``.

        ``degradation``: differentiable; its scale fixes the output size (``measurement size / scale``). A ``FixedMask``
        (1 = kept) is inpainting: only kept pixels enter the loss. None: denoising and JPEG.
        ``guide``: the picture fed to the network by presets whose code is 'guide', of the output's size.
        ``inspect``: see ``Loop``; it gets outputs ``(1, C, H, W)``, and cannot influence the run.
        The alpha of a picture that changes size is dropped: the caller resizes it.

        Raises ``OptionError`` if the degradation is not differentiable or a needed guide is missing.
        """
        degradation = degradation or Identity()
        if not degradation.differentiable:
            raise OptionError(f"{degradation!r} is not differentiable, so it cannot stand in the loss of a deep prior")
        preset = self.resolved(degradation)
        device = pick_device(self.device)
        estimate = None if guide is None else guide.pixels.unsqueeze(0)
        if preset.code == "estimate":
            estimate = warm_start(measurement, degradation, noisy=self.task == "denoise", sigma=self.sigma)
        fits = [
            Fit(measurement, degradation, preset, guide=estimate, device=device, seed=seed, precision=self.precision)
            for seed in range(self.seed, self.seed + preset.networks)
        ]
        process: Process = fits[0] if len(fits) == 1 else Committee(fits)
        resized = measurement if degradation.scale == 1 else replace(measurement, alpha=None)

        def picture(output: Tensor) -> Image:
            return resized.with_pixels(output)

        loop = Loop(
            total=preset.steps,
            average=preset.average,
            stop=stop_rule(preset),
            state_file=self.state_file,
            identity=self._identity(measurement, estimate, degradation, preset, fits[0].precision),
            on_step=on_step,
            preview=picture,
            inspect=inspect,
        )
        output, steps, reason, history = loop.run(process)
        return Solution(picture(output), steps, reason, history)

    def _identity(
        self, measurement: Image, estimate: Tensor | None, degradation: Degradation, preset: Preset, precision: str
    ) -> str:
        digest = hashlib.sha256(measurement.pixels.numpy().tobytes())
        if estimate is not None:  # the guide, or the warm start, which depends on the noise level too
            digest.update(estimate.numpy().tobytes())
        if isinstance(degradation, FixedMask):
            digest.update(degradation.mask.cpu().numpy().tobytes())
        if isinstance(degradation, KernelBlur):
            digest.update(torch.as_tensor(degradation.kernel).numpy().tobytes())
        return f"{digest.hexdigest()} {degradation.scale} {preset} {self.seed} {precision}"


def stop_rule(preset: Preset) -> StopRule | None:
    """The rule that a preset names, ready to start; None for 'off'."""
    if preset.stop == "wmv":
        return WindowedVariance(patience=preset.patience, delay=preset.delay)
    if preset.stop == "emv":
        return MovingVariance(patience=preset.patience, delay=preset.delay)
    return None


class Fit:
    """The fitting itself, as a ``Process``: network, code, optimiser, noise generator, and the way back."""

    def __init__(
        self,
        measurement: Image,
        degradation: Degradation,
        preset: Preset,
        *,
        guide: Tensor | None = None,
        device: torch.device,
        seed: int = 0,
        precision: str = "auto",
        layout: torch.memory_format | None = None,
    ) -> None:
        self.device, self.preset, self.degradation = device, preset, degradation
        faithful = preset.faithful and precision == "auto"
        self.precision = "fp32" if faithful else precision
        if self.precision == "auto":
            self.precision = "bf16" if fast_bfloat16(device) else "fp32"
        height = int(measurement.height / degradation.scale)
        width = int(measurement.width / degradation.scale)
        target = measurement.pixels.unsqueeze(0).to(device)
        # what lies under a mask never enters the loss, whatever it is
        self.target = degradation(target) if isinstance(degradation, FixedMask) else target
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            kind = DeepDecoder if preset.decoder else Hourglass
            options = dict(preset.network)
            if preset.code == "estimate":
                options["input_depth"] = _NOISE_DEPTH + measurement.channels
            network: nn.Module = kind(channels=measurement.channels, **options)
        multiple, smallest = int(network.multiple), int(network.smallest)  # type: ignore[arg-type]
        canvas = tuple(max(smallest, math.ceil(side / multiple) * multiple) for side in (height, width))
        top, left = (canvas[0] - height) // 2, (canvas[1] - width) // 2
        self.crop = (..., slice(top, top + height), slice(left, left + width))
        generator = torch.Generator().manual_seed(seed)
        code = _code(preset, network, (canvas[0], canvas[1]), guide, (top, left), generator)
        if layout is None:
            layout = torch.channels_last if preset.decoder else learning_layout(device)
        self.network = network.to(device).to(memory_format=layout)  # type: ignore[call-overload]  # missing in its stub
        self.layout = layout
        self.code = code.to(device)
        self.generator = torch.Generator(device=device if device.type == "cuda" else "cpu").manual_seed(seed + 1)
        fused = device.type in ("cpu", "cuda")
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=preset.learning_rate, fused=fused)
        self.good: dict[str, Tensor] | None = None
        self.good_loss = math.inf
        self.last: Tensor | None = None

    def step(self, index: int) -> tuple[float, Tensor]:
        code = self.code
        if self.preset.code_noise:
            noise = torch.empty(code.shape, device=self.generator.device)  # contiguous: 8x faster to fill
            noise.normal_(0, self.preset.code_noise, generator=self.generator)
            code = code + noise.to(self.device)
        self.optimizer.zero_grad(set_to_none=True)
        with autocast(self.device, self.precision):
            raw = self.network(code.contiguous(memory_format=self.layout))
        output = raw.float()[self.crop]
        loss = F.mse_loss(self.degradation(output), self.target)
        value = float(loss.detach())
        if self._diverged(value) and self.last is not None:
            return self.good_loss, self.last
        if index % _SNAPSHOT_EVERY == 0:
            self.good = {name: tensor.clone() for name, tensor in self.network.state_dict().items()}
            self.good_loss = value
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.last = output.detach().to("cpu").contiguous()
        return value, self.last

    def _diverged(self, loss: float) -> bool:
        """Whether the fit fell by 5 dB since the last snapshot; if so the weights go back to it."""
        if self.good is None:
            return False
        if math.isfinite(loss) and loss <= self.good_loss * 10 ** (_BACKTRACK_DB / 10):
            return False
        self.network.load_state_dict(self.good)
        return True

    def state_dict(self) -> dict[str, Any]:
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "good": self.good,
            "good_loss": self.good_loss,
            "last": self.last,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])
        self.good = copy.copy(state["good"])
        self.good_loss, self.last = state["good_loss"], state["last"]


class Committee:
    """Several fits side by side as one ``Process``; its output is their mean, whose errors partly cancel."""

    def __init__(self, fits: list[Fit]) -> None:
        self.fits = fits

    def step(self, index: int) -> tuple[float, Tensor]:
        results = [fit.step(index) for fit in self.fits]
        loss = sum(loss for loss, _ in results) / len(results)
        return loss, torch.stack([output for _, output in results]).mean(0)

    def state_dict(self) -> dict[str, Any]:
        return {"fits": [fit.state_dict() for fit in self.fits]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for fit, part in zip(self.fits, state["fits"], strict=True):
            fit.load_state_dict(part)


def _code(
    preset: Preset,
    network: nn.Module,
    canvas: tuple[int, int],
    guide: Tensor | None,
    corner: tuple[int, int],
    generator: torch.Generator,
) -> Tensor:
    """The fixed input of the network, ``(1, depth, H, W)``."""
    if isinstance(network, DeepDecoder):
        coarse = [side // network.multiple for side in canvas]
        return torch.rand((1, network.input_depth, *coarse), generator=generator) * 0.1
    if preset.code == "grid":
        rows, columns = (torch.linspace(0, 1, side) for side in canvas)
        return torch.stack(torch.meshgrid(columns, rows, indexing="xy")).unsqueeze(0)
    depth = int(preset.network.get("input_depth", _NOISE_DEPTH))
    if preset.code == "noise":
        return torch.rand((1, depth, *canvas), generator=generator) * 0.1
    if guide is None:
        raise OptionError("this preset is guided by a second picture, and none was given")
    rows = (torch.arange(canvas[0]) - corner[0]).clamp(0, guide.shape[2] - 1)  # replicated beyond the border
    columns = (torch.arange(canvas[1]) - corner[1]).clamp(0, guide.shape[3] - 1)
    picture = guide[:, :, rows][:, :, :, columns]
    if preset.code == "guide":
        return picture.expand(-1, depth, -1, -1)
    return torch.cat([torch.rand((1, _NOISE_DEPTH, *canvas), generator=generator) * 0.1, picture], dim=1)
