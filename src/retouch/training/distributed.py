"""One process or many: what ``torchrun`` says about this one."""

from __future__ import annotations

import gc
import os
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import distributed

from retouch.image.errors import RetouchError
from retouch.models.device import pick_device

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import Store


_PATIENCE = 600.0  # seconds to wait for the other processes


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
        from torch.distributed.rendezvous import rendezvous

        store, _, _ = next(rendezvous("env://"))
        distributed.init_process_group(
            "nccl" if chosen.type == "cuda" else "gloo", store=_own_part(store, here), rank=here.rank,
            world_size=here.world,
        )  # fmt: skip
    return chosen


def _own_part(store: Store, here: Place) -> Store:
    """A part of the store that only the processes alive now write to.

    ``torchrun`` keeps one store over all restarts, and in it the addresses of processes that died. Its count of
    restarts is each machine's own, so the processes agree on a name by themselves: each asks under a name never used
    before, the first answers all that ask, the dead as well, until all of the living have said that they heard.
    """
    from torch.distributed.distributed_c10d import PrefixStore

    own = uuid.uuid4().hex
    if not here.chief:
        store.set(f"asks/{here.rank}", own)
        answer = store.get(f"answer/{own}").decode()
        store.set(f"heard/{answer}/{here.rank}", "yes")
        return PrefixStore(answer, store)
    missing, until = set(range(1, here.world)), time.monotonic() + _PATIENCE
    while missing:
        for rank in sorted(missing):
            if store.check([f"heard/{own}/{rank}"]):
                missing.remove(rank)
            elif store.check([f"asks/{rank}"]):
                store.set(f"answer/{store.get(f'asks/{rank}').decode()}", own)
        if time.monotonic() > until:
            raise RetouchError(f"processes {', '.join(map(str, sorted(missing)))} of {here.world} did not come")
        time.sleep(0.01)
    return PrefixStore(own, store)


def leave() -> None:
    """Part from the other processes, once all are done.

    What still holds the group (wrapped networks in reference cycles) goes first: a group that only the end of the
    interpreter takes down can abort the process, its threads running.
    """
    if distributed.is_initialized():
        distributed.barrier()
        gc.collect()
        distributed.destroy_process_group()
        gc.collect()


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


def usual_workers(device: torch.device, here: Place) -> int:
    """How many processes prepare batches for this one, where nobody chose."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if device.type == "cpu":
        return 0 if cores < 4 else 1  # the cores are the device
    return max(1, min(16, cores // max(1, here.world) - 1))
