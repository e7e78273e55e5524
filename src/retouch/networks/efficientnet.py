"""EfficientNet-Lite0: depthwise convolutions between 1 x 1 convolutions, as an encoder and as a classifier.

Tan, Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019, table 1; Liu, "Higher
accuracy on vision models with EfficientNet-Lite", TensorFlow blog, 2020: without squeeze-and-excitation, with ReLU6.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

# kernel, stride, expansion, channels, repeats
_GROUPS = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)


class SameConv2d(nn.Conv2d):
    """A convolution without bias whose output is ``ceil(size / stride)``, with TensorFlow's "SAME" zero padding.

    What does not divide evenly between the two sides goes to the bottom and to the right.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride=stride, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        missing = [max(0, (-(-size // stride) - 1) * stride + kernel - size) for size in x.shape[-2:]]
        if all(total == kernel - 1 for total in missing):  # the same on both sides: the convolution pads by itself
            return functional.conv2d(x, self.weight, self.bias, self.stride, kernel // 2, 1, self.groups)
        down, right = missing
        x = functional.pad(x, (right // 2, right - right // 2, down // 2, down - down // 2))
        return functional.conv2d(x, self.weight, self.bias, self.stride, 0, 1, self.groups)


class InvertedResidual(nn.Module):
    """1 x 1 to ``expansion`` times the channels, depthwise ``kernel`` x ``kernel``, 1 x 1; added where it can be."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        width = inputs * expansion
        self.expand = _normed(SameConv2d(inputs, width, 1)) if expansion > 1 else None
        self.depthwise = _normed(SameConv2d(width, width, kernel, stride, groups=width))
        self.project = _normed(SameConv2d(width, outputs, 1))
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else functional.relu6(self.expand(x))
        y = self.project(functional.relu6(self.depthwise(y)))
        made: Tensor = x + y if self.adds else y
        return made


def _normed(convolution: SameConv2d) -> nn.Sequential:
    """In one sequence, so that the normalisation can be folded into the convolution once it has been trained."""
    return nn.Sequential(convolution, nn.BatchNorm2d(convolution.out_channels, eps=1e-3, momentum=0.01))


class EfficientNetStages(nn.Module):
    """The convolutions of EfficientNet-Lite0: the activations before each halving, and the last ones.

    ``stages``: how many halvings, 2 to 5; blocks behind the last are left out. ``forward``: a normalised picture
    ``(B, 3, H, W)`` -> ``[(B, 16, H / 2, W / 2), (B, 24, H / 4, W / 4), (B, 40, ...), (B, 112, ...), (B, 320, ...)]``,
    odd sizes rounded up. ``mean``, ``deviation``: what the weights were trained with. Raises ``ValueError`` for
    another number of stages.
    """

    mean = (127 / 255,) * 3
    deviation = (128 / 255,) * 3

    def __init__(self, stages: int = 5) -> None:
        super().__init__()
        if not 2 <= stages <= 5:
            raise ValueError(f"stages is 2 to 5, not {stages}")
        self.stem = _normed(SameConv2d(3, 32, 3, stride=2))
        blocks: list[nn.Module] = []
        self.ends: list[int] = []
        """How many blocks come before the end of each stage."""
        inputs, halvings, widths = 32, 1, []
        for kernel, stride, expansion, outputs, repeats in _GROUPS:
            if stride == 2:
                self.ends.append(len(blocks))
                widths.append(inputs)
                halvings += 1
                if halvings > stages:
                    break
            for index in range(repeats):
                blocks.append(InvertedResidual(inputs, outputs, kernel, stride if index == 0 else 1, expansion))
                inputs = outputs
        else:
            self.ends.append(len(blocks))
            widths.append(inputs)
        self.blocks = nn.ModuleList(blocks)
        self.widths = tuple(widths)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def forward(self, x: Tensor) -> list[Tensor]:
        y = functional.relu6(self.stem(x))
        found = []
        for index, block in enumerate(self.blocks, 1):
            y = block(y)
            if index in self.ends:
                found.append(y)
        return found


class EfficientNetLite0(nn.Module):
    """The whole classifier, its normalisation inside.

    ``classes``: of the last layer. ``dropout``: before it, in training. ``forward``: pictures ``(B, 3, H, W)`` in
    [0, 1] (RGB; a single channel is taken as grey) -> logits ``(B, classes)``; ``pooled`` gives what the last layer
    sees, ``(B, width)``. Any size goes; the published weights were trained at ``side`` pixels. With 1000 classes
    4,652,008 numbers are learned. ``encoder`` is ``EfficientNetStages``, under its keys.
    """

    side = 224
    width = 1280
    mean: Tensor
    deviation: Tensor

    def __init__(self, classes: int = 1000, dropout: float = 0.2) -> None:
        super().__init__()
        self.encoder = EfficientNetStages()
        self.head = _normed(SameConv2d(self.encoder.widths[-1], self.width, 1))
        self.dropout = nn.Dropout(dropout)
        self.classify = nn.Linear(self.width, classes)
        self.register_buffer("mean", torch.tensor(self.encoder.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(self.encoder.deviation).view(1, 3, 1, 1), persistent=False)
        for module in self.head.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def pooled(self, x: Tensor) -> Tensor:
        """The mean over the picture of the last activations: ``(B, 3, H, W)`` in [0, 1] -> ``(B, width)``."""
        y = self.encoder((x - self.mean) / self.deviation)[-1]
        found: Tensor = functional.relu6(self.head(y)).mean((2, 3))
        return found

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classify(self.dropout(self.pooled(x)))
        return logits
