"""The transformation network against its paper: sizes, range, mirrored margin, and how far it looks."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from retouch.networks.build import count_parameters
from retouch.networks.transform import ResidualBlock, TransformNet

STYLE: dict[str, Any] = {"scale": 1, "width": 32, "blocks": 5}


@pytest.mark.parametrize(("scale", "ups"), [(4, 2), (8, 3)])
def test_published_size_for_super_resolution(scale: int, ups: int) -> None:
    conv = 9 * 64 * 64
    by_hand = (81 * 3 * 64 + 128) + 4 * 2 * (conv + 128) + ups * (conv + 128) + (81 * 64 * 3 + 3)
    assert count_parameters(TransformNet(scale)) == by_hand == {4: 401_155, 8: 438_147}[scale]


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_published_size_for_styles(norm: str) -> None:
    by_hand = 81 * 3 * 32 + 64
    by_hand += (9 * 32 * 64 + 128) + (9 * 64 * 128 + 256)
    by_hand += 5 * 2 * (9 * 128 * 128 + 256)
    by_hand += (9 * 128 * 64 + 128) + (9 * 64 * 32 + 64)
    by_hand += 81 * 32 * 3 + 3
    assert count_parameters(TransformNet(**STYLE, norm=norm)) == by_hand == 1_677_635


def test_sizes_on_the_way_are_the_papers() -> None:
    """Supplementary material: 3 x 256 x 256 is reflected to 336, 84 deep, 64 after the blocks; SR 72 to 288."""
    with torch.device("meta"):
        style, large, larger = TransformNet(**STYLE), TransformNet(4), TransformNet(8)
    seen: list[tuple[int, ...]] = []
    for part in (*list(style.head)[::3], *style.trunk, style.tail[0], style.tail[3]):
        part.register_forward_hook(lambda module, inputs, output: seen.append(tuple(output.shape[1:])))
    x = torch.rand(1, 3, 336, 336, device="meta")
    style.tail(style.trunk(style.head(x)))
    deep = [(128, side, side) for side in (80, 76, 72, 68, 64)]
    assert seen == [(32, 336, 336), (64, 168, 168), (128, 84, 84), *deep, (64, 128, 128), (32, 256, 256)]
    assert len(style._mirrored(256, torch.device("cpu"))) == 336
    assert large(torch.rand(1, 3, 72, 72, device="meta")).shape[1:] == (3, 288, 288)
    assert larger(torch.rand(1, 3, 36, 36, device="meta")).shape[1:] == (3, 288, 288)


def test_zero_of_the_last_layer_is_middle_grey_and_the_range_is_kept() -> None:
    network = TransformNet(2, blocks=1, width=4).eval()
    last = network.tail[-2]
    assert isinstance(last, nn.Conv2d)
    assert last.bias is not None
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(torch.tensor([-1e3, 0.0, 1e3]))
        y = network(torch.rand(1, 3, 3, 2))
    assert torch.equal(y, torch.tensor([0.0, 0.5, 1.0]).view(1, 3, 1, 1).expand(1, 3, 6, 4))


@pytest.mark.parametrize("padded", [True, False])
def test_skips_carry_the_input(padded: bool) -> None:
    block = ResidualBlock(4, norm="batch", padded=padded)
    nn.init.zeros_(block.body[-1].weight)  # type: ignore[arg-type]
    x = torch.rand(2, 4, 7, 6)
    assert torch.equal(block(x), x if padded else x[..., 2:-2, 2:-2])


@pytest.mark.parametrize("norm", ["batch", "instance"])
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (9, 2), (4, 4), (13, 11)])
def test_any_size_of_a_style(norm: str, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    network = TransformNet(1, blocks=1, width=3, norm=norm)
    for train in (True, False):
        with torch.no_grad():
            y = network.train(train)(torch.rand(1, 3, *size))
        assert y.shape == (1, 3, *size)
        assert torch.isfinite(y).all()
        assert y.std() > 0


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_gradient_reaches_every_parameter_of_a_style(norm: str) -> None:
    torch.manual_seed(0)
    network = TransformNet(1, blocks=2, width=3, norm=norm)
    network(torch.rand(2, 3, 9, 8)).square().sum().backward()
    assert [key for key, value in network.named_parameters() if value.grad is None or not value.grad.any()] == []


@given(length=st.integers(1, 70), blocks=st.integers(1, 5))
def test_margin_is_the_reflection(length: int, blocks: int) -> None:
    network = TransformNet(1, blocks=blocks, width=1)
    margin = 8 * blocks
    place = network._mirrored(length, torch.device("cpu"))
    assert len(place) % 4 == 0
    assert len(place) == 2 * margin + max(8, -(-length // 4) * 4)
    assert torch.equal(place[margin : margin + length], torch.arange(length))
    more = len(place) - length - margin
    if length > max(margin, more):
        row = torch.arange(length, dtype=torch.float32)[None, None]
        assert torch.equal(functional.pad(row, (margin, more), mode="reflect")[0, 0], place.float())
    if length > 1:  # beyond each edge and beyond the mirror's own edges, neighbours stay neighbours
        assert (place.diff().abs() == 1).all()


def _reach(network: TransformNet, y: int, x: int) -> int:
    """The farthest input pixel that output pixel (y, x) depends on, in a picture wide enough for no reflection."""
    side = 2 * network.spec.halo + 12
    network = network.double().eval()
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                layer.weight.fill_(1 / layer.weight[0].numel())
                if layer.bias is not None:
                    layer.bias.zero_()
    picture = torch.rand(1, 3, side, side, dtype=torch.float64, requires_grad=True)
    top, left = network.spec.halo + 4 + y, network.spec.halo + 4 + x
    network(picture)[..., top, left].sum().backward()
    assert picture.grad is not None
    rows, columns = picture.grad.abs().sum((0, 1)).nonzero().unbind(1)
    return int(max(top - rows.min(), rows.max() - top, left - columns.min(), columns.max() - left))


@pytest.mark.parametrize("blocks", [1, 2])
def test_halo_of_a_style_is_the_reach_of_the_pixel_that_looks_furthest(blocks: int) -> None:
    network = TransformNet(1, blocks=blocks, width=2)
    start = -network.spec.halo % 4  # of a cell of four pixels
    reaches = [_reach(network, start + y, start + y) for y in range(4)]
    assert max(reaches) == network.spec.halo
    assert TransformNet(**STYLE).spec.halo == 54


OURS: dict[str, Any] = {"scale": 1, "upsampling": "nearest", "skip": True}


@pytest.mark.parametrize("blocks", [1, 2])
def test_halo_with_repeated_pixels_and_a_skip(blocks: int) -> None:
    network = TransformNet(blocks=blocks, width=2, **OURS)
    start = -network.spec.halo % 4
    assert max(_reach(network, start + y, start + y) for y in range(4)) == network.spec.halo


def test_a_thin_network_of_ours_fits_its_file() -> None:
    network = TransformNet(blocks=4, width=12, norm="instance", **OURS)
    by_hand = 81 * 3 * 12 + 24 + (9 * 12 * 24 + 48) + (9 * 24 * 48 + 96) + 4 * 2 * (9 * 48 * 48 + 96)
    by_hand += (9 * 48 * 24 + 48) + (9 * 24 * 12 + 24) + 81 * (12 + 3) * 3 + 3
    assert count_parameters(network) == by_hand
    assert 2 * by_hand < 0.42e6


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (13, 6), (24, 31)])
def test_the_skip_shows_the_picture_itself_to_the_last_layer(size: tuple[int, int]) -> None:
    network = TransformNet(blocks=1, width=2, **OURS).eval()
    last = network.tail[-2]
    assert isinstance(last, nn.Conv2d)
    with torch.no_grad():
        last.weight.zero_()
        assert last.bias is not None
        last.bias.zero_()
        for channel in range(3):
            last.weight[channel, 2 + channel, 4, 4] = 1
        x = torch.rand(2, 3, *size)
        assert torch.allclose(network(x), (torch.tanh(2 * x - 1) + 1) / 2, atol=1e-6)


@settings(max_examples=8)
@given(seed=st.integers(0, 2**16), row=st.integers(0, 3), column=st.integers(0, 3))
def test_a_piece_with_its_halo_gives_the_whole(seed: int, row: int, column: int) -> None:
    torch.manual_seed(seed)
    network = TransformNet(1, blocks=1, width=3).double().eval()
    margin = -(-network.spec.halo // 4) * 4
    x = torch.rand(1, 3, 2 * margin + 16, 2 * margin + 12, dtype=torch.float64)
    with torch.no_grad():
        whole = network(x)
        part = network(x[..., 8 : 8 + 2 * margin + 4, 4 : 4 + 2 * margin + 4])
    expected = whole[..., 8 + margin + row, 4 + margin + column]
    assert torch.allclose(part[..., margin + row, margin + column], expected, rtol=1e-9, atol=1e-12)


def test_statistics_of_the_whole_picture_are_no_exact_halo() -> None:
    assert TransformNet(**STYLE).spec.exact
    assert not TransformNet(**STYLE, norm="instance").spec.exact


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scale": 3}, "scale is 1, 2, 4 or 8, not 3"),
        ({"scale": 16}, "scale is 1, 2, 4 or 8, not 16"),
        ({"blocks": 0}, "at least 1"),
        ({"width": 0}, "at least 1"),
        ({"channels": 0}, "at least 1"),
        ({"scale": 1, "norm": "layer"}, "norm is 'batch', or 'instance' with scale 1, not 'layer'"),
        ({"scale": 4, "norm": "instance"}, "not 'instance' with scale 4"),
        ({"scale": 1, "upsampling": "cubic"}, "upsampling is one of"),
        ({"scale": 4, "skip": True}, "are of scale 1"),
        ({"scale": 2, "upsampling": "nearest"}, "are of scale 1"),
    ],
)
def test_wrong_values_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TransformNet(**arguments)
