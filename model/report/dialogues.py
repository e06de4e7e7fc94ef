"""Every scored dialogue, turn by turn: true label, predicted label and text. The page's script filters them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

import numpy as np
import pandas as pd

from bigfusion.model.report.figures import ink_on
from bigfusion.model.report.markup import Child, Html, join, section, tag
from bigfusion.model.report.material import Material
from bigfusion.pipeline.words import numbered

LONG_ENOUGH, OPEN = 4, 3
"""The labelled turns that a dialogue needs to stand for others, and how many dialogues are open at first."""
_LISTED_SPEAKERS = 40


@dataclass(frozen=True)
class Turn:
    """One turn. ``guess`` is the likeliest class by the seeds' mean probabilities, ``probability`` its mean."""

    utterance: str
    speaker: str
    text: str
    true: str | None
    guess: str
    probability: float

    @property
    def wrong(self) -> bool:
        """Whether the turn has a label, and the prediction differs from it."""
        return self.true is not None and self.true != self.guess


@dataclass(frozen=True)
class Told:
    """One dialogue's turns, in order."""

    name: str
    turns: tuple[Turn, ...]

    @property
    def labelled(self) -> int:
        """Turns that have a label."""
        return sum(turn.true is not None for turn in self.turns)

    @property
    def right(self) -> int:
        """Labelled turns whose prediction is the label."""
        return self.labelled - sum(turn.wrong for turn in self.turns)

    @property
    def accuracy(self) -> float:
        """Share of right turns among the labelled; 1 if none is labelled."""
        return self.right / self.labelled if self.labelled else 1.0


def told(material: Material) -> list[Told]:
    """The scored split's dialogues, predicted by the seeds' mean probabilities. The worst come first, then by id."""
    rows = material.predictions[material.predictions["split"] == material.metrics.scored.value]
    columns = [f"p_{label}" for label in material.metrics.labels]
    mean = rows.groupby(["dialogue", "utterance"], sort=False)[columns].mean()
    first = rows.drop_duplicates(["dialogue", "utterance"]).set_index(["dialogue", "utterance"])
    probabilities = mean.to_numpy()
    best = probabilities.argmax(1)
    found: dict[str, list[Turn]] = {}
    for row, (dialogue, utterance) in enumerate(mean.index):
        line, known = material.context.lines.get(str(utterance)), first.loc[(dialogue, utterance)]
        turn = Turn(
            utterance=str(utterance),
            speaker=line.speaker if line else f"speaker {int(known['speaker']) + 1}",
            text=line.text if line else "",
            true=None if pd.isna(known["true"]) else str(known["true"]),
            guess=material.metrics.labels[best[row]],
            probability=float(probabilities[row, best[row]]),
        )
        found.setdefault(str(dialogue), []).append(turn)
    dialogues = [Told(name, tuple(turns)) for name, turns in found.items()]
    return sorted(dialogues, key=lambda one: (one.accuracy, one.name))


def dialogues(material: Material) -> Html:
    """All scored dialogues, the worst first. A print shows three: those at the quartiles of accuracy."""
    every = told(material)
    if not any(one.labelled for one in every):
        return Html("")
    printed = set(quartiles(every))
    legend = [
        tag("span", label, class_="chip", style=_chip(material.colours[label])) for label in material.metrics.labels
    ]
    parts = [_dialogue(one, material, index < OPEN, one.name in printed) for index, one in enumerate(every)]
    lead = (
        f"All {numbered(len(every), 'dialogue')}, those with the largest share of wrong turns first. The upper lane is "
        "the true label, the lower one the prediction of the seeds' mean probabilities; a frame marks a wrong turn. "
    )
    paper = tag("span", "In print: the dialogues at the quartiles of accuracy.", class_="in-print")
    return section(
        "Dialogues along time",
        tag("div", *legend, class_="legend"),
        _filter(every, material),
        *parts,
        lead=join([lead, paper]),
    )


def quartiles(every: Sequence[Told]) -> list[str]:
    """Up to three dialogues at the quartiles of accuracy. A fixed rule picks them, so that nobody picks the nicest."""
    ordered = [one.name for one in every if one.labelled >= LONG_ENOUGH]
    if len(ordered) <= 3:
        return ordered
    return [ordered[(len(ordered) - 1) * quarter // 4] for quarter in (1, 2, 3)]


def _filter(every: Sequence[Told], material: Material) -> Html:
    """The filter. The page's script shows it, because it does nothing without the script."""
    names, counts = np.unique([turn.speaker for one in every for turn in one.turns], return_counts=True)
    speakers = sorted(names[np.argsort(-counts, kind="stable")][:_LISTED_SPEAKERS].tolist())
    labels = material.metrics.labels
    return tag(
        "form",
        tag("label", "Search ", tag("input", name="text", type="search", placeholder="words, speaker, id")),
        _choice("True", "true", labels),
        _choice("Predicted", "predicted", labels),
        _choice("Speaker", "speaker", speakers),
        tag("label", tag("input", name="wrong", type="checkbox"), " wrong turns only"),
        tag("button", "Clear", type="reset"),
        tag("output", ""),
        id="filter",
        hidden="",
    )


def _choice(title: str, name: str, values: Sequence[str]) -> Html:
    options = [tag("option", "any", value=""), *(tag("option", value, value=value) for value in values)]
    return tag("label", f"{title} ", tag("select", *options, name=name))


def _dialogue(one: Told, material: Material, opened: bool, printed: bool) -> Html:
    title = tag("b", one.name), tag("span", f" {one.right} of {one.labelled} right", class_="facts")
    page = material.context.pages.get(one.name)
    link = [tag("a", "play", href=quote(page), title="the dialogue beside its media")] if page else []
    cells = [_square(number, turn, material.colours) for number, turn in enumerate(one.turns, start=1)]
    summary = tag("summary", tag("span", *title), *link, tag("span", *cells, class_="strip"))
    return tag(
        "details",
        summary,
        _turns(one, material),
        class_="dialogue printed" if printed else "dialogue",
        open="" if opened else None,
    )


def _square(number: int, turn: Turn, colours: dict[str, str]) -> Html:
    true = f"background:{colours[turn.true]}" if turn.true else None
    lanes = tag("i", style=true), tag("i", style=f"background:{colours[turn.guess]}")
    said = f"turn {number}: true {turn.true or 'unlabelled'}, predicted {turn.guess} ({turn.probability:.2f})"
    return tag("span", *lanes, class_="wrong" if turn.wrong else None, title=said)


def _turns(one: Told, material: Material) -> Html:
    head = tag("tr", *(tag("th", name, scope="col") for name in ("", "Speaker", "Line", "True", "Predicted")))
    rows = []
    for number, turn in enumerate(one.turns, start=1):
        true: Child = "–" if turn.true is None else _label(turn.true, material)
        cells = (
            tag("th", number, scope="row"),
            tag("td", turn.speaker),
            tag("td", turn.text or turn.utterance),
            tag("td", true, data_title="true"),
            tag("td", _label(turn.guess, material), f" {turn.probability:.2f}", data_title="predicted"),
        )
        data = {"data_true": turn.true, "data_predicted": turn.guess, "data_speaker": turn.speaker}
        rows.append(tag("tr", *cells, **data, data_wrong="" if turn.wrong else None))
    return tag("table", tag("thead", head), tag("tbody", *rows), class_="turns")


def _label(label: str, material: Material) -> Html:
    return tag("span", label, class_="chip", style=_chip(material.colours[label]))


def _chip(colour: str) -> str:
    return f"background:{colour};color:{ink_on(colour)}"
