"""Scores by speaker, by length of the utterance and by position in the dialogue."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bigfusion.model.report.dialogues import Turn, told
from bigfusion.model.report.markup import Child, Html, section, table, tag
from bigfusion.model.report.material import Material
from bigfusion.model.report.wording import points
from bigfusion.model.scoring.metrics import scores
from bigfusion.pipeline.words import UNSPACED, numbered, word_count

_SPEAKERS = 12
_WORDS = ((1, 2), (3, 5), (6, 10), (11, 20), (21, None))
_PLACES = ((1, 2), (3, 5), (6, 10), (11, 20), (21, 50), (51, None))

Bounds = tuple[int, int | None]


def people(material: Material) -> Html:
    """The section of these scores. Empty if no turn has a label."""
    every = told(material)
    turns = [turn for one in every for turn in one.turns if turn.true is not None]
    if not turns:
        return Html("")
    parts: list[Child] = []
    unspaced = any(UNSPACED.search(turn.text) for turn in turns)
    if material.context.lines:
        parts.append(table(["Speaker", *_HEAD], _speakers(turns, material), name="speakers"))
        unit = "words or characters" if unspaced else "words"
        words = _bands(turns, [word_count(turn.text) for turn in turns], _WORDS, unit, material)
        parts.append(table(["Length of the line", *_HEAD], words, name="line-lengths"))
    places = [place for one in every for place, turn in enumerate(one.turns, start=1) if turn.true is not None]
    parts.append(
        table(["Place in the dialogue", *_HEAD], _bands(turns, places, _PLACES, "turns", material), name="places")
    )
    lead = (
        "Predictions of the seeds' mean probabilities. Small groups wander: see the number of turns before the score."
    )
    if unspaced:
        lead += " Chinese, Japanese and other scripts that put no spaces between words are counted in characters."
    return section("Speakers and lengths", tag("div", *parts, class_="side"), lead=lead)


_HEAD = ("Turns", "Weighted F1", "Accuracy")


def _speakers(turns: Sequence[Turn], material: Material) -> list[list[Child]]:
    names, counts = np.unique([turn.speaker for turn in turns], return_counts=True)
    ordered = [str(names[index]) for index in np.argsort(-counts, kind="stable")]
    of = {name: [turn for turn in turns if turn.speaker == name] for name in ordered}
    rows: list[list[Child]] = [[name, *_scored(of[name], material)] for name in ordered[:_SPEAKERS]]
    if others := ordered[_SPEAKERS:]:
        rest = [turn for name in others for turn in of[name]]
        rows.append([numbered(len(others), "other"), *_scored(rest, material)])
    return rows


def _bands(
    turns: Sequence[Turn], sizes: Sequence[int], bands: Sequence[Bounds], unit: str, material: Material
) -> list[list[Child]]:
    rows: list[list[Child]] = []
    for low, high in bands:
        inside = [
            turn for turn, size in zip(turns, sizes, strict=True) if low <= size and (high is None or size <= high)
        ]
        if inside:
            name = f"{low} to {high} {unit}" if high else f"{low} {unit} or more"
            rows.append([name, *_scored(inside, material)])
    return rows


def _scored(turns: Sequence[Turn], material: Material) -> list[Child]:
    code = {label: index for index, label in enumerate(material.metrics.labels)}
    true = np.array([code[str(turn.true)] for turn in turns])
    guess = np.array([code[turn.guess] for turn in turns])
    found = scores(true, guess, len(code))
    return [len(turns), points(found.weighted_f1), points(found.accuracy)]
