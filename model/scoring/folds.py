"""The scores of a cross-validation: the test predictions of all folds, pooled seed by seed.

Every dialogue of the corpus is tested once, by the model of its fold. A seed's pooled predictions are scored as those
of one test split. The folds' own scores stand beside them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bigfusion.model.data.dialogues import Data, true_labels
from bigfusion.model.network_settings.base import NetworkSettings
from bigfusion.model.runs.checkpoint import FACTS, CheckpointFacts
from bigfusion.model.runs.files import read_record
from bigfusion.model.runs.folder import PREDICTIONS, seed_folder
from bigfusion.model.runs.sizes import SplitSize, split_size
from bigfusion.model.scoring.calibration import calibration
from bigfusion.model.scoring.compare import intervals
from bigfusion.model.scoring.evaluate import write_scores
from bigfusion.model.scoring.metrics import emotion_shifts, scores
from bigfusion.model.scoring.results import FoldScore, Metrics, SeedResult, read_metrics, summarise
from bigfusion.model.scoring.together import together
from bigfusion.pipeline.errors import TrainingError
from bigfusion.pipeline.schema import Split


def pool(run: Path, folders: Mapping[str, Path], data: Mapping[str, Data]) -> Metrics:
    """Pool the folds that :func:`evaluate` has scored, and write ``predictions.parquet`` and ``metrics.json``.

    Raises:
        TrainingError: a fold was not scored, or not on its test split.
    """
    found = {name: read_metrics(folder) for name, folder in folders.items()}
    for name, metrics in found.items():
        if metrics.scored is not Split.TEST:
            raise TrainingError(f"{folders[name]}: expected labelled utterances in the fold {name}, found none")
    labels = next(iter(data.values())).labels
    whole = Data(labels, [], [], [dialogue for part in data.values() for dialogue in part.test])
    tables = [pq.read_table(folder / PREDICTIONS) for folder in folders.values()]
    table = pa.concat_tables(one.filter(pc.equal(one["split"], Split.TEST.value)) for one in tables)
    seeds = [seed.seed for seed in next(iter(found.values())).seeds]
    results = [_seed_result(seed, found, table, whole) for seed in seeds]
    size = split_size(whole, Split.TEST)
    nothing = SplitSize(dialogues=0, utterances=0, labels=dict.fromkeys(labels, 0))
    splits = {Split.TRAIN: size, Split.VALID: nothing, Split.TEST: size}
    model = read_record(seed_folder(next(iter(folders.values())), seeds[0]) / FACTS, CheckpointFacts).model
    metrics = summarise(results, whole, Split.TEST, splits, model.fitted_at_once)
    metrics = metrics.model_copy(
        update={
            "interval": intervals(table),
            "together": together(table, Split.TEST, labels),
            "splits": {Split.TRAIN: nothing, Split.VALID: nothing, Split.TEST: size},
            "folds": tuple(_fold_score(name, one, model) for name, one in found.items()),
        }
    )
    write_scores(run, table, metrics)
    return metrics


def _seed_result(seed: int, folds: Mapping[str, Metrics], table: pa.Table, whole: Data) -> SeedResult:
    """One seed's scores over all folds. The epochs of the folds differ: their sum is the seed's."""
    rows = table.filter(pc.equal(table["seed"], seed))
    probabilities: NDArray[np.float32] = np.stack([rows[f"p_{label}"].to_numpy() for label in whole.labels], axis=1)
    true, found = true_labels(whole.test), probabilities.argmax(1)
    shifted, steady = emotion_shifts(whole.test)
    classes = len(whole.labels)
    own = [next(one for one in metrics.seeds if one.seed == seed) for metrics in folds.values()]
    return SeedResult(
        seed=seed,
        epoch=sum(one.epoch for one in own),
        epochs=sum(one.epochs for one in own),
        **dict(scores(true, found, classes)),
        valid=None,
        shift=scores(true[shifted], found[shifted], classes),
        steady=scores(true[steady], found[steady], classes),
        calibration=calibration(probabilities, true),
        picked_on_test=None,
    )


def _fold_score(name: str, metrics: Metrics, model: NetworkSettings) -> FoldScore:
    taught = (Split.TRAIN, Split.VALID) if model.learns_from_validation else (Split.TRAIN,)
    return FoldScore(
        name=name,
        weighted_f1=metrics.weighted_f1,
        accuracy=metrics.accuracy,
        macro_f1=metrics.macro_f1,
        valid_weighted_f1=None if metrics.valid is None else metrics.valid.weighted_f1,
        train=sum(sum(metrics.splits[split].labels.values()) for split in taught),
        utterances=sum(metrics.splits[Split.TEST].labels.values()),
    )
