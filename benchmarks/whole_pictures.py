"""What ``restore`` does to photographs that nothing is wrong with: it must not harm them.

    python benchmarks/whole_pictures.py --images DIR --method chain unet --output benchmarks/results

Says how many come back bit for bit, and the PSNR of the others against themselves, by each method.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

import retouch
from retouch.image.files import open_image
from retouch.training.pictures import find_pictures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, help="folder of photographs without damage")
    parser.add_argument("--limit", type=int, default=1000, help="how many of them, evenly spread")
    parser.add_argument("--method", nargs="+", default=["chain", "unet"], help="of restore")
    parser.add_argument("--output", type=Path, help="folder for whole_pictures.md")
    arguments = parser.parse_args()
    files = find_pictures([arguments.images])
    files = files[:: max(1, len(files) // arguments.limit)][: arguments.limit]
    lines = [
        f"{len(files)} pictures of {arguments.images.name}",
        "",
        "| restore --method | bit for bit | at least 40 dB | the worst |",
        "|---|--:|--:|---|",
    ]
    print("\n".join(lines))
    for method in arguments.method:
        equal, near, worst = 0, 0, (float("inf"), "")
        for path in files:
            image = open_image(path)
            result = retouch.restore(image, method=method)
            if torch.equal(result.pixels, image.pixels):
                equal += 1
                near += 1
                continue
            psnr = retouch.psnr(result, image)
            near += psnr >= 40
            worst = min(worst, (psnr, path.name))
        told = f"{worst[0]:.1f} dB ({worst[1]})" if worst[1] else ""
        lines.append(f"| {method} | {equal}/{len(files)} | {near}/{len(files)} | {told} |")
        print(lines[-1], flush=True)
    if arguments.output is not None:
        arguments.output.mkdir(parents=True, exist_ok=True)
        (arguments.output / "whole_pictures.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
