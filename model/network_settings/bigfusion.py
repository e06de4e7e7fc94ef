"""The size of BIG-FUSION and of its parts, and the switches for the ablations (the paper's Table 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from bigfusion.model.contrast_settings.base import ContrastSettings
from bigfusion.model.contrast_settings.dual_importance import DualImportanceSettings
from bigfusion.model.kinds import any_kind
from bigfusion.model.network_settings.base import NetworkSettings
from bigfusion.model.network_settings.discriminant import DiscriminantSettings
from bigfusion.model.quantities import Distance
from bigfusion.model.spaces import DROPOUT, TRAINING, Choice, Range, Space
from bigfusion.pipeline.schema import Modality
from bigfusion.pipeline.settings import Settings

CONTRASTS = "bigfusion.model.contrast_settings"
DEFAULT_CONTRAST = "dual_importance"

if TYPE_CHECKING:
    AnyContrast = ContrastSettings
else:
    AnyContrast = any_kind(CONTRASTS, DEFAULT_CONTRAST)


class SpikingSettings(Settings):
    """Leaky integrate-and-fire neurons on Q, K and V (Eqs. 7, 8). ``rise`` = 0 is "w/o threshold reg."."""

    enabled: bool = True
    steps: int = Field(default=4, ge=1, description="T, the spike steps of the rate code")
    decay: float = Field(default=0.9, ge=0, le=1, description="beta of Eq. 8")
    threshold: float = Field(default=0.5, gt=0, description="V_0")
    rise: float = Field(default=0.2, ge=0, description="delta: V_th(t) = V_0 * (1 + delta * t)")
    surrogate_alpha: float = Field(default=2.0, gt=0, description="width of the arctan surrogate gradient")


class AttentionSettings(Settings):
    """Dual attention (Eqs. 4-6). ``alpha`` = 1 is "w/o local", 0 "w/o global"."""

    alpha: float = Field(default=0.7, ge=0, le=1, description="weight of the global part")
    window: int = Field(default=5, ge=1, description="w_a, utterances in a sliding window")


class NeighbourhoodSettings(Settings):
    """A linear classifier beside the network, on means of the inputs over the graph's relations. Not in the paper.

    It is fitted before the network is trained. The prediction is the geometric mean of both distributions. Several
    features of a modality stand side by side, also if ``model.fusion`` is "weights".
    """

    enabled: bool = False
    bands: tuple[tuple[Distance, Distance], ...] = Field(
        default=((1, 2), (3, 6), (7, 20)), description="nearest and farthest utterance of each mean"
    )
    penalty: float = Field(default=0.6, ge=0, description="of |W|^2, beside the mean cross-entropy")

    @model_validator(mode="after")
    def _ordered(self) -> NeighbourhoodSettings:
        if any(near > far for near, far in self.bands):
            raise ValueError("each of bands must name a nearest and a farthest distance, in this order")
        return self


class GraphSettings(Settings):
    """The relational graph over utterances and speakers."""

    enabled: bool = True
    window: int = Field(default=6, ge=0, description="w_g: j -> i for |i - j| <= w_g (paper: IEMOCAP 6, MELD 4)")
    relations: Literal["order", "pairs"] = Field(
        default="order", description="same/other speaker x earlier/later, or COGMEN's 2 * P * P speaker pairs"
    )
    speakers: int = Field(default=9, ge=1, description="P of the pairs; speakers beyond it count as the P-th")
    layers: int = Field(default=1, ge=1)
    neighbourhood: NeighbourhoodSettings = NeighbourhoodSettings()


class RetrievalSettings(Settings):
    """A vote of the training utterances with like words, beside the network. Not in the paper.

    It is added to the logits in evaluation: ``weight`` times its log odds. Without text there is none.
    """

    enabled: bool = False
    sharpness: float = Field(default=10.0, gt=0, description="an utterance votes with exp(sharpness (cosine - 1))")
    prior: float = Field(default=0.3, gt=0, description="votes of the classes' shares, in utterances of the same words")
    weight: float = Field(default=0.8, ge=0)


class ImportanceSettings(Settings):
    """Dual node importance (Eqs. 9, 10). ``gamma`` = 1 is "w/o local", 0 "w/o global"."""

    gamma: float = Field(default=0.3, ge=0, le=1, description="weight of the global score")
    noise: float = Field(default=1.0, gt=0, description="standard deviation of the perturbation")
    draws: int = Field(default=1, ge=1, description="noise draws averaged")
    estimator: Literal["gaussian", "histogram"] = "gaussian"
    bins: int = Field(default=16, ge=2, description="of the histogram estimator")
    method: Literal["dual", "random"] = Field(default="dual", description="random: an ablation")


class BigFusionSettings(NetworkSettings):
    """The size of BIG-FUSION and its switches."""

    kind: Literal["bigfusion"] = "bigfusion"
    width: int = Field(default=128, ge=1, description="D")
    layers: int = Field(default=2, ge=1)
    heads: int = Field(default=4, ge=1)
    dropout: float = Field(default=0.3, ge=0, lt=1)
    audio_width: int | None = Field(
        default=None, ge=1, description="the paper's trained audio reduction (IEMOCAP 1582, MELD 300); none: as stored"
    )
    feature_dropout: float = Field(
        default=0.0, ge=0, lt=1, description="share of the features' numbers that is left out"
    )
    relative: tuple[Modality, ...] = Field(
        default=(), description="modalities that also come relative to their speaker's own mean in the dialogue"
    )
    relative_fusion: bool = Field(
        default=False, description="add a linear map of the fused vector less its speaker's mean in the dialogue"
    )
    spiking: SpikingSettings = SpikingSettings()
    attention: AttentionSettings = AttentionSettings()
    graph: GraphSettings = GraphSettings()
    retrieval: RetrievalSettings = RetrievalSettings()
    importance: ImportanceSettings = ImportanceSettings()
    contrast: AnyContrast = DualImportanceSettings()
    single_utterances: Literal["discriminant", "network"] = Field(
        default="discriminant",
        description="what is trained if no dialogue of the corpus has two utterances: a discriminant analysis, or this"
        " network all the same",
    )

    run_only: ClassVar[frozenset[str]] = frozenset({"single_utterances"})  # the network that it chooses counts

    @model_validator(mode="after")
    def _consistent(self) -> BigFusionSettings:
        if self.width % self.heads:
            raise ValueError(f"width must be a multiple of heads ({self.heads})")
        if len(set(self.relative)) != len(self.relative):
            raise ValueError("relative must name each modality once")
        return self

    def for_single_utterances(self) -> NetworkSettings:
        """The discriminant analysis on the same features, unless ``single_utterances`` is ``network``.

        A dialogue of one utterance has no context to attend to and no neighbours, and two views of it nothing to
        contrast.
        """
        if self.single_utterances == "network":
            return self
        return DiscriminantSettings(modalities=self.modalities, features=self.features, instead_of=self.kind)

    def itself(self) -> BigFusionSettings:
        """The network on single utterances too."""
        return self.model_copy(update={"single_utterances": "network"})


SETTINGS = BigFusionSettings

SEARCHABLE: Space = {
    **TRAINING,
    **DROPOUT,
    "model.width": Choice((64, 128, 256)),
    "model.layers": Range(1, 3),
    "model.feature_dropout": Range(0.0, 0.5),
}
