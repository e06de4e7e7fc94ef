from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
import torch

from bigfusion.model.data.batch import UNLABELLED, collate
from bigfusion.model.data.dialogues import Data
from bigfusion.model.layers.objectives import classification_loss
from bigfusion.model.report.material import ReportContext
from bigfusion.model.report.number_table import numbers_table
from bigfusion.model.report.numbers import write_numbers_report
from bigfusion.model.runs import checkpoint
from bigfusion.model.runs.folder import read_history, seed_folder
from bigfusion.model.scoring.compare import compare
from bigfusion.model.scoring.number_results import is_regression, read_number_metrics
from bigfusion.model.scoring.regression import evaluate_numbers
from bigfusion.model.scoring.rescore import validation_score
from bigfusion.model.settings import network_settings
from bigfusion.model.training.train import train
from bigfusion.pipeline.errors import TrainingError
from bigfusion.pipeline.schema import Split
from tests.helpers.small_runs import small_data, small_model, small_training

SEEDS = (0, 1)
CPU = torch.device("cpu")


def valued(dialogue):
    """The first text feature as the number to predict; where there was no label there is none."""
    values = np.where(dialogue.labels == UNLABELLED, np.nan, dialogue.features["text"][:, 0]).astype(np.float32)
    return replace(dialogue, values=values, labels=np.where(np.isnan(values), UNLABELLED, 0))


def numbers():
    data = small_data()
    parts = ([valued(one) for one in part] for part in (data.train, data.valid, data.test))
    return Data(("value",), *parts)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder, data = tmp_path_factory.mktemp("run"), numbers()
    for seed in SEEDS:
        train(data, small_model(dropout=0.0), small_training(learning_rate=0.05), seed, seed_folder(folder, seed))
    return folder, data, evaluate_numbers(folder, data, SEEDS, "cpu")


def test_the_loss_is_the_mean_error_over_the_utterances_that_have_a_number():
    batch = collate(numbers().test[:2])
    found = torch.linspace(-1, 1, batch.mask.numel()).view(*batch.mask.shape, 1)
    real = batch.mask & (batch.labels != UNLABELLED)
    missed = (found[..., 0] - batch.values)[real]  # noqa: PD011 - a tensor
    assert classification_loss(found, batch).item() == pytest.approx(missed.abs().mean().item())
    squared = classification_loss(found, replace(batch, squared=True)).item()
    assert squared == pytest.approx(missed.square().mean().item())
    assert real.sum() == sum(int((~np.isnan(one.values)).sum()) for one in numbers().test[:2])


def test_a_network_learns_numbers_and_beats_the_mean(run):
    folder, _, metrics = run
    assert is_regression(folder)
    assert metrics.scored is Split.TEST
    assert metrics.mae < 0.8 * metrics.mean_of_training.mae
    assert metrics.correlation > 0.5
    assert read_number_metrics(folder) == metrics
    predictions = pd.read_parquet(folder / "predictions.parquet").query("split == 'test' and seed == 1")
    error = (predictions["true"] - predictions["predicted"]).abs().mean()
    assert metrics.seeds[1].mae == pytest.approx(error, abs=1e-6)
    assert predictions["true"].isna().sum() == 1, "unlabelled utterances are predicted and not scored"


def test_the_chosen_epoch_has_the_smallest_error_on_validation(run):
    folder, data, metrics = run
    history = read_history(seed_folder(folder, 0))
    errors = [epoch.valid_mae for epoch in history]
    assert metrics.seeds[0].epoch == 1 + int(np.argmin(errors))
    assert metrics.seeds[0].valid.mae == pytest.approx(min(errors), abs=1e-6)
    assert validation_score(folder, data, SEEDS, "cpu") == pytest.approx(metrics.valid.weighted_f1)


def test_code_for_classes_does_not_take_its_checkpoint_for_one_of_classes(run):
    folder, _, _ = run
    with pytest.raises(TrainingError, match="expected a network of classes, found one of regression"):
        checkpoint.load(seed_folder(folder, 0), CPU)
    with pytest.raises(TrainingError, match="expected predicted classes, found numbers"):
        compare(folder, folder)


def test_the_table_and_the_report_show_the_field_s_scores(run):
    folder, _, metrics = run
    text = numbers_table(folder)
    for title in ("MAE", "correlation", "concordance", "Acc-2, has 0", "F1, non-0", "Acc-5", "Acc-7"):
        assert title in text
    assert f"{metrics.mae:.4f}" in text
    context = ReportContext(corpus="toy", created=datetime(2026, 1, 1, tzinfo=UTC), notes=("a note",))
    page = write_numbers_report(folder, context).read_text()
    assert "Predicted numbers on “toy”" in page
    assert "a note" in page


@pytest.mark.parametrize(
    ("model", "training", "named"),
    [
        ({"graph": {"neighbourhood": {"enabled": True}}}, {}, "model.graph.neighbourhood.enabled"),
        ({"retrieval": {"enabled": True}}, {}, "model.retrieval.enabled"),
        ({"contrast": {"positives": "label"}}, {}, "model.contrast of equal labels"),
        ({}, {"smoothing": 0.1}, "train.smoothing"),
        ({}, {"curriculum": "hcl"}, "train.curriculum"),
    ],
)
def test_what_exists_for_classes_only_is_refused_in_one_line(tmp_path, model, training, named):
    with pytest.raises(TrainingError, match=f"{named}: exists for classes only, found numbers"):
        train(numbers(), small_model(**model), small_training(**training), 0, tmp_path)


def test_a_network_for_classes_only_is_refused(tmp_path):
    logistic = network_settings({"kind": "logistic", "modalities": ["text", "audio"]})
    with pytest.raises(TrainingError, match=r'model\.kind = "logistic": exists for classes only'):
        train(numbers(), logistic, small_training(), 0, tmp_path)
