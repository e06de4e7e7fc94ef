"""Evaluation, recomputed from what it wrote with scikit-learn and pandas."""

import errno
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score

from bigfusion.model.data.batch import UNLABELLED
from bigfusion.model.data.dialogues import Data, true_labels
from bigfusion.model.runs.folder import METRICS, PREDICTIONS, TEST_EPOCHS, read_history, seed_folder
from bigfusion.model.runs.tensors import read_tensors
from bigfusion.model.scoring.evaluate import evaluate
from bigfusion.model.scoring.metrics import emotion_shifts
from bigfusion.model.scoring.results import Metrics
from bigfusion.pipeline.errors import TrainingError
from bigfusion.pipeline.schema import Split
from tests.helpers.small_runs import LABELS, dialogue, small_data, small_run, small_training


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_run(tmp_path_factory.mktemp("run"), small_data(), epochs=3, learning_rate=0.05)


@pytest.fixture(scope="module")
def metrics(run: Path) -> Metrics:
    return evaluate(run, small_data())


@pytest.fixture(scope="module")
def predictions(run: Path, metrics: Metrics) -> pd.DataFrame:
    return pd.read_parquet(run / PREDICTIONS)


def scored(predictions: pd.DataFrame, seed: int, split: str = "test") -> pd.DataFrame:
    rows = predictions[(predictions["seed"] == seed) & (predictions["split"] == split)]
    return rows[rows["true"].notna()]


def weighted_f1(rows: pd.DataFrame) -> float:
    return f1_score(rows["true"], rows["predicted"], average="weighted", zero_division=0)


def test_predictions_hold_every_utterance_once_a_seed(predictions: pd.DataFrame) -> None:
    data = small_data()
    for seed in (0, 1):
        rows = predictions[predictions["seed"] == seed]
        expected = [(one.id, name) for one in [*data.valid, *data.test] for name in one.utterances]
        assert list(zip(rows["dialogue"], rows["utterance"], strict=True)) == expected
        names = [None if label == UNLABELLED else LABELS[label] for label in true_labels([*data.valid, *data.test])]
        assert [None if pd.isna(label) else label for label in rows["true"]] == names
        assert rows["speaker"].tolist() == [turn for one in [*data.valid, *data.test] for turn in one.speakers]
    probabilities = predictions[[f"p_{label}" for label in LABELS]].to_numpy()
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
    assert [LABELS[best] for best in probabilities.argmax(1)] == predictions["predicted"].tolist()


def test_means_and_deviations_over_seeds(metrics: Metrics, predictions: pd.DataFrame) -> None:
    each = [weighted_f1(scored(predictions, seed)) for seed in (0, 1)]
    assert metrics.weighted_f1 == pytest.approx(np.mean(each))
    assert metrics.std is not None
    assert metrics.std.weighted_f1 == pytest.approx(np.std(each, ddof=1))
    assert metrics.std.ddof == 1
    assert [seed.weighted_f1 for seed in metrics.seeds] == pytest.approx(each)
    accuracy = [accuracy_score(rows["true"], rows["predicted"]) for rows in (scored(predictions, s) for s in (0, 1))]
    assert metrics.accuracy == pytest.approx(np.mean(accuracy))


def as_one(rows: pd.DataFrame) -> pd.DataFrame:
    """The labelled utterances of a split with the class that is likeliest by the mean over seeds."""
    columns = [f"p_{label}" for label in LABELS]
    mean = rows.groupby(["dialogue", "utterance"], sort=False)[columns].mean()
    first = rows[rows["seed"] == rows["seed"].iloc[0]].set_index(["dialogue", "utterance"])
    return pd.DataFrame(
        {"true": first["true"], "predicted": mean.idxmax(axis=1).str.removeprefix("p_").reindex(first.index)}
    )


def test_the_seeds_together_are_the_mean_of_their_probabilities(metrics: Metrics, predictions: pd.DataFrame) -> None:
    test = predictions[(predictions["split"] == "test") & predictions["true"].notna()]
    rows = as_one(test)
    assert metrics.together is not None
    assert metrics.together.weighted_f1 == pytest.approx(weighted_f1(rows))
    assert metrics.together.accuracy == pytest.approx(accuracy_score(rows["true"], rows["predicted"]))
    expected = f1_score(rows["true"], rows["predicted"], average="macro", zero_division=0)
    assert metrics.together.macro_f1 == pytest.approx(expected)


def test_classes_and_confusion(metrics: Metrics, predictions: pd.DataFrame) -> None:
    tables = [scored(predictions, seed) for seed in (0, 1)]
    matrices = [confusion_matrix(rows["true"], rows["predicted"], labels=LABELS) for rows in tables]
    np.testing.assert_allclose(metrics.confusion.counts, np.mean(matrices, axis=0))
    f1 = [f1_score(rows["true"], rows["predicted"], labels=LABELS, average=None, zero_division=0) for rows in tables]
    for index, label in enumerate(LABELS):
        score = metrics.per_class[label]
        assert score.f1 == pytest.approx(np.mean(f1, axis=0)[index])
        assert score.f1_std == pytest.approx(np.std(f1, axis=0, ddof=1)[index])
        assert score.support == (tables[0]["true"] == label).sum()


def test_validation_scores_are_those_of_the_chosen_epochs(run: Path, metrics: Metrics) -> None:
    for seed in metrics.seeds:
        history = read_history(seed_folder(run, seed.seed))
        assert seed.valid is not None
        assert seed.valid.weighted_f1 == history[seed.epoch - 1].valid_weighted_f1
        assert seed.valid.weighted_f1 == max(epoch.valid_weighted_f1 for epoch in history)


def test_emotion_shifts_are_scored_apart(metrics: Metrics, predictions: pd.DataFrame) -> None:
    shifted, steady = emotion_shifts(small_data().test)
    for mask, mean in ((shifted, metrics.emotion_shift), (steady, metrics.emotion_shift.steady)):
        tables = [predictions[(predictions["seed"] == seed) & (predictions["split"] == "test")] for seed in (0, 1)]
        assert mean.utterances == mask.sum() > 0
        assert mean.weighted_f1 == pytest.approx(np.mean([weighted_f1(rows[mask]) for rows in tables]))


def test_the_majority_is_that_of_training(metrics: Metrics) -> None:
    data = small_data()
    train, test = true_labels(data.train), true_labels(data.test)
    most = np.bincount(train[train != UNLABELLED]).argmax()
    test = test[test != UNLABELLED]
    assert metrics.majority.label == LABELS[most]
    assert metrics.majority.accuracy == pytest.approx((test == most).mean())
    always = np.full_like(test, most)
    assert metrics.majority.weighted_f1 == pytest.approx(f1_score(test, always, average="weighted", zero_division=0))


def test_what_test_picking_would_have_shown(run: Path, metrics: Metrics) -> None:
    true = true_labels(small_data().test)
    labelled = true != UNLABELLED
    best = []
    for seed in metrics.seeds:
        classes = read_tensors(seed_folder(run, seed.seed) / TEST_EPOCHS)[0]["classes"].numpy()
        epochs = [f1_score(true[labelled], row[labelled], average="weighted", zero_division=0) for row in classes]
        assert epochs[seed.epoch - 1] == pytest.approx(seed.weighted_f1)
        assert seed.picked_on_test is not None
        assert epochs[seed.picked_on_test.epoch - 1] == pytest.approx(max(epochs))
        best.append(max(epochs))
    assert metrics.test_picking is not None
    assert metrics.test_picking.weighted_f1 == pytest.approx(np.mean(best))
    assert metrics.test_picking.inflation_points == pytest.approx(100 * (np.mean(best) - metrics.weighted_f1))
    assert metrics.test_picking.inflation_points >= 0


def test_the_json_file_says_the_same(run: Path, metrics: Metrics) -> None:
    written = json.loads((run / METRICS).read_text())
    assert written["weighted_f1"] == metrics.weighted_f1
    assert written["per_class"]["joy"].keys() == {"f1", "precision", "recall", "support", "f1_std"}
    assert written["scored"] == "test"
    assert written["splits"]["train"]["dialogues"] == 12
    assert Metrics.model_validate(written) == metrics


def test_scoring_twice_gives_the_same_bytes(run: Path, metrics: Metrics) -> None:
    before = (run / METRICS).read_bytes(), (run / PREDICTIONS).read_bytes()
    assert evaluate(run, small_data()) == metrics
    assert ((run / METRICS).read_bytes(), (run / PREDICTIONS).read_bytes()) == before


def test_a_choice_of_seeds(run: Path, metrics: Metrics, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    seen: list[int] = []
    one = evaluate(tmp_path / "run", small_data(), [1], progress=seen.append)
    assert seen == [1]
    assert one.seeds == metrics.seeds[1:]
    assert one.std is None
    assert one.per_class["joy"].f1_std is None


@pytest.mark.parametrize("moment", ["pathlib.Path.replace", "bigfusion.model.scoring.evaluate.write_record"])
def test_a_kill_leaves_no_scores_beside_predictions_of_other_seeds(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    evaluate(run, small_data(), out=tmp_path)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(moment, killed)
    with pytest.raises(KeyboardInterrupt):
        evaluate(run, small_data(), [1], out=tmp_path)
    assert not (tmp_path / METRICS).exists()
    monkeypatch.undo()
    evaluate(run, small_data(), [1], out=tmp_path)
    assert set(pd.read_parquet(tmp_path / PREDICTIONS)["seed"]) == {1}


def test_a_full_disk_leaves_the_former_scores(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluate(run, small_data(), out=tmp_path)
    before = (tmp_path / METRICS).read_bytes(), (tmp_path / PREDICTIONS).read_bytes()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("bigfusion.pipeline.atomic._write_synced", full)
    with pytest.raises(TrainingError, match="No space left on device"):
        evaluate(run, small_data(), [1], out=tmp_path)
    assert ((tmp_path / METRICS).read_bytes(), (tmp_path / PREDICTIONS).read_bytes()) == before


def test_a_single_seed_has_no_others_to_be_together_with(run: Path, tmp_path: Path) -> None:
    assert evaluate(run, small_data(), [1], out=tmp_path).together is None


def test_without_labelled_test_utterances_validation_is_scored(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    mute = [dialogue("new", 5, 77, unlabelled=(0, 1, 2, 3, 4))]
    found = evaluate(tmp_path / "run", replace(small_data(), test=mute))
    assert found.scored is Split.VALID
    assert found.valid is not None
    assert found.weighted_f1 == found.valid.weighted_f1
    assert found.test_picking is None
    rows = pd.read_parquet(tmp_path / "run" / PREDICTIONS)
    assert rows[rows["split"] == "test"]["true"].isna().all()


def test_other_dialogues_alone_can_be_scored(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    found = evaluate(tmp_path / "run", Data(LABELS, [], [], [dialogue("new", 9, 78)]))
    assert (found.scored, found.valid, found.test_picking) == (Split.TEST, None, None)
    assert found.splits[Split.TEST].utterances == 9
    assert found.splits[Split.TRAIN].dialogues == 12  # what it was trained on


def test_data_that_do_not_fit_are_named(run: Path) -> None:
    data = small_data()
    with pytest.raises(TrainingError, match="was trained on the labels neutral, joy, anger, found neutral, joy, fear"):
        evaluate(run, replace(data, labels=("neutral", "joy", "fear")))
    wide = [
        replace(one, features=one.features | {"text": np.zeros((len(one), 9), np.float32)})
        for one in (*data.train, *data.valid, *data.test)
    ]
    with pytest.raises(TrainingError, match="expected text features of width 6, found 9"):
        evaluate(run, Data(LABELS, wide, wide[:3], wide[3:]))
    mute = dialogue("mute", 1, 0, unlabelled=(0,))
    with pytest.raises(TrainingError, match="expected labelled utterances to score, found none"):
        evaluate(run, replace(data, valid=[mute], test=[mute]))


def test_seeds_of_different_trainings_do_not_mix(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    shutil.rmtree(seed_folder(tmp_path / "run", 1))
    small_run(tmp_path / "run", small_data(), seeds=(1,), epochs=3, learning_rate=0.5)
    assert small_training(learning_rate=0.5) != small_training()
    with pytest.raises(TrainingError, match="seed-1: was trained with other settings or data than seed 0"):
        evaluate(tmp_path / "run", small_data())
