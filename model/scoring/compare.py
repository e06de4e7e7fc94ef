"""Two runs on the same dialogues: the difference of their scores, and its uncertainty (paired bootstrap).

The bootstrap resamples dialogues, not utterances (Efron and Tibshirani's bootstrap on clusters). The turns of one
dialogue share speakers, topic and mood. If they counted as independent, every difference would look too certain.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from bigfusion.model.runs.files import Record
from bigfusion.model.runs.folder import PREDICTIONS
from bigfusion.model.scoring.results import Interval, Intervals
from bigfusion.pipeline.errors import TrainingError
from bigfusion.pipeline.schema import Split

NAMES = ("weighted_f1", "accuracy", "macro_f1")
COLUMNS = ["seed", "split", "dialogue", "utterance", "true", "predicted"]
FEW = 10
"""Of fewer dialogues a bootstrap knows too little: its intervals are too narrow, and its p is too small."""
_CHUNK = 500


class Difference(Record):
    """``second`` - ``first`` of one score, as fractions; the interval holds 95 % of the resampled differences.

    ``p`` is two-sided: about twice the share of resampled differences on the rarer side of 0, where 0 counts for
    both sides; at most 1. All three are ``None`` if there is one dialogue alone, which cannot be resampled.
    """

    first: float
    second: float
    difference: float
    low: float | None
    high: float | None
    p: float | None


class Comparison(Record):
    """Scores of two runs, each a mean over its seeds, on the same dialogues. ``scored`` is the split of each run."""

    weighted_f1: Difference
    accuracy: Difference
    macro_f1: Difference
    dialogues: int
    utterances: int
    scored: tuple[Split, Split]
    seeds: tuple[int, int]
    resamples: int


@dataclass(frozen=True)
class Counts:
    """Confusion counts of each seed in each dialogue. Shape: ``matrices`` (S, D, C, C)."""

    matrices: NDArray[np.int64]
    truth: pd.Series[str]


def compare(first: Path, second: Path, resamples: int = 10_000, seed: int = 0) -> Comparison:
    """Compare the predictions in two folders, drawing dialogues ``resamples`` times.

    Raises:
        TrainingError: a folder holds no predictions, or the two did not score the same utterances.
    """
    tables = [_scored(folder) for folder in (first, second)]
    labels = sorted({*tables[0]["true"], *tables[1]["true"], *tables[0]["predicted"], *tables[1]["predicted"]})
    one, other = (_counts(table, labels) for table in tables)
    if not one.truth.equals(other.truth):
        raise TrainingError(
            f"{first} and {second}: expected the same utterances with the same labels, found {len(one.truth)} and "
            f"{len(other.truth)} that differ; evaluate both runs on the same dialogues"
        )
    dialogues = one.matrices.shape[1]
    drawn = bootstrap(one.matrices, other.matrices, resamples, seed) if dialogues > 1 else None  # (resamples, 3)
    values = [scores_of(counts.matrices.sum(1)).mean(0) for counts in (one, other)]  # each (3,)
    found = {
        name: _difference(values[0][k], values[1][k], None if drawn is None else drawn[:, k])
        for k, name in enumerate(NAMES)
    }
    return Comparison(
        **found,
        dialogues=dialogues,
        utterances=len(one.truth),
        scored=(Split(tables[0]["split"].iloc[0]), Split(tables[1]["split"].iloc[0])),
        seeds=(len(one.matrices), len(other.matrices)),
        resamples=resamples,
    )


def too_few(dialogues: int) -> str:
    """What intervals and p of a comparison over so few dialogues are worth. Empty if they are enough."""
    if dialogues < 2:
        return "one dialogue cannot be drawn again: there is no interval and no p; score more dialogues"
    few = f"{dialogues} dialogues are few: the intervals are too narrow and p too small; score {FEW} or more"
    return few if dialogues < FEW else ""


def intervals(predictions: pa.Table, resamples: int = 10_000, seed: int = 0) -> Intervals | None:
    """How much the scores of predictions depend on which dialogues were scored.

    Percentile bootstrap over dialogues. ``None`` if fewer than two dialogues were scored, too few to resample.
    """
    table = _labelled(predictions.select(COLUMNS).to_pandas())
    matrices = _counts(table, sorted({*table["true"], *table["predicted"]})).matrices
    if matrices.shape[1] < 2:
        return None
    drawn = resampled(matrices, resamples, seed)  # (resamples, 3)
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    found = {name: Interval(low=float(low[k]), high=float(high[k])) for k, name in enumerate(NAMES)}
    return Intervals(**found, dialogues=matrices.shape[1], resamples=resamples)


def bootstrap(
    first: NDArray[np.int64], second: NDArray[np.int64], resamples: int, seed: int = 0
) -> NDArray[np.float64]:
    """Differences second - first of the seeds' mean scores, under dialogues drawn with replacement.

    Both runs get the same draws. Shapes: (S1, D, C, C), (S2, D, C, C) -> (resamples, 3), in the order of ``NAMES``.
    """
    return resampled(second, resamples, seed) - resampled(first, resamples, seed)


def resampled(matrices: NDArray[np.int64], resamples: int, seed: int = 0) -> NDArray[np.float64]:
    """The seeds' mean scores under dialogues drawn with replacement; equal ``seed`` and D give equal draws.

    Shapes: (S, D, C, C) -> (resamples, 3), in the order of ``NAMES``.
    """
    random = np.random.default_rng(seed)
    dialogues = matrices.shape[1]
    parts = []
    for start in range(0, resamples, _CHUNK):
        rows = min(_CHUNK, resamples - start)
        drawn = random.multinomial(dialogues, np.full(dialogues, 1 / dialogues), size=rows)  # (R, D)
        parts.append(scores_of(np.einsum("rd,sdij->rsij", drawn, matrices, optimize=True)).mean(1))  # (R, 3)
    return np.concatenate(parts)


def scores_of(matrices: NDArray[np.int64]) -> NDArray[np.float64]:
    """Weighted F1, accuracy and macro F1 of confusion matrices, as :func:`scores` defines them.

    Shapes: (..., C, C) -> (..., 3).
    """
    hits = np.diagonal(matrices, axis1=-2, axis2=-1).astype(np.float64)  # (..., C)
    support, chosen = matrices.sum(-1), matrices.sum(-2)
    f1 = 2 * hits / np.maximum(support + chosen, 1)
    total = np.maximum(support.sum(-1), 1)
    occurring = np.maximum(((support + chosen) > 0).sum(-1), 1)
    return np.stack([(f1 * support).sum(-1) / total, hits.sum(-1) / total, f1.sum(-1) / occurring], axis=-1)


def _difference(first: float, second: float, drawn: NDArray[np.float64] | None) -> Difference:
    if drawn is None:
        return Difference(first=first, second=second, difference=second - first, low=None, high=None, p=None)
    low, high = np.quantile(drawn, [0.025, 0.975])
    beyond = min((drawn <= 0).sum(), (drawn >= 0).sum())
    return Difference(
        first=first,
        second=second,
        difference=second - first,
        low=float(low),
        high=float(high),
        p=min(1.0, 2 * (int(beyond) + 1) / (len(drawn) + 1)),
    )


def _scored(folder: Path) -> pd.DataFrame:
    """The labelled rows of the split that was scored."""
    path = folder / PREDICTIONS
    try:
        table = pd.read_parquet(path, columns=COLUMNS)
    except FileNotFoundError:
        raise TrainingError(f"{path}: expected a run's predictions, found none; evaluate the run first") from None
    except (OSError, ValueError) as error:
        first = str(error).splitlines()[0]
        raise TrainingError(f"{path}: expected a table of predictions, found {first}; evaluate again") from None
    if pd.api.types.is_numeric_dtype(table["true"]):
        raise TrainingError(f"{path}: expected predicted classes, found numbers (corpus.task = regression)")
    return _labelled(table)


def _labelled(table: pd.DataFrame) -> pd.DataFrame:
    """The labelled rows of the split that was scored."""
    table = table[table["true"].notna()]
    return table[table["split"] == ("test" if (table["split"] == "test").any() else "valid")]


def _counts(table: pd.DataFrame, labels: list[str]) -> Counts:
    """Count the rows. Dialogues are sorted by name, so that their order in the file has no effect."""
    place = {label: code for code, label in enumerate(labels)}
    seed, seeds = pd.factorize(table["seed"], sort=True)
    dialogue, dialogues = pd.factorize(table["dialogue"], sort=True)
    shape = (len(seeds), len(dialogues), len(labels), len(labels))
    matrices = np.zeros(shape, dtype=np.int64)
    np.add.at(matrices, (seed, dialogue, table["true"].map(place), table["predicted"].map(place)), 1)
    truth = table[table["seed"] == seeds[0]].set_index(["dialogue", "utterance"])["true"].sort_index()
    return Counts(matrices, truth)
