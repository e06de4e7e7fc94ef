"""A trained model that predicts recordings: the networks of all seeds, and what is known about them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bigfusion.flows.project import makers, runs
from bigfusion.flows.project.earlier_versions import say_if_earlier
from bigfusion.flows.project.hearing import heard
from bigfusion.flows.project.makers import Makers
from bigfusion.flows.project.predicting import Prediction, predict, subtitles
from bigfusion.flows.project.prediction_frames import frame
from bigfusion.flows.project.settings import Project
from bigfusion.model.data.batch import Dialogue
from bigfusion.model.runs import checkpoint
from bigfusion.model.runs.checkpoint import Checkpoint
from bigfusion.model.runs.folder import finished_seeds
from bigfusion.model.scoring.predict import choose_device
from bigfusion.model.scoring.predict import predict as logits_of
from bigfusion.model.scoring.results import Metrics, read_metrics
from bigfusion.model.scoring.timeline import Origin
from bigfusion.model.scoring.trust import Trust, measured, trust
from bigfusion.model.seed import deterministic
from bigfusion.pipeline.errors import TrainingError
from bigfusion.pipeline.settings import assign, validate

if TYPE_CHECKING:
    import torch

Paths = str | Path | Sequence[str | Path]


@dataclass(frozen=True)
class Model:
    """A trained model. :func:`bigfusion.load` makes it from a run or a published folder.

    ``seeds`` are its networks. ``makers`` says how its features are made, ``trust`` how sure it is, ``origin`` what it
    was trained on and how it scored. ``place`` holds the settings of this machine and user: the tables ``workspace``
    (where features of new recordings are kept), ``extract`` and ``predict``.
    """

    name: str
    makers: Makers
    seeds: tuple[Checkpoint, ...]
    trust: Trust
    origin: Origin
    place: Mapping[str, Any]
    device: torch.device
    source: Path

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that it gives."""
        return self.seeds[0].facts.labels

    @property
    def widths(self) -> dict[str, int]:
        """The width of each modality's features."""
        return self.seeds[0].facts.widths

    def predict(
        self,
        media: Paths,
        transcripts: Paths = (),
        speakers: Paths = (),
        names: Mapping[str, str] | None = None,
        settings: Sequence[str] = (),
    ) -> pd.DataFrame:
        """Predict recordings: a row an utterance, with its label and every label's probability.

        Args:
            media: a video or sound file, several, or a folder of them.
            transcripts: one a recording; without it, the file of the same name beside each. A recording that has none
                is transcribed by speech recognition (the extra ``speech``).
            speakers: RTTM files of who speaks when, if the transcripts do not say it.
            names: of recognised speakers, such as ``{"S1": "Anna"}``.
            settings: assignments to settings, such as ``"visual.device=cuda"`` or ``"corpus.encoding=cp1252"``.

        Raises:
            BigFusionError: a file cannot be used, or the features cannot be computed here; one line says what to do.
        """
        return frame(self.timelines(media, transcripts, speakers, names, settings).timelines)

    def timelines(
        self,
        media: Paths,
        transcripts: Paths = (),
        speakers: Paths = (),
        names: Mapping[str, str] | None = None,
        settings: Sequence[str] = (),
    ) -> Prediction:
        """Predict recordings as :meth:`predict` does. Returns a timeline a recording, and the warnings."""
        corpus = subtitles(listed(media), listed(transcripts), listed(speakers))
        return predict(self, heard(self.project(corpus, settings), names or {}))

    def project(self, corpus: Mapping[str, Any], settings: Sequence[str] = ()) -> Project:
        """The project that makes this model's features for another corpus: vectors, no frames."""
        own = {**makers.without_frames(self.makers.settings), **self.place, "corpus": dict(corpus)}
        project = makers.project_of(own, self.source)
        return validate(Project, assign(own, settings), "--set") if settings else project

    def probabilities(self, dialogues: Sequence[Dialogue]) -> dict[str, NDArray[np.float64]]:
        """The mean over the seeds of each dialogue's probabilities, by its id. Shape: (N, C) each.

        Each dialogue is predicted alone, so its numbers do not depend on what is predicted beside it.
        """
        found = {}
        with deterministic(self.seeds[0].facts.train.threads):
            for dialogue in dialogues:
                each = [logits_of(seed.network, [dialogue], self.device, 1).softmax(1).numpy() for seed in self.seeds]
                found[dialogue.id] = np.mean(np.stack(each).astype(np.float64), axis=0)
        return found


def of_run(run: Path, place: Mapping[str, Any], device: str = "auto") -> Model:
    """The model of a project's run: the seeds that were scored, of which its scores and its trust are.

    Raises:
        TrainingError: the folder is no finished and evaluated run, or its features cannot be computed for others.
    """
    if not run.is_dir() or not runs.record(run):
        raise TrainingError(
            f"{run}: expected the folder of a trained run, found none; `bigfusion models` lists a project's runs"
        )
    known = makers.recorded(run)
    where = choose_device(device)
    seeds = tuple(checkpoint.load(folder, where) for folder in finished_seeds(run, runs.scored_seeds(run) or None))
    say_if_earlier(run.name, seeds[0].facts)
    certainty = trust(run, seeds[0].facts.labels)
    origin = origin_of(run.name, known, seeds, certainty, read_metrics(run))
    return Model(run.name, known, seeds, certainty, origin, place, where, run)


def origin_of(name: str, known: Makers, seeds: Sequence[Checkpoint], certainty: Trust, metrics: Metrics) -> Origin:
    """What a model was trained on and how it scored."""
    facts = seeds[0].facts
    return Origin(
        model=name,
        corpus=known.corpus,
        network=facts.model.kind,
        seeds=len(seeds),
        features=tuple(f"{name}: {description['name']}" for name, description in known.extractors.items()),
        **measured(certainty, metrics),
    )


def listed(paths: Paths) -> list[Path]:
    """One path or several, as a list."""
    return [Path(paths)] if isinstance(paths, str | Path) else [Path(path) for path in paths]


def own_place() -> dict[str, Any]:
    """The place of models that lie outside of a project: the workspace is a folder of this user's cache."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return {"workspace": {"path": str(caches / "bigfusion")}}
