"""The page as a person uses it, in Chromium, with a server behind it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import PIL.ExifTags
import PIL.Image
import PIL.ImageOps
import pytest

from retouch.image.files import open_image

CAMERA = "Retouch Test Camera"
TIMES = "\N{MULTIPLICATION SIGN}"


def picture(seed: int = 0, width: int = 160, height: int = 120) -> PIL.Image.Image:
    """Smooth colours with some grain."""
    generator = np.random.default_rng(seed)
    coarse = PIL.Image.fromarray(generator.integers(40, 215, (4, 5, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), PIL.Image.Resampling.BICUBIC)).astype(int)
    return PIL.Image.fromarray((smooth + generator.integers(-9, 10, smooth.shape)).clip(0, 255).astype(np.uint8))


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A photograph of 12 megapixels that lies on its side: EXIF orientation 6."""
    base = picture(7, 4000, 3000)
    exif = base.getexif()
    exif[PIL.ExifTags.Base.Orientation] = 6
    exif[PIL.ExifTags.Base.Make] = CAMERA
    base.save(tmp_path / "on its side.jpg", quality=92, exif=exif)
    return tmp_path / "on its side.jpg"


def pixels(data: bytes) -> np.ndarray[Any, Any]:
    with PIL.Image.open(io.BytesIO(data)) as opened:
        return np.asarray(PIL.ImageOps.exif_transpose(opened)).astype(int)


def test_a_photograph_is_mended_from_opening_to_saving(retouch: Any, large: Path, tmp_path: Path) -> None:
    """12 megapixels on their side: paint, run, see it form, compare, save; nothing but what was painted is changed."""
    previews: list[str] = []

    def count(answer: Any) -> None:
        if "/jobs/" in answer.url and "/preview" in answer.url and answer.ok:
            previews.append(answer.url)

    retouch.page.on("response", count)
    retouch.open(large, task="inpaint")
    assert retouch.state("[state.current.width, state.current.height]") == [3000, 4000]
    assert f"3000 {TIMES} 4000" in retouch.page.inner_text("#name")
    retouch.page.evaluate("import('/page/state.js').then(({state, changed}) => { state.brush = 24; changed('tool'); })")
    retouch.stroke((0.5, 0.5), (0.51, 0.505))
    assert 500 < retouch.state("state.current.mask.marked") < 5000
    retouch.choose_method("Deep Image Prior")
    retouch.page.select_option("#option-effort", label="quick")
    retouch.page.click("#run")
    retouch.page.wait_for_selector("#cancel")
    retouch.until("(await import('/page/stage.js')).afterLayer() !== null")
    while len(previews) < 3:
        retouch.page.wait_for_timeout(100)
        assert retouch.state("state.current.run.state !== 'ended'") or len(previews) >= 3
    assert retouch.page.get_attribute("#bar", "role") == "progressbar"
    assert "left" in retouch.page.inner_text("#standing")
    retouch.page.click("#cancel")  # the best so far stays
    retouch.until("(await import('/page/state.js')).state.current.results.length === 1")
    assert "stopped early" in retouch.page.inner_text("#deeds")

    divider = retouch.page.locator("#divider")
    before = int(divider.get_attribute("aria-valuenow") or 0)
    box = divider.bounding_box()
    retouch.page.mouse.move(box["x"] + 22, box["y"] + box["height"] / 2)
    retouch.page.mouse.down()
    retouch.page.mouse.move(box["x"] - 80, box["y"] + box["height"] / 2, steps=4)
    retouch.page.mouse.up()
    assert int(divider.get_attribute("aria-valuenow") or 0) < before - 10

    mask = pixels(retouch.save("#mask-save")[1]) > 0
    name, data = retouch.save()
    assert name.endswith((".jpg", ".jpeg"))
    with PIL.Image.open(io.BytesIO(data)) as saved:
        assert saved.format == "JPEG"
        assert saved.size == (3000, 4000)
        assert saved.getexif().get(PIL.ExifTags.Base.Orientation, 1) == 1
        assert saved.getexif()[PIL.ExifTags.Base.Make] == CAMERA
    # JPEG is never quite what it was: what counts is what writing the same picture untouched would have made of it
    open_image(large).save(tmp_path / "untouched.jpg")
    change = np.abs(pixels(data) - pixels((tmp_path / "untouched.jpg").read_bytes())).max(-1)
    assert change[mask].max() > 8
    rows, columns = np.nonzero(mask)
    away = np.ones(mask.shape, bool)
    away[rows.min() - 16 : rows.max() + 17, columns.min() - 16 : columns.max() + 17] = False  # blocks that it touches
    assert change[away].max() == 0


def test_an_opened_mask_does_what_the_painted_one_did(retouch: Any, small: Path, tmp_path: Path) -> None:
    retouch.open(small, task="inpaint")
    retouch.choose_method("Fast marching")
    retouch.stroke((0.3, 0.4), (0.6, 0.5), (0.4, 0.7))
    retouch.run()
    painted = retouch.save()[1]
    _, mask = retouch.save("#mask-save")
    (tmp_path / "mask.png").write_bytes(mask)
    retouch.page.click("#mask-clear")
    assert retouch.state("state.current.mask.empty")
    retouch.page.set_input_files("#mask-file", str(tmp_path / "mask.png"))
    retouch.until("!(await import('/page/state.js')).state.current.mask.empty")
    retouch.run()
    assert pixels(retouch.save()[1]).tolist() == pixels(painted).tolist()
    marked = pixels(mask) > 0
    changed = np.abs(pixels(painted) - pixels(small.read_bytes())).max(-1) > 0
    assert changed[marked].any()
    assert not changed[~marked].any()


def test_a_mask_outlives_a_run_and_can_be_edited_again(retouch: Any, small: Path) -> None:
    retouch.open(small, task="inpaint")
    retouch.choose_method("Fast marching")
    retouch.page.click("#run")
    assert "paint" in retouch.notice()  # nothing is marked yet
    retouch.stroke((0.2, 0.2), (0.5, 0.2))
    once = retouch.state("state.current.mask.marked")
    retouch.run()
    assert retouch.page.get_attribute("#tool-hand", "aria-pressed") == "true"
    assert retouch.state("state.current.mask.marked") == once
    retouch.page.click("#tool-brush")
    assert retouch.state("state.maskVisible")
    retouch.stroke((0.2, 0.8), (0.5, 0.8))
    assert retouch.state("state.current.mask.marked") > once
    retouch.page.click("#tool-eraser")
    retouch.stroke((0.3, 0.1), (0.3, 0.3))
    erased = retouch.state("state.current.mask.marked")
    retouch.page.keyboard.press("Control+z")
    retouch.page.keyboard.press("Control+z")
    assert retouch.state("state.current.mask.marked") == once
    retouch.page.keyboard.press("Control+Shift+z")
    retouch.page.keyboard.press("Control+y")
    assert retouch.state("state.current.mask.marked") == erased


def test_a_mask_is_reused_on_a_picture_of_the_same_size_only(retouch: Any, tmp_path: Path) -> None:
    files = []
    for index, (width, height) in enumerate([(160, 120), (160, 120), (161, 120)]):
        files.append(tmp_path / f"{index}.png")
        picture(index, width, height).save(files[-1])
    retouch.open(*files, task="inpaint")
    retouch.stroke((0.2, 0.2), (0.7, 0.6))
    marked = retouch.state("state.current.mask.marked")
    assert retouch.page.is_disabled("#mask-reuse")  # it is its own
    retouch.page.locator("#pictures .thumb").nth(1).click()
    retouch.page.click("#mask-reuse")
    assert retouch.state("state.current.mask.marked") == marked
    retouch.page.locator("#pictures .thumb").nth(2).click()
    retouch.until("(await import('/page/state.js')).state.current.width === 161")
    assert retouch.page.is_disabled("#mask-reuse")
    PIL.Image.new("1", (160, 120), 1).save(tmp_path / "other.png")
    retouch.page.set_input_files("#mask-file", str(tmp_path / "other.png"))
    assert f"160{TIMES}120" in retouch.notice()


def test_several_pictures_are_run_and_saved_at_once(retouch: Any, tmp_path: Path) -> None:
    files = [tmp_path / f"{index}.png" for index in range(4)]
    for index, file in enumerate(files):
        picture(index).save(file)
    retouch.open(*files, task="denoise")
    retouch.choose_method("Bilateral filter")
    assert "4" in retouch.page.inner_text("#run-all")
    retouch.page.click("#run-all")
    retouch.until("(await import('/page/state.js')).state.pictures.every(each => each.results.length === 1)")
    names = []
    retouch.page.on("download", lambda download: names.append(download.suggested_filename))
    retouch.page.click("#save-all")
    while len(names) < 4:
        retouch.page.wait_for_timeout(50)
    assert len(set(names)) == 4


def test_a_mask_that_was_tried_on_one_picture_is_run_on_all_of_its_size(retouch: Any, tmp_path: Path) -> None:
    files = []
    for index, (width, height) in enumerate([(160, 120), (160, 120), (120, 160)]):
        files.append(tmp_path / f"{index}.png")
        picture(index, width, height).save(files[-1])
    retouch.open(*files, task="inpaint")
    retouch.choose_method("Fast marching")
    retouch.stroke((0.2, 0.2), (0.7, 0.6))
    marked = pixels(retouch.save("#mask-save")[1]) > 0
    retouch.page.click("#run-all")
    retouch.until("(await import('/page/runs.js')).unfinished() === 0")
    assert retouch.state("state.pictures.map(each => each.results.length)") == [1, 1, 0]
    retouch.page.locator("#pictures .thumb").nth(1).click()
    changed = np.abs(pixels(retouch.save()[1]) - pixels(files[1].read_bytes())).max(-1) > 0
    assert changed[marked].any()
    assert not changed[~marked].any()


def test_results_are_kept_compared_and_gone_on_from(retouch: Any, small: Path) -> None:
    retouch.open(small, task="denoise")
    retouch.choose_method("Bilateral filter")
    retouch.run()
    retouch.choose_task("upscale")
    retouch.choose_method("Bicubic")
    retouch.run()
    history = retouch.page.locator("#results .thumb")
    assert history.count() == 3
    assert f"320 {TIMES} 240" in retouch.page.inner_text("#deeds")
    history.nth(1).click()
    retouch.until("(await import('/page/state.js')).state.current.shown.layer")
    assert f"160 {TIMES} 120" in retouch.page.inner_text("#deeds")
    history.nth(0).click()
    retouch.until("document.getElementById('divider').hidden")  # drawn at the next frame
    assert retouch.page.is_hidden("#result-bar")
    history.nth(2).click()
    retouch.page.click("#go-on")
    retouch.until("(await import('/page/state.js')).state.current.width === 320")
    assert retouch.page.locator("#pictures .thumb").count() == 2
    retouch.page.locator("#pictures .thumb").nth(0).click()
    retouch.page.click("#remove")
    assert history.count() == 2


def _hand_over(retouch: Any, how: str, *files: Path) -> None:
    """Paste or drop files, as the browser would tell the page of it."""
    retouch.page.evaluate(
        """([how, files]) => {
          const data = new DataTransfer();
          for (const { name, bytes } of files) {
            data.items.add(new File([new Uint8Array(bytes)], name, { type: 'image/png' }));
          }
          const told = { bubbles: true, cancelable: true };
          document.body.dispatchEvent(how === 'paste' ? new ClipboardEvent('paste', { clipboardData: data, ...told })
                                                      : new DragEvent('drop', { dataTransfer: data, ...told }));
        }""",
        [how, [{"name": file.name, "bytes": list(file.read_bytes())} for file in files]],
    )


def test_pictures_are_pasted_and_dropped(retouch: Any, small: Path) -> None:
    retouch.open()
    assert retouch.page.is_visible("#welcome")
    for count, how in enumerate(("paste", "drop"), start=1):
        _hand_over(retouch, how, small)
        retouch.until(f"(await import('/page/state.js')).state.pictures.filter(each => each.remote).length === {count}")
    assert retouch.page.is_hidden("#welcome")
    retouch.page.locator("#pictures .thumb").first.hover()
    retouch.page.locator("#pictures .close").first.click()
    assert retouch.page.locator("#pictures .thumb").count() == 1


def test_a_picture_that_browsers_cannot_decode_comes_back_as_it_was(retouch: Any, tmp_path: Path) -> None:
    import tifffile

    values = np.random.default_rng(0).integers(0, 65536, (90, 120, 3), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "deep.tif", values, photometric="rgb")
    retouch.open(tmp_path / "deep.tif", task="denoise")
    assert retouch.state("[state.current.width, state.current.height]") == [120, 90]
    retouch.choose_method("Bilateral filter")
    retouch.run()
    name, data = retouch.save()
    assert name.endswith((".tif", ".tiff"))
    saved = tifffile.imread(io.BytesIO(data))
    assert (saved.dtype, saved.shape) == (np.uint16, (90, 120, 3))


def test_files_that_the_server_let_go_are_sent_again(retouch: Any, small: Path) -> None:
    retouch.open(small, task="inpaint")
    retouch.choose_method("Fast marching")
    retouch.stroke((0.3, 0.4), (0.6, 0.5))
    first = retouch.state("state.current.remote.id")
    assert retouch.page.evaluate(f"fetch('/api/v1/files/{first}', {{ method: 'DELETE' }}).then(answer => answer.ok)")
    retouch.run()
    assert retouch.state("state.current.results.length") == 1


def test_a_full_queue_is_waited_for(retouch: Any, small: Path) -> None:
    refused: list[str] = []

    def full_once(route: Any) -> None:
        if route.request.method == "POST" and not refused:
            refused.append(route.request.url)
            route.fulfill(
                status=429,
                headers={"Retry-After": "1", "Content-Type": "application/problem+json"},
                body='{"title": "full"}',
            )
        else:
            route.continue_()

    retouch.page.route("**/api/v1/jobs", full_once)
    retouch.open(small, task="denoise")
    retouch.choose_method("Bilateral filter")
    retouch.run()
    assert len(refused) == 1


def test_what_is_wrong_is_told_where_it_is_wrong(retouch: Any, small: Path, tmp_path: Path) -> None:
    retouch.open(small, task="translate")
    retouch.page.click("#run")
    assert retouch.page.get_attribute("#option-model", "aria-invalid") == "true"
    retouch.choose_task("deblur")
    retouch.page.fill("#option-kernel", "banana")
    retouch.page.click("#run")
    retouch.page.wait_for_selector("#option-kernel-fault")
    assert "banana" in retouch.page.inner_text("#option-kernel-fault")
    retouch.page.fill("#option-kernel", "")
    retouch.page.locator("#option-kernel").blur()
    assert retouch.page.locator("#option-kernel-fault").count() == 0
    (tmp_path / "no picture.png").write_bytes(b"nothing of the kind")
    retouch.page.set_input_files("#file", str(tmp_path / "no picture.png"))
    assert retouch.notice().count("no picture.png") == 1
    retouch.until("(await import('/page/state.js')).state.pictures.length === 1")
    assert retouch.state("state.current.name") == "small.png"


def test_numbers_are_held_to_their_range_and_defaults_are_not_sent(retouch: Any, small: Path) -> None:
    retouch.open(small, task="upscale")
    box = retouch.page.locator("#option-scale")
    box.fill("99")
    box.blur()
    assert box.input_value() == "16"
    assert retouch.state("state.options.get('upscale')") == {"scale": 16}
    box.fill("2")
    box.blur()
    assert retouch.state("state.options.get('upscale')") == {}
    box.fill("")
    box.blur()
    assert box.input_value() == "2"
    retouch.page.click("#more summary")
    retouch.page.click("#option-ensemble")
    assert retouch.state("state.options.get('upscale')") == {"ensemble": True}
    retouch.page.click("#options-reset")
    assert not retouch.page.is_checked("#option-ensemble")


def test_a_waiting_and_a_running_job_are_cancelled(retouch: Any, tmp_path: Path) -> None:
    files = [tmp_path / f"{index}.png" for index in range(4)]
    for index, file in enumerate(files):
        picture(index).save(file)
    retouch.open(*files, task="denoise")
    retouch.choose_method("Deep Image Prior")
    retouch.page.click("#run-all")
    retouch.page.click("#cancel-all")
    retouch.until("(await import('/page/runs.js')).unfinished() === 0")
    assert retouch.state("state.pictures.slice(2).every(each => each.results.length === 0)")
    assert retouch.page.is_enabled("#run")
