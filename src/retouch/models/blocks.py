"""A network run block by block through the processor's cache, and layers written so that oneDNN runs them faster.

On a CPU the layers of a small network wait for memory: what they make of a whole frame does not fit the cache, and
tensors above 32 MB are taken from and given back to the system at every layer, page by page. In blocks whose widest
layer fits, the same layers run two to four times as fast. Blocks are cut, not blended: each reads so far beyond its cut
that the result is that of the whole.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from retouch.models import memory
from retouch.networks.spec import Spec

BUDGET = 16 * 2**20
"""Bytes of a block's widest layer: a layer reads one such tensor and writes another."""

CEILING = 30 * 2**20
"""Where a wide rim would make blocks of ``BUDGET`` do too much twice: as large as the C library still keeps to itself.

glibc takes at most 32 MB from memory that it holds; above that every tensor is mapped anew.
"""

_WIDE = 192  # bytes a pixel: 48 channels of float32

_LANES = 16  # oneDNN computes so many output channels at once (AVX-512, float32), whether they are wanted or not
_GRID = 4  # blocks have sides of this multiple where they can: nothing need then be padded for ``NarrowConvolution``


def cut(height: int, width: int, halo: int, multiple: int, pixels: int) -> tuple[int, int, int, int]:
    """Blocks that cover a picture with the least work: (rows, columns of blocks, height and width that each reads).

    All read the same size, at most ``pixels`` where that leaves more than the rim of ``halo`` to each side, and begin
    at multiples of ``multiple``, of which ``height`` and ``width`` are multiples.
    """
    best: tuple[int, tuple[int, int, int, int]] | None = None
    rim = math.ceil(halo / multiple) * multiple
    rows = 0
    while True:
        rows += 1
        tall = _side(height, rows, rim, multiple)
        wide = max(pixels // tall, 2 * rim + multiple)
        columns = 1 if wide >= width else math.ceil((width - 2 * rim) / max(1, wide - 2 * rim))
        across = _side(width, columns, rim, multiple)
        work = rows * tall * columns * across
        # a block a little over its budget is better than one more row or column of blocks
        if tall * across <= 1.1 * pixels and (best is None or work < best[0]):
            best = work, (rows, columns, tall, across)
        if tall <= 2 * rim + multiple or tall <= multiple or rows * multiple >= height:
            return best[1] if best is not None else (rows, columns, tall, across)


def _side(length: int, count: int, rim: int, multiple: int) -> int:
    """What each of ``count`` equal blocks reads so that they cover ``length``, sharing ``2 rim`` with the next."""
    grid = math.lcm(multiple, _GRID)
    return min(length, math.ceil((length + (count - 1) * 2 * rim) / count / grid) * grid)


def run_in_blocks(function: Callable[[Tensor], Tensor], x: Tensor, spec: Spec, pixels: int) -> Tensor:
    """``function`` of ``x``, computed in blocks of about ``pixels`` pixels: equal up to rounding.

    ``function``: ``(1, C, h, w)`` -> ``(1, C', h * scale, w * scale)``, with the halo, the scale and the multiple of
    ``spec``. ``x``: ``(B, C, H, W)``, whose sides are multiples of it. Small pictures are left as they are.
    """
    if x.shape[0] * x.shape[2] * x.shape[3] <= pixels:
        return function(x)
    height, width = x.shape[2:]
    rows, columns, tall, wide = cut(height, width, spec.halo, spec.multiple, pixels)
    scale, out = spec.scale, None
    for index in range(x.shape[0]):
        for top, first, last in _places(height, tall, rows, spec):
            for left, begin, end in _places(width, wide, columns, spec):
                part = x[index : index + 1, :, top : top + tall, left : left + wide]
                y = function(part.contiguous(memory_format=torch.channels_last))
                if out is None:
                    out = y.new_empty(x.shape[0], y.shape[1], height * scale, width * scale)
                out[index, :, first * scale : last * scale, begin * scale : end * scale] = y[
                    0, :, (first - top) * scale : (last - top) * scale, (begin - left) * scale : (end - left) * scale
                ]
    assert out is not None
    return out


def _places(length: int, side: int, count: int, spec: Spec) -> list[tuple[int, int, int]]:
    """(where it reads from, first and last + 1 that it writes) of each block along one axis."""
    rim = math.ceil(spec.halo / spec.multiple) * spec.multiple
    starts: list[int] = []
    for index in range(count):
        start = min(index * max(spec.multiple, side - 2 * rim), length - side)
        if not starts or start > starts[-1]:
            starts.append(start)
    cuts = [0, *(start + rim for start in starts[1:]), length]
    return list(zip(starts, cuts[:-1], cuts[1:], strict=True))


def bytes_per_pixel(network: nn.Module, spec: Spec) -> float:
    """What the widest layer of ``network`` holds for an input pixel, measured in a run on a small picture."""
    side = math.ceil(16 / spec.multiple) * spec.multiple
    largest = 1

    def measure(module: nn.Module, inputs: object, output: object) -> None:
        nonlocal largest
        if isinstance(output, Tensor):
            largest = max(largest, output.numel() * output.element_size())

    hooks = [module.register_forward_hook(measure) for module in network.modules()]
    parameter = next(network.parameters(), torch.empty(0))
    with torch.no_grad():
        network(torch.zeros(1, spec.inputs, side, side, device=parameter.device))
    for hook in hooks:
        hook.remove()
    return largest / side**2


def block_pixels(spec: Spec, width: float) -> int:
    """How many input pixels a block of a network has, whose widest layer has ``width`` bytes for each.

    0 where blocks would not pay: the halo is so wide that a block were mostly rim. Sooner where layers are wide,
    as in float32, and their memory is kept (``models.memory``): then a rim costs more than the wait.
    """
    wanted = (20 * spec.halo) ** 2  # the rim is then a quarter more work
    pixels = int(min(max(BUDGET / width, wanted), CEILING / width))
    rims = 32 if width >= _WIDE and memory.is_kept() else 16
    return pixels if pixels >= (rims * spec.halo) ** 2 else 0


class NarrowConvolution(nn.Module):
    """A convolution to few channels, computed for blocks of b x b output pixels at once by one of stride b.

    The processor computes 16 channels where 1 is wanted. Here the channels are the pixels of a block; the kernel
    grows from k to k + b - 1, with zeros. A kernel of 3 to 1 channel takes a quarter of the time.
    ``forward``: as the convolution. Raises ``ValueError`` for a convolution whose ``best_block`` is 1.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.block = block = self.best_block(convolution)
        if block == 1:
            raise ValueError(f"not to be computed in blocks: {convolution}")
        weight = convolution.weight.detach()
        outputs, inputs, high, wide = weight.shape
        kernel = weight.new_zeros(outputs, block, block, inputs, high + block - 1, wide + block - 1)
        for row in range(block):
            for column in range(block):
                kernel[:, row, column, :, row : row + high, column : column + wide] = weight
        self.convolution = nn.Conv2d(
            inputs,
            outputs * block**2,
            (high + block - 1, wide + block - 1),
            stride=block,
            padding=tuple(int(side) for side in convolution.padding),  # type: ignore[arg-type]
            bias=convolution.bias is not None,
        ).to(weight)
        self.convolution.weight = nn.Parameter(kernel.flatten(0, 2), requires_grad=False)
        if convolution.bias is not None:
            bias = convolution.bias.detach().repeat_interleave(block**2)
            self.convolution.bias = nn.Parameter(bias, requires_grad=False)
        self.lost = (
            high - 1 - 2 * int(convolution.padding[0]),
            wide - 1 - 2 * int(convolution.padding[1]),
        )  # by how much the output is smaller than the input

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2] - self.lost[0], x.shape[3] - self.lost[1]
        below, right = -height % self.block, -width % self.block
        if below or right:
            x = F.pad(x, (0, right, 0, below))
        return F.pixel_shuffle(self.convolution(x), self.block)[:, :, :height, :width]

    @staticmethod
    def best_block(convolution: nn.Conv2d) -> int:
        """The side of the block that takes the fewest products, unwanted channels counted; 1: as it is."""
        plain = (
            tuple(convolution.stride) == (1, 1)
            and tuple(convolution.dilation) == (1, 1)
            and convolution.groups == 1
            and convolution.padding_mode == "zeros"
            and not isinstance(convolution.padding, str)
        )
        # below 8 input channels the products are few and the shuffle is what takes the time
        if not plain or convolution.in_channels < 8:
            return 1

        def products(block: int) -> float:
            channels = math.ceil(convolution.out_channels * block**2 / _LANES) * _LANES
            return channels * math.prod(side + block - 1 for side in convolution.kernel_size) / block**2

        return min((1, 2, 3, 4), key=lambda block: (products(block), block))


class FlatPReLU(nn.Module):
    """PReLU whose rows of channels are laid end to end: in bfloat16, channels last, torch is ten times faster so."""

    def __init__(self, prelu: nn.PReLU) -> None:
        super().__init__()
        self.slopes = prelu.num_parameters
        self.weight = nn.Parameter(prelu.weight.detach().repeat(_LANES), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        whole = batch * height * width % _LANES == 0
        if self.slopes != channels or not whole or not x.is_contiguous(memory_format=torch.channels_last):
            return F.prelu(x, self.weight[: self.slopes])
        flat = F.prelu(x.permute(0, 2, 3, 1).reshape(-1, channels * _LANES), self.weight)
        return flat.view(batch, height, width, channels).permute(0, 3, 1, 2)


def rewritten(network: nn.Module) -> nn.Module:
    """``network`` itself, with its layers replaced by those of this file where they are faster, and ReLU in place."""
    for parent in list(network.modules()):
        before: nn.Module | None = None
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Conv2d) and NarrowConvolution.best_block(child) > 1:
                setattr(parent, name, NarrowConvolution(child))
            elif type(child) is nn.PReLU:
                setattr(parent, name, FlatPReLU(child))
            elif isinstance(parent, nn.Sequential) and isinstance(child, nn.ReLU) and isinstance(before, nn.Conv2d):
                child.inplace = True  # the convolution's output is nobody else's
            if not isinstance(child, nn.Identity):
                before = child
    return network
