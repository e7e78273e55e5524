"""``import retouch`` is quick and light, and its names are all there."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import retouch

_SOURCE = Path(retouch.__file__)
_HEAVY = ("torch", "numpy", "PIL", "cv2", "skimage", "scipy", "tifffile", "imagecodecs", "rich", "tyro")


def _loaded_after(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split("\n")[-2].split())


def test_import_brings_nothing_heavy() -> None:
    assert not {name for name in _loaded_after("import retouch") if name.partition(".")[0] in _HEAVY}


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["denoise", "--help"], ["nlm", "--help"]])
def test_help_needs_no_torch(words: list[str]) -> None:
    loaded = _loaded_after(f"from retouch.app.cli import main\nassert main({words!r}) == 0")
    assert "retouch.tasks.denoise" in loaded
    assert "torch" not in loaded


def test_a_server_and_the_estimates_need_no_torch() -> None:
    statement = (
        "from retouch.app import server\nfrom retouch.app.serving import schemas\nfrom retouch.tasks import TASKS\n"
        "for task in TASKS.values(): schemas.describe_task(task, 'cpu')"
    )
    pytest.importorskip("fastapi", reason="pip install 'retouch[app]'")
    assert "torch" not in _loaded_after(statement)


def test_every_public_name_loads() -> None:
    for name in retouch.__all__:
        assert getattr(retouch, name) is not None
        assert name in dir(retouch)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'denoize'"):
        retouch.denoize  # noqa: B018


def test_names_for_type_checkers_agree_with_those_at_run_time() -> None:
    block = next(node for node in ast.parse(_SOURCE.read_text("utf-8")).body if isinstance(node, ast.If))
    declared: dict[str, str] = {}
    for node in block.body:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                name = alias.asname or alias.name
                declared[name] = f"{node.module}:{alias.name}" if alias.asname else str(node.module)
    assert declared == retouch._HOMES
    assert set(declared) | {"__version__"} == set(retouch.__all__)
