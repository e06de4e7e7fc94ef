"""``bigfusion models``: the runs as a table of experiments, and the current model; also names them."""

from __future__ import annotations

import argparse
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bigfusion.flows.commands.common import Answer, Common, run_folder
from bigfusion.flows.commands.show import columns, points
from bigfusion.pipeline.errors import SettingsError, TrainingError

HELP = "list the runs: what differs, scores, cost, what was decided on each, and the current one"

_SHOWN = 8
"""Settings that the printed table shows at most."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `models` takes."""
    parser.add_argument(
        "folder", type=Path, metavar="DIR", nargs="?", help="a folder of runs that `train --features` made"
    )
    parser.add_argument("--sort", metavar="COLUMN", help="weighted_f1, hours, created, train.learning_rate, ...")
    parser.add_argument("--csv", action="store_true", help="print the table as CSV, with every setting that differs")
    parser.add_argument("--run", dest="named", type=Path, metavar="RUN", help="the run that --name and --note are for")
    parser.add_argument("--name", metavar="NAME", help='with --run: what to call it ("": nothing)')
    parser.add_argument("--note", metavar="TEXT", help="with --run: what to remember of it")


def run(
    common: Common,
    folder: Path | None,
    sort: str | None,
    csv: bool,
    named: Path | None,
    name: str | None,
    note: str | None,
) -> Answer:
    """List every run with what differs, its scores, its cost and the decision on it, and mark the current model."""
    from bigfusion.flows.project.experiments import experiments, experiments_in, in_order

    if named is not None or name is not None or note is not None:
        return _describe(common, named, name, note)
    project = None if folder else common.project()
    rows = experiments_in(folder) if folder else experiments(common.project())
    if sort is not None and rows:
        rows = in_order(rows, sort)
    current = next((row["run"] for row in rows if row["current"]), None)
    data = {"current": current, "models": rows} | ({"register": str(project.files.current)} if project else {})
    if csv:
        return Answer(_csv(rows), data)
    if not rows:
        return Answer("no run yet; `bigfusion run` makes one", data)
    return Answer("\n".join(_lines(rows)), data)


def _describe(common: Common, named: Path | None, name: str | None, note: str | None) -> Answer:
    """Give a run a name or a note."""
    from bigfusion.flows.project.experiments import describe

    if named is None or (name is None and note is None):
        raise SettingsError("models: --run goes with --name or --note: bigfusion models --run RUN --name NAME")
    folder = run_folder(common, named)
    if not (folder / "run.json").is_file():
        raise TrainingError(f"run {named}: expected a run, found none; `bigfusion models` lists them")
    said = describe(folder, name, note)
    text = f"run {folder.name}: " + (said.name or "no name") + (f": {said.note}" if said.note else "")
    return Answer(text, {"run": folder.name, **said.model_dump()})


def _lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    from bigfusion.model.report.wording import machine

    settings = list(dict.fromkeys(key for row in rows for key in row["differs"]))
    shown = settings[:_SHOWN]
    named, scored = any(row["name"] for row in rows), any(row.get("scored") for row in rows)
    header = ["run", *["name"] * named, "", "created", "state", *["scored"] * scored]
    header += ["seeds", "valid WF1", "test WF1", "+-", "hours", *_headings(shown)]
    table = [
        [
            row["run"],
            *[row["name"]] * named,
            "->" if row["current"] else "",
            row["created"][:16].replace("T", " "),
            row["state"],
            *[row.get("scored")] * scored,
            row["seeds"],
            points(row["valid_weighted_f1"]),
            points(row["weighted_f1"]) + "*" * bool(row["no_test"]),
            points(row["weighted_f1_std"]),
            f"{row['hours']:.2f}",
            *(_said(row["differs"].get(key, "")) for key in shown),
        ]
        for row in rows
    ]
    lines = [columns(table, header)]
    if len(settings) > _SHOWN:
        lines.append(f"{len(settings) - _SHOWN} more settings differ: --csv and --json have all")
    machines = dict.fromkeys(row["machine"] for row in rows if row["machine"])
    lines += [""] * bool(machines) + [f"trained on {machine(name)}" for name in machines]
    lines += ["", *(f"{row['run']}: {row['why']}" for row in rows if row["why"])]
    lines += [
        f"* {' '.join(filter(None, (row['run'], row.get('scored'))))}: {row['no_test']}"
        for row in rows
        if row["no_test"]
    ]
    lines += [
        f"{row['run']}: predicts numbers, MAE {row['mae']:.3f}; its WF1 is the F1 of the sign"
        for row in rows
        if row["mae"] is not None
    ]
    lines += [f"{row['run']}: note: {row['note']}" for row in rows if row["note"]]
    return lines


def _headings(keys: Sequence[str]) -> list[str]:
    """The keys without the name of their table, if they stay different so."""
    short = [key.partition(".")[2] or key for key in keys]
    return [brief if short.count(brief) == 1 else key for key, brief in zip(keys, short, strict=True)]


def _said(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else "none" if value is None else str(value)


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    import csv

    plain = list(dict.fromkeys(key for row in rows for key in row if key != "differs"))
    settings = list(dict.fromkeys(key for row in rows for key in row["differs"]))
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([*plain, *settings])
    for row in rows:
        values = [row.get(key) for key in plain] + [_said(row["differs"].get(key, "")) for key in settings]
        writer.writerow(["" if value is None else value for value in values])
    return buffer.getvalue().rstrip("\n")
