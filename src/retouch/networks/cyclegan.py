"""The generator of CycleGAN: a residual network after Johnson et al. 2016.

Zhu, Park, Isola, Efros, "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks", ICCV 2017,
section 7.2 of the arXiv version.
"""

from __future__ import annotations

from torch import Tensor, nn

from retouch.networks.spec import Spec
from retouch.networks.translation import Norm, check_norm, make_norm, mirrored, start_normal


class ResNetBlock(nn.Module):
    """``x + [reflect, Conv3, norm, ReLU, reflect, Conv3, norm](x)``."""

    def __init__(self, width: int, norm: Norm) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(width, width, 3),
            make_norm(norm, width),
            nn.ReLU(inplace=True),
            nn.ReflectionPad2d(1),
            nn.Conv2d(width, width, 3),
            make_norm(norm, width),
        )

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = x + self.body(x)
        return made


class ResNetGenerator(nn.Module):
    """``c7s1-64, d128, d256, blocks x R256, u128, u64, c7s1-3``, reflection padding, instance normalisation, tanh.

    ``blocks``: 9 for pictures of 256 pixels and more, 6 for 128. ``width``: of the first layer. ``norm``: see
    ``networks.translation``. ``channels``: of both pictures. ``forward``: ``(B, channels, H, W)`` in [0, 1] -> the same
    shape in [0, 1]; [-1, 1] inside. Any size: sides are lengthened by reflection to multiples of 4, of at least 16
    pixels, and cut again.

    11.4 million numbers with 9 blocks, 7.8 million with 6. Raises ``ValueError`` for sizes below 1.
    """

    def __init__(self, blocks: int = 9, width: int = 64, norm: Norm = "instance", channels: int = 3) -> None:
        super().__init__()
        check_norm(norm)
        if min(blocks, width, channels) < 1:
            raise ValueError(f"blocks, width and channels are at least 1, not {blocks}, {width}, {channels}")
        layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(channels, width, 7)]
        layers += [make_norm(norm, width), nn.ReLU(inplace=True)]
        for a, b in ((width, 2 * width), (2 * width, 4 * width)):
            layers += [nn.Conv2d(a, b, 3, stride=2, padding=1), make_norm(norm, b), nn.ReLU(inplace=True)]
        layers += [ResNetBlock(4 * width, norm) for _ in range(blocks)]
        for a, b in ((4 * width, 2 * width), (2 * width, width)):
            layers += [nn.ConvTranspose2d(a, b, 3, stride=2, padding=1, output_padding=1)]
            layers += [make_norm(norm, b), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(width, channels, 7), nn.Tanh())
        start_normal(self)
        # instance normalisation sees the whole picture, whatever the convolutions do
        halo = 3 + 1 + 2 + 4 * 2 * blocks + 4 + 2 + 3
        self.spec = Spec(channels=channels, halo=halo, multiple=4, exact=False)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        made: Tensor = self.layers(mirrored(2 * x - 1, 4, least=16))
        return (made[..., :height, :width] + 1) / 2
