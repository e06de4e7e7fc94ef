"""Tables 2 and 3 as a page: one file in the report's look, complete without its script, which sorts the table."""

from __future__ import annotations

from typing import Any

from bigfusion.model.report.markup import Html, join, section, tag
from bigfusion.model.report.page import POLICY
from bigfusion.model.report.script import SCRIPT
from bigfusion.model.report.style import STYLE
from bigfusion.model.reproduce.ranking_figures import cost_against_score, forest
from bigfusion.model.reproduce.ranking_tables import cells, frame, headings, notes
from bigfusion.pipeline.words import numbered

Data = dict[str, Any]

_SORT_STYLE = """
th[aria-sort] button { all: unset; cursor: pointer; font: inherit; color: inherit; }
th[aria-sort] button:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
th[aria-sort=ascending] button::after { content: " ↑"; }
th[aria-sort=descending] button::after { content: " ↓"; }
#systems th, #systems td { padding-left: 5px; padding-right: 5px; font-size: 13px; white-space: normal; }
#systems tbody th { min-width: 9em; }
#systems small { color: var(--soft); }
@media print { #systems th, #systems td { font-size: 7pt; padding: 2px 3px; white-space: normal; } }
"""

_SORT = r"""
"use strict";
(() => {
  const table = document.querySelector("#systems"), body = table.tBodies[0];
  const number = cell => cell.dataset.value === "" ? NaN : Number(cell.dataset.value);
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    head.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") !== "descending" && column > 0 ||
        head.getAttribute("aria-sort") === "ascending";
      for (const other of table.tHead.rows[0].cells) other.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const sign = down ? -1 : 1;
      const order = (a, b) => {
        if (!column) return sign * a.cells[0].innerText.localeCompare(b.cells[0].innerText);
        const [x, y] = [number(a.cells[column]), number(b.cells[column])];
        return isNaN(x) ? isNaN(y) ? 0 : 1 : isNaN(y) ? -1 : sign * (x - y);
      };
      body.append(...[...body.rows].sort(order));
    });
  });
})();
"""


def page(data: Data) -> Html:
    """The whole page."""
    finished = [row for row in data["rows"] if "failed" not in row]
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", data["title"]),
        tag("style", Html(STYLE + _SORT_STYLE)),
    )
    counts = (
        numbered(len(data["rows"]), "row"),
        numbered(len(data["seeds"]), "seed"),
        numbered(len(data["folds"]), "fold"),
    )
    facts = " · ".join((*counts, data["preset"] + " and own settings" * bool(data["own"])))
    body = tag(
        "main",
        tag(
            "header", tag("p", "Reproduction", class_="over"), tag("h1", data["title"]), tag("p", facts, class_="facts")
        ),
        *(tag("p", caveat, class_="warn") for caveat in data["caveats"]),
        section("Systems", _table(data), lead=data["lead"]),
        *_forests(data, finished),
        *([section("Cost against score", cost_against_score(finished), lead=_COST)] if finished else []),
        section("Read this beside it", tag("ul", *(tag("li", note) for note in notes(data)), class_="notes")),
        tag("footer", "Written by bigfusion reproduce; the same figures lie beside this page as JSON and Parquet."),
    )
    scripts = tag("script", Html(SCRIPT + _SORT))
    return Html("<!doctype html>\n" + tag("html", head, tag("body", body, scripts), lang="en") + "\n")


_COST = (
    "CPU seconds of one epoch, or of the whole fit of a network that is fitted at once, in a process of its own (with"
    " the predictions for validation, without those for test), on a logarithmic axis, and the mean weighted F1 in"
    " points."
)


def _forests(data: Data, finished: list[Data]) -> list[Html]:
    names = {row["key"]: row["name"] for row in data["rows"]}
    lead = (
        "Difference of weighted F1 in points, mean over seeds. The line holds 95 % of the differences when the"
        " dialogues are drawn again; blue lines cross zero."
    )
    return [
        section(f"Difference to {names[reference]}", forest(finished, reference), lead=lead)
        for reference in data["references"]
        if any(row["against"].get(reference, {}).get("dialogues", 0) > 1 for row in finished)
    ]


def _table(data: Data) -> Html:
    heads = tag("tr", *(tag("th", text, scope="col") for text in headings(data)))
    exact = frame(data)
    body = []
    for place, row in enumerate(data["rows"]):
        name, *others = cells(row, data)
        values = [_exact(exact.iloc[place].get(column)) for column in _columns(data)]
        mark = tag("small", f" {row['note']}") if row["note"] else ""
        line = [tag("td", _broken(cell), data_value=value) for cell, value in zip(others, values, strict=True)]
        body.append(tag("tr", tag("th", name, mark, scope="row", data_value=name), *line))
    name = f"table-{data['table']}"
    grid = tag("table", tag("thead", heads), tag("tbody", join(body)), id="systems", data_name=name)
    return tag("div", tag("div", grid, class_="scroll"), class_="box")


def _broken(cell: str) -> str:
    """A cell that breaks before its deviation or interval only, if the screen is narrow."""
    return cell.replace("± ", "±\N{NO-BREAK SPACE}").replace(", ", ",\N{NO-BREAK SPACE}")


def _columns(data: Data) -> list[str]:
    """The data frame's column behind each heading but the first."""
    shown = [name for name in data["references"] if any(name in row.get("against", {}) for row in data["rows"])]
    return [
        "weighted_f1", "paper_weighted_f1", *(f"against_{name}_difference" for name in shown), "accuracy",
        "parameters", "seconds_per_epoch", "peak_mib", "test_picked_weighted_f1",
        *(f"f1_{label}" for label in data["labels"]),
    ]  # fmt: skip


def _exact(value: Any) -> str:
    """A number as sorting and export take it; empty where there is none."""
    return "" if value is None or value != value else f"{value:.6g}" if isinstance(value, float) else str(value)  # noqa: PLR0124
