"""A weight as ONNX, for programs that know nothing of Retouch; checked against torch before it is handed out."""

from __future__ import annotations

import copy
import logging
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from retouch.image.atomic import replacing
from retouch.image.errors import OptionError, RetouchError
from retouch.models.header import HEADER
from retouch.models.load import Model
from retouch.networks.spec import Spec
from retouch.networks.translation import Dropout

LIMIT = 1e-3
"""The largest difference to torch, on values in [0, 1], that an exported file may have."""

DEFAULT_OPSET = 18
_SIZES = ((1, 24, 40), (2, 37, 29))  # batch, height, width


@dataclass(frozen=True)
class Exported:
    """``difference``: the largest to torch, of values in [0, 1]. ``size``: bytes."""

    path: Path
    opset: int
    difference: float
    size: int


def export_onnx(model: Model, output: str | Path, opset: int = DEFAULT_OPSET) -> Exported:
    """Write ``input`` ``(batch, spec.inputs, height, width)`` -> ``output``, float32 in [0, 1], batch and sides free.

    The sides must be multiples of ``spec.multiple``. The card goes along in the metadata. Raises ``OptionError`` for an
    opset that the onnx package does not know, and ``RetouchError`` where a package of the extra ``onnx`` is missing,
    the export fails, or differs from torch by more than ``LIMIT``; nothing is written then.
    """
    output = Path(output)
    if output.suffix.lower() != ".onnx":
        raise OptionError(f"{output}: the name of an exported network ends in .onnx")
    try:
        import onnx
        import onnxruntime  # type: ignore[import-untyped, unused-ignore]
        import onnxscript  # noqa: F401  the exporter of torch needs it
    except ImportError as error:
        raise RetouchError(f"export needs the package {error.name}: pip install 'retouch[onnx]'") from error
    highest = onnx.defs.onnx_opset_version()
    if opset > highest:
        raise OptionError(f"--opset {opset}: the onnx package here knows opsets up to {highest}")
    network = copy.deepcopy(model.network).cpu().float().eval()
    spec: Any = getattr(network, "spec", None)
    if not isinstance(spec, Spec):
        raise RetouchError(f"{model.path}: {model.card.architecture} maps no picture to a picture; not exported")
    if any(isinstance(module, Dropout) and module.always for module in network.modules()):
        raise RetouchError(f"{model.path}: its dropout stays on in use, which ONNX cannot repeat; not exported")
    graph = _trace(network, spec, opset, model.card.name)
    property_ = graph.metadata_props.add()
    property_.key, property_.value = HEADER, model.card.to_json()
    data = graph.SerializeToString()
    difference = _difference(network, spec, onnxruntime, data)
    if not difference <= LIMIT:
        raise RetouchError(f"{output}: not written: differs from torch by {difference:.2g}, more than {LIMIT:g}")
    try:
        with replacing(output) as beside:
            beside.write_bytes(data)
    except OSError as error:
        raise RetouchError(f"{output}: cannot write: {error.strerror or error}") from error
    return Exported(output, opset, difference, len(data))


def _trace(network: nn.Module, spec: Spec, opset: int, name: str) -> Any:
    from torch.export import Dim

    def side(called: str) -> Any:
        free = Dim(called, min=2, max=1 << 14)
        return free if spec.multiple == 1 else spec.multiple * free

    example = torch.rand(2, spec.inputs, 8 * spec.multiple, 9 * spec.multiple)
    loggers = [logging.getLogger(called) for called in ("torch.onnx", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)  # what goes wrong is raised below, in one line
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecations inside torch, which tell a user nothing
            program = torch.onnx.export(
                network,
                (example,),
                dynamo=True,
                opset_version=opset,
                input_names=["input"],
                output_names=["output"],
                dynamic_shapes=({0: Dim("batch", min=1, max=1 << 10), 2: side("height"), 3: side("width")},),
                verbose=False,
            )
    except Exception as error:  # the exporter raises of many kinds, all its own
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise RetouchError(f"{name}: cannot be exported with opset {opset}: {reason[0]}") from error
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
    assert program is not None
    graph = program.model_proto
    made = next(used.version for used in graph.opset_import if used.domain == "")
    if made != opset:  # the exporter only logs that it could not convert
        raise RetouchError(f"{name}: cannot be exported with opset {opset}; with {made} it can")
    return graph


def _difference(network: nn.Module, spec: Spec, runtime: Any, data: bytes) -> float:
    """The largest difference between torch and onnxruntime on random pictures of two sizes."""
    session = runtime.InferenceSession(data, providers=["CPUExecutionProvider"])
    generator = torch.Generator().manual_seed(0)
    worst = 0.0
    for batch, height, width in _SIZES:
        sides = (height // spec.multiple * spec.multiple, width // spec.multiple * spec.multiple)
        x = torch.rand(batch, spec.inputs, *(max(s, 2 * spec.multiple) for s in sides), generator=generator)
        with torch.inference_mode():
            expected = network(x)
        got = torch.from_numpy(session.run(None, {"input": x.numpy()})[0])
        if got.shape != expected.shape:
            return float("inf")
        difference = float((got - expected).abs().max())
        worst = difference if difference != difference else max(worst, difference)
    return worst
