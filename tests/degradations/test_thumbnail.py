"""fastai's crappify: small, stamped, JPEG, large again."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from retouch.degradations.jpeg import Jpeg
from retouch.degradations.thumbnail import Thumbnail
from retouch.image.errors import OptionError


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def photo() -> torch.Tensor:
    from skimage import data

    return torch.from_numpy(data.astronaut()[:256, 40:400].copy()).permute(2, 0, 1)[None] / 255


def test_by_pillow(photo: torch.Tensor) -> None:
    """Pillow's bilinear there, libjpeg, and Pillow's bilinear back."""
    from PIL import Image

    picture = Image.fromarray((photo[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy())
    small = picture.resize((135, 96), Image.Resampling.BILINEAR)
    pixels = torch.from_numpy(np.array(small)).permute(2, 0, 1)[None] / 255
    coded = (Jpeg(50)(pixels)[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
    expected = np.array(Image.fromarray(coded).resize((360, 256), Image.Resampling.BILINEAR), dtype=np.float32)
    made = Thumbnail(low=50, high=50, stamp=False)(photo)[0].permute(1, 2, 0).numpy() * 255
    # a rounding apart before the JPEG; at the border Pillow cuts its kernel, ours mirrors the picture
    assert np.abs(made - expected).mean() < 0.8


def test_the_stamp_is_white_and_in_the_top_left(photo: torch.Tensor) -> None:
    black = torch.zeros_like(photo)
    places = []
    for seed in range(12):
        y = Thumbnail(low=70, high=70)(black, seeded(seed))[0].amax(0)
        rows, columns = torch.nonzero(y > 0.5, as_tuple=True)
        if not len(rows):
            continue  # the small picture's middle, and its ink faint
        assert y.max() > 0.8
        assert rows.min() <= 0.5 * 256 + 8 * 256 / 96
        assert columns.min() <= 0.5 * 360 + 8 * 256 / 96
        assert rows.max() - rows.min() < 12 * 256 / 96
        places.append((int(rows.min()), int(columns.min())))
    assert len(set(places)) > 8


def test_seeds_sizes_and_qualities(photo: torch.Tensor) -> None:
    crude = Thumbnail()
    assert torch.equal(crude(photo, seeded(1)), crude(photo, seeded(1)))
    assert not torch.equal(crude(photo, seeded(1)), crude(photo, seeded(2)))
    best, worst = (float((Thumbnail(64, q, q, stamp=False)(photo) - photo).square().mean()) for q in (70, 10))
    assert best < worst
    small = photo[..., :40, :60]
    torch.testing.assert_close(Thumbnail(low=30, high=30, stamp=False)(small), Jpeg(30)(small))
    for size in ((1, 1), (1, 300), (97, 200)):
        assert crude(torch.rand((2, 1, *size)), seeded()).shape == (2, 1, *size)


def test_bad_parameters_are_named() -> None:
    with pytest.raises(OptionError, match=r"Thumbnail: low \(80\) must not exceed high \(70\)"):
        Thumbnail(low=80)
    with pytest.raises(OptionError, match="side must be at least 1"):
        Thumbnail(side=0)
