"""Predict recordings with a trained model: ingest, plan, extract and store do the work, as they do for a corpus.

Recordings and their transcripts are a corpus of ``kind = "subtitles"`` in a workspace of its own, on the store of the
model's project. Cells that are stored are not computed again; a changed line changes one text cell.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bigfusion.flows.project import cells, makers
from bigfusion.flows.project.computing import compute
from bigfusion.flows.project.corpus import ingest
from bigfusion.flows.project.needs import mention_needs
from bigfusion.flows.project.preflight import preflight, require
from bigfusion.flows.project.settings import Project
from bigfusion.model.data.split_notes import told_apart
from bigfusion.model.scoring.timeline import NO_SPEECH, NOT_SURE, Moment, Timeline
from bigfusion.model.scoring.trust import scaled
from bigfusion.pipeline.corpora.subtitles import Recording, SubtitleSettings, recordings
from bigfusion.pipeline.errors import TrainingError
from bigfusion.pipeline.manifest.manifest import Manifest
from bigfusion.pipeline.plan.plan import CellPlan
from bigfusion.pipeline.schema import FeatureName, Modality
from bigfusion.pipeline.tables.language import foreign

if TYPE_CHECKING:
    from bigfusion.flows.project.trained import Model
    from bigfusion.model.data.batch import Dialogue

log = logging.getLogger("bigfusion")


@dataclass(frozen=True)
class Prediction:
    """A timeline a recording, how many cells were computed by feature, and what a person should know about them."""

    timelines: tuple[Timeline, ...]
    computed: Mapping[str, int]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Vectors:
    """The features of a manifest's rows. ``absent`` maps a row to the reason why there is no vector.

    Shapes: ``values`` (N, F), ``present`` (N,).
    """

    values: NDArray[np.float32]
    present: NDArray[np.bool_]
    absent: Mapping[int, str] = field(default_factory=dict)


def predict(model: Model, project: Project) -> Prediction:
    """Predict the recordings of a project of ``kind = "subtitles"``.

    Raises:
        CorpusError: a recording or a transcript cannot be used.
        ExtractionError: an extractor cannot run here.
        TrainingError: the features here are not those that the model was trained on.
    """
    assert isinstance(project.corpus, SubtitleSettings)
    manifest, planned, computed = extracted(project, model.makers)
    vectors = {
        feature: _of_width(vectors, model.widths[feature], feature, model.name)
        for feature, vectors in read(project, planned).items()
    }
    found = recordings(project.corpus)
    probabilities = model.probabilities(dialogues(manifest, vectors))  # {dialogue: (N, C)}
    warnings = [line for recording in found for line in _warnings(model, manifest, recording, vectors)]
    for line in (*manifest.notes, *warnings):
        log.warning("predict: %s", line)
    timelines = tuple(_timeline(model, manifest, recording, vectors, probabilities) for recording in found)
    return Prediction(timelines, computed, (*manifest.notes, *warnings))


def extracted(
    project: Project, known: makers.Makers | None = None, command: str = "predict"
) -> tuple[Manifest, CellPlan, dict[str, int]]:
    """Ingest a project's recordings and compute their pending cells. Returns how many cells were computed.

    Raises:
        TrainingError: the extractors here differ from the ``known`` ones in what makes other features.
    """
    with project.files.exclusive():
        manifest = ingest(project).manifest
        planned = cells.plan(project, manifest)
        if known is not None:
            _check_extractors(known, planned)
        require(preflight(project, planned, training=False))
        computed = compute(project, planned, command)
        mention_needs(project, planned)
    return manifest, planned, computed


def _check_extractors(known: makers.Makers, planned: CellPlan) -> None:
    forbidden, mentioned = makers.differences(known, planned)
    if forbidden:
        raise TrainingError(
            f"the model expects the features that it was trained on, found {'; '.join(forbidden)}; use the settings,"
            " weights and extractors of the training, or train again"
        )
    for line in mentioned:
        log.warning("predict: %s than in training: the features may differ a little; train again to be sure", line)


def read(project: Project, planned: CellPlan) -> dict[FeatureName, Vectors]:
    """The stored vectors of every utterance of a plan, by feature, and why some are absent."""
    found = {}
    with project.files.store() as store:
        for feature in planned.features:
            keys = planned.fingerprints(feature)
            values, present = store.read(feature.modality, keys)
            failures = store.failures(set(keys))
            absent = {row: ": ".join(failures[key]) for row, key in enumerate(keys) if key in failures}
            found[feature] = Vectors(values, present, absent)
    return found


def dialogues(manifest: Manifest, vectors: Mapping[FeatureName, Vectors]) -> list[Dialogue]:
    """The recordings as the model reads them."""
    from bigfusion.flows.project import assemble

    features = {str(feature): (known.values, known.present) for feature, known in vectors.items()}
    return [dialogue for part in assemble.dialogues(manifest, features).values() for dialogue in part]


def _of_width(vectors: Vectors, width: int, feature: FeatureName, model: str) -> Vectors:
    """The vectors, with the model's width if there is none at all."""
    if not vectors.present.any():
        return Vectors(np.zeros((len(vectors.present), width), np.float32), vectors.present, vectors.absent)
    if vectors.values.shape[1] != width:
        raise TrainingError(
            f"{model}: expected {feature} features of width {width}, found {vectors.values.shape[1]}; use the settings"
            " of the training, or train again"
        )
    return vectors


def _rows(manifest: Manifest, recording: Recording) -> list[int]:
    return np.flatnonzero((manifest.table["dialogue"] == recording.name).to_numpy()).tolist()


def _warnings(
    model: Model, manifest: Manifest, recording: Recording, vectors: Mapping[FeatureName, Vectors]
) -> Sequence[str]:
    """What a person should know about the predictions of a recording."""
    from bigfusion.model.scoring.modalities import never_learned  # imports torch

    rows = _rows(manifest, recording)
    lines = []
    gone = [feature for feature in vectors if not vectors[feature].present[rows].any()]
    for feature in gone:
        reason = next((vectors[feature].absent[row] for row in rows if row in vectors[feature].absent), "no input")
        others = [str(other) for other in vectors if other not in gone]
        rest = f"predicted from {' and '.join(others)} alone" if others else "so nothing is predicted"
        if others and never_learned(feature, gone, model.seeds[0].facts):
            rest += f", though training never lacked {feature.modality.value}: its absent vector was never learned"
        every = "its only utterance" if len(rows) == 1 else f"all {len(rows)} utterances"
        lines.append(f"{recording.path.name}: {feature} is absent from {every} ({reason}); {rest}")
    key, told = told_apart(model.seeds[0].facts.model)
    speakers = manifest.table["speaker"].iloc[rows].nunique()
    if told is not None and speakers > told:
        lines.append(
            f"{recording.path.name}: has {speakers} speakers, and the network tells {told} apart ({key} of its"
            f" training); from number {told} on they count as one"
        )
    if any(feature.modality is Modality.TEXT for feature in vectors):
        why = foreign(manifest.table["text"].iloc[rows].tolist(), model.makers.words)
        if why:
            lines.append(
                f"{recording.path.name}: seems to be in another language than the model's training texts: {why}; its"
                " labels mean little then: translate the transcript, or train on that language"
            )
    return lines


def _timeline(
    model: Model,
    manifest: Manifest,
    recording: Recording,
    vectors: Mapping[FeatureName, Vectors],
    probabilities: Mapping[str, NDArray[np.float64]],
) -> Timeline:
    rows = _rows(manifest, recording)
    table = manifest.table.iloc[rows]
    calibrated = scaled(probabilities[recording.name], model.trust.temperature)  # (N, C)
    moments = []
    spans = table[["audio_start", "audio_end", "speaker", "text"]].itertuples(index=False)
    for row, (start, end, speaker, text), values in zip(rows, spans, calibrated, strict=True):
        absent = {str(m): known.absent.get(row, "no input") for m, known in vectors.items() if not known.present[row]}
        silent = len(absent) == len(vectors)
        moments.append(
            Moment(
                start=0.0 if np.isnan(start) else start,
                end=recording.facts.seconds if np.isnan(end) else end,
                speaker=speaker,
                text=text,
                label=NO_SPEECH if silent else _label(model, values),
                probabilities={} if silent else dict(zip(model.labels, map(float, values), strict=True)),
                absent=absent,
            )
        )
    facts = recording.facts
    return Timeline(recording.path, facts.seconds, facts.has_picture, model.labels, tuple(moments), model.origin)


def _label(model: Model, values: NDArray[np.float64]) -> str:
    best = int(values.argmax())
    return model.labels[best] if values[best] >= model.trust.threshold else NOT_SURE


def subtitles(
    media: Sequence[Path], transcripts: Sequence[Path] = (), speakers: Sequence[Path] = (), **more: object
) -> dict[str, object]:
    """The corpus table of recordings."""
    return {
        "kind": "subtitles",
        "media": list(media),
        "transcripts": list(transcripts),
        "speakers": list(speakers),
        "name": "predict",
        **more,
    }
