"""What is said around an utterance, by whom and how far away, read by a linear classifier alone.

Simplified graph convolution (Wu et al., 2019) with relations: a graph convolution without weights and nonlinearities of
its own is a mean over neighbours, so that convolutions followed by one linear map are a linear classifier on means of
the inputs. Here the means run over {same speaker, other speaker} x {earlier, later} in bands of distance, over the
speaker's and over the whole dialogue. It learns from a hundred dialogues what a deep network does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from model.graph import Relations, build_graph
from model.relative import group_mean, speaker_groups

Band = tuple[int, int]
"""Nearest and farthest distance between two utterances."""

FLOOR = 1e-4
"""A mean that varies less than this is divided by 1."""


def neighbourhood(values: Tensor, mask: Tensor, speakers: Tensor, bands: Sequence[Band]) -> Tensor:
    """Each utterance's own values, the means around it, its speaker's mean and its dialogue's.

    Where nobody is in a band the mean is 0. Shapes: values (V, F), the real utterances packed; mask, speakers (B, N)
    -> (V, (1 + 4 * bands + 2) F): own; for each band same earlier, same later, other earlier, other later; speaker;
    dialogue.
    """
    relations = Relations("order")
    graph = build_graph(mask, speakers, max((far for _, far in bands), default=0), relations)
    source, target = graph.edge_index
    distance = (source - target).abs()  # (E,)
    parts = [values]
    for near, far in bands:
        chosen = (near <= distance) & (distance <= far)
        slot = target[chosen] * relations.count + graph.relation[chosen]
        means = group_mean(values[source[chosen]], slot, len(values) * relations.count)  # (4 V, F)
        parts.append(means.view(len(values), relations.count * values.shape[1]))  # (V, 4 F)
    group = speaker_groups(graph.dialogue, graph.speaker)
    parts += [group_mean(values, each)[each] for each in (group, graph.dialogue)]
    return torch.cat(parts, dim=1)


class NeighbourhoodClassifier(nn.Module):
    """Logits that are linear in :func:`neighbourhood`, whose columns are standardised as fitted in training.

    Nothing is dropped out: what keeps it from learning the dialogues by heart is the penalty on ``linear.weight``
    (``penalty`` |W|^2 beside the mean cross-entropy), which the optimizer adds. It starts at zero: all classes alike.

    Shapes: values (V, F), mask and speakers (B, N) -> logits (V, C).
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, width: int, classes: int, bands: Sequence[Band]) -> None:
        super().__init__()
        self.bands = tuple(bands)
        columns = (3 + 4 * len(self.bands)) * width
        self.register_buffer("mean", torch.zeros(columns))
        self.register_buffer("deviation", torch.ones(columns))
        self.linear = nn.Linear(columns, classes)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    @torch.no_grad()
    def fit(self, batches: Iterable[tuple[Tensor, Tensor, Tensor]]) -> None:
        """Take each column's mean and deviation over ``batches`` of (values, mask, speakers), in float64."""
        seen = torch.cat([neighbourhood(*batch, self.bands) for batch in batches]).double()
        self.mean.copy_(seen.mean(0))
        deviation = seen.std(0, correction=0)
        self.deviation.copy_(torch.where(deviation > FLOOR, deviation, 1))

    def forward(self, values: Tensor, mask: Tensor, speakers: Tensor) -> Tensor:
        """Classify. The values receive no gradient: the classifier shares nothing with the rest of the network."""
        columns = neighbourhood(values.detach(), mask, speakers, self.bands)
        logits: Tensor = self.linear((columns - self.mean) / self.deviation)
        return logits
