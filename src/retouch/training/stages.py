"""The stages of a training: tables put over a recipe's own, one set a stage (progressive resizing, freezing, ...).

    [[stage]]
    name = "64-frozen"
    data = { crop = 64 }
    run = { steps = 2000, batch = 32 }
    network = { frozen = ["encoder."] }

    [[stage]]
    name = "128-whole"
    data = { crop = 128 }
    run = { steps = 1000, batch = 8 }
    optimizer = { rate = 1e-4, group = [{ match = "encoder.", factor = 0.1 }] }

A stage's tables are merged into the recipe's, key by key and as deep as tables go; a list stands in place of the whole
list, and a table that gives itself another ``name`` leaves the old ``arguments`` behind. Every stage is put over the
recipe as it is written, not over the stage before it. Each begins with the weight of the one before it, in float32,
with a new optimiser; a critic begins afresh. Progressive resizing: Howard and Gugger, fastai, 2018.

A stage before the last may have other ``network.arguments``: a smaller network, which the next stage begins with as far
as names and sizes fit. What is new there has its fresh values; blocks that begin as the identity, such as
``ResidualBlock``, change nothing until they learn (Chen, Goodfellow, Shlens, "Net2Net", ICLR 2016).
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from typing import Any

from retouch.image.errors import OptionError, unknown

_TABLES = ("network", "critic", "data", "objective", "optimizer", "schedule", "run")
_NETWORK = ("arguments", "frozen", "frozen_statistics")
_SHARED = {"data": ("held_out", "cache"), "run": ("seed",)}  # what all stages have in common, or pictures would leak
_REQUIRED = (("data", "crop"), ("run", "steps"))


def resolve(table: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The tables of each stage as an ordinary recipe without stages, named ``RECIPE-STAGE``, from a recipe's tables.

    The weight that a later stage starts from has the name of the stage before it. Raises ``OptionError`` for a stage
    that replaces what it may not: the card, the network (its sizes, in the last stage), or what all stages share.
    """
    base = {key: value for key, value in table.items() if key != "stage"}
    made: list[dict[str, Any]] = []
    for number, stage in enumerate(table["stage"], 1):
        _check(stage, number, last=number == len(table["stage"]))
        own = merged(base, {key: value for key, value in stage.items() if key != "name"})
        own["name"] = f"{base['name']}-{stage['name']}"
        if made:
            before = made[-1]
            grown = own["network"]["arguments"] != before["network"]["arguments"]
            own["network"] = own["network"] | {"start": before["name"], "partly": grown}
        made.append(own)
    return made


def folders(stages: Sequence[Mapping[str, Any]]) -> list[str]:
    """The name of each stage's folder in the run's: ``1-64-frozen``."""
    return [f"{number}-{stage['name']}" for number, stage in enumerate(stages, 1)]


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``over`` put into ``base``, tables in tables; neither is changed."""
    made = dict(base)
    for key, value in over.items():
        before = made.get(key)
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            if "name" in value and value["name"] != before.get("name"):
                before = {inner: kept for inner, kept in before.items() if inner != "arguments"}
            made[key] = merged(before, value)
        else:
            made[key] = copy.deepcopy(value)
    return made


def completed(table: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe's tables with the crop and the steps of the first stage, where only the stages have them."""
    made = dict(table)
    first = _first(table)
    for outer, key in _REQUIRED:
        own, given = made.get(outer, {}), first.get(outer)
        if isinstance(own, Mapping) and isinstance(given, Mapping) and key not in own and key in given:
            made[outer] = {**own, key: given[key]}
    return made


def refuse_hidden(table: Mapping[str, Any], key: str) -> None:
    """Raise ``OptionError`` where replacing the recipe's ``key`` does nothing, as every stage has its own value."""
    stages = table.get("stage")
    if not isinstance(stages, list) or not stages or key.split(".")[0] in ("stage", "name"):
        return
    if all(_has(stage, key.split(".")) for stage in stages):
        raise OptionError(f"{key}: every stage has its own; replace stage.0.{key}, stage.1.{key}, ...")


def _has(place: Any, parts: list[str]) -> bool:
    for part in parts:
        if not isinstance(place, Mapping):
            return True  # a list or a value of the stage stands in place of all that is looked for
        if part not in place:
            return False
        place = place[part]
    return True


def _first(table: Mapping[str, Any]) -> Mapping[str, Any]:
    stages = table.get("stage")
    if isinstance(stages, list | tuple) and stages and isinstance(stages[0], Mapping):
        return stages[0]
    return {}


def _check(stage: Mapping[str, Any], number: int, last: bool) -> None:
    where = f"stage {number}"
    name = stage.get("name")
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name, re.ASCII):
        raise OptionError(f"{where}: needs a name of letters, digits, '.', '_' and '-', not {name!r}")
    for key, value in stage.items():
        if key in ("card", "stage", "help"):
            raise OptionError(f"{where}: '{key}' is of the whole recipe, a stage cannot replace it")
        if key != "name" and key not in _TABLES:
            raise OptionError(f"{where}: {unknown('key', key, ['name', *_TABLES])}")
        if key == "name" or not isinstance(value, Mapping):
            continue  # what is no table is an error of the stage's resolved recipe
        for inner in value:
            if key == "network" and inner not in _NETWORK:
                raise OptionError(
                    f"{where}: network.{inner} is of the whole recipe; a stage replaces {', '.join(_NETWORK)}"
                )
            if key == "network" and inner == "arguments" and last:
                raise OptionError(f"{where}: network.arguments of the last stage are those of the whole recipe")
            if inner in _SHARED.get(key, ()):
                raise OptionError(f"{where}: {key}.{inner} is of the whole recipe, a stage cannot replace it")
