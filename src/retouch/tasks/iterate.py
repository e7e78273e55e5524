"""What the tasks share about methods that iterate: a deep prior, in tiles where memory asks for it, its time."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from retouch.image.errors import OptionError
from retouch.tasks.base import MethodOptions, parse_tile

if TYPE_CHECKING:
    from torch import Tensor

    from retouch.degradations.base import Degradation
    from retouch.image.image import Image
    from retouch.solvers.deep_prior import DeepPrior
    from retouch.solvers.presets import Preset, Task
    from retouch.solvers.steps import Listener, Step

Network = Literal["hourglass", "decoder"]


def note(on_step: Listener | None, text: str) -> None:
    """Tell the listener something that is no progress."""
    if on_step is not None:
        from retouch.solvers.steps import Step

        on_step(Step(0, 1, note=text))


def window_side(image: Image, options: MethodOptions) -> int:
    """Side of the windows for methods that give the same result at any: ``--tile``, 512 for 'auto'."""
    side = parse_tile(options.tile)
    return 512 if side == "auto" else max(image.height, image.width, 16) if side is None else side


def deep_prior(
    task: Task,
    image: Image,
    options: MethodOptions,
    on_step: Listener | None,
    *,
    network: Network = "hourglass",
    degrade: Callable[[Tensor | None], Degradation | None] = lambda mask: None,
    kept: Tensor | None = None,
    guide: Image | None = None,
    scale: int = 1,
) -> Image:
    """Run Deep Image Prior or the Deep Decoder with the options of a task; in tiles where memory asks for it.

    ``degrade`` makes the degradation of a tile from its part of ``kept``, ``(1, H, W)``, 1 where the picture is known.
    ``guide``: of the picture's size. ``scale``: of the output. When the listener cancels, tiles that are not begun
    stay as they were (enlarged by bicubic). Raises ``OptionError`` for a state file of a picture that needs tiles.
    """
    from retouch.solvers.deep_prior import DeepPrior

    tile = parse_tile(options.tile)
    solver = DeepPrior(
        task=task,
        effort=options.effort,
        network=network,
        device=options.device,
        seed=options.seed,
        sigma=getattr(options, "sigma", None),
        state_file=options.state,
    )
    preset = solver.resolved(degrade(kept))
    fits = _bytes_per_pixel(preset) * image.megapixels * 1e6 * scale**2 < 0.7 * _free_memory(options.device)
    whole = tile is None or (fits if tile == "auto" else max(image.height, image.width) <= tile)
    if whole and (tile is not None or fits):
        return solver.solve(image, degrade(kept), guide=guide, on_step=on_step).image
    if options.state is not None:
        raise OptionError(
            "--state: the picture is worked on in tiles, whose state is not kept; give --tile off, or none"
        )
    return _by_tiles(solver, image, "off" if tile is None else tile, on_step, degrade, kept, guide, scale)


class TiledSteps:
    """The listener of a solver that is run on tile after tile: its steps are told as parts of those of all ``tiles``.

    ``previews``: whether the solver's previews go on to ``on_step``; of several tiles they would show one only.
    ``stopped``: whether ``on_step`` has cancelled, after which no tile should be begun.
    """

    def __init__(self, on_step: Listener | None, tiles: int, *, previews: bool = False) -> None:
        self._on_step, self._tiles, self._previews = on_step, tiles, previews
        self._begun = 0
        self.stopped = False

    def begin(self) -> None:
        """The next tile is about to be solved, or left."""
        self._begun += 1

    def __call__(self, step: Step) -> bool:
        from retouch.solvers.steps import Step

        if self._on_step is not None:
            done = (self._begun - 1) * step.total + step.index
            rest = max(0, self._tiles - self._begun) * step.total
            left = step.seconds_left
            left = None if left is None else left * (1 + rest / max(1, step.total - step.index))
            preview = step.preview if self._previews else None
            told = Step(done, max(done, self._tiles * step.total), left, step.loss, preview, step.note)
            self.stopped = self._on_step(told) is False
        return not self.stopped


def _by_tiles(
    solver: DeepPrior,
    image: Image,
    tile: int | str,
    on_step: Listener | None,
    degrade: Callable[[Tensor | None], Degradation | None],
    kept: Tensor | None,
    guide: Image | None,
    scale: int,
) -> Image:
    import torch

    from retouch.image.image import Image as Picture
    from retouch.image.resize import resize
    from retouch.image.tiling import AUTO_TILE, plan, run_tiled
    from retouch.solvers.steps import Step

    longest = max(image.height, image.width) if tile == "off" else AUTO_TILE if tile == "auto" else int(tile)
    overlap = min(_OVERLAP, longest // 4)
    tiles = len(plan(image.height, longest, overlap)) * len(plan(image.width, longest, overlap))
    progress = TiledSteps(on_step, tiles)

    def solve(planes: Tensor) -> Tensor:
        # the mask and the guide travel with the picture as further channels, so that every tile gets its part of them
        progress.begin()
        pixels = planes[0, : image.channels].contiguous()
        further = planes[0, image.channels :]
        part = further[:1] if kept is not None else None
        nothing_to_do = part is not None and (bool(part.all()) or not bool(part.any()))
        if nothing_to_do and not progress.stopped:
            steps = solver.resolved(degrade(part)).steps
            progress(Step(steps, steps))
        if progress.stopped or nothing_to_do:
            return pixels[None] if scale == 1 else resize(pixels[None], scale=scale)
        with_flash = Picture(further[-guide.channels :].contiguous()) if guide is not None else None
        return solver.solve(Picture(pixels), degrade(part), guide=with_flash, on_step=progress).image.pixels[None]

    planes = [image.pixels, *([kept] if kept is not None else []), *([guide.pixels] if guide is not None else [])]
    pixels = run_tiled(solve, torch.cat(planes), tile=tile, overlap=overlap, scale=scale)
    return replace(image, pixels=pixels.clamp(0, 1), alpha=None if scale != 1 else image.alpha)


_OVERLAP = 32


def _bytes_per_pixel(preset: Preset) -> float:
    """Memory of a step: measured 3 kB a pixel for the published network of 128 channels, in float32."""
    return 1600.0 if preset.decoder else 3000.0 * max(preset.network["up"][0], 32) / 128


def _free_memory(device: str) -> float:
    """Bytes that are free where the work will be done; 8 GB where the system does not say."""
    from retouch.models.device import pick_device

    chosen = pick_device(device)
    if chosen.type == "cuda":
        import torch

        return float(torch.cuda.mem_get_info(chosen)[0])
    try:
        return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):
        return 8e9


def prior_seconds(task: Task, network: Network = "hourglass") -> Callable[[float, str, Any], float]:
    """The estimate of ``Method.seconds`` for a deep prior, from the operations of its network."""

    def seconds(megapixels: float, device: str, options: Any) -> float:
        from retouch.solvers.presets import PRESETS, choose

        scale = getattr(options, "scale", 1)
        preset = PRESETS[choose(task, options.effort, network, scale=scale)]
        step = _operations(preset) * megapixels * 1e6 * scale**2
        speed = operations_per_second(device, faithful=preset.faithful)
        overhead = 0.02  # of a step on any device, whatever the size
        steps = preset.steps * preset.networks * (0.5 if preset.stop != "off" else 1)  # stop rules end about halfway
        return steps * (overhead + step / speed)

    return seconds


def operations_per_second(device: str, *, faithful: bool) -> float:
    """Speed of convolutions: 65 GFLOP/s on two cores in float32, twice that in bfloat16, 30 TFLOP/s on a GPU.

    ``faithful``: in float32 also where the processor has bfloat16.
    """
    if device == "cpu":
        return 3.3e10 * (os.cpu_count() or 1) * (2 if not faithful and has_bfloat16() else 1)
    return 1e12 if device == "mps" else 3e13


@functools.cache
def has_bfloat16() -> bool:
    """Whether the processor has products of bfloat16, by what Linux says of it; other systems tell nothing: False.

    For estimates, also of processes that load no torch; what is computed goes by ``models.device.fast_bfloat16``.
    """
    try:
        told = Path("/proc/cpuinfo").read_text(errors="replace").split()
    except OSError:
        return False
    return "avx512_bf16" in told or "amx_tile" in told


def _operations(preset: Preset) -> float:
    """Floating point operations of one step (forward and backward) per output pixel."""
    if preset.decoder:
        products = 128 * 128 * (1 + 1 / 4 + 1 / 16 + 1 / 64)
        return 6 * products
    down, up, skip = (preset.network[name] for name in ("down", "up", "skip"))
    below = float(preset.network.get("input_depth", 32))
    kernel = float(preset.network.get("kernel_down", 3)) ** 2
    products = 0.0
    for level, (narrow, wide, across) in enumerate(zip(down, up, skip, strict=True)):
        deeper = up[level + 1] if level + 1 < len(up) else down[-1]
        at_this_size = below * across + 9 * (across + deeper) * wide + wide * wide
        at_half_the_size = kernel * (below + narrow) * narrow / 4
        products += (at_this_size + at_half_the_size) / 4**level
        below = narrow
    return 6 * products
