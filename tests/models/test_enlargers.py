"""The networks among which the default enlarger and denoiser were chosen: prepared, in tiles, and exported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from retouch.models.card import Card
from retouch.models.export import export_onnx
from retouch.models.load import Model
from retouch.models.prepare import prepare
from retouch.models.runner import Runner
from retouch.networks.build import build
from retouch.networks.spec import Spec

NETWORKS: dict[str, dict[str, Any]] = {
    "residual-sr": {"scale": 2, "width": 6, "blocks": 2},
    "imdn": {"scale": 2, "width": 16, "blocks": 2, "skip": "bicubic"},
    "safmn": {"scale": 3, "width": 8, "blocks": 1, "levels": 2, "skip": "bicubic"},
    "span": {"scale": 2, "width": 8, "blocks": 2},
    "nafnet-sr": {"scale": 2, "width": 8, "blocks": 2},
    "nafnet": {"width": 4, "encoder": [1, 1], "middle": 1, "decoder": [1, 1]},
}


def _model(name: str) -> Model:
    torch.manual_seed(0)
    network = build(name, NETWORKS[name]).eval().requires_grad_(False)
    for parameter in network.parameters():
        if not parameter.any():  # tails and blocks that hand on nothing yet
            nn.init.normal_(parameter, std=0.02)
    card = Card(
        name=name,
        family=name,
        architecture=name,
        arguments=NETWORKS[name],
        tasks=("upscale",),
        colour="rgb",
        summary="",
    )
    return Model(card, network, Path(f"{name}.safetensors"))


@pytest.mark.parametrize("name", list(NETWORKS))
def test_prepared_it_is_the_network(name: str) -> None:
    network = _model(name).network
    x = torch.rand(2, 3, 24, 32)
    expected = network(x)
    assert float((expected.mean((2, 3)) - x.mean((2, 3))).abs().max()) < 10
    exact = prepare(network, torch.device("cpu"), "fp32")
    assert float((exact(x) - expected).abs().max()) < 1e-5
    for precision, limit in (("bf16", 0.05), ("fp16", 0.01)):
        lowered = prepare(network, torch.device("cpu"), precision)
        made = lowered(x)
        assert made.dtype == torch.float32
        assert str(lowered.dtype) in ("torch.bfloat16", "torch.float16")
        assert float((made - expected).square().mean().sqrt()) < limit * float(expected.std())


@pytest.mark.parametrize("name", list(NETWORKS))
def test_tiles_give_what_the_whole_gives_where_the_halo_is_exact(name: str) -> None:
    model = _model(name)
    spec = model.network.spec
    assert isinstance(spec, Spec)
    x = torch.rand(3, 91, 75, generator=torch.Generator().manual_seed(1))
    whole = Runner(model, precision="fp32", tile="off", device="cpu").run(x, spec.scale)
    tiled = Runner(model, precision="fp32", tile=72, device="cpu").run(x, spec.scale)
    assert whole.shape == tiled.shape == (3, 91 * spec.scale, 75 * spec.scale)
    difference = float((whole - tiled).abs().max())
    assert difference < (1e-5 if spec.exact else 0.05)
    assert spec.exact == (name in ("residual-sr", "safmn", "span"))


@pytest.mark.parametrize("name", list(NETWORKS))
def test_exported_it_is_the_network(name: str, tmp_path: Path) -> None:
    for package in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(package)
    assert export_onnx(_model(name), tmp_path / "m.onnx").difference < 1e-4
