"""DAG-ERC (Shen et al., ACL 2021): a directed acyclic graph from earlier utterances to later ones.

The predecessors of utterance i are those from i - 1 back to, and with, the last one of the same speaker (``reach`` = 1;
all earlier ones if there is none). With u_i the features side by side, H^0_i = ReLU(Linear(u_i)); in layer l, utterance
after utterance:

- M_i = sum_j alpha_j W_r H^l_j over the predecessors j, alpha = softmax_j(w . H^l_j), W_r one of two matrices without
  bias: j has the same speaker as i, or another; M_1 = 0;
- H^l_i = GRU_c(input H^{l-1}_i, state M_i) + GRU_p(input M_i, state H^{l-1}_i).

Logits = Linear(dropout(ReLU(Linear(ReLU(Linear([H^0; ..; H^L; u])))))). No utterance sees a later one.

Departures from the released code, and why:

- The score is w . H^l_j; there it is w . [H^{l-1}_i; H^l_j] + b. What does not depend on j falls out of a softmax over
  j, so it is the same function without parameters that have no gradient.
- Unlabelled turns are context, as there, and are not taught.
- An absent modality is a learned vector; there text alone is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from bigfusion.model.data.batch import Batch
from bigfusion.model.layers.fusion import Joined
from bigfusion.model.layers.recurrence import Steps, gru
from bigfusion.model.network_settings.dag_erc import DAGERCSettings
from bigfusion.model.networks.base import Network, Output


@dataclass(frozen=True)
class Predecessors:
    """Who is whose predecessor in a batch.

    Shapes: ``edges`` (B, 2, N, N) bool, [b, 0, i, j]: j is a predecessor of i with the same speaker, [b, 1, i, j]: with
    another. ``first[i]``: the earliest predecessor of i in any dialogue, i where there is none.
    """

    edges: Tensor
    first: list[int]


def predecessors(mask: Tensor, speakers: Tensor, reach: int) -> Predecessors:
    """The graph of each dialogue. Shapes: (B, N) bool, (B, N) int."""
    length = mask.shape[1]
    earlier = torch.ones(length, length, dtype=torch.bool, device=mask.device).tril(-1)  # [i, j]: j < i
    before = earlier & mask.unsqueeze(1) & mask.unsqueeze(2)  # (B, N, N)
    same = before & (speakers.unsqueeze(1) == speakers.unsqueeze(2))
    count = same.long()
    since = count.flip(-1).cumsum(-1).flip(-1) - count  # the speaker's own utterances between j and i
    linked = before & (since < reach)
    place = torch.arange(length, device=mask.device)
    first = torch.where(linked.any(0), place, length).amin(1)  # (N,)
    edges = torch.stack([linked & same, linked & ~same], dim=1)
    return Predecessors(edges, torch.minimum(first, place).tolist())


class DAGLayer(nn.Module):
    """One layer, utterance after utterance, all dialogues at once. Shapes: (V, D) -> (V, D), by step."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.score = nn.Linear(width, 1, bias=False)
        self.same = nn.Linear(width, width, bias=False)
        self.other = nn.Linear(width, width, bias=False)
        self.node = nn.GRUCell(width, width)  # GRU_c
        self.context = nn.GRUCell(width, width)  # GRU_p

    def forward(self, below: Tensor, graph: Predecessors, steps: Steps) -> Tensor:
        """Read the layer below; the graph's dialogues are sorted as the steps' are."""
        node_inputs = linear(below, self.node.weight_ih, self.node.bias_ih)  # (V, 3D)
        context_hidden = linear(below, self.context.weight_hh, self.context.bias_hh)
        weight = torch.cat([self.node.weight_hh, self.context.weight_ih])  # both read M_i
        bias = torch.cat([self.node.bias_hh, self.context.bias_ih])
        states: list[Tensor] = []
        scores: list[Tensor] = []
        for index, (rows, count) in enumerate(zip(steps.slices(), steps.counts, strict=True)):
            near = slice(graph.first[index], index)
            message = torch.zeros_like(below[rows])
            if index:
                message = self._message(states[near], scores[near], graph.edges[:count, :, index, near])
            node_hidden, context_inputs = linear(message, weight, bias).chunk(2, dim=-1)
            state = gru(node_inputs[rows], node_hidden, message)
            state = state + gru(context_inputs, context_hidden[rows], below[rows])
            states.append(state)
            scores.append(self.score(state))
        return torch.cat(states)

    def _message(self, states: list[Tensor], scores: list[Tensor], edges: Tensor) -> Tensor:
        """M_i of the n dialogues that are not over. Shapes: (>= n, D) and (>= n, 1) each, (n, 2, k) -> (n, D)."""
        count = len(edges)
        linked = edges.any(1)  # (n, k)
        score = torch.cat([rows[:count] for rows in scores], dim=1)
        weights = score.masked_fill(~linked, torch.finfo(score.dtype).min).softmax(-1)
        earlier = torch.stack([rows[:count] for rows in states], dim=1)  # (n, k, D)
        own, others = torch.bmm(edges * weights.unsqueeze(1), earlier).unbind(1)  # (n, D) each
        message: Tensor = self.same(own) + self.other(others)
        return message


class DAGERC(Network):
    """The network. Output: ``representations`` ``context``, the last layer (B, N, D)."""

    causal = True

    def __init__(self, settings: DAGERCSettings, widths: Mapping[str, int], classes: int) -> None:
        super().__init__(settings, widths)
        self.reach = settings.reach
        self.join = Joined(self.widths)
        self.reduce = nn.Sequential(nn.Linear(self.join.width, settings.width), nn.ReLU())
        self.layers = nn.ModuleList(DAGLayer(settings.width) for _ in range(settings.layers))
        self.classifier = nn.Sequential(
            nn.Linear((settings.layers + 1) * settings.width + self.join.width, settings.width),
            nn.ReLU(),
            nn.Linear(settings.width, settings.width),
            nn.ReLU(),
            nn.Dropout(settings.dropout),
            nn.Linear(settings.width, classes),
        )

    def forward(self, batch: Batch) -> Output:
        """Read a batch."""
        utterances = self.read(batch)
        steps = Steps.of(utterances.lengths)
        joined = self.join(utterances.features, utterances.present)[steps.order]  # (V, F), by step
        longest = len(steps.counts)
        mask, speakers = (rows[steps.dialogues, :longest] for rows in (batch.mask, batch.speakers))
        graph = predecessors(mask, speakers, self.reach)
        layers = [self.reduce(joined)]  # (V, D) each
        for layer in self.layers:
            layers.append(layer(layers[-1], graph, steps))
        logits, context = (
            steps.packed([self.classifier(torch.cat([*layers, joined], dim=-1))]),
            steps.packed(layers[-1:]),
        )
        return Output(utterances.rows(logits), representations={"context": utterances.rows(context)})


NETWORK = DAGERC
