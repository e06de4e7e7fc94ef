"""CMCF-style: a reconstruction of CMCF-SRNet (Zhang & Li, ACL 2023) from descriptions of it. It is not that network.

There is no public code, and the paper's text was not at hand: what is known is a "cross-modal locality-constrained
transformer" followed by a "graph-based semantic refinement transformer". Everything below is inferred; call the results
"CMCF-style", never "CMCF-SRNet".

1. x_m = LN(Linear(features of m)), text through a BiGRU; + c (sinusoidal positions + speaker embedding).
2. For each ordered pair of modalities, in each layer: m <- LN(m + Att(m <- x_n)), m <- LN(m + FFN(m)), where utterance
   i sees j for |i - j| <= window. A modality's partners are summed; one modality alone stays as it is.
3. f = Linear([t; a; v]).
4. r_i = LeakyReLU(W f_i + b + sum over relations of the mean of W_r f_j), relations {same, other speaker} x {earlier,
   later} within a window.
5. Graph transformer over the same edges and itself: scores q_i . k_j / sqrt d + bias of (relation, head) + b cos(f_i,
   f_j), b learnt from 0; residuals, LN, FFN.
6. logits = Linear(drop ReLU(Linear([f; r]))).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, normalize, scaled_dot_product_attention

from bigfusion.model.data.batch import Batch
from bigfusion.model.data.utterances import to_rows
from bigfusion.model.layers.fusion import Projections
from bigfusion.model.layers.graph import Relations, build_graph
from bigfusion.model.layers.recurrence import over_dialogues
from bigfusion.model.layers.rgcn import RelationalConvolution
from bigfusion.model.layers.transformer import positions
from bigfusion.model.layers.window import heard
from bigfusion.model.network_settings.cmcf_srnet import CMCFSRNetSettings
from bigfusion.model.networks.base import Network, Output
from bigfusion.pipeline.schema import Modality

RELATIONS = Relations("order")
SELF = RELATIONS.count
"""The relation of an utterance to itself, after those to others."""


def seen_locally(mask: Tensor, window: int) -> Tensor:
    """[i, j]: whether i sees j; padding sees itself, for a softmax over nothing is NaN. Shapes: (B, N) -> (B, N, N)."""
    own = torch.eye(mask.shape[1], dtype=torch.bool, device=mask.device)
    return heard(mask, window, window) | own


def _feed_forward(width: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(2 * width, width))


class LocalCrossLayer(nn.Module):
    """One layer of an ordered pair of modalities. Shapes: own, other (V, H), mask, seen (B, N, N) -> (V, H)."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads, dropout, batch_first=True)
        self.norm, self.last_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.feed_forward = _feed_forward(width, dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(self, own: Tensor, other: Tensor, mask: Tensor, seen: Tensor) -> Tensor:
        """Attend to the other modality, then feed forward."""
        keys = to_rows(other, mask)
        hidden = ~seen.repeat_interleave(self.attention.num_heads, dim=0)
        attended, _ = self.attention(to_rows(own, mask), keys, keys, attn_mask=hidden, need_weights=False)
        states = self.norm(own + self.dropout(attended[mask]))
        normed: Tensor = self.last_norm(states + self.dropout(self.feed_forward(states)))
        return normed


class GraphTransformerLayer(nn.Module):
    """Attention along the edges, biased by relations and likeness. Shapes: nodes (V, H) -> (V, H)."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.query_key_value = nn.Linear(width, 3 * width)
        self.relation = nn.Parameter(torch.zeros(RELATIONS.count + 1, heads))
        self.closeness = nn.Parameter(torch.zeros(()))
        self.output = nn.Linear(width, width)
        self.norm, self.last_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.feed_forward = _feed_forward(width, dropout)
        self.dropout = nn.Dropout(dropout)

    def attend(self, nodes: Tensor, relation: Tensor, cosine: Tensor, seen: Tensor, mask: Tensor) -> Tensor:
        """Shapes: (V, H), relation, cosine, seen (B, N, N), mask (B, N) -> (V, H)."""
        rows = to_rows(self.query_key_value(nodes), mask)
        query, key, value = (
            part.reshape(*mask.shape, self.heads, -1).transpose(1, 2) for part in rows.chunk(3, dim=-1)
        )  # (B, heads, N, d)
        bias = self.relation[relation].permute(0, 3, 1, 2) + self.closeness * cosine.unsqueeze(1)
        bias = bias.masked_fill(~seen.unsqueeze(1), -torch.inf)
        attended = scaled_dot_product_attention(query, key, value, attn_mask=bias.to(query.dtype))
        packed: Tensor = self.output(attended.transpose(1, 2)[mask].flatten(1))
        return packed

    def forward(self, nodes: Tensor, relation: Tensor, cosine: Tensor, seen: Tensor, mask: Tensor) -> Tensor:
        """Attend, then feed forward."""
        hidden = self.norm(nodes + self.dropout(self.attend(nodes, relation, cosine, seen, mask)))
        normed: Tensor = self.last_norm(hidden + self.dropout(self.feed_forward(hidden)))
        return normed


def dense_relations(speakers: Tensor) -> Tensor:
    """[i, j]: the relation of j -> i, ``SELF`` on the diagonal. Shapes: (B, N) -> (B, N, N)."""
    place = torch.arange(speakers.shape[1], device=speakers.device)
    relation = RELATIONS.of(speakers.unsqueeze(1), speakers.unsqueeze(2), later=place > place.unsqueeze(1))
    return relation.masked_fill(place == place.unsqueeze(1), SELF)


class CMCFSRNet(Network):
    """The network. Output: ``representations`` after ``fusion`` and after the ``graph`` (B, N, H)."""

    numbered_speakers = True

    def __init__(self, settings: CMCFSRNetSettings, widths: Mapping[str, int], classes: int) -> None:
        super().__init__(settings, widths)
        self.settings = settings
        width, heads, dropout = settings.width, settings.heads, settings.dropout
        names = list(self.widths)
        self.project = Projections(self.widths, width)
        self.norms = nn.ModuleDict({name: nn.LayerNorm(width) for name in names})
        if Modality.TEXT in self.widths:
            self.gru = nn.GRU(width, width // 2, batch_first=True, bidirectional=True)
        self.speaker = nn.Embedding(settings.speakers, width)
        self.dropout = nn.Dropout(dropout)
        self.pairs = nn.ModuleDict(
            {
                f"{own}_{other}": nn.ModuleList(LocalCrossLayer(width, heads, dropout) for _ in range(settings.layers))
                for own in names
                for other in names
                if own != other
            }
        )
        self.join = nn.Linear(len(names) * width, width)
        self.convolution = RelationalConvolution(width, RELATIONS.count)
        self.refine = nn.ModuleList(GraphTransformerLayer(width, heads, dropout) for _ in range(settings.graph_layers))
        self.classifier = nn.Sequential(
            nn.Linear(2 * width, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, classes)
        )

    def forward(self, batch: Batch) -> Output:
        """Read a batch."""
        utterances = self.read(batch)
        mask, rows = batch.mask, utterances.rows
        place = mask.nonzero()[:, 1]
        added = self.speaker(utterances.speaker.clamp(max=self.settings.speakers - 1))
        added = added + positions(mask.shape[1], self.settings.width, like=added)[place]
        added = self.settings.embedding_weight * added
        inputs = {}
        for name, projected in self.project(utterances.features, utterances.present).items():
            encoded = self.norms[name](projected)
            if name == Modality.TEXT:
                encoded = over_dialogues(self.gru, encoded, utterances)
            inputs[name] = self.dropout(encoded + added)  # (V, H)
        fused = self.join(torch.cat(list(self._crossed(inputs, mask).values()), dim=-1))
        graph = self._refined(fused, batch)
        logits = rows(self.classifier(torch.cat([fused, graph], dim=-1)))
        return Output(logits, representations={"fusion": rows(fused), "graph": rows(graph)})

    def _crossed(self, inputs: Mapping[str, Tensor], mask: Tensor) -> dict[str, Tensor]:
        """Each modality as its partners see to it, summed. Shapes: (V, H) each -> (V, H) each."""
        seen = seen_locally(mask, self.settings.window)
        crossed = {name: [rows] if len(inputs) == 1 else [] for name, rows in inputs.items()}
        for own, rows in inputs.items():
            for other in (name for name in inputs if name != own):
                states, pair = rows, self.pairs[f"{own}_{other}"]
                assert isinstance(pair, nn.ModuleList)
                for layer in pair:
                    states = layer(states, inputs[other], mask, seen)
                crossed[own].append(states)
        return {name: torch.stack(states).sum(0) for name, states in crossed.items()}

    def _refined(self, fused: Tensor, batch: Batch) -> Tensor:
        """Shapes: (V, H) -> (V, H)."""
        mask, window = batch.mask, self.settings.graph_window
        graph = build_graph(mask, batch.speakers, window, RELATIONS)
        nodes = leaky_relu(self.convolution(fused, graph.edge_index, graph.relation))
        alike = normalize(to_rows(fused, mask), dim=-1, eps=1e-6)
        cosine, relation, seen = alike @ alike.mT, dense_relations(batch.speakers), seen_locally(mask, window)
        for layer in self.refine:
            nodes = layer(nodes, relation, cosine, seen, mask)
        return nodes


NETWORK = CMCFSRNet
