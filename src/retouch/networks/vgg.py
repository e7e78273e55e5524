"""The convolutions of VGG16 and VGG19, whose activations serve as a measure of likeness.

Simonyan, Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015, table 1, columns
D and E. The layers are named as torchvision names them, so that its weights fit.
"""

from __future__ import annotations

from torch import nn

from retouch.image.errors import OptionError, unknown
from retouch.networks.layers import NamedLayers, NamedStep

_BLOCKS = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
_WIDTHS = (64, 128, 256, 512, 512)
# of ImageNet's training pictures, RGB in [0, 1]: what the published weights expect to be taken off and divided by
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class VGGFeatures(NamedLayers):
    """Activations of VGG16 or VGG19 after chosen layers, with ImageNet's normalisation inside: see ``NamedLayers``.

    ``depth``: 16 or 19. ``pooling``: "max" as published, or "average" (smoother gradients; Gatys et al. 2016, section
    2). The weights are a state dict with torchvision's keys (``features.0.weight`` ...); without one they are random.

    ``convB_C`` is the output of convolution C of block B, both from 1, ``reluB_C`` that of the ReLU after it, and
    ``poolB`` that of the pooling which ends the block. In VGG16 relu1_2, relu2_2, relu3_3, relu4_3 and relu5_3 come
    last before each pooling; relu5_4 of VGG19 is phi_5,4 of SRGAN.
    """

    def __init__(self, depth: int = 16, pooling: str = "max") -> None:
        if depth not in _BLOCKS:
            raise OptionError(f"VGG: depth is 16 or 19, not {depth}")
        if pooling not in ("max", "average"):
            raise OptionError(unknown("pooling", pooling, ["max", "average"], "of VGG"))
        super().__init__(f"VGG{depth}", _MEAN, _DEVIATION)
        layers: list[nn.Module] = []
        self._names: list[str] = []
        inputs = 3
        for block, (count, width) in enumerate(zip(_BLOCKS[depth], _WIDTHS, strict=True), 1):
            for convolution in range(1, count + 1):
                layers += [nn.Conv2d(inputs, width, 3, padding=1), nn.ReLU(inplace=True)]
                self._names += [f"conv{block}_{convolution}", f"relu{block}_{convolution}"]
                inputs = width
            layers.append(nn.MaxPool2d(2) if pooling == "max" else nn.AvgPool2d(2))
            self._names.append(f"pool{block}")
        self.depth = depth
        self.features = nn.Sequential(*layers)
        self.freeze()

    def steps(self) -> list[NamedStep]:
        return list(zip(self._names, self.features, strict=True))
