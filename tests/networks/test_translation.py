"""The networks of image translation: sizes as published, what they see, and that no mode changes them by surprise."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from retouch.networks.build import count_parameters
from retouch.networks.cyclegan import ResNetGenerator
from retouch.networks.encoder_decoder import EncoderDecoder
from retouch.networks.patchgan import PatchGAN, receptive_field
from retouch.networks.pix2pix import UNetGenerator
from retouch.networks.translation import Dropout, mirrored

GENERATORS = {
    "encoder-decoder": lambda: EncoderDecoder(4),
    "u-net": lambda: UNetGenerator(4, 4),
    "dual": lambda: UNetGenerator(3, 4, first=5),
    "resnet": lambda: ResNetGenerator(1, 4),
}


@pytest.mark.parametrize(
    ("network", "published"),
    [
        (EncoderDecoder(), 8.62e6),
        (UNetGenerator(), 54.4e6),
        (ResNetGenerator(), 11.4e6),
        (PatchGAN(channels=6), 2.77e6),
        (PatchGAN(norm="instance"), 2.76e6),
    ],
)
def test_as_many_numbers_as_published(network: nn.Module, published: float) -> None:
    assert count_parameters(network) == pytest.approx(published, rel=0.003)


def test_u_net_128_and_six_blocks() -> None:
    level = (16 * 512 * 512 + 512 + 1024) + (16 * 1024 * 512 + 512 + 1024)  # convolution, bias, normalisation, each way
    assert count_parameters(UNetGenerator()) - count_parameters(UNetGenerator(7)) == level
    assert count_parameters(ResNetGenerator()) - count_parameters(ResNetGenerator(6)) == 3 * 2 * (9 * 256 * 256 + 256)


@pytest.mark.parametrize("name", list(GENERATORS))
@settings(max_examples=12)
@given(height=st.integers(1, 40), width=st.integers(1, 40))
def test_any_size_in_range(name: str, height: int, width: int) -> None:
    torch.manual_seed(0)
    network = GENERATORS[name]().eval()
    with torch.no_grad():
        made = network(torch.rand(2, 3, height, width))
    assert made.shape == (2, 3, height, width)
    assert 0 <= float(made.min()) <= float(made.max()) <= 1


@pytest.mark.parametrize("name", ["u-net", "dual", "resnet"])
def test_the_mode_changes_nothing(name: str) -> None:
    torch.manual_seed(0)
    network = GENERATORS[name]()
    x = torch.rand(2, 3, 32, 32)
    results = []
    with torch.no_grad():
        for train in (True, False):
            network.train(train)
            network(torch.rand(2, 3, 32, 32))  # leaves no running statistics behind
            torch.manual_seed(1)
            results.append(network(x))
    assert torch.equal(*results)


def test_dropout_is_the_noise_of_the_generator_unless_it_is_for_training() -> None:
    x = torch.rand(1, 3, 16, 16)
    torch.manual_seed(0)
    with torch.no_grad():
        always = UNetGenerator(4, 4).eval()
        assert not torch.equal(always(x), always(x))
        training = UNetGenerator(4, 4, dropout="training").eval()
        assert torch.equal(training(x), training(x))
        training.train()
        assert not torch.equal(training(x), training(x))
        none = UNetGenerator(4, 4, dropout="none").train()
        assert torch.equal(none(x), none(x))


def test_dropout_keeps_the_mean() -> None:
    torch.manual_seed(0)
    dropped = Dropout(0.25).eval()(torch.ones(100_000))
    assert float((dropped == 0).float().mean()) == pytest.approx(0.25, abs=0.01)
    assert float(dropped.mean()) == pytest.approx(1, abs=0.01)


def test_the_published_form_takes_its_size_only() -> None:
    torch.manual_seed(0)
    published, free = EncoderDecoder(4, side=64).eval(), EncoderDecoder(4).eval()
    free.load_state_dict(published.state_dict())
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(published(x), free(x))
    with pytest.raises(ValueError, match="takes pictures of 64 x 64, not 80 x 64"):
        published(torch.rand(1, 3, 64, 80))


def test_halving_and_doubling_lie_where_tensorflow_has_them() -> None:
    """One pixel of padding before and two behind; the way up is its adjoint."""
    network = EncoderDecoder(1, 1)
    convolution, deconvolution = network.encoder[0], network.decoder[3]
    kernel = torch.rand(1, 1, 5, 5)
    x, y = torch.rand(1, 1, 8, 8), torch.rand(1, 1, 4, 4)
    with torch.no_grad():
        down = functional.conv2d(functional.pad(x, (1, 2, 1, 2)), kernel, stride=2)
        up = functional.conv_transpose2d(y, kernel, stride=2)[..., 1:9, 1:9]
    assert convolution.stride == deconvolution.stride == (2, 2)
    assert float((down * y).sum()) == pytest.approx(float((x * up).sum()), rel=1e-5)
    expected = sum(float(kernel[0, 0, i, j] * x[0, 0, 1 + i, 1 + j]) for i in range(5) for j in range(5))
    assert float(down[0, 0, 1, 1]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("layers", "pixels"), [(0, 1), (1, 16), (2, 34), (3, 70), (4, 142), (5, 286)])
def test_what_a_patch_is(layers: int, pixels: int) -> None:
    assert receptive_field(layers) == pixels
    network = PatchGAN(layers, 1, norm="none", channels=1).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(0.1)
    x = torch.rand(1, 1, 340, 340, dtype=torch.float64).add(1).requires_grad_()
    logits = network(x)
    logits[0, 0, logits.shape[2] // 2, logits.shape[3] // 2].backward()
    assert x.grad is not None
    rows = x.grad[0, 0].abs().sum(1).nonzero().flatten()
    assert int(rows[-1] - rows[0]) + 1 == pixels


def test_a_patch_critic_of_256_pixels_judges_30_by_30() -> None:
    with torch.no_grad():
        assert PatchGAN(width=2)(torch.rand(1, 3, 256, 256)).shape == (1, 1, 30, 30)
        for layers, side in ((0, 5), (1, 17), (3, 64), (4, 70)):
            critic = PatchGAN(layers, width=2, whole=side, norm="instance")
            assert critic(torch.rand(2, 3, side, side)).shape == (2, 1)
            with pytest.raises(ValueError, match=f"judges pictures of {side} x {side}, not 9 x {side}"):
                critic(torch.rand(2, 3, side, 9))


def test_weights_begin_as_in_dcgan() -> None:
    torch.manual_seed(0)
    for network in (UNetGenerator(4, 32), ResNetGenerator(1, 32), PatchGAN(), EncoderDecoder(16)):
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and module.weight.numel() > 5000:
                assert float(module.weight.detach().std()) == pytest.approx(0.02, rel=0.05)
                assert module.bias is not None
                assert not bool(module.bias.any())


@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 4, 16]))
def test_mirrored(height: int, width: int, multiple: int) -> None:
    x = torch.rand(1, 1, height, width)
    made = mirrored(x, multiple, least=5)
    assert torch.equal(made[..., :height, :width], x)
    assert all(side % multiple == 0 or side == 5 for side in made.shape[2:])
    assert min(made.shape[2:]) >= 5
    if height > 1 and made.shape[2] > height:
        assert torch.equal(made[..., height, :width], x[..., height - 2, :])


def _refused(make: object, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        make()  # type: ignore[operator]


def test_refused() -> None:
    _refused(lambda: UNetGenerator(1), "depth is at least 2")
    _refused(lambda: UNetGenerator(norm="layer"), "norm is one of")  # type: ignore[arg-type]
    _refused(lambda: UNetGenerator(dropout="no"), "dropout is one of")
    _refused(lambda: ResNetGenerator(0), "at least 1")
    _refused(lambda: PatchGAN(-1), "at least 0")
    _refused(lambda: PatchGAN(4, whole=20), "leave nothing of pictures of 20 pixels")
    _refused(lambda: EncoderDecoder(side=50), "a multiple of 16")
