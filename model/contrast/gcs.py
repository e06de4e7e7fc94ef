"""GCS: graph contrastive saliency, refined in rounds (Wei et al. 2023, ICML).

Each of K rounds encodes the graph with what was found so far masked, and reads off how much each node matters: g_v = d
L_cl(h of the first round, h of this one) / d h_v, alpha_v = max(0, mean of g_v), c_v = alpha_v * sum of h_v, from 0 to
1 within its dialogue. m_v = max(m_v, c_v) of a node, m_e = max(m_e, (c_u + c_v) / 2) of an edge u -> v; the next round
weighs edges by 1 - m_e. Salient is what ends above the threshold.

Two positive views hold all that is salient and a random share of the rest. The negative view holds all the rest and a
small random share of what is salient; the penalty pushes it away from the original. Before, for a share of the epochs,
the original is contrasted with itself less some random edges.

Departures from the released code: the score is BIG-FUSION's L_cl within dialogues; c is divided by its range, not by
its maximum, which negative values spoil; relations stay (the released transfer code loses them); a node that is dropped
loses its edges and stays an anchor. As released, the score is the loss itself: salient nodes are those that raise it.
The gradient is with respect to the last layer's nodes and does not pass through the encoder.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor
from torch.func import vmap

from bigfusion.model.contrast.base import Contrast, Host, View, Views
from bigfusion.model.contrast.draws import edges, random_edges, row_mask, touches, uniform, weights_without
from bigfusion.model.contrast.importance import min_max
from bigfusion.model.contrast.losses import contrastive_loss
from bigfusion.model.contrast_settings.gcs import GCSSettings
from bigfusion.model.data.utterances import to_rows
from bigfusion.model.layers.graph import Graph, Relations
from bigfusion.model.layers.rgcn import RelationalEncoder
from bigfusion.model.network_settings.bigfusion import BigFusionSettings


class GCS(Contrast):
    """Both views keep the nodes as they are and drop edges."""

    def __init__(self, settings: GCSSettings, model: BigFusionSettings, relations: Relations) -> None:
        super().__init__(settings, model, relations)
        self.settings = settings
        self.warming = False

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Note whether this epoch still warms up."""
        self.warming = epoch <= self.settings.warmup * epochs

    def views(self, nodes: Tensor, graph: Graph, host: Host) -> Views:
        """Two positive views, and the negative one within the penalty."""
        settings = self.settings
        if self.warming:
            dropped = random_edges(graph, settings.warmup_drop)
            return Views(View(nodes), View(nodes, weights_without(dropped, nodes)))
        masks = saliency(nodes, graph, host.encoder, settings.rounds, settings.temperature)
        of_nodes, of_edges = (mask > settings.threshold for mask in masks)
        first, second = (
            View(nodes, kept_weights(_or_some(of_nodes, keep, graph), _or_some(of_edges, keep, graph), graph, nodes))
            for keep in (settings.keep, settings.keep)
        )
        if not settings.negative:
            return Views(first, second)
        leak = settings.leak
        weights = kept_weights(_or_some(~of_nodes, leak, graph), _or_some(~of_edges, leak, graph), graph, nodes)
        original, negative = host.encoder(nodes, graph), host.encoder(nodes, graph, weights)
        losses = dialogue_losses(original, negative, graph, settings.temperature)
        return Views(first, second, penalty=-settings.negative * losses.sum() / max(len(losses), 1))


def saliency(
    nodes: Tensor, graph: Graph, encoder: RelationalEncoder, rounds: int, temperature: float
) -> tuple[Tensor, Tensor]:
    """m_v of the nodes and m_e of the edges, from 0 to 1, without gradient. Shapes: (V, D) -> (V,), (E,) float64."""
    source, target = graph.edge_index
    of_nodes = torch.zeros(len(nodes), dtype=torch.float64, device=nodes.device)
    of_edges = of_nodes.new_zeros(edges(graph))
    first: Tensor | None = None
    for _ in range(rounds):
        with torch.no_grad():
            weights = None if first is None else (1 - of_edges).to(nodes.dtype)
            encoded = encoder(nodes.detach(), graph, weights)
        share = min_max(contribution(encoded, first, graph, temperature), graph)
        of_nodes = torch.maximum(of_nodes, share)
        of_edges = torch.maximum(of_edges, (share[source] + share[target]) / 2)
        first = encoded if first is None else first
    return of_nodes, of_edges


def contribution(encoded: Tensor, first: Tensor | None, graph: Graph, temperature: float) -> Tensor:
    """c_v before it is normalised; ``first`` None: this is the first round, contrasted with itself.

    Shapes: (V, D), (V, D) -> (V,) float64.
    """
    with torch.enable_grad(), torch.autocast(encoded.device.type, enabled=False):
        encoded = encoded.detach().to(torch.promote_types(encoded.dtype, torch.float32)).requires_grad_()
        other = encoded if first is None else first.to(encoded.dtype)
        score = dialogue_losses(other, encoded, graph, temperature).sum()
        (gradient,) = torch.autograd.grad(score, encoded)
    return gradient.double().mean(1).clamp(min=0) * encoded.detach().double().sum(1)


def dialogue_losses(first: Tensor, second: Tensor, graph: Graph, temperature: float) -> Tensor:
    """L_cl of each dialogue by itself. Shapes: (V, D), (V, D) -> (B,)."""
    mask = row_mask(graph)
    rows = [to_rows(packed, mask).unsqueeze(1) for packed in (first, second)]  # (B, 1, N, D): each a batch of one
    alone = vmap(partial(contrastive_loss, temperature=temperature))
    losses: Tensor = alone(rows[0], rows[1], mask.unsqueeze(1))
    return losses


def kept_weights(of_nodes: Tensor, of_edges: Tensor, graph: Graph, nodes: Tensor) -> Tensor:
    """1 for kept edges between kept nodes, else 0. Shapes: (V,) bool, (E,) bool -> (E,)."""
    return weights_without(touches(~of_nodes, graph) | ~of_edges, nodes)


def _or_some(chosen: Tensor, share: float, graph: Graph) -> Tensor:
    """Those chosen, and each of the others with probability ``share``. Shapes: (M,) bool -> (M,) bool."""
    return chosen | (uniform(len(chosen), graph) < share)


CONTRAST = GCS
