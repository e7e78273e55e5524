"""The blur study of the encoder-decoder: what a translator learns from the blur that it was shown, and from its loss.

    python examples/blur_study.py FACES OUT [--others DIR] [key=value ...]

FACES: a folder of faces, of which every tenth is held out. In OUT come the runs of six weights (which a second call
goes on with), ``study.json``, ``study.md``, a sheet for each blur, and ``free.jpg``, a sheet of pictures that come with
scikit-image: the astronaut's face (NASA) and the cat Chelsea (Stéfan van der Walt, CC0). ``key=value`` changes the
recipe, as for ``retouch train``.

Four weights learn to undo one blur each, or all three, by L2: (a) ``gaussian`` of sigma 2, (b) ``random``, Gaussians of
sigma 0.5 to 3, (c) ``resize``, two to four times smaller and back, (d) ``mixed`` (the recipe ``faces-deblur``, but for
its width and its steps). Two more learn the mixed ones by L1, and by L1 and a PatchGAN. All are tested on the held-out
faces at 64 pixels and, if given, on the middle of other pictures: PSNR and SSIM over all channels, and how much of the
original's gradient is there (1 is as sharp as the original).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import skimage.data
import torch
from sheets import write
from torch import Tensor

import retouch
from retouch.app.cli import main as call
from retouch.degradations.recipe import Recipe
from retouch.image.files import READABLE
from retouch.image.image import Image
from retouch.image.listing import list_folder
from retouch.image.resize import resize
from retouch.image.sheet import sheet
from retouch.models.catalogue import load
from retouch.models.runner import Runner

_SIDE = 64
_BLURS = {
    "gaussian": '{ step = [{ kind = "gaussian_blur", sigma = 2.0 }] }',
    "random": '{ step = [{ kind = "random_gaussian_blur", low = 0.5, high = 3.0 }] }',
    "resize": '{ step = [{ kind = "resize_blur", factor = [2.0, 4.0] }] }',
}
_TESTS: dict[str, dict[str, Any]] = {
    "gaussian": {"kind": "gaussian_blur", "sigma": 2.0},
    "random": {"kind": "random_gaussian_blur", "low": 0.5, "high": 3.0},
    "resize": {"kind": "resize_blur", "factor": 3.0},
}
_SMALLER = ["network.arguments.width=16", "run.steps=3000"]  # six weights in the time of one
_GAN = [
    "objective.name=adversarial",
    'objective.arguments={ losses = [{ name = "l1", weight = 200.0 }], weight = 1.0, share = 0.5, conditional = true }',
    'critic={ name = "patchgan", arguments = { layers = 2, channels = 6, width = 16 } }',
]
WEIGHTS: dict[str, list[str]] = {
    **{f"{name}, L2": [f"data.degradation=[{blur}]"] for name, blur in _BLURS.items()},
    "mixed, L2": [],
    "mixed, L1": ['objective.arguments.losses=[{ name = "l1" }]'],
    "mixed, L1 + PatchGAN": _GAN,
}
"""What each weight of the study changes in the recipe, beside its size and its steps."""


def split(faces: Path, out: Path) -> tuple[Path, Path]:
    """Links to the faces to learn from, and the held-out ones at 64 pixels, in folders below ``out``."""
    learned, held = out / "faces", out / "held-out"
    if not held.exists():
        learned.mkdir(parents=True)
        held.mkdir()
        for index, path in enumerate(list_folder(faces, READABLE).pictures):
            if index % 10:
                (learned / path.name).symlink_to(path.resolve())
                continue
            face = retouch.open(path)
            side = min(face.height, face.width)
            top, left = (face.height - side) // 2, (face.width - side) // 2
            square = face.pixels[:, top : top + side, left : left + side]
            small = resize(square[None], (_SIDE, _SIDE))[0].clamp(0, 1)
            Image(small.expand(3, -1, -1).contiguous()).save(held / f"{path.stem}.png")
    return learned, held


def train(name: str, changes: list[str], faces: Path, out: Path, more: list[str]) -> Path:
    """The weight ``name``, trained unless it is there."""
    folder = out / name.replace(", ", "-").replace(" + ", "-").lower()
    weight = folder / "faces-deblur.safetensors"
    if not weight.exists():
        words = ["train", "faces-deblur", *_SMALLER, *changes, *more, "--images", str(faces), "--folder", str(folder)]
        if call([*words, "--workers", "0"]) != 0:
            raise SystemExit(f"{name}: the training failed")
    return weight


def blurred(pictures: list[Tensor], kind: str) -> list[Tensor]:
    """The pictures ``(C, H, W)`` after a blur of ``_TESTS``, rounded to 8 bits, each by a draw of its own."""
    recipe = Recipe.from_table({"name": kind, "step": [_TESTS[kind]]}, kind)
    made = []
    for index, picture in enumerate(pictures):
        damaged = recipe(picture[None], torch.Generator().manual_seed(index))[0]
        made.append((damaged.clamp(0, 1) * 255).round() / 255)
    return made


def gradient(picture: Tensor) -> float:
    """Mean size of the differences between neighbours."""
    return float(picture.diff(dim=1).abs().mean() + picture.diff(dim=2).abs().mean())


def measured(results: list[Tensor], originals: list[Tensor]) -> dict[str, float]:
    """Mean PSNR and SSIM, and the sharpness."""
    pairs = [(result.clamp(0, 1), original) for result, original in zip(results, originals, strict=True)]
    return {
        "psnr": sum(retouch.psnr(a, b, quantize=True) for a, b in pairs) / len(pairs),
        "ssim": sum(retouch.ssim(a, b, quantize=True) for a, b in pairs) / len(pairs),
        "sharpness": sum(gradient(a) / max(gradient(b), 1e-6) for a, b in pairs) / len(pairs),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """The study in Markdown: weights down, blurs of each test across."""
    tests = list(dict.fromkeys((row["pictures"], row["blur"]) for row in rows))
    lines = ["| weight | " + " | ".join(f"{pictures}, {blur}" for pictures, blur in tests) + " |"]
    lines.append("|---|" + "---|" * len(tests))
    for weight in dict.fromkeys(row["weight"] for row in rows):
        cells = {(row["pictures"], row["blur"]): row for row in rows if row["weight"] == weight}
        told = [f"{c['psnr']:.2f} / {c['ssim']:.3f} / {c['sharpness']:.2f}" for c in (cells[test] for test in tests)]
        lines.append(f"| {weight} | " + " | ".join(told) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faces", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--others", type=Path, help="folder of pictures that are no faces")
    parser.add_argument("changes", nargs="*", metavar="key=value", help="of the recipe, for all weights")
    arguments = parser.parse_intermixed_args()
    faces, held = split(arguments.faces, arguments.output)
    weights = {
        name: train(name, changes, faces, arguments.output, arguments.changes) for name, changes in WEIGHTS.items()
    }
    runners = {name: Runner(load(path), device="cpu", precision="fp32") for name, path in weights.items()}
    sets = {"faces": [retouch.open(path).pixels for path in list_folder(held, READABLE).pictures]}
    if arguments.others is not None:
        others = (retouch.open(path).pixels for path in list_folder(arguments.others, READABLE).pictures)
        sets["others"] = [_middle(x) for x in others if min(x.shape[1:]) >= _SIDE]
    rows: list[dict[str, Any]] = []
    shown: dict[str, list[list[Image | None]]] = {kind: [] for kind in _TESTS}
    for pictures, originals in sets.items():
        for kind in _TESTS:
            seen = blurred(originals, kind)
            made = {"(blurred)": seen} | {name: [run.run(x) for x in seen] for name, run in runners.items()}
            rows += [
                {"weight": name, "pictures": pictures, "blur": kind, **measured(results, originals)}
                for name, results in made.items()
            ]
            for index in range(0, min(len(originals), 40), 10) if pictures == "faces" else range(2):
                drawn = [results[index] for results in made.values()] + [originals[index]]
                shown[kind].append([Image(x.clamp(0, 1).contiguous()) for x in drawn])
    (arguments.output / "study.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    (arguments.output / "study.md").write_text(table(rows), encoding="utf-8")
    titles = ["blurred", *WEIGHTS, "original"]
    for kind, lines in shown.items():
        write(sheet(lines, column_titles=titles, cell=2 * _SIDE), arguments.output / f"study-{kind}.jpg")
    write_free_sheet(runners, titles, arguments.output / "free.jpg")
    print(table(rows), end="")


def write_free_sheet(runners: dict[str, Runner], titles: list[str], target: Path) -> None:
    """A face and a cat, each after two of the blurs, and what every weight makes of them."""
    lines: list[list[Image | None]] = []
    names = []
    for name, photo, (top, left), side in (("face", "astronaut", (4, 124), 200), ("cat", "chelsea", (20, 80), 256)):
        picture = getattr(skimage.data, photo)()[top : top + side, left : left + side]
        x = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float() / 255
        original = resize(x, (_SIDE, _SIDE))[0].clamp(0, 1)
        for kind in ("gaussian", "resize"):
            (seen,) = blurred([original], kind)
            made = [seen, *(run.run(seen) for run in runners.values()), original]
            lines.append([Image(y.clamp(0, 1).contiguous()) for y in made])
            names.append(f"{name}, {kind}")
    drawn = sheet(lines, column_titles=titles, row_titles=names, cell=2 * _SIDE, gap=6)
    write(drawn, target)


def _middle(x: Tensor) -> Tensor:
    top, left = (x.shape[1] - _SIDE) // 2, (x.shape[2] - _SIDE) // 2
    return x[:, top : top + _SIDE, left : left + _SIDE].expand(3, -1, -1).contiguous()


if __name__ == "__main__":
    main()
