"""BIG-FUSION (the paper's Figure 2): fusion, dual spiking attention, graph, contrast of two views, classifier."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from bigfusion.model.contrast.importance import dual_importance, random_importance
from bigfusion.model.contrast.information import Information, gaussian_information, histogram_information
from bigfusion.model.contrast.losses import contrastive_loss, supervised_contrast
from bigfusion.model.contrast.views import view_weights
from bigfusion.model.data.batch import UNLABELLED, Batch, Dialogue, collate
from bigfusion.model.layers.fusion import Fusion
from bigfusion.model.layers.graph import Graph, Relations, build_graph, to_rows
from bigfusion.model.layers.neighbourhood import NeighbourhoodClassifier
from bigfusion.model.layers.normalise import Normalise
from bigfusion.model.layers.relative import less_speaker_mean, relative_to_speaker, speaker_groups
from bigfusion.model.layers.rgcn import RelationalEncoder
from bigfusion.model.layers.spiking import RateCoding
from bigfusion.model.layers.transformer import DualTransformer
from bigfusion.model.settings import ContrastSettings, ModelSettings
from bigfusion.pipeline.errors import TrainingError


@dataclass(frozen=True)
class Output:
    """What the network says of a batch.

    Shapes: ``logits`` (B, N, C), in training the network's own, which are taught; in evaluation what is predicted,
    together with the neighbourhood classifier where there is one; ``contrast`` scalar, L_cl of Eq. 3, 0 where it was
    not asked for; ``rates`` the mean firing rate of each spiking layer (``layer1.query``, ...: scalars without
    gradient); ``fused``, ``context`` and ``graph`` (B, N, D): the utterances after fusion, Transformer and graph
    (``None`` without a graph); ``views`` (B, N, C): the logits of each augmented view, where they are classified and
    the contrast was asked for. All but the rates are zero where padded.
    """

    logits: Tensor
    contrast: Tensor
    rates: dict[str, Tensor]
    fused: Tensor
    context: Tensor
    graph: Tensor | None
    views: tuple[Tensor, ...] = ()


@dataclass(frozen=True)
class _Inputs:
    """A batch's V real utterances. Shapes: ``features[m]`` (V, F), ``present[m]``, ``group`` (V,), the rest (B, N)."""

    features: dict[str, Tensor]
    present: dict[str, Tensor]
    group: Tensor
    mask: Tensor
    speakers: Tensor

    @property
    def packed(self) -> tuple[Tensor, Tensor, Tensor]:
        """All features side by side, zeros where absent (V, F), and the masks and speakers that they stand for."""
        values = [torch.where(self.present[name].unsqueeze(1), rows, 0) for name, rows in self.features.items()]
        return torch.cat(values, dim=1), self.mask, self.speakers


class BigFusion(nn.Module):
    """The network. ``widths`` maps each stored modality to its features' width; ``settings.modalities`` chooses.

    Before training, ``fit(dialogues)`` takes the features' means and deviations, and the neighbourhood classifier, from
    the training dialogues; they travel in the state dict. ``exchange`` gives a batch's nodes from this process's, where
    several share a batch.

    Raises:
        TrainingError: a modality of the settings is not among the stored ones.
    """

    def __init__(self, widths: Mapping[str, int], classes: int, settings: ModelSettings) -> None:
        super().__init__()
        self.settings = settings
        self.exchange: Callable[[Tensor], Tensor] = _own
        width, spiking, graph = settings.width, settings.spiking, settings.graph
        widths = _chosen(widths, settings)
        self.normalise = Normalise(widths)
        self.dropout = nn.Dropout(settings.feature_dropout)
        seen = {name: 2 * stored if name in settings.relative else stored for name, stored in widths.items()}
        self.fusion = Fusion(seen, width, settings.audio_width)
        self.relative = nn.Linear(width, width) if settings.relative_fusion else None
        neurons = RateCoding(spiking.steps, spiking.decay, spiking.threshold, spiking.rise, spiking.surrogate_alpha)
        self.transformer = DualTransformer(
            width,
            layers=settings.layers,
            heads=settings.heads,
            dropout=settings.dropout,
            alpha=settings.attention.alpha,
            window=settings.attention.window,
            spiking=neurons if spiking.enabled else None,
        )
        self.relations = Relations(graph.relations, graph.speakers)
        self.encoder = RelationalEncoder(width, self.relations.count, graph.layers) if graph.enabled else None
        self.classifier = nn.Sequential(
            nn.Dropout(settings.dropout), nn.Linear(2 * width if graph.enabled else width, classes)
        )
        self.neighbourhood: NeighbourhoodClassifier | None = None
        if graph.enabled and graph.neighbourhood.enabled:
            self.neighbourhood = NeighbourhoodClassifier(sum(seen.values()), classes, graph.neighbourhood.bands)

    def fit(self, dialogues: Sequence[Dialogue]) -> None:
        """Fit on the training dialogues what gradient steps do not: means, deviations, the neighbourhood classifier."""
        self.normalise.fit(dialogues)
        if self.neighbourhood is not None:
            inputs = (self._read(collate([dialogue])).packed for dialogue in dialogues)
            labels = torch.from_numpy(np.concatenate([dialogue.labels for dialogue in dialogues]))
            self.neighbourhood.fit(inputs, labels, self.settings.graph.neighbourhood.penalty)

    def forward(self, batch: Batch, contrast: bool | None = None) -> Output:
        """Read a batch. ``contrast``: whether to compute L_cl where it is enabled; by default in training only."""
        mask = batch.mask
        inputs = self._read(batch)
        fused = self._fuse(inputs)  # (V, D): the V real utterances, packed
        encoded = self.transformer(fused, mask)
        nodes, rates = encoded.output, encoded.rates  # (V, D)
        rows = partial(to_rows, mask=mask)  # (V, ...) -> (B, N, ...)
        if self.encoder is None:
            return Output(rows(self.classifier(nodes)), nodes.new_zeros(()), rates, rows(fused), rows(nodes), None)

        graph = build_graph(mask, batch.speakers, self.settings.graph.window, self.relations)
        original = self.encoder(nodes, graph)  # (V, D)
        logits = self._classify(original, nodes)  # (V, C)
        if self.neighbourhood is not None and not self.training:
            logits = (logits.log_softmax(-1) + self.neighbourhood(*inputs.packed)) / 2  # the geometric mean
        contrasted = nodes.new_zeros(())
        views: tuple[Tensor, ...] = ()
        if self.settings.contrast.enabled and (self.training if contrast is None else contrast):
            contrasted, views = self._contrast(nodes, original, graph, batch)
        return Output(
            logits=rows(logits),
            contrast=contrasted,
            rates=rates,
            fused=rows(fused),
            context=rows(nodes),
            graph=rows(original),
            views=views,
        )

    def _classify(self, graph: Tensor, nodes: Tensor) -> Tensor:
        """Shapes: (V, D), (V, D) -> (V, C)."""
        logits: Tensor = self.classifier(torch.cat([graph, nodes], dim=-1))
        return logits

    def _read(self, batch: Batch) -> _Inputs:
        """The real utterances' features, packed dialogue after dialogue: standardised, and relative where asked for."""
        mask = batch.mask
        present = {name: batch.present[name][mask] for name in self.normalise.modalities}  # (V,)
        features = self.normalise({name: batch.features[name][mask] for name in present})  # (V, F_m)
        group = speaker_groups(mask.nonzero()[:, 0], batch.speakers[mask])  # (V,)
        for name in features.keys() & set(self.settings.relative):
            relative = relative_to_speaker(features[name], present[name], group)
            features[name] = torch.cat([features[name], relative], dim=-1)  # (V, 2 F_m)
        return _Inputs(features, present, group, mask, batch.speakers)

    def _fuse(self, inputs: _Inputs) -> Tensor:
        """The real utterances fused. Shape: (V, D)."""
        dropped = {name: self.dropout(rows) for name, rows in inputs.features.items()}
        fused: Tensor = self.fusion(dropped, inputs.present)
        if self.relative is not None:
            fused = fused + self.relative(less_speaker_mean(fused, inputs.group))
        return fused

    def importance(self, nodes: Tensor, graph: Graph) -> Tensor:
        """Importance of every node from 0 to 1 (Eq. 10), without gradient. Shapes: (V, D) -> (V,) float64.

        Raises:
            RuntimeError: the network has no graph.
        """
        if self.encoder is None:
            raise RuntimeError("importance is that of a graph's nodes; this network has graph.enabled = false")
        settings = self.settings.importance
        if settings.method == "random":
            return random_importance(graph)
        information: Information = gaussian_information
        if settings.estimator == "histogram":
            information = partial(histogram_information, bins=settings.bins)
        return dual_importance(
            nodes.detach(),
            graph,
            self.encoder,
            gamma=settings.gamma,
            noise=settings.noise,
            draws=settings.draws,
            information=information,
        )

    def _contrast(
        self, nodes: Tensor, original: Tensor, graph: Graph, batch: Batch
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """L_cl of the two augmented views, or of the original with each; and the views' logits, if they are classified.

        Shapes: (V, D), (V, D) -> scalar, (B, N, C) each.
        """
        assert self.encoder is not None
        settings = self.settings.contrast
        importance = self.importance(nodes, graph)
        weights = (view_weights(importance, graph, rho, settings.eta).to(nodes.dtype) for rho in settings.rho)
        first, second = (self.encoder(nodes, graph, weight) for weight in weights)
        pairs = [(first, second)] if settings.pair == "views" else [(original, first), (original, second)]
        losses = [self._contrast_of(one, other, graph, batch) for one, other in pairs]
        views = [self._classify(view, nodes) for view in (first, second)] if settings.classify else []
        return torch.stack(losses).mean(), tuple(to_rows(logits, batch.mask) for logits in views)

    def _contrast_of(self, first: Tensor, second: Tensor, graph: Graph, batch: Batch) -> Tensor:
        """L_cl of two graphs of the same nodes. Shapes: (V, D), (V, D) -> scalar."""
        settings = self.settings.contrast
        labels, group, mask = batch.labels[batch.mask], graph.dialogue, batch.mask
        if settings.negatives == "batch":
            first, second, labels = map(self.exchange, (first, second, labels))
            group = torch.zeros_like(labels)
            mask = torch.ones_like(labels, dtype=torch.bool).unsqueeze(0)  # (1, V): one row
        if settings.positives == "label":
            return supervised_contrast(first, second, labels, group, settings.temperature)
        return contrastive_loss(to_rows(first, mask), to_rows(second, mask), mask, settings.temperature)


def _own(rows: Tensor) -> Tensor:
    return rows


def _chosen(widths: Mapping[str, int], settings: ModelSettings) -> dict[str, int]:
    """The stored widths of the modalities in use."""
    missing = [str(name) for name in settings.modalities if name not in widths]
    if missing:
        stored = ", ".join(widths) or "none"
        raise TrainingError(
            f"modality {missing[0]}: expected features, for model.modalities names it, found those of {stored}; "
            "extract it or take it out of model.modalities"
        )
    return {str(name): widths[name] for name in settings.modalities}


def classification_loss(logits: Tensor, batch: Batch, smoothing: float = 0.0) -> Tensor:
    """Eq. 11: mean cross-entropy over the labelled real utterances; 0, with a gradient of 0, where there is none.

    ``smoothing`` is the share of each label that is spread over all classes. Shapes: (B, N, C) -> scalar.
    """
    labelled = batch.mask & (batch.labels != UNLABELLED)  # (B, N)
    logits = logits[labelled]
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))  # half precision would blur the logarithm
    total = cross_entropy(logits, batch.labels[labelled], reduction="sum", label_smoothing=smoothing)
    return total / labelled.sum().clamp(min=1)


def loss(output: Output, batch: Batch, contrast: ContrastSettings, smoothing: float = 0.0) -> Tensor:
    """Eq. 12: L_ce + lambda L_cl, lambda being ``contrast.weight``; and the views' own L_ce, if asked for."""
    total = classification_loss(output.logits, batch, smoothing) + contrast.weight * output.contrast
    for logits in output.views:
        total = total + contrast.classify / len(output.views) * classification_loss(logits, batch, smoothing)
    return total
