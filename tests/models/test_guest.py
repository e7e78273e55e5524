"""Weights of other projects: with a made-up spandrel always, with the real one where it is installed."""

from __future__ import annotations

import enum
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from retouch.image.errors import RetouchError
from retouch.models import catalogue
from retouch.models.guest import load_guest


class Tiling(enum.Enum):
    SUPPORTED = 1


class Sizes:
    minimum, multiple_of = 8, 4

    def get_padding(self, width: int, height: int) -> tuple[int, int]:
        return tuple(-(-max(side, 8) // 4) * 4 - side for side in (width, height))  # type: ignore[return-value]


class Twice(nn.Module):
    """Nearest neighbour, times a learned number; refuses the sizes that it does not take."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        assert x.shape[2] % 4 == x.shape[3] % 4 == 0
        assert min(x.shape[2:]) >= 8
        return nn.functional.interpolate(x, scale_factor=2) * self.weight


def fake(**changes: Any) -> types.ModuleType:
    """A module with spandrel's interface that knows one architecture."""
    module = types.ModuleType("spandrel")

    class ModelLoader:
        def __init__(self, device: str) -> None:
            assert device == "cpu"

        def load_from_state_dict(self, state: dict[str, Tensor]) -> Any:
            if set(state) != {"weight"}:
                raise Exception
            network = Twice()
            network.load_state_dict(state)
            facts = {"model": network, "input_channels": 3, "output_channels": 3, "scale": 2, "purpose": "SR",
                     "size_requirements": Sizes(), "tiling": Tiling.SUPPORTED,
                     "architecture": types.SimpleNamespace(name="Twice")}  # fmt: skip
            return types.SimpleNamespace(**{**facts, **changes})

    module.ModelLoader = ModelLoader  # type: ignore[attr-defined]
    return module


@pytest.fixture
def weight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(sys.modules, "spandrel", fake())
    save_file({"weight": torch.full((1,), 2.0)}, tmp_path / "twice.safetensors")
    return tmp_path / "twice.safetensors"


def test_card_and_network(weight: Path) -> None:
    model = load_guest(weight)
    card = model.card
    assert (card.name, card.architecture, card.tasks, card.scales, card.colour, card.parameters) == (
        "twice", "spandrel:Twice", ("upscale",), (2,), "rgb", 1
    )  # fmt: skip
    assert card.arguments == {"tiling": "supported", "minimum": 8}
    spec: Any = model.network.spec
    assert (spec.channels, spec.scale, spec.multiple, spec.halo) == (3, 2, 4, 32)
    x = torch.rand(2, 3, 5, 11)
    y = model.network(x)
    assert torch.equal(y, (2 * nn.functional.interpolate(x, scale_factor=2)).clamp(0, 1))
    assert catalogue.load(weight).card == card


def test_a_checkpoint_of_tensors_only(weight: Path, tmp_path: Path) -> None:
    torch.save({"params": {"weight": torch.ones(1)}}, tmp_path / "twice.pth")
    assert load_guest(tmp_path / "twice.pth").card.scales == (2,)
    torch.save({"params": {"weight": nn.Conv2d(1, 1, 1)}}, tmp_path / "module.pth")
    with pytest.raises(RetouchError, match="refused"):
        load_guest(tmp_path / "module.pth")


def test_an_unknown_architecture(weight: Path) -> None:
    save_file({"other": torch.ones(1)}, weight)
    with pytest.raises(RetouchError, match=r"not a weight that spandrel can use: spandrel does not know"):
        load_guest(weight)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"purpose": "Inpainting"}, "a network for Inpainting"),
        ({"output_channels": 1}, "the same channels"),
        ({"input_channels": 4, "output_channels": 4}, "4 channels; pictures have 1 or 3"),
    ],
)
def test_networks_that_are_no_guests(
    weight: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], message: str
) -> None:
    monkeypatch.setitem(sys.modules, "spandrel", fake(**changes))
    with pytest.raises(RetouchError, match=message):
        load_guest(weight)


def test_restoration(weight: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        sys.modules, "spandrel", fake(purpose="Restoration", scale=1, input_channels=1, output_channels=1)
    )
    card = load_guest(weight).card
    assert (card.tasks, card.scales, card.colour) == (("denoise", "dejpeg"), (), "y")


def test_spandrel_is_not_here(weight: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spandrel", None)
    with pytest.raises(RetouchError, match=r"need the package spandrel: pip install 'retouch\[guests\]'"):
        load_guest(weight)


def test_a_torchvision_that_does_not_fit(weight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "spandrel")
    (tmp_path / "path" / "spandrel").mkdir(parents=True)
    (tmp_path / "path" / "spandrel" / "__init__.py").write_text(
        "raise RuntimeError('operator torchvision::nms does not exist\\nmore')"
    )
    monkeypatch.syspath_prepend(str(tmp_path / "path"))
    with pytest.raises(RetouchError, match=r"cannot be imported \(operator torchvision::nms does not exist\); [^\n]*$"):
        load_guest(weight)


def test_with_the_real_spandrel(tmp_path: Path) -> None:
    try:
        import spandrel  # type: ignore[import-not-found, unused-ignore]
        from spandrel.architectures.Compact.__arch.SRVGG import (  # type: ignore[import-not-found, unused-ignore]
            SRVGGNetCompact,
        )
    except Exception as error:
        pytest.skip(f"no spandrel that can be imported: {error}")
    torch.manual_seed(0)
    network = SRVGGNetCompact(num_feat=8, num_conv=2, upscale=2).eval()
    save_file(network.state_dict(), tmp_path / "compact.safetensors")
    model = load_guest(tmp_path / "compact.safetensors")
    x = torch.rand(1, 3, 9, 14)
    descriptor = spandrel.ModelLoader(device="cpu").load_from_file(tmp_path / "compact.safetensors")
    torch.testing.assert_close(model.network(x), descriptor(x).detach())
    assert model.card.architecture == "spandrel:RealESRGAN Compact"
