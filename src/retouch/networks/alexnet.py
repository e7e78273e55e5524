"""The convolutions of AlexNet, whose features are inverted and maximised.

Krizhevsky, Sutskever, Hinton, "ImageNet Classification with Deep Convolutional Neural Networks", NeurIPS 2012, in the
form of Krizhevsky, "One weird trick for parallelizing convolutional neural networks", 2014, that torchvision has
weights of: one column, without local response normalisation.
"""

from __future__ import annotations

from torch import nn

from retouch.networks.layers import NamedLayers, NamedStep

_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# channels, kernel, stride, padding, and whether a pooling follows
_CONVOLUTIONS = ((64, 11, 4, 2, True), (192, 5, 1, 2, True), (384, 3, 1, 1, False), (256, 3, 1, 1, False),
                 (256, 3, 1, 1, True))  # fmt: skip


class AlexNetFeatures(NamedLayers):
    """Activations of AlexNet after chosen layers, with ImageNet's normalisation inside: see ``NamedLayers``.

    The weights are a state dict with torchvision's keys (``features.0.weight`` ...); without one they are random.
    ``convN`` is the output of convolution N, from 1, ``reluN`` that of the ReLU after it; ``pool1``, ``pool2`` and
    ``pool5`` are those of the poolings (3 x 3, stride 2).
    """

    def __init__(self) -> None:
        super().__init__("AlexNet", _MEAN, _DEVIATION)
        layers: list[nn.Module] = []
        self._names: list[str] = []
        inputs = 3
        for number, (width, kernel, stride, padding, pools) in enumerate(_CONVOLUTIONS, 1):
            layers += [nn.Conv2d(inputs, width, kernel, stride=stride, padding=padding), nn.ReLU(inplace=True)]
            self._names += [f"conv{number}", f"relu{number}"]
            inputs = width
            if pools:
                layers.append(nn.MaxPool2d(3, stride=2))
                self._names.append(f"pool{number}")
        self.features = nn.Sequential(*layers)
        self.freeze()

    def steps(self) -> list[NamedStep]:
        return list(zip(self._names, self.features, strict=True))
