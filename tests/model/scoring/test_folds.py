from datetime import UTC, datetime

import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, f1_score

from bigfusion.model.data.dialogues import Data
from bigfusion.model.network_settings.discriminant import DiscriminantSettings
from bigfusion.model.report.material import ReportContext
from bigfusion.model.report.page import write_report_of_folds
from bigfusion.model.report.table import table
from bigfusion.model.runs.folder import seed_folder
from bigfusion.model.scoring.evaluate import evaluate
from bigfusion.model.scoring.folds import pool
from bigfusion.model.scoring.results import read_metrics
from bigfusion.model.training.train import train
from bigfusion.pipeline.schema import Split
from tests.helpers.small_runs import LABELS, dialogue, small_model, small_training

SEEDS = (0, 1)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Two folds of six dialogues, each trained with two seeds on the other, and pooled."""
    folder = tmp_path_factory.mktemp("run")
    parts = [[dialogue(f"{name}{number}", 3, 10 * place + number) for number in range(6)]
             for place, name in enumerate("ab")]  # fmt: skip
    data = {"a": Data(LABELS, parts[1][:4], parts[1][4:], parts[0]),
            "b": Data(LABELS, parts[0][:4], parts[0][4:], parts[1])}  # fmt: skip
    folders = {name: folder / f"fold-{name}" for name in data}
    for name, part in data.items():
        for seed in SEEDS:
            train(part, small_model(), small_training(epochs=2), seed, seed_folder(folders[name], seed))
        evaluate(folders[name], part, SEEDS, "cpu")
    return folder, folders, pool(folder, folders, data)


def test_every_utterance_is_scored_once_a_seed(run):
    folder, folders, _ = run
    predictions = pd.read_parquet(folder / "predictions.parquet")
    assert set(predictions["split"]) == {"test"}
    assert len(predictions) == 2 * 36
    assert predictions.groupby("seed")["utterance"].nunique().tolist() == [36, 36]
    alone = pd.read_parquet(folders["b"] / "predictions.parquet").query("split == 'test'")
    assert (
        predictions[predictions["dialogue"].str.startswith("b")]
        .reset_index(drop=True)
        .equals(alone.reset_index(drop=True))
    )


def test_pooled_scores_are_scikit_learns_on_all_predictions(run):
    folder, _, metrics = run
    predictions = pd.read_parquet(folder / "predictions.parquet")
    for seed in metrics.seeds:
        rows = predictions[predictions["seed"] == seed.seed]
        expected = f1_score(rows["true"], rows["predicted"], average="weighted", zero_division=0)
        assert seed.weighted_f1 == pytest.approx(expected)
        assert seed.accuracy == pytest.approx(accuracy_score(rows["true"], rows["predicted"]))
    assert metrics.weighted_f1 == pytest.approx(sum(seed.weighted_f1 for seed in metrics.seeds) / 2)
    assert metrics.splits[Split.TEST].utterances == 36
    assert metrics.splits[Split.TRAIN].utterances == 0
    assert metrics.majority.accuracy == pytest.approx(predictions["true"].value_counts(normalize=True).max()), (
        "of the whole corpus"
    )


def test_each_fold_s_own_scores_stand_beside_them(run):
    folder, folders, metrics = run
    assert [fold.name for fold in metrics.folds] == ["a", "b"]
    for fold in metrics.folds:
        own = read_metrics(folders[fold.name])
        assert (fold.weighted_f1, fold.accuracy, fold.utterances, fold.train) == (own.weighted_f1, own.accuracy, 18, 12)
    assert read_metrics(folder) == metrics


def test_a_fold_counts_the_validation_utterances_that_its_network_learned_from(tmp_path):
    data = Data(LABELS, *([dialogue(f"{name}{number}", 3, number) for number in range(4)] for name in "tvs"))
    settings = DiscriminantSettings(modalities=("text",))
    folders = {"a": tmp_path / "fold-a"}
    for seed in SEEDS:
        train(data, settings, small_training(), seed, seed_folder(folders["a"], seed))
    evaluate(folders["a"], data, SEEDS, "cpu")
    metrics = pool(tmp_path, folders, {"a": data})
    (fold,) = metrics.folds
    assert (fold.train, fold.utterances) == (12 + 12, 12)
    assert metrics.std is None, "both seeds are the same fit"
    context = ReportContext(corpus="toy, 1 folds", created=datetime(2026, 1, 1, tzinfo=UTC))
    page = write_report_of_folds(tmp_path, folders, context).read_text()
    assert "no epoch was chosen. The interval is" in page and "Each checkpoint is the epoch" not in page


def test_the_table_and_the_report_say_that_it_is_a_cross_validation(run):
    folder, folders, metrics = run
    text = table(folder)
    assert text.startswith("cross-validation, 2 folds pooled: 12 dialogues, 36 labelled utterances; 2 seeds; points")
    mean = 50 * sum(fold.weighted_f1 for fold in metrics.folds)
    assert f"mean of folds        {mean:.2f}" in text
    context = ReportContext(corpus="toy, 2 folds", created=datetime(2026, 1, 1, tzinfo=UTC))
    page = write_report_of_folds(folder, folders, context).read_text()
    assert "A cross-validation: each of 2 folds was tested once" in page
    assert '<a href="fold-a/report.html">a</a>' in page
    assert ">Learning<" not in page, "the folds' own reports have it"
