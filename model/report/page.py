"""The page: no script, no font and no picture from elsewhere, so that it can be mailed, printed and kept."""

from __future__ import annotations

from pathlib import Path

from bigfusion.model.report import sections
from bigfusion.model.report.dialogues import dialogues
from bigfusion.model.report.evidence import ablations, calibration
from bigfusion.model.report.markup import Html, tag
from bigfusion.model.report.material import Material, ReportContext, gather
from bigfusion.model.report.provenance import data, provenance
from bigfusion.model.report.style import STYLE
from bigfusion.model.runs.files import write_file
from bigfusion.model.runs.folder import REPORT

DEMO = "synthetic demo corpus: the score shows that the pipeline works, nothing about emotion recognition."


def write_report(run: Path, context: ReportContext, scores: Path | None = None) -> Path:
    """Write ``report.html`` beside a run's scores (by default in the run's own folder); returns its path.

    Raises:
        TrainingError: the run was not evaluated, or a file of it is missing or damaged.
    """
    path = (scores or run) / REPORT
    write_file(path, page(gather(run, context, scores)).encode())
    return path


def page(material: Material) -> Html:
    """The whole page."""
    title = f"BIG-FUSION on {material.context.title}"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("style", Html(STYLE)),
    )
    body = tag(
        "main",
        _header(material, title),
        *_caveats(material.context),
        sections.headline(material),
        sections.classes(material),
        sections.confusion(material),
        calibration(material),
        sections.shifts(material),
        sections.learning(material),
        sections.layers(material),
        ablations(material),
        dialogues(material),
        data(material),
        provenance(material),
        tag(
            "footer", "Written by bigfusion from the run's own files: metrics.json, predictions.parquet, history.jsonl."
        ),
    )
    return Html("<!doctype html>\n" + tag("html", head, tag("body", body), lang="en") + "\n")


def _header(material: Material, title: str) -> Html:
    created = material.context.created
    modalities = ", ".join(modality.value for modality in material.facts.model.modalities)
    date = f"{created.day} {created:%B %Y, %H:%M %Z}".strip()
    facts = f"{date} · run {material.name} · {modalities}"
    return tag("header", tag("p", "Run report", class_="over"), tag("h1", title), tag("p", facts, class_="facts"))


def _caveats(context: ReportContext) -> list[Html]:
    parts = [tag("p", tag("strong", "Demo. "), DEMO.capitalize(), class_="demo")] if context.demo else []
    if context.notes:
        parts.append(tag("ul", *(tag("li", note) for note in context.notes), class_="notes"))
    return parts
