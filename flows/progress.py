"""Progress bars on standard error: only on a terminal, only for what takes a while."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

_SILENT_SECONDS = 2.0


@contextmanager
def bar(label: str, total: int | None, unit: str = " cells") -> Iterator[Callable[[int], None]]:
    """A bar of ``total`` steps (``None``: unknown) that appears after two seconds; yields what moves it on."""
    with tqdm(
        total=total, desc=label, unit=unit, delay=_SILENT_SECONDS, disable=not sys.stderr.isatty(), dynamic_ncols=True,
        leave=False,
    ) as shown:  # fmt: skip
        yield lambda done: void(shown.update(done))


def void(_: object) -> None:
    """Throw a value away."""
