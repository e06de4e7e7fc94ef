"""Compute the pending cells of one feature, or of several that share a look at the media.

Each chunk is one Prefect task, and is committed as one shard a feature.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.runtime import flow_run

from bigfusion.flows.engine import artifacts
from bigfusion.flows.progress import bar, void
from bigfusion.flows.project import cells
from bigfusion.flows.project.cells import ChunkResult
from bigfusion.flows.project.settings import Project
from bigfusion.pipeline.errors import ExtractionError, StoreError
from bigfusion.pipeline.manifest.manifest import Manifest
from bigfusion.pipeline.plan.plan import PlannedCell
from bigfusion.pipeline.schema import FeatureName
from bigfusion.pipeline.words import numbered, tally

log = logging.getLogger("bigfusion")

BACKOFF = [2.0, 10.0, 30.0]
"""Seconds before each retry."""
WAIT_SECONDS = 1.0
"""Seconds between two checks of cells that another run is computing."""
NAMED = 20
"""The largest number of a feature's failed cells that the log names."""
LIMITED = (OSError, MemoryError, StoreError)
"""Errors of the machine, not of the input or the code. They end one chunk, and the others go on."""
LASTING = (FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError, PermissionError)
"""Errors of the machine that do not pass by themselves."""


def passes(error: object) -> bool:
    """Whether an error may be gone at the next try: disk, memory, a time-out, or a lost mount."""
    if isinstance(error, StoreError) and error.__cause__ is not None:
        return passes(error.__cause__)
    return isinstance(error, LIMITED) and not isinstance(error, LASTING)


def may_pass(task: Any, run: TaskRun, state: State[Any]) -> bool:
    """Whether a task's error may pass. Prefect calls this before it retries."""
    return passes(state.result(raise_on_failure=False))


@task(
    name="chunk", task_run_name="{name}", cache_policy=NO_CACHE, persist_result=False, retry_delay_seconds=BACKOFF,
    retry_condition_fn=may_pass,
)  # fmt: skip
def chunk(
    name: str, project: Project, manifest: Manifest, part: list[PlannedCell], run: str, progress: Callable[[int], None]
) -> list[ChunkResult]:
    """Compute and commit one chunk."""
    return cells.extract_chunk(project, manifest, part, run, progress)


def compute(
    project: Project, manifest: Manifest, features: Sequence[FeatureName], pending: list[PlannedCell], which: str = ""
) -> tuple[list[ChunkResult], list[BaseException]]:
    """Compute all chunks of a feature, or of the part ``which``, within a flow run.

    Several ``features`` share a look at the media. If one of them cannot run, what is left of each is computed alone.

    This stops when the extractor cannot run. It also stops when every cell of a chunk has failed with an error, for
    instance because a disk is gone or a library is broken. To go on would repeat the error for all cells of the corpus.

    Cells that another run on the same shards holds are tried again, until they are stored or that run is dead.
    """
    results, errors = _computed(project, manifest, features, pending, which)
    for feature in features:
        log.info("extract: %s: %s", feature, tally(cells.summary(results).get(str(feature), {})))
    single = faults(results)
    for line in [*single[:NAMED], *([f"and {len(single) - NAMED} more"] if len(single) > NAMED else [])]:
        log.error("extract: %s", line)
    return results, errors


def _computed(
    project: Project, manifest: Manifest, features: Sequence[FeatureName], pending: list[PlannedCell], which: str
) -> tuple[list[ChunkResult], list[BaseException]]:
    results: list[ChunkResult] = []
    errors: list[BaseException] = []
    settled: set[tuple[str, str]] = set()
    done = 0
    name = cells.TOGETHER.join(features)
    what = f"{name} {which}".strip()
    shown = artifacts.Progress(
        f"{project.name}-{re.sub('[^a-z0-9]+', '-', what.lower())}",
        f"{what}: {numbered(len(pending), 'cell')}",
        len(pending),
    )
    todo = pending
    with bar(name, len(pending)) as progress:
        while todo:
            held: list[PlannedCell] = []
            for part, outcome in _states(project, manifest, name, todo, progress):
                try:
                    found = outcome()
                except ExtractionError as error:
                    errors.append(error)
                    held = []
                    break
                except LIMITED as error:
                    errors.append(error)
                else:
                    hopeless = [one for one in found if len(one.faults) == _count(part, one) > 1]
                    if len(features) > 1:  # what is hopeless is tried again alone, and says there what is wrong
                        found = [one for one in found if one not in hopeless]
                    results += found
                    left = {(one.feature, fingerprint) for one in found for fingerprint in one.left}
                    tried = {one.feature for one in found}
                    settled |= {_key(cell) for cell in part if cell.feature in tried} - left
                    if hopeless:
                        errors.append(ExtractionError(f"not one cell of a chunk; {hopeless[0].faults[0]}"))
                        held = []
                        break
                    held += [cell for cell in part if _key(cell) in left]
                done += len(part)
                shown.update(done - len(held))
            todo, done = held, done - len(held)
            if todo:
                log.info("extract: %s: waiting for %s that another run computes", name, numbered(len(todo), "cell"))
                time.sleep(WAIT_SECONDS)
    if len(features) > 1 and any(isinstance(error, ExtractionError) for error in errors):
        log.warning("extract: %s: each alone from now on, for together they cannot be computed: %s", name, errors[-1])
        rest = [cell for cell in pending if _key(cell) not in settled]
        parts = {feature: [cell for cell in rest if cell.feature == feature] for feature in features}
        alone = [_computed(project, manifest, [feature], part, which) for feature, part in parts.items() if part]
        return results + [one for found, _ in alone for one in found], [one for _, failed in alone for one in failed]
    return results, errors


def _key(cell: PlannedCell) -> tuple[str, str]:
    return cell.feature, cell.fingerprint


def _count(part: Sequence[PlannedCell], result: ChunkResult) -> int:
    """How many of a chunk's cells are of a result's feature."""
    return sum(cell.feature == result.feature for cell in part)


def faults(results: Sequence[ChunkResult]) -> list[str]:
    """A line for each single cell that failed with an error."""
    return [line for result in results for line in result.faults]


def raise_first(errors: list[BaseException], results: Sequence[ChunkResult]) -> None:
    """Raise an error if chunks or cells of a flow failed.

    Raises:
        ExtractionError: there are errors; the message counts them and names the first.
    """
    alone = faults(results)
    if errors:
        stored = sum(bool(result.shard) for result in results)
        more = f" and {numbered(len(alone), 'single cell')}" if alone else ""
        raise ExtractionError(
            f"{numbered(len(errors), 'chunk')} failed{more}, {stored} stored; run the same command again to go on."
            f" First error: {errors[0]}"
        ) from errors[0]
    if alone:
        raise ExtractionError(
            f"{numbered(len(alone), 'cell')} failed, what was computed beside them is stored; run the same command"
            f" again to try them again. First error: {alone[0]}"
        )


def _states(
    project: Project,
    manifest: Manifest,
    label: str,
    pending: list[PlannedCell],
    progress: Callable[[int], None],
) -> Iterator[tuple[list[PlannedCell], Callable[[], list[ChunkResult]]]]:
    """Each finished chunk, with a function that returns its result or raises its error."""
    parts = list(cells.chunks(cells.by_length(project, manifest, pending), project.extract.chunk_size))
    run = str(flow_run.id or "")
    prepared = chunk.with_options(retries=project.extract.retries, timeout_seconds=project.runner.chunk_seconds)
    named = [(f"{label} {number}/{len(parts)}", part) for number, part in enumerate(parts, start=1)]
    if project.runner.kind == "ray":
        sent = [(part, prepared.submit(name, project, _only(manifest, part), part, run, void)) for name, part in named]
        for part, future in sent:
            future.wait()
            progress(len(part))
            yield part, future.state.result
        return
    for name, part in named:
        yield part, prepared(name, project, manifest, part, run, progress, return_state=True).result


def _only(manifest: Manifest, part: list[PlannedCell]) -> Manifest:
    """A manifest of only those dialogues that hold cells of ``part``, to send to another machine."""
    mine = manifest.table["utterance"].isin([cell.utterance for cell in part])
    wanted = manifest.table["dialogue"].isin(manifest.table.loc[mine, "dialogue"].unique())
    rows = manifest.arrow.filter(pa.array(wanted.to_numpy()))
    table = manifest.table[wanted].reset_index(drop=True)
    return Manifest(manifest.corpus, manifest.root, manifest.labels, table, verified=rows)
