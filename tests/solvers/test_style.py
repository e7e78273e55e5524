"""Neural style transfer with a tiny random VGG: what it is fitted to, colours, regions, cancel and resume."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from retouch.image.color import grey
from retouch.image.errors import OptionError, RetouchError
from retouch.image.image import Image
from retouch.losses.style import StyleLoss
from retouch.solvers import style as module
from retouch.solvers.steps import Step
from retouch.solvers.style import EFFORTS, Fit, Style, StyleTransfer, enlarged, fitted

LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu4_2", "relu5_1")


class Tiny(nn.Module):
    """VGG's layers by name, of a few random channels each."""

    def __init__(self, pooling: str = "max") -> None:
        super().__init__()
        torch.manual_seed(1)
        widths = {"relu1_1": 6, "relu2_1": 8, "relu3_1": 8, "relu4_1": 10, "relu4_2": 10, "relu5_1": 8}
        inputs, blocks = 3, []
        for width in widths.values():
            blocks.append(nn.Conv2d(inputs, width, 3, padding=1))
            inputs = width
        self.blocks = nn.ModuleList(blocks)
        self.pool = nn.MaxPool2d(2) if pooling == "max" else nn.AvgPool2d(2)

    def forward(self, x: Tensor, names: list[str]) -> dict[str, Tensor]:
        y = x.expand(-1, 3, -1, -1) - 0.5
        found = {}
        for name, block in zip(LAYERS, self.blocks, strict=True):
            if name not in ("relu1_1", "relu4_2"):
                y = self.pool(y)
            y = torch.relu(3 * block(y))
            found[name] = y
        return {name: found[name] for name in names}


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "feature_network", lambda name, pooling, on_progress: Tiny(pooling))


def _picture(seed: int, height: int = 40, width: int = 56, channels: int = 3) -> Image:
    generator = torch.Generator().manual_seed(seed)
    rough = torch.rand(1, channels, height // 4, width // 4, generator=generator)
    return Image(nn.functional.interpolate(rough, (height, width), mode="bicubic")[0].clamp(0, 1).contiguous())


PHOTO, FIRST, SECOND = _picture(0), _picture(1, 36, 48), _picture(2, 64, 40)


def _solver(**options: Any) -> StyleTransfer:
    base: dict[str, Any] = {"precision": "fp32", "device": "cpu", "side": 0, "steps": 12, "effort": "quick"}
    return StyleTransfer(**base | options)


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
@pytest.mark.parametrize("start", ["picture", "noise"])
def test_the_loss_falls(optimizer: Any, start: Any) -> None:
    found = _solver(optimizer=optimizer, start=start, steps=40, effort="paper").solve(PHOTO, [Style(FIRST)])
    losses = [step["loss"] for step in found.history]
    assert len(losses) == found.steps == 40
    assert losses[-1] < 0.6 * losses[0]
    assert found.stopped_because == "steps"
    assert set(found.history[0]) >= {"content", "style", "variation"}
    assert 0 <= float(found.image.pixels.min()) <= float(found.image.pixels.max()) <= 1


def test_the_gradient_on_the_pixels_is_that_of_the_loss() -> None:
    losses = StyleLoss(Tiny(), style_weight=1e3, variation=0.1)
    fit = Fit(PHOTO.pixels, [Style(FIRST)], None, losses, EFFORTS["paper"], device=torch.device("cpu"))
    fit._losses()
    gradient, step = fit.pixels.grad, 1e-3
    assert gradient is not None
    direction = torch.randn(fit.pixels.shape, generator=torch.Generator().manual_seed(0))
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            fit.pixels.add_(sign * step * direction)
        values.append(fit._losses() * fit.pixels.numel())
        with torch.no_grad():
            fit.pixels.sub_(sign * step * direction)
    slope = (values[0] - values[1]) / (2 * step)
    assert slope == pytest.approx(float((gradient * direction).sum()), rel=0.05)


def test_more_weight_brings_the_style_nearer_and_the_content_farther() -> None:
    ends = [
        _solver(style_weight=weight, steps=40, effort="paper", optimizer="adam")
        .solve(PHOTO, [Style(FIRST)])
        .history[-1]
        for weight in (0.01, 100.0)
    ]
    assert ends[1]["style"] < ends[0]["style"]
    assert ends[1]["content"] > ends[0]["content"]


def test_sizes_go_from_coarse_to_fine() -> None:
    seen: list[tuple[int, ...]] = []

    class Watched(Fit):
        def step(self, index: int) -> tuple[float, Tensor]:
            loss, output = super().step(index)
            seen.append(tuple(output.shape[2:]))
            return loss, output

    original = module.Fit
    module.Fit = Watched  # type: ignore[misc]
    try:
        result = _solver(steps=7).solve(PHOTO, [Style(FIRST)])
    finally:
        module.Fit = original  # type: ignore[misc]
    assert seen == [(20, 28)] * 4 + [(40, 56)] * 3
    assert result.image.pixels.shape == PHOTO.pixels.shape


def test_a_large_photograph_is_fitted_at_a_side_and_its_detail_comes_back() -> None:
    photo = _picture(5, 96, 160)
    sharp = photo.with_pixels((photo.pixels + 0.1 * torch.randn(3, 96, 160)).clamp(0, 1))
    made, plain = (_solver(side=40, steps=3, detail=detail).solve(sharp, [Style(FIRST)]).image for detail in (1.0, 0.0))
    assert made.pixels.shape == sharp.pixels.shape

    def roughness(image: Image) -> float:
        return float((image.pixels[:, 1:] - image.pixels[:, :-1]).abs().mean())

    assert roughness(made) > 1.5 * roughness(plain)


def test_enlarging_a_reduction_of_itself_with_all_its_detail_gives_the_photograph() -> None:
    from retouch.image.resize import area

    photo = _picture(5, 64, 80).pixels * 0.8 + 0.1
    small = area(photo[None], (32, 40))[0]
    assert torch.allclose(enlarged(small, photo, 1.0), photo, atol=1e-5)
    assert torch.equal(enlarged(photo, photo, 1.0), photo)
    assert fitted(photo, 40) == (32, 40)
    assert fitted(photo, 0) == fitted(photo, 400) == (64, 80)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (33, 7)])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_size_and_grey_stays_grey(size: tuple[int, int], channels: int) -> None:
    photo = Image(torch.rand(channels, *size))
    for preserve in ("off", "luminance", "histogram"):
        made = _solver(steps=4, preserve=preserve).solve(photo, [Style(FIRST)]).image  # type: ignore[arg-type]
        assert made.pixels.shape == photo.pixels.shape
        assert bool(made.pixels.isfinite().all())


def test_luminance_keeps_the_colours_and_changes_the_light() -> None:
    from retouch.solvers.chroma import chroma_of

    photo = PHOTO.with_pixels(0.35 + 0.3 * PHOTO.pixels)
    made = _solver(preserve="luminance", steps=20).solve(photo, [Style(FIRST)]).image
    inside = ((made.pixels > 0.001) & (made.pixels < 0.999)).all(0)
    assert float(inside.float().mean()) > 0.5
    apart = (chroma_of(made.pixels) - chroma_of(photo.pixels)).abs()
    assert float(apart[:, inside].max()) < 1e-4
    assert float((grey(made.pixels) - grey(photo.pixels)).abs().mean()) > 0.01


def test_histogram_shows_the_network_the_style_in_the_photographs_colours() -> None:
    photo = PHOTO.with_pixels(0.3 + 0.4 * PHOTO.pixels)
    seen = _solver(preserve="histogram")._as_seen(FIRST.pixels, photo.pixels)
    assert torch.allclose(seen.mean((1, 2)), photo.pixels.mean((1, 2)), atol=0.02)
    off = _solver()._as_seen(FIRST.pixels, photo.pixels)
    assert torch.equal(off, FIRST.pixels)


# -- regions


def _half(share: float = 1.0) -> Tensor:
    mask = torch.zeros(1, 40, 56)
    mask[..., :28] = share
    return mask


def test_outside_all_masks_not_a_bit_changes() -> None:
    made = _solver().solve(PHOTO, [Style(FIRST, mask=_half())]).image.pixels
    assert torch.equal(made[..., 28:], PHOTO.pixels[..., 28:])
    assert float((made[..., :28] - PHOTO.pixels[..., :28]).abs().mean()) > 0.01
    soft = _solver().solve(PHOTO, [Style(FIRST, mask=_half(0.5))]).image.pixels
    assert float((soft - PHOTO.pixels).abs().max()) <= 0.5


def test_each_region_comes_nearer_to_its_own_style() -> None:
    dark, light = Image(torch.full((3, 32, 32), 0.1)), Image(torch.full((3, 32, 32), 0.9))
    styles = [Style(dark, mask=_half()), Style(light, mask=1 - _half())]
    made = (
        _solver(steps=60, effort="paper", optimizer="adam", rate=0.05, style_weight=1e3, start="picture")
        .solve(PHOTO, styles)
        .image
    )
    left, right = made.pixels[..., 4:24].mean(), made.pixels[..., 32:52].mean()
    before = PHOTO.pixels[..., 4:24].mean(), PHOTO.pixels[..., 32:52].mean()
    assert float(left - right) < float(before[0] - before[1]) - 0.1


def test_two_styles_mix() -> None:
    only = [_solver().solve(PHOTO, [Style(style)]).image.pixels for style in (FIRST, SECOND)]
    mixed = _solver().solve(PHOTO, [Style(FIRST, 0.5), Style(SECOND, 0.5)]).image.pixels
    alone = _solver().solve(PHOTO, [Style(FIRST, 1.0), Style(SECOND, 0.0)]).image.pixels
    assert torch.allclose(alone, only[0], atol=1e-5)
    for other in only:
        assert not torch.allclose(mixed, other, atol=1e-3)


# -- progress, cancel, resume


def _stop_at(last: int) -> Callable[[Step], bool]:
    return lambda step: step.index < last


def test_steps_are_told_with_previews_and_it_can_be_stopped() -> None:
    steps: list[Step] = []

    def listen(step: Step) -> bool:
        steps.append(step)
        return len(steps) < 3

    found = _solver().solve(PHOTO, [Style(FIRST)], on_step=listen)
    assert found.stopped_because == "cancelled"
    assert found.steps == 3
    assert steps[0].preview is not None
    assert steps[0].preview.pixels.shape == PHOTO.pixels.shape
    assert all(step.total == 12 for step in steps)


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
@pytest.mark.parametrize("stop", [3, 7, 10])
def test_stopped_and_continued_is_the_same_as_never_stopped(optimizer: Any, stop: int, tmp_path: Path) -> None:
    styles = [Style(FIRST, mask=_half()), Style(SECOND, 0.5)]
    whole = _solver(optimizer=optimizer).solve(PHOTO, styles)
    state = tmp_path / "run.state"
    options = {"optimizer": optimizer, "state_file": state}
    first = _solver(**options).solve(PHOTO, styles, on_step=_stop_at(stop))
    assert first.steps == stop
    assert state.exists()
    second = _solver(**options).solve(PHOTO, styles)
    assert torch.equal(second.image.pixels, whole.image.pixels)
    assert [step["loss"] for step in second.history] == [step["loss"] for step in whole.history]
    assert not state.exists()


def test_a_state_of_another_style_or_weight_is_refused(tmp_path: Path) -> None:
    state = tmp_path / "run.state"
    _solver(state_file=state).solve(PHOTO, [Style(FIRST)], on_step=_stop_at(2))
    for solver, style in ((_solver(state_file=state), SECOND), (_solver(state_file=state, style_weight=2.0), FIRST)):
        with pytest.raises(RetouchError, match="another picture or other options"):
            solver.solve(PHOTO, [Style(style)])


def test_the_seed_repeats_the_noise() -> None:
    made = [_solver(start="noise", seed=seed, steps=3).solve(PHOTO, [Style(FIRST)]).image.pixels for seed in (0, 0, 1)]
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])


def test_steps_keep_the_shares_of_the_sizes() -> None:
    for steps in (1, 2, 7, 100, 1001):
        effort = _solver(steps=steps).resolved()
        assert effort.steps == steps
        assert all(count > 0 for _, count in effort.levels)
    assert _solver(steps=None).resolved().levels == EFFORTS["quick"].levels
    published = EFFORTS["paper"]
    assert (published.optimizer, published.start, published.pooling, published.steps) == (
        "lbfgs",
        "noise",
        "average",
        1000,
    )


# -- hostile options


def _wrong() -> Iterator[tuple[dict[str, Any], str]]:
    yield {"effort": "norml"}, "did you mean 'normal'"
    yield {"optimizer": "adm"}, "did you mean 'adam'"
    yield {"preserve": "luminanc"}, "did you mean 'luminance'"
    yield {"start": "noice"}, "did you mean 'noise'"
    yield {"side": 31}, "at least 32"
    yield {"side": -1}, "at least 32"
    yield {"steps": 0}, "at least 1"
    yield {"style_weight": -1.0}, "at least 0"
    yield {"style_scale": 0.0}, "above 0"
    yield {"detail": math.nan}, "at least 0"


@pytest.mark.parametrize(("options", "message"), list(_wrong()))
def test_wrong_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        _solver(**options)


def test_wrong_styles_are_refused() -> None:
    for styles, message in (
        ([], "at least one style"),
        ([Style(FIRST, -1.0)], "at least 0, not -1"),
        ([Style(FIRST, math.nan)], "at least 0, not nan"),
        ([Style(FIRST, mask=torch.ones(1, 4, 5))], "5x4 pixels, the picture 56x40"),
        ([Style(FIRST, mask=torch.zeros(1, 40, 56))], "marks nothing"),
    ):
        with pytest.raises(OptionError, match=message):
            _solver().solve(PHOTO, styles)
