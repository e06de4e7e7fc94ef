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
from bigfusion.pipeline.schema import FeatureName, Modality, Status
from bigfusion.pipeline.tables.language import foreign
from bigfusion.pipeline.words import numbered

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
        require(preflight(project, planned, training=False, recordings=True))
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
            stored = {row: ": ".join(failures[key]) for row, key in enumerate(keys) if key in failures}
            found[feature] = Vectors(values, present, stored | _lacking(planned.manifest, feature.modality))
    return found


def _lacking(manifest: Manifest, modality: Modality) -> dict[int, str]:
    """The rows whose recording has no sound or no picture, and these words for it."""
    if modality is Modality.TEXT:
        return {}
    status, what, other = _LACK[modality]
    names = manifest.table[f"{other}_path"]
    rows = np.flatnonzero(manifest.table[f"{modality}_path"] == "").tolist()
    return {row: f"{status}: {Path(names.iloc[row]).name} has no {what}" for row in rows}


_LACK = {
    Modality.AUDIO: (Status.NO_AUDIO, "sound", Modality.VISUAL),
    Modality.VISUAL: (Status.NO_VIDEO, "picture", Modality.AUDIO),
}
"""The status and the word for a recording without a modality, and the modality that it then has."""


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
    rows = _rows(manifest, recording)
    lines = []
    lacking: dict[tuple[FeatureName, ...], list[int]] = {}
    for row in rows:
        lacking.setdefault(tuple(feature for feature in vectors if not vectors[feature].present[row]), []).append(row)
    for gone, those in lacking.items():
        if gone:
            several = every(len(rows)) if len(those) == len(rows) else f"{len(those)} of {len(rows)} utterances"
            lines.append(f"{recording.path.name}: {_absence(model, gone, those, several, vectors)}")
    if len(rows) < model.makers.shortest and not model.seeds[0].facts.model.fitted_at_once:
        lines.append(
            f"{recording.path.name}: has {numbered(len(rows), 'utterance')}, and the shortest dialogue of the training"
            f" has {model.makers.shortest}; a label is read from the utterances around it too, so expect a lower score"
        )
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


def _absence(
    model: Model,
    gone: Sequence[FeatureName],
    rows: Sequence[int],
    several: str,
    vectors: Mapping[FeatureName, Vectors],
) -> str:
    """That ``rows``, in words ``several``, lack the features ``gone``, why, and what is predicted then."""
    from bigfusion.model.scoring.modalities import never_learned  # imports torch

    why = {str(feature): reason(vectors[feature], rows) for feature in gone}
    reasons = "; ".join(f"{name}: {text}" for name, text in why.items()) if len(gone) > 1 else why[str(gone[0])]
    others = [str(other) for other in vectors if other not in gone]
    rest = f"predicted from {' and '.join(others)} alone" if others else "so nothing is predicted"
    unlearned = [feature.modality.value for feature in gone if never_learned(feature, gone, model.seeds[0].facts)]
    if others and unlearned:
        whose = "its absent vector was" if len({*unlearned}) == 1 else "their absent vectors were"
        rest += f", though training never lacked {' and '.join(dict.fromkeys(unlearned))}: {whose} never learned"
    return f"{' and '.join(why)} {'is' if len(gone) == 1 else 'are'} absent from {several} ({reasons}); {rest}"


def reason(vectors: Vectors, rows: Sequence[int]) -> str:
    """Why ``rows`` have no vector: the first one's reason, and the other rows' statuses."""
    reasons = [vectors.absent.get(row, "no input") for row in rows]
    statuses = dict.fromkeys(text.partition(":")[0] for text in reasons)
    return "; also ".join([reasons[0], *list(statuses)[1:]])


def every(count: int) -> str:
    """All utterances of a recording, by their number."""
    return {1: "its only utterance", 2: "both utterances"}.get(count, f"all {count} utterances")


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
