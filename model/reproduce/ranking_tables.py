"""Tables 2 and 3 as rows for a data frame and as Markdown."""

from __future__ import annotations

from typing import Any

import pandas as pd

from bigfusion.model.scoring.compare import too_few

Data = dict[str, Any]


def frame(data: Data) -> pd.DataFrame:
    """A row a system. Scores are fractions, also the paper's."""
    return pd.DataFrame([_row(row, data) for row in data["rows"]])


def _row(row: Data, data: Data) -> Data:
    found: Data = {"row": row["key"], "name": row["name"], "note": row["note"], "failed": row.get("failed")}
    found["modalities"] = " ".join(row["modalities"])
    paper = row["paper"] or {}
    found["paper_weighted_f1"] = _fraction(paper.get("weighted_f1"))
    for label in data["labels"]:
        found[f"paper_f1_{label}"] = _fraction(paper.get("per_class", {}).get(label))
    if "failed" in row:
        return found
    for name in ("weighted_f1", "accuracy", "macro_f1"):
        found |= {name: row[name]["mean"], f"{name}_std": row[name]["std"]}
    for label in data["labels"]:
        score = row["per_class"][label] or {"mean": None, "std": None}
        found |= {f"f1_{label}": score["mean"], f"f1_{label}_std": score["std"]}
    for reference in data["references"]:
        against = row["against"].get(reference, {}).get("weighted_f1", {})
        found |= {f"against_{reference}_{key}": against.get(key) for key in ("difference", "low", "high", "p")}
    found |= {name: row["cost"][name] for name in ("parameters", "cpu_seconds", "peak_mib")}
    found |= {name: row[name] for name in ("epochs", "seconds_per_epoch", "seconds")}
    found["test_picked_weighted_f1"] = row["test_picking"]["mean"] if row["test_picking"] else None
    return found


def _fraction(points: float | None) -> float | None:
    return None if points is None else points / 100


def headings(data: Data) -> list[str]:
    """The columns that a person reads. The classes come last, because many do not fit on a page."""
    return [
        "system", "weighted F1", "paper", *(f"less {name}" for name in _references(data)), "accuracy",
        "parameters", "s / epoch", "MiB", "test-picked", *data["labels"],
    ]  # fmt: skip


def cells(row: Data, data: Data) -> list[str]:
    """A row as a person reads it: points, mean and deviation over seeds."""
    paper = f"{row['paper']['weighted_f1']:.2f}" if row["paper"] else ""
    if "failed" in row:
        return [row["name"], "failed", paper, *([""] * (len(headings(data)) - 3))]
    against = [difference(row, reference) for reference in _references(data)]
    picked = f"{100 * row['test_picking']['mean']:.2f}" if row["test_picking"] else ""
    return [
        row["name"],
        points(row["weighted_f1"]),
        paper,
        *against,
        points(row["accuracy"]),
        f"{row['cost']['parameters']:,}",
        f"{row['seconds_per_epoch']:.2f}",
        f"{row['cost']['peak_mib']:.0f}",
        picked,
        *(points(row["per_class"][label]) for label in data["labels"]),
    ]


def markdown(data: Data) -> str:
    """The table with what a reader must know beneath it."""
    head = headings(data)
    lines = [f"# {data['title']}", "", data["lead"], ""]
    lines += ["| " + " | ".join(head) + " |", "|" + "|".join([":--"] + ["--:"] * (len(head) - 1)) + "|"]
    lines += ["| " + " | ".join(_escaped(cell) for cell in _marked(row, data)) + " |" for row in data["rows"]]
    return "\n".join([*lines, "", *(f"- {note}" for note in notes(data))]) + "\n"


def notes(data: Data) -> list[str]:
    """What must stand beside the table: what was scored, marks, what failed, what the columns mean."""
    found = list(data["caveats"])
    found += [f"{row['name']}: {row['note']}." for row in data["rows"] if row["note"]]
    found += [f"{row['name']} failed: {row['failed']}." for row in data["rows"] if "failed" in row]
    fitted = [row["name"] for row in data["rows"] if row.get("fitted_at_once")]
    found += [f"{name}: fitted at once, the same for every seed; no epoch is chosen." for name in fitted]
    found.append(
        "Scores are points, mean ± sample deviation over seeds. Differences are of weighted F1, with the interval that"
        " holds 95 % of them when the dialogues are drawn again (paired bootstrap)."
    )
    compared = [against["dialogues"] for row in data["rows"] for against in row.get("against", {}).values()]
    if compared and (few := too_few(min(compared))):
        found.append(f"Differences: {few}.")
    supports = [row["support"] for row in data["rows"] if "support" in row]
    if supports and (missing := [label for label in data["labels"] if not any(each[label] for each in supports)]):
        found.append(
            f"No scored utterance is {' or '.join(missing)}: F1 is 0 if one was called so, and undefined (–) if none"
            " was. Macro F1 leaves out what is undefined."
        )
    found.append(
        "Parameters are the stored numbers; seconds an epoch the median on this machine, with the predictions for"
        " validation and test (the whole fit, if a network is fitted at once); MiB the peak of a process that trains"
        " this network alone, with Python, torch and the features."
    )
    if any(row.get("test_picking") for row in data["rows"]):
        found.append("“Test-picked” is what picking each epoch on the test split would have shown: not a result.")
    return found


def difference(row: Data, reference: str) -> str:
    """``−1.20 [−2.31, 0.04]`` in points."""
    against = row["against"].get(reference)
    if against is None:
        return ""
    one = against["weighted_f1"]
    middle = f"{100 * one['difference']:+.2f}"
    return middle if one["low"] is None else f"{middle} [{100 * one['low']:+.2f}, {100 * one['high']:+.2f}]"


def points(score: Data | None) -> str:
    """``68.50 ± 0.91``; a single seed has no deviation, and a class that does not occur has no score."""
    if score is None:
        return "–"
    return f"{100 * score['mean']:.2f}" + ("" if score["std"] is None else f" ± {100 * score['std']:.2f}")


def _references(data: Data) -> list[str]:
    """Those references that some row was compared with."""
    return [name for name in data["references"] if any(name in row.get("against", {}) for row in data["rows"])]


def _marked(row: Data, data: Data) -> list[str]:
    name, *others = cells(row, data)
    return [f"{name} *" if row["note"] else name, *others]


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|")
