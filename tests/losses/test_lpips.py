"""LPIPS by hand on activations that are easy to follow, and against the numbers of its authors' program."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from retouch.image.errors import OptionError
from retouch.image.image import Image
from retouch.losses.build import build_loss
from retouch.losses.lpips import LPIPS, published_heads
from retouch.metrics import load_lpips, lpips
from retouch.networks.vgg import VGGFeatures


class Split(nn.Module):
    """"two": the first two channels; "one": the third, tripled."""  # fmt: skip

    def forward(self, x: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
        made = {"two": x[:, :2], "one": 3 * x[:, 2:]}
        return {name: made[name] for name in names}


HEADS = {"two": torch.tensor([0.5, 2.0]), "one": torch.tensor([10.0])}


def picture(*pixels: tuple[float, float, float]) -> Tensor:
    return torch.tensor(pixels).T.reshape(1, 3, 1, -1).contiguous()


def test_by_hand() -> None:
    measure = LPIPS(Split(), HEADS)
    a, b = picture((3.0, 4.0, 1.0), (1.0, 0.0, 0.0)), picture((4.0, 3.0, 2.0), (0.0, 2.0, 5.0))
    # two: (.6, .8) and (.8, .6); (1, 0) and (0, 1). one: 1 and 1; 0 and 1
    first = (0.5 * 0.2**2 + 2 * 0.2**2 + 0.5 * 1 + 2 * 1) / 2
    assert float(measure(a, b)) == pytest.approx(first + 10 * 1 / 2, rel=1e-6)
    assert measure.distances(torch.cat((a, b)), torch.cat((b, b))).tolist() == pytest.approx([first + 5, 0])
    assert float(measure(torch.cat((a, b)), torch.cat((b, b)))) == pytest.approx((first + 5) / 2)


def test_gradients_are_finite_where_nothing_answers_and_reach_the_prediction_only() -> None:
    measure = LPIPS(Split(), HEADS)
    a, b = torch.zeros((1, 3, 2, 2), requires_grad=True), torch.rand((1, 3, 2, 2)).requires_grad_()
    measure(a, b).backward()
    assert a.grad is not None
    assert torch.isfinite(a.grad).all()
    assert b.grad is None
    assert not list(measure.parameters())


def test_heads_come_along_and_fit_vgg16() -> None:
    heads = published_heads()
    assert {name: head.numel() for name, head in heads.items()} == {
        "relu1_2": 64, "relu2_2": 128, "relu3_3": 256, "relu4_3": 512, "relu5_3": 512,
    }  # fmt: skip
    assert all(float(head.min()) > 0 for head in heads.values())  # nothing that differs makes pictures more alike
    measure = build_loss("lpips", features=lambda: VGGFeatures(16))
    x = torch.rand(2, 3, 32, 32)
    assert float(measure(x, x)) == 0
    assert float(measure(x, x.flip(-1))) > 0
    assert float(measure(x[:, :1], x[:, :1].flip(-1))) > 0
    assert not any(key.startswith("head") for key in measure.state_dict())


def test_the_metric_takes_pictures_of_any_kind() -> None:
    measure = LPIPS(Split(), HEADS)
    a, b = torch.rand(3, 6, 5), torch.rand(3, 6, 5)
    value = lpips(a, b, measure)
    assert value == pytest.approx(float(measure(a[None], b[None])))
    assert lpips(Image(a), b[None], measure) == value
    assert lpips(a * 3 - 1, b, measure) == lpips((a * 3 - 1).clamp(0, 1), b, measure)
    grey = torch.rand(1, 6, 5)
    assert lpips(grey, b, measure) == lpips(grey.expand(3, -1, -1), b, measure)
    with pytest.raises(ValueError, match=r"differ in size: \(6, 5\) and \(6, 4\)"):
        lpips(a, b[..., :4], measure)


@pytest.fixture
def shared_weights(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = shared_data.parent / "weights"
    if not (folder / "vgg16_features.safetensors").is_file():
        pytest.skip(f"no VGG16 at {folder}")
    monkeypatch.setenv("RETOUCH_FEATURES", str(folder))
    load_lpips.cache_clear()


@pytest.mark.usefixtures("shared_weights")
def test_numbers_of_the_authors_program() -> None:
    """lpips 0.1.4 (net='vgg', version 0.1) on drawn pictures, with the same VGG16; computed once, written down here."""
    y, x = torch.meshgrid(torch.arange(64) / 64, torch.arange(80) / 80, indexing="ij")
    a = torch.stack([0.5 + 0.5 * torch.sin(12 * x), 0.5 + 0.5 * torch.cos(9 * y), x * y])
    b = (a + 0.1 * torch.sin(40 * (x + y))).clamp(0, 1)
    c = torch.stack([x, y, (x + y) / 2])
    assert lpips(a, b) == pytest.approx(0.2912331, abs=2e-5)
    assert lpips(a, c) == pytest.approx(0.8399233, abs=2e-5)
    assert lpips(b, c) == pytest.approx(0.8976116, abs=2e-5)
    assert load_lpips() is load_lpips()
    with pytest.raises(OptionError, match="needs pictures of at least 16 x 16 pixels"):
        lpips(a[:, :15], b[:, :15])
    assert lpips(a[:, :16, :16], b[:, :16, :16]) > 0
