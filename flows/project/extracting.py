"""Features of any recordings, without a project: files in, arrays out."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from bigfusion.flows.project.predicting import every, extracted, read, reason, subtitles
from bigfusion.flows.project.settings import Project
from bigfusion.flows.project.trained import Paths, listed, own_place
from bigfusion.pipeline.feature_files.reader import ImportedFeatures
from bigfusion.pipeline.schema import Modality
from bigfusion.pipeline.settings import assign, validate

log = logging.getLogger("bigfusion")

MODALITIES = tuple(modality.value for modality in Modality)


def extract(
    media: Paths,
    transcripts: Paths = (),
    modalities: Sequence[str] = MODALITIES,
    settings: Sequence[str] = (),
    workspace: str | Path | None = None,
) -> ImportedFeatures:
    """The features of recordings: a row an utterance, or a row a file that has no transcript.

    Args:
        media: a video or sound file, several, or a folder of them.
        transcripts: one a recording; without it, the file of the same name beside each, if there is one.
        modalities: ``"text"``, ``"audio"``, ``"visual"``. Text comes from the transcripts alone.
        settings: assignments to settings, such as ``"text.model=my-encoder"`` or ``"visual.frames_per_second=5"``.
        workspace: where features are kept, so that equal ones are not computed again; by default in the user's cache.

    Returns:
        What :func:`bigfusion.read_features` returns: ``features[m]`` (N, F_m), ``present[m]`` (N,), and the manifest.

    Raises:
        BigFusionError: a file cannot be used, or an extractor cannot run here; one line says what to do.
    """
    corpus = subtitles(listed(media), listed(transcripts), whole=True)
    place = own_place() if workspace is None else {"workspace": {"path": str(workspace)}}
    table = {"corpus": corpus, **place, "model": {"modalities": list(modalities)}}
    project = validate(Project, assign(table, settings), "extract")
    manifest, planned, _ = extracted(project, command="extract")
    vectors = read(project, planned)
    rows = range(len(manifest))
    for feature, known in vectors.items():
        if not known.present.any():
            log.warning("extract: %s is absent from %s (%s)", feature, every(len(rows)), reason(known, rows))
    return ImportedFeatures(
        manifest,
        "recordings",
        {modality: known.values for modality, known in vectors.items()},
        {modality: known.present for modality, known in vectors.items()},
        {},
    )
