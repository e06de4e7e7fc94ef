"""``bigfusion models``: list the runs, the decision on each, and the current model."""

from __future__ import annotations

import argparse

from bigfusion.flows.commands.common import Answer, Common
from bigfusion.flows.commands.show import columns, points

HELP = "list the runs: scores, what was decided on each, and the current one"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing: the settings hold everything."""


def run(common: Common) -> Answer:
    """List every run with its scores and the decision on it, and mark the current model."""
    from bigfusion.flows.project import promotion

    project = common.project()
    found = promotion.models(project)
    current = next((model["run"] for model in found if model["current"]), None)
    data = {"current": current, "models": found, "register": str(project.files.current)}
    if not found:
        return Answer("no run yet; `bigfusion run` makes one", data)
    rows = [
        [
            model["run"],
            "->" if model["current"] else "",
            model["created"],
            model["state"],
            points(model["valid_weighted_f1"]),
            points(model["weighted_f1"]),
        ]
        for model in found
    ]
    lines = [columns(rows, ["run", "", "created", "state", "valid WF1", "test WF1"])]
    lines += ["", *(f"{model['run']}: {model['why']}" for model in found if model["why"])]
    return Answer("\n".join(lines), data)
