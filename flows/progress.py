"""Progress bars on standard error, below the log's lines: only on a terminal, and only for work that takes a while."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import RLock, Timer
from typing import TYPE_CHECKING

from bigfusion.flows import logs
from bigfusion.flows.stopping import on_forced_end
from bigfusion.model.runs.folder import Epoch, Trained
from bigfusion.pipeline.words import duration, numbered

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn, TaskID

log = logging.getLogger("bigfusion")

_SILENT_SECONDS = 2.0
_FRAMES_PER_SECOND = 5
_LEAST_BAR, _GREATEST_BAR = 6, 40
_WORDS_WIDTH = 74  # of a label and what is said beside the bar: on 80 columns the bar is short, not the words
_MANY = 0.5
_SHOW_CURSOR = b"\r\x1b[2K\x1b[?25h"


@contextmanager
def bar(label: str, total: int | None, unit: str = " cells") -> Iterator[Callable[[int], None]]:
    """A bar of ``total`` steps that appears after two seconds. Yields a function that moves it by a number of steps."""
    with _shown(label, total, unit) as shown:
        yield lambda steps: shown.move(shown.done + steps)


@contextmanager
def counted(label: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """A bar whose length becomes known later. Yields a function to call with ``(done, total)``."""
    with _shown(label, None, unit) as shown:
        yield shown.move


@contextmanager
def training(epochs: int) -> Iterator[Callable[[Epoch], None]]:
    """A bar of ``epochs`` over all seeds. Yields a function to call with each finished epoch, whose values it shows."""
    with _shown("train", epochs, " epochs") as shown:

        def progress(epoch: Epoch) -> None:
            said = f"epoch {epoch.epoch}, loss {epoch.loss:.3f}, WF1 {100 * epoch.valid_weighted_f1:.1f}"
            if epoch.rates:
                said += f", firing {100 * sum(epoch.rates.values()) / len(epoch.rates):.0f} %"
            shown.move(shown.done + 1, said=said)

        yield progress


@contextmanager
def together() -> Iterator[None]:
    """Keep the bars of the works within this block on the screen, the finished ones too, until its end."""
    with _display.keeping():
        yield


@contextmanager
def waiting(label: str) -> Iterator[None]:
    """Say what the command waits for, once two seconds have passed: in the display, or as a line of the log."""
    if _on_terminal():
        with _shown(label, None, ""):
            yield
        return
    timer = Timer(_SILENT_SECONDS, log.info, ["%s", label])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def warn_of_neurons(trained: Trained) -> None:
    """Warn of layers of a trained seed in which many neurons never fire, or fire at every step."""
    for layer, neurons in trained.neurons.items():
        for state, count in (("never fire", neurons.dead), ("fire at every step", neurons.saturated)):
            if count > _MANY * neurons.count:
                log.warning(
                    "train: seed %d: %s: %d of %s %s",
                    trained.seed,
                    layer,
                    count,
                    numbered(neurons.count, "neuron"),
                    state,
                )


class _Bar:
    """How far a piece of work is."""

    def __init__(self, label: str, total: int | None, unit: str) -> None:
        self.label, self.total, self.unit = label, total, unit.strip()
        self.done, self.said, self.ended = 0, "", False
        self.task: TaskID | None = None

    def move(self, done: int, total: int | None = None, said: str = "") -> None:
        """Set what is done, and what is known anew."""
        self.done, self.total, self.said = done, total or self.total, said or self.said
        _display.update(self)

    def words(self, seconds_left: float | None) -> str:
        """What stands beside the bar."""
        if self.total is None:
            return numbered(self.done, self.unit.removesuffix("s")) if self.done else ""
        parts = [f"{self.done:,} of {numbered(self.total, self.unit.removesuffix('s'))}", self.said]
        if seconds_left is not None and self.done < self.total:
            parts.insert(1, f"{duration(seconds_left)} left")
        return ", ".join(filter(None, parts))


class _Display:
    """All bars of this process, in one live display. Lines of the log are written above it."""

    def __init__(self) -> None:
        self._lock = RLock()
        self._progress: Progress | None = None
        self._kept: list[_Bar] | None = None

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """Remove no bar before the end of this block."""
        self._kept = []
        try:
            yield
        finally:
            kept, self._kept = self._kept, None
            for bar in kept:
                self.remove(bar)

    def add(self, bar: _Bar) -> None:
        """Show a bar, unless its work has ended meanwhile."""
        with self._lock:
            if bar.ended:
                return
            if self._progress is None:
                self._progress = _progress()
                logs.above = self._print
                self._progress.start()
            bar.task = self._progress.add_task(bar.label, total=bar.total, completed=bar.done, bar=bar)

    def update(self, bar: _Bar) -> None:
        """Show how far a bar is, if it is shown at all."""
        with self._lock:
            if self._progress is not None and bar.task is not None:
                self._progress.update(bar.task, total=bar.total, completed=bar.done)

    def remove(self, bar: _Bar) -> None:
        """Remove a bar. Without any bar the display ends."""
        with self._lock:
            bar.ended = True
            if self._progress is None or bar.task is None:
                return
            if self._kept is not None:
                self._kept.append(bar)
                return
            self._progress.remove_task(bar.task)
            if not self._progress.tasks:
                self._progress.stop()
                self._progress, logs.above = None, None

    def _print(self, line: str) -> bool:
        """Write a line above the bars. Returns false if there are none now."""
        from rich.text import Text

        with self._lock:
            if self._progress is None:
                return False
            self._progress.console.print(Text(line), soft_wrap=True)
            return True


_display = _Display()


@contextmanager
def _shown(label: str, total: int | None, unit: str) -> Iterator[_Bar]:
    """A bar that is shown within this block, from its third second on."""
    shown = _Bar(label, total, unit)
    if not _on_terminal():
        yield shown
        return
    timer = Timer(_SILENT_SECONDS, _display.add, [shown])
    timer.daemon = True
    timer.start()
    with on_forced_end(lambda: void(os.write(2, _SHOW_CURSOR))):  # past the display, whose locks may be held
        try:
            yield shown
        finally:
            timer.cancel()
            _display.remove(shown)


def _on_terminal() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb" and not logs.as_json()


def _progress() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

    console = Console(stderr=True, highlight=False)
    bar = BarColumn(bar_width=min(max(console.width - _WORDS_WIDTH, _LEAST_BAR), _GREATEST_BAR))
    return Progress(
        SpinnerColumn("line"),
        TextColumn("{task.description}", markup=False),
        bar,
        _words(),
        console=console,
        refresh_per_second=_FRAMES_PER_SECOND,
        transient=True,
        redirect_stdout=False,
    )


def _words() -> ProgressColumn:
    from rich.progress import ProgressColumn, Task
    from rich.text import Text

    class Words(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(task.fields["bar"].words(task.time_remaining), overflow="ellipsis", no_wrap=True)

    return Words()


def void(_: object) -> None:
    """Ignore a value."""
