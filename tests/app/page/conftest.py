"""A running server and a browser: what the tests of the page share. Skipped where Chromium or Playwright is absent."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import PIL.Image
import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = Path(os.environ.get("RETOUCH_CHROMIUM", "/usr/bin/chromium"))
PATIENCE = 180.0
"""Seconds that a test waits for what comes sooner or later; a busy machine is no failure."""

_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def server_address() -> Iterator[str]:
    """The address of ``retouch serve`` in a process of its own, on a free port."""
    for needed in ("fastapi", "uvicorn", "python_multipart"):
        pytest.importorskip(needed, reason=f"no {needed}: pip install 'retouch[app]'")
    command = [sys.executable, "-m", "retouch", "serve", "--port", "0"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    lines: list[str] = []
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, encoding="utf-8"
    )
    pipe = process.stdout
    assert pipe is not None
    threading.Thread(target=lambda: lines.extend(iter(pipe.readline, "")), daemon=True).start()
    try:
        yield _address(process, lines)
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        pipe.close()


def _address(process: subprocess.Popen[str], lines: list[str]) -> str:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and process.poll() is None:
        found = re.search(r"http://127\.0\.0\.1:\d+", "".join(lines))
        if found and "listening" in "".join(lines):
            return found[0]
        time.sleep(0.05)
    raise AssertionError(f"the server did not start: {''.join(lines)}")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium, driven by Playwright."""
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright: pip install playwright")
    if not CHROMIUM.exists():
        pytest.skip(f"no Chromium at {CHROMIUM}: apt install chromium, or set RETOUCH_CHROMIUM")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=str(CHROMIUM), args=_FLAGS, timeout=PATIENCE * 1000)
        yield chromium
        chromium.close()


class Retouch:
    """The page in a tab, and what a person does with it."""

    def __init__(self, page: Page, address: str) -> None:
        self.page, self.address = page, address
        self.troubles: list[str] = []
        page.on("pageerror", lambda error: self.troubles.append(str(error)))
        page.on("console", lambda message: self.troubles.append(message.text) if message.type == "error" else None)
        page.set_default_timeout(PATIENCE * 1000)

    def open(self, *files: Path, task: str | None = None) -> Retouch:
        """Load the page, open files, choose a task by its name."""
        self.page.goto(self.address)
        self.page.wait_for_selector("body.ready")
        if task is not None:
            self.choose_task(task)
        if files:
            self.page.set_input_files("#file", [str(file) for file in files])
            self.until("(await import('/page/state.js')).state.current?.layer && "
                       "(await import('/page/state.js')).state.pictures.every(each => each.remote)")  # fmt: skip
        return self

    def until(self, condition: str, seconds: float = PATIENCE) -> Any:
        """Wait until an expression is true in the page; the page's policy forbids Playwright's own way to."""
        end = time.monotonic() + seconds
        while True:
            value = self.page.evaluate(f"async () => {condition}")
            if value:
                return value
            if time.monotonic() > end:
                raise AssertionError(f"not within {seconds:g} s: {condition}; {self.troubles}")
            self.page.wait_for_timeout(40)

    def state(self, expression: str) -> Any:
        """An expression over the page's ``state``."""
        return self.page.evaluate(
            f"async () => {{ const {{state}} = await import('/page/state.js'); return {expression} }}"
        )

    def choose_task(self, name: str) -> None:
        """Take a card of the list of tasks."""
        index = self.state(f"state.tasks.findIndex(task => task.name === '{name}')")
        if not self.page.locator("#tasks").evaluate("list => list.open"):
            self.page.click("#tasks summary")
        self.page.locator("#task-cards .card").nth(index).click()

    def choose_method(self, title: str) -> None:
        """Take a card of the list of methods, by its title."""
        self.page.click("#methods summary")
        self.page.locator("#method-cards .card", has=self.page.get_by_text(title, exact=True)).click()

    def point(self, x: float, y: float) -> tuple[float, float]:
        """Where a point of the picture, in parts of its sides, lies in the window."""
        found = self.page.evaluate(
            """async ([x, y]) => {
              const { view } = await import('/page/stage.js');
              const box = document.getElementById('stage').getBoundingClientRect();
              return [box.left + view.x + x * view.width * view.zoom, box.top + view.y + y * view.height * view.zoom];
            }""",
            [x, y],
        )
        return found[0], found[1]

    def stroke(self, *points: tuple[float, float]) -> None:
        """Draw with the tool in hand through points of the picture, in parts of its sides."""
        places = [self.point(*point) for point in points]
        self.page.mouse.move(*places[0])
        self.page.mouse.down()
        for place in places[1:]:
            self.page.mouse.move(*place, steps=6)
        self.page.mouse.up()

    def run(self) -> None:
        """Press Run, and wait until a further result is shown."""
        before = self.state("state.current.results.length")
        self.page.click("#run")
        self.until(f"(await import('/page/state.js')).state.current.results.length > {before} && "
                   "(await import('/page/state.js')).state.current.run.state === 'ended'")  # fmt: skip

    def save(self, button: str = "#save") -> tuple[str, bytes]:
        """Press a button that saves: the file's name and its bytes."""
        with self.page.expect_download() as saved:
            self.page.click(button)
        return saved.value.suggested_filename, Path(saved.value.path()).read_bytes()

    def notice(self) -> str:
        """The text of the notice that is shown last, waited for."""
        self.page.wait_for_selector(".notice p")
        return self.page.locator(".notice p").last.inner_text()


@pytest.fixture
def open_tab(browser: Browser, server_address: str) -> Iterator[Callable[..., Retouch]]:
    """Opens tabs, each with a fresh profile, by default in an English desktop window; fails if their scripts did."""
    tabs: list[Retouch] = []

    def made(**options: Any) -> Retouch:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, "locale": "en-GB"} | options)
        tabs.append(Retouch(context.new_page(), server_address))
        return tabs[-1]

    yield made
    for tab in tabs:
        tab.page.context.close()
    # that a request was refused, which tests provoke, is an error to the console as well
    assert not [words for tab in tabs for words in tab.troubles if "Failed to load resource" not in words]


@pytest.fixture
def retouch(open_tab: Callable[..., Retouch]) -> Retouch:
    """The page in an English desktop window."""
    return open_tab()


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A PNG of 160x120, smooth with some grain."""
    generator = np.random.default_rng(0)
    coarse = PIL.Image.fromarray(generator.integers(40, 215, (4, 5, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((160, 120), PIL.Image.Resampling.BICUBIC)).astype(int)
    values = (smooth + generator.integers(-9, 10, smooth.shape)).clip(0, 255).astype(np.uint8)
    PIL.Image.fromarray(values).save(tmp_path / "small.png")
    return tmp_path / "small.png"
