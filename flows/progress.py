"""Progress bars on standard error: only on a terminal, and only for work that takes a while."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

from bigfusion.model.runs.folder import Epoch, Trained

log = logging.getLogger("bigfusion")

_SILENT_SECONDS = 2.0
_MANY = 0.5


@contextmanager
def bar(label: str, total: int | None, unit: str = " cells") -> Iterator[Callable[[int], None]]:
    """A bar of ``total`` steps that appears after two seconds. Yields a function that moves it by a number of steps."""
    with _shown(label, total, unit) as shown:
        yield lambda done: void(shown.update(done))


@contextmanager
def counted(label: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """A bar whose length becomes known later. Yields a function to call with ``(done, total)``."""
    with _shown(label, None, unit) as shown:

        def progress(done: int, total: int) -> None:
            shown.total = total
            shown.update(done - shown.n)

        yield progress


@contextmanager
def training(epochs: int) -> Iterator[Callable[[Epoch], None]]:
    """A bar of ``epochs`` over all seeds. Yields a function to call with each finished epoch, whose values it shows."""
    with _shown("train", epochs, " epochs") as shown:

        def progress(epoch: Epoch) -> None:
            said = f"epoch {epoch.epoch}, loss {epoch.loss:.3f}, WF1 {100 * epoch.valid_weighted_f1:.1f}"
            if epoch.rates:
                said += f", firing {100 * sum(epoch.rates.values()) / len(epoch.rates):.0f} %"
            shown.set_postfix_str(said, refresh=False)
            shown.update(1)

        yield progress


def warn_of_neurons(trained: Trained) -> None:
    """Warn of layers of a trained seed in which many neurons never fire, or fire at every step."""
    for layer, neurons in trained.neurons.items():
        for state, number in (("never fire", neurons.dead), ("fire at every step", neurons.saturated)):
            if number > _MANY * neurons.count:
                log.warning(
                    "train: seed %d: %s: %d of %d neurons %s", trained.seed, layer, number, neurons.count, state
                )


def _shown(label: str, total: int | None, unit: str) -> tqdm[None]:
    disable = not sys.stderr.isatty()
    return tqdm(
        total=total, desc=label, unit=unit, delay=_SILENT_SECONDS, disable=disable, dynamic_ncols=True, leave=False
    )


def void(_: object) -> None:
    """Ignore a value."""
