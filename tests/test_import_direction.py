"""A room imports only from itself and from the rooms above it, as the design draws the house."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import retouch

ROOMS = (
    "image", "degradations", "networks", "models", "losses", "metrics", "solvers", "training", "tasks", "evaluation",
    "app",
)  # fmt: skip
"""From the top of the house down."""

HOUSE = Path(retouch.__file__).parent


def imported_rooms(path: Path, house: Path, package: str = "retouch") -> list[tuple[int, str]]:
    """(line, room) of every import of a room in a file, wherever it stands, inside functions and type checks too."""
    here = (package, *path.relative_to(house).parent.parts)
    found = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        modules: list[str] = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join([*here[: len(here) - node.level + 1]] if node.level else [])
            module = ".".join(filter(None, (base, node.module)))
            modules = [f"{module}.{alias.name}" for alias in node.names] if module == package else [module]
        for module in modules:
            parts = module.split(".")
            if parts[0] == package and len(parts) > 1:
                found.append((node.lineno, parts[1]))
    return found


def violations(house: Path) -> list[str]:
    """Every import that goes down the house, and every room or loose file that the design does not know."""
    wrong = []
    for path in sorted(house.rglob("*.py")):
        parts = path.relative_to(house).parts
        room = parts[0].removesuffix(".py")
        if len(parts) == 1 and room in ("__init__", "__main__"):
            continue  # the front door sees every room
        if room not in ROOMS:
            wrong.append(f"{path}: '{room}' is no room of the house")
            continue
        for line, other in imported_rooms(path, house):
            if other not in ROOMS or ROOMS.index(other) > ROOMS.index(room):
                wrong.append(f"{path}:{line}: {room} may not import {other}")
    return wrong


def test_the_house_keeps_its_order() -> None:
    assert violations(HOUSE) == []


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("from retouch.image.image import Image", False),
        ("from retouch.solvers import steps", False),
        ("import retouch.degradations.base", False),
        ("from . import deep_prior", False),
        ("from .steps import Step", False),
        ("import torch", False),
        ("from retouch.tasks.base import Task", True),
        ("from retouch import tasks", True),
        ("import retouch.app.cli", True),
        ("from ..tasks import base", True),
        ("def late():\n    from retouch.evaluation import report", True),
        ("if TYPE_CHECKING:\n    from retouch.training.fit import fit", True),
        ("from retouch.cellar import wine", True),
    ],
)
def test_the_checker_on_a_made_up_house(tmp_path: Path, text: str, wrong: bool) -> None:
    for room in ("image", "solvers", "tasks"):
        (tmp_path / room).mkdir()
        (tmp_path / room / "__init__.py").touch()
    (tmp_path / "__init__.py").write_text("from retouch.tasks import TASKS")
    (tmp_path / "solvers" / "new.py").write_text(text)
    found = violations(tmp_path)
    assert len(found) == int(wrong)
    assert all("new.py:" in line for line in found)


def test_the_checker_finds_a_room_that_is_not_drawn(tmp_path: Path) -> None:
    (tmp_path / "attic").mkdir()
    (tmp_path / "attic" / "old.py").touch()
    (tmp_path / "metrics.py").write_text("import retouch.image")
    assert [line.partition(": ")[2] for line in violations(tmp_path)] == ["'attic' is no room of the house"]
