"""``retouch.generate``: seeds, counts, interpolations, manifolds, what it refuses."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Generator, Tensor, nn

import retouch
from retouch.image.errors import OptionError
from retouch.models import catalogue
from retouch.models.card import Card
from retouch.models.load import Model, save_weights
from retouch.networks.build import build
from retouch.networks.latent import LatentNetwork
from retouch.networks.vae import VariationalAutoencoder
from retouch.solvers.steps import Step
from retouch.tasks.generate import GenerateOptions, fitted, sheet_of

CARD = Card(
    name="tiny", family="vae", architecture="vae", arguments={}, tasks=("generate",), colour="grey", summary="tiny"
)


def weight(folder: Path, latent: int = 3) -> Path:
    arguments = {"side": 6, "hidden": 8, "latent": latent}
    torch.manual_seed(latent)
    network = build("vae", arguments)
    with torch.no_grad():
        for parameter in network.parameters():  # fresh weights hardly heed their numbers
            parameter.mul_(4)
    path = folder / f"tiny-{latent}.safetensors"
    save_weights(path, network.state_dict(), dataclasses.replace(CARD, arguments=arguments), store="fp32")
    return path


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return weight(tmp_path)


def network_of(path: Path) -> LatentNetwork:
    network = catalogue.load(path).network
    assert isinstance(network, LatentNetwork)
    return network


def pixels(pictures: list[retouch.Image]) -> Tensor:
    return torch.stack([picture.pixels for picture in pictures])


def test_a_seed_repeats_and_more_pictures_are_the_same_and_others(tiny: Path) -> None:
    few, many = retouch.generate(tiny, count=3), retouch.generate(tiny, count=40)
    assert (len(few), len(many)) == (3, 40)
    assert torch.allclose(pixels(few), pixels(many)[:3], atol=1e-6)
    assert len({picture.pixels.sum().item() for picture in many}) == 40
    assert not torch.allclose(pixels(retouch.generate(tiny, count=3, seed=1)), pixels(few), atol=1e-3)
    still = pixels(retouch.generate(tiny, count=2, temperature=0))
    assert torch.allclose(still[0], still[1])
    assert torch.allclose(still[:1], network_of(tiny).decode(torch.zeros(1, 3)), atol=1e-6)


def test_interpolation_goes_from_sample_to_sample(tiny: Path) -> None:
    ends = pixels(retouch.generate(tiny, count=4))
    made = pixels(retouch.generate(tiny, count=3, interpolate=5))
    assert len(made) == 15
    assert torch.allclose(made[::5], ends[:3], atol=1e-5)
    assert torch.allclose(made[4::5], ends[1:], atol=1e-5)
    steps = (made[1:5] - made[:4]).flatten(1).norm(dim=1)
    assert bool((steps > 0).all())
    assert steps.max() < (made[4] - made[0]).norm()


def test_manifold_of_two_numbers_is_all_that_the_network_makes(tmp_path: Path) -> None:
    path = weight(tmp_path, latent=2)
    made = pixels(retouch.generate(path, count=9, manifold=True))
    z = torch.special.ndtri(torch.tensor([0.05, 0.5, 0.95]))
    left, middle, right = z.tolist()
    numbers = torch.tensor([(x, y) for y in (right, middle, left) for x in (left, middle, right)])
    assert torch.allclose(made, network_of(path).decode(numbers), atol=1e-5)


def test_manifold_of_more_numbers_has_samples_in_its_corners(tiny: Path) -> None:
    corners = pixels(retouch.generate(tiny, count=4))
    made = pixels(retouch.generate(tiny, count=12, manifold=True)).view(4, 4, 1, 6, 6)
    found = torch.stack([made[0, 0], made[0, -1], made[-1, 0], made[-1, -1]])
    assert torch.allclose(found, corners, atol=1e-5)


def test_steps_previews_and_a_stop(tiny: Path) -> None:
    heard: list[Step] = []
    retouch.generate(tiny, count=40, on_step=heard.append)
    assert [(step.index, step.total) for step in heard] == [(16, 40), (32, 40), (40, 40)]
    assert heard[-1].preview is not None
    stopped = retouch.generate(tiny, count=40, on_step=lambda step: False)
    assert len(stopped) == 16


def test_the_note_says_that_a_network_made_it(tiny: Path) -> None:
    picture = retouch.generate(tiny, count=1, seed=5, temperature=0.5)[0]
    assert picture.metadata.xmp is not None
    text = picture.metadata.xmp.decode()
    assert "digitalsourcetype/trainedAlgorithmicMedia" in text
    assert "model=tiny" in text
    assert "seed=5; temperature=0.5" in text
    assert retouch.generate(tiny, count=1, note=False)[0].metadata.xmp is None
    assert sheet_of([picture], 1).metadata.xmp == picture.metadata.xmp


class _Noise(nn.Module):
    """Samples without numbers within."""

    def sample(self, count: int, generator: Generator | None = None, temperature: float = 1.0) -> Tensor:
        return 0.5 + temperature * (torch.rand(count, 3, 4, 4, generator=generator) - 0.5)


def test_networks_without_numbers_within(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "load", lambda name: Model(CARD, _Noise(), tmp_path))
    made = retouch.generate("noise", count=20)
    assert len({picture.pixels.sum().item() for picture in made}) == 20
    assert torch.equal(pixels(made), pixels(retouch.generate("noise", count=20)))
    assert pixels(retouch.generate("noise", count=2, temperature=0)).unique().tolist() == [0.5]
    for option in ({"manifold": True}, {"interpolate": 3}):
        with pytest.raises(OptionError, match="no numbers within"):
            retouch.generate("noise", **option)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda path: retouch.generate("fsrcnn-x2"), "a weight for upscale, not for generate"),
        (lambda path: retouch.generate("fsrcn-x2"), "unknown model 'fsrcn-x2'; did you mean"),
        (lambda path: retouch.generate(path, temprature=2), "unknown option 'temprature' of generate"),
        (lambda path: retouch.generate(path, count=0), "--count must be in 1..100000"),
        (lambda path: retouch.generate(path, interpolate=3, manifold=True), "one of --interpolate and --manifold"),
    ],
)
def test_refused(call: Callable[[Path], Any], words: str, tiny: Path) -> None:
    with pytest.raises(OptionError, match=words):
        call(tiny)


@pytest.mark.parametrize(
    ("values", "columns", "total"),
    [
        ({}, 8, 64),
        ({"count": 10}, 4, 10),
        ({"count": 3, "interpolate": 7}, 7, 21),
        ({"count": 10, "manifold": True}, 4, 16),
    ],
)
def test_how_many_and_side_by_side(values: dict[str, Any], columns: int, total: int) -> None:
    options = GenerateOptions(**values)
    assert (options.columns, options.total) == (columns, total)


def drawn(count: int, channels: int = 1, height: int = 6, width: int = 6) -> list[retouch.Image]:
    generator = torch.Generator().manual_seed(3)
    return [retouch.Image(torch.rand(channels, height, width, generator=generator)) for _ in range(count)]


def test_pictures_come_back_as_the_network_would_make_them(tiny: Path, tmp_path: Path) -> None:
    given = drawn(20)
    network = network_of(tiny)
    assert isinstance(network, VariationalAutoencoder)
    expected = network.decode(network.encode(pixels(given))[0])
    made = retouch.generate(tiny, pictures=given)
    assert torch.allclose(pixels(made), expected, atol=1e-6)
    given[0].save(tmp_path / "given.png")
    assert torch.allclose(pixels(retouch.generate(tiny, pictures=[tmp_path / "given.png"])), expected[:1], atol=0.02)


def test_ways_and_squares_between_pictures(tiny: Path) -> None:
    given = drawn(4)
    ends = pixels(retouch.generate(tiny, pictures=given))
    ways = pixels(retouch.generate(tiny, pictures=given, interpolate=5))
    assert len(ways) == 15
    assert torch.allclose(ways[::5], ends[:3], atol=1e-5)
    assert torch.allclose(ways[4::5], ends[1:], atol=1e-5)
    square = pixels(retouch.generate(tiny, pictures=given, manifold=True, count=9)).view(3, 3, 1, 6, 6)
    assert torch.allclose(torch.stack([square[0, 0], square[0, -1], square[-1, 0], square[-1, -1]]), ends, atol=1e-5)


def test_a_picture_of_another_size_is_seen_by_its_middle() -> None:
    wide = torch.zeros(3, 12, 40)
    wide[:, :, 14:26] = torch.tensor([0.2, 0.4, 0.6])[:, None, None]
    seen = fitted([retouch.Image(wide)], (1, 6, 6))
    assert torch.allclose(seen, torch.full((1, 1, 6, 6), 0.299 * 0.2 + 0.587 * 0.4 + 0.114 * 0.6), atol=1e-6)
    small = torch.rand(1, 3, 3, generator=torch.Generator().manual_seed(0))
    assert fitted([retouch.Image(small)], (3, 6, 6)).shape == (1, 3, 6, 6)
    tall = torch.arange(8.0)[None, :, None].expand(1, 8, 2) / 8
    assert torch.allclose(fitted([retouch.Image(tall)], (1, 4, 1))[0, 0, :, 0], torch.tensor([1, 5, 9, 13]) / 16)


@pytest.mark.parametrize(
    ("count", "options", "words"),
    [(3, {"manifold": True}, "between four pictures, not 3"), (1, {"interpolate": 4}, "give two or more")],
)
def test_too_few_pictures(tiny: Path, count: int, options: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        retouch.generate(tiny, pictures=drawn(count), **options)


def test_networks_without_an_encoder_take_no_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for network in (_Noise(), build("dcgan", {"side": 8, "channels": 1, "width": 2, "depth": 1, "latent": 3})):
        monkeypatch.setattr(catalogue, "load", lambda name, made=network: Model(CARD, made, tmp_path))
        with pytest.raises(OptionError, match="has no encoder"):
            retouch.generate("noise", pictures=drawn(2))
