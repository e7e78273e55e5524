"""The perceptual U-Net: a classifier's convolutions as encoder, pixel shuffles as decoder.

fastai's DynamicUnet (Howard, Gugger et al., fastai 1.0, course v3 lesson 7, 2019) and its options in DeOldify (Antic,
2019), after Ronneberger, Fischer, Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation", MICCAI 2015.
ICNR: Aitken et al., "Checkerboard artifact free sub-pixel convolution", 2017; the blur after a shuffle: Sugawara,
Shiota, Kiya, 2018; self-attention: Zhang, Goodfellow, Metaxas, Odena, ICML 2019, section 3.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

from retouch.networks.efficientnet import EfficientNetStages
from retouch.networks.resnet import ResNetStages
from retouch.networks.spec import Spec

ENCODERS = ("resnet18", "resnet34", "resnet50", "efficientnet-lite0")
NORMS = ("weight", "batch", "spectral", "none")
OUTPUTS = ("picture", "residual", "chroma")
_HALO = 3  # in pixels of the deepest activations; the theoretical field is far wider, what it weighs is not


def make_encoder(name: str, stages: int = 5) -> ResNetStages | EfficientNetStages:
    """A stage list by name, with fresh weights; ``ValueError`` for an unknown one. A new encoder has a line here.

    What the U-Net asks of it: ``forward`` gives the activations after each halving, ``widths`` their channels, ``mean``
    and ``deviation`` how it wants pictures normalised.
    """
    if name == "efficientnet-lite0":
        return EfficientNetStages(stages)
    if name in ENCODERS:
        return ResNetStages(int(name.removeprefix("resnet")), stages)
    raise ValueError(f"encoder is one of {', '.join(ENCODERS)}, not {name!r}")


class Convolution(nn.Sequential):
    """Convolution, ReLU, and the norm: fastai's order. ``weight`` and ``spectral`` norm the kernel itself."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, *, norm: str, active: bool = True) -> None:
        convolution = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=norm != "batch")
        nn.init.kaiming_normal_(convolution.weight)
        if convolution.bias is not None:
            nn.init.zeros_(convolution.bias)
        layers: list[nn.Module] = [_normed(convolution, norm)]
        if active:
            layers.append(nn.ReLU())
        if norm == "batch":
            layers.append(nn.BatchNorm2d(outputs))
        super().__init__(*layers)


def _normed(module: nn.Module, norm: str) -> nn.Module:
    made: nn.Module = module
    if norm == "weight":
        made = weight_norm(module)
    elif norm == "spectral":
        made = spectral_norm(module)
    return made


class PixelShuffleICNR(nn.Module):
    """``(B, inputs, H, W)`` -> ``(B, outputs, 2 H, 2 W)``: 1 x 1 convolution, ReLU, pixel shuffle.

    The four kernels of each output start alike (ICNR), so that at first it enlarges by nearest neighbours. ``blur``: a
    2 x 2 mean after it, the edge repeated at the top and left, takes out what is left of a checkerboard.
    """

    def __init__(self, inputs: int, outputs: int, *, norm: str, blur: bool) -> None:
        super().__init__()
        convolution = nn.Conv2d(inputs, 4 * outputs, 1, bias=norm != "batch")
        kernel = torch.empty(outputs, inputs, 1, 1)
        nn.init.kaiming_normal_(kernel)
        with torch.no_grad():
            convolution.weight.copy_(kernel.repeat_interleave(4, dim=0))
            if convolution.bias is not None:
                convolution.bias.zero_()
        self.convolution = _normed(convolution, norm)
        self.norm = nn.BatchNorm2d(4 * outputs) if norm == "batch" else None
        self.blur = blur

    def forward(self, x: Tensor) -> Tensor:
        y = self.convolution(x)
        if self.norm is not None:
            y = self.norm(y)
        y = functional.pixel_shuffle(functional.relu(y), 2)
        if self.blur:
            y = functional.avg_pool2d(functional.pad(y, (1, 0, 1, 0), mode="replicate"), 2, stride=1)
        return y


class SelfAttention(nn.Module):
    """``x + gamma attention(x)`` over all pixels, gamma from 0: ``(B, C, H, W)`` -> the same; memory grows with H W.

    Queries and keys of C / 8 channels, kernels with spectral norm, without bias.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(1, channels // 8)
        self.query = spectral_norm(nn.Conv2d(channels, inner, 1, bias=False))
        self.key = spectral_norm(nn.Conv2d(channels, inner, 1, bias=False))
        self.value = spectral_norm(nn.Conv2d(channels, channels, 1, bias=False))
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (layer(x).flatten(2).transpose(1, 2) for layer in (self.query, self.key, self.value))
        mixed = functional.scaled_dot_product_attention(query, key, value, scale=1.0)
        return x + self.gamma * mixed.transpose(1, 2).reshape(x.shape)


class UnetBlock(nn.Module):
    """What comes from below, doubled, beside the encoder's activations of that size; two convolutions.

    ``up``: channels halved by the pixel shuffle, or ``width`` where that is given. ``skip``: channels of the encoder.
    ``outputs``: channels of both convolutions.
    """

    def __init__(
        self,
        below: int,
        up: int,
        skip: int,
        outputs: int,
        *,
        norm: str,
        blur: bool,
        self_attention: bool,
    ) -> None:
        super().__init__()
        self.shuffle = PixelShuffleICNR(below, up, norm=norm, blur=blur)
        self.skip_norm = nn.BatchNorm2d(skip)
        self.conv1 = Convolution(up + skip, outputs, norm=norm)
        self.conv2 = Convolution(outputs, outputs, norm=norm)
        self.attention = SelfAttention(outputs) if self_attention else None

    def forward(self, below: Tensor, skip: Tensor) -> Tensor:
        # an odd size was rounded up on the way down, so the shuffle may have one row or column too many
        up = self.shuffle(below)[..., : skip.shape[-2], : skip.shape[-1]]
        joined = functional.relu(torch.cat((up, self.skip_norm(skip)), dim=1))
        y: Tensor = self.conv2(self.conv1(joined))
        return y if self.attention is None else self.attention(y)


class UNet(nn.Module):
    """A picture to a picture of the same size, through any stage list.

    ``encoder``: one of ``ENCODERS``; ``stages``: how many halvings of it are used.
    ``norm``: of the decoder's convolutions. ``blur``: after each pixel shuffle but the last one, which has none.
    ``self_attention``: in the third block from the top. ``cross``: the input itself joins the last block, through a
    residual block. ``bounds``: the output passes a sigmoid onto this range of normalised values (DeOldify: -3, 3).
    ``decoder``: channels of the middle, of each block and of the last shuffle, thinner than published; None is as
    published: the middle doubles and halves, each block keeps what it concatenates, the last one halves it.
    ``output``: "picture"; "residual", added to the input; "chroma": only the luma of the input is looked at (BT.601,
    full range), and it stays, the two colour differences are predicted. The last two begin with the
    input, or without any colour.
    ``fixed_statistics``: batch normalisations of the encoder keep the statistics that they came with, in training too.

    ``forward``: ``(B, 3, H, W)`` in [0, 1], any size -> the same shape, not clipped. Zero padding. With the defaults:
    41,229,213 numbers, 41,413,534 with self-attention. Raises ``ValueError`` for values that do not go
    together.
    """

    def __init__(
        self,
        encoder: str = "resnet34",
        stages: int = 5,
        norm: str = "weight",
        blur: bool = True,
        self_attention: bool = False,
        cross: bool = True,
        bounds: tuple[float, float] | None = None,
        decoder: tuple[int, ...] | None = None,
        output: str = "picture",
        fixed_statistics: bool = False,
    ) -> None:
        super().__init__()
        if norm not in NORMS:
            raise ValueError(f"norm is one of {', '.join(NORMS)}, not {norm!r}")
        if output not in OUTPUTS:
            raise ValueError(f"output is one of {', '.join(OUTPUTS)}, not {output!r}")
        if bounds is not None and (output != "picture" or not bounds[0] < bounds[1]):
            raise ValueError("bounds are (low, high) of a network whose output is a picture")
        if self_attention and stages < 3:
            raise ValueError("self-attention needs at least 3 stages")
        self.encoder = make_encoder(encoder, stages)
        self.register_buffer("mean", torch.tensor(self.encoder.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(self.encoder.deviation).view(1, 3, 1, 1), persistent=False)
        self.output, self.cross, self.bounds, self.fixed_statistics = output, cross, bounds, fixed_statistics
        channels = self.encoder.widths
        middle, blocks, last = _plan(channels, decoder)
        self.middle_norm = nn.BatchNorm2d(channels[-1])
        self.middle = nn.Sequential(
            Convolution(channels[-1], middle[0], norm=norm), Convolution(middle[0], middle[1], norm=norm)
        )
        self.blocks = nn.ModuleList()
        below = middle[1]
        for index, (up, outputs) in enumerate(blocks):
            attends = self_attention and index == len(blocks) - 3
            skip = channels[-2 - index]
            self.blocks.append(UnetBlock(below, up, skip, outputs, norm=norm, blur=blur, self_attention=attends))
            below = outputs
        self.shuffle = PixelShuffleICNR(below, last, norm=norm, blur=False)
        joined = last + 3 if cross else last
        if cross:
            self.join = nn.Sequential(Convolution(joined, joined, norm=norm), Convolution(joined, joined, norm=norm))
        self.last = Convolution(joined, 2 if output == "chroma" else 3, 1, norm=norm, active=False)
        if output != "picture":
            _silence(self.last, norm)
        self.spec = Spec(channels=3, halo=_HALO * 2**stages, multiple=2**stages, exact=False)

    mean: Tensor
    deviation: Tensor

    def train(self, mode: bool = True) -> UNet:
        super().train(mode)
        if self.fixed_statistics:
            for module in self.encoder.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        shown = _luma(x).expand_as(x) if self.output == "chroma" else x
        normal: Tensor = (shown - self.mean) / self.deviation
        *skips, deepest = self.encoder(normal)
        y: Tensor = self.middle(functional.relu(self.middle_norm(deepest)))
        for block, skip in zip(self.blocks, reversed(skips), strict=True):
            y = block(y, skip)
        y = self.shuffle(y)[..., : x.shape[-2], : x.shape[-1]]
        if self.cross:
            y = torch.cat((y, normal.to(y.dtype)), dim=1)
            y = y + self.join(y)
        y = self.last(y)
        if self.output == "residual":
            return x + y  # in the input's precision: half of it would round the picture itself
        if self.output == "chroma":
            return _coloured(x, y)
        if self.bounds is not None:
            low, high = self.bounds
            y = torch.sigmoid(y) * (high - low) + low
        return y * self.deviation + self.mean


def _plan(widths: Sequence[int], decoder: Sequence[int] | None) -> tuple[tuple[int, int], list[tuple[int, int]], int]:
    """Channels of the middle's two convolutions, of each block (after its shuffle, in the end), of the last shuffle."""
    count = len(widths) - 1
    if decoder is not None:
        if len(decoder) != count + 2 or min(decoder) < 1:
            raise ValueError(f"decoder is {count + 2} widths: the middle, {count} blocks, the last shuffle")
        return (decoder[0], decoder[0]), [(width, width) for width in decoder[1:-1]], decoder[-1]
    below, blocks = widths[-1], []
    for index in range(count):
        joined = below // 2 + widths[-2 - index]
        outputs = joined // 2 if index == count - 1 else joined
        blocks.append((below // 2, outputs))
        below = outputs
    return (2 * widths[-1], widths[-1]), blocks, below


def _silence(layer: Convolution, norm: str) -> None:
    """Make a last convolution give zeros, in the way that its norm leaves it able to learn."""
    if norm == "batch":
        nn.init.zeros_(layer[-1].weight)  # type: ignore[arg-type]
    elif norm == "weight":
        nn.init.zeros_(layer[0].parametrizations.weight.original0)  # type: ignore[union-attr, arg-type]
    elif norm == "none":
        nn.init.zeros_(layer[0].weight)  # type: ignore[arg-type]
    # a spectral norm cannot be zero: such a network starts from noise


def _luma(x: Tensor) -> Tensor:
    return 0.299 * x[:, :1] + 0.587 * x[:, 1:2] + 0.114 * x[:, 2:]


def _coloured(x: Tensor, chroma: Tensor) -> Tensor:
    """The luma of ``x`` with other colour differences, ``(B, 2, H, W)`` around 0; BT.601, full range, as in JPEG."""
    luma, chroma = _luma(x.float()), chroma.float()
    blue, red = chroma[:, :1], chroma[:, 1:]
    green = luma - (0.114 * 1.772 * blue + 0.299 * 1.402 * red) / 0.587
    return torch.cat((luma + 1.402 * red, green, luma + 1.772 * blue), dim=1)
