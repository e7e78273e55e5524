"""What has to be known about a network to run it on a picture of any size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Spec:
    """Facts of a network that maps ``(B, inputs, H, W)`` to ``(B, channels, H * scale, W * scale)``, both in [0, 1].

    ``inputs``: the picture's ``channels``, then ``levels`` planes, each of one value, that tell how strong each damage
    is (``degradations.levels``); most networks are told nothing.

    ``halo``: how many input pixels to each side an output value depends on (the receptive field is 2 halo + 1).
    ``multiple``: H and W must be multiples of it. ``enlarged``: for super-resolution, whether the network expects the
    picture already enlarged to its final size by bicubic interpolation (its own ``scale`` is then 1). ``exact``:
    whether nothing beyond the halo has an influence; where it is only an estimate, parts of a picture are blended and
    never cut.
    """

    channels: int
    scale: int = 1
    halo: int = 0
    multiple: int = 1
    enlarged: bool = False
    exact: bool = True
    levels: int = 0

    @property
    def inputs(self) -> int:
        """Channels of what goes in."""
        return self.channels + self.levels

    def divided(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The picture and the planes of the levels, of what goes in; ``ValueError`` for another number of channels."""
        if x.shape[1] != self.inputs:
            raise ValueError(f"takes {self.channels} channels and {self.levels} levels, not {x.shape[1]} planes in all")
        return x[:, : self.channels], x[:, self.channels :]
