"""Fixtures that every test may use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings
from torch import nn

from retouch.models import memory
from retouch.networks.layers import NamedLayers, NamedStep

REPOSITORY = Path(__file__).resolve().parent.parent

settings.register_profile("untimed", deadline=None)  # a busy machine is no failure
settings.load_profile("untimed")


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Small tensors run faster on one thread, and numbers repeat."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _memory_not_kept() -> Iterator[None]:
    """Blocks and tiles as in a program that has not asked to keep memory, though commands run here before."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "is_kept", lambda: False)
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of test pictures (RETOUCH_DATA, or shared/data beside the checkout); skips where there is none."""
    folder = Path(os.environ.get("RETOUCH_DATA", REPOSITORY.parent / "shared" / "data"))
    if not (folder / "test").is_dir():
        pytest.skip(f"no test pictures at {folder}: set RETOUCH_DATA")
    return folder


class TinyNetwork(NamedLayers):
    """Two convolutions with ReLUs and a pooling between them: random weights, for tests that need no published ones."""

    names = ("conv1", "relu1", "pool1", "conv2", "relu4_3")

    def __init__(self) -> None:
        super().__init__("Tiny", (0.5, 0.4, 0.3), (0.25, 0.25, 0.25))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.features = nn.Sequential(
                nn.Conv2d(3, 5, 3, padding=1),
                nn.ReLU(inplace=True),
                nn.MaxPool2d(2),
                nn.Conv2d(5, 6, 3, padding=1),
                nn.ReLU(inplace=True),
            )
        self.freeze()

    def steps(self) -> list[NamedStep]:
        return list(zip(self.names, self.features, strict=True))


@pytest.fixture
def tiny() -> NamedLayers:
    """A small feature network of layers conv1, relu1, pool1, conv2 (6 channels) and relu4_3."""
    return TinyNetwork()


@pytest.fixture
def tiny_everywhere(monkeypatch: pytest.MonkeyPatch, tiny: NamedLayers) -> NamedLayers:
    """The small network in the place of every published one."""
    for module in ("dream", "invert", "visualize"):
        monkeypatch.setattr(f"retouch.tasks.{module}.load_network", lambda name, on_step: tiny)
        monkeypatch.setattr(f"retouch.tasks.{module}.pick_network", lambda name: "vgg16")
    return tiny
