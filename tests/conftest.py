"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Small tensors run faster on one thread, and numbers repeat."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of test pictures (RETOUCH_DATA, or shared/data beside the checkout); skips where there is none."""
    folder = Path(os.environ.get("RETOUCH_DATA", REPOSITORY.parent / "shared" / "data"))
    if not (folder / "test").is_dir():
        pytest.skip(f"no test pictures at {folder}: set RETOUCH_DATA")
    return folder
