"""Tasks as HTTP tells them: JSON Schema of the options, methods with their time, and the way back from a request.

Everything is made from the task table, as the command line is. No torch here.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from retouch.app.serving.problems import Problem, in_http_words, option_in
from retouch.image.errors import OptionError, RetouchError, unknown
from retouch.models import catalogue
from retouch.tasks import TASKS
from retouch.tasks.base import Method, MethodOptions, OptionField, Task, fields_of

_HIDDEN = frozenset({"device"})  # the server's own affair
_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string"}
_TRUE, _FALSE = frozenset({"true", "1", "yes", "on"}), frozenset({"false", "0", "no", "off"})


def shown_fields(task: Task) -> dict[str, OptionField]:
    """The options of a task that a caller may give: no paths, no device; the mask travels beside them."""
    return {
        name: field
        for name, field in fields_of(task.options).items()
        if name not in _HIDDEN and field.kind not in ("state", "mask")
    }


def mask_of(task: Task) -> str:
    """'none', 'optional' or 'required'."""
    for field in fields_of(task.options).values():
        if field.kind == "mask":
            return "required" if field.required else "optional"
    return "none"


def picture_fields(task: Task) -> list[str]:
    """The options that are second pictures."""
    return [name for name, field in fields_of(task.options).items() if field.kind == "picture"]


def words_of(task: Task, name: str, field: OptionField) -> tuple[str, ...]:
    """The words that an option may be, empty where any value of its type will do."""
    if name == "method":
        usable = [method.name for method in task.methods if reason_against(task, method) is None]
        return ("auto", *usable)
    if field.kind == "weight":
        return tuple(card.name for card in catalogue.for_task(task.name))
    return field.choices or field.names


def options_schema(task: Task) -> dict[str, Any]:
    """JSON Schema (2020-12) of the options object of a task."""
    fields = shown_fields(task)
    shared = fields_of(MethodOptions)
    properties = {}
    for name, field in fields.items():
        schema = field_schema(task, name, field)
        if schema is not None:
            properties[name] = schema | ({"x-shared": True} if name in shared else {})
    required = [name for name, field in fields.items() if field.required and name in properties]
    return {
        "type": "object",
        "title": task.name,
        "description": task.help,
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def field_schema(task: Task, name: str, field: OptionField) -> dict[str, Any] | None:
    """JSON Schema of one option; None where there is nothing to choose from, such as a weight where none is here."""
    kind, optional = _plain_type(field)
    schema: dict[str, Any] = {"title": name.rstrip("_").replace("_", " "), "description": in_http_words(field.help)}
    words = words_of(task, name, field)
    if field.kind in ("weight", "recipe") and not words:
        return None
    if field.kind == "picture":
        schema |= {"type": "string", "format": "file-id"}
    elif words:
        schema |= {"type": "string", "enum": list(words)}
    else:
        schema["type"] = _TYPES[kind]
    if optional:
        schema["type"] = [schema["type"], "null"]
        if "enum" in schema:
            schema["enum"].append(None)
    for key, value in (("minimum", field.minimum), ("maximum", field.maximum), ("x-unit", field.unit)):
        if value is not None:
            schema[key] = value
    if not field.required:
        schema["default"] = field.default
    return schema


def _plain_type(field: OptionField) -> tuple[type, bool]:
    """The type without None, and whether None was in it."""
    members = typing.get_args(field.type) if isinstance(field.type, types.UnionType) else (field.type,)
    plain = [member for member in members if member is not type(None)]
    kind = plain[0] if len(plain) == 1 else str
    return (kind if kind in _TYPES else str), len(plain) < len(members)


def sample_options(task: Task, method: Method) -> list[Any]:
    """Options to ask a method about: the defaults, then with every second picture, and with a weight of its own."""
    fields = fields_of(task.options)
    base: dict[str, Any] = {name: None for name, field in fields.items() if field.required}
    if task.name == "degrade":
        base["noise"] = 10.0  # it has no default that does anything
    pictures: dict[str, Any] = dict.fromkeys(picture_fields(task), Path())
    cards = catalogue.for_task(task.name, method.name)
    weights = {name: card.name for name, field in fields.items() if field.kind == "weight" for card in cards[:1]}
    made = []
    for values in (base, base | pictures, base | weights):
        try:
            made.append(task.make_options(**values))
        except OptionError:
            continue  # a pair of options that exclude each other
    return made


def reason_against(task: Task, method: Method) -> str | None:
    """Why a method cannot be used here, whatever the options; None where it can."""
    reasons = [method.available(options) for options in sample_options(task, method)]
    return None if None in reasons else reasons[0]


def describe_methods(task: Task, device: str) -> list[dict[str, Any]]:
    """The methods of a task, the best first: what each is, costs and is good for, and its time on ``device``.

    ``default``: the one that 'auto' takes for a picture of a megapixel. ``spare_seconds``: see ``Method.spare``.
    """
    rows: list[dict[str, Any]] = []
    for method in sorted(task.methods, key=lambda method: -method.rank):
        reason = reason_against(task, method)
        options = sample_options(task, method)[0]
        if isinstance(options, MethodOptions):  # named, it takes one view
            options = dataclasses.replace(options, method=method.name)
        rows.append(
            {
                "name": method.name,
                "summary": method.summary,
                "cost": method.cost,
                "prefer": in_http_words(method.prefer),
                "seconds_per_megapixel": round(method.seconds(1.0, device, options), 3),
                "spare_seconds": method.spare,
                "iterative": method.iterative,
                "default": False,
                "unavailable": None if reason is None else in_http_words(reason),
            }
        )
    usable = [row for row in rows if row["unavailable"] is None]
    budget = (fields_of(MethodOptions) | fields_of(task.options))["budget"].default  # ``degrade`` has none of its own
    fitting = [row for row in usable if row["seconds_per_megapixel"] <= budget]
    if fitting:
        fitting[0]["default"] = True
    elif usable:
        min(usable, key=lambda row: float(row["seconds_per_megapixel"]))["default"] = True
    return rows


def describe_task(task: Task, device: str) -> dict[str, Any]:
    """One task as ``GET /api/v1/tasks`` shows it."""
    return {
        "name": task.name,
        "title": task.name.capitalize(),
        "summary": task.help,
        "mask": mask_of(task),
        "methods": describe_methods(task, device),
        "schema": options_schema(task),
    }


def find_task(name: object) -> Task:
    """The task of that name; a ``Problem`` 404 names the nearest one otherwise."""
    if not isinstance(name, str) or name not in TASKS:
        raise Problem(404, unknown("task", str(name)[:60], list(TASKS)))
    return TASKS[name]


# -- from a request back to options


def values_from_query(task: Task, query: Mapping[str, str]) -> dict[str, Any]:
    """The options in a query string, each as its type; ``Problem`` 422 for what cannot be read."""
    fields = shown_fields(task)
    values: dict[str, Any] = {}
    for name, text in query.items():
        field = _known(task, fields, name)
        kind, _ = _plain_type(field)
        try:
            values[name] = _from_text(text, kind)
        except ValueError:
            raise Problem(422, f"{name} is {_article(kind)}, not '{text[:60]}'", option=name) from None
    return values


def _from_text(text: str, kind: type) -> Any:
    if kind is bool:
        if text.lower() not in _TRUE | _FALSE:
            raise ValueError(text)
        return text.lower() in _TRUE
    return kind(text)


def _article(kind: type) -> str:
    return {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}[kind]


def _known(task: Task, fields: Mapping[str, OptionField], name: str) -> OptionField:
    if name not in fields or field_schema(task, name, fields[name]) is None:
        shown = [other for other in fields if other in options_schema(task)["properties"]]
        raise Problem(422, unknown("option", name[:60], shown, f"of {task.name}"), option=name[:60])
    return fields[name]


def checked(task: Task, values: Mapping[str, Any], *, pictures: Collection[str], has_mask: bool) -> dict[str, Any]:
    """The options of a request, held to types, ranges and words, as a worker needs them; ``Problem`` 422 otherwise.

    ``values``: as JSON gives them, without the second pictures, which ``pictures`` names. What is returned holds the
    plain values only. Nothing that is a path gets through.
    """
    fields = shown_fields(task)
    plain = {name: _typed(task, fields, name, value) for name, value in values.items()}
    plain = {name: value for name, value in plain.items() if fields[name].kind != "picture"}
    want = mask_of(task)
    if has_mask and want == "none":
        raise Problem(422, f"{task.name} takes no mask", option="mask")
    if not has_mask and want == "required":
        raise Problem(422, f"{task.name} needs a mask: a picture of the same size, white where to fill", option="mask")
    for name, field in fields.items():
        if field.required and name not in plain and name not in pictures:
            raise Problem(422, f"{task.name} needs {name}: {in_http_words(field.help)}", option=name)
    stand_ins: dict[str, Any] = {name: Path() for name in pictures}  # any object will do: it is the worker that opens
    if has_mask:
        stand_ins["mask"] = Path()
    try:
        task.make_options(**plain, **stand_ins)
    except OptionError as error:
        raise Problem(422, in_http_words(str(error)), option=option_in(str(error), fields)) from None
    except RetouchError as error:
        raise Problem(422, in_http_words(str(error))) from None
    return plain


def _typed(task: Task, fields: Mapping[str, OptionField], name: str, value: Any) -> Any:
    field = _known(task, fields, name)
    kind, optional = _plain_type(field)
    if value is None:
        if not optional:
            raise Problem(422, f"{name} is {_article(kind)}, not null", option=name)
        return None
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            value = float(value)
        except OverflowError:
            raise Problem(422, f"{name} is too large a number", option=name) from None
    if kind is int and isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise Problem(422, f"{name} is {_article(kind)}, not {str(value)[:60]!r}", option=name)
    if isinstance(value, str) and (len(value) > 1000 or not value.isprintable()):
        raise Problem(422, f"{name} is a text of at most 1000 printable characters", option=name)
    if name == "method" and value != "auto":
        _check_method(task, str(value))
    words = words_of(task, name, field)
    if words and field.kind != "picture" and value not in words:
        raise Problem(422, unknown("value of " + name, str(value)[:60], words), option=name)
    return value


def _check_method(task: Task, name: str) -> None:
    try:
        reason = reason_against(task, task.method(name))
    except OptionError as error:
        raise Problem(422, str(error), option="method") from None
    if reason is not None:
        raise Problem(422, f"{name}: {in_http_words(reason)}", option="method")
