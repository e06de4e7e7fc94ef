"""The flow ``ingest``: a folder on disk -> the manifest."""

from __future__ import annotations

import logging

from prefect import flow

from bigfusion.flows.engine.hooks import HOOKS
from bigfusion.flows.engine.session import alone
from bigfusion.flows.progress import counted
from bigfusion.flows.project import corpus
from bigfusion.flows.project.project import Project

log = logging.getLogger("bigfusion")


@flow(name="ingest", flow_run_name="ingest {project.name}", **HOOKS)
@alone
def ingest(project: Project) -> str:
    """Scan the corpus, keep its manifest, return the manifest's digest."""
    with counted("ingest", " files") as progress:
        found = corpus.ingest(project, progress)
    counts = found.manifest.counts()
    log.info(
        "ingest: %s: %d utterances in %d dialogues, %d skipped; manifest %s",
        found.manifest.corpus,
        len(found.manifest),
        sum(counts["dialogues"].values()),
        len(found.manifest.skipped),
        "changed" if found.changed else "unchanged",
    )
    return found.manifest.digest
