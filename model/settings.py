"""Frozen settings of every network and of its training. ``[model] kind`` names the network.

The settings class of each network lies in its file ``network_settings/KIND.py`` and is found by this name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, TypeAdapter, model_validator

from bigfusion.model.kinds import any_kind, changed_kind
from bigfusion.model.network_settings.base import NetworkSettings
from bigfusion.model.network_settings.bigfusion import CONTRASTS, DEFAULT_CONTRAST
from bigfusion.pipeline.settings import Settings

Seed = Annotated[int, Field(ge=0, lt=2**32)]
"""A seed that every generator accepts: NumPy takes 32 bits."""

NETWORKS = "bigfusion.model.network_settings"
DEFAULT_NETWORK = "bigfusion"
"""The network of settings that name none."""

if TYPE_CHECKING:
    ModelSettings = NetworkSettings
else:
    ModelSettings = any_kind(NETWORKS, DEFAULT_NETWORK)
    """The settings of some network: of the class that ``kind`` names."""


def network_settings(table: Mapping[str, Any]) -> NetworkSettings:
    """The settings of the network that a ``[model]`` table names."""
    found: NetworkSettings = TypeAdapter(ModelSettings).validate_python(table)
    return found


def beneath(table: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a ``[model]`` ``table`` that stay valid when ``over`` is merged on top of it.

    If ``over`` names another network or another contrast, only the keys that all kinds share stay.
    """
    left = dict(table)
    if isinstance(over.get("kind"), str):
        left = changed_kind(left, NETWORKS, DEFAULT_NETWORK, over["kind"])
    below, above = left.get("contrast"), over.get("contrast")
    if isinstance(below, Mapping) and isinstance(above, Mapping) and isinstance(above.get("kind"), str):
        left["contrast"] = changed_kind(below, CONTRASTS, DEFAULT_CONTRAST, above["kind"])
    return left


@dataclass(frozen=True)
class Tuned:
    """What preset `tuned` means for a network: its own numbers, and where they come from."""

    table: dict[str, Any]
    source: Literal["searched", "released", "default"]
    by_hand: Mapping[str, Any] = field(default_factory=dict)
    """Those of the model's settings that are not its source's."""


def tuned(kind: str, corpus: str = "") -> Tuned:
    """The numbers that a search has found for a network (``TUNED`` of its settings file).

    Without a search they are the network's numbers that its authors released for ``corpus``, or else for their first
    one, but for what was set by hand (``SET_BY_HAND``) where these or the shared training settings do not do. Without a
    release they are its defaults. Which modalities are read is no such number: it is the caller's.
    """
    module = import_module(f"{NETWORKS}.{kind}")
    if (searched := getattr(module, "TUNED", None)) is not None:
        return Tuned({"model": {"kind": kind, **searched["model"]}, "train": searched["train"]}, "searched")
    released: dict[str, dict[str, dict[str, Any]]] = getattr(module, "RELEASED", {})
    numbers = (released.get(corpus) or next(iter(released.values()), {})).get("model", {})
    own = {name: value for name, value in numbers.items() if name != "modalities"}
    by_hand: dict[str, dict[str, Any]] = getattr(module, "SET_BY_HAND", {})
    table = {"model": {"kind": kind, **own, **by_hand.get("model", {})}}
    if training := by_hand.get("train"):
        table["train"] = dict(training)
    return Tuned(table, "released" if released else "default", by_hand.get("model", {}))


class HCLSettings(Settings):
    """Hybrid curriculum learning: easy dialogues first, soft targets first (``training/curriculum``)."""

    buckets: int = Field(default=5, ge=1, description="T: of dialogues by emotion shifts; 1: all from the start")
    epochs: int = Field(default=1, ge=1, description="of each stage, which trains on one bucket more")
    targets: bool = Field(default=True, description="teach distributions over like labels first")
    decay: float = Field(default=0.9, ge=0, lt=1, description="eps, of what is off the label at each epoch; 0: at once")
    restart: bool = Field(default=False, description="the targets begin again with each stage")


class TrainSettings(Settings):
    """Optimisation and protocol: one training for each seed, scored at the epoch with the best validation WF1."""

    run_only: ClassVar[frozenset[str]] = frozenset({"seeds", "device", "threads", "log"})

    seeds: tuple[Seed, ...] = Field(default=(0, 1, 2, 3, 4), min_length=1)
    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=1e-8, ge=0)
    batch_size: int = Field(default=8, ge=1, description="dialogues")
    epochs: int = Field(default=30, ge=1)
    patience: int = Field(default=10, ge=1, description="epochs without a better validation WF1")
    warmup: float = Field(default=0.1, ge=0, le=1, description="share of the steps with a rising rate")
    schedule: Literal["constant", "linear"] = "linear"
    regression_loss: Literal["absolute", "squared"] = Field(default="absolute", description="of numbers")
    clip: float = Field(default=5.0, gt=0, description="largest gradient norm")
    smoothing: float = Field(default=0.0, ge=0, lt=1, description="of the labels: the share spread over all classes")
    average: float = Field(
        default=0.0, ge=0, lt=1, description="decay of the running average of the weights that is scored; 0: none"
    )
    holdout: float = Field(
        default=0.1, gt=0, lt=1, description="last share of the training dialogues, where a corpus has no valid split"
    )
    curriculum: Literal["none", "hcl"] = Field(
        default="none", description="hcl: easy dialogues first, around any network"
    )
    hcl: HCLSettings = HCLSettings()
    precision: Literal["float32", "bfloat16"] = "float32"
    compile: bool = False
    processes: int = Field(default=1, ge=1, description="one a GPU (cuda:0, cuda:1, ...); each batch is shared out")
    device: str = Field(default="auto", description="auto, cpu, cuda, cuda:1")
    threads: int | None = Field(
        default=1, ge=1, description="CPU threads; more are faster on an idle machine alone, and change the last bits"
    )
    log: tuple[Literal["tensorboard", "mlflow"], ...] = Field(
        default=("tensorboard",), description="who else gets each epoch; mlflow needs `pip install 'bigfusion[mlflow]'`"
    )

    @model_validator(mode="after")
    def _distinct(self) -> TrainSettings:
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError("seeds must name each seed once")
        return self

    @property
    def epochs_in_all(self) -> int:
        """Epochs of all seeds together. Early stopping may end a training before its last epoch."""
        return len(self.seeds) * self.epochs
