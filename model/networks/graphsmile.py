"""GraphSmile (Li et al., TPAMI 2025): graphs whose edges only cross modalities, and sentiments as further tasks.

Each modality's features: drop LeakyReLU(Linear(x)) to H. For each pair of modalities a bipartite graph: utterance i of
one joins j of the other where |i - j| <= window, i = j included, both ways.

- hop l: h_l = A^ h_{l-1} W_l + b_l, A^ = D^-1/2 A D^-1/2: an odd hop brings the other modality, an even one the own;
- z = h_0 + sum_l drop LeakyReLU(U_l h_l + c_l);
- f = mean over all vectors z (a modality has one in each of its pairs) of LeakyReLU(Linear(z));
- emotion = Linear(f), sentiment = Linear(f), shift of the pair (i, j) = Linear([f_i; f_j]).

Shifts: a dialogue is cut into blocks; every ordered pair in a block, (i, i) too, is taught whether sentiments differ.
Loss = CE(emotion) + l2 CE(sentiment) + l3 CE(shift). Sentiments are those of the training labels' classes; prediction
reads none. Speakers are not looked at.

Departures from the released code, and why:

- The weight of an edge is softplus of a learnt number for each offset j - i in each pair of modalities (1 at first).
  There it is a number for each edge's rank in the batch: the same pair of utterances weighs differently in another
  batch, and negative sums make NaN. ``edge_weights = "ones"`` has none.
- The text has no BatchNorm of its own: all features come standardised by the training set's statistics (there the
  statistics include padding).
- The weights of the layers start apart; there they are copies of one.
- MELD's sentiment column is not read: a class stands for its sentiment, and surprise, which has both, for none.
- Shift losses are means over an utterance's block, then over the labelled utterances; there over all pairs at once,
  which would not be the sum of the dialogues' losses. They differ in the last block of a dialogue only.
- AdamW with amsgrad is the training's own optimizer here.
- One modality alone has no pair: z = h_0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import combinations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, leaky_relu, linear, softplus

from bigfusion.model.data.batch import UNLABELLED, Batch
from bigfusion.model.data.utterances import to_rows
from bigfusion.model.layers.fusion import Projections
from bigfusion.model.layers.window import heard
from bigfusion.model.network_settings.graphsmile import GraphSmileSettings
from bigfusion.model.networks.base import Network, Output, Part
from bigfusion.pipeline.errors import TrainingError


class OffsetAdjacency(nn.Module):
    """A^ between two modalities: rows are the first's utterances. Shapes: mask (B, N) bool -> (B, N, N)."""

    def __init__(self, window: int, learnt: bool) -> None:
        super().__init__()
        self.window = window
        one = torch.full((2 * window + 1,), math.log(math.e - 1))  # softplus of it is 1
        self.raw = nn.Parameter(one) if learnt else None

    def forward(self, mask: Tensor, like: Tensor) -> Tensor:
        """The normalised adjacency, in the type of ``like``."""
        window = self.window
        near = heard(mask, window, window).to(like.dtype)
        if self.raw is not None:
            place = torch.arange(mask.shape[1], device=mask.device)
            offset = (place - place.unsqueeze(1)).clamp(-window, window) + window  # [i, j]: j - i
            near = near * softplus(self.raw)[offset]
        return near * _inverse_root(near.sum(2)).unsqueeze(2) * _inverse_root(near.sum(1)).unsqueeze(1)


def _inverse_root(degree: Tensor) -> Tensor:
    """Padding has degree 0 and stays without edges."""
    return torch.where(degree > 0, degree.where(degree > 0, 1).rsqrt(), 0)


class PairGraph(nn.Module):
    """The hops between two modalities. Shapes: (V, H) twice, (B, N) bool -> z (2, V, H)."""

    def __init__(self, settings: GraphSmileSettings) -> None:
        super().__init__()
        width = settings.width
        self.adjacency = OffsetAdjacency(settings.window, settings.edge_weights == "offset")
        self.hop = nn.ModuleList(nn.Linear(width, width) for _ in range(settings.layers))
        self.keep = nn.ModuleList(nn.Linear(width, width) for _ in range(settings.layers))
        self.dropout = nn.Dropout(settings.dropout)

    def hops(self, one: Tensor, other: Tensor, mask: Tensor) -> list[Tensor]:
        """h_1 to h_L of both modalities. Shape: (2, V, H) each."""
        adjacency = self.adjacency(mask, one)  # (B, N, N)
        states, hidden = [], torch.stack([one, other])
        for hop in self.hop:
            first, second = (to_rows(rows, mask) for rows in hidden)
            crossed = torch.stack([(adjacency @ second)[mask], (adjacency.mT @ first)[mask]])  # (2, V, H)
            hidden = hop(crossed)
            states.append(hidden)
        return states

    def forward(self, one: Tensor, other: Tensor, mask: Tensor) -> Tensor:
        """What both modalities make of each other."""
        total = torch.stack([one, other])
        for keep, hidden in zip(self.keep, self.hops(one, other, mask), strict=True):
            total = total + self.dropout(leaky_relu(keep(hidden)))
        return total


def block_partners(mask: Tensor, block: int) -> tuple[Tensor, Tensor]:
    """The utterances of each one's block, as rows when packed, and which of them exist. Shapes: (V, w) twice."""
    dialogue, place = mask.nonzero().unbind(1)
    number = torch.arange(len(place), device=mask.device)
    partner = (number - place % block).unsqueeze(1) + torch.arange(block, device=mask.device)
    inside = partner < len(place)
    partner = partner.clamp(max=max(len(place) - 1, 0))
    return partner, inside & (dialogue[partner] == dialogue.unsqueeze(1))


class GraphSmile(Network):
    """The network. Output: ``parts``: ``sentiment`` logits (V, 3), ``shift`` logits (V, w, 2).

    Raises:
        TrainingError: ``sentiments`` are not those of the corpus's classes.
    """

    sentiment_of: Tensor

    def __init__(self, settings: GraphSmileSettings, widths: Mapping[str, int], classes: int) -> None:
        super().__init__(settings, widths)
        sentiments = settings.sentiments or ()
        if len(sentiments) != classes:
            raise TrainingError(
                f"model.sentiments: expected one for each of the corpus's {classes} classes, found {len(sentiments)}; "
                "set 0 negative, 1 neutral, 2 positive or -1 for each class in its order, or leave them out"
            )
        self.settings = settings
        width = settings.width
        self.project = Projections(self.widths, width)
        self.dropout = nn.Dropout(settings.dropout)
        pairs = combinations(self.widths, 2)
        self.pairs = nn.ModuleDict({f"{one}_{other}": PairGraph(settings) for one, other in pairs})
        self.join = nn.Linear(width, width)
        self.emotion = nn.Linear(width, classes)
        self.sentiment = nn.Linear(width, 3)
        self.shift = nn.Linear(2 * width, 2)
        self.register_buffer("sentiment_of", torch.tensor(sentiments), persistent=False)

    def forward(self, batch: Batch) -> Output:
        """Read a batch."""
        utterances = self.read(batch)
        projected = self.project(utterances.features, utterances.present)
        states = {name: self.dropout(leaky_relu(rows)) for name, rows in projected.items()}  # (V, H) each
        crossed = [
            self.pairs[f"{one}_{other}"](states[one], states[other], batch.mask)
            for one, other in combinations(states, 2)
        ]
        vectors = torch.cat(crossed) if crossed else torch.stack(list(states.values()))  # (6, V, H)
        fused = leaky_relu(self.join(vectors)).mean(0)  # (V, H)
        parts = {"sentiment": self.sentiment(fused), "shift": self._shift(fused, batch.mask)}
        rows = utterances.rows
        return Output(rows(self.emotion(fused)), parts, representations={"fusion": rows(fused)})

    def _shift(self, fused: Tensor, mask: Tensor) -> Tensor:
        """Linear([f_i; f_j]) for every j of i's block: both halves are mapped before they meet. Shape: (V, w, 2)."""
        partner, _ = block_partners(mask, self.settings.block)
        first, second = self.shift.weight.chunk(2, dim=1)
        return linear(fused, first, self.shift.bias).unsqueeze(1) + linear(fused, second)[partner]

    def loss(self, output: Output, batch: Batch, smoothing: float = 0.0) -> dict[str, Part]:
        """Emotion, sentiment and shifts."""
        parts, settings = super().loss(output, batch, smoothing), self.settings
        labels = batch.labels[batch.mask]
        count = (labels != UNLABELLED).sum().clamp(min=1)
        sentiment = torch.where(labels != UNLABELLED, self.sentiment_of[labels.clamp(min=0)], -1)  # (V,)
        taught = sentiment >= 0
        own = cross_entropy(_precise(output.parts["sentiment"])[taught], sentiment[taught], reduction="sum")
        shifts = shift_loss(_precise(output.parts["shift"]), sentiment, batch.mask, settings.block)
        parts["sentiment"] = Part(own / count, weight=settings.sentiment_weight)
        parts["shift"] = Part(shifts.sum() / count, weight=settings.shift_weight)
        return parts


def shift_loss(logits: Tensor, sentiment: Tensor, mask: Tensor, block: int) -> Tensor:
    """Mean cross-entropy over the pairs of each utterance, 0 where it has no sentiment.

    Shapes: (V, w, 2), (V,) int with -1 for none, (B, N) bool -> (V,).
    """
    partner, inside = block_partners(mask, block)
    label, known = shift_labels(sentiment, partner, inside)
    losses = torch.where(known, cross_entropy(logits.transpose(1, 2), label, reduction="none"), 0)  # (V, w)
    return losses.sum(1) / known.sum(1).clamp(min=1)


def shift_labels(sentiment: Tensor, partner: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
    """Whether sentiments differ (1), and where both are known. Shapes: (V,), (V, w) twice -> (V, w) twice."""
    other = sentiment[partner]
    known = inside & (other >= 0) & (sentiment >= 0).unsqueeze(1)
    return (other != sentiment.unsqueeze(1)).long(), known


def _precise(logits: Tensor) -> Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


NETWORK = GraphSmile
