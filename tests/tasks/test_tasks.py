"""Every task and every method, swept: a new row of the tables is tested the day it is added."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from torch import nn

import retouch
from retouch.image.errors import OptionError, RetouchError
from retouch.image.image import Image, Metadata
from retouch.models.card import Card
from retouch.models.load import save_weights
from retouch.networks.build import build
from retouch.networks.layers import NamedLayers
from retouch.solvers.deep_prior import DeepPrior
from retouch.solvers.steps import Step
from retouch.tasks import TASKS
from retouch.tasks.base import Method, Task, as_image, fields_of

_HEIGHT, _WIDTH = 36, 44


def _picture(channels: int = 3, alpha: bool = False) -> Image:
    generator = torch.Generator().manual_seed(channels)
    ramp = torch.linspace(0.2, 0.8, _WIDTH).expand(channels, _HEIGHT, _WIDTH)
    pixels = (ramp + 0.05 * torch.randn(channels, _HEIGHT, _WIDTH, generator=generator)).clamp(0, 1)
    opacity = torch.rand(1, _HEIGHT, _WIDTH, generator=generator) if alpha else None
    return Image(pixels, opacity, Metadata(format="PNG", bit_depth=16, icc=b"profile", dpi=(300, 300)))


def _extras(task: Task, method: str = "pix2pix") -> dict[str, Any]:
    """What the task cannot do without."""
    if task.name == "inpaint":
        mask = torch.zeros(1, _HEIGHT, _WIDTH)
        mask[:, 10:14, 12:20] = 1
        return {"mask": mask}
    if task.name == "relight":
        return {"flash": _picture(3)}
    if task.name == "deblur":
        return {"kernel": "gaussian:1"}
    if task.name == "translate":
        return {"model": f"translate-{method}"}
    if task.name == "stylize":
        return {"model": "stylize-transform"} if method == "transform" else {"style": _picture(3)}
    return {"noise": 10.0} if task.name == "degrade" else {}


def _stop_soon(step: Step) -> bool:
    return step.index < 2


class _Features(nn.Module):
    """Stands for VGG where a method paints by its features: every layer is a few mixtures of the picture."""

    def forward(self, x: torch.Tensor, names: Sequence[str]) -> dict[str, torch.Tensor]:
        x = x.expand(-1, 3, -1, -1)
        return {name: (x * (1 + number)).sin() for number, name in enumerate(names)}


@pytest.fixture(autouse=True)
def _features(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retouch.solvers.style.feature_network", lambda name, pooling, on_progress: _Features())


@pytest.fixture(autouse=True)
def _weights_of_every_family(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fresh weights of a small network stand for each family, so that the sweep runs the learned methods as well."""
    home = tmp_path_factory.getbasetemp() / "weights of the sweep"
    monkeypatch.setenv("RETOUCH_HOME", str(home))
    if home.exists():
        return
    (home / "models").mkdir(parents=True)
    for task in TASKS.values():
        for method in task.methods:
            if not method.learned:
                continue
            arguments = {"scale": 2 if task.name == "upscale" else 1, "width": 4, "shrunk": 2, "depth": 1}
            card = Card(
                name=f"{task.name}-{method.name}",
                family=method.name,
                architecture="fsrcnn",
                arguments=arguments,
                tasks=(task.name,),
                colour="y",
                summary="untrained",
                scales=(2,) if task.name == "upscale" else (),
            )
            tensors = build("fsrcnn", arguments).state_dict()
            save_weights(home / "models" / f"{card.name}.safetensors", tensors, card)


@pytest.fixture(autouse=True)
def _small_feature_network(tiny_everywhere: NamedLayers) -> None:
    """Random convolutions stand for the networks that dreams and inversions look into."""


_ALL = [
    (task, method)
    for task in TASKS.values()
    for method in task.methods
    if method.name != "pixel-recursive"  # takes pictures of one size only: test_drawn.py
]


@pytest.mark.parametrize(("task", "method"), _ALL, ids=lambda row: row.name)
@pytest.mark.parametrize(("channels", "alpha"), [(1, False), (1, True), (3, False), (3, True)])
def test_colour_alpha_and_metadata_come_back(task: Task, method: Method, channels: int, alpha: bool) -> None:
    image = _picture(channels, alpha)
    before = image.pixels.clone()
    how = {"method": method.name} if len(task.methods) > 1 else {}
    options = task.make_options(**_extras(task, method.name), **how)
    result = task.run(image, options, _stop_soon if method.iterative else None)
    scale = getattr(options, "scale", 1)
    expected = 3 if task.name == "colorize" else channels
    assert (result.channels, result.height, result.width) == (expected, _HEIGHT * scale, _WIDTH * scale)
    assert (result.alpha is not None) == alpha
    if alpha and scale == 1:
        assert result.alpha is not None
        assert image.alpha is not None
        assert torch.equal(result.alpha, image.alpha)
    assert dataclasses.replace(result.metadata, xmp=image.metadata.xmp) == image.metadata
    assert bool(torch.isfinite(result.pixels).all())
    assert torch.equal(image.pixels, before), "the picture that was given is never written to"


@pytest.mark.parametrize(("task", "method"), [row for row in _ALL if row[1].iterative], ids=lambda row: row.name)
def test_methods_that_iterate_tell_every_step_and_can_be_stopped(task: Task, method: Method) -> None:
    steps: list[Step] = []

    def listen(step: Step) -> bool:
        if step.loss is not None:
            steps.append(step)
        return len(steps) < 3

    task.run(_picture(), task.make_options(**_extras(task), method=method.name, effort="quick"), listen)
    assert [step.index for step in steps] == [1, 2, 3]
    assert steps[0].preview is not None
    assert all(step.total >= (18 if task.name == "dream" else 100) for step in steps)


@pytest.mark.parametrize(("task", "method"), [row for row in _ALL if row[1].iterative], ids=lambda row: row.name)
def test_methods_that_iterate_keep_their_state_and_go_on_from_it(task: Task, method: Method, tmp_path: Path) -> None:
    state = tmp_path / "run.state"
    options = task.make_options(**_extras(task), method=method.name, effort="quick", state=state)
    counted: list[int] = []

    def stop_at(last: int) -> Any:
        def listen(step: Step) -> bool:
            if step.loss is not None:
                counted.append(step.index)
            return step.index < last

        return listen

    task.run(_picture(), options, stop_at(2))
    assert state.exists()
    task.run(_picture(), options, stop_at(4))
    assert counted == [1, 2, 3, 4]


@pytest.mark.parametrize(("task", "method"), _ALL, ids=lambda row: row.name)
def test_every_method_says_what_it_costs(task: Task, method: Method) -> None:
    assert method.summary
    assert method.cost
    assert method.prefer
    options: Any = task.make_options(**_extras(task))
    for device in ("cpu", "cuda", "mps"):
        small, large = (method.seconds(size, device, options) for size in (0.1, 60.0))
        assert 0 < small < large
    if method.iterative:
        quick, normal = (
            method.seconds(1.0, "cpu", dataclasses.replace(options, effort=effort)) for effort in ("quick", "normal")
        )
        assert quick <= normal


@pytest.mark.parametrize("task", TASKS.values(), ids=lambda task: task.name)
def test_every_option_has_help_and_no_method_name_is_used_twice(task: Task) -> None:
    assert all(field.help for field in fields_of(task.options).values())
    names = [method.name for method in task.methods]
    assert len(set(names)) == len(names)
    assert "auto" not in names


_CHOOSING = [task for task in TASKS.values() if len(task.methods) > 1 and task.name not in ("translate", "stylize")]
"""Those whose 'auto' has a choice: a translation is always named by its weight, a style by its picture or weight."""


@pytest.mark.parametrize("task", _CHOOSING, ids=lambda task: task.name)
def test_auto_takes_the_best_that_its_budget_allows(task: Task) -> None:
    extras = _extras(task)

    def chosen(budget: float, megapixels: float) -> Method:
        return task.choose(megapixels, task.make_options(**extras, budget=budget, device="cpu"))

    best = max(task.methods, key=lambda method: method.rank)
    assert chosen(1e12, 1.0) is best
    fastest = min(task.methods, key=lambda m: m.seconds(60.0, "cpu", task.make_options(**extras)))
    assert chosen(0.0, 60.0) is fastest
    quickest = min(m.seconds(0.5, "cpu", task.make_options(**extras)) for m in task.methods)
    budget = max(60.0, quickest)  # processors differ: on a slow one no method of a task may fit the minute
    middle = chosen(budget, 0.5)
    assert middle.seconds(0.5, "cpu", task.make_options(**extras)) <= budget


def test_auto_heeds_effort_and_device() -> None:
    task = TASKS["denoise"]
    options: Any = task.make_options()
    prior = task.method("deep-prior")
    assert prior.seconds(0.1, "cuda", options) < prior.seconds(0.1, "cpu", options)


def test_unknown_names_are_refused_with_the_nearest() -> None:
    with pytest.raises(OptionError, match="did you mean 'nlm'"):
        retouch.denoise(_picture(), method="nml")
    with pytest.raises(OptionError, match="did you mean 'effort'"):
        retouch.denoise(_picture(), efort="quick")
    with pytest.raises(OptionError, match="did you mean 'quick'"):
        retouch.denoise(_picture(), effort="quik")
    with pytest.raises(OptionError, match="at least 16"):
        retouch.denoise(_picture(), tile="3")
    with pytest.raises(OptionError, match="needs mask"):
        TASKS["inpaint"].make_options()


# -- what a picture may be


def test_a_picture_may_be_an_image_a_path_an_array_or_pillows(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    array = rng.integers(0, 256, (12, 14, 4), dtype=np.uint8)
    PIL.Image.fromarray(array).save(tmp_path / "a.png")
    for source in (array, PIL.Image.fromarray(array), tmp_path / "a.png", str(tmp_path / "a.png")):
        assert np.array_equal(as_image(source).to_array(8), array)
    image = Image.from_array(array)
    assert as_image(image) is image
    deep = rng.integers(0, 65536, (5, 6), dtype=np.uint16)
    assert np.array_equal(as_image(PIL.Image.fromarray(deep)).to_array(16), deep)
    palette = PIL.Image.fromarray(array[..., :3]).quantize(4)
    assert np.array_equal(as_image(palette).to_array(8), np.asarray(palette.convert("RGB")))
    assert as_image(PIL.Image.new("L", (3, 2), 9)).channels == 1
    with pytest.raises(TypeError, match="not int"):
        as_image(3)  # type: ignore[arg-type]


# -- single tasks


def test_denoising_brings_the_picture_nearer() -> None:
    clean = torch.linspace(0.2, 0.8, 64).expand(3, 64, 64)
    noisy = (clean + 0.1 * torch.randn(3, 64, 64, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    for method in ("nlm", "tv", "bilateral"):
        for sigma in (25.5, None):
            result = retouch.denoise(Image(noisy.contiguous()), sigma=sigma, method=method)
            assert retouch.psnr(result.pixels, clean) > retouch.psnr(noisy, clean) + 3, (method, sigma)


def test_the_noise_found_is_told() -> None:
    notes: list[str | None] = []
    retouch.denoise(_picture(), method="nlm", on_step=lambda step: notes.append(step.note))
    assert any(note and note.startswith("noise of sigma ") for note in notes)


@pytest.mark.parametrize("method", ["telea", "biharmonic", "navier-stokes"])
@pytest.mark.parametrize("inverted", [False, True])
def test_inpainting_changes_nothing_outside_the_mask(method: str, inverted: bool) -> None:
    image = _picture()
    mask = torch.zeros(1, _HEIGHT, _WIDTH)
    mask[:, 8:12, 5:30] = 1
    damaged = image.with_pixels(torch.where(mask >= 0.5, torch.ones(()), image.pixels))
    given = 1 - mask if inverted else mask
    result = retouch.inpaint(damaged, given, method=method, invert_mask=inverted)
    outside = mask.expand(3, -1, -1) < 0.5
    assert torch.equal(result.pixels[outside], damaged.pixels[outside])
    inside = ~outside
    error = float((result.pixels - image.pixels)[inside].abs().mean())
    assert error < 0.25 * float((damaged.pixels - image.pixels)[inside].abs().mean())


def test_a_mask_may_be_a_tensor_an_array_a_path_or_an_image(tmp_path: Path) -> None:
    mask = torch.zeros(_HEIGHT, _WIDTH)
    mask[5:9, 5:9] = 1
    array = (mask * 255).byte().numpy()
    PIL.Image.fromarray(array).save(tmp_path / "m.png")
    first = retouch.inpaint(_picture(), mask, method="telea").pixels
    others = [mask[None], mask.bool(), array, tmp_path / "m.png", Image(mask[None]), PIL.Image.fromarray(array)]
    for other in others:
        assert torch.equal(retouch.inpaint(_picture(), other, method="telea").pixels, first)
    with pytest.raises(OptionError, match="a mask is"):
        retouch.inpaint(_picture(), torch.zeros(3, 4, 5, 6))


def test_masks_and_guides_of_another_size() -> None:
    with pytest.raises(RetouchError, match="the mask is 44x30 pixels, the picture 44x36"):
        retouch.inpaint(_picture(), torch.zeros(1, 30, _WIDTH), method="telea")
    with pytest.raises(RetouchError, match="one size"):
        retouch.relight(_picture(), Image(torch.rand(3, 8, 8)), method="guided-filter")


def test_upscaling_enlarges_the_alpha_by_bicubic_and_clips_it() -> None:
    from retouch.image.resize import resize

    image = _picture(alpha=True)
    assert image.alpha is not None
    expected = resize(image.alpha[None], scale=3).clamp(0, 1)[0]
    for method in ("bicubic", "lanczos"):
        result = retouch.upscale(image, scale=3, method=method)
        assert result.alpha is not None
        assert torch.equal(result.alpha, expected)


def test_relighting_smooths_and_keeps_the_light() -> None:
    edge = (torch.arange(48) >= 24).float().expand(1, 48, 48) * 0.5 + 0.25
    noise = 0.05 * torch.randn(1, 48, 48, generator=torch.Generator().manual_seed(0))
    dark = Image(((edge * 0.5) + noise).clamp(0, 1).contiguous())
    result = retouch.relight(dark, Image(edge.contiguous()), method="guided-filter")
    assert retouch.psnr(result.pixels, edge * 0.5) > retouch.psnr(dark.pixels, edge * 0.5) + 3
    assert float(result.pixels.mean()) == pytest.approx(float(dark.pixels.mean()), abs=0.01)


@pytest.mark.parametrize("quality", [1, 10, 30, 49, 50, 51, 75, 90, 99, 100])
def test_the_quality_of_a_jpeg_is_read_from_its_table(tmp_path: Path, quality: int) -> None:
    from retouch.tasks.dejpeg import quality_of_table

    PIL.Image.new("L", (8, 8)).save(tmp_path / "a.jpg", quality=quality)
    settings = retouch.open(tmp_path / "a.jpg").metadata.jpeg
    assert settings is not None
    assert quality_of_table(settings.tables[0]) == quality


def test_degrading_repeats_with_the_seed_and_differs_between_pictures() -> None:
    flat = Image(torch.full((3, 20, 20), 0.5))
    other = Image(torch.full((3, 20, 20), 0.25))
    first = retouch.degrade(flat, noise=10.0)
    assert torch.equal(first.pixels, retouch.degrade(flat, noise=10.0).pixels)
    assert not torch.equal(first.pixels, retouch.degrade(flat, noise=10.0, seed=1).pixels)
    assert not torch.allclose(first.pixels - 0.5, retouch.degrade(other, noise=10.0).pixels - 0.25, atol=1e-4)
    assert float((first.pixels - 0.5).std()) * 255 == pytest.approx(10, abs=0.6)


def test_degrading_moves_the_alpha_with_the_pixels_and_leaves_it_clean(tmp_path: Path) -> None:
    recipe = tmp_path / "turn.toml"
    recipe.write_text('[[step]]\nkind = "random_flip"\nhorizontal = 1.0\n[[step]]\nkind = "gaussian_noise"\n')
    image = _picture(alpha=True)
    assert image.alpha is not None
    result = retouch.degrade(image, recipe=str(recipe))
    assert result.alpha is not None
    assert torch.equal(result.alpha, image.alpha.flip(-1))
    small = retouch.degrade(image, scale_down=2)
    assert small.alpha is not None
    assert small.alpha.shape == (1, 18, 22)


# -- deep priors in tiles


@pytest.fixture
def two_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every deep prior makes two steps."""
    original = DeepPrior.resolved
    monkeypatch.setattr(
        DeepPrior, "resolved", lambda self, degradation=None: dataclasses.replace(original(self, degradation), steps=2)
    )


@pytest.mark.usefixtures("two_steps")
@pytest.mark.parametrize("name", ["denoise", "inpaint", "upscale", "dejpeg", "relight"])
def test_a_deep_prior_by_tiles_tells_its_steps_as_one_run(name: str) -> None:
    task = TASKS[name]
    steps: list[Step] = []
    options = task.make_options(**_extras(task), method="deep-prior", effort="quick", tile="30")
    image = _picture(alpha=True)
    result = task.run(image, options, steps.append)
    scale = getattr(options, "scale", 1)
    assert (result.channels, result.height, result.width) == (3, _HEIGHT * scale, _WIDTH * scale)
    assert result.alpha is not None
    assert steps[-1].total > 2
    indices = [step.index for step in steps]
    assert len(set(indices)) == len(indices)
    assert indices == sorted(indices)
    assert indices[-1] == steps[-1].total


@pytest.mark.usefixtures("two_steps")
def test_tiles_that_are_not_begun_when_stopped_stay_as_they_were() -> None:
    image = _picture()
    result = retouch.denoise(image, method="deep-prior", effort="quick", tile="24", on_step=lambda step: False)
    unchanged = (result.pixels - image.pixels).abs().amax(0) < 1e-5
    assert bool(unchanged[-4:, -4:].all())
    assert not bool(unchanged[:4, :4].any())


@pytest.mark.usefixtures("two_steps")
def test_too_little_memory_means_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    from retouch.image import tiling
    from retouch.tasks import iterate

    steps: list[Step] = []
    monkeypatch.setattr(iterate, "_free_memory", lambda device: 1e6)
    monkeypatch.setattr(tiling, "AUTO_TILE", 32)
    retouch.denoise(_picture(), method="deep-prior", effort="quick", on_step=steps.append)
    assert steps[-1].total > 2
    with pytest.raises(OptionError, match="--state"):
        retouch.denoise(_picture(), method="deep-prior", effort="quick", state=Path("x.state"))


def test_a_small_hole_in_a_large_picture_is_filled_from_its_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    from retouch.solvers.deep_prior import DeepPrior
    from retouch.solvers.steps import Solution

    seen: list[tuple[int, int]] = []

    def solve(self: DeepPrior, measurement: Image, *_: object, **__: object) -> Solution:
        seen.append((measurement.height, measurement.width))
        return Solution(measurement.with_pixels(torch.full_like(measurement.pixels, 0.25)), 1, "steps")

    monkeypatch.setattr(DeepPrior, "solve", solve)
    image = Image(torch.full((3, 400, 500), 0.75))
    mask = torch.zeros(1, 400, 500)
    mask[:, 150:160, 20:40] = 1
    filled = retouch.inpaint(image, mask, method="deep-prior", device="cpu")
    assert seen == [(10 + 2 * 96, 40 + 96)]
    assert torch.equal(filled.pixels, torch.where(mask > 0, 0.25, 0.75).expand(3, -1, -1))


def test_calibration_reaches_non_local_means(monkeypatch: pytest.MonkeyPatch) -> None:
    from retouch.solvers.non_local_means import NonLocalMeans

    calibrated: list[int] = []

    def choose(self: NonLocalMeans, measurement: Image) -> NonLocalMeans:
        calibrated.append(measurement.height)
        return dataclasses.replace(self, calibrate=False)

    monkeypatch.setattr(NonLocalMeans, "calibrated", choose)
    retouch.denoise(_picture(), method="nlm", sigma=10)
    assert calibrated == []
    retouch.denoise(_picture(), method="nlm", sigma=10, calibrate=True)
    assert calibrated == [_HEIGHT]


@pytest.mark.parametrize(
    ("megapixels", "budget", "taken"), [(0.06, 5.0, "biharmonic"), (2.0, 60.0, "biharmonic"), (12.0, 60.0, "telea")]
)
def test_auto_fills_marked_holes_by_what_measured_best(megapixels: float, budget: float, taken: str) -> None:
    """Where the prior would take too long: the U-Net is quick too, but 2 to 9 dB worse in strokes and letters."""
    from retouch.tasks.inpaint import INPAINT

    options = INPAINT.make_options(mask=torch.ones(1, 4, 4), method="auto", device="cpu", budget=budget)
    assert INPAINT.choose(megapixels, options).name == taken
