"""The evaluation of a run that predicts numbers: each seed's chosen checkpoint predicts the test split once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bigfusion.model.data.dialogues import Data, true_values
from bigfusion.model.runs import checkpoint
from bigfusion.model.runs.files import read_record
from bigfusion.model.runs.folder import TRAINED, Trained, finished_seeds
from bigfusion.model.runs.sizes import SplitSize
from bigfusion.model.scoring.evaluate import check_fit, write_scores
from bigfusion.model.scoring.number_results import NumberMetrics, NumberSeed, ValidScores
from bigfusion.model.scoring.predict import choose_device, predict
from bigfusion.model.scoring.regression_scores import NAMES, NumberScores, number_scores
from bigfusion.model.seed import deterministic
from bigfusion.pipeline.errors import TrainingError
from bigfusion.pipeline.schema import Split


def evaluate_numbers(run: Path, data: Data, seeds: Sequence[int], device: str = "auto") -> NumberMetrics:
    """Score ``seeds`` of a run folder. Writes ``predictions.parquet`` and ``metrics.json`` into it.

    The test split is scored, or the validation split if the test split has no value.

    Raises:
        TrainingError: a seed is missing or unfinished, a checkpoint does not fit the data, or nothing has a value.
    """
    scored = next((one for one in (Split.TEST, Split.VALID) if (~np.isnan(true_values(data[one]))).any()), None)
    if scored is None:
        raise TrainingError("splits test and valid: expected numbers to score, found none; label some utterances")
    where, results, tables, facts = choose_device(device), [], [], None
    true = true_values(data[scored])
    for folder in finished_seeds(run, seeds):
        chosen = checkpoint.load(folder, where, "regression")
        facts = facts or chosen.facts
        check_fit(folder, chosen.facts, facts, data)
        found = {}
        with deterministic(chosen.facts.train.threads):
            for split in (Split.VALID, Split.TEST):
                if data[split]:
                    found[split] = predict(chosen.network, data[split], where, facts.train.batch_size)[:, 0].numpy()
                    tables.append(_rows(chosen.facts.seed, split, data, found[split]))
        results.append(
            NumberSeed(
                **dict(number_scores(true, found[scored])),
                seed=chosen.facts.seed,
                epoch=chosen.facts.epoch,
                epochs=read_record(folder / TRAINED, Trained).epochs,
                valid=number_scores(true_values(data.valid), found[Split.VALID]),
            )
        )
    assert facts is not None
    mean = np.nanmean(true_values(data.train))
    metrics = _summary(results, scored, facts.data.splits, number_scores(true, np.full(len(true), mean)))
    write_scores(run, pa.concat_tables(tables), metrics)
    return metrics


def _summary(
    seeds: Sequence[NumberSeed], scored: Split, splits: dict[Split, SplitSize], mean_of_training: NumberScores
) -> NumberMetrics:
    means: dict[str, Any] = {name: float(np.mean([getattr(seed, name) for seed in seeds])) for name in NAMES}
    several = len(seeds) > 1
    std = {name: float(np.std([getattr(seed, name) for seed in seeds], ddof=1)) for name in NAMES} if several else None
    valid = {name: float(np.mean([getattr(seed.valid, name) for seed in seeds])) for name in NAMES}
    return NumberMetrics(
        **means,
        utterances=seeds[0].utterances,
        scored=scored,
        weighted_f1=means["f1_has0"],
        accuracy=means["accuracy_has0"],
        std=std,
        mean_of_training=mean_of_training,
        valid=ValidScores(mae=valid["mae"], weighted_f1=valid["f1_has0"], accuracy=valid["accuracy_has0"]),
        seeds=tuple(seeds),
        splits=splits,
    )


def _rows(seed: int, split: Split, data: Data, predicted: NDArray[np.float32]) -> pa.Table:
    """Predictions of one split: seed, split, dialogue, utterance, speaker, true, predicted."""
    dialogues, count = data[split], len(predicted)
    return pa.table(
        {
            "seed": pa.array([seed] * count, pa.int32()),
            "split": pa.array([split.value] * count, pa.string()),
            "dialogue": pa.array([one.id for one in dialogues for _ in one.utterances], pa.string()),
            "utterance": pa.array([name for one in dialogues for name in one.utterances], pa.string()),
            "speaker": pa.array(np.concatenate([one.speakers for one in dialogues]), pa.int32()),
            "true": pa.array(true_values(dialogues), pa.float32(), from_pandas=True),
            "predicted": pa.array(predicted, pa.float32()),
        }
    )
