"""The failed cells, listed for a person: which cell, why, in which file, and what to do."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import NamedTuple

from bigfusion.flows.project import cells, corpus
from bigfusion.flows.project.settings import Project
from bigfusion.pipeline.schema import MediaSpan, Modality, Status, Utterance

REMEDIES = {
    Status.MISSING_MEDIA: "put the file where the corpus expects it",
    Status.MISSING_TRANSCRIPT: "add the words to the corpus's table, if there are any",
    Status.CORRUPT_MEDIA: "do what the reason says, or fetch the file anew; if the original is damaged too, leave it",
    Status.NO_AUDIO: "see whether the original has sound; if it has none, leave it",
    Status.NO_VIDEO: "see whether the original has pictures; if it has none, leave it",
    Status.SILENT: "listen to it; lower audio.silence_rms if there is speech",
    Status.TOO_SHORT: "check the turn's start and end in the corpus",
    Status.OVERLONG: "cut the clip to its turn, or raise limit_seconds of its modality",
    Status.NO_FACE: "look at the clip; lower visual.min_face or visual.score_threshold if there is a face",
}
"""What a user can do about each status. If nothing is done, the utterance lacks that modality."""


class FailedCell(NamedTuple):
    """A stored failure, a row of the CSV file. ``file`` is empty if no file was read."""

    utterance: str
    split: str
    feature: str
    status: Status
    reason: str
    file: str

    @property
    def remedy(self) -> str:
        """What a user can do about it."""
        return REMEDIES[self.status]


def failed_cells(project: Project) -> list[FailedCell]:
    """The stored failures of the kept manifest under the present extractors, feature by feature.

    Raises:
        CorpusError: there is no manifest yet.
    """
    manifest = corpus.kept(project)
    missing = {item.item: _missing(item.reason, manifest.root) for item in manifest.skipped}
    plan = cells.plan(project, manifest)
    found: list[FailedCell] = []
    with project.files.store() as store:
        for feature in plan.features:
            if not plan.parts[feature].failures:
                continue
            fingerprints = plan.fingerprints(feature)
            failures = store.failures(set(fingerprints))
            at = [row for row, fingerprint in enumerate(fingerprints) if fingerprint in failures]
            names = manifest.table["utterance"].iloc[at].tolist()
            splits = manifest.table["split"].iloc[at].tolist()
            for row, utterance, split in zip(at, manifest.utterances(names), splits, strict=True):
                status, reason = failures[fingerprints[row]]
                file = _file(utterance, feature.modality) or (
                    missing.get(utterance.id, "") if status in _NO_FILE else ""
                )
                found.append(FailedCell(utterance.id, split, str(feature), status, reason, file))
    return found


_NO_FILE = (Status.MISSING_MEDIA,)


def _missing(reason: str, root: Path) -> str:
    """The paths of files that ingest looked for and did not find, parsed from the words of its message."""
    names = f" and {reason}".split(" and no file ")[1:]
    return ", ".join(str(root / name) for name in names)


class NotedCell(NamedTuple):
    """A stored cell that is ``ok``, with a note on a choice that its extractor made."""

    utterance: str
    split: str
    feature: str
    note: str
    file: str


def noted_cells(project: Project) -> list[NotedCell]:
    """The stored cells with a note, of the kept manifest under the present extractors, feature by feature.

    Raises:
        CorpusError: there is no manifest yet.
    """
    manifest = corpus.kept(project)
    plan = cells.plan(project, manifest)
    found: list[NotedCell] = []
    with project.files.store() as store:
        for feature in plan.features:
            if not plan.parts[feature].notes:
                continue
            notes = {key.hex(): note for key, note in store.notes(feature.modality).items()}
            keys = plan.fingerprints(feature)
            at = [row for row, key in enumerate(keys) if key in notes]
            names, splits = (manifest.table[name].iloc[at].tolist() for name in ("utterance", "split"))
            for row, utterance, split in zip(at, manifest.utterances(names), splits, strict=True):
                file = _file(utterance, feature.modality)
                found.append(NotedCell(utterance.id, split, str(feature), notes[keys[row]], file))
    return found


def _file(utterance: Utterance, modality: Modality) -> str:
    spans: dict[Modality, MediaSpan | None] = {Modality.AUDIO: utterance.audio, Modality.VISUAL: utterance.visual}
    span = spans.get(modality)
    return "" if span is None else str(span.path)


def tally(found: list[FailedCell]) -> list[tuple[tuple[Status, str], int]]:
    """How many cells have each status in each feature, the most frequent first."""
    return Counter((cell.status, cell.feature) for cell in found).most_common()


def page(corpus_name: str, found: list[FailedCell], noted: list[NotedCell]) -> str:
    """An HTML page of the failed cells, followed by the cells with a note."""
    from bigfusion.model.report.markup import Html, section, tag
    from bigfusion.model.report.markup import table as table_of
    from bigfusion.model.report.style import STYLE

    title = f"Quarantine of {corpus_name}"
    summary = [
        (status.value.replace("_", " "), feature, f"{count:,}", REMEDIES[status])
        for (status, feature), count in tally(found)
    ]
    parts = [
        section(
            status.value.replace("_", " "),
            table_of(
                ("utterance", "feature", "split", "why", "file"),
                [
                    (cell.utterance, cell.feature, cell.split, cell.reason, tag("code", Path(cell.file).name))
                    for cell in found
                    if cell.status is status
                ],
                class_="plain",
            ),
            lead=f"{REMEDIES[status][0].upper()}{REMEDIES[status][1:]}.",
        )
        for status in dict.fromkeys(status for (status, _), _ in tally(found))
    ]
    if noted:
        rows = [
            (cell.utterance, cell.feature, cell.split, cell.note, tag("code", Path(cell.file).name)) for cell in noted
        ]
        lead = f"{len(noted):,} cells were computed, and something was decided on the way: see whether it fits."
        columns = ("utterance", "feature", "split", "note", "file")
        parts.append(section("noted", table_of(columns, rows, class_="plain"), lead=lead))
    body = tag(
        "main",
        tag(
            "header",
            tag("p", "bigfusion", class_="over"),
            tag("h1", title),
            tag("p", f"{len(found):,} cells that could not be computed", class_="facts"),
        ),
        tag(
            "p",
            "Each stays an absent modality of its utterance until its file, its words or the settings change; no "
            "utterance is dropped. After a repair run the same command as always; ",
            tag("code", "bigfusion run --retry-failed"),
            " tries all of them again as they are.",
        ),
        table_of(("status", "feature", "cells", "what to do"), summary, class_="plain"),
        *parts,
    )
    head = tag("head", tag("meta", charset="utf-8"), tag("title", title), tag("style", Html(STYLE)))
    return "<!doctype html>\n" + tag("html", head, tag("body", body), lang="en") + "\n"
