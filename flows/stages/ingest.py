"""The flow ``ingest``: scan a folder on disk, and keep the manifest."""

from __future__ import annotations

from bigfusion.flows.engine.session import alone
from bigfusion.flows.engine.stage import stage
from bigfusion.flows.progress import counted
from bigfusion.flows.project import corpus
from bigfusion.flows.project.corpus import Ingested, keep
from bigfusion.flows.project.settings import Project
from bigfusion.flows.project.standing import handed


@stage("ingest {project.name}")
@alone
def ingest(project: Project) -> str:
    """Scan the corpus, keep its manifest, return the manifest's digest."""
    known = handed(project)
    return keep(project, scanned(project)) if known is None else keep(project, known.ingested)


def scanned(project: Project) -> Ingested:
    """Scan the corpus on disk, with a progress bar."""
    with counted("ingest", " files") as progress:
        return corpus.look(project, progress)
