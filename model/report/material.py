"""What a report is made from: the run folder's own files, and the context that only the caller knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from bigfusion.model.report.figures import label_colours
from bigfusion.model.report.paper import PAPER, PaperFigures
from bigfusion.model.runs.checkpoint import FACTS, CheckpointFacts
from bigfusion.model.runs.files import read_record
from bigfusion.model.runs.folder import (
    PREDICTIONS,
    TRAINED,
    Epoch,
    Neurons,
    Trained,
    read_history,
    seed_folder,
)
from bigfusion.model.scoring.results import Metrics, read_metrics
from bigfusion.pipeline.errors import TrainingError

TITLES = {"meld": "MELD", "iemocap": "IEMOCAP"}


@dataclass(frozen=True)
class Line:
    """Who said what; stands beside an utterance's labels."""

    speaker: str
    text: str


@dataclass(frozen=True)
class ReportContext:
    """What a run folder does not know of itself.

    ``corpus`` is ``meld``, ``iemocap`` (the paper's figures then stand beside the run's) or a user's own name; ``demo``
    puts a banner over the page and leaves the paper out. ``cells`` counts feature cells: modality -> status -> number.
    ``lines`` maps an utterance's id to its line; an utterance without one is shown by its id.
    ``ablations`` is what ``model.reproduce`` gave for Table 4.
    """

    corpus: str
    created: datetime
    demo: bool = False
    notes: tuple[str, ...] = ()
    cells: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    lines: Mapping[str, Line] = field(default_factory=dict)
    ablations: Mapping[str, Any] | None = None

    @property
    def title(self) -> str:
        """The corpus's name as it is written."""
        return TITLES.get(self.corpus.lower(), self.corpus)

    @property
    def paper(self) -> PaperFigures | None:
        """The paper's figures on this corpus."""
        return None if self.demo else PAPER.get(self.corpus.lower())


@dataclass(frozen=True)
class Material:
    """Everything on the page. ``histories``, ``neurons`` and ``metrics.seeds`` are in the same order."""

    name: str
    context: ReportContext
    metrics: Metrics
    facts: CheckpointFacts
    histories: list[list[Epoch]]
    neurons: list[dict[str, Neurons]]
    predictions: pd.DataFrame

    @property
    def colours(self) -> dict[str, str]:
        """A colour for each label."""
        return label_colours(self.metrics.labels)


def gather(run: Path, context: ReportContext, scores: Path | None = None) -> Material:
    """Read an evaluated run; ``scores`` is the folder of its scores where that is not the run's own.

    Raises:
        TrainingError: a file is missing or is not what it should be.
    """
    scores = scores or run
    metrics = read_metrics(scores)
    folders = [seed_folder(run, seed.seed) for seed in metrics.seeds]
    try:
        predictions = pd.read_parquet(scores / PREDICTIONS)
    except (OSError, ValueError) as error:
        raise TrainingError(
            f"{scores / PREDICTIONS}: expected a table of predictions, found {error}; evaluate the run again"
        ) from None
    facts = read_record(folders[0] / FACTS, CheckpointFacts)
    histories = [read_history(folder) for folder in folders]
    neurons = [read_record(folder / TRAINED, Trained).neurons for folder in folders]
    return Material(run.name, context, metrics, facts, histories, neurons, predictions)
