"""Learning classes: found in folders, smoothed, measured, shown; views of pictures of any size; weights on a base."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from torch import Tensor, nn

from retouch.image.errors import OptionError, RetouchError
from retouch.models import features
from retouch.models.features import FeatureFile
from retouch.models.header import read_card, read_header
from retouch.models.load import load_weights
from retouch.models.verify import problems
from retouch.networks.small_cnn import SmallCNN
from retouch.training.classes import with_classes
from retouch.training.data import Samples, generator_of, middle, part_of_area
from retouch.training.fit import fit
from retouch.training.objectives.classify import Classify
from retouch.training.pictures import Pictures, find_pictures, load_pictures
from retouch.training.recipe import TrainingRecipe
from retouch.training.validation import Validator

RecipeMaker = Callable[..., TrainingRecipe]
SIDE = 12
TINY: dict[str, Any] = {
    "network.name": "small-cnn",
    "network.arguments": None,
    "network.arguments.side": SIDE,
    "network.arguments.widths": [4],
    "network.arguments.hidden": 4,
    "network.arguments.dropout": 0.0,
    "data.degradation": None,
    "data.source": "plain",
    "data.crop": SIDE,
    "data.channels": "rgb",
    "data.view": "middle",
    "data.rotations": False,
    "data.held_out": 4,
    "objective.name": "classify",
    "optimizer.rate": 1e-2,
    "run.steps": 60,
    "run.batch": 8,
    "run.validate_every": 30,
    "run.save_every": 30,
    "card": {"family": "classify", "tasks": ["classify"], "colour": "rgb", "summary": "tiny"},
}


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Bright and dark pictures of many sizes and kinds."""
    rng = np.random.default_rng(3)
    for name, level in (("night", 40), ("day", 200)):
        folder = tmp_path / "data" / name
        folder.mkdir(parents=True)
        for number in range(12):
            size = (int(rng.integers(1, 40)), int(rng.integers(1, 40)), 3)
            pixels = (level + rng.normal(0, 20, size)).clip(0, 255).astype(np.uint8)
            picture = Pillow.fromarray(pixels)
            if number % 3 == 1:
                picture = picture.convert("L")
            elif number % 3 == 2:
                picture.putalpha(255)
            picture.save(folder / f"{number}.png")
        deep = np.full((9, 9), level * 257, np.uint16)
        Pillow.fromarray(deep).save(folder / "deep.png")
    return tmp_path / "data"


def _loaded(folder: Path) -> Pictures:
    return load_pictures(find_pictures([folder]), None, on_skip=lambda reason: None)


def test_a_network_learns_the_classes_of_two_folders(tiny: RecipeMaker, folders: Path, tmp_path: Path) -> None:
    result = fit(tiny(TINY), [folders], tmp_path / "run", device="cpu", workers=0)
    assert result.validation["accuracy"] == 1.0
    assert result.validation["loss"] < math.log(2)
    card = read_card(result.weight)
    assert card.classes == ("day", "night")
    assert card.arguments["classes"] == 2
    assert card.recipe["data"]["classes"] == ["day", "night"]
    assert "accuracy" in card.curves
    network = load_weights(result.weight).network
    for level, expected in ((0.8, 0), (0.1, 1)):
        assert int(network(torch.full((1, 3, SIDE, SIDE), level)).argmax()) == expected
    assert (tmp_path / "run" / "sheet.jpg").stat().st_size > 1000
    again = fit(tiny(TINY), [folders], tmp_path / "run", device="cpu", workers=0)
    assert again.steps == 60, "the same call finds its checkpoint, classes and all"


def test_stages_know_the_classes(tiny: RecipeMaker, folders: Path, tmp_path: Path) -> None:
    stage = [{"name": name, "run": {"steps": 3}} for name in ("one", "two")]
    result = fit(tiny(TINY | {"stage": stage}), [folders], tmp_path / "run", device="cpu", workers=0)
    assert read_card(result.weight).classes == ("day", "night")


def test_the_order_of_classes_is_that_of_their_names(tiny: RecipeMaker, folders: Path) -> None:
    pictures = _loaded(folders)
    assert with_classes(tiny(TINY), [folders], pictures).data.classes == ("day", "night")
    backwards = pictures.only(range(len(pictures))[::-1])
    assert with_classes(tiny(TINY), [folders], backwards).data.classes == ("day", "night")
    told = tiny(TINY | {"data.classes": ["night", "day"]})
    assert with_classes(told, [folders], pictures).data.classes == ("night", "day")
    assert with_classes(tiny(), [folders], pictures) == tiny()


def test_folders_that_are_no_classes(tiny: RecipeMaker, folders: Path) -> None:
    recipe = tiny(TINY)
    with pytest.raises(RetouchError, match="a single class, 'day': there must be a folder for each"):
        with_classes(recipe, [folders / "day"], _loaded(folders / "day"))
    with pytest.raises(OptionError, match=r"arguments\.classes is 3, and there are 2 classes"):
        with_classes(tiny(TINY | {"network.arguments.classes": 3}), [folders], _loaded(folders))
    with pytest.raises(RetouchError, match="no picture of the class 'noon'"):
        with_classes(tiny(TINY | {"data.classes": ["day", "night", "noon"]}), [folders], _loaded(folders))
    (folders / "empty").mkdir()
    with pytest.raises(RetouchError, match="empty: no picture of this class"):
        with_classes(recipe, [folders], _loaded(folders))
    (folders / "empty").rmdir()
    Pillow.new("RGB", (9, 9)).save(folders / "stray.png")
    with pytest.raises(RetouchError, match=r"stray\.png: lies in no class"):
        with_classes(recipe, [folders], _loaded(folders))


def test_a_class_that_only_validation_has(tiny: RecipeMaker, folders: Path, tmp_path: Path) -> None:
    (tmp_path / "test" / "dusk").mkdir(parents=True)
    Pillow.new("RGB", (9, 9)).save(tmp_path / "test" / "dusk" / "a.png")
    with pytest.raises(RetouchError, match=r"a\.png: unknown class 'dusk'"):
        fit(tiny(TINY), [folders], tmp_path / "run", validate=tmp_path / "test", device="cpu", workers=0)


class _Told(nn.Module):
    """Says what its pictures say: their first pixels are the logits."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, 0, 0, :2]


def _batch(logits: list[list[float]], labels: list[int]) -> dict[str, Tensor]:
    x = torch.zeros(len(logits), 3, SIDE, SIDE)
    x[:, 0, 0, :2] = torch.tensor(logits)
    return {"input": x, "target": x, "label": torch.tensor(labels)}


def test_loss_and_measure() -> None:
    objective = Classify(_Told(), classes=("a", "b"), smoothing=0.2)
    batch = _batch([[2.0, 0.0], [2.0, 0.0]], [0, 1])
    low, high = math.log(1 + math.exp(-2)), math.log(1 + math.exp(2))
    parts = objective.loss("network", batch, objective.networks)
    assert float(parts["accuracy"]) == 0.5
    assert float(parts["loss"]) == pytest.approx((low + high) / 2)  # smoothing changes both alike, in opposite senses
    sure = objective.loss("network", _batch([[2.0, 0.0]], [0]), objective.networks)
    assert float(sure["loss"]) == pytest.approx(0.9 * low + 0.1 * high)
    measured = objective.measure(_Told(), batch)
    assert measured["accuracy"].tolist() == measured["score"].tolist() == [1.0, 0.0]
    assert measured["loss"].tolist() == pytest.approx([low, high])
    for arguments in ({"classes": ("a",)}, {"classes": ("a", "b"), "smoothing": 1.0}):
        with pytest.raises(OptionError, match="objective classify"):
            Classify(_Told(), **arguments)


def test_the_sheet_shows_what_is_taken_for_what() -> None:
    objective = Classify(_Told(), classes=("a", "b"))
    small = objective.show(_Told(), [_batch([[2.0, 0.0]] * 3, [0, 1, 0])])
    large = objective.show(_Told(), [_batch([[2.0, 0.0]] * 40, [0] * 40)])
    assert small is not None
    assert large is not None
    assert large.height > 3 * small.height
    assert objective.show(_Told(), []) is None


def test_views(tiny: RecipeMaker, folders: Path) -> None:
    pictures = _loaded(folders)
    for view in ("middle", "area"):
        recipe = with_classes(tiny(TINY | {"data.view": view, "data.flips": False}), [folders], pictures)
        samples = Samples(pictures, recipe)
        assert len(samples) == len(pictures), "no picture is too small"
        batch = samples.__getitems__(list(range(2 * len(pictures))))
        assert batch["input"].shape == (2 * len(pictures), 3, SIDE, SIDE)
        assert bool(((batch["input"] >= 0) & (batch["input"] <= 1)).all())
        rounds = batch["input"].split(len(pictures))
        bright = [sorted(x.mean((1, 2, 3)).tolist()) for x in rounds]
        assert (bright[0] == pytest.approx(bright[1], abs=1e-6)) is (view == "middle")
        assert len(Validator.of(pictures, recipe)) == len(pictures)
    with pytest.raises(OptionError, match="degraded has no view"):
        tiny({"data.view": "middle"})
    with pytest.raises(OptionError, match="area holds two shares"):
        tiny(TINY | {"data.area": [0.5, 0.2]})


def test_the_middle_is_the_largest_square(tiny: RecipeMaker) -> None:
    pixels = np.zeros((3, SIDE, 3 * SIDE), np.uint8)
    pixels[:, :, SIDE : 2 * SIDE] = 255
    assert float(middle(pixels, tiny(TINY).data).min()) == 1.0


def test_parts_of_an_area() -> None:
    generator = generator_of(5)
    found = [part_of_area(60, 90, (0.2, 0.5), generator) for _ in range(300)]
    shares = [high * wide / (60 * 90) for high, wide in found]
    assert 0.19 < min(shares) < 0.24
    assert 0.46 < max(shares) < 0.51
    assert all(0.7 < wide / high < 1.4 for high, wide in found)
    assert part_of_area(1, 1, (0.2, 0.5), generator) == (1, 1)
    assert part_of_area(1, 50, (1.0, 1.0), generator) == (1, 1), "nothing fits: the largest square"


@pytest.fixture
def base(monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """Feature weights "tiny-features" for the tiny network of three classes, with which nothing is to be downloaded."""
    torch.manual_seed(5)
    state = SmallCNN(3, side=SIDE, widths=(4,), hidden=4, norm=True).state_dict()
    kept = {key: value for key, value in state.items() if value.ndim}
    about = FeatureFile("x.pth", 1, "", lambda: {key: tuple(value.shape) for key, value in kept.items()})
    monkeypatch.setitem(features.FEATURES, "tiny-features", about)
    monkeypatch.setattr(features, "feature_weights", lambda name, *rest: dict(kept))
    return kept


def test_a_weight_holds_what_was_learned_anew(
    tiny: RecipeMaker, folders: Path, tmp_path: Path, base: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen = {"network.base": "tiny-features", "network.arguments.norm": True, "run.steps": 4, "run.ema": 0.9}
    frozen |= {"network.frozen": ["blocks.", "hidden."], "network.frozen_statistics": True}
    result = fit(tiny(TINY | frozen), [folders], tmp_path / "run", device="cpu", workers=0)
    assert set(read_header(result.weight).shapes) == {"classify.weight", "classify.bias"}
    assert read_card(result.weight).base == "tiny-features"
    model = load_weights(result.weight)
    assert torch.equal(model.network.state_dict()["blocks.0.0.weight"], base["blocks.0.0.weight"])
    assert model.network.state_dict()["classify.weight"].shape == (2, 4)

    def none(name: str, *rest: object) -> dict[str, Tensor]:
        raise RetouchError(f"the feature weights of {name} are not here")

    monkeypatch.setattr(features, "feature_weights", none)
    assert problems(result.weight) == ["never measured (retouch evaluate measures it)"], "sound without its base"
    with pytest.raises(RetouchError, match="tiny-features are not here"):
        load_weights(result.weight)


def test_what_was_tuned_is_held_too(tiny: RecipeMaker, folders: Path, tmp_path: Path, base: dict[str, Tensor]) -> None:
    changes = {"network.base": "tiny-features", "network.arguments.norm": True, "run.steps": 4}
    result = fit(tiny(TINY | changes), [folders], tmp_path / "run", device="cpu", workers=0)
    assert {"blocks.0.0.weight", "hidden.0.weight"} <= set(read_header(result.weight).shapes)
    other = {"network.arguments.widths": [5], "network.arguments.hidden": 6}
    with pytest.raises(OptionError, match=r"network\.base: nothing of tiny-features fits"):
        fit(tiny(TINY | changes | other), [folders], tmp_path / "other", device="cpu", workers=0)


def test_a_base_that_nobody_knows(tiny: RecipeMaker, folders: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="unknown feature network 'resnet19'; did you mean"):
        fit(tiny(TINY | {"network.base": "resnet19"}), [folders], tmp_path / "run", device="cpu", workers=0)
