"""PatchGAN: a critic that judges each patch of a picture, and the same as a critic of the whole.

Isola et al. 2017 (see ``pix2pix``), section 6.1.2; as CycleGAN and DualGAN use it.
"""

from __future__ import annotations

from torch import Tensor, nn

from retouch.networks.translation import Norm, check_norm, make_norm, start_normal

_WIDEST = 8


class PatchGAN(nn.Module):
    """``layers`` 4 x 4 convolutions of stride 2 from ``width`` channels on, one of stride 1, and one to a single value.

    LeakyReLU .2 after all but the last; normalised but for the first and the last. What one value sees: 16, 34, 70,
    142, 286 pixels with 1 to 5 layers; with 0 a single pixel (1 x 1 convolutions: 64, 128, 1). ``channels``: of what it
    judges; 6 where the critic is conditional and gets input and output one behind the other. ``whole``: side of the
    pictures that it judges as a whole, by a linear layer in place of the last convolution; 0 judges patches.

    ``forward``: ``(B, channels, H, W)`` in [0, 1] -> logits ``(B, 1, h, w)``, or ``(B, 1)`` with ``whole``; [-1, 1]
    inside. 2.77 million numbers with 3 layers. Raises ``ValueError`` for sizes it cannot have, in ``forward`` for a
    picture of another side than ``whole``.
    """

    def __init__(
        self, layers: int = 3, width: int = 64, norm: Norm = "batch", channels: int = 3, whole: int = 0
    ) -> None:
        super().__init__()
        check_norm(norm)
        if min(layers, whole) < 0 or min(width, channels) < 1:
            raise ValueError(
                f"layers and whole are at least 0, width and channels at least 1, not {layers}, {whole}, {width}, "
                f"{channels}"
            )
        kernel = 4 if layers else 1
        last = width
        made: list[nn.Module] = [
            nn.Conv2d(channels, width, kernel, stride=2 if layers else 1, padding=kernel // 3),
            nn.LeakyReLU(0.2, True),
        ]
        for level in range(1, max(2, layers + 1)):
            b = width * min(_WIDEST, 1 << level)
            stride = 2 if level < layers else 1
            made += [nn.Conv2d(last, b, kernel, stride=stride, padding=kernel // 3), make_norm(norm, b)]
            made.append(nn.LeakyReLU(0.2, True))
            last = b
        self.features = nn.Sequential(*made)
        self.whole = whole
        if whole:
            side = whole
            for _ in range(layers):
                side //= 2
            side -= 1 if layers else 0  # the layer of stride 1 loses a pixel
            if side < 1:
                raise ValueError(f"{layers} layers leave nothing of pictures of {whole} pixels")
            self.head: nn.Module = nn.Sequential(nn.Flatten(), nn.Linear(last * side * side, 1))
        else:
            self.head = nn.Conv2d(last, 1, kernel, padding=kernel // 3)
        start_normal(self)

    def forward(self, x: Tensor) -> Tensor:
        if self.whole and tuple(x.shape[2:]) != (self.whole, self.whole):
            raise ValueError(f"judges pictures of {self.whole} x {self.whole}, not {x.shape[3]} x {x.shape[2]}")
        logits: Tensor = self.head(self.features(2 * x - 1))
        return logits


def receptive_field(layers: int) -> int:
    """How many pixels along an axis one value of a ``PatchGAN`` with ``layers`` strided layers depends on."""
    if not layers:
        return 1
    field = 4 + 3  # the head, and the layer of stride 1 before it
    for _ in range(layers):
        field = 2 * field + 2
    return field
