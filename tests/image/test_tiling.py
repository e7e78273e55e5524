"""Tiles must cover, blend to one, and give what the whole would."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from retouch.image.errors import Cancelled, OptionError, RetouchError
from retouch.image.tiling import plan, run_tiled


@given(st.integers(1, 700), st.integers(1, 300), st.integers(0, 40), st.sampled_from([1, 2, 3]))
def test_weights_cover_every_pixel_and_sum_to_one(length: int, tile: int, overlap: int, scale: int) -> None:
    total = torch.zeros(length * scale)
    spans = plan(length, tile, overlap)
    for span in spans:
        total[span.start * scale : span.stop * scale] += span.weights(Fraction(scale))
    assert float((total - 1).abs().max()) < 1e-6
    assert spans[0].start == 0
    assert spans[-1].stop == length


@given(st.integers(50, 700), st.integers(40, 200), st.integers(0, 15))
def test_tiles_are_equal_and_no_larger_than_asked(length: int, tile: int, overlap: int) -> None:
    spans = plan(length, tile, overlap)
    sizes = [span.stop - span.start for span in spans]
    assert max(sizes) <= max(tile, 2 * overlap + 1)
    inner = [span.stop - span.start for span in spans if span.start > 0 and span.stop < length]
    assert not inner or max(inner) - min(inner) <= 1


def _blur(x: Tensor) -> Tensor:
    """A local function of receptive radius 4 that pads by itself."""
    kernel = torch.arange(1.0, 10.0)
    kernel = (kernel / kernel.sum()).view(1, 1, 1, 9).expand(x.shape[1], 1, 1, 9)
    return F.conv2d(F.pad(x, (4, 4, 0, 0), mode="replicate"), kernel, groups=x.shape[1])


@settings(max_examples=25)
@given(st.integers(12, 90), st.integers(12, 90), st.integers(20, 50), st.sampled_from([1, 3]))
def test_tiled_equals_whole_for_a_local_function(height: int, width: int, tile: int, channels: int) -> None:
    x = torch.rand(1, channels, height, width, generator=torch.Generator().manual_seed(height))
    assert torch.allclose(run_tiled(_blur, x, tile=tile, overlap=8), _blur(x), atol=1e-5)


def test_tiled_equals_whole_when_it_enlarges() -> None:
    def enlarge(x: Tensor) -> Tensor:
        return F.interpolate(_blur(x), scale_factor=2, mode="nearest")

    x = torch.rand(2, 47, 61, generator=torch.Generator().manual_seed(0))
    result = run_tiled(enlarge, x, tile=24, overlap=8, scale=2)
    assert result.shape == (2, 94, 122)
    assert torch.allclose(result, enlarge(x.unsqueeze(0))[0], atol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 1), (5, 7), (33, 18)])
def test_pads_to_the_multiple_and_crops_again(size: tuple[int, int]) -> None:
    seen: list[torch.Size] = []

    def same(x: Tensor) -> Tensor:
        seen.append(x.shape)
        return x

    x = torch.rand(1, 1, *size)
    assert torch.equal(run_tiled(same, x, tile="off", overlap=0, multiple=8), x)
    assert all(shape[2] % 8 == 0 and shape[3] % 8 == 0 for shape in seen)


def _only_up_to(side: int, error: BaseException) -> tuple[list[int], object]:
    sides: list[int] = []

    def function(x: Tensor) -> Tensor:
        sides.append(max(x.shape[2:]))
        if max(x.shape[2:]) > side:
            raise error
        return _blur(x)

    return sides, function


@pytest.mark.parametrize(
    "error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("not enough memory: you tried")]
)
@pytest.mark.parametrize("tile", ["auto", "off"])
def test_halves_when_memory_runs_out_and_goes_on(error: BaseException, tile: str) -> None:
    sides, function = _only_up_to(90, error)
    x = torch.rand(1, 1, 200, 300, generator=torch.Generator().manual_seed(1))
    result = run_tiled(function, x, tile=tile, overlap=8)  # type: ignore[arg-type]
    assert torch.allclose(result, _blur(x), atol=1e-5)
    failures = [side for side in sides if side > 90]
    assert len(failures) <= 4  # found out once, then remembered


def test_an_explicit_size_is_obeyed() -> None:
    sides, function = _only_up_to(40, MemoryError())
    with pytest.raises(RetouchError, match="tiles of 64 pixels"):
        run_tiled(function, torch.rand(1, 1, 100, 100), tile=64, overlap=4)  # type: ignore[arg-type]
    assert len(sides) == 1


def test_gives_up_when_even_small_tiles_do_not_fit() -> None:
    _, function = _only_up_to(0, MemoryError())
    with pytest.raises(RetouchError, match="out of memory even"):
        run_tiled(function, torch.rand(1, 1, 100, 100), overlap=4)  # type: ignore[arg-type]


def test_another_error_passes_through() -> None:
    _, function = _only_up_to(0, RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes"):
        run_tiled(function, torch.rand(1, 1, 10, 10), overlap=4)  # type: ignore[arg-type]


def test_tells_every_tile_and_can_be_cancelled() -> None:
    told: list[tuple[int, int]] = []
    run_tiled(_blur, torch.rand(1, 1, 60, 60), tile=40, overlap=8, on_tile=lambda i, n: told.append((i, n)))
    total = told[0][1]
    assert told == [(i + 1, total) for i in range(total)]
    assert total > 1
    with pytest.raises(Cancelled):
        run_tiled(_blur, torch.rand(1, 1, 60, 60), tile=40, overlap=8, on_tile=lambda i, n: False)


@pytest.mark.parametrize("tile", ["large", 0, -3])
def test_a_senseless_tile_is_refused(tile: object) -> None:
    with pytest.raises(ValueError, match="tile"):
        run_tiled(_blur, torch.rand(1, 1, 9, 9), tile=tile, overlap=4)  # type: ignore[arg-type]


@given(
    st.integers(1, 400), st.integers(1, 200), st.integers(0, 30), st.sampled_from([1, 2, 4, 8]), st.sampled_from([1, 2])
)
def test_aligned_tiles_start_on_the_grid(length: int, tile: int, overlap: int, align: int, divisor: int) -> None:
    scale = Fraction(1, divisor)
    align = math.lcm(align, divisor)
    spans = plan(length, tile, overlap, align)
    total = torch.zeros(math.ceil(length * scale))
    for span in spans:
        assert span.start % align == 0
        weights = span.weights(scale)
        total[span.start // divisor :][: len(weights)] += weights
    assert float((total - 1).abs().max()) < 1e-6
    assert spans[-1].stop == length
    if tile - 2 * math.ceil(overlap / align) * align >= align:
        assert max(span.stop - span.start for span in spans) <= tile


@pytest.mark.parametrize("size", [(70, 94), (71, 93), (33, 101)])
def test_tiled_equals_whole_for_a_function_with_strides(size: tuple[int, int]) -> None:
    def coarse(x: Tensor) -> Tensor:
        return F.interpolate(F.avg_pool2d(_blur(x), 4), scale_factor=4, mode="nearest")

    x = torch.rand(1, 2, *size, generator=torch.Generator().manual_seed(2))
    whole = run_tiled(coarse, x, tile="off", overlap=8, multiple=4)
    assert whole.shape == x.shape
    assert torch.allclose(run_tiled(coarse, x, tile=45, overlap=9, multiple=4), whole, atol=1e-5)


@pytest.mark.parametrize("size", [(70, 94), (71, 93), (1, 77)])
def test_tiled_equals_whole_when_it_shrinks(size: tuple[int, int]) -> None:
    def shrink(x: Tensor) -> Tensor:
        return F.avg_pool2d(_blur(x), 2)

    x = torch.rand(1, 1, *size, generator=torch.Generator().manual_seed(3))
    whole = run_tiled(shrink, x, tile="off", overlap=8, scale=Fraction(1, 2))
    assert whole.shape[2:] == (math.ceil(size[0] / 2), math.ceil(size[1] / 2))
    assert torch.allclose(run_tiled(shrink, x, tile=40, overlap=8, scale=Fraction(1, 2)), whole, atol=1e-5)


@settings(max_examples=25)
@given(st.integers(1, 80), st.integers(1, 80), st.integers(18, 60), st.integers(0, 8), st.sampled_from([1, 3, 8]))
def test_tiled_identity_is_the_identity(height: int, width: int, tile: int, overlap: int, multiple: int) -> None:
    tile = max(tile, 2 * math.ceil(overlap / multiple) * multiple + 1)
    x = torch.rand(1, 1, height, width, generator=torch.Generator().manual_seed(tile))
    result = run_tiled(lambda part: part, x, tile=tile, overlap=overlap, multiple=multiple)
    assert result.shape == x.shape
    assert float((result - x).abs().max()) < 1e-6


def test_a_single_tile_is_told_and_can_be_cancelled() -> None:
    told: list[tuple[int, int]] = []
    run_tiled(_blur, torch.rand(1, 1, 20, 20), overlap=8, on_tile=lambda i, n: told.append((i, n)))
    assert told == [(1, 1)]
    with pytest.raises(Cancelled):
        run_tiled(_blur, torch.rand(1, 1, 20, 20), overlap=8, on_tile=lambda i, n: False)


def test_tells_the_tiles_that_it_fell_back_to() -> None:
    _, function = _only_up_to(90, MemoryError())
    told: list[tuple[int, int]] = []
    x = torch.rand(1, 1, 100, 100)
    run_tiled(function, x, tile="off", overlap=8, on_tile=lambda i, n: told.append((i, n)))  # type: ignore[arg-type]
    assert told == [(i + 1, len(told)) for i in range(len(told))]
    assert len(told) > 1


def test_does_not_shrink_tiles_until_the_overlap_fills_them() -> None:
    sides, function = _only_up_to(0, MemoryError())
    with pytest.raises(RetouchError, match="out of memory even"):
        run_tiled(function, torch.rand(1, 1, 600, 600), overlap=32)  # type: ignore[arg-type]
    assert min(sides) > 96  # three overlaps


def test_an_explicit_tile_that_its_overlap_fills_is_refused() -> None:
    with pytest.raises(OptionError, match="--tile 16 is too small"):
        run_tiled(_blur, torch.rand(1, 1, 100, 100), tile=16, overlap=8)
    x = torch.rand(1, 1, 16, 12)  # no matter where one tile is enough
    assert torch.equal(run_tiled(_blur, x, tile=16, overlap=8), _blur(x))


def test_keeps_no_graph() -> None:
    weight = torch.ones(1, requires_grad=True)
    result = run_tiled(lambda x: x * weight, torch.rand(1, 50, 50), tile=40, overlap=4)
    assert not result.requires_grad


@pytest.mark.parametrize("shape", [(2, 1, 9, 9), (9, 9), (1, 0, 9)])
def test_a_senseless_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="takes"):
        run_tiled(_blur, torch.rand(shape), overlap=4)


def test_a_function_of_another_scale_is_refused() -> None:
    with pytest.raises(ValueError, match="not into sides of"):
        run_tiled(_blur, torch.rand(1, 20, 20), overlap=4, scale=2)
