"""The pictures of `reproduce`: titles inside, ticks that do not touch, a panel for what lies far off."""

from itertools import pairwise

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from bigfusion.model.reproduce.plots import picture

RANDOM = np.random.default_rng(0)
LABELS = ["hap", "sad", "neu", "ang", "exc", "fru"]
NAMES = ["complete", "w/o threshold regulation", "w/o contrastive learning", "w/o global importance"]


def table_4(ours: float, paper: float | None) -> dict:
    rows = [
        {
            "name": name,
            "weighted_f1": {"mean": ours, "values": [ours - 0.01, ours, ours + 0.012]},
            "paper": None if paper is None else {"weighted_f1": paper - at},
        }
        for at, name in enumerate(NAMES)
    ]
    return {"table": 4, "scored": "valid", "rows": rows}


def figure_4(turns: int) -> dict:
    def label() -> str:
        return LABELS[int(RANDOM.integers(6))]

    said = [{"speaker": k % 2, "true": label(), "predicted": {name: label() for name in NAMES}} for k in range(turns)]
    return {"figure": 4, "dialogue": "Ses05F_script03_1", "labels": LABELS, "turns": said}


def figure_5() -> dict:
    steps = np.linspace(-1, 1, 9)
    loss = (1.1 + steps[:, None] ** 2 + steps**2).tolist()
    model = {"explained_variance": [0.5, 0.9, 1.0], "steps": steps.tolist(), "loss": loss}
    return {"figure": 5, "models": {"dual": model, "global": model}}


def figure_3() -> dict:
    shares = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    cells = [
        {"attention_global": a, "contrast_local": b, "weighted_f1": {"mean": 0.5 + a * b / 10}}
        for a in shares
        for b in shares
    ]
    return {"figure": 3, "scored": "valid", "corpus": "iemocap", "cells": cells}


PICTURES = {
    "table 4": table_4(0.7, 71.0),
    "table 4, the paper far off": table_4(0.3, 75.0),
    "figure 3": figure_3(),
    "figure 4": figure_4(20),
    "figure 4, short": figure_4(6),
    "figure 5": figure_5(),
}


@pytest.mark.parametrize("name", PICTURES)
def test_titles_stay_inside_and_no_tick_touches_another(name):
    figure = picture(PICTURES[name])
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer, edge = canvas.get_renderer(), figure.bbox
    for axes in figure.axes:
        for title in (axes.title, axes._left_title):
            if title.get_text():
                box = title.get_window_extent(renderer)
                assert edge.x0 <= box.x0 and box.x1 <= edge.x1 and box.y1 <= edge.y1, title.get_text()
                others = [other for other in figure.axes if other is not axes and other._left_title.get_text()]
                assert not any(box.overlaps(other._left_title.get_window_extent(renderer)) for other in others)
        for side, size in ((axes.xaxis, "x"), (axes.yaxis, "y")):
            shown = [tick.get_window_extent(renderer) for tick in side.get_ticklabels() if tick.get_text()]
            low, high = axes.get_window_extent(renderer).get_points()[:, 0 if size == "x" else 1]
            spans = sorted((getattr(box, f"{size}0"), getattr(box, f"{size}1")) for box in shown)
            spans = [span for span in spans if low - 30 <= span[0] and span[1] <= high + 30]
            assert all(first[1] < second[0] for first, second in pairwise(spans)), size


def test_the_papers_figures_have_a_panel_to_themselves_where_they_lie_far_off():
    assert len(picture(table_4(0.3, 75.0)).axes) == 2
    assert len(picture(table_4(0.7, 71.0)).axes) == len(picture(table_4(0.7, None)).axes) == 1
    ours, papers = picture(table_4(0.3, 75.0)).axes
    assert ours.get_xlim()[1] < 40 and papers.get_xlim()[0] > 60, "each on its own scale"
