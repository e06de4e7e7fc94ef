"""What every command takes and gives: the options of the command line, and an answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bigfusion.flows.project import project
from bigfusion.flows.project.project import Project
from bigfusion.pipeline.errors import SettingsError


@dataclass(frozen=True)
class Options:
    """What the command line was given."""

    config: Path | None = None
    preset: str | None = None
    assignments: Sequence[str] = ()
    learning: str | None = None
    debug: bool = False
    target: str | None = None
    folder: Path | None = None
    retry_failed: bool = False
    features: Path | None = None
    run: Path | None = None
    seeds: int | None = None
    data: Path = Path("ferplus")
    out: Path | None = None
    weights: Path | None = None
    sample: float = 1.0
    repair: bool = False
    apply: bool = False
    grace: float = 24.0
    table: int | None = None
    figure: int | None = None
    cron: str | None = None
    timezone: str = "UTC"
    name: str | None = None
    gpus: int = 0
    port: int = 4200
    runner: str | None = None

    def project(self) -> Project:
        """The project that they name."""
        return project.load(self.config, self.preset, self.settings)

    @property
    def settings(self) -> tuple[str, ...]:
        """The assignments to settings, ``--seeds`` and ``--runner`` among them."""
        seeds = [] if self.seeds is None else [f"train.seeds={[*range(self.seeds)]}"]
        runner = [] if self.runner is None else [f"runner.kind={self.runner}"]
        return (*self.assignments, *seeds, *runner)


def without(command: str, remedy: str, **given: object) -> None:
    """Refuse options that all commands are given but this one has no use for."""
    for name, value in given.items():
        if value:
            raise SettingsError(f"{command}: --{name} has no effect here; {remedy}")


@dataclass(frozen=True)
class Answer:
    """A command's result."""

    text: str
    data: dict[str, Any] = field(default_factory=dict)
    code: int = 0
