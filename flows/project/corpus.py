"""The manifest of a project: scanned from the corpus and kept in the workspace."""

from __future__ import annotations

from dataclasses import dataclass

from bigfusion.flows.project.settings import Project
from bigfusion.pipeline.corpora.base import Progress, silent
from bigfusion.pipeline.corpora.scan import scan
from bigfusion.pipeline.errors import CorpusError
from bigfusion.pipeline.manifest.manifest import Manifest
from bigfusion.pipeline.manifest.moved import moved


@dataclass(frozen=True)
class Ingested:
    """A scanned manifest, and whether it differs from the one that the workspace keeps.

    ``moved`` says which dialogues were in another split there.
    """

    manifest: Manifest
    changed: bool
    moved: tuple[str, ...] = ()


def look(project: Project, progress: Progress = silent) -> Ingested:
    """Scan the corpus on disk, and compare it with the manifest that the workspace keeps. Writes nothing.

    Raises:
        CorpusError: the corpus is not laid out as its kind expects.
    """
    manifest = scan(project.corpus, project.files.digests(), progress)
    try:
        before = kept(project)
    except CorpusError:  # missing or damaged: ingest writes a new one
        return Ingested(manifest, True)
    changed = before.digest != manifest.digest
    return Ingested(manifest, changed, tuple(moved(before, manifest)) if changed else ())


def ingest(project: Project, progress: Progress = silent) -> Ingested:
    """Scan the corpus and keep its manifest in the workspace.

    Raises:
        CorpusError: the corpus is not laid out as its kind expects.
    """
    found = look(project, progress)
    found.manifest.write(project.files.manifest)
    return found


def kept(project: Project) -> Manifest:
    """The manifest of the last ingest.

    Raises:
        CorpusError: there is no manifest yet, or it is damaged.
    """
    return Manifest.read(project.files.manifest)
