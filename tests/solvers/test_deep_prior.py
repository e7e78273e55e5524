"""Deep Image Prior on pictures small enough to fit in seconds: it must restore, repeat, resume and take any size."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from torch import Tensor

from retouch.degradations.base import Degradation, Identity
from retouch.degradations.mask import FixedMask
from retouch.image.errors import OptionError, RetouchError
from retouch.image.image import Image
from retouch.solvers import presets
from retouch.solvers.deep_prior import DeepPrior, Fit
from retouch.solvers.presets import PRESETS, PUBLISHED, Preset
from retouch.solvers.steps import Step

TINY = Preset(network={"down": (8, 8), "up": (8, 8), "skip": (2, 2), "input_depth": 8}, steps=60, average=0.9)


@pytest.fixture(autouse=True)
def _tiny_presets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PRESETS, "tiny", TINY)
    decoder = replace(TINY, network={"width": 16, "layers": 3}, decoder=True, code_noise=0.0)
    monkeypatch.setitem(PRESETS, "tiny-decoder", decoder)
    monkeypatch.setitem(PRESETS, "tiny-guide", replace(TINY, network={**TINY.network, "input_depth": 3}, code="guide"))
    monkeypatch.setitem(PRESETS, "tiny-three", replace(TINY, networks=3))
    monkeypatch.setitem(PRESETS, "tiny-warm", replace(TINY, code="estimate"))
    monkeypatch.setitem(PRESETS, "tiny-grid", replace(TINY, network={**TINY.network, "input_depth": 2}, code="grid"))


def _picture(height: int = 32, width: int = 40, channels: int = 3) -> Image:
    """A smooth picture with an edge."""
    rows = torch.linspace(0, 1, height).view(1, -1, 1)
    columns = torch.linspace(0, 1, width).view(1, 1, -1)
    base = 0.25 + 0.4 * rows * columns + 0.25 * (columns > 0.6)
    return Image((base * torch.tensor([1.0, 0.8, 0.6])[:channels].view(-1, 1, 1)).clamp(0, 1))


def _noisy(image: Image, sigma: float = 25, seed: int = 0) -> Image:
    noise = torch.randn(image.pixels.shape, generator=torch.Generator().manual_seed(seed)) * sigma / 255
    return image.with_pixels(image.pixels + noise)


def _psnr(a: Image, b: Image) -> float:
    return -10 * math.log10(float((a.pixels - b.pixels).square().mean()))


class _Halve(Degradation):
    """Averages 2x2 blocks."""

    scale = Fraction(1, 2)
    linear = differentiable = True

    def forward(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        return torch.nn.functional.avg_pool2d(x, 2)


@pytest.mark.parametrize("preset", ["tiny", "tiny-decoder"])
@pytest.mark.parametrize("channels", [1, 3])
def test_denoises(preset: str, channels: int) -> None:
    clean = _picture(channels=channels)
    noisy = _noisy(clean)
    solution = DeepPrior(preset=preset, steps=150, device="cpu").solve(noisy)
    assert _psnr(solution.image, clean) > _psnr(noisy, clean) + 4
    assert solution.image.channels == channels
    assert (solution.steps, solution.stopped_because) == (150, "steps")


def test_fills_what_the_mask_hides_and_never_sees_it() -> None:
    clean = _picture()
    mask = torch.ones(1, 32, 40)
    mask[:, 10:16, 12:20] = 0
    spoilt = clean.with_pixels(torch.where(mask > 0, clean.pixels, torch.ones(())))
    zeroed = clean.with_pixels(clean.pixels * mask)
    solver = DeepPrior(preset="tiny", steps=200, device="cpu")
    filled = solver.solve(spoilt, FixedMask(mask)).image
    hole = (mask == 0).expand(3, -1, -1)
    assert float((filled.pixels - clean.pixels)[hole].abs().mean()) < 0.06
    assert torch.equal(filled.pixels, solver.solve(zeroed, FixedMask(mask)).image.pixels)


def test_super_resolves_to_the_size_the_scale_tells() -> None:
    clean = _picture()
    small = clean.with_pixels(torch.nn.functional.avg_pool2d(clean.pixels, 2))
    result = DeepPrior(preset="tiny", steps=150, device="cpu").solve(small, _Halve()).image
    assert (result.height, result.width) == (32, 40)
    assert _psnr(result, clean) > 22


def test_guided_and_grid_codes() -> None:
    clean = _picture()
    noisy = _noisy(clean)
    guided = DeepPrior(preset="tiny-guide", steps=60, device="cpu").solve(noisy, guide=_picture(channels=1))
    assert _psnr(guided.image, clean) > _psnr(noisy, clean)
    grid = DeepPrior(preset="tiny-grid", steps=60, device="cpu").solve(noisy)
    assert _psnr(grid.image, clean) > _psnr(noisy, clean)
    with pytest.raises(OptionError, match="second picture"):
        DeepPrior(preset="tiny-guide", device="cpu").solve(noisy)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 1), (5, 7), (33, 18)])
def test_any_size(size: tuple[int, int]) -> None:
    result = DeepPrior(preset="tiny", steps=3, device="cpu").solve(_picture(*size)).image
    assert (result.height, result.width) == size
    assert bool(result.pixels.isfinite().all())


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_one_colour_stays_finite_and_near(value: float) -> None:
    result = DeepPrior(preset="tiny", steps=120, device="cpu").solve(Image(torch.full((3, 16, 16), value))).image
    assert float((result.pixels - value).abs().mean()) < 0.1


def test_repeats_under_a_seed_and_differs_under_another() -> None:
    noisy = _noisy(_picture())
    first, again, other = (
        DeepPrior(preset="tiny", steps=4, seed=s, device="cpu").solve(noisy).image for s in (1, 1, 2)
    )
    assert torch.equal(first.pixels, again.pixels)
    assert not torch.equal(first.pixels, other.pixels)


def test_does_not_touch_the_global_random_state() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    DeepPrior(preset="tiny", steps=2, device="cpu").solve(_picture())
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("stop", ["wmv", "emv"])
def test_stops_by_itself_near_its_best(stop: str) -> None:
    clean = _picture()
    quality: list[float] = []

    def watch(index: int, output: Tensor, average: Tensor) -> dict[str, float]:
        quality.append(-10 * math.log10(float((average[0] - clean.pixels).square().mean())))
        return {"psnr": quality[-1]}

    solver = DeepPrior(preset="tiny", steps=1200, stop=stop, patience=120, device="cpu")  # type: ignore[arg-type]
    solution = solver.solve(_noisy(clean), inspect=watch)
    assert solution.stopped_because == "stop rule"
    assert solution.steps < 1200
    assert _psnr(solution.image, clean) > max(quality) - 1.5
    assert len(solution.history) == solution.steps
    assert solution.history[-1]["psnr"] == quality[-1]


def test_several_networks_give_their_mean() -> None:
    noisy = _noisy(_picture())
    three = DeepPrior(preset="tiny-three", steps=5, device="cpu", seed=4).solve(noisy)
    alone = [DeepPrior(preset="tiny", steps=5, device="cpu", seed=seed).solve(noisy) for seed in (4, 5, 6)]
    mean = torch.stack([solution.image.pixels for solution in alone]).mean(0)
    assert torch.allclose(three.image.pixels, mean, atol=1e-5)
    losses = [solution.history[-1]["loss"] for solution in alone]
    assert three.history[-1]["loss"] == pytest.approx(sum(losses) / 3)


@pytest.mark.parametrize("preset", ["tiny", "tiny-three", "tiny-decoder"])
def test_a_run_that_was_killed_ends_like_one_that_was_not(tmp_path: Path, preset: str) -> None:
    noisy = _noisy(_picture())
    whole = DeepPrior(preset=preset, steps=30, stop="wmv", device="cpu").solve(noisy)

    def kill(step: Step) -> bool:
        if step.index == 11:
            raise KeyboardInterrupt
        return True

    solver = DeepPrior(preset=preset, steps=30, stop="wmv", device="cpu", state_file=tmp_path / "s")
    cancelled = solver.solve(noisy, on_step=lambda step: step.index < 11)
    assert cancelled.stopped_because == "cancelled"
    with pytest.raises(RetouchError, match="another picture"):
        replace(solver, seed=9).solve(noisy)
    with pytest.raises(KeyboardInterrupt):
        solver.solve(noisy, on_step=lambda step: kill(replace(step, index=11)))
    resumed = solver.solve(noisy)
    assert resumed.steps == 30
    assert torch.equal(resumed.image.pixels, whole.image.pixels)


def test_divergence_goes_back_to_the_last_good_weights() -> None:
    fit = Fit(_noisy(_picture()), Identity(), TINY, device=torch.device("cpu"), precision="fp32")
    for index in range(60):
        loss, output = fit.step(index)
    good = {name: tensor.clone() for name, tensor in (fit.good or {}).items()}
    with torch.no_grad():
        fit.network.head.bias.fill_(40.0)  # type: ignore[union-attr, operator]
    again, same = fit.step(61)
    assert again == fit.good_loss
    assert torch.equal(same, output)
    for name, tensor in fit.network.state_dict().items():
        assert torch.equal(tensor, good[name]), name
    after, _ = fit.step(62)
    assert after < 2 * loss


@pytest.mark.parametrize("capability", ["AVX2", "AVX512"])
def test_the_layout_of_the_memory_is_the_processors_and_changes_nothing(
    capability: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    x, here = _noisy(_picture()), torch.device("cpu")
    fits = [
        Fit(x, Identity(), PRESETS[name], device=here, precision="fp32", layout=layout)
        for name in ("tiny", "tiny-decoder")
        for layout in (None, torch.contiguous_format, torch.channels_last)
    ]
    planes, last = torch.contiguous_format, torch.channels_last
    own = [planes if capability == "AVX2" else last, last]
    assert [fit.layout for fit in fits] == [own[0], planes, last, own[1], planes, last]
    losses = [fit.step(0)[0] for fit in fits]
    assert losses[:3] == pytest.approx([losses[0]] * 3, rel=1e-5)
    assert losses[3:] == pytest.approx([losses[3]] * 3, rel=1e-5)


def test_bfloat16_follows_float32() -> None:
    noisy, clean = _noisy(_picture()), _picture()
    results = [
        DeepPrior(preset="tiny", steps=150, device="cpu", precision=precision).solve(noisy).image  # type: ignore[arg-type]
        for precision in ("fp32", "bf16")
    ]
    assert abs(_psnr(results[0], clean) - _psnr(results[1], clean)) < 1.0


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_makes_a_step(name: str) -> None:
    image = _picture(24, 24)
    solution = DeepPrior(preset=name, steps=1, device="cpu").solve(image, guide=image)
    assert (solution.image.height, solution.image.width, solution.steps) == (24, 24, 1)


def test_published_options_are_those_of_the_paper() -> None:
    told = {name: (p.steps, p.learning_rate, p.code, p.code_noise) for name, p in PUBLISHED.items()}
    assert told == {
        "denoise": (3000, 0.01, "noise", 1 / 30),
        "jpeg": (2400, 0.01, "noise", 1 / 30),
        "sr-x4": (2000, 0.01, "noise", 0.03),
        "sr-x8": (4000, 0.01, "noise", 0.05),
        "inpaint-text": (6001, 0.01, "noise", 0.03),
        "inpaint-vase": (5001, 0.01, "grid", 0.03),
        "inpaint-library": (3001, 0.01, "noise", 0.0),
        "restore-50": (11000, 0.001, "noise", 0.03),
        "restore-2": (1000, 0.01, "noise", 0.0),
        "flash": (601, 0.1, "guide", 0.0),
    }
    assert all(preset.faithful for preset in PUBLISHED.values())
    assert presets.PUBLISHED["denoise"].average == 0.99


def test_a_name_that_does_not_exist_names_the_nearest() -> None:
    with pytest.raises(OptionError, match="did you mean 'denoise'"):
        DeepPrior(preset="denoize")


def test_a_degradation_without_gradient_is_refused() -> None:
    class Blocked(Identity):
        differentiable = False

    with pytest.raises(OptionError, match="not differentiable"):
        DeepPrior(preset="tiny", device="cpu").solve(_picture(), Blocked())


def _mask(*boxes: tuple[int, int, int, int], size: tuple[int, int] = (96, 128)) -> Tensor:
    mask = torch.ones(1, *size)
    for top, left, height, width in boxes:
        mask[:, top : top + height, left : left + width] = 0
    return mask


@pytest.mark.parametrize(
    ("task", "effort", "network", "scale", "mask", "name"),
    [
        ("denoise", "paper", "hourglass", 1, None, "denoise"),
        ("denoise", "quick", "hourglass", 1, None, "denoise-quick"),
        ("dejpeg", "paper", "hourglass", 1, None, "jpeg"),
        ("upscale", "paper", "hourglass", 4, None, "sr-x4"),
        ("upscale", "paper", "hourglass", 8, None, "sr-x8"),
        ("relight", "paper", "hourglass", 1, None, "flash"),
        ("inpaint", "paper", "hourglass", 1, _mask((5, 0, 4, 128), (40, 0, 4, 128)), "inpaint-text"),
        ("inpaint", "normal", "hourglass", 1, _mask((5, 0, 4, 128)), "inpaint-normal"),
        ("inpaint", "paper", "hourglass", 1, _mask((10, 10, 40, 40)), "inpaint-library"),
        ("inpaint", "quick", "hourglass", 1, _mask((10, 10, 40, 40)), "inpaint-hole-quick"),
        ("inpaint", "quick", "hourglass", 1, _mask((10, 10, 30, 40)), "inpaint-quick"),
        ("inpaint", "quick", "decoder", 1, _mask((10, 10, 40, 40)), "decoder-quick"),
    ],
)
def test_the_preset_follows_task_effort_and_mask(
    task: presets.Task, effort: presets.Effort, network: str, scale: int, mask: Tensor | None, name: str
) -> None:
    assert presets.choose(task, effort, network, scale=scale, mask=mask) == name


@pytest.mark.parametrize(("share", "name"), [(0.5, "restore-50"), (0.98, "restore-2")])
def test_random_pixels_choose_by_their_share(share: float, name: str) -> None:
    mask = (torch.rand(1, 96, 128, generator=torch.Generator().manual_seed(0)) >= share).float()
    assert presets.choose("inpaint", "paper", mask=mask) == name


def test_every_preset_can_be_chosen() -> None:
    tasks: list[presets.Task] = ["denoise", "deblur", "inpaint", "upscale", "dejpeg", "relight"]
    efforts: list[presets.Effort] = ["quick", "normal", "paper"]
    random = torch.rand(1, 96, 128, generator=torch.Generator().manual_seed(0))
    masks = [None, _mask((10, 10, 40, 40)), (random >= 0.5).float(), (random >= 0.98).float()]
    chosen = {
        presets.choose(task, effort, network, scale=scale, mask=mask)
        for task in tasks
        for effort in efforts
        for network in ("hourglass", "decoder")
        for scale in (2, 8)
        for mask in masks
    }
    assert set(presets.PUBLISHED) | set(presets.LEAN) == chosen | {"inpaint-vase"}


def test_a_warm_start_saves_steps() -> None:
    clean = _picture(48, 64)
    noisy = _noisy(clean)
    cold = DeepPrior(preset="tiny", steps=25, device="cpu").solve(noisy).image
    warm = DeepPrior(preset="tiny-warm", steps=25, device="cpu").solve(noisy).image
    assert _psnr(warm, clean) > _psnr(cold, clean) + 1
    assert _psnr(warm, clean) > _psnr(noisy, clean) + 3


def test_a_state_from_another_warm_start_is_refused(tmp_path: Path) -> None:
    noisy = _noisy(_picture())
    solver = DeepPrior(preset="tiny-warm", steps=6, sigma=25, device="cpu", state_file=tmp_path / "s")
    solver.solve(noisy, on_step=lambda step: step.index < 3)
    with pytest.raises(RetouchError, match="another picture or other options"):
        replace(solver, sigma=40).solve(noisy)
    assert solver.solve(noisy).steps == 6
