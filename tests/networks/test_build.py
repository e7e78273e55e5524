"""Every network of the table: sizes, receptive fields, gradients, parameter counts as published."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from retouch.image.errors import OptionError
from retouch.networks.build import NETWORKS, build, count_parameters, network_class

CASES: list[tuple[str, dict[str, Any]]] = [
    ("srcnn", {}),
    ("srcnn", {"kernels": [9, 1, 5]}),
    ("srcnn", {"kernels": [9, 3, 5], "channels": 3}),
    ("fsrcnn", {"scale": 2}),
    ("fsrcnn", {"scale": 3, "width": 32, "shrunk": 5, "depth": 1}),
    ("fsrcnn", {"scale": 4, "initial": "interpolation"}),
    ("espcn", {"scale": 2}),
    ("espcn", {"scale": 3, "channels": 3}),
    ("vdsr", {"depth": 6, "width": 8}),
    ("srresnet", {"scale": 4, "blocks": 2, "width": 8}),
    ("srresnet", {"scale": 2, "blocks": 1, "width": 8, "channels": 1}),
    ("dncnn", {"depth": 5, "width": 8}),
    ("dncnn", {"depth": 4, "width": 8, "channels": 3}),
]
NAMES = [f"{name}-{index}" for index, (name, _) in enumerate(CASES)]


def made(case: tuple[str, dict[str, Any]]) -> Any:
    torch.manual_seed(0)
    network = build(*case)
    # published starts are so small that a far pixel's influence would drown in rounding
    for parameter in network.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    return network.double().eval()


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_the_halo_is_the_receptive_field(case: tuple[str, dict[str, Any]]) -> None:
    network = made(case)
    spec = network.spec
    side = 2 * spec.halo + 7
    x = torch.rand(1, spec.channels, side, side, dtype=torch.float64, requires_grad=True)
    y = network(x)
    middle = side // 2
    for offset in {0, spec.scale - 1}:
        at = middle * spec.scale + offset
        (gradient,) = torch.autograd.grad(y[:, :, at, at].sum(), x, retain_graph=True)
        rows = gradient.abs().sum((0, 1, 3)).nonzero().flatten()
        assert rows.min() >= middle - spec.halo
        assert rows.max() <= middle + spec.halo
        # not wastefully large either: what lies two pixels inside is reached
        assert rows.max() - rows.min() >= 2 * (spec.halo - 2)


@pytest.mark.parametrize("case", CASES, ids=NAMES)
@settings(max_examples=8, deadline=None)
@given(height=st.integers(1, 19), width=st.integers(1, 19), batch=st.integers(1, 2))
def test_any_size(case: tuple[str, dict[str, Any]], height: int, width: int, batch: int) -> None:
    network = made(case)
    spec = network.spec
    y = network(torch.rand(batch, spec.channels, height, width, dtype=torch.float64))
    assert y.shape == (batch, spec.channels, height * spec.scale, width * spec.scale)
    assert bool(torch.isfinite(y).all())


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_every_parameter_learns_and_is_kept(case: tuple[str, dict[str, Any]]) -> None:
    network = build(*case)
    spec = network.spec  # type: ignore[attr-defined]
    x = torch.rand(2, spec.channels, 12, 12)  # type: ignore[union-attr]
    network(x).square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert bool(torch.isfinite(parameter.grad).all()), name
    again = build(*case)
    again.load_state_dict(network.state_dict())
    assert torch.equal(again.eval()(x), network.eval()(x))


def test_every_network_of_the_table_is_swept() -> None:
    assert {name for name, _ in CASES} | {"srgan-discriminator"} == set(NETWORKS)
    for name in NETWORKS:
        assert isinstance(network_class(name), type)


@pytest.mark.parametrize(
    ("name", "arguments", "weights", "everything"),
    [
        ("srcnn", {"kernels": [9, 1, 5]}, 8_032, 8_129),
        ("srcnn", {"kernels": [9, 3, 5]}, 24_416, 24_513),
        ("srcnn", {"kernels": [9, 5, 5]}, 57_184, 57_281),
        ("fsrcnn", {"scale": 3}, 12_464, 12_809),
        ("fsrcnn", {"scale": 2, "width": 32, "shrunk": 5, "depth": 1}, 3_937, 4_086),
        ("espcn", {"scale": 2}, 21_184, 21_284),
        ("espcn", {"scale": 3}, 22_624, 22_729),
        ("espcn", {"scale": 4}, 24_640, 24_752),
        ("vdsr", {}, 664_704, 665_921),
        ("srresnet", {}, None, 1_547_350),
        ("dncnn", {}, None, 556_097),
        ("dncnn", {"depth": 20, "channels": 3}, None, 669_379),
        ("srgan-discriminator", {"size": 96}, None, 23_563_649),
    ],
)
def test_parameters_as_published(name: str, arguments: dict[str, Any], weights: int | None, everything: int) -> None:
    """YARDSTICKS: 8,032, 24,416, 57,184; 12,464 and 3,937; 21,284...; 664,704; 1.55 M, 23.6 M; 556 K and 669 K."""
    network = build(name, arguments)
    assert count_parameters(network) == everything
    if weights is not None:
        assert count_parameters(network, weights_only=True) == weights


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("fsrcn", {}, "did you mean 'fsrcnn'"),
        ("fsrcnn", {"scal": 2}, "did you mean 'scale'"),
        ("fsrcnn", {}, "scale"),
        ("fsrcnn", {"scale": 0}, "at least 1"),
        ("fsrcnn", {"scale": 2, "initial": "zero"}, "initial"),
        ("fsrcnn", {"scale": 2, "channels": 3, "initial": "interpolation"}, "one channel"),
        ("srcnn", {"kernels": [9, 4, 5]}, "odd"),
        ("srresnet", {"scale": 3}, "2 or 4"),
        ("vdsr", {"depth": 1}, "at least 2"),
        ("dncnn", {"depth": 2}, "at least 3"),
        ("espcn", {"scale": 0}, "at least 1"),
        ("srgan-discriminator", {"size": 40}, "multiple of 16"),
    ],
)
def test_wrong_names_and_values(name: str, arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError) as caught:
        build(name, arguments)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_networks_are_what_they_are_called() -> None:
    """Facts that a parameter count does not hold."""
    x = torch.rand(1, 1, 9, 9)
    vdsr = build("vdsr", {"depth": 3, "width": 4})
    for parameter in list(vdsr.parameters())[-2:]:
        torch.nn.init.zeros_(parameter)
    assert torch.equal(vdsr(x), x)  # the residual is added to the input
    dncnn = build("dncnn", {"depth": 3, "width": 4})
    for parameter in list(dncnn.parameters())[-2:]:
        torch.nn.init.constant_(parameter, 0.25 if parameter.ndim == 1 else 0.0)
    assert torch.allclose(dncnn(x), x - 0.25)  # the output is the noise
    critic = build("srgan-discriminator", {"size": 16})
    assert critic(torch.rand(2, 3, 16, 16)).shape == (2, 1)
    srresnet = build("srresnet", {"blocks": 1, "width": 4}).eval()
    for parameter in list(srresnet.parameters())[-2:]:
        torch.nn.init.zeros_(parameter)
    assert torch.equal(srresnet(torch.rand(1, 3, 3, 3)), torch.full((1, 3, 12, 12), 0.5))  # [-1, 1] becomes [0, 1]


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_fsrcnn_that_begins_near_interpolation(scale: int) -> None:
    """On a ramp, linear interpolation is exact: without the random features, the start must give it inside the rim."""
    network = build("fsrcnn", {"scale": scale, "initial": "interpolation"})
    with torch.no_grad():
        network.deconvolution.weight[1:] = 0  # type: ignore[union-attr, operator, index]
    ramp = (torch.arange(20.0) / 40 + 0.2).expand(20, 20)[None, None]
    made = network(ramp)[0, 0]
    assert made.shape == (20 * scale, 20 * scale)
    inner = made[4 * scale : 12 * scale, 4 * scale : 12 * scale + 1]
    step = inner.diff(dim=1)
    assert torch.allclose(step, torch.full_like(step, 1 / 40 / scale), atol=1e-6)
    assert torch.allclose(made[::scale, ::scale][5:12, 5:12], ramp[0, 0, 5:12, 5:12], atol=1e-6)
