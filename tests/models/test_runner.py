"""The runner: colour as the card says, tiles without seams, the ensemble, progress."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from retouch.degradations.levels import Levels
from retouch.image.color import rgb_to_ycbcr, ycbcr_to_rgb
from retouch.image.errors import Cancelled, OptionError, RetouchError
from retouch.image.resize import bicubic
from retouch.models import memory
from retouch.models.card import Card
from retouch.models.load import Model
from retouch.models.runner import Runner
from retouch.networks.build import build
from retouch.networks.spec import Spec


def _model(network: nn.Module, colour: str = "y") -> Model:
    card = Card(
        name="test", family="test", architecture="srcnn", arguments={}, tasks=("upscale",), colour=colour, summary=""
    )
    return Model(card, network.eval().requires_grad_(False), Path("test.safetensors"))


def _network(name: str, **arguments: Any) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    network = build(name, arguments)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.08)
    return network


class _Add(nn.Module):
    """Adds a constant: what reaches the network, and how, can be told from the result."""

    def __init__(self, value: float, channels: int = 1, multiple: int = 1) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(value))
        self.spec = Spec(channels=channels, multiple=multiple)

    def forward(self, x: Tensor) -> Tensor:
        assert x.shape[1] == self.spec.channels
        return x + self.value


def _picture(channels: int = 3, height: int = 61, width: int = 75) -> Tensor:
    return torch.rand(channels, height, width, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("name", "arguments", "scale"),
    [
        ("fsrcnn", {"scale": 2, "width": 8, "shrunk": 4, "depth": 2}, 2),
        ("fsrcnn", {"scale": 3, "width": 8, "shrunk": 4, "depth": 2}, 3),
        ("srcnn", {"widths": (8, 4)}, 2),
        ("srcnn", {"widths": (8, 4)}, 1),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_tiles_give_what_the_whole_gives(name: str, arguments: dict[str, Any], scale: int, channels: int) -> None:
    model = _model(_network(name, **arguments))
    x = _picture(channels)
    whole = Runner(model, precision="fp32", tile="off", device="cpu").run(x, scale)
    runner = Runner(model, precision="fp32", tile=40, device="cpu")
    seen: list[tuple[int, int]] = []
    tiled = runner.run(x, scale, lambda done, total: seen.append((done, total)))
    assert whole.shape == (channels, 61 * scale, 75 * scale)
    assert len(seen) == runner.tiles(61, 75, scale) > 1
    assert seen[-1] == (len(seen), len(seen))
    assert float((whole - tiled).abs().max()) < 1e-5


def test_luma_goes_through_the_network_and_chroma_by_bicubic() -> None:
    x = _picture()
    network = _network("fsrcnn", scale=2, width=8, shrunk=4, depth=1)
    result = Runner(_model(network), precision="fp32", device="cpu").run(x, 2)
    planes = rgb_to_ycbcr(x[None])
    expected = ycbcr_to_rgb(torch.cat((network(planes[:, :1]), bicubic(planes[:, 1:], scale=2)), 1))[0]
    assert torch.allclose(result, expected, atol=1e-5)


def test_a_grey_picture_goes_in_raw_and_nothing_is_clipped() -> None:
    x = _picture(1) * 1.4 - 0.2
    network = _network("fsrcnn", scale=2, width=8, shrunk=4, depth=1)
    result = Runner(_model(network), precision="fp32", device="cpu").run(x, 2)
    assert torch.allclose(result, network(x[None])[0], atol=1e-5)
    assert torch.allclose(Runner(_model(_Add(0.5)), precision="fp32", device="cpu").run(x), x + 0.5)


def test_the_colours_of_a_card() -> None:
    x = _picture()
    every = Runner(_model(_Add(0.25), "each"), precision="fp32", device="cpu").run(x)
    assert torch.allclose(every, x + 0.25)
    together = Runner(_model(_Add(0.25, 3), "rgb"), precision="fp32", device="cpu")
    assert torch.allclose(together.run(x), x + 0.25)
    assert torch.allclose(together.run(x[:1]), x[:1] + 0.25)
    luma = Runner(_model(_Add(0.1), "y"), precision="fp32", device="cpu").run(x)
    assert torch.allclose(luma, x + 0.1 * 255 / 219, atol=1e-5)  # the studio range of Y is 219 of 255 steps
    with pytest.raises(RetouchError, match="3 channels"):
        Runner(_model(_Add(0.25, 3), "y"), device="cpu")


def test_a_network_of_its_own_size_gets_the_enlargement() -> None:
    x = _picture(1)
    result = Runner(_model(_Add(0.0)), precision="fp32", device="cpu").run(x, 3)
    assert torch.allclose(result, bicubic(x[None], scale=3)[0], atol=1e-6)


def test_sides_that_are_no_multiple_and_single_pixels() -> None:
    runner = Runner(_model(_Add(0.25, multiple=4)), precision="fp32", tile=40, device="cpu")
    for size in ((1, 1), (1, 90), (47, 53)):
        x = _picture(1, *size)
        assert torch.allclose(runner.run(x), x + 0.25)


def test_the_ensemble_knows_no_direction_and_is_the_mean_of_the_eight() -> None:
    network = _network("srcnn", widths=(8, 4))
    runner = Runner(_model(network), precision="fp32", views=8, device="cpu")
    x = _picture(1, 20, 26)
    result = runner.run(x)
    assert torch.allclose(runner.run(x.flip(1)).flip(1), result, atol=1e-5)
    assert torch.allclose(runner.run(x.transpose(1, 2)).transpose(1, 2), result, atol=1e-5)
    views = []
    for y in (x[None], x[None].transpose(2, 3)):
        for axes in ((), (2,), (3,), (2, 3)):
            back = network(y.flip(axes)).flip(axes)
            views.append(back if y.shape == x[None].shape else back.transpose(2, 3))
    assert torch.allclose(result, torch.stack(views).mean(0)[0], atol=1e-5)


def test_fewer_views_are_the_picture_and_its_turns() -> None:
    network = _network("srcnn", widths=(8, 4))
    x = _picture(1, 20, 26)
    turned = {
        turns: torch.rot90(network(torch.rot90(x[None], turns, (2, 3))), -turns, (2, 3))[0].detach()
        for turns in range(4)
    }
    assert float((turned[0] - turned[2]).abs().max()) > 1e-3
    for views, turns in ((1, [0]), (2, [0, 2]), (4, [0, 1, 2, 3])):
        result = Runner(_model(network), precision="fp32", views=views, device="cpu").run(x)
        assert torch.allclose(result, torch.stack([turned[turn] for turn in turns]).mean(0), atol=1e-5)
    for views in (0, 3, 9):
        with pytest.raises(OptionError, match="views"):
            Runner(_model(network), views=views, device="cpu")


def test_a_listener_ends_it_and_a_wrong_scale_is_refused() -> None:
    runner = Runner(_model(_network("fsrcnn", scale=2, width=4, shrunk=2, depth=0)), tile=40, device="cpu")
    with pytest.raises(Cancelled):
        runner.run(_picture(), 2, lambda done, total: done < 2)
    for scale in (0, 1, 3, 4):
        with pytest.raises(OptionError, match="2 times larger"):
            runner.run(_picture(), scale)


def test_tiles_are_larger_where_the_overlap_is_wide_and_blocks_bound_the_memory() -> None:
    deep = Runner(_model(_network("dncnn", depth=17), "each"), precision="fp32", tile="auto", device="cpu")
    assert deep.overlap(1) == 2 * 17
    assert deep.network.pixels > 0
    assert deep.auto_tile(1) == 20 * 34
    # by hand: tiles of 680 advance by 680 - 2 * 34 = 612, so 1224 pixels take two and 1225 take three
    assert [deep.tiles(300, side) for side in (680, 681, 1224, 1225)] == [1, 2, 2, 3]
    shallow = Runner(_model(_network("fsrcnn", scale=2)), precision="fp32", tile="auto", device="cpu")
    assert shallow.auto_tile(2) == 512


def test_a_tile_is_as_large_as_memory_that_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    model = _model(_network("dncnn", depth=17), "each")
    monkeypatch.setattr(memory, "is_kept", lambda: True)
    deep = Runner(model, precision="fp32", tile="auto", device="cpu")
    assert deep.network.pixels == 0
    width = 4 * 64  # float32 of 64 channels
    assert deep.auto_tile(1) == math.isqrt(memory.LAYER // width) > 20 * 34
    monkeypatch.setattr(memory, "LAYER", 2**40)
    assert deep.auto_tile(1) == 32 * 34
    monkeypatch.setattr(memory, "LAYER", 2**20)
    assert deep.auto_tile(1) == 512


class _Told(nn.Module):
    """Adds what it is told of the third damage, the enlargement."""

    def __init__(self, levels: int = 5) -> None:
        super().__init__()
        self.nothing = nn.Parameter(torch.zeros(()))
        self.spec = Spec(channels=3, levels=levels)

    def forward(self, x: Tensor) -> Tensor:
        assert x.shape[1] == self.spec.inputs
        return x[:, :3] + x[:, 5:6] + self.nothing


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("tile", ["off", 40])
@pytest.mark.parametrize("views", [1, 8])
def test_a_network_that_asks_is_told_the_levels(channels: int, tile: str | int, views: int) -> None:
    runner = Runner(_model(_Told(), "rgb"), precision="fp32", tile=tile, device="cpu", views=views)
    x = _picture(channels)
    torch.testing.assert_close(runner.run(x), x)
    torch.testing.assert_close(runner.run(x, levels=Levels.of(factor=1.5)), x + 0.25)


def test_a_network_that_does_not_ask_is_told_nothing() -> None:
    runner = Runner(_model(_Add(0.25, channels=3), "rgb"), precision="fp32", device="cpu")
    x = _picture()
    torch.testing.assert_close(runner.run(x, levels=Levels.of(factor=1.5)), x + 0.25)


def test_a_network_that_asks_for_other_levels_is_refused() -> None:
    with pytest.raises(RetouchError, match="is told 7 levels of damage, there are 5"):
        Runner(_model(_Told(7), "rgb"), device="cpu")
