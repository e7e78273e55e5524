"""Geometry: exact where pixels go to pixels, and right in between."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from retouch.degradations import geometry
from retouch.degradations.geometry import (
    Crop,
    Flip,
    Perspective,
    RandomAffine,
    RandomCrop,
    RandomFlip,
    RandomRotate,
    Rotate,
    Rotate90,
    Shift,
    Zoom,
)
from retouch.image.errors import OptionError


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def picture(height: int, width: int) -> Tensor:
    return torch.rand((2, 3, height, width), generator=seeded(9))


@pytest.mark.parametrize(("angle", "turns"), [(90, 1), (180, 2), (-90, 3), (360, 0), (450, 1)])
def test_right_angles_equal_rot90(angle: float, turns: int) -> None:
    x = picture(9, 9)
    assert torch.equal(Rotate(angle)(x), torch.rot90(x, turns, (-2, -1)))
    assert torch.equal(Rotate90(turns)(x), torch.rot90(x, turns, (-2, -1)))


def test_the_interpolated_way_agrees_with_the_exact_one() -> None:
    x = picture(8, 11).double()
    near = torch.rot90(x, 2, (-2, -1))
    torch.testing.assert_close(Rotate(180 + 1e-9)(x), near, atol=1e-6, rtol=0)
    square = picture(7, 7).double()
    torch.testing.assert_close(Rotate(90 - 1e-9)(square), torch.rot90(square, 1, (-2, -1)), atol=1e-6, rtol=0)
    torch.testing.assert_close(Shift(3 + 1e-9, -2)(x), Shift(3, -2)(x), atol=1e-6, rtol=0)
    # beyond one width the mirror turns over again
    torch.testing.assert_close(Shift(25 + 1e-9, 17)(x), Shift(25, 17)(x), atol=1e-6, rtol=0)


def test_an_oblong_picture_keeps_its_frame_when_rotated_by_90_degrees() -> None:
    x = picture(9, 5)
    y = Rotate(90)(x)
    assert y.shape == x.shape
    centre = torch.rot90(x, 1, (-2, -1))
    torch.testing.assert_close(y[..., 2:7, :], centre[..., :, 2:7])


def test_rotation_equals_opencv() -> None:
    """Against another implementation, away from the border, where the two treat what lies outside alike."""
    import cv2
    from skimage import data

    x = np.ascontiguousarray(data.astronaut()[100:229, 100:260], dtype=np.float32) / 255
    matrix = cv2.getRotationMatrix2D(((160 - 1) / 2, (129 - 1) / 2), 23.0, 1.0)
    expected = cv2.warpAffine(x, matrix, (160, 129), flags=cv2.INTER_LINEAR)
    y = Rotate(23.0)(torch.from_numpy(x).permute(2, 0, 1)[None])[0].permute(1, 2, 0).numpy()
    inner = slice(40, 90), slice(50, 110)
    assert np.abs(y[inner] - expected[inner]).mean() < 0.002
    assert np.abs(y[inner] - expected[inner]).max() < 0.05  # OpenCV's coordinates are in 32nds of a pixel


@settings(max_examples=40)
@given(right=st.integers(-20, 20), down=st.integers(-20, 20))
def test_whole_shifts_are_exact(right: int, down: int) -> None:
    x = picture(6, 8)
    padded = np.pad(x.numpy(), ((0, 0), (0, 0), (20, 20), (20, 20)), mode="symmetric")
    expected = padded[..., 20 - down : 26 - down, 20 - right : 28 - right]
    np.testing.assert_array_equal(Shift(right, down)(x).numpy(), expected)


def test_half_a_pixel_is_the_mean_of_two() -> None:
    x = picture(4, 6).double()
    y = Shift(0.5, 0)(x)
    torch.testing.assert_close(y[..., 1:], (x[..., 1:] + x[..., :-1]) / 2)


def test_identities() -> None:
    x = picture(7, 10)
    assert torch.equal(Perspective(0)(x), x)
    assert torch.equal(Rotate(0)(x), x)
    assert torch.equal(Shift(0, 0)(x), x)
    torch.testing.assert_close(Zoom(1.0)(x), x, atol=1e-5, rtol=0)
    torch.testing.assert_close(Perspective(1e-9)(x, seeded()), x, atol=1e-5, rtol=0)
    assert torch.equal(Flip("vertical")(Flip("vertical")(x)), x)


def test_zoom_of_a_ramp() -> None:
    """On a linear ramp bilinear sampling is exact: zoom 2 halves the slope about the centre."""
    ramp = torch.linspace(-1, 1, 21, dtype=torch.float64).expand(1, 1, 5, 21)
    torch.testing.assert_close(Zoom(2.0)(ramp), ramp / 2)
    out = Zoom(0.5)(ramp)
    torch.testing.assert_close(out[..., 6:15], ramp[..., 6:15] * 2)


def test_perspective_takes_corners_to_the_drawn_ones() -> None:
    """A picture that holds its own coordinates shows where each output pixel was taken from."""
    height, width = 41, 61
    rows = torch.arange(height, dtype=torch.float64)[:, None].expand(height, width) - (height - 1) / 2
    columns = torch.arange(width, dtype=torch.float64).expand(height, width) - (width - 1) / 2
    x = torch.stack((columns, rows))[None]
    degradation = Perspective(0.5)
    y = degradation(x, seeded(3))[0]
    inverse = degradation._inverse(x, seeded(3))
    corner = inverse @ torch.tensor([-width / 2, -height / 2, 1.0], dtype=torch.float64)
    corner = corner[:2] / corner[2]
    assert -width / 2 <= float(corner[0]) <= -width / 4
    assert -height / 2 <= float(corner[1]) <= -height / 4
    point = inverse @ torch.tensor([10.0, -7.0, 1.0], dtype=torch.float64)
    torch.testing.assert_close(y[:, 20 - 7, 30 + 10], point[:2] / point[2])
    # straight lines stay straight: the images of three points on a line are on one
    a, b, c = y[:, 5, 5], y[:, 15, 20], y[:, 25, 35]
    assert abs(float((b - a)[0] * (c - a)[1] - (b - a)[1] * (c - a)[0])) < 1e-6


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6))
def test_perspective_never_folds(seed: int) -> None:
    inverse = Perspective(0.6)._inverse(torch.zeros((1, 1, 30, 50)), seeded(seed))
    for u in (-25.0, 25.0):
        for v in (-15.0, 15.0):
            assert float(inverse[2] @ torch.tensor([u, v, 1.0], dtype=torch.float64)) > 0


def _coordinates(side: int) -> torch.Tensor:
    """A picture that holds its own coordinates, from the centre: columns, then rows."""
    line = torch.arange(side, dtype=torch.float64) - (side - 1) / 2
    return torch.stack((line.expand(side, side), line[:, None].expand(side, side)))[None]


def _matrix(y: torch.Tensor) -> torch.Tensor:
    """(2, 3): where the middle of the output of ``_coordinates`` was taken from, in x, y and 1."""
    middle = y.shape[-1] // 2
    origin = y[0, :, middle, middle]
    return torch.stack((y[0, :, middle, middle + 1] - origin, y[0, :, middle + 1, middle] - origin, origin), 1)


def test_affine_alone_is_each_of_its_parts() -> None:
    x = _coordinates(41)
    still = {"angle": 0, "shift": 0, "shear": 0, "zoom": 0}
    torch.testing.assert_close(RandomAffine(**still)(x, seeded()), x)
    turned = _matrix(RandomAffine(**still | {"angle": 30})(x, seeded(1)))
    angle = math.degrees(math.atan2(float(turned[1, 0]), float(turned[0, 0])))
    assert 0 < abs(angle) <= 30
    torch.testing.assert_close(turned, _matrix(Rotate(angle)(x)), atol=1e-9, rtol=0)
    moved = _matrix(RandomAffine(**still | {"shift": 0.1})(x, seeded(2)))
    torch.testing.assert_close(moved[:, :2], torch.eye(2, dtype=torch.float64), atol=1e-9, rtol=0)
    assert 0 < float(moved[:, 2].abs().max()) <= 4.1
    zoomed = _matrix(RandomAffine(**still | {"zoom": 0.2})(x, seeded(3)))
    assert all(1 / 1.2 <= float(zoomed[i, i]) <= 1 / 0.8 for i in range(2))
    assert float(zoomed[0, 1]) == pytest.approx(0, abs=1e-9)
    sheared = _matrix(RandomAffine(**still | {"shear": 0.3})(x, seeded(4)))
    assert 0 < abs(float(sheared[0, 1])) <= 0.3
    assert float(sheared[1, 0]) == pytest.approx(0, abs=1e-9)


def test_affine_of_a_batch_differs_from_picture_to_picture() -> None:
    made = RandomAffine()(_coordinates(21).repeat(3, 1, 1, 1), seeded())
    assert not torch.allclose(made[0], made[1])
    assert not torch.allclose(made[1], made[2])
    with pytest.raises(OptionError, match="zoom"):
        RandomAffine(zoom=0.6)


def test_crops() -> None:
    x = picture(9, 8)
    assert torch.equal(Crop(1, 2, 3, 4)(x), x[..., 1:4, 2:6])
    with pytest.raises(OptionError, match="reaches beyond a picture of 8x9 pixels"):
        Crop(7, 0, 3, 3)(x)
    with pytest.raises(OptionError, match="larger than a picture of 8x9 pixels"):
        RandomCrop(9)(x)
    corners = set()
    marked = torch.arange(16.0).reshape(1, 1, 4, 4) / 16
    for seed in range(60):
        corners.add(float(RandomCrop(3)(marked, seeded(seed))[0, 0, 0, 0]) * 16)
    assert corners == {0, 1, 4, 5}


def test_random_flips_happen_as_often_as_stated() -> None:
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).expand(2000, 1, 2, 2)
    first = RandomFlip(horizontal=0.3, vertical=0.5)(x, seeded())[:, 0, 0, 0]
    for value, share in ((1, 0.7 * 0.5), (2, 0.3 * 0.5), (3, 0.7 * 0.5), (4, 0.3 * 0.5)):
        assert float((first == value).float().mean()) == pytest.approx(share, abs=0.04)


def test_random_rotation_stays_in_its_range(monkeypatch: pytest.MonkeyPatch) -> None:
    angles: list[float] = []

    class Spy(Rotate):
        def __post_init__(self) -> None:
            angles.append(self.angle)

    monkeypatch.setattr(geometry, "Rotate", Spy)
    RandomRotate(-5, 20)(torch.zeros((300, 1, 2, 2)), seeded())
    assert -5 <= min(angles) < -4
    assert 19 < max(angles) <= 20


def test_bad_parameters_are_named() -> None:
    with pytest.raises(OptionError, match="Perspective: strength"):
        Perspective(0.9)
    with pytest.raises(OptionError, match="did you mean 'vertical'"):
        Flip("vertica")
    with pytest.raises(OptionError, match="turns must be a whole number"):
        Rotate90(0.5)  # type: ignore[arg-type]
