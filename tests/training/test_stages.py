"""Stages: how their tables are put over a recipe's, and how their runs follow each other."""

from __future__ import annotations

import copy
import csv
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from retouch.app.cli import main
from retouch.image.errors import OptionError
from retouch.image.sheet import sheet
from retouch.models.load import load_weights, read_tensors
from retouch.networks.build import build
from retouch.solvers.steps import Step
from retouch.training import checkpoint
from retouch.training.data import Samples
from retouch.training.fit import Result, fit
from retouch.training.pictures import Pictures, find_pictures, load_pictures
from retouch.training.recipe import TrainingRecipe, read_recipe, read_table
from retouch.training.stages import merged
from retouch.training.trainer import Trainer
from retouch.training.validation import Validator

RecipeMaker = Callable[..., TrainingRecipe]
GROUPS = [{"match": ["features.0.", "features.1."], "factor": 0.1}, {"match": "features.2.", "factor": 0.5}]
THREE: list[dict[str, Any]] = [
    {"name": "16-tail", "run": {"steps": 4}, "network": {"frozen": ["features."]}, "optimizer": {"group": GROUPS}},
    {"name": "32", "run": {"steps": 3, "batch": 2, "keep": "last"}, "data": {"crop": 32}, "schedule": {"rise": 0.4}},
    {"name": "l1", "run": {"steps": 2}, "objective": {"arguments": {"losses": [{"name": "l1"}]}}},
]


@pytest.fixture
def staged(tiny: RecipeMaker) -> TrainingRecipe:
    return tiny({"stage": copy.deepcopy(THREE), "run.validate_every": 2})


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as opened:
        return [
            {key: value for key, value in row.items() if key != "images_per_second"} for row in csv.DictReader(opened)
        ]


# -- tables


def test_resolved(staged: TrainingRecipe) -> None:
    first, second, third = staged.stages()
    assert [part.name for part in (first, second, third)] == ["tiny-16-tail", "tiny-32", "tiny-l1"]
    assert [part.run.steps for part in (first, second, third)] == [4, 3, 2]
    assert [part.run.batch for part in (first, second, third)] == [4, 2, 4]  # over the recipe, not over the last stage
    assert [part.data.crop for part in (first, second, third)] == [16, 32, 16]
    assert [part.network.frozen for part in (first, second, third)] == [("features.",), (), ()]
    assert [part.network.start for part in (first, second, third)] == [None, "tiny-16-tail", "tiny-32"]
    assert first.optimizer.rate == 1e-3
    assert first.optimizer.group[0].match == ("features.0.", "features.1.")
    assert second.schedule.rise == 0.4
    assert second.schedule.name == "cosine"
    assert third.objective.arguments == {"losses": [{"name": "l1"}]}
    for part in (first, second, third):
        assert part.stage == ()
        assert part.stages() == (part,)
        assert part.card == staged.card
        assert read_table(part.table()) == part
    assert read_table(staged.table()) == staged
    assert read_table(json.loads(json.dumps(staged.table()))) == staged


def test_a_recipe_without_stages_has_the_tables_it_had(tiny: RecipeMaker) -> None:
    table = tiny().table()
    assert not {"stage"} & table.keys()  # or runs begun before there were stages could not go on
    assert "momentum" not in table["schedule"]
    assert "frozen_statistics" not in table["network"]


def test_what_only_the_stages_have(tiny_table: dict[str, Any]) -> None:
    del tiny_table["run"]["steps"], tiny_table["data"]["crop"]
    tiny_table["stage"] = [
        {"name": "a", "run": {"steps": 5}, "data": {"crop": 8}},
        {"name": "b", "run": {"steps": 6}, "data": {"crop": 32}},
    ]
    recipe = read_table(tiny_table)
    assert [(part.run.steps, part.data.crop) for part in recipe.stages()] == [(5, 8), (6, 32)]
    del tiny_table["stage"][0]["run"]
    with pytest.raises(OptionError, match="'steps' is missing"):
        read_table(tiny_table)


def test_a_stage_with_a_critic(tiny: RecipeMaker) -> None:
    critic = {"name": "fsrcnn", "arguments": {"scale": 1, "width": 4, "shrunk": 2, "depth": 1}}
    objective = {"name": "adversarial", "arguments": {"losses": [{"name": "l1"}], "weight": 0.1}}
    recipe = tiny(
        {
            "objective": {"name": "supervised", "arguments": {"border": 2, "losses": [{"name": "l2"}]}},
            "stage": [{"name": "pixels"}, {"name": "gan", "critic": critic, "objective": objective}],
        }
    )
    first, second = recipe.stages()
    assert first.critic is None
    assert second.critic is not None
    assert second.objective.arguments == objective["arguments"]  # another objective has other arguments
    assert first.objective.arguments["border"] == 2


values = st.recursive(st.integers() | st.lists(st.integers()), lambda v: st.dictionaries(st.sampled_from("abc"), v))
table_values = st.dictionaries(st.sampled_from("abc"), values)


@given(table_values, table_values)
def test_merging(base: dict[str, Any], over: dict[str, Any]) -> None:
    before = copy.deepcopy((base, over))
    made = merged(base, over)
    assert (base, over) == before
    assert merged(base, {}) == base
    assert merged({}, over) == over
    assert merged(made, over) == made
    assert made.keys() == base.keys() | over.keys()
    for key, value in made.items():
        if isinstance(base.get(key), dict) and isinstance(over.get(key), dict):
            assert value == merged(base[key], over[key])
        else:
            assert value == over.get(key, base.get(key))


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ({"name": "a", "card": {"family": "x"}}, "stage 2: 'card' is of the whole recipe"),
        ({"name": "a", "stage": []}, "stage 2: 'stage' is of the whole recipe"),
        ({"name": "a", "optimiser": {}}, "stage 2: unknown key 'optimiser'; did you mean 'optimizer'?"),
        ({"name": "a", "network": {"name": "vdsr"}}, "stage 2: network.name is of the whole recipe; a stage replaces"),
        ({"name": "a", "network": {"arguments": {}}}, "stage 2: network.arguments of the last stage are those of the"),
        ({"name": "a", "network": {"start": "x"}}, "network.start is of the whole recipe"),
        ({"name": "a", "data": {"held_out": 3}}, "data.held_out is of the whole recipe"),
        ({"name": "a", "run": {"seed": 3}}, "run.seed is of the whole recipe"),
        ({"name": "a", "run": {"stpes": 3}}, "stage 2: run: unknown key 'stpes'; did you mean 'steps'?"),
        ({"name": "a", "run": {"steps": 0}}, "steps, batch, accumulate: at least 1"),
        ({"name": "a", "run": 5}, "stage 2: run: must be a table, not 5"),
        ({"name": "a", "data": {"crop": 15}}, "a crop of 15 pixels does not divide"),
        ({"name": "a", "schedule": {"momentum": [0.95, 0.85]}}, "momentum is of one-cycle only"),
        ({"name": "a/b"}, "stage 2: needs a name of letters"),
        ({"name": "../a"}, "stage 2: needs a name of letters"),
        ({"run": {"steps": 5}}, "stage 2: needs a name of letters"),
        (5, "stage[1]: must be a table, not 5"),
    ],
)
def test_refused(tiny_table: dict[str, Any], stage: Any, message: str) -> None:
    tiny_table["stage"] = [{"name": "one"}, stage]
    with pytest.raises(OptionError) as caught:
        read_table(tiny_table, "tiny")
    assert message in str(caught.value)
    assert str(caught.value).startswith("tiny")
    assert "\n" not in str(caught.value)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A recipe of two stages as a file: both have steps, one has a crop."""
    text = Path(read_recipe.__code__.co_filename).with_name("recipes").joinpath("fsrcnn-x2.toml").read_text()
    target = tmp_path / "two.toml"
    target.write_text(
        text.replace('name = "fsrcnn-x2"', 'name = "two"', 1)
        + '\n[[stage]]\nname = "a"\nrun.steps = 7\n[[stage]]\nname = "b"\nrun.steps = 8\ndata.crop = 64\n'
    )
    return target


def test_overrides_reach_the_stages(file: Path) -> None:
    recipe = read_recipe(file, ["stage.0.run.steps=5", "stage.1.optimizer.rate=0.5", "data.crop=48", "run.batch=3"])
    assert [part.run.steps for part in recipe.stages()] == [5, 8]
    assert [part.data.crop for part in recipe.stages()] == [48, 64]
    assert [part.run.batch for part in recipe.stages()] == [3, 3]
    assert recipe.stages()[1].optimizer.rate == 0.5
    with pytest.raises(OptionError, match=r"run\.steps: every stage has its own; replace stage\.0\.run\.steps"):
        read_recipe(file, ["run.steps=50"])
    with pytest.raises(OptionError, match=r"stage\.2\.run\.steps: there is no '2'"):
        read_recipe(file, ["stage.2.run.steps=50"])


# -- optimisers


@pytest.fixture(scope="module")
def pictures(photographs: Path) -> Pictures:
    return load_pictures(find_pictures([photographs]), None, on_skip=lambda reason: None)


def unstarted(recipe: TrainingRecipe) -> list[TrainingRecipe]:
    """The stages without the weights they begin with."""
    return [replace(part, network=replace(part.network, start=None)) for part in recipe.stages()]


def _groups(recipe: TrainingRecipe, pictures: Pictures) -> list[tuple[set[str], float]]:
    trainer = Trainer(recipe, Samples(pictures, recipe))
    names = {id(parameter): name for name, parameter in trainer.product.named_parameters()}
    groups = trainer.optimizers["network"].param_groups
    return [({names[id(p)].rpartition(".")[0] for p in group["params"]}, group["initial_lr"]) for group in groups]


def test_groups_of_frozen_and_unfrozen_stages(tiny: RecipeMaker, pictures: Pictures) -> None:
    recipe = tiny(
        {
            "optimizer": {"name": "adamw", "rate": 1e-2, "group": GROUPS},
            "stage": [
                {"name": "whole"},
                {"name": "tail", "network": {"frozen": ["features.0.", "features.1."]}, "optimizer": {"rate": 1e-3}},
                {"name": "half", "network": {"frozen": ["features.0."]}},
                {"name": "last", "network": {"frozen": ["features."]}},
            ],
        }
    )
    whole, tail, half, last = (_groups(part, pictures) for part in unstarted(recipe))
    rest = whole[0][0]
    assert "deconvolution" in rest
    assert len(rest) > 2
    # fastai's slice(1e-3, 1e-2), but for the middle
    assert whole == [(rest, 1e-2), ({"features.0", "features.1"}, 1e-3), ({"features.2"}, 5e-3)]
    assert tail == [(rest, 1e-3), ({"features.2"}, 5e-4)]
    assert half == [(rest, 1e-2), ({"features.1"}, 1e-3), ({"features.2"}, 5e-3)]
    assert last == [({"deconvolution"}, 1e-2)]


def _dncnn(tiny: RecipeMaker, changes: dict[str, Any]) -> TrainingRecipe:
    return tiny(
        {
            "network": {"name": "dncnn", "arguments": {"depth": 4, "width": 4}},
            "data.degradation": [{"step": [{"kind": "gaussian_noise", "sigma": 25}]}],
            "run.validate_every": 1,
        }
        | changes
    )


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_frozen_statistics(tiny: RecipeMaker, pictures: Pictures, kept: bool, ema: float) -> None:
    changes = {"network.frozen": ["body.2.", "body.3."], "network.frozen_statistics": kept, "run.ema": ema}
    recipe = _dncnn(tiny, changes)
    trainer = Trainer(recipe, Samples(pictures, recipe))
    before = {key: value.clone() for key, value in trainer.product.state_dict().items()}
    validator = Validator.of(pictures.only([0]), recipe)
    for _ in range(2):
        trainer.run_step()
        validator(trainer.objective, trainer.best_product, trainer.device)  # it switches to evaluation and back
    now = trainer.product.state_dict()
    moved = {key for key, value in now.items() if not torch.equal(value, before[key])}
    statistics = {"running_mean", "running_var", "num_batches_tracked"}
    assert {f"body.6.{name}" for name in statistics} < moved
    assert {"body.0.weight", "body.5.weight", "body.6.weight"} < moved
    frozen = {key for key in moved if key.startswith(("body.2.", "body.3."))}
    assert frozen == (set() if kept else {f"body.3.{name}" for name in statistics})


def test_frozen_statistics_of_what_learns(tiny: RecipeMaker, pictures: Pictures) -> None:
    """Under names of their own: they normalise by what they had, and their scale and shift learn."""
    recipe = _dncnn(tiny, {"network.frozen_statistics": ["body.3."]})
    trainer = Trainer(recipe, Samples(pictures, recipe))
    before = {key: value.clone() for key, value in trainer.product.state_dict().items()}
    for _ in range(2):
        trainer.run_step()
        trainer.objective.networks["network"].train()  # as whoever evaluates it leaves it
    now = trainer.product.state_dict()
    moved = {key for key, value in now.items() if not torch.equal(value, before[key])}
    statistics = {"running_mean", "running_var", "num_batches_tracked"}
    assert {f"body.6.{name}" for name in statistics} < moved
    assert {"body.2.weight", "body.3.weight", "body.3.bias"} < moved
    assert not moved & {f"body.3.{name}" for name in statistics}


def test_frozen_statistics_of_no_such_name(tiny: RecipeMaker, pictures: Pictures) -> None:
    recipe = _dncnn(tiny, {"network.frozen_statistics": ["trunk."]})
    with pytest.raises(OptionError, match="no batch normalisation is under those names"):
        Trainer(recipe, Samples(pictures, recipe))


def test_frozen_statistics_of_nothing(tiny: RecipeMaker, pictures: Pictures) -> None:
    recipe = tiny({"network.frozen": ["features."], "network.frozen_statistics": True})
    with pytest.raises(OptionError, match="no batch normalisation is under"):
        Trainer(recipe, Samples(pictures, recipe))


# -- runs


def test_stages_follow_each_other(staged: TrainingRecipe, train: Callable[..., Result], tmp_path: Path) -> None:
    heard: list[Step] = []
    result = train(staged, on_step=heard.append)
    run = tmp_path / "run"
    assert result == Result(run / "tiny.safetensors", 9, {"psnr": result.psnr}, True)
    assert math.isfinite(result.psnr)
    parts = staged.stages()
    folders = [run / "1-16-tail", run / "2-32", run / "3-l1"]
    weights = [read_tensors(folder / f"{part.name}.safetensors") for folder, part in zip(folders, parts, strict=True)]
    for folder, part in zip(folders, parts, strict=True):
        assert json.loads((folder / "recipe.json").read_text()) == part.table()
        assert [int(row["step"]) for row in rows(folder / "log.csv")] == list(range(1, part.run.steps + 1))
        assert not list(folder.glob("*.pixels"))
        with PIL.Image.open(folder / "sheet.jpg") as made:
            assert made.width > 5 * 64  # five columns
    assert [path.name for path in run.glob("*.pixels")] == ["pictures.pixels"]
    assert json.loads((run / "recipe.json").read_text()) == staged.table()
    # each began with the weight before it, without rounding
    for folder, before in zip(folders[1:], weights, strict=False):
        assert next(iter(before.values())).dtype == torch.float32
        assert (folder / "checkpoint.pt").exists()
    # the first trained nothing but the last layer
    torch.manual_seed(0)
    fresh = build(staged.network.name, staged.network.arguments).state_dict()
    moved = {key for key, value in weights[0].items() if not torch.equal(value, fresh[key])}
    assert moved == {"deconvolution.weight", "deconvolution.bias"}
    # the whole
    whole = load_weights(result.weight)
    assert whole.card.name == "tiny"
    assert whole.card.steps == 9
    assert whole.card.recipe == staged.table()
    assert whole.card.hours >= 0
    for key, value in whole.network.state_dict().items():
        assert torch.equal(value, weights[2][key].half().float())
    assert load_weights(folders[1] / "tiny-32.safetensors").card.steps == 3
    assert {step.stage for step in heard} == {None, "stage 1 of 3, 16-tail", "stage 2 of 3, 32", "stage 3 of 3, l1"}
    assert [(step.index, step.total) for step in heard if step.loss is not None and step.stage == heard[-1].stage] == [
        (1, 2),
        (2, 2),
    ]
    assert all(step.note.startswith(step.stage) for step in heard if step.stage and step.note)


def test_a_stage_begins_where_the_last_one_ended(
    staged: TrainingRecipe, train: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[tuple[dict[str, Tensor], int]] = []
    true = Trainer.run_step

    def watched(self: Trainer) -> dict[str, Tensor]:
        if self.step == 0:
            begun.append(({k: v.clone() for k, v in self.product.state_dict().items()}, self.shift))
        return true(self)

    monkeypatch.setattr(Trainer, "run_step", watched)
    train(staged)
    for (weights, shift), name, expected in zip(begun[1:], ("1-16-tail", "2-32"), (16, 22), strict=True):
        (file,) = (tmp_path / "run" / name).glob("*.safetensors")
        for key, value in read_tensors(file).items():
            assert torch.equal(weights[key], value)
        assert shift == expected  # samples used before: 4 steps of 4, 3 steps of 2


def test_a_network_that_grows(
    tiny: RecipeMaker, train: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny(
        {
            "network": {"name": "residual-sr", "arguments": {"scale": 2, "width": 4, "blocks": 3, "channels": 1}},
            "stage": [
                {"name": "small", "network": {"arguments": {"blocks": 1}}, "run": {"steps": 3}},
                {"name": "longer", "network": {"arguments": {"blocks": 1}}, "run": {"steps": 2}},
                {"name": "grown", "run": {"steps": 2}},
            ],
        }
    )
    first, second, third = recipe.stages()
    assert [part.network.arguments["blocks"] for part in (first, second, third)] == [1, 1, 3]
    assert [part.network.arguments["width"] for part in (first, second, third)] == [4, 4, 4]
    assert [part.network.partly for part in (first, second, third)] == [False, False, True]
    x = torch.rand(1, 1, 9, 9)
    begun: list[Tensor] = []
    true = Trainer.run_step

    def watched(self: Trainer) -> dict[str, Tensor]:
        if self.step == 0:
            with torch.no_grad():
                begun.append(self.product(x))
        return true(self)

    monkeypatch.setattr(Trainer, "run_step", watched)
    result = train(recipe)
    before = load_weights(tmp_path / "run" / "2-longer" / "tiny-longer.safetensors").network
    with torch.no_grad():
        assert torch.allclose(begun[2], before(x), atol=1e-6)  # new blocks change nothing before they learn
    assert not torch.allclose(begun[2], begun[0], atol=1e-4)
    whole = load_weights(result.weight)
    assert whole.card.steps == 7
    assert sum(name.startswith("body.2.") for name in whole.network.state_dict()) > 0
    assert train(recipe).finished  # and is not begun again


@pytest.mark.parametrize("at", [(1, 2), (1, 4), (2, 1), (2, 3), (3, 1), (3, 2)])
def test_stopped_in_any_stage_and_gone_on(
    staged: TrainingRecipe, train: Callable[..., Result], tmp_path: Path, whole: Path, at: tuple[int, int]
) -> None:
    def stop(step: Step) -> bool:
        return not (step.stage or "").startswith(f"stage {at[0]}") or step.index < at[1] or step.loss is None

    result = train(staged, on_step=stop)
    done = {1: 0, 2: 4, 3: 7}[at[0]] + at[1]
    assert (result.steps, result.finished) == (done, done == 9)
    assert (tmp_path / "run" / "tiny.safetensors").exists() == (done == 9)
    begun: list[str] = []
    result = train(staged, on_step=lambda step: begun.append(f"{step.stage}") if step.loss is not None else None)
    assert (result.steps, result.finished) == (9, True)
    assert len(begun) == 9 - done  # nothing was done twice
    for name in ("1-16-tail", "2-32", "3-l1"):
        for file in ("log.csv", "validation.csv"):
            assert rows(tmp_path / "run" / name / file) == rows(whole / name / file)
    found, expected = read_tensors(tmp_path / "run/tiny.safetensors"), read_tensors(whole / "tiny.safetensors")
    assert all(torch.equal(value, expected[key]) for key, value in found.items())


@pytest.fixture(scope="module")
def whole(tiny: RecipeMaker, photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of the three stages, never stopped."""
    run = tmp_path_factory.mktemp("whole")
    fit(tiny({"stage": copy.deepcopy(THREE), "run.validate_every": 2}), [photographs], run, device="cpu", workers=0)
    return run


def test_another_first_stage_is_another_run(
    tiny: RecipeMaker, staged: TrainingRecipe, train: Callable[..., Result], tmp_path: Path
) -> None:
    train(staged)
    first = (tmp_path / "run" / "1-16-tail" / "checkpoint.pt").stat().st_mtime_ns
    changed = copy.deepcopy(THREE)
    changed[0]["optimizer"]["rate"] = 5e-3
    other = tiny({"stage": changed, "run.validate_every": 2})
    with pytest.raises(OptionError, match=r"1-16-tail.*optimizer\.rate was 0\.001, now 0\.005"):
        train(other)
    for file in (tmp_path / "run" / "1-16-tail").glob("*.*"):
        file.unlink()
    with pytest.raises(OptionError, match=r"2-32.*is of another run: start was"):
        train(other)
    assert train(other, fresh=True).finished
    assert (tmp_path / "run" / "1-16-tail" / "checkpoint.pt").stat().st_mtime_ns > first
    state = checkpoint.load(tmp_path / "run/3-l1/checkpoint.pt", _known(tmp_path / "run/3-l1/checkpoint.pt"))
    assert state["step"] == 2


def _known(file: Path) -> dict[str, Any]:
    identity: dict[str, Any] = torch.load(file, weights_only=True)["identity"]
    return identity


def test_validation_pictures_are_those_of_all_stages(
    tiny: RecipeMaker, photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A picture that one stage validates with must not be one that another has learned from."""
    images = tmp_path / "images"
    images.mkdir()
    for index, file in enumerate(sorted(photographs.iterdir())):
        with PIL.Image.open(file) as picture:  # half of them too small for the second stage
            (picture.crop((0, 0, 24, 24)) if index % 2 else picture).save(images / file.name)
    seen: list[tuple[set[str], set[str]]] = []

    def watched(pictures: Pictures, recipe: TrainingRecipe) -> Validator:
        made = true(pictures, recipe)
        seen.append(({file.name for file in pictures.files}, {name for name, _ in made.cases}))
        return made

    true = Validator.of
    monkeypatch.setattr(Validator, "of", watched)
    recipe = tiny(
        {
            "data.small": "skip", "data.held_out": 3, "run.steps": 1,
            "stage": [{"name": "16"}, {"name": "48", "data": {"crop": 48}}],
        }
    )  # fmt: skip
    fit(recipe, [images], tmp_path / "run", device="cpu", workers=0)
    assert len(seen) == 2
    assert seen[0] == seen[1]
    assert len(seen[0][0]) == len(seen[0][1]) == 2  # a fifth of twelve


# -- sheets


def test_columns_of_the_sheet(tiny: RecipeMaker, pictures: Pictures, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[dict[str, Any]] = []
    true = sheet

    def watched(rows: Any, **words: Any) -> Any:
        told.append(words | {"rows": rows})
        return true(rows, **words)

    monkeypatch.setattr("retouch.training.validation.sheet", watched)
    for recipe, titles in (
        (tiny(), ["input", "nearest", "bilinear", "prediction", "target"]),
        (_dncnn(tiny, {}), ["input", "prediction", "target"]),
    ):
        trainer = Trainer(recipe, Samples(pictures, recipe))
        Validator.of(pictures, recipe)(trainer.objective, trainer.product, trainer.device)
        found = told.pop()
        assert found["column_titles"] == titles
        assert len(found["rows"]) == 4
        for row, captions in zip(found["rows"], found["captions"], strict=True):
            assert len(row) == len(captions) == len(titles)
            assert {picture.pixels.shape[-1] for picture in row[1:]} == {64}
            assert row[0].pixels.shape[-1] == (32 if len(titles) == 5 else 64)
        if len(titles) == 5:
            given, nearest, bilinear = (picture.pixels for picture in found["rows"][0][:3])
            assert torch.equal(nearest[..., 1::2, 1::2], given)
            # bilinear at a factor of two: three quarters of the nearest pixel, one quarter of the next, each way
            row = 0.75 * given[..., 5, :] + 0.25 * given[..., 6, :]
            assert torch.allclose(bilinear[..., 11, 11], 0.75 * row[..., 5] + 0.25 * row[..., 6], atol=1e-5)


# -- the command


def test_commands(file: Path, photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = ["data.crop=16", "stage.1.data.crop=32", "run.batch=2", "run.validate_every=2", "data.cache=false"]
    small += ["network.arguments.width=4", "network.arguments.shrunk=2", "network.arguments.depth=1"]
    words = [str(file), "--images", str(photographs), "--device", "cpu", "--folder", str(tmp_path / "run"), *small]
    find = ["find-lr", *words, "--steps", "10", "--output", str(tmp_path / "plot.png")]
    assert main([*find, "--stage", "2"]) == 2
    assert "train stage 1 first" in capsys.readouterr().err
    assert main([*find, "--stage", "3"]) == 2
    assert "two has 2 stages" in capsys.readouterr().err
    assert main(["train", *words, "stage.0.run.steps=2", "stage.1.run.steps=3"]) == 0
    said = capsys.readouterr().err
    assert "two: stage 2 of 2, b: begins" in said
    assert "two.safetensors: 5 steps" in said
    assert load_weights(tmp_path / "run" / "two.safetensors").card.steps == 5
    assert main([*find, "--stage", "2"]) == 0
    assert float(capsys.readouterr().out) > 0
    assert main(["train", *words, "run.steps=2"]) == 2
    assert "every stage has its own" in capsys.readouterr().err
    assert main(["find-lr", "fsrcnn-x2", "--images", str(photographs), "--stage", "2"]) == 2
    assert "fsrcnn-x2 has no stages" in capsys.readouterr().err
