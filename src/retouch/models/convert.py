"""From a checkpoint of PyTorch to a weight of Retouch, without running what a pickle may hold."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from retouch.image.errors import RetouchError
from retouch.models.card import Card
from retouch.models.load import load_state, save_weights
from retouch.networks.build import build

_WRAPPERS = ("params_ema", "params", "state_dict", "model")
"""Keys under which training programs keep the tensors, the one to prefer first."""


def read_pickle(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a ``.pth`` or ``.pt`` file, in float32 where they are floating point.

    Read with ``weights_only``: nothing in the file is run. Taken out of ``params_ema``, ``params``, ``state_dict`` or
    ``model``; the ``module.`` of DataParallel is cut off. Raises ``RetouchError`` for anything but tensors by name.
    """
    path = Path(path)
    try:
        found: Any = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise RetouchError(f"{path}: cannot read the weight: {error.strerror or error}") from error
    except pickle.UnpicklingError as error:
        raise RetouchError(
            f"{path}: refused: damaged, or it holds more than tensors, which could run code when opened"
        ) from error
    except (RuntimeError, EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError, MemoryError) as error:
        raise RetouchError(f"{path}: truncated, or not a file of tensors that torch saved") from error
    while isinstance(found, Mapping):
        inner = next((found[key] for key in _WRAPPERS if isinstance(found.get(key), Mapping)), None)
        if inner is None:
            break
        found = inner
    if not isinstance(found, Mapping) or not found:
        raise RetouchError(f"{path}: holds no tensors by name, but {type(found).__name__}")
    for key, value in found.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise RetouchError(f"{path}: '{key}' is {type(value).__name__}, not a tensor; only tensors are converted")
    prefix = "module." if all(key.startswith("module.") for key in found) else ""
    return {
        key.removeprefix(prefix): (value.float() if value.is_floating_point() else value).contiguous()
        for key, value in found.items()
    }


def convert(source: str | Path, output: str | Path, card: Card) -> Card:
    """Write the tensors of a PyTorch checkpoint as a weight in float32; the card as written.

    Raises ``RetouchError`` where they do not fit ``card.architecture`` with ``card.arguments``, and ``OptionError`` for
    an unknown one.
    """
    network = build(card.architecture, card.arguments)
    tensors = read_pickle(source)
    load_state(network, tensors, f"{source}: not a weight of {card.architecture}")
    return save_weights(output, tensors, card, store="fp32")
