"""The material of a report: the files of the run folder, and the context that only the caller knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from bigfusion.model.report.figures import label_colours
from bigfusion.model.report.paper import PaperFigures, figures_of
from bigfusion.model.runs.checkpoint import FACTS, TENSORS, CheckpointFacts
from bigfusion.model.runs.files import read_record
from bigfusion.model.runs.folder import (
    PREDICTIONS,
    REPORT,
    TRAINED,
    Epoch,
    Neurons,
    Trained,
    read_history,
    seed_folder,
)
from bigfusion.model.runs.tensors import count_numbers
from bigfusion.model.scoring.modalities import ModalityScores, read_modality_scores
from bigfusion.model.scoring.results import Metrics, read_metrics
from bigfusion.pipeline.errors import TrainingError
from bigfusion.pipeline.tables.labels import corpus_of

TITLES = {"meld": "MELD", "iemocap": "IEMOCAP", "the demo corpus": "the demo corpus"}


def corpus_title(corpus: str) -> str:
    """A corpus's name in its usual spelling."""
    return TITLES.get(corpus.lower(), f"“{corpus}”")


@dataclass(frozen=True)
class Line:
    """The speaker and the text of an utterance, printed beside its labels."""

    speaker: str
    text: str


@dataclass(frozen=True)
class CurrentModel:
    """The current model of a project: its run, and the ``model`` and ``train`` settings that change numbers.

    ``own`` are those of the run that is reported, in the same form: defaults are written out on both sides.
    """

    run: str
    settings: Mapping[str, Any]
    own: Mapping[str, Any]


@dataclass(frozen=True)
class ReportContext:
    """What the run folder does not record.

    ``corpus`` is ``meld``, ``iemocap`` or a user's own name. For the first two, with all of their classes, the report
    prints the paper's figures beside the run's. ``demo`` puts a banner on the page and omits the paper.
    ``cells`` counts feature cells: modality -> status -> number.
    ``lines`` maps an utterance's id to its line; an utterance without one is shown by its id.
    ``pages`` maps a dialogue to the page that shows it beside its media, relative to the report.
    ``ablations`` is Table 4 as ``model.reproduce`` made it. ``current`` is the model that was current before this run.
    """

    corpus: str
    created: datetime
    demo: bool = False
    notes: tuple[str, ...] = ()
    cells: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    lines: Mapping[str, Line] = field(default_factory=dict)
    pages: Mapping[str, str] = field(default_factory=dict)
    ablations: Mapping[str, Any] | None = None
    current: CurrentModel | None = None

    @property
    def title(self) -> str:
        """The corpus's name in its usual spelling."""
        return corpus_title(self.corpus)


@dataclass(frozen=True)
class Material:
    """Everything on the page. ``histories``, ``neurons`` and ``metrics.seeds`` are in the same order.

    ``parameters`` counts the numbers in a seed's network; ``machines`` names where the seeds were trained.
    ``folds`` maps each fold of a cross-validation to the address of its own report; then ``histories`` and ``neurons``
    are of every fold and seed.
    """

    name: str
    context: ReportContext
    metrics: Metrics
    facts: CheckpointFacts
    histories: list[list[Epoch]]
    neurons: list[dict[str, Neurons]]
    predictions: pd.DataFrame
    parameters: int = 0
    machines: tuple[str, ...] = ()
    modalities: ModalityScores | None = None
    folds: Mapping[str, str] = field(default_factory=dict)

    @property
    def paper(self) -> PaperFigures | None:
        """What the paper prints of this network on this corpus. ``None`` if its classes are not the paper's."""
        corpus = corpus_of(self.metrics.labels)
        if self.context.demo or corpus is None or corpus != self.context.corpus.lower():
            return None
        return figures_of(self.facts.model.kind, corpus)

    @property
    def colours(self) -> dict[str, str]:
        """A colour for each label."""
        return label_colours(self.metrics.labels)


def gather(run: Path, context: ReportContext, scores: Path | None = None) -> Material:
    """Read an evaluated run. ``scores`` is the folder of its scores, if they lie outside the run folder.

    Raises:
        TrainingError: a file is missing or damaged.
    """
    scores = scores or run
    metrics = read_metrics(scores)
    return _gathered(run, context, scores, metrics, [seed_folder(run, seed.seed) for seed in metrics.seeds])


def gather_folds(run: Path, folds: Mapping[str, Path], context: ReportContext) -> Material:
    """Read a cross-validation whose folds lie in the folders ``folds``.

    Raises:
        TrainingError: a file is missing or damaged.
    """
    metrics = read_metrics(run)
    folders = [seed_folder(folder, seed.seed) for folder in folds.values() for seed in metrics.seeds]
    addresses = {name: (folder / REPORT).relative_to(run).as_posix() for name, folder in folds.items()}
    return replace(_gathered(run, context, run, metrics, folders), folds=addresses)


def _gathered(run: Path, context: ReportContext, scores: Path, metrics: Metrics, folders: Sequence[Path]) -> Material:
    try:
        predictions = pd.read_parquet(scores / PREDICTIONS)
    except (OSError, ValueError) as error:
        raise TrainingError(
            f"{scores / PREDICTIONS}: expected a table of predictions, found {error}; evaluate the run again"
        ) from None
    facts = read_record(folders[0] / FACTS, CheckpointFacts)
    histories = [read_history(folder) for folder in folders]
    trained = [read_record(folder / TRAINED, Trained) for folder in folders]
    return Material(
        run.name,
        context,
        metrics,
        facts,
        histories,
        [seed.neurons for seed in trained],
        predictions,
        parameters=count_numbers(folders[0] / TENSORS),
        machines=tuple(dict.fromkeys(seed.machine for seed in trained if seed.machine)),
        modalities=read_modality_scores(scores, metrics),
    )
