"""Keyboard, screen readers, touch, languages, light and dark."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

NAMELESS = """() => [...document.querySelectorAll('button, input, select, summary, canvas, nav, [role]')]
  .filter(each => each.checkVisibility({ visibilityProperty: true }) && !['status', 'alert'].includes(each.role))
  .filter(each => !(each.getAttribute('aria-label') || each.innerText?.trim() || each.labels?.length))
  .map(each => each.outerHTML.slice(0, 160))"""
FOCUSED = "(each => each.id || each.className || each.tagName)(document.activeElement)"
UNSAID = """() => [...document.querySelectorAll('[data-say], [data-say-label]')]
  .filter(each => (each.dataset.say && !each.textContent) || (each.dataset.sayLabel && !each.title)
                  || (each.dataset.say === each.textContent && each.dataset.say.includes('.')))
  .map(each => each.outerHTML.slice(0, 160))"""


@pytest.fixture
def done(retouch: Any, small: Path) -> Any:
    """The page with a mask and a result in it."""
    retouch.open(small, task="inpaint")
    retouch.choose_method("Fast marching")
    retouch.stroke((0.3, 0.4), (0.6, 0.5))
    retouch.run()
    return retouch


@pytest.mark.parametrize("locale", ["en-GB", "zh-CN"])
def test_whatever_can_be_used_has_a_name(open_tab: Callable[..., Any], small: Path, locale: str) -> None:
    retouch = open_tab(locale=locale)
    retouch.open(small, small)
    assert retouch.page.get_attribute("html", "lang") == ("en" if locale == "en-GB" else "zh-Hans")
    for index in range(retouch.state("state.tasks.length")):
        retouch.choose_task(retouch.state(f"state.tasks[{index}].name"))
        if not retouch.page.locator("#more").evaluate("list => list.open"):
            retouch.page.click("#more summary")
        assert retouch.page.evaluate(NAMELESS) == []
        assert retouch.page.evaluate(UNSAID) == []


def test_the_language_is_switched_and_kept(retouch: Any, small: Path) -> None:
    retouch.open(small)
    assert retouch.page.inner_text("#run") == "Run"
    retouch.page.click("#language")
    assert retouch.page.inner_text("#run") == "开始"
    assert retouch.page.locator("#task-cards .card strong").first.inner_text() == "综合修复"
    retouch.open()
    assert retouch.page.inner_text("#run") == "开始"


def test_light_and_dark_follow_the_system_or_the_person(open_tab: Callable[..., Any]) -> None:
    retouch = open_tab(color_scheme="dark")
    retouch.open()
    background = "getComputedStyle(document.body).backgroundColor"
    dark = retouch.page.evaluate(background)
    retouch.page.click("#theme")
    light = retouch.page.evaluate(background)
    assert sum(map(int, dark[4:-1].split(","))) < 150 < 600 < sum(map(int, light[4:-1].split(",")))
    retouch.open()
    assert retouch.page.evaluate(background) == light
    retouch.page.click("#theme")
    assert retouch.page.evaluate(background) == dark


def test_every_control_is_reached_with_the_tab_key(done: Any) -> None:
    done.page.locator("#open").focus()
    reached = []
    for _ in range(80):
        reached.append(
            done.page.evaluate(
                "document.activeElement.id || document.activeElement.className || document.activeElement.tagName"
            )
        )
        # it goes on from the stage as well, where holding it shows the original
        done.page.keyboard.press("Tab")
        if reached.count(reached[0]) > 1 or reached[-1] == "BODY":
            break
    header = ["open", "language", "theme", "help", "panel-toggle"]
    mask = ["tool-brush", "tool-eraser", "brush-size", "mask-undo", "mask-open", "mask-save"]
    stage = ["canvas", "divider", "peek", "zoom-in", "zoom-fit"]
    rest = ["save", "copy", "go-on", "remove", "thumb", "close", "add", "thumb titled", "SUMMARY", "run"]
    assert {*header, *mask, *stage, *rest} - set(reached) == set()


def test_holding_tab_shows_the_original(done: Any) -> None:
    done.page.locator("#canvas").focus()
    assert done.page.is_visible("#divider")
    done.page.keyboard.down("Tab")
    done.until("(await import('/page/state.js')).state.peeking")
    done.until("document.getElementById('divider').hidden")
    done.page.wait_for_timeout(300)
    done.page.keyboard.up("Tab")
    done.until("!document.getElementById('divider').hidden")
    assert done.page.evaluate("document.activeElement.id") == "canvas"


def test_the_divider_is_moved_with_the_arrow_keys(done: Any) -> None:
    divider = done.page.locator("#divider")
    divider.focus()
    for key, low, high in (("Home", 0, 0), ("ArrowRight", 1, 3), ("PageUp", 11, 13), ("End", 100, 100)):
        done.page.keyboard.press(key)
        done.page.wait_for_timeout(100)
        assert low <= int(divider.get_attribute("aria-valuenow")) <= high, key


def test_hot_keys(done: Any) -> None:
    page = done.page
    choosers: list[Any] = []
    page.on("filechooser", lambda chooser: choosers.append(chooser))
    page.locator("#canvas").focus()
    for key, tool in (("b", "brush"), ("e", "eraser"), ("h", "hand")):
        page.keyboard.press(key)
        assert done.state("state.tool") == tool
    size = done.state("state.brush")
    page.keyboard.press("]")
    assert done.state("state.brush") > size
    page.keyboard.press("[")
    page.keyboard.press("[")
    assert done.state("state.brush") < size
    zoom = "(await import('/page/stage.js')).view.zoom"
    page.keyboard.press("1")
    assert done.page.evaluate(f"async () => {zoom}") == pytest.approx(1)
    page.keyboard.press("+")
    assert done.page.evaluate(f"async () => {zoom}") == pytest.approx(1.25)
    page.keyboard.press("0")
    assert done.page.evaluate("async () => (await import('/page/stage.js')).view.fitted")
    seen = done.state("state.maskVisible")
    page.keyboard.press("m")
    assert done.state("state.maskVisible") != seen
    page.keyboard.press("s")
    assert page.is_hidden("#panel")
    page.keyboard.press("s")
    assert page.is_visible("#panel")
    page.keyboard.press("?")
    assert page.is_visible("#help-dialog")
    page.keyboard.press("Escape")
    assert page.is_hidden("#help-dialog")
    page.keyboard.press("f")
    while not choosers:
        page.wait_for_timeout(50)
    with page.expect_download():
        page.keyboard.press("Control+s")
    page.keyboard.press("Shift+R")
    done.until("(await import('/page/state.js')).state.current.results.length === 2")


def test_letters_are_letters_in_a_field(done: Any) -> None:
    done.choose_task("deblur")
    done.page.locator("#option-kernel").focus()
    done.page.keyboard.type("bs[1")
    assert done.page.input_value("#option-kernel") == "bs[1"
    assert done.page.is_visible("#panel")


def test_space_pans_while_the_brush_is_in_hand(done: Any) -> None:
    page = done.page
    page.locator("#canvas").focus()
    page.keyboard.press("b")
    for _ in range(12):
        page.keyboard.press("+")
    marked = done.state("state.current.mask.marked")
    place = "async () => (await import('/page/stage.js')).view.x"
    before = page.evaluate(place)
    page.keyboard.down("Space")
    page.mouse.move(500, 400)
    page.mouse.down()
    page.mouse.move(560, 430, steps=4)
    page.mouse.up()
    page.keyboard.up("Space")
    assert page.evaluate(place) == pytest.approx(before + 60)
    assert done.state("state.current.mask.marked") == marked


def test_shift_draws_a_straight_line(done: Any) -> None:
    done.page.click("#tool-brush")
    done.page.click("#mask-clear")
    done.stroke((0.2, 0.2), (0.2, 0.2))
    dot = done.state("state.current.mask.marked")
    done.page.keyboard.down("Shift")
    done.stroke((0.8, 0.8), (0.8, 0.8))
    done.page.keyboard.up("Shift")
    assert done.state("state.current.mask.marked") > 8 * dot


def test_the_wheel_zooms_at_the_pointer(done: Any) -> None:
    x, y = done.point(0.25, 0.75)
    done.page.mouse.move(x, y)
    done.page.mouse.wheel(0, -400)
    done.until("!(await import('/page/stage.js')).view.fitted")
    assert done.point(0.25, 0.75) == pytest.approx((x, y), abs=1)


def test_it_is_usable_at_the_width_of_a_phone(open_tab: Callable[..., Any], small: Path) -> None:
    retouch = open_tab(viewport={"width": 390, "height": 844}, device_scale_factor=2, has_touch=True, is_mobile=True)
    retouch.open()
    assert retouch.page.evaluate("document.documentElement.scrollWidth") == 390
    retouch.page.set_input_files("#file", str(small))
    retouch.until("(await import('/page/state.js')).state.current?.remote")
    retouch.page.tap("#sheet-toggle")
    retouch.choose_task("inpaint")
    retouch.choose_method("Fast marching")
    retouch.page.tap("#sheet-toggle")
    assert retouch.page.is_hidden("#panel-body")
    x, y = retouch.point(0.5, 0.5)
    retouch.page.touchscreen.tap(x, y)
    assert retouch.state("state.current.mask.marked") > 0
    retouch.run()
    for button in ("#save", "#run", "#go-on"):
        box = retouch.page.locator(button).bounding_box()
        assert box is not None
        assert 0 <= box["x"] < box["x"] + box["width"] <= 390
    assert retouch.page.evaluate("document.documentElement.scrollWidth") == 390


def test_two_fingers_zoom_and_paint_nothing(open_tab: Callable[..., Any], small: Path) -> None:
    retouch = open_tab(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    retouch.open(small)
    retouch.page.tap("#sheet-toggle")
    retouch.choose_task("inpaint")
    retouch.page.tap("#sheet-toggle")
    (x, y), zoom = retouch.point(0.5, 0.5), "async () => (await import('/page/stage.js')).view.zoom"
    before = retouch.page.evaluate(zoom)
    fingers = retouch.page.context.new_cdp_session(retouch.page)
    for kind, apart in (
        ("touchStart", 0),
        ("touchStart", 20),
        ("touchMove", 40),
        ("touchMove", 60),
        ("touchEnd", None),
    ):
        points = [] if apart is None else [{"x": x - apart, "y": y, "id": 0}]
        if apart:
            points.append({"x": x + apart, "y": y, "id": 1})
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    assert retouch.page.evaluate(zoom) > 1.5 * before
    assert retouch.state("state.current.mask?.marked ?? 0") == 0
