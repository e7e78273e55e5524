"""Weights as files: safetensors whose header is the card. Nothing is ever unpickled here."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from retouch.image.atomic import replacing
from retouch.image.errors import OptionError, RetouchError, unknown
from retouch.models.card import Card, Store
from retouch.models.header import HEADER, read_card, read_header
from retouch.models.storage import packed, unpacked
from retouch.networks.build import build, count_parameters, network_class

__all__ = ["Model", "checksum", "load_state", "load_weights", "read_card", "read_tensors", "save_weights"]


@dataclass(frozen=True)
class Model:
    """A network with its card; float32, in evaluation mode, without gradients. ``path``: the file it came from."""

    card: Card
    network: nn.Module
    path: Path


def checksum(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes of the tensors, sorted by name: the card cannot be part of it."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
    return digest.hexdigest()


def save_weights(path: str | Path, tensors: Mapping[str, Tensor], card: Card, *, store: Store = "fp16") -> Card:
    """Write the tensors of a network and its card; the card as written, with ``sha256`` and ``parameters`` filled in.

    ``store``: how floating point tensors lie in the file, see ``storage.packed``. What is as in the card's base is left
    out. Written beside its target and renamed. Raises ``RetouchError`` for tensors that hold NaN, or overflow float16,
    or where the file cannot be written.
    """
    path = Path(path)
    stored = packed(tensors, "fp32" if store == "fp32" else "fp16")
    for name, value in stored.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise RetouchError(f"{path}: '{name}' holds NaN or infinity; nothing was written")
    if card.base:
        stored = _own(stored, card.base)
    if store == "int8":
        stored = packed({name: tensors[name] for name in stored}, store)
    network = build(card.architecture, card.arguments)
    card = dataclasses.replace(card, sha256=checksum(stored), parameters=count_parameters(network))
    _write(path, stored, card)
    return card


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file as stored; ``RetouchError`` for a truncated file, a pickle, or none of both."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = Path(path)
    read_header(path)
    try:
        return load_file(path)
    except (OSError, SafetensorError, KeyError) as error:
        raise RetouchError(f"{path}: not a safetensors file ({error})") from error


def load_weights(path: str | Path, *, architecture: str | None = None) -> Model:
    """A network from its file. ``architecture``: the one that is expected, if only one will do.

    Raises ``RetouchError`` for a file that is not sound, or is of another architecture than its card or the caller
    says, naming both.
    """
    path = Path(path)
    card = read_card(path)
    if architecture is not None and card.architecture != architecture:
        raise RetouchError(f"{path}: a weight of {card.architecture}, not of {architecture}")
    tensors = read_tensors(path)
    try:
        network_class(card.architecture)
        with torch.random.fork_rng(devices=[]):  # its fresh weights are of no use; the caller's random numbers stay
            network = build(card.architecture, card.arguments)
    except OptionError as error:
        raise RetouchError(f"{path}: {error}") from error
    load_state(network, completed(unpacked(tensors), card, network), f"{path}: not a weight of {card.architecture}")
    network.requires_grad_(False)
    return Model(card, network.eval(), path)


def _own(stored: dict[str, Tensor], base: str) -> dict[str, Tensor]:
    """Those of ``stored`` that are not, as they are stored, what the feature weights ``base`` hold."""
    from retouch.models.features import feature_weights

    known = feature_weights(base)

    def is_new(name: str, value: Tensor) -> bool:
        if name not in known:
            return value.ndim > 0  # the counters of batch normalisations are of no use
        return known[name].shape != value.shape or not torch.equal(known[name].to(value.dtype), value)

    return {name: value for name, value in stored.items() if is_new(name, value)}


def completed(
    tensors: Mapping[str, Tensor], card: Card, network: nn.Module, *, shapes_only: bool = False
) -> dict[str, Tensor]:
    """The tensors of a weight's file with those of its base; counters of batch normalisation are the network's own.

    ``shapes_only``: zeros of their shapes stand for the base's, which then need not be here. Raises ``RetouchError``
    where the base is unknown or cannot be had.
    """
    if not card.base:
        return dict(tensors)
    from retouch.models.features import FEATURES, feature_weights

    if card.base not in FEATURES:
        raise RetouchError(f"{card.name}: {unknown('base', card.base, list(FEATURES))}")
    if shapes_only:
        known = {name: torch.zeros(shape) for name, shape in FEATURES[card.base].shapes().items()}
    else:
        known = feature_weights(card.base)
    expected = network.state_dict()
    counters = {name: value for name, value in expected.items() if not value.ndim}
    return counters | {name: value for name, value in known.items() if name in expected} | dict(tensors)


def load_state(network: nn.Module, tensors: Mapping[str, Tensor], wrong: str) -> None:
    """Put ``tensors`` into ``network``; ``RetouchError`` begins with ``wrong`` and says the first that does not fit."""
    expected = network.state_dict()
    for name, value in expected.items():
        if name not in tensors:
            raise RetouchError(f"{wrong}: '{name}' is missing")
        if tensors[name].shape != value.shape:
            raise RetouchError(f"{wrong}: '{name}' is {tuple(tensors[name].shape)}, not {tuple(value.shape)}")
    for name in tensors:
        if name not in expected:
            raise RetouchError(f"{wrong}: '{name}' is no tensor of it")
    network.load_state_dict({name: tensor.to(expected[name].dtype) for name, tensor in tensors.items()})


def rewrite_card(path: str | Path, card: Card) -> None:
    """Put ``card`` into the header of a weight; the tensors stay as they are.

    Written beside its target and renamed. Raises ``RetouchError`` for a card that does not belong to the tensors, or
    where the file cannot be written.
    """
    path = Path(path)
    tensors = read_tensors(path)
    if checksum(tensors) != card.sha256:
        raise RetouchError(f"{path}: the card of {card.name} does not belong to these tensors: another checksum")
    _write(path, tensors, card)


def _write(path: Path, tensors: Mapping[str, Tensor], card: Card) -> None:
    from safetensors.torch import save

    data = save(dict(tensors), metadata={HEADER: card.to_json()})
    try:
        with replacing(path) as beside:
            beside.write_bytes(data)
    except OSError as error:
        raise RetouchError(f"{path}: cannot write: {error.strerror or error}") from error
