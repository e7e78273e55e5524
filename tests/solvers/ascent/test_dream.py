"""DeepDream: it raises what it should, octave by octave, in tiles too; it repeats, stops and goes on."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from retouch.image.errors import OptionError
from retouch.image.image import Image
from retouch.networks.layers import NamedLayers
from retouch.solvers.ascent.dream import Dream, DreamProcess, even_bands, tiles, zoom
from retouch.solvers.ascent.objectives import Wish
from retouch.solvers.steps import Step


def picture(height: int = 40, width: int = 56, channels: int = 3) -> Image:
    generator = torch.Generator().manual_seed(1)
    return Image((0.5 + 0.1 * torch.randn(channels, height, width, generator=generator)).clamp(0, 1))


def made(tiny: NamedLayers, **options: object) -> Dream:
    base = Dream(network=tiny, wishes=(Wish("relu4_3"),), steps=4, octaves=3, jitter=4, precision="fp32")
    return dataclasses.replace(base, **options)


def activity(tiny: NamedLayers, image: Image, channel: int | None = None) -> float:
    with torch.no_grad():
        found = tiny(image.pixels[None], ["relu4_3"])["relu4_3"]
    return float(found.square().mean() if channel is None else found[:, channel].mean())


@pytest.mark.parametrize("options", [{}, {"smooth": 2}, {"tile": 24}, {"precision": "bf16"}, {"side": 24}])
def test_the_layer_grows(tiny: NamedLayers, options: dict[str, object]) -> None:
    image = picture()
    dreamt = made(tiny, **options).solve(image).image
    assert dreamt.pixels.shape == image.pixels.shape
    assert activity(tiny, dreamt) > 1.5 * activity(tiny, image)


def test_a_channel_grows(tiny: NamedLayers) -> None:
    image = picture()
    before = activity(tiny, image, 2)
    dreamt = made(tiny, wishes=(Wish("relu4_3", 2),)).solve(image).image
    shrunk = made(tiny, wishes=(Wish("relu4_3", 2, -1.0),)).solve(image).image
    assert activity(tiny, dreamt, 2) > 1.3 * before
    assert activity(tiny, shrunk, 2) < before


def test_steps_are_of_the_size_asked_for(tiny: NamedLayers) -> None:
    image = picture()
    process = DreamProcess(made(tiny, octaves=1, steps=1, step=2.0), image.pixels[None])
    _, output = process.step(0)
    assert float((output - image.pixels).abs().mean()) * 255 == pytest.approx(2.0, rel=0.02)


def test_octaves_go_from_coarse_to_fine_and_end_at_the_picture(tiny: NamedLayers) -> None:
    pixels = picture(70, 98).pixels[None]
    assert DreamProcess(made(tiny, octave_scale=2.0), pixels).sizes == [(18, 24), (35, 49), (70, 98)]
    assert DreamProcess(made(tiny, octave_scale=2.0, side=20), pixels).sizes == [(5, 7), (10, 14), (20, 28)]
    few = DreamProcess(made(tiny, octaves=12), pixels).sizes
    assert all(min(size) >= 2 for size in few)
    assert few[-1] == (70, 98)
    assert DreamProcess(made(tiny), torch.rand(1, 3, 1, 3)).sizes == [(2, 6)], "too small for the layer: enlarged"


def test_what_was_dreamt_is_carried_to_the_next_octave(tiny: NamedLayers) -> None:
    process = DreamProcess(made(tiny, octaves=2, octave_scale=2.0), picture().pixels[None])
    for index in range(4):
        process.step(index)
    before = float((process.x - process.base).abs().mean())
    process._begin(1)
    assert process.x.shape[-2:] == (40, 56)
    assert float((process.x - process.base).abs().mean()) > 0.3 * before


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (17, 3)])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_picture(tiny: NamedLayers, size: tuple[int, int], channels: int) -> None:
    for value in (0.0, 0.5, 1.0):
        image = Image(torch.full((channels, *size), value))
        dreamt = made(tiny, smooth=2).solve(image).image
        assert dreamt.pixels.shape == image.pixels.shape
        assert bool(dreamt.pixels.isfinite().all())


def test_a_guide_makes_another_dream(tiny: NamedLayers) -> None:
    image = picture()
    free = made(tiny).solve(image).image
    stripes = torch.zeros(3, 20, 30)
    stripes[:, ::2] = 1
    led = made(tiny, guide=Image(stripes)).solve(image).image
    assert not torch.allclose(free.pixels, led.pixels, atol=0.01)


def test_tiles_cover_every_pixel_once() -> None:
    seen = torch.zeros(1, 1, 50, 33)
    parts = list(tiles(50, 33, 16))
    for part in parts:
        assert max(seen[part].shape[-2:]) <= 16
        seen[part] += 1
    assert bool((seen == 1).all())


def test_tiled_gradients_are_those_of_the_whole_where_tiles_do_not_matter(tiny: NamedLayers) -> None:
    """The first layer's channel mean is linear in small parts: away from the seams the gradient is the same."""
    x = picture(32, 48).pixels[None]
    wishes = (Wish("conv1", 1),)
    whole = DreamProcess(made(tiny, wishes=wishes, tile=None), x)._gradient(x)
    process = DreamProcess(made(tiny, wishes=wishes, tile=16), x)
    parts = process._gradient(x)
    assert process._tiled()
    assert parts[0] == pytest.approx(whole[0], rel=0.2, abs=0.01)
    torch.testing.assert_close(parts[1][..., 2:14, 2:14], whole[1][..., 2:14, 2:14])


def test_bands_are_evened() -> None:
    coarse = torch.sin(torch.arange(64) * 2 * torch.pi / 32).expand(1, 3, 64, 64)
    fine = 0.01 * (torch.arange(64) % 2 * 2 - 1).float()[:, None]
    spectrum = torch.fft.rfft2(even_bands(coarse + fine, 3))[0, 0].abs()
    before = torch.fft.rfft2(coarse + fine)[0, 0].abs()
    assert before[32, 0] < 0.05 * before[0, 2]
    assert spectrum[32, 0] > 0.3 * spectrum[0, 2]
    assert even_bands(torch.zeros(1, 3, 8, 8), 3).abs().max() == 0


def test_it_repeats_with_its_seed(tiny: NamedLayers) -> None:
    first, again, other = (made(tiny, seed=seed).solve(picture()).image.pixels for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_steps_are_told_and_it_can_be_stopped(tiny: NamedLayers) -> None:
    steps: list[Step] = []

    def listen(step: Step) -> bool:
        steps.append(step)
        return step.index < 5

    solution = made(tiny).solve(picture(), on_step=listen)
    assert solution.stopped_because == "cancelled"
    assert [step.index for step in steps] == [1, 2, 3, 4, 5]
    assert {step.total for step in steps} == {12}
    assert steps[0].preview is not None
    assert steps[0].preview.pixels.shape == (3, 40, 56)
    assert not torch.equal(solution.image.pixels, picture().pixels)


def test_a_stopped_dream_goes_on_to_the_same_end(tiny: NamedLayers, tmp_path: Path) -> None:
    whole = made(tiny).solve(picture()).image.pixels
    dream = made(tiny, state_file=tmp_path / "dream.state")
    dream.solve(picture(), on_step=lambda step: step.index < 6)
    assert (tmp_path / "dream.state").exists()
    assert torch.equal(dream.solve(picture()).image.pixels, whole)


def test_wrong_layers_are_refused(tiny: NamedLayers) -> None:
    with pytest.raises(OptionError, match="unknown layer 'relu9'"):
        made(tiny, wishes=(Wish("relu9"),)).solve(picture())


def test_zoom_makes_frames_and_tells_them_as_one_run(tiny: NamedLayers) -> None:
    steps: list[Step] = []
    image = picture()
    frames = list(zoom(image, lambda number: made(tiny, seed=number), 3, scale=1.2, on_step=steps.append))
    assert len(frames) == 3
    assert all(frame.pixels.shape == image.pixels.shape for frame in frames)
    assert [step.index for step in steps] == list(range(1, 37))
    assert {step.total for step in steps} == {36}
    assert steps[-1].stage == "frame 3 of 3"
    torch.testing.assert_close(frames[0].pixels, made(tiny).solve(image).image.pixels)
    stopped = list(zoom(image, lambda number: made(tiny), 3, on_step=lambda step: step.index < 14))
    assert len(stopped) == 2


def test_zoom_enlarges_about_the_middle(tiny: NamedLayers) -> None:
    ramp = torch.linspace(0.2, 0.8, 61).expand(3, 31, 61)
    still = made(tiny, octaves=1, steps=1, step=1e-6)
    _, second = zoom(Image(ramp.contiguous(), ramp[:1].contiguous()), lambda number: still, 2, scale=2.0)
    assert float(second.pixels[0, 15, 30]) == pytest.approx(0.5, abs=1e-3)
    slope = float(second.pixels[0, 15, 40] - second.pixels[0, 15, 20])
    assert slope == pytest.approx(20 * 0.6 / 60 / 2, rel=0.02)
    assert second.alpha is not None
    torch.testing.assert_close(second.alpha, second.pixels[:1], atol=1e-3, rtol=0)
