"""Where to compute: devices that are not here, and the layout that suits the processor."""

from __future__ import annotations

import pytest
import torch

from retouch.image.errors import OptionError
from retouch.models.device import learning_layout, pick_device


@pytest.mark.parametrize(
    ("device", "capability", "layout"),
    [
        ("cpu", "AVX2", torch.contiguous_format),
        ("cpu", "AVX512", torch.channels_last),
        ("cpu", "DEFAULT", torch.channels_last),
        ("cuda", "AVX2", torch.channels_last),
    ],
)
def test_planes_only_for_narrow_processors(
    device: str, capability: str, layout: torch.memory_format, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert learning_layout(torch.device(device)) is layout


@pytest.mark.parametrize("name", ["cuda", "cuda:1", "mps"])
def test_a_device_that_is_not_here_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(OptionError, match=f"--device {name.split(':')[0]}"):
        pick_device(name)
    assert pick_device() == torch.device("cpu")
