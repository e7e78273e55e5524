"""A file that is there whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from retouch.app.batch import _LEFTOVER
from retouch.image.atomic import replacing


def test_new_and_old(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    for text in ("first", "second"):
        with replacing(target) as partial:
            assert partial.parent == tmp_path
            partial.write_text(text)
            assert not target.exists() or target.read_text() == "first"
        assert target.read_text() == text
        assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, OSError])
def test_what_fails_leaves_the_old_one(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "a.json"
    target.write_text("old")

    def write() -> None:
        with replacing(target) as partial:
            partial.write_text("half")
            raise error

    with pytest.raises(error):
        write()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_nothing_written_and_no_folder_are_os_errors(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "a.json"):
        pass
    with pytest.raises(OSError, match="none"), replacing(tmp_path / "none" / "a.json") as partial:
        partial.write_text("x")
    with pytest.raises(OSError, match="file"), replacing(tmp_path / "file" / "a.json") as partial:
        partial.write_text("x")
    with pytest.raises(OSError), replacing(tmp_path) as partial:  # noqa: PT011  the words are the system's
        partial.write_text("x")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_hidden_name_is_one_that_a_later_run_clears_away(tmp_path: Path) -> None:
    with replacing(tmp_path / "a.json") as partial:
        partial.touch()
        match = _LEFTOVER.fullmatch(partial.name)
        assert match is not None
        assert str(os.getpid()) in match.groups()
