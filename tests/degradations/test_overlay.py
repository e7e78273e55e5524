"""Overlays touch what their mask says, and nothing else."""

from __future__ import annotations

import pytest
import torch

from retouch.degradations.overlay import FixedOverlay, RandomOverlay, TextOverlay, Watermark
from retouch.image.errors import OptionError


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


KINDS: list[RandomOverlay] = [
    TextOverlay(),
    TextOverlay("two\nlines", count=3, angle=30, opacity=0.5, colour="#ff8000"),
    TextOverlay("\u00a9", count=40, size=0.3),
    Watermark(),
    Watermark("PROOF", angle=0, colour="random"),
]


@pytest.mark.parametrize("overlay", KINDS, ids=repr)
@pytest.mark.parametrize("size", [(1, 1), (1, 50), (60, 44), (128, 200)])
def test_the_mask_marks_exactly_what_changed(overlay: RandomOverlay, size: tuple[int, int]) -> None:
    x = torch.rand((2, 3, *size)) * 1e-3  # nearly black, so that any ink changes it
    fixed = overlay.draw(size, seeded(2))
    assert fixed.mask.shape == (1, *size)
    y = fixed(x)
    kept = fixed.mask[None].expand_as(x) == 1
    assert torch.equal(y[kept], x[kept])
    assert torch.equal(overlay(x[:1], seeded(2)), y[:1])
    if size[0] > 50:
        assert 0.1 < float(fixed.mask.mean()) < 0.99
        changed = (y[0] != x[0]).any(0, keepdim=True)
        assert float((changed != (fixed.mask == 0)).float().mean()) < 0.01


def test_blend_by_hand() -> None:
    layer = torch.tensor([1.0, 0.5, 0.0])[:, None, None].expand(3, 1, 2)
    alpha = torch.tensor([[[0.0, 0.25]]])
    fixed = FixedOverlay(layer, alpha)
    y = fixed(torch.full((1, 3, 1, 2), 0.4))
    torch.testing.assert_close(y[0, :, 0], torch.tensor([[0.4, 0.55], [0.4, 0.425], [0.4, 0.3]]))
    grey = fixed(torch.full((1, 1, 1, 2), 0.4))
    assert float(grey[0, 0, 0, 1]) == pytest.approx(0.75 * 0.4 + 0.25 * (0.299 + 0.5 * 0.587), abs=1e-6)
    assert fixed.mask.tolist() == [[[1.0, 0.0]]]


def test_full_ink_shows_the_colour() -> None:
    y = TextOverlay("\u2122 EXAMPLE", size=0.5, colour="#ff0000", count=1)(torch.zeros((1, 3, 120, 400)), seeded(1))
    inked = y[0, 0] > 0.999
    assert inked.sum() > 500
    assert not y[0, 1:].any()


def test_words_seldom_cover_each_other() -> None:
    """Fully inked pixels are nearly as many as the words have one by one."""
    together = alone = 0.0
    for seed in range(5):
        overlay = TextOverlay("WORD", count=8, size=0.05)
        together += float((1 - overlay.draw((400, 400), seeded(seed)).mask).sum())
        single = TextOverlay("WORD", count=1, size=0.05)
        alone += 8 * float((1 - single.draw((400, 400), seeded(seed)).mask).sum())
    assert together > 0.98 * alone


def test_opacity_scales_the_change() -> None:
    x = torch.zeros((1, 3, 240, 320))
    half, full = (Watermark("HELLO", opacity=o)(x, seeded(1)) for o in (0.5, 1.0))
    torch.testing.assert_close(half * 2, full)
    assert float(full.max()) == pytest.approx(1)
    assert torch.equal(Watermark(opacity=0.0)(x, seeded()), x)


def test_a_watermark_reaches_every_part_of_the_picture() -> None:
    for angle in (0.0, 30.0, 75.0):
        mask = Watermark(angle=angle).draw((300, 400), seeded(3)).mask[0]
        for block in mask.unfold(0, 100, 100).unfold(1, 100, 100).reshape(-1, 100, 100):
            assert (block == 0).any()


def test_letters_are_upright_and_turn_counter_clockwise() -> None:
    """The ink of a long dash is wide; turned by 90 degrees it is tall; by 45 degrees it rises to the right."""
    spans = {}
    for angle in (0.0, 45.0, 90.0):
        lost = TextOverlay("_______", count=1, size=0.1, angle=angle).draw((300, 300), seeded(5)).mask[0] == 0
        rows, columns = torch.nonzero(lost, as_tuple=True)
        spans[angle] = int(rows.max() - rows.min()), int(columns.max() - columns.min())
        if angle == 45.0:
            centred = torch.stack((columns - columns.float().mean(), rows - rows.float().mean()))
            assert float((centred[0] * centred[1]).mean()) < 0  # rows count downwards
    assert spans[0.0][1] > 5 * spans[0.0][0]
    assert spans[90.0][0] > 5 * spans[90.0][1]


def test_bad_parameters_are_named() -> None:
    with pytest.raises(OptionError, match="colour must be a name"):
        TextOverlay(colour="reddish-ish")
    with pytest.raises(OptionError, match="Watermark: text must not be empty"):
        Watermark("  ")
    with pytest.raises(OptionError, match="TextOverlay: text must be a text"):
        TextOverlay(text=5)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="the overlay is 9x8 pixels, the picture 9x9"):
        TextOverlay().draw((8, 9), seeded())(torch.zeros((1, 1, 9, 9)))
    with pytest.raises(OptionError, match="FixedOverlay"):
        FixedOverlay(torch.zeros(3, 4, 4), torch.zeros(1, 4, 5))
