"""BIG-FUSION (the paper's Figure 2): fusion, dual spiking attention, graph, contrast of two views, classifier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from bigfusion.model.contrast.base import Comparison, Host, contrasted
from bigfusion.model.contrast.base import build as build_contrast
from bigfusion.model.contrast.dual_importance import importance
from bigfusion.model.data.batch import Batch, Dialogue, collate
from bigfusion.model.data.utterances import Utterances, to_rows
from bigfusion.model.layers.fusion import Fusion
from bigfusion.model.layers.graph import Graph, Relations, build_graph
from bigfusion.model.layers.neighbourhood import NeighbourhoodClassifier
from bigfusion.model.layers.objectives import classification_loss
from bigfusion.model.layers.relative import less_speaker_mean, relative_to_speaker, speaker_groups
from bigfusion.model.layers.retrieval import Retrieval
from bigfusion.model.layers.rgcn import RelationalEncoder
from bigfusion.model.layers.spiking import RateCoding
from bigfusion.model.layers.transformer import DualTransformer
from bigfusion.model.network_settings.bigfusion import BigFusionSettings
from bigfusion.model.networks.base import Network, Output, Part
from bigfusion.pipeline.schema import FeatureName, Modality


class BigFusion(Network):
    """The network. What it is contrasted by, ``settings.contrast`` says (``contrast/KIND.py``).

    Before training, ``fit(dialogues)`` takes the features' means and deviations, the neighbourhood classifier and the
    texts that are voted by from the training dialogues; they travel in the state dict.

    Output: ``representations`` are the utterances after ``fusion``, ``context`` (the Transformer) and ``graph`` (if
    there is one); ``parts``: ``contrast`` L_cl of Eq. 3, ``views`` (B, N, C) the logits of each augmented view where
    they are classified; both only where the contrast was asked for.
    """

    training_only = ("contrast",)

    regresses = True

    def __init__(self, settings: BigFusionSettings, widths: Mapping[str, int], classes: int) -> None:
        super().__init__(settings, widths)
        self.settings = settings
        width, spiking, graph = settings.width, settings.spiking, settings.graph
        self.dropout = nn.Dropout(settings.feature_dropout)
        seen = {name: 2 * stored if name in settings.relative else stored for name, stored in self.widths.items()}
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
        contrasts = graph.enabled and settings.contrast.enabled
        self.contrast = build_contrast(settings.contrast, settings, self.relations) if contrasts else None
        self.neighbourhood: NeighbourhoodClassifier | None = None
        if graph.enabled and graph.neighbourhood.enabled:
            columns = sum(
                self.stored[name] * (2 if modality in settings.relative else 1)
                for modality, names in self.merge.parts.items()
                for name in names
            )
            centred = [name for name in self.stored if FeatureName(name).modality in self.centred]
            self.neighbourhood = NeighbourhoodClassifier(columns, classes, graph.neighbourhood.bands, centred)
        self.texts = self.merge.parts.get(Modality.TEXT, [])
        self.retrieval: Retrieval | None = None
        if settings.retrieval.enabled and self.texts:
            vote = settings.retrieval
            wide = sum(self.stored[name] for name in self.texts)
            self.retrieval = Retrieval(wide, classes, vote.sharpness, vote.prior)

    def fit(self, dialogues: Sequence[Dialogue]) -> None:
        """Take from the training dialogues what gradient steps do not: means, deviations, the classifiers beside it."""
        super().fit(dialogues)
        labels = torch.from_numpy(np.concatenate([dialogue.labels for dialogue in dialogues]))
        if self.retrieval is not None:
            said = [self._said(self.columns(collate([dialogue]))) for dialogue in dialogues]
            self.retrieval.fit([texts for texts, _ in said], torch.cat([present for _, present in said]), labels)
        if self.neighbourhood is not None:
            inputs = (self._neighbourhood_inputs(self.columns(collate([dialogue]))) for dialogue in dialogues)
            self.neighbourhood.fit(inputs, labels, self.settings.graph.neighbourhood.penalty)

    def forward(self, batch: Batch, contrast: bool | None = None) -> Output:
        """Read a batch. ``contrast``: whether to compute L_cl where it is enabled; by default in training only."""
        utterances = self.read(batch)
        rows = utterances.rows  # (V, ...) -> (B, N, ...)
        fused = self._fuse(utterances)  # (V, D)
        encoded = self.transformer(fused, batch.mask)
        nodes = encoded.output  # (V, D)
        representations = {"fusion": rows(fused), "context": rows(nodes)}
        if self.encoder is None:
            return Output(rows(self._voted(self.classifier(nodes), batch)), {}, encoded.rates, representations)

        graph = build_graph(batch.mask, batch.speakers, self.settings.graph.window, self.relations)
        original = self.encoder(nodes, graph)  # (V, D)
        logits = self._classify(original, nodes)  # (V, C)
        if self.neighbourhood is not None and not self.training:
            beside = self.neighbourhood(self._neighbourhood_inputs(self.columns(batch)))
            logits = (logits.log_softmax(-1) + beside) / 2  # the geometric mean
        logits = self._voted(logits, batch)
        parts = {}
        if self.contrast is not None and (self.training if contrast is None else contrast):
            parts = self._contrast(nodes, original, graph, batch)
        return Output(rows(logits), parts, encoded.rates, representations | {"graph": rows(original)})

    def loss(self, output: Output, batch: Batch, smoothing: float = 0.0) -> dict[str, Part]:
        """Eq. 12: L_ce + lambda L_cl, lambda being ``contrast.weight``; and the views' own L_ce, if asked for."""
        parts, settings = super().loss(output, batch, smoothing), self.settings.contrast
        if "contrast" in output.parts:
            whole = settings.negatives == "batch"
            parts["contrast"] = Part(output.parts["contrast"], "batch" if whole else "nodes", settings.weight)
        if "penalty" in output.parts:
            parts["penalty"] = Part(output.parts["penalty"], "dialogues", settings.weight)
        if "views" in output.parts:
            losses = [classification_loss(logits, batch, smoothing) for logits in output.parts["views"]]
            parts["views"] = Part(torch.stack(losses).mean(), weight=settings.classify)
        return parts

    def _classify(self, graph: Tensor, nodes: Tensor) -> Tensor:
        """Shapes: (V, D), (V, D) -> (V, C)."""
        logits: Tensor = self.classifier(torch.cat([graph, nodes], dim=-1))
        return logits

    def read(self, batch: Batch) -> Utterances:
        """The real utterances of a batch, standardised; ``relative`` ones also relative to their speaker's mean."""
        columns = self.columns(batch)
        utterances = self.merged(columns)
        features = dict(utterances.features)
        for name in features.keys() & set(self.settings.relative):
            own, parts = (utterances, [name]) if name in self.merge.sums else (columns, self.merge.parts[name])
            relative = [_relative(own, part) for part in parts]
            features[name] = torch.cat([features[name], *relative], dim=-1)  # (V, 2 F_m)
        return replace(utterances, features=features)

    def _neighbourhood_inputs(self, columns: Utterances) -> Utterances:
        """Each feature apart, also relative to its speaker's mean if its modality is so read. No step changes them."""
        features: dict[str, Tensor] = {}
        present: dict[str, Tensor] = {}
        for modality, names in self.merge.parts.items():
            features |= {name: columns.features[name] for name in names}
            present |= {name: columns.present[name] for name in names}
            if modality in self.settings.relative:
                features |= {f"relative/{name}": _relative(columns, name) for name in names}
                present |= {f"relative/{name}": columns.present[name] for name in names}
        return replace(columns, features=features, present=present)

    def _said(self, columns: Utterances) -> tuple[Tensor, Tensor]:
        """The features of the text side by side, and which utterances have all of them. Shapes: (V, F), (V,) bool."""
        present = torch.stack([columns.present[name] for name in self.texts]).all(0)
        return torch.cat([columns.features[name] for name in self.texts], dim=1), present

    def _voted(self, logits: Tensor, batch: Batch) -> Tensor:
        """The logits with the vote of like texts, in evaluation. Shapes: (V, C) -> (V, C)."""
        if self.retrieval is None or self.training:
            return logits
        odds: Tensor = self.retrieval(*self._said(self.columns(batch)))
        return logits.log_softmax(-1) + self.settings.retrieval.weight * odds

    def _fuse(self, utterances: Utterances) -> Tensor:
        """The real utterances fused. Shape: (V, D)."""
        dropped = {name: self.dropout(rows) for name, rows in utterances.features.items()}
        fused: Tensor = self.fusion(dropped, utterances.present)
        if self.relative is not None:
            group = speaker_groups(utterances.dialogue, utterances.speaker)
            fused = fused + self.relative(less_speaker_mean(fused, group))
        return fused

    def importance(self, nodes: Tensor, graph: Graph) -> Tensor:
        """Importance of every node from 0 to 1 (Eq. 10), without gradient. Shapes: (V, D) -> (V,) float64.

        Raises:
            RuntimeError: the network has no graph.
        """
        if self.encoder is None:
            raise RuntimeError("importance is that of a graph's nodes; this network has graph.enabled = false")
        return importance(nodes, graph, self.encoder, self.settings.importance)

    def _contrast(
        self, nodes: Tensor, original: Tensor, graph: Graph, batch: Batch
    ) -> dict[str, Tensor | tuple[Tensor, ...]]:
        """L_cl, its penalty if it has one, and the views' logits (B, N, C) if they are classified."""
        assert self.encoder is not None and self.contrast is not None
        found = contrasted(self.contrast, nodes, original, graph, self.encoder, self._comparison(batch))
        parts: dict[str, Tensor | tuple[Tensor, ...]] = {"contrast": found.loss}
        if found.penalty is not None:
            parts["penalty"] = found.penalty
        if self.settings.contrast.classify:
            parts["views"] = tuple(to_rows(self._classify(view, nodes), batch.mask) for view in found.encoded)
        return parts

    def _comparison(self, batch: Batch) -> Comparison:
        return Comparison(self.settings.contrast, batch.labels[batch.mask], batch.mask, self.peers.gather)

    def optimizers(self) -> dict[str, Optimizer]:
        """The contrast's."""
        return {} if self.contrast is None else self.contrast.optimizers()

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Tell the contrast."""
        if self.contrast is not None:
            self.contrast.begin_epoch(epoch, epochs)

    def own_step(self, batch: Batch, optimizers: Mapping[str, Optimizer]) -> None:
        """A step of the contrast's optimizers, on nodes without gradient."""
        assert self.encoder is not None and self.contrast is not None
        with torch.no_grad():
            nodes = self.transformer(self._fuse(self.read(batch)), batch.mask).output
        graph = build_graph(batch.mask, batch.speakers, self.settings.graph.window, self.relations)
        host = Host(self.encoder, self._comparison(batch), self.peers.gather, self.peers.sum_gradients)
        self.contrast.own_step(nodes, graph, host, optimizers)

    def after_step(self, output: Output, batch: Batch) -> None:
        """Tell the contrast."""
        if self.contrast is not None and self.encoder is not None:
            self.contrast.after_step(self.encoder)


def _relative(utterances: Utterances, name: str) -> Tensor:
    """A feature relative to its speaker's mean. Shape: (V, F)."""
    group = speaker_groups(utterances.dialogue, utterances.speaker)  # (V,)
    return relative_to_speaker(utterances.features[name], utterances.present[name], group)


NETWORK = BigFusion
