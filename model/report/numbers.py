"""The results of a run that predicts numbers: a page of its own."""

from __future__ import annotations

from pathlib import Path

from bigfusion.model.report.figures import SEED_COLOURS, Curve, curves
from bigfusion.model.report.markup import Child, Html, section, table, tag
from bigfusion.model.report.material import ReportContext
from bigfusion.model.report.number_table import score_rows
from bigfusion.model.report.style import STYLE
from bigfusion.model.report.wording import split_name
from bigfusion.model.runs.files import write_file
from bigfusion.model.runs.folder import REPORT, read_history, seed_folder
from bigfusion.model.scoring.number_results import read_number_metrics


def write_numbers_report(run: Path, context: ReportContext) -> Path:
    """Write ``report.html`` of a run that predicts numbers; returns its path.

    Raises:
        TrainingError: the run was not evaluated, or a file of it is missing or damaged.
    """
    metrics = read_number_metrics(run)
    title = f"Predicted numbers on {context.title}"
    histories = [read_history(seed_folder(run, seed.seed)) for seed in metrics.seeds]
    losses = [
        Curve([epoch.valid_loss for epoch in history], SEED_COLOURS[index % len(SEED_COLOURS)], chosen=seed.epoch)
        for index, (seed, history) in enumerate(zip(metrics.seeds, histories, strict=True))
    ]
    lead = (
        "Each seed's checkpoint is the epoch with the smallest mean absolute error on validation. has 0: sign over all "
        "utterances, 0 counting as not negative; non-0: over those whose true number is not 0. Acc-5 and Acc-7 round."
    )
    seeds: list[list[Child]] = [
        [seed.seed, seed.epoch, seed.epochs, f"{seed.valid.mae:.4f}", f"{seed.mae:.4f}", f"{seed.correlation:.4f}"]
        for seed in metrics.seeds
    ]
    facts: list[list[Child]] = [[name, tag("code", value)] for name, value in context.fingerprints.items()]
    body = tag(
        "main",
        tag("header", tag("p", "Run report", class_="over"), tag("h1", title), tag("p", run.name, class_="facts")),
        *(tag("p", note, class_="warn") for note in context.notes),
        section(
            f"Scores on the {split_name(metrics.scored)} split",
            table(["", "Mean", "Deviation over seeds", "Training mean"], score_rows(metrics), name="scores"),
            lead=lead,
        ),
        section(
            "Learning",
            curves("Mean absolute error on validation", losses, "○ chosen epoch"),
            table(["Seed", "Chosen epoch", "Epochs", "Validation MAE", "MAE", "Correlation"], seeds, name="learning"),
        ),
        section("Fingerprints", table(["Fingerprint", "SHA-256"], facts, "plain")),
    )
    head = tag("head", tag("meta", charset="utf-8"), tag("title", title), tag("style", Html(STYLE)))
    path = run / REPORT
    write_file(path, f"<!doctype html>\n{tag('html', head, tag('body', body), lang='en')}\n".encode())
    return path
