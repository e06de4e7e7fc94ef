"""A linear classifier on the means of an utterance's neighbours, by speaker, order and distance.

This is simplified graph convolution (Wu et al., 2019) with relations. A graph convolution without weights and without
nonlinearity is a mean over neighbours. Such convolutions followed by one linear map are therefore a linear classifier
on means of the inputs. Here the means run over {same speaker, other speaker} x {earlier, later} in bands of distance,
over all utterances of the speaker, and over the whole dialogue. From a hundred dialogues this classifier learns what a
deep network does not.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from bigfusion.model.data.batch import UNLABELLED
from bigfusion.model.data.utterances import Utterances
from bigfusion.model.layers.graph import Relations, build_graph
from bigfusion.model.layers.regression import penalised_regression
from bigfusion.model.layers.relative import group_mean, speaker_groups

Band = tuple[int, int]
"""The nearest and the farthest distance between two utterances."""

FLOOR = 1e-4
"""The deviation that is used if a mean varies less than this is 1."""


def neighbourhood(utterances: Utterances, bands: Sequence[Band], centred: Collection[str] = ()) -> Tensor:
    """Each utterance's own values, the means of its neighbours, its speaker's mean and its dialogue's mean.

    The mean of a feature is that of the utterances that have it, and 0 if none has. The dialogue's mean of ``centred``
    features is 0, and their speaker's mean comes less the dialogue's: what the centring left of it in long recordings
    is small, and in short ones large, so that columns standardised on long ones would bring a short recording's level
    back many times over.

    Shape: (V, (1 + 4 * bands + 2) F), F being all features' columns: own; for each band same earlier, same later, other
    earlier, other later; speaker; dialogue.
    """
    relations = Relations("order")
    mask, speakers = utterances.mask, utterances.speakers
    graph = build_graph(mask, speakers, max((far for _, far in bands), default=0), relations)
    source, target = graph.edge_index
    distance = (source - target).abs()  # (E,)
    values = utterances.joined  # (V, F)

    def means(features: Mapping[str, Tensor], sources: Tensor, group: Tensor, groups: int) -> list[Tensor]:
        """Of each feature. Shapes: (S,) the utterances, (S,) their groups -> (groups, F_m)."""
        found = []
        for name, rows in features.items():
            here = utterances.present[name][sources]
            found.append(group_mean(rows[sources[here]], group[here], groups))
        return found

    parts = [values]
    for near, far in bands:
        chosen = (near <= distance) & (distance <= far)
        slot = target[chosen] * relations.count + graph.relation[chosen]
        found = means(utterances.features, source[chosen], slot, len(values) * relations.count)
        parts.append(torch.cat(found, 1).view(len(values), relations.count * values.shape[1]))  # (V, 4 F)
    every = torch.arange(len(values), device=values.device)
    features, talks = dict(utterances.features), []
    for name, mean in zip(features, means(features, every, graph.dialogue, len(mask)), strict=True):
        talk = mean[graph.dialogue]  # (V, F_m)
        if name in centred:
            features[name], talk = features[name] - talk, torch.zeros_like(talk)
        talks.append(talk)
    group = speaker_groups(graph.dialogue, graph.speaker)
    speaker = torch.cat(means(features, every, group, int(group.max()) + 1 if len(group) else 0), 1)[group]
    return torch.cat([*parts, speaker, *talks], dim=1)


class NeighbourhoodClassifier(nn.Module):
    """Class log-probabilities that are linear in :func:`neighbourhood`, whose columns are standardised.

    It is fitted once, before the network is trained. With a penalty on the weights the problem is convex, and its
    solution depends on the training dialogues alone. Its weights are buffers, not parameters, and lie in the state
    dict. Before the fit all classes have the same probability.

    The columns that it reads must be the same before and after the training. Shape: (V, C).
    """

    mean: Tensor
    deviation: Tensor
    weight: Tensor
    bias: Tensor

    def __init__(self, width: int, classes: int, bands: Sequence[Band], centred: Collection[str] = ()) -> None:
        super().__init__()
        self.bands = tuple(bands)
        self.centred = frozenset(centred)
        columns = (3 + 4 * len(self.bands)) * width
        self.register_buffer("mean", torch.zeros(columns))
        self.register_buffer("deviation", torch.ones(columns))
        self.register_buffer("weight", torch.zeros(classes, columns))
        self.register_buffer("bias", torch.zeros(classes))

    @torch.no_grad()
    def fit(self, batches: Iterable[Utterances], labels: Tensor, penalty: float) -> None:
        """Fit on ``batches`` and their utterances' ``labels``, UNLABELLED where unknown.

        All columns are in memory at once: 4 (3 + 4 bands) F bytes an utterance. That is 0.2 GB for IEMOCAP's 768-wide
        text, and 2.7 GB for MELD with 4,530 inputs.
        """
        columns = self.mean.new_empty(len(labels), len(self.mean))  # (U, K)
        start = 0
        for batch in batches:
            rows = neighbourhood(batch, self.bands, self.centred)
            columns[start : start + len(rows)] = rows
            start += len(rows)
        deviation, mean = torch.std_mean(columns, 0, correction=0)
        self.mean.copy_(mean)
        self.deviation.copy_(torch.where(deviation > FLOOR, deviation, 1))
        columns.sub_(self.mean).div_(self.deviation)
        labelled = labels != UNLABELLED
        if not labelled.all():
            columns, labels = columns[labelled], labels[labelled]
        weight, bias = penalised_regression(columns, labels, len(self.bias), penalty)
        self.weight.copy_(weight)
        self.bias.copy_(bias)

    def forward(self, utterances: Utterances) -> Tensor:
        """Classify."""
        columns = (neighbourhood(utterances, self.bands, self.centred) - self.mean) / self.deviation
        return linear(columns, self.weight, self.bias).log_softmax(-1)
