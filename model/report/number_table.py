"""The scores of predicted numbers as a table for a terminal, and the rows of the page's. It loads no network."""

from __future__ import annotations

from pathlib import Path

from bigfusion.model.report.wording import points, split_name
from bigfusion.model.scoring.number_results import NumberMetrics, read_number_metrics
from bigfusion.model.scoring.regression_scores import NAMES, POINTS, TITLES
from bigfusion.pipeline.words import numbered


def numbers_table(run: Path) -> str:
    """The scores as plain text in aligned columns, beside those of always answering the training split's mean.

    Raises:
        TrainingError: the run was not evaluated.
    """
    metrics = read_number_metrics(run)
    head = (
        f"{split_name(metrics.scored)} split: {numbered(metrics.utterances, 'utterance')} with a number; "
        f"{numbered(len(metrics.seeds), 'seed')}; Acc and F1 in points"
    )
    rows = [["", "mean", "std", "training mean"], *score_rows(metrics)]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = ["  ".join([row[0].ljust(widths[0]), *(row[k].rjust(widths[k]) for k in (1, 2, 3))]) for row in rows]
    return "\n".join([head, "", *(line.rstrip() for line in lines)])


def score_rows(metrics: NumberMetrics) -> list[list[str]]:
    """Name, mean, deviation over the seeds, and what the training split's mean scores."""
    return [
        [
            TITLES[name],
            _shown(name, getattr(metrics, name)),
            "-" if metrics.std is None else _shown(name, metrics.std[name]),
            _shown(name, getattr(metrics.mean_of_training, name)),
        ]
        for name in NAMES
    ]


def _shown(name: str, value: float) -> str:
    return points(value) if name in POINTS else f"{value:.4f}"
