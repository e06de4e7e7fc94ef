"""Commands of running day and night: which model is current."""

from __future__ import annotations

from flows import promotion
from flows.options import Answer, Options
from flows.show import columns
from flows.workspace import Workspace


def models(options: Options) -> Answer:
    """Every run: its scores, what was decided on it, and which is the current model."""
    mine = options.project()
    found = promotion.models(mine)
    current = next((model["run"] for model in found if model["current"]), None)
    data = {"current": current, "models": found, "register": str(Workspace(mine).current)}
    if not found:
        return Answer("no run yet; `bigfusion run` makes one", data)
    rows = [
        [
            model["run"],
            "->" if model["current"] else "",
            model["created"],
            model["state"],
            _points(model["valid_weighted_f1"]),
            _points(model["weighted_f1"]),
        ]
        for model in found
    ]
    lines = [columns(rows, ["run", "", "created", "state", "valid WF1", "test WF1"])]
    lines += ["", *(f"{model['run']}: {model['why']}" for model in found if model["why"])]
    return Answer("\n".join(lines), data)


def rollback(options: Options) -> Answer:
    """Make an earlier model the current one."""
    mine = options.project()
    with Workspace(mine).exclusive():
        decision = promotion.rollback(mine, options.target)
    return Answer(f"current model: run {decision.run} ({decision.why})", decision.model_dump(mode="json"))


def _points(fraction: float | None) -> str:
    return "" if fraction is None else f"{100 * fraction:.2f}"
