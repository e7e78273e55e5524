"""Feature inversion: what comes out has the features, from pixels and from a deep prior."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from retouch.image.errors import OptionError
from retouch.image.image import Image
from retouch.networks.layers import NamedLayers
from retouch.solvers.ascent.invert import Inversion, bound, variation
from retouch.solvers.steps import Step


def picture(height: int = 24, width: int = 30, channels: int = 3) -> Image:
    rows, columns = torch.linspace(0, 1, height)[:, None], torch.linspace(0, 1, width)
    waves = 0.5 + 0.3 * torch.sin(6 * rows) * torch.cos(9 * columns)
    return Image(torch.stack([waves, waves.flip(0), waves.flip(1)])[:channels].contiguous())


def made(tiny: NamedLayers, **options: object) -> Inversion:
    base = Inversion(network=tiny, layer="relu1", prior="tv", steps=60, variation=0.01, precision="fp32")
    return dataclasses.replace(base, **options)


def test_pixels_find_the_picture_again_from_an_early_layer(tiny: NamedLayers) -> None:
    image = picture()
    solution = made(tiny, layer="conv1", steps=150).solve(image)
    assert solution.history[-1]["loss"] < 0.02 * solution.history[0]["loss"]
    assert float((solution.image.pixels - image.pixels).abs().mean()) < 0.06


def test_a_deep_prior_comes_nearer_too(tiny: NamedLayers) -> None:
    image = picture()
    solution = made(tiny, prior="deep-prior", wide=False, steps=25, learning_rate=0.01).solve(image)
    assert solution.history[-1]["loss"] < 0.8 * solution.history[0]["loss"]
    assert solution.image.pixels.shape == image.pixels.shape


def test_variation_and_bound() -> None:
    flat = torch.full((1, 3, 6, 7), 0.5)
    assert float(variation(flat)) < 1e-6
    assert float(bound(flat)) == 0
    steps = flat.clone()
    steps[..., 3:] += 80 / 255
    assert float(variation(steps)) == pytest.approx(1 / 6, rel=1e-3)
    assert float(bound(flat + 0.5)) == pytest.approx(1, rel=0.05)
    assert float(variation(torch.rand(1, 3, 1, 5))) == 0


def test_more_variation_is_smoother(tiny: NamedLayers) -> None:
    rough, calm = (
        made(tiny, variation=weight).solve(picture()).image.pixels.diff(dim=2).abs().mean() for weight in (0.001, 10.0)
    )
    assert calm < rough


@pytest.mark.parametrize(("size", "channels"), [((1, 1), 3), ((1, 9), 1), ((19, 3), 3)])
@pytest.mark.parametrize("prior", ["tv", "deep-prior"])
def test_any_picture(tiny: NamedLayers, size: tuple[int, int], channels: int, prior: str) -> None:
    for value in (0.0, 1.0):
        image = Image(torch.full((channels, *size), value))
        solution = made(tiny, layer="relu4_3", prior=prior, wide=False, steps=2).solve(image)
        assert solution.image.pixels.shape == image.pixels.shape
        assert bool(solution.image.pixels.isfinite().all())


def test_a_large_picture_is_shown_smaller(tiny: NamedLayers) -> None:
    seen: list[tuple[int, ...]] = []
    tiny.get_submodule("features.0").register_forward_hook(lambda _, args, __: seen.append(tuple(args[0].shape)))
    solution = made(tiny, side=12, steps=1).solve(picture())
    assert set(seen) == {(1, 3, 12, 15)}
    assert solution.image.pixels.shape == (3, 24, 30)


def test_it_repeats_and_stops_and_goes_on(tiny: NamedLayers, tmp_path: Path) -> None:
    for prior in ("tv", "deep-prior"):
        steps: list[Step] = []
        options = {"prior": prior, "wide": False, "steps": 4}
        whole = made(tiny, **options).solve(picture(), on_step=steps.append).image.pixels
        assert [step.index for step in steps] == [1, 2, 3, 4]
        assert steps[0].preview is not None
        assert steps[0].preview.pixels.shape == (3, 24, 30)
        state = made(tiny, state_file=tmp_path / f"{prior}.state", **options)
        assert state.solve(picture(), on_step=lambda step: step.index < 2).stopped_because == "cancelled"
        assert torch.equal(state.solve(picture()).image.pixels, whole)
        assert not torch.equal(made(tiny, seed=1, **options).solve(picture()).image.pixels, whole)


def test_wrong_layers_are_refused(tiny: NamedLayers) -> None:
    with pytest.raises(OptionError, match="unknown layer"):
        made(tiny, layer="relu7").solve(picture())
