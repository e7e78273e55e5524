"""The recipes of the U-Nets: published numbers, what is frozen, and that each stage of each of them learns."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from retouch.image.errors import OptionError, RetouchError
from retouch.models import features
from retouch.networks.build import count_parameters
from retouch.networks.unet import make_encoder
from retouch.networks.vgg import VGGFeatures
from retouch.training.data import Samples
from retouch.training.pictures import Pictures, find_pictures, load_pictures
from retouch.training.recipe import TrainingRecipe, read_recipe
from retouch.training.trainer import Trainer, make_network


def _features(name: str) -> nn.Module:
    assert name == "vgg16"
    torch.manual_seed(0)
    return VGGFeatures(16)


@pytest.fixture
def pictures(photographs: Path) -> Pictures:
    return load_pictures(find_pictures([photographs]), None, on_skip=lambda reason: None)


@pytest.fixture(autouse=True)
def encoders(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Tensor]]:
    """Fresh weights in the place of those that would have to be downloaded."""
    made: dict[str, dict[str, Tensor]] = {}

    def weights(name: str) -> dict[str, Tensor]:
        if name not in made:
            torch.manual_seed(1)
            whole = name.removesuffix("-classifier")
            prefix = "" if whole == name else "encoder."
            state = make_encoder(whole).state_dict()
            made[name] = {f"{prefix}{key}": value for key, value in state.items() if value.ndim}
        return made[name]

    monkeypatch.setattr(features, "feature_weights", weights)
    return made


def _stage(name: str, index: int, *changes: str) -> TrainingRecipe:
    small = [f"stage.{index}.data.crop=32", f"stage.{index}.run.batch=2", "run.precision=fp32", "run.ema=0.0"]
    recipe = read_recipe(name, [*small, *changes]).stages()[index]
    # a later stage begins with a weight, which is not here
    return TrainingRecipe(**{**recipe.__dict__, "network": type(recipe.network)(
        **{**recipe.network.__dict__, "start": None})})  # fmt: skip


def test_the_lesson() -> None:
    """fastai's course v3, lesson 7: sizes, batches, rates and shapes of the four one-cycles."""
    stages = read_recipe("unet-resnet34").stages()
    found = [(s.data.crop, s.run.batch, s.optimizer.rate, s.schedule.rise, s.network.frozen) for s in stages]
    assert found == [
        (128, 32, 1e-2, 0.9, ("encoder.",)),
        (128, 32, 1e-3, 0.9, ()),
        (256, 12, 1e-3, 0.3, ("encoder.",)),
        (256, 12, 1e-4, 0.3, ()),
    ]
    for stage in stages:
        assert stage.schedule.name == "one-cycle"
        assert stage.schedule.momentum == (0.95, 0.85)
        assert stage.optimizer.weight_decay == 1e-3
        # ten rounds through 6,651 pictures
        assert stage.run.steps * stage.run.batch == pytest.approx(66_510, rel=0.01)


def test_the_lesson_has_its_network_and_groups(pictures: Pictures, encoders: dict[str, dict[str, Tensor]]) -> None:
    """41 million numbers; the decoder alone while frozen; then slice(1e-5, 1e-3) over three groups."""
    frozen = Trainer(_stage("unet-resnet34", 0), _samples("unet-resnet34", 0, pictures), features=_features)
    assert count_parameters(frozen.product) == 41_229_213
    encoder = frozen.product.get_submodule("encoder")
    assert torch.equal(encoder.state_dict()["layer4.2.conv2.weight"], encoders["resnet34"]["layer4.2.conv2.weight"])
    (group,) = frozen.optimizers["network"].param_groups
    learning = {id(p) for p in group["params"]}
    assert learning == {id(p) for n, p in frozen.product.named_parameters() if not n.startswith("encoder.")}

    whole = Trainer(_stage("unet-resnet34", 1), _samples("unet-resnet34", 1, pictures), features=_features)
    names = {id(p): n for n, p in whole.product.named_parameters()}
    rates: dict[str, set[float]] = {}
    for group in whole.optimizers["network"].param_groups:
        for parameter in group["params"]:
            parts = names[id(parameter)].split(".")
            rates.setdefault(".".join(parts[:2]) if parts[0] == "encoder" else "decoder", set()).add(group["max_lr"])
    early, late = dict.fromkeys(("encoder.conv1", "encoder.bn1", "encoder.layer1", "encoder.layer2"), 1e-5), 1e-4
    expected = early | {"encoder.layer3": late, "encoder.layer4": late, "decoder": 1e-3}
    assert {name: pytest.approx(rate) for name, rate in expected.items()} == {n: r for n, (r,) in rates.items()}


def _samples(name: str, index: int, pictures: Pictures) -> Samples:
    return Samples(pictures, _stage(name, index))


STAGES = [(name, i) for name in ("unet-restore", "unet-colorize") for i in range(len(read_recipe(name).stages()))]


@pytest.mark.parametrize(("name", "index"), STAGES)
def test_every_stage_takes_steps(name: str, index: int, pictures: Pictures) -> None:
    """Two steps of the shipped network: finite losses, and what is frozen does not move."""
    recipe = _stage(name, index)
    trainer = Trainer(recipe, Samples(pictures, recipe), features=_features)
    before = {key: value.clone() for key, value in trainer.product.named_parameters()}
    for _ in range(2):
        assert bool(torch.isfinite(trainer.run_step()["loss"]))
    moved = {key for key, value in trainer.product.named_parameters() if not torch.equal(value, before[key])}
    assert moved
    assert not any(key.startswith(recipe.network.frozen) for key in moved if recipe.network.frozen)


def test_colours_begin_with_the_base(encoders: dict[str, dict[str, Tensor]]) -> None:
    network = make_network(_stage("unet-colorize", 0).network)
    for key, value in encoders["efficientnet-lite0-classifier"].items():
        assert torch.equal(network.state_dict()[key], value), key


def test_restore_learns(pictures: Pictures) -> None:
    """Sixty steps on noise alone, of a thin one: the loss falls by a third."""
    noise = 'stage.1.data.degradation=[{ step = [{ kind = "gaussian_noise", sigma = 40 }] }]'
    thin = ["network.arguments.widths=[12, 16]", "network.arguments.blocks=[1, 1]", "schedule.warmup=0"]
    recipe = _stage("unet-restore", 1, noise, *thin, "stage.1.optimizer.rate=5e-3")
    trainer = Trainer(recipe, Samples(pictures, recipe), features=_features)
    found = [float(trainer.run_step()["loss"]) for _ in range(60)]
    assert sum(found[-10:]) < 0.67 * sum(found[:10])


def test_an_encoder_where_there_is_none() -> None:
    recipe = read_recipe("fsrcnn-x2", ["network.encoder=resnet34"])
    with pytest.raises(OptionError, match=r"network\.encoder: fsrcnn has no encoder"):
        make_network(recipe.network)


def test_an_encoder_of_another_kind() -> None:
    recipe = read_recipe("unet-colorize", ["network.encoder=resnet18"])
    # what the base has is in it before the encoder is asked for
    with pytest.raises(RetouchError, match=r"network.encoder: resnet18: 'stem.0.weight' is missing"):
        make_network(recipe.network)
