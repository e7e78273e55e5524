"""A trained network run on a picture of any size, in tiles: colour, enlarging and the network, all within the tile."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from retouch.degradations.levels import COUNT, Levels
from retouch.image.color import rgb_to_ycbcr, ycbcr_to_rgb
from retouch.image.errors import OptionError, RetouchError
from retouch.image.resize import bicubic
from retouch.image.tiling import AUTO_TILE, OnTile, plan, run_tiled
from retouch.models import memory
from retouch.models.device import pick_device
from retouch.models.load import Model
from retouch.models.prepare import prepare
from retouch.networks.spec import Spec

_REACH = 3  # input pixels that bicubic interpolation needs to each side: two taps, and one for the centre's half pixel

_VIEWS = [(turns, flipped) for flipped in (False, True) for turns in (0, 2, 1, 3)]


class Runner:
    """Runs the network of ``model`` on pictures; the network is prepared once, at construction.

    ``device``, ``precision``: see ``pick_device`` and ``prepare``. ``tile``: side of the tiles in input pixels, 'auto'
    (see ``auto_tile``; smaller when memory runs out) or 'off'. ``views``: the mean over so many of the eight flips and
    rotations of each tile (Timofte et al. 2016, section 3.6, with all eight), at as many times the time: 2 are the
    tile as it is and turned by half, 4 its turns by a quarter, 8 those and their mirrored ones.

    Colour is met as the card says. ``y``: the network gets the BT.601 luma in studio range, the chroma is interpolated
    by bicubic or left; a grey picture goes in as it is, as in the tables of super-resolution. ``rgb``: a grey picture
    is repeated to three channels, whose mean is the result. ``each``: the channels go in one by one.

    Memory for a picture of C channels enlarged by s: ``4 C (1 + 1 / s^2)`` bytes an output pixel for the picture
    before and after (15 bytes for colour at x2; the process grew by 19 a pixel between 9 and 36 megapixels of output),
    and what one tile needs, whatever the size of the picture.

    Raises ``RetouchError`` where card and network contradict each other, ``OptionError`` for an unknown precision,
    a device that is not here, or another number of views than 1, 2, 4 and 8.
    """

    def __init__(
        self,
        model: Model,
        *,
        device: str = "auto",
        precision: str = "auto",
        tile: int | str = "auto",
        views: int = 1,
    ) -> None:
        if views not in (1, 2, 4, 8):
            raise OptionError(f"the mean of 1, 2, 4 or 8 views, not of {views}")
        spec = model.network.spec
        assert isinstance(spec, Spec)
        channels = 3 if model.card.colour == "rgb" else 1
        if spec.channels != channels:
            raise RetouchError(
                f"{model.path}: its network has {spec.channels} channels, which does not go with colour "
                f"'{model.card.colour}' of its card"
            )
        if spec.levels not in (0, COUNT):
            raise RetouchError(f"{model.path}: its network is told {spec.levels} levels of damage, there are {COUNT}")
        self.card, self.spec, self.tile, self.views = model.card, spec, tile, views
        self.device = pick_device(device)
        self.network = prepare(model.network, self.device, precision)

    def run(
        self, pixels: Tensor, scale: int = 1, on_tile: OnTile | None = None, levels: Levels | None = None
    ) -> Tensor:
        """The picture that the network makes of ``pixels``.

        ``pixels``: float32 ``(C, H, W)``, C = 1 or 3, in [0, 1]; what lies a little outside is not clipped.
        ``scale``: how many times larger each side becomes: that of the network, or any whole number for a network that
        takes an enlarged picture. ``on_tile``: hears (tiles done, tiles in all); False cancels. ``levels``: what
        a network that asks for it is told of the damages; others are not, None tells of none. Returns float32
        ``(C, H * scale, W * scale)`` on the CPU, not clipped. Tiles leave no trace: in float32 the result is that of
        the picture as a whole up to rounding. Raises ``OptionError`` for a scale the network cannot do, ``Cancelled``,
        and ``RetouchError`` where memory does not suffice.
        """
        enlarge = self._enlargement(scale)
        told = levels if levels is not None else Levels()
        with torch.no_grad():  # not inference_mode: its tensors could not be written to, nor fitted to, afterwards
            return run_tiled(
                lambda x: self._tile(x.to(self.device), scale, enlarge, told),
                pixels,
                tile=self.tile,
                overlap=self.overlap(scale),
                scale=scale,
                multiple=self.spec.multiple // math.gcd(self.spec.multiple, enlarge),
                on_tile=on_tile,
                auto=self.auto_tile(scale),
            )

    def overlap(self, scale: int) -> int:
        """Input pixels that neighbouring tiles share to each side of their cut, for a result without seams."""
        enlarge = self._enlargement(scale)
        reach = math.ceil(self.spec.halo / enlarge) + (_REACH if enlarge > 1 else 0)
        return 2 * max(reach, _REACH)

    def auto_tile(self, scale: int) -> int:
        """Where tile 'auto' starts: ``AUTO_TILE``, or more where the overlap is wide.

        What overlaps is work done twice: with 20 overlaps to a tile, a tenth more; with 10, a quarter more. In blocks a
        tile needs hardly more memory than what goes in and comes out, else some 200 to 400 bytes a pixel: 0.4 GB for a
        U-Net with an overlap of 100 pixels, 1.5 GB for the one of ``restore``, whose two parts have 256. Where the
        memory of layers is kept, a tile is as large as that allows, up to 32 overlaps.
        """
        overlap = self.overlap(scale)
        least = max(AUTO_TILE, overlap * (20 if self.network.pixels else 10))
        if self.network.pixels or not self.network.width or not memory.is_kept():
            return least
        allowed = math.isqrt(int(memory.LAYER / self.network.width)) * self.spec.scale // scale
        return max(least, min(32 * overlap, allowed))

    def tiles(self, height: int, width: int, scale: int = 1) -> int:
        """How many tiles a picture of this size takes, if memory does not run out."""
        side = (
            self.auto_tile(scale)
            if self.tile == "auto"
            else max(height, width)
            if self.tile == "off"
            else int(self.tile)
        )
        multiple = self.spec.multiple // math.gcd(self.spec.multiple, self._enlargement(scale))
        return math.prod(len(plan(length, side, self.overlap(scale), multiple)) for length in (height, width))

    def _enlargement(self, scale: int) -> int:
        """How many times larger the picture must be made before the network sees it."""
        if scale < 1 or scale % self.spec.scale or (self.spec.scale > 1 and scale != self.spec.scale):
            raise OptionError(f"{self.card.name} makes a picture {self.spec.scale} times larger, not {scale} times")
        return scale // self.spec.scale

    def _tile(self, x: Tensor, scale: int, enlarge: int, levels: Levels) -> Tensor:
        if enlarge > 1:
            x = bicubic(x, scale=enlarge)
        if x.shape[1] == 1:
            planes = x.expand(-1, self.spec.channels, -1, -1)
            return self._through(planes, levels).mean(1, keepdim=True)
        if self.card.colour == "rgb":
            return self._through(x, levels)
        if self.card.colour == "each":
            return self._through(x.transpose(0, 1), levels).transpose(0, 1)
        x = rgb_to_ycbcr(x)
        chroma = x[:, 1:] if self.spec.scale == 1 else bicubic(x[:, 1:], scale=self.spec.scale)
        return ycbcr_to_rgb(torch.cat((self._through(x[:, :1], levels), chroma), dim=1))

    def _through(self, x: Tensor, levels: Levels) -> Tensor:
        if self.spec.levels:
            x = torch.cat((x, levels.planes(x)), dim=1)
        total: Tensor = self.network(x)
        for turns, flipped in _VIEWS[1 : self.views]:
            view = torch.rot90(x.flip(-1) if flipped else x, turns, (-2, -1))
            back = torch.rot90(self.network(view), -turns, (-2, -1))
            total = total + (back.flip(-1) if flipped else back)
        return total / self.views if self.views > 1 else total
