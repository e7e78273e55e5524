"""A trained network made ready to run: folded, rewritten where equal and faster, in the precision of the device.

What comes out computes what went in; only rounding differs. Sources: batch normalisation folded as in Jacob et al.,
"Quantization and Training of Neural Networks", CVPR 2018, section 3.2; the deconvolution as convolution and pixel
shuffle after Shi et al., "Is the deconvolution layer the same as a convolutional layer?", 2016.
"""

from __future__ import annotations

import copy
import itertools
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from retouch.image.errors import OptionError, unknown
from retouch.models.blocks import block_pixels, bytes_per_pixel, rewritten, run_in_blocks
from retouch.models.device import fast_bfloat16
from retouch.networks.spec import Spec

PRECISIONS = ("auto", "fp32", "bf16", "fp16")
"""``fp32``: as trained. ``bf16``, ``fp16``: all but first and last layer in 16 bits. ``auto``: by the device."""

_BLACK = 1e-3


def resolve_precision(device: torch.device, precision: str) -> torch.dtype:
    """The type that ``precision`` means on ``device``; ``OptionError`` for a word that is not of ``PRECISIONS``.

    ``auto``: float16 on CUDA (three bits more than bfloat16 at the same speed; overflow is caught), bfloat16 on a CPU
    that has products for it, float32 elsewhere.
    """
    if precision not in PRECISIONS:
        raise OptionError(unknown("precision", precision, PRECISIONS))
    if precision == "auto":
        if device.type == "cuda":
            return torch.float16
        return torch.bfloat16 if device.type == "cpu" and fast_bfloat16(device) else torch.float32
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


def prepare(network: nn.Module, device: torch.device, precision: str = "auto") -> PreparedNetwork:
    """A copy of ``network`` ready to run on ``device``; the network itself stays as it is.

    ``network``: has a ``spec`` (``networks.spec.Spec``). ``precision``: one of ``PRECISIONS``; ``auto`` takes
    bfloat16 only for a network that keeps its precision in it: see ``_keeps_precision``. Raises ``OptionError`` for an
    unknown precision. ``torch.compile`` is left alone: it takes a minute or two to start, and blocks reach its speed.
    """
    dtype = resolve_precision(device, precision)
    if precision == "auto" and dtype == torch.bfloat16 and not _keeps_precision(network):
        dtype = torch.float32
    return PreparedNetwork(network, device, dtype)


_ROUNDING = 3.4e-4


def _keeps_precision(network: nn.Module) -> bool:
    """Whether bfloat16 inside changes a test picture by at most ``_ROUNDING`` (root mean square, of full scale).

    Twice that would cost 0.02 dB of 40 dB if it were independent of the other errors, which rounded weights are not
    quite. A network that predicts a small residue passes; one that makes the whole picture from rounded features may
    not: a half-trained FSRCNN x3 moved by 0.014 dB (here upwards) from its 28.36 dB on Set5, one picture by 0.027 dB.
    """
    spec = network.spec
    assert isinstance(spec, Spec)
    side = math.ceil(32 / spec.multiple) * spec.multiple
    axis = torch.arange(side, dtype=torch.float32)
    waves = torch.sin(0.2 * axis[:, None] + 0.35 * axis) + 0.3 * torch.sin(1.7 * axis[:, None] - 1.1 * axis)
    picture = (0.5 + 0.35 * waves).clamp(0, 1).expand(1, spec.channels, -1, -1)
    picture = torch.cat((picture, torch.full((1, spec.levels, side, side), 0.5)), 1)
    cpu = torch.device("cpu")
    with torch.no_grad():
        exact, rounded = (PreparedNetwork(network, cpu, dtype)(picture) for dtype in (torch.float32, torch.bfloat16))
    return float((exact - rounded).square().mean().sqrt()) <= _ROUNDING


class PreparedNetwork(nn.Module):
    """Maps as the network does, float32 ``(B, C, H, W)`` to float32 ``(B, C', H', W')`` on the same device.

    ``dtype``: what the inner layers compute in. In 16 bits every output is looked at: where it holds NaN or infinity,
    or is black though the input was not, it is computed again in float32; if that mends it, float32 is used from then
    on (``dtype`` says so).
    """

    def __init__(self, network: nn.Module, device: torch.device, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.device = device
        simple = simplified(network).float()
        spec = network.spec
        assert isinstance(spec, Spec)
        if device.type == "cpu":
            simple = rewritten(simple)
        fast = lowered(simple, spec, dtype)
        self.exact = _placed(simple, device)
        self.fast = _placed(fast, device)
        # not a submodule: its parameters are those of ``fast`` and would be listed twice
        self.requires_grad_(False)
        self.spec = spec
        measured = device.type == "cpu" and spec.exact
        self.width = bytes_per_pixel(self.fast, spec) if measured else 0.0
        self.pixels = block_pixels(spec, self.width) if measured else 0  # 0: at once

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(device=self.device, dtype=torch.float32, memory_format=torch.channels_last)
        y = self._run(self.fast, x)
        if self.dtype != torch.float32 and _suspicious(x, y):
            again = self._run(self.exact, x)
            if not _suspicious(x, again):
                self.dtype, self.fast = torch.float32, self.exact
            return again
        return y

    def _run(self, network: Any, x: Tensor) -> Tensor:
        y: Tensor = run_in_blocks(network, x, self.spec, self.pixels) if self.pixels else network(x)
        return y.float()


def _placed(network: nn.Module, device: torch.device) -> nn.Module:
    network = network.to(device)
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.to(memory_format=torch.channels_last)
    return network


def _suspicious(x: Tensor, y: Tensor) -> bool:
    """NaN or infinity (the largest magnitude is then NaN or infinite), or black out of a picture that is not."""
    high, given = torch.stack((y.abs().amax(), x.abs().amax())).tolist()
    return not math.isfinite(high) or (high < _BLACK * given and given > _BLACK)


def simplified(network: nn.Module) -> nn.Module:
    """A copy in evaluation mode with batch normalisation folded and deconvolutions rewritten where that is equal."""
    network = copy.deepcopy(network).eval().requires_grad_(False)
    _fold(network)
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.ConvTranspose2d) and ShuffledDeconvolution.equals(child):
                setattr(parent, name, ShuffledDeconvolution(child))
    return network


def _fold(network: nn.Module) -> None:
    """Fold each batch normalisation into the convolution right before it in the same ``nn.Sequential``."""
    for parent in list(network.modules()):
        if not isinstance(parent, nn.Sequential):
            continue
        names = list(parent._modules)
        for first, second in itertools.pairwise(names):
            convolution, norm = parent._modules[first], parent._modules[second]
            statistics = isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None
            if isinstance(convolution, nn.Conv2d) and statistics:
                assert isinstance(norm, nn.BatchNorm2d)
                setattr(parent, first, fuse_conv_bn_eval(convolution, norm))
                setattr(parent, second, nn.Identity())


class ShuffledDeconvolution(nn.Module):
    """A transposed convolution of stride s as a convolution to s x s channels each, whose pixels are then interleaved.

    Output ``s q + r`` of a deconvolution with padding p meets input ``q + d`` by the weight ``r + p - s d``: for each
    phase r that is a convolution over d, and all phases share one. ``forward``: ``(B, C, H, W)`` ->
    ``(B, C', s H, s W)``. Raises ``ValueError`` for a deconvolution that ``equals`` refuses.
    """

    def __init__(self, deconvolution: nn.ConvTranspose2d) -> None:
        super().__init__()
        if not self.equals(deconvolution):
            raise ValueError(f"not to be written as a pixel shuffle: {deconvolution}")
        weight = deconvolution.weight.detach()
        inputs, outputs, *sides = weight.shape
        self.stride = int(deconvolution.stride[0])
        margins, starts, lengths = [], [], []
        taps: list[list[list[tuple[int, int]]]] = []  # of each axis and phase: (place in the new kernel, in the old)
        for side, padding in zip(sides, _numbers(deconvolution.padding), strict=True):
            low, high = -((side - 1 - padding) // self.stride), (self.stride - 1 + padding) // self.stride
            margins.append(max(-low, high))
            starts.append(low + margins[-1])
            lengths.append(high - low + 1)
            taps.append([
                [
                    (d - low, phase + padding - self.stride * d)
                    for d in range(low, high + 1)
                    if 0 <= phase + padding - self.stride * d < side
                ]
                for phase in range(self.stride)
            ])  # fmt: skip
        kernel = weight.new_zeros(outputs, self.stride, self.stride, inputs, *lengths)
        for vertical, rows in enumerate(taps[0]):
            for horizontal, columns in enumerate(taps[1]):
                for row, old_row in rows:
                    for column, old_column in columns:
                        tap = weight[:, :, old_row, old_column].T
                        kernel[:, vertical, horizontal, :, row, column] = tap
        # padded alike on both sides and cut afterwards: what is cut is thinner than what would be padded
        self.convolution = nn.Conv2d(
            inputs, outputs * self.stride**2, (lengths[0], lengths[1]), padding=(margins[0], margins[1])
        ).to(weight)
        self.convolution.weight = nn.Parameter(kernel.flatten(0, 2), requires_grad=False)
        bias = deconvolution.bias
        spread = weight.new_zeros(outputs) if bias is None else bias.detach()
        self.convolution.bias = nn.Parameter(spread.repeat_interleave(self.stride**2), requires_grad=False)
        self.starts = (starts[0], starts[1])

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.convolution(x)
        top, left = self.starts
        return F.pixel_shuffle(y[:, :, top : top + x.shape[2], left : left + x.shape[3]], self.stride)

    @staticmethod
    def equals(deconvolution: nn.ConvTranspose2d) -> bool:
        """Whether it can be written so: one stride, no groups or dilation, an output of exactly s times the input."""
        stride = deconvolution.stride[0]
        exact = all(
            side + output - 2 * padding == stride and side > padding
            for side, output, padding in zip(
                deconvolution.kernel_size,
                deconvolution.output_padding,
                _numbers(deconvolution.padding),
                strict=True,
            )
        )
        plain = deconvolution.groups == 1 and tuple(deconvolution.dilation) == (1, 1)
        return exact and plain and deconvolution.stride[1] == stride


def _numbers(padding: Any) -> tuple[int, ...]:
    """The padding of a deconvolution, which is never one of the words that a convolution takes."""
    return tuple(padding)


def lowered(network: nn.Module, spec: Spec, dtype: torch.dtype) -> nn.Module:
    """A copy of ``network`` whose layers compute in ``dtype``, but for the first and the last with weights, in float32.

    8 bits of mantissa (bfloat16) are 0.3/255 of noise on a picture: neither the picture that goes in nor the one that
    comes out may be rounded to them, and a skip from the first to the last is then added in float32 as well. What the
    rounding inside costs depends on the weights. The order is that of a run on a small picture.
    """
    network = copy.deepcopy(network)
    if dtype == torch.float32:
        return network
    order: list[nn.Module] = []
    hooks = [
        module.register_forward_pre_hook(lambda module, inputs: order.append(module))
        for module in network.modules()
        if next(module.parameters(recurse=False), None) is not None
    ]
    side = math.ceil(16 / spec.multiple) * spec.multiple
    with torch.no_grad():
        network(torch.zeros(1, spec.inputs, side, side))
    for hook in hooks:
        hook.remove()
    heavy = [module for module in order if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear))]
    if not heavy:
        return network
    first, last = heavy[0], heavy[-1]
    after = {id(module) for module in order[len(order) - 1 - order[::-1].index(last) :]}
    for module in dict.fromkeys(order):
        if module is first or id(module) in after:
            _cast_input(module, torch.float32)
        else:
            module.to(dtype)
            _cast_input(module, dtype)
    if first is not last:
        first.register_forward_hook(lambda module, inputs, output: output.to(dtype))
    return network


def _cast_input(module: nn.Module, dtype: torch.dtype) -> None:
    module.register_forward_pre_hook(lambda module, inputs: tuple(value.to(dtype) for value in inputs))
