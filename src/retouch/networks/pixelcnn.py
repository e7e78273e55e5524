"""Gated PixelCNN: the probability of a picture, one value after the other, and pictures drawn from it.

Van den Oord, Kalchbrenner, Kavukcuoglu, "Pixel Recurrent Neural Networks", ICML 2016, section 3 (the order of the
values, the masks); van den Oord, Kalchbrenner, Vinyals, Espeholt, Graves, Kavukcuoglu, "Conditional Image Generation
with PixelCNN Decoders", NIPS 2016, section 2 (the gates, and two stacks so that no pixel before is out of sight).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

OnRow = Callable[[int, int, Tensor], bool | None]
"""Hears of every row that is drawn: rows done, rows in all, the pictures so far; False ends the drawing."""


class ColourConv(nn.Conv2d):
    """A convolution over a pixel and the ``reach`` pixels left of it, for which the colours have an order.

    The channels of each side are split into ``colours`` groups as even as can be; ``halves``: the outputs are so many
    rows of groups one after the other. Of the pixel itself a group sees the groups before it and, with ``own``, its own
    (the masks A and B of the paper); of the pixels left of it all.
    """

    def __init__(
        self, inputs: int, outputs: int, colours: int, *, reach: int = 0, own: bool = True, halves: int = 1
    ) -> None:
        super().__init__(inputs, outputs, (1, reach + 1), padding=(0, reach))
        seen, seeing = _colour(inputs, colours), _colour(outputs // halves, colours).repeat(halves)
        mask = torch.ones_like(self.weight)
        mask[..., 0, reach] = (seeing[:, None] >= seen + (not own)).float()
        self.mask: Tensor
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.conv2d(x, self.weight * self.mask, self.bias, padding=(0, self.mask.shape[-1] - 1))
        return y[..., : x.shape[-1]]

    def matrix(self) -> Tensor:
        """What turns a window ``(B, inputs * (reach + 1))`` into outputs, but for the bias."""
        return (self.weight * self.mask).flatten(1)


def _colour(channels: int, colours: int) -> Tensor:
    """The colour that each of ``channels`` belongs to."""
    return torch.arange(channels) * colours // channels


class RowConv(nn.Conv2d):
    """A convolution over a row and the ``above`` rows above it, ``reach`` pixels to each side."""

    def __init__(self, inputs: int, outputs: int, *, above: int, reach: int) -> None:
        super().__init__(inputs, outputs, (above + 1, 2 * reach + 1), padding=(above, reach))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = super().forward(x)
        return y[..., : x.shape[-2], :]

    def last(self, rows: Tensor) -> Tensor:
        """The output at the last of ``above + 1`` rows."""
        return functional.conv2d(rows, self.weight, self.bias, padding=(0, self.kernel_size[1] // 2))


class GatedLayer(nn.Module):
    """One layer of both stacks, with ``tanh * sigmoid`` gates; what the rows know goes into the pixels of the next row.

    ``forward``: rows and pixels, ``(B, width, H, W)`` each -> the same.
    """

    def __init__(self, width: int, kernel: int, colours: int) -> None:
        super().__init__()
        reach = kernel // 2
        self.rows = RowConv(width, 2 * width, above=reach, reach=reach)
        self.across = nn.Conv2d(2 * width, 2 * width, 1)
        self.pixels = ColourConv(width, 2 * width, colours, reach=reach, halves=2)
        self.out = ColourConv(width, width, colours)

    def forward(self, rows: Tensor, pixels: Tensor) -> tuple[Tensor, Tensor]:
        told = self.rows(rows)
        gated = gate(self.pixels(pixels) + below(self.across(told)))
        return gate(told), pixels + self.out(gated)


def gate(x: Tensor) -> Tensor:
    """``tanh`` of the first half of the channels times ``sigmoid`` of twice the second.

    ``sigmoid(2 x) = (1 + tanh(x)) / 2``: one call for both, and the layer before it learns the factor.
    """
    first, second = torch.tanh(x).chunk(2, 1)
    return torch.addcmul(first, first, second).mul(0.5)


def below(x: Tensor) -> Tensor:
    """Every row in the place of the one below it, and zeros in the first."""
    return functional.pad(x, (0, 0, 1, -1))


class PixelCNN(nn.Module):
    """Gated PixelCNN over pictures of ``levels`` values a channel, ``size`` pixels a side when it draws them.

    A first layer that sees ``first // 2`` pixels up, left and right, ``layers`` gated layers of ``kernel``, then two
    1 x 1 convolutions with ReLU before them, ``head`` channels between. Order of the values: rows from the top, in a
    row from the left, of a pixel red, green, blue; each group of channels holds what one colour may know.

    ``forward``: pictures ``(B, channels, H, W)`` in [0, 1], any size, level n being ``n / (levels - 1)`` -> logits
    ``(B, levels, channels, H, W)`` of each value given those before it. Two levels have one logit, that of 1 against 0.
    Raises ``ValueError`` for sizes that make no network.
    """

    conditional = False

    def __init__(
        self,
        channels: int = 1,
        levels: int = 2,
        size: int = 28,
        width: int = 32,
        layers: int = 7,
        kernel: int = 5,
        first: int = 7,
        head: int = 128,
    ) -> None:
        super().__init__()
        if min(channels, size, layers) < 1 or levels < 2 or min(width, head) < channels:
            raise ValueError(
                "channels, size and layers are at least 1, levels at least 2, width and head at least the channels, "
                f"not {channels}, {size}, {layers}, {levels}, {width}, {head}"
            )
        if min(kernel, first) < 3 or kernel % 2 == 0 or first % 2 == 0:
            raise ValueError(f"kernel and first are odd and at least 3, not {kernel} and {first}")
        self.channels, self.levels, self.size = channels, levels, size
        reach = first // 2
        self.first_rows = RowConv(channels, width, above=reach - 1, reach=reach)
        self.first_pixels = ColourConv(channels, width, channels, reach=reach, own=False)
        self.layers = nn.ModuleList(GatedLayer(width, kernel, channels) for _ in range(layers))
        outputs = channels * (1 if levels == 2 else levels)
        self.head = nn.ModuleList((ColourConv(width, head, channels), ColourConv(head, outputs, channels)))

    def forward(self, y: Tensor) -> Tensor:
        x = 2 * y - 1  # black is then not what lies outside the picture
        rows = self.first_rows(x)
        pixels = self.first_pixels(x) + below(rows)
        for layer in self.layers:
            rows, pixels = layer(rows, pixels)
        for conv in self.head:
            pixels = conv(functional.relu(pixels))
        return self.as_logits(pixels)

    def as_logits(self, x: Tensor) -> Tensor:
        """``(B, outputs, H, W)`` -> ``(B, levels, channels, H, W)``."""
        if self.levels == 2:
            return torch.stack((torch.zeros_like(x), x), 1)
        return x.reshape(len(x), self.channels, self.levels, *x.shape[2:]).transpose(1, 2)

    def sample(
        self,
        count: int,
        generator: Generator | None = None,
        temperature: float = 1.0,
        *,
        added: Tensor | None = None,
        on_row: OnRow | None = None,
    ) -> Tensor:
        """Draw ``count`` pictures, ``(count, channels, H, W)`` in [0, 1], H and W being ``size``.

        ``generator``: on the CPU, whatever the device; None for torch's global one. ``temperature``: the logits are
        divided by it; below 1 the likely becomes likelier, at 0 the likeliest is taken. ``added``: logits
        ``(count, levels, channels, H, W)``, any H and W, that are added to its own. ``on_row``: see ``OnRow``; where it
        ends the drawing, what is not drawn is 0.

        Every layer keeps what it made of the rows and pixels before, so that a value costs one column of each layer.
        Raises ``ValueError`` for a temperature below 0, or a count below 1.
        """
        if not temperature >= 0 or count < 1:
            raise ValueError(f"temperature is at least 0 and count at least 1, not {temperature} and {count}")
        height, width = (self.size, self.size) if added is None else added.shape[-2:]
        drawn = _Drawing(self, count, height, width)
        for y in range(height):
            drawn.begin_row(y)
            for x in range(width):
                for colour in range(self.channels):
                    logits = drawn.logits(x, colour)
                    if added is not None:
                        logits = logits + added[:, :, colour, y, x]
                    chosen = draw(logits, generator, temperature)
                    drawn.put(y, x, colour, chosen.float() / (self.levels - 1))
            if on_row is not None and on_row(y + 1, height, drawn.picture) is False:
                break
        return drawn.picture


def draw(logits: Tensor, generator: Generator | None, temperature: float = 1.0) -> Tensor:
    """One of the levels each, ``(B, levels)`` -> int64 ``(B,)``, with one random number of the generator a picture."""
    if temperature == 0:
        return logits.argmax(1)
    share = (logits.float() / temperature).softmax(1).cumsum(1)
    at = torch.rand(len(logits), 1, generator=generator).to(logits.device) * share[:, -1:]
    return (share <= at).sum(1).clamp(max=logits.shape[1] - 1)


class _Drawing:
    """What the layers of a PixelCNN know while it draws: of rows that are done, and of the row at work."""

    @torch.no_grad()
    def __init__(self, network: PixelCNN, count: int, height: int, width: int) -> None:
        self.network, self.width = network, width
        some = network.first_rows.weight
        self.picture = some.new_zeros(count, network.channels, height, width)
        layers: list[GatedLayer] = list(network.layers)  # type: ignore[arg-type]
        self.layers = layers

        def empty(channels: int, rows: int, columns: int) -> Tensor:
            return some.new_zeros(count, channels, rows, columns)

        # the rows that the convolutions over rows look back to; before the first one there are zeros
        self.above = [empty(conv.in_channels, conv.kernel_size[0] - 1, width) for conv in self._row_convs()]
        # the row at work as the convolutions over pixels see it, with zeros left of the picture
        convs: Sequence[ColourConv] = [network.first_pixels, *(layer.pixels for layer in layers)]
        self.row = [empty(conv.in_channels, conv.kernel_size[1] - 1 + width, 1)[..., 0] for conv in convs]
        self.matrices = [(conv.matrix(), conv.bias) for conv in convs]
        self.outs = [(layer.out.matrix(), layer.out.bias) for layer in layers]
        heads: list[ColourConv] = list(network.head)  # type: ignore[arg-type]
        self.heads = [(conv.matrix(), conv.bias) for conv in heads]
        self.told: list[Tensor] = []

    def _row_convs(self) -> list[RowConv]:
        return [self.network.first_rows, *(layer.rows for layer in self.layers)]

    @torch.no_grad()
    def begin_row(self, y: int) -> None:
        """What the rows above ``y`` tell its pixels; the row above it is done."""
        for row in self.row:
            row.zero_()
        if y == 0:
            width = self.layers[0].out.out_channels
            shapes = [width, *([2 * width] * len(self.layers))]
            self.told = [self.picture.new_zeros(len(self.picture), channels, self.width) for channels in shapes]
            return
        new = 2 * self.picture[:, :, y - 1 : y] - 1
        self.told = []
        for number, conv in enumerate(self._row_convs()):
            rows = torch.cat((self.above[number], new), 2)
            self.above[number] = rows[:, :, 1:]
            new = conv.last(rows)
            if number:
                self.told.append(self.layers[number - 1].across(new)[:, :, 0])
                new = gate(new)
            else:
                self.told.append(new[:, :, 0])

    @torch.no_grad()
    def logits(self, x: int, colour: int) -> Tensor:
        """``(B, levels)`` of the value at work; those before it have been put."""
        pixel = self._at(0, x)
        for number, (matrix, bias) in enumerate(self.outs, 1):
            row = self.row[number]
            row[:, :, row.shape[2] - self.width + x] = pixel
            pixel = pixel + functional.linear(gate(self._at(number, x)), matrix, bias)
        (first, first_bias), (last, last_bias) = self.heads
        outputs = len(last) // self.network.channels
        own = slice(colour * outputs, (colour + 1) * outputs)
        hidden = functional.relu(functional.linear(functional.relu(pixel), first, first_bias))
        made = functional.linear(functional.relu(hidden), last[own], None if last_bias is None else last_bias[own])
        return torch.cat((torch.zeros_like(made), made), 1) if self.network.levels == 2 else made

    def _at(self, number: int, x: int) -> Tensor:
        """The convolution over pixels of layer ``number`` at ``x``, with what the rows tell."""
        matrix, bias = self.matrices[number]
        row = self.row[number]
        window = row[:, :, x : x + 1 + row.shape[2] - self.width]
        return functional.linear(window.flatten(1), matrix, bias) + self.told[number][:, :, x]

    def put(self, y: int, x: int, colour: int, value: Tensor) -> None:
        """The value that was drawn, in [0, 1]."""
        self.picture[:, colour, y, x] = value
        row = self.row[0]
        row[:, colour, row.shape[2] - self.width + x] = 2 * value - 1


def nats(logits: Tensor, target: Tensor) -> Tensor:
    """``-ln p`` of each picture, ``(B,)``: of logits ``(B, levels, C, H, W)``, and int64 levels ``(B, C, H, W)``."""
    return functional.cross_entropy(logits.float(), target, reduction="none").flatten(1).sum(1)
