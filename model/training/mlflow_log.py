"""A seed's history in an MLflow store: a run for each seed, with its settings and a metric for each epoch.

The store is ``mlflow.db`` beside the run folders, so that all runs stand in one table::

    mlflow ui --backend-store-uri sqlite:///work/runs/mlflow.db

``MLFLOW_TRACKING_URI`` names another store or a server. ``history.jsonl`` is the record; no code reads the store.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bigfusion.model.network_settings.base import NetworkSettings
from bigfusion.model.runs.folder import Epoch
from bigfusion.model.settings import TrainSettings
from bigfusion.model.training.events import scalars
from bigfusion.pipeline.errors import TrainingError

log = logging.getLogger("bigfusion")

STORE = "mlflow.db"
EXPERIMENT = "bigfusion"
_SEED = "bigfusion.seed"
"""The tag by which an interrupted training finds its MLflow run again."""
_LONGEST = 6000
"""Characters that MLflow keeps of a parameter."""


def require_mlflow() -> None:
    """Check that MLflow's client is installed.

    Raises:
        TrainingError: it is not.
    """
    if find_spec("mlflow") is None:
        raise TrainingError(
            "train.log 'mlflow': expected the package mlflow-skinny, found none; pip install 'bigfusion[mlflow]'"
        )


class MLflowLog:
    """Write epochs to MLflow. ``done`` are the epochs that an interrupted training has: they are not written twice."""

    def __init__(
        self, folder: Path, run: str, model: NetworkSettings, train: TrainSettings, done: Sequence[Epoch] = ()
    ) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        logging.getLogger("mlflow").setLevel(logging.WARNING)  # it tells of each table of a new store
        logging.getLogger("alembic").setLevel(logging.WARNING)
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient

        store = folder.absolute().parents[1]
        place = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{store / STORE}"
        try:
            self._client = MlflowClient(place)
            self._run = self._found(store, f"{folder.parent.name} {folder.name}", run)
        except MlflowException as error:
            raise TrainingError(
                f"train.log mlflow: {place}: {str(error).splitlines()[0]}; correct MLFLOW_TRACKING_URI, or take mlflow "
                "out of train.log"
            ) from None
        settings = {"model": model.model_dump(mode="json"), "train": train.model_dump(mode="json")}
        self._log(params=dict(_flat(settings)))
        known = {metric.step for metric in self._client.get_metric_history(self._run, "loss/train")}
        for epoch in done:
            if epoch.epoch not in known:
                self.write(epoch)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        state = "FINISHED" if kind is None else "FAILED" if issubclass(kind, Exception) else "KILLED"
        self._client.set_terminated(self._run, state)

    def write(self, epoch: Epoch) -> None:
        """Add one epoch."""
        self._log(metrics=scalars(epoch), step=epoch.epoch)

    def _found(self, store: Path, name: str, seed: str) -> str:
        """The id of this seed's MLflow run, which is made unless an interrupted training has made it."""
        experiment = self._client.get_experiment_by_name(EXPERIMENT)
        if experiment is None:
            artifacts = (store / "mlflow").as_uri()
            experiment = self._client.get_experiment(self._client.create_experiment(EXPERIMENT, artifacts))
        place = experiment.experiment_id
        tags = {"mlflow.runName": name, _SEED: seed}
        for known in self._client.search_runs([place], f"tags.`{_SEED}` = '{seed}'"):
            if known.info.run_name == name:
                self._client.update_run(known.info.run_id, "RUNNING")
                return str(known.info.run_id)
        return str(self._client.create_run(place, tags=tags).info.run_id)

    def _log(
        self, params: Mapping[str, str] | None = None, metrics: Mapping[str, float] | None = None, step: int = 0
    ) -> None:
        from mlflow.entities import Metric, Param
        from mlflow.exceptions import MlflowException

        now = int(1000 * time.time())
        try:
            self._client.log_batch(
                self._run,
                metrics=[Metric(name, value, now, step) for name, value in (metrics or {}).items()],
                params=[Param(name, value) for name, value in (params or {}).items()],
            )
        except MlflowException as error:  # a server that is away must not end hours of training
            log.warning("train.log mlflow: step %d was not written: %s", step, str(error).splitlines()[0])


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(value)[:_LONGEST]
