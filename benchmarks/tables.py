"""What the benchmarks that go through a folder of whole photographs share: their options, the pictures, the table."""

from __future__ import annotations

import argparse
from pathlib import Path

from retouch.training.pictures import find_pictures


def make_parser(description: str | None, name: str, limit: int) -> argparse.ArgumentParser:
    """``--images``, ``--limit`` and ``--output``, the folder for ``name``.md; for ``pictures_of`` and ``Table``."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, help="folder of photographs without damage")
    parser.add_argument("--limit", type=int, default=limit, help="how many of them, evenly spread")
    parser.add_argument("--output", type=Path, help=f"folder for {name}.md")
    return parser


def pictures_of(arguments: argparse.Namespace) -> list[Path]:
    """As many pictures of the folder as asked for, evenly spread."""
    files = find_pictures([arguments.images])
    return files[:: max(1, len(files) // arguments.limit)][: arguments.limit]


class Table:
    """A Markdown table that is printed line by line as it grows."""

    def __init__(self, *lines: str) -> None:
        self.lines: list[str] = []
        for line in lines:
            self.add(line)

    def add(self, line: str) -> None:
        """Print one more line."""
        self.lines.append(line)
        print(line, flush=True)

    def write(self, folder: Path | None, name: str) -> None:
        """Write it as ``name``.md into ``folder``, which is made; nothing without a folder."""
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{name}.md").write_text("\n".join(self.lines) + "\n", encoding="utf-8")
