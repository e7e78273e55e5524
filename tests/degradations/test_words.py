"""Words strewn over a picture: as many as asked for, where the mask says, each of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from retouch.degradations.words import FONTS, INKS, RandomText
from retouch.image.errors import OptionError


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("font", FONTS)
@pytest.mark.parametrize("ink", INKS)
def test_every_font_and_ink_marks_what_it_changes(font: str, ink: str) -> None:
    text = RandomText(count=6, font=font, ink=ink, colour="white", low_opacity=0.5)
    for size in ((1, 1), (90, 1), (64, 80)):
        fixed = text.draw(size, seeded(3))
        x = torch.full((1, 3, *size), 0.25)
        y = fixed(x)
        assert torch.equal(y, text.draw(size, seeded(3))(x))
        kept = fixed.mask[None].expand_as(x) == 1
        assert torch.equal(y[kept], x[kept])
        assert ((y >= -1e-6) & (y <= 1 + 1e-6)).all()
    assert 0.02 < float((y != x).float().mean()) < 0.95


@settings(max_examples=20)
@given(share=st.floats(0.01, 0.7), seed=st.integers(0, 1000), height=st.integers(40, 120), width=st.integers(40, 120))
def test_words_are_added_until_the_share_is_covered(share: float, seed: int, height: int, width: int) -> None:
    text = RandomText(share=share, smallest=0.05, largest=0.1)
    covered = float((1 - text.draw((height, width), seeded(seed)).mask).mean())
    assert share - 1e-6 <= covered < share + 0.35  # one long, turned word more than needed at the most


def test_a_share_that_two_pixels_cannot_meet_ends() -> None:
    mask = RandomText(share=0.9, count=0).draw((1, 2), seeded()).mask
    assert mask.shape == (1, 1, 2)
    with pytest.raises(OptionError, match="share needs ink that shows"):
        RandomText(share=0.5, solid=0, low_opacity=0, high_opacity=0)


def test_nothing_is_drawn_by_the_words_before() -> None:
    """The ink of the first word is on the picture of one word and, where nothing covers it, on that of ten."""
    one, ten = (RandomText(count=n, solid=1).draw((200, 200), seeded(5)) for n in (1, 10))
    inked = one.alpha[0] == 1
    assert inked.sum() > 20
    assert float((ten.alpha[0][inked] == 1).float().mean()) == 1
    assert ten.mask.mean() < one.mask.mean()


def _boxes(values: dict[str, Any], number: int = 60) -> list[tuple[int, int]]:
    """Height and width of the ink of single words."""
    found = []
    for seed in range(number):
        text = RandomText(count=1, colour="white", solid=1, ink="plain", **values)
        rows, columns = torch.nonzero(text.draw((300, 600), seeded(seed)).alpha[0] > 0.5, as_tuple=True)
        if len(rows):
            found.append((int(rows.max() - rows.min()) + 1, int(columns.max() - columns.min()) + 1))
    return found


def test_sizes_angles_and_opacities_are_in_their_ranges_and_differ() -> None:
    level = {"straight": 1.0, "font": "plain"}
    small, large = ([h for h, _ in _boxes(level | {"smallest": s, "largest": s})] for s in (0.05, 0.2))
    assert max(small) <= 0.05 * 300 * 1.3
    assert 0.05 * 300 < float(np.median(large)) <= 0.2 * 300 * 1.3
    mixed = [h for h, _ in _boxes(level | {"smallest": 0.05, "largest": 0.2})]
    assert len(set(mixed)) > 20
    upright = _boxes({"straight": 0.0, "low_angle": 90, "high_angle": 90, "smallest": 0.05, "largest": 0.05})
    assert sum(h > w for h, w in upright) > 0.8 * len(upright)
    alphas = {
        round(
            float(
                RandomText(1, solid=0, ink="plain", low_opacity=0.3, high_opacity=0.6)
                .draw((200, 300), seeded(s))
                .alpha.max()
            ),
            4,
        )
        for s in range(30)
    }
    assert len(alphas) > 25
    assert all(0.25 < alpha <= 0.6001 for alpha in alphas)


def test_words_of_one_picture_differ_in_colour() -> None:
    layer = RandomText(count=12, ink="plain", solid=1).draw((300, 300), seeded(2))
    colours = layer.layer[:, layer.alpha[0] == 1].T.unique(dim=0)
    assert len(colours) > 5


def test_a_hollow_word_is_an_outline_and_an_outlined_one_has_two_colours() -> None:
    same: dict[str, Any] = {
        "count": 1,
        "colour": "orange",
        "smallest": 0.3,
        "largest": 0.3,
        "font": "plain",
        "straight": 1.0,
        "solid": 1,
    }
    sums = {}
    for ink in INKS:
        fixed = RandomText(**same, ink=ink).draw((300, 1200), seeded(8))
        full = fixed.layer[:, fixed.alpha[0] > 0.75]
        sums[ink] = float(fixed.alpha.sum())
        # printed edges blend both colours; what is wholly one of them is most of the ink
        colours, counts = (full * 255).round().T.unique(dim=0, return_counts=True)
        assert int((counts > 0.05 * counts.sum()).sum()) == (2 if ink in ("outlined", "shadowed") else 1), ink
        assert [255, 165, 0] in colours.int().tolist()
        assert ([0, 0, 0] in colours.int().tolist()) == (ink in ("outlined", "shadowed"))
    assert sums["outlined"] > sums["plain"] + 0.5 * sums["hollow"] > sums["plain"]
    assert sums["plain"] < sums["shadowed"] <= 1.8 * sums["plain"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"share": 1.0}, "share must be at least 0 and at most 0.9"),
        ({"smallest": 0.5, "largest": 0.1}, r"smallest \(0.5\) must not exceed largest"),
        ({"low_opacity": -1.0}, "low_opacity must be"),
        ({"low_angle": 50.0, "high_angle": 40.0}, "low_angle"),
        ({"font": "bolt"}, "did you mean 'bold'"),
        ({"ink": "outline"}, "did you mean 'outlined'"),
        ({"colour": "reddish-ish"}, "colour must be a name"),
        ({"count": 2.5}, "count must be a whole number"),
    ],
)
def test_bad_parameters_are_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=f"RandomText: .*{message}"):
        RandomText(**values)
