"""A few dialogues along time: true and predicted labels, and what was said."""

from __future__ import annotations

import pandas as pd

from bigfusion.model.report.figures import dialogue_strip, ink_on
from bigfusion.model.report.markup import Child, Html, join, section, table, tag
from bigfusion.model.report.material import Material
from bigfusion.model.report.wording import count

SHOWN, LONG_ENOUGH, LINES = 3, 4, 10
"""Dialogues shown, the labelled turns that one needs to be shown, and the turns whose lines are printed."""


def dialogues(material: Material) -> Html:
    """The dialogues at the lower quartile, the median and the upper quartile of accuracy, for the first seed.

    The rule, not a person, picks them: neither the best nor the worst case stands for the rest.
    """
    seed = material.metrics.seeds[0].seed
    rows = material.predictions
    rows = rows[(rows["seed"] == seed) & (rows["split"] == material.metrics.scored.value)]
    chosen = _quartiles(rows)
    if not chosen:
        return Html("")
    legend = [
        tag("span", label, class_="chip", style=_chip(material.colours[label])) for label in material.metrics.labels
    ]
    parts = [_dialogue(rows[rows["dialogue"] == name], name, material) for name in chosen]
    lead = (
        f"Seed {seed}, one square a turn, a cross where the prediction is wrong. Shown are the dialogues at the lower "
        "quartile, the median and the upper quartile of accuracy."
    )
    return section("Dialogues along time", tag("div", *legend, class_="legend"), *parts, lead=lead)


def _quartiles(rows: pd.DataFrame) -> list[str]:
    """Up to three dialogues, from hard to easy; equal accuracies are ordered by id."""
    labelled = rows[rows["true"].notna()]
    right = (labelled["true"] == labelled["predicted"]).groupby(labelled["dialogue"])
    accuracy = right.mean()[right.size() >= LONG_ENOUGH]
    ordered = [str(name) for name in accuracy.sort_index().sort_values(kind="stable").index]
    if len(ordered) <= SHOWN:
        return ordered
    return [ordered[(len(ordered) - 1) * quarter // 4] for quarter in (1, 2, 3)]


def _dialogue(rows: pd.DataFrame, name: str, material: Material) -> Html:
    true = [None if pd.isna(label) else str(label) for label in rows["true"]]
    predicted = [str(label) for label in rows["predicted"]]
    scored = [label == guess for label, guess in zip(true, predicted, strict=True) if label is not None]
    title = f"{name}: {sum(scored)} of {len(scored)} right"
    parts = [tag("h3", title), dialogue_strip(true, predicted, material.colours)]
    if any(utterance in material.context.lines for utterance in rows["utterance"]):
        parts.append(_lines(rows, true, predicted, material))
    return join(parts)


def _lines(rows: pd.DataFrame, true: list[str | None], predicted: list[str], material: Material) -> Html:
    cells: list[list[Child]] = []
    for turn, utterance in enumerate(rows["utterance"][:LINES]):
        line = material.context.lines.get(str(utterance))
        guess = predicted[turn]
        probability = float(rows[f"p_{guess}"].iloc[turn])
        label = true[turn]
        cells.append(
            [
                turn + 1,
                line.speaker if line else "",
                line.text if line else str(utterance),
                tag("span", label, class_="chip", style=_chip(material.colours[label])) if label else "–",
                join([tag("span", guess, class_="chip", style=_chip(material.colours[guess])), f" {probability:.2f}"]),
            ]
        )
    parts = [table(["", "Speaker", "Line", "True", "Predicted, probability"], cells, "turns")]
    if len(rows) > LINES:
        parts.append(tag("p", f"and {count(len(rows) - LINES, 'more turn')}", class_="lead"))
    return join(parts)


def _chip(colour: str) -> str:
    return f"background:{colour};color:{ink_on(colour)}"
