"""A small classifier that is trained from scratch: blocks of one convolution and a pooling, then two layers.

Chollet, "Building powerful image classification models using very little data", the Keras blog, 2016: three blocks of
32, 32 and 64 channels on pictures of 150 pixels, 64 units, dropout of a half.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional


class _Block(nn.Sequential):
    """A convolution, the largest of 2 x 2, and then what else it is made of, which has a quarter of the work to do."""

    def forward(self, x: Tensor) -> Tensor:
        convolution, *others = self
        x = functional.max_pool2d(convolution(x), 2)
        for layer in others:
            x = layer(x)
        return x


class SmallCNN(nn.Module):
    """Convolutions 3 x 3 without padding, the largest of 2 x 2, and ReLU, once for each of ``widths``; then two layers.

    ``side``: of the square pictures that it takes. ``channels``: 3, or 1 for grey pictures. ``hidden``: units between
    the last block and the classes. ``dropout``: before the last layer, in training. ``norm``: a batch normalisation
    before each ReLU, which the tutorial has not. ``forward``: ``(B, channels, side, side)`` in [0, 1] -> logits
    ``(B, classes)``. As in the tutorial, with two classes, 1,212,578 numbers are learned; there ReLU comes before the
    largest of 2 x 2, which gives the same. Raises ``ValueError`` for a side that leaves no pixel, and for pictures of
    another size.
    """

    def __init__(
        self,
        classes: int = 2,
        side: int = 150,
        channels: int = 3,
        widths: Sequence[int] = (32, 32, 64),
        hidden: int = 64,
        dropout: float = 0.5,
        norm: bool = False,
    ) -> None:
        super().__init__()
        self.side, self.channels = side, channels
        blocks: list[nn.Module] = []
        inputs, left = channels, side
        for width in widths:
            convolution = nn.Conv2d(inputs, width, 3, bias=not norm)
            normed = [nn.BatchNorm2d(width)] if norm else []
            blocks.append(_Block(convolution, *normed, nn.ReLU()))
            inputs, left = width, (left - 2) // 2
            if left < 1:
                raise ValueError(f"side: {side} pixels are too few for {len(widths)} blocks")
        self.blocks = nn.Sequential(*blocks)
        self.hidden = nn.Sequential(nn.Linear(inputs * left**2, hidden), nn.ReLU())
        self.dropout = nn.Dropout(dropout)
        self.classify = nn.Linear(hidden, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):  # Keras's: uniform by Glorot, biases of zero
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        if tuple(x.shape[1:]) != (self.channels, self.side, self.side):
            raise ValueError(f"takes {self.channels} x {self.side} x {self.side}, not {tuple(x.shape[1:])}")
        logits: Tensor = self.classify(self.dropout(self.hidden(self.blocks(x * 2 - 1).flatten(1))))
        return logits
