from __future__ import annotations

from typing import Protocol, TypeVar

import pytest
import torch
from torch import nn

N = TypeVar("N", bound=nn.Module)


class Moved(Protocol):
    """Makes all of a network that begins at zero something else, and puts it out of training."""

    def __call__(self, network: N, /) -> N: ...


@pytest.fixture
def moved() -> Moved:
    def changed(network: N) -> N:
        torch.manual_seed(0)
        with torch.no_grad():
            for parameter in network.parameters():
                if not bool(parameter.any()):
                    nn.init.normal_(parameter, std=0.05)
        return network.eval()

    return changed
