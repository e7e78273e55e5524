"""Activation maximisation: every parametrisation raises the unit, channel by channel."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from retouch.image.errors import OptionError
from retouch.image.image import Image
from retouch.networks.layers import NamedLayers
from retouch.solvers.ascent.visualize import Parameters, Spectrum, Visualization, coloured, make_parameters, transformed
from retouch.solvers.steps import Step

KINDS: list[Parameters] = ["fourier", "pixels", "deep-prior"]


def made(tiny: NamedLayers, **options: object) -> Visualization:
    base = Visualization(network=tiny, layer="relu4_3", channels=(1, 4), side=32, steps=12, precision="fp32")
    return dataclasses.replace(base, **options)


def activity(tiny: NamedLayers, image: Image, channel: int) -> float:
    with torch.no_grad():
        return float(tiny(image.pixels[None], ["conv2"])["conv2"][0, channel].mean())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("transform", [True, False])
def test_each_picture_excites_its_channel(tiny: NamedLayers, kind: Parameters, transform: bool) -> None:
    begun = made(tiny, parameters=kind, steps=1).solve()
    steps = 24 if kind == "deep-prior" else 12  # whose first steps may lead away, by the rounding of the processor
    done = made(tiny, parameters=kind, transform=transform, steps=steps).solve()
    assert len(done) == 2
    for channel, first, last in zip((1, 4), begun, done, strict=True):
        assert last.pixels.shape == (3, 32, 32)
        assert activity(tiny, last, channel) > activity(tiny, first, channel)
    assert not torch.equal(done[0].pixels, done[1].pixels)


def test_a_channel_behind_a_dead_relu_wakes_up(tiny: NamedLayers) -> None:
    with torch.no_grad():
        tiny.get_submodule("features.3").bias.fill_(-2.0)
    asleep = made(tiny, channels=(0,), steps=1).solve()[0]
    assert float(tiny(asleep.pixels[None], ["relu4_3"])["relu4_3"][0, 0].sum()) == 0
    awake = made(tiny, channels=(0,), steps=40).solve()[0]
    assert activity(tiny, awake, 0) > activity(tiny, asleep, 0) + 0.1


def test_a_unit_asks_for_its_own_place_only(tiny: NamedLayers) -> None:
    still = {"transform": False, "parameters": "pixels", "channels": (1,), "steps": 12}
    start = made(tiny, **{**still, "steps": 1}).solve()[0].pixels
    changed = (made(tiny, unit=True, **still).solve()[0].pixels - start).abs().amax(0) > 1e-6
    assert bool(changed[14:18, 14:18].any())
    assert not bool(changed[:8].any())
    assert bool(((made(tiny, **still).solve()[0].pixels - start).abs().amax(0) > 1e-6)[:8].any())


def test_variation_calms(tiny: NamedLayers) -> None:
    def roughness(image: Image) -> float:
        return float(image.pixels.diff(dim=1).abs().mean())

    rough, calm = (made(tiny, parameters="pixels", variation=v, steps=20).solve()[0] for v in (0.0, 50.0))
    assert roughness(calm) < roughness(rough)


def test_it_repeats_and_is_told_and_can_be_stopped(tiny: NamedLayers) -> None:
    for kind in KINDS:
        steps: list[Step] = []
        first, again = (made(tiny, parameters=kind, steps=3).solve() for _ in range(2))
        assert all(torch.equal(a.pixels, b.pixels) for a, b in zip(first, again, strict=True))
        torch.rand(1)
        made(tiny, parameters=kind, steps=3).solve(on_step=steps.append)
        runs = 2 if kind == "deep-prior" else 1
        assert [step.index for step in steps] == list(range(1, 3 * runs + 1))
        assert {step.total for step in steps} == {3 * runs}
        assert steps[0].preview is not None
        stopped = made(tiny, parameters=kind, steps=3).solve(on_step=lambda step: False)
        assert len(stopped) == (1 if kind == "deep-prior" else 2)


def test_wrong_layers_channels_and_sides(tiny: NamedLayers) -> None:
    with pytest.raises(OptionError, match=r"channels 0\.\.5, not 6"):
        made(tiny, channels=(0, 6)).solve()
    with pytest.raises(OptionError, match="unknown layer"):
        made(tiny, layer="relu5_3").solve()
    with pytest.raises(OptionError, match="needs at least 2 pixels, not 1"):
        made(tiny, side=1).solve()


def test_a_spectrum_gives_each_frequency_by_its_inverse() -> None:
    torch.manual_seed(0)
    spectrum = Spectrum(64, 32)
    waves = torch.logit(spectrum().detach().double().clamp(1e-6, 1 - 1e-6))
    power = torch.fft.rfft2(waves).abs().square().mean((0, 1))
    assert float(power[0, 2] / power[0, 8]) == pytest.approx(16, rel=0.5)


def test_colours_keep_grey_grey_and_lie_in_the_range() -> None:
    assert torch.equal(coloured(torch.zeros(1, 3, 2, 2)), torch.full((1, 3, 2, 2), 0.5))
    x = torch.zeros(1, 3, 1, 1)
    x[:, 0] = 1.0
    brighter = coloured(x).flatten()
    assert float(brighter.min()) > 0.6
    assert float(brighter.max() - brighter.min()) < 0.01
    assert make_parameters("pixels", 3, 20)().shape == (3, 3, 20, 20)


def test_transformations_move_little_and_repeat() -> None:
    x = torch.full((2, 3, 32, 32), 0.5)
    x[:, :, 12:20, 12:20] = 1.0
    first = transformed(x, torch.Generator().manual_seed(0))
    assert torch.equal(first, transformed(x, torch.Generator().manual_seed(0)))
    assert not torch.equal(first[0], first[1])
    assert float((first - 0.5).sum()) == pytest.approx(float((x - 0.5).sum()), rel=0.3)
