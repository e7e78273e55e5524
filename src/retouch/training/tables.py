"""Tables of TOML into frozen dataclasses, and back: unknown keys and wrong types are errors that name the place."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from retouch.image.errors import OptionError, unknown

T = TypeVar("T")


def read(cls: type[T], table: Any, where: str) -> T:
    """An object of the dataclass ``cls`` from a table; every message begins with ``where``.

    Nested dataclasses are nested tables, tuples are lists, whole numbers serve where a float is asked for. Raises
    ``OptionError`` for an unknown key (naming the nearest known one), a missing one, or a value of the wrong type.
    """
    if not isinstance(table, Mapping):
        raise OptionError(f"{where}: must be a table, not {table!r}")
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    values = {}
    for key, value in table.items():
        if key not in fields:
            raise OptionError(f"{where}: {unknown('key', key, list(fields))}")
        values[key] = _value(hints[key], value, f"{where}: {key}")
    for name, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and name not in values:
            raise OptionError(f"{where}: '{name}' is missing")
    return cls(**values)


def _value(kind: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return value
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in arguments:
            return None
        inner = [argument for argument in arguments if argument is not type(None)]
        if isinstance(value, str | bool) and type(value) in inner:
            return value
        return _value(inner[-1], value, where)
    if origin is Literal:
        if value not in arguments:
            raise OptionError(f"{where}: {unknown('value', str(value), [str(a) for a in arguments])}")
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise OptionError(f"{where}: must be a list, not {value!r}")
        if len(arguments) == 2 and arguments[1] is ...:
            return tuple(_value(arguments[0], item, f"{where}[{index}]") for index, item in enumerate(value))
        if len(value) != len(arguments):
            raise OptionError(f"{where}: must be a list of {len(arguments)}, not {value!r}")
        pairs = zip(arguments, value, strict=True)
        return tuple(_value(a, item, f"{where}[{index}]") for index, (a, item) in enumerate(pairs))
    if origin is dict:
        if not isinstance(value, Mapping):
            raise OptionError(f"{where}: must be a table, not {value!r}")
        return {str(key): _value(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return value if isinstance(value, kind) else read(kind, value, where)
    return _plain(kind, value, where)


def _plain(kind: Any, value: Any, where: str) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        words = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
        raise OptionError(f"{where}: must be {words.get(kind, kind.__name__)}, not {value!r}")
    if kind is float and not math.isfinite(value):
        raise OptionError(f"{where}: must be finite, not {value}")
    return value


def write(value: Any) -> Any:
    """The table of a dataclass as JSON and TOML can hold it: no None, no defaults left out, tuples as lists."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        items = ((field.name, getattr(value, field.name)) for field in dataclasses.fields(value))
        return {name: write(item) for name, item in items if item is not None}
    if isinstance(value, Mapping):
        return {str(key): write(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [write(item) for item in value]
    return value
