"""Digits under noise of half the range, and what the small autoencoder makes of them: ``docs/denoised-digits.jpg``.

    python examples/denoised_digits.py docs/denoised-digits.jpg DIGITS

DIGITS: MNIST's t10k-images-idx3-ubyte(.gz), of which the first ten are drawn (LeCun, Cortes, Burges, CC BY-SA 3.0).
"""

from __future__ import annotations

from pathlib import Path
from statistics import fmean

import torch
from sheets import make_parser, write

import retouch
from retouch.image.grid import grid
from retouch.image.image import Image
from retouch.image.sheet import sheet
from retouch.metrics import psnr
from retouch.training.pictures import read_idx

COUNT, NOISE = 10, 0.5


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("digits", type=Path)
    arguments = parser.parse_args()
    true = torch.from_numpy(read_idx(arguments.digits)[:COUNT].copy())[:, None].float() / 255
    noise = torch.randn(true.shape, generator=torch.Generator().manual_seed(0))
    noisy = (true + NOISE * noise).clamp(0, 1)
    denoised = torch.stack([retouch.denoise(Image(digit), model="denoise-digits").pixels for digit in noisy])
    rows: list[list[Image | None]] = [[grid(part, COUNT, enlarge=3)] for part in (noisy, denoised, true)]
    noise_left, left = (fmean(map(psnr, part, true)) for part in (noisy, denoised))
    words = [f"noisy, {noise_left:.1f} dB", f"denoised, {left:.1f} dB", "as written"]
    cell = max(arguments.cell, *(row[0].width for row in rows if row[0] is not None))
    write(sheet(rows, captions=[[word] for word in words], cell=cell, gap=6), arguments.output)


if __name__ == "__main__":
    main()
