"""Whether a network can be trained on numbers instead of classes, checked before the first step."""

from __future__ import annotations

from bigfusion.model.data.dialogues import Data
from bigfusion.model.network_settings.base import NetworkSettings
from bigfusion.model.network_settings.bigfusion import BigFusionSettings
from bigfusion.model.settings import TrainSettings
from bigfusion.pipeline.errors import TrainingError


def check_regression(data: Data, regresses: bool, model: NetworkSettings, train: TrainSettings) -> None:
    """Refuse what exists only for classes, if ``data`` holds numbers. ``regresses``: whether the network can.

    Raises:
        TrainingError: the first setting that has no meaning for numbers.
    """
    if not data.regression:
        return

    def refuse(setting: str, remedy: str) -> None:
        raise TrainingError(f"{setting}: exists for classes only, found numbers (corpus.task = regression); {remedy}")

    kind = getattr(model, "kind", "")
    if not regresses:
        refuse(f'model.kind = "{kind}"', "use bigfusion, bigru or dialogue_rnn")
    if isinstance(model, BigFusionSettings):
        if model.graph.neighbourhood.enabled:
            refuse("model.graph.neighbourhood.enabled", "set it to false")
        if model.retrieval.enabled:
            refuse("model.retrieval.enabled", "set it to false")
        if model.contrast.positives == "label" or model.contrast.kind == "supervised":
            refuse("model.contrast of equal labels", 'set model.contrast.positives = "node", or another contrast')
    if train.smoothing:
        refuse("train.smoothing", "set it to 0")
    if train.curriculum != "none":
        refuse("train.curriculum", 'set it to "none"')
