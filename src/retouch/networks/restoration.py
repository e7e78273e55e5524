"""The network that ``restore`` runs: first the picture itself is mended, then what lies over it is taken off."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from retouch.networks.residual_unet import ResidualUNet
from retouch.networks.spec import Spec


class RestorationNet(nn.Module):
    """Two ``ResidualUNet`` one after the other, each only where it is asked for: ``whole``, then ``overlay``.

    Text and holes are few pixels and large errors, noise, JPEG and blur small errors everywhere. One network that
    learned both kept getting better at the first and hardly at JPEG, which alone it learns in minutes; so each has its
    own.

    ``widths``, ``blocks``, ``channels``: of each of the two. ``levels``: planes beside the picture. The last one tells
    how much of the change of ``overlay`` is made (1, or 0 for none); the others are told to ``whole``, which changes
    nothing where they are all 0. ``forward``: ``(B, channels + levels, H, W)``, any size -> ``(B, channels, H, W)``,
    not clipped; with fresh weights, or told of nothing, the picture itself. What is not asked for costs nothing, unless
    it is being trained. Raises ``ValueError`` as ``ResidualUNet``, and for fewer than two levels.
    """

    def __init__(
        self,
        widths: Sequence[int] = (32, 64, 96),
        blocks: Sequence[int] = (2, 3, 4),
        channels: int = 3,
        levels: int = 5,
    ) -> None:
        super().__init__()
        if levels < 2:
            raise ValueError(f"levels are at least 2, not {levels}")
        self.whole = ResidualUNet(widths, blocks, channels, levels)
        self.overlay = ResidualUNet(widths, blocks, channels, levels)
        first, second = self.whole.spec, self.overlay.spec
        self.spec = Spec(
            channels=channels,
            halo=first.halo + second.halo,
            multiple=first.multiple,
            exact=first.exact,
            levels=levels,
        )

    def forward(self, x: Tensor) -> Tensor:
        picture, planes = self.spec.divided(x)
        levels, asked = planes[:, :-1], planes[:, -1:]
        wanted = (levels.amax(1, keepdim=True) > 0).to(picture.dtype)
        if self._always(self.whole) or bool(wanted.any()):
            mended = self.whole(torch.cat((picture, levels, torch.zeros_like(asked)), 1))
            picture = picture + wanted * (mended - picture)
        if self._always(self.overlay) or bool(asked.any()):
            off = self.overlay(torch.cat((picture, torch.zeros_like(levels), asked), 1))
            picture = picture + asked * (off - picture)
        return picture

    def _always(self, part: nn.Module) -> bool:
        """Whether ``part`` runs unasked: a weight that learns must have a gradient, and a graph that is exported knows
        no conditions."""
        learns = self.training and any(parameter.requires_grad for parameter in part.parameters())
        return learns or torch.compiler.is_compiling()
