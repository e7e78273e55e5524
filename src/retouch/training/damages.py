"""Damages that a recipe names once and uses in several lists.

    [damages]
    white = { step = [{ kind = "gaussian_noise", sigma = [0.0, 55.0] }] }
    tables = [{ step = [...] }, { step = [...] }]

    [data]
    degradation = ["white", "tables", { step = [...] }]

A name stands for the table, or all tables of the list, in that place; one that is named twice is drawn twice as often.
A name may stand in ``data.degradation`` of the recipe and of its stages. Names are resolved when the file is read: the
recipe that a weight's card holds has the tables themselves.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from retouch.image.errors import OptionError, unknown

_KEY = "damages"


def resolved(table: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe's tables with every name of a damage replaced, and without the table that tells them.

    Raises ``OptionError`` for an unknown name, and for what is neither a table nor a list of tables.
    """
    made = {key: copy.deepcopy(value) for key, value in table.items() if key != _KEY}
    named: dict[str, list[Any]] = {}
    told = table.get(_KEY, {})
    if not isinstance(told, Mapping):
        raise OptionError(f"{_KEY}: must be a table of names, not {told!r}")
    for name, value in told.items():
        tables = value if isinstance(value, list) else [value]
        if not tables or not all(isinstance(one, Mapping) for one in tables):
            raise OptionError(f"{_KEY}.{name}: must be a damage, a table with [[step]], or a list of them")
        named[name] = tables
    stages = made.get("stage")
    for part in (made, *(stages if isinstance(stages, list) else [])):
        data = part.get("data") if isinstance(part, Mapping) else None
        given = data.get("degradation") if isinstance(data, Mapping) else None
        if isinstance(data, dict) and isinstance(given, list):
            data["degradation"] = [one for entry in given for one in _tables(entry, named)]
    return made


def _tables(entry: Any, named: Mapping[str, list[Any]]) -> list[Any]:
    if not isinstance(entry, str):
        return [entry]
    if entry not in named:
        raise OptionError(f"data.degradation: {unknown('damage', entry, list(named), f'of [{_KEY}]')}")
    return copy.deepcopy(named[entry])
