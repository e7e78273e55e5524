"""Damages named once in a recipe: what a name stands for, where it may stand, and what is refused."""

from __future__ import annotations

import copy
import tomllib
from pathlib import Path
from typing import Any

import pytest

from retouch.image.errors import OptionError
from retouch.training.damages import resolved
from retouch.training.recipe import read_recipe, recipe_names

BLUR = {"step": [{"kind": "gaussian_blur", "sigma": 1.0}]}
NOISE = {"step": [{"kind": "gaussian_noise", "sigma": [0.0, 55.0]}]}
GREY = {"step": [{"kind": "grey"}]}


def test_a_name_is_what_it_stands_for_in_its_place() -> None:
    table: dict[str, Any] = {
        "name": "x",
        "damages": {"blur": BLUR, "both": [NOISE, GREY]},
        "data": {"crop": 8, "degradation": ["both", BLUR, "blur", "blur"]},
        "stage": [{"name": "a", "data": {"degradation": ["blur"]}}, {"name": "b", "run": {"steps": 1}}],
    }
    before = copy.deepcopy(table)
    made = resolved(table)
    assert table == before
    assert made == {
        "name": "x",
        "data": {"crop": 8, "degradation": [NOISE, GREY, BLUR, BLUR, BLUR]},
        "stage": [{"name": "a", "data": {"degradation": [BLUR]}}, {"name": "b", "run": {"steps": 1}}],
    }
    # two places are not one object: replacing a value in one must leave the other
    made["data"]["degradation"][3]["step"][0]["sigma"] = 9.0
    assert made["data"]["degradation"][4] == BLUR


@pytest.mark.parametrize("table", [{}, {"data": {"crop": 8}}, {"data": {"degradation": "blur"}}, {"stage": 3}])
def test_what_has_no_names_is_left_as_it_is(table: dict[str, Any]) -> None:
    assert resolved(table) == table


@pytest.mark.parametrize(
    ("damages", "message"),
    [
        ({"blurr": BLUR}, "unknown damage 'blur' of [damages]; did you mean 'blurr'?"),
        ({}, "unknown damage 'blur' of [damages]"),
        ({"blur": []}, "damages.blur: must be a damage"),
        ({"blur": [1]}, "damages.blur: must be a damage"),
        ({"blur": "noise"}, "damages.blur: must be a damage"),
        ([BLUR], "damages: must be a table of names"),
    ],
)
def test_what_is_no_damage_is_refused(damages: Any, message: str) -> None:
    with pytest.raises(OptionError) as caught:
        resolved({"damages": damages, "data": {"degradation": ["blur"]}})
    assert message in str(caught.value)


def test_a_file_with_names_is_the_recipe_with_the_tables(tmp_path: Path) -> None:
    text = (Path(read_recipe.__code__.co_filename).parent / "recipes" / "dncnn-s25.toml").read_text()
    own = '[[data.degradation]]\n[[data.degradation.step]]\nkind = "gaussian_noise"\nsigma = 25\n'
    assert own in text
    named = text.replace(own, "").replace("[data]\n", '[data]\ndegradation = ["tables"]\n', 1)
    named += '\n[damages]\ntables = { step = [{ kind = "gaussian_noise", sigma = 25 }] }\n'
    (tmp_path / "dncnn-s25.toml").write_text(named)
    made = read_recipe(tmp_path / "dncnn-s25.toml")
    assert made == read_recipe("dncnn-s25")
    replaced = read_recipe(tmp_path / "dncnn-s25.toml", ["data.degradation.0.step.0.sigma=15.0"])
    assert [step.parameters["sigma"] for step in replaced.degradations()[0].steps] == [15.0]
    (tmp_path / "dncnn-s25.toml").write_text(named.replace('["tables"]', '["table"]'))
    with pytest.raises(OptionError, match=r"^dncnn-s25: data\.degradation: unknown damage 'table'"):
        read_recipe(tmp_path / "dncnn-s25.toml")


def test_no_shipped_recipe_names_a_damage_in_vain() -> None:
    folder = Path(read_recipe.__code__.co_filename).parent / "recipes"
    for name in recipe_names():
        table = tomllib.loads((folder / f"{name}.toml").read_text())
        lists = [table.get("data", {}), *(stage.get("data", {}) for stage in table.get("stage", []))]
        used = {entry for data in lists for entry in data.get("degradation", []) if isinstance(entry, str)}
        assert used == set(table.get("damages", {})), name
