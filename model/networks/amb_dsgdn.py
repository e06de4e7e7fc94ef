"""AMB-DSGDN (Wang et al., arXiv 2603.10043): differential graph attention in each modality, balanced dropout of them.

- text: Linear to D; audio, visual: Linear, + c (position + speaker embedding), c = 1 as released, one of SDT's
  self-attention layers, dropout;
- two blocks in each modality, first on the graph of the other speakers, then on that of the same speaker, each with
  relations self, earlier and later within a window: LN(x + Linear(gelu(T(drop [T_1(drop x); T_2(drop x)])))), T being
  ``layers.differential``; a block's dropout, that of its attention weights too, is 0.2 whatever the network's is;
- audio, visual: h * sigmoid(Linear(h)); logits of each modality = Linear(drop ReLU(h)); their sum is predicted.

Loss = L(sum) + 0.1 sum_m L(m)^2, gradients through both factors.

Balanced dropout, in training: with P_m the weighted F1 of each modality's own logits in a batch, d_mk = P_m / P_k - 1,
weights = softmax over k of relu(d_mk), mean_m = (sum_k weights d_mk) / (number of k), q_m = q0 (1 + 0.9 mean_m) where
mean_m > 0, else 0. In a share of the batches each dialogue loses modality m with probability q_m, and what is left is
scaled by 1 / (1 - mean q). The weakest modality has q = 0.

Departures from the released code, and why:

- P_m is that of the batch before: labels do not enter the forward pass. It is kept with the checkpoint.
- Modality dropout acts on what goes into the graphs (inferred: the page says features).
- Whether l and r of lambda have half the width is inferred.
- Speakers are numbered by their first turn in the dialogue. Class weights are counted on the training labels and scaled
  to a mean of 1; each loss divides by the utterances.
- An utterance hears itself, so that no row of the graphs is empty but padding, whose weights are zeros.
- The merged adjacency, which is never used, is not built. An absent modality is a learned vector.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, one_hot

from bigfusion.model.data.batch import UNLABELLED, Batch, Dialogue
from bigfusion.model.layers.class_weights import ClassWeights
from bigfusion.model.layers.cross_transformer import CrossTransformer
from bigfusion.model.layers.differential import DifferentialAttention
from bigfusion.model.layers.fusion import Projections
from bigfusion.model.layers.objectives import classification_loss
from bigfusion.model.layers.transformer import positions
from bigfusion.model.layers.window import heard
from bigfusion.model.network_settings.amb_dsgdn import AMBDSGDNSettings
from bigfusion.model.networks.base import Network, Output, Part
from bigfusion.pipeline.schema import Modality

SELF, SAME_EARLIER, SAME_LATER, OTHER_LATER, OTHER_EARLIER, RELATIONS = 1, 2, 3, 4, 5, 6
"""Relations of an edge, and how many numbers there are; 0 is no edge."""

BLOCK_DROPOUT = 0.2
"""Released for both corpora: no option of the code reaches it."""


def speaker_relations(mask: Tensor, speakers: Tensor, window: int) -> tuple[Tensor, Tensor]:
    """The graph of other speakers and that of the same one: at [i, j] how i hears j. Shapes: (B, N) -> (B, N, N)."""
    place = torch.arange(mask.shape[1], device=mask.device)
    later, own = place > place.unsqueeze(1), place == place.unsqueeze(1)  # [i, j]: j > i
    hears = heard(mask, window, window)
    same = speakers.unsqueeze(1) == speakers.unsqueeze(2)
    cross = torch.where(later, OTHER_LATER, OTHER_EARLIER).where(~same, 0)
    alike = torch.where(later, SAME_LATER, SAME_EARLIER).where(same, 0)
    return tuple(torch.where(own, SELF, relation) * hears for relation in (cross, alike))  # type: ignore[return-value]


class DifferentialBlock(nn.Module):
    """Layers side by side, one more on top, and a residual. Shapes: (V, D), (B, N, N), (B, N) -> (V, D)."""

    def __init__(self, settings: AMBDSGDNSettings) -> None:
        super().__init__()
        width, heads = settings.width, settings.graph_heads

        def layer(inputs: int) -> DifferentialAttention:
            return DifferentialAttention(inputs, width, RELATIONS, settings.relation_width, BLOCK_DROPOUT)

        self.heads = nn.ModuleList(layer(width) for _ in range(heads))
        self.top = layer(heads * width)
        self.dropout = nn.Dropout(BLOCK_DROPOUT)
        self.output = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, inputs: Tensor, relation: Tensor, mask: Tensor) -> Tensor:
        """Attend twice."""
        dropped = self.dropout(inputs)
        joined = torch.cat([head(dropped, relation, mask) for head in self.heads], dim=-1)
        attended = gelu(self.top(self.dropout(joined), relation, mask))
        normed: Tensor = self.norm(inputs + self.output(attended))
        return normed


def drop_rates(scores: Tensor, rate: float) -> Tensor:
    """q_m of modalities with these weighted F1 scores; zeros where there is but one. Shape: (M,) -> (M,)."""
    count = len(scores)
    if count < 2:
        return torch.zeros_like(scores)
    own = torch.eye(count, dtype=torch.bool, device=scores.device)
    ahead = scores.unsqueeze(1) / scores.clamp(min=torch.finfo(scores.dtype).tiny) - 1  # [m, k]
    weights = ahead.relu().masked_fill(own, -torch.inf).softmax(1)
    mean = (weights * ahead.masked_fill(own, 0)).sum(1) / (count - 1)
    return torch.where(mean > 0, rate * (1 + 0.9 * mean), 0).clamp(0, 1)


def weighted_f1(predicted: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Weighted F1 of each column. Shapes: (L, M) int, (L,) int -> (M,)."""
    true, guessed = one_hot(labels, classes).unsqueeze(1), one_hot(predicted, classes)  # (L, 1, C), (L, M, C)
    hits, support, chosen = (true * guessed).sum(0), true.sum(0), guessed.sum(0)  # (M, C), (1, C), (M, C)
    f1 = 2 * hits / (support + chosen).clamp(min=1)
    return (f1 * support).sum(1) / max(len(labels), 1)


class AMBDSGDN(Network):
    """The network. Output: ``parts["modalities"]`` the logits (B, N, C) of each modality."""

    drop: Tensor

    def __init__(self, settings: AMBDSGDNSettings, widths: Mapping[str, int], classes: int) -> None:
        super().__init__(settings, widths)
        self.settings = settings
        width, dropout = settings.width, settings.dropout
        self.class_weights = ClassWeights(classes, settings.class_weights)
        self.project = Projections(self.widths, width)
        others = [name for name in self.widths if name != Modality.TEXT]
        self.numbered_speakers = bool(others)
        if others:
            self.speaker = nn.Embedding(settings.speakers, width)
        self.encoders = nn.ModuleDict({name: CrossTransformer(width, settings.heads, dropout) for name in others})
        self.gates = nn.ModuleDict({name: nn.Linear(width, width) for name in others})
        self.cross = nn.ModuleDict({name: DifferentialBlock(settings) for name in self.widths})
        self.same = nn.ModuleDict({name: DifferentialBlock(settings) for name in self.widths})
        self.classifiers = nn.ModuleDict(
            {name: nn.Sequential(nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, classes)) for name in self.widths}
        )
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("drop", torch.zeros(len(self.widths)))
        self.dropping = False

    def fit(self, dialogues: Sequence[Dialogue]) -> None:
        """Also count the classes."""
        super().fit(dialogues)
        self.class_weights.fit(dialogues)

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Whether modalities are dropped in this epoch."""
        self.dropping = epoch > self.settings.drop_after

    def forward(self, batch: Batch) -> Output:
        """Read a batch."""
        utterances = self.read(batch)
        mask, rows = batch.mask, utterances.rows
        cross, same = speaker_relations(mask, batch.speakers, self.settings.window)
        projected = self.project(utterances.features, utterances.present)
        kept = self._kept(len(mask), mask.device)[utterances.dialogue]  # (V, M)
        states, logits = {}, {}
        for index, (name, inputs) in enumerate(projected.items()):
            encoded = self._encode(name, inputs, utterances.speaker, mask) * kept[:, index, None].to(inputs.dtype)
            hidden = self.same[name](self.cross[name](encoded, cross, mask), same, mask)
            states[name] = hidden * self.gates[name](hidden).sigmoid() if name in self.gates else hidden
            logits[name] = rows(self.classifiers[name](states[name]))
        total = torch.stack(list(logits.values())).sum(0)  # (B, N, C)
        return Output(
            total, {"modalities": logits}, representations={name: rows(state) for name, state in states.items()}
        )

    def _encode(self, name: str, inputs: Tensor, speaker: Tensor, mask: Tensor) -> Tensor:
        """Shapes: (V, D), (V,), (B, N) -> (V, D)."""
        if name not in self.encoders:
            return inputs
        place = mask.nonzero()[:, 1]
        added = self.speaker(speaker.clamp(max=self.settings.speakers - 1))
        added = added + positions(mask.shape[1], inputs.shape[1], like=inputs)[place]
        inputs = inputs + self.settings.embedding_weight * added
        encoded: Tensor = self.dropout(self.encoders[name](inputs, inputs, mask))
        return encoded

    def _kept(self, dialogues: int, device: torch.device) -> Tensor:
        """What each dialogue's modalities are multiplied by. Shape: (B, M)."""
        ones = torch.ones(dialogues, len(self.widths), device=device)
        if not (self.training and self.dropping) or torch.rand(()).item() >= self.settings.drop_share:
            return ones
        kept = torch.rand_like(ones) >= self.drop
        return kept / (1 - self.drop.mean()).clamp(min=1 / len(self.widths))

    @torch.no_grad()
    def after_step(self, output: Output, batch: Batch) -> None:
        """Score each modality on the batch: what the next one's dropout goes by."""
        labelled = batch.mask & (batch.labels != UNLABELLED)
        guesses = [logits[labelled].argmax(-1) for logits in output.parts["modalities"].values()]
        guessed = self.peers.gather(torch.stack([*guesses, batch.labels[labelled]], dim=1))  # (L, M + 1)
        if len(guessed):
            found = weighted_f1(guessed[:, :-1], guessed[:, -1], output.logits.shape[-1])
            self.drop.copy_(drop_rates(found, self.settings.drop_rate))

    def loss(self, output: Output, batch: Batch, smoothing: float = 0.0) -> dict[str, Part]:
        """The fused loss, and the squares of the modalities' over the whole batch: a square is no mean of shares."""
        weights, gather = self.class_weights(), self.peers.gather
        labelled = batch.mask & (batch.labels != UNLABELLED)
        labels = gather(batch.labels[labelled])
        whole = replace(batch, labels=labels.unsqueeze(0), mask=torch.ones_like(labels, dtype=torch.bool).unsqueeze(0))
        own = torch.stack(
            [
                classification_loss(gather(logits[labelled]).unsqueeze(0), whole, smoothing, weights)
                for logits in output.parts["modalities"].values()
            ]
        )
        return {
            "cross_entropy": Part(classification_loss(output.logits, batch, smoothing, weights)),
            "modalities": Part(own.square().sum(), "batch", self.settings.unimodal_weight),
        }


NETWORK = AMBDSGDN
