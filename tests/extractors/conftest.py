"""What the extractors' tests share. The makers of media in tests/corpora are imported by name."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from extractors.compute import torch_threads

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "corpora"))


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Small tensors gain nothing from torch's own threads, and on a busy machine wait for them."""
    with torch_threads.held_at(1):
        yield
