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
    """A file's DenseNet is loaded and made a graph once a module: that takes longer than a clip."""
    from bigfusion.extractors.visual import embedder

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedder, "load", cache(embedder.load))
        patch.setattr(embedder, "graph", cache(embedder.graph))
        yield


@pytest.fixture(scope="module")
def one_reader() -> Iterator[None]:
    """A text model is loaded once a module, where no test changes its files: extractors leave it as it is."""
    from bigfusion.extractors.text import encoder, transformer

    with pytest.MonkeyPatch.context() as patch:
        for module in (encoder, transformer):
            patch.setattr(module, "load", cache(module.load))
        yield
