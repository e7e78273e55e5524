"""Every network a recipe may name, on pictures of any size; and how far each looks."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from retouch.image.errors import OptionError
from retouch.networks.build import NETWORKS, build, count_parameters, network_class
from retouch.networks.spec import Spec

SMALL: dict[str, list[dict[str, Any]]] = {
    "srcnn": [{"widths": [6, 5]}, {"kernels": [9, 1, 5], "widths": [6, 5], "channels": 3}],
    "fsrcnn": [{"scale": scale, "width": 6, "shrunk": 3, "depth": 2} for scale in (1, 2, 3, 4, 5)],
    "espcn": [{"scale": 2}, {"scale": 3, "channels": 3}],
    "vdsr": [{"depth": 4, "width": 6}, {"depth": 3, "width": 6, "channels": 3}],
    "srresnet": [{"scale": 2, "blocks": 1, "width": 6}, {"scale": 4, "blocks": 2, "width": 5, "channels": 1}],
    "residual-sr": [
        {"scale": 2, "width": 5, "blocks": 1},
        {"scale": 3, "width": 4, "blocks": 2, "channels": 1},
        {"scale": 1, "width": 4, "blocks": 1},
    ],
    "imdn": [{"scale": 2, "width": 64, "blocks": 2}, {"scale": 3, "width": 64, "blocks": 1, "channels": 1}],
    "safmn": [{"scale": 2, "width": 8, "blocks": 1}, {"scale": 3, "width": 6, "blocks": 2, "levels": 2, "channels": 1}],
    "span": [{"scale": 2, "width": 6, "blocks": 2}, {"scale": 3, "width": 5, "blocks": 1, "channels": 1}],
    "nafnet": [
        {"width": 4, "encoder": [1, 2], "middle": 1, "decoder": [1, 1]},
        {"width": 4, "encoder": [1], "middle": 1, "decoder": [1], "channels": 1},
    ],
    "nafnet-sr": [{"scale": 2, "width": 6, "blocks": 2}, {"scale": 3, "width": 4, "blocks": 1, "channels": 1}],
    "dncnn": [{"depth": 5, "width": 6}, {"depth": 2, "width": 6, "channels": 3}],
    "transform": [{"scale": 2, "blocks": 1, "width": 5}, {"blocks": 2, "width": 4}, {"scale": 8, "width": 3}],
    "residual-unet": [
        {"widths": [6, 5], "blocks": [1, 1]},
        {"widths": [4, 5, 6], "blocks": [1, 1, 1], "channels": 1},
        {"widths": [6, 5], "blocks": [1, 1], "levels": 5},
    ],
    "restoration": [{"widths": [4, 5], "blocks": [1, 1]}, {"widths": [4], "blocks": [1], "channels": 1, "levels": 2}],
    "autoencoder": [{"width": 6}, {"width": 5, "channels": 3}],
    "encoder-decoder": [{"width": 4}, {"width": 3, "channels": 1}],
    "pix2pix-unet": [
        {"depth": 3, "width": 4, "dropout": "training"},
        {"depth": 2, "width": 4, "norm": "instance", "first": 5, "dropout": "none", "channels": 1},
    ],
    "resnet-generator": [{"blocks": 1, "width": 4}, {"blocks": 2, "width": 4, "norm": "batch", "channels": 1}],
    "unet": [
        {"encoder": "efficientnet-lite0", "stages": 2, "norm": "none", "decoder": [9, 8, 7]},
        {"encoder": "resnet18", "stages": 2, "norm": "spectral", "decoder": [9, 8, 7], "fixed_statistics": True},
    ],
}
"""Small ones of every architecture that maps pictures to pictures."""

STRIDED = {"unet", "restoration", "autoencoder", "encoder-decoder", "pix2pix-unet", "resnet-generator", "safmn"}
"""Those whose halo is no border: an estimate of what strides let them see, or more than they can see."""

GLOBAL = {"imdn", "nafnet", "nafnet-sr"}
"""Those that also weigh by statistics of the whole picture; their halo, without these, is in their own tests."""

CASES = [pytest.param(name, arguments, id=f"{name}-{i}") for name in SMALL for i, arguments in enumerate(SMALL[name])]

LOCAL = [pytest.param(n, a, id=f"{n}-{i}") for n in SMALL if n not in STRIDED | GLOBAL for i, a in enumerate(SMALL[n])]


def spec_of(network: nn.Module) -> Spec:
    spec = network.spec
    assert isinstance(spec, Spec)
    return spec


def _input(spec: Spec, batch: int, height: int, width: int) -> Tensor:
    """A random picture, and planes of one value each where the network is told levels."""
    planes = torch.rand(batch, spec.levels, 1, 1).expand(-1, -1, height, width)
    return torch.cat((torch.rand(batch, spec.channels, height, width), planes), 1)


def test_every_network_is_swept() -> None:
    generators = {"vae", "conv-vae", "dcgan", "pixelcnn", "pixel-recursive"}  # see their own tests
    classifiers = {"small-cnn", "efficientnet-lite0"}
    critics = {"srgan-discriminator", "patchgan", "dcgan-discriminator"}
    assert set(NETWORKS) == {*SMALL, *generators, *classifiers, *critics}


@pytest.mark.parametrize("name", list(NETWORKS))
def test_every_name_has_a_class(name: str) -> None:
    assert issubclass(network_class(name), nn.Module)


@pytest.mark.parametrize(("name", "arguments"), CASES)
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (9, 2), (13, 11)])
def test_any_size(name: str, arguments: dict[str, Any], size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    network = build(name, arguments).eval()
    spec = spec_of(network)
    with torch.no_grad():
        y = network(_input(spec, 2, *size))
    assert y.shape == (2, spec.channels, size[0] * spec.scale, size[1] * spec.scale)
    assert torch.isfinite(y).all()


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_gradient_reaches_every_parameter(name: str, arguments: dict[str, Any]) -> None:
    torch.manual_seed(0)
    network = build(name, arguments)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1 and not parameter.any():  # blocks that begin as the identity hold back their own
                nn.init.normal_(parameter, std=0.1)
    network(_input(spec_of(network), 2, 6, 7)).square().sum().backward()
    unreached = [key for key, value in network.named_parameters() if value.grad is None or not value.grad.any()]
    assert unreached == []


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_state_makes_the_same_network(name: str, arguments: dict[str, Any]) -> None:
    torch.manual_seed(0)
    one, other = build(name, arguments).eval(), build(name, arguments).eval()
    x = _input(spec_of(one), 1, 6, 5)
    with torch.no_grad():
        for parameter in one.parameters():  # some begin as the identity, whatever else was drawn
            parameter.add_(0.05 * torch.randn_like(parameter))
        assert not torch.equal(one(x), other(x))
        other.load_state_dict(one.state_dict())
        assert torch.equal(one(x), other(x))


def reach(network: nn.Module, side: int) -> Tensor:
    """How far, in input pixels, the outputs of the middle pixel look up, down, left and right.

    Every kernel is made a plain mean, so that nothing cancels and no ReLU cuts a path: all that is connected counts.
    """
    network = network.double().eval()
    spec = spec_of(network)
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                layer.weight.fill_(1 / layer.weight[0].numel())
                if layer.bias is not None:
                    layer.bias.zero_()
    # bright throughout: less whatever mean a network takes off, a ReLU would cut paths at random
    x = (0.75 + _input(spec, 1, side, side).double() / 4).requires_grad_()
    middle = side // 2
    block = slice(middle * spec.scale, (middle + 1) * spec.scale)
    network(x)[..., block, block].sum().backward()
    assert x.grad is not None
    rows, columns = x.grad[:, : spec.channels].abs().sum((0, 1)).nonzero().unbind(1)
    return torch.stack([middle - rows.min(), rows.max() - middle, middle - columns.min(), columns.max() - middle])


@pytest.mark.parametrize(("name", "arguments"), LOCAL)
def test_halo_is_the_reach(name: str, arguments: dict[str, Any]) -> None:
    network = build(name, arguments)
    halo = spec_of(network).halo
    assert int(reach(network, 2 * halo + 5).max()) == halo


@pytest.mark.parametrize(
    ("name", "arguments", "halo"),
    [
        ("srcnn", {}, 8),
        ("vdsr", {"width": 2}, 20),
        ("dncnn", {"width": 2}, 17),
        ("srresnet", {"width": 2}, 40),
        ("transform", {"scale": 4, "width": 2}, 14),
        ("transform", {"scale": 8, "width": 2}, 14),
        ("fsrcnn", {"scale": 3}, 8),
    ],
)
def test_halo_of_the_published_depths(name: str, arguments: dict[str, Any], halo: int) -> None:
    network = build(name, arguments)
    assert spec_of(network).halo == halo
    assert int(reach(network, 2 * halo + 5).max()) == halo


@settings(max_examples=20)
@given(
    case=st.sampled_from(
        [(name, arguments) for name in SMALL if name not in STRIDED | GLOBAL for arguments in SMALL[name]]
    ),
    seed=st.integers(0, 2**16),
    more=st.integers(0, 3),
)
def test_a_piece_with_its_halo_gives_the_whole(case: tuple[str, dict[str, Any]], seed: int, more: int) -> None:
    """With random weights: cut out a pixel and its halo, and its outputs are those of the whole picture."""
    torch.manual_seed(seed)
    network = build(*case).double().eval()
    spec = spec_of(network)
    margin = spec.halo + more
    x = _input(spec, 1, 2 * margin + 7, 2 * margin + 6).double()
    piece = x[..., 3 : 3 + 2 * margin + 1, 2 : 2 + 2 * margin + 1]
    with torch.no_grad():
        whole, part = network(x), network(piece)
    top, left, own = (3 + margin) * spec.scale, (2 + margin) * spec.scale, margin * spec.scale
    assert torch.allclose(
        whole[..., top : top + spec.scale, left : left + spec.scale],
        part[..., own : own + spec.scale, own : own + spec.scale],
        rtol=1e-9,
        atol=1e-12,
    )


def test_unknown_words_name_the_nearest() -> None:
    with pytest.raises(OptionError, match="unknown network 'fsrcn'; did you mean 'fsrcnn'"):
        build("fsrcn")
    with pytest.raises(OptionError, match="unknown argument 'dept' of network vdsr; did you mean 'depth'"):
        build("vdsr", {"dept": 3})


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("fsrcnn", {}), ("srresnet", {"scale": 3}), ("vdsr", {"depth": "deep"}), ("srcnn", {"kernels": [9, 4, 5]})],
)
def test_refused_values_are_option_errors(name: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=f"^network {name}: "):
        build(name, arguments)


def test_both_ways_of_counting() -> None:
    network = nn.Sequential(nn.Conv2d(2, 3, 5), nn.PReLU(3), nn.BatchNorm2d(3))
    assert count_parameters(network, weights_only=True) == math.prod((2, 3, 5, 5))
    assert count_parameters(network) == 150 + 3 + 3 + 6
