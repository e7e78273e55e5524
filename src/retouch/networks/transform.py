"""The image transformation network: trained with a feature loss, it enlarges pictures or paints them in one style.

Johnson, Alahi, Fei-Fei, "Perceptual Losses for Real-Time Style Transfer and Super-Resolution", ECCV 2016, section 3.1
and the supplementary material, tables 1 and 2. Instance normalisation: Ulyanov, Vedaldi, Lempitsky, "Improved Texture
Networks", CVPR 2017, section 3.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from retouch.networks.spec import Spec

NORMS = ("batch", "instance")
UPSAMPLINGS = ("deconvolution", "nearest")
_LAST = 4  # the last convolution, of 9 x 9, looks so far to each side


def _norm(name: str, width: int) -> nn.Module:
    return nn.BatchNorm2d(width) if name == "batch" else nn.InstanceNorm2d(width, affine=True)


class ResidualBlock(nn.Module):
    """``x + [Conv3, norm, ReLU, Conv3, norm](x)``, without an activation after the sum (Gross and Wilber, 2016).

    ``padded``: with zeros around; otherwise the sum is of the middle, ``(B, C, H, W)`` -> ``(B, C, H - 4, W - 4)``.
    """

    def __init__(self, width: int, *, norm: str, padded: bool) -> None:
        super().__init__()
        self.cut = 0 if padded else 2
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=int(padded), bias=False),  # the normalisation would cancel a bias
            _norm(norm, width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=int(padded), bias=False),
            _norm(norm, width),
        )

    def forward(self, x: Tensor) -> Tensor:
        inside = x[..., self.cut : x.shape[-2] - self.cut, self.cut : x.shape[-1] - self.cut]
        y: Tensor = inside + self.body(x)
        return y


class TransformNet(nn.Module):
    """``Conv9, blocks x residual block, n x Deconv3 of stride 2, Conv9, tanh``; norm and ReLU between, none at the end.

    ``scale`` 2, 4 or 8: super-resolution, n being 1, 2 or 3, every layer of ``width`` channels; the published nets are
    x4 and x8 with 64 channels and 4 blocks, 401,155 and 438,147 numbers. ``scale`` 1: for styles; two convolutions of
    stride 2 come after the first one and double the channels, two deconvolutions halve them again. Published with
    ``width`` 32 and 5 blocks, 1,677,635 numbers. There the picture is reflected beyond its edges by 8 pixels for each
    block (40), which blocks without padding use up: zeros around the deep layers would leave a frame in a style.

    ``norm``: "batch" as published, or "instance" for styles, whose statistics are those of the whole picture: what is
    run in tiles is then an approximation. Two changes of ours help a thin network to learn a style in minutes, and are
    for scale 1: ``upsampling`` "nearest" repeats pixels and convolves in place of the deconvolutions, whose uneven
    overlap shows as a grid until it is unlearned (Odena, Dumoulin, Olah, "Deconvolution and Checkerboard Artifacts",
    Distill 2016); ``skip`` shows the picture itself, in [-1, 1], to the last convolution beside what was made of it, so
    that edges need not find their way through the deep layers first.

    ``forward``: ``(B, channels, H, W)`` in [0, 1], any size -> ``(B, channels, H * scale, W * scale)`` in [0, 1]: the
    paper scales its tanh to [0, 255], here (tanh + 1) / 2. The paper does not tell how the weights begin; here as torch
    begins any convolution. Raises ``ValueError`` for another scale, norm or upsampling, or sizes below 1.
    """

    def __init__(
        self,
        scale: int = 4,
        blocks: int = 4,
        width: int = 64,
        channels: int = 3,
        norm: str = "batch",
        upsampling: str = "deconvolution",
        skip: bool = False,
    ) -> None:
        super().__init__()
        if scale not in (1, 2, 4, 8):
            raise ValueError(f"scale is 1, 2, 4 or 8, not {scale}")
        if norm not in NORMS or (norm == "instance" and scale > 1):
            raise ValueError(f"norm is 'batch', or 'instance' with scale 1, not {norm!r} with scale {scale}")
        if upsampling not in UPSAMPLINGS or (scale > 1 and (skip or upsampling != "deconvolution")):
            raise ValueError(
                f"upsampling is one of {UPSAMPLINGS}; it and skip are of scale 1, not {upsampling!r}, {scale}"
            )
        if min(blocks, width, channels) < 1:
            raise ValueError(f"blocks, width and channels are at least 1, not {blocks}, {width}, {channels}")
        style = scale == 1
        down = [width, 2 * width, 4 * width] if style else [width]
        up = [2 * width, width] if style else [width] * (scale.bit_length() - 1)
        layers: list[nn.Module] = []
        inputs = channels
        for index, outputs in enumerate(down):
            side, stride = (3, 2) if index else (9, 1)
            layers += [
                nn.Conv2d(inputs, outputs, side, stride=stride, padding=side // 2, bias=False),
                _norm(norm, outputs),
                nn.ReLU(),
            ]
            inputs = outputs
        self.head = nn.Sequential(*layers)
        self.trunk = nn.Sequential(*(ResidualBlock(inputs, norm=norm, padded=not style) for _ in range(blocks)))
        layers = []
        for outputs in up:
            larger: list[nn.Module] = [
                nn.ConvTranspose2d(inputs, outputs, 3, stride=2, padding=1, output_padding=1, bias=False)
            ]
            if upsampling == "nearest":
                larger = [nn.Upsample(scale_factor=2), nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)]
            layers += [*larger, _norm(norm, outputs), nn.ReLU()]
            inputs = outputs
        last = nn.Conv2d(inputs + channels * skip, channels, 9, padding=_LAST)
        self.tail = nn.Sequential(*layers, last, nn.Tanh())
        self.skip = skip
        self.margin = 8 * blocks if style else 0
        # SR: the deconvolutions meet the small pixel below and the next one, so all of them together do too.
        halo = 4 + 2 * blocks + -(-(scale - 1 + _LAST) // scale)
        if style:
            # The last of the four pixels of a deep one looks furthest to the left: 3 to the first of them, the last
            # convolution on to the next deep one, 2 deep ones a block, 3 pixels for the strides, 4 for the first layer.
            halo = 3 + 4 * (1 + 2 * blocks) + 3 + 4
            if upsampling == "nearest":  # here it is the third pixel, which looks on to the second deep one
                halo += 3
        multiple = 4 if style else 1
        self.spec = Spec(channels=channels, scale=scale, halo=halo, multiple=multiple, exact=norm == "batch")

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        if self.margin:
            x = x[..., self._mirrored(height, x.device), :][..., self._mirrored(width, x.device)]
        t: Tensor = self.trunk(self.head(x))
        if self.skip:
            # the blocks have used up what was mirrored, but for what makes the sides multiples of four
            inside = (..., slice(self.margin, x.shape[-2] - self.margin), slice(self.margin, x.shape[-1] - self.margin))
            t = self.tail[-2:](torch.cat((self.tail[:-2](t), 2 * x[inside] - 1), 1))
        else:
            t = self.tail(t)
        return (t[..., : height * self.spec.scale, : width * self.spec.scale] + 1) / 2

    def _mirrored(self, length: int, device: torch.device) -> Tensor:
        """Positions of a row with the margin to both sides, the edge not repeated, rounded up to a multiple of four.

        Of at least two deep pixels: the statistics of one alone say nothing. By index, since torch's own reflection
        refuses a margin as wide as the picture; where it is wider, the reflection is reflected.
        """
        whole = max(8, length + -length % 4)
        period = (2 * torch.arange(length, device=device)[-1]).clamp(min=1)  # a tensor: ONNX takes no other divisor
        place = torch.arange(-self.margin, whole + self.margin, device=device) % period
        return torch.minimum(place, period - place)
