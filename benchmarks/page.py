"""How soon a photograph of 24 megapixels is seen in the page, how fluid the brush is on it, and the memory it takes.

    retouch serve & python benchmarks/page.py --address http://127.0.0.1:8765

Needs Playwright and Chromium. The times are those of the machine as it is: frames come 60 times a second at the most,
so 16.7 ms a frame is as fluid as it can be. Memory is what the tab's process holds in RAM, on Linux.
"""

from __future__ import annotations

import argparse
import io
import statistics
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import PIL.Image

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
SEEN = """() => {
  const input = document.getElementById('file');
  input.addEventListener('change', () => {
    const began = performance.now(), small = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
    const look = () => {
      const canvas = document.getElementById('canvas');
      small.drawImage(canvas, canvas.width / 2, canvas.height / 2, 1, 1, 0, 0, 1, 1);
      if (small.getImageData(0, 0, 1, 1).data[3]) window.seenAfter = performance.now() - began;
      else requestAnimationFrame(look);
    };
    look();
  }, { capture: true });
}"""
FRAMES = """() => {
  window.frames_ = [];
  let last = performance.now();
  const frame = now => {
    window.frames_.push(now - last);
    last = now;
    if (window.frames_) requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
}"""


def photograph(width: int, height: int) -> bytes:
    """A JPEG with detail everywhere, about as large as a camera's."""
    generator = np.random.default_rng(0)
    coarse = PIL.Image.fromarray(generator.integers(0, 256, (height // 40, width // 40, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), PIL.Image.Resampling.BICUBIC)).astype(np.int16)
    smooth += generator.integers(-12, 13, smooth.shape, dtype=np.int16)
    file = io.BytesIO()
    PIL.Image.fromarray(smooth.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
    return file.getvalue()


def memory(browser: Browser) -> float:
    """MB that the largest of the browser's renderers holds."""
    told = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
    sizes = [0.0]
    for process in told:
        status = Path(f"/proc/{process['id']}/status")
        if process["type"] == "renderer" and status.exists():
            line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
            sizes.append(int(line.split()[1]) / 1024)
    return max(sizes)


def frames_while(page: Page, work: Any) -> list[float]:
    """Milliseconds between the frames while ``work`` is done."""
    page.evaluate(FRAMES)
    work()
    found: list[float] = page.evaluate(
        "() => { const all = window.frames_; window.frames_ = null; return all.slice(1); }"
    )
    return found


def brush(page: Page, moves: int = 120) -> None:
    """One stroke to and fro over the middle of the stage, an event every few milliseconds."""
    box = page.locator("#canvas").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 3, box["y"] + box["height"] / 3
    page.mouse.move(x, y)
    page.mouse.down()
    for index in range(moves):
        page.mouse.move(x + 5 * index % (box["width"] / 3), y + 7 * index % (box["height"] / 3))
    page.mouse.up()


def wheel(page: Page) -> None:
    """In and out again at the pointer."""
    for index in range(40):
        page.mouse.wheel(0, -40 if index < 25 else 60)


def told(name: str, frames: list[float]) -> str:
    """One line about frames."""
    ordered = sorted(frames)
    late = ordered[int(0.95 * len(ordered))]
    return (
        f"{name}: median {statistics.median(ordered):.1f} ms a frame, 95 % within {late:.1f}, worst {ordered[-1]:.0f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--address", default="http://127.0.0.1:8765")
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("--width", type=int, default=6000)
    parser.add_argument("--height", type=int, default=4000)
    arguments = parser.parse_args()
    from playwright.sync_api import sync_playwright

    with TemporaryDirectory() as folder, sync_playwright() as driver:
        file = Path(folder, "photograph.jpg")
        file.write_bytes(photograph(arguments.width, arguments.height))
        browser = driver.chromium.launch(executable_path=arguments.chromium, args=FLAGS)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.goto(arguments.address)
        page.wait_for_selector("body.ready")
        inpaint = page.evaluate(
            "import('/page/state.js').then(({ state }) => state.tasks.findIndex(task => task.mask === 'required'))"
        )
        if not page.locator("#tasks").evaluate("list => list.open"):
            page.click("#tasks summary")
        page.locator("#task-cards .card").nth(inpaint).click()
        print(f"memory before: {memory(browser):.0f} MB")
        page.evaluate(SEEN)
        page.set_input_files("#file", str(file))
        while not (seen := page.evaluate("window.seenAfter")):
            page.wait_for_timeout(20)
        size = f"{arguments.width}x{arguments.height}, {file.stat().st_size / 1e6:.1f} MB"
        print(f"a photograph of {size}: seen after {seen / 1000:.2f} s")
        page.wait_for_timeout(3000)
        print(f"memory with it open: {memory(browser):.0f} MB")
        print(told("brush, all of it in view", frames_while(page, lambda: brush(page))))
        page.keyboard.press("1")
        print(told("brush, at 100 %", frames_while(page, lambda: brush(page))))
        page.keyboard.press("0")
        print(told("zoom with the wheel", frames_while(page, lambda: wheel(page))))
        print(f"memory after painting: {memory(browser):.0f} MB")
        browser.close()


if __name__ == "__main__":
    main()
