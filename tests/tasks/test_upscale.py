"""The transformation network as a method of ``upscale``: tiles, any factor, the histogram, and as a file for others."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import retouch
from retouch.image.errors import OptionError
from retouch.image.histogram import match_histogram
from retouch.image.image import Image
from retouch.models import catalogue
from retouch.models.card import Card
from retouch.models.export import export_onnx
from retouch.models.load import Model, save_weights
from retouch.models.runner import Runner
from retouch.networks.build import build
from retouch.tasks import TASKS

STYLES = [{"scale": 1, "width": 3, "blocks": 1, "norm": norm} for norm in ("batch", "instance")]


def _network(arguments: dict[str, Any]) -> nn.Module:
    """Random weights and statistics, large enough that pixels differ."""
    torch.manual_seed(0)
    network = build("transform", arguments)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.1, 0.5)
    return network.eval()


def _card(name: str, arguments: dict[str, Any], family: str = "transform") -> Card:
    scale = arguments["scale"]
    return Card(name=name, family=family, architecture="transform", arguments=arguments, tasks=("upscale",),
                colour="rgb", summary="of a test", scales=(scale,))  # fmt: skip


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder with weights, without any."""
    folder = tmp_path / "home" / "models"
    folder.mkdir(parents=True)
    monkeypatch.setenv("RETOUCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(catalogue, "PACKAGED", tmp_path / "none")
    return folder


@pytest.fixture
def home(empty: Path) -> Path:
    """Weights for x4 and x8, and nothing else."""
    for scale in (4, 8):
        arguments = {"scale": scale, "width": 4, "blocks": 1}
        state = _network(arguments).state_dict()
        card = _card(f"transform-x{scale}", arguments)
        save_weights(empty / f"transform-x{scale}.safetensors", state, card, store="fp32")
    return empty


def _picture(channels: int = 3, alpha: bool = False) -> Image:
    generator = torch.Generator().manual_seed(0)
    opacity = torch.rand(1, 21, 34, generator=generator) if alpha else None
    return Image(torch.rand(channels, 21, 34, generator=generator), opacity)


@pytest.mark.parametrize("scale", [2, 3.5, 4, 8, 10])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_scale(home: Path, scale: float, channels: int) -> None:
    picture = _picture(channels, alpha=True)
    made = retouch.upscale(picture, scale=scale, method="transform", device="cpu")
    assert made.pixels.shape == (channels, int(21 * scale + 0.5), int(34 * scale + 0.5))
    assert made.alpha is not None
    assert made.alpha.shape[1:] == made.pixels.shape[1:]


def test_histogram_is_matched_by_default_for_this_method_only(home: Path) -> None:
    picture = _picture()
    plain = retouch.upscale(picture, scale=4, method="transform", match_histogram="off", device="cpu")
    matched = retouch.upscale(picture, scale=4, method="transform", device="cpu")
    assert not torch.equal(plain.pixels, matched.pixels)
    assert torch.equal(matched.pixels, match_histogram(plain.pixels, picture.pixels))
    named = retouch.upscale(picture, scale=4, model="transform-x4", device="cpu")
    assert torch.equal(named.pixels, matched.pixels)
    bicubic = retouch.upscale(picture, scale=4, method="bicubic")
    assert torch.equal(
        retouch.upscale(picture, scale=4, method="bicubic", match_histogram="on").pixels,
        match_histogram(bicubic.pixels, picture.pixels),
    )
    assert torch.equal(
        retouch.upscale(picture, scale=4, method="bicubic", match_histogram="off").pixels, bicubic.pixels
    )
    with pytest.raises(OptionError, match="unknown value of --match-histogram 'onn'; did you mean 'on'"):
        retouch.upscale(picture, match_histogram="onn")


def test_the_small_picture_is_what_is_matched_after_several_runs_too(home: Path) -> None:
    picture = Image((_picture().pixels * 0.3 + 0.5).contiguous())
    made = retouch.upscale(picture, scale=16, method="transform", device="cpu").pixels
    for index in range(3):
        expected, got = picture.pixels[index], made[index]
        for part in (0.1, 0.5, 0.9):
            assert abs(float(got.flatten().quantile(part)) - float(expected.flatten().quantile(part))) < 0.01


def test_scale_one_comes_back_as_it_is(home: Path) -> None:
    picture = _picture()
    for method in ("transform", "bicubic"):
        made = retouch.upscale(picture, scale=1, method=method, match_histogram="on", device="cpu")
        assert torch.equal(made.pixels, picture.pixels)


def test_without_weights_it_says_how_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETOUCH_HOME", str(tmp_path))
    monkeypatch.setattr(catalogue, "PACKAGED", tmp_path / "none")
    with pytest.raises(OptionError, match="no weights of transform here: retouch train transform-x4 "):
        retouch.upscale(_picture(), scale=4, method="transform")


def test_auto_does_not_prefer_it_to_what_keeps_to_the_pixels(home: Path) -> None:
    rank = {method.name: method.rank for method in TASKS["upscale"].methods}
    assert rank["lanczos"] < rank["transform"] < rank["fsrcnn"]


def _tiled(network: nn.Module, x: Tensor, tile: int | str, scale: int) -> Tensor:
    card = _card("w", {"scale": scale})
    return Runner(Model(card, network, Path("w")), device="cpu", precision="fp32", tile=tile).run(x, scale)


@pytest.mark.parametrize("arguments", [{"scale": 4, "width": 4, "blocks": 1}, {"scale": 8, "width": 4, "blocks": 1},
                                       STYLES[0]])  # fmt: skip
def test_tiles_leave_no_trace(arguments: dict[str, Any]) -> None:
    network = _network(arguments)
    scale = arguments["scale"]
    tile = 120 if scale == 1 else 60
    x = torch.rand(3, 150, 163)[:, : 150 if scale == 1 else 70, : 163 if scale == 1 else 101]
    whole = _tiled(network, x, "off", scale)
    assert whole.std() > 0.01
    assert torch.allclose(_tiled(network, x, tile, scale), whole, atol=1e-5)
    even = x[:, :68, :100]  # other sides are reflected to multiples by the runner, and once more by the network
    with torch.no_grad():
        assert torch.allclose(_tiled(network, even, "off", scale), network(even[None])[0], atol=1e-5)


@pytest.mark.parametrize("arguments", [{"scale": 4, "width": 4, "blocks": 1}, STYLES[1]])
def test_exported(arguments: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    network = _network(arguments)
    made = export_onnx(Model(_card("w", arguments), network, tmp_path / "w"), tmp_path / "w.onnx")
    assert made.difference < 1e-4
    x = torch.rand(3, 3, 8, 44)
    (got,) = runtime.InferenceSession(made.path, providers=["CPUExecutionProvider"]).run(None, {"input": x.numpy()})
    with torch.no_grad():
        assert torch.allclose(torch.from_numpy(got), network(x), atol=1e-4)


@pytest.fixture
def kinds(empty: Path) -> Path:
    """A weight for clean pictures and one for photographs as they come; what they add differs."""
    for family, bias in (("residual", 0.1), ("residual-real", 0.2)):
        arguments = {"scale": 2, "width": 3, "blocks": 1}
        network = build("residual-sr", arguments)
        with torch.no_grad():
            network.tail.convolution.bias.fill_(bias)  # type: ignore[union-attr, operator]
        card = dataclasses.replace(_card(f"{family}-x2", arguments, family), architecture="residual-sr")
        save_weights(empty / f"{family}-x2.safetensors", network.state_dict(), card, store="fp32")
    return empty


def _added(picture: Image, **options: Any) -> float:
    small = Image(picture.pixels * 0.5 + 0.2)
    made = retouch.upscale(small, scale=2, device="cpu", **options)
    return float((made.pixels.mean() - small.pixels.mean()).abs())


def test_real_takes_the_weight_for_photographs_as_they_come(kinds: Path) -> None:
    picture = _picture()
    assert _added(picture) == pytest.approx(0.1, abs=0.01)
    assert _added(picture, real=True) == pytest.approx(0.2, abs=0.01)
    assert _added(picture, method="residual-real") == pytest.approx(0.2, abs=0.01)
    with pytest.raises(OptionError, match="--method bicubic: --real is --method residual-real"):
        retouch.upscale(picture, method="bicubic", real=True)
    with pytest.raises(OptionError, match="either --real or --model"):
        retouch.upscale(picture, model="residual-x2", real=True)


def test_real_takes_the_noise_out_first_where_that_weight_is_here(kinds: Path) -> None:
    picture, notes = _picture(alpha=True), []
    method = TASKS["upscale"].method("residual-real")
    options = TASKS["upscale"].make_options(real=True, device="cpu")
    without = method.seconds(1.0, "cpu", options)
    arguments = {"widths": [2], "blocks": [1]}
    network = build("residual-unet", arguments)
    with torch.no_grad():
        network.tail.bias.fill_(-0.25)  # type: ignore[union-attr, operator]
    card = dataclasses.replace(
        _card("unet-denoise", {"scale": 1}, "unet"), architecture="residual-unet", arguments=arguments,
        tasks=("denoise",), scales=(), sigma=(0, 55),
    )  # fmt: skip
    save_weights(kinds / "unet-denoise.safetensors", network.state_dict(), card, store="fp32")
    assert _added(Image(0.3 + 0.4 * picture.pixels), real=True) == pytest.approx(0.25 - 0.2, abs=0.01)
    assert _added(Image(0.3 + 0.4 * picture.pixels), model="residual-real-x2") == pytest.approx(0.2, abs=0.01)
    assert method.seconds(1.0, "cpu", options) > without
    large = retouch.upscale(picture, real=True, on_step=lambda step: notes.append(step.note))
    told = [words for words in notes if words]
    assert [words for words in told if words.startswith("weights")] == [
        "weights: unet-denoise",
        "weights: residual-real-x2",
    ]
    assert told[0].startswith("noise of sigma"), "the picture is random numbers: denoise looks twice and says why"
    assert large.alpha is not None
    assert picture.alpha is not None
    assert float(large.alpha.mean()) == pytest.approx(float(picture.alpha.mean()), abs=0.02)


def test_without_the_weight_for_real_photographs_it_says_so(kinds: Path) -> None:
    (kinds / "residual-real-x2.safetensors").unlink()
    with pytest.raises(OptionError, match="no weights of residual-real here: retouch train residual-real-x2 "):
        retouch.upscale(_picture(), real=True)
