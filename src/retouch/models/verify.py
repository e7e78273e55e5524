"""Whether a weight is what its card says."""

from __future__ import annotations

from pathlib import Path

import torch

from retouch.image.errors import RetouchError
from retouch.models.header import read_card
from retouch.models.load import checksum, completed, load_state, read_tensors
from retouch.models.storage import unpacked
from retouch.networks.build import build, count_parameters

UNMEASURED = "never measured (retouch evaluate measures it)"
"""What ``problems`` says of a weight without measured numbers."""


def problems(path: str | Path) -> list[str]:
    """What is wrong with a weight, one line each without the path; empty if it is sound.

    Looked at: the file, the checksum, whether the tensors are finite and fit the architecture, the number of
    parameters, and whether the weight was measured.
    """
    path = Path(path)
    try:
        card, tensors = read_card(path), read_tensors(path)
    except RetouchError as error:
        return [str(error).removeprefix(f"{path}: ")]
    found = []
    if checksum(tensors) != card.sha256:
        found.append(f"its tensors have the SHA-256 {checksum(tensors)[:12]}..., its card says {card.sha256[:12]}...")
    found += [
        f"'{name}' holds NaN or infinity"
        for name, tensor in tensors.items()
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all())
    ]
    try:
        network = build(card.architecture, card.arguments)
        whole = completed(unpacked(tensors), card, network, shapes_only=True)
        load_state(network, whole, f"not a weight of {card.architecture}")
    except RetouchError as error:
        return [*found, str(error)]
    if count_parameters(network) != card.parameters:
        found.append(f"{count_parameters(network)} parameters, its card says {card.parameters}")
    if not card.measured:
        found.append(UNMEASURED)
    return found
