"""Each table and figure as a picture (matplotlib): beside the paper's own figures where it prints them."""

from __future__ import annotations

from pathlib import Path
from textwrap import fill
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from bigfusion.model.report.figures import ink_on, label_colours

mpl.rcParams.update(
    {"svg.hashsalt": "bigfusion", "font.size": 10, "axes.spines.top": False, "axes.spines.right": False}
)
_OURS, _PAPER = "#2b5c8a", "#c8643c"
_LETTER = 0.085
"""Width of a letter of a title, in inches, generously."""


def draw(data: dict[str, Any], stem: Path) -> list[Path]:
    """Draw a study's data as ``stem.svg`` and ``stem.png``; returns their paths."""
    figure = picture(data)
    paths = [stem.with_name(f"{stem.name}.{kind}") for kind in ("svg", "png")]
    for path in paths:
        figure.savefig(path, dpi=160, bbox_inches="tight", metadata={"Date": None} if path.suffix == ".svg" else None)
    return paths


def picture(data: dict[str, Any]) -> Figure:
    """A study's data as a figure."""
    number = f"table {data['table']}" if "table" in data else f"figure {data['figure']}"
    return {"table 4": _table_4, "figure 3": _figure_3, "figure 4": _figure_4, "figure 5": _figure_5}[number](data)


def _table_4(data: dict[str, Any]) -> Figure:
    """The scores of each row. The paper's have a panel to themselves if they lie far off: another scale."""
    rows = data["rows"]
    ours = [100 * value for row in rows for value in row["weighted_f1"]["values"]]
    papers = [row["paper"]["weighted_f1"] for row in rows if row["paper"]]
    apart = bool(papers) and _far(ours, papers)
    figure = Figure(figsize=(9.6 if apart else 8.4, 0.5 * len(rows) + 1.7), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True, width_ratios=[3, 2]) if apart else [figure.subplots()]
    axes, beside = panels[0], panels[-1]
    places = np.arange(len(rows))[::-1]
    for place, row in zip(places, rows, strict=True):
        score = row["weighted_f1"]
        axes.plot(
            [100 * value for value in score["values"]], [place] * len(score["values"]), "o", color=_OURS, alpha=0.35
        )
        axes.plot(100 * score["mean"], place, "D", color=_OURS, markersize=8)
        if row["paper"]:
            beside.plot(row["paper"]["weighted_f1"], place, "s", color=_PAPER, markersize=7)
    axes.axvline(100 * rows[0]["weighted_f1"]["mean"], color=_OURS, linewidth=0.8, linestyle=":")
    axes.set_yticks(places, [row["name"] for row in rows])
    axes.set_xlabel("◆ mean, ○ seeds" + ("; ■ the paper" if papers and not apart else ""))
    _title(axes, f"weighted F1, {_split(data)}, points")
    if apart:
        beside.set_xlabel("■ printed, on a scale of its own")
        _title(beside, "the paper")
    for panel in panels:
        panel.xaxis.set_major_locator(MaxNLocator(6))
        panel.grid(axis="x", alpha=0.3)
    return figure


def _far(ours: list[float], papers: list[float]) -> bool:
    """Whether the gap between two groups of scores is wider than either group."""
    gap = max(min(papers) - max(ours), min(ours) - max(papers))
    return gap > max(max(ours) - min(ours), max(papers) - min(papers))


def _title(axes: Axes, text: str) -> None:
    """A title above the left end of its axes, in lines that are no wider than these."""
    wide = axes.figure.get_figure(root=True).get_figwidth() * axes.get_position().width
    axes.set_title(fill(text, max(12, int(wide / _LETTER))), fontsize=10, loc="left")


def _figure_3(data: dict[str, Any]) -> Figure:
    across = sorted({cell["attention_global"] for cell in data["cells"]})
    up = sorted({cell["contrast_local"] for cell in data["cells"]})
    values = np.full((len(up), len(across)), np.nan)
    for cell in data["cells"]:
        values[up.index(cell["contrast_local"]), across.index(cell["attention_global"])] = (
            100 * cell["weighted_f1"]["mean"]
        )
    figure = Figure(figsize=(6.4, 5.2), layout="constrained")
    axes = figure.subplots()
    drawn = axes.imshow(values, origin="lower", cmap="viridis")
    middle = (np.nanmin(values) + np.nanmax(values)) / 2
    for row, column in np.ndindex(values.shape):
        ink = "white" if values[row, column] < middle else "black"
        axes.text(column, row, f"{values[row, column]:.1f}", ha="center", va="center", color=ink, fontsize=9)
    axes.set_xticks(range(len(across)), [f"{value:g}" for value in across])
    axes.set_yticks(range(len(up)), [f"{value:g}" for value in up])
    axes.set_xlabel("global weight of the attention (α)")
    axes.set_ylabel("local weight of the contrast (1 − γ)")
    note = "; the paper's peak is at 0.6 to 0.8 of both" if data["corpus"] else ""
    _title(axes, f"weighted F1, {_split(data)}{note}")
    figure.colorbar(drawn, shrink=0.85)
    return figure


def _figure_4(data: dict[str, Any]) -> Figure:
    turns, models = data["turns"], list(data["turns"][0]["predicted"])
    colours = label_colours(data["labels"])
    lanes = ["true", *models]
    figure = Figure(figsize=(max(7.0, 0.42 * len(turns) + 2.6), 0.5 * len(lanes) + 1.3))
    axes = figure.subplots()
    for place, turn in enumerate(turns):
        for lane, name in enumerate(lanes):
            label = turn["true"] if name == "true" else turn["predicted"][name]
            if label is None:
                continue
            colour, bottom = colours[label], len(lanes) - 1 - lane
            wrong = name != "true" and turn["true"] not in (None, label)
            axes.add_patch(Rectangle((place, bottom), 0.94, 0.86, color=colour, alpha=1.0))
            axes.text(
                place + 0.47, bottom + 0.43, label[:3] + ("\n×" if wrong else ""),
                ha="center", va="center", fontsize=7, color=ink_on(colour),
            )  # fmt: skip
    axes.set_xlim(0, len(turns))
    axes.set_ylim(-0.1, len(lanes))
    axes.set_yticks([len(lanes) - 1 - lane + 0.43 for lane in range(len(lanes))], lanes)
    axes.set_xticks(
        [place + 0.47 for place in range(len(turns))],
        [f"{'ABCDEFGHIJKLMNOPQRSTUVWXYZ'[t['speaker'] % 26]}" for t in turns],
    )
    axes.set_xlabel("turns along time, by speaker; × is a wrong prediction")
    _title(axes, f"{data['dialogue']}: the dialogue on which the models differ most")
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    return figure


def _figure_5(data: dict[str, Any]) -> Figure:
    models = data["models"]
    figure = Figure(figsize=(13.5, 4.2), layout="constrained")
    first, *around = figure.subplots(1, 3, width_ratios=[1, 1, 1])
    for (name, model), colour in zip(models.items(), (_OURS, _PAPER), strict=True):
        shares = model["explained_variance"]
        first.plot(
            range(1, len(shares) + 1), [100 * share for share in shares], color=colour, label=f"{name} attention"
        )
    _title(first, "how many directions the output spreads over")
    first.set_xscale("log")
    first.set_xlabel("principal components of the Transformer's output")
    first.set_ylabel("explained variance, cumulative, %")
    first.legend(frameon=False)
    first.grid(alpha=0.3)
    highest = min(np.max(model["loss"]) for model in models.values())
    lowest = min(np.min(model["loss"]) for model in models.values())
    levels = np.linspace(lowest, highest, 16)
    for axes, (name, model) in zip(around, models.items(), strict=True):
        drawn = axes.contourf(
            model["steps"], model["steps"], model["loss"], levels=levels, cmap="viridis", extend="max"
        )
        middle = len(model["steps"]) // 2
        axes.plot(0, 0, "+", color="white", markersize=12)
        _title(axes, f"{name} attention: {model['loss'][middle][middle]:.2f} at the network itself")
        axes.set_xlabel("first random direction")
        axes.set_ylabel("second")
        for side in (axes.xaxis, axes.yaxis):
            side.set_major_locator(MaxNLocator(4))
        figure.colorbar(drawn, shrink=0.9, label="cross-entropy on validation", ticks=levels[::3], format="%.2f")
    return figure


def _split(data: dict[str, Any]) -> str:
    return "test split" if data["scored"] == "test" else "validation split (no test labels)"
