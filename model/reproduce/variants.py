"""The networks that the paper's table and figures compare, each as changes to one's own settings."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from bigfusion.model.contrast_settings.dual_importance import DualImportanceSettings
from bigfusion.model.network_settings.bigfusion import BigFusionSettings
from bigfusion.pipeline.settings import merge


@dataclass(frozen=True)
class Variant:
    """A network: its name, what it changes, and the paper's (accuracy, weighted F1) in points by corpus."""

    name: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    paper: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def of(self, base: BigFusionSettings) -> BigFusionSettings:
        """``base`` with the changes."""
        return BigFusionSettings.model_validate(merge(base.model_dump(), self.changes))

    def idle(self, base: BigFusionSettings, single_utterances: bool = False) -> str:
        """Why the changes take nothing away from ``base``, as ``model.KEY = VALUE``; empty if they do.

        ``single_utterances`` says that no dialogue of the corpus has two.
        """
        for part in self.changes:
            if why := unread(base, part, single_utterances):
                return why
        if self.changes and self.of(base) == base:
            return next(f"model.{part}.{key} = {json.dumps(value)}" for part, key, value in self._values())
        if "rise" in self.changes.get("spiking", {}) and base.spiking.steps == 1:
            return "model.spiking.steps = 1"
        return ""

    def _values(self) -> Iterator[tuple[str, str, Any]]:
        for part, values in self.changes.items():
            for key, value in values.items():
                yield part, key, value


def unread(base: BigFusionSettings, part: str, single_utterances: bool = False) -> str:
    """Why the network of ``base`` never reads a ``part`` of its settings; empty if it does."""
    contrast, importance = base.contrast, base.importance
    contrasts = {
        "model.graph.enabled = false": not base.graph.enabled,
        "model.contrast.enabled = false": not contrast.enabled,
        "model.contrast.weight = 0": not contrast.weight and not contrast.classify,
    }
    reasons = {
        "attention": {"no dialogue has two utterances": single_utterances},
        "contrast": contrasts,
        "importance": contrasts
        | {
            f"model.contrast.kind = {json.dumps(contrast.kind)}": not isinstance(contrast, DualImportanceSettings),
            f"model.importance.method = {json.dumps(importance.method)}": importance.method != "dual",
            "model.contrast.rho = [0, 0]": not any(getattr(contrast, "rho", (1,))),
            "no dialogue has two utterances": single_utterances,
        },
        "spiking": {"model.spiking.enabled = false": not base.spiking.enabled},
    }
    return next((why for why, holds in reasons.get(part, {}).items() if holds), "")


def _paper(iemocap: tuple[float, float], meld: tuple[float, float]) -> dict[str, tuple[float, float]]:
    return {"iemocap": iemocap, "meld": meld}


COMPLETE = Variant("complete", {}, _paper((72.64, 72.91), (68.24, 67.17)))
NO_CONTRAST = Variant("w/o GCL", {"contrast": {"enabled": False}}, _paper((68.39, 68.50), (65.51, 64.79)))
NO_SPIKING = Variant("w/o spiking attention", {"spiking": {"enabled": False}}, _paper((71.53, 71.72), (67.13, 65.93)))
NO_GRAPH = Variant("w/o graph", {"graph": {"enabled": False}})

TABLE_4 = (
    COMPLETE,
    NO_CONTRAST,
    Variant("GCL w/o local", {"importance": {"gamma": 1.0}}, _paper((70.92, 71.23), (66.05, 65.49))),
    Variant("GCL w/o global", {"importance": {"gamma": 0.0}}, _paper((71.60, 71.76), (66.93, 65.99))),
    NO_SPIKING,
    Variant("attention w/o local", {"attention": {"alpha": 1.0}}, _paper((71.66, 71.90), (66.59, 66.29))),
    Variant("attention w/o global", {"attention": {"alpha": 0.0}}, _paper((69.44, 69.82), (66.74, 65.82))),
    Variant("w/o threshold regulation", {"spiking": {"rise": 0.0}}, _paper((71.87, 72.06), (67.44, 66.34))),
)
"""The rows of Table 4 in its order. The complete network comes first."""

WEIGHTS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Both axes of Figure 3: the global weight of attention, the local weight of the contrast."""


def balance(attention: float, contrast: float) -> Variant:
    """A cell of Figure 3: ``attention`` is the global weight alpha, ``contrast`` the local one, 1 - gamma."""
    changes = {"attention": {"alpha": attention}, "importance": {"gamma": round(1 - contrast, 10)}}
    return Variant(f"alpha {attention:g}, 1 - gamma {contrast:g}", changes)


CASE = (COMPLETE, NO_SPIKING, NO_CONTRAST, NO_GRAPH)
"""The models of Figure 4. The paper compares with other systems; here parts of BIG-FUSION itself are removed."""
