"""Networks that make pictures of nothing: ranges, seeds, temperatures, published sizes, interpolation."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Generator, Tensor

from retouch.image.errors import OptionError
from retouch.networks.build import build, count_parameters
from retouch.networks.latent import LatentNetwork, Sampler, between
from retouch.networks.vae import VariationalAutoencoder

SMALL: list[tuple[str, dict[str, Any]]] = [
    ("vae", {"side": 6, "hidden": 9, "latent": 3}),
    ("vae", {"side": 5, "channels": 3, "hidden": 7, "latent": 2, "likelihood": "gaussian"}),
    ("conv-vae", {"side": 12, "width": 4, "neck": 3, "latent": 4}),
    ("conv-vae", {"side": 16, "channels": 3, "width": 4, "depth": 3, "latent": 5, "likelihood": "gaussian"}),
    ("dcgan", {"side": 8, "channels": 1, "width": 3, "depth": 2, "latent": 4}),
    ("dcgan", {"side": 12, "width": 4, "depth": 1, "latent": 3, "kernel": 4}),
]


def made(name: str, arguments: dict[str, Any]) -> LatentNetwork:
    torch.manual_seed(0)
    network = build(name, arguments).eval()
    assert isinstance(network, LatentNetwork)
    return network


def seeded(seed: int) -> Generator:
    return Generator().manual_seed(seed)


@pytest.mark.parametrize(("name", "arguments"), SMALL)
def test_samples(name: str, arguments: dict[str, Any]) -> None:
    network = made(name, arguments)
    assert isinstance(network, Sampler)
    with torch.no_grad():
        pictures = network.sample(3, seeded(1))
        assert pictures.shape == (3, *network.shape)
        assert pictures.dtype == torch.float32
        assert 0 <= pictures.min() <= pictures.max() <= 1
        assert torch.equal(pictures, network.sample(3, seeded(1)))
        assert not torch.equal(pictures, network.sample(3, seeded(2)))
        assert torch.equal(pictures, network.decode(network.draw(3, seeded(1))))
        still = network.sample(2, seeded(1), 0.0)
        assert torch.equal(still[0], still[1])
        assert torch.allclose(network.draw(3, seeded(1), 0.5), network.draw(3, seeded(1)) / 2)


@pytest.mark.parametrize(("name", "arguments"), [case for case in SMALL if "vae" in case[0]])
def test_autoencoders_draw_around_the_mean_with_their_own_deviation(name: str, arguments: dict[str, Any]) -> None:
    network = made(name, arguments)
    assert isinstance(network, VariationalAutoencoder)
    x = torch.rand(1, *network.shape).expand(4000, -1, -1, -1)
    seen: list[Tensor] = []

    def listen(z: Tensor) -> Tensor:
        seen.append(z)
        return torch.zeros(1)

    network.logits = listen  # type: ignore[method-assign]
    with torch.no_grad():
        _, mean, log_variance = network(x, seeded(0))
    z = seen[0]
    deviation = (log_variance[0] / 2).exp()
    assert torch.allclose(z.mean(0), mean[0], atol=6 * float(deviation.max()) / math.sqrt(4000))
    assert torch.allclose(z.std(0), deviation, rtol=0.08)


@pytest.mark.parametrize(("name", "arguments"), SMALL)
def test_gradient_reaches_every_parameter(name: str, arguments: dict[str, Any]) -> None:
    network = made(name, arguments).train()
    if isinstance(network, VariationalAutoencoder):
        logits, mean, log_variance = network(torch.rand(3, *network.shape))
        loss = logits.square().sum() + mean.square().sum() + log_variance.square().sum()
        if network.likelihood == "gaussian":
            loss = loss + network.log_deviation
    else:
        loss = network(network.draw(3)).square().sum()
    loss.backward()
    assert [key for key, value in network.named_parameters() if value.grad is None or not value.grad.any()] == []


def test_published_sizes() -> None:
    assert count_parameters(build("vae")) == 784 * 400 + 400 + 2 * (400 * 20 + 20) + 20 * 400 + 400 + 400 * 784 + 784
    dcgan = build("dcgan")
    widths = [1024, 512, 256, 128, 3]
    kernels = sum(25 * a * b for a, b in itertools.pairwise(widths))
    assert count_parameters(dcgan, weights_only=True) == 100 * 16 * 1024 + kernels
    critic = build("dcgan-discriminator")
    assert critic(torch.rand(2, 3, 64, 64)).shape == (2, 1)


@pytest.mark.parametrize("arguments", [{"norm": "none", "spectral": True}, {"norm": "instance"}, {"kernel": 4}])
def test_discriminators(arguments: dict[str, Any]) -> None:
    critic = build("dcgan-discriminator", {"side": 8, "channels": 1, "width": 3, "depth": 2} | arguments)
    logits = critic(torch.rand(5, 1, 8, 8))
    assert logits.shape == (5, 1)
    with pytest.raises(ValueError, match="8 x 8, not 9 x 8"):
        critic(torch.rand(1, 1, 8, 9))
    if arguments.get("spectral"):
        critic.train()
        for _ in range(30):  # each call improves the estimate of the norm
            critic(torch.rand(1, 1, 8, 8))
        weight = critic.body[0].weight.detach()
        assert float(torch.linalg.matrix_norm(weight.flatten(1), 2)) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("conv-vae", {"side": 30}),
        ("conv-vae", {"depth": 0}),
        ("vae", {"latent": 0}),
        ("vae", {"likelihood": "poisson"}),
        ("dcgan", {"side": 40, "depth": 4}),
        ("dcgan", {"kernel": 3}),
        ("dcgan-discriminator", {"width": 0}),
        ("dcgan-discriminator", {"norm": "layer"}),
        ("autoencoder", {"width": 0}),
    ],
)
def test_refused_sizes(name: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=f"^network {name}: "):
        build(name, arguments)


def test_the_way_between_two_draws_stays_on_the_sphere() -> None:
    first, second = torch.randn(2, 6, 20, generator=seeded(3)).double()
    first, second = first / first.norm(dim=1, keepdim=True), second / second.norm(dim=1, keepdim=True)
    share = torch.linspace(0, 1, 6)
    way = between(first, second, share)
    assert torch.allclose(way.norm(dim=1), torch.ones(6).double(), atol=1e-6)
    assert torch.allclose(way[0], first[0])
    assert torch.allclose(way[-1], second[-1])
    angle = (first * second).sum(1).acos()
    assert torch.allclose((way * first).sum(1).clamp(-1, 1).acos(), share.double() * angle, atol=1e-5)
    same = between(first, 2 * first, share)  # of one direction: a straight line
    assert torch.allclose(same, first * (1 + share[:, None].double()), atol=1e-6)
    assert bool(between(torch.zeros(1, 3), torch.ones(1, 3), torch.tensor([0.5])).isfinite().all())
