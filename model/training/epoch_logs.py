"""Who else gets each epoch of a seed (``train.log``): TensorBoard, MLflow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bigfusion.model.network_settings.base import NetworkSettings
from bigfusion.model.runs.folder import Epoch
from bigfusion.model.settings import TrainSettings
from bigfusion.model.training.events import Events
from bigfusion.model.training.mlflow_log import MLflowLog


@contextmanager
def epoch_logs(
    folder: Path, run: str, model: NetworkSettings, train: TrainSettings, done: Sequence[Epoch]
) -> Iterator[Callable[[Epoch], None]]:
    """Open the logs that the settings name. ``done`` are the epochs of an interrupted training. Yields a writer."""
    with ExitStack() as stack:
        logs: list[Events | MLflowLog] = []
        if "tensorboard" in train.log:
            logs.append(stack.enter_context(Events(folder, first=len(done) + 1)))
        if "mlflow" in train.log:
            logs.append(stack.enter_context(MLflowLog(folder, run, model, train, done)))

        def write(epoch: Epoch) -> None:
            for log in logs:
                log.write(epoch)

        yield write
