"""One process or many: what ``torchrun`` says about this one."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
from torch import distributed

from retouch.models.device import pick_device


@dataclass(frozen=True)
class Place:
    """This process among ``world``: its ``rank``, and ``local`` among those of its machine."""

    rank: int = 0
    world: int = 1
    local: int = 0

    @property
    def chief(self) -> bool:
        """The one that writes files and talks."""
        return self.rank == 0


def place() -> Place:
    """The place that ``torchrun`` gave this process; a single one without it."""
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        return Place()
    return Place(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]), int(os.environ.get("LOCAL_RANK", "0")))


def restarted() -> bool:
    """Whether ``torchrun --max-restarts`` started this process in place of one that died."""
    return os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") != "0"


def join(here: Place, device: str) -> torch.device:
    """Meet the other processes; the device of this one. Over NCCL on GPUs, Gloo on CPUs."""
    chosen = pick_device(device)
    if chosen.type == "cuda" and here.world > 1:
        chosen = torch.device("cuda", here.local % torch.cuda.device_count())
        torch.cuda.set_device(chosen)
    if here.world > 1 and not distributed.is_initialized():
        distributed.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    return chosen


def leave() -> None:
    """Part from the other processes."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def wait() -> None:
    """Until every process is here."""
    if distributed.is_initialized():
        distributed.barrier()


def agree(flag: bool, device: torch.device) -> bool:
    """Whether ``flag`` holds in any process."""
    if not distributed.is_initialized():
        return flag
    value = torch.tensor(int(flag), device=device)
    distributed.all_reduce(value, distributed.ReduceOp.MAX)
    return bool(value.item())
