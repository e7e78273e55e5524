"""What an evaluation is asked for. No torch here, so that its help is quick."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from retouch.image.errors import OptionError, unknown
from retouch.tasks import TASKS
from retouch.tasks.base import Options, Task, fields_of, option


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(Options):
    """What is measured, on what. One of ``scale``, ``sigma`` and ``quality`` says which protocol."""

    scale: int | None = option(None, "super-resolution by this factor", minimum=2, maximum=8, metavar="N")
    sigma: float | None = option(
        None, "denoising, noise of this sigma on the 0..255 scale", minimum=0, maximum=255, metavar="N"
    )
    quality: int | None = option(None, "undoing JPEG of this quality", minimum=1, maximum=100, metavar="N")
    crop: int | None = option(None, "only the N x N pixels in the middle of each picture", minimum=8, metavar="N")
    limit: int | None = option(None, "only the first N pictures", minimum=1, metavar="N")
    grey: bool = option(False, "turn colour pictures into their Y first")
    clip_noise: bool = option(False, "clip the noisy pictures to 0..1, as files would")
    blind: bool = option(False, "do not tell the method the noise level or the JPEG quality")
    effort: Literal["quick", "normal", "paper"] = option("normal", "for methods that iterate")
    budget: float = option(60.0, "seconds a picture, for 'auto'", minimum=0, unit="s", metavar="SECONDS")
    device: Literal["auto", "cpu", "cuda", "mps"] = option("auto", "where to compute")
    seed: int = option(0, "of the noise and of the method", minimum=0, maximum=2**32 - 1, metavar="N")
    tile: str = option("auto", "side of the tiles in pixels, 'auto' or 'off'", metavar="auto|N|off")

    def __post_init__(self) -> None:
        super().__post_init__()
        given = [name for name in ("scale", "sigma", "quality") if getattr(self, name) is not None]
        if len(given) != 1:
            raise OptionError("evaluate: give exactly one of --scale, --sigma and --quality")
        if self.clip_noise and self.sigma is None:
            raise OptionError("--clip-noise belongs to --sigma")

    @property
    def task(self) -> Task:
        """The task that is measured."""
        if self.scale is not None:
            return TASKS["upscale"]
        return TASKS["denoise"] if self.sigma is not None else TASKS["dejpeg"]

    def task_options(self, method: str) -> Options:
        """The options that the method is run with."""
        values: dict[str, Any] = {
            "method": method,
            "effort": self.effort,
            "budget": self.budget,
            "device": self.device,
            "seed": self.seed,
            "tile": self.tile,
        }
        if self.scale is not None:
            values["scale"] = self.scale
        elif self.sigma is not None and not self.blind:
            values["sigma"] = self.sigma
        elif self.quality is not None and not self.blind:
            values["quality_of_input"] = self.quality
        return self.task.make_options(**values)


def make_options(**values: Any) -> EvaluateOptions:
    """``EvaluateOptions`` from keywords; ``OptionError`` names an unknown one."""
    known = fields_of(EvaluateOptions)
    for name in values:
        if name not in known:
            raise OptionError(unknown("option", name, list(known), "of evaluate"))
    return EvaluateOptions(**values)
