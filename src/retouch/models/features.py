"""Weights of the classification networks whose features serve as a measure: found on disk, or downloaded once.

VGG: Simonyan, Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015. AlexNet:
Krizhevsky, "One weird trick for parallelizing convolutional neural networks", 2014. The weights are torchvision's,
BSD-3-Clause.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from retouch.image.errors import Cancelled, OptionError, RetouchError, unknown
from retouch.models import cache

if TYPE_CHECKING:
    from torch import Tensor

Progress = Callable[[int, int], "bool | None"]
"""Called with bytes done and bytes in all; False stops the download."""

SOURCE = "https://download.pytorch.org/models/"
LICENCE = "BSD-3-Clause (torchvision)"
_CHUNK = 1 << 18
_SECONDS = 30.0  # without a byte, after which the connection counts as dead


@dataclass(frozen=True)
class FeatureFile:
    """A published file. ``size``: bytes. ``sha256``: how its SHA-256 begins. ``layers``: shapes of the convolutions.

    ``layers`` goes by the number of the layer in torchvision's ``features``.
    """

    published: str
    size: int
    sha256: str
    layers: dict[int, tuple[int, int, int, int]]

    @property
    def parameters(self) -> int:
        """Weights and biases of the convolutions."""
        return sum(out * (inputs * height * width + 1) for out, inputs, height, width in self.layers.values())


def _vgg(depths: tuple[int, ...]) -> dict[int, tuple[int, int, int, int]]:
    """Blocks of 3 x 3 convolutions, each followed by a ReLU, and a pooling layer after each block."""
    layers, index, inputs = {}, 0, 3
    for depth, width in zip(depths, (64, 128, 256, 512, 512), strict=True):
        for _ in range(depth):
            layers[index] = (width, inputs, 3, 3)
            index, inputs = index + 2, width
        index += 1
    return layers


FEATURES = {
    "vgg16": FeatureFile("vgg16-397923af.pth", 553_433_881, "397923af", _vgg((2, 2, 3, 3, 3))),
    "vgg19": FeatureFile("vgg19-dcbb9e9d.pth", 574_673_361, "dcbb9e9d", _vgg((2, 2, 4, 4, 4))),
    "alexnet": FeatureFile("alexnet-owt-7be5be79.pth", 244_408_911, "7be5be79", {
        0: (64, 3, 11, 11), 3: (192, 64, 5, 5), 6: (384, 192, 3, 3), 8: (256, 384, 3, 3), 10: (256, 256, 3, 3),
    }),
}  # fmt: skip
"""Feature weights by name."""


def feature_path(name: str, folder: str | Path | None = None) -> Path | None:
    """Where ``NAME_features.safetensors`` lies: in ``folder``, that of ``RETOUCH_FEATURES``, or the cache; else None.

    Raises ``OptionError`` for an unknown name.
    """
    if name not in FEATURES:
        raise OptionError(unknown("feature network", name, list(FEATURES)))
    for place in _places(folder):
        path = place / f"{name}_features.safetensors"
        if path.is_file():
            return path
    return None


def feature_weights(
    name: str, folder: str | Path | None = None, on_progress: Progress | None = None
) -> dict[str, Tensor]:
    """The convolutions of ``name`` in float32, under torchvision's keys (``features.0.weight``, ``features.0.bias``).

    ``folder``: looked into first. A file that is not here is downloaded once, or made from the published file where
    that was put by hand. Raises ``OptionError`` for an unknown name, ``RetouchError`` for a file that does not fit and
    where there is none to be had (it says where to put which), and ``Cancelled``.
    """
    path = feature_path(name, folder)
    if path is None:
        path = _fetch(name, folder, on_progress)
    from retouch.models.load import read_tensors

    tensors = {key: tensor.float() for key, tensor in read_tensors(path).items()}
    _check(tensors, FEATURES[name], f"{path}: not the features of {name}")
    return tensors


def _places(folder: str | Path | None) -> list[Path]:
    chosen = [folder, os.environ.get("RETOUCH_FEATURES"), cache.home() / "features"]
    return [Path(place).expanduser() for place in chosen if place]


def _fetch(name: str, folder: str | Path | None, on_progress: Progress | None) -> Path:
    """Make the file of ``name`` in the cache, from the published one: found in one of the places, or downloaded."""
    about = FEATURES[name]
    target = cache.home() / "features" / f"{name}_features.safetensors"
    here = next((place / about.published for place in _places(folder) if (place / about.published).is_file()), None)
    beside = target.with_name(f".{about.published}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if here is None:
            _download(name, beside, on_progress)
        else:
            _check_digest(here, about)
        _convert(name, here or beside, target)
    except OSError as error:
        raise RetouchError(f"{target}: cannot write: {error.strerror or error}") from error
    finally:
        beside.unlink(missing_ok=True)
    return target


def _download(name: str, target: Path, on_progress: Progress | None) -> None:
    about = FEATURES[name]
    url = SOURCE + about.published
    digest, done = hashlib.sha256(), 0
    advice = f"put {url} into {cache.home() / 'features'}, or name its folder by RETOUCH_FEATURES"
    with target.open("wb") as file:
        try:
            with urllib.request.urlopen(url, timeout=_SECONDS) as answer:
                while done <= about.size and (chunk := answer.read(_CHUNK)):
                    digest.update(chunk)
                    done += len(chunk)
                    file.write(chunk)
                    if on_progress is not None and on_progress(done, about.size) is False:
                        raise Cancelled(f"{name}: download stopped")
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            reason = getattr(error, "reason", None) or error
            raise RetouchError(
                f"the feature weights of {name} are not here and cannot be downloaded ({reason}); {advice}"
            ) from error
    if done != about.size or not digest.hexdigest().startswith(about.sha256):
        what = f"{done} bytes, not {about.size}" if done != about.size else "its SHA-256 is wrong"
        raise RetouchError(f"the feature weights of {name} came damaged from {url} ({what}); try again, or {advice}")


def _check_digest(path: Path, about: FeatureFile) -> None:
    with path.open("rb") as file:
        if not hashlib.file_digest(file, "sha256").hexdigest().startswith(about.sha256):
            raise RetouchError(f"{path}: damaged, or not the published file: its SHA-256 is wrong")


def _convert(name: str, published: Path, target: Path) -> None:
    """Keep the convolutions only: of VGG16 that is a ninth of the bytes."""
    from safetensors.torch import save

    from retouch.models.convert import read_pickle

    tensors = {key: tensor for key, tensor in read_pickle(published).items() if key.startswith("features.")}
    _check(tensors, FEATURES[name], f"{published}: not the weights of {name}")
    beside = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        beside.write_bytes(save(tensors, metadata={"architecture": name, "keys": "torchvision", "licence": LICENCE}))
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)


def _check(tensors: dict[str, Tensor], about: FeatureFile, wrong: str) -> None:
    expected: dict[str, tuple[int, ...]] = {}
    for index, kernel in about.layers.items():
        expected[f"features.{index}.weight"] = kernel
        expected[f"features.{index}.bias"] = kernel[:1]
    for key, shape in expected.items():
        if key not in tensors:
            raise RetouchError(f"{wrong}: '{key}' is missing")
        if tuple(tensors[key].shape) != shape:
            raise RetouchError(f"{wrong}: '{key}' is {tuple(tensors[key].shape)}, not {shape}")
        if not bool(tensors[key].isfinite().all()):
            raise RetouchError(f"{wrong}: '{key}' holds NaN or infinity")
    for key in tensors:
        if key not in expected:
            raise RetouchError(f"{wrong}: '{key}' is no tensor of it")
