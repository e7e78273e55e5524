"""The map of what is invented: empty for what the input proves, marked where something was put in."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch

import retouch
from retouch.app.cli import main
from retouch.image.errors import OptionError
from retouch.image.files import open_image
from retouch.image.image import Image, JpegSettings, Metadata
from retouch.image.resize import resize
from retouch.tasks import TASKS
from retouch.tasks.base import Method
from retouch.tasks.invented import FACTS, TOP, Invented, measure


def _photo(height: int = 64, width: int = 80, channels: int = 3, seed: int = 0) -> torch.Tensor:
    coarse = torch.rand(1, channels, 6, 8, generator=torch.Generator().manual_seed(seed))
    fine = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bilinear")[0]
    return (fine * 0.6 + 0.2).contiguous()


def _with_object(pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A square pasted in, and where it is."""
    out, place = pixels.clone(), torch.zeros(1, *pixels.shape[1:], dtype=torch.bool)
    place[:, 24:40, 32:48] = True
    out[:, 24:40, 32:48] = 1 - out[:, 24:40, 32:48]
    out[:, 24:40, 32:48] = torch.where(
        (out - pixels)[:, 24:40, 32:48].abs() < 0.2, torch.ones(()), out[:, 24:40, 32:48]
    )
    return out, place


def _check_object(found: Invented, place: torch.Tensor, margin: int = 8) -> None:
    """Inside the object most is marked, away from it nothing is."""
    near = torch.nn.functional.max_pool2d(place[None].float(), 2 * margin + 1, 1, margin)[0] > 0
    assert float((found.map[place] > 8).float().mean()) > 0.6
    assert float(found.map[~near].max()) < 1
    assert found.share() <= float(near.float().mean())


def _jpeg(pixels: torch.Tensor, quality: int, subsampling: int) -> Image:
    buffer = io.BytesIO()
    array = (pixels * 255).round().byte().permute(1, 2, 0).numpy()
    PIL.Image.fromarray(np.ascontiguousarray(array)).save(buffer, "JPEG", quality=quality, subsampling=subsampling)
    with PIL.Image.open(buffer) as coded:
        tables = {slot: tuple(table) for slot, table in coded.quantization.items()}  # type: ignore[attr-defined]
        decoded = np.asarray(coded)
    return Image.from_array(decoded, Metadata(format="JPEG", jpeg=JpegSettings(tables, subsampling)))


def test_upscale_is_held_against_the_input_made_of_it() -> None:
    large = Image(_photo())
    small = Image(resize(large.pixels[None], (32, 40))[0].clamp(0, 1))
    found = retouch.invented(small, large, "upscale", scale=2, method="bicubic")
    assert found.disagreement is None
    assert float(found.map.max()) < 0.01
    assert "0.0 %" in found.describe()
    changed, place = _with_object(large.pixels)
    _check_object(retouch.invented(small, Image(changed), "upscale", scale=2, method="bicubic"), place)
    with pytest.raises(ValueError, match="should be"):
        retouch.invented(small, small, "upscale", scale=2, method="bicubic")


def test_denoise_may_take_out_noise_and_nothing_else() -> None:
    clean = _photo()
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(1)) * 15 / 255
    noisy = Image((clean + noise).clamp(0, 1))
    found = retouch.invented(noisy, Image(clean), "denoise", sigma=15, method="nlm")
    assert found.share() == 0
    assert float(found.map.max()) < 2.0
    changed, place = _with_object(clean)
    found = retouch.invented(noisy, Image(changed), "denoise", sigma=15, method="nlm")
    assert float((found.map[place] > 8).float().mean()) > 0.6
    assert float(found.map[:, :, :20].max()) < 2.0


@pytest.mark.parametrize("subsampling", [0, 2])
@pytest.mark.parametrize("quality", [10, 50, 90])
def test_dejpeg_may_be_anything_that_the_file_was_made_of(quality: int, subsampling: int) -> None:
    original = _photo()
    coded = _jpeg(original, quality, subsampling)
    assert float((coded.pixels - original).abs().max()) > 0.004
    found = retouch.invented(coded, Image(original), "dejpeg", method="reapply")
    assert found.share() == 0
    assert float(found.map.max()) < 4
    changed, place = _with_object(original)
    found = retouch.invented(coded, Image(changed), "dejpeg", method="reapply")
    assert float((found.map[place] > 8).float().mean()) > 0.6
    assert float(found.map[:, :16].max()) < 4


def test_everything_inside_a_mask_is_made_up() -> None:
    image = Image(_photo())
    mask = torch.zeros(1, 64, 80)
    mask[:, 10:20, 30:50] = 1
    found = retouch.invented(image, image, "inpaint", mask=mask, method="telea")
    assert bool((found.map[mask > 0] >= TOP).all())
    assert float(found.map[mask == 0].max()) == 0
    assert found.share() == pytest.approx(200 / (64 * 80))
    other = retouch.invented(image, image, "inpaint", mask=1 - mask, invert_mask=True, method="telea")
    assert torch.equal(other.map, found.map)


def _method(answer: Any) -> Method:
    """A method that stands for a trained network."""
    return Method(
        "made up",
        "",
        "",
        "",
        seconds=lambda *size: 1.0,
        rank=0,
        learned=True,
        run=lambda image, options, on_step: answer(image),
    )


def test_a_network_that_does_not_care_how_a_picture_lies_never_disagrees() -> None:
    image = Image(_photo())
    task = TASKS["denoise"]
    options = task.make_options(sigma=5)
    halved = _method(lambda picture: picture.with_pixels(picture.pixels * 0.9))
    found = measure(image, halved.run(image, options, None), task, halved, options)
    assert found.runs == 4
    assert found.disagreement is not None
    assert float(found.disagreement.max()) < 1e-3
    # darker towards the left of whatever it is shown: the runs of a ramp differ, by hand
    ramp = torch.linspace(0, 0.4, 80).view(1, 1, 80)

    def leaning(picture: Image) -> Image:
        across = ramp if picture.width == 80 else torch.linspace(0, 0.4, picture.width).view(1, 1, -1)
        return picture.with_pixels(torch.zeros_like(picture.pixels) + across)

    leans = _method(leaning)
    found = measure(image, leans.run(image, options, None), task, leans, options)
    assert found.disagreement is not None
    # the upper left corner: as it lies and after a quarter turn to the left (then lower left) at the dark side; after
    # a half turn and in the mirror at the bright one
    assert float(found.disagreement[0, 0, 0]) == pytest.approx(255 * 0.2, abs=0.01)


def test_views_can_be_left_out_and_the_mask_turns_with_the_picture() -> None:
    image, task = Image(_photo()), TASKS["inpaint"]
    mask = torch.zeros(1, 64, 80)
    mask[:, 3:9, 5:60] = 1
    options = task.make_options(mask=mask)
    seen: list[Any] = []

    def run(picture: Image, given: Any, on_step: Any) -> Image:
        seen.append((picture.pixels * given.mask).sum().item())
        return picture

    method = Method("made up", "", "", "", seconds=lambda *size: 1.0, rank=0, learned=True, run=run)
    assert measure(image, image, task, method, options, views=False).disagreement is None
    assert not seen
    measure(image, image, task, method, options)
    assert seen == pytest.approx([float((image.pixels * mask).sum())] * 3, rel=1e-4)


def test_unknown_tasks_are_refused() -> None:
    image = Image(_photo())
    with pytest.raises(OptionError, match="did you mean 'upscale'"):
        retouch.invented(image, image, "upscal")
    assert set(FACTS) - {"restore"} <= set(TASKS)


def test_the_map_is_drawn_over_the_picture_with_its_scale() -> None:
    image = Image(_photo(60, 400))
    values = torch.zeros(1, 60, 400)
    values[:, :, 200:] = 100
    drawn = Invented(values, None, 1, "x").picture(image)
    assert (drawn.channels, drawn.width) == (3, 400)
    assert drawn.height > 60
    left, right = drawn.pixels[:, :60, :200], drawn.pixels[:, :60, 200:]
    assert float((left.amax(0) - left.amin(0)).max()) < 0.01, "grey where nothing is invented"
    assert torch.allclose(right[:, 0, 0] * 255, torch.tensor([255.0, 245.0, 170.0]), atol=1)
    tiny = Invented(torch.zeros(1, 1, 1), None, 1, "x").picture(Image(torch.rand(1, 1, 1)))
    assert tiny.width >= 320


def _save(path: Path, seed: int) -> None:
    path.parent.mkdir(exist_ok=True)
    Image(_photo(40, 48, seed=seed), metadata=Metadata(bit_depth=8)).save(path)


def test_the_command_writes_one_map_or_one_for_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("in/a.png", "in/b.png", "in/b.jpg"):
        _save(tmp_path / name, len(name))
    call = ["denoise", str(tmp_path / "in/a.png"), "-o", str(tmp_path / "a.png"), "--method", "bilateral"]
    assert main([*call, "--invented", str(tmp_path / "map.png")]) == 0
    assert open_image(tmp_path / "map.png").channels == 3
    assert "% of the pixels depart by more than 8/255" in " ".join(capsys.readouterr().err.split())
    call = ["denoise", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--method", "bilateral"]
    assert main([*call, "--invented", str(tmp_path / "maps")]) == 0
    names = sorted(path.name for path in (tmp_path / "maps").iterdir())
    assert names == ["a-invented.png", "b.jpg-invented.png", "b.png-invented.png"]


def test_a_map_must_not_fall_on_another_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _save(tmp_path / "a.png", 0)
    before = (tmp_path / "a.png").read_bytes()
    call = ["denoise", str(tmp_path / "a.png"), "-o", str(tmp_path / "x.png"), "--method", "bilateral", "--invented"]
    for place, reason in (
        ("a.png", "is an input or an output"),
        ("x.png", "is an input or an output"),
        ("none/m.png", "there is no folder"),
        ("m", "needs an ending"),
    ):
        assert main([*call, str(tmp_path / place)]) == 2
        assert reason in " ".join(capsys.readouterr().err.split())
    assert (tmp_path / "a.png").read_bytes() == before
    assert not (tmp_path / "x.png").exists()
