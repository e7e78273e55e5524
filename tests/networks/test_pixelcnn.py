"""The gated PixelCNN: what each value sees, that all probabilities sum to one, and drawing with what is kept."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Generator, Tensor

from retouch.image.errors import OptionError
from retouch.networks.build import build, count_parameters
from retouch.networks.pixelcnn import ColourConv, PixelCNN, below, draw, nats

SMALL = [
    {"channels": 1, "levels": 2, "size": 6, "width": 7, "layers": 2, "kernel": 3, "first": 5, "head": 9},
    {"channels": 3, "levels": 4, "size": 5, "width": 8, "layers": 2, "kernel": 5, "first": 3, "head": 10},
    {"channels": 2, "levels": 3, "size": 4, "width": 6, "layers": 1, "kernel": 3, "first": 7, "head": 6},
]


def made(arguments: dict[str, int]) -> PixelCNN:
    torch.manual_seed(0)
    network = build("pixelcnn", arguments)
    assert isinstance(network, PixelCNN)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(2)  # fresh weights hardly tell the values apart
    return network.eval()


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_every_value_sees_exactly_those_before_it(channels: int) -> None:
    """The gradient of each logit: zero for the value itself and all after it, not zero for all before it."""
    torch.manual_seed(0)
    network = PixelCNN(channels, 3, width=36, layers=3, kernel=3, first=5, head=48).double()
    height, width = 4, 5
    x = torch.rand(1, channels, height, width, dtype=torch.double)
    found = torch.autograd.functional.jacobian(lambda y: network(y)[:, 1], x)[0, :, :, :, 0]
    seen = found.ne(0).permute(1, 2, 0, 4, 5, 3).reshape(height * width * channels, -1)  # in the order of the values
    assert torch.equal(seen, torch.ones_like(seen).tril(-1))


def test_masks_of_colours() -> None:
    first, later = ColourConv(3, 6, 3, reach=1, own=False), ColourConv(6, 12, 3, reach=1, halves=2)
    assert first.mask[:, :, 0, 0].all()
    assert first.mask[:, :, 0, 1].int().tolist() == [[0, 0, 0]] * 2 + [[1, 0, 0]] * 2 + [[1, 1, 0]] * 2
    one_half = [[1, 1, 0, 0, 0, 0]] * 2 + [[1, 1, 1, 1, 0, 0]] * 2 + [[1] * 6] * 2
    assert later.mask[:, :, 0, 1].int().tolist() == one_half * 2
    assert not any(key.endswith("mask") for key in first.state_dict())


def test_rows_move_down() -> None:
    x = torch.arange(6.0).reshape(1, 1, 3, 2)
    assert below(x)[0, 0].tolist() == [[0, 0], [0, 1], [2, 3]]


@pytest.mark.parametrize(("channels", "levels", "height", "width"), [(1, 2, 2, 2), (1, 2, 3, 3), (2, 3, 1, 2)])
def test_the_probabilities_of_all_pictures_sum_to_one(channels: int, levels: int, height: int, width: int) -> None:
    torch.manual_seed(0)
    network = PixelCNN(channels, levels, 2, width=6, layers=2, kernel=3, first=3, head=8).double()
    for parameter in network.parameters():
        parameter.data.mul_(3)
    values = itertools.product(range(levels), repeat=channels * height * width)
    pictures = torch.tensor(list(values)).reshape(-1, channels, height, width)
    with torch.no_grad():
        logits = network(pictures.double() / (levels - 1))
    logarithms = logits.log_softmax(1).gather(1, pictures[:, None])[:, 0].flatten(1).sum(1)
    assert float(logarithms.exp().sum()) == pytest.approx(1, abs=1e-9)
    assert float(logarithms.std()) > 0.1, "a network that knows nothing would pass as well"
    assert torch.allclose(nats(logits, pictures).double(), -logarithms, atol=1e-4)


@pytest.mark.parametrize("arguments", SMALL)
def test_drawing_with_what_is_kept_is_drawing_anew(arguments: dict[str, int]) -> None:
    network = made(arguments)
    torch.manual_seed(1)
    size = network.size
    added = torch.randn(3, network.levels, network.channels, size, size)
    for temperature, more in ((1.0, None), (0.7, added)):
        drawn = network.sample(3, Generator().manual_seed(5), temperature, added=more)
        assert drawn.unique().numel() > 1
        generator, plain = Generator().manual_seed(5), torch.zeros_like(drawn)
        for y, x, colour in itertools.product(range(size), range(size), range(network.channels)):
            with torch.no_grad():
                logits = network(plain)[:, :, colour, y, x]
            if more is not None:
                logits = logits + more[:, :, colour, y, x]
            plain[:, colour, y, x] = draw(logits, generator, temperature) / (network.levels - 1)
        assert torch.equal(drawn, plain)


def test_seeds_repeat_and_rows_are_told() -> None:
    network = made(SMALL[1])
    one, same, other = (network.sample(4, Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert set((one * 3).round().unique().tolist()) <= {0, 1, 2, 3}
    told: list[tuple[int, int, Tensor]] = []

    def hear(done: int, total: int, picture: Tensor) -> bool:
        told.append((done, total, picture.clone()))
        return done < 3

    cut = network.sample(4, Generator().manual_seed(1), on_row=hear)
    assert [row[:2] for row in told] == [(1, 5), (2, 5), (3, 5)]
    assert torch.equal(cut[:, :, :3], one[:, :, :3])
    assert not cut[:, :, 3:].any()
    assert torch.equal(told[1][2][:, :, :2], one[:, :, :2])


def test_draws_as_often_as_the_probabilities_say() -> None:
    logits = torch.tensor([0.1, 0.2, 0.3, 0.4]).log().expand(20000, -1)
    drawn = draw(logits, Generator().manual_seed(0)).bincount(minlength=4) / 20000
    assert torch.allclose(drawn, torch.tensor([0.1, 0.2, 0.3, 0.4]), atol=0.012)
    never = torch.tensor([[0.0, -1e9, 0.0]]).expand(1000, -1)
    assert set(draw(never, Generator().manual_seed(0)).tolist()) == {0, 2}


def test_a_low_temperature_draws_what_is_likeliest() -> None:
    network = made(SMALL[0])
    for temperature in (1e-4, 0.0):
        drawn = network.sample(2, Generator().manual_seed(0), temperature)
        with torch.no_grad():
            assert torch.equal(network(drawn).argmax(1).float(), drawn)
    torch.manual_seed(3)
    one = network.sample(4)
    torch.manual_seed(3)
    assert torch.equal(network.sample(4), one), "without a generator torch's global one decides"


def test_any_size_and_one_logit_for_two_levels() -> None:
    network = made(SMALL[0])
    for height, width in ((1, 1), (1, 7), (9, 2)):
        logits = network(torch.rand(2, 1, height, width))
        assert logits.shape == (2, 2, 1, height, width)
        assert not logits[:, 0].any()
    assert network.head[1].out_channels == 1  # type: ignore[union-attr]


def test_the_logits_of_a_colour_lie_together() -> None:
    network = made(SMALL[1])
    x = torch.arange(12.0).reshape(1, 12, 1, 1)
    assert network.as_logits(x)[0, :, :, 0, 0].T.tolist() == x.reshape(3, 4).tolist()


def test_size_of_the_network_of_the_recipe() -> None:
    network = build("pixelcnn", {"width": 32, "layers": 8, "kernel": 5, "head": 96})
    assert count_parameters(network) < 500_000  # a file of 1 MB


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"levels": 1}, "levels at least 2"),
        ({"layers": 0}, "at least 1"),
        ({"channels": 3, "width": 2}, "width and head at least the channels"),
        ({"kernel": 4}, "odd and at least 3"),
        ({"first": 1}, "odd and at least 3"),
    ],
)
def test_what_makes_no_network(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        build("pixelcnn", arguments)


@pytest.mark.parametrize(("count", "temperature"), [(0, 1.0), (1, -1.0), (1, float("nan"))])
def test_what_cannot_be_drawn(count: int, temperature: float) -> None:
    with pytest.raises(ValueError, match="temperature is at least 0 and count at least 1"):
        made(SMALL[0]).sample(count, Generator(), temperature)
