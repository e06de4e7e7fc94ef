"""The protocol of a network: what training, checkpoints and reports ask of it, and nothing of any network by name.

A network is one file, ``networks/KIND.py``, that ends with ``NETWORK = TheClass``; its settings are
``network_settings/KIND.py``. :func:`build` imports the file that the settings name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any, ClassVar, Literal

from torch import Tensor, nn
from torch.optim import Optimizer

from bigfusion.model.data.batch import Batch, Dialogue
from bigfusion.model.data.utterances import Utterances
from bigfusion.model.layers.merge import Merge
from bigfusion.model.layers.normalise import Normalise
from bigfusion.model.layers.objectives import classification_loss
from bigfusion.model.layers.relative import less_recording_mean
from bigfusion.model.network_settings.base import NetworkSettings
from bigfusion.pipeline.errors import TrainingError
from bigfusion.pipeline.schema import FeatureName


@dataclass(frozen=True)
class Output:
    """What a network says of a batch.

    Shapes: ``logits`` (B, N, C): in training those that are taught, in evaluation those that are predicted;
    ``parts``: what :meth:`Network.loss` needs besides, of any form, the network's own affair; ``rates[name]`` (V, D)
    firing rates of spiking neurons, without gradient; ``representations[name]`` (B, N, D), zeros where padded.
    """

    logits: Tensor
    parts: Mapping[str, Any] = field(default_factory=dict)
    rates: Mapping[str, Tensor] = field(default_factory=dict)
    representations: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    """One summand of a loss: ``weight`` * ``value``, a scalar.

    ``per`` says what ``value`` is a mean of, so that processes that share a batch know how much theirs weighs: the
    labelled utterances, all real utterances, or the dialogues of this process. ``batch``: the value is that of the
    whole batch already, over rows that :attr:`Network.peers` gathered, and gradients reach this process's own rows.
    """

    value: Tensor
    per: Literal["labels", "nodes", "dialogues", "batch"] = "labels"
    weight: float = 1.0


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters whose learning rate is ``rate`` times the training's; ``weight_decay`` None: the training's own."""

    parameters: Sequence[nn.Parameter]
    rate: float = 1.0
    weight_decay: float | None = None


def _own_rows(rows: Tensor) -> Tensor:
    return rows


def _own_gradients(parameters: Iterable[nn.Parameter]) -> None:
    del parameters


@dataclass(frozen=True)
class Peers:
    """The processes that share a batch, as a network sees them; by default there are none.

    ``gather`` gives the rows of all processes from this one's; ``sum_gradients`` sums the gradients of parameters that
    the network itself optimises.
    """

    gather: Callable[[Tensor], Tensor] = _own_rows
    sum_gradients: Callable[[Iterable[nn.Parameter]], None] = _own_gradients


class Network(nn.Module):
    """Base of every network. ``widths`` maps each stored feature to its width; the settings choose among them.

    A subclass writes ``forward``; the rest it overrides where it differs. ``normalise`` standardises the features,
    ``merge`` makes one of several features of a modality; :meth:`read` gives the real utterances of a batch, packed,
    modality by modality, and :meth:`columns` feature by feature. ``stored`` are the widths of the features that are
    read, ``self.widths`` those of the modalities.

    Raises:
        TrainingError: a modality of the settings is not among the stored ones.
    """

    causal: bool = False
    """Whether an utterance's logits depend on no later utterance."""
    numbered_speakers: bool = False
    """Whether the speakers' numbers themselves matter (an embedding of each), not only who is the same as whom."""
    regresses: ClassVar[bool] = False
    """Whether it can predict numbers: its losses are :func:`classification_loss` and such as need no classes."""
    batch_norm: ClassVar[bool] = False
    """Whether it has BatchNorm, whose means are the batch's: processes that share a batch would train another network.
    """
    absent_vectors: ClassVar[bool] = True
    """Whether it learns a vector that stands in for an absent modality. If not, an absent one counts as its mean."""
    training_only: ClassVar[tuple[str, ...]] = ()
    """Submodules that prediction does not use: a checkpoint leaves them out."""

    def __init__(self, settings: NetworkSettings, widths: Mapping[str, int]) -> None:
        super().__init__()
        self.peers = Peers()
        self.centred = frozenset(settings.centred)
        self.stored = _chosen(widths, settings)
        self.normalise = Normalise(self.stored)
        self.merge = Merge(self.stored, settings.fusion_width if settings.fusion == "weights" else None)
        self.widths = self.merge.widths

    def fit(self, dialogues: Sequence[Dialogue]) -> None:
        """Take from the training dialogues, before the first step, what gradient steps do not learn."""
        self.normalise.fit(dialogues)

    def prepare(self, train: Sequence[Dialogue], valid: Sequence[Dialogue]) -> None:
        """Called once, before the first step: :meth:`fit` on the training dialogues.

        A network that also learns from ``valid`` must judge those utterances by what it learned without them.
        """
        del valid
        self.fit(train)

    def columns(self, batch: Batch) -> Utterances:
        """The real utterances of a batch, standardised, each feature apart: gradient steps change nothing of it.

        Modalities of the setting ``centred`` come less the mean over their dialogue.
        """
        mask = batch.mask
        present = {name: batch.present[name][mask] for name in self.stored}  # (V,)
        features = self.normalise({name: batch.features[name][mask] for name in present})  # (V, F_m)
        features = {name: rows.where(present[name].unsqueeze(1), 0) for name, rows in features.items()}
        dialogue = mask.nonzero()[:, 0]
        for name in features:
            if FeatureName(name).modality in self.centred:
                features[name] = less_recording_mean(features[name], present[name], dialogue, len(mask))
        return Utterances(features, present, dialogue, batch.speakers[mask], mask, batch.speakers)

    def read(self, batch: Batch) -> Utterances:
        """The real utterances of a batch, standardised, the features of a modality merged."""
        return self.merged(self.columns(batch))

    def merged(self, columns: Utterances) -> Utterances:
        """One feature for each modality."""
        features, present = self.merge(columns.features, columns.present)
        return replace(columns, features=features, present=present)

    def forward(self, batch: Batch) -> Output:
        """Read a batch."""
        raise NotImplementedError

    def loss(self, output: Output, batch: Batch, smoothing: float = 0.0) -> dict[str, Part]:
        """The loss in named parts, which are summed. ``smoothing`` is that of the labels."""
        return {"cross_entropy": Part(classification_loss(output.logits, batch, smoothing))}

    def parameter_groups(self) -> list[ParameterGroup]:
        """What the training's optimizer steps, and how fast; parameters of ``optimizers`` are left to those."""
        return [ParameterGroup(list(self.parameters()))]

    def optimizers(self) -> dict[str, Optimizer]:
        """Optimizers of the network's own, by name, made once a training; their states are kept for a resume."""
        return {}

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Called before each epoch (from 1): whatever changes over the training is a function of these numbers."""

    def own_step(self, batch: Batch, optimizers: Mapping[str, Optimizer]) -> None:
        """Called before each of the training's steps: a step of the network's own optimizers."""

    def after_step(self, output: Output, batch: Batch) -> None:
        """Called after each of the training's steps, without gradient: a moving average, a statistic of the batch."""


def network_class(kind: str) -> type[Network]:
    """The class of the network in ``networks/KIND.py``."""
    found: type[Network] = import_module(f"bigfusion.model.networks.{kind}").NETWORK
    return found


def build(settings: NetworkSettings, widths: Mapping[str, int], classes: int) -> Network:
    """The network that ``settings.kind`` names, before its training.

    Raises:
        TrainingError: as in :class:`Network`, or a network that depends on no later utterance is to read means over
            the dialogue.
    """
    make: Callable[..., Network] = network_class(settings.kind)
    network = make(settings, widths, classes)
    if network.causal and settings.centred:
        raise TrainingError(
            f"model.centred: expected no modality, for {settings.kind} with these settings hears no later utterance, "
            f"of which a mean over the dialogue would tell, found {', '.join(settings.centred)}; take it out"
        )
    return network


def _chosen(widths: Mapping[str, int], settings: NetworkSettings) -> dict[str, int]:
    """The stored widths of the features in use."""
    chosen = settings.chosen(widths)
    stored = ", ".join(widths) or "none"
    if settings.features is None:
        missing = [str(name) for name in settings.modalities if name not in settings.modalities_of(widths)]
        if missing:
            raise TrainingError(
                f"modality {missing[0]}: expected features, for model.modalities names it, found those of {stored}; "
                "extract it or take it out of model.modalities"
            )
    if not chosen:
        raise TrainingError(
            f"model.features {', '.join(settings.features or ())}: expected at least one of them, found {stored}; "
            "extract it or name another"
        )
    return {str(name): widths[name] for name in chosen}
