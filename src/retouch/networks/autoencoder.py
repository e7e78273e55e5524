"""The small convolutional denoising autoencoder of the usual demonstration on digits.

Vincent, Larochelle, Bengio, Manzagol, "Extracting and Composing Robust Features with Denoising Autoencoders", ICML
2008; convolutional, with pooling, as Chollet, "Building Autoencoders in Keras", 2016, has it.
"""

from __future__ import annotations

from torch import Tensor, nn

from retouch.networks.spec import Spec
from retouch.networks.translation import mirrored

_MULTIPLE = 4


class Autoencoder(nn.Module):
    """Twice 3 x 3 convolution, ReLU, maximum of 2 x 2; twice convolution, ReLU, doubling by repetition; one more.

    ``width``: of all layers within, 32 in the demonstration: 28,353 numbers for grey pictures. ``forward``: ``(B,
    channels, H, W)``, any size (lengthened by reflection to a multiple of 4 and cut again) -> the same shape in [0, 1],
    by a sigmoid. Raises ``ValueError`` for sizes below 1.
    """

    def __init__(self, width: int = 32, channels: int = 1) -> None:
        super().__init__()
        if min(width, channels) < 1:
            raise ValueError(f"width and channels are at least 1, not {width}, {channels}")

        def layer(a: int, after: nn.Module) -> list[nn.Module]:
            return [nn.Conv2d(a, width, 3, padding=1), nn.ReLU(True), after]

        self.encoder = nn.Sequential(*layer(channels, nn.MaxPool2d(2)), *layer(width, nn.MaxPool2d(2)))
        self.decoder = nn.Sequential(
            *layer(width, nn.Upsample(scale_factor=2)),
            *layer(width, nn.Upsample(scale_factor=2)),
            nn.Conv2d(width, channels, 3, padding=1),
        )
        # 1 + 2 + 4 + 2 + 1 pixels of the convolutions, and what pooling puts together
        self.spec = Spec(channels=channels, halo=16, multiple=_MULTIPLE)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        made: Tensor = self.decoder(self.encoder(mirrored(x, _MULTIPLE))).sigmoid()
        return made[..., :height, :width]
