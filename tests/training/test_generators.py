"""Variational autoencoders and games: the loss by hand, what is measured and shown, the recipes that come along."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Generator, Tensor

from retouch.image.errors import OptionError
from retouch.networks.build import build
from retouch.networks.latent import LatentNetwork
from retouch.networks.vae import VariationalAutoencoder
from retouch.training.fit import Result
from retouch.training.objectives.gan import GAN
from retouch.training.objectives.vae import VAE
from retouch.training.recipe import TrainingRecipe, read_recipe

RecipeMaker = Callable[..., TrainingRecipe]
PLAIN = {"data.source": "plain", "data.degradation": [], "data.crop": 8, "card.tasks": ["generate"]}
CONV = {"side": 8, "channels": 1, "width": 4, "depth": 1, "neck": 2, "latent": 3}


def vae(**more: Any) -> VariationalAutoencoder:
    torch.manual_seed(0)
    network = build("vae", {"side": 4, "hidden": 8, "latent": 2} | more)
    assert isinstance(network, VariationalAutoencoder)
    return network


def test_the_bound_is_reconstruction_and_divergence() -> None:
    network = vae()
    objective = VAE(network, warmup=4)
    batch = {"input": torch.rand(5, 1, 4, 4), "target": torch.rand(5, 1, 4, 4)}
    for share in (0.25, 0.5, 0.75, 1, 1):
        parts = objective.loss("network", batch, dict(objective.networks))
        assert float(parts["loss"]) == pytest.approx(float(parts["reconstruction"] + share * parts["divergence"]))
        objective.stepped("network")
    again = VAE(network, warmup=4)
    again.load_state_dict(objective.state_dict())
    assert again.steps == 5
    measured = objective.measure(network, batch)
    assert torch.allclose(measured["nats"], measured["reconstruction"] + measured["divergence"])
    assert torch.equal(measured["score"], -measured["nats"])
    assert torch.equal(measured["nats"], objective.measure(network, batch)["nats"]), "always the same draws"
    mean, log_variance = network.encode(batch["input"])
    expected = (mean.square() + log_variance.exp() - 1 - log_variance).sum(1) / 2
    assert torch.allclose(measured["divergence"], expected, atol=1e-6)


def test_a_learned_deviation_settles_where_the_error_is() -> None:
    network = vae(likelihood="gaussian")
    objective = VAE(network)
    optimizer = torch.optim.Adam([network.log_deviation], lr=0.05)
    batch = {"input": torch.rand(64, 1, 4, 4), "target": torch.rand(64, 1, 4, 4)}
    for _ in range(150):
        optimizer.zero_grad()
        objective.loss("network", batch, dict(objective.networks))["loss"].backward()
        optimizer.step()
    error = (network(batch["input"])[0].sigmoid() - batch["target"]).square().mean().sqrt()
    assert float(network.log_deviation.exp().detach()) == pytest.approx(float(error.detach()), rel=0.05)


def test_networks_that_have_no_numbers_within_are_refused() -> None:
    network: Any = build("dncnn", {"depth": 2, "width": 2})
    with pytest.raises(OptionError, match="numbers within"):
        VAE(network)
    with pytest.raises(OptionError, match="drawn numbers"):
        GAN(network, network)
    with pytest.raises(OptionError, match="warmup"):
        VAE(vae(), warmup=-1)
    with pytest.raises(OptionError, match="every"):
        GAN(vae(), network, every=0)


class _Critic(torch.nn.Module):
    """Takes a picture for real by its brightness."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * (x.mean((1, 2, 3))[:, None] - 0.5)


def gan(**more: Any) -> GAN:
    network = build("dcgan", {"side": 4, "channels": 1, "width": 2, "depth": 1, "latent": 3})
    assert isinstance(network, LatentNetwork)
    return GAN(network, _Critic(), **more)


@pytest.mark.parametrize("kind", ["standard", "least-squares", "wasserstein"])
def test_both_sides_of_the_game_are_about_the_same_pictures(kind: str) -> None:
    torch.manual_seed(1)
    objective = gan(kind=kind)
    real = torch.full((3, 1, 4, 4), 0.8)
    batch = {"input": real, "target": real}
    fooling = objective.loss("generator", batch, dict(objective.networks))["loss"]
    made = objective._made[0]
    logits, judged = objective.networks["critic"](made), objective.networks["critic"](real)
    expected = {
        "standard": ((-logits).exp().log1p().mean(), (-judged).exp().log1p().mean() + logits.exp().log1p().mean()),
        "least-squares": ((logits - 1).square().mean() / 2, ((judged - 1).square() + logits.square()).mean() / 2),
        "wasserstein": (-logits.mean(), logits.mean() - judged.mean()),
    }[kind]
    assert float(fooling) == pytest.approx(float(expected[0]), rel=1e-4)
    judging = objective.loss("critic", batch, dict(objective.networks))["loss"]
    assert float(judging) == pytest.approx(float(expected[1]), rel=1e-4)
    assert not objective._made
    fresh = objective.loss("critic", batch, dict(objective.networks))["loss"]  # a step without the generator
    assert math.isfinite(float(fresh))


def test_the_penalty_and_the_turns() -> None:
    objective = gan(kind="wasserstein", penalty=10.0, every=5)
    assert [(turn.name, turn.every) for turn in objective.turns] == [("generator", 5), ("critic", 1)]
    real = torch.rand(3, 1, 4, 4)
    parts = objective.loss("critic", {"input": real, "target": real}, dict(objective.networks))
    # the gradient of the mean of 16 pixels has the norm 1 / 4: 10 (1 / 4 - 1) ** 2, and the game itself at most 1
    assert 5.625 - 1 < float(parts["loss"]) < 5.625 + 1


def test_what_is_measured_of_a_game_tells_how_it_stands() -> None:
    objective = gan()
    network = objective.networks["generator"]
    bright = {"target": torch.full((4, 1, 4, 4), 0.9)}
    measured = objective.measure(network, bright)
    assert measured["real taken for real"].tolist() == [1, 1, 1, 1]
    assert set(measured["made taken for real"].tolist()) <= {0.0, 1.0}
    sheet = objective.show(network, [bright])
    assert sheet is not None
    expected = network.sample(100, Generator().manual_seed(0))  # type: ignore[operator]
    assert sheet.pixels[0, 0, 0] == pytest.approx(float(expected[0, 0, 0, 0].detach()), abs=1e-6)


@pytest.mark.parametrize("name", ["vae", "gan"])
def test_training(name: str, tiny: RecipeMaker, train: Callable[..., Result]) -> None:
    values: dict[str, Any] = PLAIN | {"data.channels": "grey", "card.colour": "grey", "card.scales": []}
    values |= {"objective.name": name, "network": {"name": "conv-vae", "arguments": CONV}, "run.steps": 6}
    values |= {"run.validate_every": 3, "data.held_out": 3, "data.view": "middle"}
    if name == "gan":
        arguments = {"side": 8, "channels": 1, "width": 2, "depth": 1}
        values["network"] = {"name": "dcgan", "arguments": arguments | {"latent": 3}}
        values["critic"] = {"name": "dcgan-discriminator", "arguments": arguments}
        values["run.keep"] = "last"
    run = train(tiny(values), on_step=lambda step: step.index != 4)
    assert not run.finished
    run = train(tiny(values))
    assert run.finished
    assert run.weight.is_file()
    folder = run.weight.parent
    assert (folder / "sheet.jpg").is_file()
    first = (folder / "validation.csv").read_text().splitlines()[0]
    measured = {"vae": "nats,reconstruction,divergence", "gan": "real taken for real,made taken for real"}
    assert first == f"step,{measured[name]}"


@pytest.mark.parametrize(
    "name", ["vae-digits", "vae-digits-784", "gan-digits", "vae-faces", "gan-faces", "denoise-digits"]
)
def test_recipes_fit_their_networks(name: str) -> None:
    recipe = read_recipe(name)
    network = build(recipe.network.name, recipe.network.arguments)
    channels = 3 if recipe.data.channels == "rgb" else 1
    if isinstance(network, LatentNetwork):
        assert network.shape == (channels, recipe.data.crop, recipe.data.crop)
        assert recipe.card.tasks == ("generate",)
    if recipe.critic is not None:
        critic = build(recipe.critic.name, recipe.critic.arguments)
        assert critic(torch.rand(2, channels, recipe.data.crop, recipe.data.crop)).shape == (2, 1)
