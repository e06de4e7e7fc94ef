"""The results of a run as plain text in aligned columns, for a terminal or a log file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bigfusion.model.report.wording import points, seeds_of, split_name
from bigfusion.model.scoring.results import Metrics, read_metrics
from bigfusion.pipeline.schema import Split
from bigfusion.pipeline.words import numbered


def table(run: Path) -> str:
    """Headline scores beside the majority class, scores by class, and the gain if epochs were picked on the test split.

    Raises:
        TrainingError: the run was not evaluated.
    """
    metrics = read_metrics(run)
    size = metrics.splits[metrics.scored]
    unseen = "" if metrics.scored is Split.TEST else " (there is no labelled test split)"
    lines = [
        f"{_what(metrics)}{unseen}: {numbered(size.dialogues, 'dialogue')}, "
        f"{numbered(sum(size.labels.values()), 'labelled utterance')}; {seeds_of(metrics)}; points",
        "",
        *_headline(metrics),
        *_together(metrics),
        "",
        *_classes(metrics),
        *(["", *_folds(metrics)] if metrics.folds else []),
    ]
    if (picked := metrics.test_picking) is not None:
        lines += [
            "",
            f"picking the best test epoch would have shown {points(picked.weighted_f1)} weighted F1 "
            f"({picked.inflation_points:+.2f}): not a result",
        ]
    return "\n".join(lines)


def _what(metrics: Metrics) -> str:
    if metrics.folds:
        return f"cross-validation, {numbered(len(metrics.folds), 'fold')} pooled"
    return f"{split_name(metrics.scored)} split"


def _folds(metrics: Metrics) -> list[str]:
    """The scores of each fold, and their plain mean."""
    rows = [["fold", "weighted F1", "accuracy", "macro F1", "support"]]
    names = ("weighted_f1", "accuracy", "macro_f1")
    for fold in metrics.folds:
        rows.append([fold.name, *(points(getattr(fold, name)) for name in names), str(fold.utterances)])
    means = [sum(getattr(fold, name) for fold in metrics.folds) / len(metrics.folds) for name in names]
    rows.append(["mean of folds", *map(points, means), ""])
    return _aligned(rows)


def _headline(metrics: Metrics) -> list[str]:
    std, majority, shift = metrics.std, metrics.majority, metrics.emotion_shift
    rows = [["", "mean", "std", f"majority ({majority.label})"]]
    for name, title in (("weighted_f1", "weighted F1"), ("accuracy", "accuracy"), ("macro_f1", "macro F1")):
        spread = points(getattr(std, name)) if std else "-"
        rows.append([title, points(getattr(metrics, name)), spread, points(getattr(majority, name))])
    if shift.utterances:
        spread = points(shift.std.weighted_f1) if shift.std else "-"
        turns = numbered(shift.utterances, "emotion shift")
        rows.append([f"weighted F1 on {turns}", points(shift.weighted_f1), spread, ""])
    return _aligned(rows)


def _together(metrics: Metrics) -> list[str]:
    """The scores of what `predict` answers."""
    if (found := metrics.together) is None or metrics.fitted_at_once:
        return []
    return [
        "",
        f"the {len(metrics.seeds)} seeds together, as `predict` answers: {points(found.weighted_f1)} weighted F1, "
        f"{points(found.accuracy)} accuracy",
    ]


def _classes(metrics: Metrics) -> list[str]:
    rows = [["class", "F1", "std", "precision", "recall", "support"]]
    for label, score in metrics.per_class.items():
        spread = "-" if score.f1_std is None else points(score.f1_std)
        rows.append(
            [label, points(score.f1), spread, points(score.precision), points(score.recall), str(score.support)]
        )
    return _aligned(rows)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Aligned columns: the first to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        ).rstrip()
        for row in rows
    ]
