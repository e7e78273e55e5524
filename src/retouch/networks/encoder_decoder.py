"""The convolutional encoder-decoder translator: DCGAN's discriminator as encoder, its generator as decoder.

The form of the repository img2img (lsqpku, 2017), built after Radford, Metz, Chintala, "Unsupervised Representation
Learning with Deep Convolutional Generative Adversarial Networks", ICLR 2016: no skips, a picture goes through a
sixteenth of its sides.
"""

from __future__ import annotations

import itertools

from torch import Tensor, nn
from torch.nn import functional

from retouch.networks.spec import Spec
from retouch.networks.translation import mirrored, start_normal

_KERNEL = 5


class EncoderDecoder(nn.Module):
    """``Conv5 s2, LeakyReLU .2``, three times ``Conv5 s2 BN LeakyReLU .2``; three ``Deconv5 s2 BN ReLU``, one, tanh.

    ``width``: channels after the first halving (then twice, four and eight times as many). ``side``: the published form
    has 64 and takes pictures of 64 x 64 only; 0 takes any size, lengthened by reflection to a multiple of 16 and cut
    again. Both have the same weights, and give the same at 64 x 64. ``forward``: ``(B, channels, H, W)`` in [0, 1] ->
    the same shape in [0, 1]; inside it is [-1, 1], as published.

    8.62 million numbers. The repository's fully connected layer behind the encoder feeds nothing and is left out. Its
    batch normalisation keeps running statistics, as DCGAN's. Halving pads as TensorFlow's "SAME" does: one pixel at
    the upper left, two at the lower right. Raises ``ValueError`` for sizes it cannot have, and for a picture of another
    size in the published form.
    """

    def __init__(self, width: int = 64, channels: int = 3, side: int = 0) -> None:
        super().__init__()
        if min(width, channels) < 1 or side < 0 or side % 16:
            raise ValueError(
                f"width and channels are at least 1 and side a multiple of 16, not {width}, {channels}, {side}"
            )
        self.side = side
        widths = [width << level for level in range(4)]
        self.encoder = nn.ModuleList(
            nn.Conv2d(a, b, _KERNEL, stride=2) for a, b in itertools.pairwise([channels, *widths])
        )
        self.encoder_norms = nn.ModuleList(nn.BatchNorm2d(b) for b in widths[1:])
        back = [*widths[::-1], channels]
        self.decoder = nn.ModuleList(nn.ConvTranspose2d(a, b, _KERNEL, stride=2) for a, b in itertools.pairwise(back))
        self.decoder_norms = nn.ModuleList(nn.BatchNorm2d(b) for b in back[1:-1])
        start_normal(self)
        self.spec = Spec(channels=channels, halo=64, multiple=16, exact=False)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        if self.side and (height, width) != (self.side, self.side):
            raise ValueError(f"the published form takes pictures of {self.side} x {self.side}, not {width} x {height}")
        y = mirrored(2 * x - 1, 16)
        for level, convolution in enumerate(self.encoder):
            y = convolution(functional.pad(y, (1, 2, 1, 2)))
            if level:
                y = self.encoder_norms[level - 1](y)
            y = functional.leaky_relu(y, 0.2)
        for level, deconvolution in enumerate(self.decoder):
            tall, wide = 2 * y.shape[-2], 2 * y.shape[-1]
            y = deconvolution(y)[..., 1 : 1 + tall, 1 : 1 + wide]  # the adjoint of the padding above
            y = functional.relu(self.decoder_norms[level](y)) if level < 3 else functional.tanh(y)
        made: Tensor = (y[..., :height, :width] + 1) / 2
        return made
