"""Are several networks together better than the best one? The mean of their probabilities, on a table that was made.

Every pair and triple of a table's rows is scored as the table scores a row, on the utterances that no network of the
fold has seen, and compared with the reference row by the paired bootstrap over dialogues. A combination that is picked
here is picked on what it is scored on: the best of many is somewhat too high.

Run from the project's root, on what `bigfusion reproduce --table 2 --scheme sessions` has written:
    python -m tests.benchmarks.bench_combinations TABLE.json [--reference bigfusion] [--shown 5]
"""

from __future__ import annotations

import argparse
import json
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from bigfusion.model.runs.folder import PREDICTIONS
from bigfusion.model.scoring.compare import Comparison, compare

ORDER = ["seed", "dialogue", "utterance"]


def predictions(folder: Path, runs: list[str]) -> pd.DataFrame:
    """A row's scored predictions, all folds together."""
    parts = [pd.read_parquet(folder / "runs" / run / PREDICTIONS) for run in runs]
    table = pd.concat([part[(part["split"] == "test") & part["true"].notna()] for part in parts])
    return table.sort_values(ORDER).reset_index(drop=True)


def together(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """The mean of the probabilities, and the class that it makes likeliest."""
    columns = [name for name in tables[0].columns if name.startswith("p_")]
    for table in tables[1:]:
        assert table[ORDER].equals(tables[0][ORDER])
    mean = sum(table[columns] for table in tables) / len(tables)
    predicted = mean.idxmax(axis="columns").str.removeprefix("p_")
    return tables[0].assign(predicted=predicted, **{name: mean[name] for name in columns})


def main() -> None:
    """Score every pair and triple, and print the best beside the reference."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("--reference", default="bigfusion")
    parser.add_argument("--shown", type=int, default=5)
    arguments = parser.parse_args()
    rows = {row["key"]: row for row in json.loads(arguments.table.read_text())["rows"] if "failed" not in row}
    each = {key: predictions(arguments.table.parent, row["runs"]) for key, row in rows.items()}
    found: list[tuple[tuple[str, ...], Comparison]] = []
    with TemporaryDirectory() as place:
        reference, other = Path(place, "reference"), Path(place, "other")
        reference.mkdir()
        other.mkdir()
        each[arguments.reference].to_parquet(reference / PREDICTIONS)
        for keys in (*combinations(each, 2), *combinations(each, 3)):
            together([each[key] for key in keys]).to_parquet(other / PREDICTIONS)
            found.append((keys, compare(reference, other, resamples=2_000)))
    found.sort(key=lambda one: -one[1].weighted_f1.difference)
    print(f"{arguments.reference}: WF1 {100 * found[0][1].weighted_f1.first:.2f}; best of {len(found)} combinations:")
    for keys, comparison in found[: arguments.shown]:
        score = comparison.weighted_f1
        assert score.low is not None and score.high is not None, "more than one dialogue"
        error = (score.high - score.low) / (2 * 1.96)
        print(
            f"  {' + '.join(keys):<40} {100 * score.second:.2f}  {100 * score.difference:+.2f}"
            f" [{100 * score.low:+.2f}, {100 * score.high:+.2f}], {score.difference / error:.1f} standard errors"
        )


if __name__ == "__main__":
    main()
