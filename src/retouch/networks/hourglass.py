"""The hourglass ('skip') network of Deep Image Prior.

Ulyanov, Vedaldi, Lempitsky, "Deep Image Prior", CVPR 2018 and IJCV 2020; supplementary material for the options.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

Upsampling = Literal["nearest", "bilinear"]
Downsampling = Literal["stride", "avg"]
Padding = Literal["reflect", "zeros", "replicate"]


class Hourglass(nn.Module):
    """Encoder-decoder with skip connections that maps a code ``z`` to a picture.

    At scale i of n: the skip branch is Conv1x1(skip_i), BN, LeakyReLU(.2); the deeper branch is Conv(down_i) that
    halves the size, BN, LeakyReLU, Conv(down_i), BN, LeakyReLU, [scale i+1], upsampling x2. Both are concatenated
    (cropped about the centre to the smaller), then BN, Conv(up_i), BN, LeakyReLU and, if ``pointwise``, Conv1x1(up_i),
    BN, LeakyReLU. The head is Conv1x1(channels) and a sigmoid. Batch normalisation always uses the statistics of the
    batch, which is one picture: keep the module in training mode.

    ``forward``: ``(1, input_depth, H, W)`` -> ``(1, channels, H, W)`` in (0, 1), for H and W multiples of ``multiple``
    and at least ``smallest``, below which the deepest scale would be too small to pad or to normalise.

    ``down``, ``up``, ``skip``: channels by scale. ``kernel_down``, ``kernel_up``: odd kernel sizes, one or by scale.
    ``upsampling``: one or by scale. ``downsampling``: strided convolution, or convolution and average pooling.
    Raises ``ValueError`` if the lists differ in length.
    """

    def __init__(
        self,
        input_depth: int = 32,
        channels: int = 3,
        *,
        down: Sequence[int] = (128,) * 5,
        up: Sequence[int] = (128,) * 5,
        skip: Sequence[int] = (4,) * 5,
        kernel_down: int | Sequence[int] = 3,
        kernel_up: int | Sequence[int] = 3,
        pointwise: bool = True,
        upsampling: Upsampling | Sequence[Upsampling] = "bilinear",
        downsampling: Downsampling = "stride",
        padding: Padding = "reflect",
    ) -> None:
        super().__init__()
        scales = len(down)
        kernels_down = [kernel_down] * scales if isinstance(kernel_down, int) else list(kernel_down)
        kernels_up = [kernel_up] * scales if isinstance(kernel_up, int) else list(kernel_up)
        upsamplings = [upsampling] * scales if isinstance(upsampling, str) else list(upsampling)
        lengths = {len(values) for values in (down, up, skip, kernels_down, kernels_up, upsamplings)}
        if lengths != {scales} or scales == 0:
            raise ValueError(
                f"every list needs one entry for each of the {scales} scales, got lengths {sorted(lengths)}"
            )
        self.multiple = 2**scales
        # reflection needs more values than it mirrors, and normalisation more than one
        self.smallest = self.multiple * (max(*kernels_down, *kernels_up) // 2 + 1)
        body: nn.Module | None = None
        for i in reversed(range(scales)):
            entering = input_depth if i == 0 else down[i - 1]
            returning = down[i] if i == scales - 1 else up[i + 1]
            body = _Scale(
                _unit(entering, down[i], kernels_down[i], padding, 2, downsampling),
                _unit(down[i], down[i], kernels_down[i], padding),
                body,
                upsamplings[i],
                _unit(entering, skip[i], 1, padding) if skip[i] else None,
                nn.BatchNorm2d(skip[i] + returning),
                _unit(skip[i] + returning, up[i], kernels_up[i], padding),
                _unit(up[i], up[i], 1, padding) if pointwise else None,
            )
        assert body is not None
        self.body = body
        self.head = nn.Conv2d(up[0], channels, 1)

    def forward(self, z: Tensor) -> Tensor:
        return torch.sigmoid(self.head(self.body(z)))


class _Scale(nn.Module):
    """One scale of the hourglass with all deeper ones inside it."""

    def __init__(
        self,
        shrink: nn.Module,
        encode: nn.Module,
        deeper: nn.Module | None,
        upsampling: Upsampling,
        skip: nn.Module | None,
        norm: nn.Module,
        decode: nn.Module,
        pointwise: nn.Module | None,
    ) -> None:
        super().__init__()
        self.shrink, self.encode, self.deeper, self.skip = shrink, encode, deeper, skip
        self.upsample = nn.Upsample(
            scale_factor=2, mode=upsampling
        )  # align_corners stays False, as in the paper's code
        self.norm, self.decode, self.pointwise = norm, decode, pointwise

    def forward(self, x: Tensor) -> Tensor:
        inner: Tensor = self.encode(self.shrink(x))
        if self.deeper is not None:
            inner = self.deeper(inner)
        inner = self.upsample(inner)
        if self.skip is not None:
            inner = torch.cat(_crop_alike(self.skip(x), inner), dim=1)
        inner = self.decode(self.norm(inner))
        if self.pointwise is not None:
            inner = self.pointwise(inner)
        return inner


def _unit(
    entering: int, leaving: int, kernel: int, padding: Padding, stride: int = 1, downsampling: Downsampling = "stride"
) -> nn.Sequential:
    """Convolution, batch normalisation, LeakyReLU; with ``stride`` 2 by the convolution or by average pooling."""
    pooled = stride > 1 and downsampling == "avg"
    convolution = nn.Conv2d(
        entering,
        leaving,
        kernel,
        stride=1 if pooled else stride,
        padding=kernel // 2,
        padding_mode=padding if kernel > 1 else "zeros",
    )
    parts: list[nn.Module] = [convolution]
    if pooled:
        parts.append(nn.AvgPool2d(stride, stride))
    return nn.Sequential(*parts, nn.BatchNorm2d(leaving), nn.LeakyReLU(0.2, inplace=True))


def _crop_alike(*tensors: Tensor) -> list[Tensor]:
    """Crop every tensor about its centre to the smallest height and width among them."""
    height = min(t.shape[2] for t in tensors)
    width = min(t.shape[3] for t in tensors)
    cropped = []
    for t in tensors:
        top, left = (t.shape[2] - height) // 2, (t.shape[3] - width) // 2
        cropped.append(t[:, :, top : top + height, left : left + width])
    return cropped
