"""Windows: the result of the whole picture, whatever the size; cancelling; working in place."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from retouch.solvers.steps import Step
from retouch.solvers.windows import clip_in_place, map_windows


def box(pixels: Tensor) -> Tensor:
    """A mean over 5x5 with the border repeated: reach 2."""
    return F.avg_pool2d(F.pad(pixels[None], (2, 2, 2, 2), mode="replicate"), 5, stride=1)[0]


@settings(max_examples=40)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(2, 20), st.integers(2, 5), st.integers(1, 3), st.booleans())
def test_equals_the_whole(height: int, width: int, side: int, halo: int, threads: int, in_place: bool) -> None:
    pixels = torch.rand(3, height, width)
    expected = box(pixels)
    out, done, cancelled = map_windows(box, pixels, halo=halo, side=max(side, halo), threads=threads, in_place=in_place)
    assert torch.allclose(out, expected, atol=1e-6)
    assert (out is pixels) == in_place
    assert not cancelled
    assert done == -(-height // max(side, halo)) * -(-width // max(side, halo))


def test_input_is_left_alone() -> None:
    pixels = torch.rand(1, 20, 20)
    before = pixels.clone()
    map_windows(box, pixels, halo=2, side=8)
    assert torch.equal(pixels, before)


def test_steps_are_counted_and_cancelling_keeps_the_rest() -> None:
    heard: list[Step] = []

    def listen(step: Step) -> bool:
        heard.append(step)
        return step.index < 3

    pixels = torch.rand(1, 40, 40)
    out, done, cancelled = map_windows(box, pixels, halo=2, side=10, threads=1, on_step=listen)
    assert [step.index for step in heard] == [1, 2, 3]
    assert heard[0].total == 16
    assert (done, cancelled) == (3, True)
    assert torch.allclose(out[:, :10, :30], box(pixels)[:, :10, :30], atol=1e-6)
    assert torch.equal(out[:, :, 30:], pixels[:, :, 30:])
    assert torch.equal(out[:, 10:], pixels[:, 10:])


def test_an_error_inside_comes_out() -> None:
    def fail(pixels: Tensor) -> Tensor:
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        map_windows(fail, torch.rand(1, 9, 9), halo=1, side=4)


def test_window_smaller_than_its_halo_is_refused() -> None:
    with pytest.raises(ValueError, match="halo"):
        map_windows(box, torch.rand(1, 9, 9), halo=5, side=4)


def test_clip_in_place_makes_everything_a_colour() -> None:
    pixels = torch.tensor([[[float("nan"), float("inf"), -float("inf"), 2.0, -1.0, 0.25]]])
    assert clip_in_place(pixels) is pixels
    assert pixels.flatten().tolist() == [0, 1, 0, 1, 0, 0.25]
