"""What a run shows in Prefect's UI: the plan, progress, scores, the confusion matrix, and where the report lies.

If the server does not accept one of them, the run goes on, and a line in the log says what is not shown.
"""

from __future__ import annotations

import base64
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

import httpx
from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)

from bigfusion.flows.project.runs import Run
from bigfusion.flows.project.settings import Project
from bigfusion.pipeline.plan.plan import CellPlan, State
from bigfusion.pipeline.words import numbered, reason

log = logging.getLogger("bigfusion")

_EVERY_SECONDS = 2.0
_CELL, _LEFT, _TOP = 64, 110, 40


@contextmanager
def _optional(what: str) -> Iterator[None]:
    try:
        yield
    except httpx.HTTPError as error:
        log.warning("%s is not shown in Prefect's UI: %s", what, reason(error))


class Progress:
    """A progress bar of a flow run. It moves at most every two seconds."""

    def __init__(self, key: str, description: str, total: int) -> None:
        self.key, self.total = key, total
        self._shown = time.monotonic()
        self._id: Any = None
        if total:
            with _optional(key):
                self._id = create_progress_artifact(progress=0.0, key=key, description=description)

    def update(self, done: int) -> None:
        """Show that ``done`` of ``total`` are finished."""
        now = time.monotonic()
        if self._id is not None and (done >= self.total or now - self._shown >= _EVERY_SECONDS):
            self._shown = now
            with _optional(self.key):
                update_progress_artifact(self._id, progress=100.0 * done / self.total)


def plan(project: Project, planned: CellPlan) -> None:
    """Show the cells by feature and state, and why cells are pending."""
    counts = planned.counts()
    reasons = planned.reasons()
    rows = []
    for feature, states in counts.items():
        why = "; ".join(reason.split(": ", 1)[1] for reason in reasons if reason.startswith(f"{feature}:"))
        rows.append({"feature": feature, **{state.value: states[state.value] for state in State}, "why": why})
    with _optional("the plan"):
        create_table_artifact(
            table=rows, key=f"{project.name}-plan", description=f"{numbered(planned.pending_count, 'cell')} pending"
        )


def results(project: Project, run: Run) -> None:
    """Show the score table, the confusion matrix, and where the report lies."""
    with _optional("the result"):
        _results(project, run, run.metrics())


def _results(project: Project, run: Run, metrics: dict[str, Any]) -> None:
    scored = metrics["scored"]
    if metrics.get("task") == "regression":
        rows = [{"score": name, "mean": f"{metrics[name]:.4f}"} for name in ("mae", "correlation", "concordance")]
        create_table_artifact(table=rows, key=f"{project.name}-scores", description=f"run {run.id}, {scored} split")
        return
    create_table_artifact(
        table=_score_rows(metrics), key=f"{project.name}-scores", description=f"run {run.id}, {scored} split, points"
    )
    picture = base64.b64encode(confusion_svg(metrics["confusion"]).encode()).decode()
    create_markdown_artifact(  # not an image artifact: it prints its address too, here the whole picture
        markdown=f"![confusion matrix](data:image/svg+xml;base64,{picture})", key=f"{project.name}-confusion",
        description=f"run {run.id}: rows true, columns predicted, {scored} split, mean over seeds",
    )  # fmt: skip
    report = run.report.absolute()
    if project.workspace.url:
        place = report.relative_to(project.files.folder.absolute())
        link = f"{project.workspace.url.rstrip('/')}/{place}"
        create_link_artifact(link=link, link_text=f"report of run {run.id}", key=f"{project.name}-report")
    else:  # browsers do not follow file: links on a server's page
        text = f"`{report}`\n\nSet `workspace.url` to where a web server shows the workspace, and this is a link."
        create_markdown_artifact(markdown=text, key=f"{project.name}-report", description=f"report of run {run.id}")


def confusion_svg(confusion: dict[str, Any]) -> str:
    """The confusion matrix as a picture. The shade is the share of the true class."""
    labels, size = confusion["labels"], len(confusion["labels"])
    width, height = _LEFT + _CELL * size + 10, _TOP + _CELL * size + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif"'
        f' font-size="13"><rect width="{width}" height="{height}" fill="#ffffff"/>'
    ]
    for row, (label, counts) in enumerate(zip(labels, confusion["counts"], strict=True)):
        y, total = _TOP + row * _CELL, sum(counts)
        parts.append(_text(_LEFT - 8, y + _CELL / 2 + 4, label, "end"))
        parts.append(_text(_LEFT + row * _CELL + _CELL / 2, _TOP - 12, label[:9], "middle"))
        for column, count in enumerate(counts):
            share = count / total if total else 0.0
            x = _LEFT + column * _CELL
            parts.append(
                f'<rect x="{x}" y="{y}" width="{_CELL - 2}" height="{_CELL - 2}" fill="#2b5c8a"'
                f' fill-opacity="{0.06 + 0.94 * share:.3f}"/>'
            )
            parts.append(_text(x + _CELL / 2, y + _CELL / 2 + 4, f"{round(count, 1):g}", "middle", share > 0.5))
    return "".join([*parts, "</svg>"])


def _text(x: float, y: float, text: str, anchor: str, light: bool = False) -> str:
    colour = "#ffffff" if light else "#1f2937"
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>'


def _score_rows(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    std, majority = metrics["std"] or {}, metrics["majority"]
    rows = [
        {
            "score": name,
            "mean": _points(metrics[key]),
            "std": _points(std.get(key)),
            "majority": _points(majority[key]),
            "support": "",
        }
        for name, key in (("weighted F1", "weighted_f1"), ("accuracy", "accuracy"), ("macro F1", "macro_f1"))
    ]
    rows += [
        {
            "score": f"F1 {label}",
            "mean": _points(found["f1"]),
            "std": _points(found["f1_std"]),
            "majority": "",
            "support": found["support"],
        }
        for label, found in metrics["per_class"].items()
    ]
    return rows


def _points(fraction: float | None) -> str:
    return "" if fraction is None else f"{100 * fraction:.2f}"
