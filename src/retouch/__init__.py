"""Retouch: restore, translate and imagine pictures with deep networks.

    import retouch

    picture = retouch.open("photo.jpg")
    retouch.save(retouch.denoise(picture), "clean.jpg")

Every name is loaded when it is first used (PEP 562), so that ``import retouch`` is quick and brings no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retouch.evaluation.protocol import evaluate
    from retouch.image.errors import OptionError, PictureError, RetouchError
    from retouch.image.files import open_image as open  # noqa: A004
    from retouch.image.files import open_mask, save
    from retouch.image.image import Image
    from retouch.metrics import psnr, ssim
    from retouch.solvers.steps import Step
    from retouch.tasks.classify import classify
    from retouch.tasks.colorize import colorize
    from retouch.tasks.compare import compare
    from retouch.tasks.deblur import deblur
    from retouch.tasks.degrade import degrade
    from retouch.tasks.dejpeg import dejpeg
    from retouch.tasks.denoise import denoise
    from retouch.tasks.dream import dream, zoom
    from retouch.tasks.generate import generate
    from retouch.tasks.inpaint import inpaint
    from retouch.tasks.invented import invented
    from retouch.tasks.invert import invert
    from retouch.tasks.relight import relight
    from retouch.tasks.restore import diagnose, restore
    from retouch.tasks.stylize import stylize
    from retouch.tasks.translate import translate
    from retouch.tasks.upscale import upscale
    from retouch.tasks.visualize import visualize

    __version__: str

_HOMES = {
    "Image": "retouch.image.image",
    "OptionError": "retouch.image.errors",
    "PictureError": "retouch.image.errors",
    "RetouchError": "retouch.image.errors",
    "Step": "retouch.solvers.steps",
    "classify": "retouch.tasks.classify",
    "colorize": "retouch.tasks.colorize",
    "compare": "retouch.tasks.compare",
    "deblur": "retouch.tasks.deblur",
    "degrade": "retouch.tasks.degrade",
    "dejpeg": "retouch.tasks.dejpeg",
    "denoise": "retouch.tasks.denoise",
    "diagnose": "retouch.tasks.restore",
    "dream": "retouch.tasks.dream",
    "evaluate": "retouch.evaluation.protocol",
    "generate": "retouch.tasks.generate",
    "inpaint": "retouch.tasks.inpaint",
    "invented": "retouch.tasks.invented",
    "invert": "retouch.tasks.invert",
    "open": "retouch.image.files:open_image",
    "open_mask": "retouch.image.files",
    "psnr": "retouch.metrics",
    "relight": "retouch.tasks.relight",
    "restore": "retouch.tasks.restore",
    "save": "retouch.image.files",
    "ssim": "retouch.metrics",
    "stylize": "retouch.tasks.stylize",
    "translate": "retouch.tasks.translate",
    "upscale": "retouch.tasks.upscale",
    "visualize": "retouch.tasks.visualize",
    "zoom": "retouch.tasks.dream",
}

__all__ = [
    "Image",
    "OptionError",
    "PictureError",
    "RetouchError",
    "Step",
    "__version__",
    "classify",
    "colorize",
    "compare",
    "deblur",
    "degrade",
    "dejpeg",
    "denoise",
    "diagnose",
    "dream",
    "evaluate",
    "generate",
    "inpaint",
    "invented",
    "invert",
    "open",
    "open_mask",
    "psnr",
    "relight",
    "restore",
    "save",
    "ssim",
    "stylize",
    "translate",
    "upscale",
    "visualize",
    "zoom",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            value: Any = version("retouch")
        except PackageNotFoundError:  # run from the sources without installing
            value = "unknown"
    elif name in _HOMES:
        module, _, attribute = _HOMES[name].partition(":")
        value = getattr(importlib.import_module(module), attribute or name)
    else:
        raise AttributeError(f"module 'retouch' has no attribute '{name}'")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
