"""Which file becomes which, and what is refused before the work starts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from retouch.app.plan import Plan, make_plan
from retouch.image.errors import OptionError

_READABLE = frozenset({".png", ".jpg", ".jpeg", ".gif"})
_WRITABLE = frozenset({".png", ".jpg", ".jpeg"})


def _plan(*inputs: str | Path, out: str | Path, **options: object) -> Plan:
    return make_plan(
        [str(i) for i in inputs],
        str(out),
        readable=_READABLE,
        writable=_WRITABLE,
        **options,  # type: ignore[arg-type]
    )


def _pairs(plan: Plan, folder: Path) -> dict[str, str]:
    return {str(j.source.relative_to(folder)): str(j.target.relative_to(folder)) for j in plan.jobs}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in (
        "in/b.png", "in/a.jpg", "in/notes.txt", "in/.DS_Store", "in/Thumbs.db", "in/.hidden.png", "in/~$x.png",
        "in/deep/c.png", "in/deep/er/d.jpg", "in/__MACOSX/e.png", "in/x.tmp",
    ):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def test_one_file_to_a_file(tree: Path) -> None:
    plan = _plan(tree / "in/b.png", out=tree / "x.jpg")
    assert _pairs(plan, tree) == {"in/b.png": "x.jpg"}
    assert not plan.many


def test_one_file_into_a_folder(tree: Path) -> None:
    (tree / "out").mkdir()
    assert _pairs(_plan(tree / "in/b.png", out=tree / "out"), tree) == {"in/b.png": "out/b.png"}
    assert _pairs(_plan(tree / "in/b.png", out=f"{tree}/new/"), tree) == {"in/b.png": "new/b.png"}


def test_a_folder_leaves_junk_out_silently_and_counts_the_rest(tree: Path) -> None:
    plan = _plan(tree / "in", out=tree / "out")
    assert _pairs(plan, tree) == {"in/a.jpg": "out/a.jpg", "in/b.png": "out/b.png"}
    assert [job.source.name for job in plan.jobs] == ["a.jpg", "b.png"]
    assert plan.others == 1
    assert plan.failures == []


def test_recursive_keeps_the_tree_and_does_not_enter_the_output(tree: Path) -> None:
    (tree / "in/out").mkdir()
    (tree / "in/out/b.png").touch()
    plan = _plan(tree / "in", out=tree / "in/out", recursive=True)
    assert _pairs(plan, tree) == {
        "in/a.jpg": "in/out/a.jpg",
        "in/b.png": "in/out/b.png",
        "in/deep/c.png": "in/out/deep/c.png",
        "in/deep/er/d.jpg": "in/out/deep/er/d.jpg",
    }


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_a_loop_of_links_ends(tree: Path) -> None:
    (tree / "in/deep/back").symlink_to(tree / "in", target_is_directory=True)
    plan = _plan(tree / "in", out=tree / "out", recursive=True)
    assert sorted(job.source.name for job in plan.jobs) == ["a.jpg", "b.png", "c.png", "d.jpg"]


def test_patterns_are_expanded_in_order(tree: Path) -> None:
    plan = _plan(tree / "in/*", out=tree / "out")
    assert [job.source.name for job in plan.jobs] == ["a.jpg", "b.png", "c.png"]  # a matched folder is entered
    assert plan.others == 1
    everywhere = _plan(tree / "in/**/*.png", out=tree / "out")
    assert _pairs(everywhere, tree) == {"in/b.png": "out/b.png", "in/deep/c.png": "out/deep/c.png"}


def test_a_file_named_with_brackets_is_itself(tree: Path) -> None:
    (tree / "in/photo[1].png").touch()
    assert len(_plan(tree / "in/photo[1].png", out=tree / "x.png").jobs) == 1


def test_a_file_named_twice_is_done_once(tree: Path) -> None:
    plan = _plan(tree / "in/b.png", tree / "in/deep/../b.png", tree / "in", out=tree / "out")
    assert [job.source.name for job in plan.jobs] == ["b.png", "a.jpg"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [("in/none.png", "no such file"), ("in/*.tif", "no file fits"), ("in/deep/er/empty", "no picture in this folder")],
)
def test_what_is_missing_is_noted_and_the_others_go_on(tree: Path, name: str, reason: str) -> None:
    (tree / "in/deep/er/empty").mkdir()
    plan = _plan(tree / name, tree / "in/b.png", out=tree / "out")
    assert len(plan.jobs) == 1
    assert plan.failures[0][0] == str(tree / name)
    assert reason in plan.failures[0][1]


def test_format_renames_and_keeps_endings_that_agree(tree: Path) -> None:
    (tree / "in/z.jpeg").touch()
    plan = _plan(tree / "in", out=tree / "out", ending=".jpg", same_endings=[".jpg", ".jpeg"])
    assert [job.target.name for job in plan.jobs] == ["a.jpg", "b.jpg", "z.jpeg"]


def test_a_format_that_is_only_read_becomes_png(tree: Path) -> None:
    (tree / "in/m.gif").touch()
    assert _plan(tree / "in/m.gif", out=f"{tree}/out/").jobs[0].target.name == "m.png"


def test_skip_existing_leaves_out_what_is_there(tree: Path) -> None:
    (tree / "out").mkdir()
    (tree / "out/a.jpg").touch()
    plan = _plan(tree / "in", out=tree / "out", skip_existing=True)
    assert [job.target.name for job in plan.jobs] == ["b.png"]
    assert plan.finished == 1


@pytest.mark.parametrize(
    ("inputs", "out", "options", "reason"),
    [
        (["in/a.jpg", "in/a.png"], "out", {"ending": ".png", "same_endings": [".png"]}, "would both be written to"),
        (["in/deep/c.png", "c.png"], "out", {}, "would both be written to"),
        (["in/b.png"], "in/b.png", {}, "is an input"),
        (["in/b.png"], "in/deep/../b.png", {}, "is an input"),
        (["in"], "in", {}, "is an input"),
        (["in/a.jpg", "in/b.png"], "x.png", {}, "must be a folder"),
        (["in"], "in/a.jpg", {}, "must be a folder, and it is a file"),
        (["in/b.png"], "x", {}, "needs an ending"),
        (["in/b.png"], "x.gif", {}, "needs an ending"),
        (["in/b.png"], "x.jpg", {"ending": ".png", "same_endings": [".png"]}, "contradicts --format"),
    ],
)
def test_calls_that_cannot_be_right(
    tree: Path, inputs: list[str], out: str, options: dict[str, object], reason: str
) -> None:
    (tree / "in/a.png").touch()
    (tree / "c.png").touch()
    with pytest.raises(OptionError, match=reason):
        _plan(*(tree / name for name in inputs), out=tree / out, **options)


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
@pytest.mark.parametrize("kind", ["hard", "symbolic"])
def test_a_link_to_an_input_is_that_input(tree: Path, kind: str) -> None:
    link = tree / "other.png"
    if kind == "hard":
        link.hardlink_to(tree / "in/b.png")
    else:
        link.symlink_to(tree / "in/b.png")
    with pytest.raises(OptionError, match="is an input"):
        _plan(tree / "in/b.png", out=link)


def test_a_guarded_file_is_not_written_over(tree: Path) -> None:
    with pytest.raises(OptionError, match="is an input"):
        _plan(tree / "in/b.png", out=tree / "in/a.jpg", guarded=[tree / "in/a.jpg"])


@pytest.mark.skipif(os.name == "nt", reason="there are no pipes in folders there")
def test_a_pipe_is_no_file(tree: Path) -> None:
    os.mkfifo(tree / "pipe.png")
    assert _plan(tree / "pipe.png", out=tree / "x.png").failures == [(str(tree / "pipe.png"), "not a regular file")]
