"""Training recipes: what is refused, and that tables and objects are the same thing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from retouch.image.errors import OptionError
from retouch.networks.build import build
from retouch.training import tables
from retouch.training.data import damaged
from retouch.training.objectives.build import OBJECTIVES
from retouch.training.recipe import OptimizerRecipe, read_recipe, read_table, recipe_names
from retouch.training.trainer import make_network

NAMES = recipe_names()


def test_every_published_network_has_its_recipe() -> None:
    assert {"fsrcnn-x2", "fsrcnn-x3", "fsrcnn-x4", "fsrcnn-s-x3", "vdsr-paper", "srresnet-x4", "srgan-x4"} <= set(NAMES)
    assert {"pix2pix", "cyclegan", "dualgan", "encoder-decoder"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_shipped_recipe(name: str) -> None:
    recipe = read_recipe(name)
    assert recipe.name == name
    assert read_table(recipe.table()) == recipe
    assert recipe.objective.name in OBJECTIVES
    network = build(recipe.network.name, recipe.network.arguments)
    channels = 3 if recipe.data.channels == "rgb" else 1
    target = torch.rand(1, channels, recipe.data.crop, recipe.data.crop, generator=torch.Generator().manual_seed(0))
    for degradation in recipe.degradations():
        given = damaged(target, degradation, recipe.data, torch.Generator().manual_seed(1))
        assert given.shape[-1] == recipe.data.crop * degradation.scale
        with torch.no_grad():
            made = network(given, target)[0][:, 0] if recipe.objective.name == "likelihood" else network(given)
        assert made.shape == target.shape
    if recipe.critic is not None:
        seen = 2 if recipe.objective.arguments.get("conditional") else 1  # pictures one behind the other
        judged = build(recipe.critic.name, recipe.critic.arguments)(target.repeat(2, seen, 1, 1))
        assert judged.shape[:2] == (2, 1)
    for turn in ("network", "generator", "critic"):
        assert recipe.optimizer.of(turn).rate > 0


def test_srgan_learns_all_but_the_batch_normalisations() -> None:
    recipe = read_recipe("srgan-x4").network
    network = make_network(replace(recipe, start=None))
    normalised = {name for name, module in network.named_modules() if isinstance(module, torch.nn.BatchNorm2d)}
    frozen = {name.rpartition(".")[0] for name, value in network.named_parameters() if not value.requires_grad}
    assert frozen == normalised
    assert len(frozen) == 33


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("rum", {}, "unknown key 'rum'; did you mean 'run'?"),
        ("run.step", 5, "run: unknown key 'step'; did you mean 'steps'?"),
        ("data.corp", 5, "data: unknown key 'corp'; did you mean 'crop'?"),
        ("data.degradation", [{"stop": []}], "unknown key 'stop'; did you mean 'step'?"),
        ("data.degradation", [{"step": [{"kind": "downsample", "facto": 2}]}], "did you mean 'factor'?"),
        ("optimizer.rat", 0.1, "optimizer: unknown key 'rat'; did you mean 'rate'?"),
        ("optimizer.group", [{"match": "a", "facto": 1.0}], "group[0]: unknown key 'facto'; did you mean 'factor'?"),
        ("schedule.warm", 1, "schedule: unknown key 'warm'; did you mean 'warmup'?"),
        ("schedule.momentum", [0.95, 0.85], "schedule: momentum is of one-cycle only"),
        ("schedule", {"name": "one-cycle", "momentum": [0.85, 0.95]}, "schedule: momentum holds two numbers in 0..1"),
        ("schedule", {"name": "one-cycle", "momentum": [1.0, 0.9]}, "schedule: momentum holds two numbers in 0..1"),
        ("optimizer.group", [{"match": 5, "factor": 1.0}], "group[0]: match: must be a list, not 5"),
        ("optimizer.group", [{"match": ["a", 5], "factor": 1.0}], "match[1]: must be a text, not 5"),
        ("schedule.name", "cosin", "schedule: name: unknown value 'cosin'; did you mean 'cosine'?"),
        ("card.famly", "", "card: unknown key 'famly'; did you mean 'family'?"),
        ("card.family", None, "card: 'family' is missing"),
        ("network", None, "'network' is missing"),
        ("run", 5, "run: must be a table, not 5"),
        ("run.steps", 5.0, "run: steps: must be a whole number, not 5.0"),
        ("run.steps", True, "run: steps: must be a whole number, not True"),
        ("run.ema", "0.9", "run: ema: must be a number, not '0.9'"),
        ("run.ema", True, "run: ema: must be a number, not True"),
        ("optimizer.rate", float("nan"), "optimizer: rate: must be finite, not nan"),
        ("data.flips", 1, "data: flips: must be true or false, not 1"),
        ("data.shrink", 0.5, "data: shrink: must be a list, not 0.5"),
        ("data.shrink", [1, "x"], "data: shrink[1]: must be a number, not 'x'"),
        ("optimizer.betas", [0.9], "betas: must be a list of 2, not [0.9]"),
        ("network.arguments", [1], "network: arguments: must be a table, not [1]"),
        ("run.steps", 0, "run: steps, batch, accumulate: at least 1"),
        ("run.accumulate", 3, "run: a batch of 4 is not 3 equal portions"),
        ("run.ema", 1.0, "run: ema must be"),
        ("data.crop", 15, "data: a crop of 15 pixels does not divide by the degradation's scale"),
        ("data.degradation", [], "data: needs at least one [[data.degradation]]"),
        ("data.shrink", [0.0], "data: shrink"),
        ("optimizer.rate", 0.0, "optimizer: rate must be above 0"),
        ("schedule.at", [1.5], "schedule: at holds fractions"),
        ("card.colour", "yuv", "card: colour is one of"),
    ],
)
def test_refused(tiny_table: dict[str, Any], key: str, value: Any, message: str) -> None:
    *outer, last = key.split(".")
    place = tiny_table
    for part in outer:
        place = place[part]
    if value is None:
        del place[last]
    else:
        place[last] = value
    with pytest.raises(OptionError) as caught:
        read_table(tiny_table, "tiny")
    text = str(caught.value)
    assert text.startswith("tiny")
    assert message in text
    assert "\n" not in text


def test_degradations_of_different_scales_are_refused(tiny_table: dict[str, Any]) -> None:
    tiny_table["data"]["degradation"].append({"step": [{"kind": "gaussian_noise", "sigma": 5}]})
    with pytest.raises(OptionError, match="must change the size alike"):
        read_table(tiny_table)


def test_whole_numbers_serve_as_floats(tiny_table: dict[str, Any]) -> None:
    tiny_table["optimizer"]["rate"] = 1
    recipe = read_table(tiny_table)
    assert isinstance(recipe.optimizer.rate, float)
    assert recipe.data.shrink == (1.0,)


def test_values_of_one_turn(tiny_table: dict[str, Any]) -> None:
    tiny_table["optimizer"] |= {"clip_norm": 2.0, "turn": {"critic": {"rate": 0.5, "name": "sgd"}}}
    optimizer = read_table(tiny_table).optimizer
    assert (optimizer.of("critic").rate, optimizer.of("critic").name, optimizer.of("critic").clip_norm) == (
        0.5,
        "sgd",
        2,
    )
    assert (optimizer.of("generator").rate, optimizer.of("generator").name) == (1e-3, "adam")
    tiny_table["optimizer"]["turn"] = {"critic": {"rat": 1.0}}
    with pytest.raises(OptionError, match=r"optimizer\.turn\.critic: unknown key 'rat'; did you mean 'rate'"):
        read_table(tiny_table).optimizer.of("critic")


# -- replaced values


def test_overrides() -> None:
    recipe = read_recipe(
        "fsrcnn-x2",
        [
            "run.steps=7",
            "data.degradation.0.step.0.factor=3",
            "network.arguments.scale=3",
            "data.crop=48",
            "data.shrink=[1, 0.5]",
            "data.shrink.1=0.75",
            "run.keep=last",
            "name='other'",
            "optimizer.clip_norm=1",
            "data.flips=false",
        ],
    )
    assert (recipe.run.steps, recipe.run.keep, recipe.name) == (7, "last", "other")
    assert recipe.degradations()[0].scale * 3 == 1
    assert recipe.network.arguments == {"scale": 3, "width": 56, "shrunk": 12, "depth": 4, "initial": "interpolation"}
    assert recipe.data.shrink == (1.0, 0.75)
    assert recipe.optimizer.clip_norm == 1.0
    assert recipe.data.flips is False
    assert read_recipe("fsrcnn-x2").run.steps != 7


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps", "'steps': a recipe's value is replaced by key=value"),
        ("=5", "'=5': a recipe's value is replaced by key=value"),
        ("run.stps=5", "run: unknown key 'stps'; did you mean 'steps'?"),
        ("rum.steps=5", "unknown key 'rum'; did you mean 'run'?"),
        ("run.steps=many", "run: steps: must be a whole number, not 'many'"),
        ("run.steps.more=5", "run.steps.more: 'steps' is no table"),
        ("data.degradation.1.step=[]", "data.degradation.1.step: there is no '1'"),
        ("data.degradation.first.step=[]", "there is no 'first'"),
        ("data.shrink.9=1", "data.shrink.9: there is no '9'"),
        ("data.degradation.0.step.0.factor=5", "a crop of 32 pixels does not divide"),
    ],
)
def test_bad_override(text: str, message: str) -> None:
    with pytest.raises(OptionError) as caught:
        read_recipe("fsrcnn-x2", [text])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


# -- files


def test_recipe_files(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="did you mean 'fsrcnn-x2'"):
        read_recipe("fsrcn-x2")
    with pytest.raises(OptionError, match=r"none\.toml: cannot read the recipe: No such file"):
        read_recipe(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("name = [")
    with pytest.raises(OptionError, match=r"bad\.toml: not a TOML file"):
        read_recipe(str(tmp_path / "bad.toml"))
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(OptionError, match=r"bytes\.toml: not a TOML file"):
        read_recipe(str(tmp_path / "bytes.toml"))
    text = Path(read_recipe.__code__.co_filename).with_name("recipes").joinpath("fsrcnn-x2.toml").read_text()
    (tmp_path / "mine.toml").write_text(text.replace('name = "fsrcnn-x2"\n', ""))
    assert read_recipe(tmp_path / "mine.toml").name == "mine"


# -- tables


def test_tables_write_and_read_any_optimizer() -> None:
    made = OptimizerRecipe(betas=(0.5, 0.9), clip_value=None, turn={"critic": {"rate": 1.0}})
    written = tables.write(made)
    assert written["betas"] == [0.5, 0.9]
    assert "clip_value" not in written
    assert written["momentum"] == 0.9
    assert tables.read(OptimizerRecipe, written, "x") == made


def test_tables_none_where_it_may_be(tiny_table: dict[str, Any]) -> None:
    tiny_table["network"]["start"] = None
    assert read_table(tiny_table).network.start is None
    tiny_table["run"]["ema"] = None
    with pytest.raises(OptionError, match="ema: must be a number, not None"):
        read_table(tiny_table)


@pytest.mark.parametrize("name", NAMES)
def test_no_recipe_asks_for_16_bits_where_the_device_is_slow_at_them(name: str) -> None:
    recipe = read_recipe(name)
    assert {recipe.run.precision, *(part.run.precision for part in recipe.stages())} <= {"auto", "fp32"}
