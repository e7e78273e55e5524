"""Running in blocks and the rewritten layers: each equals what it stands in for."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from retouch.models import blocks, memory
from retouch.models.blocks import FlatPReLU, NarrowConvolution, block_pixels, cut, rewritten, run_in_blocks
from retouch.models.prepare import prepare
from retouch.networks.build import build
from retouch.networks.spec import Spec

_CPU = torch.device("cpu")


@given(
    sides=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    halo=st.integers(0, 9),
    multiple=st.sampled_from([1, 2, 3, 4]),
    pixels=st.integers(1, 3000),
)
@settings(max_examples=60)
def test_blocks_give_every_pixel_what_it_depends_on(
    sides: tuple[int, int], halo: int, multiple: int, pixels: int
) -> None:
    """A function that sums its whole neighbourhood, zeros around the picture, is the same in blocks."""
    height, width = (side * multiple for side in sides)
    x = torch.rand(1, 1, height, width, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    spec = Spec(channels=1, halo=halo, multiple=multiple)
    read: list[tuple[int, int]] = []

    def sums(part: Tensor) -> Tensor:
        assert part.shape[2] % multiple == 0
        assert part.shape[3] % multiple == 0
        read.append((part.shape[2], part.shape[3]))
        return F.avg_pool2d(part, 2 * halo + 1, stride=1, padding=halo)

    y = run_in_blocks(sums, x, spec, pixels)
    assert torch.allclose(y, F.avg_pool2d(x, 2 * halo + 1, stride=1, padding=halo), atol=1e-12)
    assert len(set(read)) == 1, "blocks of one size: memory is used again"
    rows, columns, tall, wide = cut(height, width, halo, multiple, pixels)
    least = 2 * (halo + 2 * multiple) + 12
    if len(read) > 1:
        assert read[0] == (tall, wide)
        assert len(read) <= rows * columns
        assert tall * wide <= max(1.1 * pixels, least * max(least, *read[0]))


def test_blocks_take_the_cut_that_does_the_least_work_twice() -> None:
    # by hand: 2 x 4 blocks that share 16 pixels: (540 + 16) / 2 = 278 -> 280, (960 + 3 * 16) / 4 = 252
    assert cut(540, 960, 8, 1, 75_000) == (2, 4, 280, 252)
    assert cut(540, 960, 8, 1, 540 * 960) == (1, 1, 540, 960)


def test_blocks_of_a_batch_that_enlarges_and_strides() -> None:
    """Strides of 2, so that blocks must begin on even pixels, and an output of three times the size."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(2, 4, 2, stride=2), nn.PixelShuffle(2), nn.Conv2d(1, 9, 3, padding=1), nn.PixelShuffle(3)
    ).double()
    x = torch.rand(2, 2, 38, 54, dtype=torch.float64)
    calls: list[Tensor] = []

    def counted(part: Tensor) -> Tensor:
        calls.append(part)
        y: Tensor = network(part)
        return y

    with torch.no_grad():
        y = run_in_blocks(counted, x, Spec(channels=2, scale=3, halo=2, multiple=2), 400)
        assert torch.allclose(y, network(x), atol=1e-12)
    assert len(calls) >= 12


@given(
    kernel=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    padding=st.tuples(st.integers(0, 4), st.integers(0, 4)),
    outputs=st.integers(1, 5),
    size=st.tuples(st.integers(6, 13), st.integers(6, 13)),
    bias=st.booleans(),
)
@settings(max_examples=60)
def test_a_narrow_convolution_is_the_convolution(
    kernel: tuple[int, int], padding: tuple[int, int], outputs: int, size: tuple[int, int], bias: bool
) -> None:
    plain = nn.Conv2d(8, outputs, kernel, padding=padding, bias=bias).double()
    x = torch.rand(2, 8, *size, dtype=torch.float64)
    with torch.no_grad():
        if NarrowConvolution.best_block(plain) == 1:
            with pytest.raises(ValueError, match="not to be computed in blocks"):
                NarrowConvolution(plain)
        else:
            assert torch.allclose(NarrowConvolution(plain)(x), plain(x), atol=1e-12)


def test_how_large_the_blocks_of_a_convolution_are() -> None:
    # products a pixel at b = 1, 2, 3, 4, of 16 or 48 channels: 9 16 | 16 4 | 25 16/9 | 36: 144, 64, 44, 36
    assert NarrowConvolution.best_block(nn.Conv2d(64, 1, 3)) == 4
    assert NarrowConvolution.best_block(nn.Conv2d(56, 4, 5)) == 2  # 400, 144, 261, 256
    assert NarrowConvolution.best_block(nn.Conv2d(64, 64, 3)) == 1
    for otherwise in ({"stride": 2}, {"dilation": 2}, {"padding_mode": "reflect", "padding": 1}, {"padding": "same"}):
        assert NarrowConvolution.best_block(nn.Conv2d(64, 1, 3, **otherwise)) == 1
    assert NarrowConvolution.best_block(nn.Conv2d(1, 1, 3)) == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("slopes", "size"), [(6, (4, 8)), (6, (5, 7)), (1, (4, 8))])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_flat_prelu_is_prelu(
    dtype: torch.dtype, slopes: int, size: tuple[int, int], layout: torch.memory_format
) -> None:
    prelu = nn.PReLU(slopes)
    prelu.weight.data = torch.linspace(-0.5, 1.5, slopes)
    x = torch.randn(2, 6, *size).to(dtype).contiguous(memory_format=layout)
    flat = FlatPReLU(prelu).to(dtype)
    assert torch.equal(flat(x), F.prelu(x, prelu.weight.detach().to(dtype)))
    assert flat(x).is_contiguous(memory_format=layout)


def test_relu_in_place_only_where_the_input_is_needed_no_more() -> None:
    after, first = nn.ReLU(), nn.ReLU()
    network = nn.Sequential(first, nn.Conv2d(8, 8, 3), nn.Identity(), after, nn.Conv2d(8, 1, 3)).eval()
    x = torch.randn(1, 8, 9, 9)
    kept, expected = x.clone(), network(x)
    assert torch.allclose(rewritten(network)(x), expected, atol=1e-5)
    assert torch.equal(x, kept)
    assert after.inplace
    assert not first.inplace


def test_the_widest_layer_and_the_halo_decide_the_size_of_blocks() -> None:
    def pixels(network: nn.Module, spec: Spec) -> int:
        return block_pixels(spec, blocks.bytes_per_pixel(network, spec))

    wide = nn.Sequential(nn.Conv2d(1, 64, 3, padding=1), nn.Conv2d(64, 1, 3, padding=1))
    assert pixels(wide, Spec(channels=1, halo=2)) == blocks.BUDGET // (64 * 4)
    assert pixels(wide.bfloat16().float(), Spec(channels=1, halo=15)) == 300**2  # more than the budget, for the rim
    assert pixels(wide, Spec(channels=1, halo=20)) == blocks.CEILING // (64 * 4)
    assert pixels(wide, Spec(channels=1, halo=40)) == 0


def test_wide_layers_whose_memory_is_kept_have_no_wide_rims(monkeypatch: pytest.MonkeyPatch) -> None:
    spec, wide, thin = Spec(channels=1, halo=15), 64 * 4.0, 64 * 2.0
    assert block_pixels(spec, wide) > 0
    monkeypatch.setattr(memory, "is_kept", lambda: True)
    assert block_pixels(spec, wide) == 0
    assert block_pixels(spec, thin) > 0
    assert block_pixels(Spec(channels=1, halo=2), wide) > 0


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("scale", [2, 3])
def test_a_prepared_network_in_blocks_is_the_network(
    monkeypatch: pytest.MonkeyPatch, scale: int, precision: str
) -> None:
    torch.manual_seed(0)
    network = build("fsrcnn", {"scale": scale, "width": 16, "shrunk": 6, "depth": 1}).eval()
    for parameter in network.parameters():
        parameter.data += 0.02 * torch.randn_like(parameter)
    x = torch.rand(2, 1, 163, 150)
    whole = prepare(network, _CPU, precision)
    assert whole.pixels > 163 * 150
    monkeypatch.setattr(blocks, "BUDGET", 2**18)
    in_blocks = prepare(network, _CPU, precision)
    assert 0 < in_blocks.pixels < 163 * 150 / 2
    with torch.no_grad():
        expected = network(x)
        assert float((in_blocks(x) - expected).abs().max()) < (1e-5 if precision == "fp32" else 0.02)
        assert float((in_blocks(x) - whole(x)).abs().max()) < (1e-5 if precision == "fp32" else 0.005)
