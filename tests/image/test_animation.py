"""Animations: every format holds every frame, in order; bad calls leave nothing."""

from __future__ import annotations

from pathlib import Path

import PIL.Image
import pytest
import torch

from retouch.image.animation import ANIMATED, check_animation, save_animation
from retouch.image.errors import OptionError, RetouchError
from retouch.image.image import Image


def frames(count: int = 4, channels: int = 3) -> list[Image]:
    return [Image(torch.full((channels, 9, 12), (number + 1) / 8)) for number in range(count)]


@pytest.mark.parametrize("ending", ANIMATED)
@pytest.mark.parametrize("channels", [1, 3])
def test_frames_come_back_in_order(tmp_path: Path, ending: str, channels: int) -> None:
    path = tmp_path / f"a{ending}"
    assert save_animation(iter(frames(channels=channels)), path, rate=10) == 4
    with PIL.Image.open(path) as found:
        assert getattr(found, "n_frames", 1) == 4
        assert found.size == (12, 9)
        for number in range(4):
            found.seek(number)
            grey = found.convert("L").getpixel((5, 5))
            assert grey == pytest.approx((number + 1) * 255 / 8, abs=6)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_back_again(tmp_path: Path) -> None:
    save_animation(frames(), tmp_path / "a.gif", back=True)
    with PIL.Image.open(tmp_path / "a.gif") as found:
        assert getattr(found, "n_frames", 1) == 6


def test_bad_calls_leave_nothing(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"ending of an animation '\.gfi'; did you mean '\.gif'"):
        check_animation(tmp_path / "a.gfi")
    with pytest.raises(OptionError, match="there is no folder"):
        check_animation(tmp_path / "b" / "a.gif")
    with pytest.raises(OptionError, match="at least one frame"):
        save_animation([], tmp_path / "a.gif")
    for rate in (0.0, 100.0, float("nan")):
        with pytest.raises(OptionError, match="--rate"):
            save_animation(frames(), tmp_path / "a.gif", rate=rate)
    with pytest.raises(OptionError, match="--quality"):
        save_animation(frames(), tmp_path / "a.webp", quality=0)

    def broken() -> object:
        yield frames()[0]
        raise RetouchError("stopped")

    with pytest.raises(RetouchError, match="stopped"):
        save_animation(broken(), tmp_path / "a.gif")  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
