"""A page for each scored dialogue whose media are at hand: the video beside what was predicted and what was true."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bigfusion.flows.project.dialogue_media import Laid, Lengths, lay
from bigfusion.flows.project.runs import Run
from bigfusion.flows.project.settings import Project
from bigfusion.model.report.material import corpus_title
from bigfusion.model.report.paper import network_title
from bigfusion.model.report.timeline import write_timeline
from bigfusion.model.runs.checkpoint import FACTS, CheckpointFacts
from bigfusion.model.runs.files import read_json, read_record, write_json
from bigfusion.model.runs.folder import PREDICTIONS, seed_folder
from bigfusion.model.scoring.results import Metrics, read_metrics
from bigfusion.model.scoring.timeline import NO_SPEECH, NOT_SURE, Moment, Origin, Timeline
from bigfusion.model.scoring.trust import Trust, measured, scaled, trust
from bigfusion.pipeline.digests.files import file_sha256
from bigfusion.pipeline.manifest.manifest import Manifest
from bigfusion.pipeline.plan.plan import CellPlan

FOLDER, INDEX = "dialogues", "pages.json"


def pages(run: Path) -> dict[str, str]:
    """The pages of a run's dialogues, relative to the run's folder. Empty if they show other predictions."""
    index = run / FOLDER / INDEX
    if not index.exists() or not (run / PREDICTIONS).exists():
        return {}
    known: dict[str, Any] = read_json(index)
    if known["predictions"] != file_sha256(run / PREDICTIONS):
        return {}
    return {name: f"{FOLDER}/{page}" for name, page in known["pages"].items() if (run / FOLDER / page).exists()}


@dataclass(frozen=True)
class Predicted:
    """The predictions of a run's scored utterances.

    ``probabilities`` are calibrated and a mean over the seeds, by utterance; shape (C,) each. ``absent`` says why an
    utterance has no feature of a modality. Below ``threshold`` a label is "not sure".
    """

    labels: tuple[str, ...]
    probabilities: Mapping[str, NDArray[np.float64]]
    absent: Mapping[str, Mapping[str, str]]
    threshold: float
    modalities: int

    def moment(self, utterance: str, start: float, end: float, speaker: str, text: str, true: str) -> Moment:
        """One utterance with its label."""
        values, absent = self.probabilities[utterance], dict(self.absent.get(utterance, {}))
        if len(absent) == self.modalities:
            return Moment(start, end, speaker, text, NO_SPEECH, {}, absent, true)
        best = int(values.argmax())
        label = self.labels[best] if values[best] >= self.threshold else NOT_SURE
        probabilities = dict(zip(self.labels, map(float, values), strict=True))
        return Moment(start, end, speaker, text, label, probabilities, absent, true)


def write_pages(project: Project, manifest: Manifest, planned: CellPlan, run: Run) -> dict[str, str]:
    """Write the pages of an evaluated run's dialogues. Returns them by dialogue, as :func:`pages` does."""
    metrics = read_metrics(run.folder)
    certainty = trust(run.folder, metrics.labels)
    predicted = _predicted(project, planned, run.folder, metrics, certainty)
    origin = _origin(planned, run, metrics, certainty, project.is_demo)
    rows = manifest.table[manifest.table["utterance"].isin(list(predicted.probabilities))]
    names = page_names(rows["dialogue"].drop_duplicates().tolist())
    lengths, written = Lengths(), {}
    for dialogue, turns in rows.groupby("dialogue", sort=False):
        laid = lay(manifest.utterances(turns["utterance"].tolist()), lengths)
        if laid.clips:
            page = names[str(dialogue)]
            told = _timeline(str(dialogue), turns, laid, predicted, origin)
            write_timeline(told, run.folder / FOLDER / page)
            written[str(dialogue)] = page
    sha256 = file_sha256(run.folder / PREDICTIONS)
    write_json(run.folder / FOLDER / INDEX, {"predictions": sha256, "pages": written})
    return {name: f"{FOLDER}/{page}" for name, page in written.items()}


def page_names(dialogues: Iterable[str]) -> dict[str, str]:
    """A file name for each dialogue, of letters, digits and ``_.-`` alone; names that become equal get numbers."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for dialogue in dialogues:
        plain = re.sub(r"[^\w.-]+", "_", dialogue, flags=re.ASCII).strip(".") or "dialogue"
        name, number = plain, 1
        while name.lower() in taken:  # some file systems tell no capitals
            number += 1
            name = f"{plain}-{number}"
        taken.add(name.lower())
        names[dialogue] = f"{name}.html"
    return names


def _predicted(project: Project, planned: CellPlan, run: Path, metrics: Metrics, certainty: Trust) -> Predicted:
    table = pd.read_parquet(run / PREDICTIONS)
    columns = [f"p_{label}" for label in metrics.labels]
    mean = table[table["split"] == metrics.scored.value].groupby("utterance", sort=False)[columns].mean()
    values = scaled(mean.to_numpy(np.float64), certainty.temperature)
    probabilities = dict(zip(mean.index.astype(str), values, strict=True))
    absent = _absent(project, planned, set(probabilities))
    return Predicted(metrics.labels, probabilities, absent, certainty.threshold, len(planned.parts))


def _origin(planned: CellPlan, run: Run, metrics: Metrics, certainty: Trust, demo: bool) -> Origin:
    facts = read_record(seed_folder(run.folder, metrics.seeds[0].seed) / FACTS, CheckpointFacts)
    return Origin(
        model=run.id,
        corpus="the demo corpus" if demo else corpus_title(planned.manifest.corpus),
        network=network_title(facts.model.kind),
        seeds=len(metrics.seeds),
        features=tuple(f"{feature}: {planned.extractors[feature]['name']}" for feature in planned.features),
        **measured(certainty, metrics),
    )


def _absent(project: Project, planned: CellPlan, wanted: set[str]) -> dict[str, dict[str, str]]:
    """Why utterances lack features."""
    utterances = planned.manifest.table["utterance"].tolist()
    found: dict[str, dict[str, str]] = {}
    with project.files.store() as store:
        for feature in planned.features:
            keys = dict(zip(utterances, planned.fingerprints(feature), strict=True))
            failures = store.failures(keys[utterance] for utterance in wanted)
            for utterance in wanted:
                if keys[utterance] in failures:
                    status, reason = failures[keys[utterance]]
                    found.setdefault(utterance, {})[str(feature)] = reason or status.value
    return found


def _timeline(dialogue: str, turns: pd.DataFrame, laid: Laid, predicted: Predicted, origin: Origin) -> Timeline:
    columns = turns[["utterance", "speaker", "text", "label"]].itertuples(index=False)
    moments = [
        predicted.moment(utterance, start, end, speaker, text, true)
        for (utterance, speaker, text, true), (start, end) in zip(columns, laid.times, strict=True)
    ]
    ordered = tuple(sorted(moments, key=lambda moment: moment.start))
    first = laid.clips[0].media
    return Timeline(
        first, laid.seconds, laid.has_picture, predicted.labels, ordered, origin, laid.clips, title=dialogue
    )
