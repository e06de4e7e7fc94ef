"""The flow ``extract``: pending cells, chunk by chunk, one Prefect task a chunk, each committed as one shard."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.runtime import flow_run

from flows import cells
from flows.cells import ChunkResult
from flows.corpus import kept
from flows.progress import bar
from flows.project import Project
from flows.upkeep import publish_reach
from pipeline.errors import ExtractionError, StoreError
from pipeline.manifest import Manifest
from pipeline.plan import PlannedCell
from pipeline.schema import Modality

log = logging.getLogger("bigfusion")


def may_pass(task: Any, run: TaskRun, state: State[Any]) -> bool:
    """Whether a chunk's error may be gone at the next try: disk and memory, never a fault of input or code."""
    try:
        state.result()
    except (OSError, MemoryError, StoreError):
        return True
    except BaseException:  # whatever else it is, Prefect raises it after this
        return False
    return False


@task(
    name="chunk", task_run_name="{name}", cache_policy=NO_CACHE, persist_result=False, retry_delay_seconds=[2, 10, 30],
    retry_condition_fn=may_pass,
)  # fmt: skip
def chunk(
    name: str, project: Project, manifest: Manifest, part: list[PlannedCell], run: str, progress: Callable[[int], None]
) -> ChunkResult:
    """Compute and commit one chunk."""
    return cells.extract_chunk(project, manifest, part, run, progress)


@flow(name="extract", flow_run_name="extract {project.corpus.kind}")
def extract(project: Project, retry_failed: bool = False) -> dict[str, dict[str, int]]:
    """Compute every new and changed cell of the kept manifest. Returns cells by modality and status.

    A chunk that fails leaves the others' work in the store.

    Raises:
        ExtractionError: one or more chunks failed; the message names the first error.
    """
    manifest = kept(project)
    plan = cells.plan(project, manifest, retry_failed)
    for line in plan.reasons():
        log.info("extract: %s", line)
    if not plan.pending_count:
        log.info("extract: 0 cells to extract: all fingerprints are in the store")
    results: list[ChunkResult] = []
    errors: list[BaseException] = []
    for modality in plan.modalities:
        pending = plan.pending(modality)
        if pending:
            found, failed = _extract_modality(project, manifest, modality, pending)
            results += found
            errors += failed
    if errors:
        raise ExtractionError(
            f"{len(errors)} chunks failed, {len(results)} are stored; run the same command again to go on."
            f" First error: {errors[0]}"
        ) from errors[0]
    publish_reach(project)
    return cells.summary(results)


def _extract_modality(
    project: Project, manifest: Manifest, modality: Modality, pending: list[PlannedCell]
) -> tuple[list[ChunkResult], list[BaseException]]:
    """All chunks of one modality; stops where the extractor itself cannot run."""
    results: list[ChunkResult] = []
    errors: list[BaseException] = []
    parts = list(cells.chunks(pending, project.extract.chunk_size))
    run = str(flow_run.id or "")
    with bar(str(modality), len(pending)) as progress:
        for number, part in enumerate(parts, start=1):
            state = chunk.with_options(retries=project.extract.retries)(
                f"{modality} {number}/{len(parts)}", project, manifest, part, run, progress, return_state=True
            )
            try:
                results.append(state.result())
            except ExtractionError as error:
                errors.append(error)
                break
            except (OSError, MemoryError, StoreError) as error:
                errors.append(error)
    log.info("extract: %s: %s", modality, cells.summary(results).get(modality, {}))
    return results, errors
