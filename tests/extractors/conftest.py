"""What the extractors' tests share. The makers of media in tests/corpora are imported by name."""

from collections.abc import Iterator

import pytest

from bigfusion.extractors.compute import torch_threads


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Small tensors gain nothing from torch's own threads, and on a busy machine wait for them."""
    with torch_threads.held_at(1):
        yield
