"""How processes find each other again after a restart, and what a single one answers."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
import torch
from torch.distributed import HashStore

from retouch.image.errors import RetouchError
from retouch.training import distributed as room
from retouch.training.distributed import Place, agree, place, restarted


def test_place(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "TORCHELASTIC_RESTART_COUNT"):
        monkeypatch.delenv(name, raising=False)
    assert place() == Place(0, 1, 0)
    assert place().chief
    assert not restarted()
    monkeypatch.setenv("RANK", "5")
    monkeypatch.setenv("WORLD_SIZE", "8")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "0")
    assert place() == Place(5, 8, 1)
    assert not place().chief
    assert not restarted()
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert restarted()


def test_alone_everything_is_agreed() -> None:
    room.wait()
    room.leave()
    assert agree(True, torch.device("cpu")) is True
    assert agree(False, torch.device("cpu")) is False


def _meet(store: HashStore, world: int) -> list[bytes]:
    """What each process of ``world`` reads under "key" that the first one wrote into its own part."""
    parts: dict[int, bytes] = {}

    def one(rank: int) -> None:
        part = room._own_part(store, Place(rank, world, rank))
        if rank == 0:
            part.set("key", f"{threading.get_ident()}")
        parts[rank] = part.get("key")

    threads = [threading.Thread(target=one, args=(rank,), daemon=True) for rank in reversed(range(world))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    return [parts[rank] for rank in range(world)]


def test_each_life_of_a_run_gets_its_own_part_of_the_store() -> None:
    store = HashStore()
    store.set_timeout(timedelta(seconds=10))
    for _ in range(3):  # what the earlier ones wrote is still in the store
        found = _meet(store, 3)
        assert len(set(found)) == 1
    store.set("asks/1", "a process that died before it heard")
    store.set("asks/2", "another")
    assert len(set(_meet(store, 3))) == 1


def test_processes_that_do_not_come_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_PATIENCE", 0.05)
    store = HashStore()
    store.set("asks/2", "dead")
    with pytest.raises(RetouchError, match="processes 1, 2 of 3 did not come"):
        room._own_part(store, Place(0, 3, 0))
