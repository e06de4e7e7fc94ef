"""The flow ``ingest``: a folder on disk -> the manifest."""

from __future__ import annotations

import logging

from prefect import flow

from bigfusion.flows.engine.hooks import HOOKS
from bigfusion.flows.engine.session import alone
from bigfusion.flows.progress import counted
from bigfusion.flows.project import corpus
from bigfusion.flows.project.corpus import Ingested
from bigfusion.flows.project.settings import Project
from bigfusion.flows.project.standing import handed

log = logging.getLogger("bigfusion")


@flow(name="ingest", flow_run_name="ingest {project.name}", **HOOKS)
@alone
def ingest(project: Project) -> str:
    """Scan the corpus, keep its manifest, return the manifest's digest."""
    standing = handed(project)
    return keep(project, scanned(project) if standing is None else Ingested(standing.manifest, standing.changed))


def scanned(project: Project) -> Ingested:
    """The corpus as it lies on disk now, with a progress bar."""
    with counted("ingest", " files") as progress:
        return corpus.look(project, progress)


def keep(project: Project, found: Ingested) -> str:
    """Keep a scanned manifest in the workspace. Returns its digest."""
    found.manifest.write(project.files.manifest)
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
