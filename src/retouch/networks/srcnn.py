"""SRCNN: three convolutions from a bicubic enlargement to a sharp picture.

Dong, Loy, He, Tang, "Learning a Deep Convolutional Network for Image Super-Resolution", ECCV 2014, and "Image
Super-Resolution Using Deep Convolutional Networks", TPAMI 2016, section 3.
"""

from __future__ import annotations

from torch import Tensor, nn

from retouch.networks.spec import Spec


class SRCNN(nn.Module):
    """Patch extraction, non-linear mapping, reconstruction: ``Conv f1 (n1), ReLU, Conv f2 (n2), ReLU, Conv f3``.

    ``kernels``: sides (f1, f2, f3), odd; the papers use 9-1-5, 9-3-5 and 9-5-5. ``widths``: (n1, n2). ``channels``: 1
    for the luma, as published. ``forward``: the picture enlarged by bicubic interpolation, ``(B, channels, H, W)`` in
    [0, 1], any size -> the same shape. The papers train without padding; here each layer repeats the edge pixels, which
    changes nothing further than ``spec.halo`` from the border, and training leaves that rim out of the loss.

    Weights without biases: 8,032 (9-1-5), 24,416 (9-3-5), 57,184 (9-5-5), and 97 biases. Initialised as published:
    N(0, .001^2), biases 0. Raises ``ValueError`` for even kernels.
    """

    def __init__(
        self, kernels: tuple[int, int, int] = (9, 5, 5), widths: tuple[int, int] = (64, 32), channels: int = 1
    ) -> None:
        super().__init__()
        if len(kernels) != 3 or any(side < 1 or side % 2 == 0 for side in kernels):
            raise ValueError(f"kernels are three odd sides, not {kernels}")
        sizes = (channels, *widths, channels)
        layers: list[nn.Module] = []
        for index, side in enumerate(kernels):
            convolution = nn.Conv2d(
                sizes[index],
                sizes[index + 1],
                side,
                padding=side // 2,
                padding_mode="replicate" if side > 1 else "zeros",
            )
            nn.init.normal_(convolution.weight, std=0.001)
            assert convolution.bias is not None
            nn.init.zeros_(convolution.bias)
            layers += [convolution, nn.ReLU(inplace=True)]
        self.body = nn.Sequential(*layers[:-1])
        self.spec = Spec(channels=channels, halo=sum(side // 2 for side in kernels), enlarged=True)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x)
        return y
