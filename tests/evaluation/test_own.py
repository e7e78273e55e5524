"""What a weight's own recipe measures: digits that are mended, generators, and what is refused."""

from __future__ import annotations

import gzip
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from retouch.evaluation import own
from retouch.evaluation.options import EvaluateOptions
from retouch.evaluation.own import dataset_name, evaluate_own, is_for
from retouch.image.errors import OptionError, RetouchError
from retouch.image.image import Image
from retouch.image.resize import resize
from retouch.metrics import psnr
from retouch.models.card import Card
from retouch.models.load import save_weights
from retouch.networks.build import build
from retouch.training.recipe import read_recipe


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    path = tmp_path / "mnist" / "t10k-images-idx3-ubyte.gz"
    path.parent.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (6, 28, 28), np.uint8)
    head = bytes([0, 0, 8, 3]) + b"".join(size.to_bytes(4, "big") for size in pixels.shape)
    path.write_bytes(gzip.compress(head + pixels.tobytes()))
    return path


def saved(folder: Path, name: str, **more: Any) -> str:
    recipe = read_recipe(name)
    torch.manual_seed(0)
    values: dict[str, Any] = {
        "name": name, "family": recipe.card.family, "architecture": recipe.network.name,
        "arguments": recipe.network.arguments, "tasks": recipe.card.tasks, "colour": recipe.card.colour,
        "summary": "x", "sigma": recipe.card.sigma, "recipe": recipe.table(),
    }  # fmt: skip
    path = folder / f"{name}.safetensors"
    network = build(recipe.network.name, more.get("arguments", recipe.network.arguments))
    save_weights(path, network.state_dict(), Card(**values | more))
    return str(path)


def test_mended_digits(digits: Path, tmp_path: Path) -> None:
    name = saved(tmp_path, "denoise-digits")
    report = evaluate_own(name, digits, EvaluateOptions())
    assert set(report.values) == {"psnr", "ssim", "input_psnr", "input_ssim"}
    assert len(report.images) == report.total == 6
    again = evaluate_own(name, digits, EvaluateOptions(seed=5))
    assert again.values == report.values, "the noise is that of the recipe"
    row = report.measured()
    assert (row.dataset, row.sigma, row.recipe) == ("mnist t10k", 127.5, None)
    few = evaluate_own(name, digits, EvaluateOptions(limit=2))
    assert len(few.images) == 2
    # of pictures of white noise the clipped noise leaves less than 12 dB
    assert 5 < report.values["input_psnr"] < 12


def test_drawings_of_small_pictures(tmp_path: Path) -> None:
    arguments = {
        "scale": 4, "size": 32, "levels": 4, "width": 4, "blocks": 1, "prior_width": 4, "layers": 1, "kernel": 3,
        "first": 3, "head": 8,
    }  # fmt: skip
    values = ", ".join(f"{name} = {value}" for name, value in arguments.items())
    recipe = read_recipe("pixel-recursive-faces", [f"network.arguments={{ {values} }}", "data.shrink=[1.0]"])
    name = saved(tmp_path, "pixel-recursive-faces", arguments=arguments, recipe=recipe.table())
    folder = tmp_path / "pictures"
    folder.mkdir()
    generator = torch.Generator().manual_seed(0)
    for number in range(3):
        x = resize(torch.rand(1, 3, 4, 4, generator=generator), (32, 32)).clamp(0, 1)
        Image(x[0]).save(folder / f"{number}.png")
    assert is_for(name, folder)
    report = evaluate_own(name, folder, EvaluateOptions())
    assert set(report.values) == {"nats", "bits", "psnr", "ssim", "input_psnr", "input_ssim"}
    # fresh weights hold four levels for alike: two bits a value, and what they draw has nothing of the picture
    assert report.values["bits"] == pytest.approx(2, abs=0.3)
    assert report.values["nats"] == pytest.approx(report.values["bits"] * math.log(2) * 3 * 32**2, rel=1e-5)
    assert report.values["psnr"] < 12 < 20 < report.values["input_psnr"]
    other = evaluate_own(name, folder, EvaluateOptions(seed=1))
    assert other.values["nats"] == report.values["nats"]
    assert other.values["psnr"] != report.values["psnr"]


class _Features(nn.Module):
    """Sees the brightness."""

    def forward(self, x: Tensor, layers: list[str]) -> dict[str, Tensor]:
        assert x.shape[1] == 3
        return {layer: x.mean(1, keepdim=True).expand(-1, 512, -1, -1) for layer in layers}


def test_the_distance_of_samples(digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own, "load_features", lambda name: _Features())
    monkeypatch.setattr(own, "feature_path", lambda name: tmp_path)
    gan = evaluate_own(saved(tmp_path, "gan-digits"), digits, EvaluateOptions())
    assert set(gan.values) == {"frechet"}
    assert gan.values["frechet"] >= 0
    assert gan.measured().frechet == pytest.approx(gan.values["frechet"], abs=1e-4)
    vae = evaluate_own(saved(tmp_path, "vae-digits-784"), digits, EvaluateOptions())
    assert set(vae.values) == {"nats", "reconstruction", "divergence", "frechet"}


def test_digits_are_as_black_and_white_as_the_samples(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Tensor] = []

    class Keeps(_Features):
        def forward(self, x: Tensor, layers: list[str]) -> dict[str, Tensor]:
            seen.append(x)
            return super().forward(x, layers)

    monkeypatch.setattr(own, "feature_path", lambda name: tmp_path)
    monkeypatch.setattr(own, "load_features", lambda name: Keeps())
    report = evaluate_own(saved(tmp_path, "pixelcnn-digits"), digits, EvaluateOptions())
    assert set(report.values) == {"nats", "bits", "frechet"}
    assert len(seen) == 2
    assert all(set(x.unique().tolist()) == {0.0, 1.0} for x in seen)


def test_a_game_without_features_has_no_numbers(digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own, "feature_path", lambda name: None)
    with pytest.raises(RetouchError, match="retouch models fetch vgg16"):
        evaluate_own(saved(tmp_path, "gan-digits"), digits, EvaluateOptions())


def test_refused(digits: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="no recipe"):
        evaluate_own(saved(tmp_path, "denoise-digits", recipe={}), digits, EvaluateOptions())
    with pytest.raises(OptionError, match="--pairs measures it"):
        evaluate_own("pix2pix-facades", digits, EvaluateOptions())
    small = tmp_path / "small" / "x-idx3-ubyte"
    small.parent.mkdir()
    small.write_bytes(bytes([0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 2]) + b"abcd")
    with pytest.raises(RetouchError, match="28 pixels"):
        evaluate_own(saved(tmp_path, "vae-digits-784"), small, EvaluateOptions())


def test_what_is_measured_so(digits: Path, tmp_path: Path) -> None:
    assert is_for("whatever", digits)
    assert not is_for("bicubic", tmp_path)
    assert not is_for("fsrcnn-x2", tmp_path)
    assert is_for(saved(tmp_path, "gan-digits"), tmp_path)
    assert not is_for(str(tmp_path / "none.safetensors"), tmp_path)
    assert dataset_name(tmp_path) == tmp_path.name


def test_psnr_is_of_each_picture(digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []

    def kept(picture: Tensor, target: Tensor) -> float:
        seen.append(psnr(picture, target))
        return seen[-1]

    monkeypatch.setattr(own, "psnr", kept)
    report = evaluate_own(saved(tmp_path, "denoise-digits"), digits, EvaluateOptions())
    assert len(seen) == 12
    assert report.values["psnr"] == pytest.approx(sum(seen[:6]) / 6)
