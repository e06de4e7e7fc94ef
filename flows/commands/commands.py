"""What each command does: options in, an answer out (text for a person, data for ``--json``, an exit code)."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bigfusion.flows.commands import show
from bigfusion.flows.commands.options import Answer, Options, without
from bigfusion.flows.progress import counted
from bigfusion.flows.project import cells, corpus, project, runs
from bigfusion.flows.project.estimate import estimate
from bigfusion.flows.project.outlook import outlook
from bigfusion.flows.project.project import Project
from bigfusion.flows.project.upkeep import mention_reach, publish_reach
from bigfusion.flows.project.workspace import Workspace, relative
from bigfusion.pipeline.corpora.scan import FeatureSettings, scan
from bigfusion.pipeline.digests.files import FileDigests
from bigfusion.pipeline.errors import CorpusError, ExtractionError, SettingsError, TrainingError
from bigfusion.pipeline.plan.plan import CellPlan

log = logging.getLogger("bigfusion")

_HELD_SECONDS = 1.0


def init(options: Options) -> Answer:
    """Write a commented settings file; an existing one is never overwritten."""
    if options.folder is None or options.preset is None:
        raise SettingsError("init: expected a preset; for instance `bigfusion init my-meld --preset meld`")
    without("init", "edit the file that it writes", config=options.config, set=options.assignments)
    path = options.folder / project.DEFAULT_CONFIG
    project.write_config(path, options.preset, options.target, options.learning)
    first = "" if options.target else "set corpus.root in it, then "
    text = f"wrote {path}: {first}`cd {options.folder} && bigfusion plan`, then `bigfusion run`"
    return Answer(text, {"config": str(path)})


def ingest(options: Options) -> Answer:
    """Scan the corpus and keep its manifest. Needs no Prefect: it takes seconds and changes nothing else."""
    mine = options.project()
    with Workspace(mine).exclusive(), counted("ingest", " files") as progress:
        found = corpus.ingest(mine, progress)
    path = Workspace(mine).manifest
    data = found.manifest.summary(path)
    return Answer(show.ingested(data, found.changed), data)


def plan(options: Options) -> Answer:
    """What a run would do, and why. Writes nothing but caches."""
    mine = options.project()
    with counted("plan", " files") as progress:
        found = outlook(mine, progress=progress)
    data = {
        "pending": found.planned.pending_count,
        "cells": found.planned.counts(),
        "reasons": found.planned.reasons(),
        "stages": {stage.name: {"pending": stage.pending, "why": stage.why} for stage in found.stages},
        "manifest": {"digest": found.manifest.digest, "changed": found.changed},
        "run": found.run.id,
        "estimate": estimate(mine, found.planned, any(s.pending for s in found.stages if s.name == "train")),
    }
    pending = bool(found.planned.pending_count) or any(stage.pending for stage in found.stages)
    return Answer(show.plan(data), data, code=2 if pending else 0)


def extract(options: Options) -> Answer:
    """Ingest, then compute the cells that are missing or stale."""
    mine = options.project()
    if not _plan_now(mine, options.retry_failed).pending_count:
        log.info("extract: 0 cells to extract: all fingerprints are in the store")
    else:
        _flow(mine, options, lambda: _extract_flow(mine, options.retry_failed))
    planned = _plan_now(mine, False)
    mention_reach(mine, planned)
    data = {"pending": planned.pending_count, "cells": planned.counts(), "store": _store_info(mine)}
    return Answer(show.cells(data), data)


def train(options: Options) -> Answer:
    """Train every seed under the present cells, labels, settings and code; or on a feature file, into a folder."""
    if options.features or options.run:
        from bigfusion.flows.commands import file_commands

        return file_commands.train(options)
    mine = options.project()
    _, planned, run = runs.present(mine)
    stage = runs.stages(mine, run, planned)[0]
    if planned.pending_count:
        raise TrainingError(
            f"nothing to train on yet: {stage.why}; run `bigfusion extract`, or `bigfusion run` for all"
        )
    if stage.pending:
        _flow(mine, options, lambda: _train_flow(mine))
    else:
        log.info("train: up to date: %s", stage.why)
    data = {"run": run.id, "folder": str(run.folder), "seeds": list(mine.train.seeds)}
    return Answer(f"run {run.id} in {relative(run.folder)}", data)


def evaluate(options: Options) -> Answer:
    """Score the present run's test split, once; or the dialogues of a feature file with the run of a folder."""
    if options.features or options.run:
        without("evaluate --features", "every seed that the run has is scored", seeds=options.seeds)
        from bigfusion.flows.commands import file_commands

        return file_commands.evaluate(options)
    mine = options.project()
    _, planned, run = runs.present(mine)
    training, evaluation = runs.stages(mine, run, planned)
    if training.pending:
        raise TrainingError(f"nothing to evaluate: {training.why}; run `bigfusion train`, or `bigfusion run` for all")
    if evaluation.pending:
        _flow(mine, options, lambda: _evaluate_flow(mine))
    else:
        log.info("evaluate: up to date: %s", evaluation.why)
    return _results(mine, run)


def run(options: Options) -> Answer:
    """Ingest, extract, train, evaluate: only what changed."""
    return _run(options.project(), options)


def report(options: Options) -> Answer:
    """Where the present run's report lies."""
    mine = options.project()
    _, planned, found = runs.present(mine)
    if any(stage.pending for stage in runs.stages(mine, found, planned)):
        raise TrainingError("no report of the present state yet; run `bigfusion run`")
    path = found.report
    return Answer(relative(path), {"run": found.id, "report": str(path)})


def reproduce(options: Options) -> Answer:
    """A table or figure of the paper, remade."""
    from bigfusion.flows.commands.reproduce import reproduce as reproducing

    return reproducing(options)


def compare(options: Options) -> Answer:
    """Two scored runs on the same dialogues, by paired bootstrap."""
    from bigfusion.flows.commands import file_commands

    return file_commands.compare(options)


def explain(options: Options) -> Answer:
    """Each cell of one utterance: fingerprint, components, what changed, when and by which run it was made."""
    mine = options.project()
    manifest = corpus.look(mine).manifest
    known = manifest.table["utterance"].tolist()
    if options.target not in set(known):
        raise CorpusError(
            f"utterance {options.target!r}: not in the manifest of {manifest.corpus}; ids look like {known[0]!r}"
            if known
            else f"{manifest.corpus}: the manifest is empty"
        )
    data = cells.explain(mine, manifest, str(options.target))
    return Answer(show.explanation(data), data)


def demo(options: Options) -> Answer:
    """Make the demo corpus where it is missing, and run everything on it."""
    from bigfusion.pipeline.demo.build import build

    folder = options.folder or Path("demo")
    other = options.preset if options.preset != "demo" else None
    without("demo", f"edit {folder / project.DEFAULT_CONFIG}, or use --set", config=options.config, preset=other)
    with counted("demo corpus", " clips") as progress:
        built = build(folder / "MELD.Raw", progress)
    made = f"{built.made} files made" if built.made else "complete already"
    log.info("demo: %d utterances of real media in %s: %s", built.utterances, relative(built.folder.resolve()), made)
    config = folder / project.DEFAULT_CONFIG
    if not config.exists():
        project.write_config(config, "demo", None)
    return _run(project.load(config, "demo", options.settings), options)


def import_features(options: Options) -> Answer:
    """Make a project of a feature file: settings, manifest, and its features in the store."""
    without("import", "name the project's folder after the file", config=options.config)
    source = Path(str(options.target)).resolve()
    folder = options.folder or Path(source.stem)
    config = folder / project.DEFAULT_CONFIG
    scan(FeatureSettings(kind="features", path=source), FileDigests())  # refuses what it cannot take before it writes
    if not config.exists():
        project.write_import_config(config, source, options.preset)
    mine = project.load(config, None, options.settings)
    if not isinstance(mine.corpus, FeatureSettings) or mine.corpus.path.resolve() != source:
        raise SettingsError(
            f"{config}: expected a project on {source}, found one on another corpus; name another folder:"
            f" `bigfusion import {options.target} DIR`, or set corpus.path in it"
        )
    with Workspace(mine).exclusive():
        manifest = corpus.ingest(mine).manifest
        planned = cells.plan(mine, manifest)
        publish_reach(mine, planned)
        for modality in planned.modalities:
            todo = planned.pending(modality)
            while todo:
                held: set[str] = set()  # by another import into the same store
                for part in cells.chunks(todo, mine.extract.chunk_size):
                    held.update(cells.extract_chunk(mine, manifest, part, run="import").left)
                todo = [cell for cell in todo if cell.fingerprint in held]
                time.sleep(_HELD_SECONDS if todo else 0)
    data = manifest.summary(Workspace(mine).manifest) | {"config": str(config), "store": _store_info(mine)}
    return Answer(show.ingested(data, True) + f"\nnext: cd {folder} && bigfusion run", data)


def status(options: Options) -> Answer:
    """The store, the manifest, the runs and the failures of a workspace; what is running and what ran last."""
    from bigfusion.flows.engine.pulse import flow_runs

    mine = options.project()
    workspace = Workspace(mine)
    try:
        manifest: dict[str, Any] | None = corpus.kept(mine).summary(workspace.manifest)
    except CorpusError:  # no manifest yet
        manifest = None
    existing = next(path for path in (workspace.folder, *workspace.folder.parents) if path.exists())
    data = {
        "workspace": str(workspace.folder),
        "store": _store_info(mine),
        "manifest": None if manifest is None else {k: v for k, v in manifest.items() if k != "skipped"},
        "runs": runs.summaries(mine),
        "failures": _failures(mine),
        "disk_free_bytes": shutil.disk_usage(existing).free,
        "working": workspace.holder(),
        "flow_runs": flow_runs(mine),
    }
    return Answer(show.status(data), data)


def _failures(mine: Project) -> dict[str, int] | None:
    """How many cells failed how; ``None`` where the extractors cannot say which cells are theirs."""
    try:
        counts = cells.plan(mine, corpus.kept(mine)).failures()
    except CorpusError:  # no manifest yet
        return {}
    except (ExtractionError, OSError) as error:
        log.warning("status: failures are not known: %s", error)
        return None
    return dict(sum(map(Counter, counts.values()), Counter[str]()))


def _run(mine: Project, options: Options) -> Answer:
    """The whole road; where nothing is to do, says so without starting Prefect."""
    with counted("plan", " files") as progress:
        found = outlook(mine, options.retry_failed, progress)
    if found.pending:
        _flow(mine, options, lambda: _retrain_flow(mine, options.retry_failed))
        _, _, current = runs.present(mine)
        return _results(mine, current)
    found.say_nothing_to_do()
    mention_reach(mine, found.planned)
    return _results(mine, found.run)


def _results(mine: Project, run: runs.Run) -> Answer:
    data = run.metrics()
    paths = {
        "run": str(run.folder),
        "report": str(run.report),
        "manifest": str(Workspace(mine).manifest),
        "store": str(mine.store),
    }
    text = show.results(run, {name: relative(Path(path)) for name, path in paths.items()}, mine)
    return Answer(text, data | {"run": run.id, "demo": mine.is_demo, "paths": paths})


def _flow(mine: Project, options: Options, run: Callable[[], Any]) -> None:
    """Run a flow of Prefect's in this process."""
    from bigfusion.flows.engine.session import prefect

    if options.debug:
        os.environ.setdefault("PREFECT_LOGGING_LEVEL", "INFO")
    with prefect(Workspace(mine)):
        if mine.runner.kind == "ray":  # its tasks run in other processes, which need a server to report to
            from bigfusion.flows.engine.server import free_port, own_server

            with own_server(Workspace(mine), free_port()):
                run()
        else:
            run()


def _extract_flow(mine: Project, retry_failed: bool) -> None:
    from bigfusion.flows.stages.extract import extraction
    from bigfusion.flows.stages.ingest import ingest as ingesting

    ingesting(mine)
    extraction(mine)(mine, retry_failed)


def _train_flow(mine: Project) -> None:
    from bigfusion.flows.stages.train import train as training

    training(mine)


def _evaluate_flow(mine: Project) -> None:
    from bigfusion.flows.stages.evaluate import evaluate as evaluating

    evaluating(mine)


def _retrain_flow(mine: Project, retry_failed: bool) -> None:
    from bigfusion.flows.stages.retrain import retrain

    retrain(mine, retry_failed)


def _plan_now(mine: Project, retry_failed: bool) -> CellPlan:
    return cells.plan(mine, corpus.look(mine).manifest, retry_failed)


def _store_info(mine: Project) -> dict[str, Any]:
    store = Workspace(mine).store()
    try:
        return store.info()
    finally:
        store.close()
