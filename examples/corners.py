"""The corners experiment: what three ways of learning make of a question that has two right answers.

    python examples/corners.py DIGITS SHEET [--folder DIR] [--steps N]

DIGITS: the folder of MNIST's four files. A digit of 12 x 12 pixels, black and white, stands in the middle of 24 x 24;
the right answer is the digit in the upper left corner or in the lower right one, at random (Dahl, Norouzi, Shlens,
"Pixel Recursive Super Resolution", ICCV 2017, section 3.1). Learned are, from the same digits in the same number of
steps: the mean, by L2; each pixel by itself, by cross-entropy; and the pixels one after the other, by PixelRecursive.
The first gives both corners at half strength, the second speckles of both, the third one digit.

Printed is a table of the first 1,000 test digits, one answer each: the mean squared error to the nearer of the two
right answers, and the share of answers with exactly one digit, which is to say at least half the digit's white in one
corner and at most a twentieth of it in the other. SHEET shows digits written for it. The weights are kept in the
folder and used again.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from sheets import write
from torch import Generator, Tensor, nn
from torch.nn import functional

from retouch.image.image import Image
from retouch.image.resize import resize
from retouch.image.sheet import sheet
from retouch.models.device import autocast, fast_bfloat16
from retouch.networks.build import count_parameters
from retouch.networks.pixel_recursive import Conditioning, PixelRecursive
from retouch.networks.pixelcnn import nats
from retouch.training.pictures import read_idx

_SIDE, _CANVAS = 12, 24
_BOX = slice(4, 24)  # where MNIST has its digits
_BATCH = 32
_FULL, _EMPTY = 0.5, 0.05
_WAYS = ("L2", "cross-entropy", "pixel recursive")
_STROKES = {
    "2": [[(4, 5), (8, 2), (14, 3), (15, 7), (10, 13), (4, 17), (16, 17)]],
    "3": [[(4, 3), (11, 2), (15, 5), (13, 8), (8, 10), (14, 11), (16, 14), (12, 18), (5, 17)]],
    "4": [[(8, 2), (4, 11), (16, 11)], [(13, 3), (11, 18)]],
    "7": [[(4, 3), (16, 3), (9, 18)]],
    "0": [[(10, 2), (5, 6), (4, 12), (8, 17), (12, 17), (16, 12), (15, 6), (10, 2)]],
}
"""Lines from point to point, (x, y) in a square of 20, that were drawn for the sheet."""


def small(digits: Tensor) -> Tensor:
    """``(N, 1, 20, 20)`` in [0, 1] -> ``(N, 1, 12, 12)``, 0 or 1."""
    return (resize(digits, (_SIDE, _SIDE), kernel="box") > 0.4).float()


def read(folder: Path, name: str) -> Tensor:
    """The digits of one of MNIST's files, small."""
    found = next(iter(sorted(folder.glob(f"{name}-images*idx3-ubyte*"))), None)
    if found is None:
        raise SystemExit(f"{folder}: no {name}-images-idx3-ubyte of MNIST there")
    pixels = torch.from_numpy(read_idx(found).copy())[:, None, _BOX, _BOX].float() / 255
    return torch.cat([small(some) for some in torch.split(pixels, 4096)])


def written() -> Tensor:
    """The digits of the sheet, ``(N, 1, 12, 12)``."""
    import numpy as np
    import PIL.Image
    import PIL.ImageDraw

    made = []
    for lines in _STROKES.values():
        picture = PIL.Image.new("L", (80, 80))
        pen = PIL.ImageDraw.Draw(picture)
        for line in lines:
            points = [(4 * x, 4 * y) for x, y in line]
            pen.line(points, fill=255, width=9, joint="curve")
        made.append(torch.from_numpy(np.asarray(picture).copy())[None].float() / 255)
    return small(resize(torch.stack(made), (20, 20), kernel="box"))


def placed(digits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The digits in the middle, in the upper left corner and in the lower right one, ``(N, 1, 24, 24)`` each."""
    room = _CANVAS - _SIDE
    middle = functional.pad(digits, (room // 2, room // 2, room // 2, room // 2))
    return middle, functional.pad(digits, (0, room, 0, room)), functional.pad(digits, (room, 0, room, 0))


def network(way: str) -> nn.Module:
    """The network of one of the ways; the first two are what the third one calls its conditioning part."""
    torch.manual_seed(0)
    if way != "pixel recursive":
        return Conditioning(1, 1, 1, 24, 4)
    return PixelRecursive(1, _CANVAS, 1, 2, width=24, blocks=4, prior_width=24, layers=6, kernel=5, first=7, head=48)


def cost(way: str, made: nn.Module, given: Tensor, target: Tensor) -> Tensor:
    """What is minimised, of a batch."""
    if way == "L2":
        return functional.mse_loss(made(given).float(), target)
    if way == "cross-entropy":
        return functional.binary_cross_entropy_with_logits(made(given).float(), target)
    return torch.stack([nats(logits, target.long()).mean() for logits in made(given, target)]).sum() / _CANVAS**2


def train(way: str, digits: Tensor, steps: int, kept: Path) -> nn.Module:
    """A network that has learned, from ``kept`` where it is there."""
    made: nn.Module = network(way).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if kept.exists():
        made.load_state_dict(load_file(kept))
        return made.eval()
    optimizer = torch.optim.Adam(made.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, steps, pct_start=0.1)
    generator = Generator().manual_seed(0)
    device = torch.device("cpu")
    precision = "bf16" if fast_bfloat16(device) else "fp32"
    for step in range(steps):
        some = digits[torch.randint(len(digits), (_BATCH,), generator=generator)]
        middle, first, second = placed(some)
        left = torch.rand(len(some), 1, 1, 1, generator=generator) < 0.5
        target = torch.where(left, first, second)
        with autocast(device, precision):
            loss = cost(way, made, middle, target)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(made.parameters(), 0.3)
        optimizer.step()
        schedule.step()
        if step % 50 == 49:
            print(f"{way}: step {step + 1} of {steps}, loss {loss.item():.4f}", flush=True)
    kept.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in made.state_dict().items()}, kept)
    return made.eval()


@torch.no_grad()
def answers(way: str, made: nn.Module, digits: Tensor, seed: int = 0) -> Tensor:
    """One answer to each digit, ``(N, 1, 24, 24)`` in [0, 1]; the last two ways draw theirs."""
    middle = placed(digits)[0]
    generator = Generator().manual_seed(seed)
    if way == "pixel recursive":
        assert isinstance(made, PixelRecursive)
        return made.sample(middle, generator, 1.0)
    told: Tensor = made(middle)
    if way == "L2":
        return told.clamp(0, 1)
    return (torch.rand(told.shape, generator=generator) < told.sigmoid()).float()


def measured(made: Tensor, digits: Tensor) -> tuple[float, float]:
    """The mean squared error to the nearer right answer, and the share with exactly one digit."""
    _, first, second = placed(digits)
    errors = torch.stack([(made - right).square().mean((1, 2, 3)) for right in (first, second)])
    white = digits.sum((1, 2, 3))
    corners = (made[..., :_SIDE, :_SIDE], made[..., -_SIDE:, -_SIDE:])
    shares = torch.stack([corner.sum((1, 2, 3)) / white for corner in corners])
    one = (shares.amax(0) >= _FULL) & (shares.amin(0) <= _EMPTY)
    return float(errors.amin(0).mean()), float(one.float().mean())


def show(answer: Callable[[str, Tensor, int], Tensor], target: Path) -> None:
    """The sheet: each digit, and what is answered."""
    digits = written()
    middle, first, second = placed(digits)
    columns = {
        "given": middle,
        "right": first,
        "or": second,
        "L2": answer("L2", digits, 0),
        "cross-entropy": answer("cross-entropy", digits, 0),
        "pixel recursive": answer("pixel recursive", digits, 0),
        "again": answer("pixel recursive", digits, 1),
        "and again": answer("pixel recursive", digits, 2),
    }
    rows = [[Image(column[index].contiguous()) for column in columns.values()] for index in range(len(digits))]
    drawn = sheet(rows, column_titles=list(columns), cell=5 * _CANVAS, gap=6, background=(128, 128, 128))
    write(drawn, target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("digits", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--folder", type=Path, default=Path("runs/corners"), help="where the weights are kept")
    parser.add_argument("--steps", type=int, default=1500)
    arguments = parser.parse_args()
    learned, test = read(arguments.digits, "train"), read(arguments.digits, "t10k")[:1000]
    networks = {}
    for way in _WAYS:
        kept = arguments.folder / f"{way.replace(' ', '-').lower()}-{arguments.steps}.safetensors"
        networks[way] = train(way, learned, arguments.steps, kept)
    print("| way | numbers | MSE to the nearer answer | exactly one digit |\n|---|---|---|---|")
    for way, made in networks.items():
        error, one = measured(answers(way, made, test), test)
        print(f"| {way} | {count_parameters(made):,} | {error:.4f} | {100 * one:.1f} % |", flush=True)
    show(lambda way, digits, seed: answers(way, networks[way], digits, seed), arguments.output)


if __name__ == "__main__":
    main()
