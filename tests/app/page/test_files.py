"""The page's files by themselves: what needs no browser."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

import pytest

from retouch.tasks import TASKS
from retouch.tasks.base import fields_of

PAGE = Path(str(resources.files("retouch.app") / "page"))
SCRIPTS = sorted(PAGE.glob("*.js"))
HTML = (PAGE / "index.html").read_text("utf-8")


def words(*names: str) -> dict[str, str]:
    """The entries of dictionaries, of the lines ``"key": "words",``."""
    entries: dict[str, str] = {}
    for name in names:
        text = (PAGE / f"{name}.js").read_text("utf-8")
        found = re.findall(r'^  "([^"]+)": "(.*)",$', text, re.MULTILINE)
        assert len(found) == len(re.findall(r'^  "', text, re.MULTILINE)), f"{name}.js: a line of another form"
        assert len(dict(found)) == len(found), f"{name}.js: a key twice"
        entries |= dict(found)
    return entries


ENGLISH, CHINESE = words("words-en", "tasks-en"), words("words-zh", "tasks-zh")


def test_both_languages_have_the_same_keys() -> None:
    assert ENGLISH.keys() == CHINESE.keys()


def test_both_languages_fill_in_the_same_values() -> None:
    for key, text in ENGLISH.items():
        assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", CHINESE[key])), key
        assert bool(text) == bool(CHINESE[key]), key


def test_the_chinese_is_chinese() -> None:
    names = ("method.", "choice.", "pasted", "language.", "keys.pixels")
    for key, text in CHINESE.items():
        assert not text or key.startswith(names) or re.search("[\u4e00-\u9fff]", text), f"{key}: {text}"


def test_every_word_that_is_asked_for_is_there() -> None:
    asked = set(re.findall(r'data-say(?:-label)?="([^"]+)"', HTML))
    for script in SCRIPTS:
        asked |= set(re.findall(r'\bsay\("([^"$]+)"', script.read_text("utf-8")))
    asked |= set(re.findall(r'"(keys\.\w+)"', (PAGE / "keys.js").read_text("utf-8")))
    assert len(asked) > 100
    assert asked <= ENGLISH.keys()


def test_no_word_is_there_in_vain() -> None:
    text = HTML + "".join(script.read_text("utf-8") for script in SCRIPTS if not re.match("words-|tasks-", script.name))
    begun = {"task", "about", "method", "for", "option", "help", "choice", "theme"}  # whose keys are put together
    for key in ENGLISH:
        assert key.split(".")[0] in begun or f'"{key}"' in text or key in ("mask.hand", "mask.brush", "mask.eraser"), (
            key
        )


def test_the_words_about_tasks_are_about_tasks() -> None:
    methods = {method.name for task in TASKS.values() for method in task.methods}
    for key in ENGLISH:
        head, *rest = key.split(".")
        if head in ("task", "about"):
            assert rest[0] in TASKS, key
        elif head == "for":
            assert rest[1] in {method.name for method in TASKS[rest[0]].methods}, key
        elif head == "method" and rest[0] != "auto":
            assert rest[0] in methods, key
        elif head in ("option", "help"):
            named = [TASKS[rest[0]]] if len(rest) == 2 else TASKS.values()
            assert any(rest[-1] in fields_of(task.options) for task in named), key


@pytest.mark.parametrize("file", sorted(PAGE.iterdir()), ids=lambda file: file.name)
def test_nothing_comes_from_elsewhere(file: Path) -> None:
    text = file.read_text("utf-8")
    addresses = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"')]*", text))
    assert {address for address in addresses if "www.w3.org" not in address} == set()
    assert len(text.splitlines()) < 500


def test_the_policy_can_hold() -> None:
    """No script, style or handler stands in the HTML, and none is made out of strings."""
    assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son\w+=", HTML)
    for script in SCRIPTS:
        text = script.read_text("utf-8")
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text), (
            script.name
        )


def test_scripts_and_html_agree() -> None:
    """Elements that scripts look for are there, once; so are the drawings and the files that are named."""
    ids = re.findall(r'\bid="([^"]+)"', HTML)
    assert len(set(ids)) == len(ids)
    drawn = set(re.findall(r'^  "?([\w-]+)"?: "M', (PAGE / "dom.js").read_text("utf-8"), re.MULTILINE))
    assert set(re.findall(r'data-icon="([^"]+)"', HTML)) <= drawn
    for script in SCRIPTS:
        text = script.read_text("utf-8")
        assert set(re.findall(r'byId\("([^"]+)"\)', text)) <= set(ids), script.name
        assert set(re.findall(r'\bicon\("([^"]+)"\)', text)) <= drawn, script.name
        assert {name for name in re.findall(r'from "\./([^"]+)"', text) if not (PAGE / name).exists()} == set()
    for name in re.findall(r'(?:href|src)="/page/([^"]+)"', HTML):
        assert (PAGE / name).exists(), name


def test_whatever_can_be_pressed_has_a_name() -> None:
    for tag in re.findall(r"<(?:button|input|select|canvas)\b[^>]*>", HTML):
        if "hidden" in tag and 'type="file"' in tag:
            continue
        inside = HTML.split(tag, 1)[1].split("</button>", 1)[0]
        set_by_script = re.search(r'id="(theme|run-all|sheet-toggle)"', tag)
        assert "data-say-label" in tag or "data-say=" in tag + inside or set_by_script, tag
