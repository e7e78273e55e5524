"""Every task, as HTTP tells it: a new row of the table appears by itself, and nothing that is a path gets through."""

from __future__ import annotations

import typing
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from retouch.app.serving import schemas
from retouch.app.serving.problems import Problem, in_http_words, option_in
from retouch.tasks import TASKS
from retouch.tasks.base import Task, fields_of

_TASKS = pytest.mark.parametrize("task", TASKS.values(), ids=lambda task: task.name)


@_TASKS
def test_the_schema_holds_every_option_but_paths(task: Task) -> None:
    schema = schemas.options_schema(task)
    jsonschema.Draft202012Validator.check_schema(schema)
    for name, field in fields_of(task.options).items():
        told = schema["properties"].get(name)
        if field.kind in ("state", "mask") or name == "device":
            assert told is None
            continue
        if told is None:  # nothing to choose from
            assert field.kind in ("weight", "recipe")
            continue
        assert told["title"]
        assert told["description"]
        assert "--" not in told["description"]
        is_path = Path in (field.type, *typing.get_args(field.type))
        assert (told.get("format") == "file-id") == (field.kind == "picture") == is_path
        if field.kind in ("weight", "recipe"):
            assert told["enum"]
        if not field.required:
            jsonschema.validate(field.default, told)
            assert told["default"] == field.default
        assert told.get("minimum") == field.minimum
        assert told.get("maximum") == field.maximum
        assert told.get("x-unit") == field.unit
        if field.choices:
            assert [word for word in told["enum"] if word is not None] == list(field.choices)


@_TASKS
def test_methods_are_told_with_their_time(task: Task) -> None:
    rows = schemas.describe_methods(task, "cpu")
    assert {row["name"] for row in rows} == {method.name for method in task.methods}
    assert all(row["seconds_per_megapixel"] > 0 for row in rows)
    assert len([row for row in rows if row["default"]]) <= 1
    usable = [row["name"] for row in rows if row["unavailable"] is None]
    method = schemas.options_schema(task)["properties"].get("method")
    if method is not None:
        assert set(method["enum"]) == {"auto", *usable}
    for row in rows:
        assert row["default"] <= (row["unavailable"] is None)
        if row["default"]:
            best = [other for other in rows if other["unavailable"] is None and other["seconds_per_megapixel"] <= 60]
            assert row in (best[:1] or rows)


@_TASKS
def test_the_defaults_of_the_schema_are_accepted(task: Task) -> None:
    schema = schemas.options_schema(task)
    values = {name: told["default"] for name, told in schema["properties"].items() if "default" in told}
    for name in schema["required"]:
        values[name] = schema["properties"][name].get("enum", ["x"])[0]
    if task.name == "degrade":
        values["noise"] = 3
    pictures = [name for name in schemas.picture_fields(task) if name in schema["required"]]
    jsonschema.validate(values, schema)
    plain = schemas.checked(task, values, pictures=pictures, has_mask=schemas.mask_of(task) == "required")
    assert not [value for value in plain.values() if isinstance(value, Path)]
    task.make_options(
        **plain, **dict.fromkeys(pictures), **({"mask": None} if "mask" in fields_of(task.options) else {})
    )


def test_what_a_mask_is_to_a_task() -> None:
    told = {name: schemas.mask_of(task) for name, task in TASKS.items()}
    assert (told["inpaint"], told["stylize"], told["denoise"]) == ("required", "optional", "none")


def test_the_style_picture_is_a_file_id() -> None:
    style = schemas.options_schema(TASKS["stylize"])["properties"]["style"]
    assert (style["type"], style["format"]) == (["string", "null"], "file-id")
    assert schemas.options_schema(TASKS["relight"])["required"] == ["flash"]


def test_weights_and_recipes_go_by_name() -> None:
    translate = schemas.options_schema(TASKS["translate"])["properties"]["model"]
    assert "pix2pix-facades" in translate["enum"]
    assert None not in translate["enum"]
    degrade = schemas.options_schema(TASKS["degrade"])["properties"]["recipe"]
    assert {"old-photo", None} < set(degrade["enum"])
    assert schemas.checked(TASKS["degrade"], {"recipe": "old-photo"}, pictures=[], has_mask=False) == {
        "recipe": "old-photo"
    }


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("Yes", True), ("1", True), ("0", False), ("off", False)],
)
def test_flags_in_a_query(text: str, value: bool) -> None:
    assert schemas.values_from_query(TASKS["denoise"], {"note": text}) == {"note": value}


@pytest.mark.parametrize(
    ("name", "text"), [("note", ""), ("sigma", ""), ("sigma", "null"), ("seed", "1.5"), ("seed", "x")]
)
def test_what_a_query_may_not_say(name: str, text: str) -> None:
    with pytest.raises(Problem) as caught:
        schemas.values_from_query(TASKS["denoise"], {name: text})
    assert caught.value.option == name


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [("sigma", 5, 5.0), ("seed", 3.0, 3), ("sigma", None, None), ("method", "nlm", "nlm"), ("tile", "off", "off")],
)
def test_values_as_json_gives_them(name: str, value: Any, kept: Any) -> None:
    told = schemas.checked(TASKS["denoise"], {name: value}, pictures=[], has_mask=False)
    assert told == {name: kept}
    assert type(told[name]) is type(kept)


def test_a_method_without_weights_says_how_to_get_them() -> None:
    with pytest.raises(Problem, match="no weights of transform here") as caught:
        schemas.checked(TASKS["upscale"], {"method": "transform"}, pictures=[], has_mask=False)
    assert caught.value.option == "method"


def test_the_words_of_the_command_line() -> None:
    assert in_http_words("give --style or --style-weight 2") == "give style or style_weight 2"
    assert option_in("--style-weight must be", {"style_weight": 1}) == "style_weight"
    assert option_in("--nothing", {"style_weight": 1}) is None
