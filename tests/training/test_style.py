"""Learning a style: the objective, the painting that it is about, and what is left of it in the weight."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from retouch.app.cli import main
from retouch.image.errors import OptionError
from retouch.losses.perceptual import gram
from retouch.models.header import read_card
from retouch.networks.vgg import VGGFeatures
from retouch.training import trainer
from retouch.training.data import Samples
from retouch.training.find_rate import find_rate
from retouch.training.fit import Result, fit
from retouch.training.objectives.style import Style
from retouch.training.painting import Painting, painted, read_painting
from retouch.training.pictures import find_pictures, load_pictures
from retouch.training.recipe import TrainingRecipe, read_recipe, recipe_names
from retouch.training.trainer import Trainer

STYLES = [name for name in recipe_names() if name == "style" or name.startswith("style-")]
STAGES = [(name, index) for name in STYLES for index in range(len(read_recipe(name).stages()))]
SMALL = ["data.crop=32", "network.arguments.width=4", "network.arguments.blocks=1", "run.batch=2", "run.precision=fp32",
         "objective.arguments.side=32"]  # fmt: skip


def _features(name: str) -> nn.Module:
    """VGG16 as it begins: random features also tell pictures apart."""
    assert name == "vgg16"
    torch.manual_seed(0)
    return VGGFeatures(16)


@pytest.fixture(autouse=True)
def _random_features(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Trainer.__init__, "__kwdefaults__", Trainer.__init__.__kwdefaults__ | {"features": _features})


@pytest.fixture
def painting(tmp_path: Path) -> Path:
    from retouch.image.files import save
    from retouch.image.image import Image

    stripes = (torch.arange(48)[None] + torch.arange(40)[:, None]) // 6 % 2
    path = tmp_path / "stripes.png"
    save(Image(torch.stack((stripes * 0.8, stripes * 0.4, 1 - stripes * 0.9)).float().contiguous()), path)
    return path


def _style_recipe(name: str = "style", *changes: str) -> TrainingRecipe:
    own = ["run.steps=4"] if name == "style" else ["objective.arguments.sha256="]
    return read_recipe(name, [*SMALL, *own, *changes])


def test_numbers_are_the_papers() -> None:
    recipe = read_recipe("style")
    assert (recipe.data.crop, recipe.run.batch, recipe.run.steps) == (256, 4, 40_000)
    assert (recipe.optimizer.name, recipe.optimizer.rate, recipe.optimizer.weight_decay) == ("adam", 1e-3, 0)
    assert recipe.network.arguments == {"scale": 1, "width": 32, "blocks": 5, "norm": "instance"}
    arguments = recipe.objective.arguments
    assert arguments["layer"] == "relu2_2"
    assert arguments["layers"] == ["relu1_2", "relu2_2", "relu3_3", "relu4_3"]


@pytest.mark.parametrize(("name", "index"), STAGES)
def test_loss_falls(name: str, index: int, photographs: Path, painting: Path) -> None:
    """Of each stage, from fresh weights."""
    steps = [f"stage.{index}.run.steps=50" if read_recipe(name).stage else "run.steps=50", "optimizer.rate=5e-3"]
    stage = _style_recipe(name, *steps).stages()[index]
    recipe, about = painted(replace(stage, network=replace(stage.network, start=None)), painting)
    pictures = load_pictures(find_pictures([photographs]), None, on_skip=lambda reason: None)
    made = Trainer(recipe, Samples(pictures, recipe), features=_features, painting=about)
    found = [float(made.run_step()["loss"]) for _ in range(50)]
    assert sum(found[-10:]) < 0.8 * sum(found[:10])


def test_plain_data_is_its_own_target(photographs: Path) -> None:
    recipe = _style_recipe()
    pictures = load_pictures(find_pictures([photographs]), None, on_skip=lambda reason: None)
    batch = Samples(pictures, recipe).__getitems__([0, 1])
    assert torch.equal(batch["input"], batch["target"])
    with pytest.raises(OptionError, match="plain has no damage"):
        _style_recipe("style", "data.levels=true")


class Twice(nn.Module):
    """Layers of the picture: itself, and its square."""

    def forward(self, x: Tensor, names: list[str]) -> dict[str, Tensor]:
        layers = {"a": x, "b": x.square()}
        return {name: layers[name] for name in names}


class Dim(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(0.5))

    def forward(self, x: Tensor) -> Tensor:
        return self.gain * x


def test_the_loss_is_content_and_style_by_hand() -> None:
    pixels = torch.rand(3, 16, 32)
    painting = Painting("p", "", pixels)
    objective = Style(Dim(), features=lambda name: Twice(), painting=painting, layer="a", layers=("b",),
                      content=2.0, strength=10.0, variation=0.5, side=16)  # fmt: skip
    x = torch.rand(2, 3, 8, 8)
    parts = objective.loss("network", {"input": x, "target": x}, objective.networks)
    content = (0.5 * x - x).square().mean()
    style = (gram((0.5 * x).square()) - gram(pixels[None].square())).square().mean()
    assert torch.allclose(parts["content"], content)
    assert torch.allclose(parts["style"], style)
    assert torch.allclose(parts["loss"], 2 * content + 10 * style + 0.5 * parts["variation"])


def test_the_painting_is_seen_at_its_side() -> None:
    seen: list[tuple[int, ...]] = []

    class Watched(Twice):
        def forward(self, x: Tensor, names: list[str]) -> dict[str, Tensor]:
            seen.append(tuple(x.shape))
            return super().forward(x, names)

    Style(Dim(), features=lambda name: Watched(), painting=Painting("p", "", torch.rand(3, 40, 100)), layer="a",
          layers=("b",), side=20)  # fmt: skip
    assert seen == [(1, 3, 20, 50)]


@pytest.mark.parametrize("options", [{"strength": -1.0}, {"content": -1.0}, {"side": 15}])
def test_wrong_values_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match="at least 0 and side at least 16"):
        Style(Dim(), features=lambda name: Twice(), painting=Painting("p", "", torch.rand(3, 16, 16)), **options)


# -- the painting


def test_the_recipe_takes_name_and_checksum_and_holds_to_them(painting: Path, tmp_path: Path) -> None:
    recipe, about = painted(_style_recipe(), painting)
    digest = hashlib.sha256(painting.read_bytes()).hexdigest()
    assert about is not None
    assert (about.name, about.sha256, tuple(about.pixels.shape)) == ("stripes.png", digest, (3, 40, 48))
    assert recipe.objective.arguments["picture"] == "stripes.png"
    assert recipe.objective.arguments["sha256"] == digest
    assert painted(recipe, painting)[0] == recipe
    other = tmp_path / "other.png"
    other.write_bytes(painting.read_bytes() + b" ")
    with pytest.raises(OptionError, match=r"not the picture that style is for \(stripes.png\)"):
        painted(recipe, other)


def test_grey_paintings_have_three_channels(tmp_path: Path) -> None:
    from retouch.image.files import save
    from retouch.image.image import Image

    save(Image(torch.rand(1, 20, 20)), tmp_path / "grey.png")
    assert read_painting(tmp_path / "grey.png").pixels.shape == (3, 20, 20)


def test_a_recipe_without_a_style_has_no_use_for_one(painting: Path, tiny: Callable[..., TrainingRecipe]) -> None:
    with pytest.raises(OptionError, match="no use for it"):
        painted(tiny(), painting)
    assert painted(tiny(), None) == (tiny(), None)
    with pytest.raises(OptionError, match="needs --style PICTURE"):
        painted(_style_recipe(), None)


# -- whole runs


def test_a_run_writes_a_weight_that_needs_no_painting(
    photographs: Path, painting: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["train", "style", "--style", str(painting), "--images", str(photographs), "--workers", "0"]
    words += ["--device", "cpu", "--folder", str(tmp_path / "run"), "--quiet", *SMALL, "run.steps=4"]
    assert main(words) == 0
    weight = tmp_path / "run" / "style.safetensors"
    card = read_card(weight)
    assert (card.family, card.tasks) == ("transform", ("stylize",))
    arguments = card.recipe["objective"]["arguments"]
    assert arguments["picture"] == "stripes.png"
    assert arguments["sha256"] == hashlib.sha256(painting.read_bytes()).hexdigest()
    assert str(tmp_path) not in json.dumps(card.recipe), "no path of this machine"
    painting.unlink()
    import retouch

    made = retouch.stylize(retouch.Image(torch.rand(3, 20, 30)), model=weight)
    assert (made.height, made.width) == (20, 30)


def test_a_run_goes_on_with_its_painting_only(photographs: Path, painting: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"

    def call(style: Path, steps: int) -> Result:
        return fit(_style_recipe("style", "run.steps=4", "run.save_every=1"), [photographs], run, style=style,
                   device="cpu", workers=0, on_step=lambda step: step.index < steps)  # fmt: skip

    assert not call(painting, 2).finished
    other = tmp_path / "stripes2.png"
    other.write_bytes(painting.read_bytes() + b" ")
    with pytest.raises(OptionError):
        call(other, 9)
    result = call(painting, 9)
    assert result.finished
    assert math.isnan(result.psnr), "there is no target to be near to"


def test_find_lr_takes_a_painting(photographs: Path, painting: Path) -> None:
    found = find_rate(_style_recipe(), [photographs], style=painting, steps=10, device="cpu", lowest=1e-5, highest=1e-2)
    assert len(found.rates) == 10


def test_the_call_is_refused_in_one_line(photographs: Path, painting: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "style", "--images", str(photographs)]) == 2
    assert "style: needs --style PICTURE" in capsys.readouterr().err
    assert main(["train", "fsrcnn-x2", "--images", str(photographs), "--style", str(painting)]) == 2
    assert "no use for it" in capsys.readouterr().err
    assert main(["train", "style", "--pairs", str(photographs), "--style", str(painting)]) == 2
    assert "makes its own targets" in capsys.readouterr().err


def test_trainer_loads_features_by_name() -> None:
    with pytest.raises(OptionError, match="unknown feature network 'vgg17'"):
        trainer.load_features("vgg17")
