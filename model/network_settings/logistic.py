"""Settings of the logistic regression."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from bigfusion.model.network_settings.base import NetworkSettings
from bigfusion.model.spaces import Range, Space


class LogisticSettings(NetworkSettings):
    """Multinomial logistic regression on single utterances.

    Several features of a modality stand side by side: ``fusion`` and ``fusion_width`` change nothing.
    """

    run_only: ClassVar[frozenset[str]] = frozenset({"fusion", "fusion_width"})

    kind: Literal["logistic"] = "logistic"
    penalty: float = Field(default=0.05, ge=0, description="of |W|^2, beside the mean cross-entropy")

    @property
    def fitted_at_once(self) -> bool:
        """It is solved once."""
        return True


SETTINGS = LogisticSettings

PRINTED_NAME = "Logistic regression"

SEARCHABLE: Space = {"model.penalty": Range(1e-3, 1.0, log=True)}  # it is fitted at once: no step depends on training

TUNED: dict[str, dict[str, object]] = {"model": {"penalty": 0.015}, "train": {}}
"""The best of 8 trials of ``bigfusion tune``, scheme ``sessions``, IEMOCAP's 120 training dialogues: 50.0 -> 50.6."""
