"""The flow ``ingest``: scan a folder on disk, and keep the manifest."""

from __future__ import annotations

import logging

from bigfusion.flows.engine.session import alone
from bigfusion.flows.engine.stage import stage
from bigfusion.flows.progress import counted
from bigfusion.flows.project import corpus
from bigfusion.flows.project.corpus import Ingested
from bigfusion.flows.project.settings import Project
from bigfusion.flows.project.standing import handed
from bigfusion.pipeline.words import numbered

log = logging.getLogger("bigfusion")


@stage("ingest {project.name}")
@alone
def ingest(project: Project) -> str:
    """Scan the corpus, keep its manifest, return the manifest's digest."""
    known = handed(project)
    return keep(project, scanned(project) if known is None else Ingested(known.manifest, known.changed, known.moved))


def scanned(project: Project) -> Ingested:
    """Scan the corpus on disk, with a progress bar."""
    with counted("ingest", " files") as progress:
        return corpus.look(project, progress)


def keep(project: Project, found: Ingested) -> str:
    """Keep a scanned manifest in the workspace. Returns its digest."""
    manifest = found.manifest
    manifest.write(project.files.manifest)
    incomplete = len(manifest.incomplete)
    log.info(
        "ingest: %s: %s in %s%s, %d skipped; manifest %s",
        manifest.corpus,
        numbered(len(manifest), "utterance"),
        numbered(sum(manifest.counts()["dialogues"].values()), "dialogue"),
        f" ({incomplete:,} without media or a transcript)" if incomplete else "",
        len(manifest.left_out),
        "changed" if found.changed else "unchanged",
    )
    for note in manifest.notes:
        log.info("ingest: note: %s", note)
    for note in found.moved:
        log.warning("ingest: %s", note)
    return manifest.digest
