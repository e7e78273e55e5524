"""What is exported computes what torch computes, at any size."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from retouch.image.errors import OptionError, RetouchError
from retouch.models import export
from retouch.models.card import Card
from retouch.models.export import export_onnx
from retouch.models.load import Model
from retouch.networks.build import build
from retouch.networks.spec import Spec

SMALL = {"scale": 3, "width": 4, "shrunk": 2, "depth": 1}


def model(network: nn.Module | None = None) -> Model:
    torch.manual_seed(0)
    if network is None:
        network = build("fsrcnn", SMALL)
        for parameter in network.parameters():
            nn.init.normal_(parameter, std=0.3)  # as initialised, the deconvolution is all but zero
    card = Card(name="small-x3", family="fsrcnn", architecture="fsrcnn", arguments=SMALL, tasks=("upscale",),
                colour="y", summary="")  # fmt: skip
    return Model(card, network.eval(), Path("small-x3.safetensors"))


class Halving(nn.Module):
    """Needs even sides."""

    def __init__(self) -> None:
        super().__init__()
        self.spec = Spec(channels=3, multiple=2)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.pixel_shuffle(nn.functional.pixel_unshuffle(x, 2).square(), 2)


def test_export_agrees_with_torch(tmp_path: Path) -> None:
    onnx, runtime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    small = model()
    made = export_onnx(small, tmp_path / "m.onnx")
    assert made.difference < 1e-5
    assert made.size == made.path.stat().st_size
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]
    graph = onnx.load(made.path)
    onnx.checker.check_model(graph)
    assert graph.opset_import[0].version == 18
    assert {p.key: p.value for p in graph.metadata_props}["retouch"] == small.card.to_json()
    x = torch.rand(3, 1, 5, 17)
    (got,) = runtime.InferenceSession(made.path, providers=["CPUExecutionProvider"]).run(None, {"input": x.numpy()})
    expected = small.network(x).detach().numpy()
    assert expected.std() > 0.01
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_sides_that_must_be_multiples(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    made = export_onnx(model(Halving()), tmp_path / "m.onnx")
    x = np.random.default_rng(0).random((1, 3, 6, 10), dtype=np.float32)
    (got,) = runtime.InferenceSession(made.path).run(None, {"input": x})
    np.testing.assert_allclose(got, x**2, atol=1e-6)


def test_a_difference_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    info = [onnx.helper.make_tensor_value_info(name, 1, ["b", 1, "h", "w"]) for name in ("input", "output")]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["input"], ["output"])], "g", info[:1], info[1:])
    other = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
    monkeypatch.setattr(export, "_trace", lambda *arguments: other)
    same = nn.Identity()
    same.spec = Spec(channels=1)  # type: ignore[assignment]
    assert export_onnx(model(same), tmp_path / "m.onnx").difference == 0
    (tmp_path / "m.onnx").unlink()
    darker = build("srcnn", {"kernels": (1, 1, 1)})
    with pytest.raises(RetouchError, match=r"not written: differs from torch by [01]"):
        export_onnx(model(darker), tmp_path / "m.onnx")
    with pytest.raises(RetouchError, match="not written: differs from torch by inf"):  # of another size
        export_onnx(model(), tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_opsets_that_cannot_be(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxscript")
    with pytest.raises(OptionError, match=r"--opset 99: the onnx package here knows opsets up to \d+"):
        export_onnx(model(), tmp_path / "m.onnx", 99)
    # replicate padding is of opset 18 in the exporter's words, and cannot be said in an older one
    with pytest.raises(RetouchError, match=r"^small-x3: cannot be exported with opset 17; with 18 it can$"):
        export_onnx(model(build("srcnn", {"kernels": (3, 1, 3), "widths": (2, 2)})), tmp_path / "m.onnx", 17)
    assert "Traceback" not in capfd.readouterr().err
    assert not list(tmp_path.iterdir())


def test_wrong_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OptionError, match=r"ends in \.onnx"):
        export_onnx(model(), tmp_path / "m.pt")
    with pytest.raises(RetouchError, match="dropout stays on in use"):
        export_onnx(model(build("pix2pix-unet", {"depth": 2, "width": 2})), tmp_path / "m.onnx")
    with pytest.raises(RetouchError, match="maps no picture to a picture"):
        export_onnx(model(nn.Linear(2, 2)), tmp_path / "m.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(RetouchError, match=r"needs the package onnxruntime: pip install 'retouch\[onnx\]'"):
        export_onnx(model(), tmp_path / "m.onnx")
