"""Mend four real photographs: noise, JPEG blocks and low resolution by the trained networks that each task takes when
it is told nothing, overlaid text by learning from the picture alone.

Writes ``sheet.png`` (damaged, a classical method, Retouch, original), ``before-after.html`` with a divider to drag, and
every picture by itself. Takes about a minute on two CPU cores. The photographs come with scikit-image and are free:
astronaut (NASA, public domain), chelsea the cat (Stéfan van der Walt, CC0), coffee (Rachel Michetti, CC0), rocket
(SpaceX, CC0).

    python examples/demo.py --output demo
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import skimage.data
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

import retouch
from retouch.degradations.noise import GaussianNoise
from retouch.degradations.overlay import TextOverlay
from retouch.degradations.resample import Downsample
from retouch.image.image import Image
from retouch.image.sheet import before_after_page, sheet
from retouch.metrics import psnr, ssim
from retouch.solvers.steps import Listener, Step

SIDE = 256
WORDS = """No training set and no
download: what lies under
these words is restored
from the rest of this one
picture. An untrained net
is fitted to every pixel
that can still be seen,
and it goes on from there
into what is hidden."""


@dataclass(frozen=True)
class Case:
    """One damage: how it was made, the classical answer and ours."""

    title: str
    original: Image
    damaged: Image
    classical: Callable[[], Image]
    classical_name: str
    mend: Callable[[Listener], Image]


def cases(folder: Path, side: int, effort: str) -> list[Case]:
    """The four damaged photographs; the JPEG is a real file in ``folder``."""
    generator = torch.Generator().manual_seed(0)
    noise_free = _crop(skimage.data.coffee(), 40, 150, side)
    noisy = _degrade(noise_free, GaussianNoise(25, clip=True), generator)

    written_on = _crop(skimage.data.astronaut(), 10, 95, side)
    overlay = TextOverlay(text=WORDS, size=0.075, colour="#ffe640", count=1).draw((side, side), generator)
    text = _degrade(written_on, overlay, generator)
    hidden = 1 - overlay.mask

    large = _crop(skimage.data.chelsea(), 20, 95, side // 3 * 3)
    small = _degrade(large, Downsample(3, "bicubic"), generator)

    sharp = _crop(skimage.data.rocket(), 90, 190, side)
    sharp.save(folder / "4-damaged.jpg", quality=10)
    blocky = retouch.open(folder / "4-damaged.jpg")

    return [
        Case(
            "noise, sigma 25",
            noise_free,
            noisy,
            lambda: retouch.denoise(noisy, method="nlm"),
            "non-local means",
            lambda listen: retouch.denoise(noisy, on_step=listen),
        ),
        Case(
            "text over the picture",
            written_on,
            text,
            lambda: retouch.inpaint(text, hidden, method="biharmonic"),
            "biharmonic",
            lambda listen: retouch.inpaint(text, hidden, method="deep-prior", effort=effort, on_step=listen),
        ),
        Case(
            "a third of the size",
            large,
            small,
            lambda: retouch.upscale(small, scale=3, method="bicubic"),
            "bicubic",
            lambda listen: retouch.upscale(small, scale=3, on_step=listen),
        ),
        Case(
            "JPEG, quality 10",
            sharp,
            blocky,
            lambda: retouch.dejpeg(blocky, method="reapply"),
            "JPEG re-application",
            lambda listen: retouch.dejpeg(blocky, on_step=listen),
        ),
    ]


def main() -> None:
    """Run the four cases and write the sheet and the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("demo"))
    parser.add_argument("--side", type=int, default=SIDE, help="side of the pictures, in pixels")
    parser.add_argument("--effort", choices=("quick", "normal", "paper"), default="quick")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    console = Console()
    rows: list[list[Image | None]] = []
    captions: list[list[str]] = []
    pairs: list[tuple[Image, Image, str]] = []
    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[loss]}"), TimeRemainingColumn()
    for number, case in enumerate(cases(arguments.output, arguments.side, arguments.effort), start=1):
        began = time.monotonic()
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task(case.title, total=None, loss="")

            def listen(step: Step, progress: Progress = progress, task: object = task) -> None:
                loss = "" if step.loss is None else f"loss {step.loss:.5f}"
                progress.update(task, total=step.total, completed=step.index, loss=loss)  # type: ignore[arg-type]

            mended = case.mend(listen)
        shown = case.damaged
        if shown.width != case.original.width:  # enlarge the small picture pixel by pixel, only to show it
            factor = case.original.width // shown.width
            shown = shown.with_pixels(shown.pixels.repeat_interleave(factor, 1).repeat_interleave(factor, 2))
        row = [shown, case.classical(), mended, case.original]
        rows.append(list(row))
        captions.append([_score(image, case.original) for image in row[:3]] + ["original"])
        pairs.append((shown, mended, case.title))
        captions[-1][1] = f"{case.classical_name}: {captions[-1][1]}"
        for name, image in zip(("damaged", "classical", "retouch", "original"), row, strict=True):
            image.save(arguments.output / f"{number}-{name}.png")
        console.print(
            f"{case.title}: {_score(shown, case.original)} -> {_score(mended, case.original)} "
            f"({case.classical_name} {_score(row[1], case.original)}), {time.monotonic() - began:.0f} s"
        )
    titles = ["damaged", "classical", "Retouch", "original"]
    picture = sheet(rows, column_titles=titles, row_titles=[pair[2] for pair in pairs], captions=captions)
    picture.save(arguments.output / "sheet.png")
    page = before_after_page(pairs, title="Retouch: four photographs mended")
    (arguments.output / "before-after.html").write_text(page, encoding="utf-8")
    console.print(f"wrote {arguments.output / 'sheet.png'} and {arguments.output / 'before-after.html'}")


def _crop(array: object, top: int, left: int, side: int) -> Image:
    image = Image.from_array(array)  # type: ignore[arg-type]
    return Image(image.pixels[:, top : top + side, left : left + side].contiguous())


def _degrade(image: Image, degradation: object, generator: torch.Generator) -> Image:
    return image.with_pixels(degradation(image.pixels.unsqueeze(0), generator))  # type: ignore[operator]


def _score(image: Image, original: Image) -> str:
    return f"{psnr(image, original):.2f} dB, SSIM {ssim(image, original):.3f}"


if __name__ == "__main__":
    main()
