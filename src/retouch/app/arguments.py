"""From dataclasses of options to command-line flags, with their help, ranges and defaults."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Any

from retouch.image.errors import OptionError
from retouch.tasks.base import OptionField, Options, fields_of


def parse(
    program: str,
    description: str,
    groups: Sequence[type[Options]],
    words: Sequence[str],
    *,
    several: str,
    about_inputs: str = "files, folders, or patterns such as 'scans/*.tif'",
    output: str | None,
    single: bool = False,
    least: int = 1,
) -> dict[Any, Any]:
    """Read command-line words: ``{"inputs": ..., "output": ..., group: {option: value}}``.

    ``groups``: dataclasses of ``option()`` fields, all shown in one help. ``several``: what the words without a flag
    are called; ``single``: exactly one of them, ``least``: at least so many. ``output``: help of ``--output``, None if
    there is none. Shows the help or what is wrong and raises ``SystemExit``, as parsers do.
    """
    import tyro

    kind = tyro.conf.Positional[str] if single else tyro.conf.Positional[tuple[str, ...]]
    metavar = several if single else f"{several}..."
    fields: list[Any] = [
        ("inputs", Annotated[kind, tyro.conf.arg(metavar=metavar, help=about_inputs, help_behavior_hint="")])
    ]
    if output is not None:
        about = tyro.conf.arg(aliases=["-o"], metavar="OUT", help=output, help_behavior_hint="(required)")
        fields.append(("output", Annotated[str, about]))
    for group in groups:
        for name, field in fields_of(group).items():
            flag = name[:-1] if name.endswith("_") else None  # 'class' is no name of a field
            about = tyro.conf.arg(name=flag, metavar=field.metavar, help=field.help, help_behavior_hint=_hint(field))
            default = [] if field.required else [dataclasses.field(default=field.default)]
            fields.append((name, Annotated[field.type, about], *default))
    parsed: Any = tyro.cli(
        dataclasses.make_dataclass("Call", fields, kw_only=True),
        prog=program,
        description=f"{description[:1].upper()}{description[1:]}.",
        args=_protect(words),
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    values: dict[Any, Any] = {"inputs": parsed.inputs, "output": getattr(parsed, "output", None)}
    for group in groups:
        values[group] = {name: getattr(parsed, name) for name in fields_of(group)}
    if not single and len(values["inputs"]) < least:
        raise OptionError(f"{program}: needs at least {least} {several}")
    return values


def _hint(field: OptionField) -> str:
    words = []
    if field.limits:
        words.append(field.limits)
    if field.required:
        words.append("required")
    elif field.default is not None and field.default is not False and field.default != ():
        words.append(f"default: {field.default}{f' {field.unit}' if field.unit else ''}")
    return f"({'; '.join(words)})" if words else ""


def _protect(words: Sequence[str]) -> list[str]:
    """Words after ``--`` are file names, even those that begin with a dash."""
    if "--" not in words:
        return list(words)
    cut = list(words).index("--")
    return [*words[:cut], *(f"./{word}" if word.startswith("-") else word for word in words[cut + 1 :])]
