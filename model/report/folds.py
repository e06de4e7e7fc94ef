"""The folds of a cross-validation, beside each other."""

from __future__ import annotations

from bigfusion.model.report.markup import Child, Html, section, table, tag
from bigfusion.model.report.material import Material
from bigfusion.model.report.wording import points


def folds(material: Material) -> Html:
    """The scores of each fold, with a link to its own report, and their plain mean."""
    scores = material.metrics.folds
    rows: list[list[Child]] = [
        [
            tag("a", fold.name, href=material.folds[fold.name]),
            points(fold.weighted_f1),
            points(fold.accuracy),
            points(fold.macro_f1),
            "–" if fold.valid_weighted_f1 is None else points(fold.valid_weighted_f1),
            fold.train,
            fold.utterances,
        ]
        for fold in scores
    ]
    names = ("weighted_f1", "accuracy", "macro_f1")
    means = [sum(getattr(fold, name) for fold in scores) / len(scores) for name in names]
    rows.append(["mean of folds", *map(points, means), "", "", ""])
    head = ["Fold", "Weighted F1", "Accuracy", "Macro F1", "Validation WF1", "Trained on", "Tested on"]
    lead = (
        "Each fold is tested by models that never saw it, means over seeds. The last row weighs all folds alike; the "
        "scores above weigh all utterances alike."
    )
    return section("Folds", table(head, rows, name="folds"), lead=lead)
