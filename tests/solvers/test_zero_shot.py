"""Zero-Shot Noise2Noise: the downsampler and the loss by hand, learning, resuming, and every kind of picture."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data

from retouch.degradations.mask import FixedMask
from retouch.image.errors import OptionError, RetouchError
from retouch.image.image import Image, Metadata
from retouch.solvers.steps import Step
from retouch.solvers.zero_shot import EFFORTS, Effort, ZeroShotFit, ZeroShotNoise2Noise, split

CPU = torch.device("cpu")


def psnr(one: torch.Tensor, other: torch.Tensor) -> float:
    return float(-10 * torch.log10((one - other).square().mean()))


def noisy(clean: torch.Tensor, sigma: float) -> torch.Tensor:
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    return (clean + noise * sigma / 255).clamp(0, 1)


FACE = Image.from_array(data.astronaut()[20:116, 170:266]).pixels


def test_split_by_hand() -> None:
    x = torch.tensor([[[[1.0, 2.0, 5.0, 6.0], [3.0, 4.0, 7.0, 10.0]]]])
    first, second = split(x)
    assert first.tolist() == [[[[2.5, 6.5]]]]  # (2 + 3) / 2, (6 + 7) / 2
    assert second.tolist() == [[[[2.5, 7.5]]]]  # (1 + 4) / 2, (5 + 10) / 2


def test_split_halves_are_independent_and_keep_the_mean() -> None:
    x = torch.randn(1, 1, 400, 400, generator=torch.Generator().manual_seed(0))
    first, second = split(x)
    assert float((first + second).mean() / 2) == pytest.approx(float(x.mean()), abs=1e-6)
    assert abs(float(torch.corrcoef(torch.stack([first.flatten(), second.flatten()]))[0, 1])) < 0.02


@pytest.mark.parametrize("bias", [0.0, 0.1])
def test_loss_by_hand(bias: float) -> None:
    """A network that predicts the same noise everywhere."""
    fit = ZeroShotFit(torch.rand(1, 8, 8), EFFORTS["paper"], device=CPU)
    with torch.no_grad():
        for parameter in fit.network.parameters():
            parameter.zero_()
        last = fit.network.body[-1]
        assert isinstance(last, torch.nn.Conv2d)
        last.bias.fill_(bias)  # type: ignore[union-attr]
    first, second = split(fit.pixels[None])
    loss, output = fit.step(0)
    # y1 - b against y2 and the reverse; both sides of the consistency term are y_i - b, so it is 0
    difference = first - second
    expected = 0.5 * float((difference - bias).square().mean() + (-difference - bias).square().mean())
    assert loss == pytest.approx(expected, rel=1e-5)
    assert torch.allclose(output, fit.pixels[None] - bias, atol=1e-6)


def test_consistency_term_counts() -> None:
    """Against the formula of the paper written out with convolutions."""
    y = torch.rand(3, 10, 12, generator=torch.Generator().manual_seed(4))
    fit = ZeroShotFit(y, EFFORTS["paper"], device=CPU, seed=3)
    kernels = [torch.tensor(k).expand(3, 1, 2, 2) for k in ([[0.0, 0.5], [0.5, 0.0]], [[0.5, 0.0], [0.0, 0.5]])]

    def down(x: torch.Tensor) -> list[torch.Tensor]:
        return [torch.nn.functional.conv2d(x, kernel, stride=2, groups=3) for kernel in kernels]

    with torch.no_grad():
        y1, y2 = down(y[None])
        mse, net = torch.nn.functional.mse_loss, fit.network
        d1, d2 = y1 - net(y1), y2 - net(y2)
        whole1, whole2 = down(y[None] - net(y[None]))
        expected = 0.5 * (mse(y1, d2) + mse(y2, d1)) + 0.5 * (mse(d1, whole1) + mse(d2, whole2))
    loss, _ = fit.step(0)
    assert loss == pytest.approx(float(expected), rel=1e-5)


def test_published_settings() -> None:
    paper = EFFORTS["paper"]
    assert (paper.width, paper.steps, paper.learning_rate) == (48, 2000, 1e-3)
    assert [paper.rate(i) for i in (0, 999, 1000, 1999)] == [1e-3, 1e-3, 5e-4, 5e-4]
    fit = ZeroShotFit(torch.rand(3, 8, 8), paper, device=CPU)
    assert sum(p.numel() for p in fit.network.parameters()) == 22_275


def test_cosine_rate_warms_up_and_ends_at_zero() -> None:
    effort = Effort(8, 400, 1e-2, "cosine", 64)
    rates = [effort.rate(i) for i in range(400)]
    assert rates[0] < 3e-4
    assert max(rates) == pytest.approx(1e-2, rel=0.05)
    assert rates[-1] < 1e-5
    assert all(later <= earlier for earlier, later in itertools.pairwise(rates[60:]))


@pytest.mark.parametrize("channels", [1, 3])
def test_takes_out_noise(channels: int) -> None:
    clean = FACE[:channels]
    y = noisy(clean, 25)
    solution = ZeroShotNoise2Noise(effort="quick", steps=150).solve(Image(y))
    assert psnr(solution.image.pixels, clean) > psnr(y, clean) + 3.3
    assert (solution.steps, solution.stopped_because) == (150, "steps")
    losses = [record["loss"] for record in solution.history]
    assert sum(losses[-20:]) < sum(losses[:20])


def test_seed_repeats_and_another_differs() -> None:
    image = Image(noisy(FACE[:, :32, :32], 25))
    one, again, other = (
        ZeroShotNoise2Noise(effort="quick", steps=5, seed=s).solve(image).image.pixels for s in (1, 1, 2)
    )
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_large_pictures_learn_from_crops_and_windows_do_not_show() -> None:
    y = noisy(FACE.repeat(1, 2, 2), 25)  # 192x192: more than a crop of 96x96
    fit = ZeroShotFit(y, EFFORTS["quick"], device=CPU)
    assert fit.crop == (96, 96)
    _, output = fit.step(0)
    assert output.shape == (1, 3, 96, 96)
    whole = fit.denoise(y)
    one = ZeroShotNoise2Noise(effort="quick", steps=3, tile=50).solve(Image(y)).image.pixels
    two = ZeroShotNoise2Noise(effort="quick", steps=3, tile=512).solve(Image(y)).image.pixels
    assert torch.allclose(one, two, atol=1e-5)
    assert whole.shape == y.shape


def test_long_thin_pictures_are_cropped_along_one_side() -> None:
    fit = ZeroShotFit(torch.rand(1, 7, 5000), EFFORTS["quick"], device=CPU)
    assert fit.crop == (6, 96)
    _, output = fit.step(0)
    assert output.shape == (1, 1, 6, 96)


@settings(max_examples=20)
@given(
    st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3]), st.sampled_from([0.0, 0.5, 1.0, None]), st.booleans()
)
def test_any_picture_comes_back_finite(
    height: int, width: int, channels: int, colour: float | None, bf16: bool
) -> None:
    shape = (channels, height, width)
    pixels = torch.rand(shape) if colour is None else torch.full(shape, colour)
    solver = ZeroShotNoise2Noise(effort="quick", steps=3, tile=4, precision="bf16" if bf16 else "fp32")
    out = solver.solve(Image(pixels)).image.pixels
    assert out.shape == pixels.shape
    assert bool(torch.isfinite(out).all())


def test_alpha_metadata_and_input_stay() -> None:
    y = noisy(FACE[:, :20, :20], 25)
    image = Image(y.clone(), torch.rand(1, 20, 20), Metadata(bit_depth=16))
    out = ZeroShotNoise2Noise(effort="quick", steps=2).solve(image).image
    assert torch.equal(out.alpha, image.alpha)  # type: ignore[arg-type]
    assert out.metadata == image.metadata
    assert torch.equal(image.pixels, y)
    assert out.pixels.dtype == torch.float32


def test_preview_shows_the_whole_small_picture_and_the_centre_of_a_large_one() -> None:
    shown: list[Image] = []

    def listen(step: Step) -> None:
        if step.preview is not None:
            shown.append(step.preview)

    y = noisy(FACE.repeat(1, 2, 2), 25)
    ZeroShotNoise2Noise(effort="quick", steps=2).solve(Image(y), on_step=listen)
    changed = shown[0].pixels != y
    assert shown[0].pixels.shape == y.shape
    assert bool(changed[:, 48:-48, 48:-48].float().mean() > 0.8)
    changed[:, 48:-48, 48:-48] = False
    assert not bool(changed.any())


def test_cancelling_returns_what_is_learned() -> None:
    solution = ZeroShotNoise2Noise(effort="quick", steps=50).solve(
        Image(noisy(FACE[:, :32, :32], 25)), on_step=lambda step: step.index < 7
    )
    assert (solution.steps, solution.stopped_because) == (7, "cancelled")


def test_cancelled_run_resumes_to_the_same_numbers(tmp_path: Path) -> None:
    image = Image(noisy(FACE.repeat(1, 2, 2)[:, :150, :150], 25))
    through = ZeroShotNoise2Noise(effort="quick", steps=12).solve(image)
    state = tmp_path / "state"
    solver = ZeroShotNoise2Noise(effort="quick", steps=12, state_file=state)
    solver.solve(image, on_step=lambda step: step.index < 5)
    assert state.exists()
    with pytest.raises(RetouchError, match="another picture or other options"):
        ZeroShotNoise2Noise(effort="quick", steps=12, seed=1, state_file=state).solve(image)
    resumed = solver.solve(image)
    assert resumed.steps == 12
    assert torch.equal(resumed.image.pixels, through.image.pixels)
    assert not state.exists()


@pytest.mark.parametrize(
    "options", [{"effort": "fast"}, {"precision": "fp16"}, {"steps": 0}, {"tile": 1}, {"device": "cuda:99"}]
)
def test_refuses_wrong_options(options: dict[str, object]) -> None:
    with pytest.raises(OptionError):
        ZeroShotNoise2Noise(**options).solve(Image(torch.rand(1, 4, 4)))  # type: ignore[arg-type]


def test_refuses_a_mask() -> None:
    with pytest.raises(OptionError, match="only removes noise"):
        ZeroShotNoise2Noise().solve(Image(torch.rand(1, 4, 4)), FixedMask(torch.ones(1, 4, 4)))


def test_paper_is_one_pass_and_the_others_do_not_depend_on_the_orientation() -> None:
    y = torch.rand(3, 20, 30, generator=torch.Generator().manual_seed(5))
    turned = torch.rot90(y, 1, (1, 2)).flip(2)
    outs = {}
    for effort in ("paper", "quick"):
        fit = ZeroShotFit(y, EFFORTS[effort], device=CPU)
        back = torch.rot90(fit.denoise(turned).flip(2), -1, (1, 2))
        outs[effort] = (fit.denoise(y), back)
        plain = y - fit.network(y[None])[0]
        assert torch.allclose(outs[effort][0], plain, atol=1e-6) == (effort == "paper")
    assert torch.allclose(*outs["quick"], atol=1e-5)
    assert not torch.allclose(*outs["paper"], atol=1e-5)


def test_paper_learns_from_the_whole_small_picture_and_others_from_every_phase() -> None:
    y = torch.rand(1, 10, 10)
    assert ZeroShotFit(y, EFFORTS["paper"], device=CPU).crop == (10, 10)
    fit = ZeroShotFit(y, EFFORTS["quick"], device=CPU)
    assert fit.crop == (9, 9)
    corners = {float(fit._draw()[0, 0, 0, 0]) for _ in range(60)}
    assert corners == {float(y[0, i, j]) for i in (0, 1) for j in (0, 1)}
