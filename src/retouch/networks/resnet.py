"""ResNet: the stages of the classifiers, as encoders; torchvision's key names.

He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, table 1 and section 4.1. ResNet-50 has
the stride of a bottleneck in its 3 x 3 convolution, as torchvision's weights do ("v1.5").
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from retouch.networks.layers import NamedLayers, NamedStep

_MEAN = (0.485, 0.456, 0.406)
_DEVIATION = (0.229, 0.224, 0.225)


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions with batch normalisation, added to the input: ``(B, inputs, H, W)`` -> ``width``."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(inputs, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return functional.relu(y + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3 and 1 x 1 convolutions, added to the input: ``(B, inputs, H, W)`` -> ``4 width`` channels."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.downsample = _shortcut(inputs, 4 * width, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.bn1(self.conv1(x)))
        y = functional.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return functional.relu(y + (x if self.downsample is None else self.downsample(x)))


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs))


_DEPTHS: dict[int, tuple[type[BasicBlock] | type[Bottleneck], tuple[int, int, int, int]]] = {
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
}


class ResNetStages(nn.Module):
    """The convolutions of a ResNet: the activations after each halving.

    ``depth``: 18, 34 or 50. ``stages``: how many halvings, 2 to 5. ``forward``: a normalised picture ``(B, 3, H, W)``
    -> the activations ``[(B, widths[0], H / 2, W / 2), (B, widths[1], H / 4, W / 4), ...]``, odd sizes rounded up:
    after the first convolution, then after each group of blocks. ``mean``, ``deviation``: what the weights were trained
    with. Raises ``ValueError`` for another depth or number of stages.
    """

    mean = _MEAN
    deviation = _DEVIATION

    def __init__(self, depth: int = 34, stages: int = 5) -> None:
        super().__init__()
        if depth not in _DEPTHS:
            raise ValueError(f"depth is one of {', '.join(map(str, _DEPTHS))}, not {depth}")
        if not 2 <= stages <= 5:
            raise ValueError(f"stages is 2 to 5, not {stages}")
        block, repeats = _DEPTHS[depth]
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.groups: list[str] = []
        """Names of the groups of blocks, in order."""
        inputs, widths = 64, [64]
        for index in range(stages - 1):
            width = 64 * 2**index
            blocks: list[nn.Module] = [block(inputs, width, stride=1 if index == 0 else 2)]
            inputs = width * block.expansion
            blocks += [block(inputs, width) for _ in range(repeats[index] - 1)]
            self.groups.append(f"layer{index + 1}")
            self.add_module(self.groups[-1], nn.Sequential(*blocks))
            widths.append(inputs)
        self.widths = tuple(widths)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> list[Tensor]:
        y = functional.relu(self.bn1(self.conv1(x)))
        found = [y]
        y = functional.max_pool2d(y, 3, stride=2, padding=1)
        for name in self.groups:
            y = self.get_submodule(name)(y)
            found.append(y)
        return found


class ResNetFeatures(NamedLayers):
    """Activations of a ResNet after chosen layers, with its normalisation inside: see ``NamedLayers``.

    ``depth``: 18, 34 or 50. ``encoder`` holds the weights, under torchvision's keys. ``conv1``: the first convolution
    with its normalisation; ``relu1`` and ``pool1`` after it; ``layerG.B``: the output of block B, from 0, of group G,
    from 1, as torchvision counts them. Raises ``ValueError`` for another depth.
    """

    def __init__(self, depth: int = 34) -> None:
        super().__init__(f"ResNet-{depth}", _MEAN, _DEVIATION)
        self.encoder = ResNetStages(depth)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.freeze()

    def _first(self, x: Tensor) -> Tensor:
        normed: Tensor = self.encoder.bn1(self.encoder.conv1(x))
        return normed

    def steps(self) -> list[NamedStep]:
        found: list[NamedStep] = [("conv1", self._first), ("relu1", functional.relu), ("pool1", self.pool)]
        for group in self.encoder.groups:
            blocks = self.encoder.get_submodule(group)
            found += [(f"{group}.{index}", block) for index, block in enumerate(blocks.children())]
        return found
