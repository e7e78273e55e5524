"""Blind restoration: what is whole stays whole, what is found is mended, and only that."""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import torch
from torch import Tensor, nn

import retouch
from retouch.app.cli import main
from retouch.degradations.blur import GaussianBlur
from retouch.degradations.jpeg import Jpeg
from retouch.degradations.levels import COUNT, Levels
from retouch.degradations.noise import GaussianNoise
from retouch.degradations.resample import ResizeBlur
from retouch.image.errors import OptionError, RetouchError
from retouch.image.files import open_image
from retouch.image.image import Image
from retouch.models.card import Card
from retouch.models.load import save_weights
from retouch.networks.build import build
from retouch.solvers.steps import Step
from retouch.tasks import TASKS

_INK = 0.95


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of weights, of the user and of the package."""
    from retouch.models import catalogue

    monkeypatch.setenv("RETOUCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(catalogue, "PACKAGED", tmp_path / "none")
    (tmp_path / "home" / "models").mkdir(parents=True)
    return tmp_path / "home" / "models"


def _install(
    home: Path, gain: float = 0.5, colour: str = "rgb", tasks: tuple[str, ...] = ("restore", "inpaint")
) -> None:
    """A weight that makes every value ``gain`` times as large: it takes off what is bright, and leaves black."""
    arguments: dict[str, Any] = {"kernels": [1, 1, 1], "widths": [3, 3], "channels": 3}
    network = build("srcnn", arguments)
    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    for index, layer in enumerate(layers):
        nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        eye = torch.eye(3)[:, :, None, None]
        with torch.no_grad():
            layer.weight.copy_(eye * (gain if index == 0 else 1))
    card = Card(
        name="tiny",
        family="unet",
        architecture="srcnn",
        arguments=arguments,
        tasks=tasks,
        colour=colour,
        summary="of a test",
    )
    save_weights(home / "tiny.safetensors", network.state_dict(), card, store="fp32")


def _dark(side: int = 96) -> Tensor:
    """A whole picture so dark that halving it is no strong change."""
    rng = np.random.default_rng(0)
    blocks = rng.integers(4, 17, (3, side // 12, side // 12)) / 255
    return torch.from_numpy(np.kron(blocks, np.ones((1, 12, 12)))).float().contiguous()


def _notes(source: Image, **options: Any) -> tuple[Image, list[str]]:
    told: list[str] = []

    def listen(step: Step) -> None:
        if step.note:
            told.append(step.note)

    return retouch.restore(source, on_step=listen, device="cpu", **options), told


def _damaged(pixels: Tensor, damage: Any) -> Image:
    damaged = damage(pixels[None], torch.Generator().manual_seed(0))[0].clamp(0, 1)
    return Image((damaged * 255).round() / 255)


@pytest.mark.parametrize("with_weights", [False, True])
@pytest.mark.parametrize("only", [None, "noise", "text,jpeg"])
def test_a_whole_picture_comes_back_bit_for_bit(home: Path, with_weights: bool, only: str | None) -> None:
    if with_weights:
        _install(home)
    image = Image(_dark())
    result, told = _notes(image, only=only)
    assert torch.equal(result.pixels, image.pixels)
    assert any("nothing found" in text for text in told)


def test_letters_are_taken_off_and_all_else_is_kept(home: Path) -> None:
    _install(home)
    pixels = _dark()
    pixels[:, 40:52, 30:34] = _INK
    image = Image(pixels)
    for method in ("auto", "unet"):
        asked, told = _notes(image, method=method)
        assert torch.equal(asked.pixels, pixels), "what looks like letters may be part of the picture"
        assert "text is looked for only when asked: --only text" in told
    for only, method in (("text", "unet"), ("text", "auto")):
        result, told = _notes(image, only=only, method=method)
        assert torch.allclose(result.pixels[:, 40:52, 30:34], torch.tensor(_INK / 2), atol=0.01)
        assert torch.equal(result.pixels[:, :34], pixels[:, :34])
        assert torch.equal(result.pixels[:, :, 42:], pixels[:, :, 42:])
        assert any(text.startswith("found: text or the like over 0.9") for text in told), told
    half, _ = _notes(image, only="text", strength=0.5)
    assert torch.allclose(half.pixels[:, 40:52, 30:34], torch.tensor(_INK * 0.75), atol=0.01)
    none, _ = _notes(image, only="text", strength=0)
    assert torch.equal(none.pixels, pixels)
    kept, told = _notes(image, only="noise")
    assert torch.equal(kept.pixels, pixels)
    assert not any("weights" in text for text in told), "where nothing is to be done, no network is run"


def test_noise_changes_no_pixel_by_more_than_it_can_ask_for(home: Path) -> None:
    _install(home, gain=0.0)  # a network that would blacken everything
    image = _damaged(torch.full((3, 96, 96), 0.5), GaussianNoise(15))
    result, told = _notes(image, only="noise", method="unet")
    change = (result.pixels - image.pixels).abs()
    assert any(text.startswith("found: noise of sigma 1") for text in told)
    assert 80 / 255 < float(change.max()) < 100 / 255  # six deviations of the estimate


def test_the_text_is_left_when_only_noise_is_asked_for(home: Path) -> None:
    _install(home)
    noisy = _damaged(_dark(), GaussianNoise(10)).pixels
    noisy[:, 40:52, 30:34] = _INK
    only_noise, _ = _notes(Image(noisy), only="noise", method="unet")
    assert torch.allclose(only_noise.pixels[:, 40:52, 30:34], torch.tensor(_INK))
    assert not torch.equal(only_noise.pixels, noisy)
    for method in ("unet", "chain"):
        both, _ = _notes(Image(noisy), only="text,noise", method=method)
        assert float(both.pixels[:, 42:50, 31:33].mean()) == pytest.approx(_INK / 2, abs=0.01)


def test_the_chain_leaves_to_the_network_what_it_cannot_do(home: Path) -> None:
    _install(home)
    clean = _dark()
    noisy = _damaged(clean, GaussianNoise(10)).pixels
    noisy[:, 40:52, 30:34] = _INK
    result, told = _notes(Image(noisy), explain=True, only="noise,text")  # auto
    assert "chain: denoise --method nlm, then the network, once, for text where there is any" in told
    assert any(text.startswith("found: text or the like") for text in told)
    away = torch.ones(96, 96, dtype=torch.bool)
    away[30:62, 20:44] = False
    denoised, _ = _notes(Image(noisy), only="noise", method="chain")
    assert torch.equal(result.pixels[:, away], denoised.pixels[:, away])
    assert not torch.equal(result.pixels, denoised.pixels)
    half, _ = _notes(Image(noisy), strength=0.5, only="noise,text")
    assert torch.allclose(half.pixels, (noisy + result.pixels) / 2, atol=1e-5)


def test_a_network_that_is_told_mends_all_that_is_found(home: Path) -> None:
    arguments: dict[str, Any] = {"widths": [4], "blocks": [1], "levels": COUNT}
    card = Card(
        name="told", family="unet", architecture="residual-unet", arguments=arguments, tasks=("restore",), colour="rgb",
        summary="of a test",
    )  # fmt: skip
    network = build("residual-unet", arguments)
    nn.init.constant_(network.get_parameter("tail.bias"), 0.01)
    save_weights(home / "told.safetensors", network.state_dict(), card, store="fp32")
    noisy = _damaged(_dark(), GaussianNoise(10))
    result, told = _notes(noisy, explain=True)
    assert "chain: the network, once, for noise" in told
    assert not any(text.startswith("running") for text in told)
    torch.testing.assert_close(result.pixels, (noisy.pixels + 0.01).clamp(0, 1), atol=1e-3, rtol=0)


def test_grey_pictures_stay_grey(home: Path) -> None:
    _install(home)
    pixels = _damaged(torch.full((1, 96, 96), 0.5), GaussianNoise(20)).pixels
    for channels in (1, 3):
        result, told = _notes(Image(pixels.expand(channels, -1, -1).contiguous()))
        assert result.channels == channels
        assert float((result.pixels - result.pixels.mean(0, keepdim=True)).abs().max()) < 1e-6
        assert any("retouch colorize" in text for text in told)


def test_without_weights_the_other_tasks_are_run(home: Path) -> None:
    clean = torch.linspace(0.2, 0.8, 128).expand(3, 128, 128).contiguous()
    noisy = _damaged(clean, GaussianNoise(20))
    result, told = _notes(noisy)
    assert retouch.psnr(result.pixels, clean) > retouch.psnr(noisy.pixels, clean) + 3
    assert "running denoise --method nlm" in told
    assert any(text.startswith("text is not looked for without the network: no weights of unet here") for text in told)
    with pytest.raises(RetouchError, match="--only text: text is found by the network only, and no weights of unet"):
        retouch.restore(noisy, only="text")


def test_the_chain_is_jpeg_first_then_noise_and_explained(photograph: Tensor) -> None:
    coded = _damaged(photograph, Jpeg(20))
    result, told = _notes(coded, explain=True, method="chain")
    assert "chain: dejpeg --method reapply" in told
    assert any(text.startswith("found: JPEG of quality 20 (its coefficients lie on the steps") for text in told)
    assert retouch.psnr(result.pixels, photograph) > retouch.psnr(coded.pixels, photograph) + 0.1
    half, _ = _notes(coded, method="chain", strength=0.5)
    assert torch.allclose(half.pixels, (coded.pixels + result.pixels) / 2, atol=1e-5)
    left, told = _notes(coded, method="chain", only="noise", explain=True)
    assert torch.equal(left.pixels, coded.pixels)
    assert any(text.endswith("left, as --only asks") for text in told)
    assert "chain: nothing to run" in told


def test_blur_is_for_the_network(home: Path, photograph: Tensor) -> None:
    blurred = _damaged(photograph, GaussianBlur(1.5))
    result, told = _notes(blurred, method="chain")
    assert torch.equal(result.pixels, blurred.pixels)
    assert "blur: left, only the network mends it" in told
    _install(home)
    halved, _ = _notes(blurred, only="blur")
    assert float(halved.pixels.mean()) == pytest.approx(float(blurred.pixels.mean()) / 2, abs=0.02)


@pytest.fixture(scope="module")
def photograph() -> Tensor:
    """Discs that cover one another, drawn twice as large and halved."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:384, :384]
    picture = np.full((384, 384, 3), 0.5)
    for _ in range(300):
        row, column = rng.uniform(0, 384, 2)
        inside = (y - row) ** 2 + (x - column) ** 2 < min(96.0, 10 * rng.uniform() ** -0.5) ** 2
        picture[inside] = rng.uniform(0.1, 0.9, 3)
    small = picture.reshape(192, 2, 192, 2, 3).mean(axis=(1, 3)).transpose(2, 0, 1)
    return torch.from_numpy(small).float().contiguous()


def test_wrong_options_name_the_nearest_word() -> None:
    with pytest.raises(OptionError, match="did you mean 'noise'"):
        retouch.restore(Image(_dark()), only="nose")
    with pytest.raises(OptionError, match=r"--strength must be in"):
        TASKS["restore"].make_options(strength=2.0)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (33, 7)])
def test_tiny_pictures(home: Path, size: tuple[int, int]) -> None:
    image = Image(torch.rand(3, *size, generator=torch.Generator().manual_seed(0)) * 0.05)
    assert retouch.restore(image).pixels.shape == (3, *size)
    _install(home)
    assert retouch.restore(image).pixels.shape == (3, *size)


def test_inpaint_by_the_network_changes_the_holes_only(home: Path) -> None:
    _install(home)
    pixels = torch.full((3, 50, 60), 0.6)
    mask = torch.zeros(1, 50, 60)
    mask[:, 20:25, 10:40] = 1
    damaged = torch.where(mask >= 0.5, torch.ones(()), pixels)
    result = retouch.inpaint(Image(damaged), mask, method="unet", device="cpu")
    inside = mask.expand(3, -1, -1) >= 0.5
    assert torch.equal(result.pixels[~inside], damaged[~inside])
    assert torch.allclose(result.pixels[inside], torch.tensor(0.3), atol=0.01)  # half of what is around


def test_inpaint_without_weights_tells_which_recipe_makes_them() -> None:
    with pytest.raises(OptionError, match="no weights of unet here: retouch train unet-restore --images DIR"):
        retouch.inpaint(Image(torch.full((3, 20, 20), 0.6)), torch.eye(20)[None], method="unet")


def test_explain_on_the_command_line_tells_and_mends_many(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _install(home)
    whole, lettered = _dark(), _dark()
    lettered[:, 40:52, 30:34] = 1
    retouch.save(Image(whole), tmp_path / "whole.png")
    retouch.save(Image(lettered), tmp_path / "lettered.png")
    call = ["restore", str(tmp_path / "whole.png"), str(tmp_path / "lettered.png"), "-o", str(tmp_path / "out/")]
    assert main([*call, "--explain", "--only", "text", "--method", "unet", "--device", "cpu"]) == 0
    told = capsys.readouterr().err
    assert "whole.png: found: no noise (sigma" in told
    assert "chain: the network, once, for text where there is any" in told
    assert "lettered.png: found: text or the like over 0.9" in told
    assert np.array_equal(
        open_image(tmp_path / "out" / "whole.png").to_array(), open_image(tmp_path / "whole.png").to_array()
    )
    assert float(open_image(tmp_path / "out" / "lettered.png").pixels[:, 42:50, 31:33].mean()) < 0.6
    assert main(["restore", str(tmp_path / "whole.png"), "-o", str(tmp_path / "o.png"), "--only", "nois"]) == 2
    assert "did you mean 'noise'" in capsys.readouterr().err


# -- what the network is told


@pytest.mark.parametrize(
    ("damage", "options", "told"),
    [
        (GaussianNoise(20), {"method": "unet", "only": "noise,text"}, {"noise": 0.4, "overlay": 1}),
        (GaussianNoise(20), {"method": "unet", "only": "noise"}, {"noise": 0.4}),
        (Jpeg(30), {"method": "unet"}, {"jpeg": 0.7}),
        (Jpeg(30), {"method": "unet", "only": "text"}, {"overlay": 1}),
        (ResizeBlur(2), {}, {"enlarged": 0.5}),
        (GaussianBlur(1.5), {}, {"blur": 0.75}),
    ],
)
def test_the_network_is_told_what_was_found_and_is_to_be_mended(
    monkeypatch: pytest.MonkeyPatch, damage: Any, options: dict[str, Any], told: dict[str, float]
) -> None:
    heard: list[Levels] = []

    def network(task: str, family: str, level: None, image: Image, made: Any, on_step: Any, levels: Levels) -> Tensor:
        heard.append(levels)
        return image.pixels

    monkeypatch.setattr("retouch.tasks.restore.run_network", network)
    monkeypatch.setattr("retouch.tasks.learned._why_not", lambda task, family, options: None)
    photograph = torch.from_numpy(skimage.data.astronaut()).permute(2, 0, 1)[:, 100:356, 100:356] / 255
    _notes(_damaged(photograph, damage), **options)
    expected = Levels(**told)
    assert astuple(heard[0]) == pytest.approx(astuple(expected), abs=0.15)
