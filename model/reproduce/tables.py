"""Each table and figure as rows for a CSV file."""

from __future__ import annotations

from typing import Any

import pandas as pd


def rows(data: dict[str, Any]) -> pd.DataFrame:
    """One table of what a study gave. Scores, their differences and the paper's figures are points."""
    if data.get("table") == 4:
        return pd.DataFrame([_ablation(row) for row in data["rows"]])
    if data["figure"] == 3:
        return pd.DataFrame([{**_weights(cell), **_scores(cell)} for cell in data["cells"]])
    if data["figure"] == 4:
        return pd.DataFrame(
            [
                {"utterance": t["utterance"], "speaker": t["speaker"], "true": t["true"], **t["predicted"]}
                for t in data["turns"]
            ]
        )
    return pd.concat([_model(name, model) for name, model in data["models"].items()], ignore_index=True)


def _ablation(row: dict[str, Any]) -> dict[str, Any]:
    paper, against = row["paper"] or {}, row["against_complete"] or {}
    return {
        "network": row["name"],
        **_scores(row),
        **{name: _points(against.get(name)) for name in ("difference", "low", "high")},
        "p": against.get("p"),
        "paper_accuracy": paper.get("accuracy"),
        "paper_weighted_f1": paper.get("weighted_f1"),
    }


def _weights(cell: dict[str, Any]) -> dict[str, Any]:
    return {name: cell[name] for name in ("attention_global", "contrast_local")}


def _scores(row: dict[str, Any]) -> dict[str, Any]:
    names = ("accuracy", "weighted_f1")
    return {f"{name}{end}": _points(row[name][key]) for name in names for end, key in (("", "mean"), ("_std", "std"))}


def _points(fraction: float | None) -> float | None:
    return None if fraction is None else 100 * fraction


def _model(name: str, model: dict[str, Any]) -> pd.DataFrame:
    """Two kinds of rows: components with the variance that they explain, and places with the loss there."""
    shares, steps, loss = model["explained_variance"], model["steps"], model["loss"]
    components = pd.DataFrame({"component": range(1, len(shares) + 1), "explained_variance": shares})
    places = pd.DataFrame(
        [{"x": x, "y": y, "loss": loss[i][j]} for i, y in enumerate(steps) for j, x in enumerate(steps)]
    )
    return pd.concat([components, places]).assign(attention=name)
