"""AD-GCL: adversarial edge dropping (Suresh et al. 2021, NeurIPS).

An augmenter, a relational layer and a classifier of edges, gives each edge a logit a_e to keep it; the view weighs
edges by w_e = sigmoid(log u - log(1 - u) + a_e), u ~ U(1e-4, 1 - 1e-4). The original is contrasted with this one view.
Before each step of the training, with noise of its own, the augmenter takes one step up

    L_cl - lambda_reg * mean over dialogues of mean over edges of (1 - w_e);

then the network takes its step down L_cl, for which w is a constant.

Departures from the released code: edges have relations and a direction, so that the classifier also reads an embedding
of the relation and the signed distance; lambda_reg is 1, not 5, because L_cl at temperature 1 spans 2 nats where theirs
at 0.2 spans 8: the augmenter would drop nothing; dialogues without edges are left out of the mean; the contrast is
BIG-FUSION's.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding
from torch.optim import Optimizer

from bigfusion.model.contrast.base import Contrast, Host, View, Views
from bigfusion.model.contrast.draws import edge_dialogue, edges, uniform
from bigfusion.model.contrast_settings.ad_gcl import ADGCLSettings
from bigfusion.model.layers.graph import Graph, Relations
from bigfusion.model.layers.rgcn import RelationalConvolution
from bigfusion.model.network_settings.bigfusion import BigFusionSettings

RELATION = 8
"""Width of a relation's embedding."""
MARGIN = 1e-4
"""The distance that u keeps from 0 and 1."""


class ADGCL(Contrast):
    """The first view is the graph itself, the second the augmenter's."""

    def __init__(self, settings: ADGCLSettings, model: BigFusionSettings, relations: Relations) -> None:
        super().__init__(settings, model, relations)
        self.settings = settings
        self.augmenter = Augmenter(model.width, relations.count, settings.hidden)

    def views(self, nodes: Tensor, graph: Graph, host: Host) -> Views:
        """The network's step: the weights are constants."""
        with torch.no_grad():
            weights = keep_weights(self.augmenter(nodes, graph), graph)
        return Views(View(nodes), View(nodes, weights.to(nodes.dtype)))

    def optimizers(self) -> dict[str, Optimizer]:
        """The augmenter's."""
        return {"augmenter": torch.optim.Adam(self.augmenter.parameters(), lr=self.settings.learning_rate)}

    def own_step(self, nodes: Tensor, graph: Graph, host: Host, optimizers: Mapping[str, Optimizer]) -> None:
        """The augmenter's step. The network's gradients stay as they are."""
        parameters = list(self.augmenter.parameters())
        gain = self.gain(nodes, graph, host)
        for weight, gradient in zip(parameters, torch.autograd.grad(-gain, parameters), strict=True):
            weight.grad = gradient
        host.sum_gradients(parameters)
        optimizers["augmenter"].step()
        optimizers["augmenter"].zero_grad()

    def gain(self, nodes: Tensor, graph: Graph, host: Host) -> Tensor:
        """What the augmenter maximises, over the dialogues of all processes. Scalar."""
        weights = keep_weights(self.augmenter(nodes, graph), graph)
        loss = host.compare(host.encoder(nodes, graph), host.encoder(nodes, graph, weights.to(nodes.dtype)))
        if self.settings.negatives == "dialogue":  # a mean over this process's nodes; else over all of them already
            loss = host.gather(loss.expand(len(nodes))).mean()
        dropped = host.gather(dropped_share(weights, graph))
        return loss - self.settings.regulariser * dropped.sum() / max(len(dropped), 1)


class Augmenter(nn.Module):
    """The logit to keep each edge. Shapes: nodes (V, D) -> (E,)."""

    def __init__(self, width: int, relations: int, hidden: int) -> None:
        super().__init__()
        self.layer = RelationalConvolution(width, relations)
        self.relation = nn.Parameter(torch.randn(relations, RELATION))
        self.classifier = nn.Sequential(nn.Linear(2 * width + RELATION + 1, hidden), nn.ReLU(), nn.Linear(hidden, 1))

    def forward(self, nodes: Tensor, graph: Graph) -> Tensor:
        """Read the graph; no gradient reaches the nodes."""
        source, target = graph.edge_index
        encoded = self.layer(nodes.detach(), graph.edge_index, graph.relation).relu()
        relation = embedding(graph.relation, self.relation)  # (E, 8)
        distance = ((source - target) / max(graph.window, 1)).to(encoded.dtype).unsqueeze(1)
        logits: Tensor = self.classifier(torch.cat([encoded[source], encoded[target], relation, distance], dim=1))
        return logits.squeeze(1)


def keep_weights(logits: Tensor, graph: Graph) -> Tensor:
    """w_e: edges kept in part, by chance, more where the logit is high. Shapes: (E,) -> (E,) float32 or more."""
    with torch.autocast(logits.device.type, enabled=False):
        noise = MARGIN + (1 - 2 * MARGIN) * uniform(edges(graph), graph)
        chance = noise.log() - (-noise).log1p()
        weights: Tensor = (chance + logits.to(torch.promote_types(logits.dtype, chance.dtype))).sigmoid()
    return weights


def dropped_share(weights: Tensor, graph: Graph) -> Tensor:
    """The mean of 1 - w over the edges of each dialogue that has any. Shapes: (E,) -> (up to B,)."""
    dialogue, dialogues = edge_dialogue(graph), len(graph.sizes)
    sums = weights.new_zeros(dialogues).index_add(0, dialogue, 1 - weights)
    count = torch.bincount(dialogue, minlength=dialogues)
    return sums[count > 0] / count[count > 0]


CONTRAST = ADGCL
