"""The manifest of a project: scanned from the corpus and kept in the workspace."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from bigfusion.flows.project.settings import Project
from bigfusion.pipeline.corpora.base import Progress, silent
from bigfusion.pipeline.corpora.scan import scan
from bigfusion.pipeline.corpora.source import UNKNOWN, Source, read_source, source_of, write_source
from bigfusion.pipeline.errors import CorpusError
from bigfusion.pipeline.manifest.manifest import Manifest
from bigfusion.pipeline.manifest.moved import moved
from bigfusion.pipeline.words import numbered

log = logging.getLogger("bigfusion")


@dataclass(frozen=True)
class Ingested:
    """A scanned manifest, and whether it differs from the one that the workspace keeps.

    ``moved`` says which dialogues were in another split there. ``is_kept`` is true if that manifest has the same rows
    from the same source. ``source`` is what it was made from.
    """

    manifest: Manifest
    changed: bool
    moved: tuple[str, ...] = ()
    is_kept: bool = False
    source: Source = UNKNOWN


def look(project: Project, progress: Progress = silent) -> Ingested:
    """Scan the corpus on disk, and compare it with the manifest that the workspace keeps. Writes nothing.

    Raises:
        CorpusError: the corpus is not laid out as its kind expects.
    """
    digests = project.files.digests()
    source = source_of(project.corpus, digests)  # first: a file that changes meanwhile differs from it
    manifest = scan(project.corpus, digests, progress)
    try:
        before = kept(project)
    except CorpusError:  # missing or damaged: ingest writes a new one
        return Ingested(manifest, True, source=source)
    if before.digest != manifest.digest:
        return Ingested(manifest, True, tuple(moved(before, manifest)), source=source)
    return Ingested(manifest, False, is_kept=read_source(project.files.source, before) == source, source=source)


def ingest(project: Project, progress: Progress = silent) -> Ingested:
    """Scan the corpus and keep its manifest in the workspace.

    Raises:
        CorpusError: the corpus is not laid out as its kind expects.
    """
    found = look(project, progress)
    _write(project, found)
    return found


def _write(project: Project, found: Ingested) -> None:
    found.manifest.write(project.files.manifest)
    write_source(project.files.source, found.manifest, found.source)


def keep(project: Project, found: Ingested) -> str:
    """Keep a scanned manifest in the workspace, and say what it holds. Returns its digest."""
    manifest = found.manifest
    _write(project, found)
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


def kept(project: Project) -> Manifest:
    """The manifest of the last ingest. Its labels and splits may be others than the present ones (:func:`present`).

    Raises:
        CorpusError: there is no manifest yet, or it is damaged.
    """
    return Manifest.read(project.files.manifest)


def present(project: Project) -> Manifest:
    """The manifest of the last ingest, or of a new scan if the settings of the corpus or its label files have changed.

    Nothing is written. If neither can be told, because the manifest is of an earlier version or the files are not at
    hand, the kept one counts as present.

    Raises:
        CorpusError: there is no manifest yet, or it is damaged, or the corpus is not laid out as its kind expects.
    """
    manifest = kept(project)
    match is_present(project, manifest):
        case None:
            log.warning(
                "%s: nothing says from which settings and labels it was made; `bigfusion ingest` makes it anew",
                project.files.manifest,
            )
        case False:
            log.warning(
                "%s: the settings of the corpus or its labels have changed since ingest: the corpus is scanned for"
                " this command; `bigfusion ingest` keeps what it finds",
                project.files.manifest,
            )
            return scan(project.corpus, project.files.digests())
    return manifest


def is_present(project: Project, manifest: Manifest) -> bool | None:
    """Whether a kept manifest may have the labels and splits of the present settings and files; ``None``: unknown."""
    made_from = read_source(project.files.source, manifest)
    if made_from == UNKNOWN:
        return None
    return not made_from.differs(source_of(project.corpus, project.files.digests()))
