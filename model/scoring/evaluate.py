"""The evaluation of a finished run: each seed's chosen checkpoint predicts validation and test once.

All scores are computed from these predictions. Most public code of this field picks the epoch on the test split. What
that would have shown is reported beside the scores and marked: the inflation is a result, the picked score is not.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from bigfusion.model.data.batch import UNLABELLED, Dialogue
from bigfusion.model.data.dialogues import Data, check_modalities, true_labels, utterance_digest
from bigfusion.model.runs import checkpoint
from bigfusion.model.runs.checkpoint import Checkpoint, CheckpointFacts
from bigfusion.model.runs.files import Record, read_record, write_file, write_record
from bigfusion.model.runs.folder import METRICS, PREDICTIONS, TEST_EPOCHS, TRAINED, Trained, finished_seeds
from bigfusion.model.runs.sizes import split_size
from bigfusion.model.runs.tensors import read_tensors
from bigfusion.model.scoring.calibration import calibration
from bigfusion.model.scoring.compare import intervals
from bigfusion.model.scoring.metrics import emotion_shifts, scores
from bigfusion.model.scoring.predict import choose_device, predict
from bigfusion.model.scoring.results import Metrics, Picked, SeedResult, summarise
from bigfusion.model.scoring.together import together
from bigfusion.model.seed import deterministic
from bigfusion.pipeline.errors import TrainingError
from bigfusion.pipeline.schema import Split


def evaluate(
    run: Path,
    data: Data,
    seeds: Sequence[int] | None = None,
    device: str = "auto",
    progress: Callable[[int], None] = lambda seed: None,
    out: Path | None = None,
) -> Metrics:
    """Score ``seeds`` of a run folder (``None`` means all).

    Writes ``predictions.parquet`` and ``metrics.json`` into ``out``, or into the run's own folder. The test split is
    scored, or the validation split if the test split has no label; ``Metrics.scored`` names it. ``progress`` is called
    with each seed that is done.

    Raises:
        TrainingError: a seed is missing or unfinished, a checkpoint does not fit the data, or nothing has a label.
    """
    scored = _scored_split(data)
    where = choose_device(device)
    facts: list[CheckpointFacts] = []
    results: list[SeedResult] = []
    tables: list[pa.Table] = []
    for folder in finished_seeds(run, seeds):
        chosen = checkpoint.load(folder, where)
        check_fit(folder, chosen.facts, facts[0] if facts else chosen.facts, data)
        facts.append(chosen.facts)
        with deterministic(chosen.facts.train.threads):
            result, table = _score_seed(folder, chosen, data, scored, where)
        results.append(result)
        tables.append(table)
        progress(chosen.facts.seed)
    splits = facts[0].data.splits | {
        split: split_size(data, split) for split in (Split.VALID, Split.TEST) if data[split] or split is Split.TEST
    }
    metrics = summarise(results, data, scored, splits, facts[0].model.fitted_at_once)
    predictions = pa.concat_tables(tables)
    as_one = together(predictions, scored, data.labels)
    metrics = metrics.model_copy(update={"interval": intervals(predictions), "together": as_one})
    write_scores(out or run, predictions, metrics)
    return metrics


def _scored_split(data: Data) -> Split:
    for split in (Split.TEST, Split.VALID):
        if (true_labels(data[split]) != UNLABELLED).any():
            return split
    raise TrainingError("splits test and valid: expected labelled utterances to score, found none; label some")


def check_fit(folder: Path, facts: CheckpointFacts, first: CheckpointFacts, data: Data) -> None:
    """Check that a seed's checkpoint fits ``data``, and was trained as the ``first`` seed was.

    Raises:
        TrainingError: it was trained on other labels, widths, settings or data.
    """
    if facts.labels != data.labels:
        raise TrainingError(
            f"{folder}: was trained on the labels {', '.join(facts.labels)}, found {', '.join(data.labels)}; "
            "evaluate on the corpus that it was trained on"
        )
    check_modalities(data.widths, facts.model)
    for name in facts.model.chosen(facts.widths):
        if data.widths.get(name) != facts.widths[name]:
            raise TrainingError(
                f"{folder}: expected {name} features of width {facts.widths[name]}, found {data.widths.get(name)}; "
                "extract them with the settings of the training, or train again"
            )
    same = facts.model == first.model and facts.data == first.data
    if not same or facts.train.numbers() != first.train.numbers():
        raise TrainingError(
            f"{folder}: was trained with other settings or data than seed {first.seed}; train the run again"
        )


def _score_seed(
    folder: Path, chosen: Checkpoint, data: Data, scored: Split, device: torch.device
) -> tuple[SeedResult, pa.Table]:
    """One seed's scores and its rows of ``predictions.parquet``."""
    batch_size, classes = chosen.facts.train.batch_size, len(data.labels)
    probabilities: dict[Split, NDArray[np.float32]] = {}
    tables = []
    for split in (Split.VALID, Split.TEST):
        if data[split]:
            logits = predict(chosen.network, data[split], device, batch_size)  # (U, C)
            probabilities[split] = logits.softmax(1).numpy()
            tables.append(_rows(chosen.facts.seed, split, data, probabilities[split]))
    true, found = true_labels(data[scored]), probabilities[scored].argmax(1)
    shifted, steady = emotion_shifts(data[scored])
    valid = true_labels(data.valid)
    result = SeedResult(
        seed=chosen.facts.seed,
        epoch=chosen.facts.epoch,
        epochs=read_record(folder / TRAINED, Trained).epochs,
        **dict(scores(true, found, classes)),
        valid=scores(valid, probabilities[Split.VALID].argmax(1), classes) if (valid != UNLABELLED).any() else None,
        shift=scores(true[shifted], found[shifted], classes),
        steady=scores(true[steady], found[steady], classes),
        calibration=calibration(probabilities[scored], true),
        picked_on_test=_picked_on_test(folder, data) if scored is Split.TEST else None,
    )
    return result, pa.concat_tables(tables)


def _picked_on_test(folder: Path, data: Data) -> Picked | None:
    """The epoch with the best test score. ``None`` if training stored no predictions of this very test split."""
    if not (folder / TEST_EPOCHS).exists():
        return None
    tensors, facts, _ = read_tensors(folder / TEST_EPOCHS)
    if facts["utterances"] != utterance_digest(data.test):
        return None
    true = true_labels(data.test)
    epochs = [scores(true, row.astype(np.int64), len(data.labels)) for row in tensors["classes"].numpy()]
    best = int(np.argmax([epoch.weighted_f1 for epoch in epochs]))
    return Picked(epoch=best + 1, weighted_f1=epochs[best].weighted_f1)


def _rows(seed: int, split: Split, data: Data, probabilities: NDArray[np.float32]) -> pa.Table:
    """Predictions of one split: seed, split, dialogue, utterance, speaker, true, predicted, ``p_LABEL`` each."""
    dialogues: Sequence[Dialogue] = data[split]
    names = [*data.labels, None]  # UNLABELLED = -1 selects the last
    count = len(probabilities)
    columns = {
        "seed": pa.array([seed] * count, pa.int32()),
        "split": pa.array([split.value] * count, pa.string()),
        "dialogue": pa.array([d.id for d in dialogues for _ in d.utterances], pa.string()),
        "utterance": pa.array([utterance for d in dialogues for utterance in d.utterances], pa.string()),
        "speaker": pa.array(np.concatenate([d.speakers for d in dialogues]), pa.int32()),
        "true": pa.array([names[label] for label in true_labels(dialogues)], pa.string()),
        "predicted": pa.array([names[label] for label in probabilities.argmax(1)], pa.string()),
    }
    columns |= {f"p_{label}": pa.array(probabilities[:, index]) for index, label in enumerate(data.labels)}
    return pa.table(columns)


def write_scores(folder: Path, predictions: pa.Table, metrics: Record) -> None:
    """Write ``predictions.parquet`` and ``metrics.json``, the scores that were computed from it.

    The former scores go when the new predictions are on the disk. So a full disk leaves what was there, and a kill at
    any moment either no scores, or those of the predictions.
    """
    content = parquet(predictions)
    write_file(folder / PREDICTIONS, content, before=lambda: (folder / METRICS).unlink(missing_ok=True))
    write_record(folder / METRICS, metrics)


def parquet(table: pa.Table) -> bytes:
    """A table as the bytes of a Parquet file."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, write_page_checksum=True)
    return buffer.getvalue()
