"""What the extractors' tests share. The makers of media in tests/corpora are imported by name."""

from collections.abc import Iterator
from functools import cache

import pytest

from bigfusion.extractors.compute import torch_threads


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Small tensors gain nothing from torch's own threads, and on a busy machine wait for them."""
    with torch_threads.held_at(1):
        yield


@pytest.fixture(scope="module")
def one_densenet() -> Iterator[None]:
    """A file's DenseNet is loaded and made a graph once for a module: that takes longer than a clip."""
    from bigfusion.extractors.visual import embedder

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedder, "load", cache(embedder.load))
        patch.setattr(embedder, "graph", cache(embedder.graph))
        yield
