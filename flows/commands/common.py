"""The options that all commands take, and the answer that each returns.

Neither this file nor the top of a command's file imports anything heavy, because `bigfusion COMMAND --help` imports
them.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bigfusion.flows.project.preset_names import LEARNING, PRESETS
from bigfusion.pipeline.errors import SettingsError, TrainingError

if TYPE_CHECKING:
    from bigfusion.flows.project.settings import Project


@dataclass(frozen=True)
class Common:
    """The options that every command takes."""

    config: Path | None = None
    preset: str | None = None
    assignments: Sequence[str] = ()
    json: bool = False
    log_json: bool = False
    debug: bool = False

    def project(self, *, seeds: int | None = None, runner: str | None = None) -> Project:
        """The project that the options name, with ``--seeds`` and ``--runner`` applied if the command takes them."""
        from bigfusion.flows.project.load import load

        return load(self.config, self.preset, self.settings(seeds, runner))

    def trial(self) -> str:
        """The options that make this a trial of other settings than the file's. Empty if it is none.

        Options that change no number (where to compute, how many seeds, when to promote) make no trial, and neither do
        those that a file without a whole corpus needs.
        """
        from bigfusion.flows.project.load import load, settings_file

        given = [f"--preset {self.preset}"] * (self.preset is not None)
        given += [f"--set {shlex.quote(assignment)}" for assignment in self.assignments]
        if not given or not settings_file(self.config, self.preset).exists():
            return ""
        needed = [one for one in self.assignments if one.partition(".")[0].strip() in ("corpus", "workspace")]
        for own in ((), needed):
            with suppress(SettingsError):
                plain = load(self.config, None, own)
                return "" if plain.decisive() == self.project().decisive() else " ".join(given)
        return ""

    def settings(self, seeds: int | None = None, runner: str | None = None) -> tuple[str, ...]:
        """The assignments to settings. ``--seeds`` and ``--runner`` are short forms of two more."""
        short = [] if seeds is None else [f"train.seeds={[*range(seeds)]}"]
        short += [] if runner is None else [f"runner.kind={runner}"]
        return (*self.assignments, *short)


@dataclass(frozen=True)
class Answer:
    """A command's result: text for a person, data for ``--json``, and the exit code."""

    text: str
    data: dict[str, Any] = field(default_factory=dict)
    code: int = 0


def without(command: str, remedy: str, **given: object) -> None:
    """Refuse common options that this command cannot use."""
    for name, value in given.items():
        if value:
            raise SettingsError(f"{command}: --{name} has no effect here; {remedy}")


def add_common(parser: argparse.ArgumentParser) -> None:
    """Add the options of :class:`Common`."""
    group = parser.add_argument_group("settings")
    group.add_argument("--config", type=Path, metavar="FILE", help="settings file (default: bigfusion.toml)")
    group.add_argument(
        "--preset", metavar="NAME", help=f"shipped settings below the file's: {', '.join((*PRESETS, *LEARNING))}"
    )
    group.add_argument(
        "--set",
        action="append",
        dest="assignments",
        default=[],
        metavar="KEY=VALUE",
        help="one setting, for instance train.epochs=20",
    )
    group.add_argument("--json", action="store_true", help="print the result as JSON")
    group.add_argument("--log-json", action="store_true", help="log a JSON object an event")
    group.add_argument("--debug", action="store_true", help="show tracebacks and Prefect's own log")


def add_seeds(parser: argparse.ArgumentParser) -> None:
    """Add ``--seeds``."""
    parser.add_argument("--seeds", type=_seeds, metavar="N", help="the seeds 0 to N - 1 (default: train.seeds)")


def add_features(parser: argparse.ArgumentParser) -> None:
    """Add ``--features``."""
    parser.add_argument(
        "--features", type=Path, metavar="FILE", help="a feature file (Parquet, pickle) instead of a project"
    )


def networks() -> str:
    """The kinds of networks, by the names of their files."""
    files = (Path(__file__).parents[2] / "model/network_settings").glob("[!_]*.py")
    return ", ".join(sorted({file.stem for file in files} - {"base"}))


def add_extraction(parser: argparse.ArgumentParser) -> None:
    """Add the options of commands that extract."""
    parser.add_argument("--retry-failed", action="store_true", help="try the cells again that failed before")
    parser.add_argument("--runner", choices=["local", "ray"], help="who computes the chunks: here or Ray")


def add_schedule(parser: argparse.ArgumentParser) -> None:
    """Add the options of commands that make deployments."""
    add_seeds(parser)
    parser.add_argument("--cron", metavar="CRON", help='when to retrain, for instance "0 3 * * *"')
    parser.add_argument("--timezone", default="UTC", metavar="ZONE", help="of --cron (default: UTC)")
    parser.add_argument("--name", metavar="NAME", help="of the deployments (default: the project folder's)")


def _seeds(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError(f"expected how many seeds to train, 1 to 1000, found {text!r}")
    return int(text)


def add_description(parser: argparse.ArgumentParser) -> None:
    """Add what a person says of the run."""
    parser.add_argument("--name", metavar="NAME", help="what to call the run in `bigfusion models`")
    parser.add_argument("--note", metavar="TEXT", help="what to remember of the run")


def see(features: Path) -> None:
    """Refuse a ``--features`` that is not a file, with an error that names the option."""
    if not features.is_file():
        found = "a folder" if features.is_dir() else "no such file"
        raise SettingsError(f"--features {features}: {found}; expected a feature file (Parquet or pickle)")


def run_folder(common: Common, run: Path) -> Path:
    """The folder of a run: ``run`` is a folder, the name of a run, or the (beginning of the) id of `bigfusion models`.

    Raises:
        TrainingError: several runs have this name, or an id with this beginning.
    """

    if run.exists() or len(run.parts) != 1:
        return run
    try:
        runs = common.project().files.runs
    except SettingsError:  # without a project here, ``run`` must be a folder, and it does not exist
        return run
    from bigfusion.flows.project.experiments import about

    folders = sorted(path for path in runs.glob("*") if path.is_dir())
    found = [path for path in folders if about(path).name == run.name]
    found = found or [path for path in folders if path.name.startswith(run.name)]
    if len(found) > 1:
        raise TrainingError(f"run {run}: expected one run, found {', '.join(f.name for f in found)}; write more of it")
    return found[0] if found else run
