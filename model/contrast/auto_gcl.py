"""AutoGCL: two learnable view generators (Yin et al. 2022, AAAI).

A generator gives each node the logits of {keep, drop, mask}; a Gumbel softmax draws one of them, one-hot, with the
gradient of the soft probabilities (straight-through, temperature 1). An edge weighs the product of its two ends' kept
(1 for keep and mask, 0 for drop); a masked node's row is a learned token. The penalty

    lambda_sim * (1 - mean over a dialogue's nodes of (kept_1 - kept_2)^2)

rewards views that disagree. Generators and network are trained together, down the same loss.

Departures from the released code: logits are plain, with a bias towards keeping, where a ReLU and a batch norm leave
"keep everything" out of reach; the gradient reaches each neighbour through its edges' weights, where the released one
only scales the node's own features; a dropped node keeps its row and stays an anchor; the token is learned, not the
mean of all numbers; each view has its own generator at every step, where the released unsupervised code contrasts a
view with itself every third time; the generators are stepped by the training's own Adam, which at one learning rate is
what two are, its clipping and schedule apart; the contrast is BIG-FUSION's, of nodes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import gumbel_softmax, one_hot

from bigfusion.model.contrast.base import Contrast, Host, View, Views
from bigfusion.model.contrast_settings.auto_gcl import AutoGCLSettings
from bigfusion.model.layers.graph import Graph, Relations
from bigfusion.model.layers.relative import group_mean
from bigfusion.model.layers.rgcn import RelationalConvolution
from bigfusion.model.network_settings.bigfusion import BigFusionSettings

KEEP, DROP, MASK = range(3)


class AutoGCL(Contrast):
    """A generator and a token for each view."""

    def __init__(self, settings: AutoGCLSettings, model: BigFusionSettings, relations: Relations) -> None:
        super().__init__(settings, model, relations)
        self.settings = settings
        self.generators = nn.ModuleList(
            Generator(model.width, relations.count, settings.hidden, settings.keep) for _ in range(2)
        )
        self.tokens = nn.Parameter(torch.zeros(2, model.width))

    def views(self, nodes: Tensor, graph: Graph, host: Host) -> Views:
        """A draw of each generator."""
        choices = [draw(generator(nodes, graph)).to(nodes.dtype) for generator in self.generators]  # (V, 3) each
        first, second = (view(nodes, graph, choice, token) for choice, token in zip(choices, self.tokens, strict=True))
        similar = similarity(kept(choices[0]), kept(choices[1]), graph)
        return Views(first, second, penalty=self.settings.disagreement * similar)


class Generator(nn.Module):
    """Logits of {keep, drop, mask}. Shapes: nodes (V, D) -> (V, 3).

    A relational layer, a ReLU, a relational layer; the linear maps before and after only choose the layers' width.
    """

    def __init__(self, width: int, relations: int, hidden: int, keep: float) -> None:
        super().__init__()
        self.narrow = nn.Linear(width, hidden, bias=False)
        self.first = RelationalConvolution(hidden, relations)
        self.second = RelationalConvolution(hidden, relations)
        self.logits = nn.Linear(hidden, 3)
        with torch.no_grad():
            self.logits.bias.copy_(torch.tensor([keep, 0.0, 0.0]))

    def forward(self, nodes: Tensor, graph: Graph) -> Tensor:
        """Read the graph; no gradient reaches the nodes."""
        hidden = self.narrow(nodes.detach())
        hidden = self.first(hidden, graph.edge_index, graph.relation).relu()
        logits: Tensor = self.logits(self.second(hidden, graph.edge_index, graph.relation))
        return logits


def draw(logits: Tensor) -> Tensor:
    """One-hot draws, exactly so, with the gradient of the soft ones. Shapes: (V, 3) -> (V, 3) float32 or more."""
    with torch.autocast(logits.device.type, enabled=False):
        soft = gumbel_softmax(logits.to(torch.promote_types(logits.dtype, torch.float32)), tau=1.0)
        hard = one_hot(soft.argmax(1), 3).to(soft.dtype)
        return hard + (soft - soft.detach())


def kept(choice: Tensor) -> Tensor:
    """1 for a node that is kept or masked, 0 for one that is dropped. Shapes: (V, 3) -> (V,)."""
    return choice[:, KEEP] + choice[:, MASK]


def view(nodes: Tensor, graph: Graph, choice: Tensor, token: Tensor) -> View:
    """The graph under these choices. Shapes: nodes (V, D), choice (V, 3), token (D,)."""
    source, target = graph.edge_index
    stays, masked = kept(choice), choice[:, MASK].unsqueeze(1)
    return View(masked * token.to(nodes.dtype) + (1 - masked) * nodes, stays[source] * stays[target])


def similarity(first: Tensor, second: Tensor, graph: Graph) -> Tensor:
    """1 less the mean squared difference within a dialogue, the mean over dialogues. Shapes: (V,), (V,) -> scalar."""
    differs = group_mean((first - second).square().unsqueeze(1), graph.dialogue, len(graph.sizes))  # (B, 1)
    return (1 - differs).sum() / max(len(differs), 1)


CONTRAST = AutoGCL
