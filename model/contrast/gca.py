"""GCA: random drops, rarer where a node is central (Zhu et al. 2021, WWW).

With phi(v) the centrality of a node in its dialogue:

* an edge u -> v has the score s = log phi(v);
* a column d has the score s = log of the sum over v of |x_vd| phi(v);
* either is dropped with probability min(p (s_max - s) / (s_max - mean s), cap), so that p is the mean probability as
  long as none is capped. Edges into the most central node always stay. A column is 0 in the whole dialogue.

Departures from the released code: all statistics are per dialogue (it has one large graph); where all scores are equal
the probability is p, where its 0/0 gives the cap to everyone; a column of zeros takes no part in the scores, where its
minus infinity makes all of them NaN; |x| has no gradient; the contrast is BIG-FUSION's, without GCA's own head. A
window graph is almost regular, so that degree and PageRank drop its ends alone: the eigenvector is the default. It too
knows positions alone; ``speaker_pagerank`` also knows who speaks.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bigfusion.model.contrast.base import Contrast, Host, View, Views
from bigfusion.model.contrast.draws import edge_dialogue, edges, uniform, weights_without
from bigfusion.model.contrast.importance import CONSTANT
from bigfusion.model.contrast_settings.gca import GCASettings
from bigfusion.model.layers.graph import Graph, Relations
from bigfusion.model.network_settings.bigfusion import BigFusionSettings

ROUNDS = 30
"""Power iterations for the eigenvector. In long dialogues, where they converge slowly, the start is the limit itself.
"""
PAGERANK_ROUNDS = 100
DAMPING = 0.85


class GCA(Contrast):
    """Each view drops edges and columns with its own probabilities."""

    def __init__(self, settings: GCASettings, model: BigFusionSettings, relations: Relations) -> None:
        super().__init__(settings, model, relations)
        self.settings = settings
        self.centrality = {"eigenvector": eigenvector, "speaker_pagerank": speaker_pagerank}[settings.centrality]

    def views(self, nodes: Tensor, graph: Graph, host: Host) -> Views:
        """Two draws."""
        centrality, settings = self.centrality(graph), self.settings
        first, second = (
            View(
                torch.where(self._dropped_columns(nodes, graph, centrality, columns)[graph.dialogue], 0, nodes),
                weights_without(self._dropped_edges(graph, centrality, share), nodes),
            )
            for share, columns in zip(settings.edges, settings.columns, strict=True)
        )
        return Views(first, second)

    def _dropped_edges(self, graph: Graph, centrality: Tensor, share: float) -> Tensor:
        """Shape: (E,) bool."""
        probability = edge_probabilities(graph, centrality, share, self.settings.cap)
        return uniform(edges(graph), graph) < probability

    def _dropped_columns(self, nodes: Tensor, graph: Graph, centrality: Tensor, share: float) -> Tensor:
        """Shape: (B, D) bool."""
        probability = column_probabilities(nodes, graph, centrality, share, self.settings.cap)
        return uniform(probability.numel(), graph).view(probability.shape) < probability


def edge_probabilities(graph: Graph, centrality: Tensor, share: float, cap: float) -> Tensor:
    """How likely each edge is dropped. Shapes: centrality (V,) -> (E,) float64."""
    scores = centrality.log()[graph.edge_index[1]]
    return probabilities(scores, edge_dialogue(graph), len(graph.sizes), share, cap)


def column_probabilities(nodes: Tensor, graph: Graph, centrality: Tensor, share: float, cap: float) -> Tensor:
    """How likely each column is set to 0, 0 for one that is 0 already. Shapes: nodes (V, D) -> (B, D) float64."""
    used = nodes.detach().double().abs() * centrality.unsqueeze(1)
    sums = used.new_zeros(len(graph.sizes), nodes.shape[1]).index_add_(0, graph.dialogue, used)  # (B, D)
    dialogue, column = (sums > 0).nonzero(as_tuple=True)
    found = torch.zeros_like(sums)
    found[dialogue, column] = probabilities(sums[dialogue, column].log(), dialogue, len(sums), share, cap)
    return found


def probabilities(scores: Tensor, group: Tensor, groups: int, share: float, cap: float) -> Tensor:
    """min(share (max - s) / (max - mean), cap) within each group; ``share`` where all scores are equal.

    Shapes: scores (M,) float64, group (M,) int -> (M,).
    """
    highest = scores.new_full((groups,), -math.inf).scatter_reduce(0, group, scores, "amax")
    below = highest[group] - scores  # (M,)
    count = torch.bincount(group, minlength=groups).clamp(min=1)
    mean = (scores.new_zeros(groups).index_add_(0, group, below) / count)[group]
    equal = mean <= CONSTANT
    return torch.where(equal, share, share * below / torch.where(equal, 1, mean)).clamp(max=cap)


def eigenvector(graph: Graph) -> Tensor:
    """Eigenvector centrality of every node in its dialogue's graph. Shape: (V,) float64, summing to 1 in each.

    Power iteration on A + I, which also converges on a path. It starts at sin(pi (k + 1 + w/2) / (n + 1 + w)) for node
    k, the eigenvector of a long dialogue but for its ends; short dialogues need few iterations.
    """
    source, target = graph.edge_index
    size, place = graph.sizes[graph.dialogue], places(graph)
    phi = torch.sin(math.pi * (place + 1 + graph.window / 2) / (size + 1 + graph.window))
    for _ in range(ROUNDS):
        phi = phi.index_add(0, target, phi[source])
        phi = phi / phi.new_zeros(len(graph.sizes)).index_add_(0, graph.dialogue, phi)[graph.dialogue]
    return phi


def speaker_pagerank(graph: Graph) -> Tensor:
    """PageRank over the edges between turns of one speaker. Shape: (V,) float64.

    Every node starts at 1; a node without such an edge keeps 1 - DAMPING.
    """
    source, target = graph.edge_index
    same = (graph.speaker[source] == graph.speaker[target]).double()  # (E,)
    out = same.new_zeros(len(graph.dialogue)).index_add_(0, source, same).clamp(min=1)
    rank = torch.ones_like(out)
    for _ in range(PAGERANK_ROUNDS):
        rank = torch.full_like(rank, 1 - DAMPING).index_add(0, target, DAMPING * same * (rank / out)[source])
    return rank


def places(graph: Graph) -> Tensor:
    """Each node's place in its dialogue, from 0. Shape: (V,) float64."""
    start = graph.sizes.cumsum(0) - graph.sizes
    nodes = torch.arange(len(graph.dialogue), device=graph.dialogue.device)
    return (nodes - start[graph.dialogue]).double()


CONTRAST = GCA
