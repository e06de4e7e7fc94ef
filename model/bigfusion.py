"""BIG-FUSION: fusion, dual spiking attention, relational graph, contrast of two views, classifier (the paper's Figure 2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from model.attention import DualTransformer
from model.batch import UNLABELLED, Batch
from model.config import ModelSettings
from model.contrast import contrastive_loss
from model.fusion import Fusion
from model.graph import Graph, Relations, build_graph, to_rows
from model.importance import dual_importance, random_importance
from model.information import Information, gaussian_information, histogram_information
from model.normalise import Normalise
from model.rgcn import RelationalEncoder
from model.spiking import RateCoding
from model.views import view_weights
from pipeline.errors import TrainingError


@dataclass(frozen=True)
class Output:
    """What the network says of a batch.

    Shapes: ``logits`` (B, N, C); ``contrast`` scalar, L_cl of Eq. 3, 0 where it was not asked for; ``rates`` the mean
    firing rate of each spiking layer (``layer1.query``, ...: scalars without gradient); ``fused``, ``context`` and
    ``graph`` (B, N, D): the utterances after fusion, Transformer and graph (``None`` without a graph). All but the
    rates are of no meaning where padded.
    """

    logits: Tensor
    contrast: Tensor
    rates: dict[str, Tensor]
    fused: Tensor
    context: Tensor
    graph: Tensor | None


class BigFusion(nn.Module):
    """The network. ``widths`` maps each stored modality to its features' width; ``settings.modalities`` chooses.

    Before training, ``normalise.fit(dialogues)`` takes the features' means and deviations from the training dialogues;
    they travel in the state dict.

    Raises:
        TrainingError: a modality of the settings is not among the stored ones.
    """

    def __init__(self, widths: Mapping[str, int], classes: int, settings: ModelSettings) -> None:
        super().__init__()
        self.settings = settings
        width, spiking, graph = settings.width, settings.spiking, settings.graph
        widths = _chosen(widths, settings)
        self.normalise = Normalise(widths)
        self.fusion = Fusion(widths, width, settings.audio_width)
        neurons = RateCoding(
            spiking.steps, spiking.decay, spiking.threshold, spiking.rise, spiking.surrogate_alpha
        )
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

    def forward(self, batch: Batch, contrast: bool | None = None) -> Output:
        """Read a batch. ``contrast``: whether to compute L_cl where it is enabled; by default in training only."""
        fused = self.fusion(self.normalise(batch.features), batch.present)  # (B, N, D)
        context, rates = self.transformer(fused, batch.mask)  # (B, N, D)
        if self.encoder is None:
            return Output(self.classifier(context), context.new_zeros(()), rates, fused, context, None)

        graph = build_graph(batch.mask, batch.speakers, self.settings.graph.window, self.relations)
        nodes = context[batch.mask]  # (V, D): initialised with the Transformer's output
        encoded = self.encoder(nodes, graph)  # (V, D)
        rows = to_rows(encoded, batch.mask)  # (B, N, D)
        logits = self.classifier(torch.cat([rows, context], dim=-1))  # (B, N, C)

        wanted = self.settings.contrast.enabled and (self.training if contrast is None else contrast)
        loss = self._contrast(nodes, encoded, graph, batch.mask) if wanted else logits.new_zeros(())
        return Output(logits, loss, rates, fused, context, rows)
