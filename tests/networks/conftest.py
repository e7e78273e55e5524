from __future__ import annotations

from typing import Protocol, TypeVar

import pytest
import torch
from torch import nn

N = TypeVar("N", bound=nn.Module)


class Moved(Protocol):
    """Makes all of a network that begins at zero something else, ``std`` large, and puts it out of training."""

    def __call__(self, network: N, /, std: float = 0.05) -> N: ...


@pytest.fixture
def moved() -> Moved:
    def changed(network: N, /, std: float = 0.05) -> N:
        torch.manual_seed(0)
        with torch.no_grad():
            for parameter in network.parameters():
                if not bool(parameter.any()):
                    nn.init.normal_(parameter, std=std)
        return network.eval()

    return changed
