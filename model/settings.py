"""Every number of the network and of its training, frozen, with the paper's switches (Table 4) among them."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from bigfusion.pipeline.schema import Modality
from bigfusion.pipeline.settings import Settings

Share = Annotated[float, Field(ge=0, le=1)]
"""A part of a whole: the paper's "40 %" is 0.4."""
Distance = Annotated[int, Field(ge=1)]
"""Between two utterances of a dialogue, in utterances."""
Seed = Annotated[int, Field(ge=0, lt=2**32)]
"""What every generator takes: NumPy's are seeded with 32 bits."""


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
    """A linear classifier on means of the inputs over the graph's relations, beside the network; not in the paper.

    It is fitted before the network is trained; what is predicted is the geometric mean of both distributions.
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


class ImportanceSettings(Settings):
    """Dual node importance (Eqs. 9, 10). ``gamma`` = 1 is "w/o local", 0 "w/o global"."""

    gamma: float = Field(default=0.3, ge=0, le=1, description="weight of the global score")
    noise: float = Field(default=1.0, gt=0, description="standard deviation of the perturbation")
    draws: int = Field(default=1, ge=1, description="noise draws averaged")
    estimator: Literal["gaussian", "histogram"] = "gaussian"
    bins: int = Field(default=16, ge=2, description="of the histogram estimator")
    method: Literal["dual", "random"] = Field(default="dual", description="random: an ablation")


class ContrastSettings(Settings):
    """Graph contrastive learning (Eqs. 1-3, 12)."""

    enabled: bool = True
    weight: float = Field(default=0.5, ge=0, description="lambda of Eq. 12")
    temperature: float = Field(default=1.0, gt=0)
    pair: Literal["views", "original"] = Field(
        default="views", description="the two views with each other, or the original with each view"
    )
    positives: Literal["node", "label"] = Field(
        default="node", description="the same node in the other graph (Eqs. 1, 2), or every node of its label in both"
    )
    negatives: Literal["dialogue", "batch"] = "dialogue"
    rho: tuple[Share, Share] = Field(default=(0.4, 0.2), description="share of least important nodes, per view")
    eta: float = Field(default=0.5, ge=0, lt=1, description="weight of the edges that touch them")
    classify: float = Field(default=0.0, ge=0, description="weight of the views' own cross-entropy, beside Eq. 12")


class ModelSettings(Settings):
    """BIG-FUSION's size and switches."""

    modalities: tuple[Modality, ...] = (Modality.TEXT, Modality.AUDIO, Modality.VISUAL)
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
    importance: ImportanceSettings = ImportanceSettings()
    contrast: ContrastSettings = ContrastSettings()

    @model_validator(mode="after")
    def _consistent(self) -> ModelSettings:
        if self.width % self.heads:
            raise ValueError(f"width must be a multiple of heads ({self.heads})")
        if not self.modalities or len(set(self.modalities)) != len(self.modalities):
            raise ValueError("modalities must name at least one of text, audio, visual, each once")
        if len(set(self.relative)) != len(self.relative):
            raise ValueError("relative must name each modality once")
        return self


class TrainSettings(Settings):
    """Optimisation and protocol: one run a seed, scored at the epoch with the best validation WF1."""

    run_only: ClassVar[frozenset[str]] = frozenset({"seeds", "device", "threads"})

    seeds: tuple[Seed, ...] = Field(default=(0, 1, 2, 3, 4), min_length=1)
    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=1e-8, ge=0)
    batch_size: int = Field(default=8, ge=1, description="dialogues")
    epochs: int = Field(default=30, ge=1)
    patience: int = Field(default=10, ge=1, description="epochs without a better validation WF1")
    warmup: float = Field(default=0.1, ge=0, le=1, description="share of the steps with a rising rate")
    schedule: Literal["constant", "linear"] = "linear"
    clip: float = Field(default=5.0, gt=0, description="largest gradient norm")
    smoothing: float = Field(default=0.0, ge=0, lt=1, description="of the labels: the share spread over all classes")
    average: float = Field(
        default=0.0, ge=0, lt=1, description="decay of the running average of the weights that is scored; 0: none"
    )
    holdout: float = Field(
        default=0.1, gt=0, lt=1, description="last share of the training dialogues, where a corpus has no valid split"
    )
    precision: Literal["float32", "bfloat16"] = "float32"
    compile: bool = False
    processes: int = Field(default=1, ge=1, description="one a GPU (cuda:0, cuda:1, ...); each batch is shared out")
    device: str = Field(default="auto", description="auto, cpu, cuda, cuda:1")
    threads: int | None = Field(default=None, ge=1, description="CPU threads; none: torch's own choice")

    @model_validator(mode="after")
    def _distinct(self) -> TrainSettings:
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError("seeds must name each seed once")
        return self

    @property
    def epochs_in_all(self) -> int:
        """Epochs of all seeds together; early stopping may leave some undone."""
        return len(self.seeds) * self.epochs
