"""The page's modules one by one, run in the browser: the mask, masks as files, the view, the fields of forms."""

from __future__ import annotations

import io
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from retouch.image.files import open_mask


@pytest.fixture(scope="module")
def tab(browser: Any, server_address: str) -> Any:
    """A tab in which nothing but the modules that a test imports is run."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{server_address}/page/icon.svg")
    yield page
    context.close()


def strokes(seed: int, width: int, height: int) -> list[list[float]]:
    """Random strokes ``x0, y0, x1, y1, radius, mark``: some begin outside, some are dots, some thinner than a pixel."""
    generator = np.random.default_rng(seed)
    made = []
    for _ in range(8):
        x0, x1 = generator.uniform(-20, width + 20, 2)
        y0, y1 = generator.uniform(-20, height + 20, 2)
        if generator.random() < 0.3:
            x1, y1 = x0, y0
        if generator.random() < 0.2:
            y1 = y0
        made.append([x0, y0, x1, y1, generator.choice([0.5, 1, 3.3, 12, 40]), float(generator.random() < 0.7)])
    return made


def painted(made: list[list[float]], width: int, height: int) -> np.ndarray[Any, Any]:
    """The same by the definition: all pixels whose centre is not farther than the radius from the line."""
    mask = np.zeros((height, width), bool)
    y, x = np.mgrid[:height, :width] + 0.5
    for x0, y0, x1, y1, radius, mark in made:
        dx, dy = x1 - x0, y1 - y0
        length = dx * dx + dy * dy
        along = np.clip(((x - x0) * dx + (y - y0) * dy) / length, 0, 1) if length else 0
        near = np.hypot(x - x0 - along * dx, y - y0 - along * dy) <= radius
        mask[near] = bool(mark)
    return mask


@pytest.mark.parametrize("seed", range(5))
def test_a_stroke_marks_what_lies_within_its_radius(tab: Any, seed: int) -> None:
    width, height = 211, 157
    made = strokes(seed, width, height)
    told = tab.evaluate(
        """async ([strokes, width, height]) => {
          const { Mask } = await import('/page/mask.js');
          const mask = new Mask(width, height);
          for (const [x0, y0, x1, y1, radius, mark] of strokes) {
            mask.begin(); mask.stroke(x0, y0, x1, y1, radius, mark > 0); mask.commit();
          }
          const levels = mask.levels.map(level => Array.from(level.bytes));
          return { marked: mask.marked, levels, across: mask.levels.map(level => level.width) };
        }""",
        [made, width, height],
    )
    expected = painted(made, width, height)
    got = np.array(told["levels"][0]).reshape(height, width)
    assert set(np.unique(got)) <= {0, 255}
    # a centre exactly on the rim may fall to either side of rounding
    assert np.count_nonzero((got == 255) != expected) <= 2
    assert told["marked"] == np.count_nonzero(got)
    levels = [np.array(level).reshape(-1, across) for level, across in zip(told["levels"], told["across"], strict=True)]
    for fine, coarse in itertools.pairwise(levels):
        fine = np.pad(fine, [(0, fine.shape[0] % 2), (0, fine.shape[1] % 2)], mode="edge")
        four = fine[0::2, 0::2] + fine[0::2, 1::2] + fine[1::2, 0::2] + fine[1::2, 1::2]
        assert np.array_equal(coarse, -(-four // 4))  # the mean, rounded upwards


def test_undo_goes_back_and_redo_goes_on_through_every_state(tab: Any) -> None:
    told = tab.evaluate(
        """async strokes => {
          const { Mask } = await import('/page/mask.js');
          const mask = new Mask(300, 200);
          const sum = () => mask.bytes.reduce((all, value, i) => (all * 31 + (value ? i : 0)) % 1000003, mask.marked);
          const states = [sum()];
          const edit = change => { change(); states.push(sum()); };
          for (const [x0, y0, x1, y1, radius] of strokes) edit(() => {
            mask.begin(); mask.stroke(x0, y0, x1, y1, radius + 1, true); mask.commit();
          });
          edit(() => mask.invert());
          edit(() => mask.clear());
          edit(() => mask.replace(new Uint8Array(300 * 200).fill(255)));
          mask.begin(); mask.stroke(10, 10, 90, 90, 5, false); mask.abort();
          const aborted = sum();
          mask.begin(); mask.stroke(-90, -90, -50, -50, 5, true); mask.commit();
          const back = [], on = [];
          while (mask.undo()) back.push(sum());
          while (mask.redo()) on.push(sum());
          return { states, aborted, back, on };
        }""",
        [[20 + 40 * k, 50, 60 + 40 * k, 150, 4] for k in range(5)],
    )
    states = told["states"]
    assert len(set(states)) >= len(states) - 1  # the cleared mask is the empty one
    assert told["aborted"] == states[-1]
    assert told["back"] == states[-2::-1]
    assert told["on"] == states[1:]


def test_a_mask_is_written_as_a_png_of_one_bit_and_read_again(tab: Any, tmp_path: Path) -> None:
    for width, height in ((211, 157), (8, 8), (1, 1), (1, 37), (640, 3)):
        generator = np.random.default_rng(width)
        mask = generator.random((height, width)) < 0.4
        told = tab.evaluate(
            """async ([bits, width, height]) => {
              const { writeMask, readMask } = await import('/page/maskfile.js');
              const bytes = Uint8Array.from(bits, bit => bit ? 255 : 0);
              const file = await writeMask({ width, height, bytes });
              const again = await readMask(file);
              return { file: Array.from(new Uint8Array(await file.arrayBuffer())),
                       same: again.width === width && again.bytes.every((value, i) => value === bytes[i]) };
            }""",
            [mask.ravel().astype(int).tolist(), width, height],
        )
        assert told["same"]
        data = bytes(told["file"])
        with PIL.Image.open(io.BytesIO(data)) as picture:
            assert picture.mode == "1"
            assert np.array_equal(np.asarray(picture), mask)
        (tmp_path / "mask.png").write_bytes(data)
        assert np.array_equal(open_mask(tmp_path / "mask.png")[0].numpy() > 0, mask)


def _pictures() -> list[PIL.Image.Image]:
    generator = np.random.default_rng(3)
    colours = generator.integers(0, 256, (60, 80, 4), dtype=np.uint8)
    greys = np.tile(np.arange(256, dtype=np.uint8), (4, 1))
    drawn = colours.copy()
    drawn[..., 3] = np.where(generator.random((60, 80)) < 0.5, 255, 0)
    return [
        PIL.Image.fromarray(colours[..., :3]),
        PIL.Image.fromarray(greys),
        PIL.Image.fromarray(drawn),
        PIL.Image.fromarray(np.dstack([colours[..., :3], np.full((60, 80), 255, np.uint8)])),
        PIL.Image.fromarray(greys > 99),
        PIL.Image.fromarray(colours[..., :3]).convert("P"),
    ]


@pytest.mark.parametrize("index", range(6))
def test_a_picture_is_read_as_a_mask_by_the_rule_of_the_command_line(tab: Any, tmp_path: Path, index: int) -> None:
    path = tmp_path / "mask.png"
    _pictures()[index].save(path)
    got = tab.evaluate(
        """async data => {
          const { readMask } = await import('/page/maskfile.js');
          return Array.from((await readMask(new Blob([new Uint8Array(data)], { type: 'image/png' }))).bytes);
        }""",
        list(path.read_bytes()),
    )
    expected = open_mask(path)[0].numpy() * 255
    assert np.array_equal(np.array(got).reshape(expected.shape), expected)


def test_what_lies_under_the_pointer_stays_there_when_zooming(tab: Any) -> None:
    told = tab.evaluate(
        """async () => {
          const { View } = await import('/page/view.js');
          const view = new View();
          view.room = { left: 20, top: 20, right: 820, bottom: 620 };
          view.picture(4000, 3000);
          view.fit();
          const fitted = [view.zoom, view.x, view.y];
          let worst = 0;
          for (let k = 0; k < 40; k++) {
            const at = [400 + 5 * k, 300 - 3 * k], before = view.toPicture(...at);
            view.zoomBy(1.1, ...at);
            const after = view.toPicture(...at);
            worst = Math.max(worst, Math.hypot(before[0] - after[0], before[1] - after[1]));
          }
          const large = view.zoom;
          view.pan(1e6, 1e6);
          const corner = [view.x, view.y];
          for (let k = 0; k < 99; k++) view.zoomBy(0.8, 400, 300);
          const middle = [view.x + 2000 * view.zoom, view.y + 1500 * view.zoom];
          return { fitted, worst, large, corner, middle, least: view.zoom };
        }"""
    )
    assert told["fitted"] == pytest.approx([0.2, 20, 20])
    assert told["worst"] < 1e-6
    assert told["large"] == pytest.approx(0.2 * 1.1**40)
    assert told["corner"] == [420, 320]  # half of the room stays covered
    assert told["middle"] == pytest.approx([420, 320])  # all of it is in the middle
    assert told["least"] == pytest.approx(0.05)


def test_every_option_of_every_task_has_a_place_in_a_form(tab: Any, server_address: str) -> None:
    told = tab.evaluate(
        """async () => {
          const { fieldsOf } = await import('/page/schema.js');
          const { tasks } = await (await fetch('/api/v1/tasks')).json();
          return tasks.map(task => {
            const forms = ['auto', ...task.methods.map(method => method.name)].map(name => fieldsOf(task, name));
            const fields = forms.flatMap(({ near, apart }) => [...near, ...apart]);
            const seen = new Map(fields.map(field => [field.name, field]));
            return { name: task.name, properties: task.schema.properties, required: task.schema.required,
                     fields: Object.fromEntries(seen), first: forms[0].near.map(field => field.name) };
          });
        }"""
    )
    assert {"denoise", "inpaint", "upscale"} <= {task["name"] for task in told}
    for task in told:
        wanted = set(task["properties"]) - {"method", "mask", "invert_mask"}
        if not any(name == "effort" for name in task["fields"]):
            wanted.discard("effort")  # where no method iterates
        assert set(task["fields"]) == wanted, task["name"]
        for name, field in task["fields"].items():
            schema = task["properties"][name]
            types = [schema.get("type")] if not isinstance(schema.get("type"), list) else schema["type"]
            words = [word for word in schema.get("enum", []) if word is not None]
            kind = {"boolean": "switch", "integer": "number", "number": "number", "string": "text"}[
                types[0] or "string"
            ]
            kind = "choice" if words else "picture" if schema.get("format") == "file-id" else kind
            assert (field["kind"], field["open"]) == (kind, "null" in types), json.dumps(schema)
            assert field["choices"] == words
            assert field["required"] == (name in task["required"])
    forms = {task["name"]: task["first"] for task in told}
    assert "seed" not in forms["denoise"]
    assert forms["denoise"][0] == "sigma"
    assert forms["translate"][0] == "model"  # what must be given comes first


@pytest.mark.parametrize(
    ("megapixels", "budget", "auto", "named"),
    [
        (0.2, 60, "about 2 s", "a moment"),  # eight views of 0.24 s
        (1, 60, "about 5 s", "about 1 s"),  # four
        (3, 60, "about 7 s", "about 4 s"),  # two
        (10, 60, "about 10 s", "about 10 s"),
        (1, 3, "about 2 s", "about 1 s"),
    ],
)
def test_the_time_told_is_that_of_the_views_that_are_taken(
    tab: Any, megapixels: float, budget: float, auto: str, named: str
) -> None:
    told = tab.evaluate(
        """async ([megapixels, budget]) => {
          const { state } = await import("/page/state.js");
          const { estimate } = await import("/page/cards.js");
          const time = { seconds_per_megapixel: 1.2, spare_seconds: 8 };
          const method = { name: "unet", default: true, unavailable: null, ...time };
          const task = { name: "denoise", methods: [method], schema: { properties: { budget: { default: budget } } } };
          state.current = { width: 1000, height: 1000 * megapixels };
          return [estimate(task, "auto"), estimate(task, "unet")];
        }""",
        [megapixels, budget],
    )
    assert told == [auto, named]
