"""Trained networks as methods: the plan of scales, which weight is taken, cascades, progress, refusals."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import retouch
from retouch.image.errors import Cancelled, OptionError
from retouch.image.image import Image
from retouch.image.resize import bicubic
from retouch.models.card import Card
from retouch.models.catalogue import for_task
from retouch.models.load import save_weights
from retouch.networks.build import build
from retouch.solvers.steps import Step
from retouch.tasks import TASKS, learned
from retouch.tasks.learned import plan_scales, views_within


@pytest.mark.parametrize(
    ("scale", "available", "expected"),
    [
        (6, [2, 3, 4], [2, 3]), (1.5, [2, 3, 4], [2]), (8, [2, 3, 4], [2, 4]), (5, [2, 3], [2, 3]),
        (16, [2, 4], [4, 4]), (3, [4, 2], [4]), (2, [3], [3]), (1, [2], []), (10, [2], [2, 2, 2, 2]),
        (4, [2, 1], [2, 2]),
    ],
)  # fmt: skip
def test_scales_are_reached_by_the_fewest_and_smallest_factors(
    scale: float, available: list[int], expected: list[int]
) -> None:
    assert plan_scales(scale, available) == expected


@given(scale=st.floats(1.01, 16), available=st.lists(st.integers(2, 5), min_size=1, max_size=4))
def test_no_other_plan_is_shorter_or_smaller(scale: float, available: list[int]) -> None:
    plan = plan_scales(scale, available)
    assert math.prod(plan) >= scale
    shorter = itertools.product(available, repeat=len(plan) - 1)
    assert all(math.prod(other) < scale for other in shorter)
    alike = itertools.product(available, repeat=len(plan))
    assert all(math.prod(other) < scale or math.prod(other) >= math.prod(plan) for other in alike)


def test_no_factor_is_an_error() -> None:
    with pytest.raises(ValueError, match="no factor"):
        plan_scales(2, [1])


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of weights, of the user and of the package."""
    from retouch.models import catalogue

    monkeypatch.setenv("RETOUCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(catalogue, "PACKAGED", tmp_path / "none")
    (tmp_path / "home" / "models").mkdir(parents=True)
    return tmp_path / "home" / "models"


def _save(
    folder: Path,
    name: str,
    family: str,
    task: str,
    *,
    value: float | None = None,
    scale: int = 1,
    width: int = 4,
    **card: Any,
) -> Path:
    """A weight: FSRCNN of random weights, or (``value``) SRCNN that makes every pixel that grey."""
    architecture = "fsrcnn" if value is None else "srcnn"
    arguments: dict[str, Any] = {"scale": scale, "width": width, "shrunk": 2, "depth": 0}
    if value is not None:
        arguments = {"kernels": [1, 1, 1], "widths": [1, 1], "channels": 3 if card.get("colour") == "rgb" else 1}
    network = build(architecture, arguments)
    if value is not None:
        for parameter in network.parameters():
            nn.init.zeros_(parameter)
        nn.init.constant_(network.body[-1].bias, value)  # type: ignore[index, union-attr]
    filled = {"colour": "y", "summary": "of a test", **card}
    path = folder / f"{name}.safetensors"
    save_weights(
        path,
        network.state_dict(),
        Card(name=name, family=family, architecture=architecture, arguments=arguments, tasks=(task,), **filled),
        store="fp32",
    )
    return path


def _picture(channels: int = 3, height: int = 21, width: int = 34, alpha: bool = False) -> Image:
    generator = torch.Generator().manual_seed(0)
    opacity = torch.rand(1, height, width, generator=generator) if alpha else None
    return Image(torch.rand(channels, height, width, generator=generator), opacity)


def test_without_weights_auto_leaves_them_out_and_a_name_tells_how_to_get_them() -> None:
    task = TASKS["upscale"]
    assert not task.choose(0.01, task.make_options(device="cpu", budget=1e9)).learned
    with pytest.raises(OptionError, match="no weights of vdsr here: retouch train vdsr --images DIR"):
        retouch.upscale(_picture(), method="vdsr")
    with pytest.raises(OptionError, match="retouch train fsrcnn-x3 "):
        retouch.upscale(_picture(), method="fsrcnn", scale=3)
    with pytest.raises(OptionError, match="no weights of dncnn-3"):
        retouch.dejpeg(_picture(), method="dncnn-3")


def test_auto_prefers_weights_that_are_here(home: Path) -> None:
    _save(home, "fsrcnn-x2", "fsrcnn", "upscale", scale=2, scales=(2,))
    task = TASKS["upscale"]
    options = task.make_options(device="cpu")
    assert task.choose(0.01, options).name == "fsrcnn"
    assert task.choose(0.01, task.make_options(device="cpu", scale=1.5)).name == "fsrcnn"


@pytest.mark.parametrize("scale", [1, 1.5, 2, 3, 2.7, 5, 6])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_scale_gives_its_rounded_size(home: Path, scale: float, channels: int) -> None:
    _save(home, "fsrcnn-x2", "fsrcnn", "upscale", scale=2, scales=(2,))
    _save(home, "fsrcnn-x3", "fsrcnn", "upscale", scale=3, scales=(3,))
    image = _picture(channels, alpha=True)
    size = (math.floor(21 * scale + 0.5), math.floor(34 * scale + 0.5))
    for method in ("fsrcnn", "bicubic", "lanczos"):
        result = retouch.upscale(image, scale=scale, method=method)
        assert (result.channels, result.height, result.width) == (channels, *size)
        assert result.alpha is not None
        assert result.alpha.shape == (1, *size)


def test_a_cascade_is_one_network_after_the_other_then_one_resize(home: Path) -> None:
    for scale in (2, 3):
        _save(home, f"fsrcnn-x{scale}", "fsrcnn", "upscale", scale=scale, scales=(scale,))
    image = _picture(1)
    twice = retouch.upscale(image, scale=2, method="fsrcnn")
    expected = retouch.upscale(twice, scale=3, method="fsrcnn")
    assert torch.allclose(retouch.upscale(image, scale=6, method="fsrcnn").pixels, expected.pixels, atol=1e-4)
    smaller = bicubic(expected.pixels[None], (105, 170))[0].clamp(0, 1)
    assert torch.allclose(retouch.upscale(image, scale=5, method="fsrcnn").pixels, smaller, atol=1e-4)


def test_whole_scales_are_ints_and_deep_priors_need_them() -> None:
    task = TASKS["upscale"]
    assert repr(task.make_options(scale=4.0).scale) == "4"  # type: ignore[attr-defined]
    for scale in (1.5, 12):
        with pytest.raises(OptionError, match="whole --scale of 2 to 8"):
            retouch.upscale(_picture(), scale=scale, method="deep-prior")
    for scale in (0.5, 17, math.nan):
        with pytest.raises(OptionError, match=r"--scale must be in 1\.\.16"):
            task.make_options(scale=scale)


def test_single_pixels_and_the_picture_given_stay_sound(home: Path) -> None:
    _save(home, "fsrcnn-x2", "fsrcnn", "upscale", scale=2, scales=(2,))
    tiny = Image(torch.full((3, 1, 1), 0.5))
    assert retouch.upscale(tiny, method="fsrcnn").pixels.shape == (3, 2, 2)
    image = _picture()
    before = image.pixels.clone()
    assert torch.equal(retouch.upscale(image, scale=1, method="fsrcnn").pixels, before)
    retouch.upscale(image, scale=3, method="fsrcnn", ensemble=True)
    assert torch.equal(image.pixels, before)


def _grey(image: Image) -> float:
    assert float(image.pixels.std()) < 1e-4
    return float(image.pixels.mean())


def test_a_blind_network_says_that_it_heeds_no_sigma(home: Path) -> None:
    _save(home, "s25", "dncnn", "denoise", value=0.25, colour="each", sigma=(25, 25))
    _save(home, "unet-denoise", "unet", "denoise", value=0.75, colour="rgb", sigma=(0, 55))
    for method, sigma, expected in (("unet", 30.0, True), ("unet", None, False), ("dncnn", 25.0, False)):
        steps: list[Step] = []
        options: dict[str, Any] = {} if sigma is None else {"sigma": sigma}
        retouch.denoise(_picture(3), method=method, on_step=steps.append, **options)
        assert any("finds out by itself" in (step.note or "") for step in steps) is expected, (method, sigma)


def _save_neighbour(home: Path) -> None:
    """Weights of two families that give every pixel its left neighbour."""
    arguments: dict[str, Any] = {"kernels": [1, 1, 3], "widths": [1, 1], "channels": 1}
    network = build("srcnn", arguments)
    for layer in (module for module in network.modules() if isinstance(module, nn.Conv2d)):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        layer.weight.data[0, 0, layer.kernel_size[0] // 2, 0] = 1.0
    for name, family in (("unet-denoise", "unet"), ("other", "mine")):
        card = Card(
            name=name, family=family, architecture="srcnn", arguments=arguments, tasks=("denoise",), colour="y",
            summary="of a test", sigma=(0, 55),
        )  # fmt: skip
        save_weights(home / f"{name}.safetensors", network.state_dict(), card, store="fp32")


def test_strong_noise_is_seen_from_two_sides_by_the_default_alone(home: Path) -> None:
    """The mean of the picture and its half turn, from sigma 35, told or found; one view by a weight of another kind."""
    _save_neighbour(home)
    weak = Image(0.5 + torch.randn(1, 96, 96, generator=torch.Generator().manual_seed(2)) * 0.02)
    strong = Image((0.5 + (weak.pixels - 0.5) * 9).clamp(0, 1))  # of sigma 46

    def check(image: Image, views: int, **options: Any) -> None:
        steps: list[Step] = []
        result = retouch.denoise(image, device="cpu", on_step=steps.append, **options).pixels[..., 1:-1]
        left, right = image.pixels[..., :-2], image.pixels[..., 2:]
        assert torch.allclose(result, left if views == 1 else (left + right) / 2, atol=4e-3)  # in bfloat16, perhaps
        assert any("mean of 2 views" in (step.note or "") for step in steps) is (views == 2)

    check(weak, 1, method="unet")
    check(strong, 2, method="unet")
    check(weak, 2, method="unet", sigma=35)
    check(strong, 1, method="unet", sigma=34)
    check(strong, 1, model="other")


def test_auto_takes_the_mean_of_as_many_views_as_there_is_time_for(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _save_neighbour(home)
    image, task = _picture(1, 40, 44), TASKS["denoise"]
    around = image.pixels[..., 1:-1, 1:-1]
    sides = {
        name: image.pixels[..., 1 + dy : 1 + dy + around.shape[-2], 1 + dx : 1 + dx + around.shape[-1]]
        for name, (dy, dx) in {"left": (0, -1), "right": (0, 1), "up": (-1, 0), "down": (1, 0)}.items()
    }
    once = task.method("unet").seconds(image.megapixels, "cpu", task.make_options(method="unet", sigma=5))
    moved = image.megapixels * 0.1  # once, whatever the views

    def check(expected: str, said: int | None, **options: Any) -> None:
        steps: list[Step] = []
        result = retouch.denoise(image, device="cpu", sigma=5, on_step=steps.append, **options).pixels
        mean = torch.stack([sides[name] for name in expected.split()]).mean(0)
        assert torch.allclose(result[..., 1:-1, 1:-1], mean, atol=4e-3)
        told = [step.note for step in steps if step.note is not None and "as there is time for it" in step.note]
        assert told == ([] if said is None else [f"the mean of {said} views, as there is time for it"])
        made = task.make_options(sigma=5, **options)
        views = 8 if said is None and len(expected.split()) == 4 else said or 1
        seconds = task.method("unet").seconds(image.megapixels, "cpu", made)
        assert seconds - moved == pytest.approx(views * (once - moved))

    check("left right up down", 8)
    check("left", None, method="unet")
    check("left", None, model="unet-denoise")
    check("left right up down", None, method="unet", ensemble=True)
    for views, expected in ((4, "left right up down"), (2, "left right"), (None, "left")):
        monkeypatch.setattr(learned, "SPARE", (views or 1) * once * 1.5)
        check(expected, views)


@pytest.mark.parametrize(
    ("seconds", "options", "views"),
    [
        (0.1, {}, 8), (1.0, {}, 8), (1.01, {}, 4), (2.0, {}, 4), (2.1, {}, 2), (4.0, {}, 2), (4.1, {}, 1), (90, {}, 1),
        (1.0, {"budget": 4}, 4), (1.0, {"budget": 1.5}, 1), (0.1, {"method": "unet"}, 1), (0.1, {"model": "mine"}, 1),
        (9.0, {"ensemble": True}, 8), (0.1, {"method": "unet", "ensemble": True}, 8),
    ],
)  # fmt: skip
def test_views_within_the_time(seconds: float, options: dict[str, Any], views: int) -> None:
    assert views_within(seconds, TASKS["denoise"].make_options(**options)) == views


def test_only_the_defaults_take_further_views() -> None:
    """A weight that draws, or one of a paper, is not averaged unless asked."""
    spare = [(task.name, method.name) for task in TASKS.values() for method in task.methods if method.spare]
    assert spare == [("denoise", "unet"), ("upscale", "residual"), ("dejpeg", "unet")]


def test_two_views_cost_twice_the_time_where_the_noise_is_told(home: Path) -> None:
    _save(home, "unet-denoise", "unet", "denoise", colour="y", sigma=(0, 55))
    task = TASKS["denoise"]
    method = task.method("unet")
    seconds = [method.seconds(1, "cpu", task.make_options(sigma=sigma, method="unet")) for sigma in (None, 25, 50)]
    assert seconds[0] == seconds[1]
    assert seconds[2] - 0.1 == pytest.approx(2 * (seconds[0] - 0.1))  # but for the moving of the pixels


def test_the_weight_trained_for_the_noise_is_taken(home: Path) -> None:
    _save(home, "s25", "dncnn", "denoise", value=0.25, colour="each", sigma=(25, 25))
    grey, colour = _picture(1), _picture(3)
    assert _grey(retouch.denoise(grey, sigma=25, method="dncnn")) == pytest.approx(0.25, abs=0.01)
    with pytest.raises(OptionError, match="noise of sigma 25, not 50"):
        retouch.denoise(grey, sigma=50, method="dncnn")
    with pytest.raises(OptionError, match="give --sigma"):
        retouch.denoise(grey, method="dncnn")
    _save(home, "blind", "dncnn", "denoise", value=0.75, colour="rgb", sigma=(0, 55))
    assert _grey(retouch.denoise(grey, sigma=25, method="dncnn")) == pytest.approx(0.25, abs=0.01)
    for sigma in (25, 50):
        assert _grey(retouch.denoise(colour, sigma=sigma, method="dncnn")) == pytest.approx(0.75, abs=0.01)
    assert _grey(retouch.denoise(grey, sigma=50, method="dncnn")) == pytest.approx(0.75, abs=0.01)


def test_model_overrides_the_family(home: Path, tmp_path: Path) -> None:
    _save(home, "fsrcnn-x2", "fsrcnn", "upscale", scale=2, scales=(2,))
    file = _save(tmp_path, "mine", "own", "upscale", value=0.5, scales=(2, 3), colour="rgb")
    assert _grey(retouch.upscale(_picture(), model=str(file), scale=3)) == pytest.approx(0.5, abs=0.01)
    task = TASKS["upscale"]
    assert task.choose(1, task.make_options(model=str(file))).name == "own"
    assert task.choose(1, task.make_options(model="fsrcnn-x2")).name == "fsrcnn"
    with pytest.raises(OptionError, match="a weight for upscale, not for denoise"):
        retouch.denoise(_picture(), model="fsrcnn-x2")
    with pytest.raises(OptionError, match="a weight of fsrcnn, not of --method bicubic"):
        retouch.upscale(_picture(), model="fsrcnn-x2", method="bicubic")
    with pytest.raises(OptionError, match="did you mean 'fsrcnn-x2'"):
        retouch.upscale(_picture(), model="fsrcn-x2")


def test_progress_counts_the_tiles_of_all_stages_and_false_cancels(home: Path) -> None:
    for scale in (2, 3):
        _save(home, f"fsrcnn-x{scale}", "fsrcnn", "upscale", scale=scale, scales=(scale,))
    steps: list[retouch.Step] = []
    image = _picture(1, 50, 60)
    retouch.upscale(image, scale=6, method="fsrcnn", tile="40", on_step=steps.append)
    tiles = [step for step in steps if step.note is None]
    assert [step.index for step in tiles] == list(range(1, len(tiles) + 1))
    assert {step.total for step in tiles} == {len(tiles)}
    assert tiles[-1].seconds_left == 0
    assert {step.note for step in steps} >= {"weights: fsrcnn-x2", "weights: fsrcnn-x3"}
    with pytest.raises(Cancelled):
        retouch.upscale(image, method="fsrcnn", tile="40", on_step=lambda step: step.note is not None)


def test_a_larger_weight_costs_more(home: Path) -> None:
    """The estimate goes by the parameters of the weight that runs for a scale, the largest there is."""
    task = TASKS["upscale"]
    for name, scale, width in (("small", 2, 4), ("large", 2, 64), ("other", 3, 4)):
        _save(home, name, "residual", "upscale", scale=scale, scales=(scale,), width=width)
    parameters = {card.name: card.parameters for card in for_task("upscale", "residual")}
    method = task.method("residual")
    two, three = (method.seconds(1, "cpu", task.make_options(scale=scale, method="residual")) for scale in (2, 3))
    moved = [1e6 * scale**2 * 1e-7 for scale in (2, 3)]
    assert (two - moved[0]) / (three - moved[1]) == pytest.approx(parameters["large"] / parameters["other"])


def test_the_ensemble_costs_eight_times_the_network(home: Path) -> None:
    task = TASKS["upscale"]
    method = task.method("vdsr")
    once, eight = (method.seconds(1, "cpu", task.make_options(ensemble=ensemble)) for ensemble in (False, True))
    assert 7 < eight / once <= 8
