"""Weights that other projects published, as guests: spandrel knows their architectures from their tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from retouch.image.errors import RetouchError
from retouch.models.card import Card
from retouch.models.load import Model, checksum, read_tensors
from retouch.networks.build import count_parameters
from retouch.networks.spec import Spec

HALO = 32
"""Overlap of tiles in pixels: spandrel does not tell receptive fields, so this is what is usual, not what is exact."""


class GuestNetwork(nn.Module):
    """A network of spandrel in the form of ours: ``(B, C, H, W)`` of any size -> ``(B, C, H * scale, W * scale)``.

    Values in [0, 1]. ``descriptor``: spandrel's; the picture is padded to the sizes it asks for, and cropped again.
    """

    def __init__(self, descriptor: Any) -> None:
        super().__init__()
        self.network: nn.Module = descriptor.model
        self._sizes = descriptor.size_requirements
        self.spec = Spec(
            channels=descriptor.input_channels,
            scale=descriptor.scale,
            halo=-(-HALO // descriptor.size_requirements.multiple_of) * descriptor.size_requirements.multiple_of,
            multiple=descriptor.size_requirements.multiple_of,
            exact=False,
        )

    def forward(self, x: Tensor) -> Tensor:
        width, height = x.shape[3], x.shape[2]
        right, below = self._sizes.get_padding(width, height)
        if right or below:
            x = nn.functional.pad(x, (0, right, 0, below), mode="replicate")
        y: Tensor = self.network(x)
        return y[:, :, : height * self.spec.scale, : width * self.spec.scale].clamp(0, 1)


def load_guest(path: str | Path) -> Model:
    """A weight of another project, from a ``.safetensors`` file, or a ``.pth`` that holds nothing but tensors.

    Its card says what spandrel tells: scale, channels, and under ``arguments`` whether tiles suit it
    (``supported``, ``discouraged`` or ``internal``). Raises ``RetouchError`` where spandrel is missing or cannot be
    imported, for an architecture that it does not know, and for networks that need more than a picture (a mask).
    """
    path = Path(path)
    spandrel = _spandrel(path)
    if path.suffix.lower() in (".pth", ".pt", ".ckpt"):
        from retouch.models.convert import read_pickle

        tensors = read_pickle(path)
    else:
        tensors = {name: tensor.float() if tensor.is_floating_point() else tensor
                   for name, tensor in read_tensors(path).items()}  # fmt: skip
    try:
        descriptor = spandrel.ModelLoader(device="cpu").load_from_state_dict(dict(tensors))
    except Exception as error:  # spandrel and its architectures raise of every kind
        reason = (str(error).strip().splitlines() or ["spandrel does not know its architecture"])[0]
        raise RetouchError(f"{path}: not a weight that spandrel can use: {reason or type(error).__name__}") from error
    if descriptor.purpose not in ("SR", "Restoration") or descriptor.input_channels != descriptor.output_channels:
        raise RetouchError(f"{path}: a network for {descriptor.purpose} ({_name(descriptor)}); guests are for SR and "
                           "Restoration, from pictures to pictures of the same channels")  # fmt: skip
    if descriptor.input_channels not in (1, 3):
        raise RetouchError(f"{path}: a network for {descriptor.input_channels} channels; pictures have 1 or 3")
    network = GuestNetwork(descriptor).requires_grad_(False).float().eval()
    scale = int(descriptor.scale)
    card = Card(
        name=path.stem,
        family="guest",
        architecture=f"spandrel:{_name(descriptor)}",
        arguments={"tiling": descriptor.tiling.name.lower(), "minimum": descriptor.size_requirements.minimum},
        tasks=("upscale",) if scale > 1 else ("denoise", "dejpeg"),
        colour="y" if descriptor.input_channels == 1 else "rgb",
        summary=f"{_name(descriptor)}, a weight of another project, run through spandrel",
        scales=(scale,) if scale > 1 else (),
        parameters=count_parameters(network),
        sha256=checksum(tensors),
        licence="that of its project",
    )
    return Model(card, network, path)


def _name(descriptor: Any) -> str:
    return str(descriptor.architecture.name)


def _spandrel(path: Path) -> Any:
    try:
        import spandrel  # type: ignore[import-not-found, unused-ignore]
    except ModuleNotFoundError as error:
        raise RetouchError(
            f"{path}: its header has no card of Retouch; weights of other projects need the package {error.name}: "
            "pip install 'retouch[guests]'"
        ) from error
    except Exception as error:  # a torchvision that does not fit torch raises RuntimeError, a broken library OSError
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise RetouchError(
            f"{path}: spandrel cannot be imported ({reason}); torchvision must be of the release and build of torch"
        ) from error
    return spandrel
