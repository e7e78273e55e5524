"""Folding, the deconvolution as a pixel shuffle, 16 bits inside and the guard: each against the plain network."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from retouch.image.errors import OptionError
from retouch.models.prepare import ShuffledDeconvolution, lowered, prepare, simplified
from retouch.networks.build import build
from retouch.networks.spec import Spec

_CPU = torch.device("cpu")


def _psnr(x: Tensor, y: Tensor) -> float:
    return float(-10 * torch.log10((x - y).square().mean()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@given(
    stride=st.integers(1, 5), half=st.integers(0, 5), extra=st.integers(0, 4), size=st.tuples(*[st.integers(1, 7)] * 2)
)
@settings(max_examples=25)
def test_a_deconvolution_is_a_convolution_and_a_pixel_shuffle(
    dtype: torch.dtype, stride: int, half: int, extra: int, size: tuple[int, int]
) -> None:
    output_padding = min(extra, stride - 1)
    kernel = stride + 2 * half - output_padding
    if kernel <= half:
        return
    plain = nn.ConvTranspose2d(3, 2, kernel, stride=stride, padding=half, output_padding=output_padding).to(dtype)
    assert ShuffledDeconvolution.equals(plain)
    x = torch.rand(2, 3, *size, dtype=dtype)
    assert torch.allclose(ShuffledDeconvolution(plain)(x), plain(x), atol=1e-5 if dtype == torch.float32 else 1e-12)


def test_a_deconvolution_that_gives_another_size_stays_as_it_is() -> None:
    other = nn.ConvTranspose2d(2, 2, 3, stride=2)
    grouped = nn.ConvTranspose2d(2, 2, 2, stride=2, groups=2)
    for plain in (other, grouped):
        assert not ShuffledDeconvolution.equals(plain)
        with pytest.raises(ValueError, match="pixel shuffle"):
            ShuffledDeconvolution(plain)
        kept = simplified(nn.Sequential(plain))
        assert isinstance(kept[0], nn.ConvTranspose2d)  # type: ignore[index]


def test_batch_normalisation_is_folded_and_the_network_itself_stays() -> None:
    plain = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.BatchNorm2d(5), nn.ReLU(), nn.BatchNorm2d(5)).eval()
    for norm in (plain[1], plain[3]):
        assert isinstance(norm, nn.BatchNorm2d)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
        nn.init.uniform_(norm.weight)
    x = torch.rand(1, 3, 9, 8)
    expected = plain(x)
    folded = simplified(plain)
    assert [isinstance(module, nn.BatchNorm2d) for module in folded.children()] == [False, False, False, True]
    assert torch.allclose(folded(x), expected, atol=1e-6)
    assert torch.equal(plain(x), expected)
    assert isinstance(plain[1], nn.BatchNorm2d)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_fsrcnn_prepared_is_fsrcnn(scale: int) -> None:
    network = build("fsrcnn", {"scale": scale, "width": 12, "shrunk": 5, "depth": 2}).eval().requires_grad_(False)
    nn.init.normal_(network.deconvolution.weight, std=0.1)  # type: ignore[arg-type, union-attr]
    x = torch.rand(2, 1, 17, 12)
    prepared = prepare(network, _CPU, "fp32")
    assert float((prepared(x) - network(x)).abs().max()) < 1e-5
    assert prepared.dtype == torch.float32
    assert prepared(x).dtype == torch.float32


def _passing_on(network: nn.Module) -> nn.Module:
    """Weights that hand the picture through many rounded features: what a trained network does to a smooth picture."""
    generator = torch.Generator().manual_seed(0)
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    with torch.no_grad():
        for convolution in convolutions:
            weight = torch.rand(convolution.weight.shape, generator=generator)
            convolution.weight.copy_(weight / weight.sum(dim=(1, 2, 3), keepdim=True))
            centre = convolution.kernel_size[0] // 2
            middle = torch.zeros_like(weight)
            middle[:, :, centre, centre] = 1 / weight.shape[1]
            convolution.weight.lerp_(middle, 0.9)
    return network.eval()


def _smooth(side: int = 96) -> Tensor:
    ramp = torch.linspace(0.1, 0.9, side)
    return ((ramp[:, None] + ramp[None, :]) / 2)[None, None]


def _lost(network: nn.Module, precision: str) -> float:
    """Decibels that ``precision`` costs a result of 40 dB: noise of 2.55/255, beside what the rounding adds to it."""
    x = _smooth()
    exact, rounded = prepare(network, _CPU, "fp32")(x), prepare(network, _CPU, precision)(x)
    noise = 0.01 * torch.randn(exact.shape, generator=torch.Generator().manual_seed(1))
    assert 39 < _psnr(exact + noise, exact) < 41
    return _psnr(exact + noise, exact) - _psnr(rounded + noise, exact)


@pytest.mark.parametrize("fast", [True, False])
def test_auto_takes_bfloat16_only_where_it_keeps_the_precision(monkeypatch: pytest.MonkeyPatch, fast: bool) -> None:
    monkeypatch.setattr("retouch.models.prepare.fast_bfloat16", lambda device: fast)
    direct = _passing_on(build("srcnn", {"widths": (32, 16)}))
    assert _lost(direct, "bf16") > 0.02, "features that all round alike: the case that 'auto' has to find"
    assert prepare(direct, _CPU).dtype == torch.float32
    assert abs(_lost(direct, "auto")) < 0.02
    residual = _Residual().eval()
    assert prepare(residual, _CPU).dtype == (torch.bfloat16 if fast else torch.float32)
    assert abs(_lost(residual, "bf16")) < 0.02
    assert abs(_lost(direct, "fp16")) < 0.02


class _Residual(nn.Module):
    """A skip around two layers, as VDSR and DnCNN have it."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.PReLU(8), nn.Conv2d(8, 1, 3, padding=1))
        self.spec = Spec(channels=1, halo=2)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = x + self.body(x) * 0.01
        return result


def test_the_skip_from_the_picture_is_not_rounded() -> None:
    network = _Residual().eval()
    x = torch.rand(1, 1, 24, 24)
    assert float((prepare(network, _CPU, "bf16")(x) - network(x)).abs().max()) < 1e-4
    assert float((x.bfloat16().float() - x).abs().max()) > 5e-4


def test_all_but_the_first_and_last_layer_are_lowered() -> None:
    network = build("fsrcnn", {"scale": 2, "width": 6, "shrunk": 3, "depth": 1})
    low = lowered(simplified(network), network.spec, torch.bfloat16)  # type: ignore[arg-type]
    types = [module.weight.dtype for module in low.modules() if isinstance(module, nn.Conv2d)]
    assert types == [torch.float32, *[torch.bfloat16] * 3, torch.float32]


class _Chain(nn.Module):
    """Multiplies by ``gain`` in the first layer and divides in the last; the middle is in 16 bits."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        layers = [nn.Conv2d(1, 1, 1, bias=False) for _ in range(3)]
        for layer, factor in zip(layers, (gain, 1.0, 1 / gain), strict=True):
            nn.init.constant_(layer.weight, factor)
        self.body = nn.Sequential(*layers)
        self.spec = Spec(channels=1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x)
        return y


@pytest.mark.parametrize("gain", [1e6, 1e-9], ids=["overflow", "black"])
def test_what_half_precision_cannot_hold_is_computed_in_float32_from_then_on(gain: float) -> None:
    prepared = prepare(_Chain(gain), _CPU, "fp16")
    assert prepared.dtype == torch.float16
    x = torch.rand(1, 1, 8, 8)
    assert torch.allclose(prepared(x), x, atol=1e-5)
    assert prepared.dtype == torch.float32
    assert torch.allclose(prepared(x), x, atol=1e-5)


def test_black_pictures_and_networks_that_are_black_themselves_do_not_give_up_half_precision() -> None:
    prepared = prepare(_Chain(1.0), _CPU, "fp16")
    assert not bool(prepared(torch.zeros(1, 1, 8, 8)).any())
    assert prepared.dtype == torch.float16
    network = _Chain(1.0)
    nn.init.zeros_(network.body[2].weight)  # type: ignore[arg-type]
    prepared = prepare(network, _CPU, "fp16")
    assert not bool(prepared(torch.rand(1, 1, 8, 8)).any())
    assert prepared.dtype == torch.float16


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(OptionError, match="did you mean 'fp16'"):
        prepare(_Chain(1.0), _CPU, "f16")
