"""Each epoch in an MLflow store, read back by MLflow's own client."""

import sys
from pathlib import Path

import pytest

from bigfusion.model.runs.folder import Epoch, read_history
from bigfusion.model.settings import TrainSettings
from bigfusion.model.training.mlflow_log import EXPERIMENT, STORE
from bigfusion.model.training.train import train
from bigfusion.pipeline.errors import TrainingError
from tests.helpers.small_runs import small_data, small_model, small_training


def test_a_log_changes_no_number() -> None:
    assert small_training(log=("mlflow",)).numbers() == small_training().numbers()
    assert TrainSettings().log == ("tensorboard",)


def test_a_log_without_its_package_is_refused_before_the_first_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(TrainingError, match=r"mlflow-skinny, found none; pip install 'bigfusion\[mlflow\]'"):
        train(small_data(), small_model(), small_training(log=("mlflow",)), 0, tmp_path / "run" / "seed-0")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_mlflow_has_each_epoch_once_whatever_was_interrupted(tmp_path: Path) -> None:
    """Two seeds, the second of which is interrupted after three epochs and goes on."""
    tracking = pytest.importorskip("mlflow.tracking")
    data, model = small_data(), small_model()
    training = small_training(log=("mlflow", "tensorboard"), seeds=(0, 1))
    run = tmp_path / "it's a run"

    def stop(epoch: Epoch) -> None:
        if epoch.epoch == 3:
            raise KeyboardInterrupt

    train(data, model, training, 0, run / "seed-0")
    with pytest.raises(KeyboardInterrupt):
        train(data, model, training, 1, run / "seed-1", stop)
    client = tracking.MlflowClient(f"sqlite:///{tmp_path / STORE}")
    place = client.get_experiment_by_name(EXPERIMENT).experiment_id
    states = {one.info.run_name: one.info.status for one in client.search_runs([place])}
    assert states == {"it's a run seed-0": "FINISHED", "it's a run seed-1": "KILLED"}
    train(data, model, training, 1, run / "seed-1")
    found = {one.info.run_name: one for one in client.search_runs([place])}
    assert len(found) == 2 and {one.info.status for one in found.values()} == {"FINISHED"}
    for seed in (0, 1):
        kept, history = found[f"it's a run seed-{seed}"], read_history(run / f"seed-{seed}")
        for name, values in {
            "loss/train": [epoch.loss for epoch in history],
            "valid/weighted F1": [epoch.valid_weighted_f1 for epoch in history],
            "optimiser/learning rate": [epoch.learning_rate for epoch in history],
        }.items():
            metrics = client.get_metric_history(kept.info.run_id, name)
            assert [(metric.step, metric.value) for metric in metrics] == [*enumerate(values, start=1)], name
        assert kept.data.params["model.width"] == "8"
        assert kept.data.params["train.batch_size"] == "4"
