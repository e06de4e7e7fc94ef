"""The report page: one file that loads nothing else and is complete without its script.

So it can be mailed, printed and kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bigfusion.model.report import sections
from bigfusion.model.report.dialogues import dialogues
from bigfusion.model.report.evidence import ablations, calibration, modalities
from bigfusion.model.report.folds import folds
from bigfusion.model.report.markup import Html, tag
from bigfusion.model.report.material import Material, ReportContext, gather, gather_folds
from bigfusion.model.report.paper import network_title
from bigfusion.model.report.people import people
from bigfusion.model.report.provenance import cost, data, provenance
from bigfusion.model.report.script import SCRIPT
from bigfusion.model.report.style import STYLE
from bigfusion.model.runs.files import write_file
from bigfusion.model.runs.folder import REPORT

POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
"""What a browser allows the page: its own style and script, and no requests."""

DEMO = "synthetic demo corpus: the score shows that the pipeline works, nothing about emotion recognition."


def write_report(run: Path, context: ReportContext, scores: Path | None = None) -> Path:
    """Write ``report.html`` beside a run's scores (by default in the run's own folder); returns its path.

    Raises:
        TrainingError: the run was not evaluated, or a file of it is missing or damaged.
    """
    path = (scores or run) / REPORT
    write_file(path, page(gather(run, context, scores)).encode())
    return path


def write_report_of_folds(run: Path, folds: Mapping[str, Path], context: ReportContext) -> Path:
    """Write the ``report.html`` of a cross-validation, over all its folds; returns its path.

    Raises:
        TrainingError: the folds were not pooled, or a file is missing or damaged.
    """
    path = run / REPORT
    write_file(path, page(gather_folds(run, folds, context)).encode())
    return path


def page(material: Material) -> Html:
    """The whole page."""
    title = f"{network_title(material.facts.model.kind)} on {material.context.title}"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", Html(STYLE)),
    )
    body = tag(
        "main",
        _header(material, title),
        *_caveats(material.context),
        sections.headline(material),
        tag("div", sections.classes(material), sections.confusion(material), class_="two"),
        tag("div", calibration(material), sections.shifts(material), class_="two"),
        *_training(material),
        people(material),
        dialogues(material),
        data(material),
        cost(material),
        provenance(material),
        tag(
            "footer", "Written by bigfusion from the run's own files: metrics.json, predictions.parquet, history.jsonl."
        ),
    )
    script = tag("script", Html(SCRIPT))
    return Html("<!doctype html>\n" + tag("html", head, tag("body", body, script), lang="en") + "\n")


def _training(material: Material) -> list[Html]:
    """The sections on training; for a cross-validation the scores of its folds, whose own reports have the rest."""
    if material.folds:
        return [folds(material)]
    return [sections.learning(material), sections.layers(material), modalities(material), ablations(material)]


def _header(material: Material, title: str) -> Html:
    created = material.context.created
    modalities = ", ".join(material.facts.model.chosen(material.facts.widths))
    date = f"{created.day} {created:%B %Y, %H:%M %Z}".strip()
    facts = f"{date} · run {material.name} · {modalities}"
    return tag("header", tag("p", "Run report", class_="over"), tag("h1", title), tag("p", facts, class_="facts"))


def _caveats(context: ReportContext) -> list[Html]:
    parts = [tag("p", tag("strong", "Demo. "), DEMO.capitalize(), class_="demo")] if context.demo else []
    if context.notes:
        parts.append(tag("ul", *(tag("li", note) for note in context.notes), class_="notes"))
    return parts
