"""Instance normalisation whose statistics are fixed."""

from __future__ import annotations

import torch

from retouch.models.card import Card
from retouch.models.load import Model
from retouch.models.runner import Runner
from retouch.models.statistics import fixed_statistics
from retouch.networks.transform import TransformNet


def _network() -> TransformNet:
    torch.manual_seed(0)
    network = TransformNet(1, blocks=1, width=4, norm="instance").eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.ndim == 1 and "tail" not in name:
                parameter.add_(0.2 * torch.randn(parameter.shape))
    return network.requires_grad_(False)


def test_on_the_picture_itself_nothing_changes() -> None:
    network, x = _network(), torch.rand(3, 40, 52)
    fixed = fixed_statistics(network, x)
    assert torch.allclose(fixed(x[None]), network(x[None]), atol=1e-5)
    assert any(isinstance(module, torch.nn.InstanceNorm2d) for module in network.modules()), "the network itself stays"
    assert fixed.spec.exact  # type: ignore[union-attr]
    assert not network.spec.exact


def test_tiles_leave_no_trace() -> None:
    network, x = _network(), torch.rand(3, 152, 172)
    card = Card(name="a", family="transform", architecture="transform", arguments={}, tasks=("stylize",),
                colour="rgb", summary="a")  # fmt: skip
    whole = network(x[None])[0]
    fixed = fixed_statistics(network, x)
    made = Runner(Model(card, fixed, None), device="cpu", precision="fp32", tile=100).run(x)  # type: ignore[arg-type]
    assert float((made - whole).abs().max()) < 1e-4
    plain = Runner(Model(card, network, None), device="cpu", precision="fp32", tile=100).run(x)  # type: ignore[arg-type]
    assert float((plain - whole).abs().max()) > 1e-3


def test_a_network_without_instance_normalisation_stays_as_it_is() -> None:
    network = TransformNet(1, blocks=1, width=2, norm="batch").eval()
    x = torch.rand(3, 24, 24)
    assert torch.equal(fixed_statistics(network, x)(x[None]), network(x[None]))
