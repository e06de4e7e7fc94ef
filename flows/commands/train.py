"""``bigfusion train``: every seed of the model, on a project or on a feature file."""

from __future__ import annotations

import argparse
import logging
from dataclasses import replace
from pathlib import Path

from bigfusion.flows.commands.common import Answer, Common, add_description, add_features, add_seeds, networks, see
from bigfusion.flows.commands.flow import run_flow
from bigfusion.pipeline.errors import SettingsError, TrainingError
from bigfusion.pipeline.words import quoted

HELP = "train every seed; goes on where it was interrupted"

log = logging.getLogger("bigfusion")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `train` takes."""
    parser.add_argument(
        "--network",
        metavar="KIND",
        help=f"another network than the settings', with its own defaults: {networks()}",
    )
    parser.add_argument("--out", type=Path, metavar="RUN", help="with --features: the run's folder")
    add_features(parser)
    add_seeds(parser)
    add_description(parser)


def run(
    common: Common,
    features: Path | None,
    out: Path | None,
    seeds: int | None,
    network: str | None = None,
    name: str | None = None,
    note: str | None = None,
) -> Answer:
    """Train every seed under the present cells, labels, settings and code; or on a feature file, into a folder."""
    if network is not None:
        common = replace(common, assignments=(f"model.kind={kind_of(network)}", *common.assignments))
    if features or out:
        return _on_file(common, features, out, seeds, name, note)
    from bigfusion.flows.project.experiments import describe
    from bigfusion.flows.project.preflight import preflight, require
    from bigfusion.flows.project.standing import load
    from bigfusion.flows.project.workspace import relative

    project = common.project(seeds=seeds)
    standing = load(project)
    present, stage = standing.run, standing.stage("train")
    standing.require_labels()
    if standing.plan.pending_count:
        raise TrainingError(
            f"nothing to train on yet: {stage.why}; run `bigfusion extract`, or `bigfusion run` for all"
        )

    def flow() -> None:
        from bigfusion.flows.stages.train import train

        train(project)

    if stage.pending:
        require(preflight(project, standing.plan))
    describe(present.folder, name, note)
    if stage.pending:
        run_flow(project, common.debug, standing, flow)
    else:
        log.info("train: up to date: %s", stage.why)
    data = {"run": present.id, "folder": str(present.folder), "seeds": list(project.train.seeds)}
    return Answer(f"run {present.id} in {relative(present.folder)}", data)


def kind_of(network: str) -> str:
    """A network's kind, as its file is named; people write hyphens too."""
    from bigfusion.model.kinds import settings_classes
    from bigfusion.model.settings import NETWORKS
    from bigfusion.pipeline.nearest import did_you_mean

    kind, known = network.lower().replace("-", "_"), settings_classes(NETWORKS)
    if kind not in known:
        raise SettingsError(f"--network {network}: expected one of {', '.join(known)}{did_you_mean(kind, known)}")
    return kind


def _on_file(
    common: Common, features: Path | None, out: Path | None, seeds: int | None, name: str | None, note: str | None
) -> Answer:
    from bigfusion.flows.project import file_runs
    from bigfusion.flows.project.experiments import check_description, describe
    from bigfusion.flows.project.load import load_learning

    if features is None or out is None:
        file, folder = quoted(features or "my.parquet"), quoted(out or "my-run")
        raise SettingsError(
            f"train: --features and --out go together: `bigfusion train --features {file} --out {folder}`"
        )
    see(features)
    check_description(name, note)
    learning = load_learning(
        common.config, common.preset, common.settings(seeds), lambda: file_runs.known_corpus(features)
    )
    trained = file_runs.train(features, out, learning)
    describe(out, name, note)
    follows = f"bigfusion evaluate --features OTHER --run {quoted(out)}"
    text = f"run {out}: seeds {', '.join(map(str, trained))} trained; next: {follows}"
    return Answer(text, {"run": str(out), "seeds": trained})
