"""ResNet's stages: sizes, widths, torchvision's keys."""

from __future__ import annotations

import pytest
import torch

from retouch.networks.build import count_parameters
from retouch.networks.resnet import ResNetStages

# torchvision's networks without their classifier: 11,689,512 - 513,000 and so on
COUNTS = {18: 11_176_512, 34: 21_284_672, 50: 23_508_032}


@pytest.mark.parametrize("depth", list(COUNTS))
def test_parameters(depth: int) -> None:
    assert count_parameters(ResNetStages(depth)) == COUNTS[depth]


@pytest.mark.parametrize(("depth", "widths"), [(18, (64, 64, 128, 256, 512)), (50, (64, 256, 512, 1024, 2048))])
def test_activations_after_each_halving(depth: int, widths: tuple[int, ...]) -> None:
    network = ResNetStages(depth).eval()
    with torch.no_grad():
        found = network(torch.rand(1, 3, 65, 40))
    assert network.widths == widths
    assert [tuple(a.shape) for a in found] == [
        (1, widths[0], 33, 20),
        (1, widths[1], 17, 10),
        (1, widths[2], 9, 5),
        (1, widths[3], 5, 3),
        (1, widths[4], 3, 2),
    ]


def test_torchvision_keys() -> None:
    state = ResNetStages(34).state_dict()
    for key, shape in {
        "conv1.weight": (64, 3, 7, 7),
        "bn1.running_var": (64,),
        "layer1.2.conv2.weight": (64, 64, 3, 3),
        "layer2.0.downsample.0.weight": (128, 64, 1, 1),
        "layer2.0.downsample.1.running_mean": (128,),
        "layer3.5.bn1.weight": (256,),
        "layer4.2.bn2.bias": (512,),
    }.items():
        assert tuple(state[key].shape) == shape
    assert not any(key.startswith("layer1.0.downsample") for key in state)
    assert tuple(ResNetStages(50).state_dict()["layer1.0.downsample.0.weight"].shape) == (256, 64, 1, 1)
    # the stride of a bottleneck is in its 3 x 3 convolution
    first = ResNetStages(50).get_submodule("layer2.0")
    assert (first.conv1.stride, first.conv2.stride) == ((1, 1), (2, 2))


def test_a_block_by_hand() -> None:
    """With kernels that pick the centre, a block is relu(x + relu(x))."""
    block = ResNetStages(18, stages=2).eval().get_submodule("layer1.0")
    with torch.no_grad():
        for convolution in (block.conv1, block.conv2):
            convolution.weight.zero_()
            convolution.weight[range(64), range(64), 1, 1] = (1 + 1e-5) ** 0.5  # the norm divides by that
    x = torch.randn(1, 64, 5, 4)
    torch.testing.assert_close(block(x), torch.relu(x + torch.relu(x)))


@pytest.mark.parametrize(("depth", "stages"), [(20, 5), (34, 1), (34, 6)])
def test_refused(depth: int, stages: int) -> None:
    with pytest.raises(ValueError, match=r"depth is one of|stages is 2 to 5"):
        ResNetStages(depth, stages)
