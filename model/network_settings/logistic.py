"""Settings of the logistic regression."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from bigfusion.model.network_settings.base import NetworkSettings


class LogisticSettings(NetworkSettings):
    """Multinomial logistic regression on single utterances."""

    kind: Literal["logistic"] = "logistic"
    penalty: float = Field(default=0.05, ge=0, description="of |W|^2, beside the mean cross-entropy")


SETTINGS = LogisticSettings
