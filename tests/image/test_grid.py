"""Contact sheets."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from retouch.image.grid import grid


def test_every_pixel_is_in_its_place() -> None:
    pictures = torch.rand(5, 3, 4, 6)
    made = grid(pictures, 3, gap=2, enlarge=1)
    assert made.pixels.shape == (3, 2 * 4 + 2, 3 * 6 + 4)
    for number in range(5):
        row, column = divmod(number, 3)
        assert torch.equal(made.pixels[:, row * 6 : row * 6 + 4, column * 8 : column * 8 + 6], pictures[number])
    assert bool((made.pixels[:, 6:, 16:] == 1).all()), "the place of the sixth is white"
    assert bool((made.pixels[:, 4:6] == 1).all())


def test_small_pictures_are_enlarged_by_whole_pixels() -> None:
    made = grid(torch.rand(1, 1, 28, 28), 10)
    assert made.pixels.shape == (1, 84, 28 * 3 * 10 + 9 * 2)
    assert torch.equal(made.pixels[:, :3, :3], made.pixels[:, :1, :1].expand(1, 3, 3))
    assert grid(torch.rand(1, 1, 2, 2), 1).pixels.shape == (1, 8, 8)
    assert grid(torch.rand(1, 3, 700, 700), 2).width == 1402
    assert grid(torch.full((1, 1, 2, 2), 7.0), 1).pixels.max() == 1


@pytest.mark.parametrize("wrong", [{"columns": 0}, {"gap": -1}, {"enlarge": 0}, {"count": 0}])
def test_refused(wrong: dict[str, Any]) -> None:
    pictures = torch.rand(wrong.pop("count", 2), 1, 3, 3)
    with pytest.raises(ValueError, match="no grid of"):
        grid(pictures, **{"columns": 1} | wrong)
